"""The pipeline stage by stage: how far opportunities get, where they stop, how long they stay, who went where."""

from __future__ import annotations

import pandas as pd

from kpi.presentation import charts
from kpi.presentation.blocks import Answer, Figure, SideBySide
from kpi.presentation.blocks.tables import FLOOR, DisplayColumn, DisplayTable
from kpi.presentation.language import NAMES, Words
from kpi.presentation.pages.about import About
from kpi.presentation.pages.wording import age, differ, share, window_days

MOVES = NAMES["moves"]
ALWAYS = ("forward", "won", "lost", "open")  # shown even where no deal went there
ENDS = {"on": ("forward", "skipped", "won"), "lost": ("lost",), "open": ("open",)}


def stage_conversion(
    about: About, funnel: pd.DataFrame, flow: pd.DataFrame, conversion: pd.DataFrame, stay: pd.DataFrame, moves: pd.DataFrame
) -> list:
    """Show where deals get stuck: how far they get, what share goes on from each stage, how long they stay, who went where."""
    stays = about.named_table("time_in_stage", stay, days=window_days(stay, "pipeline.time_in_stage"))
    return [
        Answer(_weakest(about.words, conversion)),
        SideBySide(_funnel(about, funnel), _flow(about, flow)),
        SideBySide(_steps(about, conversion), stays),
        _account(about, flow, moves),
    ]


def _weakest(words: Words, conversion: pd.DataFrame) -> str:
    known = conversion[conversion["value"].notna() & (conversion["n"] >= FLOOR)].sort_values("value")
    if len(known) < 2:
        return words.say("Too few deals moved to compare the stages.")
    least, second = known.iloc[0], known.iloc[1]
    parts = {"stage": str(least["stage"]), "next": str(least["next_stage"]), **share(words, least)}
    if differ(least, second, len(known)) < 0:
        return words.say("The step from {stage} to {next} loses most: {share} go on ({range}).", **parts)
    return words.say("The step from {stage} to {next} has the lowest share going on, {share} ({range}), but no difference is settled.", **parts)


def _funnel(about: About, funnel: pd.DataFrame) -> Figure:
    words, say = about.words, about.words.say
    counts = [say("{done} of {n}", done=int(row.n_events), n=int(row.n)) for row in funnel.itertuples()]
    xlabel = say("reach the stage, or go beyond it, within {days} days", days=age(funnel))
    drawn = charts.plot_shares(funnel, words.names(funnel["stage"]), words, counts=counts, xlabel=xlabel)
    known = funnel[funnel["value"].notna() & (funnel["n"] >= FLOOR)].iloc[1:]
    title = say("How far do opportunities get?")
    if len(known):
        reached = (say("{share} reach {stage}", share=words.percent(row.value), stage=words.named(row.stage)) for row in known.itertuples())
        title = say("Of the opportunities created, {reached}", reached=words.listing(reached))
    note = say(
        "As things went in the last {days} days · count: reached the stage, of those on the way to it · line: 95% interval · "
        "lost competes, open is kept",
        days=window_days(funnel, "pipeline.funnel"),
    )
    return Figure(drawn, title, note, f"{title}.")


def _flow(about: About, flow: pd.DataFrame) -> Figure:
    words, say = about.words, about.words.say
    labels, described = [], []
    for _, part in flow.groupby("position"):
        stage, n = words.named(part["stage"].iloc[0]), int(part["n"].iloc[0])
        labels.append(say("{stage} · {n} stays", stage=stage, n=n))
        ends = {name: int(part.loc[part["move"].isin(moves), "n_events"].sum()) for name, moves in ENDS.items()}
        described.append(say("{stage}: {on} of {n} went on, {lost} were lost, {open} are still open", stage=stage, n=n, **ends))
    parts = [say("on"), say("back"), say("lost"), say("still open")]
    drawn = charts.plot_flow(flow, labels, parts, words, xlabel=say("share of the stays in the stage"))
    note = say(
        "Stays in a stage during the last {days} days · blue: on to a later stage or won · hatched: back · grey: lost or deleted · light: still open",
        days=window_days(flow, "pipeline.stage_flow"),
    )
    return Figure(drawn, say("Who went where from each stage"), note, f"{words.listing(described)}.")


def _steps(about: About, conversion: pd.DataFrame) -> DisplayTable:
    words, say = about.words, about.words.say
    ends = zip(words.names(conversion["stage"]), words.names(conversion["next_stage"]), strict=True)
    steps = [say("{stage} → {next}", stage=stage, next=following) for stage, following in ends]
    days = window_days(conversion, "pipeline.stage_conversion")
    return about.named_table("stage_conversion", conversion.assign(step=steps), days=days, horizon=age(conversion))


def _account(about: About, flow: pd.DataFrame, moves: pd.DataFrame) -> DisplayTable:
    words, say = about.words, about.words.say
    wide = flow.pivot(index=["position", "stage", "n"], columns="move", values="n_events").reset_index()
    shown = [move for move in MOVES if move in wide and (wide[move].sum() or move in ALWAYS)]
    columns = [DisplayColumn("stage", say("Stage")), DisplayColumn("n", say("Stays"), "number")]
    columns += [DisplayColumn(move, words.translate(MOVES[move]), "number") for move in shown]
    days = window_days(flow, "pipeline.stage_flow")
    note = say("Stays in a stage during the last {days} days and how they ended; each row adds up · an exact account, no interval", days=days)
    note += " · " + say("deals reopened: {n}", n=int(moves.set_index("move")["value"]["reopened"]))
    return about.table(wide, columns, title=say("Who went where?"), note=note)
