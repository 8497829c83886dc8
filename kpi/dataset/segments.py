"""Which rows belong to a team, an owner, a source or a segment, in all tables, and when: owners change, and so do their teams."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeAlias

import narwhals.stable.v2 as nw
import pandas as pd

from kpi.engine import collect
from kpi.errors import ParameterError
from kpi.periods import instant
from kpi.schema import BLANK

Dataset: TypeAlias = Any  # that of kpi.dataset.dataset, which imports this module
ALWAYS = datetime(1900, 1, 1)  # when began what nobody knows the beginning of

# Tables restricted by their own columns first; the others follow the rows they belong to.
_ROOTS = ("leads", "opportunities", "customers")
_FOLLOW = {
    "lead_scores": (("lead_id", "leads"),),
    "activities": (("lead_id", "leads"), ("opportunity_id", "opportunities")),
    "opportunity_history": (("opportunity_id", "opportunities"),),
    "orders": (("customer_id", "customers"),),
    "contracts": (("customer_id", "customers"),),
}


def whole(data: Dataset) -> Dataset:
    """Find the data set that a part was taken from: a lead of one owner may become the deal of another.

    Parameters
    ----------
    data : Dataset
        Maybe restricted by `Dataset.where`.

    Returns
    -------
    Dataset
        Itself where it is not restricted.
    """
    return data.part_of or data


def narrowed(conditions: dict[str, str], column: str, value: str) -> dict[str, str]:
    """Add a condition to those of a part."""
    if conditions.get(column, value) != value:
        raise ParameterError(f"{column} is {conditions[column]!r} here already; ask the whole data set for {value!r}")
    return conditions | {column: value}


def restricted(data: Dataset, frames: dict[str, nw.LazyFrame], column: str, value: str) -> tuple[dict[str, nw.LazyFrame], dict[str, str]]:
    """Keep the leads, opportunities and customers that carry a value, and what belongs to them; also tables that cannot tell, with what they lack."""
    own, found, missing = "owner" if column == "team" else column, dict[str, nw.LazyFrame](), dict[str, str]()
    if column == "team":
        data.table("owners")
    for name in filter(data.has, _ROOTS):
        if data.has(name, own):
            found[name] = data.engine.keep(_carrying(data, name, column, value))
        else:
            missing[name] = own
    if not any(len(collect(rows.head(1))) for rows in found.values()):
        raise ParameterError(f"no lead, opportunity or customer has {column} = {value!r}; check the spelling")
    if column == "team" and data.has("targets", "team"):  # a team's are its own; nobody set any for an owner or a source
        found["targets"] = data.engine.keep(data.table("targets").filter(nw.col("team") == value))
    elif data.has("targets"):
        missing["targets"] = column
    for name in filter(data.has, _FOLLOW):
        parts = [data.table(name).join(found[root].select(key), on=key, how="semi") for key, root in _FOLLOW[name] if root in found]
        if parts:
            found[name] = data.engine.keep(nw.concat(parts).unique() if len(parts) > 1 else parts[0])
        else:
            missing[name] = _FOLLOW[name][0][0]
    return {name: found.get(name, frame) for name, frame in frames.items() if name not in missing}, missing


def _carrying(data: Dataset, name: str, column: str, value: str) -> nw.LazyFrame:
    """Rows of a table that carry a value; the deals that ever did, for the facts know who owned them when."""
    rows = data.table(name)
    if column not in ("owner", "team"):
        return rows.filter(nw.col(column) == value)
    if name == "leads":
        return of_part(data, rows, "owner", nw.col("created_at"))
    if name == "customers":
        return of_part(data, _with_start(data, rows), "owner", nw.col("start_at")).drop("start_at")
    who = [value] if column == "owner" else collect(members(data).filter(nw.col("own") == value))["member"].tolist()
    told = [data.table(one).filter(nw.col("owner").is_in(who)).select("opportunity_id") for one in (name, "opportunity_history") if data.has(one)]
    return rows.join(nw.concat(told), on="opportunity_id", how="semi")


def _with_start(data: Dataset, customers: nw.LazyFrame) -> nw.LazyFrame:
    """Since when each is a customer (``start_at``): the first sign of it."""
    dated = {"orders": nw.col("at"), "contracts": nw.col("start_on").cast(nw.Datetime("us")).dt.offset_by("12h")}
    known = [data.table(name).select("customer_id", at.alias("start_at")) for name, at in dated.items() if data.has(name)]
    known.append(customers.select("customer_id", nw.col("acquired_at").alias("start_at")))
    return customers.join(nw.concat(known).group_by("customer_id").agg(nw.col("start_at").min()), on="customer_id", how="left")


def of_part(data: Dataset, rows: nw.LazyFrame, owner: str, at: nw.Expr) -> nw.LazyFrame:
    """Keep the rows that belong to the owner, or the team, of a part."""
    return owned(data, rows, owner, at).filter(nw.col("is_own")).drop("is_own")


def owned(data: Dataset, rows: nw.LazyFrame, owner: str, at: nw.Expr) -> nw.LazyFrame:
    """Tell of each row whether its owner, and the team he was in at an instant, are those of a part (``is_own``)."""
    wanted, held = data.restricted_to, nw.lit(True)
    if "owner" in wanted:
        held = nw.col(owner) == wanted["owner"]
    if "team" in wanted:
        rows, held = with_team(data, rows, owner, at, "own_team"), held & (nw.col("own_team") == wanted["team"])
    return rows.with_columns(held.fill_null(False).alias("is_own")).drop("own_team", strict=False)


def with_team(data: Dataset, rows: nw.LazyFrame, owner: str, at: nw.Expr, name: str = "team") -> nw.LazyFrame:
    """Add the team that an owner was in at an instant: the first by name where there are several, a lasting one where the instant is unknown."""
    if not data.has("owners"):
        return rows.with_columns(nw.lit(BLANK).alias(name))
    keys = {"__owner": nw.col(owner), "__at": at.fill_null(nw.lit(ALWAYS))}
    rows, since, until = rows.with_columns(**keys), nw.col("since"), nw.col("until")
    served = rows.select(*keys).unique().join(members(data), left_on="__owner", right_on="member", how="inner")
    served = served.filter(since.is_null() | (since <= nw.col("__at")), until.is_null() | (nw.col("__at") < until))
    teams = served.group_by(*keys).agg(nw.col("own").min().alias(name))
    return rows.join(teams, on=[*keys], how="left").drop(*keys).with_columns(nw.col(name).fill_null(nw.lit(BLANK)))


def members(data: Dataset) -> nw.LazyFrame:
    """Who (``member``) was in which team (``own``) from when (``since``) until when, missing where it is always."""
    base = whole(data)
    if ("members",) not in base.facts:
        owners = collect(base.table("owners").select(nw.col("owner").alias("member"), nw.col("team").alias("own"), "from_on", "to_on"))
        for name, day in (("since", "from_on"), ("until", "to_on")):
            at = [pd.NaT if pd.isna(on) else instant(pd.Timestamp(on).date(), base.company.timezone) for on in owners.pop(day)]
            owners[name] = pd.Series(at, dtype="datetime64[us]")
        base.facts["members",] = base.engine.put(owners)
    return base.facts["members",]


def parse_where(text: str) -> dict[str, str]:
    """Read ``team=Nord,source=Web form``."""
    pairs = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not value or name not in ("team", "owner", "source", "segment"):
            raise ParameterError(f"where {part!r} is not understood; write team=Nord, with one of team, owner, source, segment")
        pairs[name] = value
    return pairs
