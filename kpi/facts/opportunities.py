"""Opportunities by their states: what each was, from when until when, derived once from the history of changes; the state at a date is one of them.

Of a deal without any history the changes are inferred from its record. Before its first change a deal that was created earlier was open; one without
a date of creation is there from the first sign of it on: its first change, else its close, else the export.
"""

from __future__ import annotations

import narwhals.stable.v2 as nw
import pandas as pd

from kpi.dataset import Dataset
from kpi.dataset.segments import members, of_part, owned, whole
from kpi.facts.clock import clocked, last_day, once, quarter_of, stored
from kpi.facts.money import in_company_currency
from kpi.schema import BLANK

_ORDER = ["changed_at", "seq"]
_STATE = ("status", "stage", "owner", "amount", "expected_close_on")
_BEFORE = ("status_before", "stage_before", "owner_before", "amount_before", "expected_before")
_CHANGE = ("opportunity_id", *_ORDER, *_STATE, "origin")
_COLUMNS = ("opportunity_id", "from_at", "until_at", "deleted_at", *_STATE, "currency", *_ORDER, "origin")


def states(data: Dataset, as_of: pd.Timestamp) -> nw.LazyFrame:
    """List the states of every opportunity known at an instant.

    ``from_at``, ``until_at`` (missing while it lasts; the state holds at t where from_at < t <= until_at), ``deleted_at`` (on
    the last state before a deletion), ``status``, ``stage``, ``owner``, ``amount`` in its own ``currency``, ``expected_close_on``; ``changed_at``,
    ``seq`` put them in order; ``origin`` as in the history, else inferred.
    """
    return _named(_held(data, as_of).filter(nw.col("is_own")), "stage", "owner", "source", "product")


def changes(data: Dataset, as_of: pd.Timestamp, since: pd.Timestamp) -> nw.LazyFrame:
    """List the states from an instant on, each with the one before: ``status_before`` and so on, not to be read where ``from_at`` is earlier.

    States that ended before `since`, and deals closed before for good, are left out. ``is_own``, ``was_own``: in the part that the data set is.
    """
    lasting = nw.when(nw.col("until_at").is_null()).then((nw.col("status") == "open") | (nw.col("from_at") >= since))
    rows = _held(data, as_of).filter(lasting.otherwise(nw.col("until_at") >= since))
    befores = zip((*_STATE, "is_own"), (*_BEFORE, "was_own"), strict=True)
    rows = rows.with_columns(*[nw.col(name).shift(1).over("opportunity_id", order_by=_ORDER).alias(before) for name, before in befores])
    return _named(rows, "stage", "owner", "owner_before", "source", "product")


def _held(data: Dataset, as_of: pd.Timestamp) -> nw.LazyFrame:
    """The states of deals that are in a part at some time, with whether they are then (``is_own``); another team of their owner's begins a state."""
    rows, deals = recorded_states(whole(data), as_of), data.table("opportunities").select("opportunity_id", "source", "product")
    rows = (_divided(data, rows, as_of) if "team" in data.restricted_to else rows).join(deals, on="opportunity_id", how="inner")
    return owned(data, rows, "owner", nw.col("from_at"))


def _divided(data: Dataset, rows: nw.LazyFrame, as_of: pd.Timestamp) -> nw.LazyFrame:
    turned, until = nw.col("turned_at"), nw.col("until_at")
    turns = nw.concat([members(data).select("member", nw.col(name).alias("turned_at")) for name in ("since", "until")]).filter(turned < as_of)
    parts = rows.join(turns.unique(), left_on="owner", right_on="member", how="inner")
    parts = parts.filter(turned > nw.col("from_at"), until.is_null() | (turned < until))
    rows = nw.concat([rows, parts.with_columns(turned.alias("from_at"), turned.alias("changed_at")).select(*_COLUMNS)])
    rows = data.engine.keep(rows.with_columns(nw.col("from_at").shift(-1).over("opportunity_id", order_by=_ORDER).alias("next_at")))
    is_last = nw.when(nw.col("next_at").is_null())
    return rows.with_columns(nw.coalesce("next_at", "until_at").alias("until_at"), is_last.then(nw.col("deleted_at")).alias("deleted_at"))


