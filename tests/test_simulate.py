"""The simulated company: its tables are sound, its truth is found again in them, its sample is the committed one."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import click
import holidays
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from kpi import schema
from kpi.errors import ParameterError, WriteError
from tests import simulated
from tests.simulated import SAMPLE, Company, Shock
from tests.simulated.__main__ import main as command
from tests.simulated.clock import Clock
from tests.simulated.incidence import incidence
from tests.simulated.truth import expected_orders, still_there, survival

DAY = pd.Timedelta(days=1)


@pytest.fixture(scope="module")
def vauclair():
    return simulated.simulate(simulated.sample_company())


@pytest.fixture(scope="module")
def large():
    """Without shocks, large enough for truths to be found within narrow errors."""
    return simulated.simulate(Company(leads=40_000, existing=4000, seed=5))


@pytest.fixture(scope="module")
def contractual():
    return simulated.simulate(Company(leads=3000, existing=6000, seed=7, contractual=True, history_months=96))


def local(company: Company, stamps: pd.Series) -> pd.Series:
    return stamps.dt.tz_localize("UTC").dt.tz_convert(company.timezone).dt.tz_localize(None)


def end_of(company: Company) -> pd.Timestamp:
    return company.exported_on.tz_localize(company.timezone).tz_convert("UTC").tz_localize(None)


def near(found: float, true: float, n: float, spread: float | None = None) -> bool:
    """Within 4 standard errors of a share (or of a mean with this standard deviation), plus what the truth itself is rounded or sampled by."""
    spread = math.sqrt(true * (1 - true)) if spread is None else spread
    return abs(found - true) <= 4 * spread * math.sqrt(1 / n + 1 / 200_000) + 1e-4


# --- the committed sample


@pytest.mark.slow
def test_sample_is_made_again_byte_for_byte(vauclair, tmp_path, monkeypatch):
    monkeypatch.setattr(simulated, "simulate", lambda company: vauclair)
    made = {path.relative_to(tmp_path): path for path in simulated.write_sample(tmp_path)}
    kept = {path.relative_to(SAMPLE): path for path in SAMPLE.rglob("*") if path.is_file()}
    assert set(made) == {path for path in kept if path.parts[0] not in simulated.BESIDE}
    for name, path in made.items():
        # A checkout on Windows may have changed the line ends, nothing else.
        assert path.read_bytes() == kept[name].read_bytes().replace(b"\r\n", b"\n"), name
    assert simulated.write_sample(tmp_path) == []
    (tmp_path / "leads.csv").write_text("mine")
    (tmp_path / "report.png").write_bytes(b"beside")
    assert simulated.write_sample(tmp_path) == [tmp_path / "leads.csv"]
    assert (tmp_path / "leads.csv").read_bytes() == kept[Path("leads.csv")].read_bytes().replace(b"\r\n", b"\n")
    (tmp_path / "prices.csv").write_text("mine")
    with pytest.raises(WriteError, match=r"prices\.csv is no file of the sample: move it away"):
        simulated.write_sample(tmp_path)
    assert (tmp_path / "prices.csv").read_text() == "mine"


@pytest.mark.parametrize("arguments", [[], ["--to", "new", "--sample"], ["--sample", "--leads", "20"]])
def test_the_command_takes_a_folder_or_the_sample(arguments):
    with pytest.raises(click.UsageError, match="either --to DIR"):
        command(arguments, standalone_mode=False)


def test_sample_is_small_and_has_enough_repeat_customers(vauclair):
    assert sum(path.stat().st_size for path in SAMPLE.rglob("*") if path.is_file() and "online_retail" not in path.parts) < 4e6
    tables = vauclair.tables
    assert len(tables["leads"]) == 6000
    bought = tables["orders"].query("kind == 'sale'").groupby("customer_id").size()
    assert (bought > 1).sum() >= 600
    assert sorted(tables["opportunities"]["status"].unique()) == ["lost", "open", "won"]


def test_sample_tells_its_story(vauclair):
    leads, hidden = vauclair.tables["leads"], vauclair.hidden["leads"]
    month = local(vauclair.company, leads["created_at"]).dt.strftime("%Y-%m")
    within = (hidden["delay"] <= 3600).groupby(month).agg(["mean", "size"]).loc["2024-11":"2026-10"]
    usual = within["mean"].iloc[:-1].mean()
    limit = usual - 3 * np.sqrt(usual * (1 - usual) / within["size"])
    assert (within["mean"] < limit).tolist() == [False] * 23 + [True]
    won = vauclair.tables["opportunities"].query("status == 'won'")
    value = won.groupby(local(vauclair.company, won["closed_at"]).dt.strftime("%Y-%m"))["amount"].sum().loc["2024-02":"2026-10"]
    assert 300_000 < value.mean() < 500_000
    assert value.min() > 100_000


def test_online_retail_is_the_stated_cut():
    orders = pd.read_csv(SAMPLE / "online_retail" / "orders.csv", dtype={"InvoiceNo": str, "CustomerID": str})
    assert len(orders) == orders["InvoiceNo"].nunique() == 22_190
    assert orders["CustomerID"].nunique() == 4372
    assert orders["kind"].value_counts().to_dict() == {"sale": 18_536, "refund": 3654}
    assert ((orders["kind"] == "refund") == orders["InvoiceNo"].str.startswith("C")).all()
    assert orders.groupby("kind")["amount"].sum().round(2).to_dict() == {"sale": 8_911_407.90, "refund": -611_342.09}
    assert (orders["InvoiceDate"].min(), orders["InvoiceDate"].max()) == ("2010-12-01 08:26:00", "2011-12-09 12:50:00")


# --- sound tables


@pytest.mark.parametrize("which", ["vauclair", "large", "contractual"])
def test_tables_keep_their_contract(which, request):
    simulation = request.getfixturevalue(which)
    tables = simulation.tables
    sells = "contracts" if simulation.company.contractual else "orders"
    assert {"leads", "activities", "opportunities", "opportunity_history", "customers", "stages", "owners", "targets", sells} <= set(tables)
    for name, table in tables.items():
        contract = schema.TABLES[name]
        assert list(table) == [column for column in contract.names if column in table]
        assert {column.name for column in contract.columns if column.required and not column.default} <= set(table)
        if contract.key:
            assert not table.duplicated(list(contract.key)).any()
        for column in (contract[found] for found in table):
            values = table[column.name]
            assert not (column.filled and values.isna().any()), (name, column.name)
            if column.kind in ("instant", "date"):
                assert values.dtype == "datetime64[us]", (name, column.name)
            if column.allowed:
                assert set(values.dropna()) <= set(column.allowed)
            if column.references:
                parent = tables[column.references]
                assert set(values.dropna()) <= set(parent[schema.TABLES[column.references].key[0]])


def test_nothing_happens_at_or_after_the_export(large, contractual):
    for simulation in (large, contractual):
        end = end_of(simulation.company)
        for name, table in simulation.tables.items():
            for column in table:
                if schema.TABLES[name][column].kind == "instant":
                    assert not (table[column] >= end).any(), (name, column)
        assert simulation.tables["leads"]["created_at"].max() > end - DAY


def test_events_come_in_order(large):
    tables = large.tables
    leads = tables["leads"].set_index("lead_id")
    deals = tables["opportunities"].set_index("opportunity_id")
    activities = tables["activities"].join(leads["created_at"], on="lead_id")
    assert (activities["at"] >= activities["created_at"]).all()
    for column in ("assigned_at", "nurtured_at", "disqualified_at"):
        assert not (leads[column] < leads["created_at"]).any()
    assert not (leads["alerted_at"] < leads["nurtured_at"]).any()
    assert not (leads["alerted_at"].notna() & leads["nurtured_at"].isna()).any()
    linked = deals.dropna(subset="lead_id").join(leads["created_at"], on="lead_id", suffixes=("", "_lead"))
    assert (linked["created_at"] > linked["created_at_lead"]).all()
    history = tables["opportunity_history"]
    assert history["changed_at"].groupby(history["opportunity_id"]).is_monotonic_increasing.all()
    assert (history["seq"] == history.groupby("opportunity_id").cumcount() + 1).all()
    first, last = (history.drop_duplicates("opportunity_id", keep=keep).set_index("opportunity_id") for keep in ("first", "last"))
    assert (first["changed_at"] == deals["created_at"]).all()
    assert (first["stage"] == large.company.stages[0].name).all()
    for column in ("stage", "status", "amount", "owner", "expected_close_on"):
        assert (last[column] == deals[column]).all(), column
    closed = deals[deals["status"] != "open"]
    assert (last.loc[closed.index, "changed_at"] == closed["closed_at"]).all()
    assert deals.loc[deals["status"] == "open", "closed_at"].isna().all()
    late = history[(history["owner"] == "J. Castel") & (history["changed_at"] > pd.Timestamp("2026-02-03"))]
    assert late.empty  # who has left owns no deal any more


def test_owners_work_only_while_they_are_there(large):
    leads, owners = large.tables["leads"], large.tables["owners"].set_index("owner")
    day = local(large.company, leads["created_at"]).dt.normalize()
    assert not (day < leads["owner"].map(owners["from_on"])).any()
    assert not (day >= leads["owner"].map(owners["to_on"])).any()
    teams = leads["owner"].map(owners["team"])
    assert ((teams == "Partenaires") == (leads["source"] == "Partenaire")).all()
    assert leads["owner"].nunique() == len(owners)


def test_won_deals_are_first_orders_and_refunds_follow_their_order(large):
    orders, customers = large.tables["orders"], large.tables["customers"].set_index("customer_id")
    won = large.tables["opportunities"].query("status == 'won'").set_index("customer_id")
    sales = orders[orders["kind"] == "sale"]
    first = sales.drop_duplicates("customer_id").set_index("customer_id")
    assert (first["at"] == customers["acquired_at"].reindex(first.index)).all()
    assert (first.loc[won.index, "amount"] == won["amount"]).all()
    assert (first.loc[won.index, "at"] == won["closed_at"]).all()
    assert (customers["acquired_at"] < pd.Timestamp(large.company.start)).sum() >= large.company.existing - 1
    leads = large.tables["leads"].dropna(subset="customer_id")
    assert (leads.set_index("customer_id")["opportunity_id"] == won["opportunity_id"].reindex(leads["customer_id"])).all()
    back = orders[orders["kind"] == "refund"].join(sales.set_index("order_id"), on="refunds_order_id", suffixes=("", "_sale"))
    assert len(back) > 100
    assert (back["at"] > back["at_sale"]).all()
    assert (back["customer_id"] == back["customer_id_sale"]).all()
    assert ((back["amount"] < 0) & (-back["amount"] <= back["amount_sale"])).all()


# --- time


def test_open_hours_by_hand():
    clock = Clock(Company())

    def utc(text: str) -> np.ndarray:
        return np.array([pd.Timestamp(text, tz="Europe/Paris").timestamp()])

    cases = [
        ("2026-10-23 17:30", 3600, "2026-10-26 09:30"),  # a Friday evening; the clock goes back on Sunday 25 October
        ("2026-03-27 17:59", 120, "2026-03-30 09:01"),  # and forward on Sunday 29 March
        ("2026-10-12 11:50", 1200, "2026-10-12 14:10"),  # lunch
        ("2026-11-10 17:00", 7200, "2026-11-12 10:00"),  # Armistice
        ("2026-08-15 03:00", 60, "2026-08-17 09:01"),  # Assumption, a Saturday
        ("2026-10-12 10:00", 7 * 3600, "2026-10-13 10:00"),
    ]
    for start, seconds, stop in cases:
        assert clock.after(utc(start), np.array([seconds])) == utc(stop), start
    hours = utc("2026-10-25 00:30") + 3600 * np.arange(5)
    assert (clock.local(hours) // 3600 % 24).astype(int).tolist() == [0, 1, 2, 2, 3]
    assert (clock.utc(clock.local(hours[3:])) == hours[3:]).all()


@pytest.mark.slow
def test_first_attempts_are_in_open_hours_summer_and_winter(large):
    touched = large.tables["activities"].query("direction == 'outbound' and not automated and kind in ['call', 'email']")
    first = local(large.company, touched.drop_duplicates("lead_id")["at"])
    closed = holidays.country_holidays("FR", years=range(2023, 2028))
    assert not pd.Index(first.dt.date.unique()).isin(list(closed)).any()
    assert (first.dt.day_of_week < 5).all()
    for season in (first[first.dt.month.isin([12, 1, 2])], first[first.dt.month.isin([6, 7, 8])]):
        assert set(season.dt.hour) == {9, 10, 11, 14, 15, 16, 17}


def test_leads_arrive_by_weekday_hour_and_season(large):
    company, at = large.company, local(large.company, large.tables["leads"]["created_at"])
    closed = holidays.country_holidays("FR", years=range(2023, 2028))
    rates = {}
    for day in pd.date_range(company.start + "-01", company.exported_on - DAY):
        growth = (1 + company.growth) ** ((day - pd.Timestamp(company.start + "-01")).days / 365.25)
        rates[day] = company.season[day.month - 1] * company.weekday[day.weekday()] * growth * (company.holiday if day.date() in closed else 1)
    rates = pd.Series(rates) / sum(rates.values())
    for key in (rates.index.day_of_week, rates.index.month, rates.index.year):
        expected = rates.groupby(key).sum()
        found = at.groupby(getattr(at.dt, {7: "day_of_week", 12: "month"}.get(len(expected), "year"))).size() / len(at)
        assert all(near(found[group], share, len(at)) for group, share in expected.items())
    hours = np.array(company.hour) / sum(company.hour)
    for months in ([12, 1, 2], [6, 7, 8]):  # the same local hours in winter and summer time
        part = at[at.dt.month.isin(months)]
        found = part.dt.hour.value_counts(normalize=True).reindex(range(24), fill_value=0)
        assert all(near(found[hour], share, len(part)) for hour, share in enumerate(hours))


# --- the truth is found again


@pytest.mark.slow
def test_response_quantiles_are_found_again(large):
    tables, truth = large.tables, pd.DataFrame(large.truth["response"]).set_index("source")
    touch = tables["activities"].query("direction == 'outbound' and not automated and done").groupby("lead_id")["at"].min()
    leads = tables["leads"]
    delay = (leads["lead_id"].map(touch) - leads["created_at"]).dt.total_seconds()
    old = leads["created_at"] < end_of(large.company) - 60 * DAY
    for source in ("all", "Formulaire web", "Téléphone", "Salon"):
        here = delay[old & ((leads["source"] == source) | (source == "all"))]
        for limit in (300, 900, 3600, 86_400):
            assert near((here <= limit).mean(), truth.loc[source, f"within_{limit}"], len(here)), (source, limit)
        assert near((here <= truth.loc[source, "median"]).mean(), 0.5, len(here))
        assert near(here.isna().mean(), truth.loc[source, "never"], len(here))


@pytest.mark.slow
def test_causal_coefficients_are_found_again_with_intent_known_and_not_without(large):
    hidden = large.hidden["leads"].query("delay == delay and not machine")
    log_delay = np.log1p(hidden["delay"] / 360)
    channels = pd.get_dummies(hidden["channel"], dtype="float64")
    known = sm.Logit(hidden["converts"].astype(float), channels.assign(delay=log_delay, intent=hidden["intent"])).fit(disp=0)
    assert abs(known.params["delay"] - large.company.delay_effect) < 4 * known.bse["delay"]
    assert abs(known.params["intent"] - large.company.intent_effect) < 4 * known.bse["intent"]
    hidden_intent = sm.Logit(hidden["converts"].astype(float), channels.assign(delay=log_delay)).fit(disp=0)
    assert hidden_intent.params["delay"] < known.params["delay"] - 2 * known.bse["delay"]


@pytest.mark.slow
def test_response_curves_differ_and_the_observed_one_is_found_again(large):
    curve = pd.DataFrame(large.truth["response_curve"]).set_index("band")
    assert curve["share"].sum() == pytest.approx(1, abs=1e-3)
    assert curve["causal"].is_monotonic_decreasing
    assert curve["observed"].is_monotonic_decreasing
    assert curve["observed"].iloc[0] - curve["observed"].iloc[-2] > 1.3 * (curve["causal"].iloc[0] - curve["causal"].iloc[-2])
    hidden = large.hidden["leads"].query("not machine")
    quick = hidden[hidden["delay"] <= 300]
    assert near(quick["converts"].mean(), curve.loc["within 5 min", "observed"], len(quick))
    ever = large.truth["lead_to_opportunity"][0]
    leads = large.tables["leads"]
    old = leads["created_at"] < end_of(large.company) - 180 * DAY
    assert near(leads.loc[old, "opportunity_id"].notna().mean(), ever["by_180"], old.sum())


def aalen_johansen(days: np.ndarray, outcome: np.ndarray, horizon: int) -> dict:
    """Incidence by a slow loop over days; outcome 0 is censored."""
    alive, found = 1.0, {"won": 0.0, "lost": 0.0}
    for day in range(horizon + 1):
        risk = (days >= day).sum()
        counts = {name: ((days == day) & (outcome == name)).sum() for name in found}
        for name in found:
            found[name] += alive * counts[name] / max(risk, 1)
        alive *= 1 - sum(counts.values()) / max(risk, 1)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("source", ["all", "Partenaire", "Recherche payante"])
def test_incidence_of_won_and_lost_is_found_again(large, source):
    company, deals = large.company, large.tables["opportunities"]
    deals = deals[(deals["source"] == source) | (source == "all")]
    created, closed = (local(company, deals[name]).dt.normalize() for name in ("created_at", "closed_at"))
    days = (closed.fillna(company.exported_on - DAY) - created).dt.days.to_numpy()
    truth = {row["days"]: row for row in large.truth["won"]["usual"] if row["source"] == source}
    for horizon in (30, 90, 180, 365):
        found = aalen_johansen(days, deals["status"].to_numpy(), horizon)
        for name in ("won", "lost"):
            assert near(found[name], truth[horizon][name], len(deals)), (horizon, name)


@pytest.mark.slow
def test_incidence_is_a_distribution():
    curves = incidence(Company())
    assert (np.diff(curves, axis=-1) >= -1e-12).all()
    assert (curves.sum(axis=0) <= 1 + 1e-9).all()
    assert (curves.sum(axis=0)[..., 365] > 0.98).all()
    assert (incidence(Company(), factor=0.6)[0, ..., 180] < curves[0, ..., 180]).all()


@pytest.mark.slow
def test_purchases_are_found_again(large):
    company, orders = large.company, large.tables["orders"].query("kind == 'sale'")
    customers = large.tables["customers"].set_index("customer_id")
    orders = orders.join(customers["acquired_at"], on="customer_id")
    age = (orders["at"] - orders["acquired_at"]) / DAY
    for days in (90, 365, 730):
        old = customers.index[customers["acquired_at"] < end_of(company) - (days + 1) * DAY]
        counts = orders[(age > 0) & (age <= days)].groupby("customer_id").size().reindex(old, fill_value=0)
        assert near(counts.mean(), large.truth["customers"]["expected_orders"][str(days)], len(counts), counts.std())
    hidden = large.hidden["customers"]
    age_left = (hidden["left_at"] - hidden["at"]) / 86_400
    old = hidden["at"] < end_of(company).timestamp() - 366 * 86_400
    assert near((~(age_left[old] <= 365)).mean(), large.truth["customers"]["still_there"]["365"], old.sum())
    repeat = orders[age > 0].join(customers["source"], on="customer_id")
    means = repeat.groupby(["source", "customer_id"])["amount"].mean()
    for source in ("Formulaire web", "Partenaire"):
        true = large.truth["customers"]["mean_order"][source]
        assert near(means[source].mean(), true, len(means[source]), means[source].std())


def test_expected_purchases_agree_with_the_published_closed_form():
    """Batislam, Denizel and Filiztekin (2007), by the series of Gauss' hypergeometric function."""
    company = Company(drop_a=1.4)
    r, alpha, a, b = company.buy_r, company.buy_alpha, company.drop_a, company.drop_b
    days = 150
    z, term, series = days / (alpha + days), 1.0, 1.0
    for n in range(400):
        term *= (r + n) * (b + 1 + n) / (a + b + n) / (n + 1) * z
        series += term
    expected = b / (a - 1) * (1 - (alpha / (alpha + days)) ** r * series)
    assert expected_orders(company, days) == pytest.approx(expected, rel=1e-6)
    assert still_there(company, 0) == pytest.approx(b / (a + b), rel=1e-6)


