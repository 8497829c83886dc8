"""Every record that a metric counts, or not, and why: the counts of the ledger are those of the metric."""

from __future__ import annotations

from datetime import date

import pandas as pd
import pytest
from companies import answering, dataset, deal, first_quick, lead, random_data, selling, story, table, touch, utc

import kpi
from kpi import facts, pipeline, record_ledger, response_time, retention
from kpi.errors import MissingTable, ParameterError
from kpi.periods import Month, Window

SPRING = Window(date(2026, 2, 1), date(2026, 5, 1))


@pytest.fixture(scope="module")
def sample(root):
    return kpi.load(root / "data" / "sample")


def month_of(as_of: str) -> Month:
    return Month.parse(as_of[:7]).previous


def matched(table: pd.DataFrame) -> pd.DataFrame:
    """Of all refunds, those whose sale is known."""
    return table.head(1).assign(n_events=table.loc[table["match"] != "none", "n_events"].sum())


METRICS = {
    "response.answered_within": (
        lambda data, as_of, at: response_time.answered_within(data, as_of=as_of, window=month_of(as_of).window, horizons=(at,)),
        (300, 3600, 86_400),
    ),
    "response.never_answered": (
        lambda data, as_of, at: response_time.never_answered(data, as_of=as_of, window=month_of(as_of).window, older_than=at),
        (86_400,),
    ),
    "pipeline.lead_to_opportunity": (lambda data, as_of, at: pipeline.lead_to_opportunity(data, as_of=as_of, horizons=(at,)), (30, 180)),
    "pipeline.lead_to_customer": (lambda data, as_of, at: pipeline.lead_to_customer(data, as_of=as_of, horizons=(at,)), (90, 365)),
    "pipeline.opportunity_to_customer": (lambda data, as_of, at: pipeline.opportunity_to_customer(data, as_of=as_of, horizons=(at,)), (30, 365)),
    "pipeline.closed_win_rate": (lambda data, as_of, at: pipeline.closed_win_rate(data, as_of=as_of), (0,)),
    "pipeline.won_value": (lambda data, as_of, at: pipeline.won(data, as_of=as_of, window=month_of(as_of).window, measure="value"), (0,)),
    "retention.active": (lambda data, as_of, at: retention.active_customers(data, as_of=as_of, months=1), (0,)),
    "retention.kept": (lambda data, as_of, at: retention.retention_rate(data, as_of=as_of, months=1), (0,)),
    "retention.refunds": (lambda data, as_of, at: matched(retention.refunds(data, as_of=as_of)), (0,)),
    "retention.repeat_purchase": (lambda data, as_of, at: retention.repeat_purchase(data, as_of=as_of, horizons=(at,)), (30, 365)),
}  # fmt: skip


def holds(data, key: str, as_of: str) -> None:
    metric, horizons = METRICS[key]
    for horizon in horizons:
        row, rows = metric(data, as_of, horizon).iloc[0], kpi.ledger(data, key, as_of=as_of, horizon=horizon or None)
        counts = {"n": rows["in"].sum(), "n_events": (rows["role"] == "event").sum(), "n_open": (rows["role"] == "censored").sum()}
        assert {name: counts[name] for name in counts if pd.notna(row[name])} == {name: row[name] for name in counts if pd.notna(row[name])}, horizon
        assert set(rows["role"]) <= {"event", "censored", "denominator", "out"}
        assert (rows["reason"][rows["role"] == "out"] != "").all()
        assert not rows.loc[rows["role"] == "out", "in"].any()
        named = rows[rows.columns[0]].dropna()
        assert named.is_unique and len(named) >= counts["n"]


def test_every_key_is_tested():
    assert set(METRICS) == set(record_ledger.RECORDS)


@pytest.mark.parametrize("as_of", ["2026-11-01", *(pytest.param(as_of, marks=pytest.mark.slow) for as_of in ("2024-03-01", "2025-07-01"))])
@pytest.mark.parametrize("key", first_quick(METRICS, 6))
def test_counts_are_those_of_the_metric_on_the_sample(sample, key, as_of):
    holds(sample, key, as_of)


@pytest.mark.parametrize("key", first_quick([key for key in METRICS if not key.startswith("retention")], 3))
def test_counts_are_those_of_the_metric_on_random_companies(key):
    for as_of in ("2026-05-01", "2026-07-01"):
        holds(random_data(1), key, as_of)


@pytest.mark.parametrize("key", ["pipeline.lead_to_opportunity", "pipeline.opportunity_to_customer"])
def test_cohorts_too(key):
    data = random_data(1)
    metric = getattr(pipeline, key.removeprefix("pipeline."))
    row = metric(data, as_of="2026-06-01", window=SPRING, view="cohort", horizons=(30,)).iloc[0]
    rows = kpi.ledger(data, key, as_of="2026-06-01", window=SPRING, horizon=30, view="cohort")
    assert [rows["in"].sum(), (rows["role"] == "event").sum(), (rows["role"] == "censored").sum()] == row[["n", "n_events", "n_open"]].tolist()


