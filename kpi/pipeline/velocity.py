"""What the open pipeline is worth: weighted by the chance to win, per day, and against the target."""

from __future__ import annotations

import math
from datetime import datetime

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from kpi import engine, facts, periods, schema
from kpi.catalog import CATALOG
from kpi.dataset import Dataset
from kpi.facts.clock import last_day, on_days
from kpi.facts.stage_visits import stages
from kpi.periods import Instant, Month, Window, WindowLike
from kpi.pipeline.closed_deals import average_value, sales_cycle
from kpi.pipeline.conversion import opportunity_to_customer
from kpi.pipeline.open_pipeline import open_pipeline
from kpi.statistics import intervals

HORIZON = CATALOG["pipeline.won_from_stage"].days
FACTORS = ("open_deals", "win_incidence", "average_won_value", "days_to_win")


def won_from_stage(data: Dataset, *, as_of: Instant, window: WindowLike | None = None, horizon: float = HORIZON, level: float = 0.95) -> pd.DataFrame:
    """Share of the deals that reach a stage that are won within a year of reaching it.

    Uses `opportunity_history`, `opportunities`, `stages`.

    Parameters
    ----------
    window : Window, optional
        Local dates of the time at risk; without it the 365 days before `as_of`.
    horizon : float
        Days since the stage was reached.

    Returns
    -------
    DataFrame
        One row per open stage in order (``position``, ``stage``) with the columns of `schema.RESULT`; open deals are kept, a loss competes
        (Aalen-Johansen).

    Raises
    ------
    MissingTable
        If there is no history of stages or no order of them.
    """
    now = data.instant(as_of)
    during = data.window(window, now, HORIZON)
    order = stages(data).query("status == 'open'")[["position", "stage"]]
    is_open = nw.col("status") == "open"
    reached = facts.reached(data, now).filter(nw.col("is_sighted") == 0)
    rows = reached.filter(nw.col("position").is_in(order["position"].tolist())).select(
        "position",
        nw.col("reached_day").alias("start_day"),
        nw.when(is_open).then(nw.lit(last_day(data, now))).otherwise(nw.col("closed_day")).alias("end_day"),
        nw.when(is_open).then(nw.lit("censored")).otherwise(nw.col("status")).alias("outcome"),
    )  # fmt: skip
    values = facts.incidence(facts.at_risk(rows, during, "period", ["position"]), ("won", "lost"), (horizon,), ["position"], level)
    values = order.merge(values, on="position", how="left")
    return schema.result("pipeline.won_from_stage", values, by=["position", "stage"], view="period", window=during, as_of=now)


def weighted_pipeline(data: Dataset, *, as_of: Instant) -> pd.DataFrame:
    """What the open deals of each stage will bring: their amount times the chance to win from there.

    Uses `opportunity_history`, `opportunities`, `stages`.

    Parameters
    ----------
    as_of : Instant
        The instant of the snapshot.

    Returns
    -------
    DataFrame
        One row per open stage that holds deals, in order (``stage``), with the columns of `schema.RESULT`: ``value`` weighted amount, ``low``
        and ``high`` from the interval of the chance alone; ``n`` deals, ``n_events`` with a known amount; and ``amount``, ``chance``.

    Raises
    ------
    MissingTable
        If there is no history of stages or no order of them.
    """
    now = data.instant(as_of)
    chances = won_from_stage(data, as_of=now).set_index("stage")
    table = open_pipeline(data, as_of=now)[["stage", "value", "n", "n_events", "n_open"]].rename(columns={"value": "amount"})
    for name in ("value", "low", "high"):
        table[name] = table["amount"] * table["stage"].map(chances[name]).astype("float64")
    table["chance"] = table["stage"].map(chances["value"])
    order = table["stage"].tolist()
    window = data.window(None, now, 1)
    result = schema.result("pipeline.weighted", table, by=["stage"], view="snapshot", window=window, as_of=now, more=["amount", "chance"])
    return result.set_index("stage").loc[order].reset_index()


def sales_velocity(data: Dataset, *, as_of: Instant, past: Instant | None = None, level: float = 0.95) -> pd.DataFrame:
    """What the pipeline brings per day: open deals x chance to win x average won deal / days to win, and which of the four moved it.

    Uses `opportunities` and `opportunity_history`.

    Parameters
    ----------
    past : Instant, optional
        Date to compare with; without it a year before `as_of`.

    Returns
    -------
    DataFrame
        One row per ``factor`` (``velocity`` first) with the columns of `schema.RESULT`; ``past``, its value then (missing where the data do not
        reach back), and ``effect``, what the change of that factor did to the velocity, in money per day: the four add up to the change;
        ``settled``, whether the factor changed by more than chance (of the number of open deals, which has no interval, any change is).

    Raises
    ------
    MissingTable
        If there are no opportunities.

    Notes
    -----
    Logarithmic mean division (Ang 2004, Energy Policy 32:1131-1139): the effect of a factor is the logarithmic mean of both velocities times the
    log ratio of that factor. The interval of the velocity combines those of the factors as if they were independent; that of the number of open
    deals is none.
    """
    now = data.instant(as_of)
    here = _factors(data, now, level)
    day = periods.local_date(now, data.company.timezone)
    moment = data.instant(past) if past is not None else periods.instant(periods.year_before(day), data.company.timezone)
    before = _factors(data, moment, level) if moment > periods.instant(data.first_month("opportunities").start, data.company.timezone) else None
    velocity = _velocity(here)
    rows = [velocity, *here]
    then = [_velocity(before), *before] if before is not None else [{"value": math.nan}] * len(rows)
    mean = _log_mean(velocity["value"], then[0]["value"])
    for place, (row, old) in enumerate(zip(rows, then, strict=True)):
        row["past"] = old["value"]
        ratio = mean * math.log(row["value"] / old["value"]) if row["value"] > 0 and old["value"] > 0 else math.nan
        row["settled"] = bool(np.sign(intervals.difference(row, old, len(FACTORS))[1:]).sum()) if "low" in old and place else None
        row["effect"] = row["value"] - old["value"] if place == 0 else -ratio if row["factor"] == "days_to_win" else ratio
    table, window = pd.DataFrame(rows), data.window(None, now)
    result = schema.result("pipeline.velocity", table, by=["factor"], view="snapshot", window=window, as_of=now, more=["past", "effect", "settled"])
    return result.set_index("factor").loc[["velocity", *FACTORS]].reset_index()


