"""Revenue of the customers one has, and customers by recency, frequency and value."""

from __future__ import annotations

from datetime import date

import numpy as np
import oracles_retention as oracle
import pandas as pd
import pytest
from companies import first_quick
from oracles_retention import Shop, first_of
from test_retention import SHOPS, ZONE, customers_frame, dataset, order, orders_frame, utc

import kpi
from kpi import retention
from kpi.errors import MissingTable, ParameterError
from kpi.presentation import pages
from kpi.retention.revenue_retention import MANY, _interval
from kpi.statistics import intervals

AS_OF = "2026-07-01"
NAMES = ["start", "expansion", "contraction", "churn", "end"]

HAND = Shop(
    (
        order("1", "A", "2024-08-01 10:00", 100.0),
        order("2", "A", "2025-08-01 10:00", 130.0),  # 30 more
        order("3", "B", "2025-06-30 10:00", 200.0),  # the last day of the year before
        order("4", "B", "2025-07-01 00:00", 150.0),  # the first day of the year: 50 less
        order("5", "C", "2025-01-01 10:00", 70.0),  # gone
        order("6", "D", "2025-07-02 10:00", 999.0),  # new: does not count
        order("7", "E", "2025-03-01 10:00", 40.0),
        order("8", "E", "2026-03-01 10:00", 40.0),  # as before
        order("9", "F", "2024-06-30 10:00", 500.0),  # bought before the year before
        order("10", "F", "2026-06-30 10:00", 500.0),
        order("11", "G", "2025-02-01 10:00", 90.0),
        order("12", "G", "2026-02-01 10:00", -5.0, kind="refund"),  # gone, and took something with them
        order("13", "H", "2025-02-01 10:00", 60.0),
        order("14", "H", "2025-09-01 10:00", -60.0, kind="refund"),  # took the sale back: brought nothing in the year before
    )
)


def test_revenue_kept_by_hand():
    data = dataset(HAND)
    net, gross = (function(data, as_of=AS_OF) for function in (retention.net_revenue_retention, retention.gross_revenue_retention))
    row = net.iloc[0]
    assert [row[name] for name in NAMES] == pytest.approx([500, 30, 50, 165, 315])
    assert [row[name] for name in ("n", "n_events", "n_expanded", "n_contracted", "n_churned")] == [5, 3, 1, 1, 2]
    assert row["value"] == pytest.approx(315 / 500)
    assert gross["value"].item() == pytest.approx((500 - 50 - 165) / 500)
    assert (row["window_start"], row["window_end"]) == (date(2025, 7, 1), date(2026, 7, 1))
    pairs = [(100, 130), (200, 150), (70, 0), (40, 40), (90, -5)]
    ratios, weights = [after / before for before, after in pairs], [before for before, _ in pairs]
    assert (row["low"], row["high"]) == pytest.approx(intervals.bootstrap(ratios, "mean", 1, weights=weights))


@pytest.mark.parametrize("seed", first_quick([0, 1]))
@pytest.mark.parametrize("span", [1, 3, 9])
def test_revenue_kept_equals_the_slow_loop_and_adds_up(seed, span):
    shop, _ = SHOPS[seed]
    data = dataset(shop)
    table = retention.net_revenue_retention(data, as_of=AS_OF, months=3, span=span)
    gross = retention.gross_revenue_retention(data, as_of=AS_OF, months=3, span=span)
    for row, kept in zip(table.itertuples(), gross.itertuples(), strict=True):
        base, start = (first_of(oracle.months_up_to(row.month, length)[0]) for length in (2 * span, span))
        end = first_of(oracle.next_month(row.month))
        told = oracle.revenue_account(oracle.brought(shop, utc(AS_OF), base, start), oracle.brought(shop, utc(AS_OF), start, end))
        assert [getattr(row, name) for name in NAMES] == pytest.approx([told[name] for name in NAMES], abs=0.5)
        assert (row.n, row.n_events) == (told["n"], told["still"])
        assert row.value == pytest.approx(told["end"] / told["start"], abs=1e-4)
        assert kept.value == pytest.approx(told["kept"] / told["start"], abs=1e-4)
        assert row.start + row.expansion - row.contraction - row.churn == pytest.approx(row.end, abs=1e-6)
        assert row.low <= row.value <= row.high


def test_from_many_customers_on_the_interval_is_that_of_a_bootstrap():
    rng = np.random.default_rng(1)
    before, count = rng.gamma(2, 50, 300).round(2), rng.integers(50, 100, 300)
    after = np.where(rng.random(300) < 0.3, 0, before * rng.gamma(4, 0.25, 300))
    quick = _interval(after, before, count, 0.95)
    slow = intervals.bootstrap(after / before, "mean", 1, counts=count, weights=before)
    assert count.sum() >= MANY > 1000
    assert quick == pytest.approx(slow, abs=(quick[1] - quick[0]) / 15)


