"""Tables that a mapping cannot express: one SELECT of the user's, run where it can read the named files and do nothing else.

A file that a database may read it may also write: DuckDB allows COPY inside a SELECT's WITH, and opens its folder for temporary data as well. So the
database is given copies in a folder that is thrown away, never the files themselves.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import duckdb
import pyarrow as pa

from kpi.engine import Connection
from kpi.errors import DataError
from kpi.sources import sql
from kpi.sources.cells import are_blank
from kpi.sources.readers.extract import Extract

_BATCH = 100_000


def check_query(query: str, table: str) -> None:
    """Refuse a query that is not exactly one SELECT."""
    try:
        statements = duckdb.extract_statements(_named(query))
    except duckdb.Error as error:
        raise DataError(f"[tables.{table}] query cannot be understood: {sql.first_line(error)}") from None
    kinds = [statement.type.name for statement in statements]
    if kinds == ["SELECT"]:
        with duckdb.connect() as parser:
            tree = parser.execute("select json_serialize_sql(?)", [statements[0].query]).fetchall()[0][0]
        kinds += re.findall(r'"type":"([A-Z]+)_QUERY_NODE"', tree) + (["PIVOT"] if json.loads(tree)["error"] else [])
    if kinds != ["SELECT"]:
        raise DataError(f"[tables.{table}] query must be exactly one SELECT; it is {' with '.join(kinds) or 'empty'}")


def restricted(files: list[list[Path]], folder: Path) -> Connection:
    """Open a database that can read the given files and nothing else, and whose restrictions cannot be lifted."""
    connection = duckdb.connect()
    allowed = [str(path) for paths in files for path in paths]
    for setting in (
        "TimeZone = 'UTC'",
        "python_enable_replacements = false",
        "autoinstall_known_extensions = false",
        "autoload_known_extensions = false",
        f"temp_directory = {sql.text(str(folder))}",
        f"allowed_paths = [{sql.texts(allowed)}]",
        "enable_external_access = false",
    ):
        connection.execute(f"set {setting}")
    for number, paths in enumerate(files):
        listed = sql.texts(str(path) for path in paths)
        connection.execute(f"create view file_{number} as select * from read_parquet([{listed}], union_by_name = true)")
    connection.execute("set lock_configuration = true")
    return connection


def rows(connection: Connection, query: str, table: str) -> pa.RecordBatchReader:
    """Run a table's query and stream its answer."""
    try:
        return connection.sql(_named(query)).order("all").to_arrow_reader(_BATCH)
    except duckdb.Error as error:
        raise DataError(f"[tables.{table}] query in kpi.toml fails: {sql.first_line(error)}") from None


def as_parquet(connection: Connection, extract: Extract, target: Path) -> Path:
    """Copy a text file for a query as Parquet: every cell a text, stripped, empty ones missing."""
    named = [(cell, header) for cell, header in zip(extract.cells, extract.headers, strict=True) if header]
    folded = [header.casefold() for _, header in named]
    twice = next((header for _, header in named if folded.count(header.casefold()) > 1), None)
    if twice is not None:
        raise DataError(f"{extract.label} has the column {twice!r} more than once; a query cannot tell them apart")
    cells = ", ".join(f"nullif({cell}, '') as {sql.ident(header)}" for cell, header in named)
    try:
        with extract.opened(connection) as name:
            chosen = f"select {cells} from {name} where not ({are_blank(extract.cells)}) order by {extract.row}"
            connection.execute(f"copy ({chosen}) to {sql.text(str(target))} (format parquet)")
    except (duckdb.Error, pa.ArrowException) as error:
        raise extract.failure(error) from None
    for row, text in extract.text.misfits if extract.text else []:
        raise DataError(f"{extract.label} row {row} has the wrong number of cells ({text[:80]!r}); mend it before a query counts on it")
    return target


def _named(query: str) -> str:
    """Turn files[0] into the name of its view."""
    return re.sub(r"\bfiles\[(\d+)\]", r"file_\1", query)
