"""kpi import: exports of several months into one data set; what changed between them becomes history; an import that fails changes nothing."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

import duckdb
import pandas as pd
import pytest

import kpi
from kpi import facts, importing, pipeline
from kpi.__main__ import run
from kpi.engine import collect
from kpi.errors import BusyError, DataError, ParameterError, WriteError
from kpi.importing.transaction import reserved
from kpi.periods import Month

HEADER = "opportunity_id,owner,created_at,amount,currency,stage,status,closed_at,expected_close_on"
SEPTEMBER = """
D1,Ann,2026-08-03 10:00,100,EUR,Qualified,open,,2026-10-31
D2,Ann,2026-09-10 10:00,200,EUR,Qualified,open,,2026-10-31
D3,Bob,2026-09-30 10:00,300,EUR,Won,won,2026-09-30 17:00,2026-09-30
"""
OCTOBER = """
D1,Ann,2026-08-03 10:00,150,EUR,Proposal,open,,2026-11-30
D2,Ann,2026-09-10 10:00,200,EUR,Won,won,2026-10-20 12:00,2026-10-31
D4,Bob,2026-10-31 10:00,400,EUR,Qualified,open,,2026-12-31
"""


def export(folder: Path, name: str, rows: str, header: str = HEADER) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(f"{header}\n{rows.strip()}\n", "utf-8")
    return folder / name


def bring(folder: Path, to: Path, rows: str, on: str = "", name: str = "", **more) -> importing.Outcome:
    """Import deals as they were on a day."""
    file = export(folder, name or f"deals-{on or 'now'}.csv", rows)
    return importing.bring_in([file], to, exported_on=date.fromisoformat(on) if on else None, **more)


def stored(to: Path, table: str) -> list[dict]:
    """A table of the data set as kpi.toml names it, times in Paris."""
    (version,) = (to / "imports" / "tables").iterdir()
    with duckdb.connect() as opened:
        opened.execute("set TimeZone = 'Europe/Paris'")
        rows = opened.sql(f"select * from read_parquet('{version}/{table}.parquet') order by all").to_arrow_table().to_pylist()
    return [{name: plain(cell) for name, cell in row.items()} for row in rows]


def plain(cell: object) -> object:
    return f"{cell:%m-%d %H:%M}" if hasattr(cell, "hour") else cell.isoformat() if hasattr(cell, "isoformat") else cell


def story(to: Path, deal: str) -> list[tuple]:
    rows = [row for row in stored(to, "opportunity_history") if row["opportunity_id"] == deal]
    return [tuple(row[name] for name in ("changed_at", "stage", "status", "amount", "origin")) for row in sorted(rows, key=lambda row: row["seq"])]


def bytes_of(folder: Path) -> dict[str, str]:
    if not folder.exists():
        return {}
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".import.lock"]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def imported(tmp_path_factory) -> Path:
    """September, then the whole of October."""
    folder = tmp_path_factory.mktemp("import")
    bring(folder, folder / "acme", SEPTEMBER)
    bring(folder, folder / "acme", OCTOBER, name="deals-october.csv", full=True)
    return folder / "acme"


@pytest.fixture
def acme(imported, tmp_path) -> Path:
    """A copy to work on."""
    return Path(shutil.copytree(imported, tmp_path / "acme"))


# --- what is merged


def test_two_exports_become_one_table(imported):
    deals = {row["opportunity_id"]: row for row in stored(imported, "opportunities")}
    assert list(deals) == ["D1", "D2", "D3", "D4"]
    assert (deals["D1"]["amount"], deals["D1"]["stage"], deals["D1"]["expected_close_on"]) == (150, "Proposal", "2026-11-30")
    assert (deals["D2"]["status"], deals["D2"]["closed_at"]) == ("won", "10-20 12:00")
    assert [deals[name]["deleted_at"] for name in deals] == [None, None, "2026-10-31", None]


def test_what_changed_becomes_history(imported):
    # Seen in September in a stage entered nobody knows when; changed in October: dated on the middle day of 1 to 31 October.
    assert story(imported, "D1") == [
        ("08-03 10:00", "Qualified", "open", 100, "inferred"),
        ("09-30 00:00", "Qualified", "open", 100, "diff"),
        ("10-16 00:00", "Proposal", "open", 150, "diff"),
    ]
    assert story(imported, "D2")[-1] == ("10-20 12:00", "Won", "won", 200, "diff")  # the system tells when
    assert story(imported, "D3") == []  # closed when first seen
    assert story(imported, "D4") == [("10-31 10:00", "Qualified", "open", 400, "diff")]  # born between the two
    assert [row["expected_close_on"] for row in stored(imported, "opportunity_history") if row["opportunity_id"] == "D1"][-1] == "2026-11-30"


def test_the_data_set_is_read_by_the_kit(imported):
    data = kpi.load(imported)
    assert str(data.last_month()) == "2026-10"
    assert data.company.name == "acme"
    assert data.row_ledger["set_aside"].sum() == 0
    september = collect(facts.opportunities(data, data.as_of(Month.parse("2026-09"))).select("opportunity_id", "stage", "status"))
    assert sorted(september.itertuples(index=False, name=None)) == [
        ("D1", "Qualified", "open"),
        ("D2", "Qualified", "open"),
        ("D3", "Won", "won"),
    ]


def test_originals_are_kept_with_their_hashes(imported):
    log = json.loads((imported / "imports" / "log.json").read_text("utf-8"))
    assert [item["exported_on"] for item in log["imports"]] == ["2026-09-30", "2026-10-31"]
    assert [item["full"] for item in log["imports"]] == [False, True]
    assert log["imports"][0]["rows"] == {"opportunities": {"found": 3, "used": 3, "set_aside": 0}}
    for item in log["imports"]:
        for file in item["files"]:
            assert hashlib.sha256((imported / file["path"]).read_bytes()).hexdigest() == file["sha256"]
    assert (imported / "imports" / "2026-10-31" / "deals-october.csv").read_text("utf-8") == f"{HEADER}\n{OCTOBER.strip()}\n"


def test_an_original_that_was_changed_is_refused(acme, tmp_path):
    (acme / "imports" / "2026-09-30" / "deals-now.csv").write_text("x", "utf-8")
    with pytest.raises(DataError, match=r"imports/2026-09-30/deals-now.csv was imported and is no longer what it was; put the original back"):
        bring(tmp_path, acme, OCTOBER, "2026-11-30")


@pytest.mark.parametrize("on", ["", "2026-10-31"])
def test_the_same_file_twice_changes_nothing(acme, tmp_path, on):
    before = bytes_of(acme)
    outcome = bring(tmp_path, acme, OCTOBER, on, name="another name.csv")
    assert not outcome.is_changed
    assert bytes_of(acme) == before
    assert importing.as_text(outcome).endswith(f"Nothing new: {acme} is as it was.")


def test_paths_may_be_relative(imported, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bring(Path(), Path("acme"), SEPTEMBER)
    bring(Path(), Path("acme"), OCTOBER, name="deals-october.csv", full=True)
    assert bytes_of(Path("acme")) == bytes_of(imported)


def test_the_order_of_imports_does_not_matter(imported, tmp_path):
    to = tmp_path / "acme"
    bring(tmp_path, to, OCTOBER, full=True, name="october.csv")
    assert not (to / "imports" / "tables" / "1" / "opportunity_history.parquet").exists()  # one export makes no history
    bring(tmp_path, to, SEPTEMBER, name="september.csv")
    for table in ("opportunities", "opportunity_history"):
        assert stored(to, table) == stored(imported, table)
    assert tomllib_of(to)["company"]["exported_at"] == "2026-11-01"


def tomllib_of(folder: Path) -> dict:
    import tomllib

    return tomllib.loads((folder / "kpi.toml").read_text("utf-8"))


def test_records_missing_from_a_partial_export_stay(tmp_path):
    to = tmp_path / "acme"
    bring(tmp_path, to, SEPTEMBER)
    bring(tmp_path, to, OCTOBER, "2026-10-31")
    assert "deleted_at" not in stored(to, "opportunities")[0]
    outcome = bring(tmp_path, to, OCTOBER, "2026-10-31", full=True)  # said afterwards
    assert outcome.tables["opportunities"]["deleted"] == 1
    rows = SEPTEMBER.replace("300,EUR", "350,EUR")
    assert bring(tmp_path, to, rows, "2026-11-30", name="later.csv").tables["opportunities"]["deleted"] == 0  # it is back


def test_a_column_that_a_later_export_lacks_stays_as_it_was(tmp_path):
    to = tmp_path / "acme"
    bring(tmp_path, to, SEPTEMBER)
    header = HEADER.replace(",amount", "").replace(",expected_close_on", "")
    file = export(tmp_path, "short.csv", "D1,Ann,2026-08-03 10:00,EUR,Proposal,open,\nD2,,2026-09-10 10:00,EUR,Qualified,open,", header)
    importing.bring_in([file], to, exported_on=date(2026, 10, 31))
    deals = {row["opportunity_id"]: row for row in stored(to, "opportunities")}
    assert (deals["D1"]["amount"], deals["D1"]["stage"], deals["D1"]["expected_close_on"]) == (100, "Proposal", "2026-10-31")
    assert (deals["D2"]["amount"], deals["D2"]["owner"]) == (200, None)  # an empty cell is a newer value, a missing column is none
    assert story(to, "D1")[-1] == ("10-16 00:00", "Proposal", "open", 100, "diff")


@pytest.mark.parametrize(
    ("closed", "dated"),
    [
        ("2026-10-20 12:00", "10-20 12:00"),
        ("2026-09-12 12:00", "10-01 00:00"),  # set back: it was open at the end of September
        ("2026-12-31 12:00", "10-31 00:00"),  # set ahead: it was closed at the end of October
        ("2026-10-01", "10-01 00:00"),
        ("", "10-16 00:00"),
    ],
)
def test_a_close_is_dated_by_the_system_but_between_the_exports(tmp_path, closed, dated):
    to = tmp_path / "acme"
    bring(tmp_path, to, SEPTEMBER, "2026-09-30")
    bring(tmp_path, to, f"D1,Ann,2026-08-03 10:00,100,EUR,Lost,lost,{closed},2026-10-31", "2026-10-31")
    assert story(to, "D1")[-1] == (dated, "Lost", "lost", 100, "diff")


def test_changes_of_deals_that_skip_an_export_or_come_back(tmp_path):
    to = tmp_path / "acme"
    bring(tmp_path, to, "X,Ann,2026-08-03,1,EUR,A,open,,\nY,Ann,2026-08-03,1,EUR,Lost,lost,2026-08-20,", "2026-08-31")
    bring(tmp_path, to, "Z,Ann,2026-09-03,1,EUR,A,won,2026-09-20,", "2026-09-30")
    bring(tmp_path, to, "X,Ann,2026-08-03,1,EUR,B,open,,\nY,Ann,2026-08-03,1,EUR,A,open,,", "2026-10-31")
    # Between the two exports that have it: 1 September to 31 October.
    assert story(to, "X")[-1] == ("10-01 00:00", "B", "open", 1, "diff")
    assert story(to, "Y") == [
        ("08-03 00:00", None, "open", 1, "inferred"),
        ("08-20 00:00", "Lost", "lost", 1, "inferred"),
        ("10-01 00:00", "A", "open", 1, "diff"),
    ]
    assert story(to, "Z") == []  # born and closed between two exports: which stages it saw is not known


def test_files_of_one_day_are_one_export(tmp_path):
    to = tmp_path / "acme"
    bring(tmp_path, to, SEPTEMBER, "2026-09-30", full=True)
    bring(tmp_path, to, SEPTEMBER.replace("D1,Ann", "D1,Bob").replace("D2", "D9"), "2026-09-30", name="again.csv", full=True)
    bring(tmp_path, to, "D8,Ann,2026-09-01,1,EUR,A,open,,", "2026-09-30", name="again.csv")  # the same name, another content
    rows = stored(to, "opportunities")
    assert [(row["opportunity_id"], row["owner"], row["deleted_at"]) for row in rows][:2] == [("D1", "Bob", None), ("D2", "Ann", None)]
    assert len(rows) == 5
    assert not (to / "imports" / "tables" / "3" / "opportunity_history.parquet").exists()
    assert len(list((to / "imports" / "2026-09-30").iterdir())) == 3


def test_the_day_is_the_newest_in_the_files_and_never_a_planned_one(tmp_path):
    header = "activity_id,at,kind,direction,automated,done,owner"
    file = export(tmp_path, "calls.csv", "A1,2026-09-10 23:30,call,outbound,no,yes,Ann\nA2,2027-01-05 10:00,meeting,outbound,no,no,Ann", header)
    assert importing.bring_in([file], tmp_path / "acme").exported_on == date(2026, 9, 10)
    owners = export(tmp_path, "owners.csv", "Ann,Nord", "owner,team")
    with pytest.raises(ParameterError, match=r"the files hold no date of anything that happened; say when they were exported: --exported-on"):
        importing.bring_in([owners], tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_settings_are_those_of_the_newest_export_and_orders_pile_up(tmp_path):
    to = tmp_path / "acme"
    for month, rows in (("09", "O1,C1,2026-09-03,10"), ("10", "O2,C1,2026-10-03,20")):
        orders = export(tmp_path / month, "sales.csv", rows, "order_id,customer_id,at,amount")
        customers = export(tmp_path / month, "clients.csv", f"C{int(month) - 8},web", "customer_id,source")
        team = export(tmp_path / month, "team.csv", f"Ann,Nord {month}", "owner,team")
        importing.bring_in([orders, customers, team], to, exported_on=date(2026, int(month), 28))
    assert [row["order_id"] for row in stored(to, "orders")] == ["O1", "O2"]  # the second customer's first order is no orphan
    assert [row["customer_id"] for row in stored(to, "customers")] == ["C1", "C2"]
    assert stored(to, "owners") == [{"owner": "Ann", "team": "Nord 10"}]
    assert kpi.load(to).row_ledger["set_aside"].sum() == 0


# --- CRMs

PIPEDRIVE = "Deal - ID,Deal - Title,Deal - Value,Deal - Currency of Value,Deal - Stage,Deal - Status,Deal - Deal created,Deal - Won time,Deal - Owner"
PIPEDRIVE += ",Deal - Expected close date"
HUBSPOT = 'Record ID,Deal Name,Deal Stage,Pipeline,Amount,Currency,Create Date,Close Date,Deal owner,"Date entered ""Qualified (Sales)"""'
HUBSPOT += ',"Date entered ""Proposal (Sales)""",Colour'


