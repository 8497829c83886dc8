"""Sales KPIs: how fast leads are answered, how opportunities move, which customers stay.

Metrics share these parameters, so their own documentation says only what differs:

data : Dataset
    What `load` or `Dataset` gives; no metric alters it.
as_of : str, date, datetime or Timestamp
    What was known then is used, nothing later. ISO text such as ``2026-11-01`` or ``2026-11-01T09:30+01:00``; a bare date means local midnight at
    its start in the company's zone, a Timestamp without zone is UTC. Refused after the end of the data.
window : Window, str, pair of dates or None
    Local days that are counted: a month ``2026-10``, a quarter ``2026-Q4``, or two ISO dates, the first included, the second excluded. None takes
    the days before `as_of`, 90 where the metric says no other number.
view : str
    Who is followed: ``cohort``, those who began in the window, or ``period``, all who were under observation in it, at the ages they had then.
by : str or sequence of str
    Columns to group by, of those the metric names; empty gives one row for all.
horizons : sequence of numbers
    Ages after the start at which a share is read, in the metric's unit (hours, days or months); one row each.
quantile : float
    Share in (0, 1) of the cases that lie below the limit drawn.
level : float
    Confidence of the interval from ``low`` to ``high``, in (0, 1); 0.95 by default.
"""

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
    "ledger": "compute",
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
