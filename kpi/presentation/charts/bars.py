"""Bars and heat maps: shares by band, by stage, by hour of the week; amounts by stage; the account of customers."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.patheffects as effects
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from kpi.presentation.charts import style
from kpi.presentation.language import Words

_HALO = [effects.withStroke(linewidth=3.2, foreground="white")]


@style.looks
def plot_bands(
    bands: pd.DataFrame, labels: Sequence[str], words: Words, *, past: pd.DataFrame | None = None, xlabel: str = "", ax: Axes | None = None
) -> Axes:
    """Draw the share of leads in each band of delay, those not answered hatched.

    Parameters
    ----------
    bands : DataFrame
        Result of `response_time.response_bands`.
    labels : sequence of str
        One per band.
    words : Words
        Language of numbers.
    past : DataFrame, optional
        The bands to compare with, drawn as ticks.
    xlabel : str
        Axis label.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
    """
    ax = ax or style.axes(3.3)
    places = np.arange(len(bands))[::-1] + np.where(np.arange(len(bands)) == len(bands) - 1, -0.35, 0.0)
    values = bands["value"].fillna(0).to_numpy()
    ax.barh(places[:-1], values[:-1], height=0.62, color=style.MEASURE)
    ax.barh(places[-1:], values[-1:], height=0.62, facecolor="white", edgecolor=style.MEASURE, hatch="//////", lw=1)
    lines = ax.hlines(places, bands["low"], bands["high"], color=style.INK, lw=1.3)
    lines.set_path_effects(_HALO)
    if past is not None:
        known = past["value"].notna().to_numpy()
        ax.vlines(past["value"][known], places[known] - 0.42, places[known] + 0.42, color=style.PAST, lw=2)
    reach = np.nanmax([bands["high"].max(), past["value"].max() if past is not None else 0, 0.05])
    for place, row in zip(places, bands.itertuples(), strict=True):
        beside = np.nanmax([0, row.high, past["value"].iloc[row.Index] if past is not None else 0])
        ax.text(beside + reach * 0.03, place, f"{words.percent(row.value)} ({words.number(row.n_events)})", va="center", color=style.INK)
    ax.set_yticks(places, labels)
    ax.set_xlim(0, reach * 1.32)
    ax.xaxis.set_major_formatter(style.ticks(words.percent))
    ax.grid(axis="x")
    ax.set_xlabel(xlabel)
    return ax


@style.looks
def plot_week(
    table: pd.DataFrame, words: Words, *, hours: Sequence[tuple[int, int]], open_hours: pd.DataFrame, floor: int = 20, ax: Axes | None = None
) -> Axes:
    """Draw a share by weekday and hours of the day; hatched where too few records say anything.

    Parameters
    ----------
    table : DataFrame
        ``weekday`` (0 Monday), ``slot`` (place in `hours`), ``value``, ``n``.
    words : Words
        Language of weekdays and numbers.
    hours : sequence of (int, int)
        The slots, from hour to hour.
    open_hours : DataFrame
        ``weekday`` and ``slot`` of the open slots, framed.
    floor : int
        Fewest records for a number.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
    """
    ax = ax or style.axes(3.75)
    shape = {"index": range(len(hours)), "columns": range(7)}
    values = table.pivot(index="slot", columns="weekday", values="value").reindex(**shape)
    sizes = table.pivot(index="slot", columns="weekday", values="n").reindex(**shape).fillna(0).astype(int)
    enough = sizes >= floor
    colours = sns.light_palette(style.HEAT, as_cmap=True)
    sns.heatmap(values.where(enough).astype(float), vmin=0, vmax=1, cmap=colours, cbar=False, linewidths=1.4, linecolor="white", ax=ax)
    for slot in range(len(hours)):
        for day in range(7):
            _cell(ax, day, slot, values.iloc[slot, day], int(sizes.iloc[slot, day]), bool(enough.iloc[slot, day]), words)
    for row in open_hours.itertuples():
        ax.add_patch(Rectangle((row.weekday, row.slot), 1, 1, fill=False, edgecolor=style.INK, lw=1.1))
    ax.set_yticks(np.arange(len(hours)) + 0.5, [words.say("{first}–{last} h", first=first, last=last) for first, last in hours], rotation=0)
    ax.set_xticks(np.arange(7) + 0.5, [words.weekday(day) for day in range(7)])
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.spines["bottom"].set_visible(False)
    ax.set_xlabel("")
    ax.set_ylabel("")
    return ax


def _cell(ax: Axes, day: int, slot: int, value: float, n: int, enough: bool, words: Words) -> None:
    if not enough:
        ax.add_patch(Rectangle((day, slot), 1, 1, fill=False, hatch="////", edgecolor=style.RULE, lw=0))
        if n:
            ax.text(day + 0.5, slot + 0.5, words.say("n = {n}", n=n), ha="center", va="center", fontsize=6.6, color=style.MUTED)
        return
    shade = "white" if value > 0.45 else style.INK
    ax.text(day + 0.5, slot + 0.45, words.number(100 * value), ha="center", va="center", fontweight="bold", color=shade)
    ax.text(day + 0.95, slot + 0.9, words.number(n), ha="right", va="bottom", fontsize=5.8, color=shade)


@style.looks
def plot_shares(table: pd.DataFrame, labels: Sequence[str], words: Words, *, counts: Sequence[str], xlabel: str = "", ax: Axes | None = None) -> Axes:
    """Draw shares of a whole as bars with their intervals, in the given order.

    Parameters
    ----------
    table : DataFrame
        ``value``, ``low``, ``high``; one row per bar.
    labels : sequence of str
        Above each bar.
    words : Words
        Language of numbers.
    counts : sequence of str
        What is written at the right above each bar after the share.
    xlabel : str
        Axis label.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
    """
    ax = ax or style.axes(0.7 + 0.72 * max(len(table), 1))
    for place, (row, label, count) in enumerate(zip(table.itertuples(), labels, counts, strict=True)):
        ax.barh(-place, 1, height=0.42, color=style.BAND)
        ax.text(0, -place + 0.27, label, va="bottom", fontweight="bold")
        if np.isnan(row.value):
            ax.text(1, -place + 0.27, count, va="bottom", ha="right", color=style.MUTED)
            continue
        ax.barh(-place, row.value, height=0.42, color=style.MEASURE)
        ax.hlines([-place], row.low, row.high, color=style.INK, lw=1.3).set_path_effects(_HALO)
        said = f"{words.percent(row.value)} ({words.percent_range(row.low, row.high)}) · {count}"
        ax.text(1, -place + 0.27, said, va="bottom", ha="right")
    ax.set_xlim(0, 1)
    ax.set_ylim(-len(table) + 0.6, 0.75)
    ax.set_yticks([])
    ax.xaxis.set_major_formatter(style.ticks(words.percent))
    ax.set_xlabel(xlabel)
    return ax


@style.looks
def plot_amounts(
    table: pd.DataFrame, labels: Sequence[str], words: Words, currency: str, *, counts: Sequence[str], xlabel: str = "", ax: Axes | None = None
) -> Axes:
    """Draw amounts as bars with their counts beside them.

    Parameters
    ----------
    table : DataFrame
        ``value``; one row per bar.
    labels : sequence of str
        One per bar.
    words : Words
        Language of numbers.
    currency : str
        ISO code.
    counts : sequence of str
        Written in the right-hand column.
    xlabel : str
        Axis label.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
    """
    ax = ax or style.axes(0.8 + 0.38 * max(len(table), 1))
    values = table["value"].fillna(0).to_numpy(dtype=float)
    places = -np.arange(len(table))
    ax.barh(places, values, height=0.6, color=style.MEASURE)
    reach = max(values.max() if len(values) else 0, 1.0)
    for place, value, count in zip(places, values, counts, strict=True):
        ax.text(value + reach * 0.02, place, words.money(value, currency), va="center", fontweight="bold")
        ax.text(reach * 1.66, place, count, va="center", ha="right", color=style.MUTED)
    ax.set_yticks(places, labels)
    ax.set_xlim(0, reach * 1.68)
    ax.xaxis.set_major_locator(_few_ticks(reach))
    ax.xaxis.set_major_formatter(style.ticks(lambda amount: words.money(amount, currency)))
    ax.set_xlabel(xlabel)
    return ax


def _few_ticks(reach: float):
    from matplotlib.ticker import FixedLocator, MaxNLocator

    return FixedLocator([tick for tick in MaxNLocator(4).tick_values(0, reach) if tick <= reach])


@style.looks
def plot_account(
    start: float,
    changes: Sequence[float],
    labels: Sequence[str],
    words: Words,
    *,
    currency: str = "",
    counts: Sequence[str] = (),
    xlabel: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw how a number became another: steps between the two, falls hatched.

    Parameters
    ----------
    start : float
        The number at the start.
    changes : sequence of float
        The steps; the end is their sum.
    labels : sequence of str
        Label of the start, of each step, of the end.
    words : Words
        Language of numbers.
    currency : str
        ISO code of amounts; empty for plain numbers.
    counts : sequence of str
        Written in the right-hand column, one per label.
    xlabel : str
        Axis label.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
    """
    ax = ax or style.axes(0.8 + (0.3 if counts else 0.42) * (len(changes) + 2))
    change_said = (lambda value: words.money(value, currency, signed=True)) if currency else lambda value: words.number(value, signed=True)
    said = (lambda value: words.money(value, currency)) if currency else words.number
    levels = np.concatenate([[start], start + np.cumsum(changes)])
    reach = max(*levels, 1)
    right = reach * (1.42 if counts else 1.15)
    for place, count in enumerate(counts):
        ax.text(right, -place, count, va="center", ha="right", color=style.MUTED)
    end, rows = levels[-1], len(changes) + 1
    ax.barh(0, start, height=0.58, color=style.PAST)
    ax.barh(-rows, end, height=0.58, color=style.MEASURE)
    for place, (change, before, after) in enumerate(zip(changes, levels[:-1], levels[1:], strict=True), 1):
        fall = {"facecolor": "white", "hatch": "//////", "edgecolor": style.MEASURE, "lw": 1} if change < 0 else {"color": style.MEASURE}
        ax.barh(-place, abs(change), left=min(before, after), height=0.58, **fall)
        ax.plot([before, before], [-place + 1, -place], color=style.PAST, lw=0.8, zorder=0)
        ax.text(max(before, after) + reach * 0.015, -place, change_said(change), va="center", fontweight="bold")
    ax.plot([end, end], [-rows + 1, -rows], color=style.PAST, lw=0.8, zorder=0)
    for place, value in ((0, start), (-rows, end)):
        ax.text(value + reach * 0.015, place, said(value), va="center", fontweight="bold")
    ax.set_yticks([-place for place in range(rows + 1)], labels)
    ax.set_xlim(0, right)
    if currency:
        ax.xaxis.set_major_locator(_few_ticks(reach))
    ax.xaxis.set_major_formatter(style.ticks(said))
    ax.set_xlabel(xlabel)
    return ax


