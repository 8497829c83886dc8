from __future__ import annotations

import math
from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import oracles_retention as oracle
import pandas as pd
import pytest
from companies import first_quick
from oracles_retention import Shop, first_of, next_month

import kpi
from kpi import retention
from kpi.errors import DataError, MissingTable, ParameterError
from kpi.periods import Window
from kpi.presentation import pages
from kpi.statistics import intervals, survival

ZONE = "Europe/Paris"
AS_OF = "2026-07-01"


def utc(local: str) -> pd.Timestamp:
    return pd.Timestamp(local).tz_localize(ZONE, ambiguous=True).tz_convert("UTC").tz_localize(None).as_unit("us")


def order(number: str, customer: str, local: str, amount: float, currency: str = "EUR", kind: str = "sale", refunds: str | None = None, margin=None):
    return {"order": number, "customer": customer, "at": utc(local), "amount": amount} | {
        "margin": margin,
        "currency": currency,
        "kind": kind,
        "refunds": refunds,
    }


def orders_frame(rows) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "order_id": pd.Series([row["order"] for row in rows], dtype="str"),
            "customer_id": pd.Series([row["customer"] for row in rows], dtype="str"),
            "at": pd.Series([row["at"] for row in rows], dtype="datetime64[us]"),
            "amount": pd.Series([row["amount"] for row in rows], dtype="float64"),
            "margin": pd.Series([row["margin"] for row in rows], dtype="float64"),
            "currency": pd.Series([row["currency"] for row in rows], dtype="str"),
            "kind": pd.Series([row["kind"] for row in rows], dtype="str"),
            "refunds_order_id": pd.Series([row["refunds"] for row in rows], dtype="str"),
        }
    )
    return frame if frame["margin"].notna().any() else frame.drop(columns="margin")


def customers_frame(sources: dict[str, str | None]) -> pd.DataFrame:
    return pd.DataFrame({"customer_id": pd.Series(list(sources), dtype="str"), "source": pd.Series(list(sources.values()), dtype="str")})


def dataset(shop: Shop, sources: dict[str, str | None] | None = None, engine: str = "duckdb", **more) -> kpi.Dataset:
    tables = {"orders": orders_frame(shop.orders)}
    if sources is not None:
        tables["customers"] = customers_frame(sources)
    if shop.rates:
        columns = ["currency", "from_on", "rate"]
        tables["fx"] = pd.DataFrame(shop.rates, columns=columns).astype({"from_on": "datetime64[us]"})
    more = {"exported_at": "2026-07-15"} | more
    return kpi.Dataset(**tables, timezone=shop.zone, currency=shop.currency, engine=engine, **more)


def column(table: pd.DataFrame, name: str) -> list:
    return [None if pd.isna(value) else value for value in table[name]]


# --- worked by hand -----------------------------------------------------------------------------------------------------------------------------

SOURCES = {"A": "web", "B": "web", "C": "web", "D": "fair", "E": None, "F": "fair"}
SMALL = Shop(
    orders=(
        order("a1", "A", "2026-01-31 23:30", 100.0),  # 22:30 in UTC; half an hour later it would be February
        order("a2", "A", "2026-03-29 01:30", 50.0),  # the night the clock is put forward: 00:30 UTC
        order("a3", "A", "2026-03-29 23:30", 20.0),  # 21:30 UTC; the same local day: one purchase of 70
        order("b1", "B", "2026-02-10 10:00", 500.0),
        order("b2", "B", "2026-03-05 10:00", -500.0, kind="refund", refunds="b1"),  # so B has not bought
        order("c1", "C", "2026-02-10 12:00", 100.0),
        order("c2", "C", "2026-03-15 12:00", 30.0, kind="refund"),  # names no order, and is written without its sign
        order("c3", "C", "2026-06-01 00:30", 80.0),  # 22:30 on 31 May in UTC
        order("d1", "D", "2026-02-20 12:00", 100.0, currency="USD"),  # 90 EUR
        order("e1", "E", "2026-06-30 23:59", 40.0),
        order("e2", "E", "2026-07-01 00:00", 1000.0),  # at as_of, not before
        order("f1", "F", "2026-07-03 12:00", 1000.0),
    ),
    rates=(("USD", date(2026, 2, 1), 0.9), ("USD", date(2026, 3, 1), 0.5)),
)
SIXTY = {"retention": {"activity_days": 60}}


@pytest.fixture(scope="module")
def small():
    return dataset(SMALL, SOURCES, settings=SIXTY)


def test_activity_window_is_a_gap_that_covers_95_percent(small):
    assert retention.activity_window(small, as_of=AS_OF) == 60  # kpi.toml decides
    free = dataset(SMALL, SOURCES)
    assert retention.activity_window(free, as_of=AS_OF) == 111  # gaps: A 57 days, C 111
    assert retention.activity_window(free, as_of="2026-06-01") == 57  # C had not come back yet
    assert retention.activity_window(free, as_of="2026-02-01") == 365  # nobody had bought twice


def test_active_customers_by_hand(small):
    table = retention.active_customers(small, as_of=AS_OF, months=6)
    assert column(table, "month") == ["2026-01", "2026-02", "2026-03", "2026-04", "2026-05", "2026-06"]
    # at the end of March A counts by 31 January, exactly 60 days before
    assert column(table, "value") == [1, 3, 3, 1, 0, 2]
    assert column(table, "n") == [1, 3, 3, 3, 3, 4]
    assert set(table["horizon"]) == {60}
    assert set(table["kpi"]) == {"retention.active"}
    assert set(table["view"]) == {"snapshot"}
    assert set(table["as_of"]) == {utc("2026-07-01")}


def test_months_before_the_data_are_missing_not_zero(small):
    table = retention.active_customers(small, as_of=AS_OF, months=8)
    assert column(table, "value") == [None, None, 1, 3, 3, 1, 0, 2]


