"""Faults of rows that are used all the same: counted in one pass over a table, with the first row of each, and told; nothing is altered here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kpi.engine import Connection
from kpi.schema import Table
from kpi.sources import sql
from kpi.sources.checks import rules
from kpi.sources.config import Company
from kpi.sources.folding import folded
from kpi.sources.typing.cast import TypedTable

FLAGS = ["table", "column", "flag", "rule", "rows", "example"]
BULK_SHARE, BULK_ROWS = 0.05, 50  # of a table's rows, above both: more than chance puts into one second

# Words that stand for nothing, as `folded` leaves them.
WORDS: tuple[str, ...] = (
    "unknown",
    "notknown",
    "inconnu",
    "inconnue",
    "inconnus",
    "na",
    "nd",
    "nc",
    "null",
    "nil",
    "none",
    "nan",
    "notavailable",
    "notapplicable",
)
WORDS += ("undefined", "unspecified", "notspecified", "nonrenseigne", "nonrenseignee", "nonprecise", "nonspecifie", "tbd", "adefinir", "vide")
WORDS += ("blank", "aucun", "aucune", "unassigned", "nonattribue", "notset", "novalue")
_WORDED = {
    "leads": ("source", "owner"),
    "activities": ("owner",),
    "opportunities": ("owner", "stage", "source", "product", "lost_reason"),
    "opportunity_history": ("owner", "stage"),
    "customers": ("segment", "source", "owner"),
    "orders": ("product",),
}
_TIMED = {"leads": ("created_at", "assigned_at"), "activities": ("at",)}
_BULKY = {
    "leads": ("created_at",),
    "activities": ("at",),
    "opportunities": ("created_at", "closed_at"),
    "opportunity_history": ("changed_at",),
    "customers": ("acquired_at",),
    "orders": ("at",),
}
_PAID = {  # amount, and the day of its rate; open deals are valued at the rate of the day of the report
    "opportunities": ("amount", "coalesce(closed_at, timestamp '9999-01-01')"),
    "orders": ("amount", '"at"'),
    "contracts": ("monthly_amount", "start_on"),
}
_AMOUNTS = {"opportunities": "amount", "opportunity_history": "amount", "contracts": "monthly_amount", "customers": "acquisition_cost"}
_PLACE = 1 << 40  # file and row in one number, so that the first row of a fault is a minimum


@dataclass(frozen=True)
class Known:
    """What the checks of a table may look at besides its own rows."""

    company: Company
    tables: Mapping[str, str]
    provided: Mapping[str, frozenset[str]]


def flags(connection: Connection, table: Table, typed: TypedTable, labels: list[str], known: Known) -> list[tuple]:
    """Count the faults of the rows that are used, in one pass, and instants that too many rows share."""
    found = _counted(connection, table, typed, _conditions(connection, table, typed, known), typed.name, labels)
    if table.name == "opportunity_history" and {"stages"} <= set(known.tables):
        found += _counted(connection, table, typed, _moves(), _story(typed, known), labels)
    return found + _bulk(connection, table, typed, labels, known)


def _counted(
    connection: Connection, table: Table, typed: TypedTable, conditions: dict[tuple[str, str], str], relation: str, labels: list[str]
) -> list[tuple]:
    if not conditions:
        return []
    place = f"file::bigint * {_PLACE} + row"
    asked = [f"count(*) filter ({test}), min({place}) filter ({test})" for test in conditions.values()]
    row = connection.execute(f"select {', '.join(asked)} from {relation} where fault = 0").fetchall()[0]
    counted = zip(conditions, row[::2], row[1::2], strict=True)
    return [flag(table.name, column, message, n, _where(first, labels)) for (column, message), n, first in counted if n]


def flag(table: str, column: str, message: str, n: int, example: str) -> tuple:
    """Put a fault into a row of `FLAGS`."""
    return (table, column, message.format(column=column), rules.BY_FAULT[message].rule, n, example)


def _where(first: int, labels: list[str]) -> str:
    return f"{labels[first // _PLACE]}:{first % _PLACE}"


def _conditions(connection: Connection, table: Table, typed: TypedTable, known: Known) -> dict[tuple[str, str], str]:
    """SQL of what makes a row of a table suspect, by column and message."""
    name, has, end = table.name, known.provided[table.name], known.company.exported_at
    tests: dict[tuple[str, str], str] = {}
    if end is not None:
        tests |= {(column, rules.LATE): f"{sql.ident(column)} > timestamp '{end}'" for column in typed.precision}
    for column in (column for column in _TIMED.get(name, ()) if typed.precision.get(column) == "day"):
        tests[column, rules.NO_TIME] = f"{sql.ident(column)} is not null"
    if _AMOUNTS.get(name) in has:
        tests[_AMOUNTS[name], rules.NEGATIVE] = f"{_AMOUNTS[name]} < 0"
    tests |= _of_orders() if name == "orders" else _of_deals(has, typed, known) if name == "opportunities" else {}
    if name in _PAID and _PAID[name][0] in has:
        tests["currency", rules.NO_RATE] = _without_rate(connection, *_PAID[name], has, known)
    if "stage" in has and "stages" in known.tables and name != "stages":
        tests["stage", rules.UNKNOWN_STAGE] = f"stage not in (select stage from {known.tables['stages']})"
    for column in (column for column in _WORDED.get(name, ()) if column in has):
        # Names are far fewer than rows; they are counted, since the engine would fold the name of each row before a mere "distinct".
        names = f"with names as materialized (select {column} as name, count(*) as n from {typed.name} where length({column}) < 20 group by name)"
        found = connection.execute(f"{names} select name from names where {folded('name')} in ({sql.texts(WORDS)}) order by name").fetchall()
        if found:
            tests[column, rules.IN_WORDS] = f"{column} in ({sql.texts(name for (name,) in found)})"
    return tests


def _of_orders() -> dict[tuple[str, str], str]:
    return {("amount", rules.NEGATIVE): "kind = 'sale' and amount < 0", ("amount", rules.UNSIGNED): "kind = 'refund' and amount > 0"}


def _of_deals(has: frozenset[str], typed: TypedTable, known: Known) -> dict[tuple[str, str], str]:
    tests = {("amount", rules.NO_AMOUNT): "amount is null"} if "amount" in has else {}
    if "closed_at" in has:
        tests["closed_at", rules.UNDATED] = "status <> 'open' and closed_at is null"
    if "expected_close_on" in has:
        latest = "created_at" if "created_at" in has else "null::timestamp"
        end = known.company.exported_at
        moment = f"timestamp '{end}'" if end is not None else f"(select max({latest}) from {typed.name} where fault = 0)"
        tests["expected_close_on", rules.OVERDUE] = f"status = 'open' and expected_close_on < {_local_day(moment, known.company.timezone)}"
    return tests


def _local_day(moment: str, zone: str) -> str:
    return f"timezone({sql.text(zone)}, timezone('UTC', {moment}))::date"


def _without_rate(connection: Connection, amount: str, on: str, has: frozenset[str], known: Known) -> str:
    """An amount in a foreign currency before the first rate of it: no rate is ever 1:1."""
    foreign = f"{amount} is not null and currency <> {sql.text(known.company.currency)}"
    if "fx" not in known.tables:
        return foreign
    on = "timestamp '9999-01-01'" if "closed_at" in on and "closed_at" not in has else on
    first = connection.execute(f"select currency, min(from_on) from {known.tables['fx']} group by currency order by currency").fetchall()
    if not first:
        return foreign
    day = f"{on}::date" if on.endswith("_on") else _local_day(on, known.company.timezone)
    cases = " ".join(f"when {sql.text(currency)} then date '{since}'" for currency, since in first)
    return f"{foreign} and coalesce({day} < case currency {cases} end, true)"


def _story(typed: TypedTable, known: Known) -> str:
    """Changes with the place of their stage and what stood before, open stages ranked without gaps."""
    places = f"select stage, dense_rank() over (order by position) as place from {known.tables['stages']} where status <> 'lost'"
    before = "over (partition by opportunity_id order by changed_at, seq)"
    joined = f"select t.*, places.place from {typed.name} t left join ({places}) places on t.stage = places.stage where fault = 0"
    return f"(select *, lag(place) {before} as place_before, lag(status) {before} as status_before from ({joined}))"


def _moves() -> dict[tuple[str, str], str]:
    return {
        ("stage", rules.SKIPPED): "status_before = 'open' and status <> 'lost' and place > place_before + 1",
        ("stage", rules.WENT_BACK): "status_before = 'open' and status = 'open' and place < place_before",
        ("status", rules.REOPENED): "status_before <> 'open' and status = 'open'",
    }


def _bulk(connection: Connection, table: Table, typed: TypedTable, labels: list[str], known: Known) -> list[tuple]:
    """Instants, to the second, that more rows share than chance would have it: the date of an import in place of the event's."""
    has, found = known.provided[table.name], []
    for column in (column for column in _BULKY.get(table.name, ()) if column in has and typed.precision[column] == "second"):
        cell = sql.ident(column)
        if not _may_be_bulk(connection, cell, typed):
            continue
        shared = connection.execute(
            f"select *, sum(n) over () as total from (select count(*) as n, min(file::bigint * {_PLACE} + row) as place, min({cell}) as first "
            f"from {typed.name} where fault = 0 and {cell} is not null group by date_trunc('second', {cell})) "
            f"qualify n > {BULK_ROWS} and n > {BULK_SHARE} * total order by n desc, place"
        ).fetchall()
        if shared:
            example = f"{_where(shared[0][1], labels)} ({shared[0][2]:%Y-%m-%d %H:%M:%S} UTC)"
            found.append(flag(table.name, column, rules.BULK, sum(row[0] for row in shared), example))
    return found


def _may_be_bulk(connection: Connection, cell: str, typed: TypedTable) -> bool:
    """Rule a bulk of rows out in a quick pass: as many rows would share the remainder of their second."""
    rows = f"select count(*) as n from {typed.name} where fault = 0 and {cell} is not null group by (epoch_us({cell}) // 1000000 % 1021)::smallint"
    most, total = connection.execute(f"select coalesce(max(n), 0), coalesce(sum(n), 0) from ({rows})").fetchall()[0]
    return most > BULK_ROWS and most > BULK_SHARE * total
