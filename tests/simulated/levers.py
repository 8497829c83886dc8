"""What would truly be won if one thing changed: the process itself, integrated with one parameter moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd

from kpi.errors import ParameterError
from tests.simulated import activities, deals, incidence, leads
from tests.simulated.clock import DAY, clock_of
from tests.simulated.company import Company

REFERENCE = 50_000  # leads drawn once more where there is no formula
YEAR = 365
HOUR = 3600


@dataclass(frozen=True)
class Move:
    """One change of the company, from a day on.

    Attributes
    ----------
    kind : str
        ``conversion``, ``pace``, ``inflow``, ``lead_conversion``, ``response`` or ``amount``.
    place : int
        Which stage or channel, from 0.
    shift : float
        Log odds that a stay that ends goes on (conversion); log of the chances per day (pace), of the number of deals (inflow), of the share of leads
        that become an opportunity (lead_conversion), of the amount (amount); share of the leads not answered within the hour that now are (response).
    """

    kind: str
    place: int = 0
    shift: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in ("conversion", "pace", "inflow", "lead_conversion", "response", "amount"):
            raise ParameterError(f"move of {self.kind!r} is unknown")


def won_values(company: Company, opened: pd.DataFrame, day: int, horizon: int, moves: Sequence[Move | None] = (None,)) -> list[float]:
    """Expected value won in the days from a date on, from the deals open then and those to come, inflow as expected over the year before."""
    now, found = open_on(company, opened, day), []
    usual = _process(company, now, day, horizon, Move("amount"))
    for move in (item or Move("amount") for item in moves):
        held, worth = _process(company, now, day, horizon, move) if move.kind in ("conversion", "pace") else usual
        total = held + float((_coming(company, day, horizon, move) * worth).sum())
        found.append(total * float(np.exp(move.shift)) if move.kind == "amount" else total)
    return found


def open_on(company: Company, opened: pd.DataFrame, day: int) -> pd.DataFrame:
    """List the deals open at the start of a day, with their stage and since when they are in it."""
    moves = deals.live(company, opened, company.rng("live"))  # the very moves of the simulation
    last = moves[moves["day"] < day].drop_duplicates("deal", keep="last").set_index("deal")
    state = opened.assign(stage=last["stage"].reindex(range(len(opened))), entered=last["day"].reindex(range(len(opened))))
    state["stage"], state["entered"] = state["stage"].fillna(0).astype("int64"), state["entered"].fillna(state["day"]).astype("int64")
    return state.loc[(state["day"] < day) & (state["stage"] < len(company.stages)), ["channel", "value", "stage", "entered"]]


def _process(company: Company, now: pd.DataFrame, day: int, horizon: int, move: Move) -> tuple[float, np.ndarray]:
    """Value that the open deals bring, and what a deal to come brings by days since its creation (channels x 5 weekdays x days)."""
    by_stage = {"pace": np.zeros(len(company.stages)), "push": np.zeros(len(company.stages))}
    if move.kind in ("conversion", "pace"):
        by_stage["push" if move.kind == "conversion" else "pace"][move.place] = move.shift
    before = int((day - now["entered"]).max()) if len(now) else 1
    channel, value = now["channel"].to_numpy(), now["value"].to_numpy()
    start = {"stage": now["stage"].to_numpy(), "entered": now["entered"].to_numpy() - day + before, "calendar": np.full(len(now), day - before)}
    held = incidence.follow(company, channel, value, **start, first=before, days=horizon, **by_stage)[0, :, -1]
    nodes, weights = np.polynomial.hermite_e.hermegauss(15)
    channel, created, node = (axis.ravel() for axis in np.indices((len(company.channels), 5, len(nodes))))
    worth = company.value_median * np.array([item.value for item in company.channels])[channel] * np.exp(company.value_sigma * nodes[node])
    start = dict.fromkeys(("stage", "entered"), np.zeros(len(channel), dtype="int64"))
    won = incidence.follow(company, channel, worth, **start, calendar=created - 3, first=1, days=horizon, **by_stage)[0]
    shaped = (won * worth[:, None]).reshape(len(company.channels), 5, len(nodes), -1)
    return float((held * value).sum()), np.einsum("cdvt,v->cdt", shaped, weights / weights.sum())


def _coming(company: Company, day: int, horizon: int, move: Move) -> np.ndarray:
    """Deals that come in, channels x 5 weekdays x days left to win them."""
    crowd, mix_leads, mix_direct = _crowd(company.change(shocks=()))
    per_day = _leads_per_day(company, day)
    made = crowd[crowd["converts"]]
    lag = clock_of(company).day(made["opened_at"].to_numpy()) - made["day"].to_numpy()
    fresh = np.bincount(np.minimum(lag, horizon).astype("int64"), minlength=horizon + 1)[:horizon].cumsum() / max(len(made), 1)
    more, channels = _more_leads(company, crowd, move), np.ones(len(company.channels))
    if move.kind == "inflow":
        channels[move.place] = np.exp(move.shift)
    found = np.zeros((len(company.channels), 5, horizon + 1))
    for after in range(horizon):
        weekday = (day + after + 3) % 7
        if weekday < 5:
            found[:, weekday, horizon - 1 - after] = (
                7 * per_day * channels * (mix_leads[:, weekday] * (1 + more * fresh[after]) + mix_direct[:, weekday])
            )
    return found


@cache
def _crowd(company: Company) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Reference leads, and opportunities per lead by channel and weekday of creation: those of leads, and those opened without one."""
    clock = clock_of(company)
    crowd = leads.population(company, clock, REFERENCE, "reference levers")
    crowd, _ = activities.contact(company, clock, crowd, company.rng("reference levers contact"))
    both, direct = incidence.opportunities_per_lead(company, crowd)
    return crowd, both, direct


def _leads_per_day(company: Company, day: int) -> float:
    """Expected leads per day of the year before a date."""
    clock = clock_of(company)
    hours = np.arange(*clock.utc(np.array([company.first_day, company.export_day]) * DAY), 3600)
    weights = leads.arrival_rates(company, clock, hours)
    local = clock.day(hours)
    inside = (local >= day - YEAR) & (local < day)
    return float(company.leads * weights[inside].sum() / weights.sum() / len(np.unique(local[inside])))


def _more_leads(company: Company, crowd: pd.DataFrame, move: Move) -> np.ndarray:
    """By how much opportunities from leads grow, by channel, relative to now."""
    chance = crowd["chance"].to_numpy()
    moved = chance
    if move.kind == "lead_conversion":
        moved = chance * np.exp(move.shift)
    if move.kind == "response":
        soon, machine = crowd["delay"].to_numpy() <= HOUR, crowd["machine"].to_numpy()
        typical = float(np.median(crowd["delay"].to_numpy()[soon]))
        then = leads.conversion(company, crowd["channel"].to_numpy(), np.full(len(crowd), typical), crowd["intent"].to_numpy())
        moved = chance + np.where(soon | machine, 0.0, move.shift * (then - chance))
    sums = pd.DataFrame({"channel": crowd["channel"], "now": chance, "then": moved}).groupby("channel")[["now", "then"]].sum()
    return (sums["then"] / sums["now"] - 1).reindex(range(len(company.channels)), fill_value=0.0).to_numpy()
