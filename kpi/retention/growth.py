"""Active customers, and the account of how their number changed: new + reactivated - lost = end - start, exactly."""

from __future__ import annotations

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from kpi import engine, facts, periods, schema
from kpi.dataset import Dataset
from kpi.errors import ParameterError
from kpi.periods import Instant, Month, Window
from kpi.statistics import intervals

GAP_QUANTILE = 0.95
SPANS = {1: "retention.net_growth_month", 3: "retention.net_growth_quarter", 12: "retention.net_growth"}


def activity_window(data: Dataset, *, as_of: Instant) -> int | None:
    """Days after which a customer who has not bought again no longer counts as active.

    Uses `orders`; ``[retention] contractual`` and ``activity_days`` in kpi.toml decide first.

    Parameters
    ----------
    as_of : Instant
        Only purchases strictly before it count.

    Returns
    -------
    int or None
        The 95th percentile of the days between purchases, as known at `as_of`: the smallest whole number of days that covers 95 % of the gaps; at
        least 30, and 365 as long as nobody has bought twice. None where customers are under contract, so that no window is needed.

    Raises
    ------
    MissingTable
        If there are no orders (or contracts).
    """
    settings = data.settings.get("retention", {})
    if facts.is_contractual(data):
        data.table("contracts")
        return None
    if "activity_days" in settings:
        return int(settings["activity_days"])
    bought = facts.purchases(data, data.instant(as_of)).filter(nw.col("is_purchase")).select("customer_id", "day")
    gaps = bought.with_columns((nw.col("day") - nw.col("day").shift(1).over("customer_id", order_by="day")).alias("gap"))
    sizes = engine.sizes(gaps.filter(~nw.col("gap").is_null()), ["gap"])
    if not len(sizes):
        return 365
    covered = sizes["count"].cumsum() >= GAP_QUANTILE * sizes["count"].sum()
    return max(30, int(sizes["gap"][covered.to_numpy().argmax()]))


def active_customers(data: Dataset, *, as_of: Instant, months: int = 24) -> pd.DataFrame:
    """Number of active customers at the end of each month.

    Uses `orders`, or `contracts` where customers are under contract.

    Parameters
    ----------
    months : int
        How many month ends, the last one at or before `as_of`.

    Returns
    -------
    DataFrame
        One row per month with the columns of `schema.RESULT`; ``horizon`` the activity window in days (missing under contract), ``n`` all customers
        so far; ``value`` missing as long as there was none.

    Raises
    ------
    MissingTable
        If there are no orders (or contracts).
    ParameterError
        If `months` is not positive.
    """
    check_lengths(months)
    now, last = data.instant(as_of), last_month(data, as_of)
    window = activity_window(data, as_of=now)
    shown = [last.shift(back) for back in range(1 - months, 1)]
    flags = facts.activity(data, now, [month.end for month in shown], window)
    ends = [periods.day_number(month.end) for month in shown]
    sums = [nw.col(f"a{i}").sum().alias(f"a{i}") for i in range(months)] + [
        (nw.col("first_day") < end).cast(nw.Int64).sum().alias(f"n{i}") for i, end in enumerate(ends)
    ]
    row = engine.collect(flags.select(*sums)).fillna(0).iloc[0]
    table = pd.DataFrame(
        {"month": [m.number for m in shown], "value": [row[f"a{i}"] for i in range(months)], "n": [int(row[f"n{i}"]) for i in range(months)]}
    )
    table["horizon"] = window
    table["value"] = table["value"].where(table["n"] > 0)  # before the data nothing is known, which is not 0
    return schema.result("retention.active", table, by=["month"], view="snapshot", window=Window(shown[0].start, last.end), as_of=now)


