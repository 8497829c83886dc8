"""Who counts in a metric: each record of its base table as event, censored, denominator or out, and why; the counts of the metric are sums of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import narwhals.stable.v2 as nw
import pandas as pd

from kpi import engine

EVENT, CENSORED, DENOMINATOR, OUT = "event", "censored", "denominator", "out"

AFTER = "after the date"
OTHERS = "another owner's or team's then"
DELETED = "deleted"
MERGED = "part of another inquiry"
OUTSIDE = "outside the window"
TOUCHED = "touched before the inquiry"
CLOSED_EARLY = "over before the inquiry"
YOUNG = "too young to tell"
OPEN = "still open"
LOST = "lost"
UNDATED = "closed on an unknown date"
UNCREATED = "no creation date"
UNSEEN = "outcome from before outcomes were recorded"
BACKWARDS = "over before it began"
OLD = "older than the horizon when the window began"
NO_AMOUNT = "no amount, or no rate for its currency"
NO_PURCHASE = "no purchase"
INACTIVE = "not active at the start"
SALE = "a sale"

Frame = TypeVar("Frame", nw.LazyFrame, nw.DataFrame)
Test = tuple[nw.Expr, str]

STANDS = nw.col("reason") == ""  # no reason speaks against the record
IN = nw.col("counted_as").is_in([EVENT, DENOMINATOR]) | ((nw.col("counted_as") == CENSORED) & STANDS)
COUNTS = {"n": IN, "n_events": nw.col("counted_as") == EVENT, "n_open": nw.col("counted_as") == CENSORED}


def first(*tests: Test, otherwise: nw.Expr | str = "") -> nw.Expr:
    """Give the name of the first of several tests that holds; unknown is not held."""
    found = nw.lit(otherwise) if isinstance(otherwise, str) else otherwise
    for holds, name in reversed(tests):
        found = nw.when(holds).then(nw.lit(name)).otherwise(found)
    return found


def with_reason(rows: Frame, *tests: Test) -> Frame:
    """Add why each row does not count (``reason``, empty where it does); a reason that stands already comes first."""
    found = first(*tests)
    if "reason" in rows.collect_schema().names():
        found = nw.when(~STANDS).then(nw.col("reason")).otherwise(found)
    return rows.with_columns(found.alias("reason"))


def counted(rows: Frame, *tests: Test) -> Frame:
    """Add what each row is ``counted_as``: out for a reason, else by the first test that holds, else in the denominator only."""
    return rows.with_columns(first((~STANDS, OUT), *tests, otherwise=DENOMINATOR).alias("counted_as"))


def summed(records: nw.LazyFrame, by: Sequence[str] = ()) -> pd.DataFrame:
    """Sum records up to the counts of a metric: ``n``, ``n_events``, ``n_open`` of each group."""
    return engine.counts(records, by, **COUNTS)
