"""How long something waits from one event to another, on both clocks, with a disqualification as the competing end."""

from __future__ import annotations

import narwhals.stable.v2 as nw


def wait(frame: nw.LazyFrame, start: str, end: str, *, now_seconds: int) -> nw.LazyFrame:
    """Add the outcome and the length of each wait."""
    begins, ends, declined = nw.col(f"{start}_seconds"), nw.col(f"{end}_seconds"), nw.col("disqualified_seconds")
    before = (ends < begins).fill_null(False) | (declined < begins).fill_null(False)
    answered = ~ends.is_null() & ~before & (declined.is_null() | (ends <= declined))
    gone = ~answered & ~before & ~declined.is_null() & (declined >= begins)
    wall = nw.when(answered).then(ends).when(gone).then(declined).otherwise(nw.lit(now_seconds))
    business = nw.when(answered).then(nw.col(f"{end}_business")).when(gone).then(nw.col("disqualified_business")).otherwise(nw.col("now_business"))
    named = nw.when(before).then(nw.lit("before")).when(answered).then(nw.lit("answered")).when(gone).then(nw.lit("disqualified"))
    return frame.with_columns(
        named.otherwise(nw.lit("waiting")).alias("outcome"),
        (wall - begins).alias("delay"),
        (business - nw.col(f"{start}_business")).alias("business_delay"),
    )
