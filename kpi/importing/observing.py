"""What each export shows: its tables read by the kit's own reader, typed and checked, side by side in one database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import pandas as pd

from kpi import sources
from kpi.errors import DataError, KpiError
from kpi.importing.log import Export, Original
from kpi.schema import TABLES
from kpi.sources import Company, Config, Source, sql

# Read on their own, so that the rows of records known from an earlier export are not taken for those of none.
_CHILDREN = tuple(name for name, table in TABLES.items() if any(column.filled and column.references for column in table.columns))


@dataclass(frozen=True)
class Seen:
    """A canonical table as one export shows it.

    Attributes
    ----------
    table, relation : str
        Canonical table, and its name in the connection.
    provided : frozenset of str
        Columns that the export has.
    days : frozenset of str
        Those of its instant columns that hold dates only.
    place : int
        Which import it was.
    exported_on : date
        Last day it tells about.
    full : bool
        Whether it holds every record.
    """

    table: str
    relation: str
    provided: frozenset[str]
    days: frozenset[str]
    place: int
    exported_on: date
    full: bool


@dataclass(frozen=True)
class Account:
    """What became of the rows of an export.

    Attributes
    ----------
    ledger, set_aside, decisions : DataFrame
        As in `kpi.sources.Reading`.
    """

    ledger: pd.DataFrame
    set_aside: pd.DataFrame
    decisions: pd.DataFrame

    def rows(self) -> dict[str, dict[str, int]]:
        """Sum up per table.

        Returns
        -------
        dict of str to dict
            ``found``, ``used``, ``set_aside``.
        """
        total = self.ledger.groupby("table", sort=False)[["found", "used", "set_aside"]].sum()
        return {str(name): {key: int(value) for key, value in row.items()} for name, row in total.to_dict("index").items()}

    def examples(self, table: str, reason: str, count: int) -> str:
        """Name some of the rows set aside.

        Parameters
        ----------
        table, reason : str
            Which.
        count : int
            How many.

        Returns
        -------
        str
            File and row, with the cell that was to blame.
        """
        chosen = self.set_aside[(self.set_aside["table"] == table) & (self.set_aside["reason"] == reason)].head(count)
        return ", ".join(f"{row.file}:{row.row}" + (f" ({row.column} = {row.value!r})" if row.column else "") for row in chosen.itertuples())


def observe(
    connection, company: Company, explicit: Mapping[str, Source], export: Export, paths: Mapping[str, Path], place: int, beside: Sequence[Original]
) -> tuple[list[Seen], Account]:
    """Read all tables of an export.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Where they are kept.
    company : Company
        Zone and currency.
    explicit : mapping of str to Source
        ``[imports.<table>]`` of kpi.toml, which wins over what was recognised.
    export : Export
        What to read.
    paths : mapping of str to Path
        Hash to the file, wherever it is now.
    place : int
        Number of the import.
    beside : sequence of Original
        Files of other imports that tables may be looked up in.

    Returns
    -------
    tuple
        Tables seen, and the account of their rows.

    Raises
    ------
    DataError
        If a file cannot be read, or it cannot be told how it is written.
    SchemaError
        If a required column is missing.
    """
    asked = {name: _source(name, explicit.get(name, Source()), export.files, paths, beside) for name in TABLES}
    wanted = {name: source for name, source in asked.items() if source is not None}
    apart = [{name: wanted[name]} for name in _CHILDREN if name in wanted]
    together = {name: source for name, source in wanted.items() if name not in _CHILDREN}
    seen, accounts = [], []
    for tables in [together, *apart] if together else apart:
        reading = _read(connection, replace(company, exported_at=None), tables, paths[export.files[0].sha256])
        accounts.append(Account(reading.ledger, reading.set_aside, reading.decisions))
        for name, stored in reading.tables.items():
            days = frozenset(column for (table, column), precision in reading.precision.items() if table == name and precision == "day")
            relation = sql.free_name(connection, f"seen_{place}_{name}")
            connection.execute(f"alter table {stored} rename to {relation}")
            seen.append(Seen(name, relation, reading.provided[name], days, place, export.exported_on, export.full))
    frames = zip(*[(account.ledger, account.set_aside, account.decisions) for account in accounts], strict=True)
    return seen, Account(*[pd.concat([part for part in parts if len(part)] or [parts[0]], ignore_index=True) for parts in frames])


def _read(connection, company: Company, tables: dict[str, Source], file: Path) -> sources.Reading:
    try:
        return sources.read(Config(company=company, hours={}, settings={}, tables=tables, folder=file.parent, path=file), connection)
    except KpiError as error:
        # What to add to kpi.toml belongs to the reading of exports, not to that of the tables made of them.
        raise type(error)(str(error).replace("[tables.", "[imports.")) from None


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
    others = [file for file in [*given, *beside] if file.system == system and file not in mains]
    return replace(explicit, files=tuple(str(paths[file.sha256]) for file in [*mains, *others]), format=system)
