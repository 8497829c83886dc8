"""Who renews a contract: the shifted beta-geometric model, from the number lost and the number last seen at each renewal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit, polygamma, psi

from kpi.errors import DataError
from kpi.lifetime_value.special_functions import log_rise
from kpi.statistics import optimise

# logit of the mean share lost at a renewal, log (alpha + beta)
BOX = optimise.Box(np.array([-16.0, -7.0]), np.array([16.0, np.log(10_000.0)]))


@dataclass(frozen=True)
class RenewalModel(optimise.Estimated):
    """A shifted beta-geometric with its parameters and how well they are known.

    Attributes
    ----------
    alpha, beta : float
        Customers differ in their probability of leaving at a renewal as beta(alpha, beta).
    log_likelihood : float
        At the maximum.
    errors : dict of str to float
        Standard errors.
    held : tuple of str
        What the data do not identify: ``customers`` (all leave alike; alpha / (alpha + beta) stands), ``mean`` (nobody leaves, or everybody).
    maximum : Maximum
        In working parameters.
    """

    alpha: float
    beta: float
    log_likelihood: float
    errors: dict[str, float]
    held: tuple[str, ...]
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
            One row per draw: alpha, beta.
        """
        return np.array([_parameters(point) for point in self.maximum.draws(number, seed)])


def fit_renewals(table: pd.DataFrame) -> RenewalModel:
    """Find how customers differ in leaving at a renewal.

    Parameters
    ----------
    table : DataFrame
        ``renewal`` (1, 2, ...), ``lost`` customers who left at it, ``kept`` customers last seen when they had just passed it; ``kept`` may stand at
        renewal 0.

    Returns
    -------
    RenewalModel

    Raises
    ------
    DataError
        If there is no renewal, or a count is negative.

    Notes
    -----
    Fader and Hardie (2007), Journal of Interactive Marketing 21:76-90.
    """
    renewal, lost, kept = (table[name].to_numpy("float64") for name in ("renewal", "lost", "kept"))
    if (renewal < 0).any() or (lost < 0).any() or (kept < 0).any() or lost[renewal < 1].any():
        raise DataError("lost and kept must be counts, by renewal from 1 on; kept may stand at renewal 0")
    if not len(renewal) or not (lost.sum() + kept[renewal > 0].sum()):
        raise DataError("nobody has come to a renewal: there is nothing to fit")

    def likelihood(point: np.ndarray) -> optimise.Slopes:
        return _likelihood(point, renewal, lost, kept)

    start = np.array([np.log((lost.sum() + 0.5) / (kept.sum() + lost.sum())), 0.5])
    best = optimise.maximise(likelihood, likelihood, [start], BOX)
    alpha, beta = _parameters(best.point)
    errors = best.errors(("alpha", "beta"), (alpha, beta), _slopes(best.point))
    return RenewalModel(alpha, beta, best.value, errors, best.held_names(("mean", "customers")), best)


def share_kept(renewals: np.ndarray, parameters: np.ndarray) -> np.ndarray:
    """Share of customers still there after so many renewals.

    Parameters
    ----------
    renewals : ndarray
        From 0 on.
    parameters : ndarray
        alpha, beta.

    Returns
    -------
    ndarray
        In [0, 1].
    """
    alpha, beta = parameters
    renewals = np.asarray(renewals, "float64")
    return np.exp(log_rise(beta, renewals) - log_rise(alpha + beta, renewals))


def _likelihood(point: np.ndarray, renewal: np.ndarray, lost: np.ndarray, kept: np.ndarray) -> optimise.Slopes:
    alpha, beta = _parameters(point)
    total = alpha + beta
    # lost at t: alpha x rise(beta, t - 1) / rise(alpha + beta, t); kept after t: rise(beta, t) / rise(alpha + beta, t)
    passed = np.where(renewal > 0, renewal - 1, 0)
    value = lost @ (np.log(alpha) + log_rise(beta, passed) - log_rise(total, renewal)) + kept @ (log_rise(beta, renewal) - log_rise(total, renewal))
    both = (lost + kept) @ (psi(total) - psi(total + renewal))
    both2 = (lost + kept) @ (polygamma(1, total) - polygamma(1, total + renewal))
    by_beta = lost @ (psi(beta + passed) - psi(beta)) + kept @ (psi(beta + renewal) - psi(beta))
    by_beta2 = lost @ (polygamma(1, beta + passed) - polygamma(1, beta)) + kept @ (polygamma(1, beta + renewal) - polygamma(1, beta))
    gradient = np.array([lost.sum() / alpha + both, by_beta + both])
    hessian = np.array([[both2 - lost.sum() / alpha**2, both2], [both2, by_beta2 + both2]])
    natural = (float(value), gradient, hessian)
    (value, slope, curve), by_log = optimise.by_working_parameters(natural, np.array([alpha, beta]), _slopes(point))
    share = expit(point[0])
    curve[0, 0] -= share * (1 - share) * by_log.sum()
    return value, slope, curve


def _parameters(point: np.ndarray) -> tuple[float, float]:
    total = np.exp(point[1])
    return float(total * expit(point[0])), float(total * expit(-point[0]))


def _slopes(point: np.ndarray) -> np.ndarray:
    """Logarithms of alpha and beta by the working parameters."""
    share = expit(point[0])
    return np.array([[1 - share, 1], [-share, 1]])
