"""Numbers, dates, money and sentences in English and in French: every text a reader sees is made here.

English is written in the code; French is looked up in ``locale/fr/LC_MESSAGES/kpi.po``. Everything comes back as plain text: making it safe
for a page is the page's work.
"""

from __future__ import annotations

import datetime as dt
import decimal
import functools
import numbers
import re
import string
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

from babel.dates import format_date, get_timezone_location
from babel.lists import format_list
from babel.messages.pofile import read_po
from babel.numbers import format_decimal, get_currency_symbol

from kpi.errors import ParameterError

LANGUAGES = ("en", "fr")
MISSING = "–"
MINUS, NBSP, NARROW = "\u2212", "\u00a0", "\u202f"
LOCALE = Path(__file__).parent / "locale"


def N_(text: str) -> str:
    """Mark a text for translation where it is written, to be said later.

    Parameters
    ----------
    text : str
        English text, as a literal.

    Returns
    -------
    str
        `text`, unchanged.
    """
    return text


@dataclass(frozen=True)
class Words:
    """How one language says things; the same object goes through tables, plots and pages.

    Parameters
    ----------
    lang : str
        ``en`` or ``fr``.

    Raises
    ------
    ParameterError
        If the kit does not speak that language.

    Examples
    --------
    >>> words = Words("en")
    >>> words.money(1_486_000, "EUR"), words.percent_range(0.294, 0.382), words.duration(14_040)
    ('€1,486k', '29–38%', '3 h 54')
    """

    lang: str = "en"

    def __post_init__(self) -> None:
        if self.lang not in LANGUAGES:
            raise ParameterError(f"language {self.lang!r} is unknown; choose one of {', '.join(LANGUAGES)}")

    # ---- sentences ----

    def note(self, text: str) -> str:
        """Mark a text for translation, as `N_` does.

        Parameters
        ----------
        text : str
            English text, as a literal.

        Returns
        -------
        str
            `text`, unchanged.
        """
        return text

    def translate(self, text: str) -> str:
        """Say a fixed text in this language: a Markdown cell, the name of a KPI.

        Parameters
        ----------
        text : str
            English text; braces in it mean nothing.

        Returns
        -------
        str
            Its translation, or `text` itself where there is none.
        """
        found = _catalogue(self.lang).get(text, text)
        return found if isinstance(found, str) else found[0]

    def say(self, text: str, /, **values) -> str:
        """Say a sentence in this language, with its values filled in.

        Parameters
        ----------
        text : str
            English sentence with named places, as a literal, e.g. ``"Answered within {delay}"``.
        **values
            One text (or whole number) for each place; other numbers and dates are to be formatted first, by the methods below.

        Returns
        -------
        str
            Plain text.

        Raises
        ------
        KeyError
            If places and values do not match.
        ParameterError
            If a value is neither text nor a whole number.
        """
        return self._fill(self.translate(text), values)

    def say_n(self, one: str, many: str, n: int, /, **values) -> str:
        """Say a sentence about a count, in the singular or the plural.

        Parameters
        ----------
        one, many : str
            English sentence for one and for several, both as literals; ``{n}`` is the count.
        n : int
            The count; 0 is plural in English and singular in French.
        **values
            One text (or whole number) for each further place.

        Returns
        -------
        str
            Plain text.

        Raises
        ------
        KeyError
            If places and values do not match.
        ParameterError
            If a value is neither text nor a whole number.
        """
        plural = abs(n) >= 2 if self.lang == "fr" else n != 1
        found = _catalogue(self.lang).get(one, (one, many))
        text = found if isinstance(found, str) else found[plural]
        return self._fill(text, {**values, "n": self.number(n)} if "n" in placeholders(text) else values)

    def _fill(self, text: str, values: dict) -> str:
        if placeholders(text) != values.keys():
            raise KeyError(f"{text!r} has places {sorted(placeholders(text))}, got values {sorted(values)}")
        return text.format(**{name: self._plain(name, value) for name, value in values.items()})

    def _plain(self, name: str, value: object) -> str:
        if isinstance(value, str):
            return value
        if isinstance(value, numbers.Integral) and not isinstance(value, bool):
            return self.number(int(value))
        raise ParameterError(f"{name} is {value!r}; say it first with number, percent, money, date, … of Words")

    def sentence(self, text: str) -> str:
        """Begin a sentence: the first letter becomes a capital.

        Parameters
        ----------
        text : str
            Any text, e.g. ``octobre 2026``.

        Returns
        -------
        str
            The text with its first letter in upper case, the rest unchanged.
        """
        return text[:1].upper() + text[1:]

    def listing(self, items: Iterable[str]) -> str:
        """Enumerate: "a, b and c".

        Parameters
        ----------
        items : iterable of str
            What to enumerate, in order.

        Returns
        -------
        str
            Empty when there is nothing.
        """
        return format_list([str(item) for item in items], locale="en_GB" if self.lang == "en" else self.lang)

    # ---- numbers ----

    def number(self, value: float | None, digits: int = 0, *, signed: bool = False) -> str:
        """Write a number with its thousands set apart.

        Parameters
        ----------
        value : float or None
            A missing one gives "–".
        digits : int
            Decimals, always that many.
        signed : bool
            Put a plus before what is above zero: the number is a change.

        Returns
        -------
        str
            E.g. ``1,234.5`` and ``1 234,5``.
        """
        if missing(value):
            return MISSING
        exact = _rounded(value, digits)
        text = format_decimal(abs(exact), "#,##0" + ("." + "0" * digits if digits else ""), locale=self.lang)
        return _sign(exact, signed) + text

    def number_range(self, low: float | None, high: float | None, digits: int = 0) -> str:
        """Write an interval of numbers.

        Parameters
        ----------
        low, high : float or None
            Its ends; if one is missing, "–".
        digits : int
            Decimals.

        Returns
        -------
        str
            E.g. ``340–476``; with a negative end ``−14 to +12``, since a dash before a minus is hard to read.
        """
        return self._range(low, high, lambda value, signed: self.number(value, digits, signed=signed), "", digits)

    def percent(self, value: float | None, digits: int = 0, *, signed: bool = False) -> str:
        """Write a share as a percentage.

        Parameters
        ----------
        value : float or None
            Share in [0, 1]; a missing one gives "–".
        digits : int
            Decimals of the percentage.
        signed : bool
            Put a plus before what is above zero.

        Returns
        -------
        str
            E.g. ``34%`` and ``34 %``.
        """
        return MISSING if missing(value) else self.number(_hundredfold(value), digits, signed=signed) + self._percent_sign

    def percent_range(self, low: float | None, high: float | None, digits: int = 0) -> str:
        """Write an interval of shares, its unit once.

        Parameters
        ----------
        low, high : float or None
            Ends in [0, 1]; if one is missing, "–".
        digits : int
            Decimals of the percentages.

        Returns
        -------
        str
            E.g. ``29–38%`` and ``29–38 %``.
        """
        return self._range(low, high, lambda value, signed: self.number(_hundredfold(value), digits, signed=signed), self._percent_sign, digits + 2)

    @property
    def _percent_sign(self) -> str:
        return "%" if self.lang == "en" else NARROW + "%"

    def _range(self, low, high, write, unit: str, digits: int) -> str:
        if missing(low) or missing(high):
            return MISSING
        if min(_rounded(low, digits), _rounded(high, digits)) < 0:
            return self.say("{low} to {high}", low=write(low, True), high=write(high, True)) + unit
        ends = [write(low, False), write(high, False)]
        return (ends[0] if ends[0] == ends[1] else "–".join(ends)) + unit

    # ---- money ----

    def money(self, value: float | None, currency: str, *, signed: bool = False) -> str:
        """Write an amount, short enough to be read at a glance.

        Parameters
        ----------
        value : float or None
            Amount in `currency`; a missing one gives "–".
        currency : str
            ISO code, e.g. ``EUR``.
        signed : bool
            Put a plus before what is above zero.

        Returns
        -------
        str
            In full under 10,000 (``€2,361``), then in thousands (``€13.6k``, ``€1,486k``), from ten million on in millions (``€14.9M``).
        """
        if missing(value):
            return MISSING
        power, digits = _compact(abs(value))
        exact = _rounded(value / 1000**power, digits)
        return _sign(exact, signed) + self._with_currency(self.number(abs(exact), digits), power, currency)

    def money_change(self, value: float | None, currency: str) -> str:
        """Write a change of an amount with its sign.

        Parameters
        ----------
        value : float or None
            Change in `currency`; a missing one gives "–".
        currency : str
            ISO code.

        Returns
        -------
        str
            E.g. ``+€31.0k``, ``−€109k``, ``−109 k€``.
        """
        return self.money(value, currency, signed=True)

    def money_range(self, low: float | None, high: float | None, currency: str) -> str:
        """Write an interval of amounts, in one unit.

        Parameters
        ----------
        low, high : float or None
            Ends in `currency`; if one is missing, "–".
        currency : str
            ISO code.

        Returns
        -------
        str
            E.g. ``€271–458k`` and ``271–458 k€``.
        """
        if missing(low) or missing(high):
            return MISSING
        power, digits = _compact(max(abs(low), abs(high)))
        if power == 1:
            digits = 0
        ends = [_rounded(end / 1000**power, digits) for end in (low, high)]
        if ends[0] == ends[1]:
            return self.money(low, currency)
        if min(ends) >= 0:
            return self._with_currency("–".join(self.number(end, digits) for end in ends), power, currency)
        if self.lang == "en":
            signed = [_sign(end, True) + self._with_currency(self.number(abs(end), digits), power, currency) for end in ends]
            return self.say("{low} to {high}", low=signed[0], high=signed[1])
        signed = [self.number(end, digits, signed=True) for end in ends]
        return self._with_currency(self.say("{low} to {high}", low=signed[0], high=signed[1]), power, currency)

    def _with_currency(self, number: str, power: int, currency: str) -> str:
        symbol, scale = get_currency_symbol(currency, self.lang), ("", "k", "M")[power]
        if self.lang == "fr":
            return number + NBSP + scale + symbol
        return symbol + (NBSP if symbol[-1:].isalpha() else "") + number + scale

    # ---- time ----

    def days(self, n: float | None) -> str:
        """Write a length in days.

        Parameters
        ----------
        n : float or None
            Days; a missing number gives "–".

        Returns
        -------
        str
            E.g. ``1 day``, ``1.6 days``, ``20 days``; one decimal under 10 where there is one.
        """
        if missing(n):
            return MISSING
        exact = _rounded(n, 1)
        digits = 1 if abs(exact) < 10 and exact % 1 else 0
        unit = self.say_n("day", "days", _rounded(n, digits))
        return self.number(n, digits) + NBSP + unit

    def duration(self, seconds: float | None) -> str:
        """Write how long something took.

        Parameters
        ----------
        seconds : float or None
            A missing one gives "–".

        Returns
        -------
        str
            E.g. ``45 s``, ``55 min``, ``3 h 54``, ``2 days``.
        """
        if missing(seconds):
            return MISSING
        if seconds < 59.5:
            return self.number(seconds) + NBSP + "s"
        minutes = int(_rounded(seconds / 60, 0))
        if minutes < 60:
            return self.number(minutes) + NBSP + "min"
        if minutes < 24 * 60:
            hours, rest = divmod(minutes, 60)
            return f"{hours}{NBSP}h" + (f"{NBSP}{rest:02d}" if rest else "")
        return self.days(seconds / 86_400)

    def date(self, day: dt.date | None) -> str:
        """Write a date in full.

        Parameters
        ----------
        day : date or None
            A missing one gives "–".

        Returns
        -------
        str
            ``1 November 2026``, ``1er novembre 2026``.
        """
        if missing(day):
            return MISSING
        first = "1er" if self.lang == "fr" and day.day == 1 else str(day.day)
        return f"{first}{NBSP}{format_date(day, 'MMMM y', locale=self.lang)}"

    def month(self, month: object) -> str:
        """Write a month with its year.

        Parameters
        ----------
        month : str, Month or date
            ``2026-10``, whatever prints so, or a date in it.

        Returns
        -------
        str
            ``October 2026``, ``octobre 2026``.
        """
        return format_date(_first_day(month), "LLLL y", locale=self.lang)

    def month_short(self, month: object) -> str:
        """Write the name of a month, short.

        Parameters
        ----------
        month : str, Month or date
            ``2026-10``, whatever prints so, or a date in it.

        Returns
        -------
        str
            ``Oct``, ``oct.``.
        """
        return format_date(_first_day(month), "LLL", locale=self.lang)

    def weekday(self, number: int) -> str:
        """Write the name of a day of the week, short.

        Parameters
        ----------
        number : int
            0 is Monday.

        Returns
        -------
        str
            ``Mon``, ``lun.``.
        """
        return format_date(dt.date(2024, 1, 1 + number), "EEE", locale=self.lang)  # 1 January 2024 was a Monday

    def clock(self, time: dt.time | dt.datetime) -> str:
        """Write a time of day.

        Parameters
        ----------
        time : time or datetime
            Local time.

        Returns
        -------
        str
            ``09:03``; ``9 h 03``.
        """
        if self.lang == "en":
            return f"{time.hour:02d}:{time.minute:02d}"
        return f"{time.hour}{NBSP}h" + (f"{NBSP}{time.minute:02d}" if time.minute else "")

    def when(self, at: dt.datetime | None, zone: str) -> str:
        """Write an instant of the last months in local time.

        Parameters
        ----------
        at : datetime or None
            Naive UTC (or with a zone of its own); a missing one gives "–".
        zone : str
            Zone of the reader, e.g. ``Europe/Paris``.

        Returns
        -------
        str
            ``Mon 12 Oct, 09:03``; ``lun. 12 oct., 9 h 03``.
        """
        if missing(at):
            return MISSING
        local = _local(at, zone)
        return f"{format_date(local, 'EEE d MMM', locale=self.lang)}, {self.clock(local)}".replace(" ", NBSP, 2)

    def moment(self, at: dt.datetime | None, zone: str) -> str:
        """Write an instant in full, with the place whose clock it is.

        Parameters
        ----------
        at : datetime or None
            Naive UTC (or with a zone of its own); a missing one gives "–".
        zone : str
            Zone of the reader, e.g. ``Europe/Paris``.

        Returns
        -------
        str
            ``1 November 2026, 00:00 Paris``; ``1er novembre 2026, 0 h, heure de Paris``.
        """
        if missing(at):
            return MISSING
        local, place = _local(at, zone), get_timezone_location(zone, locale=self.lang, return_city=True)
        return self.say("{date}, {clock} {place}", date=self.date(local), clock=self.clock(local), place=place)


