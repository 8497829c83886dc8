"""Hours of teams, dates without a time, inquiries of several leads, the questions put to speed, and the queue: by hand and as slow loops."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime, timedelta
from itertools import pairwise
from math import sqrt

import holidays
import numpy as np
import oracles
import pandas as pd
import pytest
from companies import HOURS, ZONE, answering, dataset, deal, first_quick, lead, owners, random_company, random_data, selling, table, touch, utc

from kpi import facts
from kpi import response_time as response
from kpi.engine import collect
from kpi.facts.episodes import episodes
from kpi.periods import Month, Window

FEBRUARY, MARCH = Month.parse("2026-02").window, Month.parse("2026-03").window
SPRING = Window(date(2026, 2, 1), date(2026, 5, 1))
YEAR = Window(date(2026, 1, 1), date(2026, 7, 1))
SEEDS = [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(80, 87))]
MINUTE, HOUR, DAY = 60, 3600, 86_400
Z = 1.959963984540054


def inquiries(data, as_of: str) -> pd.DataFrame:
    return collect(facts.leads(data, data.instant(as_of)), ["lead_id"]).set_index("lead_id")


def values(result: pd.DataFrame, column: str = "value") -> list:
    return [None if pd.isna(value) else value for value in result[column]]


# --- hours of teams

NORD = dict.fromkeys(("monday", "tuesday", "wednesday", "thursday", "friday"), ("10:00-16:00",))  # no break at noon
NEW_YORK = [{"team": "Sud", "weekday": weekday, "opens": "09:00", "closes": "17:00"} for weekday in range(5)]
ABROAD = [row | {"zone": "America/New_York", "country": "US"} for row in NEW_YORK]


def business(leads: dict[str, tuple[str, str | None]], as_of: str = "2026-06-02T11:00", calendars=None, **hours) -> dict[str, float]:
    """Business minutes of leads, each "owner what" -> (created, answered), by the calendars given."""
    made = [lead(who, created, owner=who.split()[0]) for who, (created, _) in leads.items()]
    acts = [touch(who, at) for who, (_, at) in leads.items() if at]
    tables = answering(made, acts) | {"owners": owners()}
    if calendars is not None:
        tables["calendars"] = table("calendars", calendars)
    return (inquiries(dataset(tables, hours=HOURS | hours), as_of)["business_delay"] / MINUTE).to_dict()


def test_hours_of_a_team_in_the_configuration():
    asked = {
        "lunch": ("2026-03-03 12:30", "2026-03-03 13:00"),
        "night": ("2026-03-03 15:50", "2026-03-04 10:20"),
        "weekend": ("2026-03-06 15:30", "2026-03-09 10:30"),
        "1 May": ("2026-04-30 15:00", "2026-05-04 10:15"),
        "open": ("2026-06-02 09:30", None),  # still waiting on Tuesday at 11:00
    }
    found = business({f"{owner} {what}": times for owner in ("Ann", "Cid", "Dan") for what, times in asked.items()}, Nord=NORD)
    assert {what: found[f"Ann {what}"] for what in asked} == {"lunch": 30, "night": 30, "weekend": 60, "1 May": 75, "open": 60}
    # Sud has no hours of its own, Dan no team: those of the company.
    company = {"lunch": 0, "night": 145 + 80, "weekend": 30 + 90, "1 May": 195 + 75, "open": 90}
    for owner in ("Cid", "Dan"):
        assert {what: found[f"{owner} {what}"] for what in asked} == company, owner


def test_hours_of_a_team_abroad():
    asked = {
        "French holiday": ("2026-05-01 16:00", "2026-05-01 16:30"),  # 10:00 in New York
        "American holiday": ("2026-01-19 16:00", "2026-01-20 15:30"),  # Martin Luther King's day
        "winter": ("2026-03-03 14:30", "2026-03-03 15:30"),  # from 8:30
        "clock forward there only": ("2026-03-10 13:30", "2026-03-10 14:30"),  # from 8:30, five hours apart
        "over night": ("2026-03-03 22:50", "2026-03-04 15:20"),  # 16:50 to 9:20
    }
    found = business({f"{owner} {what}": times for owner in ("Ann", "Cid") for what, times in asked.items()}, calendars=ABROAD)
    abroad = {"French holiday": 30, "American holiday": 30, "winter": 30, "clock forward there only": 30, "over night": 30}
    assert {what: found[f"Cid {what}"] for what in asked} == abroad
    home = {"French holiday": 0, "American holiday": 135 + 180 + 90, "winter": 60, "clock forward there only": 30, "over night": 180 + 80}
    assert {what: found[f"Ann {what}"] for what in asked} == home


def test_the_table_goes_before_the_configuration():
    times = ("2026-03-03 12:30", "2026-03-03 15:30")
    late = {"tuesday": ["12:00-13:00"]}
    # Without a zone and a country of its own a team is in the company's.
    assert business({"Cid": times, "Ann": times}, calendars=NEW_YORK, Sud=late, Nord=late) == {"Cid": 180, "Ann": 30}


def test_curves_of_teams_use_their_own_hours():
    leads = [lead(f"{owner} {number}", "2026-03-03 12:30", owner=owner) for owner in ("Ann", "Cid") for number in range(2)]
    acts = [touch("Ann 0", "2026-03-03 13:15"), touch("Cid 0", "2026-03-03 14:20")]
    data = dataset(answering(leads, acts) | {"owners": owners()}, hours=HOURS | {"Nord": NORD})
    same = {"as_of": "2026-04-01", "window": MARCH, "clock": "business", "by": "team"}
    found = response.answered_within(data, horizons=(20 * MINUTE, 45 * MINUTE), **same)
    assert found[["team", "value", "n"]].to_numpy().tolist() == [["Nord", 0, 2], ["Nord", 0.5, 2], ["Sud", 0.5, 2], ["Sud", 0.5, 2]]
    assert response.response_time(data, **same)["value"].tolist() == [45 * MINUTE, 20 * MINUTE]
    # When an inquiry came in out of hours is a matter of the team as well.
    assert response.out_of_hours(data, as_of="2026-04-01", window=MARCH)[["open", "n"]].to_numpy().tolist() == [[0, 2], [1, 2]]


@pytest.mark.parametrize("seed", SEEDS)
def test_hours_of_teams_against_the_definition(seed):
    tables = random_company(seed, n_deals=0) | {"calendars": table("calendars", ABROAD)}
    tables = {key: tables[key] for key in ("leads", "activities", "owners", "calendars")}
    found = inquiries(dataset(tables, hours=HOURS | {"Nord": NORD}), "2026-06-15")
    french, american = ({*holidays.country_holidays(country, years=2026)} for country in ("FR", "US"))
    nine_to_five = {day: ["09:00-17:00"] for day in NORD}
    rules = {"Nord": (ZONE, NORD, french), "Sud": ("America/New_York", nine_to_five, american)}
    seen = Counter()
    for row in oracles.leads_at(tables, utc("2026-06-15").to_pydatetime(), ZONE):
        if row["outcome"] == "waiting" or row["delay"] > 3 * DAY:
            continue
        rule = rules.get(row["team"], (ZONE, HOURS, french))
        assert found.loc[row["lead_id"], "business_delay"] == oracles.business_seconds(row["created_at"], row["ended_at"], *rule), row
        assert found.loc[row["lead_id"], "created_open"] == oracles.is_open(row["created_at"], *rule), row
        seen[row["team"]] += 1
    assert min(seen[team] for team in ("Nord", "Sud", oracles.BLANK)) >= 3


# --- dates without a time


def as_dates(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    local = frame[column].dt.tz_localize("UTC").dt.tz_convert(ZONE)
    return frame.assign(**{column: local.dt.date.astype(object)})


@pytest.mark.parametrize("dates", [("leads",), *(pytest.param(both, marks=pytest.mark.slow) for both in (("activities",), ("leads", "activities")))])
def test_dates_tell_nothing_below_a_day(dates):
    """Asked on Tuesday morning; one is answered on Wednesday, one on Friday, two never."""
    leads = [lead(who, "2026-03-03 10:00") for who in "abcd"]
    tables = answering(leads, [touch("a", "2026-03-04 09:00"), touch("b", "2026-03-06 09:00")])
    columns = {"leads": "created_at", "activities": "at"}
    tables |= {of: as_dates(tables[of], columns[of]) for of in dates}
    data = dataset(tables)
    assert {data.precision[of, columns[of]] for of in dates} == {"day"}
    found = response.answered_within(data, as_of="2026-04-01", window=MARCH, horizons=(300, HOUR, DAY - 1, DAY, 2 * DAY, 4 * DAY))
    day_later = 0 if dates == ("leads",) else 0.25  # Tuesday's midnight to Wednesday 9:00 is more than a day
    assert values(found) == [None, None, None, day_later, 0.25, 0.5]
    assert values(found, "low")[:3] == values(found, "high")[:3] == [None] * 3
    assert found["n"].tolist() == [4] * 6
    same = {"as_of": "2026-04-01", "window": MARCH}
    assert values(response.on_both_clocks(data, **same)) == [None, None]
    assert values(response.never_answered(data, **same)) == [0.5]
    assert values(response.compared(data, **same, past=FEBRUARY, by="source")) == [None]


def test_a_dated_touch_of_the_day_of_the_inquiry():
    """Its midnight lies before the inquiry, but it is an answer; that of the day before is none."""
    leads = [lead(who, "2026-03-03 10:00") for who in ("same day", "day before", "next day", "never")]
    acts = [touch("same day", "2026-03-03 15:00"), touch("day before", "2026-03-02 15:00"), touch("next day", "2026-03-04 15:00")]
    tables = answering(leads, acts)
    data = dataset(tables | {"activities": as_dates(tables["activities"], "at")})
    same = {"as_of": "2026-04-01", "window": MARCH}
    # The day before began more than 24 hours ago, so nobody is set aside.
    assert response.touched_before(data, **same) == 0
    found = response.answered_within(data, **same, horizons=(HOUR, DAY))
    assert (values(found), found["n"].tolist()) == ([None, 0.5], [4, 4])
    bands = response.response_bands(data, **same)
    assert values(bands, "horizon") == [DAY, 7 * DAY, None, None]
    assert bands["n_events"].tolist() == [2, 0, 0, 2]


def test_instants_tell_the_minutes():
    """One inquiry at midnight makes no date of a column."""
    leads = [lead("a", "2026-03-03 00:00"), lead("b", "2026-03-03 00:01")]
    data = dataset(answering(leads, [touch("a", "2026-03-03 00:03")]))
    assert values(response.answered_within(data, as_of="2026-04-01", window=MARCH)) == [0.5] * 4


# --- inquiries of several leads


def test_merged_leads_are_one():
    leads = [
        lead("1", "2026-03-02 10:00", merged_into="2", source="fair", owner="Cid"),
        lead("2", "2026-03-03 10:00", merged_into="3"),
        lead("3", "2026-03-04 10:00"),
        lead("into nobody", "2026-03-03 10:00", merged_into="nobody"),
        lead("circle a", "2026-03-03 10:00", merged_into="circle b"),
        lead("circle b", "2026-03-03 10:00", merged_into="circle a"),
        lead("into the circle", "2026-03-03 10:00", merged_into="circle a"),
        lead("itself", "2026-03-03 10:00", merged_into="itself"),
    ]
    acts = [touch("3", "2026-03-04 11:00"), touch("2", "2026-03-03 12:00"), touch("1", "2026-03-05 10:00"), touch("circle b", "2026-03-03 10:30")]
    data = dataset(answering(leads, acts))
    found = inquiries(data, "2026-04-01")
    alone = ["circle a", "circle b", "into nobody", "into the circle", "itself"]
    assert found["folded"].to_dict() == {"3": 3} | dict.fromkeys(alone, 1)
    one = found.loc["3"]
    # The earliest inquiry with its source and owner; the first answer and the attempts over all three.
    assert (one["created_at"], one["source"], one["owner"]) == (utc("2026-03-02 10:00"), "fair", "Cid")
    assert (one["outcome"], one["delay"], one["attempts"]) == ("answered", 26 * HOUR, 3)
    assert found.loc["circle b", "delay"] == 30 * MINUTE
    assert set(found.loc[["circle a", "into nobody", "into the circle", "itself"], "outcome"]) == {"waiting"}
    asked = response.answered_within(data, as_of="2026-04-01", window=MARCH, horizons=(HOUR, 26 * HOUR))
    assert (asked["n"].tolist(), asked["n_events"].tolist()) == ([6, 6], [1, 2])


def test_a_merge_counts_once_the_survivor_is_there():
    leads = [lead("copy", "2026-03-02 10:00", merged_into="kept"), lead("kept", "2026-03-10 10:00", deleted_at=utc("2026-03-20 10:00"))]
    data = dataset(answering(leads, [touch("copy", "2026-03-02 11:00")]))
    found = {as_of: inquiries(data, as_of)["folded"].to_dict() for as_of in ("2026-03-05", "2026-03-15", "2026-04-01")}
    assert found == {"2026-03-05": {"copy": 1}, "2026-03-15": {"kept": 2}, "2026-04-01": {"copy": 1}}


@pytest.mark.parametrize(
    ("again", "of_one"),
    [("2026-03-20 10:00:00", True), ("2026-03-20 10:00:01", False)],
)
@pytest.mark.parametrize("last", first_quick([{}, {"direction": "inbound"}, {"automated": True}, {"done": False}, None]))
def test_created_again_after_thirty_quiet_days(again, of_one, last):
    """Thirty days after 18 February, 10:00: the last human activity of either side, or the last inquiry."""
    leads = [lead("first", "2026-01-25 10:00", person_id="P"), lead("again", again, person_id="P"), lead("other", again, person_id="Q")]
    acts = [touch("first", "2026-02-18 10:00", **last)] if last is not None else []
    if last is None:
        leads.append(lead("between", "2026-02-18 10:00", person_id="P"))
    found = inquiries(dataset(answering(leads, acts)), "2026-04-01")["folded"].to_dict()
    if last in ({"automated": True}, {"done": False}):
        of_one = False  # nobody did anything since January
    parts = 2 if last is not None else 3
    assert found == {"first": parts, "other": 1} if of_one else {"first": parts - 1, "again": 1, "other": 1}


def test_an_activity_on_the_later_lead_keeps_the_inquiry_alive():
    leads = [lead("a", "2026-01-10 10:00", person_id="P"), lead("b", "2026-02-01 10:00", person_id="P"), lead("c", "2026-03-25 10:00", person_id="P")]
    acts = [touch("b", "2026-02-25 10:00"), touch("c", "2026-03-25 10:10")]
    found = inquiries(dataset(answering(leads, acts)), "2026-04-01")
    assert found["folded"].to_dict() == {"a": 3}
    assert found.loc["a", ["delay", "attempts"]].tolist() == [46 * DAY, 0]  # the first touch lies outside the 30 days of attempts


def test_a_new_inquiry_has_its_own_clock():
    """The touches of the first inquiry do not answer the second."""
    leads = [lead("a", "2026-01-10 10:00", person_id="P"), lead("b", "2026-03-03 10:00", person_id="P")]
    acts = [touch("a", "2026-01-10 10:05"), touch("a", "2026-01-20 10:00"), touch("b", "2026-03-03 11:00")]
    found = inquiries(dataset(answering(leads, acts)), "2026-04-01")
    assert found[["folded", "delay", "attempts"]].to_numpy().tolist() == [[1, 5 * MINUTE, 2], [1, HOUR, 1]]


def test_merged_and_of_one_person():
    """A copy folded into a lead that is itself the second of its person belongs to the person's first."""
    leads = [
        lead("first", "2026-03-02 10:00", person_id="P"),
        lead("second", "2026-03-05 10:00", person_id="P"),
        lead("copy", "2026-03-06 10:00", merged_into="second"),
        lead("copy of a copy", "2026-03-07 10:00", merged_into="copy"),
        lead("much later", "2026-05-20 10:00", person_id="P"),
        lead("copy of much later", "2026-05-20 10:30", merged_into="much later"),
    ]
    acts = [touch("copy of a copy", "2026-03-07 11:00"), touch("copy of much later", "2026-05-20 12:00")]
    found = inquiries(dataset(answering(leads, acts)), "2026-06-01")
    assert found["folded"].to_dict() == {"first": 4, "much later": 2}
    assert found["delay"].to_dict() == {"first": 5 * DAY + HOUR, "much later": 2 * HOUR}


