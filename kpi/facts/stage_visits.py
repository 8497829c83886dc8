"""One row per visit of an opportunity to a stage, and per stage reached, from the states that the history tells."""

from __future__ import annotations

from datetime import date

import narwhals.stable.v2 as nw
import pandas as pd

from kpi.dataset import Dataset, whole
from kpi.engine import collect
from kpi.errors import MissingLink, MissingTable
from kpi.facts.clock import clocked, once, stored
from kpi.facts.opportunities import of_part_then, opportunities, recorded_states
from kpi.periods import Window, local_date
from kpi.schema import BLANK, N_

_ORDER = ["changed_at", "seq"]
# A history made of exports begins with a first sighting: it tells where a deal was, not since when.
_SIGHTED = (nw.col("origin") == "diff") & (nw.col("origin_before") == "inferred") & (nw.col("status") == "open") & (nw.col("status_before") == "open")
UNTOLD = N_("No data: the history of deals begins with their first export; what changed before it is not known.")


def stages(data: Dataset) -> pd.DataFrame:
    """List the stages in order."""
    return collect(data.table("stages").select("stage", "position", "status"), ["position"])


def _sighted(rows: nw.LazyFrame) -> nw.LazyFrame:
    names = ("origin", "status")
    rows = rows.with_columns(*[nw.col(name).shift(1).over("opportunity_id", order_by=_ORDER).alias(f"{name}_before") for name in names])
    return rows.with_columns(nw.when(_SIGHTED).then(nw.lit(1)).otherwise(nw.lit(0)).alias("is_sighted")).drop("origin_before", "status_before")


def told_from(data: Dataset) -> date | None:
    """Tell on which day a history made of exports begins: with the first sighting of an open deal; None where systems or users tell the history."""
    if not data.has("opportunity_history"):
        return None
    seen = _sighted(whole(data).table("opportunity_history")).filter(nw.col("is_sighted") == 1).select(nw.col("changed_at").min().alias("at"))
    first = stored(data, ("told from",), lambda: collect(seen)["at"].iloc[0])
    return None if pd.isna(first) else local_date(pd.Timestamp(first), data.company.timezone)


def told_window(data: Dataset, window: Window) -> Window:
    """Cut a window to the days of which the history tells."""
    begins = told_from(data)
    if begins is not None and window.end <= begins:
        raise MissingLink("opportunity_history", "", UNTOLD)
    return window if begins is None or window.start >= begins else Window(begins, window.end)


def _recorded(data: Dataset, as_of: pd.Timestamp) -> nw.LazyFrame:
    """The states that a history told, and the closing that it lacks, with their place in the order of stages."""
    if not data.has("opportunity_history"):
        raise MissingTable("opportunity_history")
    told = data.table("opportunity_history").select("opportunity_id")
    frame = _sighted(recorded_states(data, as_of)).filter((nw.col("origin") != "inferred") | (nw.col("status") != "open"))
    frame = frame.join(told, on="opportunity_id", how="semi")
    return frame.join(data.table("stages").select("stage", "position"), on="stage", how="left")


def visits(data: Dataset, as_of: pd.Timestamp) -> nw.LazyFrame:
    """List every visit of an opportunity to an open stage: ``stage``, ``owner`` and ``entered_day`` (as it began), ``left_day`` (missing so far).

    ``is_sighted``: 1 where it was seen there first, having entered on a day before that nobody knows.
    """
    return of_part_then(data, _visits(whole(data), as_of), "owner", nw.col("entered_at"))


