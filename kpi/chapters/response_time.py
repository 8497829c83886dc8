"""The page on response time."""

from __future__ import annotations

from itertools import pairwise

import pandas as pd

from kpi import plots, tables
from kpi.chapters.about import About, differ, unstable
from kpi.page import Answer, Figure, Note, Opening, SideBySide
from kpi.schema import BLANK
from kpi.tables import Column, Table

HOUR = 3600.0
FLOOR = 20
MONTH_SECONDS = 30 * 86_400.0


def opening(about: About, months: pd.DataFrame, waiting: pd.DataFrame) -> Opening:
    """Open the page: how many leads were answered within the hour, and whether that is unusual.

    Parameters
    ----------
    about : About
        What the page is about.
    months : DataFrame
        `headline.months` of ``response.answered_within``.
    waiting : DataFrame
        `response_time.never_answered` of the month, one row.

    Returns
    -------
    Opening
    """
    say, words, now = about.words.say, about.words, months.iloc[-1]
    if pd.isna(now["value"]):
        return about.opening("response_time", say("No leads came in in {month}.", month=words.month(about.month)))
    share = words.percent(now["value"])
    if now["signal"] and "below" in now["reason"]:
        answer = say("Only {share} of leads were answered within the hour: a signal, not the usual variation.", share=share)
    elif now["signal"]:
        answer = say("{share} of leads were answered within the hour: a signal, more than usual.", share=share)
    elif unstable(months):
        answer = say("{share} of leads were answered within the hour; the months before differ too much to call anything usual.", share=share)
    elif now["provisional"]:
        answer = say("{share} of leads were answered within the hour; there are too few months yet to say what is usual.", share=share)
    else:
        answer = say("{share} of leads were answered within the hour, as usual.", share=share)
    late = waiting.iloc[0]
    open_leads = int(late["n_events"])
    lede = words.say_n(
        "{n} lead of {month} has waited for more than a day without an answer.",
        "{n} leads of {month} have waited for more than a day without an answer.",
        open_leads,
        month=words.month(about.month),
    )
    if not pd.isna(now["lower"]) and not now["provisional"] and not unstable(months):
        lede = say("Usual: {range}.", range=words.percent_range(now["lower"], now["upper"])) + " " + lede
    return about.opening("response_time", answer, lede)


def speed(about: About, *, median: pd.DataFrame, usual_median: pd.DataFrame, bands: pd.DataFrame, change: pd.DataFrame) -> Answer:
    """Answer how fast leads are answered.

    Parameters
    ----------
    about : About
        What the page is about.
    median, usual_median : DataFrame
        `response_time.response_time` of the month and of the twelve months before, one row each.
    bands : DataFrame
        `response_time.response_bands` of the month.
    change : DataFrame
        `response_time.response_change` within one hour, one row.

    Returns
    -------
    Answer
    """
    words, say = about.words, about.words.say
    now, before, none = median.iloc[0], usual_median.iloc[0], bands.iloc[-1]
    reached = say("Half of the leads were answered within {delay}", delay=words.duration(now["value"])) if not pd.isna(now["value"]) else ""
    first = reached or say("Half of the leads have not been answered yet")
    compared = say("{first}; over the twelve months before, within {usual}.", first=first, usual=words.duration(before["value"]))
    if pd.isna(before["value"]):
        compared = first + "."
    left = {"share": words.percent(none["value"]), "waiting": int(none["n_events"]), "n": int(none["n"])}
    rest = say("{share} were not answered by a person so far ({waiting} of {n}).", **left)
    # Judged at one hour, where young and old leads stand alike: the share not answered so far is always higher among the youngest.
    return Answer(f"{compared} {_changed(about, change.iloc[0])} {rest}")


