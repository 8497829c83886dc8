"""Stage by stage: which share goes on to the next stage or beyond, and how long deals stay."""

from __future__ import annotations

from collections.abc import Sequence

import narwhals.stable.v2 as nw
import pandas as pd

from kpi import facts, schema
from kpi.dataset import Dataset
from kpi.facts.clock import last_day
from kpi.facts.opportunities import stages
from kpi.periods import Instant, Window, last_days
from kpi.pipeline.conversion import PERIOD_DAYS
from kpi.pipeline.groups import DEAL_GROUPS, STANDING, beside, deals
from kpi.statistics import survival


def stage_conversion(
    data: Dataset,
    *,
    as_of: Instant,
    window: Window | None = None,
    view: str = "period",
    by: str | Sequence[str] = (),
    horizon: float = 180,
    direct: bool = False,
    level: float = 0.95,
) -> pd.DataFrame:
    """Share of the deals in a stage that reach the next stage or go beyond it; a loss ends the wait.

    Uses `opportunity_history`, `opportunities`, `stages`.

    Parameters
    ----------
    window : Window, optional
        Local dates: of the time at risk (period) or of reaching the stage (cohort). Without it the 90 days before `as_of`.
    by : str or sequence of str
        Any of source, owner, product, size.
    horizon : float
        Days since the stage was reached.
    direct : bool
        Only the step into the next stage itself counts; passing over it ends the wait as a loss does.

    Returns
    -------
    DataFrame
        One row per group and stage in order (``position``, ``stage``, ``next_stage``) with the columns of `schema.RESULT`.

    Raises
    ------
    MissingTable
        If there is no history of stages or no order of them.
    ParameterError
        If `by` is unknown.
    """
    groups = schema.grouping(by, STANDING)
    now = data.instant(as_of)
    window = window or last_days(now, data.company.timezone, PERIOD_DAYS)
    order = stages(data).query("status != 'lost'").reset_index(drop=True)
    rows = steps(data, now, groups, direct)
    keys = [*groups, "position"]
    causes = ("advanced", "skipped", "lost")
    table = survival.event_table(facts.at_risk(rows, window, view, keys), causes, keys)
    values = survival.at(survival.aalen_johansen(table, causes, keys, level), (horizon,), "advanced", keys)
    names = order.assign(next_stage=order["stage"].shift(-1))[["position", "stage", "next_stage"]]
    values = values.merge(names, on="position", how="left")
    return schema.result("pipeline.stage_conversion", values, by=[*keys, "stage", "next_stage"], view=view, window=window, as_of=now)


def steps(data: Dataset, as_of: pd.Timestamp, groups: Sequence[str] = (), direct: bool = False) -> nw.LazyFrame:
    """List the steps that opportunities are at or have taken: from reaching a stage to reaching the next one, or beyond it, or to the loss."""
    order = stages(data).query("status != 'lost'")
    moved, lost = ~nw.col("next_day").is_null(), nw.col("status") == "lost"
    ends = nw.when(moved).then(nw.col("next_day")).when(lost).then(nw.col("closed_day")).otherwise(nw.lit(last_day(data, as_of)))
    passed = nw.lit("skipped" if direct else "advanced")
    outcome = (
        nw.when(moved & (nw.col("skipped") == 1))
        .then(passed)
        .when(moved)
        .then(nw.lit("advanced"))
        .when(lost)
        .then(nw.lit("lost"))
        .otherwise(nw.lit("censored"))
    )
    rows = beside(data, facts.reached(data, as_of), as_of, groups).filter(nw.col("position") < int(order["position"].max()))
    return rows.select("position", *groups, nw.col("reached_day").alias("start_day"), ends.alias("end_day"), outcome.alias("outcome"))


def funnel(
    data: Dataset,
    *,
    as_of: Instant,
    window: Window | None = None,
    view: str = "period",
    by: str | Sequence[str] = (),
    horizon: float = 180,
    level: float = 0.95,
) -> pd.DataFrame:
    """Share of the opportunities created that reach each stage, or go beyond it, and in the end are won; a loss ends the wait.

    Uses `opportunity_history`, `opportunities`, `stages`.

    Parameters
    ----------
    window : Window, optional
        Local dates: of the time at risk (period) or of creation (cohort). Without it the 90 days before `as_of`.
    by : str or sequence of str
        Any of source, owner, product, size, month, quarter (of creation).
    horizon : float
        Days since creation.

    Returns
    -------
    DataFrame
        One row per group and stage in order (``position``, ``stage``; lost stages left out) with the columns of `schema.RESULT`; ``n`` opportunities
        under observation that had not reached the stage before, ``n_events`` that reached it. Deals without a history of stages are left out.

    Raises
    ------
    MissingTable
        If there is no history of stages or no order of them.
    ParameterError
        If `view` or `by` is unknown.
    """
    groups = schema.grouping(by, DEAL_GROUPS)
    now = data.instant(as_of)
    window = window or last_days(now, data.company.timezone, PERIOD_DAYS)
    order = stages(data).query("status != 'lost'")[["position", "stage"]].reset_index(drop=True)
    keys = [*groups, "position"]
    parts = [_arrivals(data, now, int(place), window, view, groups) for place in order["position"]]
    table = survival.event_table(pd.concat(parts, ignore_index=True), ("reached", "lost"), keys)
    values = survival.at(survival.aalen_johansen(table, ("reached", "lost"), keys, level), (horizon,), "reached", keys)
    values = values.merge(order, on="position", how="left")
    return schema.result("pipeline.funnel", values, by=[*keys, "stage"], view=view, window=window, as_of=now)


