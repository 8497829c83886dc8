"""Workbooks (.xlsx, .xlsm, .xls, .ods): the sheet and its header row found, cells handed over as text, so that they go the way of a CSV file.

Nothing is ever calculated: a formula counts as the value that the office program saved with it; one saved without a value stays the text that it is.
What the reader does not give is taken from the XML of .xlsx; in .xls and .ods an error counts as an empty cell.
"""

from __future__ import annotations

import datetime
import itertools
import math
import posixpath
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from xml.etree import ElementTree

import pyarrow as pa
from python_calamine import CalamineError, CalamineWorkbook, SheetTypeEnum, SheetVisibleEnum

from kpi.errors import DataError, nearest
from kpi.sources.cells import BLANKS, fold
from kpi.sources.readers.extract import HEADER_WITHIN, Hits, TextTable
from kpi.sources.readers.files import BLOCK, Located

_BATCH = 2_000
_BROKEN = (CalamineError, ElementTree.ParseError, zipfile.BadZipFile, zlib.error, OSError, KeyError)
_ZIPPED_XML = (".xlsx", ".xlsm")
_FIRST_DAY, _FIRST_DAY_MAC = "1899-12-30", "1904-01-01"  # from which dates are counted
_EXACT = 1e15  # above it a whole number has more digits than the reader gives
_IN_XML_ONLY = re.compile(rb"""<(\w+:)?f[ >/]|\bt=["']e["']|[>-]\d{16,}<""")
_VALUE = re.compile(r"[-+\d.,:/ ]*")  # a number, a date or nothing: no header


