"""Inquiries that are one: leads merged by hand, and leads created again for the same person while the first is still being worked."""

from __future__ import annotations

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from kpi.dataset import Dataset
from kpi.engine import collect
from kpi.facts.clock import DAY_SECONDS, clocked, once

QUIET_DAYS = 30
_LINKS = 8  # longest chain of merges followed


@once
def episodes(data: Dataset, as_of: pd.Timestamp) -> nw.LazyFrame:
    """Tell for each lead which inquiry it belongs to."""
    known = data.table("leads").filter(nw.col("created_at") < as_of)
    known = data.engine.keep(known.filter(nw.col("deleted_at").is_null() | (nw.col("deleted_at") >= as_of)))
    merges = _merges(data, known) if data.has("leads", "merged_into") else _NONE
    runs = _runs(data, known, as_of) if data.has("leads", "person_id") else _NONE
    leads = known.select("lead_id")
    if not len(merges) and not len(runs):
        return leads.with_columns(nw.col("lead_id").alias("episode"))
    joined = data.engine.put(_standing(data, known, merges, runs))
    linked = leads.join(joined, left_on="lead_id", right_on="linked", how="left")
    return linked.with_columns(nw.col("episode").fill_null(nw.col("lead_id")))


_NONE = pd.DataFrame({"lead": pd.Series(dtype="str"), "other": pd.Series(dtype="str")})


def _standing(data: Dataset, known: nw.LazyFrame, merges: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Group the few leads that are linked, however they hang together, and name who stands for each group: the earliest one not merged away."""
    links = pd.concat([merges, runs], ignore_index=True)
    names, codes = np.unique(links[["lead", "other"]].to_numpy(dtype=str).ravel(), return_inverse=True)
    ends = codes.reshape(-1, 2)
    table = pd.DataFrame({"linked": names, "group": _groups(ends, len(names)), "is_merged": np.isin(names, merges["lead"].to_numpy(dtype=str))})
    created = collect(
        known.select("lead_id", "created_at").join(data.engine.put(table[["linked"]]), left_on="lead_id", right_on="linked", how="semi")
    )
    table = table.merge(created, left_on="linked", right_on="lead_id").sort_values(["group", "is_merged", "created_at", "linked"])
    table["episode"] = table.groupby("group")["linked"].transform("first")
    return table[["linked", "episode"]]


def _groups(ends: np.ndarray, n: int) -> np.ndarray:
    """Number the groups that links form: each end takes the lowest number it hears of, until nothing changes."""
    group = np.arange(n)
    while True:
        lowest = np.minimum(group[ends[:, 0]], group[ends[:, 1]])
        heard = group.copy()
        for side in (0, 1):
            np.minimum.at(heard, ends[:, side], lowest)
        heard = heard[heard]
        if (heard == group).all():
            return group
        group = heard


def _merges(data: Dataset, known: nw.LazyFrame) -> pd.DataFrame:
    """Follow each merge to the lead that survived; a merge into an unknown lead, or in a circle, is none."""
    steps = known.filter(~nw.col("merged_into").is_null()).select(nw.col("lead_id").alias("lead"), nw.col("merged_into").alias("other"))
    steps = data.engine.keep(steps)
    onward = steps.rename({"lead": "via", "other": "onward"})
    reached = steps
    for _ in range(_LINKS):
        reached = reached.join(onward, left_on="other", right_on="via", how="left")
        reached = reached.with_columns(nw.col("onward").fill_null(nw.col("other")).alias("other")).drop("onward")
    reached = reached.join(known.select(nw.col("lead_id").alias("other")), on="other", how="semi")
    return collect(reached.join(onward, left_on="other", right_on="via", how="anti"), ["lead"])


def _runs(data: Dataset, known: nw.LazyFrame, as_of: pd.Timestamp) -> pd.DataFrame:
    """Link each lead of a person to the first one since 30 days without any inquiry or human activity of that person."""
    named = known.filter(~nw.col("person_id").is_null()).select("lead_id", "person_id", "created_at")
    several = named.group_by("person_id").agg(nw.len().alias("n")).filter(nw.col("n") > 1)
    inquiries = data.engine.keep(named.join(several, on="person_id", how="semi"))
    events = inquiries.select("person_id", nw.col("created_at").alias("at"), "lead_id", nw.lit(1).alias("is_lead"))
    if data.has("activities", "lead_id"):
        human = data.table("activities").filter(nw.col("at") < as_of, ~nw.col("automated"), nw.col("done")).select("lead_id", "at")
        own = human.join(inquiries.select("lead_id", "person_id"), on="lead_id", how="inner")
        events = nw.concat([events, own.select("person_id", "at", "lead_id", nw.lit(0).alias("is_lead"))])
    order = ["at_seconds", "is_lead", "lead_id"]
    once_each = clocked(data, events, "at", "seconds").group_by("person_id", "at_seconds", "is_lead", "lead_id").agg(nw.len().alias("n"))
    events = data.engine.keep(once_each)
    quiet = nw.col("at_seconds") - nw.col("at_seconds").shift(1).over("person_id", order_by=order)
    events = events.with_columns(quiet.alias("quiet"))
    begins = (nw.col("is_lead") == 1) & (nw.col("quiet").is_null() | (nw.col("quiet") > QUIET_DAYS * DAY_SECONDS))
    events = data.engine.keep(events.with_columns(nw.when(begins).then(nw.lit(1)).otherwise(nw.lit(0)).alias("begins")))
    events = data.engine.keep(events.with_columns(nw.col("begins").cum_sum().over("person_id", order_by=order).alias("number")))
    leads = events.filter(nw.col("is_lead") == 1)
    # Spark has no first value of a window: the least name at the least instant is the same.
    leads = leads.with_columns(nw.col("at_seconds").min().over("person_id", "number").alias("first_seconds"))
    name = nw.when(nw.col("at_seconds") == nw.col("first_seconds")).then(nw.col("lead_id"))
    first = leads.with_columns(name.alias("named")).with_columns(nw.col("named").min().over("person_id", "number").alias("other"))
    linked = data.engine.keep(first).filter(nw.col("other") != nw.col("lead_id"))
    return collect(linked.select(nw.col("lead_id").alias("lead"), "other"), ["lead"])
