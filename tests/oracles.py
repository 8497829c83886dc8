"""The definitions as slow loops over plain Python rows: no frames, no engine, nothing of `kpi`.

Rows come as dicts with None for an empty cell. Days are local dates, counted as whole numbers.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from statistics import median
from zoneinfo import ZoneInfo

import pandas as pd
from companies import END, utc

UTC = ZoneInfo("UTC")
BLANK = "(blank)"
HUMAN = ("call", "email", "meeting", "message")
TWO_WAY = ("connected", "replied", "held", "appointment")
DAY = 86_400


def rows(frame: pd.DataFrame | None) -> list[dict]:
    """A frame as dicts, empty cells as None, instants as datetime."""
    if frame is None:
        return []
    plain = [{k: None if pd.isna(v) else v for k, v in zip(frame.columns, row, strict=True)} for row in frame.itertuples(index=False)]
    return [{k: v.to_pydatetime() if isinstance(v, pd.Timestamp) else v for k, v in row.items()} for row in plain]


# --- clocks


def local(moment: datetime, zone: str) -> datetime:
    return moment.replace(tzinfo=UTC).astimezone(ZoneInfo(zone))


def day(moment: datetime | None, zone: str) -> date | None:
    return None if moment is None else local(moment, zone).date()


def month_of(on: date) -> str:
    return f"{on.year}-{on.month:02d}"


def quarter_of(on: date) -> str:
    return f"{on.year}-Q{(on.month + 2) // 3}"


def is_open(moment: datetime, zone: str, hours: dict[str, list[str]], closed: set[date]) -> bool:
    """Whether business hours are on at an instant."""
    here = local(moment, zone)
    if here.date() in closed:
        return False
    minute = here.hour * 60 + here.minute
    for window in hours.get(here.strftime("%A").lower(), []):
        opens, closes = (int(text[:2]) * 60 + int(text[3:]) for text in window.split("-"))
        if opens <= minute < closes:
            return True
    return False


def business_seconds(start: datetime, end: datetime, zone: str, hours: dict[str, list[str]], closed: set[date]) -> int:
    """Seconds between two instants that fall into business hours, minute by minute."""
    total, minute = 0, start.replace(second=0, microsecond=0)
    while minute < end:
        after = minute + timedelta(minutes=1)
        if is_open(minute, zone, hours, closed):
            total += int((min(after, end) - max(minute, start)).total_seconds())
        minute = after
    return total


# --- curves


def incidence(records: list[tuple[int, int, str]], causes: tuple[str, ...]) -> list[tuple[int, int, Fraction, dict[str, Fraction]]]:
    """Product-limit by hand over (entry, exit, outcome): for each bin that occurs, the records at risk, the share without outcome, the incidences.

    A record is at risk in every bin from its entry to its exit, both included; so censored records are at risk in their last bin.
    """
    free, shares, out = Fraction(1), dict.fromkeys(causes, Fraction(0)), []
    for age in sorted({age for entry, exit, _ in records for age in (entry, exit)}):
        watched = [record for record in records if record[0] <= age <= record[1]]
        ended = {cause: sum(1 for _, exit, outcome in watched if exit == age and outcome == cause) for cause in causes}
        for cause in causes:
            shares[cause] += free * Fraction(ended[cause], len(watched)) if watched else 0
        free *= 1 - Fraction(sum(ended.values()), len(watched)) if watched else 1
        out.append((age, len(watched), free, dict(shares)))
    return out


def share_by(records, causes, cause: str, horizon: float) -> float | None:
    """Incidence of a cause at a delay; None where nothing is known of it (see the note on `survival.at`)."""
    curve = incidence(records, causes)
    known = [point for point in curve if point[0] <= horizon]
    if not known or known[0][0] > 0:
        return None
    before = Fraction(1)
    for place, (age, watched, free, _) in enumerate(known):
        between = sum(1 for entry, exit, _ in records if entry <= age < exit)
        is_gap = place + 1 < len(curve) and curve[place + 1][0] > age + 1 <= horizon
        if too_few(watched, before, len(records)) or (is_gap and too_few(between, free, len(records))):
            return None
        before = free
    if horizon > curve[-1][0] and curve[-1][2] > Fraction(5, 100):  # beyond all that was observed, and too many still without outcome
        return None
    return float(known[-1][3][cause])


def too_few(watched: int, free: Fraction, n: int) -> bool:
    """Whether so few are under observation that nothing is known of that age: counted up to what they were before outcomes took their part."""
    return free > Fraction(5, 100) and watched < (5 if n >= 20 else 1) * free


def time_to(records, causes, cause: str, share: Fraction) -> int | None:
    """Smallest delay at which the incidence of a cause reaches a share."""
    return next((age for age, _, _, shares in incidence(records, causes) if shares[cause] >= share), None)


def person_days(lives: list[tuple[date, date, str]], start: date, end: date) -> tuple[dict[int, int], dict[int, dict[str, int]]]:
    """For each day of age, who was at risk on a day inside the window, and what happened on it.

    A life is its first day, its last (of the outcome, or the last day observed) and its outcome, ``censored`` while open.
    """
    at_risk: dict[int, int] = {}
    events: dict[int, dict[str, int]] = {}
    for first, last, outcome in lives:
        on = first
        while on <= last:
            if start <= on < end:
                age = (on - first).days
                at_risk[age] = at_risk.get(age, 0) + 1
                if on == last and outcome != "censored":
                    found = events.setdefault(age, {})
                    found[outcome] = found.get(outcome, 0) + 1
            on += timedelta(days=1)
    return at_risk, events


def period_share(lives, start: date, end: date, cause: str, horizon: int) -> float | None:
    """How many had the outcome by an age, as things went inside a window: only the days inside it count."""
    at_risk, events = person_days(lives, start, end)
    if not at_risk or min(at_risk) > horizon:
        return None
    free, share = Fraction(1), Fraction(0)
    n = sum(1 for first, last, _ in lives if last >= first and last >= start and first < end)
    for age in range(min(max(at_risk), horizon) + 1):
        if too_few(at_risk.get(age, 0), free, n):
            return None
        if not at_risk.get(age):
            continue
        share += free * Fraction(events.get(age, {}).get(cause, 0), at_risk[age])
        free *= 1 - Fraction(sum(events.get(age, {}).values()), at_risk[age])
    if horizon > max(at_risk) and free > Fraction(5, 100):
        return None
    return float(share)


def cohort_share(lives, start: date, end: date, causes, cause: str, horizon: int) -> float | None:
    """How many of those who entered in a window had the outcome by an age."""
    records = [(0, (last - first).days, outcome) for first, last, outcome in lives if start <= first < end and last >= first]
    return share_by(records, causes, cause, horizon)


# --- leads


def team_of(owner: str | None, owners: list[dict]) -> str:
    return next((row["team"] for row in owners if row["owner"] == owner), BLANK)


def inquiries(leads: list[dict], activities: list[dict]) -> dict[str, list[dict]]:
    """Leads that are one inquiry, by the lead that stands for it: merged ones, and those of a person without 30 quiet days in between."""
    by_id = {lead["lead_id"]: lead for lead in leads}
    ties: list[tuple[str, str]] = []
    merged: set[str] = set()
    for lead in leads:
        seen, at = {lead["lead_id"]}, lead
        while at.get("merged_into") in by_id and at["merged_into"] not in seen:
            at = by_id[at["merged_into"]]
            seen.add(at["lead_id"])
        if at is not lead and not at.get("merged_into"):  # neither a circle nor a merge into nobody known
            ties.append((lead["lead_id"], at["lead_id"]))
            merged.add(lead["lead_id"])
    for person in {lead["person_id"] for lead in leads if lead.get("person_id")}:
        own = sorted((lead for lead in leads if lead.get("person_id") == person), key=lambda lead: (lead["created_at"], lead["lead_id"]))
        names = {lead["lead_id"] for lead in own}
        stirs = [lead["created_at"] for lead in own] + [
            act["at"] for act in activities if act["lead_id"] in names and not act["automated"] and act["done"]
        ]
        for before, lead in pairwise(own):
            lately = [at for at in stirs if timedelta(0) <= lead["created_at"] - at <= timedelta(days=30)]
            if len(lately) > 1:  # the lead itself is one of them, and so is another of the same instant
                ties.append((before["lead_id"], lead["lead_id"]))
    group = {name: {name} for name in by_id}
    for one, other in ties:
        together = group[one] | group[other]
        for name in together:
            group[name] = together
    found: dict[str, list[dict]] = {}
    for together in {id(members): members for members in group.values()}.values():
        parts = sorted((by_id[name] for name in together), key=lambda lead: (lead["created_at"], lead["lead_id"]))
        found[min(parts, key=lambda lead: (lead["lead_id"] in merged, lead["created_at"], lead["lead_id"]))["lead_id"]] = parts
    return found


def leads_at(tables: dict[str, pd.DataFrame], as_of: datetime, zone: str) -> list[dict]:
    """Each inquiry received before an instant, with what was known of it then."""
    owners, found = rows(tables.get("owners")), []
    activities = [row for row in rows(tables["activities"]) if row["at"] < as_of]
    deals = deals_at(tables, as_of, zone) if "opportunities" in tables else []
    kept = [row for row in rows(tables["leads"]) if row["created_at"] < as_of and not (row.get("deleted_at") and row["deleted_at"] < as_of)]
    for name, parts in inquiries(kept, activities).items():
        row, ids = parts[0], {part["lead_id"] for part in parts}
        made = row["created_at"]
        declines = [part.get("disqualified_at") for part in parts]
        declined = max(declines) if all(at and at < as_of for at in declines) else None  # a duplicate closed as such ends nothing
        declined = max(declined, made) if declined else None  # a date alone is midnight, before the inquiry of that day
        human = [
            act["at"]
            for act in activities
            if act["lead_id"] in ids and act["kind"] in HUMAN and act["direction"] == "outbound" and not act["automated"] and act["done"]
        ]
        answer = min((at for at in human if at >= made), default=None)
        early = [at for at in human if timedelta(0) < made - at <= timedelta(days=1)]
        if declined and (answer is None or declined < answer):
            outcome, ended = "disqualified", declined
        elif answer:
            outcome, ended = "answered", answer
        else:
            outcome, ended = "waiting", as_of
        own = [deal for deal in deals if deal["lead_id"] in ids or deal["opportunity_id"] in {part.get("opportunity_id") for part in parts}]
        since = day(made, zone)
        own_at = earliest([(deal["created"], deal["created_at"]) for deal in own if deal["created"]], since)
        won_at = earliest([(deal["closed"], deal["closed_at"]) for deal in own if deal["status"] == "won" and deal["closed"]], since)
        done = [
            act for act in activities if act["lead_id"] in ids and act["kind"] in HUMAN and not act["automated"] and act["done"] and act["at"] >= made
        ]
        talked = [act["at"] for act in done if act.get("outcome") in TWO_WAY or (answer and act["direction"] == "inbound" and act["at"] >= answer)]
        met = [act["at"] for act in done if act.get("outcome") == "appointment" or act["kind"] == "meeting"]

        def first(column, parts=parts):
            return min((part[column] for part in parts if part.get(column) and part[column] < as_of), default=None)

        alerted = first("alerted_at")
        found.append(
            {
                "lead_id": name,
                "folded": len(parts),
                "disqualified_at": declined,
                "touched_at": answer,
                "contacted_at": min(talked, default=None),
                "appointed_at": min(met, default=None),
                "assigned_at": first("assigned_at"),
                "nurtured_at": first("nurtured_at"),
                "alerted_at": alerted,
                "alert_touched_at": min((at for at in human if alerted and at >= alerted), default=None),
                "opportunity_at": own_at,
                "won_at": won_at,
                "source": row["source"] or BLANK,
                "owner": row["owner"] or BLANK,
                "country": row.get("country") or BLANK,
                "team": team_of(row["owner"], owners),
                "created_at": made,
                "created": day(made, zone),
                "outcome": outcome,
                "ended_at": ended,
                "delay": int((ended - made).total_seconds()),
                "touched_before": bool(early),
                "attempts": sum(1 for at in human if timedelta(0) <= at - made <= timedelta(days=30)),
                "declined": day(declined, zone),
                "became": day(own_at, zone),
                "won": day(won_at, zone),
            }
        )
    return found


def eligible(leads: list[dict], start: date, end: date) -> list[dict]:
    return [lead for lead in leads if start <= lead["created"] < end and not lead["touched_before"]]


def waits(leads: list[dict], delay: str = "delay") -> list[tuple[int, int, str]]:
    """Leads as (entry, exit, outcome) on a clock."""
    return [(0, lead[delay], "censored" if lead["outcome"] == "waiting" else lead["outcome"]) for lead in leads]


def waits_between(leads: list[dict], start: str, end: str, as_of: datetime) -> list[tuple[int, int, str]]:
    """From one event to another as (entry, exit, outcome); whoever got to the end, or out, before the start does not count."""
    found = []
    for lead in leads:
        begins, ends, declined = lead[start], lead[end], lead["disqualified_at"]
        if begins is None or (ends and ends < begins) or (declined and declined < begins):
            continue
        if ends and (declined is None or ends <= declined):
            last, outcome = ends, "answered"
        elif declined:
            last, outcome = declined, "disqualified"
        else:
            last, outcome = as_of, "censored"
        found.append((0, int((last - begins).total_seconds()), outcome))
    return found


SPEEDS = (300, 3600, DAY, 7 * DAY)  # edges of the bands of answer, in seconds


def landmark(leads: list[dict], event: str, days: int, as_of: datetime) -> list[tuple[int, int, int]]:
    """Per band of answer: leads without outcome at its edge, those with the outcome in the days after it, those whose outcome or end came first."""
    bands = [[0, 0, 0] for _ in range(len(SPEEDS) + 1)]
    for lead in leads:
        answered = lead["delay"] if lead["outcome"] == "answered" else None
        band = next((number for number, edge in enumerate(SPEEDS) if answered is not None and answered <= edge), len(SPEEDS))
        edge = lead["created_at"] + timedelta(seconds=SPEEDS[min(band, len(SPEEDS) - 1)])
        if edge + timedelta(days=days) > as_of:
            continue
        if any(at and at <= edge for at in (lead[event], lead["disqualified_at"])):
            bands[band][2] += 1
        else:
            bands[band][0] += 1
            bands[band][1] += bool(lead[event] and lead[event] <= edge + timedelta(days=days))
    return [tuple(band) for band in bands]


def last_day(as_of: datetime, zone: str) -> date:
    return day(as_of, zone) - timedelta(days=1)


def ways_of_leads(leads: list[dict], as_of: datetime, zone: str, goal: str) -> list[tuple[date, date, str]]:
    """Lives of leads on their way to an opportunity (a disqualification ends it) or to a won deal (nothing else ends it)."""
    lives = []
    for lead in leads:
        reached, declined = lead["became" if goal == "opportunity" else "won"], lead["declined"] if goal == "opportunity" else None
        if declined and (reached is None or declined < reached):
            life = (lead["created"], declined, "disqualified")
        elif reached:
            life = (lead["created"], reached, goal)
        else:
            life = (lead["created"], last_day(as_of, zone), "censored")
        if life[1] >= life[0]:
            lives.append(life)
    return lives


def earliest(found: list[tuple[date, datetime]], since: date) -> datetime | None:
    """The first of them from a day on; one from before only where there is no other."""
    return min((at for on, at in found if on >= since), default=min((at for _, at in found), default=None))


# --- opportunities


def story_of(deal: dict, history: list[dict], as_of: datetime) -> list[dict]:
    """States of a deal before an instant, the oldest first; without any history what its creation and its close tell.

    A history that ends open though the record is closed lacks the closing: on the record's date, but not before the last change.
    """
    own = sorted((row for row in history if row["opportunity_id"] == deal["opportunity_id"]), key=lambda row: (row["changed_at"], row["seq"]))
    if not own:
        bare = {"amount": deal["amount"], "owner": deal["owner"], "inferred": True}
        closed = deal["status"] != "open"
        if deal.get("created_at") and not (closed and not deal.get("closed_at")):
            begun = min(deal["created_at"], deal["closed_at"]) if closed else deal["created_at"]
            own.append(bare | {"changed_at": begun, "status": "open", "stage": None if closed else deal["stage"]})
        if closed and deal.get("closed_at"):
            own.append(bare | {"changed_at": deal["closed_at"], "status": deal["status"], "stage": deal["stage"]})
    elif own[-1]["status"] == "open" and deal["status"] != "open" and deal.get("closed_at"):
        said = {name: deal.get(name) for name in ("amount", "status", "stage")} | {"owner": own[-1]["owner"]}
        own.append(said | {"changed_at": max(deal["closed_at"], own[-1]["changed_at"])})
    return [row for row in own if row["changed_at"] < as_of]


def rate(currency: str, on: date, fx: list[dict]) -> float | None:
    if currency == "EUR":
        return 1.0
    known = sorted((row["from_on"].date(), row["rate"]) for row in fx if row["currency"] == currency and row["from_on"].date() <= on)
    return known[-1][1] if known else None


def deals_at(tables: dict[str, pd.DataFrame], as_of: datetime, zone: str) -> list[dict]:
    """Each opportunity of an instant in the state known then."""
    history, fx, found = rows(tables.get("opportunity_history")), rows(tables.get("fx")), []
    for deal in rows(tables["opportunities"]):
        if deal.get("closed_at"):  # what is closed ahead of the export is closed at the export
            deal["closed_at"] = min(deal["closed_at"], utc(END).to_pydatetime() - timedelta(microseconds=1))
        made, gone = deal.get("created_at"), deal.get("deleted_at")
        if (made and made >= as_of) or (gone and gone < as_of):
            continue
        past, told = story_of(deal, history, as_of), any(row["opportunity_id"] == deal["opportunity_id"] for row in history)
        if not past and not made and as_of < utc(END):
            continue  # all that is known of it came later, with the export at the latest
        # Nothing known yet: open, with what its first change says, else its record; a stage that it has left since is not known.
        own = sorted((row for row in history if row["opportunity_id"] == deal["opportunity_id"]), key=lambda row: (row["changed_at"], row["seq"]))
        bare = {"status": "open", "stage": deal["stage"] if deal["status"] == "open" else None, "amount": deal["amount"], "owner": deal["owner"]}
        bare |= {"stage": None, "amount": own[0]["amount"], "owner": own[0]["owner"]} if own else {}
        now = past[-1] if past else bare
        if not told and not deal.get("closed_at"):
            now = now | {"status": deal["status"]}  # maybe closed at an unknown date
        closed = None
        if now["status"] != "open" and past:
            turns = [row["changed_at"] for i, row in enumerate(past) if i == 0 or past[i - 1]["status"] != row["status"]]
            turned = turns[-1]
            closed = day(turned, zone)
        worth = rate(deal.get("currency") or "EUR", closed or last_day(as_of, zone), fx)
        found.append(
            {
                "opportunity_id": deal["opportunity_id"],
                "lead_id": deal.get("lead_id"),
                "source": deal.get("source") or BLANK,
                "product": deal.get("product") or BLANK,
                "owner": now["owner"] or BLANK,
                "stage": now["stage"] or BLANK,
                "status": now["status"],
                "amount": None if now["amount"] is None or worth is None else now["amount"] * worth,
                "created": day(made, zone),
                "closed": closed,
                "created_at": made,
                "closed_at": turned if closed else None,
                "past": past,
            }
        )
    return found


def lives_of_deals(deals: list[dict], as_of: datetime, zone: str) -> list[tuple[date, date, str]]:
    lives = []
    for deal in deals:
        last, outcome = (last_day(as_of, zone), "censored") if deal["status"] == "open" else (deal["closed"], deal["status"])
        if deal["created"] and last and last >= deal["created"]:
            lives.append((deal["created"], last, outcome))
    return lives


def reached_on(deal: dict, position: int, places: dict[str, int], zone: str) -> date | None:
    """First day a deal was in a stage or beyond it; a lost stage is not beyond any, a deal that stays won has passed them all."""
    for row in deal["past"]:
        if row["status"] == "won" and deal["status"] != "won":
            continue
        beyond = row["status"] == "won" or (row["status"] != "lost" and places.get(row["stage"], 0) >= position)
        if beyond and not row.get("inferred"):
            return day(row["changed_at"], zone)
    return None


def lives_in_stage(deals: list[dict], position: int, places: dict[str, int], as_of: datetime, zone: str) -> list[tuple[date, date, str]]:
    """From reaching a stage to the next or beyond; a deal that is lost at the end stopped there."""
    lives = []
    for deal in deals:
        first, then = reached_on(deal, position, places, zone), reached_on(deal, position + 1, places, zone)
        if first is None:
            continue
        if then:
            lives.append((first, then, "advanced"))
        elif deal["status"] == "lost":
            lives.append((first, deal["closed"], "lost"))
        else:
            lives.append((first, last_day(as_of, zone), "censored"))
    return [life for life in lives if life[1] >= life[0]]


def visits_to(deals: list[dict], stage: str, as_of: datetime, zone: str) -> list[tuple[date, date, str]]:
    """Each stay in an open stage: it ends when the stage changes or the deal closes."""
    lives = []
    for deal in deals:
        entered = None
        for row in [*deal["past"], None]:
            here = row is not None and row["status"] == "open" and row["stage"] == stage and not row.get("inferred")
            if entered is None and here:
                entered = row["changed_at"]
            elif entered is not None and not here:
                last, outcome = (last_day(as_of, zone), "censored") if row is None else (day(row["changed_at"], zone), "left")
                if last >= day(entered, zone):
                    lives.append((day(entered, zone), last, outcome))
                entered = None
    return lives


def middle(values: list[float]) -> float | None:
    return float(median(values)) if values else None
