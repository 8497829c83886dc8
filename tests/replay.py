"""Random histories of deals with everything that goes wrong in them, and what became of each, event by event in plain Python."""

from __future__ import annotations

import math
import random
from datetime import date, datetime, timedelta

import pandas as pd
from companies import table, utc

START, END = "2026-03-01", "2026-05-01"
CLOSING = (date(2026, 4, 1), date(2026, 7, 1))
RATES = [("USD", date(2026, 1, 1), 0.9), ("USD", date(2026, 4, 1), 0.8), ("CHF", date(2026, 3, 20), 1.1)]
STATES = [("Qualified", "open"), ("Proposal", "open"), ("Negotiation", "open"), ("Won", "won"), ("Lost", "lost"), ("Proposal", "open")]
INWARD = ("new", "reopened", "pulled_in", "owner_in")


def histories(worlds: int, seed: int = 1) -> tuple[list[dict], list[dict]]:
    """Deals of so many worlds (the world is the source), and their changes."""
    chance = random.Random(seed)
    edges = [utc(START), utc(END)]
    moments = edges + [utc("2026-02-01") + timedelta(hours=7 * step) for step in range(0, 420, 3)]
    deals, changes = [], []
    for number in range(worlds):
        for _ in range(chance.randint(1, 3)):
            name = f"D{len(deals):05d}"
            times = sorted(chance.choice(moments[:2] if chance.random() < 0.1 else moments) for _ in range(chance.randint(1, 7)))
            if len(times) > 2 and chance.random() < 0.4:
                times[1] = times[0]  # a tie: the sequence decides
            state = {"stage": "Qualified", "status": "open", "amount": 100.0, "owner": "Ann", "expected_close_on": pd.Timestamp("2026-05-05")}
            rows = []
            for seq, at in enumerate(times):
                state = _turned(chance, state) if seq or chance.random() < 0.3 else state
                rows.append(state | {"opportunity_id": name, "changed_at": at, "seq": seq, "origin": "history"})
            made = chance.choice([times[0], times[0], times[0], None, times[0] - timedelta(days=20), times[0] + timedelta(days=5)])
            closed = times[-1] if state["status"] != "open" else None
            deal = {"opportunity_id": name, "created_at": made, "source": f"w{number:04d}", "product": "P", "closed_at": closed}
            deal["currency"] = chance.choice(["EUR", "EUR", "USD", "CHF", "JPY"])
            deal["deleted_at"] = chance.choice(moments) if chance.random() < 0.12 else None
            deals.append(deal | {key: state[key] for key in ("stage", "status", "amount", "owner", "expected_close_on")})
            if chance.random() < 0.9:  # of the others nothing but creation and close is known
                changes += rows
    return deals, changes


def _turned(chance: random.Random, state: dict) -> dict:
    state = dict(state)
    for _ in range(chance.randint(1, 2)):
        kind = chance.randrange(4)
        if kind == 0:
            state["stage"], state["status"] = chance.choice(STATES)
        elif kind == 1:
            state["amount"] = chance.choice([None, 50.0, 99.99, 100.0, 333.33, 1000.0])
        elif kind == 2:
            state["owner"] = chance.choice(["Ann", "Bob", None])
        else:
            day = chance.choice(["2026-03-31", "2026-04-01", "2026-06-30", "2026-07-01", "2026-05-05"])
            state["expected_close_on"] = pd.Timestamp(day) if chance.random() < 0.9 else None
    return state


def frames(deals: list[dict], changes: list[dict]) -> dict[str, pd.DataFrame]:
    rates = table("fx", [{"currency": name, "from_on": pd.Timestamp(day), "rate": rate} for name, day, rate in RATES])
    return {"opportunities": table("opportunities", deals), "opportunity_history": table("opportunity_history", changes), "fx": rates}


