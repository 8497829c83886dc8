"""Which months differ from what is usual, and which only look so: process behaviour (XmR) charts.

A month is a *signal* when it lies outside the limits that the scatter of the months before sets, or ends a run of eight months on one side of
their centre. Sources: Wheeler, Understanding Variation (1993); Montgomery, Introduction to Statistical Quality Control, for rates; Champ and
Woodall (1987), Technometrics 29:393-399, for what the two rules together cost in false alarms.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, get_args

import numpy as np
import pandas as pd
from scipy.special import ndtr

from kpi.errors import DataError, ParameterError, SchemaError

Kind = Literal["count", "money", "rate", "mean"]

BASELINE = 12  # months with a value below which limits are too loose a guess to raise a signal
RUN = 8  # months in a row on one side of the centre
REACH = 2.66  # mean moving ranges to three standard deviations: 3 / 1.128
ROUNDING = 1e-9  # of the centre: months that differ by less are equal


def behaviour(series: pd.DataFrame, kind: Kind) -> pd.DataFrame:
    """Tell months that stand out from months within the usual scatter.

    - The months before the last set the limits: the month reported does not help to set its own. Those months are judged by the same limits.
    - Fewer than 12 of them with a value: provisional, no signal is raised.
    - A month without value, absent from the table, or a rate of no records, is a gap, not 0: it is no signal, moving ranges do not bridge it and
      a run ends at it. A month exactly at the centre ends a run too.
    - Amounts of 0 or less have no logarithm. Where the months that set the limits hold one, such months are part of the usual and the
      chart takes the amounts as they are; where only the last month is one, it lies below every limit.
    - The lower limit is not below 0 unless values before were, a rate's upper limit not above 1.
    - Binomial limits know no scatter but chance's: with thousands of records a month, real but small differences from month to month are signals.

    Examples
    --------
    >>> months = [str(month) for month in pd.period_range("2025-10", "2026-10", freq="M")]
    >>> leads = pd.DataFrame({"month": months, "value": [40, 44, 38, 41, 43, 39, 42, 40, 37, 41, 44, 39, 58]})
    >>> behaviour(leads, "count")[["month", "value", "centre", "lower", "upper", "reason"]].tail(2).round(1)
          month  value  centre  lower  upper reason
    11  2026-09     39    40.7   31.2   50.1
    12  2026-10     58    40.7   31.2   50.1  above
    """
    if kind not in get_args(Kind):
        raise ParameterError(f"kind is {kind!r}; give one of {list(get_args(Kind))}")
    month, value, n = _read(series, kind)
    before = np.arange(len(value)) < len(value) - 1
    usual = before & ~np.isnan(value)
    with np.errstate(all="ignore"):
        centre, lower, upper = _binomial(value, n, usual) if kind == "rate" else _moving(month, value, usual, kind)
    provisional = bool(usual.sum() < BASELINE or np.isnan(centre).all())
    reason = np.full(len(value), "", dtype=object) if provisional else _reasons(month, value, centre, lower, upper)
    found = {"centre": centre, "lower": lower, "upper": upper, "signal": reason != "", "reason": reason, "provisional": provisional}
    return series.assign(**found).astype({"reason": "str"})


def false_alarm_rate(charts: int, baseline: int, seed: int) -> float:
    """Chance that the latest month shows a signal on some chart although nothing has changed.

    Limits guessed from a dozen months are at times too narrow, so the rate is above that of known limits. Those would show a signal in 1.05 % of
    months: 0.27 % outside the limits, 0.78 % at the end of a run. Champ and Woodall's one false alarm in 152.7 points counts each run once, this
    rate also the months by which a run goes on, since they too are shown as signals.

    Examples
    --------
    >>> round(false_alarm_rate(charts=6, baseline=12, seed=1), 2)
    0.11
    """
    if charts < 0 or baseline < 0:
        raise ParameterError(f"charts is {charts}, baseline is {baseline}; give numbers from 0 on")
    return float(1 - (1 - _alarm_rate(baseline, seed)) ** charts) if baseline >= BASELINE else 0.0


@lru_cache(maxsize=256)
def _alarm_rate(baseline: int, seed: int) -> float:
    """Chance of a signal on one chart: months before are drawn, what the latest may be is integrated."""
    baseline = min(baseline, 240)  # from twenty years on, limits are as good as known
    draws = max(20_000, 2_000_000 // baseline)
    past = np.random.default_rng(seed).standard_normal((draws, baseline))
    centre = past.mean(axis=1)
    reach = REACH * np.abs(np.diff(past, axis=1)).mean(axis=1)
    outside = ndtr(centre - reach) + ndtr(-centre - reach)
    high_side, low_side = ndtr(centre + reach) - ndtr(centre), ndtr(centre) - ndtr(centre - reach)
    latest = past[:, -(RUN - 1) :] > centre[:, None]
    return float((outside + high_side * latest.all(axis=1) + low_side * ~latest.any(axis=1)).mean())


def _read(series: pd.DataFrame, kind: Kind) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Month numbers, values and records, a gap being missing in all kinds."""
    if missing := [name for name in ("month", "value", *(["n"] if kind == "rate" else [])) if name not in series.columns]:
        raise SchemaError(f"the series of a {kind} lacks {missing}; it has {list(series.columns)}")
    text = series["month"].astype("str")
    if not (well := text.str.fullmatch(r"\d{4}-(0[1-9]|1[0-2])")).all():
        raise DataError(f"{text[~well].iloc[0]!r} is no month; write it as 2026-10")
    month = (12 * text.str[:4].astype("int64") + text.str[5:].astype("int64")).to_numpy()
    if (np.diff(month) <= 0).any():
        raise DataError("months are repeated or not sorted; give one row per month, the oldest first")
    value = series["value"].to_numpy("float64", na_value=np.nan).copy()
    n = series["n"].to_numpy("float64", na_value=np.nan) if kind == "rate" else np.ones(len(value))
    value[~(n > 0)] = np.nan
    if kind == "rate" and ((value < 0) | (value > 1)).any():
        raise DataError("a rate lies outside [0, 1]; give shares, not percentages")
    return month, value, n