def test_the_persons_first_lead_was_merged_by_hand():
    leads = [
        lead("first", "2026-03-02 10:00", person_id="P", merged_into="kept"),
        lead("second", "2026-03-05 10:00", person_id="P"),
        lead("kept", "2026-03-03 10:00"),
    ]
    found = inquiries(dataset(answering(leads, [touch("second", "2026-03-05 10:01")])), "2026-04-01")
    assert found[["folded", "delay"]].to_dict("index") == {"kept": {"folded": 3, "delay": 3 * DAY + MINUTE}}


def test_a_duplicate_declined_ends_nothing():
    declined = {"disqualified_at": utc("2026-03-03 10:30")}
    leads = [
        lead("kept", "2026-03-03 10:00"),
        lead("copy", "2026-03-03 10:10", merged_into="kept", **declined),
        lead("person", "2026-03-03 10:00", person_id="P", **declined),
        lead("person again", "2026-03-03 10:10", person_id="P"),
        lead("out", "2026-03-03 10:00", **declined),
        lead("out too", "2026-03-03 10:10", merged_into="out", disqualified_at=utc("2026-03-04 10:00")),
    ]
    data = dataset(answering(leads, [touch("kept", "2026-03-03 11:00")]))
    found = inquiries(data, "2026-04-01")
    assert found["outcome"].to_dict() == {"kept": "answered", "person": "waiting", "out": "disqualified"}
    assert found["delay"].to_dict() == {"kept": HOUR, "person": 29 * DAY - 11 * HOUR, "out": DAY}  # out when the last of its leads is
    assert response.waiting_queue(data, as_of="2026-04-01")["lead_id"].tolist() == ["person"]
    assert response.waiting_queue(data, as_of="2026-03-03T23:00")["lead_id"].tolist() == ["out", "person"]