@pytest.mark.slow
def test_contracts_are_renewed_as_the_model_says(contractual):
    company, contracts = contractual.company, contractual.tables["contracts"]
    terms = contracts.groupby("customer_id").agg(
        n=("start_on", "size"), start=("start_on", "min"), running=("end_on", lambda ends: ends.isna().any())
    )
    for renewals in (1, 2, 5):
        old = terms[terms["start"] + pd.DateOffset(months=12 * renewals) < company.exported_on - DAY]
        true = contractual.truth["contracts"]["staying"][str(renewals)]
        assert near((old["n"] > renewals).mean(), true, len(old)), renewals
    assert survival(company, 1) == pytest.approx(company.churn_b / (company.churn_a + company.churn_b))
    ordered = contracts.sort_values(["customer_id", "start_on"])
    follows = ordered["customer_id"] == ordered["customer_id"].shift()
    assert (ordered["start_on"] == ordered["end_on"].shift())[follows].all()
    assert (contracts["end_on"].dropna() < company.exported_on).all()
    there = contractual.hidden["customers"]["left_at"].isna().sum()
    assert there == terms["running"].sum() == contracts["end_on"].isna().sum()


@pytest.mark.slow
def test_net_growth_is_an_exact_account(large, contractual):
    for simulation in (large, contractual):
        account = pd.DataFrame(simulation.truth["net_growth"])
        assert account["month"].tolist() == [str(month) for month in simulation.company.months]
        assert (account["start"] + account["new"] - account["left"] == account["end"]).all()
        assert (account["start"].iloc[1:].to_numpy() == account["end"].iloc[:-1].to_numpy()).all()
    account = pd.DataFrame(large.truth["net_growth"])
    assert (account["active_start"] + account["active_new"] + account["reactivated"] - account["lapsed"] == account["active_end"]).all()
    sales = large.tables["orders"].query("kind == 'sale'")
    day = local(large.company, sales["at"])
    window = day[(day >= "2025-11-01") & (day < "2026-11-01")]
    assert account["active_end"].iloc[-1] == sales.loc[window.index, "customer_id"].nunique()


