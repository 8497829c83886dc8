"""How opportunities move: worked by hand, against the definitions as slow loops, and relations that must hold."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import oracles
import pandas as pd
import pytest
from companies import (
    END,
    STAGES,
    ZONE,
    answering,
    as_it_was,
    dataset,
    deal,
    lead,
    owners,
    random_company,
    random_data,
    selling,
    stages,
    story,
    table,
    utc,
)

from kpi import pipeline, schema
from kpi.errors import MissingTable, ParameterError
from kpi.periods import Month, Window

MARCH = Month.parse("2026-03").window
SPRING = Window(date(2026, 2, 1), date(2026, 5, 1))
QUARTER = Window(date(2026, 2, 10), date(2026, 4, 20))
SEEDS = [1, pytest.param(2, marks=pytest.mark.slow), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(50, 62))]
PLACES = {stage: position for stage, position, _ in STAGES}


def values(result: pd.DataFrame, column: str = "value") -> list:
    return [None if pd.isna(value) else value for value in result[column]]


def same(found: list, expected: list) -> None:
    assert found == [value if value is None else pytest.approx(value) for value in expected]


def monthly(result: pd.DataFrame) -> dict[str, float]:
    return dict(zip(result["month"], values(result), strict=True))


# --- by hand: five deals of January and February, seen on 1 April

DEALS = [
    deal("fast", "2026-01-10 10:00", "won", "2026-01-30 10:00", 1000.0, source="web"),
    deal("slow", "2026-01-10 23:30", "won", "2026-03-31 23:30", 3000.0, source="fair", owner="Bob"),
    deal("lost", "2026-02-01 10:00", "lost", "2026-02-21 10:00", None, source="web", lost_reason="price"),
    deal("open", "2026-02-10 10:00", amount=500.0, source="web", owner="Bob"),
    deal("undated", None, "won", "2026-03-15 10:00", 2000.0, source="web"),
]


@pytest.fixture(scope="module")
def five():
    return dataset(selling(DEALS) | answering([lead("x", "2026-01-05 10:00")], []))


def test_closed_win_rate_by_hand(five):
    found = pipeline.closed_win_rate(five, as_of="2026-04-01")
    assert list(found.columns) == schema.RESULT
    # The 90 days before 1 April begin on 1 January: won 3, lost 1. The open one is neither.
    assert found[["value", "n", "n_events", "n_open", "view"]].to_numpy().tolist() == [[0.75, 4, 3, 1, "period"]]
    assert (found["window_start"].item(), found["window_end"].item()) == (date(2026, 1, 1), date(2026, 4, 1))
    low, high = found.loc[0, ["low", "high"]]
    assert (round(low, 4), round(high, 4)) == (0.3006, 0.9544)  # Wilson, 3 of 4
    by = pipeline.closed_win_rate(five, as_of="2026-04-01", by="source")
    assert by[["source", "n", "n_events", "n_open"]].to_numpy().tolist() == [["fair", 1, 1, 0], ["web", 3, 2, 1]]
    by = pipeline.closed_win_rate(five, as_of="2026-04-01", by="month")
    assert by[["month", "n", "n_events"]].to_numpy().tolist() == [["2026-01", 1, 1], ["2026-02", 1, 0], ["2026-03", 2, 2]]
    assert pipeline.closed_win_rate(five, as_of="2026-03-31")["n"].item() == 3  # the last evening of March is not over


def test_won_month_by_month(five):
    assert monthly(pipeline.won(five, as_of="2026-04-01", window=SPRING)) == {"2026-02": 0, "2026-03": 2, "2026-04": 0}
    assert monthly(pipeline.won(five, as_of="2026-04-01", window=SPRING, measure="value")) == {"2026-02": 0, "2026-03": 5000, "2026-04": 0}
    assert monthly(pipeline.won(five, as_of="2026-04-01", window=SPRING, measure="average")) == {"2026-02": None, "2026-03": 2500, "2026-04": None}
    keys = [pipeline.won(five, as_of="2026-04-01", window=MARCH, measure=measure)["kpi"].item() for measure in ("count", "value", "average")]
    assert keys == ["pipeline.won", "pipeline.won_value", "pipeline.average_won_value"]


def test_created_month_by_month(five):
    found = pipeline.created(five, as_of="2026-04-01", window=Window(date(2025, 12, 1), date(2026, 4, 1)))
    assert monthly(found) == {"2025-12": None, "2026-01": 2, "2026-02": 2, "2026-03": 0}  # before the data begin nothing is known


def test_leads_month_by_month():
    leads = [
        lead("a", "2026-02-28 23:30"),
        lead("b", "2026-03-31 23:30"),
        lead("c", "2026-04-01 00:00"),
        lead("d", "2026-03-02", deleted_at=utc("2026-03-03")),
    ]
    data = dataset(answering(leads, []))
    assert monthly(pipeline.leads_created(data, as_of="2026-05-01", window=SPRING)) == {"2026-02": 1, "2026-03": 1, "2026-04": 1}


def test_average_values_by_hand(five):
    won = pipeline.average_value(five, as_of="2026-04-01").set_index("statistic")
    assert won["value"].to_dict() == {"mean": 2000, "median": 2000, "top5_share": 1}
    assert won["n"].tolist() == won["n_events"].tolist() == [3, 3, 3]
    lost = pipeline.average_value(five, as_of="2026-04-01", status="lost")
    assert (values(lost), lost["n"].tolist(), lost["n_events"].tolist()) == ([None] * 3, [1] * 3, [0] * 3)  # an unknown amount is not 0
    still = pipeline.average_value(five, as_of="2026-04-01", status="open").set_index("statistic")
    assert (still["value"]["mean"], still["view"]["mean"], still["kpi"]["mean"]) == (500, "snapshot", "pipeline.open_amount")
    every = pipeline.average_values(five, as_of="2026-04-01")
    assert every["kpi"].unique().tolist() == ["pipeline.won_amount", "pipeline.lost_amount", "pipeline.open_amount"]
    assert len(every) == 9


def test_sales_cycle_by_hand(five):
    found = pipeline.sales_cycle(five, as_of="2026-04-01")
    # 20 days and 80 days; local dates, so 10 January 23:30 to 31 March 23:30 is 80 although the clock was put forward.
    assert found[["value", "n", "n_events"]].to_numpy().tolist() == [[50, 3, 2]]


def test_open_pipeline_by_hand():
    told = [
        *story("a", ("2026-02-01 10:00", "Qualified", "open", 100.0, "Ann"), ("2026-03-01 10:00", "Negotiation", "open", 150.0, "Bob")),
        *story("b", ("2026-02-01 10:00", "Negotiation", "open", None, "Ann"), ("2026-03-10 10:00", "Won", "won", 80.0, "Ann")),
        *story("c", ("2026-02-01 10:00", "Proposal", "open", 40.0, None)),
    ]
    deals = [deal("a", "2026-02-01 10:00"), deal("b", "2026-02-01 10:00", "won", "2026-03-10 10:00"), deal("c", "2026-02-01 10:00")]
    data = dataset(selling(deals, told))
    found = pipeline.open_pipeline(data, as_of="2026-02-15")
    assert found["stage"].tolist() == ["Qualified", "Proposal", "Negotiation"]  # the order of the stages, not of the alphabet
    assert (values(found), found["n"].tolist(), found["n_events"].tolist()) == ([100, 40, None], [1, 1, 1], [1, 1, 0])
    found = pipeline.open_pipeline(data, as_of="2026-04-01")
    assert found[["stage", "value", "n"]].to_numpy().tolist() == [["Proposal", 40, 1], ["Negotiation", 150, 1]]
    found = pipeline.open_pipeline(data, as_of="2026-04-01", by="owner")
    assert found[["owner", "value", "n", "n_open"]].to_numpy().tolist() == [["(blank)", 40, 1, 1], ["Bob", 150, 1, 1]]


def test_stages_by_hand():
    told = [
        *story("a", ("2026-03-01 10:00", "Qualified", "open"), ("2026-03-05 10:00", "Negotiation", "open")),
        *story("b", ("2026-03-01 10:00", "Qualified", "open"), ("2026-03-11 10:00", "Lost", "lost")),
        *story("c", ("2026-03-01 10:00", "Qualified", "open"), ("2026-03-11 10:00", "Proposal", "open"), ("2026-03-12 10:00", "Qualified", "open")),
        *story("d", ("2026-03-21 10:00", "Qualified", "open")),
    ]
    deals = [deal(key, "2026-03-01 10:00") for key in "acd"] + [deal("b", "2026-03-01 10:00", "lost", "2026-03-11 10:00")]
    data = dataset(selling(deals, told))
    found = pipeline.stage_conversion(data, as_of="2026-04-01", horizon=10)
    assert found[["position", "stage", "next_stage", "n", "n_events"]].to_numpy().tolist() == [
        [1, "Qualified", "Proposal", 4, 2],
        [2, "Proposal", "Negotiation", 2, 1],
        [3, "Negotiation", "Won", 1, 0],
    ]
    # Day 4: 1 of 4. Day 10: d, seen for 10 days, is still at risk: 3/4 x 1/3.
    same(values(found), [0.25 + 0.75 / 3, 0.5, 0])
    stay = pipeline.time_in_stage(data, as_of="2026-04-01")
    # Qualified: 4, 10, 10, still there after 10 and after 19 days: 1/5, then 1 - 4/5 x 2/4 = 0.6.
    assert stay[["stage", "n", "n_events", "n_open"]].to_numpy().tolist() == [["Qualified", 5, 3, 2], ["Proposal", 1, 1, 0], ["Negotiation", 1, 0, 1]]
    assert values(stay) == [10, 1, None]
    entered = pipeline.entered_stage(data, position=2, as_of="2026-04-01", window=MARCH)
    assert monthly(entered) == {"2026-03": 2}
    assert monthly(pipeline.entered_stage(data, position=4, as_of="2026-04-01", window=MARCH)) == {"2026-03": 0}


def test_conversion_of_a_cohort_by_hand(five):
    # fast won on day 20, lost on day 20, slow won on day 80, open seen for 49 days; the undated one has no age.
    found = pipeline.opportunity_to_customer(
        five, as_of="2026-04-01", view="cohort", window=Window(date(2026, 1, 1), date(2026, 4, 1)), horizons=(19, 20, 79, 80)
    )
    same(values(found), [0, 0.25, 0.25, 0.75])
    assert found["n"].tolist() == [4] * 4
    assert found["n_open"].tolist() == [0, 0, 1, 1]


def test_conversion_as_things_go_now_by_hand(five):
    # March alone: slow was at risk from its day 50 to 80, open from day 19 to 49. Nobody was under observation before day 19: nothing is known of it.
    found = pipeline.opportunity_to_customer(five, as_of="2026-04-01", window=MARCH, horizons=(18, 19, 79, 80))
    same(values(found), [None] * 4)
    assert found["n"].tolist() == [0, 1, 2, 2]


def test_leads_on_their_way_by_hand():
    leads = [
        lead("becomes", "2026-01-05 10:00"),
        lead("declined", "2026-01-05 10:00", disqualified_at=utc("2026-01-15 10:00")),
        lead("comes back", "2026-01-05 10:00", disqualified_at=utc("2026-02-24 10:00")),
        lead("waits", "2026-01-25 10:00"),
    ]
    deals = [
        deal("D1", "2026-01-25 10:00", "won", "2026-02-14 10:00", lead_id="becomes"),
        deal("D2", "2026-02-04 10:00", lead_id="becomes"),
        deal("D3", "2026-01-25 10:00", lead_id="comes back"),
    ]
    data = dataset(answering(leads, []) | selling(deals))
    view = {"as_of": "2026-04-01", "view": "cohort", "window": Window(date(2026, 1, 1), date(2026, 2, 1))}
    found = pipeline.lead_to_opportunity(data, **view, horizons=(9, 20, 60))
    same(values(found), [0, 0.5, 0.5])
    found = pipeline.lead_to_customer(data, **view, horizons=(39, 40, 66))
    same(values(found), [0, 0.25, 0.25])
    assert found["n"].tolist() == [4] * 3  # a declined lead stays in the denominator


def test_reopened_deal_was_at_risk_throughout():
    told = story("D", ("2026-02-01 10:00", "Qualified", "open"), ("2026-02-11 10:00", "Lost", "lost"), ("2026-03-01 10:00", "Proposal", "open"))
    data = dataset(selling([deal("D", "2026-02-01 10:00")], told))
    counted = {}
    for as_of in ("2026-02-20", "2026-04-01"):
        curve = pipeline.conversion_curve(
            data, "opportunity_to_customer", as_of=as_of, view="cohort", window=Window(date(2026, 2, 1), date(2026, 3, 1))
        )
        counted[as_of] = (curve["lost"].sum(), int(curve["time"].max()))
    assert counted == {"2026-02-20": (1, 10), "2026-04-01": (0, 58)}


# --- the closed-deal win rate misleads: won .25, lost .60, never .15

WON, LOST, NEVER = 0.25, 0.60, 0.15


@pytest.mark.parametrize(("days_to_loss", "naive"), [(20, 0.55), (60, 0.42)])
def test_incidence_recovers_what_one_minus_kaplan_meier_overstates(days_to_loss, naive):
    """Of 400 deals, 100 are won, 240 lost, 60 never close: the incidence says 25 %, closed deals 29 %, losses taken as lost from sight still more."""
    rng = np.random.default_rng(1)
    fates = rng.permutation(["won"] * 100 + ["lost"] * 240 + ["open"] * 60)
    deals, lives = [], []
    for number, fate in enumerate(fates):
        start = date(2026, 1, 1) + timedelta(days=number % 10)
        age = {"won": int(rng.integers(1, 120)), "lost": int(rng.integers(1, 2 * days_to_loss)), "open": 0}[fate]
        closed = None if fate == "open" else f"{start + timedelta(days=age)} 10:00"
        deals.append(deal(f"D{number}", f"{start} 09:00", str(fate), closed))
        lives.append((0, age if closed else 170, "won" if fate == "won" else "censored"))
    data = dataset(selling(deals))
    view = {"as_of": END, "view": "cohort", "window": Window(date(2026, 1, 1), date(2026, 1, 11)), "horizons": (150,)}
    assert pipeline.opportunity_to_customer(data, **view)["value"].item() == pytest.approx(WON)
    assert oracles.share_by(lives, ("won",), "won", 150) > WON + 0.06  # 1 - Kaplan-Meier
    closed = pipeline.closed_win_rate(data, as_of=END, window=Window(date(2026, 1, 1), date(2026, 7, 1)))
    assert closed["value"].item() == pytest.approx(WON / (WON + LOST))
    assert closed["n_open"].item() == 400 * NEVER


# --- the definitions as slow loops


def checked(result: pd.DataFrame, expected: list) -> None:
    same(values(result), expected)
    known = result.dropna(subset=["value"])
    assert ((known["low"] <= known["value"] + 1e-12) & (known["value"] <= known["high"] + 1e-12)).all()
    assert (result["n_events"] <= result["n"]).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_conversion_against_the_definition(seed):
    tables, data = random_company(seed), random_data(seed)
    horizons = (0, 5, 20, 60, 120)
    for as_of, window in (("2026-05-01", QUARTER), ("2026-05-01", SPRING)):
        now = utc(as_of).to_pydatetime()
        leads, deals = oracles.leads_at(tables, now, ZONE), oracles.deals_at(tables, now, ZONE)
        ways = [
            (pipeline.lead_to_opportunity, oracles.ways_of_leads(leads, now, ZONE, "opportunity"), ("opportunity", "disqualified")),
            (pipeline.lead_to_customer, oracles.ways_of_leads(leads, now, ZONE, "won"), ("won",)),
            (pipeline.opportunity_to_customer, oracles.lives_of_deals(deals, now, ZONE), ("won", "lost")),
        ]
        for metric, lives, causes in ways:
            period = [oracles.period_share(lives, window.start, window.end, causes[0], horizon) for horizon in horizons]
            checked(metric(data, as_of=as_of, window=window, horizons=horizons), period)
            cohort = [oracles.cohort_share(lives, window.start, window.end, causes, causes[0], horizon) for horizon in horizons]
            checked(metric(data, as_of=as_of, window=window, horizons=horizons, view="cohort"), cohort)


@pytest.mark.parametrize("seed", SEEDS)
def test_stages_against_the_definition(seed):
    tables, data = random_company(seed), random_data(seed)
    as_of, now = "2026-05-01", utc("2026-05-01").to_pydatetime()
    deals = oracles.deals_at(tables, now, ZONE)
    for horizon in (10, 60):
        lives = [oracles.lives_in_stage(deals, position, PLACES, now, ZONE) for position in (1, 2, 3)]
        found = pipeline.stage_conversion(data, as_of=as_of, window=QUARTER, horizon=horizon)
        checked(found, [oracles.period_share(life, QUARTER.start, QUARTER.end, "advanced", horizon) for life in lives])
        found = pipeline.stage_conversion(data, as_of=as_of, window=QUARTER, horizon=horizon, view="cohort")
        checked(found, [oracles.cohort_share(life, QUARTER.start, QUARTER.end, ("advanced", "lost"), "advanced", horizon) for life in lives])
    curve = pipeline.time_in_stage_curve(data, as_of=as_of, window=QUARTER)
    for stage in ("Qualified", "Proposal", "Negotiation"):
        lives = oracles.visits_to(deals, stage, now, ZONE)
        here = curve[curve["stage"] == stage]
        same(values(here, "incidence_left"), [oracles.period_share(lives, QUARTER.start, QUARTER.end, "left", int(age)) for age in here["time"]])
        at_risk, _ = oracles.person_days(lives, QUARTER.start, QUARTER.end)
        assert here["at_risk"].tolist() == [at_risk[int(age)] for age in here["time"]]
    for position in (2, 4):
        days = [oracles.reached_on(row, position, PLACES, ZONE) for row in deals]
        found = monthly(pipeline.entered_stage(data, position=position, as_of=as_of, window=SPRING))
        assert found == {month: sum(1 for day in days if day and oracles.month_of(day) == month) for month in ("2026-02", "2026-03", "2026-04")}


def worth(deals: list[dict]) -> float | None:
    """What a month's deals were won for: nothing without deals, unknown when none of them has an amount."""
    known = [deal["amount"] for deal in deals if deal["amount"] is not None]
    return float(sum(known)) if known or not deals else None


