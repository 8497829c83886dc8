"""The levers: which one change would most raise the value won over the next quarter."""

from __future__ import annotations

import pandas as pd

from kpi.presentation import charts
from kpi.presentation.blocks import Answer, Figure
from kpi.presentation.language import NAMES, Words
from kpi.presentation.pages.about import About
from kpi.presentation.pages.wording import age, few, money
from kpi.schema import N_

OTHERS = "(others)"
BASES = NAMES["lever_bases"]
KINDS = NAMES["levers"]
MODEL = N_(
    "The model takes the deals open now and those to come from stage to stage, with the daily chances of the last year for their stage, their "
    "age in it and their source; a won deal counts with the mean amount of its source. A lever moves one factor to where its best owner or "
    "quarter is, as far as that is more than luck, and keeps all others: it says what goes with a change, not that the change can be made."
)


def lever_gains(about: About, gains: pd.DataFrame, expected: pd.DataFrame) -> list:
    """Show what each lever would bring, and whether that is settled."""
    words, say = about.words, about.words.say
    if gains["value"].isna().all() or few(expected.iloc[0]):
        return [Answer(say("Too few deals were won in the last year to say what a change would bring."))]
    days = age(gains)
    shown = gains.assign(
        lever=[_lever(words, row["kind"], row["group"]) for _, row in gains.iterrows()],
        moved=[_move(about, row) for _, row in gains.iterrows()],
        gain=[_gain(about, row) for _, row in gains.iterrows()],
        like=[_like(words, row) for _, row in gains.iterrows()],
    )
    known = shown[shown["value"].notna()]
    names, moves = known["lever"].tolist(), known["moved"].tolist()
    heading, xlabel = say("if it moved"), say("change in the value won over the next {days} days", days=days)
    drawn = charts.plot_levers(known, names, words, about.currency, moves=moves, heading=heading, xlabel=xlabel)
    note = say(
        "n = {n} deals under way in the last year · line: 95% interval of the gain · hollow: it includes zero, the best may be no better than "
        "the rest",
        n=int(expected["n"].iloc[0]),
    )
    every = words.listing(f"{row.lever} {row.moved}: {row.gain}" for row in known.itertuples())
    alt = say("Gain in won value over {days} days: {levers}.", days=days, levers=every)
    figure = Figure(drawn, say("Expected gain if each lever moved within its own plausible range"), note, alt, words.translate(MODEL))
    won = money(words, expected.iloc[0], about.currency)
    outlook = say(
        "If things go on as in the last year, {value} would be won in {days} days on average. The interval of that mean ({range}) is no range of "
        "what will come: a single quarter strays further.",
        days=days,
        **won,
    )
    return [Answer(f"{_most_promising(words, known)} {outlook}"), figure, about.named_table("levers", shown, days=days)]


def _most_promising(words: Words, gains: pd.DataFrame) -> str:
    """What promises most, and whether that is more than chance."""
    first, settled = gains.iloc[0], gains[gains["low"] > 0]
    parts = {"lever": first["lever"], "move": first["moved"], "gain": first["gain"]}
    if settled.empty:
        return words.say("What promises most is {lever} ({move}): {gain}. No lever is settled: every interval includes zero.", **parts)
    if first["low"] > 0:
        return words.say("What would bring most is {lever} ({move}): {gain}.", **parts)
    parts |= {"other": settled["lever"].iloc[0], "other_move": settled["moved"].iloc[0], "other_gain": settled["gain"].iloc[0]}
    text = N_(
        "What promises most is {lever} ({move}): {gain}, not settled. The largest settled gain is that of {other} ({other_move}): {other_gain}."
    )
    return words.say(text, **parts)


def _like(words: Words, row: pd.Series) -> str:
    if not row["basis"]:
        return words.number(None)
    doubt = words.say("an association, not proof") if row["kind"] == "response" else ""
    return " · ".join(part for part in (words.translate(BASES[row["basis"]]), row["best"], doubt) if part)


def _lever(words: Words, kind: str, group: str) -> str:
    if kind == "conversion" and group:
        stage, following = (_named(words, part) for part in group.split(" → ", 1))
        return words.say("{stage} → {next}", stage=stage, next=following)
    if kind == "pace" and group:
        return words.say("Time in {stage}", stage=_named(words, group))
    if kind == "inflow":
        return words.say("Deals from {source}", source=_named(words, group))
    return words.translate(KINDS[kind])


def _move(about: About, row: pd.Series) -> str:
    """From where to where, with as many digits as it takes to tell them apart."""
    words = about.words
    if pd.isna(row["to"]):
        return words.number(None)
    for digits in (0, 1):
        ends = [about.written(row[name], row["unit"], digits) for name in ("from", "to")]
        if ends[0] != ends[1]:
            break
    if row["unit"] == "days":
        ends = [words.say("{n} d", n=end) for end in ends]
    return words.say("{low} → {high}", low=ends[0], high=ends[1])


def _gain(about: About, row: pd.Series) -> str:
    gain = about.words.money(row["value"], about.currency, signed=True)
    return about.words.say("{gain} ({range})", gain=gain, range=about.interval(row["low"], row["high"], "money"))


def _named(words: Words, group: str) -> str:
    return words.say("(others)") if group == OTHERS else words.named(group)
