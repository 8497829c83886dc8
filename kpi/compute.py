"""What combines metrics: every catalogue key with its function, the months of each headline KPI with their signals, and the lists to act on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import narwhals.stable.v2 as nw
import pandas as pd

from kpi import engine, facts, forecast, lifetime_value, pipeline, response_time, retention, schema
from kpi.catalog import CATALOG
from kpi.dataset import Dataset
from kpi.errors import MissingTable, ParameterError
from kpi.facts import records
from kpi.facts.clock import DAY_SECONDS
from kpi.facts.opportunities import stages
from kpi.periods import Instant, Month, Window, WindowLike, local_date, month_number
from kpi.pipeline.closed_deals import closed_records, won_records
from kpi.pipeline.conversion import LEAD_TO_CUSTOMER, LEAD_TO_OPPORTUNITY, OPPORTUNITY_TO_CUSTOMER, Transition, conversion_records
from kpi.response_time.answers import answered_records
from kpi.response_time.waiting import unanswered_records
from kpi.retention.growth import SPANS, active_records, kept_records
from kpi.retention.refunds import refund_records
from kpi.retention.repeat import repeat_records
from kpi.schema import N_
from kpi.statistics import process_control

MONTHS = 24
HOUR = 3600
OUTCOMES = ("appointment", "opportunity", "won")
AREAS = {"response_time": response_time, "pipeline": pipeline, "forecast": forecast, "retention": retention, "lifetime_value": lifetime_value}


@dataclass(frozen=True)
class Headline:
    """A KPI of the leading chain: its catalogue key, how its chart is drawn, what its value is called."""

    key: str
    kind: str  # kind of process behaviour chart, see `process_control.behaviour`
    name: str
    months: Callable  # (data, as_of, window) -> result by month


def _answered(data: Dataset, as_of, window):
    return response_time.answered_within(data, as_of=as_of, window=window, by="month", thresholds=(HOUR,))


def _proposals(data: Dataset, as_of, window):
    return pipeline.entered_stage(data, position=watched_stage(data)["position"], as_of=as_of, window=window)


def _kept(data: Dataset, as_of, window):
    first, after = window.months
    table = retention.retention_rate(data, as_of=as_of, months=after - first)
    # The first activity window of the data knows no old customers: those months say nothing yet.
    return table.assign(value=table["value"].mask(table["provisional"]))


CHAIN = (
    Headline("pipeline.leads", "count", N_("Leads"), lambda data, as_of, window: pipeline.leads_created(data, as_of=as_of, window=window)),
    Headline("response.answered_within", "rate", N_("Answered in 1 hour"), _answered),
    Headline("pipeline.opportunities", "count", N_("Opportunities"), lambda data, as_of, window: pipeline.created(data, as_of=as_of, window=window)),
    Headline("pipeline.stage_entries", "count", N_("Reached {stage}"), _proposals),
    Headline("pipeline.won", "count", N_("Deals won"), lambda data, as_of, window: pipeline.won(data, as_of=as_of, window=window)),
    Headline(
        "pipeline.average_won_value",
        "money",
        N_("Average won deal"),
        lambda data, as_of, window: pipeline.won(data, as_of=as_of, window=window, measure="average"),
    ),
    Headline(
        "pipeline.won_value", "money", N_("Won value"), lambda data, as_of, window: pipeline.won(data, as_of=as_of, window=window, measure="value")
    ),
    Headline("retention.kept", "rate", N_("Customers kept"), _kept),
)


def watched_stage(data: Dataset) -> dict:
    """Find the stage whose entries stand for progress: the second open one, or the one that ``[pipeline] watched_stage`` names.

    Parameters
    ----------
    data : Dataset
        Uses `stages`.

    Returns
    -------
    dict
        ``stage`` and ``position``.

    Raises
    ------
    MissingTable
        If there is no order of stages.
    """
    order = stages(data)
    is_open = order[order["status"] == "open"].reset_index(drop=True)
    named = is_open[is_open["stage"] == data.settings.get("pipeline", {}).get("watched_stage", "")]
    row = named.iloc[0] if len(named) else is_open.iloc[min(1, len(is_open) - 1)]
    return {"stage": str(row["stage"]), "position": int(row["position"])}


def months(data: Dataset, month: Month, key: str, count: int = MONTHS) -> pd.DataFrame:
    """A headline KPI month by month, with the limits within which it varies by itself.

    Parameters
    ----------
    data : Dataset
        Whatever the KPI needs.
    month : Month
        The month reported, the last one shown.
    key : str
        Catalogue key of one of the `CHAIN`.
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
        If `key` is not one of the `CHAIN`.
    """
    headline = {item.key: item for item in CHAIN}.get(key)
    if headline is None:
        raise ParameterError(f"{key!r} is no headline KPI; use one of {', '.join(item.key for item in CHAIN)}")
    first = max(month.shift(1 - count).number, data.first_month().number)
    window = Month.of(first).last(1) if first == month.number else type(month.window)(Month.of(first).start, month.end)
    table = headline.months(data, data.as_of(month), window)
    if headline.kind == "rate":
        table["n"] = table["n"].fillna(0)
    return process_control.behaviour(table, headline.kind)


def chain(data: Dataset, month: Month, words, count: int = MONTHS) -> list[pd.DataFrame]:
    """The months of every headline KPI that the data allow, in causal order.

    Parameters
    ----------
    data : Dataset
        The data set.
    month : Month
        The month reported, the last one shown.
    words : Words
        Language of the names.
    count : int
        How many months.

    Returns
    -------
    list of DataFrame
        As `months` gives them, with ``name`` and ``kind`` of the KPI.
    """
    made = []
    for item in CHAIN:
        table = _attempt(lambda item=item: months(data, month, item.key, count))
        if isinstance(table, pd.DataFrame) and table["value"].notna().any():
            name = words.say(item.name, stage=watched_stage(data)["stage"]) if item.key == "pipeline.stage_entries" else words.translate(item.name)
            made.append(table.assign(name=name, kind=item.kind))
    return made


def false_alarm_rate(chain: list[pd.DataFrame]) -> float:
    """How likely it is that a month without any change shows at least one signal among the headline KPIs.

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


