"""From cells to typed values in one pass of SQL; what cannot be read is named by column and reason, never turned into a silent gap."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kpi.engine import Connection
from kpi.schema import Column
from kpi.sources import sql
from kpi.sources.cells import fold
from kpi.sources.checks import rules
from kpi.sources.config import MONTHS, currency_names
from kpi.sources.staging import StagingTable
from kpi.sources.typing import zones
from kpi.sources.typing.dialect import MULTIPLIERS, Dialect, beside, has_offset

YES = ("true", "1", "yes", "y", "oui", "o", "vrai", "t")
NO = ("false", "0", "no", "n", "non", "faux", "f")
FIRST_YEAR, LAST_YEAR = 1900, 2199  # a typing error such as 0202 or 9999 would stretch every calendar
TYPES = {"text": "varchar", "month": "varchar", "instant": "timestamp", "date": "date", "number": "double", "integer": "bigint", "boolean": "boolean"}
BLANK = -1  # no record, so no row to account for
_IN_UTC = r" ?(Z|UTC|[-+]00(:?00)?)$"
_DAY_IN_UTC = rf"[T ] *0?0:00(:00([.,]0+)?)?{_IN_UTC}"
# What stands in a key or a link for no record, and what a spreadsheet makes of a long number: its last digits are gone.
NO_RECORD = r"(?i)^(null|none|nan|nil|n/?a|undefined|\\n|#n/?[av]|#\S+[!?]|#+)$"
DIGITS_LOST = r"^-?\d([.,]\d+[eE]\+?|[eE]\+)\d+$"
_MONTH = (
    r"(?P<year>\d{4})[-/. ]?(?P<month>\d{1,2})(\D.*)?",
    r"((0?1|1[3-9]|2\d|3[01])[-/. ])?(?P<month>\d{1,2}|[^\W\d_]+)\.?[-/. ](?P<year>\d{4}|\d\d)",
    r"(?P<month>\d{1,2})[-/.](0?1|1[3-9]|2\d|3[01])[-/.](?P<year>\d{4})",
)  # a date stands for its month where its day is the first, or over 12


@dataclass(frozen=True)
class Clock:
    """Which local times a table has."""

    zone: str
    company_zone: str
    guess_days: bool = True


@dataclass
class TypedTable:
    """A table of typed values with the fault of each row.

    ``faults`` are column and reason by number, ``precision`` that of each instant (second or day); ``decisions``: "", decision, value.
    """

    name: str
    faults: list[tuple[str, str]]
    precision: dict[str, str]
    decisions: list[tuple[str, str, str]]


@dataclass(frozen=True)
class _Times:
    """What a column of dates or instants holds."""

    precision: str
    years: tuple[int, int]


def convert(connection: Connection, staging: StagingTable, dialects: dict[str, Dialect], clock: Clock) -> TypedTable:
    """Turn the cells of a staging table into typed values."""
    columns = [staging.table[name] for name in staging.families]
    dated = [column.name for column in columns if column.kind in ("instant", "date")]
    times = {name: _times(connection, staging, name, dialects[name], clock) for name in dated}
    texts, locals_, typed = [], [], []
    currencies = _currencies(connection, staging, dialects)
    currency = _currency(staging, currencies)
    for column in columns:
        name, family = column.name, staging.families[column.name]
        given = _id(connection, staging, column, family) if column.is_id else sql.ident(name)
        texts.append(f"{given} as {_cell(name)}")
        if name in times and family in ("text", "instant", "date"):
            locals_.append(f"{_local(name, family, dialects[name], times[name].precision)} as {_wall(name)}")
        value = _month(connection, staging, name) if column.kind == "month" else _value(column, family, dialects[name], times, clock)
        if name == "currency":
            value = currency
        elif name in currencies:
            value = f"case when coalesce({currencies[name]} = {currency}, true) then {value} end"
        typed.append(f"{value} as {sql.ident(name)}")
    faults, tests, bad = _faults(columns)
    name = sql.free_name(connection, f"typed_{staging.table.name}")
    walls = [_wall(column.name) for column in columns if _in_zone(column, staging, times)]
    canonical = [
        f"{sql.ident(c.name) if c.name in staging.families else 'null'}::{TYPES[c.kind]} as {sql.ident(c.name)}" for c in staging.table.columns
    ]
    connection.execute(
        f"create table {name} as select file, row, {tests} as fault, {bad} as bad, {', '.join([*canonical, *walls])} from ("
        f"select *, {', '.join(typed)} from ("
        f"select file, row, is_blank, is_footer, is_filtered, {', '.join([*texts, *locals_])} from {staging.name}))"
    )
    precision = {column.name: times[column.name].precision for column in columns if column.kind == "instant"}
    decisions = _decisions(connection, name, staging, dialects, times, clock)
    return TypedTable(name, faults, precision, decisions)


def _cell(name: str) -> str:
    return sql.ident(f"cell {name}")


def _id(connection: Connection, staging: StagingTable, column: Column, family: str) -> str:
    """Write the SQL of a key or a link: missing where it names no record, without the tail of a float where none of the column has another."""
    cell = f"{sql.ident(column.name)}::varchar"
    codes = "" if family == "number" else f"select count(*) from {staging.name} where regexp_matches({cell}, '^\\d+[.,]\\d*[1-9]\\d*$')"
    whole = cell if codes and sql.first_row(connection, codes)[0] else f"regexp_replace({cell}, '(^-?\\d+)[.,]0+$', '\\1')"
    return f"case when not regexp_matches({cell}, '{NO_RECORD}') then {whole} end"


def _wall(name: str) -> str:
    return sql.ident(f"local {name}")


def _times(connection: Connection, staging: StagingTable, name: str, dialect: Dialect, clock: Clock) -> _Times:
    """Find the precision and the span of a column of dates, so that zone changes are written out for that span only."""
    family, cell = staging.families[name], sql.ident(name)
    if family not in ("text", "instant", "date"):
        return _Times("second", (FIRST_YEAR, LAST_YEAR))
    # Offsets left out here: they neither stretch the span by more than a day nor hide a time of day.
    wall = _local(name, family, dialect, "day")
    sound = f"year({wall}) between {FIRST_YEAR} and {LAST_YEAR}"
    timed = f"count(*) filter ({wall} <> date_trunc('day', {wall}))"
    if family == "text" and dialect.has_offset:
        timed += f" + count(*) filter ({has_offset(cell)} and not regexp_matches({cell}, '{_DAY_IN_UTC}'))"
    measures = f"min(year({wall})) filter ({sound}), max(year({wall})) filter ({sound}), {timed}, count({cell})"
    first, last, n_timed, filled = sql.first_row(connection, f"select {measures} from {staging.name} where not is_blank and not is_filtered")
    is_day = family == "date" or (filled > 0 and n_timed == 0 and (clock.guess_days or family == "text"))
    return _Times("day" if is_day else "second", (first or 2000, last or 2000))


def _local(name: str, family: str, dialect: Dialect, precision: str) -> str:
    cell = sql.ident(name)
    if family != "text":
        return f"{cell}::timestamp"
    if precision == "day" and dialect.has_offset:  # midnights in UTC: dates that a system wrote out as instants
        return dialect.local(f"regexp_replace({cell}, '{_IN_UTC}', '')")
    return dialect.local(cell)


def _in_zone(column: Column, staging: StagingTable, times: dict[str, _Times]) -> bool:
    """Whether the column's instants are local times of the table's zone."""
    return column.kind == "instant" and staging.families[column.name] in ("text", "instant") and times[column.name].precision == "second"


def _value(column: Column, family: str, dialect: Dialect, times: dict[str, _Times], clock: Clock) -> str:
    cell = _cell(column.name)
    if column.kind == "text":
        return _text(column, cell, family)
    if column.kind in ("number", "integer"):
        return _number(column, cell, family, dialect)
    if column.kind == "boolean":
        folded = f"lower({cell}::varchar)"
        yes, no = (sql.texts([*words, f"{words[1]}.0"]) for words in (YES, NO))
        return f"case when {folded} in ({yes}) then true when {folded} in ({no}) then false end"
    value = _moment(column, cell, family, dialect, times[column.name], clock)
    last = 9999 if column.name in ("end_on", "to_on") else LAST_YEAR  # as some systems write that there is no end
    return f"case when year({value}) between {FIRST_YEAR} and {last} then {value} end"


def _number(column: Column, cell: str, family: str, dialect: Dialect) -> str:
    read = {"text": dialect.number(cell), "number": f"{cell}::double", "boolean": f"{cell}::double"}.get(family, "null::double")
    value = f"case when isfinite({read}) then {read} end"
    return value if column.kind == "number" else f"case when {value} = round({value}) then try_cast({value} as bigint) end"


def _currencies(connection: Connection, staging: StagingTable, dialects: dict[str, Dialect]) -> dict[str, str]:
    """Write the SQL of what each column says of a row's currency: the one of that name, and amounts with one beside them, ? where nobody knows it."""
    found, names = dict[str, str](), currency_names(staging.currency)
    for name in sorted(staging.families, key=lambda name: name != "currency") if "currency" in staging.families or staging.deals else []:
        is_amount = staging.families[name] == "text" and staging.table[name].kind == "number"
        if is_amount or name == "currency":
            own, typed = (beside(cell, dialects[name].money) if is_amount else f"upper({cell}::varchar)" for cell in (sql.ident(name), _cell(name)))
            said = [word for (word,) in connection.execute(f"select distinct {own} from {staging.name}").fetchall() if word]
            codes = {word: names.get(word, "?" if is_amount else word) for word in said if word.lower() not in MULTIPLIERS}
            cases = " ".join(f"when {sql.text(word)} then {sql.text(code)}" for word, code in codes.items())
            found |= {name: f"case {typed} {cases} end"} if cases else {}
    return found


