"""kpi.toml of a data set that is imported: made where there is none, else only the lines changed that an import is about."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path

from kpi.errors import DataError
from kpi.importing.log import FOLDER
from kpi.sources import Company
from kpi.sources.config import FILE

TABLES = f"{FOLDER}/tables"


def path(version: int, table: str) -> str:
    """Say where the table of a version is, relative to the data set."""
    return f"{TABLES}/{version}/{table}.parquet"


def created(company: Company, newest: date) -> str:
    """Write a kpi.toml for a new data set."""
    return (
        "# Made by kpi import. Keys may be added and changed; an import changes exported_at and the paths of its tables only.\n"
        f"[company]\nname = {_quoted(company.name)}\nlanguage = {_quoted(company.language)}\n"
        f"currency = {_quoted(company.currency)}\ntimezone = {_quoted(company.timezone)}\n"
        f"exported_at = {_quoted(_end(newest))}  # the last day exported counts as whole\n"
    )


def edited(text: str, tables: Collection[str], version: int, before: int, newest: date, newest_before: date) -> str:
    """Point kpi.toml at the tables of an import."""
    wanted = tomllib.loads(text)
    sections = wanted.setdefault("tables", {})
    for name, section in sections.items():
        if str(section.get("path", "")).startswith(f"{TABLES}/"):
            section["path"] = path(version, name)
    text = text.replace(f"{TABLES}/{before}/", f"{TABLES}/{version}/")
    for name in tables:
        section = sections.setdefault(name, {})
        if "path" not in section and not {"query", "files", "database"} & set(section):
            section["path"] = path(version, name)
            text = _with_line(text, f"tables.{name}", f"path = {_quoted(section['path'])}")
        elif section.get("path") != path(version, name):
            raise DataError(f"[tables.{name}] of {FILE} takes its rows from elsewhere; remove that section, or import into another folder")
    company, ours, end = wanted.setdefault("company", {}), _end(newest_before), _quoted(_end(newest))
    if "exported_at" not in company:
        text = _with_line(text, "company", f"exported_at = {end}")
    elif company["exported_at"] == ours:
        text = re.sub(rf"(?m)^(\s*exported_at\s*=\s*)([\"']){re.escape(ours)}\2", rf"\g<1>{end}", text, count=1)
    if company.get("exported_at", ours) == ours:
        company["exported_at"] = _end(newest)
    with suppress(tomllib.TOMLDecodeError):
        if tomllib.loads(text) == wanted:
            return text
    lines = "; ".join(f"[tables.{name}] path = {_quoted(path(version, name))}" for name in tables)
    raise DataError(f"{FILE} is written in a way that cannot be edited; write its tables as sections of their own: {lines}")


def refuse_others(folder: Path, tables: Collection[str]) -> None:
    """Refuse to import a table that the data set has from a file of its own."""
    for name in tables:
        found = [entry.name for entry in folder.glob(f"{name}.*") if entry.suffix in (".csv", ".parquet", ".gz", ".xlsx")]
        if found:
            raise DataError(f"the data set has its own {found[0]}; give it to kpi import with the exports and move it away, or import elsewhere")


def _end(newest: date) -> str:
    """The export's last day counts as whole."""
    return (newest + timedelta(days=1)).isoformat()


def _with_line(text: str, section: str, line: str) -> str:
    header = re.compile(rf"(?m)^[ \t]*\[\s*{re.escape(section)}\s*\][ \t]*(#.*)?$")
    found = header.search(text)
    if found:
        return f"{text[: found.end()]}\n{line}{text[found.end() :]}"
    gap = "" if not text or text.endswith("\n\n") else "\n" if text.endswith("\n") else "\n\n"
    return f"{text}{gap}[{section}]\n{line}\n"


def _quoted(value: str) -> str:
    """Write a TOML text."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(letter if letter.isprintable() else f"\\u{ord(letter):04x}" for letter in escaped) + '"'
