"""Pushes, stale deals, moves, reasons, velocity and coverage: worked by hand, and what must not matter."""

from __future__ import annotations

from datetime import date

import pandas as pd
import pytest
from companies import as_it_was, dataset, deal, random_company, random_data, selling, story, table, utc

from kpi import pipeline
from kpi.errors import MissingTable, ParameterError
from kpi.periods import Window


def due(rows: list[dict], *days: str | None) -> list[dict]:
    return [row | {"expected_close_on": None if day is None else pd.Timestamp(day)} for row, day in zip(rows, days, strict=True)]


def counted(result: pd.DataFrame, *columns: str) -> list:
    return result[list(columns)].to_numpy().tolist()


def test_pushes_by_hand():
    state = ("Qualified", "open")
    told = [
        *due(story("twice", ("2026-02-01", *state), ("2026-03-02", *state), ("2026-03-03", *state)), "2026-03-31", "2026-04-30", "2026-05-01"),
        *due(story("same month", ("2026-02-01", *state), ("2026-03-02", *state)), "2026-03-01", "2026-03-31"),
        *due(story("earlier", ("2026-02-01", *state), ("2026-03-02", *state)), "2026-03-31", "2026-02-28"),
        *due(story("too new", ("2026-03-01 09:00", *state), ("2026-03-02", *state)), "2026-03-31", "2026-04-30"),
        *due(story("before", ("2026-02-01", *state), ("2026-02-27", *state)), "2026-03-31", "2026-04-30"),
        *due(story("never told", ("2026-02-01", *state), ("2026-03-02", *state)), None, "2026-04-30"),
    ]
    deals = [deal(row, "2026-02-01") for row in {row["opportunity_id"]: 0 for row in told}]
    deals = [row | {"created_at": utc("2026-03-01 09:00")} if row["opportunity_id"] == "too new" else row for row in deals]
    found = pipeline.pushes(dataset(selling(deals, told)), as_of="2026-04-01", window=Window(date(2026, 3, 1), date(2026, 4, 1)))
    assert counted(found, "horizon", "n", "n_events") == [[1, 5, 1], [2, 5, 1], [3, 5, 0]]
    assert found["value"].tolist() == [0.2, 0.2, 0]


def ageing() -> dict[str, pd.DataFrame]:
    """20 winners who were 1 to 20 days in the first stage, and two open deals, 18 and 19 days in it."""
    deals, told = [], []
    for days in range(1, 21):
        won = f"2026-02-{days + 1:02d} 10:00"
        deals.append(deal(f"W{days:02d}", "2026-02-01 10:00", "won", won, 100.0))
        told += story(f"W{days:02d}", ("2026-02-01 10:00", "Qualified", "open"), (won, "Won", "won"))
    for key, start in (("fresh", "2026-03-13 10:00"), ("stale", "2026-03-12 10:00")):
        deals.append(deal(key, start, amount=50.0))
        told += story(key, (start, "Qualified", "open", 50.0))
    return selling(deals, told)


def test_stale_by_hand():
    data = dataset(ageing())
    limits = pipeline.stale_limits(data, as_of="2026-04-01")
    assert limits["limit"].tolist()[0] == 18  # 18 of 20 winners were there 18 days at most
    assert limits["limit"].isna().tolist() == [False, True, True]
    assert limits["n"].tolist() == [20, 0, 0]
    assert counted(pipeline.stale_deals(data, as_of="2026-04-01"), "opportunity_id", "stage", "days", "amount") == [["stale", "Qualified", 19, 50]]
    found = pipeline.stale(data, as_of="2026-04-01")
    assert counted(found, "stage", "n", "n_events") == [["Qualified", 2, 1], ["Proposal", 0, 0], ["Negotiation", 0, 0]]
    assert found["value"].tolist()[0] == 0.5
    assert pipeline.stale_limits(data, as_of="2026-02-10")["limit"].isna().all()  # too few winners yet
    with pytest.raises(ParameterError, match="inside"):
        pipeline.stale_limits(data, as_of="2026-04-01", quantile=90)


