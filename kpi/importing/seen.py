"""What an export shows of a table, and what became of its rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import pandas as pd


@dataclass(frozen=True)
class Seen:
    """A canonical table as one export shows it."""

    table: str
    relation: str
    provided: frozenset[str]
    days: frozenset[str]
    place: int
    exported_on: date
    full: bool


@dataclass(frozen=True)
class Account:
    """What became of the rows of an export."""

    ledger: pd.DataFrame
    set_aside: pd.DataFrame
    decisions: pd.DataFrame

    def rows(self) -> dict[str, dict[str, int]]:
        """Sum up per table."""
        total = self.ledger.groupby("table", sort=False)[["found", "used", "set_aside"]].sum()
        return {str(name): {key: int(value) for key, value in row.items()} for name, row in total.to_dict("index").items()}

    def examples(self, table: str, reason: str, count: int) -> str:
        """Name some of the rows set aside."""
        chosen = self.set_aside[(self.set_aside["table"] == table) & (self.set_aside["reason"] == reason)].head(count)
        return ", ".join(f"{row.file}:{row.row}" + (f" ({row.column} = {row.value!r})" if row.column else "") for row in chosen.itertuples())


def joined(accounts: Sequence[Account]) -> Account:
    """Put the accounts of several tables together."""
    frames = zip(*[(account.ledger, account.set_aside, account.decisions) for account in accounts], strict=True)
    return Account(*[pd.concat([part for part in parts if len(part)] or [parts[0]], ignore_index=True) for parts in frames])


def in_order(seen: Sequence[Seen]) -> list[Seen]:
    """Sort what was seen: oldest export first, those of one day as they came."""
    return sorted(seen, key=lambda item: (item.exported_on, item.place))
