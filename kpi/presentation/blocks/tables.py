"""Tables a reader can trust: formatted from a tidy result, each estimate beside its interval and its n, "too few" instead of a guess."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import pandas as pd

from kpi.errors import ParameterError, SchemaError
from kpi.presentation.blocks.markup import Block, attribute, classed, text
from kpi.presentation.blocks.sparkline import interval, interval_axis
from kpi.presentation.language import Words, missing

Kind = Literal["text", "number", "percent", "money", "change", "duration", "days", "date", "when", "range", "drawn"]
Unit = Literal["number", "percent", "money"]
FLOOR = 20  # fewest records that say anything
_ON_THE_LEFT = {"text", "date", "when"}
_SHORT = 14  # characters that stay on one line: a name, a number, a stage
_NICE = (1, 2, 3, 4, 5, 6, 8, 10)  # whole percentages stay whole


@dataclass(frozen=True)
class DisplayColumn:
    """One column of a shown table: where its values stand and how they are written.

    ``n`` names the column that counts the records behind the value; with fewer than `FLOOR` the value gives way to "too few".
    ``unit``, ``axis`` and ``reference`` are those of an interval, written (kind ``range``) or drawn.
    """

    name: str
    label: str
    kind: Kind = "text"
    digits: int = 0
    n: str = ""
    unit: Unit = "percent"
    axis: tuple[float, float] = (0.0, 1.0)
    reference: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ParameterError(f"column {self.name} has the kind {self.kind!r}; choose one of {', '.join(get_args(Kind))}")

    @property
    def needs(self) -> set[str]:
        """Columns of the result that this one reads."""
        ends = {"low", "high"} if self.kind in ("range", "drawn") else set()
        return ends | ({self.n} if self.n else set()) | (set() if self.kind == "range" else {self.name})


def estimate(words: Words, label: str, kind: Kind = "percent", *, n: str = "n", drawn: bool = False) -> list[DisplayColumn]:
    """The columns of an estimate: its value beside its interval, written and where wanted drawn."""
    unit: Unit = "money" if kind in ("money", "change") else "number" if kind == "number" else "percent"
    columns = [DisplayColumn("value", label, kind, n=n), DisplayColumn("value", words.say("95%\ninterval"), "range", n=n, unit=unit)]
    return [*columns, DisplayColumn("value", "", "drawn", n=n, unit=unit)] if drawn else columns


@dataclass(frozen=True)
class Cell:
    """One cell: its text, or a drawing made by the kit."""

    text: str = ""
    css: str = ""
    span: int = 1
    drawing: str = ""


@dataclass(repr=False)
class DisplayTable(Block):
    """A table ready to be shown."""

    title: str
    note: str
    head: Sequence[Cell]
    rows: Sequence[tuple[str, Sequence[Cell]]]

    def html(self) -> str:
        note = f"<span>{text(self.note)}</span>" if self.note else ""
        head = "".join(_element("th", cell, ' scope="col"') for cell in self.head)
        body = "".join(f"<tr{classed(css)}>{_row(cells)}</tr>" for css, cells in self.rows)
        caption = f"<caption><b>{text(self.title)}</b>{note}</caption>"
        region = f'<div class="tw" role="region" tabindex="0" aria-label="{attribute(self.title)}">'
        return f'{region}<table class="short">{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'

    def plain(self) -> str:
        lines = [[cell.text.replace("\n", " ") for cell in cells] for cells in (self.head, *(cells for _, cells in self.rows))]
        return "\n".join((self.title, *(" | ".join(line) for line in lines)))


@dataclass(frozen=True)
class TableWriter:
    """Lays out tables in one language, currency and zone."""

    words: Words
    currency: str
    zone: str

    def table(
        self,
        result: pd.DataFrame,
        columns: Sequence[DisplayColumn],
        *,
        title: str,
        note: str = "",
        total: pd.DataFrame | None = None,
        limit: int = 10,
        whole: str = "",
    ) -> DisplayTable:
        """Lay out a result as a table."""
        lacking = set().union(*(column.needs for column in columns)) - set(result.columns)
        if lacking:
            raise SchemaError(f"the table {title!r} needs {sorted(lacking)}; the result has {list(result.columns)}")
        if total is not None and len(total) != 1:
            raise ParameterError(f"the total of {title!r} has {len(total)} rows; it must have one")
        shown = result.head(limit).to_dict("records")
        last = [] if total is None else total.to_dict("records")
        columns = [_with_axis(column, shown, last) if column.kind == "drawn" else column for column in columns]
        rows = [("", self._cells(row, columns)) for row in shown] or [("", [Cell(self.words.say("Nothing to list."), "few", len(columns))])]
        rows += [("tot", self._cells(row, columns)) for row in last]
        note = _with_count(note, self.words, len(shown), len(result), whole)
        return DisplayTable(title, note, [self._heading(column) for column in columns], rows)

    def interval(self, low: float | None, high: float | None, unit: str, digits: int = 0) -> str:
        """Write an interval in its unit: money, shares, or plain numbers."""
        if unit == "money":
            return self.words.money_range(low, high, self.currency)
        return self.words.percent_range(low, high, digits) if unit in ("percent", "rate") else self.words.number_range(low, high, digits)

    def _heading(self, column: DisplayColumn) -> Cell:
        if column.kind != "drawn":
            return Cell(column.label, "" if column.kind in _ON_THE_LEFT else "r")
        (left, right), middle = column.axis, column.reference
        has_room = middle is not None and 0.2 < (middle - left) / (right - left) < 0.8  # else its label would run into those at the ends
        labels = [(at, self._written(column.unit, at, column.digits)) for at in (left, middle if has_room else None, right) if at is not None]
        return Cell(column.label or self.words.say("Estimate and interval drawn"), "iv", drawing=interval_axis(labels, axis=column.axis))

    def _cells(self, row: Mapping, columns: Sequence[DisplayColumn]) -> list[Cell]:
        cells: list[Cell] = []
        spanned = ""
        for column in columns:
            is_few = _is_few(row, column)
            if column.kind == "drawn":
                cells.append(Cell("", "iv", drawing=_drawing(row, column, is_few)))
            elif is_few and spanned == column.n:
                cells[-1] = replace(cells[-1], span=cells[-1].span + 1)
                continue
            elif is_few:
                cells.append(Cell(self.words.say("too few (floor {floor})", floor=FLOOR), "few r"))
            else:
                cells.append(self._cell(row, column))
            spanned = column.n if is_few and column.kind != "drawn" else ""
        return cells

    def _cell(self, row: Mapping, column: DisplayColumn) -> Cell:
        if column.kind == "range":
            return Cell(self.interval(row["low"], row["high"], column.unit, column.digits), "r")
        written = self._written(column.kind, row[column.name], column.digits)
        return Cell(written, "r" if column.kind not in _ON_THE_LEFT else "nw" if len(written) <= _SHORT or column.kind == "when" else "")

    def _written(self, kind: Kind, value: Any, digits: int) -> str:
        words = self.words
        if missing(value):
            return words.number(None)
        if kind in ("money", "change"):
            return words.money(value, self.currency, signed=kind == "change")
        if kind == "when":
            return words.when(value, self.zone)
        if kind in ("number", "percent"):
            return words.number(value, digits) if kind == "number" else words.percent(value, digits)
        writers: dict[Kind, Callable[[Any], str]] = {"text": words.named, "duration": words.duration, "days": words.days, "date": words.date}
        return writers[kind](value)


def _drawing(row: Mapping, column: DisplayColumn, is_few: bool) -> str:
    value, low, high = (math.nan if is_few or missing(row[name]) else float(row[name]) for name in (column.name, "low", "high"))
    return interval(value, low, high, axis=column.axis, reference=column.reference)


def _with_axis(column: DisplayColumn, rows: list[dict], last: list[dict]) -> DisplayColumn:
    """Complete a drawn column: an axis that holds all intervals that are drawn, the total's estimate as reference."""
    reference = column.reference
    if reference is None and last and not missing(last[0][column.name]):
        reference = float(last[0][column.name])
    drawn = [row for row in (*rows, *last) if not _is_few(row, column)]
    ends = [float(row[end]) for row in drawn for end in ("low", "high") if not missing(row[end])] or [0.0]
    left = -_nice(-min(ends)) if min(ends) < 0 else 0.0
    right = _nice(max(ends)) if max(ends) > 0 else 0.0 if left < 0 else 1.0
    return replace(column, axis=(left, right), reference=reference)


