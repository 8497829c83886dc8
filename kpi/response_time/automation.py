"""What marketing automation adds: how soon its alerts are followed, at what interest, and what nurtured leads become."""

from __future__ import annotations

from collections.abc import Sequence

import narwhals.stable.v2 as nw
import pandas as pd

from kpi import engine, facts, schema
from kpi.dataset import Dataset, whole
from kpi.errors import ParameterError
from kpi.facts.clock import DAY_SECONDS
from kpi.periods import Instant, WindowLike
from kpi.response_time.inquiries import eligible, within
from kpi.schema import By, renamed

# Outcome: the event that ends the wait, the length of a time bin in seconds, and the horizon in bins.
OUTCOMES = {"answered": ("touched", 1, DAY_SECONDS), "appointment": ("appointed", DAY_SECONDS, 30), "opportunity": ("opportunity", DAY_SECONDS, 90)}


@renamed(thresholds="horizons")
def alert_to_touch(
    data: Dataset,
    *,
    as_of: Instant,
    window: WindowLike | None = None,
    by: By = (),
    clock: str = "wall",
    horizons: Sequence[float] = (900, 3600, DAY_SECONDS),
    level: float = 0.95,
) -> pd.DataFrame:
    """Share of the automation's alerts that a person followed within 15 minutes, an hour, a day.

    Uses `leads` with ``alerted_at``, and `activities`.

    Parameters
    ----------
    window : Window, str or pair of dates, optional
        Local dates of the alert.
    by : str or sequence of str
        As for `response_curve`.
    clock : str
        ``wall`` or ``business``.
    horizons : sequence of float
        Delays in seconds since the alert.

    Returns
    -------
    DataFrame
        One row per group and horizon with the columns of `schema.RESULT`; ``n`` alerted leads, ``n_events`` touched after the alert by then.

    Raises
    ------
    MissingTable
        If leads have no ``alerted_at``.
    ParameterError
        If `by` or `clock` is unknown.
    """
    return within(data, "response.alert_to_touch", "alerted", "alert_touched", as_of, window, by, clock, horizons, level)


def score_at_touch(data: Dataset, *, as_of: Instant, window: WindowLike | None = None) -> pd.DataFrame:
    """How far interest had fallen from its peak when a person first called after the alert.

    Uses `lead_scores`, `leads` with ``alerted_at``, `activities`.

    Parameters
    ----------
    window : Window, str or pair of dates, optional
        Local dates of the alert.

    Returns
    -------
    DataFrame
        One row with the columns of `schema.RESULT`: ``value`` the median of (score at the touch / highest score so far), ``low`` and ``high`` its
        quartiles, not an interval; ``n`` alerted leads with scores, ``n_events`` of them touched, ``n_open`` not touched yet.

    Raises
    ------
    MissingTable
        If there are no scores or no alerts.
    """
    now = data.instant(as_of)
    window = data.window(window, now)
    scores = whole(data).table("lead_scores").filter(nw.col("at") < now)
    leads = eligible(data, as_of, window, start="alerted").select("lead_id", "alert_touched_seconds")
    scored = facts.scored(data, scores, leads)
    touched = engine.collect(scored.filter(~nw.col("ratio").is_null()).group_by("ratio").agg(nw.len().alias("count")), ["ratio"])
    ratios = touched["ratio"].repeat(touched["count"])
    n = int(engine.counts(scored, (), n=nw.lit(True))["n"].iloc[0])
    quartiles = ratios.quantile([0.5, 0.25, 0.75]).tolist() if len(ratios) else [float("nan")] * 3
    row = dict(zip(("value", "low", "high"), quartiles, strict=True)) | {"n": n, "n_events": len(ratios), "n_open": n - len(ratios)}
    return schema.result("response.score_at_touch", pd.DataFrame([row]), by=(), view="cohort", window=window, as_of=now)


def nurtured(data: Dataset, *, as_of: Instant, window: WindowLike | None = None, outcome: str = "opportunity", level: float = 0.95) -> pd.DataFrame:
    """What becomes of leads that the automation nurtures, against those it does not.

    Uses `leads` with ``nurtured_at``, `activities`, `opportunities`.

    Parameters
    ----------
    window : Window, str or pair of dates, optional
        Local dates on which the leads came in.
    outcome : str
        ``answered`` within a day, ``appointment`` within 30 days, ``opportunity`` within 90 days.

    Returns
    -------
    DataFrame
        One row per ``group`` (nurtured, not) with the columns of `schema.RESULT`; ``horizon`` in seconds (answered) or days. A lead counts as
        nurtured only from the moment it is: before, it is at risk among the others, so that those who wait longest are not credited to the
        automation.

    Raises
    ------
    MissingTable
        If leads have no ``nurtured_at``, or there are no opportunities for that outcome.
    ParameterError
        If `outcome` is unknown.
    """
    if outcome not in OUTCOMES:
        raise ParameterError(f"outcome {outcome!r} is unknown; use one of {', '.join(OUTCOMES)}")
    data.table("leads", "nurtured_at")
    event, unit, horizon = OUTCOMES[outcome]
    now = data.instant(as_of)
    if outcome != "answered":
        facts.need_outcome(data, now, event)
    window = data.window(window, now)
    rows = eligible(data, as_of, window)
    begins, ends, declined = (nw.col(f"{name}_seconds") for name in ("created", event, "disqualified"))
    happened = ~ends.is_null() & (ends >= begins) & (declined.is_null() | (ends <= declined))
    last = nw.when(happened).then(ends).when(~declined.is_null()).then(declined).otherwise(nw.lit(int(now.timestamp())))
    named = nw.when(happened).then(nw.lit(outcome)).when(~declined.is_null()).then(nw.lit("disqualified")).otherwise(nw.lit("censored"))
    rows = data.engine.keep(rows.with_columns(last.alias("last"), named.alias("named"), (nw.col("nurtured_seconds") - begins).alias("turned")))
    length = nw.col("last") - begins
    turned = ~nw.col("turned").is_null() & (nw.col("turned") < length)
    until = nw.when(turned).then(nw.col("turned")).otherwise(length)
    ended = nw.when(turned).then(nw.lit("censored")).otherwise(nw.col("named"))
    before = _spells(rows, "not", nw.lit(0), until // unit, ended)
    after = _spells(rows.filter(turned), "nurtured", nw.col("turned") // unit, length // unit, nw.col("named"))
    causes = (outcome, "disqualified")
    values = facts.incidence(pd.concat([before, after], ignore_index=True), causes, (horizon,), ("group",), level)
    return schema.result(f"response.nurtured_{outcome}", values, by=("group",), view="cohort", window=window, as_of=now)


def _spells(rows: nw.LazyFrame, group: str, entry: nw.Expr, end: nw.Expr, outcome: nw.Expr) -> pd.DataFrame:
    """Count the spells of a group by the ages at which they begin and end."""
    spells = rows.select(group=nw.lit(group), entry=entry.cast(nw.Int64), exit=end.cast(nw.Int64), outcome=outcome)
    return engine.sizes(spells.filter(nw.col("exit") >= nw.col("entry")), ["group", *facts.OBSERVED])