def of_part_then(data: Dataset, rows: nw.LazyFrame, owner: str, at: nw.Expr) -> nw.LazyFrame:
    """Keep the rows of deals that were in a part at an instant, by who owned them then."""
    return of_part(data, rows.join(data.table("opportunities").select("opportunity_id"), on="opportunity_id", how="semi"), owner, at)


def opportunities(data: Dataset, as_of: pd.Timestamp, owner: str = "owner") -> nw.LazyFrame:
    """State each opportunity as known at an instant: created before it, or without that date first seen before it, and not deleted by then.

    ``opportunity_id``, ``lead_id``, ``customer_id``, ``source``, ``product``, ``owner``, ``stage``, ``status``, ``amount`` (company currency; missing
    without a rate), ``currency``, ``expected_close_on``, ``lost_reason``; ``created_`` and ``closed_`` (missing while open): at, day, month, quarter,
    and the owner then (``closed_owner``: now, while it is open). Of a part those that are in it by one of these owners.
    """
    rows, now = _opportunities(whole(data), as_of), nw.lit((as_of - pd.Timedelta(microseconds=1)).to_pydatetime())
    at = {"owner": now, "created_owner": nw.col("created_at"), "closed_owner": nw.col("closed_at").fill_null(now)}
    return of_part_then(data, rows, owner, at[owner])


@once
def _opportunities(data: Dataset, as_of: pd.Timestamp) -> nw.LazyFrame:
    columns, rows = ("opportunity_id", "closed_at", *_STATE, "closed_owner"), recorded_states(data, as_of)
    # Closed when it took the status it has now: a deal lost, reopened and lost again was open in between.
    before = nw.col("status").shift(1).over("opportunity_id", order_by=_ORDER)
    turned = rows.with_columns(before.alias("before")).filter(nw.col("before").is_null() | (nw.col("before") != nw.col("status")))
    turned = turned.with_columns(nw.col("changed_at").shift(-1).over("opportunity_id", order_by=_ORDER).alias("next_at"))
    turned_owner = nw.when(nw.col("next_at").is_null()).then(nw.col("owner")).max()
    turned = turned.group_by("opportunity_id").agg(turned_at=nw.col("changed_at").max(), turned_owner=turned_owner)
    lasting = rows.filter(nw.col("until_at").is_null()).join(turned, on="opportunity_id", how="left")
    is_closed = nw.when(nw.col("status") != "open")
    closed_owner = is_closed.then(nw.col("turned_owner")).otherwise(nw.col("owner"))
    lasting = lasting.with_columns(is_closed.then(nw.col("turned_at")).alias("closed_at"), closed_owner.alias("closed_owner"))
    kept = ("lead_id", "customer_id", "source", "product", "currency", "created_at", "lost_reason")
    frame = nw.concat([lasting.select(*columns), _undated(data, as_of).select(*columns)])
    frame = frame.join(data.table("opportunities").select("opportunity_id", *kept), on="opportunity_id", how="inner")
    created = _known(data, as_of).select("opportunity_id", nw.col("first_owner").alias("created_owner"))
    frame = frame.join(created, on="opportunity_id", how="left")
    frame = _named(frame, "owner", "created_owner", "closed_owner", "stage", "source", "product")
    frame = clocked(data, clocked(data, frame, "created_at", "day", "month"), "closed_at", "day", "month")
    dated = nw.when(nw.col("status") == "open").then(nw.lit(last_day(data, as_of))).otherwise(nw.col("closed_day"))
    frame = in_company_currency(data, frame, "amount", dated)
    return frame.with_columns(*[quarter_of(data, f"{event}_month").alias(f"{event}_quarter") for event in ("created", "closed")])


def recorded_states(data: Dataset, as_of: pd.Timestamp) -> nw.LazyFrame:
    """As `states`, with stage and owner as recorded, or missing."""
    return nw.concat([_changed(data, as_of).select(*_COLUMNS), _unchanged(data, as_of)])


def _named(rows: nw.LazyFrame, *columns: str) -> nw.LazyFrame:
    return rows.with_columns(*[nw.col(name).fill_null(nw.lit(BLANK)) for name in columns])


