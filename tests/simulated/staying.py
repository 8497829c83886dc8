"""True conversion of each stage and true length of the visits to it, from the hazards themselves."""

from __future__ import annotations

import numpy as np

from tests.simulated import deals
from tests.simulated.company import Company
from tests.simulated.incidence import round_share

LONGEST = deals.AGES - 1
STAYS = (7, 14, 30, 60)
GOES_ON = 180


def stages(company: Company, mix: np.ndarray) -> list[dict]:
    """What becomes of deals in each stage: the share that goes on within `GOES_ON` days, and how long a visit lasts; without shocks.

    Returns
    -------
    list of dict
        One per stage: ``stage``, ``goes_on`` (of the deals that reach it or pass over it, those that reach the next one or go beyond it in time),
        ``over`` (share of the visits over by each day of `STAYS`), ``median`` and ``p90`` days of a visit.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(9)
    channel, node = (axis.ravel() for axis in np.indices((len(company.channels), len(nodes))))
    value = company.value_median * np.array([item.value for item in company.channels])[channel] * np.exp(company.value_sigma * nodes[node])
    pulled, count = deals.pull(company, channel, value), len(company.stages)
    entered = np.zeros((count + 2, len(channel), 7))  # deals by kind and weekday of entry
    entered[0, :, :5] = mix[channel] * (weights / weights.sum())[node, None]
    passed, rows = np.zeros(count + 2), []
    for place, stage in enumerate(company.stages):
        going, alive = _stay(company, place, entered[place], pulled)
        there, days = entered[place].sum(), np.arange(LONGEST + 1)
        for weekday in range(7):
            into = np.stack([going[:, weekday, (weekday + days) % 7 == arrival].sum(axis=1) for arrival in range(7)], axis=1)
            entered[place + 1] += into * (1 - company.skip)
            entered[min(place + 2, count)] += into * company.skip
        passed[place + 1] = going.sum() * company.skip
        over = 1 - alive.sum(axis=(0, 1)) / there
        row = {"stage": stage.name, "goes_on": round_share((going[..., : GOES_ON + 1].sum() + passed[place]) / (there + passed[place]))}
        row["over"] = {str(day): round_share(over[day]) for day in STAYS}
        rows.append(row | {"median": int(np.argmax(over >= 0.5)), "p90": int(np.argmax(over >= 0.9))})
    return rows


def _stay(company: Company, place: int, entered: np.ndarray, pulled: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Deals that go on, and those still there, by kind, weekday of entry and day in the stage."""
    advance, lost = deals.hazards(company)
    going, alive = (np.zeros((*entered.shape, LONGEST + 1)) for _ in range(2))
    alive[..., 0] = entered
    for age in range(1, LONGEST + 1):
        day = np.arange(7) - 3 + age  # day 0 of the Unix calendar was a Thursday
        forward, gone = (deals.chances(table[place, age], pull[:, None], day[None, :]) for table, pull in zip((advance, lost), pulled, strict=True))
        going[..., age] = alive[..., age - 1] * forward
        alive[..., age] = alive[..., age - 1] * (1 - forward - gone)
    return going, alive
