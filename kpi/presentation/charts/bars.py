"""Bars: shares by band and by stage, amounts by stage, how a number became another, where the deals of each stage went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.patheffects as effects
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, MaxNLocator

from kpi.presentation.charts import style
from kpi.presentation.language import Words

# What each part of a stage's bar holds, in its order, and how it looks.
FLOW: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (("forward", "skipped", "won"), {"facecolor": style.MEASURE}),
    (("back",), style.HATCHED | {"lw": 0.8}),
    (("lost", "deleted"), {"facecolor": style.PAST}),
    (("open",), {"facecolor": style.BAND}),
)
ROOM = 0.045  # share of the bar that a number needs


@style.context()
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
    past : DataFrame, optional
        The bands to compare with, drawn as ticks.

    Returns
    -------
    Axes
    """
    ax = ax or style.axes(3.3)
    places = np.arange(len(bands))[::-1] + np.where(np.arange(len(bands)) == len(bands) - 1, -0.35, 0.0)
    values = bands["value"].fillna(0).to_numpy()
    ax.barh(places[:-1], values[:-1], height=0.62, color=style.MEASURE)
    ax.barh(places[-1:], values[-1:], height=0.62, **style.HATCHED)
    _intervals(ax, places, bands)
    before = np.full(len(bands), np.nan) if past is None else past["value"].to_numpy(dtype=float)
    known = ~np.isnan(before)
    ax.vlines(before[known], places[known] - 0.42, places[known] + 0.42, color=style.PAST, lw=2)
    reach = np.nanmax([*bands["high"], *before, 0.05])
    for place, row, then in zip(places, bands.itertuples(), before, strict=True):
        beside = np.nanmax([0, row.high, then]) + reach * 0.03
        ax.text(beside, place, f"{words.percent(row.value)} ({words.number(row.n_events)})", va="center", color=style.INK)
    ax.set_yticks(places, labels)
    ax.set_xlim(0, reach * 1.32)
    return style.finish(ax, xlabel, x=words.percent, grid="x")


@style.context()
def plot_shares(table: pd.DataFrame, labels: Sequence[str], words: Words, *, counts: Sequence[str], xlabel: str = "", ax: Axes | None = None) -> Axes:
    """Draw shares of a whole as bars with their intervals, in the given order.

    Parameters
    ----------
    table : DataFrame
        ``value``, ``low``, ``high``; one row per bar.
    labels : sequence of str
        Above each bar.
    counts : sequence of str
        What is written at the right above each bar after the share.

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
        _intervals(ax, [-place], table.iloc[[place]])
        written = f"{words.percent(row.value)} ({words.percent_range(row.low, row.high)}) · {count}"
        ax.text(1, -place + 0.27, written, va="bottom", ha="right")
    ax.set_xlim(0, 1)
    ax.set_ylim(-len(table) + 0.6, 0.75)
    ax.set_yticks([])
    return style.finish(ax, xlabel, x=words.percent)


def _intervals(ax: Axes, places: Sequence[float] | np.ndarray, table: pd.DataFrame) -> None:
    lines = ax.hlines(places, table["low"], table["high"], color=style.INK, lw=1.3)
    lines.set_path_effects([effects.withStroke(linewidth=3.2, foreground="white")])


@style.context()
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
    currency : str
        ISO code.
    counts : sequence of str
        Written in the right-hand column.

    Returns
    -------
    Axes
    """
    ax = ax or style.axes(0.8 + 0.38 * max(len(table), 1))
    values = table["value"].fillna(0).to_numpy(dtype=float)
    ax.barh(-np.arange(len(table)), values, height=0.6, color=style.MEASURE)
    reach = max(values.max() if len(values) else 0, 1.0)
    for place, (value, count) in enumerate(zip(values, counts, strict=True)):
        ax.text(value + reach * 0.02, -place, words.money(value, currency), va="center", fontweight="bold")
        ax.text(reach * 1.66, -place, count, va="center", ha="right", color=style.MUTED)
    ax.set_yticks(-np.arange(len(table)), labels)
    ax.set_xlim(0, reach * 1.68)
    ax.xaxis.set_major_locator(_few_ticks(reach))
    return style.finish(ax, xlabel, x=lambda amount: words.money(amount, currency))


