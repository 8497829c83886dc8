"""How the numbers and dates of a column are written: decided from all its values, never per value, refused where it cannot be told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from kpi.errors import DataError
from kpi.sources import sql
from kpi.sources.config import FILE, Source
from kpi.sources.stage import Stage

# Evidence that a comma, or a point, is the decimal sign; S stands for it, T for the other one. Grouping spaces are gone by then.
_EVIDENCE = r"^[-+]?(\d{1,3}(T\d{3})+S\d*|\d{1,3}(T\d{3}){2,}|\d+S\d{0,2}|\d*S\d{4,}|\d{4,}S\d+|0*S\d+)$"
_UNCLEAR = r"^[-+]?[1-9]\d{0,2}[.,]\d{3}$"
_SPACED = " \u00a0\u202f\u2009\u2007\u2002\u2003\u200a\u3000'’"
_PLAIN = r"^[-+]?\d+$"

_TIME = r"[T ] *\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?"
_OFFSET = r" ?(Z|UTC|[-+]\d{2}(:?\d{2})?)"
_ISO = rf"^\d{{4}}([-/])\d{{1,2}}[-/]\d{{1,2}}({_TIME}({_OFFSET})?)?$"
_HAS_OFFSET = rf":\d{{2}}([.,]\d+)?{_OFFSET}$"
_PARTS = r"^\d{1,2}[-/.]\d{1,2}[-/.]\d{4}|^\d{1,2}[/.]\d{1,2}[/.]\d{2}( |$)"
_FIRST_OVER_12 = r"^(1[3-9]|2\d|3[01])[-/.](0?[1-9]|1[0-2])[-/.]\d{2}"
_SECOND_OVER_12 = r"^(0?[1-9]|1[0-2])[-/.](1[3-9]|2\d|3[01])[-/.]\d{2}"
_NOON = r"(?i)\d ?[ap]\.?m\.?$"
DAY_FIRST, MONTH_FIRST = "day first", "month first"
_WAYS = {
    "decimal": ("with a comma or a point as the decimal sign", 'decimal = "," or decimal = "."'),
    "dates": ("day or month first", 'dates = "%d/%m/%Y" or dates = "%m/%d/%Y"'),
}


@dataclass(frozen=True)
class Written:
    """How one column is written.

    Attributes
    ----------
    decimal : str
        Decimal sign of a number in text.
    order : str
        ``day first``, ``month first``, or empty where all dates are written year first.
    formats : tuple of str
        Declared formats, tried before.
    has_noon : bool
        Some times have am or pm.
    has_offset : bool
        Some instants state their offset.
    """

    decimal: str = "."
    order: str = ""
    formats: tuple[str, ...] = ()
    has_noon: bool = False
    has_offset: bool = False


def number_text(cell: str) -> str:
    """Write the SQL that frees a number of currency signs and odd spaces.

    Parameters
    ----------
    cell : str
        SQL of the cell.

    Returns
    -------
    str
        SQL of a text of digits, signs, and plain spaces where digits were grouped.
    """
    spaced = f"translate({cell}, {sql.text(_SPACED + chr(0x2212))}, {sql.text(' ' * len(_SPACED) + '-')})"
    money = r"(?:[A-Z]{0,3}\p{Sc}|[A-Z]{3})"
    bare = rf"regexp_replace(regexp_replace({spaced}, '^([-+]?) *{money} *([-+]?)', '\1\2', 'i'), ' *{money}$', '', 'i')"
    return rf"case when regexp_matches({cell}, '^[-+]?\d*[.,]?\d*$') then {cell} else trim({bare}) end"


def number(cell: str, decimal: str) -> str:
    """Write the SQL that reads a number.

    Parameters
    ----------
    cell : str
        SQL of the text.
    decimal : str
        Its decimal sign.

    Returns
    -------
    str
        SQL of a DOUBLE, missing where the text is no number so written.
    """
    group = "." if decimal == "," else ","
    bare = number_text(cell)
    sound = rf"^[-+]?(\d+|\d{{1,3}}([{group} ]\d{{3}})+)?([{decimal}]\d*)?([eE][-+]?\d+)?$"
    plain = f"replace(translate({bare}, '{group} ', ''), '{decimal}', '.')"
    return f"case when regexp_matches({bare}, '{sound}') then try_cast({plain} as double) end"


def local(cell: str, written: Written) -> str:
    """Write the SQL that reads a date or a time without offset.

    Parameters
    ----------
    cell : str
        SQL of the text.
    written : Written
        How the column is written.

    Returns
    -------
    str
        SQL of a naive local TIMESTAMP, missing where the text is none.
    """
    year_first = _year_first(cell, written)
    sound = f"regexp_matches({year_first}, '{_ISO}')" + (f" and not {has_offset(cell)}" if written.has_offset else "")
    tries = [f"try_cast(case when {sound} then replace({year_first}, ',', '.') end as timestamp)"]
    if written.has_noon:
        day = "%m/%d/%Y" if written.order == MONTH_FIRST else "%d/%m/%Y"
        shapes = [f"{start} %I:%M{seconds}{gap}%p" for start in (day, "%Y-%m-%d") for seconds in ("", ":%S") for gap in (" ", "")]
        tries.append(f"try_strptime({cell}, [{sql.texts(shapes)}])")
    if written.formats:
        tries.insert(0, f"try_strptime({cell}, [{sql.texts(written.formats)}])::timestamp")
    return f"coalesce({', '.join(tries)})" if len(tries) > 1 else tries[0]


def zoned(cell: str, written: Written) -> str:
    """Write the SQL that reads an instant with its offset.

    Parameters
    ----------
    cell : str
        SQL of the text.
    written : Written
        How the column is written.

    Returns
    -------
    str
        SQL of a TIMESTAMP WITH TIME ZONE, missing where the text has no offset.
    """
    year_first = _year_first(cell, written)
    offset = rf"regexp_replace(regexp_replace(replace({year_first}, ',', '.'), ' ?UTC$', 'Z'), ' ?([-+]\d{{2}}):?(\d{{2}})?$', '\1:\2')"
    whole = rf"regexp_replace({offset}, ':$', ':00')"
    sound = f"regexp_matches({year_first}, '{_ISO}') and {has_offset(cell)}"
    return f"try_cast(case when {sound} then {whole} end as timestamptz)"


def has_offset(cell: str) -> str:
    """Write the SQL condition that a text ends in an offset from UTC.

    Parameters
    ----------
    cell : str
        SQL of the text.

    Returns
    -------
    str
    """
    return f"regexp_matches({cell}, '{_HAS_OFFSET}')"


def _year_first(cell: str, written: Written) -> str:
    if not written.order:
        return cell
    turned = r"\3-\2-\1" if written.order == DAY_FIRST else r"\3-\1-\2"
    whole = rf"regexp_replace({cell}, '^(\d{{1,2}})[-/.](\d{{1,2}})[-/.](\d{{4}})', '{turned}')"
    return rf"regexp_replace({whole}, '^(\d{{1,2}})[/.](\d{{1,2}})[/.](\d{{2}})( |$)', '20{turned}\4')"


def decide(connection: duckdb.DuckDBPyConnection, staged: Stage, source: Source) -> dict[str, Written]:
    """Decide how each column of a table is written.

    A column that cannot be told takes the way of its sibling columns where these agree: one export has one locale.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Holds the working table.
    staged : Stage
        The table.
    source : Source
        What kpi.toml declares.

    Returns
    -------
    dict of str to Written
        Per provided column.

    Raises
    ------
    DataError
        If a column cannot be told, or mixes two ways.
    """
    kinds = {name: staged.table[name].kind for name in staged.families}
    texts = [name for name, family in staged.families.items() if family == "text"]
    numbers = [name for name in texts if kinds[name] in ("number", "integer")]
    dates = [name for name in texts if kinds[name] in ("instant", "date")]
    seen = _survey(connection, staged, numbers, dates)
    decimals = _agree({name: _decimal(connection, staged, name, seen[name], source) for name in numbers}, "decimal", connection, staged, seen)
    orders = _agree({name: _order(connection, staged, name, seen[name], source) for name in dates}, "dates", connection, staged, seen)
    formats = _formats(connection, source, staged)
    written = dict.fromkeys(staged.families, Written()) | {name: Written(decimal=sign) for name, sign in decimals.items()}
    for name, order in orders.items():
        written[name] = Written(order=order, formats=formats, has_noon=seen[name]["noon"] > 0, has_offset=seen[name]["offset"] > 0)
    return written


def _survey(connection, staged: Stage, numbers: Sequence[str], dates: Sequence[str]) -> dict[str, dict]:
    """Count, in one pass over the table, what tells one way of writing from another."""
    asked = {}
    for name in numbers:
        cell = sql.ident(name)
        bare = f"replace({number_text(cell)}, ' ', '')"
        comma, point = _EVIDENCE.replace("S", ",").replace("T", "[.]"), _EVIDENCE.replace("S", "[.]").replace("T", ",")
        for key, pattern in {"comma": comma, "point": point, "unclear": _UNCLEAR}.items():
            asked[name, key] = f"count(*) filter (regexp_matches({bare}, '{pattern}'))"
            asked[name, f"{key}_example"] = f"min({cell}) filter (regexp_matches({bare}, '{pattern}'))"
    patterns = {"parts": _PARTS, "day": _FIRST_OVER_12, "month": _SECOND_OVER_12, "noon": _NOON, "offset": _HAS_OFFSET}
    for name in dates:
        cell = sql.ident(name)
        for key, pattern in patterns.items():
            asked[name, key] = f"count(*) filter (regexp_matches({cell}, '{pattern}'))"
        asked[name, "unclear_example"] = f"min({cell}) filter (regexp_matches({cell}, '{_PARTS}'))"
    if not asked:
        return {}
    row = connection.execute(f"select {', '.join(asked.values())} from {staged.name} where not is_blank and not is_filtered").fetchall()[0]
    seen: dict[str, dict] = {}
    for (name, key), value in zip(asked, row, strict=True):
        seen.setdefault(name, {})[key] = value
    return seen


def _decimal(connection, staged: Stage, name: str, facts: dict, source: Source) -> str | None:
    if source.decimal:
        return source.decimal
    if facts["comma"] and facts["point"]:
        comma, point = (f"{sql.ident(name)} = {sql.text(facts[f'{sign}_example'])}" for sign in ("comma", "point"))
        raise DataError(
            f"{staged.table.name} {name} mixes {facts['comma_example']!r} and {facts['point_example']!r} "
            f"({_place(connection, staged, comma)}, {_place(connection, staged, point)}); "
            f'write decimal = "," or decimal = "." under [tables.{staged.table.name}] in {FILE}: rows written the other way are then set aside'
        )
    if facts["comma"] or facts["point"]:
        return "," if facts["comma"] else "."
    return None if facts["unclear"] else "."


def _order(connection, staged: Stage, name: str, facts: dict, source: Source) -> str | None:
    for declared in source.dates:
        if declared.startswith(("%d", "%m")):
            return DAY_FIRST if declared.startswith("%d") else MONTH_FIRST
    if facts["day"] and facts["month"]:
        day, month = (f"regexp_matches({sql.ident(name)}, '{pattern}')" for pattern in (_FIRST_OVER_12, _SECOND_OVER_12))
        raise DataError(
            f"{staged.table.name} {name} has dates that are day first and others that are month first "
            f"({_place(connection, staged, day)}, {_place(connection, staged, month)}); "
            f'write dates = "%d/%m/%Y" or "%m/%d/%Y" under [tables.{staged.table.name}] in {FILE}: rows written the other way are then set aside'
        )
    if facts["day"] or facts["month"]:
        return DAY_FIRST if facts["day"] else MONTH_FIRST
    return None if facts["parts"] else ""


def _agree(found: dict[str, str | None], key: str, connection, staged: Stage, seen: dict[str, dict]) -> dict[str, str]:
    """Let columns that cannot be told follow the others, or refuse them."""
    told = {value for name, value in found.items() if value and (key == "dates" or seen[name]["comma"] or seen[name]["point"])}
    for name, value in found.items():
        if value is None and len(told) != 1:
            example = seen[name]["unclear_example"]
            way, key = _WAYS[key]
            raise DataError(
                f"{staged.table.name} {name}: {example!r} can be read {way}, and no other value tells "
                f"({_place(connection, staged, f'{sql.ident(name)} = {sql.text(example)}')}); "
                f"write {key} under [tables.{staged.table.name}] in {FILE}"
            )
    return {name: next(iter(told)) if value is None else value for name, value in found.items()}


def _place(connection, staged: Stage, test: str) -> str:
    """Where a condition holds first, as ``file:row``."""
    found = f"select file, row from {staged.name} where {test} and not is_blank and not is_filtered order by file, row limit 1"
    file, row = connection.execute(found).fetchall()[0]
    return f"{staged.labels[file]}:{row}"


def _formats(connection, source: Source, staged: Stage) -> tuple[str, ...]:
    for declared in source.dates:
        if "%z" in declared.lower():
            raise DataError(f"[tables.{staged.table.name}] dates = {declared!r}: leave the offset out, it is read by itself wherever it is written")
        try:
            connection.execute(f"select try_strptime('', {sql.text(declared)})")
        except duckdb.Error as error:
            raise DataError(f"[tables.{staged.table.name}] dates = {declared!r} is no format of a date: {sql.first_line(error)}") from None
    return source.dates
