"""A history made of exports begins with the first of them: before it nothing is known, and where a deal is first seen it did not enter just then."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest

import kpi
from kpi import compute, engine, facts, importing, pipeline
from kpi.errors import MissingLink
from kpi.importing import as_text
from kpi.periods import Month

STAGES = "stage,position,status\nA,1,open\nB,2,open\nC,3,open\nWon,4,won\nLost,5,lost\n"
HEADER = "opportunity_id,owner,created_at,amount,stage,status,closed_at,expected_close_on"


def bring(tmp_path, day: str, deals: list[tuple], to: str = "acme") -> str:
    """Import what a system without history shows on a day."""
    folder = tmp_path / day
    folder.mkdir()
    lines = [f"{name},Ann,{made},100,{stage},{status},{closed},{due}" for name, made, stage, status, closed, due in deals]
    (folder / "deals.csv").write_text("\n".join([HEADER, *lines]) + "\n", "utf-8")
    (folder / "stages.csv").write_text(STAGES, "utf-8")
    return as_text(importing.bring_in([folder / "deals.csv", folder / "stages.csv"], tmp_path / to, exported_on=date.fromisoformat(day)))


def shown(moved: dict[str, str], due: str = "2026-06-30") -> list[tuple]:
    """Twenty deals created in autumn, in B unless moved."""
    return [(f"D{i:02d}", f"2025-09-{i + 1:02d} 10:00", moved.get(f"D{i:02d}", "B"), "open", "", due) for i in range(20)]


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """Exports of 31 January and two months after; two deals go to C in February, one in March, then pushed; one is born in B in March."""
    tmp_path = tmp_path_factory.mktemp("exports")
    bring(tmp_path, "2026-01-31", shown({}))
    bring(tmp_path, "2026-02-28", shown({"D00": "C", "D01": "C"}))
    later = [row if row[0] != "D02" else (*row[:5], "2026-09-30") for row in shown({"D00": "C", "D01": "C", "D02": "C"})]
    bring(tmp_path, "2026-03-31", [*later, ("new", "2026-03-10 10:00", "B", "open", "", "2026-06-30")])
    return kpi.load(tmp_path / "acme")


def test_months_before_the_first_export_are_missing_and_a_first_sighting_is_no_entry(imported):
    assert facts.told_from(imported) == date(2026, 1, 31)
    entries = {p: pipeline.entered_stage(imported, as_of="2026-04-01", window=("2025-09-01", "2026-04-01"), position=p)["value"] for p in (2, 3)}
    assert entries[2].isna().tolist() == entries[3].isna().tolist() == [True] * 5 + [False] * 2  # September to January, not 0
    assert (entries[2][5:].tolist(), entries[3][5:].tolist()) == ([0, 1], [2, 1])  # not 20 on the day of the first export
    chain = compute.months(imported, Month(2026, 3), "pipeline.stage_entries")
    assert chain["value"].dropna().tolist() == [0, 1] and not chain["signal"].fillna("").astype(bool).any()


def test_time_in_a_stage_and_conversion_begin_with_entries_that_were_seen(imported):
    stay = pipeline.time_in_stage(imported, as_of="2026-04-01", window=("2026-01-01", "2026-04-01")).set_index("stage")
    assert stay["n"].to_dict() == {"B": 1, "C": 3}  # the one that was born in B; those that went to C
    steps = pipeline.stage_conversion(imported, as_of="2026-04-01").set_index("stage")
    assert steps.loc["B", "n"] == 1
    funnel = pipeline.funnel(imported, as_of="2026-04-01", window=("2026-01-01", "2026-04-01"), horizon=365).set_index("stage")
    assert funnel.loc["B", ["n", "n_events"]].tolist() == [1, 1]  # only one had B before it while under observation
    assert funnel.loc["C", "n_events"] == 3


def test_what_changed_before_the_first_export_is_not_known(imported):
    for metric in (pipeline.pushes, pipeline.stage_moves, pipeline.stage_flow, pipeline.waterfall):
        with pytest.raises(MissingLink, match="begins with their first export"):
            metric(imported, as_of="2026-04-01", window=("2025-11-01", "2026-01-01"))
    with pytest.raises(MissingLink):
        pipeline.waterfall(imported, as_of="2026-04-01", window=("2026-01-01", "2026-04-01"))
    pushes = pipeline.pushes(imported, as_of="2026-04-01", window=("2026-01-01", "2026-04-01"))
    assert (pushes["window_start"].iloc[0], pushes.set_index("horizon").loc[1, "n_events"]) == (date(2026, 1, 31), 1)
    moves = pipeline.stage_moves(imported, as_of="2026-04-01", window=("2026-01-01", "2026-04-01")).set_index("move")["value"]
    assert moves.to_dict() == {"forward": 3, "skipped": 0, "back": 0, "reopened": 0}


def test_a_stage_renamed_between_exports_is_asked_about_and_can_be_named(tmp_path):
    bring(tmp_path, "2026-01-31", shown({f"D{i:02d}": "A" for i in range(5)}))
    new = {f"D{i:02d}": "Offer" for i in range(5, 20)} | {f"D{i:02d}": "A" for i in range(5)}
    told = bring(tmp_path, "2026-02-28", shown(new))
    assert "All 15 open deals of 'B' are in 'Offer' now, and none is left: was the stage renamed?" in told
    assert '[pipeline] renamed = {"B" = "Offer"}' in told
    asked = kpi.load(tmp_path / "acme").flags.query("column == 'stage' and flag.str.startswith('stage left')")
    assert asked[["rows", "example"]].to_numpy().tolist() == [[15, "'B' is 'Offer' now?"]]
    toml = tmp_path / "acme" / "kpi.toml"
    toml.write_text(toml.read_text("utf-8") + '\n[pipeline]\nrenamed = {B = "Offer"}\n', "utf-8")
    data = kpi.load(tmp_path / "acme")
    assert not len(data.flags[data.flags["flag"].str.startswith("stage left")])
    visits = facts.visits(data, data.as_of(Month(2026, 2)))
    assert engine.collect(visits)["stage"].value_counts().to_dict() == {"Offer": 15, "A": 5}
    assert "was the stage renamed" not in bring(tmp_path, "2026-03-31", shown(new))
    moves = [(f"D{i:02d}", f"2025-09-{i + 1:02d} 10:00", "C" if i > 9 else "Offer", "open", "", "2026-06-30") for i in range(20)]
    assert "was the stage renamed" not in bring(tmp_path, "2026-04-30", moves)  # half of them went on: a move


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_entries_are_the_moves_that_exports_show(tmp_path, seed):
    rng = np.random.default_rng(seed)
    places = {f"D{i:02d}": int(rng.integers(0, 3)) for i in range(20)}
    days, entered = ["2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30"], {}
    for number, day in enumerate(days):
        if number:
            moved = {name: min(2, place + int(rng.integers(0, 2))) for name, place in places.items()}
            entered[day[:7]] = sum(place < 1 <= moved[name] for name, place in places.items())
            places = moved
        bring(tmp_path, day, shown({name: "ABC"[place] for name, place in places.items()}))
    data = kpi.load(tmp_path / "acme")
    found = pipeline.entered_stage(data, as_of="2026-05-01", window=("2025-12-01", "2026-05-01"), position=2).set_index("month")["value"]
    assert found.isna().to_dict() == {"2025-12": True, "2026-01": True, "2026-02": False, "2026-03": False, "2026-04": False}
    assert found.dropna().astype(int).to_dict() == entered
    assert pd.notna(found["2026-04"])