@pytest.mark.parametrize("seed", SEEDS)
def test_values_and_counts_against_the_definition(seed):
    tables, data = random_company(seed), random_data(seed)
    for as_of in ("2026-04-01", "2026-07-01"):
        deals = oracles.deals_at(tables, utc(as_of).to_pydatetime(), ZONE)
        closed = [row for row in deals if row["closed"] and QUARTER.start <= row["closed"] < QUARTER.end]
        row = pipeline.closed_win_rate(data, as_of=as_of, window=QUARTER).iloc[0]
        won = [deal for deal in closed if deal["status"] == "won"]
        assert (row["n"], row["n_events"]) == (len(closed), len(won))
        assert row["n_open"] == sum(deal["status"] == "open" for deal in deals)
        for status in ("won", "lost", "open"):
            chosen = [deal for deal in (deals if status == "open" else closed) if deal["status"] == status]
            amounts = [deal["amount"] for deal in chosen if deal["amount"] is not None]
            found = pipeline.average_value(data, as_of=as_of, status=status, window=QUARTER).set_index("statistic")
            expected = [sum(amounts) / len(amounts), oracles.middle(amounts), sum(sorted(amounts)[-5:]) / sum(amounts)] if amounts else [None] * 3
            same(values(found.loc[["mean", "median", "top5_share"]]), expected)
            assert (set(found["n"]), set(found["n_events"])) == ({len(chosen)}, {len(amounts)})
        ages = [(deal["closed"] - deal["created"]).days for deal in won if deal["created"]]
        found = pipeline.sales_cycle(data, as_of=as_of, window=QUARTER)
        same(values(found), [oracles.middle(ages)])
        assert (found["n"].item(), found["n_events"].item()) == (len(won), len(ages))
        for by in ("stage", "owner", "source"):
            groups = {}
            for open_deal in (row for row in deals if row["status"] == "open"):
                groups.setdefault(open_deal[by], []).append(open_deal["amount"])
            found = pipeline.open_pipeline(data, as_of=as_of, by=by).set_index(by)
            assert set(found.index) == set(groups)
            for key, amounts in groups.items():
                known = [amount for amount in amounts if amount is not None]
                same(values(found.loc[[key]]), [sum(known) if known else None])
                assert (found.loc[key, "n"], found.loc[key, "n_events"]) == (len(amounts), len(known))
        months = {
            month: [deal for deal in won_ever(deals) if oracles.month_of(deal["closed"]) == month] for month in ("2026-02", "2026-03", "2026-04")
        }
        assert monthly(pipeline.won(data, as_of=as_of, window=SPRING)) == {month: len(rows) for month, rows in months.items()}
        same(
            list(monthly(pipeline.won(data, as_of=as_of, window=SPRING, measure="value")).values()),
            [worth(rows) for rows in months.values()],
        )
        made = [oracles.month_of(deal["created"]) for deal in deals if deal["created"]]
        assert monthly(pipeline.created(data, as_of=as_of, window=SPRING)) == {month: made.count(month) for month in months}
        came = [oracles.month_of(lead["created"]) for lead in oracles.leads_at(tables, utc(as_of).to_pydatetime(), ZONE)]
        assert monthly(pipeline.leads_created(data, as_of=as_of, window=SPRING)) == {month: came.count(month) for month in months}