def conversions(data: Dataset, as_of: pd.Timestamp) -> list[pd.DataFrame]:
    """Lead to opportunity, opportunity to customer, lead to customer, as things go now: those that the data allow.

    Parameters
    ----------
    data : Dataset
        Uses `leads`, `activities`, `opportunities`.
    as_of : Timestamp
        Naive UTC.

    Returns
    -------
    list of DataFrame
        Period readings, in order.
    """
    ways = (pipeline.lead_to_opportunity, pipeline.opportunity_to_customer, pipeline.lead_to_customer)
    found = [_attempt(lambda way=way: way(data, as_of=as_of)) for way in ways]
    return [table for table in found if isinstance(table, pd.DataFrame)]


def what_ifs(data: Dataset, as_of: pd.Timestamp, window, past) -> pd.DataFrame:
    """What might go with answering as many leads within the hour as the best source, or the best team, does.

    Parameters
    ----------
    data : Dataset
        Uses `leads`, `activities`, `opportunities`; `owners` for the teams.
    as_of : Timestamp
        Naive UTC.
    window, past : Window
        As for `response_time.what_if`.

    Returns
    -------
    DataFrame
        `response_time.what_if` of appointments and of won deals, one below the other: by team where there are teams, else by source.
    """
    by = "team" if data.has("owners") else "source"
    parts = [response_time.what_if(data, as_of=as_of, window=window, past=past, by=by, outcome=outcome) for outcome in ("appointment", "won")]
    return pd.concat(parts, ignore_index=True)


def score_at_touch(data: Dataset, as_of: pd.Timestamp, window) -> pd.DataFrame | None:
    """The score at the first touch after an alert, where the data set has scores.

    Parameters
    ----------
    data : Dataset
        Uses `lead_scores`.
    as_of : Timestamp
        Naive UTC.
    window : Window
        Local dates of the alert.

    Returns
    -------
    DataFrame or None
    """
    return response_time.score_at_touch(data, as_of=as_of, window=window) if data.has("lead_scores") else None