def test_moves_by_hand():
    told = [
        *story("a", ("2026-03-01", "Qualified", "open"), ("2026-03-02", "Negotiation", "open"), ("2026-03-03", "Proposal", "open")),
        *story("b", ("2026-03-01", "Qualified", "open"), ("2026-03-02", "Proposal", "open"), ("2026-03-05", "Lost", "lost")),
        *story("c", ("2026-01-01", "Lost", "lost"), ("2026-03-02", "Qualified", "open"), ("2026-03-06", "Won", "won")),
        *story("d", ("2026-02-01", "Qualified", "open")),
    ]
    data = dataset(selling([deal(key, "2026-01-01") for key in "abcd"], told))
    assert counted(pipeline.stage_moves(data, as_of="2026-04-01"), "move", "value", "n") == [
        ["back", 1, 4],
        ["forward", 1, 4],
        ["reopened", 1, 4],
        ["skipped", 1, 4],
    ]
    flow = pipeline.stage_flow(data, as_of="2026-04-01")
    seen = flow[flow["n_events"] > 0]
    assert sorted(counted(seen, "stage", "move", "n_events", "n")) == [
        ["Negotiation", "back", 1, 1],
        ["Proposal", "lost", 1, 2],
        ["Proposal", "open", 1, 2],
        ["Qualified", "forward", 1, 4],
        ["Qualified", "open", 1, 4],
        ["Qualified", "skipped", 1, 4],
        ["Qualified", "won", 1, 4],
    ]


def test_flow_adds_up():
    data = random_data(5)
    flow = pipeline.stage_flow(data, as_of="2026-05-01")
    assert (flow.groupby("stage")["n_events"].sum() == flow.groupby("stage")["n"].first()).all()
    still = flow[flow["move"] == "open"].set_index("stage")["n_events"]
    there = pipeline.open_pipeline(data, as_of="2026-05-01").set_index("stage")["n"]
    assert {stage: n for stage, n in still.items() if n} == {stage: n for stage, n in there.items() if stage in still.index}


def test_direct_conversion_leaves_out_who_passed_over():
    told = [
        *story("a", ("2026-03-01", "Qualified", "open"), ("2026-03-05", "Negotiation", "open")),
        *story("b", ("2026-03-01", "Qualified", "open"), ("2026-03-05", "Proposal", "open"), ("2026-03-05", "Negotiation", "open")),
        *story("c", ("2026-03-01", "Qualified", "open"), ("2026-03-05", "Proposal", "open")),
    ]
    told[4]["changed_at"] += pd.Timedelta(seconds=5)
    data = dataset(selling([deal(key, "2026-03-01") for key in "abc"], told))
    assert pipeline.stage_conversion(data, as_of="2026-04-01")["value"].tolist()[0] == 1
    assert pipeline.stage_conversion(data, as_of="2026-04-01", direct=True)["value"].tolist()[0] == pytest.approx(2 / 3)


LOST = [
    deal("a", "2026-02-01", "won", "2026-03-01", 300.0, lost_reason=None),
    deal("b", "2026-02-01", "lost", "2026-03-01", 600.0, lost_reason="price"),
    deal("c", "2026-02-01", "lost", "2026-03-01", 100.0, lost_reason="price"),
    deal("d", "2026-02-01", "lost", "2026-03-01", None, lost_reason="price"),
    deal("e", "2026-02-01", "lost", "2026-03-01", 300.0, lost_reason=None),
]


def test_loss_reasons_by_hand():
    data = dataset(selling(LOST))
    found = pipeline.loss_reasons(data, as_of="2026-04-01")
    assert counted(found, "reason", "value", "n", "n_events", "amount") == [["(blank)", 0.25, 4, 1, 300], ["price", 0.75, 4, 3, 700]]
    found = pipeline.loss_reasons(data, as_of="2026-04-01", weight="amount")
    assert counted(found, "reason", "value") == [["(blank)", 0.3], ["price", 0.7]]
    assert (found["low"] <= found["value"]).all()


