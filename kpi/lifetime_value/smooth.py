"""Values of an expensive smooth function at many places, read off Chebyshev polynomials where these are as exact as working each out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

ORDERS = (24, 48)
LEAST = 3  # rows of a kind per term, for the polynomial to be less work
EXACT = 1e-13  # of the smallest value: what the last terms may amount to
CHUNK = 8192

Function = Callable[[np.ndarray, np.ndarray], np.ndarray]  # kinds, places -> values


def smoothly(function: Function, kind: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Values of a function of a kind that is smooth in a place.

    Trefethen (2019), Approximation Theory and Approximation Practice, chapters 3 and 8.
    """
    values = np.full(len(place), np.nan)
    low, high = (place.min(), place.max()) if len(place) else (0.0, 0.0)
    middle, half = (low + high) / 2, max((high - low) / 2, 1e-300)
    for order in ORDERS:
        left = np.flatnonzero(np.isnan(values))
        values[left] = _read_off(lambda of, x: function(of, middle + half * x), kind[left], (place[left] - middle) / half, order)
    left = np.flatnonzero(np.isnan(values))
    values[left] = function(kind[left], place[left])
    return values


def _read_off(function: Function, kind: np.ndarray, x: np.ndarray, order: int) -> np.ndarray:
    """Values at x in [-1, 1]; missing where a kind has too few rows, or the polynomial is not exact."""
    values = np.full(len(x), np.nan)
    rows = np.bincount(kind)
    tried = np.flatnonzero(rows > LEAST * order)
    if not len(tried):
        return values
    angles = (np.arange(order) + 0.5) * np.pi / order
    known = function(np.repeat(tried, order), np.tile(np.cos(angles), len(tried))).reshape(-1, order)
    terms = known @ np.cos(np.outer(angles, np.arange(order))) * (2 / order)
    terms[:, 0] /= 2
    good = np.abs(terms[:, -3:]).max(axis=1) <= EXACT * known.min(axis=1)
    of = np.full(len(rows), -1)
    of[tried[good]] = np.arange(good.sum())
    of = of[kind]
    found = np.flatnonzero(of >= 0)
    columns = np.ascontiguousarray(terms[good].T)
    columns = columns[: 1 + np.flatnonzero(np.abs(columns).max(axis=1, initial=0) > EXACT / 100 * known.min()).max(initial=0)]
    for first in range(0, len(found), CHUNK):
        part = found[first : first + CHUNK]
        values[part] = _clenshaw(columns, of[part], x[part])
    return values


def _clenshaw(terms: np.ndarray, of: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Sum of the polynomials, each row with its own terms."""
    last, before, twice = np.zeros(len(x)), np.zeros(len(x)), 2 * x
    for term in terms[:0:-1]:
        last, before = term[of] + twice * last - before, last
    return terms[0][of] + x * last - before
