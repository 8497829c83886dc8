"""Exchange rates held still, for a reading in constant currency."""

from __future__ import annotations

from datetime import timedelta

import narwhals.stable.v2 as nw
import pandas as pd

from kpi.engine import collect
from kpi.periods import local_date


def constant_rates(fx: nw.LazyFrame, now: pd.Timestamp, zone: str, first: pd.Timestamp) -> pd.DataFrame:
    """Take the rate of each currency in force on the day before an instant, and let it hold from before the first event on."""
    rates = collect(fx.select("currency", nw.col("from_on").cast(nw.Datetime("us")), "rate"), ["currency", "from_on"])
    known = rates[rates["from_on"] < pd.Timestamp(local_date(now, zone))].groupby("currency", as_index=False)["rate"].last()
    since = pd.Timestamp(local_date(first, zone) - timedelta(days=366)).as_unit("us")
    return known.assign(from_on=since)[["currency", "from_on", "rate"]]
