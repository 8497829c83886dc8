"""What the pages say: tidy results in; sentences, figures and tables out, one module per page or section. No KPI is computed here.

Every sentence that judges is chosen from the numbers: a signal is called one only when the process behaviour chart says so, a difference only when
the intervals do not overlap.
"""

from kpi.presentation.pages import (
    comparison,
    lever_gains,
    lifetime_value,
    movement,
    open_deals,
    pipeline,
    pulse,
    response_time,
    retention,
    speed_and_outcome,
    stage_by_stage,
)
from kpi.presentation.pages.about import About, about, closing, section
