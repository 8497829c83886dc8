"""The tables as they are kept: Parquet, so that no date, number or text is guessed at again, and none becomes a formula in a spreadsheet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kpi.engine import Connection
from kpi.schema import TABLES
from kpi.sources import sql


def write(connection: Connection, table: str, relation: str, types: Mapping[str, str], zone: str, path: Path) -> None:
    """Write a table, the same bytes for the same rows."""
    cells = []
    for name, kind in types.items():
        cell = sql.ident(name)
        if TABLES[table][name].kind == "instant":
            cell = f"timezone('UTC', {cell})"
            cell = f"timezone({sql.text(zone)}, {cell})::date" if kind == "date" else cell
        cells.append(f"{cell}::{kind} as {sql.ident(name)}")
    connection.execute("set threads = 1")  # otherwise the order of the rows in the file is left to chance
    try:
        connection.execute(
            f"copy (select {', '.join(cells)} from {relation} order by all) to {sql.text(str(path))} (format parquet, compression zstd)"
        )
    finally:
        connection.execute("reset threads")


def compared(connection: Connection, table: str, new: Path, old: Path) -> dict[str, int]:
    """Count what is new in a table."""
    path, before = new / f"{table}.parquet", old / f"{table}.parquet"
    fresh = f"read_parquet({sql.text(str(path))})"
    names = [row[0] for row in connection.execute(f"describe select * from {fresh}").fetchall()]
    deleted = "count(deleted_at)" if "deleted_at" in names else "0"
    rows, gone = connection.execute(f"select count(*), {deleted} from {fresh}").fetchall()[0]
    found = {"rows": rows, "new": rows, "changed": 0, "deleted": gone, "is_same": 0}
    if not before.is_file():
        return found
    known = f"read_parquet({sql.text(str(before))})"
    shared = [name for name in [row[0] for row in connection.execute(f"describe select * from {known}").fetchall()] if name in names]
    key = [name for name in TABLES[table].key or names if name in shared]
    same = " and ".join(f"a.{sql.ident(name)} is not distinct from b.{sql.ident(name)}" for name in key)
    differs = " or ".join(f"a.{sql.ident(name)}::varchar is distinct from b.{sql.ident(name)}::varchar" for name in shared)
    asked = f"select count(*), count(*) filter ({differs}) from {fresh} a join {known} b on {same}"
    kept, changed = connection.execute(asked).fetchall()[0]
    return found | {"new": rows - kept, "changed": changed, "is_same": int(path.read_bytes() == before.read_bytes())}
