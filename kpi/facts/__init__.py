"""One row per lead, opportunity, visit to a stage, purchase and customer, in the state known at `as_of`; no KPI is computed here."""

from kpi.facts.contracts import covers, is_contractual, recurring, terms
from kpi.facts.customers import activity, purchase_reading, purchases
from kpi.facts.exposure import OBSERVED, at_age, at_risk, exposed, incidence, incidence_curve, observed
from kpi.facts.leads import leads
from kpi.facts.money import in_company_currency
from kpi.facts.opportunities import history, opportunities, reached, visits
from kpi.facts.refunds import refunds
from kpi.facts.scores import scored
from kpi.facts.spells import spells, turns
from kpi.facts.waits import wait

__all__ = [
    "OBSERVED",
    "activity",
    "at_age",
    "at_risk",
    "covers",
    "exposed",
    "history",
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
    "spells",
    "terms",
    "turns",
    "visits",
    "wait",
]
