"""What all pages say and draw alike: a share with its interval, a verdict on two of them, names, spans, a curve beside that of a year before."""

from __future__ import annotations

import pandas as pd

from kpi.catalog import kpi
from kpi.presentation import charts
from kpi.presentation.blocks import Block, Figure, Note
from kpi.presentation.blocks.tables import FLOOR
from kpi.presentation.language import Words
from kpi.schema import N_
from kpi.statistics import intervals

Pair = tuple[pd.DataFrame, pd.DataFrame]  # a result as things are now, and the same for the time that it is compared with
HORIZON = 180  # age in days at which pages read a conversion
HOUR = 3600.0
SAME = 0.03  # a difference that is surely smaller, and may be none, is none
AGAINST_YEAR = {
    1: N_("{sentence}: clearly more than {before} a year ago."),
    -1: N_("{sentence}: clearly less than {before} a year ago."),
    0: N_("{sentence}: no settled change from {before} a year ago."),
}


def share(words: Words, row: pd.Series, name: str = "") -> dict[str, str]:
    """A share and its interval, as sentences take them: {share} and {range}, or {name} and {name_range}."""
    value, ends = (name, f"{name}_range") if name else ("share", "range")
    return {value: words.percent(row["value"]), ends: words.percent_range(row["low"], row["high"])}


def money(words: Words, row: pd.Series, currency: str) -> dict[str, str]:
    """An amount and its interval, as sentences take them."""
    return {"value": words.money(row["value"], currency), "range": words.money_range(row["low"], row["high"], currency)}


def few(row: pd.Series) -> bool:
    """Whether too few records stand behind a number to give a rate, or to call anything usual."""
    return bool(pd.isna(row["n"]) or row["n"] < FLOOR)


def counted(words: Words, row: pd.Series) -> str:
    """Say of few records how many had the outcome, and that this is no rate."""
    parts = {"name": words.translate(kpi(row["kpi"]).name), "done": words.number(row["n_events"]), "n": words.number(row["n"])}
    return words.say("{name}: {done} of {n}; too few for a rate.", **parts)


def newest_cohort(words: Words, text: str, by_quarter: pd.DataFrame, horizon: float) -> str:
    """Say how the newest cohort of enough records that has been followed so long fared, where the period reading cannot; empty without one."""
    known = by_quarter[(by_quarter["horizon"] == horizon) & by_quarter["value"].notna() & (by_quarter["n"] >= FLOOR)]
    if known.empty:
        return ""
    row = known.iloc[-1]
    return " " + words.say(text, n=int(row["n"]), quarter=quarter_name(words, row["quarter"]), **share(words, row))


def differ(one: pd.Series, other: pd.Series, groups: int = 2) -> int:
    """Whether two estimates, the ends of so many groups, differ by more than chance, 1 up or -1 down."""
    _, low, high = intervals.difference(one, other, groups * (groups - 1) // 2)
    return 1 if low > 0 else -1 if high < 0 else 0


def against_year(words: Words, sentence: str, now: pd.Series, past: pd.Series) -> str:
    """End a sentence about a share by how it stands against that of a year before, where there were records enough then."""
    if pd.isna(past["value"]) or few(past) or few(now):
        return f"{sentence}."
    _, low, high = intervals.difference(now, past)
    text = AGAINST_YEAR[1 if low > 0 else -1 if high < 0 else 0]
    if -SAME <= low <= 0 <= high <= SAME:
        text = N_("{sentence}: unchanged from {before} a year ago (±{points} points).")
    parts = {"sentence": sentence, "before": words.percent(past["value"]), "points": words.number(100 * max(abs(low), abs(high)))}
    return words.say_some(text, parts)


def unstable(months: pd.DataFrame) -> bool:
    """Tell whether the months that set the limits are themselves mostly no common process, so that nothing is usual."""
    return bool(len(months) > 1 and months["signal"].iloc[:-1].mean() > 0.25)


def quarter_name(words: Words, quarter: str) -> str:
    """Name a quarter as the reader's language does."""
    return words.say("Q{quarter} {year}", quarter=quarter[-1], year=quarter[:4])


def at(result: pd.DataFrame, horizon: float) -> pd.Series:
    """The row of a result at one age."""
    return result[result["horizon"] == horizon].iloc[0]


def length(row: pd.Series) -> int:
    """Days of the window that a result rests on."""
    return (row["window_end"] - row["window_start"]).days


def window_days(result: pd.DataFrame, key: str) -> int:
    """Days of the window that a result rests on; where it has no row, those of the KPI."""
    return length(result.iloc[0]) if len(result) else kpi(key).days


def age(result: pd.DataFrame) -> int:
    """Age in days that a result of a single one was read at."""
    return next((int(horizon) for horizon in result["horizon"]), HORIZON)


def span(words: Words, days: int) -> str:
    """A length in words: a year, or so many days."""
    return words.say("a year") if days == 365 else words.say("{days} days", days=days)


def by_age(words: Words, result: pd.DataFrame) -> str:
    """Enumerate a share age by age, in days."""
    rows = [row for _, row in result.iterrows()]
    return words.listing(words.say("{days} days {share} ({range})", days=int(row["horizon"]), **share(words, row)) for row in rows)


def end_label(words: Words, name: str, row: pd.Series) -> str:
    """Name a curve at its end, with its value where there is one."""
    return name if pd.isna(row["value"]) else "{}\n{share} ({range})".format(name, **share(words, row))


def incidence(words: Words, curve: Pair, shares: tuple[pd.Series, pd.Series], *, cause: str, ylabel: str, xlabel: str, **texts: str) -> Block:
    """Show how a share grows with age, now and a year earlier where that is known: the curves, and the share of each at the age where they end."""
    now, past = shares
    if few(now):
        return Note(counted(words, now))
    before = None if pd.isna(past["value"]) or few(past) else curve[1]
    label, past_label = end_label(words, words.say("last {days} days", days=length(now)), now), end_label(words, words.say("a year earlier"), past)
    drawn = charts.plot_incidence(
        curve[0], words, cause=cause, horizon=now["horizon"], label=label, past=before, past_label=past_label, ylabel=ylabel, xlabel=xlabel
    )
    return Figure(drawn, **texts)
