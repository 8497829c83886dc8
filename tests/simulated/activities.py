"""What happens between a lead and its outcome: attempts, contact, appointments, nurturing, alerts, scores, disqualification."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tests.simulated.clock import DAY, Clock
from tests.simulated.company import Company

TRIES = 5
HOUR = 3600.0


def contact(company: Company, clock: Clock, leads: pd.DataFrame, rng: np.random.Generator) -> tuple[pd.DataFrame, np.ndarray]:
    """Attempts until somebody is reached, then the appointment and the opportunity.

    Returns
    -------
    tuple of DataFrame and ndarray
        `leads` with ``tries``, ``reached``, ``by_email`` (the attempt that reached), ``last_at``, ``contact_at``, ``meeting_at``, ``met``,
        ``opened_at`` (of the opportunity); and the instants of the attempts, leads x `TRIES`, missing where there was none.
    """
    n = len(leads)
    answered, converts = leads["attempt_at"].notna().to_numpy(), leads["converts"].to_numpy()
    tries = rng.geometric(company.contact, n)
    reached = answered & ((tries <= TRIES) | converts)
    tries = np.where(answered, np.minimum(tries, TRIES), 0)
    gaps = np.exp(np.log(7 * HOUR) + 0.6 * rng.standard_normal((n, TRIES)))
    gaps[:, 0] = 0
    first = leads["attempt_at"].fillna(leads["at"]).to_numpy()
    attempts = clock.after(np.repeat(first, TRIES), np.cumsum(gaps, axis=1).ravel()).reshape(n, TRIES)
    attempts[:, 0] = first
    last = attempts[np.arange(n), np.maximum(tries - 1, 0)]
    by_email = rng.random(n) < 0.3
    reply = np.exp(np.log(2.5 * HOUR) + 1.0 * rng.standard_normal(n))
    contact_at = np.where(reached, np.where(by_email, last + 60 + reply, last), np.nan)
    opened, meeting, met = _outcome(clock, leads, contact_at, rng)
    attempts[np.arange(TRIES) >= tries[:, None]] = np.nan
    table = leads.assign(
        tries=tries,
        reached=reached,
        by_email=by_email,
        last_at=np.where(answered, last, np.nan),
        contact_at=contact_at,
        meeting_at=meeting,
        met=met,
        opened_at=opened,
    )
    return table, attempts


def _outcome(clock: Clock, leads: pd.DataFrame, contact_at: np.ndarray, rng: np.random.Generator):
    """Instants of the opportunity and of the appointment; the opportunity is opened after the appointment was held."""
    n, converts = len(leads), leads["converts"].to_numpy()
    known = ~np.isnan(contact_at)
    start = np.where(known, contact_at, leads["at"])
    wait = np.exp(np.where(known, np.log(24 * HOUR), np.log(60 * HOUR)) + 0.8 * rng.standard_normal(n))
    opened = np.where(converts, np.floor(clock.after(start, wait)) + 60, np.nan)
    invited = known & (rng.random(n) < np.where(converts, 0.75, 0.12))
    share = rng.uniform(0.3, 0.95, n)
    meeting = np.where(invited, np.floor(clock.after(start, share * np.where(converts, wait, 30 * HOUR))), np.nan)
    return opened, meeting, invited & (converts | (rng.random(n) < 0.75))


def qualify(company: Company, clock: Clock, leads: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Which leads are disqualified, nurtured by the automation and alerted on, and when.

    Nurturing and alerts have no effect on conversion: that the nurtured convert less is selection alone.
    """
    n, at = len(leads), leads["at"].to_numpy()
    machine, converts, answered = (leads[name].to_numpy() for name in ("machine", "converts", "attempt_at"))
    answered = ~np.isnan(answered)
    refused = ~machine & ~converts & (rng.random(n) < np.where(answered, 0.55, 0.15))
    since = np.fmax(np.fmax(leads["last_at"], leads["contact_at"]).fillna(leads["at"]), leads["meeting_at"]).to_numpy()
    by_human = clock.after(since, np.exp(np.log(18 * HOUR) + 0.8 * rng.standard_normal(n))) + 60
    disqualified = np.where(machine, at + rng.integers(5, 120, n), np.where(refused, np.floor(by_human), np.nan))
    over = np.fmin(np.fmin(disqualified, leads["opened_at"].to_numpy()), np.inf)
    nurtured = np.floor(at + np.exp(np.log(9 * DAY) + 0.6 * rng.standard_normal(n)))
    nurtured[(rng.random(n) > company.nurtured) | (nurtured >= over)] = np.nan
    alerted = np.floor(nurtured + np.exp(np.log(14 * DAY) + 0.6 * rng.standard_normal(n)))
    keen = 2 * company.alerted / (1 + np.exp(-leads["intent"].to_numpy()))
    alerted[(rng.random(n) > keen) | ~answered | (alerted >= over) | (alerted <= np.fmax(since, 0))] = np.nan
    pace = np.exp(np.log(1.5 * HOUR) + 1.3 * rng.standard_normal(n))
    followed = np.where(np.isnan(alerted), np.nan, np.floor(clock.after(np.nan_to_num(alerted, nan=at[0] if n else 0), pace)))
    followed[(rng.random(n) < 0.15) | (followed >= over)] = np.nan
    return leads.assign(disqualified_at=disqualified, nurtured_at=nurtured, alerted_at=alerted, followed_at=followed)