def _is_few(row: Mapping, column: DisplayColumn) -> bool:
    return bool(column.n) and not missing(row[column.n]) and row[column.n] < FLOOR


def _nice(value: float) -> float:
    """The next round number."""
    power = 10.0 ** math.floor(math.log10(value))
    return round(next(step for step in _NICE if step * power >= value * (1 - 1e-9)) * power, 10)


def _with_count(note: str, words: Words, shown: int, found: int, whole: str) -> str:
    if shown == found:
        return note
    if whole:
        count = words.say("{shown} of {found}; all in {file}", shown=shown, found=found, file=whole)
    else:
        count = words.say("{shown} of {found}", shown=shown, found=found)
    return f"{note} · {count}" if note else count


def _row(cells: Sequence[Cell]) -> str:
    return _element("th", cells[0], ' scope="row"') + "".join(_element("td", cell) for cell in cells[1:])


def _element(tag: str, cell: Cell, scope: str = "") -> str:
    span = f' colspan="{cell.span}"' if cell.span > 1 else ""
    words = text(cell.text).replace("\n", "<br>")
    if cell.drawing and words:
        words = f'<span class="vh">{words}</span>'
    return f"<{tag}{scope}{classed(cell.css)}{span}>{words}{cell.drawing}</{tag}>"
