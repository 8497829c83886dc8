"""A simulated company whose truth is known: tables to try the kit on, and what a right answer would be."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from tests.simulated import activities, assemble, customers, deals, leads, truth, write
from tests.simulated.clock import clock_of
from tests.simulated.company import Company
from tests.simulated.dirt import FAULTS, soil
from tests.simulated.parts import Channel, Owner, Shock, Stage

__all__ = ["FAULTS", "Channel", "Company", "Owner", "Shock", "Simulation", "Stage", "sample_company", "simulate", "soil", "write_company"]

NOTE = """Octobre 2026, note de l'analyste (société simulée).

- L'équipe **Nord** a tourné à effectif réduit tout le mois ; l'équipe **Sud** l'a aidée et répond elle-même moins vite.
- Retour à l'effectif complet prévu le 2 novembre. À suivre : les leads d'octobre restés sans réponse.
- Aucun changement de tarif, de formulaire ni de campagne ce mois-ci.
"""


@dataclass(frozen=True)
class Simulation:
    """A simulated company: its tables, and what produced them.

    Attributes
    ----------
    company : Company
        The parameters.
    tables : dict of str to DataFrame
        Canonical tables (columns of `schema.TABLES`), as exported at the end; instants are naive UTC microseconds.
    hidden : dict of str to DataFrame
        What no export shows: ``leads`` (intent, chance), ``deals`` (true value), ``customers`` (rate, chance of leaving, instant of leaving),
        ``orders`` (or contracts).
    """

    company: Company
    tables: dict[str, pd.DataFrame]
    hidden: dict[str, pd.DataFrame]

    @cached_property
    def truth(self) -> dict:
        """What a right analysis finds: figures that follow from the parameters, and accounts from the hidden facts.

        Returns
        -------
        dict
            Texts, numbers and lists, ready for JSON; see `truth.describe`.
        """
        return truth.describe(self.company, self.hidden)

    def write(self, folder: Path, dialect: str = "french") -> None:
        """Write the tables as CSV with kpi.toml, truth.json and README.md.

        Parameters
        ----------
        folder : Path
            Where to; must be absent or empty.
        dialect : str
            ``french`` (semicolons, decimal commas, local times), ``iso`` (commas, UTC offsets) or ``us`` (commas, month first).

        Raises
        ------
        WriteError
            If the folder holds something or cannot be written.
        ParameterError
            If there is no such dialect.
        """
        write.write(self, Path(folder), dialect)


def simulate(company: Company) -> Simulation:
    """Make all tables of a company; the same parameters give the same tables.

    Parameters
    ----------
    company : Company
        Every parameter, the seed among them.

    Returns
    -------
    Simulation
        Tables and hidden facts; its truth is computed when asked for.
    """
    clock = clock_of(company)
    found = leads.population(company, clock, company.leads, "leads")
    found, attempts = activities.contact(company, clock, found, company.rng("contact"))
    found = activities.qualify(company, clock, found, company.rng("qualify"))
    done = activities.rows(company, found, attempts, company.rng("activities"))
    scores = activities.scores(found, company.rng("scores"))
    opened = deals.open_deals(company, clock, found, company.rng("deals"))
    moves = deals.live(company, opened, company.rng("live"))
    history = deals.changes(company, clock, opened, moves, company.rng("history"))
    last = history[history["stage"] == len(company.stages)].drop_duplicates("deal", keep="last")
    won = last[["deal", "at", "owner", "amount"]].assign(channel=opened["channel"].to_numpy()[last["deal"]])
    buyers = customers.acquire(company, clock, won, company.rng("customers"))
    sold, left = (customers.subscribe if company.contractual else customers.buy)(company, clock, buyers, company.rng("orders"))
    buyers = buyers.assign(left_at=left)
    links = _links(found, opened, buyers)
    tables = assemble.lead_tables(company, clock, found, done, scores, links["leads"])
    tables |= assemble.deal_tables(company, opened, history, links["deals"], company.rng("products"))
    tables |= assemble.customer_tables(company, buyers, sold) | assemble.small_tables(company)
    return Simulation(company, assemble.ordered(tables), {"leads": found, "deals": opened, "customers": buyers, "orders": sold})


def _links(found: pd.DataFrame, opened: pd.DataFrame, buyers: pd.DataFrame) -> dict:
    """Identifiers that tie leads, deals and customers together."""
    lead_ids, deal_ids, customer_ids = (assemble.ids(letter, len(table)) for letter, table in (("L", found), ("D", opened), ("C", buyers)))
    deal_of_lead, customer_of_deal = np.full(len(found), -1), np.full(len(opened), -1)
    from_lead = np.flatnonzero(opened["lead"] >= 0)
    deal_of_lead[opened["lead"].to_numpy()[from_lead]] = from_lead
    bought = np.flatnonzero(buyers["deal"] >= 0)
    customer_of_deal[buyers["deal"].to_numpy()[bought]] = bought
    customer_of_lead = np.where(deal_of_lead >= 0, np.append(customer_of_deal, -1)[deal_of_lead], -1)
    return {
        "leads": {"opportunity": assemble.picked(deal_ids, deal_of_lead), "customer": assemble.picked(customer_ids, customer_of_lead)},
        "deals": {"lead": assemble.picked(lead_ids, opened["lead"]), "customer": assemble.picked(customer_ids, customer_of_deal)},
    }


def sample_company() -> Company:
    """The company of ``data/sample``: Ateliers Vauclair, whose team Nord answers late in October 2026.

    Returns
    -------
    Company
        All parameters.
    """
    north = Shock("response", "2026-10-01", "2026-11-01", factor=15.0, team="Nord", never=2.0)
    south = Shock("response", "2026-10-01", "2026-11-01", factor=1.8, team="Sud")
    return Company(shocks=(north, south), notes=(("2026-10", NOTE),))


def write_company(to: Path, leads: int, seed: int, start: str, end: str) -> None:
    """Simulate a company like the sample's, of any size, and write it with its truth.

    Parameters
    ----------
    to : Path
        Folder that is absent or empty.
    leads : int
        Number of leads.
    seed : int
        Seed of all random numbers.
    start, end : str
        First and last complete month, such as ``2026-10``.

    Raises
    ------
    WriteError
        If the folder holds something or cannot be written.
    ParameterError
        If a month is malformed or a number is out of range.
    """
    write.refuse_full(Path(to))
    usual = Company()
    company = usual.change(leads=leads, seed=seed, start=start, end=end, existing=round(usual.existing * leads / usual.leads))
    simulate(company).write(Path(to), dialect="iso")
