"""Which one change would most raise the value won over the next quarter: each lever moved within its own plausible range, all else kept."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import pandas as pd

from kpi import schema
from kpi.catalog import CATALOG
from kpi.dataset import Dataset
from kpi.errors import MissingTable, ParameterError
from kpi.facts.clock import stored
from kpi.forecast import lever_ranges
from kpi.forecast.lever_ranges import Lever
from kpi.forecast.pipeline_counts import Counts, counted
from kpi.forecast.pipeline_model import FLOOR, PipelineModel, StageFlow, fitted
from kpi.periods import Instant, Window, WindowLike
from kpi.schema import renamed
from kpi.statistics.intervals import quantile_of

HORIZON = int(CATALOG["pipeline.expected_won"].horizons[0])
DAYS = CATALOG["pipeline.expected_won"].days
DRAWS = 400
KINDS = ("conversion", "pace", "inflow", "lead_conversion", "response", "amount")
MORE = ("from", "to", "unit", "basis", "best", "shift", "expected", "expected_low", "expected_high")


@renamed(days="window")
def expected_won(
    data: Dataset, *, as_of: Instant, window: WindowLike | None = None, horizon: int = HORIZON, seed: int = 1, level: float = 0.95
) -> pd.DataFrame:
    """Value that may be expected to be won over the next 90 days if things go on as in the last year.

    Uses `opportunities`; where they exist `opportunity_history` and `stages`.

    Parameters
    ----------
    window : Window, str or pair of dates, optional
        Local days that tell how things go; without it the 365 days before `as_of`.
    horizon : int
        Days ahead.
    seed : int
        Of the draws.

    Returns
    -------
    DataFrame
        One row with the columns of `schema.RESULT`: ``value`` from the deals open now and those to come, ``low`` and ``high`` of that expectation
        (what is won scatters more); ``n`` deals under way in the window, ``n_events`` won with a known amount, ``n_open`` open now; and
        ``from_open``, the part of the deals open now. Missing where fewer than 20 deals were won.

    Raises
    ------
    MissingTable
        If there are no opportunities.
    ParameterError
        If `horizon` is no positive number of days, `window` holds no day, or `level` is not inside (0, 1).
    """
    known = _known(data, as_of, window, horizon, seed)
    counts, model = known.counts, known.model
    n_won, there = int(counts.amounts["n"].sum()), int(model.open.sum())
    table = pd.DataFrame({"horizon": [horizon], "n": int(counts.entries["count"].sum()) + there, "n_events": n_won, "n_open": there})
    if n_won >= FLOOR:
        low, high = _ends(known.base, level)
        table = table.assign(value=known.base[0], from_open=float((model.amount[0] * model.won(known.stages)[0]).sum()), low=low, high=high)
    return schema.result("pipeline.expected_won", table, by=[], view="period", window=known.window, as_of=known.now, more=["from_open"])


@renamed(days="window")
def gains(
    data: Dataset, *, as_of: Instant, window: WindowLike | None = None, horizon: int = HORIZON, seed: int = 1, level: float = 0.95
) -> pd.DataFrame:
    """How much more might be won over the next 90 days if one conversion, delay, inflow or amount were as good as at its best.

    Uses `opportunities`; where they exist `opportunity_history` and `stages`, `leads`, `activities`, `owners`.

    Parameters
    ----------
    window : Window, str or pair of dates, optional
        Local days that tell how things go; without it the 365 days before `as_of`.
    horizon : int
        Days ahead.
    seed : int
        Of the draws.

    Returns
    -------
    DataFrame
        One row per lever, the largest gain first: ``kind`` (one of `KINDS`), ``group`` (stage and next stage, source, or empty), the columns of
        `schema.RESULT` with ``value`` the gain; ``from``, ``to`` in ``unit`` (rate, days, count per horizon, money), ``basis`` (who is as good as
        that: ``owner``, ``quarter``, ``team`` or ``source``; ``interval`` where nobody stands out enough to tell), ``best`` (who), and
        ``expected``, the value won with the lever moved, with its interval. A lever with fewer than 20 records has no value; one that is as good as
        its best already is left out.

    Raises
    ------
    MissingTable
        If there are no opportunities.
    ParameterError
        If `horizon` is no positive number of days, `window` holds no day, or `level` is not inside (0, 1).

    Notes
    -----
    Model: `expected_won`. A lever moves one factor: the odds that a stay in a stage ends with a step forward, the chance per day that it ends, the
    deals that come in, the odds that a lead becomes an opportunity, the mean amount. Target: the best owner (of the same mix of sources) or quarter,
    of at least 20 records, drawn towards the others by `shrunk` so that luck does not make a target; else the good end of the factor's own 80 %
    interval.
    Response is an association (`response_time.what_if`), not a proven effect. The interval covers the model's factors and the target; it includes
    zero where the best may be no better than the rest. Nothing says that a lever can be moved, or what it costs.
    """
    known = _known(data, as_of, window, horizon, seed)
    counts, model, base = known.counts, known.model, known.base
    found = [*lever_ranges.conversions(counts, model), *lever_ranges.paces(counts, model), *lever_ranges.inflows(counts, model)]
    found += lever_ranges.lead_conversion(counts)
    with suppress(MissingTable):
        found += lever_ranges.response(data, counts, known.now, known.window)
    found += lever_ranges.amounts(counts, model)
    is_enough, rng, rows = int(counts.amounts["n"].sum()) >= FLOOR, np.random.default_rng([seed, 1]), []
    for lever in (lever for lever in found if lever.moves):
        row = lever.row() | {"horizon": horizon}
        if is_enough and lever.is_known:
            gain = _gain(known, lever, lever.drawn(DRAWS, rng))
            row |= dict(zip(("value", "low", "high"), (gain[0], *_ends(gain, level)), strict=True))
            row |= dict(zip(("expected", "expected_low", "expected_high"), (base[0] + gain[0], *_ends(base + gain, level)), strict=True))
        rows.append(row)
    table, by = pd.DataFrame(rows), ["kind", "group"]
    result = schema.result("pipeline.levers", table, by=by, view="period", window=known.window, as_of=known.now, more=MORE)
    return result.sort_values("value", ascending=False, kind="stable", ignore_index=True)


@dataclass(frozen=True)
class _Known:
    """What both numbers rest on."""

    now: pd.Timestamp
    window: Window
    counts: Counts
    model: PipelineModel
    stages: list[StageFlow]
    base: np.ndarray


def _known(data: Dataset, as_of: Instant, window: WindowLike | None, horizon: int, seed: int) -> _Known:
    """The counts, the model and the value expected as things go; computed once for both."""
    if horizon < 1:
        raise ParameterError(f"a horizon of {horizon} days says nothing; give a positive number of days")
    now = data.instant(as_of)
    days = data.window(window, now, DAYS)

    def build() -> _Known:
        counts = counted(data, now, days)
        model = fitted(counts, horizon, DRAWS, seed)
        return _Known(now, days, counts, model, model.stages, model.value(model.stages))

    return stored(data, ("levers", now, days, horizon, seed), build)


def _gain(known: _Known, lever: Lever, shift: np.ndarray) -> np.ndarray:
    """Gain in every draw of moving one factor by its shift, all else kept."""
    counts, model = known.counts, known.model
    if lever.kind in ("conversion", "pace"):
        stages = list(known.stages)
        pace, push = (0.0, shift) if lever.kind == "conversion" else (shift, 0.0)
        stages[lever.place] = model.stage(lever.place, pace, push)
        return model.value(stages) - known.base
    if lever.kind == "amount":
        return known.base * np.expm1(shift)
    coming = np.ones(model.horizon) if lever.kind == "inflow" else lever_ranges.lags(counts, model.horizon)
    value = model.amount * model.inflow * model.won_per_day(known.stages, coming)
    if lever.kind == "inflow":
        return value[:, lever.place] * np.expm1(shift)
    more = lever_ranges.more_from_leads(counts, shift) if lever.kind == "lead_conversion" else shift
    return (value * counts.from_leads.reindex(model.sources, fill_value=0.0).to_numpy(dtype="float64")).sum(axis=1) * more


def _ends(values: np.ndarray, level: float) -> tuple[float, float]:
    quantile_of(level)
    tail = 100 * (1 - level) / 2
    low, high = np.percentile(values[1:], [tail, 100 - tail])
    return float(low), float(high)
