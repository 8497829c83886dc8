"""What all cells of a column have in common, seen while they stream by: most files are written so evenly that few questions are left to ask."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute

# White space, Unicode spaces and byte order marks: what counts as blank around a cell.
BLANKS = "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u200b\u2028\u2029\u202f\u205f\u3000\ufeff"
_DATE = re.compile(r"(99[-/.]99[-/.]9999|9999(?P<sign>[-/])99(?P=sign)99)([T ]99:99(:99)?)?")
_DAY, _WIDEST = 11, 19  # letters of a date and the sign behind it, and with its time


def _table(characters: set[int]) -> np.ndarray:
    table = np.zeros(256, bool)
    table[list(characters)] = True
    return table


_ENCODED = [character.encode() for character in BLANKS]
_FIRST = _table({code[0] for code in _ENCODED})
_LAST = _table({code[-1] for code in _ENCODED if len(code) > 1})
_BEFORE_LAST = _table({code[-2] for code in _ENCODED if len(code) > 1})
_BLOCK = 1024  # cells compared side by side: rows of a few bytes would be slow


def stripped(cells: pa.StringArray) -> pa.StringArray:
    """Take blanks off both ends of each cell."""
    data, ends = _bytes(cells)
    starts, stops = ends[:-1], ends[1:]
    filled = stops > starts
    if not filled.all():
        starts, stops = starts[filled], stops[filled]
    return pa.compute.utf8_trim(cells, characters=BLANKS) if _begins(data, starts) or _ends(data, stops - 1) else cells


def _begins(data: np.ndarray, places: np.ndarray) -> bool:
    """Whether a cell may begin with a blank."""
    first = data[places]
    return bool(len(first)) and (first.min() <= 32 or (first.max() >= 128 and bool(_FIRST[first].any())))


def _ends(data: np.ndarray, places: np.ndarray) -> bool:
    """Whether a cell may end with a blank: told from its last two bytes, since é and others end in the same byte as some space."""
    last = data[places]
    if not len(last) or (last.min() > 32 and last.max() < 128):
        return False
    return bool(last.min() <= 32 or (_LAST[last] & _BEFORE_LAST[data[np.maximum(places - 1, 0)]]).any())


def _bytes(cells: pa.StringArray) -> tuple[np.ndarray, np.ndarray]:
    """Hand out the text of all cells in one piece, and where each begins."""
    _, ends, data = cells.buffers()
    ends = np.frombuffer(ends, np.int32)[cells.offset : cells.offset + len(cells) + 1]
    whole = np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8)
    return whole[ends[0] : ends[-1]], ends - ends[0]


@dataclass
class Numbers:
    """What the cells of a column of numbers seen so far are made of."""

    signs: set[str] = field(default_factory=set)
    is_grouped: bool = False

    def see(self, cells: pa.StringArray) -> None:
        """Look at more cells."""
        if "?" in self.signs:
            return
        data, ends = _bytes(cells)
        rest = data.tobytes().translate(None, b"0123456789-")
        self.signs |= {sign for sign in ",." if sign.encode() in rest} | ({"?"} if rest.translate(None, b",.") else set())
        if len(self.signs) == 1 and "?" not in self.signs and not self.is_grouped:
            self.is_grouped = _has_twice(data == ord(*self.signs), ends)

    def joined(self, other: Numbers) -> Numbers:
        """Take the cells of two files together."""
        return Numbers(self.signs | other.signs, self.is_grouped or other.is_grouped)


def _has_twice(marks: np.ndarray, ends: np.ndarray) -> bool:
    places, starts = np.flatnonzero(marks), ends[:-1]
    if len(places) == len(starts) and ((starts <= places) & (places < ends[1:])).all():  # one in each, as most often
        return False
    cells = np.searchsorted(ends, places, side="right")
    return bool((cells[1:] == cells[:-1]).any())


@dataclass
class Dates:
    """What the cells of a column of dates seen so far have in common."""

    mask: str = ""
    years: tuple[int, int] = (9999, 0)
    is_day_first: bool = False
    is_month_first: bool = False
    is_timed: bool = False

    def see(self, cells: pa.StringArray) -> None:
        """Look at more cells."""
        data, ends = _bytes(cells)
        if not len(data) or self.mask == "?":
            return
        mask, last = _figure(data, np.diff(ends))
        if not _DATE.fullmatch(mask) or self.mask not in ("", mask):
            self.mask = "?"
            return
        self.mask = mask
        letters = data.reshape(-1, len(mask))
        if self.is_year_first:
            year = _number(letters, 0, 4)
        else:
            first, second, year = _number(letters, 0, 2), _number(letters, 3, 2), _number(letters, 6, 4)
            self.is_day_first |= _over_12(first, second)
            self.is_month_first |= _over_12(second, first)
        self.years = (min(self.years[0], int(year.min())), max(self.years[1], int(year.max())))
        self.is_timed |= bool(last[_DAY:].strip("0:"))
        if len(mask) > _DAY and _number(letters, _DAY, 2).max() > 23:  # the hour 24 is read otherwise
            self.mask = "?"

    def joined(self, other: Dates) -> Dates:
        """Take the cells of two files together."""
        masks = {self.mask, other.mask} - {""}
        years = (min(self.years[0], other.years[0]), max(self.years[1], other.years[1]))
        evidence = self.is_day_first or other.is_day_first, self.is_month_first or other.is_month_first
        return Dates("?" if len(masks) > 1 else next(iter(masks), ""), years, *evidence, self.is_timed or other.is_timed)

    @property
    def is_even(self) -> bool:
        """Whether all are written alike."""
        return self.mask not in ("", "?")

    @property
    def is_year_first(self) -> bool:
        """Whether they begin with the year."""
        return self.mask.startswith("9999")

    def layout(self, *, month_first: bool) -> str:
        """Write their format."""
        if not self.is_even:
            return ""
        order = "Ymd" if self.is_year_first else "mdY" if month_first else "dmY"
        fields = iter([*order, "H", "M", "S"])
        return re.sub("(99)+", lambda _: f"%{next(fields)}", self.mask)


def _figure(data: np.ndarray, lengths: np.ndarray) -> tuple[str, str]:
    """Find the figure that all filled cells have, and the greatest letter at each place; ``"?"`` where their lengths differ."""
    width = int(lengths.max())
    if width > _WIDEST or len(data) != width * np.count_nonzero(lengths):
        return "?", ""
    whole = len(data) - len(data) % (_BLOCK * width)
    low, high = (_extreme(extreme, data[:whole], data[whole:], width) for extreme in (np.min, np.max))
    letters = ("9" if least >= 48 and most <= 57 else chr(least) if least == most else "?" for least, most in zip(low, high, strict=True))
    return "".join(letters), high.tobytes().decode("latin-1")


def _extreme(extreme, blocks: np.ndarray, rest: np.ndarray, width: int) -> np.ndarray:
    found = extreme(blocks.reshape(-1, _BLOCK * width), axis=0) if len(blocks) else blocks
    return extreme(np.concatenate([found, rest]).reshape(-1, width), axis=0)


def _number(letters: np.ndarray, start: int, width: int) -> np.ndarray:
    value = letters[:, start].astype(np.int16) - 48
    for place in range(start + 1, start + width):
        value = value * 10 + (letters[:, place] - 48)
    return value


def _over_12(day: np.ndarray, month: np.ndarray) -> bool:
    return bool(((day > 12) & (day <= 31) & (month >= 1) & (month <= 12)).any())