def test_win_rate_by_amount_by_hand():
    data = dataset(selling(LOST))
    found = pipeline.closed_win_rate(data, as_of="2026-04-01", weight="amount").iloc[0]
    assert (found["value"], found["n"], found["kpi"]) == (pytest.approx(300 / 1300), 5, "pipeline.closed_win_rate_by_amount")
    assert found["low"] <= found["value"] <= found["high"]
    by = pipeline.closed_win_rate(data, as_of="2026-04-01", weight="amount", by="owner")
    assert counted(by, "owner", "n") == [["Ann", 5]]
    for metric in (pipeline.closed_win_rate, pipeline.loss_reasons):
        with pytest.raises(ParameterError, match="use count or amount"):
            metric(data, as_of="2026-04-01", weight="value")


def test_velocity_is_the_product_of_its_factors_and_effects_add_up(sample):
    found = pipeline.sales_velocity(sample, as_of="2026-11-01").set_index("factor")
    value = found["value"]
    assert value["velocity"] == pytest.approx(value["open_deals"] * value["win_incidence"] * value["average_won_value"] / value["days_to_win"])
    assert found["effect"].iloc[1:].sum() == pytest.approx(value["velocity"] - found["past"]["velocity"])
    assert found["effect"]["velocity"] == pytest.approx(found["effect"].iloc[1:].sum())
    assert found["low"]["velocity"] < value["velocity"] < found["high"]["velocity"]
    early = pipeline.sales_velocity(sample, as_of="2024-06-01")
    assert early["past"].isna().all()


def test_weighted_pipeline_is_amount_times_chance(sample):
    found = pipeline.weighted_pipeline(sample, as_of="2026-11-01")
    chance = pipeline.won_from_stage(sample, as_of="2026-11-01").set_index("stage")["value"]
    assert found["value"].tolist() == [pytest.approx(row.amount * chance[row.stage]) for row in found.itertuples()]
    assert chance.is_monotonic_increasing  # the further, the likelier
    assert (found["low"] < found["value"]).all()


def test_coverage_by_hand():
    deals = [
        deal("a", "2026-02-01", amount=400.0, expected_close_on=pd.Timestamp("2026-06-30")),
        deal("b", "2026-02-01", amount=100.0, expected_close_on=pd.Timestamp("2026-07-01")),
        deal("c", "2026-02-01", "won", "2026-04-10", 300.0, expected_close_on=pd.Timestamp("2026-04-10")),
        deal("d", "2026-02-01", "won", "2026-03-31", 300.0, expected_close_on=pd.Timestamp("2026-04-10")),
    ]
    goals = [{"month": f"2026-{month:02d}", "measure": "won_value", "amount": 250.0} for month in (4, 5, 6, 7, 8)]
    data = dataset(selling(deals) | {"targets": table("targets", goals)})
    found = pipeline.coverage(data, as_of="2026-05-01")
    # 400 of the second quarter are open; 750 were wanted, 300 are won.
    assert counted(found, "value", "n", "open_amount", "target", "won") == [[pytest.approx(400 / 450), 1, 400, 750, 300]]
    assert pipeline.coverage(data, as_of="2026-03-31")["value"].isna().all()  # no targets for the first quarter
    with pytest.raises(MissingTable, match="targets"):
        pipeline.coverage(dataset(selling(deals)), as_of="2026-05-01")


def everything(data, as_of: str) -> list[pd.DataFrame]:
    metrics = (pipeline.stale, pipeline.stale_deals, pipeline.stage_moves, pipeline.stage_flow, pipeline.won_from_stage, pipeline.weighted_pipeline)
    return [metric(data, as_of=as_of) for metric in metrics] + [
        pipeline.closed_win_rate(data, as_of=as_of, weight="amount", by="owner"),
        pipeline.stage_conversion(data, as_of=as_of, direct=True),
        pipeline.sales_velocity(data, as_of=as_of, past="2026-04-01"),
    ]


@pytest.mark.slow
def test_engines_agree():
    for one, other in zip(everything(random_data(1), "2026-05-01"), everything(random_data(1, "polars"), "2026-05-01"), strict=True):
        pd.testing.assert_frame_equal(one, other)


@pytest.mark.slow
def test_nothing_after_as_of_matters():
    then = dataset(as_it_was(random_company(2), utc("2026-05-01")))
    for one, other in zip(everything(then, "2026-05-01"), everything(random_data(2), "2026-05-01"), strict=True):
        pd.testing.assert_frame_equal(one, other)
