"""What the CRMs call things: the data files in ``systems/``, one per system or per language of a system, read and looked names up in.

The files come with the kit and are trusted like its code, since they hold expressions of SQL; a kpi.toml can name a system but not bring one.
"""

from __future__ import annotations

import difflib
import functools
import re
import tomllib
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from kpi import schema
from kpi.errors import DataError
from kpi.sources.cells import fold

FOLDER = Path(__file__).parent / "systems"
GENERIC = "generic"  # its values hold for every system, its shapes only where no other system knows a file
_QUOTES = str.maketrans({"’": "'", "ʼ": "'", "‘": "'", "«": '"', "»": '"', "“": '"', "”": '"', "„": '"', "\u00a0": " ", "\u202f": " "})


@dataclass(frozen=True)
class Shape:
    """One kind of file that a system exports."""

    system: str
    name: str
    table: str = ""
    title: str = ""
    needs: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    parts: Mapping[str, str] = field(default_factory=dict)
    drop: Mapping[str, str] = field(default_factory=dict)
    counted: Mapping[str, str] = field(default_factory=dict)
    lookups: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    within: str = ""
    melt: tuple[str, ...] = ()
    closing: Mapping[str, str] = field(default_factory=dict)
    changes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    timezone: str = ""
    utc: tuple[str, ...] = ()
    footer: bool = False

    def places(self, headers: list[str]) -> dict[str, int]:
        """Find the column of each field in a file."""
        folded = {fold(header): place for place, header in reversed(list(enumerate(headers)))}
        found = {name: [folded[alias] for alias in map(fold, aliases) if alias in folded] for name, aliases in self.fields.items()}
        return {name: places[0] for name, places in found.items() if places}

    def melted(self, headers: list[str]) -> list[tuple[int, dict[str, str]]]:
        """Find the headers whose cells become rows."""
        matches = [(place, _matched(self.melt, header)) for place, header in enumerate(headers)]
        return [(place, match) for place, match in matches if match is not None]

    def missing(self, found: Iterable[str]) -> list[str]:
        """Say which needed fields a file lacks."""
        found = set(found)
        return [need for need in self.needs if not found & set(need.split("|"))]

    def is_ignored(self, header: str) -> bool:
        """Tell whether a header is known to be of no use."""
        folded = fold(header)
        return any(folded.startswith(fold(name)) if name.endswith("*") else folded == fold(name) for name in self.ignored)


def systems() -> list[str]:
    """List the systems whose exports are known."""
    names = {shape.system for shape in _load(FOLDER)}
    return sorted(names, key=lambda name: (name == GENERIC, name))


def shapes(system: str = "", table: str = "") -> list[Shape]:
    """List the kinds of files of a system, or of all."""
    return [shape for shape in _load(FOLDER) if system in ("", shape.system) and table in ("", shape.table)]


def nearest_alias(header: str, known: Iterable[Shape]) -> str:
    """Find the alias that a header is probably a variant of."""
    aliases = {fold(alias): alias for shape in known for names in shape.fields.values() for alias in names}
    near = difflib.get_close_matches(fold(header), aliases, n=1, cutoff=0.8)
    return aliases[near[0]] if near else ""


def _matched(patterns: Iterable[str], header: str) -> dict[str, str] | None:
    for pattern in patterns:
        match = re.fullmatch(pattern, unicodedata.normalize("NFC", header).translate(_QUOTES).strip(), re.IGNORECASE)
        if match:
            return {name: text or "" for name, text in match.groupdict().items()}
    return None


@functools.cache
def _load(folder: Path) -> tuple[Shape, ...]:
    """Read all files; those of one system are put together, so that a language may have a file of its own."""
    written: dict[str, dict] = {}
    for path in sorted(folder.glob("*.toml")):
        content = tomllib.loads(path.read_text("utf-8"))
        _merge(written.setdefault(content.pop("system"), {}), content)
    common = written.get(GENERIC, {}).get("values", {})
    return tuple(
        _shape(system, name, content, common, parts) for system, parts in written.items() for name, content in parts.items() if name != "values"
    )


def _merge(into: dict, more: dict) -> None:
    for key, value in more.items():
        if isinstance(value, dict):
            _merge(into.setdefault(key, {}), value)
        elif isinstance(value, list):
            into[key] = [*into.get(key, []), *value]
        else:
            into.setdefault(key, value)


def _shape(system: str, name: str, content: dict, common: dict, parts: dict) -> Shape:
    unknown = set(content) - {item.name for item in fields(Shape)}
    if unknown or (content.get("table") and content["table"] not in schema.TABLES):
        raise DataError(f"the alias set {system} [{name}] has the unknown {', '.join(sorted(unknown)) or content['table']}")
    inner = dict(content)
    if "within" in content:  # the same file, so the same fields
        for key in ("fields", "parts"):
            inner[key] = {**parts[content["within"]].get(key, {}), **content.get(key, {})}
    lists: dict[str, dict[str, str]] = {}
    for values in (common, parts.get("values", {}), content.get("values", {})):
        for column, meanings in values.items():
            lists.setdefault(column, {}).update({fold(cell): value for value, cells in meanings.items() for cell in cells})
    inner["values"] = lists
    inner |= {part: {key: tuple(names) for key, names in inner.get(part, {}).items()} for part in ("fields", "changes")}
    for key in ("needs", "never", "melt", "ignored", "lacks", "utc"):
        inner[key] = tuple(inner.get(key, ()))
    inner.setdefault("title", f"{system} {name.replace('_', ' ')}")
    return Shape(system, name, **inner)
