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
from kpi.lifetime_value.spending_model import MeanAmount, SpendingModel, fit_spending, frequency_correlation, mean_amount
from kpi.periods import Instant, day_of
from kpi.schema import renamed
from kpi.statistics import intervals

STEPS = 4  # parts of the time ahead, each discounted from its middle
TOGETHER = 0.2  # rank correlation of frequency and amount: simulated, below it Gamma-Gamma's interval holds, from it on that of the mean does better
FALL = 0.05  # of the probability of being active that puts a customer at risk


@dataclass(frozen=True)
class Fitted:
    """Both models of a data set, for purchases after the first.

    Attributes
    ----------
    purchases : PurchaseModel
        Who buys again.
    spending : SpendingModel or MeanAmount
        What a repeat purchase brings; the mean of all where amounts go with frequency.
    kept : float
        Of each amount, the share that stays after refunds; of that the margin, where `measure` is margin.
    measure : str
        ``margin`` or ``amount``.
    correlation : float
        Rank correlation of frequency and amount.
    squares : float
        Mean square of the amounts.
    """

    purchases: PurchaseModel
    spending: SpendingModel | MeanAmount
    kept: float
    measure: str
    correlation: float
    squares: float


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
        ``few`` (under 300 customers bought again); ``correlation`` of frequency and amount (rank), and ``by_customer``: whether amounts are those of
        each customer, or of all. Under 50 of the whole data set no value is given.

    Raises
    ------
    MissingTable
        If there are no orders, or the group is not recorded.
    ParameterError
        If `by` is unknown, or `horizon` or `discount` out of range.

    Notes
    -----
    MBG/NBD times Gamma-Gamma of the purchases after the first, whose amount (the deal itself) is another thing; under contract as `contract_value`.
    Gamma-Gamma needs amounts that do not go with frequency: where their rank correlation is .2 or more, each purchase expected counts with the mean
    of all repeat purchases. Amounts are net of refunds; a margin known for part of the orders goes for the others. The interval holds what is not
    known of the parameters (draws from the inverse Hessian) and how the customers of a group differ; that of the purchases also holds chance.
    """
    if horizon < 1 or not 0 <= discount < 1:
        raise ParameterError(f"horizon={horizon}, discount={discount}: give at least 1 day, and a yearly rate in [0, 1)")
    groups = schema.grouping(by or (), dict.fromkeys(rows.GROUPS, ""))
    now = data.instant(as_of)
    value = contract_value if facts.is_contractual(data) else purchase_value
    table, repeats = value(data, now, groups, horizon, discount, level)
    table = table.assign(horizon=horizon, few=repeats < FEW)
    if "value" in table:
        table["net"] = table["to_date"] + table["value"] - table["cost"].fillna(0)
    more = ["to_date", "cost", "net", "purchases", "purchases_low", "purchases_high", "few", "correlation", "by_customer"]
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
    each = (v + table["spent"]) * p / (p * table["priced"] + q - 1) * fitted.kept
    table["at_stake"] = ahead * each * (table["active_before"] - table["active"])
    table["value"] = table[fitted.measure]
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
    mean = (nw.col("spent") / nw.col("priced")).round(4).alias("amount")
    amounts = engine.sizes(customers.filter(nw.col("priced") > 0).select(nw.col("priced").alias("purchases"), mean), ["purchases", "amount"])
    return fit_counts(rows.counted(customers), amounts)


def fit_counts(cells: pd.DataFrame, amounts: pd.DataFrame) -> Fitted | None:
    """Fit both models to counted customers (`customer_counts.counted`) and to their mean amounts (`fit_spending`)."""
    again = cells[cells["priced"] > 0]
    if again["count"].sum() < LEAST:
        return None
    measure = "margin" if again["margin_of"].sum() > 0 else "amount"
    kept = again["kept"].sum() / again["spent"].sum()
    if measure == "margin":
        kept *= again["margin_kept"].sum() / again["margin_of"].sum()
    squares = again["squares"].sum() / (again["priced"] * again["count"]).sum()
    correlation = frequency_correlation(amounts)
    spending = fit_spending(amounts) if abs(correlation) < TOGETHER else mean_amount(again)
    return Fitted(fit_purchases(cells), spending, kept, measure, correlation, squares)


def purchase_value(data: Dataset, now: pd.Timestamp, by: tuple[str, ...], horizon: int, discount: float, level: float) -> tuple[pd.DataFrame, int]:
    """What a customer without contract is expected to bring within the time ahead, and how many customers bought again."""
    cells = rows.counted(rows.with_group(data, now, rows.customers(data, now), by), *by, "first_month")
    repeats = int(cells.loc[cells["repeats"] > 0, "count"].sum())
    if by:
        cells = cells[cells["first_month"] >= data.window(None, now, 1).months[1] - RECENT]
    fitted = fit(data, as_of=now) if repeats >= LEAST else None
    groups = Groups.of(cells, by)
    if fitted is None:
        return groups.names.assign(n=groups.sizes(cells["count"]), measure="amount"), repeats
    return _valued(cells, groups, fitted, horizon, discount, level), repeats


def totals(cells: pd.DataFrame, groups: Groups, fitted: Fitted, horizon: int, discount: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Of each group: expected value, the sum of its squares over customers, and purchases; as fitted, and for each draw of the parameters."""
    scale = np.array([[fitted.kept], [fitted.kept**2], [1.0]])

    def sums(purchasing: np.ndarray, spending: np.ndarray) -> np.ndarray:
        return np.array([groups.sums(part) for part in _worth(cells, purchasing, spending, fitted.purchases.model, horizon, discount)]) * scale

    pairs = zip(fitted.purchases.draws(DRAWS, SEED), fitted.spending.draws(DRAWS, SEED + 1), strict=True)
    return sums(fitted.purchases.parameters, fitted.spending.parameters), np.array([sums(one, two) for one, two in pairs])


