"""From files to tables: encodings, delimiters, archives, globs, headers, and a ledger that accounts for every row."""

from __future__ import annotations

import datetime
import gzip
import hashlib
import random
import zipfile

import pandas as pd
import pytest
from babel import Locale
from hypothesis import given, settings
from hypothesis import strategies as st
from written import LEADS, column, connection, decided, read, reasons, rows, write

from kpi import schema, sources
from kpi.errors import DataError, SchemaError
from kpi.sources.checks.rules import parts
from kpi.sources.readers import csv
from kpi.sources.typing.cast import read_month

UTC = '[company]\ntimezone = "UTC"\n'


def test_a_table_has_all_canonical_columns_in_order_and_type(tmp_path):
    opened = connection()
    reading, tables = read(write(tmp_path, UTC, leads=LEADS), opened)
    described = opened.execute(f"describe {reading.tables['leads']}").fetchall()
    assert [name for name, *_ in described] == schema.TABLES["leads"].names
    assert {name: kind for name, kind, *_ in described}["created_at"] == "TIMESTAMP"
    assert tables["leads"][0] == dict.fromkeys(schema.TABLES["leads"].names) | {
        "lead_id": "L1", "created_at": datetime.datetime(2026, 3, 2, 9), "source": "web", "owner": "Ann"
    }  # fmt: skip
    assert reading.provided == {"leads": frozenset({"lead_id", "created_at", "source", "owner"})}
    assert reading.precision == {("leads", "created_at"): "second"}
    assert reading.ledger.to_dict("records") == [{"table": "leads", "found": 2, "used": 2, "set_aside": 0, "reason": "", "amount": None}]
    assert list(reading.set_aside.columns) == ["table", "file", "row", "column", "value", "reason"]
    assert reading.set_aside.empty


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_encoding_and_delimiter_are_found(tmp_path, encoding, delimiter):
    text = "lead_id,created_at,source,owner\r\nL1,2026-03-02 09:00,Zoé’s,François\r\nL2,2026-03-02 09:00,salon,Ann\r\n".replace(",", delimiter)
    reading, tables = read(write(tmp_path, UTC, leads=text.encode(encoding)))
    assert column(tables["leads"], "owner") == ["François", "Ann"]
    assert column(tables["leads"], "source") == ["Zoé’s", "salon"]
    assert {("encoding", encoding), ("delimiter", {"\t": "tab"}.get(delimiter, delimiter))} <= decided(reading)


def test_utf_16_without_mark_needs_its_name(tmp_path):
    folder = write(tmp_path, UTC, leads=LEADS.encode("utf-16-le"))
    with pytest.raises(DataError, match=r'leads\.csv holds zero bytes: .* encoding = "utf-16-le"'):
        read(folder)
    write(tmp_path, UTC + '[tables.leads]\nencoding = "utf-16-le"')
    assert len(read(folder)[1]["leads"]) == 2


NAMES = "Téléphone,Hélène\nRéseau,François\nSalon,Léa\nHôtel,Zoé\n"


def named(text: str) -> str:
    lines = text.splitlines()
    return "lead_id,created_at,source,owner\n" + "".join(f"L{n},2026-03-02 09:00,{line}\n" for n, line in enumerate(lines))


def test_what_is_decoded_is_looked_at(tmp_path):
    """A stray byte, two files joined, a cell cut in the middle of a letter, and the code pages of DOS and of the Macintosh."""
    sound = named(NAMES).encode()
    for broken, row in (
        (b"\xef\xbb\xbf" + sound + b"L9,2026-03-02 09:00,T\xe9l,Ann\n", 6),
        (sound + b"L9,2026-03-02 09:00,T\xe9l,Ann\n", 6),
        (sound.replace("Zoé".encode(), b"Zo\xc3"), 5),
    ):
        with pytest.raises(DataError, match=rf"leads\.csv:{row} has bytes that are not utf-8, as others .* under \[tables\.leads\]"):
            read(write(tmp_path, UTC, leads=broken))
    joined = named(NAMES).encode() + named(NAMES * 9).encode("cp1252").split(b"\n", 1)[1].replace(b"L", b"M")
    with pytest.raises(DataError, match=r"leads\.csv:6 has bytes that are not utf-8, as others"):
        read(write(tmp_path, UTC, leads=joined))
    for encoding in ("cp850", "mac_roman"):
        with pytest.raises(DataError, match=rf'is not utf-8 nor cp1252; .* "{encoding}" would make line 2 .*Téléphone,Hélène'):
            read(write(tmp_path, UTC, leads=named(NAMES).encode(encoding)))
        tables = read(write(tmp_path, f'{UTC}[tables.leads]\nencoding = "{encoding}"', leads=named(NAMES).encode(encoding)))[1]
        assert column(tables["leads"], "owner") == ["Hélène", "François", "Léa", "Zoé"]


