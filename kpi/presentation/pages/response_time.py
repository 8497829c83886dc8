"""The page on response time: how fast leads are answered, where the time goes, what follows alerts and attempts, who still waits."""

from __future__ import annotations

from itertools import pairwise

import pandas as pd

from kpi.presentation import charts
from kpi.presentation.blocks import Answer, Block, Figure, Note, Opening, SideBySide
from kpi.presentation.blocks.tables import FLOOR, DisplayTable
from kpi.presentation.language import NAMES
from kpi.presentation.pages.about import About
from kpi.presentation.pages.wording import HOUR, Pair, age, at, counted, differ, few, share, unstable
from kpi.schema import N_

MONTH_SECONDS = 30 * 86_400.0


def opening(about: About, months: pd.DataFrame, waiting: pd.DataFrame) -> Opening:
    """Open the page: how many leads were answered within the hour, and whether that is unusual."""
    words, say = about.words, about.words.say
    if months.empty or pd.isna(months["value"].iloc[-1]):
        return about.opening("response_time", say("No leads came in in {month}.", month=words.month(about.month)))
    now = months.iloc[-1]
    if few(now):
        return about.opening("response_time", counted(words, now.fillna({"n_events": round(now["value"] * now["n"])})))
    has_usual = not now["provisional"] and not unstable(months)
    if now["signal"]:
        below = N_("Only {share} of leads were answered within the hour: a signal, not the usual variation.")
        text = below if "below" in now["reason"] else N_("{share} of leads were answered within the hour: a signal, more than usual.")
    elif has_usual:
        text = N_("{share} of leads were answered within the hour, as usual.")
    elif unstable(months):
        text = N_("{share} of leads were answered within the hour; the months before differ too much to call anything usual.")
    else:
        text = N_("{share} of leads were answered within the hour; there are too few months yet to say what is usual.")
    lede = words.say_n(
        "{n} lead of {month} has waited for more than a day without an answer.",
        "{n} leads of {month} have waited for more than a day without an answer.",
        int(waiting["n_events"].iloc[0]),
        month=words.month(about.month),
    )
    if not pd.isna(now["lower"]) and has_usual:
        lede = say("Usual: {range}.", range=words.percent_range(now["lower"], now["upper"])) + " " + lede
    return about.opening("response_time", say(text, share=words.percent(now["value"])), lede)


def speed(about: About, *, median: pd.DataFrame, usual_median: pd.DataFrame, bands: pd.DataFrame, change: pd.DataFrame) -> Answer:
    """Answer how fast leads are answered."""
    words, say = about.words, about.words.say
    now, before, none = median.iloc[0], usual_median.iloc[0], bands.iloc[-1]
    if few(now):
        return Answer(say("{waiting} of {n} leads were not answered by a person so far.", waiting=int(none["n_events"]), n=int(none["n"])))
    first = say("Half of the leads have not been answered yet")
    if not pd.isna(now["value"]):
        first = say("Half of the leads were answered within {delay}", delay=words.duration(now["value"]))
    compared = f"{first}."
    if not pd.isna(before["value"]) and not few(before) and about.months_before > 1:
        text = N_("{first}; over the {months} months before, within {usual}.")
        compared = say(text, first=first, usual=words.duration(before["value"]), months=about.months_before)
    left = {"share": words.percent(none["value"]), "waiting": int(none["n_events"]), "n": int(none["n"])}
    rest = say("{share} were not answered by a person so far ({waiting} of {n}).", **left)
    # Judged at one hour, where young and old leads stand alike: the share not answered so far is always higher among the youngest.
    return Answer(f"{compared} {_changed(about, change.iloc[0])} {rest}")