def distribution(
    about: About,
    *,
    bands: pd.DataFrame,
    usual_bands: pd.DataFrame,
    curve: pd.DataFrame,
    usual_curve: pd.DataFrame,
    within: pd.DataFrame,
    usual_within: pd.DataFrame,
) -> SideBySide:
    """Show the leads by delay, and the share answered by each delay, against the twelve months before.

    Parameters
    ----------
    about : About
        What the page is about.
    bands, usual_bands : DataFrame
        `response_time.response_bands` of the month and of the twelve months before.
    curve, usual_curve : DataFrame
        `response_time.response_curve` of both.
    within, usual_within : DataFrame
        `response_time.answered_within` of both.

    Returns
    -------
    SideBySide
    """
    words, say = about.words, about.words.say
    now, usual = _at_hour(within), _at_hour(usual_within)
    judged = {
        -1: say("Fewer answers within the hour than over the twelve months before"),
        0: say("Delays much as over the twelve months before: the intervals overlap"),
        1: say("More answers within the hour than over the twelve months before"),
    }
    labels = band_labels(about, bands)
    shares = words.listing(f"{label} {words.percent(value)}" for label, value in zip(labels, bands["value"], strict=True))
    # The youngest leads have had less time: the last two bands have no fair comparison.
    fair = usual_bands.assign(value=usual_bands["value"].where(usual_bands["horizon"].notna()))
    left = Figure(
        plots.plot_bands(bands, labels, words, past=fair, xlabel=say("share of the leads received in {month}", month=words.month(about.month))),
        judged[differ(now, usual)],
        say(
            "n = {n} leads, {open} of them still waiting · black line: 95% interval · grey tick: the twelve months before",
            n=int(bands["n"].iloc[0]),
            open=int(bands["n_open"].iloc[-1]),
        ),
        say("Share of leads by delay of the first answer: {shares}.", shares=shares),
    )
    title = say(
        "Within one hour: {now} now, {usual} over the twelve months before", now=words.percent(now["value"]), usual=words.percent(usual["value"])
    )
    drawn = plots.plot_incidence(
        curve,
        words,
        cause="answered",
        horizon=MONTH_SECONDS,
        label=say("{share} in 1 h", share=words.percent(now["value"])),
        past=usual_curve,
        past_label=say("before: {share}", share=words.percent(usual["value"])),
        ylabel=say("answered by then, share of all leads"),
        xlabel=say("time since the inquiry (logarithmic)"),
        delays=True,
        mark=HOUR,
    )
    note = say("n = {n} and {before} leads · band: 95% interval · no answer counts as still waiting", n=int(now["n"]), before=int(usual["n"]))
    points = words.listing(
        f"{words.duration(row.horizon)} {words.percent(row.value)} ({words.percent_range(row.low, row.high)})" for row in within.itertuples()
    )
    return SideBySide(left, Figure(drawn, title, note, say("Share of leads answered by a person within: {points}.", points=points)))


def clocks(about: About, both: pd.DataFrame) -> Table:
    """Show both clocks side by side.

    Parameters
    ----------
    about : About
        What the page is about.
    both : DataFrame
        `response_time.on_both_clocks`.

    Returns
    -------
    Table
    """
    say = about.words.say
    names = {"wall": say("wall clock"), "business": say("business hours only")}
    columns = [
        Column("name", say("Clock")),
        Column("median", say("Half within"), "duration", n="n"),
        Column("slow", say("Nine in ten\nwithin"), "duration", n="n"),
        Column("value", say("Answered\nin 1 h"), "percent", n="n"),
        Column("value", say("95%\ninterval"), "range", n="n"),
    ]
    count = say("n = {n} leads of {month}", n=int(both["n"].iloc[0]), month=about.words.month(about.month))
    note = count + " · " + say("Business hours: the clock stands still outside opening hours and on public holidays. – means not reached.")
    frame = both.assign(name=[names[clock] for clock in both["clock"]])
    return tables.table(frame, columns, words=about.words, title=say("Do opening hours explain the delay?"), note=note)


