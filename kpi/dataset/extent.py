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
        raise DataError("the data set has no dated row; check what was set aside with: kpi check")
    return firsts, min(found), max(found)


def constant_rates(fx: nw.LazyFrame, now: pd.Timestamp, zone: str, first: pd.Timestamp) -> pd.DataFrame:
    """Take the rate of each currency in force on the day before an instant, and let it hold from before the first event on."""
    rates = collect(fx.select("currency", nw.col("from_on").cast(nw.Datetime("us")), "rate"), ["currency", "from_on"])
    known = rates[rates["from_on"] < pd.Timestamp(local_date(now, zone))].groupby("currency", as_index=False)["rate"].last()
    since = pd.Timestamp(local_date(first, zone) - timedelta(days=366)).as_unit("us")
    return known.assign(from_on=since)[["currency", "from_on", "rate"]]
