"""Rows as they were found: every file of a table put into one working table, headers matched to canonical columns, cells stripped.

From here on nothing knows whether a row came from a CSV file, a Parquet file, a query or a frame.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, field

import duckdb
import pyarrow as pa

from kpi.errors import DataError, SchemaError
from kpi.schema import Column, Table
from kpi.sources import sql
from kpi.sources.blanks import are_blank, stripped
from kpi.sources.config import FILE, Source, nearest
from kpi.sources.readers.part import Part

COMPANY_CURRENCY = "company.currency"
_SERIAL = r"^[1-9]\d{4}([.,]\d+)?$"  # days since the workbook's first day: 1927 to 2173


@dataclass
class Stage:
    """The working table of one canonical table."""

    table: Table
    name: str
    families: dict[str, str]
    labels: list[str]
    misfits: list[tuple[int, int, str]] = field(default_factory=list)
    n_read: int = 0
    decisions: list[tuple[str, str, str]] = field(default_factory=list)

    def drop(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Give its memory back."""
        connection.execute(f"drop table {self.name}")


def stage(connection: duckdb.DuckDBPyConnection, table: Table, source: Source, parts: list[Part], currency: str) -> Stage:
    """Put all parts of a table into one working table."""
    bound = [_bind(table, source, part) for part in parts]
    names = [column.name for column in table.columns if column.name in source.constants or any(column.name in places for places in bound)]
    families = {name: _common(name, source, parts, bound) for name in names}
    defaults = {column.name: currency if column.default == COMPANY_CURRENCY else column.default for column in table.columns if column.default}
    families |= {name: "text" for name in defaults if name not in families}
    families = {name: families[name] for name in table.names if name in families}
    staged = Stage(table, sql.free_name(connection, f"stage_{table.name}"), families, [part.label for part in parts])
    for number, (part, places) in enumerate(zip(parts, bound, strict=True)):
        cells = [_cell(part, places, table[name], families[name], source, defaults.get(name)) for name in families]
        empty = are_blank(part.cells) if part.csv and not part.around else "false"
        found = f"{number}::integer as file, {part.row}::bigint as row, {empty} as is_blank, {part.footer} as is_footer"
        filtered = f"({part.footer}) or ({part.dropped}) or {_filtered(part, places, source, table)} as is_filtered"
        _insert(connection, staged, part, ", ".join([found, filtered, *cells]), first=number == 0)
        _take_misfits(connection, staged, part, number)
        staged.decisions += _noted(part, places, source)
    return staged


def _bind(table: Table, source: Source, part: Part) -> dict[str, int]:
    """Find the header of each canonical column: as mapped, else by its own name, in any case."""
    places = {}
    for column in table.columns:
        if column.name in source.constants:
            continue
        wanted = source.columns.get(column.name, column.name)
        if column.name in part.mapped:
            places[column.name] = part.mapped[column.name]
            continue
        found = [n for n, header in enumerate(part.headers) if header == wanted.strip()]
        found = found or [n for n, header in enumerate(part.headers) if header.casefold() == wanted.strip().casefold()]
        if len(found) > 1:
            raise SchemaError(f"{part.label} has the column {wanted!r} {len(found)} times, so {table.name} {column.name} is ambiguous; rename one")
        if found:
            places[column.name] = found[0]
        elif column.name in source.columns:
            raise SchemaError(
                f"[tables.{table.name}] columns maps {column.name} to {wanted!r}, but {part.label} has {part.headers}{nearest(wanted, part.headers)}"
            )
        elif column.required and not column.default:
            raise SchemaError(
                f"{table.name} lacks {column.name}; {part.label} has {part.headers}; map it under [tables.{table.name}] columns in {FILE}"
                f"{nearest(column.name, part.headers)}"
            )
    return places


def _common(name: str, source: Source, parts: list[Part], bound: list[dict[str, int]]) -> str:
    found = {part.families[places[name]] for part, places in zip(parts, bound, strict=True) if name in places}
    serial = any(part.csv and part.csv.epoch for part in parts)
    return found.pop() if len(found) == 1 and name not in source.values and not serial else "text"


