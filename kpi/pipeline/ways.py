"""The ways from lead to opportunity to customer: who is on each, since when, and how it ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import narwhals.stable.v2 as nw
import pandas as pd

from kpi import facts
from kpi.dataset import Dataset
from kpi.facts.clock import last_day
from kpi.facts.leads import acquired_known
from kpi.periods import instant
from kpi.pipeline.groups import DEAL_GROUPS, deals

LEAD_GROUPS = {"source": "source", "owner": "owner", "team": "team", "country": "country", "month": "created_month", "quarter": "created_quarter"}


@dataclass(frozen=True)
class Way:
    """A way from one state to the next: its catalogue key, the outcomes that end it, the groups it can be split by."""

    key: str
    causes: tuple[str, ...]
    groups: dict[str, str]


LEAD_TO_OPPORTUNITY = Way("pipeline.lead_to_opportunity", ("opportunity", "disqualified"), LEAD_GROUPS)
OPPORTUNITY_TO_CUSTOMER = Way("pipeline.opportunity_to_customer", ("won", "lost"), DEAL_GROUPS)
LEAD_TO_CUSTOMER = Way("pipeline.lead_to_customer", ("won",), LEAD_GROUPS)
WAYS = {way.key.removeprefix("pipeline."): way for way in (LEAD_TO_OPPORTUNITY, OPPORTUNITY_TO_CUSTOMER, LEAD_TO_CUSTOMER)}


def recorded_from(data: Dataset, way: Way) -> date | None:
    """Tell since when the outcomes of a way were recorded, where that is long after its records begin."""
    return None if way is OPPORTUNITY_TO_CUSTOMER else data.recorded_from("opportunities")


def lives(data: Dataset, way: Way, now: pd.Timestamp, groups: Sequence[str] = ()) -> nw.LazyFrame:
    """List the records on a way: first day, last day and outcome of each."""
    last = nw.lit(last_day(data, now))
    if way is OPPORTUNITY_TO_CUSTOMER:
        data.table("opportunities", *[name for name in groups if name in ("source", "product")])
        frame, is_open = deals(data, now, groups), nw.col("status") == "open"
        ends, outcome = (
            nw.when(is_open).then(last).otherwise(nw.col("closed_day")),
            nw.when(is_open).then(nw.lit("censored")).otherwise(nw.col("status")),
        )
    elif way is LEAD_TO_OPPORTUNITY:
        data.table("opportunities")
        frame, is_open = facts.leads(data, now), nw.col("end") == "open"
        ends, outcome = nw.col("end_day"), nw.when(is_open).then(nw.lit("censored")).otherwise(nw.col("end"))
    else:
        if not acquired_known(data):
            data.table("opportunities")
        frame, is_open = facts.leads(data, now), nw.col("won_day").is_null()
        ends, outcome = nw.when(is_open).then(last).otherwise(nw.col("won_day")), nw.when(is_open).then(nw.lit("censored")).otherwise(nw.lit("won"))
    if way is not OPPORTUNITY_TO_CUSTOMER and recorded_from(data, way) is not None:
        frame = frame.join(converted_unseen(data), on="lead_id", how="anti")
    key = "opportunity_id" if way is OPPORTUNITY_TO_CUSTOMER else "lead_id"
    columns = [nw.col(name if way is OPPORTUNITY_TO_CUSTOMER else way.groups[name]).alias(name) for name in groups]
    return frame.select(key, nw.col("created_day").alias("start_day"), ends.alias("end_day"), outcome.alias("outcome"), *columns)


def converted_unseen(data: Dataset) -> nw.LazyFrame:
    """List the leads from before opportunities were recorded that name one all the same: it is not there, but it once was."""
    since = instant(data.recorded_from("opportunities"), data.company.timezone)
    named = data.table("leads").filter(~nw.col("opportunity_id").is_null(), nw.col("created_at") < since)
    return named.join(data.table("opportunities").select("opportunity_id"), on="opportunity_id", how="anti").select("lead_id")
