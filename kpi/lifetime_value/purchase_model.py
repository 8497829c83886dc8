"""Who buys again without a contract: BG/NBD and MBG/NBD, from counts of customers alike in purchases, last purchase and time observed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy.special import expit, polygamma, psi

from kpi.errors import DataError, ParameterError
from kpi.lifetime_value.special_functions import Integrand, log_rise, mean_over_dropout, purchases, purchases_squared
from kpi.statistics import optimise

Variant = Literal["bg", "mbg"]
COLUMNS = ("repeats", "recency", "age")
CHUNK = 8192  # customers at a time: what is worked out of them stays in the processor's cache
SAMPLE = 2000  # rows of the first steps
# log of the mean rate, log alpha, logit of the mean drop-out, log (a + b); time in mean times observed
BOX = optimise.Box(np.array([-12.0, -7.0, -14.0, -7.0]), np.array([10.0, 9.0, 14.0, np.log(10_000.0)]))
NAMES = ("r", "alpha", "a", "b")
HELD = ("mean rate", "rates", "mean drop-out", "drop-out")


@dataclass(frozen=True)
class PurchaseModel(optimise.Estimated):
    """A BG/NBD or MBG/NBD with its parameters and how well they are known.

    Attributes
    ----------
    model : str
        ``bg``: customers may drop out after each repeat purchase; ``mbg``: also after the first one.
    r, alpha, a, b : float
        Rates differ as gamma(r, alpha), drop-outs after a purchase as beta(a, b).
    log_likelihood : float
        At the maximum.
    errors : dict of str to float
        Standard errors; missing where nothing about it is known.
    held : tuple of str
        What the data do not identify, at the edge of its box: ``rates`` (customers buy alike), ``drop-out`` (they drop out alike; a / (a + b)
        stands), ``mean rate`` or ``mean drop-out`` (nobody does).
    unit : float
        Mean time observed, the unit of time of the working parameters.
    maximum : Maximum
        In working parameters.
    """

    model: Variant
    r: float
    alpha: float
    a: float
    b: float
    log_likelihood: float
    errors: dict[str, float]
    held: tuple[str, ...]
    unit: float
    maximum: optimise.Maximum

    def draws(self, number: int, seed: int) -> np.ndarray:
        """Draw parameters as uncertain as the data leave them.

        Parameters
        ----------
        number : int
            How many draws.
        seed : int
            Start of the random numbers.

        Returns
        -------
        ndarray
            One row per draw: r, alpha, a, b.
        """
        return np.array([_parameters(point, self.unit) for point in self.maximum.draws(number, seed)])


def fit_purchases(table: pd.DataFrame, model: Variant = "mbg") -> PurchaseModel:
    """Find how often customers buy and drop out.

    Parameters
    ----------
    table : DataFrame
        Counted customers: ``repeats`` (purchases after the first), ``recency`` (time from the first to the last), ``age`` (time from the first to
        the end of observation), ``count``; any unit of time.
    model : str
        ``mbg`` or ``bg``.

    Returns
    -------
    PurchaseModel

    Raises
    ------
    ParameterError
        If the model is unknown.
    DataError
        If there is no customer, or the counts cannot be.

    Notes
    -----
    BG/NBD: Fader, Hardie and Lee (2005), Marketing Science 24:275-284. MBG/NBD: Batislam, Denizel and Filiztekin (2007), International
    Journal of Research in Marketing 24:201-209.
    """
    if model not in ("bg", "mbg"):
        raise ParameterError(f"model {model!r} is unknown; use mbg or bg")
    x, recency, age, count = checked(table)
    unit = float(np.average(age, weights=count)) or 1.0
    rows = Histories(x, recency / unit, age / unit, count, model)
    mean = np.log(max(float(np.average(x, weights=count)), 1e-3))
    starts = [
        np.array([mean, 0.0, -1.0, 0.5]),  # most stay
        np.array([mean + 1, 2.0, 2.0, -0.5]),  # most leave soon, and buy often till then
        np.array([mean, -2.0, 0.0, 4.0]),  # some buy much more often than others; they leave alike
    ]
    best = optimise.maximise(rows.likelihood, rows.thinned(SAMPLE).likelihood, starts, BOX)
    r, alpha, a, b = _parameters(best.point, unit)
    errors = best.errors(NAMES, (r, alpha, a, b), _slopes(best.point))
    value = best.value - float(count @ x) * np.log(unit)  # a density per unit of time
    return PurchaseModel(model, r, alpha, a, b, value, errors, best.held_names(HELD), unit, best)


class Histories:
    """Counted customers, with what does not depend on the parameters."""

    def __init__(self, x: np.ndarray, recency: np.ndarray, age: np.ndarray, count: np.ndarray, model: Variant) -> None:
        self.x, self.recency, self.age, self.count, self.shift = x, recency, age, count, float(model == "mbg")
        could_drop_out = x + self.shift > 0
        self.lost = tuple(part if could_drop_out.all() else part[could_drop_out] for part in (x, recency, age, count))
        # Gamma functions depend on the number of purchases alone, which takes few values.
        kind, self.kinds = pd.factorize(x)
        self.many = np.bincount(kind, count, len(self.kinds))

    def thinned(self, size: int) -> Histories:
        """Take every so many-th row."""
        step = max(1, len(self.x) // size)
        columns = (self.x[::step], self.recency[::step], self.age[::step], self.count[::step])
        return self if step == 1 else Histories(*columns, "mbg" if self.shift else "bg")

    def likelihood(self, point: np.ndarray) -> optimise.Slopes:
        """Log-likelihood and its slopes by the working parameters."""
        values = np.array(_parameters(point, 1.0))
        (value, gradient, hessian), by_log = optimise.by_working_parameters(self.natural(*values), values, _slopes(point))
        share = expit(point[2])
        hessian[2, 2] -= share * (1 - share) * (by_log[2] + by_log[3])
        return value, gradient, hessian

    def natural(self, r: float, alpha: float, a: float, b: float) -> optimise.Slopes:
        """Log-likelihood and its slopes by r, alpha, a, b."""
        value, gradient, hessian = self._by_kind(r, a, b)
        parts = [_observed(x, age, n, r, alpha) for x, age, n in _chunks(self.x, self.age, self.count)]
        parts += [_lost(x, recency, age, n, r, alpha, a, b + self.shift - 1) for x, recency, age, n in _chunks(*self.lost)]
        for part in parts:
            value, gradient, hessian = value + part[0], gradient + part[1], hessian + part[2]
        return float(value), gradient, hessian

    def _by_kind(self, r: float, a: float, b: float) -> optimise.Slopes:
        k, many = self.kinds, self.many
        m = k + self.shift
        value = many @ (log_rise(r, k) + log_rise(b, m) - log_rise(a + b, m))
        both, second = psi(a + b) - psi(a + b + m), polygamma(1, a + b) - polygamma(1, a + b + m)
        by_b, by_bb = psi(b + m) - psi(b) + both, polygamma(1, b + m) - polygamma(1, b) + second
        gradient = np.array([many @ (psi(r + k) - psi(r)), 0.0, many @ both, many @ by_b])
        hessian = np.zeros((4, 4))
        hessian[0, 0] = many @ (polygamma(1, r + k) - polygamma(1, r))
        hessian[2, 2] = hessian[2, 3] = hessian[3, 2] = many @ second
        hessian[3, 3] = many @ by_bb
        return float(value), gradient, hessian


def _chunks(*columns: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
    for first in range(0, len(columns[0]), CHUNK):
        yield tuple(column[first : first + CHUNK] for column in columns)


def _observed(x: np.ndarray, age: np.ndarray, n: np.ndarray, r: float, alpha: float) -> optimise.Slopes:
    """Of x purchases within the time observed, alpha^r / (alpha + T)^(r + x), by r and alpha."""
    shape, end, grown, number = r + x, 1 / (alpha + age), np.log1p(age / alpha), n.sum()
    held = shape * end
    value = -(n @ (shape * grown)) - np.log(alpha) * (n @ x)
    gradient, hessian = np.zeros(4), np.zeros((4, 4))
    gradient[:2] = -(n @ grown), number * r / alpha - n @ held
    hessian[0, 1] = hessian[1, 0] = number / alpha - n @ end
    hessian[1, 1] = n @ (held * end) - number * r / alpha**2
    return value, gradient, hessian


def _lost(x: np.ndarray, recency: np.ndarray, age: np.ndarray, n: np.ndarray, r: float, alpha: float, a: float, b: float) -> optimise.Slopes:
    """Of 1 + the odds of having dropped out after the last purchase, a / (b + x) ((alpha + T) / (alpha + t))^(r + x)."""
    shape, end, last, base = r + x, 1 / (alpha + age), 1 / (alpha + recency), 1 / (b + x)
    gap, ratio = end - last, np.log1p((age - recency) * last)
    odds = shape * ratio + np.log(a * base)
    small = np.exp(-np.abs(odds))
    value = n @ (np.maximum(odds, 0) + np.log1p(small))
    lost = np.exp(np.minimum(odds, 0)) / (1 + small)
    w = n * lost
    by = np.array([ratio, shape * gap, np.full(len(x), 1 / a), -base])  # slopes of the odds' logarithm
    hessian = (by * (w * (1 - lost))) @ by.T
    cross = w @ gap
    hessian[0, 1] += cross
    hessian[1, 0] += cross
    hessian[1, 1] += w @ (by[1] * (gap - 2 * end))
    hessian[2, 2] -= w.sum() / a**2
    hessian[3, 3] += w @ base**2
    return value, by @ w, hessian


def _parameters(point: np.ndarray, unit: float) -> tuple[float, float, float, float]:
    """Turn the working parameters into r, alpha, a, b."""
    rate, scale, drop, size = point
    total = np.exp(size)
    return float(np.exp(rate + scale)), float(np.exp(scale) * unit), float(total * expit(drop)), float(total * expit(-drop))


def _slopes(point: np.ndarray) -> np.ndarray:
    """Logarithms of r, alpha, a, b by the working parameters."""
    share = expit(point[2])
    return np.array([[1.0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1 - share, 1], [0, 0, -share, 1]])


def checked(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Read counted customers."""
    x, recency, age, count = (table[name].to_numpy("float64") for name in (*COLUMNS, "count"))
    if not len(x) or count.sum() <= 0:
        raise DataError("no customer has bought: there is nothing to fit")
    if not ((x >= 0) & (recency >= 0) & (recency <= age) & (count >= 0) & ((x > 0) | (recency == 0))).all():
        raise DataError("repeats, recency and age must be counts of real customers: 0 <= recency <= age, and recency 0 without repeats")
    return x, recency, age, count


