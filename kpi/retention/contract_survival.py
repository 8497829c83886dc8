"""How long customers stay under contract, and which contracts are renewed."""

from __future__ import annotations

from collections.abc import Sequence

import narwhals.stable.v2 as nw
import pandas as pd

from kpi import engine, facts, schema
from kpi.catalog import CATALOG
from kpi.dataset import Dataset
from kpi.facts.clock import all_days, on_days
from kpi.periods import Instant, WindowLike
from kpi.schema import renamed
from kpi.statistics import intervals, survival

HORIZONS = CATALOG["retention.contract_survival"].horizons
CAUSE = ("lost",)


def contract_survival_curve(data: Dataset, *, as_of: Instant, level: float = 0.95) -> pd.DataFrame:
    """Share of customers still under contract so many months after they began.

    Uses `contracts`.

    Parameters
    ----------
    as_of : Instant
        Only what happened strictly before it counts; who is still under contract then is kept for as long as it was seen.

    Returns
    -------
    DataFrame
        `survival.kaplan_meier` over spells under contract: contracts that follow one another without a gap are one, who comes back after one begins
        again; ``time`` in whole months. Estimates are missing from the first month on at which too few were seen.

    Raises
    ------
    MissingTable
        If there are no contracts.

    Notes
    -----
    Kaplan and Meier (1958), JASA 53:457-481. An end counts in the month that it reaches into; who is still under contract is kept
    for the whole months seen.
    """
    return survival.watched(_curve(data, as_of, level), ["survival", "se", "low", "high"])


def _curve(data: Dataset, as_of: Instant, level: float) -> pd.DataFrame:
    rows = engine.sizes(facts.covers(data, data.instant(as_of)), ["months", "over", "outcome"])
    rows = rows.assign(entry=0, exit=rows["months"] + rows["over"].where(rows["outcome"] == "lost", 0))
    return survival.kaplan_meier(survival.event_table(rows, CAUSE), level=level, causes=CAUSE)


def contract_survival(data: Dataset, *, as_of: Instant, horizons: Sequence[float] = HORIZONS, level: float = 0.95) -> pd.DataFrame:
    """Share of customers still under contract one, two, three, five, six years after they began.

    Uses `contracts`.

    Parameters
    ----------
    horizons : sequence of float
        Months.

    Returns
    -------
    DataFrame
        One row per horizon with the columns of `schema.RESULT`; ``n`` spells under contract, ``n_events`` ended by then. Missing where nobody was
        seen so long.

    Raises
    ------
    MissingTable
        If there are no contracts.
    """
    curve = _curve(data, as_of, level)
    return _over_all_time(data, "retention.contract_survival", survival.at(curve, horizons), as_of)


def contract_median(data: Dataset, *, as_of: Instant, level: float = 0.95) -> pd.DataFrame:
    """Months after which half of the customers are no longer under contract.

    Uses `contracts`.

    Returns
    -------
    DataFrame
        One row with the columns of `schema.RESULT`: ``value`` in months, missing where the median is not reached.

    Raises
    ------
    MissingTable
        If there are no contracts.
    """
    curve = _curve(data, as_of, level)
    return _over_all_time(data, "retention.contract_median", survival.quantile(curve, 0.5), as_of)


@renamed(days="window")
def renewals(data: Dataset, *, as_of: Instant, window: WindowLike | None = None, level: float = 0.95) -> pd.DataFrame:
    """Share of the contracts that ended whose customer was under contract again the day they ended.

    Uses `contracts`.

    Parameters
    ----------
    window : Window, str or pair of dates, optional
        Local dates of the ends; without it the 365 days before `as_of`.
    level : float
        Coverage of the Wilson interval, in (0, 1).

    Returns
    -------
    DataFrame
        One row with the columns of `schema.RESULT`: ``n`` contracts that ended, ``n_events`` renewed. Where contracts run until they are cancelled,
        only cancelled ones end and none is renewed.

    Raises
    ------
    MissingTable
        If there are no contracts.
    """
    now = data.instant(as_of)
    window = data.window(window, now, CATALOG["retention.renewals"].days)
    ended = facts.terms(data, now).filter(on_days(nw.col("until"), window))
    whole = facts.covers(data, now).select("customer_id", nw.col("start_day").alias("spell"), nw.col("until").alias("spell_until"))
    inside = ended.join(whole, on="customer_id", how="inner").filter(nw.col("spell") <= nw.col("start_day"))
    inside = inside.filter(nw.col("spell_until") >= nw.col("until"))
    table = engine.counts(inside, (), n=nw.lit(True), n_events=nw.col("spell_until") > nw.col("until"))
    return schema.result("retention.renewals", intervals.with_share(table, level), by=[], view="period", window=window, as_of=now)


def _over_all_time(data: Dataset, key: str, table: pd.DataFrame, as_of: Instant) -> pd.DataFrame:
    now = data.instant(as_of)
    window = all_days(data, facts.covers(data, now), "start_day", now)
    return schema.result(key, table, by=[], view="cohort", window=window, as_of=now)
