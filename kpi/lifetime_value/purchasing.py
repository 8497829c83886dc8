"""Who buys again without a contract: BG/NBD and MBG/NBD, from counts of customers alike in purchases, last purchase and time observed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy.special import expit, polygamma, psi

from kpi.errors import DataError, ParameterError
from kpi.lifetime_value import newton
from kpi.lifetime_value.special import log_rise, purchases_to_come, squared_to_come

Model = Literal["bg", "mbg"]
SAMPLE = 4000  # distinct customers of the first steps
CHUNK = 32_768
# log of the mean rate, log alpha, logit of the mean drop-out, log (a + b); time in mean times observed
LOWER = np.array([-12.0, -7.0, -14.0, -7.0])
UPPER = np.array([10.0, 9.0, 14.0, np.log(10_000.0)])
NAMES = ("r", "alpha", "a", "b")
COLUMNS = ("repeats", "recency", "age")


@dataclass(frozen=True)
class PurchaseModel:
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

    model: Model
    r: float
    alpha: float
    a: float
    b: float
    log_likelihood: float
    errors: dict[str, float]
    held: tuple[str, ...]
    unit: float
    maximum: newton.Maximum

    @property
    def parameters(self) -> np.ndarray:
        """R, alpha, a, b."""
        return np.array([self.r, self.alpha, self.a, self.b])

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
        places = newton.draws(self.maximum, number, seed, LOWER, UPPER)
        return np.array([_parameters(place, self.unit) for place in places])


def fit_purchases(table: pd.DataFrame, model: Model = "mbg") -> PurchaseModel:
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
    x, recency, age, count = _checked(table)
    unit = float(np.average(age, weights=count)) or 1.0
    rows = _Rows(x, recency / unit, age / unit, count, model)
    step = max(1, len(x) // SAMPLE)
    mean = max(float(np.average(x, weights=count)), 1e-3)
    start = np.clip(np.array([np.log(mean), 0.0, -1.0, 0.5]), LOWER, UPPER)
    part = rows if step == 1 else _Rows(x[::step], recency[::step] / unit, age[::step] / unit, count[::step], model)
    best = newton.maximise(rows.likelihood, part.likelihood, start, LOWER, UPPER)
    r, alpha, a, b = _parameters(best.place, unit)
    slopes = _slopes(best.place)
    errors = np.sqrt(np.clip(np.diag(slopes @ best.covariance @ slopes.T), 0, None)) * np.array([r, alpha, a, b])
    called = ("mean rate", "rates", "mean drop-out", "drop-out")
    held = tuple(name for name, flag in zip(called, best.held, strict=True) if flag)
    value = best.value - float(count @ x) * np.log(unit)  # a density per unit of time
    return PurchaseModel(model, r, alpha, a, b, value, dict(zip(NAMES, errors.tolist(), strict=True)), held, unit, best)


def log_likelihood(table: pd.DataFrame, parameters: np.ndarray, model: Model) -> float:
    """Logarithm of how likely the purchases are.

    Parameters
    ----------
    table : DataFrame
        As for `fit_purchases`.
    parameters : ndarray
        r, alpha, a, b.
    model : str
        ``mbg`` or ``bg``.

    Returns
    -------
    float

    Raises
    ------
    DataError
        If there is no customer, or the counts cannot be.
    """
    return _Rows(*_checked(table), model).natural(*parameters)[0]


def probability_active(table: pd.DataFrame, parameters: np.ndarray, model: Model) -> np.ndarray:
    """Probability that a customer has not dropped out by the end of observation.

    Parameters
    ----------
    table : DataFrame
        ``repeats``, ``recency``, ``age``.
    parameters : ndarray
        r, alpha, a, b.
    model : str
        ``mbg`` or ``bg``.

    Returns
    -------
    ndarray
        One value in [0, 1] per row.
    """
    r, alpha, a, b = parameters
    x, recency, age = (table[name].to_numpy("float64") for name in COLUMNS)
    m = x + (model == "mbg")
    odds = np.log(a) - np.log(b + np.maximum(m, 1) - 1) + (r + x) * np.log1p((age - recency) / (alpha + recency))
    return np.where(m > 0, expit(-odds), 1.0)


def expected_purchases(table: pd.DataFrame, parameters: np.ndarray, model: Model, ahead: float | np.ndarray) -> np.ndarray:
    """Purchases that each customer is expected to make in the time ahead.

    Parameters
    ----------
    table : DataFrame
        ``repeats``, ``recency``, ``age``.
    parameters : ndarray
        r, alpha, a, b.
    model : str
        ``mbg`` or ``bg``.
    ahead : float or ndarray
        Length of the time ahead, in the unit of the table; or several.

    Returns
    -------
    ndarray
        One number per row; for several lengths, one row of them per length.
    """
    r, alpha, a, b = parameters
    x, age, place = _unique(table)
    lengths = np.atleast_1d(np.asarray(ahead, "float64"))
    each = purchases_to_come(r + x, lengths[:, None] / (alpha + age), a, b + x + (model == "mbg")).reshape(len(lengths), len(x))
    answer = each[:, place] * probability_active(table, parameters, model)
    return answer if np.ndim(ahead) else answer[0]


def variance_of_purchases(table: pd.DataFrame, parameters: np.ndarray, model: Model, ahead: float) -> np.ndarray:
    """Variance of the purchases that each customer makes in the time ahead, the parameters taken as known.

    Parameters
    ----------
    table : DataFrame
        ``repeats``, ``recency``, ``age``.
    parameters : ndarray
        r, alpha, a, b.
    model : str
        ``mbg`` or ``bg``.
    ahead : float
        Length of the time ahead.

    Returns
    -------
    ndarray
        One number per row.
    """
    r, alpha, a, b = parameters
    x, age, place = _unique(table)
    squares = squared_to_come(r + x, ahead / (alpha + age), a, b + x + (model == "mbg"))
    mean = expected_purchases(table, parameters, model, ahead)
    return np.maximum(squares[place] * probability_active(table, parameters, model) - mean**2, 0.0)


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
    return stays * purchases_to_come(np.full(times.shape, r), times / alpha, a, np.full(times.shape, b + shift)).reshape(times.shape)


class _Rows:
    """Counted customers, with what does not depend on the parameters."""

    def __init__(self, x: np.ndarray, recency: np.ndarray, age: np.ndarray, count: np.ndarray, model: Model) -> None:
        self.x, self.recency, self.age, self.count, self.shift = x, recency, age, count, float(model == "mbg")
        # Gamma functions depend on the number of purchases alone, which takes few values.
        self.kinds, self.kind = np.unique(x, return_inverse=True)
        self.many = np.bincount(self.kind, count, len(self.kinds))

    def likelihood(self, place: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        value, gradient, hessian = self.natural(*_parameters(place, 1.0))
        slopes, size = _slopes(place), _parameters(place, 1.0)
        by_log = gradient * size
        second = hessian * np.outer(size, size) + np.diag(by_log)
        chained = slopes.T @ second @ slopes
        share = expit(place[2])
        chained[2, 2] -= share * (1 - share) * (by_log[2] + by_log[3])
        return value, slopes.T @ by_log, chained

    def natural(self, r: float, alpha: float, a: float, b: float) -> tuple[float, np.ndarray, np.ndarray]:
        """Value, gradient and Hessian with respect to r, alpha, a, b."""
        value, gradient, hessian = self._by_kind(r, a, b)
        for first in range(0, len(self.x), CHUNK):
            part = self._part(slice(first, first + CHUNK), r, alpha, a, b)
            value, gradient, hessian = value + part[0], gradient + part[1], hessian + part[2]
        return float(value), gradient, hessian

    def _by_kind(self, r: float, a: float, b: float) -> tuple[float, np.ndarray, np.ndarray]:
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

    def _part(self, rows: slice, r: float, alpha: float, a: float, b: float) -> tuple[float, np.ndarray, np.ndarray]:
        x, recency, age, n = self.x[rows], self.recency[rows], self.age[rows], self.count[rows]
        shape, end, last = r + x, alpha + age, alpha + recency
        bought = x + self.shift > 0
        log_end, ratio = np.log1p(age / alpha), np.log1p((age - recency) / last)
        base = b + np.maximum(x + self.shift, 1) - 1
        odds = np.where(bought, np.log(a) - np.log(base) + shape * ratio, -np.inf)
        lost = expit(odds)
        value = n @ (np.logaddexp(0, odds) - shape * log_end) - np.log(alpha) * (n @ x)
        w = n * lost
        v = w * (1 - lost)
        gap = 1 / end - 1 / last
        u = (ratio, shape * gap, np.full(len(x), 1 / a), -1 / base)
        gradient = np.array([w @ part for part in u])
        hessian = np.array([[v @ (one * other) for other in u] for one in u])
        hessian[0, 1] += w @ gap
        hessian[1, 0] += w @ gap
        hessian[1, 1] += w @ (shape * (1 / last**2 - 1 / end**2))
        hessian[2, 2] -= w.sum() / a**2
        hessian[3, 3] += w @ (1 / base**2)
        gradient[0] -= n @ log_end
        gradient[1] += n @ (r / alpha - shape / end)
        cross = n @ (1 / alpha - 1 / end)
        hessian[0, 1] += cross
        hessian[1, 0] += cross
        hessian[1, 1] += n @ (shape / end**2 - r / alpha**2)
        return float(value), gradient, hessian


def _parameters(place: np.ndarray, unit: float) -> tuple[float, float, float, float]:
    rate, scale, drop, size = place
    total = np.exp(size)
    return float(np.exp(rate + scale)), float(np.exp(scale) * unit), float(total * expit(drop)), float(total * expit(-drop))


def _slopes(place: np.ndarray) -> np.ndarray:
    """Logarithms of r, alpha, a, b by the working parameters."""
    share = expit(place[2])
    return np.array([[1.0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1 - share, 1], [0, 0, -share, 1]])


def _unique(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distinct repeats and ages, and which of them each row has: what is to come does not depend on when the last purchase was."""
    x, x_kind = np.unique(table["repeats"].to_numpy("float64"), return_inverse=True)
    age, age_kind = np.unique(table["age"].to_numpy("float64"), return_inverse=True)
    pairs, place = np.unique(x_kind * len(age) + age_kind, return_inverse=True)
    return x[pairs // len(age)], age[pairs % len(age)], place


def _checked(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    x, recency, age, count = (table[name].to_numpy("float64") for name in (*COLUMNS, "count"))
    if not len(x) or count.sum() <= 0:
        raise DataError("no customer has bought: there is nothing to fit")
    if not ((x >= 0) & (recency >= 0) & (recency <= age) & (count >= 0) & ((x > 0) | (recency == 0))).all():
        raise DataError("repeats, recency and age must be counts of real customers: 0 <= recency <= age, and recency 0 without repeats")
    return x, recency, age, count


def simulate_purchases(parameters: np.ndarray, model: Model, age: np.ndarray, ahead: float, seed: int) -> pd.DataFrame:
    """Make customers who behave as the model says, to test what it says.

    Parameters
    ----------
    parameters : ndarray
        r, alpha, a, b.
    model : str
        ``mbg`` or ``bg``.
    age : ndarray
        Time observed of each customer.
    ahead : float
        Time after it.
    seed : int
        Start of the random numbers.

    Returns
    -------
    DataFrame
        One row per customer: ``repeats``, ``recency``, ``age``, ``count`` 1, and ``later`` purchases in the time ahead.
    """
    rng = np.random.default_rng(seed)
    r, alpha, a, b = parameters
    rate, drop = rng.gamma(r, 1 / alpha, len(age)), rng.beta(a, b, len(age))
    lives = rng.random(len(age)) >= drop if model == "mbg" else np.ones(len(age), bool)
    at, repeats, last, later = np.zeros(len(age)), np.zeros(len(age)), np.zeros(len(age)), np.zeros(len(age))
    while lives.any():
        at[lives] += rng.exponential(1, lives.sum()) / np.maximum(rate[lives], 1e-12)
        inside, after = lives & (at <= age), lives & (at > age) & (at <= age + ahead)
        repeats[inside] += 1
        last[inside] = at[inside]
        later[after] += 1
        lives = (inside | after) & (rng.random(len(age)) >= drop)
    return pd.DataFrame({"repeats": repeats, "recency": last, "age": age, "count": 1, "later": later})


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
    level : float
        Coverage, in (0, 1).
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
    totals = np.array([expected_purchases(table, parameters, fit.model, ahead) @ count for parameters in fit.draws(draws, seed)])
    chance = np.sqrt(variance_of_purchases(table, fit.parameters, fit.model, ahead) @ count)
    noise = np.random.default_rng(seed + 1).standard_normal((20, draws))
    low, high = np.quantile(np.maximum(totals + chance * noise, 0), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