def test_pipedrive_without_history_gets_one(tmp_path):
    to = tmp_path / "acme"
    first = export(tmp_path, "deals 1.csv", "7,Pump,500,USD,Qualified,Open,2026-09-02 09:00:00,,Ann,2026-10-15", PIPEDRIVE)
    text = importing.as_text(importing.bring_in([first], to, exported_on=date(2026, 9, 30)))
    second = export(tmp_path, "deals 2.csv", "7,Pump,600,USD,Proposal,Open,2026-09-02 09:00:00,,Ann,2026-12-15", PIPEDRIVE)
    importing.bring_in([second], to, exported_on=date(2026, 10, 31), system="pipedrive")
    assert story(to, "7")[-1] == ("10-16 00:00", "Proposal", "open", 600, "diff")
    assert tomllib_of(to)["company"]["currency"] == "USD"
    for line in ("deals 1.csv: Pipedrive deals", "opportunities: 1 rows found, 1 used, 0 set aside", "not in the export: stage history"):
        assert line in text
    assert "No history yet: the next export will show what changed." in text


def test_hubspot_dates_its_stages_and_the_values_come_from_the_exports(tmp_path):
    to = tmp_path / "acme"
    first = export(tmp_path, "deals.csv", "7,Pump,Qualified,Sales,500,EUR,2026-09-02 09:00,2026-10-31,Ann,2026-09-02 09:00,,red", HUBSPOT)
    outcome = importing.bring_in([first], to, exported_on=date(2026, 9, 30))
    assert "unknown headers: Colour" in importing.as_text(outcome)
    second = export(
        tmp_path, "deals.csv", "7,Pump,Proposal,Sales,600,EUR,2026-09-02 09:00,2026-12-31,Ann,2026-09-02 09:00,2026-10-05 10:00,red", HUBSPOT
    )
    importing.bring_in([second], to, exported_on=date(2026, 10, 31))
    assert story(to, "7") == [
        ("09-02 09:00", "Qualified", "open", 500, "entered_dates"),  # as it was seen then, not as it is today
        ("10-05 10:00", "Proposal", "open", 600, "entered_dates"),
        ("10-16 00:00", "Proposal", "open", 600, "diff"),  # the expected close was put off
    ]
    assert kpi.load(to).row_ledger["set_aside"].sum() == 0


