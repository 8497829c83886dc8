"""Records by age: when each came under observation, when it left it, and with which outcome, as counts."""

from __future__ import annotations

from collections.abc import Sequence

import narwhals.stable.v2 as nw
import pandas as pd

from kpi import engine
from kpi.errors import ParameterError
from kpi.facts.clock import on_days
from kpi.periods import Window

VIEWS = ("period", "cohort")


def at_risk(rows: nw.LazyFrame, window: Window, view: str, groups: Sequence[str]) -> pd.DataFrame:
    """Count the records by age at entry into observation, age at its end, and outcome.

    Parameters
    ----------
    rows : LazyFrame
        ``start_day``, ``end_day`` (of the outcome, or the last observed day), ``outcome``, and the groups.
    window : Window
        Local dates of entry (cohort) or of the time at risk (period).
    view : str
        ``period`` or ``cohort``.
    groups : sequence of str
        Grouping columns.

    Returns
    -------
    DataFrame
        The groups, ``entry``, ``exit`` (days of age), ``outcome``, ``count``. Records whose outcome lies before their start are left out.

    Raises
    ------
    ParameterError
        If `view` is unknown.
    """
    if view not in VIEWS:
        raise ParameterError(f"view {view!r} is unknown; use period or cohort")
    first, after = window.days
    rows = rows.filter(~nw.col("start_day").is_null(), nw.col("end_day") >= nw.col("start_day"))
    if view == "cohort":
        rows = rows.filter(on_days(nw.col("start_day"), window)).with_columns(nw.lit(0).cast(nw.Int64).alias("entry"))
        ended, outcome = nw.col("end_day"), nw.col("outcome")
    else:
        rows = rows.filter(nw.col("start_day") < after, nw.col("end_day") >= first)
        early = nw.col("start_day") < first
        rows = rows.with_columns(nw.when(early).then(first - nw.col("start_day")).otherwise(nw.lit(0)).alias("entry"))
        inside = nw.col("end_day") < after
        ended = nw.when(inside).then(nw.col("end_day")).otherwise(nw.lit(after - 1))
        outcome = nw.when(inside).then(nw.col("outcome")).otherwise(nw.lit("censored"))
    rows = rows.with_columns((ended - nw.col("start_day")).alias("exit"), outcome.alias("outcome"))
    return engine.sizes(rows, [*groups, "entry", "exit", "outcome"])
