"""How fast leads are answered: worked by hand, against the definition as a slow loop, and relations that must hold."""

from __future__ import annotations

from datetime import date, timedelta
from fractions import Fraction
from itertools import pairwise

import oracles
import pandas as pd
import pytest
from companies import (
    ZONE,
    answering,
    as_it_was,
    dataset,
    lead,
    owners,
    random_company,
    random_data,
    table,
    touch,
    utc,
)

from kpi import response_time as response
from kpi import schema
from kpi.errors import DataError, MissingTable, ParameterError
from kpi.periods import Month, Window

MARCH, APRIL = Month.parse("2026-03").window, Month.parse("2026-04").window
SPRING = Window(date(2026, 2, 1), date(2026, 5, 1))
SEEDS = [1, pytest.param(2, marks=pytest.mark.slow), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(30, 42))]
CAUSES = ("answered", "disqualified")
HOUR, DAY = 3600, 86_400


@pytest.fixture(scope="module")
def ten():
    """Ten leads of Tuesday 3 March, 10:00: answered after 1, 5, 5, 15, 60 and 61 minutes, one on Thursday; one declined, two waiting."""
    minutes = {"a": 1, "b": 5, "c": 5, "d": 15, "e": 60, "f": 61}
    leads = [lead(name, "2026-03-03 10:00", source="fair" if name in "abcde" else "web") for name in "abcdefghij"]
    leads[7]["disqualified_at"] = utc("2026-03-03 10:10")
    acts = [touch(name, f"2026-03-03 {10 + after // 60}:{after % 60:02d}") for name, after in minutes.items()] + [touch("g", "2026-03-05 11:00")]
    return dataset(answering(leads, acts) | {"owners": owners()})


def values(result: pd.DataFrame, column: str = "value") -> list:
    return [None if pd.isna(value) else value for value in result[column]]


# --- by hand


def test_answered_within_by_hand(ten):
    found = response.answered_within(ten, as_of="2026-03-06", window=MARCH)
    assert list(found.columns) == schema.RESULT
    assert found["horizon"].tolist() == [300, 900, 3600, DAY]
    # The declined one competes: it stays among the ten. Nobody was lost from sight within a day.
    assert found["value"].tolist() == pytest.approx([0.3, 0.4, 0.5, 0.6])
    assert found["n"].tolist() == [10] * 4
    assert found["n_events"].tolist() == [3, 4, 5, 6]
    assert found["n_open"].tolist() == [0] * 4
    assert set(found["view"]) == {"cohort"}
    assert (found["window_start"].iloc[0], found["window_end"].iloc[0]) == (MARCH.start, MARCH.end)
    assert found["as_of"].iloc[0] == utc("2026-03-06")
    assert ((found["low"] < found["value"]) & (found["value"] < found["high"])).all()


def test_waiting_leads_count_for_as_long_as_they_were_seen():
    # Asked at 10:00, 10:00, 11:30; the first is answered after 20 minutes, the third after 5; seen at 12:00, the second has waited for 2 hours.
    leads = [lead("a", "2026-03-03 10:00"), lead("b", "2026-03-03 10:00"), lead("c", "2026-03-03 11:30"), lead("d", "2026-03-03 11:50")]
    data = dataset(answering(leads, [touch("a", "2026-03-03 10:20"), touch("c", "2026-03-03 11:35")]))
    found = response.answered_within(data, as_of="2026-03-03T12:00", window=MARCH, horizons=(300, 600, 1200, 7200, 7201))
    # After 5 minutes 1 of 4; after 20 the fourth was last seen at 10 minutes: 1/4 + 3/4 * 1/2.
    assert values(found) == [0.25, 0.25, 0.625, 0.625, None]
    assert found["n_events"].tolist() == [1, 1, 2, 2, 2]
    assert found["n_open"].tolist() == [0, 0, 1, 1, 2]


