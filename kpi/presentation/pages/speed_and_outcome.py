"""What goes with answering sooner, and how sure that is."""

from __future__ import annotations

import pandas as pd

from kpi.presentation import charts
from kpi.presentation.blocks import Answer, Figure, Note, SideBySide
from kpi.presentation.blocks.tables import FLOOR, DisplayTable
from kpi.presentation.pages.about import About
from kpi.presentation.pages.wording import age, differ
from kpi.schema import N_

BANDS = (N_("5 min or less"), N_("5 min to 1 h"), N_("1 h to 1 day"), N_("1 to 7 days"), N_("not within 7 days"))  # of the landmark analysis


def association(about: About, *, opportunity: pd.DataFrame, appointment: pd.DataFrame, arrivals: pd.DataFrame, gains: pd.DataFrame) -> list:
    """Show what goes with answering sooner, and how sure that is."""
    words, say, days = about.words, about.words.say, age(opportunity)
    labels = [words.translate(band) for band in BANDS]
    counts = [say("{done} of {n}", done=int(row.n_events), n=int(row.n)) for row in opportunity.itertuples()]
    xlabel, ylabel = say("became an opportunity within {days} days, share of the band", days=days), say("first answer")
    drawn = charts.plot_points(opportunity, labels, words, counts=counts, floor=FLOOR, xlabel=xlabel, ylabel=ylabel)
    n = int(opportunity["n"].sum())
    note = say("n = {n} leads of two years followed for {days} days after the edge of their band · line: Wilson 95% interval", n=n, days=days)
    shares = words.listing(
        f"{label} {words.percent(value)}" for label, value in zip(labels, opportunity["value"].where(opportunity["n"] >= FLOOR), strict=True)
    )
    alt = say("Share that became an opportunity: {shares}.", shares=shares)
    figure = Figure(drawn, say("What leads become, by delay of the first answer"), note, alt)
    caveat = Note(say("Keen leads may also be called back sooner.") + " " + _mix(about, opportunity), say("Association, not proof."))
    right = [_by_speed(about, opportunity, appointment, labels), _arrivals(about, arrivals), *_gains(about, gains)]
    return [Answer(_fastest_and_slowest(about, opportunity, labels)), SideBySide([figure, caveat], right)]


def _fastest_and_slowest(about: About, opportunity: pd.DataFrame, labels: list[str]) -> str:
    words, say = about.words, about.words.say
    known = opportunity[opportunity["n"] >= FLOOR]
    if len(known) < 2:
        return say("Too few leads have been followed long enough to compare.")
    first, last = known.iloc[0], known.iloc[-1]
    bands = {"first": labels[int(first["band"])], "last": labels[int(last["band"])], "days": int(first["horizon"])}
    shares = {"high": words.percent(first["value"]), "low": words.percent(last["value"])}
    answer = say("Answered in {first}: {high} become an opportunity within {days} days; {last}: {low}.", **bands, **shares)
    return answer if differ(first, last, len(known)) else answer + " " + say("No difference is settled.")


def _mix(about: About, opportunity: pd.DataFrame) -> str:
    words, say = about.words, about.words.say
    moved = (opportunity["standard"] - opportunity["value"]).abs()[opportunity["n"] >= FLOOR].max()
    if pd.isna(moved) or moved < 0.03:
        return say("Taking the same mix of sources changes little; what else differs is not known.")
    points = words.number(100 * moved)
    return say("Taking the same mix of sources moves a band by up to {points} points; what else differs is not known.", points=points)


def _by_speed(about: About, opportunity: pd.DataFrame, appointment: pd.DataFrame, labels: list[str]) -> DisplayTable:
    frame = opportunity.assign(label=labels, appointment=appointment["value"], appointment_n=appointment["n"])
    return about.named_table("by_speed", frame, days=age(opportunity), appointment_days=age(appointment))


def _arrivals(about: About, arrivals: pd.DataFrame) -> Note:
    words, say = about.words, about.words.say
    title = say("A check by hours.")
    inside, outside, gap = (arrivals[arrivals["arrival"] == name].iloc[0] for name in ("open", "closed", "difference"))
    if min(inside["n"], outside["n"]) < FLOOR:
        return Note(say("Too few leads come in outside opening hours to check the association."), title)
    answered, won = ({"out": words.percent(outside[name]), "inside": words.percent(inside[name])} for name in ("answered", "value"))
    wait = N_("Leads that come in outside opening hours wait for a reason of their own: {out} are answered within the hour, {inside} of the others.")
    points = words.number_range(100 * gap["low"], 100 * gap["high"])
    become = say("{out} of them become an opportunity, {inside} of the others: a difference of {range} points.", range=points, **won)
    meaning = say("It does not settle whether speed matters.")
    if gap["low"] > 0:
        meaning = say("It speaks for speed, as far as who asks at night is as keen as who asks by day.")
    return Note(f"{say(wait, **answered)} {become} {meaning}", title)


def _gains(about: About, gains: pd.DataFrame) -> list[Note]:
    words, say = about.words, about.words.say
    names = {"response.what_if_appointment": say("appointments"), "response.what_if_won": say("won deals")}
    found = [
        say(
            "{n} more {what} ({range}) if as many leads were answered within the hour as at {best} ({target})",
            what=names[row.kpi],
            n=words.number(row.value, 1),
            range=words.number_range(row.low, row.high, 1),
            best=str(row.best),
            target=words.percent(row.target),
        )
        for row in gains[gains["value"].notna()].itertuples()
    ]
    if not found:
        return []
    parts = {"month": words.month(about.month), "list": words.listing(found)}
    body = say("From the leads of {month}: {list}. As far as the association is one of cause and effect.", **parts)
    # Seen from the landmark at one hour: what happened at once is on neither side of the comparison.
    return [Note(body + " " + say("What came within the first hour is left out, so appointments are understated."), say("What if?"))]
