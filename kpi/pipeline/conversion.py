"""Conversion with open records kept: the share that converted by an age, estimated by Aalen and Johansen from counts per day of age.

Two readings, both named. Cohort: records that entered in a window, followed since. Period: how records of every age fared inside a window; those
already open when it began enter late, at their age, so that the reading says how things go now. (Period analysis: Brenner and Gefeller 1996, Cancer
78:2004-2010.)
"""

from __future__ import annotations

from collections.abc import Sequence

import narwhals.stable.v2 as nw
import pandas as pd

from kpi import engine, facts, schema
from kpi.dataset import Dataset
from kpi.errors import ParameterError
from kpi.facts.clock import on_days
from kpi.periods import Instant, Window, last_days
from kpi.pipeline.groups import CLOSING_GROUPS, by_group, deals
from kpi.pipeline.ways import LEAD_TO_CUSTOMER, LEAD_TO_OPPORTUNITY, OPPORTUNITY_TO_CUSTOMER, WAYS, Way, lives, recorded_from
from kpi.statistics import intervals, survival

PERIOD_DAYS = 90
HORIZONS = (30, 90, 180, 365)


def conversion_curve(
    data: Dataset, way: str, *, as_of: Instant, window: Window | None = None, view: str = "period", by: str | Sequence[str] = (), level: float = 0.95
) -> pd.DataFrame:
    """Share converted by each day of age, with what is still open kept.

    Uses `leads` and `activities`, or `opportunities` and `opportunity_history`.

    Parameters
    ----------
    way : str
        ``lead_to_opportunity``, ``opportunity_to_customer`` or ``lead_to_customer``.
    window : Window, optional
        Local dates: of entry (cohort) or of the time at risk (period). Without it the 90 days before `as_of`.
    by : str or sequence of str
        Grouping columns of that way.

    Returns
    -------
    DataFrame
        One row per group and day of age that occurs, as `survival.aalen_johansen` gives it for the outcomes of the way.

    Raises
    ------
    MissingTable
        If a table is missing.
    ParameterError
        If `way`, `view` or `by` is unknown.
    """
    if way not in WAYS:
        raise ParameterError(f"way {way!r} is unknown; use one of {', '.join(WAYS)}")
    groups = schema.grouping(by, WAYS[way].groups)
    now = data.instant(as_of)
    window = window or last_days(now, data.company.timezone, PERIOD_DAYS)
    chosen = WAYS[way]
    counts = facts.at_risk(lives(data, chosen, now, groups), window, view, groups, recorded_from(data, chosen))
    return survival.aalen_johansen(survival.event_table(counts, chosen.causes, groups), chosen.causes, groups, level)


def lead_to_opportunity(
    data: Dataset,
    *,
    as_of: Instant,
    window: Window | None = None,
    view: str = "period",
    by: str | Sequence[str] = (),
    horizons: Sequence[float] = (30, 90, 180),
    level: float = 0.95,
) -> pd.DataFrame:
    """Share of leads that become an opportunity within 30, 90, 180 days; a disqualification ends the wait.

    Uses `leads`, `activities`, `opportunities`.

    Parameters
    ----------
    window : Window, optional
        As for `conversion_curve`.
    by : str or sequence of str
        Any of source, owner, team, country, month, quarter.
    horizons : sequence of float
        Ages in days.

    Returns
    -------
    DataFrame
        One row per group and horizon with the columns of `schema.RESULT`; ``n`` leads under observation, ``n_open`` still open before that age.

    Raises
    ------
    MissingTable
        If a table is missing.
    ParameterError
        If `view` or `by` is unknown.
    """
    return _converted(data, LEAD_TO_OPPORTUNITY, as_of, window, view, by, horizons, level)


def opportunity_to_customer(
    data: Dataset,
    *,
    as_of: Instant,
    window: Window | None = None,
    view: str = "period",
    by: str | Sequence[str] = (),
    horizons: Sequence[float] = HORIZONS,
    level: float = 0.95,
) -> pd.DataFrame:
    """Share of opportunities won within 30, 90, 180, 365 days of their creation; a loss ends the wait.

    Uses `opportunities` and `opportunity_history`.

    Parameters
    ----------
    window : Window, optional
        As for `conversion_curve`.
    by : str or sequence of str
        Any of source, owner, product, size, month, quarter.
    horizons : sequence of float
        Ages in days.

    Returns
    -------
    DataFrame
        One row per group and horizon with the columns of `schema.RESULT`; ``n`` opportunities under observation, ``n_open`` still open before that
        age.

    Raises
    ------
    MissingTable
        If there are no opportunities.
    ParameterError
        If `view` or `by` is unknown.

    Notes
    -----
    Opportunities without a creation date have no age and are left out here; counts and the closed-deal win rate keep them.
    """
    return _converted(data, OPPORTUNITY_TO_CUSTOMER, as_of, window, view, by, horizons, level)