def test_a_history_exported_again_is_there_once_and_finds_older_deals(tmp_path):
    to = tmp_path / "acme"
    deals = export(
        tmp_path, "o.csv", "006A,Pump,Proposal,500,2026-12-31,2026-09-02T09:00:00Z,Ann", "Id,Name,StageName,Amount,CloseDate,CreatedDate,OwnerId"
    )
    header = "Id,OpportunityId,StageName,Amount,CloseDate,CreatedDate,Probability,ForecastCategory"
    lines = [
        "0080,006A,Qualified,500,2026-12-31,2026-09-02T09:00:00Z,10,Pipeline",
        "0081,006A,Proposal,500,2026-12-31,2026-09-12T09:00:00Z,10,Pipeline",
    ]
    importing.bring_in([deals, export(tmp_path, "h.csv", "\n".join(lines), header)], to, exported_on=date(2026, 9, 30))
    more = "0082,006A,Negotiation,500,2026-12-31,2026-10-12T09:00:00Z,10,Pipeline"
    importing.bring_in([export(tmp_path, "h2.csv", "\n".join([more, *reversed(lines)]), header)], to, exported_on=date(2026, 10, 31))
    history = stored(to, "opportunity_history")
    assert [row["stage"] for row in sorted(history, key=lambda row: row["changed_at"])] == ["Qualified", "Proposal", "Negotiation"]
    assert {row["owner"] for row in history} == {"Ann"}
    assert {row["origin"] for row in history} == {"history"}


