"""What goes with answering sooner: outcomes by speed of the answer. An association, not proof: keen leads may also be called back sooner.

Landmark analysis (Anderson, Cain and Gelber 1983, J. Clin. Oncol. 1:710-719): a lead is classed at the edge of its band, by what had happened until
then, and only outcomes after that edge count. Otherwise those who convert at once would all be among the quickly answered.
"""

from __future__ import annotations

from typing import NamedTuple

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from kpi import engine, facts, schema
from kpi.dataset import Dataset
from kpi.errors import ParameterError
from kpi.facts.clock import DAY_SECONDS
from kpi.periods import Instant, Window, WindowLike
from kpi.response_time.inquiries import eligible, need_times
from kpi.statistics import intervals

HOUR = 3600
SOON = (nw.col("outcome") == "answered") & (nw.col("delay") <= HOUR)
EARLIER = nw.col("earlier")
# Answered within so many seconds, when it is known; the last band, not answered within a week, is seen from the last of them too.
LANDMARKS = (300, HOUR, DAY_SECONDS, 7 * DAY_SECONDS)
# Outcome: its event and the days after the landmark in which it counts.
OUTCOMES = {"appointment": ("appointed", 30), "opportunity": ("opportunity", 90), "won": ("won", 180)}


def speed_to_outcome(
    data: Dataset, *, as_of: Instant, window: WindowLike | None = None, outcome: str = "opportunity", level: float = 0.95
) -> pd.DataFrame:
    """Share of leads with an appointment, an opportunity or a won deal, by how soon they were answered.

    Uses `leads`, `activities`, `opportunities`.

    Parameters
    ----------
    window : Window, str or pair of dates, optional
        Local dates on which the leads came in; those not observed to landmark + horizon are left out.
    outcome : str
        ``appointment`` within 30 days, ``opportunity`` within 90, ``won`` within 180 days after the landmark.

    Returns
    -------
    DataFrame
        One row per ``band`` (0 within 5 minutes, 1 to an hour, 2 to a day, 3 to a week, 4 not answered within a week) with the columns of
        `schema.RESULT`: ``horizon`` days after the landmark, ``value`` with its Wilson interval, ``n`` leads still without outcome at the landmark;
        ``earlier`` leads set aside because the outcome, or a disqualification, came first; ``standard`` with ``standard_low`` and
        ``standard_high``: the share if each band had the same mix of sources; ``covered`` share of that mix for which the band has leads.

    Raises
    ------
    MissingTable
        If a table is missing.
    MissingTime
        If inquiries or activities carry dates without a time of day.
    ParameterError
        If `outcome` is unknown.
    """
    event, days = _outcome(data, outcome)
    now = data.instant(as_of)
    window = data.window(window, now)
    counts = _landmark_counts(data, as_of, window, event, days)
    total = counts.groupby("band", as_index=False)[["n", "n_events", "earlier"]].sum()
    table = pd.DataFrame({"band": range(len(LANDMARKS) + 1)}).merge(total, on="band", how="left").fillna(0).astype("int64")
    table = intervals.with_share(table, level).assign(horizon=days)
    more = ("earlier", "standard", "standard_low", "standard_high", "covered")
    table[list(more[1:])] = [_standardised(counts, "band", band, level)[:4] for band in table["band"]]
    return schema.result(f"response.speed_to_{outcome}", table, by=("band",), view="cohort", window=window, as_of=now, more=more)


