"""The open pipeline as it stood at an instant, or at many, rebuilt from the history of changes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import narwhals.stable.v2 as nw
import pandas as pd

from kpi import engine, facts, schema
from kpi.dataset import Dataset
from kpi.errors import ParameterError
from kpi.facts.clock import last_day
from kpi.facts.money import rates_on
from kpi.periods import Instant
from kpi.pipeline.deal_groups import STANDING, deals


def open_pipeline(data: Dataset, *, as_of: Instant, by: str = "stage") -> pd.DataFrame:
    """Amount and number of open deals by stage, owner or source, as known at a date.

    Uses `opportunities`, `opportunity_history`, and `stages` for their order.

    Parameters
    ----------
    as_of : Instant
        The instant of the snapshot: stage, amount and owner are those known then.
    by : str
        ``stage``, ``owner``, ``source``, ``product`` or ``size``.

    Returns
    -------
    DataFrame
        One row per group, in the order of the stages or by name, with the columns of `schema.RESULT`: ``value`` amount in company currency, ``n``
        deals, ``n_events`` of them with a known amount, ``n_open`` the same as ``n``.

    Raises
    ------
    MissingTable
        If there are no opportunities.
    ParameterError
        If `by` is unknown.
    """
    groups = schema.grouping(by, {"stage": "stage"} | STANDING)
    now = data.instant(as_of)
    rows = deals(data, now, groups, {"stage": "stage"} | STANDING).filter(nw.col("status") == "open")
    amount = nw.col("amount")
    table = engine.collect(rows.group_by(*groups).agg(n=nw.len(), n_events=amount.count(), value=amount.sum()), groups)
    table["value"] = table["value"].where(table["n_events"] > 0)
    table["n_open"] = table["n"]
    result = schema.result("pipeline.open", table, by=list(groups), view="snapshot", window=data.window(None, now, 1), as_of=now)
    if by == "stage" and data.has("stages"):
        places = engine.collect(data.table("stages").select("stage", "position"), ["position"]).set_index("stage")["position"]
        result = result.iloc[result["stage"].map(places).fillna(len(places) + 1).argsort(kind="stable")].reset_index(drop=True)
    return result


def snapshots(data: Dataset, *, dates: Sequence[Instant], by: str = "stage") -> pd.DataFrame:
    """Amount and number of open deals at many dates at once, each as then known.

    Uses `opportunities`, `opportunity_history`, `fx`.

    Parameters
    ----------
    dates : sequence of Instant
        The instants, in order.
    by : str
        ``stage``, ``owner``, ``source`` or ``product``.

    Returns
    -------
    DataFrame
        One row per date (``date``, naive UTC) and group that has open deals, with the columns of `schema.RESULT` as `open_pipeline` has them.

    Raises
    ------
    MissingTable
        If there are no opportunities.
    ParameterError
        If `by` is unknown, or the dates are not in order.
    """
    (group,) = schema.grouping(by, {name: name for name in ("stage", "owner", "source", "product")})
    moments = [data.instant(date) for date in dates]
    if not moments or any(one >= other for one, other in pairwise(moments)):
        raise ParameterError("give at least one date, each later than the one before")
    until = nw.when(nw.col("until_at").is_null()).then(nw.lit(len(moments))).otherwise(_dates_up_to("until_at", moments))
    rows = facts.states(data, moments[-1]).filter(nw.col("status") == "open")
    rows = rows.with_columns(_dates_up_to("from_at", moments).alias("first"), until.alias("after"))
    sums = {"n": nw.len(), "n_events": nw.col("amount").count(), "value": nw.col("amount").sum()}
    keys = [group, "currency", "first", "after"]
    counts = engine.collect(rows.group_by(*keys).agg(**sums), keys)
    parts = [_standing_at(data, counts, place, moment, group) for place, moment in enumerate(moments)]
    results = []
    for part, moment in zip(parts, moments, strict=True):
        results.append(schema.result("pipeline.open", part, by=[group], view="snapshot", window=data.window(None, moment, 1), as_of=moment))
    whole = pd.concat(results, ignore_index=True)
    return whole.assign(date=whole["as_of"])[["date", *results[0].columns]]


def _dates_up_to(column: str, moments: Sequence[pd.Timestamp], low: int = 0, high: int | None = None) -> nw.Expr:
    """How many of the dates are not after an instant, found by halving: engines join on equality only."""
    high = len(moments) if high is None else high
    if low == high:
        return nw.lit(low)
    middle = (low + high) // 2
    right, left = _dates_up_to(column, moments, middle + 1, high), _dates_up_to(column, moments, low, middle)
    return nw.when(nw.col(column) >= nw.lit(moments[middle].to_pydatetime())).then(right).otherwise(left)


def _standing_at(data: Dataset, counts: pd.DataFrame, place: int, moment: pd.Timestamp, group: str) -> pd.DataFrame:
    there = counts[(counts["first"] <= place) & (counts["after"] > place)]
    known = rates_on(data, last_day(data, moment))
    rate = pd.Series([known.get(currency) for currency in there["currency"]], index=there.index, dtype="float64")
    there = there.assign(value=(there["value"] * rate).where(there["n_events"] > 0), n_events=there["n_events"].where(rate.notna(), 0))
    table = there.groupby(group, as_index=False).agg(n=("n", "sum"), n_events=("n_events", "sum"), value=("value", "sum"))
    table["value"] = table["value"].where(table["n_events"] > 0)
    return table.assign(n_open=table["n"])
