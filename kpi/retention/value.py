"""What customers have been worth so far, and how that worth is spread."""

from __future__ import annotations

import narwhals.stable.v2 as nw
import pandas as pd

from kpi import engine, facts, schema
from kpi.dataset import Dataset
from kpi.periods import Instant, Window, day_of, last_days


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
    customers = bought_to_date(data, now)
    column = nw.col(measure_of(data))
    totals = customers.group_by(*groups) if groups else None
    sums = (nw.len().alias("n"), column.count().alias("n_events"), column.sum().alias("total"))
    table = engine.collect(totals.agg(*sums) if totals is not None else customers.select(*sums), groups)
    table["value"] = (table["total"] / table["n_events"]).where(table["n_events"] > 0)
    table["measure"] = measure_of(data)
    return schema.result("retention.value_to_date", table, by=[*groups, "measure"], view="snapshot", window=all_time(data, now), as_of=now)


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
    measure = measure_of(data)
    worth = engine.sizes(bought_to_date(data, now).filter(~nw.col(measure).is_null()), [measure]).rename(columns={measure: "worth"})
    worth = worth.sort_values("worth", ascending=False, ignore_index=True)
    values = worth["worth"].repeat(worth["count"]).reset_index(drop=True)
    decile = (pd.RangeIndex(len(values)) * 10 // max(len(values), 1)) + 1
    table = values.groupby(decile.to_numpy()).agg(["sum", "size", "min"]).reset_index(names="decile")
    table = table.rename(columns={"sum": "amount", "size": "n", "min": "least"})
    total = table["amount"].sum()
    table["value"] = table["amount"] / total if total > 0 else float("nan")
    table["cumulative"] = table["value"].cumsum()
    more = ["amount", "cumulative", "least"]
    return schema.result("retention.deciles", table, by=["decile"], view="snapshot", window=all_time(data, now), as_of=now, more=more)


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
    measure = measure_of(data)
    rows = bought_to_date(data, now).filter(~nw.col(measure).is_null())
    top = engine.collect(rows.sort(measure, "customer_id", descending=[True, False]).head(limit))
    top = top.sort_values([measure, "customer_id"], ascending=[False, True], ignore_index=True)
    top["first_on"], top["last_on"] = [day_of(day) for day in top["first_day"]], [day_of(day) for day in top["last_day"]]
    return top.rename(columns={measure: "value"})[["customer_id", "segment", "source", "value", "purchases", "first_on", "last_on"]]


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
    rows = bought_to_date(data, now).filter(~nw.col("margin").is_null())
    if data.has("customers", "acquisition_cost"):
        costs = data.table("customers").select("customer_id", nw.col("acquisition_cost").alias("cost"))
        rows = rows.join(costs, on="customer_id", how="left")
    else:
        rows = rows.with_columns(nw.lit(None).cast(nw.Float64).alias("cost"))
    rows = rows.with_columns((nw.col("margin") - nw.col("cost").fill_null(0.0)).alias("profit"))
    top = engine.collect(rows.sort("profit", "customer_id", descending=[True, False]).head(limit))
    top = top.sort_values(["profit", "customer_id"], ascending=[False, True], ignore_index=True)
    top["last_on"] = [day_of(day) for day in top["last_day"]]
    return top[["customer_id", "segment", "source", "profit", "margin", "cost", "purchases", "last_on"]]


def measure_of(data: Dataset) -> str:
    """Say what worth is measured by."""
    return "margin" if data.has("orders", "margin") else "amount"


def all_time(data: Dataset, now: pd.Timestamp) -> Window:
    """Cover the days from the first order to the date."""
    first = engine.collect(facts.purchases(data, now).select(nw.col("day").min().alias("first")))["first"].iloc[0]
    end = last_days(now, data.company.timezone, 1).end
    return Window(end if pd.isna(first) else day_of(first), end)


def bought_to_date(data: Dataset, now: pd.Timestamp) -> nw.LazyFrame:
    """List the customers who ever bought, with what they brought."""
    rows = facts.purchases(data, now)
    known = (~nw.col("margin").is_null()).cast(nw.Int64).sum()
    frame = rows.group_by("customer_id").agg(
        nw.col("amount").sum(),
        nw.col("margin").sum(),
        known.alias("known"),
        nw.col("is_paid").cast(nw.Int64).sum().alias("purchases"),
        nw.when(nw.col("is_paid")).then(nw.col("day")).min().alias("first_day"),
        nw.when(nw.col("is_paid")).then(nw.col("day")).max().alias("last_day"),
        nw.col("source").max(),
        nw.col("segment").max(),
    )
    frame = frame.with_columns(nw.when(nw.col("known") > 0).then(nw.col("margin")).otherwise(nw.lit(None)).alias("margin"))
    return frame.filter(nw.col("purchases") > 0)