def standing(leads: list[dict], acts: list[dict], as_of: datetime) -> dict[str, set[str]]:
    """Inquiries as sets of leads, by the earliest not merged away: all that hang together by a merge, or by a person who came again in time."""
    known = {row["lead_id"]: row for row in leads if row["created_at"] < as_of and not (row["deleted_at"] and row["deleted_at"] < as_of)}

    def survivor(lead_id: str) -> str:
        at, seen = lead_id, set()
        while known[at]["merged_into"]:
            if at in seen or known[at]["merged_into"] not in known:
                return lead_id
            seen.add(at)
            at = known[at]["merged_into"]
        return at

    pairs = [(lead_id, survivor(lead_id)) for lead_id in known]
    merged = {lead_id for lead_id, end in pairs if lead_id != end}
    for person in {row["person_id"] for row in known.values() if row["person_id"]}:
        own = sorted((row["created_at"], row["lead_id"]) for row in known.values() if row["person_id"] == person)
        ids = {lead_id for _, lead_id in own}
        stirs = [at for at, _ in own] + [a["at"] for a in acts if a["lead_id"] in ids and not a["automated"] and a["done"] and a["at"] < as_of]
        for (_, previous), (at, lead_id) in pairwise(own):
            before = [stir for stir in stirs if stir < at] + [other for other, name in own if (other, name) < (at, lead_id)]
            pairs += [(previous, lead_id)] if at - max(before) <= timedelta(days=30) else []
    groups = {lead_id: {lead_id} for lead_id in known}
    for one, other in pairs:
        both = groups[one] | groups[other]
        groups |= dict.fromkeys(both, both)
    return {min(group - merged, key=lambda part: (known[part]["created_at"], part)): group for group in groups.values()}


