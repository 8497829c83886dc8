"""Queries of kpi.toml: what they can express, and that they can do nothing else."""

from __future__ import annotations

import gzip

import duckdb
import pandas as pd
import pytest
from written import column, connection, decided, read, reasons, rows, write

from kpi.errors import DataError, KpiError
from kpi.sources.readers import query

LOG = """case:id,Activity,Resource,time:timestamp,amount
T1,Create,Ann,2010-01-13T08:40:25.000+01:00,"1 000,50"
T1,Take in charge,Bob,2010-01-13T09:40:25.000+01:00,
T2,Create, Ann ,2010-07-13T08:40:25.000+02:00,
"""
TOML = """
[company]
timezone = "Europe/Rome"
[tables.leads]
files = ["log.csv.gz"]
query = '''select "case:id" as lead_id, min("time:timestamp"::timestamptz) as created_at, any_value(Resource) filter (Activity = 'Create') as owner
           from files[0] group by "case:id" '''
constants = {source = "ticket"}
values.owner = {Ann = "Anna"}
[tables.activities]
files = ["log.csv.gz"]
query = '''select row_number() over (order by "time:timestamp") as activity_id, "case:id" as lead_id, "time:timestamp" as at, Resource as owner
           from files[0] where Activity = 'Take in charge' -- the answer'''
constants = {kind = "task", direction = "outbound", automated = false, done = true}
"""


@pytest.fixture
def log(tmp_path):
    folder = write(tmp_path / "set", TOML)
    (folder / "log.csv.gz").write_bytes(gzip.compress(LOG.encode()))
    return folder


def refused(folder, query: str) -> str:
    write(folder, f'[company]\ntimezone = "UTC"\n[tables.leads]\nfiles = ["log.csv.gz"]\nquery = """{query}"""')
    with pytest.raises(KpiError) as error:
        read(folder)
    return str(error.value)


def test_an_event_log_becomes_leads_and_activities(log):
    reading, tables = read(log)
    assert [(row["lead_id"], str(row["created_at"]), row["owner"], row["source"]) for row in tables["leads"]] == [
        ("T1", "2010-01-13 07:40:25", "Anna", "ticket"),
        ("T2", "2010-07-13 06:40:25", "Anna", "ticket"),
    ]
    assert [(row["activity_id"], str(row["at"]), row["automated"], row["done"]) for row in tables["activities"]] == [
        ("1", "2010-01-13 08:40:25", False, True)
    ]
    assert [item.path for item in reading.inputs] == ["kpi.toml", "log.csv.gz"]
    assert ("time zone", "at: offsets in the data: 1") in decided(reading)


def test_local_times_mappings_and_checks_apply_to_the_answer(log):
    toml = """
    [company]
    timezone = "Europe/Paris"
    [tables.orders]
    files = ["log.csv.gz", "more*.csv"]
    query = '''select *, timestamp '2026-07-01 12:00' as t, '3,5' as a from (values (1, 'C1'), (1, 'C1'), (2, null)) v(n, c)
               where (select count(*) from files[1]) = 2'''
    columns = {order_id = "n", customer_id = "c", at = "t", amount = "a"}
    timezone = "America/New_York"
    """
    reading, tables = read(write(log, toml, more1="a,b\n1,2\n", more2="b,a\n1,2\n"))
    assert [(str(row["at"]), row["amount"]) for row in tables["orders"]] == [("2026-07-01 16:00:00", 3.5)]
    assert reasons(reading) == {"empty customer_id": 1, "duplicate key": 1}
    assert set(reading.set_aside["file"]) == {"log.csv.gz, more1.csv, more2.csv (query)"}


def test_the_answer_is_the_same_each_time(log):
    toml = TOML.replace("min(", "max(")
    answers = [read(write(log, toml))[0].set_aside for _ in range(2)]
    pd.testing.assert_frame_equal(*answers)


def test_a_parquet_file_can_be_queried(log):
    pd.DataFrame({"id": ["L1"], "t": pd.to_datetime(["2026-01-05 10:00"], utc=True)}).to_parquet(log / "events.parquet")
    query = "select id as lead_id, t as created_at, null as owner, 'web' as source from files[0]"
    toml = f'[tables.leads]\nfiles = ["events.parquet"]\nquery = "{query}"'
    before = (log / "events.parquet").read_bytes()
    tables = read(write(log, toml))[1]
    assert str(tables["leads"][0]["created_at"]) == "2026-01-05 10:00:00"
    assert (log / "events.parquet").read_bytes() == before


