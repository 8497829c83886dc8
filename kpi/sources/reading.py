"""The door: every table of a data set read, typed, checked and accounted for, or refused with a message that says what to do."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from datetime import date
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd

from kpi import schema
from kpi.engine import Connection
from kpi.errors import DataError, KpiError, SchemaError, accounted, nearest
from kpi.schema import Table
from kpi.sources.cells import fold, only_first
from kpi.sources.checks import flags, recording, rows, rules
from kpi.sources.config import FILE, Company, Config, Source
from kpi.sources.crm import mapping
from kpi.sources.readers import csv, files, query, workbook
from kpi.sources.readers.database import Databases
from kpi.sources.readers.extract import Extract, from_frame, from_parquet, from_stream, from_text
from kpi.sources.readers.files import Input, Located
from kpi.sources.staging import stage
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
    links: pd.DataFrame

    @property
    def row_ledger(self) -> pd.DataFrame:
        """The account as a `Dataset` has it, with the message and the column of which each reason is made."""
        reasons = [rules.parts(reason) for reason in self.ledger["reason"]]
        return self.ledger.assign(message=[message for message, _ in reasons], column=[column for _, column in reasons])


def read(config: Config, connection: Connection) -> Reading:
    """Read all tables of a data set into a database; those that are refused are told together, with an account of the others."""
    if not config.tables:
        beside = ", ".join(sorted(file.name for file in config.folder.iterdir() if file.name != FILE)[:9]) or "no files"
        how = f'[tables.opportunities] path = "deals.csv" in {FILE}, or: kpi import deals.csv --to FOLDER; an archive is unpacked first'
        raise DataError(f"the data set has no table; beside {FILE} are {beside}: name those that hold data, as {how}")
    refused: list[tuple[type[KpiError], str]] = []  # without their traces, which would keep this frame and all it holds
    tables, inputs = _Tables(connection, config.company), {config.path: files.fingerprint(config.path, config.folder)}
    with ExitStack() as opened:
        scratch = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="kpi-", ignore_cleanup_errors=True)))
        databases = Databases(config.folder, scratch, opened)
        for name in [name for name in ORDER if name in config.tables]:
            try:
                inputs |= _read_table(config, tables, name, databases)
            except KpiError as error:
                refused.append((type(error), str(error)))
    limits = {name: source.max_set_aside for name, source in config.tables.items() if source.max_set_aside is not None}
    reading = tables.reading(limits, list(inputs.values()))
    if refused:
        with accounted(reading):
            raise refused[0][0]("; ".join(dict.fromkeys(message for _, message in refused)))
    return reading


def _read_table(config: Config, tables: _Tables, name: str, databases: Databases) -> dict[Path, Input]:
    source, located = _renaming(config.tables[name], name, config.settings), list[list[Located]]()
    with ExitStack() as streams:
        if source.database is not None:
            answer, fingerprint = databases.read(source.database, name)
            extracts, inputs = [from_stream(tables.connection, source.database.label(name), answer)], {Path(fingerprint.path): fingerprint}
        else:
            found = [files.locate(pattern, config.folder, name) for pattern in (source.files or [source.path])]
            located = [[sheet for file in group for sheet in _sheets(file, source, name)] for group in found]
            extract = _answer if source.query else _extracts
            extracts, inputs = extract(tables.connection, source, located, name, streams), {}
        tables.add(schema.TABLES[name], source, *_mapped(config, tables, source, extracts, name, streams))
    return inputs | {path: files.fingerprint(path, config.folder) for path in dict.fromkeys(file.path for file in chain(*located))}


def _renaming(source: Source, name: str, settings: Mapping[str, Any]) -> Source:
    """Read stages by the names they have now, where `[pipeline] renamed` gives former ones."""
    names = settings.get("pipeline", {}).get("renamed", {})
    if not names or name not in ("opportunities", "opportunity_history") or not isinstance(names, dict):
        return source
    return replace(source, values={**source.values, "stage": {**source.values.get("stage", {}), **names}})


def read_frames(
    frames: Mapping[str, object], company: Company, connection: Connection, settings: Mapping[str, Any] = MappingProxyType({})
) -> Reading:
    """Read canonical tables from frames in memory, under the same checks as files."""
    for name in frames:
        if name not in schema.TABLES:
            raise SchemaError(f"there is no table {name!r}{nearest(name, schema.TABLES)} There are {', '.join(schema.TABLES)}")
    tables = _Tables(connection, company)
    for name in [name for name in ORDER if name in frames]:
        clock, extract = Clock("UTC", company.timezone, guess_days=False), from_frame(connection, name, frames[name])
        tables.add(schema.TABLES[name], _renaming(Source(), name, settings), [extract], clock)
    return tables.reading({}, [])


class _Tables:
    """The tables read so far, and the account of their rows."""

    def __init__(self, connection: Connection, company: Company) -> None:
        self.connection, self.company = connection, company
        self.tables: dict[str, str] = {}
        self.provided: dict[str, frozenset[str]] = {}
        self.precision: dict[tuple[str, str], str] = {}
        self.ledger: list[tuple] = []
        self.set_aside: list[tuple] = []
        self.decisions: list[tuple] = []
        self.flags: list[tuple] = []
        self.recorded: dict[str, date] = {}

    def add(self, table: Table, source: Source, extracts: list[Extract], clock: Clock) -> None:
        """Take one table through staging, typing and checks."""
        staging = stage(self.connection, table, source, extracts, self.company.currency)
        staging.deals = self.tables.get("opportunities", "") if table.name == "opportunity_history" else ""
        typed = convert(self.connection, staging, dialect.decide(self.connection, staging, source), clock)
        self.provided[table.name] = frozenset(staging.families)
        rows.set_aside_rows(self.connection, table, typed, self.provided, self.tables, self.company.timezone)
        self.flags += flags.CheckedTable(self.connection, table.name, typed, staging.labels, self.company, self.tables, self.provided).flags()
        self.flags += flags.near_orphans(self.connection, table, typed, self.tables)
        self.precision |= {(table.name, column): precision for column, precision in typed.precision.items()}
        typed.decisions += rows.untold_stages(self.connection, typed) if table.name == "opportunities" else []
        self.ledger += rows.ledger(self.connection, staging, typed)
        self.set_aside += rows.listed(self.connection, staging, typed)
        self.tables[table.name] = rows.keep(self.connection, table, typed)
        self.decisions += [(table.name, *row) for row in [*staging.decisions, *typed.decisions]]
        if source.recorded_from is not None:
            self.recorded[table.name] = source.recorded_from
        self.connection.execute(f"drop table {staging.name}")

    def reading(self, limits: dict[str, float], inputs: list[Input]) -> Reading:
        """Find what only all tables show, and put it all together, tables in the order of the schema."""
        rows.unlink_nobody(self.connection, self.tables, self.provided)
        links: list[tuple] = []
        self.flags += flags.loose_links(self.connection, self.tables, self.provided, links)
        self.flags += flags.near_names(self.connection, self.tables, self.provided)
        for table, one in recording.recorded_from(self.connection, self.tables, self.company.timezone).items():
            if table not in self.recorded:
                self.recorded[table] = one.since
                self.decisions.append((table, "", "recorded from", str(one)))
        names = [name for name in schema.TABLES if name in self.tables]

        def sorted_frame(found: list[tuple], columns: list[str]) -> pd.DataFrame:
            return pd.DataFrame(sorted(found, key=lambda row: names.index(row[0])), columns=columns)

        return Reading(
            {name: self.tables[name] for name in names},
            {name: self.provided[name] for name in names},
            self.precision,
            sorted_frame(self.ledger, rows.LEDGER),
            sorted_frame(self.set_aside, rows.SET_ASIDE),
            sorted_frame(self.decisions, rows.DECISIONS),
            sorted_frame(self.flags, flags.FLAGS),
            self.recorded,
            limits,
            inputs,
            sorted_frame(links, recording.LINKS),
        )


def _mapped(config: Config, tables: _Tables, source: Source, extracts: list[Extract], name: str, opened: ExitStack) -> tuple[list[Extract], Clock]:
    """Bring the columns of a CRM's export under their canonical names, if the table has a format."""
    company = config.company
    clock = Clock(source.timezone or company.timezone, company.timezone)
    if not source.format:
        return extracts, clock
    has_history = "opportunity_history" in config.tables
    made, zone = mapping.mapped(tables.connection, schema.TABLES[name], source, extracts, company, tables.tables, opened, has_history=has_history)
    return made, replace(clock, zone=source.timezone or zone or clock.zone)


