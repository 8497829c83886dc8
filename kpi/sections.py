"""What a section of the pipeline page asks of several metrics at once, as far as the data allow."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from kpi import pipeline
from kpi.dataset import Dataset
from kpi.errors import MissingTable

KNOWN = 0.9  # share of the lost and of the open deals whose amount must be known


def lead_ways(data: Dataset, as_of: pd.Timestamp, window=None) -> tuple[list[pd.DataFrame], list[pd.DataFrame]]:
    """How leads become opportunities and customers by age: both curves, and both readings."""
    more = {"as_of": as_of, "window": window}
    curves = [pipeline.conversion_curve(data, way, **more) for way in ("lead_to_opportunity", "lead_to_customer")]
    return curves, [pipeline.lead_to_opportunity(data, **more), pipeline.lead_to_customer(data, **more)]


def weighted(data: Dataset, as_of: pd.Timestamp) -> pd.DataFrame | None:
    """What the open deals will likely bring, where the data set has a history of stages."""
    return _allowed(lambda: pipeline.weighted_pipeline(data, as_of=as_of))


def coverage(data: Dataset, as_of: pd.Timestamp) -> pd.DataFrame | None:
    """How far the open deals cover the quarter's target, where the data set has targets and closing dates."""
    return _allowed(lambda: pipeline.coverage(data, as_of=as_of))


def won_by_group(data: Dataset, as_of: pd.Timestamp, window, horizon: float) -> list[pd.DataFrame]:
    """What share is won, by source, size, product and owner: those that the data have, sizes only where lost and open deals have them too."""
    more = {"as_of": as_of, "view": "cohort", "window": window, "horizons": [horizon]}
    names = ("source", "size", "product", "owner") if _sized(data, as_of, window) else ("source", "product", "owner")
    found = [_allowed(lambda by=by: pipeline.opportunity_to_customer(data, by=by, **more)) for by in names]
    return [table for table in found if table is not None]


def _sized(data: Dataset, as_of: pd.Timestamp, window) -> bool:
    """Where only won deals carry an amount, their size tells nothing but that they were won."""
    states = [pipeline.average_value(data, as_of=as_of, status=status, window=window).iloc[0] for status in ("lost", "open")]
    return all(row["n_events"] >= KNOWN * row["n"] and row["value"] != 0 for row in states)


def _allowed(build: Callable[[], pd.DataFrame]) -> pd.DataFrame | None:
    try:
        return build()
    except MissingTable:
        return None