@pytest.mark.parametrize("seed", SEEDS)
def test_episodes_against_the_definition(seed):
    """Chains, circles, leads not there, persons who come again and again; as many touches."""
    rng = np.random.default_rng(seed)
    ids = [f"L{number:02d}" for number in range(70)]
    leads, acts = [], []
    for lead_id in ids:
        made = pd.Timestamp("2026-01-05 09:00") + pd.Timedelta(hours=int(rng.integers(150 * 24)))
        row = lead(lead_id, str(made), merged_into=None, person_id=None)
        if rng.random() < 0.35:
            row["merged_into"] = str(rng.choice([*ids, "nobody"]))
        if rng.random() < 0.4:
            row["person_id"] = f"P{rng.integers(9)}"
        row["deleted_at"] = row["created_at"] + pd.Timedelta(days=20) if rng.random() < 0.08 else None
        leads.append(row)
        for number in range(int(rng.integers(0, 3))):
            after = str(made + pd.Timedelta(minutes=int(rng.integers(1, 50_000))))
            acts.append(touch(lead_id, after, automated=bool(rng.random() < 0.2), done=bool(rng.random() < 0.9), subject=str(number)))
    for number, act in enumerate(acts):
        act["activity_id"] = str(number)
        act.pop("subject")
    tables = answering(leads, acts)
    data, rows = dataset(tables), (oracles.rows(tables["leads"]), oracles.rows(tables["activities"]))
    for as_of in ("2026-03-15", "2026-06-20"):
        now = utc(as_of).to_pydatetime()
        expected = standing(*rows, now)
        assert max(map(len, expected.values())) >= 3
        links = collect(episodes(data, data.instant(as_of)), ["lead_id"])
        assert links.groupby("episode")["lead_id"].agg(set).to_dict() == expected
        found = inquiries(data, as_of)
        assert found["folded"].to_dict() == {episode: len(parts) for episode, parts in expected.items()}
        made = {row["lead_id"]: row["created_at"] for row in rows[0]}
        for episode, parts in expected.items():
            begins = min(made[part] for part in parts)
            human = [act["at"] for act in rows[1] if act["lead_id"] in parts and not act["automated"] and act["done"] and begins <= act["at"] < now]
            assert found.loc[episode, "created_at"] == begins
            assert found.loc[episode, "delay"] == (min(human, default=now) - begins).total_seconds()
            assert found["attempts"].fillna(0)[episode] == sum(at - begins <= timedelta(days=30) for at in human)


