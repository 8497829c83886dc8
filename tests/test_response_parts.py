"""Routing, owner, contact, alerts, attempts, nurturing, and what goes with speed: by hand, and against the definitions as slow loops."""

from __future__ import annotations

import math
from datetime import date, timedelta

import oracles
import pandas as pd
import pytest
from companies import ZONE, answering, dataset, deal, lead, owners, random_company, random_data, selling, table, touch, utc

from kpi import response_time as response
from kpi.errors import MissingTable, ParameterError
from kpi.periods import Month, Window

FEBRUARY, MARCH = Month.parse("2026-02").window, Month.parse("2026-03").window
SPRING = Window(date(2026, 2, 1), date(2026, 5, 1))
SEEDS = [1, pytest.param(2, marks=pytest.mark.slow), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(70, 80))]
HOUR, DAY = 3600, 86_400


def values(result: pd.DataFrame, column: str = "value") -> list:
    return [None if pd.isna(value) else value for value in result[column]]


def day(at: str) -> str:
    return f"2026-03-03 {at}"


# --- by hand


def test_contact_is_two_way():
    leads = [lead(who, day("10:00")) for who in ("talked", "only tried", "replied", "called us again")]
    acts = [
        touch("talked", day("10:05"), outcome="no_answer"),
        touch("talked", day("10:30"), outcome="connected"),
        touch("only tried", day("10:05"), outcome="no_answer"),
        touch("replied", day("10:05"), kind="email"),
        touch("replied", day("12:00"), kind="email", direction="inbound"),
        touch("called us again", day("10:05"), kind="email", direction="inbound"),  # nobody had answered: no reply
    ]
    data = dataset(answering(leads, acts))
    found = response.answered_within(data, as_of="2026-04-01", window=MARCH, event="contact", horizons=(1799, 1800, 2 * HOUR))
    assert found["value"].tolist() == [0, 0.25, 0.5]
    assert response.answered_within(data, as_of="2026-04-01", window=MARCH, horizons=(300,))["value"].tolist() == [0.75]
    with pytest.raises(ParameterError, match="event 'sale' is unknown; use"):
        response.answered_within(data, as_of="2026-04-01", window=MARCH, event="sale")


def test_routing_and_owner_delay():
    leads = [
        lead("a", day("10:00"), assigned_at=utc(day("10:20"))),
        lead("b", day("10:00"), assigned_at=utc(day("12:00"))),
        lead("c", day("10:00")),  # nobody's yet
        lead("touched first", day("10:00"), assigned_at=utc(day("11:00"))),
        lead("declined first", day("10:00"), assigned_at=utc(day("10:30")), disqualified_at=utc(day("10:10"))),
    ]
    acts = [touch("a", day("10:50"), outcome="no_answer"), touch("b", day("13:01")), touch("touched first", day("10:30"))]
    data = dataset(answering(leads, acts))
    found = response.routing_delay(data, as_of="2026-04-01", window=MARCH, horizons=(1200, HOUR, DAY))
    assert found["value"].tolist() == pytest.approx([0.2, 0.4, 0.6])  # the declined one was out before
    assert found["n"].tolist() == [5] * 3
    assert set(found["median"]) == {2 * HOUR}
    found = response.owner_delay(data, as_of="2026-04-01", window=MARCH, horizons=(1800, HOUR, HOUR + 60))
    assert (found["value"].tolist(), found["n"].tolist()) == ([0.5, 0.5, 1.0], [2] * 3)
    parts = response.delay_parts(data, as_of="2026-04-01", window=MARCH)
    assert parts["part"].tolist() == ["routing", "owner", "attempt", "contact"]
    assert parts["value"].tolist() == pytest.approx([0.4, 0.5, 0.4, 0])


