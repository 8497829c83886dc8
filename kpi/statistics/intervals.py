"""How far a number may be from the truth: intervals for proportions, and for means, medians and sums of amounts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

from kpi.errors import DataError, ParameterError

Statistic = Literal["mean", "median", "sum"]
Numbers: TypeAlias = float | Sequence[float] | np.ndarray | pd.Series

CELLS = 2_000_000  # resampled counts held in memory at once (16 MB)
TINY = 1e-9  # a sample of equal values has an error of rounding only
SCATTERED = 0.995  # share of the samples that must not consist of equal values


def quantile_of(level: float) -> float:
    """Give the number of standard errors that an interval reaches to either side."""
    if not 0 < level < 1:
        raise ParameterError(f"level is {level}; give a coverage inside (0, 1), such as 0.95")
    return float(ndtri((1 + level) / 2))


def wilson(events: Numbers, n: Numbers, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Range in which a rate lies, given how many of how many.

    Wilson (1927), JASA 22:209-212. The end of an interval at 0 events is exactly 0, at `n` events exactly 1.

    Examples
    --------
    >>> low, high = wilson(7, 20)
    >>> print(f"{low:.3f} to {high:.3f}")
    0.181 to 0.567
    """
    z = quantile_of(level)
    events, n = np.broadcast_arrays(_floats(events), _floats(n))
    wrong = (events < 0) | (events > n)
    if wrong.any():
        raise DataError(f"{events[wrong][0]:g} events among {n[wrong][0]:g} records; a rate needs 0 <= events <= records")
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(n > 0, events / n, np.nan)
        middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return np.where(share == 0, 0.0, middle - half)[()], np.where(share == 1, 1.0, middle + half)[()]


def difference(one: Mapping[str, Any], other: Mapping[str, Any], comparisons: int = 1, level: float = 0.95) -> tuple[Any, Any, Any]:
    """By how much one number (``value``, ``low``, ``high``) is above another, and the range of that, widened for having picked among comparisons.

    From the intervals of both: for shares Newcombe (1998), Statistics in Medicine 17:873-890, method 10; for all else Zou and Donner (2008),
    Statistics in Medicine 27:1693-1702. Bonferroni over the comparisons.
    """
    reach = quantile_of(1 - (1 - level) / comparisons) / quantile_of(level)
    value = one["value"] - other["value"]
    down = np.hypot(one["value"] - one["low"], other["high"] - other["value"])
    up = np.hypot(one["high"] - one["value"], other["value"] - other["low"])
    return value, value - reach * down, value + reach * up


