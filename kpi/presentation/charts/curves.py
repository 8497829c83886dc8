"""Curves: what has happened by an age, what share stays, what a model expected beside what came."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from kpi.presentation.charts import style
from kpi.presentation.language import Words

_DELAYS = (60, 300, 900, 3600, 4 * 3600, 86_400, 7 * 86_400, 30 * 86_400)


@style.context()
def plot_incidence(
    curve: pd.DataFrame,
    words: Words,
    *,
    cause: str,
    horizon: float,
    label: str,
    past: pd.DataFrame | None = None,
    past_label: str = "",
    ylabel: str = "",
    xlabel: str = "",
    delays: bool = False,
    mark: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the share to which something has happened, by age, with its interval.

    Parameters
    ----------
    curve : DataFrame
        One curve of `survival.aalen_johansen`.
    cause : str
        Outcome drawn.
    horizon : float
        Where the age axis ends; in days, or in seconds when `delays`.
    label : str
        What the curve is, written at its end.
    past : DataFrame, optional
        The curve to compare with, dashed.
    past_label : str
        What that one is.
    delays : bool
        Logarithmic axis from a minute to a month.
    mark : float, optional
        Age at which a vertical line and the values stand.

    Returns
    -------
    Axes
    """
    ax = ax or style.axes(3.3)
    both = ((past, past_label, style.PAST), (curve, label, style.MEASURE))
    drawn = [(table, name, colour) for table, name, colour in both if table is not None and len(table)]
    tops = [_step(ax, table, cause, horizon, colour, start=30.0 if delays else 0.0) for table, _, colour in drawn]
    ax.set_ylim(0, min(1.0, max(0.05, max(tops, default=0.0) * 1.12)))
    ticks = _age_axis(ax, words, horizon, delays=delays)
    at = horizon if mark is None else mark
    if mark is not None:
        ax.axvline(mark, color=style.RULE, lw=0.9, zorder=0)
    ends = [(_value(table, cause, at), name, colour) for table, name, colour in drawn]
    _label_ends(ax, [end for end in ends if not np.isnan(end[0])], at, is_inside=mark is not None)
    if not delays and mark is None:
        _at_risk(ax, [(table, colour) for table, _, colour in reversed(drawn)], ticks, words, pad=28)
    return style.finish(ax, xlabel, ylabel, y=words.percent, grid="y")


@style.context()
def plot_survival(curve: pd.DataFrame, words: Words, *, label: str, ylabel: str = "", xlabel: str = "", ax: Axes | None = None) -> Axes:
    """Draw the share of customers still there by age in months, with its interval, and where one half lies.

    Parameters
    ----------
    curve : DataFrame
        One curve of `survival.kaplan_meier`, ``time`` in months.
    label : str
        What the curve is, written at its end.

    Returns
    -------
    Axes
    """
    ax = ax or style.axes(3.3)
    times = np.concatenate([[0.0], curve["time"].to_numpy("float64")])
    share, low, high = (np.concatenate([[1.0], curve[name].to_numpy("float64")]) for name in ("survival", "low", "high"))
    ax.axhline(0.5, color=style.PAST, lw=0.9, ls="--", zorder=0)
    ax.fill_between(times, low, high, step="post", color=style.MEASURE, alpha=0.22, lw=0)
    ax.step(times, share, where="post", color=style.MEASURE)
    end = max(times[-1], 1.0)
    ax.plot([times[-1]], [share[-1]], "o", color=style.MEASURE, ms=4)
    style.label_end(ax, (end, share[-1]), label, style.MEASURE)
    step = next(step for step in (3, 6, 12, 24, 60, 120, 1200) if end / step <= 8)
    ticks = list(range(0, int(end) + 1, step))
    ax.set_xticks(ticks, [words.number(tick) for tick in ticks])
    ax.set_xlim(0, end * 1.28)
    ax.set_ylim(0, 1.02)
    _at_risk(ax, [(curve, style.MEASURE)], ticks, words, pad=18)
    return style.finish(ax, xlabel, ylabel, y=words.percent, grid="y")


@style.context()
def plot_retention(curve: pd.DataFrame, words: Words, *, ylabel: str = "", xlabel: str = "", ax: Axes | None = None) -> Axes:
    """Draw the share of customers who buy in each month after their first purchase.

    Parameters
    ----------
    curve : DataFrame
        Result of `retention.retention_curve`; age 0 is left out.

    Returns
    -------
    Axes
    """
    ax = ax or style.axes(3.3)
    later = curve[curve["age"] > 0]
    ax.vlines(later["age"], later["low"], later["high"], color=style.MEASURE, lw=2.2, alpha=0.35)
    ax.plot(later["age"], later["value"], "o-", color=style.MEASURE, ms=3.6, lw=1.2)
    ax.set_ylim(0, max(0.05, float(later["high"].max()) * 1.1) if len(later) else 1)
    ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 2.5, 5, 10]))
    return style.finish(ax, xlabel, ylabel, x=words.number, y=words.percent, grid="y")


def _step(ax: Axes, table: pd.DataFrame, cause: str, horizon: float, colour: str, start: float) -> float:
    columns = [f"{part}_{cause}" for part in ("incidence", "low", "high")]
    known = table[columns[0]].notna()  # not where too few were under observation: the curve ends there
    shown = table[(table["time"] <= horizon) & known]
    last = shown.iloc[[-1]].assign(time=horizon) if len(shown) and known.all() else shown.iloc[:0]
    times = np.concatenate([[start], np.maximum(shown["time"], start), last["time"]])
    value, low, high = (np.concatenate([[0.0], shown[name].fillna(0), last[name].fillna(0)]) for name in columns)
    ax.step(times, value, where="post", color=colour, ls="-" if colour == style.MEASURE else "--", lw=1.8)
    ax.fill_between(times, low, high, step="post", color=colour, alpha=0.22, lw=0)
    return float(high.max())


