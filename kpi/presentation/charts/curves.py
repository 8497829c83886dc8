"""Curves of what has happened by an age, and of what share stays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from kpi.presentation.charts import style
from kpi.presentation.language import Words

_DELAYS = (60, 300, 900, 3600, 4 * 3600, 86_400, 7 * 86_400, 30 * 86_400)


@style.looks
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
    words : Words
        Language of the ticks.
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
    ylabel, xlabel : str
        Axis labels.
    delays : bool
        Logarithmic axis from a minute to a month.
    mark : float, optional
        Age at which a vertical line and the values stand.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
    """
    ax = ax or style.axes(3.3)
    top = 0.0
    lines = [(past, past_label, style.PAST, "--"), (curve, label, style.MEASURE, "-")]
    for table, name, colour, dash in lines:
        if table is not None and len(table):
            top = max(top, _step(ax, table, cause, horizon, colour, dash, start=30.0 if delays else 0.0))
            del name
    _axes(ax, words, horizon, top, ylabel, xlabel, delays)
    at = horizon if mark is None else mark
    if mark is not None:
        ax.axvline(mark, color=style.RULE, lw=0.9, zorder=0)
    ends = [(_value(table, cause, at), name, colour) for table, name, colour, _ in lines if table is not None and len(table)]
    _label_ends(ax, [end for end in ends if not np.isnan(end[0])], at, ax.get_ylim()[1], inside=mark is not None)
    if not delays and mark is None:
        ax.xaxis.labelpad = 28
        _at_risk(ax, [(table, colour) for table, _, colour, _ in reversed(lines) if table is not None and len(table)], horizon, words)
    return ax


@style.looks
def plot_retention(curve: pd.DataFrame, words: Words, *, ylabel: str = "", xlabel: str = "", ax: Axes | None = None) -> Axes:
    """Draw the share of customers who buy in each month after their first purchase.

    Parameters
    ----------
    curve : DataFrame
        Result of `retention.retention_curve`; age 0 is left out.
    words : Words
        Language of the ticks.
    ylabel, xlabel : str
        Axis labels.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
    """
    ax = ax or style.axes(3.3)
    later = curve[curve["age"] > 0]
    ax.vlines(later["age"], later["low"], later["high"], color=style.MEASURE, lw=2.2, alpha=0.35)
    ax.plot(later["age"], later["value"], "o-", color=style.MEASURE, ms=3.6, lw=1.2)
    ax.set_ylim(0, max(0.05, float(later["high"].max()) * 1.1) if len(later) else 1)
    ax.yaxis.set_major_formatter(style.ticks(words.percent))
    ax.xaxis.set_major_formatter(style.ticks(words.number))
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.grid(axis="y")
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    return ax


def _step(ax: Axes, table: pd.DataFrame, cause: str, horizon: float, colour: str, dash: str, start: float) -> float:
    shown = table[table["time"] <= horizon]
    columns = [f"{part}_{cause}" for part in ("incidence", "low", "high")]
    last = shown.iloc[[-1]].assign(time=horizon) if len(shown) else shown
    times = np.concatenate([[start], np.maximum(shown["time"], start), last["time"]])
    value, low, high = (np.concatenate([[0.0], shown[name].fillna(0), last[name].fillna(0)]) for name in columns)
    ax.step(times, value, where="post", color=colour, ls=dash, lw=1.8)
    ax.fill_between(times, low, high, step="post", color=colour, alpha=0.22, lw=0)
    return float(high.max())


def _axes(ax: Axes, words: Words, horizon: float, top: float, ylabel: str, xlabel: str, delays: bool) -> None:
    ax.set_ylim(0, min(1.0, max(0.05, top * 1.12)))
    ax.yaxis.set_major_formatter(style.ticks(words.percent))
    ax.grid(axis="y")
    ax.set_ylabel(ylabel)
    ax.set_xlabel(xlabel)
    if delays:
        ax.set_xscale("log")
        ax.set_xlim(50, horizon)
        shown = [delay for delay in _DELAYS if delay <= horizon]
        ax.set_xticks(shown, [words.duration(delay).replace(" ", "\n").replace("\u00a0", "\n") for delay in shown])
        ax.minorticks_off()
    else:
        ax.set_xlim(0, horizon * 1.28)
        step = 30 if horizon <= 180 else 60 if horizon <= 365 else 90
        ax.set_xticks(range(0, int(horizon) + 1, step), [words.number(day) for day in range(0, int(horizon) + 1, step)])


def _value(table: pd.DataFrame, cause: str, at: float) -> float:
    shown = table[table["time"] <= at]
    return float(shown[f"incidence_{cause}"].iloc[-1]) if len(shown) else 0.0


def _label_ends(ax: Axes, ends: Sequence[tuple[float, str, str]], at: float, top: float, inside: bool) -> None:
    """Write each label beside its curve's end, pushed apart where they would overlap; its text, not the mark, is in a readable grey."""
    places = sorted(ends, key=lambda end: end[0])
    heights = [end[0] for end in places]
    gap = top * (0.13 if not inside else 0.1)
    if len(heights) == 2 and heights[1] - heights[0] < gap:
        middle = sum(heights) / 2
        heights = [max(middle - gap / 2, top * 0.04), max(middle - gap / 2, top * 0.04) + gap]
    for (value, name, colour), height in zip(places, heights, strict=True):
        bold = colour == style.MEASURE
        ax.plot([at], [value], "o", color=colour, ms=4)
        side = {"ha": "left", "xytext": (6, 0)} if not inside or bold else {"ha": "right", "xytext": (-6, 4)}
        shade = style.MEASURE if bold else style.MUTED
        ax.annotate(name, (at, height), textcoords="offset points", va="center", color=shade, fontweight="bold" if bold else "normal", **side)


def _at_risk(ax: Axes, tables: list[tuple[pd.DataFrame, str]], horizon: float, words: Words) -> None:
    ticks = [tick for tick in ax.get_xticks() if tick <= horizon]
    for row, (table, colour) in enumerate(tables):
        times, risk = table["time"].to_numpy(), table["at_risk"].to_numpy()
        for tick in ticks:
            place = np.searchsorted(times, tick)
            number = words.number(int(risk[place])) if place < len(times) else words.number(0)
            shade = style.MEASURE if colour == style.MEASURE else style.MUTED
            ax.annotate(
                number,
                (tick, 0),
                xytext=(0, -27 - 10 * row),
                textcoords="offset points",
                ha="center",
                fontsize=7.4,
                color=shade,
                annotation_clip=False,
            )
