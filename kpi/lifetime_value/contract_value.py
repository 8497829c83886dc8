"""What customers under contract will bring: the shifted beta-geometric model of renewals on a data set, and its check on the past."""

from __future__ import annotations

from datetime import date

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from kpi import engine, facts, schema
from kpi.catalog import CATALOG
from kpi.dataset import Dataset
from kpi.facts.clock import all_days, last_day
from kpi.lifetime_value import customer_counts as rows
from kpi.lifetime_value.customer_counts import Groups
from kpi.lifetime_value.renewal_model import RenewalModel, fit_renewals, share_kept
from kpi.periods import Instant, Month, Window, day_number, day_of
from kpi.statistics import intervals

LEAST = CATALOG["retention.expected_value"].floor  # customers who bought again, or came to a renewal: below it nothing is said
FEW = 300  # below it with a warning
DRAWS = 40
SEED = 1
YEAR = 365.25
RECENT = 24  # months within which those customers were won by whom sources are compared
PERIODS = (12, 6, 3)  # months between renewals that are looked for, else 1
REGULAR = 0.9  # share of the ends that must fall on such a renewal


def renewal_period(data: Dataset, now: pd.Timestamp) -> int:
    """Find how many months lie between the renewals of a contract."""
    settings = data.settings.get("retention", {})
    if "renewal_months" in settings:
        return settings["renewal_months"]
    ended = engine.sizes(facts.covers(data, now).filter(nw.col("outcome") == "lost"), ["months", "over"])
    for period in PERIODS:
        regular = (ended["over"] == 0) & (ended["months"] % period == 0)
        if len(ended) and ended.loc[regular, "count"].sum() >= REGULAR * ended["count"].sum():
            return period
    return 1


def contract_value(data: Dataset, now: pd.Timestamp, by: tuple[str, ...], horizon: int, discount: float, level: float) -> tuple[pd.DataFrame, int]:
    """What a customer under contract is expected to pay within the time ahead, and how many customers came to a renewal.

    Each month ahead counts with the monthly amount, the probability that the renewals before it are passed (shifted beta-geometric, given those
    passed already), and its discount. The interval holds what is not known of the parameters and how customers differ.
    """
    frame = rows.with_group(data, now, _won_lately(data, now) if by else _standing(data, now), by)
    sums = [nw.col(name).sum() for name in ("paid", "squared", "to_date")]
    names = [*by, "months"]
    cells = engine.collect(facts.with_cost(data, frame).group_by(*names).agg(nw.len().alias("n"), *sums, *rows.COSTS), names)
    period = renewal_period(data, now)
    events = _events(facts.covers(data, now), period)
    came, groups = _came(events), Groups.of(cells, by)
    if came < LEAST or not len(cells):
        return groups.names.assign(n=groups.sizes(cells["n"]), measure="amount"), came
    ahead = max(round(horizon / (YEAR / 12)), 1)
    return _valued(cells, groups, fit_renewals(events), period, ahead, discount, level), came


def renewal_check(data: Dataset, *, as_of: Instant, level: float = 0.9) -> pd.DataFrame:
    """Hold the model of renewals against what customers then did: fitted on the first two thirds of the data, compared with the last third.

    Uses `contracts`.

    Returns
    -------
    DataFrame
        One row per ``renewal`` after the model was fitted, with the columns of `schema.RESULT`: ``horizon`` months since, ``value`` customers
        expected to be kept of the ``n`` then under contract, ``low`` and ``high`` with what is not known of the parameters and chance, ``actual``
        kept, ``constant`` what one constant rate of leaving expects; ``error`` and ``constant_error`` root mean squared error of the share kept
        over all renewals, the same on each row. No rows under 50 customers who had come to a renewal, or where no renewal was left.

    Raises
    ------
    MissingTable
        If there are no contracts.
    """
    now = data.instant(as_of)
    first, end = all_days(data, facts.covers(data, now), "start_day", now).days
    cut = first + 2 * (end - first) // 3
    table = _checked(data, now, cut, end, level)
    more = ["actual", "constant", "error", "constant_error"]
    window = Window(day_of(cut), day_of(end))
    return schema.result("retention.renewal_check", table, by=["renewal"], view="cohort", window=window, as_of=now, more=more)


