"""What of the data was used and what was set aside, and whether a report made of the rest could be trusted."""

from __future__ import annotations

import pandas as pd

from kpi.errors import DataError
from kpi.sources import reasons

MAX_SET_ASIDE = 0.05  # share of a table's rows


def tables(data) -> pd.DataFrame:
    """Sum the ledger up, a row per table.

    Parameters
    ----------
    data : Dataset
        As read.

    Returns
    -------
    DataFrame
        ``table``, ``found``, ``filtered`` (left out on purpose by ``where`` in kpi.toml), ``used``, ``set_aside`` (for cause), ``share`` (set aside
        among those not filtered, in [0, 1], missing for an empty table).
    """
    ledger = data.ledger
    filtered = ledger["set_aside"].where(ledger["reason"] == reasons.FILTERED, 0)
    rows = ledger.assign(filtered=filtered, set_aside=ledger["set_aside"] - filtered)
    total = rows.groupby("table", sort=False, as_index=False)[["used", "set_aside", "filtered"]].sum()
    read = total["used"] + total["set_aside"]
    total["found"] = read + total["filtered"]
    total["share"] = (total["set_aside"] / read.where(read > 0)).astype("float64")
    return total[["table", "found", "filtered", "used", "set_aside", "share"]]


def refuse(data, limit: float = MAX_SET_ASIDE) -> None:
    """Refuse data of which too much had to be set aside.

    Parameters
    ----------
    data : Dataset
        As read.
    limit : float
        Share of a table's rows that may be set aside, in [0, 1].

    Raises
    ------
    DataError
        If a table lies above it; the message names the table and its main reason.
    """
    summed = tables(data)
    over = summed[summed["share"] > limit]
    if len(over):
        raise DataError("; ".join(_complaint(data.ledger, row, limit) for row in over.itertuples()) + "; see them with: kpi check")


def _complaint(ledger: pd.DataFrame, row, limit: float) -> str:
    causes = ledger[(ledger["table"] == row.table) & (ledger["reason"] != reasons.FILTERED) & (ledger["set_aside"] > 0)]
    worst = causes.sort_values("set_aside", ascending=False, kind="stable").iloc[0]
    return (
        f"{row.table}: {row.set_aside} of {row.used + row.set_aside} rows ({row.share:.1%}) were set aside, more than the {limit:.0%} allowed; "
        f"most often: {worst['reason']} ({worst['set_aside']})"
    )
