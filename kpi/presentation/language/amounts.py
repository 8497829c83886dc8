"""Numbers, shares and money in the reader's language."""

from __future__ import annotations

from babel.numbers import get_currency_symbol

from kpi.presentation.language.numbers import MISSING, compact, hundredfold, missing, rounded, sign, written
from kpi.presentation.language.sentences import Sentences
from kpi.presentation.language.translations import NARROW, NBSP


class Amounts(Sentences):
    """How one language writes numbers, shares and money."""

    def number(self, value: float | None, digits: int = 0, *, signed: bool = False) -> str:
        """Write a number with its thousands set apart."""
        return MISSING if missing(value) else written(value, digits, self.lang, signed=signed)

    def number_range(self, low: float | None, high: float | None, digits: int = 0) -> str:
        """Write an interval of numbers."""
        return self._range(low, high, lambda value, signed: self.number(value, digits, signed=signed), "", digits)

    def percent(self, value: float | None, digits: int = 0, *, signed: bool = False) -> str:
        """Write a share as a percentage."""
        return MISSING if missing(value) else self.number(hundredfold(value), digits, signed=signed) + self._percent_sign

    def percent_range(self, low: float | None, high: float | None, digits: int = 0) -> str:
        """Write an interval of shares, its unit once."""
        return self._range(low, high, lambda value, signed: self.number(hundredfold(value), digits, signed=signed), self._percent_sign, digits + 2)

    @property
    def _percent_sign(self) -> str:
        return "%" if self.lang == "en" else NARROW + "%"

    def _range(self, low, high, write, unit: str, digits: int) -> str:
        if missing(low) or missing(high):
            return MISSING
        if min(rounded(low, digits), rounded(high, digits)) < 0:
            return self.say("{low} to {high}", low=write(low, True), high=write(high, True)) + unit
        ends = [write(low, False), write(high, False)]
        return (ends[0] if ends[0] == ends[1] else "–".join(ends)) + unit

    def money(self, value: float | None, currency: str, *, signed: bool = False) -> str:
        """Write an amount, short enough to be read at a glance."""
        if missing(value):
            return MISSING
        power, digits = compact(abs(value))
        exact = rounded(value / 1000**power, digits)
        return sign(exact, signed) + self._with_currency(self.number(abs(exact), digits), power, currency)

    def money_change(self, value: float | None, currency: str) -> str:
        """Write a change of an amount with its sign."""
        return self.money(value, currency, signed=True)

    def money_range(self, low: float | None, high: float | None, currency: str) -> str:
        """Write an interval of amounts, in one unit."""
        if missing(low) or missing(high):
            return MISSING
        power, digits = compact(max(abs(low), abs(high)))
        if power == 1:
            digits = 0
        ends = [rounded(end / 1000**power, digits) for end in (low, high)]
        if ends[0] == ends[1]:
            return self.money(low, currency)
        if min(ends) >= 0:
            return self._with_currency("–".join(self.number(end, digits) for end in ends), power, currency)
        if self.lang == "en":
            signed = [sign(end, True) + self._with_currency(self.number(abs(end), digits), power, currency) for end in ends]
            return self.say("{low} to {high}", low=signed[0], high=signed[1])
        signed = [self.number(end, digits, signed=True) for end in ends]
        return self._with_currency(self.say("{low} to {high}", low=signed[0], high=signed[1]), power, currency)

    def _with_currency(self, number: str, power: int, currency: str) -> str:
        symbol, scale = get_currency_symbol(currency, self.lang), ("", "k", "M")[power]
        if self.lang == "fr":
            return number + NBSP + scale + symbol
        return symbol + (NBSP if symbol[-1:].isalpha() else "") + number + scale
