"""The owner of the time, and the team that he was in then: worked by hand, and `where` held against `by` under random handovers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from companies import END, ENGINES, dataset, deal, first_quick, lead, random_company, stages, story, table, touch, utc

import kpi
from kpi import compute, forecast, pipeline, response_time, retention
from kpi.engine import collect
from kpi.errors import MissingTable
from kpi.forecast.pipeline_counts import counted
from kpi.periods import Month, Window

WINTER = ("2026-01-01", "2026-04-01")


def read(result: pd.DataFrame, *columns: str) -> list:
    return result[list(columns)].astype(object).where(result[list(columns)].notna(), None).to_numpy().tolist()


# --- by hand

DEALS = [
    deal("sold", "2026-01-05", "won", "2026-02-10", 100.0, owner="Bob", expected_close_on=pd.Timestamp("2026-02-15")),
    deal("missed", "2026-01-05", "lost", "2026-02-11", 50.0, owner="Bob", lost_reason="price"),
    deal("moved", "2026-01-05", "open", None, 10.0, owner="Bob", stage="Proposal"),
    deal("late", "2026-01-05", "open", None, 7.0, owner="Bob"),  # its history begins in February, under Ann
    deal("unsaid", "2026-01-05", "won", "2026-02-20", 30.0, owner="Bob"),  # its history lacks the closing; the record was handed over
]
HISTORY = [
    *story("sold", ("2026-01-05", "Qualified", "open"), ("2026-02-10", "Won", "won"), ("2026-04-10", "Won", "won", 100.0, "Bob")),
    *story("missed", ("2026-01-05", "Qualified", "open", 50.0, "Bob"), ("2026-02-11", "Lost", "lost", 50.0, "Bob")),
    *story(
        "moved",
        ("2026-01-05", "Qualified", "open", 10.0, "Ann"),
        ("2026-01-20", "Qualified", "open", 10.0, "Bob"),
        ("2026-01-25", "Proposal", "open", 10.0, "Bob"),
    ),
    *story("late", ("2026-02-01", "Qualified", "open", 7.0, "Ann"), ("2026-04-20", "Qualified", "open", 7.0, "Bob")),
    *story("unsaid", ("2026-01-05", "Qualified", "open", 30.0, "Ann")),
]
TEAMS = [("Ann", "Nord", None, "2026-02-01"), ("Ann", "Sud", "2026-02-01", None), ("Bob", "Sud", None, None)]


def company(deals=DEALS, history=HISTORY, **more) -> kpi.Dataset:
    tables = {"opportunities": table("opportunities", deals), "opportunity_history": table("opportunity_history", history), "stages": stages()}
    return dataset(tables | {"owners": teams(TEAMS)} | more)


def teams(spells: list[tuple]) -> pd.DataFrame:
    names = ("owner", "team", "from_on", "to_on")
    rows = [dict(zip(names, (who, team, since and pd.Timestamp(since), to and pd.Timestamp(to)), strict=True)) for who, team, since, to in spells]
    return table("owners", rows)


@pytest.fixture(scope="module")
def sold() -> kpi.Dataset:
    return company()


@pytest.mark.parametrize("as_of", first_quick(["2026-05-01", "2026-04-01"]))
def test_a_closed_deal_is_its_owners_when_it_was_closed(sold, as_of):
    """Ann won two and lost none, Bob lost one: whatever was handed over afterwards, told by the history or by the record alone."""
    found = pipeline.closed_win_rate(sold, as_of=as_of, window=WINTER, by="owner")
    assert read(found, "owner", "n", "n_events") == [["Ann", 2, 2], ["Bob", 1, 0]]
    for who, expected in (("Ann", [[2, 2]]), ("Bob", [[1, 0]])):
        assert read(pipeline.closed_win_rate(sold.where(owner=who), as_of=as_of, window=WINTER), "n", "n_events") == expected
    assert read(pipeline.won(sold.where(owner="Ann"), as_of=as_of, window="2026-02", measure="value"), "value") == [[130]]
    assert read(pipeline.won(sold.where(owner="Bob"), as_of=as_of, window="2026-02", measure="value"), "value") == [[0]]


def test_rates_are_of_the_owner_at_entry_snapshots_of_the_one_at_the_date(sold):
    at = {"as_of": "2026-05-01"}
    came = pipeline.opportunity_to_customer(sold, **at, view="cohort", window="2026-01", horizons=[90], by="owner")
    assert read(came, "owner", "n", "n_events") == [["Ann", 4, 2], ["Bob", 1, 0]]  # Ann's: sold, moved, late, unsaid
    steps = pipeline.stage_conversion(sold, **at, view="cohort", window=WINTER, horizon=90, by="owner")
    assert read(steps[steps["stage"] == "Qualified"], "owner", "n", "n_events") == [["Ann", 4, 3], ["Bob", 1, 0]]  # moved came in as Ann's
    assert read(steps[steps["stage"] == "Proposal"], "owner", "n") == [["Ann", 2], ["Bob", 1]]  # won at once: beyond; moved went there as Bob's
    assert read(pipeline.open_pipeline(sold, as_of="2026-01-15", by="owner"), "owner", "n") == [["Ann", 4], ["Bob", 1]]
    assert read(pipeline.open_pipeline(sold, as_of="2026-03-01", by="owner"), "owner", "n") == [["Ann", 1], ["Bob", 1]]
    assert read(pipeline.open_pipeline(sold, as_of="2026-05-01", by="owner"), "owner", "n") == [["Bob", 2]]
    assert read(pipeline.created(sold.where(owner="Ann"), **at, window="2026-01"), "value") == [[4]]


def test_teams_are_those_of_the_time(sold):
    """Ann was in Nord until the end of January: what she won in February is Sud's."""
    nord, sud = (sold.where(team=team) for team in ("Nord", "Sud"))
    at = {"as_of": "2026-05-01", "window": WINTER}
    assert read(pipeline.closed_win_rate(nord, **at), "n", "n_open") == [[0, 0]]
    assert read(pipeline.closed_win_rate(sud, **at), "n", "n_events", "n_open") == [[3, 2, 2]]
    came = {"as_of": "2026-05-01", "view": "cohort", "window": "2026-01", "horizons": [90]}
    assert read(pipeline.opportunity_to_customer(nord, **came), "n", "n_events") == [[4, 2]]
    assert read(pipeline.opportunity_to_customer(sud, **came), "n", "n_events") == [[1, 0]]
    assert [pipeline.open_pipeline(part, as_of="2026-02-01")["n"].sum() for part in (nord, sud)] == [3, 2]  # the last instant of January
    assert [pipeline.open_pipeline(part, as_of="2026-02-02")["n"].sum() for part in (nord, sud)] == [0, 5]
    dates = ["2026-01-15", "2026-02-02", "2026-05-01"]
    assert pipeline.snapshots(sud, dates=dates).groupby("date")["n"].sum().tolist() == [1, 5, 2]
    account = pipeline.waterfall(nord, as_of="2026-05-01", window=("2026-01-15", "2026-03-01")).set_index("step")
    assert account.loc[["start", "owner_out", "currency", "end"], "deals"].tolist() == [4, -4, 0, 0]
    assert account.loc[["start", "owner_out", "currency", "end"], "value"].tolist() == [147, -147, 0, 0]
    account = pipeline.waterfall(sud, as_of="2026-05-01", window=("2026-01-15", "2026-03-01")).set_index("step")
    assert account.loc[["start", "owner_in", "won", "lost", "currency", "end"], "deals"].tolist() == [1, 4, -2, -1, 0, 2]


