"""Successive exports into one table: nothing twice, the newest values, and what is gone from a whole export marked as deleted."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from kpi.engine import Connection
from kpi.schema import TABLES
from kpi.sources import sql
from kpi.sources.typing.cast import TYPES

HISTORY = "opportunity_history"
# Small tables that describe how things are now: the newest stands for all.
SETTINGS = ("stages", "owners", "targets", "calendars")
NUMBER = "number of the export"


@dataclass(frozen=True)
class ExportedTable:
    """A canonical table as one export shows it, in a relation; of the columns provided, `days` are instants known to the day."""

    table: str
    relation: str
    provided: frozenset[str]
    days: frozenset[str]
    number: int
    exported_on: date
    full: bool


def merged(connection: Connection, table: str, exports: Sequence[ExportedTable], zone: str) -> tuple[str, set[str]]:
    """Merge what the exports show of a table; gives its relation and the instants in it that are known to the day."""
    exports = exports[-1:] if table in SETTINGS else exports
    relation = sql.free_name(connection, f"merged_{table}")
    names = [name for name in TABLES[table].names if any(name in export.provided for export in exports)]
    rows = united(exports, names)
    if table == HISTORY:
        # A number that counts the lines of a file is another one in the next file: only the order within an instant counts.
        order = f"row_number() over (partition by opportunity_id, changed_at, {sql.ident(NUMBER)} order by seq) - 1"
        rows = f"select * replace ({order} as seq) from ({rows})"
    key = [name for name in TABLES[table].key if name in names]
    if not key:
        connection.execute(f"create table {relation} as select distinct {_list(names)} from ({rows})")
        return relation, _days(connection, table, exports, names)
    cells = {name: sql.ident(name) if name in key else _newest(name, exports) for name in names}
    gone = _deleted(table, exports, zone)
    if gone:
        cells["deleted_at"] = f"coalesce({cells.get('deleted_at', 'null::timestamp')}, {gone})"
    listed = ", ".join(f"{cell} as {sql.ident(name)}" for name, cell in cells.items())
    connection.execute(f"create table {relation} as select {listed} from ({rows}) group by {_list(key)}")
    return relation, _days(connection, table, exports, cells)


def united(exports: Sequence[ExportedTable], names: Sequence[str]) -> str:
    """Write the SQL of the rows of all exports, each with the number of its export."""
    parts = [f"select {_list(names)}, {number} as {sql.ident(NUMBER)} from {export.relation}" for number, export in enumerate(exports)]
    return " union all ".join(parts)


def midnight(day: date, zone: str) -> str:
    """Write the SQL of a local midnight in naive UTC."""
    return f"timezone('UTC', timezone({sql.text(zone)}, timestamp '{day}'))"


def _newest(name: str, exports: Sequence[ExportedTable]) -> str:
    """Write the SQL of a cell in the last export that has its column, be it empty there; a row of history is best known by the first."""
    having = ", ".join(str(number) for number, export in enumerate(exports) if name in export.provided)
    chosen = "arg_min" if exports[0].table == HISTORY else "arg_max"
    return f"{chosen}({{'cell': {sql.ident(name)}}}, {sql.ident(NUMBER)}) filter ({sql.ident(NUMBER)} in ({having})).cell"


def _deleted(table: str, exports: Sequence[ExportedTable], zone: str) -> str:
    """Write the SQL of the day of the first whole export, after the last one that has a record, in which it is missing."""
    whole = [number for number, export in enumerate(exports) if export.full]
    if "deleted_at" not in TABLES[table].names or not whole:
        return ""
    cases = []
    for number in whole:
        # Files imported one by one for the same day are one export.
        before = max((other for other in range(number) if exports[other].exported_on < exports[number].exported_on), default=-1)
        cases.append(f"when max({sql.ident(NUMBER)}) <= {before} then {midnight(exports[number].exported_on, zone)}")
    return f"case {' '.join(cases)} end"


def _days(connection: Connection, table: str, exports: Sequence[ExportedTable], names: Collection[str]) -> set[str]:
    """Name the instants that every export which has them knows to the day only."""
    instants = [column.name for column in TABLES[table].columns if column.kind == "instant" and column.name in names]
    timed = {
        name
        for name in instants
        for export in exports
        if name in export.provided
        and name not in export.days
        and sql.first_row(connection, f"select count({sql.ident(name)}) from {export.relation}")[0]
    }
    return set(instants) - timed


def _list(names: Sequence[str]) -> str:
    return ", ".join(sql.ident(name) for name in names)


def write(connection: Connection, table: str, relation: str, days: Collection[str], zone: str, path: Path) -> None:
    """Keep a table as Parquet, so that no cell is guessed at again; the same bytes for the same rows."""
    has, cells = _columns(connection, relation), []
    for column in [column for column in TABLES[table].columns if column.name in has]:
        cell = f"{sql.ident(column.name)}::{TYPES[column.kind]}"
        if column.kind == "instant":
            cell = sql.local_day(cell, zone) if column.name in days else f"timezone('UTC', {cell})"
        cells.append(f"{cell} as {sql.ident(column.name)}")
    connection.execute("set threads = 1")  # otherwise the order of the rows in the file is left to chance
    try:
        rows = f"select {', '.join(cells)} from {relation} order by all"
        connection.execute(f"copy ({rows}) to {sql.text(str(path))} (format parquet, compression zstd)")
    finally:
        connection.execute("reset threads")


def compared(connection: Connection, table: str, path: Path, before: Path) -> dict[str, int]:
    """Count what is new in a table."""
    new, old = (f"read_parquet({sql.text(str(file))})" for file in (path, before))
    names = _columns(connection, new)
    deleted = "count(deleted_at)" if "deleted_at" in names else "0"
    rows, gone = sql.first_row(connection, f"select count(*), {deleted} from {new}")
    kept, changed = 0, 0
    if before.is_file():
        shared = [name for name in _columns(connection, old) if name in names]
        key = [name for name in TABLES[table].key or names if name in shared]
        same = " and ".join(f"a.{sql.ident(name)} is not distinct from b.{sql.ident(name)}" for name in key)
        differs = " or ".join(f"a.{sql.ident(name)}::varchar is distinct from b.{sql.ident(name)}::varchar" for name in shared)
        kept, changed = sql.first_row(connection, f"select count(*), count(*) filter ({differs}) from {new} a join {old} b on {same}")
    return {"rows": rows, "new": rows - kept, "changed": changed, "deleted": gone}


def _columns(connection: Connection, relation: str) -> list[str]:
    return [row[0] for row in connection.execute(f"describe select * from {relation}").fetchall()]
