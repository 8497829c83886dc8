"""What the model of the pipeline rests on, as counts: days at risk and exits by stage and age, open deals, inflow, won amounts, leads."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from kpi import engine, facts
from kpi.dataset import Dataset, whole
from kpi.facts.clock import last_day, on_days
from kpi.facts.stage_visits import stages
from kpi.periods import Window, day_number
from kpi.pipeline.conversion import LEAD_TO_OPPORTUNITY, OPPORTUNITY_TO_CUSTOMER, followed, recorded_from
from kpi.pipeline.deal_groups import CLOSING_GROUPS, deals
from kpi.pipeline.stages import steps
from kpi.schema import BLANK

BANDS = (0, 1, 4, 8, 15, 22, 31, 46, 61, 91, 121)  # first day of age of each band; chances are constant inside one
NEVER = 1_000_000  # days of age that no stay reaches
QUARTER = 91
MATURE = 90  # days within which a lead's becoming an opportunity counts
SOURCES = 10  # the largest ones; what is left is taken together
OTHERS = "(others)"
WHO = ["source", "owner"]


@dataclass(frozen=True)
class Counts:
    """The counts of one data set at one instant, over a window of some days; sources and owners side by side.

    stages: position, stage, next_stage. exposure: position, band of age, days at risk. exits: position, band, n of them, events: on.
    waiting: open deals by position and age. entries: deals that came in, by quarter. amounts: n, total and squares of won deals.
    leads: n by lag in days to the opportunity, -1 without; events. from_leads: share of the deals of each source that came from a lead.
    """

    days: int
    stages: pd.DataFrame
    exposure: pd.DataFrame
    exits: pd.DataFrame
    waiting: pd.DataFrame
    entries: pd.DataFrame
    amounts: pd.DataFrame
    leads: pd.DataFrame
    from_leads: pd.Series


def counted(data: Dataset, now: pd.Timestamp, window: Window) -> Counts:
    """Count what the model needs; rows are aggregated in the engine."""
    order, rows = _steps(data, now)
    first = int(order["position"].iloc[0])
    entries = _entries(rows.filter(nw.col("position") == first), window)
    kept = set(entries.groupby("source")["count"].sum().sort_values(ascending=False, kind="stable").index[:SOURCES])
    exposure, exits = _exposure_and_exits(facts.exposed(rows, window, "period"))
    known = {
        "exposure": exposure,
        "exits": exits,
        "waiting": _waiting(data, now),
        "entries": entries,
        "amounts": _amounts(data, now, window),
        "leads": _leads(data, now, window),
    }
    pooled = {name: _pooled(table, kept) for name, table in known.items()}
    return Counts((window.end - window.start).days, order, **pooled, from_leads=_from_leads(data, now, window, kept))


def _steps(data: Dataset, now: pd.Timestamp) -> tuple[pd.DataFrame, nw.LazyFrame]:
    """The open stages, and the steps; without stages or their history the whole way from creation to won is the one step."""
    if data.has("stages") and data.has("opportunity_history"):
        order = stages(data).query("status != 'lost'").reset_index(drop=True)
        order = order.assign(next_stage=order["stage"].shift(-1))[["position", "stage", "next_stage"]].iloc[:-1]
        if len(order):
            return order, steps(data, now, WHO)
    outcome = nw.when(nw.col("outcome") == "won").then(nw.lit("advanced")).otherwise(nw.col("outcome"))
    rows = followed(data, OPPORTUNITY_TO_CUSTOMER, now, WHO if data.has("opportunities", "source") else ["owner"])
    source = nw.col("source") if data.has("opportunities", "source") else nw.lit(BLANK)
    rows = rows.with_columns(nw.lit(1).cast(nw.Int64).alias("position"), source.alias("source"), outcome.alias("outcome"))
    return pd.DataFrame({"position": [1], "stage": [""], "next_stage": [""]}), rows


def _exposure_and_exits(watched: nw.LazyFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Days at risk in each band of age, both ends of a stay included; and how the stays that ended there did."""
    keys = ["position", *WHO, "band"]
    stays = engine.sizes(watched, ["position", *WHO, "entry", "exit", "outcome"])
    parts = []
    for band, (first, after) in enumerate(pairwise((*BANDS, NEVER))):
        days = (np.minimum(stays["exit"], after - 1) - np.maximum(stays["entry"], first) + 1).clip(lower=0)
        parts.append(stays.assign(band=band, days=days * stays["count"]).query("days > 0"))
    ended = stays[stays["outcome"].isin(["advanced", "lost"])]
    events = ended["count"].where(ended["outcome"] == "advanced", 0)
    ended = ended.assign(band=np.searchsorted(BANDS, ended["exit"], "right") - 1, n=ended["count"], events=events)
    exposure = pd.concat(parts).groupby(keys, as_index=False)["days"].sum()
    return exposure, ended.groupby(keys, as_index=False)[["n", "events"]].sum()


