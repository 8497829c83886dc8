"""A simulated company whose truth is known: tables to try the kit on, and what a right answer would be."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from kpi.errors import WriteError
from tests.simulated import activities, assemble, customers, deals, leads, truth, write
from tests.simulated.clock import clock_of
from tests.simulated.company import Company
from tests.simulated.dirt import FAULTS, soil
from tests.simulated.parts import Channel, Owner, Shock, Stage

__all__ = [
    "FAULTS",
    "Channel",
    "Company",
    "Owner",
    "Shock",
    "Simulation",
    "Stage",
    "sample_company",
    "simulate",
    "soil",
    "write_company",
    "write_sample",
]

SAMPLE = Path(__file__).resolve().parents[2] / "data" / "sample"
BESIDE = {"online_retail", "report.png"}  # in the sample's folder, but not simulated: public data, and the picture of the README

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
        """What a right analysis finds: figures that follow from the parameters, and accounts from the hidden facts."""
        return truth.describe(self.company, self.hidden)

    def write(self, folder: Path, dialect: str = "french") -> None:
        """Write the tables as CSV with kpi.toml, truth.json and README.md."""
        write.write(self, Path(folder), dialect)


def simulate(company: Company) -> Simulation:
    """Make all tables of a company; the same parameters give the same tables."""
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
    """The company of ``data/sample``: Ateliers Vauclair, whose team Nord answers late in October 2026."""
    north = Shock("response", "2026-10-01", "2026-11-01", factor=15.0, team="Nord", never=2.0)
    south = Shock("response", "2026-10-01", "2026-11-01", factor=1.8, team="Sud")
    return Company(shocks=(north, south), notes=(("2026-10", NOTE),))


def write_company(to: Path, leads: int, seed: int, start: str, end: str) -> None:
    """Simulate a company like the sample's, of any size, and write it with its truth."""
    write.refuse_full(Path(to))
    usual = Company()
    company = usual.change(leads=leads, seed=seed, start=start, end=end, existing=round(usual.existing * leads / usual.leads))
    simulate(company).write(Path(to), dialect="iso")


def write_sample(to: Path = SAMPLE) -> list[Path]:
    """Write the sample company anew, in the place of the files that are there; the names of the files that changed."""
    with tempfile.TemporaryDirectory() as scratch:
        simulate(sample_company()).write(Path(scratch))
        made = {path.relative_to(scratch): path.read_bytes() for path in sorted(Path(scratch).rglob("*")) if path.is_file()}
    strange = [path for path in to.rglob("*") if path.is_file() and (name := path.relative_to(to)) not in made and name.parts[0] not in BESIDE]
    if strange:
        raise WriteError(f"{strange[0]} is no file of the sample: move it away, then write the sample again")
    changed = [to / name for name, content in made.items() if not (to / name).is_file() or (to / name).read_bytes() != content]
    for path in changed:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(made[path.relative_to(to)])
    return changed
