"""Customers by the month of their first purchase, followed month by month."""

from __future__ import annotations

import narwhals.stable.v2 as nw
import pandas as pd

from kpi import engine, facts, schema
from kpi.dataset import Dataset
from kpi.errors import ParameterError
from kpi.facts.clock import all_days
from kpi.periods import Instant, Month, Window
from kpi.retention.growth import last_months
from kpi.statistics import intervals, process_control


def cohort_matrix(data: Dataset, *, as_of: Instant, months: int = 24) -> pd.DataFrame:
    """Customers of each month's cohort who bought again in each month after it, and for how much.

    Uses `orders`.

    Parameters
    ----------
    months : int
        How many cohorts, the last one ending at or before `as_of`.

    Returns
    -------
    DataFrame
        One row per ``cohort`` (``2026-10``) and ``age`` in months (0 = month of the first purchase) that is fully observed: ``customers`` of the
        cohort who bought then, ``amount`` net of refunds, ``amount_kept`` as a share of that of age 0, and the columns of `schema.RESULT`: ``value``
        share of the cohort, ``n`` its size. Cells not observed yet are absent, a month without a purchase is 0.

    Raises
    ------
    MissingTable
        If there are no orders.
    ParameterError
        If `months` is not positive.

    Notes
    -----
    The first month of the data holds customers who had bought before the data begin: it is no true cohort.
    """
    if months < 1:
        raise ParameterError(f"months={months}: give at least 1")
    now = data.instant(as_of)
    shown = last_months(data, now, months)
    first, last = shown[0], shown[-1]
    bought = facts.purchases(data, now).filter(nw.col("is_purchase"))
    joined = bought.group_by("customer_id").agg(nw.col("month").min().alias("cohort"))
    rows = facts.purchases(data, now).join(joined, on="customer_id", how="inner").filter(nw.col("month") >= nw.col("cohort"))
    rows = rows.filter(nw.col("cohort") >= first.number, nw.col("cohort") <= last.number, nw.col("month") <= last.number)
    per_month = rows.group_by("customer_id", "cohort", "month").agg(nw.col("amount").sum(), nw.col("is_purchase").max().alias("bought"))
    who = nw.when(nw.col("bought")).then(nw.lit(1)).otherwise(nw.lit(0)).sum().alias("customers")
    cells = engine.collect(per_month.group_by("cohort", "month").agg(who, nw.col("amount").sum()), ["cohort", "month"])
    cells["age"] = cells["month"] - cells["cohort"]
    first_month = cells[cells["age"] == 0].set_index("cohort")
    every = [(cohort, age) for cohort in first_month.index for age in range(last.number - cohort + 1)]
    table = pd.DataFrame(every, columns=["cohort", "age"]).merge(cells, on=["cohort", "age"], how="left").fillna({"customers": 0, "amount": 0})
    table["n"], begun = (table["cohort"].map(first_month[name]) for name in ("customers", "amount"))
    table["n_events"] = table["customers"] = table["customers"].astype("int64")
    table["amount_kept"] = (table["amount"] / begun).where(begun > 0)
    table["cohort"] = pd.Series([str(Month.of(number)) for number in table["cohort"]], dtype="str")
    window = Window(first.start, last.end)
    table, more = intervals.with_share(table), ["customers", "amount", "amount_kept"]
    return schema.result("retention.cohorts", table, by=["cohort", "age"], view="cohort", window=window, as_of=now, more=more)


def retention_curve(data: Dataset, *, as_of: Instant, months: int = 24, level: float = 0.95) -> pd.DataFrame:
    """Share of customers who buy in the first, second, third month after their first purchase.

    Uses `orders`.

    Parameters
    ----------
    months : int
        How many cohorts are pooled, the last ones.
    level : float
        Coverage of the Wilson interval, in (0, 1).

    Returns
    -------
    DataFrame
        One row per ``age`` in months with the columns of `schema.RESULT`; ``n`` customers of the cohorts for which that month is fully observed. The
        first month of the data, which holds old customers too, is left out.

    Raises
    ------
    MissingTable
        If there are no orders.
    ParameterError
        If `months` is not positive.
    """
    now = data.instant(as_of)
    cells = cohort_matrix(data, as_of=now, months=months)
    first = all_days(data, facts.purchases(data, now), "day", now).start
    cells = cells[cells["cohort"] != f"{first:%Y-%m}"]
    table = cells.groupby("age", as_index=False).agg(n=("n", "sum"), n_events=("n_events", "sum"))
    window = Window(cells["window_start"].min(), cells["window_end"].max()) if len(cells) else data.window(None, now, 1)
    return schema.result("retention.curve", intervals.with_share(table, level), by=["age"], view="cohort", window=window, as_of=now)


def compared_cohorts(cells: pd.DataFrame, age: int = 3) -> pd.DataFrame:
    """Hold the cohorts against each other at one age, to find those that differ by more than chance.

    Parameters
    ----------
    cells : DataFrame
        From `cohort_matrix`.
    age : int
        Months since the first purchase.

    Returns
    -------
    DataFrame
        One row per cohort observed at that age: its ``month``, and the columns of `process_control.behaviour` with binomial limits.
    """
    at_age = cells[cells["age"] == age].reset_index(drop=True)
    return process_control.behaviour(at_age.rename(columns={"cohort": "month"}), "rate")
