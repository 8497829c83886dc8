"""The parts of a simulated company: channels, sales people, stages, and what changes for a while; those of the sample by default."""

from __future__ import annotations

from dataclasses import dataclass

from kpi.errors import ParameterError


@dataclass(frozen=True)
class Channel:
    """Where leads come from, and how they differ.

    Attributes
    ----------
    name : str
        Source as written in the tables.
    share : float
        Relative number of leads.
    minutes : float
        Median open-hours minutes to the first attempt for a lead of average intent.
    never : float
        Chance that a lead of average intent is never answered.
    appeal : float
        Logit of becoming an opportunity for average intent, answered at once.
    quality : float
        Multiplies the odds of each step forward of a deal against its loss.
    value : float
        Multiplies deal and order values.
    cost : float
        Mean cost of acquiring a customer.
    direct : float
        Relative number of opportunities that sales people open without a lead.
    team : str
        Team that takes care of this channel alone; empty means the teams without a channel of their own.
    """

    name: str
    share: float
    minutes: float = 30.0
    never: float = 0.08
    appeal: float = -0.1
    quality: float = 1.0
    value: float = 1.0
    cost: float = 600.0
    direct: float = 0.0
    team: str = ""


@dataclass(frozen=True)
class Owner:
    """A sales person: team, share of the team's work, pace (multiplies response delays), days of joining and leaving."""

    name: str
    team: str
    weight: float = 1.0
    pace: float = 1.0
    from_on: str = ""
    to_on: str = ""


@dataclass(frozen=True)
class Stage:
    """An open stage with its daily hazards by age.

    Attributes
    ----------
    name : str
        As written in the tables.
    ages : tuple of int
        First day in stage of each age band; the day of entry itself has no event.
    advance, lost : tuple of float
        Chance per calendar day, in each age band, of moving on and of being lost, for a deal of median value.
    """

    name: str
    ages: tuple[int, ...]
    advance: tuple[float, ...]
    lost: tuple[float, ...]


@dataclass(frozen=True)
class Shock:
    """Something that changes for a while.

    Attributes
    ----------
    what : str
        ``leads`` (number arriving), ``response`` (delay to the first attempt), ``new_deals`` (steps forward of deals created meanwhile) or
        ``all_deals`` (steps forward of every deal open meanwhile).
    start, end : str
        Local days, the end excluded.
    factor : float
        Multiplies rate, delay or hazard.
    team : str
        Only this team (``response`` only); empty means everybody.
    never : float
        Multiplies the odds of never being answered (``response`` only).
    """

    what: str
    start: str
    end: str
    factor: float
    team: str = ""
    never: float = 1.0

    def __post_init__(self) -> None:
        if self.what not in ("leads", "response", "new_deals", "all_deals"):
            raise ParameterError(f"shock on {self.what!r}: one of leads, response, new_deals, all_deals")


CHANNELS = (
    Channel("Formulaire web", 0.30, minutes=17, never=0.07, appeal=-0.05, quality=0.90, cost=520),
    Channel("Recherche payante", 0.19, minutes=18, never=0.09, appeal=-0.45, quality=0.75, value=0.85, cost=980),
    Channel("Recommandation", 0.17, minutes=14, never=0.03, appeal=0.55, quality=1.25, value=1.15, cost=260, direct=0.40),
    Channel("Téléphone", 0.12, minutes=9, never=0.04, appeal=0.15, quality=0.85, cost=340, direct=0.15),
    Channel("Salon", 0.09, minutes=50, never=0.14, appeal=-0.25, quality=1.0, value=1.1, cost=1450, direct=0.10),
    Channel("Partenaire", 0.123, minutes=22, never=0.06, appeal=0.35, quality=1.5, value=1.3, cost=700, direct=0.35, team="Partenaires"),
    Channel("Événement", 0.007, minutes=40, never=0.10, appeal=-0.2, cost=1600),
)
OWNERS = (
    Owner("S. Ferrand", "Nord", pace=0.85),
    Owner("M. Delmas", "Nord", pace=1.0),
    Owner("L. Besson", "Nord", pace=1.15),
    Owner("C. Marchand", "Nord", pace=1.0),
    Owner("T. Nguyen", "Sud", pace=0.9),
    Owner("A. Roche", "Sud", pace=1.05),
    Owner("N. Benali", "Sud", pace=1.0, from_on="2025-03-03"),
    Owner("J. Castel", "Sud", pace=1.1, to_on="2026-02-01"),
    Owner("É. Lacombe", "Partenaires", pace=1.0),
    Owner("P. Vidal", "Partenaires", pace=1.05),
)
STAGES = (
    Stage("Qualifiée", (1, 4, 15, 45), (0.010, 0.044, 0.028, 0.010), (0.005, 0.018, 0.022, 0.026)),
    Stage("Proposition", (1, 5, 20, 60), (0.006, 0.032, 0.026, 0.010), (0.003, 0.016, 0.020, 0.024)),
    Stage("Négociation", (1, 6, 25, 60), (0.014, 0.046, 0.034, 0.012), (0.004, 0.014, 0.019, 0.026)),
)
