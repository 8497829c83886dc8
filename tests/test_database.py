"""Tables of a database: PostgreSQL started for the tests, SQLite and DuckDB files; read only, one SELECT, no password anywhere."""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import socket
import sqlite3
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import quote

import duckdb
import pandas as pd
import pyarrow as pa
import pytest
from written import column, decided, read, reasons, write

import kpi
from kpi import compute, pipeline
from kpi.engine import collect
from kpi.errors import DataError
from kpi.report import manifest
from kpi.schema import TABLES

PASSWORD = "pa:ss@w/rd %40"


@pytest.fixture(scope="module")
def binaries() -> Path:
    found = [Path(path).parent for path in (shutil.which("initdb"),) if path] or sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    found = [folder for folder in found if (folder / "initdb").exists()]
    if found:
        return found[-1].resolve()
    if os.environ.get("CI"):
        pytest.fail("CI needs PostgreSQL for the databases: install the package postgresql")
    pytest.skip("no PostgreSQL here")


@pytest.fixture(scope="module")
def server(binaries):
    """A PostgreSQL of our own on a free port, with a superuser and a password; started as another user where we are root."""
    folder = Path(tempfile.mkdtemp(prefix="kpi-pg-"))
    user = "postgres" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
    (folder / "password").write_text(PASSWORD, "utf-8")
    if os.getuid() == 0:
        for path in (folder, folder / "password"):
            shutil.chown(path, user)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def run(tool: str, *arguments: str) -> None:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
        identity = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []} if os.getuid() == 0 else {}
        command = [str(binaries / tool), *arguments]
        subprocess.run(command, check=True, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **identity)

    data = str(folder / "data")
    try:
        run(
            "initdb", "-D", data, "-U", "kpi", "-A", "scram-sha-256", "--pwfile", str(folder / "password"), "--no-sync", "-E", "UTF8", "--locale", "C"
        )
        settings = f"-p {port} -c listen_addresses=127.0.0.1 -c fsync=off -k {folder}"
        run("pg_ctl", "-D", data, "-w", "-o", settings, "-l", str(folder / "log"), "start")
        yield f"postgresql://kpi@127.0.0.1:{port}/postgres"
    finally:
        if (folder / "data" / "postmaster.pid").exists():
            run("pg_ctl", "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def url(server, monkeypatch):
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    return server


def execute(url: str, *statements: str) -> None:
    from adbc_driver_postgresql import dbapi

    with dbapi.connect(url.replace("kpi@", f"kpi:{quote(PASSWORD, safe='')}@"), autocommit=True) as opened, opened.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def ingest(url: str, tables: dict[str, pa.Table]) -> None:
    from adbc_driver_postgresql import dbapi

    with dbapi.connect(url.replace("kpi@", f"kpi:{quote(PASSWORD, safe='')}@")) as opened, opened.cursor() as cursor:
        for name, rows in tables.items():
            cursor.adbc_ingest(name, rows, mode="replace")
        opened.commit()


def toml(url: str, **tables: str) -> str:
    sections = [f"[tables.{name}.database]\nurl = '{url}'\n{rest}\n" for name, rest in tables.items()]
    return "\n".join(['[company]\ntimezone = "Europe/Paris"\n', *sections])


def leads_of(url: str, folder: Path, rest: str) -> list[dict]:
    return read(write(folder, toml(url, leads=rest)))[1]["leads"]


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(DataError) as refused:
        read(write(folder, text))
    return str(refused.value)


# --- PostgreSQL


def stored_tables(data: kpi.Dataset) -> dict[str, pa.Table]:
    """Canonical tables as a warehouse would hold them: instants with their zone, dates as dates."""
    found = {}
    for name in [name for name in TABLES if data.has(name)]:
        names = [column.name for column in TABLES[name].columns if data.has(name, column.name)]
        frame = collect(data.table(name).select(*names))
        for column_ in [TABLES[name][spec] for spec in names]:
            if column_.kind == "instant" and data.precision[name, column_.name] == "day":
                frame[column_.name] = frame[column_.name].dt.tz_localize("UTC").dt.tz_convert(data.company.timezone).dt.date
            elif column_.kind == "instant":
                frame[column_.name] = frame[column_.name].dt.tz_localize("UTC")
            elif column_.kind == "date":
                frame[column_.name] = pd.to_datetime(frame[column_.name]).dt.date
        found[name] = pa.Table.from_pandas(frame, preserve_index=False)
    return found


@pytest.fixture(scope="module")
def warehouse(server, sample, root, tmp_path_factory) -> Path:
    """A data set whose tables are those of the sample company, in PostgreSQL."""
    tables, folder = stored_tables(sample), tmp_path_factory.mktemp("warehouse")
    ingest(server, tables)
    company = (root / "data" / "sample" / "kpi.toml").read_text("utf-8").partition("[tables.")[0]
    sections = toml(server, **{name: f'table = "{name}"' for name in tables}).partition("\n\n")[2]
    (folder / "kpi.toml").write_text(company + sections, "utf-8")
    return folder


def test_tables_and_metrics_on_postgresql_equal_those_on_files(url, sample, warehouse):
    data = kpi.load(warehouse)
    assert data.provided == sample.provided
    assert data.precision == sample.precision
    for name in data.provided:
        order = [column.name for column in TABLES[name].columns]
        pd.testing.assert_frame_equal(collect(data.table(name), order), collect(sample.table(name), order), obj=name)
    now = sample.as_of(sample.last_month())
    for metric in (pipeline.closed_win_rate, pipeline.open_pipeline):
        pd.testing.assert_frame_equal(metric(data, as_of=now), metric(sample, as_of=now))
    again = kpi.load(warehouse)
    assert [item.sha256 for item in again.inputs] == [item.sha256 for item in data.inputs]
    assert len({item.sha256 for item in data.inputs}) == 1 + len(data.provided)
    written = manifest.dumps([[item.path, item.sha256] for item in data.inputs]) + data.decisions.to_csv() + data.set_aside.to_csv()
    for secret in (PASSWORD, quote(PASSWORD, safe=""), "127.0.0.1"):
        assert secret not in written


@pytest.mark.slow
def test_every_headline_on_postgresql_equals_that_on_files(url, sample, warehouse):
    month = sample.last_month()
    pd.testing.assert_frame_equal(compute.metrics(kpi.load(warehouse), month), compute.metrics(sample, month))


def test_types_of_postgresql_are_read_without_loss(url, tmp_path):
    execute(
        url,
        "drop table if exists deals",
        "create table deals (opportunity_id numeric(20), amount numeric(12,2), paid money, created_at timestamptz, closed_at timestamp, "
        "expected_close_on date, stage varchar(20), status char(6), owner uuid, source jsonb, product int[], customer_id real)",
        "insert into deals values (12345678901234567890, 1234.50, 3.5, '2026-03-02 09:00+01', '2026-03-29 10:00', '2026-04-01', 'Won', 'won', "
        "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{\"a\": 1}', '{1,2}', 0.1), (7, 'NaN', 1, 'infinity', null, 'infinity', 'Qualified', 'open', "
        "null, null, null, null)",
    )
    sql = 'query = "select * from deals -- all of them"'
    reading, tables = read(write(tmp_path, toml(url, opportunities=sql)))
    first, second = tables["opportunities"]
    assert first["opportunity_id"] == "12345678901234567890"
    assert first["amount"] == 1234.5
    assert first["created_at"] == pd.Timestamp("2026-03-02 08:00")
    assert first["closed_at"] == pd.Timestamp("2026-03-29 08:00")  # local time of the company
    assert str(first["expected_close_on"]) == "2026-04-01"
    assert (first["status"], first["owner"], first["customer_id"]) == ("won", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "0.1")
    assert (first["source"], first["product"]) == ('{"a": 1}', "{1,2}")
    assert [second[name] for name in ("amount", "created_at", "expected_close_on")] == [None] * 3
    assert ("time zone", "closed_at: Europe/Paris") in decided(reading)


def test_money_is_money_and_not_cents(url, tmp_path):
    execute(url, "drop table if exists paid", "create table paid (p money)", "insert into paid values (1234.5)")
    query = "query = \"select 'O1' as opportunity_id, 'a' as owner, p as amount, 's' as stage, 'open' as status from paid\""
    assert read(write(tmp_path, toml(url, opportunities=query)))[1]["opportunities"][0]["amount"] == 1234.5


def test_rows_set_aside_name_the_database(url, tmp_path):
    execute(
        url, "create schema if not exists crm", 'drop table if exists crm."My leads"', 'create table crm."My leads" (lead_id text, created_at text)'
    )
    execute(url, """insert into crm."My leads" values ('L1', '2026-03-02 10:00'), (null, '2026-03-02 11:00'), ('L3', 'soon')""")
    text = toml(url, leads='table = "crm.My leads"') + '[tables.leads.constants]\nsource = "web"\nowner = "Ann"\n'
    reading, tables = read(write(tmp_path, text))
    assert column(tables["leads"], "lead_id") == ["L1"]
    assert reasons(reading) == {"empty lead_id": 1, "unreadable created_at": 1}
    assert set(reading.set_aside["file"]) == {"postgres/crm.My leads (database)"}


@pytest.mark.parametrize(
    "query",
    [
        "insert into kept values (1)",
        "delete from kept",
        "with gone as (delete from kept returning *) select * from gone",
        "select 1; delete from kept",
        "select 1) as a; delete from kept; select * from (select 1",
        "select 1) to stdout; delete from kept; --",
        "select lo_create(99), nextval('numbers')",
        "select set_config('transaction_read_only', 'off', false)",
        "copy kept to stdout",
    ],
)
def test_a_query_cannot_change_the_database(url, tmp_path, query):
    execute(url, "drop table if exists kept", "create table kept (n int)", "insert into kept values (7)", "create sequence if not exists numbers")
    message = refusal(tmp_path, toml(url, leads=f'query = "{query}"'))
    assert message.startswith("[tables.leads.database] postgres/query for leads (database): ")
    # the same rows are still there
    rows = leads_of(url, tmp_path / "after", "query = \"select n as lead_id, now() as created_at, 'a' as source, 'b' as owner from kept\"")
    assert column(rows, "lead_id") == ["7"]


def test_the_password_comes_from_the_environment_and_is_never_told(server, tmp_path, monkeypatch):
    rest = "query = \"select 'L1' as lead_id, now() as created_at, 'a' as source, 'b' as owner\""
    monkeypatch.setenv("PGPASSWORD", "wrong:secret")
    message = refusal(tmp_path, toml(server, leads=rest))
    assert message == '[tables.leads.database] postgres/query for leads (database): password authentication failed for user "kpi"'
    monkeypatch.setenv("CRM_PASSWORD", PASSWORD)
    assert len(leads_of(server, tmp_path, f'{rest}\npassword_env = "CRM_PASSWORD"')) == 1
    monkeypatch.delenv("CRM_PASSWORD")
    message = refusal(tmp_path, toml(server, leads=f'{rest}\npassword_env = "CRM_PASSWORD"'))
    assert message == "[tables.leads.database] password_env names the environment variable CRM_PASSWORD, which is not set"


def test_a_server_that_is_not_there_is_told(tmp_path, monkeypatch):
    pytest.importorskip("adbc_driver_postgresql")
    monkeypatch.setenv("PGPASSWORD", "topsecret")
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        message = refusal(tmp_path, toml(f"postgresql://kpi@127.0.0.1:{taken.getsockname()[1]}/db", leads='table = "leads"'))
    assert "Connection refused" in message
    assert "topsecret" not in message


# --- kpi.toml


PASSWORDS = ("postgresql://kpi:topsecret@host/db", "postgresql://kpi:top/se@cret@host/db", "postgresql://host/db?user=kpi&password=topsecret")
PASSWORDS += ("mysql://kpi:topsecret@host/db",)
STRANGE = ("host=h user=kpi password=topsecret", "topsecret", "sqlite://topsecret/file.db")


@pytest.mark.parametrize(
    ("shape", "url"),
    [
        *[("[tables.leads.database]\nurl = '{}'\ntable = 'leads'\n", url) for url in (*PASSWORDS, *STRANGE)],
        *[("[tables.leads]\npath = '{}'\n", url) for url in PASSWORDS],
    ],
)
def test_a_password_in_the_url_is_refused_and_not_repeated(tmp_path, url, shape):
    message = refusal(tmp_path, shape.format(url))
    assert "secret" not in message
    assert "se@cret" not in message
    assert "[tables.leads" in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[tables.leads]\ndatabase = 'postgresql://a:topsecret@h/d'",
            "[tables.leads.database] is a section with the keys url, table, query, password_env",
        ),
        ("[tables.leads.database]\nurl = 'sqlite:///a.db'", "[tables.leads.database] needs either a table or a query"),
        (
            "[tables.leads.database]\nurl = 'sqlite:///a.db'\ntable = 'a'\nquery = 'select 1'",
            "[tables.leads.database] needs either a table or a query",
        ),
        ("[tables.leads.database]\nurl = 'sqlite:///a.db'\ntable = 3", "[tables.leads.database] table must be a text"),
        (
            "[tables.leads.database]\nurl = 'sqlite:///a.db'\ntable = 'a'\npassword = 'topsecret'",
            "[tables.leads.database] has the unknown key 'password'; passwords come from the environment, password_env names the variable. "
            "It may have url, table, query, password_env",
        ),
        (
            "[tables.leads.database]\nurl = 'postgresql://h/d'\ntable = 'a'\npassword_env = 'top secret!'",
            "[tables.leads.database] password_env must be the name of an environment variable, not the password itself",
        ),
        (
            "[tables.leads]\npath = 'a.csv'\n[tables.leads.database]\nurl = 'sqlite:///a.db'\ntable = 'a'",
            "[tables.leads] takes its rows from a database: path, files, query, delimiter and encoding do not go with it",
        ),
        ("[tables.leads.database]\nurl = 'sqlite:///a.db'\ntable = 'a'", "[tables.leads.database] names 'a.db', but no such file is in the data set"),
    ],
)
def test_each_refusal_names_its_key(tmp_path, text, message):
    assert refusal(tmp_path, text) == message


