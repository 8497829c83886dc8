"""Deals that slip: closing dates pushed out, deals that have outlived the winners, steps back, why deals are lost."""

from __future__ import annotations

from collections.abc import Sequence

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from kpi import engine, facts, periods, schema
from kpi.dataset import Dataset
from kpi.errors import ParameterError
from kpi.facts.clock import last_day, on_days
from kpi.facts.opportunities import stages
from kpi.periods import Instant, Window, last_days
from kpi.pipeline.conversion import PERIOD_DAYS
from kpi.pipeline.groups import STANDING, by_group, deals
from kpi.statistics import intervals

OUTLIVED = 0.9  # a deal is stale that has been in its stage longer than this share of past winners were
FLOOR = 20  # visits of winners that a limit needs
MOVES = ("forward", "skipped", "back", "reopened")


def pushes(data: Dataset, *, as_of: Instant, window: Window | None = None, times: Sequence[int] = (1, 2, 3), level: float = 0.95) -> pd.DataFrame:
    """Share of the open deals whose expected close was moved to a later month: once, twice, three times.

    Uses `opportunities` and `opportunity_history` with ``expected_close_on``.

    Parameters
    ----------
    window : Window, optional
        Local dates of the moves; without it the 90 days before `as_of`.
    times : sequence of int
        At least so many moves.
    level : float
        Coverage of the Wilson interval, in (0, 1).

    Returns
    -------
    DataFrame
        One row per number of moves (``horizon``) with the columns of `schema.RESULT`; ``n`` deals open when the window began, ``n_events`` of them
        moved at least so often while open in it.

    Raises
    ------
    MissingTable
        If there is no history, or it has no closing dates.
    """
    now = data.instant(as_of)
    window = window or last_days(now, data.company.timezone, PERIOD_DAYS)
    data.table("opportunity_history", "expected_close_on")
    since, until = (periods.instant(day, data.company.timezone) for day in (window.start, window.end))
    rows, is_open = facts.turns(data, min(now, until), since), nw.col("status") == "open"
    there = rows.filter(is_open, nw.col("from_at") < since, nw.col("until_at").is_null() | (nw.col("until_at") >= since)).select("opportunity_id")
    moved = rows.filter(is_open, nw.col("status_before") == "open", nw.col("from_at") >= since)
    moved = moved.filter(_month("expected_close_on") > _month("expected_before"))
    often = moved.join(there, on="opportunity_id", how="semi").group_by("opportunity_id").agg(pushes=nw.len())
    found, n = engine.sizes(often, ["pushes"]), int(engine.collect(there.select(nw.len().alias("n")))["n"].iloc[0])
    table = pd.DataFrame({"horizon": list(times), "n": n, "n_events": [int(found.loc[found["pushes"] >= k, "count"].sum()) for k in times]})
    table["value"] = (table["n_events"] / table["n"]).where(table["n"] > 0)
    table["low"], table["high"] = intervals.wilson(table["n_events"], table["n"], level)
    return schema.result("pipeline.pushes", table, by=[], view="period", window=window, as_of=now)


def _month(column: str) -> nw.Expr:
    day = nw.col(column)
    return day.dt.year().cast(nw.Int64) * 12 + day.dt.month().cast(nw.Int64)


def stale_limits(data: Dataset, *, as_of: Instant, share: float = OUTLIVED) -> pd.DataFrame:
    """Days in each stage that a deal must not outlive: so long 90 % of past winners were in it at most.

    Uses `opportunity_history`, `opportunities`, `stages`.

    Parameters
    ----------
    share : float
        Share of the winners' visits, in (0, 1].

    Returns
    -------
    DataFrame
        One row per open stage in order: ``position``, ``stage``, ``limit`` in days (missing with fewer than 20 visits), ``n`` visits of winners.

    Raises
    ------
    MissingTable
        If there is no history of stages or no order of them.
    ParameterError
        If `share` is not inside (0, 1].
    """
    if not 0 < share <= 1:
        raise ParameterError(f"share is {share}; give one inside (0, 1], such as 0.9")
    now = data.instant(as_of)
    winners = facts.opportunities(data, now).filter(nw.col("status") == "won").select("opportunity_id")
    visits = facts.visits(data, now).filter(~nw.col("left_day").is_null()).join(winners, on="opportunity_id", how="semi")
    days = engine.sizes(visits.with_columns((nw.col("left_day") - nw.col("entered_day")).alias("days")), ["stage", "days"])
    order = stages(data).query("status == 'open'")[["position", "stage"]]
    found = {stage: (int(part["count"].sum()), _limit(part, share)) for stage, part in days.groupby("stage")}
    counts = [found.get(stage, (0, np.nan)) for stage in order["stage"]]
    return order.assign(limit=[limit if n >= FLOOR else np.nan for n, limit in counts], n=[n for n, _ in counts]).reset_index(drop=True)