def won_ever(deals: list[dict]) -> list[dict]:
    return [deal for deal in deals if deal["status"] == "won" and deal["closed"]]


# --- relations


def test_months_make_the_quarter():
    data = random_data(3)
    whole = pipeline.closed_win_rate(data, as_of="2026-07-01", window=SPRING).iloc[0]
    parts = pipeline.closed_win_rate(data, as_of="2026-07-01", window=SPRING, by="month")
    for column in ("n", "n_events"):
        assert parts[column].sum() == whole[column]
    assert pipeline.won(data, as_of="2026-07-01", window=SPRING)["value"].sum() == whole["n_events"]
    every = pipeline.average_value(data, as_of="2026-07-01", window=SPRING).iloc[0]
    total = pipeline.won(data, as_of="2026-07-01", window=SPRING, measure="value")["value"].sum()
    assert every["value"] * every["n_events"] == pytest.approx(total)


@pytest.mark.parametrize("by", ["source", "owner", "product"])
def test_groups_are_the_whole(by):
    data = random_data(3)
    for metric, more in ((pipeline.closed_win_rate, {}), (pipeline.opportunity_to_customer, {"view": "cohort", "horizons": (60,)})):
        parts, whole = (metric(data, as_of="2026-07-01", window=SPRING, by=groups, **more) for groups in (by, ()))
        for column in ("n", "n_events", "n_open"):
            assert parts[column].sum() == whole[column].item()


