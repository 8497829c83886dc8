"""The door: every table of a data set read, typed, checked and accounted for, or refused with a message that says what to do."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa

from kpi import schema
from kpi.engine import is_spark
from kpi.errors import DataError, SchemaError
from kpi.schema import Table
from kpi.sources import sql, stage
from kpi.sources.blanks import only_first
from kpi.sources.checks import flags, recording, relations, rows
from kpi.sources.config import Company, Config, Source, nearest
from kpi.sources.crm import dressing, mapping
from kpi.sources.folding import fold
from kpi.sources.readers import csv, files, query, workbook
from kpi.sources.readers.database import Databases
from kpi.sources.readers.files import Input, Located
from kpi.sources.readers.part import Part, csv_part, typed_part
from kpi.sources.typing import dialect
from kpi.sources.typing.cast import Clock, convert

# What others are checked against comes first: stages and rates, then parents, so that a child's required parent can be looked up.
_FIRST = ("stages", "fx")
ORDER = sorted(schema.TABLES, key=lambda name: (name not in _FIRST, any(c.filled and c.references for c in schema.TABLES[name].columns)))


@dataclass(frozen=True)
class Reading:
    """What was read: canonical tables in a connection, and an account of every row."""

    tables: dict[str, object]
    provided: dict[str, frozenset[str]]
    precision: dict[tuple[str, str], str]
    ledger: pd.DataFrame
    set_aside: pd.DataFrame
    decisions: pd.DataFrame
    flags: pd.DataFrame
    recorded: dict[str, date]
    limits: dict[str, float]
    inputs: list[Input]


def read(config: Config, connection: duckdb.DuckDBPyConnection) -> Reading:
    """Read all tables of a data set into a database."""
    found, inputs = _Found(connection, config.company), {config.path: files.fingerprint(config.path, config.folder)}
    with ExitStack() as opened:
        scratch = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="kpi-", ignore_cleanup_errors=True)))
        databases = Databases(config.folder, scratch, opened)
        for name in [name for name in ORDER if name in config.tables]:
            source = config.tables[name]
            clock = Clock(source.timezone or config.company.timezone, config.company.timezone)
            if source.database is not None:
                rows, read_from = databases.read(source.database, name)
                inputs.setdefault(Path(read_from.path), read_from)
                parts = [_streamed(connection, source.database.label(name), query.numbered(rows))]
                with ExitStack() as asked:
                    found.add(schema.TABLES[name], source, *_named(config, found, source, parts, clock, name, asked))
                continue
            located = [files.locate(pattern, config.folder, name) for pattern in (source.files or [source.path])]
            with ExitStack() as asked:
                every = [file for group in located for file in group]
                parts = _answer(connection, source, located, name, asked) if source.query else _plain(connection, source, every, name)
                found.add(schema.TABLES[name], source, *_named(config, found, source, parts, clock, name, asked))
            inputs |= {file.path: files.fingerprint(file.path, config.folder) for file in every if file.path not in inputs}
    return found.reading(list(inputs.values()))


def read_frames(frames: Mapping[str, object], company: Company, connection: duckdb.DuckDBPyConnection) -> Reading:
    """Read canonical tables from frames in memory, under the same checks as files."""
    for name in frames:
        if name not in schema.TABLES:
            raise SchemaError(f"there is no table {name!r}{nearest(name, schema.TABLES)} There are {', '.join(schema.TABLES)}")
    found = _Found(connection, company)
    for name in [name for name in ORDER if name in frames]:
        part = _frame(connection, name, frames[name])
        found.add(schema.TABLES[name], Source(), [part], Clock("UTC", company.timezone, guess_days=False))
    return found.reading([])


class _Found:
    """What has been read so far."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, company: Company) -> None:
        self.connection, self.company = connection, company
        self.tables: dict[str, str] = {}
        self.provided: dict[str, frozenset[str]] = {}
        self.precision: dict[tuple[str, str], str] = {}
        self.ledgers: list[pd.DataFrame] = []
        self.lists: list[pd.DataFrame] = []
        self.decisions: list[tuple[str, str, str, str]] = []
        self.flags: list[tuple] = []
        self.recorded: dict[str, date] = {}
        self.limits: dict[str, float] = {}

    def add(self, table: Table, source: Source, parts: list[Part], clock: Clock) -> None:
        """Take one table through staging, typing and checks."""
        staged = stage.stage(self.connection, table, source, parts, self.company.currency)
        written = dialect.decide(self.connection, staged, source)
        typed = convert(self.connection, staged, written, clock)
        self.provided[table.name] = frozenset(staged.families)
        rows.set_aside_rows(self.connection, table, typed, self.provided, self.tables, self.company.timezone)
        self.flags += flags.flags(self.connection, table, typed, staged.labels, flags.Known(self.company, self.tables, self.provided))
        self.flags += relations.near_orphans(self.connection, table, typed, self.tables)
        self.precision |= {(table.name, column): precision for column, precision in typed.precision.items()}
        self.ledgers.append(rows.ledger(self.connection, staged, typed))
        self.lists.append(rows.listed(self.connection, staged, typed))
        self.tables[table.name] = rows.keep(self.connection, table, typed)
        self.decisions += [(table.name, *row) for row in [*staged.decisions, *typed.decisions]]
        if source.max_set_aside is not None:
            self.limits[table.name] = source.max_set_aside
        if source.recorded_from is not None:
            self.recorded[table.name] = source.recorded_from
        staged.drop(self.connection)

    def _together(self) -> None:
        """Look at what only all tables show."""
        for find in (relations.loose_links, relations.near_names):
            self.flags += find(self.connection, self.tables, self.provided)
        found = recording.recorded_from(self.connection, self.tables, self.provided, self.company.timezone)
        for table, one in found.items():
            if table not in self.recorded:
                self.recorded[table] = one.since
                self.decisions.append((table, "", "recorded from", str(one)))

    def reading(self, inputs: list[Input]) -> Reading:
        """Put it all together, tables in the order of the schema."""
        self._together()
        names = [name for name in schema.TABLES if name in self.tables]
        place = {name: number for number, name in enumerate(self.tables)}
        return Reading(
            {name: self.tables[name] for name in names},
            {name: self.provided[name] for name in names},
            self.precision,
            _concat([self.ledgers[place[name]] for name in names], rows.LEDGER),
            _concat([self.lists[place[name]] for name in names], rows.SET_ASIDE),
            pd.DataFrame(sorted(self.decisions, key=lambda row: names.index(row[0])), columns=rows.DECISIONS),
            pd.DataFrame(sorted(self.flags, key=lambda row: names.index(row[0])), columns=flags.FLAGS),
            self.recorded,
            self.limits,
            inputs,
        )


