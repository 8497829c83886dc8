"""Sales KPIs: how fast leads are answered, how opportunities move, which customers stay.

A data set first, then a metric of an area: ``kpi.pipeline.closed_win_rate(kpi.load("data/sample"), as_of="2026-11-01", by="owner")``.
`catalog` says what each KPI is; `compute` gives what combines metrics: all KPIs of a month, the months of the chain with their signals, a metric
where the data allow it; `ledger` tells who counts in one; `pages` and `plots` show results.

Parameters that metrics share
-----------------------------
data : Dataset
    From `load`, or of frames.
as_of : str, date or Timestamp
    Only what happened strictly before it counts; a bare date means local midnight at its start.
window : Window, str or pair of dates
    Local days, such as ``"2026-10"``, ``"2026-Q4"`` or ``("2026-08-01", "2026-11-01")``, the second day not included.
view : str
    ``cohort`` (by entry) or ``period`` (by time at risk inside the window, as things go now).
by : str or sequence of str
    Groups: a row each; the metric names those it knows.
horizons : sequence of float
    Delays in seconds, or ages in days, at which a share is read.
quantile : float
    Share of the records, in (0, 1), that a duration is read at.
level : float
    Coverage of the interval, in (0, 1).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for editors; when it runs, each is loaded on first use, so that `import kpi` and the command line's help stay instant
    from kpi import catalog, compute, forecast, lifetime_value, pipeline, response_time, retention
    from kpi.dataset import Dataset, load
    from kpi.errors import KpiError
    from kpi.periods import Month, Window
    from kpi.presentation import charts as plots
    from kpi.presentation import pages
    from kpi.presentation.pages.about import about, section
    from kpi.record_ledger import ledger

__version__ = "0.1.0"

_MODULES = {"pages": "kpi.presentation.pages", "plots": "kpi.presentation.charts"}
_NAMES = {
    "Dataset": "kpi.dataset",
    "KpiError": "kpi.errors",
    "Month": "kpi.periods",
    "Window": "kpi.periods",
    "about": "kpi.presentation.pages",
    "ledger": "kpi.record_ledger",
    "load": "kpi.dataset",
    "section": "kpi.presentation.pages",
}

__all__ = [
    "Dataset",
    "KpiError",
    "Month",
    "Window",
    "about",
    "catalog",
    "compute",
    "forecast",
    "ledger",
    "lifetime_value",
    "load",
    "pages",
    "pipeline",
    "plots",
    "response_time",
    "retention",
    "section",
]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    if name in __all__:
        return importlib.import_module(_MODULES.get(name, f"kpi.{name}"))
    raise AttributeError(f"module 'kpi' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__doc__", "__version__"])
