"""Expected value on data sets: against rows counted by hand, the groups, the check on the past, the floors."""

from __future__ import annotations

import importlib
import os
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import kpi
from kpi import engine
from kpi import lifetime_value as lv
from kpi.errors import MissingTable, ParameterError
from kpi.lifetime_value import customer_counts as rows
from kpi.presentation import pages

END = "2026-07-01"
module = importlib.import_module("kpi.lifetime_value.expected_value")


def orders(n: int, seed: int = 1) -> pd.DataFrame:
    """Orders of customers who behave as the models say, in days before the end."""
    rng = np.random.default_rng(seed)
    age = rng.integers(30, 700, n).astype("float64")
    rate, drop = rng.gamma(0.9, 1 / 40, n), rng.beta(0.9, 2.0, n)
    each = rng.gamma(6, 1, n)
    made = []
    for who in range(n):
        at = 0.0
        while at <= age[who]:
            made.append((f"C{who:04d}", pd.Timestamp(END) - pd.Timedelta(days=age[who] - at, hours=-0.0) - pd.Timedelta(hours=10), at))
            if rng.random() < drop[who]:
                break
            at += max(1.0, rng.exponential(1 / max(rate[who], 1e-4)))
    frame = pd.DataFrame(made, columns=["customer_id", "at", "age"])
    frame["at"] = frame["at"].astype("datetime64[us]")
    frame["order_id"] = [f"O{number}" for number in range(len(frame))]
    frame["amount"] = np.round(each[frame["customer_id"].str[1:].astype(int)] * rng.gamma(5, 4, len(frame)) + 1, 2)
    return frame.drop(columns="age")


def company(n: int = 500, engine_name: str = "duckdb", **more) -> kpi.Dataset:
    frame = orders(n)
    who = pd.Series(sorted(frame["customer_id"].unique()))
    place = np.arange(len(who))
    table = pd.DataFrame({"customer_id": who, "source": np.where(place % 3, "web", "fair"), "owner": "Ann", "acquisition_cost": 10.0 + place % 2})
    return kpi.Dataset(orders=frame, customers=table, timezone="UTC", exported_at=END, engine=engine_name, **more)


@pytest.fixture(scope="module")
def data() -> kpi.Dataset:
    return company()


def test_customers_are_counted_as_a_loop_counts_them(data):
    frame = orders(500)
    frame = frame[frame["at"] < END]
    days = frame.assign(day=frame["at"].dt.normalize()).groupby(["customer_id", "day"], as_index=False)["amount"].sum()
    last = pd.Timestamp(END) - pd.Timedelta(days=1)
    loop = []
    for who, bought in days.groupby("customer_id"):
        first = bought["day"].min()
        again = bought.loc[bought["day"] > first, "amount"]
        loop.append((who, len(bought) - 1, (bought["day"].max() - first).days, (last - first).days, len(again), round(again.sum(), 2)))
    found = engine.collect(rows.customers(data, pd.Timestamp(END)), ["customer_id"])
    assert list(found[["customer_id", "repeats", "recency", "age", "priced"]].itertuples(index=False, name=None)) == [row[:5] for row in loop]
    assert found["spent"].to_numpy() == pytest.approx([row[5] for row in loop])


def test_expected_value_is_the_sum_over_customers(data):
    fitted = lv.fit(data, as_of=END)
    table = engine.collect(rows.customers(data, pd.Timestamp(END)), ["customer_id"])
    ahead = lv.expected_purchases(table, fitted.purchases.parameters, "mbg", 365)
    p, q, v = fitted.spending.parameters
    each = (p * (v + table["spent"]) / (p * table["priced"] + q - 1)).to_numpy()
    row = lv.expected_value(data, as_of=END, discount=0).iloc[0]
    assert row["value"] == pytest.approx((ahead * each).mean())
    assert row["purchases"] == pytest.approx(ahead.sum())
    assert row["low"] < row["value"] < row["high"]
    assert row["purchases_low"] < row["purchases"] < row["purchases_high"]
    assert (row["n"], row["measure"]) == (len(table), "amount")
    assert row["cost"] == pytest.approx(10.5, abs=0.01)
    assert row["net"] == pytest.approx(row["to_date"] + row["value"] - row["cost"])
    assert lv.expected_value(data, as_of=END).iloc[0]["value"] < row["value"]  # discounted


