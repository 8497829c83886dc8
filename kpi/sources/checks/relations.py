"""What only several tables together show: links that lead nowhere, names that are nearly equal, outcomes recorded only from some date on."""

from __future__ import annotations

from collections.abc import Mapping

from kpi.engine import Connection
from kpi.schema import TABLES, Table
from kpi.sources import sql
from kpi.sources.checks import rules
from kpi.sources.checks.flags import flag
from kpi.sources.folding import folded
from kpi.sources.typing.cast import TypedTable

_NAMED = {
    "source": ("leads", "opportunities", "customers"),
    "owner": ("leads", "activities", "opportunities", "opportunity_history", "customers", "owners"),
    "product": ("opportunities", "orders"),
    "stage": ("opportunities", "opportunity_history", "stages"),
    "segment": ("customers",),
    "team": ("owners", "targets"),
    "country": ("leads",),
    "lost_reason": ("opportunities",),
}


def loose_links(connection: Connection, tables: Mapping[str, str], provided: Mapping[str, frozenset[str]]) -> list[tuple]:
    """Count optional references to records that are not there, and those that only their spelling keeps from being there."""
    found = []
    for name, stored in tables.items():
        for column in TABLES[name].columns:
            parent = tables.get(column.references)
            if column.filled or parent is None or column.name not in provided[name]:
                continue
            cell, key = sql.ident(column.name), sql.ident(TABLES[column.references].key[0])
            lost = f"from {stored} where {cell} not in (select {key} from {parent})"
            n, example = connection.execute(f"select count(*), min({cell}) {lost}").fetchall()[0]
            if n:
                found.append(flag(name, column.name, rules.LOOSE, n, example))
                found += near_keys(connection, name, column.name, f"(select {cell} as said {lost})", column.references, parent)
    return found


def near_keys(connection: Connection, table: str, column: str, lost: str, parent: str, stored: str) -> list[tuple]:
    """Find links that lead nowhere for their spelling alone."""
    key = sql.ident(TABLES[parent].key[0])
    keys = f"select {folded(key)} as bare, min({key}) as key from {stored} group by bare"
    links = f"select said, count(*) as n, {folded('said')} as bare from {lost} group by said"
    pairs = connection.execute(f"select said, n, key from ({links}) join ({keys}) using (bare) where bare <> '' order by n desc, said").fetchall()
    if not pairs:
        return []
    return [flag(table, column, rules.SPELLINGS, sum(n for _, n, _ in pairs), f"{pairs[0][0]!r} for {pairs[0][2]!r}")]


def near_orphans(connection: Connection, table: Table, typed: TypedTable, tables: Mapping[str, str]) -> list[tuple]:
    """Find rows set aside for want of their record, where only the spelling of its key differs."""
    found = []
    for number, (column, reason) in enumerate(typed.faults):
        if column and reason == rules.ORPHAN.format(column=column):
            parent = table[column].references
            lost = f"(select bad as said from {typed.name} where fault = {number})"
            found += near_keys(connection, table.name, column, lost, parent, tables[parent])
    return found


def near_names(connection: Connection, tables: Mapping[str, str], provided: Mapping[str, frozenset[str]]) -> list[tuple]:
    """Find names written in several ways: owners, products, sources, stages that only case, accents, spaces or signs keep apart."""
    said = [
        f"select {sql.text(column)} as col, {sql.text(table)} as tab, {sql.ident(column)} as name, count(*) as n from {tables[table]} group by name"
        for column, named in _NAMED.items()
        for table in named
        if table in tables and column in provided[table]
    ]
    if not said:
        return []
    names = f"select col, name, {folded('name')} as bare, sum(n) as n from said where name is not null group by col, name"
    usual = f"select col, name, bare, first_value(name) over (partition by col, bare order by n desc, name) as common from ({names})"
    pairs = connection.execute(
        f"with said as materialized ({' union all '.join(said)}), usual as ({usual}) "
        "select tab, col, said.name, common, said.n from said join usual using (col, name) "
        "where common <> said.name and bare <> '' order by col, common, said.name, tab"
    ).fetchall()
    return [flag(table, column, rules.SPELLINGS, n, f"{name!r} beside {common!r}") for table, column, name, common, n in pairs]
