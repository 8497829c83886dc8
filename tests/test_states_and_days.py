"""What a day without an hour, a history without its end, an older deal, a target of teams mean: by hand, and against slow definitions."""

from __future__ import annotations

from datetime import date

import oracles
import pandas as pd
import pytest
from companies import ZONE, dataset, deal, first_quick, lead, owners, random_company, stages, story, table, touch, utc

from kpi import engine, facts, pipeline, response_time
from kpi.periods import day_of, year_before

AS_OF = "2026-04-01"


def days_only(frame: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """The same instants as an export of dates would give them: local midnight, the hours gone."""
    local = {name: frame[name].dt.tz_localize("UTC").dt.tz_convert(ZONE).dt.tz_localize(None).dt.floor("1D") for name in columns}
    return frame.assign(**{name: days.dt.date.where(days.notna(), None) for name, days in local.items()})


# --- days


@pytest.fixture(scope="module")
def dated():
    """Closings and assignments are dates: two deals are closed on the day they are created, four leads assigned on the day they come in."""
    made = [
        deal("same day", "2026-03-02 10:00", "won", "2026-03-02"),
        deal("later", "2026-03-03 10:00", "lost", "2026-03-20"),
        deal("same day too", "2026-03-04 10:00", "won", "2026-03-04"),
        deal("ahead", "2026-03-05 10:00", "won", "2026-06-20"),
    ]
    leads = [lead(f"L{i}", f"2026-03-02 10:0{i}", assigned_at=utc("2026-03-02")) for i in range(4)]
    tables = {
        "opportunities": days_only(table("opportunities", made), "closed_at"),
        "leads": days_only(table("leads", leads), "assigned_at"),
        "activities": table("activities", [touch("L0", "2026-03-02 10:30")]),
    }
    return dataset(tables)


def test_a_deal_closed_on_the_day_of_its_creation_is_closed(dated):
    row = pipeline.closed_win_rate(dated, as_of=AS_OF).iloc[0]
    assert (row["value"], row["n"], row["n_events"], row["n_open"]) == (2 / 3, 3, 2, 1)  # the one closed in June is open in April
    assert pipeline.sales_cycle(dated, as_of=AS_OF)["value"].item() == 0
    assert pipeline.won(dated, as_of=AS_OF, window="2026-03", measure="value")["value"].iloc[0] == 200
    states = engine.collect(facts.opportunities(dated, utc("2026-03-02 09:00")))
    assert states.empty, "not created yet, whatever the midnight of its closing says"


def test_an_hour_of_assignment_that_is_not_known_is_no_delay(dated):
    for metric in (response_time.routing_delay, response_time.owner_delay):
        row = metric(dated, as_of=AS_OF, window="2026-03").iloc[0]
        assert (pd.isna(row["value"]), row["n"]) == (True, 4)


@pytest.mark.parametrize("seed", first_quick([1, 2, 3, 4, 5]))
def test_deals_dated_by_days_are_those_of_the_definition(seed):
    tables = random_company(seed)
    tables["opportunities"] = days_only(tables["opportunities"], "closed_at")
    half = tables["opportunities"]["opportunity_id"].iloc[::2]
    tables["opportunity_history"] = tables["opportunity_history"][tables["opportunity_history"]["opportunity_id"].isin(half)]
    data = dataset(tables)
    midnights = [day and utc(str(day)) for day in tables["opportunities"]["closed_at"]]
    slow = tables | {"opportunities": tables["opportunities"].assign(closed_at=midnights)}
    for as_of in ("2026-03-15 12:00", "2026-05-01"):
        found = engine.collect(facts.opportunities(data, utc(as_of))).set_index("opportunity_id")
        expected = oracles.deals_at(slow, utc(as_of).to_pydatetime(), ZONE)
        told = {row["opportunity_id"]: (row["status"], row["closed"]) for row in expected}
        closed = found["closed_day"]
        assert {name: (found["status"][name], None if pd.isna(closed[name]) else day_of(int(closed[name]))) for name in found.index} == told


# --- histories


@pytest.fixture(scope="module")
def told():
    """A history that lacks the closing; one won by mistake; one through a stage that is not listed."""
    history = [
        *story("won on record", ("2026-01-05", "Qualified", "open"), ("2026-01-15", "Proposal", "open")),
        *story("lost", ("2026-01-05", "Qualified", "open"), ("2026-02-12", "Lost", "lost")),
        *story(
            "mistake",
            ("2026-01-05", "Qualified", "open"),
            ("2026-01-15", "Won", "won"),
            ("2026-02-05", "Proposal", "open"),
            ("2026-03-10", "Lost", "lost"),
        ),
        *story("renamed", ("2026-01-05", "Qualified", "open"), ("2026-01-15", "Old name", "open"), ("2026-02-05", "Negotiation", "open")),
    ]
    deals = [
        deal("won on record", "2026-01-05", "won", "2026-02-10 12:00"),
        deal("lost", "2026-01-05", "lost", "2026-02-12"),
        deal("mistake", "2026-01-05", "lost", "2026-03-10"),
        deal("renamed", "2026-01-05", stage="Negotiation"),
    ]
    tables = {"opportunities": table("opportunities", deals), "opportunity_history": table("opportunity_history", history), "stages": stages()}
    return dataset(tables)


def test_a_record_that_says_won_closes_the_history_that_ends_open(told):
    rows = engine.collect(facts.opportunities(told, utc(AS_OF))).set_index("opportunity_id")
    assert rows["status"].to_dict() == {"won on record": "won", "lost": "lost", "mistake": "lost", "renamed": "open"}
    assert day_of(int(rows["closed_day"]["won on record"])) == date(2026, 2, 10)
    before = engine.collect(facts.opportunities(told, utc("2026-02-10 12:00"))).set_index("opportunity_id")
    assert before["status"]["won on record"] == "open"
    flags = told.flags[told.flags["flag"] == "history ends open, though the record is closed"]
    assert flags[["table", "rule", "rows"]].to_numpy().tolist() == [["opportunity_history", "mended", 1]]


def test_a_deal_won_by_mistake_is_lost_in_the_funnel_too(told):
    rows = engine.collect(facts.reached(told, utc(AS_OF)))
    assert sorted(rows.loc[rows["opportunity_id"] == "mistake", "position"]) == [1, 2]
    assert sorted(rows.loc[rows["opportunity_id"] == "won on record", "position"]) == [1, 2, 3, 4]
    then = engine.collect(facts.reached(told, utc("2026-02-01")))
    assert sorted(then.loc[then["opportunity_id"] == "mistake", "position"]) == [1, 2, 3, 4], "nobody knew better in February"


def test_a_move_to_a_stage_that_is_not_listed_is_unknown_not_back(told):
    flow = pipeline.stage_flow(told, as_of=AS_OF, window=("2026-01-01", AS_OF)).set_index(["stage", "move"])
    assert flow["n_events"]["Qualified", "back"] == 0
    assert flow["n_events"]["Qualified", "unknown"] == 1
    assert flow["n_events"].groupby("stage").sum().to_dict() == flow["n"].groupby("stage").max().to_dict()
    assert pipeline.stage_moves(told, as_of=AS_OF, window=("2026-01-01", AS_OF)).set_index("move")["value"]["back"] == 0


# --- links and targets


def test_an_older_deal_of_the_same_person_does_not_hide_the_new_one():
    deals = [
        deal("old", "2026-01-01", "lost", "2026-02-01", lead_id="L"),
        deal("new", "2026-03-10", "won", "2026-03-20", lead_id="L"),
        deal("only old", "2026-01-01", "won", "2026-02-01", lead_id="M"),
    ]
    tables = {"leads": table("leads", [lead("L", "2026-03-02 10:00"), lead("M", "2026-03-02 10:00")])}
    tables |= {"opportunities": table("opportunities", deals), "activities": table("activities", [touch("L", "2026-03-02 10:30")])}
    rows = engine.collect(facts.leads(dataset(tables), utc("2026-05-01")), ["lead_id"])
    assert [day_of(int(day)) for day in rows["opportunity_day"]] == [date(2026, 3, 10), date(2026, 1, 1)]
    assert [day_of(int(day)) for day in rows["won_day"]] == [date(2026, 3, 20), date(2026, 2, 1)]


def test_a_company_target_holds_those_of_its_teams_already():
    goals = [
        {"month": f"2026-0{month}", "measure": "won_value", "team": team, "amount": amount}
        for month in (1, 2, 3)
        for team, amount in ((None, 200.0), ("Nord", 120.0), ("Sud", 80.0))
    ]
    deals = [deal(who, "2026-01-05", owner=who, expected_close_on=pd.Timestamp("2026-03-20")) for who in ("Ann", "Cid")]
    data = dataset({"opportunities": table("opportunities", deals), "targets": table("targets", goals), "owners": owners()})
    row = pipeline.coverage(data, as_of="2026-03-01").iloc[0]
    assert (row["target"], row["value"]) == (600, pytest.approx(200 / 600))
    teams = dataset({"opportunities": table("opportunities", deals), "targets": table("targets", [goal for goal in goals if goal["team"]])})
    assert pipeline.coverage(teams, as_of="2026-03-01")["target"].item() == 600, "without one of the company, those of its teams"


def test_quarters_are_those_of_the_fiscal_year(tmp_path):
    import kpi

    (tmp_path / "o.csv").write_text(
        "opportunity_id,owner,created_at,closed_at,amount,stage,status,expected_close_on\n"
        "1,A,2026-01-05 09:00:00,,100,S1,open,2026-04-30\n2,A,2026-02-05 09:00:00,,100,S1,open,2026-05-02\n"
    )
    (tmp_path / "t.csv").write_text("month,measure,amount\n2026-02,won_value,200\n2026-03,won_value,200\n2026-04,won_value,200\n")
    (tmp_path / "kpi.toml").write_text(
        '[company]\nname="F"\nfiscal_year_starts=2\nexported_at="2026-05-01"\n[tables.opportunities]\npath="o.csv"\n[tables.targets]\npath="t.csv"\n'
    )
    data = kpi.load(tmp_path)
    row = pipeline.coverage(data, as_of="2026-03-01").iloc[0]  # February to April: 100 of 3 x 200
    assert (row["target"], row["open_amount"], row["value"]) == (600, 100, pytest.approx(1 / 6))
    found = pipeline.opportunity_to_customer(data, as_of="2026-05-01", view="cohort", window=("2026-01-01", "2026-05-01"), by="quarter")
    assert sorted(set(found["quarter"])) == ["2025-Q4", "2026-Q1"]


def test_a_year_before_is_the_same_day():
    assert [year_before(date(2026, 3, 31)), year_before(date(2024, 2, 29)), year_before(date(2025, 2, 28))] == [
        date(2025, 3, 31),
        date(2023, 2, 28),
        date(2024, 2, 28),
    ]
