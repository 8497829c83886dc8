"""Whether answers are getting faster, or that is noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from kpi import schema
from kpi.dataset import Dataset
from kpi.periods import Instant, Window
from kpi.response_time.answers import answered_within
from kpi.response_time.eligible import groups_of


def response_change(
    data: Dataset, *, as_of: Instant, window: Window, past: Window, by: str | Sequence[str] = (), threshold: float = 3600, level: float = 0.95
) -> pd.DataFrame:
    """By how much the share answered within an hour differs from that of another time, and whether that is more than noise.

    Uses `leads` and `activities`.

    Parameters
    ----------
    window, past : Window
        Local dates on which the leads came in, now and then.
    by : str or sequence of str
        As for `response_curve`.
    threshold : float
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
    groups = list(groups_of(by))
    same: dict[str, Any] = {"as_of": as_of, "by": by, "thresholds": (threshold,)}
    count = max(len(answered_within(data, window=window, **same)), 1)
    each = 1 - (1 - level) / count
    now, then = (answered_within(data, window=days, **same, level=each) for days in (window, past))
    columns = [*groups, "value", "low", "high"]
    both = now.merge(then[columns], on=groups, suffixes=("", "_then")) if groups else now.join(then[columns].add_suffix("_then"))
    difference = both["value"] - both["value_then"]
    down = np.hypot(both["value"] - both["low"], both["high_then"] - both["value_then"])
    up = np.hypot(both["high"] - both["value"], both["value_then"] - both["low_then"])
    table = both.assign(before=both["value_then"], now=both["value"], value=difference, low=difference - down, high=difference + up)
    table["differs"] = np.where(table["low"] > 0, 1, np.where(table["high"] < 0, -1, 0))
    moment = data.instant(as_of)
    return schema.result("response.change", table, by=groups, view="cohort", window=window, as_of=moment, more=("before", "now", "differs"))