def missing(value: object) -> bool:
    """Say whether a value is None, NaN, NaT or NA.

    Parameters
    ----------
    value : object
        One value, not a column.

    Returns
    -------
    bool
        True when there is nothing to write.
    """
    try:
        return value is None or bool(value != value)
    except TypeError:  # pandas' NA refuses to be a bool
        return True


def placeholders(text: str) -> set[str]:
    """List the named places of a sentence.

    Parameters
    ----------
    text : str
        E.g. ``"{n} leads wait"``.

    Returns
    -------
    set of str
        E.g. ``{"n"}``.
    """
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


@functools.cache
def _catalogue(lang: str) -> dict[str, str | tuple[str, str]]:
    """Read the translations by English text, of plural sentences both forms."""
    if lang == "en":
        return {}
    with (LOCALE / lang / "LC_MESSAGES" / "kpi.po").open("rb") as file:
        messages = [message for message in read_po(file, locale=lang) if message.id and message.string and not message.fuzzy]
    return {
        message.id if isinstance(message.id, str) else message.id[0]: _typeset(message.string)
        if isinstance(message.string, str)
        else tuple(_typeset(form) for form in message.string)
        for message in messages
        if all(message.string)
    }


def _typeset(french: str) -> str:
    """Set the fine spaces of French, so that the catalogue can be typed with plain ones."""
    text = re.sub(r" ([?!;%»])", rf"{NARROW}\1", french)
    text = re.sub(r" :(?![-|])", f"{NBSP}:", text)  # but not the rule under a Markdown table's head
    return re.sub(r"(?<=\w)'(?=\w)", "’", text.replace("« ", "«" + NARROW))