@once
def _known(data: Dataset, as_of: pd.Timestamp) -> nw.LazyFrame:
    """What goes for all states of a deal: ``created_at``, ``currency``, ``gone_at`` (deletion), ``is_bare`` (no history), ``begun_at`` (a change).

    ``seen_at``: its creation, or the first sign of it; what it was like then: ``first_stage``, ``first_owner``, ``first_amount``.
    """
    deals, made, ended, is_bare = data.table("opportunities"), nw.col("created_at"), nw.col("closed_at"), nw.lit(True)
    # The stage on the record is that of today: it says nothing about a deal that has changed since.
    early, told = {"stage": nw.when(nw.col("status") == "open").then(nw.col("stage")), "owner": nw.col("owner"), "amount": nw.col("amount")}, ended
    if data.has("opportunity_history"):
        deals, told = deals.join(_told(data), on="opportunity_id", how="left"), nw.coalesce("told_at", "closed_at")
        is_bare, first = nw.col("told_at").is_null(), {"owner": nw.col("told_owner"), "amount": nw.col("told_amount")}
        early = {name: nw.when(is_bare).then(said).otherwise(first.get(name, nw.lit(None))) for name, said in early.items()}
    begun, seen = nw.coalesce(nw.when(~is_bare).then(told), made, ended), nw.coalesce(made, told, nw.lit(data.latest))
    return deals.filter(seen < as_of).select(
        *("opportunity_id", "created_at", "currency", is_bare.alias("is_bare"), begun.alias("begun_at"), seen.alias("seen_at")),
        *[value.alias(f"first_{name}") for name, value in early.items()],
        nw.when(nw.col("deleted_at") < as_of).then(nw.col("deleted_at")).alias("gone_at"),
        # Closed at a date that nobody knows: not open then.
        ((nw.col("status") != "open") & nw.col("closed_at").is_null()).alias("is_undated"),
    )


def _told(data: Dataset) -> nw.LazyFrame:
    """When the history of a deal begins (``told_at``), when it was last open (``open_at``) and last closed (``shut_at``) in it; its last ``seq``.

    ``told_owner``, ``told_amount``: the first in it, ``last_owner`` the last; those on the record are of today.
    """
    is_open, at = nw.col("status") == "open", nw.col("changed_at")
    is_first, is_last = (at.shift(step).over("opportunity_id", order_by=_ORDER).is_null() for step in (1, -1))
    own = nw.col("owner")
    values = {"open_at": (is_open, at), "shut_at": (~is_open, at), "told_owner": (is_first, own), "last_owner": (is_last, own)}
    values["told_amount"] = is_first, nw.col("amount")
    rows = data.table("opportunity_history").with_columns(*[nw.when(held).then(value).alias(name) for name, (held, value) in values.items()])
    told = rows.group_by("opportunity_id").agg(at.min().alias("told_at"), nw.col(*values, "seq").max())
    return stored(data, ("told",), lambda: data.engine.keep(told))


def _closings(data: Dataset) -> nw.LazyFrame:
    """The closing that a history lacks, as the record tells it: on its date, or when the history ends, or when it was exported."""
    told = _told(data).filter(nw.col("shut_at").is_null() | (nw.col("shut_at") < nw.col("open_at")))
    rows = data.table("opportunities").filter(nw.col("status") != "open").join(told, on="opportunity_id", how="inner")
    at, last = nw.col("closed_at").fill_null(nw.lit(data.latest)), nw.col("open_at")
    rows = rows.with_columns((nw.col("seq") + 1).alias("seq"), nw.when(at < last).then(last).otherwise(at).alias("changed_at"))
    return rows.with_columns(nw.lit("inferred").alias("origin"), nw.col("last_owner").alias("owner")).select(*_CHANGE)


