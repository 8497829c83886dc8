"""How deals move through the pipeline: what comes in, how far it gets, how long it takes, what is won, what slips, what the open ones are worth.

Shares that convert keep what is still open: they tell how things go now, not only how closed deals ended. `stage_conversion` finds where deals get
lost, `waterfall` what changed the open pipeline between two dates, `stale_deals` whom to call.
"""

from kpi.pipeline.closed_deals import average_value, average_values, closed_win_rate, loss_reasons, sales_cycle
from kpi.pipeline.conversion import conversion_curve, lead_to_customer, lead_to_opportunity, opportunity_to_customer
from kpi.pipeline.monthly import created, entered_stage, leads_created, watched_stage, won
from kpi.pipeline.open_pipeline import open_pipeline, snapshots
from kpi.pipeline.slipping import open_ages, pushes, stale, stale_deals, stale_limits
from kpi.pipeline.stages import funnel, stage_conversion, stage_flow, stage_moves, time_in_stage, time_in_stage_curve
from kpi.pipeline.velocity import coverage, sales_velocity, weighted_pipeline, won_from_stage
from kpi.pipeline.waterfall import waterfall

__all__ = [
    "average_value",
    "average_values",
    "closed_win_rate",
    "conversion_curve",
    "coverage",
    "created",
    "entered_stage",
    "funnel",
    "lead_to_customer",
    "lead_to_opportunity",
    "leads_created",
    "loss_reasons",
    "open_ages",
    "open_pipeline",
    "opportunity_to_customer",
    "pushes",
    "sales_cycle",
    "sales_velocity",
    "snapshots",
    "stage_conversion",
    "stage_flow",
    "stage_moves",
    "stale",
    "stale_deals",
    "stale_limits",
    "time_in_stage",
    "time_in_stage_curve",
    "watched_stage",
    "waterfall",
    "weighted_pipeline",
    "won",
    "won_from_stage",
]


def __dir__() -> list[str]:
    return __all__
