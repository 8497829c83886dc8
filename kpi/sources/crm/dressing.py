"""A file under its canonical columns: an alias set's formulas put beside its cells, and a word on every header."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace

from kpi.engine import Connection
from kpi.errors import DataError, SchemaError, nearest
from kpi.schema import Column, Table
from kpi.sources import sql
from kpi.sources.config import FILE, Company, Source
from kpi.sources.crm import aliases, expressions, mapping, reshape
from kpi.sources.crm.aliases import Shape
from kpi.sources.folding import fold
from kpi.sources.readers.extract import Extract


@dataclass(frozen=True)
class Dressed:
    """A table's files under their canonical columns."""

    parts: list[Extract]
    zone: str


def dressed(
    connection: Connection,
    table: Table,
    source: Source,
    parts: list[Extract],
    company: Company,
    tables: Mapping[str, str],
    opened: ExitStack,
    *,
    has_history: bool,
) -> Dressed:
    """Put the files of a table under their canonical columns by the alias set that kpi.toml names."""
    mains: list[tuple[Extract, Shape]] = []
    beside: list[tuple[Extract, Shape]] = []
    for part in parts:
        shape = mapping.choose(source.format, table.name, part, source, strict=bool(source.files))
        (mains if shape.table == table.name else beside).append((part, shape))
    if not mains:
        kinds = ", ".join(shape.title for _, shape in beside)
        raise DataError(f"[tables.{table.name}] files holds {kinds}, but none whose rows are {table.name}")
    looked = reshape.kept(connection, beside, source, opened)
    made = [_dress(connection, part, shape, table, source, company, {**tables, **looked}, opened) for part, shape in mains]
    for part, (_, shape) in zip(made, mains, strict=True):
        lacks = [what for what in shape.lacks if not (what == "stage history" and has_history)]
        part.decisions += [("not in the export", what) for what in lacks]
    return Dressed(made, next(filter(None, (_zone(shape, part.headers) for part, shape in mains)), ""))


def _zone(shape: Shape, headers: list[str]) -> str:
    connected = {fold(name) for name in shape.utc} & {fold(header) for header in headers}
    return "UTC" if connected else shape.timezone


def _dress(
    connection: Connection,
    part: Extract,
    shape: Shape,
    table: Table,
    source: Source,
    company: Company,
    lookups: Mapping,
    opened: ExitStack,
) -> Extract:
    bound = expressions.bind(shape, part.headers, source, company, lookups)
    around = reshape.plain(part, bound)
    read = part
    if shape.melt and not shape.melted(part.headers):
        example = 'Date entered "Stage (Pipeline)"'
        raise SchemaError(
            f"{table.name} lacks changed_at: {part.label} has no columns such as {example}; export the dates on which deals entered each stage, "
            f"or leave [tables.{table.name}] out of {FILE}"
        )
    if shape.melt:
        around = reshape.melted(part, bound)
    elif shape.changes:
        read, around = reshape.states_of_log(connection, part, bound, source, opened)
    made = replace(read, headers=list(read.headers), cells=list(read.cells), families=list(read.families), row=expressions.ROW, select=around)
    made = replace(made, mapped={}, used=set())
    texts = []
    for column in table.columns:
        stated = column.name in source.constants or (column.name in source.columns and not shape.changes)
        written = None if stated else bound.column(column.name)
        if written is not None:
            made.mapped[column.name] = len(made.headers)
            made.headers.append("")
            made.cells.append(written.sql)
            made.families.append("text")
            made.used.update(written.used)
            texts.append(f"{column.name} = {_listed([part.headers[place] for place in sorted(written.used)]) or 'always so'}")
        elif _is_wanting(column, part.headers, source):
            raise SchemaError(_wanting(column, table, shape, part))
    made.decisions = [("read as", shape.title), ("columns", "; ".join(texts))]
    made.decisions += [] if shape.within else _strange(shape, part.headers, made.used, source)
    made.decisions += [("left out", what) for what, condition in shape.drop.items() if bound.write(condition).told]
    if shape.changes:  # its rows are states: what was no change is gone already
        made.footer = f"{sql.ident('field opportunity_id')} is null" if shape.footer else "false"
    else:
        made.footer, made.dropped = bound.footer(part), bound.dropped()
    return made


def _listed(headers: list[str]) -> str:
    return " + ".join(headers) if len(headers) < 6 else f"{headers[0]} and {len(headers) - 1} more"


def _is_wanting(column: Column, headers: list[str], source: Source) -> bool:
    given = column.name in source.columns or column.name in source.constants or column.name in [header.casefold() for header in headers]
    return column.required and not column.default and not given


def _wanting(column: Column, table: Table, shape: Shape, part: Extract) -> str:
    names = expressions.headers_of(shape, column.name)
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
    inside = [other for other in aliases.shapes(shape.system) if other.within == shape.name]
    strange = {header: near for header, near in mapping.unmatched(shape, headers).items() if header.casefold() not in mapped}
    noted = [("unknown header", f"{header} (the nearest alias is {near})") for header, near in strange.items() if near]
    unknown = [header for header, near in strange.items() if not near]
    noted += [("unknown headers", ", ".join(unknown))] if unknown else []
    unused = [
        header
        for place, header in enumerate(headers)
        if header
        and place not in used
        and header not in strange
        and header.casefold() not in mapped
        and not any(other.melted([header]) for other in inside)
    ]
    return noted + ([("known, not used", ", ".join(unused))] if unused else [])