def test_net_growth_by_hand(small):
    table = retention.net_customer_growth(small, as_of=AS_OF, months=6)
    account = [tuple(row) for row in table[["start", "new", "reactivated", "lost", "end"]].to_numpy()]
    assert account == [(0, 1, 0, 0, 1), (1, 2, 0, 0, 3), (3, 0, 0, 0, 3), (3, 0, 0, 2, 1), (1, 0, 0, 1, 0), (0, 1, 1, 0, 2)]
    assert column(table, "value") == [None, 2.0, 0.0, pytest.approx(-2 / 3), -1.0, None]
    assert column(table, "n") == [0, 1, 3, 3, 1, 0]
    # the data begin on 31 January, a whole window of 60 days is known from 1 April on
    assert column(table, "provisional") == [True, True, True, False, False, False]


def test_net_growth_of_a_quarter_by_hand(small):
    table = retention.net_customer_growth(small, as_of=AS_OF, months=1, span=3)
    row = table.iloc[0]
    assert [row[name] for name in ("month", "start", "new", "reactivated", "lost", "end")] == ["2026-06", 3, 1, 0, 2, 2]
    assert row["value"] == pytest.approx(-1 / 3)
    assert (row["window_start"], row["window_end"]) == (date(2026, 4, 1), date(2026, 7, 1))


def test_retention_rate_by_hand(small):
    table = retention.retention_rate(small, as_of=AS_OF, months=1, span=3)
    row = table.iloc[0]
    assert (row["n"], row["n_events"], row["value"]) == (3, 1, pytest.approx(1 / 3))  # of A, C, D only C; E is new and does not count
    assert (row["low"], row["high"]) == tuple(pytest.approx(limit) for limit in intervals.wilson(1, 3))
    monthly = retention.retention_rate(small, as_of=AS_OF, months=6)
    assert column(monthly, "value") == [None, 1.0, 1.0, pytest.approx(1 / 3), 0.0, None]


def test_cohort_matrix_by_hand(small):
    table = retention.cohort_matrix(small, as_of=AS_OF, months=6)
    cells = {(row.cohort, row.age): (row.customers, row.n, round(row.amount, 6)) for row in table.itertuples()}
    january = {("2026-01", age): cell for age, cell in enumerate([(1, 1, 100), (0, 1, 0), (1, 1, 70), (0, 1, 0), (0, 1, 0), (0, 1, 0)])}
    february = {("2026-02", age): cell for age, cell in enumerate([(2, 2, 190), (0, 2, -30), (0, 2, 0), (0, 2, 0), (1, 2, 80)])}
    assert cells == january | february | {("2026-06", 0): (1, 1, 40)}
    assert table["value"].tolist() == [row.customers / row.n for row in table.itertuples()]
    kept = {(row.cohort, row.age): row.amount_kept for row in table.itertuples()}
    assert [kept["2026-01", 2], kept["2026-02", 1], kept["2026-02", 4]] == pytest.approx([70 / 100, -30 / 190, 80 / 190])


def test_cohort_matrix_has_whole_months_only(small):
    table = retention.cohort_matrix(small, as_of="2026-06-20", months=6)
    assert set(zip(table["cohort"], table["age"], strict=True)) == {("2026-01", age) for age in range(5)} | {("2026-02", age) for age in range(4)}
    assert table.loc[table["cohort"] == "2026-02", "customers"].tolist() == [2, 0, 0, 0]  # C's June purchase is not of a whole month


def test_retention_curve_leaves_out_the_first_month_of_the_data(small):
    table = retention.retention_curve(small, as_of=AS_OF, months=6)
    assert [(row.age, row.n_events, row.n) for row in table.itertuples()] == [(0, 3, 3), (1, 0, 2), (2, 0, 2), (3, 0, 2), (4, 1, 2)]
    assert column(table, "value") == [1.0, 0.0, 0.0, 0.0, 0.5]


def test_repeat_purchase_by_hand(small):
    half_year = Window(date(2026, 1, 1), date(2026, 7, 1))
    table = retention.repeat_purchase(small, as_of=AS_OF, window=half_year, view="cohort", horizons=(30, 60, 120, 180))
    # A after 57 days (of A, C, D), C after 111 (of C, D), D open after 130, E just came
    assert column(table, "value") == [0.0, pytest.approx(1 / 3), pytest.approx(2 / 3), None]  # nobody has been followed for 180 days
    assert column(table, "n") == [4, 4, 4, 4]
    assert column(table, "n_events") == [0, 1, 2, 2]
    assert column(table, "n_open") == [1, 1, 1, 2]


def test_period_reading_of_repeat_purchase_by_hand(small):
    june = Window(date(2026, 6, 1), date(2026, 7, 1))
    table = retention.repeat_purchase(small, as_of=AS_OF, window=june, horizons=(120, 365))
    # in June C enters at the age of 111 days and buys at once, D is seen from 101 to 130 days, E on its first; A had bought again before
    assert column(table, "n") == [3, 3]
    assert column(table, "n_events") == [1, 1]
    assert column(table, "value") == [None, None]  # of the second day to the hundredth nobody was under observation


def test_value_to_date_by_hand(small):
    table = retention.value_to_date(small, as_of=AS_OF)
    row = table.iloc[0]
    assert (row["measure"], row["n"]) == ("amount", 4)
    assert row["value"] == pytest.approx((170 + 150 + 90 + 40) / 4)
    by_source = retention.value_to_date(small, as_of=AS_OF, by="source").set_index("source")
    assert by_source["n"].to_dict() == {"(blank)": 1, "fair": 1, "web": 2}
    assert by_source["value"].to_dict() == pytest.approx({"(blank)": 40, "fair": 90, "web": 160})


