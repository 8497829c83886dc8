"""The pipeline page, on conversion: the usual win rate beside the share won, and how leads become customers."""

from __future__ import annotations

import pandas as pd

from kpi.presentation import charts
from kpi.presentation.blocks import Answer, Figure, SideBySide, tables
from kpi.presentation.blocks.tables import DisplayColumn, DisplayTable
from kpi.presentation.pages.about import About, differ, end_label
from kpi.schema import N_

HORIZON = 180
FLOOR = 20


def lead_conversion(
    about: About, curves: list[pd.DataFrame], past_curves: list[pd.DataFrame], results: list[pd.DataFrame], past: list[pd.DataFrame]
) -> list:
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
        _path(about, curve, before, *row, title=say(PATHS[result["kpi"].iloc[0]]), ylabel=name, cause=cause)
        for curve, before, row, result, (name, cause) in zip(curves, past_curves, rows, results, names, strict=True)
    ]
    return [Answer(" ".join(said)), SideBySide(*figures)]


def _said(words, texts: dict[int | None, str], now: pd.Series, past: pd.Series) -> str:
    share = {"share": words.percent(now["value"]), "range": words.percent_range(now["low"], now["high"])}
    return words.say(texts[None if pd.isna(past["value"]) else differ(now, past)], **share)


def _path(about: About, curve: pd.DataFrame, before: pd.DataFrame, now: pd.Series, past: pd.Series, *, title: str, ylabel: str, cause: str) -> Figure:
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


PATHS = {
    "pipeline.lead_to_opportunity": N_("Lead to opportunity"),
    "pipeline.opportunity_to_customer": N_("Opportunity to customer"),
    "pipeline.lead_to_customer": N_("Lead to customer"),
}


def conversions(about: About, results: list[pd.DataFrame]) -> DisplayTable:
    """List every conversion with its interval."""
    words, say = about.words, about.words.say
    frame = pd.concat(results, ignore_index=True)
    frame["step"] = [say("{way}, {days} d", way=words.translate(PATHS[row.kpi]), days=int(row.horizon)) for row in frame.itertuples()]
    columns = [
        DisplayColumn("step", say("Within so many days")),
        DisplayColumn("n", say("Under\nway"), "number"),
        DisplayColumn("n_events", say("Done"), "number"),
        *tables.estimate(words, say("Share")),
    ]
    note = say("Period reading: as records of every age fared in the last 90 days · – not observed that long")
    return tables.table(frame, columns, words=words, title=say("From lead to customer, as things go now"), note=note, limit=len(frame))
