"""What customers have been worth so far, how that worth is spread, and how the refunds in it are known."""

from __future__ import annotations

import itertools

import narwhals.stable.v2 as nw
import pandas as pd

from kpi import engine, facts, schema
from kpi.dataset import Dataset
from kpi.facts import records
from kpi.facts.clock import all_days, clocked, last_day
from kpi.facts.money import in_company_currency
from kpi.facts.records import EVENT
from kpi.periods import Instant, Window, day_of
from kpi.statistics import intervals


def value_to_date(data: Dataset, *, as_of: Instant, by: str = "") -> pd.DataFrame:
    """Margin (else revenue) that customers have brought so far, per customer.

    Uses `orders`, `customers`.

    Parameters
    ----------
    by : str
        ``source`` or ``segment``; empty for all customers together.

    Returns
    -------
    DataFrame
        One row per group, ``measure`` (margin or revenue) and the columns of `schema.RESULT`: ``value`` mean per customer, ``n`` customers who
        bought.

    Raises
    ------
    MissingTable
        If there are no orders.
    ParameterError
        If `by` is unknown.
    """
    groups = schema.grouping(by or (), {"source": "source", "segment": "segment"})
    now = data.instant(as_of)
    customers, column = facts.buyers(data, now), nw.col(_measure(data))
    sums = (nw.len().alias("n"), column.count().alias("n_events"), column.sum().alias("total"))
    table = engine.collect(customers.group_by(*groups).agg(*sums) if groups else customers.select(*sums), groups)
    table["value"] = (table["total"] / table["n_events"]).where(table["n_events"] > 0)
    table["measure"] = _measure(data)
    return schema.result("retention.value_to_date", table, by=[*groups, "measure"], view="snapshot", window=_all_time(data, now), as_of=now)