def chances(cells: pd.DataFrame, groups: Groups, fitted: Fitted, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """Variance of each group's value and purchases within the time ahead by chance alone, the parameters taken as known."""
    model, count = fitted.purchases, cells["count"].to_numpy("float64")
    variance = variance_of_purchases(cells, model.parameters, model.model, horizon)
    mean = expected_purchases(cells, model.parameters, model.model, horizon)
    _, squares, _ = _worth(cells, model.parameters, fitted.spending.parameters, model.model, horizon, 0.0)
    # Purchases by chance at the amounts of all, and customers who buy more or less often than expected at their own.
    own = np.maximum(variance - mean, 0) / np.maximum(mean, 1e-300) ** 2 * squares
    return groups.sums(mean * count * fitted.squares + own) * fitted.kept**2, groups.sums(variance * count)


def _valued(cells: pd.DataFrame, groups: Groups, fitted: Fitted, horizon: int, discount: float, level: float) -> pd.DataFrame:
    reach, n = intervals.quantile_of(level), groups.sums(cells["count"])
    (value, squares, purchases), drawn = totals(cells, groups, fitted, horizon, discount)
    table = groups.values(cells, n, value, drawn[:, 0], squares, reach)
    half = reach * np.sqrt(drawn[:, 2].var(axis=0) + chances(cells, groups, fitted, horizon)[1])
    return table.assign(
        n_events=groups.sizes(cells["count"] * (cells["repeats"] > 0)),
        to_date=groups.sums(measured(cells, fitted.measure)) / n,
        purchases=purchases,
        purchases_low=np.maximum(purchases - half, 0),
        purchases_high=purchases + half,
        measure=fitted.measure,
        correlation=fitted.correlation,
        by_customer=isinstance(fitted.spending, SpendingModel),
    )


def measured(table: pd.DataFrame, measure: str) -> pd.Series:
    """Margin where it is known and the same share of the other amounts, for missing is not zero; or the amounts."""
    if measure == "amount":
        return table["amount"]
    known = table["margined"].sum()
    return table["margin"] + (table["amount"] - table["margined"]) * (table["margin"].sum() / known if known else np.nan)


def _worth(cells: pd.DataFrame, purchasing: np.ndarray, spending: np.ndarray, model: Variant, days: int, discount: float) -> tuple[np.ndarray, ...]:
    """Of each cell of customers alike: expected revenue, the sum of its squares over them, expected purchases."""
    p, q, v = spending
    steps = np.arange(1, STEPS + 1)
    until = expected_purchases(cells, purchasing, model, days * steps / STEPS)
    factors = (1 + discount) ** (-days * (steps - 0.5) / STEPS / YEAR)
    each = factors @ np.diff(until, axis=0, prepend=0) * p / (p * cells["priced"].to_numpy("float64") + q - 1)
    count, spent = cells["count"].to_numpy("float64"), cells["spent"].to_numpy("float64")
    squares = each**2 * (v * v * count + 2 * v * spent + cells["spent_squared"].to_numpy("float64"))
    return each * (v * count + spent), squares, until[-1] * count
