"""Display blocks for notebooks and report pages: the answer in a sentence, figure, tiles, note, "no data" box."""

from kpi.presentation.blocks.elements import (
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
from kpi.presentation.blocks.markup import Block
from kpi.presentation.blocks.sparkline import Spark

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