def test_text_that_was_decoded_wrongly_before_is_flagged(tmp_path):
    once = [f"{line.encode().decode('cp1252')}" for line in NAMES.splitlines()]
    reading, tables = read(write(tmp_path, UTC, leads=named("\n".join([*once, "Salon,Zo\ufffd", "São Paulo,Ærø", "T‚l‚phone,Ann"]))))
    assert column(tables["leads"], "owner")[0] == "HÃ©lÃ¨ne"
    found = {row.column: row.rows for row in reading.flags.itertuples() if row.flag.endswith("decoded wrongly")}
    assert found == {"source": 4, "owner": 5}  # Téléphone, Réseau, Hôtel, T‚l‚phone; four names and Zo�


WORDS = ("Téléphone", "Réseau", "août", "déjà", "hôtel", "Élodie", "ÉLÈVE", "Besançon", "l’école", "cœur", "Noël", "n°4", "12€", "São", "«été»")


@pytest.mark.slow
@given(st.lists(st.sampled_from(WORDS), min_size=3, max_size=9))
def test_an_office_s_words_are_read_or_refused(tmp_path_factory, words):
    """Windows-1252 is never refused; other encodings are never read as it where two words in a sentence tell."""
    folder = tmp_path_factory.mktemp("words")
    text = named(" ".join(words) + ",Hélène Zoé")
    assert read(write(folder, UTC, leads=text.encode("cp1252", "ignore")))[1]["leads"][0]["owner"] == "Hélène Zoé"
    for encoding in ("cp850", "mac_roman"):
        with pytest.raises(DataError, match="not utf-8"):
            read(write(folder, UTC, leads=text.encode(encoding, "ignore")))


def test_bytes_of_no_encoding(tmp_path):
    with pytest.raises(DataError, match=r"leads\.csv is not utf-8 nor cp1252; write its encoding under \[tables\.leads\]"):
        read(write(tmp_path, UTC, leads=LEADS.encode() + b"L3,\x81\x8d\xff,a,b\n"))
    with pytest.raises(DataError, match="encoding = 'latin-99' is unknown"):
        read(write(tmp_path, UTC + '[tables.leads]\nencoding = "latin-99"', leads=LEADS))


def test_one_column_is_refused_unless_the_delimiter_is_declared(tmp_path):
    text = LEADS.replace(",", "^")
    with pytest.raises(SchemaError, match=r"leads\.csv reads as one column \('lead_id\^created_at\^source\^owner'\).*write delimiter under"):
        read(write(tmp_path, UTC, leads=text))
    assert len(read(write(tmp_path, UTC + '[tables.leads]\ndelimiter = "^"', leads=text))[1]["leads"]) == 2


