"""Who buys a second time, and how soon."""

from __future__ import annotations

from collections.abc import Sequence

import narwhals.stable.v2 as nw
import pandas as pd

from kpi import facts, schema
from kpi.catalog import CATALOG
from kpi.dataset import Dataset
from kpi.facts.clock import last_day, quarter_of
from kpi.periods import Instant, Window, WindowLike
from kpi.schema import By

PERIOD_DAYS = CATALOG["retention.repeat_purchase"].days
GROUPS = {"source": "source", "segment": "segment", "month": "start_month", "quarter": "start_quarter"}


def repeat_purchase_curve(
    data: Dataset, *, as_of: Instant, window: WindowLike | None = None, view: str = "period", by: By = (), level: float = 0.95
) -> pd.DataFrame:
    """Share of customers who bought a second time by each day since their first purchase.

    Uses `orders`, `customers`.

    Parameters
    ----------
    as_of : Instant
        Only what happened strictly before it counts; who has not bought again yet is still open.
    window : Window, str or pair of dates, optional
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
    counts = facts.at_risk(second_purchases(data, now, groups), data.window(window, now, PERIOD_DAYS), view, groups)
    return facts.incidence_curve(counts, ("again",), groups, level)


def second_purchases(data: Dataset, now: pd.Timestamp, groups: Sequence[str] = ()) -> nw.LazyFrame:
    """List the customers by their first purchase, and when they bought again."""
    bought = facts.purchases(data, now).filter(nw.col("is_purchase"))
    ordered = bought.with_columns(
        nw.col("day").shift(1).over("customer_id", order_by="day").alias("before"),
        nw.col("day").shift(-1).over("customer_id", order_by="day").alias("again"),
    )
    rows = ordered.filter(nw.col("before").is_null()).rename({"day": "start_day", "month": "start_month"})
    rows = rows.with_columns(quarter_of(data, "start_month").alias("start_quarter"))
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
    window: WindowLike | None = None,
    view: str = "period",
    by: By = (),
    horizons: Sequence[float] = CATALOG["retention.repeat_purchase"].horizons,
    level: float = 0.95,
) -> pd.DataFrame:
    """Share of customers who buy a second time within 30, 90, 180, 365 days of their first purchase.

    Uses `orders`, `customers`.

    Parameters
    ----------
    window : Window, str or pair of dates, optional
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
    groups, now = schema.grouping(by, GROUPS), data.instant(as_of)
    during = data.window(window, now, PERIOD_DAYS)
    values = facts.incidence(facts.at_risk(second_purchases(data, now, groups), during, view, groups), ("again",), horizons, groups, level)
    return schema.result("retention.repeat_purchase", values, by=groups, view=view, window=during, as_of=now)


def repeat_records(data: Dataset, now: pd.Timestamp, window: Window, view: str, horizon: float) -> nw.LazyFrame:
    """Who counts in the share that buys a second time by an age."""
    return facts.at_age(facts.observed(second_purchases(data, now), window, view), "again", horizon)
