"""Customers as the models need them: counted by purchases, last purchase and time observed, from the engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from kpi import engine, facts, schema
from kpi.dataset import Dataset, whole
from kpi.facts.clock import last_day

GROUPS = ("source", "segment", "product", "response", "owner")
HOUR = 3600
AFTER_FIRST = ("priced", "spent", "squares", "kept", "margin_kept", "margin_of")
COSTS = (nw.col("cost").sum().alias("costs"), nw.col("cost").count().alias("costs_known"))  # to win customers, and of how many it is known


def customers(data: Dataset, now: pd.Timestamp) -> nw.LazyFrame:
    """One row per customer who ever bought; what the first day brought stands apart, for it is often another thing: the deal itself."""
    buyers = facts.buyers(data, now)
    frame = facts.with_cost(data, buyers).join(_after_first(data, now, buyers), on="customer_id", how="left")
    return frame.with_columns(
        *[nw.col(name).fill_null(0) for name in AFTER_FIRST],
        (nw.col("purchases") - 1).alias("repeats"),
        (nw.col("last_day") - nw.col("first_day")).alias("recency"),
        (last_day(data, now) - nw.col("first_day")).alias("age"),
    )


def _after_first(data: Dataset, now: pd.Timestamp, buyers: nw.LazyFrame) -> nw.LazyFrame:
    """Repeat purchases with a known amount (``priced``): what they ``spent``, and what was ``kept`` of it after refunds, with what margin."""
    amount, margin = nw.col("amount"), nw.col("margin")
    paid = nw.when(nw.col("is_paid") & ~amount.is_null())
    again = facts.purchases(data, now).join(buyers.select("customer_id", "first_day"), on="customer_id", how="inner")
    return (
        again.filter(nw.col("day") > nw.col("first_day"))
        .group_by("customer_id")
        .agg(
            paid.then(nw.lit(1)).sum().alias("priced"),
            paid.then(amount).sum().round(6).alias("spent"),  # engines add in no fixed order: the mean must not depend on it
            paid.then(amount * amount).sum().alias("squares"),
            amount.sum().alias("kept"),
            margin.sum().alias("margin_kept"),
            nw.when(~margin.is_null()).then(amount).sum().alias("margin_of"),
        )
    )


def with_group(data: Dataset, now: pd.Timestamp, frame: nw.LazyFrame, by: Sequence[str]) -> nw.LazyFrame:
    """Add to customers the group they belong to, if any."""
    derived = {"product": _first_products, "response": _responses}
    for name in by:
        found = derived[name](data, now) if name in derived else data.table("customers", name).select("customer_id", name)
        frame = frame.drop(name, strict=False).join(found, on="customer_id", how="left")
        frame = frame.with_columns(nw.col(name).fill_null(nw.lit(schema.BLANK)))
    return frame


def counted(frame: nw.LazyFrame, *groups: str) -> pd.DataFrame:
    """Count the customers alike."""
    names = [*groups, "repeats", "recency", "age", "priced"]
    known = nw.when(~nw.col("margin").is_null()).then(nw.col("amount")).sum().alias("margined")
    sums = [nw.col(name).sum() for name in ("amount", "margin", *AFTER_FIRST[1:])]
    spent_squared = (nw.col("spent") * nw.col("spent")).sum().alias("spent_squared")
    cells = engine.collect(frame.group_by(*names).agg(nw.len().alias("count"), *sums, known, spent_squared, *COSTS), names)
    return cells.fillna({"amount": 0.0, "margin": 0.0, "margined": 0.0})


@dataclass(frozen=True, eq=False)
class Groups:
    """Which group each cell of counted customers belongs to; without grouping columns one for all."""

    names: pd.DataFrame
    number: np.ndarray

    @classmethod
    def of(cls, cells: pd.DataFrame, columns: Sequence[str]) -> Groups:
        if not columns:
            return cls(pd.DataFrame(index=[0]), np.zeros(len(cells), "int64"))
        by = cells.groupby(list(columns))
        return cls(by.size().reset_index()[list(columns)], by.ngroup().to_numpy())

    def sums(self, values: np.ndarray | pd.Series) -> np.ndarray:
        return np.bincount(self.number, np.asarray(values, "float64"), len(self.names))

    def sizes(self, count: np.ndarray | pd.Series) -> np.ndarray:
        return self.sums(count).astype("int64")

    def values(self, cells: pd.DataFrame, n: np.ndarray, total: np.ndarray, draws: np.ndarray, squares: np.ndarray, reach: float) -> pd.DataFrame:
        """What customers of each group are expected to bring, and what it cost to win them.

        The interval holds what is not known of the parameters (draws of the total) and how customers of a group differ (squares of what each brings).
        """
        value, known = total / n, self.sums(cells["costs_known"])
        half = reach * np.sqrt((draws / n).var(axis=0) + np.maximum(squares / n - value**2, 0) / n)
        cost = np.where(known > 0, self.sums(cells["costs"]) / np.maximum(known, 1), np.nan)
        return self.names.assign(value=value, low=np.maximum(value - half, 0), high=value + half, n=n.astype("int64"), cost=cost)


def _first_products(data: Dataset, now: pd.Timestamp) -> nw.LazyFrame:
    orders = data.table("orders", "product").filter(nw.col("at") < now, nw.col("kind") == "sale")
    first = orders.with_columns((nw.col("at") == nw.col("at").min().over("customer_id")).alias("is_first")).filter(nw.col("is_first"))
    return first.group_by("customer_id").agg(nw.col("product").min())


def _responses(data: Dataset, now: pd.Timestamp) -> nw.LazyFrame:
    """The band of the answer to the customer's first inquiry."""
    data = whole(data)  # whoever answered them
    ids = data.table("leads", "customer_id").filter(~nw.col("customer_id").is_null()).select("lead_id", "customer_id")
    data.table("activities", "lead_id")
    delay = nw.col("delay")
    answered = nw.when(delay <= HOUR).then(nw.lit("within 1 h")).when(delay <= 24 * HOUR).then(nw.lit("1 to 24 h")).otherwise(nw.lit("later"))
    band = nw.when(nw.col("outcome") != "answered").then(nw.lit("not answered")).otherwise(answered)
    leads = facts.leads(data, now).join(ids, on="lead_id", how="inner").with_columns(band.alias("response"))
    leads = leads.with_columns((nw.col("created_seconds") == nw.col("created_seconds").min().over("customer_id")).alias("is_first"))
    return leads.filter(nw.col("is_first")).group_by("customer_id").agg(nw.col("response").min())
