"""How many refunds there are, and of how many the sale they take back is known."""

from __future__ import annotations

import narwhals.stable.v2 as nw
import pandas as pd

from kpi import engine, facts, schema
from kpi.dataset import Dataset
from kpi.facts import records
from kpi.facts.clock import clocked
from kpi.facts.money import in_company_currency
from kpi.facts.records import EVENT
from kpi.periods import Instant
from kpi.retention.value import all_time
from kpi.statistics import intervals

MATCHES = ("named", "found", "none")


def purchase_reading(data: Dataset) -> str:
    """What counts as a purchase where customers are counted.

    Parameters
    ----------
    data : Dataset
        ``[retention] purchases`` in kpi.toml.

    Returns
    -------
    str
        ``net``, ``sales`` or ``documents``, as `facts.purchase_reading` says.
    """
    return facts.purchase_reading(data)


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
    return schema.result("retention.refunds", table, by=["match"], view="snapshot", window=all_time(data, now), as_of=now, more=["amount"])


def refund_records(data: Dataset, now: pd.Timestamp) -> nw.LazyFrame:
    """Who counts among the refunds: those whose sale is known are the events."""
    orders = data.table("orders").filter(nw.col("at") < now)
    rows = orders.join(facts.refunds(data, now), left_on="order_id", right_on="refund_id", how="left")
    rows = records.with_reason(rows, (nw.col("match").is_null(), records.SALE))
    return records.counted(rows, (nw.col("match") != "none", EVENT))
