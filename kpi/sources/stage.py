"""Rows as they were found: every file of a table put into one working table, headers matched to canonical columns, cells stripped.

From here on nothing knows whether a row came from a CSV file, a Parquet file, a query or a frame.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import duckdb
import pyarrow as pa

from kpi.errors import DataError, SchemaError
from kpi.schema import Table
from kpi.sources import sql
from kpi.sources.config import FILE, Source, nearest
from kpi.sources.csvtext import ROW, Csv

# What counts as blank around a cell: white space, Unicode spaces, byte order marks. A pattern is six times faster here than trim with a list.
_SPACE = r"[\s\v\p{Z}\x{feff}\x{200b}]"
COMPANY_CURRENCY = "company.currency"


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
    csv : Csv, optional
        Where the rows come from a CSV file: its dialect and what was counted while reading.
    """

    label: str
    headers: list[str]
    cells: list[str]
    families: list[str]
    row: str = sql.ident(ROW)
    relation: str = ""
    reader: pa.RecordBatchReader | None = None
    csv: Csv | None = None


@dataclass
class Stage:
    """The working table of one canonical table.

    Attributes
    ----------
    table : Table
        The contract.
    name : str
        Working table in the connection: ``file`` (index into `labels`), ``row``, ``is_blank``, ``is_filtered``, and the provided columns.
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


def csv_part(csv: Csv) -> Part:
    """Describe a CSV file as a part: all cells text.

    Parameters
    ----------
    csv : Csv
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
        cells = [_cell(part, places, name, families[name], source, defaults.get(name)) for name in families]
        chosen = f"{number}::integer as file, {part.row}::bigint as row, {blank(part.cells) if part.csv else 'false'} as is_blank"
        filtered = f"{_filtered(part, places, source, table)} as is_filtered"
        _insert(connection, staged, part, ", ".join([chosen, filtered, *cells]), first=number == 0)
        staged.misfits += [(number, row, text) for row, text in (part.csv.misfits if part.csv else [])]
        staged.decisions += _noted(part, places, source)
    return staged


def _bind(table: Table, source: Source, part: Part) -> dict[str, int]:
    """Find the header of each canonical column: as mapped, else by its own name, in any case."""
    places = {}
    for column in table.columns:
        if column.name in source.constants:
            continue
        wanted = source.columns.get(column.name, column.name)
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
    return found.pop() if len(found) == 1 and name not in source.values else "text"


def _cell(part: Part, places: dict[str, int], name: str, kind: str, source: Source, default: str | None) -> str:
    if name in source.constants:
        cell = sql.text(source.constants[name])
    elif name in places:
        cell = _clean(part, places[name])
        cell = f"{cell}::varchar" if kind == "text" else cell
    else:
        cell = "null::varchar" if default is None else sql.text(default)
    if name in source.values:
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
    verb = f"create temp table {staged.name} as" if first else f"insert into {staged.name}"
    try:
        before = 0 if first else _size(connection, staged.name)
        connection.execute(f"{verb} select {chosen} from {relation}")
        staged.n_read += part.csv.n_records if part.csv else _size(connection, staged.name) - before
    except (duckdb.Error, pa.ArrowException) as error:
        raise DataError(part.csv.failure if part.csv and part.csv.failure else f"{part.label} cannot be read: {sql.first_line(error)}") from None
    finally:
        if part.reader is not None:
            connection.unregister(relation)


def _size(connection: duckdb.DuckDBPyConnection, name: str) -> int:
    return connection.execute(f"select count(*) from {name}").fetchall()[0][0]


def _noted(part: Part, places: dict[str, int], source: Source) -> list[tuple[str, str, str]]:
    noted = []
    if part.csv:
        names = {"\t": "tab"}
        noted = [(part.label, "encoding", part.csv.encoding), (part.label, "delimiter", names.get(part.csv.delimiter, part.csv.delimiter))]
    used = set(places.values()) | {part.headers.index(header) for header in source.where if header in part.headers}
    unused = [header for number, header in enumerate(part.headers) if number not in used and header]
    return [*noted, (part.label, "unused columns", ", ".join(unused))] if unused else noted