def _events(covers: nw.LazyFrame, period: int) -> pd.DataFrame:
    """Count customers by the renewal at which they left, or that they passed last; who left between two left at the later one."""
    sizes = engine.sizes(covers, ["months", "over", "outcome"])
    lost = sizes["outcome"] == "lost"
    at = np.where(lost, (sizes["months"] + sizes["over"] + period - 1) // period, sizes["months"] // period)
    counted = pd.DataFrame({"renewal": at, "lost": sizes["count"].where(lost, 0), "kept": sizes["count"].where(~lost, 0)})
    return counted.groupby("renewal", as_index=False).sum().astype({"renewal": "int64"})


def _came(events: pd.DataFrame) -> int:
    """Customers who came to a renewal."""
    return int(events["lost"].sum() + events.loc[events["renewal"] > 0, "kept"].sum())


def _standing(data: Dataset, now: pd.Timestamp) -> nw.LazyFrame:
    """Customers under contract with the months they have been, what they pay a month and have paid."""
    today = last_day(data, now)
    live = facts.covers(data, now).filter(nw.col("outcome") == "censored").select("customer_id", "months")
    paying = facts.recurring(data, now, {"paid": today}, rate_day=today).filter(nw.col("paid") > 0)
    return _with_payments(data, now, live.join(paying, on="customer_id", how="inner"))


def _won_lately(data: Dataset, now: pd.Timestamp) -> nw.LazyFrame:
    """Customers won in the last 24 months, those gone too: they pay nothing any more."""
    since = day_number(Month.of(data.window(None, now, 1).months[1] - RECENT).start)
    won = facts.covers(data, now).group_by("customer_id").agg(nw.col("start_day").min()).filter(nw.col("start_day") >= since)
    live = _standing(data, now).select("customer_id", "months", "paid")
    frame = won.select("customer_id").join(live, on="customer_id", how="left")
    return _with_payments(data, now, frame.with_columns(nw.col("months").fill_null(0), nw.col("paid").fill_null(0.0)))


def _with_payments(data: Dataset, now: pd.Timestamp, frame: nw.LazyFrame) -> nw.LazyFrame:
    end = last_day(data, now) + 1
    until = nw.when(nw.col("until") < end).then(nw.col("until")).otherwise(nw.lit(end))
    terms = facts.in_company_currency(data, facts.terms(data, now), "monthly_amount", nw.col("start_day"))
    paid = (until - nw.col("start_day")) * nw.col("monthly_amount") * (12 / YEAR)
    so_far = terms.with_columns(paid.alias("to_date")).group_by("customer_id").agg(nw.col("to_date").sum())
    return frame.join(so_far, on="customer_id", how="left").with_columns((nw.col("paid") * nw.col("paid")).alias("squared"))


def _valued(cells: pd.DataFrame, groups: Groups, model: RenewalModel, period: int, ahead: int, discount: float, level: float) -> pd.DataFrame:
    paid, months, n = cells["paid"].to_numpy(), cells["months"].to_numpy(), groups.sums(cells["n"])
    factor = _months_to_come(months, model.parameters, period, ahead, discount)
    drawn = np.array([groups.sums(_months_to_come(months, drawn, period, ahead, discount) * paid) for drawn in model.draws(DRAWS, SEED)])
    squares = groups.sums(factor**2 * cells["squared"])
    table = groups.values(cells, n, groups.sums(factor * paid), drawn, squares, intervals.quantile_of(level))
    renewed = groups.sizes(np.where(months >= period, cells["n"], 0))
    return table.assign(n_events=renewed, to_date=groups.sums(cells["to_date"]) / n, measure="amount", by_customer=True)


def _months_to_come(months: np.ndarray, parameters: np.ndarray, period: int, ahead: int, discount: float) -> np.ndarray:
    """Discounted months that a customer of so many months is expected to pay for among the next ones."""
    passed = months // period
    now = share_kept(passed, parameters)
    due = [(months + month) // period - passed for month in range(ahead)]  # renewals before each month ahead
    worth = [(1 + discount) ** (-(month + 0.5) / 12) for month in range(ahead)]
    return np.sum([share_kept(passed + k, parameters) / now * w for k, w in zip(due, worth, strict=True)], axis=0)


def _checked(data: Dataset, now: pd.Timestamp, cut: int, end: int, level: float) -> pd.DataFrame:
    then = data.instant(day_of(cut))
    period, known = renewal_period(data, then), facts.covers(data, then)
    events = _events(known, period)
    days = _renewal_days(day_of(cut), end, period)
    if _came(events) < LEAST or not days or not events["kept"].sum():
        return pd.DataFrame(columns=["renewal", "horizon", "value", "low", "high", "n", "actual", "constant", "error", "constant_error"])
    live = known.filter(nw.col("outcome") == "censored").select("customer_id", "start_day")
    later = live.join(facts.covers(data, now).select("customer_id", "start_day", "until"), on=["customer_id", "start_day"], how="inner")
    kept = engine.counts(later, (), **{f"kept{day}": nw.col("until") >= day for day in days}).iloc[0]
    table = pd.DataFrame({"renewal": range(1, len(days) + 1), "actual": [int(kept[f"kept{day}"]) for day in days]})
    expected, spread = _expected_kept(events, fit_renewals(events), table["renewal"].to_numpy())
    at_risk = (events["renewal"] * (events["lost"] + events["kept"])).sum()
    n = int(events["kept"].sum())
    half = intervals.quantile_of(level) * spread
    table = table.assign(n=n, n_events=table["actual"], horizon=table["renewal"] * period, value=expected)
    table["low"], table["high"] = np.maximum(expected - half, 0), np.minimum(expected + half, n)
    table["constant"] = n * (1 - events["lost"].sum() / at_risk) ** table["renewal"]
    for name, column in (("error", "value"), ("constant_error", "constant")):
        table[name] = np.sqrt((((table[column] - table["actual"]) / n) ** 2).mean())
    return table


def _expected_kept(events: pd.DataFrame, model: RenewalModel, renewals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Customers expected to be kept after so many more renewals, and the standard error of their number."""
    passed, count = events["renewal"].to_numpy()[:, None], events["kept"].to_numpy("float64")

    def shares(parameters: np.ndarray) -> np.ndarray:
        return share_kept(passed + renewals, parameters) / share_kept(passed, parameters)

    share = shares(model.parameters)
    drawn = np.array([count @ shares(drawn) for drawn in model.draws(DRAWS, SEED)])
    return count @ share, np.sqrt(drawn.var(axis=0) + count @ (share * (1 - share)))


def _renewal_days(cut: date, end: int, period: int) -> list[int]:
    """Days by which every customer has come to one renewal more, as far as they were observed."""
    days: list[int] = []
    while True:
        month = Month(cut.year, cut.month).shift(period * (len(days) + 1))
        day = min(day_number(month.start) + cut.day - 1, day_number(month.end) - 1)
        if day > end:
            return days
        days.append(day)
