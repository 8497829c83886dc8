"""What becomes of the revenue of the customers one has: a closed cohort, start + expansion - contraction - churn = end, exactly."""

from __future__ import annotations

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from kpi import engine, facts, periods, schema
from kpi.dataset import Dataset
from kpi.periods import Instant, Month
from kpi.retention.growth import last_months
from kpi.statistics import intervals

YEAR = 12
SEED = 1
MANY = 20_000  # customers from which the normal interval of a ratio tells as much as a bootstrap
ACCOUNT = ["start", "expansion", "contraction", "churn", "end"]
PARTS = ["n_expanded", "n_contracted", "n_churned"]


def net_revenue_retention(data: Dataset, *, as_of: Instant, months: int = 1, span: int = YEAR, level: float = 0.95) -> pd.DataFrame:
    """Revenue of the customers of the start at the end, as a share of theirs at the start: what they bring more counts, new customers do not.

    Uses `contracts` where customers are under contract, else `orders`; `fx`.

    Parameters
    ----------
    months : int
        How many periods, each ending with a month; the last one at or before `as_of`.
    span : int
        Months between start and end.

    Returns
    -------
    DataFrame
        One row per month with ``start``, ``expansion``, ``contraction``, ``churn``, ``end`` (amounts; start + expansion - contraction - churn = end),
        ``n_expanded``, ``n_contracted``, ``n_churned`` customers, and the columns of `schema.RESULT`: ``n`` customers of the start, ``n_events``
        those still there. ``value`` is missing where the start had no revenue, or lies before the data.

    Raises
    ------
    MissingTable
        If there are no orders (or contracts).
    ParameterError
        If `months` or `span` is not positive.

    Notes
    -----
    Under contract: the monthly amounts on the last day before the period and on its last day, both at the rates of the former, so that a moving
    rate is neither expansion nor contraction. Without contracts: what a customer brought, net of refunds, in the `span` months before the period
    and within it; customers of the start are those who brought something before it; churned is who brought nothing since, or less than nothing.
    Interval: seeded bootstrap over customers; from 20,000 customers on the normal one of a ratio of sums (Cochran 1977, Sampling Techniques, 2.11).
    """
    return _retained(data, "retention.net_revenue", as_of, months, span, level)


def gross_revenue_retention(data: Dataset, *, as_of: Instant, months: int = 1, span: int = YEAR, level: float = 0.95) -> pd.DataFrame:
    """Share of the revenue of the customers of the start that is still there at the end: more from one does not make up for less from another.

    Uses what `net_revenue_retention` uses.

    Parameters
    ----------
    months : int
        How many periods, each ending with a month.
    span : int
        Months between start and end.

    Returns
    -------
    DataFrame
        As `net_revenue_retention` gives it; ``value`` = (start - contraction - churn) / start, at most 1.

    Raises
    ------
    MissingTable
        If there are no orders (or contracts).
    ParameterError
        If `months` or `span` is not positive.
    """
    return _retained(data, "retention.gross_revenue", as_of, months, span, level)


def _retained(data: Dataset, key: str, as_of: Instant, months: int, span: int, level: float) -> pd.DataFrame:
    now, shown = data.instant(as_of), last_months(data, as_of, months, span)
    rows = [_row(_pairs(data, now, month, span), key, level) for month in shown]
    table = pd.DataFrame(rows).assign(month=[month.number for month in shown])
    if not facts.is_contractual(data):
        unknown = [month.shift(1 - 2 * span) < data.first_month("orders") for month in shown]
        table.loc[unknown, [*ACCOUNT, "value", "low", "high"]] = np.nan
    window = shown[-1].last(months + span - 1)
    return schema.result(key, table, by=["month"], view="period", window=window, as_of=now, more=[*ACCOUNT, *PARTS])


def _pairs(data: Dataset, now: pd.Timestamp, month: Month, span: int) -> pd.DataFrame:
    """Customers of the start, counted by what they brought before and after."""
    start, end = (periods.day_number(day) for day in (month.shift(1 - span).start, month.end))
    if facts.is_contractual(data):
        frame = facts.recurring(data, now, {"before": start - 1, "after": end - 1}, rate_day=start - 1)
    else:
        base = periods.day_number(month.shift(1 - 2 * span).start)
        day, amount = nw.col("day"), nw.col("amount").fill_null(0.0)
        rows = facts.purchases(data, now).filter(day >= base, day < end)
        before, after = (nw.when(held).then(amount).otherwise(nw.lit(0.0)) for held in (day < start, day >= start))
        frame = rows.group_by("customer_id").agg(before.sum().alias("before"), after.sum().alias("after"))
    frame = frame.with_columns(nw.col("before").round(2), nw.col("after").round(2)).filter(nw.col("before") > 0)
    return engine.sizes(frame, ["before", "after"])


def _row(pairs: pd.DataFrame, key: str, level: float) -> dict:
    before, after, count = (pairs[name].to_numpy("float64") for name in ("before", "after", "count"))
    gone, more, less = after <= 0, after > before, (after > 0) & (after < before)
    change = (after - before) * count
    account = {"start": before @ count, "expansion": change[more].sum(), "contraction": -change[less].sum(), "churn": -change[gone].sum()}
    account["end"] = after @ count
    kept = after if key == "retention.net_revenue" else np.minimum(after, before)
    n = int(count.sum())
    low, high = _interval(kept, before, count, level) if n else (np.nan, np.nan)
    parts = dict(zip(PARTS, (int(count[held].sum()) for held in (more, less, gone)), strict=True))
    value = kept @ count / account["start"] if n else np.nan
    return account | parts | {"value": value, "low": low, "high": high, "n": n, "n_events": n - parts["n_churned"]}


def _interval(kept: np.ndarray, before: np.ndarray, count: np.ndarray, level: float) -> tuple[float, float]:
    if count.sum() < MANY:
        return intervals.bootstrap(kept / before, "mean", SEED, level, counts=count, weights=before)
    share = (kept @ count) / (before @ count)
    half = intervals.quantile_of(level) * np.sqrt(count @ (kept - share * before) ** 2) / (before @ count)
    return float(share - half), float(share + half)