def test_a_handover_that_is_told_is_in_the_account_of_an_owner(sold):
    account = pipeline.waterfall(sold.where(owner="Ann"), as_of="2026-05-01", window=("2026-01-15", "2026-05-01"))
    same = pipeline.waterfall(sold, owners=["Ann"], as_of="2026-05-01", window=("2026-01-15", "2026-05-01"))
    pd.testing.assert_frame_equal(account, same)
    assert account.set_index("step").loc[["start", "owner_out", "won", "end"], "deals"].tolist() == [4, -2, -2, 0]


def test_links_lead_to_records_of_other_owners():
    """A lead of Ann's becomes a deal of Bob's, is merged with one of Bob's, and is touched under its other name."""
    leads = [
        lead("L1", "2026-02-02 10:00"),
        lead("L2", "2026-02-03 10:00", owner="Bob", merged_into="L1"),
        lead("L3", "2026-02-04 10:00", owner="Bob"),
    ]
    deals = [deal("D", "2026-02-10", "won", "2026-02-20", lead_id="L1", owner="Bob", source="fair")]
    tables = {"leads": table("leads", leads), "activities": table("activities", [touch("L2", "2026-02-03 11:00", owner="Bob")])}
    data = dataset(tables | {"opportunities": table("opportunities", deals)})
    month = {"as_of": "2026-06-01", "window": "2026-02", "view": "cohort", "horizons": [90]}
    for part, expected in ((data.where(owner="Ann"), [1, 1]), (data.where(source="web"), [2, 1])):
        assert read(pipeline.lead_to_opportunity(part, **month), "n", "n_events") == [expected]
        assert read(response_time.answered_within(part, as_of="2026-06-01", window="2026-02", horizons=[90_000]), "n", "n_events") == [expected]


