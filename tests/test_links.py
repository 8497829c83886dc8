"""No rate over an empty link: what hardly any record finds, or nobody records, is missing with that reason, not 0 %."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from companies import answering, dataset, deal, first_quick, lead, selling, table, touch, utc

import kpi
from kpi import compute, pipeline, response_time
from kpi.__main__ import run
from kpi.errors import MissingLink, MissingTable
from kpi.periods import Month
from kpi.presentation.language import Words
from kpi.presentation.pages.about import _lacking

MONTH, AS_OF = Month(2026, 4), "2026-05-01"
RESTS = {"pipeline.lead_to_opportunity", "pipeline.lead_to_customer", "response.speed_to_opportunity", "response.what_if_won"}


def company(n_found: int, n_filled: int = 40, n_deals: int = 40, **kinds) -> dict[str, pd.DataFrame]:
    """Forty leads called at once; deals of which some name a lead, and some of these one that is there."""
    leads = [lead(f"L{i:02d}", f"2026-03-{1 + i % 28:02d} 10:00") for i in range(40)]
    calls = [touch(f"L{i:02d}", f"2026-03-{1 + i % 28:02d} 10:20", **kinds) for i in range(40)]
    named = [f"L{i:02d}" if i < n_found else f"X{i}" if i < n_filled else None for i in range(n_deals)]
    deals = [deal(f"D{i:02d}", f"2026-03-{2 + i % 27:02d} 10:00", "won", "2026-04-10 10:00", lead_id=name) for i, name in enumerate(named)]
    return answering(leads, calls) | selling(deals)


def test_a_link_that_no_deal_fills_gives_no_rate_but_a_reason():
    data = dataset(company(0, 0))
    assert data.links.query("table == 'opportunities'").to_numpy().tolist() == [["opportunities", "lead_id", 40, 0, 0]]
    for metric in (pipeline.lead_to_opportunity, pipeline.lead_to_customer, response_time.speed_to_outcome):
        with pytest.raises(MissingLink, match="of the 40 rows of opportunities 0 have lead_id, 0 of which find their record"):
            metric(data, as_of=AS_OF)
    with pytest.raises(MissingLink, match="0 have lead_id"):
        kpi.ledger(data, "pipeline.lead_to_opportunity", as_of=AS_OF)
    assert pipeline.closed_win_rate(data, as_of=AS_OF)["value"].item() == 1  # what rests on deals alone stands
    assert response_time.waiting_queue(data, as_of=AS_OF)["source_rate"].isna().all()


@pytest.mark.slow
def test_every_kpi_that_rests_on_the_link_says_why_it_is_missing():
    gone = compute.missing(dataset(company(0, 0)), MONTH).set_index("kpi")["reason"].to_dict()
    said = "No data: of the 40 rows of opportunities 0 have lead_id, 0 of which find their record; nothing can rest on that link."
    assert gone.keys() >= RESTS
    assert {gone[key] for key in RESTS} == {said}


@pytest.mark.parametrize(("found", "floor", "stands"), first_quick([(20, None, True), (19, None, False), (10, 0.25, True), (9, 0.25, False)], 2))
def test_half_of_the_filled_cells_must_find_their_record(found, floor, stands):
    data = dataset(company(found, 40), settings={} if floor is None else {"links": {"floor": floor}})
    assert data.has("opportunities", "lead_id") == stands
    if stands:
        assert pipeline.lead_to_opportunity(data, as_of=AS_OF, view="cohort", window="2026-03")["n_events"].max() == found


def test_a_lead_that_names_its_deal_is_link_enough():
    tables = company(0, 0)
    tables["leads"] = tables["leads"].assign(opportunity_id=[f"D{i:02d}" if i < 8 else None for i in range(40)])
    data = dataset(tables)
    assert pipeline.lead_to_opportunity(data, as_of=AS_OF, view="cohort", window="2026-03")["n_events"].max() == 8


def test_deals_without_dates_tell_no_conversion():
    tables = company(40)
    tables["opportunities"] = tables["opportunities"].drop(columns="created_at")
    with pytest.raises(MissingTable, match="opportunities lacks the column created_at"):
        pipeline.lead_to_opportunity(dataset(tables), as_of=AS_OF)


def test_appointments_that_nobody_records_are_not_0():
    plain, held = dataset(company(40)), dataset(company(40, kind="meeting"))
    assert len(response_time.speed_to_outcome(held, as_of=AS_OF, outcome="appointment", window="2026-03")) > 0
    with pytest.raises(MissingLink, match=r"[Nn]o activity is an appointment or a meeting"):
        response_time.speed_to_outcome(plain, as_of=AS_OF, outcome="appointment", window="2026-03")


def test_calls_that_name_no_lead_are_no_answers():
    tables = company(40)
    tables["activities"] = tables["activities"].assign(lead_id=None)
    data = dataset(tables)
    for metric in (response_time.answered_within, response_time.waiting_leads, response_time.waiting_queue):
        with pytest.raises(MissingLink, match="40 rows of activities 0 have lead_id"):
            metric(data, as_of=AS_OF)


def test_the_check_and_the_page_say_it(tmp_path, capsys):
    for name, frame in company(3, 20).items():
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    (tmp_path / "kpi.toml").write_text('[company]\ntimezone = "UTC"\ncurrency = "EUR"\nexported_at = "2026-06-01"\n', "utf-8")
    assert run(["check", str(tmp_path), "--format", "json"]) == 0
    links = {(row["table"], row["column"]): (row["rows"], row["filled"], row["found"]) for row in json.loads(capsys.readouterr().out)["links"]}
    assert links == {("activities", "lead_id"): (40, 40, 40), ("opportunities", "lead_id"): (40, 20, 3)}
    assert run(["check", str(tmp_path)]) == 0
    assert "Links: rows, those that name a record, those of these that find it" in capsys.readouterr().out
    with pytest.raises(MissingLink) as caught:
        kpi.load(tmp_path).table("opportunities", "lead_id")
    assert "20 ont" in _lacking(Words("fr"), caught.value)


@pytest.mark.parametrize("seed", first_quick(range(20)))
def test_a_rate_stands_where_and_only_where_its_link_does(seed):
    rng = np.random.default_rng(seed)
    filled = int(rng.integers(0, 41))
    found = int(rng.integers(0, filled + 1))
    data = dataset(company(found, filled))
    stands = found > 0 and found >= 0.5 * filled
    assert data.has("opportunities", "lead_id") == stands
    assert data.links.query("table == 'opportunities'")[["rows", "filled", "found"]].to_numpy().tolist() == [[40, filled, found]]


def test_closings_tell_since_when_outcomes_are_recorded():
    leads = [lead(f"L{i:03d}", f"2025-{1 + i // 20:02d}-{1 + i % 20:02d} 10:00") for i in range(240)]
    dates = [utc(f"2025-{1 + i // 20:02d}-{4 + i % 20:02d} 10:00") for i in range(120, 240)]
    deals = [deal(f"D{i}", None, "won", str(at), lead_id=f"L{120 + i:03d}") for i, at in enumerate(dates)]
    data = dataset({"leads": table("leads", leads)} | selling(deals), exported_at="2026-02-01")
    assert str(data.recorded_from("opportunities")) == "2025-07-04"


def test_customers_by_name_in_one_table_and_by_code_in_another_are_told():
    deals = [deal(f"D{i}", "2026-03-02 10:00", "won", "2026-04-10 10:00", customer_id=f"Acme {i}") for i in range(3)]
    rows = [{"order_id": str(i), "customer_id": f"C{i}", "at": utc("2026-04-12 10:00"), "amount": 10.0} for i in range(3)]
    strange, alike = (dataset(selling(deals) | {"orders": table("orders", [row | more for row in rows])}) for more in ({}, {"customer_id": "Acme 1"}))
    said = strange.flags.query("column == 'customer_id'")[["table", "flag", "rows", "example"]].to_numpy().tolist()
    example = "0 of 3 are a customer_id of orders: 'Acme 0' here, 'C0' there"
    assert said == [["opportunities", "customer_id leads to no known record", 3, example]]
    assert not len(alike.flags.query("column == 'customer_id'"))
