"""Amounts in the company's currency at dated rates; a missing rate is an exclusion, never 1:1."""

from __future__ import annotations

import narwhals.stable.v2 as nw
import pandas as pd

from kpi.dataset import Dataset
from kpi.engine import collect
from kpi.facts.clock import stored
from kpi.periods import day_number


def in_company_currency(data: Dataset, frame: nw.LazyFrame, column: str, day: nw.Expr) -> nw.LazyFrame:
    """Convert an amount at the rate in force on its day."""
    return rated(data, frame, day).with_columns((nw.col(column) * nw.col("rate")).alias(column)).drop("rate")


def rated(data: Dataset, frame: nw.LazyFrame, day: nw.Expr) -> nw.LazyFrame:
    """Add the rate in force on a day."""
    own = nw.col("currency") == data.company.currency
    if not data.has("fx"):
        return frame.with_columns(nw.when(own).then(nw.lit(1.0)).alias("rate"))
    frame = frame.with_columns(day.cast(nw.Int64).alias("__day"))
    frame = frame.join(_daily_rates(data), left_on=["currency", "__day"], right_on=["fx_currency", "fx_day"], how="left")
    return frame.with_columns(nw.when(own).then(nw.lit(1.0)).otherwise(nw.col("rate")).alias("rate")).drop("__day")


def rates_on(data: Dataset, day: int) -> dict[str, float]:
    """Tell the rates in force on one day."""
    known = collect(_daily_rates(data).filter(nw.col("fx_day") == day), ["fx_currency"]) if data.has("fx") else None
    found = {} if known is None else dict(zip(known["fx_currency"], known["rate"], strict=True))
    return found | {data.company.currency: 1.0}


def _daily_rates(data: Dataset) -> nw.LazyFrame:
    """Spread each rate over the days it is in force: engines join on equality only."""
    return stored(data, ("daily_rates",), lambda: data.engine.put(_spread(data)))


def _spread(data: Dataset) -> pd.DataFrame:
    last = int(collect(data.calendar.select(nw.col("day").max()))["day"].iloc[0])
    rates = collect(data.table("fx").select("currency", nw.col("from_on").cast(nw.Datetime("us")), "rate"), ["currency", "from_on"])
    rates["day"] = [day_number(stamp) for stamp in rates["from_on"]]
    daily = [pd.DataFrame({"fx_currency": pd.Series(dtype="str"), "fx_day": pd.Series(dtype="int64"), "rate": pd.Series(dtype="float64")})]
    for currency, known in rates.groupby("currency"):
        days = pd.Series(known["rate"].to_numpy(), index=known["day"]).groupby(level=0).last()
        filled = days.reindex(range(int(days.index[0]), last + 1)).ffill()
        daily.append(pd.DataFrame({"fx_currency": currency, "fx_day": filled.index.astype("int64"), "rate": filled.to_numpy()}))
    return pd.concat(daily, ignore_index=True)