def test_a_hint_of_excel_and_blank_lines_come_before_the_header(tmp_path):
    text = "sep=;\r\n\r\nlead_id;created_at;source;owner\r\nL1;2026-03-02 09:00;a,b,c;Ann\r\n\r\n;;;\r\nL2;oops;x;Bob\r\n"
    reading, tables = read(write(tmp_path, UTC, leads=text))
    assert column(tables["leads"], "source") == ["a,b,c"]
    assert reading.ledger["found"].sum() == 2
    assert reading.set_aside.to_dict("records") == [
        {"table": "leads", "file": "leads.csv", "row": 7, "column": "created_at", "value": "oops", "reason": "unreadable created_at"}
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "leads.csv is empty"),
        (b"\r\n\r\n", "leads.csv is empty"),
        (b"PK\x03\x04rest", "leads.csv is a workbook or an archive"),
        ((LEADS + 'L3,2026-03-02,"web,Ann\nL4,2026-03-02,web,Ann\n').encode(), "leads.csv cannot be read: a quote is opened and never closed"),
        ((LEADS + 'L3,2026-03-02,web,"Ann\nL4,2026-03-02,web,Ann\n').encode(), "leads.csv cannot be read: a quote is opened and never closed"),
    ],
)
def test_files_that_are_no_table(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        read(write(tmp_path, UTC, leads=content))


def test_a_failed_reading_leaves_the_connection_usable(tmp_path):
    opened = connection()
    with pytest.raises(DataError):
        read(write(tmp_path, UTC, leads=LEADS + 'L3,2026-03-02,web,"Ann\n'), opened)
    assert len(read(write(tmp_path, UTC, leads=LEADS), opened)[1]["leads"]) == 2


def test_quoted_cells_keep_delimiters_quotes_and_line_breaks(tmp_path):
    text = 'lead_id,created_at,source,owner\nL1,2026-03-02,"a ""b"", c","two\nlines"\nL2,2026-03-02,x,\nL2,2026-03-02,y,"z"\n'
    reading, tables = read(write(tmp_path, UTC, leads=text))
    assert column(tables["leads"], "source") == ['a "b", c', "x"]
    assert column(tables["leads"], "owner") == ["two\nlines", None]
    assert reading.set_aside["row"].tolist() == [4]  # records are counted, as a spreadsheet does


@pytest.mark.slow
@given(lines=st.lists(st.sampled_from(["good", "misfit", "blank", "broken", "bad"]), min_size=1, max_size=60))
@settings(max_examples=15)
def test_rows_are_numbered_as_in_the_file_whatever_arrow_skips(tmp_path_factory, lines):
    kinds = {
        "good": "L{},2026-03-02 09:00,web,Ann",
        "misfit": "L{},x",
        "blank": "",
        "broken": 'L{},2026-03-02,web,"two\nlines"',
        "bad": "L{},soon,web,Ann",
    }
    text = "\n".join([LEADS.splitlines()[0], *(kinds[kind].format(n) for n, kind in enumerate(lines))]) + "\n"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv, "_CELLS", 128)  # many blocks
        reading, _ = read(write(tmp_path_factory.mktemp("any"), UTC, leads=text))
    found = dict(zip(reading.set_aside["row"], reading.set_aside["reason"], strict=True))
    named = {"misfit": "wrong number of cells", "bad": "unreadable created_at"}
    assert found == {n: named[kind] for n, kind in enumerate(lines, 2) if kind in named}
    assert reading.ledger["found"].sum() == sum(kind != "blank" for kind in lines)


@pytest.mark.parametrize(
    ("lines", "used", "aside"),
    [
        ([], 0, {}),
        (["L1,2026-03-02,web,Ann,", "L2,2026-03-02,web,Ann,"], 2, {}),
        (["L1,2026-03-02,web,Ann,", "L2,2026-03-02,web,Ann,x"], 0, {"wrong number of cells": 2}),
        (["L1,2026-03-02,web,Ann", ",,,", '"Report: all leads",,,', "Grand total,1"], 1, {"empty created_at": 1, "wrong number of cells": 1}),
        (["L1,2026-03-02," + "x" * 200_000 + ",Ann"], 1, {}),
    ],
    ids=["header only", "a delimiter at the end of each row", "a cell too many", "a report's footer", "a long cell"],
)
def test_odd_ends(tmp_path, lines, used, aside):
    reading, tables = read(write(tmp_path, UTC, leads="\n".join([LEADS.splitlines()[0], *lines])))
    assert (len(tables["leads"]), reasons(reading)) == (used, aside)


def test_parts_of_one_table_may_differ_in_kind(tmp_path):
    folder = write(
        tmp_path,
        UTC + '[tables.leads]\npath = "leads*"',
        leads1=LEADS,
        leads2=LEADS.upper().replace(",", ";").replace("L", "M").replace("MEAD", "LEAD"),
    )
    frame = pd.DataFrame({"lead_id": [7], "created_at": pd.to_datetime(["2026-01-01 10:00"]), "source": ["web"], "owner": ["Ann"]})
    frame.to_parquet(folder / "leads3.parquet")
    reading, tables = read(folder)
    assert column(tables["leads"], "lead_id") == ["7", "L1", "L2", "M1", "M2"]
    assert str(tables["leads"][0]["created_at"]) == "2026-01-01 10:00:00"
    assert set(reading.decisions["file"]) == {"", "leads1.csv", "leads2.csv"}


