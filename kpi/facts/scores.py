"""The interest a lead had shown when it was called, against the most it ever showed."""

from __future__ import annotations

import narwhals.stable.v2 as nw

from kpi.facts.clock import clocked


def scored(data, scores: nw.LazyFrame, leads: nw.LazyFrame) -> nw.LazyFrame:
    """Relate each lead's score at its touch to its peak.

    Parameters
    ----------
    data : Dataset
        Brings the calendar.
    scores : LazyFrame
        ``lead_id``, ``at``, ``score``.
    leads : LazyFrame
        ``lead_id``, ``alert_touched_seconds``.

    Returns
    -------
    LazyFrame
        One row per lead with a positive score: ``lead_id``, ``ratio`` in [0, 1] of the last score at or before the touch to the highest score of
        all; missing where nobody has touched the lead, or no score comes before the touch.
    """
    rows = data.engine.keep(clocked(data, scores, "at", "seconds").join(leads, on="lead_id", how="inner"))
    peak = rows.group_by("lead_id").agg(nw.col("score").max().alias("peak")).filter(nw.col("peak") > 0)
    seen = rows.filter(nw.col("at_seconds") <= nw.col("alert_touched_seconds"))
    last = seen.group_by("lead_id").agg(nw.col("at_seconds").max().alias("last"))
    seen = seen.join(last, on="lead_id", how="inner").filter(nw.col("at_seconds") == nw.col("last")).group_by("lead_id").agg(nw.col("score").max())
    return peak.join(seen, on="lead_id", how="left").select("lead_id", (nw.col("score") / nw.col("peak")).alias("ratio"))
