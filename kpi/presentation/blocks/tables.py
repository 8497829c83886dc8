"""Tables a reader can trust: formatted from a tidy result, each estimate beside its interval and its n, "too few" instead of a guess."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import pandas as pd

from kpi.errors import ParameterError, SchemaError
from kpi.presentation.blocks.markup import Block, attribute, text
from kpi.presentation.blocks.sparkline import interval, interval_axis
from kpi.presentation.language import Words, missing

Kind = Literal["text", "number", "percent", "money", "change", "duration", "days", "date", "month", "when", "range", "drawn"]
Unit = Literal["number", "percent", "money", "days", "duration"]
_ON_THE_LEFT = {"text", "date", "month", "when"}
_SHORT = 14  # characters that stay on one line: a name, a number, a stage
_NICE = (1, 2, 3, 4, 5, 6, 8, 10)  # whole percentages stay whole


@dataclass(frozen=True)
class Column:
    """One column of a table: where its values stand and how they are written."""

    name: str
    label: str
    kind: Kind = "text"
    digits: int = 0
    n: str = ""
    unit: Unit = "percent"
    ends: tuple[str, str] = ("low", "high")
    axis: tuple[float, float] | None = None
    reference: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ParameterError(f"column {self.name} has the kind {self.kind!r}; choose one of {', '.join(get_args(Kind))}")

    @property
    def needs(self) -> set[str]:
        """Columns of the result that this one reads."""
        ends = set(self.ends) if self.kind in ("range", "drawn") else set()
        return ends | ({self.n} if self.n else set()) | (set() if self.kind == "range" else {self.name})


@dataclass(frozen=True)
class Cell:
    """One cell: its text, or a drawing made by the kit."""

    text: str = ""
    css: str = ""
    span: int = 1
    drawing: str = ""


@dataclass(repr=False)
class Table(Block):
    """A table ready to be shown."""

    title: str
    note: str
    head: Sequence[Cell]
    rows: Sequence[tuple[str, Sequence[Cell]]]

    def _html(self) -> str:
        note = f"<span>{text(self.note)}</span>" if self.note else ""
        head = "".join(_element("th", cell, ' scope="col"') for cell in self.head)
        body = "".join(f"<tr{_css(css)}>{_row(cells)}</tr>" for css, cells in self.rows)
        caption = f"<caption><b>{text(self.title)}</b>{note}</caption>"
        region = f'<div class="tw" role="region" tabindex="0" aria-label="{attribute(self.title)}">'
        return f'{region}<table class="short">{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'

    def _plain(self) -> str:
        lines = [[cell.text.replace("\n", " ") for cell in cells] for cells in (self.head, *(cells for _, cells in self.rows))]
        return "\n".join((self.title, *(" | ".join(line) for line in lines)))


def table(
    result: pd.DataFrame,
    columns: Sequence[Column],
    *,
    words: Words,
    title: str,
    note: str = "",
    total: pd.DataFrame | None = None,
    strong: str = "",
    limit: int = 10,
    whole: str = "",
    floor: int = 20,
    currency: str = "EUR",
    zone: str = "UTC",
) -> Table:
    """Lay out a result as a table."""
    lacking = set().union(*(column.needs for column in columns)) - set(result.columns)
    if lacking:
        raise SchemaError(f"the table {title!r} needs {sorted(lacking)}; the result has {list(result.columns)}")
    if total is not None and len(total) != 1:
        raise ParameterError(f"the total of {title!r} has {len(total)} rows; it must have one")
    shown = result.head(limit).to_dict("records")
    last = [] if total is None else total.to_dict("records")
    columns = [_with_axis(column, shown, last, floor) if column.kind == "drawn" else column for column in columns]
    writer = _Writer(words, currency, zone, floor)
    rows = [("best" if strong and row[columns[0].name] == strong else "", writer.cells(row, columns)) for row in shown]
    if not rows:
        rows = [("", [Cell(words.say("Nothing to list."), "few", len(columns))])]
    rows += [("tot", writer.cells(row, columns)) for row in last]
    return Table(title, _with_count(note, words, len(shown), len(result), whole), [writer.heading(column) for column in columns], rows)


@dataclass(frozen=True)
class _Writer:
    words: Words
    currency: str
    zone: str
    floor: int

    def heading(self, column: Column) -> Cell:
        if column.kind != "drawn":
            return Cell(column.label, "" if column.kind in _ON_THE_LEFT else "r")
        left, right = column.axis
        middle = column.reference
        has_room = middle is not None and 0.2 < (middle - left) / (right - left) < 0.8  # else its label would run into those at the ends
        labels = [(at, self._written(column.unit, at, column)) for at in ((left, middle, right) if has_room else (left, right))]
        return Cell(column.label or self.words.say("Estimate and interval drawn"), "iv", drawing=interval_axis(labels, axis=column.axis))

    def cells(self, row: dict, columns: Sequence[Column]) -> list[Cell]:
        cells: list[Cell] = []
        spanned = ""
        for column in columns:
            is_few = _is_few(row, column, self.floor)
            if column.kind == "drawn":
                cells.append(Cell("", "iv", drawing=self._drawing(row, column, is_few)))
            elif is_few and spanned == column.n:
                cells[-1] = Cell(cells[-1].text, cells[-1].css, cells[-1].span + 1)
                continue
            elif is_few:
                cells.append(Cell(self.words.say("too few (floor {floor})", floor=self.floor), "few r"))
            else:
                cells.append(self._cell(row, column))
            spanned = column.n if is_few and column.kind != "drawn" else ""
        return cells

    def _cell(self, row: dict, column: Column) -> Cell:
        if column.kind == "range":
            return Cell(self._range(column, *(row[end] for end in column.ends)), "r")
        words = self._written(column.kind, row[column.name], column)
        return Cell(words, "r" if column.kind not in _ON_THE_LEFT else "nw" if len(words) <= _SHORT or column.kind == "when" else "")

    def _written(self, kind: str, value, column: Column) -> str:
        if missing(value):
            return self.words.number(None)
        ways: dict[str, Callable[[], str]] = {
            "text": lambda: str(value),
            "number": lambda: self.words.number(value, column.digits),
            "percent": lambda: self.words.percent(value, column.digits),
            "money": lambda: self.words.money(value, self.currency),
            "change": lambda: self.words.money_change(value, self.currency),
            "duration": lambda: self.words.duration(value),
            "days": lambda: self.words.days(value),
            "date": lambda: self.words.date(value),
            "month": lambda: self.words.month(value),
            "when": lambda: self.words.when(value, self.zone),
        }
        return ways[kind]()

    def _range(self, column: Column, low: float, high: float) -> str:
        if column.unit == "percent":
            return self.words.percent_range(low, high, column.digits)
        if column.unit == "money":
            return self.words.money_range(low, high, self.currency)
        return self.words.number_range(low, high, column.digits)

    def _drawing(self, row: dict, column: Column, is_few: bool) -> str:
        values = [math.nan if is_few or missing(row[name]) else float(row[name]) for name in (column.name, *column.ends)]
        return interval(*values, axis=column.axis, reference=column.reference)


def _with_axis(column: Column, rows: list[dict], last: list[dict], floor: int) -> Column:
    """Complete a drawn column: an axis that holds all intervals that are drawn, the total's estimate as reference."""
    reference = column.reference
    if reference is None and last and not missing(last[0][column.name]):
        reference = float(last[0][column.name])
    drawn = [row for row in (*rows, *last) if not _is_few(row, column, floor)]
    ends = [float(row[end]) for row in drawn for end in column.ends if not missing(row[end])] or [0.0]
    left = -_nice(-min(ends)) if min(ends) < 0 else 0.0
    right = _nice(max(ends)) if max(ends) > 0 else 0.0 if left < 0 else 1.0
    return replace(column, axis=column.axis or (left, right), reference=reference)


def _is_few(row: dict, column: Column, floor: int) -> bool:
    return bool(column.n) and not missing(row[column.n]) and row[column.n] < floor


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
    return f"<{tag}{scope}{_css(cell.css)}{span}>{words}{cell.drawing}</{tag}>"


def _css(name: str) -> str:
    return f' class="{name}"' if name else ""
