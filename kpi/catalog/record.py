"""What the catalogue says of a KPI."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kpi:
    """What a KPI is.

    Attributes
    ----------
    key : str
        ``<area>.<name>``, as in `schema.RESULT`.
    name, definition : str
        English; `Words.translate` says them in French.
    unit : str
        ``rate`` (0 to 1), ``ratio``, ``difference`` (of rates), ``seconds``, ``days``, ``months``, ``count`` or ``money``.
    better : str
        ``up``, ``down``, or empty where neither is better as such.
    source : str
        Function that computes it.
    """

    key: str
    name: str
    definition: str
    unit: str
    better: str
    source: str