def test_zip_member_in_a_folder_gz_and_glob(tmp_path):
    folder = write(tmp_path, UTC + '[tables.leads]\npath = "box.zip/CRM+Export/leads 1.csv"\n[tables.orders]\npath = "*/*.csv.gz"')
    with zipfile.ZipFile(folder / "box.zip", "w") as box:
        box.writestr("CRM+Export/leads 1.csv", LEADS)
    (folder / "months").mkdir()
    for month in ("01", "02"):
        line = f"O{month},C1,2026-{month}-05 10:00,{month}.5\n"
        (folder / "months" / f"orders-{month}.csv.gz").write_bytes(gzip.compress(b"order_id,customer_id,at,amount\n" + line.encode()))
    (folder / "months" / ".orders-99.csv.gz").write_bytes(b"left behind by an office program")
    reading, tables = read(folder)
    assert len(tables["leads"]) == 2
    assert [(row["order_id"], row["amount"], row["currency"], row["kind"]) for row in tables["orders"]] == [
        ("O01", 1.5, "EUR", "sale"),
        ("O02", 2.5, "EUR", "sale"),
    ]
    assert [item.path for item in reading.inputs] == ["kpi.toml", "box.zip", "months/orders-01.csv.gz", "months/orders-02.csv.gz"]
    assert reading.inputs[1].sha256 == hashlib.sha256((folder / "box.zip").read_bytes()).hexdigest()
    assert reading.inputs[1].bytes == (folder / "box.zip").stat().st_size
    assert "box.zip/CRM+Export/leads 1.csv" in reading.decisions["file"].tolist()


def test_archives_and_files_that_are_not_there(tmp_path):
    folder = write(tmp_path, UTC, leads=LEADS)
    with zipfile.ZipFile(folder / "box.zip", "w") as box:
        box.writestr("in/leads.csv", LEADS)
    (folder / "bad.zip").write_bytes(b"no archive")
    (folder / "bad.csv.gz").write_bytes(gzip.compress(LEADS.encode() * 50)[:-20])
    for path, message in {
        "box.zip/lead.csv": r"box\.zip has no member 'lead\.csv'; did you mean 'in/leads\.csv'\?",
        "box.zip": r"names the archive 'box\.zip'; add the member: box\.zip/in/leads\.csv",
        "bad.zip/leads.csv": r"bad\.zip cannot be opened",
        "bad.csv.gz": r"bad\.csv\.gz cannot be read",
        "laeds.csv": r"\[tables\.leads\] names 'laeds\.csv', but no such file is in the data set; did you mean 'leads\.csv'\?",
        "none/*.csv": r"names 'none/\*\.csv', but no such file",
    }.items():
        write(tmp_path, UTC + f'[tables.leads]\npath = "{path}"')
        with pytest.raises(DataError, match=message):
            read(folder)


def test_headers_match_exactly_then_in_any_case(tmp_path):
    text = " LEAD_ID ,Created,SOURCE,source,Owner\nL1,2026-03-02,big,small,Ann\n"
    toml = UTC + '[tables.leads]\ncolumns = {created_at = "created"}'
    reading, tables = read(write(tmp_path, toml, leads=text))
    assert column(tables["leads"], "source") == ["small"]
    assert ("unused columns", "SOURCE") in decided(reading)


@pytest.mark.parametrize(
    ("toml", "header", "message"),
    [
        ("", "lead_id,created_on,source,owner", r"leads lacks created_at; leads\.csv has \['lead_id', 'created_on'.*\]; map it under \[tables\.leads\] columns in kpi\.toml; did you mean 'created_on'\?"),  # noqa: E501
        ('columns = {owner = "Sales rep"}', LEADS.splitlines()[0], r"maps owner to 'Sales rep', but leads\.csv has \["),
        ("", "lead_id,created_at,source,owner,owner", r"has the column 'owner' 2 times, so leads owner is ambiguous"),
        ('where = {chanel = "web"}', "lead_id,created_at,source,owner,channel", r"where names 'chanel', but .*did you mean 'channel'\?"),
    ],
)  # fmt: skip
def test_columns_that_are_missing_or_ambiguous(tmp_path, toml, header, message):
    line = ",".join(["1"] * (header.count(",") + 1))
    with pytest.raises(SchemaError, match=message):
        read(write(tmp_path, UTC + "[tables.leads]\n" + toml, leads=f"{header}\n{line}\n"))


