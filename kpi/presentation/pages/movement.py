"""What moves in the pipeline: where its value went in the month, which deals are stale, why deals are lost."""

from __future__ import annotations

import pandas as pd

from kpi.presentation import charts
from kpi.presentation.blocks import Answer, Figure, SideBySide
from kpi.presentation.language import NAMES
from kpi.presentation.pages.about import About
from kpi.presentation.pages.wording import differ, few, length, share, window_days
from kpi.schema import N_

STEPS = NAMES["pipeline_steps"]
CHANGES = {
    1: N_("The open pipeline grew from {start} to {end}: {new} of new deals, {won} won, {lost} lost."),
    -1: N_("The open pipeline shrank from {start} to {end}: {new} of new deals, {won} won, {lost} lost."),
    0: N_("The open pipeline stayed at {end}: {new} of new deals, {won} won, {lost} lost."),
}


def waterfall(about: About, account: pd.DataFrame, ages: pd.DataFrame, limits: pd.DataFrame) -> list:
    """Show where the open pipeline went in the month, and which of the open deals are stale."""
    words, say = about.words, about.words.say
    value, deals = account.set_index("step")["value"], account.set_index("step")["deals"]
    parts = {"start": value["start"], "end": value["end"], "new": value["new"], "won": -value["won"], "lost": -value["lost"]}
    parts = {name: about.money(amount) for name, amount in parts.items()}
    change = value["end"] - value["start"]
    answer = words.say_some(CHANGES[1 if change > 0 else -1 if change < 0 else 0], parts)
    steps = account[~account["step"].isin(["start", "end"]) & ((account["value"] != 0) | (account["n"] > 0))]
    first, last = (say("Open on {day}", day=words.date(day)) for day in (about.month.start, about.month.end))
    labels = [first, *(words.translate(STEPS[step]) for step in steps["step"]), last]
    counts = [words.number(n) for n in (deals["start"], *steps["n"], deals["end"])]
    xlabel = say("open amount; right: deals")
    drawn = charts.plot_account(value["start"], steps["value"].tolist(), labels, words, currency=about.currency, counts=counts, xlabel=xlabel)
    came, left = about.money(steps["value"].clip(lower=0).sum()), about.money(-steps["value"].clip(upper=0).sum())
    title = say("Start + in − out = end: {start} + {came} − {left} = {end}", start=parts["start"], came=came, left=left, end=parts["end"])
    note = say("All open deals, as known on each date · an exact account, no interval · hatched: a fall")
    return [Answer(answer), SideBySide(Figure(drawn, title, note, f"{title}."), _ageing(about, ages, limits))]


def _ageing(about: About, ages: pd.DataFrame, limits: pd.DataFrame) -> Figure:
    words, say = about.words, about.words.say
    if limits["limit"].notna().any():
        stale = int(ages["is_stale"].sum())
        title = say("{stale} of {n} open deals have outlived 90% of past winners in their stage", stale=stale, n=len(ages))
    else:
        title = say("Too few deals were won to say which are stale")
    labels, described = [], []
    for stage in limits["stage"]:
        there = ages[ages["stage"] == stage]
        parts = {"stage": words.named(stage), "n": len(there), "stale": int(there["is_stale"].sum())}
        labels.append(say("{stage}\n{n} open, {stale} stale\n{total}", total=about.money(there["amount"].sum()), **parts))
        described.append(say("{stage}: {stale} of {n} stale", **parts))
    drawn = charts.plot_ageing(ages, limits, labels, words, xlabel=say("days in the present stage"))
    counts = {"n": len(ages), "visits": int(limits["n"].sum())}
    note = say("n = {n} open deals · each mark a deal, area its amount · diamond: stale · limits from {visits} visits of won deals", **counts)
    return Figure(drawn, title, note, say("Stale deals by stage: {stages}.", stages=words.listing(described)))


def stale_deals(about: About, stale: pd.DataFrame, pushes: pd.DataFrame | None) -> list:
    """List the stale deals to decide on, and say how often closing dates are pushed out."""
    words, say = about.words, about.words.say
    answer = say("No deal has outlived 90% of past winners in its stage.")
    if len(stale):
        answer = words.say_n(
            "{n} stale deal, worth {total}, waits for a decision.",
            "{n} stale deals, worth {total}, wait for a decision.",
            len(stale),
            total=about.money(stale["amount"].sum()),
        )
    if pushes is not None and not few(pushes.iloc[0]):
        once, twice = pushes.iloc[0], pushes.iloc[1]
        text = N_("Of the deals open {days} days ago, {share} have since been pushed to a later month ({range}), {twice} of {n} more than once.")
        answer += " " + say(text, days=length(once), twice=int(twice["n_events"]), n=int(twice["n"]), **share(words, once))
    return [Answer(answer), about.named_table("stale_deals", stale)]


def loss_reasons(about: About, reasons: pd.DataFrame, by_amount: pd.DataFrame) -> list:
    """Say why deals are lost."""
    words, say = about.words, about.words.say
    frame = reasons.sort_values(["n_events", "reason"], ascending=[False, True], ignore_index=True)
    days = window_days(frame, "pipeline.loss_reasons")
    answer = say("No deal was lost in the last {days} days.", days=days)
    if len(frame) and few(frame.iloc[0]):
        parts = {"reason": words.named(frame["reason"].iloc[0]), "done": int(frame["n_events"].iloc[0]), "n": int(frame["n"].iloc[0])}
        answer = say("Most often deals are lost for the reason {reason}: {done} of {n}; too few for a rate.", **parts)
    elif len(frame):
        parts = {"reason": words.named(frame["reason"].iloc[0]), **share(words, frame.iloc[0])}
        answer = say("Most often deals are lost for the reason {reason}: {share} ({range}).", **parts)
        if len(frame) > 1 and not differ(frame.iloc[0], frame.iloc[1], len(frame)):
            answer = say("The most frequent reason for a loss is {reason}, {share} ({range}), but no difference is settled.", **parts)
    shown = frame.assign(by_amount=frame["reason"].map(by_amount.set_index("reason")["value"]))
    return [Answer(answer), about.named_table("loss_reasons", shown, days=days)]
