"""Faults of rows that are used all the same: counted in one pass over a table, with the first row of each, and told; nothing is altered here.

What only several tables together show comes last: links that lead nowhere, names that are nearly equal.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from kpi.engine import Connection
from kpi.schema import TABLES, Table
from kpi.sources import sql
from kpi.sources.cells import GARBLED, fold, folded
from kpi.sources.checks import rules
from kpi.sources.config import Company
from kpi.sources.typing.cast import TypedTable

FLAGS = ["table", "column", "flag", "rule", "rows", "example"]
MANY = 3  # deals that move together where a stage is renamed
BULK_SHARE, BULK_ROWS = 0.05, 50  # of a table's rows, above both: more than chance puts into one second

# Words that stand for nothing, as `folded` leaves them.
WORDS: tuple[str, ...] = ("unknown", "notknown", "inconnu", "inconnue", "inconnus", "na", "nd", "nc", "null", "nil", "none", "nan", "vide", "tbd")
WORDS += ("notavailable", "notapplicable", "undefined", "unspecified", "notspecified", "nonrenseigne", "nonrenseignee", "nonprecise", "novalue")
WORDS += ("nonspecifie", "adefinir", "blank", "aucun", "aucune", "unassigned", "nonattribue", "notset")
NAMED = {name: [column.name for column in table.columns if column.is_name] for name, table in TABLES.items()}
_TIMED = {"leads": ("created_at", "assigned_at"), "activities": ("at",)}
DATED = {"leads": ("created_at",), "activities": ("at",), "opportunities": ("created_at", "closed_at"), "opportunity_history": ("changed_at",)}
DATED |= {"customers": ("acquired_at",), "orders": ("at",)}  # when something happened
_PAID = {  # amount, and the day of its rate; open deals are valued at the rate of the day of the report
    "opportunities": ("amount", "coalesce(closed_at, timestamp '9999-01-01')"),
    "orders": ("amount", '"at"'),
    "contracts": ("monthly_amount", "start_on"),
}
_AMOUNTS = {"opportunities": "amount", "opportunity_history": "amount", "contracts": "monthly_amount", "customers": "acquisition_cost"}
_OF_ORDERS = {("amount", rules.NEGATIVE): "kind = 'sale' and amount < 0", ("amount", rules.UNSIGNED): "kind = 'refund' and amount > 0"}
_STAGE_MOVES = {
    ("stage", rules.SKIPPED): "status_before = 'open' and status <> 'lost' and place > place_before + 1",
    ("stage", rules.WENT_BACK): "status_before = 'open' and status = 'open' and place < place_before",
    ("status", rules.REOPENED): "status_before <> 'open' and status = 'open'",
}
_EPOCH = "timestamp '1969-12-31 12:00' and timestamp '1970-01-01 12:00'"  # the first second of 1970, in any zone
_ROW_BITS = 40
_PLACE = f"file::bigint * {1 << _ROW_BITS} + row"  # file and row in one number, so that the first row of a fault is a minimum


def flag(table: str, column: str, message: str, n: int, example: str) -> tuple:
    """Put a fault into a row of `FLAGS`."""
    return (table, column, message.format(column=column), rules.RULES[message], n, example)


@dataclass(frozen=True)
class CheckedTable:
    """A typed table under its checks, and what these may look at besides its own rows."""

    connection: Connection
    name: str
    typed: TypedTable
    labels: list[str]
    company: Company
    tables: Mapping[str, str]
    provided: Mapping[str, frozenset[str]]

    def flags(self) -> list[tuple]:
        """Count the faults of the rows that are used, in one pass, and instants that too many rows share."""
        found = self.counted(self.conditions(), self.typed.name)
        if self.name == "opportunity_history" and "stages" in self.tables:
            found += self.counted(_STAGE_MOVES, self.stage_moves())
        if self.name == "opportunity_history":
            renamed = renames(self.connection, f"(select * from {self.typed.name} where fault = 0)")
            found += [flag(self.name, "stage", rules.RENAMED, n, f"{old!r} is {new!r} now?") for old, new, n in renamed]
        return found + self.bulk_instants()

    @property
    def has(self) -> frozenset[str]:
        return self.provided[self.name]

    def counted(self, conditions: Mapping[tuple[str, str], str], relation: str) -> list[tuple]:
        """Count the rows that meet each condition, by column and message, with the first of them."""
        if not conditions:
            return []
        asked = [f"count(*) filter ({test}), min({_PLACE}) filter ({test})" for test in conditions.values()]
        row = self.connection.execute(f"select {', '.join(asked)} from {relation} where fault = 0").fetchall()[0]
        found = zip(conditions, row[::2], row[1::2], strict=True)
        return [flag(self.name, column, message, n, self._where(first)) for (column, message), n, first in found if n]

    def _where(self, place: int) -> str:
        return f"{self.labels[place >> _ROW_BITS]}:{place & ((1 << _ROW_BITS) - 1)}"

    def conditions(self) -> dict[tuple[str, str], str]:
        """SQL of what makes a row suspect, by column and message."""
        end = self.company.known_until
        dated = [column.name for column in TABLES[self.name].columns if column.kind in ("instant", "date") and column.name in self.has]
        tests = {(column, rules.EPOCH): f"{sql.ident(column)} between {_EPOCH}" for column in dated}
        if end is not None:
            tests |= {(column, rules.LATE): f"{sql.ident(column)} > timestamp '{end}'" for column in self.typed.precision}
        if end is not None and self.name == "opportunities" and "closed_at" in self.has:
            tests["closed_at", rules.AHEAD] = f"status <> 'open' and closed_at >= timestamp '{end}'"
            tests["closed_at", rules.LATE] = f"status = 'open' and closed_at > timestamp '{end}'"
        for column in (column for column in _TIMED.get(self.name, ()) if self.typed.precision.get(column) == "day"):
            tests[column, rules.NO_TIME] = f"{sql.ident(column)} is not null"
        for column in (column for column in _TIMED.get(self.name, ()) if len(self.labels) > 1 and self.typed.precision.get(column) == "second"):
            local = f"timezone({sql.text(self.company.timezone)}, timezone('UTC', {sql.ident(column)}))"
            days = f"select file from {self.typed.name} where fault = 0 group by file having bool_and({local} = date_trunc('day', {local}))"
            tests[column, rules.NO_TIME] = f"{sql.ident(column)} is not null and file in ({days})"
        if _AMOUNTS.get(self.name) in self.has:
            tests[_AMOUNTS[self.name], rules.NEGATIVE] = f"{_AMOUNTS[self.name]} < 0"
        if self.name == "opportunity_history" and "opportunities" in self.tables:
            closed = f"select opportunity_id from {self.tables['opportunities']} where status <> 'open'"
            last = f"select opportunity_id, max(changed_at) from {self.typed.name} where fault = 0 group by opportunity_id"
            tests["status", rules.OPEN_HISTORY] = f"status = 'open' and opportunity_id in ({closed}) and (opportunity_id, changed_at) in ({last})"
        if self.name == "orders" and "margin" in self.has:
            tests["margin", rules.NO_AMOUNT] = "kind = 'sale' and margin is null"
        tests |= _OF_ORDERS if self.name == "orders" else self._of_deals() if self.name == "opportunities" else {}
        if self.name in _PAID and _PAID[self.name][0] in self.has:
            tests["currency", rules.NO_RATE] = self._without_rate(*_PAID[self.name])
        if "stage" in self.has and "stages" in self.tables and self.name != "stages":
            tests["stage", rules.UNKNOWN_STAGE] = f"stage not in (select stage from {self.tables['stages']})"
        for column in (column for column in NAMED[self.name] if column in self.has):
            if unknown := self._unknown_in_words(column):
                tests[column, rules.IN_WORDS] = f"{column} in ({sql.texts(unknown)})"
        for column in (column for column in NAMED.get(self.name, ()) if column in self.has):
            tests[column, rules.GARBLED] = f"regexp_matches({column}, {sql.text(GARBLED)})"
        return tests

    def _unknown_in_words(self, column: str) -> list[str]:
        # Names are far fewer than rows, and folded faster here: the engine compiles the classes of letters anew each time.
        names = self.connection.execute(f"select distinct {column} from {self.typed.name} where length({column}) < 20").fetchall()
        return [name for (name,) in names if fold(name) in WORDS]

    def _of_deals(self) -> dict[tuple[str, str], str]:
        tests = {("amount", rules.NO_AMOUNT): "amount is null"} if "amount" in self.has else {}
        if "closed_at" in self.has:
            tests["closed_at", rules.UNDATED] = "status <> 'open' and closed_at is null"
        end = self.company.known_until
        moment = f"timestamp '{end}'" if end is not None else f"(select max(created_at) from {self.typed.name} where fault = 0)"
        tests["expected_close_on", rules.OVERDUE] = f"status = 'open' and expected_close_on < {sql.local_day(moment, self.company.timezone)}"
        return tests

    def _without_rate(self, amount: str, on: str) -> str:
        """An amount in a foreign currency before the first rate of it: no rate is ever 1:1."""
        foreign = f"{amount} is not null and currency <> {sql.text(self.company.currency)}"
        if "fx" not in self.tables:
            return foreign
        first = f"select currency, min(from_on) from {self.tables['fx']} group by currency order by currency"
        cases = [f"when {sql.text(currency)} then date '{since}'" for currency, since in self.connection.execute(first).fetchall()]
        day = f"{on}::date" if on.endswith("_on") else sql.local_day(on, self.company.timezone)
        return f"{foreign} and coalesce({day} < case currency {' '.join(cases)} end, true)" if cases else foreign

    def stage_moves(self) -> str:
        """SQL of changes with the place of their stage and what stood before, open stages ranked without gaps."""
        places = f"select stage, dense_rank() over (order by position) as place from {self.tables['stages']} where status <> 'lost'"
        before = "over (partition by opportunity_id order by changed_at, seq)"
        joined = f"select t.*, places.place from {self.typed.name} t left join ({places}) places on t.stage = places.stage where fault = 0"
        return f"(select *, lag(place) {before} as place_before, lag(status) {before} as status_before from ({joined}))"

    def bulk_instants(self) -> list[tuple]:
        """Instants, to the second, that more rows share than chance would have it: the date of an import in place of the event's."""
        found = []
        for column in DATED.get(self.name, ()):
            if column not in self.has or self.typed.precision[column] != "second":
                continue
            cell = sql.ident(column)
            shared = self.connection.execute(
                f"select *, sum(n) over () as total from (select count(*) as n, min({_PLACE}) as place, min({cell}) as first "
                f"from {self.typed.name} where fault = 0 and {cell} is not null group by date_trunc('second', {cell})) "
                f"qualify n > {BULK_ROWS} and n > {BULK_SHARE} * total order by n desc, place"
            ).fetchall()
            if shared:
                example = f"{self._where(shared[0][1])} ({shared[0][2]:%Y-%m-%d %H:%M:%S} UTC)"
                found.append(flag(self.name, column, rules.BULK, sum(row[0] for row in shared), example))
        return found