def test_constants_values_and_where(tmp_path):
    toml = (
        UTC
        + """
    [tables.leads]
    columns = {source = "Origin"}
    constants = {owner = "(none)", country = "FR"}
    values.source = {"" = "(blank)", "Web form" = "web", "O'Neil; drop table x" = "quoted"}
    where = {channel = ["in", ""]}
    """
    )
    text = (
        "lead_id,created_at,Origin,channel\nL1,2026-03-02,Web form,in\nL2,2026-03-02,,\nL3,2026-03-02,O'Neil; drop table x,in\nL4,2026-03-02,x,out\n"
    )
    reading, tables = read(write(tmp_path, toml, leads=text))
    assert column(tables["leads"], "source") == ["web", "(blank)", "quoted"]
    assert column(tables["leads"], "owner") == ["(none)"] * 3
    assert reasons(reading) == {"filtered": 1}
    assert reading.set_aside.empty  # what kpi.toml filters is counted, not listed
    assert {"owner", "country", "source"} <= reading.provided["leads"]


def test_the_shape_of_a_pipeline_export(tmp_path):
    """Stage and status in one column, dates only, no value for open deals; as CRM exports have it."""
    toml = """
    [company]
    timezone = "America/New_York"
    currency = "USD"
    [tables.opportunities]
    path = "deals.csv"
    columns.owner = "sales_agent"
    columns.stage = "deal_stage"
    columns.status = "deal_stage"
    columns.created_at = "engage_date"
    columns.closed_at = "close_date"
    columns.amount = "close_value"
    values.status = {Engaging = "open", Prospecting = "open"}
    values.amount = {"0" = ""}
    """
    text = """opportunity_id,sales_agent,product,account,deal_stage,engage_date,close_date,close_value
    1C,Moses,GTX,Cancity,Won,2016-10-20,2017-03-01,1054
    Z0,Moses,GTX,Isdom,Lost,2016-10-25,2017-03-11,0
    EC,Zane,MG,Cancity,Engaging,2016-10-25,,
    MV,Zane,MG,,Prospecting,,,
    """
    reading, tables = read(write(tmp_path, toml, deals=text.replace("    ", "")))
    found = {row["opportunity_id"]: row for row in tables["opportunities"]}
    assert {key: (row["status"], row["amount"]) for key, row in found.items()} == {
        "1C": ("won", 1054.0), "Z0": ("lost", None), "EC": ("open", None), "MV": ("open", None)
    }  # fmt: skip
    assert found["1C"]["created_at"] == datetime.datetime(2016, 10, 20, 4)  # local midnight
    assert found["1C"]["currency"] == "USD"
    assert set(reading.precision.values()) == {"day"}
    assert reasons(reading) == {}


def test_every_row_is_used_or_set_aside_for_a_reason(tmp_path):
    opportunities = """opportunity_id,owner,stage,status,created_at,closed_at,amount
D1,Ann,New,open,2026-01-05 10:00,,100
,Ann,New,open,2026-01-05 10:00,,100
D2,Ann,New,paused,2026-01-05 10:00,,100
D3,Ann,New,won,2026-01-05 10:00,2026-01-04 10:00,100
D4,Ann,New,WON,2026-01-05 10:00,2026-01-06 10:00,a lot
D1,Ann,New,open,2026-01-06 10:00,,200
D5,Ann,New,open,2026-02-30 10:00,,100
D6,Ann
D7,Ann,New,open,2026-01-05 10:00,,100,extra
"""
    history = "opportunity_id,changed_at,seq,stage,status,owner\n"
    history += "".join(f"{cells},New,open,Ann\n" for cells in ("D1,2026-01-05,1", "D9,2026-01-05,1", "D1,2026-01-05,1.5"))
    reading, tables = read(write(tmp_path, UTC, opportunities=opportunities, opportunity_history=history))
    assert column(tables["opportunities"], "amount") == [100.0]
    assert column(tables["opportunity_history"], "origin") == ["history"]
    listed = {(row.table, row.row): (row.column, row.value, row.reason) for row in reading.set_aside.itertuples()}
    assert listed == {
        ("opportunities", 3): ("opportunity_id", "", "empty opportunity_id"),
        ("opportunities", 4): ("status", "paused", "unknown value of status"),
        ("opportunities", 5): ("closed_at", "2026-01-04 10:00:00", "closed before it was created"),
        ("opportunities", 6): ("amount", "a lot", "unreadable amount"),
        ("opportunities", 7): ("opportunity_id", "D1", "duplicate key"),
        ("opportunities", 8): ("created_at", "2026-02-30 10:00", "unreadable created_at"),
        ("opportunities", 9): ("", "D6,Ann", "wrong number of cells"),
        ("opportunities", 10): ("", "D7,Ann,New,open,2026-01-05 10:00,,100,extra", "wrong number of cells"),
        ("opportunity_history", 3): ("opportunity_id", "D9", "opportunity_id of no known record"),
        ("opportunity_history", 4): ("seq", "1.5", "unreadable seq"),
    }
    totals = reading.ledger.groupby("table")[["found", "used", "set_aside"]].sum()
    assert totals.loc["opportunities"].tolist() == [9, 1, 8]
    assert totals.loc["opportunity_history"].tolist() == [3, 1, 2]
    assert (reading.ledger["found"] == reading.ledger["used"] + reading.ledger["set_aside"]).all()
    assert all(reason == message.replace("{column}", name) for reason in reasons(reading) for message, name in [parts(reason)])


