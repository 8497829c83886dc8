"""Plots of the KPIs: a tidy result in, the Axes it was drawn on out."""

from kpi.presentation.charts.ageing import plot_ageing
from kpi.presentation.charts.bars import plot_account, plot_amounts, plot_bands, plot_cohorts, plot_shares, plot_week
from kpi.presentation.charts.curves import plot_incidence, plot_retention
from kpi.presentation.charts.expectations import plot_calibration, plot_survival, plot_tracking
from kpi.presentation.charts.flow import plot_flow
from kpi.presentation.charts.points import plot_levers, plot_points

__all__ = [
    "plot_account",
    "plot_ageing",
    "plot_amounts",
    "plot_bands",
    "plot_calibration",
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