def test_a_query_could_not_write_over_its_file_even_if_it_got_past_the_check(log, monkeypatch):
    monkeypatch.setattr(query, "check_query", lambda *_: None)
    events = log / "events.parquet"
    pd.DataFrame({"id": ["L1"]}).to_parquet(events)
    before = events.read_bytes()
    writing = f"with x as (copy (select 1 as id) to '{events}' (format parquet, use_tmp_file false)) select * from x"
    write(log, f'[tables.leads]\nfiles = ["events.parquet"]\nquery = """{writing}"""')
    with pytest.raises(DataError, match=r"query in kpi\.toml fails: Permission Error"):
        read(log)
    assert events.read_bytes() == before


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        ("copy (select 1) to 'OUT'", "COPY"),
        ("attach 'OUT'", "ATTACH"),
        ("install httpfs", "LOAD"),
        ("set enable_external_access = true", "SET"),
        ("create table x as select 1", "CREATE"),
        ("pragma version", "PRAGMA"),
        ("select 1; select 2", "SELECT with SELECT"),
        ("", ""),
        ("with x as (copy (select 1) to 'OUT') select * from x", "SELECT with COPY"),
        ("with x as (insert into file_0 values (1) returning *) select * from x", "SELECT with INSERT"),
    ],
)
def test_only_one_select_is_run(log, query, kind):
    out = log.parent / "out"
    message = refused(log, query.replace("OUT", str(out)))
    assert message.endswith(f"query must be exactly one SELECT; it is {kind}") or not query
    assert not out.exists()


@pytest.mark.parametrize(
    "query",
    [
        "select * from read_csv('SECRET')",
        "select * from 'SECRET'",
        "select * from read_text('SECRET')",
        "select * from read_blob('SECRET')",
        "select * from glob('FOLDER/*')",
        "select * from sniff_csv('SECRET')",
        "select * from parquet_metadata('FOLDER/p.parquet')",
        "select * from read_parquet('FOLDER/p.parquet')",
        "select * from 'FOLDER/d.db'",
        "select * from query('select * from read_text(''SECRET'')')",
        "select * from query('with x as (copy (select 1) to ''SECRET'') select * from x')",
        "select * from json_execute_serialized_sql(json_serialize_sql('select * from read_text(''SECRET'')'))",
        "select * from read_text('FOLDER/set/log.csv.gz')",
        "select * from secret_frame",
        "select getenv('HOME')",
        "select * from files[1]",
        "select * from read_text('/proc/self/environ')",
    ],
)
def test_a_query_reaches_nothing_but_its_files(log, query):
    folder = log.parent
    secret = folder / "secret.csv"
    secret.write_text("a,b\n1,2\n")
    pd.DataFrame({"a": [1]}).to_parquet(folder / "p.parquet")
    duckdb.connect(str(folder / "d.db")).close()
    secret_frame = pd.DataFrame({"lead_id": ["seen"]})
    message = refused(log, query.replace("SECRET", str(secret)).replace("FOLDER", str(folder)))
    assert "[tables.leads] query in kpi.toml fails" in message
    assert secret.read_text() == "a,b\n1,2\n"
    assert len(secret_frame) == 1


def test_a_query_that_fails_while_running(log):
    assert "fails" in refused(log, "select cast(Activity as integer) as lead_id from files[0]")
    assert "cannot be understood" in refused(log, "selec 1")


def test_files_with_broken_records_are_refused_before_a_query_counts_on_them(log):
    (log / "log.csv.gz").write_bytes(gzip.compress((LOG + "T3,Create\n").encode()))
    with pytest.raises(DataError, match=r"log\.csv\.gz row 5 has the wrong number of cells"):
        read(log)
    (log / "log.csv.gz").write_bytes(gzip.compress(LOG.replace("Resource", "Activity").encode()))
    with pytest.raises(DataError, match=r"has the column 'Activity' more than once"):
        read(log)


def test_cells_reach_a_query_as_stripped_text(log):
    opened = connection()
    query = (
        """select "case:id" as lead_id, "time:timestamp" as created_at, Resource as owner, amount as source from files[0] where Activity = 'Create'"""
    )
    toml = f"[tables.leads]\nfiles = ['log.csv.gz']\nquery = '''{query}'''"
    reading, tables = read(write(log, toml), opened)
    assert column(tables["leads"], "owner") == ["Ann", "Ann"]
    assert column(tables["leads"], "source") == ["1 000,50", None]
    assert len(rows(opened, reading.tables["leads"])) == 2
