"""All KPIs of a month by their records in the catalogue, the months of the chain with their signals, the lists to act on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import pandas as pd

from kpi import facts, forecast, lifetime_value, pipeline, response_time, retention, schema
from kpi.catalog import CATALOG, CHAIN, Kpi
from kpi.dataset import Dataset
from kpi.errors import ParameterError, why_missing
from kpi.periods import Instant, Month, Window
from kpi.statistics import process_control

AREAS = {"response_time": response_time, "pipeline": pipeline, "forecast": forecast, "retention": retention, "lifetime_value": lifetime_value}
MONTHS = 24
EMPTY = "there is no record that it could count"
UNWATCHED = "at some age on the way there too few were under observation"
UNKNOWN = "not reached yet, or too few records to tell"
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
        table, reason = _attempt(data, record.key, partial(_of_month, data, record, month))
        if table is None or table.empty:
            gone.append({"kpi": record.key, "reason": reason or EMPTY})
            continue
        rows.append(_flat(table))
        if table["value"].isna().all():
            gone.append({"kpi": record.key, "reason": _why_unknown(record, table)})
    numbers = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=["group", *schema.RESULT])
    return data.facts.setdefault(("metrics", month), (numbers, pd.DataFrame(gone, columns=["kpi", "reason"])))


def _why_unknown(record: Kpi, table: pd.DataFrame) -> str:
    """Why a KPI has rows with their counts, and no value in any."""
    if not table["n"].fillna(0).sum():
        return EMPTY
    if (table["n"].fillna(0) < record.floor).all():
        return f"fewer than {record.floor} records"
    return UNWATCHED if record.horizons else UNKNOWN


def _attempt(data: Dataset, what: str, make: Callable[[], pd.DataFrame], *raised: type[Exception]) -> tuple[pd.DataFrame | None, str]:
    """Make a table, or say why it is missing; a fault of the kit is kept with its trace, and stops nothing else."""
    try:
        return make(), ""
    except raised:
        raise
    except Exception as error:
        reason, trace = why_missing(error)
        if trace:
            data.facts.setdefault(("faults",), {})[what] = f"{reason}\n{trace}"
        return None, reason


def faults(data: Dataset) -> dict[str, str]:
    """What was asked for so far and is missing by a fault of the kit.

    Returns
    -------
    dict of str to str
        Key or function to what went wrong: a line, and the trace.
    """
    return dict(data.facts.get(("faults",), {}))


def _require(data: Dataset, record: Kpi) -> None:
    """Refuse a KPI by the first of its needs that the data set does not have."""
    for need in record.needs:
        choices = [_customers(data)] if need == EITHER else need.split(" or ")
        data.table(*next((name for name in choices if data.has(*name.split("."))), choices[0]).split("."))


def _of_month(data: Dataset, record: Kpi, month: Month) -> pd.DataFrame:
    _require(data, record)
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
    tables = [(key, _attempt(data, f"{key} by month", partial(months, data, month, key, count))[0]) for key in CHAIN]
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
        What the metric gives; None where a table or column is missing, or by a fault of the kit, see `faults`.

    Raises
    ------
    ParameterError
        If a parameter is unknown.
    """
    name = f"{metric.__module__}.{metric.__name__}".removeprefix("kpi.")
    return _attempt(data, name, partial(metric, data, **options), ParameterError)[0]


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
    return _of_outcomes(response_time.what_if, ("appointment", "won"), data, options)


def _of_outcomes(metric: Callable[..., pd.DataFrame], outcomes: tuple[str, ...], data: Dataset, options: dict[str, Any]) -> pd.DataFrame:
    """The results for the outcomes that the data tell; where they tell none the metric says why."""
    told = _allowed(optional(metric, data, **options, outcome=outcome) for outcome in outcomes)
    return pd.concat(told or [metric(data, **options, outcome=outcomes[-1])], ignore_index=True)


def nurtured(data: Dataset, as_of: Instant, window: Window) -> pd.DataFrame:
    """What nurtured leads become: appointments, and opportunities where the data set has them.

    Returns
    -------
    DataFrame
        `response_time.nurtured` of both outcomes, one below the other.
    """
    return _of_outcomes(response_time.nurtured, ("appointment", "opportunity"), data, {"as_of": as_of, "window": window})


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
