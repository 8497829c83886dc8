"""True incidence of won and lost deals, from the hazards themselves."""

from __future__ import annotations

import numpy as np
import pandas as pd

from kpi.simulate import deals
from kpi.simulate.clock import clock_of, weekday
from kpi.simulate.company import Company

HORIZONS = (30, 90, 180, 365)


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
    mix = np.zeros((len(company.channels), 7))
    days = weekday(clock_of(company).day(made["opened_at"].to_numpy()))
    np.add.at(mix, (made["channel"].to_numpy(), days), 1 / len(crowd))
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
        table += [
            {"source": name, "days": horizon, "won": round_share(mean[0, horizon]), "lost": round_share(mean[1, horizon])} for horizon in HORIZONS
        ]
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
    channel, created, node = (axis.ravel() for axis in np.indices((len(company.channels), 5, len(nodes))))
    value = company.value_median * np.array([item.value for item in company.channels])[channel] * np.exp(company.value_sigma * nodes[node])
    forward, backward = deals.pull(company, channel, value)
    entered = np.zeros((count, len(channel), days + 1))  # mass in a stage by day of entry
    entered[0, :, 0] = 1
    done = np.zeros((2, len(channel), days + 1))
    for day in range(1, days + 1):
        calendar = created - 3 + day  # day 0 of the Unix calendar was a Thursday
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


def round_share(value: float) -> float:
    """Four decimals: no more than the reference carries, and the same on every machine.

    Parameters
    ----------
    value : float
        A share or a mean.

    Returns
    -------
    float
    """
    return round(float(value), 4)
