"""When the data begin and end, table by table; exchange rates held still from before their begin."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import narwhals.stable.v2 as nw
import pandas as pd

from kpi.engine import collect
from kpi.errors import DataError
from kpi.periods import instant, local_date
from kpi.sources import Company
from kpi.sources.checks.flags import DATED

_EVENTS = {table: columns for table, columns in DATED.items() if table != "customers"} | {"contracts": ("start_on", "end_on")}
_PLANNED = ("contracts",)  # they begin the data, but may end long after them
FEW = 0.1  # share of all dates up to which those that a year without any keeps apart are typing errors


@dataclass(frozen=True)
class Extent:
    """When the data begin (by table; ``""`` for all) and end, typing errors left out; the earliest and the latest date there is at all."""

    firsts: dict[str, pd.Timestamp]
    ends_at: pd.Timestamp
    covered: pd.Timestamp  # the first instant of which nothing is known
    earliest: pd.Timestamp
    latest: pd.Timestamp
    decision: str


def extent(frames: Mapping[str, nw.LazyFrame], provided: Mapping[str, Collection[str]], company: Company) -> Extent:
    """Find where the data begin and end: at the export, else with the last event, of which the whole day is taken as known."""
    until = company.known_until
    given = [(name, column) for name, columns in _EVENTS.items() for column in columns if name in frames and column in provided[name]]
    months = [_months(frames[name], column, until).assign(table=name, planned=name in _PLANNED) for name, column in given]
    every = pd.concat([part for part in months if len(part)] or [pd.DataFrame({"is_later": [], "planned": []})], ignore_index=True)
    if until is None and len(every):
        every["is_later"] |= every["planned"] & (every["month"] > every.groupby("table")["month"].transform("min"))
    known = every[~every["is_later"].astype(bool)]
    if known.empty:
        kinds, beyond = ", ".join(_EVENTS), f" up to {until} UTC, the end of the data" if len(every) else ""
        raise DataError(f"the data set has no dated row{beyond} in {', '.join(frames) or 'any table'}; one of {kinds} must have a row with a date")
    sound = settled(known)
    begun = [rows[~rows["planned"]].groupby("table")["first"].min().to_dict() for rows in (known, sound)]
    last = (sound if sound["planned"].all() else sound[~sound["planned"]])["last"].max()
    firsts, bounds = begun[0] | begun[1] | {"": sound["first"].min()}, (every["first"].min(), every["last"].max())
    if company.exported_at is not None:
        return Extent(firsts, company.exported_at, company.exported_at, *bounds, "")
    n_later = every["n"][~every["planned"] & (every["first"] > last)].sum()
    run = f"up to {company.today}, the day of the run" if company.today else "that a year without any does not keep apart"
    decision = f"{last:%Y-%m-%d %H:%M} UTC: the last event {run}; {n_later} dates lie after it"
    tomorrow = (pd.Timestamp(local_date(last, company.timezone)) + timedelta(days=1)).date()
    return Extent(firsts, last, instant(tomorrow, company.timezone), *bounds, decision)


def settled(months: pd.DataFrame) -> pd.DataFrame:
    """Leave out the months (``month``, ``n`` dates in it) before or after a year without any date, where only few dates are: typing errors."""
    rows = months.sort_values("month")
    part = (rows["month"].diff() > 12).cumsum()
    share = rows.groupby(part)["n"].transform("sum") / rows["n"].sum()
    kept = rows["month"][(share > FEW) | (share.max() <= FEW)]
    return rows[rows["month"].between(kept.min(), kept.max())]


def _months(frame: nw.LazyFrame, column: str, until: pd.Timestamp | None) -> pd.DataFrame:
    """Sum up a column of dates by month, those after an instant apart."""
    at = nw.col("at")
    is_later = nw.lit(False) if until is None else at > nw.lit(until.to_pydatetime())
    rows = frame.select(nw.col(column).cast(nw.Datetime("us")).alias("at")).filter(~at.is_null())
    rows = rows.with_columns((at.dt.year().cast(nw.Int64) * 12 + at.dt.month().cast(nw.Int64)).alias("month"), is_later.alias("is_later"))
    return collect(rows.group_by("month", "is_later").agg(at.min().alias("first"), at.max().alias("last"), nw.len().alias("n")))


def closed_by(deals: nw.LazyFrame, latest: datetime) -> nw.LazyFrame:
    """Let deals that are closed on a date still ahead be closed at the latest instant known."""
    ahead = (nw.col("status") != "open") & (nw.col("closed_at") > latest)
    return deals.with_columns(nw.when(ahead).then(nw.lit(latest)).otherwise(nw.col("closed_at")).alias("closed_at"))


def decided(decisions: pd.DataFrame, table: str, decision: str, value: str) -> pd.DataFrame:
    """Write down what was decided from all of the data."""
    return pd.concat([decisions, pd.DataFrame([(table, "", decision, value)], columns=list(decisions))], ignore_index=True)


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
    ends = contracts.with_columns(after.alias("end_on")) if chosen == "last_day" else contracts
    return ends, decided(decisions, "contracts", "end_on is", f"{chosen} ({told})")
