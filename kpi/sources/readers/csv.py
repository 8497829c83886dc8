"""CSV text: its encoding, delimiter and header decided from the file, its rows handed over as Arrow batches."""

from __future__ import annotations

import codecs
import csv
import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv

from kpi.errors import DataError, SchemaError
from kpi.sources.cells import BLANKS
from kpi.sources.readers.extract import HEADER_WITHIN, Hits, TextTable
from kpi.sources.readers.files import BLOCK, Located

_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_DELIMITERS = (",", ";", "\t", "|")
_SAMPLE = 1 << 18  # characters looked at for delimiter and header
_CELLS = 1 << 22  # bytes Arrow parses at once; a row must fit
# Of a text decoded as UTF-8: bytes that are none, letters that are some, those of Western Europe; else letters whose neighbours are of their case.
_STRAY, _SOUND, _LATIN = re.compile("[\udc80-\udcff]"), re.compile("[^\0-\x7f\udc80-\udcff]"), re.compile("[À-ÿŒœ’€]")
_FITTING = re.compile("(?<=[a-z])[ßà-öù-ÿœšž’–—…](?!\\d)|[ßà-öø-ÿœšž](?=[a-z])|(?<=[A-Z])[À-ÖØ-ÞŒ]|(?<![a-zA-Zà-ÿ])[À-ÖØ-ÞŒŠŽ](?=[a-zà-ÿ])")


