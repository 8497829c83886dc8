"""The pipeline page, stage by stage: how far opportunities get, where they stop, how long they stay, who went where."""

from __future__ import annotations

import pandas as pd

from kpi.presentation import charts
from kpi.presentation.blocks import Answer, Figure, SideBySide, tables
from kpi.presentation.blocks.tables import DisplayColumn, DisplayTable
from kpi.presentation.pages.about import About, differ, named
from kpi.schema import N_

MOVES = {
    "forward": N_("Next\nstage"),
    "skipped": N_("Passed\nover one"),
    "back": N_("Back"),
    "won": N_("Won"),
    "lost": N_("Lost deals"),
    "deleted": N_("Deleted"),
    "open": N_("Still\nopen"),
}


def stage_conversion(
    about: About, funnel: pd.DataFrame, flow: pd.DataFrame, conversion: pd.DataFrame, stay: pd.DataFrame, moves: pd.DataFrame
) -> list:
    """Show where deals get stuck: how far they get, what share goes on from each stage, how long they stay, who went where."""
    return [
        Answer(_weakest(about.words, conversion)),
        SideBySide(_funnel(about, funnel), _flow(about, flow)),
        SideBySide(_steps(about, conversion), _stays(about, stay)),
        _account(about, flow, moves),
    ]


def _weakest(words, conversion: pd.DataFrame) -> str:
    known = conversion[conversion["value"].notna()].sort_values("value")
    if len(known) < 2:
        return words.say("Too few deals moved to compare the stages.")
    least, second = known.iloc[0], known.iloc[1]
    parts = {"stage": str(least["stage"]), "next": str(least["next_stage"]), "share": words.percent(least["value"])}
    parts["range"] = words.percent_range(least["low"], least["high"])
    if differ(least, second) < 0:
        return words.say("The step from {stage} to {next} loses most: {share} go on ({range}).", **parts)
    return words.say("The step from {stage} to {next} has the lowest share going on, {share} ({range}), but the intervals overlap.", **parts)


def _funnel(about: About, funnel: pd.DataFrame) -> Figure:
    words, say = about.words, about.words.say
    labels = [named(words, stage) for stage in funnel["stage"]]
    counts = [say("{done} of {n}", done=int(row.n_events), n=int(row.n)) for row in funnel.itertuples()]
    drawn = charts.plot_shares(funnel, labels, words, counts=counts, xlabel=say("reach the stage, or go beyond it, within 180 days"))
    known = funnel[funnel["value"].notna()]
    reached = words.listing(
        say("{share} reach {stage}", share=words.percent(row.value), stage=named(words, row.stage)) for row in known.iloc[1:].itertuples()
    )
    title = say("Of the opportunities created, {reached}", reached=reached) if len(known) > 1 else say("How far do opportunities get?")
    note = say(
        "As things went in the last 90 days · count: reached the stage, of those on the way to it · line: 95% interval · lost competes, open is kept"
    )
    return Figure(drawn, title, note, f"{title}.")


def _flow(about: About, flow: pd.DataFrame) -> Figure:
    words, say = about.words, about.words.say
    firsts = flow.drop_duplicates("position").sort_values("position")
    labels = [say("{stage} · {n} stays", stage=named(words, row.stage), n=int(row.n)) for row in firsts.itertuples()]
    parts = [say("on"), say("back"), say("lost"), say("still open")]
    drawn = charts.plot_flow(flow, labels, parts, words, xlabel=say("share of the stays in the stage"))
    note = say(
        "Stays in a stage during the last 90 days · blue: on to a later stage or won · hatched: back · grey: lost or deleted · light: still open"
    )
    alt = words.listing(
        say(
            "{stage}: {on} of {n} went on, {lost} were lost, {open} are still open",
            stage=named(words, stage), n=int(part["n"].iloc[0]),
            **{name: int(part.loc[part["move"].isin(moves), "n_events"].sum())
               for name, moves in (("on", ("forward", "skipped", "won")), ("lost", ("lost",)), ("open", ("open",)))},
        )
        for (_, stage), part in flow.groupby(["position", "stage"])
    )  # fmt: skip
    return Figure(drawn, say("Who went where from each stage"), note, f"{alt}.")


def _steps(about: About, conversion: pd.DataFrame) -> DisplayTable:
    words, say = about.words, about.words.say
    steps = [say("{stage} → {next}", stage=named(words, row.stage), next=named(words, row.next_stage)) for row in conversion.itertuples()]
    columns = [
        DisplayColumn("step", say("Step")),
        DisplayColumn("n", say("Deals"), "number"),
        DisplayColumn("n_events", say("Went\non"), "number"),
        *tables.estimate(words, say("Share")),
    ]
    note = say("Deals in the stage during the last 90 days · within 180 days of reaching it · lost competes, open is kept")
    title = say("Share that goes on to the next stage or beyond")
    return tables.table(conversion.assign(step=steps), columns, words=words, title=title, note=note)


def _stays(about: About, stay: pd.DataFrame) -> DisplayTable:
    words, say = about.words, about.words.say
    columns = [
        DisplayColumn("stage", say("Stage")),
        DisplayColumn("n", say("Visits"), "number"),
        DisplayColumn("n_open", say("Still\nthere"), "number"),
        *tables.estimate(words, say("Half over\nwithin, days"), "number"),
    ]
    scope = say("Visits to a stage during the last 90 days; those still going on are kept (Kaplan-Meier)")
    shown = stay.assign(stage=[named(words, stage) for stage in stay["stage"]])
    return tables.table(shown, columns, words=words, title=say("How long do deals stay in a stage?"), note=scope)


def _account(about: About, flow: pd.DataFrame, moves: pd.DataFrame) -> DisplayTable:
    words, say = about.words, about.words.say
    wide = flow.pivot(index=["position", "stage", "n"], columns="move", values="n_events").reset_index()
    seen = [move for move in MOVES if move in wide and (wide[move].sum() or move in ("forward", "won", "lost", "open"))]
    columns = [DisplayColumn("stage", say("Stage")), DisplayColumn("n", say("Stays"), "number")]
    columns += [DisplayColumn(move, words.translate(MOVES[move]), "number") for move in seen]
    note = say("Stays in a stage during the last 90 days and how they ended; each row adds up · an exact account, no interval")
    often = moves.set_index("move")["value"]
    note += " · " + say("deals reopened: {n}", n=int(often["reopened"]))
    wide = wide.assign(stage=[named(words, stage) for stage in wide["stage"]])
    return tables.table(wide, columns, words=words, title=say("Who went where?"), note=note)