def test_best_customers_by_hand(small):
    table = retention.best_customers(small, as_of=AS_OF)
    assert table.columns.tolist() == ["customer_id", "segment", "source", "value", "purchases", "first_on", "last_on"]
    rows = list(table.drop(columns="segment").itertuples(index=False, name=None))
    assert rows == [
        ("A", "web", pytest.approx(170), 2, date(2026, 1, 31), date(2026, 3, 29)),
        ("C", "web", pytest.approx(150), 2, date(2026, 2, 10), date(2026, 6, 1)),
        ("D", "fair", pytest.approx(90), 1, date(2026, 2, 20), date(2026, 2, 20)),
        ("E", "(blank)", pytest.approx(40), 1, date(2026, 6, 30), date(2026, 6, 30)),
    ]
    assert retention.best_customers(small, as_of=AS_OF, limit=2)["customer_id"].tolist() == ["A", "C"]


def test_deciles_by_hand(small):
    table = retention.value_deciles(small, as_of=AS_OF)
    assert column(table, "amount") == [pytest.approx(value) for value in (170, 150, 90, 40)]
    assert column(table, "value") == [pytest.approx(value / 450) for value in (170, 150, 90, 40)]
    assert column(table, "cumulative") == [pytest.approx(value / 450) for value in (170, 320, 410, 450)]
    assert table["decile"].is_monotonic_increasing


def test_a_full_refund_in_another_currency_undoes_the_sale_whatever_the_rate_does():
    rows = (
        order("1", "A", "2026-02-10 10:00", 100.0, currency="USD"),
        order("2", "A", "2026-03-10 10:00", -100.0, currency="USD", kind="refund", refunds="1"),
        order("3", "B", "2026-02-10 10:00", 10.0),
    )
    shop = Shop(rows, rates=(("USD", date(2026, 1, 1), 0.9), ("USD", date(2026, 3, 1), 0.8)))
    table = retention.active_customers(dataset(shop), as_of=AS_OF, months=6)
    assert column(table, "n") == [None if value is None else value for value in [0, 1, 1, 1, 1, 1]]


@pytest.mark.parametrize("sign", [1, -1])
def test_a_refunded_sale_at_a_loss_takes_its_loss_back(sign):
    rows = (
        order("1", "A", "2026-02-10 10:00", 100.0, margin=40.0),
        order("2", "A", "2026-02-20 10:00", 80.0, margin=-10.0),
        order("3", "A", "2026-02-25 10:00", sign * 80.0, kind="refund", refunds="2", margin=sign * -10.0),
    )
    table = retention.value_to_date(dataset(Shop(rows)), as_of=AS_OF)
    assert table["measure"].tolist() == ["margin"]
    assert column(table, "value") == [pytest.approx(40.0)]


def test_first_on_is_a_purchase_not_a_refund_of_before_the_data():
    rows = (order("1", "A", "2026-02-10 10:00", -5.0, kind="refund"), order("2", "A", "2026-03-10 10:00", 80.0))
    table = retention.best_customers(dataset(Shop(rows)), as_of=AS_OF)
    assert table["first_on"].tolist() == [date(2026, 3, 10)]


# --- under contract -------------------------------------------------------------------------------------------------------------------------------

CONTRACTS = (
    ("A", date(2026, 1, 15), None),
    ("B", date(2026, 1, 1), date(2026, 3, 1)),  # renewed without a gap, on the edge of a month
    ("B", date(2026, 3, 1), None),
    ("C", date(2026, 2, 1), date(2026, 4, 15)),
    ("C", date(2026, 6, 10), date(2027, 6, 10)),
    ("D", date(2026, 7, 1), None),
)


@pytest.fixture(scope="module")
def contractual():
    frame = pd.DataFrame(CONTRACTS, columns=["customer_id", "start_on", "end_on"]).astype({"start_on": "datetime64[us]", "end_on": "datetime64[us]"})
    frame = frame.assign(contract_id=[f"K{i}" for i in range(len(frame))], monthly_amount=100.0)
    settings = {"retention": {"contractual": True}}
    return kpi.Dataset(contracts=frame, timezone=ZONE, exported_at="2026-07-15", settings=settings)


def test_customers_under_contract_by_hand(contractual):
    assert retention.activity_window(contractual, as_of=AS_OF) is None
    table = retention.active_customers(contractual, as_of=AS_OF, months=6)
    assert column(table, "value") == [2, 3, 3, 2, 2, 3]
    assert set(column(table, "horizon")) == {None}
    growth = retention.net_customer_growth(contractual, as_of=AS_OF, months=6)
    account = [tuple(row) for row in growth[["start", "new", "reactivated", "lost", "end"]].to_numpy()]
    assert account == [(0, 2, 0, 0, 2), (2, 1, 0, 0, 3), (3, 0, 0, 0, 3), (3, 0, 0, 1, 2), (2, 0, 0, 0, 2), (2, 0, 1, 0, 3)]
    assert not growth["provisional"].any()


@pytest.mark.parametrize("seed", range(2))
def test_customers_under_contract_equal_the_slow_loop(seed):
    rng = np.random.default_rng(seed)
    rows = []
    for who in range(40):
        day = date(2024, 1, 1).toordinal() + int(rng.integers(0, 900))
        for _ in range(int(rng.integers(1, 5))):
            length = int(rng.integers(1, 300))
            rows.append((f"C{who}", date.fromordinal(day), None if rng.random() < 0.2 else date.fromordinal(day + length)))
            day += length + int(rng.choice([0, 0, 40]))
            if rows[-1][2] is None:
                break
    frame = pd.DataFrame(rows, columns=["customer_id", "start_on", "end_on"]).astype({"start_on": "datetime64[us]", "end_on": "datetime64[us]"})
    frame = frame.assign(contract_id=[f"K{i}" for i in range(len(frame))], monthly_amount=100.0)
    data = kpi.Dataset(contracts=frame, timezone=ZONE, exported_at="2026-07-15", settings={"retention": {"contractual": True}})
    firsts = {}
    for who, start, _ in rows:
        firsts[who] = min(start, firsts.get(who, start))
    for span in (1, 3, 12):
        table = retention.net_customer_growth(data, as_of=AS_OF, months=12, span=span)
        expected = []
        for month in oracle.months_up_to("2026-06", 12):
            since, until = first_of(oracle.months_up_to(month, span)[0]), first_of(next_month(month))
            start, end = oracle.under_contract(rows, since), oracle.under_contract(rows, until)
            expected.append({"month": month} | oracle.account(start, end, firsts, since))
        assert table[list(expected[0])].to_dict("records") == expected