@pytest.mark.slow
def test_shocks_do_what_they_say():
    late = Shock("response", "2026-06-01", "2026-07-01", 10.0, team="Nord", never=3.0)
    fewer = Shock("leads", "2026-03-01", "2026-04-01", 0.3)
    worse = Shock("new_deals", "2026-01-01", "2027-01-01", 0.4)
    company = Company(leads=12_000, seed=3, start="2025-11", shocks=(late, fewer, worse))
    simulation = simulated.simulate(company)
    months = local(company, simulation.tables["leads"]["created_at"]).dt.strftime("%Y-%m").value_counts()
    assert months["2026-03"] < 0.45 * months["2026-02"]
    answered = {(row["month"], row["team"]): row["within_3600"] for row in simulation.truth["response_by_month"]}
    assert answered["2026-06", "Nord"] < 0.15 < 0.35 < answered["2026-06", "Sud"]
    assert simulation.truth["response"][0]["within_3600"] > 0.38
    deals = simulation.tables["opportunities"]
    old = deals[deals["created_at"] < "2026-05-01"]
    rate = (old["status"] == "won").groupby(old["created_at"] >= pd.Timestamp("2026-01-01")).mean()
    assert rate[True] < 0.6 * rate[False]
    usual, shocked = (simulation.truth["won"][name][3]["won"] for name in ("usual", "shock 1"))
    assert shocked < 0.6 * usual
    everyone = Company(leads=6000, seed=3, start="2025-11", shocks=(Shock("all_deals", "2026-05-01", "2026-11-04", 0.0),))
    closed = simulated.simulate(everyone).tables["opportunities"].query("status == 'won'")["closed_at"]
    assert local(everyone, closed).max() < pd.Timestamp("2026-05-01")


