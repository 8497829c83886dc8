"""Faults put into simulated tables on purpose, each one counted: what a check of the data must find."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from kpi.errors import ParameterError
from tests.simulated.clock import clock_of

HOSTILE = (
    "<script>alert(1)</script>",
    '<img src=x onerror="alert(1)">',
    '=HYPERLINK("https://example.org","click")',
    "+1+cmd|' /C calc'!A0",
    "@SUM(1,2)",
    "$x^2$ and $\\frac{1}{0}$",
    "two\nlines",
    'a "quoted", separated; text',
    "\u202eright to left",
    "{{ 7*7 }} {value}",
    "| pipe | **bold** `code`",
)


class Soil:
    """Tables being spoilt; a row is hit by one fault only.

    Parameters
    ----------
    simulation : Simulation
        Left as it is.
    seed : int
        Seed of the choice of rows.
    """

    def __init__(self, simulation, seed: int) -> None:
        self.tables = {name: table.copy() for name, table in simulation.tables.items()}
        self.company, self.rng = simulation.company, np.random.default_rng(seed)
        self.used: dict[str, set] = {}
        self.rows: list[tuple] = []

    def table(self, fault: str, name: str) -> pd.DataFrame:
        """A table that a fault needs."""
        if name not in self.tables:
            raise ParameterError(f"the fault {fault} needs the table {name}, which this company does not have")
        return self.tables[name]

    def choose(self, fault: str, table: str, n: int, where=None) -> np.ndarray:
        """Positions of `n` rows of a table that no fault has hit yet, by the table's first column."""
        frame, used = self.table(fault, table), self.used.setdefault(table, set())
        free = ~frame.iloc[:, 0].isin(used)
        candidates = np.flatnonzero(free if where is None else free & where.to_numpy(dtype=bool))
        candidates = candidates[~frame.iloc[candidates, 0].duplicated().to_numpy()]
        if len(candidates) < n:
            raise ParameterError(f"{n} {fault} wanted, but {table} has only {len(candidates)} rows for it")
        chosen = np.sort(self.rng.choice(candidates, n, replace=False))
        used.update(frame.iloc[chosen, 0])
        return chosen

    def note(self, fault: str, table: str, keys, column: str, before, after) -> None:
        """Enter faults in the ledger, one row each."""
        keys = list(keys)
        for key, was, now in zip(keys, _text(before), _text(after), strict=True):
            self.rows.append((fault, table, key, column, was, now))

    def put(self, fault: str, table: str, positions: np.ndarray, column: str, values) -> None:
        """Overwrite cells and enter them in the ledger."""
        frame = self.tables[table]
        place = frame.columns.get_loc(column)
        before = frame.iloc[positions, place].copy()
        frame.iloc[positions, place] = values
        self.note(fault, table, frame.iloc[positions, 0], column, before, frame.iloc[positions, place])

    def add(self, table: str, rows: pd.DataFrame) -> None:
        """Append rows to a table."""
        rows = rows.astype(self.tables[table].dtypes.to_dict())
        self.tables[table] = pd.concat([self.tables[table], rows], ignore_index=True)


def soil(simulation, faults: Mapping[str, int], seed: int) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """Spoil the tables of a simulated company with so many faults of each kind.

    Returns
    -------
    tuple of dict and DataFrame
        Spoilt canonical tables; the ledger, one row per fault: ``fault``, ``table``, ``key`` (the row's first column), ``column``, ``before``,
        ``after``.
    """
    unknown = set(faults) - set(FAULTS)
    if unknown:
        raise ParameterError(f"unknown fault {sorted(unknown)[0]!r}: one of {', '.join(FAULTS)}")
    work = Soil(simulation, seed)
    for name, apply in FAULTS.items():  # always in this order, so that the result depends on the numbers only
        if faults.get(name, 0):
            apply(work, name, faults[name])
    return work.tables, pd.DataFrame(work.rows, columns=["fault", "table", "key", "column", "before", "after"])


