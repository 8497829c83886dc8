"""Answered in time: the share of inquiries a person answered by each delay, on two clocks, attempts and two-way contacts."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import narwhals.stable.v2 as nw
import pandas as pd

from kpi import engine, facts, schema
from kpi.catalog import CATALOG
from kpi.dataset import Dataset
from kpi.errors import ParameterError
from kpi.facts.clock import DAY_SECONDS
from kpi.facts.touches import PERSISTENCE_DAYS
from kpi.periods import Instant, Window, WindowLike
from kpi.response_time.inquiries import CAUSES, eligible, groups_of, has_day_precision, inquiries, typical, wait_counts, waits, within
from kpi.schema import By, renamed
from kpi.statistics import intervals

HORIZONS = CATALOG["response.answered_within"].horizons  # 5 min, 15 min, 1 h, 24 h
BANDS = (300, 900, 3600, 4 * 3600, DAY_SECONDS, 7 * DAY_SECONDS)
EVENTS = {"attempt": "touched", "contact": "contacted"}
MOST = 6  # attempts from here on are one band


def response_curve(
    data: Dataset, *, as_of: Instant, window: WindowLike | None = None, by: By = (), clock: str = "wall", event: str = "attempt", level: float = 0.95
) -> pd.DataFrame:
    """Share of leads answered by each delay since their inquiry.

    Uses `leads` and `activities`.

    Parameters
    ----------
    as_of : Instant
        Only what happened strictly before it counts; leads unanswered then are still waiting, not lost.
    window : Window, str or pair of dates, optional
        Local dates on which the leads came in.
    by : str or sequence of str
        Any of source, owner, country, team, month, weekday, hour, open.
    clock : str
        ``wall`` or ``business`` (only business hours count).
    event : str
        ``attempt``, the first outbound activity of a person; or ``contact``, the first two-way event: a call that connected, a meeting held, a reply.

    Returns
    -------
    DataFrame
        One row per group and delay that occurs, in seconds: the columns of `survival.aalen_johansen` for the causes answered and disqualified.

    Raises
    ------
    MissingTable
        If leads or activities are missing, or activities have no ``outcome`` to tell a contact by.
    ParameterError
        If `by`, `clock` or `event` is unknown.

    Notes
    -----
    Aalen and Johansen (1978), Scand. J. Statist. 5:141-150.
    """
    window = data.window(window, data.instant(as_of))
    groups = groups_of(by)
    counts = wait_counts(data, as_of, window, groups, "created", _end(data, event), clock)
    return facts.incidence_curve(counts, CAUSES, groups, level)


@renamed(thresholds="horizons")
def answered_within(
    data: Dataset,
    *,
    as_of: Instant,
    window: WindowLike | None = None,
    by: By = (),
    clock: str = "wall",
    event: str = "attempt",
    horizons: Sequence[float] = HORIZONS,
    level: float = 0.95,
) -> pd.DataFrame:
    """Share of leads that a person answered within 5 minutes, 15 minutes, an hour, a day.

    Uses `leads` and `activities`.

    Parameters
    ----------
    window : Window, str or pair of dates, optional
        Local dates on which the leads came in.
    by : str or sequence of str
        As for `response_curve`.
    clock : str
        ``wall`` or ``business``.
    event : str
        ``attempt`` or ``contact``, as for `response_curve`.
    horizons : sequence of float
        Delays in seconds.

    Returns
    -------
    DataFrame
        One row per group and horizon (``horizon``, seconds), with the columns of `schema.RESULT`; ``n`` eligible leads, ``n_events`` answered by
        then, ``n_open`` waiting for less than the horizon. Missing values for delays under a day where stamps have day precision only.

    Raises
    ------
    MissingTable
        If leads or activities are missing, or activities have no ``outcome`` to tell a contact by.
    ParameterError
        If `by`, `clock` or `event` is unknown.
    """
    key = "response.answered_within" if event == "attempt" else "response.contacted_within"
    return within(data, key, "created", _end(data, event), as_of, window, by, clock, horizons, level)


def answered_records(data: Dataset, as_of: Instant, window: Window, horizon: float) -> nw.LazyFrame:
    """Who counts in the share answered by a delay."""
    return facts.at_age(waits(data, inquiries(data, as_of, window), as_of, "created", "touched"), "answered", horizon)


def _end(data: Dataset, event: str) -> str:
    """Name the moment of a lead that ends its wait."""
    if event not in EVENTS:
        raise ParameterError(f"event {event!r} is unknown; use attempt or contact")
    if event == "contact":
        data.table("activities", "outcome")
    return EVENTS[event]


def response_time(
    data: Dataset, *, as_of: Instant, window: WindowLike | None = None, by: By = (), clock: str = "wall", quantile: float = 0.5, level: float = 0.95
) -> pd.DataFrame:
    """Time by which half of the leads (or another share) were answered.

    Uses `leads` and `activities`.

    Parameters
    ----------
    window : Window, str or pair of dates, optional
        Local dates on which the leads came in.
    by : str or sequence of str
        As for `response_curve`.
    clock : str
        ``wall`` or ``business``.
    quantile : float
        Share answered, in (0, 1): .5 gives the median, .9 the P90.

    Returns
    -------
    DataFrame
        One row per group with the columns of `schema.RESULT`; ``value`` in seconds, missing where that share was not reached.

    Raises
    ------
    MissingTable
        If leads or activities are missing.
    ParameterError
        If `by` or `clock` is unknown.
    """
    window = data.window(window, data.instant(as_of))
    groups = groups_of(by)
    curve = response_curve(data, as_of=as_of, window=window, by=by, clock=clock, level=level)
    values = typical(data, curve, quantile, groups)
    key = "response.median" if quantile == 0.5 else f"response.p{round(quantile * 100)}"
    return schema.result(key, values, by=groups, view="cohort", window=window, as_of=data.instant(as_of))


def response_bands(
    data: Dataset, *, as_of: Instant, window: WindowLike | None = None, edges: Sequence[float] = BANDS, level: float = 0.95
) -> pd.DataFrame:
    """Spread the leads over bands of delay, with those not answered apart.

    Uses `leads` and `activities`.

    Parameters
    ----------
    window : Window, str or pair of dates, optional
        Local dates on which the leads came in.
    edges : sequence of float
        Upper edges of the bands, in seconds, included; those under a day are left out where stamps have day precision only.

    Returns
    -------
    DataFrame
        One row per band in order (``band`` 0.., ``horizon`` its upper edge, missing for the last two: slower, not answered so far), with the columns
        of `schema.RESULT`. ``n_open`` of the last row: waiting, not disqualified.

    Raises
    ------
    MissingTable
        If leads or activities are missing.
    """
    window = data.window(window, data.instant(as_of))
    leads = eligible(data, as_of, window)
    if has_day_precision(data):
        edges = [edge for edge in edges if edge >= DAY_SECONDS] or [DAY_SECONDS]
    answered, delay = nw.col("outcome") == "answered", nw.col("delay")
    bands = [answered & (delay <= high) & (delay > low) for low, high in itertools.pairwise([-1, *edges])]
    bands += [answered & (delay > edges[-1]), ~answered]
    flags = {f"b{i}": held for i, held in enumerate(bands)}
    found = engine.counts(leads, (), n=nw.lit(True), n_open=nw.col("outcome") == "waiting", **flags).iloc[0].astype("int64")
    table = pd.DataFrame({"band": range(len(bands)), "horizon": [*edges, None, None], "n_events": found[list(flags)].to_numpy(), "n": found["n"]})
    table["n_open"] = [0] * (len(bands) - 1) + [found["n_open"]]
    table = intervals.with_share(table, level)
    return schema.result("response.bands", table, by=["band"], view="cohort", window=window, as_of=data.instant(as_of))


def attempts(data: Dataset, *, as_of: Instant, window: WindowLike | None = None, level: float = 0.95) -> pd.DataFrame:
    """How many attempts leads get within 30 days, and which share of them was ever reached.

    Uses `leads` and `activities`.

    Parameters
    ----------
    window : Window, str or pair of dates, optional
        Local dates on which the leads came in; those under 30 days old are left out.
    level : float
        Coverage of the Wilson interval, in (0, 1).

    Returns
    -------
    DataFrame
        One row per number of ``attempts`` (0 to 6, the last band holds more) with the columns of `schema.RESULT`: ``value`` share of these leads
        reached (two-way contact) by `as_of`, ``n`` leads, ``n_events`` reached; ``share`` of all leads in the band.

    Raises
    ------
    MissingTable
        If leads or activities are missing, or activities have no ``outcome`` to tell a contact by.
    """
    data.table("activities", "outcome")
    now = data.instant(as_of)
    window = data.window(window, now)
    old = nw.col("created_seconds") <= int(now.timestamp()) - PERSISTENCE_DAYS * DAY_SECONDS
    tried = nw.col("attempts").fill_null(0)
    rows = eligible(data, as_of, window).filter(old)
    rows = rows.with_columns(nw.when(tried > MOST).then(nw.lit(MOST)).otherwise(tried).cast(nw.Int64).alias("tried"))
    table = engine.counts(rows, ("tried",), n=nw.lit(True), n_events=~nw.col("contacted_seconds").is_null()).rename(columns={"tried": "attempts"})
    table = intervals.with_share(table, level).assign(share=table["n"] / table["n"].sum(), horizon=PERSISTENCE_DAYS)
    return schema.result("response.attempts", table, by=("attempts",), view="cohort", window=window, as_of=now, more=("share",))
