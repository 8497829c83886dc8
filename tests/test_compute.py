from __future__ import annotations

import math
from functools import cache

import pandas as pd
import pytest
from companies import dataset, deal, first_quick, random_company, stages, story, table

import kpi
from kpi import compute, pipeline, response_time, retention, schema
from kpi.catalog import CATALOG, CHAIN
from kpi.errors import MissingTable, ParameterError
from kpi.periods import Month
from kpi.presentation.pages import about, pulse
from tests.simulated import Company, simulate

MONTH = Month.parse("2026-10")
# The sample's customers order; these are about contracts.
CONTRACTS = {"retention.contract_survival", "retention.contract_median", "retention.renewals", "retention.renewal_check"}


@pytest.fixture(scope="module")
def metrics(sample) -> pd.DataFrame:
    return compute.metrics(sample, MONTH)


@pytest.fixture(scope="module")
def online_retail(root) -> kpi.Dataset:
    return kpi.load(root / "data" / "sample" / "online_retail")


def row(table: pd.DataFrame, key: str, horizon: float | None = None) -> pd.Series:
    found = table[table["kpi"] == key]
    found = found if horizon is None else found[found["horizon"] == horizon]
    assert len(found) == 1
    return found.iloc[0]


# --- every number of the catalogue


def test_every_key_of_the_catalogue_is_made_and_no_other(sample, metrics):
    gone = compute.missing(sample, MONTH)
    assert set(metrics["kpi"]) == set(CATALOG) - CONTRACTS
    reasons = gone.set_index("kpi")["reason"]
    assert set(reasons.index) == CONTRACTS | {"response.p90"}
    assert reasons["response.p90"] == "not reached yet, or too few records to tell"
    assert reasons.drop("response.p90").str.contains("no table contracts").all()


def test_numbers_keep_the_contract(sample, metrics):
    assert list(metrics.columns) == ["group", *schema.RESULT]
    assert set(metrics["view"]) <= {"cohort", "period", "snapshot"}
    assert (metrics["as_of"] == sample.as_of(MONTH)).all()
    assert (metrics["window_end"] <= MONTH.end).all()
    assert (metrics["window_start"] <= metrics["window_end"]).all()
    assert not metrics.duplicated(["kpi", "group", "horizon"]).any()
    known = metrics[metrics[["value", "low", "high"]].notna().all(axis=1)]
    assert (known["low"] <= known["value"]).all()
    assert (known["value"] <= known["high"]).all()
    both = metrics[["n", "n_events"]].dropna()
    assert (both >= 0).all(axis=None)
    assert metrics["n"].notna().all(), "every number tells its denominator"


@pytest.mark.parametrize("key", [key for key, entry in CATALOG.items() if entry.unit == "rate"])
def test_rates_are_rates(metrics, key):
    rates = metrics[metrics["kpi"] == key]
    # growth may exceed the whole, a change may be negative; all other rates are shares
    limits = {"response.change": (-1, 1)}.get(key, (-1, math.inf) if key.startswith("retention.net_growth") else (0, 1))
    assert rates["value"].dropna().between(*limits).all()


@pytest.mark.parametrize("key", [key for key, record in CATALOG.items() if record.days and key not in CONTRACTS])
def test_the_days_of_a_record_are_the_window_of_its_function(metrics, key):
    rows = metrics[metrics["kpi"] == key]
    assert ((rows["window_end"] - rows["window_start"]) == pd.Timedelta(days=CATALOG[key].days)).all()


@pytest.mark.parametrize("key", [key for key, record in CATALOG.items() if record.horizons and key not in CONTRACTS])
def test_the_horizons_of_a_record_are_those_of_its_function(metrics, key):
    assert set(metrics.loc[metrics["kpi"] == key, "horizon"]) == set(CATALOG[key].horizons)


def test_no_denominator_gives_no_value(metrics):
    rates = metrics[[CATALOG[key].unit == "rate" for key in metrics["kpi"]]]
    assert rates.loc[rates["n"] == 0, "value"].isna().all()


def test_headlines_are_the_metrics_themselves(sample, metrics):
    as_of = sample.as_of(MONTH)
    answered = response_time.answered_within(sample, as_of=as_of, window=MONTH.window, horizons=(3600,))
    assert row(metrics, "response.answered_within", 3600.0)["value"] == pytest.approx(answered["value"].iloc[0])
    closed = pipeline.closed_win_rate(sample, as_of=as_of)
    assert row(metrics, "pipeline.closed_win_rate")["n"] == closed["n"].iloc[0]
    growth = retention.net_customer_growth(sample, as_of=as_of, months=1, span=12)
    assert row(metrics, "retention.net_growth")["value"] == pytest.approx(growth["value"].iloc[0])
    assert row(metrics, "pipeline.leads")["value"] == int(compute.months(sample, MONTH, "pipeline.leads")["value"].iloc[-1])


