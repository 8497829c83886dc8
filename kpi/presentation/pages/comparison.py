"""The pipeline page, by group: which sources, sizes, products and owners win."""

from __future__ import annotations

import math

import pandas as pd

from kpi.presentation.blocks import Answer, SideBySide, tables
from kpi.presentation.blocks.tables import DisplayColumn, DisplayTable
from kpi.presentation.language import missing
from kpi.presentation.pages.about import About, differ, named
from kpi.schema import BLANK, N_

FLOOR = 20
MOST = 8  # lines of a short table
HEADS = {"source": N_("Source"), "size": N_("Size"), "product": N_("Product"), "owner": N_("Owner")}
TITLES = {
    "source": N_("Which sources bring deals that are won?"),
    "size": N_("Are large deals won as often as small ones?"),
    "product": N_("Which products are won?"),
    "owner": N_("Who wins?"),
}


def won_by_group(about: About, groups: list[pd.DataFrame], total: pd.DataFrame) -> list:
    """Compare where winners come from, group by group."""
    split = [(frame.columns[0], _in_order(about, frame)) for frame in groups if len(frame) > 1]
    said = [text for text in (_difference(about.words, name, frame) for name, frame in split) if text]
    answer = " ".join(said) or about.words.say("Neither source nor size, product or owner settles a difference in how many deals are won.")
    blocks = [_table(about, name, frame, total) for name, frame in split]
    n_wide = sum(name == "source" for name, _ in split)
    wide, short = blocks[:n_wide], blocks[n_wide:]
    pairs = [SideBySide(*short[place : place + 2]) if len(short) > place + 1 else short[place] for place in range(0, len(short), 2)]
    return [Answer(answer), *wide, *pairs]


def _in_order(about: About, frame: pd.DataFrame) -> pd.DataFrame:
    """Sizes by size; names by what they win, those with too few deals last."""
    name = frame.columns[0]
    if name == "size":
        ordered = frame.sort_values("size", ignore_index=True)
        return ordered.assign(name=_bands(about, ordered["size"].tolist()))
    ordered = frame.assign(few=frame["n"] < FLOOR).sort_values(["few", "value", name], ascending=[True, False, True], ignore_index=True)
    return ordered.assign(name=[named(about.words, value) for value in ordered[name]])


def _bands(about: About, ends: list[float]) -> list[str]:
    """Bands of amounts in words, from their lower ends; a missing end is that of the deals without an amount."""
    words, known = about.words, [end for end in ends if not missing(end)]
    bands = {}
    for end, following in zip(known, [*known[1:], None], strict=True):
        low, high = words.money(end, about.currency), words.money(following, about.currency)
        if following is None:
            bands[end] = words.say("{amount} and more", amount=low)
        else:
            bands[end] = words.say("under {amount}", amount=high) if end == 0 else words.say("{low} to {high}", low=low, high=high)
    return [words.say("no amount") if missing(end) else bands[end] for end in ends]


def _difference(words, name: str, frame: pd.DataFrame) -> str:
    """The largest difference within a group that is more than chance."""
    known = frame[(frame["n"] >= FLOOR) & frame["value"].notna() & frame[name].notna()].sort_values("value", ascending=False)
    if len(known) < 2:
        return ""
    best, worst = known.iloc[0], known.iloc[-1]
    if not differ(_stretched(best, len(known)), _stretched(worst, len(known))):
        return ""
    parts = {
        "group": words.translate(HEADS[name]),
        "best": best["name"], "high": words.percent(best["value"]), "high_range": words.percent_range(best["low"], best["high"]),
        "worst": worst["name"], "low": words.percent(worst["value"]), "low_range": words.percent_range(worst["low"], worst["high"]),
    }  # fmt: skip
    return words.say("{group}: {best} wins {high} ({high_range}), {worst} {low} ({low_range}).", **parts)


def _stretched(row: pd.Series, groups: int) -> pd.Series:
    """The interval widened for having picked the best and the worst of many groups.

    Two 95% intervals part at 3.92 standard errors, the 5% point of the range of five means; that of more grows by some 0.55 each time they double
    (Tukey's studentized range: 4.47 for ten, 5.01 for twenty).
    """
    factor = max(1.0, 1 + 0.55 / 3.92 * math.log2(groups / 5))
    return pd.Series({name: row["value"] + factor * (row[name] - row["value"]) for name in ("low", "high")})


