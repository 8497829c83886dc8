"""The page on response time."""

from __future__ import annotations

from itertools import pairwise

import pandas as pd

from kpi import plots, tables
from kpi.chapters.about import About, differ, unstable
from kpi.page import Answer, Figure, Opening, SideBySide
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


def speed(
    about: About, *, median: pd.DataFrame, usual_median: pd.DataFrame, bands: pd.DataFrame, within: pd.DataFrame, usual_within: pd.DataFrame
) -> Answer:
    """Answer how fast leads are answered.

    Parameters
    ----------
    about : About
        What the page is about.
    median, usual_median : DataFrame
        `response_time.response_time` of the month and of the twelve months before, one row each.
    bands : DataFrame
        `response_time.response_bands` of the month.
    within, usual_within : DataFrame
        `response_time.answered_within` of both.

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
    judged = {
        1: say("Within the hour clearly more are answered than before."),
        -1: say("Within the hour clearly fewer are answered than before."),
        0: say("Within the hour the intervals of both periods overlap: no settled change."),
    }
    return Answer(f"{compared} {judged[differ(_at_hour(within), _at_hour(usual_within))]} {rest}")


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
        plots.plot_bands(
            bands, labels, words, past=fair, xlabel=say("share of the leads received in {month}", month=words.month(about.month))
        ),
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


def by_group(about: About, groups: pd.DataFrame, *, total: pd.DataFrame, column: str) -> list:
    """Compare sources or people.

    Parameters
    ----------
    about : About
        What the page is about.
    groups : DataFrame
        `response_time.compared` by `column`.
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
    few = named.assign(few=named["n"] < FLOOR)
    frame = few.sort_values(["few", "value", column], ascending=[True, False, True], ignore_index=True)
    empty = {"before": float("nan"), "median": float("nan"), "waiting": groups["waiting"].sum()}
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
        Column("median", say("Half within"), "duration", n="n"),
        Column("waiting", say("Waiting over\n24 h"), "number"),
    ]
    note = say("Leads of {month}; 95% interval; dashed: all leads", month=words.month(about.month))
    table = tables.table(frame, columns, words=words, title=titles[column], note=note, total=last, limit=12)
    return [_extremes(about, frame, column), table]


def waiting_list(about: About, leads: pd.DataFrame) -> list:
    """List who is waiting now.

    Parameters
    ----------
    about : About
        What the page is about.
    leads : DataFrame
        `response_time.waiting_leads`.

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
        Column("age_days", say("Waiting for"), "days"),
    ]
    newest = leads.sort_values(["created_at", "lead_id"], ascending=[False, True], ignore_index=True)
    title = say("The most recent first: they are the likeliest to be still interested")
    return [Answer(count), tables.table(newest, columns, words=words, title=title, whole="lists/never_answered.csv", zone=about.zone)]


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
