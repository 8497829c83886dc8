"""One import from start to end: recognised, dated, merged with all that was imported before, put in force as a whole."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import date
from pathlib import Path

import pandas as pd

from kpi.dataset.extent import settled
from kpi.engine import connect
from kpi.errors import DataError, ParameterError
from kpi.importing import kpi_toml, log
from kpi.importing.differences import with_differences
from kpi.importing.exports import ExportReader, FileKind, recognised
from kpi.importing.log import Export, Log, Original
from kpi.importing.merging import HISTORY, ExportedTable, compared, merged, write
from kpi.importing.outcome import Outcome, RowSummary
from kpi.importing.transaction import Transaction, reserved
from kpi.schema import TABLES
from kpi.sources import Company, Source, read_config, sql
from kpi.sources.checks import rules
from kpi.sources.checks.flags import renames
from kpi.sources.checks.rows import complaint
from kpi.sources.config import FILE
from kpi.sources.readers.files import sha256

MAX_SET_ASIDE = 0.05
# Where an export tells its own date: what happened, never what is planned.
_HAPPENED = {
    "leads": {"created_at": "true", "assigned_at": "true", "disqualified_at": "true"},
    "activities": {"at": "done"},
    "opportunities": {"created_at": "true", "closed_at": "status <> 'open'"},
    "opportunity_history": {"changed_at": "true"},
    "customers": {"acquired_at": "true"},
    "orders": {"at": "true"},
}


def bring_in(
    files: Sequence[Path],
    to: Path,
    *,
    system: str = "",
    exported_on: date | None = None,
    full: bool = False,
    today: date = date.max,
    max_set_aside: float = MAX_SET_ASIDE,
) -> Outcome:
    """Import exports of one day into a data set."""
    for file in files:
        if not file.is_file():
            raise ParameterError(f"there is no file {str(file)!r}")
    with reserved(to) as transaction, tempfile.TemporaryDirectory(prefix="kpi-", ignore_cleanup_errors=True) as scratch:
        return _Import(transaction, Path(scratch), max_set_aside, today).run(files, system, exported_on, full)


class _Import:
    """An import that is under way."""

    def __init__(self, transaction: Transaction, scratch: Path, max_set_aside: float, today: date) -> None:
        self.transaction, self.scratch, self.max_set_aside, self.today = transaction, scratch, max_set_aside, today
        self.folder = transaction.folder.absolute()
        self.log = log.read(self.folder)
        self.toml = (self.folder / FILE).read_bytes().decode("utf-8-sig") if (self.folder / FILE).is_file() else ""
        config = read_config(self.folder / FILE) if self.toml else None
        self.company = config.company if config else Company(name=self.folder.name)
        self.imports: Mapping[str, Source] = config.imports if config else {}
        self.connection = connect()
        self.paths: dict[str, Path] = {}
        self.left_out = ""  # dates that do not date the export

    def run(self, files: Sequence[Path], system: str, exported_on: date | None, full: bool) -> Outcome:
        self._find_originals()
        hashes = {file: sha256(file, str(file)) for file in files}
        known = {file: self.log.holding(digest, exported_on) for file, digest in hashes.items()}
        kinds = {file: recognised(file, system) for file in files}
        fresh = [file for file in files if not known[file] or not kinds[file].tables]
        if all(not kinds[file].tables for file in fresh):
            fresh = [file for file in fresh if not known[file]]
        after = self.log.marked_full({number for file in files if file not in fresh for number in known[file]}) if full else self.log
        day = None
        if fresh:
            originals = self._originals(fresh, hashes, kinds)
            day = exported_on or self._newest(Export(date.max, full, originals, {}), after)
            after = replace(after, exports=(*after.exports, Export(day, full, self._placed(originals, day), {})))
        tables, summaries = self._read(after)
        if fresh:
            self._refuse(summaries[-1])
            if not self.toml:
                self._guess_currency(tables)
        after = after.counted([summary.counts() for summary in summaries])
        outcome = Outcome(
            self.transaction.folder,
            {str(file): kinds[file].title for file in files},
            tuple(str(file) for file in files if file not in fresh),
            day,
            "" if exported_on else f"the newest date in the files{self.left_out}; say otherwise with --exported-on",
            self.company,
            summaries[-1] if fresh else None,
        )
        return self._in_force(outcome, after, tables)

    def _find_originals(self) -> None:
        for original in [file for export in self.log.exports for file in export.files]:
            path = self.folder / original.path
            if not path.is_file() or sha256(path, str(path)) != original.sha256:
                raise DataError(f"{original.path} was imported and is no longer what it was; put the original back")
            self.paths[original.sha256] = path

    def _originals(self, files: Sequence[Path], hashes: Mapping[Path, str], kinds: Mapping[Path, FileKind]) -> tuple[Original, ...]:
        """Copy the files given, so that what is read is what will be kept."""
        found = []
        for number, file in enumerate(files):
            copy = self.scratch / str(number) / file.name
            copy.parent.mkdir()
            shutil.copyfile(file, copy)
            if sha256(copy, str(copy)) != hashes[file]:
                raise DataError(f"{file} was changed while it was read; import it again")
            self.paths.setdefault(hashes[file], copy)
            found.append(Original(file.name, hashes[file], copy.stat().st_size, kinds[file].system, kinds[file].tables))
        return tuple({original.sha256: original for original in found}.values())

    def _placed(self, originals: Sequence[Original], day: date) -> tuple[Original, ...]:
        """Choose where the files will be kept; one of another content but the same name gets a part of its hash."""
        taken = {file.path: file.sha256 for export in self.log.exports for file in export.files}
        placed = []
        for original in originals:
            path = f"{log.FOLDER}/{day}/{original.path}"
            if taken.get(path, original.sha256) != original.sha256 or (path not in taken and (self.folder / path).exists()):
                name = Path(original.path)
                path = f"{log.FOLDER}/{day}/{name.stem}-{original.sha256[:8]}{name.suffix}"
            taken[path] = original.sha256
            placed.append(replace(original, path=path))
        return tuple(placed)

    def _read(self, known: Log) -> tuple[list[ExportedTable], list[RowSummary]]:
        return ExportReader(self.connection, self.company, self.imports, self.paths, self.scratch).read(known.exports)

    def _refuse(self, rows: RowSummary) -> None:
        """Refuse files of which too much cannot be used."""
        for name in rows.counts():
            if told := complaint(rows.ledger, rows.set_aside, name, self.max_set_aside, "imports"):
                hint = "; exports of different days are imported one after the other" if rules.DUPLICATE in told else ""
                raise DataError(f"{told}{hint}; nothing was imported")

    def _newest(self, export: Export, before: Log) -> date:
        """Find the last local day on which something happened that an export tells: not after today, nor one of few that a year keeps apart."""
        tables, _ = self._read(replace(before, exports=(*before.exports, export)))
        found = []
        for table in [table for table in tables if table.exported_on == export.exported_on]:
            for column, condition in _HAPPENED.get(table.table, {}).items():
                local = sql.local_day(sql.ident(column), self.company.timezone)
                days = f"select {local} as day from {table.relation} where {condition} and {sql.ident(column)} is not null"
                asked = f"select year(day) * 12 + month(day), count(*), max(day), day > date '{self.today}' as is_later from ({days}) group by all"
                found += self.connection.execute(asked).fetchall()
        self.connection = connect()
        months = pd.DataFrame(found, columns=["month", "n", "last", "is_later"])
        if months["is_later"].all():
            raise ParameterError("the files hold no date of anything that happened; say when they were exported: --exported-on 2026-10-31")
        newest = max(settled(months[~months["is_later"].astype(bool)])["last"])
        later = months[months["last"] > newest]
        self.left_out = f", {later['n'].sum()} later up to {later['last'].max()} left out" if len(later) else ""
        return newest

    def _guess_currency(self, tables: Sequence[ExportedTable]) -> None:
        """A new data set is in the currency of its first files, if they have but one."""
        priced = [table.relation for table in tables if "currency" in table.provided and table.table != "fx"]
        found = {row[0] for relation in priced for row in self.connection.execute(f"select distinct currency from {relation}").fetchall()}
        if len(found) == 1:
            with suppress(DataError):  # no currency at all
                self.company = replace(self.company, currency=found.pop())

    def _in_force(self, outcome: Outcome, after: Log, tables: Sequence[ExportedTable]) -> Outcome:
        """Make the tables of all exports and put them in force, unless they are what they were."""
        by_name = {name: [table for table in tables if table.table == name] for name in TABLES}
        zone = self.company.timezone
        made = {name: merged(self.connection, name, exports, zone) for name, exports in by_name.items() if exports}
        logged = made.get(HISTORY, ("", set[str]()))[0]
        history = with_differences(self.connection, by_name["opportunities"], logged, zone)
        if history != logged:
            made[HISTORY] = history, set()
        known = read_config(self.folder / FILE).settings["pipeline"].get("renamed", {}) if self.toml else {}
        asked = [one for one in renames(self.connection, history) if known.get(one[0]) != one[1]] if history else []
        new, old = self.transaction.prepare(), self.transaction.tables(self.log.version)
        counts, is_same = {}, True
        for name, (relation, days) in made.items():
            path, before = new / f"{name}.parquet", old / f"{name}.parquet"
            write(self.connection, name, relation, days, zone, path)
            counts[name] = compared(self.connection, name, path, before)
            is_same = is_same and before.is_file() and path.read_bytes() == before.read_bytes()
        toml = self._toml(made, after, self.log.version) if self.log.version else ""
        is_same = is_same and (toml, after) == (self.toml, self.log)
        if not is_same:
            version = self.log.version + 1
            originals = {file.path: self.paths[file.sha256] for export in after.exports for file in export.files}
            self.transaction.commit(version, originals, self._toml(made, after, version), log.dumps(replace(after, version=version)))
        return replace(outcome, tables=counts, has_differences=history != logged, renamed=asked, is_changed=not is_same)

    def _toml(self, tables: Collection[str], after: Log, version: int) -> str:
        if self.toml and not self.log.exports:
            kpi_toml.refuse_others(self.folder, tables)
        text = self.toml or kpi_toml.created(self.company, after.newest)
        return kpi_toml.edited(text, tables, version, self.log.version, after.newest, self.log.newest)