# --- what goes wrong


def test_one_kpi_that_fails_takes_no_other(monkeypatch):
    def broken(*_, **__):
        raise KeyError("amount")

    data = dataset({"opportunities": table("opportunities", [deal("a", "2026-02-01 10:00", "won", "2026-02-10 10:00")])})
    monkeypatch.setattr(pipeline, "sales_cycle", broken)
    made, gone = compute.metrics(data, Month.parse("2026-02")), compute.missing(data, Month.parse("2026-02")).set_index("kpi")["reason"]
    assert row(made, "pipeline.won_value")["value"] == 100
    assert gone["pipeline.sales_cycle"].startswith("a fault of the kit (KeyError at ")
    assert compute.optional(broken, data) is None
    assert "KeyError: 'amount'" in compute.faults(data)["pipeline.sales_cycle"]
    with pytest.raises(ParameterError):  # a misspelt word is told to who wrote it
        compute.optional(pipeline.closed_win_rate, data, as_of="2026-03-01", weight="size")


@pytest.mark.parametrize("error", [MemoryError, RuntimeError, KeyboardInterrupt])
def test_the_end_of_the_run_is_no_fault_of_a_kpi(monkeypatch, error):
    def broken(*_, **__):
        raise error("INTERRUPT Error: Interrupted!")

    data = dataset({"opportunities": table("opportunities", [deal("a", "2026-02-01 10:00")])})
    monkeypatch.setattr(pipeline, "won", broken)
    with pytest.raises(error):
        compute.metrics(data, Month.parse("2026-02"))


