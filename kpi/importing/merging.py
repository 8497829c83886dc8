"""Successive exports into one table: nothing twice, the newest values, and what is gone from a whole export marked as deleted."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from kpi.engine import Connection
from kpi.importing.seen import Seen
from kpi.schema import TABLES
from kpi.sources import sql
from kpi.sources.typing.cast import TYPES

HISTORY = "opportunity_history"
# Small tables that describe how things are now: the newest stands for all.
SETTINGS = ("stages", "owners", "targets", "calendars")
PLACE = "place of the import"


def merged(connection: Connection, table: str, seen: Sequence[Seen], zone: str) -> tuple[str, dict[str, str]]:
    """Merge what the exports show of a table."""
    seen = seen[-1:] if table in SETTINGS else seen
    relation = sql.free_name(connection, f"merged_{table}")
    names = [name for name in TABLES[table].names if any(name in item.provided for item in seen)]
    rows = united(seen, names)
    if table == HISTORY:
        # A number that counts the lines of a file is another one in the next file: only the order within an instant counts.
        order = f"row_number() over (partition by opportunity_id, changed_at, {sql.ident(PLACE)} order by seq) - 1"
        rows = f"select * replace ({order} as seq) from ({rows})"
    key = [name for name in TABLES[table].key if name in names]
    if not key:
        connection.execute(f"create table {relation} as select distinct {_list(names)} from ({rows})")
        return relation, _types(connection, table, seen, names)
    cells = [sql.ident(name) if name in key else f"{_standing(name, seen)} as {sql.ident(name)}" for name in names]
    gone = _deleted(table, seen, zone)
    if gone:
        known = cells.pop(names.index("deleted_at")).rpartition(" as ")[0] if "deleted_at" in names else "null::timestamp"
        names = [name for name in TABLES[table].names if name in {*names, "deleted_at"}]
        cells.append(f"coalesce({known}, {gone}) as deleted_at")
    connection.execute(f"create table {relation} as select {', '.join(cells)} from ({rows}) group by {_list(key)}")
    return relation, _types(connection, table, seen, names)


def united(seen: Sequence[Seen], names: Sequence[str]) -> str:
    """Write the SQL of all rows seen, each with the place of its export."""
    return " union all ".join(f"select {_list(names)}, {number} as {sql.ident(PLACE)} from {item.relation}" for number, item in enumerate(seen))


def _standing(name: str, seen: Sequence[Seen]) -> str:
    """Write the SQL of a cell in the last export that has its column, be it empty there; a row of history is best known by the first."""
    having = ", ".join(str(number) for number, item in enumerate(seen) if name in item.provided)
    chosen = "arg_min" if seen[0].table == HISTORY else "arg_max"
    return f"{chosen}({{'cell': {sql.ident(name)}}}, {sql.ident(PLACE)}) filter ({sql.ident(PLACE)} in ({having})).cell"


def midnight(day: date, zone: str) -> str:
    """Write the SQL of a local midnight in naive UTC."""
    return f"timezone('UTC', timezone({sql.text(zone)}, timestamp '{day}'))"


def stored_types(table: str) -> dict[str, str]:
    """Say how the columns of a table are stored that was not read from exports."""
    return {column.name: "timestamptz" if column.kind == "instant" else TYPES[column.kind] for column in TABLES[table].columns}


def _deleted(table: str, seen: Sequence[Seen], zone: str) -> str:
    """Write the SQL of the day of the first whole export, after the last one that has a record, in which it is missing."""
    whole = [number for number, item in enumerate(seen) if item.full]
    if "deleted_at" not in TABLES[table].names or not whole:
        return ""
    last = f"max({sql.ident(PLACE)})"
    cases = []
    for number in whole:
        # Files imported one by one for the same day are one export.
        before = max((place for place in range(number) if seen[place].exported_on < seen[number].exported_on), default=-1)
        cases.append(f"when {last} <= {before} then {midnight(seen[number].exported_on, zone)}")
    return f"case {' '.join(cases)} end"


def _types(connection: Connection, table: str, seen: Sequence[Seen], names: Sequence[str]) -> dict[str, str]:
    found = {}
    for name in names:
        kind = TYPES[TABLES[table][name].kind]
        if kind == "timestamp":
            having = [item for item in seen if name in item.provided and _is_filled(connection, item, name)]
            kind = "date" if all(name in item.days for item in having) else "timestamptz"
        found[name] = kind
    return found


def _is_filled(connection: Connection, item: Seen, name: str) -> bool:
    return connection.execute(f"select count({sql.ident(name)}) from {item.relation}").fetchall()[0][0] > 0


def _list(names: Sequence[str]) -> str:
    return ", ".join(sql.ident(name) for name in names)
