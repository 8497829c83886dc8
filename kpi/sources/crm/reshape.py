"""Files whose rows are not records: headers that hold a date each, logs of changes, tables that others look up."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace

import duckdb
import pyarrow as pa

from kpi.engine import Connection
from kpi.errors import DataError
from kpi.schema import Column, Table
from kpi.sources import sql
from kpi.sources.cells import fold, folded, stripped
from kpi.sources.config import Company, Source
from kpi.sources.crm import expressions
from kpi.sources.crm.aliases import Shape
from kpi.sources.crm.expressions import ROW, Bound
from kpi.sources.readers.extract import Extract
from kpi.sources.staging import StagingTable, date_in_numbers
from kpi.sources.typing import dialect

_LOG = Table("opportunity_history", (Column("changed_at", "instant"),))


def plain(extract: Extract, bound: Bound) -> str:
    """Write the rows of a file with its fields beside."""
    fields = [f"{_clean(extract, place)} as {sql.ident(f'field {name}')}" for name, place in bound.places.items()]
    rows = f"select {', '.join(['*', f'{extract.row}::bigint as {ROW}', *fields])} from {{relation}}"
    # Each part in a query of its own: written out wherever it is used, planning would take seconds.
    for name, formula in bound.shape.parts.items():
        rows = f"select *, {bound.write(formula).sql} as {sql.ident(f'part {name}')} from ({rows})"
    return rows


def melted(extract: Extract, bound: Bound) -> str:
    """Write a row for each filled cell under a header that names a stage."""
    shape, headers = bound.shape, bound.shape.melted(extract.headers)
    cells = [{"at": _clean(extract, place), "number": sql.text(str(number)), **_texts(groups)} for number, (place, groups) in enumerate(headers, 1)]
    if shape.closing and cells:
        now, ended, when = (bound.write(shape.closing[key]) for key in ("stage", "at", "when"))
        if now.is_known and ended.is_known and when.is_known:
            entered = " ".join(f"when {sql.text(fold(groups['stage']))} then {_clean(extract, place)}" for place, groups in headers)
            is_open_end = f"({when.sql}) and (case {folded(now.sql)} {entered} end) is null"
            cells.append(
                {**dict.fromkeys(cells[0], "''"), "at": f"case when {is_open_end} then {ended.sql} end", "stage": now.sql, "number": "'999'"}
            )
    rows = ", ".join("{" + ", ".join(f"{sql.ident('melt ' + name)}: {cell}" for name, cell in row.items()) + "}" for row in cells)
    return f'select * from (select *, unnest([{rows}], recursive := true) from ({plain(extract, bound)})) where "melt at" is not null'


def states_of_log(connection: Connection, extract: Extract, bound: Bound, source: Source, opened: ExitStack) -> tuple[Extract, str]:
    """Turn a log of changes into the whole state after each: of each field the last value known, before its first change the old one."""
    log, at = _stored(connection, extract, bound, opened), bound.write("{changed_at}").sql
    connection.execute(f"update {log} set {at} = {date_in_numbers(at)}")
    names = {fold(alias): name for name, aliases in bound.shape.changes.items() for alias in aliases}
    listed = " ".join(f"when {sql.text(alias)} then {sql.text(name)}" for alias, name in names.items())
    moment = _moment(connection, log, bound, source, extract.label)
    old = bound.write("{old}").sql
    kept = f"not ({bound.dropped()})"
    fields = list(bound.shape.changes)
    changed = ", ".join(
        f"arg_max(new, {ROW}) filter (name = {sql.text(name)}) as {sql.ident('new ' + name)}, "
        f"arg_min(old, {ROW}) filter (name = {sql.text(name)}) as {sql.ident('old ' + name)}"
        for name in fields
    )
    begun = bound.lookups.get("opportunities")
    first = (
        f"""union all by name select {sql.ident("opportunity_id")} as id, strftime(created_at, '%Y-%m-%dT%H:%M:%SZ') as stamp,
        timestamp '0001-01-01' as moment, 0 as {ROW} from {begun} as deal where created_at is not null
        and opportunity_id in (select id from log) and opportunity_id not in (select id from log where name = 'created')"""
        if begun and "old" in bound.places
        else ""
    )
    states = ", ".join(_filled(name, bound) for name in fields)
    around = f"""with log as (
            select {bound.write("{opportunity_id}").sql} as id, {at} as stamp, {moment} as moment, {ROW},
            case {folded(bound.write("{field}").sql)} {listed} end as name,
            coalesce({bound.write("{new}").sql}, '') as new, coalesce({old}, '') as old
            from {{relation}} where {kept}),
        changes as (
            select id, any_value(stamp) as stamp, moment, min({ROW}) as {ROW}, {changed} from log where name is not null
            group by id, moment, case when moment is null then {ROW} end {first})
        select {ROW}, id as "field opportunity_id", stamp as "field changed_at", {states} from changes
        window so_far as (partition by id order by moment, {ROW}),
            later as (partition by id order by moment, {ROW} rows between 1 following and unbounded following)"""
    cells = [sql.ident(f"field {name}") for name in ("opportunity_id", "changed_at", *fields)]
    made = replace(extract, headers=[""] * len(cells), cells=cells, families=["text"] * len(cells), reader=None, relation=log)
    return made, around


def counted(connection: Connection, extract: Extract, bound: Bound, opened: ExitStack) -> tuple[Extract, list[str]]:
    """Say of how many rows something holds that the alias set wants said; the file is kept for that, since it is read but once."""
    tests = {what: test.sql for what, condition in bound.shape.counted.items() if (test := bound.write(condition)).is_known}
    if not tests:
        return extract, []
    kept = sql.free_name(connection, f"stage_{bound.shape.name}_rows")
    with extract.opened(connection) as relation:
        connection.execute(f"create temp table {kept} as select * from {relation}")
    opened.callback(connection.execute, f"drop table if exists {kept}")
    asked, rows = ", ".join(f"count(*) filter ({test})" for test in tests.values()), plain(extract, bound).replace("{relation}", kept)
    every, *found = connection.execute(f"select count(*), {asked} from ({rows})").fetchall()[0]
    return replace(extract, reader=None, relation=kept), [f"{n} of {every} {what}" for what, n in zip(tests, found, strict=True) if n]


def looked_up(connection: Connection, beside: Iterable[tuple[Extract, Shape]], source: Source, opened: ExitStack) -> dict[str, str]:
    """Keep the files that a table's formulas look things up in."""
    found: dict[str, str] = {}
    for extract, shape in beside:
        if shape.name in found:
            raise DataError(f"{extract.label}: the files hold {shape.title} twice; name one")
        stored = _stored(connection, extract, expressions.bind(shape, extract.headers, Source(), Company(), {}), opened)
        # Under names of their own, or a look-up would compare a column with itself.
        fields = ", ".join(f"{sql.ident(f'field {name}')} as {sql.ident(f'found {name}')}" for name in shape.fields)
        found[shape.name] = sql.free_name(connection, f"stage_{shape.name}_found")
        connection.execute(f"create temp table {found[shape.name]} as select {fields} from {stored}")
        opened.callback(connection.execute, f"drop table if exists {found[shape.name]}")
    return found