def _cell(part: Part, places: dict[str, int], column: Column, kind: str, source: Source, default: str | None) -> str:
    name = column.name
    if name in source.constants:
        cell = sql.text(source.constants[name])
    elif name in places:
        # What an alias set made of stripped cells needs no stripping.
        cell = f"nullif({part.cells[places[name]]}, '')" if name in part.mapped else _clean(part, places[name])
        cell = f"{cell}::varchar" if kind == "text" else cell
        if part.csv and part.csv.epoch and column.kind in ("instant", "date"):
            cell = _from_serial(cell, part.csv.epoch)
    else:
        cell = "null::varchar" if default is None else sql.text(default)
    if name in source.values and name not in part.mapped:
        pairs = " ".join(f"when {sql.text(key)} then {sql.text(value)}" for key, value in source.values[name].items())
        cell = f"nullif(case coalesce({cell}, '') {pairs} else {cell} end, '')"
    return f"{cell} as {sql.ident(name)}"


def _clean(part: Part, place: int) -> str:
    cell = part.cells[place]
    if part.csv:
        return f"nullif({cell}, '')"
    if part.families[place] == "text":
        return f"nullif({stripped(f'{cell}::varchar')}, '')"
    if part.families[place] == "instant":
        return f"{cell}::timestamp"
    # A frame writes a missing number as NaN.
    return f"case when not isnan({cell}::double) then {cell} end" if part.families[place] == "number" else cell


def _from_serial(cell: str, epoch: str) -> str:
    """Turn the number that a workbook keeps for a date back into a date."""
    moment = f"timestamp '{epoch}' + to_seconds(round(replace({cell}, ',', '.')::double * 86400)::bigint)"
    return f"case when regexp_matches({cell}, '{_SERIAL}') then strftime({moment}, '%Y-%m-%d %H:%M:%S') else {cell} end"


def _filtered(part: Part, places: dict[str, int], source: Source, table: Table) -> str:
    tests = []
    for header, kept in source.where.items():
        place = part.headers.index(header) if header in part.headers else places.get(header)
        if place is None:
            raise SchemaError(f"[tables.{table.name}] where names {header!r}, but {part.label} has {part.headers}{nearest(header, part.headers)}")
        tests.append(f"coalesce({_clean(part, place)}::varchar, '') in ({sql.texts(kept)})")
    return f"not ({' and '.join(tests)})" if tests else "false"


def _insert(connection: duckdb.DuckDBPyConnection, staged: Stage, part: Part, chosen: str, *, first: bool) -> None:
    relation = part.relation
    if part.reader is not None:
        relation = sql.free_name(connection, "stage_reader")
        connection.register(relation, part.reader)
    rows = f"({part.around.replace('{relation}', relation)})" if part.around else relation
    verb = f"create temp table {staged.name} as" if first else f"insert into {staged.name}"
    try:
        before = 0 if first else _size(connection, staged.name)
        connection.execute(f"{verb} select {chosen} from {rows}")
        staged.n_read += part.csv.n_records if part.csv and not part.around else _size(connection, staged.name) - before
    except (duckdb.Error, pa.ArrowException) as error:
        raise DataError(part.csv.failure if part.csv and part.csv.failure else f"{part.label} cannot be read: {sql.first_line(error)}") from None
    finally:
        if part.reader is not None:
            connection.unregister(relation)


def _size(connection: duckdb.DuckDBPyConnection, name: str) -> int:
    return connection.execute(f"select count(*) from {name}").fetchall()[0][0]


def _take_misfits(connection: duckdb.DuckDBPyConnection, staged: Stage, part: Part, number: int) -> None:
    """Keep the records with a wrong number of cells apart; where a footer is expected, those of one cell belong to it."""
    for row, text in part.csv.misfits if part.csv else []:
        if part.footer != "false" and len(next(csv.reader([text.strip()], delimiter=part.csv.delimiter))) == 1:
            connection.execute(
                f"insert into {staged.name} (file, row, is_blank, is_footer, is_filtered) values (?, ?, false, true, true)", [number, row]
            )
            staged.n_read += 1
        else:
            staged.misfits.append((number, row, text))


def _noted(part: Part, places: dict[str, int], source: Source) -> list[tuple[str, str, str]]:
    noted = [(part.label, *decision) for decision in [*(part.csv.noted if part.csv else []), *part.noted]]
    used = set(places.values()) | part.used | {part.headers.index(header) for header in source.where if header in part.headers}
    unused = [] if part.mapped else [header for number, header in enumerate(part.headers) if number not in used and header]
    return [*noted, (part.label, "unused columns", ", ".join(unused))] if unused else noted
