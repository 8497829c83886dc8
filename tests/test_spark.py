"""PySpark as the third engine: the same functions, the same numbers; tables that are on Spark are checked there, under the same rules."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pytest
import replay
from companies import ZONE, answering, dataset, deal, lead, random_company, random_data, selling, story, table, touch, utc
from test_late_entry import CUT, since
from test_waterfall import CASES, DATES, histories, replayed, worlds

import kpi
from kpi import facts, pipeline
from kpi.engine import collect
from kpi.errors import ParameterError, SchemaError
from tests import simulated

pytestmark = pytest.mark.slow
LEADS = [lead("L1", "2026-03-02 09:00"), lead("L2", "2026-03-29 03:00", owner=None), lead("L3", "2026-05-02 23:30", source=" fair ")]


@pytest.fixture
def there(spark):
    """Tables brought to Spark, with the types they have here."""

    def bring(tables: dict[str, pd.DataFrame]) -> dict[str, object]:
        return {name: spark.createDataFrame(pa.Table.from_pandas(frame, preserve_index=False)) for name, frame in tables.items()}

    return bring


def ids(data: kpi.Dataset, name: str, column: str) -> list[str]:
    return collect(data.table(name).select(column), [column])[column].tolist()


# --- the same numbers


@pytest.fixture(scope="module")
def told(spark):
    frames = {name: spark.createDataFrame(pa.Table.from_pandas(frame, preserve_index=False)) for name, frame in replay.frames(*histories()).items()}
    return dataset(frames, None)


@pytest.mark.parametrize("case", CASES)
def test_a_thousand_histories_balance_as_on_the_other_engines(told, case):
    options = {"window": (replay.START, replay.END), "as_of": replay.END, "by": "source", **CASES[case]}
    found = pipeline.waterfall(told, **options)
    assert told.engine.name == "spark"
    for row in found.itertuples():
        assert (round(row.value * 100), row.deals) == tuple(replayed(case)[row.source].get(row.step, [0, 0])), (row.source, row.step)
    pd.testing.assert_frame_equal(found, pipeline.waterfall(worlds(), **options), check_exact=True)


def test_snapshots_are_those_of_the_other_engines(told):
    found = pipeline.snapshots(told, dates=DATES, by="source")
    pd.testing.assert_frame_equal(found, pipeline.snapshots(worlds(), dates=DATES, by="source"))


@pytest.mark.parametrize("name", ["leads", "opportunities", "states", "visits", "reached"])
def test_facts_of_a_random_company_are_those_of_the_other_engines(crowd, name):
    """Persons who ask twice, merged leads, reopened deals: what the sample has little of."""
    found, expected = (collect(getattr(facts, name)(data, utc("2026-05-01"))) for data in (crowd, random_data(3)))
    columns = sorted(expected.columns)
    found, expected = (frame[columns].sort_values(columns, ignore_index=True) for frame in (found, expected))
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)


@pytest.fixture(scope="module")
def crowd(spark):
    return dataset(random_company(3), "spark")


def test_tables_read_here_are_computed_there(crowd):
    data, other = crowd, random_data(3)
    assert data.engine.name == "spark"
    pd.testing.assert_frame_equal(data.row_ledger, other.row_ledger)
    for by in ("stage", "source"):
        found, expected = (pipeline.open_pipeline(one, as_of="2026-05-01", by=by) for one in (data, other))
        pd.testing.assert_frame_equal(found, expected)


def test_a_spark_frame_may_be_brought_here(there):
    tables = answering(LEADS, [touch("L1", "2026-03-02 10:00")])
    data = dataset(there(tables), "duckdb")
    assert (data.engine.name, ids(data, "leads", "lead_id")) == ("duckdb", ["L1", "L2", "L3"])


# --- the same rules at the door


def faulty() -> dict[str, pd.DataFrame]:
    """Every fault that a typed column can have."""
    deals = [deal("A", "2026-02-01"), deal("B", "2026-02-01", "won", "2026-01-01"), deal("", "2026-02-01"), deal("C", "2026-02-01", currency=None)]
    deals += [deal("D", "2026-02-01"), deal("E", None), deal("F", "0202-02-01"), deal("A", "2026-02-03")]
    deals += [deal(" G ", "2026-02-01", amount=float("nan")), deal("H", "2026-02-01", amount=float("inf"))]
    deals[4]["status"], deals[5]["status"] = "OPEN", "maybe"
    deals += [deal("1.5E+11", "2026-02-01"), deal("#N/A", "2026-02-01"), deal("7E12", "2026-02-01", lead_id="NULL")]
    states = [("2026-02-01 10:00", "Qualified", "open"), ("2026-02-02 10:00", "Proposal", "open")]
    history = [*story("A", *states), *story("B", *states), *story("nobody", *states), *story("A", states[0])]
    return selling(deals, history) | answering([*LEADS, LEADS[0]], [touch("L1", "2026-03-02 10:00"), touch("L2", "2026-04-02 10:00", kind="fax")])


def test_rows_are_set_aside_for_the_same_reasons(there):
    tables = faulty()
    data, other = dataset(there(tables), None), dataset(tables)
    assert data.engine.name == "spark"
    keys = ["table", "reason"]
    pd.testing.assert_frame_equal(*(one.row_ledger.sort_values(keys, ignore_index=True) for one in (data, other)))
    assert len(data.row_ledger) > 12
    for name, key in (
        ("leads", "lead_id"),
        ("opportunities", "opportunity_id"),
        ("opportunity_history", "opportunity_id"),
        ("activities", "activity_id"),
    ):
        assert ids(data, name, key) == ids(other, name, key)
    assert (data.provided, data.precision) == (other.provided, other.precision)
    assert data.set_aside["reason"].value_counts().to_dict() == other.set_aside["reason"].value_counts().to_dict()
    assert ("opportunity_history", "nobody") in set(zip(data.set_aside["table"], data.set_aside["value"], strict=True))
    pd.testing.assert_frame_equal(
        kpi.ledger(data, "pipeline.closed_win_rate", as_of="2026-05-01")[["in", "role", "reason"]].sort_values("reason", ignore_index=True),
        kpi.ledger(other, "pipeline.closed_win_rate", as_of="2026-05-01")[["in", "role", "reason"]].sort_values("reason", ignore_index=True),
    )


def test_a_repeated_key_is_used_once_whatever_the_order(there):
    rows = [lead("L1", "2026-03-02 09:00", source=source) for source in ("web", "fair", "phone")]
    for order in (rows, rows[::-1]):
        data = dataset(there({"leads": table("leads", order)}), None)
        assert collect(data.table("leads").select("lead_id", "source"))["source"].tolist() == ["fair"]


def test_frames_of_both_kinds_know_each_other(there):
    tables = selling([deal("A", "2026-02-01")], story("A", ("2026-02-01", "Qualified", "open")) + story("B", ("2026-02-01", "Qualified", "open")))
    own = tables.pop("opportunity_history")
    data = dataset(there(tables) | {"opportunity_history": own}, None)
    assert ids(data, "opportunity_history", "opportunity_id") == ["A"]
    assert data.row_ledger[data.row_ledger["table"] == "opportunity_history"]["set_aside"].tolist() == [0, 1]
    data = dataset(tables | there({"opportunity_history": own}), None)
    assert ids(data, "opportunity_history", "opportunity_id") == ["A"]


def test_instants_and_dates(spark):
    zoned = spark.sql("select 'L1' as Lead_Id, timestamp_ltz '2026-06-02 09:00:00+02:00' as created_at, date '2026-06-02' as assigned_at, 1 as more")
    data = dataset({"leads": zoned.selectExpr("*", "'web' as source", "'Ann' as owner")}, None)
    row = collect(data.table("leads").select("created_at", "assigned_at")).iloc[0]
    assert (row["created_at"], row["assigned_at"]) == (pd.Timestamp("2026-06-02 07:00"), pd.Timestamp("2026-06-01 22:00"))
    assert data.precision == {("leads", "created_at"): "second", ("leads", "assigned_at"): "day"}
    assert ("unused columns", "more") in set(zip(data.decisions["decision"], data.decisions["value"], strict=True))


def test_outcomes_recorded_late_are_found_there_too(there):
    tables = simulated.simulate(simulated.Company(leads=3000, existing=0, start="2024-11", end="2026-10", shocks=())).tables
    tables = {name: frame for name, frame in since(tables, CUT).items() if name in ("leads", "opportunities", "opportunity_history")}
    data, other = (kpi.Dataset(**frames, timezone=ZONE) for frames in (there(tables), tables))
    assert data.recorded_from("opportunities") is not None
    assert data.recorded_from("opportunities") == other.recorded_from("opportunities")
    pd.testing.assert_frame_equal(*(one.decisions.query("decision == 'recorded from'").reset_index(drop=True) for one in (data, other)))


def test_refusals(spark, there):
    leads = there({"leads": table("leads", LEADS)})["leads"]
    with pytest.raises(SchemaError, match="leads lacks owner; leads frame has"):
        dataset({"leads": leads.drop("owner")}, None)
    with pytest.raises(SchemaError, match="leads created_at is string on Spark; cast it to timestamp_ntz"):
        dataset({"leads": leads.withColumn("created_at", leads["created_at"].cast("string"))}, None)
    spark.conf.set("spark.sql.session.timeZone", "Europe/Paris")
    try:
        with pytest.raises(ParameterError, match=r"do first: spark.conf.set\('spark.sql.session.timeZone', 'UTC'\)"):
            dataset({"leads": leads}, None)
    finally:
        spark.conf.set("spark.sql.session.timeZone", "UTC")