def events(deal: dict, changes: list[dict]) -> list[tuple[datetime, dict | None]]:
    """What became of a deal: instants and the state after each, None once deleted."""
    rows = sorted((row for row in changes if row["opportunity_id"] == deal["opportunity_id"]), key=lambda row: (row["changed_at"], row["seq"]))
    bare, made = not rows, deal["created_at"]
    unknown = {"status": "open", "stage": deal["stage"] if deal["status"] == "open" else None, "expected_close_on": None}
    unknown |= {"owner": deal["owner"], "amount": deal["amount"]}
    if rows:
        unknown |= {"owner": rows[0]["owner"], "amount": rows[0]["amount"], "stage": None}
    if bare and made is not None:
        rows = [deal | {"status": "open", "changed_at": made, "stage": unknown["stage"]}]
    if bare and deal["closed_at"] is not None:
        rows = [*rows, deal | {"changed_at": deal["closed_at"]}]
    told = [(row["changed_at"], row) for row in rows]
    if bare and made is not None and deal["closed_at"] is not None:
        told.sort(key=lambda pair: pair[0])
    if made is not None and (not told or made < told[0][0]):  # one that nothing dates is seen in the export, after all that is asked here
        told = [(made, unknown), *told]
    told = [(at if made is None else max(at, made), state) for at, state in told]
    if deal["deleted_at"] is not None:
        told = [(at, state) for at, state in told if at < deal["deleted_at"]]
        told += [(deal["deleted_at"], None)] if told else []
    return told


def rate(currency: str, day: date) -> float | None:
    if currency == "EUR":
        return 1.0
    known = [value for name, since, value in RATES if name == currency and since <= day]
    return known[-1] if known else None


def cents(amount: float | None, currency: str, day: date) -> int:
    factor = rate(currency, day)
    return 0 if amount is None or factor is None else math.floor(amount * factor * 100 + 0.5)


def account(deals, changes, start, end, closing, owners, local_day, constant: bool) -> dict[str, dict[str, list[int]]]:
    """Cents and deals of every step, per world, by replaying the events one by one."""

    def inside(state) -> bool:
        if state is None or state["status"] != "open":
            return False
        due = state["expected_close_on"]
        in_time = closing is None or (due is not None and closing[0] <= due.date() < closing[1])
        return in_time and (not owners or state["owner"] in owners)

    found: dict[str, dict[str, list[int]]] = {}
    last = local_day(end) - timedelta(days=1)
    by_deal: dict[str, list[dict]] = {}
    for row in changes:
        by_deal.setdefault(row["opportunity_id"], []).append(row)
    for deal in deals:
        steps = found.setdefault(deal["source"], {})

        def tell(step: str, money: int, count: int, steps=steps) -> None:
            line = steps.setdefault(step, [0, 0])
            line[0] += money
            line[1] += count

        value = lambda state, day, deal=deal: cents(state["amount"], deal["currency"], last if constant else day) if inside(state) else 0  # noqa: E731
        state, held = None, 0
        opened = False
        for at, after in events(deal, by_deal.get(deal["opportunity_id"], [])):
            if at >= end:
                break
            if at < start:
                state = after
                continue
            if not opened:
                opened, held = True, value(state, local_day(start) - timedelta(days=1))
                tell("start", held, int(inside(state)))
            day = local_day(at)
            before = value(state, day)
            tell("currency", before - held, 0)
            _told(tell, deal, state, after, inside, owners, before, last if constant else day)
            state, held = after, value(after, day)
        if not opened:
            held = value(state, local_day(start) - timedelta(days=1))
            tell("start", held, int(inside(state)))
        tell("currency", value(state, last) - held, 0)
        tell("end", value(state, last), int(inside(state)))
    return found


def _told(tell, deal, state, after, inside, owners, before: int, day: date) -> None:
    """One event."""
    is_in, was_in = inside(after), inside(state)
    if after is None:
        return tell("deleted", -before, -1) if was_in else None
    amount = cents(after["amount"], deal["currency"], day)
    if was_in and amount != before:
        tell("increased" if amount > before else "decreased", amount - before, 0)
    if is_in and not was_in:
        step = "new" if state is None else "reopened" if state["status"] != "open" else "pulled_in"
        tell("owner_in" if step == "pulled_in" and owners and state["owner"] not in owners else step, amount, 1)
    if was_in and not is_in:
        step = after["status"] if after["status"] != "open" else "owner_out" if owners and after["owner"] not in owners else "pushed_out"
        tell(step, -amount, -1)
    return None
