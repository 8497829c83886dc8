"""What deals are worth and how long they take."""

from __future__ import annotations

from collections.abc import Sequence

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from kpi import engine, schema
from kpi.dataset import Dataset
from kpi.errors import ParameterError
from kpi.facts.clock import on_days
from kpi.periods import Instant, Window, last_days
from kpi.pipeline.conversion import PERIOD_DAYS
from kpi.pipeline.groups import CLOSING_GROUPS, STANDING, by_group, deals
from kpi.statistics import intervals


def _top5_share(values: np.ndarray) -> float:
    return np.sort(values)[-5:].sum() / values.sum() if values.sum() > 0 else float("nan")


STATISTICS = {"mean": np.mean, "median": np.median, "top5_share": _top5_share}


def average_value(
    data: Dataset,
    *,
    as_of: Instant,
    status: str = "won",
    window: Window | None = None,
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
        Any of source, owner, product, size; for closed deals also month, quarter (of closing).
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
    columns = STANDING if status == "open" else CLOSING_GROUPS
    groups = list(schema.grouping(by, columns))
    now = data.instant(as_of)
    window = window or last_days(now, data.company.timezone, PERIOD_DAYS)
    rows = deals(data, now, groups, columns).filter(nw.col("status") == status)
    if status != "open":
        rows = rows.filter(on_days(nw.col("closed_day"), window))
    amounts = engine.sizes(rows, [*groups, "amount"], "weight")
    found = [name | row for name, part in by_group(amounts, groups) for row in _described(part, seed, level)]
    view = "snapshot" if status == "open" else "period"
    table = pd.DataFrame(found, columns=[*groups, "statistic", "n", "n_events", "value", "low", "high"])
    return schema.result(f"pipeline.{status}_amount", table, by=[*groups, "statistic"], view=view, window=window, as_of=now)


def _described(amounts: pd.DataFrame, seed: int, level: float) -> list[dict]:
    """Every statistic of the known amounts, which stand in as many rows as there are different ones."""
    known = amounts[amounts["amount"].notna()]
    values, weights = known["amount"].to_numpy(dtype=float), known["weight"].to_numpy(dtype="int64")
    rows = []
    for name in STATISTICS:
        row = {"statistic": name, "n": int(amounts["weight"].sum()), "n_events": int(weights.sum()), "value": float("nan")}
        if len(values):
            row["value"] = float(STATISTICS[name](np.repeat(values, weights)))
            # Resampling understates how far a share of the largest few can move: none is given rather than a wrong one.
            if name != "top5_share":
                row["low"], row["high"] = intervals.bootstrap(values, name, seed=seed, level=level, counts=weights)
        rows.append(row)
    return rows


def average_values(data: Dataset, *, as_of: Instant, window: Window | None = None, level: float = 0.95) -> pd.DataFrame:
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
    data: Dataset, *, as_of: Instant, window: Window | None = None, by: str | Sequence[str] = (), seed: int = 1, level: float = 0.95
) -> pd.DataFrame:
    """Median days from creation to won, of the deals won lately.

    Uses `opportunities` and `opportunity_history`.

    Parameters
    ----------
    window : Window, optional
        Local dates of closing; without it the 90 days before `as_of`.
    by : str or sequence of str
        Any of source, owner, product, size, month, quarter (of closing).
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
    groups = list(schema.grouping(by, CLOSING_GROUPS))
    now = data.instant(as_of)
    window = window or last_days(now, data.company.timezone, PERIOD_DAYS)
    rows = deals(data, now, groups, CLOSING_GROUPS).filter(nw.col("status") == "won", on_days(nw.col("closed_day"), window))
    ages = engine.sizes(rows.with_columns((nw.col("closed_day") - nw.col("created_day")).alias("age")), [*groups, "age"], "weight")
    table = [name | _median_age(part, seed, level) for name, part in by_group(ages, groups)]
    columns = [*groups, "value", "low", "high", "n", "n_events"]
    return schema.result("pipeline.sales_cycle", pd.DataFrame(table, columns=columns), by=groups, view="period", window=window, as_of=now)


def _median_age(ages: pd.DataFrame, seed: int, level: float) -> dict:
    known = ages[ages["age"].notna()]
    days = np.repeat(known["age"].to_numpy(dtype=float), known["weight"].to_numpy(dtype="int64"))
    row = {"value": float(np.median(days)) if len(days) else float("nan"), "n": int(ages["weight"].sum()), "n_events": len(days)}
    row["low"], row["high"] = intervals.bootstrap(days, "median", seed=seed, level=level) if len(days) else (None, None)
    return row
