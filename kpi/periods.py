"""Months, windows of local dates, instants, and the calendar that turns an instant into local and business time.

SQL engines neither convert zones nor subtract instants through Narwhals. So all of that is looked up in one helper table, a row per quarter of an
hour in UTC: local day, month, weekday, hour, and the business seconds that had passed when the quarter began.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TypeAlias
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from kpi.errors import DataError, ParameterError

QUARTER = 900  # seconds
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_EPOCH = date(1970, 1, 1)
_ISO_DATE = r"\d{4}-\d{2}-\d{2}"
_ISO_INSTANT = rf"{_ISO_DATE}([T ]\d{{2}}:\d{{2}}(:\d{{2}}(\.\d+)?)?( ?(Z|[+-]\d{{2}}(:?\d{{2}})?))?)?"

Instant: TypeAlias = str | date | datetime | pd.Timestamp


@dataclass(frozen=True)
class Window:
    """Local dates from `start` (included) to `end` (excluded)."""

    start: date
    end: date

    @classmethod
    def parse(cls, value: WindowLike) -> Window:
        """Read a window as a notebook writes it.

        Parameters
        ----------
        value : Window, str or pair of dates
            A window; a month ``2026-10``; a quarter ``2026-Q4``; or two dates, ISO text or `date`, the first included, the second excluded.

        Returns
        -------
        Window

        Raises
        ------
        ParameterError
            If it is none of these, or holds no day.
        """
        if isinstance(value, Window):
            return value
        quarter = re.fullmatch(r"(\d{4})-Q([1-4])", value) if isinstance(value, str) else None
        if quarter:
            return Month(int(quarter[1]), 3 * int(quarter[2])).last(3)
        try:
            if isinstance(value, str):
                return Month.parse(value).window
            start, end = (_iso_date(day) for day in value)
        except (TypeError, ValueError):
            raise ParameterError(f'window {value!r} is no window; write "2026-10", "2026-Q4" or ("2026-10-01", "2026-11-01")') from None
        if start >= end:
            raise ParameterError(f"window {value!r} has no day: the first date is included, the second is not")
        return cls(start, end)

    @property
    def days(self) -> tuple[int, int]:
        """First day and the day after the last, as day numbers."""
        return day_number(self.start), day_number(self.end)

    @property
    def months(self) -> tuple[int, int]:
        """Month number of the first day and the one after that of the last day."""
        last = self.end - timedelta(days=1)
        return month_number(self.start), month_number(last) + 1


@dataclass(frozen=True, order=True)
class Month:
    """A calendar month in the company's time zone."""

    year: int
    month: int

    @classmethod
    def parse(cls, text: str) -> Month:
        """Read ``2026-10``.

        Parameters
        ----------
        text : str
            Year and month.

        Returns
        -------
        Month

        Raises
        ------
        ParameterError
            If the text is no month.
        """
        match = re.fullmatch(r"(\d{4})-(0[1-9]|1[0-2])", str(text))
        if not match:
            raise ParameterError(f"month {text!r} is not a month; write it as 2026-10")
        return cls(int(match[1]), int(match[2]))

    @classmethod
    def of(cls, number: int) -> Month:
        """Turn a month number (see `month_number`) back into a month.

        Parameters
        ----------
        number : int
            Month number.

        Returns
        -------
        Month
        """
        return cls(int(number) // 12, int(number) % 12 + 1)

    @property
    def number(self) -> int:
        """Months since year 0; consecutive months differ by one."""
        return self.year * 12 + self.month - 1

    @property
    def start(self) -> date:
        """First day."""
        return date(self.year, self.month, 1)

    @property
    def end(self) -> date:
        """First day of the next month."""
        return self.shift(1).start

    @property
    def window(self) -> Window:
        """The days of the month."""
        return Window(self.start, self.end)

    @property
    def previous(self) -> Month:
        """The month before."""
        return self.shift(-1)

    def shift(self, months: int) -> Month:
        """Move by a number of months.

        Parameters
        ----------
        months : int
            How far; negative goes back.

        Returns
        -------
        Month
        """
        return Month.of(self.number + months)

    def before(self, months: int) -> Window:
        """Cover the months before this one.

        Parameters
        ----------
        months : int
            How many.

        Returns
        -------
        Window
        """
        return Window(self.shift(-months).start, self.start)

    def last(self, months: int) -> Window:
        """Cover the months up to and including this one.

        Parameters
        ----------
        months : int
            How many.

        Returns
        -------
        Window
        """
        return Window(self.shift(1 - months).start, self.end)

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.month:02d}"


WindowLike: TypeAlias = Window | str | tuple[str | date, str | date] | list[str] | list[date]


