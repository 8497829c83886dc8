"""kpi.toml: who the company is and where its tables come from, checked before any file is opened."""

from __future__ import annotations

import datetime
import re
import tomllib
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import pandas as pd
from babel import Locale
from babel.numbers import get_currency_symbol, list_currencies

from kpi import schema
from kpi.errors import DataError, ParameterError, nearest
from kpi.periods import instant, local_date
from kpi.sources.cells import fold
from kpi.sources.crm import aliases
from kpi.sources.readers import database
from kpi.sources.readers.database import Database

FILE = "kpi.toml"
LANGUAGES = ("en", "fr")
AREAS = ("response", "pipeline", "retention", "pulse", "links")
MONTHS = {fold(name): n for lang in LANGUAGES for width in ("wide", "abbreviated") for n, name in Locale(lang).months["format"][width].items()}
_SUFFIXES = (".csv", ".csv.gz", ".parquet", ".xlsx")


@dataclass(frozen=True)
class Company:
    """Whose data these are, and how it counts money, time and years."""

    name: str = ""
    language: str = "en"
    currency: str = "EUR"
    timezone: str = "Europe/Paris"
    country: str = ""
    fiscal_year_starts: int = 1
    exported_at: pd.Timestamp | None = None
    simulated: bool = False
    today: datetime.date | None = None  # the day of the run, where the export is not dated: told by who runs it, no key of kpi.toml

    def __post_init__(self) -> None:
        for key in ("name", "language", "currency", "timezone", "country"):
            _expect(isinstance(getattr(self, key), str), f"[company] {key}", getattr(self, key), "a text")
        _expect(self.language in LANGUAGES, "[company] language", self.language, f"one of {', '.join(LANGUAGES)}")
        _expect(self.currency in list_currencies(), "[company] currency", self.currency, "an ISO 4217 code such as EUR")
        check_zone(self.timezone, "[company] timezone")
        known = self.country == "" or (len(self.country) == 2 and self.country.isalpha() and self.country in Locale("en").territories)
        _expect(known, "[company] country", self.country, "an ISO 3166 code such as FR")
        month = type(self.fiscal_year_starts) is int and 1 <= self.fiscal_year_starts <= 12
        _expect(month, "[company] fiscal_year_starts", self.fiscal_year_starts, "a month from 1 to 12")
        _expect(isinstance(self.simulated, bool), "[company] simulated", self.simulated, "true or false")

    @property
    def known_until(self) -> pd.Timestamp | None:
        """The export, or the end of the day of the run: nothing that has happened lies after it."""
        if self.exported_at is not None or self.today is None:
            return self.exported_at
        return instant(self.today + datetime.timedelta(days=1), self.timezone)


@dataclass(frozen=True)
class Source:
    """Where one canonical table comes from, as written under ``[tables.<name>]``."""

    path: str = ""
    files: tuple[str, ...] = ()
    query: str = ""
    database: Database | None = None
    format: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    timezone: str = ""
    dates: tuple[str, ...] = ()
    decimal: str = ""
    delimiter: str = ""
    encoding: str = ""
    max_set_aside: float | None = None
    recorded_from: datetime.date | None = None


@dataclass(frozen=True)
class Config:
    """A kpi.toml that was read and found sound."""

    company: Company
    hours: dict
    settings: dict
    tables: dict[str, Source]
    folder: Path
    path: Path
    imports: dict[str, Source] = field(default_factory=dict)


