"""What is done about leads: alerts followed, attempts made, and who still waits."""

from __future__ import annotations

import pandas as pd

from kpi.presentation.blocks import Answer, SideBySide, tables
from kpi.presentation.blocks.tables import DisplayColumn
from kpi.presentation.pages.about import About

HOUR = 3600.0
FLOOR = 20


def alert_follow_up(about: About, alerts: pd.DataFrame, score: pd.DataFrame | None, nurtured: pd.DataFrame) -> list:
    """Show whether the automation's alerts are followed, and what nurtured leads become."""
    words, say = about.words, about.words.say
    hour = alerts[alerts["horizon"] == HOUR].iloc[0]
    answer = say(
        "{share} of {n} alerts were followed by a person within the hour ({range}).",
        share=words.percent(hour["value"]),
        n=int(hour["n"]),
        range=words.percent_range(hour["low"], hour["high"]),
    )
    if hour["n"] < FLOOR:
        answer = say("Only {n} alerts: too few to judge.", n=int(hour["n"]))
    elif score is not None and score["n_events"].iloc[0] >= FLOOR:
        row = score.iloc[0]
        answer += " " + say(
            "At that touch the score stood at {share} of its peak (half of them between {range}).",
            share=words.percent(row["value"]),
            range=words.percent_range(row["low"], row["high"]),
        )
    delays = alerts.assign(delay=[words.duration(value) for value in alerts["horizon"]])
    columns = [
        DisplayColumn("delay", say("Within")),
        DisplayColumn("n", say("Alerts"), "number"),
        DisplayColumn("n_events", say("Followed"), "number"),
        *tables.estimate(words, say("Share")),
    ]
    scope = say("Alerts of twelve months; from the alert to the first human touch after it")
    left = tables.table(delays, columns, words=words, title=say("How soon is an alert followed?"), note=scope)
    outcomes = {
        "response.nurtured_appointment": say("appointment within 30 days"),
        "response.nurtured_opportunity": say("opportunity within 90 days"),
    }
    groups = {"nurtured": say("Nurtured"), "not": say("Not nurtured")}
    frame = nurtured.assign(name=[say("{group}: {outcome}", group=groups[row.group], outcome=outcomes[row.kpi]) for row in nurtured.itertuples()])
    columns = [DisplayColumn("name", say("Leads")), *columns[1:2], *columns[3:]]
    columns[1] = DisplayColumn("n", say("n"), "number")
    scope = say("A lead counts as nurtured only from the day it is; an association, not the effect of the automation")
    right = tables.table(frame, columns, words=words, title=say("What do nurtured leads become?"), note=scope)
    return [Answer(answer), SideBySide(left, right)]


def attempts_made(about: About, attempts: pd.DataFrame) -> list:
    """Show how often leads are tried before they are left."""
    words, say = about.words, about.words.say
    total, reached = int(attempts["n"].sum()), int(attempts["n_events"].sum())
    if not total:
        return [Answer(say("No lead is old enough yet."))]
    few = attempts[(attempts["attempts"] > 0) & (attempts["attempts"] <= 2)]
    given_up = int((few["n"] - few["n_events"]).sum())
    parts = {"share": words.percent(reached / total), "n": total}
    answer = say("{share} of {n} leads were reached in the end.", **parts) + " "
    answer += words.say_n(
        "{n} was left after one or two attempts without contact.", "{n} were left after one or two attempts without contact.", given_up
    )
    frame = attempts.assign(
        tried=[say("{n} or more", n=int(n)) if n == attempts["attempts"].max() and n >= 6 else words.number(int(n)) for n in attempts["attempts"]]
    )
    columns = [
        DisplayColumn("tried", say("Attempts in 30 days")),
        DisplayColumn("n", say("Leads"), "number"),
        DisplayColumn("share", say("Share of all"), "percent"),
        DisplayColumn("n_events", say("Reached"), "number"),
        *tables.estimate(words, say("Share reached")),
    ]
    note = say("Leads of twelve months that are at least 30 days old; reached: two-way contact. Attempts usually end with the contact")
    return [Answer(answer), tables.table(frame, columns, words=words, title=say("How often are leads tried?"), note=note)]


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
        DisplayColumn("source", say("Source")),
        DisplayColumn("owner", say("Owner")),
        DisplayColumn("waiting", say("Waiting for"), "duration"),
    ]
    queue = queue.assign(waiting=queue["waiting_hours"] * 3600)
    title = say("In this order: alerts first, then the latest inquiries")
    return [Answer(count), tables.table(queue, columns, words=words, title=title, whole="lists/waiting.csv", zone=about.zone)]
