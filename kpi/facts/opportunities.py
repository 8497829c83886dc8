"""One row per opportunity, per visit to a stage, and per stage reached, from the history of changes."""

from __future__ import annotations

import narwhals.stable.v2 as nw
import pandas as pd

from kpi.dataset import Dataset
from kpi.engine import collect
from kpi.errors import MissingTable
from kpi.facts.clock import clocked, last_day, once
from kpi.facts.money import in_company_currency
from kpi.schema import BLANK

_STATE = ("opportunity_id", "changed_at", "seq", "stage", "status", "amount", "expected_close_on", "owner", "origin")
_ORDER = ["changed_at", "seq"]


def changes(data: Dataset, as_of: pd.Timestamp) -> nw.LazyFrame:
    """List every known change of every opportunity: the whole state after each; not stored, for those who read it once."""
    rows = inferred(bare(data))
    if data.has("opportunity_history"):
        rows = nw.concat([data.table("opportunity_history").select(*_STATE), rows])
    return rows.filter(nw.col("changed_at") < as_of)


def inferred(deals: nw.LazyFrame) -> nw.LazyFrame:
    """Infer the changes of opportunities without history from what their records say."""
    closed = nw.col("status") != "open"
    undated = closed & nw.col("closed_at").is_null()  # nobody knows how long it was open
    created = deals.filter(~nw.col("created_at").is_null(), ~undated).with_columns(
        nw.col("created_at").alias("changed_at"),
        nw.lit(0).cast(nw.Int64).alias("seq"),
        nw.when(~closed).then(nw.col("stage")).alias("stage"),
        nw.lit("open").alias("status"),
        nw.lit("inferred").alias("origin"),
    )
    ended = deals.filter(closed, ~nw.col("closed_at").is_null()).with_columns(
        nw.col("closed_at").alias("changed_at"), nw.lit(1).cast(nw.Int64).alias("seq"), nw.lit("inferred").alias("origin")
    )
    return nw.concat([created.select(*_STATE), ended.select(*_STATE)])


def bare(data: Dataset) -> nw.LazyFrame:
    """List the opportunities without any history; they are few where there is one, so they are stored."""
    deals = data.table("opportunities")
    if not data.has("opportunity_history"):
        return deals
    if ("bare",) not in data.facts:
        recorded = data.table("opportunity_history").select("opportunity_id")
        data.facts["bare",] = data.engine.keep(deals.join(recorded, on="opportunity_id", how="anti"))
    return data.facts["bare",]


@once
def history(data: Dataset, as_of: pd.Timestamp) -> nw.LazyFrame:
    """List every known change of every opportunity, stored."""
    return changes(data, as_of)


