"""The one object that goes through the kit: canonical tables on an engine, with the company's zone, hours and parameters."""

from kpi.dataset.dataset import Dataset, load
from kpi.dataset.segments import whole

__all__ = ["Dataset", "load", "whole"]