def test_same_parameters_same_tables_other_seed_other_tables():
    small = Company(leads=300, existing=50)
    one, two, other = (simulated.simulate(company).tables for company in (small, Company(leads=300, existing=50), small.change(seed=1)))
    for name in one:
        pd.testing.assert_frame_equal(one[name], two[name])
    assert not one["leads"]["created_at"].equals(other["leads"]["created_at"])


@pytest.mark.slow
def test_tiny_companies_are_sound():
    for company in (Company(leads=1, existing=0, start="2026-10"), Company(leads=3, existing=2, contractual=True)):
        simulation = simulated.simulate(company)
        assert len(simulation.tables["leads"]) == company.leads
        assert simulation.truth["net_growth"]


# --- faults


COUNTS = {
    "duplicates": 9,
    "blanks": 8,
    "future_dates": 7,
    "closed_before_created": 6,
    "stage_jumps": 5,
    "stage_returns": 4,
    "reopened": 6,
    "refunds": 3,
    "mixed_zones": 12,
    "hostile": 30,
}


def test_faults_are_counted_and_leave_the_simulation_alone(vauclair):
    before = {name: table.copy() for name, table in vauclair.tables.items()}
    tables, ledger = simulated.soil(vauclair, COUNTS, seed=1)
    assert ledger["fault"].value_counts().to_dict() == COUNTS
    assert set(COUNTS) == set(simulated.FAULTS)
    assert not ledger.duplicated(["table", "key"]).any()
    for name, table in vauclair.tables.items():
        pd.testing.assert_frame_equal(table, before[name])
        assert list(tables[name].dtypes) == list(table.dtypes), name
    added = {name: len(tables[name]) - len(table) for name, table in before.items()}
    repeated = ledger[ledger["fault"] == "duplicates"]["table"].value_counts()
    assert added["leads"] == repeated["leads"]
    assert added["orders"] == repeated["orders"] + COUNTS["refunds"]
    assert added["opportunity_history"] == 2 * COUNTS["stage_returns"] + 2 * COUNTS["reopened"] - COUNTS["stage_jumps"]
    again, same = simulated.soil(vauclair, COUNTS, seed=1)
    pd.testing.assert_frame_equal(ledger, same)
    pd.testing.assert_frame_equal(tables["leads"], again["leads"])


