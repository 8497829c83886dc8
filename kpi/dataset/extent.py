"""When the data begin and end, table by table; exchange rates held still from before their begin."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta

import narwhals.stable.v2 as nw
import pandas as pd

from kpi.engine import collect
from kpi.errors import DataError
from kpi.periods import local_date

_EVENTS = {
    "leads": ("created_at",),
    "activities": ("at",),
    "opportunities": ("created_at", "closed_at"),
    "opportunity_history": ("changed_at",),
    "orders": ("at",),
    "contracts": ("start_on", "end_on"),
}
_PLANNED = ("contracts",)  # they begin the data, but may end long after them


def extent(frames: Mapping[str, nw.LazyFrame], provided: Mapping[str, Collection[str]]) -> tuple[dict[str, pd.Timestamp], pd.Timestamp, pd.Timestamp]:
    """Find the first event of each table, and the first and the last of all."""
    firsts: dict[str, pd.Timestamp] = {}
    found: list[pd.Timestamp] = []
    for name, columns in _EVENTS.items():
        at = [nw.col(column).cast(nw.Datetime("us")) for column in columns if name in frames and column in provided[name]]
        if not at:
            continue
        bounds = [bound.alias(f"{which}{n}") for n, one in enumerate(at) for which, bound in (("first", one.min()), ("last", one.max()))]
        row = collect(frames[name].select(*bounds)).iloc[0].dropna()
        begins, ends = row.filter(like="first"), row.filter(like="last")
        found += [*begins, *([] if name in _PLANNED else ends)]
        if name not in _PLANNED and len(begins):
            firsts[name] = min(begins)
    if not found:
        kinds = ", ".join(_EVENTS)
        raise DataError(f"the data set has no dated row in {', '.join(frames) or 'any table'}; one of {kinds} must have a row with a date")
    return firsts, min(found), max(found)


def constant_rates(fx: nw.LazyFrame, now: pd.Timestamp, zone: str, first: pd.Timestamp) -> pd.DataFrame:
    """Take the rate of each currency in force on the day before an instant, and let it hold from before the first event on."""
    rates = collect(fx.select("currency", nw.col("from_on").cast(nw.Datetime("us")), "rate"), ["currency", "from_on"])
    known = rates[rates["from_on"] < pd.Timestamp(local_date(now, zone))].groupby("currency", as_index=False)["rate"].last()
    since = pd.Timestamp(local_date(first, zone) - timedelta(days=366)).as_unit("us")
    return known.assign(from_on=since)[["currency", "from_on", "rate"]]


def covered_until(contracts: nw.LazyFrame, decisions: pd.DataFrame, settings: Mapping) -> tuple[nw.LazyFrame, pd.DataFrame]:
    """Let every contract end on the first day without it, whatever the data mean by their ends; write down how that was told."""
    given, after = settings.get("retention", {}).get("contracts_end", ""), nw.col("end_on").dt.offset_by("1d")
    following = nw.col("start_on").shift(-1).over("customer_id", order_by=["start_on", "contract_id"])
    rows = contracts.with_columns(following.alias("following"), after.alias("after"))
    tests = [(nw.col("following") == nw.col(name)).cast(nw.Int64).sum().alias(name) for name in ("end_on", "after")]
    same, next_day = (0 if pd.isna(n) else int(n) for n in collect(rows.select(*tests)).iloc[0])
    chosen = given or ("last_day" if next_day > same else "first_day_without")
    told = "kpi.toml" if given else f"{next_day} contracts are followed by one the day after their end, {same} by one on the day itself"
    decided = pd.DataFrame([("contracts", "", "end_on is", f"{chosen} ({told})")], columns=list(decisions))
    ends = contracts.with_columns(after.alias("end_on")) if chosen == "last_day" else contracts
    return ends, pd.concat([decisions, decided], ignore_index=True)
