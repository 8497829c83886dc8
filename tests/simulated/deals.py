"""Deals: competing daily hazards of moving on and of being lost, and the history of every change."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tests.simulated.clock import Clock, months_of, weekday
from tests.simulated.company import Company, day_number
from tests.simulated.leads import assign, during

WORKING = np.array([1.4, 1.4, 1.4, 1.4, 1.4, 0.0, 0.0])  # hazards are per calendar day, yet nothing happens at week-ends
CAP = 0.45
AGES = 400


def hazards(company: Company) -> tuple[np.ndarray, np.ndarray]:
    """Daily chances of moving on and of being lost, stages x days in stage, for a deal of median value and quality 1."""
    advance, lost = np.zeros((len(company.stages), AGES)), np.zeros((len(company.stages), AGES))
    for position, stage in enumerate(company.stages):
        for table, values in ((advance, stage.advance), (lost, stage.lost)):
            for age, value in zip(stage.ages, values, strict=True):
                table[position, age:] = value
    return advance, lost


def pull(company: Company, channel: np.ndarray, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What channel and value multiply both hazards by."""
    quality = np.sqrt(np.array([item.quality for item in company.channels]))[channel]
    size = value / company.value_median
    return quality * size**company.size_advance, size**company.size_lost / quality


def chances(base: np.ndarray, multiplier: np.ndarray, day: np.ndarray) -> np.ndarray:
    """Chance of an event on a local day: base hazard x multiplier x weekday, capped."""
    return np.minimum(base * multiplier * WORKING[weekday(day)], CAP)


