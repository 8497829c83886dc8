"""Expected value on data sets: against rows counted by hand, the groups, the check on the past, the floors."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import kpi
from kpi import engine
from kpi import lifetime_value as lv
from kpi.errors import MissingTable, ParameterError
from kpi.lifetime_value import customer_counts as rows
from kpi.presentation import pages
from kpi.presentation.language import Words

END = "2026-07-01"


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
        loop.append((who, len(bought) - 1, (bought["day"].max() - first).days, (last - first).days, round(bought["amount"].sum(), 2)))
    found = engine.collect(rows.customers(data, pd.Timestamp(END)), ["customer_id"])
    assert list(found[["customer_id", "repeats", "recency", "age"]].itertuples(index=False, name=None)) == [row[:4] for row in loop]
    assert found["spent"].to_numpy() == pytest.approx([row[4] for row in loop])


def test_expected_value_is_the_sum_over_customers(data):
    fitted = lv.fit(data, as_of=END)
    table = engine.collect(rows.customers(data, pd.Timestamp(END)), ["customer_id"])
    ahead = lv.expected_purchases(table, fitted.purchases.parameters, "mbg", 365)
    p, q, v = fitted.spending.parameters
    each = (p * (v + table["spent"]) / (p * table["purchases"] + q - 1)).to_numpy()
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
    words = Words("en")
    assert "It is no better" in pages.lifetime_value._verdict(words, check)
    assert "errs less" in pages.lifetime_value._verdict(words, check.assign(error=1.0))
    assert "too short" in pages.lifetime_value._verdict(words, check.head(0))


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