# --- files of SQLite and DuckDB


def bytes_of(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir() if path.name != "kpi.toml"}


def sqlite_file(folder: Path, *statements: str) -> Path:
    folder.mkdir(exist_ok=True)
    opened = sqlite3.connect(folder / "crm.db", isolation_level=None)
    for statement in statements:
        opened.execute(statement)
    opened.close()
    return folder


LEADS = (
    "create table leads (lead_id, created_at text, source text, owner text)",
    "insert into leads values (1, '2026-03-02 09:00:00', 'web', 'Ann'), ('x2', '2026-03-03 10:30:00', ' ', null)",
)


def test_sqlite_is_read_cell_by_cell_and_left_alone(tmp_path):
    sqlite_file(
        tmp_path,
        *LEADS,
        "create table deals (opportunity_id integer, owner text, amount, stage text, status text, closed_at)",
        "insert into deals values (9007199254740993, 'Ann', 12.5, 's', 'Open', null), (2, 'Ann', 7, 's', 'won', '2026-03-04')",
    )
    before = bytes_of(tmp_path)
    text = toml("sqlite:///crm.db", leads='table = "leads"', opportunities='query = "select * from deals where amount > 0;"')
    reading, tables = read(write(tmp_path, text))
    assert bytes_of(tmp_path) == before
    assert [item.path for item in reading.inputs] == ["kpi.toml", "crm.db"]
    assert reading.inputs[1].sha256 == before["crm.db"]
    assert column(tables["leads"], "lead_id") == ["1", "x2"]
    assert column(tables["leads"], "source") == ["web", None]
    assert column(tables["opportunities"], "opportunity_id") == ["2", "9007199254740993"]
    assert column(tables["opportunities"], "amount") == [7.0, 12.5]
    assert column(tables["opportunities"], "status") == ["won", "open"]


