"""Who counts in a metric: every record of its base table, in or out, and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import narwhals.stable.v2 as nw
import pandas as pd

from kpi import engine, schema
from kpi.catalog import CATALOG
from kpi.dataset import Dataset
from kpi.errors import ParameterError
from kpi.facts import records
from kpi.periods import Instant, Month, Window, WindowLike, local_date, month_number
from kpi.pipeline.closed_deals import closed_records, won_records
from kpi.pipeline.conversion import LEAD_TO_CUSTOMER, LEAD_TO_OPPORTUNITY, OPPORTUNITY_TO_CUSTOMER, Transition, conversion_records
from kpi.response_time.answers import answered_records
from kpi.response_time.waiting import unanswered_records
from kpi.retention.growth import active_records, kept_records
from kpi.retention.repeat import repeat_records
from kpi.retention.value_to_date import refund_records


@dataclass(frozen=True)
class Records:
    """A metric whose records can be listed: its base table, and how they are made."""

    table: str
    of: Callable[[Dataset, pd.Timestamp, Window, float, str], nw.LazyFrame]  # (data, now, window, horizon, view)


def _conversion(transition: Transition) -> Callable[[Dataset, pd.Timestamp, Window, float, str], nw.LazyFrame]:
    return lambda data, now, window, horizon, view: conversion_records(data, transition, now, window, view, horizon)


RECORDS = {
    "response.answered_within": Records("leads", lambda data, now, window, horizon, _: answered_records(data, now, window, horizon)),
    "response.never_answered": Records("leads", lambda data, now, window, horizon, _: unanswered_records(data, now, window, horizon)),
    "pipeline.lead_to_opportunity": Records("leads", _conversion(LEAD_TO_OPPORTUNITY)),
    "pipeline.lead_to_customer": Records("leads", _conversion(LEAD_TO_CUSTOMER)),
    "pipeline.opportunity_to_customer": Records("opportunities", _conversion(OPPORTUNITY_TO_CUSTOMER)),
    "pipeline.closed_win_rate": Records("opportunities", lambda data, now, window, *_: closed_records(data, now, window)),
    "pipeline.won_value": Records("opportunities", lambda data, now, window, *_: won_records(data, now, window)),
    "retention.active": Records("customers", lambda data, now, window, *_: active_records(data, now, window)),
    "retention.kept": Records("customers", lambda data, now, window, *_: kept_records(data, now, window)),
    "retention.repeat_purchase": Records("customers", lambda data, now, window, horizon, view: repeat_records(data, now, window, view, horizon)),
    "retention.refunds": Records("orders", lambda data, now, *_: refund_records(data, now)),
}


def ledger(
    data: Dataset, key: str, *, as_of: Instant, window: WindowLike | None = None, horizon: float | None = None, view: str = "period"
) -> pd.DataFrame:
    """Who counts in a metric: every record of its base table, in or out, and why.

    Parameters
    ----------
    key : str
        Catalogue key, one of `RECORDS`.
    window : Window, optional
        Local dates, as for the metric; without it the metric's own: the last complete month, or the days before `as_of`.
    horizon : float, optional
        Delay (seconds) or age (days) that the metric is read at; without it the largest of the metric's own.

    Returns
    -------
    DataFrame
        One row per record, sorted by its id: ``lead_id``, ``opportunity_id``, ``customer_id`` or ``order_id``; ``in`` (counted by ``n``); ``role``:
        event (``n_events``), censored (``n_open``), denominator (counted, without event), out; ``reason`` why it is out. Then the rows set aside
        when the table was read, which have no id but ``file`` and ``row``. Leads created again or merged are part of one inquiry.

    Raises
    ------
    ParameterError
        If the metric has no ledger, or `view` is unknown.
    MissingTable
        If the data do not allow the metric.
    """
    if key not in RECORDS:
        raise ParameterError(f"{key!r} has no ledger; those that have one are {', '.join(RECORDS)}")
    metric, days, now = RECORDS[key], CATALOG[key].days, data.instant(as_of)
    horizon = max(CATALOG[key].horizons, default=0) if horizon is None else horizon
    if window is None and not days:
        window = Month.of(month_number(local_date(now, data.company.timezone))).previous.window
    rows = metric.of(data, now, data.window(window, now, days), horizon, view)
    name, counted_as = schema.TABLES[metric.table].key[0], nw.col("counted_as").alias("role")
    found = engine.collect(rows.select(name, records.IN.alias("in"), counted_as, "reason"))
    if data.has(metric.table):
        absent = engine.collect(_absent(data, metric.table, now).select(name, "reason")).assign(**{"in": False, "role": records.OUT})
        found = pd.concat([found, absent[~absent[name].isin(found[name])][list(found)]], ignore_index=True)
    found = found.astype({name: "str", "role": "str", "reason": "str"}).sort_values(name, kind="stable", ignore_index=True)
    found = found.assign(file="", row=pd.array([pd.NA] * len(found), dtype="Int64"))
    aside = data.set_aside[data.set_aside["table"] == metric.table]
    unread = pd.DataFrame({"in": False, "role": records.OUT, "reason": aside["reason"], "file": aside["file"], "row": aside["row"].astype("Int64")})
    unread.insert(0, name, pd.Series(pd.NA, index=unread.index, dtype="str"))
    return pd.concat([found, unread], ignore_index=True) if len(unread) else found


def _absent(data: Dataset, table: str, now: pd.Timestamp) -> nw.LazyFrame:
    """Rows of a base table, each with the reason why it is not among the facts where it is not."""
    other = records.OTHERS if data.restricted_to else records.AFTER
    reason = {"leads": records.MERGED, "customers": records.NO_PURCHASE, "opportunities": other}.get(table, records.AFTER)
    tests = ((nw.col("created_at") >= now, records.AFTER), (nw.col("deleted_at") < now, records.DELETED))
    has_dates = "deleted_at" in schema.TABLES[table].names
    return data.table(table).with_columns(records.first(*(tests if has_dates else ()), otherwise=reason).alias("reason"))