def _currency(staging: StagingTable, currencies: dict[str, str]) -> str:
    """Write the SQL of a row's currency: of its column, else of its amounts, else the company's; in a history that of the deal."""
    if staging.deals:
        return f"(select any_value(currency) from {staging.deals} as deal where deal.opportunity_id = {_cell('opportunity_id')})"
    told = [f"nullif({said}, '?')" for said in currencies.values()] + ["null" if staging.is_told else sql.text(staging.currency)]
    return f"coalesce({', '.join(told)}, null)"


def _text(column: Column, cell: str, family: str) -> str:
    if column.is_id:
        return f"case when not regexp_matches({cell}, '{DIGITS_LOST}') then {cell} end"
    if column.allowed:
        return f"case when lower({cell}::varchar) in ({sql.texts(column.allowed)}) then lower({cell}::varchar) end"
    return f"{cell}::varchar"


def _month(connection: Connection, staging: StagingTable, name: str) -> str:
    cell = f"{sql.ident(name)}::varchar"
    written = [row[0] for row in connection.execute(f"select distinct {cell} from {staging.name} where {cell} is not null").fetchall()]
    months = {text: month for text in written if (month := read_month(text))}
    return f"map([{sql.texts(months)}], [{sql.texts(months.values())}])[{_cell(name)}::varchar]" if months else "null::varchar"


