"""Tables that are on Spark: typed, checked and accounted for there; only counts, and the rows set aside, come to this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import pandas as pd

from kpi import schema
from kpi.engine import Engine, is_spark
from kpi.errors import SchemaError, nearest
from kpi.schema import Column, Table
from kpi.sources.cells import PATTERN
from kpi.sources.checks import recording, rules
from kpi.sources.checks.rows import AMOUNTS, DECISIONS, LEDGER, SET_ASIDE, STARTS_AND_ENDS, accounted
from kpi.sources.config import Company
from kpi.sources.reading import ORDER, Reading, read_frames
from kpi.sources.staging import COMPANY_CURRENCY
from kpi.sources.typing.cast import DIGITS_LOST, FIRST_YEAR, LAST_YEAR, NO_RECORD

if TYPE_CHECKING:
    from pyspark.sql import Column as Cell
    from pyspark.sql import DataFrame, Window
    from pyspark.sql import functions as f
else:
    try:
        from pyspark.sql import Window
        from pyspark.sql import functions as f
    except ImportError:  # the extra kpi[spark]; without it nobody has a Spark frame
        Window = f = None

LISTED = 10_000  # rows set aside that are listed per table; all are counted
_WHOLE = ("bigint", "int", "smallint", "tinyint")
_TAKEN = {
    "text": ("string", "varchar", "char", *_WHOLE),
    "instant": ("timestamp_ntz", "timestamp", "date"),
    "date": ("date", "timestamp_ntz"),
    "number": ("double", "float", "decimal", *_WHOLE),
    "integer": _WHOLE,
    "boolean": ("boolean",),
    "month": ("string", "varchar"),
}
_KEPT = {"text": "string", "instant": "timestamp_ntz", "date": "date", "month": "string", "number": "double", "integer": "bigint"} | {
    "boolean": "boolean"
}


def read_spark(frames: Mapping[str, object], company: Company, engine: Engine) -> Reading:
    """Check tables where they are, on Spark; frames of this machine are read as ever and put beside them."""
    reading = read_frames({name: frame for name, frame in frames.items() if not is_spark(frame)}, company, engine.connection)
    tables = _SparkTables(engine, company, reading)
    for name in (name for name in ORDER if name in frames):
        tables.add(schema.TABLES[name], frames[name] if is_spark(frames[name]) else None)
    return tables.reading()


class _SparkTables:
    """What has been looked at so far."""

    def __init__(self, engine: Engine, company: Company, reading: Reading) -> None:
        self.engine, self.company, self.begun = engine, company, reading
        self.tables: dict[str, DataFrame] = {}
        self.provided, self.precision = dict(reading.provided), dict(reading.precision)
        self.ledger: list[tuple] = []
        self.set_aside: list[tuple] = list(reading.set_aside.itertuples(index=False, name=None))
        decided = reading.decisions[reading.decisions["decision"] != "recorded from"]  # looked at again, with all tables
        self.decisions: list[tuple[str, ...]] = list(decided.itertuples(index=False, name=None))

    def add(self, table: Table, frame: Any) -> None:
        """Take one table through typing and checks; a frame of this machine only needs its parents on Spark looked up."""
        own = self.begun.ledger[self.begun.ledger["table"] == table.name]
        if frame is None:
            rows, faults = self.engine.table(self.begun.tables[table.name]).to_native(), _Faults()
            rows = rows.withColumn("fault", faults.test())
        else:
            rows, faults = self._typed(table, frame)
        rows = self._orphaned(table, self._repeated(table, rows, faults) if frame is not None else rows, faults)
        rows = self.engine.keep(nw.from_native(rows)).to_native()
        self.tables[table.name] = rows.filter("fault = 0").select(*table.names)
        self._account(table, rows, faults, own)

    def reading(self) -> Reading:
        """Put it all together, tables in the order of the schema."""
        recorded = {} if "leads" not in self.tables else self._recorded()
        self.decisions += [(table, "", "recorded from", str(one)) for table, one in recorded.items()]
        names = [name for name in schema.TABLES if name in self.tables]
        return replace(
            self.begun,
            tables={name: self.tables[name] for name in names},
            provided={name: self.provided[name] for name in names},
            precision=self.precision,
            ledger=pd.DataFrame(sorted(self.ledger, key=lambda row: names.index(row[0])), columns=LEDGER),
            set_aside=pd.DataFrame(self.set_aside, columns=SET_ASIDE),
            decisions=pd.DataFrame(sorted(self.decisions, key=lambda row: names.index(row[0])), columns=DECISIONS),
            recorded={table: one.since for table, one in recorded.items()},
            links=pd.DataFrame([link for name in names for link in self._links(name)], columns=recording.LINKS),
        )

    def _links(self, name: str) -> list[tuple]:
        """How many rows fill each optional link, and how many of those find their record."""
        found = []
        for column in schema.TABLES[name].columns:
            if column.references in self.tables and not column.filled and column.name in self.provided[name]:
                known = self.tables[column.references].select(f.col(schema.TABLES[column.references].key[0]).alias(column.name))
                given = self.tables[name].filter(f.col(column.name).isNotNull())
                found.append(
                    (name, column.name, self.tables[name].count(), given.count(), given.join(known, on=column.name, how="left_semi").count())
                )
        return found

    def _typed(self, table: Table, frame: DataFrame) -> tuple[DataFrame, _Faults]:
        places, kinds = _bound(table, frame), dict(frame.dtypes)
        faults = _Faults()
        values: dict[str, Cell] = {}
        for column in table.columns:
            name, header = column.name, places.get(column.name)
            default = self.company.currency if column.default == COMPANY_CURRENCY else column.default
            if header is None:
                values[name] = f.lit(default or None).cast(_KEPT[column.kind])
                continue
            values[name] = _value(column, f.col(f"`{header}`"), kinds[header].partition("(")[0], self.company.timezone)
            _cell_faults(faults, column, f.col(f"`{header}`"), values[name])
            if column.kind == "instant":
                self.precision[table.name, name] = "day" if kinds[header] == "date" else "second"
        self.provided[table.name] = frozenset({*places, *(column.name for column in table.columns if column.default)})
        rows = frame.select(faults.test().alias("fault"), *[value.alias(name) for name, value in values.items()])
        unused = [header for header in frame.columns if header not in places.values()]
        self.decisions += [(table.name, f"{table.name} frame", "unused columns", ", ".join(unused))] if unused else []
        return self._ended_first(table, rows, faults), faults

    def _ended_first(self, table: Table, rows: DataFrame, faults: _Faults) -> DataFrame:
        """What ends before it starts; a date against an instant of the same day is no contradiction."""
        if table.name not in STARTS_AND_ENDS or not set(STARTS_AND_ENDS[table.name][:2]) <= self.provided[table.name]:
            return rows
        start, end, reason = STARTS_AND_ENDS[table.name]
        dated = "day" in (self.precision.get((table.name, start)), self.precision.get((table.name, end)))
        first, last = (_day(f.col(name), self.company.timezone) if dated else f.col(name) for name in (start, end))
        return faults.mark(rows, end, reason, last < first)

    def _repeated(self, table: Table, rows: DataFrame, faults: _Faults) -> DataFrame:
        """All rows of a key but one: Spark keeps no order, so the first is that of the values of its other columns."""
        rows = self.engine.keep(nw.from_native(rows)).to_native()
        if not table.key or rows.filter("fault = 0").groupBy(*table.key).count().filter("count > 1").isEmpty():
            return rows
        place = f.row_number().over(Window.partitionBy("fault", *table.key).orderBy(*[name for name in table.names if name not in table.key]))
        return faults.mark(rows.withColumn("place", place), table.key[0], rules.DUPLICATE, f.col("place") > 1).drop("place")

    def _orphaned(self, table: Table, rows: DataFrame, faults: _Faults) -> DataFrame:
        """Rows whose required parent is unknown."""
        for column in table.columns:
            if column.filled and column.references in self.tables:
                key = schema.TABLES[column.references].key[0]
                known = self.tables[column.references].select(f.col(key).alias(column.name), f.lit(True).alias("known"))
                rows = rows.join(known, on=column.name, how="left")
                rows = faults.mark(rows, column.name, rules.ORPHAN.format(column=column.name), f.col("known").isNull()).drop("known")
        return rows

    def _account(self, table: Table, rows: DataFrame, faults: _Faults, own: pd.DataFrame) -> None:
        amount = f.abs(f.col(AMOUNTS[table.name])) if table.name in AMOUNTS else f.lit(None).cast("double")
        each = rows.groupBy("fault").agg(f.count("*"), f.sum(amount)).collect()
        before = {row.reason: [row.set_aside, None if pd.isna(row.amount) else row.amount] for row in own[1:].itertuples()}
        self.ledger += accounted(table.name, faults.known, [tuple(row) for row in each], before)
        bad = f.element_at(f.array(*[f.col(column).cast("string") if column else f.lit("") for column, _ in faults.known]), f.col("fault") + 1)
        # A cell that cannot be used is empty by now: the key says more.
        keys = f.concat_ws(" ", *[f.col(name).cast("string") for name in table.key])
        listed = rows.filter("fault > 0").select("fault", f.coalesce(bad, keys).alias("value")).orderBy("fault", "value").limit(LISTED).collect()
        for column, reason, value in [(*faults.known[row.fault], row.value) for row in listed]:
            self.set_aside.append((table.name, f"{table.name} frame", pd.NA, column, value, reason))

    def _recorded(self) -> dict[str, recording.Recording]:
        """Tables of outcomes that begin long after the leads do, told from counts per pair of days."""
        found: dict[str, recording.Recording] = {}
        leads = self.tables["leads"].select("lead_id", "created_at", "opportunity_id")
        for name, links in _links(self.tables, leads).items():
            each = leads.join(links, on="lead_id", how="left").groupBy("lead_id", "created_at").agg(f.min("at").alias("at"))
            made, came = (_day(f.col(column), self.company.timezone).alias(column) for column in ("created_at", "at"))
            pairs = each.select(made, came).groupBy("created_at", "at").count().orderBy("created_at", "at").collect()
            one = recording.recording([(row["created_at"], row["at"], row["count"]) for row in pairs])
            found |= {} if one is None else {name: one}
        return found


class _Faults:
    """The ways in which a row can fail, numbered in the order in which they are looked for; 0 is none."""

    def __init__(self) -> None:
        self.known: list[tuple[str, str]] = [("", "")]
        self._tests: list[tuple[int, Cell]] = []

    def add(self, column: str, reason: str, test: Cell) -> None:
        """Look for one more, in rows not typed yet."""
        self._tests.append((len(self.known), test))
        self.known.append((column, reason))

    def test(self) -> Cell:
        """Write the number of the first fault of a row."""
        return f.coalesce(*[f.when(test, f.lit(number)) for number, test in self._tests], f.lit(0))

    def mark(self, rows: DataFrame, column: str, reason: str, test: Cell) -> DataFrame:
        """Look for one more among the rows without fault."""
        self.known.append((column, reason))
        return rows.withColumn("fault", f.when((f.col("fault") == 0) & test, len(self.known) - 1).otherwise(f.col("fault")))


def _bound(table: Table, frame: DataFrame) -> dict[str, str]:
    """The header of each canonical column, in any case; its type must fit."""
    places = {}
    for column in table.columns:
        found = [header for header in frame.columns if header == column.name]
        found = found or [header for header in frame.columns if header.casefold() == column.name]
        if len(found) > 1:
            raise SchemaError(f"{table.name} frame has the column {column.name!r} {len(found)} times; rename one")
        if not found and column.required and not column.default:
            raise SchemaError(f"{table.name} lacks {column.name}; {table.name} frame has {frame.columns}{nearest(column.name, frame.columns)}")
        for header in found:
            kind = dict(frame.dtypes)[header]
            if kind.partition("(")[0] not in _TAKEN[column.kind]:
                raise SchemaError(f"{table.name} {column.name} is {kind} on Spark; cast it to {_KEPT[column.kind]}")
            places[column.name] = header
    return places


def _value(column: Column, cell: Cell, kind: str, zone: str) -> Cell:
    """The cell in its canonical type; what cannot be used is empty."""
    if column.kind == "text":
        text = f.regexp_replace(cell.cast("string"), f"^{PATTERN}+|{PATTERN}+$", "")
        if column.is_id:
            return f.when(~text.rlike(f"{NO_RECORD}|{DIGITS_LOST}|^$"), text)
        if not column.allowed:
            return f.nullif(text, f.lit(""))
        return f.when(f.lower(text).isin(*column.allowed), f.lower(text))
    if column.kind == "number":
        value = cell.cast("double")
        return f.when(~f.isnan(value) & (f.abs(value) != float("inf")), value)
    if column.kind == "instant":
        moment = f.to_utc_timestamp(cell.cast("timestamp"), zone) if kind == "date" else cell
        return f.when(f.year(moment).between(FIRST_YEAR, LAST_YEAR), moment.cast("timestamp_ntz"))
    return cell.cast(_KEPT[column.kind])


def _cell_faults(faults: _Faults, column: Column, cell: Cell, value: Cell) -> None:
    if column.kind == "text":
        text = f.regexp_replace(cell.cast("string"), PATTERN, "")
        given = (f.length(text) > 0) & (~text.rlike(NO_RECORD) if column.is_id else f.lit(True))
    else:
        given = cell.isNotNull() & (~f.isnan(cell.cast("double")) if column.kind == "number" else f.lit(True))
    if column.filled:
        faults.add(column.name, rules.EMPTY.format(column=column.name), ~f.coalesce(given, f.lit(False)))
    if column.kind != "text" or column.allowed or column.is_id:
        reason = rules.UNKNOWN_VALUE if column.allowed else rules.DIGITS_LOST if column.is_id else rules.UNREADABLE
        faults.add(column.name, reason.format(column=column.name), given & value.isNull())


def _day(instant: Cell, zone: str) -> Cell:
    return f.to_date(f.from_utc_timestamp(instant.cast("timestamp"), zone))


def _links(tables: Mapping[str, DataFrame], leads: DataFrame) -> dict[str, DataFrame]:
    """Each outcome with the lead it belongs to, by table: ``lead_id``, ``at``."""
    found = {}
    if "activities" in tables:
        found["activities"] = tables["activities"].select("lead_id", "at")
    if "opportunities" in tables:
        deals = tables["opportunities"].select("opportunity_id", f.coalesce("created_at", "closed_at").alias("at"), f.col("lead_id"))
        named = leads.select("lead_id", "opportunity_id").join(deals.drop("lead_id"), on="opportunity_id").select("lead_id", "at")
        found["opportunities"] = deals.select("lead_id", "at").unionByName(named)
    return found
