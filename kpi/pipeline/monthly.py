"""How many: leads, opportunities created, entries into a stage, deals won and their value, month by month."""

from __future__ import annotations

from typing import Any

import narwhals.stable.v2 as nw
import pandas as pd

from kpi import engine, facts, schema
from kpi.dataset import Dataset
from kpi.errors import ParameterError
from kpi.facts import records
from kpi.facts.clock import on_days
from kpi.facts.records import IN
from kpi.facts.stage_visits import stages
from kpi.periods import Instant, Window, WindowLike, month_number
from kpi.pipeline.closed_deals import won_records

MEASURES = {"count": "pipeline.won", "value": "pipeline.won_value", "average": "pipeline.average_won_value"}


def leads_created(data: Dataset, *, as_of: Instant, window: WindowLike) -> pd.DataFrame:
    """Number of leads received, month by month.

    Uses `leads`.

    Parameters
    ----------
    window : Window
        Local dates of the inquiry.

    Returns
    -------
    DataFrame
        One row per month of the window with the columns of `schema.RESULT`; a month without a lead has 0, one before the table begins is missing.

    Raises
    ------
    MissingTable
        If there are no leads.
    """
    now = data.instant(as_of)
    during = data.window(window, now)
    rows = facts.leads(data, now).filter(on_days(nw.col("created_day"), during)).rename({"created_month": "month"})
    return _monthly(data, "leads", "pipeline.leads", engine.sizes(rows, ["month"], "value"), during, now, "cohort")


def created(data: Dataset, *, as_of: Instant, window: WindowLike) -> pd.DataFrame:
    """Number of opportunities created, month by month.

    Uses `opportunities`.

    Parameters
    ----------
    window : Window
        Local dates of creation.

    Returns
    -------
    DataFrame
        One row per month of the window with the columns of `schema.RESULT`.

    Raises
    ------
    MissingTable
        If there are no opportunities.
    """
    now = data.instant(as_of)
    during = data.window(window, now)
    rows = facts.opportunities(data, now, "created_owner").filter(on_days(nw.col("created_day"), during)).rename({"created_month": "month"})
    return _monthly(data, "opportunities", "pipeline.opportunities", engine.sizes(rows, ["month"], "value"), during, now, "cohort")


def watched_stage(data: Dataset) -> dict[str, Any]:
    """Find the stage whose entries stand for progress: the second open one, or the one that ``[pipeline] watched_stage`` names.

    Returns
    -------
    dict
        ``stage`` and ``position``.

    Raises
    ------
    MissingTable
        If there is no order of stages.
    """
    order = stages(data)
    is_open = order[order["status"] == "open"].reset_index(drop=True)
    named = is_open[is_open["stage"] == data.settings.get("pipeline", {}).get("watched_stage", "")]
    row = named.iloc[0] if len(named) else is_open.iloc[min(1, len(is_open) - 1)]
    return {"stage": str(row["stage"]), "position": int(row["position"])}


def entered_stage(data: Dataset, *, as_of: Instant, window: WindowLike, position: int | None = None) -> pd.DataFrame:
    """Number of deals that reached a stage or went beyond it for the first time, month by month.

    Uses `opportunity_history` and `stages`.

    Parameters
    ----------
    position : int, optional
        Position of the stage; without it that of `watched_stage`.
    window : Window
        Local dates of reaching it.

    Returns
    -------
    DataFrame
        One row per month of the window with the columns of `schema.RESULT`, and the ``stage``.

    Raises
    ------
    MissingTable
        If there is no history of stages or no order of them.
    """
    order = stages(data)
    wanted = watched_stage(data)["position"] if position is None else int(position)
    stage = dict(zip(order["position"], order["stage"], strict=True)).get(wanted, "")
    now = data.instant(as_of)
    during = data.window(window, now)
    rows = facts.reached(data, now).filter(nw.col("position") == wanted, on_days(nw.col("reached_day"), during), nw.col("is_sighted") == 0)
    months = engine.collect(data.calendar.select("day", "month").unique(), ["day"])
    table = engine.sizes(rows, ["reached_day"], "value").merge(months, left_on="reached_day", right_on="day")
    table = table.groupby("month", as_index=False)["value"].sum()
    return _monthly(data, "opportunity_history", "pipeline.stage_entries", table, during, now, "period").assign(stage=stage)


def won(data: Dataset, *, as_of: Instant, window: WindowLike, measure: str = "count") -> pd.DataFrame:
    """Deals won, month by month: how many, for how much, at what average.

    Uses `opportunities` and `opportunity_history`.

    Parameters
    ----------
    window : Window
        Local dates of closing.
    measure : str
        ``count``, ``value`` (sum of amounts) or ``average`` (mean of known amounts).

    Returns
    -------
    DataFrame
        One row per month of the window with the columns of `schema.RESULT`; ``n`` deals won, ``n_events`` of them with a known amount.

    Raises
    ------
    MissingTable
        If there are no opportunities.
    ParameterError
        If `measure` is unknown.
    """
    if measure not in MEASURES:
        raise ParameterError(f"measure {measure!r} is unknown; use {', '.join(MEASURES)}")
    now = data.instant(as_of)
    during = data.window(window, now)
    rows = won_records(data, now, during).filter(IN).rename({"closed_month": "month"})
    totals = engine.collect(rows.group_by("month").agg(total=nw.col("amount").sum()), ["month"])
    table = records.summed(rows, ["month"]).drop(columns="n_open").merge(totals, on="month")
    total = table.pop("total").where(table["n_events"] > 0)
    table["value"] = {"count": table["n"], "value": total, "average": total / table["n_events"].where(table["n_events"] > 0)}[measure]
    empty = float("nan") if measure == "average" else 0
    return _monthly(data, "opportunities", MEASURES[measure], table, during, now, "period", empty)


def _monthly(
    data: Dataset, source: str, key: str, table: pd.DataFrame, window: Window, now: pd.Timestamp, view: str, empty: float = 0
) -> pd.DataFrame:
    """One row per month of the window; a month without records is 0, one before the table begins is missing."""
    first, after = window.months
    every = pd.DataFrame({"month": range(first, after)}).merge(table, on="month", how="left")
    begins = facts.told_from(data) if source == "opportunity_history" else None
    known = every["month"] >= (data.first_month(source).number if begins is None else month_number(begins) + (begins.day > 1))
    # A month with deals but no known amount has no value: missing is not zero.
    quiet = ~every["month"].isin(table["month"])
    every["value"] = every["value"].astype("float64").mask(quiet, empty).where(known)
    if "n" not in every:
        every["n"] = every["value"]
    for name in [name for name in ("n", "n_events") if name in every]:
        every[name] = every[name].astype("float64").fillna(0).where(known)
    return schema.result(key, every, by=["month"], view=view, window=window, as_of=now)
