"""The account of the pipeline between two dates: it balances to the last cent, and equals a replay of the events one by one."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
import replay
from companies import ZONE, as_it_was, dataset, deal, first_quick, random_company, random_data, selling, story, table, utc

from kpi import pipeline
from kpi.errors import MissingTable, ParameterError
from kpi.periods import Window
from kpi.pipeline.waterfall import STEPS
from kpi.schema import BLANK

WORLDS = 1000
CLOSING = Window(*replay.CLOSING)
DATES = ["2026-02-10", "2026-03-01", "2026-03-02", "2026-03-29T12:00", "2026-05-01", "2026-06-15"]


@cache
def histories():
    return replay.histories(WORLDS)


@cache
def told_one_by_one() -> dict[str, list[tuple]]:
    """What became of each deal, by its name."""
    deals, changes = histories()
    by_deal: dict[str, list[dict]] = {}
    for row in changes:
        by_deal.setdefault(row["opportunity_id"], []).append(row)
    return {one["opportunity_id"]: replay.events(one, by_deal.get(one["opportunity_id"], [])) for one in deals}


def test_the_histories_hold_every_kind_of_change():
    """So that the accounts below have met them all, dozens of times, inside the account or at its very edges."""
    start, end = utc(replay.START), utc(replay.END)
    places = {stage: place for place, (stage, _) in enumerate(replay.STATES[:5])}
    seen: Counter[str] = Counter()
    for events in told_one_by_one().values():
        seen["ties"] += len({at for at, _ in events}) < len(events)
        for (_, before), (at, after) in pairwise(events):
            if not start <= at <= end or before is None:
                continue
            seen["at an edge"] += at in (start, end)
            if after is None:
                seen["deleted while open"] += before["status"] == "open"
                continue
            both = before["status"] == after["status"] == "open" and before["stage"] and after["stage"]
            step = places[after["stage"]] - places[before["stage"]] if both else 0
            seen.update({"returns": int(step < 0), "skips": int(step > 1), "won": int(after["status"] == "won" != before["status"])})
            seen.update({"lost": int(after["status"] == "lost" != before["status"]), "reopened": int(before["status"] != "open" == after["status"])})
            seen.update({name: int(before[name] != after[name]) for name in ("amount", "owner", "expected_close_on")})
    assert len(seen) == 11
    assert min(seen.values()) >= 40, seen


@cache
def worlds(engine: str = "duckdb"):
    return dataset(replay.frames(*histories()), engine)


def local_day(moment) -> date:
    return pd.Timestamp(moment).tz_localize("UTC").tz_convert(ZoneInfo(ZONE)).date()


def lines(result: pd.DataFrame) -> dict[str, tuple[float, int]]:
    return {row.step: (row.value, row.deals) for row in result.itertuples()}


def signed_sum(result: pd.DataFrame, column: str, factor: int = 1) -> pd.Series:
    whole = (result[column] * factor).round().astype("int64")
    return whole.where(result["step"] != "end", -whole).groupby(result["source"]).sum()


CASES = {
    "all open deals": {},
    "closing window": {"closing": CLOSING},
    "an owner": {"owners": ["Ann"]},
    "owner and window": {"owners": ["Ann"], "closing": CLOSING},
    "constant currency": {"closing": CLOSING, "rates": "constant"},
}


@cache
def replayed(case: str):
    options = CASES[case]
    closing = replay.CLOSING if "closing" in options else None
    limits = {"start": utc(replay.START), "end": utc(replay.END), "local_day": local_day}
    return replay.account(*histories(), closing=closing, owners=options.get("owners", ()), constant="rates" in options, **limits)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_the_account_is_the_same_on_polars(case):
    options = {"window": (replay.START, replay.END), "as_of": replay.END, "by": "source", **CASES[case]}
    found, expected = (pipeline.waterfall(worlds(engine), **options) for engine in ("polars", "duckdb"))
    pd.testing.assert_frame_equal(found, expected, check_exact=True)


@pytest.mark.parametrize("case", first_quick(CASES, 2))
def test_every_step_equals_the_replay_of_the_events(case):
    options = CASES[case]
    found = pipeline.waterfall(worlds(), window=(replay.START, replay.END), as_of=replay.END, by="source", **options)
    told = replayed(case)
    assert found["source"].nunique() == len([world for world in told.values() if any(any(line) for line in world.values())])
    for row in found.itertuples():
        money, count = told[row.source].get(row.step, [0, 0])
        assert (round(row.value * 100), row.deals) == (money, count), (row.source, row.step)
    seen = {row.step for row in found.itertuples() if row.deals or row.value}
    assert seen >= {"start", "end", "new", "reopened", "increased", "decreased", "won", "lost", "deleted"}
    assert ("pulled_in" in seen) == ("pushed_out" in seen) == ("closing" in options)
    assert ("owner_in" in seen) == ("owner_out" in seen) == ("owners" in options)
    assert ("currency" in seen) == ("rates" not in options)


@pytest.mark.parametrize("case", ["closing window", "owner and window"])
def test_it_balances_to_the_last_cent(case):
    found = pipeline.waterfall(worlds(), window=("2026-02-20", "2026-06-01"), as_of="2026-06-01", by="source", **CASES[case])
    assert (signed_sum(found, "value", 100) == 0).all()
    assert (signed_sum(found, "deals") == 0).all()


def test_months_follow_each_other():
    """The end of one account is the start of the next, and the whole is the sum of its parts."""
    parts = [
        lines(pipeline.waterfall(worlds(), window=(one, other), as_of=other, closing=CLOSING))
        for one, other in (("2026-02-15", "2026-03-10"), ("2026-03-10", "2026-05-20"), ("2026-02-15", "2026-05-20"))
    ]
    assert parts[0]["end"] == parts[1]["start"]
    for step in set(STEPS) - {"start", "end"}:
        assert [parts[0][step][k] + parts[1][step][k] for k in (0, 1)] == [pytest.approx(parts[2][step][k]) for k in (0, 1)]


@pytest.mark.parametrize("by", first_quick(["stage", "owner", "source"]))
def test_snapshots_equal_the_pipeline_at_each_date(by):
    data = random_data(4)
    found = pipeline.snapshots(data, dates=DATES, by=by)
    for moment in DATES:
        at = pipeline.open_pipeline(data, as_of=moment, by=by).sort_values(by, ignore_index=True)
        part = found[found["date"] == utc(moment)].drop(columns="date").reset_index(drop=True)
        pd.testing.assert_frame_equal(part, at)


@pytest.mark.parametrize("by", first_quick(["source", "owner", "stage"]))
def test_snapshots_equal_the_replay(by):
    told, currency = told_one_by_one(), {one["opportunity_id"]: one for one in histories()[0]}
    found = pipeline.snapshots(worlds(), dates=DATES, by=by).set_index(["date", by])
    for moment in DATES:
        expected: dict[str, list[float]] = {}
        for key, events in told.items():
            past = [state for at, state in events if at < utc(moment)]
            if past and past[-1] is not None and past[-1]["status"] == "open":
                group = currency[key]["source"] if by == "source" else past[-1][by] or BLANK
                line = expected.setdefault(group, [0, 0.0])
                rate = replay.rate(currency[key]["currency"], local_day(utc(moment)) - timedelta(days=1))
                line[0] += 1
                line[1] += (past[-1]["amount"] or 0.0) * (rate or 0.0)
        rows = found.loc[utc(moment)]
        assert {group: row["n"] for group, row in rows.iterrows()} == {group: line[0] for group, line in expected.items()}
        assert {group: row["value"] for group, row in rows.fillna({"value": 0}).iterrows()} == {
            group: pytest.approx(line[1]) for group, line in expected.items()
        }


def test_by_hand():
    told = [
        *story("stays", ("2026-02-01 10:00", "Qualified", "open", 100.0), ("2026-03-05 10:00", "Qualified", "open", 130.0)),
        *story("wins", ("2026-02-01 10:00", "Qualified", "open", 200.0), ("2026-03-10 10:00", "Won", "won", 180.0)),
        *story("back", ("2026-02-01 10:00", "Lost", "lost", 70.0), ("2026-03-31 23:59", "Proposal", "open", 70.0)),
        *story("new", ("2026-03-01 00:00", "Qualified", "open", 40.0)),
        *story("next month", ("2026-04-01 00:00", "Qualified", "open", 5.0)),
        *story("gone", ("2026-02-01 10:00", "Qualified", "open", 9.0)),
    ]
    deals = [deal(key, "2026-02-01 10:00") for key in ("stays", "back")] + [deal("wins", "2026-02-01 10:00", "won", "2026-03-10 10:00")]
    deals += [deal("new", "2026-03-01 00:00"), deal("next month", "2026-04-01 00:00"), deal("gone", "2026-02-01 10:00", deleted_at=utc("2026-03-20"))]
    found = pipeline.waterfall(dataset(selling(deals, told)), window="2026-03", as_of="2026-04-01")
    assert found["step"].tolist() == list(STEPS)
    shown = {step: line for step, line in lines(found).items() if line != (0, 0)}
    assert shown == {
        "start": (309, 3),
        "new": (40, 1),
        "reopened": (70, 1),
        "increased": (30, 0),
        "decreased": (-20, 0),
        "won": (-180, -1),
        "deleted": (-9, -1),
        "end": (240, 3),
    }
    assert found.set_index("step").loc["decreased", "n"] == 1


@pytest.mark.slow
def test_nothing_after_the_end_matters():
    as_of = "2026-05-01"
    then = dataset(as_it_was(random_company(2), utc(as_of)))
    for options in ({}, {"owners": ["Ann", "Bob"]}, {"by": "source"}):
        one = pipeline.waterfall(then, window=("2026-03-01", as_of), as_of=as_of, **options)
        pd.testing.assert_frame_equal(one, pipeline.waterfall(random_data(2), window=("2026-03-01", as_of), as_of=as_of, **options))


def test_nothing_to_tell():
    data = dataset({"opportunities": table("opportunities", [deal("x", "2026-06-01")])})
    found = pipeline.waterfall(data, window="2026-03", as_of="2026-04-01")
    assert found["step"].tolist() == list(STEPS)
    assert (found[["value", "n", "deals"]] == 0).all(axis=None)
    assert pipeline.snapshots(data, dates=["2026-03-01"]).empty


def test_errors():
    data = random_data(2)
    cases = [
        ({"window": ("2026-04-01", "2026-05-01"), "as_of": "2026-04-01"}, "the end must come after the start"),
        ({"window": "2026-03", "as_of": "2026-04-01", "rates": "fixed"}, "rates 'fixed' is unknown; use one of dated, constant"),
        ({"window": "2026-03", "as_of": "2026-04-01", "by": "owner"}, "by='owner' is unknown here; use one of source, product"),
    ]
    for options, message in cases:
        with pytest.raises(ParameterError, match=message):
            pipeline.waterfall(data, **options)
    with pytest.raises(ParameterError, match="each later than the one before"):
        pipeline.snapshots(data, dates=["2026-04-01", "2026-03-01"])
    with pytest.raises(MissingTable):
        bare = dataset({"leads": table("leads", [{"lead_id": "x", "created_at": utc("2026-03-03"), "source": "web", "owner": "Ann"}])})
        pipeline.waterfall(bare, window="2026-03", as_of="2026-04-01")
