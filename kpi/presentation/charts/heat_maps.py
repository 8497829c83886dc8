"""Heat maps: a share by hour of the week, and by cohort and age."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from kpi.presentation.charts import style
from kpi.presentation.language import Words


@style.context()
def plot_week(
    table: pd.DataFrame, words: Words, *, hours: Sequence[tuple[int, int]], open_hours: pd.DataFrame, floor: int = 20, ax: Axes | None = None
) -> Axes:
    """Draw a share by weekday and hours of the day; hatched where too few records say anything.

    Parameters
    ----------
    table : DataFrame
        ``weekday`` (0 Monday), ``slot`` (place in `hours`), ``value``, ``n``.
    hours : sequence of (int, int)
        The slots, from hour to hour.
    open_hours : DataFrame
        ``weekday`` and ``slot`` of the open slots, framed.
    floor : int
        Fewest records for a number.

    Returns
    -------
    Axes
    """
    ax = ax or style.axes(3.75)
    shape = {"index": range(len(hours)), "columns": range(7)}
    values = table.pivot(index="slot", columns="weekday", values="value").reindex(**shape)
    sizes = table.pivot(index="slot", columns="weekday", values="n").reindex(**shape).fillna(0).astype(int)
    _heat_map(ax, values.where(sizes >= floor).astype(float), top=1, gap=1.4)
    for (slot, day), n in np.ndenumerate(sizes.to_numpy()):
        _cell(ax, day, slot, values.iloc[slot, day], int(n), n >= floor, words)
    for row in open_hours.itertuples():
        ax.add_patch(Rectangle((row.weekday, row.slot), 1, 1, fill=False, edgecolor=style.INK, lw=1.1))
    ax.set_yticks(np.arange(len(hours)) + 0.5, [words.say("{first}–{last} h", first=first, last=last) for first, last in hours], rotation=0)
    ax.set_xticks(np.arange(7) + 0.5, [words.weekday(day) for day in range(7)])
    ax.xaxis.tick_top()
    return style.finish(ax)


def _cell(ax: Axes, day: int, slot: int, value: float, n: int, enough: bool, words: Words) -> None:
    if not enough:
        ax.add_patch(Rectangle((day, slot), 1, 1, fill=False, hatch="////", edgecolor=style.RULE, lw=0))
        if n:
            ax.text(day + 0.5, slot + 0.5, words.say("n = {n}", n=n), ha="center", va="center", fontsize=6.6, color=style.MUTED)
        return
    shade = "white" if value > 0.45 else style.INK
    ax.text(day + 0.5, slot + 0.45, words.number(100 * value), ha="center", va="center", fontweight="bold", color=shade)
    ax.text(day + 0.95, slot + 0.9, words.number(n), ha="right", va="bottom", fontsize=5.8, color=shade)


@style.context()
def plot_cohorts(cells: pd.DataFrame, words: Words, *, xlabel: str = "", ax: Axes | None = None) -> Axes:
    """Draw the cohort matrix: share who bought again by month since the first purchase; what is not observed yet stays empty.

    Parameters
    ----------
    cells : DataFrame
        Result of `retention.cohort_matrix`.

    Returns
    -------
    Axes
    """
    later = cells[cells["age"] > 0]
    values = later.pivot(index="cohort", columns="age", values="value").astype(float)
    ax = ax or style.axes(0.8 + 0.2 * max(len(values), 4), width=2 * style.WIDTH)
    if not values.notna().any(axis=None):
        return ax
    top = max(0.1, float(np.nanpercentile(values, 98)))
    _heat_map(ax, values, top=top, gap=1)
    for (row, column), value in np.ndenumerate(values.to_numpy()):
        if not np.isnan(value):
            shade = "white" if value > 0.5 * top else style.INK
            ax.text(column + 0.5, row + 0.52, words.number(100 * value), ha="center", va="center", fontsize=6.8, color=shade)
    sizes = cells[cells["age"] == 0].set_index("cohort")["n"]
    labels = [f"{words.month(cohort)}  (n = {words.number(int(sizes[cohort]))})" for cohort in values.index]
    ax.set_yticks(np.arange(len(values)) + 0.5, labels, rotation=0)
    ax.set_xticks(np.arange(values.shape[1]) + 0.5, [words.number(age) for age in values.columns], rotation=0)
    return style.finish(ax, xlabel)


def _heat_map(ax: Axes, values: pd.DataFrame, *, top: float, gap: float) -> None:
    colours = sns.light_palette(style.HEAT, as_cmap=True)
    sns.heatmap(values, vmin=0, vmax=top, cmap=colours, cbar=False, linewidths=gap, linecolor="white", ax=ax)
    ax.tick_params(length=0)
    ax.spines["bottom"].set_visible(False)
