"""Who buys a second time, and how soon."""

from __future__ import annotations

from collections.abc import Sequence

import narwhals.stable.v2 as nw
import pandas as pd

from kpi import facts, schema
from kpi.dataset import Dataset
from kpi.facts.clock import last_day
from kpi.periods import Instant, Window, last_days
from kpi.statistics import survival

PERIOD_DAYS = 180
GROUPS = {"source": "source", "segment": "segment", "month": "start_month", "quarter": "start_quarter"}


def repeat_purchase_curve(
    data: Dataset, *, as_of: Instant, window: Window | None = None, view: str = "period", by: str | Sequence[str] = (), level: float = 0.95
) -> pd.DataFrame:
    """Share of customers who bought a second time by each day since their first purchase.

    Uses `orders`, `customers`.

    Parameters
    ----------
    as_of : Instant
        Only what happened strictly before it counts; who has not bought again yet is still open.
    window : Window, optional
        Local dates: of the time at risk (period) or of the first purchase (cohort). Without it the 180 days before `as_of`.
    by : str or sequence of str
        Any of source, segment, month, quarter (of the first purchase).

    Returns
    -------
    DataFrame
        One row per group and day that occurs, as `survival.aalen_johansen` gives it for the one outcome ``again``.

    Raises
    ------
    MissingTable
        If there are no orders.
    ParameterError
        If `by` or `view` is unknown.
    """
    groups = schema.grouping(by, GROUPS)
    now = data.instant(as_of)
    window = window or last_days(now, data.company.timezone, PERIOD_DAYS)
    table = survival.event_table(facts.at_risk(second_purchases(data, now, groups), window, view, groups), ("again",), groups)
    return survival.aalen_johansen(table, ("again",), groups, level)


def second_purchases(data: Dataset, now: pd.Timestamp, groups: Sequence[str] = ()) -> nw.LazyFrame:
    """List the customers by their first purchase, and when they bought again."""
    bought = facts.purchases(data, now).filter(nw.col("is_purchase"))
    ordered = bought.with_columns(
        nw.col("day").shift(1).over("customer_id", order_by="day").alias("before"),
        nw.col("day").shift(-1).over("customer_id", order_by="day").alias("again"),
    )
    rows = ordered.filter(nw.col("before").is_null()).rename({"day": "start_day", "month": "start_month"})
    rows = rows.with_columns((nw.col("start_month") // 3).alias("start_quarter"))
    never = nw.col("again").is_null()
    return rows.select(
        "customer_id",
        "start_day",
        nw.when(never).then(nw.lit(last_day(data, now))).otherwise(nw.col("again")).alias("end_day"),
        nw.when(never).then(nw.lit("censored")).otherwise(nw.lit("again")).alias("outcome"),
        *[nw.col(GROUPS[name]).alias(name) for name in groups],
    )


def repeat_purchase(
    data: Dataset,
    *,
    as_of: Instant,
    window: Window | None = None,
    view: str = "period",
    by: str | Sequence[str] = (),
    horizons: Sequence[float] = (30, 90, 180, 365),
    level: float = 0.95,
) -> pd.DataFrame:
    """Share of customers who buy a second time within 30, 90, 180, 365 days of their first purchase.

    Uses `orders`, `customers`.

    Parameters
    ----------
    window : Window, optional
        As for `repeat_purchase_curve`.
    by : str or sequence of str
        Any of source, segment, month, quarter (of the first purchase).
    horizons : sequence of float
        Days since the first purchase.

    Returns
    -------
    DataFrame
        One row per group and horizon with the columns of `schema.RESULT`.

    Raises
    ------
    MissingTable
        If there are no orders.
    ParameterError
        If `by` or `view` is unknown.
    """
    curve = repeat_purchase_curve(data, as_of=as_of, window=window, view=view, by=by, level=level)
    groups = list(schema.grouping(by, GROUPS))
    now = data.instant(as_of)
    values = survival.at(curve, horizons, "again", groups)
    window = window or last_days(now, data.company.timezone, PERIOD_DAYS)
    return schema.result("retention.repeat_purchase", values, by=groups, view=view, window=window, as_of=now)