def test_median_and_slowest_by_hand(ten):
    assert values(response.response_time(ten, as_of="2026-03-06", window=MARCH)) == [3600]  # the fifth of ten, after an hour
    assert values(response.response_time(ten, as_of="2026-03-06", window=MARCH, quantile=0.7)) == [49 * HOUR]
    slow = response.response_time(ten, as_of="2026-03-06", window=MARCH, quantile=0.9)
    assert (values(slow), slow["kpi"].tolist(), slow["n"].tolist(), slow["n_events"].tolist()) == ([None], ["response.p90"], [10], [7])


def test_business_hours_by_hand():
    # Open on Thursday 9-12 and 14-18:15, on Friday 8:45-16:00. Asked on Thursday at 17:00, answered on Friday at 9:00: 75 + 15 minutes.
    leads = [lead("night", "2026-03-05 17:00"), lead("lunch", "2026-03-05 12:10"), lead("1 May", "2026-04-30 18:00")]
    acts = [touch("night", "2026-03-06 09:00"), touch("lunch", "2026-03-05 13:59"), touch("1 May", "2026-05-04 09:01")]
    curve = response.response_curve(
        dataset(answering(leads, acts)), as_of="2026-06-01", window=Window(date(2026, 3, 1), date(2026, 5, 1)), clock="business"
    )
    assert curve.loc[curve["answered"] > 0, "time"].tolist() == [0, 16 * 60, 90 * 60]


def test_on_both_clocks(ten):
    found = response.on_both_clocks(ten, as_of="2026-03-06", window=MARCH)
    assert found["clock"].tolist() == ["wall", "business"]
    assert found["value"].tolist() == pytest.approx([0.5, 0.5])
    # Business time from Tuesday 10:00 to Thursday 11:00: 6 h 15 + 7 h 15 + 2 h.
    assert response.response_time(ten, as_of="2026-03-06", window=MARCH, clock="business", quantile=0.7)["value"].tolist() == [15.5 * HOUR]
    assert found["median"].tolist() == [3600, 3600]
    assert values(found, "slow") == [None, None]


def test_bands_by_hand(ten):
    found = response.response_bands(ten, as_of="2026-03-06", window=MARCH)
    assert found["band"].tolist() == list(range(8))
    assert values(found, "horizon") == [300, 900, 3600, 4 * HOUR, DAY, 7 * DAY, None, None]
    assert found["n_events"].tolist() == [3, 1, 1, 1, 0, 1, 0, 3]
    assert found["n"].tolist() == [10] * 8
    assert found["n_open"].tolist() == [0] * 7 + [2]
    assert found["value"].sum() == pytest.approx(1)


def test_never_answered_by_hand(ten):
    found = response.never_answered(ten, as_of="2026-03-06", window=MARCH)
    assert found[["value", "n", "n_events", "view"]].to_numpy().tolist() == [[0.2, 10, 2, "snapshot"]]
    low, high = found.loc[0, ["low", "high"]]
    assert (round(low, 4), round(high, 4)) == (0.0567, 0.5098)  # Wilson, 2 of 10
    young = response.never_answered(ten, as_of="2026-03-04T09:59:59", window=MARCH)
    assert (young["n"].tolist(), values(young)) == ([0], [None])  # none is a day old yet
    by = response.never_answered(ten, as_of="2026-03-06", window=MARCH, by="source")
    assert by[["source", "n", "n_events"]].to_numpy().tolist() == [["fair", 5, 0], ["web", 5, 2]]


def test_waiting_list(ten):
    found = response.waiting_leads(ten, as_of="2026-03-06")
    assert found[["lead_id", "owner", "source", "age_days"]].to_numpy().tolist() == [["i", "Ann", "web", 2], ["j", "Ann", "web", 2]]
    assert found["created_at"].tolist() == [utc("2026-03-03 10:00")] * 2
    assert len(response.waiting_leads(ten, as_of="2026-03-06", window=APRIL)) == 0
    assert len(response.waiting_leads(ten, as_of="2026-03-06", older_than=4 * DAY)) == 0
    assert response.waiting_leads(ten, as_of="2026-03-04T09:59")["lead_id"].tolist() == []
    assert response.waiting_leads(ten, as_of="2026-03-04T10:00")["lead_id"].tolist() == ["g", "i", "j"]  # g was answered on Thursday only


