"""When the data begin and end, table by table."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import narwhals.stable.v2 as nw
import pandas as pd

from kpi.engine import collect
from kpi.errors import DataError

_EVENTS = {
    "leads": ("created_at",),
    "activities": ("at",),
    "opportunities": ("created_at", "closed_at"),
    "opportunity_history": ("changed_at",),
    "orders": ("at",),
}


def span(frames: Mapping[str, nw.LazyFrame], provided: Mapping[str, Collection[str]]) -> tuple[dict[str, pd.Timestamp], pd.Timestamp, pd.Timestamp]:
    """Find the first event of each table, and the first and the last of all."""
    firsts: dict[str, pd.Timestamp] = {}
    found: list[pd.Timestamp] = []
    for name, columns in _EVENTS.items():
        for column in columns:
            if name not in frames or column not in provided[name]:
                continue
            at = nw.col(column)
            row = collect(frames[name].select(at.min().alias("first"), at.max().alias("last"))).iloc[0]
            known = [stamp for stamp in row if not pd.isna(stamp)]
            firsts |= {name: min([known[0], *([firsts[name]] if name in firsts else [])])} if known else {}
            found += known
    for column in ("start_on", "end_on"):
        if "contracts" in frames and column in provided["contracts"]:
            row = collect(frames["contracts"].select(nw.col(column).cast(nw.Datetime("us")).min().alias("first")))
            found += [stamp for stamp in row["first"] if not pd.isna(stamp)]
    if not found:
        raise DataError("the data set has no dated row; check what was set aside with: kpi check")
    return firsts, min(found), max(found)