def test_nobody_is_counted_twice():
    data, as_of = random_data(1), "2026-06-15"
    found = inquiries(data, as_of)
    leads = oracles.rows(random_company(1)["leads"])
    now = utc(as_of).to_pydatetime()
    assert found["folded"].sum() == sum(row["created_at"] < now and not (row["deleted_at"] and row["deleted_at"] < now) for row in leads)
    assert found["folded"].max() > 2
    aside = response.touched_before(data, as_of=as_of, window=YEAR)
    bands = response.response_bands(data, as_of=as_of, window=YEAR)
    queue = response.waiting_queue(data, as_of=as_of)
    assert found.index.is_unique
    assert bands["n_events"].sum() + aside == len(found)
    assert len(queue) == bands["n_open"].iloc[-1] == queue["lead_id"].nunique()
    for by in ("source", "owner", "team", "month"):
        assert response.answered_within(data, as_of=as_of, window=YEAR, by=by, horizons=(HOUR,))["n"].sum() + aside == len(found)


# --- what goes with speed


def share(parts: dict[str, tuple[int, int]], weights: dict[str, float]) -> tuple[float, float]:
    """Share and variance with the sources mixed as told; n and events softened by a half for the variance."""
    known = {source: (n, events) for source, (n, events) in parts.items() if n}
    covered = sum(weights[source] for source in known)
    value = sum(weights[source] * events / n for source, (n, events) in known.items()) / covered
    soft = {source: (events + 0.5) / (n + 1) for source, (n, events) in known.items()}
    return value, sum((weights[source] / covered) ** 2 * soft[source] * (1 - soft[source]) / known[source][0] for source in known)


