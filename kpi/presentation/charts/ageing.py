"""Open deals by their age in the stage, with the line beyond which they are stale."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator

from kpi.presentation.charts import style
from kpi.presentation.language import Words

LAST = 150  # days; what is older stands at the edge


@style.looks
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
    words : Words
        Language of numbers.
    seed : int
        Of the jitter, so that the picture is the same each time.
    xlabel : str
        Axis label.
    ax : Axes, optional
        Where to draw.

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
    step = 30 if last > 60 else 10
    marks = list(range(0, int(last) + 1, step))
    ax.xaxis.set_major_locator(FixedLocator(marks))
    older = bool((ages["days"] > last).any())
    ax.xaxis.set_major_formatter(style.ticks(lambda day: f"{words.number(day)}+" if older and day >= marks[-1] else words.number(day)))
    ax.grid(axis="x")
    ax.set_xlabel(xlabel)
    return ax


def _edge(ages: pd.DataFrame, stages: pd.DataFrame) -> float:
    """A round last day that holds the deals and the lines, at most `LAST` unless a line lies beyond."""
    oldest = min(float(ages["days"].max()) if len(ages) else 0.0, LAST)
    limit = float(stages["limit"].max()) if stages["limit"].notna().any() else 0.0
    return max(30.0, 30.0 * np.ceil(max(oldest, limit * 1.2) / 30))