def test_changes_that_sqlite_keeps_beside_the_file_are_read_too(tmp_path):
    sqlite_file(tmp_path, "pragma journal_mode = wal")
    opened = sqlite3.connect(tmp_path / "crm.db", isolation_level=None)  # stays open, so nothing is written back
    for statement in LEADS:
        opened.execute(statement)
    before = bytes_of(tmp_path)
    assert column(leads_of("sqlite:///crm.db", tmp_path, 'table = "leads"'), "lead_id") == ["1", "x2"]
    assert bytes_of(tmp_path) == before
    opened.close()


@pytest.mark.parametrize(
    "query",
    [
        "delete from leads",
        "select 1; delete from leads",
        "select 1) as a; delete from leads; --",
        "attach 'other.db' as other",
        "select load_extension('other.so')",
        "pragma journal_mode = wal",
    ],
)
def test_a_query_cannot_change_a_sqlite_file(tmp_path, query):
    sqlite_file(tmp_path, *LEADS)
    before = bytes_of(tmp_path)
    assert refusal(tmp_path, toml("sqlite:///crm.db", leads=f'query = "{query}"')).startswith("[tables.leads.database] crm.db cannot be read: ")
    assert bytes_of(tmp_path) == before


def test_a_file_that_is_no_database_is_told(tmp_path):
    write(tmp_path, leads="lead_id\n1\n")
    for kind in ("sqlite", "duckdb"):
        message = refusal(tmp_path, toml(f"{kind}:///leads.csv", leads='table = "leads"'))
        assert message.startswith("[tables.leads.database] leads.csv cannot be read: ")


