"""Plots of the KPIs: a tidy result in, the Axes it was drawn on out.

All take ``words`` (the language of what is written), ``xlabel`` and ``ylabel`` where an axis has a name, and ``ax``: where to draw, by default
on an Axes of their own of the size that pages expect. None sets a global style, shows, saves or closes.
"""

from kpi.presentation.charts.bars import plot_account, plot_amounts, plot_bands, plot_flow, plot_shares
from kpi.presentation.charts.curves import plot_incidence, plot_retention, plot_survival, plot_tracking
from kpi.presentation.charts.heat_maps import plot_cohorts, plot_week
from kpi.presentation.charts.points import plot_ageing, plot_levers, plot_points

__all__ = [
    "plot_account",
    "plot_ageing",
    "plot_amounts",
    "plot_bands",
    "plot_cohorts",
    "plot_flow",
    "plot_incidence",
    "plot_levers",
    "plot_points",
    "plot_retention",
    "plot_shares",
    "plot_survival",
    "plot_tracking",
    "plot_week",
]