def test_a_start_before_the_data_says_nothing():
    data = dataset(HAND)
    table = retention.net_revenue_retention(data, as_of=AS_OF, months=14)
    known = table.set_index("month")["value"].notna()
    assert known["2026-06"] and known["2026-05"]
    assert not known["2026-04"]  # its year before begins in May 2024, the data in June
    assert table[NAMES].isna().all(axis=1).tolist() == (~known).tolist()
    about = pages.about(data, "2026-06", "en")
    assert "do not reach back" in str(pages.retention.revenue(about, table.head(1), table.head(1))[0])


def test_who_has_no_revenue_has_no_rate():
    orders = (order("1", "A", "2024-01-10 10:00", 10.0),)
    row = retention.net_revenue_retention(dataset(Shop(orders)), as_of=AS_OF).iloc[0]
    assert row["n"] == 0
    assert pd.isna(row["value"])
    with pytest.raises(ParameterError, match="span=0"):
        retention.gross_revenue_retention(dataset(HAND), as_of=AS_OF, span=0)


# --- under contract

TERMS = (
    ("A", date(2024, 1, 1), None, 100.0, "EUR"),
    ("B", date(2024, 1, 1), date(2026, 1, 1), 50.0, "EUR"),  # a dearer one follows
    ("B", date(2026, 1, 1), None, 80.0, "EUR"),
    ("C", date(2024, 1, 1), date(2026, 7, 1), 40.0, "EUR"),  # still covered on 30 June
    ("D", date(2024, 1, 1), date(2026, 6, 30), 30.0, "EUR"),  # not covered on 30 June any more
    ("E", date(2024, 1, 1), None, 200.0, "USD"),  # 100 at the rate of the start, whatever it is later
    ("F", date(2025, 7, 1), None, 999.0, "EUR"),  # new
    ("G", date(2024, 1, 1), None, 70.0, "JPY"),  # no rate
    ("H", date(2024, 1, 1), date(2026, 3, 1), 60.0, "EUR"),  # one of two ends
    ("H", date(2025, 1, 1), None, 10.0, "EUR"),
)
RATES = (("USD", date(2024, 1, 1), 0.5), ("USD", date(2025, 7, 1), 0.9))


def contractual(terms, rates=(), customers=None, engine: str = "duckdb", **more) -> kpi.Dataset:
    columns = ["customer_id", "start_on", "end_on", "monthly_amount", "currency"]
    frame = pd.DataFrame(terms, columns=columns).astype({"start_on": "datetime64[us]", "end_on": "datetime64[us]"})
    tables = {"contracts": frame.assign(contract_id=[f"K{i}" for i in range(len(frame))])}
    if rates:
        tables["fx"] = pd.DataFrame(rates, columns=["currency", "from_on", "rate"]).astype({"from_on": "datetime64[us]"})
    if customers is not None:
        tables["customers"] = customers
    settings = {"retention": {"contractual": True} | more}
    return kpi.Dataset(**tables, timezone=ZONE, exported_at="2026-07-15", settings=settings, engine=engine)


def test_recurring_revenue_kept_by_hand():
    row = retention.net_revenue_retention(contractual(TERMS, RATES), as_of=AS_OF).iloc[0]
    # start: A 100, B 50, C 40, D 30, E 100, H 70
    assert [row[name] for name in NAMES] == pytest.approx([390, 30, 60, 30, 330])
    assert [row[name] for name in ("n", "n_events", "n_expanded", "n_contracted", "n_churned")] == [6, 5, 1, 1, 1]
    gross = retention.gross_revenue_retention(contractual(TERMS, RATES), as_of=AS_OF)
    assert gross["value"].item() == pytest.approx((390 - 60 - 30) / 390)
    assert gross["n"].item() == row["n"]


def random_terms(seed: int) -> list[tuple]:
    """Customers with one contract or several, with and without gaps, overlapping at times, with and without an end."""
    rng = np.random.default_rng(seed)
    rows = []
    for who in range(60):
        day = date(2023, 1, 1).toordinal() + int(rng.integers(0, 1200))
        for _ in range(int(rng.integers(1, 5))):
            length = int(rng.choice([30, 31, 90, 365, 366, 400]))
            end = None if rng.random() < 0.2 else date.fromordinal(day + length)
            rows.append((f"C{who}", date.fromordinal(day), end, float(rng.integers(1, 9) * 10), str(rng.choice(["EUR", "EUR", "USD", "JPY"]))))
            if end is None:
                break
            day += length + int(rng.choice([0, 0, 0, 40, -10]))
    return [rows[place] for place in rng.permutation(len(rows))]


