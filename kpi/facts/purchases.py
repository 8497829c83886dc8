"""One row per purchase (customer and local day), per refund and per customer: who bought, what was taken back, who was active at a boundary."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import narwhals.stable.v2 as nw
import pandas as pd

from kpi.dataset import Dataset
from kpi.engine import collect, sizes
from kpi.facts.clock import clocked, last_day, numbered, once
from kpi.facts.money import rated
from kpi.periods import day_number
from kpi.schema import BLANK

COVERED = 0.95  # of the pauses between purchases
KEY = ["customer_id", "currency", "product", "cents"]  # what a sale and the refund that takes it back have in common


@once
def purchases(data: Dataset, as_of: pd.Timestamp) -> nw.LazyFrame:
    """Merge the orders of each customer and local day, net of refunds.

    ``customer_id``, ``day``, ``month``, ``amount`` and ``margin`` (company currency, net; a refund whose sale is known counts on that sale's day),
    ``is_paid`` (net amount above 0), ``is_purchase`` as `purchase_reading` says, ``source``, ``segment``.
    """
    orders = data.table("orders").filter(nw.col("at") < as_of)
    orders = clocked(data, orders, "at", "day", "month").rename({"at_day": "day", "at_month": "month"})
    own_days = orders.select("customer_id", "day", "month")
    # A refund lowers the sale it takes back, at that day's rate: the customer bought on that day, or did not after all.
    back = refunds(data, as_of).select("refund_id", "cancels")
    sold = orders.join(back, left_on="order_id", right_on="cancels", how="inner")
    sold = sold.select("refund_id", nw.col("day").alias("sale_day"), nw.col("month").alias("sale_month"))
    orders = orders.join(sold, left_on="order_id", right_on="refund_id", how="left")
    # Some systems write refunds without their sign; what they took from the margin then has the wrong sign too.
    unsigned = (nw.col("kind") == "refund") & (nw.col("amount") > 0)
    sale = (nw.col("kind") == "sale") & (nw.col("amount") > 0)
    orders = orders.with_columns(
        nw.when(nw.col("sale_day").is_null()).then(nw.col("day")).otherwise(nw.col("sale_day")).alias("day"),
        nw.when(nw.col("sale_month").is_null()).then(nw.col("month")).otherwise(nw.col("sale_month")).alias("month"),
        nw.when(sale).then(nw.lit(1)).otherwise(nw.lit(0)).cast(nw.Int32).alias("sales"),
        *[nw.when(unsigned).then(-nw.col(name)).otherwise(nw.col(name)).alias(name) for name in ("amount", "margin")],
    )
    # Without a rate it is a purchase all the same, in no sum.
    orders = rated(data, orders, nw.col("day")).with_columns(
        *[(nw.col(name) * nw.col("rate")).alias(name) for name in ("amount", "margin")],
        nw.when(nw.col("rate").is_null()).then(nw.col("amount")).otherwise(nw.lit(0.0)).alias("unrated"),
    )
    return _with_origin(data, _merged(orders, own_days, purchase_reading(data)))


def purchase_reading(data: Dataset) -> str:
    """Say what counts as a purchase: ``net`` amount above 0, ``sales``, or all ``documents``."""
    return data.settings.get("retention", {}).get("purchases", "net")


def buyers(data: Dataset, as_of: pd.Timestamp) -> nw.LazyFrame:
    """List the customers who ever bought, with what they brought; missing where none of it is known; the margin is that of all their orders."""
    paid = nw.when(nw.col("is_paid"))
    frame = (
        purchases(data, as_of)
        .group_by("customer_id")
        .agg(
            nw.col("amount").sum(),
            nw.col("margin").sum(),
            nw.when(~nw.col("margin").is_null()).then(nw.col("amount")).sum().alias("known"),
            (~nw.col("amount").is_null()).cast(nw.Int64).sum().alias("priced"),
            nw.col("is_paid").cast(nw.Int64).sum().alias("purchases"),
            paid.then(nw.col("day")).min().alias("first_day"),
            paid.then(nw.col("day")).max().alias("last_day"),
            paid.then(nw.col("month")).min().alias("first_month"),
            nw.col("source").max(),
            nw.col("segment").max(),
        )
    )
    # Known for part of the orders, the margin is taken to be the same share of the others: missing is not zero.
    share = nw.col("amount") / nw.col("known")
    frame = frame.with_columns(
        nw.when(nw.col("known") > 0).then(nw.col("margin") * share).otherwise(nw.lit(None)).alias("margin"),
        nw.when(nw.col("priced") > 0).then(nw.col("amount")).otherwise(nw.lit(None)).alias("amount"),
    )
    return frame.filter(nw.col("purchases") > 0).drop("known", "priced")


def with_cost(data: Dataset, customers: nw.LazyFrame) -> nw.LazyFrame:
    """Add to customers what it cost to win them (``cost``), missing where unknown."""
    if not data.has("customers", "acquisition_cost"):
        return customers.with_columns(nw.lit(None).cast(nw.Float64).alias("cost"))
    costs = data.table("customers").select("customer_id", nw.col("acquisition_cost").alias("cost"))
    return customers.join(costs, on="customer_id", how="left")


def usual_pause(data: Dataset, as_of: pd.Timestamp, counted: str) -> int | None:
    """Find the days that 95 % of the pauses between two purchases do not exceed; none where nobody has bought twice."""
    bought = purchases(data, as_of).filter(nw.col(counted)).select("customer_id", "day")
    pauses = bought.with_columns((nw.col("day") - nw.col("day").shift(1).over("customer_id", order_by="day")).alias("pause"))
    found = sizes(pauses.filter(~nw.col("pause").is_null()), ["pause"])
    covered = found["count"].cumsum() >= COVERED * found["count"].sum()
    return int(found["pause"][covered.to_numpy().argmax()]) if len(found) else None


def _merged(orders: nw.LazyFrame, own_days: nw.LazyFrame, reading: str) -> nw.LazyFrame:
    # A sum over nothing known stays missing: no margin recorded is not a margin of 0.
    known = [(~nw.col(name).is_null()).cast(nw.Int64).sum().alias(f"{name}_known") for name in ("amount", "margin")]
    sums = [nw.col(name).sum() for name in ("amount", "margin")]
    if reading == "documents":  # the day of a cancellation counts too, though its amount stands on the day of the sale
        nothing = {name: nw.lit(None).cast(nw.Float64) for name in ("amount", "margin")} | {"unrated": nw.lit(0.0)}
        orders = orders.select(*own_days.collect_schema().names(), *nothing, "sales")
        orders = nw.concat([orders, own_days.with_columns(**nothing, sales=nw.lit(0).cast(nw.Int32))])
    merged = orders.group_by("customer_id", "day", "month").agg(*sums, *known, nw.col("sales", "unrated").sum())
    merged = merged.with_columns(*[nw.when(nw.col(f"{n}_known") > 0).then(nw.col(n)).otherwise(nw.lit(None)).alias(n) for n in ("amount", "margin")])
    merged = merged.with_columns(((nw.col("amount") > 0.005) | (nw.col("unrated") > 0.005)).fill_null(False).alias("is_paid"))
    counts = {"net": nw.col("is_paid"), "sales": nw.col("sales") > 0, "documents": nw.lit(True)}[reading]
    return merged.with_columns(counts.alias("is_purchase")).drop("amount_known", "margin_known", "sales", "unrated")


def _with_origin(data: Dataset, frame: nw.LazyFrame) -> nw.LazyFrame:
    if not data.has("customers"):
        return frame.with_columns(nw.lit(BLANK).alias("source"), nw.lit(BLANK).alias("segment"))
    frame = frame.join(data.table("customers").select("customer_id", "source", "segment"), on="customer_id", how="left")
    return frame.with_columns(*[nw.col(name).fill_null(nw.lit(BLANK)) for name in ("source", "segment")])


def activity(data: Dataset, as_of: pd.Timestamp, boundaries: Sequence[date], days: int | None) -> nw.LazyFrame:
    """Tell for each customer its ``first_day`` and whether it was active at each boundary (``a0``, ``a1`` ...: 1 or 0)."""
    edges = [day_number(day) for day in boundaries]
    if days is None:
        terms = numbered(data, numbered(data, data.table("contracts"), "start_on"), "end_on")
        terms = terms.filter(nw.col("start_day") <= last_day(data, as_of))
        stays = [(nw.col("start_day") < edge) & (nw.col("end_day").is_null() | (nw.col("end_day") >= edge)) for edge in edges]
        return terms.group_by("customer_id").agg(nw.col("start_day").min().alias("first_day"), *_flags(stays))
    rows = purchases(data, as_of).filter(nw.col("is_purchase"))
    stays = [(nw.col("day") < edge) & (nw.col("day") >= edge - days) for edge in edges]
    return rows.group_by("customer_id").agg(nw.col("day").min().alias("first_day"), *_flags(stays))


def _flags(stays: list[nw.Expr]) -> list[nw.Expr]:
    return [nw.when(stay).then(nw.lit(1)).otherwise(nw.lit(0)).max().alias(f"a{number}") for number, stay in enumerate(stays)]


@once
def refunds(data: Dataset, as_of: pd.Timestamp) -> nw.LazyFrame:
    """Find for each refund (``refund_id``) the sale it ``cancels``, and how that is known (``match``): named, found as the only one alike, none."""
    orders = data.table("orders").filter(nw.col("at") < as_of)
    taken = _is_refund()
    named = orders.filter(taken).select(nw.col("order_id").alias("refund_id"), nw.col("refunds_order_id").alias("cancels"))
    named = data.engine.keep(named.join(orders.select(nw.col("order_id").alias("cancels")), on="cancels", how="semi"))
    nameless = _keyed(orders.filter(taken, nw.col("refunds_order_id").is_null()))
    sales = _keyed(orders.filter(~taken).join(named.select(nw.col("cancels").alias("order_id")), on="order_id", how="anti"))
    sales = sales.join(nameless.select(*KEY).unique(), on=KEY, how="semi")
    found = data.engine.put(_found(pd.concat([collect(sales).assign(taken=0), collect(nameless).assign(taken=1)], ignore_index=True)))
    known = nw.concat([named.with_columns(nw.lit("named").alias("match")), found.with_columns(nw.lit("found").alias("match"))])
    frame = orders.filter(taken).select(nw.col("order_id").alias("refund_id")).join(known, on="refund_id", how="left")
    return frame.with_columns(nw.col("match").fill_null(nw.lit("none")))


def _is_refund() -> nw.Expr:
    return (nw.col("kind") == "refund") | (nw.col("amount") < 0)


def _keyed(orders: nw.LazyFrame) -> nw.LazyFrame:
    """What a sale and the refund that takes it back have in common; some systems write refunds without their sign."""
    cents = (nw.col("amount").abs() * 100).round().cast(nw.Int64).alias("cents")
    return orders.select("order_id", "at", "customer_id", "currency", nw.col("product").fill_null(nw.lit("")), cents)


def _found(rows: pd.DataFrame) -> pd.DataFrame:
    """Go through the few orders that could belong together in the order of time: what came later decides nothing about what was before."""
    rows = rows.sort_values([*KEY, "at", "taken", "order_id"], ignore_index=True)
    standing: list[str] = []  # sales not taken back yet
    links, before = [], None
    for key, order_id, taken in zip(rows.groupby(KEY, sort=False).ngroup(), rows["order_id"], rows["taken"], strict=True):
        if key != before:
            standing, before = [], key
        if not taken:
            standing.append(order_id)
        elif len(standing) == 1:
            links.append((order_id, standing.pop()))
    return pd.DataFrame(links, columns=["refund_id", "cancels"], dtype="str")
