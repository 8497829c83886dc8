"""One row per lead: when it asked, when a person first answered, what became of it."""

from __future__ import annotations

import narwhals.stable.v2 as nw
import pandas as pd

from kpi.errors import MissingTable
from kpi.facts.clock import DAY_SECONDS, clocked, last_day, numbered, once
from kpi.schema import BLANK

TOUCHES = ("call", "email", "meeting", "message")


@once
def leads(data, as_of: pd.Timestamp) -> nw.LazyFrame:
    """State each lead as known at an instant.

    Parameters
    ----------
    data : Dataset
        Uses `leads`; where they exist `activities`, `owners`, `opportunities`, `customers`.
    as_of : Timestamp
        Naive UTC; only what happened strictly before counts.

    Returns
    -------
    LazyFrame
        One row per lead received before `as_of`, neither deleted nor merged into another by then: ``lead_id``, ``source``, ``owner``, ``country``,
        ``team``, ``created_at`` and its ``created_`` seconds, business, day, month, quarter, weekday, hour, open; ``outcome`` of the wait (answered,
        disqualified, waiting) with ``delay`` and ``business_delay`` in seconds (open waits last until `as_of`); ``touched_before`` (a touch within
        the 24 hours before the inquiry); ``end_day`` and ``end`` of the way to an opportunity (opportunity, disqualified, open); ``won_day``.

    Raises
    ------
    MissingTable
        If there are no leads.
    """
    frame = data.table("leads").filter(nw.col("created_at") < as_of)
    # A comparison with a missing date is unknown, and unknown would drop the row.
    frame = frame.filter(nw.col("merged_into").is_null(), nw.col("deleted_at").is_null() | (nw.col("deleted_at") >= as_of))
    frame = frame.with_columns(
        nw.when(nw.col("disqualified_at") < as_of).then(nw.col("disqualified_at")).alias("disqualified_at"),
        *[nw.col(name).fill_null(nw.lit(BLANK)) for name in ("source", "owner", "country")],
    )
    frame = frame.join(_touches(data, frame, as_of), on="lead_id", how="left")
    frame = frame.join(_first_opportunity(data, frame, as_of), on="lead_id", how="left")
    frame = clocked(data, frame, "created_at", "seconds", "business", "day", "month", "weekday", "hour", "open")
    frame = _with_team(data, frame)
    for column in ("touched_at", "early_at", "disqualified_at"):
        frame = clocked(data, frame, column, "seconds", "business", "day")
    frame = clocked(data, frame, "opportunity_at", "day")
    frame = clocked(data, frame, "won_at", "day")
    return _outcomes(frame, *_instant_values(data, as_of), last_day(data, as_of))


def _with_team(data, frame: nw.LazyFrame) -> nw.LazyFrame:
    if not data.has("owners"):
        return frame.with_columns(nw.lit(BLANK).alias("team"))
    """The team its owner was in when the lead came in."""
    members = numbered(data, numbered(data, data.table("owners"), "from_on"), "to_on")
    day, begins, ends = nw.col("created_day"), nw.col("from_day"), nw.col("to_day")
    served = frame.select("lead_id", "owner", "created_day").join(members.select("owner", "team", "from_day", "to_day"), on="owner", how="inner")
    served = served.filter(begins.is_null() | (begins <= day), ends.is_null() | (day < ends))
    teams = served.group_by("lead_id").agg(nw.col("team").min())
    return frame.join(teams, on="lead_id", how="left").with_columns(nw.col("team").fill_null(nw.lit(BLANK)))


def _touches(data, frame: nw.LazyFrame, as_of: pd.Timestamp) -> nw.LazyFrame:
    """First outbound human activity of each lead from its inquiry on, and the last one before it."""
    if not data.has("activities"):
        raise MissingTable("activities")
    touch = data.table("activities", "lead_id").filter(
        nw.col("at") < as_of, nw.col("direction") == "outbound", ~nw.col("automated"), nw.col("done"), nw.col("kind").is_in(TOUCHES)
    )
    touch = touch.select("lead_id", "at").join(frame.select("lead_id", "created_at"), on="lead_id", how="inner")
    since = nw.col("at") >= nw.col("created_at")
    stamped = touch.with_columns(nw.when(since).then(nw.col("at")).alias("touched_at"), nw.when(~since).then(nw.col("at")).alias("early_at"))
    return stamped.group_by("lead_id").agg(nw.col("touched_at").min(), nw.col("early_at").max())