def _moving(month: np.ndarray, value: np.ndarray, usual: np.ndarray, kind: Kind) -> np.ndarray:
    logarithmic = kind == "money" and bool((value[usual] > 0).all())
    past = np.log(value[usual]) if logarithmic else value[usual]
    ranges = np.abs(np.diff(past))[np.diff(month[usual]) == 1]
    if not len(ranges):
        return np.full((3, len(value)), np.nan)
    centre, reach = past.mean(), REACH * ranges.mean()
    limits = np.array([centre, centre - reach, centre + reach])
    if logarithmic:
        limits = np.exp(limits)
    elif (past >= 0).all():
        limits[1] = max(limits[1], 0.0)
    return np.repeat(limits[:, None], len(value), axis=1)


def _binomial(value: np.ndarray, n: np.ndarray, usual: np.ndarray) -> np.ndarray:
    pooled = (value * n)[usual].sum() / n[usual].sum()
    reach = 3 * np.sqrt(pooled * (1 - pooled) / np.where(n > 0, n, np.nan))
    return np.array([np.full(len(value), pooled), np.maximum(pooled - reach, 0.0), np.minimum(pooled + reach, 1.0)])


def _reasons(month: np.ndarray, value: np.ndarray, centre: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Say which rule each month breaks, if any."""
    slack = ROUNDING * np.abs(centre)
    side = np.where(value > centre + slack, 1, np.where(value < centre - slack, -1, 0))
    place = np.arange(len(side))
    fresh = np.r_[True, (np.diff(side) != 0) | (np.diff(month) != 1)]
    length = place - np.maximum.accumulate(np.where(fresh, place, 0)) + 1
    run = (side != 0) & (length >= RUN)
    rules = [value > upper + slack, value < lower - slack, run & (side > 0), run & (side < 0)]
    return np.select(rules, ["above", "below", "run_above", "run_below"], "").astype(object)
