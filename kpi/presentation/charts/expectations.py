"""What a model expected beside what then came, and how long customers stay."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from kpi.presentation.charts import style
from kpi.presentation.language import Words

_RULE = {"color": style.PAST, "ls": "--", "lw": 1.4}


@style.looks
def plot_tracking(
    table: pd.DataFrame, words: Words, *, labels: Sequence[str], rule: str = "hiatus", ylabel: str = "", xlabel: str = "", ax: Axes | None = None
) -> Axes:
    """Draw what a model expected up to each time, with its interval, what then came, and what a plain rule expected.

    Parameters
    ----------
    table : DataFrame
        ``horizon``, ``value``, ``low``, ``high``, ``actual`` and the column `rule`.
    words : Words
        Language of numbers.
    labels : sequence of str
        Of the model, of what came, of the rule; written at the ends.
    rule : str
        Column of the plain rule.
    ylabel, xlabel : str
        Axis labels.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
    """
    ax = ax or style.axes(3.3)
    times = table["horizon"].to_numpy("float64")
    ax.fill_between(times, table["low"].astype(float), table["high"].astype(float), color=style.MEASURE, alpha=0.22, lw=0)
    marker = "o" if len(table) < 2 else ""
    ax.plot(times, table[rule], marker=marker, **_RULE)
    ax.plot(times, table["value"], color=style.MEASURE, marker=marker)
    ax.plot(times, table["actual"], color=style.INK, lw=1.4, marker="o", ms=3.4)
    top = float(np.nanmax([table["high"].max(), table["actual"].max(), table[rule].max(), 1])) if len(table) else 1.0
    ax.set_ylim(0, top * 1.08)
    if len(table):
        last = table.iloc[-1]
        _label_ends(ax, times[-1], [float(last[name]) for name in ("value", "actual", rule)], labels, top)
        ax.set_xlim(0, times[-1] * 1.34)
    end = times[-1] if len(times) else 1.0
    ticks = MaxNLocator(7, steps=[1, 1.2, 3, 6, 10]).tick_values(0, end)  # months and days alike fall on multiples of 6 and 12
    ax.set_xticks([tick for tick in ticks if 0 <= tick <= end])
    _numbers(ax, words, xlabel, ylabel)
    ax.xaxis.set_major_formatter(style.ticks(words.number))
    return ax


@style.looks
def plot_calibration(
    table: pd.DataFrame,
    names: Sequence[str],
    words: Words,
    *,
    labels: Sequence[str],
    rule: str = "hiatus",
    ylabel: str = "",
    xlabel: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw what a model expected per customer of each group, what then came, and what a plain rule expected.

    Parameters
    ----------
    table : DataFrame
        ``value``, ``actual``, the column `rule` (sums over the group) and ``n``; one row per group, in order.
    names : sequence of str
        One per group.
    words : Words
        Language of numbers.
    labels : sequence of str
        Of the model, of what came, of the rule.
    rule : str
        Column of the plain rule.
    ylabel, xlabel : str
        Axis labels.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
    """
    ax = ax or style.axes(3.3)
    places, n = np.arange(len(table)), table["n"].to_numpy("float64")
    value, actual, plain = (table[name].to_numpy("float64") / n for name in ("value", "actual", rule))
    ax.plot(places, plain, marker="_", ms=11, mew=2, color=style.PAST, ls="")
    ax.plot(places, value, marker="o", ms=8.5, color="white", mec=style.MEASURE, mew=1.8, ls="")
    ax.plot(places, actual, marker="o", ms=4, color=style.INK, ls="")
    top = float(np.nanmax([value, actual, plain])) if len(table) else 1.0
    if len(table):
        _label_ends(ax, places[-1] + 0.15, [value[-1], actual[-1], plain[-1]], labels, top)
    ax.set_xlim(-0.5, max(len(table), 1) * 1.32 - 0.3)
    ax.set_ylim(0, max(top, 0.01) * 1.08)
    ax.set_xticks(places, list(names))
    _numbers(ax, words, xlabel, ylabel)
    return ax


@style.looks
def plot_survival(curve: pd.DataFrame, words: Words, *, label: str, ylabel: str = "", xlabel: str = "", ax: Axes | None = None) -> Axes:
    """Draw the share of customers still there by age in months, with its interval, and where one half lies.

    Parameters
    ----------
    curve : DataFrame
        One curve of `survival.kaplan_meier`, ``time`` in months.
    words : Words
        Language of the ticks.
    label : str
        What the curve is, written at its end.
    ylabel, xlabel : str
        Axis labels.
    ax : Axes, optional
        Where to draw.

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
    ax.annotate(label, (end, share[-1]), xytext=(6, 0), textcoords="offset points", va="center", color=style.MEASURE, fontweight="bold")
    step = next(step for step in (3, 6, 12, 24, 60, 120, 1200) if end / step <= 8)
    ticks = list(range(0, int(end) + 1, step))
    ax.set_xticks(ticks, [words.number(tick) for tick in ticks])
    ax.set_xlim(0, end * 1.28)
    ax.set_ylim(0, 1.02)
    _numbers(ax, words, xlabel, ylabel)
    ax.yaxis.set_major_formatter(style.ticks(words.percent))
    ax.xaxis.labelpad = 18
    for tick in ticks:
        place = np.searchsorted(curve["time"].to_numpy(), tick)
        risk = words.number(int(curve["at_risk"].iloc[place])) if place < len(curve) else words.number(0)
        more = {"ha": "center", "fontsize": 7.4, "color": style.MEASURE, "annotation_clip": False}
        ax.annotate(risk, (tick, 0), xytext=(0, -27), textcoords="offset points", **more)
    return ax


def _numbers(ax: Axes, words: Words, xlabel: str, ylabel: str) -> None:
    ax.yaxis.set_major_formatter(style.ticks(lambda value: words.number(value, 0 if abs(value) >= 5 or value == round(value) else 1)))
    ax.grid(axis="y")
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)


def _label_ends(ax: Axes, place: float, heights: list[float], labels: Sequence[str], top: float) -> None:
    """Write the three labels beside their ends, the lower ones pushed down where they would overlap."""
    shades, gap = (style.MEASURE, style.INK, style.MUTED), top * 0.075
    written = np.inf
    for number in np.argsort(heights)[::-1]:
        written = min(heights[number], written - gap)
        bold = "bold" if number == 0 else "normal"
        ax.annotate(labels[number], (place, written), xytext=(7, 0), textcoords="offset points", va="center", color=shades[number], fontweight=bold)
