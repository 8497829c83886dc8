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
from kpi.sources.config import FILE, Source, nearest
from kpi.sources.csvtext import ROW, Csv
from kpi.sources.xlsx import Sheet

# What counts as blank around a cell: white space, Unicode spaces, byte order marks. A pattern is six times faster here than trim with a list.
_SPACE = r"[\s\v\p{Z}\x{feff}\x{200b}]"
COMPANY_CURRENCY = "company.currency"
_SERIAL = r"^[1-9]\d{4}([.,]\d+)?$"  # days since the workbook's first day: 1927 to 2173


@dataclass
class Part:
    """One file, query result or frame of a table.

    Attributes
    ----------
    label : str
        How lists name it.
    headers : list of str
        Its columns.
    cells : list of str
        SQL of each column.
    families : list of str
        ``text``, ``number``, ``boolean``, ``date``, ``instant`` (naive) or ``zoned``, per column.
    row : str
        SQL of the row number.
    relation : str
        What SQL reads from; empty when `reader` is to be registered.
    reader : RecordBatchReader, optional
        Rows as a stream, read once.
    csv : Csv or Sheet, optional
        Where the rows come from a CSV file or a workbook: how it is written and what was counted while reading.
    around : str
        SQL of a table made of the rows, which stand in it as ``{relation}``; empty where each row is a record.
    mapped : dict of str to int
        Canonical columns that an alias set found, with their place among `cells`.
    used : set of int
        Places that `mapped` cells are made of.
    footer, dropped : str
        SQL condition of rows that are no data, and of records that do not belong in the table.
    noted : list of tuple
        Decisions and values.
    """

    label: str
    headers: list[str]
    cells: list[str]
    families: list[str]
    row: str = sql.ident(ROW)
    relation: str = ""
    reader: pa.RecordBatchReader | None = None
    csv: Csv | Sheet | None = None
    around: str = ""
    mapped: dict[str, int] = field(default_factory=dict)
    used: set[int] = field(default_factory=set)
    footer: str = "false"
    dropped: str = "false"
    noted: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Stage:
    """The working table of one canonical table.

    Attributes
    ----------
    table : Table
        The contract.
    name : str
        Working table in the connection: ``file`` (index into `labels`), ``row``, ``is_blank``, ``is_footer``, ``is_filtered`` (footers too), and the
        provided columns.
    families : dict of str to str
        Provided canonical columns and what their cells are.
    labels : list of str
        The parts.
    misfits : list
        File, row and text of records with a wrong number of cells.
    n_read : int
        Records read from all parts, misfits left out.
    decisions : list
        File, decision and value.
    """

    table: Table
    name: str
    families: dict[str, str]
    labels: list[str]
    misfits: list[tuple[int, int, str]] = field(default_factory=list)
    n_read: int = 0
    decisions: list[tuple[str, str, str]] = field(default_factory=list)


def family(kind: str) -> str:
    """Sort the type of a column of the engine into one of six families.

    Parameters
    ----------
    kind : str
        Type as DuckDB writes it.

    Returns
    -------
    str
    """
    if kind == "TIMESTAMP WITH TIME ZONE" or kind.startswith("TIMESTAMP_TZ") or kind == "TIMESTAMPTZ":
        return "zoned"
    if kind.startswith("TIMESTAMP") or kind == "DATETIME":
        return "instant"
    if kind.startswith("DECIMAL") or kind in _NUMBERS:
        return "number"
    return {"DATE": "date", "BOOLEAN": "boolean"}.get(kind, "text")


_NUMBERS = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT", "FLOAT", "DOUBLE"}


def stripped(cell: str) -> str:
    """Write the SQL that takes blanks off both ends of a text.

    Parameters
    ----------
    cell : str
        SQL of the text.

    Returns
    -------
    str
    """
    return f"regexp_replace({cell}, '^{_SPACE}+|{_SPACE}+$', '', 'g')"


def blank(cells: list[str]) -> str:
    """Write the SQL condition that all cells of a line are blank: it is then no record.

    Parameters
    ----------
    cells : list of str
        SQL of each.

    Returns
    -------
    str
    """
    # The first cell nearly always settles it.
    together = stripped(f"concat({', '.join(cells)})")
    return f"case when {cells[0]} > ' ' then false else {together} = '' end"


def lone_cell(cells: list[str]) -> str:
    """Write the SQL condition that only the first cell of a line is filled, as in notes above and below a table.

    Parameters
    ----------
    cells : list of str
        SQL of each.

    Returns
    -------
    str
        Never true where there are fewer than three.
    """
    return f"case when {cells[-1]} > ' ' then false else {blank(cells[1:])} end" if len(cells) > 2 else "false"


def csv_part(csv: Csv | Sheet) -> Part:
    """Describe a CSV file or a sheet as a part: all cells text.

    Parameters
    ----------
    csv : Csv or Sheet
        Examined file.

    Returns
    -------
    Part
    """
    return Part(csv.located.label, csv.header, csv.columns, ["text"] * len(csv.header), reader=csv.reader(), csv=csv)


def typed_part(connection: duckdb.DuckDBPyConnection, label: str, relation: str, row: str) -> Part:
    """Describe something the engine can read as a part, with the types it has.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Where `relation` can be read.
    label : str
        How lists name it.
    relation : str
        SQL after FROM.
    row : str
        SQL of the row number, 1 being the first.

    Returns
    -------
    Part

    Raises
    ------
    DataError
        If it cannot be read.
    """
    try:
        described = connection.execute(f"describe select * from {relation}").fetchall()
    except duckdb.Error as error:
        raise DataError(f"{label} cannot be read: {sql.first_line(error)}") from None
    kinds = {name: kind for name, kind, *_ in described if sql.ident(name) != row}
    return Part(label, list(kinds), [sql.ident(name) for name in kinds], [family(kind) for kind in kinds.values()], row, relation)


def stage(connection: duckdb.DuckDBPyConnection, table: Table, source: Source, parts: list[Part], currency: str) -> Stage:
    """Put all parts of a table into one working table.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Where it is made.
    table : Table
        The contract.
    source : Source
        Mapping, constants, values and rows to keep.
    parts : list of Part
        At least one.
    currency : str
        The company's, where the table has none.

    Returns
    -------
    Stage

    Raises
    ------
    SchemaError
        If a required column is missing.
    DataError
        If a part cannot be read.
    """
    bound = [_bind(table, source, part) for part in parts]
    names = [column.name for column in table.columns if column.name in source.constants or any(column.name in places for places in bound)]
    families = {name: _common(name, source, parts, bound) for name in names}
    defaults = {column.name: currency if column.default == COMPANY_CURRENCY else column.default for column in table.columns if column.default}
    families |= {name: "text" for name in defaults if name not in families}
    families = {name: families[name] for name in table.names if name in families}
    staged = Stage(table, sql.free_name(connection, f"stage_{table.name}"), families, [part.label for part in parts])
    for number, (part, places) in enumerate(zip(parts, bound, strict=True)):
        cells = [_cell(part, places, table[name], families[name], source, defaults.get(name)) for name in families]
        empty = blank(part.cells) if part.csv and not part.around else "false"
        chosen = f"{number}::integer as file, {part.row}::bigint as row, {empty} as is_blank, {part.footer} as is_footer"
        filtered = f"({part.footer}) or ({part.dropped}) or {_filtered(part, places, source, table)} as is_filtered"
        _insert(connection, staged, part, ", ".join([chosen, filtered, *cells]), first=number == 0)
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
