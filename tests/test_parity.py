"""Every number of the catalogue is the same on every engine: of the sample, of a company full of faults, of generated ones."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pytest
from companies import END, HOURS, ZONE, random_company
from test_retention import customers_frame, orders_frame, random_shop
from test_revenue import random_terms

import kpi
from kpi import compute
from kpi.catalog import CATALOG
from tests import simulated

pytestmark = pytest.mark.slow

FAULTS = dict.fromkeys(simulated.FAULTS, 5) | {"hostile": 33}
CONTRACTUAL = {"retention": {"contractual": True}}
GENERATED = ("dirty", "contracts", "crowd 1", "crowd 2", "crowd under contract")


def about(company: simulated.Company) -> dict:
    zoned = {name: getattr(company, name) for name in ("currency", "timezone", "country")}
    return zoned | {"exported_at": str(company.exported_on), "settings": CONTRACTUAL if company.contractual else {}}


def crowd(seed: int, under_contract: bool) -> tuple[dict[str, pd.DataFrame], dict]:
    """What the simulated companies have little of: persons who ask twice, reopened deals, ties, changes of the clock, foreign money."""
    tables, settings = random_company(seed), {}
    if under_contract:
        rows = pd.DataFrame(random_terms(seed), columns=["customer_id", "start_on", "end_on", "monthly_amount", "currency"])
        rows = rows.astype({"start_on": "datetime64[us]", "end_on": "datetime64[us]"})
        tables["contracts"], settings = rows.assign(contract_id=[f"K{i}" for i in range(len(rows))]), CONTRACTUAL
    else:
        shop, sources = random_shop(seed)
        tables |= {"orders": orders_frame(shop.orders), "customers": customers_frame(sources)}
    return tables, {"timezone": ZONE, "country": "FR", "exported_at": END, "hours": HOURS, "settings": settings}


def generated(name: str) -> tuple[dict[str, pd.DataFrame], dict]:
    if name.startswith("crowd"):
        return crowd(int(name[-1]), False) if name[-1].isdigit() else crowd(3, True)
    company = simulated.Company(leads=400, existing=120, start="2025-11", end="2026-10", history_months=24, contractual=name == "contracts")
    simulation = simulated.simulate(company)
    return simulated.soil(simulation, FAULTS, seed=7)[0] if name == "dirty" else simulation.tables, about(company)


@pytest.fixture(scope="module")
def expected():
    """Numbers on DuckDB, computed once."""
    known: dict[str, pd.DataFrame] = {}

    def of(name: str, data: kpi.Dataset) -> pd.DataFrame:
        if name not in known:
            known[name] = compute.metrics(data, data.last_month())
        return known[name]

    return of


def assert_same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    assert len(found) > 100
    pd.testing.assert_frame_equal(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", GENERATED)
def test_generated_companies_on_polars(expected, name):
    tables, more = generated(name)
    here, other = (kpi.Dataset(**tables, **more, engine=engine) for engine in ("duckdb", "polars"))
    assert_same(compute.metrics(other, other.last_month()), expected(name, here))


def test_the_sample_on_polars(expected, sample, root):
    data = kpi.load(root / "data" / "sample", engine="polars")
    assert_same(compute.metrics(data, data.last_month()), expected("sample", sample))


def test_these_companies_have_every_number_of_the_catalogue(expected, sample):
    made = [expected("sample", sample)]
    for name in ("contracts", "crowd under contract"):
        tables, more = generated(name)
        made.append(expected(name, kpi.Dataset(**tables, **more)))
    rows = pd.concat(made)
    assert set(rows["kpi"]) == set(CATALOG)
    # nobody answers nine leads in ten here, so that quantile has no value
    assert set(CATALOG) - set(rows.dropna(subset="value")["kpi"]) <= {"response.p90"}


def test_the_sample_on_spark(expected, sample, spark):
    """Its tables are there from the start."""
    tables = {name: sample.table(name).select(*sorted(sample.provided[name])).to_native().to_arrow_table() for name in sample.provided}
    company = {name: getattr(sample.company, name) for name in ("name", "language", "currency", "timezone", "country")}
    more = {"exported_at": str(sample.company.exported_at.tz_localize("UTC")), "hours": dict(sample.hours)}
    data = kpi.Dataset(**{name: spark.createDataFrame(rows) for name, rows in tables.items()}, **company, **more, settings=sample.settings)
    assert data.engine.name == "spark"
    assert_same(compute.metrics(data, data.last_month()), expected("sample", sample))
    assert compute.missing(data, data.last_month())["reason"].str.contains("no table contracts|not reached yet").all()


@pytest.mark.parametrize("name", ["dirty", "crowd under contract"])
def test_generated_companies_on_spark(expected, spark, name):
    tables, more = generated(name)
    there = {key: spark.createDataFrame(pa.Table.from_pandas(frame, preserve_index=False)) for key, frame in tables.items()}
    data, here = kpi.Dataset(**there, **more), kpi.Dataset(**tables, **more)
    assert data.engine.name == "spark"
    assert_same(compute.metrics(data, data.last_month()), expected(name, here))