@pytest.mark.parametrize("seed", first_quick([0, 1]))
@pytest.mark.parametrize("span", [1, 12])
def test_recurring_revenue_kept_equals_the_slow_loop(seed, span):
    terms = random_terms(seed)
    table = retention.net_revenue_retention(contractual(terms, RATES), as_of=AS_OF, months=5, span=span)
    shop = Shop((), rates=RATES)
    for row in table.itertuples():
        start, end = first_of(oracle.months_up_to(row.month, span)[0]), first_of(oracle.next_month(row.month))
        eve = date.fromordinal(start.toordinal() - 1)
        before, after = (oracle.paid(terms, edge, lambda code, eve=eve: oracle.rate(shop, code, eve)) for edge in (start, end))
        told = oracle.revenue_account(before, after)
        assert [getattr(row, name) for name in NAMES] == pytest.approx([told[name] for name in NAMES])
        assert (row.n, row.n_events) == (told["n"], told["still"])


def test_the_page_says_what_is_compared():
    shown = {}
    for name, data in {"contracts": contractual(TERMS, rates=RATES), "orders": dataset(HAND)}.items():
        about = pages.about(data, "2026-06", "en")
        parts = (function(data, as_of=AS_OF) for function in (retention.net_revenue_retention, retention.gross_revenue_retention))
        net, gross = parts
        assert "too few for a rate" in str(pages.retention.revenue(about, net, gross)[0])
        shown[name] = [str(block) for block in pages.retention.revenue(about, net.assign(n=net["n"] + 20), gross)]
    assert "The monthly amounts of the 26 customers of a year ago are at 85%" in shown["contracts"][0]
    assert "added, at 77%" in shown["contracts"][0]
    assert "The 25 customers of the twelve months before brought 63% of that revenue again" in shown["orders"][0]


# --- recency, frequency, value


@pytest.mark.parametrize(("seed", "field"), [(0, "margin"), (1, "amount")])
def test_groups_equal_the_slow_loop(seed, field):
    shop, _ = SHOPS[seed]
    if field == "amount":
        shop = Shop(tuple(row | {"margin": None} for row in shop.orders), rates=shop.rates)
    table = retention.value_groups(dataset(shop), as_of=AS_OF).set_index("group")
    told = oracle.value_groups(shop, utc(AS_OF), field)
    assert {group: n for group, n in table["n"].items() if n} == {group: n for group, (n, _) in told.items()}
    for group, (_, total) in told.items():
        assert table.loc[group, "amount"] == pytest.approx(total, abs=0.5)  # halves of cents
    assert len(table) == 8
    assert table["value"].sum() == pytest.approx(1)
    assert set(table["measure"]) == {field}


def test_groups_of_nobody_and_of_one():
    later = (order("1", "A", "2026-07-10 10:00", 30.0),)
    nobody = retention.value_groups(dataset(Shop(later)), as_of=AS_OF)
    assert nobody["n"].tolist() == [0] * 8
    assert nobody["value"].isna().all()
    one = retention.value_groups(dataset(Shop((order("1", "A", "2026-05-10 10:00", 30.0),))), as_of=AS_OF)
    assert one.loc[one["n"] > 0, "group"].tolist() == ["recent seldom little"]


# --- the most profitable


def test_most_profitable_is_margin_less_what_it_cost_to_win():
    orders = tuple(
        order(str(i), who, "2026-05-10 10:00", 100.0, margin=margin) for i, (who, margin) in enumerate({"A": 50, "B": 60, "C": 20}.items())
    )
    frame = customers_frame(dict.fromkeys("ABC", "web")).assign(acquisition_cost=[5.0, 30.0, np.nan])
    data = kpi.Dataset(orders=orders_frame(orders), customers=frame, timezone=ZONE, exported_at="2026-07-15")
    table = retention.most_profitable_customers(data, as_of=AS_OF)
    assert list(table[["customer_id", "profit"]].itertuples(index=False, name=None)) == [("A", 45.0), ("B", 30.0), ("C", 20.0)]
    assert retention.most_profitable_customers(data, as_of=AS_OF, limit=1)["customer_id"].tolist() == ["A"]
    with pytest.raises(MissingTable, match="margin"):
        retention.most_profitable_customers(dataset(HAND), as_of=AS_OF)
