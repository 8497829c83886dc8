"""Which inquiries count, and how their waits are read as curves."""

from __future__ import annotations

from collections.abc import Sequence

import narwhals.stable.v2 as nw
import pandas as pd

from kpi import engine, facts, schema
from kpi.dataset import Dataset
from kpi.errors import MissingTime, ParameterError
from kpi.facts import records
from kpi.facts.clock import DAY_SECONDS, on_days
from kpi.periods import Instant, Window, WindowLike
from kpi.schema import By
from kpi.statistics import survival

CAUSES = ("answered", "disqualified")
CLOCKS = ("wall", "business")
TYPICAL = (("median", 0.5), ("slow", 0.9))
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
    return inquiries(data, as_of, window, by, start=start).filter(records.STANDS)


def inquiries(data: Dataset, as_of: Instant, window: Window, by: Sequence[str] = (), *, start: str = "created") -> nw.LazyFrame:
    """Tell of each inquiry why a window does not count it (``reason``)."""
    data.table("activities", "lead_id")
    if "team" in by:
        data.table("owners")
    day, tests = nw.col(f"{start}_day"), [(nw.col("touched_before"), records.TOUCHED)]
    if start != "created":
        data.table("leads", f"{start}_at")
        tests = []
    outside = (day.is_null() | ~on_days(day, window), records.OUTSIDE)
    return engine.grouped(records.with_reason(facts.leads(data, data.instant(as_of)), outside, *tests), GROUPS, by)


def waits(data: Dataset, rows: nw.LazyFrame, as_of: Instant, start: str, end: str, clock: str = "wall") -> nw.LazyFrame:
    """Tell how long each inquiry waits from one event to another: ``exit`` in seconds, ``outcome``; what was over before it began is out."""
    if clock not in CLOCKS:
        raise ParameterError(f"clock {clock!r} is unknown; use wall or business")
    rows = facts.wait(rows, start, end, now_seconds=int(data.instant(as_of).timestamp()))
    rows = records.with_reason(rows, (nw.col("outcome") == "before", records.CLOSED_EARLY))
    delay = nw.col("delay" if clock == "wall" else "business_delay")
    outcome = nw.when(nw.col("outcome") == "waiting").then(nw.lit("censored")).otherwise(nw.col("outcome"))
    return rows.with_columns(nw.lit(0).alias("entry"), delay.alias("exit"), outcome.alias("outcome"))


def wait_counts(data: Dataset, as_of: Instant, window: Window, by: Sequence[str], start: str, end: str, clock: str) -> pd.DataFrame:
    """Count the waits of a window by their length and outcome."""
    rows = eligible(data, as_of, window, by, start=start)
    return engine.sizes(waits(data, rows, as_of, start, end, clock).filter(records.STANDS), [*by, *facts.OBSERVED])


def within(
    data: Dataset,
    key: str,
    start: str,
    end: str,
    as_of: Instant,
    window: WindowLike | None,
    by: By,
    clock: str,
    horizons: Sequence[float],
    level: float,
    quantiles: Sequence[tuple[str, float]] = (),
) -> pd.DataFrame:
    """Estimate the share for whom one event followed another within some delays, and by name the delays within which stated shares were reached.

    Delays under a day are unknown where stamps have day precision only.
    """
    now, groups = data.instant(as_of), groups_of(by)
    window = data.window(window, now)
    counts = wait_counts(data, as_of, window, groups, start, end, clock)
    table = facts.incidence(counts, CAUSES, horizons, groups, level)
    if has_day_precision(data, start, end):
        table.loc[table["horizon"] < DAY_SECONDS, ["value", "low", "high"]] = float("nan")
    for name, share in quantiles:
        curve = facts.incidence_curve(counts, CAUSES, groups, level)
        reached = typical(data, curve, share, groups, start, end).rename(columns={"value": name})[[*groups, name]]
        table = table.merge(reached, on=list(groups), how="left") if groups else table.merge(reached, how="cross")
    return schema.result(key, table, by=groups, view="cohort", window=window, as_of=now, more=[name for name, _ in quantiles])


def has_day_precision(data: Dataset, *events: str) -> bool:
    """Tell whether inquiries or activities, or the events asked about, carry dates without a time, so that no delay under a day is known."""
    return bool(_dates_only(data)) or any(data.precision.get(("leads", f"{event}_at")) == "day" for event in events)


def need_times(data: Dataset) -> None:
    """Refuse a metric that tells minutes apart where inquiries or activities carry dates only."""
    for table, column in _dates_only(data):
        raise MissingTime(table, column)


def typical(data: Dataset, curve: pd.DataFrame, share: float, by: Sequence[str], *events: str) -> pd.DataFrame:
    """Read the delay by which a share was answered off a curve; in whole days where stamps have day precision only."""
    values = survival.quantile(curve, share, "answered", list(by))
    if has_day_precision(data, *events):
        days = values[["value", "low", "high"]] // DAY_SECONDS * DAY_SECONDS
        values[["value", "low", "high"]] = days.where(days > 0)
    return values


def _dates_only(data: Dataset) -> list[tuple[str, str]]:
    return [place for place in (("leads", "created_at"), ("activities", "at")) if data.precision.get(place) == "day"]


def groups_of(by: By) -> tuple[str, ...]:
    """Check the groups a response metric is asked for."""
    return schema.grouping(by, GROUPS)
