"""Conversion with open records kept: the share that converted by an age, estimated by Aalen and Johansen from counts per day of age.

Two readings, both named. Cohort: records that entered in a window, followed since. Period: how records of every age fared inside a window; those
already open when it began enter late, at their age, so that the reading says how things go now. (Period analysis: Brenner and Gefeller 1996, Cancer
78:2004-2010.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import narwhals.stable.v2 as nw
import pandas as pd

from kpi import engine, facts, schema
from kpi.catalog import CATALOG
from kpi.dataset import Dataset, whole
from kpi.errors import ParameterError
from kpi.facts import records
from kpi.facts.clock import last_day
from kpi.periods import Instant, Window, WindowLike, instant
from kpi.pipeline.deal_groups import DEAL_GROUPS, deals

LEAD_GROUPS = {"source": "source", "owner": "owner", "team": "team", "country": "country", "month": "created_month", "quarter": "created_quarter"}


@dataclass(frozen=True)
class Transition:
    """From one state to the next: catalogue key, column that names the records, the outcomes that end it (the one counted first), its groups."""

    key: str
    record: str
    causes: tuple[str, ...]
    groups: dict[str, str]


LEAD_TO_OPPORTUNITY = Transition("pipeline.lead_to_opportunity", "lead_id", ("opportunity", "disqualified"), LEAD_GROUPS)
OPPORTUNITY_TO_CUSTOMER = Transition("pipeline.opportunity_to_customer", "opportunity_id", ("won", "lost"), DEAL_GROUPS)
LEAD_TO_CUSTOMER = Transition("pipeline.lead_to_customer", "lead_id", ("won",), LEAD_GROUPS)
TRANSITIONS = {known.key.removeprefix("pipeline."): known for known in (LEAD_TO_OPPORTUNITY, OPPORTUNITY_TO_CUSTOMER, LEAD_TO_CUSTOMER)}


@schema.renamed(way="transition")
def conversion_curve(
    data: Dataset,
    transition: str,
    *,
    as_of: Instant,
    window: WindowLike | None = None,
    view: str = "period",
    by: str | Sequence[str] = (),
    level: float = 0.95,
) -> pd.DataFrame:
    """Share converted by each day of age, with what is still open kept.

    Uses `leads` and `activities`, or `opportunities` and `opportunity_history`.

    Parameters
    ----------
    transition : str
        ``lead_to_opportunity``, ``opportunity_to_customer`` or ``lead_to_customer``.
    window : Window, optional
        Local dates: of entry (cohort) or of the time at risk (period). Without it the 90 days before `as_of`.
    by : str or sequence of str
        Grouping columns of that transition.

    Returns
    -------
    DataFrame
        One row per group and day of age that occurs, as `survival.aalen_johansen` gives it for the outcomes of the transition.

    Raises
    ------
    MissingTable
        If a table is missing.
    ParameterError
        If `transition`, `view` or `by` is unknown.
    """
    if transition not in TRANSITIONS:
        raise ParameterError(f"transition {transition!r} is unknown; use one of {', '.join(TRANSITIONS)}")
    chosen, now = TRANSITIONS[transition], data.instant(as_of)
    groups = schema.grouping(by, chosen.groups)
    counts = _at_risk(data, chosen, now, data.window(window, now), view, groups)
    return facts.incidence_curve(counts, chosen.causes, groups, level)


def lead_to_opportunity(
    data: Dataset,
    *,
    as_of: Instant,
    window: WindowLike | None = None,
    view: str = "period",
    by: str | Sequence[str] = (),
    horizons: Sequence[float] = CATALOG["pipeline.lead_to_opportunity"].horizons,
    level: float = 0.95,
) -> pd.DataFrame:
    """Share of leads that become an opportunity within 30, 90, 180 days; a disqualification ends the wait.

    Uses `leads`, `activities`, `opportunities`.

    Parameters
    ----------
    window : Window, optional
        As for `conversion_curve`.
    by : str or sequence of str
        Any of source, owner, team, country, month, quarter.
    horizons : sequence of float
        Ages in days.

    Returns
    -------
    DataFrame
        One row per group and horizon with the columns of `schema.RESULT`; ``n`` leads under observation, ``n_open`` still open before that age.

    Raises
    ------
    MissingTable
        If a table is missing.
    ParameterError
        If `view` or `by` is unknown.
    """
    return _converted(data, LEAD_TO_OPPORTUNITY, as_of, window, view, by, horizons, level)


def opportunity_to_customer(
    data: Dataset,
    *,
    as_of: Instant,
    window: WindowLike | None = None,
    view: str = "period",
    by: str | Sequence[str] = (),
    horizons: Sequence[float] = CATALOG["pipeline.opportunity_to_customer"].horizons,
    level: float = 0.95,
) -> pd.DataFrame:
    """Share of opportunities won within 30, 90, 180, 365 days of their creation; a loss ends the wait.

    Uses `opportunities` and `opportunity_history`.

    Parameters
    ----------
    window : Window, optional
        As for `conversion_curve`.
    by : str or sequence of str
        Any of source, owner (when it was created), product, size, month, quarter.
    horizons : sequence of float
        Ages in days.

    Returns
    -------
    DataFrame
        One row per group and horizon with the columns of `schema.RESULT`; ``n`` opportunities under observation, ``n_open`` still open before that
        age.

    Raises
    ------
    MissingTable
        If there are no opportunities.
    ParameterError
        If `view` or `by` is unknown.

    Notes
    -----
    Opportunities without a creation date have no age and are left out here; counts and the closed-deal win rate keep them.
    """
    return _converted(data, OPPORTUNITY_TO_CUSTOMER, as_of, window, view, by, horizons, level)


def lead_to_customer(
    data: Dataset,
    *,
    as_of: Instant,
    window: WindowLike | None = None,
    view: str = "period",
    by: str | Sequence[str] = (),
    horizons: Sequence[float] = CATALOG["pipeline.lead_to_customer"].horizons,
    level: float = 0.95,
) -> pd.DataFrame:
    """Share of leads that have a won deal, or else became a customer, within 30, 90, 180, 365 days of their inquiry.

    Uses `leads`, `activities`, `opportunities`; of leads that name a customer without a won deal, when it was acquired.

    Parameters
    ----------
    window : Window, optional
        As for `conversion_curve`.
    by : str or sequence of str
        Any of source, owner, team, country, month, quarter.
    horizons : sequence of float
        Ages in days.

    Returns
    -------
    DataFrame
        One row per group and horizon with the columns of `schema.RESULT`. A lead that was disqualified or whose deal was lost stays in the
        denominator: it may come back.

    Raises
    ------
    MissingTable
        If a table is missing.
    ParameterError
        If `view` or `by` is unknown.
    """
    return _converted(data, LEAD_TO_CUSTOMER, as_of, window, view, by, horizons, level)


def _converted(
    data: Dataset,
    transition: Transition,
    as_of: Instant,
    window: WindowLike | None,
    view: str,
    by: str | Sequence[str],
    horizons: Sequence[float],
    level: float,
) -> pd.DataFrame:
    groups, now = schema.grouping(by, transition.groups), data.instant(as_of)
    during = data.window(window, now)
    counts = _at_risk(data, transition, now, during, view, groups)
    values = facts.incidence(counts, transition.causes, horizons, groups, level)
    return schema.result(transition.key, values, by=groups, view=view, window=during, as_of=now)


def _at_risk(data: Dataset, transition: Transition, now: pd.Timestamp, window: Window, view: str, groups: Sequence[str]) -> pd.DataFrame:
    return facts.at_risk(followed(data, transition, now, groups), window, view, groups, recorded_from(data, transition))


def conversion_records(data: Dataset, transition: Transition, now: pd.Timestamp, window: Window, view: str, horizon: float) -> nw.LazyFrame:
    """Who counts in the share that converts by an age."""
    watched = facts.observed(followed(data, transition, now), window, view, recorded_from(data, transition))
    return facts.at_age(watched, transition.causes[0], horizon)


def recorded_from(data: Dataset, transition: Transition) -> date | None:
    """Tell since when the outcomes of a transition were recorded, where that is long after its records begin."""
    return None if transition is OPPORTUNITY_TO_CUSTOMER else data.recorded_from("opportunities")


def followed(data: Dataset, transition: Transition, now: pd.Timestamp, groups: Sequence[str] = ()) -> nw.LazyFrame:
    """List the records of a transition, followed from ``start_day`` to ``end_day`` with an ``outcome``; ``reason`` of those that cannot be."""
    if transition is OPPORTUNITY_TO_CUSTOMER:
        data.table("opportunities", *[name for name in groups if name in ("source", "product")])
        rows, is_open, ends, outcome = deals(data, now, groups), nw.col("status") == "open", nw.col("closed_day"), nw.col("status")
    elif transition is LEAD_TO_OPPORTUNITY:
        facts.need_outcome(data, now, "opportunity")
        rows, is_open, ends, outcome = facts.leads(data, now), nw.col("end") == "open", nw.col("end_day"), nw.col("end")
    else:
        facts.need_outcome(data, now, "won")
        rows, is_open, ends, outcome = facts.leads(data, now), nw.col("won_day").is_null(), nw.col("won_day"), nw.lit("won")
    if transition is not OPPORTUNITY_TO_CUSTOMER:
        rows = engine.grouped(rows, LEAD_GROUPS, groups)
    since = recorded_from(data, transition)
    reason = nw.col("reason").fill_null(nw.lit("")) if since is not None else nw.lit("")
    if since is not None:
        rows = rows.join(_converted_unseen(data, since).with_columns(nw.lit(records.UNSEEN).alias("reason")), on="lead_id", how="left")
    return rows.select(
        *(transition.record, *groups),
        nw.col("created_day").alias("start_day"),
        reason.alias("reason"),
        nw.when(is_open).then(nw.lit(last_day(data, now))).otherwise(ends).alias("end_day"),
        nw.when(is_open).then(nw.lit("censored")).otherwise(outcome).alias("outcome"),
    )


def _converted_unseen(data: Dataset, since: date) -> nw.LazyFrame:
    """List the leads from before opportunities were recorded that name one all the same: it is not there, but it once was."""
    named = whole(data).table("leads").filter(~nw.col("opportunity_id").is_null(), nw.col("created_at") < instant(since, data.company.timezone))
    return named.join(whole(data).table("opportunities").select("opportunity_id"), on="opportunity_id", how="anti").select("lead_id")