def crowd(rows: list[tuple[str, int, int, str, str | None]]) -> dict[str, pd.DataFrame]:
    """Leads by (source, how many, of them with an opportunity, created, answered); opportunities ten days later."""
    leads, acts, deals = [], [], []
    for number, (source, n, events, created, answered) in enumerate(rows):
        for place in range(n):
            who = f"{source} {number} {place}"
            leads.append(lead(who, created, source=source))
            acts += [touch(who, answered)] if answered else []
            became = str(pd.Timestamp(created) + pd.Timedelta(days=10))
            deals += [deal(who, became, lead_id=who)] if place < events else []
    return answering(leads, acts) | selling(deals)


def test_sensitivity_by_hand():
    """Eight of web and twelve of fair, so .4 and .6: .4 x 3/6 + .6 x 1/4 against .4 x 1/2 + .6 x 4/8."""
    day, night = "2026-02-03 10:00", "2026-02-03 23:30"
    tables = crowd(
        [
            ("web", 4, 3, day, "2026-02-03 10:30"),
            ("web", 2, 0, day, "2026-02-03 11:01"),
            ("fair", 1, 1, day, "2026-02-03 11:00"),
            ("fair", 3, 0, day, None),
            ("web", 2, 1, night, "2026-02-04 09:00"),
            ("fair", 1, 1, night, "2026-02-03 23:40"),
            ("fair", 7, 3, night, "2026-02-04 09:00"),
            ("web", 5, 5, "2026-02-27 10:00", "2026-02-27 10:01"),  # not yet seen for 90 days
        ]
    )
    found = response.sensitivity(dataset(tables), as_of="2026-05-20", window=FEBRUARY)
    assert found["arrival"].tolist() == ["open", "closed", "difference"]
    assert found["value"].tolist() == pytest.approx([0.35, 0.5, -0.15])
    assert found[["n", "n_events"]].to_numpy().tolist() == [[10, 4], [10, 5], [20, 9]]
    assert found["answered"].tolist() == pytest.approx([0.5, 0.1, 0.4])
    assert set(found["horizon"]) == {90}
    variance = [0.16 * 0.25 / 6 + 0.36 * 0.3 * 0.7 / 4, 0.16 * 0.25 / 2 + 0.36 * 0.25 / 8]
    reach = [Z * sqrt(part) for part in (*variance, sum(variance))]
    assert (found["high"] - found["value"]).tolist() == pytest.approx(reach)
    assert (found["value"] - found["low"]).tolist() == pytest.approx(reach)


