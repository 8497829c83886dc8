"""Numbers, shares and money as each language writes them, rounded as readers do by hand."""

from __future__ import annotations

import decimal
from dataclasses import dataclass

from babel.numbers import format_decimal, get_currency_symbol

from kpi.errors import ParameterError
from kpi.presentation.language.translations import LANGUAGES, NARROW, NBSP, translations
from kpi.schema import N_

MISSING, MINUS = "–", "\u2212"
Number = float | decimal.Decimal


def missing(value: object) -> bool:
    """Say whether a value is None, NaN, NaT or NA."""
    try:
        return value is None or bool(value != value)
    except TypeError:  # pandas' NA refuses to be a bool
        return True


def rounded(value: Number, digits: int) -> decimal.Decimal:
    """Round half up, as readers do by hand."""
    exact = decimal.Decimal(str(value)).quantize(decimal.Decimal(1).scaleb(-digits), decimal.ROUND_HALF_UP)
    return exact if exact else abs(exact)


@dataclass(frozen=True)
class Numbers:
    """How one language writes numbers, shares and money."""

    lang: str = "en"

    def __post_init__(self) -> None:
        if self.lang not in LANGUAGES:
            raise ParameterError(f"language {self.lang!r} is unknown; choose one of {', '.join(LANGUAGES)}")

    def number(self, value: Number | None, digits: int = 0, *, signed: bool = False) -> str:
        """Write a number with its thousands set apart."""
        if value is None or missing(value):
            return MISSING
        exact = rounded(value, digits)
        return _sign(exact, signed) + format_decimal(abs(exact), "#,##0" + ("." + "0" * digits if digits else ""), locale=self.lang)

    def number_range(self, low: Number | None, high: Number | None, digits: int = 0) -> str:
        """Write an interval of numbers."""
        if low is None or high is None or missing(low) or missing(high):
            return MISSING
        if min(rounded(low, digits), rounded(high, digits)) < 0:
            return self._from_to(*(self.number(end, digits, signed=True) for end in (low, high)))
        return "–".join(dict.fromkeys(self.number(end, digits) for end in (low, high)))

    def percent(self, share: float | None, digits: int = 0, *, signed: bool = False) -> str:
        """Write a share as a percentage."""
        return self._with_percent_sign(self.number(_hundredfold(share), digits, signed=signed))

    def percent_range(self, low: float | None, high: float | None, digits: int = 0) -> str:
        """Write an interval of shares, its unit once."""
        return self._with_percent_sign(self.number_range(_hundredfold(low), _hundredfold(high), digits))

    def money(self, amount: float | None, currency: str, *, signed: bool = False) -> str:
        """Write an amount, short enough to be read at a glance; with its sign if it is a change."""
        if amount is None or missing(amount):
            return MISSING
        power, digits = _shortened(abs(amount))
        exact = rounded(amount / 1000**power, digits)
        return _sign(exact, signed) + self._with_currency(self.number(abs(exact), digits), power, currency)

    def money_range(self, low: float | None, high: float | None, currency: str) -> str:
        """Write an interval of amounts, in one unit."""
        if low is None or high is None or missing(low) or missing(high):
            return MISSING
        power, digits = _shortened(max(abs(low), abs(high)))
        if power == 1:
            digits = 0
        ends = [rounded(end / 1000**power, digits) for end in (low, high)]
        if ends[0] == ends[1]:
            return self.money(low, currency)
        if min(ends) < 0 and self.lang == "en":
            return self._from_to(*(_sign(end, True) + self._with_currency(self.number(abs(end), digits), power, currency) for end in ends))
        return self._with_currency(self.number_range(ends[0], ends[1], digits), power, currency)

    def _from_to(self, low: str, high: str) -> str:
        text = N_("{low} to {high}")
        return translations(self.lang).get(text, (text,))[0].format(low=low, high=high)

    def _with_percent_sign(self, number: str) -> str:
        return number if number == MISSING else number + ("%" if self.lang == "en" else NARROW + "%")

    def _with_currency(self, number: str, power: int, currency: str) -> str:
        symbol, scale = get_currency_symbol(currency, self.lang), ("", "k", "M")[power]
        if self.lang == "fr":
            return number + NBSP + scale + symbol
        return symbol + (NBSP if symbol[-1:].isalpha() else "") + number + scale


def _hundredfold(share: float | None) -> decimal.Decimal | None:
    """Turn a share into a percentage, exactly: .285 * 100 is 28.499999999999996 in floats."""
    return None if share is None or missing(share) else decimal.Decimal(str(share)) * 100


def _sign(value: decimal.Decimal, signed: bool) -> str:
    return MINUS if value < 0 else "+" if signed and value > 0 else ""


def _shortened(size: float) -> tuple[int, int]:
    """Choose by its size once rounded how an amount is shortened: its power of a thousand, and its digits."""
    power = 0 if rounded(size, 0) < 10_000 else 1 if rounded(size / 1000, 0) < 10_000 else 2
    return power, 1 if power and rounded(size / 1000**power, 1) < 100 else 0