def read_config(path: str | Path, today: str | datetime.date = "") -> Config:
    """Read the kpi.toml of a data set, on a day if that matters."""
    file = _locate(Path(path))
    try:
        written = tomllib.loads(file.read_bytes().decode("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{file} cannot be read as TOML: {error}") from None
    except OSError as error:
        raise DataError(f"{file} cannot be opened: {error.strerror}") from None
    _known(written, ("company", "hours", "tables", "imports", *AREAS), f"{FILE} has the unknown section")
    for section, content in written.items():
        _expect(isinstance(content, dict), f"[{section}]", content, "a section")
    company = _company(written.get("company", {}), file.parent)
    company = replace(company, today=local_date(instant(today, company.timezone), company.timezone)) if today else company
    tables = _tables(written.get("tables", {}), file.parent)
    settings = {area: written.get(area, {}) for area in AREAS}
    return Config(company, written.get("hours", {}), settings, tables, file.parent, file, _imports(written.get("imports", {})))


def check_zone(zone: str, key: str) -> None:
    """Refuse a time zone that does not exist."""
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise DataError(f"{key} = {zone!r} is no time zone{nearest(zone, available_timezones())} Use an IANA name such as Europe/Paris") from None


def _locate(path: Path) -> Path:
    starts = [Path()] if path.is_absolute() else [Path(), *Path.cwd().parents]
    for start in starts:
        found = start / path
        if found.is_dir() and (found / FILE).is_file():
            return (found / FILE).absolute()
        if found.is_file():
            return found.absolute()
    folder = next((start / path for start in starts if (start / path).is_dir()), None)
    if folder is not None:
        raise DataError(f"{folder} has no {FILE}; it says whose data these are and where the tables are")
    raise DataError(f"there is no data set {str(path)!r}, neither here nor in a folder above; give a folder that has a {FILE}")


def _company(written: dict, folder: Path) -> Company:
    _known(written, [item.name for item in fields(Company) if item.name != "today"], f"{FILE} [company] has the unknown key")
    stated = {"name": folder.name, **written}
    end = stated.pop("exported_at", None)
    company = Company(**stated)
    try:
        return company if end is None else replace(company, exported_at=instant(end, company.timezone))
    except ParameterError as error:
        raise DataError(f"[company] exported_at: {error}") from None


def _tables(written: dict, folder: Path) -> dict[str, Source]:
    _known(written, schema.TABLES, f"{FILE} [tables] has the unknown table")
    found = {}
    for name in schema.TABLES:
        source = _source(name, written[name]) if name in written else Source()
        if not source.path and not source.files and source.database is None:
            files = [f"{name}{suffix}" for suffix in _SUFFIXES if (folder / f"{name}{suffix}").is_file()]
            if len(files) > 1:
                raise DataError(f"the data set has {' and '.join(files)}; name the right one: [tables.{name}] path = {files[0]!r}")
            if not files and name in written:
                raise DataError(f"[tables.{name}] needs a path, or files and a query; there is no {name}.csv beside {FILE}")
            if not files:
                continue
            source = _source(name, {**written.get(name, {}), "path": files[0]})
        found[name] = source
    return found


def _imports(written: dict) -> dict[str, Source]:
    _known(written, schema.TABLES, f"{FILE} [imports] has the unknown table")
    found = {}
    for name, content in written.items():
        for key in _OF_TABLES & set(content):
            raise DataError(f"[imports.{name}] {key} belongs under [tables.{name}]; the files come from the command line")
        found[name] = _source(name, content, "imports")
    return found


_OF_TABLES = {"path", "files", "query", "database", "format", "max_set_aside", "recorded_from"}


def _source(name: str, written: dict, section: str = "tables") -> Source:
    where = f"[{section}.{name}]"
    _expect(isinstance(written, dict), where, written, "a section")
    _known(written, [item.name for item in fields(Source)], f"{FILE} {where} has the unknown key")
    asked = [key for key in ("query", "format") if written.get(key)]
    has_files = bool(written.get("files"))
    if ("path" in written and (has_files or "query" in asked)) or (has_files and not asked) or ("query" in asked and not has_files):
        raise DataError(f"{where} needs either a path, or files together with a query or a format")
    if len(asked) == 2:
        raise DataError(f"{where} has a query and a format; a query gives the columns their canonical names itself")
    if "database" in written and {"path", "files", "query", "delimiter", "encoding"} & set(written):
        raise DataError(f"{where} takes its rows from a database: path, files, query, delimiter and encoding do not go with it")
    for key in ("path", "files", "query"):
        database.refuse_password(str(written.get(key, "")), f"{where} {key}")
    _expect(isinstance(written.get("where", {}), dict), f"{where} where", written.get("where"), "a table of columns")
    texts = ("path", "query", "format", "timezone", "decimal", "delimiter", "encoding")
    stated = {key: value for key, value in written.items() if key in texts}
    for key, value in stated.items():
        _expect(isinstance(value, str) and value, f"{where} {key}", value, "a text")
    _expect(stated.get("decimal", ".") in (".", ","), f"{where} decimal", stated.get("decimal"), 'either "." or ","')
    _expect(len(stated.get("delimiter", ";")) == 1, f"{where} delimiter", stated.get("delimiter"), r'one character such as ";" or "\t"')
    _known([stated["format"]] if "format" in stated else [], aliases.systems(), f"{where} format is the unknown")
    check_zone(stated.get("timezone", "UTC"), f"{where} timezone")
    limit = written.get("max_set_aside", 0)
    _expect(type(limit) in (int, float) and 0 <= limit <= 1, f"{where} max_set_aside", limit, "a share from 0 to 1 such as 0.05")
    first = written.get("recorded_from")
    _expect(first is None or type(first) is datetime.date, f"{where} recorded_from", first, "a date such as 2026-03-01, without quotes")
    columns, constants = (_texts(_by_column(name, written, where, key), f"{where} {key}") for key in ("columns", "constants"))
    both = set(columns) & set(constants)
    if both:
        raise DataError(f"{where} gives {min(both)} both a column and a constant; keep one (values can fill empty cells)")
    return Source(
        **stated,
        database=Database.parse(written["database"], f"[tables.{name}.database]") if "database" in written else None,
        files=_list(written.get("files", ()), f"{where} files"),
        dates=_list(written.get("dates", ()), f"{where} dates"),
        max_set_aside=float(limit) if "max_set_aside" in written else None,
        recorded_from=first,
        columns=columns,
        constants=constants,
        values={column: _texts(cells, f"{where} values.{column}") for column, cells in _by_column(name, written, where, "values").items()},
        where={header: _list(cells, f"{where} where.{header}") for header, cells in written.get("where", {}).items()},
    )


def _by_column(name: str, written: dict, where: str, key: str) -> dict:
    content = written.get(key, {})
    _expect(isinstance(content, dict), f"{where} {key}", content, "a table of columns")
    _known(content, schema.TABLES[name].names, f"{FILE} {where} {key} has the unknown column")
    return content


def _texts(cells: dict, where: str) -> Mapping[str, str]:
    _expect(isinstance(cells, dict), where, cells, "a table")
    return {key: _text(value, f"{where} {key}") for key, value in cells.items()}


def _text(value: object, where: str) -> str:
    """Write a TOML value as the cell of a file would be written."""
    if isinstance(value, bool):
        return str(value).lower()
    _expect(isinstance(value, str | int | float | datetime.date), where, value, "a text, number, date or true or false")
    return value.isoformat() if isinstance(value, datetime.date) else str(value)


def _list(values: object, where: str) -> tuple[str, ...]:
    values = list(values) if isinstance(values, list | tuple) else [values]
    return tuple(_text(value, where) for value in values)


def _known(written: Iterable[str], known: Iterable[str], message: str) -> None:
    known = list(known)
    for key in written:
        if key not in known:
            raise DataError(f"{message} {key!r}{nearest(key, known)} It may have {', '.join(known)}")


def _expect(holds: object, key: str, value: object, what: str) -> None:
    if not holds:
        raise DataError(f"{key} = {value!r} is not {what}")


@lru_cache
def currency_names(own: str) -> dict[str, str]:
    """What is written for each currency, in capitals, with its code; a sign that several have is the company's if it is one of them."""
    signs = {(get_currency_symbol(code, lang).upper(), code) for code in [*list_currencies(), *filter(None, [own])] for lang in LANGUAGES}
    names = {symbol: code for symbol, code in sorted(signs) if any(unicodedata.category(letter) == "Sc" for letter in symbol)}
    ours = {letter: own for symbol, code in signs if code == own for letter in symbol if unicodedata.category(letter) == "Sc"}
    return {code: code for code in list_currencies()} | names | {"EURO": "EUR", "EUROS": "EUR", "EU": "EUR", "US$": "USD"} | ours


def currency_pattern(own: str, *, is_any: bool) -> str:
    """Write the pattern of what may stand for a currency beside a number: for any, or for the company's own."""
    names = [name for name, code in currency_names(own).items() if (not name.isalpha() if is_any else code == own)]
    return f"(?:{'|'.join(map(re.escape, sorted(names, key=len, reverse=True)))}{'|[A-Z]{3}|euros?|eu' if is_any else ''})"