def week(about: About, by_hour: pd.DataFrame, both: pd.DataFrame) -> list:
    """Show when leads are answered late, by weekday and hour of the inquiry.

    Parameters
    ----------
    about : About
        What the page is about.
    by_hour : DataFrame
        `response_time.answered_within` one hour, by weekday and hour, over twelve months.
    both : DataFrame
        `response_time.on_both_clocks` of the month.

    Returns
    -------
    list of Block
        The answer; the map beside the two clocks.
    """
    words, say = about.words, about.words.say
    slots = _slots(about.hours)
    cells = by_hour.assign(slot=[next(i for i, (first, last) in enumerate(slots) if first <= hour < last) for hour in by_hour["hour"]])
    # Leads that came in less than an hour before the report date may still be answered in time: they say nothing yet.
    cells = cells.assign(known=cells["n"] - cells["n_open"])
    table = cells.groupby(["weekday", "slot"], as_index=False).agg(n=("known", "sum"), n_events=("n_events", "sum"))
    table["value"] = (table["n_events"] / table["n"].where(table["n"] > 0)).astype("float64")
    is_open = pd.DataFrame(
        [(day, slot) for day in range(7) for slot, span in enumerate(slots) if _opens(about.hours[day], span)], columns=["weekday", "slot"]
    )
    marked = table.merge(is_open.assign(open=True), on=["weekday", "slot"], how="left")
    marked["open"] = marked["open"].notna()
    sums = marked.groupby("open")[["n", "n_events"]].sum()
    parts = {name: _share(sums, flag, words) for name, flag in (("inside", True), ("outside", False))}
    answer = say("In opening hours {inside} of leads are answered within the hour, outside them {outside}.", **parts)
    title = say("Answered within the hour, by hour of the inquiry")
    note = say(
        "% of leads · n = {n} leads over twelve months, small figure: n of the cell · frame: opening hours · hatched: fewer than 20",
        n=int(table["n"].sum()),
    )
    figure = Figure(plots.plot_week(table, words, hours=slots, open_hours=is_open, floor=FLOOR), title, note, answer)
    return [Answer(answer), SideBySide(figure, clocks(about, both))]


def by_group(about: About, groups: pd.DataFrame, *, change: pd.DataFrame, total: pd.DataFrame, column: str) -> list:
    """Compare sources or people.

    Parameters
    ----------
    about : About
        What the page is about.
    groups : DataFrame
        `response_time.compared` by `column`.
    change : DataFrame
        `response_time.response_change` by `column`.
    total : DataFrame
        `response_time.answered_within` of all leads.
    column : str
        ``source`` or ``owner``.

    Returns
    -------
    list of Block
        The answer, and the table.
    """
    words, say = about.words, about.words.say
    named = groups.assign(**{column: [say("(blank)") if name == BLANK else name for name in groups[column]]})
    verdicts = {1: say("clearly more"), -1: say("clearly less"), 0: say("not settled")}
    judged = groups[column].map(change.set_index(column)["differs"])
    named["verdict"] = [verdicts[int(found)] if not pd.isna(found) and n >= FLOOR else "–" for found, n in zip(judged, groups["n"], strict=True)]
    few = named.assign(few=named["n"] < FLOOR)
    frame = few.sort_values(["few", "value", column], ascending=[True, False, True], ignore_index=True)
    empty = {"verdict": "", "before": float("nan"), "median": float("nan"), "waiting": groups["waiting"].sum()}
    last = total[total["horizon"] == HOUR].assign(**{column: say("All"), **empty})
    headings = {"source": say("Source"), "owner": say("Owner")}
    titles = {"source": say("Which sources wait longest?"), "owner": say("Whose leads wait longest?")}
    columns = [
        Column(column, headings[column]),
        Column("n", say("Leads"), "number"),
        Column("n_events", say("Answered\nin 1 h"), "number"),
        Column("value", say("Share"), "percent", n="n"),
        Column("value", say("95%\ninterval"), "range", n="n"),
        Column("value", "", "drawn", n="n"),
        Column("before", say("12 months\nbefore"), "percent"),
        Column("verdict", say("Against\nbefore")),
        Column("median", say("Half within"), "duration", n="n"),
        Column("waiting", say("Waiting over\n24 h"), "number"),
    ]
    note = say("Leads of {month}; 95% interval; dashed: all leads", month=words.month(about.month))
    table = tables.table(frame, columns, words=words, title=titles[column], note=note, total=last, limit=12)
    return [_extremes(about, frame, column), table]


