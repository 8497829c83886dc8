"""What deals can be grouped by, their size among it: the band of amounts a deal falls in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from kpi import engine, facts
from kpi.dataset import Dataset, whole

STANDING = {name: name for name in ("source", "owner", "product", "size")}  # as they are at the instant
DEAL_GROUPS = STANDING | {"owner": "created_owner", "month": "created_month", "quarter": "created_quarter"}
CLOSING_GROUPS = STANDING | {"owner": "closed_owner", "month": "closed_month", "quarter": "closed_quarter"}
FIXED = {name: name for name in ("source", "product")}  # the same in all states of a deal
CUTS = (0.25, 0.5, 0.75)
ROUND = (1, 2, 5, 10)


def deals(data: Dataset, now: pd.Timestamp, groups: Sequence[str] = (), columns: Mapping[str, str] = DEAL_GROUPS) -> nw.LazyFrame:
    """State each opportunity as known at an instant, with the columns to group by; of a part, by the owner that these name."""
    frame = facts.opportunities(data, now, columns["owner"])
    if "size" in groups:
        frame = frame.with_columns(_band(nw.col("amount"), size_bands(data, now)).alias("size"))
    return engine.grouped(frame, columns, groups)


def with_groups(data: Dataset, rows: nw.LazyFrame, now: pd.Timestamp, groups: Sequence[str]) -> nw.LazyFrame:
    """Put the groups of its deal beside each row that does not carry them itself."""
    wanted = [name for name in groups if name not in rows.collect_schema().names()]
    if not wanted:
        return rows
    return rows.join(deals(whole(data), now, wanted, STANDING).select("opportunity_id", *wanted), on="opportunity_id", how="inner")


def size_bands(data: Dataset, now: pd.Timestamp) -> list[float]:
    """Tell at which amounts a deal counts as larger: the parameter ``[pipeline] size_bands``, else round amounts near the quarters of all deals."""
    given = data.settings.get("pipeline", {}).get("size_bands")
    if given is not None:
        return [0.0, *map(float, given)]
    amounts = engine.sizes(facts.opportunities(whole(data), now).filter(nw.col("amount") > 0), ["amount"])
    if amounts.empty:
        return [0.0]
    reached = amounts["count"].cumsum() / amounts["count"].sum()
    cuts = [amounts["amount"].to_numpy(dtype=float)[np.searchsorted(reached, cut - 1e-12)] for cut in CUTS]
    return sorted({0.0, *(_rounded(cut) for cut in cuts)})


def _rounded(amount: float) -> float:
    """The nearest of 1, 2, 5, 10, 20 and so on, by ratio."""
    power = 10.0 ** np.floor(np.log10(amount))
    return float(power * min(ROUND, key=lambda step: abs(np.log(step * power / amount))))


def _band(amount: nw.Expr, ends: Sequence[float]) -> nw.Expr:
    band: nw.Expr = nw.when(~amount.is_null()).then(nw.lit(float(ends[0])))
    for end in ends[1:]:
        band = nw.when(amount >= end).then(nw.lit(float(end))).otherwise(band)
    return band


def by_group(table: pd.DataFrame, groups: Sequence[str]) -> Iterator[tuple[dict, pd.DataFrame]]:
    """Take a table of counts apart, group by group."""
    if not groups:
        yield {}, table
        return
    for name, part in table.groupby(list(groups), dropna=False):
        yield dict(zip(groups, name, strict=True)), part
