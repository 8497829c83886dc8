"""Local time to UTC in SQL: a zone's changes of offset, written out as a CASE over the span of the data.

The engine's own conversion takes the later of two equal local hours and has its own copy of the zone data; this one takes the first, as Python does.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

DAY, SECOND = timedelta(days=1), timedelta(seconds=1)


@dataclass(frozen=True)
class Change:
    """A change of a zone's offset."""

    first: datetime
    last: datetime
    before: int
    after: int


@lru_cache
def changes(zone: str, first_year: int, last_year: int) -> tuple[int, tuple[Change, ...]]:
    """List a zone's changes of offset."""
    info = ZoneInfo(zone)

    def offset(moment: datetime) -> int:
        return int((moment.astimezone(info).utcoffset() or timedelta()).total_seconds())

    def changed(day: datetime) -> datetime:
        return day + SECOND * bisect_left(range(86_400), True, key=lambda second: offset(day + SECOND * second) != offset(day))

    start, found = datetime(first_year, 1, 1, tzinfo=UTC) - DAY, []
    days = [start + DAY * n for n in range((datetime(last_year + 1, 1, 2, tzinfo=UTC) - start).days)]
    for moment in [changed(day) for day in days if offset(day) != offset(day + DAY)]:
        before, after, local = offset(moment - SECOND), offset(moment), moment.replace(tzinfo=None)
        edges = local + SECOND * before, local + SECOND * after
        found.append(Change(min(edges), max(edges), before, after))
    return offset(start), tuple(found)


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
    spans = [change for change in changes(zone, *years)[1] if (change.after > change.before) == gaps]
    tests = [f"({local} >= timestamp '{span.first}' and {local} < timestamp '{span.last}')" for span in spans]
    return " or ".join(tests) or "false"