def test_a_group_alone():
    tables = random_company(3)
    deals = tables["opportunities"]
    data = dataset(tables | {"opportunities": deals[deals["source"] == "fair"]})  # histories of the others are set aside
    for metric, more in ((pipeline.opportunity_to_customer, {}), (pipeline.stage_conversion, {}), (pipeline.closed_win_rate, {})):
        beside = metric(random_data(3), as_of="2026-05-01", window=SPRING, by="source", **more)
        beside = beside[beside["source"] == "fair"].drop(columns="source").reset_index(drop=True)
        pd.testing.assert_frame_equal(metric(data, as_of="2026-05-01", window=SPRING, **more), beside)


def test_an_open_deal_changes_no_closed_rate():
    tables = random_company(3)
    more = table("opportunities", [deal(f"new {day}", f"2026-03-{day:02d} 10:00", amount=1e6) for day in range(1, 20)])
    data = dataset(tables | {"opportunities": pd.concat([tables["opportunities"], more])})
    before = random_data(3)
    pd.testing.assert_frame_equal(
        pipeline.closed_win_rate(data, as_of="2026-05-01").drop(columns="n_open"),
        pipeline.closed_win_rate(before, as_of="2026-05-01").drop(columns="n_open"),
    )
    pd.testing.assert_frame_equal(pipeline.average_value(data, as_of="2026-05-01"), pipeline.average_value(before, as_of="2026-05-01"))
    pd.testing.assert_frame_equal(pipeline.sales_cycle(data, as_of="2026-05-01"), pipeline.sales_cycle(before, as_of="2026-05-01"))
    lower, higher = (pipeline.opportunity_to_customer(d, as_of="2026-05-01", horizons=(90,))["value"].item() for d in (data, before))
    assert lower < higher  # but more of them are waiting, and the incidence knows


