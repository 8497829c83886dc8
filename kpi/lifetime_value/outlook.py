"""What customers will do under a BG/NBD or MBG/NBD: whether they still buy, how much they will, and how sure that is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.special import expit

from kpi.lifetime_value.histories import COLUMNS, Model
from kpi.lifetime_value.purchasing import PurchaseModel
from kpi.lifetime_value.smooth import smoothly
from kpi.lifetime_value.special import purchases_to_come, squared_to_come

AT_ONCE = 1 << 20  # draws times customers


def probability_active(table: pd.DataFrame, parameters: np.ndarray, model: Model) -> np.ndarray:
    """Probability that a customer has not dropped out by the end of observation.

    Parameters
    ----------
    table : DataFrame
        ``repeats``, ``recency``, ``age``.
    parameters : ndarray
        r, alpha, a, b; or one row of them per draw.
    model : str
        ``mbg`` or ``bg``.

    Returns
    -------
    ndarray
        One value in [0, 1] per customer, on the last axis; draws come before.
    """
    r, alpha, a, b = _by_draw(parameters)
    x, recency, age = (table[name].to_numpy("float64") for name in COLUMNS)
    m = x + (model == "mbg")
    odds = np.log(a / (b + np.maximum(m, 1) - 1)) + (r + x) * np.log1p((age - recency) / (alpha + recency))
    return np.where(m > 0, expit(-odds), 1.0)


def expected_purchases(table: pd.DataFrame, parameters: np.ndarray, model: Model, ahead: float | np.ndarray) -> np.ndarray:
    """Purchases that each customer is expected to make in the time ahead.

    Parameters
    ----------
    table : DataFrame
        ``repeats``, ``recency``, ``age``.
    parameters : ndarray
        r, alpha, a, b; or one row of them per draw.
    model : str
        ``mbg`` or ``bg``.
    ahead : float or ndarray
        Length of the time ahead, in the unit of the table; or several.

    Returns
    -------
    ndarray
        One number per customer, on the last axis; draws, then lengths, where there are several, come before.
    """
    active = probability_active(table, parameters, model)
    each = _if_active(purchases_to_come, table, parameters, model, ahead)
    return each * (active[..., None, :] if np.ndim(ahead) else active)


def variance_of_purchases(table: pd.DataFrame, parameters: np.ndarray, model: Model, ahead: float) -> np.ndarray:
    """Variance of the purchases that each customer makes in the time ahead, the parameters taken as known.

    Parameters
    ----------
    table : DataFrame
        ``repeats``, ``recency``, ``age``.
    parameters : ndarray
        r, alpha, a, b; or one row of them per draw.
    model : str
        ``mbg`` or ``bg``.
    ahead : float
        Length of the time ahead.

    Returns
    -------
    ndarray
        One number per customer, on the last axis; draws come before.
    """
    squares = _if_active(squared_to_come, table, parameters, model, ahead) * probability_active(table, parameters, model)
    return np.maximum(squares - expected_purchases(table, parameters, model, ahead) ** 2, 0.0)


def purchases_of_new(parameters: np.ndarray, model: Model, times: np.ndarray) -> np.ndarray:
    """Repeat purchases that a customer of whom only the first one is known makes by a time.

    Parameters
    ----------
    parameters : ndarray
        r, alpha, a, b.
    model : str
        ``mbg`` or ``bg``.
    times : ndarray
        Since the first purchase.

    Returns
    -------
    ndarray
    """
    r, alpha, a, b = parameters
    shift = float(model == "mbg")
    times = np.asarray(times, "float64")
    stays = b / (a + b) if shift else 1.0
    return stays * purchases_to_come(r, times / alpha, a, b + shift).reshape(times.shape)


def total_interval(table: pd.DataFrame, fit: PurchaseModel, ahead: float, level: float = 0.9, seed: int = 1, draws: int = 200) -> tuple[float, float]:
    """Range in which the number of purchases of all customers together in the time ahead lies.

    Parameters
    ----------
    table : DataFrame
        ``repeats``, ``recency``, ``age``, ``count``.
    fit : PurchaseModel
        From `fit_purchases`.
    ahead : float
        Length of the time ahead.
    seed : int
        Start of the random numbers.
    draws : int
        How many parameters are drawn.

    Returns
    -------
    tuple of float
        Low and high: parameters drawn from the inverse Hessian, and chance around what they lead to expect.
    """
    count = table["count"].to_numpy("float64")
    blocks = np.array_split(fit.draws(draws, seed), min(draws, 1 + draws * len(table) // AT_ONCE))
    totals = np.concatenate([expected_purchases(table, block, fit.model, ahead) @ count for block in blocks])
    chance = np.sqrt(variance_of_purchases(table, fit.parameters, fit.model, ahead) @ count)
    noise = np.random.default_rng(seed + 1).standard_normal((20, draws))
    low, high = np.quantile(np.maximum(totals + chance * noise, 0), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _by_draw(parameters: np.ndarray) -> np.ndarray:
    """R, alpha, a, b, each with an axis for the customers behind that of the draws."""
    return np.moveaxis(np.asarray(parameters, "float64"), -1, 0)[..., None]


def _if_active(function: Callable, table: pd.DataFrame, parameters: np.ndarray, model: Model, ahead: float | np.ndarray) -> np.ndarray:
    """What active customers will do does not depend on when their last purchase was, and is smooth in their age: few values are worked out."""
    x, kind, age, place = _distinct(table)
    r, alpha, a, b = _by_draw(parameters)[..., None] if np.ndim(ahead) else _by_draw(parameters)
    reach = np.asarray(ahead, "float64")[..., None] / (alpha + age)
    shape, first, beta = np.broadcast_arrays(r + x, a, b + x + (model == "mbg"))  # one of each per draw and distinct repeats
    of = np.broadcast_to(np.arange(shape.size).reshape(shape.shape)[..., kind], reach.shape)

    def per_log(one: np.ndarray, log: np.ndarray) -> np.ndarray:
        return function(shape.flat[one], np.expm1(log), first.flat[one], beta.flat[one]) / log

    answer, log = np.zeros(reach.shape), np.log1p(reach)
    later = log > 0
    answer[later] = smoothly(per_log, of[later], log[later]) * log[later]
    return answer[..., place]


def _distinct(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | slice]:
    """Distinct repeats; of the distinct pairs of repeats and age, which repeats and what age; which pair each customer has."""
    repeats, age = table["repeats"].to_numpy("float64"), table["age"].to_numpy("float64")
    place: np.ndarray | slice = slice(None)
    if (age == np.floor(age)).all():  # in days, thousands of customers are a pair; in finer times each is one of its own
        days = int(age.max(initial=0)) + 1
        place, pairs = pd.factorize(repeats.astype("int64") * days + age.astype("int64"))
        repeats, age = (pairs // days).astype("float64"), (pairs % days).astype("float64")
    kind, kinds = pd.factorize(repeats)
    return kinds, kind, age, place