def duckdb_file(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    with duckdb.connect(str(folder / "crm.duckdb")) as opened:
        opened.execute("create type origin as enum ('web', 'fair')")
        opened.execute("create table leads (lead_id bigint, created_at timestamptz, source origin, owner varchar)")
        opened.execute("insert into leads values (1, '2026-03-02 09:00:00+01', 'web', 'Ann'), (2, '2026-03-03 10:30:00+01', 'fair', 'Bob')")
    return folder


def test_a_duckdb_file_is_read_and_left_alone(tmp_path):
    duckdb_file(tmp_path)
    before = bytes_of(tmp_path)
    rows = leads_of("duckdb:///crm.duckdb", tmp_path, 'table = "main.leads"')
    assert column(rows, "lead_id") == ["1", "2"]
    assert column(rows, "source") == ["web", "fair"]
    assert rows[0]["created_at"] == pd.Timestamp("2026-03-02 08:00")
    absolute = leads_of(f"duckdb:///{tmp_path / 'crm.duckdb'}", tmp_path, 'query = "from leads where lead_id = 2"')
    assert column(absolute, "lead_id") == ["2"]
    assert bytes_of(tmp_path) == before


@pytest.mark.parametrize("query", ["delete from leads", "select 1; select 2", "select * from read_csv('kpi.toml')", "select * from 'kpi.toml'"])
def test_a_query_on_a_duckdb_file_reaches_nothing_else(tmp_path, query):
    duckdb_file(tmp_path)
    before = bytes_of(tmp_path)
    assert refusal(tmp_path, toml("duckdb:///crm.duckdb", leads=f'query = "{query}"')).startswith("[tables.leads")
    assert bytes_of(tmp_path) == before