@pytest.mark.slow
def test_each_fault_is_in_the_tables(vauclair):
    tables, ledger = simulated.soil(vauclair, COUNTS, seed=2)
    end = end_of(vauclair.company)
    keys = {fault: set(part["key"]) for fault, part in ledger.groupby("fault")}
    deals = tables["opportunities"].drop_duplicates("opportunity_id").set_index("opportunity_id")
    history = tables["opportunity_history"].sort_values(["opportunity_id", "changed_at", "seq"])
    assert sum(tables[name].duplicated(list(schema.TABLES[name].key)).sum() for name in ("leads", "activities", "opportunities", "orders")) == 9
    assert (
        tables["leads"]["created_at"].isna().sum()
        + tables["activities"]["at"].isna().sum()
        + sum(tables[name]["amount"].isna().sum() for name in ("opportunities", "orders"))
        == 8
    )
    assert (tables["leads"]["created_at"] > end).sum() + (tables["activities"]["at"] > end).sum() + (tables["orders"]["at"] > end).sum() == 7
    assert set(deals.index[deals["closed_at"] < deals["created_at"]]) == keys["closed_before_created"]
    order = {stage.name: place for place, stage in enumerate(vauclair.company.stages)}
    for key, part in history.groupby("opportunity_id"):
        reached = part.loc[part["status"] == "open", "stage"].map(order)
        assert (reached.diff() < 0).any() == (key in keys["stage_returns"]), key
        if key in keys["reopened"]:
            assert part["status"].tolist()[-3:] == ["lost", "open", "lost"]
            assert part["changed_at"].iloc[-1] == deals.loc[key, "closed_at"] < end
    assert not history[history["opportunity_id"].isin(keys["stage_jumps"])].empty
    orders = tables["orders"].drop_duplicates("order_id").set_index("order_id")
    back = orders.loc[sorted(keys["refunds"])]
    assert (back["amount"].to_numpy() == -orders.loc[back["refunds_order_id"], "amount"].to_numpy()).all()
    moved = ledger[ledger["fault"] == "mixed_zones"]
    assert set(pd.to_datetime(moved["after"]) - pd.to_datetime(moved["before"])) <= {pd.Timedelta(hours=1), pd.Timedelta(hours=2)}
    hostile = set(ledger.loc[ledger["fault"] == "hostile", "after"])
    assert any("<script>" in text for text in hostile) and any("\n" in text for text in hostile) and any("\u202e" in text for text in hostile)
    assert sum(tables["customers"]["segment"].isin(hostile)) == 10


