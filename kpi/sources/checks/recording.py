"""Whether outcomes were recorded, and since when: where links are empty or deals begin long after the leads, what became of these is not known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import pandas as pd

from kpi.engine import Connection
from kpi.errors import MissingLink
from kpi.schema import N_, TABLES
from kpi.sources import sql

EXPECTED = 10  # outcomes that the earlier leads would have had, at least, had they been recorded
STRAY = 0.1  # share of them that may be there all the same: single records entered by hand afterwards
LINKS = ["table", "column", "rows", "filled", "found"]
FLOOR = 0.5  # share of the filled cells of a link that must find their record
UNLINKED = N_("No data: of the {rows} rows of {table} {filled} have {column}, {found} of which find their record; nothing can rest on that link.")
NO_APPOINTMENT = N_("No data: no activity is an appointment or a meeting, so what rests on appointments is not known.")
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


def unlinked(links: pd.DataFrame, floor: float, recorded: Mapping[str, date]) -> dict[tuple[str, str], MissingLink]:
    """Find the links that no row fills, or of whose filled cells too few find their record: whatever rests on one of them is missing.

    Deals from before they were recorded may be named without being there.
    """
    poor = links[(links["rows"] > 0) & ((links["found"] == 0) | (links["found"] < floor * links["filled"]))]
    late = (poor["column"] == "opportunity_id") & (poor["found"] > 0) & ("opportunities" in recorded)
    return {
        (table, column): MissingLink(table, column, UNLINKED, {"rows": every, "filled": filled, "found": found})
        for table, column, every, filled, found in poor[~late][LINKS].itertuples(index=False)
        if TABLES[table][column].references != table  # a lead merged, an order taken back: no rate rests on how many are there
    }


def recorded_from(connection: Connection, tables: Mapping[str, str], zone: str) -> dict[str, Recording]:
    """Find the tables of outcomes that begin long after the leads do.

    A table begins with the first month that has a tenth of a usual month's records. It begins too late where the leads from before, at the rate and
    speed of the later ones, would have had at least `EXPECTED` outcomes before its first day, and hardly any (`STRAY`) is there.
    """
    if "leads" not in tables:
        return {}
    found = {name: recording(_outcomes(connection, links, tables["leads"], zone)) for name, links in _links(tables).items()}
    return {name: one for name, one in found.items() if one is not None}


def _links(tables: Mapping[str, str]) -> dict[str, str]:
    """SQL of each outcome with the lead it belongs to, by table: ``lead_id``, ``at``."""
    found = {}
    if "activities" in tables:
        found["activities"] = f'select lead_id, "at" from {tables["activities"]} where lead_id is not null'
    if "opportunities" in tables:
        leads, deals, at = tables["leads"], tables["opportunities"], 'coalesce(d.created_at, d.closed_at) as "at"'
        found["opportunities"] = (
            f"select lead_id, {at} from {deals} d where lead_id is not null union "
            f"select l.lead_id, {at} from {leads} l join {deals} d on l.opportunity_id = d.opportunity_id"
        )
    return found


def _outcomes(connection: Connection, links: str, leads: str, zone: str) -> list[tuple[date, date | None, int]]:
    """Local days on which leads came and on which their first outcome did, with the number of such leads."""
    made, came = (sql.local_day(at, zone) for at in ("l.created_at", 'o."at"'))
    each = f"select {made} as made, min({came}) as came from {leads} l left join ({links}) o on l.lead_id = o.lead_id group by l.lead_id, made"
    return connection.execute(f"select made, came, count(*) from ({each}) group by all order by all").fetchall()


def recording(outcomes: list[tuple[date, date | None, int]]) -> Recording | None:
    """Tell whether outcomes begin long after the leads."""
    counts = pd.DataFrame(outcomes, columns=["made", "came", "n"])
    counts[["made", "came"]] = counts[["made", "came"]].astype("datetime64[s]")
    months = counts.groupby(counts["came"].dt.to_period("M")).agg(n=("n", "sum"), first=("came", "min"))
    usual = months["n"][::-1].expanding().median()[::-1]  # the median of the months from each one on
    begun = months["first"][months["n"] >= USUAL * usual]  # the first month that is no stray is the first of these
    if begun.empty:
        return None
    since = begun.iloc[0]
    counts["age"], gap = (counts["came"] - counts["made"]).dt.days, (since - counts["made"]).dt.days
    is_earlier = counts["made"] < since
    earlier, later, gaps = counts[is_earlier], counts[~is_earlier], gap[is_earlier]
    recorded, expected = int(earlier["n"][earlier["age"] < gaps].sum()), _expected(earlier["n"].groupby(gaps).sum(), later)
    if expected < EXPECTED or recorded > STRAY * expected:
        return None
    return Recording(since.date(), int(earlier["n"].sum()), recorded, round(expected))


def _expected(leads_by_gap: pd.Series, later: pd.DataFrame) -> float:
    """Outcomes within the days before recording began, had the earlier leads fared as the later ones; not all of these are old enough, so too few."""
    outcomes = [later["n"][(later["age"] >= 0) & (later["age"] < gap)].sum() for gap in leads_by_gap.index]
    return float((leads_by_gap * outcomes).sum() / max(later["n"].sum(), 1))
