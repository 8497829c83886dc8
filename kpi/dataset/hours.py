"""When the company and its teams are at work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import holidays
import pandas as pd

from kpi import periods
from kpi.errors import DataError

OFFICE_HOURS = dict.fromkeys(periods.WEEKDAYS[:5], ("09:00-12:00", "14:00-18:00"))


@dataclass(frozen=True)
class Hours:
    """When somebody is at work."""

    zone: str
    week: list[list[tuple[int, int]]]
    country: str

    def calendar(self, start: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
        """Build the helper table of these hours."""
        return periods.calendar(self.zone, self.week, self._closed(start, end), start, end)

    def _closed(self, start: pd.Timestamp, end: pd.Timestamp) -> set[date]:
        if not self.country:
            return set()
        try:
            return set(holidays.country_holidays(self.country, years=range(start.year, end.year + 1)))
        except NotImplementedError:
            raise DataError(f"no public holidays are known for the country {self.country!r}; leave it empty, or check the code") from None


def company_hours(hours: Mapping[str, Any]) -> Mapping[str, Sequence[str]]:
    """Take the hours of the company from those stated, among which a team's are a table of their own."""
    return {day: windows for day, windows in hours.items() if not isinstance(windows, Mapping)} or OFFICE_HOURS


def calendars(
    zone: str, country: str, hours: Mapping[str, Any], rows: pd.DataFrame | None, stamps: tuple[pd.Timestamp, pd.Timestamp, pd.Timestamp]
) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Build the company's calendar, and those of the teams that keep hours of their own; stamps are the first event, the end, the last event."""
    company = Hours(zone, periods.open_windows(company_hours(hours)), country)
    stated = {team: replace(company, week=periods.open_windows(week)) for team, week in hours.items() if isinstance(week, Mapping)}
    teams = stated | ({} if rows is None else _hours_by_team(company, rows))
    # Room before the first event for touches and windows, after the last for as_of; a stray date far away must not blow the table up.
    first, ends_at, last = stamps
    start = max(first, ends_at - pd.Timedelta(days=40 * 366)) - pd.Timedelta(days=400)
    end = min(max(last, ends_at), ends_at + pd.Timedelta(days=400)) + pd.Timedelta(days=62)
    parts = [own.calendar(start, end).assign(team=team) for team, own in sorted(teams.items())]
    return company.calendar(start, end), pd.concat(parts, ignore_index=True) if parts else None


def _hours_by_team(company: Hours, rows: pd.DataFrame) -> dict[str, Hours]:
    """Read the table `calendars`."""
    teams = {}
    for team, found in rows.dropna(subset=["team"]).groupby("team"):
        windows: dict[str, list[str]] = {}
        for row in found.itertuples():
            if not 0 <= row.weekday <= 6:
                raise DataError(f"calendars has the weekday {row.weekday} for {team}; Monday is 0 and Sunday 6")
            windows.setdefault(periods.WEEKDAYS[int(row.weekday)], []).append(f"{row.opens}-{row.closes}")
        zone, country = ([*found[name].dropna(), default][0] for name, default in (("zone", company.zone), ("country", company.country)))
        teams[str(team)] = Hours(zone, periods.open_windows(windows), country)
    return teams
