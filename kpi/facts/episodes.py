"""Inquiries that are one: leads merged by hand, and leads created again for the same person while the first is still being worked."""

from __future__ import annotations

import narwhals.stable.v2 as nw
import pandas as pd

from kpi.engine import collect
from kpi.facts.clock import DAY_SECONDS, clocked, once

QUIET_DAYS = 30
_LINKS = 8  # longest chain of merges followed


@once
def episodes(data, as_of: pd.Timestamp) -> nw.LazyFrame:
    """Tell for each lead which inquiry it belongs to.

    Parameters
    ----------
    data : Dataset
        Uses `leads` with ``merged_into`` and ``person_id`` where they exist, and `activities`.
    as_of : Timestamp
        Naive UTC.

    Returns
    -------
    LazyFrame
        One row per lead created before `as_of` and not deleted by then: ``lead_id`` and ``episode``, the lead that stands for the inquiry: the one
        it was merged into, or the person's first lead since 30 days without any inquiry or human activity. A merge bears no date: it counts at any
        `as_of`.
    """
    known = data.table("leads").filter(nw.col("created_at") < as_of)
    known = known.filter(nw.col("deleted_at").is_null() | (nw.col("deleted_at") >= as_of))
    links = known.select("lead_id", "person_id", "created_at", nw.col("lead_id").alias("episode"))
    if data.has("leads", "merged_into"):
        links = _merged(data, known, links)
    if data.has("leads", "person_id"):
        links = _same_person(data, links, as_of)
    return links.select("lead_id", "episode")


def _merged(data, known: nw.LazyFrame, links: nw.LazyFrame) -> nw.LazyFrame:
    """Follow each merge to the lead that survived; a merge into an unknown lead, or in a circle, is none."""
    steps = known.filter(~nw.col("merged_into").is_null()).select(nw.col("lead_id").alias("folded"), nw.col("merged_into").alias("target"))
    steps = data.engine.keep(steps)
    onward = steps.rename({"folded": "via", "target": "onward"})
    reached = steps
    for _ in range(_LINKS):
        reached = reached.join(onward, left_on="target", right_on="via", how="left")
        reached = reached.with_columns(nw.col("onward").fill_null(nw.col("target")).alias("target")).drop("onward")
    reached = reached.join(known.select(nw.col("lead_id").alias("target")), on="target", how="semi").join(
        onward, left_on="target", right_on="via", how="anti"
    )
    links = links.join(data.engine.keep(reached), left_on="lead_id", right_on="folded", how="left")
    return links.with_columns(nw.col("target").fill_null(nw.col("lead_id")).alias("episode")).drop("target")


def _same_person(data, links: nw.LazyFrame, as_of: pd.Timestamp) -> nw.LazyFrame:
    links = data.engine.keep(links)
    named = links.filter(~nw.col("person_id").is_null())
    several = named.group_by("person_id").agg(nw.len().alias("n")).filter(nw.col("n") > 1)
    inquiries = data.engine.keep(named.join(several, on="person_id", how="semi"))
    if not len(collect(inquiries.select("lead_id").head(1))):
        return links
    events = inquiries.select("person_id", nw.col("created_at").alias("at"), "lead_id", nw.lit(1).alias("is_lead"))
    if data.has("activities", "lead_id"):
        human = data.table("activities").filter(nw.col("at") < as_of, ~nw.col("automated"), nw.col("done")).select("lead_id", "at")
        own = human.join(inquiries.select("lead_id", "person_id"), on="lead_id", how="inner")
        events = nw.concat([events, own.select("person_id", "at", "lead_id", nw.lit(0).alias("is_lead"))])
    order = ["at_seconds", "is_lead", "lead_id"]
    events = data.engine.keep(
        clocked(data, events, "at", "seconds").group_by("person_id", "at_seconds", "is_lead", "lead_id").agg(nw.len().alias("n"))
    )
    quiet = nw.col("at_seconds") - nw.col("at_seconds").shift(1).over("person_id", order_by=order)
    events = events.with_columns(quiet.alias("quiet"))
    begins = (nw.col("is_lead") == 1) & (nw.col("quiet").is_null() | (nw.col("quiet") > QUIET_DAYS * DAY_SECONDS))
    events = data.engine.keep(events.with_columns(nw.when(begins).then(nw.lit(1)).otherwise(nw.lit(0)).alias("begins")))
    events = data.engine.keep(events.with_columns(nw.col("begins").cum_sum().over("person_id", order_by=order).alias("number")))
    first = nw.col("lead_id").first().over("person_id", "number", order_by=order)
    starts = data.engine.keep(events.filter(nw.col("is_lead") == 1).with_columns(first.alias("first")))
    starts = starts.join(links.select(nw.col("lead_id").alias("first"), nw.col("episode").alias("standing")), on="first", how="left")
    links = links.join(starts.select("lead_id", "standing"), on="lead_id", how="left")
    return links.with_columns(nw.col("standing").fill_null(nw.col("episode")).alias("episode")).drop("standing")
