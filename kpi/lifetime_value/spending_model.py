"""What a customer spends per purchase: the Gamma-Gamma model, from counts of customers alike in purchases and mean amount."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import gammaln, polygamma, psi
from scipy.stats import spearmanr

from kpi.errors import DataError
from kpi.lifetime_value.special_functions import log_rise
from kpi.statistics import optimise

SAMPLE = 4000
ALIKE = 1e12  # q of customers who do not differ
# log p, log (q - 1), log of the mean amount; amounts in mean amounts
BOX = optimise.Box(np.array([-7.0, -5.0, -14.0]), np.array([np.log(10_000.0), np.log(10_000.0), 14.0]))


@dataclass(frozen=True)
class SpendingModel(optimise.Estimated):
    """A Gamma-Gamma model with its parameters and how well they are known.

    Attributes
    ----------
    p, q, v : float
        Amounts of a customer differ as gamma(p), customers as gamma(q, v); `q` above 1, so that there is a mean.
    log_likelihood : float
        At the maximum.
    errors : dict of str to float
        Standard errors.
    held : tuple of str
        What the data do not identify: ``amounts`` (a customer's purchases are alike), ``customers`` (customers are alike, or so different that they
        have no mean), ``mean``.
    left_out : int
        Customers without an amount above 0, who had no part in the fit.
    unit : float
        Mean amount, the unit of the working parameters.
    maximum : Maximum or None
        In working parameters; none where no customer spent anything.
    """

    p: float
    q: float
    v: float
    log_likelihood: float
    errors: dict[str, float]
    held: tuple[str, ...]
    left_out: int
    unit: float
    maximum: optimise.Maximum | None

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
            One row per draw: p, q, v.
        """
        if self.maximum is None:
            return np.tile(self.parameters, (number, 1))
        return np.array([_parameters(point, self.unit) for point in self.maximum.draws(number, seed)])