def _table(about: About, name: str, frame: pd.DataFrame, total: pd.DataFrame) -> DisplayTable:
    words, say = about.words, about.words.say
    columns = [
        DisplayColumn("name", words.translate(HEADS[name])),
        DisplayColumn("n", say("Created"), "number"),
        DisplayColumn("n_events", say("Won so far"), "number"),
        DisplayColumn("n_open", say("Not known\nyet"), "number"),
        *tables.estimate(words, say("Won within\n180 d"), drawn=name == "source"),
    ]
    note, last, limit = "", None, MOST
    if name == "source":
        note = say(
            "Opportunities created in the twelve months up to {month}; lost competes; 95% interval; dashed: all sources",
            month=words.month(about.month),
        )
        last, limit = total.assign(name=say("All")), 12
    else:
        columns = [column for column in columns if column.name not in ("n_events", "n_open")]
        note = say("The same opportunities; by the amount last known") if name == "size" else say("The same opportunities")
    return tables.table(frame, columns, words=words, title=words.translate(TITLES[name]), note=note, total=last, limit=limit)


HOUR = 3600.0


def response_by_group(about: About, groups: pd.DataFrame, *, change: pd.DataFrame, total: pd.DataFrame, column: str) -> list:
    """Compare sources or people."""
    words, say = about.words, about.words.say
    named = groups.assign(**{column: [say("(blank)") if name == BLANK else name for name in groups[column]]})
    verdicts = {1: say("clearly more"), -1: say("clearly less"), 0: say("not settled")}
    judged = groups[column].map(change.set_index(column)["differs"])
    named["verdict"] = [verdicts[int(found)] if not pd.isna(found) and n >= FLOOR else "–" for found, n in zip(judged, groups["n"], strict=True)]
    few = named.assign(few=named["n"] < FLOOR)
    frame = few.sort_values(["few", "value", column], ascending=[True, False, True], ignore_index=True)
    empty = {"verdict": "", "before": float("nan"), "median": float("nan"), "waiting": groups["waiting"].sum()}
    last = total[total["horizon"] == HOUR].assign(**{column: say("All"), **empty})
    headings = {"source": say("Source"), "owner": say("Owner"), "team": say("Team")}
    titles = {
        "source": say("Which sources wait longest?"),
        "owner": say("Whose leads wait longest?"),
        "team": say("Which teams let leads wait longest?"),
    }
    columns = [
        DisplayColumn(column, headings[column]),
        DisplayColumn("n", say("Leads"), "number"),
        DisplayColumn("n_events", say("Answered\nin 1 h"), "number"),
        *tables.estimate(words, say("Share"), drawn=True),
        DisplayColumn("before", say("12 months\nbefore"), "percent"),
        DisplayColumn("verdict", say("Against\nbefore")),
        DisplayColumn("median", say("Half within"), "duration", n="n"),
        DisplayColumn("waiting", say("Waiting over\n24 h"), "number"),
    ]
    note = say("Leads of {month}; 95% interval; dashed: all leads", month=words.month(about.month))
    table = tables.table(frame, columns, words=words, title=titles[column], note=note, total=last, limit=12)
    return [_extremes(about, frame, column), table]


def _extremes(about: About, frame: pd.DataFrame, column: str) -> Answer:
    words, known = about.words, frame[(frame["n"] >= FLOOR) & frame["value"].notna()]
    if len(known) < 2:
        return Answer(words.say("Too few leads to compare."))
    best, worst = known.iloc[0], known.iloc[-1]
    parts = {"best": str(best[column]), "high": words.percent(best["value"]), "worst": str(worst[column]), "low": words.percent(worst["value"])}
    parts |= {"high_range": words.percent_range(best["low"], best["high"]), "low_range": words.percent_range(worst["low"], worst["high"])}
    if differ(best, worst):
        return Answer(words.say("{best}: {high} within the hour ({high_range}). {worst}: {low} ({low_range}), the slowest.", **parts))
    return Answer(
        words.say("From {best}, {high} ({high_range}), to {worst}, {low} ({low_range}): the intervals overlap, no difference is settled.", **parts)
    )
