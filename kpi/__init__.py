"""Sales KPIs: how fast leads are answered, how opportunities move, which customers stay."""

from __future__ import annotations

import importlib

__version__ = "0.1.0"

# Loaded on first use: `import kpi` and the command line's help stay instant.
_MODULES = {
    "catalog": "catalog",
    "compute": "compute",
    "facts": "facts",
    "forecast": "forecast",
    "lifetime_value": "lifetime_value",
    "pages": "presentation.pages",
    "pipeline": "pipeline",
    "plots": "presentation.charts",
    "response_time": "response_time",
    "retention": "retention",
    "schema": "schema",
    "sections": "sections",
}
_NAMES = {
    "load": "dataset",
    "Dataset": "dataset",
    "ledger": "denominators",
    "Month": "periods",
    "Window": "periods",
    "Words": "presentation.language",
    "about": "presentation.pages",
    "section": "presentation.pages",
    "KpiError": "errors",
}

__all__ = [*_MODULES, *_NAMES]


def __getattr__(name: str):
    if name in _MODULES:
        return importlib.import_module(f"kpi.{_MODULES[name]}")
    if name in _NAMES:
        return getattr(importlib.import_module(f"kpi.{_NAMES[name]}"), name)
    raise AttributeError(f"module 'kpi' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