def test_contracts_do_not_stand_in_for_orders(contractual):
    for function in (retention.cohort_matrix, retention.retention_curve, retention.repeat_purchase, retention.value_to_date, retention.value_deciles):
        with pytest.raises(MissingTable, match="orders"):
            function(contractual, as_of=AS_OF)


def test_a_contractual_company_without_contracts_says_so():
    data = dataset(SMALL, settings={"retention": {"contractual": True}})
    for function in (retention.activity_window, retention.active_customers, retention.net_customer_growth, retention.retention_rate):
        with pytest.raises(MissingTable, match="contracts"):
            function(data, as_of=AS_OF)


# --- against slow loops ---------------------------------------------------------------------------------------------------------------------------


def random_shop(seed: int) -> tuple[Shop, dict[str, str | None]]:
    """Customers who buy now and then, twice a day at times, at midnight and the clock's changes, in four currencies, with refunds of all kinds."""
    rng = np.random.default_rng(seed)
    rows: list[dict] = []
    edges = [
        "2025-03-30 01:30",
        "2025-10-26 02:30",
        "2025-12-31 23:59:59",
        "2026-01-01 00:00",
        "2026-06-30 23:59:59",
        "2026-07-01 00:00",
        "2026-02-28 23:30",
    ]
    for who in range(45):
        pace = rng.choice([15, 60, 200])
        day = pd.Timestamp("2024-10-01") + pd.Timedelta(days=int(rng.integers(0, 640)))
        while day < pd.Timestamp("2026-07-14") and rng.random() < 0.93:
            for _ in range(int(rng.choice([1, 1, 2]))):
                local = f"{day:%Y-%m-%d} {rng.choice(['00:10', '09:00', '12:00', '23:50'])}" if rng.random() < 0.9 else str(rng.choice(edges))
                currency = str(rng.choice(["EUR", "EUR", "EUR", "USD", "GBP", "JPY"]))
                amount = float(rng.integers(1, 40_000)) / 100
                margin = None if rng.random() < 0.3 else round(amount * float(rng.uniform(-0.1, 0.6)), 2)
                rows.append(order(f"o{len(rows)}", f"C{who}", local, amount, currency, margin=margin))
            day += pd.Timedelta(days=1 + int(rng.exponential(pace)))
    for sale in list(rows):
        if rng.random() < 0.12:
            part = float(rng.choice([1.0, 0.4]))
            back = {"order": f"r{len(rows)}", "kind": "refund", "at": sale["at"] + pd.Timedelta(days=int(rng.integers(0, 60)), minutes=5)}
            sign = float(rng.choice([-1, 1]))
            back |= {"amount": sign * round(part * sale["amount"], 2), "refunds": sale["order"] if rng.random() < 0.6 else None}
            back["margin"] = None if sale["margin"] is None else sign * round(part * sale["margin"], 2)
            rows.append(sale | back)
    rows = [row for row in rows if row["at"] < utc("2026-07-15")]
    rates = (("USD", date(2024, 1, 1), 0.9), ("USD", date(2025, 9, 15), 0.8), ("GBP", date(2025, 6, 1), 1.2))
    sources = {f"C{who}": [None, "web", "fair"][who % 3] for who in range(40)}  # five customers are not in the table of customers
    shuffled = [rows[place] for place in rng.permutation(len(rows))]
    return Shop(tuple(shuffled), rates=rates), sources


SHOPS = {seed: random_shop(seed) for seed in range(2)}
NOW = utc(AS_OF)


@pytest.fixture(scope="module", params=SHOPS)
def both(request):
    shop, _ = SHOPS[request.param]
    return shop, dataset(shop, settings={"retention": {"activity_days": 75}})


def test_activity_window_equals_the_slow_loop():
    for shop, _ in SHOPS.values():
        data = dataset(shop)
        for as_of in (AS_OF, "2025-02-01"):
            assert retention.activity_window(data, as_of=as_of) == oracle.activity_window(shop, utc(as_of))


@pytest.mark.parametrize("gaps", [[40] * 19 + [90], [40] * 18 + [90] * 2, [5] * 20, [40] * 57 + [90] * 3, [40] * 133 + [90] * 7])
def test_activity_window_covers_exactly_95_percent(gaps):
    rows = []
    for who, gap in enumerate(gaps):
        for number, days in enumerate((0, gap)):
            rows.append(order(f"{who}-{number}", f"C{who}", str(pd.Timestamp("2026-01-05 10:00") + pd.Timedelta(days=days)), 10.0))
    shop = Shop(tuple(rows))
    expected = 90 if gaps.count(90) * 20 > len(gaps) else 40 if 40 in gaps else 30
    assert retention.activity_window(dataset(shop), as_of=AS_OF) == oracle.activity_window(shop, NOW) == expected


def test_active_customers_equal_the_slow_loop(both):
    shop, data = both
    table = retention.active_customers(data, as_of=AS_OF, months=18)
    edges = [first_of(next_month(month)) for month in oracle.months_up_to("2026-06", 18)]
    assert column(table, "value") == [len(oracle.active(shop, NOW, edge, 75)) for edge in edges]
    assert column(table, "n") == [sum(first < edge for first in oracle.firsts(shop, NOW).values()) for edge in edges]


