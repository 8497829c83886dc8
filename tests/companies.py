"""Small companies as pandas frames: written by hand, and random ones with everything that goes wrong in a CRM.

Instants are written in Paris time, as a reader would tell them, and handed over as naive UTC, as `kpi.Dataset` takes them.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

import kpi
from kpi import schema

ZONE = "Europe/Paris"
ENGINES = ("duckdb", pytest.param("polars", marks=pytest.mark.slow))  # what each engine is asked itself; quick tests run on the first
END = "2026-07-01"  # end of the data of all companies here
HOURS = {day: ["09:00-12:00", "14:00-18:15"] for day in ("monday", "tuesday", "wednesday", "thursday")} | {"friday": ["08:45-16:00"]}

STAGES = [("Qualified", 1, "open"), ("Proposal", 2, "open"), ("Negotiation", 3, "open"), ("Won", 4, "won"), ("Lost", 5, "lost")]
TEAMS = [("Ann", "Nord"), ("Bob", "Nord"), ("Cid", "Sud")]

_PANDAS = {"text": "str", "instant": "datetime64[us]", "date": "datetime64[us]", "number": "float64", "integer": "int64", "boolean": "bool"}
_PANDAS["month"] = "str"


def utc(local: str, zone: str = ZONE) -> pd.Timestamp:
    """Naive UTC of a time on the wall, the first of two where the clock is put back."""
    return pd.Timestamp(local).tz_localize(ZoneInfo(zone), ambiguous=True).tz_convert("UTC").tz_localize(None).as_unit("us")


def table(name: str, rows: list[dict]) -> pd.DataFrame:
    """The rows of a canonical table as a frame with its types; columns that no row names are left out, without rows none is."""
    spec = schema.TABLES[name]
    named = [column for column in spec.columns if column.required or not rows or any(column.name in row for row in rows)]
    cells = {column.name: [row.get(column.name) for row in rows] for column in named}
    frame = pd.DataFrame({column.name: pd.Series(cells[column.name], dtype=_PANDAS[column.kind]) for column in named})
    return frame.drop(columns=[column.name for column in named if rows and column.default and frame[column.name].isna().all()])


def dataset(tables: dict[str, pd.DataFrame], engine: str = "duckdb", **more) -> kpi.Dataset:
    """The company in Paris, its data ending at `END`."""
    company = {"timezone": ZONE, "country": "FR", "exported_at": END, "hours": HOURS} | more
    return kpi.Dataset(**tables, engine=engine, **company)


def first_quick(cases, number: int = 1) -> list:
    """Cases of one sweep: the first few are quick tests, the others slow ones."""
    cases = list(cases)
    rest = [case if isinstance(case, tuple) else (case,) for case in cases[number:]]
    return [*cases[:number], *(pytest.param(*case, marks=pytest.mark.slow) for case in rest)]


# --- by hand


def lead(lead_id: str, created: str, **more) -> dict:
    return {"lead_id": lead_id, "created_at": utc(created), "source": "web", "owner": "Ann"} | more


def touch(lead_id: str, at: str, **more) -> dict:
    number = f"{lead_id} {at} {sorted(more.items())}"
    plain = {"kind": "call", "direction": "outbound", "automated": False, "done": True, "owner": "Ann"}
    return {"activity_id": number, "lead_id": lead_id, "at": utc(at)} | plain | more


def deal(deal_id: str, created: str | None, status: str = "open", closed: str | None = None, amount: float | None = 100.0, **more) -> dict:
    stage = {"open": "Qualified", "won": "Won", "lost": "Lost"}[status]
    dates = {"created_at": created and utc(created), "closed_at": closed and utc(closed)}
    return {"opportunity_id": deal_id, "owner": "Ann", "amount": amount, "currency": "EUR", "stage": stage, "status": status} | dates | more


def story(deal_id: str, *states: tuple) -> list[dict]:
    """History of one deal: (local time, stage, status) or (local time, stage, status, amount, owner)."""
    rows = []
    for seq, (at, stage, status, *rest) in enumerate(states):
        amount, owner = (*rest, *(100.0, "Ann")[len(rest) :])
        rows.append(
            {"opportunity_id": deal_id, "changed_at": utc(at), "seq": seq, "stage": stage, "status": status, "amount": amount, "owner": owner}
            | {"origin": "history"}
        )
    return rows


def stages() -> pd.DataFrame:
    return table("stages", [{"stage": stage, "position": position, "status": status} for stage, position, status in STAGES])


def owners() -> pd.DataFrame:
    return table("owners", [{"owner": owner, "team": team} for owner, team in TEAMS])


def answering(leads: list[dict], activities: list[dict]) -> dict[str, pd.DataFrame]:
    return {"leads": table("leads", leads), "activities": table("activities", activities)}


def selling(deals: list[dict], history: list[dict] | None = None) -> dict[str, pd.DataFrame]:
    tables = {"opportunities": table("opportunities", deals), "stages": stages()}
    return tables if history is None else tables | {"opportunity_history": table("opportunity_history", history)}


# --- random

FIRST, LAST = date(2026, 1, 5), date(2026, 6, 30)
# Nights on which the clock changes, a month's last evening, a month's first minutes, a holiday.
AWKWARD = ("2026-03-29 01:59:30", "2026-03-29 03:00:00", "2026-03-31 23:30:00", "2026-04-30 23:59:59", "2026-05-01 00:00:00", "2026-02-28 23:30:00")


class Random:
    """A company of random rows; the same seed gives the same company."""

    def __init__(self, seed: int, n_leads: int = 120, n_deals: int = 90, fx: bool = True) -> None:
        self.rng = np.random.default_rng(seed)
        self.leads: list[dict] = []
        self.activities: list[dict] = []
        self.deals: list[dict] = []
        self.history: list[dict] = []
        for number in range(n_leads):
            self._lead(f"L{number:03d}")
        for number in range(n_deals):
            self._deal(f"D{number:03d}")
        self.fx = fx

    def tables(self) -> dict[str, pd.DataFrame]:
        tables = answering(self.leads, self.activities) | selling(self.deals, self.history) | {"owners": owners()}
        rates = [("USD", "2026-01-01", 0.9), ("USD", "2026-03-15", 0.8), ("USD", "2026-04-30", 0.7), ("CHF", "2026-04-01", 1.1)]
        if self.fx:
            tables["fx"] = table("fx", [{"currency": c, "from_on": pd.Timestamp(d), "rate": rate} for c, d, rate in rates])
        return {name: frame.sample(frac=1, random_state=int(self.rng.integers(1000))) for name, frame in tables.items()}

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def pick(self, values):
        return values[int(self.rng.integers(len(values)))]

    def moment(self) -> pd.Timestamp:
        if self.chance(0.1):
            return utc(self.pick(AWKWARD))
        day = FIRST + timedelta(days=int(self.rng.integers((LAST - FIRST).days)))
        # Few different minutes, so that there are ties; no hour that a change of the clock skips or repeats.
        hour = self.pick([0, 4, 8, 8, 9, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 22, 23])
        return utc(f"{day} {hour:02d}:{self.pick([0, 5, 14, 15, 30, 44, 59]):02d}:{self.pick([0, 0, 1, 30]):02d}")

    def later(self, moment: pd.Timestamp, *days: float) -> pd.Timestamp:
        return (moment + pd.Timedelta(seconds=int(86_400 * self.pick(days) * self.rng.random()))).as_unit("us")

    def who(self):
        return self.pick(["Ann", "Ann", "Bob", "Cid", "Dan", None])

    def _lead(self, name: str) -> None:
        made = self.moment()
        row = {"lead_id": name, "created_at": made, "source": self.pick(["web", "fair", "phone", None]), "owner": self.who()}
        row["merged_into"] = self.pick(self.leads)["lead_id"] if self.leads and self.chance(0.06) else None
        row["person_id"] = f"P{self.rng.integers(12)}" if not row["merged_into"] and self.chance(0.2) else None
        row["deleted_at"] = self.later(made, 5, 90) if self.chance(0.06) else None
        row["disqualified_at"] = self.later(made, 0.01, 1, 30, -0.2) if self.chance(0.25) else None
        row["country"] = self.pick(["FR", "BE", None])
        row["assigned_at"] = self.later(made, 0.01, 0.2, 3) if self.chance(0.7) else None
        row["alerted_at"] = self.later(made, 0.5, 20) if self.chance(0.3) else None
        row["nurtured_at"] = self.later(made, 0.1, 5, 30) if self.chance(0.3) else None
        self.leads.append(row)
        for number in range(int(self.rng.integers(0, 5))):
            at = made + pd.Timedelta(seconds=int(self.pick([0, 60, 300, 301, 900, 3600, 86_400, 86_401, 400_000])))
            at = self.later(made, 0.02, 1, 20) if self.chance(0.4) else at
            if self.chance(0.08):
                at = made - pd.Timedelta(seconds=int(self.pick([1, 3600, 86_400, 86_401, 200_000])))
            self.activities.append(
                {
                    "activity_id": f"{name}-{number}",
                    "lead_id": name,
                    "at": at,
                    "kind": self.pick(["call", "email", "meeting", "message", "call", "email", "task", "form", "visit", "alert"]),
                    "direction": self.pick(["outbound", "outbound", "outbound", "inbound"]),
                    "automated": self.chance(0.2),
                    "done": not self.chance(0.15),
                    "owner": self.who(),
                    "outcome": self.pick(["connected", "no_answer", "held", "appointment", "bounced", None, None, None]),
                }
            )

    def _deal(self, name: str) -> None:
        made = self.moment()
        owner, amount = self.who(), None if self.chance(0.1) else float(self.pick([100, 250, 250, 1000, 5000]))
        states = [(made, "Qualified", "open", amount, owner)]
        at, place = made, 1
        for _ in range(int(self.rng.integers(0, 7))):
            at = self.later(at, 0.5, 10, 60)
            turn, stage, status = self.rng.random(), *states[-1][1:3]
            if status != "open":  # reopened, in any open stage
                if turn < 0.4:
                    place = int(self.rng.integers(1, 4))
                    stage, status = STAGES[place - 1][0], "open"
            elif turn < 0.45:  # forward, maybe over a stage; backward
                place = int(np.clip(place + self.pick([1, 1, 1, 2, -1]), 1, 3))
                stage = STAGES[place - 1][0]
            elif turn < 0.6:
                stage, status = "Won", "won"
            elif turn < 0.8:  # lost; some sources leave the stage where it was
                stage, status = ("Lost" if self.chance(0.7) else stage), "lost"
            elif turn < 0.9:
                amount = None if amount is None else amount + 50
            else:
                owner = self.who()
            states.append((at, stage, status, amount, owner))
        now = states[-1]
        turned = max(i for i in range(len(states)) if i == 0 or states[i][2] != states[i - 1][2])
        currency = self.pick(["EUR", "EUR", "EUR", "USD", "CHF", "JPY"])
        row = {"opportunity_id": name, "lead_id": self.pick(self.leads)["lead_id"] if self.leads and self.chance(0.4) else None, "currency": currency}
        row |= {"created_at": None if self.chance(0.08) else made, "stage": now[1], "status": now[2], "amount": now[3], "owner": now[4]}
        row |= {"closed_at": states[turned][0] if now[2] != "open" else None, "source": self.pick(["web", "fair", None]), "product": "P"}
        row["deleted_at"] = self.later(at, 30) if self.chance(0.05) else None
        self.deals.append(row)
        if self.chance(0.85):  # the others have no history: only their creation and close are known
            names = ("changed_at", "stage", "status", "amount", "owner")
            self.history += [
                dict(zip(names, state, strict=True)) | {"opportunity_id": name, "seq": seq, "origin": "history"} for seq, state in enumerate(states)
            ]


def random_company(seed: int, **more) -> dict[str, pd.DataFrame]:
    return Random(seed, **more).tables()


@cache
def random_data(seed: int, engine: str = "duckdb") -> kpi.Dataset:
    """A random company read once for all tests."""
    return dataset(random_company(seed), engine)


def as_it_was(tables: dict[str, pd.DataFrame], as_of: pd.Timestamp) -> dict[str, pd.DataFrame]:
    """The export that would have been made at an instant: nothing of what came later is in it."""
    past = {name: frame.copy() for name, frame in tables.items()}
    past["leads"] = past["leads"][past["leads"]["created_at"] < as_of]
    past["activities"] = past["activities"][past["activities"]["at"] < as_of]
    history = past["opportunity_history"]
    begun = history.groupby("opportunity_id")["changed_at"].min()
    past["opportunity_history"] = history[history["changed_at"] < as_of]
    deals = past["opportunities"]
    first = deals["created_at"].fillna(deals["opportunity_id"].map(begun)).fillna(deals["closed_at"])  # what nothing dates is seen in the last export
    deals = deals[first < as_of].copy()
    later = deals["closed_at"] >= as_of
    deals.loc[later, ["status", "stage"]] = ["open", None]
    deals.loc[later, "closed_at"] = pd.NaT
    ordered = history.sort_values(["changed_at", "seq"])
    states = ordered[ordered["changed_at"] < as_of].drop_duplicates("opportunity_id", keep="last").set_index("opportunity_id")
    ends = ordered.groupby("opportunity_id")["status"].last()
    unsaid = (deals["status"] != "open") & (deals["opportunity_id"].map(ends) == "open")  # the record alone tells the close
    for at, name in deals["opportunity_id"][~unsaid].items():
        if name in states.index:
            deals.loc[at, ["stage", "status", "amount", "owner"]] = states.loc[name, ["stage", "status", "amount", "owner"]]
    # Before its first change a deal is as that change found it, as far as is known.
    told = ordered.drop_duplicates("opportunity_id").set_index("opportunity_id")
    for at, name in deals["opportunity_id"].items():
        if name in told.index and name not in states.index:
            deals.loc[at, ["stage", "status", "amount", "owner"]] = [None, "open", *told.loc[name, ["amount", "owner"]]]
    named = deals["lead_id"].isin(past["leads"]["lead_id"])  # no lead was named before it came
    past["opportunities"] = deals.assign(lead_id=deals["lead_id"].where(named))
    dated = ("disqualified_at", "deleted_at", "assigned_at", "alerted_at", "nurtured_at")
    for name, column in (*(("leads", column) for column in dated), ("opportunities", "deleted_at")):
        past[name] = past[name].assign(**{column: past[name][column].where(past[name][column] < as_of)})
    return past
