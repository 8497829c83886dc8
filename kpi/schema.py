"""Contracts of the canonical tables, whose columns ``schema.toml`` lists, and of the results."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeAlias, TypeVar

import pandas as pd

from kpi.errors import ParameterError, SchemaError
from kpi.periods import Month, Window

By: TypeAlias = str | Sequence[str]  # columns to group by
Kind = Literal["text", "instant", "date", "month", "number", "integer", "boolean"]
_P = ParamSpec("_P")
_R = TypeVar("_R")


def N_(text: str) -> str:
    """Mark a text for translation where it is written, to be said later in the reader's language."""
    return text


@dataclass(frozen=True)
class Column:
    """One column of a canonical table."""

    name: str
    kind: Kind = "text"
    required: bool = False
    filled: bool = False
    allowed: tuple[str, ...] = ()
    references: str = ""
    default: str = ""
    is_name: bool = False

    @property
    def is_id(self) -> bool:
        """Whether it names a record: a key, or a link to one."""
        return self.name.endswith("_id") or bool(self.references)


@dataclass(frozen=True)
class Table:
    """A canonical table: its name, its columns in order, and the columns that identify a row."""

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Column:
        for column in self.columns:
            if column.name == name:
                return column
        raise SchemaError(f"{self.name} has no column {name}; it has {self.names}")

    @property
    def names(self) -> list[str]:
        """Names of the columns, in order."""
        return [column.name for column in self.columns]


BLANK = "(blank)"  # how a group of empty cells is called


def _tables(written: Mapping[str, Any]) -> dict[str, Table]:
    """Make the canonical tables; a column that must be filled must be there."""
    columns = {
        name: [
            Column(column, **{"required": "filled" in more, **more, "allowed": tuple(more.get("allowed", ()))})
            for column, more in table["columns"].items()
        ]
        for name, table in written.items()
    }
    return {name: Table(name, tuple(columns[name]), tuple(table.get("key", ()))) for name, table in written.items()}


TABLES = _tables(tomllib.loads(Path(__file__).with_name("schema.toml").read_text("utf-8")))
STATUS = TABLES["opportunities"]["status"].allowed
KINDS = TABLES["activities"]["kind"].allowed

RESULT = [
    "kpi",  # catalogue key
    "horizon",  # delay or threshold the value refers to, in the KPI's own unit of time; missing where there is none
    "value",
    "low",
    "high",
    "n",  # denominator
    "n_events",
    "n_open",  # outcome not known yet at as_of
    "view",  # cohort, period or snapshot
    "window_start",  # local date, included
    "window_end",  # local date, excluded
    "as_of",  # naive UTC
]


def result(
    key: str, counts: pd.DataFrame, *, by: Sequence[str], view: str, window: Window, as_of: pd.Timestamp, more: Sequence[str] = ()
) -> pd.DataFrame:
    """Put a metric's numbers under their contract."""
    table = counts.assign(kpi=key, view=view, window_start=window.start, window_end=window.end, as_of=as_of)
    table = table.reindex(columns=[*by, *RESULT, *more])
    for name, write in (("month", lambda number: str(Month.of(number))), ("quarter", lambda number: f"{number // 4}-Q{number % 4 + 1}")):
        if name in by:
            table[name] = pd.Series([write(int(number)) for number in table[name]], index=table.index, dtype="str")
    for name in ("n", "n_events", "n_open"):
        table[name] = table[name].astype("Int64")
    for name in ("horizon", "value", "low", "high"):
        table[name] = table[name].astype("float64")
    return table.sort_values([*by, "horizon"], kind="stable", ignore_index=True)


def grouping(by: str | Sequence[str], known: Mapping[str, str]) -> tuple[str, ...]:
    """Check the grouping columns of a metric."""
    names = (by,) if isinstance(by, str) else tuple(by)
    for name in names:
        if name not in known:
            raise ParameterError(f"by={name!r} is unknown here; use one of {', '.join(known)}")
    return names


def renamed(**new_names: str) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Refuse the former names of a function's parameters by a message that gives the new ones: ``@renamed(thresholds="horizons")``."""

    def decorate(function: Callable[_P, _R]) -> Callable[_P, _R]:
        @functools.wraps(function)
        def checked(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            for old, new in new_names.items():
                if old in kwargs:
                    raise ParameterError(f"{function.__name__} takes no {old!r} any more; it is called {new!r} now")
            return function(*args, **kwargs)

        return checked

    return decorate
