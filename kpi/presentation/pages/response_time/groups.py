"""Sources and people compared."""

from __future__ import annotations

import pandas as pd

from kpi.presentation.blocks import Answer, tables
from kpi.presentation.blocks.tables import Column
from kpi.presentation.pages.about import About, differ
from kpi.schema import BLANK

HOUR = 3600.0
FLOOR = 20


def by_group(about: About, groups: pd.DataFrame, *, change: pd.DataFrame, total: pd.DataFrame, column: str) -> list:
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
        Column(column, headings[column]),
        Column("n", say("Leads"), "number"),
        Column("n_events", say("Answered\nin 1 h"), "number"),
        Column("value", say("Share"), "percent", n="n"),
        Column("value", say("95%\ninterval"), "range", n="n"),
        Column("value", "", "drawn", n="n"),
        Column("before", say("12 months\nbefore"), "percent"),
        Column("verdict", say("Against\nbefore")),
        Column("median", say("Half within"), "duration", n="n"),
        Column("waiting", say("Waiting over\n24 h"), "number"),
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
