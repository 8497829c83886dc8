from __future__ import annotations

import inspect
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import kpi
from kpi import pipeline, response_time, retention
from kpi.dataset.segments import parse_where
from kpi.engine import collect
from kpi.errors import DataError, KpiError, MissingTable, ParameterError, SchemaError
from kpi.periods import Month, Window
from kpi.schema import renamed

PARIS = {"timezone": "Europe/Paris"}


def stamps(*texts: str) -> pd.Series:
    return pd.Series(texts, dtype="datetime64[us]")


def tables() -> dict[str, pd.DataFrame]:
    """Two teams; A and B of Nord, C of Sud; lead L4 and opportunity O4 of nobody."""
    return {
        "leads": pd.DataFrame(
            {
                "lead_id": ["L1", "L2", "L3", "L4"],
                "created_at": stamps("2026-08-01 10:00", "2026-08-15 10:00", "2026-09-01 10:00", "2026-09-15 10:00"),
                "source": ["web", "fair", "web", None],
                "owner": ["A", "B", "C", None],
            }
        ),
        "activities": pd.DataFrame(
            {
                "activity_id": [f"X{i}" for i in range(6)],
                "lead_id": ["L1", "L2", "L3", "L4", None, None],
                "opportunity_id": [None, None, None, None, "O1", "O3"],
                "at": stamps("2026-08-01 10:05", "2026-08-15 12:00", "2026-09-01 10:10", "2026-09-16 10:00", "2026-09-03 10:00", "2026-09-20 10:00"),
                "kind": "call",
                "direction": "outbound",
                "automated": False,
                "done": True,
                "owner": ["A", "B", "C", "A", "A", "C"],
            }
        ),
        "opportunities": pd.DataFrame(
            {
                "opportunity_id": ["O1", "O2", "O3"],
                "lead_id": ["L1", None, "L3"],
                "customer_id": ["K1", None, "K2"],
                "owner": ["A", "C", "C"],
                "created_at": stamps("2026-08-03 10:00", "2026-08-20 10:00", "2026-09-02 10:00"),
                "amount": [100.0, 200.0, 300.0],
                "stage": ["Won", "Offer", "Won"],
                "status": ["won", "open", "won"],
                "closed_at": stamps("2026-09-05 10:00", None, "2026-09-25 10:00"),
                "source": ["web", "fair", "web"],
            }
        ),
        "customers": pd.DataFrame(
            {"customer_id": ["K1", "K2", "K3"], "segment": ["small", "large", "large"], "source": ["web", "web", "fair"], "owner": ["A", "C", "B"]}
        ),
        "orders": pd.DataFrame(
            {
                "order_id": ["1", "2", "3", "4"],
                "customer_id": ["K1", "K2", "K3", "K3"],
                "at": stamps("2026-09-05 10:00", "2026-09-25 10:00", "2026-07-01 10:00", "2026-09-30 21:59:59"),
                "amount": [100.0, 300.0, 50.0, 60.0],
            }
        ),
        "owners": pd.DataFrame({"owner": ["A", "B", "C"], "team": ["Nord", "Nord", "Sud"]}),
    }


@pytest.fixture(scope="module", params=["duckdb", pytest.param("polars", marks=pytest.mark.slow)])
def data(request) -> kpi.Dataset:
    return kpi.Dataset(**tables(), **PARIS, engine=request.param)


def keys(data: kpi.Dataset, table: str) -> list[str]:
    column = {"leads": "lead_id", "activities": "activity_id", "opportunities": "opportunity_id", "customers": "customer_id", "orders": "order_id"}[
        table
    ]
    return collect(data.table(table).select(column), [column])[column].tolist()


# --- load


