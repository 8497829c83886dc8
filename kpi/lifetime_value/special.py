"""The functions the models need, kept exact where the textbook form overflows or cancels."""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln

LARGE = 20.0  # from here on Stirling's series has 15 digits
TERMS = 200_000
UNDERFLOW = -600.0


def log_rise(z, m) -> np.ndarray:
    """Logarithm of z (z + 1) ... (z + m - 1) = gamma(z + m) / gamma(z).

    Parameters
    ----------
    z : array or float
        Above 0.
    m : array or float
        From 0 on, need not be whole.

    Returns
    -------
    ndarray
        Without the cancellation of two large logarithms.
    """
    z, m = np.broadcast_arrays(np.asarray(z, "float64"), np.asarray(m, "float64"))
    with np.errstate(all="ignore"):
        direct = gammaln(z + m) - gammaln(z)
        series = (z + m - 0.5) * np.log1p(m / z) + m * (np.log(z) - 1) + _stirling(z + m) - _stirling(z)
    return np.where(z < LARGE, direct, series)


def _stirling(z: np.ndarray) -> np.ndarray:
    w = 1 / (z * z)
    return (1 / 12 - w * (1 / 360 - w * (1 / 1260 - w * (1 / 1680 - w * (1 / 1188 - w * 691 / 360360))))) / z


def purchases_to_come(shape: np.ndarray, reach: np.ndarray, a: float, beta: np.ndarray) -> np.ndarray:
    """Purchases that a customer still active is expected to make.

    Parameters
    ----------
    shape : ndarray
        Of the gamma distribution of the customer's rate, as known now: r + x.
    reach : ndarray
        Time ahead, in units of that distribution's scale: t / (alpha + T).
    a : float
        First parameter of the beta distribution of dropping out after a purchase.
    beta : ndarray
        Second one, as known now.

    Returns
    -------
    ndarray

    Notes
    -----
    The mean of (1 - (1 + p t / (alpha + T))^-s) / p over p. Fader, Hardie and Lee (2005), Marketing Science 24:275-284, write it with Gauss' 2F1;
    in Euler's form the first parameter of 2F1 no longer grows with the number of purchases, and what is divided by a - 1 is taken
    out of the series, so that a = 1 is no exception. Few purchases, a large `a` or rates known beforehand cancel there; for these the terms, all
    positive, are summed over the number of purchases (negative binomial) that would be made without dropping out.
    """
    shape, reach, beta = (np.asarray(part, "float64").ravel() for part in np.broadcast_arrays(shape, reach, beta))
    answer = np.zeros(len(shape))
    z = reach / (1 + reach)
    counted = (shape < 2) | (a > LARGE) | (a + beta - shape < 0)
    answer[counted] = _counted(shape[counted], z[counted], a, beta[counted])[0]
    answer[~counted] = _euler(shape[~counted], z[~counted], a, beta[~counted])
    return answer


def squared_to_come(shape: np.ndarray, reach: np.ndarray, a: float, beta: np.ndarray) -> np.ndarray:
    """Mean of the square of the number of purchases that a customer still active makes.

    Parameters
    ----------
    shape, reach, a, beta : ndarray or float
        As for `purchases_to_come`.

    Returns
    -------
    ndarray
    """
    shape, reach, beta = (np.asarray(part, "float64").ravel() for part in np.broadcast_arrays(shape, reach, beta))
    return _counted(shape, reach / (1 + reach), a, beta)[1]


def _counted(shape: np.ndarray, z: np.ndarray, a: float, beta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums over j of P(more than j would be bought) x P(still there after j): the mean, and the mean square."""
    mean, square = np.zeros(len(shape)), np.zeros(len(shape))
    left = np.flatnonzero(z > 0)
    shape, z, beta = shape[left], z[left], beta[left]
    nothing = shape * np.log1p(-z)
    tiny = bool((nothing < UNDERFLOW).any())
    exact = np.exp(nothing)  # P(K = j), from j = 0 on
    stays = np.ones(len(left))  # mean of (1 - p)^j
    inner, inner2 = np.zeros(len(left)), np.zeros(len(left))  # sum over i < j of the mean of (1 - p)^i, and weighted with 2 i + 1
    for j in range(TERMS):
        inner, inner2 = inner + stays, inner2 + (2 * j + 1) * stays
        stays = stays * (beta + j) / (a + beta + j)
        exact = exact * (shape + j) / (j + 1) * z
        if tiny:
            exact = np.where(nothing < UNDERFLOW, np.exp(nothing + log_rise(shape, j + 1) - gammaln(j + 2) + (j + 1) * np.log(z)), exact)
        mean[left] += exact * inner
        square[left] += exact * inner2
        ratio = (shape + j + 1) / (j + 2) * z
        # the rest is at most a geometric series once the terms fall
        ended = (ratio < 1) & (exact * inner2 * (j + 2) <= 1e-17 * (1 - np.minimum(ratio, 1 - 1e-12)) * np.maximum(square[left], 1e-290))
        if j % 8 == 0 and ended.any():
            keep = ~ended
            left, exact, stays, inner, inner2 = (part[keep] for part in (left, exact, stays, inner, inner2))
            shape, z, beta, nothing = (part[keep] for part in (shape, z, beta, nothing))
        if not len(left):
            break
    return mean, square


def _euler(shape: np.ndarray, z: np.ndarray, a: float, beta: np.ndarray) -> np.ndarray:
    e, c = a - 1, a + beta - 1
    first = c - shape
    log = np.log1p(-z)
    power = log if abs(e) < 1e-300 else np.expm1(e * log) / e
    term = first / np.where(c == 0, 1, c) * z
    total = term.copy()
    left, piece = np.arange(len(z)), (first, c, z, term)
    for k in range(1, TERMS):
        first_k, c_k, z_k, term_k = piece
        term_k = term_k * (first_k + k) * (e + k) / ((c_k + k) * (k + 1)) * z_k
        total[left] += term_k
        piece = (first_k, c_k, z_k, term_k)
        if k % 8 == 0:
            keep = np.abs(term_k) > 1e-17 * (1 - z_k) * np.abs(total[left])
            left, piece = left[keep], tuple(part[keep] for part in piece)
        if not len(left):
            break
    return -c * (power + total * np.exp(e * log))