def sensitivity(
    data: Dataset, *, as_of: Instant, window: WindowLike | None = None, outcome: str = "opportunity", level: float = 0.95
) -> pd.DataFrame:
    """What becomes of leads that come in outside opening hours, which wait longer for a reason of their own.

    Uses `leads`, `activities`, `opportunities`.

    Parameters
    ----------
    window : Window, str or pair of dates, optional
        Local dates on which the leads came in; those not observed for the horizon are left out.
    outcome : str
        As for `speed_to_outcome`, counted from the inquiry.

    Returns
    -------
    DataFrame
        One row per ``arrival`` (open, closed, difference) with the columns of `schema.RESULT`: ``value`` the share with the outcome, of the same
        mix of sources; ``answered`` share answered within an hour. The difference speaks for an effect of speed as far as who asks at night is as
        keen as who asks by day.

    Raises
    ------
    MissingTable
        If a table is missing.
    MissingTime
        If inquiries or activities carry dates without a time of day.
    ParameterError
        If `outcome` is unknown.
    """
    event, days = _outcome(data, outcome)
    now = data.instant(as_of)
    window = data.window(window, now)
    since = nw.col(f"{event}_seconds") - nw.col("created_seconds")
    rows = eligible(data, as_of, window).filter(nw.col("created_seconds") + days * DAY_SECONDS <= int(now.timestamp()))
    facts.need_outcome(data, data.instant(as_of), event)
    counts = engine.counts(rows, ("created_open", "source"), n=nw.lit(True), n_events=(since >= 0) & (since <= days * DAY_SECONDS), soon=SOON)
    parts = [counts[counts["created_open"] == flag] for flag in (1, 0)]
    inside, outside = (_standardised(counts, "created_open", flag, level) for flag in (1, 0))
    reach = intervals.quantile_of(level) * np.sqrt(inside.variance + outside.variance)
    gap = inside.value - outside.value
    n, n_events, answered = (np.array([part[name].sum() for part in parts]) for name in ("n", "n_events", "soon"))
    share = np.divide(answered, n, out=np.full(2, np.nan), where=n > 0)
    table = pd.DataFrame(
        {
            "arrival": ["open", "closed", "difference"],
            "value": [inside.value, outside.value, gap],
            "low": [inside.low, outside.low, gap - reach],
            "high": [inside.high, outside.high, gap + reach],
            "n": [*n, n.sum()],
            "n_events": [*n_events, n_events.sum()],
            "answered": [*share, share[0] - share[1]],
        }
    ).assign(horizon=days, place=[0, 1, 2])
    result = schema.result("response.sensitivity", table, by=("place",), view="cohort", window=window, as_of=now, more=("arrival", "answered"))
    return result[["arrival", *schema.RESULT, "answered"]]


def what_if(
    data: Dataset,
    *,
    as_of: Instant,
    window: WindowLike | None = None,
    past: WindowLike,
    by: str = "source",
    outcome: str = "opportunity",
    level: float = 0.95,
) -> pd.DataFrame:
    """How many more opportunities might go with answering as many leads within the hour as the best source or team does.

    Uses `leads`, `activities`, `opportunities`.

    Parameters
    ----------
    window : Window, str or pair of dates, optional
        Local dates of the leads to which the question is put.
    past : Window, str or pair of dates
        Local dates of the leads from which the association and the best group are taken.
    by : str
        ``source`` or ``team``: groups of at least 20 leads, of which the one with the highest lower end of its interval is taken.
    outcome : str
        As for `speed_to_outcome`.

    Returns
    -------
    DataFrame
        One row with the columns of `schema.RESULT`: ``value`` further outcomes from the leads of `window`, ``n`` these leads; ``best`` the group,
        ``target`` its share answered within an hour, ``now`` the share in `window`, ``gap`` the difference of the outcome between leads answered
        within an hour and not, of the same mix of sources. Missing where no group is large enough. An association, not a promise.

    Raises
    ------
    MissingTable
        If a table is missing.
    MissingTime
        If inquiries or activities carry dates without a time of day.
    ParameterError
        If `outcome` or `by` is unknown.
    """
    if by not in ("source", "team"):
        raise ParameterError(f"by={by!r} is unknown here; use source or team")
    event, days = _outcome(data, outcome)
    now = data.instant(as_of)
    window, past = data.window(window, now), data.window(past, now)
    gap, gap_variance = _gap(data, as_of, past, event, days, level)
    known = _answered_by(data, as_of, past, by).query("n >= 20")
    here = _answered_by(data, as_of, window, by)
    size, soon = int(here["n"].sum()), int(here["soon"].sum())
    row = {"n": size, "n_events": soon, "horizon": days, "best": "", "target": np.nan, "now": soon / size if size else np.nan, "gap": gap}
    if len(known) and size:
        # Best by the lower end of its interval: a small group that shines by chance is no target.
        best = known.loc[intervals.with_share(known.rename(columns={"soon": "n_events"}), level)["low"].idxmax()]
        target = best["soon"] / best["n"]
        lift = max(target - row["now"], 0.0)
        spread = size * np.sqrt(lift**2 * gap_variance + gap**2 * target * (1 - target) / best["n"])
        reach = intervals.quantile_of(level) * spread
        more_events = size * lift * gap
        row |= {"best": str(best[by]), "target": target, "value": more_events, "low": more_events - reach, "high": more_events + reach}
    more = ("best", "target", "now", "gap")
    return schema.result(f"response.what_if_{outcome}", pd.DataFrame([row]), by=(), view="cohort", window=window, as_of=now, more=more)