def test_touched_before_are_set_aside_and_counted():
    leads = [lead("early", "2026-03-03 10:00"), lead("plain", "2026-03-03 10:00"), lead("other month", "2026-04-03 10:00")]
    acts = [
        touch("early", "2026-03-02 17:00"),
        touch("early", "2026-03-03 10:01"),
        touch("plain", "2026-03-03 10:01"),
        touch("other month", "2026-04-03 09:00"),
    ]
    data = dataset(answering(leads, acts))
    assert response.touched_before(data, as_of="2026-05-01", window=MARCH) == 1
    assert response.touched_before(data, as_of="2026-05-01", window=SPRING) == 2
    found = response.answered_within(data, as_of="2026-05-01", window=MARCH)
    assert (found["n"].tolist(), found["value"].tolist()) == ([1] * 4, [1.0] * 4)
    assert response.response_bands(data, as_of="2026-05-01", window=MARCH)["n"].tolist() == [1] * 8
    assert response.never_answered(data, as_of="2026-05-01", window=SPRING)["n"].tolist() == [1]


def test_compared_by_hand():
    leads = [
        lead("old", "2026-02-03 10:00", source="web"),
        lead("new", "2026-03-03 10:00", source="web"),
        lead("fair", "2026-03-03 10:00", source="fair"),
    ]
    data = dataset(answering(leads, [touch("new", "2026-03-03 10:30")]))
    found = response.compared(data, as_of="2026-05-01", window=MARCH, past=Month.parse("2026-02").window, by="source")
    assert found["source"].tolist() == ["fair", "web"]
    assert values(found) == [0, 1]
    assert values(found, "before") == [None, 0]
    assert values(found, "median") == [None, 1800]
    assert values(found, "waiting") == [1, 0]


def test_a_month_ends_at_local_midnight():
    leads = [lead("march", "2026-03-31 23:30"), lead("april", "2026-04-01 00:00"), lead("february", "2026-02-28 23:30")]
    data = dataset(answering(leads, []))
    assert [response.never_answered(data, as_of="2026-06-01", window=w)["n"].item() for w in (Month.parse("2026-02").window, MARCH, APRIL)] == [
        1,
        1,
        1,
    ]


def test_declined_before_it_was_received():
    """A date alone is midnight, so a lead declined on the day it came in looks declined before: it is out at once, not a fault."""
    leads = [lead("a", "2026-03-03 10:00", disqualified_at=utc("2026-03-03 00:00")), lead("b", "2026-03-03 10:00")]
    data = dataset(answering(leads, [touch("b", "2026-03-03 10:01")]))
    found = response.answered_within(data, as_of="2026-05-01", window=MARCH, horizons=(300,))
    assert found[["value", "n", "n_events"]].to_numpy().tolist() == [[0.5, 2, 1]]
    assert len(response.waiting_leads(data, as_of="2026-05-01")) == 0


# --- the definition as a slow loop


