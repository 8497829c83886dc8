"""One file, query result or frame of a table: its columns as SQL, before they are matched to canonical ones."""

from __future__ import annotations

from dataclasses import dataclass, field

import duckdb
import pyarrow as pa

from kpi.errors import DataError
from kpi.sources import sql
from kpi.sources.readers.csv import ROW, Csv
from kpi.sources.readers.workbook import Sheet


@dataclass
class Part:
    """One file, query result or frame of a table."""

    label: str
    headers: list[str]
    cells: list[str]
    families: list[str]
    row: str = sql.ident(ROW)
    relation: str = ""
    reader: pa.RecordBatchReader | None = None
    csv: Csv | Sheet | None = None
    around: str = ""
    mapped: dict[str, int] = field(default_factory=dict)
    used: set[int] = field(default_factory=set)
    footer: str = "false"
    dropped: str = "false"
    noted: list[tuple[str, str]] = field(default_factory=list)


def family(kind: str) -> str:
    """Sort the type of a column of the engine into one of six families."""
    if kind == "TIMESTAMP WITH TIME ZONE" or kind.startswith("TIMESTAMP_TZ") or kind == "TIMESTAMPTZ":
        return "zoned"
    if kind.startswith("TIMESTAMP") or kind == "DATETIME":
        return "instant"
    if kind.startswith("DECIMAL") or kind in _NUMBERS:
        return "number"
    return {"DATE": "date", "BOOLEAN": "boolean"}.get(kind, "text")


_NUMBERS = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT", "FLOAT", "DOUBLE"}


def csv_part(csv: Csv | Sheet) -> Part:
    """Describe a CSV file or a sheet as a part: all cells text."""
    return Part(csv.located.label, csv.header, csv.columns, ["text"] * len(csv.header), reader=csv.reader(), csv=csv)


def typed_part(connection: duckdb.DuckDBPyConnection, label: str, relation: str, row: str) -> Part:
    """Describe something the engine can read as a part, with the types it has."""
    try:
        described = connection.execute(f"describe select * from {relation}").fetchall()
    except duckdb.Error as error:
        raise DataError(f"{label} cannot be read: {sql.first_line(error)}") from None
    kinds = {name: kind for name, kind, *_ in described if sql.ident(name) != row}
    return Part(label, list(kinds), [sql.ident(name) for name in kinds], [family(kind) for kind in kinds.values()], row, relation)
