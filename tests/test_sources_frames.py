"""Frames in memory under the same contract as files."""

from __future__ import annotations

import datetime

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from written import column, connection, reasons, rows

from kpi import schema
from kpi.errors import DataError, SchemaError
from kpi.sources import Company, read_frames

PARIS = Company(timezone="Europe/Paris", currency="CHF")
FRAME = pd.DataFrame(
    {
        "lead_id": ["L1", "L2"],
        "created_at": pd.to_datetime(["2026-03-02 09:00", "2026-07-02 09:00"]),
        "source": ["web", None],
        "owner": ["Ann", "Bob"],
        "extra": [1, 2],
    }
)


def read(company: Company = PARIS, **frames):
    opened = connection()
    reading = read_frames(frames, company, opened)
    return reading, {name: rows(opened, stored) for name, stored in reading.tables.items()}


def relation(frame: pd.DataFrame) -> duckdb.DuckDBPyRelation:
    return duckdb.connect().from_df(frame)


@pytest.mark.parametrize(
    "form",
    [lambda f: f, pl.from_pandas, lambda f: pa.Table.from_pandas(f), relation, "parquet"],
    ids=["pandas", "polars", "arrow", "duckdb", "parquet"],
)
def test_every_kind_of_frame_reads_alike(form, tmp_path):
    if form == "parquet":
        FRAME.to_parquet(tmp_path / "leads.parquet")
        given = tmp_path / "leads.parquet"
    else:
        given = form(FRAME)
    reading, tables = read(leads=given)
    assert column(tables["leads"], "created_at") == [datetime.datetime(2026, 3, 2, 9), datetime.datetime(2026, 7, 2, 9)]
    assert column(tables["leads"], "source") == ["web", None]
    assert list(tables["leads"][0]) == schema.TABLES["leads"].names
    assert reading.precision == {("leads", "created_at"): "second"}
    assert reading.provided["leads"] == {"lead_id", "created_at", "source", "owner"}
    assert reading.inputs == []
    assert ("unused columns", "extra") in set(zip(reading.decisions["decision"], reading.decisions["value"], strict=True))


def test_frames_are_not_altered():
    before = FRAME.copy(deep=True)
    read(leads=FRAME)
    pd.testing.assert_frame_equal(FRAME, before)


def test_a_relation_of_the_same_connection():
    opened = connection()
    reading = read_frames({"leads": opened.from_df(FRAME)}, PARIS, opened)
    assert len(rows(opened, reading.tables["leads"])) == 2


def test_zoned_instants_become_utc_and_naive_ones_are_utc():
    zoned = FRAME.assign(created_at=FRAME["created_at"].dt.tz_localize("America/New_York"))
    assert column(read(leads=zoned)[1]["leads"], "created_at") == [datetime.datetime(2026, 3, 2, 14), datetime.datetime(2026, 7, 2, 13)]
    midnight = FRAME.assign(created_at=pd.to_datetime(["2026-03-02", "2026-03-03"]))
    reading, tables = read(leads=midnight)
    assert reading.precision["leads", "created_at"] == "second"
    assert column(tables["leads"], "created_at")[0] == datetime.datetime(2026, 3, 2)


def test_dates_are_local_midnights_of_the_company():
    dated = FRAME.assign(created_at=[datetime.date(2026, 3, 2), datetime.date(2026, 7, 2)])
    reading, tables = read(leads=dated)
    assert reading.precision["leads", "created_at"] == "day"
    assert column(tables["leads"], "created_at") == [datetime.datetime(2026, 3, 1, 23), datetime.datetime(2026, 7, 1, 22)]
    text = FRAME.assign(created_at=["2026-03-02", "2026-07-02"])
    assert read(leads=text)[0].precision["leads", "created_at"] == "day"


def test_ids_that_pandas_made_floats_stay_ids():
    orders = pd.DataFrame(
        {"order_id": [1, 2, 3], "customer_id": [17850.0, 7.0, np.nan], "at": pd.Timestamp("2026-01-01 10:00"), "amount": [1.0, np.nan, 3.0]}
    )
    customers = pd.DataFrame({"customer_id": [17850]})
    reading, tables = read(orders=orders, customers=customers)
    assert [(row["order_id"], row["customer_id"], row["currency"]) for row in tables["orders"]] == [("1", "17850", "CHF")]
    assert reasons(reading) == {"empty amount": 1, "empty customer_id": 1}


def test_parents_are_read_before_their_children():
    orders = pd.DataFrame({"order_id": ["1", "2"], "customer_id": ["C1", "C9"], "at": pd.Timestamp("2026-01-01 10:00"), "amount": [1.0, 2.0]})
    reading, tables = read(orders=orders, customers=pd.DataFrame({"customer_id": ["C1"]}))
    assert list(reading.tables) == ["customers", "orders"]
    assert column(tables["orders"], "customer_id") == ["C1"]
    assert reasons(reading) == {"customer_id of no known record": 1}


def test_empty_frames_are_tables_without_rows():
    reading, tables = read(leads=FRAME.iloc[:0])
    assert tables == {"leads": []}
    assert reading.ledger.to_dict("records") == [{"table": "leads", "found": 0, "used": 0, "set_aside": 0, "reason": "", "amount": None}]


def test_no_frames_at_all():
    reading, tables = read()
    assert tables == {}
    assert list(reading.ledger.columns) == ["table", "found", "used", "set_aside", "reason", "amount"]


def test_categories_and_missing_values_of_every_kind():
    frame = FRAME.assign(source=pd.Categorical(["web", "fair"]), owner=[None, pd.NA], assigned_at=[pd.NaT, pd.Timestamp("2026-07-02 10:00")])
    tables = read(leads=frame)[1]
    assert column(tables["leads"], "source") == ["web", "fair"]
    assert column(tables["leads"], "owner") == [None, None]
    assert column(tables["leads"], "assigned_at") == [None, datetime.datetime(2026, 7, 2, 10)]


@pytest.mark.parametrize(
    ("frames", "error", "message"),
    [
        ({"lead": FRAME}, SchemaError, "there is no table 'lead'; did you mean 'leads'?"),
        ({"leads": FRAME.drop(columns="owner")}, SchemaError, "leads lacks owner; leads frame has ['lead_id',"),
        ({"leads": [1, 2]}, DataError, "leads is a list; give a pandas, Polars, Arrow or Spark frame"),
        ({"leads": "leads.csv"}, DataError, "leads = 'leads.csv' is no Parquet file"),
        ({"leads": FRAME.assign(owner=[1, "x"])}, DataError, "the leads frame cannot be read"),
    ],
)
def test_refusals(frames, error, message):
    with pytest.raises(error) as raised:
        read_frames(frames, PARIS, connection())
    assert message in str(raised.value)


def test_two_readings_share_a_connection():
    opened = connection()
    first = read_frames({"leads": FRAME}, PARIS, opened)
    second = read_frames({"leads": FRAME.iloc[:1]}, PARIS, opened)
    assert [len(rows(opened, reading.tables["leads"])) for reading in (first, second)] == [2, 1]
