"""Deals that slip: closing dates pushed out, deals that have outlived the winners."""

from __future__ import annotations

from collections.abc import Sequence

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from kpi import engine, facts, periods, schema
from kpi.catalog import CATALOG
from kpi.dataset import Dataset, whole
from kpi.errors import ParameterError
from kpi.facts.clock import last_day
from kpi.facts.stage_visits import stages
from kpi.periods import Instant, WindowLike
from kpi.statistics import intervals

OUTLIVED = 0.9  # a deal is stale that has been in its stage longer than this share of past winners were
FLOOR = CATALOG["pipeline.stale"].floor  # visits of winners that a limit needs


def pushes(data: Dataset, *, as_of: Instant, window: WindowLike | None = None, times: Sequence[int] = (1, 2, 3), level: float = 0.95) -> pd.DataFrame:
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
    data.table("opportunity_history", "expected_close_on")
    during = facts.told_window(data, data.window(window, now))
    since, until = (periods.instant(day, data.company.timezone) for day in (during.start, during.end))
    rows, is_open = facts.changes(data, min(now, until), since), nw.col("status") == "open"
    there = rows.filter(is_open, nw.col("is_own"), nw.col("from_at") < since, nw.col("until_at").is_null() | (nw.col("until_at") >= since))
    moved = rows.filter(is_open, nw.col("status_before") == "open", nw.col("from_at") >= since)
    moved = moved.filter(_month("expected_close_on") > _month("expected_before"))
    often = moved.join(there.select("opportunity_id"), on="opportunity_id", how="semi").group_by("opportunity_id").agg(pushes=nw.len())
    found, n = engine.sizes(often, ["pushes"]), int(engine.collect(there.select(nw.len().alias("n")))["n"].iloc[0])
    table = pd.DataFrame({"horizon": list(times), "n": n, "n_events": [int(found.loc[found["pushes"] >= k, "count"].sum()) for k in times]})
    table = intervals.with_share(table, level)
    return schema.result("pipeline.pushes", table, by=[], view="period", window=during, as_of=now)


def _month(column: str) -> nw.Expr:
    day = nw.col(column)
    return day.dt.year().cast(nw.Int64) * 12 + day.dt.month().cast(nw.Int64)


@schema.renamed(share="quantile")
def stale_limits(data: Dataset, *, as_of: Instant, quantile: float = OUTLIVED) -> pd.DataFrame:
    """Days in each stage that a deal must not outlive: so long 90 % of past winners were in it at most.

    Uses `opportunity_history`, `opportunities`, `stages`.

    Parameters
    ----------
    quantile : float
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
        If `quantile` is not inside (0, 1].
    """
    if not 0 < quantile <= 1:
        raise ParameterError(f"quantile is {quantile}; give one inside (0, 1], such as 0.9")
    now = data.instant(as_of)
    winners = facts.opportunities(whole(data), now).filter(nw.col("status") == "won").select("opportunity_id")
    visits = facts.visits(data, now).filter(~nw.col("left_day").is_null(), nw.col("is_sighted") == 0).join(winners, on="opportunity_id", how="semi")
    days = engine.sizes(visits.with_columns((nw.col("left_day") - nw.col("entered_day")).alias("days")), ["stage", "days"])
    order = stages(data).query("status == 'open'")[["position", "stage"]]
    found = {stage: (int(part["count"].sum()), _limit(part, quantile)) for stage, part in days.groupby("stage")}
    counts = [found.get(stage, (0, np.nan)) for stage in order["stage"]]
    return order.assign(limit=[limit if n >= FLOOR else np.nan for n, limit in counts], n=[n for n, _ in counts]).reset_index(drop=True)


def _limit(part: pd.DataFrame, quantile: float) -> float:
    reached = part["count"].cumsum() >= quantile * part["count"].sum() - 1e-9
    return float(part.loc[reached, "days"].iloc[0])


@schema.renamed(share="quantile")
def open_ages(data: Dataset, *, as_of: Instant, quantile: float = OUTLIVED) -> pd.DataFrame:
    """List every open deal with its days in the present stage and whether it is stale, largest first.

    Uses `opportunity_history`, `opportunities`, `stages`.

    Parameters
    ----------
    quantile : float
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
    visits = facts.visits(whole(data), now).filter(nw.col("left_day").is_null()).select("opportunity_id", "stage", "entered_day")
    rows = engine.collect(visits.join(deals, on="opportunity_id", how="inner"), ["opportunity_id"])
    rows = rows.merge(stale_limits(data, as_of=now, quantile=quantile).drop(columns="n"), on="stage", how="left")
    rows["days"] = (last_day(data, now) - rows["entered_day"]).astype("int64")
    rows["is_stale"] = (rows["days"] > rows["limit"]).astype(bool)
    names = ["opportunity_id", "owner", "position", "stage", "days", "limit", "amount", "expected_close_on", "is_stale"]
    return rows.sort_values(["amount", "opportunity_id"], ascending=[False, True], ignore_index=True)[names]


@schema.renamed(share="quantile")
def stale_deals(data: Dataset, *, as_of: Instant, quantile: float = OUTLIVED) -> pd.DataFrame:
    """List the open deals that have been in their stage longer than 90 % of past winners were, largest first.

    Uses `opportunity_history`, `opportunities`, `stages`.

    Parameters
    ----------
    quantile : float
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
    rows = open_ages(data, as_of=as_of, quantile=quantile)
    return rows[rows["is_stale"]].drop(columns=["position", "is_stale"]).reset_index(drop=True)


@schema.renamed(share="quantile")
def stale(data: Dataset, *, as_of: Instant, quantile: float = OUTLIVED) -> pd.DataFrame:
    """Share of the open deals of each stage that have outlived 90 % of past winners.

    Uses `opportunity_history`, `opportunities`, `stages`.

    Parameters
    ----------
    quantile : float
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
    rows, table = open_ages(data, as_of=now, quantile=quantile), stale_limits(data, as_of=now, quantile=quantile).drop(columns="n")
    per = rows.groupby("stage").agg(n=("is_stale", "size"), n_events=("is_stale", "sum"))
    table = table.merge(per, left_on="stage", right_index=True, how="left").rename(columns={"limit": "horizon"})
    table[["n", "n_events"]] = table[["n", "n_events"]].fillna(0).astype("int64")
    table["value"] = (table["n_events"] / table["n"]).where((table["n"] > 0) & table["horizon"].notna())
    table["n_open"] = table["n"]
    return schema.result("pipeline.stale", table, by=["position", "stage"], view="snapshot", window=data.window(None, now, 1), as_of=now)
