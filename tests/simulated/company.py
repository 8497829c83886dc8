"""The simulated company: every parameter of its leads, deals and customers, in one frozen record."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from kpi.errors import ParameterError
from tests.simulated.parts import CHANNELS, OWNERS, STAGES, Channel, Owner, Shock, Stage


@dataclass(frozen=True)
class Company:
    """Every parameter of a simulated company; the same parameters and seed give the same tables.

    Attributes
    ----------
    name, language, currency, timezone, country, fiscal_year_starts
        As in the ``[company]`` section of kpi.toml.
    seed : int
        Seed of all random numbers.
    leads : int
        Leads arriving from `start` to the export.
    start, end : str
        First and last complete month.
    tail_days : int
        Days of the following month that the export covers.
    hours : tuple of (str, str)
        Open windows of a working day.
    season, weekday, hour : tuple of float
        Relative arrival rates by month, by weekday from Monday, by local hour.
    growth : float
        Yearly growth of arrivals.
    holiday : float
        Arrival rate on a public holiday, relative to a common day.
    channels, owners, stages, shocks
        What leads, teams and deals are like, and what changes for a while.
    notes : tuple of (str, str)
        Month and text of the analyst's notes.
    won, lost, lost_reasons, products, segments
        Names used in the tables.
    intent_pace : float
        By how much one standard deviation of hidden intent shortens the log delay.
    spread : float
        Standard deviation of the log delay.
    delay_effect : float
        Causal: change of the logit of becoming an opportunity per unit of ``log(1 + hours / 0.1)`` of wall-clock delay.
    intent_effect : float
        The same per standard deviation of intent.
    unanswered_effect : float
        The same for a lead that is never answered, instead of the delay.
    machine : float
        Share of leads declined by a machine within two minutes.
    contact : float
        Chance that an attempt reaches the lead.
    acknowledged : float
        Share of leads that get an automated e-mail at once.
    nurtured, alerted : float
        Share of leads for whom nurturing is planned, and of nurtured ones whose score raises an alert.
    direct : float
        Opportunities opened without a lead, per lead.
    value_median, value_sigma : float
        Lognormal deal values.
    size_advance, size_lost : float
        Exponents of (value / median) on the hazards.
    skip : float
        Chance that a step forward passes over a stage.
    handover : float
        Share of deals that change owner.
    existing : int
        Customers acquired in the `history_months` before `start`.
    contractual : bool
        Contracts (shifted beta-geometric) instead of orders (MBG/NBD and Gamma-Gamma).
    buy_r, buy_alpha, drop_a, drop_b : float
        MBG/NBD, time in days.
    spend_p, spend_q, spend_gamma : float
        Gamma-Gamma of repeat orders: shape, and the gamma distribution of a customer's scale.
    refunds : float
        Share of orders refunded, four in ten of them in full.
    margin : float
        Mean margin rate.
    renewal_months : int
        Length of a contract.
    churn_a, churn_b : float
        Beta distribution of the chance of not renewing.
    """

    name: str = "Ateliers Vauclair"
    seed: int = 20261101
    leads: int = 6000
    start: str = "2023-11"
    end: str = "2026-10"
    tail_days: int = 3
    language: str = "fr"
    currency: str = "EUR"
    timezone: str = "Europe/Paris"
    country: str = "FR"
    fiscal_year_starts: int = 1
    hours: tuple[tuple[str, str], ...] = (("09:00", "12:00"), ("14:00", "18:00"))
    season: tuple[float, ...] = (0.99, 1.01, 1.05, 1.0, 0.97, 1.03, 0.97, 0.9, 1.05, 1.04, 1.01, 0.93)
    weekday: tuple[float, ...] = (1.10, 1.12, 1.06, 1.06, 0.96, 0.34, 0.28)
    hour: tuple[float, ...] = (*(0.05,) * 6, 0.1, 0.3, 0.8, 1.45, 1.5, 1.4, 0.8, 0.8, 1.4, 1.45, 1.4, 1.25, 0.8, 0.6, 0.5, 0.45, 0.3, 0.12)
    growth: float = 0.06
    holiday: float = 0.3
    channels: tuple[Channel, ...] = CHANNELS
    owners: tuple[Owner, ...] = OWNERS
    stages: tuple[Stage, ...] = STAGES
    shocks: tuple[Shock, ...] = ()
    notes: tuple[tuple[str, str], ...] = ()
    won: str = "Gagnée"
    lost: str = "Perdue"
    lost_reasons: tuple[str, ...] = ("Prix", "Concurrent", "Sans suite", "Budget", "Délai")
    products: tuple[str, ...] = ("Agencement", "Mobilier", "Rayonnage", "Atelier")
    segments: tuple[str, ...] = ("PME", "ETI", "Artisan", "Collectivité")
    intent_pace: float = 0.45
    spread: float = 1.35
    delay_effect: float = -0.20
    intent_effect: float = 0.8
    unanswered_effect: float = -2.6
    machine: float = 0.03
    contact: float = 0.52
    acknowledged: float = 0.35
    nurtured: float = 0.22
    alerted: float = 0.35
    direct: float = 0.17
    value_median: float = 10_800.0
    value_sigma: float = 0.75
    size_advance: float = -0.15
    size_lost: float = 0.05
    skip: float = 0.06
    handover: float = 0.03
    existing: int = 1000
    history_months: int = 36
    contractual: bool = False
    buy_r: float = 1.4
    buy_alpha: float = 200.0
    drop_a: float = 0.9
    drop_b: float = 3.6
    spend_p: float = 6.0
    spend_q: float = 4.0
    spend_gamma: float = 700.0
    refunds: float = 0.02
    margin: float = 0.38
    renewal_months: int = 12
    churn_a: float = 0.8
    churn_b: float = 3.2

    def __post_init__(self) -> None:
        try:
            first, last = pd.Period(self.start, "M"), pd.Period(self.end, "M")
        except ValueError as found:
            raise ParameterError(f"start {self.start!r} and end {self.end!r} must be months such as 2026-10") from found
        if first > last:
            raise ParameterError(f"start {self.start} lies after end {self.end}")
        if self.leads < 1 or self.existing < 0 or not 0 <= self.tail_days <= 27:
            raise ParameterError(f"leads {self.leads} (1 or more), existing {self.existing} (0 or more), tail_days {self.tail_days} (0 to 27)")

    @property
    def first_day(self) -> int:
        """Local day number (since 1970) on which the records start."""
        return day_number(self.start + "-01")

    @property
    def exported_on(self) -> pd.Timestamp:
        """Local midnight up to which the export reaches."""
        return pd.Period(self.end, "M").end_time.normalize() + pd.Timedelta(days=1 + self.tail_days)

    @property
    def export_day(self) -> int:
        """Local day number of the export; nothing happens on it or later."""
        return day_number(self.exported_on)

    @property
    def months(self) -> pd.PeriodIndex:
        """Complete months, first to last."""
        return pd.period_range(self.start, self.end, freq="M")

    @property
    def teams(self) -> tuple[str, ...]:
        """Teams in order of appearance."""
        return tuple(dict.fromkeys(owner.team for owner in self.owners))

    def rng(self, part: str) -> np.random.Generator:
        """Random numbers of one part of the company; parts do not disturb each other."""
        return np.random.Generator(np.random.PCG64([self.seed, zlib.crc32(part.encode())]))

    def change(self, **fields) -> Company:
        """The same company with other parameters, checked again."""
        return replace(self, **fields)


def day_number(day: str | pd.Timestamp) -> int:
    """Days from 1970-01-01 to a local day."""
    return int((pd.Timestamp(day) - pd.Timestamp(0)).days)