def _text_extract(file: Located, source: Source, name: str) -> Extract:
    wanted = {fold(header) for header in [*source.columns.values(), *schema.TABLES[name].names]}
    hits = mapping.hits(source.format, name) if source.format else lambda cells: sum(fold(cell) in wanted for cell in cells)
    if not file.is_workbook:
        return from_text(csv.examine(file, hits, encoding=source.encoding, delimiter=source.delimiter, table=name))
    return from_text(workbook.examine(file, hits, source.decimal))


def _sheets(file: Located, source: Source, name: str) -> list[Located]:
    """Name the sheets of a workbook that have the header of a table, where these are several: each is read as a file."""
    text = None if file.member or not file.is_workbook else _text_extract(file, source, name).text
    return [Located(f"{file.label}/{sheet}", file.path, sheet) for sheet in (text.sheets if text else [])] or [file]


def _extracts(connection: Connection, source: Source, located: list[list[Located]], name: str, opened: ExitStack) -> list[Extract]:
    """Describe the files of a table."""
    extracts = []
    for file in chain(*located):
        extract = from_parquet(connection, file) if file.is_parquet else _text_extract(file, source, name)
        extract.footer = only_first(extract.cells) if extract.text and extract.text.is_report else "false"
        extracts.append(extract)
    return extracts


def _answer(connection: Connection, source: Source, located: list[list[Located]], name: str, opened: ExitStack) -> list[Extract]:
    """Run the table's query over its files; what it streams from stays open until `opened` closes."""
    query.check_query(source.query, name)
    folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="kpi-")))
    copies = [[folder / f"{number}_{place}.parquet" for place in range(len(group))] for number, group in enumerate(located)]
    for file, target in zip(chain(*located), chain(*copies), strict=True):
        if file.is_parquet:
            shutil.copyfile(file.path, target)
        else:
            query.as_parquet(connection, _text_extract(file, source, name), target)
    label = ", ".join(file.label for file in chain(*located)) + " (query)"
    spill = folder / "spill"
    spill.mkdir()
    database = opened.enter_context(closing(query.restricted(copies, spill)))
    return [from_stream(connection, label, query.rows(database, source.query, name))]
