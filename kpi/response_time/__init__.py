"""How fast leads are answered: from the inquiry to the first outbound human activity, on two clocks, with those still waiting kept.

Leads disqualified before any touch are a competing event; unanswered ones are censored at `as_of`; those touched within the 24 hours before their
inquiry are set aside, counted by `touched_before`. Merged leads, and those created again for the same person, are one inquiry.
"""

from kpi.response_time.answer_comparison import compared, on_both_clocks, out_of_hours, response_change
from kpi.response_time.answers import answered_within, attempts, response_bands, response_curve, response_time
from kpi.response_time.assignment import delay_parts, owner_delay, routing_delay
from kpi.response_time.automation import alert_to_touch, nurtured, score_at_touch
from kpi.response_time.speed import sensitivity, speed_to_outcome, what_if
from kpi.response_time.waiting import never_answered, touched_before, waiting_leads, waiting_queue

__all__ = [
    "alert_to_touch",
    "answered_within",
    "attempts",
    "compared",
    "delay_parts",
    "never_answered",
    "nurtured",
    "on_both_clocks",
    "out_of_hours",
    "owner_delay",
    "response_bands",
    "response_change",
    "response_curve",
    "response_time",
    "routing_delay",
    "score_at_touch",
    "sensitivity",
    "speed_to_outcome",
    "touched_before",
    "waiting_leads",
    "waiting_queue",
    "what_if",
]


def __dir__() -> list[str]:
    return __all__
