"""What the metrics say of a simulated company is what is true of it, within chance; accounts are equal to the last customer."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

import kpi
from kpi import pipeline, response_time, retention
from kpi.periods import Window
from tests.simulated import Company, Simulation, simulate

AS_OF = "2026-11-01"
ALL = Window(date(2023, 11, 1), date(2026, 11, 1))
ACCOUNT = ["start", "new", "reactivated", "lost", "end"]


def dataset(simulation: Simulation, **retention_settings) -> kpi.Dataset:
    company = simulation.company
    more = {"timezone": company.timezone, "country": company.country, "currency": company.currency, "exported_at": "2026-11-04"}
    return kpi.Dataset(**simulation.tables, **more, settings={"retention": retention_settings})


@pytest.fixture(scope="module")
def company():
    # Without refunds an order is a purchase, so that the account by purchases is exact.
    simulation = simulate(Company(leads=8000, seed=3, refunds=0.0))
    return dataset(simulation, activity_days=365), simulation.truth


def distances(rows, truth) -> np.ndarray:
    """How many standard errors each share lies from the truth."""
    found = [(row.value - truth(row)) / np.sqrt(truth(row) * (1 - truth(row)) / row.n) for row in rows.itertuples() if row.n >= 200]
    assert len(found) >= 10
    return np.array(found)


def assert_within_chance(found: np.ndarray) -> None:
    assert np.abs(found).max() < 4
    assert np.sqrt(np.mean(found**2)) < 1.7  # 1 is expected; readings of one source go together


@pytest.mark.slow
def test_response_of_each_source_is_found_again(company):
    data, truth = company
    told = {row["source"]: row for row in truth["response"]}
    within = response_time.answered_within(data, as_of=AS_OF, window=ALL, by="source")
    assert_within_chance(distances(within, lambda row: told[row.source][f"within_{int(row.horizon)}"]))


@pytest.mark.slow
@pytest.mark.parametrize(("quantile", "name"), [(0.5, "median"), (0.9, "p90")])
def test_response_quantiles_of_each_source_lie_in_their_intervals(company, quantile, name):
    data, truth = company
    told = {row["source"]: row[name] or np.inf for row in truth["response"]}
    rows = response_time.response_time(data, as_of=AS_OF, window=ALL, by="source", quantile=quantile, level=0.999)
    assert len(rows) == 7
    for row in rows.itertuples():
        high = np.inf if np.isnan(row.high) else row.high  # not reached within what was observed
        assert row.low <= told[row.source] <= high or (np.isnan(row.low) and np.isinf(told[row.source])), row.source


@pytest.mark.slow
def test_lead_to_opportunity_is_found_again(company):
    data, truth = company
    told = {row["source"]: row for row in truth["lead_to_opportunity"]}
    found = pipeline.lead_to_opportunity(data, as_of=AS_OF, window=ALL, view="cohort", by="source")
    assert_within_chance(distances(found, lambda row: told[row.source][f"by_{int(row.horizon)}"]))


@pytest.mark.slow
@pytest.mark.parametrize("view", ["cohort", "period"])
def test_opportunity_to_customer_is_found_again_in_both_readings(company, view):
    data, truth = company
    told = {(row["source"], row["days"]): row["won"] for row in truth["won"]["usual"]}
    rows = pipeline.opportunity_to_customer(data, as_of=AS_OF, window=ALL, view=view, by="source")
    assert_within_chance(distances(rows, lambda row: told[row.source, int(row.horizon)]))
    total = pipeline.opportunity_to_customer(data, as_of=AS_OF, window=ALL, view=view, level=0.999)
    for row in total.itertuples():
        assert row.low <= told["all", int(row.horizon)] <= row.high


def test_net_growth_equals_the_true_account_of_purchases(company):
    data, truth = company
    table = retention.net_customer_growth(data, as_of=AS_OF, months=36)
    names = ["active_start", "active_new", "reactivated", "lapsed", "active_end"]
    assert table[ACCOUNT].to_numpy().tolist() == [[row[name] for name in names] for row in truth["net_growth"]]
    assert table["month"].tolist() == [row["month"] for row in truth["net_growth"]]


@pytest.mark.slow
def test_net_growth_equals_the_true_account_of_contracts():
    simulation = simulate(Company(leads=1500, seed=5, contractual=True))
    table = retention.net_customer_growth(dataset(simulation, contractual=True), as_of=AS_OF, months=36)
    truth = simulation.truth["net_growth"]
    assert table[ACCOUNT].to_numpy().tolist() == [[row["start"], row["new"], 0, row["left"], row["end"]] for row in truth]
