"""One row per inquiry: when it came in, when a person first answered, what became of it."""

from __future__ import annotations

import narwhals.stable.v2 as nw
import pandas as pd

from kpi.dataset import Dataset, whole
from kpi.dataset.segments import with_team
from kpi.engine import collect, counts
from kpi.errors import MissingLink
from kpi.facts.clock import DAY_SECONDS, clocked, last_day, once, quarter_of
from kpi.facts.episodes import episodes
from kpi.facts.opportunities import opportunities
from kpi.facts.touches import touches, untouched
from kpi.schema import BLANK
from kpi.sources.checks.recording import NO_APPOINTMENT

_CLOCK = ("seconds", "business", "day", "month", "quarter", "weekday", "hour", "open")
_EVENTS = ("assigned", "nurtured", "alerted", "touched", "early", "contacted", "appointed", "alert_touched", "disqualified", "opportunity", "won")
_DAYS = ("assigned", "alerted", "disqualified", "opportunity", "won")
_BUSINESS = ("assigned", "alerted", "touched", "contacted", "alert_touched", "disqualified")


def leads(data: Dataset, as_of: pd.Timestamp) -> nw.LazyFrame:
    """State each inquiry received before an instant and not deleted by then; merged and re-created leads are one, with the earliest date.

    ``lead_id``, ``source``, ``owner``, ``country``, ``team`` (its owner's when it came in), ``folded`` (leads in it), ``created_at`` and its
    ``created_``: seconds, business, day, month, quarter, weekday, hour, open. Of what followed, missing where it did not: ``<event>_seconds`` since
    1970 of assigned, nurtured, alerted, touched, contacted, appointed, alert_touched, disqualified, opportunity, won, some with ``_business`` and
    ``_day``. ``attempts`` within 30 days. ``outcome`` of the wait for an answer (answered, disqualified, waiting) with ``delay`` and
    ``business_delay`` in seconds, open ones until now. ``touched_before``: within the 24 hours before. ``end`` of the way to an opportunity
    (opportunity, disqualified, open) and its ``end_day``.
    """
    data.table("leads")
    rows = _leads(whole(data), as_of)
    return rows.filter(*[nw.col(name) == value for name, value in data.restricted_to.items()]) if data.restricted_to else rows


@once
def _leads(data: Dataset, as_of: pd.Timestamp) -> nw.LazyFrame:
    links = episodes(data, as_of)
    frame = clocked(data, _inquiries(data, links, as_of), "created_at", "seconds", "day", "month", "weekday", "hour")
    frame = data.engine.keep(with_team(data, frame, "owner", nw.col("created_at")))
    done = touches(data, frame, links, as_of) if data.has("activities", "lead_id") else untouched(frame)
    frame = frame.join(done, on="lead_id", how="left").join(_first_opportunity(data, frame, links, as_of), on="lead_id", how="left")
    frame = data.engine.keep(frame)
    frame = frame.drop(*[f"{event}_at" for event in _EVENTS]).join(_clocks(data, frame), on="lead_id", how="left")
    frame = frame.with_columns(quarter_of(data, "created_month").alias("created_quarter"))
    return _outcomes(frame, *_now(data, as_of), last_day(data, as_of))


def _inquiries(data: Dataset, links: nw.LazyFrame, as_of: pd.Timestamp) -> nw.LazyFrame:
    """One row per episode: its earliest lead, under the name of the lead that stands for it."""
    frame = data.table("leads").join(links, on="lead_id", how="inner")
    known = ("disqualified_at", "assigned_at", "nurtured_at", "alerted_at")
    frame = frame.with_columns(
        *[nw.when(nw.col(name) < as_of).then(nw.col(name)).alias(name) for name in known],
        *[nw.col(name).fill_null(nw.lit(BLANK)) for name in ("source", "owner", "country")],
        nw.lit(1).cast(nw.Int64).alias("one"),
    )
    frame = data.engine.keep(frame)
    place = nw.col("one").cum_sum().over("episode", order_by=["created_at", "lead_id"])
    earliest = frame.with_columns(place.alias("place")).filter(nw.col("place") == 1).select("episode", "source", "owner", "country", "created_at")
    merged = frame.group_by("episode").agg(
        nw.col("one").sum().alias("folded"),
        nw.col("disqualified_at").count().alias("n_disqualified"),
        nw.col("disqualified_at").max(),
        *[nw.col(name).min() for name in known[1:]],
    )
    # A duplicate that was closed as such does not end the inquiry: only when all its leads are disqualified it is.
    ended = nw.when(nw.col("n_disqualified") == nw.col("folded")).then(nw.col("disqualified_at"))
    merged = merged.with_columns(ended.alias("disqualified_at")).drop("n_disqualified")
    frame = earliest.join(merged, on="episode", how="inner").rename({"episode": "lead_id"})
    # A date alone is midnight, before the inquiry of that day: at once then.
    days = [name for name in known if name == "disqualified_at" or data.precision.get(("leads", name)) == "day"]
    made = nw.col("created_at")
    return frame.with_columns(*[nw.when(nw.col(name) < made).then(made).otherwise(nw.col(name)).alias(name) for name in days])