def nurtured(data: Dataset, as_of: pd.Timestamp, window) -> pd.DataFrame:
    """What nurtured leads become: appointments, and opportunities where the data set has them.

    Parameters
    ----------
    data : Dataset
        Uses `leads` with ``nurtured_at``, `activities`.
    as_of : Timestamp
        Naive UTC.
    window : Window
        Local dates on which the leads came in.

    Returns
    -------
    DataFrame
        `response_time.nurtured` of both outcomes, one below the other.
    """
    outcomes = ("appointment", "opportunity") if data.has("opportunities") else ("appointment",)
    return pd.concat([response_time.nurtured(data, as_of=as_of, window=window, outcome=outcome) for outcome in outcomes], ignore_index=True)


def pushes(data: Dataset, as_of: pd.Timestamp) -> pd.DataFrame | None:
    """How often closing dates were pushed out, where the data set has them.

    Parameters
    ----------
    data : Dataset
        Uses `opportunity_history`.
    as_of : Timestamp
        Naive UTC.

    Returns
    -------
    DataFrame or None
        `pipeline.pushes`.
    """
    return pipeline.pushes(data, as_of=as_of) if data.has("opportunity_history", "expected_close_on") else None


def most_profitable(data: Dataset, as_of: pd.Timestamp) -> pd.DataFrame | None:
    """List the most profitable customers where margins are recorded.

    Parameters
    ----------
    data : Dataset
        Uses `orders` with ``margin``.
    as_of : Timestamp
        Naive UTC.

    Returns
    -------
    DataFrame or None
    """
    return retention.most_profitable_customers(data, as_of=as_of) if data.has("orders", "margin") else None


def compared_cohorts(cells: pd.DataFrame, age: int = 3) -> pd.DataFrame:
    """Hold the cohorts against each other at one age, to find those that differ by more than chance.

    Parameters
    ----------
    cells : DataFrame
        `retention.cohort_matrix`.
    age : int
        Months since the first purchase.

    Returns
    -------
    DataFrame
        One row per cohort observed at that age: its ``month``, and the columns of `process_control.behaviour` with binomial limits.
    """
    at_age = cells[cells["age"] == age].reset_index(drop=True)
    return process_control.behaviour(at_age.rename(columns={"cohort": "month"}), "rate")


def absent(data: Dataset) -> pd.DataFrame:
    """Which tables of the headline KPIs the data set does not have.

    Parameters
    ----------
    data : Dataset
        The data set.

    Returns
    -------
    DataFrame
        ``table``.
    """
    customers = "contracts" if facts.is_contractual(data) else "orders"
    wanted = ("leads", "activities", "opportunities", "opportunity_history", customers)
    return pd.DataFrame({"table": [name for name in wanted if not data.has(name)]}, dtype="str")


def metrics(data: Dataset, month: Month) -> pd.DataFrame:
    """Every KPI of the catalogue that the data allow, at the end of a month.

    Parameters
    ----------
    data : Dataset
        The data set.
    month : Month
        The month reported.

    Returns
    -------
    DataFrame
        ``group`` (what a row is about within its KPI, as ``name=value`` pairs; empty for the whole) and the columns of `schema.RESULT`.
    """
    return _computed(data, month)[0]


def missing(data: Dataset, month: Month) -> pd.DataFrame:
    """Which KPIs the data do not allow, and why.

    Parameters
    ----------
    data : Dataset
        The data set.
    month : Month
        The month reported.

    Returns
    -------
    DataFrame
        ``kpi``, ``reason``.
    """
    return _computed(data, month)[1]


