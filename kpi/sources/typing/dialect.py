"""How the numbers and dates of a column are written: decided from all its values in a file, never per value, refused where it cannot be told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

import duckdb

from kpi.engine import Connection
from kpi.errors import DataError
from kpi.sources import sql
from kpi.sources.cells import SPACES
from kpi.sources.config import FILE, Source, currency_pattern
from kpi.sources.staging import StagingTable

# Evidence that a comma, or a point, is the decimal sign; S stands for it, T for the other one. Grouping spaces are gone by then.
_EVIDENCE = r"^[-+]?(\d{1,3}(T\d{3})+S\d*|\d{1,3}(T\d{3}){2,}|\d+S\d{0,2}|\d*S\d{4,}|\d{4,}S\d+|0*S\d+|\dS\d+[eE][-+]?\d+)$"
_NUMBERS = {
    "comma": _EVIDENCE.replace("S", "[,]").replace("T", "[.]"),
    "point": _EVIDENCE.replace("S", "[.]").replace("T", "[,]"),
    "unclear": r"^[-+]?[1-9]\d{0,2}[.,]\d{3}$",
}
_TIME = r"[T ] *\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?"
_OFFSET = r" ?(Z|UTC|[-+]\d{2}(:?\d{2})?)"
_ISO = rf"^\d{{4}}([-/])\d{{1,2}}[-/]\d{{1,2}}({_TIME}({_OFFSET})?)?$"
_HAS_OFFSET = rf":\d{{2}}([.,]\d+)?{_OFFSET}$"
_DATES = {
    "unclear": r"^(0?[1-9]|1[0-2])[-/.](0?[1-9]|1[0-2])[-/.](\d{4}|\d{2}(\D|$))",
    "day": r"^(1[3-9]|2\d|3[01])[-/.](0?[1-9]|1[0-2])[-/.]\d{2}",
    "month": r"^(0?[1-9]|1[0-2])[-/.](1[3-9]|2\d|3[01])[-/.]\d{2}",
    "iso": r"^\d{4}-\d{2}-\d{2}",
    "late": r"^\d{4}-\d{2}-(1[3-9]|[23])",
    "short": r"^\d{2}[-/.]\d{1,2}[-/.]\d{1,2}(\D|$)",
    "year last": r"^\d{1,2}[-/.]\d{1,2}[-/.](\d{4}|00|3[2-9]|[4-9]\d)|^\d[-/.]\d{1,2}[-/.]\d{2}(\D|$)|^\d\d[-/.](1[3-9]|[2-9]\d)",
    "noon": r"(?i)\d ?[ap]\.?m\.?$",
    "offset": _HAS_OFFSET,
}
_OPPOSITE = (("comma", "point"), ("point", "comma"), ("day", "month"), ("month", "day"))
DAY_FIRST, MONTH_FIRST, YEAR_FIRST = "day first", "month first", "year first"
_CHOICES = {  # two kinds of evidence and what each means, what holds without any
    "decimal": (("comma", ","), ("point", "."), ".", "with a comma or a point as the decimal sign", 'decimal = "," or decimal = "."'),
    "dates": (("day", DAY_FIRST), ("month", MONTH_FIRST), "", "day or month first", 'dates = "%d/%m/%Y" or dates = "%m/%d/%Y"'),
}
_MIXED = {"decimal": "mixes {!r} and {!r}", "dates": "has dates that are day first and others that are month first"}
MULTIPLIERS = {"k": 1e3, "m": 1e6, "mio": 1e6, "mln": 1e6, "mn": 1e6, "md": 1e9, "mds": 1e9, "mrd": 1e9, "bn": 1e9}
_TIMES = "|".join(sorted(MULTIPLIERS, key=len, reverse=True))
_GROUPING = SPACES + "'’"
_Evidence: TypeAlias = dict[str, str | None]  # one cell of each kind of evidence in a column of a file
_STRAY = 0.01  # of the cells that tell: written otherwise than the rest they are typing errors, and set aside


@dataclass(frozen=True)
class Dialect:
    """How one column is written, and the SQL that reads its cells; what is written otherwise gives a missing value."""

    decimal: str = "."
    money: str = ""  # what may stand for a currency beside a number
    order: str = ""
    formats: tuple[str, ...] = ()
    has_noon: bool = False
    has_offset: bool = False
    by_file: tuple[tuple[tuple[int, ...], Dialect], ...] = ()  # where the files of the table differ

    def number(self, cell: str) -> str:
        """Write the SQL that reads a number."""
        return self._in_each_file(Dialect._number, cell)

    def local(self, cell: str) -> str:
        """Write the SQL that reads a date or a time without offset."""
        return self._in_each_file(Dialect._local, cell)

    def zoned(self, cell: str) -> str:
        """Write the SQL that reads an instant with its offset."""
        return self._in_each_file(Dialect._zoned, cell)

    def _in_each_file(self, write: Callable[[Dialect, str], str], cell: str) -> str:
        cases = [f"when file in ({', '.join(map(str, files))}) then {write(dialect, cell)}" for files, dialect in self.by_file]
        return f"case {' '.join(cases)} end" if cases else write(self, cell)

    def _number(self, cell: str) -> str:
        group = "." if self.decimal == "," else ","
        bare = _bare_number(cell, self.money)
        sound = rf"^[-+]?(\d+|\d{{1,3}}([{group} ]\d{{3}})+)?([{self.decimal}]\d*)?([eE][-+]?\d+)?$"
        plain = f"replace(translate({bare}, '{group} ', ''), '{self.decimal}', '.')"
        return f"case when regexp_matches({bare}, '{sound}') then try_cast({plain} as double) * {_factor(cell, self.money)} end"

    def _local(self, cell: str) -> str:
        year_first = self._year_first(cell)
        sound = f"regexp_matches({year_first}, '{_ISO}')" + (f" and not {has_offset(cell)}" if self.has_offset else "")
        tries = [f"try_cast(case when {sound} then replace({year_first}, ',', '.') end as timestamp)"]
        if self.has_noon:
            shapes = [f"%Y-%m-%d %I:%M{seconds}{gap}%p" for seconds in ("", ":%S") for gap in (" ", "")]
            tries.append(f"try_strptime({year_first}, [{sql.texts(shapes)}])")
        if self.formats:
            tries.insert(0, f"try_strptime({cell}, [{sql.texts(self.formats)}])::timestamp")
        return f"coalesce({', '.join(tries)})" if len(tries) > 1 else tries[0]

    def _zoned(self, cell: str) -> str:
        year_first = self._year_first(cell)
        offset = rf"regexp_replace(regexp_replace(replace({year_first}, ',', '.'), ' ?UTC$', 'Z'), ' ?([-+]\d{{2}}):?(\d{{2}})?$', '\1:\2')"
        whole = rf"regexp_replace({offset}, ':$', ':00')"
        sound = f"regexp_matches({year_first}, '{_ISO}') and {has_offset(cell)}"
        return f"try_cast(case when {sound} then {whole} end as timestamptz)"

    def _year_first(self, cell: str) -> str:
        if not self.order:
            return cell
        sign, turned = "[-/.]", {DAY_FIRST: r"\3-\2-\1", MONTH_FIRST: r"\3-\1-\2", YEAR_FIRST: r"\1-\2-\3"}[self.order]
        for century, year in (("", r"\d{4}"), ("20", r"[0-6]\d"), ("19", r"[7-9]\d")):  # as POSIX reads two digits
            first, last = (f"({year})", r"(\d{1,2})") if self.order == YEAR_FIRST else (r"(\d{1,2})", f"({year})")
            cell = rf"regexp_replace({cell}, '^{first}{sign}(\d{{1,2}}){sign}{last}(\D|$)', '{century}{turned}\4')"
        return cell


def has_offset(cell: str) -> str:
    """Write the SQL condition that a text ends in an offset from UTC."""
    return f"regexp_matches({cell}, '{_HAS_OFFSET}')"


def beside(cell: str, money: str) -> str:
    """Write the SQL of what stands for a currency beside a number, in capitals; empty where nothing does."""
    before, behind = rf"^[-+]? *({money}) *[-+]?[\d.,]", rf"\d *(?:{_TIMES})? *({money})$"
    said = [f"regexp_extract({_spaced(cell)}, '{pattern}', 1, 'i')" for pattern in (before, behind)]
    return f"case when {_is_plain(cell)} then '' else upper({' || '.join(said)}) end"


def _spaced(cell: str) -> str:
    return f"translate({cell}, {sql.text(_GROUPING + chr(0x2212))}, {sql.text(' ' * len(_GROUPING) + '-')})"


def _bare_number(cell: str, money: str) -> str:
    """Write the SQL that frees a number of its currency, its multiplier and odd spaces."""
    before = rf"regexp_replace({_spaced(cell)}, '^([-+]?) *{money} *([-+]?)', '\1\2', 'i')"
    return f"case when {_is_plain(cell)} then {cell} else trim(regexp_replace({before}, ' *(?:{_TIMES})? *(?:{money})?$', '', 'i')) end"


def _is_plain(cell: str) -> str:
    return rf"regexp_matches({cell}, '^[-+]?\d*[.,]?\d*$')"


def _factor(cell: str, money: str) -> str:
    """Write the SQL of what a multiplier behind a number makes of it: 12 k€ are 12,000."""
    said = rf"lower(regexp_extract({cell}, '\d *({_TIMES}) *(?:{money})?$', 1, 'i'))"
    cases = " ".join(f"when {sql.text(word)} then {factor}" for word, factor in MULTIPLIERS.items())
    return f"case when {_is_plain(cell)} then 1 else case {said} {cases} else 1 end end"


def decide(connection: Connection, staging: StagingTable, source: Source) -> dict[str, Dialect]:
    """Decide how each column of a table is written, file by file: none lends another its evidence.

    A column that cannot be told takes the dialect of its sibling columns in the file where these agree: one export has one locale.
    """
    kinds = {name: staging.table[name].kind for name in staging.families}
    texts = [name for name, family in staging.families.items() if family == "text"]
    numbers = [name for name in texts if kinds[name] in ("number", "integer")]
    money = currency_pattern(staging.currency, is_any="currency" in staging.families or bool(staging.deals))
    dates = [name for name in texts if kinds[name] in ("instant", "date")]
    evidence = {name: _survey(connection, staging, name, f"replace({_bare_number(sql.ident(name), money)}, ' ', '')", _NUMBERS) for name in numbers}
    evidence |= {name: _survey(connection, staging, name, sql.ident(name), _DATES) for name in dates}
    formats = _formats(connection, source, staging)
    orders = {"%d": DAY_FIRST, "%m": MONTH_FIRST, "%y": YEAR_FIRST}
    declared = next((orders[format[:2]] for format in source.dates if format[:2] in orders), "")
    found = {name: dict[int, Dialect]() for name in evidence}
    for file in sorted({file for by_file in evidence.values() for file in by_file}):
        here = {name: by_file[file] for name, by_file in evidence.items()}
        place = _Place(connection, staging, file)
        for name in dates:
            _refuse_odd_dates(place, name, here[name], source)
        for name, told in _told("decimal", place, {name: here[name] for name in numbers}, source.decimal).items():
            found[name][file] = Dialect(decimal=told, money=money)
        for name, told in _told("dates", place, {name: here[name] for name in dates}, declared).items():
            has_noon, has_offset = (here[name][kind] is not None for kind in ("noon", "offset"))
            found[name][file] = Dialect(order=told, formats=formats, has_noon=has_noon, has_offset=has_offset)
    return dict.fromkeys(staging.families, Dialect()) | {name: _together(by_file) for name, by_file in found.items() if by_file}


def _together(by_file: Mapping[int, Dialect]) -> Dialect:
    """Put the dialects of the files of a table into one."""
    different = list(dict.fromkeys(by_file.values()))
    groups = tuple((tuple(file for file, own in by_file.items() if own == one), one) for one in different)
    return replace(different[0], by_file=groups, has_offset=any(one.has_offset for one in different)) if len(groups) > 1 else different[0]


@dataclass(frozen=True)
class _Place:
    """Where cells are looked at: one file of a table."""

    connection: Connection
    staging: StagingTable
    file: int

    def first(self, test: str) -> str:
        """Where a condition holds first, as ``file:row``."""
        where = f"where file = {self.file} and {test} and not is_blank and not is_filtered order by row limit 1"
        return f"{self.staging.labels[self.file]}:{sql.first_row(self.connection, f'select row from {self.staging.name} {where}')[0]}"

    def of(self, name: str, example: str | None) -> str:
        """Where a cell stands first."""
        return self.first(f"{sql.ident(name)} = {sql.text(example or '')}")

    def varies_least_first(self, cell: str) -> bool:
        """Whether the dates of a column have as few first parts as last ones: years are fewer than days."""
        first, last = (f"count(distinct regexp_extract({cell}, '{part}', 1))" for part in (r"^(\d+)", r"^\d+\D\d+\D(\d+)"))
        where = f"where file = {self.file} and regexp_matches({cell}, '{_DATES['short']}')"
        return bool(sql.first_row(self.connection, f"select {first} <= {last} from {self.staging.name} {where}")[0])


def _survey(connection: Connection, staging: StagingTable, name: str, text: str, patterns: Mapping[str, str]) -> dict[int, _Evidence]:
    """Look in each file for what tells one dialect from another; a few cells written otherwise than all others tell nothing, nor 2 ISO dates."""
    cell = sql.ident(name)
    tests = [f"filter (regexp_matches({text}, '{pattern}'))" for pattern in patterns.values()]
    cells = ", ".join(f"min({cell}) {test}, count(*) {test}" for test in tests)
    rows = connection.execute(f"select file, count({cell}), {cells} from {staging.name} where not is_blank and not is_filtered group by file")
    found = {}
    for file, filled, *row in rows.fetchall():
        counts = dict(zip(patterns, row[1::2], strict=True))
        told = {
            "unclear": filled if patterns is _DATES else 0,
            "iso": 2 / _STRAY,
            **{kind: counts[kind] + counts[other] for kind, other in _OPPOSITE if kind in counts},
        }
        found[file] = {kind: None if counts[kind] <= _STRAY * told.get(kind, 0) else one for kind, one in zip(patterns, row[::2], strict=True)}
    return found


def _told(key: str, place: _Place, evidence: Mapping[str, _Evidence], declared: str) -> dict[str, str]:
    """Tell how the columns of one kind are written in a file; those that cannot be told follow the others, or are refused."""
    (one, first), (two, second), default, choice, keys = _CHOICES[key]
    table = place.staging.table.name
    found, remedy = dict[str, str](), f"write {keys} under [tables.{table}] in {FILE}"
    for name, seen in evidence.items():
        if seen[one] and seen[two] and not declared:
            message = f"{table} {name} {_MIXED[key].format(seen[one], seen[two])} ({place.of(name, seen[one])}, {place.of(name, seen[two])})"
            raise DataError(f"{message}; {remedy}: rows written the other way are then set aside")
        found[name] = declared or (first if seen[one] else second if seen[two] else "" if seen["unclear"] else default)
    evident = {found[name] for name, seen in evidence.items() if seen[one] or seen[two]}
    for name in [name for name, seen in evidence.items() if seen["unclear"] and not (declared or seen[one] or seen[two])]:
        if len(evident) != 1:
            example = evidence[name]["unclear"]
            where = f"and no other value of the file tells ({place.of(name, example)})"
            raise DataError(f"{table} {name}: {example!r} can be read {choice}, {where}; {remedy}")
        found[name] = min(evident)
    return found


def _refuse_odd_dates(place: _Place, name: str, seen: _Evidence, source: Source) -> None:
    """Refuse dates whose day and month were swapped, and short ones that may begin with their year, where no format in kpi.toml excuses them."""
    table, turned, short = place.staging.table.name, seen["day"] or seen["month"], seen["short"]
    if turned and seen["iso"] and not (seen["late"] or seen["unclear"] or any(declared.startswith("%Y") for declared in source.dates)):
        raise DataError(
            f"{table} {name}: in real dates the day is never over 12 ({place.of(name, seen['iso'])}), in dates kept as text always "
            f"({place.of(name, turned)}): a spreadsheet took days for months. Export again without opening the file in it; if the real dates are "
            f'right, write dates = ["%Y-%m-%d", "%d/%m/%Y"] under [tables.{table}] in {FILE}'
        )
    if short and not seen["year last"] and not source.dates and place.varies_least_first(sql.ident(name)):
        raise DataError(
            f"{table} {name}: {short!r} may begin with its year ({place.of(name, short)}); "
            f'write dates = "%y/%m/%d", or dates = "%d/%m/%y" or "%m/%d/%y", under [tables.{table}] in {FILE}'
        )


def _formats(connection: Connection, source: Source, staging: StagingTable) -> tuple[str, ...]:
    for declared in source.dates:
        if "%z" in declared.lower():
            raise DataError(f"[tables.{staging.table.name}] dates = {declared!r}: leave the offset out, it is read by itself wherever it is written")
        try:
            connection.execute(f"select try_strptime('', {sql.text(declared)})")
        except duckdb.Error as error:
            raise DataError(f"[tables.{staging.table.name}] dates = {declared!r} is no format of a date: {sql.first_line(error)}") from None
    return source.dates
