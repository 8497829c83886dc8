"""Points: shares of ordered bands, gains of levers, deals by their age."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, MaxNLocator

from kpi.presentation.charts import style
from kpi.presentation.language import Words

OLDEST = 150  # days in a stage; what is older stands at the edge


@style.context()
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
    counts : sequence of str
        Written in the right-hand column.
    floor : int
        Fewest records for a point.

    Returns
    -------
    Axes
    """
    ax = ax or style.axes(0.7 + 0.44 * max(len(table), 1))
    shown = table["n"].astype("float64").to_numpy() >= floor
    reach = float(np.nanmax([0.05, *table["high"].to_numpy(dtype=float)[shown]]))
    for place, (row, count, is_shown) in enumerate(zip(table.itertuples(), counts, shown, strict=True)):
        ax.text(reach * 1.5, -place, count, va="center", ha="right", color=style.MUTED)
        if not is_shown or np.isnan(row.value):
            ax.text(0, -place, words.say("too few (floor {floor})", floor=floor), va="center", color=style.MUTED)
            continue
        _point(ax, -place, row, is_hollow=place == len(table) - 1)
        ax.annotate(words.percent(row.value), (row.value, -place), xytext=(0, 7), textcoords="offset points", ha="center", fontweight="bold")
    ax.set_yticks([-place for place in range(len(table))], list(labels))
    ax.set_xlim(0, reach * 1.52)
    ax.set_ylim(-len(table) + 0.5, 0.75)
    return style.finish(ax, xlabel, ylabel, x=words.percent, grid="x")


@style.context()
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
    currency : str
        ISO code.
    moves : sequence of str
        From where to where each lever moves, written in the right-hand column.
    heading : str
        Above that column.

    Returns
    -------
    Axes
    """
    ax = ax or style.axes(0.75 + 0.23 * max(len(table), 1))
    beside: dict[str, Any] = {"transform": ax.get_yaxis_transform(), "va": "center", "color": style.MUTED}
    ax.axvline(0, color=style.INK, lw=1)
    for place, (row, move) in enumerate(zip(table.itertuples(), moves, strict=True)):
        _point(ax, -place, row, is_hollow=not row.low > 0)
        ax.text(1.02, -place, move, **beside)
    ax.text(1.02, 0.85, heading, **beside)
    ax.set_yticks([-place for place in range(len(table))], list(labels))
    ax.tick_params("y", labelcolor=style.INK)
    ax.set_ylim(-len(table) + 0.4, 1.3)
    ax.xaxis.set_major_locator(MaxNLocator(5))
    return style.finish(ax, xlabel, x=lambda gain: words.money(gain, currency, signed=True) if gain else "0", grid="x")


def _point(ax: Axes, place: float, row: Any, *, is_hollow: bool) -> None:
    ax.hlines([place], row.low, row.high, color=style.MEASURE, lw=2)
    ax.plot([row.value], [place], "o", ms=6, color="white" if is_hollow else style.MEASURE, mec=style.MEASURE, mew=1.6)


@style.context()
def plot_ageing(
    ages: pd.DataFrame, stages: pd.DataFrame, labels: Sequence[str], words: Words, *, seed: int = 1, xlabel: str = "", ax: Axes | None = None
) -> Axes:
    """Draw each open deal at its days in the stage, area by amount, stale ones as diamonds beyond the line.

    Parameters
    ----------
    ages : DataFrame
        `pipeline.open_ages`.
    stages : DataFrame
        `pipeline.stale_limits`: one row per stage, in order.
    labels : sequence of str
        One per stage.
    seed : int
        Of the jitter, so that the picture is the same each time.

    Returns
    -------
    Axes
    """
    ax = ax or style.axes(0.6 + 0.95 * max(len(stages), 1))
    rng = np.random.default_rng(seed)
    top = float(ages["amount"].max()) if ages["amount"].notna().any() else 1.0
    last = _edge(ages, stages)
    for place, row in enumerate(stages.itertuples()):
        deals = ages[ages["stage"] == row.stage].sort_values("opportunity_id")
        x = np.minimum(deals["days"].to_numpy(dtype=float), last)
        y = -place + rng.uniform(-0.26, 0.2, len(deals))
        size = 8 + 70 * deals["amount"].fillna(0).to_numpy(dtype=float) / max(top, 1.0)
        is_stale = deals["is_stale"].to_numpy(dtype=bool)
        ax.scatter(x[~is_stale], y[~is_stale], s=size[~is_stale], color=style.PAST, alpha=0.45, lw=0)
        ax.scatter(x[is_stale], y[is_stale], s=size[is_stale], color=style.SIGNAL, alpha=0.8, lw=0, marker="D")
        if not np.isnan(row.limit):
            limit = min(row.limit, last)
            ax.vlines(limit, -place - 0.34, -place + 0.3, color=style.INK, lw=1.4)
            ax.text(limit, -place + 0.33, words.say("stale after {days}", days=words.days(row.limit)), va="bottom", ha="left", fontsize=7.4)
    ax.set_yticks([-place for place in range(len(stages))], list(labels))
    ax.set_ylim(-len(stages) + 0.55, 0.62)
    ax.set_xlim(-last * 0.01, last * 1.04)
    marks = list(range(0, int(last) + 1, 30 if last > 60 else 10))
    ax.xaxis.set_major_locator(FixedLocator(marks))
    older = bool((ages["days"] > last).any())
    return style.finish(ax, xlabel, x=lambda day: words.number(day) + ("+" if older and day >= marks[-1] else ""), grid="x")


def _edge(ages: pd.DataFrame, stages: pd.DataFrame) -> float:
    """A round last day that holds the deals and the lines, at most `OLDEST` unless a line lies beyond."""
    oldest = min(float(ages["days"].max()) if len(ages) else 0.0, OLDEST)
    limit = float(stages["limit"].max()) if stages["limit"].notna().any() else 0.0
    return max(30.0, 30.0 * np.ceil(max(oldest, limit * 1.2) / 30))
