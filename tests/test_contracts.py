"""Customers under contract: how long they stay, who renews, what they will bring, and the page about them."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import oracles_retention as oracle
import pandas as pd
import pytest
from companies import utc
from test_revenue import RATES, contractual, random_terms

import kpi
from kpi import facts, retention
from kpi import lifetime_value as lv
from kpi.__main__ import run
from kpi.engine import collect
from kpi.errors import DataError, MissingTable, ParameterError
from kpi.lifetime_value.contract_value import _events as renewals_counted
from kpi.lifetime_value.contract_value import renewal_period
from kpi.periods import day_number
from kpi.presentation import pages
from tests.simulated import Company, simulate

AS_OF = "2026-07-01"
LAST = date(2026, 6, 30)

TERMS = (
    ("A", date(2024, 1, 15), None, 10.0, "EUR"),  # 29 months: the 30th is over on 15 July
    ("B", date(2025, 1, 1), date(2025, 7, 1), 10.0, "EUR"),  # joined by the next: 12 months, lost
    ("B", date(2025, 7, 1), date(2026, 1, 1), 10.0, "EUR"),
    ("C", date(2025, 1, 1), date(2025, 3, 1), 10.0, "EUR"),  # 2 months, lost
    ("C", date(2025, 3, 2), date(2025, 6, 20), 10.0, "EUR"),  # begins again: 3 months and some days, lost
    ("D", date(2025, 5, 1), date(2026, 7, 1), 10.0, "EUR"),  # ends on the date: still there the day before
    ("E", date(2026, 7, 1), None, 10.0, "EUR"),  # begins on the date
    ("F", date(2025, 1, 31), date(2025, 2, 28), 10.0, "EUR"),  # no whole month
)
STAYS = [(29, False), (12, True), (2, True), (4, True), (13, False), (1, True)]


def test_times_under_contract_by_hand():
    data = contractual(TERMS)
    rows = collect(facts.covers(data, data.instant(AS_OF)), ["customer_id", "start_day"])
    found = [(row.months + row.over * (row.outcome == "lost"), row.outcome == "lost") for row in rows.itertuples()]
    assert found == STAYS == oracle.stays(TERMS, LAST)
    assert rows["over"].tolist() == [1, 0, 0, 1, 1, 1]  # whole months to the day only where the day of the month is the same
    table = retention.contract_survival(data, as_of=AS_OF, horizons=(1, 3, 12, 24, 60))
    # of 6: one left within a month, one at 2, one in the fourth, one at 12 months; two are still seen, one until 13, one until 29
    assert table["value"].tolist() == pytest.approx([5 / 6, 4 / 6, 2 / 6, 2 / 6, np.nan], nan_ok=True)
    assert table["n_events"].tolist() == [1, 2, 4, 4, 4]
    assert retention.contract_median(data, as_of=AS_OF)["value"].item() == 4


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_survival_equals_the_slow_loop(seed):
    terms = random_terms(seed)
    data = contractual(terms)
    for as_of, last in ((AS_OF, LAST), ("2025-03-01", date(2025, 2, 28))):
        stays = oracle.stays(terms, last)
        rows = collect(facts.covers(data, data.instant(as_of)))
        assert sorted((row.months + row.over * (row.outcome == "lost"), row.outcome == "lost") for row in rows.itertuples()) == sorted(stays)
        table = retention.contract_survival(data, as_of=as_of, horizons=range(0, 30, 5))
        for row in table[table["value"].notna()].itertuples():
            assert row.value == pytest.approx(oracle.still_there(stays, int(row.horizon)))


def test_renewals_by_hand():
    row = retention.renewals(contractual(TERMS), as_of=AS_OF).iloc[0]
    # ended from July 2025 on: the two of B; the first is followed by the second
    assert (row["n"], row["n_events"], row["value"]) == (2, 1, 0.5)
    earlier = retention.renewals(contractual(TERMS), as_of=AS_OF, window=("2024-12-31", AS_OF)).iloc[0]
    assert (earlier["n"], earlier["n_events"]) == (5, 1)


@pytest.mark.parametrize("seed", [0, 1])
def test_renewals_equal_the_slow_loop(seed):
    terms = [row for row in random_terms(seed) if row[2] is None or row[2] > row[1]]
    row = retention.renewals(contractual(terms), as_of=AS_OF).iloc[0]
    ended = [(who, end) for who, _, end, *_ in terms if end and date(2025, 7, 1) <= end <= LAST]
    again = [any(name == who and start <= end and (stop is None or stop > end) for name, start, stop, *_ in terms) for who, end in ended]
    assert (row["n"], row["n_events"]) == (len(ended), sum(again))


# --- like the customers of a telephone company: 59.3 % are left after 72 months

ALPHA, BETA = 0.3, 15.640189  # of the chance to leave in a month; `share_kept` after 72 months is .593


def telephone(n: int = 3000, seed: int = 7) -> list[tuple]:
    """Customers who began at any time within six years, and leave month by month, some far likelier than others."""
    rng = np.random.default_rng(seed)
    life = rng.geometric(np.maximum(rng.beta(ALPHA, BETA, n), 1e-9))
    tenure = np.minimum(72, np.round(rng.beta(0.7, 0.7, n) * 72)).astype(int)
    end = pd.Period("2026-07", "M")
    rows = []
    for who, (months, seen) in enumerate(zip(life, tenure, strict=True)):
        start = end - int(seen)
        stop = (start + int(months)).start_time.date() if months <= seen else None
        rows.append((f"C{who:04d}", start.start_time.date(), stop, float(rng.choice([20, 50, 90])), "EUR"))
    return rows


@pytest.fixture(scope="module")
def calls() -> kpi.Dataset:
    rows = telephone()
    table = pd.DataFrame({"customer_id": [row[0] for row in rows]})
    place = np.arange(len(table))
    table = table.assign(segment=np.where(place % 3, "private", "firm"), source="shop", owner="Ann", acquisition_cost=100.0)
    return contractual(rows, customers=table)


def test_the_share_of_an_exact_table_is_that_of_the_table():
    gone = [month for month in range(1, 73) for _ in range(5)] + [72] * 47
    rows = [(f"C{i}", date(2020, 7, 1), (pd.Period("2020-07", "M") + month).start_time.date(), 10.0, "EUR") for i, month in enumerate(gone)]
    rows += [(f"K{i}", date(2020, 7, 1), None, 10.0, "EUR") for i in range(593)]
    data = contractual(rows)
    assert retention.contract_survival(data, as_of="2026-07-02", horizons=(72,))["value"].item() == pytest.approx(0.593)
    assert pd.isna(retention.contract_median(data, as_of="2026-07-02")["value"].item())


@pytest.mark.slow
def test_after_72_months_59_in_100_are_left_and_the_median_is_not_reached(calls):
    row = retention.contract_survival(calls, as_of="2026-07-02", horizons=(72,)).iloc[0]
    assert row["low"] < 0.593 < row["high"]
    assert row["high"] - row["low"] < 0.06
    assert row["value"] == pytest.approx(oracle.still_there(oracle.stays(telephone(), date(2026, 7, 1)), 72))
    median = retention.contract_median(calls, as_of="2026-07-02")
    assert pd.isna(median["value"].item())
    assert median["n_open"].item() + median["n_events"].item() == median["n"].item() == 3000
    about = pages.about(calls, "2026-06", "en")
    shown = {"survival": retention.contract_survival(calls, as_of=AS_OF), "curve": retention.contract_survival_curve(calls, as_of=AS_OF)}
    shown |= {"median": retention.contract_median(calls, as_of=AS_OF), "renewals": retention.renewals(calls, as_of=AS_OF)}
    text = str(pages.retention.contract_survival(about, **shown)[0])
    assert "The median is not reached: after 71 months" in text
    assert "was followed by another" in text  # they run until they are cancelled


def test_the_model_beats_one_constant_rate_on_renewals_held_out(calls):
    check = lv.renewal_check(calls, as_of=AS_OF)
    assert len(check) == 24
    assert (check["error"] < check["constant_error"] / 3).all()
    last = check.iloc[-1]
    assert last["low"] - 15 < last["actual"] < last["high"] + 15
    about = pages.about(calls, "2026-06", "en")
    text = str(pages.lifetime_value.contract_value(about, lv.expected_value(calls, as_of=AS_OF), check)[0])
    assert "It errs less than one constant rate" in text
    worse = check.assign(error=0.2, constant_error=0.1)
    assert "It is no better" in str(pages.lifetime_value.contract_value(about, lv.expected_value(calls, as_of=AS_OF), worse)[0])


# Survivors of 1,000 customers at each yearly renewal: Fader and Hardie (2007), How to Project Customer Retention, table 1 (regular; high end).
PUBLISHED = {
    "regular": [1000, 631, 468, 382, 326, 289, 262, 241, 223, 207, 194, 183, 173],
    "high end": [1000, 869, 743, 653, 593, 551, 517, 491, 468, 445, 427, 409, 394],
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_customers_are_projected_better_than_by_one_rate(name):
    left = PUBLISHED[name]
    rows = []
    for year in range(12):
        for _ in range(left[year] - left[year + 1]):
            rows.append((f"C{len(rows)}", date(2010, 1, 1), date(2011 + year, 1, 1), 10.0, "EUR"))
    rows += [(f"K{i}", date(2010, 1, 1), None, 10.0, "EUR") for i in range(left[12])]
    data = contractual(rows)
    # two thirds of the days to 2 January 2022 end before the eighth renewal: fitted on seven, as the authors did
    check = lv.renewal_check(data, as_of="2022-01-02")
    assert check["actual"].tolist() == left[8:12]
    assert check["n"].tolist() == [left[7]] * 4
    assert (check["horizon"] == [12, 24, 36, 48]).all()
    assert check["error"].iloc[0] < 0.02 < check["constant_error"].iloc[0]
    at = data.instant("2022-01-02")
    assert renewal_period(data, at) == 12
    assert retention.contract_survival(data, as_of="2022-01-02", horizons=(84,))["value"].item() == pytest.approx(left[7] / 1000)


def test_expected_value_is_the_sum_over_customers_month_by_month(calls):
    value = lv.expected_value(calls, as_of=AS_OF, discount=0).iloc[0]
    model = lv.fit_renewals(events(calls, 1))
    total, n = 0.0, 0
    for months, over, paid in standing(telephone(), LAST):
        assert not over
        share = lv.share_kept(np.arange(months, months + 12), model.parameters)
        total += paid * (share / share[0]).sum()  # the month begun is paid for
        n += 1
    assert (value["n"], value["measure"]) == (n, "amount")
    assert value["value"] == pytest.approx(total / n)
    assert value["low"] < value["value"] < value["high"]
    assert lv.expected_value(calls, as_of=AS_OF)["value"].item() < value["value"]
    assert value["cost"] == 100
    assert value["net"] == pytest.approx(value["to_date"] + value["value"] - 100)


def standing(terms, last):
    for row in terms:
        _, start, end, paid, _ = row
        if start <= last and (end is None or end > last):
            yield oracle.months_between(start, last), False, paid


def events(data, period: int) -> pd.DataFrame:
    rows = collect(facts.covers(data, data.instant(AS_OF)))
    table: dict[int, dict[str, int]] = {}
    for row in rows.itertuples():
        at = -(-(row.months + row.over) // period) if row.outcome == "lost" else row.months // period
        cell = table.setdefault(at, {"lost": 0, "kept": 0})
        cell["lost" if row.outcome == "lost" else "kept"] += 1
    return pd.DataFrame([{"renewal": at} | cell for at, cell in sorted(table.items())])


def test_groups_hold_those_who_left_too(calls):
    groups = lv.right_customers(calls, as_of=AS_OF)
    assert set(groups) == {"source", "segment", "owner"}
    lately = [row for row in telephone() if date(2024, 7, 1) <= row[1] <= LAST]
    assert groups["segment"]["n"].sum() == len(lately)
    assert groups["source"]["value"].item() < lv.expected_value(calls, as_of=AS_OF)["value"].item()
    paid = sum(row[3] * ((min(row[2] or date.max, date(2026, 7, 1)) - row[1]).days) * 12 / 365.25 for row in lately)
    assert groups["source"]["to_date"].item() == pytest.approx(paid / len(lately))


@pytest.mark.parametrize(("n", "known", "few"), [(30, False, True), (200, True, True)])
def test_few_customers_warn_and_fewer_say_nothing(n, known, few):
    data = contractual(telephone(n))
    row = lv.expected_value(data, as_of=AS_OF).iloc[0]
    assert (bool(pd.notna(row["value"])), row["few"]) == (known, few)
    about = pages.about(data, "2026-06", "fr")
    text = str(pages.lifetime_value.contract_value(about, lv.expected_value(data, as_of=AS_OF), lv.renewal_check(data, as_of=AS_OF))[0])
    assert ("Moins de 50" in text) is not known
    assert ("Prudence" in text) is known


def test_the_renewal_period_is_found_or_stated():
    yearly = [(f"C{i}", date(2020, 1, 1), date(2021 + i % 3, 1, 1), 10.0, "EUR") for i in range(20)]
    quarterly = [(f"C{i}", date(2020, 1, 1), date(2020, 4 + 3 * (i % 3), 1), 10.0, "EUR") for i in range(20)]
    at = utc(AS_OF)
    assert renewal_period(contractual(yearly), at) == 12
    assert renewal_period(contractual(quarterly), at) == 3
    assert renewal_period(contractual(telephone(200)), at) == 1
    assert renewal_period(contractual(yearly, renewal_months=6), at) == 6
    with pytest.raises(ParameterError, match=r"\[retention\] renewal_months = 0"):
        contractual(yearly, renewal_months=0)


def test_who_leaves_between_two_renewals_left_at_the_later_one():
    begun = date(2023, 1, 15)
    ends = [date(2023, 6, 15), date(2024, 1, 14), date(2024, 1, 15), date(2024, 1, 16), date(2024, 12, 1), date(2025, 1, 15), date(2025, 2, 1), None]
    data = contractual([(f"C{i}", begun, end, 10.0, "EUR") for i, end in enumerate(ends)])
    counted = renewals_counted(facts.covers(data, utc(AS_OF)), 12)
    # three left at the first renewal, two of them before its day; the one a day later, December's and the one on the day left at the second
    assert counted.to_numpy().tolist() == [[1, 3, 0], [2, 3, 0], [3, 1, 1]]


# --- relations that must hold, and what is missing

CALLS = {
    "survival": retention.contract_survival,
    "median": retention.contract_median,
    "renewals": retention.renewals,
    "net": retention.net_revenue_retention,
    "gross": retention.gross_revenue_retention,
    "value": lv.expected_value,
    "check": lv.renewal_check,
}


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["duckdb", pytest.param("polars", marks=pytest.mark.slow)])
def test_row_order_and_engine_do_not_matter(engine):
    terms = telephone(400)
    one, other = contractual(terms, RATES), contractual(terms[::-1], RATES, engine=engine)
    for name, call in CALLS.items():
        pd.testing.assert_frame_equal(call(one, as_of=AS_OF), call(other, as_of=AS_OF), rtol=1e-6, obj=name)


def test_contracts_begun_later_change_nothing():
    terms = telephone(400)
    later = [(f"N{i}", date(2026, 7, 1), None, 1e6, "EUR") for i in range(50)]
    one, other = contractual(terms), contractual(terms + later)
    for name, call in CALLS.items():
        pd.testing.assert_frame_equal(call(one, as_of=AS_OF), call(other, as_of=AS_OF), obj=name)


def test_one_contract_and_none_yet():
    for rows in ([TERMS[0]], [("E", date(2026, 7, 1), None, 10.0, "EUR")]):
        data = contractual(rows)
        n = int(rows[0][1] < date(2026, 7, 1))
        assert retention.contract_median(data, as_of=AS_OF)["n"].item() == n
        assert retention.renewals(data, as_of=AS_OF)["value"].isna().all()
        assert lv.expected_value(data, as_of=AS_OF)["value"].isna().all()
        assert lv.renewal_check(data, as_of=AS_OF).empty


def test_without_contracts_it_says_so():
    order = pd.DataFrame({"order_id": ["1"], "customer_id": ["A"], "at": [utc("2026-01-01")], "amount": [1.0]})
    data = kpi.Dataset(orders=order, exported_at="2026-07-15")
    for call in (retention.contract_survival, retention.contract_median, retention.renewals, lv.renewal_check):
        with pytest.raises(MissingTable, match="contracts"):
            call(data, as_of=AS_OF)


def test_the_simulated_truth_is_recovered():
    simulation = simulate(Company(leads=1500, seed=3, contractual=True))
    company = {"timezone": simulation.company.timezone, "exported_at": "2026-11-04", "settings": {"retention": {"contractual": True}}}
    data = kpi.Dataset(contracts=simulation.tables["contracts"], customers=simulation.tables["customers"], **company)
    check = lv.renewal_check(data, as_of="2026-11-01")
    assert (check["low"] <= check["actual"]).all()
    assert (check["actual"] <= check["high"]).all()
    truth = lv.share_kept(np.array([1, 2, 3]), np.array([simulation.company.churn_a, simulation.company.churn_b]))
    table = retention.contract_survival(data, as_of="2026-11-01", horizons=(12, 24, 36))
    assert ((table["low"] - 0.01 <= truth) & (truth <= table["high"] + 0.01)).all()
    assert day_number(table["window_end"].iloc[0]) == day_number(date(2026, 11, 1))


# --- the page


def shown_in(about, only: str, table: str, monkeypatch) -> list:
    """What a section shows whose table is missing."""
    seen: list = []
    monkeypatch.setattr("IPython.display.display", lambda *blocks: seen.extend(blocks))
    with pages.section(about, only=only):
        raise MissingTable(table)
    return [type(block).__name__ for block in seen]


def test_sections_about_the_other_kind_of_customers_are_left_out(calls, monkeypatch):
    contracts = pages.about(calls, "2026-06", "en")
    order = pd.DataFrame({"order_id": ["1"], "customer_id": ["A"], "at": [utc("2026-01-01")], "amount": [1.0]})
    orders = pages.about(kpi.Dataset(orders=order, exported_at="2026-07-15"), "2026-06", "en")
    assert shown_in(contracts, "orders", "orders", monkeypatch) == ["Absent"]
    assert shown_in(orders, "contracts", "contracts", monkeypatch) == ["Absent"]
    # what such customers need is missing, and said so
    assert shown_in(contracts, "contracts", "contracts", monkeypatch) == ["NoData"]
    assert shown_in(orders, "orders", "orders", monkeypatch) == ["NoData"]
    assert shown_in(contracts, "orders", "customers", monkeypatch) == ["NoData"]


@pytest.mark.parametrize("lack", [MissingTable("opportunities"), DataError("the table is empty")])
def test_what_rests_on_an_opening_that_gave_way_is_no_fault_of_the_kit(calls, monkeypatch, lack):
    about, seen = pages.about(calls, "2026-06", "en"), []
    monkeypatch.setattr("IPython.display.display", lambda *blocks, **_: seen.extend(blocks))
    with pages.section(about, "pipeline"):
        raise lack
    with pages.section(about):
        raise NameError("name 'quarters' is not defined")
    assert (about.faults, seen[-1].plain()) == ({}, "Missing: it rests on a number that is missing above.")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lang", "told", "silent"),
    [
        ("en", ["The median is not reached", "It errs less than one constant rate", "customers of a year ago are at"], "No data"),
        (
            "fr",
            ["La médiane n’est pas atteinte", "Il se trompe moins qu’un taux de départ constant", "clients d’il y a un an sont à"],
            "Pas de données",
        ),
    ],
)
def test_a_company_with_contracts_alone_has_a_whole_page(tmp_path, lang, told, silent):
    columns = ["customer_id", "start_on", "end_on", "monthly_amount", "currency"]
    frame = pd.DataFrame(telephone(1500), columns=columns)
    frame.assign(contract_id=[f"K{i}" for i in range(len(frame))]).to_csv(tmp_path / "contracts.csv", index=False)
    frame[["customer_id"]].assign(segment="firm", source="shop").to_csv(tmp_path / "customers.csv", index=False)
    company = '[company]\nname = "Phone"\ncurrency = "EUR"\ntimezone = "Europe/Paris"\nexported_at = "2026-07-01"\n'
    (tmp_path / "kpi.toml").write_text(company + "[retention]\ncontractual = true\n", "utf-8")
    for command in (["check"], ["metrics", "--format", "json"]):
        assert run([command[0], str(tmp_path), *command[1:]]) == 0
    assert run(["report", str(tmp_path), "--only", "retention", "--lang", lang, "--out", str(tmp_path / "out")]) == 0
    page = (tmp_path / "out" / "2026-06" / "retention.html").read_text("utf-8")
    main = page[page.index("<main") :]
    for sentence in told:
        assert sentence in main
    assert silent not in main
    assert main.count("<h2") == 5


# --- ends


def yearly(last_day: bool) -> tuple:
    """Five customers who renew each year and one who left at the end of 2024, the end given as the last day covered, or as the first one without."""
    end = [date(year, 12, 31) if last_day else date(year + 1, 1, 1) for year in (2023, 2024, 2025, 2026)]
    whole = [(who, date(2023 + i, 1, 1), end[i], 10.0, "EUR") for who in "ABCDE" for i in range(4)]
    return (*whole, ("F", date(2024, 1, 1), end[1], 10.0, "EUR"))


@pytest.mark.parametrize("last_day", [True, False])
def test_ends_are_read_as_the_data_mean_them(last_day):
    data = contractual(yearly(last_day))
    told = data.decisions.set_index("decision")["value"]["end_on is"]
    counted = "15 contracts are followed by one the day after their end, 0 by one on the day itself"
    if not last_day:
        counted = "0 contracts are followed by one the day after their end, 15 by one on the day itself"
    assert told == f"{'last_day' if last_day else 'first_day_without'} ({counted})"
    assert retention.renewals(data, as_of="2026-05-01")["value"].item() == 1
    survival = retention.contract_survival(data, as_of="2026-05-01", horizons=[11, 12, 24]).set_index("horizon")["value"]
    assert survival.tolist() == [1, pytest.approx(5 / 6), pytest.approx(5 / 6)]
    growth = retention.net_customer_growth(data, as_of="2026-05-01", months=5).set_index("month")
    assert growth["lost"].tolist() == [0] * 5


def test_a_month_too_short_for_the_day_is_covered_through_its_last_day():
    """Given as the last day: from 29 February 2024 through 28 February 2025 are 12 months, from 31 January through 28 February is one."""
    spans = [
        ("2024-02-29", "2025-02-28", 12),
        ("2025-01-31", "2025-02-28", 1),
        ("2025-01-31", "2025-04-30", 3),
        ("2025-01-30", "2025-02-28", 1),
        ("2025-01-31", "2025-03-01", 2),  # a day into the second
        ("2025-01-01", "2025-02-28", 2),
        ("2025-01-15", "2025-02-28", 2),
        ("2024-08-31", "2025-08-30", 12),
        ("2025-01-28", "2025-02-28", 2),
        ("2025-01-28", "2025-02-27", 1),
    ]
    terms = [(f"C{i}", date.fromisoformat(start), date.fromisoformat(end), 10.0, "EUR") for i, (start, end, _) in enumerate(spans)]
    data = contractual(terms, contracts_end="last_day")
    rows = collect(facts.covers(data, data.instant(AS_OF)), ["customer_id"])
    assert (rows["months"] + rows["over"]).tolist() == [months for *_, months in spans]
    first_day_without = [(who, start, end + timedelta(days=1), paid, currency) for who, start, end, paid, currency in terms]
    assert oracle.stays(first_day_without, LAST) == [(months, True) for *_, months in spans]


def test_the_meaning_of_ends_can_be_said():
    data = contractual(yearly(True), contracts_end="first_day_without")
    assert data.decisions.set_index("decision")["value"]["end_on is"] == "first_day_without (kpi.toml)"
    assert retention.renewals(data, as_of="2026-05-01")["value"].item() == 0


@pytest.mark.slow
def test_survival_in_months_is_that_of_the_simulated_customers():
    """Customers leave on any day at a constant rate, seen for at most three years: shares still there at 12 and 24 months, within chance."""
    rng = np.random.default_rng(1)
    starts = [date(2023, 7, 1) + timedelta(days=int(day)) for day in rng.integers(0, 1095, 4000)]
    lives = rng.exponential(600, 4000)
    terms = [
        (f"C{i}", start, start + timedelta(days=max(int(life), 1)), 10.0, "EUR") for i, (start, life) in enumerate(zip(starts, lives, strict=True))
    ]
    terms = [(who, start, end if end <= LAST else None, paid, currency) for who, start, end, paid, currency in terms]
    table = retention.contract_survival(contractual(terms), as_of=AS_OF, horizons=[6, 12, 24]).set_index("horizon")
    for months, row in table.iterrows():
        truth = float(np.exp(-months * 365.25 / 12 / 600))
        assert row["low"] <= truth <= row["high"], (months, truth, row["value"])
