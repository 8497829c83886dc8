"""Retention by slow loops over plain Python rows: the definitions, written a second time and without the engine.

Orders are dicts with ``customer``, ``at`` (naive UTC), ``amount``, ``margin`` (or None), ``currency``, ``kind``, ``order`` and ``refunds`` (the order
a refund names, or None). Contracts are (customer, first day, first day no longer covered or None). Days are local dates, months are ``2026-10``.
"""

from __future__ import annotations

import math
from calendar import monthrange
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, timedelta
from functools import cache
from itertools import count, pairwise
from zoneinfo import ZoneInfo


@dataclass(frozen=True, eq=False)  # told apart by identity, so that answers can be kept
class Shop:
    """Orders with what is needed to read them: zone, own currency, and rates as (currency, from day, rate)."""

    orders: tuple[dict, ...]
    zone: str = "Europe/Paris"
    currency: str = "EUR"
    rates: tuple[tuple[str, date, float], ...] = ()


def local_day(at, zone: str) -> date:
    return at.to_pydatetime().replace(tzinfo=UTC).astimezone(ZoneInfo(zone)).date()


def month_of(day: date) -> str:
    return f"{day:%Y-%m}"


def next_month(month: str) -> str:
    year, number = map(int, month.split("-"))
    return f"{year + number // 12}-{number % 12 + 1:02}"


def first_of(month: str) -> date:
    return date(*map(int, month.split("-")), 1)


def months_up_to(last: str, count: int) -> list[str]:
    """The last `count` months, `last` included."""
    year, number = map(int, last.split("-"))
    numbers = range(year * 12 + number - count, year * 12 + number)
    return [f"{n // 12}-{n % 12 + 1:02}" for n in numbers]


def rate(shop: Shop, currency: str, day: date) -> float | None:
    if currency == shop.currency:
        return 1.0
    known = [(since, value) for code, since, value in shop.rates if code == currency and since <= day]
    return max(known)[1] if known else None


def is_refund(order: dict) -> bool:
    return order["kind"] == "refund" or order["amount"] < 0


@cache
def cancelled(shop: Shop, as_of) -> dict[str, str | None]:
    """Each refund and the sale it takes back: the one it names; else the only sale alike before it that none took back; else None."""
    known = sorted((order for order in shop.orders if order["at"] < as_of), key=lambda order: (order["at"], is_refund(order), order["order"]))
    names = {order["order"] for order in known}
    back = {order["order"]: order["refunds"] for order in known if is_refund(order) and order["refunds"] in names}
    for refund in known:
        if not is_refund(refund) or refund["order"] in back:
            continue
        back[refund["order"]] = None
        if refund["refunds"] is None:
            alike = [sale for sale in known if not is_refund(sale) and sale["order"] not in back.values() and sale["at"] <= refund["at"]]
            for field in ("customer", "currency"):
                alike = [sale for sale in alike if sale[field] == refund[field]]
            alike = [sale for sale in alike if (sale.get("product") or "") == (refund.get("product") or "")]
            alike = [sale for sale in alike if round(sale["amount"], 2) == round(abs(refund["amount"]), 2)]
            back[refund["order"]] = alike[0]["order"] if len(alike) == 1 else None
    return back


@cache
def net(shop: Shop, as_of, field: str = "amount") -> dict[tuple[str, date], float | None]:
    """Net of refunds per customer and day; a refund counts on the day of the sale it takes back, at that day's rate. None: nothing is known."""
    known = [order for order in shop.orders if order["at"] < as_of]
    day_of = {order["order"]: local_day(order["at"], shop.zone) for order in known}
    sums: dict[tuple[str, date], float | None] = {}
    for order in known:
        day = day_of[cancelled(shop, as_of).get(order["order"]) or order["order"]]
        worth, factor = order[field], rate(shop, order["currency"], day)
        key = (order["customer"], day)
        sums.setdefault(key, None)
        if worth is None or factor is None:
            continue
        if order["kind"] == "refund" and order["amount"] > 0:  # written without its sign
            worth = -worth
        sums[key] = (sums[key] or 0.0) + worth * factor
    return sums