def test_load_takes_the_folder_or_its_toml_and_looks_upward(root, monkeypatch):
    folder = root / "data" / "sample" / "online_retail"
    by_folder, by_toml = kpi.load(folder), kpi.load(str(folder / "kpi.toml"))
    monkeypatch.chdir(root / "notebooks")
    from_notebooks = kpi.load("data/sample/online_retail")
    for data in (by_folder, by_toml, from_notebooks):
        assert data.company.name == "UCI Online Retail"
        assert (data.company.currency, data.company.timezone, data.company.language, data.company.country) == ("GBP", "Europe/London", "en", "GB")
        assert str(data.last_month()) == "2011-11"
        assert str(data.first_month()) == "2010-12"
        assert not data.company.simulated
    assert by_folder.engine.name == "duckdb"


def test_load_refuses_what_is_not_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="nowhere"):
        kpi.load("nowhere")
    with pytest.raises(DataError, match=r"kpi\.toml"):
        kpi.load(tmp_path)
    with pytest.raises(ParameterError, match="engine 'sqlite' is unknown; use one of duckdb, polars"):
        kpi.Dataset(**tables(), engine="sqlite")


def test_sample_tells_its_company_and_accounts_for_every_row(sample):
    assert sample.company.name == "Ateliers Vauclair"
    assert sample.company.simulated is True
    assert sample.company.exported_at == pd.Timestamp("2026-11-03 23:00")  # midnight in Paris
    assert str(sample.last_month()) == "2026-10"
    assert sample.teams() == ["Nord", "Partenaires", "Sud"]
    ledger = sample.row_ledger
    assert list(ledger.columns) == ["table", "found", "used", "set_aside", "reason", "amount", "message", "column"]
    assert (ledger["found"] == ledger["used"] + ledger["set_aside"]).all()
    assert ledger.groupby("table")["used"].sum()["leads"] == 6000
    assert list(sample.set_aside.columns) == ["table", "file", "row", "column", "value", "reason"]
    assert list(sample.decisions.columns) == ["table", "file", "decision", "value"]
    assert {Path(item.path).name for item in sample.inputs} >= {"leads.csv", "orders.csv"}
    assert all(len(item.sha256) == 64 and item.bytes > 0 for item in sample.inputs)


def test_notes_are_read_with_the_data(sample):
    assert "Nord" in sample.note(Month.parse("2026-10"))
    assert sample.note(Month.parse("2026-09")) == ""
    assert kpi.Dataset(**tables()).note(Month.parse("2026-10")) == ""


def test_a_note_that_is_not_utf8_is_refused(tmp_path):
    (tmp_path / "kpi.toml").write_text('[company]\nname = "A"\n', "utf-8")
    tables()["orders"].to_csv(tmp_path / "orders.csv", index=False)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "2026-09.md").write_bytes("été".encode("cp1252"))
    with pytest.raises(DataError, match=r"notes/2026-09\.md is not UTF-8; save it as UTF-8"):
        kpi.load(tmp_path).note(Month.parse("2026-09"))


# --- frames


def test_any_frame_will_do(tmp_path):
    orders = tables()["orders"]
    expected = retention.value_to_date(kpi.Dataset(orders=orders, **PARIS), as_of="2026-10-01")
    assert expected["value"].tolist() == [170.0]
    arrow = pa.Table.from_pandas(orders, preserve_index=False)
    orders.to_parquet(tmp_path / "orders.parquet")
    connection = duckdb.connect()
    connection.register("given", arrow)
    zoned = orders.assign(at=orders["at"].dt.tz_localize("UTC").dt.tz_convert("America/Sao_Paulo"))
    given = (pl.from_pandas(orders), arrow, connection.sql("select * from given"), tmp_path / "orders.parquet", zoned)
    for frame in given:
        found = retention.value_to_date(kpi.Dataset(orders=frame, **PARIS), as_of="2026-10-01")
        pd.testing.assert_frame_equal(found, expected)


def test_a_missing_column_is_named_with_what_there_is():
    with pytest.raises(SchemaError, match="amount") as error:
        kpi.Dataset(orders=tables()["orders"].drop(columns="amount"))
    assert "customer_id" in str(error.value), "what the table has is told"
    with pytest.raises(DataError, match="no dated row in orders"):
        kpi.Dataset(orders=tables()["orders"].assign(at="soon"))