def test_groups_split_the_customers_won_lately(data):
    parts = lv.expected_value(data, as_of=END, by="source")
    assert parts["source"].tolist() == ["fair", "web"]
    table = engine.collect(rows.customers(data, pd.Timestamp(END)))
    assert parts["n"].sum() == (table["first_month"] >= 2026 * 12 + 6 - 24).sum()


@pytest.mark.slow
def test_engines_agree():
    one, other = (lv.expected_value(company(engine_name=name), as_of=END, by="source") for name in ("duckdb", "polars"))
    pd.testing.assert_frame_equal(one, other, rtol=1e-6)


@pytest.mark.slow
def test_nothing_after_as_of_changes_a_number():
    frame = orders(300)
    known = kpi.Dataset(orders=frame[frame["at"] < "2026-04-01"], timezone="UTC", exported_at=END)
    whole = kpi.Dataset(orders=frame, timezone="UTC", exported_at=END)
    for function in (lv.expected_value, lv.model_check, lv.at_risk, lv.tracking, lv.active_probability):
        pd.testing.assert_frame_equal(function(known, as_of="2026-04-01"), function(whole, as_of="2026-04-01"), rtol=1e-6)


def test_the_check_compares_with_what_was_bought(data):
    table = lv.model_check(data, as_of=END).set_index("repeats")
    window = table["window_start"].iloc[0]
    frame = orders(500)
    days = frame.assign(day=frame["at"].dt.normalize())[["customer_id", "day"]].drop_duplicates()
    known = days.groupby("customer_id")["day"].min()
    known = known[known < pd.Timestamp(window)].index
    made = days[(days["day"] >= pd.Timestamp(window)) & days["customer_id"].isin(known)]
    assert table.loc["all", "actual"] == len(made)
    parts = table.drop(index="all")
    for name in ("value", "actual", "hiatus", "n"):
        assert parts[name].sum() == pytest.approx(table.loc["all", name])
    assert table.loc["all", "value"] == pytest.approx(len(made), rel=0.25)  # the model is true here


def test_tracking_follows_purchases_day_by_day(data):
    table, check = lv.tracking(data, as_of=END), lv.model_check(data, as_of=END).set_index("repeats").loc["all"]
    last = table.iloc[-1]
    assert last["horizon"] == check["horizon"]
    for name in ("value", "actual", "hiatus", "n"):
        assert last[name] == pytest.approx(check[name])
    frame = orders(500)
    days = frame.assign(day=frame["at"].dt.normalize())[["customer_id", "day"]].drop_duplicates()
    cut = pd.Timestamp(table["window_start"].iloc[0])
    known = days.groupby("customer_id")["day"].min()
    days = days[days["customer_id"].isin(known[known < cut].index) & (days["day"] >= cut)]
    for row in table.itertuples():
        assert row.actual == (days["day"] < cut + pd.Timedelta(days=row.horizon)).sum()
    assert table[["horizon", "value", "actual", "hiatus"]].apply(lambda column: column.is_monotonic_increasing).all()
    assert ((table["low"] <= table["value"]) & (table["value"] <= table["high"])).all()
    assert table["horizon"].diff().dropna().min() >= 13


def test_the_probability_of_being_active_is_the_mean_over_customers(data):
    fitted = lv.fit(data, as_of=END)
    table = engine.collect(rows.customers(data, pd.Timestamp(END)), ["customer_id"])
    row = lv.active_probability(data, as_of=END).iloc[0]
    assert row["value"] == pytest.approx(lv.probability_active(table, fitted.purchases.parameters, "mbg").mean())
    assert row["low"] <= row["value"] <= row["high"]
    assert row["n"] == len(table)
    few = lv.active_probability(company(30), as_of=END).iloc[0]
    assert pd.isna(few["value"])


def test_customers_at_risk_are_worth_much_and_falling(data):
    table = lv.at_risk(data, as_of=END, limit=10)
    assert len(table) == 10
    assert (table["active_before"] - table["active"] >= 0.05).all()
    assert table["at_stake"].is_monotonic_decreasing


