"""Display blocks for notebooks and report pages: the answer in a sentence, figure, tiles, note, "no data" box."""

from kpi.presentation.blocks.elements import END, Absent, Answer, Closing, Figure, NoData, Note, Opening, Prose, SideBySide, Tile, Tiles
from kpi.presentation.blocks.markup import Block
from kpi.presentation.blocks.sparkline import Sparkline

__all__ = ["END", "Absent", "Answer", "Block", "Closing", "Figure", "NoData", "Note", "Opening", "Prose", "SideBySide", "Sparkline", "Tile", "Tiles"]
