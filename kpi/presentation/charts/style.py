"""How plots look: colours with one meaning each, settings that hold only while a plot is drawn, pictures of equal bytes."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, cast

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from PIL import Image

Write = Callable[[float], str]
Grid = Literal["x", "y"]

INK = "#16212b"  # text, axis zero, the interval on a bar, the latest point
MUTED = "#55626e"  # secondary text, axis labels
RULE = "#d5dce2"  # grid
BAND = "#e3e8ec"  # the usual range; the rest of a whole
MEASURE = "#1d5c9c"  # what the page is about: this period, estimates
PAST = "#75818c"  # comparison: before, reference (marks only; its text is muted)
SIGNAL = "#b23c09"  # look here: outside the limits, stale; never "bad", never decoration
HEAT = "#123f6d"  # the dark end of a heat map
HATCHED: dict[str, Any] = {"facecolor": "white", "edgecolor": MEASURE, "hatch": "//////", "lw": 1}  # a bar of what fell away

WIDTH = 5.4  # inches, two plots side by side on a page
SCALE = 2  # pixels of the picture for one on the page

SETTINGS = mpl.rc_params_from_file(Path(__file__).with_name("kpi.mplstyle"), use_default_template=False)


@contextlib.contextmanager
def context() -> Iterator[None]:
    """Let the kit's looks hold for the plots drawn inside, and for nothing else."""
    with mpl.rc_context(SETTINGS):
        yield


@context()
def axes(height: float = 3.0, width: float = WIDTH) -> Axes:
    """Begin a plot of the size pages expect."""
    return plt.subplots(figsize=(width, height))[1]


def png(drawn: Axes) -> tuple[bytes, int, int]:
    """Turn a plot into a picture of 256 colours, about a quarter of the usual size, and close it."""
    figure = cast("Figure", drawn.get_figure(root=True))  # only an Axes taken out of its figure has none
    full = io.BytesIO()
    with context():  # tick labels are made when drawn
        figure.savefig(full, format="png", dpi=100 * SCALE, metadata={"Software": None})
    plt.close(figure)
    with Image.open(full) as opened:
        image = opened.convert("RGB").quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    palette = image.getpalette() or []
    for i in range(0, len(palette), 3):
        if min(palette[i : i + 3]) >= 252:  # the ground must vanish into the page, in the dark scheme too
            palette[i : i + 3] = [255] * 3
    image.putpalette(palette)
    small = io.BytesIO()
    image.save(small, "PNG", optimize=True)
    return small.getvalue(), image.width // SCALE, image.height // SCALE


def ticks(write: Write) -> FuncFormatter:
    """Write an axis in the reader's language."""
    return FuncFormatter(lambda value, _: write(float(value)))


def finish(ax: Axes, xlabel: str = "", ylabel: str = "", *, x: Write | None = None, y: Write | None = None, grid: Grid | None = None) -> Axes:
    """Name the axes, write their ticks in the reader's language, and draw the grid across one of them."""
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    for axis, write in ((ax.xaxis, x), (ax.yaxis, y)):
        if write:
            axis.set_major_formatter(ticks(write))
    if grid:
        ax.grid(axis=grid)
    return ax


def label_end(ax: Axes, end: tuple[float, float], label: str, colour: str, *, dx: float = 6, dy: float = 0) -> None:
    """Write what a curve is beside its end: bold for what the page is about, in a readable grey what is compared."""
    weight, side = "bold" if colour == MEASURE else "normal", "left" if dx > 0 else "right"
    shade = MUTED if colour == PAST else colour
    ax.annotate(label, end, xytext=(dx, dy), textcoords="offset points", va="center", ha=side, color=shade, fontweight=weight)