def with_share(counts: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """Add the share of events among the records (``value``) and its Wilson interval (``low``, ``high``) to counts; missing where there are none."""
    low, high = wilson(counts["n_events"], counts["n"], level)
    return counts.assign(value=(counts["n_events"] / counts["n"]).where(counts["n"] > 0), low=low, high=high)


def bootstrap(
    values: Numbers,
    statistic: Statistic,
    seed: int,
    level: float = 0.95,
    draws: int = 1000,
    counts: Numbers | None = None,
    weights: Numbers | None = None,
) -> tuple[float, float]:
    """Range in which a mean, a median or a sum lies, by drawing the same number of records again and again.

    Efron and Tibshirani (1993), An Introduction to the Bootstrap. Of a mean the studentized interval (chapter 12.5), since amounts are skewed and
    percentiles then cover too little: of 20 lognormal amounts 0.89 instead of 0.94. Of a weighted mean the bias-corrected and accelerated one
    (chapter 14.3): 0.93 instead of 0.89. Of all else percentiles (chapter 13), and of a mean so few or so alike that many samples do not scatter. The
    number of records is held fixed, so the interval of a sum leaves out how that number itself varies.

    Examples
    --------
    >>> low, high = bootstrap([1, 0], "mean", seed=1, counts=[60, 40])
    >>> print(f"{low:.2f} to {high:.2f}")
    0.49 to 0.69
    """
    tail = 100 * (1 - level) / 2
    if statistic not in ESTIMATES:
        raise ParameterError(f"statistic is {statistic!r}; give one of {list(ESTIMATES)}")
    if weights is not None and statistic != "mean":
        raise ParameterError(f"weights belong to a mean, not to a {statistic}; leave them out")
    if draws < 1:
        raise ParameterError(f"draws is {draws}; give at least 1, better 1000")
    quantile_of(level)
    records, counts = _distinct(_floats(values), counts, weights)
    if counts.sum() < 2:
        return np.nan, np.nan
    samples = _resampled(counts, draws, np.random.default_rng(seed))
    if statistic != "mean":
        low, high = np.percentile(np.concatenate([ESTIMATES[statistic](records, drawn) for drawn in samples]), [tail, 100 - tail])
    elif records[:, 1].min() == records[:, 1].max() > 0:
        low, high = _studentized(records[:, 0], counts, samples, tail)
    else:
        low, high = _accelerated(records, counts, samples, tail)
    return float(low), float(high)


def _studentized(values: np.ndarray, counts: np.ndarray, samples: Iterator[np.ndarray], tail: float) -> tuple[float, float]:
    """How far the mean of a sample lies from the whole one, in standard errors of its own."""
    n, mean = counts.sum(), counts @ values / counts.sum()
    apart = values - mean
    error = np.sqrt(counts @ apart**2) / n
    sums = [(drawn @ apart / n, drawn @ apart**2 / n) for drawn in samples]
    shift, square = (np.concatenate([pair[k] for pair in sums]) for k in (0, 1))
    errors = np.sqrt(np.maximum(square - shift**2, 0) / n)
    scattered = errors > TINY * error
    if error == 0 or scattered.mean() < SCATTERED:
        low, high = mean + np.percentile(shift, [tail, 100 - tail])
        return low, high
    right, left = np.percentile(shift[scattered] / errors[scattered], [100 - tail, tail])
    low, high = mean - right * error, mean - left * error
    return max(low, 0.0) if values.min() >= 0 else low, high


def _accelerated(records: np.ndarray, counts: np.ndarray, samples: Iterator[np.ndarray], tail: float) -> tuple[float, float]:
    """Percentiles moved for the bias and the skewness of a weighted mean."""
    found = np.concatenate([_mean(records, drawn) for drawn in samples])
    found = found[~np.isnan(found)]  # a sample whose weights are all 0 has no mean
    if not len(found):
        return np.nan, np.nan
    mean, (values, weights) = _mean(records, counts[None, :])[0], records.T
    rest = counts @ weights - weights  # each record left out in turn
    without = np.divide(counts @ (values * weights) - values * weights, rest, out=np.full(len(rest), mean), where=rest > 0)
    apart = counts @ without / counts.sum() - without
    spread = counts @ apart**2
    skewness = counts @ apart**3 / (6 * spread**1.5) if spread > 0 else 0.0
    below = (np.sum(found < mean) + np.sum(found == mean) / 2) / len(found)
    bias = ndtri(np.clip(below, 1 / len(found), 1 - 1 / len(found)))
    ends = bias + ndtri(np.array([tail, 100 - tail]) / 100)
    low, high = np.percentile(found, 100 * ndtr(bias + ends / (1 - skewness * ends)))
    return low, high


def _floats(values: Numbers) -> np.ndarray:
    return np.asarray(pd.Series(values).to_numpy("float64", na_value=np.nan)) if np.ndim(values) else np.asarray(values, "float64")


def _distinct(values: np.ndarray, counts: Numbers | None, weights: Numbers | None) -> tuple[np.ndarray, np.ndarray]:
    """Distinct (value, weight), sorted, and how many records have each: what makes the interval independent of the order."""
    weights = np.ones(len(values)) if weights is None else _floats(weights)
    counts = np.ones(len(values)) if counts is None else _floats(counts)
    if not len(values) == len(weights) == len(counts):
        raise DataError(f"{len(values)} values, {len(counts)} counts, {len(weights)} weights; give one of each per record")
    if not np.all((counts >= 0) & (counts % 1 == 0)) or (weights < 0).any():
        raise DataError("counts must be whole numbers from 0 on, weights must not be negative; drop or repair these records")
    known = ~(np.isnan(values) | np.isnan(weights))
    records, place = np.unique(np.column_stack([values, weights])[known], axis=0, return_inverse=True)
    return records, np.bincount(place.ravel(), counts[known], minlength=len(records)).astype("int64")


def _resampled(counts: np.ndarray, draws: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Draw samples of as many records with replacement, as a matrix draws x distinct records of how often each was drawn."""
    total, kinds = int(counts.sum()), len(counts)
    many_alike = 20 * kinds < total  # one binomial draw costs some 20 times as much as one index
    chunk = max(1, CELLS // (kinds if many_alike else total))
    for start in range(0, draws, chunk):
        size = min(chunk, draws - start)
        if many_alike:
            yield rng.multinomial(total, counts / total, size)
        else:
            picked = np.repeat(np.arange(kinds), counts)[rng.integers(0, total, (size, total))] + kinds * np.arange(size)[:, None]
            yield np.bincount(picked.ravel(), minlength=size * kinds).reshape(size, kinds)


def _sum(records: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    return drawn @ records[:, 0]


def _mean(records: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    weight = drawn @ records[:, 1]
    return np.divide(drawn @ records.prod(axis=1), weight, out=np.full(len(weight), np.nan), where=weight > 0)


def _median(records: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Middle record, or mean of the two middle ones: the records are sorted, so running counts find them."""
    reached = drawn.cumsum(axis=1)
    total = int(reached[0, -1])
    lower, upper = ((reached >= rank).argmax(axis=1) for rank in ((total + 1) // 2, total // 2 + 1))
    return (records[lower, 0] + records[upper, 0]) / 2


ESTIMATES = {"mean": _mean, "median": _median, "sum": _sum}  # of each sample: distinct (value, weight) and how often each was drawn