def test_won_value_is_the_sum_of_its_events(sample):
    month = Month.parse("2026-10")
    rows = kpi.ledger(sample, "pipeline.won_value", as_of="2026-11-01")
    deals = kpi.engine.collect(facts.opportunities(sample, sample.as_of(month)).select("opportunity_id", "amount"))
    events = deals[deals["opportunity_id"].isin(rows["opportunity_id"][rows["role"] == "event"])]
    assert events["amount"].sum() == pytest.approx(pipeline.won(sample, as_of="2026-11-01", window=month.window, measure="value")["value"].item())


def test_customers_kept_are_those_of_the_account_of_their_number(sample):
    same = {"as_of": "2026-11-01", "months": 6, "span": 3}
    account, kept = retention.net_customer_growth(sample, **same), retention.retention_rate(sample, **same)
    assert kept["n"].tolist() == account["start"].tolist()
    assert kept["n_events"].tolist() == (account["start"] - account["lost"]).tolist()


def test_reasons_by_hand():
    leads = [
        lead("A", "2026-03-02 10:00"),
        lead("B", "2026-03-02 11:00", merged_into="A"),
        lead("C", "2026-03-03 10:00", deleted_at=utc("2026-03-04 09:00")),
        lead("D", "2026-03-04 10:00"),
        lead("E", "2026-02-28 10:00"),
        lead("F", "2026-05-02 10:00"),
        lead("G", "2026-03-31 23:00"),
        lead("D", "2026-03-05 10:00"),
    ]
    data = dataset(answering(leads, [touch("A", "2026-03-02 10:30"), touch("D", "2026-03-04 09:00")]))
    rows = kpi.ledger(data, "response.answered_within", as_of="2026-04-01", window=Window(date(2026, 3, 1), date(2026, 4, 1)))
    assert rows[["lead_id", "in", "role", "reason"]].fillna("").to_numpy().tolist() == [
        ["A", True, "event", ""],
        ["B", False, "out", "part of another inquiry"],
        ["C", False, "out", "deleted"],
        ["D", False, "out", "touched before the inquiry"],
        ["E", False, "out", "outside the window"],
        ["F", False, "out", "after the date"],
        ["G", True, "censored", ""],
        ["", False, "out", "duplicate key"],
    ]
    assert rows["row"].tolist()[-1] == 8
    assert kpi.ledger(data, "response.never_answered", as_of="2026-04-01")["reason"].tolist()[6] == "too young to tell"


def test_reasons_of_deals_by_hand():
    deals = [
        deal("A", "2026-03-02", "won", "2026-03-20"),
        deal("B", "2026-03-02", "lost", "2026-03-21"),
        deal("C", "2026-03-02"),
        deal("D", None, "won", "2026-03-22", amount=None),
        deal("E", "2026-03-02", "won", "2026-06-20"),
        deal("F", "2026-06-02"),
        deal("G", "2025-10-01", "won", "2025-11-20"),
        deal("H", "2026-03-05", "won", "2026-03-25", currency="USD"),
    ]
    data = dataset(selling(deals))
    told = {
        key: dict(zip(rows["opportunity_id"], rows["role"] + ": " + rows["reason"], strict=True))
        for key in ("pipeline.closed_win_rate", "pipeline.opportunity_to_customer", "pipeline.won_value")
        for rows in [kpi.ledger(data, key, as_of="2026-04-01")]
    }
    later = {"E": "censored: ", "F": "out: after the date", "G": "out: outside the window"}
    closed = {"A": "event: ", "B": "denominator: ", "C": "censored: still open", "D": "event: ", "H": "event: "}
    assert told["pipeline.closed_win_rate"] == closed | later | {"E": "censored: still open"}
    won = {"A": "event: ", "B": "denominator: ", "C": "censored: ", "D": "out: no creation date", "H": "event: "}
    assert told["pipeline.opportunity_to_customer"] == won | later
    unpriced = "denominator: no amount, or no rate for its currency"
    assert told["pipeline.won_value"] == later | {
        "A": "event: ",
        "B": "out: lost",
        "C": "out: still open",
        "D": unpriced,
        "H": unpriced,
        "E": "out: still open",
    }


def test_refusals():
    data = dataset(selling([deal("A", "2026-03-02")], story("A", ("2026-03-02", "Qualified", "open"))))
    with pytest.raises(ParameterError, match=r"'pipeline.open' has no ledger; those that have one are response\.answered_within, .*repeat_purchase"):
        kpi.ledger(data, "pipeline.open", as_of="2026-04-01")
    with pytest.raises(ParameterError, match="view 'snapshot' is unknown"):
        kpi.ledger(data, "pipeline.opportunity_to_customer", as_of="2026-04-01", view="snapshot")
    with pytest.raises(MissingTable):
        kpi.ledger(data, "response.answered_within", as_of="2026-04-01")
    empty = dataset(selling([deal("A", "2026-06-02")]) | {"customers": table("customers", [{"customer_id": "C"}]), "orders": table("orders", [])})
    assert kpi.ledger(empty, "retention.kept", as_of="2026-07-01")["reason"].tolist() == ["no purchase"]
