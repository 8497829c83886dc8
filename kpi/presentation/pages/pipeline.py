"""The page on the pipeline: what share of opportunities is won, what the usual win rate says instead, how many leads become customers."""

from __future__ import annotations

import pandas as pd

from kpi.catalog import kpi
from kpi.presentation.blocks import Answer, Opening, SideBySide
from kpi.presentation.blocks.tables import FLOOR, DisplayTable
from kpi.presentation.language import Words
from kpi.presentation.pages.about import About
from kpi.presentation.pages.wording import (
    HORIZON,
    Pair,
    against_year,
    age,
    at,
    by_age,
    counted,
    differ,
    few,
    incidence,
    length,
    newest_cohort,
    quarter_name,
    share,
)
from kpi.schema import N_

NONE_LOST = N_(
    "Of {n} deals closed in the last {days} days none is recorded as lost: losses do not seem to be recorded, "
    "and without them shares won are too high."
)
AGAINST_ALL = {
    1: N_(
        "Of the deals closed lately {rate} were won, more than the {share} of all: the rate counts deals by the day they closed, "
        "whatever their age, and leaves out the {open} still open."
    ),
    -1: N_(
        "Of the deals closed lately {rate} were won, less than the {share} of all: the rate counts deals by the day they closed, "
        "whatever their age, and leaves out the {open} still open."
    ),
    0: N_(
        "Of the deals closed lately {rate} were won, close to the {share} of all; the two part when deals stay open longer, "
        "since the rate leaves out the {open} still open."
    ),
}
BY_AMOUNT = {
    1: N_("By amount it is {amount}: large deals are won more often than small ones."),
    -1: N_("By amount it is {amount}: large deals are won less often than small ones."),
    0: N_("By amount it is {amount}: no settled difference between large deals and small ones."),
}


def opening(about: About, won: pd.DataFrame, before: pd.DataFrame, closed: pd.DataFrame, quarters: pd.DataFrame) -> Opening:
    """Open the page: how many opportunities are won, and whether that has changed."""
    words, say = about.words, about.words.say
    now, rate = at(won, HORIZON), closed.iloc[0]
    if few(now):
        return about.opening("pipeline", counted(words, now))
    if pd.isna(now["value"]):
        return about.opening("pipeline", _unwatched(about, now, quarters, N_("Of the {n} created in {quarter}, {share} were won by then ({range}).")))
    parts = share(words, now)
    lede = say("95% interval {span}, from the last {days} days.", span=parts["range"], days=length(now))
    if rate["n"] >= FLOOR:
        of_closed = {"rate": words.percent(rate["value"]), "open": int(rate["n_open"])}
        lede += " " + say("The closed-deal win rate of the same days says {rate}: it leaves the {open} open deals out.", **of_closed)
    if not few(rate) and rate["n_events"] == rate["n"]:
        return about.opening("pipeline", say(NONE_LOST, n=int(rate["n"]), days=length(rate)), lede)
    sentence = say("As things go now, {share} of opportunities are won within {days} days", share=parts["share"], days=HORIZON)
    return about.opening("pipeline", against_year(words, sentence, now, at(before, HORIZON)), lede)


def share_won(about: About, curve: Pair, won: Pair, steps: list[pd.DataFrame]) -> list:
    """Show the share won by age, now and a year ago, beside every conversion."""
    words, say = about.words, about.words.say
    now, before = at(won[0], HORIZON), at(won[1], HORIZON)
    if few(now) or pd.isna(now["value"]):
        return [*([Answer(counted(words, now))] if few(now) else []), conversions(about, steps)]
    sentence = say("{share} of opportunities are won within {days} days ({range})", days=HORIZON, **share(words, now))
    title = say("{share} won within {days} days", share=words.percent(now["value"]), days=HORIZON)
    figure = incidence(
        words,
        curve,
        (now, before),
        cause="won",
        ylabel=say("won by then, share of all opportunities"),
        xlabel=say("days since the opportunity was created"),
        title=against_year(words, title, now, before).rstrip("."),
        note=say(
            "n = {n} and {before} opportunities under way · band: 95% interval · lost competes, open is kept · "
            "below: number under observation at that age",
            n=int(now["n"]),
            before=int(before["n"]),
        ),
        alt=say("Share of opportunities won within: {points}.", points=by_age(words, won[0])),
    )
    return [Answer(against_year(words, sentence, now, before)), SideBySide(figure, conversions(about, steps))]


def _unwatched(about: About, now: pd.Series, quarters: pd.DataFrame, text: str) -> str:
    """What stands in the place of a share that the period reading does not give."""
    words, name = about.words, about.words.translate(kpi(now["kpi"]).name)
    missing = words.say("{name}: the last {days} days do not tell, for at some age too few were under observation.", name=name, days=length(now))
    return missing + newest_cohort(words, text, quarters, HORIZON)


