"""Which inquiries count, and how their waits are read as curves."""

from __future__ import annotations

from collections.abc import Sequence

import narwhals.stable.v2 as nw
import pandas as pd

from kpi import engine, facts, schema
from kpi.dataset import Dataset
from kpi.errors import MissingTime, ParameterError
from kpi.facts.clock import DAY_SECONDS, on_days
from kpi.periods import Instant, Window
from kpi.statistics import survival

CLOCKS = ("wall", "business")
GROUPS = {
    "source": "source",
    "owner": "owner",
    "country": "country",
    "team": "team",
    "month": "created_month",
    "weekday": "created_weekday",
    "hour": "created_hour",
    "open": "created_open",
}


def eligible(data: Dataset, as_of: Instant, window: Window, by: Sequence[str] = (), *, start: str = "created") -> nw.LazyFrame:
    """Keep the inquiries that a window counts."""
    data.table("activities", "lead_id")
    if "team" in by:
        data.table("owners")
    leads = facts.leads(data, data.instant(as_of)).filter(on_days(nw.col(f"{start}_day"), window))
    if start == "created":
        leads = leads.filter(~nw.col("touched_before"))
    else:
        data.table("leads", f"{start}_at")
    return engine.grouped(leads, GROUPS, by)


def wait_curve(
    data: Dataset, rows: nw.LazyFrame, by: Sequence[str], *, as_of: Instant, start: str, end: str, clock: str, level: float
) -> pd.DataFrame:
    """Estimate how long inquiries wait from one event to another."""
    if clock not in CLOCKS:
        raise ParameterError(f"clock {clock!r} is unknown; use wall or business")
    waits = facts.wait(rows, start, end, now_seconds=int(data.instant(as_of).timestamp())).filter(nw.col("outcome") != "before")
    delay = nw.col("delay" if clock == "wall" else "business_delay")
    outcome = nw.when(nw.col("outcome") == "waiting").then(nw.lit("censored")).otherwise(nw.col("outcome"))
    counted = waits.with_columns(nw.lit(0).alias("entry"), delay.alias("exit"), outcome.alias("outcome"))
    counts = engine.sizes(counted, [*by, "entry", "exit", "outcome"])
    causes = ("answered", "disqualified")
    return survival.aalen_johansen(survival.event_table(counts, causes, by), causes, by, level)


def within(data: Dataset, curve: pd.DataFrame, thresholds: Sequence[float], by: Sequence[str]) -> pd.DataFrame:
    """Read the share answered off a curve; delays under a day are unknown where stamps have day precision only."""
    values = survival.at(curve, thresholds, "answered", list(by))
    if has_day_precision(data):
        values.loc[values["horizon"] < DAY_SECONDS, ["value", "low", "high"]] = float("nan")
    return values


def has_day_precision(data: Dataset) -> bool:
    """Tell whether inquiries or activities carry dates without a time, so that no delay under a day is known."""
    return bool(_dates_only(data))


def need_times(data: Dataset) -> None:
    """Refuse a metric that tells minutes apart where inquiries or activities carry dates only."""
    for table, column in _dates_only(data):
        raise MissingTime(table, column)


def typical(data: Dataset, curve: pd.DataFrame, share: float, by: Sequence[str]) -> pd.DataFrame:
    """Read the delay by which a share was answered off a curve; in whole days where stamps have day precision only."""
    values = survival.quantile(curve, share, "answered", list(by))
    if has_day_precision(data):
        days = values[["value", "low", "high"]] // DAY_SECONDS * DAY_SECONDS
        values[["value", "low", "high"]] = days.where(days > 0)
    return values


def _dates_only(data: Dataset) -> list[tuple[str, str]]:
    return [place for place in (("leads", "created_at"), ("activities", "at")) if data.precision.get(place) == "day"]


def groups_of(by: str | Sequence[str]) -> tuple[str, ...]:
    """Check the groups a response metric is asked for."""
    return schema.grouping(by, GROUPS)
