"""What customers are expected to bring, how well the model would have held, whom to win and whom to keep."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from kpi import engine, facts, schema
from kpi.dataset import Dataset
from kpi.errors import MissingTable, ParameterError
from kpi.lifetime_value import customer_counts as rows
from kpi.lifetime_value.contract_value import DRAWS, FEW, LEAST, RECENT, SEED, YEAR, contract_value
from kpi.lifetime_value.customer_counts import Groups
from kpi.lifetime_value.purchase_model import PurchaseModel, Variant, expected_purchases, fit_purchases, probability_active, variance_of_purchases
from kpi.lifetime_value.spending_model import SpendingModel, fit_spending
from kpi.periods import Instant, day_of
from kpi.schema import renamed
from kpi.statistics import intervals

STEPS = 4  # parts of the time ahead, each discounted from its middle
FALL = 0.05  # of the probability of being active that puts a customer at risk


@dataclass(frozen=True)
class Fitted:
    """Both models of a data set."""

    purchases: PurchaseModel
    spending: SpendingModel
    margin: float
    measure: str


@renamed(days="horizon")
def expected_value(data: Dataset, *, as_of: Instant, by: str = "", horizon: int = 365, discount: float = 0.08, level: float = 0.9) -> pd.DataFrame:
    """What a customer is expected to bring within the next year.

    Uses `orders`, or `contracts` where customers are under contract; `customers`, `leads`, `activities` where `by` needs them.

    Parameters
    ----------
    by : str
        ``source``, ``segment``, ``owner``, ``product`` (bought first) or ``response`` (delay of the first answer): customers won in the last 24
        months, by group. Empty: all customers together.
    horizon : int
        Days ahead.
    discount : float
        Yearly discount rate.

    Returns
    -------
    DataFrame
        One row per group with ``measure`` (margin, else revenue) and the columns of `schema.RESULT`: ``value`` mean per customer, ``horizon`` days,
        ``n`` customers, ``n_events`` those who bought again; ``to_date`` mean brought so far, ``cost`` mean cost of winning one (missing where
        unknown), ``net`` to date and expected less the cost, ``purchases`` expected of all together with ``purchases_low``, ``purchases_high``,
        ``few`` (under 300
        customers bought again). Under 50 of the whole data set no value is given.

    Raises
    ------
    MissingTable
        If there are no orders, or the group is not recorded.
    ParameterError
        If `by` is unknown, or `horizon` or `discount` out of range.

    Notes
    -----
    MBG/NBD times Gamma-Gamma; under contract as `contract_value`. The interval holds what is not known of the parameters (draws from the inverse
    Hessian) and how the customers of a group differ; that of the purchases also holds chance.
    """
    if horizon < 1 or not 0 <= discount < 1:
        raise ParameterError(f"horizon={horizon}, discount={discount}: give at least 1 day, and a yearly rate in [0, 1)")
    groups = schema.grouping(by or (), dict.fromkeys(rows.GROUPS, ""))
    now = data.instant(as_of)
    value = contract_value if facts.is_contractual(data) else purchase_value
    table, repeats = value(data, now, groups, horizon, discount, level)
    table = table.assign(horizon=horizon, few=repeats < FEW, measure=_measure(data))
    if "value" in table:
        table["net"] = table["to_date"] + table["value"] - table["cost"].fillna(0)
    more = ["to_date", "cost", "net", "purchases", "purchases_low", "purchases_high", "few"]
    window = data.window(None, now, 1)
    return schema.result("retention.expected_value", table, by=[*groups, "measure"], view="snapshot", window=window, as_of=now, more=more)


def right_customers(data: Dataset, *, as_of: Instant) -> dict[str, pd.DataFrame]:
    """What customers are expected to bring, by every group that the data record.

    Uses `orders` (or `contracts`), and what tells the groups.

    Returns
    -------
    dict of str to DataFrame
        Group to `expected_value`; a group that is not recorded is left out.

    Raises
    ------
    MissingTable
        If there are no orders (or contracts).
    """
    data.table("contracts" if facts.is_contractual(data) else "orders")
    tables = {}
    for by in rows.GROUPS:
        with suppress(MissingTable):
            tables[by] = expected_value(data, as_of=as_of, by=by)
    return tables


@renamed(days="horizon")
def at_risk(data: Dataset, *, as_of: Instant, horizon: int = 365, limit: int = 100) -> pd.DataFrame:
    """List the customers of whom most would be lost: worth much if still active, and less likely to be so than 90 days ago.

    Uses `orders`, `customers`.

    Parameters
    ----------
    horizon : int
        Days ahead over which the loss is counted.
    limit : int
        How many.

    Returns
    -------
    DataFrame
        ``customer_id``, ``segment``, ``source``, ``at_stake`` (value expected within `horizon` of a customer surely active, times the fall of the
        probability, which is 5 points or more), ``active`` and ``active_before`` (probability now, and 90 days ago), ``value`` to date, ``last_on``;
        most at stake first. Empty
        under 50 customers who bought again.

    Raises
    ------
    MissingTable
        If there are no orders.
    """
    now = data.instant(as_of)
    fitted = fit(data, as_of=now)
    columns = ["customer_id", "segment", "source", "at_stake", "active", "active_before", "value", "last_on"]
    if fitted is None:
        return pd.DataFrame(columns=columns)
    table = engine.collect(rows.customers(data, now).filter(nw.col("age") - nw.col("recency") >= 90), ["customer_id"])
    model, p, q, v = fitted.purchases, *fitted.spending.parameters
    table["active"] = probability_active(table, model.parameters, model.model)
    table["active_before"] = probability_active(table.assign(age=table["age"] - 90), model.parameters, model.model)
    table = table[table["active_before"] - table["active"] >= FALL].reset_index(drop=True)
    ahead = expected_purchases(table, model.parameters, model.model, horizon) / np.maximum(table["active"], 1e-300)
    each = (v + table["spent"]) * p / (p * table["purchases"] + q - 1) * fitted.margin
    table["at_stake"] = ahead * each * (table["active_before"] - table["active"])
    table["value"] = table["margin"] if fitted.measure == "margin" else table["net"]
    table["last_on"] = [day_of(int(day)) for day in table["last_day"]]
    table = table.sort_values(["at_stake", "customer_id"], ascending=[False, True], ignore_index=True)
    return table[columns].head(limit)


def fit(data: Dataset, *, as_of: Instant) -> Fitted | None:
    """Fit both models to all customers.

    Uses `orders`.

    Returns
    -------
    Fitted or None
        None under 50 customers who bought again.

    Raises
    ------
    MissingTable
        If there are no orders.
    """
    customers = rows.customers(data, data.instant(as_of))
    cells = rows.counted(customers)
    if cells.loc[cells["repeats"] > 0, "count"].sum() < LEAST:
        return None
    measure, margin = _measure(data), 1.0
    if measure == "margin":
        margin = float(cells["margin"].sum() / cells["net"].sum()) if cells["net"].sum() > 0 else 0.0
    amounts = engine.sizes(customers.with_columns(nw.col("amount").round(4)), ["purchases", "amount"])
    return Fitted(fit_purchases(cells), fit_spending(amounts), margin, measure)


def purchase_value(data: Dataset, now: pd.Timestamp, by: tuple[str, ...], horizon: int, discount: float, level: float) -> tuple[pd.DataFrame, int]:
    """What a customer without contract is expected to bring within the time ahead, and how many customers bought again."""
    cells = rows.counted(rows.with_group(data, now, rows.customers(data, now), by), *by, "first_month")
    repeats = int(cells.loc[cells["repeats"] > 0, "count"].sum())
    if by:
        cells = cells[cells["first_month"] >= data.window(None, now, 1).months[1] - RECENT]
    fitted = fit(data, as_of=now) if repeats >= LEAST else None
    groups = Groups.of(cells, by)
    if fitted is None:
        return groups.names.assign(n=groups.sizes(cells["count"])), repeats
    return _valued(cells, groups, fitted, horizon, discount, level), repeats


def _measure(data: Dataset) -> str:
    return "margin" if data.has("orders", "margin") and not facts.is_contractual(data) else "amount"


def _valued(cells: pd.DataFrame, groups: Groups, fitted: Fitted, horizon: int, discount: float, level: float) -> pd.DataFrame:
    model, margin, reach = fitted.purchases, fitted.margin, intervals.quantile_of(level)
    count = cells["count"].to_numpy("float64")

    def sums(purchasing: np.ndarray, spending: np.ndarray) -> np.ndarray:
        return np.array([groups.sums(part) for part in _worth(cells, purchasing, spending, model.model, horizon, discount)])

    revenue, squares, purchases = sums(model.parameters, fitted.spending.parameters)
    pairs = zip(model.draws(DRAWS, SEED), fitted.spending.draws(DRAWS, SEED + 1), strict=True)
    drawn = np.array([sums(one, two) for one, two in pairs])
    n = groups.sums(count)
    table = groups.values(cells, n, revenue * margin, drawn[:, 0] * margin, squares * margin**2, reach)
    chance = groups.sums(variance_of_purchases(cells, model.parameters, model.model, horizon) * count)
    half = reach * np.sqrt(drawn[:, 2].var(axis=0) + chance)
    return table.assign(
        n_events=groups.sizes(count * (cells["repeats"] > 0)),
        to_date=groups.sums(cells["margin" if fitted.measure == "margin" else "net"]) / n,
        purchases=purchases,
        purchases_low=np.maximum(purchases - half, 0),
        purchases_high=purchases + half,
    )


def _worth(cells: pd.DataFrame, purchasing: np.ndarray, spending: np.ndarray, model: Variant, days: int, discount: float) -> tuple[np.ndarray, ...]:
    """Of each cell of customers alike: expected revenue, the sum of its squares over them, expected purchases."""
    p, q, v = spending
    steps = np.arange(1, STEPS + 1)
    until = expected_purchases(cells, purchasing, model, days * steps / STEPS)
    factors = (1 + discount) ** (-days * (steps - 0.5) / STEPS / YEAR)
    each = factors @ np.diff(until, axis=0, prepend=0) * p / (p * (cells["repeats"].to_numpy("float64") + 1) + q - 1)
    count, spent = cells["count"].to_numpy("float64"), cells["spent"].to_numpy("float64")
    squares = each**2 * (v * v * count + 2 * v * spent + cells["spent_squared"].to_numpy("float64"))
    return each * (v * count + spent), squares, until[-1] * count