def renames(connection: Connection, history: str) -> list[tuple[str, str, int]]:
    """Find stages that all deals left at one instant for a stage never seen before, and that none was in since: renamed, most likely."""
    deal = "over (partition by opportunity_id order by changed_at, seq)"
    rows = f"select *, lag(stage) {deal} as old, lag(status) {deal} as status_before, lead(stage) {deal} as following from {history}"
    return connection.execute(
        f"with states as materialized ({rows}), spans as (select stage, min(changed_at) as first, max(changed_at) as last, "
        "count(*) filter (status = 'open' and following is null) as left_over from states group by stage) "
        "select old, m.stage, count(*) from states m join spans o on o.stage = old join spans s on s.stage = m.stage "
        "where m.status = 'open' and status_before = 'open' and old <> m.stage and o.last < s.first and o.left_over = 0 "
        f"group by old, m.stage, s.first having count(*) >= {MANY} and min(changed_at) = max(changed_at) and min(changed_at) = s.first order by all"
    ).fetchall()


def loose_links(connection: Connection, tables: Mapping[str, str], provided: Mapping[str, frozenset[str]], links: list[tuple]) -> list[tuple]:
    """Count optional references to records that are not there, those that only their spelling keeps from being there, and `links`: all of them."""
    found = []
    for name, stored in tables.items():
        for column in TABLES[name].columns:
            parent = tables.get(column.references)
            if parent is None and column.references == "customers" and column.name in provided[name] and not column.filled:
                found += _strange_customers(connection, name, stored, {other: tables[other] for other in ("orders", "contracts") if other in tables})
            if column.filled or parent is None or column.name not in provided[name]:
                continue
            cell, key = sql.ident(column.name), sql.ident(TABLES[column.references].key[0])
            lost = f"from {stored} where {cell} not in (select {key} from {parent})"
            n, example = connection.execute(f"select count(*), min({cell}) {lost}").fetchall()[0]
            every, filled, any_parent = connection.execute(
                f"select count(*), count({cell}), (select count(*) from {parent}) from {stored}"
            ).fetchall()[0]
            links += [(name, column.name, every, filled, filled - n)] if any_parent else []
            if n:
                found.append(flag(name, column.name, rules.LOOSE, n, example))
                found += near_keys(connection, name, column.name, f"(select {cell} as said {lost})", column.references, parent)
    return found


