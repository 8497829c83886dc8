"""Tables in memory, or on Spark, as the Arrow rows of an extract; and the path of a Parquet file in their place."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa

from kpi.engine import Connection, is_spark
from kpi.errors import DataError
from kpi.sources import sql
from kpi.sources.readers.extract import Extract, from_parquet, from_stream
from kpi.sources.readers.files import Located


def from_frame(connection: Connection, name: str, frame: object) -> Extract:
    """Describe a frame of any kind."""
    if isinstance(frame, str | Path):
        located = Located(Path(frame).name, Path(frame))
        if not located.is_parquet or not located.path.is_file():
            raise DataError(f"{name} = {str(frame)!r} is no Parquet file; give a frame, or describe CSV files in a kpi.toml")
        return from_parquet(connection, located)
    try:
        return from_stream(connection, f"{name} frame", _rows(connection, name, frame))
    except (pa.ArrowException, TypeError) as error:
        raise DataError(f"the {name} frame cannot be read: {sql.first_line(error)}") from None


def _rows(connection: Connection, name: str, frame: object) -> pa.RecordBatchReader:
    if isinstance(frame, pd.DataFrame):
        return pa.Table.from_pandas(frame, preserve_index=False).to_reader()
    if isinstance(frame, duckdb.DuckDBPyRelation) and _is_own(connection, frame):
        return frame.to_arrow_table().to_reader()
    if is_spark(frame):
        return frame.toArrow().to_reader()
    if hasattr(frame, "__arrow_c_stream__"):
        return pa.RecordBatchReader.from_stream(frame)
    accepted = "a pandas, Polars, Arrow or Spark frame, a DuckDB relation or the path of a Parquet file"
    raise DataError(f"{name} is a {type(frame).__name__}; give {accepted}")


def _is_own(connection: Connection, relation: duckdb.DuckDBPyRelation) -> bool:
    """Whether a relation belongs to the connection, which then cannot stream it while it stores it."""
    try:
        connection.sql("select * from relation limit 0")
    except duckdb.Error:
        return False
    return True
