"""What a model expected beside what then came: by time, and by group."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from kpi.presentation.charts import style
from kpi.presentation.language import Words


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
        _label_ends(ax, times[-1], [float(last[name]) for name in ("value", "actual", rule)], labels, top)
        ax.set_xlim(0, times[-1] * 1.34)
    end = times[-1] if len(times) else 1.0
    ticks = MaxNLocator(7, steps=[1, 1.2, 3, 6, 10]).tick_values(0, end)  # months and days alike fall on multiples of 6 and 12
    ax.set_xticks([tick for tick in ticks if 0 <= tick <= end])
    return style.finish(ax, xlabel, ylabel, x=words.number, y=_short(words), grid="y")


@style.context()
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
    labels : sequence of str
        Of the model, of what came, of the rule.
    rule : str
        Column of the plain rule.

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
    return style.finish(ax, xlabel, ylabel, y=_short(words), grid="y")


def _short(words: Words) -> Callable[[float], str]:
    return lambda value: words.number(value, 0 if abs(value) >= 5 or value == round(value) else 1)


def _label_ends(ax: Axes, place: float, heights: list[float], labels: Sequence[str], top: float) -> None:
    """Write the three labels beside their ends, the lower ones pushed down where they would overlap."""
    written = np.inf
    for number in np.argsort(heights)[::-1]:
        written = min(heights[number], written - top * 0.075)
        style.label_end(ax, (place, written), labels[number], (style.MEASURE, style.INK, style.PAST)[number], dx=7)
