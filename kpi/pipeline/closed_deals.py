"""Deals that were won or lost: which share, why, for how much and after how long."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from kpi import engine, schema
from kpi.dataset import Dataset
from kpi.errors import ParameterError
from kpi.facts import records
from kpi.facts.clock import on_days
from kpi.facts.records import CENSORED, DENOMINATOR, EVENT
from kpi.periods import Instant, Window, WindowLike
from kpi.pipeline.deal_groups import CLOSING_GROUPS, STANDING, by_group, deals
from kpi.statistics import intervals

WEIGHTS = ("count", "amount")


MIDDLES: dict[intervals.Statistic, Callable[[np.ndarray], float]] = {"mean": np.mean, "median": np.median}


def closed_win_rate(
    data: Dataset,
    *,
    as_of: Instant,
    window: WindowLike | None = None,
    by: str | Sequence[str] = (),
    weight: str = "count",
    seed: int = 1,
    level: float = 0.95,
) -> pd.DataFrame:
    """Share of the opportunities closed lately that were won; what is still open is left out, so it misleads when deals age.

    Uses `opportunities` and `opportunity_history`.

    Parameters
    ----------
    as_of : Instant
        Only what happened strictly before it counts; the status is the one known then.
    window : Window, optional
        Local dates of closing; without it the 90 days before `as_of`.
    by : str or sequence of str
        Any of source, owner (when it was closed; now, while it is open), product, size, month, quarter (of closing).
    weight : str
        ``count`` (every deal counts the same) or ``amount`` (the share of the closed amount that was won; unknown and negative amounts are left out).
    seed : int
        Of the bootstrap, by amount.
    level : float
        Coverage of the interval, in (0, 1): Wilson by count, bootstrap over deals by amount.

    Returns
    -------
    DataFrame
        One row per group with the columns of `schema.RESULT`; ``n`` closed, ``n_events`` won, ``n_open`` still open at `as_of`.

    Raises
    ------
    MissingTable
        If there are no opportunities.
    ParameterError
        If `by` or `weight` is unknown.
    """
    groups, now = list(schema.grouping(by, CLOSING_GROUPS)), data.instant(as_of)
    during, by_amount = data.window(window, now), _by_amount(weight)
    rows = closed_records(data, now, during, groups)
    if {"month", "quarter"} & set(groups):
        rows = rows.filter(records.STANDS)
    table = intervals.with_share(records.summed(rows, groups), level)
    if by_amount:
        known = engine.sizes(rows.filter(records.STANDS, nw.col("amount") >= 0), [*groups, "status", "amount"])
        found = [name | _share_of_amount(part, part["status"] == "won", seed, level) for name, part in by_group(known, groups)]
        shares = pd.DataFrame(found, columns=[*groups, "value", "low", "high"]).astype(dict(known[groups].dtypes))
        on = {"on": groups} if groups else {"left_index": True, "right_index": True}
        table = table.drop(columns=["value", "low", "high"]).merge(shares, how="left", **on)
    key = "pipeline.closed_win_rate_by_amount" if by_amount else "pipeline.closed_win_rate"
    return schema.result(key, table, by=groups, view="period", window=during, as_of=now)


def closed_records(data: Dataset, now: pd.Timestamp, window: Window, groups: Sequence[str] = ()) -> nw.LazyFrame:
    """Who counts among the deals closed in a window: won ones are the events; what is still open is told beside."""
    day, is_open = nw.col("closed_day"), nw.col("status") == "open"
    rows = deals(data, now, groups, CLOSING_GROUPS)
    rows = records.with_reason(rows, (is_open, records.OPEN), (day.is_null(), records.UNDATED), (~on_days(day, window), records.OUTSIDE))
    rows = records.counted(rows, (nw.col("status") == "won", EVENT))
    return rows.with_columns(nw.when(is_open).then(nw.lit(CENSORED)).otherwise(nw.col("counted_as")).alias("counted_as"))


def won_records(data: Dataset, now: pd.Timestamp, window: Window) -> nw.LazyFrame:
    """Who counts in what the deals won in a window are worth: those with a known amount."""
    day, status = nw.col("closed_day"), nw.col("status")
    tests = ((status == "open", records.OPEN), (status == "lost", records.LOST), (day.is_null(), records.UNDATED))
    rows = records.with_reason(deals(data, now, (), CLOSING_GROUPS), *tests, (~on_days(day, window), records.OUTSIDE))
    rows = records.counted(rows, (~nw.col("amount").is_null(), EVENT))
    is_unpriced = nw.col("counted_as") == DENOMINATOR
    return rows.with_columns(nw.when(is_unpriced).then(nw.lit(records.NO_AMOUNT)).otherwise(nw.col("reason")).alias("reason"))


def _by_amount(weight: str) -> bool:
    if weight not in WEIGHTS:
        raise ParameterError(f"weight {weight!r} is unknown; use count or amount")
    return weight == "amount"


def _share_of_amount(known: pd.DataFrame, chosen: pd.Series, seed: int, level: float) -> dict:
    """Share of the known amounts that belongs to some deals, with the bootstrap interval over deals."""
    flags, amount, count = chosen.to_numpy(dtype=float), known["amount"].to_numpy(dtype=float), known["count"].to_numpy()
    total = float((amount * count).sum())
    if total <= 0:
        return {"value": np.nan, "low": np.nan, "high": np.nan}
    low, high = intervals.bootstrap(flags, "mean", seed=seed, level=level, counts=count, weights=amount)
    return {"value": float((flags * amount * count).sum()) / total, "low": low, "high": high}


def loss_reasons(
    data: Dataset,
    *,
    as_of: Instant,
    window: WindowLike | None = None,
    by: str | Sequence[str] = (),
    weight: str = "count",
    seed: int = 1,
    level: float = 0.95,
) -> pd.DataFrame:
    """Why deals were lost: share of each reason in the deals lost, or in their amount.

    Uses `opportunities` with ``lost_reason``.

    Parameters
    ----------
    window : Window, optional
        Local dates of closing; without it the 90 days before `as_of`.
    by : str or sequence of str
        Any of source, owner (when it was lost), product, size.
    weight : str
        ``count`` or ``amount`` (unknown and negative amounts are left out).
    seed : int
        Of the bootstrap, by amount.
    level : float
        Coverage of the interval, in (0, 1): Wilson by count, bootstrap over deals by amount.

    Returns
    -------
    DataFrame
        One row per group and ``reason`` with the columns of `schema.RESULT`; ``n`` deals lost, ``n_events`` for that reason; and ``amount``, the sum
        of those known.

    Raises
    ------
    MissingTable
        If there are no opportunities, or they have no reasons.
    ParameterError
        If `by` or `weight` is unknown.
    """
    groups, now = list(schema.grouping(by, STANDING)), data.instant(as_of)
    by_amount, during = _by_amount(weight), data.window(window, now)
    data.table("opportunities", "lost_reason")
    lost = closed_records(data, now, during, groups).filter(records.STANDS, nw.col("status") == "lost")
    lost = lost.with_columns(nw.col("lost_reason").fill_null(nw.lit(schema.BLANK)).alias("reason"))
    counts = engine.sizes(lost, [*groups, "reason", "amount"])
    parts = [_reasons(part, by_amount, seed, level).assign(**name) for name, part in by_group(counts, groups)]
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=[*groups, "reason"])
    return schema.result("pipeline.loss_reasons", table, by=[*groups, "reason"], view="period", window=during, as_of=now, more=["amount"])


def _reasons(lost: pd.DataFrame, by_amount: bool, seed: int, level: float) -> pd.DataFrame:
    """Share of each reason in the lost deals of one group."""
    table = lost.assign(amount=lost["amount"].astype("float64") * lost["count"]).groupby("reason", as_index=False)
    table = table.agg(n_events=("count", "sum"), amount=("amount", "sum")).assign(n=int(lost["count"].sum()))
    if not by_amount:
        return intervals.with_share(table, level)
    known = lost[lost["amount"] >= 0]
    shares = [_share_of_amount(known, known["reason"] == reason, seed, level) for reason in table["reason"]]
    return pd.concat([table, pd.DataFrame(shares)], axis=1)


def average_value(
    data: Dataset,
    *,
    as_of: Instant,
    status: str = "won",
    window: WindowLike | None = None,
    by: str | Sequence[str] = (),
    seed: int = 1,
    level: float = 0.95,
) -> pd.DataFrame:
    """Mean and median amount of the deals won, lost or open, and the share of the five largest.

    Uses `opportunities` and `opportunity_history`.

    Parameters
    ----------
    status : str
        ``won``, ``lost`` or ``open``.
    window : Window, optional
        Local dates of closing (won, lost); without it the 90 days before `as_of`. Open deals are those open at `as_of`.
    by : str or sequence of str
        Any of source, owner (when it was closed; at `as_of` of open deals), product, size; for closed deals also month, quarter (of closing).
    seed : int
        Of the bootstrap.
    level : float
        Coverage of the bootstrap interval, in (0, 1).

    Returns
    -------
    DataFrame
        One row per group and ``statistic`` (mean, median, top5_share) with the columns of `schema.RESULT`; ``n`` deals, ``n_events`` of them with a
        known amount: a missing amount is not 0.

    Raises
    ------
    MissingTable
        If there are no opportunities.
    ParameterError
        If `status` or `by` is unknown.
    """
    if status not in schema.STATUS:
        raise ParameterError(f"status {status!r} is unknown; use {', '.join(schema.STATUS)}")
    groups, now = list(schema.grouping(by, STANDING if status == "open" else CLOSING_GROUPS)), data.instant(as_of)
    during = data.window(window, now)
    of_status = nw.col("status") == status
    if status == "open":
        rows = deals(data, now, groups, STANDING).filter(of_status)
    else:
        rows = closed_records(data, now, during, groups).filter(records.STANDS, of_status)
    amounts = engine.sizes(rows, [*groups, "amount"], "weight")
    found = [name | row for name, part in by_group(amounts, groups) for row in _described(part, seed, level)]
    view = "snapshot" if status == "open" else "period"
    table = pd.DataFrame(found, columns=[*groups, "statistic", "n", "n_events", "value", "low", "high"])
    return schema.result(f"pipeline.{status}_amount", table, by=[*groups, "statistic"], view=view, window=during, as_of=now)


def _described(amounts: pd.DataFrame, seed: int, level: float) -> list[dict]:
    """Every statistic of the known amounts, which stand in as many rows as there are different ones."""
    known = amounts[amounts["amount"].notna()]
    values, weights = known["amount"].to_numpy(dtype=float), known["weight"].to_numpy(dtype="int64")
    every = np.repeat(values, weights)
    same, total = {"n": int(amounts["weight"].sum()), "n_events": int(weights.sum())}, every.sum()
    # Resampling understates how far a share of the largest few can move: no interval is given rather than a wrong one.
    rows: list[dict] = [{"statistic": "top5_share", "value": float(np.sort(every)[-5:].sum() / total) if total > 0 else np.nan}]
    for name, middle in MIDDLES.items():
        row = {"statistic": name, "value": float(middle(every)) if len(every) else np.nan}
        if len(every):
            row["low"], row["high"] = intervals.bootstrap(values, name, seed=seed, level=level, counts=weights)
        rows.append(row)
    return [same | row for row in rows]


def average_values(data: Dataset, *, as_of: Instant, window: WindowLike | None = None, level: float = 0.95) -> pd.DataFrame:
    """Mean and median amount of the deals won, lost and open, one below the other.

    Uses `opportunities` and `opportunity_history`.

    Parameters
    ----------
    window : Window, optional
        As for `average_value`.
    level : float
        Coverage of the bootstrap interval, in (0, 1).

    Returns
    -------
    DataFrame
        The rows of `average_value` for won, lost, open.

    Raises
    ------
    MissingTable
        If there are no opportunities.
    """
    parts = [average_value(data, as_of=as_of, status=status, window=window, level=level) for status in ("won", "lost", "open")]
    return pd.concat(parts, ignore_index=True)


def sales_cycle(
    data: Dataset, *, as_of: Instant, window: WindowLike | None = None, by: str | Sequence[str] = (), seed: int = 1, level: float = 0.95
) -> pd.DataFrame:
    """Median days from creation to won, of the deals won lately.

    Uses `opportunities` and `opportunity_history`.

    Parameters
    ----------
    window : Window, optional
        Local dates of closing; without it the 90 days before `as_of`.
    by : str or sequence of str
        Any of source, owner (when it was closed; now, while it is open), product, size, month, quarter (of closing).
    seed : int
        Of the bootstrap.
    level : float
        Coverage of the bootstrap interval, in (0, 1).

    Returns
    -------
    DataFrame
        One row per group with the columns of `schema.RESULT`; ``value`` in days; ``n`` deals won, ``n_events`` of them with a creation date.

    Raises
    ------
    MissingTable
        If there are no opportunities.
    ParameterError
        If `by` is unknown.

    Notes
    -----
    Of won deals only: it says nothing on those lost or still open; the incidence curve does.
    """
    groups, now = list(schema.grouping(by, CLOSING_GROUPS)), data.instant(as_of)
    during = data.window(window, now)
    rows = closed_records(data, now, during, groups).filter(records.STANDS, nw.col("status") == "won")
    ages = engine.sizes(rows.with_columns((nw.col("closed_day") - nw.col("created_day")).alias("age")), [*groups, "age"], "weight")
    table = [name | _median_age(part, seed, level) for name, part in by_group(ages, groups)]
    columns = [*groups, "value", "low", "high", "n", "n_events"]
    return schema.result("pipeline.sales_cycle", pd.DataFrame(table, columns=columns), by=groups, view="period", window=during, as_of=now)


def _median_age(ages: pd.DataFrame, seed: int, level: float) -> dict:
    known = ages[ages["age"].notna()]
    days = np.repeat(known["age"].to_numpy(dtype=float), known["weight"].to_numpy(dtype="int64"))
    value, (low, high) = np.nan, (np.nan, np.nan)
    if len(days):
        value, (low, high) = float(np.median(days)), intervals.bootstrap(days, "median", seed=seed, level=level)
    return {"value": value, "low": low, "high": high, "n": int(ages["weight"].sum()), "n_events": len(days)}
