"""What a right analysis of the simulated company finds: from the parameters, not from the sample, except where an account is meant."""

from __future__ import annotations

import math
from dataclasses import asdict

import numpy as np
import pandas as pd

from kpi.simulate import activities, deals, leads
from kpi.simulate.clock import DAY, clock_of
from kpi.simulate.company import Company

REFERENCE = 200_000  # leads drawn once more, with other random numbers, wherever a truth has no formula: a share is then good to 0.2 points
THRESHOLDS = (300, 900, 3600, 86_400)
BANDS = ("within 5 min", "5 to 15 min", "15 min to 1 h", "1 to 24 h", "over 24 h", "never")
HORIZONS = (30, 90, 180, 365)
ACTIVE_DAYS = 365


def describe(company: Company, hidden: dict, tables: dict) -> dict:
    """All truths of a company.

    Parameters
    ----------
    company : Company
        Its parameters.
    hidden : dict of str to DataFrame
        Hidden facts of the simulation, for the accounts.
    tables : dict of str to DataFrame
        Canonical tables, for the accounts.

    Returns
    -------
    dict
        ``company``, ``response``, ``response_by_month``, ``response_curve``, ``lead_to_opportunity``, ``won``, ``customers`` (or ``contracts``) and
        ``net_growth``; rates in [0, 1], durations in seconds for responses and days for the rest.
    """
    usual = company.change(shocks=tuple(shock for shock in company.shocks if shock.what == "leads"))
    clock = clock_of(company)
    crowd = leads.population(usual, clock, REFERENCE, "reference")
    crowd, _ = activities.contact(usual, clock, crowd, usual.rng("reference contact"))
    mix = opportunity_mix(company, crowd)
    truth = {
        "company": asdict(company),
        "response": response(company, crowd),
        "response_by_month": response_by_month(company),
        "response_curve": response_curve(company, crowd),
        "lead_to_opportunity": lead_to_opportunity(company, crowd),
        "won": won(company, mix),
        "net_growth": net_growth(company, hidden["customers"], tables),
    }
    if company.contractual:
        truth["contracts"] = {"staying": {str(n): _r(survival(company, n)) for n in range(1, 8)}}
    else:
        truth["customers"] = purchases(company)
    return truth


def response(company: Company, crowd: pd.DataFrame) -> list[dict]:
    """Share answered within each threshold, median and 90 % delay (missing: not reached), never answered; by source, without shocks."""
    names = [channel.name for channel in company.channels]
    groups = [("all", crowd), *((names[position], group) for position, group in crowd.groupby("channel"))]
    return [{"source": name, **_response_row(group["delay"].to_numpy())} for name, group in groups]


def _response_row(delay: np.ndarray) -> dict:
    row: dict = {f"within_{limit}": _r((delay <= limit).mean()) for limit in THRESHOLDS}
    known = np.sort(np.where(np.isnan(delay), np.inf, delay))
    for name, level in (("median", 0.5), ("p90", 0.9)):
        value = known[math.ceil(level * len(known)) - 1] if len(known) else np.inf
        row[name] = None if math.isinf(value) else round(float(value))
    return row | {"never": _r(np.isnan(delay).mean())}


def response_by_month(company: Company) -> list[dict]:
    """Expected share answered within the hour, and never, of the leads of each month and team, shocks included."""
    clock = clock_of(company)
    crowd = leads.population(company, clock, REFERENCE, "reference by month")
    months = pd.Series(pd.to_datetime(crowd["day"], unit="D").dt.strftime("%Y-%m"), name="month")
    teams = pd.Series(np.array([owner.team for owner in company.owners])[crowd["owner"]], name="team")
    facts = pd.DataFrame({"within_3600": crowd["delay"] <= 3600, "never": crowd["delay"].isna()}).astype("float64")
    both = pd.concat([facts.groupby(months).mean().assign(team="all").set_index("team", append=True), facts.groupby([months, teams]).mean()])
    both = both[both.index.get_level_values("month") <= company.end].sort_index()
    return [{"month": month, "team": team, "within_3600": _r(row.within_3600), "never": _r(row.never)} for (month, team), row in both.iterrows()]


