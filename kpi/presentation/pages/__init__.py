"""What the pages say: tidy results in; sentences, figures and tables out, one module per page. No KPI is computed here.

Every sentence that judges is chosen from the numbers: a signal is called one only when the process behaviour chart says so, a difference only when
the intervals do not overlap.
"""

from kpi.presentation.pages import (
    comparison,
    contracts,
    conversion,
    customer_value,
    levers,
    lifetime_value,
    movement,
    pipeline,
    pulse,
    response_time,
    retention,
    stages,
)
from kpi.presentation.pages.about import About, about, closing, section

__all__ = [
    "About",
    "about",
    "closing",
    "comparison",
    "contracts",
    "conversion",
    "customer_value",
    "levers",
    "lifetime_value",
    "movement",
    "pipeline",
    "pulse",
    "response_time",
    "retention",
    "section",
    "stages",
]
