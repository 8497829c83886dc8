"""What customers will be worth: models of buying again, of spending and of renewing, fitted by maximum likelihood on counts."""

from kpi.lifetime_value.contract_value import renewal_check
from kpi.lifetime_value.expected_value import at_risk, expected_value, fit, right_customers
from kpi.lifetime_value.holdout import active_probability, model_check, tracking
from kpi.lifetime_value.purchase_model import PurchaseModel, expected_purchases, fit_purchases, probability_active, variance_of_purchases
from kpi.lifetime_value.renewal_model import RenewalModel, fit_renewals, share_kept
from kpi.lifetime_value.spending_model import SpendingModel, fit_spending

__all__ = [
    "PurchaseModel",
    "RenewalModel",
    "SpendingModel",
    "active_probability",
    "at_risk",
    "expected_purchases",
    "expected_value",
    "fit",
    "fit_purchases",
    "fit_renewals",
    "fit_spending",
    "model_check",
    "probability_active",
    "renewal_check",
    "right_customers",
    "share_kept",
    "tracking",
    "variance_of_purchases",
]


def __dir__() -> list[str]:
    return __all__