@pytest.mark.slow
@pytest.mark.parametrize(("n", "few", "known"), [(30, True, False), (250, True, True), (700, False, True)])
def test_few_customers_warn_and_fewer_say_nothing(n, few, known):
    data = company(n)
    row = lv.expected_value(data, as_of=END).iloc[0]
    assert (row["few"], bool(pd.notna(row["value"]))) == (few, known)
    assert lv.at_risk(data, as_of=END).empty is not known
    about = pages.about(data, "2026-06", "en")
    check = lv.model_check(data, as_of=END)
    more = {"active": lv.active_probability(data, as_of=END), "tracking": lv.tracking(data, as_of=END)}
    text = str(pages.lifetime_value.expected_value(about, lv.expected_value(data, as_of=END), check, lv.at_risk(data, as_of=END), **more)[0])
    assert ("Fewer than 50" in text) is not known
    assert ("Caution" in text) is (few and known)


def test_the_page_says_when_a_plain_rule_does_as_well():
    check = pd.DataFrame({"repeats": ["all"], "value": [90.0], "actual": [100.0], "horizon": [120], "error": [2.0], "hiatus_error": [1.9]})
    check = check.assign(low=80.0, high=110.0, measure="margin", money=900.0, money_low=700.0, money_high=1100.0, brought=1000.0)
    about = pages.about(company(1), "2026-06", "en")

    def said(**more):
        return " ".join(pages.lifetime_value._verdict(about, check.assign(**more)))

    assert "It is no better" in said()
    assert "errs less" in said(error=1.0)
    assert "€900 of margin expected, €1,000 came." in said()
    assert "outside its own 90% interval" not in said()
    assert "outside its own 90% interval" in said(error=1.0, brought=1200.0)  # whatever the plain rule does
    assert "outside its own 90% interval" in said(high=99.0)
    assert "too short" in pages.lifetime_value._verdict(about, check.head(0))[0]


def test_what_is_missing_is_named(data):
    with pytest.raises(MissingTable, match="product"):
        lv.expected_value(data, as_of=END, by="product")
    with pytest.raises(MissingTable, match="leads"):
        lv.expected_value(data, as_of=END, by="response")
    with pytest.raises(ParameterError, match="by='colour' is unknown"):
        lv.expected_value(data, as_of=END, by="colour")
    with pytest.raises(ParameterError, match="horizon=0"):
        lv.expected_value(data, as_of=END, horizon=0)
    assert set(lv.right_customers(data, as_of=END)) == {"source", "owner"}


def test_one_customer_or_none_ever_bought():
    data = kpi.Dataset(orders=orders(3).head(1), timezone="UTC", exported_at=END)
    assert lv.expected_value(data, as_of=END)["value"].isna().all()
    assert lv.model_check(data, as_of=END).empty
    assert lv.at_risk(data, as_of=END).empty
    assert lv.tracking(data, as_of=END).empty
    assert lv.active_probability(data, as_of=END)["value"].isna().all()


def bought(customers: int, often: int, amount: float, first: float, name: str = "C", **more) -> list[dict]:
    """Orders of customers who all buy the same: the first, then every month."""
    start = pd.Timestamp("2024-07-01 10:00")
    rows_ = []
    for who in range(customers):
        for number in range(often + 1):
            at = start + pd.Timedelta(days=30 * number + who % 20)
            rows_.append({"customer_id": f"{name}{who:03d}", "at": at, "amount": amount if number else first, **more})
    return rows_


def of_orders(made: list[dict], **more) -> kpi.Dataset:
    frame = pd.DataFrame(made)
    frame["at"], frame["order_id"] = frame["at"].astype("datetime64[us]"), [f"O{number}" for number in range(len(frame))]
    return kpi.Dataset(orders=frame, timezone="UTC", exported_at=END, **more)


def test_the_first_order_tells_nothing_of_the_next():
    """60 customers buy 3 times for 10 after a first order of 1,000: a purchase to come brings 10, of which 4 of margin, not 250."""
    orders_ = of_orders([*bought(60, 3, 10.0, 1000.0, margin=4.0), *bought(10, 0, 0.0, 1000.0, name="D", margin=4.0)])
    row = lv.expected_value(orders_, as_of=END, discount=0).iloc[0]
    assert row["value"] == pytest.approx(row["purchases"] / row["n"] * 4.0, rel=1e-3)
    assert row["measure"] == "margin"
    table = lv.at_risk(orders_, as_of=END)
    assert (table["at_stake"] < 100).all()