def _rounded(value: float, digits: int) -> decimal.Decimal:
    """Round half up, as readers do by hand; never minus zero."""
    exact = decimal.Decimal(str(value)).quantize(decimal.Decimal(1).scaleb(-digits), decimal.ROUND_HALF_UP)
    return exact if exact else abs(exact)


def _hundredfold(share: float) -> decimal.Decimal:
    return decimal.Decimal(str(share)) * 100  # .285 * 100 is 28.499999999999996 in floats


def _sign(value: decimal.Decimal, signed: bool) -> str:
    return MINUS if value < 0 else "+" if signed and value > 0 else ""


def _compact(size: float) -> tuple[int, int]:
    """Power of a thousand and decimals for an amount, by its size once rounded."""
    if _rounded(size, 0) < 10_000:
        return 0, 0
    if _rounded(size / 1000, 0) < 10_000:
        return 1, 1 if _rounded(size / 1000, 1) < 100 else 0
    return 2, 1 if _rounded(size / 1_000_000, 1) < 100 else 0


def _first_day(month: object) -> dt.date:
    return month if isinstance(month, dt.date) else dt.date.fromisoformat(f"{month}-01")


def _local(at: dt.datetime, zone: str) -> dt.datetime:
    return (at if at.tzinfo else at.replace(tzinfo=dt.UTC)).astimezone(ZoneInfo(zone))
