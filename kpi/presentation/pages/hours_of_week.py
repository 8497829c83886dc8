"""When leads are answered late: by weekday and hour, on both clocks."""

from __future__ import annotations

from itertools import pairwise

import pandas as pd

from kpi.presentation import charts
from kpi.presentation.blocks import Answer, Figure, SideBySide
from kpi.presentation.blocks.tables import FLOOR, DisplayColumn, DisplayTable, estimate
from kpi.presentation.pages.about import About


def week(about: About, by_hour: pd.DataFrame, both: pd.DataFrame) -> list:
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
    answer = say("In opening hours {inside} of leads are answered within the hour, outside them {outside}.", **parts)
    note = say(
        "% of leads · n = {n} leads over twelve months, small figure: n of the cell · frame: opening hours · hatched: fewer than 20",
        n=int(table["n"].sum()),
    )
    framed = pd.DataFrame(open_slots, columns=["weekday", "slot"])
    drawn = charts.plot_week(table, words, hours=slots, open_hours=framed, floor=FLOOR)
    return [Answer(answer), SideBySide(Figure(drawn, say("Answered within the hour, by hour of the inquiry"), note, answer), clocks(about, both))]


def clocks(about: About, both: pd.DataFrame) -> DisplayTable:
    """Show both clocks side by side."""
    say = about.words.say
    names = {"wall": say("wall clock"), "business": say("business hours only")}
    columns = [
        DisplayColumn("name", say("Clock")),
        DisplayColumn("median", say("Half within"), "duration", n="n"),
        DisplayColumn("slow", say("Nine in ten\nwithin"), "duration", n="n"),
        *estimate(about.words, say("Answered\nin 1 h")),
    ]
    count = say("n = {n} leads of {month}", n=int(both["n"].iloc[0]), month=about.words.month(about.month))
    note = count + " · " + say("Business hours: the clock stands still outside opening hours and on public holidays. – means not reached.")
    frame = both.assign(name=[names[clock] for clock in both["clock"]])
    return about.table(frame, columns, title=say("Do opening hours explain the delay?"), note=note)


def _share(about: About, cells: pd.DataFrame) -> str:
    n = cells["n"].sum()
    return about.words.percent(cells["n_events"].sum() / n if n else None)


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