def _few_ticks(reach: float) -> FixedLocator:
    return FixedLocator([tick for tick in MaxNLocator(4).tick_values(0, reach) if tick <= reach])


@style.context()
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
    currency : str
        ISO code of amounts; empty for plain numbers.
    counts : sequence of str
        Written in the right-hand column, one per label.

    Returns
    -------
    Axes
    """
    ax = ax or style.axes(0.8 + (0.3 if counts else 0.42) * (len(changes) + 2))

    def said(value: float, *, signed: bool = False) -> str:
        return words.money(value, currency, signed=signed) if currency else words.number(value, signed=signed)

    levels = np.concatenate([[start], start + np.cumsum(changes)])
    reach = max(*levels, 1)
    right = reach * (1.42 if counts else 1.15)
    for place, count in enumerate(counts):
        ax.text(right, -place, count, va="center", ha="right", color=style.MUTED)
    end, rows = levels[-1], len(changes) + 1
    for place, value, colour in ((0, start, style.PAST), (rows, end, style.MEASURE)):
        ax.barh(-place, value, height=0.58, color=colour)
        ax.text(value + reach * 0.015, -place, said(value), va="center", fontweight="bold")
    for place, (change, before, after) in enumerate(zip(changes, levels[:-1], levels[1:], strict=True), 1):
        bar = style.HATCHED if change < 0 else {"color": style.MEASURE}
        ax.barh(-place, abs(change), left=min(before, after), height=0.58, **bar)
        ax.text(max(before, after) + reach * 0.015, -place, said(change, signed=True), va="center", fontweight="bold")
    for place, level in enumerate(levels):
        ax.plot([level, level], [-place, -place - 1], color=style.PAST, lw=0.8, zorder=0)
    ax.set_yticks([-place for place in range(rows + 1)], labels)
    ax.set_xlim(0, right)
    if currency:
        ax.xaxis.set_major_locator(_few_ticks(reach))
    return style.finish(ax, xlabel, x=said)


@style.context()
def plot_flow(flow: pd.DataFrame, labels: Sequence[str], parts: Sequence[str], words: Words, *, xlabel: str = "", ax: Axes | None = None) -> Axes:
    """Draw the stays in each stage as a whole, taken apart by how they ended.

    Parameters
    ----------
    flow : DataFrame
        Result of `pipeline.stage_flow`.
    labels : sequence of str
        One per stage, above its bar.
    parts : sequence of str
        What the four parts are called, from on to still open; written over the first bar that has room for them.

    Returns
    -------
    Axes
    """
    stages = [part for _, part in flow.groupby("position", sort=True)]
    ax = ax or style.axes(0.9 + 0.8 * max(len(stages), 1))
    for place, (stage, label) in enumerate(zip(stages, labels, strict=True)):
        total, left, counts = float(stage["n"].iloc[0]), 0.0, stage.set_index("move")["n_events"]
        ax.text(0, -place + 0.27, label, va="bottom", fontweight="bold")
        for (moves, looks), name in zip(FLOW, parts, strict=True):
            number = int(counts.reindex(list(moves)).fillna(0).sum())
            width = number / total if total else 0.0
            ax.barh(-place, width, left=left, height=0.44, **looks)
            if width > ROOM:
                shade = "white" if looks["facecolor"] in (style.MEASURE, style.PAST) else style.INK
                said = ax.text(left + width / 2, -place, words.number(number), va="center", ha="center", color=shade)
                if looks["facecolor"] == "white":
                    said.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.8})
            if place == len(stages) - 1 and (width > ROOM or name in (parts[0], parts[-1])):
                ax.text(left + width / 2, -place - 0.29, name, va="top", ha="center", fontsize=7.4, color=style.MUTED)
            left += width
    ax.set_xlim(0, 1)
    ax.set_ylim(-len(stages) + 0.3, 0.75)
    ax.set_yticks([])
    return style.finish(ax, xlabel, x=words.percent)
