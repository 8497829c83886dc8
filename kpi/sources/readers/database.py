"""Tables of a database: one SELECT, read-only, its answer handed on in the same order each time.

PostgreSQL is read by the ADBC driver of Apache Arrow (extra ``warehouse``): permissive licence, wheels for every system, rows as Arrow. All tables
of one database come from one transaction, so that they fit together. DuckDB's own extension for PostgreSQL would be a download at run time.
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, fields
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

import duckdb
import pyarrow as pa

from kpi.engine import Connection
from kpi.errors import DataError
from kpi.sources import sql
from kpi.sources.readers import files
from kpi.sources.readers.files import Input
from kpi.sources.readers.query import check_query

POSTGRESQL, SQLITE, DUCKDB = "postgresql", "sqlite", "duckdb"
_SCHEMES = {"postgresql": POSTGRESQL, "postgres": POSTGRESQL, "sqlite": SQLITE, "duckdb": DUCKDB}
# After the scheme a colon and, somewhere later, an at sign; or a parameter of that name. A port alone has no at sign behind it.
_PASSWORD = re.compile(r"://[^/]*:.*@|://.*[?&]\w*password=", re.IGNORECASE | re.DOTALL)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BATCH = 50_000
_TIMEOUT = "10"  # seconds to wait for a server
_SESSION = r"-c default_transaction_read_only=on -c default_transaction_isolation=repeatable\ read -c TimeZone=UTC"
_AS_IT_IS = ("int2", "int4", "int8", "float8", "bool", "text", "varchar", "bpchar", "name")
_NUMERIC = ("numeric", "money")
_MOMENTS = ("date", "timestamp", "timestamptz")
_WAL = 2  # in a SQLite file's header: changes are kept in a second file
_ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, getattr(sqlite3, "SQLITE_RECURSIVE", 33)}


@dataclass(frozen=True)
class Database:
    """A table or a query of a database."""

    url: str
    table: str = ""
    query: str = ""
    password_env: str = ""

    @property
    def kind(self) -> str:
        """Which of the three it is."""
        return _SCHEMES[urlsplit(self.url).scheme]

    @property
    def file(self) -> str:
        """Path of the file; empty for a server."""
        return "" if self.kind == POSTGRESQL else unquote(urlsplit(self.url).path.removeprefix("/"))

    def label(self, canonical: str) -> str:
        """Name it in lists; a server's host and user stay out of what is published."""
        name = self.file or unquote(urlsplit(self.url).path.strip("/")) or POSTGRESQL
        return f"{name}/{self.table or f'query for {canonical}'} (database)"

    @classmethod
    def parse(cls, written: object, where: str) -> Database:
        """Read a section ``[tables.<name>.database]``: checked before anything is opened, and never with a password in it."""
        known = [item.name for item in fields(cls)]
        if not isinstance(written, dict):
            raise DataError(f"{where} is a section with the keys {', '.join(known)}")
        unknown = [key for key in written if key not in known]
        if unknown:
            hint = "; passwords come from the environment, password_env names the variable" if "pass" in unknown[0].lower() else ""
            raise DataError(f"{where} has the unknown key {unknown[0]!r}{hint}. It may have {', '.join(known)}")
        for key, value in written.items():
            if not isinstance(value, str) or not value:
                raise DataError(f"{where} {key} must be a text")
            refuse_password(value if key == "url" else "", f"{where} {key}")
        if ("table" in written) == ("query" in written):
            raise DataError(f"{where} needs either a table or a query")
        found = cls(**{"url": "", **written})
        parts = urlsplit(found.url)
        if parts.scheme not in _SCHEMES or (found.kind != POSTGRESQL and (parts.netloc or not found.file)):
            raise DataError(f"{where} url must be postgresql://user@host/database, sqlite:///file.db or duckdb:///file.duckdb")
        if found.password_env and not _VARIABLE.fullmatch(found.password_env):
            raise DataError(f"{where} password_env must be the name of an environment variable, not the password itself")
        return found


def refuse_password(text: str, where: str) -> None:
    """Refuse an address that seems to hold a password, without showing it."""
    if _PASSWORD.search(text):
        raise DataError(
            f"{where} seems to hold a password, which kpi.toml must not: take it out, put it into the environment variable PGPASSWORD, "
            'or into another one named by password_env = "MY_VARIABLE"'
        )