@dataclass
class Sheet(TextTable):
    """A sheet whose header is known."""

    name: str = ""
    decimal: str = "."

    def _batches(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        width = len(self.header)
        try:
            rows = _rows(self.located.path, self.name, self.decimal)
            below = ((number, cells) for number, cells in rows if number > self.first and any(cells[:width]))
            while part := list(itertools.islice(below, _BATCH)):
                filled = [cells[:width] + [""] * (width - len(cells)) for _, cells in part]
                columns = [pa.array([cell.strip(BLANKS) for cell in column], pa.string()) for column in zip(*filled, strict=True)]
                yield pa.RecordBatch.from_arrays([*columns, pa.array([number for number, _ in part], pa.int64())], schema=schema)
        except _BROKEN as error:
            self.failure = f"{self.located.label} cannot be read: {error}"
            raise OSError(self.failure) from None


def examine(located: Located, hits: Hits, decimal: str = "") -> Sheet:
    """Find the sheet of a workbook and the row that holds its header."""
    path, member = located.path, located.member
    try:
        names, epoch = _sheets(path)
        chosen = [name for name in names if member in ("", name)]
        heads = [(name, *row) for name in chosen for row in itertools.islice(_rows(path, name, ".", HEADER_WITHIN), HEADER_WITHIN)]
    except _BROKEN as error:
        is_page = located.path.read_bytes()[:64].lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<")
        what = "it is a web page or XML that some programs call Excel" if is_page else error
        raise DataError(f"{located.label} cannot be read as a workbook: {what}; open it and save it again as .xlsx, or export it as CSV") from None
    if member and not chosen:
        raise DataError(f"{path.name} has no sheet {member!r}{nearest(member, names)} It has {names}")
    scores = [(hits(cells), sum(not _VALUE.fullmatch(cell) for cell in cells)) for _, _, cells in heads]
    best = max(scores, default=(0, 0))
    if best == (0, 0):
        raise DataError(f"{located.label} is empty: it has not even a header")
    name, first, cells = heads[scores.index(best)]
    width = max(place for place, cell in enumerate(cells) if cell) + 1
    header, most = {fold(cell) for cell in cells} - {""}, max(best[0], 2)
    alike = {
        other for (score, _), (other, _, row) in zip(scores, heads, strict=True) if score == best[0] and len(header & set(map(fold, row))) >= most
    }
    sheets = [other for other in chosen if other in alike and len(alike) > 1]
    left = dict.fromkeys(other for other, _, row in heads if any(row) and other not in {name, *alike})
    decisions = [("sheet", name), ("header in row", str(first)), *([("sheets not read", ", ".join(left))] if left else [])]
    return Sheet(located, cells[:width], first, "\t", decisions, True, sheets, epoch, name=name, decimal=decimal or ".")


def _sheets(path: Path) -> tuple[list[str], str]:
    """List the visible sheets, and the day from which dates are counted."""
    with CalamineWorkbook.from_path(path) as book:
        sheets = [sheet for sheet in book.sheets_metadata if sheet.typ == SheetTypeEnum.WorkSheet]
    names = [sheet.name for sheet in sheets if sheet.visible == SheetVisibleEnum.Visible] or [sheet.name for sheet in sheets]
    if path.suffix.lower() not in _ZIPPED_XML:
        return names, _FIRST_DAY
    with zipfile.ZipFile(path) as archive:
        settings = ElementTree.fromstring(archive.read("xl/workbook.xml")).find("{*}workbookPr")
    is_mac = settings is not None and settings.get("date1904") in ("1", "true")
    return names, _FIRST_DAY_MAC if is_mac else _FIRST_DAY


def _rows(path: Path, name: str, decimal: str, last: float = math.inf) -> Iterator[tuple[int, list[str]]]:
    """Go through a sheet's rows with their numbers, as text."""
    exceptions = _exceptions(path, name, last) if path.suffix.lower() in _ZIPPED_XML else {}
    with CalamineWorkbook.from_path(path) as book:
        sheet = book.get_sheet_by_name(name)
    left = [""] * (sheet.start[1] if sheet.start else 0)
    below = max(exceptions, default=0) - sheet.total_height
    for number, values in enumerate(itertools.chain(sheet.iter_rows(), itertools.repeat([], max(below, 0))), 1):
        cells = left + [_text(value, decimal) for value in values]
        for place, text in exceptions.get(number, {}).items():
            cells += [""] * (place + 1 - len(cells))
            cells[place] = text
        yield number, cells


def _exceptions(path: Path, name: str, last: float) -> dict[int, dict[int, str]]:
    """Find the cells whose text only the XML tells, by row and place: formulas saved without a value, errors, long whole numbers."""
    with zipfile.ZipFile(path) as archive:
        part = _part(archive, name)
        with archive.open(part) as opened:
            if not _has_exceptions(opened):
                return {}
        found: dict[int, dict[int, str]] = {}
        with archive.open(part) as opened:
            number = place = 0
            for event, element in ElementTree.iterparse(opened, ("start", "end")):
                kind = element.tag.rpartition("}")[2]
                if event == "start" and kind == "row":
                    number, place = int(element.get("r", number + 1)), 0
                    if number > last:
                        break
                elif event == "end" and kind == "c":
                    place = _place(element.get("r", "")) or place + 1
                    text = _exception(element)
                    if text:
                        found.setdefault(number, {})[place - 1] = text
                elif event == "end" and kind == "row":
                    element.clear()
    return found


def _has_exceptions(opened: IO[bytes]) -> bool:
    before = b""
    while block := opened.read(BLOCK):
        if _IN_XML_ONLY.search(before + block):
            return True
        before = block[-64:]
    return False


def _exception(cell: ElementTree.Element) -> str:
    kind, formula, value = cell.get("t", "n"), cell.find("{*}f"), cell.findtext("{*}v") or ""
    if formula is not None and not value:
        return f"={formula.text or ''}"
    if kind == "e" or (kind == "n" and re.fullmatch(r"-?\d{15,}[1-9]\d*", value)):  # not rounded to 15 digits: no spreadsheet wrote it
        return value
    return ""


def _place(reference: str) -> int:
    """Count the columns up to that of a cell: 28 for AB12."""
    place = 0
    for letter in reference.rstrip("0123456789"):
        place = place * 26 + ord(letter) - ord("A") + 1
    return place


def _part(archive: zipfile.ZipFile, name: str) -> str:
    """Find the part of a workbook that holds a sheet."""
    sheets = ElementTree.fromstring(archive.read("xl/workbook.xml")).iterfind("{*}sheets/{*}sheet")
    keys = next(sheet.attrib for sheet in sheets if sheet.get("name") == name)
    key = next(value for attribute, value in keys.items() if attribute.endswith("}id"))
    links = ElementTree.fromstring(archive.read("xl/_rels/workbook.xml.rels"))
    return posixpath.join("xl", next(link.attrib["Target"] for link in links if link.get("Id") == key)).lstrip("/")


def _text(value: object, decimal: str) -> str:
    """Write a cell so that it can be read in one way only."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        return str(int(value))
    if isinstance(value, float) and abs(value) >= _EXACT:
        return f"{value:.14e}".replace(".", decimal)
    if isinstance(value, float):
        whole, _, part = f"{value:.12f}".rstrip("0").partition(".")
        return f"{whole}{decimal}{part.ljust(4, '0')}"  # with three digits after the sign it could be taken for thousands
    if isinstance(value, datetime.datetime):
        rounded = value + datetime.timedelta(microseconds=500_000)  # the numbers behind dates are seldom whole seconds
        return rounded.replace(microsecond=0).isoformat(sep=" ")
    if isinstance(value, datetime.date):
        return f"{value.isoformat()} 00:00:00"
    return value.isoformat() if isinstance(value, datetime.time) else str(value).strip()
