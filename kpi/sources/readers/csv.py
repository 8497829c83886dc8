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
from kpi.sources.readers.extract import TextTable
from kpi.sources.readers.files import BLOCK, Located

_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_DELIMITERS = (",", ";", "\t", "|")
_SAMPLE = 1 << 18  # characters looked at for delimiter and header
_CELLS = 1 << 22  # bytes Arrow parses at once; a row must fit


@dataclass
class Csv(TextTable):
    """A text file whose encoding, delimiter and header are known."""

    encoding: str = ""
    tail: bytes = b""

    def _batches(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        try:
            kept, last = 0, None
            for batch in self._parsed():
                place = np.arange(kept, kept + len(batch))
                kept += len(batch)
                # Perhaps those of later rows already; each counts as a row of the file although Arrow skips it.
                skipped = np.array([number - n - 1 for n, (number, _) in enumerate(self.misfits)], dtype="int64")
                rows = place + 1 + np.searchsorted(skipped, place, side="right")
                after = int(np.searchsorted(rows, self.first, side="right"))
                if after < len(rows):
                    last = batch.slice(len(batch) - 1)
                    part = batch.slice(after)
                    cells = [pa.compute.utf8_trim(column, characters=BLANKS) for column in part.columns]
                    yield pa.RecordBatch.from_arrays([*cells, pa.array(rows[after:])], schema=schema)
            self._check_quotes(last)
        except (pa.ArrowInvalid, OSError, EOFError, zlib.error, zipfile.BadZipFile, DataError) as error:
            self.failure = f"{self.located.label} cannot be read: {error}"
            raise
        empty = BLANKS + '"' + self.delimiter
        self.misfits = [(number, text) for number, text in self.misfits if number > self.first and text.strip(empty)]

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
            raise DataError("a quote is opened and never closed, so the rest of the file reads as one cell")


def examine(located: Located, *, encoding: str = "", delimiter: str = "", table: str = "") -> Csv:
    """Decide how a CSV file is written."""
    try:
        with located.open() as opened:
            encoding, tail = _encoding(opened, located, encoding, table)
        with io.TextIOWrapper(located.open(), encoding=encoding, newline="") as text:
            sample = text.read(_SAMPLE)
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise DataError(f"{located.label} cannot be read: {error}") from None
    hint = re.match(r'\s*"?sep=(.)"?\s*?\r?\n', sample)  # Excel writes its delimiter into the first line
    delimiter = delimiter or (hint[1] if hint else "") or _delimiter(sample, located, table)
    decisions = [("encoding", encoding), ("delimiter", delimiter.replace("\t", "tab"))]
    for number, cells in enumerate(_records(sample, delimiter), 1):
        if any(cell.strip() for cell in cells) and not (hint and number == 1):
            return Csv(located, [cell.strip() for cell in cells], number, delimiter, decisions, encoding=encoding, tail=tail)
    raise DataError(f"{located.label} is empty: it has not even a header")


def _encoding(opened: IO[bytes], located: Located, declared: str, table: str) -> tuple[str, bytes]:
    """Tell the encoding from a byte order mark, else try UTF-8 on all bytes, else take Windows-1252."""
    head = opened.read(BLOCK)
    if head.startswith(b"PK\x03\x04") or head.startswith(b"\xd0\xcf\x11\xe0"):
        raise DataError(f"{located.label} is a workbook or an archive, not text; save the sheet as CSV, unpack it, or name the member: a.zip/b.csv")
    marked = next((name for mark, name in _BOMS if head.startswith(mark)), "")
    tries = [declared] if declared else [marked] if marked else ["utf-8", "cp1252"]
    try:
        decoders = {name: codecs.getincrementaldecoder(name)() for name in tries}
    except LookupError:
        raise DataError(f"[tables.{table}] encoding = {declared!r} is unknown; write for instance utf-8 or cp1252") from None
    tail = b""
    while True:
        if not marked and not declared and b"\0" in head:
            raise DataError(f'{located.label} holds zero bytes: it is no text, or UTF-16 without its mark; then write encoding = "utf-16-le"')
        for name in list(decoders):
            try:
                decoders[name].decode(head, final=not head)
            except UnicodeDecodeError:
                del decoders[name]
        if not decoders:
            fault = f"is not {' nor '.join(tries)}" if head else "breaks off in the middle of a character"
            raise DataError(f"{located.label} {fault}; write its encoding under [tables.{table}] in kpi.toml")
        if not head:
            return next(iter(decoders)), tail
        tail, head = (tail + head)[-64:], opened.read(BLOCK)


def _records(sample: str, delimiter: str) -> Iterator[list[str]]:
    try:
        yield from csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter)
    except csv.Error:  # a cell as long as a book: what came before it tells enough
        return


def _delimiter(sample: str, located: Located, table: str) -> str:
    """Take the delimiter under which the first lines agree best on their number of cells, more cells winning."""

    def score(delimiter: str) -> tuple[float, int]:
        rows = [len(cells) for cells in _records(sample, delimiter) if any(cells)]
        rows = (rows[:-1] if len(sample) == _SAMPLE else rows)[:500]
        if not rows or rows[0] == 1:
            return 0.0, 1
        return round(rows.count(rows[0]) / len(rows), 1), rows[0]

    best = max(_DELIMITERS, key=score)
    if score(best)[1] == 1 and sample.strip():
        first = sample.strip().splitlines()[0][:80]
        raise SchemaError(
            f"{located.label} reads as one column ({first!r}) with each of , ; tab and |; write delimiter under [tables.{table}] in kpi.toml"
        )
    return best
