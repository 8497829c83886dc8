"""The pipeline page, on the levers: which one change would most raise the value won over the next quarter."""

from __future__ import annotations

import pandas as pd

from kpi.presentation import charts
from kpi.presentation.blocks import Answer, Figure, tables
from kpi.presentation.blocks.tables import DisplayColumn, DisplayTable
from kpi.presentation.pages.about import About
from kpi.schema import BLANK, N_

OTHERS = "(others)"
BASES = {
    "owner": N_("best owner"),
    "team": N_("best team"),
    "source": N_("best source"),
    "quarter": N_("best quarter of the year"),
    "interval": N_("end of its 80% interval"),
}


def lever_gains(about: About, gains: pd.DataFrame, expected: pd.DataFrame) -> list:
    """Show what each lever would bring, and whether that is settled."""
    words, say = about.words, about.words.say
    known = gains[gains["value"].notna()]
    if known.empty:
        return [Answer(say("Too few deals were won in the last year to say what a change would bring."))]
    labels, moves = [_label(words, row) for row in known.itertuples()], [_move(about, row) for row in known.to_dict("records")]
    drawn = charts.plot_levers(
        known, labels, words, about.currency, moves=moves, heading=say("if it moved"), xlabel=say("change in the value won over the next 90 days")
    )
    told = [f"{label} {move}: {_gain(about, row)}" for label, move, row in zip(labels, moves, known.itertuples(), strict=True)]
    note = say(
        "n = {n} deals under way in the last year · line: 95% interval of the gain · hollow: it includes zero, the best may be no better than "
        "the rest",
        n=int(expected["n"].iloc[0]),
    )
    alt = say("Gain in won value over 90 days: {levers}.", levers=words.listing(told))
    model = say(
        "The model takes the deals open now and those to come from stage to stage, with the daily chances of the last year for their stage, their "
        "age in it and their source; a won deal counts with the mean amount of its source. A lever moves one factor to where its best owner or "
        "quarter is, as far as that is more than luck, and keeps all others: it says what goes with a change, not that the change can be made."
    )
    figure = Figure(drawn, say("Expected gain if each lever moved within its own plausible range"), note, alt, model)
    return [Answer(f"{_answer(about, known, labels, moves)} {_outlook(about, expected.iloc[0])}"), figure, _table(about, gains)]


def _answer(about: About, known: pd.DataFrame, labels: list[str], moves: list[str]) -> str:
    """What promises most, and whether that is more than chance."""
    say = about.words.say
    parts = {"lever": labels[0], "move": moves[0], "gain": _gain(about, known.iloc[0])}
    settled = [place for place, low in enumerate(known["low"]) if low > 0]
    if not settled:
        return say("What promises most is {lever} ({move}): {gain}. No lever is settled: every interval includes zero.", **parts)
    if settled[0] == 0:
        return say("What would bring most is {lever} ({move}): {gain}.", **parts)
    first = settled[0]
    parts |= {"other": labels[first], "other_move": moves[first], "other_gain": _gain(about, known.iloc[first])}
    return say(
        "What promises most is {lever} ({move}): {gain}, not settled. The largest settled gain is that of {other} ({other_move}): {other_gain}.",
        **parts,
    )


def _outlook(about: About, expected: pd.Series) -> str:
    words = about.words
    parts = {"value": words.money(expected["value"], about.currency)}
    parts["range"] = words.money_range(expected["low"], expected["high"], about.currency)
    return words.say("If things go on as in the last year, {value} ({range}) may be expected to be won in the next 90 days.", **parts)


def _table(about: About, gains: pd.DataFrame) -> DisplayTable:
    words, say = about.words, about.words.say
    shown = gains.assign(
        lever=[_label(words, row) for row in gains.itertuples()],
        moved=[_move(about, row) for row in gains.to_dict("records")],
        like=[_like(words, row) for row in gains.itertuples()],
    )
    columns = [
        DisplayColumn("lever", say("Lever")),
        DisplayColumn("moved", say("If it moved")),
        *tables.estimate(words, say("Gain"), "change"),
        DisplayColumn("value", "", "drawn", unit="money", n="n", reference=0.0),
        DisplayColumn("n", say("n"), "number"),
        DisplayColumn("like", say("As is the")),
    ]
    note = say("Next 90 days · one factor moved, the others kept · differences that may be luck are left out of the target")
    return tables.table(shown, columns, words=words, title=say("What would each change bring?"), note=note, limit=20, currency=about.currency)


def _like(words, row) -> str:
    if not row.basis:
        return words.number(None)
    doubt = [words.say("an association, not proof")] if row.kind == "response" else []
    return " · ".join([words.translate(BASES[row.basis]), *([row.best] if row.best else []), *doubt])


def _label(words, row) -> str:
    say = words.say
    if row.kind == "conversion":
        return _arrow(words, row.group) if row.group else say("Opportunity to customer")
    if row.kind == "pace":
        return say("Time in {stage}", stage=_name(words, row.group)) if row.group else say("Time to close")
    if row.kind == "inflow":
        return say("Deals from {source}", source=_name(words, row.group))
    names = {"lead_conversion": N_("Lead to opportunity"), "response": N_("Answered within the hour"), "amount": N_("Average won deal")}
    return words.translate(names[row.kind])


def _move(about: About, row: dict) -> str:
    """From where to where, with as many digits as it takes to tell them apart."""
    words = about.words
    if pd.isna(row["to"]):
        return words.number(None)
    write = {
        "rate": words.percent,
        "days": lambda value, digits: words.say("{n} d", n=words.number(value, digits)),
        "count": words.number,
        "money": lambda value, digits: words.money(value, about.currency),
    }[row["unit"]]
    for digits in (0, 1):
        ends = [write(row[name], digits) for name in ("from", "to")]
        if ends[0] != ends[1]:
            break
    return words.say("{low} → {high}", low=ends[0], high=ends[1])


def _gain(about: About, row) -> str:
    words = about.words
    parts = {"gain": words.money(row.value, about.currency, signed=True), "range": words.money_range(row.low, row.high, about.currency)}
    return words.say("{gain} ({range})", **parts)


def _arrow(words, group: str) -> str:
    stage, following = group.split(" → ", 1)
    return words.say("{stage} → {next}", stage=_name(words, stage), next=_name(words, following))


def _name(words, value: str) -> str:
    unnamed = {BLANK: N_("(blank)"), OTHERS: N_("(others)")}
    return words.translate(unnamed[value]) if value in unnamed else str(value)
