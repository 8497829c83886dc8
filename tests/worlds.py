"""A thousand small worlds packed as the sources of one table: what an interval says of each is held against one known truth."""

from __future__ import annotations

import numpy as np
import pandas as pd

import kpi
from tests.simulated import Company, deals
from tests.simulated.clock import clock_of

WORLDS = 1000
AS_OF = "2026-07-01"
ZONE = "Europe/Paris"


def stamps(seconds: np.ndarray) -> pd.Series:
    return pd.Series(pd.to_datetime(seconds, unit="s")).astype("datetime64[us]")


def names(letter: str, numbers: np.ndarray) -> np.ndarray:
    return np.char.add(letter, np.asarray(numbers).astype(str))


def company_mix(company: Company) -> np.ndarray:
    """Shares of the deals by channel and weekday of creation, as `simulated` draws them."""
    share = np.array([channel.direct for channel in company.channels])
    return np.repeat(share[:, None] / share.sum() / 5, 5, axis=1)


def simulated(per_month: int, seed: int) -> tuple[Company, kpi.Dataset]:
    """Deals of the simulated company over 18 months, dealt out at random to so many worlds: each is a small company of the same truth."""
    company = Company(seed=seed, start="2025-01", end="2026-06", tail_days=0)
    clock, rng = clock_of(company), company.rng("worlds")
    days = np.arange(company.first_day, company.export_day)
    days, n = days[clock.workday[days - clock.first]], WORLDS * per_month * len(company.months)
    channel = rng.choice(len(company.channels), n, p=company_mix(company).sum(axis=1))
    value = company.value_median * np.array([item.value for item in company.channels])[channel] * np.exp(company.value_sigma * rng.standard_normal(n))
    opened = pd.DataFrame({"at": np.sort(np.floor(clock.within(rng.choice(days, n), rng))), "channel": channel, "value": value})
    opened["day"] = clock.day(opened["at"].to_numpy())
    moves = deals.live(company, opened, rng)
    moves["at"] = np.floor(clock.within(moves["day"].to_numpy(), rng))
    return company, packed(company, opened, moves, rng.integers(0, WORLDS, n))


def packed(company: Company, opened: pd.DataFrame, moves: pd.DataFrame, world: np.ndarray) -> kpi.Dataset:
    """The deals and their moves as a data set; the source is the world."""
    count = len(company.stages)
    stage = np.array([*(stage.name for stage in company.stages), "Won", "Lost"], dtype=object)
    status = np.array(["open"] * count + ["won", "lost"], dtype=object)
    start = pd.DataFrame({"deal": np.arange(len(opened)), "at": opened["at"], "stage": 0})
    told = pd.concat([start, moves[["deal", "at", "stage"]]]).sort_values(["deal", "at"], kind="stable", ignore_index=True)
    last = told.drop_duplicates("deal", keep="last").set_index("deal")
    closed = last["stage"].to_numpy() >= count
    state = {"stage": stage[last["stage"]], "status": status[last["stage"]], "owner": "Ann"}
    tables = {
        "opportunities": pd.DataFrame(
            {"opportunity_id": names("D", last.index), "source": names("w", world), "created_at": stamps(opened["at"].to_numpy())}
            | {"closed_at": stamps(np.where(closed, last["at"], np.nan)), "amount": opened["value"], "currency": "EUR"}
            | state
        ),
        "opportunity_history": pd.DataFrame(
            {"opportunity_id": names("D", told["deal"]), "changed_at": stamps(told["at"].to_numpy()), "seq": np.arange(len(told))}
            | {"stage": stage[told["stage"]], "status": status[told["stage"]], "owner": "Ann", "origin": "history"}
        ),
        "stages": pd.DataFrame({"stage": stage, "position": range(1, count + 3), "status": status}),
    }
    return kpi.Dataset(**tables, timezone=ZONE, country="FR", exported_at=AS_OF)


def fated(per_month: int, chances, seed: int, months: int = 18) -> kpi.Dataset:
    """Deals whose fate is drawn as they are created: won after some 60 days, lost after some 40, or never closed.

    `chances` tells for each deal, from its days before `AS_OF`, how likely it is to be won and to be lost.
    """
    rng, days, n = np.random.default_rng(seed), round(months * 365 / 12), WORLDS * per_month * months
    before = rng.integers(1, days, n)
    won, lost = chances(before)
    draw = rng.random(n)
    fate = np.select([draw < won, draw < won + lost], ["won", "lost"], "open")
    delay = np.ceil(np.where(fate == "won", rng.gamma(3, 20, n), rng.gamma(2, 20, n)))
    status = np.where((fate != "open") & (delay < before), fate, "open")
    noon = pd.Timestamp(f"{AS_OF} 10:00") - pd.to_timedelta(before, unit="D")
    closed = pd.Series(noon + pd.to_timedelta(delay, unit="D")).where(status != "open")
    opened = {"opportunity_id": names("D", np.arange(n)), "source": names("w", rng.integers(0, WORLDS, n)), "created_at": noon, "closed_at": closed}
    return kpi.Dataset(
        opportunities=pd.DataFrame(opened | {"stage": status, "status": status, "owner": "Ann", "currency": "EUR"}), timezone=ZONE, exported_at=AS_OF
    )
