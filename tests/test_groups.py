"""Deals by size and other groups, the funnel, one rate for all dates, targets of a team: worked by hand, and relations that must hold."""

from __future__ import annotations

from datetime import date

import oracles
import pandas as pd
import pytest
from companies import (
    STAGES,
    ZONE,
    answering,
    as_it_was,
    dataset,
    deal,
    first_quick,
    lead,
    owners,
    random_company,
    random_data,
    selling,
    story,
    table,
    utc,
)

from kpi import pipeline
from kpi.errors import MissingTable, ParameterError
from kpi.periods import Window
from kpi.pipeline.deal_groups import size_bands

AS_OF = "2026-05-01"
SPRING = Window(date(2026, 2, 1), date(2026, 5, 1))
PLACES = {stage: place for stage, place, _ in STAGES}


def counted(result: pd.DataFrame, *columns: str) -> list:
    return result[list(columns)].astype(object).where(result[list(columns)].notna(), None).to_numpy().tolist()


# --- size

SOLD = [
    deal(f"D{number}", "2026-03-01", status, "2026-04-01" if status != "open" else None, amount)
    for number, (status, amount) in enumerate(
        [("won", 90.0), ("lost", 110.0), ("won", 480.0), ("won", 520.0), ("lost", 499.99), ("lost", 4900.0), ("open", 5100.0), ("won", None)]
    )
]


def test_bands_are_round_amounts_near_the_quarters():
    data = dataset(selling(SOLD))
    # 90 110 480 499.99 520 4900 5100: the quarters are 110, 499.99 and 4900
    assert size_bands(data, utc(AS_OF)) == [0, 100, 500, 5000]
    found = pipeline.closed_win_rate(data, as_of=AS_OF, by="size")
    assert counted(found, "size", "n", "n_events", "n_open") == [[0, 1, 1, 0], [100, 3, 1, 0], [500, 2, 1, 0], [5000, 0, 0, 1], [None, 1, 1, 0]]
    own = dataset(selling(SOLD), settings={"pipeline": {"size_bands": [500]}})
    assert counted(pipeline.closed_win_rate(own, as_of=AS_OF, by="size"), "size", "n") == [[0, 4], [500, 2], [None, 1]]
    assert counted(pipeline.open_pipeline(own, as_of=AS_OF, by="size"), "size", "n", "value") == [[500, 1, 5100]]
    edge = dataset(selling(SOLD), settings={"pipeline": {"size_bands": [520]}})  # the band begins with its lower end
    assert counted(pipeline.closed_win_rate(edge, as_of=AS_OF, by="size"), "size", "n") == [[0, 4], [520, 2], [None, 1]]


@pytest.mark.parametrize("amount", [None, 0.0])
def test_bands_without_amounts(amount):
    assert size_bands(dataset(selling([deal("x", "2026-03-01", amount=amount)])), utc(AS_OF)) == [0]


@pytest.mark.parametrize("bands", [[0, 5], [5, 5], ["5"], [True], "5", 5])
def test_bands_that_do_not_rise_are_refused(bands):
    with pytest.raises(ParameterError, match=r"\[pipeline\] size_bands = .*: give amounts above 0, each larger than the one before"):
        dataset(selling(SOLD), settings={"pipeline": {"size_bands": bands}})


@pytest.mark.parametrize("seed", [1, 2])
def test_sizes_against_the_definition(seed):
    """Every deal in the band of the amount last known, in the company's currency."""
    tables = random_company(seed)
    data = dataset(tables, settings={"pipeline": {"size_bands": [200, 1000]}})
    deals = oracles.deals_at(tables, utc(AS_OF).to_pydatetime(), ZONE)
    expected: dict = {}
    for row in deals:
        band = None if row["amount"] is None else max(end for end in (0, 200, 1000) if row["amount"] >= end)
        closed = row["closed"] is not None and SPRING.start <= row["closed"] < SPRING.end
        line = expected.setdefault(band, [0, 0, 0])
        line[0] += closed
        line[1] += closed and row["status"] == "won"
        line[2] += row["status"] == "open"
    found = pipeline.closed_win_rate(data, as_of=AS_OF, window=SPRING, by="size")
    assert {row[0]: row[1:] for row in counted(found, "size", "n", "n_events", "n_open")} == expected


# --- a group beside others is the group alone