def open_deals(company: Company, clock: Clock, leads: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """All opportunities: those of leads and those that sales people open themselves."""
    rows = np.flatnonzero(leads["converts"])
    n = round(company.direct * len(leads))
    days = np.arange(company.first_day, company.export_day)
    days = days[clock.workday[days - clock.first]]
    direct_at = np.floor(clock.within(rng.choice(days, n), rng))
    shares = np.array([item.direct for item in company.channels])
    direct_channel = rng.choice(len(shares), n, p=shares / max(shares.sum(), 1e-9)) if n else np.zeros(0, dtype="int64")
    direct_owner = assign(company, clock.day(direct_at), direct_channel, rng)
    deals = pd.DataFrame(
        {
            "lead": np.concatenate([rows, np.full(n, -1)]),
            "at": np.concatenate([leads["opened_at"].to_numpy()[rows], direct_at]),
            "channel": np.concatenate([leads["channel"].to_numpy()[rows], direct_channel]),
            "owner": np.concatenate([leads["owner"].to_numpy()[rows], direct_owner]),
        }
    )
    deals = deals[deals["at"] < clock.utc(np.array([company.export_day * 86_400]))[0]].sort_values(["at", "lead"], kind="stable", ignore_index=True)
    scale = np.array([item.value for item in company.channels])[deals["channel"]]
    value = company.value_median * scale * np.exp(company.value_sigma * rng.standard_normal(len(deals)))
    day, owner = clock.day(deals["at"].to_numpy()), deals["owner"].to_numpy()
    owner = np.where(day < _leaving(company)[owner], owner, _successor(company, owner, rng))
    return deals.assign(day=day, owner=owner, value=np.maximum(np.round(value, -1), 300.0))


def _leaving(company: Company) -> np.ndarray:
    """Local day on which each owner is there no more; far away for those who stay."""
    return np.array([day_number(owner.to_on) if owner.to_on else 10**6 for owner in company.owners])


def live(company: Company, deals: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Follow every deal day by day until it is won or lost or the export comes."""
    count, (advance, lost) = len(company.stages), hazards(company)
    forward, backward = pull(company, deals["channel"].to_numpy(), deals["value"].to_numpy())
    calendar = np.ones(company.export_day - company.first_day + 1)
    for shock in company.shocks:
        if shock.what == "new_deals":
            forward = forward * np.where(during(shock, deals["day"].to_numpy()), shock.factor, 1.0)
        if shock.what == "all_deals":
            calendar *= np.where(during(shock, company.first_day + np.arange(len(calendar))), shock.factor, 1.0)
    deal, day = np.arange(len(deals)), deals["day"].to_numpy().copy()
    stage, entered = np.zeros(len(deals), dtype="int64"), day.copy()
    moves = []
    while True:
        day = day + 1
        alive = (stage < count) & (day < company.export_day)
        deal, day, stage, entered = deal[alive], day[alive], stage[alive], entered[alive]
        if not len(deal):
            break
        age = np.minimum(day - entered, AGES - 1)
        p_forward = chances(advance[stage, age], forward[deal] * calendar[day - company.first_day], day)
        p_lost = chances(lost[stage, age], backward[deal], day)
        draw = rng.random(len(deal))
        # The same draw says whether a step forward passes over a stage: below skip x chance it does.
        step = np.where(draw < company.skip * p_forward, 2, 1)
        target = np.where(draw < p_forward, np.minimum(stage + step, count), count + 1)
        moved = draw < p_forward + p_lost
        moves.append(np.stack([deal[moved], day[moved], target[moved]]))
        stage, entered = np.where(moved, target, stage), np.where(moved, day, entered)
    table = np.concatenate(moves, axis=1) if moves else np.zeros((3, 0), dtype="int64")
    table = pd.DataFrame(dict(zip(("deal", "day", "stage"), table, strict=True)))
    return table.sort_values(["deal", "day"], kind="stable", ignore_index=True)


def changes(company: Company, clock: Clock, deals: pd.DataFrame, moves: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Every state of every deal: creation, stages, corrected amounts, pushed closing dates, new owners.

    Returns
    -------
    DataFrame
        Sorted by deal and time, the whole state after each change: ``deal``, ``at`` (seconds UTC), ``seq``, ``stage``, ``amount``, ``expected``
        (local day), ``owner`` (position).
    """
    n, count = len(deals), len(company.stages)
    ends = moves[moves["stage"] >= count].set_index("deal")["day"].reindex(np.arange(n)).fillna(company.export_day).to_numpy(dtype="int64")
    corrected = rng.random(n) < 0.3
    first_amount = np.where(corrected, np.round(deals["value"] * np.exp(0.25 * rng.standard_normal(n)), -1), deals["value"])
    # Sales people expect the close too early, and often at the end of a month.
    expected = _month_end(deals["day"].to_numpy() + np.round(np.exp(np.log(38) + 0.5 * rng.standard_normal(n))).astype("int64"), rng)
    start = {"deal": np.arange(n), "at": deals["at"], "stage": 0, "amount": first_amount, "expected": expected, "owner": deals["owner"]}
    moved = {"deal": moves["deal"], "at": np.floor(clock.within(moves["day"].to_numpy(), rng)), "stage": moves["stage"]}
    parts = [pd.DataFrame(start), pd.DataFrame(moved), *_pushes(clock, deals["day"].to_numpy(), ends, expected, rng)]
    for name, values, day in (_corrections(deals, ends, corrected, rng), _handovers(company, deals, ends, rng)):
        hit = np.flatnonzero((day > deals["day"]) & (day < ends))
        parts.append(pd.DataFrame({"deal": hit, "at": np.floor(clock.within(day[hit], rng)), name: values[hit]}))
    table = pd.concat(parts, ignore_index=True).sort_values(["deal", "at"], kind="stable", ignore_index=True)
    for name in ("stage", "amount", "expected", "owner"):
        table[name] = table[name].ffill()  # the first row of a deal is complete, so nothing spills over from the deal before
    whole = dict.fromkeys(("deal", "stage", "expected", "owner"), "int64")
    return table.astype(whole).assign(seq=table.groupby("deal").cumcount() + 1)


def _some_day(deals: pd.DataFrame, ends: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A working day in the life of each deal; one that lives too short gets a day outside."""
    room = ends - deals["day"].to_numpy() - 1
    return _after_weekend(deals["day"].to_numpy() + 1 + np.floor(rng.random(len(deals)) * np.maximum(room, 1)).astype("int64"))


def _after_weekend(day: np.ndarray) -> np.ndarray:
    return day + np.array([0, 0, 0, 0, 0, 2, 1])[weekday(day)]


def _corrections(deals: pd.DataFrame, ends: np.ndarray, corrected: np.ndarray, rng: np.random.Generator) -> tuple[str, np.ndarray, np.ndarray]:
    """True values of the deals that were entered with a wrong one, and the days they are put right."""
    return "amount", deals["value"].to_numpy(), np.where(corrected, _some_day(deals, ends, rng), -1)


def _handovers(company: Company, deals: pd.DataFrame, ends: np.ndarray, rng: np.random.Generator) -> tuple[str, np.ndarray, np.ndarray]:
    """New owners and the days they take over: of some deals, and of all that are open when their owner leaves."""
    some = np.where(rng.random(len(deals)) < company.handover, _some_day(deals, ends, rng), 10**6)
    leaves = _leaving(company)[deals["owner"]]
    owner = _successor(company, deals["owner"].to_numpy(), rng)
    return "owner", owner, np.where(leaves > deals["day"], np.minimum(some, _after_weekend(leaves)), some)


def _month_end(day: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Half of the days moved to the last day of their month."""
    last = (months_of(day) + 1).astype("M8[M]").astype("M8[D]").astype("int64") - 1
    return np.where(rng.random(len(day)) < 0.5, last, day)


def _successor(company: Company, owner: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another owner of the same team, who has not left."""
    teams = np.array([item.team for item in company.owners])
    stays = np.array([not item.to_on and not item.from_on for item in company.owners])
    allowed = (teams[:, None] == teams[None, :]) & stays[None, :] & ~np.eye(len(teams), dtype=bool)
    weights = np.where(allowed.any(axis=1)[:, None], allowed, np.eye(len(teams), dtype=bool))
    limits = np.cumsum(weights, axis=1)[owner]
    return (rng.random(len(owner))[:, None] * limits[:, -1:] >= limits).sum(axis=1)


def _pushes(clock: Clock, created: np.ndarray, ends: np.ndarray, expected: np.ndarray, rng: np.random.Generator) -> list[pd.DataFrame]:
    """Expected closing dates moved out about when they fall due, as long as the deal is open; one deal in six is left overdue."""
    parts, deal, due = [], np.arange(len(expected)), expected.copy()
    careful = rng.random(len(expected)) < 0.83
    for _ in range(12):
        day = np.maximum(due + rng.integers(-4, 6, len(due)), created[deal] + 1)
        day = _after_weekend(day)
        going = careful[deal] & (day < ends[deal])
        deal, day = deal[going], day[going]
        if not len(deal):
            break
        due = _month_end(np.maximum(day, due[going]) + np.round(np.exp(np.log(28) + 0.5 * rng.standard_normal(len(deal)))).astype("int64"), rng)
        parts.append(pd.DataFrame({"deal": deal, "at": np.floor(clock.within(day, rng)), "expected": due}))
    return parts
