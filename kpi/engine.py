"""Frames in, pandas out: the only module that names drivers.

Metrics are written once on Narwhals lazy frames. DuckDB is the default engine; Polars runs the same code and keeps it honest.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, TypeGuard

import duckdb
import narwhals.stable.v2 as nw
import pandas as pd
import pyarrow as pa

from kpi.errors import ParameterError

Connection: TypeAlias = duckdb.DuckDBPyConnection
ENGINES = ("duckdb", "polars", "spark")
# Instants are naive UTC: Spark must take them so, in columns and in what they are compared with.
SPARK = {"spark.sql.session.timeZone": "UTC", "spark.sql.timestampType": "TIMESTAMP_NTZ"}


def connect() -> Connection:
    """Open an embedded database that reads zoned columns as UTC, whatever the machine says."""
    connection = duckdb.connect()
    connection.execute("set TimeZone = 'UTC'")
    connection.execute("set preserve_insertion_order = false")
    return connection


class Engine:
    """Where the rows of one data set live."""

    def __init__(self, connection: Connection, name: str = "duckdb") -> None:
        if name not in ENGINES:
            raise ParameterError(f"engine {name!r} is unknown; use one of {', '.join(ENGINES)}")
        self.connection, self.name = connection, name
        self._spark = spark_session() if name == "spark" else None
        self._numbers = itertools.count()

    def table(self, stored: object) -> nw.LazyFrame:
        """Hand out a table."""
        if not isinstance(stored, str):
            return nw.from_native(stored)
        relation = self.connection.table(stored)
        return nw.from_native(relation) if self.name == "duckdb" else self._held(relation.to_arrow_table())

    def put(self, frame: pd.DataFrame) -> nw.LazyFrame:
        """Put a helper table beside the data."""
        arrow = pa.Table.from_pandas(frame, preserve_index=False, nthreads=1)  # to start threads takes longer than a helper table
        if self.name != "duckdb":
            return self._held(arrow)
        name = self._name()
        view = f"{name}_arrow"
        self.connection.register(view, arrow)
        self.connection.execute(f"create temp table {name} as select * from {view}")
        self.connection.unregister(view)
        return nw.from_native(self.connection.table(name))

    def keep(self, frame: nw.LazyFrame) -> nw.LazyFrame:
        """Compute a frame once, since each use of a lazy frame would run it again."""
        native = frame.to_native()
        if self.name == "polars":
            return nw.from_native(native.collect().lazy())
        if self.name == "spark":
            return nw.from_native(native.localCheckpoint())
        name = self._name()
        self.connection.execute(f"create temp table {name} as {native.sql_query()}")
        return nw.from_native(self.connection.table(name))

    def _name(self) -> str:
        return f"kpi_{next(self._numbers)}"

    def _held(self, arrow: pa.Table) -> nw.LazyFrame:
        """Rows in memory, on an engine that has no tables of its own."""
        if self._spark is not None:
            return nw.from_native(self._spark.createDataFrame(arrow).localCheckpoint())  # else the rows travel with every query
        import polars as pl

        return nw.from_native(pl.DataFrame(arrow).lazy())


def spark_session() -> Any:
    """Find the Spark session at work, or start one on this machine."""
    try:
        from pyspark.sql import SparkSession
    except ImportError:
        raise ParameterError("engine 'spark' needs PySpark and Java: pip install 'sales-kpi-kit[spark]'") from None
    session = SparkSession.getActiveSession()
    if session is None:
        builder = SparkSession.builder.appName("kpi")
        for setting, value in SPARK.items():
            builder = builder.config(setting, value)
        session = builder.getOrCreate()
    wrong = {setting: value for setting, value in SPARK.items() if session.conf.get(setting) != value}
    if wrong:
        asked = "; ".join(f"spark.conf.set({setting!r}, {value!r})" for setting, value in wrong.items())
        raise ParameterError(f"the Spark session does not take instants as UTC; do first: {asked}")
    return session


def is_spark(frame: object) -> TypeGuard[Any]:
    """Tell whether a frame is one of Spark's."""
    return nw.dependencies.is_pyspark_dataframe(frame)


def collect(frame: nw.LazyFrame, sort: Sequence[str] = ()) -> pd.DataFrame:
    """Bring an answer to pandas with one set of types whatever the engine."""
    table = frame.collect("pyarrow").to_native()
    answer = {name: _column(column) for name, column in zip(table.column_names, table.columns, strict=True)}
    answer = pd.DataFrame(answer)
    return answer.sort_values(list(sort), kind="stable", ignore_index=True) if sort else answer


def _column(column: pa.ChunkedArray) -> pd.Series:
    kind = column.type
    if pa.types.is_decimal(kind) or pa.types.is_integer(kind):
        whole = column.cast(pa.int64()).to_pandas(integer_object_nulls=True) if column.null_count else column.cast(pa.int64()).to_pandas()
        return whole.astype("Int64" if column.null_count else "int64")
    if pa.types.is_floating(kind):
        return column.cast(pa.float64()).to_pandas()
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return column.to_pandas().astype("str")
    return column.to_pandas()


def grouped(frame: nw.LazyFrame, columns: Mapping[str, str], by: Sequence[str]) -> nw.LazyFrame:
    """Give the grouping columns the names they are asked for by."""
    return frame.with_columns(*[nw.col(columns[name]).alias(name) for name in by]) if by else frame


def counts(frame: nw.LazyFrame, by: Sequence[str], **conditions: nw.Expr) -> pd.DataFrame:
    """Count the rows of each group that meet each condition."""
    # Columns first: a selection of nothing but literals would have one row, however many the frame has.
    flags = frame.with_columns(**{name: nw.when(condition).then(nw.lit(1)).otherwise(nw.lit(0)) for name, condition in conditions.items()})
    flags = flags.select(*by, *conditions)
    sums = [nw.col(name).cast(nw.Int64).sum() for name in conditions]
    table = collect(flags.group_by(*by).agg(*sums) if by else flags.select(*sums), by)
    return table.astype(dict.fromkeys(conditions, "int64")) if len(table) and by else table.fillna(0).astype(dict.fromkeys(conditions, "int64"))


def sizes(frame: nw.LazyFrame, by: Sequence[str], name: str = "count") -> pd.DataFrame:
    """Count the rows of each group."""
    return collect(frame.group_by(*by).agg(nw.len().alias(name)), by)
