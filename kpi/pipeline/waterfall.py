"""The account of the open pipeline between two dates: every change told one by one, so that nothing is left over.

Amounts are counted in whole hundredths of the company's currency: sums of whole numbers are exact in any order and on any engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import narwhals.stable.v2 as nw
import pandas as pd

from kpi import engine, facts, periods, schema
from kpi.dataset import Dataset
from kpi.errors import MissingLink, ParameterError
from kpi.facts import records
from kpi.facts.clock import clocked, last_day
from kpi.facts.money import rated
from kpi.facts.stage_visits import UNTOLD
from kpi.periods import Instant, Window, WindowLike
from kpi.pipeline.deal_groups import FIXED

INWARD = ("new", "reopened", "pulled_in", "owner_in", "increased")
OUTWARD = ("decreased", "pushed_out", "won", "lost", "deleted", "owner_out")
STEPS = ("start", *INWARD, *OUTWARD, "currency", "end")
RATES = ("dated", "constant")


@schema.renamed(start="window")
def waterfall(
    data: Dataset,
    *,
    as_of: Instant,
    window: WindowLike | None = None,
    closing: WindowLike | None = None,
    owners: Sequence[str] = (),
    by: str | Sequence[str] = (),
    rates: str = "dated",
) -> pd.DataFrame:
    """Where the pipeline went between two dates: what came in, grew, shrank, was won, lost or pushed out; it adds up to the last cent.

    Uses `opportunities`, `opportunity_history`, `fx`.

    Parameters
    ----------
    window : Window, optional
        The local dates whose events are told, as far as they lie before `as_of`; without it the 90 days before `as_of`.
    closing : Window, optional
        Only deals expected to close on these local dates; a changed date then brings deals in or takes them out. Without it all open deals.
    owners : sequence of str
        Only deals of these owners, as known at each instant; a hand-over then brings deals in or takes them out. Empty means all.
    by : str or sequence of str
        Any of source, product.
    rates : str
        ``dated``: each event at the rate of its day, what the rates did to deals in hand is a step of its own; ``constant``: all at the rates of the
        last day, so that this step is 0.

    Returns
    -------
    DataFrame
        One row per group and step (``place`` in `STEPS`, ``step``) with the columns of `schema.RESULT`: ``value`` signed amount, ``n`` deals that the
        step touched (a deal may be touched twice), ``n_events`` of them with a known amount; and ``deals``, by how many the step changed their
        number. Start plus all steps is end, in ``value`` to the hundredth and in ``deals``. An unknown amount counts as nothing.

    Raises
    ------
    MissingTable
        If there are no opportunities.
    MissingLink
        If the window begins before the history does.
    ParameterError
        If `by` or `rates` is unknown, or `as_of` does not come after the start of the window.

    Notes
    -----
    Events are told one by one: a deal pushed out and pulled in again stands in both steps, one created and won in between in new and in won. A deal
    that changes its amount as it leaves has its change told first.
    """
    groups, now = schema.grouping(by, FIXED), data.instant(as_of)
    during, closes = data.window(window, now), Window.parse(closing) if closing is not None else None
    if facts.told_window(data, during) != during:
        raise MissingLink("opportunity_history", "", UNTOLD)
    first, last = periods.instant(during.start, data.company.timezone), min(now, periods.instant(during.end, data.company.timezone))
    if rates not in RATES:
        raise ParameterError(f"rates {rates!r} is unknown; use one of {', '.join(RATES)}")
    if first >= last:
        raise ParameterError(f"the account goes from {first} UTC to {last} UTC; the end must come after the start")
    inside = _inside("status", "owner", "expected_close_on", "is_own", closes, owners)
    before = _inside("status_before", "owner_before", "expected_before", "was_own", closes, owners)
    flags = [nw.when(held).then(nw.lit(1)).otherwise(nw.lit(0)).alias(name) for name, held in (("is_in", inside), ("was_in", before))]
    rows = data.engine.keep(facts.changes(data, last, first)).with_columns(*flags)
    constant = last_day(data, last) if rates == "constant" else None
    at_ends = [
        _standing(data, rows, moment, last_day(data, moment) if constant is None else constant, step)
        for moment, step in ((first, "start"), (last, "end"))
    ]
    parts = [_summed(part, groups) for part in (*at_ends, *_moved(data, rows, first, last, owners, constant))]
    table = _balanced(pd.concat(parts, ignore_index=True), list(groups))
    covered = Window(during.start, periods.local_date(last, data.company.timezone))
    return schema.result("pipeline.waterfall", table, by=[*groups, "place", "step"], view="period", window=covered, as_of=last, more=["deals"])


def _inside(status: str, owner: str, expected: str, own: str, closing: Window | None, owners: Sequence[str]) -> nw.Expr:
    inside = (nw.col(status) == "open") & nw.col(own)
    if closing is not None:
        since, until = (datetime(day.year, day.month, day.day) for day in (closing.start, closing.end))
        inside = inside & (nw.col(expected) >= nw.lit(since)) & (nw.col(expected) < nw.lit(until))
    if owners:
        inside = inside & nw.col(owner).is_in(list(owners))
    return inside


def _cents(column: str) -> nw.Expr:
    amount = nw.col(column) * nw.col("rate")
    return nw.when(~amount.is_null()).then((amount * 100 + 0.5).floor()).otherwise(nw.lit(0.0)).cast(nw.Int64)


def _line(rows: nw.LazyFrame, step: nw.Expr, cents: nw.Expr, deals: nw.Expr) -> nw.LazyFrame:
    """What rows add to the account: under which step, how much, and how many deals."""
    known = nw.col("amount") * nw.col("rate")
    return rows.with_columns(step.alias("step"), cents.alias("cents"), deals.alias("deals"), known.alias("known"))


def _standing(data: Dataset, rows: nw.LazyFrame, moment: pd.Timestamp, day: int, step: str) -> nw.LazyFrame:
    """Deals inside at an instant."""
    there = rows.filter(nw.col("is_in") == 1, nw.col("from_at") < moment, nw.col("until_at").is_null() | (nw.col("until_at") >= moment))
    return _line(rated(data, there, nw.lit(day)), nw.lit(step), _cents("amount"), nw.lit(1))


def _moved(
    data: Dataset, rows: nw.LazyFrame, first: pd.Timestamp, last: pd.Timestamp, owners: Sequence[str], constant: int | None
) -> list[nw.LazyFrame]:
    """What came in or went out, and what changed its amount while inside."""
    happened = rows.filter(nw.col("from_at") >= first, nw.col("from_at") < last).with_columns(nw.col("from_at").alias("event_at"))
    gone = rows.filter(nw.col("deleted_at") >= first, nw.col("deleted_at") < last).with_columns(
        *(nw.col("deleted_at").alias("event_at"), nw.col("is_in").alias("was_in"), nw.col("amount").alias("amount_before")),
        *(nw.lit("deleted").alias("status"), nw.lit(0).alias("is_in")),
    )
    events = nw.concat([happened, gone.select(*happened.collect_schema().names())]).filter((nw.col("is_in") == 1) | (nw.col("was_in") == 1))
    if constant is None and data.has("fx"):
        events = rated(data, clocked(data, events, "event_at", "day"), nw.col("event_day"))
    else:
        events = rated(data, events, nw.lit(constant or 0))
    holders = {"was_own": "owner_before", "is_own": "owner"}
    stays, kept = (nw.col(own) & nw.col(name).is_in(list(owners)) if owners else nw.col(own) for own, name in holders.items())
    status, before = nw.col("status"), nw.col("status_before")
    arrival = records.first((before.is_null(), "new"), (before != "open", "reopened"), (~stays, "owner_in"), otherwise="pulled_in")
    departure = nw.when(status != "open").then(status).otherwise(records.first((~kept, "owner_out"), otherwise="pushed_out"))
    events = events.with_columns(_cents("amount").alias("worth"), _cents("amount_before").alias("worth_before"))
    net, growth = nw.col("is_in") - nw.col("was_in"), nw.col("worth") - nw.col("worth_before")
    crossed = _line(events.filter(net != 0), nw.when(net > 0).then(arrival).otherwise(departure), net * nw.col("worth"), net)
    changed = events.filter(nw.col("was_in") == 1, growth != 0)
    return [crossed, _line(changed, records.first((growth > 0, "increased"), otherwise="decreased"), growth, nw.lit(0))]


def _summed(rows: nw.LazyFrame, groups: Sequence[str]) -> pd.DataFrame:
    sums = {"n": nw.len(), "n_events": nw.col("known").count(), "cents": nw.col("cents").sum(), "deals": nw.col("deals").sum()}
    return engine.collect(rows.group_by(*groups, "step").agg(**sums), [*groups, "step"])


def _balanced(table: pd.DataFrame, groups: list[str]) -> pd.DataFrame:
    """Every step of every group; what is left between start and end is what the rates did."""
    counts = ["n", "n_events", "cents", "deals"]
    table = table.astype(dict.fromkeys(counts, "int64"))
    names = table[groups].drop_duplicates() if groups else pd.DataFrame(index=[0])
    every = names.merge(pd.DataFrame({"place": range(len(STEPS)), "step": STEPS}), how="cross")
    every = every.merge(table, on=[*groups, "step"], how="left")
    every[counts] = every[counts].fillna(0).astype("int64")
    signed = every["cents"].where(every["step"] != "end", -every["cents"])
    left = signed.groupby([every[name] for name in groups]).transform("sum") if groups else pd.Series(signed.sum(), index=every.index)
    every["cents"] = every["cents"].where(every["step"] != "currency", -left)
    return every.assign(value=every["cents"] / 100)
