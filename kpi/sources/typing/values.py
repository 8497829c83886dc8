"""The SQL that reads a number, a date or an instant as its column writes it; what is written otherwise gives a missing value."""

from __future__ import annotations

from dataclasses import dataclass

from kpi.sources import sql
from kpi.sources.blanks import SPACES

_SPACED = SPACES + "'’"
_TIME = r"[T ] *\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?"
_OFFSET = r" ?(Z|UTC|[-+]\d{2}(:?\d{2})?)"
_ISO = rf"^\d{{4}}([-/])\d{{1,2}}[-/]\d{{1,2}}({_TIME}({_OFFSET})?)?$"
HAS_OFFSET = rf":\d{{2}}([.,]\d+)?{_OFFSET}$"
DAY_FIRST, MONTH_FIRST = "day first", "month first"


@dataclass(frozen=True)
class Written:
    """How one column is written."""

    decimal: str = "."
    order: str = ""
    formats: tuple[str, ...] = ()
    has_noon: bool = False
    has_offset: bool = False


def number_text(cell: str) -> str:
    """Write the SQL that frees a number of currency signs and odd spaces."""
    spaced = f"translate({cell}, {sql.text(_SPACED + chr(0x2212))}, {sql.text(' ' * len(_SPACED) + '-')})"
    money = r"(?:[A-Z]{0,3}\p{Sc}|[A-Z]{3})"
    bare = rf"regexp_replace(regexp_replace({spaced}, '^([-+]?) *{money} *([-+]?)', '\1\2', 'i'), ' *{money}$', '', 'i')"
    return rf"case when regexp_matches({cell}, '^[-+]?\d*[.,]?\d*$') then {cell} else trim({bare}) end"


def number(cell: str, written: Written) -> str:
    """Write the SQL that reads a number."""
    decimal = written.decimal
    group = "." if decimal == "," else ","
    bare = number_text(cell)
    sound = rf"^[-+]?(\d+|\d{{1,3}}([{group} ]\d{{3}})+)?([{decimal}]\d*)?([eE][-+]?\d+)?$"
    plain = f"replace(translate({bare}, '{group} ', ''), '{decimal}', '.')"
    return f"case when regexp_matches({bare}, '{sound}') then try_cast({plain} as double) end"


def local(cell: str, written: Written) -> str:
    """Write the SQL that reads a date or a time without offset."""
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
    """Write the SQL that reads an instant with its offset."""
    year_first = _year_first(cell, written)
    offset = rf"regexp_replace(regexp_replace(replace({year_first}, ',', '.'), ' ?UTC$', 'Z'), ' ?([-+]\d{{2}}):?(\d{{2}})?$', '\1:\2')"
    whole = rf"regexp_replace({offset}, ':$', ':00')"
    sound = f"regexp_matches({year_first}, '{_ISO}') and {has_offset(cell)}"
    return f"try_cast(case when {sound} then {whole} end as timestamptz)"


def has_offset(cell: str) -> str:
    """Write the SQL condition that a text ends in an offset from UTC."""
    return f"regexp_matches({cell}, '{HAS_OFFSET}')"


def _year_first(cell: str, written: Written) -> str:
    if not written.order:
        return cell
    turned = r"\3-\2-\1" if written.order == DAY_FIRST else r"\3-\1-\2"
    whole = rf"regexp_replace({cell}, '^(\d{{1,2}})[-/.](\d{{1,2}})[-/.](\d{{4}})', '{turned}')"
    return rf"regexp_replace({whole}, '^(\d{{1,2}})[/.](\d{{1,2}})[/.](\d{{2}})( |$)', '20{turned}\4')"
