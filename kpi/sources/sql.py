"""Names, literals and types in SQL text: nothing from a file or a kpi.toml goes into SQL but through here."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from kpi.engine import Connection

_NUMBERS = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT", "FLOAT", "DOUBLE"}


def ident(name: str) -> str:
    """Quote a name."""
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """Quote a text."""
    return "'" + value.replace("'", "''") + "'"


def texts(values: Iterable[str]) -> str:
    """Quote several texts, separated by commas."""
    return ", ".join(text(value) for value in values)


def local_day(moment: str, zone: str) -> str:
    """Write the local date of a naive UTC instant."""
    return f"timezone({text(zone)}, timezone('UTC', {moment}))::date"


def family(kind: str) -> str:
    """Sort a type of the engine into one of six families: text, number, instant, zoned, date, boolean."""
    if kind == "TIMESTAMP WITH TIME ZONE" or kind.startswith("TIMESTAMP_TZ") or kind == "TIMESTAMPTZ":
        return "zoned"
    if kind.startswith("TIMESTAMP") or kind == "DATETIME":
        return "instant"
    if kind.startswith("DECIMAL") or kind in _NUMBERS:
        return "number"
    return {"DATE": "date", "BOOLEAN": "boolean"}.get(kind, "text")


def free_name(connection: Connection, stem: str) -> str:
    """Find a table name that is not taken in a connection."""
    taken = {row[0] for row in connection.execute("select table_name from information_schema.tables").fetchall()}
    return next(name for name in itertools.chain([stem], (f"{stem}_{n}" for n in itertools.count(2))) if name not in taken)


@contextmanager
def registered(connection: Connection, rows: object) -> Iterator[str]:
    """Give Arrow rows a name in a connection for as long as they are read."""
    name = f"arrow_rows_{id(rows)}"
    connection.register(name, rows)
    try:
        yield name
    finally:
        connection.unregister(name)


def first_row(connection: Connection, query: str) -> tuple:
    """Run a query that answers with one row."""
    return connection.execute(query).fetchall()[0]


def first_line(error: Exception) -> str:
    """Shorten an engine's error to what a reader of kpi.toml can use."""
    return str(error).strip().partition("\n")[0]
