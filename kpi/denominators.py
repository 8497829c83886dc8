"""Who counts: for the main metrics every record of their base table, in or out, and why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from kpi import facts, retention
from kpi.dataset import Dataset
from kpi.engine import collect
from kpi.errors import ParameterError
from kpi.facts.clock import DAY_SECONDS
from kpi.periods import Instant, Month, Window, day_number, last_days, local_date, month_number
from kpi.pipeline import ways
from kpi.retention.repeat import second_purchases
from kpi.schema import N_

EVENT, CENSORED, DENOMINATOR, OUT = "event", "censored", "denominator", "out"

AFTER = N_("after the date")
DELETED = N_("deleted")
MERGED = N_("part of another inquiry")
OUTSIDE = N_("outside the window")
TOUCHED = N_("touched before the inquiry")
CLOSED_EARLY = N_("over before the inquiry")
YOUNG = N_("too young to tell")
OPEN = N_("still open")
LOST = N_("lost")
UNDATED = N_("closed on an unknown date")
UNCREATED = N_("no creation date")
UNSEEN = N_("outcome from before outcomes were recorded")
BACKWARDS = N_("over before it began")
OLD = N_("older than the horizon when the window began")
NO_AMOUNT = N_("no amount, or no rate for its currency")
NO_PURCHASE = N_("no purchase")
INACTIVE = N_("not active at the start")
SALE = N_("a sale")


@dataclass(frozen=True)
class _Asked:
    """What a ledger is asked for."""

    data: object
    now: pd.Timestamp
    window: Window
    horizon: float
    view: str


@dataclass(frozen=True)
class _Metric:
    """A metric with a ledger: its base table, its window where none is given, its largest horizon, and who counts."""

    table: str
    days: int  # of the window that ends at as_of; 0 for the last complete month
    horizon: float
    records: Callable[[_Asked], pd.DataFrame]


def ledger(
    data: Dataset, key: str, *, as_of: Instant, window: Window | None = None, horizon: float | None = None, view: str = "period"
) -> pd.DataFrame:
    """Who counts in a metric: every record of its base table, in or out, and why.

    Parameters
    ----------
    data : Dataset
        As for the metric.
    key : str
        Catalogue key, one of `KEYS`.
    as_of : Instant
        Only what happened strictly before it counts.
    window : Window, optional
        Local dates, as for the metric; without it the metric's own: the last complete month, or the days before `as_of`.
    horizon : float, optional
        Delay (seconds) or age (days) that the metric is read at; without it the largest of the metric's own.
    view : str
        ``period`` or ``cohort``, where the metric has both.

    Returns
    -------
    DataFrame
        One row per record, sorted by its id: ``lead_id``, ``opportunity_id``, ``customer_id`` or ``order_id``; ``in`` (counted by ``n``); ``role``:
        event (``n_events``), censored (``n_open``), denominator (counted, without event), out; ``reason`` why it is out. Then the rows set aside
        when the table was read, which have no id but ``file`` and ``row``. Leads created again or merged are part of one inquiry.

    Raises
    ------
    ParameterError
        If the metric has no ledger, or `view` is unknown.
    MissingTable
        If the data do not allow the metric.
    """
    if key not in _METRICS:
        raise ParameterError(f"{key!r} has no ledger; those that have one are {', '.join(KEYS)}")
    metric, now = _METRICS[key], data.instant(as_of)
    zone = data.company.timezone
    month = Month.of(month_number(local_date(now, zone))).previous
    own = last_days(now, zone, metric.days) if metric.days else month.window
    found = metric.records(_Asked(data, now, window or own, metric.horizon if horizon is None else horizon, view))
    found = found.sort_values(found.columns[0], kind="stable", ignore_index=True).assign(file="", row=pd.array([pd.NA] * len(found), dtype="Int64"))
    aside = data.set_aside[data.set_aside["table"] == metric.table]
    rows = pd.DataFrame({"in": False, "role": OUT, "reason": aside["reason"], "file": aside["file"], "row": aside["row"].astype("Int64")})
    rows.insert(0, found.columns[0], pd.Series(pd.NA, index=rows.index, dtype="str"))
    return pd.concat([found, rows], ignore_index=True) if len(rows) else found


def _table(name: str, ids: pd.Series, roles: Sequence[str], reasons: Sequence[str], inside: Sequence[bool] | None = None) -> pd.DataFrame:
    roles = np.asarray(roles, dtype=object)
    counted = roles != OUT if inside is None else np.asarray(inside, dtype=bool)
    reasons = np.where(counted & (roles != DENOMINATOR), "", np.asarray(reasons, dtype=object))
    return pd.DataFrame({name: ids.astype("str"), "in": counted, "role": pd.Series(roles, dtype="str"), "reason": pd.Series(reasons, dtype="str")})


def _first(*tests: tuple[object, str], otherwise: str = "") -> np.ndarray:
    """For each record the first of several that holds; unknown counts as not."""
    held = [pd.Series(test).fillna(False).to_numpy(dtype=bool) for test, _ in tests]
    return np.select(held, np.array([name for _, name in tests], dtype=object), otherwise)


def _leads(asked: _Asked, known: pd.DataFrame) -> pd.DataFrame:
    """All leads; those that stand for no inquiry have a reason already."""
    base = collect(asked.data.table("leads").select("lead_id", "created_at", "deleted_at"))
    standing = base["lead_id"].isin(collect(facts.leads(asked.data, asked.now).select("lead_id"))["lead_id"])
    gone = _first((standing, ""), (base["created_at"] >= asked.now, AFTER), (base["deleted_at"] < asked.now, DELETED), otherwise=MERGED)
    return base.assign(gone=gone).merge(known, on="lead_id", how="left")


def _deals(asked: _Asked, known: pd.DataFrame) -> pd.DataFrame:
    base = collect(asked.data.table("opportunities").select("opportunity_id", "deleted_at"))
    there = collect(facts.opportunities(asked.data, asked.now).select("opportunity_id", "created_day", "status", "closed_day", "amount"))
    base = base.merge(there, on="opportunity_id", how="left").merge(known, on="opportunity_id", how="left")
    return base.assign(gone=_first((base["deleted_at"] < asked.now, DELETED), (base["status"].isna(), AFTER)))


def _customers(asked: _Asked, known: pd.DataFrame) -> pd.DataFrame:
    known = known.assign(known=True)
    if asked.data.has("customers"):
        known = known.merge(collect(asked.data.table("customers").select("customer_id")), on="customer_id", how="outer")
    return known.assign(gone=_first((known["known"].isna(), NO_PURCHASE)))


def _inquiries(asked: _Asked) -> pd.DataFrame:
    asked.data.table("activities", "lead_id")
    rows = facts.leads(asked.data, asked.now)
    found = collect(rows.select("lead_id", "created_day", "created_seconds", "touched_before", nw.col("outcome").alias("now_outcome")))
    waits = facts.wait(rows, "created", "touched", now_seconds=int(asked.now.timestamp()))
    leads = _leads(asked, found.merge(collect(waits.select("lead_id", "outcome", "delay")), on="lead_id"))
    first, after = asked.window.days
    here = (leads["created_day"] >= first) & (leads["created_day"] < after)
    later = _first((~here, OUTSIDE), (leads["touched_before"], TOUCHED))
    return leads.assign(gone=np.where(leads["gone"] != "", leads["gone"], later))


def _answered(asked: _Asked) -> pd.DataFrame:
    leads = _inquiries(asked)
    gone = np.where((leads["gone"] == "") & (leads["outcome"] == "before"), CLOSED_EARLY, leads["gone"])
    event = (leads["outcome"] == "answered") & (leads["delay"] <= asked.horizon)
    waiting = (leads["outcome"] == "waiting") & (leads["delay"] < asked.horizon)
    return _table("lead_id", leads["lead_id"], _first((gone != "", OUT), (event, EVENT), (waiting, CENSORED), otherwise=DENOMINATOR), gone)


def _unanswered(asked: _Asked) -> pd.DataFrame:
    leads = _inquiries(asked)
    young = leads["created_seconds"] > int(asked.now.timestamp()) - asked.horizon
    gone = np.where((leads["gone"] == "") & young.fillna(False), YOUNG, leads["gone"])
    roles = _first((gone != "", OUT), (leads["now_outcome"] == "waiting", EVENT), otherwise=DENOMINATOR)
    return _table("lead_id", leads["lead_id"], roles, gone)


def _closed(asked: _Asked) -> pd.DataFrame:
    deals, (first, after) = _deals(asked, pd.DataFrame({"opportunity_id": pd.Series(dtype="str")})), asked.window.days
    is_open = (deals["gone"] == "") & (deals["status"] == "open")
    here = (deals["closed_day"] >= first) & (deals["closed_day"] < after)
    later = _first((is_open, OPEN), (deals["closed_day"].isna(), UNDATED), (~here, OUTSIDE))
    gone = np.where(deals["gone"] != "", deals["gone"], later)
    roles = _first((is_open, CENSORED), (gone != "", OUT), (deals["status"] == "won", EVENT), otherwise=DENOMINATOR)
    return _table("opportunity_id", deals["opportunity_id"], roles, gone, gone == "")


def _won(asked: _Asked) -> pd.DataFrame:
    deals, (first, after) = _deals(asked, pd.DataFrame({"opportunity_id": pd.Series(dtype="str")})), asked.window.days
    here = (deals["closed_day"] >= first) & (deals["closed_day"] < after)
    later = _first((deals["status"] == "open", OPEN), (deals["status"] == "lost", LOST), (deals["closed_day"].isna(), UNDATED), (~here, OUTSIDE))
    gone = np.where(deals["gone"] != "", deals["gone"], later)
    roles = _first((gone != "", OUT), (deals["amount"].notna(), EVENT), otherwise=DENOMINATOR)
    return _table("opportunity_id", deals["opportunity_id"], roles, np.where(roles == DENOMINATOR, NO_AMOUNT, gone))


def _exposure(asked: _Asked, rows: nw.LazyFrame, name: str, cause: str, since=None) -> pd.DataFrame:
    """Whom a conversion watches, from which age to which, and why the others are not watched."""
    lives = collect(rows.select(name, "start_day", "end_day"))
    watched = collect(
        facts.exposed(rows.select(name, "start_day", "end_day", "outcome"), asked.window, asked.view, since).drop("start_day", "end_day")
    )
    found, after = lives.merge(watched, on=name, how="left"), asked.window.days[1]
    start, end = found["start_day"], found["end_day"]
    unseen = pd.Series(False, index=found.index) if since is None else end < day_number(since)
    told = _first(
        (start.isna(), UNCREATED), (end.isna(), UNDATED), (end < start, BACKWARDS), (start >= after, OUTSIDE), (unseen, UNSEEN),
        (found["entry"].isna(), OUTSIDE), (found["entry"] > asked.horizon, OLD),
    )  # fmt: skip
    role = _first(
        (told != "", OUT), ((found["outcome"] == cause) & (found["exit"] <= asked.horizon), EVENT),
        ((found["outcome"] == "censored") & (found["exit"] < asked.horizon), CENSORED), otherwise=DENOMINATOR,
    )  # fmt: skip
    return pd.DataFrame({name: found[name], "role": role, "told": told})


def _converted(way: ways.Way, asked: _Asked) -> pd.DataFrame:
    name, base = ("opportunity_id", _deals) if way is ways.OPPORTUNITY_TO_CUSTOMER else ("lead_id", _leads)
    found = base(asked, _exposure(asked, ways.lives(asked.data, way, asked.now), name, way.causes[0], ways.recorded_from(asked.data, way)))
    # A lead that is there but on no way has had its outcome before it could be seen.
    told = found["told"].astype(object).where(found["told"].notna(), UNSEEN)
    return _table(
        name,
        found[name],
        _first((found["gone"] != "", OUT), *_same(found["role"]), otherwise=OUT),
        np.where(found["gone"] != "", found["gone"], told),
    )


def _same(role: pd.Series) -> list[tuple[object, str]]:
    return [(role == name, name) for name in (EVENT, CENSORED, DENOMINATOR)]


def _active(asked: _Asked) -> pd.DataFrame:
    end, days = asked.window.end, retention.activity_window(asked.data, as_of=asked.now)
    found = _customers(asked, collect(facts.activity(asked.data, asked.now, [end], days)))
    gone = np.where((found["gone"] == "") & ~(found["first_day"] < day_number(end)).fillna(False), AFTER, found["gone"])
    return _table("customer_id", found["customer_id"], _first((gone != "", OUT), (found["a0"] == 1, EVENT), otherwise=DENOMINATOR), gone)


def _kept(asked: _Asked) -> pd.DataFrame:
    days = retention.activity_window(asked.data, as_of=asked.now)
    found = _customers(asked, collect(facts.activity(asked.data, asked.now, [asked.window.start, asked.window.end], days)))
    gone = np.where((found["gone"] == "") & (found["a0"] != 1), INACTIVE, found["gone"])
    return _table("customer_id", found["customer_id"], _first((gone != "", OUT), (found["a1"] == 1, EVENT), otherwise=DENOMINATOR), gone)


def _again(asked: _Asked) -> pd.DataFrame:
    found = _customers(asked, _exposure(asked, second_purchases(asked.data, asked.now), "customer_id", "again"))
    reasons = np.where(found["gone"] != "", found["gone"], found["told"].astype(object))
    return _table("customer_id", found["customer_id"], _first((found["gone"] != "", OUT), *_same(found["role"]), otherwise=OUT), reasons)


def _refunds(asked: _Asked) -> pd.DataFrame:
    orders = collect(asked.data.table("orders").select("order_id", "at"))
    found = orders.merge(collect(facts.refunds(asked.data, asked.now)), left_on="order_id", right_on="refund_id", how="left")
    gone = _first((found["at"] >= asked.now, AFTER), (found["match"].isna(), SALE))
    return _table("order_id", found["order_id"], _first((gone != "", OUT), (found["match"] != "none", EVENT), otherwise=DENOMINATOR), gone)


_METRICS = {
    "response.answered_within": _Metric("leads", 0, DAY_SECONDS, _answered),
    "response.never_answered": _Metric("leads", 0, DAY_SECONDS, _unanswered),
    "pipeline.lead_to_opportunity": _Metric("leads", 90, 180, partial(_converted, ways.LEAD_TO_OPPORTUNITY)),
    "pipeline.lead_to_customer": _Metric("leads", 90, 365, partial(_converted, ways.LEAD_TO_CUSTOMER)),
    "pipeline.opportunity_to_customer": _Metric("opportunities", 90, 365, partial(_converted, ways.OPPORTUNITY_TO_CUSTOMER)),
    "pipeline.closed_win_rate": _Metric("opportunities", 90, 0, _closed),
    "pipeline.won_value": _Metric("opportunities", 0, 0, _won),
    "retention.active": _Metric("customers", 0, 0, _active),
    "retention.kept": _Metric("customers", 0, 0, _kept),
    "retention.repeat_purchase": _Metric("customers", 180, 365, _again),
    "retention.refunds": _Metric("orders", 0, 0, _refunds),
}
KEYS = tuple(_METRICS)
