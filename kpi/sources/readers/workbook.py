"""Workbooks: the sheet and its header row found, cells handed over as text so that they go the way of a CSV file. Nothing is ever calculated."""

from __future__ import annotations

import datetime
import itertools
import re
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree.ElementTree import ParseError

import openpyxl
import pyarrow as pa
from openpyxl.utils.exceptions import InvalidFileException

from kpi.errors import DataError
from kpi.sources.blanks import BLANKS
from kpi.sources.config import nearest
from kpi.sources.readers.files import BLOCK, Located

HEADER_WITHIN = 20  # rows in which the header is looked for
_BATCH = 2_000
_ROW = "row"  # as in `csvtext`
_BROKEN = (zipfile.BadZipFile, zlib.error, InvalidFileException, ParseError, OSError, KeyError, ValueError, TypeError, IndexError, AttributeError)
_FORMULA = re.compile(rb"<(\w+:)?f[ >/]")

Hits = Callable[[list[str]], int]


@dataclass
class Sheet:
    """A sheet whose header is known; it is read like a `csvtext.Csv`."""

    located: Located
    name: str
    header: list[str]
    first: int
    epoch: str = ""
    decimal: str = "."
    n_records: int = 0
    misfits: list[tuple[int, str]] = field(default_factory=list)
    failure: str = ""
    delimiter: str = "\t"

    @property
    def columns(self) -> list[str]:
        """Names of the cells in the batches: c0, c1, ..."""
        return [f"c{number}" for number in range(len(self.header))]

    @property
    def noted(self) -> list[tuple[str, str]]:
        """What was decided about the sheet: decision and value."""
        return [("sheet", self.name), ("header in row", str(self.first))]

    def reader(self) -> pa.RecordBatchReader:
        """Stream its rows: all cells as text without blanks around it, and the row number."""
        schema = pa.schema([*((name, pa.string()) for name in self.columns), (_ROW, pa.int64())])
        return pa.RecordBatchReader.from_batches(schema, self._batches(schema))

    def _batches(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        width = len(self.header)
        rows = ((number, cells) for number, cells in self._rows() if number > self.first and any(cells[:width]))
        while part := list(itertools.islice(rows, _BATCH)):
            self.n_records += len(part)
            columns = [
                pa.array([cells[place].strip(BLANKS) if place < len(cells) else "" for _, cells in part], pa.string()) for place in range(width)
            ]
            yield pa.RecordBatch.from_arrays([*columns, pa.array([number for number, _ in part], pa.int64())], schema=schema)

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        try:
            yield from _rows(self.located.path, self.name, self.decimal)
        except _BROKEN as error:
            self.failure = f"{self.located.label} cannot be read: {error}"
            raise OSError(self.failure) from None


def examine(located: Located, *, hits: Hits | None = None, decimal: str = "") -> Sheet:
    """Find the sheet of a workbook and the row that holds its header."""
    try:
        names, epoch = _sheets(located.path)
        if located.member and located.member not in names:
            raise DataError(f"{located.path.name} has no sheet {located.member!r}{nearest(located.member, names)} It has {names}")
        looked = [_header(located.path, name, hits) for name in ([located.member] if located.member else names)]
    except DataError:
        raise
    except _BROKEN as error:
        raise DataError(f"{located.label} cannot be read as a workbook: {error}; open it and save it again as .xlsx, or as CSV") from None
    best = max(looked, key=lambda found: found[0])
    if not best[3]:
        raise DataError(f"{located.label} is empty: it has not even a header")
    return Sheet(located, best[1], best[3], best[2], epoch, decimal or ".")


def _sheets(path: Path) -> tuple[list[str], str]:
    """List the visible sheets, and the day from which dates are counted."""
    with _quiet(), closing(openpyxl.load_workbook(path, read_only=True)) as book:
        names = [sheet.title for sheet in book.worksheets if sheet.sheet_state == "visible"]
        return names or [sheet.title for sheet in book.worksheets], book.epoch.strftime("%Y-%m-%d")


def _header(path: Path, name: str, hits: Hits | None) -> tuple[tuple[int, int], str, int, list[str]]:
    best: tuple[tuple[int, int], str, int, list[str]] = ((0, 0), name, 1, [])
    for number, cells in itertools.islice(_rows(path, name, "."), HEADER_WITHIN):
        score = (hits(cells) if hits else 0, sum(cell != "" and not _is_value(cell) for cell in cells))
        if score > best[0]:
            width = max(place for place, cell in enumerate(cells) if cell) + 1
            best = (score, name, number, cells[:width])
    return best


def _is_value(cell: str) -> bool:
    return re.fullmatch(r"[-+\d.,:/ ]+", cell) is not None


def _rows(path: Path, name: str, decimal: str) -> Iterator[tuple[int, list[str]]]:
    """Go through a sheet's rows with their numbers, as text.

    A formula counts as the value that the office program saved with it; one saved without a value stays the text that it is.
    """
    with _quiet():
        formulas = openpyxl.load_workbook(path, read_only=True)
        values = openpyxl.load_workbook(path, read_only=True, data_only=True) if _has_formulas(path) else None
        sheets = [book[name] for book in (formulas, values) if book is not None]
        for sheet in sheets:
            sheet.reset_dimensions()  # what the file says of its size may be wrong
        rows = [sheet.iter_rows(values_only=True) for sheet in sheets]
    with closing(formulas), closing(values or formulas):
        before, together = 0, zip(*rows, strict=True)
        # The filter on warnings is the whole process's: it must not stay open while a reader takes its time.
        while part := _taken(together):
            for number, both in enumerate(part, before + 1):
                cells = both[-1] if len(both) == 1 else [told if told is not None else written for written, told in zip(*both, strict=True)]
                yield number, [_text(cell, decimal) for cell in cells]
            before += len(part)


def _taken(rows: Iterator[tuple]) -> list[tuple]:
    with _quiet():
        return list(itertools.islice(rows, _BATCH))


def _has_formulas(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if entry.filename.startswith("xl/worksheets/"):
                with archive.open(entry) as opened:
                    before = b""
                    while block := opened.read(BLOCK):
                        if _FORMULA.search(before + block):
                            return True
                        before = block[-16:]
    return False


def _text(value: object, decimal: str) -> str:
    """Write a cell so that it can be read in one way only."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, float):
        whole, _, part = f"{value:.12f}".rstrip("0").partition(".")
        return f"{whole}{decimal}{part.ljust(4, '0')}"  # with three digits after the sign it could be taken for thousands
    if isinstance(value, datetime.datetime):
        rounded = value + datetime.timedelta(microseconds=500_000)  # the numbers behind dates are seldom whole seconds
        return rounded.replace(microsecond=0).isoformat(sep=" ")
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return str(value).strip()


class _quiet(warnings.catch_warnings):
    """Openpyxl warns of styles, print areas and lists to choose from that it does not know: nothing that touches a value."""

    def __enter__(self) -> None:
        super().__enter__()
        warnings.filterwarnings("ignore", category=UserWarning, module="openpyxl")