def test_alert_to_touch_and_score():
    leads = [lead(who, day("09:00"), alerted_at=utc("2026-03-10 10:00")) for who in ("hot", "cold", "nobody")] + [lead("silent", day("09:00"))]
    acts = [touch("hot", day("10:00")), touch("hot", "2026-03-10 10:10"), touch("cold", "2026-03-12 10:00")]
    points = [
        ("hot", "03-09 10:00", 40),
        ("hot", "03-10 10:00", 80),
        ("cold", "03-10 09:00", 80),
        ("cold", "03-12 10:00", 20),
        ("cold", "03-13 10:00", 5),
    ]
    scores = table("lead_scores", [{"lead_id": who, "at": utc(f"2026-{at}"), "score": score} for who, at, score in points])
    data = dataset(answering(leads, acts) | {"lead_scores": scores})
    found = response.alert_to_touch(data, as_of="2026-04-01", window=MARCH)
    assert found["value"].tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3])
    assert found["n"].tolist() == [3] * 3
    row = response.score_at_touch(data, as_of="2026-04-01", window=MARCH).iloc[0]
    assert (row["value"], row["n"], row["n_events"], row["n_open"]) == ((1 + 0.25) / 2, 2, 2, 0)
    assert len(response.waiting_queue(data, as_of="2026-04-01")) == 2


def test_queue_calls_alerts_first_then_the_latest():
    leads = [
        lead("old", "2026-03-01 10:00"),
        lead("new", "2026-03-20 10:00"),
        lead("new and fair", "2026-03-20 09:00", source="fair"),
        lead("alerted", "2026-02-01 10:00", alerted_at=utc("2026-03-18 10:00")),
        lead("alerted again", "2026-02-01 10:00", alerted_at=utc("2026-03-19 10:00")),
        lead("answered", "2026-03-20 10:00", source="fair"),
    ]
    tables = answering(leads, [touch("answered", "2026-03-20 10:05")]) | selling([deal("D", "2026-03-21 10:00", lead_id="answered")])
    found = response.waiting_queue(dataset(tables), as_of="2026-04-01")
    assert found["lead_id"].tolist() == ["alerted again", "alerted", "new and fair", "new", "old"]
    assert found["rank"].tolist() == [1, 2, 3, 4, 5]
    assert found["is_alerted"].tolist() == [True, True, False, False, False]
    assert found["source_rate"].tolist() == [0, 0, 0.5, 0, 0]
    assert found["waiting_hours"].iloc[3] == 11 * 24 + 13  # to midnight, an hour less by the clock put forward


def test_attempts_by_hand():
    leads = [lead(who, day("10:00")) for who in ("silent", "two", "many", "late")] + [lead("young", "2026-03-20 10:00")]
    acts = [touch("two", f"2026-03-0{on} 10:00", outcome="connected") for on in (4, 5)] + [touch("young", "2026-03-20 11:00")]
    acts += [touch("many", f"2026-03-{on:02d} 10:00", outcome="no_answer") for on in range(4, 14)] + [
        touch("late", "2026-04-10 10:00", outcome="connected")
    ]
    found = response.attempts(dataset(answering(leads, acts)), as_of="2026-04-15", window=MARCH)
    assert found[["attempts", "n", "n_events", "value", "share"]].to_numpy().tolist() == [[0, 2, 1, 0.5, 0.5], [2, 1, 1, 1, 0.25], [6, 1, 0, 0, 0.25]]


def test_out_of_hours_by_hand():
    leads = [lead("day", day("10:00")), lead("lunch", day("12:30")), lead("night", day("23:30")), lead("holiday", "2026-05-01 10:00")]
    found = response.out_of_hours(
        dataset(answering(leads, [touch("day", day("10:10"))])), as_of="2026-06-01", window=Window(date(2026, 3, 1), date(2026, 6, 1))
    )
    assert found[["open", "n", "value", "share"]].to_numpy().tolist() == [[0, 3, 0, 0.75], [1, 1, 1, 0.25]]


