"""What goes with answering sooner, and how sure that is."""

from __future__ import annotations

import pandas as pd

from kpi.presentation import charts
from kpi.presentation.blocks import Answer, Figure, Note, SideBySide, tables
from kpi.presentation.blocks.tables import DisplayColumn, DisplayTable
from kpi.presentation.pages.about import About, differ

FLOOR = 20


def association(about: About, *, opportunity: pd.DataFrame, appointment: pd.DataFrame, arrivals: pd.DataFrame, gains: pd.DataFrame) -> list:
    """Show what goes with answering sooner, and how sure that is."""
    words, say = about.words, about.words.say
    labels = speed_labels(about)
    known = opportunity[opportunity["n"] >= FLOOR]
    if len(known) > 1:
        first, last = known.iloc[0], known.iloc[-1]
        parts = {
            "first": labels[int(first["band"])],
            "high": words.percent(first["value"]),
            "last": labels[int(last["band"])],
            "low": words.percent(last["value"]),
        }
        answer = say("Answered in {first}: {high} become an opportunity within 90 days; {last}: {low}.", **parts)
        if not differ(first, last):
            answer += " " + say("The intervals overlap: no difference is settled.")
    else:
        answer = say("Too few leads have been followed long enough to compare.")
    counts = [say("{done} of {n}", done=int(row.n_events), n=int(row.n)) for row in opportunity.itertuples()]
    drawn = charts.plot_points(
        opportunity,
        labels,
        words,
        counts=counts,
        floor=FLOOR,
        xlabel=say("became an opportunity within 90 days, share of the band"),
        ylabel=say("first answer"),
    )
    note = say(
        "n = {n} leads of two years followed for 90 days after the edge of their band · line: Wilson 95% interval", n=int(opportunity["n"].sum())
    )
    shares = words.listing(f"{label} {words.percent(value)}" for label, value in zip(labels, opportunity["value"], strict=True))
    figure = Figure(
        drawn, say("What leads become, by delay of the first answer"), note, say("Share that became an opportunity: {shares}.", shares=shares)
    )
    moved = (opportunity["standard"] - opportunity["value"]).abs()[opportunity["n"] >= FLOOR].max()
    if pd.isna(moved) or moved < 0.03:
        mix = say("Taking the same mix of sources changes little; what else differs is not known.")
    else:
        mix = say(
            "Taking the same mix of sources moves a band by up to {points} points; what else differs is not known.", points=words.number(100 * moved)
        )
    caveat = Note(say("Keen leads may also be called back sooner.") + " " + mix, say("Association, not proof."))
    return [
        Answer(answer),
        SideBySide([figure, caveat], [_speed_table(about, opportunity, appointment, labels), _arrivals(about, arrivals), *_gains(about, gains)]),
    ]


def speed_labels(about: About) -> list[str]:
    """Name the bands of the landmark analysis."""
    say = about.words.say
    return [say("5 min or less"), say("5 min to 1 h"), say("1 h to 1 day"), say("1 to 7 days"), say("not within 7 days")]


def _speed_table(about: About, opportunity: pd.DataFrame, appointment: pd.DataFrame, labels: list[str]) -> DisplayTable:
    say = about.words.say
    frame = opportunity.assign(label=labels, appointment=appointment["value"], appointment_n=appointment["n"])
    columns = [
        DisplayColumn("label", say("First answer")),
        DisplayColumn("n", say("Leads"), "number"),
        DisplayColumn("value", say("Opportunity\nin 90 d"), "percent", n="n"),
        DisplayColumn("standard", say("Same mix\nof sources"), "percent", n="n"),
        DisplayColumn("appointment", say("Appointment\nin 30 d"), "percent", n="appointment_n"),
        DisplayColumn("earlier", say("Set\naside"), "number"),
    ]
    note = say("At risk at the edge of the band; set aside: opportunity or disqualification came before it")
    return tables.table(frame, columns, words=about.words, title=say("The same in figures"), note=note)


def _arrivals(about: About, arrivals: pd.DataFrame) -> Note:
    words, say = about.words, about.words.say
    inside, outside, gap = (arrivals[arrivals["arrival"] == name].iloc[0] for name in ("open", "closed", "difference"))
    if min(inside["n"], outside["n"]) < FLOOR:
        return Note(say("Too few leads come in outside opening hours to check the association."), say("A check by hours."))
    said = say(
        "Leads that come in outside opening hours wait for a reason of their own: {out} are answered within the hour, {inside} of the others.",
        out=words.percent(outside["answered"]),
        inside=words.percent(inside["answered"]),
    )
    said += " " + say(
        "{out} of them become an opportunity, {inside} of the others: a difference of {range} points.",
        out=words.percent(outside["value"]),
        inside=words.percent(inside["value"]),
        range=words.number_range(100 * gap["low"], 100 * gap["high"]),
    )
    said += " "
    settled = say("It speaks for speed, as far as who asks at night is as keen as who asks by day.")
    return Note(said + (settled if gap["low"] > 0 else say("It does not settle whether speed matters.")), say("A check by hours."))


def _gains(about: About, gains: pd.DataFrame) -> list:
    words, say = about.words, about.words.say
    names = {"response.what_if_appointment": say("appointments"), "response.what_if_won": say("won deals")}
    said = []
    for row in gains.itertuples():
        if pd.isna(row.value):
            continue
        parts = {
            "what": names[row.kpi],
            "n": words.number(row.value, 1),
            "range": words.number_range(row.low, row.high, 1),
            "best": str(row.best),
            "target": words.percent(row.target),
        }
        said.append(say("{n} more {what} ({range}) if as many leads were answered within the hour as at {best} ({target})", **parts))
    if not said:
        return []
    body = say(
        "From the leads of {month}: {list}. As far as the association is one of cause and effect.",
        month=words.month(about.month),
        list=words.listing(said),
    )
    # Seen from the landmark at one hour: what happened at once is on neither side of the comparison.
    body += " " + say("What came within the first hour is left out, so appointments are understated.")
    return [Note(body, say("What if?"))]