def read_month(text: str) -> str:
    """Read a month as offices and spreadsheets write it, be it by its first day.

    Examples
    --------
    >>> [read_month(text) for text in ("2026-1", "janv-26", "Sept. 2026", "01/03/2026", "13/01/2026", "Total")]
    ['2026-01', '2026-01', '2026-09', '2026-03', '2026-01', '']
    """
    for pattern in _MONTH:
        if found := re.fullmatch(pattern, text):
            names = {number for name, number in MONTHS.items() if len(found["month"]) > 2 and name.startswith(fold(found["month"]))}
            number = int(found["month"]) if found["month"].isdigit() else sum(names) if len(names) == 1 else 0
            return f"{2000 + int(found['year']) % 2000}-{number:02}" if 0 < number < 13 else ""
    return ""


def _moment(column: Column, cell: str, family: str, dialect: Dialect, times: _Times, clock: Clock) -> str:
    """Write the SQL of a naive UTC timestamp, or of a local date."""
    wall = _wall(column.name)
    if family == "boolean" or family == "number":
        return f"null::{TYPES[column.kind]}"
    offset = cell if family == "zoned" else dialect.zoned(cell) if dialect.has_offset and times.precision == "second" else ""
    if column.kind == "date":
        there = f"timezone({sql.text(clock.company_zone)}, {offset})" if offset else wall
        return f"{there}::date" if family == "zoned" or not offset else f"coalesce({wall}, {there})::date"
    exact = f"make_timestamp(epoch_us({offset}))"
    if family == "zoned":
        return exact
    zone = clock.company_zone if times.precision == "day" else clock.zone
    shifted = f"({zones.utc(wall, zone, times.years)})"
    return f"coalesce({shifted}, {exact})" if offset else shifted