def rows(company: Company, leads: pd.DataFrame, attempts: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    """The activities of all leads, in order of time."""
    n, at = len(leads), leads["at"].to_numpy()
    live = ~leads["machine"].to_numpy()
    parts = _attempts(leads, attempts, rng)
    lead = np.arange(n)

    def add(where, when, kind, direction="outbound", automated=False, done=True, outcome="") -> None:
        where = where & ~np.isnan(when)
        parts.append(_part(lead[where], when[where], kind, direction, automated, done[where] if np.ndim(done) else done, outcome))

    add(live & (rng.random(n) < company.acknowledged), at + rng.integers(30, 150, n), "email", automated=True)
    contact_at, meeting_at, nurtured, alerted, followed = (
        leads[name].to_numpy() for name in ("contact_at", "meeting_at", "nurtured_at", "alerted_at", "followed_at")
    )
    add(leads["by_email"].to_numpy() & leads["reached"].to_numpy(), contact_at, "email", "inbound", outcome="replied")
    met = leads["met"].to_numpy()
    add(met, meeting_at, "meeting", outcome="held")
    add(~met, meeting_at, "meeting", done=False)
    add(live & (rng.random(n) < 0.02), at + rng.uniform(600, 4 * HOUR, n), "task", done=False)
    late = np.isnan(leads["delay"].to_numpy()) | (leads["delay"].to_numpy() > 2 * DAY)
    add(live & late & (rng.random(n) < 0.12), at + rng.uniform(0.5 * DAY, 2 * DAY, n), "message", "inbound")
    add(live, nurtured + 300, "email", automated=True)
    add(live, alerted, "alert", "inbound", automated=True)
    add(live & (rng.random(n) < 0.5), followed, "call", outcome="connected")
    add(live & ~np.isin(lead, parts[-1]["lead"]), followed, "call", outcome="no_answer")
    table = pd.concat(parts, ignore_index=True)
    return table.sort_values(["at", "lead"], kind="stable", ignore_index=True)


def _attempts(leads: pd.DataFrame, attempts: np.ndarray, rng: np.random.Generator) -> list[pd.DataFrame]:
    """Calls and e-mails until contact; the attempt that reached a call's other end has its outcome, an e-mail gets a reply later."""
    lead, number = np.nonzero(~np.isnan(attempts))
    when = attempts[lead, number]
    last = number == leads["tries"].to_numpy()[lead] - 1
    success = last & leads["reached"].to_numpy()[lead]
    email = np.where(success, leads["by_email"].to_numpy()[lead], rng.random(len(lead)) < 0.3)
    invited = leads["meeting_at"].notna().to_numpy()[lead]
    outcome = np.where(email, "", np.where(success, np.where(invited, "appointment", "connected"), "no_answer"))
    outcome = np.where(email & ~success & (rng.random(len(lead)) < 0.04), "bounced", outcome)
    return [_part(lead, when, np.where(email, "email", "call"), "outbound", False, True, outcome)]


def _part(lead, at, kind, direction, automated, done, outcome) -> pd.DataFrame:
    n = len(lead)
    texts = {name: pd.Categorical(np.broadcast_to(value, n)) for name, value in (("kind", kind), ("direction", direction), ("outcome", outcome))}
    flags = {"automated": np.full(n, automated), "done": np.broadcast_to(done, n)}
    return pd.DataFrame(
        {"lead": lead, "at": np.floor(at), **{"kind": texts["kind"], "direction": texts["direction"]}, **flags, "outcome": texts["outcome"]}
    )


def scores(leads: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Score histories of alerted leads: up to the alert, a peak soon after, then fading."""
    lead = np.flatnonzero(leads["alerted_at"].notna())
    start, alert = leads["nurtured_at"].to_numpy()[lead], leads["alerted_at"].to_numpy()[lead]
    peak = rng.integers(65, 96, len(lead))
    steps = [
        (start, peak * 0.3),
        (start + 0.6 * (alert - start), peak * 0.55),
        (alert, peak * 0.85),
        (alert + rng.uniform(0.3, 2, len(lead)) * DAY, peak),
    ]
    steps += [(steps[3][0] + 7 * DAY * week, peak * 0.8**week) for week in (1, 2)]
    table = pd.concat([pd.DataFrame({"lead": lead, "at": np.floor(when), "score": np.round(score)}) for when, score in steps])
    return table.sort_values(["lead", "at"], kind="stable", ignore_index=True)