def test_faults_that_cannot_be_made_are_refused(vauclair, contractual):
    with pytest.raises(ParameterError, match="unknown fault 'typos'"):
        simulated.soil(vauclair, {"typos": 1}, seed=1)
    with pytest.raises(ParameterError, match="99999 mixed_zones wanted, but activities has only"):
        simulated.soil(vauclair, {"mixed_zones": 99_999}, seed=1)
    with pytest.raises(ParameterError, match="refunds needs the table orders"):
        simulated.soil(contractual, {"refunds": 1}, seed=1)


# --- writing


@pytest.mark.slow
@pytest.mark.parametrize("dialect", ["french", "iso", "us"])
def test_every_dialect_is_read_back_as_written(dialect, tmp_path):
    import kpi

    simulation = simulated.simulate(Company(leads=400, existing=60, seed=11))
    simulation.write(tmp_path / dialect, dialect)
    data = kpi.load(tmp_path / dialect)
    assert (data.row_ledger["set_aside"] == 0).all(), data.set_aside
    assert data.row_ledger.set_index("table")["used"].to_dict() == {name: len(table) for name, table in simulation.tables.items()}
    assert str(data.last_month()) == "2026-10"
    text = (tmp_path / dialect / "leads.csv").read_bytes()
    assert text.startswith(b"\xef\xbb\xbf") == (dialect == "french")


