"""Leads: when they arrive, from where, how soon they are answered, which of them become opportunities."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tests.simulated.clock import DAY, Clock, months_of, weekday
from tests.simulated.company import Company, day_number
from tests.simulated.parts import Shock


def arrive(company: Company, clock: Clock, n: int, rng: np.random.Generator) -> pd.DataFrame:
    """Leads by season, weekday and local hour, with source, owner and hidden intent."""
    hours = np.arange(*clock.utc(np.array([company.first_day, company.export_day]) * DAY), 3600)
    weights = arrival_rates(company, clock, hours)
    chosen = np.repeat(hours, rng.multinomial(n, weights / weights.sum()))
    at = np.sort(chosen + rng.integers(0, 3600, n)).astype("float64")
    shares = np.array([channel.share for channel in company.channels])
    channel = rng.choice(len(shares), n, p=shares / shares.sum())
    day = clock.day(at)
    return pd.DataFrame(
        {
            "at": at,
            "day": day,
            "channel": channel,
            "owner": assign(company, day, channel, rng),
            "intent": rng.standard_normal(n),
            "machine": rng.random(n) < company.machine,
        }
    )


def arrival_rates(company: Company, clock: Clock, hours: np.ndarray) -> np.ndarray:
    """Relative arrival rates of UTC hours; an hour that local time skips or repeats needs no special care."""
    local = clock.local(hours)
    day = local // DAY
    month = months_of(day) % 12
    rates = np.array(company.season)[month] * np.array(company.weekday)[weekday(day)] * np.array(company.hour)[local % DAY // 3600]
    rates *= np.where(np.isin(day, clock.holidays), company.holiday, 1.0) * (1 + company.growth) ** ((day - company.first_day) / 365.25)
    for shock in company.shocks:
        if shock.what == "leads":
            rates *= np.where(during(shock, day), shock.factor, 1.0)
    return rates


def during(shock: Shock, day: np.ndarray) -> np.ndarray:
    """Whether local days lie in the time of a shock."""
    return (day >= day_number(shock.start)) & (day < day_number(shock.end))


def assign(company: Company, day: np.ndarray, channel: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Owner positions: somebody of the channel's own team, else of the teams without a channel of their own, who is there that day."""
    starts = np.array([day_number(owner.from_on) if owner.from_on else -(10**6) for owner in company.owners])
    ends = np.array([day_number(owner.to_on) if owner.to_on else 10**6 for owner in company.owners])
    weights = np.array([owner.weight for owner in company.owners])
    teams = np.array([owner.team for owner in company.owners])
    wanted = [item.team for item in company.channels]
    changes = np.unique(np.concatenate([starts, ends]))
    period = np.searchsorted(changes, day, side="right")
    here = (starts <= np.concatenate([[-(10**7)], changes])[:, None]) & (ends > np.concatenate([[-(10**7)], changes])[:, None])
    owner, draw = np.zeros(len(day), dtype="int64"), rng.random(len(day))
    for team in sorted(set(wanted)):
        able = teams == team if team else ~np.isin(teams, wanted)
        limits = np.cumsum(here * able * weights, axis=1)
        rows = np.flatnonzero((np.array(wanted) == team)[channel])
        mine = limits[period[rows]]
        owner[rows] = (draw[rows, None] * mine[:, -1:] >= mine).sum(axis=1)
    return owner


def respond(company: Company, clock: Clock, leads: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """When somebody first tries to reach each lead, in open hours; some leads nobody ever tries."""
    n, channel = len(leads), leads["channel"].to_numpy()
    medians = np.array([item.minutes for item in company.channels]) * 60
    pace = np.array([owner.pace for owner in company.owners])[leads["owner"]]
    odds = np.array([item.never / (1 - item.never) for item in company.channels])[channel] * np.exp(-0.5 * leads["intent"].to_numpy())
    for shock in company.shocks:
        if shock.what == "response":
            teams = np.array([not shock.team or owner.team == shock.team for owner in company.owners])
            hit = during(shock, leads["day"].to_numpy()) & teams[leads["owner"]]
            pace, odds = pace * np.where(hit, shock.factor, 1.0), odds * np.where(hit, shock.never, 1.0)
    log_delay = np.log(medians[channel] * pace) - company.intent_pace * leads["intent"].to_numpy() + company.spread * rng.standard_normal(n)
    open_delay = np.clip(np.exp(log_delay), 45, 45 * DAY)
    never = (rng.random(n) < odds / (1 + odds)) | leads["machine"].to_numpy()
    attempt = np.floor(clock.after(leads["at"].to_numpy(), open_delay))
    by_hand = rng.random(n) < 0.3
    routing = np.minimum(np.exp(np.log(1500) + 0.9 * rng.standard_normal(n)), 0.7 * open_delay)
    by_machine = np.minimum(leads["at"] + rng.integers(20, 90, n), attempt)
    assigned = np.where(by_hand, np.minimum(clock.after(leads["at"].to_numpy(), routing), attempt), by_machine)
    return leads.assign(
        open_delay=np.where(never, np.nan, open_delay),
        attempt_at=np.where(never, np.nan, attempt),
        delay=np.where(never, np.nan, attempt - leads["at"]),
        assigned_at=np.where(leads["machine"], np.nan, np.floor(assigned)),
    )


def conversion(company: Company, channel: np.ndarray, delay: np.ndarray, intent: np.ndarray) -> np.ndarray:
    """Chance of becoming an opportunity if the lead were answered after `delay` wall-clock seconds (missing: never): the causal model."""
    appeal = np.array([item.appeal for item in company.channels])[channel]
    effect = np.where(np.isnan(delay), company.unanswered_effect, company.delay_effect * np.log1p(np.nan_to_num(delay) / 360))
    return 1 / (1 + np.exp(-(appeal + effect + company.intent_effect * intent)))


def convert(company: Company, leads: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Which leads become opportunities, drawn from the causal model; those a machine declined do not."""
    chance = conversion(company, leads["channel"].to_numpy(), leads["delay"].to_numpy(), leads["intent"].to_numpy())
    chance = np.where(leads["machine"], 0.0, chance)
    return leads.assign(chance=chance, converts=rng.random(len(leads)) < chance)


def population(company: Company, clock: Clock, n: int, part: str) -> pd.DataFrame:
    """Leads with their response and conversion, from one named stream of random numbers."""
    rng = company.rng(part)
    return convert(company, respond(company, clock, arrive(company, clock, n, rng), rng), rng)