def test_nurtured_only_from_then_on():
    """The one who is nurtured from day 10 on and becomes an opportunity on day 30 was at risk among the others for ten days."""
    leads = [
        lead("nurtured", "2026-02-01 10:00", nurtured_at=utc("2026-02-11 10:00")),
        lead("plain", "2026-02-01 10:00"),
        lead("too late", "2026-02-01 10:00", nurtured_at=utc("2026-02-25 10:00")),
    ]
    deals = [deal("D1", "2026-03-03 10:00", lead_id="nurtured"), deal("D2", "2026-02-21 10:00", lead_id="too late")]
    found = response.nurtured(dataset(answering(leads, []) | selling(deals)), as_of="2026-06-01", window=FEBRUARY).set_index("group")
    assert found["value"]["not"] == 0.5  # among the others at day 20: plain and too late
    assert math.isnan(found["value"]["nurtured"]), "nobody nurtured was under observation in the first ten days"
    assert found["n"].to_dict() == {"nurtured": 1, "not": 3}


def test_change_by_hand():
    """56 of 70 against 48 of 80; Newcombe (1998), table II, has .0524 to .3339 with Wilson limits, ours come from the curve's."""
    leads, acts = [], []
    for month, soon, every in ((2, 48, 80), (3, 56, 70)):
        for number in range(every):
            leads.append(lead(f"{month}-{number}", f"2026-{month:02d}-10 10:00"))
            acts += [touch(f"{month}-{number}", f"2026-{month:02d}-10 10:30")] if number < soon else []
    data = dataset(answering(leads, acts))
    row = response.response_change(data, as_of="2026-04-01", window=MARCH, past=FEBRUARY).iloc[0]
    assert (row["before"], row["now"], row["differs"], row["n"]) == (0.6, 0.8, 1, 70)
    assert row[["value", "low", "high"]].tolist() == pytest.approx([0.2, 0.0524, 0.3339], abs=0.02)


def test_speed_by_hand():
    """Landmark at each band's edge: who has become an opportunity, or is out, by then says nothing about the answer."""
    leads = [lead(who, "2026-02-02 10:00") for who in ("quick", "quick too", "at once", "never", "declined")] + [lead("young", "2026-03-20 10:00")]
    leads[4]["disqualified_at"] = utc("2026-02-04 10:00")
    acts = [touch(who, "2026-02-02 10:04") for who in ("quick", "quick too", "at once")] + [touch("young", "2026-03-20 10:01")]
    deals = [
        deal("D1", "2026-03-02 10:00", lead_id="quick"),
        deal("D2", "2026-02-02 10:05", lead_id="at once"),
        deal("D3", "2026-06-01 10:00", lead_id="never"),
    ]
    data = dataset(answering(leads, acts) | selling(deals))
    found = response.speed_to_outcome(data, as_of="2026-05-20", window=SPRING)
    assert found[["band", "n", "n_events", "earlier"]].to_numpy().tolist() == [[0, 2, 1, 1], [1, 0, 0, 0], [2, 0, 0, 0], [3, 0, 0, 0], [4, 1, 0, 1]]
    assert values(found) == values(found, "standard") == [0.5, None, None, None, 0]
    with pytest.raises(ParameterError, match="outcome 'luck' is unknown; use one of appointment, opportunity, won"):
        response.speed_to_outcome(data, as_of="2026-05-20", window=SPRING, outcome="luck")


def test_an_outcome_at_the_landmark_came_before_it():
    """Two bands, by the second: at the landmark is not after it, at the end of the horizon is still within."""
    second = pd.Timedelta(seconds=1)
    for answered, edge in (("2026-02-02 10:04:00", "2026-02-02 10:05:00"), ("2026-02-02 10:20:00", "2026-02-02 11:00:00")):
        landmark = utc(edge)
        last = landmark + pd.Timedelta(days=90)
        moments = {"at": landmark, "after": landmark + second, "last": last, "too late": last + second}
        leads = [lead(who, "2026-02-02 10:00") for who in moments]
        deals = [deal(who, None, lead_id=who) | {"created_at": at} for who, at in moments.items()]
        data = dataset(answering(leads, [touch(who, answered) for who in moments]) | selling(deals))
        found = response.speed_to_outcome(data, as_of="2026-06-20", window=FEBRUARY).set_index("band")
        (band,) = found.index[found["n"] > 0]
        assert found.loc[band, ["n", "n_events", "earlier"]].tolist() == [3, 2, 1], edge
        never = [
            lead(who, "2026-02-02 10:00", disqualified_at=utc("2026-02-09 10:00") + wait) for who, wait in (("at", 0 * second), ("after", second))
        ]
        found = response.speed_to_outcome(dataset(answering(never, []) | selling(deals[:0])), as_of="2026-06-20", window=FEBRUARY)
        assert found[["n", "earlier"]].to_numpy().tolist()[-1] == [1, 1]


