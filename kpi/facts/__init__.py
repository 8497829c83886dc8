"""One row per lead, opportunity, visit to a stage, purchase and customer, in the state known at `as_of`; no KPI is computed here."""

from kpi.facts.contracts import covers, is_contractual, recurring, terms
from kpi.facts.customers import activity, purchase_reading, purchases
from kpi.facts.exposure import OBSERVED, at_age, at_risk, exposed, incidence, incidence_curve, observed
from kpi.facts.leads import leads
from kpi.facts.money import in_company_currency
from kpi.facts.opportunities import changes, opportunities, states
from kpi.facts.refunds import refunds
from kpi.facts.scores import scored
from kpi.facts.stage_visits import reached, stages, visits
from kpi.facts.waits import wait

__all__ = [
    "OBSERVED",
    "activity",
    "at_age",
    "at_risk",
    "changes",
    "covers",
    "exposed",
    "in_company_currency",
    "incidence",
    "incidence_curve",
    "is_contractual",
    "leads",
    "observed",
    "opportunities",
    "purchase_reading",
    "purchases",
    "reached",
    "recurring",
    "refunds",
    "scored",
    "stages",
    "states",
    "terms",
    "visits",
    "wait",
]
