"""How the numbers and dates of a column are written: decided from all its values, never per value, refused where it cannot be told."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from kpi.errors import DataError
from kpi.sources import sql
from kpi.sources.config import FILE, Source
from kpi.sources.stage import Stage
from kpi.sources.typing.values import DAY_FIRST, HAS_OFFSET, MONTH_FIRST, Written, number_text

# Evidence that a comma, or a point, is the decimal sign; S stands for it, T for the other one. Grouping spaces are gone by then.
_EVIDENCE = r"^[-+]?(\d{1,3}(T\d{3})+S\d*|\d{1,3}(T\d{3}){2,}|\d+S\d{0,2}|\d*S\d{4,}|\d{4,}S\d+|0*S\d+)$"
_UNCLEAR = r"^[-+]?[1-9]\d{0,2}[.,]\d{3}$"

_PARTS = r"^\d{1,2}[-/.]\d{1,2}[-/.]\d{4}|^\d{1,2}[/.]\d{1,2}[/.]\d{2}( |$)"
_FIRST_OVER_12 = r"^(1[3-9]|2\d|3[01])[-/.](0?[1-9]|1[0-2])[-/.]\d{2}"
_SECOND_OVER_12 = r"^(0?[1-9]|1[0-2])[-/.](1[3-9]|2\d|3[01])[-/.]\d{2}"
_NOON = r"(?i)\d ?[ap]\.?m\.?$"
_WAYS = {
    "decimal": ("with a comma or a point as the decimal sign", 'decimal = "," or decimal = "."'),
    "dates": ("day or month first", 'dates = "%d/%m/%Y" or dates = "%m/%d/%Y"'),
}


def decide(connection: duckdb.DuckDBPyConnection, staged: Stage, source: Source) -> dict[str, Written]:
    """Decide how each column of a table is written.

    A column that cannot be told takes the way of its sibling columns where these agree: one export has one locale.
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


def _evidence(sign: str) -> str:
    other = "[.]" if sign == "," else ","
    return _EVIDENCE.replace("S", f"[{sign}]").replace("T", other)


def _survey(connection, staged: Stage, numbers: Sequence[str], dates: Sequence[str]) -> dict[str, dict]:
    """Count, in one pass over the table, what tells one way of writing from another."""
    asked = {}
    for name in numbers:
        cell = sql.ident(name)
        bare = f"replace({number_text(cell)}, ' ', '')"
        for key, pattern in {",": _evidence(","), ".": _evidence("."), "unclear": _UNCLEAR}.items():
            asked[name, key] = f"count(*) filter (regexp_matches({bare}, '{pattern}'))"
            asked[name, f"{key}_example"] = f"min({cell}) filter (regexp_matches({bare}, '{pattern}'))"
    patterns = {"parts": _PARTS, "day": _FIRST_OVER_12, "month": _SECOND_OVER_12, "noon": _NOON, "offset": HAS_OFFSET}
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
    if facts[","] and facts["."]:
        comma, point = (f"{sql.ident(name)} = {sql.text(facts[f'{sign}_example'])}" for sign in ",.")
        raise DataError(
            f"{staged.table.name} {name} mixes {facts[',_example']!r} and {facts['._example']!r} "
            f"({_place(connection, staged, comma)}, {_place(connection, staged, point)}); "
            f'write decimal = "," or decimal = "." under [tables.{staged.table.name}] in {FILE}: rows written the other way are then set aside'
        )
    if facts[","] or facts["."]:
        return "," if facts[","] else "."
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
    told = {value for name, value in found.items() if value and (key == "dates" or seen[name][","] or seen[name]["."])}
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