def test_customers_are_their_teams_when_they_became_ones():
    acquired = {"K0": "2026-01-10", "K1": "2026-02-10", "K2": None, "K3": None, "K4": None, "K5": None}
    customers = [{"customer_id": who, "owner": "Ann", "acquired_at": at and utc(at)} for who, at in acquired.items()]
    orders = [("K0", "2026-03-01"), ("K1", "2026-03-01"), ("K2", "2026-01-31"), ("K2", "2026-03-02"), ("K3", "2026-02-01")]
    sales = [{"order_id": str(n), "customer_id": who, "at": utc(at), "amount": 1.0} for n, (who, at) in enumerate(orders)]
    terms = [{"contract_id": "C", "customer_id": "K4", "start_on": pd.Timestamp("2026-01-31"), "monthly_amount": 1.0}]
    terms.append({"contract_id": "D", "customer_id": "K5", "start_on": pd.Timestamp("2026-02-01"), "monthly_amount": 1.0})
    data = company(customers=table("customers", customers), orders=table("orders", sales), contracts=table("contracts", terms))
    parts = {team: collect(data.where(team=team).table("customers"), ["customer_id"])["customer_id"].tolist() for team in ("Nord", "Sud")}
    assert parts == {"Nord": ["K0", "K2", "K4"], "Sud": ["K1", "K3", "K5"]}
    assert retention.value_to_date(data.where(team="Nord"), as_of="2026-05-01")["value"].tolist() == [1.5]


def test_a_part_that_a_table_cannot_tell_is_missing(sold):
    with pytest.raises(MissingTable, match="source"):
        leads = table("leads", [lead("L", "2026-01-05")])
        pipeline.open_pipeline(dataset({"leads": leads, "opportunities": table("opportunities", DEALS)}).where(source="web"), as_of="2026-05-01")


# --- generated

