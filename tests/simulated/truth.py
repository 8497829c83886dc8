"""What a right analysis of the simulated company finds: from the parameters, not from the sample, except where an account is meant."""

from __future__ import annotations

import math
from dataclasses import asdict

import numpy as np
import pandas as pd

from tests.simulated import activities, incidence, leads, staying
from tests.simulated.clock import DAY, Clock, clock_of
from tests.simulated.company import Company
from tests.simulated.incidence import HORIZONS, round_share

REFERENCE = 200_000  # leads drawn once more, with other random numbers, wherever a truth has no formula: a share is then good to 0.2 points
THRESHOLDS = (300, 900, 3600, 86_400)
BANDS = ("within 5 min", "5 to 15 min", "15 min to 1 h", "1 to 24 h", "over 24 h", "never")
ACTIVE_DAYS = 365


def describe(company: Company, hidden: dict) -> dict:
    """All truths of a company.

    Returns
    -------
    dict
        ``company``, ``response``, ``response_by_month``, ``response_curve``, ``lead_to_opportunity``, ``won``, ``stages``, ``customers`` (or
        ``contracts``) and ``net_growth``; rates in [0, 1], durations in seconds for responses and days for the rest.
    """
    usual = company.change(shocks=tuple(shock for shock in company.shocks if shock.what == "leads"))
    clock = clock_of(company)
    crowd = leads.population(usual, clock, REFERENCE, "reference")
    crowd, _ = activities.contact(usual, clock, crowd, usual.rng("reference contact"))
    mix = incidence.opportunity_mix(company, crowd)
    truth = {
        "company": asdict(company),
        "response": response(company, crowd),
        "response_by_month": response_by_month(company),
        "response_curve": response_curve(company, crowd),
        "lead_to_opportunity": lead_to_opportunity(company, crowd),
        "won": incidence.won(company, mix),
        "stages": staying.stages(company, mix),
        "net_growth": net_growth(company, hidden),
    }
    if company.contractual:
        truth["contracts"] = {"staying": {str(n): round_share(survival(company, n)) for n in range(1, 8)}}
    else:
        truth["customers"] = purchases(company)
    return truth


def response(company: Company, crowd: pd.DataFrame) -> list[dict]:
    """Share answered within each threshold, median and 90 % delay (missing: not reached), never answered; by source, without shocks."""
    names = [channel.name for channel in company.channels]
    groups = [("all", crowd), *((names[position], group) for position, group in crowd.groupby("channel"))]
    return [{"source": name, **_response_row(group["delay"].to_numpy())} for name, group in groups]


def _response_row(delay: np.ndarray) -> dict:
    row: dict = {f"within_{limit}": round_share((delay <= limit).mean()) for limit in THRESHOLDS}
    known = np.sort(np.where(np.isnan(delay), np.inf, delay))
    for name, level in (("median", 0.5), ("p90", 0.9)):
        value = known[math.ceil(level * len(known)) - 1] if len(known) else np.inf
        row[name] = None if math.isinf(value) else round(float(value))
    return row | {"never": round_share(np.isnan(delay).mean())}


def response_by_month(company: Company) -> list[dict]:
    """Expected share answered within the hour, and never, of the leads of each month and team, shocks included."""
    clock = clock_of(company)
    crowd = leads.population(company, clock, REFERENCE, "reference by month")
    months = pd.Series(pd.to_datetime(crowd["day"], unit="D").dt.strftime("%Y-%m"), name="month")
    teams = pd.Series(np.array([owner.team for owner in company.owners])[crowd["owner"]], name="team")
    facts = pd.DataFrame({"within_3600": crowd["delay"] <= 3600, "never": crowd["delay"].isna()}).astype("float64")
    both = pd.concat([facts.groupby(months).mean().assign(team="all").set_index("team", append=True), facts.groupby([months, teams]).mean()])
    both = both[both.index.get_level_values("month") <= company.end].sort_index()
    return [
        {"month": month, "team": team, "within_3600": round_share(row.within_3600), "never": round_share(row.never)}
        for (month, team), row in both.iterrows()
    ]


