"""Durations, dates and instants in the reader's language."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

from babel.dates import format_date, get_timezone_location

from kpi.presentation.language.numbers import MISSING, missing, rounded
from kpi.presentation.language.sentences import Sentences
from kpi.presentation.language.translations import NBSP


class Dates(Sentences):
    """How one language writes times."""

    def days(self, n: float | None) -> str:
        """Write a length in days."""
        if n is None or missing(n):
            return MISSING
        exact = rounded(n, 1)
        digits = 1 if abs(exact) < 10 and exact % 1 else 0
        return self.number(n, digits) + NBSP + self.say_n("day", "days", float(rounded(n, digits)))

    def duration(self, seconds: float | None) -> str:
        """Write how long something took."""
        if seconds is None or missing(seconds):
            return MISSING
        if seconds < 59.5:
            return self.number(seconds) + NBSP + "s"
        minutes = int(rounded(seconds / 60, 0))
        if minutes < 60:
            return self.number(minutes) + NBSP + "min"
        if minutes < 24 * 60:
            hours, rest = divmod(minutes, 60)
            return f"{hours}{NBSP}h" + (f"{NBSP}{rest:02d}" if rest else "")
        return self.days(seconds / 86_400)

    def date(self, day: dt.date | None) -> str:
        """Write a date in full."""
        if day is None or missing(day):
            return MISSING
        first = "1er" if self.lang == "fr" and day.day == 1 else str(day.day)
        return f"{first}{NBSP}{format_date(day, 'MMMM y', locale=self.lang)}"

    def month(self, month: object) -> str:
        """Write a month with its year."""
        return format_date(_first_day(month), "LLLL y", locale=self.lang)

    def month_short(self, month: object) -> str:
        """Write the name of a month, short."""
        return format_date(_first_day(month), "LLL", locale=self.lang)

    def weekday(self, number: int) -> str:
        """Write the name of a day of the week, short."""
        return format_date(dt.date(2024, 1, 1 + number), "EEE", locale=self.lang)  # 1 January 2024 was a Monday

    def clock(self, time: dt.time | dt.datetime) -> str:
        """Write a time of day."""
        if self.lang == "en":
            return f"{time.hour:02d}:{time.minute:02d}"
        return f"{time.hour}{NBSP}h" + (f"{NBSP}{time.minute:02d}" if time.minute else "")

    def when(self, at: dt.datetime | None, zone: str) -> str:
        """Write an instant of the last months in local time."""
        if at is None or missing(at):
            return MISSING
        local = _local(at, zone)
        return f"{format_date(local, 'EEE d MMM', locale=self.lang)}, {self.clock(local)}".replace(" ", NBSP, 2)

    def moment(self, at: dt.datetime | None, zone: str) -> str:
        """Write an instant in full, with the place whose clock it is."""
        if at is None or missing(at):
            return MISSING
        local, place = _local(at, zone), get_timezone_location(zone, locale=self.lang, return_city=True)
        return self.say("{date}, {clock} {place}", date=self.date(local), clock=self.clock(local), place=place)


def _first_day(month: object) -> dt.date:
    return month if isinstance(month, dt.date) else dt.date.fromisoformat(f"{month}-01")


def _local(at: dt.datetime, zone: str) -> dt.datetime:
    return (at if at.tzinfo else at.replace(tzinfo=dt.UTC)).astimezone(ZoneInfo(zone))
