"""Display blocks for notebooks and report pages: the answer in a sentence, figure, tiles, note, "no data" box."""

from kpi.page.blocks import (
    END,
    Absent,
    Adjustment,
    Adjustments,
    Answer,
    Closing,
    Definition,
    Figure,
    NoData,
    Note,
    Opening,
    Prose,
    SideBySide,
    Tile,
    Tiles,
)
from kpi.page.drawing import Spark
from kpi.page.markup import Block

__all__ = [
    "END",
    "Absent",
    "Adjustment",
    "Adjustments",
    "Answer",
    "Block",
    "Closing",
    "Definition",
    "Figure",
    "NoData",
    "Note",
    "Opening",
    "Prose",
    "SideBySide",
    "Spark",
    "Tile",
    "Tiles",
]
