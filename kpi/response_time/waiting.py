"""Who is still waiting for an answer."""

from __future__ import annotations

import narwhals.stable.v2 as nw
import pandas as pd

from kpi import engine, facts, schema
from kpi.dataset import Dataset
from kpi.facts import records
from kpi.facts.clock import DAY_SECONDS, on_days
from kpi.facts.records import EVENT
from kpi.periods import Instant, Window, WindowLike
from kpi.response_time.inquiries import eligible, groups_of, inquiries
from kpi.schema import By
from kpi.statistics import intervals


def never_answered(
    data: Dataset, *, as_of: Instant, window: WindowLike | None = None, older_than: float = DAY_SECONDS, by: By = (), level: float = 0.95
) -> pd.DataFrame:
    """Share of leads that nobody has answered, among those old enough to have been.

    Uses `leads` and `activities`.

    Parameters
    ----------
    as_of : Instant
        The instant of the snapshot.
    window : Window, str or pair of dates, optional
        Local dates on which the leads came in.
    older_than : float
        Age in seconds from which a lead should have been answered.
    by : str or sequence of str
        As for `response_curve`.
    level : float
        Coverage of the Wilson interval, in (0, 1).

    Returns
    -------
    DataFrame
        One row per group with the columns of `schema.RESULT`; ``n`` leads older than that, ``n_events`` of them still waiting.

    Raises
    ------
    MissingTable
        If leads or activities are missing.
    """
    groups = groups_of(by)
    now = data.instant(as_of)
    window = data.window(window, now)
    counts = records.summed(_by_age(eligible(data, as_of, window, groups), now, older_than), groups).drop(columns="n_open")
    table = intervals.with_share(counts, level).assign(horizon=older_than)
    return schema.result("response.never_answered", table, by=groups, view="snapshot", window=window, as_of=now)


def unanswered_records(data: Dataset, as_of: Instant, window: Window, older_than: float) -> nw.LazyFrame:
    """Who counts in the share that nobody has answered."""
    return _by_age(inquiries(data, as_of, window), data.instant(as_of), older_than)


def _by_age(rows: nw.LazyFrame, now: pd.Timestamp, older_than: float) -> nw.LazyFrame:
    is_young = nw.col("created_seconds") > int(now.timestamp()) - older_than
    return records.counted(records.with_reason(rows, (is_young, records.YOUNG)), (nw.col("outcome") == "waiting", EVENT))


def _waiting(data: Dataset, now: pd.Timestamp, window: WindowLike | None) -> nw.LazyFrame:
    data.table("activities", "lead_id")
    leads = facts.leads(data, now).filter(~nw.col("touched_before"), nw.col("outcome") == "waiting")
    return leads if window is None else leads.filter(on_days(nw.col("created_day"), Window.parse(window)))


def waiting_leads(data: Dataset, *, as_of: Instant, window: WindowLike | None = None, older_than: float = DAY_SECONDS) -> pd.DataFrame:
    """List the leads nobody has answered, the oldest first.

    Uses `leads` and `activities`.

    Parameters
    ----------
    as_of : Instant
        The instant of the snapshot.
    window : Window, str or pair of dates, optional
        Local dates on which the leads came in; all of them without it.
    older_than : float
        Age in seconds from which a lead should have been answered.

    Returns
    -------
    DataFrame
        ``lead_id``, ``created_at`` (naive UTC), ``source``, ``owner``, ``age_days`` (whole days).

    Raises
    ------
    MissingTable
        If leads or activities are missing.
    """
    now = data.instant(as_of)
    leads = _waiting(data, now, window).filter(nw.col("delay") >= older_than)
    table = engine.collect(leads.select("lead_id", "created_at", "source", "owner", "delay"), ["created_at", "lead_id"])
    table["age_days"] = (table.pop("delay") // DAY_SECONDS).astype("int64")
    return table


def touched_before(data: Dataset, *, as_of: Instant, window: WindowLike | None = None) -> int:
    """Count the leads set aside because a person had written or called within the day before their inquiry.

    Uses `leads` and `activities`.

    Parameters
    ----------
    window : Window, str or pair of dates, optional
        Local dates on which the leads came in.

    Returns
    -------
    int

    Raises
    ------
    MissingTable
        If leads or activities are missing.
    """
    window = data.window(window, data.instant(as_of))
    leads = facts.leads(data, data.instant(as_of)).filter(on_days(nw.col("created_day"), window))
    return int(engine.counts(leads, (), n=nw.col("touched_before"))["n"].iloc[0])


def waiting_queue(data: Dataset, *, as_of: Instant, window: WindowLike | None = None) -> pd.DataFrame:
    """List everybody who waits for a first answer, in the order to call them.

    Uses `leads` and `activities`; `opportunities` for the order.

    Parameters
    ----------
    as_of : Instant
        The instant of the snapshot.
    window : Window, str or pair of dates, optional
        Local dates on which the leads came in; all of them without it.

    Returns
    -------
    DataFrame
        ``rank``, ``lead_id``, ``created_at`` (naive UTC), ``source``, ``owner``, ``waiting_hours``, ``is_alerted``, ``source_rate``. First those
        whose interest raised an alert, the latest alert first; then the others, the latest inquiry first; of one day's leads those whose source
        becomes an opportunity most often (``source_rate``, missing without opportunities).

    Raises
    ------
    MissingTable
        If leads or activities are missing.
    """
    now = data.instant(as_of)
    leads = _waiting(data, now, window)
    table = engine.collect(leads.select("lead_id", "created_at", "created_day", "source", "owner", "delay", "alerted_seconds"), ["lead_id"])
    rates = engine.counts(facts.leads(data, now), ("source",), n=nw.lit(True), won=nw.col("end") == "opportunity")
    rates["source_rate"] = rates["won"] / rates["n"] if facts.deals_linked(data) else float("nan")
    table = table.merge(rates[["source", "source_rate"]], on="source", how="left")
    table["is_alerted"] = table["alerted_seconds"].notna()
    table["waiting_hours"] = (table["delay"] / 3600).round(1)
    order = ["is_alerted", "alerted_seconds", "created_day", "source_rate", "created_at", "lead_id"]
    table = table.sort_values(order, ascending=[False, False, False, False, False, True], na_position="last", kind="stable", ignore_index=True)
    table["rank"] = table.index + 1
    return table[["rank", "lead_id", "created_at", "source", "owner", "waiting_hours", "is_alerted", "source_rate"]]