@once
def _visits(data: Dataset, as_of: pd.Timestamp) -> nw.LazyFrame:
    known = opportunities(data, as_of).select("opportunity_id")
    rows = _recorded(data, as_of).join(known, on="opportunity_id", how="semi")
    rows = rows.with_columns(*[nw.col(name).shift(1).over("opportunity_id", order_by=_ORDER).alias(f"{name}_before") for name in ("stage", "status")])
    # Reopened in the stage it was lost in: a visit of its own.
    moved = (nw.col("stage_before") != nw.col("stage")) | (nw.col("status_before") != "open") | (nw.col("status") != "open")
    moves = data.engine.keep(rows.filter(nw.col("stage_before").is_null() | moved))
    moves = moves.with_columns(nw.col("changed_at").shift(-1).over("opportunity_id", order_by=_ORDER).alias("left_at"))
    stays = moves.filter(nw.col("status") == "open").rename({"changed_at": "entered_at"})
    stays = clocked(data, clocked(data, stays, "entered_at", "day"), "left_at", "day")
    return stays.select("opportunity_id", "stage", nw.col("owner").fill_null(nw.lit(BLANK)), "entered_at", "entered_day", "left_day", "is_sighted")


def reached(data: Dataset, as_of: pd.Timestamp) -> nw.LazyFrame:
    """Tell when each opportunity first reached each stage or went beyond it.

    ``opportunity_id``, ``position``, ``reached_day`` and ``owner`` then, ``next_day`` (of the next stage or beyond, missing so far), ``skipped`` (1
    where it passed over the next), ``is_sighted`` (1 where it was seen there first, having reached it before), and of the deal ``source``,
    ``status``, ``closed_day``, ``created_day``.
    """
    return of_part_then(data, _reached(whole(data), as_of), "owner", nw.col("reached_at"))


@once
def _reached(data: Dataset, as_of: pd.Timestamp) -> nw.LazyFrame:
    order = stages(data).query("status != 'lost'")["position"].tolist()
    # A deal won by mistake, and open or lost again since, has not gone beyond the stages it was in.
    now = opportunities(data, as_of).select("opportunity_id", (nw.col("status") == "won").alias("stays_won"))
    rows = (
        _recorded(data, as_of)
        .join(now, on="opportunity_id", how="inner")
        .filter((nw.col("status") == "open") | (nw.col("stays_won") & (nw.col("status") == "won")))
    )
    # Some sources leave a won deal in its last open stage: it has gone beyond all the same.
    rows = rows.with_columns(nw.when(nw.col("status") == "won").then(nw.lit(max(order, default=0))).otherwise(nw.col("position")).alias("position"))
    rows = rows.filter(~nw.col("position").is_null()).with_columns(nw.col("position").cum_max().over("opportunity_id", order_by=_ORDER).alias("top"))
    rows = data.engine.keep(rows).with_columns(nw.col("top").shift(1).over("opportunity_id", order_by=_ORDER).alias("before"))
    rows = clocked(data, data.engine.keep(rows).rename({"changed_at": "at"}), "at", "day").rename({"at_day": "day"})
    first = {place: (nw.col("top") >= place) & (nw.col("before").is_null() | (nw.col("before") < place)) for place in order}
    told = ("at", "day", "owner", "is_sighted")
    each = [nw.when(first[place]).then(nw.col(name)).max().alias(f"p{place}_{name}") for place in order for name in told]
    firsts, steps = data.engine.keep(rows.group_by("opportunity_id").agg(*each)), []
    for place, after, beyond in zip(order, [*order[1:], None], [*order[2:], None, None], strict=False):
        over = nw.col(f"p{after}_at") == nw.col(f"p{beyond}_at") if beyond is not None else nw.lit(False)
        following = nw.col(f"p{after}_day") if after is not None else nw.lit(None).cast(nw.Int64)
        step = firsts.filter(~nw.col(f"p{place}_day").is_null())
        steps.append(
            step.select(
                "opportunity_id",
                nw.lit(place).cast(nw.Int64).alias("position"),
                *(nw.col(f"p{place}_{name}").alias(f"reached_{name}") for name in ("at", "day")),
                nw.col(f"p{place}_owner").fill_null(nw.lit(BLANK)).alias("owner"),
                nw.col(f"p{place}_is_sighted").alias("is_sighted"),
                following.alias("next_day"),
                nw.when(over).then(nw.lit(1)).otherwise(nw.lit(0)).alias("skipped"),
            )
        )
    deals = opportunities(data, as_of).select("opportunity_id", "source", "status", "closed_day", "created_day")
    return nw.concat(steps).join(deals, on="opportunity_id", how="inner")
