"""Active customers, and the account of how their number changed: new + reactivated - lost = end - start, exactly."""

from __future__ import annotations

from datetime import date

import narwhals.stable.v2 as nw
import pandas as pd

from kpi import engine, facts, periods, schema
from kpi.dataset import Dataset
from kpi.errors import ParameterError
from kpi.facts import records
from kpi.facts.records import EVENT
from kpi.periods import Instant, Month, Window
from kpi.statistics import intervals

COUNTED = ("reason", "counted_as")
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
    check_lengths(months)
    now, last = data.instant(as_of), last_month(data, as_of)
    days = activity_window(data, as_of=now)
    shown = [last.shift(back) for back in range(1 - months, 1)]
    flags = data.engine.keep(facts.activity(data, now, [month.end for month in shown], days))
    rows = [_active(flags, number, month.end).select(*COUNTED, nw.lit(month.number).alias("month")) for number, month in enumerate(shown)]
    counts = records.summed(nw.concat(rows), ["month"]).set_index("month").reindex([month.number for month in shown], fill_value=0)
    value = counts["n_events"].where(counts["n"] > 0)  # before the data nothing is known, which is not 0
    table = counts[["n"]].assign(value=value, horizon=days).reset_index()
    return schema.result("retention.active", table, by=["month"], view="snapshot", window=Window(shown[0].start, last.end), as_of=now)


def active_records(data: Dataset, now: pd.Timestamp, end: date) -> nw.LazyFrame:
    """Who counts among the customers so far: the active ones are the events."""
    return _active(facts.activity(data, now, [end], activity_window(data, as_of=now)), 0, end)


def _active(flags: nw.LazyFrame, number: int, end: date) -> nw.LazyFrame:
    so_far = nw.col("first_day") < periods.day_number(end)
    return records.counted(records.with_reason(flags, (~so_far, records.AFTER)), (nw.col(f"a{number}") == 1, EVENT))


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
    counts: dict[str, nw.Expr] = {}
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
    check_lengths(months, span)
    now, last = data.instant(as_of), last_month(data, as_of)
    days = activity_window(data, as_of=now)
    shown = [last.shift(back) for back in range(1 - months, 1)]
    starts = [month.shift(1 - span) for month in shown]
    edges = sorted({edge for start, end in zip(starts, shown, strict=True) for edge in (start.start, end.end)})
    flags = data.engine.keep(facts.activity(data, now, edges, days))
    rows = [
        _kept(flags, edges.index(start.start), edges.index(end.end)).select(*COUNTED, nw.lit(end.number).alias("month"))
        for start, end in zip(starts, shown, strict=True)
    ]
    counts = records.summed(nw.concat(rows), ["month"]).drop(columns="n_open").set_index("month")
    table = intervals.with_share(counts.reindex([month.number for month in shown], fill_value=0), level).reset_index()
    table["provisional"] = _provisional(data, now, starts, days)
    window = Window(starts[0].start, last.end)
    return schema.result("retention.kept", table, by=["month"], view="period", window=window, as_of=now, more=["provisional"])


def kept_records(data: Dataset, now: pd.Timestamp, window: Window) -> nw.LazyFrame:
    """Who counts among the customers active at the start of a window: those still active at its end are the events."""
    return _kept(facts.activity(data, now, [window.start, window.end], activity_window(data, as_of=now)), 0, 1)


def _kept(flags: nw.LazyFrame, start: int, end: int) -> nw.LazyFrame:
    """By the places of the boundaries where a period starts and ends."""
    rows = records.with_reason(flags, (nw.col(f"a{start}") != 1, records.INACTIVE))
    return records.counted(rows, (nw.col(f"a{end}") == 1, EVENT))


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