def _concat(tables: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    filled = [table for table in tables if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=columns)


def _named(config: Config, found: _Found, source: Source, parts: list[Part], clock: Clock, name: str, opened: ExitStack) -> tuple[list[Part], Clock]:
    """Bring the columns of a CRM's export under their canonical names, if the table has a format."""
    if not source.format:
        return parts, clock
    has_history = "opportunity_history" in config.tables
    table, company = schema.TABLES[name], config.company
    made = dressing.dressed(found.connection, table, source, parts, company, found.tables, opened, has_history=has_history)
    return made.parts, replace(clock, zone=source.timezone or made.zone or clock.zone)


def _examined(file: Located, source: Source, name: str) -> csv.Csv | workbook.Sheet:
    if not file.is_workbook:
        return csv.examine(file, encoding=source.encoding, delimiter=source.delimiter, table=name)
    if source.format:
        return workbook.examine(file, hits=mapping.hits(source.format, name), decimal=source.decimal)
    wanted = {fold(header) for header in [*source.columns.values(), *schema.TABLES[name].names]}
    return workbook.examine(file, hits=lambda cells: sum(fold(cell) in wanted for cell in cells), decimal=source.decimal)


def _plain(connection, source: Source, located: list[Located], name: str) -> list[Part]:
    parts = []
    for file in located:
        if file.is_parquet:
            relation = f"read_parquet({sql.text(str(file.path))}, file_row_number = true)"
            part = typed_part(connection, file.label, relation, '"file_row_number"')
            parts.append(replace(part, row="file_row_number + 1"))
        else:
            part = csv_part(_examined(file, source, name))
            parts.append(replace(part, footer=only_first(part.cells)) if file.is_workbook else part)
    return parts


def _answer(connection, source: Source, located: list[list[Located]], name: str, opened: ExitStack) -> list[Part]:
    """Run the table's query over its files; what it streams from stays open until `opened` closes."""
    query.check_query(source.query, name)
    folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="kpi-")))
    copies: list[list[Path]] = []
    for number, group in enumerate(located):
        copies.append([])
        for place, file in enumerate(group):
            csv = None if file.is_parquet else _examined(file, source, name)
            copies[number].append(query.as_parquet(connection, file, csv, folder / f"{number}_{place}.parquet"))
    label = ", ".join(file.label for group in located for file in group) + " (query)"
    spill = folder / "spill"
    spill.mkdir()
    database = opened.enter_context(closing(query.restricted(copies, spill)))
    return [_streamed(connection, label, query.rows(database, source, name))]


def _streamed(connection, label: str, rows: pa.RecordBatchReader) -> Part:
    name = sql.free_name(connection, "stage_described")
    connection.register(name, rows.schema.empty_table())
    try:
        part = typed_part(connection, label, name, sql.ident(query.ROW_NUMBER))
    finally:
        connection.unregister(name)
    return replace(part, relation="", reader=rows)


def _frame(connection, name: str, frame: object) -> Part:
    label = f"{name} frame"
    if isinstance(frame, str | Path):
        located = Located(Path(frame).name, Path(frame))
        if not located.is_parquet or not located.path.is_file():
            raise DataError(f"{name} = {str(frame)!r} is no Parquet file; give a frame, or describe CSV files in a kpi.toml")
        return _plain(connection, Source(), [located], name)[0]
    try:
        if isinstance(frame, pd.DataFrame):
            rows = pa.Table.from_pandas(frame, preserve_index=False).to_reader()
        elif isinstance(frame, duckdb.DuckDBPyRelation) and _is_own(connection, frame):
            rows = frame.to_arrow_table().to_reader()
        elif is_spark(frame):
            rows = frame.toArrow().to_reader()
        elif hasattr(frame, "__arrow_c_stream__"):
            rows = pa.RecordBatchReader.from_stream(frame)
        else:
            accepted = "a pandas, Polars, Arrow or Spark frame, a DuckDB relation or the path of a Parquet file"
            raise DataError(f"{name} is a {type(frame).__name__}; give {accepted}")
    except (pa.ArrowException, TypeError) as error:
        raise DataError(f"the {label} cannot be read: {sql.first_line(error)}") from None
    return _streamed(connection, label, query.numbered(rows))


def _is_own(connection, relation: duckdb.DuckDBPyRelation) -> bool:
    """Whether a relation belongs to the connection, which then cannot stream it while it stores it."""
    try:
        connection.sql("select * from relation limit 0")
    except duckdb.Error:
        return False
    return True