def test_same_mix_of_sources():
    """Two sources, answered alike within each; only the mix differs, so the standardised shares are equal where the plain ones are not."""
    leads, acts, deals = [], [], []
    for source, won, soon in (("web", 0.2, 30), ("fair", 0.8, 10)):
        for number in range(40):
            name_of = f"{source} {number}"
            quick = number < soon
            leads.append(lead(name_of, "2026-02-02 10:00", source=source))
            acts += [touch(name_of, "2026-02-02 10:04" if quick else "2026-02-02 12:00")]
            place, size = (number, soon) if quick else (number - soon, 40 - soon)
            deals += [deal(name_of, "2026-03-02 10:00", lead_id=name_of)] if place < round(won * size) else []
    found = response.speed_to_outcome(dataset(answering(leads, acts) | selling(deals)), as_of="2026-06-20", window=FEBRUARY)
    by_band = found.set_index("band")
    assert by_band.loc[[0, 2], "value"].tolist() == pytest.approx([0.35, 0.65])
    assert by_band.loc[[0, 2], "standard"].tolist() == pytest.approx([0.5, 0.5])
    assert by_band["covered"].tolist() == [1, 0, 1, 0, 0]


# --- the definitions as slow loops


@pytest.mark.parametrize("seed", SEEDS)
def test_waits_against_the_definition(seed):
    tables, data = random_company(seed), random_data(seed)
    as_of, now = "2026-05-10", utc("2026-05-10").to_pydatetime()
    every = oracles.leads_at(tables, now, ZONE)
    asked = oracles.eligible(every, SPRING.start, SPRING.end)

    def inside(column):
        return [lead for lead in every if lead[column] and SPRING.start <= oracles.day(lead[column], ZONE) < SPRING.end]

    limits = (600, HOUR, DAY, 5 * DAY)
    same = {"as_of": as_of, "window": SPRING, "horizons": limits}
    cases = [
        (response.routing_delay(data, **same), asked, "created_at", "assigned_at"),
        (response.owner_delay(data, **same), inside("assigned_at"), "assigned_at", "touched_at"),
        (response.alert_to_touch(data, **same), inside("alerted_at"), "alerted_at", "alert_touched_at"),
        (response.answered_within(data, event="contact", **same), asked, "created_at", "contacted_at"),
    ]
    for found, leads, start, end in cases:
        waits = oracles.waits_between(leads, start, end, now)
        expected = [oracles.share_by(waits, ("answered", "disqualified"), "answered", limit) for limit in limits]
        assert values(found) == [value if value is None else pytest.approx(value) for value in expected], (start, end)
        assert found["n"].tolist() == [len(waits)] * len(limits)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("outcome", "event", "days"), [("appointment", "appointed_at", 30), ("opportunity", "opportunity_at", 90)])
def test_speed_against_the_definition(seed, outcome, event, days):
    tables, data = random_company(seed), random_data(seed)
    now = utc("2026-06-15").to_pydatetime()
    leads = oracles.eligible(oracles.leads_at(tables, now, ZONE), SPRING.start, SPRING.end)
    found = response.speed_to_outcome(data, as_of="2026-06-15", window=SPRING, outcome=outcome)
    assert found[["n", "n_events", "earlier"]].to_numpy().tolist() == [list(band) for band in oracles.landmark(leads, event, days, now)]