def test_amounts_that_are_not_known_are_not_zero():
    """Half of the repeat purchases are in a currency without a rate, and a third of the margins is not recorded: 10 each all the same."""
    made = bought(60, 4, 10.0, 10.0, currency="EUR", margin=4.0)
    for number, row in enumerate(made):
        if number % 5 in (1, 3):
            row["currency"] = "XAF"
        if number % 3 == 0:
            row["margin"] = None
    for row in made[: 20 * 5]:  # customers of whom no margin at all is known
        row["margin"] = None
    orders_ = of_orders(made, currency="EUR")
    row = lv.expected_value(orders_, as_of=END, discount=0).iloc[0]
    assert row["value"] == pytest.approx(row["purchases"] / row["n"] * 4.0, rel=1e-3)
    assert row["to_date"] == pytest.approx(3 * 4.0)  # of three orders with a rate


def test_amounts_that_go_with_frequency_count_with_their_mean():
    """40 customers buy 18 times for 10 and 40 buy twice for 300: a purchase has brought (18 x 10 + 2 x 300) / 20 = 39."""
    orders_ = of_orders([*bought(40, 18, 10.0, 10.0), *bought(40, 2, 300.0, 300.0, name="D")])
    row = lv.expected_value(orders_, as_of=END, discount=0).iloc[0]
    assert row["correlation"] == pytest.approx(-1.0)
    assert not row["by_customer"]
    assert row["value"] == pytest.approx(row["purchases"] / row["n"] * 39.0, rel=1e-6)
    about = pages.about(orders_, "2026-06", "en")
    more = {"active": lv.active_probability(orders_, as_of=END), "tracking": lv.tracking(orders_, as_of=END)}
    check = lv.model_check(orders_, as_of=END)
    text = str(pages.lifetime_value.expected_value(about, lv.expected_value(orders_, as_of=END), check, lv.at_risk(orders_, as_of=END), **more)[0])
    assert "each purchase counts with the mean" in text


def test_refunds_lower_what_a_purchase_brings():
    """Each of 60 customers buys 3 times for 10 after the first and takes 6 back once, without naming the sale: 24 of 30 are kept."""
    made = bought(60, 3, 10.0, 10.0)
    back = [{"customer_id": f"C{who:03d}", "at": pd.Timestamp("2025-03-01 10:00"), "amount": -6.0} for who in range(60)]
    row = lv.expected_value(of_orders([*made, *back]), as_of=END, discount=0).iloc[0]
    assert row["value"] == pytest.approx(row["purchases"] / row["n"] * 8.0, rel=1e-3)


def test_money_held_out_is_that_of_the_loop(data):
    table = lv.model_check(data, as_of=END).set_index("repeats")
    frame = orders(500)
    cut = pd.Timestamp(table["window_start"].iloc[0])
    known = frame.groupby("customer_id")["at"].min()
    later = frame[(frame["at"] >= cut) & frame["customer_id"].isin(known[known < cut].index)]
    assert table.loc["all", "brought"] == pytest.approx(later["amount"].sum())
    parts = table.drop(index="all")
    for name in ("money", "brought"):
        assert parts[name].sum() == pytest.approx(table.loc["all", name])
    assert ((table["low"] <= table["value"]) & (table["value"] <= table["high"])).all()
    assert table.loc["all", "money_low"] <= table.loc["all", "brought"] <= table.loc["all", "money_high"]  # the model is true here


WORLDS = {  # customers, shape of the rates, purchases a year, drop-out a and b, how amounts differ between and within customers (log, share)
    "they drop out": (500, 1.0, 3.0, 0.8, 2.5, 0.7, 0.5),
    "nobody leaves": (300, 0.8, 4.0, 0.0, 1.0, 0.5, 0.3),
    "seldom and very unlike": (900, 0.5, 1.5, 1.0, 3.0, 1.0, 0.8),
}


