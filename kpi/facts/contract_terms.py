"""What customers under contract are bound for: covered without a gap, and what they pay a month at a date."""

from __future__ import annotations

import narwhals.stable.v2 as nw
import pandas as pd

from kpi.dataset import Dataset
from kpi.facts.clock import last_day, numbered, once
from kpi.facts.money import rated
from kpi.periods import day_of

ENDLESS = 1_000_000  # day number of a contract without an end


def is_contractual(data: Dataset) -> bool:
    """Tell whether customers are under contract."""
    return data.settings.get("retention", {}).get("contractual", False)


@once
def terms(data: Dataset, as_of: pd.Timestamp) -> nw.LazyFrame:
    """List the contracts begun by an instant, with ``start_day`` and ``until`` (`ENDLESS` without an end)."""
    rows = numbered(data, numbered(data, data.table("contracts"), "start_on"), "end_on")
    rows = rows.with_columns(nw.col("end_day").fill_null(nw.lit(ENDLESS)).alias("until"))
    return rows.filter(nw.col("start_day") <= last_day(data, as_of), nw.col("until") > nw.col("start_day"))


@once
def covers(data: Dataset, as_of: pd.Timestamp) -> nw.LazyFrame:
    """Join the contracts of each customer that follow one another without a gap.

    ``customer_id``, ``start_day``, ``until`` (first day not covered; planned ends count), ``outcome`` (``lost`` where it ended by the last observed
    day, else ``censored``), ``months`` whole months until then, ``over`` (1 where days go beyond them, else 0).
    """
    order = {"order_by": ["start_day", "until", "contract_id"]}
    rows = terms(data, as_of).with_columns(nw.col("until").cum_max().over("customer_id", **order).alias("reach"))
    rows = data.engine.keep(rows.select("customer_id", "contract_id", "start_day", "until", "start_on", "end_on", "reach"))
    before = nw.col("reach").shift(1).over("customer_id", **order)
    rows = data.engine.keep(rows.with_columns(before.alias("before")))
    begins = nw.col("before").is_null() | (nw.col("start_day") > nw.col("before"))
    rows = data.engine.keep(rows.with_columns(nw.when(begins).then(nw.lit(1)).otherwise(nw.lit(0)).alias("begins")))
    rows = rows.with_columns(nw.col("begins").cum_sum().over("customer_id", **order).alias("number"))
    dates = [nw.col("start_on").min(), nw.col("end_on").max()]
    covered = rows.group_by("customer_id", "number").agg(nw.col("start_day").min(), nw.col("until").max(), *dates)
    return _aged(covered, last_day(data, as_of)).select("customer_id", "start_day", "until", "outcome", "months", "over")


def _aged(covered: nw.LazyFrame, last: int) -> nw.LazyFrame:
    """Contracts run by calendar months: from the 15th to the 14th of the next one is none, to the 15th is one."""
    ended, day = nw.col("until") <= last, day_of(last)
    today = 31 if day_of(last + 1).day == 1 else day.day  # the last of February is a month after the 31st of January
    start, end = nw.col("start_on").dt, nw.col("end_on").dt
    month = nw.when(ended).then(end.year().cast(nw.Int64) * 12 + end.month().cast(nw.Int64)).otherwise(nw.lit(day.year * 12 + day.month))
    place = nw.when(ended).then(end.day().cast(nw.Int64)).otherwise(nw.lit(today))
    # Through the last day of a month that has no such day as the first: from the 31st of January through the 28th of February is a month.
    short = (ended & (end.day() == 1) & (start.day() > end.offset_by("-1d").dt.day())).cast(nw.Int64)
    covered = covered.with_columns(
        nw.when(ended).then(nw.lit("lost")).otherwise(nw.lit("censored")).alias("outcome"),
        (month - short - start.year().cast(nw.Int64) * 12 - start.month().cast(nw.Int64)).alias("apart"),
        ((place - start.day().cast(nw.Int64)) * (1 - short)).alias("beyond"),
    )
    early = nw.when(nw.col("beyond") < 0).then(nw.lit(1)).otherwise(nw.lit(0))
    over = nw.when(nw.col("beyond") == 0).then(nw.lit(0)).otherwise(nw.lit(1))
    return covered.with_columns((nw.col("apart") - early).alias("months"), over.alias("over"))


def recurring(data: Dataset, as_of: pd.Timestamp, days: dict[str, int], rate_day: int) -> nw.LazyFrame:
    """Sum what each customer pays a month on some days."""
    rows = rated(data, terms(data, as_of), nw.lit(rate_day)).filter(~nw.col("rate").is_null())
    paid = nw.col("monthly_amount") * nw.col("rate")
    covered = {name: (nw.col("start_day") <= day) & (nw.col("until") > day) for name, day in days.items()}
    rows = rows.with_columns(*[nw.when(held).then(paid).otherwise(nw.lit(0.0)).alias(name) for name, held in covered.items()])
    return rows.group_by("customer_id").agg(*[nw.col(name).sum() for name in days])
