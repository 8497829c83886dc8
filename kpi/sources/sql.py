"""Names and literals in SQL text: nothing from a file or a kpi.toml goes into SQL but through here."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import duckdb


def ident(name: str) -> str:
    """Quote a name."""
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """Quote a text."""
    return "'" + value.replace("'", "''") + "'"


def texts(values: Iterable[str]) -> str:
    """Quote several texts, separated by commas."""
    return ", ".join(text(value) for value in values)


def free_name(connection: duckdb.DuckDBPyConnection, stem: str) -> str:
    """Find a table name that is not taken in a connection."""
    taken = {row[0] for row in connection.execute("select table_name from information_schema.tables").fetchall()}
    return next(name for name in itertools.chain([stem], (f"{stem}_{n}" for n in itertools.count(2))) if name not in taken)


def first_line(error: Exception) -> str:
    """Shorten an engine's error to what a reader of kpi.toml can use."""
    return str(error).strip().partition("\n")[0]
