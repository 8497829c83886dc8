"""Refunds and cancelled documents, each with the sale it takes back where that is known."""

from __future__ import annotations

import narwhals.stable.v2 as nw
import pandas as pd

from kpi.dataset import Dataset
from kpi.engine import collect
from kpi.facts.clock import once

KEY = ["customer_id", "currency", "product", "cents"]


@once
def refunds(data: Dataset, as_of: pd.Timestamp) -> nw.LazyFrame:
    """Find for each refund the sale it takes back."""
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
