"""A report of a past date from today's files says what one from the files of that date says, for every KPI of the catalogue."""

from __future__ import annotations

import pandas as pd
import pytest
from companies import ZONE, Random, as_it_was, dataset, utc

import kpi
from kpi import compute, engine, facts, pipeline
from kpi.catalog import CATALOG
from kpi.periods import Month
from tests.simulated import Company, simulate

MONTH = Month.parse("2026-04")
DATED = {"leads": "created_at", "lead_scores": "at", "activities": "at", "opportunity_history": "changed_at"}
DATED |= {"customers": "acquired_at", "orders": "at"}


def cut(tables: dict[str, pd.DataFrame], as_of: pd.Timestamp) -> dict[str, pd.DataFrame]:
    """The tables as they were exported on that day."""
    past = {name: frame[frame[DATED[name]] < as_of].copy() if name in DATED else frame.copy() for name, frame in tables.items()}
    deals = tables["opportunities"]
    deals = deals[deals["created_at"] < as_of].copy()
    later = ~(deals["closed_at"] < as_of)
    deals.loc[later, ["closed_at", "lost_reason", "customer_id"]] = [pd.NaT, None, None]
    state = ["owner", "amount", "stage", "status", "expected_close_on"]
    last = past["opportunity_history"].sort_values(["changed_at", "seq"]).groupby("opportunity_id").last()
    deals[state] = last[state].reindex(deals["opportunity_id"]).to_numpy()
    deals = deals.astype({"amount": "float64", "expected_close_on": "datetime64[us]"})
    past["opportunities"] = deals
    leads = past["leads"]
    for column in ("assigned_at", "nurtured_at", "alerted_at", "disqualified_at"):
        leads[column] = leads[column].where(leads[column] < as_of)
    leads["disqualified_by"] = leads["disqualified_by"].where(leads["disqualified_at"].notna())
    for column, table in (("opportunity_id", "opportunities"), ("customer_id", "customers")):
        leads[column] = leads[column].where(leads[column].isin(past[table][column]))
    past["orders"] = past["orders"][past["orders"]["customer_id"].isin(past["customers"]["customer_id"])]
    return past


@pytest.mark.slow
def test_cutting_off_the_future_changes_no_number():
    simulation = simulate(Company(leads=600, seed=11))
    company = {"timezone": simulation.company.timezone, "country": "FR", "currency": simulation.company.currency}
    full = kpi.Dataset(**simulation.tables, exported_at="2026-11-04", **company)
    as_of = full.as_of(MONTH)
    then = kpi.Dataset(**cut(simulation.tables, as_of), exported_at=str(MONTH.end), **company)
    one, other = compute.metrics(then, MONTH), compute.metrics(full, MONTH)
    gone = compute.missing(full, MONTH)
    gone = gone[~gone["kpi"].isin(other["kpi"])]  # of the others there are counts, and no value yet
    assert set(CATALOG) - set(other["kpi"]) == set(gone["kpi"])
    assert gone["reason"].str.contains("no table contracts").all()
    pd.testing.assert_frame_equal(one, other)
    lists = compute.lists(then, MONTH)
    for name, table in compute.lists(full, MONTH).items():
        if name != "set_aside":
            pd.testing.assert_frame_equal(lists[name], table)


# --- everything odd at once


def odd_company(seed: int) -> dict[str, pd.DataFrame]:
    """Deals without a creation date, closings as days or ahead, histories that begin late or lack their end, handovers, reopenings."""
    made = Random(seed)
    for row in made.deals:
        if made.chance(0.15):
            row["created_at"] = None
        if row["status"] != "open" and made.chance(0.1):
            row["closed_at"] = utc("2027-02-01")
    tables = made.tables()
    history = tables["opportunity_history"].sort_values(["opportunity_id", "changed_at", "seq"])
    place = history.groupby("opportunity_id").cumcount()
    late, cut_short = (history["opportunity_id"].map({name: made.chance(0.2) for name in history["opportunity_id"].unique()}) for _ in range(2))
    last = place == history.groupby("opportunity_id")["seq"].transform("size") - 1
    tables["opportunity_history"] = history[~(late & (place == 0)) & ~(cut_short & last & (history["status"] != "open"))]
    if seed % 2:  # one column is either of days or of instants
        days = tables["opportunities"]["closed_at"].dt.tz_localize("UTC").dt.tz_convert(ZONE).dt.tz_localize(None).dt.floor("1D")
        tables["opportunities"]["closed_at"] = days.dt.tz_localize(ZONE).dt.tz_convert("UTC").dt.tz_localize(None).astype("datetime64[us]")
    return tables


def both(seed: int, as_of: pd.Timestamp) -> tuple[kpi.Dataset, kpi.Dataset]:
    """The whole data set, and the one of an export on that day."""
    tables = odd_company(seed)
    return dataset(tables), dataset(as_it_was(tables, as_of), exported_at=str(as_of.tz_localize("UTC")))


def test_deals_of_all_kinds_are_then_what_they_are_now():
    now = utc("2026-05-01")
    full, then = both(1, now)
    for build in (facts.opportunities, facts.states, facts.visits):
        one, other = (engine.collect(build(data, now)).drop(columns="seq", errors="ignore") for data in (then, full))
        if "lead_id" in one:  # random deals may name a lead that is still to come; no export does
            other["lead_id"] = other["lead_id"].where(other["lead_id"].isin(engine.collect(then.table("leads").select("lead_id"))["lead_id"]))
        keys = list(one.columns)
        pd.testing.assert_frame_equal(one.sort_values(keys, ignore_index=True), other.sort_values(keys, ignore_index=True), check_dtype=False)
    first, second = (pipeline.snapshots(data, dates=["2026-03-01", "2026-04-15", "2026-05-01"]) for data in (then, full))
    pd.testing.assert_frame_equal(first, second)


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "month"), [(1, "2026-03"), (2, "2026-05"), (3, "2026-03"), (4, "2026-05"), (5, "2026-04")])
def test_cutting_off_the_future_of_odd_data_changes_no_number(seed, month):
    chosen = Month.parse(month)
    full, then = both(seed, utc(str(chosen.end)))
    pd.testing.assert_frame_equal(compute.metrics(then, chosen), compute.metrics(full, chosen))
    pd.testing.assert_frame_equal(compute.missing(then, chosen), compute.missing(full, chosen))
    assert compute.faults(full) == compute.faults(then) == {}
    lists = compute.lists(then, chosen)
    for name, table in compute.lists(full, chosen).items():
        if name != "set_aside":
            pd.testing.assert_frame_equal(lists[name], table)