@pytest.mark.parametrize("seed", SEEDS)
def test_against_the_definition(seed):
    tables, data = random_company(seed), random_data(seed)
    for as_of, window in (("2026-05-01", MARCH), ("2026-05-01", SPRING), ("2026-04-01", MARCH)):
        now = utc(as_of).to_pydatetime()
        every = oracles.leads_at(tables, now, ZONE)
        leads = oracles.eligible(every, window.start, window.end)
        waits = oracles.waits(leads)
        horizons = (60, 300, 900, HOUR, DAY, 30 * DAY)
        found = response.answered_within(data, as_of=as_of, window=window, horizons=horizons).set_index("horizon")
        for limit in horizons:
            row, expected = found.loc[limit], oracles.share_by(waits, CAUSES, "answered", limit)
            assert row["value"] == pytest.approx(expected) if expected is not None else pd.isna(row["value"]), (window, limit)
            assert row["n"] == len(leads)
            assert row["n_events"] == sum(1 for _, delay, outcome in waits if outcome == "answered" and delay <= limit)
            assert row["n_open"] == sum(1 for _, delay, outcome in waits if outcome == "censored" and delay < limit)
        for share in (Fraction(1, 4), Fraction(1, 2), Fraction(9, 10)):
            assert values(response.response_time(data, as_of=as_of, window=window, quantile=float(share))) == [
                oracles.time_to(waits, CAUSES, "answered", share)
            ]
        old = [lead for lead in leads if now - lead["created_at"] >= timedelta(days=1)]
        waiting = sorted((lead["created_at"], lead["lead_id"]) for lead in old if lead["outcome"] == "waiting")
        row = response.never_answered(data, as_of=as_of, window=window).iloc[0]
        assert (row["n"], row["n_events"]) == (len(old), len(waiting))
        listed = response.waiting_leads(data, as_of=as_of, window=window)
        assert listed["lead_id"].tolist() == [lead_id for _, lead_id in waiting]
        assert response.touched_before(data, as_of=as_of, window=window) == sum(
            1 for lead in every if lead["touched_before"] and window.start <= lead["created"] < window.end
        )
        bands = response.response_bands(data, as_of=as_of, window=window)
        edges = [-1, 300, 900, HOUR, 4 * HOUR, DAY, 7 * DAY, float("inf")]
        delays = [lead["delay"] for lead in leads if lead["outcome"] == "answered"]
        assert bands["n_events"].tolist()[:-1] == [sum(low < delay <= high for delay in delays) for low, high in pairwise(edges)]
        assert bands["n_events"].iloc[-1] == len(leads) - len(delays)


@pytest.mark.parametrize("by", ["source", "owner", "team", "country", "month", "weekday", "hour", "open"])
def test_groups_are_the_whole(by):
    """Each lead is in one group: counts add up, and one group alone gives what it gave beside the others."""
    data = random_data(2)
    found = response.answered_within(data, as_of="2026-05-01", window=SPRING, by=by, horizons=(HOUR,))
    whole = response.answered_within(data, as_of="2026-05-01", window=SPRING, horizons=(HOUR,)).iloc[0]
    for column in ("n", "n_events", "n_open"):
        assert found[column].sum() == whole[column]
    assert found[by].is_monotonic_increasing
    assert found[by].is_unique


def test_a_group_alone():
    tables = random_company(2)
    leads = tables["leads"].drop(columns=["merged_into", "person_id"])  # an inquiry of several leads may stand in two groups
    own = leads[leads["source"] == "fair"]
    calls = tables["activities"]
    calls = calls[calls["lead_id"].isin(own["lead_id"])]  # a link that hardly any call finds would be no link
    alone, every = dataset(tables | {"leads": own, "activities": calls}), dataset(tables | {"leads": leads})
    beside = response.answered_within(every, as_of="2026-05-01", window=SPRING, by="source")
    beside = beside[beside["source"] == "fair"].drop(columns="source").reset_index(drop=True)
    pd.testing.assert_frame_equal(response.answered_within(alone, as_of="2026-05-01", window=SPRING), beside)


def test_months_make_the_quarter():
    data = random_data(3)
    months = [Month.parse("2026-02").shift(step).window for step in range(3)]
    for counted in ("n", "n_events"):
        parts = [response.never_answered(data, as_of="2026-07-01", window=window)[counted].item() for window in months]
        assert sum(parts) == response.never_answered(data, as_of="2026-07-01", window=SPRING)[counted].item()
    by_month = response.never_answered(data, as_of="2026-07-01", window=SPRING, by="month")
    assert by_month["month"].tolist() == ["2026-02", "2026-03", "2026-04"]


# --- what must not matter


