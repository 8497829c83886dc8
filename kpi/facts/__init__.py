"""One row per lead, opportunity, visit to a stage, purchase and customer, in the state known at `as_of`; no KPI is computed here."""

from kpi.facts.contract_terms import covers, is_contractual, recurring, terms
from kpi.facts.exposure import OBSERVED, at_age, at_risk, exposed, incidence, incidence_curve, observed
from kpi.facts.leads import deals_linked, leads, need_outcome, wait
from kpi.facts.money import in_company_currency
from kpi.facts.opportunities import changes, opportunities, states
from kpi.facts.purchases import activity, buyers, purchase_reading, purchases, refunds, usual_pause, with_cost
from kpi.facts.stage_visits import reached, stages, told_from, told_window, visits
from kpi.facts.touches import scored