class Databases:
    """The databases of a data set, each opened once."""

    def __init__(self, folder: Path, scratch: Path, opened: ExitStack) -> None:
        self.folder, self.scratch, self.opened = folder, scratch, opened
        self._servers: dict[tuple[str, str], Any] = {}  # connections of the driver, which is not always installed
        self._number = 0

    def read(self, database: Database, table: str) -> tuple[pa.RecordBatchReader, Input]:
        """Read one table or query."""
        self._number += 1
        path = self.scratch / f"answer_{self._number}"
        stored = self.opened.enter_context(closing(duckdb.connect(f"{path}.duckdb", config={"temp_directory": f"{path}.spill"})))
        stored.execute("set TimeZone = 'UTC'")
        if database.kind == POSTGRESQL:
            self._from_server(database, table, stored)
            listed = path.with_suffix(".csv")
            stored.execute(f"copy (select * from answer order by all) to {sql.text(str(listed))} (format csv, header)")
            source = files.fingerprint(listed, self.scratch)
            source = Input(database.label(table), source.sha256, source.bytes)
            listed.unlink()
        else:
            source = self._from_file(database, table, stored)
        return stored.sql("select * from answer order by all").to_arrow_reader(_BATCH), source

    def _from_file(self, database: Database, table: str, stored: Connection) -> Input:
        file = self.folder / database.file
        if not file.is_file():
            raise DataError(f"[tables.{table}.database] names {database.file!r}, but no such file is in the data set")
        source = files.fingerprint(file, self.folder)
        read = {SQLITE: _sqlite, DUCKDB: _duckdb}[database.kind]
        with ExitStack() as opened:
            try:
                _store(stored, read(file, database, table, self.scratch, opened))
            except (sqlite3.Error, duckdb.Error, pa.ArrowException) as error:
                raise DataError(f"[tables.{table}.database] {database.file} cannot be read: {sql.first_line(error)}") from None
        return source

    def _from_server(self, database: Database, table: str, stored: Connection) -> None:
        driver = _driver(table)
        password = _password(database, table)
        try:
            key = (database.url, password)
            if key not in self._servers:
                self._servers[key] = self.opened.enter_context(closing(driver.connect(_address(database.url, password))))
            with self._servers[key].cursor() as cursor:
                _postgresql(cursor, database, stored)
        except (driver.Error, duckdb.Error, pa.ArrowException) as error:
            said = re.search(r"(?:ERROR|FATAL): *([^\n]*)", str(error))
            reason = said[1] if said else sql.first_line(error).rpartition("] ")[2]
            reason = reason.replace(password, "...") if password else reason
            raise DataError(f"[tables.{table}.database] {database.label(table)}: {reason}") from None


def _selected(database: Database) -> str:
    """Write what is read, so that it can stand after FROM: only a SELECT can."""
    if database.table:
        return ".".join(sql.ident(part) for part in database.table.split("."))
    return f"({database.query.strip().rstrip(';')}\n) as answer"


def _store(stored: Connection, rows: pa.RecordBatchReader, decimals: Collection[str] = ()) -> None:
    """Keep the rows; what is neither number, date nor truth value becomes text, and `decimals`, which come as text, become numbers."""
    with sql.registered(stored, rows) as name:
        stored.execute(f"create table raw as select * from {name}")
    whole = {name: rf"coalesce(bool_and(regexp_matches({sql.ident(name)}, '^-?\d{{1,37}}$')), false)" for name in decimals}
    # Whole numbers may be ids: they keep every digit.
    exact = dict(zip(whole, sql.first_row(stored, f"select {', '.join(whole.values())} from raw"), strict=True)) if whole else {}
    cells = []
    for name, kind, *_ in stored.execute("describe raw").fetchall():
        cast = ("::hugeint" if exact[name] else "::double") if name in exact else "::varchar" if sql.family(kind) == "text" else ""
        cells.append(f"{sql.ident(name)}{cast} as {sql.ident(name)}")
    stored.execute(f"create view answer as select {', '.join(cells)} from raw")


def _driver(table: str) -> ModuleType:
    try:
        from adbc_driver_postgresql import dbapi
    except ImportError:
        raise DataError(
            f"[tables.{table}.database] is a PostgreSQL database, whose driver is not installed: pip install 'sales-kpi-kit[warehouse]'"
        ) from None
    return dbapi


def _password(database: Database, table: str) -> str:
    name = database.password_env or "PGPASSWORD"
    if database.password_env and not os.environ.get(name):
        raise DataError(f"[tables.{table}.database] password_env names the environment variable {name}, which is not set")
    return os.environ.get(name, "")