# --- kpi.toml


def test_the_users_keys_and_comments_stay(acme, tmp_path):
    text = (acme / "kpi.toml").read_text("utf-8")
    edited = text.replace('name = "acme"', 'name = "Dupont & fils" # our name').replace(
        "[tables.opp", '# deals\n[pipeline]\nwatched_stage = "Proposal"\n\n[tables.opp', 1
    )
    (acme / "kpi.toml").write_bytes(edited.replace('timezone = "Europe/Paris"', 'timezone = "UTC"').encode())
    bring(tmp_path, acme, OCTOBER.replace("Proposal", "Negotiation"), "2026-11-30")
    after = (acme / "kpi.toml").read_text("utf-8")
    assert after == edited.replace('timezone = "Europe/Paris"', 'timezone = "UTC"').replace("tables/2/", "tables/3/").replace(
        "2026-11-01", "2026-12-01"
    )
    assert story(acme, "D4")[0][0] == "10-31 11:00"  # read again in the zone that kpi.toml says now


def test_an_end_of_data_that_the_user_chose_stays(acme, tmp_path):
    (acme / "kpi.toml").write_text((acme / "kpi.toml").read_text("utf-8").replace('"2026-11-01"', '"2026-10-15"'), "utf-8")
    bring(tmp_path, acme, OCTOBER.replace("Proposal", "Negotiation"), "2026-11-30")
    assert tomllib_of(acme)["company"]["exported_at"] == "2026-10-15"


