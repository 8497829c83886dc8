"""What all pages share: month, language, currency and zone; the section that gives way when its table is missing; the account of rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import pandas as pd

from kpi.errors import MissingTable, MissingTime
from kpi.periods import Month, Window
from kpi.presentation.blocks import Absent, Closing, NoData, Opening
from kpi.presentation.language import Words
from kpi.schema import BLANK, N_

PAGES = {
    "pulse": N_("Pulse"),
    "response_time": N_("Response time"),
    "pipeline": N_("Pipeline"),
    "retention": N_("Retention"),
}


@dataclass(frozen=True)
class About:
    """What a page is about."""

    words: Words
    company: str
    currency: str
    zone: str
    month: Month
    as_of: pd.Timestamp
    restricted: str
    is_simulated: bool
    hours: list
    is_contractual: bool = False
    lacking: set = field(default_factory=set, compare=False)

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
    def quarters(self) -> Window:
        """Eight whole quarters and what there is of the running one."""
        running = self.month.number - self.month.number % 3
        return Window(Month.of(running - 24).start, self.month.end)

    @property
    def quarter_a_year_ago(self) -> Window:
        """The 90 days that ended a year before the date of the report."""
        return self._days_a_year_ago(90)

    @property
    def half_year_a_year_ago(self) -> Window:
        """The 180 days that ended a year before the date of the report."""
        return self._days_a_year_ago(180)

    def _days_a_year_ago(self, days: int) -> Window:
        end = self.month.shift(-12).end
        return Window(end - timedelta(days=days), end)

    def opening(self, page: str, answer: str, lede: str = "") -> Opening:
        """Begin a page."""
        say = self.words.say
        parts = [self.words.sentence(self.words.month(self.month)), self.words.translate(PAGES[page]), self.restricted]
        known = say("as known on {moment}", moment=self.words.moment(self.as_of, self.zone))
        band = say("Simulated company: every number, name and company on this page is invented.") if self.is_simulated else ""
        return Opening(" · ".join([part for part in parts if part] + [known]), answer, lede, band)


def about(data, month: str = "", lang: str = "") -> About:
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
    from kpi import periods

    company, reported = data.company, data.month(month)
    restricted = ", ".join(f"{name}={value}" for name, value in data.restricted_to.items())
    return About(
        words=Words(lang or company.language),
        company=company.name,
        currency=company.currency,
        zone=company.timezone,
        month=reported,
        as_of=data.as_of(reported),
        restricted=restricted,
        is_simulated=company.simulated,
        hours=periods.open_windows(data.hours),
        is_contractual=data.settings.get("retention", {}).get("contractual", False),
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
    from IPython.display import display

    try:
        yield
    except MissingTable as lack:
        say = about.words.say
        if isinstance(lack, MissingTime):
            place = f"`{lack.table}.{lack.column}`"
            reason = say("No data: {place} has dates without a time of day, so minutes and hours are not known.", place=place)
        elif lack.column:
            reason = say("No data: the table {table} has no column {column}.", table=f"`{lack.table}`", column=f"`{lack.column}`")
        else:
            reason = say("No data: the data set has no table {table}.", table=f"`{lack.table}`")
        if page:
            about.lacking.add(lack.table)
            title = about.words.translate(PAGES[page])
            display(about.opening(page, say("{page}: the data do not say.", page=title), reason.replace("`", "")))
        else:
            if lack.table == only and about.is_contractual == (only == "orders"):
                display(Absent(reason))
                return
            rest = "" if lack.table in about.lacking else " " + say("The rest of the page does not depend on it.")
            display(NoData(reason + rest))


def closing(about: About, ledger: pd.DataFrame, *, tables: list[str], notes: list[str] | None = None) -> Closing:
    """End a page: the rows it rests on, and where to find more."""
    words = about.words
    sentences = [_account(words, name, ledger[ledger["table"] == name]) for name in tables if (ledger["table"] == name).any()]
    links = [(words.say("numbers and definitions"), "metrics.json"), (words.say("inputs and versions"), "manifest.json")]
    read = " ".join(sentences)
    return Closing([text for text in (words.say("Rows read: {account}", account=read) if read else "", *(notes or [])) if text], links)


def _account(words: Words, table: str, rows: pd.DataFrame) -> str:
    found, used, aside = int(rows["found"].max()), int(rows["used"].max()), rows[rows["set_aside"] > 0]
    name = words.translate(TABLE_NAMES.get(table, table))
    if aside.empty:
        return words.say("{found} {table}, all used.", found=found, table=name)
    named = [words.say(row.message, column=row.column) if row.column else words.translate(row.message) for row in aside.itertuples()]
    reasons = words.listing(f"{words.number(int(n))} {reason}" for n, reason in zip(aside["set_aside"], named, strict=True))
    total = int(aside["set_aside"].sum())
    return words.say(
        "{found} {table} = {used} used + {total} set aside ({reasons}).", found=found, table=name, used=used, total=total, reasons=reasons
    )


TABLE_NAMES = {
    "leads": N_("leads"),
    "activities": N_("activities"),
    "opportunities": N_("opportunities"),
    "opportunity_history": N_("changes of opportunities"),
    "customers": N_("customers"),
    "orders": N_("orders"),
    "contracts": N_("contracts"),
}


def end_label(words: Words, name: str, row: pd.Series) -> str:
    """Name a curve at its end, with its value where there is one."""
    if pd.isna(row["value"]):
        return name
    return f"{name}\n{words.percent(row['value'])} ({words.percent_range(row['low'], row['high'])})"


def quarter_name(words, quarter: str) -> str:
    """Name a quarter as the reader's language does."""
    return words.say("Q{quarter} {year}", quarter=quarter[-1], year=quarter[:4])


def unstable(months: pd.DataFrame) -> bool:
    """Tell whether the months that set the limits are themselves mostly no common process, so that nothing is usual."""
    return bool(len(months) > 1 and months["signal"].iloc[:-1].mean() > 0.25)


def differ(one: pd.Series, other: pd.Series) -> int:
    """Tell whether two estimates differ by more than chance: their intervals do not overlap."""
    if one["low"] > other["high"]:
        return 1
    return -1 if one["high"] < other["low"] else 0


def named(words: Words, value: str) -> str:
    """Write the name of a group, which may be that of the empty cells."""
    return words.say("(blank)") if value == BLANK else str(value)