@cache
def unrated(shop: Shop, as_of) -> dict[tuple[str, date], float]:
    """What was sold in currencies without a rate, per customer and day, in those currencies: purchases, but in no sum."""
    sums: dict[tuple[str, date], float] = defaultdict(float)
    for order in shop.orders:
        if order["at"] >= as_of:
            continue
        sale = next((one for one in shop.orders if one["order"] == cancelled(shop, as_of).get(order["order"])), order)
        day = local_day(sale["at"], shop.zone)
        if rate(shop, order["currency"], day) is None:
            sums[order["customer"], day] += -order["amount"] if order["kind"] == "refund" and order["amount"] > 0 else order["amount"]
    return sums


@cache
def bought(shop: Shop, as_of) -> dict[str, list[date]]:
    """Days with a purchase, by customer, in order."""
    days = defaultdict(list)
    for (customer, day), amount in sorted(net(shop, as_of).items()):
        if (amount is not None and round(amount, 2) > 0) or round(unrated(shop, as_of).get((customer, day), 0.0), 2) > 0:
            days[customer].append(day)
    return dict(days)


def activity_window(shop: Shop, as_of) -> int:
    gaps = sorted((b - a).days for days in bought(shop, as_of).values() for a, b in pairwise(days))
    if not gaps:
        return 365
    for gap in gaps:
        covered = sum(1 for other in gaps if other <= gap)
        if covered * 100 >= 95 * len(gaps):
            return max(30, gap)
    raise AssertionError


def active(shop: Shop, as_of, edge: date, window: int) -> set[str]:
    """Customers who bought in the `window` days before the midnight at which `edge` begins."""
    return {who for who, days in bought(shop, as_of).items() if any(edge - timedelta(days=window) <= day < edge for day in days)}


def firsts(shop: Shop, as_of) -> dict[str, date]:
    return {who: days[0] for who, days in bought(shop, as_of).items()}


def under_contract(contracts, edge: date) -> set[str]:
    """Customers covered on the day before `edge`."""
    eve = edge - timedelta(days=1)
    return {who for who, start, end in contracts if start <= eve and (end is None or eve < end)}


def account(start: set[str], end: set[str], first: dict[str, date], since: date) -> dict[str, int]:
    """Who came, came back and went between two instants."""
    row = {"start": 0, "new": 0, "reactivated": 0, "lost": 0, "end": 0}
    for who in start | end:
        row["start"] += who in start
        row["end"] += who in end
        if who in end and who not in start:
            row["new" if first[who] >= since else "reactivated"] += 1
        row["lost"] += who in start and who not in end
    return row


def growth(shop: Shop, as_of, last: str, months: int, span: int, window: int) -> list[dict]:
    rows, first = [], firsts(shop, as_of)
    for month in months_up_to(last, months):
        since, until = first_of(months_up_to(month, span)[0]), first_of(next_month(month))
        rows.append({"month": month} | account(active(shop, as_of, since, window), active(shop, as_of, until, window), first, since))
    return rows


def cohorts(shop: Shop, as_of, last: str, months: int) -> dict[tuple[str, int], tuple[int, int, float]]:
    """(cohort, age) to customers who bought, size of the cohort, amount net of refunds; whole months up to `last` only."""
    shown, purchases, first = months_up_to(last, months), bought(shop, as_of), firsts(shop, as_of)
    cells = {}
    for cohort in shown:
        members = [who for who, day in first.items() if month_of(day) == cohort]
        month, age = cohort, 0
        while members and month <= last:
            buyers = sum(1 for who in members if any(month_of(day) == month for day in purchases[who]))
            amount = sum(a or 0.0 for (who, day), a in net(shop, as_of).items() if who in members and month_of(day) == month)
            cells[cohort, age] = (buyers, len(members), amount)
            month, age = next_month(month), age + 1
    return cells


