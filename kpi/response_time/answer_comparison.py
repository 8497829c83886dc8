"""Answers within the hour side by side: by clock, by group, by opening hours, and against another time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from kpi import schema
from kpi.dataset import Dataset
from kpi.periods import Instant, WindowLike
from kpi.response_time.answers import answered_within, response_time
from kpi.response_time.assignment import PARTS
from kpi.response_time.inquiries import CLOCKS, TYPICAL, groups_of, within
from kpi.response_time.waiting import never_answered
from kpi.schema import By, renamed
from kpi.statistics import intervals


@renamed(threshold="horizon")
def on_both_clocks(data: Dataset, *, as_of: Instant, window: WindowLike | None = None, horizon: float = 3600, level: float = 0.95) -> pd.DataFrame:
    """Answered within a delay, median and P90, on the wall clock and counting business hours only.

    Uses `leads` and `activities`.

    Parameters
    ----------
    window : Window, str or pair of dates, optional
        Local dates on which the leads came in.
    horizon : float
        Delay in seconds.

    Returns
    -------
    DataFrame
        One row per ``clock`` with the columns of `schema.RESULT` for the share answered within `horizon`, ``median`` and ``slow`` (P90) in seconds.

    Raises
    ------
    MissingTable
        If leads or activities are missing.
    """
    parts = {clock: within(data, *PARTS["attempt"], as_of, window, (), clock, (horizon,), level, TYPICAL) for clock in CLOCKS}
    return pd.concat(parts, names=["clock"]).reset_index("clock").reset_index(drop=True)


@renamed(threshold="horizon")
def compared(
    data: Dataset, *, as_of: Instant, window: WindowLike | None = None, past: WindowLike, by: str, horizon: float = 3600, level: float = 0.95
) -> pd.DataFrame:
    """Sources, owners or teams side by side: answered within a delay now and before, median, and who still waits.

    Uses `leads` and `activities`.

    Parameters
    ----------
    window, past : Window, str or pair of dates
        Local dates on which the leads came in, now and in the time to compare with.
    by : str
        One grouping column of `response_curve`.
    horizon : float
        Delay in seconds.

    Returns
    -------
    DataFrame
        One row per group with leads in `window` and the columns of `schema.RESULT` for the share answered within `horizon`; ``before`` that share
        in `past`, ``median`` in seconds, ``waiting`` leads without an answer after more than 24 hours.

    Raises
    ------
    MissingTable
        If leads or activities are missing.
    ParameterError
        If `by` is unknown.
    """
    now: dict[str, Any] = {"as_of": as_of, "window": window, "by": by}
    table = answered_within(data, **now, horizons=(horizon,), level=level)
    before = answered_within(data, as_of=as_of, window=past, by=by, horizons=(horizon,), level=level)
    more = {"before": (before, "value"), "median": (response_time(data, **now), "value"), "waiting": (never_answered(data, **now), "n_events")}
    for name, (result, column) in more.items():
        table = table.merge(result[[by, column]].rename(columns={column: name}), on=by, how="left")
    return table


@renamed(threshold="horizon")
def out_of_hours(data: Dataset, *, as_of: Instant, window: WindowLike | None = None, horizon: float = 3600, level: float = 0.95) -> pd.DataFrame:
    """Share of leads that come in outside opening hours, and how many of them are answered within the hour.

    Uses `leads` and `activities`.

    Parameters
    ----------
    window : Window, str or pair of dates, optional
        Local dates on which the leads came in.
    horizon : float
        Delay in seconds.

    Returns
    -------
    DataFrame
        One row per ``open`` (1 inside opening hours, 0 outside) with the columns of `schema.RESULT`: ``value`` share of these leads answered within
        `horizon`; ``share`` of all leads.

    Raises
    ------
    MissingTable
        If leads or activities are missing.
    """
    table = answered_within(data, as_of=as_of, window=window, by="open", horizons=(horizon,), level=level)
    return table.assign(kpi="response.out_of_hours", share=(table["n"] / table["n"].sum()).astype("float64"))


@renamed(threshold="horizon")
def response_change(
    data: Dataset, *, as_of: Instant, window: WindowLike | None = None, past: WindowLike, by: By = (), horizon: float = 3600, level: float = 0.95
) -> pd.DataFrame:
    """By how much the share answered within an hour differs from that of another time, and whether that is more than noise.

    Uses `leads` and `activities`.

    Parameters
    ----------
    window, past : Window, str or pair of dates
        Local dates on which the leads came in, now and then.
    by : str or sequence of str
        As for `response_curve`.
    horizon : float
        Delay in seconds.
    level : float
        Coverage of all intervals together, in (0, 1): with several groups each interval is wider, so that one false alarm in all has the stated
        chance.

    Returns
    -------
    DataFrame
        One row per group in both times with the columns of `schema.RESULT`: ``value`` the difference, in (-1, 1), ``n`` leads of `window`;
        ``before``, ``now``, and ``differs`` (-1 clearly less, 1 clearly more, 0 not settled).

    Raises
    ------
    MissingTable
        If leads or activities are missing.
    ParameterError
        If `by` is unknown.

    Notes
    -----
    Interval of a difference from those of both shares: Newcombe (1998), Statistics in Medicine 17:873-890, method 10; Bonferroni over groups.
    """
    moment = data.instant(as_of)
    window, groups = data.window(window, moment), list(groups_of(by))
    same: dict[str, Any] = {"as_of": as_of, "by": by, "horizons": (horizon,)}
    count = max(len(answered_within(data, window=window, **same)), 1)
    each = 1 - (1 - level) / count
    now, then = (answered_within(data, window=days, **same, level=each) for days in (window, past))
    columns = [*groups, "value", "low", "high"]
    both = now.merge(then[columns], on=groups, suffixes=("", "_then")) if groups else now.join(then[columns].add_suffix("_then"))
    before = {name: both[f"{name}_then"] for name in ("value", "low", "high")}
    value, low, high = intervals.difference({name: both[name] for name in before}, before)
    table = both.assign(before=before["value"], now=both["value"], value=value, low=low, high=high)
    table["differs"] = np.where(table["low"] > 0, 1, np.where(table["high"] < 0, -1, 0))
    return schema.result("response.change", table, by=groups, view="cohort", window=window, as_of=moment, more=("before", "now", "differs"))
