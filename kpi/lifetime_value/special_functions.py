"""Special functions of the models: rising factorials, and means over the chance of dropping out by Gauss-Jacobi quadrature."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.linalg import eigh_tridiagonal
from scipy.special import gammaln

LARGE = 20.0  # from here on Stirling's series has 15 digits
SERIES = 1e-3  # of the mean number of purchases, below which differences cancel
REACHES, ORDERS = (1.0, 4.0, 16.0), np.array([32, 64, 128, 192])  # up to so far ahead, in times known so far, so many nodes are exact
CHUNK = 4096

Integrand = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]  # chance of dropping out, shape and reach of the purchases


def log_rise(z: ArrayLike, m: ArrayLike) -> np.ndarray:
    """Logarithm of z (z + 1) ... (z + m - 1) = gamma(z + m) / gamma(z)."""
    z, m = np.broadcast_arrays(np.asarray(z, "float64"), np.asarray(m, "float64"))
    with np.errstate(all="ignore"):
        direct = gammaln(z + m) - gammaln(z)
        series = (z + m - 0.5) * np.log1p(m / z) + m * (np.log(z) - 1) + _stirling(z + m) - _stirling(z)
    return np.where(z < LARGE, direct, series)


def _stirling(z: np.ndarray) -> np.ndarray:
    w = 1 / (z * z)
    return (1 / 12 - w * (1 / 360 - w * (1 / 1260 - w * (1 / 1680 - w * (1 / 1188 - w * 691 / 360360))))) / z


def purchases(p: np.ndarray, shape: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """Mean number of purchases of active customers who drop out after each with chance p: (1 - (1 + p reach)^-shape) / p."""
    return -np.expm1(-shape * np.log1p(p * reach)) / p


def purchases_squared(p: np.ndarray, shape: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """Mean square of that number; where differences cancel, by the first terms of their series."""
    u, mean = p * reach, purchases(p, shape, reach)
    direct = (mean - shape * reach * np.exp(-(shape + 1) * np.log1p(u))) / p
    terms = 1 - 2 / 3 * (shape + 2) * u * (1 - 3 / 8 * (shape + 3) * u * (1 - 4 / 15 * (shape + 4) * u))
    return mean + 2 * (1 - p) * np.where((shape + 1) * u < SERIES, reach**2 * shape * (shape + 1) / 2 * terms, direct)


def mean_over_dropout(integrand: Integrand, shape: np.ndarray, reach: np.ndarray, a: float, b: float, survived: np.ndarray) -> np.ndarray:
    """Mean over customers whose chances of dropping out are beta(a, b + survived), one on the last axis each; lengths of time ahead come before.

    Who survived a few times more or less shares the nodes: the rest of the density is a polynomial, and little of it.
    """
    step = np.log(2) / np.sqrt(1 + a)  # less than one standard deviation
    near = np.clip(np.ceil(np.exp(np.floor(np.log(b + survived) / step) * step) - b), 0, survived)
    order = ORDERS[np.searchsorted(REACHES, reach.max(axis=0, initial=0))]
    answer = np.empty(reach.shape)
    for (passed, number), alike in pd.DataFrame({"passed": near, "order": order}).groupby(["passed", "order"]).indices.items():
        p, weight = gauss_jacobi(a, b + passed, number)
        for rows in np.array_split(alike, 1 + len(alike) // CHUNK):
            weights = weight * (1 - p) ** (survived[rows] - passed)[:, None]
            for length, ahead in enumerate(reach[:, rows]):
                answer[length, rows] = (integrand(p, shape[rows, None], ahead[:, None]) * weights).sum(axis=1) / weights.sum(axis=1)
    return answer


def gauss_jacobi(a: float, b: float, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of the mean over a beta(a, b): Golub and Welsch (1969), Mathematics of Computation 23:221-230."""
    total, k = a + b, np.arange(1.0, number)
    size = 2 * k + total - 2
    middle = np.r_[a / total, (1 + (a - b) * (total - 2) / (size * (size + 2))) / 2]
    k, size = k[1:], size[1:]
    beside = np.r_[a * b / (total**2 * (total + 1)), k * (k + a - 1) * (k + b - 1) * (k + total - 2) / (size**2 * (size**2 - 1))]
    nodes, vectors = eigh_tridiagonal(middle, np.sqrt(beside))
    return np.clip(nodes, 1e-200, 1.0), vectors[0] ** 2
