"""A report of a past date from today's files says what one from the files of that date says, for every KPI of the catalogue."""

from __future__ import annotations

import pandas as pd
import pytest

import kpi
from kpi import compute
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
    assert set(CATALOG) - set(other["kpi"]) == set(compute.missing(full, MONTH)["kpi"])
    assert compute.missing(full, MONTH)["reason"].str.contains("no table contracts").all()
    pd.testing.assert_frame_equal(one, other)
    lists = compute.lists(then, MONTH)
    for name, table in compute.lists(full, MONTH).items():
        if name != "set_aside":
            pd.testing.assert_frame_equal(lists[name], table)