@style.looks
def plot_cohorts(cells: pd.DataFrame, words: Words, *, xlabel: str = "", ax: Axes | None = None) -> Axes:
    """Draw the cohort matrix: share who bought again by month since the first purchase; what is not observed yet stays empty.

    Parameters
    ----------
    cells : DataFrame
        Result of `retention.cohort_matrix`.
    words : Words
        Language of months and numbers.
    xlabel : str
        Axis label.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
    """
    later = cells[cells["age"] > 0]
    values = later.pivot(index="cohort", columns="age", values="value").astype(float)
    ax = ax or style.axes(0.8 + 0.2 * max(len(values), 4), width=2 * style.WIDTH)
    if not values.notna().any(axis=None):
        return ax
    colours = sns.light_palette(style.HEAT, as_cmap=True)
    top = max(0.1, float(np.nanpercentile(values, 98)))
    sns.heatmap(values, vmin=0, vmax=top, cmap=colours, cbar=False, linewidths=1, linecolor="white", ax=ax)
    for row in range(values.shape[0]):
        for column in range(values.shape[1]):
            value = values.iloc[row, column]
            if not np.isnan(value):
                shade = "white" if value > 0.5 * top else style.INK
                ax.text(column + 0.5, row + 0.52, words.number(100 * value), ha="center", va="center", fontsize=6.8, color=shade)
    sizes = cells[cells["age"] == 0].set_index("cohort")["n"]
    ax.set_yticks(
        np.arange(len(values)) + 0.5, [f"{words.month(cohort)}  (n = {words.number(int(sizes[cohort]))})" for cohort in values.index], rotation=0
    )
    ax.set_xticks(np.arange(values.shape[1]) + 0.5, [words.number(age) for age in values.columns], rotation=0)
    ax.tick_params(length=0)
    ax.spines["bottom"].set_visible(False)
    ax.set_xlabel(xlabel)
    ax.set_ylabel("")
    return ax
