"""Stage by stage: which share goes on to the next stage or beyond, how long deals stay, and who went where."""

from __future__ import annotations

from collections.abc import Sequence

import narwhals.stable.v2 as nw
import pandas as pd

from kpi import engine, facts, periods, schema
from kpi.catalog import CATALOG
from kpi.dataset import Dataset, whole
from kpi.facts import records
from kpi.facts.clock import last_day
from kpi.facts.stage_visits import stages
from kpi.periods import Instant, Window, WindowLike
from kpi.pipeline.deal_groups import DEAL_GROUPS, STANDING, deals, with_groups
from kpi.statistics import survival

MOVES = ("forward", "skipped", "back", "reopened")
FLOWS = ["forward", "skipped", "back", "won", "lost", "deleted", "open"]


def stage_conversion(
    data: Dataset,
    *,
    as_of: Instant,
    window: WindowLike | None = None,
    view: str = "period",
    by: str | Sequence[str] = (),
    horizon: float = CATALOG["pipeline.stage_conversion"].horizons[0],
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
        Any of source, owner (when the stage was reached), product, size.
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
    during, keys = data.window(window, now), [*groups, "position"]
    order = stages(data).query("status != 'lost'").reset_index(drop=True)
    counts = facts.at_risk(steps(data, now, groups, direct), during, view, keys)
    values = facts.incidence(counts, ("advanced", "skipped", "lost"), (horizon,), keys, level)
    names = order.assign(next_stage=order["stage"].shift(-1))[["position", "stage", "next_stage"]]
    values = values.merge(names, on="position", how="left")
    return schema.result("pipeline.stage_conversion", values, by=[*keys, "stage", "next_stage"], view=view, window=during, as_of=now)


def steps(data: Dataset, as_of: pd.Timestamp, groups: Sequence[str] = (), direct: bool = False) -> nw.LazyFrame:
    """List the steps that opportunities are at or have taken: from reaching a stage to reaching the next one, or beyond it, or to the loss."""
    order = stages(data).query("status != 'lost'")
    moved, lost = ~nw.col("next_day").is_null(), nw.col("status") == "lost"
    ends = nw.when(moved).then(nw.col("next_day")).when(lost).then(nw.col("closed_day")).otherwise(nw.lit(last_day(data, as_of)))
    passed = "skipped" if direct else "advanced"
    outcome = records.first((moved & (nw.col("skipped") == 1), passed), (moved, "advanced"), (lost, "lost"), otherwise="censored")
    entered = facts.reached(data, as_of).filter(nw.col("position") < int(order["position"].max()), nw.col("is_sighted") == 0)
    rows = with_groups(data, entered, as_of, groups)
    named = ends.alias("end_day"), outcome.alias("outcome")
    return rows.select("opportunity_id", "position", *groups, nw.col("reached_day").alias("start_day"), *named)


def funnel(
    data: Dataset,
    *,
    as_of: Instant,
    window: WindowLike | None = None,
    view: str = "period",
    by: str | Sequence[str] = (),
    horizon: float = CATALOG["pipeline.funnel"].horizons[0],
    level: float = 0.95,
) -> pd.DataFrame:
    """Share of the opportunities created that reach each stage, or go beyond it, and in the end are won; a loss ends the wait.

    Uses `opportunity_history`, `opportunities`, `stages`.

    Parameters
    ----------
    window : Window, optional
        Local dates: of the time at risk (period) or of creation (cohort). Without it the 90 days before `as_of`.
    by : str or sequence of str
        Any of source, owner, product, size, month, quarter (owner, month and quarter of creation).
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
    during, keys = data.window(window, now), [*groups, "position"]
    order = stages(data).query("status != 'lost'")[["position", "stage"]].reset_index(drop=True)
    parts = [_arrivals(data, now, int(place), during, view, groups) for place in order["position"]]
    values = facts.incidence(pd.concat(parts, ignore_index=True), ("reached", "lost"), (horizon,), keys, level)
    values = values.merge(order, on="position", how="left")
    return schema.result("pipeline.funnel", values, by=[*keys, "stage"], view=view, window=during, as_of=now)


def _arrivals(data: Dataset, now: pd.Timestamp, place: int, window: Window, view: str, groups: Sequence[str]) -> pd.DataFrame:
    """Deals by age and by whether they have reached a stage, as counts."""
    reached = facts.reached(whole(data), now)
    with_history = reached.select("opportunity_id").unique()
    there = reached.filter(nw.col("position") == place).select("opportunity_id", "reached_day", "is_sighted")
    rows = deals(data, now, groups).join(with_history, on="opportunity_id", how="semi").join(there, on="opportunity_id", how="left")
    rows = rows.filter(nw.col("is_sighted").is_null() | (nw.col("is_sighted") == 0))
    lost, got_there = nw.col("status") == "lost", ~nw.col("reached_day").is_null()
    ends = nw.when(got_there).then(nw.col("reached_day")).when(lost).then(nw.col("closed_day")).otherwise(nw.lit(last_day(data, now)))
    outcome = records.first((got_there, "reached"), (lost, "lost"), otherwise="censored")
    rows = rows.select(*groups, nw.col("created_day").alias("start_day"), ends.alias("end_day"), outcome.alias("outcome"))
    return facts.at_risk(rows, window, view, groups, facts.told_from(data)).assign(position=place)


def time_in_stage_curve(
    data: Dataset, *, as_of: Instant, window: WindowLike | None = None, by: str | Sequence[str] = (), level: float = 0.95
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
    staying = nw.col("left_day").is_null()
    rows = with_groups(data, facts.visits(data, now).filter(nw.col("is_sighted") == 0), now, keys[:-1]).select(
        *keys,
        nw.col("entered_day").alias("start_day"),
        nw.when(staying).then(nw.lit(last_day(data, now))).otherwise(nw.col("left_day")).alias("end_day"),
        nw.when(staying).then(nw.lit("censored")).otherwise(nw.lit("left")).alias("outcome"),
    )
    return facts.incidence_curve(facts.at_risk(rows, data.window(window, now), "period", keys), ("left",), keys, level)


def time_in_stage(
    data: Dataset, *, as_of: Instant, window: WindowLike | None = None, by: str | Sequence[str] = (), quantile: float = 0.5, level: float = 0.95
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
    during = data.window(window, now)
    curve = time_in_stage_curve(data, as_of=now, window=during, by=groups, level=level)
    values = survival.quantile(curve, quantile, "left", [*groups, "stage"]).merge(stages(data)[["stage", "position"]], on="stage", how="left")
    return schema.result("pipeline.time_in_stage", values, by=[*groups, "position", "stage"], view="period", window=during, as_of=now)


def stage_moves(data: Dataset, *, as_of: Instant, window: WindowLike | None = None) -> pd.DataFrame:
    """How often deals moved forward, passed over a stage, went back, were reopened.

    Uses `opportunity_history` and `stages`.

    Parameters
    ----------
    window : Window, optional
        Local dates; without it the 90 days before `as_of`.

    Returns
    -------
    DataFrame
        One row per ``move`` (forward, skipped, back, reopened) with the columns of `schema.RESULT`: ``value`` moves, ``n`` moves of all kinds.

    Raises
    ------
    MissingTable
        If there is no history of stages or no order of them.
    """
    now, during, rows = _moves(data, as_of, window)
    reopened = (nw.col("status_before") != "open") & (nw.col("status") == "open")
    onward = (nw.col("status_before") == "open") & (nw.col("status") == "open")
    step = nw.col("rank") - nw.col("rank_before")
    kinds = {"forward": onward & (step == 1), "skipped": onward & (step > 1), "back": onward & (step < 0), "reopened": reopened}
    found = engine.counts(rows, [], **kinds).iloc[0]
    numbers = [int(found[move]) for move in MOVES]
    table = pd.DataFrame({"move": list(MOVES), "value": numbers, "n_events": numbers, "n": sum(numbers)})
    return schema.result("pipeline.stage_moves", table, by=["move"], view="period", window=during, as_of=now)


def stage_flow(data: Dataset, *, as_of: Instant, window: WindowLike | None = None) -> pd.DataFrame:
    """Who went where: of the stays in each stage, how many went on, passed over a stage, went back, were won, were lost, are still open.

    Uses `opportunity_history` and `stages`.

    Parameters
    ----------
    window : Window, optional
        Local dates; without it the 90 days before `as_of`.

    Returns
    -------
    DataFrame
        One row per open stage (``position``, ``stage``) and ``move`` (forward, skipped, back, won, lost, deleted, open; unknown to a stage not
        listed) with the columns of `schema.RESULT`: ``value`` share of the stays, ``n`` stays in the stage during the window (there at its start, or
        come in it), ``n_events`` of them that left so; the moves add up to ``n``. An account, so without interval.

    Raises
    ------
    MissingTable
        If there is no history of stages or no order of them.
    """
    now, during, rows = _moves(data, as_of, window)
    until = min(now, periods.instant(during.end, data.company.timezone))
    was_open, is_open, step = nw.col("status_before") == "open", nw.col("status") == "open", nw.col("rank") - nw.col("rank_before")
    left = rows.filter(was_open, ~is_open | (nw.col("stage") != nw.col("stage_before"))).with_columns(
        nw.when(~is_open).then(nw.col("status")).when(step == 1).then(nw.lit("forward")).when(step > 1).then(nw.lit("skipped"))
        .when(step < 0).then(nw.lit("back")).otherwise(nw.lit("unknown")).alias("move"),
        nw.col("stage_before").alias("left"),
    )  # fmt: skip
    every = facts.states(data, until).filter(is_open)
    since = periods.instant(during.start, data.company.timezone)
    deleted = every.filter(nw.col("deleted_at") >= since).with_columns(nw.lit("deleted").alias("move"), nw.col("stage").alias("left"))
    still = every.filter(nw.col("until_at").is_null()).with_columns(nw.lit("open").alias("move"), nw.col("stage").alias("left"))
    counts = pd.concat([engine.sizes(part, ["left", "move"], "n_events") for part in (left, deleted, still)], ignore_index=True)
    order = stages(data).query("status == 'open'")[["position", "stage"]]
    every_move = pd.DataFrame({"move": FLOWS + ["unknown"] * bool((counts["move"] == "unknown").any())})
    table = order.merge(every_move, how="cross").merge(counts.rename(columns={"left": "stage"}), on=["stage", "move"], how="left")
    table["n_events"] = table["n_events"].fillna(0).astype("int64")
    table["n"] = table.groupby("stage")["n_events"].transform("sum")
    table["value"] = (table["n_events"] / table["n"]).where(table["n"] > 0)
    return schema.result("pipeline.stage_flow", table, by=["position", "stage", "move"], view="period", window=during, as_of=now)


def _moves(data: Dataset, as_of: Instant, window: WindowLike | None) -> tuple[pd.Timestamp, Window, nw.LazyFrame]:
    """Changes inside the window, with the rank of the stage before and after among those that are not lost."""
    now = data.instant(as_of)
    data.table("opportunity_history")
    during = facts.told_window(data, data.window(window, now))
    order = stages(data).query("status != 'lost'").reset_index(drop=True)
    ranks = data.engine.put(pd.DataFrame({"place": order["stage"].astype("str"), "rank": range(len(order))}))
    since, until = (periods.instant(day, data.company.timezone) for day in (during.start, during.end))
    rows = facts.changes(data, min(now, until), since).filter(nw.col("is_own"), nw.col("from_at") >= since, ~nw.col("status_before").is_null())
    rows = rows.join(ranks, left_on="stage", right_on="place", how="left")
    return now, during, rows.join(ranks.rename({"rank": "rank_before"}), left_on="stage_before", right_on="place", how="left")
