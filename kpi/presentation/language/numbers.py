"""Rounding as readers do it by hand, and signs."""

from __future__ import annotations

import decimal

from babel.numbers import format_decimal

MISSING, MINUS = "–", "\u2212"


def missing(value: object) -> bool:
    """Say whether a value is None, NaN, NaT or NA."""
    try:
        return value is None or bool(value != value)
    except TypeError:  # pandas' NA refuses to be a bool
        return True


def written(value: float, digits: int, lang: str, *, signed: bool = False) -> str:
    """Write a number with its thousands set apart."""
    exact = rounded(value, digits)
    return sign(exact, signed) + format_decimal(abs(exact), "#,##0" + ("." + "0" * digits if digits else ""), locale=lang)


def rounded(value: float | decimal.Decimal, digits: int) -> decimal.Decimal:
    """Round half up, as readers do by hand."""
    exact = decimal.Decimal(str(value)).quantize(decimal.Decimal(1).scaleb(-digits), decimal.ROUND_HALF_UP)
    return exact if exact else abs(exact)


def hundredfold(share: float) -> decimal.Decimal:
    """Turn a share into a percentage, exactly: .285 * 100 is 28.499999999999996 in floats."""
    return decimal.Decimal(str(share)) * 100


def sign(value: decimal.Decimal, signed: bool) -> str:
    """Write the sign of a number."""
    return MINUS if value < 0 else "+" if signed and value > 0 else ""


def compact(size: float) -> tuple[int, int]:
    """Choose how an amount is shortened, by its size once rounded."""
    if rounded(size, 0) < 10_000:
        return 0, 0
    if rounded(size / 1000, 0) < 10_000:
        return 1, 1 if rounded(size / 1000, 1) < 100 else 0
    return 2, 1 if rounded(size / 1_000_000, 1) < 100 else 0
