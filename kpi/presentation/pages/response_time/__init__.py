"""The page on response time."""

from kpi.presentation.pages.response_time.answers import band_labels, distribution, lost_time, opening, speed
from kpi.presentation.pages.response_time.association import association, speed_labels
from kpi.presentation.pages.response_time.follow_up import automation, persistence, waiting_list
from kpi.presentation.pages.response_time.groups import by_group
from kpi.presentation.pages.response_time.hours import clocks, week

__all__ = [
    "association",
    "automation",
    "band_labels",
    "by_group",
    "clocks",
    "distribution",
    "lost_time",
    "opening",
    "persistence",
    "speed",
    "speed_labels",
    "waiting_list",
    "week",
]