@once
def opportunities(data: Dataset, as_of: pd.Timestamp) -> nw.LazyFrame:
    """State each opportunity as known at an instant."""
    base = data.table("opportunities")
    base = base.filter(nw.col("created_at").is_null() | (nw.col("created_at") < as_of))
    base = base.filter(nw.col("deleted_at").is_null() | (nw.col("deleted_at") >= as_of))
    if data.has("opportunity_history"):
        begun = data.table("opportunity_history").group_by("opportunity_id").agg(begun_at=nw.col("changed_at").min())
        base = base.join(begun, on="opportunity_id", how="left")
    else:
        base = base.with_columns(nw.lit(None).cast(nw.Datetime("us")).alias("begun_at"))
    # Without a creation date a deal is known from its first change on.
    base = base.filter(~nw.col("created_at").is_null() | nw.col("begun_at").is_null() | (nw.col("begun_at") < as_of))
    base = base.drop("expected_close_on").rename({name: f"{name}_now" for name in ("owner", "amount", "stage", "status", "closed_at")})
    frame = base.join(_last_state(data, as_of), on="opportunity_id", how="left")
    # No row of history yet: open since its creation (or for an unknown time), with what the record says.
    unknown = nw.col("status").is_null()
    undated = unknown & nw.col("begun_at").is_null() & nw.col("closed_at_now").is_null()  # closed at a date that nobody knows: still not open
    frame = frame.with_columns(
        nw.when(undated).then(nw.col("status_now")).otherwise(nw.col("status")).fill_null(nw.lit("open")).alias("status"),
        nw.when(unknown).then(nw.col("owner_now")).otherwise(nw.col("owner")).fill_null(nw.lit(BLANK)).alias("owner"),
        nw.when(unknown).then(nw.col("amount_now")).otherwise(nw.col("amount")).alias("amount"),
        # The stage on the record is that of today: it says nothing about a deal closed since.
        nw.when(unknown & (nw.col("status_now") == "open"))
        .then(nw.col("stage_now"))
        .otherwise(nw.col("stage"))
        .fill_null(nw.lit(BLANK))
        .alias("stage"),
        *[nw.col(name).fill_null(nw.lit(BLANK)) for name in ("source", "product")],
    )
    frame = clocked(data, frame, "created_at", "day", "month")
    frame = clocked(data, frame, "closed_at", "day", "month")
    dated = nw.when(nw.col("status") == "open").then(nw.lit(last_day(data, as_of))).otherwise(nw.col("closed_day"))
    frame = in_company_currency(data, frame, "amount", dated)
    kept = ("opportunity_id", "lead_id", "customer_id", "source", "product", "owner", "stage", "status", "amount", "currency", "expected_close_on")
    dates = [f"{event}_{field}" for event in ("created", "closed") for field in ("at", "day", "month", "quarter")]
    frame = frame.with_columns(*[(nw.col(f"{event}_month") // 3).cast(nw.Int64).alias(f"{event}_quarter") for event in ("created", "closed")])
    return frame.select(*kept, "lost_reason", *dates)


def _last_state(data: Dataset, as_of: pd.Timestamp) -> nw.LazyFrame:
    rows = data.engine.keep(
        history(data, as_of).with_columns(
            nw.col("status").shift(1).over("opportunity_id", order_by=_ORDER).alias("before"),
            nw.col("seq").shift(-1).over("opportunity_id", order_by=_ORDER).alias("after"),
        )
    )
    # Closed when it took the status it has now: a deal lost, reopened and lost again was open in between.
    turned = (
        rows.filter(nw.col("before").is_null() | (nw.col("before") != nw.col("status")))
        .group_by("opportunity_id")
        .agg(closed_at=nw.col("changed_at").max())
    )
    last = rows.filter(nw.col("after").is_null()).select("opportunity_id", "stage", "status", "amount", "expected_close_on", "owner")
    last = last.join(turned, on="opportunity_id", how="left")
    return last.with_columns(nw.when(nw.col("status") != "open").then(nw.col("closed_at")).alias("closed_at"))


def stages(data: Dataset) -> pd.DataFrame:
    """List the stages in order."""
    return collect(data.table("stages").select("stage", "position", "status"), ["position"])


def _with_positions(data: Dataset, as_of: pd.Timestamp) -> nw.LazyFrame:
    if not data.has("opportunity_history"):
        raise MissingTable("opportunity_history")
    frame = history(data, as_of).filter(nw.col("origin") != "inferred")
    return frame.join(data.table("stages").select("stage", "position"), on="stage", how="left")


@once
def visits(data: Dataset, as_of: pd.Timestamp) -> nw.LazyFrame:
    """List every stay of an opportunity in an open stage."""
    known = opportunities(data, as_of).select("opportunity_id")
    rows = _with_positions(data, as_of).join(known, on="opportunity_id", how="semi")
    rows = rows.with_columns(*[nw.col(name).shift(1).over("opportunity_id", order_by=_ORDER).alias(f"{name}_before") for name in ("stage", "status")])
    # Reopened in the stage it was lost in: a visit of its own.
    moved = (nw.col("stage_before") != nw.col("stage")) | (nw.col("status_before") != "open") | (nw.col("status") != "open")
    moves = data.engine.keep(rows.filter(nw.col("stage_before").is_null() | moved))
    moves = moves.with_columns(nw.col("changed_at").shift(-1).over("opportunity_id", order_by=_ORDER).alias("left_at"))
    stays = moves.filter(nw.col("status") == "open").rename({"changed_at": "entered_at"})
    stays = clocked(data, clocked(data, stays, "entered_at", "day"), "left_at", "day")
    return stays.select("opportunity_id", "stage", nw.col("owner").fill_null(nw.lit(BLANK)), "entered_day", "left_day")


@once
def reached(data: Dataset, as_of: pd.Timestamp) -> nw.LazyFrame:
    """Tell for each opportunity when it first reached each stage or went beyond it."""
    order = stages(data).query("status != 'lost'")["position"].tolist()
    rows = _with_positions(data, as_of).filter(nw.col("status") != "lost")
    # Some sources leave a won deal in its last open stage: it has gone beyond all the same.
    rows = rows.with_columns(nw.when(nw.col("status") == "won").then(nw.lit(max(order, default=0))).otherwise(nw.col("position")).alias("position"))
    firsts = rows.group_by("opportunity_id").agg(
        *[nw.when(nw.col("position") >= place).then(nw.col("changed_at")).otherwise(nw.lit(None)).min().alias(f"p{place}_at") for place in order]
    )
    for place in order:
        firsts = clocked(data, firsts, f"p{place}_at", "day")
    firsts = data.engine.keep(firsts)
    steps = []
    for place, after, beyond in zip(order, [*order[1:], None], [*order[2:], None, None], strict=False):
        over = nw.col(f"p{after}_at") == nw.col(f"p{beyond}_at") if beyond is not None else nw.lit(False)
        following = nw.col(f"p{after}_day") if after is not None else nw.lit(None).cast(nw.Int64)
        step = firsts.filter(~nw.col(f"p{place}_day").is_null())
        steps.append(
            step.select(
                "opportunity_id",
                nw.lit(place).cast(nw.Int64).alias("position"),
                nw.col(f"p{place}_day").alias("reached_day"),
                following.alias("next_day"),
                nw.when(over).then(nw.lit(1)).otherwise(nw.lit(0)).alias("skipped"),
            )
        )
    deals = opportunities(data, as_of).select("opportunity_id", "source", "owner", "status", "closed_day", "created_day")
    return nw.concat(steps).join(deals, on="opportunity_id", how="inner")
