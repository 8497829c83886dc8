"""Points with their intervals: shares of ordered bands, gains of levers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from kpi.presentation.charts import style
from kpi.presentation.language import Words


@style.looks
def plot_points(
    table: pd.DataFrame,
    labels: Sequence[str],
    words: Words,
    *,
    counts: Sequence[str],
    floor: int = 20,
    xlabel: str = "",
    ylabel: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw a share per band with its interval, hollow for the last band (never), nothing where too few records say anything.

    Parameters
    ----------
    table : DataFrame
        ``value``, ``low``, ``high``, ``n``; one row per band, in order.
    labels : sequence of str
        One per band.
    words : Words
        Language of numbers.
    counts : sequence of str
        Written in the right-hand column.
    floor : int
        Fewest records for a point.
    xlabel, ylabel : str
        Axis labels.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
    """
    ax = ax or style.axes(0.7 + 0.44 * max(len(table), 1))
    shown = table["n"].astype("float64").to_numpy() >= floor
    highs = table["high"].to_numpy(dtype=float)[shown]
    reach = max(float(np.nanmax(highs)) if len(highs) and not np.isnan(highs).all() else 0.0, 0.05)
    for place, (row, count, is_shown) in enumerate(zip(table.itertuples(), counts, shown, strict=True)):
        ax.text(reach * 1.5, -place, count, va="center", ha="right", color=style.MUTED)
        if not is_shown or np.isnan(row.value):
            ax.text(0, -place, words.say("too few (floor {floor})", floor=floor), va="center", color=style.MUTED)
            continue
        last = place == len(table) - 1
        ax.hlines([-place], row.low, row.high, color=style.MEASURE, lw=2)
        ax.plot([row.value], [-place], "o", ms=6, color="white" if last else style.MEASURE, markeredgecolor=style.MEASURE, markeredgewidth=1.6)
        ax.annotate(words.percent(row.value), (row.value, -place), xytext=(0, 7), textcoords="offset points", ha="center", fontweight="bold")
    ax.set_yticks([-place for place in range(len(table))], list(labels))
    ax.set_xlim(0, reach * 1.52)
    ax.set_ylim(-len(table) + 0.5, 0.75)
    ax.xaxis.set_major_formatter(style.ticks(words.percent))
    ax.grid(axis="x")
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    return ax


@style.looks
def plot_levers(
    table: pd.DataFrame,
    labels: Sequence[str],
    words: Words,
    currency: str,
    *,
    moves: Sequence[str],
    heading: str = "",
    xlabel: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw what each lever would bring as a point with its interval, hollow where the interval includes zero.

    Parameters
    ----------
    table : DataFrame
        ``value``, ``low``, ``high``; one row per lever, in order.
    labels : sequence of str
        One per lever.
    words : Words
        Language of numbers.
    currency : str
        ISO code.
    moves : sequence of str
        From where to where each lever moves, written in the right-hand column.
    heading : str
        Above that column.
    xlabel : str
        Axis label.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
    """
    ax = ax or style.axes(0.75 + 0.23 * max(len(table), 1))
    beside = {"transform": ax.get_yaxis_transform(), "va": "center", "color": style.MUTED}
    ax.axvline(0, color=style.INK, lw=1)
    for place, (row, move) in enumerate(zip(table.itertuples(), moves, strict=True)):
        settled = row.low > 0
        ax.hlines([-place], row.low, row.high, color=style.MEASURE, lw=2)
        ax.plot([row.value], [-place], "o", ms=6, color=style.MEASURE if settled else "white", markeredgecolor=style.MEASURE, markeredgewidth=1.6)
        ax.text(1.02, -place, move, **beside)
    ax.text(1.02, 0.85, heading, **beside)
    ax.set_yticks([-place for place in range(len(table))], list(labels))
    ax.tick_params("y", labelcolor=style.INK)
    ax.set_ylim(-len(table) + 0.4, 1.3)
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.xaxis.set_major_formatter(style.ticks(lambda gain: words.money(gain, currency, signed=True) if gain else "0"))
    ax.grid(axis="x")
    ax.set_xlabel(xlabel)
    return ax
