"""Refunds and cancelled documents: which sale each takes back, and what then counts as a purchase."""

from __future__ import annotations

from datetime import date

import oracles_retention as oracle
import pandas as pd
import pytest
from oracles_retention import Shop
from test_retention import SHOPS, ZONE, dataset, order, orders_frame, utc

import kpi
from kpi import facts, retention
from kpi.engine import collect
from kpi.errors import ParameterError
from kpi.periods import Month
from kpi.presentation import pages
from kpi.presentation.language import Words
from kpi.presentation.pages.about import About

AS_OF = "2026-07-01"

HAND = (
    order("a1", "A", "2026-02-10 10:00", 100.0),
    order("a2", "A", "2026-02-20 10:00", -100.0, kind="refund"),  # the whole of a1
    order("b1", "B", "2026-02-10 10:00", 50.0),
    order("b2", "B", "2026-02-12 10:00", 50.0),
    order("b3", "B", "2026-02-20 10:00", 50.0, kind="refund"),  # b1 or b2
    order("c1", "C", "2026-02-20 10:00", -30.0, kind="refund"),  # before the sale
    order("c2", "C", "2026-02-21 10:00", 30.0),
    order("d1", "D", "2026-02-10 10:00", 80.0),
    order("d2", "D", "2026-02-11 10:00", -80.0, kind="refund", refunds="d1"),
    order("d3", "D", "2026-02-12 10:00", -80.0, kind="refund"),  # d1 is named by d2
    order("e1", "E", "2026-02-10 10:00", 70.0, currency="USD"),
    order("e2", "E", "2026-02-12 10:00", -70.0, kind="refund"),  # another currency
    order("f1", "F", "2026-02-10 10:00", 60.0),
    order("f2", "F", "2026-02-12 10:00", -60.0, kind="refund"),
    order("f3", "F", "2026-02-13 10:00", -60.0, kind="refund"),  # f1 is taken back already
    order("f4", "F", "2026-02-14 10:00", 60.0),
    order("f5", "F", "2026-02-15 10:00", -60.0, kind="refund"),  # only f4 is left
    order("g1", "G", "2026-02-10 10:00", 10.0),
    order("g2", "G", "2026-02-12 10:00", -10.0),  # a document below 0 is a refund, whatever it is called
    order("h1", "H", "2026-02-10 10:00", 10.0),
    order("h2", "H", "2026-02-12 10:00", -10.0, kind="refund", refunds="unknown"),  # names a sale that the data lack
    order("i1", "I", "2026-06-10 10:00", 10.0),
    order("i2", "I", "2026-07-12 10:00", -10.0, kind="refund"),  # after the date
)
EXPECTED = {"a2": "a1", "b3": None, "c1": None, "d2": "d1", "d3": None, "e2": None, "f2": "f1", "f3": None, "f5": "f4", "g2": "g1", "h2": None}


def test_which_sale_a_refund_takes_back_by_hand():
    data = dataset(Shop(HAND))
    table = collect(facts.refunds(data, data.instant(AS_OF)), ["refund_id"])
    assert {row.refund_id: None if pd.isna(row.cancels) else row.cancels for row in table.itertuples()} == EXPECTED
    found = table.groupby("match")["refund_id"].apply(list).to_dict()
    assert found == {"found": ["a2", "f2", "f5", "g2"], "named": ["d2"], "none": ["b3", "c1", "d3", "e2", "f3", "h2"]}
    assert oracle.cancelled(Shop(HAND), utc(AS_OF)) == EXPECTED


def test_products_tell_sales_apart():
    rows = [order("1", "A", "2026-02-10 10:00", 50.0), order("2", "A", "2026-02-11 10:00", 50.0)]
    rows += [order("3", "A", "2026-02-12 10:00", -50.0, kind="refund")]
    frame = orders_frame(rows).assign(product=["pen", "ink", "ink"])
    data = kpi.Dataset(orders=frame, timezone=ZONE, exported_at="2026-07-15")
    assert collect(facts.refunds(data, data.instant(AS_OF)))["cancels"].tolist() == ["2"]
    told = oracle.cancelled(Shop(tuple(row | {"product": name} for row, name in zip(rows, ["pen", "ink", "ink"], strict=True))), utc(AS_OF))
    assert told == {"3": "2"}