def test_how_exports_are_written_can_be_said(tmp_path):
    to = tmp_path / "acme"
    rows = "D1,Ann,03/04/2026,1.234,EUR,A,open,,"
    with pytest.raises(DataError, match=r'write decimal = "," or decimal = "." under \[imports.opportunities\]'):
        bring(tmp_path, to, rows, "2026-04-30")
    assert not to.exists()
    to.mkdir()
    (to / "kpi.toml").write_text('[imports.opportunities]\ndates = "%d/%m/%Y"\ndecimal = ","\nvalues.stage = {A = "First"}\n', "utf-8")
    bring(tmp_path, to, rows, "2026-04-30")
    (deal,) = stored(to, "opportunities")
    assert (deal["created_at"], deal["amount"], deal["stage"]) == ("2026-04-03", 1234, "First")
    (to / "kpi.toml").write_text("[imports.opportunities]\npath = 'x.csv'\n", "utf-8")
    with pytest.raises(
        DataError, match=r"\[imports.opportunities\] path belongs under \[tables.opportunities\]; the files come from the command line"
    ):
        bring(tmp_path, to, rows, "2026-05-30")


def test_the_encoding_that_a_refusal_names_mends_an_import(tmp_path):
    to, file = tmp_path / "acme", tmp_path / "leads.csv"
    file.write_bytes("lead_id,created_at,source,owner\nL1,2026-03-02 09:00,Téléphone,Hélène\n".encode("cp850"))
    with pytest.raises(DataError, match=r'write its encoding under \[imports.leads\] in kpi.toml: "cp850" would make line 2 .*Téléphone,Hélène'):
        importing.bring_in([file], to, exported_on=date(2026, 3, 31))
    to.mkdir()
    (to / "kpi.toml").write_text('[imports.leads]\nencoding = "cp850"\n', "utf-8")
    importing.bring_in([file], to, exported_on=date(2026, 3, 31))
    assert [(lead["source"], lead["owner"]) for lead in stored(to, "leads")] == [("Téléphone", "Hélène")]


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("[tables.opportunities]\npath = 'mine.csv'\n", r"\[tables.opportunities\] of kpi.toml takes its rows from elsewhere; remove that section"),
        ("[company]\nname = 'A'\n", r"the data set has its own opportunities.csv; give it to kpi import with the exports and move it away"),
        (
            "tables = {}\n",
            r"kpi.toml is written in a way that cannot be edited; write its tables as sections of their own: \[tables.opportunities\] path =",
        ),
    ],
)
def test_a_table_of_the_users_own_is_not_replaced(tmp_path, toml, message):
    to = tmp_path / "acme"
    to.mkdir()
    (to / "kpi.toml").write_text(toml, "utf-8")
    name = "mine.csv" if "mine" in toml else "opportunities.csv" if "own " in message else "unread.csv"
    (to / name).write_text("opportunity_id,owner,stage,status\n1,A,s,open\n", "utf-8")
    before = bytes_of(to)
    with pytest.raises(DataError, match=message):
        bring(tmp_path, to, SEPTEMBER)
    assert bytes_of(to) == before