def response_curve(company: Company, crowd: pd.DataFrame) -> list[dict]:
    """Chance of an opportunity by delay of the first attempt: as observed, and if the delay were set for everybody.

    Answered sooner are the leads of high intent, so the observed curve is steeper than the causal one. Leads declined by a machine are left out.

    Parameters
    ----------
    company : Company
        Its effects.
    crowd : DataFrame
        Reference leads.

    Returns
    -------
    list of dict
        One per band: ``band``, ``share`` of leads, ``observed``, ``causal``.
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
        table.append({"band": name, "share": _r(inside.mean()), "observed": _r(crowd["chance"].to_numpy()[inside].mean()), "causal": _r(causal)})
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
        row = {f"by_{horizon}": _r((days[group] <= horizon).mean()) for horizon in HORIZONS[:3]}
        table.append({"source": name, **row, "ever": _r(crowd["chance"].to_numpy()[group].mean())})
    return table


def opportunity_mix(company: Company, crowd: pd.DataFrame) -> np.ndarray:
    """Expected shares of opportunities by source and weekday of creation (Monday to Friday).

    Parameters
    ----------
    company : Company
        Number and sources of direct deals.
    crowd : DataFrame
        Reference leads.

    Returns
    -------
    ndarray
        Sources x 5, sums to 1.
    """
    made = crowd[crowd["converts"]]
    weekday = (clock_of(company).day(made["opened_at"].to_numpy()) + 3) % 7
    mix = np.zeros((len(company.channels), 7))
    np.add.at(mix, (made["channel"].to_numpy(), weekday), 1 / len(crowd))
    direct = np.array([channel.direct for channel in company.channels])
    mix[:, :5] += company.direct * direct[:, None] / max(direct.sum(), 1e-9) / 5
    return mix[:, :5] / mix[:, :5].sum()


def won(company: Company, mix: np.ndarray) -> dict:
    """Incidence of won and of lost by days since creation, by source, from the hazards; also under each shock on deals.

    Parameters
    ----------
    company : Company
        Hazards.
    mix : ndarray
        As `opportunity_mix` returns.

    Returns
    -------
    dict
        ``usual``: one row per source and horizon; ``shock 1`` and so on: the same while that shock lasts.
    """
    factors = {"usual": 1.0}
    for number, shock in enumerate((item for item in company.shocks if item.what.endswith("deals")), start=1):
        factors[f"shock {number}"] = shock.factor
    return {name: _won_rows(company, mix, incidence(company, factor)) for name, factor in factors.items()}


def _won_rows(company: Company, mix: np.ndarray, curves: np.ndarray) -> list[dict]:
    table = []
    for position, name in enumerate(["all", *(channel.name for channel in company.channels)]):
        weights = mix if position == 0 else mix[position - 1 : position] + 1e-12
        part = curves if position == 0 else curves[:, position - 1 : position]
        mean = np.einsum("owdt,wd->ot", part, weights / weights.sum())
        table += [{"source": name, "days": horizon, "won": _r(mean[0, horizon]), "lost": _r(mean[1, horizon])} for horizon in HORIZONS]
    return table


def incidence(company: Company, factor: float = 1.0, days: int = 365) -> np.ndarray:
    """Incidence of won and lost by day since creation, exactly, deal values integrated out.

    Parameters
    ----------
    company : Company
        Hazards, values, qualities.
    factor : float
        Multiplies the chance of a step forward.
    days : int
        Up to this day.

    Returns
    -------
    ndarray
        2 (won, lost) x sources x 5 weekdays of creation x (`days` + 1).
    """
    count, (advance, lost) = len(company.stages), deals.hazards(company)
    nodes, weights = np.polynomial.hermite_e.hermegauss(9)
    channel, weekday, node = (axis.ravel() for axis in np.indices((len(company.channels), 5, len(nodes))))
    value = company.value_median * np.array([item.value for item in company.channels])[channel] * np.exp(company.value_sigma * nodes[node])
    forward, backward = deals.pull(company, channel, value)
    entered = np.zeros((count, len(channel), days + 1))  # mass in a stage by day of entry
    entered[0, :, 0] = 1
    done = np.zeros((2, len(channel), days + 1))
    for day in range(1, days + 1):
        calendar = np.broadcast_to(weekday - 3 + day, len(channel))  # day 0 of the Unix calendar was a Thursday
        ages = np.minimum(day - np.arange(day), deals.AGES - 1)
        done[:, :, day] = done[:, :, day - 1]
        arrivals = np.zeros((count + 2, len(channel)))
        for stage in range(count):
            mass = entered[stage, :, :day]
            p_forward = deals.chances(advance[stage, ages][None, :], (forward * factor)[:, None], calendar[:, None])
            p_lost = deals.chances(lost[stage, ages][None, :], backward[:, None], calendar[:, None])
            moved = (mass * p_forward).sum(axis=1)
            arrivals[stage + 1] += moved * (1 - company.skip)
            arrivals[min(stage + 2, count)] += moved * company.skip
            done[1, :, day] += (mass * p_lost).sum(axis=1)
            entered[stage, :, :day] = mass * (1 - p_forward - p_lost)
        entered[1:, :, day] = arrivals[1:count]
        done[0, :, day] += arrivals[count]
    shaped = done.reshape(2, len(company.channels), 5, len(nodes), days + 1)
    return np.einsum("owdvt,v->owdt", shaped, weights / weights.sum())


def purchases(company: Company) -> dict:
    """Expected repeat orders of a new customer, chance of still being there, mean repeat order by source (MBG/NBD, Gamma-Gamma)."""
    mean = company.spend_p * company.spend_gamma / (company.spend_q - 1)
    return {
        "expected_orders": {str(days): _r(expected_orders(company, days)) for days in (90, 180, 365, 730, 1095)},
        "still_there": {str(days): _r(still_there(company, days)) for days in (90, 180, 365, 730, 1095)},
        "mean_order": {channel.name: round(mean * channel.value, 2) for channel in company.channels},
    }


def _over_drop(company: Company, function) -> float:
    """Mean over the beta distribution of the chance of leaving; substituting u = p^a removes the pole at 0."""
    a, b = company.drop_a, company.drop_b
    nodes, weights = np.polynomial.legendre.leggauss(2000)
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


def net_growth(company: Company, customers: pd.DataFrame, tables: dict) -> list[dict]:
    """Account of customers, month by month: from the hidden day of leaving, and from purchases alone.

    By purchases, a customer is active who bought in the 365 days before (`ACTIVE_DAYS`); in a contractual company only the first account exists.

    Parameters
    ----------
    company : Company
        Months.
    customers : DataFrame
        Hidden facts: ``at`` and ``left_at``.
    tables : dict of str to DataFrame
        Canonical tables; uses ``orders``.

    Returns
    -------
    list of dict
        Per month ``start`` + ``new`` - ``left`` = ``end``; ``active_start`` + ``active_new`` + ``reactivated`` - ``lapsed`` = ``active_end``.
    """
    clock = clock_of(company)
    edges = [int((month.start_time - pd.Timestamp(0)).days) for month in company.months.append(company.months[-1:] + 1)]
    limits = clock.utc(np.array(edges) * DAY)
    joined, left = customers["at"].to_numpy(), customers["left_at"].fillna(np.inf).to_numpy()
    bought = None if company.contractual else _sale_days(clock, tables["orders"])
    table = []
    for month, since, until, first, last in zip(company.months, limits[:-1], limits[1:], edges[:-1], edges[1:], strict=True):
        row = {
            "month": str(month),
            "start": int(((joined < since) & (left >= since)).sum()),
            "new": int(((joined >= since) & (joined < until)).sum()),
        }
        row |= {"left": int(((left >= since) & (left < until)).sum()), "end": int(((joined < until) & (left >= until)).sum())}
        table.append(row if bought is None else row | _active_account(bought, first, last))
    return table


def _sale_days(clock, orders: pd.DataFrame) -> pd.DataFrame:
    sales = orders[orders["kind"] == "sale"]
    seconds = sales["at"].to_numpy().astype("M8[s]").astype("int64")
    return pd.DataFrame({"customer": sales["customer_id"].to_numpy(), "day": clock.day(seconds)})


def _active_account(bought: pd.DataFrame, first: int, last: int) -> dict:
    """Active at both ends by purchases; a purchase on the window's oldest day still counts."""
    days = bought["day"]
    before = set(bought["customer"][(days < first) & (days >= first - ACTIVE_DAYS)])
    after = set(bought["customer"][(days < last) & (days >= last - ACTIVE_DAYS)])
    known = set(bought["customer"][days < first])
    came = after - before
    return {
        "active_start": len(before),
        "active_new": len(came - known),
        "reactivated": len(came & known),
        "lapsed": len(before - after),
        "active_end": len(after),
    }


def _r(value: float) -> float:
    """Four decimals: no more than the reference carries, and the same on every machine."""
    return round(float(value), 4)