def lives(seed: int, world: tuple[float, ...], ahead: int) -> tuple[pd.DataFrame, float]:
    """Customers of up to two years as the models count them, and what they bring in the days after, bought as no model here says it exactly."""
    customers, shape, yearly, a, b, apart, within = world
    rng = np.random.default_rng(seed)
    made, later = [], 0.0
    for _ in range(int(customers)):
        age, rate, mean = rng.uniform(0, 730), rng.gamma(shape, yearly / shape / 365), 100 * np.exp(apart * rng.normal())
        drop = rng.beta(a, b) if a else 0.0
        at, spent = 0.0, [(0.0, 0.0)]
        while rng.random() >= drop and (at := at + max(1.0, rng.exponential(1 / max(rate, 1e-9)))) <= age + ahead:
            amount = mean * rng.gamma(within**-2) * within**2
            if at <= age:
                spent.append((at, amount))
            else:
                later += amount
        amounts = np.array([amount for _, amount in spent[1:]])
        made.append((len(amounts), np.floor(spent[-1][0]), np.floor(age), len(amounts), amounts.sum(), (amounts**2).sum()))
    return pd.DataFrame(made, columns=["repeats", "recency", "age", "priced", "spent", "squares"]), later


@pytest.mark.slow
@pytest.mark.parametrize("world", WORLDS)
def test_money_comes_within_its_interval_as_often_as_it_says(world):
    held = []
    for seed in range(40):
        table, later = lives(seed, WORLDS[world], 240)
        table = table.assign(kept=table["spent"], margin_kept=0.0, margin_of=0.0, spent_squared=table["spent"] ** 2, count=1)
        again = table[table["priced"] > 0]
        fitted = module.fit_counts(table, pd.DataFrame({"purchases": again["priced"], "amount": again["spent"] / again["priced"], "count": 1}))
        groups = rows.Groups.of(table, [])
        (value, *_), drawn = module.totals(table, groups, fitted, 240)
        spread = np.sqrt(drawn[:, 0].var(axis=0) + module.chances(table, groups, fitted, 240)[0])
        held.append(abs(value - later) <= 1.645 * spread)
    assert np.sum(held) >= 32  # of 40; 36 expected, at least 32 in 97 of 100 such runs


@pytest.mark.slow
@pytest.mark.parametrize("as_of", ["2024-10-01", "2025-01-01", "2025-05-01", "2025-11-01", "2026-05-01"])
def test_money_of_the_sample_came_as_expected(as_of):
    """The first order, ten times a repeat, made it four times too much."""
    row = lv.model_check(kpi.load("data/sample"), as_of=as_of).set_index("repeats").loc["all"]
    assert row["money_low"] <= row["brought"] <= row["money_high"]
    assert row["money"] == pytest.approx(row["brought"], rel=0.15)


@pytest.mark.slow
def test_money_of_cdnow_came_near_what_was_expected():
    """Published: the model falls short of the purchases of weeks 40 to 78 (1,882 made); what is outside its interval is called so."""
    made = cdnow_orders()
    row = lv.model_check(kpi.Dataset(orders=made, timezone="UTC", exported_at="1998-07-01"), as_of="1998-07-01").set_index("repeats").loc["all"]
    assert row["money"] == pytest.approx(row["brought"], rel=0.25)
    assert row["value"] == pytest.approx(row["actual"], rel=0.25)
    about = pages.about(kpi.Dataset(orders=made, timezone="UTC", exported_at="1998-07-01"), "1998-06", "en")
    held = row["low"] <= row["actual"] <= row["high"] and row["money_low"] <= row["brought"] <= row["money_high"]
    said = " ".join(pages.lifetime_value._verdict(about, row.to_frame().T.assign(repeats="all")))
    assert ("outside its own 90% interval" in said) is not held


def cdnow_orders() -> pd.DataFrame:
    """The published sample of a tenth of the CDNOW customers, from the wheel of lifetimes 0.11.3."""
    wheel = os.environ.get("KPI_LIFETIMES_WHEEL", "")
    if not Path(wheel).is_file():
        pytest.skip("KPI_LIFETIMES_WHEEL names no wheel of lifetimes 0.11.3, which holds the CDNOW customers")
    with zipfile.ZipFile(wheel) as archive, archive.open("lifetimes/datasets/CDNOW_sample.txt") as file:
        made = pd.read_csv(file, sep=r"\s+", names=["customer", "customer_id", "day", "units", "amount"], dtype={"customer_id": "str", "day": "str"})
    at = pd.to_datetime(made["day"], format="%Y%m%d").astype("datetime64[us]") + pd.Timedelta(hours=12)
    made = made.assign(at=at, order_id=[f"O{number}" for number in range(len(made))])
    return made[["order_id", "customer_id", "at", "amount"]]
