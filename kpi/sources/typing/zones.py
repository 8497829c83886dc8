"""Local time to UTC in SQL: a zone's changes of offset, written out as a CASE over the span of the data.

The engine's own conversion takes the later of two equal local hours and has its own copy of the zone data; this one takes the first, as Python does.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Change:
    """A change of a zone's offset."""

    first: datetime
    last: datetime
    before: int
    after: int

    @property
    def is_gap(self) -> bool:
        """Whether the local times in between do not exist."""
        return self.after > self.before


@lru_cache
def changes(zone: str, first_year: int, last_year: int) -> tuple[int, tuple[Change, ...]]:
    """List a zone's changes of offset."""
    info = ZoneInfo(zone)

    def offset(moment: datetime) -> int:
        return int((moment.astimezone(info).utcoffset() or timedelta()).total_seconds())

    day, end = datetime(first_year, 1, 1, tzinfo=UTC) - DAY, datetime(last_year + 1, 1, 2, tzinfo=UTC)
    start, found = offset(day), []
    before = start
    while day < end:
        after = offset(day + DAY)
        if after != before:
            low, high = day, day + DAY
            while high - low > timedelta(seconds=1):
                middle = low + timedelta(seconds=(high - low).total_seconds() // 2)
                low, high = (middle, high) if offset(middle) == before else (low, middle)
            local = high.replace(tzinfo=None)
            edges = local + timedelta(seconds=before), local + timedelta(seconds=after)
            found.append(Change(min(edges), max(edges), before, after))
            before = after
        day += DAY
    return start, tuple(found)


def utc(local: str, zone: str, years: tuple[int, int]) -> str:
    """Write the SQL that turns a naive local timestamp into naive UTC.

    A local time that does not exist is moved forward by the length of the gap; one that occurs twice means its first occurrence.
    """
    start, found = changes(zone, *years)
    if not found:
        return f"{local} - to_seconds({start})"
    # Up to the end of a gap or overlap the offset before the change applies (PEP 495, fold 0).
    cases = " ".join(f"when {local} < timestamp '{change.last}' then {change.before}" for change in found)
    return f"{local} - to_seconds(case {cases} else {found[-1].after} end)"


def odd_hours(local: str, zone: str, years: tuple[int, int], *, gaps: bool) -> str:
    """Write the SQL condition that a local timestamp does not exist, or occurs twice."""
    spans = [change for change in changes(zone, *years)[1] if change.is_gap == gaps]
    tests = [f"({local} >= timestamp '{span.first}' and {local} < timestamp '{span.last}')" for span in spans]
    return " or ".join(tests) or "false"