def alone(tables: dict[str, pd.DataFrame], column: str, value: str) -> dict[str, pd.DataFrame]:
    deals = tables["opportunities"]
    return tables | {"opportunities": deals[deals[column] == value]}


METRICS = [
    (pipeline.average_value, {"status": "won"}),
    (pipeline.average_value, {"status": "open"}),
    (pipeline.sales_cycle, {}),
    (pipeline.time_in_stage, {}),
    (pipeline.stage_conversion, {}),
    (pipeline.funnel, {}),
    (pipeline.closed_win_rate, {"weight": "amount"}),
]


@pytest.mark.parametrize(("metric", "more"), first_quick(METRICS, 2))
def test_a_group_beside_others_is_the_group_alone(metric, more):
    beside = metric(random_data(3), as_of=AS_OF, by="source", **more)
    beside = beside[beside["source"] == "fair"].drop(columns="source").reset_index(drop=True)
    assert len(beside)
    pd.testing.assert_frame_equal(metric(dataset(alone(random_company(3), "source", "fair")), as_of=AS_OF, **more), beside)


def test_loss_reasons_by_group():
    tables = random_company(3)
    tables["opportunities"] = tables["opportunities"].assign(lost_reason=["price", "timing", None][:1] * len(tables["opportunities"]))
    tables["opportunities"].loc[::3, "lost_reason"] = "timing"
    for weight in ("count", "amount"):
        beside = pipeline.loss_reasons(dataset(tables), as_of=AS_OF, by=["source"], weight=weight)
        beside = beside[beside["source"] == "web"].drop(columns="source").reset_index(drop=True)
        assert len(beside)
        found = pipeline.loss_reasons(dataset(alone(tables, "source", "web")), as_of=AS_OF, weight=weight)
        pd.testing.assert_frame_equal(found, beside)


def test_a_won_deal_without_a_creation_date_has_no_cycle():
    deals = [deal("a", "2026-03-01", "won", "2026-04-01"), deal("b", None, "won", "2026-04-01")]
    found = pipeline.sales_cycle(dataset(selling(deals)), as_of=AS_OF, by="owner")
    assert counted(found, "owner", "value", "n", "n_events") == [["Ann", 31, 2, 1]]


def test_months_of_closing_make_the_quarter():
    data = random_data(3)
    whole, parts = (pipeline.average_value(data, as_of=AS_OF, window=SPRING, by=by).query("statistic == 'mean'") for by in ((), "month"))
    assert parts["month"].tolist() == ["2026-02", "2026-03", "2026-04"]
    assert parts["n"].sum() == whole["n"].item()
    assert (parts["value"] * parts["n_events"]).sum() == pytest.approx(whole["value"].item() * whole["n_events"].item())
    assert pipeline.sales_cycle(data, as_of=AS_OF, window=SPRING, by="month")["n"].sum() == whole["n"].item()
    with pytest.raises(ParameterError, match="by='month' is unknown here"):
        pipeline.average_value(data, as_of=AS_OF, status="open", by="month")


# --- funnel


def test_funnel_by_hand():
    told = [
        *story("won", ("2026-03-02", "Qualified", "open"), ("2026-03-12", "Negotiation", "open"), ("2026-03-22", "Won", "won")),
        *story("lost", ("2026-03-02", "Qualified", "open"), ("2026-03-12", "Proposal", "open"), ("2026-03-17", "Lost", "lost")),
        *story("back", ("2026-03-02", "Qualified", "open"), ("2026-03-12", "Proposal", "open"), ("2026-03-20", "Qualified", "open")),
        *story("new", ("2026-03-02", "Qualified", "open")),
    ]
    deals = [deal(key, "2026-03-02") for key in ("back", "new")]
    deals += [deal(key, "2026-03-02", key, f"2026-03-{day}") for key, day in (("won", 22), ("lost", 17))]
    found = pipeline.funnel(dataset(selling(deals, told)), as_of=AS_OF, horizon=30)
    # Qualified all at once; Proposal 3 of 4 on day 10, one of them by passing over it; Negotiation 1; won 1 of the 3 not yet lost on day 20, of 3/4
    assert counted(found, "stage", "n", "n_events") == [["Qualified", 4, 4], ["Proposal", 4, 3], ["Negotiation", 4, 1], ["Won", 4, 1]]
    assert found["value"].tolist() == [1, 0.75, 0.25, pytest.approx(0.25)]


