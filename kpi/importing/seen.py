"""What an export shows of a table, and what became of its rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import pandas as pd


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


def joined(accounts: Sequence[Account]) -> Account:
    """Put the accounts of several tables together.

    Parameters
    ----------
    accounts : sequence of Account
        At least one.

    Returns
    -------
    Account
    """
    frames = zip(*[(account.ledger, account.set_aside, account.decisions) for account in accounts], strict=True)
    return Account(*[pd.concat([part for part in parts if len(part)] or [parts[0]], ignore_index=True) for parts in frames])


def in_order(seen: Sequence[Seen]) -> list[Seen]:
    """Sort what was seen: oldest export first, those of one day as they came.

    Parameters
    ----------
    seen : sequence of Seen
        In any order.

    Returns
    -------
    list of Seen
    """
    return sorted(seen, key=lambda item: (item.exported_on, item.place))