def lists(data: Dataset, month: Month) -> dict[str, pd.DataFrame]:
    """Make the lists to act on, dated at the end of a month.

    Parameters
    ----------
    data : Dataset
        The data set.
    month : Month
        The month reported.

    Returns
    -------
    dict of str to DataFrame
        File name without ending to table; a list whose tables are missing is left out.
    """
    as_of = data.as_of(month)
    made = {
        "never_answered": lambda: response_time.waiting_leads(data, as_of=as_of, window=month.last(12)),
        "waiting": lambda: response_time.waiting_queue(data, as_of=as_of, window=month.last(12)),
        "stale_deals": lambda: pipeline.stale_deals(data, as_of=as_of),
        "best_customers": lambda: retention.best_customers(data, as_of=as_of),
        "most_profitable": lambda: retention.most_profitable_customers(data, as_of=as_of),
        "at_risk": lambda: lifetime_value.at_risk(data, as_of=as_of),
        "set_aside": lambda: data.set_aside,
    }
    found = {name: _attempt(build) for name, build in made.items()}
    return {name: table for name, table in found.items() if isinstance(table, pd.DataFrame)}


def _computed(data: Dataset, month: Month) -> tuple[pd.DataFrame, pd.DataFrame]:
    """All numbers of a month, and what is missing for the others; both are asked for, computed once."""
    key = ("headline", month)
    if key not in data.facts:
        data.facts[key] = _compute(data, month)
    return tuple(table.copy() for table in data.facts[key])


def _compute(data: Dataset, month: Month) -> tuple[pd.DataFrame, pd.DataFrame]:
    now, rows, gone = data.as_of(month), [], []
    for key, build in _builders(data, month, now).items():
        table = _attempt(build)
        if isinstance(table, pd.DataFrame):
            rows.append(_flat(table))
        else:
            gone.append({"kpi": key, "reason": str(table)})
    empty = pd.DataFrame(columns=["group", *schema.RESULT])
    return (pd.concat(rows, ignore_index=True) if rows else empty), pd.DataFrame(gone, columns=["kpi", "reason"])


def _attempt(build: Callable) -> pd.DataFrame | MissingTable:
    try:
        return build()
    except MissingTable as error:
        return error


def _flat(table: pd.DataFrame) -> pd.DataFrame:
    """Results differ in their grouping columns; in one table these become text."""
    groups = list(table.columns[: list(table.columns).index("kpi")])
    pairs = [[f"{name}={value}" for value in table[name].astype(object)] for name in groups]
    flat = table[schema.RESULT].assign(group=["; ".join(row) for row in zip(*pairs, strict=True)] if groups else "")
    # Engines add in no fixed order: what differs in the last bits is no difference.
    for name in ("value", "low", "high"):
        flat[name] = [float(f"{number:.12g}") for number in flat[name]]
    return flat[["group", *schema.RESULT]]


def _builders(data: Dataset, month: Month, now) -> dict[str, Callable]:
    here, year, longer = ({"as_of": now, "window": window} for window in (month.window, month.last(12), month.last(24)))
    chain = {item.key: (lambda item=item: item.months(data, now, month.window)) for item in CHAIN}
    stated = chain | {  # what is stated below takes the place of a headline's months
        "response.answered_within": lambda: response_time.answered_within(data, **here),
        "response.median": lambda: response_time.response_time(data, **here),
        "response.p90": lambda: response_time.response_time(data, **here, quantile=0.9),
        "response.bands": lambda: response_time.response_bands(data, **here),
        "response.never_answered": lambda: response_time.never_answered(data, **here),
        "response.contacted_within": lambda: response_time.answered_within(data, **here, event="contact"),
        "response.routing": lambda: response_time.routing_delay(data, **here),
        "response.owner_delay": lambda: response_time.owner_delay(data, **here),
        "response.change": lambda: response_time.response_change(data, **here, past=month.before(12)),
        "response.out_of_hours": lambda: response_time.out_of_hours(data, **year),
        "response.attempts": lambda: response_time.attempts(data, **year),
        "response.alert_to_touch": lambda: response_time.alert_to_touch(data, **year),
        "response.score_at_touch": lambda: response_time.score_at_touch(data, **year),
        **{
            f"response.nurtured_{name}": (lambda name=name: response_time.nurtured(data, **year, outcome=name))
            for name in ("answered", "appointment", "opportunity")
        },
        **{f"response.speed_to_{name}": (lambda name=name: response_time.speed_to_outcome(data, **longer, outcome=name)) for name in OUTCOMES},
        "response.sensitivity": lambda: response_time.sensitivity(data, **longer),
        **{
            f"response.what_if_{name}": (lambda name=name: response_time.what_if(data, **here, past=month.last(24), outcome=name))
            for name in OUTCOMES
        },
        "pipeline.won_amount": lambda: pipeline.average_value(data, as_of=now, status="won"),
        "pipeline.lost_amount": lambda: pipeline.average_value(data, as_of=now, status="lost"),
        "pipeline.open_amount": lambda: pipeline.average_value(data, as_of=now, status="open"),
        "pipeline.closed_win_rate_by_amount": lambda: pipeline.closed_win_rate(data, as_of=now, weight="amount"),
        "pipeline.waterfall": lambda: pipeline.waterfall(data, as_of=now, window=month.window),
        "retention.active": lambda: retention.active_customers(data, as_of=now, months=1),
        **{key: partial(retention.net_customer_growth, data, as_of=now, months=1, span=span) for span, key in SPANS.items()},
        "retention.kept": lambda: retention.retention_rate(data, as_of=now, months=1),
    }
    return {key: stated.get(key, partial(_plain, key, data, now)) for key in CATALOG}


