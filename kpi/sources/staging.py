"""Rows as they were found: every extract of a table put into one staging table, headers matched to canonical columns, cells stripped.

From here on nothing knows whether a row came from a CSV file, a Parquet file, a query or a frame.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from itertools import chain

import duckdb
import pyarrow as pa

from kpi.engine import Connection
from kpi.errors import SchemaError, nearest
from kpi.schema import Column, Table
from kpi.sources import sql
from kpi.sources.cells import are_blank, stripped
from kpi.sources.config import FILE, MONTHS, Source
from kpi.sources.readers.extract import Extract

COMPANY_CURRENCY = "company.currency"
# A line that sums others up: the word, and beside it nothing but numbers.
_TOTAL = r"(grand |sous[- ]?|sub[- ]?)?(totals?|totaux|somme|summe|sum|gesamt)( (g[ée]n[ée]ral|global|ht|ttc|[\d(][^\x1f]*))*[ :]*"
_NUMBER = r"[-+]?(\d{1,3}([ .,'’\x{a0}\x{202f}]\d{3})+|\d+)?([.,]\d+)?\s?(\p{Sc}|%|[A-Za-z]{3})?"
_TOTAL_LINE, _SUBTOTAL_LINE = (rf"(?i)\x1f*{_TOTAL}{more}(\x1f({_NUMBER})?)*" for more in ("", r"(\s[^\x1f]*)?"))  # Total January
_ODD = r"^1\d{9}(\d{3}){0,2}([.]0+)?$", r"^0+[-/.]0+[-/.]0+([ T]|$)", r"[A-Za-zÀ-ÿ]{2}"  # since 1970, a date of noughts, the name of a month
_NAMES = {name[:end]: f"{number:02}" for name, number in MONTHS.items() for end in range(3, len(name) + 1) if name[:end] != "jui"}  # June or July
_MONTH_FIRST = r"^(?:[a-z]+[.]?,? +)?([a-z]{3,9})[.]? +(\d{1,2})(?:st|nd|rd|th)?,? +(\d{4})"
_DAY_FIRST = r"^(?:[a-z]+[.]?,? +)?(\d{1,2})(?:er|st|nd|rd|th)?[ /.-]*(?:of |de )?([a-z]{3,9})[.]?,?[ /.-]*(\d{4}|\d{2})(?:,| a| at| -)* *(\d.*)?$"
_SERIAL = r"^[1-9]\d{4}([.,]\d+)?$"  # days since the workbook's first day: 1927 to 2173


@dataclass
class StagingTable:
    """The untyped rows of one canonical table.

    ``families`` names the kind of each canonical column's cells (text, number, instant, zoned, date, boolean), ``labels`` the extracts by number,
    ``misfits`` the records with a wrong number of cells: extract, row, text. ``decisions``: extract, decision, value.
    """

    table: Table
    name: str
    families: dict[str, str]
    labels: list[str]
    currency: str = ""  # the company's: of its amounts, where neither a column nor a cell tells another
    is_told: bool = False  # by a column, so that an empty cell of it is a fault
    deals: str = ""  # the opportunities whose currency the amounts of a history are in
    misfits: list[tuple[int, int, str]] = field(default_factory=list)
    n_read: int = 0
    decisions: list[tuple[str, str, str]] = field(default_factory=list)


def stage(connection: Connection, table: Table, source: Source, extracts: list[Extract], currency: str) -> StagingTable:
    """Put all extracts of a table into one staging table."""
    bound = [_bind(table, source, extract) for extract in extracts]
    defaults = {column.name: column.default.replace(COMPANY_CURRENCY, "") for column in table.columns if column.default}
    found = {*source.constants, *defaults, *chain(*bound)}
    families = {name: _common_family(name, table[name].kind, source, extracts, bound) for name in table.names if name in found}
    is_told = (
        any("currency" in {*places} - {*extract.mapped} for extract, places in zip(extracts, bound, strict=True)) or "currency" in source.constants
    )
    labels = [extract.label for extract in extracts]
    staging = StagingTable(table, sql.free_name(connection, f"stage_{table.name}"), families, labels, currency, is_told)
    for number, (extract, places) in enumerate(zip(extracts, bound, strict=True)):
        cells = [_cell(extract, places, table[name], families[name], source, defaults.get(name)) for name in families]
        empty = are_blank(extract.cells) if extract.text and not extract.select else "false"
        filtered = f"({extract.footer}) or ({extract.dropped}) or {_filtered(extract, places, source, table)} as is_filtered"
        footer = f"({extract.footer}) or {_is_no_record(extract, places, table)}"
        shown = [f"{number}::integer as file, {extract.row}::bigint as row, {empty} as is_blank, {footer} as is_footer", filtered]
        _insert(connection, staging, extract, ", ".join([*shown, *cells]), first=number == 0)
        _take_misfits(connection, staging, extract, number)
        staging.decisions += _decisions(extract, places, source)
    _write_dates_out(connection, staging)
    return staging


def _write_dates_out(connection: Connection, staging: StagingTable) -> None:
    """Put the usual numbers in the place of dates with the name of their month and of seconds since 1970, in columns that have any."""
    dates = [sql.ident(name) for name, family in staging.families.items() if family == "text" and staging.table[name].kind in ("instant", "date")]
    odd = [f"count(*) filter ({cell} not like '2___-__-%' and regexp_matches({cell}, '{'|'.join(_ODD)}'))" for cell in dates]
    for cell, n in zip(dates, sql.first_row(connection, f"select {', '.join(odd)} from {staging.name}") if odd else [], strict=True):
        if n:
            connection.execute(f"update {staging.name} set {cell} = {date_in_numbers(cell)}")


def _bind(table: Table, source: Source, extract: Extract) -> dict[str, int]:
    """Find the header of each canonical column: as mapped, else by its own name, in any case."""
    places = {}
    for column in table.columns:
        if column.name in source.constants:
            continue
        wanted = source.columns.get(column.name, column.name)
        if column.name in extract.mapped:
            places[column.name] = extract.mapped[column.name]
            continue
        found = [n for n, header in enumerate(extract.headers) if header == wanted.strip()]
        found = found or [n for n, header in enumerate(extract.headers) if header.casefold() == wanted.strip().casefold()]
        if len(found) > 1:
            raise SchemaError(f"{extract.label} has the column {wanted!r} {len(found)} times, so {table.name} {column.name} is ambiguous; rename one")
        if found:
            places[column.name] = found[0]
        elif column.name in source.columns:
            near = nearest(wanted, extract.headers)
            raise SchemaError(f"[tables.{table.name}] columns maps {column.name} to {wanted!r}, but {extract.label} has {extract.headers}{near}")
        elif column.required and not column.default:
            raise SchemaError(
                f"{table.name} lacks {column.name}; {extract.label} has {extract.headers}; map it under [tables.{table.name}] columns in {FILE}"
                f"{nearest(column.name, extract.headers)}"
            )
    return places


def _common_family(name: str, kind: str, source: Source, extracts: list[Extract], bound: list[dict[str, int]]) -> str:
    found = {extract.families[places[name]] for extract, places in zip(extracts, bound, strict=True) if name in places}
    serial = any(extract.text and extract.text.epoch for extract in extracts)
    numbered = kind in ("instant", "date") and "number" in found  # perhaps seconds since 1970
    return found.pop() if len(found) == 1 and name not in source.values and not serial and not numbered else "text"


def _cell(extract: Extract, places: dict[str, int], column: Column, family: str, source: Source, default: str | None) -> str:
    name = column.name
    if name in source.constants:
        cell = sql.text(source.constants[name])
    elif name in places:
        # What an alias set made of stripped cells needs no stripping.
        cell = f"nullif({extract.cells[places[name]]}, '')" if name in extract.mapped else _stripped(extract, places[name])
        cell = f"{cell}::varchar" if family == "text" else cell
        if extract.families[places[name]] == "text":  # how exporters keep spreadsheets from taking zeros off: ="0001"
            cell = f"case when {cell} like '=\"%' then regexp_replace({cell}, '^=\"(.*)\"$', '\\1') else {cell} end"
        if extract.text and extract.text.epoch and column.kind in ("instant", "date", "month"):
            cell = _from_serial(cell, extract.text.epoch)
    else:
        cell = sql.text(default) if default else "null::varchar"
    if name in source.values and name not in extract.mapped:
        pairs = " ".join(f"when {sql.text(key)} then {sql.text(value)}" for key, value in source.values[name].items())
        cell = f"nullif(case coalesce({cell}, '') {pairs} else {cell} end, '')"
    return f"{cell} as {sql.ident(name)}"


def _stripped(extract: Extract, place: int) -> str:
    cell, family = extract.cells[place], extract.families[place]
    if extract.text:
        return f"nullif({cell}, '')"
    if family == "text":
        return f"nullif({stripped(f'{cell}::varchar')}, '')"
    if family == "instant":
        return f"{cell}::timestamp"
    # A frame writes a missing number as NaN.
    return f"case when not isnan({cell}::double) then {cell} end" if family == "number" else cell


def _from_serial(cell: str, epoch: str) -> str:
    """Turn the number that a workbook keeps for a date back into a date."""
    moment = f"timestamp '{epoch}' + to_seconds(round(replace({cell}, ',', '.')::double * 86400)::bigint)"
    return f"case when regexp_matches({cell}, '{_SERIAL}') then strftime({moment}, '%Y-%m-%d %H:%M:%S') else {cell} end"


def date_in_numbers(cell: str) -> str:
    """Write a date with the name of its month, or in seconds since 1970 or parts of them, in the usual numbers; one of noughts is an empty cell."""
    plain = rf"regexp_replace(strip_accents(lower({cell})), '{_MONTH_FIRST}', '\2 \1 \3')"
    day, name, year, time = (f"regexp_extract({plain}, '{_DAY_FIRST}', {group})" for group in range(1, 5))
    century = f"case when length({year}) = 4 then '' when {year} < '70' then '20' else '19' end"
    month = f"map([{sql.texts(_NAMES)}], [{sql.texts(_NAMES.values())}])[{name}]"
    named = f"upper({century} || {year} || '-' || {month} || '-' || {day} || rtrim(' ' || regexp_replace({time}, ' ?h ?', ':')))"
    moment = f"strftime(make_timestamp(rpad(regexp_extract({cell}, '^[0-9]+'), 16, '0')::bigint), '%Y-%m-%dT%H:%M:%S.%fZ')"
    ways = zip(_ODD, (moment, "null", f"coalesce({named}, {cell})"), strict=True)
    cases = " ".join(f"when regexp_matches({cell}, '{kind}') then {way}" for kind, way in ways)
    return f"case {cases} else {cell} end"


def _filtered(extract: Extract, places: dict[str, int], source: Source, table: Table) -> str:
    tests = []
    for header, kept in source.where.items():
        place = extract.headers.index(header) if header in extract.headers else places.get(header)
        if place is None:
            near = nearest(header, extract.headers)
            raise SchemaError(f"[tables.{table.name}] where names {header!r}, but {extract.label} has {extract.headers}{near}")
        tests.append(f"coalesce({_stripped(extract, place)}::varchar, '') in ({sql.texts(kept)})")
    return f"not ({' and '.join(tests)})" if tests else "false"


def _is_no_record(extract: Extract, places: dict[str, int], table: Table) -> str:
    """Write the SQL condition that a line repeats the header, or sums the lines above up."""
    if extract.text is None or extract.relation:
        return "false"
    cells = extract.cells[: len(extract.text.header)]
    again = " and ".join(
        f"lower(trim({cell}, '\"')) = {sql.text(header.lower())}" for cell, header in zip(cells, extract.text.header, strict=True) if header
    )
    bound = [(column, cells[places[column.name]]) for column in table.columns if places.get(column.name, len(cells)) < len(cells)]
    # A record may be called Total too: then it has all that a record needs, for instance a date, which takes more than five signs.
    needed = [f"length({cell}) < {1 if column.kind == 'text' else 6}" for column, cell in bound if column.filled and column.kind != "number"]
    lacks = f"({' or '.join(needed)})" if len(needed) > 1 else "true"
    line = f"concat_ws(chr(31), {', '.join(cells)})"
    total = f"({lacks} and regexp_full_match({line}, {sql.text(_SUBTOTAL_LINE if len(needed) > 1 else _TOTAL_LINE)}))"
    worded = [f"regexp_full_match({cell}, {sql.text(f'(?i){_TOTAL}')})" for column, cell in bound if column.kind != "text"]
    return " or ".join([f"({again})", total, *worded])


def _insert(connection: Connection, staging: StagingTable, extract: Extract, chosen: str, *, first: bool) -> None:
    verb = f"create temp table {staging.name} as" if first else f"insert into {staging.name}"
    try:
        with extract.opened(connection) as relation:
            rows = f"({extract.select.replace('{relation}', relation)})" if extract.select else relation
            staging.n_read += sql.first_row(connection, f"{verb} select {chosen} from {rows}")[0]
    except (duckdb.Error, pa.ArrowException) as error:
        raise extract.failure(error) from None


def _take_misfits(connection: Connection, staging: StagingTable, extract: Extract, number: int) -> None:
    """Keep the records with a wrong number of cells apart; where a footer is expected, those of one cell belong to it."""
    if extract.text is None:
        return
    for row, text in extract.text.misfits:
        if extract.footer != "false" and len(next(csv.reader([text.strip()], delimiter=extract.text.delimiter))) == 1:
            columns = "file, row, is_blank, is_footer, is_filtered"
            connection.execute(f"insert into {staging.name} ({columns}) values (?, ?, false, true, true)", [number, row])
            staging.n_read += 1
        else:
            staging.misfits.append((number, row, text))


def _decisions(extract: Extract, places: dict[str, int], source: Source) -> list[tuple[str, str, str]]:
    decisions = [(extract.label, *decision) for decision in [*(extract.text.decisions if extract.text else []), *extract.decisions]]
    used = set(places.values()) | {extract.headers.index(header) for header in source.where if header in extract.headers}
    unused = [] if extract.mapped else [header for number, header in enumerate(extract.headers) if number not in used and header]
    return [*decisions, (extract.label, "unused columns", ", ".join(unused))] if unused else decisions
