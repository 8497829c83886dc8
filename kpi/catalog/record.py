"""What the catalogue says of a KPI."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kpi:
    """What a KPI is."""

    key: str
    name: str
    definition: str
    unit: str
    better: str
    source: str
