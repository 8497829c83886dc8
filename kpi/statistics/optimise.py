"""Maximum likelihood inside a box: Newton on a sample, then on all counts, with the analytic Hessian, which gives the standard errors.

A parameter that the data do not identify runs to the edge of its box; it stays there, is named as held, and has no part in the covariance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

STEPS = 100
WIDEST = 2.0  # standard deviation of a draw: a logarithm known worse than that is not known at all
TOLERANCE = 1e-9  # gain of log-likelihood that a further step would bring

Slopes = tuple[float, np.ndarray, np.ndarray]  # value, gradient, Hessian
Likelihood = Callable[[np.ndarray], Slopes]


@dataclass(frozen=True)
class Box:
    """Lowest and highest values of the working parameters."""

    lower: np.ndarray
    upper: np.ndarray

    def clip(self, points: np.ndarray) -> np.ndarray:
        """Move points outside to the edge."""
        return np.clip(points, self.lower, self.upper)


@dataclass(frozen=True)
class Maximum:
    """Where a likelihood is largest."""

    point: np.ndarray
    value: float
    covariance: np.ndarray
    held: tuple[bool, ...]
    box: Box

    def draws(self, number: int, seed: int) -> np.ndarray:
        """Draw working parameters as uncertain as the data leave them."""
        spread, axes = np.linalg.eigh(self.covariance)
        noise = np.random.default_rng(seed).standard_normal((number, len(spread)))
        return self.box.clip(self.point + noise * np.sqrt(np.clip(spread, 0, WIDEST**2)) @ axes.T)

    def errors(self, names: Sequence[str], values: Sequence[float], slopes: np.ndarray) -> dict[str, float]:
        """Standard errors of parameters whose logarithms have these slopes."""
        errors = np.sqrt(np.clip(np.diag(slopes @ self.covariance @ slopes.T), 0, None)) * values
        return dict(zip(names, errors.tolist(), strict=True))

    def held_names(self, names: Sequence[str]) -> tuple[str, ...]:
        """Names of the parameters held at the edge of the box."""
        return tuple(name for name, flag in zip(names, self.held, strict=True) if flag)


class Estimated:
    """A model whose parameters are attributes, each with its standard error."""

    errors: dict[str, float]

    @property
    def parameters(self) -> np.ndarray:
        """The parameters, in the order of their errors."""
        return np.array([getattr(self, name) for name in self.errors])


def maximise(whole: Likelihood, part: Likelihood, starts: list[np.ndarray], box: Box) -> Maximum:
    """Find the largest value of a log-likelihood inside a box, from where that of a part of the counts is."""
    near = max((_newton(part, box.clip(start), box) for start in starts), key=lambda one: one.value)
    return _newton(whole, near.point, box)


def by_working_parameters(likelihood: Slopes, values: np.ndarray, slopes: np.ndarray) -> tuple[Slopes, np.ndarray]:
    """Slopes by the working parameters from those by the parameters, whose logarithms have these slopes; and those by the logarithms."""
    value, gradient, hessian = likelihood
    by_log = gradient * values
    return (value, slopes.T @ by_log, slopes.T @ (hessian * np.outer(values, values) + np.diag(by_log)) @ slopes), by_log


def _newton(whole: Likelihood, point: np.ndarray, box: Box) -> Maximum:
    value, gradient, hessian = whole(point)
    damping = 0.0
    for _ in range(STEPS):
        free = _free(point, gradient, box)
        if not free.any():
            break
        step = np.zeros(len(point))
        step[free] = _step(-hessian[np.ix_(free, free)], gradient[free], damping)
        goal = box.clip(point + step)
        if abs(gradient @ (goal - point)) < TOLERANCE * max(1.0, abs(value) * 1e-6):
            break
        better = whole(goal)
        if better[0] >= value:
            point, (value, gradient, hessian), damping = goal, better, damping / 10 if damping > 1e-8 else 0.0
        else:
            damping = max(10 * damping, 1e-4)
            if damping > 1e12:
                break
    free = _free(point, gradient, box)
    covariance = np.zeros((len(point), len(point)))
    if free.any():
        covariance[np.ix_(free, free)] = _inverse(-hessian[np.ix_(free, free)])
    return Maximum(point, value, covariance, tuple(bool(flag) for flag in ~free), box)


def _free(point: np.ndarray, gradient: np.ndarray, box: Box) -> np.ndarray:
    return ~(((point <= box.lower + 1e-9) & (gradient <= 0)) | ((point >= box.upper - 1e-9) & (gradient >= 0)))


def _step(curve: np.ndarray, gradient: np.ndarray, damping: float) -> np.ndarray:
    """Newton's step; where the surface is not curved downwards its curvature is turned round, and the step kept within 2."""
    spread, axes = np.linalg.eigh(curve)
    size = np.abs(spread)
    size = np.maximum(size + damping * size.max(), 1e-12 * max(size.max(), 1e-300))
    step = axes @ ((axes.T @ gradient) / size)
    return step * min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-300))


def _inverse(curve: np.ndarray) -> np.ndarray:
    spread, axes = np.linalg.eigh(curve)
    inverse = np.where(spread > 1e-10 * max(spread.max(), 1e-300), 1 / np.where(spread > 0, spread, np.inf), 0)
    return (axes * inverse) @ axes.T