def _first_opportunity(data: Dataset, inquiries: nw.LazyFrame, links: nw.LazyFrame, as_of: pd.Timestamp) -> nw.LazyFrame:
    """First opportunity and first won deal of the inquiry; without a won deal, when the customer it names was acquired."""
    nothing = nw.lit(None).cast(nw.Datetime("us"))
    if not data.has("opportunities"):
        found = links.select(nw.col("episode").alias("lead_id"), nothing.alias("opportunity_at"), nothing.alias("won_at")).unique("lead_id")
    else:
        found = _deals_of(data, inquiries, links, as_of)
    if not acquired_known(data):
        return found
    acquired = data.table("customers").filter(nw.col("acquired_at") < as_of).select("customer_id", "acquired_at")
    named = data.table("leads").select("lead_id", "customer_id", "created_at").join(acquired, on="customer_id", how="inner")
    named = named.filter(nw.col("acquired_at") >= nw.col("created_at")).join(links, on="lead_id", how="inner")  # not those who were one already
    named = named.group_by("episode").agg(nw.col("acquired_at").min()).rename({"episode": "lead_id"})
    every = (
        links.select(nw.col("episode").alias("lead_id")).unique("lead_id").join(found, on="lead_id", how="left").join(named, on="lead_id", how="left")
    )
    bought = nw.when(nw.col("won_at").is_null()).then(nw.col("acquired_at")).otherwise(nw.col("won_at"))
    return every.with_columns(bought.alias("won_at")).drop("acquired_at")


def need_outcome(data: Dataset, as_of: pd.Timestamp, event: str) -> None:
    """Refuse to say what became of leads where nothing tells: deals without a date, or no link to them; no appointment at all."""
    data = whole(data)
    if event == "appointed":
        row = counts(leads(data, as_of), (), n=nw.lit(True), told=~nw.col("appointed_seconds").is_null()).iloc[0]
        if row["n"] and not row["told"]:
            raise MissingLink("activities", "outcome", NO_APPOINTMENT)
    elif event == "opportunity" or not acquired_known(data):
        data.table("opportunities", *["created_at"] * (event == "opportunity"))
        if not deals_linked(data):
            data.table("opportunities", "lead_id")


def deals_linked(data: Dataset) -> bool:
    """Tell whether deals name their leads, or leads their deals."""
    return data.has("opportunities") and (data.has("opportunities", "lead_id") or data.has("leads", "opportunity_id"))


def acquired_known(data: Dataset) -> bool:
    """Tell whether the data say when a lead became a customer, apart from its deals."""
    return data.has("customers", "acquired_at") and data.has("leads", "customer_id")


def _deals_of(data: Dataset, inquiries: nw.LazyFrame, links: nw.LazyFrame, as_of: pd.Timestamp) -> nw.LazyFrame:
    """First opportunity and first won deal that name a lead of the inquiry, or that such a lead names; an older one only where none came after it."""
    columns = ("lead_id", "created_at", "created_day", "closed_at", "closed_day", "status")
    deals = opportunities(data, as_of).select("opportunity_id", *columns)
    both = deals.filter(~nw.col("lead_id").is_null()).select(*columns)
    if data.has("leads", "opportunity_id"):
        named = data.table("leads").select("lead_id", "opportunity_id").filter(~nw.col("opportunity_id").is_null())
        linked = named.join(deals.drop("lead_id"), on="opportunity_id", how="inner")
        both = nw.concat([both, linked.select(*columns)])
    won = nw.when(nw.col("status") == "won").then(nw.col("closed_at"))
    both = both.with_columns(won.alias("won_at"), nw.col("created_at").alias("opportunity_at")).join(links, on="lead_id", how="inner")
    both = both.drop("lead_id").rename({"episode": "lead_id"}).join(inquiries.select("lead_id", nw.col("created_day").alias("since")), on="lead_id")
    firsts = {"opportunity_at": "created_day", "won_at": "closed_day"}
    both = both.with_columns(*[nw.when(nw.col(day) >= nw.col("since")).then(nw.col(at)).alias(f"later_{at}") for at, day in firsts.items()])
    found = both.group_by("lead_id").agg(*[nw.col(name).min() for at in firsts for name in (at, f"later_{at}")])
    return found.select("lead_id", *[nw.coalesce(f"later_{at}", at).alias(at) for at in firsts])


