"""One row per state that an opportunity was in, from when until when: what snapshots at many dates and the account between two rest on."""

from __future__ import annotations

from datetime import datetime

import narwhals.stable.v2 as nw
import pandas as pd

from kpi.facts.clock import once
from kpi.facts.opportunities import bare, changes
from kpi.schema import BLANK

ALWAYS = datetime(1900, 1, 1)  # when a state began that nobody knows the beginning of
_STATE = ("status", "stage", "owner", "amount", "expected_close_on")
_BEFORE = ("status_before", "stage_before", "owner_before", "amount_before", "expected_before")
_SPELL = ("opportunity_id", "from_at", "until_at", "deleted_at", *_STATE, *_BEFORE, "currency", "source", "product")


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
        (missing, or blank, on the first), ``currency``, ``source``, ``product``.
    """
    return nw.concat([_told(data, as_of).select(*_SPELL), _untold(data, as_of)])


@once
def _told(data, as_of: pd.Timestamp) -> nw.LazyFrame:
    """The states that changes tell; the first has ``begun_at`` where an untold time lies before it. Windows cost most, so they see narrow rows."""
    order, pairs = {"order_by": ["changed_at", "seq"]}, list(zip(_STATE, _BEFORE, strict=True))
    rows = changes(data, as_of).with_columns(nw.col("expected_close_on").cast(nw.Datetime("us")))
    rows = rows.with_columns(
        nw.col("changed_at").shift(-1).over("opportunity_id", **order).alias("next_at"),
        *[nw.col(name).shift(1).over("opportunity_id", **order).alias(before) for name, before in pairs],
    ).join(_about(data, as_of), on="opportunity_id", how="inner")
    made, deleted, following = nw.col("created_at"), nw.col("gone_at"), nw.col("next_at")
    untold = nw.col("status_before").is_null() & ((made.is_null() & nw.col("is_bare")) | (made < nw.col("changed_at")))
    rows = rows.with_columns(
        nw.when(untold).then(made.fill_null(nw.lit(ALWAYS))).alias("begun_at"),
        *[nw.when(untold).then(nw.col(f"{name}_untold")).otherwise(nw.col(before)).alias(before) for name, before in pairs],
        # A change dated before the creation is known from the creation on; what follows a deletion is not.
        *[nw.when(at < made).then(made).otherwise(at).alias(name) for name, at in (("from_at", nw.col("changed_at")), ("next_at", following))],
    ).filter(deleted.is_null() | (nw.col("from_at") < deleted))
    is_last = following.is_null() | (following >= deleted)
    rows = rows.with_columns(
        nw.when(is_last).then(deleted).alias("deleted_at"),
        nw.when(is_last).then(deleted).otherwise(following).alias("until_at"),
        *[nw.col(name).fill_null(nw.lit(BLANK)) for name in ("stage", "owner", "owner_before")],
    )
    return rows.select(*_SPELL, "begun_at")


@once
def _untold(data, as_of: pd.Timestamp) -> nw.LazyFrame:
    """The time before the first state that is told, or all the time where none is: open, with what the record says. Few rows."""
    told, made, deleted = _told(data, as_of), nw.col("created_at"), nw.col("gone_at")
    before = told.filter(~nw.col("begun_at").is_null()).select(
        *("opportunity_id", nw.col("begun_at").alias("from_at"), nw.col("from_at").alias("until_at")),
        nw.lit(None).cast(nw.Datetime("us")).alias("deleted_at"),
        *[nw.col(name).alias(state) for state, name in zip(_STATE, _BEFORE, strict=True)],
        *("currency", "source", "product"),
    )
    never = _about(data, as_of).join(told.select("opportunity_id"), on="opportunity_id", how="anti")
    never = never.filter((nw.col("is_bare") & ~nw.col("is_undated")) | (~nw.col("is_bare") & ~made.is_null()))
    never = never.with_columns(made.fill_null(nw.lit(ALWAYS)).alias("from_at")).filter(deleted.is_null() | (nw.col("from_at") < deleted))
    never = never.select(
        *("opportunity_id", "from_at", deleted.alias("until_at"), deleted.alias("deleted_at")),
        *[nw.col(f"{name}_untold").alias(name) for name in _STATE],
        *("currency", "source", "product"),
    )
    rows = nw.concat([before, never]).with_columns(
        *[nw.col(name).fill_null(nw.lit(BLANK)) for name in ("stage", "owner")],
        *[nw.lit(None).cast(nw.String).alias(name) for name in ("status_before", "stage_before")],
        nw.lit(BLANK).alias("owner_before"),
        nw.lit(None).cast(nw.Float64).alias("amount_before"),
        nw.lit(None).cast(nw.Datetime("us")).alias("expected_before"),
    )
    return rows.select(*_SPELL)


def _about(data, as_of: pd.Timestamp) -> nw.LazyFrame:
    """What goes for all states of a deal, and its state while none is told."""
    deals = data.table("opportunities").filter(nw.col("created_at").is_null() | (nw.col("created_at") < as_of))
    if data.has("opportunity_history"):
        unrecorded = bare(data).select("opportunity_id", nw.lit(True).alias("is_bare"))
        deals = deals.join(unrecorded, on="opportunity_id", how="left").with_columns(nw.col("is_bare").fill_null(nw.lit(False)))
    else:
        deals = deals.with_columns(nw.lit(True).alias("is_bare"))
    is_open = nw.col("status") == "open"
    return deals.select(
        *("opportunity_id", "created_at", "currency", "is_bare"),
        nw.when(nw.col("deleted_at") < as_of).then(nw.col("deleted_at")).alias("gone_at"),
        (~is_open & nw.col("closed_at").is_null()).alias("is_undated"),  # closed at a date that nobody knows: not open then
        *[nw.col(name).fill_null(nw.lit(BLANK)) for name in ("source", "product")],
        nw.lit("open").alias("status_untold"),
        nw.when(is_open).then(nw.col("stage")).alias("stage_untold"),
        nw.col("owner").alias("owner_untold"),
        nw.col("amount").alias("amount_untold"),
        nw.lit(None).cast(nw.Datetime("us")).alias("expected_close_on_untold"),
    )
