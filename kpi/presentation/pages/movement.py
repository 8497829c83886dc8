"""The pipeline page, on what moves: where the pipeline went, which deals are stale, why deals are lost, what it brings per day."""

from __future__ import annotations

from functools import partial

import pandas as pd

from kpi.presentation import charts
from kpi.presentation.blocks import Answer, Figure, SideBySide, tables
from kpi.presentation.blocks.tables import DisplayColumn
from kpi.presentation.pages.about import About, differ, named
from kpi.schema import N_

STEPS = {
    "new": N_("New deals"),
    "reopened": N_("Reopened"),
    "pulled_in": N_("Pulled in"),
    "owner_in": N_("Taken over"),
    "increased": N_("Value increased"),
    "decreased": N_("Value decreased"),
    "pushed_out": N_("Pushed out"),
    "won": N_("Won"),
    "lost": N_("Lost deals"),
    "deleted": N_("Deleted"),
    "owner_out": N_("Handed over"),
    "currency": N_("Exchange rates"),
}


def waterfall(about: About, account: pd.DataFrame, ages: pd.DataFrame, limits: pd.DataFrame) -> list:
    """Show where the open pipeline went in the month, and which of the open deals are stale."""
    words, say = about.words, about.words.say
    money = partial(words.money, currency=about.currency)
    value, deals = account.set_index("step")["value"], account.set_index("step")["deals"]
    parts = {"start": money(value["start"]), "end": money(value["end"]), "new": money(value["new"])}
    parts |= {"won": money(-value["won"]), "lost": money(-value["lost"])}
    if value["end"] > value["start"]:
        answer = say("The open pipeline grew from {start} to {end}: {new} of new deals, {won} won, {lost} lost.", **parts)
    elif value["end"] < value["start"]:
        answer = say("The open pipeline shrank from {start} to {end}: {new} of new deals, {won} won, {lost} lost.", **parts)
    else:
        answer = say("The open pipeline stayed at {end}: {new} of new deals, {won} won, {lost} lost.", **parts)
    steps = account[~account["step"].isin(["start", "end"]) & ((account["value"] != 0) | (account["n"] > 0))]
    first, last = (say("Open on {day}", day=words.date(day)) for day in (about.month.start, about.month.end))
    labels = [first, *(words.translate(STEPS[step]) for step in steps["step"]), last]
    counts = [words.number(n) for n in (deals["start"], *steps["n"], deals["end"])]
    drawn = charts.plot_account(
        value["start"], steps["value"].tolist(), labels, words, currency=about.currency, counts=counts, xlabel=say("open amount; right: deals")
    )
    came, left = (steps.loc[keep, "value"].sum() for keep in (steps["value"] > 0, steps["value"] < 0))
    sums = {"start": money(value["start"]), "came": money(came), "left": money(-left), "end": money(value["end"])}
    title = say("Start + in − out = end: {start} + {came} − {left} = {end}", **sums)
    note = say("All open deals, as known on each date · an exact account, no interval · hatched: a fall")
    return [Answer(answer), SideBySide(Figure(drawn, title, note, f"{title}."), _ageing(about, ages, limits))]


def _ageing(about: About, ages: pd.DataFrame, limits: pd.DataFrame) -> Figure:
    words, say = about.words, about.words.say
    stale, n = int(ages["is_stale"].sum()), len(ages)
    title = say("{stale} of {n} open deals have outlived 90% of past winners in their stage", stale=stale, n=n)
    if not limits["limit"].notna().any():
        title = say("Too few deals were won to say which are stale")
    labels = []
    for stage in limits["stage"]:
        there = ages[ages["stage"] == stage]
        total = words.money(there["amount"].sum(), about.currency)
        labels.append(
            say("{stage}\n{n} open, {stale} stale\n{total}", stage=named(words, stage), n=len(there), stale=int(there["is_stale"].sum()), total=total)
        )
    drawn = charts.plot_ageing(ages, limits, labels, words, xlabel=say("days in the present stage"))
    note = say(
        "n = {n} open deals · each mark a deal, area its amount · diamond: stale · limits from {visits} visits of won deals",
        n=n,
        visits=int(limits["n"].sum()),
    )
    alt = words.listing(
        say(
            "{stage}: {stale} of {n} stale",
            stage=named(words, stage),
            stale=int((ages["is_stale"] & (ages["stage"] == stage)).sum()),
            n=int((ages["stage"] == stage).sum()),
        )
        for stage in limits["stage"]
    )
    return Figure(drawn, title, note, say("Stale deals by stage: {stages}.", stages=alt))


