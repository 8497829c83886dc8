"""Outcomes recorded only from some day on: found, told, and the leads from before enter late instead of counting as never converted."""

from __future__ import annotations

from datetime import date, timedelta

import oracles
import pandas as pd
import pytest
from companies import ZONE, answering, dataset, deal, first_quick, lead, random_company, selling, utc
from written import LEADS, read, write

import kpi
from kpi import pipeline
from kpi.errors import DataError
from kpi.periods import Window, instant
from kpi.report import quality
from tests import simulated

CUT = date(2025, 9, 8)
COHORT = Window(date(2025, 3, 1), date(2026, 1, 1))


def since(tables: dict[str, pd.DataFrame], cut: date, strays: int = 0) -> dict[str, pd.DataFrame]:
    """The company whose opportunities are recorded from a day on, but for some strays."""
    deals, at = tables["opportunities"], instant(cut, ZONE)
    kept = deals[(deals["created_at"] >= at) | (deals["created_at"].lt(at).cumsum() <= strays)]
    history = tables["opportunity_history"]
    return tables | {"opportunities": kept, "opportunity_history": history[history["opportunity_id"].isin(kept["opportunity_id"])]}


@pytest.fixture(scope="module")
def company():
    """Three thousand leads over two years, their team as it is all the time."""
    return simulated.simulate(simulated.Company(leads=3000, existing=0, start="2024-11", end="2026-10", shocks=())).tables


@pytest.fixture(scope="module")
def whole(company):
    return kpi.Dataset(**company, timezone=ZONE, country="FR")


def read_cohort(data) -> pd.DataFrame:
    found = pipeline.lead_to_opportunity(data, as_of="2026-11-01", window=COHORT, view="cohort", horizons=(30, 90, 180))
    return found.set_index("horizon")


@pytest.mark.slow
def test_it_is_found_and_told(company, whole):
    assert whole.recorded_from("opportunities") is None
    assert whole.recorded_from("activities") is None
    for strays in (0, 4):
        data = kpi.Dataset(**since(company, CUT, strays), timezone=ZONE, country="FR")
        first = data.recorded_from("opportunities")
        assert timedelta(0) <= first - CUT <= timedelta(days=3)
        told = data.decisions[data.decisions["decision"] == "recorded from"]
        assert told["table"].tolist() == ["opportunities"]
        assert told["value"].item().startswith(f"{first}: ")
        assert ("pipeline", "leads' outcomes before that day") in set(zip(*quality.lacking(data)[["report", "lacks"]].to_numpy().T, strict=True))
    late = company["activities"][company["activities"]["at"] >= instant(CUT, ZONE)]
    assert abs(kpi.Dataset(**company | {"activities": late}, timezone=ZONE).recorded_from("activities") - CUT) <= timedelta(days=3)


@pytest.mark.slow
def test_incidence_is_unbiased_with_late_entry_and_biased_without(company, whole):
    truth = read_cohort(whole)
    data = kpi.Dataset(**since(company, CUT), timezone=ZONE, country="FR")
    late = read_cohort(data)
    data._recorded = {}
    naive = read_cohort(data)
    assert (naive["value"] < 0.8 * truth["value"]).all(), "leads from before count as never converted"
    assert (naive["high"] < truth["value"]).all()
    assert ((late["low"] < truth["value"]) & (truth["value"] < late["high"])).all()
    assert (late["value"] - truth["value"]).abs().max() < 0.03
    assert late["n_events"].tolist() < truth["n_events"].tolist()


@pytest.mark.slow
def test_without_any_trace_of_earlier_opportunities_the_bias_is_small(company, whole):
    bare = since(company, CUT)
    known = bare["leads"]["opportunity_id"].isin(bare["opportunities"]["opportunity_id"])
    bare["leads"] = bare["leads"].assign(opportunity_id=bare["leads"]["opportunity_id"].where(known))
    late, truth = read_cohort(kpi.Dataset(**bare, timezone=ZONE, country="FR")), read_cohort(whole)
    assert (late["value"] - truth["value"]).abs().max() < 0.06


@pytest.mark.parametrize("view", first_quick(["period", "cohort"]))
@pytest.mark.parametrize("way", first_quick(["lead_to_opportunity", "lead_to_customer"]))
def test_against_the_definition(view, way):
    """Each lead is watched from the day on which outcomes began to be recorded, if it came before."""
    tables, cut, window, now = random_company(5), date(2026, 3, 10), Window(date(2026, 2, 1), date(2026, 5, 1)), utc("2026-06-01")
    data = dataset(tables)
    data._recorded = {"opportunities": cut}
    goal = "opportunity" if way == "lead_to_opportunity" else "won"
    causes = ("opportunity", "disqualified") if goal == "opportunity" else ("won",)
    lives = oracles.ways_of_leads(oracles.leads_at(tables, now.to_pydatetime(), ZONE), now.to_pydatetime(), ZONE, goal)
    for horizon in (5, 20, 60):
        found = getattr(pipeline, way)(data, as_of=now, window=window, view=view, horizons=(horizon,))["value"].item()
        if view == "period":
            expected = oracles.period_share(lives, max(cut, window.start), window.end, causes[0], horizon)
        else:
            entered = [life for life in lives if window.start <= life[0] < window.end and life[1] >= max(life[0], cut)]
            records = [(max(0, (cut - first).days), (last - first).days, outcome) for first, last, outcome in entered]
            expected = oracles.share_by(records, causes, causes[0], horizon)
        assert (None if pd.isna(found) else found) == (None if expected is None else pytest.approx(expected, abs=1e-12))


def test_the_ledger_says_who_was_not_seen():
    leads = [lead(f"L{n}", f"2026-0{month}-0{1 + n % 9} 10:00") for month in (1, 2, 3, 4, 5) for n in range(10 * month, 10 * month + 10)]
    leads[0] |= {"opportunity_id": "gone"}
    leads[1] |= {"disqualified_at": utc("2026-01-20")}
    data = dataset(answering(leads, []) | selling([deal("D", "2026-04-20", lead_id="L30")]))
    assert data.recorded_from("opportunities") is None, "one deal tells nothing"
    data._recorded = {"opportunities": date(2026, 4, 1)}
    rows = kpi.ledger(data, "pipeline.lead_to_opportunity", as_of="2026-06-01").set_index("lead_id")
    unseen = "outcome from before outcomes were recorded"
    assert rows.loc[["L10", "L11", "L12", "L30"], "reason"].tolist() == [unseen, unseen, "", ""]
    assert rows.loc["L30", "role"] == "event"


def test_kpi_toml_decides(tmp_path):
    deals = "opportunity_id,lead_id,owner,stage,status,created_at\nD,L1,Ann,New,open,2026-03-05\n"
    toml = '[company]\ntimezone = "UTC"\n[tables.opportunities]\nrecorded_from = 2026-03-03\n'
    reading, _ = read(write(tmp_path, toml, leads=LEADS, opportunities=deals))
    assert reading.recorded == {"opportunities": date(2026, 3, 3)}
    with pytest.raises(DataError, match=r"\[tables.opportunities\] recorded_from = '2026-03' is not a date such as 2026-03-01, without quotes"):
        read(write(tmp_path, toml.replace("2026-03-03", '"2026-03"'), leads=LEADS, opportunities=deals))
