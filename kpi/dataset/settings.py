"""Parameters of the metrics that kpi.toml may set, with the kind of value each takes, or the only values."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from kpi.errors import ParameterError

SETTINGS: dict[str, dict[str, Any]] = {
    "response": {},
    "pipeline": {"watched_stage": str, "size_bands": list, "renamed": dict},
    "retention": {
        "contractual": bool,
        "activity_days": int,
        "purchases": ("net", "sales", "documents"),
        "renewal_months": int,
        "contracts_end": ("last_day", "first_day_without"),
    },
    "pulse": {},
    "links": {"floor": float},
}
_KINDS = {
    str: "a text",
    bool: "true or false",
    int: "a whole number of at least 1",
    float: "a share such as 0.5",
    dict: 'former names with the new ones, such as {Proposal = "Offer sent"}',
    list: "amounts above 0, each larger than the one before",
}


def checked(settings: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Mapping[str, Any]]:
    """Refuse parameters that no metric has, or of the wrong kind."""
    for area, given in settings.items():
        for key, value in given.items():
            kind = SETTINGS.get(area, {}).get(key)
            if kind is None:
                known = [f"[{where}] {name}" for where, names in SETTINGS.items() for name in names]
                near = difflib.get_close_matches(f"[{area}] {key}", known, n=1, cutoff=0.0)[0]
                raise ParameterError(f"[{area}] {key} is no parameter; the nearest is {near}, all are {', '.join(known)}")
            if not _is_valid(kind, value):
                wanted = f"one of {', '.join(kind)}" if isinstance(kind, tuple) else _KINDS[kind]
                raise ParameterError(f"[{area}] {key} = {value!r}: give {wanted}")
    return settings


def _is_valid(kind: Any, value: Any) -> bool:
    if isinstance(kind, tuple):
        return value in kind
    if type(value) is dict is kind:
        return all(isinstance(name, str) for name in value.values())
    if type(value) is not kind or kind is not list:
        return type(value) is kind and (kind is not int or value >= 1) and (kind is not float or 0 <= value <= 1)
    return all(type(one) in (int, float) for one in value) and all(before < after for before, after in pairwise([0, *value]))
