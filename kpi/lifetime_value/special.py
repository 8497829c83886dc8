"""The functions the models need, kept exact where the textbook form overflows or cancels."""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln

LARGE = 20.0  # from here on Stirling's series has 15 digits
CANCELS = 100.0  # from here on Euler's form loses more than two digits
TERMS = 200_000
UNDERFLOW = -600.0


def log_rise(z, m) -> np.ndarray:
    """Logarithm of z (z + 1) ... (z + m - 1) = gamma(z + m) / gamma(z)."""
    z, m = np.broadcast_arrays(np.asarray(z, "float64"), np.asarray(m, "float64"))
    with np.errstate(all="ignore"):
        direct = gammaln(z + m) - gammaln(z)
        series = (z + m - 0.5) * np.log1p(m / z) + m * (np.log(z) - 1) + _stirling(z + m) - _stirling(z)
    return np.where(z < LARGE, direct, series)


def _stirling(z: np.ndarray) -> np.ndarray:
    w = 1 / (z * z)
    return (1 / 12 - w * (1 / 360 - w * (1 / 1260 - w * (1 / 1680 - w * (1 / 1188 - w * 691 / 360360))))) / z


def purchases_to_come(shape, reach, a, beta) -> np.ndarray:
    """Purchases that a customer still active is expected to make.

    The mean of (1 - (1 + p t / (alpha + T))^-s) / p over p. Fader, Hardie and Lee (2005), Marketing Science 24:275-284, write it with Gauss' 2F1;
    in Euler's form the first parameter of 2F1 no longer grows with the number of purchases, and what is divided by a - 1 is taken
    out of the series, so that a = 1 is no exception. Few purchases, a large `a` or rates known beforehand cancel there; for these the terms, all
    positive, are summed over the number of purchases (negative binomial) that would be made without dropping out.
    """
    shape, reach, a, beta = _flat(shape, reach, a, beta)
    answer, z = np.empty(len(shape)), reach / (1 + reach)
    counted = (a > LARGE) | (a + beta < shape) | (a + beta < 1.5) | (a + beta - 1 > CANCELS * shape)
    answer[counted] = _counted(shape[counted], z[counted], a[counted], beta[counted], 0)
    answer[~counted] = _euler(shape[~counted], z[~counted], a[~counted], beta[~counted])
    return answer


def squared_to_come(shape, reach, a, beta) -> np.ndarray:
    """Mean of the square of the number of purchases that a customer still active makes."""
    shape, reach, a, beta = _flat(shape, reach, a, beta)
    return _counted(shape, reach / (1 + reach), a, beta, 2)


def _flat(*parts) -> tuple[np.ndarray, ...]:
    return tuple(part.ravel() for part in np.broadcast_arrays(*(np.asarray(part, "float64") for part in parts)))


def _counted(shape: np.ndarray, z: np.ndarray, a: np.ndarray, beta: np.ndarray, weight: int) -> np.ndarray:
    """Sum over j of P(more than j would be bought) x P(still there after j) x (1 + weight j): the mean (weight 0), the mean square (2)."""
    answer = np.zeros(len(shape))
    left = np.flatnonzero(z > 0)
    nothing = shape[left] * np.log1p(-z[left])  # logarithm of P(K = 0)
    debt = np.minimum(nothing - UNDERFLOW, 0)  # of what `exact`, `upto` and `total` are too large by, so as to be numbers at all
    exact = np.exp(nothing - debt)  # P(K = j), from j = 0 on
    stays, inner, upto, total = np.ones(len(left)), np.zeros(len(left)), exact.copy(), np.zeros(len(left))  # mean of (1 - p)^j; sums
    parts = (left, shape[left], z[left], a[left], beta[left], debt, exact, stays, inner, upto, total)
    for j in range(TERMS):
        left, shape, z, a, beta, debt, exact, stays, inner, upto, total = parts
        inner += stays * (1 + weight * j)
        stays *= (beta + j) / (a + beta + j)
        exact *= (shape + j) * z / (j + 1)
        upto += exact
        total += exact * inner
        if j % 8 == 0:
            _pay(debt, exact, upto, total)
            ended = _counted_up(j, shape, z, debt, exact, inner, total)
            gone = _gone(j, a, beta, weight, stays, inner) & (upto * np.exp(debt) < 0.5)
            total[gone] = (total * np.exp(debt) + (1 - upto * np.exp(debt)) * inner)[gone]
            ended |= gone
            answer[left[ended]] = total[ended]
            parts = parts if not ended.any() else tuple(part[~ended] for part in parts)
            if ended.all():
                return answer
    answer[parts[0]] = parts[-1]
    return answer


def _counted_up(j: int, shape, z, debt, exact, inner, total) -> np.ndarray:
    """Whether the rest, at most a geometric series once the terms fall, no longer counts."""
    ratio = (shape + j + 1) / (j + 2) * z
    rest = 1e-17 * (1 - np.minimum(ratio, 1 - 1e-12)) * np.maximum(total, 1e-290)
    return (ratio < 1) & (exact * inner * (j + 2) <= rest) & (debt == 0)


def _gone(j: int, a, beta, weight: int, stays, inner) -> np.ndarray:
    """Whether nobody is left to buy more, however many would be bought; only where the mean of 1 / p^2 exists is it soon so."""
    rest = (a + beta + j) / np.maximum(a - 3, 1e-9)
    return stays * rest * (1 + weight * (j + rest)) <= 1e-17 * inner


def _pay(debt: np.ndarray, *grown: np.ndarray) -> None:
    """Take off as much of what is too large as is possible without falling below all numbers."""
    if debt.any():
        paid = np.where(grown[0] > 1e-50, np.maximum(debt, -400.0), 0.0)
        debt -= paid
        for part in grown:
            part *= np.exp(paid)


def _euler(shape: np.ndarray, z: np.ndarray, a: np.ndarray, beta: np.ndarray) -> np.ndarray:
    e, c = a - 1, a + beta - 1
    first, log = c - shape, np.log1p(-z)
    power = np.where(np.abs(e) < 1e-300, log, np.expm1(e * log) / np.where(np.abs(e) < 1e-300, 1, e))
    term = first / np.where(c == 0, 1, c) * z
    answer = np.empty(len(z))
    parts = (np.arange(len(z)), first, e, c, z, term.copy(), term)
    for k in range(1, TERMS):
        left, first_k, e_k, c_k, z_k, total, term = parts
        term *= (first_k + k) * (e_k + k) / ((c_k + k) * (k + 1)) * z_k
        total += term
        if k % 8 == 0:
            ended = np.abs(term) <= 1e-17 * (1 - z_k) * np.abs(total)
            answer[left[ended]] = total[ended]
            parts = parts if not ended.any() else tuple(part[~ended] for part in parts)
            if ended.all():
                break
    else:
        answer[parts[0]] = parts[5]
    return -c * (power + answer * np.exp(e * log))
