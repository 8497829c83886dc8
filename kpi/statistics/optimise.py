"""Maximum likelihood inside a box: Newton on a sample, then on all counts, with the analytic Hessian, which gives the standard errors.

A parameter that the data do not identify runs to the edge of its box; it stays there, is named as held, and has no part in the covariance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

STEPS = 100
WIDEST = 2.0  # standard deviation of a draw: a logarithm known worse than that is not known at all
TOLERANCE = 1e-9  # gain of log-likelihood that a further step would bring

Likelihood = Callable[[np.ndarray], tuple[float, np.ndarray, np.ndarray]]  # place -> value, gradient, Hessian


@dataclass(frozen=True)
class Maximum:
    """Where a likelihood is largest."""

    place: np.ndarray
    value: float
    covariance: np.ndarray
    held: tuple[bool, ...]


def maximise(whole: Likelihood, part: Likelihood, starts: list[np.ndarray], lower: np.ndarray, upper: np.ndarray) -> Maximum:
    """Find the largest value of a log-likelihood inside a box."""
    near = max((_newton(part, np.clip(start, lower, upper), lower, upper) for start in starts), key=lambda one: one.value)
    return _newton(whole, near.place, lower, upper)


def draws(maximum: Maximum, number: int, seed: int, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Draw working parameters as uncertain as the data leave them."""
    spread, axes = np.linalg.eigh(maximum.covariance)
    noise = np.random.default_rng(seed).standard_normal((number, len(spread)))
    return np.clip(maximum.place + noise * np.sqrt(np.clip(spread, 0, WIDEST**2)) @ axes.T, lower, upper)


def _newton(whole: Likelihood, place: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> Maximum:
    value, gradient, hessian = whole(place)
    damping = 0.0
    for _ in range(STEPS):
        free = _free(place, gradient, lower, upper)
        if not free.any():
            break
        curve = -hessian[np.ix_(free, free)]
        step = np.zeros(len(place))
        step[free] = _solved(curve, gradient[free], damping)
        goal = np.clip(place + step, lower, upper)
        if abs(gradient @ (goal - place)) < TOLERANCE * max(1.0, abs(value) * 1e-6):
            break
        better = whole(goal)
        if better[0] >= value:
            place, (value, gradient, hessian), damping = goal, better, damping / 10 if damping > 1e-8 else 0.0
        else:
            damping = max(10 * damping, 1e-4)
            if damping > 1e12:
                break
    free = _free(place, gradient, lower, upper)
    covariance = np.zeros((len(place), len(place)))
    if free.any():
        covariance[np.ix_(free, free)] = _inverse(-hessian[np.ix_(free, free)])
    return Maximum(place, value, covariance, tuple(bool(flag) for flag in ~free))


def _free(place: np.ndarray, gradient: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    stuck = ((place <= lower + 1e-9) & (gradient <= 0)) | ((place >= upper - 1e-9) & (gradient >= 0))
    return ~stuck


def _solved(curve: np.ndarray, gradient: np.ndarray, damping: float) -> np.ndarray:
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