# --- failing


def test_a_refused_import_changes_nothing(acme, tmp_path):
    before = bytes_of(acme)
    strange = export(tmp_path, "strange.csv", "1,2", "x,y")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"strange.csv is no export that is known"):
        importing.bring_in([strange], tmp_path / "empty")
    assert not list((tmp_path / "empty").iterdir())
    with pytest.raises(DataError, match=r"strange.csv is no export that is known"):
        importing.bring_in([strange], acme)
    rows = OCTOBER.replace("won", "maybe")
    with pytest.raises(
        DataError, match=r"opportunities: 1 of 3 rows \(33.3%\) were set aside, more than the 5% allowed; most often: unknown value of status"
    ):
        bring(tmp_path, acme, rows, "2026-11-30")
    assert bring(tmp_path, acme, rows, "2026-11-30", max_set_aside=0.5).is_changed
    with pytest.raises(ParameterError, match="there is no file"):
        importing.bring_in([tmp_path / "none.csv"], acme)
    with pytest.raises(DataError, match=r"log.json cannot be read"):
        (acme / "imports" / "log.json").write_text("{", "utf-8")
        bring(tmp_path, acme, OCTOBER)
    assert set(before) - set(bytes_of(acme)) == {"imports/tables/2/opportunities.parquet", "imports/tables/2/opportunity_history.parquet"}


