"""Would the model have held? Fitted on the first two thirds of the data, compared with what customers did in the last third."""

from __future__ import annotations

from dataclasses import dataclass

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from kpi import engine, facts, schema
from kpi.dataset import Dataset
from kpi.facts.clock import all_days, stored
from kpi.lifetime_value import customer_counts as rows
from kpi.lifetime_value.contract_value import DRAWS, SEED
from kpi.lifetime_value.customer_counts import Groups
from kpi.lifetime_value.expected_value import Fitted, chances, fit, measured, totals
from kpi.lifetime_value.purchase_model import PurchaseModel, expected_purchases, probability_active, variance_of_purchases
from kpi.periods import Instant, Window, day_of
from kpi.statistics import intervals

POINTS = 26  # of the last third at which purchases expected and made are compared


@dataclass(frozen=True, eq=False)
class _HeldOut:
    """Customers known at the cut, the model fitted to them (None where too few bought again), and the days compared."""

    now: pd.Timestamp
    cut: int
    end: int
    before: pd.DataFrame
    cells: pd.DataFrame
    fitted: Fitted | None

    @property
    def window(self) -> Window:
        return Window(day_of(self.cut), day_of(self.end))

    def days_after(self, data: Dataset) -> nw.LazyFrame:
        return facts.purchases(data, self.now).filter(nw.col("day") >= self.cut)


def model_check(data: Dataset, *, as_of: Instant, level: float = 0.9) -> pd.DataFrame:
    """Hold the model against what customers then did: fitted on the first two thirds of the data, compared with the last third.

    Uses `orders`.

    Returns
    -------
    DataFrame
        One row per ``repeats`` purchases in the first part (6 stands for 6 and more; ``all`` for all of them): ``value`` purchases expected in the
        last part, with ``low`` and ``high`` for what is not known of the parameters and chance, ``actual`` made, ``hiatus`` what a plain rule
        expects (who has not paused longer than 95 % of the pauses goes on buying as before), ``n`` customers, ``error`` and ``hiatus_error`` root
        mean squared errors per customer, ``horizon`` the days compared; ``money`` expected of these purchases (``measure`` margin or amount), with
        ``money_low`` and ``money_high``, and what was ``brought``. No rows under 50 customers who bought again.

    Raises
    ------
    MissingTable
        If there are no orders.
    """
    held = _held_out(data, data.instant(as_of))
    table = pd.DataFrame(columns=["repeats", "n"])
    if held.fitted is not None:
        table = _expected(held, held.fitted, level).merge(_checked_groups(_compared(data, held, held.fitted)), on="repeats")
    table["horizon"] = held.end - held.cut
    more = ["actual", "hiatus", "error", "hiatus_error", "measure", "money", "money_low", "money_high", "brought"]
    return schema.result("retention.model_check", table, by=["repeats"], view="cohort", window=held.window, as_of=held.now, more=more)


def tracking(data: Dataset, *, as_of: Instant, level: float = 0.9) -> pd.DataFrame:
    """Purchases that the model expects up to each day of the last third of the data, and those made.

    Uses `orders`.

    Returns
    -------
    DataFrame
        One row per day compared, two weeks apart or more, with the columns of `schema.RESULT`: ``horizon`` days since the model was fitted, ``value``
        purchases expected by then of the ``n`` customers known before, ``low`` and ``high`` with what is not known of the parameters and chance,
        ``actual`` made, ``hiatus`` what the plain rule of `model_check` expects. No rows under 50 customers who bought again.

    Raises
    ------
    MissingTable
        If there are no orders.
    """
    held = _held_out(data, data.instant(as_of))
    table = pd.DataFrame(columns=["horizon", "value", "low", "high", "actual", "hiatus", "n"])
    if held.fitted is not None:
        table = _tracked(data, held, held.fitted.purchases, level)
    more = ["actual", "hiatus"]
    return schema.result("retention.tracking", table, by=[], view="cohort", window=held.window, as_of=held.now, more=more)


def active_probability(data: Dataset, *, as_of: Instant, level: float = 0.9) -> pd.DataFrame:
    """Share of the customers who ever bought that are still customers, by the model of repeat purchases.

    Uses `orders`.

    Returns
    -------
    DataFrame
        One row with the columns of `schema.RESULT`: ``value`` mean probability of not having dropped out, with ``low`` and ``high`` from draws of the
        parameters, ``n`` customers. Missing under 50 customers who bought again.

    Raises
    ------
    MissingTable
        If there are no orders.
    """
    now = data.instant(as_of)
    fitted, cells = fit(data, as_of=now), rows.counted(rows.customers(data, now))
    count = cells["count"].to_numpy("float64")
    table = pd.DataFrame({"value": [np.nan], "low": np.nan, "high": np.nan, "n": int(count.sum())})
    if fitted is not None:
        model = fitted.purchases
        drawn = [probability_active(cells, drawn, model.model) @ count / count.sum() for drawn in model.draws(DRAWS, SEED)]
        table["value"] = probability_active(cells, model.parameters, model.model) @ count / count.sum()
        table["low"], table["high"] = np.quantile([*drawn, table["value"].item()], [(1 - level) / 2, (1 + level) / 2])
    window = data.window(None, now, 1)
    return schema.result("retention.probability_active", table, by=[], view="snapshot", window=window, as_of=now)