def fit_spending(table: pd.DataFrame) -> SpendingModel:
    """Find what customers spend per purchase, and how they differ.

    Parameters
    ----------
    table : DataFrame
        Counted customers: ``purchases`` (number of purchases whose amount is known), ``amount`` (their mean), ``count``.

    Returns
    -------
    SpendingModel

    Raises
    ------
    DataError
        If there is no customer.

    Notes
    -----
    Fader and Hardie (2013), The Gamma-Gamma Model of Monetary Value, note 025 on brucehardie.com.
    """
    x, mean, count = (table[name].to_numpy("float64") for name in ("purchases", "amount", "count"))
    if not len(x) or count.sum() <= 0:
        raise DataError("no customer has bought: there is nothing to fit")
    spent = (x > 0) & (mean > 0)
    left_out = int(count[~spent].sum())
    if not spent.any():
        return SpendingModel(1.0, 2.0, 0.0, 0.0, dict.fromkeys("pqv", 0.0), ("mean",), left_out, 1.0, None)
    x, mean, count = x[spent], mean[spent], count[spent]
    unit = float(np.average(mean, weights=count * x))
    rows = _Rows(x, mean / unit, count)
    step = max(1, len(x) // SAMPLE)
    part = rows if step == 1 else _Rows(x[::step], mean[::step] / unit, count[::step])
    starts = [np.array([1.0, 1.0, 0.0]), np.array([0.0, 4.0, 0.0])]  # customers differ; or hardly do
    best = optimise.maximise(rows.likelihood, part.likelihood, starts, BOX)
    p, q, v = _parameters(best.point, unit)
    errors = best.errors("pqv", (p, q, v), _slopes(best.point))
    value = best.value - float(count.sum()) * np.log(unit)
    return SpendingModel(p, q, v, value, errors, best.held_names(("amounts", "customers", "mean")), left_out, unit, best)


@dataclass(frozen=True)
class MeanAmount:
    """What a repeat purchase has brought on average, whoever made it: where amounts go with frequency, and Gamma-Gamma has no ground.

    Attributes
    ----------
    value, error : float
        Mean amount of a purchase, and its standard error, by customers.
    """

    value: float
    error: float

    @property
    def parameters(self) -> np.ndarray:
        """The same as Gamma-Gamma of customers who are all alike."""
        return np.array([1.0, ALIKE, self.value * (ALIKE - 1)])

    def draws(self, number: int, seed: int) -> np.ndarray:
        """Draw means as uncertain as the data leave them: one row per draw."""
        means = np.maximum(np.random.default_rng(seed).normal(self.value, self.error, number), 0.0)
        return np.column_stack([np.ones(number), np.full(number, ALIKE), means * (ALIKE - 1)])


def mean_amount(cells: pd.DataFrame) -> MeanAmount:
    """Find what a purchase brings on average from counted customers (``priced``, ``count``, sums ``spent`` and ``spent_squared``)."""
    priced, count, spent = (cells[name].to_numpy("float64") for name in ("priced", "count", "spent"))
    purchases = float(priced @ count)
    mean = float(spent.sum()) / purchases
    apart = cells["spent_squared"].to_numpy("float64") - 2 * mean * priced * spent + mean**2 * priced**2 * count
    return MeanAmount(mean, float(np.sqrt(max(apart.sum(), 0.0)) / purchases))


def frequency_correlation(table: pd.DataFrame) -> float:
    """Rank correlation (Spearman) of how often customers bought again and what they spent each time; 0 where it cannot be told.

    Takes what `fit_spending` takes.
    """
    often, much = (np.repeat(table[name].to_numpy("float64"), table["count"]) for name in ("purchases", "amount"))
    if len(often) < 3 or np.ptp(often) == 0 or np.ptp(much) == 0:
        return 0.0
    return float(spearmanr(often, much).statistic)


class _Rows:
    def __init__(self, x: np.ndarray, mean: np.ndarray, count: np.ndarray) -> None:
        self.x, self.mean, self.count, self.log_mean = x, mean, count, np.log(mean)
        self.kinds, self.kind = np.unique(x, return_inverse=True)
        self.many = np.bincount(self.kind, count, len(self.kinds))

    def likelihood(self, point: np.ndarray) -> optimise.Slopes:
        p, q, v = _parameters(point, 1.0)
        (value, gradient, hessian), by_log = optimise.by_working_parameters(self.natural(p, q, v), np.array([p, q, v]), _slopes(point))
        hessian[1, 1] += by_log[1] * (q - 1) / q**2
        return value, gradient, hessian

    def natural(self, p: float, q: float, v: float) -> optimise.Slopes:
        k, many, x, n = self.kinds, self.many, self.x, self.count
        total = x * self.mean
        rest = np.log1p(v / total)  # -log of the share of what was spent
        share = np.log(v) - np.log(v + total)
        value = many @ (log_rise(p * k, q) - gammaln(q)) + n @ (q * share - self.log_mean - p * x * rest)
        grown, grown2, base, base2 = psi(p * k + q), polygamma(1, p * k + q), psi(p * k), polygamma(1, p * k)
        gradient = np.array([many @ (k * (grown - base)) - n @ (x * rest), many @ (grown - psi(q)) + n @ share, 0.0])
        spread = p * x + q
        gradient[2] = n @ (q / v - spread / (v + total))
        hessian = np.zeros((3, 3))
        hessian[0, 0] = many @ (k * k * (grown2 - base2))
        hessian[0, 1] = hessian[1, 0] = many @ (k * grown2)
        hessian[1, 1] = many @ (grown2 - polygamma(1, q))
        hessian[0, 2] = hessian[2, 0] = -(n @ (x / (v + total)))
        hessian[1, 2] = hessian[2, 1] = n @ (total / (v * (v + total)))
        hessian[2, 2] = n @ (spread / (v + total) ** 2 - q / v**2)
        return float(value), gradient, hessian


def _parameters(point: np.ndarray, unit: float) -> tuple[float, float, float]:
    p, more, mean = np.exp(point)
    return float(p), float(1 + more), float(mean * more / p * unit)


def _slopes(point: np.ndarray) -> np.ndarray:
    more = np.exp(point[1])
    return np.array([[1.0, 0, 0], [0, more / (1 + more), 0], [-1, 1, 1]])
