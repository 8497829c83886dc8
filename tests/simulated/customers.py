"""Customers: acquired by a won deal or before the start; repeat orders, refunds, or contracts."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tests.simulated.clock import DAY, Clock
from tests.simulated.company import Company


def acquire(company: Company, clock: Clock, won: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Customers of before the start and customers of won deals, with their hidden habits.

    Returns
    -------
    DataFrame
        In order of acquisition: ``deal`` (-1 for none), ``at``, ``channel``, ``owner``, ``first_amount``, ``rate`` (orders per day), ``drop``
        (chance of leaving after an order, or of not renewing), ``spend`` (mean repeat order), ``segment``, ``cost``.
    """
    n = company.existing
    days = company.first_day - 1 - np.floor(rng.random(n) * company.history_months * 30.4).astype("int64")
    shares = np.array([channel.share for channel in company.channels])
    channel = rng.choice(len(shares), n, p=shares / shares.sum())
    scale = np.array([item.value for item in company.channels])
    amount = np.round(company.value_median * scale[channel] * np.exp(company.value_sigma * rng.standard_normal(n)), -1)
    here = np.flatnonzero([not owner.from_on for owner in company.owners])
    owner = here[rng.integers(0, len(here), n)]
    before = pd.DataFrame(
        {"deal": -1, "at": np.floor(clock.within(days, rng)), "channel": channel, "owner": owner, "amount": np.maximum(amount, 300.0)}
    )
    table = pd.concat([before, won], ignore_index=True).sort_values(["at", "deal"], kind="stable", ignore_index=True)
    n, channel = len(table), table["channel"].to_numpy()
    a, b = (company.churn_a, company.churn_b) if company.contractual else (company.drop_a, company.drop_b)
    shape, inverse_scale = company.spend_p, rng.gamma(company.spend_q, 1 / company.spend_gamma, n)
    cost = np.array([item.cost for item in company.channels])[channel] * np.exp(0.4 * rng.standard_normal(n) - 0.08)
    return table.rename(columns={"amount": "first_amount"}).assign(
        rate=rng.gamma(company.buy_r, 1 / company.buy_alpha, n),
        drop=rng.beta(a, b, n),
        spend=shape / inverse_scale * scale[channel],
        segment=rng.choice(len(company.segments), n),
        cost=np.round(cost, 0),
    )


def buy(company: Company, clock: Clock, customers: pd.DataFrame, rng: np.random.Generator) -> tuple[pd.DataFrame, np.ndarray]:
    """Orders up to the export: Poisson while the customer stays, who may leave after any order, the first included (MBG/NBD).

    Returns
    -------
    tuple of DataFrame and ndarray
        Orders in order of time: ``customer`` (position), ``at`` (seconds UTC), ``amount``, ``margin``, ``refunded`` (position of the order a refund
        takes back, -1 for a sale); and for each customer the instant of leaving, missing while still there.
    """
    end = clock.utc(np.array([company.export_day * DAY]))[0]
    who, at = np.arange(len(customers)), customers["at"].to_numpy()
    rate, drop, left = customers["rate"].to_numpy(), customers["drop"].to_numpy(), np.full(len(customers), np.nan)
    parts = [pd.DataFrame({"customer": who, "at": at, "amount": customers["first_amount"]})]
    while len(who):
        gone = rng.random(len(who)) < drop[who]
        left[who[gone]] = at[gone]
        who, at = who[~gone], at[~gone]
        at = at + rng.exponential(1.0, len(who)) / rate[who] * DAY
        who, at = who[at < end], at[at < end]
        shape = rng.gamma(company.spend_p, 1.0, len(who)) / company.spend_p
        amount = np.maximum(np.round(customers["spend"].to_numpy()[who] * shape, 2), 5.0)
        parts.append(pd.DataFrame({"customer": who, "at": _hour(clock, at, customers["at"].to_numpy()[who], end, rng), "amount": amount}))
    orders = pd.concat(parts, ignore_index=True).sort_values(["at", "customer"], kind="stable", ignore_index=True)
    share = rng.beta(30 * company.margin, 30 * (1 - company.margin), len(orders))
    orders = orders.assign(margin=np.round(orders["amount"] * share, 2), refunded=-1)
    return _refunds(company, clock, orders, end, rng), left