@pytest.mark.parametrize("seed", SEEDS)
def test_attempts_against_the_definition(seed):
    tables, data = random_company(seed), random_data(seed)
    now = utc("2026-05-10").to_pydatetime()
    leads = oracles.eligible(oracles.leads_at(tables, now, ZONE), SPRING.start, SPRING.end)
    old = [lead for lead in leads if now - lead["created_at"] >= timedelta(days=30)]
    found = response.attempts(data, as_of="2026-05-10", window=SPRING)
    expected = {}
    for lead_row in old:
        n, reached = expected.get(min(lead_row["attempts"], 6), (0, 0))
        expected[min(lead_row["attempts"], 6)] = (n + 1, reached + bool(lead_row["contacted_at"]))
    assert {row.attempts: (row.n, row.n_events) for row in found.itertuples()} == expected
    assert found["share"].sum() == pytest.approx(1)


# --- what must not matter, nothing, and errors


def everything(data, as_of) -> list[pd.DataFrame]:
    same = {"as_of": as_of, "window": SPRING}
    return [
        response.delay_parts(data, **same),
        response.owner_delay(data, **same, by="team", clock="business"),
        response.alert_to_touch(data, **same, by="source"),
        response.attempts(data, **same),
        response.out_of_hours(data, **same),
        *[response.nurtured(data, **same, outcome=outcome) for outcome in ("answered", "appointment", "opportunity")],
        response.response_change(data, as_of=as_of, window=MARCH, past=FEBRUARY, by="owner"),
        response.sensitivity(data, **same, outcome="appointment"),
        response.what_if(data, as_of=as_of, window=MARCH, past=SPRING, outcome="appointment"),
        response.waiting_queue(data, as_of=as_of),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["duckdb", "polars"])
def test_row_order_and_engine_do_not_matter(engine):
    tables = {key: frame.iloc[::-1].reset_index(drop=True) for key, frame in random_company(1).items()}
    for one, other in zip(everything(random_data(1), "2026-06-01"), everything(dataset(tables, engine), "2026-06-01"), strict=True):
        pd.testing.assert_frame_equal(one, other)


def test_no_leads():
    acts = [touch("x", "2026-03-03 10:00", outcome="connected")]
    tables = {"leads": table("leads", []), "activities": table("activities", acts), "owners": owners()}
    data = dataset(tables | selling([deal("D", "2026-02-01 10:00")]) | {"lead_scores": table("lead_scores", [])})
    for found in everything(data, "2026-05-01"):
        assert values(found) == [None] * len(found) if "value" in found else len(found) == 0
    assert values(response.score_at_touch(data, as_of="2026-05-01", window=MARCH)) == [None]


def test_missing_columns():
    data = dataset(answering([lead("a", "2026-03-03 10:00")], [touch("a", "2026-03-03 11:00")]))
    cases = {
        response.routing_delay: "leads lacks the column assigned_at",
        response.owner_delay: "leads lacks the column assigned_at",
        response.alert_to_touch: "leads lacks the column alerted_at",
        response.nurtured: "leads lacks the column nurtured_at",
        response.score_at_touch: "the data set has no table lead_scores",
        response.speed_to_outcome: "the data set has no table opportunities",
    }
    for metric, message in cases.items():
        with pytest.raises(MissingTable, match=message):
            metric(data, as_of="2026-05-01", window=MARCH)
    with pytest.raises(MissingTable, match="activities lacks the column outcome"):  # nobody knows who was reached: not "none were"
        response.answered_within(data, as_of="2026-05-01", window=MARCH, event="contact")
    with pytest.raises(MissingTable, match="activities lacks the column outcome"):
        response.attempts(data, as_of="2026-05-01", window=MARCH)
    assert response.delay_parts(data, as_of="2026-05-01", window=MARCH)["part"].tolist() == ["attempt"]
    with pytest.raises(ParameterError, match="by='owner' is unknown here; use source or team"):
        response.what_if(data, as_of="2026-05-01", window=MARCH, past=MARCH, by="owner")