def _strange_customers(connection: Connection, name: str, stored: str, buying: Mapping[str, str]) -> list[tuple]:
    """Tell customers that two tables name in different ways: by code and by name, so that none of one is found in the other."""
    found = []
    for other, bought in buying.items():
        known = f"customer_id in (select customer_id from {bought})"
        asked = f"select count(*), count(distinct customer_id), count(*) filter ({known}), min(customer_id), (select min(customer_id) from {bought})"
        n, different, same, one, beside = connection.execute(f"{asked} from {stored} where customer_id is not null").fetchall()[0]
        if different > 1 and not same and beside is not None:
            example = f"0 of {different} are a customer_id of {other}: {one!r} here, {beside!r} there"
            found.append(flag(name, "customer_id", rules.LOOSE, n, example))
    return found


def near_keys(connection: Connection, table: str, column: str, lost: str, parent: str, stored: str) -> list[tuple]:
    """Find links that lead nowhere for their spelling alone."""
    key = sql.ident(TABLES[parent].key[0])
    keys = f"select {_bare_key(key)} as bare, min({key}) as key from {stored} group by bare"
    links = f"select said, count(*) as n, {_bare_key('said')} as bare from {lost} group by said"
    pairs = connection.execute(f"select said, n, key from ({links}) join ({keys}) using (bare) where bare <> '' order by n desc, said").fetchall()
    if not pairs:
        return []
    rule = rules.SPELLINGS if all(fold(said) == fold(key) for said, _, key in pairs) else rules.NEAR_KEYS
    return [flag(table, column, rule, sum(n for _, n, _ in pairs), f"{pairs[0][0]!r} for {pairs[0][2]!r}")]