def everything(data, as_of) -> list[pd.DataFrame]:
    same = {"as_of": as_of, "window": SPRING}
    return [
        response.response_curve(data, **same),
        response.answered_within(data, **same, by=["team", "month"]),
        response.response_time(data, **same, clock="business", by="owner"),
        response.on_both_clocks(data, **same),
        response.compared(data, **same, past=MARCH, by="source"),
        response.response_bands(data, **same),
        response.never_answered(data, **same, by="hour"),
        response.waiting_leads(data, as_of=as_of),
        pd.DataFrame({"n": [response.touched_before(data, **same)]}),
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
def test_nothing_after_as_of_matters():
    then = dataset(as_it_was(random_company(1), utc("2026-05-01")))
    assert_same(everything(then, "2026-05-01"), everything(random_data(1), "2026-05-01"))


@pytest.mark.slow
def test_asking_twice_gives_the_same():
    data = random_data(1)
    assert_same(everything(data, "2026-05-01"), everything(data, utc("2026-05-01")))


# --- nothing, one row, and errors


def test_empty_window_and_empty_tables():
    bare = {"owners": owners(), "leads": table("leads", []), "activities": table("activities", [touch("x", "2026-03-03 10:00")])}
    for data in (dataset(bare), dataset(answering([lead("a", "2026-01-05 10:00")], []))):
        found = response.answered_within(data, as_of="2026-05-01", window=MARCH)
        assert (values(found), found["n"].tolist()) == ([None] * 4, [0] * 4)
        assert values(response.response_time(data, as_of="2026-05-01", window=MARCH)) == [None]
        assert len(response.answered_within(data, as_of="2026-05-01", window=MARCH, by="source")) == 0
        assert len(response.response_time(data, as_of="2026-05-01", window=MARCH, by="source")) == 0
        bands = response.response_bands(data, as_of="2026-05-01", window=MARCH)
        assert (values(bands), bands["n"].tolist()) == ([None] * 8, [0] * 8)
        never = response.never_answered(data, as_of="2026-05-01", window=MARCH)
        assert (values(never), never["n"].tolist()) == ([None], [0])
        assert len(response.never_answered(data, as_of="2026-05-01", window=MARCH, by="owner")) == 0
        assert len(response.waiting_leads(data, as_of="2026-05-01", window=MARCH)) == 0
        assert response.touched_before(data, as_of="2026-05-01", window=MARCH) == 0
        assert len(response.compared(data, as_of="2026-05-01", window=MARCH, past=APRIL, by="owner")) == 0
        assert len(response.on_both_clocks(data, as_of="2026-05-01", window=MARCH)) == 2
    with pytest.raises(MissingTable, match="no table owners"):  # no teams are known: that is not one blank team
        response.compared(data, as_of="2026-05-01", window=MARCH, past=APRIL, by="team")


def test_one_lead():
    data = dataset(answering([lead("a", "2026-03-03 10:00")], [touch("a", "2026-03-03 10:01")]))
    found = response.answered_within(data, as_of="2026-05-01", window=MARCH, horizons=(59, 60))
    assert found["value"].tolist() == [0, 1]
    assert found[["low", "high"]].notna().all(axis=None)
    assert values(response.response_time(data, as_of="2026-05-01", window=MARCH)) == [60]


def test_errors(ten):
    same = {"as_of": "2026-03-06", "window": MARCH}
    with pytest.raises(ParameterError, match=r"by='colour' is unknown here; use one of source, owner, country, team, month, weekday, hour, open"):
        response.answered_within(ten, **same, by="colour")
    with pytest.raises(ParameterError, match="clock 'sun' is unknown; use wall or business"):
        response.response_curve(ten, **same, clock="sun")
    with pytest.raises(ParameterError, match="level"):
        response.never_answered(ten, **same, level=95)
    with pytest.raises(
        DataError, match=r"as_of 2026-07-01 22:00:00 UTC lies after the end of the data, 2026-06-30 22:00:00 UTC; ask for an earlier date"
    ):
        response.answered_within(ten, as_of="2026-07-02", window=MARCH)
    leads = dataset({"leads": table("leads", [lead("a", "2026-03-03 10:00")])})
    acts = dataset({"activities": table("activities", [touch("a", "2026-03-03 10:00")])})
    for data, missing in ((leads, "activities"), (acts, "leads")):
        with pytest.raises(MissingTable, match=rf"the data set has no table {missing}; describe it under \[tables.{missing}\] in kpi.toml"):
            response.answered_within(data, as_of="2026-05-01", window=MARCH)
