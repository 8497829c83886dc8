"""What customers will be worth: models of buying again, of spending and of renewing, fitted by maximum likelihood on counts."""

from kpi.lifetime_value.contracts import renewal_check
from kpi.lifetime_value.expected import at_risk, expected_value, fit, right_customers
from kpi.lifetime_value.holdout import active_probability, model_check, tracking
from kpi.lifetime_value.outlook import expected_purchases, probability_active, purchases_of_new, total_interval, variance_of_purchases
from kpi.lifetime_value.purchasing import PurchaseModel, fit_purchases, log_likelihood
from kpi.lifetime_value.renewals import RenewalModel, expected_renewals, fit_renewals, share_kept
from kpi.lifetime_value.spending import SpendingModel, expected_amount, fit_spending

__all__ = [
    "PurchaseModel",
    "RenewalModel",
    "SpendingModel",
    "active_probability",
    "at_risk",
    "expected_amount",
    "expected_purchases",
    "expected_renewals",
    "expected_value",
    "fit",
    "fit_purchases",
    "fit_renewals",
    "fit_spending",
    "log_likelihood",
    "model_check",
    "probability_active",
    "purchases_of_new",
    "renewal_check",
    "right_customers",
    "share_kept",
    "total_interval",
    "tracking",
    "variance_of_purchases",
]