def _iso_date(value: str | date) -> date:
    """Read a date, or a text that is an ISO date and nothing else."""
    if isinstance(value, str) and re.fullmatch(_ISO_DATE, value):
        return date.fromisoformat(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    raise ValueError(f"{value!r} is no date")


def day_number(day: date) -> int:
    """Count the days since 1970-01-01."""
    return (date(day.year, day.month, day.day) - _EPOCH).days


def day_of(number: int) -> date:
    """Turn a day number back into a date."""
    return _EPOCH + timedelta(days=int(number))


def month_number(day: date) -> int:
    """Number the month of a date so that consecutive months differ by one."""
    return day.year * 12 + day.month - 1


def instant(value: Instant, zone: str) -> pd.Timestamp:
    """Read an instant; a bare date means local midnight at its start, or the first instant of the day where the zone skips midnight."""
    try:
        if isinstance(value, str) and not re.fullmatch(_ISO_INSTANT, value.strip()):
            raise ValueError("it is not written year-month-day")
        stamp = pd.Timestamp(value)
        if stamp.tzinfo is None:
            # Some zones skip midnight itself: that day begins an hour later. Only a bare date may be moved so.
            bare = re.fullmatch(r"\s*\d{4}-\d{2}-\d{2}\s*", value) if isinstance(value, str) else not isinstance(value, datetime)
            stamp = stamp.tz_localize(ZoneInfo(zone), ambiguous=True, nonexistent="shift_forward" if bare else "raise")
    except (ValueError, TypeError) as error:
        raise ParameterError(f"{value!r} is no instant in {zone}; write it as 2026-11-01 or 2026-11-01T09:30+01:00 ({error})") from None
    if pd.isna(stamp):
        raise ParameterError("an instant is needed here, none was given")
    return stamp.tz_convert("UTC").tz_localize(None).as_unit("us")


def local_date(moment: pd.Timestamp, zone: str) -> date:
    """Tell the local date of a naive UTC instant."""
    return moment.tz_localize("UTC").tz_convert(ZoneInfo(zone)).date()


def year_before(day: date) -> date:
    """Find the same day a year before; of 29 February the 28th."""
    return day.replace(year=day.year - 1, day=28 if (day.month, day.day) == (2, 29) else day.day)


def last_days(as_of: pd.Timestamp, zone: str, days: int) -> Window:
    """Cover the last fully observed local days before an instant."""
    if days < 1:
        raise ParameterError(f"a window of {days} days is empty; give a positive number of days")
    end = local_date(as_of, zone)
    return Window(end - timedelta(days=int(days)), end)


def open_windows(hours: Mapping[str, Sequence[str]]) -> list[list[tuple[int, int]]]:
    """Read the opening hours of a week."""
    week: list[list[tuple[int, int]]] = [[] for _ in WEEKDAYS]
    for name, windows in hours.items():
        if name.lower() not in WEEKDAYS:
            raise DataError(f"[hours] names {name!r}, which is no weekday; use {', '.join(WEEKDAYS)}")
        for text in windows:
            match = re.fullmatch(r"\s*(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})\s*", text)
            opens, closes = (int(match[1]) * 60 + int(match[2]), int(match[3]) * 60 + int(match[4])) if match else (0, 0)
            if not match or not opens < closes <= 1440 or opens % 15 or closes % 15:
                raise DataError(f'[hours] {name} = "{text}" is no window; write "09:00-12:00", starting and ending on a quarter of an hour')
            week[WEEKDAYS.index(name.lower())].append((opens, closes))
    return week


def calendar(zone: str, week: list[list[tuple[int, int]]], closed: set[date], start: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
    """Build the helper table that turns an instant into local and business time."""
    quarters = pd.date_range(start.floor("1D"), end.ceil("1D") + pd.Timedelta(days=1), freq="15min", tz="UTC", unit="us")
    local = quarters.tz_convert(ZoneInfo(zone))
    days = local.tz_localize(None).floor("1D").as_unit("s").asi8 // 86400
    weekday, minute = local.day_of_week.to_numpy(), local.hour.to_numpy() * 60 + local.minute.to_numpy()
    is_open = np.zeros(len(quarters), dtype=bool)
    for number, windows in enumerate(week):
        for opens, closes in windows:
            is_open |= (weekday == number) & (minute >= opens) & (minute < closes)
    is_open &= ~np.isin(days, [day_number(day) for day in closed])
    naive = quarters.tz_localize(None)
    return pd.DataFrame(
        {
            "hour_utc": naive.floor("1h"),
            "quarter": naive.minute.to_numpy().astype("int64") // 15,
            "epoch": naive.as_unit("s").asi8,
            "day": days.astype("int64"),
            "month": (local.year.to_numpy() * 12 + local.month.to_numpy() - 1).astype("int64"),
            "weekday": weekday.astype("int64"),
            "hour": local.hour.to_numpy().astype("int64"),
            "is_open": is_open.astype("int64"),
            "open_seconds": np.concatenate([[0], np.cumsum(is_open)[:-1]]).astype("int64") * QUARTER,
        }
    )
