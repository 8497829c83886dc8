"""Frames in, pandas out, and the same answer whichever engine: counts, types, order."""

from __future__ import annotations

import narwhals.stable.v2 as nw
import pandas as pd
import pytest
from companies import ENGINES, answering, dataset, lead, random_company, touch

from kpi import engine
from kpi.errors import ParameterError

FRAME = pd.DataFrame(
    {
        "owner": pd.Series(["Bob", "Ann", None, "Ann", "Bob"], dtype="str"),
        "amount": [1.0, None, 3.0, 4.0, 5.0],
        "day": pd.Series([5, 1, 3, 3, 5], dtype="int64"),
        "at": pd.to_datetime(["2026-01-01 00:00:00", None, "2026-01-02", "2026-01-03", "2026-01-04"], format="ISO8601").astype("datetime64[us]"),
        "known": pd.Series([True, False, None, True, None], dtype="boolean"),
    }
)


@pytest.fixture(params=ENGINES)
def place(request) -> engine.Engine:
    return engine.Engine(engine.connect(), request.param)


def test_unknown_engine():
    with pytest.raises(ParameterError, match="engine 'pandas' is unknown; use one of duckdb, polars, spark"):
        engine.Engine(engine.connect(), "pandas")
    with pytest.raises(ParameterError, match="engine 'dask' is unknown"):
        dataset(answering([lead("L1", "2026-03-02 09:00")], [touch("L1", "2026-03-02 10:00")]), "dask")


def test_collect_sorts_and_types(place):
    before = FRAME.copy(deep=True)
    answer = engine.collect(place.put(FRAME), ["day", "owner"])
    assert answer["day"].tolist() == [1, 3, 3, 5, 5]
    assert answer["owner"].isna().tolist() == [False, False, True, False, False]
    assert {name: str(kind) for name, kind in answer.dtypes.items()} == {
        "owner": "str",
        "amount": "float64",
        "day": "int64",
        "at": "datetime64[us]",
        "known": "object",
    }
    pd.testing.assert_frame_equal(FRAME, before)


def test_whole_numbers_with_gaps_stay_whole(place):
    frame = place.put(FRAME).select("day", nw.when(nw.col("day") > 2).then(nw.col("day")).alias("late"), (nw.col("day") * 0 + 2**53 + 1).alias("big"))
    answer = engine.collect(frame, ["day"])
    assert str(answer["late"].dtype) == "Int64"
    assert answer["late"].isna().tolist() == [True, False, False, False, False]
    assert answer["big"].tolist() == [2**53 + 1] * 5


def test_counts_take_unknown_as_not_met(place):
    frame = place.put(FRAME)
    answer = engine.counts(frame, [], n=nw.lit(True), dear=nw.col("amount") > 2, known=nw.col("known"))
    assert answer.to_dict("records") == [{"n": 5, "dear": 3, "known": 2}]
    by_owner = engine.counts(frame, ["owner"], n=nw.lit(True), dear=nw.col("amount") > 2)
    assert by_owner["n"].tolist() == [2, 2, 1]
    assert by_owner["dear"].tolist() == [1, 1, 1]
    assert by_owner["owner"].tolist()[:2] == ["Ann", "Bob"]


def test_counts_of_nothing_are_zero(place):
    nothing = place.put(FRAME).filter(nw.col("day") > 99)
    assert engine.counts(nothing, [], n=nw.lit(True)).to_dict("records") == [{"n": 0}]
    empty = engine.counts(nothing, ["owner"], n=nw.lit(True))
    assert (list(empty.columns), len(empty)) == (["owner", "n"], 0)
    assert len(engine.sizes(nothing, ["owner"])) == 0


def test_sizes_and_groups(place):
    frame = engine.grouped(place.put(FRAME), {"who": "owner", "when": "day"}, ["when"])
    assert engine.sizes(frame, ["when"], "n").to_dict("list") == {"when": [1, 3, 5], "n": [1, 2, 2]}
    assert engine.grouped(frame, {"who": "owner"}, []) is frame


def test_kept_rows_are_the_same_rows(place):
    frame = place.put(FRAME).filter(nw.col("day") > 1).with_columns((nw.col("day") + 1).alias("next"))
    pd.testing.assert_frame_equal(engine.collect(place.keep(frame), ["next", "amount"]), engine.collect(frame, ["next", "amount"]))


def test_zoned_columns_are_read_as_utc():
    connection = engine.connect()
    assert connection.execute("select ('2026-08-01 09:00:00+02'::timestamptz)::timestamp").fetchone()[0] == pd.Timestamp("2026-08-01 07:00")


@pytest.mark.parametrize("name", ENGINES)
def test_input_frames_are_not_altered(name):
    tables = random_company(5, n_leads=15, n_deals=15)
    before = {key: frame.copy(deep=True) for key, frame in tables.items()}
    dataset(tables, name)
    for key, frame in tables.items():
        pd.testing.assert_frame_equal(frame, before[key])
