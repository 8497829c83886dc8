"""What a file holds: a canonical table under its own names, or the export of a system that the alias sets know."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kpi.errors import DataError
from kpi.schema import TABLES
from kpi.sources.crm import aliases, mapping
from kpi.sources.readers import csv
from kpi.sources.readers.files import Located


@dataclass(frozen=True)
class FileKind:
    """What a file was found to be: the system that wrote it, if any, and the canonical tables in it."""

    system: str
    tables: tuple[str, ...]
    title: str


def recognised(path: Path, system: str = "") -> FileKind:
    """Tell what a file holds."""
    table = "" if system else _canonical(path)
    if table:
        return FileKind("", (table,), f"canonical {table}")
    shapes = mapping.recognised(Located(path.name, path), system)
    return FileKind(shapes[0].system, tuple(shape.table for shape in shapes if shape.table), shapes[0].title)


def _canonical(path: Path) -> str:
    """Name the table whose own column names a CSV file has; of several the one that has most of them."""
    if not path.name.lower().endswith((".csv", ".csv.gz", ".tsv", ".txt")):
        return ""
    try:
        headers = {header.casefold() for header in csv.examine(Located(path.name, path)).header}
    except DataError:
        return ""
    fitting = [name for name, table in TABLES.items() if {c.name for c in table.columns if c.required and not c.default} <= headers]
    return max(fitting, key=lambda name: len(headers & set(TABLES[name].names)), default="")


def looked_up(system: str, table: str) -> set[str]:
    """Name the canonical tables that a system's rows of a table are looked up in."""
    known = aliases.shapes(system, table) if system else []
    return {lookup["table"] for shape in known for lookup in shape.lookups.values() if lookup.get("table")} - {table}
