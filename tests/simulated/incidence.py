"""True incidence of won and lost deals, from the hazards themselves."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tests.simulated import deals
from tests.simulated.clock import clock_of, weekday
from tests.simulated.company import Company

HORIZONS = (30, 90, 180, 365)


def opportunity_mix(company: Company, crowd: pd.DataFrame) -> np.ndarray:
    """Expected shares of opportunities by source and weekday of creation (Monday to Friday)."""
    mix = sum(opportunities_per_lead(company, crowd))
    return mix / mix.sum()


def opportunities_per_lead(company: Company, crowd: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Expected opportunities by source and weekday of creation (Monday to Friday), per lead."""
    made = crowd[crowd["converts"]]
    mix = np.zeros((len(company.channels), 7))
    days = weekday(clock_of(company).day(made["opened_at"].to_numpy()))
    np.add.at(mix, (made["channel"].to_numpy(), days), 1 / len(crowd))
    direct = np.array([channel.direct for channel in company.channels])
    return mix[:, :5], np.repeat((company.direct * direct / max(direct.sum(), 1e-9) / 5)[:, None], 5, axis=1)


def won(company: Company, mix: np.ndarray) -> dict:
    """Incidence of won and of lost by days since creation, by source, from the hazards; also under each shock on deals."""
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
    """Incidence of won and lost by day since creation, exactly, deal values integrated out."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(9)
    channel, created, node = (axis.ravel() for axis in np.indices((len(company.channels), 5, len(nodes))))
    value = company.value_median * np.array([item.value for item in company.channels])[channel] * np.exp(company.value_sigma * nodes[node])
    start = {"stage": np.zeros(len(channel), dtype="int64"), "entered": np.zeros(len(channel), dtype="int64")}
    # Day 0 of the Unix calendar was a Thursday.
    done = follow(company, channel, value, **start, calendar=created - 3, first=1, days=days, factor=factor)
    shaped = done.reshape(2, len(company.channels), 5, len(nodes), days + 1)
    return np.einsum("owdvt,v->owdt", shaped, weights / weights.sum())


def follow(
    company: Company,
    channel: np.ndarray,
    value: np.ndarray,
    *,
    stage: np.ndarray,
    entered: np.ndarray,
    calendar: np.ndarray,
    first: int,
    days: int,
    factor: float = 1.0,
    pace: np.ndarray | float = 0.0,
    push: np.ndarray | float = 0.0,
) -> np.ndarray:
    """Chance that deals are won and lost by each day, exactly."""
    count, (advance, lost) = len(company.stages), deals.hazards(company)
    pace, push = (np.broadcast_to(np.exp(part), count) for part in (pace, push))
    forward, backward = deals.pull(company, channel, value)
    there = np.zeros((count, len(channel), first + days))  # mass in a stage by day of entry
    there[stage, np.arange(len(channel)), entered] = 1
    done = np.zeros((2, len(channel), days + 1))
    for day in range(first, first + days):
        ages, step = np.minimum(day - np.arange(day), deals.AGES - 1), day - first + 1
        done[:, :, step] = done[:, :, step - 1]
        arrivals = np.zeros((count + 2, len(channel)))
        for place in range(count):
            mass = there[place, :, :day]
            p_forward = deals.chances(advance[place, ages][None, :], (forward * factor * pace[place])[:, None], (calendar + day)[:, None])
            p_lost = deals.chances(lost[place, ages][None, :], (backward * pace[place])[:, None], (calendar + day)[:, None])
            if push[place] != 1:
                ends = p_forward + p_lost
                p_forward = ends * p_forward * push[place] / np.maximum(p_forward * push[place] + p_lost, 1e-300)
                p_lost = ends - p_forward
            moved = (mass * p_forward).sum(axis=1)
            arrivals[place + 1] += moved * (1 - company.skip)
            arrivals[min(place + 2, count)] += moved * company.skip
            done[1, :, step] += (mass * p_lost).sum(axis=1)
            there[place, :, :day] = mass * (1 - p_forward - p_lost)
        there[1:, :, day] = arrivals[1:count]
        done[0, :, step] += arrivals[count]
    return done


def round_share(value: float) -> float:
    """Four decimals: no more than the reference carries, and the same on every machine."""
    return round(float(value), 4)