def _limit(part: pd.DataFrame, share: float) -> float:
    reached = part["count"].cumsum() >= share * part["count"].sum() - 1e-9
    return float(part.loc[reached, "days"].iloc[0])


def open_ages(data: Dataset, *, as_of: Instant, share: float = OUTLIVED) -> pd.DataFrame:
    """List every open deal with its days in the present stage and whether it is stale, largest first.

    Uses `opportunity_history`, `opportunities`, `stages`.

    Parameters
    ----------
    share : float
        As for `stale_limits`.

    Returns
    -------
    DataFrame
        ``opportunity_id``, ``owner``, ``position``, ``stage``, ``days``, ``limit``, ``amount`` (company currency), ``expected_close_on``,
        ``is_stale``.

    Raises
    ------
    MissingTable
        If there is no history of stages or no order of them.
    """
    now = data.instant(as_of)
    deals = facts.opportunities(data, now).filter(nw.col("status") == "open").select("opportunity_id", "owner", "amount", "expected_close_on")
    visits = facts.visits(data, now).filter(nw.col("left_day").is_null()).select("opportunity_id", "stage", "entered_day")
    rows = engine.collect(visits.join(deals, on="opportunity_id", how="inner"), ["opportunity_id"])
    rows = rows.merge(stale_limits(data, as_of=now, share=share).drop(columns="n"), on="stage", how="left")
    rows["days"] = (last_day(data, now) - rows["entered_day"]).astype("int64")
    rows["is_stale"] = (rows["days"] > rows["limit"]).astype(bool)
    names = ["opportunity_id", "owner", "position", "stage", "days", "limit", "amount", "expected_close_on", "is_stale"]
    return rows.sort_values(["amount", "opportunity_id"], ascending=[False, True], ignore_index=True)[names]


def stale_deals(data: Dataset, *, as_of: Instant, share: float = OUTLIVED) -> pd.DataFrame:
    """List the open deals that have been in their stage longer than 90 % of past winners were, largest first.

    Uses `opportunity_history`, `opportunities`, `stages`.

    Parameters
    ----------
    share : float
        As for `stale_limits`.

    Returns
    -------
    DataFrame
        ``opportunity_id``, ``owner``, ``stage``, ``days``, ``limit``, ``amount``, ``expected_close_on``.

    Raises
    ------
    MissingTable
        If there is no history of stages or no order of them.
    """
    rows = open_ages(data, as_of=as_of, share=share)
    return rows[rows["is_stale"]].drop(columns=["position", "is_stale"]).reset_index(drop=True)


def stale(data: Dataset, *, as_of: Instant, share: float = OUTLIVED) -> pd.DataFrame:
    """Share of the open deals of each stage that have outlived 90 % of past winners.

    Uses `opportunity_history`, `opportunities`, `stages`.

    Parameters
    ----------
    share : float
        As for `stale_limits`.

    Returns
    -------
    DataFrame
        One row per open stage in order (``position``, ``stage``) with the columns of `schema.RESULT`: ``horizon`` the limit in days, ``n`` open
        deals, ``n_events`` stale ones; an exact count, so without interval. Missing where too few were won to set a limit.

    Raises
    ------
    MissingTable
        If there is no history of stages or no order of them.
    """
    now = data.instant(as_of)
    rows, table = open_ages(data, as_of=now, share=share), stale_limits(data, as_of=now, share=share).drop(columns="n")
    per = rows.groupby("stage").agg(n=("is_stale", "size"), n_events=("is_stale", "sum"))
    table = table.merge(per, left_on="stage", right_index=True, how="left").rename(columns={"limit": "horizon"})
    table[["n", "n_events"]] = table[["n", "n_events"]].fillna(0).astype("int64")
    table["value"] = (table["n_events"] / table["n"]).where((table["n"] > 0) & table["horizon"].notna())
    table["n_open"] = table["n"]
    window = last_days(now, data.company.timezone, 1)
    return schema.result("pipeline.stale", table, by=["position", "stage"], view="snapshot", window=window, as_of=now)


