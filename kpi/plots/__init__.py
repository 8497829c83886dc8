"""Plots of the KPIs: a tidy result in, the Axes it was drawn on out."""