def _clocks(data: Dataset, inquiries: nw.LazyFrame) -> nw.LazyFrame:
    """What the clock said at each event of an inquiry, all events looked up at once."""
    each = [inquiries.select("lead_id", "team", nw.col(f"{name}_at").alias("at"), nw.lit(name).alias("event")) for name in ("created", *_EVENTS)]
    rows = nw.concat(each).filter(~nw.col("at").is_null())
    rows = _in_own_hours(data, clocked(data, rows, "at", "seconds", "day", "business", "open"))
    fields = {"seconds": _EVENTS, "day": _DAYS, "business": ("created", *_BUSINESS), "open": ("created",)}
    said = {f"{event}_{field}": nw.when(nw.col("event") == event).then(nw.col(f"at_{field}")) for field in fields for event in fields[field]}
    return rows.select("lead_id", **said).group_by("lead_id").agg(*[nw.col(name).max() for name in said])


def _in_own_hours(data: Dataset, rows: nw.LazyFrame) -> nw.LazyFrame:
    """Business time by the calendar of the row's team, where it has one of its own, else the company's."""
    if data.team_calendar is None:
        return rows
    company = {"at_business": "company_business", "at_open": "company_open"}
    rows = clocked(data, rows.rename(company), "at", "business", "open", team=True)
    return rows.with_columns(*[nw.col(name).fill_null(nw.col(other)).alias(name) for name, other in company.items()])


def _now(data: Dataset, as_of: pd.Timestamp) -> tuple[int, nw.LazyFrame, int]:
    """The instant in seconds, and the business seconds that had passed by then in each team's calendar and in the company's."""
    moment = data.engine.put(pd.DataFrame({"at": [as_of]}))
    row = collect(clocked(data, moment, "at", "seconds", "business")).iloc[0]
    seconds, company = int(row["at_seconds"]), int(row["at_business"])
    teams = pd.DataFrame({"team": pd.Series(dtype="str"), "now_business": pd.Series(dtype="int64")})
    if data.team_calendar is not None:
        names = collect(data.team_calendar.select("team").unique(), ["team"])
        stamps = data.engine.put(names.assign(at=as_of))
        teams = collect(clocked(data, stamps, "at", "business", team=True), ["team"]).rename(columns={"at_business": "now_business"})
    return seconds, data.engine.put(teams[["team", "now_business"]]), company


def _outcomes(frame: nw.LazyFrame, now_seconds: int, now_business: nw.LazyFrame, company: int, last: int) -> nw.LazyFrame:
    frame = frame.join(now_business, on="team", how="left").with_columns(nw.col("now_business").fill_null(nw.lit(company)))
    frame = wait(frame, "created", "touched", now_seconds=now_seconds)
    converted = nw.col("opportunity_day")
    gone = ~nw.col("disqualified_day").is_null() & (converted.is_null() | (nw.col("disqualified_day") < converted))
    early = nw.col("created_seconds") - nw.col("early_seconds")
    frame = frame.with_columns(
        (~nw.col("early_seconds").is_null() & (early <= DAY_SECONDS)).alias("touched_before"),
        nw.when(gone).then(nw.lit("disqualified")).when(~converted.is_null()).then(nw.lit("opportunity")).otherwise(nw.lit("open")).alias("end"),
        nw.when(gone).then(nw.col("disqualified_day")).when(~converted.is_null()).then(converted).otherwise(nw.lit(last)).alias("end_day"),
    )
    return frame.drop("early_seconds")


def wait(frame: nw.LazyFrame, start: str, end: str, *, now_seconds: int) -> nw.LazyFrame:
    """Add how long each waits from one event to another, on both clocks, and its ``outcome``: a disqualification is the competing end."""
    begins, ends, declined = nw.col(f"{start}_seconds"), nw.col(f"{end}_seconds"), nw.col("disqualified_seconds")
    before = (ends < begins).fill_null(False) | (declined < begins).fill_null(False)
    answered = ~ends.is_null() & ~before & (declined.is_null() | (ends <= declined))
    gone = ~answered & ~before & ~declined.is_null() & (declined >= begins)
    wall = nw.when(answered).then(ends).when(gone).then(declined).otherwise(nw.lit(now_seconds))
    business = nw.when(answered).then(nw.col(f"{end}_business")).when(gone).then(nw.col("disqualified_business")).otherwise(nw.col("now_business"))
    named = nw.when(before).then(nw.lit("before")).when(answered).then(nw.lit("answered")).when(gone).then(nw.lit("disqualified"))
    return frame.with_columns(
        named.otherwise(nw.lit("waiting")).alias("outcome"),
        (wall - begins).alias("delay"),
        (business - nw.col(f"{start}_business")).alias("business_delay"),
    )