def test_a_date_and_an_instant_of_one_day_do_not_contradict_each_other(tmp_path):
    text = "opportunity_id,owner,stage,status,created_at,closed_at\nD1,A,N,won,2026-01-05 10:00,2026-01-05\nD2,A,N,won,2026-01-05 10:00,2026-01-04\n"
    reading, tables = read(write(tmp_path, '[company]\ntimezone = "Asia/Tokyo"', opportunities=text))
    assert column(tables["opportunities"], "opportunity_id") == ["D1"]
    assert reasons(reading) == {"closed before it was created": 1}


def test_optional_references_to_unknown_records_keep_the_row_and_are_counted(tmp_path):
    activities = "activity_id,lead_id,at,kind,direction,automated,done,owner\n"
    activities += "A1,L1,2026-03-02,call,outbound,no,yes,Ann\nA2,L9,2026-03-02,call,outbound,no,yes,Ann\n"
    reading, tables = read(write(tmp_path, UTC, leads=LEADS, activities=activities))
    assert column(tables["activities"], "lead_id") == ["L1", "L9"]
    assert reading.flags.query("column == 'lead_id'").to_numpy().tolist() == [
        ["activities", "lead_id", "lead_id leads to no known record", "flagged", 1, "L9"]
    ]


def test_rows_after_the_export_stay_and_are_counted(tmp_path):
    reading, tables = read(write(tmp_path, '[company]\ntimezone = "UTC"\nexported_at = "2026-03-03"', leads=LEADS))
    assert len(tables["leads"]) == 2
    assert reading.flags.to_numpy().tolist() == [["leads", "created_at", "created_at after the export", "flagged", 1, "leads.csv:3"]]


HOSTILE = [
    "=cmd|'/c calc'!A1",
    "'; drop table leads; --",
    "<script>alert(1)</script>",
    '"',
    "$HOME `id`",
    "a\\'b",
    "%s {0} {column}",
    "'=1+1",
    "NULL",
    "nan",
]


def test_hostile_text_stays_text(tmp_path):
    opened = connection()
    quoted = "".join(f'L{n},2026-03-02,"{text.replace(chr(34), chr(34) * 2)}",{n}\n' for n, text in enumerate(HOSTILE))
    header = 'lead_id,created_at,source,owner,"x"" from y; drop table z --"\n'
    _, tables = read(write(tmp_path, UTC, leads=header + quoted.replace("\n", ",1\n")), opened)
    assert column(tables["leads"], "source") == HOSTILE


def test_no_input_is_touched(tmp_path):
    folder = write(tmp_path, UTC, leads=LEADS)
    pd.DataFrame({"order_id": ["O1"], "customer_id": ["C1"], "at": pd.to_datetime(["2026-01-05 10:00"]), "amount": [3]}).to_parquet(
        folder / "orders.parquet"
    )
    before = {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in folder.iterdir()}
    read(folder)
    assert {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in folder.iterdir()} == before


def test_parquet_files_keep_their_types(tmp_path):
    folder = write(tmp_path, '[company]\ntimezone = "Europe/Paris"')
    frame = pd.DataFrame(
        {
            "order_id": [1, 2, 2],
            "customer_id": ["C1", "C2", "C3"],
            "at": pd.to_datetime(["2026-01-05 10:00", "2026-07-05 10:00", "2026-07-05 11:00"]),
            "amount": [3.5, 4.0, float("nan")],
        }
    )
    frame.to_parquet(folder / "orders.parquet")
    reading, tables = read(folder)
    assert [(row["order_id"], row["at"].isoformat(), row["amount"]) for row in tables["orders"]] == [
        ("1", "2026-01-05T09:00:00", 3.5),
        ("2", "2026-07-05T08:00:00", 4.0),
    ]
    assert reading.set_aside.to_dict("records") == [
        {"table": "orders", "file": "orders.parquet", "row": 3, "column": "amount", "value": "", "reason": "empty amount"}
    ]