def stage_moves(data: Dataset, *, as_of: Instant, window: Window | None = None) -> pd.DataFrame:
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
    now, window, rows = _moves(data, as_of, window)
    reopened = (nw.col("status_before") != "open") & (nw.col("status") == "open")
    onward = (nw.col("status_before") == "open") & (nw.col("status") == "open")
    step = nw.col("rank") - nw.col("rank_before")
    kinds = {"forward": onward & (step == 1), "skipped": onward & (step > 1), "back": onward & (step < 0), "reopened": reopened}
    found = engine.counts(rows, [], **kinds).iloc[0]
    table = pd.DataFrame(
        {
            "move": list(MOVES),
            "value": [int(found[move]) for move in MOVES],
            "n_events": [int(found[move]) for move in MOVES],
            "n": int(sum(found[move] for move in MOVES)),
        }
    )
    return schema.result("pipeline.stage_moves", table, by=["move"], view="period", window=window, as_of=now)


def stage_flow(data: Dataset, *, as_of: Instant, window: Window | None = None) -> pd.DataFrame:
    """Who went where: of the stays in each stage, how many went on, passed over a stage, went back, were won, were lost, are still open.

    Uses `opportunity_history` and `stages`.

    Parameters
    ----------
    window : Window, optional
        Local dates; without it the 90 days before `as_of`.

    Returns
    -------
    DataFrame
        One row per open stage (``position``, ``stage``) and ``move`` (forward, skipped, back, won, lost, deleted, open) with the columns of
        `schema.RESULT`: ``value`` share of the stays, ``n`` stays in the stage during the window (there at its start, or come in it), ``n_events``
        of them that left so; the moves add up to ``n``. An account, so without interval.

    Raises
    ------
    MissingTable
        If there is no history of stages or no order of them.
    """
    now, window, rows = _moves(data, as_of, window)
    until = min(now, periods.instant(window.end, data.company.timezone))
    was_open, is_open, step = nw.col("status_before") == "open", nw.col("status") == "open", nw.col("rank") - nw.col("rank_before")
    left = rows.filter(was_open, ~is_open | (nw.col("stage") != nw.col("stage_before"))).with_columns(
        nw.when(~is_open).then(nw.col("status")).when(step == 1).then(nw.lit("forward")).when(step > 1).then(nw.lit("skipped"))
        .otherwise(nw.lit("back")).alias("move"),
        nw.col("stage_before").alias("left"),
    )  # fmt: skip
    every = facts.spells(data, until).filter(is_open)
    since = periods.instant(window.start, data.company.timezone)
    deleted = every.filter(nw.col("deleted_at") >= since).with_columns(nw.lit("deleted").alias("move"), nw.col("stage").alias("left"))
    still = every.filter(nw.col("until_at").is_null()).with_columns(nw.lit("open").alias("move"), nw.col("stage").alias("left"))
    counts = pd.concat([engine.sizes(part, ["left", "move"], "n_events") for part in (left, deleted, still)], ignore_index=True)
    order = stages(data).query("status == 'open'")[["position", "stage"]]
    every_move = pd.DataFrame({"move": ["forward", "skipped", "back", "won", "lost", "deleted", "open"]})
    table = order.merge(every_move, how="cross").merge(counts.rename(columns={"left": "stage"}), on=["stage", "move"], how="left")
    table["n_events"] = table["n_events"].fillna(0).astype("int64")
    table["n"] = table.groupby("stage")["n_events"].transform("sum")
    table["value"] = (table["n_events"] / table["n"]).where(table["n"] > 0)
    return schema.result("pipeline.stage_flow", table, by=["position", "stage", "move"], view="period", window=window, as_of=now)


