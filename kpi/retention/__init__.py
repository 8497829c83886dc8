"""Which customers stay and what they are worth to date."""

from kpi.retention.cohorts import cohort_matrix, compared_cohorts, retention_curve
from kpi.retention.contracts import contract_median, contract_survival, contract_survival_curve, renewals
from kpi.retention.groups import value_groups
from kpi.retention.growth import active_customers, activity_window, net_customer_growth, retention_rate
from kpi.retention.refunds import purchase_reading, refunds
from kpi.retention.repeat import repeat_purchase, repeat_purchase_curve
from kpi.retention.revenue import gross_revenue_retention, net_revenue_retention
from kpi.retention.value import best_customers, most_profitable_customers, value_deciles, value_to_date

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