@once
def _changed(data: Dataset, as_of: pd.Timestamp) -> nw.LazyFrame:
    """The states that changes tell."""
    known = _known(data, as_of)
    rows = _inferred(data.table("opportunities").join(known.filter(nw.col("is_bare")).select("opportunity_id"), on="opportunity_id", how="semi"))
    if data.has("opportunity_history"):
        rows = nw.concat([data.table("opportunity_history").select(*_CHANGE), _closings(data), rows])
    rows = rows.filter(nw.col("changed_at") < as_of)
    at, made, gone, following = (nw.col(name) for name in ("changed_at", "created_at", "gone_at", "next_at"))
    rows = rows.with_columns(at.shift(-1).over("opportunity_id", order_by=_ORDER).alias("next_at")).join(known, on="opportunity_id", how="inner")
    rows = rows.with_columns(
        # A change dated before the creation is known from the creation on; what follows a deletion is not.
        nw.when(at < made).then(made).otherwise(at).alias("from_at"),
        nw.when(following < made).then(made).otherwise(following).alias("next_at"),
    ).filter(gone.is_null() | (nw.col("from_at") < gone))
    is_last = following.is_null() | (following >= gone)
    until = nw.when(is_last).then(gone)
    return rows.with_columns(until.alias("deleted_at"), until.otherwise(following).alias("until_at")).select(*_COLUMNS)


@once
def _unchanged(data: Dataset, as_of: pd.Timestamp) -> nw.LazyFrame:
    """The time before the first change, and all of the time of deals without one: open, with what the record says."""
    begun, gone, start = nw.col("begun_at"), nw.col("gone_at"), nw.col("from_at")
    known = _known(data, as_of).filter(~nw.col("is_bare") | ~nw.col("is_undated")).rename({"seen_at": "from_at"})
    known = known.filter(begun.is_null() | (start < begun), gone.is_null() | (start < gone))
    is_changed = (begun < as_of) & (gone.is_null() | (begun < gone))
    return known.select(
        "opportunity_id",
        "from_at",
        nw.when(is_changed).then(begun).otherwise(gone).alias("until_at"),
        nw.when(~is_changed | begun.is_null()).then(gone).alias("deleted_at"),
        nw.lit("open").alias("status"),
        *[nw.col(f"first_{name}").alias(name) for name in ("stage", "owner", "amount")],
        *(nw.lit(None).cast(nw.Date).alias("expected_close_on"), "currency"),
        *(start.alias("changed_at"), nw.lit(-1).cast(nw.Int64).alias("seq"), nw.lit("inferred").alias("origin")),
    )


def _undated(data: Dataset, as_of: pd.Timestamp) -> nw.LazyFrame:
    """Deals without history that were closed at a date that nobody knows: in no state at any date but closed."""
    known = _known(data, as_of).filter(nw.col("is_bare") & nw.col("is_undated") & nw.col("gone_at").is_null()).select("opportunity_id")
    rows = data.table("opportunities").join(known, on="opportunity_id", how="semi")
    nothing = nw.lit(None)
    rows = rows.with_columns(closed_owner=nw.col("owner"), stage=nothing.cast(nw.String), closed_at=nothing.cast(nw.Datetime("us")))
    return rows.with_columns(expected_close_on=nothing.cast(nw.Date))


def _inferred(deals: nw.LazyFrame) -> nw.LazyFrame:
    """Infer the changes of opportunities without history from what their records say."""
    closed = nw.col("status") != "open"
    undated = closed & nw.col("closed_at").is_null()  # nobody knows how long it was open
    made, ended_at = nw.col("created_at"), nw.col("closed_at")
    created = deals.filter(~made.is_null(), ~undated).with_columns(
        # A day of closing is midnight, before the creation on that day: the creation comes first all the same.
        nw.when(closed & (ended_at < made)).then(ended_at).otherwise(made).alias("changed_at"),
        nw.lit(0).cast(nw.Int64).alias("seq"),
        nw.when(~closed).then(nw.col("stage")).alias("stage"),
        nw.lit("open").alias("status"),
        nw.lit("inferred").alias("origin"),
    )
    ended = deals.filter(closed, ~nw.col("closed_at").is_null()).with_columns(
        nw.col("closed_at").alias("changed_at"), nw.lit(1).cast(nw.Int64).alias("seq"), nw.lit("inferred").alias("origin")
    )
    return nw.concat([created.select(*_CHANGE), ended.select(*_CHANGE)])
