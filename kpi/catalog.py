"""The catalogue: one record per KPI, read from ``catalog.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from kpi.errors import ParameterError

__all__ = ["CATALOG", "CHAIN", "Headline", "Kpi", "kpi"]


@dataclass(frozen=True)
class Headline:
    """What makes a KPI one of the chain from leads to customers kept: place, name on its tile, kind of chart, arguments of its monthly series."""

    key: str
    name: str
    kind: Literal["count", "rate", "money"]
    place: int
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Kpi:
    """What a KPI is; the head of ``catalog.toml`` says what each field holds."""

    key: str
    name: str
    definition: str
    function: str
    unit: str
    needs: tuple[str, ...]
    better: str = ""
    months: int = 0
    days: int = 0
    horizons: tuple[float, ...] = ()
    months_before: int = 0
    past_months: int = 0
    arguments: Mapping[str, Any] = field(default_factory=dict)
    floor: int = 0
    source: str = ""
    headline: Headline | None = None


def _record(key: str, fields: dict[str, Any]) -> Kpi:
    headline = fields.pop("headline", None)
    fields |= {name: tuple(fields.get(name, ())) for name in ("needs", "horizons")}
    return Kpi(key, **fields, headline=Headline(**{"name": fields["name"]} | headline, key=key, kind=fields["unit"]) if headline else None)


CATALOG = {key: _record(key, fields) for key, fields in tomllib.loads(Path(__file__).with_name("catalog.toml").read_text("utf-8")).items()}
CHAIN = {item.key: item for item in sorted((kpi.headline for kpi in CATALOG.values() if kpi.headline), key=lambda item: item.place)}


def kpi(key: str) -> Kpi:
    """Find a KPI by its key."""
    if key not in CATALOG:
        raise ParameterError(f"KPI {key!r} is unknown; the catalogue has {', '.join(CATALOG)}")
    return CATALOG[key]
