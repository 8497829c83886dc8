"""Canonical tables from the simulated events, as an export of a given day would show them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from kpi import schema
from tests.simulated.clock import DAY, Clock, dates, instants
from tests.simulated.company import Company


def ids(letter: str, n: int) -> np.ndarray:
    """Identifiers of equal length: a letter and a number."""
    width = 10 ** max(4, len(str(n)))
    return (letter + pd.Series(np.arange(width + 1, width + 1 + n)).astype("str")).to_numpy()


def named(names: tuple[str, ...], positions) -> pd.Series:
    """Texts by position; a negative position is missing."""
    positions = np.asarray(positions, dtype="int64")
    texts = np.array([*names, None], dtype=object)
    return pd.Series(texts[np.where(positions < 0, len(names), positions)], dtype="str")


def picked(keys: np.ndarray, positions) -> pd.Series:
    """Identifiers by position; a negative position is missing."""
    return pd.Series(keys, dtype="str").reindex(np.asarray(positions, dtype="int64")).reset_index(drop=True)


def lead_tables(company: Company, clock: Clock, leads: pd.DataFrame, activities: pd.DataFrame, scores: pd.DataFrame, links: dict) -> dict:
    """Tables of leads, activities and scores as known at the export."""
    end = clock.utc(np.array([company.export_day * DAY]))[0]
    seen = {name: instants(leads[name].where(leads[name] < end)) for name in ("assigned_at", "nurtured_at", "alerted_at", "disqualified_at")}
    keys = ids("L", len(leads))
    by = pd.Series(np.where(leads["machine"], "machine", "human"), dtype="str").where(pd.Series(~np.isnat(seen["disqualified_at"])))
    table = pd.DataFrame(
        {
            "lead_id": pd.Series(keys, dtype="str"),
            "created_at": instants(leads["at"]),
            "assigned_at": seen["assigned_at"],
            "source": named([channel.name for channel in company.channels], leads["channel"]),
            "owner": named([owner.name for owner in company.owners], leads["owner"]),
            "nurtured_at": seen["nurtured_at"],
            "alerted_at": seen["alerted_at"],
            "disqualified_at": seen["disqualified_at"],
            "disqualified_by": by,
            "opportunity_id": links["opportunity"],
            "customer_id": links["customer"],
        }
    )
    scores = scores[scores["at"] < end]
    history = {"lead_id": picked(keys, scores["lead"]), "at": instants(scores["at"]), "score": scores["score"].to_numpy(dtype="float64")}
    activities = activities[activities["at"] < end].reset_index(drop=True)
    return {"leads": table, "lead_scores": pd.DataFrame(history), "activities": _activity_rows(company, keys, leads, activities)}


def _activity_rows(company: Company, keys: np.ndarray, leads: pd.DataFrame, activities: pd.DataFrame) -> pd.DataFrame:
    outcome = activities["outcome"].astype("str")
    owners = leads["owner"].to_numpy()[activities["lead"]]
    return pd.DataFrame(
        {
            "activity_id": pd.Series(ids("A", len(activities)), dtype="str"),
            "lead_id": picked(keys, activities["lead"]),
            "at": instants(activities["at"]),
            "kind": activities["kind"].astype("str"),
            "direction": activities["direction"].astype("str"),
            "automated": activities["automated"].to_numpy(dtype=bool),
            "done": activities["done"].to_numpy(dtype=bool),
            "owner": named([owner.name for owner in company.owners], np.where(activities["automated"], -1, owners)),
            "outcome": outcome.where(outcome != ""),
        }
    )


def deal_tables(company: Company, deals: pd.DataFrame, history: pd.DataFrame, links: dict, rng: np.random.Generator) -> dict:
    """Opportunities in their last known state and their history."""
    count = len(company.stages)
    stages = (*(stage.name for stage in company.stages), company.won, company.lost)
    status = ("open",) * count + ("won", "lost")
    keys, owners = ids("D", len(deals)), [owner.name for owner in company.owners]
    last = history.drop_duplicates("deal", keep="last").reset_index(drop=True)
    closed = last["stage"].to_numpy() >= count
    reason = rng.choice(len(company.lost_reasons), len(deals), p=_falling(len(company.lost_reasons)))
    product = rng.choice(len(company.products), len(deals), p=_falling(len(company.products)))
    table = pd.DataFrame(
        {
            "opportunity_id": pd.Series(keys, dtype="str"),
            "lead_id": links["lead"],
            "customer_id": links["customer"],
            "owner": named(owners, last["owner"]),
            "created_at": instants(deals["at"]),
            "amount": last["amount"].to_numpy(dtype="float64"),
            "currency": pd.Series(company.currency, index=range(len(deals)), dtype="str"),
            "stage": named(stages, last["stage"]),
            "status": named(status, last["stage"]),
            "closed_at": instants(last["at"].where(closed)),
            "expected_close_on": dates(last["expected"]),
            "source": named([channel.name for channel in company.channels], deals["channel"]),
            "product": named(company.products, product),
            "lost_reason": named(company.lost_reasons, np.where(last["stage"] == count + 1, reason, -1)),
        }
    )
    return {"opportunities": table, "opportunity_history": _history_rows(keys, stages, status, owners, history)}


def _history_rows(keys: np.ndarray, stages: tuple, status: tuple, owners: list[str], history: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "opportunity_id": picked(keys, history["deal"]),
            "changed_at": instants(history["at"]),
            "seq": history["seq"].to_numpy(dtype="int64"),
            "stage": named(stages, history["stage"]),
            "status": named(status, history["stage"]),
            "amount": history["amount"].to_numpy(dtype="float64"),
            "expected_close_on": dates(history["expected"]),
            "owner": named(owners, history["owner"]),
            "origin": pd.Series("history", index=range(len(history)), dtype="str"),
        }
    )


def customer_tables(company: Company, customers: pd.DataFrame, orders: pd.DataFrame) -> dict:
    """Customers with their orders, or with their contracts."""
    keys = ids("C", len(customers))
    table = pd.DataFrame(
        {
            "customer_id": pd.Series(keys, dtype="str"),
            "segment": named(company.segments, customers["segment"]),
            "source": named([channel.name for channel in company.channels], customers["channel"]),
            "owner": named([owner.name for owner in company.owners], customers["owner"]),
            "acquired_at": instants(customers["at"]),
            "acquisition_cost": customers["cost"].to_numpy(dtype="float64"),
        }
    )
    if company.contractual:
        return {"customers": table, "contracts": _contract_rows(company, keys, orders)}
    return {"customers": table, "orders": _order_rows(company, keys, orders)}


def _contract_rows(company: Company, keys: np.ndarray, terms: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "contract_id": pd.Series(ids("K", len(terms)), dtype="str"),
            "customer_id": picked(keys, terms["customer"]),
            "start_on": dates(terms["start"]),
            "end_on": dates(terms["end"].astype("float64").where(terms["end"] >= 0)),
            "monthly_amount": terms["monthly"].to_numpy(dtype="float64"),
            "currency": pd.Series(company.currency, index=range(len(terms)), dtype="str"),
        }
    )


def _order_rows(company: Company, keys: np.ndarray, orders: pd.DataFrame) -> pd.DataFrame:
    numbers = ids("O", len(orders))
    return pd.DataFrame(
        {
            "order_id": pd.Series(numbers, dtype="str"),
            "customer_id": picked(keys, orders["customer"]),
            "at": instants(orders["at"]),
            "amount": orders["amount"].to_numpy(dtype="float64"),
            "margin": orders["margin"].to_numpy(dtype="float64"),
            "currency": pd.Series(company.currency, index=range(len(orders)), dtype="str"),
            "kind": named(("sale", "refund"), orders["refunded"] >= 0),
            "refunds_order_id": picked(numbers, orders["refunded"]),
        }
    )


def small_tables(company: Company) -> dict:
    """Stages, owners and targets."""
    count = len(company.stages)
    stages = pd.DataFrame(
        {
            "stage": [*(stage.name for stage in company.stages), company.won, company.lost],
            "position": np.arange(1, count + 3),
            "status": ["open"] * count + ["won", "lost"],
        }
    )
    owners = pd.DataFrame(
        {
            "owner": [owner.name for owner in company.owners],
            "team": [owner.team for owner in company.owners],
            "from_on": pd.to_datetime([owner.from_on or None for owner in company.owners]).as_unit("us"),
            "to_on": pd.to_datetime([owner.to_on or None for owner in company.owners]).as_unit("us"),
        }
    )
    months = [str(month) for month in pd.period_range(company.months[0], f"{company.months[-1].year}-12", freq="M")]  # set for the whole year
    sizes = pd.Series([owner.team for owner in company.owners]).value_counts()
    # A usual month's won value (a fifth of the deals, about half as many deals as leads), spread by team and season, a little ambitious.
    usual = company.leads / (len(company.months) + company.tail_days / 30) * 0.14 * company.value_median * 1.3 * 1.05
    table = [
        (month, "won_value", team, round(usual * company.season[int(month[5:]) - 1] * sizes[team] / sizes.sum() * 1.04 ** (i / 12), -3))
        for i, month in enumerate(months)
        for team in company.teams
    ]
    return {"stages": stages, "owners": owners, "targets": pd.DataFrame(table, columns=["month", "measure", "team", "amount"])}


def ordered(tables: dict) -> dict:
    """Tables and columns in the order of the schema."""
    return {
        name: tables[name][[column for column in schema.TABLES[name].names if column in tables[name]]] for name in schema.TABLES if name in tables
    }


def _falling(n: int) -> np.ndarray:
    """Shares that fall by a quarter from one to the next."""
    shares = 0.75 ** np.arange(n)
    return shares / shares.sum()
