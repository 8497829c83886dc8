"""One import from start to end: recognised, dated, merged with all that was imported before, put in force as a whole."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

from kpi.engine import connect
from kpi.errors import DataError, ParameterError
from kpi.importing import history, log, merging, settings
from kpi.importing.log import Export, Log, Original
from kpi.importing.observing import observe_all
from kpi.importing.place import Place, reserved
from kpi.importing.recognition import kind
from kpi.importing.seen import Account, Seen
from kpi.importing.writing import compared, write
from kpi.schema import TABLES
from kpi.sources import Company, Source, read_config, sql
from kpi.sources.checks import rules
from kpi.sources.config import FILE

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


@dataclass(frozen=True)
class Outcome:
    """What an import found and did."""

    folder: Path
    files: dict[str, str]
    known: tuple[str, ...]
    exported_on: date | None
    is_dated: bool
    company: Company
    account: Account | None
    tables: dict[str, dict[str, int]] = field(default_factory=dict)
    has_differences: bool = False
    is_changed: bool = False


def bring_in(
    files: Sequence[Path],
    to: Path,
    *,
    system: str = "",
    exported_on: date | None = None,
    full: bool = False,
    max_set_aside: float = MAX_SET_ASIDE,
) -> Outcome:
    """Import exports of one day into a data set."""
    for file in files:
        if not file.is_file():
            raise ParameterError(f"there is no file {str(file)!r}")
    with reserved(to) as place, tempfile.TemporaryDirectory(prefix="kpi-", ignore_cleanup_errors=True) as scratch:
        return _Import(place, Path(scratch), max_set_aside).run(files, system, exported_on, full)


class _Import:
    """An import that is under way."""

    def __init__(self, place: Place, scratch: Path, max_set_aside: float) -> None:
        self.place, self.scratch, self.max_set_aside = place, scratch, max_set_aside
        self.folder = place.folder.absolute()
        self.log = log.read(self.folder)
        self.toml = (self.folder / FILE).read_bytes().decode("utf-8-sig") if (self.folder / FILE).is_file() else ""
        config = read_config(self.folder / FILE) if self.toml else None
        self.company = config.company if config else Company(name=self.folder.name)
        self.explicit: Mapping[str, Source] = config.imports if config else {}
        self.connection = connect()
        self.paths: dict[str, Path] = {}

    def run(self, files: Sequence[Path], system: str, exported_on: date | None, full: bool) -> Outcome:
        """Do it."""
        self._find_originals()
        given = {file: log.sha256(file) for file in files}
        known = {file: self.log.holding(digest, exported_on) for file, digest in given.items()}
        kinds = {file: kind(file, system) for file in files}
        fresh = [file for file in files if not known[file] or not kinds[file].tables]
        if all(not kinds[file].tables for file in fresh):
            fresh = [file for file in fresh if not known[file]]
        after = self._marked([place for file in files if file not in fresh for place in known[file]]) if full else self.log
        day = None
        if fresh:
            originals = self._originals(fresh, given, kinds)
            day = exported_on or self._newest(Export(date.max, full, originals, {}), after)
            after = replace(after, exports=(*after.exports, Export(day, full, self._placed(originals, day), {})))
        seen, accounts = self._observed(after)
        account = accounts[-1] if fresh else None
        if account is not None:
            self._refuse(account)
            if not self.toml:
                self._guess_currency(seen)
        after = after.counted([account.rows() for account in accounts])
        outcome = Outcome(
            self.place.folder,
            {str(file): kinds[file].title for file in files},
            tuple(str(file) for file in files if file not in fresh),
            day,
            exported_on is None,
            self.company,
            account,
        )
        return self._settled(outcome, after, seen)

    def _find_originals(self) -> None:
        for original in [file for export in self.log.exports for file in export.files]:
            path = self.folder / original.path
            if not path.is_file() or log.sha256(path) != original.sha256:
                raise DataError(f"{original.path} was imported and is no longer what it was; put the original back")
            self.paths[original.sha256] = path

    def _originals(self, files: Sequence[Path], given: Mapping[Path, str], kinds: Mapping) -> tuple[Original, ...]:
        """Copy the files given, so that what is read is what will be kept."""
        found = []
        for number, file in enumerate(files):
            copy = self.scratch / str(number) / file.name
            copy.parent.mkdir()
            shutil.copyfile(file, copy)
            if log.sha256(copy) != given[file]:
                raise DataError(f"{file} was changed while it was read; import it again")
            self.paths.setdefault(given[file], copy)
            found.append(Original(file.name, given[file], copy.stat().st_size, kinds[file].system, kinds[file].tables))
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

    def _marked(self, places: Sequence[int]) -> Log:
        exports = [replace(export, full=export.full or place in places) for place, export in enumerate(self.log.exports)]
        return replace(self.log, exports=tuple(exports))

    def _observed(self, known: Log) -> tuple[list[Seen], list[Account]]:
        return observe_all(self.connection, self.company, self.explicit, known.exports, self.paths, self.scratch)

    def _refuse(self, account: Account) -> None:
        """Refuse files of which too much cannot be used."""
        for name, rows in account.rows().items():
            ledger = account.ledger[(account.ledger["table"] == name) & ~account.ledger["reason"].isin(["", *rules.NO_RECORDS])]
            aside = int(ledger["set_aside"].sum())
            if aside and aside > self.max_set_aside * (rows["used"] + aside):
                worst = ledger.sort_values("set_aside", ascending=False, kind="stable").iloc[0]
                shown = account.examples(name, worst["reason"], 1)
                hint = "; exports of different days are imported one after the other" if worst["reason"] == rules.DUPLICATE else ""
                raise DataError(
                    f"{name}: {aside} of {rows['used'] + aside} rows cannot be used, more than the {self.max_set_aside:.0%} allowed; most often: "
                    f"{worst['reason']} ({worst['set_aside']}, e.g. {shown}){hint}; nothing was imported"
                )

    def _newest(self, export: Export, before: Log) -> date:
        """Find the last local day on which something happened that an export tells."""
        seen, _ = self._observed(replace(before, exports=(*before.exports, export)))
        found = []
        for item in [item for item in seen if item.exported_on == export.exported_on]:
            for column, condition in _HAPPENED.get(item.table, {}).items():
                local = f"timezone({sql.text(self.company.timezone)}, timezone('UTC', {sql.ident(column)}))::date"
                asked = f"select max({local}) from {item.relation} where {condition}"
                found += [row[0] for row in self.connection.execute(asked).fetchall() if row[0]]
        self.connection = connect()
        if not found:
            raise ParameterError("the files hold no date of anything that happened; say when they were exported: --exported-on 2026-10-31")
        return max(found)

    def _guess_currency(self, shown: Sequence[Seen]) -> None:
        """A new data set is in the currency of its first files, if they have but one."""
        found: set[str] = set()
        for item in shown:
            if "currency" in item.provided and item.table != "fx":
                found |= {row[0] for row in self.connection.execute(f"select distinct currency from {item.relation}").fetchall()}
        if len(found) == 1:
            with suppress(DataError):  # no currency at all
                self.company = replace(self.company, currency=found.pop())

    def _settled(self, outcome: Outcome, after: Log, seen: Sequence[Seen]) -> Outcome:
        """Make the tables of all exports and put them in force, unless they are what they were."""
        tables = {name: [item for item in seen if item.table == name] for name in TABLES}
        zone = self.company.timezone
        made = {name: merging.merged(self.connection, name, shown, zone) for name, shown in tables.items() if shown}
        told = made.get("opportunity_history", ("", {}))[0]
        both = history.with_differences(self.connection, tables["opportunities"], told, zone)
        if both != told:
            made["opportunity_history"] = both, merging.stored_types("opportunity_history")
        new, old = self.place.prepare(), self.place.tables(self.log.version)
        for name, (relation, types) in made.items():
            write(self.connection, name, relation, types, zone, new / f"{name}.parquet")
        counts = {name: compared(self.connection, name, new, old) for name in made}
        toml = self._toml(made, after, self.log.version) if self.log.version else ""
        is_same = all(found["is_same"] for found in counts.values()) and (toml, after) == (self.toml, self.log)
        if not is_same:
            version = self.log.version + 1
            toml = self._toml(made, after, version)
            originals = {file.path: self.paths[file.sha256] for export in after.exports for file in export.files}
            self.place.commit(version, originals, toml, log.dumps(replace(after, version=version)))
        rows = {name: {key: number for key, number in found.items() if key != "is_same"} for name, found in counts.items()}
        return replace(outcome, tables=rows, has_differences=both != told, is_changed=not is_same)

    def _toml(self, tables: Collection[str], after: Log, version: int) -> str:
        if self.toml and not self.log.exports:
            settings.refuse_others(self.folder, tables)
        text = self.toml or settings.created(self.company, after.newest)
        return settings.edited(text, tables, version, self.log.version, after.newest, self.log.newest)