@pytest.mark.parametrize("view", ["period", "cohort"])
@pytest.mark.parametrize("seed", [1, 4])
def test_funnel_against_the_definition(seed, view):
    tables, now = random_company(seed), utc(AS_OF).to_pydatetime()
    recorded = set(tables["opportunity_history"].loc[tables["opportunity_history"]["changed_at"] < now, "opportunity_id"])
    deals = [row for row in oracles.deals_at(tables, now, ZONE) if row["opportunity_id"] in recorded and row["created"]]
    found = pipeline.funnel(random_data(seed), as_of=AS_OF, window=SPRING, view=view, horizon=60).set_index("stage")["value"]
    for stage, place, status in STAGES:
        if status == "lost":
            continue
        lives = []
        for row in deals:
            there = oracles.reached_on(row, place, PLACES, ZONE)
            if there is not None:
                lives.append((row["created"], there, "reached"))
            elif row["status"] == "lost":
                lives.append((row["created"], row["closed"], "lost"))
            else:
                lives.append((row["created"], oracles.last_day(now, ZONE), "censored"))
        if view == "period":
            expected = oracles.period_share(lives, SPRING.start, SPRING.end, "reached", 60)
        else:
            expected = oracles.cohort_share(lives, SPRING.start, SPRING.end, ("reached", "lost"), "reached", 60)
        assert found[stage] == pytest.approx(expected, abs=1e-12), stage


def test_funnel_ends_in_the_share_won(sample):
    found = pipeline.funnel(sample, as_of="2026-11-01")
    won = pipeline.opportunity_to_customer(sample, as_of="2026-11-01", horizons=[180])
    for column in ("value", "low", "high", "n", "n_events", "n_open"):
        assert found[column].iloc[-1] == won[column].item()
    assert found["value"].is_monotonic_decreasing


# --- one rate for all dates


def test_constant_rates_by_hand():
    deals = [deal(key, "2026-01-10", "won", f"2026-0{month}-15", 100.0, currency="USD") for key, month in (("a", 2), ("b", 3), ("c", 4))]
    deals += [deal("d", "2026-01-10", "won", "2026-03-15", 100.0), deal("e", "2026-01-10", "won", "2026-03-15", 100.0, currency="CHF")]
    rates = [
        ("USD", "2026-01-01", 0.9),
        ("USD", "2026-03-01", 0.8),
        ("USD", "2026-04-30", 0.5),
        ("USD", "2026-05-01", 0.1),
        ("CHF", "2026-05-01", 1.1),
    ]
    fx = table("fx", [{"currency": key, "from_on": pd.Timestamp(day), "rate": rate} for key, day, rate in rates])
    data = dataset(selling(deals) | {"fx": fx})
    dated = pipeline.won(data, as_of=AS_OF, window=SPRING, measure="value")
    assert dated["value"].tolist() == [pytest.approx(90), pytest.approx(180), pytest.approx(80)]
    held = pipeline.won(data.at_constant_rates(AS_OF), as_of=AS_OF, window=SPRING, measure="value")
    assert held["value"].tolist() == [pytest.approx(50), pytest.approx(150), pytest.approx(50)]
    assert pipeline.won(data, as_of=AS_OF, window=SPRING, measure="value")["value"].tolist() == dated["value"].tolist()
    with pytest.raises(MissingTable, match="fx"):
        dataset(selling(deals)).at_constant_rates(AS_OF)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_account_at_constant_rates_is_the_account_of_such_data(seed):
    data = random_data(seed)
    window = {"window": ("2026-03-01", AS_OF), "as_of": AS_OF, "by": "source"}
    held = pipeline.waterfall(data.at_constant_rates(AS_OF), **window)
    pd.testing.assert_frame_equal(held, pipeline.waterfall(data, **window, rates="constant"))
    assert (held.loc[held["step"] == "currency", "value"] == 0).all()


# --- leads that became customers