def odd_companies() -> dict[str, dict[str, pd.DataFrame]]:
    """Deals without a creation date; a history that begins with the first of two imports; odd amounts; everything at once."""
    undated = [deal(f"d{i}", None, ("lost", "won")[i % 2], f"2026-0{1 + i % 5}-10 10:00", source="web") for i in range(40)]
    since = [deal(f"d{i}", "2026-02-01 10:00", source=f"s{i % 12}") for i in range(60)]
    late = [
        change for i in range(60) for change in story(f"d{i}", ("2026-05-01 10:00", "Qualified", "open"), ("2026-05-20 10:00", "Proposal", "open"))
    ]
    odd = [deal(f"o{i}", "2026-02-01 10:00", ("won", "lost")[i % 2], "2026-02-10 10:00", (-50.0, 0.0, None, 1e12)[i % 4]) for i in range(60)]
    return {
        "undated": {"opportunities": table("opportunities", undated), "stages": stages()},
        "late": {"opportunities": table("opportunities", since), "opportunity_history": table("opportunity_history", late), "stages": stages()},
        "odd": {"opportunities": table("opportunities", odd), "stages": stages()},
        "all": random_company(1),
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", ["undated", "late", "odd", "all"])
def test_no_month_from_the_first_to_the_last_has_a_fault(name):
    data = dataset(odd_companies()[name])
    for number in range(data.first_month().number, data.last_month().number + 1):
        month = Month.of(number)
        made = set(compute.metrics(data, month)["kpi"]) | set(compute.missing(data, month)["kpi"])
        assert made == set(CATALOG)
        compute.lists(data, month)
        compute.chain(data, month)
    assert compute.faults(data) == {}


# --- what the data do not allow


def unvalued(made: pd.DataFrame) -> list[str]:
    """Keys whose rows have no value at all."""
    known = made.groupby("kpi")["value"].count()
    return known.index[known == 0].tolist()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_a_number_is_there_or_its_reason_is(seed):
    """Random companies of few records at several months: no KPI is without a value and without a reason."""
    data = dataset(random_company(seed, n_leads=10 + 30 * seed, n_deals=10 + 20 * seed))
    for month in ("2026-02", "2026-04", "2026-06"):
        made, gone = compute.metrics(data, Month.parse(month)), compute.missing(data, Month.parse(month))
        assert set(made["kpi"]) | set(gone["kpi"]) == set(CATALOG)
        assert set(unvalued(made)) == set(made["kpi"]) & set(gone["kpi"])
        assert (gone["reason"].str.len() > 10).all()


def test_what_is_missing_says_why(online_retail):
    month = online_retail.month("2011-11")
    made, gone = compute.metrics(online_retail, month), compute.missing(online_retail, month)
    assert set(made["kpi"]) | set(gone["kpi"]) == set(CATALOG)
    both = set(made["kpi"]) & set(gone["kpi"])  # counted, but without a value: the data do not hold the year before
    assert both == {"retention.net_growth", "retention.gross_revenue", "retention.net_revenue"} == set(unvalued(made))
    assert set(gone[gone["kpi"].isin(both)]["reason"]) == {"there is no record that it could count"}
    gone = gone[~gone["kpi"].isin(both)]
    assert {key.split(".")[0] for key in made["kpi"]} == {"retention"}
    assert gone["reason"].str.fullmatch(r"the data set has no table (\w+); describe it under \[tables\.\1\] in kpi\.toml").all()
    assert compute.absent(online_retail)["table"].tolist() == ["leads", "activities", "opportunities", "opportunity_history"]


def test_nothing_is_absent_from_the_sample(sample):
    assert compute.absent(sample).empty


def test_a_contractual_company_misses_contracts_not_orders(online_retail):
    frame = pd.DataFrame(
        {
            "contract_id": ["1"],
            "customer_id": ["A"],
            "start_on": pd.Series(["2026-01-01"], dtype="datetime64[us]"),
            "end_on": pd.Series([None], dtype="datetime64[us]"),
            "monthly_amount": [10.0],
        }
    )
    data = kpi.Dataset(contracts=frame, exported_at="2026-07-01", settings={"retention": {"contractual": True}})
    assert "orders" not in compute.absent(data)["table"].tolist()
    assert "contracts" not in compute.absent(data)["table"].tolist()
    both = {
        f"retention.{name}" for name in ("active", "net_growth", "net_growth_quarter", "net_growth_month", "kept", "gross_revenue", "net_revenue")
    }
    assert set(compute.metrics(data, Month.parse("2026-06"))["kpi"]) == both | {"retention.expected_value"} | CONTRACTS - {"retention.renewal_check"}


# --- what a KPI needs


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    """Those of a small company whose customers order, and contracts beside."""
    orders, contracts = (simulate(Company().change(leads=250, existing=60, contractual=is_contractual)) for is_contractual in (False, True))
    found = {**contracts.tables, **orders.tables}
    return {
        name: frame[[column for column in frame if column in schema.TABLES[name].names]] for name, frame in found.items() if name in schema.TABLES
    }


def company(tables: dict[str, pd.DataFrame], **more) -> kpi.Dataset:
    return kpi.Dataset(**tables, timezone="Europe/Paris", country="FR", exported_at="2026-11-01", **more)


NEEDS = sorted({(need, key) for key, record in CATALOG.items() for need in record.needs})


@pytest.fixture(scope="module")
def lacking(tables):
    """The company without a table or column."""

    @cache
    def without(need: str) -> kpi.Dataset:
        kept = dict(tables)
        for choice in need.split(" or "):
            name, _, column = choice.partition(".")
            if column:
                kept[name] = kept[name].drop(columns=column)
            else:
                del kept[name]
        return company(kept)

    return without


@pytest.mark.parametrize(("need", "key"), first_quick(NEEDS, 5))
def test_a_metric_asks_for_each_need_of_its_record(lacking, need, key):
    table = need.split(" or ")[0].partition(".")[0]
    with pytest.raises(MissingTable, match=rf"\b{table}\b"):
        compute._of_month(lacking(need), CATALOG[key], MONTH)


@pytest.mark.slow
@pytest.mark.parametrize("needs", sorted({tuple(record.needs) for record in CATALOG.values()}))
def test_a_kpi_is_made_from_its_needs_alone(tables, needs):
    named: dict[str, list[str]] = {}  # with dates and links: deals without any are no data set, or nobody's
    for need in needs:
        name, _, column = need.split(" or ")[0].partition(".")
        named.setdefault(name, ["created_at", "lead_id"]).append(column)
    required = {name: [column for column in tables[name] if column in more or schema.TABLES[name][column].required] for name, more in named.items()}
    kept = {name: tables[name][columns] for name, columns in required.items()}
    wanted = {key for key, record in CATALOG.items() if tuple(record.needs) == needs}
    data = company(kept)
    lacking = compute.missing(data, MONTH).query("reason != @compute.EMPTY")  # some have no row then, where no date of a close is known, say
    assert not wanted & set(lacking["kpi"]) - set(compute.metrics(data, MONTH)["kpi"])
    assert compute.faults(data) == {}


# --- months and their signals


def test_months_of_a_headline(sample):
    table = compute.months(sample, MONTH, "response.answered_within", count=24)
    assert table["month"].tolist() == [str(MONTH.shift(back)) for back in range(-23, 1)]
    assert set(schema.RESULT) | {"centre", "lower", "upper", "signal", "reason", "provisional"} <= set(table.columns)
    # the sample's story: both teams answered late in October 2026
    assert table["signal"].iloc[-1]
    assert table["reason"].iloc[-1] == "below"


def test_months_that_know_no_old_customers_say_nothing_of_customers_kept(online_retail):
    month = online_retail.month("2011-11")
    plain = retention.retention_rate(online_retail, as_of=online_retail.as_of(month), months=12)
    early = plain["provisional"].tolist()
    assert early[0] and not early[-1]
    assert plain["value"][plain["provisional"]].notna().any(), "there is something to hide"
    shown = compute.months(online_retail, month, "retention.kept", count=12)
    assert shown["month"].tolist() == plain["month"].tolist()
    assert shown["value"].isna().tolist() == early
    assert shown["value"].tolist()[-1] == plain["value"].tolist()[-1]


@pytest.mark.parametrize("key", CHAIN)
def test_every_headline_has_its_months(sample, key):
    table = compute.months(sample, MONTH, key, count=13)
    assert table["month"].tolist() == [str(MONTH.shift(back)) for back in range(-12, 1)]
    assert (table["kpi"] == key).all()
    assert table["value"].notna().all()


def test_months_do_not_reach_before_the_data(online_retail):
    table = compute.months(online_retail, online_retail.month("2011-11"), "retention.kept", count=36)
    assert table["month"].iloc[0] == "2010-12"
    assert table["value"].iloc[0] is None or math.isnan(table["value"].iloc[0])  # the first activity window says nothing yet


def test_an_unknown_headline_is_refused(sample):
    with pytest.raises(kpi.KpiError, match=r"pipeline\.colour"):
        compute.months(sample, MONTH, "pipeline.colour")


def test_the_chain_names_its_stage_and_leaves_out_what_is_missing(sample, online_retail):
    chain = compute.chain(sample, MONTH, count=13)
    assert [table["kpi"].iloc[0] for table in chain] == [*CHAIN]
    assert [set(table["kind"]) for table in chain] == [{CATALOG[key].unit} for key in CHAIN]
    assert [set(table["stage"]) for table in chain if "stage" in table] == [{pipeline.watched_stage(sample)["stage"]}]
    names = [pulse.tile(about(sample, str(MONTH), "en"), table).title for table in chain]
    assert any(pipeline.watched_stage(sample)["stage"] in name for name in names)
    assert len(set(names)) == len(names)
    assert [pulse.tile(about(sample, str(MONTH), "fr"), table).title for table in chain] != names
    retail = compute.chain(online_retail, online_retail.month("2011-11"))
    assert [table["kpi"].iloc[0] for table in retail] == ["retention.kept"]


def test_false_alarms_are_a_chance(sample):
    chain = compute.chain(sample, MONTH)
    rate = compute.false_alarm_rate(chain)
    assert 0 < rate < 0.5
    assert rate > compute.false_alarm_rate(chain[:2])
    assert rate == compute.false_alarm_rate(chain)
    assert compute.false_alarm_rate([]) == 0
    assert compute.false_alarm_rate(compute.chain(sample, MONTH, count=6)) == 0  # all provisional


def test_watched_stage_is_the_second_open_one_or_the_one_named(sample):
    assert pipeline.watched_stage(sample) == {"stage": "Proposition", "position": 2}
    lead = pd.DataFrame({"lead_id": ["L1"], "created_at": pd.Series(["2026-01-01"], dtype="datetime64[us]"), "source": ["web"], "owner": ["Ann"]})
    stages = pd.DataFrame(
        {"stage": ["In", "Talk", "Offer", "Yes", "No"], "position": [1, 2, 3, 4, 5], "status": ["open", "open", "open", "won", "lost"]}
    )
    named = kpi.Dataset(leads=lead, stages=stages, settings={"pipeline": {"watched_stage": "Offer"}})
    assert pipeline.watched_stage(named) == {"stage": "Offer", "position": 3}
    with pytest.raises(MissingTable, match="stages"):
        pipeline.watched_stage(kpi.Dataset(leads=lead))


def test_cohorts_are_compared_at_one_age(sample):
    cells = retention.cohort_matrix(sample, as_of=sample.as_of(MONTH), months=24)
    table = retention.compared_cohorts(cells, age=3)
    assert len(table) == 21  # the last three cohorts are not that old
    assert table["month"].is_monotonic_increasing
    assert (table["lower"] <= table["upper"]).all()


# --- lists


def test_lists_to_act_on(sample, online_retail):
    lists = compute.lists(sample, MONTH)
    assert set(lists) >= {"never_answered", "best_customers", "set_aside"}
    assert len(lists["best_customers"]) == 100
    assert lists["best_customers"]["value"].is_monotonic_decreasing
    waiting = lists["never_answered"]
    assert len(waiting) > 0
    assert waiting["lead_id"].is_unique
    retail = compute.lists(online_retail, online_retail.month("2011-11"))
    assert "never_answered" not in retail
    assert len(retail["best_customers"]) == 100