@pytest.mark.parametrize("seed", [0, 1])
def test_random_shops_equal_the_slow_loop(seed):
    shop, _ = SHOPS[seed]
    data = dataset(shop)
    for as_of in (AS_OF, "2025-09-10"):
        table = collect(facts.refunds(data, data.instant(as_of)))
        found = {row.refund_id: None if pd.isna(row.cancels) else row.cancels for row in table.itertuples()}
        assert found == oracle.cancelled(shop, utc(as_of))
        matches = table["match"].value_counts()
        told = retention.refunds(data, as_of=as_of).set_index("match")
        assert told["n_events"].to_dict() == {name: matches.get(name, 0) for name in ("named", "found", "none")}
        assert (told["n"] == len(table)).all()
    assert {"named", "found", "none"} == set(table["match"])


def test_refunds_are_counted_by_how_their_sale_is_known():
    table = retention.refunds(dataset(Shop(HAND)), as_of=AS_OF).set_index("match")
    assert table["n_events"].to_dict() == {"named": 1, "found": 4, "none": 6}
    assert table["n"].tolist() == [11, 11, 11]
    assert table["value"].sum() == pytest.approx(1)
    assert table["amount"].to_dict() == pytest.approx({"named": 80, "found": 100 + 60 + 60 + 10, "none": 50 + 30 + 80 + 70 + 60 + 10})


def test_the_page_says_what_counts_and_how_many_refunds_were_matched():
    data = dataset(Shop(HAND))
    about, table = pages.about(data, "2026-06", "en"), retention.refunds(data, as_of=AS_OF)
    told = str(pages.retention.purchases(about, "net", table)[0])
    assert "sales less refunds are above 0" in told
    assert "Of 11 refunds and cancelled documents, 1 name their sale and 4 were matched" in told
    assert "6 could not be matched (€300)" in told
    assert "taken back later or not" in str(pages.retention.purchases(about, "sales", table)[0])
    named = table.assign(n_events=[0, 11, 0])
    assert "All 11 refunds name the sale" in str(pages.retention.purchases(about, "documents", named)[0])
    nothing = str(pages.retention.purchases(about, "documents", table.assign(n_events=0))[0])
    assert "refunds name" not in nothing and "matched" not in nothing


def test_a_day_whose_sale_was_cancelled_is_a_purchase_only_if_sales_are_counted():
    shop = Shop(
        (
            order("1", "A", "2026-02-10 10:00", 100.0),
            order("2", "A", "2026-03-20 10:00", -100.0, kind="refund"),
            order("3", "B", "2026-04-10 10:00", 10.0),
        )
    )
    days = {}
    for reading in ("net", "sales", "documents"):
        data = dataset(shop, settings={"retention": {"purchases": reading}})
        assert retention.purchase_reading(data) == reading
        rows = collect(facts.purchases(data, data.instant(AS_OF)), ["customer_id", "day"])
        days[reading] = [(row.customer_id, str(oracle_day(row.day))) for row in rows[rows["is_purchase"]].itertuples()]
        assert retention.value_to_date(data, as_of=AS_OF)["n"].tolist() == [1]  # values are net in each
    assert days["net"] == [("B", "2026-04-10")]
    assert days["sales"] == [("A", "2026-02-10"), ("B", "2026-04-10")]
    assert days["documents"] == [("A", "2026-02-10"), ("A", "2026-03-20"), ("B", "2026-04-10")]


def oracle_day(number: int) -> date:
    return date.fromordinal(date(1970, 1, 1).toordinal() + int(number))


def test_an_unknown_reading_is_refused():
    with pytest.raises(ParameterError, match=r"\[retention\] purchases = 'gross': give one of net, sales, documents"):
        dataset(Shop(HAND), settings={"retention": {"purchases": "gross"}})


# --- Online Retail: what a plain script over the invoices says, all thirteen months taken as whole