def retention_curve(shop: Shop, as_of, last: str, months: int) -> dict[int, tuple[int, int]]:
    """Age to customers who bought and customers followed so long, without the cohort of the data's first month."""
    begins = min(month_of(day) for _, day in net(shop, as_of))
    curve = {}
    for (cohort, age), (buyers, size, _) in cohorts(shop, as_of, last, months).items():
        if cohort != begins:
            had, n = curve.get(age, (0, 0))
            curve[age] = (had + buyers, n + size)
    return curve


def second_purchase(shop: Shop, as_of, view: str, since: date, until: date) -> list[tuple[int, int, bool]]:
    """(age at which a customer comes under observation, age at which it leaves, whether by a second purchase)."""
    last = local_day(as_of, shop.zone) - timedelta(days=1)
    rows = []
    for days in bought(shop, as_of).values():
        first, again = days[0], days[1] if len(days) > 1 else None
        if first > last:
            continue
        if view == "cohort":
            if since <= first < until:
                rows.append((0, ((again or last) - first).days, again is not None))
            continue
        seen = [first + timedelta(days=age) for age in range((min(again or last, until - timedelta(days=1)) - first).days + 1)]
        seen = [day for day in seen if since <= day < until]
        if seen:
            rows.append(((seen[0] - first).days, (seen[-1] - first).days, seen[-1] == again))
    return rows


def incidence(rows: list[tuple[int, int, bool]], horizon: int, undecided: float) -> dict:
    """Share with the event by `horizon`, age by age; NaN where it is not known."""
    left = 1.0
    for age in range(max((exit for _, exit, _ in rows), default=-1) + 1):
        at_risk = sum(1 for entry, exit, _ in rows if entry <= age <= exit)
        events = sum(1 for _, exit, event in rows if event and exit == age)
        if at_risk and age <= horizon:
            left *= 1 - events / at_risk
    share = 1 - left if rows and min(entry for entry, _, _ in rows) <= horizon else math.nan
    if not any(exit >= horizon for _, exit, _ in rows) and left > undecided:
        share = math.nan
    return {
        "value": share,
        "n": sum(1 for entry, _, _ in rows if entry <= horizon),
        "n_events": sum(1 for _, exit, event in rows if event and exit <= horizon),
        "n_open": sum(1 for _, exit, event in rows if not event and exit < horizon),
    }


def worth(shop: Shop, as_of, field: str) -> dict[str, float | None]:
    """What each customer who ever bought has brought so far; None where nothing of it is known. A margin known of some days goes for all alike."""
    sums: dict[str, float | None] = dict.fromkeys(bought(shop, as_of))
    amounts, known = net(shop, as_of), dict.fromkeys(sums, 0.0)
    for key, value in net(shop, as_of, field).items():
        if key[0] in sums and value is not None:
            sums[key[0]] = (sums[key[0]] or 0.0) + value
            known[key[0]] += amounts[key] or 0.0
    if field == "margin":
        whole = {who: sum(amount or 0.0 for (name, _), amount in amounts.items() if name == who) for who in sums}
        sums = {who: None if total is None or known[who] <= 0 else total * whole[who] / known[who] for who, total in sums.items()}
    return sums