def response_curve(company: Company, crowd: pd.DataFrame) -> list[dict]:
    """Chance of an opportunity by delay of the first attempt: as observed, and if the delay were set for everybody.

    Answered sooner are the leads of high intent, so the observed curve is steeper than the causal one. Leads declined by a machine are left out.
    """
    crowd = crowd[~crowd["machine"]]
    delay = crowd["delay"].to_numpy()
    band = np.where(np.isnan(delay), len(BANDS) - 1, np.searchsorted(THRESHOLDS, np.nan_to_num(delay), side="left"))
    nodes, weights = np.polynomial.hermite_e.hermegauss(21)
    shares = np.array([channel.share for channel in company.channels])
    table = []
    for position, name in enumerate(BANDS):
        inside = band == position
        sample = np.sort(delay[inside])[:: max(1, inside.sum() // 400)] if position < len(BANDS) - 1 else np.array([np.nan])
        chance = leads.conversion(company, np.arange(len(shares))[:, None, None], sample[None, :, None], nodes[None, None, :])
        causal = (chance.mean(axis=1) @ (weights / weights.sum())) @ (shares / shares.sum())
        observed = crowd["chance"].to_numpy()[inside].mean()
        table.append({"band": name, "share": round_share(inside.mean()), "observed": round_share(observed), "causal": round_share(causal)})
    return table


def lead_to_opportunity(company: Company, crowd: pd.DataFrame) -> list[dict]:
    """Incidence of an opportunity by days since the lead, and ever, by source, without shocks."""
    clock = clock_of(company)
    opened = crowd["opened_at"].to_numpy()
    days = np.where(np.isnan(opened), np.inf, clock.day(np.nan_to_num(opened, nan=crowd["at"].iloc[0])) - crowd["day"])
    names = ["all", *(channel.name for channel in company.channels)]
    table = []
    for position, name in enumerate(names):
        group = np.ones(len(crowd), dtype=bool) if position == 0 else crowd["channel"].to_numpy() == position - 1
        ever, made = crowd["chance"].to_numpy()[group].mean(), days[group & ~np.isnan(opened)]
        row = {f"by_{horizon}": round_share(ever * (made <= horizon).mean()) for horizon in HORIZONS[:3]}
        table.append({"source": name, **row, "ever": round_share(ever)})
    return table


def purchases(company: Company) -> dict:
    """Expected repeat orders of a new customer, chance of still being there, mean repeat order by source (MBG/NBD, Gamma-Gamma)."""
    mean = company.spend_p * company.spend_gamma / (company.spend_q - 1)
    return {
        "expected_orders": {str(days): round_share(expected_orders(company, days)) for days in (90, 180, 365, 730, 1095)},
        "still_there": {str(days): round_share(still_there(company, days)) for days in (90, 180, 365, 730, 1095)},
        "mean_order": {channel.name: round(mean * channel.value, 2) for channel in company.channels},
    }


def _over_drop(company: Company, function) -> float:
    """Mean over the beta distribution of the chance of leaving; substituting u = p^a removes the pole at 0."""
    a, b = company.drop_a, company.drop_b
    nodes, weights = np.polynomial.legendre.leggauss(120)
    p = ((nodes + 1) / 2) ** (1 / a)
    density = (1 - p) ** (b - 1) / a / math.exp(math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b))
    return float((weights / 2 * density * function(p)).sum())


def expected_orders(company: Company, days: float) -> float:
    """Expected repeat orders in the first `days` of a customer: mean of (1 - p) / p x (1 - exp(-rate p days)) over rate and p."""
    r, alpha = company.buy_r, company.buy_alpha
    return _over_drop(company, lambda p: (1 - p) / p * (1 - (alpha / (alpha + p * days)) ** r))


def still_there(company: Company, days: float) -> float:
    """Chance that a customer has not left `days` after the first order."""
    r, alpha = company.buy_r, company.buy_alpha
    return _over_drop(company, lambda p: (1 - p) * (alpha / (alpha + p * days)) ** r)


def survival(company: Company, renewals: int) -> float:
    """Chance that a contract is renewed so many times (shifted beta-geometric)."""
    a, b = company.churn_a, company.churn_b
    return math.exp(math.lgamma(b + renewals) - math.lgamma(b) - math.lgamma(a + b + renewals) + math.lgamma(a + b))


def net_growth(company: Company, hidden: dict) -> list[dict]:
    """Account of customers, month by month: from the hidden day of leaving, and from purchases alone.

    By purchases, a customer is active who bought in the 365 days before (`ACTIVE_DAYS`); in a contractual company only the first account exists.
    """
    clock, customers = clock_of(company), hidden["customers"]
    edges = [int((month.start_time - pd.Timestamp(0)).days) for month in company.months.append(company.months[-1:] + 1)]
    limits = clock.utc(np.array(edges) * DAY)
    joined, left = customers["at"].to_numpy(), customers["left_at"].fillna(np.inf).to_numpy()
    active = None if company.contractual else _active_accounts(clock, hidden["orders"], edges)
    table = []
    for number, (month, since, until) in enumerate(zip(company.months, limits[:-1], limits[1:], strict=True)):
        row = {
            "month": str(month),
            "start": int(((joined < since) & (left >= since)).sum()),
            "new": int(((joined >= since) & (joined < until)).sum()),
        }
        row |= {"left": int(((left >= since) & (left < until)).sum()), "end": int(((joined < until) & (left >= until)).sum())}
        table.append(row if active is None else row | active[number])
    return table


def _active_accounts(clock: Clock, orders: pd.DataFrame, edges: list[int]) -> list[dict]:
    """Active by purchases at the edges, and who came and went between them; a purchase on the window's oldest day still counts."""
    sales = orders[orders["refunded"] < 0]
    day, who = clock.day(sales["at"].to_numpy()), sales["customer"].to_numpy()
    last, there, table = np.full(who.max(initial=-1) + 1, -(10**6)), np.zeros(who.max(initial=-1) + 1, dtype=bool), []
    for since, until in zip([-(10**5), *edges[:-1]], edges, strict=True):
        known = last > -(10**6)
        bought = (day >= since) & (day < until)
        np.maximum.at(last, who[bought], day[bought])
        before, there = there, last >= until - ACTIVE_DAYS
        came, went = there & ~before, before & ~there
        row = {"active_start": before, "active_new": came & ~known, "reactivated": came & known, "lapsed": went, "active_end": there}
        table.append({name: int(chosen.sum()) for name, chosen in row.items()})
    return table[1:]
