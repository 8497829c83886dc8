"""What is done about leads: alerts followed, attempts made, and who still waits."""

from __future__ import annotations

import pandas as pd

from kpi.presentation.blocks import Answer, SideBySide
from kpi.presentation.blocks.tables import FLOOR, DisplayColumn, DisplayTable, columns_of, estimate
from kpi.presentation.pages.about import About
from kpi.presentation.pages.wording import HOUR, age, at, share
from kpi.schema import N_

OUTCOMES = {
    "response.nurtured_appointment": N_("appointment within {days} days"),
    "response.nurtured_opportunity": N_("opportunity within {days} days"),
}


def alert_follow_up(about: About, alerts: pd.DataFrame, score: pd.DataFrame | None, nurtured: pd.DataFrame) -> list:
    """Show whether the automation's alerts are followed, and what nurtured leads become."""
    words, say = about.words, about.words.say
    hour = at(alerts, HOUR)
    answer = say("{share} of {n} alerts were followed by a person within the hour ({range}).", n=int(hour["n"]), **share(words, hour))
    if hour["n"] < FLOOR:
        answer = say("Only {n} alerts: too few to judge.", n=int(hour["n"]))
    elif score is not None and score["n_events"].iloc[0] >= FLOOR:
        peak = share(words, score.iloc[0])
        answer += " " + say("At that touch the score stood at {share} of its peak (half of them between {range}).", **peak)
    columns = [
        DisplayColumn("delay", say("Within")),
        *columns_of("number", {"n": say("Alerts"), "n_events": say("Followed")}),
        *estimate(words, say("Share")),
    ]
    delays = alerts.assign(delay=[words.duration(value) for value in alerts["horizon"]])
    note = say("Alerts of twelve months; from the alert to the first human touch after it")
    left = about.table(delays, columns, title=say("How soon is an alert followed?"), note=note)
    return [Answer(answer), SideBySide(left, _nurtured(about, nurtured))]


def _nurtured(about: About, nurtured: pd.DataFrame) -> DisplayTable:
    say = about.words.say
    groups = {"nurtured": say("Nurtured"), "not": say("Not nurtured")}
    outcomes = [(groups[row.group], say(OUTCOMES[row.kpi], days=int(row.horizon))) for row in nurtured.itertuples()]
    names = [say("{group}: {outcome}", group=group, outcome=outcome) for group, outcome in outcomes]
    columns = [DisplayColumn("name", say("Leads")), DisplayColumn("n", say("n"), "number"), *estimate(about.words, say("Share"))]
    note = say("A lead counts as nurtured only from the day it is; an association, not the effect of the automation")
    return about.table(nurtured.assign(name=names), columns, title=say("What do nurtured leads become?"), note=note)


def attempts_made(about: About, attempts: pd.DataFrame) -> list:
    """Show how often leads are tried before they are left."""
    words, say = about.words, about.words.say
    total, reached = int(attempts["n"].sum()), int(attempts["n_events"].sum())
    if not total:
        return [Answer(say("No lead is old enough yet."))]
    few = attempts[(attempts["attempts"] > 0) & (attempts["attempts"] <= 2)]
    answer = say("{share} of {n} leads were reached in the end.", share=words.percent(reached / total), n=total) + " "
    answer += words.say_n(
        "{n} was left after one or two attempts without contact.",
        "{n} were left after one or two attempts without contact.",
        int((few["n"] - few["n_events"]).sum()),
    )
    most, days = attempts["attempts"].max(), age(attempts)
    tried = [say("{n} or more", n=int(n)) if n == most and n >= 6 else words.number(int(n)) for n in attempts["attempts"]]
    columns = [
        DisplayColumn("tried", say("Attempts in {days} days", days=days)),
        DisplayColumn("n", say("Leads"), "number"),
        DisplayColumn("share", say("Share of all"), "percent"),
        DisplayColumn("n_events", say("Reached"), "number"),
        *estimate(words, say("Share reached")),
    ]
    note = say("Leads of twelve months that are at least {days} days old; reached: two-way contact. Attempts usually end with the contact", days=days)
    return [Answer(answer), about.table(attempts.assign(tried=tried), columns, title=say("How often are leads tried?"), note=note)]


def waiting_list(about: About, leads: pd.DataFrame, queue: pd.DataFrame) -> list:
    """List who is waiting now."""
    words, say = about.words, about.words.say
    count = words.say_n(
        "{n} lead of the last twelve months had no answer after more than a day, on {day}.",
        "{n} leads of the last twelve months had no answer after more than a day, on {day}.",
        len(leads),
        day=words.moment(about.as_of, about.zone),
    )
    columns = [
        DisplayColumn("lead_id", say("Lead")),
        DisplayColumn("created_at", say("Received"), "when"),
        *columns_of("text", {"source": say("Source"), "owner": say("Owner")}),
        DisplayColumn("waiting", say("Waiting for"), "duration"),
    ]
    shown, title = queue.assign(waiting=queue["waiting_hours"] * HOUR), say("In this order: alerts first, then the latest inquiries")
    return [Answer(count), about.table(shown, columns, title=title, whole="lists/waiting.csv")]
