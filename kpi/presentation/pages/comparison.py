"""Groups compared: which sources, teams and people answer late, which sources, sizes, products and owners win."""

from __future__ import annotations

import pandas as pd

from kpi.presentation.blocks import Answer, SideBySide
from kpi.presentation.blocks.tables import FLOOR, DisplayColumn, DisplayTable, estimate
from kpi.presentation.language import NAMES, Words, missing
from kpi.presentation.pages.about import About
from kpi.presentation.pages.wording import HOUR, age, differ, share
from kpi.schema import N_

MOST = 8  # lines of a short table
HEADS = NAMES["groups"]
ANSWERED = NAMES["who_waits"]
WON = NAMES["who_wins"]
SAME = {"size": N_("The same opportunities; by the amount last known"), "owner": N_("The same opportunities; by their owner when they came in")}


def response_by_group(about: About, groups: pd.DataFrame, *, change: pd.DataFrame, total: pd.DataFrame) -> list:
    """Compare how soon sources, teams or people answer, the best first, and each with itself before."""
    words, say, column = about.words, about.words.say, groups.columns[0]
    verdicts = {1: say("clearly more"), -1: say("clearly less"), 0: say("not settled")}
    judged = groups[column].map(change.set_index(column)["differs"])
    against = [verdicts[int(found)] if not pd.isna(found) and n >= FLOOR else "–" for found, n in zip(judged, groups["n"], strict=True)]
    frame = _best_first(words, groups.assign(verdict=against), column)
    empty = {"verdict": "", "before": float("nan"), "median": float("nan"), "waiting": groups["waiting"].sum()}
    columns = [
        DisplayColumn("name", words.translate(HEADS[column])),
        DisplayColumn("n", say("Leads"), "number"),
        DisplayColumn("n_events", say("Answered\nin 1 h"), "number"),
        *estimate(words, say("Share"), drawn=True),
        DisplayColumn("before", say("Before"), "percent", n="n"),
        DisplayColumn("verdict", say("Against\nbefore")),
        DisplayColumn("median", say("Half within"), "duration", n="n"),
        DisplayColumn("waiting", say("Waiting over\n24 h"), "number"),
    ]
    last = total[total["horizon"] == HOUR].assign(name=say("All"), **empty)
    note = say("Leads of {month}; 95% interval; dashed: all leads", month=words.month(about.month))
    table = about.table(frame, columns, title=words.translate(ANSWERED[column]), note=note, total=last, limit=12)
    return [_extremes(words, frame), table]


def _extremes(words: Words, frame: pd.DataFrame) -> Answer:
    known = frame[(frame["n"] >= FLOOR) & frame["value"].notna()]
    if len(known) < 2:
        return Answer(words.say("Too few leads to compare."))
    best, worst = known.iloc[0], known.iloc[-1]
    if differ(best, worst, len(known)):
        text = N_("{best}: {high} within the hour ({high_range}). {worst}: {low} ({low_range}), the slowest.")
    else:
        text = N_("From {best}, {high} ({high_range}), to {worst}, {low} ({low_range}): no difference is settled.")
    return Answer(words.say(text, **_ends(words, best, worst)))


def won_by_group(about: About, groups: list[pd.DataFrame], total: pd.DataFrame) -> list:
    """Compare where winners come from, group by group."""
    split = [(frame.columns[0], _in_order(about, frame)) for frame in groups if len(frame) > 1]
    differences = [text for text in (_difference(about.words, name, frame) for name, frame in split) if text]
    answer = " ".join(differences) or about.words.say("Neither source nor size, product or owner settles a difference in how many deals are won.")
    blocks = [_winners(about, name, frame, total) for name, frame in split]
    n_wide = sum(name == "source" for name, _ in split)
    wide, short = blocks[:n_wide], blocks[n_wide:]
    pairs = [SideBySide(*short[place : place + 2]) if len(short) > place + 1 else short[place] for place in range(0, len(short), 2)]
    return [Answer(answer), *wide, *pairs]


def _in_order(about: About, frame: pd.DataFrame) -> pd.DataFrame:
    """Sizes by size; names by what they win."""
    name = frame.columns[0]
    if name != "size":
        return _best_first(about.words, frame, name)
    ordered = frame.sort_values("size", ignore_index=True)
    return ordered.assign(name=_bands(about, ordered["size"].tolist()))


def _best_first(words: Words, frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """Groups by their share, those of too few records last, with their names as a reader knows them."""
    ordered = frame.assign(few=frame["n"] < FLOOR, name=words.names(frame[column]))
    return ordered.sort_values(["few", "value", column], ascending=[True, False, True], ignore_index=True)


def _bands(about: About, ends: list[float]) -> list[str]:
    """Bands of amounts in words, from their lower ends; a missing end is that of the deals without an amount."""
    say, known = about.words.say, [end for end in ends if not missing(end)]
    bands = {}
    for end, following in zip(known, [*known[1:], None], strict=True):
        low, high = about.money(end), about.money(following)
        if following is None:
            bands[end] = say("{amount} and more", amount=low)
        else:
            bands[end] = say("under {amount}", amount=high) if end == 0 else say("{low} to {high}", low=low, high=high)
    return [say("no amount") if missing(end) else bands[end] for end in ends]


def _difference(words: Words, name: str, frame: pd.DataFrame) -> str:
    """The largest difference within a group that is more than chance."""
    known = frame[(frame["n"] >= FLOOR) & frame["value"].notna() & frame[name].notna()].sort_values("value", ascending=False)
    if len(known) < 2:
        return ""
    best, worst = known.iloc[0], known.iloc[-1]
    if not differ(best, worst, len(known)):
        return ""
    parts = {"group": words.translate(HEADS[name]), **_ends(words, best, worst)}
    return words.say("{group}: {best} wins {high} ({high_range}), {worst} {low} ({low_range}).", **parts)


def _ends(words: Words, best: pd.Series, worst: pd.Series) -> dict[str, str]:
    return {"best": str(best["name"]), "worst": str(worst["name"])} | share(words, best, "high") | share(words, worst, "low")


def _winners(about: About, name: str, frame: pd.DataFrame, total: pd.DataFrame) -> DisplayTable:
    words, say = about.words, about.words.say
    is_wide = name == "source"
    columns = [
        DisplayColumn("name", words.translate(HEADS[name])),
        DisplayColumn("n", say("Created"), "number"),
        *([DisplayColumn("n_events", say("Won so far"), "number"), DisplayColumn("n_open", say("Not known\nyet"), "number")] if is_wide else []),
        *estimate(words, say("Won within\n{days} d", days=age(total)), drawn=is_wide),
    ]
    title = words.translate(WON[name])
    if not is_wide:
        note = words.translate(SAME.get(name, N_("The same opportunities")))
        return about.table(frame, columns, title=title, note=note, limit=MOST)
    month = words.month(about.month)
    note = say("Opportunities created in the twelve months up to {month}; lost competes; 95% interval; dashed: all sources", month=month)
    return about.table(frame, columns, title=title, note=note, total=total.assign(name=say("All")), limit=12)