def _stored(connection: Connection, extract: Extract, bound: Bound, opened: ExitStack) -> str:
    name = sql.free_name(connection, f"stage_{bound.shape.name}")
    missing = [field for field in bound.shape.fields if field not in bound.places]
    absent = "".join(f", null::varchar as {sql.ident(f'field {field}')}" for field in missing)
    try:
        with extract.opened(connection) as relation:
            rows = plain(extract, bound).replace("{relation}", relation)
            connection.execute(f"create temp table {name} as select *{absent} from ({rows})")
    except (duckdb.Error, pa.ArrowException) as error:
        raise extract.failure(error) from None
    opened.callback(connection.execute, f"drop table if exists {name}")
    return name


def _moment(connection: Connection, log: str, bound: Bound, source: Source, label: str) -> str:
    """Write what a log is sorted by: its instants, read as the whole column is written."""
    at = bound.write("{changed_at}").sql
    view = sql.free_name(connection, "stage_log")
    columns = f'0 as file, {ROW} as row, {at} as "changed_at", false as is_blank, false as is_filtered'
    connection.execute(f"create temp view {view} as select {columns} from {log}")
    try:
        written = dialect.decide(connection, StagingTable(_LOG, view, {"changed_at": "text"}, [label]), source)["changed_at"]
    finally:
        connection.execute(f"drop view {view}")
    exact = f"coalesce(make_timestamp(epoch_us({written.zoned(at)})), " if written.has_offset else "("
    return f"{exact}{written.local(at)})"


def _filled(name: str, bound: Bound) -> str:
    new, old = sql.ident(f"new {name}"), sql.ident(f"old {name}")
    now = bound.write(f"{{deal.{name}}}").sql if "deal" in bound.shape.lookups and name != "created" else "null"
    last, before = f"last_value({new} ignore nulls) over so_far", f"first_value({old} ignore nulls) over later"
    return (
        f"case when {last} is not null then nullif({last}, '') when {before} is not null then nullif({before}, '') "
        f"else {now} end as {sql.ident(f'field {name}')}"
    )


def _clean(extract: Extract, place: int) -> str:
    cell, family = extract.cells[place], extract.families[place]
    if family == "number":  # six digits, so that no point can be taken for thousands
        whole = f"{cell} = round({cell})"
        return f"case when {whole} then {cell}::hugeint::varchar when isfinite({cell}::double) then printf('%.6f', {cell}::double) end"
    return f"nullif({stripped(f'{cell}::varchar')}, '')"


def _texts(groups: dict[str, str]) -> dict[str, str]:
    return {name: sql.text(text.strip()) for name, text in groups.items()}
