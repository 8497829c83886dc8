"""Local time and open hours of the simulated company, on whole arrays of instants (seconds since 1970, UTC)."""

from __future__ import annotations

from functools import lru_cache

import holidays
import numpy as np
import pandas as pd

from tests.simulated.company import Company

DAY = 86_400


class Clock:
    """Converts between UTC, local time and open hours.

    Parameters
    ----------
    company : Company
        Gives time zone, country (public holidays) and open windows.
    """

    def __init__(self, company: Company) -> None:
        self.first = company.first_day - 31 * (company.history_months + 2)
        self.last = company.export_day + 1200
        self.origin = (self.first - 2) * DAY
        grid = pd.date_range(pd.Timestamp(self.origin, unit="s"), pd.Timestamp((self.last + 2) * DAY, unit="s"), freq="h", unit="s")
        local = grid.tz_localize("UTC").tz_convert(company.timezone).tz_localize(None)
        self.offsets = (local - grid).to_numpy().astype("timedelta64[s]").astype("int64")
        self.holidays = self._holidays(company)
        self.workday = self._workdays()
        self.opens, self.closes = self._windows(company)
        self.before = np.concatenate([[0.0], np.cumsum(self.closes - self.opens)])

    def _holidays(self, company: Company) -> np.ndarray:
        years = range(pd.Timestamp(self.first * DAY, unit="s").year, pd.Timestamp(self.last * DAY, unit="s").year + 1)
        days = holidays.country_holidays(company.country, years=years)
        return np.array(sorted((pd.Timestamp(day) - pd.Timestamp(0)).days for day in days), dtype="int64")

    def _workdays(self) -> np.ndarray:
        days = np.arange(self.first, self.last + 1)
        return (weekday(days) < 5) & ~np.isin(days, self.holidays)

    def _windows(self, company: Company) -> tuple[np.ndarray, np.ndarray]:
        days = np.arange(self.first, self.last + 1)[self.workday]
        windows = [[int(text[:2]) * 3600 + int(text[3:]) * 60 for text in window] for window in company.hours]
        opens = np.sort((days[:, None] * DAY + np.array([start for start, _ in windows])).ravel())
        closes = np.sort((days[:, None] * DAY + np.array([end for _, end in windows])).ravel())
        return self.utc(opens).astype("float64"), self.utc(closes).astype("float64")

    def offset(self, at: np.ndarray) -> np.ndarray:
        """Seconds by which local time is ahead of UTC."""
        return self.offsets[((at - self.origin) // 3600).astype("int64")]

    def local(self, at: np.ndarray) -> np.ndarray:
        """Local wall-clock seconds of UTC instants."""
        return at + self.offset(at)

    def utc(self, local: np.ndarray) -> np.ndarray:
        """UTC instants of local wall-clock seconds (the later one where the clock is set back)."""
        guess = local - self.offset(local)
        return local - self.offset(guess)

    def day(self, at: np.ndarray) -> np.ndarray:
        """Local day numbers of UTC instants."""
        return (self.local(at) // DAY).astype("int64")

    def worked(self, at: np.ndarray) -> np.ndarray:
        """Open seconds that have passed up to UTC instants."""
        last = np.searchsorted(self.opens, at, side="right") - 1
        return self.before[last] + np.minimum(at - self.opens[last], self.closes[last] - self.opens[last])

    def after(self, at: np.ndarray, seconds: np.ndarray) -> np.ndarray:
        """UTC instants at which so many open seconds have passed since `at`."""
        target = self.worked(at) + seconds
        window = np.clip(np.searchsorted(self.before, target, side="right") - 1, 0, len(self.opens) - 1)
        return self.opens[window] + np.minimum(target - self.before[window], self.closes[window] - self.opens[window])

    def within(self, days: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Random UTC instants between 9 and 18 h local, lunch left out, on local days."""
        seconds = rng.uniform(0, 7 * 3600, len(days))
        return self.utc(days * DAY + 9 * 3600 + seconds + np.where(seconds > 3 * 3600, 7200, 0))


@lru_cache(maxsize=8)
def clock_of(company: Company) -> Clock:
    """The clock of a company, built once."""
    return Clock(company)


def weekday(days: np.ndarray) -> np.ndarray:
    """Weekday of day numbers, Monday 0."""
    return (days + 3) % 7


def instants(seconds: np.ndarray) -> np.ndarray:
    """Naive UTC microseconds of seconds since 1970, cut to whole seconds; missing stays missing."""
    seconds = np.asarray(seconds, dtype="float64")
    missing = np.isnan(seconds)
    stamps = np.floor(np.where(missing, 0, seconds)).astype("int64").astype("M8[s]").astype("M8[us]")
    stamps[missing] = np.datetime64("NaT")
    return stamps


def dates(days: np.ndarray) -> np.ndarray:
    """Dates of local day numbers as midnight stamps; missing stays missing."""
    return instants(np.asarray(days, dtype="float64") * DAY)


def months_of(days: np.ndarray) -> np.ndarray:
    """Months since 1970-01 of local day numbers."""
    return np.asarray(days, dtype="int64").astype("M8[D]").astype("M8[M]").astype("int64")