@pytest.mark.parametrize("span", [1, 3, 12])
def test_net_growth_equals_the_slow_loop_and_adds_up(both, span):
    shop, data = both
    table = retention.net_customer_growth(data, as_of=AS_OF, months=9, span=span)
    expected = oracle.growth(shop, NOW, "2026-06", 9, span, 75)
    assert table[list(expected[0])].to_dict("records") == expected
    assert (table["new"] + table["reactivated"] - table["lost"] == table["end"] - table["start"]).all()
    kept = retention.retention_rate(data, as_of=AS_OF, months=9, span=span)
    assert column(kept, "n_events") == [row["start"] - row["lost"] for row in expected]
    assert column(kept, "value") == [(row["start"] - row["lost"]) / row["start"] if row["start"] else None for row in expected]


def test_months_follow_one_another_and_sum_to_the_year(both):
    _, data = both
    monthly = retention.net_customer_growth(data, as_of=AS_OF, months=12)
    year = retention.net_customer_growth(data, as_of=AS_OF, months=1, span=12).iloc[0]
    assert monthly["start"].tolist()[1:] == monthly["end"].tolist()[:-1]
    assert (monthly["start"].iloc[0], monthly["end"].iloc[-1]) == (year["start"], year["end"])
    changes = monthly["new"].sum() + monthly["reactivated"].sum() - monthly["lost"].sum()
    assert changes == year["new"] + year["reactivated"] - year["lost"]
    active = retention.active_customers(data, as_of=AS_OF, months=12)
    assert column(active, "value") == monthly["end"].tolist()


def test_cohort_matrix_equals_the_slow_loop(both):
    shop, data = both
    table = retention.cohort_matrix(data, as_of=AS_OF, months=15)
    expected = oracle.cohorts(shop, NOW, "2026-06", 15)
    found = {(row.cohort, row.age): (row.customers, row.n, row.amount) for row in table.itertuples()}
    assert {key: cell[:2] for key, cell in found.items()} == {key: cell[:2] for key, cell in expected.items()}
    assert [cell[2] for cell in found.values()] == pytest.approx([expected[key][2] for key in found], abs=1e-6)
    assert any(cell[0] == 0 for cell in found.values())  # months without a purchase are there, as 0


def test_retention_curve_equals_the_slow_loop(both):
    shop, data = both
    table = retention.retention_curve(data, as_of=AS_OF, months=24)
    assert {row.age: (row.n_events, row.n) for row in table.itertuples()} == oracle.retention_curve(shop, NOW, "2026-06", 24)


WINDOWS = [(date(2025, 10, 26), date(2026, 3, 30)), (date(2024, 1, 1), date(2026, 7, 1))]


@pytest.mark.parametrize("view", ["period", "cohort"])
@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_repeat_purchase_equals_the_slow_loop(both, view, window):
    shop, data = both
    horizons = (0, 1, 30, 90, 180, 365, 700)
    table = retention.repeat_purchase(data, as_of=AS_OF, window=Window(*window), view=view, horizons=horizons)
    rows = oracle.second_purchase(shop, NOW, view, *window)
    expected = [oracle.incidence(rows, horizon, survival.UNDECIDED) for horizon in horizons]
    for name in ("n", "n_events", "n_open"):
        assert column(table, name) == [row[name] for row in expected]
    assert table["value"].tolist() == pytest.approx([row["value"] for row in expected], nan_ok=True, abs=1e-12)
    known = table[table["value"].notna()]
    assert ((known["low"] <= known["value"]) & (known["value"] <= known["high"])).all()


def test_repeat_purchase_defaults_to_the_last_180_days(both):
    _, data = both
    usual = retention.repeat_purchase(data, as_of=AS_OF)
    stated = retention.repeat_purchase(
        data, as_of=AS_OF, window=Window(date(2026, 1, 2), date(2026, 7, 1)), view="period", horizons=(30, 90, 180, 365)
    )
    pd.testing.assert_frame_equal(usual, stated)