def _outcome(data: Dataset, outcome: str) -> tuple[str, int]:
    if outcome not in OUTCOMES:
        raise ParameterError(f"outcome {outcome!r} is unknown; use one of {', '.join(OUTCOMES)}")
    need_times(data)
    return OUTCOMES[outcome]


def _landmark_counts(data: Dataset, as_of: Instant, window: Window, event: str, days: int) -> pd.DataFrame:
    """Per band and source: leads at risk at the landmark, outcomes in the horizon after it, leads whose outcome or end came first."""
    band, landmark = nw.lit(len(LANDMARKS)), nw.lit(LANDMARKS[-1])
    for number, edge in reversed(list(enumerate(LANDMARKS))):
        inside = (nw.col("outcome") == "answered") & (nw.col("delay") <= edge)
        band, landmark = nw.when(inside).then(nw.lit(number)).otherwise(band), nw.when(inside).then(nw.lit(edge)).otherwise(landmark)
    rows = _from_landmark(data, as_of, window, event, days, landmark).with_columns(band.cast(nw.Int64).alias("band"))
    return engine.counts(rows, ("band", "source"), n=~EARLIER, n_events=nw.col("happened"), earlier=EARLIER)


def _from_landmark(data: Dataset, as_of: Instant, window: Window, event: str, days: int, landmark: nw.Expr) -> nw.LazyFrame:
    """Follow leads from a landmark for some days: whose outcome or end came ``earlier``, to whom it ``happened`` then."""
    facts.need_outcome(data, data.instant(as_of), event)
    since, ended = (nw.col(f"{name}_seconds") - nw.col("created_seconds") for name in (event, "disqualified"))
    until = landmark + days * DAY_SECONDS
    rows = eligible(data, as_of, window).filter(nw.col("created_seconds") + until <= int(data.instant(as_of).timestamp()))
    earlier = (~since.is_null() & (since <= landmark)) | (~ended.is_null() & (ended <= landmark))
    return rows.with_columns(earlier.alias("earlier"), (~earlier & (since <= until)).alias("happened"))


class _Standardised(NamedTuple):
    value: float
    low: float
    high: float
    covered: float
    variance: float


def _standardised(counts: pd.DataFrame, column: str, flag: int, level: float) -> _Standardised:
    """Share with the outcome in one part of the leads if its sources were mixed as in all, and the weight of the sources there are."""
    weights = counts.groupby("source")["n"].sum() / max(counts["n"].sum(), 1)
    known = counts[(counts[column] == flag) & (counts["n"] > 0)].groupby("source")[["n", "n_events"]].sum()
    if not len(known):
        return _Standardised(np.nan, np.nan, np.nan, 0.0, np.nan)
    weight = weights.reindex(known.index).to_numpy(dtype=float)
    covered, n, events = weight.sum(), known["n"].to_numpy(dtype=float), known["n_events"].to_numpy(dtype=float)
    weight = weight / covered
    value = float((weight * events / n).sum())
    softened = (events + 0.5) / (n + 1)  # a source without any outcome, or with nothing else, is no certainty
    variance = float((weight**2 * softened * (1 - softened) / n).sum())
    reach = intervals.quantile_of(level) * np.sqrt(variance)
    return _Standardised(value, max(value - reach, 0.0), min(value + reach, 1.0), float(covered), variance)


def _gap(data: Dataset, as_of: Instant, past: Window, event: str, days: int, level: float) -> tuple[float, float]:
    """Outcome of the leads answered within an hour less that of the others, standardised, both seen from one landmark at the hour."""
    rows = _from_landmark(data, as_of, past, event, days, nw.lit(HOUR))
    rows = rows.with_columns(nw.when(SOON).then(nw.lit(1)).otherwise(nw.lit(0)).alias("soon"))
    counts = engine.counts(rows, ("soon", "source"), n=~EARLIER, n_events=nw.col("happened"))
    soon, late = (_standardised(counts, "soon", flag, level) for flag in (1, 0))
    return soon.value - late.value, soon.variance + late.variance


def _answered_by(data: Dataset, as_of: Instant, window: Window, by: str) -> pd.DataFrame:
    return engine.counts(eligible(data, as_of, window), (by,), n=nw.lit(True), soon=SOON)