def lead_to_customer(
    data: Dataset,
    *,
    as_of: Instant,
    window: Window | None = None,
    view: str = "period",
    by: str | Sequence[str] = (),
    horizons: Sequence[float] = HORIZONS,
    level: float = 0.95,
) -> pd.DataFrame:
    """Share of leads that have a won deal, or else became a customer, within 30, 90, 180, 365 days of their inquiry.

    Uses `leads`, `activities`, `opportunities`; of leads that name a customer without a won deal, when it was acquired.

    Parameters
    ----------
    window : Window, optional
        As for `conversion_curve`.
    by : str or sequence of str
        Any of source, owner, team, country, month, quarter.
    horizons : sequence of float
        Ages in days.

    Returns
    -------
    DataFrame
        One row per group and horizon with the columns of `schema.RESULT`. A lead that was disqualified or whose deal was lost stays in the
        denominator: it may come back.

    Raises
    ------
    MissingTable
        If a table is missing.
    ParameterError
        If `view` or `by` is unknown.
    """
    return _converted(data, LEAD_TO_CUSTOMER, as_of, window, view, by, horizons, level)


def closed_win_rate(
    data: Dataset,
    *,
    as_of: Instant,
    window: Window | None = None,
    by: str | Sequence[str] = (),
    weight: str = "count",
    seed: int = 1,
    level: float = 0.95,
) -> pd.DataFrame:
    """Share of the opportunities closed lately that were won; what is still open is left out, so it misleads when deals age.

    Uses `opportunities` and `opportunity_history`.

    Parameters
    ----------
    as_of : Instant
        Only what happened strictly before it counts; status and owner are those known then.
    window : Window, optional
        Local dates of closing; without it the 90 days before `as_of`.
    by : str or sequence of str
        Any of source, owner, product, size, month, quarter (of closing).
    weight : str
        ``count`` (every deal counts the same) or ``amount`` (the share of the closed amount that was won; unknown amounts are left out).
    seed : int
        Of the bootstrap, by amount.
    level : float
        Coverage of the interval, in (0, 1): Wilson by count, bootstrap over deals by amount.

    Returns
    -------
    DataFrame
        One row per group with the columns of `schema.RESULT`; ``n`` closed, ``n_events`` won, ``n_open`` still open at `as_of`.

    Raises
    ------
    MissingTable
        If there are no opportunities.
    ParameterError
        If `by` or `weight` is unknown.
    """
    if weight not in ("count", "amount"):
        raise ParameterError(f"weight {weight!r} is unknown; use count or amount")
    groups = schema.grouping(by, CLOSING_GROUPS)
    now = data.instant(as_of)
    window = window or last_days(now, data.company.timezone, PERIOD_DAYS)
    rows = deals(data, now, groups, CLOSING_GROUPS)
    closed, is_open = on_days(nw.col("closed_day"), window), nw.col("status") == "open"
    if {"month", "quarter"} & set(groups):
        rows = rows.filter(closed)
    table = engine.counts(rows, groups, n=closed, n_events=closed & (nw.col("status") == "won"), n_open=is_open)
    table["value"] = (table["n_events"] / table["n"]).where(table["n"] > 0)
    table["low"], table["high"] = intervals.wilson(table["n_events"], table["n"], level)
    key = "pipeline.closed_win_rate"
    if weight == "amount":
        key = "pipeline.closed_win_rate_by_amount"
        weighed = engine.sizes(rows.filter(closed, ~nw.col("amount").is_null()), [*groups, "status", "amount"])
        table = table.drop(columns=["value", "low", "high"]).merge(_weighed(weighed, list(groups), seed, level), **_on(groups), how="left")
    return schema.result(key, table, by=list(groups), view="period", window=window, as_of=now)


def _converted(data: Dataset, way: Way, as_of, window, view, by, horizons, level) -> pd.DataFrame:
    curve = conversion_curve(data, way.key.removeprefix("pipeline."), as_of=as_of, window=window, view=view, by=by, level=level)
    groups = list(schema.grouping(by, way.groups))
    values = survival.at(curve, horizons, way.causes[0], groups)
    now = data.instant(as_of)
    return schema.result(way.key, values, by=groups, view=view, window=window or last_days(now, data.company.timezone, PERIOD_DAYS), as_of=now)


def _on(groups: Sequence[str]) -> dict:
    return {"on": list(groups)} if groups else {"left_index": True, "right_index": True}


def _weighed(closed: pd.DataFrame, groups: list[str], seed: int, level: float) -> pd.DataFrame:
    """Share of the amount that was won, per group."""
    rows = []
    for name, part in by_group(closed, groups):
        won, amount, count = (part["status"] == "won").to_numpy(dtype=float), part["amount"].to_numpy(dtype=float), part["count"].to_numpy()
        total = float((amount * count).sum())
        low, high = intervals.bootstrap(won, "mean", seed=seed, level=level, counts=count, weights=amount) if total > 0 else (None, None)
        value = float((won * amount * count).sum()) / total if total > 0 else None
        rows.append(name | {"value": value, "low": low, "high": high})
    return pd.DataFrame(rows, columns=[*groups, "value", "low", "high"]).astype(dict(closed[groups].dtypes))