def distribution(about: About, *, bands: Pair, curve: Pair, within: Pair) -> Block:
    """Show the leads by delay, and the share answered by each delay, against the twelve months before."""
    words, say = about.words, about.words.say
    now, usual, (delays, usual_delays) = at(within[0], HOUR), at(within[1], HOUR), bands
    if few(now):
        return Note(say("Fewer than {floor} leads: too few to draw.", floor=FLOOR))
    titles = {
        -1: N_("Fewer answers within the hour than over the {months} months before"),
        0: N_("Within the hour no settled difference from the {months} months before"),
        1: N_("More answers within the hour than over the {months} months before"),
    }
    compared = not few(usual) and about.months_before > 1
    labels = band_labels(about, delays)
    per_band = words.listing(f"{label} {words.percent(value)}" for label, value in zip(labels, delays["value"], strict=True))
    # The youngest leads have had less time: the last two bands have no fair comparison.
    fair = usual_delays.assign(value=usual_delays["value"].where(usual_delays["horizon"].notna()))
    month = words.month(about.month)
    counts = {"n": int(delays["n"].iloc[0]), "open": int(delays["n_open"].iloc[-1])}
    left = Figure(
        charts.plot_bands(delays, labels, words, past=fair if compared else None, xlabel=say("share of the leads received in {month}", month=month)),
        say(titles[differ(now, usual)], months=about.months_before) if compared else say("Share of leads by delay of the first answer"),
        say("n = {n} leads, {open} of them still waiting · black line: 95% interval · grey tick: before", **counts),
        say("Share of leads by delay of the first answer: {shares}.", shares=per_band),
    )
    shares = {"now": words.percent(now["value"]), "usual": words.percent(usual["value"])}
    title = say("Within one hour: {now}", now=shares["now"])
    if compared:
        title = say("Within one hour: {now} now, {usual} over the {months} months before", months=about.months_before, **shares)
    drawn = charts.plot_incidence(
        curve[0],
        words,
        cause="answered",
        horizon=MONTH_SECONDS,
        label=say("{share} in 1 h", share=shares["now"]),
        past=curve[1] if compared else None,
        past_label=say("before: {share}", share=shares["usual"]),
        ylabel=say("answered by then, share of all leads"),
        xlabel=say("time since the inquiry (logarithmic)"),
        delays=True,
        mark=HOUR,
    )
    note = say("n = {n} and {before} leads · band: 95% interval · no answer counts as still waiting", n=int(now["n"]), before=int(usual["n"]))
    points = words.listing(
        f"{words.duration(row.horizon)} {words.percent(row.value)} ({words.percent_range(row.low, row.high)})" for row in within[0].itertuples()
    )
    return SideBySide(left, Figure(drawn, title, note, say("Share of leads answered by a person within: {points}.", points=points)))


def lost_time(about: About, parts: pd.DataFrame) -> list:
    """Show where the time goes on the way to an answer."""
    words, say = about.words, about.words.say
    names = {
        "routing": say("Inquiry to assignment"),
        "owner": say("Assignment to first attempt"),
        "attempt": say("Inquiry to first attempt"),
        "contact": say("Inquiry to first two-way contact"),
    }
    known = parts.set_index("part")["median"]
    halves = {name: words.duration(known.get(name)) for name in names}
    if "routing" in known.index and known[["routing", "owner"]].notna().all():
        longer = say("the owner" if known["owner"] > known["routing"] else "the assignment")
        assigned = {"routing": halves["routing"], "owner": halves["owner"], "longer": longer}
        answer = say("Half of the leads are assigned within {routing} and tried within {owner} of that: most time goes with {longer}.", **assigned)
    elif "contact" in known.index:
        tried = {"attempt": halves["attempt"], "contact": halves["contact"]}
        answer = say("Half of the leads are tried within {attempt}, and in two-way contact within {contact}.", **tried)
    else:
        answer = say("Half of the leads are tried within {attempt}.", attempt=halves["attempt"])
    table = about.named_table("delay_parts", parts.assign(name=parts["part"].map(names)), month=words.month(about.month))
    return [table] if few(parts.iloc[0]) else [Answer(answer), table]


def band_labels(about: About, bands: pd.DataFrame) -> list[str]:
    """Name the bands of delay."""
    words, edges = about.words, bands["horizon"].dropna().tolist()
    labels = [words.say("{high} or less", high=words.duration(edges[0]))]
    labels += [words.say("{low} to {high}", low=words.duration(low), high=words.duration(high)) for low, high in pairwise(edges)]
    return [*labels, words.say("more than {low}", low=words.duration(edges[-1])), words.say("not answered")]


def _changed(about: About, row: pd.Series) -> str:
    words, say = about.words, about.words.say
    if pd.isna(row["value"]) or few(row):
        return ""
    sentences = {
        1: N_("Within the hour clearly more are answered than before: {points} points ({range})."),
        -1: N_("Within the hour clearly fewer are answered than before: {points} points ({range})."),
        0: N_("Within the hour the change of {points} points ({range}) is no more than noise."),
    }
    parts = {"points": words.number(100 * row["value"], signed=True), "range": words.number_range(100 * row["low"], 100 * row["high"])}
    return say(sentences[int(row["differs"])], **parts)