# --- what must not matter


def everything(data, as_of) -> list[pd.DataFrame]:
    return [
        *[metric(data, as_of=as_of) for metric in (pipeline.lead_to_opportunity, pipeline.lead_to_customer, pipeline.opportunity_to_customer)],
        pipeline.opportunity_to_customer(data, as_of=as_of, view="cohort", by="quarter"),
        pipeline.lead_to_opportunity(data, as_of=as_of, window=SPRING, by=["team", "source"]),
        pipeline.closed_win_rate(data, as_of=as_of, by=["owner", "month"]),
        pipeline.stage_conversion(data, as_of=as_of, by="owner"),
        pipeline.time_in_stage(data, as_of=as_of, quantile=0.4),
        pipeline.average_values(data, as_of=as_of),
        pipeline.sales_cycle(data, as_of=as_of),
        pipeline.open_pipeline(data, as_of=as_of),
        pipeline.open_pipeline(data, as_of=as_of, by="owner"),
        pipeline.leads_created(data, as_of=as_of, window=SPRING),
        pipeline.created(data, as_of=as_of, window=SPRING),
        pipeline.entered_stage(data, position=3, as_of=as_of, window=SPRING),
        *[pipeline.won(data, as_of=as_of, window=SPRING, measure=measure) for measure in ("count", "value", "average")],
    ]


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        pd.testing.assert_frame_equal(one, other)


