"""What all pages share: month, language, currency and zone; the section that gives way when its table is missing; the account of rows."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import IPython.display
import pandas as pd

from kpi.errors import MissingLink, MissingTable, MissingTime, why_missing
from kpi.periods import Month, Window, open_windows
from kpi.presentation.blocks import Absent, Closing, NoData, Opening
from kpi.presentation.blocks.tables import DisplayColumn, DisplayTable, TableWriter, estimate
from kpi.presentation.language import NAMES, Words

FAULTS = "application/vnd.kpi.faults+json"  # media type of what a page says to the run alone
PAGES = NAMES["pages"]
TABLES: Mapping[str, Mapping[str, Any]] = tomllib.loads(Path(__file__).with_name("tables.toml").read_text("utf-8"))


class ReportedCompany(Protocol):
    """What a page asks of the company."""

    @property
    def language(self) -> str: ...
    @property
    def currency(self) -> str: ...
    @property
    def fiscal_year_starts(self) -> int: ...
    @property
    def timezone(self) -> str: ...
    @property
    def simulated(self) -> bool: ...


class Reported(Protocol):
    """What a page asks of a data set."""

    hours: Mapping[str, Sequence[str]]
    settings: Mapping[str, Mapping[str, object]]
    restricted_to: dict[str, str]

    @property
    def company(self) -> ReportedCompany: ...
    def month(self, month: str = "") -> Month: ...
    def has(self, table: str, column: str = "") -> bool: ...
    def first_month(self, table: str = "") -> Month: ...
    def as_of(self, month: Month) -> pd.Timestamp: ...


@dataclass(frozen=True)
class About(TableWriter):
    """What a page is about."""

    month: Month
    as_of: pd.Timestamp
    restricted: str
    is_simulated: bool
    hours: list[list[tuple[int, int]]]
    is_contractual: bool = False
    months_before: int = 12
    fiscal_year_starts: int = 1
    lacking: set[str] = field(default_factory=set, compare=False)
    faults: dict[str, str] = field(default_factory=dict, compare=False)

    @property
    def window(self) -> Window:
        """The month reported."""
        return self.month.window

    @property
    def year_before(self) -> Window:
        """The twelve months before it."""
        return self.month.before(12)

    @property
    def year(self) -> Window:
        """The twelve months that end with it."""
        return self.month.last(12)

    @property
    def two_years(self) -> Window:
        """The twenty-four months that end with it."""
        return self.month.last(24)

    @property
    def in_quarter(self) -> int:
        """Months of the running quarter before the month."""
        return (self.month.number - self.fiscal_year_starts + 1) % 3

    @property
    def quarters(self) -> Window:
        """Eight whole quarters and what there is of the running one."""
        return Window(Month.of(self.month.number - self.in_quarter - 24).start, self.month.end)

    def year_ago(self, days: int) -> Window:
        """So many days that ended a year before the date of the report."""
        end = self.month.shift(-12).end
        return Window(end - timedelta(days=days), end)

    def money(self, value: float | None) -> str:
        """Write an amount in the company's currency."""
        return self.words.money(value, self.currency)

    def written(self, value: float | None, unit: str, digits: int = 0) -> str:
        """Write a value in its unit: money, rate, or a plain number."""
        if unit == "money":
            return self.money(value)
        return self.words.percent(value, digits) if unit == "rate" else self.words.number(value, digits)

    def named_table(self, name: str, result: pd.DataFrame, *, total: pd.DataFrame | None = None, more: str = "", **parts: object) -> DisplayTable:
        """Lay out a result as the table of that name in ``tables.toml``: the parts stand in its texts, `more` behind its note."""
        told = TABLES[name]
        columns = [column for one in told["columns"] for column in self._columns(one, parts)]
        title, note = (self.words.say_some(told.get(text, ""), parts) for text in ("title", "note"))
        note = " · ".join(text for text in (note, more) if text)
        return self.table(result, columns, title=title, note=note, total=total, limit=told.get("limit", 10), whole=told.get("whole", ""))

    def _columns(self, told: Mapping[str, Any], parts: Mapping[str, object]) -> list[DisplayColumn]:
        said = {**told, "label": self.words.say_some(told["label"], parts)}
        return [DisplayColumn(**said)] if "name" in told else estimate(self.words, **said)

    def opening(self, page: str, answer: str, lede: str = "") -> Opening:
        """Begin a page."""
        say = self.words.say
        then = say("by owner and team at the time") if re.search("(owner|team)=", self.restricted) else ""
        parts = [self.words.sentence(self.words.month(self.month)), self.words.translate(PAGES[page]), self.restricted, then]
        known = say("as known on {moment}", moment=self.words.moment(self.as_of, self.zone))
        band = say("Simulated company: every number, name and company on this page is invented.") if self.is_simulated else ""
        return Opening(" · ".join([part for part in parts if part] + [known]), answer, lede, band)