def _moves(data: Dataset, as_of: Instant, window: Window | None) -> tuple[pd.Timestamp, Window, nw.LazyFrame]:
    """Changes inside the window, with the rank of the stage before and after among those that are not lost."""
    now = data.instant(as_of)
    window = window or last_days(now, data.company.timezone, PERIOD_DAYS)
    data.table("opportunity_history")
    order = stages(data).query("status != 'lost'").reset_index(drop=True)
    ranks = data.engine.put(pd.DataFrame({"place": order["stage"].astype("str"), "rank": range(len(order))}))
    since, until = (periods.instant(day, data.company.timezone) for day in (window.start, window.end))
    rows = facts.turns(data, min(now, until), since).filter(nw.col("from_at") >= since, ~nw.col("status_before").is_null())
    rows = rows.join(ranks, left_on="stage", right_on="place", how="left")
    return now, window, rows.join(ranks.rename({"rank": "rank_before"}), left_on="stage_before", right_on="place", how="left")


def loss_reasons(
    data: Dataset,
    *,
    as_of: Instant,
    window: Window | None = None,
    by: str | Sequence[str] = (),
    weight: str = "count",
    seed: int = 1,
    level: float = 0.95,
) -> pd.DataFrame:
    """Why deals were lost: share of each reason in the deals lost, or in their amount.

    Uses `opportunities` with ``lost_reason``.

    Parameters
    ----------
    window : Window, optional
        Local dates of closing; without it the 90 days before `as_of`.
    by : str or sequence of str
        Any of source, owner, product, size.
    weight : str
        ``count`` or ``amount`` (unknown amounts are left out).
    seed : int
        Of the bootstrap, by amount.
    level : float
        Coverage of the interval, in (0, 1): Wilson by count, bootstrap over deals by amount.

    Returns
    -------
    DataFrame
        One row per group and ``reason`` with the columns of `schema.RESULT`; ``n`` deals lost, ``n_events`` for that reason; and ``amount``, the sum
        of those known.

    Raises
    ------
    MissingTable
        If there are no opportunities, or they have no reasons.
    ParameterError
        If `by` or `weight` is unknown.
    """
    groups = list(schema.grouping(by, STANDING))
    if weight not in ("count", "amount"):
        raise ParameterError(f"weight {weight!r} is unknown; use count or amount")
    now = data.instant(as_of)
    window = window or last_days(now, data.company.timezone, PERIOD_DAYS)
    data.table("opportunities", "lost_reason")
    lost = deals(data, now, groups, STANDING).filter(nw.col("status") == "lost", on_days(nw.col("closed_day"), window))
    lost = lost.with_columns(nw.col("lost_reason").fill_null(nw.lit(schema.BLANK)).alias("reason"))
    counts = engine.sizes(lost, [*groups, "reason", "amount"])
    parts = [_shares(part, weight, seed, level).assign(**name) for name, part in by_group(counts, groups)]
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=[*groups, "reason"])
    return schema.result("pipeline.loss_reasons", table, by=[*groups, "reason"], view="period", window=window, as_of=now, more=["amount"])


def _shares(lost: pd.DataFrame, weight: str, seed: int, level: float) -> pd.DataFrame:
    """Share of each reason in the lost deals of one group."""
    table = lost.assign(amount=lost["amount"].astype("float64") * lost["count"]).groupby("reason", as_index=False)
    table = table.agg(n_events=("count", "sum"), amount=("amount", "sum"))
    table["n"] = int(lost["count"].sum())
    if weight == "count":
        table["value"] = table["n_events"] / table["n"]
        table["low"], table["high"] = intervals.wilson(table["n_events"], table["n"], level)
    else:
        known = lost[lost["amount"].notna()]
        table["value"] = table["amount"] / table["amount"].sum() if table["amount"].sum() > 0 else np.nan
        spans = [_span(known, reason, seed, level) for reason in table["reason"]]
        table["low"], table["high"] = [low for low, _ in spans], [high for _, high in spans]
    return table


def _span(lost: pd.DataFrame, reason: str, seed: int, level: float) -> tuple[float, float]:
    is_it, amount = (lost["reason"] == reason).to_numpy(dtype=float), lost["amount"].to_numpy(dtype=float)
    return intervals.bootstrap(is_it, "mean", seed=seed, level=level, counts=lost["count"].to_numpy(), weights=amount)
