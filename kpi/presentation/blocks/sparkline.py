"""Small drawings that stand in the page itself: a KPI's months, an interval beside its number."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kpi.errors import ParameterError
from kpi.presentation.blocks.markup import attribute


@dataclass(frozen=True)
class Sparkline:
    """The months of one KPI over the range in which they vary by themselves."""

    values: Sequence[float | None]
    low: Sequence[float | None]
    mid: Sequence[float | None]
    high: Sequence[float | None]
    signals: Sequence[bool]
    alt: str
    is_provisional: bool = False

    def __post_init__(self) -> None:
        if not len(self.values) or len(self.values) != len(self.signals):
            raise ParameterError(f"a drawing of months needs as many signals as values, got {len(self.signals)} and {len(self.values)}")
        if not self.alt.strip():
            raise ParameterError("a drawing needs an alternative text")

    def svg(self, *, width: int = 252, height: int = 62, dots: bool = True) -> str:
        """Draw the months."""
        values, low, mid, high = (self._months(column) for column in (self.values, self.low, self.mid, self.high))
        known = [value for value in (*values, *low, *high) if math.isfinite(value)]
        bottom, top = (min(known), max(known)) if known else (0.0, 1.0)
        span = top - bottom or 1.0
        xs = [round(5 + i * (width - 12) / max(len(values) - 1, 1), 1) for i in range(len(values))]

        margin = min(5.0, height / 6)  # half a mark may stand over the edge

        def place(value: float) -> float:
            return round(height - margin - (value - bottom) / span * (height - 2 * margin), 1)

        points = [(x, place(value)) if math.isfinite(value) else None for x, value in zip(xs, values, strict=True)]
        parts = [_band(xs, low, high, place), _centre(xs, mid, place) if dots else "", _line(points)]
        for i, point in enumerate(points):
            if point:
                parts.append(self._mark(i, *point, dots=dots))
        return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{attribute(self.alt)}">{"".join(parts)}</svg>'

    def _months(self, column: Sequence[float | None]) -> list[float]:
        if len(column) != len(self.values):
            raise ParameterError(f"a drawing of {len(self.values)} months got {len(column)} limits")
        return [math.nan if value is None else float(value) for value in column]

    def _mark(self, i: int, x: float, y: float, *, dots: bool) -> str:
        if self.signals[i]:
            return f'<path class="s" d="M{x} {round(y - 5.5, 1)}l5.5 5.5-5.5 5.5-5.5-5.5z"/>'
        if i == len(self.values) - 1:
            return f'<circle class="{"h" if self.is_provisional else "now"}" cx="{x}" cy="{y}" r="4"/>'
        return f'<circle class="p" cx="{x}" cy="{y}" r="1.6"/>' if dots else ""


def _band(xs: list[float], low: list[float], high: list[float], place: Callable[[float], float]) -> str:
    inside = [i for i in range(len(xs)) if math.isfinite(low[i]) and math.isfinite(high[i])]
    corners = [(xs[i], place(high[i])) for i in inside] + [(xs[i], place(low[i])) for i in reversed(inside)]
    return f'<polygon class="b" points="{" ".join(f"{x},{y}" for x, y in corners)}"/>' if inside else ""


def _centre(xs: list[float], mid: list[float], place: Callable[[float], float]) -> str:
    return _line([(x, place(value)) if math.isfinite(value) else None for x, value in zip(xs, mid, strict=True)], "m")


def _line(points: list[tuple[float, float] | None], css: str = "l") -> str:
    """Draw a path through the known points, lifting the pen at gaps; a level line needs its ends only."""
    known = [point for point in points if point]
    if len(known) == len(points) and len({y for _, y in known}) == 1:
        return f'<path class="{css}" d="M{known[0][0]} {known[0][1]}H{known[-1][0]}"/>'
    steps, pen = [], "M"
    for point in points:
        if point:
            steps.append(f"{pen}{point[0]} {point[1]}")
        pen = "L" if point else "M"
    return f'<path class="{css}" d="{"".join(steps)}"/>' if steps else ""


def interval(
    value: float, low: float, high: float, *, axis: tuple[float, float], reference: float | None = None, width: int = 176, height: int = 22
) -> str:
    """Draw an estimate with its interval, as one row of a shared axis."""
    xs = _scale(axis, width)
    parts = [] if reference is None or not math.isfinite(reference) else [f'<path class="m" d="M{xs(reference)} 0V{height}"/>']
    if all(math.isfinite(number) for number in (value, low, high)):
        parts.append(f'<path class="ci" d="M{xs(low)} {height / 2}H{xs(high)}"/><circle class="e" cx="{xs(value)}" cy="{height / 2}" r="4"/>')
    return f'<svg viewBox="0 0 {width} {height}" aria-hidden="true">{"".join(parts)}</svg>'


def interval_axis(labels: Sequence[tuple[float, str]], *, axis: tuple[float, float], width: int = 176, height: int = 22) -> str:
    """Write the scale over a column of drawn intervals."""
    xs, parts = _scale(axis, width), []
    for at, label in labels:
        anchor = "" if at <= axis[0] else ' text-anchor="end"' if at >= axis[1] else ' text-anchor="middle"'
        parts.append(f'<text x="{xs(at)}" y="16"{anchor}>{attribute(label)}</text>')
    return f'<svg viewBox="0 0 {width} {height}" aria-hidden="true">{"".join(parts)}</svg>'


def _scale(axis: tuple[float, float], width: int) -> Callable[[float], float]:
    left, right = axis
    if not left < right:
        raise ParameterError(f"an axis runs from a lower to a higher value, not from {left} to {right}")
    return lambda value: round(4 + (min(max(value, left), right) - left) / (right - left) * (width - 8), 1)
