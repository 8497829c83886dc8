"""How often leads are tried, and what share comes when nobody is there."""

from __future__ import annotations

import narwhals.stable.v2 as nw
import pandas as pd

from kpi import engine, schema
from kpi.dataset import Dataset
from kpi.facts.clock import DAY_SECONDS
from kpi.facts.touches import PERSISTENCE_DAYS
from kpi.periods import Instant, Window
from kpi.response_time.answers import answered_within
from kpi.response_time.eligible import eligible
from kpi.statistics import intervals

MOST = 6  # attempts from here on are one band


def attempts(data: Dataset, *, as_of: Instant, window: Window, level: float = 0.95) -> pd.DataFrame:
    """How many attempts leads get within 30 days, and which share of them was ever reached.

    Uses `leads` and `activities`.

    Parameters
    ----------
    window : Window
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
    old = nw.col("created_seconds") <= int(now.timestamp()) - PERSISTENCE_DAYS * DAY_SECONDS
    tried = nw.col("attempts").fill_null(0)
    rows = eligible(data, as_of, window).filter(old)
    rows = rows.with_columns(nw.when(tried > MOST).then(nw.lit(MOST)).otherwise(tried).cast(nw.Int64).alias("tried"))
    table = engine.counts(rows, ("tried",), n=nw.lit(True), n_events=~nw.col("contacted_seconds").is_null()).rename(columns={"tried": "attempts"})
    table = intervals.with_share(table, level).assign(share=table["n"] / table["n"].sum(), horizon=PERSISTENCE_DAYS)
    return schema.result("response.attempts", table, by=("attempts",), view="cohort", window=window, as_of=now, more=("share",))


def out_of_hours(data: Dataset, *, as_of: Instant, window: Window, threshold: float = 3600, level: float = 0.95) -> pd.DataFrame:
    """Share of leads that come in outside opening hours, and how many of them are answered within the hour.

    Uses `leads` and `activities`.

    Parameters
    ----------
    window : Window
        Local dates on which the leads came in.
    threshold : float
        Delay in seconds.

    Returns
    -------
    DataFrame
        One row per ``open`` (1 inside opening hours, 0 outside) with the columns of `schema.RESULT`: ``value`` share of these leads answered within
        `threshold`; ``share`` of all leads.

    Raises
    ------
    MissingTable
        If leads or activities are missing.
    """
    table = answered_within(data, as_of=as_of, window=window, by="open", thresholds=(threshold,), level=level)
    return table.assign(kpi="response.out_of_hours", share=(table["n"] / table["n"].sum()).astype("float64"))
