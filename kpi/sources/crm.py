"""Exports of CRMs: recognised by their headers, and turned into parts of a canonical table by an alias set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from kpi.errors import DataError, SchemaError
from kpi.schema import TABLES, Column, Table
from kpi.sources import alias_sets, csvtext, formulas, reshape, sql, stage, xlsx
from kpi.sources.alias_sets import GENERIC, Shape
from kpi.sources.config import FILE, Company, Source, nearest
from kpi.sources.files import Located
from kpi.sources.stage import Part


@dataclass(frozen=True)
class Recognised:
    """What a file was found to be.

    Attributes
    ----------
    system, table : str
        System, and the canonical table that its rows become; the name of the shape where it is only looked up by other tables.
    score : int
        Headers that are known aliases.
    mapping : dict of str to str
        Canonical column to the headers it is made of.
    unmatched : dict of str to str
        Headers that are no known alias, to the nearest one; empty where none is near.
    title : str
        What kind of export it is.
    also : tuple of str
        Further canonical tables that the same file yields.
    lacks : tuple of str
        What such an export cannot tell.
    """

    system: str
    table: str
    score: int
    mapping: dict[str, str]
    unmatched: dict[str, str]
    title: str = ""
    also: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dressed:
    """A table's files under their canonical columns.

    Attributes
    ----------
    parts : list of Part
        One per file that has rows of the table.
    zone : str
        Time zone of the system's local times; empty where the export depends on who made it.
    """

    parts: list[Part]
    zone: str


def recognise(path: str | Path, *, system: str = "") -> Recognised:
    """Tell from its headers which system wrote a file and what it holds.

    Parameters
    ----------
    path : str or Path
        CSV, Parquet or workbook, also ``workbook.xlsx/Sheet``.
    system : str
        The system, if it is known; empty means look in all.

    Returns
    -------
    Recognised

    Raises
    ------
    DataError
        If nothing fits, or two kinds of file fit equally well; the message lists the candidates.
    """
    file = Path(path)
    is_sheet = not file.exists() and file.parent.suffix.lower() == ".xlsx"
    located = Located(f"{file.parent.name}/{file.name}", file.parent, file.name) if is_sheet else Located(file.name, file)
    if system and system not in alias_sets.systems():
        raise DataError(f"there is no alias set {system!r}{nearest(system, alias_sets.systems())} There are {', '.join(alias_sets.systems())}")
    headers = _headers(located, system)
    shape = _best(headers, alias_sets.shapes(system), located.label)
    also = [other for other in alias_sets.shapes(shape.system) if other.within == shape.name and (other.melted(headers) or not other.melt)]
    bound = formulas.bind(shape, headers, Source(), Company(), {})
    mapping = {}
    for column in TABLES[shape.table].columns if shape.table else ():
        written = bound.column(column.name)
        if written is not None:
            mapping[column.name] = " + ".join(headers[place] for place in sorted(written.used))
    score = len(shape.places(headers)) + sum(len(other.melted(headers)) for other in also)
    tables = tuple(other.table for other in also)
    return Recognised(shape.system, shape.table or shape.name, score, mapping, unmatched(shape, headers), shape.title, tables, shape.lacks)


def hits(system: str = "", table: str = "") -> Callable[[list[str]], int]:
    """Make the function that counts known headers in a row of a sheet.

    Parameters
    ----------
    system, table : str
        Where to look; empty means everywhere.

    Returns
    -------
    callable
        The most headers that one kind of file knows.
    """
    known = alias_sets.shapes(system, table) or alias_sets.shapes(system)
    return lambda cells: max((len(shape.places(cells)) + len(shape.melted(cells)) for shape in known), default=0)


def unmatched(shape: Shape, headers: list[str]) -> dict[str, str]:
    """Find the headers that a system's alias set does not know.

    Parameters
    ----------
    shape : Shape
        Kind of file.
    headers : list of str
        As in the file.

    Returns
    -------
    dict of str to str
        Header to the nearest alias, empty where none is near.
    """
    siblings = [other for other in alias_sets.shapes(shape.system) if other.table == shape.table or shape.name in (other.name, other.within)]
    known = {alias_sets.fold(alias) for other in siblings for names in other.fields.values() for alias in names}
    strange = [header for header in headers if header and alias_sets.fold(header) not in known]
    strange = [header for header in strange if not any(other.is_ignored(header) or other.melted([header]) for other in siblings)]
    return {header: alias_sets.nearest_alias(header, [shape]) for header in strange}


def dressed(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    source: Source,
    parts: list[Part],
    company: Company,
    tables: Mapping[str, str],
    opened: ExitStack,
    *,
    has_history: bool,
) -> Dressed:
    """Put the files of a table under their canonical columns by the alias set that kpi.toml names.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Where files that are looked up are kept.
    table : Table
        The contract.
    source : Source
        Its ``format`` names the system; explicit columns, constants and values win.
    parts : list of Part
        Files as they are.
    company : Company
        Its currency.
    tables : mapping
        Canonical tables read so far, to look up in.
    opened : ExitStack
        Closes what is kept.
    has_history : bool
        Whether the data set has the table `opportunity_history`, from whatever source.

    Returns
    -------
    Dressed

    Raises
    ------
    SchemaError
        If a required column cannot be made; the message names the nearest header.
    DataError
        If a file is of no kind that the table needs.
    """
    mains, beside = [], []
    for part in parts:
        shape = choose(source.format, table.name, part, source, strict=bool(source.files))
        (mains if shape.table == table.name else beside).append((part, shape))
    if not mains:
        kinds = ", ".join(shape.title for _, shape in beside)
        raise DataError(f"[tables.{table.name}] files holds {kinds}, but none whose rows are {table.name}")
    looked = reshape.kept(connection, beside, source, opened)
    made = [_dress(connection, part, shape, table, source, company, {**tables, **looked}, opened) for part, shape in mains]
    for part, (_, shape) in zip(made, mains, strict=True):
        lacks = [what for what in shape.lacks if not (what == "stage history" and has_history)]
        part.noted += [("not in the export", what) for what in lacks]
    return Dressed(made, mains[0][1].timezone)


def choose(system: str, table: str, part: Part, source: Source, *, strict: bool) -> Shape:
    """Choose the kind of file that a table's file is.

    Parameters
    ----------
    system : str
        Alias set.
    table : str
        Canonical table.
    part : Part
        The file.
    source : Source
        Explicit columns count as found.
    strict : bool
        Whether the file may be one that is only looked up.

    Returns
    -------
    Shape
        The one with most known headers among those whose needed fields are there; else, unless `strict`, the nearest one.

    Raises
    ------
    DataError
        If the system has no such table, or `strict` and nothing fits.
    """
    known = alias_sets.shapes(system, table)
    if not known:
        offered = ", ".join(dict.fromkeys(shape.table for shape in alias_sets.shapes(system) if shape.table))
        raise DataError(f'[tables.{table}] format = "{system}" has no aliases for {table}; it has {offered}. Map it by columns, or by a query')
    fitting = [shape for shape in known if _fits(shape, part.headers, source)]
    if fitting:
        return max(fitting, key=lambda shape: _score(shape, part.headers))
    if strict:
        return _best(part.headers, alias_sets.shapes(system), part.label)
    return max(known, key=lambda shape: _score(shape, part.headers))


def _fits(shape: Shape, headers: list[str], source: Source) -> bool:
    folded = {alias_sets.fold(header) for header in headers}
    if (shape.melt and not shape.melted(headers)) or folded & {alias_sets.fold(name) for name in shape.never}:
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
        return xlsx.examine(located, hits=hits(system)).header
    if located.is_parquet:
        with duckdb.connect() as connection:
            return stage.typed_part(connection, located.label, f"read_parquet({sql.text(str(located.path))})", "").headers
    return csvtext.examine(located).header


def _dress(connection, part: Part, shape: Shape, table: Table, source: Source, company: Company, lookups: Mapping, opened: ExitStack) -> Part:
    bound = formulas.bind(shape, part.headers, source, company, lookups)
    around = reshape.plain(part, bound)
    read = part
    if shape.melt:
        around = reshape.melted(part, bound)
    elif shape.fold:
        read, around = reshape.folded(connection, part, bound, source, opened)
    made = replace(read, headers=list(read.headers), cells=list(read.cells), families=list(read.families), row=formulas.ROW, around=around)
    made = replace(made, mapped={}, used=set())
    texts = []
    for column in table.columns:
        stated = column.name in source.constants or (column.name in source.columns and not shape.fold)
        written = None if stated else bound.column(column.name)
        if written is not None:
            made.mapped[column.name] = len(made.headers)
            made.headers.append("")
            made.cells.append(written.sql)
            made.families.append("text")
            made.used.update(written.used)
            texts.append(f"{column.name} = {' + '.join(part.headers[place] for place in sorted(written.used)) or 'always so'}")
        elif _is_wanting(column, part.headers, source):
            raise SchemaError(_wanting(column, table, shape, part))
    made.noted = [("read as", shape.title), ("columns", "; ".join(texts)), *_strange(shape, part.headers, made.used, source)]
    made.noted += [("left out", what) for what in shape.drop] if not shape.fold else []
    if shape.fold:  # its rows are states: what was no change is gone already
        made.footer = f"{sql.ident('field opportunity_id')} is null" if shape.footer else "false"
    else:
        made.footer, made.dropped = bound.footer(part), bound.dropped()
    return made


def _is_wanting(column: Column, headers: list[str], source: Source) -> bool:
    given = column.name in source.columns or column.name in source.constants or column.name in [header.casefold() for header in headers]
    return column.required and not column.default and not given


def _wanting(column: Column, table: Table, shape: Shape, part: Part) -> str:
    names = formulas.headers_of(shape, column.name)
    near = nearest(names[0], part.headers) if names else "."
    for name in names:
        near = nearest(name, part.headers) if near == "." else near
    wanted = " or ".join(repr(name) for name in names[:3]) or f"no header for {column.name}"
    return (
        f"{table.name} lacks {column.name}: a file of kind {shape.title} has it under {wanted}, and {part.label} has {part.headers}; "
        f"map it under [tables.{table.name}] columns in {FILE}{near}"
    )


def _strange(shape: Shape, headers: list[str], used: set[int], source: Source) -> list[tuple[str, str]]:
    mapped = {header.casefold() for header in [*source.columns.values(), *source.where]}
    strange = {header: near for header, near in unmatched(shape, headers).items() if header.casefold() not in mapped}
    noted = [("unknown header", f"{header} (the nearest alias is {near})") for header, near in strange.items() if near]
    unknown = [header for header, near in strange.items() if not near]
    noted += [("unknown headers", ", ".join(unknown))] if unknown else []
    unused = [
        header
        for place, header in enumerate(headers)
        if header and place not in used and header not in strange and header.casefold() not in mapped and not shape.melted([header])
    ]
    return noted + ([("known, not used", ", ".join(unused))] if unused else [])