@pytest.mark.slow
def test_engines_agree():
    assert_same(everything(random_data(1), "2026-05-01"), everything(random_data(1, "polars"), "2026-05-01"))


@pytest.mark.slow
def test_row_order_does_not_matter():
    tables = {key: frame.iloc[::-1].reset_index(drop=True) for key, frame in random_company(1).items()}
    assert_same(everything(dataset(tables), "2026-05-01"), everything(random_data(1), "2026-05-01"))


@pytest.mark.slow
@pytest.mark.parametrize("as_of", ["2026-05-01", "2026-03-30", "2026-05-20T14:00"])
def test_nothing_after_as_of_matters(as_of):
    then = dataset(as_it_was(random_company(2), utc(as_of)))
    assert_same(everything(then, as_of), everything(random_data(2), as_of))


# --- nothing, one row, and errors


def test_empty_tables():
    tables = {key: table(key, []) for key in ("opportunities", "opportunity_history", "activities")} | {"stages": stages(), "owners": owners()}
    data = dataset(tables | {"leads": table("leads", [lead("x", "2026-03-03 10:00")])})
    found = pipeline.closed_win_rate(data, as_of="2026-05-01")
    assert found[["n", "n_events", "n_open"]].to_numpy().tolist() == [[0, 0, 0]]
    assert values(found) == values(found, "low") == [None]
    assert len(pipeline.closed_win_rate(data, as_of="2026-05-01", by="owner")) == 0
    assert values(pipeline.opportunity_to_customer(data, as_of="2026-05-01")) == [None] * 4
    assert values(pipeline.sales_cycle(data, as_of="2026-05-01")) == [None]
    assert values(pipeline.average_value(data, as_of="2026-05-01")) == [None] * 3
    for empty in (pipeline.stage_conversion, pipeline.time_in_stage, pipeline.open_pipeline):
        assert len(empty(data, as_of="2026-05-01")) == 0