FIRST_ROW = {
    "documents": [948, 362, 317, 367, 341, 376, 360, 336, 336, 374, 354, 474, 260],
    "sales": [885, 324, 286, 340, 321, 352, 321, 309, 313, 350, 331, 445, 235],
}


@pytest.fixture(scope="module")
def invoices(root) -> pd.DataFrame:
    path = root / "data" / "sample" / "online_retail" / "orders.csv"
    return pd.read_csv(path, parse_dates=["InvoiceDate"], dtype={"CustomerID": "str", "InvoiceNo": "str"})


def read(invoices: pd.DataFrame, reading: str, engine: str = "duckdb") -> kpi.Dataset:
    frame = invoices.rename(columns={"InvoiceNo": "order_id", "CustomerID": "customer_id", "InvoiceDate": "at"})
    return kpi.Dataset(orders=frame, currency="GBP", exported_at="2012-01-01", settings={"retention": {"purchases": reading}}, engine=engine)


@pytest.mark.parametrize("reading", ["documents", "sales"])
def test_online_retail_cohorts_equal_a_plain_script(invoices, reading):
    cells = retention.cohort_matrix(read(invoices, reading), as_of="2012-01-01", months=13)
    assert cells.loc[cells["cohort"] == "2010-12", "customers"].tolist() == FIRST_ROW[reading]
    rows = invoices if reading == "documents" else invoices[(invoices["kind"] == "sale") & (invoices["amount"] > 0)]
    month = rows["InvoiceDate"].dt.to_period("M")
    joined = month.groupby(rows["CustomerID"]).min()
    seen = pd.DataFrame({"who": rows["CustomerID"], "cohort": rows["CustomerID"].map(joined).astype("str"), "month": month.astype("str")})
    plain = seen.groupby(["cohort", "month"])["who"].nunique()
    found = cells.assign(month=[str(pd.Period(row.cohort, "M") + row.age) for row in cells.itertuples()]).set_index(["cohort", "month"])["customers"]
    assert found[found > 0].to_dict() == plain.to_dict()


@pytest.mark.parametrize("reading", ["documents", "sales"])
def test_online_retail_months_equal_a_plain_script(invoices, reading):
    data = read(invoices, reading)
    days = int(retention.activity_window(data, as_of="2012-01-01"))
    growth = retention.net_customer_growth(data, as_of="2012-01-01", months=12)
    rows = invoices if reading == "documents" else invoices[(invoices["kind"] == "sale") & (invoices["amount"] > 0)]
    bought = pd.DataFrame({"who": rows["CustomerID"], "day": rows["InvoiceDate"].dt.normalize()}).drop_duplicates()
    gaps = bought.sort_values(["who", "day"]).groupby("who")["day"].diff().dt.days.dropna().sort_values().to_numpy()
    assert days == max(30, gaps[-(-len(gaps) * 95 // 100) - 1])
    first = bought.groupby("who")["day"].min()

    def active(edge: pd.Timestamp) -> set:
        return set(bought.loc[(bought["day"] < edge) & (bought["day"] >= edge - pd.Timedelta(days=days)), "who"])

    for row in growth.itertuples():
        since = pd.Timestamp(row.month)
        before, after = active(since), active(since + pd.offsets.MonthBegin(1))
        new = {who for who in after - before if first[who] >= since}
        expected = (len(before), len(new), len(after - before - new), len(before - after), len(after))
        assert (row.start, row.new, row.reactivated, row.lost, row.end) == expected


@pytest.mark.parametrize(
    ("window", "is_set", "said"),
    [
        (90, False, ", the time within which 95% of repeat purchases come."),
        (90, True, ", the time set in kpi.toml."),
        (None, False, "under contract on that day."),
    ],
)
def test_the_page_says_who_counts_as_active(window, is_set, said):
    month = Month.parse("2026-10")
    about = About(Words("en"), "EUR", "Europe/Paris", month, pd.Timestamp("2026-10-31 23:00"), "", False, [])
    year = pd.DataFrame({"start": [90], "end": [100], "value": [0.111], "provisional": [False]})
    opening = pages.retention.opening(about, year, window, is_set=is_set)
    assert opening.lede.endswith(said)
    assert opening.answer.startswith("100 customers are active, +10 in a year")