def _faults(columns: list[Column]) -> tuple[list[tuple[str, str]], str, str]:
    """Number the ways in which a row can fail, in the order in which they are looked for."""
    faults, bad = [("", ""), ("", rules.FILTERED), ("", rules.FOOTER)], []
    tests = [f"when is_blank then {BLANK} when is_footer then 2 when is_filtered then 1"]
    for column in columns:
        cell, value = _cell(column.name), sql.ident(column.name)
        if column.filled:
            tests.append(f"when {value if column.name == 'currency' else cell} is null then {len(faults)}")
            faults.append((column.name, rules.EMPTY.format(column=column.name)))
        if column.kind != "text" or column.allowed or column.is_id:
            reason = rules.UNKNOWN_VALUE if column.allowed else rules.DIGITS_LOST if column.is_id else rules.UNREADABLE
            test = f"{cell} is not null and {value} is null"
            tests.append(f"when {test} then {len(faults)}")
            bad.append(f"when {test} then {cell}::varchar")
            faults.append((column.name, reason.format(column=column.name)))
    return faults, f"(case {' '.join(tests)} else 0 end)::integer", f"case {' '.join(bad)} end" if bad else "null::varchar"


def _decisions(
    connection: Connection, name: str, staging: StagingTable, dialects: dict[str, Dialect], times: dict[str, _Times], clock: Clock
) -> list[tuple[str, str, str]]:
    decisions = []
    for column in (staging.table[column] for column in staging.families):
        dialect, is_text = dialects[column.name], staging.families[column.name] == "text"
        for files, own in dialect.by_file or (((), dialect),):
            label = ", ".join(staging.labels[file] for file in files)
            if is_text and column.kind == "number" and own.decimal == ",":
                decisions.append((label, "decimal", f"{column.name}: ,"))
            if is_text and column.kind in ("instant", "date") and own.order:
                decisions.append((label, "dates", f"{column.name}: {own.order}"))
        if column.kind == "instant" and times[column.name].precision == "day":
            decisions.append(("", "precision", f"{column.name}: day"))
        if _in_zone(column, staging, times):
            decisions += _zone_decisions(connection, name, column.name, times[column.name].years, clock)
    return decisions


def _zone_decisions(connection: Connection, name: str, column: str, years: tuple[int, int], clock: Clock) -> list[tuple[str, str, str]]:
    wall = _wall(column)
    gaps, twice = (zones.odd_hours(wall, clock.zone, years, gaps=gaps) for gaps in (True, False))
    counts = f"count({wall}), count({sql.ident(column)}), count(*) filter ({gaps}), count(*) filter ({twice})"
    n_local, n, n_gaps, n_twice = sql.first_row(connection, f"select {counts} from {name} where fault = 0")
    decisions = [("", "time zone", f"{column}: {clock.zone}")] if n_local else []
    decisions += [("", "time zone", f"{column}: offsets in the data: {n - n_local}")] if n > n_local else []
    odd = {"local hours that do not exist": n_gaps, "local hours that occur twice": n_twice}
    return decisions + [("", decision, f"{column}: {count}") for decision, count in odd.items() if count]