def _held_out(data: Dataset, now: pd.Timestamp) -> _HeldOut:
    """Fit the model at the cut once for all that is compared with it."""

    def build() -> _HeldOut:
        first, end = all_days(data, facts.buyers(data, now), "first_day", now).days
        cut = first + 2 * (end - first) // 3
        known = rows.customers(data, data.instant(day_of(cut)))
        before = engine.collect(known.select("customer_id", "repeats", "recency", "age"), ["customer_id"])
        return _HeldOut(now, cut, end, before, rows.counted(known), fit(data, as_of=day_of(cut)))

    return stored(data, ("held out", now), build)


def _tracked(data: Dataset, held: _HeldOut, model: PurchaseModel, level: float) -> pd.DataFrame:
    ahead = held.end - held.cut
    days = np.unique(np.linspace(0, ahead, min(POINTS, max(ahead // 14, 1)) + 1).round().astype("int64"))[1:]
    counts, lengths = held.cells, days.astype("float64")
    count = counts["count"].to_numpy("float64")
    expected = expected_purchases(counts, model.parameters, model.model, lengths) @ count
    drawn = np.array([expected_purchases(counts, drawn, model.model, lengths) @ count for drawn in model.draws(DRAWS, SEED)])
    chance = np.array([variance_of_purchases(counts, model.parameters, model.model, float(day)) @ count for day in days])
    half = intervals.quantile_of(level) * np.sqrt(drawn.var(axis=0) + chance)
    known = data.engine.put(held.before[["customer_id"]])
    purchases = engine.sizes(held.days_after(data).filter(nw.col("is_paid")).join(known, on="customer_id", how="semi"), ["day"])
    actual = [int(purchases.loc[purchases["day"] < held.cut + day, "count"].sum()) for day in days]
    hiatus = _plain_rule(data, held, held.before, 1).sum() * days
    table = pd.DataFrame({"horizon": days, "value": expected, "low": np.maximum(expected - half, 0), "high": expected + half})
    return table.assign(actual=actual, hiatus=hiatus, n=len(held.before))


def _expected(held: _HeldOut, fitted: Fitted, level: float) -> pd.DataFrame:
    """By purchases before: purchases and value expected, with what is not known of the parameters and chance."""
    ahead, reach = held.end - held.cut, intervals.quantile_of(level)
    cells = held.cells.assign(shown=_shown(held.cells))
    tables = []
    for groups in (Groups.of(cells, ["shown"]), Groups.of(cells, [])):
        point, drawn = totals(cells, groups, fitted, ahead)
        by_chance = chances(cells, groups, fitted, ahead)
        table = groups.names.assign(repeats="all") if "shown" not in groups.names else groups.names.rename(columns={"shown": "repeats"})
        for place, variance, value, low, high in ((0, 0, "money", "money_low", "money_high"), (2, 1, "value", "low", "high")):
            half = reach * np.sqrt(drawn[:, place].var(axis=0) + by_chance[variance])
            table = table.assign(**{value: point[place], low: np.maximum(point[place] - half, 0), high: point[place] + half})
        tables.append(table)
    return pd.concat(tables, ignore_index=True).assign(measure=fitted.measure)


def _shown(table: pd.DataFrame) -> pd.Series:
    return np.minimum(table["repeats"], 6).astype("int64").astype("str")


def _compared(data: Dataset, held: _HeldOut, fitted: Fitted) -> pd.DataFrame:
    """Per customer known at the cut: what the model, and a plain rule, expect of the time after it, and what came."""
    sums = [nw.col(name).sum() for name in ("amount", "margin")]
    known = nw.when(~nw.col("margin").is_null()).then(nw.col("amount")).sum().alias("margined")
    paid = nw.col("is_paid").cast(nw.Int64).sum().alias("actual")
    later = engine.collect(held.days_after(data).group_by("customer_id").agg(paid, *sums, known), ["customer_id"])
    table = held.before.merge(later, on="customer_id", how="left").fillna(dict.fromkeys(("actual", "amount", "margin", "margined"), 0.0))
    table["brought"] = measured(table, fitted.measure)
    ahead, model = held.end - held.cut, fitted.purchases
    table["expected"] = expected_purchases(table, model.parameters, model.model, ahead)
    table["hiatus"] = _plain_rule(data, held, table, ahead)
    return table


def _plain_rule(data: Dataset, held: _HeldOut, table: pd.DataFrame, ahead: int) -> np.ndarray:
    pause = facts.usual_pause(data, data.instant(day_of(held.cut)), "is_paid") or 365
    rate = table["repeats"] / np.maximum(table["age"], 1)
    return np.where(table["age"] - table["recency"] <= pause, rate * ahead, 0.0)


def _checked_groups(table: pd.DataFrame) -> pd.DataFrame:
    table = table.assign(
        error=(table["expected"] - table["actual"]) ** 2,
        hiatus_error=(table["hiatus"] - table["actual"]) ** 2,
        repeats=_shown(table),
    )
    sums = {name: (name, "sum") for name in ("actual", "brought", "hiatus")} | {"n": ("customer_id", "size")}
    errors = {"error": ("error", "mean"), "hiatus_error": ("hiatus_error", "mean")}
    both = pd.concat([table, table.assign(repeats="all")], ignore_index=True)
    whole = both.groupby("repeats", as_index=False).agg(**sums, **errors)
    return whole.assign(error=np.sqrt(whole["error"]), hiatus_error=np.sqrt(whole["hiatus_error"]))