def value_deciles(data: Dataset, *, as_of: Instant) -> pd.DataFrame:
    """How much of the value to date the best tenth of the customers brought, the next tenth, and so on.

    Uses `orders`.

    Returns
    -------
    DataFrame
        One row per ``decile`` (1 = the best): ``amount`` it brought, ``cumulative`` share of the total, ``least`` value in it, with the columns of
        `schema.RESULT`: ``value`` its share of the total, ``n`` customers. Tenths differ by one customer where the number is not divisible by ten.

    Raises
    ------
    MissingTable
        If there are no orders.
    """
    now = data.instant(as_of)
    measure = _measure(data)
    worth = engine.sizes(facts.buyers(data, now).filter(~nw.col(measure).is_null()), [measure]).sort_values(measure, ascending=False)
    values = worth[measure].repeat(worth["count"]).reset_index(drop=True)
    decile = (pd.RangeIndex(len(values)) * 10 // max(len(values), 1)) + 1
    table = values.groupby(decile.to_numpy()).agg(amount="sum", n="size", least="min").reset_index(names="decile")
    total = table["amount"].sum()
    table["value"] = table["amount"] / total if total > 0 else float("nan")
    table["cumulative"] = table["value"].cumsum()
    more = ["amount", "cumulative", "least"]
    return schema.result("retention.deciles", table, by=["decile"], view="snapshot", window=_all_time(data, now), as_of=now, more=more)


def best_customers(data: Dataset, *, as_of: Instant, limit: int = 100) -> pd.DataFrame:
    """List the customers worth most to date.

    Uses `orders`, `customers`.

    Parameters
    ----------
    limit : int
        How many.

    Returns
    -------
    DataFrame
        ``customer_id``, ``segment``, ``source``, ``value`` (margin, else revenue), ``purchases`` (days with a purchase), ``first_on``, ``last_on``
        (local dates), the most valuable first.

    Raises
    ------
    MissingTable
        If there are no orders.
    """
    now = data.instant(as_of)
    measure = _measure(data)
    rows = facts.buyers(data, now).filter(~nw.col(measure).is_null())
    columns = ["customer_id", "segment", "source", "value", "purchases", "first_on", "last_on"]
    return _first(rows.with_columns(nw.col(measure).alias("value")), "value", limit)[columns]


def most_profitable_customers(data: Dataset, *, as_of: Instant, limit: int = 100) -> pd.DataFrame:
    """List the customers whose margin to date exceeds most what it cost to win them.

    Uses `orders` with ``margin``, `customers` with ``acquisition_cost`` where it is recorded.

    Parameters
    ----------
    limit : int
        How many.

    Returns
    -------
    DataFrame
        ``customer_id``, ``segment``, ``source``, ``profit`` (``margin`` less ``cost``), ``margin``, ``cost`` (missing where unknown; the profit is
        then the margin), ``purchases``, ``last_on``; the most profitable first.

    Raises
    ------
    MissingTable
        If there are no orders, or no margin is recorded.
    """
    data.table("orders", "margin")
    now = data.instant(as_of)
    rows = facts.with_cost(data, facts.buyers(data, now).filter(~nw.col("margin").is_null()))
    rows = rows.with_columns((nw.col("margin") - nw.col("cost").fill_null(0.0)).alias("profit"))
    return _first(rows, "profit", limit)[["customer_id", "segment", "source", "profit", "margin", "cost", "purchases", "last_on"]]


def _first(rows: nw.LazyFrame, column: str, limit: int) -> pd.DataFrame:
    """Take the customers with most of something, most first."""
    top = engine.collect(rows.sort(column, "customer_id", descending=[True, False]).head(limit))
    top = top.sort_values([column, "customer_id"], ascending=[False, True], ignore_index=True)
    return top.assign(**{f"{end}_on": [day_of(day) for day in top[f"{end}_day"]] for end in ("first", "last")})


def _measure(data: Dataset) -> str:
    return "margin" if data.has("orders", "margin") else "amount"


def _all_time(data: Dataset, now: pd.Timestamp) -> Window:
    return all_days(data, facts.purchases(data, now), "day", now)


GROUPS = [" ".join(words) for words in itertools.product(("recent", "past"), ("often", "seldom"), ("much", "little"))]


def value_groups(data: Dataset, *, as_of: Instant) -> pd.DataFrame:
    """Customers by recency, frequency and value, each cut in two at its median.

    Uses `orders`.

    Parameters
    ----------
    as_of : Instant
        Only what happened strictly before it counts; the medians are those of that date.

    Returns
    -------
    DataFrame
        One row per ``group``, such as ``recent often much``: ``recent`` customers bought within the median of the days since the last purchase,
        ``often`` on more days than the median, ``much`` for more than the median value to date; else ``past``, ``seldom``, ``little``. ``amount``
        brought, ``recency_cut`` (days), ``frequency_cut`` (days with a purchase), ``value_cut``, ``measure`` of value (margin, else revenue), and the
        columns of `schema.RESULT`: ``value`` share of the value of all, ``n`` customers. Customers of unknown value are left out.

    Raises
    ------
    MissingTable
        If there are no orders.
    """
    now, measure = data.instant(as_of), _measure(data)
    rows = facts.buyers(data, now).filter(~nw.col(measure).is_null()).with_columns(nw.col(measure).round(2).alias("worth"))
    rows = data.engine.keep(rows.select("purchases", "worth", (last_day(data, now) - nw.col("last_day")).alias("pause")))
    cuts = {name: _median(engine.sizes(rows, [name]), name) for name in ("pause", "purchases", "worth")}
    said = [
        nw.when(nw.col(name) <= cuts[name]).then(nw.lit(low)).otherwise(nw.lit(high)).alias(f"{name}_group")
        for name, low, high in (("pause", "recent", "past"), ("purchases", "seldom", "often"), ("worth", "little", "much"))
    ]
    parts = [f"{name}_group" for name in cuts]
    found = engine.collect(rows.with_columns(*said).group_by(*parts).agg(nw.len().alias("n"), nw.col("worth").sum().alias("amount")), parts)
    found["group"] = [" ".join(words) for words in found[parts].itertuples(index=False)]
    table = found.set_index("group")[["n", "amount"]].reindex(GROUPS, fill_value=0).reset_index()
    total = table["amount"].sum()
    table["value"] = table["amount"] / total if total > 0 else float("nan")
    table = table.assign(measure=measure, recency_cut=cuts["pause"], frequency_cut=cuts["purchases"], value_cut=cuts["worth"])
    more = ["amount", "recency_cut", "frequency_cut", "value_cut", "measure"]
    return schema.result("retention.groups", table, by=["group"], view="snapshot", window=_all_time(data, now), as_of=now, more=more)


def _median(sizes: pd.DataFrame, name: str) -> float:
    """The smallest value that half of the customers do not exceed."""
    reached = sizes["count"].cumsum() * 2 >= sizes["count"].sum()
    return float(sizes[name][reached.to_numpy().argmax()]) if len(sizes) else float("nan")


MATCHES = ("named", "found", "none")


def refunds(data: Dataset, *, as_of: Instant, level: float = 0.95) -> pd.DataFrame:
    """Refunds and cancelled documents by how the sale they take back is known.

    Uses `orders`.

    Parameters
    ----------
    level : float
        Coverage of the Wilson interval, in (0, 1).

    Returns
    -------
    DataFrame
        One row per ``match``: ``named`` (the refund names its sale), ``found`` (the only sale alike before it, see `facts.refunds`), ``none`` (it
        counts on its own day); ``amount`` taken back, and the columns of `schema.RESULT`: ``value`` share of the refunds, missing where there are
        none, ``n`` all of them.

    Raises
    ------
    MissingTable
        If there are no orders.
    """
    now = data.instant(as_of)
    rows = refund_records(data, now).filter(records.STANDS).with_columns(nw.col("amount").abs().alias("amount"))
    rows = in_company_currency(data, clocked(data, rows, "at", "day"), "amount", nw.col("at_day"))
    found = engine.collect(rows.group_by("match").agg(nw.len().alias("n_events"), nw.col("amount").sum()), ["match"])
    table = found.set_index("match").reindex(MATCHES).fillna(0).reset_index().assign(n=records.summed(rows)["n"].iloc[0])
    table = intervals.with_share(table, level)
    return schema.result("retention.refunds", table, by=["match"], view="snapshot", window=_all_time(data, now), as_of=now, more=["amount"])


def refund_records(data: Dataset, now: pd.Timestamp) -> nw.LazyFrame:
    """Who counts among the refunds: those whose sale is known are the events."""
    orders = data.table("orders").filter(nw.col("at") < now)
    rows = orders.join(facts.refunds(data, now), left_on="order_id", right_on="refund_id", how="left")
    rows = records.with_reason(rows, (nw.col("match").is_null(), records.SALE))
    return records.counted(rows, (nw.col("match") != "none", EVENT))