def _hour(clock: Clock, at: np.ndarray, first: np.ndarray, end: float, rng: np.random.Generator) -> np.ndarray:
    """The same local day at a credible hour, yet after the first order and before the export."""
    credible = clock.utc(clock.day(at) * DAY + rng.uniform(7.5 * 3600, 21 * 3600, len(at)))
    return np.floor(np.minimum(np.maximum(credible, first + 60), end - 1))


def _refunds(company: Company, clock: Clock, orders: pd.DataFrame, end: float, rng: np.random.Generator) -> pd.DataFrame:
    n = len(orders)
    share = np.where(rng.random(n) < 0.4, 1.0, rng.uniform(0.1, 0.6, n))
    when = np.floor(clock.after(orders["at"].to_numpy(), np.exp(np.log(60 * 3600) + 0.7 * rng.standard_normal(n))) + 60)
    rows = np.flatnonzero((rng.random(n) < company.refunds) & (when < end))
    taken = orders.iloc[rows]
    back = taken.assign(
        at=when[rows], refunded=rows, amount=-np.round(taken["amount"] * share[rows], 2), margin=-np.round(taken["margin"] * share[rows], 2)
    )
    table = pd.concat([orders, back], ignore_index=True)
    order = np.lexsort((table["customer"], table["at"]))
    place = np.empty(len(order), dtype="int64")
    place[order] = np.arange(len(order))
    table["refunded"] = np.where(table["refunded"] >= 0, place[table["refunded"]], -1)
    return table.iloc[order].reset_index(drop=True)


def subscribe(company: Company, clock: Clock, customers: pd.DataFrame, rng: np.random.Generator) -> tuple[pd.DataFrame, np.ndarray]:
    """Contracts up to the export: each term the customer fails to renew with a chance of their own (shifted beta-geometric).

    Returns
    -------
    tuple of DataFrame and ndarray
        One row per term in order of start: ``customer`` (position), ``start`` and ``end`` (local days; the end is the first day not covered, -1
        while the term runs), ``monthly``; and for each customer the instant of leaving, missing while under contract.
    """
    who, first = np.arange(len(customers)), clock.day(customers["at"].to_numpy())
    left, monthly = np.full(len(customers), np.nan), np.maximum(np.round(customers["first_amount"].to_numpy() / 12, 0), 20.0)
    parts, term = [], 0
    while len(who):
        start, end = (_months_later(first[who], number * company.renewal_months) for number in (term, term + 1))
        over = end < company.export_day
        parts.append(pd.DataFrame({"customer": who, "start": start, "end": np.where(over, end, -1), "monthly": monthly[who]}))
        stays = over & (rng.random(len(who)) >= customers["drop"].to_numpy()[who])
        leaves = over & ~stays
        left[who[leaves]] = clock.utc(end[leaves] * DAY)
        who, term = who[stays], term + 1
        monthly[who] = np.maximum(np.round(monthly[who] * np.exp(0.02 + 0.12 * rng.standard_normal(len(who))), 0), 20.0)
    table = pd.concat(parts, ignore_index=True).sort_values(["start", "customer"], kind="stable", ignore_index=True)
    return table, left


def _months_later(day: np.ndarray, months: int) -> np.ndarray:
    """The same day of the month so many months later, or the month's last day."""
    month = np.asarray(day, dtype="int64").astype("M8[D]").astype("M8[M]")
    within = day - month.astype("M8[D]").astype("int64")
    begins = (month + months).astype("M8[D]").astype("int64")
    length = (month + months + 1).astype("M8[D]").astype("int64") - begins
    return begins + np.minimum(within, length - 1)
