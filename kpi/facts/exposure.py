"""Records by age: when each came under observation, when it left it, and with which outcome, as counts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import narwhals.stable.v2 as nw
import pandas as pd

from kpi import engine
from kpi.errors import ParameterError
from kpi.facts.clock import on_days
from kpi.periods import Window, day_number

VIEWS = ("period", "cohort")


def at_risk(rows: nw.LazyFrame, window: Window, view: str, groups: Sequence[str], since: date | None = None) -> pd.DataFrame:
    """Count the records by age at entry into observation, age at its end, and outcome."""
    return engine.sizes(exposed(rows, window, view, since), [*groups, "entry", "exit", "outcome"])


def exposed(rows: nw.LazyFrame, window: Window, view: str, since: date | None = None) -> nw.LazyFrame:
    """Tell for each record at which age it came under observation, at which it left it, and with which outcome."""
    if view not in VIEWS:
        raise ParameterError(f"view {view!r} is unknown; use period or cohort")
    first, after = window.days
    rows = rows.filter(~nw.col("start_day").is_null(), nw.col("end_day") >= nw.col("start_day"))
    if view == "cohort":
        rows = rows.filter(on_days(nw.col("start_day"), window))
        ended, outcome, watched = nw.col("end_day"), nw.col("outcome"), None
    else:
        rows = rows.filter(nw.col("start_day") < after)
        inside = nw.col("end_day") < after
        ended = nw.when(inside).then(nw.col("end_day")).otherwise(nw.lit(after - 1))
        outcome, watched = nw.when(inside).then(nw.col("outcome")).otherwise(nw.lit("censored")), first
    if since is not None:
        watched = max(watched if watched is not None else day_number(since), day_number(since))
    rows = rows.with_columns(ended.alias("ended"), outcome.alias("outcome"), nw.lit(0).cast(nw.Int64).alias("entry"))
    if watched is not None:  # what ended before the watch began left no trace, or an accidental one
        late = nw.col("start_day") < watched
        rows = rows.filter(nw.col("ended") >= watched)
        rows = rows.with_columns(nw.when(late).then(watched - nw.col("start_day")).otherwise(nw.lit(0)).alias("entry"))
    return rows.with_columns((nw.col("ended") - nw.col("start_day")).alias("exit")).drop("ended")