def test_months_of_an_empty_table():
    data = dataset(selling([]) | answering([lead("x", "2026-03-03 10:00")], []))
    assert len(pipeline.won(data, as_of="2026-05-01", window=SPRING)) == 3


def test_one_deal():
    told = story("D", ("2026-03-01 10:00", "Qualified", "open"), ("2026-03-11 10:00", "Won", "won"))
    data = dataset(selling([deal("D", "2026-03-01 10:00", "won", "2026-03-11 10:00")], told))
    assert pipeline.closed_win_rate(data, as_of="2026-05-01")["value"].item() == 1
    assert pipeline.sales_cycle(data, as_of="2026-05-01")["value"].item() == 10
    same(values(pipeline.opportunity_to_customer(data, as_of="2026-05-01", horizons=(9, 10, 400))), [0, 1, 1])
    assert values(pipeline.stage_conversion(data, as_of="2026-05-01")) == [1, 1, 1]


def test_errors(five):
    at = {"as_of": "2026-04-01"}
    cases = [
        (
            lambda: pipeline.closed_win_rate(five, **at, by="stage"),
            "by='stage' is unknown here; use one of source, owner, product, size, month, quarter",
        ),
        (
            lambda: pipeline.lead_to_customer(five, **at, by="product"),
            "by='product' is unknown here; use one of source, owner, team, country, month, quarter",
        ),
        (lambda: pipeline.opportunity_to_customer(five, **at, view="snapshot"), "view 'snapshot' is unknown; use period or cohort"),
        (
            lambda: pipeline.conversion_curve(five, "lead_to_heaven", **at),
            "transition 'lead_to_heaven' is unknown; use one of lead_to_opportunity, opportunity_to",
        ),
        (lambda: pipeline.open_pipeline(five, **at, by="team"), "by='team' is unknown here; use one of stage, source, owner, product, size"),
    ]
    for call, message in cases:
        with pytest.raises(ParameterError) as caught:
            call()
        assert str(caught.value).startswith(message)
    for metric in (pipeline.stage_conversion, pipeline.time_in_stage):
        with pytest.raises(
            MissingTable, match=r"the data set has no table opportunity_history; describe it under \[tables.opportunity_history\] in kpi.toml"
        ):
            metric(five, **at)
    bare = dataset(answering([lead("x", "2026-03-03 10:00")], []))
    for metric in (
        pipeline.closed_win_rate,
        pipeline.lead_to_opportunity,
        pipeline.opportunity_to_customer,
        pipeline.sales_cycle,
        pipeline.open_pipeline,
    ):
        with pytest.raises(MissingTable, match="the data set has no table opportunities"):
            metric(bare, **at)


@pytest.mark.parametrize(("metric", "more"), [(pipeline.average_value, {"status": "stuck"}), (pipeline.won, {"measure": "sum", "window": MARCH})])
def test_misspelt_parameters_are_refused(five, metric, more):
    with pytest.raises(ParameterError, match="is unknown; use"):
        metric(five, as_of="2026-04-01", **more)