def test_input_frames_are_left_alone(data):
    given, before = tables(), tables()
    more = kpi.Dataset(**given, **PARIS)
    response_time.answered_within(more, as_of="2026-10-01", window=Window(date(2026, 8, 1), date(2026, 10, 1)))
    more.where(team="Nord")
    for name, frame in given.items():
        pd.testing.assert_frame_equal(frame, before[name])


def test_no_dated_row_is_refused():
    with pytest.raises(DataError, match="no dated row"):
        kpi.Dataset(orders=tables()["orders"].iloc[:0])
    with pytest.raises(KpiError):
        kpi.Dataset()


# --- tables and columns


def test_has_tells_tables_and_columns(data):
    assert data.has("leads")
    assert data.has("leads", "source")
    assert not data.has("leads", "assigned_at")
    assert not data.has("contracts")
    assert not data.has("contracts", "start_on")


def test_missing_tables_and_columns_say_where_to_describe_them(data):
    with pytest.raises(MissingTable, match=r"the data set has no table contracts; describe it under \[tables\.contracts\] in kpi\.toml") as error:
        data.table("contracts")
    assert (error.value.table, error.value.column) == ("contracts", "")
    with pytest.raises(MissingTable, match="leads lacks the column assigned_at") as error:
        data.table("leads", "source", "assigned_at")
    assert (error.value.table, error.value.column, error.value.status) == ("leads", "assigned_at", 3)


def test_columns_not_provided_are_there_empty(data):
    assert collect(data.table("leads").select("country"))["country"].isna().all()


# --- time


def test_a_months_report_is_dated_local_midnight(data):
    assert data.as_of(Month.parse("2026-03")) == pd.Timestamp("2026-03-31 22:00")
    assert data.as_of(Month.parse("2026-10")) == pd.Timestamp("2026-10-31 23:00")
    assert data.as_of(Month.parse("2026-12")) == pd.Timestamp("2026-12-31 23:00")


@pytest.mark.parametrize(
    ("given", "utc"),
    [
        ("2026-09-01", "2026-08-31 22:00"),
        (date(2026, 9, 1), "2026-08-31 22:00"),
        ("2026-09-01 12:00", "2026-09-01 10:00"),
        ("2026-09-01T12:00:00+00:00", "2026-09-01 12:00"),
        (datetime(2026, 9, 1, 12, tzinfo=UTC), "2026-09-01 12:00"),
        (pd.Timestamp("2026-09-01 12:00"), "2026-09-01 12:00"),
        (pd.Timestamp("2026-09-01 12:00", tz="Europe/Paris"), "2026-09-01 10:00"),
    ],
)
def test_instants_are_local_unless_they_say_otherwise(given, utc):
    found = kpi.Dataset(**tables(), **PARIS).instant(given)
    assert found == pd.Timestamp(utc)
    assert found.tzinfo is None


@pytest.mark.parametrize("text", ["01/11/2026", "11/01/2026", "2026-11", "1 November 2026", "20261101"])
def test_a_date_that_is_not_iso_is_refused_and_not_guessed(data, text):
    with pytest.raises(ParameterError, match="is no instant in Europe/Paris; write it as 2026-11-01 or"):
        pipeline.closed_win_rate(data, as_of=text)
    with pytest.raises(ParameterError, match="is no instant in Europe/Paris; write it as 2026-11-01 or"):
        kpi.Dataset(**tables(), **PARIS, exported_at=text)


def test_a_window_or_the_days_before(data):
    now = data.instant("2026-09-01")
    assert data.window(None, now) == Window(date(2026, 6, 3), date(2026, 9, 1))
    assert data.window(None, now, 1) == Window(date(2026, 8, 31), date(2026, 9, 1))
    assert data.window("2026-Q3", now) == data.window(("2026-07-01", "2026-10-01"), now) == Window(date(2026, 7, 1), date(2026, 10, 1))
    with pytest.raises(ParameterError, match='write "2026-10"'):
        data.window("October", now)


