"""Customers grouped by how lately and how often they bought, and how much they brought."""

from __future__ import annotations

import itertools

import narwhals.stable.v2 as nw
import pandas as pd

from kpi import engine, schema
from kpi.dataset import Dataset
from kpi.facts.clock import last_day
from kpi.periods import Instant
from kpi.retention.value import all_time, bought_to_date, measure_of

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
    now, measure = data.instant(as_of), measure_of(data)
    rows = bought_to_date(data, now).filter(~nw.col(measure).is_null()).with_columns(nw.col(measure).round(2).alias("worth"))
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
    return schema.result("retention.groups", table, by=["group"], view="snapshot", window=all_time(data, now), as_of=now, more=more)


def _median(sizes: pd.DataFrame, name: str) -> float:
    """The smallest value that half of the customers do not exceed."""
    reached = sizes["count"].cumsum() * 2 >= sizes["count"].sum()
    return float(sizes[name][reached.to_numpy().argmax()]) if len(sizes) else float("nan")