def conversions(about: About, results: list[pd.DataFrame]) -> DisplayTable:
    """List every conversion with its interval."""
    words, say = about.words, about.words.say
    frame = pd.concat(results, ignore_index=True)
    frame["step"] = [say("{way}, {days} d", way=words.translate(kpi(row.kpi).name), days=int(row.horizon)) for row in frame.itertuples()]
    return about.named_table("conversions", frame, days=length(frame.iloc[0]))


def closed_win_rate(about: About, won: pd.DataFrame, closed: pd.DataFrame, by_amount: pd.DataFrame, lost: pd.DataFrame) -> list:
    """Put the usual win rate, by count and by amount, beside the share won, and say why they differ."""
    words, say = about.words, about.words.say
    frame = pd.concat([won[won["horizon"] == HORIZON], closed, by_amount], ignore_index=True)
    if not _carries_amounts(lost):
        frame.loc[2, ["value", "low", "high"]] = float("nan")
    frame["name"] = [
        say("Won within {days} days, of all opportunities", days=HORIZON),
        say("Closed-deal win rate: won, of the deals closed"),
        say("Closed-deal win rate by amount"),
    ]
    table = about.named_table("win_rates", frame, days=length(closed.iloc[0]))
    of_all, of_closed, of_amount = (frame.iloc[place] for place in range(3))
    if not few(of_closed) and of_closed["n_events"] == of_closed["n"]:
        return [Answer(say(NONE_LOST, n=int(of_closed["n"]), days=length(of_closed))), table]
    if few(of_closed) or few(of_all) or pd.isna(of_all["value"]) or pd.isna(of_closed["value"]):
        return [table]
    return [Answer(f"{_against_all(words, of_all, of_closed)} {_by_amount(words, of_closed, of_amount, lost)}"), table]


def _against_all(words: Words, of_all: pd.Series, closed: pd.Series) -> str:
    parts = {"rate": words.percent(closed["value"]), "share": words.percent(of_all["value"]), "open": int(closed["n_open"])}
    return words.say_some(AGAINST_ALL[differ(closed, of_all)], parts)


def _by_amount(words: Words, count: pd.Series, amount: pd.Series, lost: pd.DataFrame) -> str:
    if not _carries_amounts(lost):
        return words.say("Lost deals carry no amount here, so the rate by amount says nothing.")
    return words.say(BY_AMOUNT[differ(amount, count)], amount=words.percent(amount["value"]))


def _carries_amounts(lost: pd.DataFrame) -> bool:
    return bool(lost.set_index("statistic").loc["mean", "value"] > 0)


def by_quarter(about: About, won: pd.DataFrame) -> DisplayTable:
    """List the quarters: how many of the opportunities created then were won."""
    words = about.words
    quarters = [quarter_name(words, text) for text in won["quarter"]]
    if quarters and about.in_quarter != 2:
        quarters[-1] = words.say("{quarter} so far", quarter=quarters[-1])
    newest = won.assign(quarter=quarters).iloc[::-1].reset_index(drop=True)
    return about.named_table("won_by_quarter", newest, days=age(won))


def lead_conversion(about: About, curves: list[Pair], results: list[Pair], quarters: list[pd.DataFrame]) -> list:
    """Show how leads become opportunities and customers by age, now and a year ago."""
    words, say = about.words, about.words.say
    rows = [(at(now, HORIZON), at(then, HORIZON)) for now, then in results]
    sentences = [
        N_("{share} of leads become an opportunity within {days} days ({range})"),
        N_("{share} of leads are customers within {days} days ({range})"),
    ]
    cohorts = [
        N_("Of the {n} leads of {quarter}, {share} became an opportunity by then ({range})."),
        N_("Of the {n} leads of {quarter}, {share} were customers by then ({range})."),
    ]
    answers = []
    for text, cohort, by_quarter, (now, then) in zip(sentences, cohorts, quarters, rows, strict=True):
        if few(now):
            answers.append(counted(words, now))
        elif pd.isna(now["value"]):
            answers.append(_unwatched(about, now, by_quarter, cohort))
        else:
            answers.append(against_year(words, say(text, days=HORIZON, **share(words, now)), now, then))
    drawn = (("opportunity", say("became an opportunity, share of all leads")), ("won", say("became a customer, share of all leads")))
    figures = []
    for (cause, ylabel), curve, row in zip(drawn, curves, rows, strict=True):
        now, title = row[0], words.translate(kpi(row[0]["kpi"]).name)
        note = say("n = {n} leads under observation · band: 95% interval · below: number under observation at that age", n=int(now["n"]))
        alt = say("{title}: {share} within {days} days ({range}).", title=title, days=HORIZON, **share(words, now))
        xlabel = say("days since the inquiry")
        figures.append(incidence(words, curve, row, cause=cause, ylabel=ylabel, xlabel=xlabel, title=title, note=note, alt=alt))
    return [Answer(" ".join(answers)), SideBySide(*figures)]