def test_cohorts_by_quarter_are_those_of_their_months(both):
    _, data = both
    window = Window(date(2025, 1, 1), date(2026, 7, 1))
    months, quarters = (retention.repeat_purchase(data, as_of=AS_OF, window=window, view="cohort", by=by) for by in ("month", "quarter"))
    named = months["month"].str[:4] + "-Q" + ((months["month"].str[5:].astype(int) - 1) // 3 + 1).astype("str")
    summed = months.assign(quarter=named).groupby(["quarter", "horizon"], as_index=False)[["n", "n_events"]].sum()
    pd.testing.assert_frame_equal(quarters[["quarter", "horizon", "n", "n_events"]], summed, check_dtype=False)


@pytest.mark.parametrize("seed", SHOPS)
def test_value_deciles_and_best_equal_the_slow_loop(seed):
    shop, sources = SHOPS[seed]
    data = dataset(shop, sources, settings={"retention": {"activity_days": 75}})
    # orders of customers who are not in the table of customers are set aside when read
    shop = Shop(tuple(row for row in shop.orders if row["customer"] in sources), rates=shop.rates)
    worth = {who: value for who, value in oracle.worth(shop, NOW, "margin").items() if value is not None}
    row = retention.value_to_date(data, as_of=AS_OF).iloc[0]
    assert (row["measure"], row["n"]) == ("margin", len(oracle.bought(shop, NOW)))
    assert row["value"] == pytest.approx(sum(worth.values()) / len(worth))

    by_source = retention.value_to_date(data, as_of=AS_OF, by="source")
    for group in by_source.itertuples():
        mine = [value for who, value in worth.items() if (sources[who] or "(blank)") == group.source]
        assert group.value == pytest.approx(sum(mine) / len(mine))
    assert by_source["n"].sum() == row["n"]

    table = retention.value_deciles(data, as_of=AS_OF)
    tenths = oracle.tenths(list(worth.values()))
    assert table["decile"].tolist() == list(tenths)
    assert table["amount"].tolist() == pytest.approx([sum(part) for part in tenths.values()])
    assert table["least"].tolist() == pytest.approx([min(part) for part in tenths.values()])
    assert table["n"].tolist() == [len(part) for part in tenths.values()]
    assert table["cumulative"].iloc[-1] == pytest.approx(1)

    best = retention.best_customers(data, as_of=AS_OF, limit=10)
    expected = sorted(worth.items(), key=lambda pair: (-round(pair[1], 6), pair[0]))[:10]
    assert best["customer_id"].tolist() == [who for who, _ in expected]
    assert best["value"].tolist() == pytest.approx([value for _, value in expected])
    days = oracle.bought(shop, NOW)
    told = [(days[who][0], days[who][-1], len(days[who])) for who, _ in expected]
    assert list(best[["first_on", "last_on", "purchases"]].itertuples(index=False, name=None)) == told


# --- relations that must hold ---------------------------------------------------------------------------------------------------------------------

CALLS = {
    "window": lambda data, as_of: pd.DataFrame({"days": [retention.activity_window(data, as_of=as_of)]}),
    "active": lambda data, as_of: retention.active_customers(data, as_of=as_of),
    "growth": lambda data, as_of: retention.net_customer_growth(data, as_of=as_of, span=12),
    "rate": lambda data, as_of: retention.retention_rate(data, as_of=as_of),
    "cohorts": lambda data, as_of: retention.cohort_matrix(data, as_of=as_of),
    "curve": lambda data, as_of: retention.retention_curve(data, as_of=as_of),
    "repeat": lambda data, as_of: retention.repeat_purchase(
        data, as_of=as_of, view="cohort", by="month", window=Window(date(2025, 1, 1), date(2026, 7, 1))
    ),
    "value": lambda data, as_of: retention.value_to_date(data, as_of=as_of, by="source"),
    "deciles": lambda data, as_of: retention.value_deciles(data, as_of=as_of),
    "best": lambda data, as_of: retention.best_customers(data, as_of=as_of),
}


def rounded(table: pd.DataFrame) -> pd.DataFrame:
    """Engines add in no fixed order."""
    numbers = table.select_dtypes("float64").columns
    return table.assign(**{name: table[name].round(9) for name in numbers})


@pytest.mark.slow
def test_engines_agree():
    shop, sources = SHOPS[0]
    one, other = (dataset(shop, sources, engine) for engine in ("duckdb", "polars"))
    for name, call in CALLS.items():
        pd.testing.assert_frame_equal(rounded(call(one, AS_OF)), rounded(call(other, AS_OF)), obj=name)


@pytest.mark.parametrize("as_of", first_quick(["2026-05-01", "2026-04-10 15:00"]))
def test_nothing_after_as_of_changes_a_number(as_of):
    shop, sources = SHOPS[1]
    early = Shop(tuple(row for row in shop.orders if row["at"] < utc(as_of)), rates=shop.rates)
    later = tuple(order(f"x{i}", f"C{i}", "2026-07-10 10:00", 1e6, kind=kind) for i, kind in enumerate(["sale", "refund"] * 10))
    known, all_of_it = dataset(early, sources), dataset(Shop(shop.orders + later, rates=shop.rates), sources)
    for name, call in CALLS.items():
        pd.testing.assert_frame_equal(rounded(call(known, as_of)), rounded(call(all_of_it, as_of)), obj=name)


@pytest.mark.slow
def test_row_order_does_not_matter_and_the_input_is_left_alone():
    shop, sources = SHOPS[1]
    frame, customers = orders_frame(shop.orders), customers_frame(sources)
    before, before_customers = frame.copy(deep=True), customers.copy(deep=True)
    fx = pd.DataFrame(shop.rates, columns=["currency", "from_on", "rate"]).astype({"from_on": "datetime64[us]"})
    more = {"fx": fx, "timezone": ZONE, "exported_at": "2026-07-15"}
    data = kpi.Dataset(orders=frame, customers=customers, **more)
    shuffled = kpi.Dataset(orders=frame.sample(frac=1, random_state=4), customers=customers.iloc[::-1], **more)
    for name, call in CALLS.items():
        pd.testing.assert_frame_equal(rounded(call(data, AS_OF)), rounded(call(shuffled, AS_OF)), obj=name)
    pd.testing.assert_frame_equal(frame, before)
    pd.testing.assert_frame_equal(customers, before_customers)


def test_a_group_splits_the_whole():
    shop, sources = SHOPS[0]
    data = dataset(shop, sources)
    since = {"window": Window(date(2025, 1, 1), date(2026, 7, 1)), "view": "cohort", "horizons": (90,)}
    whole = retention.repeat_purchase(data, as_of=AS_OF, **since).iloc[0]
    for by in ("source", "segment", "month"):
        parts = retention.repeat_purchase(data, as_of=AS_OF, by=by, **since)
        assert [parts[name].sum() for name in ("n", "n_events", "n_open")] == [whole["n"], whole["n_events"], whole["n_open"]]
    assert parts["month"].iloc[0] == "2025-01"


# --- small and empty ------------------------------------------------------------------------------------------------------------------------------


def without_orders(rows=()) -> kpi.Dataset:
    lead = pd.DataFrame({"lead_id": ["L1"], "created_at": [utc("2026-01-01")], "source": ["web"], "owner": ["Ann"]})
    return kpi.Dataset(leads=lead, orders=orders_frame(rows), timezone=ZONE, exported_at="2026-07-15")


@pytest.mark.parametrize("rows", [(), (order("1", "A", "2026-02-10 10:00", -5.0, kind="refund"),)], ids=["none", "a refund"])
def test_nobody_ever_bought(rows):
    data = without_orders(rows)
    assert retention.activity_window(data, as_of=AS_OF) == 365
    assert not retention.active_customers(data, as_of=AS_OF, months=3)["value"].fillna(0).any()
    growth = retention.net_customer_growth(data, as_of=AS_OF, months=3)
    assert growth["end"].tolist() == [0, 0, 0]
    assert growth["value"].isna().all()
    assert retention.retention_rate(data, as_of=AS_OF, months=3)["value"].isna().all()
    assert retention.cohort_matrix(data, as_of=AS_OF).empty
    assert retention.retention_curve(data, as_of=AS_OF).empty
    repeat = retention.repeat_purchase(data, as_of=AS_OF)
    assert (repeat["n"] == 0).all()
    assert repeat["value"].isna().all()
    value = retention.value_to_date(data, as_of=AS_OF)
    assert value["n"].tolist() == [0]
    assert value["value"].isna().all()
    assert retention.value_deciles(data, as_of=AS_OF).empty
    assert retention.best_customers(data, as_of=AS_OF).empty


def test_one_order():
    data = without_orders((order("1", "A", "2026-05-10 10:00", 30.0),))
    assert retention.active_customers(data, as_of=AS_OF, months=1)["value"].tolist() == [1]
    growth = retention.net_customer_growth(data, as_of=AS_OF, months=2)
    assert growth[["start", "new", "lost", "end"]].to_numpy().tolist() == [[0, 1, 0, 1], [1, 0, 0, 1]]
    assert retention.cohort_matrix(data, as_of=AS_OF)[["cohort", "age", "customers", "amount"]].to_numpy().tolist() == [
        ["2026-05", 0, 1, 30.0],
        ["2026-05", 1, 0, 0.0],
    ]
    assert retention.retention_curve(data, as_of=AS_OF).empty  # the only cohort is that of the first month of the data
    repeat = retention.repeat_purchase(data, as_of=AS_OF, horizons=(30, 90))
    assert repeat["value"].tolist() == pytest.approx([0.0, math.nan], nan_ok=True)
    deciles = retention.value_deciles(data, as_of=AS_OF)
    assert deciles[["decile", "n", "value", "cumulative"]].to_numpy().tolist() == [[1, 1, 1.0, 1.0]]


# --- refused --------------------------------------------------------------------------------------------------------------------------------------


def test_without_orders_it_says_which_table_is_missing():
    lead = pd.DataFrame({"lead_id": ["L1"], "created_at": [utc("2026-01-01")], "source": ["web"], "owner": ["Ann"]})
    data = kpi.Dataset(leads=lead, timezone=ZONE, exported_at="2026-07-15")
    for call in CALLS.values():
        with pytest.raises(MissingTable, match=r"no table orders; describe it under \[tables.orders\] in kpi.toml"):
            call(data, AS_OF)


def test_an_as_of_after_the_end_of_the_data_is_refused(small):
    for name, call in CALLS.items():
        if name != "window":  # kpi.toml states it here
            with pytest.raises(DataError, match="after the end of the data"):
                call(small, "2026-07-16")


def test_unknown_groups_views_and_lengths_are_refused():
    data = dataset(SMALL)
    with pytest.raises(ParameterError, match="by='colour' is unknown here; use one of source, segment"):
        retention.value_to_date(data, as_of=AS_OF, by="colour")
    with pytest.raises(ParameterError, match="use one of source, segment, month, quarter"):
        retention.repeat_purchase(data, as_of=AS_OF, by="owner")
    with pytest.raises(ParameterError, match="view 'snapshot' is unknown; use period or cohort"):
        retention.repeat_purchase(data, as_of=AS_OF, view="snapshot")
    for function in (retention.active_customers, retention.net_customer_growth, retention.retention_rate, retention.cohort_matrix):
        with pytest.raises(ParameterError, match="months=0"):
            function(data, as_of=AS_OF, months=0)
    with pytest.raises(ParameterError, match="span=0"):
        retention.net_customer_growth(data, as_of=AS_OF, span=0)


# --- real orders ----------------------------------------------------------------------------------------------------------------------------------


def moved_to_the_sale(frame: pd.DataFrame) -> pd.DataFrame:
    """Give a cancelled invoice the day of the only invoice before it that had its customer and amount and was not cancelled yet."""
    standing: dict[tuple, list] = {}
    day = frame["day"].copy()
    for row in frame.sort_values(["InvoiceDate", "kind", "InvoiceNo"], ascending=[True, False, True], kind="stable").itertuples():
        alike = standing.setdefault((row.CustomerID, round(abs(row.amount), 2)), [])
        if row.kind == "sale":
            alike.append(row.day)
        elif len(alike) == 1:
            day[row.Index] = alike.pop()
    return frame.assign(day=day)


@pytest.fixture(scope="module")
def online_retail(root):
    folder = root / "data" / "sample" / "online_retail"
    frame = pd.read_csv(folder / "orders.csv", parse_dates=["InvoiceDate"], dtype={"CustomerID": "str"})
    frame = frame[frame["InvoiceDate"] < "2011-12-01"]
    frame["day"] = frame["InvoiceDate"].dt.normalize()
    frame = moved_to_the_sale(frame)
    net = frame.groupby(["CustomerID", "day"])["amount"].sum().round(2)
    days: dict[str, list[pd.Timestamp]] = {}
    for (who, day), amount in net.items():
        if amount > 0:
            days.setdefault(who, []).append(day)
    return kpi.load(folder), days, net


def test_online_retail_active_customers_and_growth_equal_a_plain_loop(online_retail):
    data, days, _ = online_retail
    month = data.month("2011-11")
    gaps = sorted((b - a).days for bought in days.values() for a, b in pairwise(bought))
    window = gaps[math.ceil(0.95 * len(gaps)) - 1]
    assert retention.activity_window(data, as_of=data.as_of(month)) == window

    def active(edge: str) -> set[str]:
        end, start = pd.Timestamp(edge), pd.Timestamp(edge) - pd.Timedelta(days=window)
        return {who for who, bought in days.items() if any(start <= day < end for day in bought)}

    edges = ["2011-01-01", *(f"2011-{number:02}-01" for number in range(2, 13))]
    table = retention.active_customers(data, as_of=data.as_of(month), months=11)
    assert column(table, "value") == [len(active(edge)) for edge in edges[1:]]
    growth = retention.net_customer_growth(data, as_of=data.as_of(month), months=11)
    for row, since, until in zip(growth.itertuples(), edges[:-1], edges[1:], strict=True):
        start, end = active(since), active(until)
        new = {who for who in end - start if days[who][0] >= pd.Timestamp(since)}
        assert (row.start, row.new, row.reactivated, row.lost, row.end) == (len(start), len(new), len(end - start - new), len(start - end), len(end))


def test_online_retail_cohorts_equal_a_plain_loop(online_retail):
    data, days, net = online_retail
    table = retention.cohort_matrix(data, as_of=data.as_of(data.month("2011-11")), months=12)
    cohort = {who: bought[0].to_period("M") for who, bought in days.items()}
    bought = {(who, day.to_period("M")) for who, all_days in days.items() for day in all_days}
    expected: dict = {}
    months = pd.period_range("2010-12", "2011-11", freq="M")
    for first in months:
        for age, month in enumerate(months[months >= first]):
            expected[str(first), age] = [sum(1 for who, joined in cohort.items() if joined == first and (who, month) in bought), 0.0]
    for (who, day), amount in net.items():
        month = day.to_period("M")
        if who in cohort and month >= cohort[who]:
            expected[str(cohort[who]), (month - cohort[who]).n][1] += amount
    found = {(row.cohort, row.age): (row.customers, row.amount) for row in table.itertuples()}
    assert {key: cell[0] for key, cell in found.items()} == {key: cell[0] for key, cell in expected.items()}
    assert [cell[1] for cell in found.values()] == pytest.approx([expected[key][1] for key in found], abs=1e-4)
    sizes = {first: sum(1 for joined in cohort.values() if str(joined) == first) for first in table["cohort"].unique()}
    assert dict(zip(table["cohort"], table["n"], strict=True)) == sizes


# --- what is not known of an order


def test_an_order_without_a_rate_is_a_purchase_in_no_sum():
    shop = Shop(
        orders=(
            *(order(f"A{month}", "A", f"2026-0{month}-10 10:00", 100.0, currency="USD") for month in (4, 5, 6)),
            *(order(f"B{month}", "B", f"2026-0{month}-10 10:00", 100.0) for month in (4, 5, 6)),
            order("C1", "C", "2026-06-10 10:00", 100.0, currency="USD"),
            order("C2", "C", "2026-06-12 10:00", -100.0, currency="USD", kind="refund", refunds="C1"),  # so C has not bought
        )
    )
    data = dataset(shop, settings=SIXTY)
    assert retention.active_customers(data, as_of=AS_OF, months=1)["value"].item() == 2
    cells = retention.cohort_matrix(data, as_of=AS_OF).set_index(["cohort", "age"])
    assert cells["n"]["2026-04", 0] == 2
    assert cells["amount"]["2026-04", 0] == 100
    value = retention.value_to_date(data, as_of=AS_OF).iloc[0]
    assert (value["value"], value["n"], value["n_events"]) == (300, 2, 1)  # what A brought is not known


def test_a_margin_known_for_part_of_the_orders_is_no_margin_of_zero_for_the_others():
    known = [order(f"{who}{i}", who, f"2026-0{i + 1}-10 10:00", 100.0, margin=40.0 if i > 2 else None) for who in "ABC" for i in range(5)]
    data = dataset(Shop(orders=(*known, order("D", "D", "2026-05-10 10:00", 100.0))))
    row = retention.value_to_date(data, as_of=AS_OF).iloc[0]
    # 2 x 40 on 200 of the 500 that each of three brought: 40 % of 500; of D no margin is known
    assert (row["measure"], row["value"], row["n"], row["n_events"]) == ("margin", pytest.approx(200), 4, 3)
    flags = data.flags.set_index(["table", "column"])["rows"]
    assert flags["orders", "margin"] == 10


def test_a_shop_without_new_customers_tells_of_its_last_cohort_not_of_nothing():
    rng, rows = np.random.default_rng(3), []
    for who in range(120):  # first purchases of the spring of 2025 only; one in two buys again about 60 days later, again and again
        on, number = date(2025, 3, 1) + timedelta(days=int(rng.integers(0, 30))), 0
        while on < date(2026, 7, 1):
            rows.append(order(f"{who}-{number}", f"C{who}", f"{on} 10:00", 50.0))
            number += 1
            if rng.random() < 0.5:
                break
            on += timedelta(days=int(rng.exponential(60)) + 1)
    data = dataset(Shop(orders=tuple(rows)))
    found = retention.repeat_purchase(data, as_of=AS_OF, horizons=(365,))
    assert found["value"].isna().all(), "nobody was under observation in the first months after a first purchase"
    about = pages.about(data, "2026-06", "en")
    quarters = retention.repeat_purchase(data, as_of=AS_OF, view="cohort", by="quarter", window=about.quarters)
    curve = retention.repeat_purchase_curve(data, as_of=AS_OF)
    by_month = retention.retention_curve(data, as_of=AS_OF)
    answer = pages.retention.repeat_purchase(about, repeat=(found, found), curve=(curve, curve), by_month=by_month, by_quarter=quarters)[0]
    said = answer._repr_html_()
    assert "do not show yet how many new customers buy again within a year. Of the 120 who first bought in Q1 2025, 5" in said
