"""Contracts of the canonical tables and of the results: the only place that lists columns."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, ParamSpec, TypeAlias, TypeVar

import pandas as pd

from kpi.errors import ParameterError, SchemaError
from kpi.periods import Month, Window

By: TypeAlias = str | Sequence[str]  # columns to group by
Kind = Literal["text", "instant", "date", "number", "integer", "boolean"]
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


def _must(name: str, kind: Kind = "text", **more: Any) -> Column:
    return Column(name, kind, required=True, filled=True, **more)


def _has(name: str, kind: Kind = "text", **more: Any) -> Column:
    """A column that must exist but may have empty cells: a lead without an owner is still a lead."""
    return Column(name, kind, required=True, **more)


def _may(name: str, kind: Kind = "text", **more: Any) -> Column:
    return Column(name, kind, **more)


BLANK = "(blank)"  # how a group of empty cells is called
STATUS = ("open", "won", "lost")
KINDS = ("call", "email", "meeting", "message", "task", "form", "visit", "alert")

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        Table(
            "leads",
            (
                _must("lead_id"),
                _must("created_at", "instant"),
                _may("person_id"),
                _may("merged_into", references="leads"),
                _may("assigned_at", "instant"),
                _has("source"),
                _has("owner"),
                _may("country"),
                _may("nurtured_at", "instant"),
                _may("alerted_at", "instant"),
                _may("status"),
                _may("disqualified_at", "instant"),
                _may("disqualified_by", allowed=("human", "machine")),
                _may("opportunity_id", references="opportunities"),
                _may("customer_id", references="customers"),
                _may("deleted_at", "instant"),
            ),
            ("lead_id",),
        ),
        Table("lead_scores", (_must("lead_id", references="leads"), _must("at", "instant"), _must("score", "number"))),
        Table(
            "activities",
            (
                _must("activity_id"),
                _may("lead_id", references="leads"),
                _may("opportunity_id", references="opportunities"),
                _must("at", "instant"),
                _must("kind", allowed=KINDS),
                _must("direction", allowed=("outbound", "inbound")),
                _must("automated", "boolean"),
                _must("done", "boolean"),
                _has("owner"),
                _may("outcome", allowed=("connected", "replied", "held", "appointment", "no_answer", "bounced")),
            ),
            ("activity_id",),
        ),
        Table(
            "opportunities",
            (
                _must("opportunity_id"),
                _may("lead_id", references="leads"),
                _may("customer_id", references="customers"),
                _has("owner"),
                _may("created_at", "instant"),
                _may("amount", "number"),
                _must("currency", default="company.currency"),
                _has("stage"),
                _must("status", allowed=STATUS),
                _may("closed_at", "instant"),
                _may("expected_close_on", "date"),
                _may("source"),
                _may("product"),
                _may("lost_reason"),
                _may("deleted_at", "instant"),
            ),
            ("opportunity_id",),
        ),
        Table(
            "opportunity_history",
            (
                _must("opportunity_id", references="opportunities"),
                _must("changed_at", "instant"),
                _must("seq", "integer"),
                _has("stage"),
                _must("status", allowed=STATUS),
                _may("amount", "number"),
                _may("expected_close_on", "date"),
                _has("owner"),
                _must("origin", allowed=("history", "entered_dates", "diff", "inferred"), default="history"),
            ),
            ("opportunity_id", "changed_at", "seq"),
        ),
        Table(
            "customers",
            (
                _must("customer_id"),
                _may("segment"),
                _may("source"),
                _may("owner"),
                _may("acquired_at", "instant"),
                _may("acquisition_cost", "number"),
            ),
            ("customer_id",),
        ),
        Table(
            "orders",
            (
                _must("order_id"),
                _must("customer_id", references="customers"),
                _must("at", "instant"),
                _must("amount", "number"),
                _may("margin", "number"),
                _must("currency", default="company.currency"),
                _must("kind", allowed=("sale", "refund"), default="sale"),
                _may("product"),
                _may("refunds_order_id", references="orders"),
            ),
            ("order_id",),
        ),
        Table(
            "contracts",
            (
                _must("contract_id"),
                _must("customer_id", references="customers"),
                _must("start_on", "date"),
                _may("end_on", "date"),  # first day no longer covered
                _must("monthly_amount", "number"),
                _must("currency", default="company.currency"),
            ),
            ("contract_id",),
        ),
        Table("stages", (_must("stage"), _must("position", "integer"), _must("status", allowed=STATUS)), ("stage",)),
        Table("owners", (_must("owner"), _must("team"), _may("from_on", "date"), _may("to_on", "date"))),
        Table("targets", (_must("month"), _must("measure"), _may("team"), _must("amount", "number"))),
        Table("fx", (_must("currency"), _must("from_on", "date"), _must("rate", "number")), ("currency", "from_on")),
        Table(
            "calendars",
            (_may("team"), _must("weekday", "integer"), _must("opens"), _must("closes"), _has("zone"), _has("country")),
        ),
    )
}

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