def probability_active(table: pd.DataFrame, parameters: np.ndarray, model: Variant) -> np.ndarray:
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
    r, alpha, a, b = np.moveaxis(np.asarray(parameters, "float64"), -1, 0)[..., None]  # customers on an axis behind that of the draws
    x, recency, age = (table[name].to_numpy("float64") for name in COLUMNS)
    m = x + (model == "mbg")
    odds = np.log(a / (b + np.maximum(m, 1) - 1)) + (r + x) * np.log1p((age - recency) / (alpha + recency))
    return np.where(m > 0, expit(-odds), 1.0)


def expected_purchases(table: pd.DataFrame, parameters: np.ndarray, model: Variant, ahead: float | np.ndarray) -> np.ndarray:
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
    each = _if_active(purchases, table, parameters, model, ahead)
    return each * (active[..., None, :] if np.ndim(ahead) else active)


def variance_of_purchases(table: pd.DataFrame, parameters: np.ndarray, model: Variant, ahead: float) -> np.ndarray:
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
    squares = _if_active(purchases_squared, table, parameters, model, ahead) * probability_active(table, parameters, model)
    return np.maximum(squares - expected_purchases(table, parameters, model, ahead) ** 2, 0.0)


def _if_active(integrand: Integrand, table: pd.DataFrame, parameters: np.ndarray, model: Variant, ahead: float | np.ndarray) -> np.ndarray:
    """What active customers will do does not depend on when they last bought: it is worked out once for those of equal repeats and age."""
    pairs = table[["repeats", "age"]].drop_duplicates().astype("float64")
    place = table.groupby(["repeats", "age"], sort=False).ngroup().to_numpy()
    x, age, lengths = pairs["repeats"].to_numpy(), pairs["age"].to_numpy(), np.atleast_1d(ahead)
    means = [
        mean_over_dropout(integrand, r + x, lengths[:, None] / (alpha + age), a, b, x + (model == "mbg"))
        for r, alpha, a, b in np.atleast_2d(parameters)
    ]
    return np.reshape(means, (*np.shape(parameters)[:-1], *np.shape(ahead), len(pairs)))[..., place]