def hours_of_week(about: About, by_hour: pd.DataFrame, both: pd.DataFrame) -> list:
    """Show when leads are answered late, by weekday and hour of the inquiry."""
    words, say = about.words, about.words.say
    slots = _slots(about.hours)
    # Leads that came in less than an hour before the report date may still be answered in time: they say nothing yet.
    known = by_hour.assign(
        n=by_hour["n"] - by_hour["n_open"],
        slot=[next(i for i, (first, last) in enumerate(slots) if first <= hour < last) for hour in by_hour["hour"]],
    )
    table = known.groupby(["weekday", "slot"], as_index=False)[["n", "n_events"]].sum()
    table["value"] = (table["n_events"] / table["n"].where(table["n"] > 0)).astype("float64")
    open_slots = [(day, slot) for day in range(7) for slot, span in enumerate(slots) if _opens(about.hours[day], span)]
    is_open = pd.Series([cell in open_slots for cell in zip(table["weekday"], table["slot"], strict=True)], index=table.index, dtype="bool")
    parts = {name: _share(about, table[inside]) for name, inside in (("inside", is_open), ("outside", ~is_open))}
    answer = say("Answered within the hour: {inside} in opening hours, {outside} outside them.", **parts)
    n = int(table["n"].sum())
    note = say("% of leads · n = {n} leads over twelve months, small figure: n of the cell · frame: opening hours · hatched: fewer than 20", n=n)
    framed = pd.DataFrame(open_slots, columns=["weekday", "slot"])
    drawn = charts.plot_week(table, words, hours=slots, open_hours=framed, floor=FLOOR)
    return [Answer(answer), SideBySide(Figure(drawn, say("Answered within the hour, by hour of the inquiry"), note, answer), clocks(about, both))]


def clocks(about: About, both: pd.DataFrame) -> DisplayTable:
    """Show both clocks side by side."""
    say = about.words.say
    names = {"wall": say("wall clock"), "business": say("business hours only")}
    more = say("Business hours: the clock stands still outside opening hours and on public holidays. – means not reached.")
    parts = {"n": int(both["n"].iloc[0]), "month": about.words.month(about.month)}
    return about.named_table("clocks", both.assign(name=both["clock"].map(names)), more=more, **parts)


def _share(about: About, cells: pd.DataFrame) -> str:
    n = cells["n"].sum()
    if n >= FLOOR:
        return about.words.percent(cells["n_events"].sum() / n)
    return about.words.say("{done} of {n}", done=int(cells["n_events"].sum()), n=int(n))


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


OUTCOMES = NAMES["nurtured"]


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
    delays = alerts.assign(delay=[words.duration(value) for value in alerts["horizon"]])
    return [Answer(answer), SideBySide(about.named_table("alerts", delays), _nurtured(about, nurtured))]


def _nurtured(about: About, nurtured: pd.DataFrame) -> DisplayTable:
    say = about.words.say
    groups = {"nurtured": say("Nurtured"), "not": say("Not nurtured")}
    outcomes = [(groups[row.group], say(OUTCOMES[row.kpi], days=int(row.horizon))) for row in nurtured.itertuples()]
    names = [say("{group}: {outcome}", group=group, outcome=outcome) for group, outcome in outcomes]
    more = say("–: too few were under observation in the first days to say") if nurtured["value"].isna().any() else ""
    return about.named_table("nurtured", nurtured.assign(name=names), more=more)


def attempts_made(about: About, attempts: pd.DataFrame) -> list:
    """Show how often leads are tried before they are left."""
    words, say = about.words, about.words.say
    total, reached = int(attempts["n"].sum()), int(attempts["n_events"].sum())
    if not total:
        return [Answer(say("No lead is old enough yet."))]
    few = attempts[(attempts["attempts"] > 0) & (attempts["attempts"] <= 2)]
    answer = say("{share} of {n} leads were reached in the end.", share=words.percent(reached / total), n=total) + " "
    if total < FLOOR:
        answer = say("{done} of {n} leads were reached in the end.", done=reached, n=total) + " "
    answer += words.say_n(
        "{n} was left after one or two attempts without contact.",
        "{n} were left after one or two attempts without contact.",
        int((few["n"] - few["n_events"]).sum()),
    )
    most = attempts["attempts"].max()
    tried = [say("{n} or more", n=int(n)) if n == most and n >= 6 else words.number(int(n)) for n in attempts["attempts"]]
    return [Answer(answer), about.named_table("attempts", attempts.assign(tried=tried), days=age(attempts))]


def waiting_list(about: About, leads: pd.DataFrame, queue: pd.DataFrame) -> list:
    """List who is waiting now."""
    words = about.words
    count = words.say_n(
        "{n} lead of the last twelve months had no answer after more than a day, on {day}.",
        "{n} leads of the last twelve months had no answer after more than a day, on {day}.",
        len(leads),
        day=words.moment(about.as_of, about.zone),
    )
    return [Answer(count), about.named_table("waiting", queue.assign(waiting=queue["waiting_hours"] * HOUR))]