def _address(url: str, password: str) -> str:
    """Add to the address what only this process knows, and what makes the session read-only."""
    parts = urlsplit(url)
    given = dict(parse_qsl(parts.query))
    given["options"] = f"{given.get('options', '')} {_SESSION}".strip()
    given.setdefault("connect_timeout", _TIMEOUT)
    if password:
        given["password"] = password
    return urlunsplit(("postgresql", parts.netloc, parts.path, urlencode(given, quote_via=quote), ""))


def _postgresql(cursor: Any, database: Database, stored: Connection) -> None:
    """Store the answer of a server."""
    selected = _selected(database)
    cursor.execute(f"select * from {selected} limit 0")
    described = cursor.fetch_record_batch().schema
    kinds = {field.name: (field.metadata or {}).get(b"POSTGRESQL:type", b"").decode() for field in described}
    cells = []
    for name, kind in kinds.items():
        cell = sql.ident(name)
        if kind in _MOMENTS:  # "infinity" is no moment
            cell = f"case when isfinite({cell}) then {cell} end"
        elif kind == "float4":
            cell = f"{cell}::text::float8"
        elif kind not in _AS_IT_IS:
            cell = f"{cell}::{'numeric::' if kind == 'money' else ''}text"
        cells.append(f"{cell} as {sql.ident(name)}")
    cursor.execute(f"select {', '.join(cells)} from {selected}")
    _store(stored, cursor.fetch_record_batch(), [name for name, kind in kinds.items() if kind in _NUMERIC])


def _sqlite(file: Path, database: Database, table: str, scratch: Path, opened: ExitStack) -> pa.RecordBatchReader:
    """Read a SQLite file without leaving a trace beside it."""
    with file.open("rb") as raw:
        header = raw.read(20)
    if header[18:20] and max(header[18:20]) == _WAL:  # opening it would write a file beside it
        copies = scratch / f"sqlite_{len(list(scratch.iterdir()))}"
        copies.mkdir()
        for part in (file, file.with_name(f"{file.name}-wal")):
            if part.is_file():
                shutil.copyfile(part, copies / part.name)
        file = copies / file.name
        connection = opened.enter_context(closing(sqlite3.connect(file, check_same_thread=False)))
    else:
        connection = opened.enter_context(closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False)))
    connection.execute("select 1 from sqlite_master").fetchall()  # whether it is one at all
    connection.set_authorizer(lambda action, *about: _allowed(action, about))
    selected = _selected(database)
    names = [column[0] for column in connection.execute(f"select * from {selected} limit 0").description]
    listed = ", ".join(f"group_concat(distinct typeof({sql.ident(name)}))" for name in names)
    types = [_arrow(found or "") for found in connection.execute(f"select {listed} from {selected}").fetchall()[0]]
    cells = [f"cast({sql.ident(name)} as text)" if kind == pa.string() else sql.ident(name) for name, kind in zip(names, types, strict=True)]
    rows = connection.execute(f"select {', '.join(cells)} from {selected}")
    schema = pa.schema(list(zip(names, types, strict=True)))
    return pa.RecordBatchReader.from_batches(schema, _batches(rows, schema))


def _allowed(action: int, about: tuple) -> int:
    reaches_out = action == sqlite3.SQLITE_FUNCTION and about[1] == "load_extension"
    return sqlite3.SQLITE_OK if action in _ALLOWED and not reaches_out else sqlite3.SQLITE_DENY


def _arrow(found: str) -> pa.DataType:
    """Choose the type of a column whose cells each have their own: a mixed one is text."""
    kinds = set(found.split(",")) - {"null", ""}
    if kinds == {"integer"}:
        return pa.int64()
    return pa.float64() if kinds and kinds <= {"integer", "real"} else pa.string()


def _batches(rows: sqlite3.Cursor, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    while found := rows.fetchmany(_BATCH):
        columns = [pa.array(cells, kind) for cells, kind in zip(zip(*found, strict=True), schema.types, strict=True)]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def _duckdb(file: Path, database: Database, table: str, scratch: Path, opened: ExitStack) -> pa.RecordBatchReader:
    """Read a DuckDB file on a connection that can neither write nor reach other files."""
    if database.query:
        check_query(database.query, table)
    settings = {"enable_external_access": "false", "autoload_known_extensions": "false", "autoinstall_known_extensions": "false"}
    connection = opened.enter_context(closing(duckdb.connect(str(file), read_only=True, config={**settings, "python_enable_replacements": "false"})))
    connection.execute("set TimeZone = 'UTC'")
    connection.execute("set lock_configuration = true")
    return connection.sql(f"select * from {_selected(database)}").to_arrow_reader(_BATCH)
