"""Where the data end and begin: at the export, else with what has happened, and never with a typing error."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from companies import deal, first_quick, lead, selling, table, utc

import kpi
from kpi import engine, facts, importing, pipeline
from kpi.__main__ import run
from kpi.errors import DataError
from kpi.periods import Month, day_of

ZONE = {"timezone": "Europe/Paris"}


def orders(*days: str) -> pd.DataFrame:
    rows = [{"order_id": str(i), "customer_id": f"C{i % 5}", "at": pd.Timestamp(day), "amount": 10.0} for i, day in enumerate(days)]
    return pd.DataFrame(rows)


SOLD = [str(pd.Timestamp("2026-01-05") + pd.Timedelta(days=5 * i)) for i in range(20)]  # to 10 April


def end_of(data: kpi.Dataset) -> str:
    return data.decisions.set_index("decision")["value"]["end of the data"]


def test_a_year_typed_wrong_neither_ends_nor_begins_the_data():
    data = kpi.Dataset(orders=orders(*SOLD, "2062-01-05", "1926-03-01"))
    assert (str(data.first_month()), str(data.first_month("orders")), str(data.last_month())) == ("2026-01", "2026-01", "2026-03")
    assert end_of(data) == "2026-04-10 00:00 UTC: the last event that a year without any does not keep apart; 1 dates lie after it"
    with pytest.raises(DataError, match="the data do not cover 2026-04: complete months go from 2026-01 to 2026-03"):
        data.month("2026-04")


def test_an_export_that_says_its_date_ends_the_data():
    data = kpi.Dataset(orders=orders(*SOLD, "2062-01-05"), exported_at="2026-05-01")
    assert (str(data.last_month()), data.ends_at) == ("2026-04", pd.Timestamp("2026-05-01"))
    assert "end of the data" not in set(data.decisions["decision"])


def test_what_is_old_or_much_is_no_typing_error():
    late = [str(pd.Timestamp("2028-01-05") + pd.Timedelta(days=5 * i)) for i in range(5)]
    data = kpi.Dataset(orders=orders(*SOLD, *late))  # a fifth of all, after two quiet years
    assert (str(data.first_month()), str(data.last_month())) == ("2026-01", "2027-12")
    lone = kpi.Dataset(orders=orders("2020-01-05", "2026-01-05"))
    assert (str(lone.first_month()), str(lone.last_month())) == ("2020-01", "2025-12")


def test_the_day_of_the_run_is_the_last_that_can_have_happened(tmp_path, capsys):
    (tmp_path / "kpi.toml").write_text('[company]\ncurrency = "EUR"\ntimezone = "Europe/Paris"\n', "utf-8")
    orders(*SOLD, "2026-11-05").to_csv(tmp_path / "orders.csv", index=False)
    assert run(["check", str(tmp_path), "--format", "json", "--today", "2026-04-11"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["last_month"], said["data_end"]) == ("2026-03", "2026-04-09T22:00:00")  # midnight in Paris on 10 April
    decided = [row["value"] for row in said["decisions"] if row["decision"] == "end of the data"]
    assert decided == ["2026-04-09 22:00 UTC: the last event up to 2026-04-11, the day of the run; 1 dates lie after it"]
    assert [row["rows"] for row in said["flags"] if row["flag"] == "at after the export"] == [1]
    assert str(kpi.load(tmp_path, today="2026-12-01").last_month()) == "2026-10"
    assert run(["check", str(tmp_path), "--today", "2025-01-01"]) == 3
    assert "no dated row up to 2025-01-01" in capsys.readouterr().err


@pytest.fixture(scope="module")
def ahead():
    """Two deals closed on dates still ahead of the export, one of them with a history that ends open; one closed in time, one open."""
    made = [
        deal("ahead", "2026-03-02 10:00", "won", "2026-07-20"),
        deal("typed 2052", "2026-03-03 10:00", "lost", "2052-03-20"),
        deal("in time", "2026-03-04 10:00", "won", "2026-04-20 12:00"),
        deal("open", "2026-03-05 10:00"),
    ]
    history = [{"opportunity_id": "ahead", "changed_at": utc("2026-03-02 10:00"), "seq": 0, "stage": "Qualified", "status": "open", "owner": "Ann"}]
    return kpi.Dataset(**selling(made, history), **ZONE, exported_at="2026-05-01")


def test_a_deal_closed_ahead_of_the_export_is_closed_at_the_export(ahead):
    rows = engine.collect(facts.opportunities(ahead, ahead.as_of(Month(2026, 4)))).set_index("opportunity_id")
    assert rows["status"].to_dict() == {"ahead": "won", "typed 2052": "lost", "in time": "won", "open": "open"}
    assert [str(day_of(int(rows["closed_day"][name]))) for name in ("ahead", "typed 2052", "in time")] == ["2026-04-30", "2026-04-30", "2026-04-20"]
    row = pipeline.closed_win_rate(ahead, as_of="2026-05-01").iloc[0]
    assert (row["value"], row["n"], row["n_open"]) == (2 / 3, 3, 1)
    before = engine.collect(facts.opportunities(ahead, utc("2026-04-30 23:00"))).set_index("opportunity_id")
    assert before["status"].to_dict() == {"ahead": "open", "typed 2052": "open", "in time": "won", "open": "open"}
    flags = ahead.flags[ahead.flags["column"] == "closed_at"]
    assert flags[["flag", "rule", "rows"]].to_numpy().tolist() == [["closed on a date ahead of the export", "mended", 2]]


@pytest.mark.parametrize("seed", first_quick(range(12)))
def test_typing_errors_in_years_change_neither_begin_nor_end(seed):
    rng = np.random.default_rng(seed)
    days = [pd.Timestamp("2025-01-10") + pd.Timedelta(hours=int(hour)) for hour in rng.integers(0, 24 * 500, int(rng.integers(20, 60)))]
    leads = table("leads", [lead(str(i), str(day)) for i, day in enumerate(days)])
    sound = kpi.Dataset(leads=leads, **ZONE)
    typed = leads.copy()
    for place in rng.choice(len(days), max(1, len(days) // 20), replace=False):
        typed.loc[place, "created_at"] += pd.DateOffset(years=int(rng.choice([-100, -20, 5, 37, 90])))
    whole = pd.concat([leads, typed[typed["created_at"] != leads["created_at"]].assign(lead_id=lambda rows: "T" + rows["lead_id"])])
    data = kpi.Dataset(leads=whole, **ZONE)
    assert (data.first_month(), data.last_month(), data.ends_at) == (sound.first_month(), sound.last_month(), sound.ends_at)


def test_the_first_day_of_1970_on_several_rows_and_years_of_dates(tmp_path):
    (tmp_path / "kpi.toml").write_text('[company]\ntimezone = "America/New_York"\nexported_at = "2026-07-01"\n', "utf-8")
    rows = ["A,C1,2026-01-01,,10", "B,C2,1970-01-01,2026-03-01,10", "C,C3,1970-01-01,,10", "D,C4,0026-01-05,,10"]
    (tmp_path / "contracts.csv").write_text("\n".join(["contract_id,customer_id,start_on,end_on,monthly_amount", *rows]), "utf-8")
    calls = [f"L{i},{at},web,Ann" for i, at in enumerate(["1970-01-01T00:00:00Z", "1970-01-01 00:00", "2026-03-02 10:00"])]
    (tmp_path / "leads.csv").write_text("\n".join(["lead_id,created_at,source,owner", *calls]), "utf-8")
    data = kpi.load(tmp_path)
    flags = data.flags[data.flags["flag"].str.contains("1970")].set_index(["table", "flag"])["rows"]
    assert flags.to_dict() == {("leads", "created_at on 1970-01-01"): 2, ("contracts", "start_on on 1970-01-01"): 2}
    assert data.set_aside[["column", "value"]].to_numpy().tolist() == [["start_on", "0026-01-05"]]


def test_an_export_is_not_dated_by_its_largest_typing_error(tmp_path):
    header = "opportunity_id,owner,created_at,amount,stage,status,closed_at"
    first = [f"D{i},Ann,2026-01-{i + 1:02d} 10:00,10,A,open," for i in range(20)] + ["X,Ann,2026-01-05 10:00,10,A,won,2052-01-15 10:00"]
    second = [f"D{i},Ann,2026-01-{i + 1:02d} 10:00,10,A,won,2026-02-{i + 1:02d} 10:00" for i in range(20)]
    second += ["X,Ann,2026-01-05 10:00,10,A,won,2026-01-15 10:00"]
    for name, rows in (("first.csv", first), ("second.csv", second)):
        (tmp_path / name).write_text("\n".join([header, *rows]), "utf-8")
    told = importing.as_text(importing.bring_in([tmp_path / "first.csv"], tmp_path / "acme"))
    assert "Exported on 2026-01-20 (the newest date in the files, 1 later up to 2052-01-15 left out; say otherwise with --exported-on)" in told
    assert str(importing.bring_in([tmp_path / "second.csv"], tmp_path / "acme").exported_on) == "2026-02-20"
    data = kpi.load(tmp_path / "acme")
    assert pipeline.won(data, as_of="2026-02-21", window="2026-02")["value"].tolist() == [20]
