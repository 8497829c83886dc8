"""How likely counted purchase histories are under the BG/NBD and the MBG/NBD, with the slopes that a fit needs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import pandas as pd
from scipy.special import expit, polygamma, psi

from kpi.errors import DataError
from kpi.lifetime_value.special import log_rise

Model = Literal["bg", "mbg"]
COLUMNS = ("repeats", "recency", "age")
CHUNK = 8192  # customers at a time: what is worked out of them stays in the processor's cache


class Histories:
    """Counted customers, with what does not depend on the parameters."""

    def __init__(self, x: np.ndarray, recency: np.ndarray, age: np.ndarray, count: np.ndarray, model: Model) -> None:
        self.x, self.recency, self.age, self.count, self.shift = x, recency, age, count, float(model == "mbg")
        could_drop_out = x + self.shift > 0
        self.lost = tuple(part if could_drop_out.all() else part[could_drop_out] for part in (x, recency, age, count))
        # Gamma functions depend on the number of purchases alone, which takes few values.
        kind, self.kinds = pd.factorize(x)
        self.many = np.bincount(kind, count, len(self.kinds))

    def thinned(self, size: int) -> Histories:
        """Take every so many-th row."""
        step = max(1, len(self.x) // size)
        parts = (part[::step] for part in (self.x, self.recency, self.age, self.count))
        return self if step == 1 else Histories(*parts, "mbg" if self.shift else "bg")

    def likelihood(self, place: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """Log-likelihood and its slopes by the working parameters."""
        size, slopes = np.array(natural_parameters(place, 1.0)), slopes_of_logs(place)
        value, gradient, hessian = self.natural(*size)
        by_log = gradient * size
        chained = slopes.T @ (hessian * np.outer(size, size) + np.diag(by_log)) @ slopes
        share = expit(place[2])
        chained[2, 2] -= share * (1 - share) * (by_log[2] + by_log[3])
        return value, slopes.T @ by_log, chained

    def natural(self, r: float, alpha: float, a: float, b: float) -> tuple[float, np.ndarray, np.ndarray]:
        """Log-likelihood and its slopes by r, alpha, a, b."""
        value, gradient, hessian = self._by_kind(r, a, b)
        parts = [_observed(*rows, r, alpha) for rows in _chunks(self.x, self.age, self.count)]
        parts += [_lost(*rows, r, alpha, a, b + self.shift - 1) for rows in _chunks(*self.lost)]
        for part in parts:
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


def _chunks(*columns: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
    for first in range(0, len(columns[0]), CHUNK):
        yield tuple(column[first : first + CHUNK] for column in columns)


def _observed(x: np.ndarray, age: np.ndarray, n: np.ndarray, r: float, alpha: float) -> tuple[float, np.ndarray, np.ndarray]:
    """Of x purchases within the time observed, alpha^r / (alpha + T)^(r + x), by r and alpha."""
    shape, end, grown, number = r + x, 1 / (alpha + age), np.log1p(age / alpha), n.sum()
    held = shape * end
    value = -(n @ (shape * grown)) - np.log(alpha) * (n @ x)
    gradient, hessian = np.zeros(4), np.zeros((4, 4))
    gradient[:2] = -(n @ grown), number * r / alpha - n @ held
    hessian[0, 1] = hessian[1, 0] = number / alpha - n @ end
    hessian[1, 1] = n @ (held * end) - number * r / alpha**2
    return value, gradient, hessian


def _lost(x, recency, age, n, r: float, alpha: float, a: float, b: float) -> tuple[float, np.ndarray, np.ndarray]:
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


def natural_parameters(place: np.ndarray, unit: float) -> tuple[float, float, float, float]:
    """Turn the working parameters into r, alpha, a, b."""
    rate, scale, drop, size = place
    total = np.exp(size)
    return float(np.exp(rate + scale)), float(np.exp(scale) * unit), float(total * expit(drop)), float(total * expit(-drop))


def slopes_of_logs(place: np.ndarray) -> np.ndarray:
    """Logarithms of r, alpha, a, b by the working parameters."""
    share = expit(place[2])
    return np.array([[1.0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1 - share, 1], [0, 0, -share, 1]])


def checked(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Read counted customers."""
    x, recency, age, count = (table[name].to_numpy("float64") for name in (*COLUMNS, "count"))
    if not len(x) or count.sum() <= 0:
        raise DataError("no customer has bought: there is nothing to fit")
    if not ((x >= 0) & (recency >= 0) & (recency <= age) & (count >= 0) & ((x > 0) | (recency == 0))).all():
        raise DataError("repeats, recency and age must be counts of real customers: 0 <= recency <= age, and recency 0 without repeats")
    return x, recency, age, count
