"""One file, query result or frame of a table: its columns as SQL, before they are matched to canonical ones."""

from __future__ import annotations

from dataclasses import dataclass, field

import duckdb
import pyarrow as pa

from kpi.errors import DataError
from kpi.sources import sql
from kpi.sources.readers.csv import ROW, Csv
from kpi.sources.readers.workbook import Sheet

# What counts as blank around a cell: white space, Unicode spaces, byte order marks. A pattern is six times faster here than trim with a list.
_SPACE = r"[\s\v\p{Z}\x{feff}\x{200b}]"


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
