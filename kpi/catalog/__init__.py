"""One record per KPI: its key, its name and definition (English here, French in the catalogue of messages), unit, better direction, source."""

from __future__ import annotations

from kpi.catalog.pipeline import PIPELINE
from kpi.catalog.record import Kpi
from kpi.catalog.retention import RETENTION
from kpi.errors import ParameterError
from kpi.schema import N_

_ALL = (
    Kpi(
        "response.answered_within",
        N_("Leads answered in time"),
        N_("Share of the leads received in the month that a person answered within the delay; leads still waiting stay in the denominator."),
        "rate",
        "up",
        "response_time.answered_within",
    ),
    Kpi(
        "response.median",
        N_("Median response time"),
        N_("Delay by which half of the leads received in the month had their first outbound human activity; missing when half were not answered."),
        "seconds",
        "down",
        "response_time.response_time",
    ),
    Kpi(
        "response.p90",
        N_("Response time, 9 in 10"),
        N_("Delay by which nine leads in ten had their first outbound human activity; missing when nine in ten were not answered."),
        "seconds",
        "down",
        "response_time.response_time",
    ),
    Kpi(
        "response.bands",
        N_("Leads by response delay"),
        N_("Share of the leads received in the month by delay of the first answer; those not answered are a band of their own."),
        "rate",
        "",
        "response_time.response_bands",
    ),
    Kpi(
        "response.never_answered",
        N_("Leads never answered"),
        N_("Share of the leads older than 24 hours that nobody had answered at the date of the report."),
        "rate",
        "down",
        "response_time.never_answered",
    ),
    Kpi(
        "response.contacted_within",
        N_("Leads in contact in time"),
        N_("Share of the leads received in the month in two-way contact within the delay: a call that connected, a meeting held, a reply."),
        "rate",
        "up",
        "response_time.answered_within",
    ),
    Kpi(
        "response.routing",
        N_("Assigned in time"),
        N_("Share of the leads received in the month assigned to an owner within an hour."),
        "rate",
        "up",
        "response_time.routing_delay",
    ),
    Kpi(
        "response.owner_delay",
        N_("Tried in time by the owner"),
        N_("Share of the leads assigned in the month that had their first attempt within an hour of the assignment."),
        "rate",
        "up",
        "response_time.owner_delay",
    ),
    Kpi(
        "response.change",
        N_("Change of the share answered within the hour"),
        N_("Difference between the month and the twelve months before, with its interval."),
        "difference",
        "up",
        "response_time.response_change",
    ),
    Kpi(
        "response.out_of_hours",
        N_("Leads outside opening hours"),
        N_("Share answered within the hour of the leads of twelve months that came in outside opening hours, and of those inside them."),
        "rate",
        "up",
        "response_time.out_of_hours",
    ),
    Kpi(
        "response.attempts",
        N_("Attempts per lead"),
        N_("Leads of twelve months by attempts within 30 days, and the share of them in two-way contact."),
        "rate",
        "up",
        "response_time.attempts",
    ),
    Kpi(
        "response.alert_to_touch",
        N_("Alerts followed in time"),
        N_("Share of the automation's alerts of twelve months that a person followed within the delay."),
        "rate",
        "up",
        "response_time.alert_to_touch",
    ),
    Kpi(
        "response.score_at_touch",
        N_("Score at the touch"),
        N_("Median of the score at the first touch after an alert, relative to the highest score; the range given is that of the quartiles."),
        "rate",
        "up",
        "response_time.score_at_touch",
    ),
    Kpi(
        "response.nurtured_answered",
        N_("Nurtured or not: answered"),
        N_("Share answered within a day, of nurtured leads from the moment they are, and of the others."),
        "rate",
        "",
        "response_time.nurtured",
    ),
    Kpi(
        "response.nurtured_appointment",
        N_("Nurtured or not: appointment"),
        N_("Share with an appointment within 30 days, of nurtured leads from the day they are, and of the others."),
        "rate",
        "",
        "response_time.nurtured",
    ),
    Kpi(
        "response.nurtured_opportunity",
        N_("Nurtured or not: opportunity"),
        N_("Share that becomes an opportunity within 90 days, of nurtured leads from the day they are, and of the others."),
        "rate",
        "",
        "response_time.nurtured",
    ),
    Kpi(
        "response.speed_to_appointment",
        N_("Speed to appointment"),
        N_("Share of leads with an appointment within 30 days, by delay of the first answer (landmark analysis); an association."),
        "rate",
        "",
        "response_time.speed_to_outcome",
    ),
    Kpi(
        "response.speed_to_opportunity",
        N_("Speed to opportunity"),
        N_("Share of leads that become an opportunity within 90 days, by delay of the first answer (landmark analysis); an association."),
        "rate",
        "",
        "response_time.speed_to_outcome",
    ),
    Kpi(
        "response.speed_to_won",
        N_("Speed to conversion"),
        N_("Share of leads with a won deal within 180 days, by delay of the first answer (landmark analysis); an association."),
        "rate",
        "",
        "response_time.speed_to_outcome",
    ),
    Kpi(
        "response.sensitivity",
        N_("Speed, checked by hours"),
        N_("Share that becomes an opportunity of the leads inside and outside opening hours, of the same mix of sources, and the difference."),
        "difference",
        "",
        "response_time.sensitivity",
    ),
    Kpi(
        "response.what_if_appointment",
        N_("What if: appointments"),
        N_("Further appointments that would go with answering as many leads within the hour as the best source does; an association."),
        "count",
        "",
        "response_time.what_if",
    ),
    Kpi(
        "response.what_if_opportunity",
        N_("What if: opportunities"),
        N_("Further opportunities that would go with answering as many leads within the hour as the best source does; an association."),
        "count",
        "",
        "response_time.what_if",
    ),
    Kpi(
        "response.what_if_won",
        N_("What if: won deals"),
        N_("Further won deals that would go with answering as many leads within the hour as the best source does; an association."),
        "count",
        "",
        "response_time.what_if",
    ),
    *PIPELINE,
    *RETENTION,
)
__all__ = ["CATALOG", "Kpi", "kpi"]

CATALOG: dict[str, Kpi] = {kpi.key: kpi for kpi in _ALL}


def kpi(key: str) -> Kpi:
    """Find a KPI by its key."""
    if key not in CATALOG:
        raise ParameterError(f"KPI {key!r} is unknown; the catalogue has {', '.join(CATALOG)}")
    return CATALOG[key]
