"""Expressions of alias sets: ``{field}`` and its kin turned into SQL over the columns of a file.

========================  ====================================================================================================================
``{amount}``              the cell of a field, stripped; missing where empty or where the file has no such column
``{is_won?}``             the cell as yes or no; missing where it is neither
``{stage|status}``        the cell translated by a list of values; missing where the list does not know it
``{deal.status}``         a column looked up in another file or table
``{melt.stage}``          a part of the header that made the row
``{row}``                 the row number
``{company.currency}``    the company's
========================  ====================================================================================================================
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from kpi.errors import DataError
from kpi.schema import TABLES
from kpi.sources import sql
from kpi.sources.cells import folded, only_first
from kpi.sources.config import Company, Source
from kpi.sources.crm.aliases import Shape
from kpi.sources.readers.extract import Extract
from kpi.sources.typing.cast import NO, YES

ROW = sql.ident("row of the file")  # no column of a user's is called so
_FIELD = re.compile(r"\{(\w+)(?:\.(\w+))?(\?|\|\w+)?\}")


@dataclass(frozen=True)
class Written:
    """A formula as SQL."""

    sql: str
    used: frozenset[int]
    is_known: bool


@dataclass(frozen=True)
class Bound:
    """A shape's formulas bound to one file."""

    shape: Shape
    places: dict[str, int]
    headers: list[str]
    source: Source
    company: Company
    lookups: Mapping[str, str]

    def write(self, formula: str) -> Written:
        """Turn a formula into SQL."""
        used: set[int] = set()
        known: list[bool] = []

        def sql_of(match: re.Match) -> str:
            name, inner, modifier = match[1], match[2] or "", match[3] or ""
            part = self._looked_up(name, inner) if inner else self._field(name)
            used.update(part.used)
            if (name, inner) not in (("company", "currency"), ("row", "")):
                known.append(part.is_known)
            return self._modified(part.sql, modifier)

        text = _FIELD.sub(sql_of, formula)
        return Written(text, frozenset(used), any(known) or not known)

    def column(self, name: str) -> Written | None:
        """Write a canonical column."""
        formula = self.shape.columns.get(name) or (f"{{{name}}}" if name in {**self.shape.fields, **self.shape.changes, **self.shape.parts} else "")
        if not formula:
            return None
        written = self.write(formula)
        if not written.is_known:
            return None
        column = TABLES[self.shape.table][name]
        listed = name in self.shape.values and (column.allowed or column.kind == "boolean")
        if (listed or name in self.source.values) and f"|{name}}}" not in formula:
            return Written(self._translated(written.sql, name, keep=True, aliases=bool(listed)), written.used, True)
        return written

    def footer(self, extract: Extract) -> str:
        """Write the condition that a row is a note below the table."""
        if not self.shape.footer:
            return extract.footer
        keys = [self.write(f"{{{name}}}").sql for need in self.shape.needs[:1] for name in need.split("|")]
        return f"coalesce({', '.join([*keys, 'null'])}) is null or ({only_first(extract.cells)})"

    def dropped(self) -> str:
        """Write the condition that a record does not belong in the table."""
        tests = [self.write(condition) for condition in self.shape.drop.values()]
        return " or ".join(f"coalesce({test.sql}, false)" for test in tests if test.is_known) or "false"

    def _field(self, name: str) -> Written:
        if name == "row":
            return Written(f"{ROW}::varchar", frozenset(), True)
        if name in self.shape.parts:
            written = self.write(self.shape.parts[name])
            return Written(sql.ident(f"part {name}"), written.used, written.is_known)
        if name in self.places:
            return Written(sql.ident(f"field {name}"), frozenset({self.places[name]}), True)
        if name in self.shape.changes:
            return Written(sql.ident(f"field {name}"), frozenset({self.places[name] for name in ("field", "new") if name in self.places}), True)
        if name not in self.shape.fields:
            raise DataError(f"the alias set {self.shape.system} [{self.shape.name}] names the unknown field {name}")
        return Written("null::varchar", frozenset(), False)

    def _looked_up(self, name: str, inner: str) -> Written:
        if (name, inner) == ("company", "currency"):
            return Written(sql.text(self.company.currency), frozenset(), True)
        if name == "melt":
            places = frozenset(place for place, _ in self.shape.melted(self.headers))
            return Written(sql.ident(f"melt {inner}"), places, True)
        if name not in self.shape.lookups:
            raise DataError(f"the alias set {self.shape.system} [{self.shape.name}] looks {inner} up in the unknown {name}")
        lookup = self.shape.lookups[name]
        relation = self.lookups.get(lookup.get("shape") or lookup["table"])
        on = self.write(lookup["on"])
        if relation is None or not on.is_known:
            return Written("null::varchar", frozenset(), False)
        prefix = "found " if "shape" in lookup else ""
        value, key = (f"looked.{sql.ident(prefix + column)}::varchar" for column in (inner, lookup["key"]))
        value = f"case when count(distinct {value}) = 1 then min({value}) end" if "unique" in lookup else f"min({value})"
        return Written(f"(select {value} from {relation} as looked where {key} = {on.sql})", on.used, True)

    def _modified(self, cell: str, modifier: str) -> str:
        if modifier == "?":
            word = f"lower(replace({cell}, '.0', ''))"
            return f"(case when {word} in ({sql.texts(YES)}) then true when {word} in ({sql.texts(NO)}) then false end)"
        return self._translated(cell, modifier[1:], keep=False) if modifier else cell

    def _translated(self, cell: str, name: str, *, keep: bool, aliases: bool = True) -> str:
        """Translate by the data set's own values, letter by letter, then by those of the alias set, folded."""
        own, known = self.source.values.get(name, {}), self.shape.values.get(name, {}) if aliases else {}
        meaning = _look_up(known, folded(cell)) if known else "null"
        meaning = f"coalesce({meaning}, {cell})" if keep else meaning
        # An own value may be the empty text, which means a missing one.
        mine = f"coalesce({cell}, '')"
        return f"nullif(case when {mine} in ({sql.texts(own)}) then {_look_up(own, mine)} else {meaning} end, '')" if own else f"({meaning})"


def _look_up(values: Mapping[str, str], cell: str) -> str:
    """Write the look-up in a list; as one CASE, planning a query with several of them takes minutes."""
    return f"map([{sql.texts(values)}], [{sql.texts(values.values())}])[{cell}]"


def bind(shape: Shape, headers: list[str], source: Source, company: Company, lookups: Mapping[str, str]) -> Bound:
    """Bind a shape's formulas to a file."""
    stated = {name: header.strip() for name, header in source.columns.items() if name in shape.fields}
    places = shape.places(headers) | {name: headers.index(header) for name, header in stated.items() if header in headers}
    return Bound(shape, places, headers, source, company, lookups)


def headers_of(shape: Shape, column: str) -> list[str]:
    """List the headers from which a canonical column could be made."""
    names, found = [column], list[str]()
    while names:
        name = names.pop(0)
        found += shape.fields.get(name, ())
        formula = shape.columns.get(name, "") if name == column else shape.parts.get(name, "")
        names += [match[1] for match in _FIELD.finditer(formula) if match[1] != name]
    return list(dict.fromkeys(found))
