"""What the clock on the wall said at an instant: local day and month, seconds, business seconds, looked up in the calendar of the data set."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TypeVar, cast

import narwhals.stable.v2 as nw
import pandas as pd

from kpi import engine, periods
from kpi.dataset import Dataset
from kpi.periods import Window

DAY_SECONDS = 86_400

Stored = TypeVar("Stored")
Fact = Callable[[Dataset, pd.Timestamp], nw.LazyFrame]


def clocked(data: Dataset, frame: nw.LazyFrame, column: str, *fields: str, team: bool = False) -> nw.LazyFrame:
    """Add to each row what the clock said at an instant."""
    stem = column.removesuffix("_at").removesuffix("at")
    stem = f"{stem}_" if stem else "at_"
    at = nw.col(column)
    calendar, own = (data.team_calendar, ["team"]) if team and data.team_calendar is not None else (data.calendar, [])
    calendar = calendar.rename({name: f"__{name}" for name in _CALENDAR})
    keys = {"__hour_utc": at.dt.truncate("1h"), "__quarter": (at.dt.minute() // 15).cast(nw.Int64)}
    kept = frame.collect_schema().names()
    frame = frame.with_columns(**keys).join(calendar, on=[*own, *keys], how="left")
    within = (at.dt.minute().cast(nw.Int64) % 15) * 60 + at.dt.second().cast(nw.Int64)
    values = {
        "seconds": nw.col("__epoch") + within,
        "business": nw.col("__open_seconds") + nw.col("__is_open") * within,
        "day": nw.col("__day"),
        "month": nw.col("__month"),
        "weekday": nw.col("__weekday"),
        "hour": nw.col("__hour"),
        "open": nw.col("__is_open"),
    }
    return frame.select(*kept, *[values[field].alias(f"{stem}{field}") for field in fields])


_CALENDAR = ("hour_utc", "quarter", "epoch", "day", "month", "weekday", "hour", "is_open", "open_seconds")


def numbered(data: Dataset, frame: nw.LazyFrame, column: str) -> nw.LazyFrame:
    """Add the day number of a date, which belongs to no time zone."""
    every = pd.date_range("1970-01-01", "2099-12-31", unit="us")
    dates = stored(data, ("dates",), lambda: data.engine.put(pd.DataFrame({"__on": every, "__number": range(len(every))})))
    dates = dates.rename({"__number": f"{column.removesuffix('_on')}_day"})
    frame = frame.with_columns(nw.col(column).cast(nw.Datetime("us")).alias("__date"))
    return frame.join(dates, left_on="__date", right_on="__on", how="left").drop("__date")


def quarter_of(data: Dataset, month: str) -> nw.Expr:
    """Number the quarter of a month in the company's fiscal years, each named after the year it starts in."""
    return ((nw.col(month) - (data.company.fiscal_year_starts - 1)) // 3).cast(nw.Int64)


def on_days(days: nw.Expr, window: Window) -> nw.Expr:
    """Tell whether a day number lies inside a window."""
    first, after = window.days
    return (days >= first) & (days < after)


def last_day(data: Dataset, as_of: pd.Timestamp) -> int:
    """Tell the last fully observed local day, on which open records are censored."""
    return periods.day_number(periods.local_date(as_of, data.company.timezone)) - 1


def all_days(data: Dataset, rows: nw.LazyFrame, column: str, as_of: pd.Timestamp) -> Window:
    """Cover the days from the first one of some rows to the last observed one; none where there are no rows."""
    first, after = engine.collect(rows.select(nw.col(column).min().alias("first")))["first"].iloc[0], last_day(data, as_of) + 1
    return Window(periods.day_of(after if pd.isna(first) else int(first)), periods.day_of(after))


def once(build: Fact) -> Fact:
    """Compute a fact once per data set and instant, and store it on the engine."""

    @wraps(build)
    def remembered(data: Dataset, as_of: pd.Timestamp) -> nw.LazyFrame:
        return stored(data, (build.__qualname__, as_of), lambda: data.engine.keep(build(data, as_of)))

    return remembered


def stored(data: Dataset, key: tuple, build: Callable[[], Stored]) -> Stored:
    """Build a table, or whatever else takes long, once per data set."""
    if key not in data.facts:
        data.facts[key] = build()
    return cast(Stored, data.facts[key])