AS_OF = "2026-05-01"
SINCE = {"as_of": AS_OF, "window": ("2026-01-01", AS_OF)}
OF_DEALS = [
    (pipeline.closed_win_rate, SINCE),
    (pipeline.closed_win_rate, SINCE | {"weight": "amount"}),
    (pipeline.loss_reasons, SINCE),
    *((pipeline.average_value, SINCE | {"status": status}) for status in ("won", "lost", "open")),
    (pipeline.sales_cycle, SINCE),
    (pipeline.opportunity_to_customer, {"as_of": AS_OF}),
    (pipeline.opportunity_to_customer, SINCE | {"view": "cohort"}),
    (pipeline.stage_conversion, {"as_of": AS_OF}),
    (pipeline.funnel, {"as_of": AS_OF}),
    (pipeline.time_in_stage, {"as_of": AS_OF}),
    (pipeline.open_pipeline, {"as_of": AS_OF}),
    (pipeline.snapshots, {"dates": ["2026-02-01", "2026-03-29", AS_OF]}),
]
OF_LEADS = [
    (pipeline.lead_to_opportunity, {"as_of": AS_OF}),
    (pipeline.lead_to_customer, SINCE | {"view": "cohort"}),
    *((metric, SINCE) for metric in (response_time.answered_within, response_time.response_time, response_time.never_answered)),
    *((metric, SINCE) for metric in (response_time.routing_delay, response_time.owner_delay, response_time.alert_to_touch)),
]


def handed_over(seed: int) -> dict[str, pd.DataFrame]:
    """A random company in which deals are handed over at random, closed or not; owners change their teams."""
    tables, rng = random_company(seed), np.random.default_rng(seed)
    history, deals = tables["opportunity_history"], tables["opportunities"].assign(lost_reason="price")
    last = history.sort_values(["changed_at", "seq"]).groupby("opportunity_id", as_index=False).last()
    last = last[rng.random(len(last)) < 0.6]
    at = (last["changed_at"] + (utc(END) - last["changed_at"]) * rng.random(len(last))).astype("datetime64[us]")
    passed = last.assign(changed_at=at, seq=last["seq"] + 1, owner=rng.choice(["Ann", "Bob", "Cid"], len(last)))
    new = passed.set_index("opportunity_id")["owner"]
    deals["owner"] = deals["opportunity_id"].map(new).fillna(deals["owner"])
    days = ["2026-02-15", "2026-03-29", "2026-05-20"]
    spells = [(who, team, None, day) for who, team, day in zip(("Ann", "Bob", "Cid"), ("Nord", "Nord", "Sud"), days, strict=True)]
    spells += [(who, team, day, None) for who, team, day in zip(("Ann", "Bob", "Cid"), ("Sud", "Ost", "Nord"), days, strict=True)]
    history = pd.concat([history, passed[history.columns]])
    return tables | {"opportunities": deals, "opportunity_history": history, "owners": teams([*spells, ("Dan", "Ost", None, None)])}


def holds(metric, options: dict, data: kpi.Dataset, by: str, values: list[str]) -> None:
    """Each group's rows are those of the part alone."""
    beside = metric(data, **options, by=by)
    for value in values:
        needs = {"by": by} if metric in (pipeline.open_pipeline, pipeline.snapshots) else {}
        alone, expected = metric(data.where({by: value}), **options, **needs), beside[beside[by] == value].reset_index(drop=True)
        if len(expected):
            pd.testing.assert_frame_equal(alone.assign(**{by: value})[list(beside)], expected, obj=f"{metric.__name__} {options} {by}={value}")
        else:
            assert not alone["n"].fillna(0).any(), (metric, by, value)


@pytest.mark.parametrize("engine", ENGINES)
def test_where_is_what_by_says(engine):
    data = dataset(handed_over(1), engine)
    holds(*OF_DEALS[0], data, "owner", ["Bob"])


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(("by", "metrics"), [("owner", [*OF_DEALS, *OF_LEADS]), ("team", OF_LEADS), ("source", [*OF_DEALS, *OF_LEADS])])
def test_where_is_what_by_says_of_every_kpi_that_offers_both(seed, by, metrics):
    values = {"owner": ["Ann", "Bob", "Cid", "Dan"], "team": ["Nord", "Ost", "Sud"], "source": ["web", "fair"]}[by]
    data = dataset(handed_over(seed))
    for metric, options in metrics:
        holds(metric, options, data, by, values)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5, 9))
