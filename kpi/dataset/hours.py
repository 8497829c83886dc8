"""When the company and its teams are at work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date

import holidays
import pandas as pd

from kpi import periods
from kpi.errors import DataError

OFFICE_HOURS = dict.fromkeys(periods.WEEKDAYS[:5], ("09:00-12:00", "14:00-18:00"))


@dataclass(frozen=True)
class Hours:
    """When somebody is at work."""

    zone: str
    week: list
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


def hours_of_teams(company: Hours, weeks: Mapping[str, Mapping], calendars: pd.DataFrame | None) -> dict[str, Hours]:
    """Find the teams that keep hours of their own."""
    rules = {team: replace(company, week=periods.open_windows(week)) for team, week in weeks.items()}
    if calendars is None:
        return rules
    for team, found in calendars.dropna(subset=["team"]).groupby("team"):
        windows: dict[str, list[str]] = {}
        for row in found.itertuples():
            if not 0 <= row.weekday <= 6:
                raise DataError(f"calendars has the weekday {row.weekday} for {team}; Monday is 0 and Sunday 6")
            windows.setdefault(periods.WEEKDAYS[int(row.weekday)], []).append(f"{row.opens}-{row.closes}")
        zone, country = (found[name].dropna() for name in ("zone", "country"))
        own = Hours(zone.iloc[0] if len(zone) else company.zone, [], country.iloc[0] if len(country) else company.country)
        rules[str(team)] = replace(own, week=periods.open_windows(windows))
    return rules


def calendars(
    company: Hours, teams: Mapping[str, Hours], first: pd.Timestamp, ends_at: pd.Timestamp, last: pd.Timestamp
) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Build the company's calendar, and those of the teams that keep hours of their own."""
    # Room before the first event for touches and windows, after the last for as_of; a stray date far away must not blow the table up.
    start = max(first, ends_at - pd.Timedelta(days=40 * 366)) - pd.Timedelta(days=400)
    end = min(max(last, ends_at), ends_at + pd.Timedelta(days=400)) + pd.Timedelta(days=62)
    parts = [hours.calendar(start, end).assign(team=team) for team, hours in sorted(teams.items())]
    return company.calendar(start, end), pd.concat(parts, ignore_index=True) if parts else None
