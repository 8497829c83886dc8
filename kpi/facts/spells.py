"""One row per state that an opportunity was in, from when until when: what snapshots at many dates and the account between two rest on."""

from __future__ import annotations

from datetime import datetime

import narwhals.stable.v2 as nw
import pandas as pd

from kpi.facts.clock import once
from kpi.facts.opportunities import changes
from kpi.schema import BLANK

ALWAYS = datetime(1900, 1, 1)  # when a state began that nobody knows the beginning of
_STATE = ("status", "stage", "owner", "amount", "expected_close_on")


def spells(data, as_of: pd.Timestamp) -> nw.LazyFrame:
    """List the states of every opportunity in order; at each instant they tell what `facts.opportunities` tells of it.

    Parameters
    ----------
    data : Dataset
        Uses `opportunities` and, where it exists, `opportunity_history`.
    as_of : Timestamp
        Naive UTC; later changes are left out.

    Returns
    -------
    LazyFrame
        One row per state: ``opportunity_id``, ``from_at`` (`ALWAYS` if unknown), ``until_at`` (missing while it lasts; the state holds at t where
        from_at < t <= until_at), ``deleted_at`` (only on the last state before a deletion), the state (``status``, ``stage``, ``owner``, ``amount``
        in its own currency, ``expected_close_on``), and ``status_before``, ``stage_before``,
        ``owner_before``, ``amount_before``, ``expected_before``
        (missing, or blank, on the first), ``currency``, ``source``, ``product``. Not stored: each use computes it again.
    """
    deals = data.table("opportunities").filter(nw.col("created_at").is_null() | (nw.col("created_at") < as_of))
    about = deals.select("opportunity_id", "created_at", "deleted_at", "currency", "source", "product")
    told = changes(data, as_of).select("opportunity_id", nw.col("changed_at").alias("from_at"), "seq", *_STATE)
    told = told.with_columns(nw.col("expected_close_on").cast(nw.Datetime("us")))
    frame = nw.concat([told, _unrecorded(data, as_of)]).join(about, on="opportunity_id", how="inner")
    # A change dated before the creation is known from the creation on; what follows a deletion is not.
    early = nw.col("from_at") < nw.col("created_at")
    frame = frame.with_columns(nw.when(early).then(nw.col("created_at")).otherwise(nw.col("from_at")).alias("at"))
    frame = frame.filter(nw.col("deleted_at").is_null() | (nw.col("at") < nw.col("deleted_at")))
    order = {"order_by": ["from_at", "seq"]}
    deleted = nw.when(nw.col("deleted_at") < as_of).then(nw.col("deleted_at"))
    frame = frame.with_columns(
        nw.col("at").shift(-1).over("opportunity_id", **order).alias("next_at"),
        *[
            nw.col(name).shift(1).over("opportunity_id", **order).alias(f"{name.removesuffix('_close_on')}_before")
            for name in ("status", "stage", "owner", "amount", "expected_close_on")
        ],
    )
    frame = frame.with_columns(nw.when(nw.col("next_at").is_null()).then(deleted).alias("deleted_at"))
    until = nw.when(nw.col("next_at").is_null()).then(nw.col("deleted_at")).otherwise(nw.col("next_at"))
    frame = frame.with_columns(
        until.alias("until_at"), *[nw.col(name).fill_null(nw.lit(BLANK)) for name in ("stage", "owner", "owner_before", "source", "product")]
    )
    before = ("status_before", "stage_before", "owner_before", "amount_before", "expected_before")
    frame = frame.drop("from_at").rename({"at": "from_at"})
    return frame.select("opportunity_id", "from_at", "until_at", "deleted_at", *_STATE, *before, "currency", "source", "product")


@once
def _unrecorded(data, as_of: pd.Timestamp) -> nw.LazyFrame:
    """The time before the first recorded change: open, with what the record says. Few rows, so they are stored."""
    deals = data.table("opportunities").filter(nw.col("created_at").is_null() | (nw.col("created_at") < as_of))
    first = changes(data, as_of).group_by("opportunity_id").agg(first_at=nw.col("changed_at").min())
    frame = deals.join(first, on="opportunity_id", how="left")
    if data.has("opportunity_history"):
        recorded = data.table("opportunity_history").select(nw.col("opportunity_id"), nw.lit(True).alias("recorded")).unique()
        frame = frame.join(recorded, on="opportunity_id", how="left").with_columns(nw.col("recorded").fill_null(nw.lit(False)))
    else:
        frame = frame.with_columns(nw.lit(False).alias("recorded"))
    created, is_open = nw.col("created_at"), nw.col("status") == "open"
    # Closed at a date that nobody knows: not open then. Without a creation date a deal is known from its first change on.
    nobody_knows = ~nw.col("recorded") & nw.col("closed_at").is_null() & ~is_open
    frame = frame.filter(~nobody_knows, ~(created.is_null() & nw.col("recorded")))
    frame = frame.filter(nw.col("first_at").is_null() | created.is_null() | (created < nw.col("first_at")))
    return frame.select(
        "opportunity_id",
        created.fill_null(nw.lit(ALWAYS)).alias("from_at"),
        nw.lit(-1).cast(nw.Int64).alias("seq"),
        nw.lit("open").alias("status"),
        nw.when(is_open).then(nw.col("stage")).alias("stage"),
        "owner",
        "amount",
        nw.lit(None).cast(nw.Datetime("us")).alias("expected_close_on"),
    )
