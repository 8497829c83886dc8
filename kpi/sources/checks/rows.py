"""What a row must satisfy beyond its own cells: one of its key, a known parent, an end after its start; and the ledger that accounts for all rows."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from kpi.engine import Connection
from kpi.schema import TABLES, Column, Table
from kpi.sources import sql
from kpi.sources.cells import printable
from kpi.sources.checks import rules
from kpi.sources.staging import StagingTable
from kpi.sources.typing.cast import BLANK, TypedTable

LEDGER = ["table", "found", "used", "set_aside", "reason", "amount"]  # amount: what the rows hold, whatever its sign
AMOUNTS = {"opportunities": "amount", "orders": "amount", "contracts": "monthly_amount"}
SET_ASIDE = ["table", "file", "row", "column", "value", "reason"]
DECISIONS = ["table", "file", "decision", "value"]
STARTS_AND_ENDS = {"opportunities": ("created_at", "closed_at", rules.CLOSED_FIRST), "contracts": ("start_on", "end_on", rules.ENDED_FIRST)}


def set_aside_rows(connection: Connection, table: Table, typed: TypedTable, provided: dict, tables: dict[str, str], zone: str) -> None:
    """Mark the rows that end before they start, that repeat a key, or whose required parent is unknown."""
    has = provided[table.name]
    if table.name in STARTS_AND_ENDS and set(STARTS_AND_ENDS[table.name][:2]) <= set(has):
        start, end, reason = STARTS_AND_ENDS[table.name]
        # A date against an instant of the same day is no contradiction.
        is_dated = "day" in (typed.precision.get(start), typed.precision.get(end))
        first, last = (sql.local_day(name, zone) if is_dated else name for name in (start, end))
        _mark(connection, typed, end, reason, f"{last} < {first}")
    if table.key:
        place = f"row_number() over (partition by {', '.join(map(sql.ident, table.key))} order by file, row)"
        again = f"(file, row) in (select file, row from {typed.name} where fault = 0 qualify {place} > 1)"
        _mark(connection, typed, table.key[0], rules.DUPLICATE, again)
    for column in table.columns:
        parent = column.references
        if column.filled and parent and column.name in has and _is_nobody(connection, typed.name, column, tables):
            _mark(connection, typed, column.name, rules.EMPTY.format(column=column.name), f"{sql.ident(column.name)} = '0'")
        if column.filled and parent in tables and column.name in has:
            missing = f"{sql.ident(column.name)} not in (select {sql.ident(TABLES[parent].key[0])} from {tables[parent]})"
            _mark(connection, typed, column.name, rules.ORPHAN.format(column=column.name), missing)


def unlink_nobody(connection: Connection, tables: Mapping[str, str], provided: Mapping[str, frozenset[str]]) -> None:
    """Empty the links that may be empty and lead to 0, where that is nobody."""
    for name, stored in tables.items():
        for column in (column for column in TABLES[name].columns if column.is_id and not column.filled and column.name in provided[name]):
            if _is_nobody(connection, stored, column, tables):
                connection.execute(f"update {stored} set {column.name} = null where {column.name} = '0'")


def _is_nobody(connection: Connection, rows: str, column: Column, tables: Mapping[str, str]) -> bool:
    """Whether 0 means that there is no record: none has that key; or, where records are not known, it is no ordinary one of the numbers 0 to n."""
    cell = sql.ident(column.name)
    if column.references in tables:
        stands = f"select count(*) > 0 from {tables[column.references]} where {TABLES[column.references].key[0]} = '0'"
    else:
        ordinary = f"count(*) = max(try_cast({cell} as bigint)) + 1 and max(n) filter ({cell} = '0') <= max(n) filter ({cell} <> '0')"
        stands = f"select coalesce({ordinary}, false) from (select {cell}, count(*) as n from {rows} where {cell} is not null group by {cell})"
    return bool(sql.first_row(connection, f"select exists (from {rows} where {cell} = '0') and not ({stands})")[0])


def _mark(connection: Connection, typed: TypedTable, column: str, reason: str, condition: str) -> None:
    typed.faults.append((column, reason))
    connection.execute(
        f"update {typed.name} set fault = {len(typed.faults) - 1}, bad = {sql.ident(column)}::varchar where fault = 0 and ({condition})"
    )


def untold_stages(connection: Connection, typed: TypedTable) -> list[tuple[str, str, str]]:
    """List the stages of deals whose status nothing told: someone has to."""
    where = "where fault = 0 and not status_told group by stage order by count(*) desc, stage"
    found = connection.execute(f"select stage, count(*) from {typed.name} {where}").fetchall()
    stages = ", ".join(f"{stage!r} ({n})" for stage, n in found)
    return [("", "stages of which nothing says won or lost, taken as open (a table stages tells)", stages)] if found else []


def keep(connection: Connection, table: Table, typed: TypedTable) -> str:
    """Turn the typed rows into the canonical table: without those that have a fault, and without what only the checks needed."""
    name = sql.free_name(connection, table.name)
    connection.execute(f"create table {name} as select {', '.join(map(sql.ident, table.names))} from {typed.name} where fault = 0")
    connection.execute(f"drop table {typed.name}")
    return name


def ledger(connection: Connection, staging: StagingTable, typed: TypedTable) -> list[tuple]:
    """Account for every row found: used, or set aside for a reason."""
    amount = AMOUNTS.get(staging.table.name, "null::double")
    each = connection.execute(f"select fault, count(*), sum(abs({amount})) from {typed.name} group by fault").fetchall()
    counted = accounted(staging.table.name, typed.faults, [row for row in each if row[0] != BLANK], {rules.MISFIT: [len(staging.misfits), None]})
    found = staging.n_read - sum(n for fault, n, _ in each if fault == BLANK) + len(staging.misfits)
    if found != (total := sum(row[1] for row in counted)):
        raise AssertionError(f"{staging.table.name}: {found} rows found, but {total} used and set aside")
    return counted


def accounted(table: str, faults: list[tuple[str, str]], each: list[tuple], before: Mapping[str, list]) -> list[tuple]:
    """Put rows counted by their fault into a ledger, with what those hold that were meant as records."""
    used = next(((n, amount) for fault, n, amount in each if fault == 0), (0, None))
    aside = {reason: counted for reason, counted in before.items() if counted[0]}
    for fault, n, amount in sorted(each):
        if fault:
            reason = faults[fault][1]
            earlier, held = aside.get(reason, [0, None])
            aside[reason] = [earlier + n, held if amount is None or reason in rules.NO_RECORDS else (held or 0) + amount]
    return [(table, used[0], used[0], 0, "", used[1])] + [(table, n, 0, n, reason, amount) for reason, (n, amount) in aside.items()]


def examples(set_aside: pd.DataFrame, table: str, reason: str, count: int) -> list[str]:
    """Name some of the rows set aside for a reason."""
    chosen = set_aside[(set_aside["table"] == table) & (set_aside["reason"] == reason)].head(count)
    return [f"{row.file}:{row.row}" + (f" ({row.column} = {printable(row.value)!r})" if row.column else "") for row in chosen.itertuples()]


def complaint(account: pd.DataFrame, set_aside: pd.DataFrame, table: str, limit: float, section: str = "tables") -> str:
    """Say that more rows of a table were set aside than is allowed, most of them why, and what mends these."""
    own = account[(account["table"] == table) & ~account["reason"].isin(rules.NO_RECORDS)]
    n, found = int(own["set_aside"].sum()), int(own["found"].sum())
    if n <= limit * found:
        return ""
    worst = own.sort_values("set_aside", ascending=False, kind="stable").iloc[0]
    cells = set_aside.loc[(set_aside["table"] == table) & (set_aside["reason"] == worst["reason"]), "value"]
    mend = rules.remedy(table, worst["reason"], [printable(cell) for cell in cells.value_counts().index], section)
    return (
        f"{table}: {n} of {found} rows ({n / found:.1%}) were set aside, more than the {limit:.0%} allowed; "
        f"most often: {worst['reason']} ({worst['set_aside']}){mend}"
    )


def listed(connection: Connection, staging: StagingTable, typed: TypedTable) -> list[tuple]:
    """List the rows set aside, with the cell that was to blame; filtered rows are only counted."""
    found = connection.execute(f"select file, row, fault, coalesce(bad, '') from {typed.name} where fault > 1").fetchall()
    rows = [(file, row, *typed.faults[fault][:1], value, typed.faults[fault][1]) for file, row, fault, value in found]
    rows += [(file, row, "", text[:200], rules.MISFIT) for file, row, text in staging.misfits]
    return [(staging.table.name, staging.labels[file], row, column, value, reason) for file, row, column, value, reason in sorted(rows)]