def net_customer_growth(data: Dataset, *, as_of: Instant, months: int = 24, span: int = 1) -> pd.DataFrame:
    """How the number of active customers changed over a month, a quarter or a year: new and reactivated less lost.

    Uses `orders`, or `contracts` where customers are under contract.

    Parameters
    ----------
    months : int
        How many periods, each ending with a month; the last one at or before `as_of`.
    span : int
        Length of a period in months: 1, 3, or 12 for year over year.

    Returns
    -------
    DataFrame
        One row per month: ``month`` (the period's last), ``start``, ``new``, ``reactivated``, ``lost``, ``end`` customers, with the columns of
        `schema.RESULT`: ``value`` the change as a share of ``start`` (missing where nobody was active), ``n`` = ``start``. new + reactivated - lost =
        end - start. ``provisional`` where the period starts before the data hold a whole activity window: old customers then look new.

    Raises
    ------
    MissingTable
        If there are no orders (or contracts).
    ParameterError
        If `months` or `span` is not positive.
    """
    check_lengths(months, span)
    now, last = data.instant(as_of), last_month(data, as_of)
    days = activity_window(data, as_of=now)
    shown = [last.shift(back) for back in range(1 - months, 1)]
    edges = sorted({edge for month in shown for edge in (month.shift(1 - span).start, month.end)})
    flags = facts.activity(data, now, edges, days)
    place = {edge: number for number, edge in enumerate(edges)}
    counts = {}
    for month in shown:
        start, end = month.shift(1 - span).start, month.end
        before, after = nw.col(f"a{place[start]}") == 1, nw.col(f"a{place[end]}") == 1
        seen = nw.col("first_day") < periods.day_number(start)
        counts |= {
            f"start{month}": before,
            f"end{month}": after,
            f"new{month}": ~before & after & ~seen,
            f"back{month}": ~before & after & seen,
            f"lost{month}": before & ~after,
        }
    found = engine.counts(flags, (), **counts).iloc[0]
    columns = {"start": "start", "new": "new", "reactivated": "back", "lost": "lost", "end": "end"}
    table = pd.DataFrame({name: [int(found[f"{short}{month}"]) for month in shown] for name, short in columns.items()})
    table["month"], table["n"] = [month.number for month in shown], table["start"]
    table["value"] = ((table["end"] - table["start"]) / table["start"]).where(table["start"] > 0)
    table["provisional"] = _provisional(data, now, [month.shift(1 - span) for month in shown], days)
    more = [*columns, "provisional"]
    window = Window(shown[0].shift(1 - span).start, last.end)
    return schema.result(SPANS.get(span, SPANS[12]), table, by=["month"], view="period", window=window, as_of=now, more=more)


def retention_rate(data: Dataset, *, as_of: Instant, months: int = 24, span: int = 1, level: float = 0.95) -> pd.DataFrame:
    """Share of the customers active at the start of a month (or longer) who are still active at its end.

    Uses `orders`, or `contracts` where customers are under contract.

    Parameters
    ----------
    months : int
        How many periods, each ending with a month.
    span : int
        Length of a period in months.
    level : float
        Coverage of the Wilson interval, in (0, 1).

    Returns
    -------
    DataFrame
        One row per month with the columns of `schema.RESULT`; ``n`` customers at the start, ``n_events`` still there; reactivated ones do not count.

    Raises
    ------
    MissingTable
        If there are no orders (or contracts).
    ParameterError
        If `months` or `span` is not positive.
    """
    growth = net_customer_growth(data, as_of=as_of, months=months, span=span)
    kept = growth["start"] - growth["lost"]
    low, high = intervals.wilson(kept, growth["start"], level)
    table = pd.DataFrame(
        {
            "month": [Month.parse(month).number for month in growth["month"]],
            "value": np.where(growth["start"] > 0, kept / growth["start"].where(growth["start"] > 0), np.nan),
            "n": growth["start"],
            "n_events": kept,
            "low": low,
            "high": high,
            "provisional": growth["provisional"],
        }
    )
    window = Window(growth["window_start"].iloc[0], growth["window_end"].iloc[0])
    return schema.result("retention.kept", table, by=["month"], view="period", window=window, as_of=data.instant(as_of), more=["provisional"])


def check_lengths(months: int, span: int = 1) -> None:
    """Refuse periods of no length."""
    if span < 1 or months < 1:
        raise ParameterError(f"months={months}, span={span}: both must be at least 1")


def last_month(data: Dataset, as_of: Instant) -> Month:
    """Find the last month that is over."""
    now = data.instant(as_of)
    return Month.of(periods.month_number(periods.local_date(now, data.company.timezone))).previous


def _provisional(data: Dataset, now: pd.Timestamp, starts: list[Month], window: int | None) -> list[bool]:
    if window is None:
        return [False] * len(starts)
    first = engine.collect(facts.purchases(data, now).select(nw.col("day").min().alias("first")))["first"].iloc[0]
    return [pd.isna(first) or periods.day_number(month.start) < int(first) + window for month in starts]