def test_what_if_by_hand():
    """Expo answers 19 of 20 (from .764 on), fair 54 of 60 (from .799 on): fair is the aim. The phone's 19 of 19 are too few."""
    soon, late = "2026-02-03 10:30", "2026-02-03 12:00"
    tables = crowd(
        [
            ("expo", 19, 9, "2026-02-03 10:00", soon),
            ("expo", 1, 0, "2026-02-03 10:00", late),
            ("fair", 54, 27, "2026-02-03 10:00", soon),
            ("fair", 6, 2, "2026-02-03 10:00", late),
            ("phone", 19, 0, "2026-02-03 10:00", soon),
            ("fair", 4, 0, "2026-03-03 10:00", "2026-03-03 10:20"),
            ("expo", 6, 0, "2026-03-03 10:00", None),
        ]
    )
    data = dataset(tables)
    row = response.what_if(data, as_of="2026-06-20", window=MARCH, past=FEBRUARY).iloc[0]
    # Nobody of the phone was late, so the late are mixed of expo and fair alone, 20 and 60 of 80.
    weights = {"expo": 20 / 99, "fair": 60 / 99, "phone": 19 / 99}
    quick, quick_variance = share({"expo": (19, 9), "fair": (54, 27), "phone": (19, 0)}, weights)
    slow, slow_variance = share({"expo": (1, 0), "fair": (6, 2)}, weights)
    assert slow == pytest.approx(0.25)
    gap = quick - slow
    assert (row["best"], row["target"], row["now"], row["n"], row["n_events"]) == ("fair", 0.9, 0.4, 10, 4)
    assert row["gap"] == pytest.approx(gap)
    assert row["value"] == pytest.approx(10 * 0.5 * gap)
    reach = Z * 10 * sqrt(0.25 * (quick_variance + slow_variance) + gap**2 * 0.09 / 60)
    assert row[["low", "high"]].tolist() == pytest.approx([row["value"] - reach, row["value"] + reach])
    # Asked of those who set the mark, there is nothing to gain.
    expo = {name: frame[frame["lead_id"].str.startswith("expo")] for name, frame in tables.items() if name != "stages"}
    best = response.what_if(dataset(expo), as_of="2026-06-20", window=FEBRUARY, past=FEBRUARY).iloc[0]
    assert (best["best"], best["value"]) == ("expo", 0)


def test_what_if_without_a_large_group():
    tables = crowd([("web", 19, 5, "2026-02-03 10:00", "2026-02-03 10:30")])
    row = response.what_if(dataset(tables), as_of="2026-06-20", window=FEBRUARY, past=FEBRUARY).iloc[0]
    assert (row["best"], row["n"], row["now"]) == ("", 19, 1)
    assert row[["value", "low", "high", "target"]].isna().all()


def wilson_low(events: int, n: int) -> float:
    centre, spread = events / n + Z**2 / (2 * n), Z * sqrt(events / n * (1 - events / n) / n + Z**2 / (4 * n**2))
    return (centre - spread) / (1 + Z**2 / n)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("outcome", "event", "days"), [("appointment", "appointed_at", 30), ("opportunity", "opportunity_at", 90)])
def test_questions_of_speed_against_the_definition(seed, outcome, event, days):
    tables, data, as_of = random_company(seed), random_data(seed), "2026-06-25"
    now, closed = utc(as_of).to_pydatetime(), {*holidays.country_holidays("FR", years=2026)}
    leads = oracles.eligible(oracles.leads_at(tables, now, ZONE), YEAR.start, YEAR.end)

    def soon(row) -> bool:
        return row["outcome"] == "answered" and row["delay"] <= HOUR

    def within(row, seconds: int) -> bool:
        return bool(row[event]) and timedelta(0) <= row[event] - row["created_at"] <= timedelta(days=days, seconds=seconds)

    def tally(rows, seconds: int) -> dict[str, tuple[int, int]]:
        n, events = Counter(row["source"] for row in rows), Counter(row["source"] for row in rows if within(row, seconds))
        return {source: (n[source], events[source]) for source in n}

    # By arrival, from the inquiry on.
    old = [row for row in leads if row["created_at"] + timedelta(days=days) <= now]
    weights = {source: n / len(old) for source, (n, _) in tally(old, 0).items()}
    parts = [[row for row in old if oracles.is_open(row["created_at"], ZONE, HOURS, closed) == flag] for flag in (True, False)]
    (inside, one), (outside, other) = (share(tally(part, 0), weights) for part in parts)
    quick = [sum(map(soon, part)) / len(part) for part in parts]
    found = response.sensitivity(data, as_of=as_of, window=YEAR, outcome=outcome)
    assert found["value"].tolist() == pytest.approx([inside, outside, inside - outside])
    assert found["n"].tolist() == [len(parts[0]), len(parts[1]), len(old)]
    assert found["answered"].tolist() == pytest.approx([*quick, quick[0] - quick[1]])
    assert found["high"].iloc[2] == pytest.approx(inside - outside + Z * sqrt(one + other))
    # By answer, seen from the first hour on.
    hour = timedelta(hours=1)
    seen = [row for row in leads if row["created_at"] + timedelta(days=days) + hour <= now]
    seen = [row for row in seen if all(at is None or at - row["created_at"] > hour for at in (row[event], row["disqualified_at"]))]
    weights = {source: n / len(seen) for source, (n, _) in tally(seen, HOUR).items()}
    (fast, one), (slow, other) = (share(tally([row for row in seen if soon(row) == flag], HOUR), weights) for flag in (True, False))
    groups = {source: [row for row in leads if row["source"] == source] for source in {row["source"] for row in leads}}
    large = {source: (sum(map(soon, rows)), len(rows)) for source, rows in groups.items() if len(rows) >= 20}
    best = max(sorted(large), key=lambda source: wilson_low(*large[source]))
    target = large[best][0] / large[best][1]
    asked = [row for row in leads if MARCH.start <= row["created"] < MARCH.end]
    share_now = sum(map(soon, asked)) / len(asked)
    row = response.what_if(data, as_of=as_of, window=MARCH, past=YEAR, outcome=outcome).iloc[0]
    assert len(large) > 1
    assert (row["best"], row["n"]) == (best, len(asked))
    lift, gap = max(target - share_now, 0), fast - slow
    assert row[["target", "now", "gap", "value"]].tolist() == pytest.approx([target, share_now, gap, len(asked) * lift * gap])
    spread = Z * len(asked) * sqrt(lift**2 * (one + other) + gap**2 * target * (1 - target) / large[best][1])
    assert row["high"] - row["value"] == pytest.approx(spread)


