"""All KPIs of a month by their records in the catalogue, the months of the chain with their signals, the lists to act on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import narwhals.stable.v2 as nw
import pandas as pd

from kpi import engine, facts, forecast, lifetime_value, pipeline, response_time, retention, schema
from kpi.catalog import CATALOG, CHAIN, Kpi
from kpi.dataset import Dataset
from kpi.errors import MissingTable, ParameterError
from kpi.facts import records
from kpi.periods import Instant, Month, Window, WindowLike, local_date, month_number
from kpi.pipeline.closed_deals import closed_records, won_records
from kpi.pipeline.conversion import LEAD_TO_CUSTOMER, LEAD_TO_OPPORTUNITY, OPPORTUNITY_TO_CUSTOMER, Transition, conversion_records
from kpi.response_time.answers import answered_records
from kpi.response_time.waiting import unanswered_records
from kpi.retention.growth import active_records, kept_records
from kpi.retention.repeat import repeat_records
from kpi.retention.value_to_date import refund_records
from kpi.statistics import process_control

AREAS = {"response_time": response_time, "pipeline": pipeline, "forecast": forecast, "retention": retention, "lifetime_value": lifetime_value}
MONTHS = 24
EITHER = "orders or contracts"  # in the needs of a record: as the company's customers are
AMOUNTS_KNOWN = 0.9  # share of the lost and of the open deals whose amount must be known for sizes to tell something


def metrics(data: Dataset, month: Month) -> pd.DataFrame:
    """Every KPI of the catalogue that the data allow, at the end of a month.

    Parameters
    ----------
    month : Month
        The month reported.

    Returns
    -------
    DataFrame
        ``group`` (what a row is about within its KPI, as ``name=value`` pairs; empty for the whole) and the columns of `schema.RESULT`.
    """
    return _computed(data, month)[0].copy()


def missing(data: Dataset, month: Month) -> pd.DataFrame:
    """Which KPIs the data do not allow, and why.

    Parameters
    ----------
    month : Month
        The month reported.

    Returns
    -------
    DataFrame
        ``kpi``, ``reason``.
    """
    return _computed(data, month)[1].copy()


def _computed(data: Dataset, month: Month) -> tuple[pd.DataFrame, pd.DataFrame]:
    """All numbers of a month, and what is missing for the others; both are asked for, computed once."""
    if ("metrics", month) in data.facts:
        return data.facts["metrics", month]
    rows, gone = [], []
    for record in CATALOG.values():
        try:
            _require(data, record)
            rows.append(_flat(_of_month(data, record, month)))
        except MissingTable as lack:
            gone.append({"kpi": record.key, "reason": str(lack)})
    numbers = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=["group", *schema.RESULT])
    return data.facts.setdefault(("metrics", month), (numbers, pd.DataFrame(gone, columns=["kpi", "reason"])))


def _require(data: Dataset, record: Kpi) -> None:
    """Refuse a KPI by the first of its needs that the data set does not have."""
    for need in record.needs:
        choices = [_customers(data)] if need == EITHER else need.split(" or ")
        data.table(*next((name for name in choices if data.has(*name.split("."))), choices[0]).split("."))


def _of_month(data: Dataset, record: Kpi, month: Month) -> pd.DataFrame:
    options = dict(record.arguments)
    if record.months:
        options["window"] = month.last(record.months)
    if record.months_before:
        options["past"] = month.before(record.months_before)
    if record.past_months:
        options["past"] = month.last(record.past_months)
    return _function(record)(data, as_of=data.as_of(month), **options)


def _function(record: Kpi) -> Callable[..., pd.DataFrame]:
    area, _, name = record.function.partition(".")
    return getattr(AREAS[area], name)


def _flat(table: pd.DataFrame) -> pd.DataFrame:
    """Results differ in their grouping columns; in one table these become text."""
    groups = list(table.columns[: list(table.columns).index("kpi")])
    pairs = [[f"{name}={value}" for value in table[name].astype(object)] for name in groups]
    flat = table[schema.RESULT].assign(group=["; ".join(row) for row in zip(*pairs, strict=True)] if groups else "")
    # Engines add in no fixed order: what differs in the last bits is no difference.
    for name in ("value", "low", "high"):
        flat[name] = [float(f"{number:.12g}") for number in flat[name]]
    return flat[["group", *schema.RESULT]]


def absent(data: Dataset) -> pd.DataFrame:
    """Which tables of the chain's KPIs the data set does not have.

    Returns
    -------
    DataFrame
        ``table``.
    """
    wanted = ("leads", "activities", "opportunities", "opportunity_history", _customers(data))
    return pd.DataFrame({"table": [name for name in wanted if not data.has(name)]}, dtype="str")


def months(data: Dataset, month: Month, key: str, count: int = MONTHS) -> pd.DataFrame:
    """A KPI of the chain month by month, with the limits within which it varies by itself.

    Parameters
    ----------
    month : Month
        The month reported, the last one shown.
    key : str
        Catalogue key of a KPI that has a place in the chain.
    count : int
        How many months; fewer where the data begin later.

    Returns
    -------
    DataFrame
        One row per month with the columns of `schema.RESULT` and those of `process_control.behaviour`.

    Raises
    ------
    MissingTable
        If the data set lacks a table it needs.
    ParameterError
        If `key` has no place in the chain.
    """
    if key not in CHAIN:
        raise ParameterError(f"{key!r} is no headline KPI; use one of {', '.join(CHAIN)}")
    record = CATALOG[key]
    length = min(count, month.number - data.first_month().number + 1)
    options = {**record.arguments, **({"window": month.last(length)} if record.months else {"months": length}), **CHAIN[key].arguments}
    table = _function(record)(data, as_of=data.as_of(month), **options)
    if "provisional" in table:  # the first activity window of the data knows no old customers: those months say nothing yet
        table["value"] = table["value"].mask(table["provisional"])
    if CHAIN[key].kind == "rate":
        table["n"] = table["n"].fillna(0)
    return process_control.behaviour(table, CHAIN[key].kind)


def chain(data: Dataset, month: Month, count: int = MONTHS) -> list[pd.DataFrame]:
    """The months of every KPI of the chain that the data allow, in causal order.

    Parameters
    ----------
    month : Month
        The month reported, the last one shown.
    count : int
        How many months.

    Returns
    -------
    list of DataFrame
        As `months` gives them, with the ``kind`` of process behaviour chart.
    """
    tables = [(key, optional(months, data, month=month, key=key, count=count)) for key in CHAIN]
    return [table.assign(kind=CHAIN[key].kind) for key, table in tables if table is not None and table["value"].notna().any()]


def false_alarm_rate(chain: list[pd.DataFrame]) -> float:
    """How likely it is that a month without any change shows at least one signal among the KPIs of the chain.

    Parameters
    ----------
    chain : list of DataFrame
        From `chain`.

    Returns
    -------
    float
        Probability, of charts taken as independent with limits from the months at hand; 0 where none is past its provisional months.
    """
    settled = [table for table in chain if not table["provisional"].iloc[-1]]
    months = min((int(table["value"].iloc[:-1].notna().sum()) for table in settled), default=0)
    return process_control.false_alarm_rate(len(settled), months, seed=1) if settled else 0.0


def optional(metric: Callable[..., pd.DataFrame], data: Dataset, **options: Any) -> pd.DataFrame | None:
    """Ask for a metric where the data set has the tables that it needs.

    Parameters
    ----------
    metric : function
        Such as `pipeline.coverage`.
    **options
        Its parameters.

    Returns
    -------
    DataFrame or None
        What the metric gives; None where a table or column is missing.
    """
    try:
        return metric(data, **options)
    except MissingTable:
        return None


def conversions(data: Dataset, as_of: Instant) -> list[pd.DataFrame]:
    """Lead to opportunity, opportunity to customer, lead to customer, as things go now: those that the data allow.

    Returns
    -------
    list of DataFrame
        Period readings, in order.
    """
    steps = (pipeline.lead_to_opportunity, pipeline.opportunity_to_customer, pipeline.lead_to_customer)
    return _allowed(optional(step, data, as_of=as_of) for step in steps)


def won_by_group(data: Dataset, as_of: Instant, window: Window, horizon: float) -> list[pd.DataFrame]:
    """What share is won, by source, size, product and owner: those that the data have, sizes only where lost and open deals have them too.

    Parameters
    ----------
    horizon : float
        Days of age.

    Returns
    -------
    list of DataFrame
        Cohort readings of `pipeline.opportunity_to_customer`.
    """
    options = {"as_of": as_of, "view": "cohort", "window": window, "horizons": [horizon]}
    names = ("source", "size", "product", "owner") if _amounts_known(data, as_of, window) else ("source", "product", "owner")
    return _allowed(optional(pipeline.opportunity_to_customer, data, by=name, **options) for name in names)


def _amounts_known(data: Dataset, as_of: Instant, window: Window) -> bool:
    """Where only won deals carry an amount, their size tells nothing but that they were won."""
    states = [pipeline.average_value(data, as_of=as_of, status=status, window=window).iloc[0] for status in ("lost", "open")]
    return all(row["n_events"] >= AMOUNTS_KNOWN * row["n"] and row["value"] != 0 for row in states)


def _allowed(tables: Iterable[pd.DataFrame | None]) -> list[pd.DataFrame]:
    return [table for table in tables if table is not None]


def what_ifs(data: Dataset, as_of: Instant, window: Window, past: Window) -> pd.DataFrame:
    """What might go with answering as many leads within the hour as the best source, or the best team, does.

    Parameters
    ----------
    past : Window
        As for `response_time.what_if`.

    Returns
    -------
    DataFrame
        `response_time.what_if` of appointments and of won deals, one below the other: by team where there are teams, else by source.
    """
    options: dict[str, Any] = {"as_of": as_of, "window": window, "past": past, "by": "team" if data.has("owners") else "source"}
    return pd.concat([response_time.what_if(data, **options, outcome=outcome) for outcome in ("appointment", "won")], ignore_index=True)


def nurtured(data: Dataset, as_of: Instant, window: Window) -> pd.DataFrame:
    """What nurtured leads become: appointments, and opportunities where the data set has them.

    Returns
    -------
    DataFrame
        `response_time.nurtured` of both outcomes, one below the other.
    """
    outcomes = ("appointment", "opportunity") if data.has("opportunities") else ("appointment",)
    return pd.concat([response_time.nurtured(data, as_of=as_of, window=window, outcome=outcome) for outcome in outcomes], ignore_index=True)


def lists(data: Dataset, month: Month) -> dict[str, pd.DataFrame]:
    """Make the lists to act on, dated at the end of a month.

    Parameters
    ----------
    month : Month
        The month reported.

    Returns
    -------
    dict of str to DataFrame
        File name without ending to table; a list whose tables are missing is left out.
    """
    now, year = data.as_of(month), month.last(12)
    made = {
        "never_answered": optional(response_time.waiting_leads, data, as_of=now, window=year),
        "waiting": optional(response_time.waiting_queue, data, as_of=now, window=year),
        "stale_deals": optional(pipeline.stale_deals, data, as_of=now),
        "best_customers": optional(retention.best_customers, data, as_of=now),
        "most_profitable": optional(retention.most_profitable_customers, data, as_of=now),
        "at_risk": optional(lifetime_value.at_risk, data, as_of=now),
        "set_aside": data.set_aside,
    }
    return {name: table for name, table in made.items() if table is not None}


def _customers(data: Dataset) -> str:
    return "contracts" if facts.is_contractual(data) else "orders"


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
    reason = {"leads": records.MERGED, "customers": records.NO_PURCHASE}.get(table, records.AFTER)
    tests = ((nw.col("created_at") >= now, records.AFTER), (nw.col("deleted_at") < now, records.DELETED))
    has_dates = "deleted_at" in schema.TABLES[table].names
    return data.table(table).with_columns(records.first(*(tests if has_dates else ()), otherwise=reason).alias("reason"))