def about(data: Reported, month: str = "", lang: str = "") -> About:
    """Settle what a page is about.

    Parameters
    ----------
    data : Dataset
        The data set.
    month : str
        Such as ``2026-10``; empty means the last complete month.
    lang : str
        ``en`` or ``fr``; empty means the company's language.

    Returns
    -------
    About

    Raises
    ------
    ParameterError
        If the month or the language is unknown.
    DataError
        If the data do not cover the month.
    """
    company, reported = data.company, data.month(month)
    return About(
        words=Words(lang or company.language),
        currency=company.currency,
        zone=company.timezone,
        month=reported,
        as_of=data.as_of(reported),
        restricted=", ".join(f"{name}={value}" for name, value in data.restricted_to.items()),
        is_simulated=company.simulated,
        hours=open_windows(data.hours),
        fiscal_year_starts=company.fiscal_year_starts,
        months_before=min(12, reported.number - data.first_month("leads").number) if data.has("leads") else 12,
        is_contractual=bool(data.settings.get("retention", {}).get("contractual", False)),
    )


@contextmanager
def section(about: About, page: str = "", only: str = "") -> Iterator[None]:
    """Let one section give way when its table is missing, so that the rest of the page is made.

    Parameters
    ----------
    about : About
        What the page is about.
    page : str
        Key of `PAGES` for the section that opens the page: the page then opens by saying what is missing.
    only : str
        ``orders`` or ``contracts``: the section is about customers of that kind, and where they are of the other one it is left out of the page.

    Yields
    ------
    None
        Use as ``with section(about):`` around the calls and displays of a section.
    """
    try:
        yield
    except MissingTable as lack:
        say, reason = about.words.say, _lacking(about.words, lack)
        if page:
            about.lacking.add(lack.table)
            title = about.words.translate(PAGES[page])
            IPython.display.display(about.opening(page, say("{page}: the data do not say.", page=title), reason.replace("`", "")))
        elif lack.table == only and about.is_contractual == (only == "orders"):
            IPython.display.display(Absent(reason))
        else:
            rest = "" if lack.table in about.lacking else " " + say("The rest of the page does not depend on it.")
            IPython.display.display(NoData(reason + rest))
    except Exception as error:
        _give_way(about, page, error)


def _give_way(about: About, page: str, error: Exception) -> None:
    """Let a section give way to what went wrong in it, here or in the section that it rests on."""
    say = about.words.say
    if (about.faults or about.lacking) and isinstance(error, NameError):
        reason = say("Missing: it rests on a number that is missing above.")
    else:
        reason, trace = why_missing(error)
        if trace:
            about.faults[reason] = f"{reason}\n{trace}"
            reason = say("Missing by {fault}; the run keeps its trace in a file. All else is as it should be.", fault=reason)
    if page:
        about.lacking.add(page)
        title = about.words.translate(PAGES[page])
        IPython.display.display(about.opening(page, say("{page}: not known.", page=title), reason))
    else:
        IPython.display.display(NoData(reason))


def _lacking(words: Words, lack: MissingTable) -> str:
    if isinstance(lack, MissingLink):
        counts = {name: words.number(count) for name, count in lack.counts.items()}
        return words.say(lack.text, **({"table": f"`{lack.table}`", "column": f"`{lack.column}`"} if counts else {}), **counts)
    if isinstance(lack, MissingTime):
        place = f"`{lack.table}.{lack.column}`"
        return words.say("No data: {place} has dates without a time of day, so minutes and hours are not known.", place=place)
    if lack.column:
        return words.say("No data: the table {table} has no column {column}.", table=f"`{lack.table}`", column=f"`{lack.column}`")
    return words.say("No data: the data set has no table {table}.", table=f"`{lack.table}`")


def closing(about: About, ledger: pd.DataFrame, *, tables: list[str], faults: Mapping[str, str] = MappingProxyType({})) -> Closing:
    """End a page: the rows it rests on, and where to find more; faults of the kit go to whoever runs the notebook, not onto the page."""
    words = about.words
    if every := about.faults | dict(faults):
        IPython.display.display({FAULTS: every}, raw=True)
    account = " ".join(_account(words, name, rows) for name in tables if len(rows := ledger[ledger["table"] == name]))
    links = [(words.say("numbers and definitions"), "metrics.json"), (words.say("inputs and versions"), "manifest.json")]
    return Closing([words.say("Rows read: {account}", account=account)] if account else [], links)


def _account(words: Words, table: str, rows: pd.DataFrame) -> str:
    aside, name = rows[rows["set_aside"] > 0], words.translate(TABLE_NAMES.get(table, table))
    found, total = int(rows["found"].sum()), int(aside["set_aside"].sum())
    if not total:
        return words.say("{found} {table}, all used.", found=found, table=name)
    named = [words.say(row.message, column=row.column) if row.column else words.translate(row.message) for row in aside.itertuples()]
    parts = {"found": found, "table": name, "used": int(rows["used"].max()), "total": total}
    parts["reasons"] = words.listing(f"{words.number(int(n))} {reason}" for n, reason in zip(aside["set_aside"], named, strict=True))
    held, kept = (float(some["amount"].sum()) for some in (aside, rows))
    share = " " + words.say("Those set aside hold {share} of the amounts.", share=words.percent(held / kept)) if held else ""
    return words.say("{found} {table} = {used} used + {total} set aside ({reasons}).", **parts) + share


TABLE_NAMES = NAMES["tables"]