def test_the_parts_of_teams_are_the_whole(seed):
    """Everybody is in one team at a time: the counts of the teams, and of those in none, add up to those of the company."""
    tables = handed_over(seed)
    everyone = [{"owner": who, "team": "none", "from_on": None, "to_on": None} for who in tables["opportunities"]["owner"].dropna().unique()]
    known = set(tables["owners"]["owner"])
    tables["owners"] = pd.concat([tables["owners"], table("owners", [row for row in everyone if row["owner"] not in known])])
    tables["opportunities"]["owner"] = tables["opportunities"]["owner"].fillna("Dan")
    tables["opportunity_history"]["owner"] = tables["opportunity_history"]["owner"].fillna("Dan")
    data = dataset(tables)
    parts = [data.where(team=team) for team in data.teams()]
    for metric, options in OF_DEALS:
        if metric is not pipeline.loss_reasons:
            counts = [metric(one, **options)["n"].sum() for one in (data, *parts)]
            assert counts[0] == sum(counts[1:]), (metric, options)
    steps = {"value", "deals"}
    accounts = [pipeline.waterfall(one, as_of=AS_OF, window=("2026-02-01", AS_OF)).set_index("step")[[*steps]] for one in (data, *parts)]
    inner = ["start", "new", "reopened", "increased", "decreased", "won", "lost", "deleted", "end"]
    pd.testing.assert_frame_equal(sum(accounts[1:]).loc[inner], accounts[0].loc[inner])
    assert (sum(accounts[1:]).loc["owner_in"] == -sum(accounts[1:]).loc["owner_out"]).all()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_handover_after_the_report_changes_nothing(seed):
    """Deals handed over and teams changed after the date, and the records that say so today: every number of April is the same."""
    tables, after = handed_over(seed), handed_over(seed)
    later = handed_over(seed + 100)["opportunity_history"].groupby("opportunity_id")["owner"].first()
    history, deals = after["opportunity_history"], after["opportunities"]
    told = history.sort_values(["changed_at", "seq"]).groupby("opportunity_id", as_index=False).last()
    passed = told.assign(changed_at=utc("2026-06-30 23:00"), seq=told["seq"] + 1, owner=told["opportunity_id"].map(later).fillna("Zoe"))
    after["opportunity_history"] = pd.concat([history, passed])
    deals["owner"] = deals["opportunity_id"].map(passed.set_index("opportunity_id")["owner"]).fillna(deals["owner"])
    new = table("owners", [{"owner": who, "team": "Ost", "from_on": pd.Timestamp("2026-05-01"), "to_on": None} for who in ("Eve", "Zoe")])
    after["owners"] = pd.concat([after["owners"], new])
    one, other = dataset(tables), dataset(after)
    for conditions in ({}, {"owner": "Ann"}, {"team": "Nord"}):
        first, second = (compute.metrics(data.where(conditions), Month.parse("2026-04")) for data in (one, other))
        pd.testing.assert_frame_equal(first, second)


# --- levers