def _plain(key: str, data: Dataset, now: pd.Timestamp) -> pd.DataFrame:
    """A KPI with nothing to state but the date, by the function that the catalogue names."""
    area, _, name = CATALOG[key].function.partition(".")
    return getattr(AREAS[area], name)(data, as_of=now)


@dataclass(frozen=True)
class Records:
    """A metric whose records can be listed: its base table, its window in days before the date (0: the last complete month), its largest horizon."""

    table: str
    days: int
    horizon: float
    of: Callable[[Dataset, pd.Timestamp, Window, float, str], nw.LazyFrame]  # (data, now, window, horizon, view)


def _conversion(transition: Transition) -> Callable[[Dataset, pd.Timestamp, Window, float, str], nw.LazyFrame]:
    return lambda data, now, window, horizon, view: conversion_records(data, transition, now, window, view, horizon)


RECORDS = {
    "response.answered_within": Records(
        "leads", 0, DAY_SECONDS, lambda data, now, window, horizon, view: answered_records(data, now, window, horizon)
    ),
    "response.never_answered": Records(
        "leads", 0, DAY_SECONDS, lambda data, now, window, horizon, view: unanswered_records(data, now, window, horizon)
    ),
    "pipeline.lead_to_opportunity": Records("leads", 90, 180, _conversion(LEAD_TO_OPPORTUNITY)),
    "pipeline.lead_to_customer": Records("leads", 90, 365, _conversion(LEAD_TO_CUSTOMER)),
    "pipeline.opportunity_to_customer": Records("opportunities", 90, 365, _conversion(OPPORTUNITY_TO_CUSTOMER)),
    "pipeline.closed_win_rate": Records("opportunities", 90, 0, lambda data, now, window, horizon, view: closed_records(data, now, window)),
    "pipeline.won_value": Records("opportunities", 0, 0, lambda data, now, window, horizon, view: won_records(data, now, window)),
    "retention.active": Records("customers", 0, 0, lambda data, now, window, horizon, view: active_records(data, now, window.end)),
    "retention.kept": Records("customers", 0, 0, lambda data, now, window, horizon, view: kept_records(data, now, window)),
    "retention.repeat_purchase": Records(
        "customers", 180, 365, lambda data, now, window, horizon, view: repeat_records(data, now, window, view, horizon)
    ),
    "retention.refunds": Records("orders", 0, 0, lambda data, now, window, horizon, view: refund_records(data, now)),
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
    metric, now = RECORDS[key], data.instant(as_of)
    if window is None and not metric.days:
        window = Month.of(month_number(local_date(now, data.company.timezone))).previous.window
    rows = metric.of(data, now, data.window(window, now, metric.days), metric.horizon if horizon is None else horizon, view)
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
