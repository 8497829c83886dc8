"""Which customers stay and what they are worth to date."""

from kpi.facts import purchase_reading
from kpi.retention.cohorts import cohort_matrix, compared_cohorts, retention_curve
from kpi.retention.contract_survival import contract_median, contract_survival, contract_survival_curve, renewals
from kpi.retention.growth import active_customers, activity_window, net_customer_growth, retention_rate
from kpi.retention.repeat import repeat_purchase, repeat_purchase_curve
from kpi.retention.revenue_retention import gross_revenue_retention, net_revenue_retention
from kpi.retention.value_to_date import (
    best_customers,
    most_profitable_customers,
    refunds,
    value_deciles,
    value_groups,
    value_to_date,
)

__all__ = [
    "active_customers",
    "activity_window",
    "best_customers",
    "cohort_matrix",
    "compared_cohorts",
    "contract_median",
    "contract_survival",
    "contract_survival_curve",
    "gross_revenue_retention",
    "most_profitable_customers",
    "net_customer_growth",
    "net_revenue_retention",
    "purchase_reading",
    "refunds",
    "renewals",
    "repeat_purchase",
    "repeat_purchase_curve",
    "retention_curve",
    "retention_rate",
    "value_deciles",
    "value_groups",
    "value_to_date",
]


def __dir__() -> list[str]:
    return __all__