def _split(work: Soil, n: int, *tables: str) -> list[tuple[str, int]]:
    """So many faults over several tables, as evenly as they go; absent tables get none."""
    present = [table for table in tables if table in work.tables]
    return [(table, n // len(present) + (place < n % len(present))) for place, table in enumerate(present)]


def _duplicates(work: Soil, fault: str, n: int) -> None:
    for table, count in _split(work, n, "leads", "activities", "opportunities", "orders"):
        rows = work.tables[table].iloc[work.choose(fault, table, count)]
        work.note(fault, table, rows.iloc[:, 0], "", [None] * count, ["repeated"] * count)
        work.add(table, rows)


def _blanks(work: Soil, fault: str, n: int) -> None:
    columns = {"leads": "created_at", "activities": "at", "opportunities": "amount", "orders": "amount"}
    for table, count in _split(work, n, *columns):
        values = pd.NaT if columns[table].endswith("at") else np.nan
        work.put(fault, table, work.choose(fault, table, count), columns[table], values)


def _future_dates(work: Soil, fault: str, n: int) -> None:
    columns = {"leads": "created_at", "activities": "at", "orders": "at"}
    for table, count in _split(work, n, *columns):
        chosen = work.choose(fault, table, count)
        column = columns[table]
        work.put(fault, table, chosen, column, work.tables[table][column].iloc[chosen] + pd.Timedelta(days=3653))


def _closed_before_created(work: Soil, fault: str, n: int) -> None:
    deals = work.tables["opportunities"]
    chosen = work.choose(fault, "opportunities", n, deals["status"] != "open")
    work.put(fault, "opportunities", chosen, "closed_at", deals["created_at"].iloc[chosen] - pd.Timedelta(days=20))


def _stage_jumps(work: Soil, fault: str, n: int) -> None:
    """A stage is passed over: the row that entered it is missing from the history."""
    history = work.tables["opportunity_history"]
    same_deal = history["opportunity_id"] == history["opportunity_id"].shift()
    moved = same_deal & (history["stage"] != history["stage"].shift()) & (history["status"] == "open")
    # The row goes only where the next row enters yet another stage, else the stage would just be entered later.
    final = (history["opportunity_id"] == history["opportunity_id"].shift(-1)) & (history["stage"] != history["stage"].shift(-1))
    place = work.choose(fault, "opportunity_history", n, moved & final)
    gone = history.iloc[place]
    work.note(fault, "opportunity_history", gone["opportunity_id"], "stage", gone["stage"], [None] * n)
    work.tables["opportunity_history"] = history.drop(history.index[place]).reset_index(drop=True)


def _stage_returns(work: Soil, fault: str, n: int) -> None:
    """An open deal goes back to the first stage for a day, then forward again."""
    history = work.tables["opportunity_history"]
    first = work.company.stages[0].name
    last = ~history["opportunity_id"].duplicated(keep="last")
    early = history["changed_at"] < _end(work) - pd.Timedelta(days=4)
    chosen = work.choose(fault, "opportunity_history", n, last & early & (history["status"] == "open") & (history["stage"] != first))
    now = history.iloc[chosen]
    back = now.assign(changed_at=now["changed_at"] + pd.Timedelta(days=2), seq=now["seq"] + 1, stage=first)
    again = now.assign(changed_at=now["changed_at"] + pd.Timedelta(days=3), seq=now["seq"] + 2)
    work.note(fault, "opportunity_history", now["opportunity_id"], "stage", now["stage"], back["stage"])
    work.add("opportunity_history", pd.concat([back, again]))


def _reopened(work: Soil, fault: str, n: int) -> None:
    """A lost deal is open again from the third day on, and lost for good on the tenth."""
    deals, history = work.tables["opportunities"], work.tables["opportunity_history"]
    early = deals["closed_at"] < _end(work) - pd.Timedelta(days=11)
    chosen = work.choose(fault, "opportunities", n, early & (deals["status"] == "lost"))
    keys = deals["opportunity_id"].iloc[chosen]
    before = history[history["opportunity_id"].isin(keys) & (history["status"] == "open")].drop_duplicates("opportunity_id", keep="last")
    closing = history[history["opportunity_id"].isin(keys) & (history["status"] == "lost")].drop_duplicates("opportunity_id", keep="last")
    work.used.setdefault("opportunity_history", set()).update(keys)
    stages = before.set_index("opportunity_id")["stage"].reindex(closing["opportunity_id"]).to_numpy()
    third = closing["changed_at"] + pd.Timedelta(days=3)
    again = closing.assign(changed_at=third, seq=closing["seq"] + 1, stage=stages, status="open")
    lost = closing.assign(changed_at=third + pd.Timedelta(days=7), seq=closing["seq"] + 2)
    work.add("opportunity_history", pd.concat([again, lost]))
    work.put(fault, "opportunities", chosen, "closed_at", deals["closed_at"].iloc[chosen] + pd.Timedelta(days=10))


def _refunds(work: Soil, fault: str, n: int) -> None:
    """A sale is taken back in full a day later."""
    orders = work.table(fault, "orders")
    plain = (orders["kind"] == "sale") & ~orders["order_id"].isin(orders["refunds_order_id"]) & (orders["at"] < _end(work) - pd.Timedelta(days=2))
    sold = orders.iloc[work.choose(fault, "orders", n, plain)]
    back = sold.assign(
        order_id="R" + sold["order_id"],
        at=sold["at"] + pd.Timedelta(days=1),
        kind="refund",
        amount=-sold["amount"],
        margin=-sold["margin"],
        refunds_order_id=sold["order_id"],
    )
    work.note(fault, "orders", back["order_id"], "kind", sold["amount"], back["amount"])
    work.add("orders", back)


def _mixed_zones(work: Soil, fault: str, n: int) -> None:
    """An activity whose local time was taken for UTC, as when two systems' exports are joined: off by the zone's offset."""
    clock, at = clock_of(work.company), work.tables["activities"]["at"]
    sound = at < _end(work)
    seconds = at.where(sound, _end(work)).to_numpy().astype("M8[s]").astype("int64")
    moved = at + pd.to_timedelta(clock.offset(seconds), unit="s")
    chosen = work.choose(fault, "activities", n, sound & (moved < _end(work)))
    work.put(fault, "activities", chosen, "at", moved.iloc[chosen])


def _hostile(work: Soil, fault: str, n: int) -> None:
    """Texts that pages, spreadsheets and plots might run, in columns that reports group by."""
    columns = {"leads": "source", "opportunities": "product", "customers": "segment"}
    for table, count in _split(work, n, *columns):
        texts = [HOSTILE[number % len(HOSTILE)] for number in range(count)]
        work.put(fault, table, work.choose(fault, table, count), columns[table], texts)


def _end(work: Soil) -> pd.Timestamp:
    """The export as a naive UTC instant."""
    return work.company.exported_on.tz_localize(work.company.timezone).tz_convert("UTC").tz_localize(None)


def _text(values) -> list[str | None]:
    return [None if pd.isna(value) else str(value) for value in values]


FAULTS = {
    "duplicates": _duplicates,
    "blanks": _blanks,
    "future_dates": _future_dates,
    "closed_before_created": _closed_before_created,
    "stage_jumps": _stage_jumps,
    "stage_returns": _stage_returns,
    "reopened": _reopened,
    "refunds": _refunds,
    "mixed_zones": _mixed_zones,
    "hostile": _hostile,
}
