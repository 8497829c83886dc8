"""What each export is and shows: its files recognised, its tables read by the kit's own reader, typed and checked, side by side in one database."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kpi import sources
from kpi.engine import Connection
from kpi.errors import DataError, KpiError
from kpi.importing.log import Export, Original
from kpi.importing.merging import ExportedTable, merged, write
from kpi.importing.outcome import RowSummary, joined
from kpi.schema import TABLES
from kpi.sources import Company, Config, Source, sql
from kpi.sources.crm import aliases, mapping
from kpi.sources.readers import csv
from kpi.sources.readers.files import Located

_FOLDER = re.compile(r"\.\./[^/\s]+/")  # which folder an original is in says nothing to whoever imports it


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


@dataclass(frozen=True)
class ExportReader:
    """Reads exports into a database; `imports` is how kpi.toml describes them, `paths` where each original is, by its hash."""

    connection: Connection
    company: Company
    imports: Mapping[str, Source]
    paths: Mapping[str, Path]
    scratch: Path

    def read(self, exports: Sequence[Export]) -> tuple[list[ExportedTable], list[RowSummary]]:
        """Read all exports, oldest first: the tables that stand for themselves, then those looked up in what all exports know of the others."""
        tables: list[ExportedTable] = []
        summaries: list[list[RowSummary]] = [[] for _ in exports]
        parents: dict[str, Source] = {}
        described = [
            (number, name, source)
            for number, export in enumerate(exports)
            for name in TABLES
            if (source := self._source(name, export.files, _beside(export, exports[:number]))) is not None
        ]
        for number, name, source in sorted(described, key=lambda one: len(looked_up(one[2].format, one[1]))):
            needed = looked_up(source.format, name)
            parents |= self._stored([parent for parent in needed if parent not in parents], tables)
            # Each on its own: the rows of records known from an earlier export are not to be taken for those of none.
            asked = {parent: parents[parent] for parent in needed if parent in parents} | {name: source}
            table, summary = self._read(asked, name, exports[number], number)
            tables.append(table)
            summaries[number].append(summary)
        return _in_order(tables), [joined(parts) for parts in summaries]

    def _stored(self, names: Iterable[str], tables: Sequence[ExportedTable]) -> dict[str, Source]:
        """Write what all exports know of some tables, for others to be looked up in."""
        found = {}
        for name in names:
            known = _in_order([table for table in tables if table.table == name])
            if known:
                path = self.scratch / f"known_{name}.parquet"
                write(self.connection, name, *merged(self.connection, name, known, self.company.timezone), self.company.timezone, path)
                found[name] = Source(path=str(path))
        return found

    def _read(self, asked: dict[str, Source], name: str, export: Export, number: int) -> tuple[ExportedTable, RowSummary]:
        file = self.paths[export.files[0].sha256]
        config = Config(company=replace(self.company, exported_at=None), hours={}, settings={}, tables=asked, folder=file.parent, path=file)
        try:
            reading = sources.read(config, self.connection)
        except KpiError as error:
            # What to add to kpi.toml belongs to the reading of exports, not to that of the tables made of them.
            raise type(error)(_FOLDER.sub("", str(error)).replace("[tables.", "[imports.")) from None
        frames = [frame[frame["table"] == name].copy() for frame in (reading.ledger, reading.set_aside, reading.decisions)]
        for frame in frames[1:]:
            frame["file"] = frame["file"].str.replace(_FOLDER, "", regex=True)
        days = frozenset(column for (table, column), precision in reading.precision.items() if table == name and precision == "day")
        relation = sql.free_name(self.connection, f"export_{number}_{name}")
        self.connection.execute(f"alter table {reading.tables.pop(name)} rename to {relation}")
        for stored in reading.tables.values():
            self.connection.execute(f"drop table {stored}")
        return ExportedTable(name, relation, reading.provided[name], days, number, export.exported_on, export.full), RowSummary(*frames)

    def _source(self, name: str, given: Sequence[Original], beside: Sequence[Original]) -> Source | None:
        """Describe a table's files, if an export has any."""
        mains = [file for file in given if name in file.tables]
        if not mains:
            return None
        system, stated = mains[0].system, self.imports.get(name, Source())
        if any(file.system != system for file in mains):
            raise DataError(f"{', '.join(Path(file.path).name for file in mains)} hold {name} of different systems; import them one after the other")
        if not system:
            if len(mains) > 1:
                raise DataError(f"{' and '.join(Path(file.path).name for file in mains)} both hold {name}; import them one after the other")
            return replace(stated, path=str(self.paths[mains[0].sha256]))
        # A file with rows of its own might pass for one of this table's: a log of changes has most columns of what changes.
        others = [file for file in [*given, *beside] if file.system == system and not file.tables]
        shown = {lookup.get("shape") for shape in aliases.shapes(system, name) for lookup in shape.lookups.values()}
        titled = {shape.table for shape in aliases.shapes(system) if shape.name in shown} - {"", name}
        others += [file for file in given if file.system == system and titled & set(file.tables) and file not in mains]
        return replace(stated, files=tuple(str(self.paths[file.sha256]) for file in [*mains, *others]), format=system)


def _beside(export: Export, earlier: Sequence[Export]) -> list[Original]:
    """List the files that tables may be looked up in and that came with an earlier export: the newest of each name."""
    systems = {file.system for file in export.files}
    files = [file for other in earlier for file in other.files if not file.tables and file.system in systems]
    return list({Path(file.path).name: file for file in files}.values())


def _in_order(tables: Sequence[ExportedTable]) -> list[ExportedTable]:
    """Sort what exports show: oldest export first, those of one day as they came."""
    return sorted(tables, key=lambda table: (table.exported_on, table.number))