# --- the queue


def test_order_of_the_queue_at_ties():
    alert = {"alerted_at": utc("2026-03-10 10:00")}
    leads = [
        lead("b alert", "2026-03-03 10:00", **alert),
        lead("a alert", "2026-03-03 10:00", **alert),
        lead("alert of a later inquiry", "2026-03-04 10:00", **alert),
        lead("alert to come", "2026-03-06 10:00", alerted_at=utc("2026-04-10 10:00")),
        lead("morning", "2026-03-05 09:00"),
        lead("evening", "2026-03-05 18:00"),
        lead("midnight", "2026-03-05 00:00"),  # still 4 March in UTC
        lead("fair", "2026-03-05 08:00", source="fair"),
        lead("declined", "2026-03-05 08:00", source="fair", disqualified_at=utc("2026-03-05 09:00")),
        lead("touched before", "2026-03-05 08:00"),
        lead("answered", "2026-03-05 08:00", source="fair"),
        lead("copy", "2026-03-05 10:00", merged_into="morning"),
    ]
    acts = [touch("touched before", "2026-03-05 07:00"), touch("answered", "2026-03-05 08:30"), touch("evening", "2026-03-05 18:01", automated=True)]
    tables = answering(leads, acts)
    order = ["alert of a later inquiry", "a alert", "b alert", "alert to come", "fair", "evening", "morning", "midnight"]
    found = response.waiting_queue(dataset(tables | selling([deal("D", "2026-03-06 10:00", lead_id="answered")])), as_of="2026-04-01")
    assert found["lead_id"].tolist() == order
    assert found["rank"].tolist() == list(range(1, 9))
    assert found.set_index("lead_id").loc[["fair", "morning"], "source_rate"].tolist() == pytest.approx([1 / 3, 0])
    # Without opportunities the latest inquiry goes first.
    bare = response.waiting_queue(dataset(tables), as_of="2026-04-01")
    assert bare["lead_id"].tolist() == [*order[:4], "evening", "morning", "fair", "midnight"]
    assert bare["source_rate"].isna().all()
    window = Window(date(2026, 3, 5), date(2026, 3, 6))
    assert response.waiting_queue(dataset(tables), as_of="2026-04-01", window=window)["lead_id"].tolist() == bare["lead_id"].tolist()[4:]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_queue_against_the_definition(seed):
    tables, data, as_of = random_company(seed), random_data(seed), "2026-06-15"
    now = utc(as_of).to_pydatetime()
    every = oracles.leads_at(tables, now, ZONE)
    became = Counter(row["source"] for row in every if row["became"] and not (row["declined"] and row["declined"] < row["became"]))
    rate = {source: became[source] / n for source, n in Counter(row["source"] for row in every).items()}

    def place(row) -> tuple:
        alert = row["alerted_at"].timestamp() if row["alerted_at"] else float("-inf")
        return (-alert, -row["created"].toordinal(), -rate[row["source"]], -row["created_at"].timestamp(), row["lead_id"])

    waiting = sorted((row for row in every if row["outcome"] == "waiting" and not row["touched_before"]), key=place)
    found = response.waiting_queue(data, as_of=as_of)
    assert found["lead_id"].tolist() == [row["lead_id"] for row in waiting]
    assert found["is_alerted"].tolist() == [row["alerted_at"] is not None for row in waiting]
    assert found["source_rate"].tolist() == pytest.approx([rate[row["source"]] for row in waiting])
    assert found["waiting_hours"].tolist() == pytest.approx([row["delay"] / HOUR for row in waiting], abs=0.051)