def _waiting(data: Dataset, now: pd.Timestamp) -> pd.DataFrame:
    """Deals open now, of whoever owns them now."""
    rows = _steps(whole(data), now)[1].join(facts.opportunities(data, now).select("opportunity_id"), on="opportunity_id", how="semi")
    age = last_day(data, now) + 1 - nw.col("start_day")
    capped = nw.when(age > BANDS[-1]).then(nw.lit(BANDS[-1])).otherwise(age)
    is_open = rows.filter(nw.col("outcome") == "censored", ~nw.col("start_day").is_null())
    return engine.sizes(is_open.with_columns(capped.cast(nw.Int64).alias("age")), ["position", "source", "age"])


def _entries(rows: nw.LazyFrame, window: Window) -> pd.DataFrame:
    """Deals that came in, by quarters counted back from the end of the window."""
    after = day_number(window.end)
    quarter = ((nw.lit(after - 1) - nw.col("start_day")) // QUARTER).cast(nw.Int64)
    return engine.sizes(rows.filter(on_days(nw.col("start_day"), window)).with_columns(quarter.alias("quarter")), ["source", "quarter"])


def _amounts(data: Dataset, now: pd.Timestamp, window: Window) -> pd.DataFrame:
    won = deals(data, now, ["owner"], CLOSING_GROUPS).filter(nw.col("status") == "won", on_days(nw.col("closed_day"), window))
    won = won.filter(~nw.col("amount").is_null())
    won = won.with_columns((nw.col("amount") * nw.col("amount")).alias("squares"))
    sums = won.group_by(*WHO).agg(nw.len().alias("n"), nw.col("amount").sum().alias("total"), nw.col("squares").sum())
    return engine.collect(sums, WHO)


def _leads(data: Dataset, now: pd.Timestamp, window: Window) -> pd.DataFrame:
    """What became within 90 days of the leads that came in as long ago; those from before opportunities were recorded are left out."""
    if not data.has("leads") or not facts.deals_linked(whole(data)):
        return pd.DataFrame(columns=[*WHO, "lag", "n", "events"]).astype({"lag": "int64", "n": "int64", "events": "int64"})
    since = recorded_from(data, LEAD_TO_OPPORTUNITY)
    start, end = (day - timedelta(days=MATURE) for day in (window.start, window.end))
    cohort = Window(max(start, since) if since is not None and since < end else start, end)
    rows = followed(data, LEAD_TO_OPPORTUNITY, now, WHO)
    rows = facts.exposed(rows, cohort, "cohort")
    made = (nw.col("outcome") == "opportunity") & (nw.col("exit") <= MATURE)
    lag = nw.when(made).then(nw.col("exit")).otherwise(nw.lit(-1)).cast(nw.Int64)
    table = engine.sizes(rows.with_columns(lag.alias("lag")), [*WHO, "lag"], "n")
    return table.assign(events=table["n"].where(table["lag"] >= 0, 0))


def _from_leads(data: Dataset, now: pd.Timestamp, window: Window, kept: set[str]) -> pd.Series:
    """Share of the deals created in the window that name a lead, or that a lead names."""
    if not data.has("leads"):
        return pd.Series(dtype="float64")
    made = facts.opportunities(data, now, "created_owner").filter(on_days(nw.col("created_day"), window))
    named = whole(data).table("leads").select("opportunity_id").filter(~nw.col("opportunity_id").is_null()).unique()
    made = made.join(named.with_columns(nw.lit(1).alias("named")), on="opportunity_id", how="left")
    has_lead = ~nw.col("lead_id").is_null() | ~nw.col("named").is_null()
    table = _pooled(engine.counts(made, ["source"], count=nw.lit(1) == 1, made=has_lead), kept).set_index("source")
    return table["made"] / table["count"]


def _pooled(table: pd.DataFrame, kept: set[str]) -> pd.DataFrame:
    """The same counts with the small sources taken together."""
    sums = [name for name in ("days", "count", "n", "events", "total", "squares", "made") if name in table]
    keys = [name for name in table if name not in sums]
    pooled = table.assign(source=np.where(table["source"].isin(kept), table["source"], OTHERS))
    return pooled.groupby(keys, as_index=False)[sums].sum()