def lost_time(about: About, parts: pd.DataFrame) -> list:
    """Show where the time goes on the way to an answer.

    Parameters
    ----------
    about : About
        What the page is about.
    parts : DataFrame
        `response_time.delay_parts`.

    Returns
    -------
    list of Block
        The answer, and the table.
    """
    words, say = about.words, about.words.say
    names = {
        "routing": say("Inquiry to assignment"),
        "owner": say("Assignment to first attempt"),
        "attempt": say("Inquiry to first attempt"),
        "contact": say("Inquiry to first two-way contact"),
    }
    known = parts.set_index("part")["median"]
    halves = {name: words.duration(known.get(name)) for name in names}
    if "routing" in known.index and not pd.isna(known["routing"]) and not pd.isna(known["owner"]):
        longer = say("the owner") if known["owner"] > known["routing"] else say("the assignment")
        answer = say(
            "Half of the leads are assigned within {routing} and tried within {owner} of that: most time goes with {longer}.",
            longer=longer,
            **{k: halves[k] for k in ("routing", "owner")},
        )
    else:
        answer = say(
            "Half of the leads are tried within {attempt}, and in two-way contact within {contact}.",
            attempt=halves["attempt"],
            contact=halves["contact"],
        )
    columns = [
        Column("name", say("Part of the way")),
        Column("n", say("Leads"), "number"),
        Column("median", say("Half within"), "duration", n="n"),
        Column("slow", say("Nine in ten\nwithin"), "duration", n="n"),
        Column("n_events", say("Done\nin 1 h"), "number"),
        Column("value", say("Share"), "percent", n="n"),
        Column("value", say("95%\ninterval"), "range", n="n"),
        Column("value", "", "drawn", n="n"),
    ]
    note = say("Wall clock, {month}; contact: a call that connected, a meeting held, a reply · – not reached", month=words.month(about.month))
    frame = parts.assign(name=[names[part] for part in parts["part"]])
    return [Answer(answer), tables.table(frame, columns, words=words, title=say("From inquiry to contact, part by part"), note=note)]