def _factors(data: Dataset, now: pd.Timestamp, level: float) -> list[dict]:
    deals = facts.opportunities(data, now).filter(nw.col("status") == "open")
    n = int(engine.collect(deals.select(nw.len().alias("n")))["n"].iloc[0])
    parts = (
        opportunity_to_customer(data, as_of=now, horizons=(HORIZON,), level=level),
        average_value(data, as_of=now, level=level).query("statistic == 'mean'"),
        sales_cycle(data, as_of=now, level=level),
    )
    rows = [{"factor": "open_deals", "value": float(n), "low": float(n), "high": float(n), "n": n}]
    for factor, part in zip(FACTORS[1:], parts, strict=True):
        rows.append({"factor": factor, **part.iloc[0][["value", "low", "high", "n", "n_events"]].to_dict()})
    return rows


def _velocity(rows: list[dict]) -> dict:
    values = [row["value"] for row in rows]
    if any(not value > 0 for value in values):
        return {"factor": "velocity", "value": math.nan, "n": rows[0]["n"]}
    value = values[0] * values[1] * values[2] / values[3]
    reaches = [math.log(row["high"] / row["low"]) / 2 if row["low"] > 0 else math.nan for row in rows]
    reach = math.sqrt(sum(half**2 for half in reaches))
    low, high = (value * math.exp(-reach), value * math.exp(reach)) if not math.isnan(reach) else (math.nan, math.nan)
    return {"factor": "velocity", "value": value, "low": low, "high": high, "n": rows[0]["n"]}


def _log_mean(one: float, other: float) -> float:
    if math.isnan(one) or math.isnan(other):
        return math.nan
    return one if one == other else (one - other) / math.log(one / other)


def coverage(data: Dataset, *, as_of: Instant) -> pd.DataFrame:
    """How many times over the open deals expected to close this quarter cover what is still missing to its target.

    Uses `opportunities`, `targets` (measure ``won_value``).

    Parameters
    ----------
    as_of : Instant
        Only what happened strictly before it counts; the quarter, of the fiscal year, is the one it lies in, or that begins with it.

    Returns
    -------
    DataFrame
        One row with the columns of `schema.RESULT`: ``value`` open amount expected to close in the quarter / (target - won so far in it), ``n`` such
        deals, ``n_events`` with a known amount, the window that of the quarter so far; and ``open_amount``, ``target``, ``won``. Missing without a
        target for each of the three months, or once it is reached.

    Raises
    ------
    MissingTable
        If there are no opportunities, no closing dates or no targets.
    """
    now = data.instant(as_of)
    data.table("opportunities", "expected_close_on")
    running = periods.month_number(periods.local_date(now, data.company.timezone))
    first = Month.of(running - (running - data.company.fiscal_year_starts + 1) % 3)
    window, names = Window(first.start, first.shift(3).start), [str(first.shift(place)) for place in range(3)]
    wanted = data.table("targets").filter(nw.col("measure") == "won_value", nw.col("month").is_in(names))
    goals = engine.collect(wanted.select("month", "team", "amount"), ["month"])
    whole = goals["team"].isna()
    goals = goals[whole | ~goals["month"].isin(goals["month"][whole])]  # the company's own target holds its teams' already
    target = float(goals["amount"].sum()) if set(goals["month"]) == set(names) else math.nan
    since, until = (nw.lit(datetime(day.year, day.month, day.day)) for day in (window.start, window.end))
    amount, due = nw.col("amount"), nw.col("expected_close_on")
    coming = facts.opportunities(data, now).filter(nw.col("status") == "open", due >= since, due < until)
    open_amount, n, known = _total(coming.select(amount.sum().alias("total"), nw.len().alias("n"), amount.count().alias("known")))
    done = facts.opportunities(data, now, "closed_owner").filter(nw.col("status") == "won", on_days(nw.col("closed_day"), window))
    won, _, _ = _total(done.select(amount.sum().alias("total"), nw.len().alias("n"), amount.count().alias("known")))
    value = open_amount / (target - won) if target > won else math.nan
    row = {"value": value, "n": n, "n_events": known, "open_amount": open_amount, "target": target, "won": won}
    more, so_far = ["open_amount", "target", "won"], Window(window.start, periods.local_date(now, data.company.timezone))
    return schema.result("pipeline.coverage", pd.DataFrame([row]), by=[], view="snapshot", window=so_far, as_of=now, more=more)


def _total(sums: nw.LazyFrame) -> tuple[float, int, int]:
    row = engine.collect(sums).iloc[0]
    return 0.0 if pd.isna(row["total"]) else float(row["total"]), int(row["n"]), int(row["known"])
