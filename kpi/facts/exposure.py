"""Records under observation: from which age to which each is watched and how that ends, as counts by age, and the share with an outcome by an age."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import narwhals.stable.v2 as nw
import pandas as pd

from kpi import engine
from kpi.errors import ParameterError
from kpi.facts import records
from kpi.facts.records import CENSORED, COUNTS, EVENT, Frame
from kpi.periods import Window, day_number
from kpi.statistics import survival

VIEWS = ("period", "cohort")
OBSERVED = ("entry", "exit", "outcome")


def at_risk(rows: nw.LazyFrame, window: Window, view: str, groups: Sequence[str], since: date | None = None) -> pd.DataFrame:
    """Count the records by age at entry into observation, age at its end, and outcome."""
    return engine.sizes(exposed(rows, window, view, since), [*groups, *OBSERVED])


def exposed(rows: nw.LazyFrame, window: Window, view: str, since: date | None = None) -> nw.LazyFrame:
    """Keep the records that come under observation."""
    return observed(rows, window, view, since).filter(records.STANDS).drop("reason")


def observed(rows: nw.LazyFrame, window: Window, view: str, since: date | None = None) -> nw.LazyFrame:
    """Tell for each record (``start_day``, ``end_day``, ``outcome``) why it is not watched (``reason``), or else from which age to which.

    ``entry``, ``exit``: age in days when it came under observation and when it left it; ``outcome`` then, ``censored`` where it is still open.
    What ended before the watch began, or before outcomes were recorded (`since`), left no trace, or an accidental one.
    """
    if view not in VIEWS:
        raise ParameterError(f"view {view!r} is unknown; use period or cohort")
    begins, after = window.days
    start, end, is_period = nw.col("start_day"), nw.col("end_day"), view == "period"
    recorded = day_number(since or date.min)
    watched = max(begins, recorded) if is_period else recorded
    is_over = end < after
    ended = nw.when(is_over).then(end).otherwise(nw.lit(after - 1)) if is_period else end
    outcome = nw.when(is_over).then(nw.col("outcome")).otherwise(nw.lit("censored")) if is_period else nw.col("outcome")
    outside = (ended < watched) if is_period else (ended < watched) | (start < begins)
    rows = records.with_reason(
        rows, (start.is_null(), records.UNCREATED), (end.is_null(), records.UNDATED), (end < start, records.BACKWARDS),
        (start >= after, records.OUTSIDE), (end < recorded, records.UNSEEN), (outside, records.OUTSIDE),
    )  # fmt: skip
    entry = nw.when(start < watched).then(watched - start).otherwise(nw.lit(0)).cast(nw.Int64)
    return rows.with_columns(entry.alias("entry"), (ended - start).alias("exit"), outcome.alias("outcome"))


def at_age(rows: Frame, outcome: str, age: float) -> Frame:
    """Tell of each watched record how it counts in the share with an outcome by an age."""
    rows = records.with_reason(rows, (nw.col("entry") > age, records.OLD))
    had_it, is_open = nw.col("outcome") == outcome, nw.col("outcome") == "censored"
    return records.counted(rows, (had_it & (nw.col("exit") <= age), EVENT), (is_open & (nw.col("exit") < age), CENSORED))


def incidence_curve(counts: pd.DataFrame, causes: Sequence[str], by: Sequence[str], level: float) -> pd.DataFrame:
    """Estimate the share with each outcome by each age from the counts of `at_risk`; missing from the first age on with too few under observation."""
    curve = survival.aalen_johansen(survival.event_table(counts, causes, by), causes, by, level)
    return survival.watched(curve, [f"{name}_{cause}" for name in ("incidence", "se", "low", "high") for cause in causes])


def incidence(counts: pd.DataFrame, causes: Sequence[str], ages: Sequence[float], by: Sequence[str], level: float) -> pd.DataFrame:
    """Estimate the share with the first of some outcomes by some ages; beside it the sums of the records, see `at_age`."""
    by = list(by)
    values = survival.at(incidence_curve(counts, causes, by, level), ages, causes[0], by)[[*by, "horizon", "value", "low", "high"]]
    frame = nw.from_native(counts, eager_only=True)
    parts = [at_age(frame, causes[0], age).with_columns(nw.lit(float(age)).alias("horizon")) for age in ages]
    sums = [nw.when(held).then(nw.col("count")).otherwise(nw.lit(0)).alias(name) for name, held in COUNTS.items()]
    found = pd.concat([part.with_columns(*sums).to_native() for part in parts], ignore_index=True)
    found = found.groupby([*by, "horizon"], dropna=False, as_index=False)[list(COUNTS)].sum()
    table = values.merge(found, on=[*by, "horizon"], how="left")
    return table.fillna(dict.fromkeys(COUNTS, 0)).astype(dict.fromkeys(COUNTS, "int64"))