def test_a_former_name_of_a_parameter_is_refused_with_the_new_one():
    @renamed(thresholds="horizons", share="quantile")
    def answered(data: str, *, horizons: int = 1, quantile: float = 0.5) -> str:
        """Say what was given."""
        return f"{data} {horizons} {quantile}"

    assert answered("a", horizons=2) == "a 2 0.5"
    assert list(inspect.signature(answered).parameters) == ["data", "horizons", "quantile"]
    assert (answered.__name__, answered.__doc__) == ("answered", "Say what was given.")
    with pytest.raises(ParameterError, match="answered takes no 'thresholds' any more; it is called 'horizons' now"):
        answered("a", thresholds=2)
    with pytest.raises(TypeError):
        answered("a", horizon=2)


def test_nothing_after_the_end_of_the_data_is_answered():
    data = kpi.Dataset(**tables(), **PARIS, exported_at="2026-10-10 12:00")
    assert data.instant("2026-10-10 12:00") == pd.Timestamp("2026-10-10 10:00")
    with pytest.raises(DataError, match="lies after the end of the data, 2026-10-10 10:00:00 UTC; ask for an earlier date"):
        data.instant("2026-10-10 12:01")
    with pytest.raises(DataError, match="after the end of the data"):
        pipeline.closed_win_rate(data, as_of="2026-11-01")


@pytest.mark.parametrize(
    ("exported", "last"),
    [("2026-10-01 00:00", "2026-09"), ("2026-09-30 23:59:59", "2026-08"), ("2026-10-31", "2026-09"), ("2026-11-01", "2026-10"), (None, "2026-09")],
)
def test_last_month_is_complete_before_the_end(exported, last):
    # the latest event is at 23:59:59 on 30 September in Paris: without an export date that day counts as whole
    data = kpi.Dataset(**tables(), **PARIS, exported_at=exported)
    assert str(data.last_month()) == last
    assert str(data.month()) == last


def test_without_the_last_day_a_month_is_not_complete():
    given = tables()
    given["orders"] = given["orders"].iloc[:3]
    assert str(kpi.Dataset(**given, **PARIS).last_month()) == "2026-08"


def test_first_month_of_the_data_and_of_a_table(data):
    assert str(data.first_month()) == "2026-07"
    assert str(data.first_month("leads")) == "2026-08"


def test_months_not_covered_are_refused(data):
    assert data.month("2026-08") == Month(2026, 8)
    for text in ("2026-10", "2026-06"):
        with pytest.raises(DataError, match=f"the data do not cover {text}: complete months go from 2026-07 to 2026-09"):
            data.month(text)
    for text in ("2026-13", "october", "2026-1", "26-10"):
        with pytest.raises(ParameterError, match=text):
            data.month(text)


# --- where


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("", {}),
        ("team=Nord", {"team": "Nord"}),
        (" team = Nord , source = Web form ", {"team": "Nord", "source": "Web form"}),
        ("source=a=b", {"source": "a=b"}),
        ("owner=É. Lacombe,", {"owner": "É. Lacombe"}),
    ],
)
def test_parse_where(text, pairs):
    assert parse_where(text) == pairs


@pytest.mark.parametrize("text", ["team", "team=", "=Nord", "colour=red", "team=Nord,Sud", "team==", "Team=Nord"])
def test_parse_where_refuses_what_it_does_not_understand(text):
    if text == "team==":
        assert parse_where(text) == {"team": "="}
        return
    with pytest.raises(ParameterError, match=r"is not understood; write team=Nord, with one of team, owner, source, segment"):
        parse_where(text)


def test_where_restricts_all_tables_together(data):
    nord = data.where(team="Nord")
    assert keys(nord, "leads") == ["L1", "L2"]
    assert keys(nord, "opportunities") == ["O1"]
    assert keys(nord, "customers") == ["K1", "K3"]
    assert keys(nord, "orders") == ["1", "3", "4"]
    assert keys(nord, "activities") == ["X0", "X1", "X4"]
    assert nord.restricted_to == {"team": "Nord"}
    assert keys(data.where(owner="C"), "activities") == ["X2", "X5"]
    assert keys(data.where(source="fair"), "leads") == ["L2"]
    assert keys(data.where(source="fair"), "opportunities") == ["O2"]
    assert keys(data.where(source="fair"), "orders") == ["3", "4"]


