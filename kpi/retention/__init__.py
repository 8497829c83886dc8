"""Which customers stay and what they are worth to date."""

from kpi.retention.cohorts import cohort_matrix, retention_curve
from kpi.retention.growth import active_customers, activity_window, net_customer_growth, retention_rate
from kpi.retention.refunds import purchase_reading, refunds
from kpi.retention.repeat import repeat_purchase, repeat_purchase_curve
from kpi.retention.value import best_customers, value_deciles, value_to_date

__all__ = [
    "active_customers",
    "activity_window",
    "best_customers",
    "cohort_matrix",
    "net_customer_growth",
    "purchase_reading",
    "refunds",
    "repeat_purchase",
    "repeat_purchase_curve",
    "retention_curve",
    "retention_rate",
    "value_deciles",
    "value_to_date",
]
