"""Active customers, and the account of how their number changed: new + reactivated - lost = end - start, exactly."""

from __future__ import annotations

import narwhals.stable.v2 as nw
import pandas as pd

from kpi import engine, facts, periods, schema
from kpi.dataset import Dataset
from kpi.errors import ParameterError
from kpi.facts import records
from kpi.facts.clock import all_days
from kpi.facts.records import EVENT
from kpi.periods import Instant, Month, Window
from kpi.statistics import intervals

BEFORE, AFTER, IS_OLD = nw.col("before"), nw.col("after"), nw.col("is_old")
ACCOUNT = {"start": BEFORE, "new": ~BEFORE & AFTER & ~IS_OLD, "reactivated": ~BEFORE & AFTER & IS_OLD, "lost": BEFORE & ~AFTER, "end": AFTER}
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
    pause = facts.usual_pause(data, data.instant(as_of), "is_purchase")
    return 365 if pause is None else max(30, pause)


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
    now, shown = data.instant(as_of), last_months(data, as_of, months)
    days = activity_window(data, as_of=now)
    counts = _by_month(records.summed(_active(_followed(data, now, [month.window for month in shown], days)), ["month"]), shown)
    value = counts["n_events"].where(counts["n"] > 0)  # before the data nothing is known, which is not 0
    table, window = counts[["month", "n"]].assign(value=value, horizon=days), shown[-1].last(months)
    return schema.result("retention.active", table, by=["month"], view="snapshot", window=window, as_of=now)


def active_records(data: Dataset, now: pd.Timestamp, window: Window) -> nw.LazyFrame:
    """Who counts among the customers up to the end of a window: those active then are the events."""
    return _active(_followed(data, now, [window], activity_window(data, as_of=now)))


def _active(rows: nw.LazyFrame) -> nw.LazyFrame:
    return records.counted(records.with_reason(rows, (~nw.col("is_known"), records.AFTER)), (AFTER, EVENT))


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
    now, shown = data.instant(as_of), last_months(data, as_of, months, span)
    days, windows = activity_window(data, as_of=now), [month.last(span) for month in shown]
    table = _by_month(engine.counts(_followed(data, now, windows, days), ["month"], **ACCOUNT), shown)
    table = table.assign(n=table["start"], provisional=_provisional(data, now, windows, days))
    table["value"] = ((table["end"] - table["start"]) / table["start"]).where(table["start"] > 0)
    window, more = shown[-1].last(months + span - 1), [*ACCOUNT, "provisional"]
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
    now, shown = data.instant(as_of), last_months(data, as_of, months, span)
    days, windows = activity_window(data, as_of=now), [month.last(span) for month in shown]
    counts = records.summed(_kept(_followed(data, now, windows, days)), ["month"]).drop(columns="n_open")
    table = intervals.with_share(_by_month(counts, shown), level).assign(provisional=_provisional(data, now, windows, days))
    window = shown[-1].last(months + span - 1)
    return schema.result("retention.kept", table, by=["month"], view="period", window=window, as_of=now, more=["provisional"])


def kept_records(data: Dataset, now: pd.Timestamp, window: Window) -> nw.LazyFrame:
    """Who counts among the customers active at the start of a window: those still active at its end are the events."""
    return _kept(_followed(data, now, [window], activity_window(data, as_of=now)))


def _kept(rows: nw.LazyFrame) -> nw.LazyFrame:
    return records.counted(records.with_reason(rows, (~BEFORE, records.INACTIVE)), (AFTER, EVENT))


def last_months(data: Dataset, as_of: Instant, months: int, span: int = 1) -> list[Month]:
    """Find the last months that are over; periods of no length are refused."""
    if span < 1 or months < 1:
        raise ParameterError(f"months={months}, span={span}: both must be at least 1")
    last = Month.of(periods.month_number(periods.local_date(data.instant(as_of), data.company.timezone))).previous
    return [last.shift(back) for back in range(1 - months, 1)]


def _followed(data: Dataset, now: pd.Timestamp, windows: list[Window], days: int | None) -> nw.LazyFrame:
    """Tell of each customer and window (``month``: its last) who was active at its start and at its end, and who had bought by then."""
    edges = sorted({edge for window in windows for edge in (window.start, window.end)})
    flags = data.engine.keep(facts.activity(data, now, edges, days))
    parts = []
    for window in windows:
        before, after = (nw.col(f"a{edges.index(edge)}") == 1 for edge in (window.start, window.end))
        is_old, is_known = (nw.col("first_day") < day for day in window.days)
        month = nw.lit(window.months[1] - 1).alias("month")
        flagged = {"before": before, "after": after, "is_old": is_old, "is_known": is_known}
        parts.append(flags.select("customer_id", month, **flagged))
    return nw.concat(parts)


def _by_month(counts: pd.DataFrame, shown: list[Month]) -> pd.DataFrame:
    return counts.set_index("month").reindex([month.number for month in shown], fill_value=0).reset_index()


def _provisional(data: Dataset, now: pd.Timestamp, windows: list[Window], days: int | None) -> list[bool]:
    if days is None:
        return [False] * len(windows)
    known = all_days(data, facts.purchases(data, now), "day", now).days[0] + days
    return [window.days[0] < known for window in windows]