def test_the_sample_reads_without_a_row_set_aside(root):
    opened = connection()
    reading = sources.read(sources.read_config(root / "data" / "sample"), opened)
    assert reading.ledger["set_aside"].sum() == 0
    assert rows(opened, f"(select count(*) as n from {reading.tables['leads']})") == [{"n": reading.ledger.set_index("table").loc["leads", "used"]}]


cells = st.text(st.characters(codec="cp1252", exclude_categories=["Cc"], include_characters="\n"), max_size=8)


@pytest.mark.slow
@settings(max_examples=20)
@given(
    table=st.lists(st.tuples(cells, cells), min_size=1, max_size=6),
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
    newline=st.sampled_from(["\n", "\r\n"]),
)
def test_any_text_survives_any_dialect(tmp_path_factory, table, delimiter, encoding, newline):
    def line(*values: str) -> str:
        return delimiter.join('"' + value.replace('"', '""') + '"' for value in values)

    lines = [line("lead_id", "created_at", "source", "owner")]
    lines += [line(f"L{n}", "2026-03-02 09:00", source, owner) for n, (source, owner) in enumerate(table)]
    toml = UTC + ('[tables.leads]\nencoding = "cp1252"' if encoding == "cp1252" else "")  # letters by chance may read better as another encoding
    folder = write(tmp_path_factory.mktemp("any"), toml, leads=newline.join(lines).encode(encoding))
    found = read(folder)[1]["leads"]
    expected = [(source.strip() or None, owner.strip() or None) for source, owner in table]
    assert [(row["source"], row["owner"]) for row in found] == expected


# --- every line is on the account


def test_lines_in_a_stray_quote_are_on_the_account(tmp_path):
    """A quote opened in row 3 takes in rows 4 and 5 up to the next quote: 5 lines, of which rows 2 and 6 are records."""
    rows = [
        "L1,2026-03-02,web,Ann",
        'L2,2026-03-02,"the 24 inch screen,Ann',
        "L3,2026-03-02,web,Ann",
        'L4,2026-03-02,22" screen,Ann',
        "L5,2026-03-02,web,Ann",
    ]
    reading, tables = read(write(tmp_path, UTC, leads="\n".join([LEADS.splitlines()[0], *rows, ""])))
    assert column(tables["leads"], "lead_id") == ["L1", "L5"]
    assert reasons(reading) == {"wrong number of cells": 3}
    assert reading.ledger["found"].sum() == 5


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 20))])
def test_no_line_is_lost_in_a_quote_and_no_text_is_taken_for_a_line(tmp_path, seed):
    """Records with stray quotes, and texts of several lines with delimiters in them: as many lines are found as there are records."""
    chance = random.Random(seed)
    lines, texts = [], 0
    for n in range(60):
        note = "web"
        if chance.random() < 0.2:
            note, texts = '"dear sir,\nplease find enclosed, as agreed,\nthe offer; regards"', texts + 1
        lines.append(f"L{n},2026-03-02 10:{n:02},{note},Ann")
    opened = chance.randint(5, 30)
    closed = opened + chance.randint(1, 12)
    plain = list(range(opened, closed + 1))
    for n in plain:
        lines[n] = f"L{n},2026-03-02 10:{n:02},web,Ann"
    lines[opened] = lines[opened].replace("web", '"screen of 24 inches')
    lines[closed] = lines[closed].replace("web", 'screen of 22"')
    reading, tables = read(write(tmp_path, UTC, leads="\n".join([LEADS.splitlines()[0], *lines, ""])))
    assert set(column(tables["leads"], "lead_id")) == {f"L{n}" for n in range(60) if n not in plain}
    assert reasons(reading) == {"wrong number of cells": len(plain)}


