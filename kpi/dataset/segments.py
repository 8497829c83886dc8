"""Which rows belong to a team, an owner, a source or a segment, in all tables."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import narwhals.stable.v2 as nw

from kpi.engine import Engine, collect
from kpi.errors import MissingTable, ParameterError

# Tables restricted by their own columns first; the others follow the rows they belong to.
_ROOTS = ("leads", "opportunities", "customers")
_FOLLOW = {
    "lead_scores": (("lead_id", "leads"),),
    "activities": (("lead_id", "leads"), ("opportunity_id", "opportunities")),
    "opportunity_history": (("opportunity_id", "opportunities"),),
    "orders": (("customer_id", "customers"),),
    "contracts": (("customer_id", "customers"),),
}


def restricted(
    engine: Engine, frames: Mapping[str, nw.LazyFrame], provided: Mapping[str, Collection[str]], column: str, value: str
) -> tuple[dict[str, nw.LazyFrame], dict[str, str]]:
    """Keep the leads, opportunities and customers that carry a value, and what belongs to them; also tables that cannot tell, with what they lack."""
    if column == "team" and "owners" not in frames:
        raise MissingTable("owners")
    found, kept = dict(frames), 0
    missing: dict[str, str] = {}
    own = "owner" if column == "team" else column
    members = frames["owners"].filter(nw.col("team") == value).select("owner").unique() if column == "team" else None
    for name in _ROOTS:
        if name not in frames or own not in provided[name]:
            if found.pop(name, None) is not None:
                missing[name] = own
            continue
        frame = frames[name]
        frame = frame.join(members, on="owner", how="semi") if members is not None else frame.filter(nw.col(own) == value)
        found[name] = engine.keep(frame)
        kept += int(collect(found[name].select(nw.len().alias("n")))["n"].iloc[0])
    if not kept:
        raise ParameterError(f"no lead, opportunity or customer has {column} = {value!r}; check the spelling")
    if "targets" in found:  # those of a team are its own; nobody set any for an owner or a source
        if column == "team" and "team" in provided["targets"]:
            found["targets"] = engine.keep(frames["targets"].filter(nw.col("team") == value))
        else:
            del found["targets"]
            missing["targets"] = own if column != "team" else column
    for name, links in _FOLLOW.items():
        owned = [(key, root) for key, root in links if root in found]
        if name in found and owned:
            found[name] = engine.keep(_followed(found, name, owned))
        elif found.pop(name, None) is not None:
            missing[name] = links[0][0]
    return found, missing


def _followed(frames: Mapping[str, nw.LazyFrame], name: str, owned: list[tuple[str, str]]) -> nw.LazyFrame:
    """Rows that belong to a row kept, each once."""
    parts, rest = [], frames[name]
    for key, root in owned:
        ids = frames[root].select(key)
        parts.append(rest.join(ids, on=key, how="semi"))
        rest = rest.join(ids, on=key, how="anti")
    return nw.concat(parts) if len(parts) > 1 else parts[0]


def parse_where(text: str) -> dict[str, str]:
    """Read ``team=Nord,source=Web form``."""
    pairs = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not value or name not in ("team", "owner", "source", "segment"):
            raise ParameterError(f"where {part!r} is not understood; write team=Nord, with one of team, owner, source, segment")
        pairs[name] = value
    return pairs
