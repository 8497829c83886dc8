"""What each export shows: its tables read by the kit's own reader, typed and checked, side by side in one database."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from kpi import sources
from kpi.engine import Connection
from kpi.errors import DataError, KpiError
from kpi.importing.log import Export, Original
from kpi.importing.merging import merged
from kpi.importing.recognition import looked_up
from kpi.importing.seen import Account, Seen, in_order, joined
from kpi.importing.writing import write
from kpi.schema import TABLES
from kpi.sources import Company, Config, Source, sql

_PLACE = re.compile(r"\.\./[^/\s]+/")  # which folder an original is in says nothing to whoever imports it


def observe_all(
    connection: Connection,
    company: Company,
    explicit: Mapping[str, Source],
    exports: Sequence[Export],
    paths: Mapping[str, Path],
    scratch: Path,
):
    """Read all exports: first the tables that stand for themselves, then those that are looked up in what all exports know of the others."""
    seen: list[Seen] = []
    accounts: list[list[Account]] = [[] for _ in exports]
    waiting = []
    for place, export in enumerate(exports):
        beside = _beside(export, exports[:place])
        asked = {name: _source(name, explicit.get(name, Source()), export.files, paths, beside) for name in TABLES}
        for name, source in asked.items():
            if source is not None and looked_up(source.format, name):
                waiting.append((place, name, source))
        plain = {name: source for name, source in asked.items() if source is not None and not looked_up(source.format, name)}
        # Each on its own: the rows of records known from an earlier export are not to be taken for those of none.
        for name, source in plain.items():
            _add(connection, company, {name: source}, name, export, place, paths, seen, accounts[place])
    parents: dict[str, Source] = {}
    for place, name, source in waiting:
        for other in looked_up(source.format, name):
            known = in_order([item for item in seen if item.table == other])
            if known and other not in parents:
                path = scratch / f"known_{other}.parquet"
                write(connection, other, *merged(connection, other, known, company.timezone), company.timezone, path)
                parents[other] = Source(path=str(path))
        tables = {other: parents[other] for other in looked_up(source.format, name) if other in parents}
        _add(connection, company, {**tables, name: source}, name, exports[place], place, paths, seen, accounts[place])
    return in_order(seen), [joined(parts) for parts in accounts]


def _add(
    connection: Connection,
    company: Company,
    tables: dict[str, Source],
    name: str,
    export: Export,
    place: int,
    paths,
    seen: list,
    accounts: list,
) -> None:
    file = paths[export.files[0].sha256]
    config = Config(company=replace(company, exported_at=None), hours={}, settings={}, tables=tables, folder=file.parent, path=file)
    try:
        reading = sources.read(config, connection)
    except KpiError as error:
        # What to add to kpi.toml belongs to the reading of exports, not to that of the tables made of them.
        raise type(error)(_PLACE.sub("", str(error)).replace("[tables.", "[imports.")) from None
    frames = [frame[frame["table"] == name].copy() for frame in (reading.ledger, reading.set_aside, reading.decisions)]
    for frame in frames[1:]:
        frame["file"] = frame["file"].str.replace(_PLACE, "", regex=True)
    accounts.append(Account(*frames))
    days = frozenset(column for (table, column), precision in reading.precision.items() if table == name and precision == "day")
    relation = sql.free_name(connection, f"seen_{place}_{name}")
    connection.execute(f"alter table {reading.tables.pop(name)} rename to {relation}")
    for stored in reading.tables.values():
        connection.execute(f"drop table {stored}")
    seen.append(Seen(name, relation, reading.provided[name], days, place, export.exported_on, export.full))


def _beside(export: Export, earlier: Sequence[Export]) -> list[Original]:
    """List the files that tables may be looked up in and that came with an earlier export: the newest of each name."""
    here = {file.system for file in export.files}
    files = [file for other in earlier for file in other.files if not file.tables and file.system in here]
    return list({Path(file.path).name: file for file in files}.values())


def _source(name: str, explicit: Source, given: Sequence[Original], paths: Mapping[str, Path], beside: Sequence[Original]) -> Source | None:
    mains = [file for file in given if name in file.tables]
    if not mains:
        return None
    system = mains[0].system
    if any(file.system != system for file in mains):
        raise DataError(f"{', '.join(Path(file.path).name for file in mains)} hold {name} of different systems; import them one after the other")
    if not system:
        if len(mains) > 1:
            raise DataError(f"{' and '.join(Path(file.path).name for file in mains)} both hold {name}; import them one after the other")
        return replace(explicit, path=str(paths[mains[0].sha256]))
    # A file with rows of its own might pass for one of this table's: a log of changes has most columns of what changes.
    others = [file for file in [*given, *beside] if file.system == system and not file.tables]
    return replace(explicit, files=tuple(str(paths[file.sha256]) for file in [*mains, *others]), format=system)
