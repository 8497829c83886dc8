"""One file, query answer or frame of a table, as every reader hands it on: its columns as SQL, before they are matched to canonical ones.

Frames in memory, or on Spark, come as Arrow rows; the path of a Parquet file may stand in their place.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa

from kpi.engine import Connection, is_spark
from kpi.errors import DataError
from kpi.sources import sql
from kpi.sources.readers.files import Located

SMALL = 20_000  # rows that are copied sooner than threads start
HEADER_WITHIN = 20  # rows in which the header is looked for
Hits = Callable[[list[str]], int]  # how many cells of a row are names that a header may have
ROW = "row"  # position of a record in its file, as a reader of the file numbers it
_ROW_NUMBER = "row number of the answer"  # no column of a user's is called so


@dataclass
class TextTable(ABC):
    """A text file or a sheet whose header is known, every cell a text; and what reading it counted."""

    located: Located
    header: list[str]
    first: int  # row of the header
    delimiter: str
    decisions: list[tuple[str, str]]  # what was decided about it: decision and value
    is_report: bool = False  # lines above its header or below its rows are no records
    sheets: list[str] = field(default_factory=list)  # where several of a workbook have this header
    epoch: str = ""  # the day from which serial dates are counted; a text file has none
    misfits: list[tuple[int, str]] = field(default_factory=list)  # rows with a wrong number of cells
    failure: str = ""

    @property
    def columns(self) -> list[str]:
        """Names of the cells in the batches: c0, c1, ...; headers may be blank or occur twice."""
        return [f"c{number}" for number in range(len(self.header))]

    def reader(self) -> pa.RecordBatchReader:
        """Stream its rows: all cells as text without blanks around it, and the row number."""
        schema = pa.schema([*((name, pa.string()) for name in self.columns), (ROW, pa.int64())])
        return pa.RecordBatchReader.from_batches(schema, self._batches(schema))

    @abstractmethod
    def _batches(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]: ...


@dataclass
class Extract:
    """One file, query answer or frame of a table.

    ``cells``, ``row``, ``footer`` and ``dropped`` are SQL over the rows of `relation`, or of `reader` where these are streamed; ``select`` is SQL
    that puts other rows in their place, ``{relation}`` standing for them. ``mapped`` holds the places of canonical columns that an alias set made.
    """

    label: str
    headers: list[str]
    cells: list[str]
    families: list[str]
    row: str = sql.ident(ROW)
    relation: str = ""
    reader: pa.RecordBatchReader | None = None
    text: TextTable | None = None
    select: str = ""
    mapped: dict[str, int] = field(default_factory=dict)
    footer: str = "false"
    dropped: str = "false"
    decisions: list[tuple[str, str]] = field(default_factory=list)

    def opened(self, connection: Connection) -> AbstractContextManager[str]:
        """Give its rows a name in the engine for as long as they are read."""
        return nullcontext(self.relation) if self.reader is None else sql.registered(connection, self.reader)

    def failure(self, error: Exception) -> DataError:
        """Say why it cannot be read."""
        return DataError((self.text and self.text.failure) or f"{self.label} cannot be read: {sql.first_line(error)}")


def from_text(text: TextTable) -> Extract:
    return Extract(text.located.label, text.header, text.columns, ["text"] * len(text.header), reader=text.reader(), text=text)


def from_relation(connection: Connection, label: str, relation: str, row: str) -> Extract:
    """Describe something the engine can read, with the types it has."""
    try:
        described = connection.execute(f"describe select * from {relation}").fetchall()
    except duckdb.Error as error:
        raise DataError(f"{label} cannot be read: {sql.first_line(error)}") from None
    kinds = {name: kind for name, kind, *_ in described if name != row}
    return Extract(label, list(kinds), [sql.ident(name) for name in kinds], [sql.family(kind) for kind in kinds.values()], sql.ident(row), relation)


def from_parquet(connection: Connection, located: Located) -> Extract:
    relation, row = f"read_parquet({sql.text(str(located.path))}, file_row_number = true)", "file_row_number"
    extract = from_relation(connection, located.label, relation, row)
    extract.row = f"{row} + 1"
    return extract


def from_stream(connection: Connection, label: str, rows: pa.RecordBatchReader) -> Extract:
    """Describe rows that come once, numbered as they come."""
    schema = rows.schema.append(pa.field(_ROW_NUMBER, pa.int64()))

    def numbered() -> Iterator[pa.RecordBatch]:
        first = 1
        for batch in rows:
            numbers = pa.array(range(first, first + len(batch)), pa.int64())
            yield pa.RecordBatch.from_arrays([*batch.columns, numbers], schema=schema)
            first += len(batch)

    with sql.registered(connection, schema.empty_table()) as name:
        extract = from_relation(connection, label, name, _ROW_NUMBER)
    extract.relation, extract.reader = "", pa.RecordBatchReader.from_batches(schema, numbered())
    return extract


def from_frame(connection: Connection, name: str, frame: object) -> Extract:
    """Describe a frame of any kind."""
    if isinstance(frame, str | Path):
        located = Located(Path(frame).name, Path(frame))
        if not located.is_parquet or not located.path.is_file():
            raise DataError(f"{name} = {str(frame)!r} is no Parquet file; give a frame, or describe CSV files in a kpi.toml")
        return from_parquet(connection, located)
    try:
        return from_stream(connection, f"{name} frame", _rows(name, frame))
    except (pa.ArrowException, TypeError) as error:
        raise DataError(f"the {name} frame cannot be read: {sql.first_line(error)}") from None


def _rows(name: str, frame: object) -> pa.RecordBatchReader:
    if isinstance(frame, pd.DataFrame):
        return pa.Table.from_pandas(frame, preserve_index=False, nthreads=None if len(frame) > SMALL else 1).to_reader()
    if isinstance(frame, duckdb.DuckDBPyRelation):  # whole, since a connection cannot stream from itself while it stores
        return frame.to_arrow_table().to_reader()
    if is_spark(frame):
        return frame.toArrow().to_reader()
    if hasattr(frame, "__arrow_c_stream__"):
        return pa.RecordBatchReader.from_stream(frame)
    accepted = "a pandas, Polars, Arrow or Spark frame, a DuckDB relation or the path of a Parquet file"
    raise DataError(f"{name} is a {type(frame).__name__}; give {accepted}")