def _bare_key(cell: str) -> str:
    """Write the SQL of a key without what systems add to it or take off: zeros before it, .0 behind it, Salesforce's 3 characters of 18."""
    short = rf"regexp_replace({cell}, '^([0-9A-Za-z]{{15,16}})[A-Z0-5]{{3}}$|^([0-9]+)[.,]0+$', '\1\2')"
    return f"ltrim({folded(short)}, '0')"


def near_orphans(connection: Connection, table: Table, typed: TypedTable, tables: Mapping[str, str]) -> list[tuple]:
    """Find rows set aside for want of their record, where only the spelling of its key differs."""
    found = []
    for number, (column, reason) in enumerate(typed.faults):
        if column and reason == rules.ORPHAN.format(column=column):
            parent = table[column].references
            lost = f"(select bad as said from {typed.name} where fault = {number})"
            found += near_keys(connection, table.name, column, lost, parent, tables[parent])
    return found


def near_names(connection: Connection, tables: Mapping[str, str], provided: Mapping[str, frozenset[str]]) -> list[tuple]:
    """Find names written in several ways: owners, products, sources, stages that only case, accents, spaces or signs keep apart."""
    said = [
        f"select {sql.text(column)}, {sql.text(name)}, {sql.ident(column)} as name, count(*) from {stored} where name is not null group by name"
        for name, stored in tables.items()
        for column in NAMED.get(name, ())
        if column in provided[name]
    ]
    if not said:
        return []
    names = connection.execute(" union all ".join(said)).fetchall()
    alike: dict[tuple[str, str], Counter] = defaultdict(Counter)
    for column, _, name, n in names:
        alike[column, fold(name)][name] += n
    usual = {said: max(sorted(counts), key=counts.__getitem__) for said, counts in alike.items()}
    pairs = [(column, usual[column, fold(name)], name, table, n) for column, table, name, n in names if fold(name)]
    return [
        flag(table, column, rules.SPELLINGS, n, f"{name!r} beside {common!r}") for column, common, name, table, n in sorted(pairs) if name != common
    ]