@pytest.mark.parametrize(
    "total",
    [
        "Total;;;600",
        "TOTAL :;;;1 234,56 €",
        "Total général;;;",
        "Grand Total (3);;;600.00",
        ";Sous-total;;300",
        "Somme;;;600;",
        "customer_id;segment;acquired_at;acquisition_cost",
    ],
)
def test_totals_and_repeated_headers_are_no_records_of_any_table(tmp_path, total):
    rows = [
        "C1;PME;2025-01-02;100",
        "C2;PME;2025-02-02;200",
        total.removesuffix(";") if total.count(";") > 3 else total,
        "Total;PME;2025-02-03;300",
        "TotalEnergies;;;1",
    ]
    text = "\n".join(["\ufeff\ufeffcustomer_id;segment;acquired_at;acquisition_cost", *rows, ""])
    reading, tables = read(write(tmp_path, UTC, customers=text, leads=LEADS))
    assert column(tables["customers"], "customer_id") == ["C1", "C2", "Total", "TotalEnergies"], "a customer of that name is one"
    assert reasons(reading) == {"footer": 1}
    assert reading.set_aside[["file", "row"]].to_numpy().tolist() == [["customers.csv", 4]]


def test_subtotals_are_no_orders_and_an_order_of_a_customer_called_total_is_one(tmp_path):
    rows = [
        "O1;C1;2026-01-01;5,5",
        "Total janvier;;;5,5",
        "O2;Total;2026-02-01;6,5",
        ";Total C1;;6,5",
        "TOTAL 2026;;;12",
        "ORDER_ID;Customer_ID;AT;Amount",
    ]
    reading, tables = read(write(tmp_path, UTC, orders="\n".join(["order_id;customer_id;at;amount", *rows, ""])))
    assert [(row["order_id"], row["customer_id"]) for row in tables["orders"]] == [("O1", "C1"), ("O2", "Total")]
    assert reasons(reading) == {"footer": 4}
    mixed = "\n".join(["customer_id;order_id;at;amount", "Total;1001;2026-01-01;5,5", "Total;;;5,5", ""])
    assert column(read(write(tmp_path / "by_name", UTC, orders=mixed))[1]["orders"], "order_id") == ["1001"]


def test_titles_above_the_header_and_notes_below_in_a_text(tmp_path):
    text = f"Leads, as of today\nCompany : Us\n\n{LEADS}Total,2,,\nEnd of the report\n"
    reading, tables = read(write(tmp_path, UTC, leads=text))
    assert column(tables["leads"], "lead_id") == ["L1", "L2"]
    assert reasons(reading) == {"footer": 2}
    assert ("header in row", "4") in decided(reading)
    few = f"Leads\nAll\nOf us\n\n{LEADS}2 records\n"
    assert reasons(read(write(tmp_path, UTC, leads=few))[0]) == {"footer": 1}, "more lines without cells than with them"


# --- months of targets


def test_months_as_offices_write_them(tmp_path):
    written = [
        "2026-01",
        "2026-2",
        "03/2026",
        "avr-26",
        "mai 2026",
        "June 2026",
        "Jul-26",
        "01/08/2026",
        "2026-09-01",
        "oct. 2026",
        "1 novembre 2026",
        "déc-26",
    ]
    text = "month;measure;amount\n" + "".join(f"{month};won_value;{n}\n" for n, month in enumerate(written, 1))
    reading, tables = read(
        write(tmp_path, UTC, leads=LEADS, targets=f"{text}13/2026;won_value;1\njui-26;won_value;1\n02/03/2026;won_value;1\nmars-26;won_value;9\n")
    )
    assert [(row["month"], row["amount"]) for row in tables["targets"]] == [(f"2026-{n:02}", n) for n in range(1, 13)]
    assert reasons(reading) == {"unreadable month": 3, "duplicate key": 1}, "02/03/2026 may be two months; a month given twice is not summed"


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 6))])
def test_every_month_is_read_however_it_is_written(seed):
    chance = random.Random(seed)
    for _ in range(200):
        year, month = chance.randint(2000, 2099), chance.randint(1, 12)
        lang, width = chance.choice(["en", "fr"]), chance.choice(["wide", "abbreviated"])
        name = chance.choice([str.lower, str.title])(Locale(lang).months["format"][width][month])
        ways = [
            f"{year}-{month:02}",
            f"{month}/{year}",
            f"{name}-{year % 100:02}",
            f"{name} {year}",
            f"01/{month:02}/{year}",
            f"{year}-{month:02}-01 00:00:00",
        ]
        assert {read_month(text) for text in ways} == {f"{year}-{month:02}"}
