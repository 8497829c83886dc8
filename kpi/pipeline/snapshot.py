"""The pipeline as it stood at an instant, rebuilt from the history of changes."""

from __future__ import annotations

import narwhals.stable.v2 as nw
import pandas as pd

from kpi import engine, schema
from kpi.dataset import Dataset
from kpi.periods import Instant, last_days
from kpi.pipeline.groups import STANDING, deals


def open_pipeline(data: Dataset, *, as_of: Instant, by: str = "stage") -> pd.DataFrame:
    """Amount and number of open deals by stage, owner or source, as known at a date.

    Uses `opportunities`, `opportunity_history`, and `stages` for their order.

    Parameters
    ----------
    as_of : Instant
        The instant of the snapshot: stage, amount and owner are those known then.
    by : str
        ``stage``, ``owner``, ``source``, ``product`` or ``size``.

    Returns
    -------
    DataFrame
        One row per group, in the order of the stages or by name, with the columns of `schema.RESULT`: ``value`` amount in company currency, ``n``
        deals, ``n_events`` of them with a known amount, ``n_open`` the same as ``n``.

    Raises
    ------
    MissingTable
        If there are no opportunities.
    ParameterError
        If `by` is unknown.
    """
    groups = schema.grouping(by, {"stage": "stage"} | STANDING)
    now = data.instant(as_of)
    rows = deals(data, now, groups, {"stage": "stage"} | STANDING).filter(nw.col("status") == "open")
    amount = nw.col("amount")
    table = engine.collect(rows.group_by(*groups).agg(n=nw.len(), n_events=amount.count(), value=amount.sum()), groups)
    table["value"] = table["value"].where(table["n_events"] > 0)
    table["n_open"] = table["n"]
    result = schema.result("pipeline.open", table, by=list(groups), view="snapshot", window=last_days(now, data.company.timezone, 1), as_of=now)
    if by == "stage" and data.has("stages"):
        places = engine.collect(data.table("stages").select("stage", "position"), ["position"]).set_index("stage")["position"]
        result = result.iloc[result["stage"].map(places).fillna(len(places) + 1).argsort(kind="stable")].reset_index(drop=True)
    return result