def test_a_lead_without_a_won_deal_is_a_customer_once_acquired():
    leads = [lead(f"L{number}", "2026-03-02 10:00", customer_id=f"C{number}" if number < 3 else None) for number in range(4)]
    acquired = ["2026-03-20 10:00", "2026-02-20 10:00", "2026-05-20 10:00"]  # in time, before the inquiry, after the date
    customers = table("customers", [{"customer_id": f"C{number}", "acquired_at": utc(at)} for number, at in enumerate(acquired)])
    data = dataset(answering(leads, []) | {"customers": customers})
    found = pipeline.lead_to_customer(data, as_of=AS_OF, horizons=(17, 18))
    assert counted(found, "value", "n", "n_events") == [[0, 4, 0], [0.25, 4, 1]]
    found = pipeline.lead_to_customer(data, as_of=AS_OF, horizons=(80,), view="cohort", window=SPRING)
    assert counted(found, "n", "n_events") == [[4, 1]]
    sold = selling([deal("D", "2026-03-05", "won", "2026-03-10", lead_id="L0")])
    found = pipeline.lead_to_customer(dataset(answering(leads, []) | {"customers": customers} | sold), as_of=AS_OF, horizons=(7, 8))
    assert found["value"].tolist() == [0, 0.25]  # the won deal comes first
    with pytest.raises(MissingTable, match="opportunities"):
        pipeline.lead_to_customer(dataset(answering(leads, [])), as_of=AS_OF)


# --- targets of a team


def test_coverage_of_a_team_is_against_its_own_target():
    deals = [deal("a", "2026-02-01", amount=400.0, expected_close_on=pd.Timestamp("2026-06-30"), source="web")]
    deals += [deal("b", "2026-02-01", amount=100.0, expected_close_on=pd.Timestamp("2026-06-30"), source="web", owner="Cid")]
    goals = [
        {"month": f"2026-{month:02d}", "measure": "won_value", "team": team, "amount": amount}
        for month in (4, 5, 6)
        for team, amount in (("Nord", 100.0), ("Sud", 50.0))
    ]
    data = dataset(selling(deals) | {"targets": table("targets", goals), "owners": owners()})
    for chosen, expected in ((data, [500, 450]), (data.where(team="Nord"), [400, 300]), (data.where(team="Sud"), [100, 150])):
        assert counted(pipeline.coverage(chosen, as_of=AS_OF), "open_amount", "target") == [expected]
    with pytest.raises(MissingTable, match="targets"):
        pipeline.coverage(data.where(source="web"), as_of=AS_OF)


# --- what must not matter


def everything(data) -> list[pd.DataFrame]:
    found = [metric(data, as_of=AS_OF, by=["size", "owner"], **more) for metric, more in METRICS]
    found += [pipeline.opportunity_to_customer(data, as_of=AS_OF, by="size"), pipeline.open_pipeline(data, as_of=AS_OF, by="size")]
    return [*found, pipeline.won(data.at_constant_rates(AS_OF), as_of=AS_OF, window=SPRING, measure="value")]


@pytest.mark.slow
def test_engines_agree():
    for one, other in zip(everything(random_data(1)), everything(random_data(1, "polars")), strict=True):
        pd.testing.assert_frame_equal(one, other)


@pytest.mark.slow
def test_nothing_after_as_of_matters():
    then = dataset(as_it_was(random_company(2), utc(AS_OF)))
    for one, other in zip(everything(then), everything(random_data(2)), strict=True):
        pd.testing.assert_frame_equal(one, other)


def test_nothing_to_group():
    data = dataset(selling([deal("x", "2026-06-01")], story("x", ("2026-06-01", "Qualified", "open"))))
    for metric, more in METRICS:
        assert len(metric(data, as_of=AS_OF, by="size", **more)) == 0
    assert pipeline.funnel(data, as_of=AS_OF)["value"].isna().all()


def test_a_negative_amount_is_left_out_of_shares_by_amount_and_stops_nothing():
    made = [
        deal("a", "2026-02-01 10:00", "won", "2026-02-10 10:00", 100.0),
        deal("b", "2026-02-01 10:00", "won", "2026-02-10 10:00", 200.0),
        deal("credit note", "2026-02-01 10:00", "lost", "2026-02-10 10:00", -50.0, lost_reason="Price"),
        deal("c", "2026-02-01 10:00", "lost", "2026-02-10 10:00", 100.0, lost_reason="Timing"),
    ]
    data = dataset({"opportunities": table("opportunities", made)})
    share = pipeline.closed_win_rate(data, as_of="2026-03-01", weight="amount").iloc[0]
    assert (share["value"], share["n"], share["n_events"]) == (300 / 400, 4, 2)
    reasons = pipeline.loss_reasons(data, as_of="2026-03-01", weight="amount").set_index("reason")["value"]
    assert reasons.to_dict() == {"Price": 0, "Timing": 1}
    assert pipeline.closed_win_rate(data, as_of="2026-03-01").iloc[0]["value"] == 0.5