def _age_axis(ax: Axes, words: Words, horizon: float, *, delays: bool) -> list[int]:
    if delays:
        ticks = [delay for delay in _DELAYS if delay <= horizon]
        ax.set_xscale("log")
        ax.set_xticks(ticks, [words.duration(delay).replace(" ", "\n").replace("\u00a0", "\n") for delay in ticks])
        ax.minorticks_off()
    else:
        ticks = list(range(0, int(horizon) + 1, 30 if horizon <= 180 else 60 if horizon <= 365 else 90))
        ax.set_xticks(ticks, [words.number(day) for day in ticks])
    ax.set_xlim((50, horizon) if delays else (0, horizon * 1.28))
    return ticks


def _value(table: pd.DataFrame, cause: str, at: float) -> float:
    shown = table[table["time"] <= at]
    return float(shown[f"incidence_{cause}"].iloc[-1]) if len(shown) else 0.0


def _label_ends(ax: Axes, ends: Sequence[tuple[float, str, str]], at: float, *, is_inside: bool) -> None:
    """Mark the ends of the curves and write their labels beside them, pushed apart where they would overlap."""
    places, top = sorted(ends, key=lambda end: end[0]), ax.get_ylim()[1]
    heights = [end[0] for end in places]
    gap = top * (0.1 if is_inside else 0.13)
    if len(heights) == 2 and heights[1] - heights[0] < gap:
        lower = max(sum(heights) / 2 - gap / 2, top * 0.04)
        heights = [lower, lower + gap]
    for (value, name, colour), height in zip(places, heights, strict=True):
        ax.plot([at], [value], "o", color=colour, ms=4)
        is_left = is_inside and colour != style.MEASURE
        style.label_end(ax, (at, height), name, colour, dx=-6 if is_left else 6, dy=4 if is_left else 0)


def _at_risk(ax: Axes, tables: Iterable[tuple[pd.DataFrame, str]], ticks: Sequence[int], words: Words, *, pad: float) -> None:
    """Write below the axis how many were under observation at each tick, a row for each curve."""
    ax.xaxis.labelpad = pad
    for row, (table, colour) in enumerate(tables):
        numbers, shade = [*table["at_risk"], 0], style.MEASURE if colour == style.MEASURE else style.MUTED
        for tick, place in zip(ticks, np.searchsorted(table["time"].to_numpy(), ticks), strict=True):
            below: dict[str, Any] = {"xytext": (0, -27 - 10 * row), "textcoords": "offset points", "annotation_clip": False}
            ax.annotate(words.number(int(numbers[place])), (tick, 0), ha="center", fontsize=7.4, color=shade, **below)


@style.context()
def plot_tracking(
    table: pd.DataFrame, words: Words, *, labels: Sequence[str], rule: str = "hiatus", ylabel: str = "", xlabel: str = "", ax: Axes | None = None
) -> Axes:
    """Draw what a model expected up to each time, with its interval, what then came, and what a plain rule expected.

    Parameters
    ----------
    table : DataFrame
        ``horizon``, ``value``, ``low``, ``high``, ``actual`` and the column `rule`.
    labels : sequence of str
        Of the model, of what came, of the rule; written at the ends.
    rule : str
        Column of the plain rule.

    Returns
    -------
    Axes
    """
    ax = ax or style.axes(3.3)
    times = table["horizon"].to_numpy("float64")
    ax.fill_between(times, table["low"].astype(float), table["high"].astype(float), color=style.MEASURE, alpha=0.22, lw=0)
    marker = "o" if len(table) < 2 else ""
    ax.plot(times, table[rule], marker=marker, color=style.PAST, ls="--", lw=1.4)
    ax.plot(times, table["value"], color=style.MEASURE, marker=marker)
    ax.plot(times, table["actual"], color=style.INK, lw=1.4, marker="o", ms=3.4)
    top = float(np.nanmax([table["high"].max(), table["actual"].max(), table[rule].max(), 1])) if len(table) else 1.0
    ax.set_ylim(0, top * 1.08)
    if len(table):
        last = table.iloc[-1]
        _label_three(ax, times[-1], [float(last[name]) for name in ("value", "actual", rule)], labels, top)
        ax.set_xlim(0, times[-1] * 1.34)
    end = times[-1] if len(times) else 1.0
    ticks = MaxNLocator(7, steps=[1, 1.2, 3, 6, 10]).tick_values(0, end)  # months and days alike fall on multiples of 6 and 12
    ax.set_xticks([tick for tick in ticks if 0 <= tick <= end])

    def short(count: float) -> str:
        return words.number(count, 0 if count >= 5 or count == round(count) else 1)

    return style.finish(ax, xlabel, ylabel, x=words.number, y=short, grid="y")


def _label_three(ax: Axes, place: float, heights: list[float], labels: Sequence[str], top: float) -> None:
    """Write the three labels beside their ends, the lower ones pushed down where they would overlap."""
    written = np.inf
    for number in np.argsort(heights)[::-1]:
        written = min(heights[number], written - top * 0.075)
        style.label_end(ax, (place, written), labels[number], (style.MEASURE, style.INK, style.PAST)[number], dx=7)
