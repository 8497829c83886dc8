"""The pipeline page, on conversion: the usual win rate beside the share won, and how leads become customers."""

from __future__ import annotations

import pandas as pd

from kpi.presentation import charts
from kpi.presentation.blocks import Answer, Figure, SideBySide, tables
from kpi.presentation.blocks.tables import Column
from kpi.presentation.pages.about import About, differ, end_label
from kpi.schema import N_

HORIZON = 180
FLOOR = 20
WAYS = {"pipeline.lead_to_opportunity": N_("Lead to opportunity"), "pipeline.lead_to_customer": N_("Lead to customer")}


def usual_rate(about: About, won: pd.DataFrame, closed: pd.DataFrame, by_amount: pd.DataFrame, lost: pd.DataFrame) -> list:
    """Put the usual win rate, by count and by amount, beside the share won, and say why they differ."""
    words, say = about.words, about.words.say
    frame = pd.concat([won[won["horizon"] == HORIZON], closed, by_amount], ignore_index=True)
    if not _carries_amounts(lost):
        frame.loc[2, ["value", "low", "high"]] = float("nan")
    frame["name"] = [
        say("Won within 180 days, of all opportunities"),
        say("Closed-deal win rate: won, of the deals closed"),
        say("Closed-deal win rate by amount"),
    ]
    columns = [
        Column("name", say("Win rate")),
        Column("n", say("Deals"), "number"),
        Column("n_events", say("Won"), "number"),
        Column("value", say("Share"), "percent", n="n"),
        Column("value", say("95%\ninterval"), "range", n="n"),
        Column("value", "", "drawn", n="n"),
    ]
    table = tables.table(frame, columns, words=words, title=say("What does the usual win rate say?"), note=say("Last 90 days; 95% interval"))
    if frame["n"].iloc[1] < FLOOR or frame["value"].iloc[:2].isna().any():
        return [table]
    return [Answer(f"{_closed_against(words, *(frame.iloc[place] for place in (0, 1)))} {_amount_against(words, frame, lost)}"), table]


def _closed_against(words, share: pd.Series, closed: pd.Series) -> str:
    parts = {"rate": words.percent(closed["value"]), "share": words.percent(share["value"]), "open": int(closed["n_open"])}
    if closed["value"] > share["high"]:
        text = N_(
            "Of the deals closed lately {rate} were won, more than the {share} of all: the rate counts deals by the day they closed, "
            "whatever their age, and leaves out the {open} still open."
        )
    elif closed["value"] < share["low"]:
        text = N_(
            "Of the deals closed lately {rate} were won, less than the {share} of all: the rate counts deals by the day they closed, "
            "whatever their age, and leaves out the {open} still open."
        )
    else:
        text = N_(
            "Of the deals closed lately {rate} were won, close to the {share} of all; the two part when deals stay open longer, "
            "since the rate leaves out the {open} still open."
        )
    return words.say(text, **parts)


def _carries_amounts(lost: pd.DataFrame) -> bool:
    return bool(lost.set_index("statistic").loc["mean", "value"] > 0)


def _amount_against(words, frame: pd.DataFrame, lost: pd.DataFrame) -> str:
    count, amount = frame.iloc[1], frame.iloc[2]
    if not _carries_amounts(lost):
        return words.say("Lost deals carry no amount here, so the rate by amount says nothing.")
    parts = {"amount": words.percent(amount["value"])}
    if amount["high"] < count["value"]:
        return words.say("By amount it is {amount}: large deals are won less often than small ones.", **parts)
    if amount["low"] > count["value"]:
        return words.say("By amount it is {amount}: large deals are won more often than small ones.", **parts)
    return words.say("By amount it is {amount}: no settled difference between large deals and small ones.", **parts)


def ways(about: About, curves: list[pd.DataFrame], past_curves: list[pd.DataFrame], results: list[pd.DataFrame], past: list[pd.DataFrame]) -> list:
    """Show how leads become opportunities and customers by age, now and a year ago."""
    say = about.words.say
    rows = [(_at(now, HORIZON), _at(then, HORIZON)) for now, then in zip(results, past, strict=True)]
    made = {
        1: N_("{share} of leads become an opportunity within 180 days ({range}), clearly more than a year ago."),
        -1: N_("{share} of leads become an opportunity within 180 days ({range}), clearly fewer than a year ago."),
        0: N_("{share} of leads become an opportunity within 180 days ({range}); no settled change from a year ago."),
        None: N_("{share} of leads become an opportunity within 180 days ({range})."),
    }
    bought = {
        1: N_("{share} are customers by then ({range}), clearly more than a year ago."),
        -1: N_("{share} are customers by then ({range}), clearly fewer than a year ago."),
        0: N_("{share} are customers by then ({range}); no settled change from a year ago."),
        None: N_("{share} are customers by then ({range})."),
    }
    said = [_said(about.words, texts, *row) for texts, row in zip((made, bought), rows, strict=True)]
    if any(pd.isna(now["value"]) for now, _ in rows):
        said = [say("Too few leads were observed long enough to say how many become customers.")]
    names = [(say("became an opportunity, share of all leads"), "opportunity"), (say("became a customer, share of all leads"), "won")]
    figures = [
        _way(about, curve, before, *row, title=say(WAYS[result["kpi"].iloc[0]]), ylabel=name, cause=cause)
        for curve, before, row, result, (name, cause) in zip(curves, past_curves, rows, results, names, strict=True)
    ]
    return [Answer(" ".join(said)), SideBySide(*figures)]


def _said(words, texts: dict[int | None, str], now: pd.Series, past: pd.Series) -> str:
    share = {"share": words.percent(now["value"]), "range": words.percent_range(now["low"], now["high"])}
    return words.say(texts[None if pd.isna(past["value"]) else differ(now, past)], **share)


def _way(about: About, curve: pd.DataFrame, before: pd.DataFrame, now: pd.Series, past: pd.Series, *, title: str, ylabel: str, cause: str) -> Figure:
    words, say = about.words, about.words.say
    known = not pd.isna(past["value"])
    drawn = charts.plot_incidence(
        curve,
        words,
        cause=cause,
        horizon=HORIZON,
        label=end_label(words, say("last 90 days"), now),
        past=before if known else None,
        past_label=end_label(words, say("a year earlier"), past),
        ylabel=ylabel,
        xlabel=say("days since the inquiry"),
    )
    note = say("n = {n} leads under observation · band: 95% interval · below: number under observation at that age", n=int(now["n"]))
    alt = say(
        "{title}: {share} within 180 days ({range}).",
        title=title,
        share=words.percent(now["value"]),
        range=words.percent_range(now["low"], now["high"]),
    )
    return Figure(drawn, title, note, alt)


def _at(result: pd.DataFrame, horizon: float) -> pd.Series:
    return result[result["horizon"] == horizon].iloc[0]
