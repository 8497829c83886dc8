"""One row per state that an opportunity was in, from when until when: what snapshots at many dates and the account between two rest on."""

from __future__ import annotations

from datetime import datetime

import narwhals.stable.v2 as nw
import pandas as pd

from kpi.dataset import Dataset
from kpi.facts.clock import once
from kpi.facts.opportunities import inferred
from kpi.schema import BLANK

ALWAYS = datetime(1900, 1, 1)  # when a state began that nobody knows the beginning of
_STATE = ("status", "stage", "owner", "amount", "expected_close_on")
_BEFORE = ("status_before", "stage_before", "owner_before", "amount_before", "expected_before")
_ORDER = ["changed_at", "seq"]
_SPAN = ("opportunity_id", "from_at", "until_at", "deleted_at", "currency")
_SPELL = ("opportunity_id", "from_at", "until_at", "deleted_at", *_STATE, "currency", *_ORDER)


def spells(data: Dataset, as_of: pd.Timestamp) -> nw.LazyFrame:
    """List the states of every opportunity; at each instant they tell what `facts.opportunities` tells of it."""
    return _named(_states(data, as_of), "stage", "owner")


def turns(data: Dataset, as_of: pd.Timestamp, since: pd.Timestamp) -> nw.LazyFrame:
    """List the states from an instant on, each with the one before."""
    lasting = nw.when(nw.col("until_at").is_null()).then((nw.col("status") == "open") | (nw.col("from_at") >= since))
    rows = _states(data, as_of).filter(lasting.otherwise(nw.col("until_at") >= since))
    befores = zip(_STATE, _BEFORE, strict=True)
    rows = rows.with_columns(*[nw.col(name).shift(1).over("opportunity_id", order_by=_ORDER).alias(before) for name, before in befores])
    return _named(rows, "stage", "owner", "owner_before")


def _named(rows: nw.LazyFrame, *columns: str) -> nw.LazyFrame:
    return rows.with_columns(*[nw.col(name).fill_null(nw.lit(BLANK)) for name in columns])


def _states(data: Dataset, as_of: pd.Timestamp) -> nw.LazyFrame:
    parts = [_recorded(data, as_of)] if data.has("opportunity_history") else []
    return nw.concat([part.select(*_SPELL) for part in (*parts, _beside(data, as_of))])


@once
def _recorded(data: Dataset, as_of: pd.Timestamp) -> nw.LazyFrame:
    """The states that the history tells."""
    return _told(data.table("opportunity_history").filter(nw.col("changed_at") < as_of), _about(data, as_of), is_bare=False)


@once
def _beside(data: Dataset, as_of: pd.Timestamp) -> nw.LazyFrame:
    """What the history does not tell: the time before its first state, and all states of deals without any. Few rows, where there is one."""
    about, keep, parts = _about(data, as_of), data.engine.keep, []
    bare = about
    if data.has("opportunity_history"):
        parts.append(_before(_recorded(data, as_of), about))
        told = _recorded(data, as_of).filter(nw.col("is_first")).select("opportunity_id")
        absent = keep(about.join(told, on="opportunity_id", how="anti"))
        later = data.table("opportunity_history").select("opportunity_id").join(absent.select("opportunity_id"), on="opportunity_id", how="semi")
        absent = absent.join(later.unique().with_columns(nw.lit(False).alias("is_bare")), on="opportunity_id", how="left")
        absent, is_bare = keep(absent), nw.col("is_bare").is_null()
        parts.append(_always(absent.filter(~is_bare, ~nw.col("created_at").is_null())))
        bare = absent.filter(is_bare)
    deals = data.table("opportunities").join(bare.select("opportunity_id"), on="opportunity_id", how="semi")
    told = keep(_told(inferred(deals).filter(nw.col("changed_at") < as_of), bare, is_bare=True))
    never = bare.filter(~nw.col("is_undated")).join(told.select("opportunity_id"), on="opportunity_id", how="anti")
    record = data.table("opportunities").select("opportunity_id", "status", "stage", "owner", "amount")
    stage = nw.when(nw.col("status") == "open").then(nw.col("stage"))  # that of today says nothing about a deal closed since
    untold = nw.concat([*parts, _before(told, bare), _always(never)]).join(record, on="opportunity_id", how="inner")
    untold = untold.with_columns(
        nw.lit("open").alias("status"),
        stage.alias("stage"),
        nw.lit(None).cast(nw.Datetime("us")).alias("expected_close_on"),
        nw.col("from_at").alias("changed_at"),
        nw.lit(-1).cast(nw.Int64).alias("seq"),
    )
    return nw.concat([told.select(*_SPELL), untold.select(*_SPELL)])


