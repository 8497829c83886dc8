"""Since when outcomes were recorded: where deals or activities begin long after the leads, what became of the earlier ones is not known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np

from kpi.engine import Connection
from kpi.sources import sql

EXPECTED = 10  # outcomes that the earlier leads would have had, at least, had they been recorded
STRAY = 0.1  # share of them that may be there all the same: single records entered by hand afterwards
USUAL = 0.1  # share of a usual month's records from which on a month counts as recorded


@dataclass(frozen=True)
class Recording:
    """Since when a table records what becomes of the leads."""

    since: date
    earlier: int
    recorded: int
    expected: int

    def __str__(self) -> str:
        return f"{self.since}: {self.earlier} leads came before, with {self.recorded} outcomes where {self.expected} would be usual"


def recorded_from(connection: Connection, tables: Mapping[str, str], provided: Mapping[str, frozenset[str]], zone: str) -> dict[str, Recording]:
    """Find the tables of outcomes that begin long after the leads do.

    A table begins with the first month that has a tenth of a usual month's records. It begins too late where the leads from before, at the rate and
    speed of the later ones, would have had at least `EXPECTED` outcomes before its first day, and hardly any (`STRAY`) is there.
    """
    if "leads" not in tables:
        return {}
    found = {name: recording(_outcomes(connection, links, tables["leads"], zone)) for name, links in _links(tables, provided).items()}
    return {name: one for name, one in found.items() if one is not None}


def _links(tables: Mapping[str, str], provided: Mapping[str, frozenset[str]]) -> dict[str, str]:
    """SQL of each outcome with the lead it belongs to, by table: ``lead_id``, ``at``."""
    found = {}
    if "activities" in tables and "lead_id" in provided["activities"]:
        found["activities"] = f'select lead_id, "at" from {tables["activities"]} where lead_id is not null'
    if "opportunities" in tables and "created_at" in provided["opportunities"]:
        leads, deals, parts = tables["leads"], tables["opportunities"], []
        if "lead_id" in provided["opportunities"]:
            parts.append(f'select lead_id, created_at as "at" from {deals} where lead_id is not null')
        if "opportunity_id" in provided["leads"]:
            parts.append(f'select l.lead_id, d.created_at as "at" from {leads} l join {deals} d on l.opportunity_id = d.opportunity_id')
        if parts:
            found["opportunities"] = " union ".join(parts)
    return found


def _outcomes(connection: Connection, links: str, leads: str, zone: str) -> list[tuple[date, date | None, int]]:
    """Local days on which leads came and on which their first outcome did, with the number of such leads."""
    made, came = (sql.local_day(at, zone) for at in ("l.created_at", 'o."at"'))
    each = f"select {made} as made, min({came}) as came from {leads} l left join ({links}) o on l.lead_id = o.lead_id group by l.lead_id, made"
    return connection.execute(f"select made, came, count(*) from ({each}) group by all order by all").fetchall()


def recording(outcomes: list[tuple[date, date | None, int]]) -> Recording | None:
    """Tell whether outcomes begin long after the leads."""
    since = _first_day(outcomes)
    if since is None:
        return None
    leads_by_age = [(made, None if came is None else (came - made).days, n) for made, came, n in outcomes]
    recorded = sum(n for made, age, n in leads_by_age if made < since and age is not None and age < (since - made).days)
    expected = _expected(leads_by_age, since)
    earlier = sum(n for made, _, n in leads_by_age if made < since)
    return Recording(since, earlier, recorded, round(expected)) if expected >= EXPECTED and recorded <= STRAY * expected else None


def _first_day(outcomes: list[tuple[date, date | None, int]]) -> date | None:
    """First day of the first month that is no stray: with a tenth of the median of the months from it on."""
    months: dict[tuple[int, int], list[tuple[date, int]]] = {}
    for _, came, n in outcomes:
        if came is not None:
            months.setdefault((came.year, came.month), []).append((came, n))
    counted = [(sum(n for _, n in days), min(day for day, _ in days)) for _, days in sorted(months.items())]
    sizes = [n for n, _ in counted]
    return next((first for place, (n, first) in enumerate(counted) if n >= USUAL * float(np.median(sizes[place:]))), None)


def _expected(leads_by_age: list[tuple[date, int | None, int]], since: date) -> float:
    """Outcomes before a day, had the earlier leads fared as the later ones; these are not all old enough, so it is rather too few."""
    later = [(age, n) for made, age, n in leads_by_age if made >= since]
    total = sum(n for _, n in later)
    if not total:
        return 0.0
    ages = sorted((age, n) for age, n in later if age is not None and age >= 0)
    days, shares = [age for age, _ in ages], np.cumsum([n for _, n in ages]) / total
    before = [((since - made).days, n) for made, _, n in leads_by_age if made < since]
    places = np.searchsorted(np.array(days, dtype=int), np.array([gap - 1 for gap, _ in before], dtype=int), side="right")
    return float(sum(n * shares[place - 1] for (_, n), place in zip(before, places, strict=True) if place))