def tenths(values: list[float]) -> dict[int, list[float]]:
    parts = defaultdict(list)
    for place, value in enumerate(sorted(values, reverse=True)):
        parts[place * 10 // len(values) + 1].append(value)
    return dict(parts)


def brought(shop: Shop, as_of, since: date, until: date) -> dict[str, float]:
    """What each customer brought on the days from `since` up to `until`."""
    sums: dict[str, float] = defaultdict(float)
    for (who, day), amount in net(shop, as_of).items():
        if since <= day < until and amount is not None:
            sums[who] += amount
    return dict(sums)


def paid(contracts, edge: date, rate_of) -> dict[str, float]:
    """What each customer pays a month on the day before `edge`; contracts are (customer, start, end, amount, currency)."""
    sums: dict[str, float] = defaultdict(float)
    eve = edge - timedelta(days=1)
    for who, start, end, amount, currency in contracts:
        if rate_of(currency) is not None and start <= eve and (end is None or eve < end):
            sums[who] += amount * rate_of(currency)
    return dict(sums)


def revenue_account(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """What became of the revenue of those who brought something before."""
    row = dict.fromkeys(("start", "expansion", "contraction", "churn", "end", "kept"), 0.0) | {"n": 0, "still": 0}
    for who, amount in before.items():
        if round(amount, 2) <= 0:
            continue
        now = after.get(who, 0.0)
        row["n"] += 1
        row["start"] += amount
        row["end"] += now
        row["kept"] += min(now, amount)
        row["still"] += round(now, 2) > 0
        if round(now, 2) <= 0:
            row["churn"] += amount - now
        elif now > amount:
            row["expansion"] += now - amount
        else:
            row["contraction"] += amount - now
    return row


def lower_median(values: list[float]) -> float:
    """The smallest value that half of them do not exceed."""
    return sorted(values)[(len(values) - 1) // 2]


def value_groups(shop: Shop, as_of, field: str) -> dict[str, tuple[int, float]]:
    """Group to customers and what they brought."""
    end = local_day(as_of, shop.zone) - timedelta(days=1)
    days = bought(shop, as_of)
    value = {who: round(amount, 2) for who, amount in worth(shop, as_of, field).items() if amount is not None}
    pause = {who: (end - days[who][-1]).days for who in value}
    cuts = [lower_median(list(table.values())) for table in (pause, {who: len(days[who]) for who in value}, value)]
    found: dict[str, tuple[int, float]] = {}
    for who, amount in value.items():
        words = ("recent" if pause[who] <= cuts[0] else "past", "often" if len(days[who]) > cuts[1] else "seldom")
        group = " ".join((*words, "much" if amount > cuts[2] else "little"))
        n, total = found.get(group, (0, 0.0))
        found[group] = (n + 1, total + amount)
    return found


def after_months(start: date, number: int) -> date:
    """The same day so many months later; the last day of a month that is too short for it."""
    year, month = divmod(start.year * 12 + start.month - 1 + number, 12)
    return date(year, month + 1, min(start.day, monthrange(year, month + 1)[1]))


def months_between(start: date, end: date) -> int:
    """Whole months, counted one by one."""
    return next(number for number in count() if after_months(start, number + 1) > end)


def covers(contracts, last: date) -> list[tuple[str, date, date | None]]:
    """Customer, start, first day not covered (None without an end) of each time under contract without a gap, begun by the day `last`."""
    found = []
    for who in sorted({row[0] for row in contracts}):
        terms = sorted(
            (start, end or date.max) for name, start, end, *_ in contracts if name == who and start <= last and (end is None or end > start)
        )
        while terms:
            start, end = terms.pop(0)
            while terms and terms[0][0] <= end:
                end = max(end, terms.pop(0)[1])
            found.append((who, start, None if end == date.max else end))
    return found


def stays(contracts, last: date) -> list[tuple[int, bool]]:
    """Months under contract, and whether it ended by the day `last`: an end in the month it reaches into, who is still there for whole months."""
    found = []
    for _, start, end in covers(contracts, last):
        over = end is not None and end <= last
        found.append((next(number for number in count() if reaches(start, number, end)) if over else months_between(start, last), over))
    return found


def reaches(start: date, number: int, end: date) -> bool:
    """Whether so many months cover the days up to an end; a month too short for the day of the start is covered through its last day."""
    day = after_months(start, number)
    return day + timedelta(days=day.day < start.day) >= end


def still_there(stays: list[tuple[int, bool]], age: int) -> float:
    """Kaplan-Meier, month by month."""
    left = 1.0
    for month in range(age + 1):
        at_risk = sum(1 for length, _ in stays if length >= month)
        if at_risk:
            left *= 1 - sum(1 for length, over in stays if over and length == month) / at_risk
    return left