@pytest.fixture(scope="module")
def relay() -> kpi.Dataset:
    """Sixty deals each of Ann, Bob and Cid; what goes on to a proposal (45, 20, 20 of them) is handed to Eve that day, who wins half of it."""
    leads, touches, deals, history = [], [], [], []
    for place, (who, going_on) in enumerate((("Ann", 45), ("Bob", 20), ("Cid", 20))):
        for number in range(60):
            name, made = f"{who}{number}", pd.Timestamp("2025-07-10 10:00") + pd.Timedelta(days=5 * number + place)
            day = [str(made + pd.Timedelta(days=days)) for days in (0, 6, 20)]
            asked = made - pd.Timedelta(days=2)
            leads.append(lead(name, str(asked), owner=who, opportunity_id=name if number % 3 else None))
            touches.append(touch(name, str(asked + pd.Timedelta(minutes=90 if number % 2 else 10)), owner=who))
            first = (day[0], "Qualified", "open", 100.0, who)
            if number >= going_on:
                deals.append(deal(name, day[0], "lost", day[1], owner=who, source="web"))
                history += story(name, first, (day[1], "Lost", "lost", 100.0, who))
            else:
                end = ("Won", "won") if number % 2 else ("Lost", "lost")
                deals.append(deal(name, day[0], end[1], day[2], owner="Eve", source="web"))
                history += story(name, first, (day[1], "Proposal", "open", 100.0, "Eve"), (day[2], *end, 100.0, "Eve"))
    tables = {"leads": table("leads", leads), "activities": table("activities", touches), "stages": stages()}
    return dataset(tables | {"opportunities": table("opportunities", deals), "opportunity_history": table("opportunity_history", history)})


@pytest.mark.slow
def test_levers_and_winners_are_of_the_owner_at_entry(relay):
    """By the last owner Eve would lead the first stage, all of whose deals go on, and win half of all deals; nobody else would win any."""
    steps = pipeline.stage_conversion(relay, as_of=END, view="cohort", window=("2025-07-01", "2026-06-01"), horizon=90, by="owner")
    steps = steps[steps["stage"] == "Qualified"]
    assert read(steps, "owner", "n", "n_events") == [["Ann", 60, 45], ["Bob", 60, 20], ["Cid", 60, 20]]
    levers = forecast.gains(relay, as_of=END).set_index(["kind", "group"])
    assert levers.loc[("conversion", "Qualified → Proposal"), ["basis", "best"]].tolist() == ["owner", "Ann"]
    assert levers.loc[("conversion", "Negotiation → Won"), "best"] != "Ann"
    (by_owner,) = (part for part in compute.won_by_group(relay, END, Window.parse(("2025-07-01", "2026-06-01")), 90) if "owner" in part)
    assert read(by_owner, "owner", "n", "n_events") == [["Ann", 60, 22], ["Bob", 60, 10], ["Cid", 60, 10]]


@pytest.mark.slow
def test_a_lever_that_does_not_move_is_not_listed(relay):
    """There is one source of leads only: it is answered as fast as the best, itself."""
    year = ("2025-07-01", "2026-07-01")
    assert read(response_time.what_if(relay, as_of=END, window=year, past=year), "n", "value") == [[180, 0]]
    levers = forecast.gains(relay, as_of=END)
    assert "response" not in set(levers["kind"])
    assert (levers["value"].isna() | (levers["shift"] > 0)).all()
    assert not (levers["from"] == levers["to"]).any()


def test_stages_are_of_the_owner_who_took_them_over(sold):
    """What the levers rest on: the exits of each stage by the owner at its entry."""
    exits = counted(sold, utc("2026-05-01"), Window.parse(("2026-01-01", "2026-05-01"))).exits
    first = exits[exits["position"] == 1].groupby("owner")[["n", "events"]].sum()
    assert first.loc["Ann"].tolist() == [3, 3] and first.loc["Bob"].tolist() == [1, 0]


# --- the ledger of a part


def test_the_ledger_of_a_part_counts_what_the_part_does(sold):
    out, is_open = "another owner's or team's then", "still open"
    for who, expected in (("Ann", [out, out, "", ""]), ("Bob", [is_open, is_open, out, out])):
        rows = kpi.ledger(sold.where(owner=who), "pipeline.closed_win_rate", as_of="2026-05-01", window=WINTER).set_index("opportunity_id")
        assert rows.loc[["late", "moved", "sold", "unsaid"], "reason"].tolist() == expected
        assert [rows["in"].sum(), (rows["role"] == "event").sum()] == ([2, 2] if who == "Ann" else [1, 0])
