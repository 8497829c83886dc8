"""Exports of CRMs: recognised by their headers, and turned into parts of a canonical table by an alias set."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import duckdb

from kpi.errors import DataError, nearest
from kpi.schema import TABLES
from kpi.sources.config import FILE, Company, Source
from kpi.sources.crm import aliases, expressions
from kpi.sources.crm.aliases import GENERIC, Shape
from kpi.sources.folding import fold
from kpi.sources.readers import csv, workbook
from kpi.sources.readers.extract import Extract, from_parquet
from kpi.sources.readers.files import WORKBOOKS, Located


@dataclass(frozen=True)
class Recognised:
    """What a file was found to be."""

    system: str
    table: str
    score: int
    mapping: dict[str, str]
    unmatched: dict[str, str]
    title: str = ""
    also: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()


def recognise(path: str | Path, *, system: str = "") -> Recognised:
    """Tell from its headers which system wrote a file and what it holds."""
    file = Path(path)
    is_sheet = not file.exists() and file.parent.suffix.lower() in WORKBOOKS
    located = Located(f"{file.parent.name}/{file.name}", file.parent, file.name) if is_sheet else Located(file.name, file)
    if system and system not in aliases.systems():
        raise DataError(f"there is no alias set {system!r}{nearest(system, aliases.systems())} There are {', '.join(aliases.systems())}")
    headers = _headers(located, system)
    shape = _best(headers, aliases.shapes(system), located.label)
    also = [other for other in aliases.shapes(shape.system) if other.within == shape.name and (other.melted(headers) or not other.melt)]
    bound = expressions.bind(shape, headers, Source(), Company(), {})
    mapping = {}
    for column in TABLES[shape.table].columns if shape.table else ():
        written = bound.column(column.name)
        if written is not None:
            mapping[column.name] = " + ".join(headers[place] for place in sorted(written.used))
    score = len(shape.places(headers)) + sum(len(other.melted(headers)) for other in also)
    tables = tuple(other.table for other in also)
    return Recognised(shape.system, shape.table or shape.name, score, mapping, unmatched(shape, headers), shape.title, tables, shape.lacks)


def hits(system: str = "", table: str = "") -> Callable[[list[str]], int]:
    """Make the function that counts known headers in a row of a sheet."""
    known = aliases.shapes(system, table) or aliases.shapes(system)
    return lambda cells: max((len(shape.places(cells)) + len(shape.melted(cells)) for shape in known), default=0)


def unmatched(shape: Shape, headers: list[str]) -> dict[str, str]:
    """Find the headers that a system's alias set does not know."""
    everything = aliases.shapes(shape.system)
    siblings = [other for other in everything if other.table == shape.table or shape.name in (other.name, other.within) or shape.within == other.name]
    known = {fold(alias) for other in siblings for names in other.fields.values() for alias in names}
    strange = [header for header in headers if header and fold(header) not in known]
    strange = [header for header in strange if not any(other.is_ignored(header) or other.melted([header]) for other in everything)]
    return {header: aliases.nearest_alias(header, [shape]) for header in strange}


def choose(system: str, table: str, part: Extract, source: Source, *, strict: bool) -> Shape:
    """Choose the kind of file that a table's file is."""
    known = aliases.shapes(system, table)
    if not known:
        offered = ", ".join(dict.fromkeys(shape.table for shape in aliases.shapes(system) if shape.table))
        raise DataError(f'[tables.{table}] format = "{system}" has no aliases for {table}; it has {offered}. Map it by columns, or by a query')
    fitting = [shape for shape in known if _fits(shape, part.headers, source)]
    if fitting:
        return max(fitting, key=lambda shape: _score(shape, part.headers))
    if strict:
        return _best(part.headers, aliases.shapes(system), part.label)
    return max(known, key=lambda shape: _score(shape, part.headers))


def _fits(shape: Shape, headers: list[str], source: Source) -> bool:
    folded = {fold(header) for header in headers}
    if (shape.melt and not shape.melted(headers)) or folded & {fold(name) for name in shape.never}:
        return False
    if not shape.table and len(shape.places(headers)) < sum(not shape.is_ignored(header) for header in headers):
        return False  # a file that is only looked up has two or three columns, which many others have too
    return not shape.missing([*shape.places(headers), *source.columns, *source.constants])


def _score(shape: Shape, headers: list[str]) -> int:
    return len(shape.places(headers)) + len(shape.melted(headers))


def _best(headers: list[str], known: Iterable[Shape], label: str) -> Shape:
    """Choose among all kinds of files: a named system before the generic one, then most known headers."""
    fitting = [shape for shape in known if not shape.within and _fits(shape, headers, Source())]
    fitting = [shape for shape in fitting if shape.system != GENERIC] or fitting
    ranked = sorted(fitting, key=lambda shape: -_score(shape, headers))
    if not ranked:
        raise DataError(f"{label} is no export that is known: its headers are {headers[:12]}; {_nearest_kind(headers, known)}")
    tied = [shape for shape in ranked if _score(shape, headers) == _score(ranked[0], headers)]
    if len(tied) > 1:
        kinds = ", ".join(f"{shape.title} ({shape.table or 'looked up'})" for shape in tied)
        raise DataError(f'{label} may be {kinds}; say which: format = "{tied[0].system}" under the right [tables.…] in {FILE}')
    return ranked[0]


def _nearest_kind(headers: list[str], known: Iterable[Shape]) -> str:
    best = max((shape for shape in known if not shape.within), key=lambda shape: _score(shape, headers), default=None)
    if best is None or not _score(best, headers):
        return f"map its columns under [tables.…] columns in {FILE}"
    lacking = [f"{need} ({', '.join(best.fields[need.split('|')[0]][:3])})" for need in best.missing(best.places(headers))]
    return f"the nearest kind is {best.title}, but it lacks {'; '.join(lacking)}: export these too, or map the columns under [tables.…] in {FILE}"


def _headers(located: Located, system: str) -> list[str]:
    if located.is_workbook:
        return workbook.examine(located, hits=hits(system)).header
    if located.is_parquet:
        with duckdb.connect() as connection:
            return from_parquet(connection, located).headers
    return csv.examine(located).header