def _first_opportunity(data, frame: nw.LazyFrame, as_of: pd.Timestamp) -> nw.LazyFrame:
    """First opportunity and first won deal that name the lead, or that the lead names."""
    if not data.has("opportunities"):
        nothing = nw.lit(None).cast(nw.Datetime("us"))
        return frame.select("lead_id", nothing.alias("opportunity_at"), nothing.alias("won_at"))
    from kpi.facts.opportunities import opportunities

    deals = opportunities(data, as_of).select("opportunity_id", "lead_id", "created_at", "closed_at", "status")
    named = frame.select("lead_id", "opportunity_id").filter(~nw.col("opportunity_id").is_null())
    linked = named.join(deals.drop("lead_id"), on="opportunity_id", how="inner")
    columns = ("lead_id", "created_at", "closed_at", "status")
    both = nw.concat([deals.filter(~nw.col("lead_id").is_null()).select(*columns), linked.select(*columns)])
    won = nw.when(nw.col("status") == "won").then(nw.col("closed_at"))
    both = both.with_columns(won.alias("won_at"), nw.col("created_at").alias("opportunity_at"))
    return both.group_by("lead_id").agg(nw.col("opportunity_at").min(), nw.col("won_at").min())


def _instant_values(data, as_of: pd.Timestamp) -> tuple[int, int]:
    from kpi.engine import collect

    row = collect(clocked(data, data.engine.put(pd.DataFrame({"at": [as_of]})), "at", "seconds", "business")).iloc[0]
    return int(row["at_seconds"]), int(row["at_business"])


def _outcomes(frame: nw.LazyFrame, now_seconds: int, now_business: int, last: int) -> nw.LazyFrame:
    touched, declined = nw.col("touched_seconds"), nw.col("disqualified_seconds")
    answered = ~touched.is_null() & (declined.is_null() | (touched <= declined))
    ends = nw.when(answered).then(touched).when(~declined.is_null()).then(declined).otherwise(nw.lit(now_seconds))
    ends_business = nw.when(answered).then(nw.col("touched_business")).when(~declined.is_null()).then(nw.col("disqualified_business"))
    converted = nw.col("opportunity_day")
    gone = ~nw.col("disqualified_day").is_null() & (converted.is_null() | (nw.col("disqualified_day") < converted))
    frame = frame.with_columns(
        nw.when(answered)
        .then(nw.lit("answered"))
        .when(~declined.is_null())
        .then(nw.lit("disqualified"))
        .otherwise(nw.lit("waiting"))
        .alias("outcome"),
        (ends - nw.col("created_seconds")).alias("delay"),
        (ends_business.otherwise(nw.lit(now_business)) - nw.col("created_business")).alias("business_delay"),
        (~nw.col("early_seconds").is_null() & (nw.col("created_seconds") - nw.col("early_seconds") <= DAY_SECONDS)).alias("touched_before"),
        nw.when(gone).then(nw.lit("disqualified")).when(~converted.is_null()).then(nw.lit("opportunity")).otherwise(nw.lit("open")).alias("end"),
        nw.when(gone).then(nw.col("disqualified_day")).when(~converted.is_null()).then(converted).otherwise(nw.lit(last)).alias("end_day"),
    )
    kept = (
        "lead_id",
        "source",
        "owner",
        "country",
        "team",
        "created_at",
        "outcome",
        "delay",
        "business_delay",
        "touched_before",
        "end",
        "end_day",
        "won_day",
    )
    clock = [f"created_{field}" for field in ("seconds", "business", "day", "month", "quarter", "weekday", "hour", "open")]
    frame = frame.with_columns((nw.col("created_month") // 3).cast(nw.Int64).alias("created_quarter"))
    return frame.select(*kept, *clock)