def stale_deals(about: About, stale: pd.DataFrame, pushes: pd.DataFrame | None) -> list:
    """List the stale deals to decide on, and say how often closing dates are pushed out."""
    words, say = about.words, about.words.say
    total = words.money(stale["amount"].sum(), about.currency)
    answer = words.say_n(
        "{n} stale deal, worth {total}, waits for a decision.", "{n} stale deals, worth {total}, wait for a decision.", len(stale), total=total
    )
    if not len(stale):
        answer = say("No deal has outlived 90% of past winners in its stage.")
    if pushes is not None and pushes["n"].iloc[0]:
        once, twice = pushes.iloc[0], pushes.iloc[1]
        answer += " " + say(
            "Of the deals open 90 days ago, {share} have since been pushed to a later month ({range}), {twice} of {n} more than once.",
            share=words.percent(once["value"]), range=words.percent_range(once["low"], once["high"]), twice=int(twice["n_events"]), n=int(twice["n"]),
        )  # fmt: skip
    columns = [
        DisplayColumn("opportunity_id", say("Deal")),
        DisplayColumn("owner", say("Owner")),
        DisplayColumn("stage", say("Stage")),
        DisplayColumn("days", say("Days in\nstage"), "number"),
        DisplayColumn("limit", say("Stale\nafter"), "number"),
        DisplayColumn("expected_close_on", say("Expected\nclose"), "date"),
        DisplayColumn("amount", say("Amount"), "money"),
    ]
    shown = stale.assign(owner=[named(words, owner) for owner in stale["owner"]])
    title, note = say("Stale deals to decide on, largest first"), say("In their stage longer than 90% of past winners were")
    return [Answer(answer), tables.table(shown, columns, words=words, title=title, note=note, whole="lists/stale_deals.csv", currency=about.currency)]


def loss_reasons(about: About, reasons: pd.DataFrame, by_amount: pd.DataFrame) -> list:
    """Say why deals are lost."""
    words, say = about.words, about.words.say
    frame = reasons.sort_values(["n_events", "reason"], ascending=[False, True], ignore_index=True)
    answer = say("No deal was lost in the last 90 days.")
    if len(frame):
        parts = {"reason": named(words, frame["reason"].iloc[0]), "share": words.percent(frame["value"].iloc[0])}
        parts["range"] = words.percent_range(frame["low"].iloc[0], frame["high"].iloc[0])
        answer = say("Most often deals are lost for the reason {reason}: {share} ({range}).", **parts)
        if len(frame) > 1 and not differ(frame.iloc[0], frame.iloc[1]):
            answer = say("The most frequent reason for a loss is {reason}, {share} ({range}), but the intervals overlap.", **parts)
    amounts = by_amount.set_index("reason")["value"]
    shown = frame.assign(by_amount=frame["reason"].map(amounts), reason=[named(words, reason) for reason in frame["reason"]])
    columns = [
        DisplayColumn("reason", say("Reason")),
        DisplayColumn("n_events", say("Lost deals"), "number"),
        *tables.estimate(words, say("Share"), drawn=True),
        DisplayColumn("by_amount", say("Share of\nthe amount"), "percent", n="n"),
        DisplayColumn("amount", say("Amount"), "money"),
    ]
    note = say("Deals lost in the last 90 days; 95% interval")
    return [Answer(answer), tables.table(shown, columns, words=words, title=say("Why are deals lost?"), note=note, currency=about.currency)]
