"""Where the deals of each stage went: on, back, lost, or still there."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes

from kpi.presentation.charts import style
from kpi.presentation.language import Words

# In the order of the bar: what it holds, and how it looks.
PARTS = (
    (("forward", "skipped", "won"), {"facecolor": style.MEASURE}),
    (("back",), {"facecolor": "white", "edgecolor": style.MEASURE, "hatch": "//////", "lw": 0.8}),
    (("lost", "deleted"), {"facecolor": style.PAST}),
    (("open",), {"facecolor": style.BAND}),
)
ROOM = 0.045  # share of the bar that a number needs


@style.looks
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
    words : Words
        Language of numbers.
    xlabel : str
        Axis label.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
    """
    stages = [part for _, part in flow.groupby("position", sort=True)]
    ax = ax or style.axes(0.9 + 0.8 * max(len(stages), 1))
    for place, (stage, label) in enumerate(zip(stages, labels, strict=True)):
        total, left, counts = float(stage["n"].iloc[0]), 0.0, stage.set_index("move")["n_events"]
        ax.text(0, -place + 0.27, label, va="bottom", fontweight="bold")
        for (moves, looks), name in zip(PARTS, parts, strict=True):
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
    ax.xaxis.set_major_formatter(style.ticks(words.percent))
    ax.set_xlabel(xlabel)
    return ax
