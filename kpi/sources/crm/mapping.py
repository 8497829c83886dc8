"""Exports of CRMs: recognised by their headers, and put under the columns of a canonical table by an alias set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace

import duckdb

from kpi.engine import Connection
from kpi.errors import DataError, SchemaError, nearest
from kpi.schema import TABLES, Column, Table
from kpi.sources import sql
from kpi.sources.cells import fold
from kpi.sources.config import FILE, Company, Source
from kpi.sources.crm import aliases, expressions, reshape
from kpi.sources.crm.aliases import GENERIC, Shape
from kpi.sources.crm.expressions import Bound
from kpi.sources.readers import csv, workbook
from kpi.sources.readers.extract import Extract, from_parquet
from kpi.sources.readers.files import Located


def recognised(file: Located, system: str = "") -> list[Shape]:
    """Tell from its headers which kind of export a file is, and which other kinds it holds besides."""
    if system and system not in aliases.systems():
        raise DataError(f"there is no alias set {system!r}{nearest(system, aliases.systems())} There are {', '.join(aliases.systems())}")
    headers = _headers(file, system)
    shape = _best(headers, aliases.shapes(system), file.label)
    inside = [other for other in aliases.shapes(shape.system) if other.within == shape.name]
    return [shape, *(other for other in inside if other.melted(headers) or not other.melt)]


def hits(system: str, table: str) -> Callable[[list[str]], int]:
    """Make the function that counts known headers in a row of a sheet."""
    known = aliases.shapes(system, table) or aliases.shapes(system)
    return lambda cells: max((_score(shape, cells) for shape in known), default=0)


def mapped(
    connection: Connection,
    table: Table,
    source: Source,
    extracts: list[Extract],
    company: Company,
    tables: Mapping[str, str],
    opened: ExitStack,
    *,
    has_history: bool,
) -> tuple[list[Extract], str]:
    """Put the files of a table under their canonical columns by the alias set that kpi.toml names; also gives their time zone, if that is known."""
    mains: list[tuple[Extract, Shape]] = []
    beside: list[tuple[Extract, Shape]] = []
    for extract in extracts:
        shape = _choose(source.format, table.name, extract, source, strict=bool(source.files))
        (mains if shape.table == table.name else beside).append((extract, shape))
    if not mains:
        kinds = ", ".join(shape.title for _, shape in beside)
        raise DataError(f"[tables.{table.name}] files holds {kinds}, but none whose rows are {table.name}")
    lookups = {**tables, **reshape.looked_up(connection, beside, source, opened)}
    made = []
    for extract, shape in mains:
        bound = expressions.bind(shape, extract.headers, source, company, lookups)
        extract, told = reshape.counted(connection, extract, bound, opened)
        made.append(_under_canonical_columns(extract, bound, table, *_reshaped(connection, extract, bound, table, source, opened)))
        made[-1].decisions += [("counted", text) for text in told]
        made[-1].decisions += [("not in the export", what) for what in shape.lacks if not (what == "stage history" and has_history)]
    return made, next(filter(None, (_zone(shape, extract.headers) for extract, shape in mains)), "")


def _zone(shape: Shape, headers: list[str]) -> str:
    is_connector = {fold(name) for name in shape.utc} & {fold(header) for header in headers}
    return "UTC" if is_connector else shape.timezone


def _reshaped(connection: Connection, extract: Extract, bound: Bound, table: Table, source: Source, opened: ExitStack) -> tuple[Extract, str]:
    """Find the extract to read and the SQL of its rows, where the rows of the file are no records."""
    if bound.shape.changes:
        return reshape.states_of_log(connection, extract, bound, source, opened)
    if not bound.shape.melt:
        return extract, reshape.plain(extract, bound)
    if not bound.shape.melted(extract.headers):
        example = 'Date entered "Stage (Pipeline)"'
        raise SchemaError(
            f"{table.name} lacks changed_at: {extract.label} has no columns such as {example}; export the dates on which deals entered each stage, "
            f"or leave [tables.{table.name}] out of {FILE}"
        )
    return extract, reshape.melted(extract, bound)


def _under_canonical_columns(extract: Extract, bound: Bound, table: Table, read: Extract, select: str) -> Extract:
    shape, source = bound.shape, bound.source
    written = {}
    for column in table.columns:
        name = column.name.removesuffix("_told")  # a status that kpi.toml tells is told
        stated = name in source.constants or (name in source.columns and not shape.changes)
        found = None if stated else bound.column(column.name)
        if found is not None:
            written[column.name] = found
        elif _is_wanting(column, extract.headers, source):
            raise SchemaError(_wanting(column, table, shape, extract))
    used = {place for found in written.values() for place in found.used}
    names = [fold(header) for header in extract.headers]
    if twice := [extract.headers[place] for place in sorted(used) if names.count(names[place]) > 1]:
        places = " and ".join(str(n) for n, name in enumerate(names, 1) if name == fold(twice[0]))
        raise SchemaError(f"{extract.label} has {twice[0]!r} in columns {places}, and which counts cannot be told; export one, or rename one")
    texts = [f"{name} = {_listed([extract.headers[place] for place in sorted(found.used)]) or 'always so'}" for name, found in written.items()]
    noted = [("read as", shape.title), ("columns", "; ".join(texts))]
    noted += [] if shape.within else _unused_headers(shape, extract.headers, used, source)
    noted += [("left out", what) for what, condition in shape.drop.items() if bound.write(condition).is_known]
    made = replace(
        read,
        headers=[*read.headers, *[""] * len(written)],
        cells=[*read.cells, *[found.sql for found in written.values()]],
        families=[*read.families, *["text"] * len(written)],
        row=expressions.ROW,
        select=select,
        mapped={name: place for place, name in enumerate(written, len(read.headers))},
        decisions=noted,
    )
    if shape.changes:  # its rows are states: what was no change is gone already
        return replace(made, footer=f"{sql.ident('field opportunity_id')} is null" if shape.footer else "false")
    return replace(made, footer=bound.footer(extract), dropped=bound.dropped())


def _listed(headers: list[str]) -> str:
    return " + ".join(headers) if len(headers) < 6 else f"{headers[0]} and {len(headers) - 1} more"


def _is_wanting(column: Column, headers: list[str], source: Source) -> bool:
    given = column.name in source.columns or column.name in source.constants or column.name in [header.casefold() for header in headers]
    return column.required and not column.default and not given


def _wanting(column: Column, table: Table, shape: Shape, extract: Extract) -> str:
    names = expressions.headers_of(shape, column.name)
    near = next((near for name in names if (near := nearest(name, extract.headers)) != "."), ".")
    wanted = " or ".join(repr(name) for name in names[:3]) or f"no header for {column.name}"
    return (
        f"{table.name} lacks {column.name}: a file of kind {shape.title} has it under {wanted}, and {extract.label} has {extract.headers}; "
        f"map it under [tables.{table.name}] columns in {FILE}{near}"
    )


def _unused_headers(shape: Shape, headers: list[str], used: set[int], source: Source) -> list[tuple[str, str]]:
    """Tell the headers that the alias set does not know, and those it knows and does not use here."""
    everything, stated = aliases.shapes(shape.system), {header.casefold() for header in [*source.columns.values(), *source.where]}
    siblings = [other for other in everything if other.table == shape.table or shape.name in (other.name, other.within) or shape.within == other.name]
    known = {fold(alias) for other in siblings for names in other.fields.values() for alias in names}
    left = [header for header in headers if header and header.casefold() not in stated]
    strange = [header for header in left if fold(header) not in known]
    strange = [header for header in strange if not any(other.is_ignored(header) or other.melted([header]) for other in everything)]
    near = {header: aliases.nearest_alias(header, [shape]) for header in strange}
    inside = [other for other in everything if other.within == shape.name]
    spare = [header for place, header in enumerate(headers) if place not in used and header in left and header not in strange]
    unused = [header for header in spare if not any(other.melted([header]) for other in inside)]
    noted = [("unknown header", f"{header} (the nearest alias is {alias})") for header, alias in near.items() if alias]
    lists = {"unknown headers": [header for header, alias in near.items() if not alias], "known, not used": unused}
    return noted + [(decision, ", ".join(names)) for decision, names in lists.items() if names]


def _choose(system: str, table: str, extract: Extract, source: Source, *, strict: bool) -> Shape:
    known = aliases.shapes(system, table)
    if not known:
        offered = ", ".join(dict.fromkeys(shape.table for shape in aliases.shapes(system) if shape.table))
        raise DataError(f'[tables.{table}] format = "{system}" has no aliases for {table}; it has {offered}. Map it by columns, or by a query')
    fitting = [shape for shape in known if _fits(shape, extract.headers, source)]
    if fitting:
        return max(fitting, key=lambda shape: _score(shape, extract.headers))
    if strict:
        return _best(extract.headers, aliases.shapes(system), extract.label)
    return max(known, key=lambda shape: _score(shape, extract.headers))


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
    """Choose among all kinds of files: a named system, by a header that only it has, before the generic one, then most known headers."""
    fitting = [shape for shape in known if not shape.within and _fits(shape, headers, Source())]
    common = {fold(alias) for shape in known if shape.system == GENERIC for names in shape.fields.values() for alias in names}
    fitting = [shape for shape in fitting if shape.system == GENERIC or any(fold(headers[n]) not in common for n in shape.places(headers).values())]
    fitting = [shape for shape in fitting if shape.system != GENERIC] or fitting
    ranked = sorted(fitting, key=lambda shape: -_score(shape, headers))
    if not ranked:
        raise DataError(f"{label} is no export that is known: its headers are {headers[:40]}; {_nearest_kind(headers, known, label)}")
    tied = [shape for shape in ranked if _score(shape, headers) == _score(ranked[0], headers)]
    if len(tied) > 1:
        kinds = ", ".join(f"{shape.title} ({shape.table or 'looked up'})" for shape in tied)
        raise DataError(f'{label} may be {kinds}; say which: format = "{tied[0].system}" under the right [tables.…] in {FILE}')
    return ranked[0]


def _nearest_kind(headers: list[str], known: Iterable[Shape], label: str) -> str:
    best = max((shape for shape in known if not shape.within), key=lambda shape: _score(shape, headers), default=None)
    if best is None or not _score(best, headers):
        return f"map its columns under [tables.…] columns in {FILE}"
    lacking = [f"{need} ({', '.join(best.fields[need.split('|')[0]][:3])})" for need in best.missing(best.places(headers))]
    how = f'[tables.{best.table or "…"}] path = "{label}", columns = {{{TABLES[best.table].key[0] if best.table else "…"} = "…"}}'
    lacks = "; ".join(lacking) or f"a header that only {best.system} has (--format {best.system} says that it is one)"
    return f"the nearest kind is {best.title}, but it lacks {lacks}: export these too, or map the columns in a {FILE}: {how}"


def _headers(located: Located, system: str) -> list[str]:
    if located.is_workbook:
        return workbook.examine(located, hits(system, "")).header
    if located.is_parquet:
        with duckdb.connect() as connection:
            return from_parquet(connection, located).headers
    return csv.examine(located, hits(system, "")).header