def association(about: About, *, opportunity: pd.DataFrame, appointment: pd.DataFrame, arrivals: pd.DataFrame, gains: pd.DataFrame) -> list:
    """Show what goes with answering sooner, and how sure that is.

    Parameters
    ----------
    about : About
        What the page is about.
    opportunity, appointment : DataFrame
        `response_time.speed_to_outcome` of both outcomes.
    arrivals : DataFrame
        `response_time.sensitivity`.
    gains : DataFrame
        `response_time.what_if`, one row or more.

    Returns
    -------
    list of Block
    """
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
    drawn = plots.plot_points(
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


def automation(about: About, alerts: pd.DataFrame, score: pd.DataFrame | None, nurtured: pd.DataFrame) -> list:
    """Show whether the automation's alerts are followed, and what nurtured leads become.

    Parameters
    ----------
    about : About
        What the page is about.
    alerts : DataFrame
        `response_time.alert_to_touch`.
    score : DataFrame or None
        `response_time.score_at_touch`, one row; None without scores.
    nurtured : DataFrame
        `response_time.nurtured` of appointments and opportunities.

    Returns
    -------
    list of Block
    """
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
        Column("delay", say("Within")),
        Column("n", say("Alerts"), "number"),
        Column("n_events", say("Followed"), "number"),
        Column("value", say("Share"), "percent", n="n"),
        Column("value", say("95%\ninterval"), "range", n="n"),
    ]
    scope = say("Alerts of twelve months; from the alert to the first human touch after it")
    left = tables.table(delays, columns, words=words, title=say("How soon is an alert followed?"), note=scope)
    outcomes = {
        "response.nurtured_appointment": say("appointment within 30 days"),
        "response.nurtured_opportunity": say("opportunity within 90 days"),
    }
    groups = {"nurtured": say("Nurtured"), "not": say("Not nurtured")}
    frame = nurtured.assign(name=[say("{group}: {outcome}", group=groups[row.group], outcome=outcomes[row.kpi]) for row in nurtured.itertuples()])
    columns = [Column("name", say("Leads")), *columns[1:2], *columns[3:]]
    columns[1] = Column("n", say("n"), "number")
    scope = say("A lead counts as nurtured only from the day it is; an association, not the effect of the automation")
    right = tables.table(frame, columns, words=words, title=say("What do nurtured leads become?"), note=scope)
    return [Answer(answer), SideBySide(left, right)]


def persistence(about: About, attempts: pd.DataFrame) -> list:
    """Show how often leads are tried before they are left.

    Parameters
    ----------
    about : About
        What the page is about.
    attempts : DataFrame
        `response_time.attempts`.

    Returns
    -------
    list of Block
    """
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
        Column("tried", say("Attempts in 30 days")),
        Column("n", say("Leads"), "number"),
        Column("share", say("Share of all"), "percent"),
        Column("n_events", say("Reached"), "number"),
        Column("value", say("Share reached"), "percent", n="n"),
        Column("value", say("95%\ninterval"), "range", n="n"),
    ]
    note = say("Leads of twelve months that are at least 30 days old; reached: two-way contact. Attempts usually end with the contact")
    return [Answer(answer), tables.table(frame, columns, words=words, title=say("How often are leads tried?"), note=note)]


def waiting_list(about: About, leads: pd.DataFrame, queue: pd.DataFrame) -> list:
    """List who is waiting now.

    Parameters
    ----------
    about : About
        What the page is about.
    leads : DataFrame
        `response_time.waiting_leads`.
    queue : DataFrame
        `response_time.waiting_queue`.

    Returns
    -------
    list of Block
        The answer, and the table.
    """
    words, say = about.words, about.words.say
    count = words.say_n(
        "{n} lead of the last twelve months had no answer after more than a day, on {day}.",
        "{n} leads of the last twelve months had no answer after more than a day, on {day}.",
        len(leads),
        day=words.moment(about.as_of, about.zone),
    )
    columns = [
        Column("lead_id", say("Lead")),
        Column("created_at", say("Received"), "when"),
        Column("source", say("Source")),
        Column("owner", say("Owner")),
        Column("waiting", say("Waiting for"), "duration"),
    ]
    queue = queue.assign(waiting=queue["waiting_hours"] * 3600)
    title = say("In this order: alerts first, then the latest inquiries")
    return [Answer(count), tables.table(queue, columns, words=words, title=title, whole="lists/waiting.csv", zone=about.zone)]


def band_labels(about: About, bands: pd.DataFrame) -> list[str]:
    """Name the bands of delay.

    Parameters
    ----------
    about : About
        What the page is about.
    bands : DataFrame
        `response_time.response_bands`.

    Returns
    -------
    list of str
    """
    words, edges = about.words, bands["horizon"].dropna().tolist()
    labels = [words.say("{high} or less", high=words.duration(edges[0]))]
    labels += [words.say("{low} to {high}", low=words.duration(low), high=words.duration(high)) for low, high in pairwise(edges)]
    return [*labels, words.say("more than {low}", low=words.duration(edges[-1])), words.say("not answered")]