@pytest.mark.parametrize("call", ["shutil.copyfile", "pathlib.Path.rename", "pathlib.Path.replace", "pathlib.Path.write_bytes"])
def test_a_disk_that_fails_changes_nothing(acme, tmp_path, monkeypatch, call):
    before, calls = bytes_of(acme), 0

    def failing(*arguments, **more):
        nonlocal calls
        if ".new" in str(arguments[0]) or ".new" in str(arguments[1:2]):
            calls += 1
            raise OSError(28, "No space left on device", str(arguments[0]))
        return real(*arguments, **more)

    owner, _, name = call.rpartition(".")
    owner = shutil if owner == "shutil" else Path
    real = getattr(owner, name)
    monkeypatch.setattr(owner, name, failing)
    with pytest.raises(WriteError, match="No space left on device; nothing was imported"):
        bring(tmp_path, acme, OCTOBER.replace("Proposal", "Negotiation"), "2026-11-30")
    monkeypatch.undo()
    assert calls
    assert bytes_of(acme) == before
    assert not (acme / "imports" / ".new").exists()


KILLED = """
import os, shutil, sys
from pathlib import Path
from kpi.importing.transaction import reserved

def operate(step):  # the process ends at this step, without a word
    count = 0
    def counted(real):
        def call(*arguments, **more):
            nonlocal count
            count += 1
            if count == step:
                os._exit(9)
            return real(*arguments, **more)
        return call
    for owner, name in ((shutil, "copyfile"), (shutil, "rmtree"), (Path, "rename"), (Path, "replace"), (Path, "write_bytes"), (Path, "unlink")):
        setattr(owner, name, counted(getattr(owner, name)))
    with reserved(folder) as transaction:
        (transaction.prepare() / "t.parquet").write_text("new")
        transaction.commit(2, {"imports/a/1.csv": source, "imports/b/2.csv": source}, "new toml, tables/2", "new log")
    os._exit(0)

base, source = Path(sys.argv[1]), Path(sys.argv[2])
for step in range(1, 100):
    folder = base / str(step)
    shutil.copytree(base / "before", folder)
    child = os.fork()
    if not child:
        operate(step)
    _, status = os.waitpid(child, 0)
    if os.waitstatus_to_exitcode(status) == 0:
        print(step)
        break
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is copied just before it is killed")
def test_an_import_killed_at_any_step_leaves_the_old_state_or_the_new(tmp_path):
    before = tmp_path / "before"
    for name, text in {
        "kpi.toml": "old toml, tables/1",
        "imports/log.json": "old log",
        "imports/a/1.csv": "rows",
        "imports/tables/1/t.parquet": "old",
    }.items():
        (before / name).parent.mkdir(parents=True, exist_ok=True)
        (before / name).write_text(text, "utf-8")
    source = tmp_path / "2.csv"
    source.write_text("more", "utf-8")
    old = bytes_of(before)
    ended = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), str(source)], capture_output=True, text=True, check=True)
    steps = int(ended.stdout)
    assert steps > 8
    new = bytes_of(tmp_path / str(steps))
    assert set(new) - set(old) == {"imports/b/2.csv", "imports/tables/2/t.parquet"}
    seen = set()
    for step in range(1, steps):
        folder = tmp_path / str(step)
        toml = (folder / "kpi.toml").read_text("utf-8")
        version = toml[-1]
        seen.add(version)
        # Whoever reads now finds the whole of what kpi.toml names.
        assert (folder / "imports" / "tables" / version / "t.parquet").read_text("utf-8") == {"1": "old", "2": "new"}[version]
        with reserved(folder):
            pass
        assert bytes_of(folder) == (old if version == "1" else new), step
        assert not list((folder / "imports").glob(".*"))
    assert seen == {"1", "2"}


def test_two_imports_at_once_are_one_too_many(acme, tmp_path):
    with reserved(acme), pytest.raises(BusyError, match=r"another import into .* is running; wait for it to end"):
        bring(tmp_path, acme, OCTOBER)


# --- the command


def test_the_command_says_what_it_understood(tmp_path, capsys):
    file = export(tmp_path, "deals.csv", SEPTEMBER + "\nD5,Ann,soon,1,EUR,A,open,,")
    assert run(["import", str(file), "--to", str(tmp_path / "acme"), "--max-set-aside", "30"]) == 0
    said = capsys.readouterr().out
    for line in (
        "Exported on 2026-09-30 (the newest date in the files; say otherwise with --exported-on), taken as whole to the end of that day.",
        "  opportunities: 4 rows found, 3 used, 1 set aside",
        "    1 unreadable created_at: deals.csv:6 (created_at = 'soon')",
        "  company: time zone Europe/Paris, currency EUR ([company] in kpi.toml)",
        "  opportunities: 3 rows (3 new)",
        "The order of the stages is not known; import a file with the columns stage, position, status (open, won or lost).",
    ):
        assert line in said.splitlines()
    assert run(["import", str(file), "--to", str(tmp_path / "acme"), "--exported-on", "yesterday"]) == 2
    assert run(["import", str(tmp_path / "none.csv"), "--to", str(tmp_path / "acme")]) == 2
    assert run(["import", str(file), "--to", str(tmp_path / "other")]) == 3
    assert run(["import", str(file), "--to", str(file)]) == 6
    assert "cannot be written" in capsys.readouterr().err


# --- against what really happened


def snapshot(data, month: str) -> str:
    """What a CRM without history exports at a month's end."""
    deals = collect(facts.opportunities(data, data.as_of(Month.parse(month))))
    base = collect(data.table("opportunities").select("opportunity_id", "created_at", "currency"))
    deals = deals.drop(columns=["currency", "created_at"]).merge(base, on="opportunity_id")
    columns = ["opportunity_id", "owner", "created_at", "amount", "currency", "stage", "status", "closed_at", "expected_close_on", "source"]
    for name in ("created_at", "closed_at"):
        deals[name] = deals[name].dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    return deals[columns].sort_values("opportunity_id").to_csv(index=False)


@pytest.mark.slow
def test_history_from_exports_gives_the_numbers_of_the_true_history(sample, tmp_path):
    to, months = tmp_path / "acme", ("2026-07", "2026-08", "2026-09", "2026-10")
    order = tmp_path / "stages.csv"
    order.write_text(collect(sample.table("stages")).to_csv(index=False), "utf-8")
    for month in months:
        (tmp_path / f"{month}.csv").write_text(snapshot(sample, month), "utf-8")
        last = Month.parse(month).end - pd.Timedelta(days=1).to_pytimedelta()
        importing.bring_in([tmp_path / f"{month}.csv", order], to, exported_on=last)
    made = kpi.load(to)
    for month in months:
        now = sample.as_of(Month.parse(month))
        for metric in (pipeline.open_pipeline, pipeline.closed_win_rate):
            truth, found = metric(sample, as_of=now), metric(made, as_of=now)
            shared = [name for name in ("stage", "value", "n", "n_events", "n_open") if name in truth]
            pd.testing.assert_frame_equal(found[shared], truth[shared], obj=f"{metric.__name__} {month}")
    history = collect(made.table("opportunity_history"))
    assert set(history["origin"]) == {"diff", "inferred"}
    assert made.row_ledger["set_aside"].sum() == 0