@pytest.mark.slow
def test_soiled_tables_are_written_too(vauclair, tmp_path):
    tables, _ = simulated.soil(vauclair, {"hostile": 33, "blanks": 8, "future_dates": 6}, seed=4)
    dataclasses.replace(vauclair, tables=tables).write(tmp_path / "soiled", "iso")
    customers = pd.read_csv(tmp_path / "soiled" / "customers.csv")
    assert customers["segment"].tolist() == tables["customers"]["segment"].tolist()


def test_write_refuses_full_folders_and_unknown_dialects(vauclair, tmp_path):
    (tmp_path / "kept.txt").write_text("mine")
    with pytest.raises(WriteError, match="not an empty folder"):
        vauclair.write(tmp_path)
    with pytest.raises(WriteError, match="not an empty folder"):
        simulated.write_company(tmp_path, 100, 1, "2026-01", "2026-10")
    with pytest.raises(WriteError, match="not an empty folder"):
        vauclair.write(tmp_path / "kept.txt")
    with pytest.raises(WriteError, match="cannot write"):
        vauclair.write(tmp_path / "kept.txt" / "below")
    with pytest.raises(ParameterError, match="dialect 'german'"):
        vauclair.write(tmp_path / "new", "german")
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]


def test_write_company_makes_a_complete_folder(tmp_path):
    simulated.write_company(tmp_path / "made", 500, 3, "2025-11", "2026-04")
    truth = json.loads((tmp_path / "made" / "truth.json").read_text(encoding="utf-8"))
    assert (truth["company"]["leads"], truth["company"]["seed"], truth["company"]["end"]) == (500, 3, "2026-04")
    assert len(pd.read_csv(tmp_path / "made" / "leads.csv")) == 500
    assert "simulated" in (tmp_path / "made" / "README.md").read_text(encoding="utf-8")
    assert 'exported_at = "2026-05-04 00:00:00"' in (tmp_path / "made" / "kpi.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"start": "2026-13"}, "must be months"),
        ({"start": "2026-10", "end": "2026-09"}, "lies after"),
        ({"leads": 0}, "leads 0"),
        ({"tail_days": 40}, "tail_days 40"),
    ],
)
def test_impossible_companies_are_refused(fields, message):
    with pytest.raises(ParameterError, match=message):
        Company(**fields)
    with pytest.raises(ParameterError, match="one of leads"):
        Shock("weather", "2026-01-01", "2026-02-01", 2.0)