def test_where_leaves_the_whole_as_it_was(data):
    before = {name: keys(data, name) for name in ("leads", "activities", "opportunities", "customers", "orders")}
    value = retention.value_to_date(data, as_of="2026-10-01")["value"].tolist()
    assert retention.value_to_date(data.where(team="Sud"), as_of="2026-10-01")["value"].tolist() == [300.0]  # facts are not shared between the two
    assert {name: keys(data, name) for name in before} == before
    assert data.restricted_to == {}
    assert retention.value_to_date(data, as_of="2026-10-01")["value"].tolist() == value


def test_where_in_its_three_spellings_and_in_any_order(data):
    wanted = keys(data.where(team="Nord", source="web"), "leads")
    assert wanted == ["L1"]
    for same in (data.where("team=Nord,source=web"), data.where({"source": "web", "team": "Nord"}), data.where(source="web").where(team="Nord")):
        assert keys(same, "leads") == wanted
        assert keys(same, "orders") == keys(data.where(team="Nord", source="web"), "orders")
    assert keys(data.where(""), "leads") == keys(data, "leads")
    assert keys(data.where(), "leads") == keys(data, "leads")


def test_parts_sum_to_the_whole(data):
    total = sum(len(keys(data.where(team=team), "orders")) for team in data.teams())
    assert total == len(keys(data, "orders"))


def test_where_a_table_cannot_tell_it_is_missing(data):
    large = data.where(segment="large")  # only customers have a segment
    assert keys(large, "orders") == ["2", "3", "4"]
    with pytest.raises(MissingTable) as error:
        large.table("leads")
    assert (error.value.table, error.value.column) == ("leads", "segment")
    assert not large.has("activities")


def test_where_refuses_what_nobody_has(data):
    for conditions in ({"team": "Nrod"}, {"owner": "Z"}, {"source": "press"}):
        ((column, value),) = conditions.items()
        with pytest.raises(ParameterError, match=f"no lead, opportunity or customer has {column} = '{value}'; check the spelling"):
            data.where(conditions)
    with pytest.raises(ParameterError, match="colour"):
        data.where({"colour": "red"})
    with pytest.raises(ParameterError, match="not understood"):
        data.where("colour=red")
    with pytest.raises(ParameterError, match="owner is 'A' here already; ask the whole data set for 'C'"):
        data.where(owner="A").where(owner="C")
    assert data.where(owner="A").where("owner=A").restricted_to == {"owner": "A"}


def test_where_by_team_needs_owners():
    given = tables()
    del given["owners"]
    data = kpi.Dataset(**given)
    assert data.teams() == []
    with pytest.raises(MissingTable, match="owners"):
        data.where(team="Nord")


def test_a_company_of_one_row():
    lead = tables()["leads"].iloc[:1]
    data = kpi.Dataset(leads=lead, **PARIS)
    assert (str(data.first_month()), str(data.last_month())) == ("2026-08", "2026-07")  # no month is complete
    with pytest.raises(DataError, match="do not cover"):
        data.month()


def test_what_the_data_set_has_is_offered_when_typing(data):
    offered = {name for name in dir(data) if not name.startswith("_")}
    assert offered == {
        *("as_of", "at_constant_rates", "first_month", "has", "instant", "last_month", "month", "note", "recorded_from", "table", "teams"),
        *("where", "window"),
        *("calendar", "company", "decisions", "ends_at", "engine", "facts", "flags", "folder", "hours", "inputs", "latest", "limits", "links"),
        *("part_of", "precision", "provided", "restricted_to", "row_ledger", "set_aside", "settings", "team_calendar"),
    }
    assert set(kpi.Dataset.__annotations__) == {name for name in vars(data) if not name.startswith("_")}