def _arrivals(data: Dataset, now: pd.Timestamp, place: int, window: Window, view: str, groups: Sequence[str]) -> pd.DataFrame:
    """Deals by age and by whether they have reached a stage, as counts."""
    reached = facts.reached(data, now)
    told = reached.select("opportunity_id").unique()
    there = reached.filter(nw.col("position") == place).select("opportunity_id", "reached_day")
    rows = deals(data, now, groups).join(told, on="opportunity_id", how="semi").join(there, on="opportunity_id", how="left")
    lost, got_there = nw.col("status") == "lost", ~nw.col("reached_day").is_null()
    ends = nw.when(got_there).then(nw.col("reached_day")).when(lost).then(nw.col("closed_day")).otherwise(nw.lit(last_day(data, now)))
    outcome = nw.when(got_there).then(nw.lit("reached")).when(lost).then(nw.lit("lost")).otherwise(nw.lit("censored"))
    rows = rows.select(*groups, nw.col("created_day").alias("start_day"), ends.alias("end_day"), outcome.alias("outcome"))
    return facts.at_risk(rows, window, view, groups).assign(position=place)


def time_in_stage_curve(
    data: Dataset, *, as_of: Instant, window: Window | None = None, by: str | Sequence[str] = (), level: float = 0.95
) -> pd.DataFrame:
    """Share of visits to a stage that are over by each day.

    Uses `opportunity_history` and `stages`.

    Parameters
    ----------
    as_of : Instant
        Only what happened strictly before it counts; visits still going on are kept.
    window : Window, optional
        Local dates of the time at risk; without it the 90 days before `as_of`.
    by : str or sequence of str
        Any of source, owner (when the visit began), product, size.

    Returns
    -------
    DataFrame
        One row per group, stage and day that occurs, as `survival.aalen_johansen` gives it for the one outcome ``left``.

    Raises
    ------
    MissingTable
        If there is no history of stages or no order of them.
    ParameterError
        If `by` is unknown.
    """
    keys = [*schema.grouping(by, STANDING), "stage"]
    now = data.instant(as_of)
    window = window or last_days(now, data.company.timezone, PERIOD_DAYS)
    staying = nw.col("left_day").is_null()
    rows = beside(data, facts.visits(data, now), now, keys[:-1]).select(
        *keys,
        nw.col("entered_day").alias("start_day"),
        nw.when(staying).then(nw.lit(last_day(data, now))).otherwise(nw.col("left_day")).alias("end_day"),
        nw.when(staying).then(nw.lit("censored")).otherwise(nw.lit("left")).alias("outcome"),
    )
    table = survival.event_table(facts.at_risk(rows, window, "period", keys), ("left",), keys)
    return survival.aalen_johansen(table, ("left",), keys, level)


def time_in_stage(
    data: Dataset, *, as_of: Instant, window: Window | None = None, by: str | Sequence[str] = (), quantile: float = 0.5, level: float = 0.95
) -> pd.DataFrame:
    """Days by which half of the visits to a stage are over.

    Uses `opportunity_history` and `stages`.

    Parameters
    ----------
    as_of : Instant
        Only what happened strictly before it counts; visits still going on are kept.
    window : Window, optional
        Local dates of the time at risk; without it the 90 days before `as_of`.
    by : str or sequence of str
        As for `time_in_stage_curve`.
    quantile : float
        Share of visits over, in (0, 1).

    Returns
    -------
    DataFrame
        One row per group and stage in order (``position``, ``stage``) with the columns of `schema.RESULT`; ``value`` in days, missing where not
        reached.

    Raises
    ------
    MissingTable
        If there is no history of stages or no order of them.
    ParameterError
        If `by` is unknown.
    """
    groups = list(schema.grouping(by, STANDING))
    now = data.instant(as_of)
    window = window or last_days(now, data.company.timezone, PERIOD_DAYS)
    curve = time_in_stage_curve(data, as_of=now, window=window, by=groups, level=level)
    values = survival.quantile(curve, quantile, "left", [*groups, "stage"]).merge(stages(data)[["stage", "position"]], on="stage", how="left")
    return schema.result("pipeline.time_in_stage", values, by=[*groups, "position", "stage"], view="period", window=window, as_of=now)
