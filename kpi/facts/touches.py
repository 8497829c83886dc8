"""What was done about each inquiry: first attempt, first contact, first appointment, how many attempts, and the interest it had shown then."""

from __future__ import annotations

import narwhals.stable.v2 as nw
import pandas as pd

from kpi.dataset import Dataset
from kpi.facts.clock import DAY_SECONDS, clocked

TOUCHES = ("call", "email", "meeting", "message")
CONTACTS = ("connected", "replied", "held", "appointment")
PERSISTENCE_DAYS = 30
COLUMNS = ("touched_at", "early_at", "contacted_at", "appointed_at", "alert_touched_at")


def touches(data: Dataset, inquiries: nw.LazyFrame, links: nw.LazyFrame, as_of: pd.Timestamp) -> nw.LazyFrame:
    """Sum up the activities of each inquiry."""
    done = data.table("activities", "lead_id").filter(nw.col("at") < as_of, ~nw.col("automated"), nw.col("done"), nw.col("kind").is_in(TOUCHES))
    done = done.select("lead_id", "at", "kind", "direction", "outcome").join(links, on="lead_id", how="inner").drop("lead_id")
    columns = ("lead_id", "created_at", "created_seconds", "created_day", "alerted_at")
    done = done.join(inquiries.select(*columns), left_on="episode", right_on="lead_id", how="inner").rename({"episode": "lead_id"})
    if data.precision.get(("activities", "at")) == "day":
        # A date alone is midnight, before the inquiry of that day: done at once then.
        done = clocked(data, done, "at", "day")
        same = (nw.col("at_day") == nw.col("created_day")) & (nw.col("at") < nw.col("created_at"))
        done = done.with_columns(nw.when(same).then(nw.col("created_at")).otherwise(nw.col("at")).alias("at")).drop("at_day")
    done = data.engine.keep(clocked(data, done, "at", "seconds"))
    out, since = nw.col("direction") == "outbound", nw.col("at") >= nw.col("created_at")
    in_time = nw.col("at_seconds") - nw.col("created_seconds") <= PERSISTENCE_DAYS * DAY_SECONDS
    named = {
        "touched_at": out & since,
        "early_at": out & ~since,
        "connected_at": since & nw.col("outcome").is_in(CONTACTS),
        "appointed_at": since & ((nw.col("outcome") == "appointment") | (nw.col("kind") == "meeting")),
        "alert_touched_at": out & (nw.col("at") >= nw.col("alerted_at")),
    }
    stamped = done.with_columns(
        *[nw.when(condition).then(nw.col("at")).alias(name) for name, condition in named.items()],
        nw.when(out & since & in_time).then(nw.lit(1)).otherwise(nw.lit(0)).alias("attempt"),
    )
    firsts = [nw.col(name).min() for name in named if name != "early_at"]
    summed = data.engine.keep(stamped.group_by("lead_id").agg(*firsts, nw.col("early_at").max(), nw.col("attempt").sum().alias("attempts")))
    replies = done.filter(nw.col("direction") == "inbound").join(summed.select("lead_id", "touched_at"), on="lead_id", how="inner")
    replies = replies.filter(nw.col("at") >= nw.col("touched_at")).group_by("lead_id").agg(nw.col("at").min().alias("replied_at"))
    summed = summed.join(replies, on="lead_id", how="left")
    connected, replied = nw.col("connected_at"), nw.col("replied_at")
    contacted = nw.when(connected.is_null() | (replied < connected)).then(replied).otherwise(connected)
    # `replied < connected` is unknown when there was no reply, and unknown is not true: the connected one stands.
    return summed.with_columns(contacted.alias("contacted_at")).select("lead_id", *COLUMNS, "attempts")


def untouched(inquiries: nw.LazyFrame) -> nw.LazyFrame:
    """Stand in where the data set has no activities."""
    nothing = nw.lit(None).cast(nw.Datetime("us"))
    return inquiries.select("lead_id", *[nothing.alias(name) for name in COLUMNS], nw.lit(None).cast(nw.Int64).alias("attempts"))


def scored(data: Dataset, scores: nw.LazyFrame, leads: nw.LazyFrame) -> nw.LazyFrame:
    """Relate each lead's score at its touch to its peak."""
    rows = data.engine.keep(clocked(data, scores, "at", "seconds").join(leads, on="lead_id", how="inner"))
    peak = rows.group_by("lead_id").agg(nw.col("score").max().alias("peak")).filter(nw.col("peak") > 0)
    by_then = rows.filter(nw.col("at_seconds") <= nw.col("alert_touched_seconds"))
    last = by_then.group_by("lead_id").agg(nw.col("at_seconds").max().alias("last"))
    by_then = (
        by_then.join(last, on="lead_id", how="inner").filter(nw.col("at_seconds") == nw.col("last")).group_by("lead_id").agg(nw.col("score").max())
    )
    return peak.join(by_then, on="lead_id", how="left").select("lead_id", (nw.col("score") / nw.col("peak")).alias("ratio"))
