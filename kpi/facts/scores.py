"""The interest a lead had shown when it was called, against the most it ever showed."""

from __future__ import annotations

import narwhals.stable.v2 as nw

from kpi.dataset import Dataset
from kpi.facts.clock import clocked


def scored(data: Dataset, scores: nw.LazyFrame, leads: nw.LazyFrame) -> nw.LazyFrame:
    """Relate each lead's score at its touch to its peak."""
    rows = data.engine.keep(clocked(data, scores, "at", "seconds").join(leads, on="lead_id", how="inner"))
    peak = rows.group_by("lead_id").agg(nw.col("score").max().alias("peak")).filter(nw.col("peak") > 0)
    seen = rows.filter(nw.col("at_seconds") <= nw.col("alert_touched_seconds"))
    last = seen.group_by("lead_id").agg(nw.col("at_seconds").max().alias("last"))
    seen = seen.join(last, on="lead_id", how="inner").filter(nw.col("at_seconds") == nw.col("last")).group_by("lead_id").agg(nw.col("score").max())
    return peak.join(seen, on="lead_id", how="left").select("lead_id", (nw.col("score") / nw.col("peak")).alias("ratio"))
