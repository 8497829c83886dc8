"""Tables as CSV files that open in a spreadsheet with a double click, and in which a cell is never taken for a formula."""

from __future__ import annotations

import csv
import datetime as dt
import io
import math
import numbers

import pandas as pd

from kpi.presentation.language import Words, missing

BOM = "\ufeff"  # tells Excel that the file is UTF-8
# A spreadsheet takes what begins so for a formula; the last four are the full-width forms that East Asian versions accept too.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
DIGITS = 6


def csv_text(table: pd.DataFrame, words: Words, zone: str) -> str:
    """Write a table for a spreadsheet."""
    comma = words.lang == "fr"
    out = io.StringIO()
    out.write(BOM)
    writer = csv.writer(out, delimiter=";" if comma else ",", quoting=csv.QUOTE_NONNUMERIC, lineterminator="\r\n")
    writer.writerow([harmless(str(name)) for name in table.columns])
    for row in _local(table, zone).itertuples(index=False, name=None):
        writer.writerow([_cell(value, comma) for value in row])
    return out.getvalue()


def harmless(text: str) -> str:
    """Keep a spreadsheet from running a text."""
    return f"'{text}" if text.startswith(FORMULA) else text


def _local(table: pd.DataFrame, zone: str) -> pd.DataFrame:
    instants = table.select_dtypes("datetime").columns
    local = {name: table[name].dt.tz_localize("UTC").dt.tz_convert(zone).dt.tz_localize(None) for name in instants}
    return table.assign(**local).astype(object)


def _cell(value: object, comma: bool) -> object:
    if missing(value):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return _decimal(float(value), comma)
    if isinstance(value, dt.datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    return value.isoformat() if isinstance(value, dt.date) else harmless(str(value))


def _decimal(value: float, comma: bool) -> object:
    if not math.isfinite(value):
        return ""
    rounded = round(value, DIGITS)
    if rounded.is_integer():
        return int(rounded)
    return f"{rounded:.{DIGITS}f}".rstrip("0").replace(".", ",") if comma else rounded
