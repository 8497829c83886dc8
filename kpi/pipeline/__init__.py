"""How opportunities move: from lead to opportunity to customer, stage by stage, with open records kept."""

from kpi.pipeline.conversion import closed_win_rate, conversion_curve, lead_to_customer, lead_to_opportunity, opportunity_to_customer
from kpi.pipeline.inflow import created, entered_stage, leads_created, won
from kpi.pipeline.movements import snapshots, waterfall
from kpi.pipeline.snapshot import open_pipeline
from kpi.pipeline.stages import stage_conversion, time_in_stage, time_in_stage_curve
from kpi.pipeline.value import average_value, average_values, sales_cycle

__all__ = [
    "average_value",
    "average_values",
    "closed_win_rate",
    "conversion_curve",
    "created",
    "entered_stage",
    "lead_to_customer",
    "lead_to_opportunity",
    "leads_created",
    "open_pipeline",
    "opportunity_to_customer",
    "sales_cycle",
    "snapshots",
    "stage_conversion",
    "time_in_stage",
    "time_in_stage_curve",
    "waterfall",
    "won",
]
