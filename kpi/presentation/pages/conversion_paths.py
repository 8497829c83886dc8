"""The paths from lead to customer: how many leads become opportunities and customers, now and a year ago."""

from __future__ import annotations

import pandas as pd

from kpi.presentation.blocks import Answer, SideBySide
from kpi.presentation.blocks.tables import DisplayColumn, DisplayTable, estimate
from kpi.presentation.pages.about import About
from kpi.presentation.pages.wording import HORIZON, at, incidence, judged, length, share, verdict
from kpi.schema import N_

PATHS = {
    "pipeline.lead_to_opportunity": N_("Lead to opportunity"),
    "pipeline.opportunity_to_customer": N_("Opportunity to customer"),
    "pipeline.lead_to_customer": N_("Lead to customer"),
}
BECAME_OPPORTUNITY = {
    1: N_("{share} of leads become an opportunity within {days} days ({range}), clearly more than a year ago."),
    -1: N_("{share} of leads become an opportunity within {days} days ({range}), clearly fewer than a year ago."),
    0: N_("{share} of leads become an opportunity within {days} days ({range}); no settled change from a year ago."),
    None: N_("{share} of leads become an opportunity within {days} days ({range})."),
}
BECAME_CUSTOMER = {
    1: N_("{share} are customers by then ({range}), clearly more than a year ago."),
    -1: N_("{share} are customers by then ({range}), clearly fewer than a year ago."),
    0: N_("{share} are customers by then ({range}); no settled change from a year ago."),
    None: N_("{share} are customers by then ({range})."),
}


def lead_conversion(
    about: About, curves: list[pd.DataFrame], past_curves: list[pd.DataFrame], results: list[pd.DataFrame], past: list[pd.DataFrame]
) -> list:
    """Show how leads become opportunities and customers by age, now and a year ago."""
    words, say = about.words, about.words.say
    rows = [(at(now, HORIZON), at(then, HORIZON)) for now, then in zip(results, past, strict=True)]
    answers = [
        judged(words, sentences, verdict(*row), days=HORIZON, **share(words, row[0]))
        for sentences, row in zip((BECAME_OPPORTUNITY, BECAME_CUSTOMER), rows, strict=True)
    ]
    if any(pd.isna(now["value"]) for now, _ in rows):
        answers = [say("Too few leads were observed long enough to say how many become customers.")]
    drawn = (("opportunity", say("became an opportunity, share of all leads")), ("won", say("became a customer, share of all leads")))
    figures = []
    for (cause, ylabel), curve, row in zip(drawn, zip(curves, past_curves, strict=True), rows, strict=True):
        now, title = row[0], words.translate(PATHS[row[0]["kpi"]])
        note = say("n = {n} leads under observation · band: 95% interval · below: number under observation at that age", n=int(now["n"]))
        alt = say("{title}: {share} within {days} days ({range}).", title=title, days=HORIZON, **share(words, now))
        xlabel = say("days since the inquiry")
        figures.append(incidence(words, curve, row, cause=cause, ylabel=ylabel, xlabel=xlabel, title=title, note=note, alt=alt))
    return [Answer(" ".join(answers)), SideBySide(*figures)]


def conversions(about: About, results: list[pd.DataFrame]) -> DisplayTable:
    """List every conversion with its interval."""
    words, say = about.words, about.words.say
    frame = pd.concat(results, ignore_index=True)
    frame["step"] = [say("{way}, {days} d", way=words.translate(PATHS[row.kpi]), days=int(row.horizon)) for row in frame.itertuples()]
    columns = [
        DisplayColumn("step", say("Within so many days")),
        DisplayColumn("n", say("Under\nway"), "number"),
        DisplayColumn("n_events", say("Done"), "number"),
        *estimate(words, say("Share")),
    ]
    note = say("Period reading: as records of every age fared in the last {days} days · – not observed that long", days=length(frame.iloc[0]))
    return about.table(frame, columns, title=say("From lead to customer, as things go now"), note=note, limit=len(frame))