def speed_labels(about: About) -> list[str]:
    """Name the bands of the landmark analysis.

    Parameters
    ----------
    about : About
        What the page is about.

    Returns
    -------
    list of str
    """
    say = about.words.say
    return [say("5 min or less"), say("5 min to 1 h"), say("1 h to 1 day"), say("1 to 7 days"), say("not within 7 days")]


def _changed(about: About, row: pd.Series) -> str:
    words, say = about.words, about.words.say
    if pd.isna(row["value"]):
        return ""
    parts = {"points": words.number(100 * row["value"], signed=True), "range": words.number_range(100 * row["low"], 100 * row["high"])}
    ways = {
        1: say("Within the hour clearly more are answered than before: {points} points ({range}).", **parts),
        -1: say("Within the hour clearly fewer are answered than before: {points} points ({range}).", **parts),
        0: say("Within the hour the change of {points} points ({range}) is no more than noise.", **parts),
    }
    return ways[int(row["differs"])]


def _speed_table(about: About, opportunity: pd.DataFrame, appointment: pd.DataFrame, labels: list[str]) -> Table:
    say = about.words.say
    frame = opportunity.assign(label=labels, appointment=appointment["value"], appointment_n=appointment["n"])
    columns = [
        Column("label", say("First answer")),
        Column("n", say("Leads"), "number"),
        Column("value", say("Opportunity\nin 90 d"), "percent", n="n"),
        Column("standard", say("Same mix\nof sources"), "percent", n="n"),
        Column("appointment", say("Appointment\nin 30 d"), "percent", n="appointment_n"),
        Column("earlier", say("Set\naside"), "number"),
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
    names = {"response.what_if_opportunity": say("opportunities"), "response.what_if_won": say("won deals")}
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
    return [Note(body, say("What if?"))]


def _at_hour(within: pd.DataFrame) -> pd.Series:
    return within[within["horizon"] == HOUR].iloc[0]


def _share(sums: pd.DataFrame, flag: bool, words) -> str:
    if flag not in sums.index or not sums.loc[flag, "n"]:
        return words.percent(None)
    return words.percent(sums.loc[flag, "n_events"] / sums.loc[flag, "n"])


def _slots(week: list) -> list[tuple[int, int]]:
    """Cut the day into hours that start and end with the opening hours, so that no slot is half open."""
    edges = sorted({0, 24} | {minute // 60 for windows in week for window in windows for minute in window if minute % 60 == 0})
    opens = min((window[0] // 60 for windows in week for window in windows), default=0)
    slots = []
    for first, last in pairwise(edges):
        pieces = 1 if last <= opens else max(1, (last - first) // 2)
        steps = [first + 2 * i for i in range(pieces)] + [last]
        slots += list(pairwise(steps))
    return slots


def _opens(windows: list, span: tuple[int, int]) -> bool:
    return any(opens <= span[0] * 60 and span[1] * 60 <= closes for opens, closes in windows)


def _extremes(about: About, frame: pd.DataFrame, column: str) -> Answer:
    words, known = about.words, frame[(frame["n"] >= FLOOR) & frame["value"].notna()]
    if len(known) < 2:
        return Answer(words.say("Too few leads to compare."))
    best, worst = known.iloc[0], known.iloc[-1]
    parts = {"best": str(best[column]), "high": words.percent(best["value"]), "worst": str(worst[column]), "low": words.percent(worst["value"])}
    parts |= {"high_range": words.percent_range(best["low"], best["high"]), "low_range": words.percent_range(worst["low"], worst["high"])}
    if differ(best, worst):
        return Answer(words.say("{best}: {high} within the hour ({high_range}). {worst}: {low} ({low_range}), the slowest.", **parts))
    return Answer(
        words.say("From {best}, {high} ({high_range}), to {worst}, {low} ({low_range}): the intervals overlap, no difference is settled.", **parts)
    )