def _told(rows: nw.LazyFrame, about: nw.LazyFrame, *, is_bare: bool) -> nw.LazyFrame:
    """The states that changes tell; the first has ``begun_at`` where an untold time lies before it."""
    rows = rows.with_columns(nw.col("expected_close_on").cast(nw.Datetime("us")))
    at = nw.col("changed_at")
    rows = rows.with_columns(*[at.shift(by).over("opportunity_id", order_by=_ORDER).alias(name) for name, by in (("last_at", 1), ("next_at", -1))])
    rows = rows.join(about, on="opportunity_id", how="inner")
    made, deleted, following, is_first = nw.col("created_at"), nw.col("gone_at"), nw.col("next_at"), nw.col("last_at").is_null()
    untold = is_first & (made.is_null() | (made < at)) if is_bare else is_first & (made < at)
    rows = rows.with_columns(
        nw.when(untold).then(made.fill_null(nw.lit(ALWAYS))).alias("begun_at"),
        is_first.alias("is_first"),
        # A change dated before the creation is known from the creation on; what follows a deletion is not.
        nw.when(at < made).then(made).otherwise(at).alias("from_at"),
        nw.when(following < made).then(made).otherwise(following).alias("next_at"),
    ).filter(deleted.is_null() | (nw.col("from_at") < deleted))
    is_last = following.is_null() | (following >= deleted)
    rows = rows.with_columns(
        nw.when(is_last).then(deleted).alias("deleted_at"),
        nw.when(is_last).then(deleted).otherwise(following).alias("until_at"),
    )
    return rows.select(*_SPELL, "begun_at", "is_first")


def _before(told: nw.LazyFrame, about: nw.LazyFrame) -> nw.LazyFrame:
    """The time before the first state that is told."""
    begun = told.filter(~nw.col("begun_at").is_null()).select("opportunity_id", "begun_at", nw.col("from_at").alias("until_at"))
    rows = about.join(begun, on="opportunity_id", how="inner")
    return rows.with_columns(nw.col("begun_at").alias("from_at"), nw.lit(None).cast(nw.Datetime("us")).alias("deleted_at")).select(*_SPAN)


def _always(deals: nw.LazyFrame) -> nw.LazyFrame:
    """All the time of deals of which no state is told."""
    deleted = nw.col("gone_at")
    rows = deals.with_columns(nw.col("created_at").fill_null(nw.lit(ALWAYS)).alias("from_at"), deleted.alias("until_at"), deleted.alias("deleted_at"))
    return rows.filter(deleted.is_null() | (nw.col("from_at") < deleted)).select(*_SPAN)


def _about(data: Dataset, as_of: pd.Timestamp) -> nw.LazyFrame:
    """What goes for all states of a deal."""
    deals = data.table("opportunities").filter(nw.col("created_at").is_null() | (nw.col("created_at") < as_of))
    return deals.select(
        *("opportunity_id", "created_at", "currency"),
        nw.when(nw.col("deleted_at") < as_of).then(nw.col("deleted_at")).alias("gone_at"),
        # Closed at a date that nobody knows: not open then.
        ((nw.col("status") != "open") & nw.col("closed_at").is_null()).alias("is_undated"),
    )