@dataclass
class Csv(TextTable):
    """A text file whose encoding, delimiter and header are known."""

    encoding: str = ""
    tail: bytes = b""

    def _batches(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        try:
            kept, last, swallowed = 0, None, list[tuple[int, str]]()
            for batch in self._parsed():
                place = np.arange(kept, kept + len(batch))
                kept += len(batch)
                # Perhaps those of later rows already; each counts as a row of the file although Arrow skips it.
                skipped = np.array([number - n - 1 for n, (number, _) in enumerate(self.misfits)], dtype="int64")
                rows = place + 1 + np.searchsorted(skipped, place, side="right")
                after = int(np.searchsorted(rows, self.first, side="right"))
                if after < len(rows):
                    last = batch.slice(len(batch) - 1)
                    part, numbers = batch.slice(after), rows[after:]
                    if found := self._swallowed(part, numbers):
                        swallowed += found
                        whole = ~np.isin(numbers, [number for number, _ in found])
                        part, numbers = part.filter(pa.array(whole)), numbers[whole]
                    cells = [pa.compute.utf8_trim(column, characters=BLANKS) for column in part.columns]
                    yield pa.RecordBatch.from_arrays([*cells, pa.array(numbers)], schema=schema)
            self._check_quotes(last)
        except (pa.ArrowInvalid, OSError, EOFError, zlib.error, zipfile.BadZipFile, DataError) as error:
            self.failure = f"{self.located.label} cannot be read: {error}"
            raise
        empty = BLANKS + '"' + self.delimiter
        self.misfits = sorted(swallowed + [(number, text) for number, text in self.misfits if number > self.first and text.strip(empty)])

    def _swallowed(self, batch: pa.RecordBatch, numbers: np.ndarray) -> list[tuple[int, str]]:
        """Find the lines that a stray quote took into a cell, with the record that has the cell: text has no delimiters where records have theirs."""
        found = []
        for place, column in enumerate(batch.columns):
            for row in np.flatnonzero(pa.compute.match_substring(column, "\n").to_numpy(zero_copy_only=False)):
                first, *lines = column[row].as_py().splitlines()
                ends = [len(self.header) - 1] * (len(lines) - 1) + [place]
                key = _shape(batch.columns[0][row].as_py())
                inside = [line for line, n in zip(lines, ends, strict=True) if self._is_record(line, n, key)]
                found += [(int(numbers[row]), line) for line in [first, *inside]] if inside else []
        return found

    def _is_record(self, line: str, n_delimiters: int, key: str) -> bool:
        return line.count(self.delimiter) == n_delimiters > 0 and (n_delimiters > 2 or _shape(line.partition(self.delimiter)[0]) == key)

    def _parsed(self) -> Iterator[pa.RecordBatch]:
        def misfit(row: pa.csv.InvalidRow) -> str:
            self.misfits.append((row.number, row.text))
            return "skip"

        encoding = "utf-8" if self.encoding == "utf-8-sig" else self.encoding  # Arrow skips the mark itself, and quicker
        with self.located.open() as opened:
            yield from pa.csv.open_csv(
                opened,
                # One thread: only then does Arrow number the rows it skips.
                read_options=pa.csv.ReadOptions(use_threads=False, column_names=self.columns, block_size=_CELLS, encoding=encoding),
                parse_options=pa.csv.ParseOptions(
                    delimiter=self.delimiter, newlines_in_values=True, ignore_empty_lines=False, invalid_row_handler=misfit
                ),
                convert_options=pa.csv.ConvertOptions(column_types=dict.fromkeys(self.columns, pa.string()), strings_can_be_null=False),
            )

    def _check_quotes(self, last: pa.RecordBatch | None) -> None:
        """Refuse a quote that is never closed: it would swallow the rest of the file into one cell."""
        cell = "" if last is None else last.columns[-1][0].as_py()
        closed = self.tail.rstrip(b"\0\r\n\t ").endswith(b'"')
        swallowed = any("\n" in text and text.count('"') % 2 for _, text in self.misfits[-1:])
        if ("\n" in cell and not closed) or swallowed:
            text = cell if "\n" in cell and not closed else self.misfits[-1][1]
            raise DataError(f"a quote is opened and never closed, before {text.splitlines()[0][-40:]!r}, so the rest of the file reads as one cell")


def _shape(text: str) -> str:
    return re.sub(r"[^\W\d]+", "a", re.sub(r"\d+", "9", text))


def examine(located: Located, hits: Hits = lambda cells: 0, *, encoding: str = "", delimiter: str = "", table: str = "") -> Csv:
    """Decide how a CSV file is written."""
    try:
        with located.open() as opened:
            encoding, tail = _encoding(opened, located, encoding, table)
        with io.TextIOWrapper(located.open(), encoding=encoding, errors="replace", newline="") as text:
            sample = text.read(_SAMPLE).lstrip("\ufeff")
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise DataError(f"{located.label} cannot be read: {error}") from None
    hint = re.match(r'\s*"?sep=(.)"?\s*?\r?\n', sample)  # Excel writes its delimiter into the first line
    delimiter = delimiter or (hint[1] if hint else "") or _delimiter(sample, located, table)
    decisions = [("encoding", encoding), ("delimiter", delimiter.replace("\t", "tab"))]
    filled = [(number, cells) for number, cells in enumerate(_records(sample, delimiter), 1) if any(cell.strip() for cell in cells)][bool(hint) :]
    if not filled:
        raise DataError(f"{located.label} is empty: it has not even a header")
    # Titles above the header hold none of its names.
    likely = [place for place, (_, cells) in enumerate(filled[:HEADER_WITHIN]) if hits(cells) > 1 and not hits(filled[0][1])]
    (number, header), *below = filled[likely[0] if likely else 0 :]
    decisions += [("header in row", str(number))] if likely else []
    below = below[: -1 if len(sample) == _SAMPLE else None]
    ends = [""] if below and all(len(cells) == len(header) + 1 and not cells[-1].strip() for _, cells in below) else []  # a delimiter too many
    return Csv(located, [cell.strip() for cell in header + ends], number, delimiter, decisions, bool(likely), encoding=encoding, tail=tail)


def _encoding(opened: IO[bytes], located: Located, declared: str, table: str) -> tuple[str, bytes]:
    """Tell the encoding from a byte order mark, else try UTF-8 on all bytes, else look at what comes out of others."""
    head = opened.read(BLOCK)
    if head.startswith(b"PK\x03\x04") or head.startswith(b"\xd0\xcf\x11\xe0"):
        raise DataError(f"{located.label} is a workbook or an archive, not text; save the sheet as CSV, unpack it, or name the member: a.zip/b.csv")
    name, tail = declared or next((name for mark, name in _BOMS if head.startswith(mark)), ""), b""
    try:
        decoder = codecs.getincrementaldecoder(name or "utf-8")()
    except LookupError:
        raise DataError(f"[tables.{table}] encoding = {declared!r} is unknown; write for instance utf-8 or cp1252") from None
    while True:
        if not name and b"\0" in head:
            raise DataError(f'{located.label} holds zero bytes: it is no text, or UTF-16 without its mark; then write encoding = "utf-16-le"')
        try:
            decoder.decode(head, final=not head)
        except UnicodeDecodeError:
            if declared or name not in ("", "utf-8-sig"):
                fault = f"is not {name}" if head else "breaks off in the middle of a character"
                raise DataError(f"{located.label} {fault}; write its encoding under [tables.{table}] in kpi.toml") from None
            name, decoder = _single_byte(located, table), codecs.getincrementaldecoder("latin-1")()
        if not head:
            return name or "utf-8", tail
        tail, head = (tail + head)[-64:], opened.read(BLOCK)


def _single_byte(located: Located, table: str) -> str:
    """Take Windows-1252 where letters fit their neighbours in it; refuse what reads better otherwise, and UTF-8 with bytes that are none."""
    with located.open() as opened:
        lines = {number: line for number, line in enumerate(opened, 1) if not line.isascii()}
    text = b"".join(lines.values())
    as_utf8, remedy = text.decode("utf-8", "surrogateescape"), f"under [tables.{table}] in kpi.toml"
    number = next(number for number, line in lines.items() if _STRAY.search(line.decode("utf-8", "surrogateescape")))
    is_mixed = _LATIN.search(as_utf8) or len(_SOUND.findall(as_utf8)) >= len(_STRAY.findall(as_utf8))
    if table and is_mixed:
        raise DataError(f"{located.label}:{number} has bytes that are not utf-8, as others of the file are; mend it, or write encoding {remedy}")
    fitting = {name: len(_FITTING.findall(text.decode(name, "replace"))) for name in ("cp1252", "cp850", "mac_roman")}
    best = max(fitting, key=lambda name: fitting[name])
    if not table:  # only the headers are asked for
        return "utf-8" if is_mixed else best
    if best != "cp1252" or "\N{REPLACEMENT CHARACTER}" in text.decode(best, "replace"):
        example = lines[number].decode(best, "replace").strip()[:60]
        raise DataError(f'{located.label} is not utf-8 nor cp1252; write its encoding {remedy}: "{best}" would make line {number} {example!r}')
    return best


def _records(sample: str, delimiter: str) -> Iterator[list[str]]:
    try:
        yield from csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter)
    except csv.Error:  # a cell as long as a book: what came before it tells enough
        return


def _delimiter(sample: str, located: Located, table: str) -> str:
    """Take the delimiter under which the first lines agree best on their number of cells, more cells winning."""

    def score(delimiter: str, *, titled: bool = False) -> tuple[float, int]:
        rows = [len(cells) for cells in _records(sample, delimiter) if any(cells)]
        rows = (rows[:-1] if len(sample) == _SAMPLE else rows)[:500]
        width = (max(rows, key=lambda n: (n > 1) * rows.count(n)) if titled else rows[0]) if rows else 1
        return (0.0, 1) if width == 1 else (round(rows.count(width) / len(rows), 1), width)

    best = max(_DELIMITERS, key=score)
    if score(best)[0] < 0.5:  # perhaps titles stand above the header
        best = max(_DELIMITERS, key=lambda delimiter: (score(delimiter, titled=True), score(delimiter)))
        if score(best, titled=True) > (0.2, 1):
            return best
    if score(best)[1] == 1 and sample.strip():
        first = sample.strip().splitlines()[0][:80]
        raise SchemaError(
            f"{located.label} reads as one column ({first!r}) with each of , ; tab and |; write delimiter under [tables.{table}] in kpi.toml"
        )
    return best
