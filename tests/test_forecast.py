"""The levers: counts against the definition, the model by hand and as a slow loop, published shrinkage, and the truth of the simulated company."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import oracles
import pandas as pd
import pytest
from companies import STAGES, ZONE, answering, dataset, deal, lead, random_company, random_data, selling, story, utc

import kpi
from kpi import forecast
from kpi.errors import MissingTable, ParameterError
from kpi.forecast.lever_ranges import inflows, target
from kpi.forecast.levers import KINDS
from kpi.forecast.pipeline_counts import BANDS, OTHERS, counted
from kpi.forecast.pipeline_model import BAND_OF, LAST, PipelineModel, effects, fitted
from kpi.periods import Window
from kpi.presentation.pages import lever_gains
from kpi.statistics.shrinkage import shrunk
from tests.simulated import Company, simulate
from tests.simulated.company import day_number
from tests.simulated.levers import Move, won_values

AS_OF = "2026-11-01"
SPRING = Window(date(2026, 2, 1), date(2026, 5, 1))
PLACES = {stage: position for stage, position, status in STAGES if status != "lost"}


# --- counts


def band(age: int) -> int:
    return max(number for number, edge in enumerate(BANDS) if age >= edge)


@pytest.mark.parametrize("seed", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_counts_against_the_definition(seed):
    now = utc("2026-05-01")
    found = counted(random_data(seed), now, SPRING)
    deals = oracles.deals_at(random_company(seed), now.to_pydatetime(), ZONE)
    for position in (1, 2, 3):
        lives = oracles.lives_in_stage(deals, position, PLACES, now.to_pydatetime(), ZONE)
        at_risk, events = oracles.person_days(lives, SPRING.start, SPRING.end)
        days, ends, waiting = np.zeros(len(BANDS)), np.zeros((len(BANDS), 2)), {}
        for age, n in at_risk.items():
            days[band(age)] += n
        for age, outcomes in events.items():
            ends[band(age)] += [outcomes.get("advanced", 0), outcomes.get("advanced", 0) + outcomes.get("lost", 0)]
        for first, last, outcome in lives:
            if outcome == "censored":
                age = min((last - first).days + 1, LAST)
                waiting[age] = waiting.get(age, 0) + 1
        here = {key: getattr(found, key).query(f"position == {position}") for key in ("exposure", "exits", "waiting")}
        told = here["exposure"].groupby("band")["days"].sum().reindex(range(len(BANDS)), fill_value=0)
        assert told.tolist() == days.tolist()
        told = here["exits"].groupby("band")[["events", "n"]].sum().reindex(range(len(BANDS)), fill_value=0)
        assert told.to_numpy().tolist() == ends.tolist()
        assert here["waiting"].groupby("age")["count"].sum().to_dict() == waiting
    reached = [oracles.reached_on(row, 1, PLACES, ZONE) for row in deals]
    quarters = [(SPRING.end - day).days - 1 for day in reached if day and SPRING.start <= day < SPRING.end]
    assert found.entries.groupby("quarter")["count"].sum().tolist() == np.bincount([age // 91 for age in quarters]).tolist()


def test_counts_of_amounts_and_leads_by_hand():
    deals = [deal(f"w{n}", "2026-03-02 10:00", "won", f"2026-03-1{n} 10:00", amount=100.0 * n, lead_id="l0" if n == 1 else None) for n in (1, 2, 3)]
    leads = [lead(f"l{n}", "2026-02-25 10:00", opportunity_id="w2" if n == 1 else None) for n in range(4)]
    data = dataset(selling([*deals, deal("blind", "2026-03-02 10:00", "won", "2026-03-12 10:00", amount=None)]) | answering(leads, []))
    found = counted(data, utc("2026-06-01"), Window(date(2026, 1, 1), date(2026, 6, 1)))
    assert found.amounts[["n", "total", "squares"]].to_numpy().tolist() == [[3, 600.0, 140_000.0]]
    assert found.leads.groupby("lag")["n"].sum().to_dict() == {-1: 2, 5: 2}
    assert found.from_leads.tolist() == [0.5]  # of four deals one names a lead, one is named by one
    assert found.stages["stage"].tolist() == [""]  # without a history the way as a whole


def test_inflow_moves_to_its_best_quarter():
    # 91 days each, counted back from the last day of the window, 31 May: the oldest one had three times as many deals, on its first and last day.
    ends = [date(2026, 5, 31) - timedelta(days=91 * quarter) for quarter in range(4)]
    days = [(ends[quarter] - timedelta(days=back), 30 if quarter == 3 else 10) for quarter in range(4) for back in (0, 90)]
    deals = [deal(f"{day} {n}", f"{day} 10:00") for day, count in days for n in range(count)]
    window = Window(date(2025, 6, 1), date(2026, 6, 1))
    counts = counted(dataset(selling(deals)), utc("2026-06-01"), window)
    assert counts.entries["count"].tolist() == [20, 20, 20, 60]
    (lever,) = inflows(counts, fitted(counts, 90, 10, seed=1))
    assert (lever.n, lever.basis) == (120, "quarter")
    assert lever.now == pytest.approx(120 / 365 * 90)
    mean, deviation = shrunk(np.log(np.array([20, 20, 20, 60]) / (120 * 91 / 365)), 1 / np.array([20, 20, 20, 60]))
    assert lever.then == pytest.approx(lever.now * np.exp(mean[3]))
    assert 1.5 < np.exp(lever.shift) < 2.0  # twice as many as usual, not all of it believed
    assert lever.error == pytest.approx(deviation[3])


def test_small_sources_are_taken_together():
    deals = [deal(f"{place} {n}", "2026-03-02 10:00", source=f"s{place:02d}") for place in range(13) for n in range(place + 1)]
    found = counted(dataset(selling(deals)), utc("2026-06-01"), Window(date(2026, 1, 1), date(2026, 6, 1)))
    assert found.entries.set_index("source")["count"].to_dict() == {f"s{n:02d}": n + 1 for n in range(3, 13)} | {OTHERS: 6}
    assert set(found.waiting["source"]) == set(found.entries["source"])


# --- model


def model(ends, share, horizon: int, *, rate=1.0, amount=10.0, held=()) -> PipelineModel:
    """One source, no draws; the same chances at all ages."""
    stages = len(ends)
    ends, share = np.array(ends, float), np.array(share, float)
    odds = np.log(share / (1 - share))
    there = np.zeros((stages, 1, LAST + 1))
    for place, age in held:
        there[place, 0, age] += 1
    same = [np.repeat(part[:, None], len(BANDS), axis=1)[None] for part in (ends, odds)]
    return PipelineModel(["web"], horizon, *same, np.zeros((1, 1)), np.array([[rate]]), np.array([[amount]]), there)


def test_value_by_hand():
    # Half of the stays end each day, three in five of them with a win: 0.3, then 0.5 x 0.3 more on the second day.
    one = model([0.5], [0.6], 2, held=[(0, 4)])
    assert one.won(one.stages) == pytest.approx(0.45)
    assert one.won_per_day(one.stages, np.ones(2)) == pytest.approx(0.45 + 0.3)  # the deal of the second day has that day only
    assert one.value(one.stages) == pytest.approx([10 * (0.45 + 0.75)])
    # Two stages, each left on the day of entry with a step forward half of the time: won at once with 1/4, or a day later.
    two = model([0.5, 0.5], [0.999_999_999] * 2, 1, held=[(1, 0)])
    assert two.won(two.stages) == pytest.approx(0.5)
    assert two.won_per_day(two.stages, np.ones(1)) == pytest.approx(0.25)


def test_a_lever_moves_one_factor_only():
    one = model([0.2], [0.5], 40)
    usual, pushed, faster = (one.stage(0, **more)[0][0, 0] for more in ({}, {"push": np.log(3)}, {"pace": np.log(2)}))
    assert pushed == pytest.approx(usual * 1.5)  # the odds go from 1 to 3, the share from 1/2 to 3/4, each day alike
    assert faster[0] == pytest.approx(0.4 * 0.5)
    assert faster.sum() == pytest.approx(usual.sum(), rel=1e-3)  # sooner, not more


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_value_against_a_walk_from_day_to_day(seed):
    rng = np.random.default_rng(seed)
    held = np.zeros((3, 2, LAST + 1))
    held[:, :, rng.integers(0, LAST + 1, 9)] = rng.integers(0, 4, (3, 2, 9))
    random = PipelineModel(
        ["a", "b"],
        30,
        rng.uniform(0, 0.3, (1, 3, len(BANDS))),
        rng.normal(0, 1, (1, 3, len(BANDS))),
        rng.normal(0, 1, (1, 2)),
        rng.uniform(0, 2, (1, 2)),
        rng.uniform(5, 20, (1, 2)),
        held,
    )
    total = 0.0
    for source in range(2):
        there = [{age: n for age, n in enumerate(held[place, source]) if n} for place in range(3)]
        for _ in range(30):
            there[0][0] = there[0].get(0, 0) + random.inflow[0, source]
            for place in range(3):
                later = {}
                for age, n in there[place].items():
                    ends = random.exit_chance[0, place, BAND_OF[age]]
                    on = n * ends / (1 + np.exp(-random.log_odds[0, place, BAND_OF[age]] - random.source_effect[0, source]))
                    later[min(age + 1, LAST)] = later.get(min(age + 1, LAST), 0) + n * (1 - ends)
                    if place == 2:
                        total += on * random.amount[0, source]
                    else:  # one who goes on may go on again on the same day
                        there[place + 1][0] = there[place + 1].get(0, 0) + on
                there[place] = later
    assert random.value(random.stages)[0] == pytest.approx(total)


def test_draws_scatter_about_the_estimate():
    counts = counted(random_data(1), utc("2026-05-01"), SPRING)
    one = fitted(counts, 90, 2000, seed=1)
    values = one.value(one.stages)
    assert abs(values[1:].mean() - values[0]) < values[1:].std() / 2
    again = fitted(counts, 90, 2000, seed=1)
    np.testing.assert_array_equal(again.value(again.stages), values)


# --- ranges


def test_published_shrinkage_of_the_eight_schools():
    # Rubin (1981), Journal of Educational Statistics 6:377-401; medians of Gelman et al. (2013), Bayesian Data Analysis, table 5.3. The posterior
    # means are those that Stan's example gives: 11.4, 7.9, 6.1, 7.6, 5.1, 6.2, 10.7, 8.5.
    means, deviations = shrunk(np.array([28, 8, -3, 7, -1, 1, 18, 12.0]), np.array([15, 10, 16, 11, 9, 11, 10, 18.0]) ** 2)
    assert means == pytest.approx([11.4, 7.9, 6.1, 7.6, 5.1, 6.2, 10.7, 8.5], abs=0.15)
    assert deviations[0] == pytest.approx(8.4, abs=0.3)
    median = np.array([10, 8, 7, 8, 5, 6, 10, 8])
    assert np.abs(means - median).max() < 1.5


def test_the_best_of_many_equals_is_hardly_a_target_and_its_interval_covers():
    rng = np.random.default_rng(1)
    raw, drawn, covered = [], [], []
    for _ in range(300):
        values = rng.normal(0, 0.1, 10)  # ten owners who are all the same
        mean, deviation = shrunk(values, np.full(10, 0.01))
        best = int(mean.argmax())
        raw.append(values.max())
        drawn.append(mean[best])
        covered.append(abs(mean[best]) < 1.96 * deviation[best])
    assert np.mean(raw) > 0.14
    assert np.mean(drawn) < 0.07
    assert np.mean(covered) > 0.95


def test_the_best_is_not_overrated_when_owners_do_differ():
    rng = np.random.default_rng(2)
    errors = []
    for _ in range(400):
        truth = rng.normal(0, 0.2, 8)
        variance = rng.uniform(0.005, 0.05, 8)
        mean, deviation = shrunk(truth + np.sqrt(variance) * rng.standard_normal(8), variance)
        best = int(mean.argmax())
        errors.append((mean[best] - truth[best]) / deviation[best])
    assert abs(np.mean(errors)) < 0.2
    assert np.mean(np.abs(errors) < 1.96) > 0.92


def test_small_and_nameless_groups_are_no_target():
    table = pd.DataFrame({"owner": ["a", "b", "c", "d"], "n": [40, 40, 40, 19], "events": [10, 20, 30, 19]})
    names, steps, variances = effects(table, np.zeros(4), "owner")
    assert names.tolist() == ["a", "b", "c"]
    assert steps == pytest.approx(np.log([1 / 3, 1, 3]), abs=0.05)
    assert target(names, steps, variances, 0.01, "owner")["best"] == "c"
    assert target(["a", "b", "(blank)"], steps, variances, 0.01, "owner")["basis"] == "interval"  # b does no better than usual
    told = target(names[:2], steps[:2], variances[:2], 0.01, "owner")
    assert told == {"shift": pytest.approx(0.1282, abs=1e-4), "error": pytest.approx(0.1), "basis": "interval"}


# --- truth


def told(simulation, **without) -> kpi.Dataset:
    company, tables = simulation.company, {name: frame.drop(columns=without.get(name, [])) for name, frame in simulation.tables.items()}
    more = {"timezone": company.timezone, "country": company.country, "currency": company.currency, "exported_at": "2026-11-04"}
    return kpi.Dataset(**tables, **more)


def truths(simulation, gains: pd.DataFrame) -> tuple[float, np.ndarray]:
    """True expectation, and true gain of each lever, moved as far as the metric moves it."""
    company, moves = simulation.company, [None]
    places = {item.name: place for items in (company.channels, company.stages) for place, item in enumerate(items)}
    for row in gains.to_dict("records"):
        shift = row["shift"]
        if row["kind"] == "lead_conversion":
            shift = np.log(row["to"] / row["from"])
        if row["kind"] == "response":
            shift = (row["to"] - row["from"]) / (1 - row["from"])
        moves.append(Move(row["kind"], places[row["group"].split(" → ")[0]] if row["group"] else 0, shift))
    base, *moved = won_values(company, simulation.hidden["deals"], day_number(AS_OF), 90, moves)
    return base, np.array(moved) - base


@pytest.fixture(scope="module")
def simulation():
    return simulate(Company(leads=6000, seed=5))


@pytest.fixture(scope="module")
def data(simulation):
    return told(simulation)


@pytest.mark.slow
def test_true_gains_and_their_ranking_are_found(simulation, data):
    found = forecast.gains(data, as_of=AS_OF)
    assert set(found["kind"]) == set(KINDS)
    known = found[found["value"].notna()]
    true_base, truth = truths(simulation, known)
    base = forecast.expected_won(data, as_of=AS_OF).iloc[0]
    assert base["low"] < true_base < base["high"]
    assert ((known["low"] < truth) & (truth < known["high"])).all()
    causal = (known["kind"] != "response").to_numpy()
    assert known.loc[~causal, "value"].item() > truth[~causal].item() > 0  # the association overstates what sooner answers do
    large = causal & (truth > 0.005 * base["value"])
    assert large.sum() >= 6
    assert known.loc[large, "value"].to_numpy() == pytest.approx(truth[large], rel=0.35)
    assert known["value"].corr(pd.Series(truth, index=known.index), method="spearman") > 0.9
    assert truth.argmax() == 0


@pytest.mark.slow
def test_true_gains_of_a_large_company_are_found_closely():
    simulation = simulate(Company(leads=40_000, seed=7))
    known = forecast.gains(told(simulation), as_of=AS_OF).query("value.notna() and kind != 'response'")
    _, truth = truths(simulation, known)
    assert known["value"].to_numpy() == pytest.approx(truth, rel=0.3)
    assert known["value"].corr(pd.Series(truth, index=known.index), method="spearman") > 0.95


@pytest.mark.slow
def test_the_truth_is_what_a_simulated_company_wins():
    company = Company(leads=60_000, seed=9, growth=0.0, season=(1.0,) * 12)
    simulation = simulate(company)
    day, deals = day_number("2026-06-01"), simulation.hidden["deals"]
    table = simulation.tables["opportunities"]
    closed = (table["closed_at"].dt.tz_localize("UTC").dt.tz_convert("Europe/Paris").dt.tz_localize(None) - pd.Timestamp(0)).dt.days
    won = (table["status"] == "won") & (closed >= day) & (closed < day + 90)
    assert deals["value"].to_numpy()[won.to_numpy()].sum() == pytest.approx(won_values(company, deals, day, 90)[0], rel=0.05)


@pytest.mark.slow
def test_owners_who_truly_do_better_are_found():
    # The team of the partners takes care of the best source; where no source is known, its owners are those who do better.
    channels = [replace(item, quality=3.0) if item.team else item for item in Company().channels]
    simulation = simulate(Company(leads=20_000, seed=5, channels=tuple(channels)))
    found = [forecast.gains(told(simulation, **without), as_of=AS_OF) for without in ({"opportunities": ["source"]}, {})]
    assert found[0].loc[found[0]["kind"] == "inflow", "group"].tolist() == ["(blank)"]
    blind, seeing = (table[table["kind"] == "conversion"] for table in found)
    assert set(blind["best"]) <= {"É. Lacombe", "P. Vidal"}
    assert (blind["low"] > 0).sum() >= 2
    # Where the source is known, they do no better than others would with these deals.
    assert seeing["shift"].max() < blind["shift"].max() / 3
    assert not (seeing["low"] > 0).any()


# --- relations


def test_levers_and_their_expectation_belong_together(data):
    found, base = forecast.gains(data, as_of=AS_OF), forecast.expected_won(data, as_of=AS_OF).iloc[0]
    known = found[found["value"].notna()]
    assert (known["expected"] - known["value"]).to_numpy() == pytest.approx(base["value"])
    assert known["value"].is_monotonic_decreasing
    assert ((known["low"] < known["value"]) & (known["value"] < known["high"])).all()
    assert (known["value"] > 0).all()
    assert 0 < base["from_open"] < base["value"]
    few = found[found["value"].isna()]
    assert few["group"].tolist() == ["Événement"]
    assert (few["n"] < 20).all()
    wide, narrow = (forecast.gains(data, as_of=AS_OF, level=level).set_index(["kind", "group"]) for level in (0.95, 0.5))
    assert (narrow["low"].dropna() > wide["low"].dropna()).all()


def test_conversion_now_is_that_of_the_stage(data):
    found = forecast.gains(data, as_of=AS_OF).query("kind == 'conversion'").set_index("group")
    beside = kpi.pipeline.stage_conversion(data, as_of=AS_OF, window=Window(date(2025, 11, 1), date(2026, 11, 1)))
    for row in beside.itertuples():
        assert found.loc[f"{row.stage} → {row.next_stage}", "from"] == pytest.approx(row.value, abs=0.02)
    stay = kpi.pipeline.time_in_stage(data, as_of=AS_OF, window=Window(date(2025, 11, 1), date(2026, 11, 1))).set_index("stage")
    for row in forecast.gains(data, as_of=AS_OF).query("kind == 'pace'").to_dict("records"):
        assert row["to"] < row["from"] == pytest.approx(stay.loc[row["group"], "value"], abs=2)


@pytest.mark.slow
def test_twice_the_amounts_are_twice_the_gains(simulation, data):
    tables = simulation.tables | {"opportunities": simulation.tables["opportunities"].assign(amount=lambda table: 2 * table["amount"])}
    tables["opportunity_history"] = tables["opportunity_history"].assign(amount=lambda table: 2 * table["amount"])
    twice = forecast.gains(told(type(simulation)(simulation.company, tables, {})), as_of=AS_OF)
    once = forecast.gains(data, as_of=AS_OF)
    assert twice["group"].tolist() == once["group"].tolist()
    for name in ("value", "low", "high", "expected"):
        np.testing.assert_allclose(twice[name], 2 * once[name], rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["duckdb", "polars"])
def test_row_order_and_engine_do_not_matter(engine):
    tables = random_company(1)
    turned = dataset({key: frame.iloc[::-1] for key, frame in tables.items()}, engine)
    pd.testing.assert_frame_equal(forecast.gains(dataset(tables), as_of="2026-05-01"), forecast.gains(turned, as_of="2026-05-01"))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"horizon": 0}, "horizon of 0 days"), ({"window": ("2026-01-01", "2026-01-01")}, "has no day"), ({"level": 1.0}, "level is 1")],
)
def test_parameters_are_checked(data, wrong, said):
    for metric in (forecast.gains, forecast.expected_won):
        with pytest.raises(ParameterError, match=said):
            metric(data, as_of=AS_OF, **wrong)


# --- what is missing


def test_without_opportunities_there_is_nothing_to_say():
    with pytest.raises(MissingTable):
        forecast.gains(dataset(answering([lead("a", "2026-03-01 10:00")], [])), as_of="2026-05-01")


def test_without_stages_history_or_leads_the_rest_is_said(simulation):
    tables = {"opportunities": simulation.tables["opportunities"].drop(columns=["source", "lead_id"])}
    company = {"timezone": "Europe/Paris", "currency": "EUR", "exported_at": "2026-11-04"}
    data = kpi.Dataset(**tables, **company)
    found = forecast.gains(data, as_of=AS_OF)
    assert sorted(found["kind"]) == ["amount", "conversion", "inflow", "pace"]
    assert found["value"].notna().all()
    base = forecast.expected_won(data, as_of=AS_OF).iloc[0]
    (truth,) = won_values(simulation.company, simulation.hidden["deals"], day_number(AS_OF), 90)
    assert base["value"] == pytest.approx(truth, rel=0.2)


@pytest.mark.parametrize("deals", [[], pytest.param([deal("a", "2026-03-01 10:00", source="web")], marks=pytest.mark.slow)])
def test_empty_and_one_row_tables(deals):
    history = [row for row in story("a", ("2026-03-01 10:00", "Qualified", "open")) if deals]
    inquiries = answering([lead("x", "2026-03-03 10:00")], [])
    for tables in (selling(deals) | inquiries, selling(deals, history) | inquiries):
        data = dataset(tables)
        found = forecast.gains(data, as_of="2026-05-01")
        assert found["value"].isna().all()
        row = forecast.expected_won(data, as_of="2026-05-01").iloc[0]
        assert np.isnan(row["value"])
        assert row["n_open"] == len(deals)


def test_the_company_of_one_owner_moves_within_its_interval(simulation):
    tables = {name: simulation.tables[name].assign(owner="Ann") for name in ("opportunities", "opportunity_history")}
    company = {"timezone": "Europe/Paris", "currency": "EUR", "exported_at": "2026-11-04"}
    found = forecast.gains(kpi.Dataset(**tables, stages=simulation.tables["stages"], **company), as_of=AS_OF)
    by_owner = found[found["kind"].isin(["conversion", "pace", "amount"])]
    assert set(by_owner["basis"]) == {"interval"}
    assert (by_owner["low"] < 0).all()  # nobody shows that it can be better


# --- the page


def rows(*lows: float) -> pd.DataFrame:
    made = [
        {"kind": "conversion", "group": f"A{n} → B", "value": 90.0 - n, "low": low, "high": 200.0, "n": 50, "from": 0.5, "to": 0.504 + n / 10}
        | {"unit": "rate", "basis": "owner", "best": "Ann", "horizon": 90.0}
        for n, low in enumerate(lows)
    ]
    return pd.DataFrame(made)


@pytest.mark.parametrize(
    ("lows", "said"),
    [
        ((1.0, -1.0), "What would bring most is A0 → B (50.0% → 50.4%): +€90 (€1–200)."),
        ((-1.0, 1.0), "not settled. The largest settled gain is that of A1 → B (50% → 60%)"),
        ((-1.0, -1.0), "No lever is settled: every interval includes zero."),
    ],
)
def test_the_sentence_is_chosen_from_the_numbers(data, lows, said):
    about = kpi.presentation.pages.about(data, "2026-10", "en")
    expected = pd.DataFrame([{"value": 1000.0, "low": 900.0, "high": 1100.0, "n": 60}])
    answer, figure, table = lever_gains.lever_gains(about, rows(*lows), expected)
    assert said in answer.sentence
    assert "€1,000 would be won in 90 days on average. The interval of that mean (€900–1,100) is no range" in answer.sentence
    assert "A0 → B" in figure.alt
    assert "best owner · Ann" in repr(table)


def test_too_few_wins_are_said(data):
    about = kpi.presentation.pages.about(data, "2026-10", "fr")
    (answer,) = lever_gains.lever_gains(about, rows(1.0).assign(value=np.nan), pd.DataFrame())
    assert answer.sentence.startswith("Trop peu d’affaires")
