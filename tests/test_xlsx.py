"""Workbooks: the header found wherever it stands, serial dates, notes above and below, formulas that stay what they are."""

from __future__ import annotations

import datetime

import openpyxl
import pytest
from openpyxl.styles import Font
from written import LEADS, column, decided, read, reasons, write

from kpi.errors import DataError
from kpi.sources.crm import mapping

WHEN = datetime.datetime(2026, 3, 2, 9, 30)
DEALS = ["Deal - ID", "Deal - Status", "Deal - Stage", "Deal - Owner", "Deal - Value", "Deal - Add time", "Deal - Won time"]


def book(path, *sheets: tuple[str, list[list]], merge: str = ""):
    made = openpyxl.Workbook()
    made.remove(made.active)
    for name, rows in sheets:
        sheet = made.create_sheet(name)
        for row in rows:
            sheet.append(row)
        sheet["A1"].font = Font(bold=True)
        if merge:
            sheet.merge_cells(merge)
    made.save(path)
    return path


def test_a_sheet_with_titles_above_and_notes_below(tmp_path):
    rows = [
        ["Deals of the quarter"],
        [],
        ["Printed on", "2026-04-01"],
        DEALS,
        [1, "Won", "Offer", "Ann", 1250.5, WHEN, 46100.5],
        [2, "Open", "Demo", "Bob", 1.234, WHEN, None],
        [3, "Lost", "Demo", "Bob", "n/a", WHEN, None],
        ["Total of 3 deals"],
    ]
    folder = write(tmp_path, '[tables.opportunities]\npath = "deals.xlsx"\nformat = "pipedrive"\n[company]\ntimezone = "UTC"')
    book(folder / "deals.xlsx", ("Export", rows), merge="A1:E1")
    reading, tables = read(folder)
    assert reasons(reading) == {"footer": 1, "unreadable amount": 1}
    won, still_open = tables["opportunities"]
    assert (won["opportunity_id"], won["amount"], won["created_at"], won["closed_at"]) == ("1", 1250.5, WHEN, datetime.datetime(2026, 3, 19, 12))
    assert still_open["amount"] == 1.234  # a number is a number: never thousands
    assert {("sheet", "Export"), ("header in row", "4")} <= decided(reading)
    rows_set_aside = reading.set_aside[reading.set_aside["reason"] == "unreadable amount"]
    assert rows_set_aside["row"].tolist() == [7]  # as the office program numbers them


def test_the_sheet_may_be_named_or_found(tmp_path):
    notes, deals = [["Read me"], ["Some", "words", "only"]], [DEALS, [1, "Open", "Demo", "Ann", 5, WHEN, None]]
    folder = write(tmp_path, '[tables.opportunities]\npath = "deals.xlsx"\nformat = "pipedrive"')
    book(folder / "deals.xlsx", ("Notes", notes), ("Deals", deals), ("Deals 2", deals))
    reading, _ = read(folder)
    assert ("sheet", "Deals") in decided(reading)
    write(tmp_path, '[tables.opportunities]\npath = "deals.xlsx/Deals 2"\nformat = "pipedrive"')
    assert ("sheet", "Deals 2") in decided(read(folder)[0])
    assert mapping.recognise(folder / "deals.xlsx").table == mapping.recognise(folder / "deals.xlsx" / "Deals").table == "opportunities"
    write(tmp_path, '[tables.opportunities]\npath = "deals.xlsx/Deels"\nformat = "pipedrive"')
    with pytest.raises(DataError, match=r"deals.xlsx has no sheet 'Deels'; did you mean 'Deals'"):
        read(folder)


def test_without_a_format_the_mapped_columns_tell_the_header(tmp_path):
    toml = '[tables.leads]\ncolumns = {lead_id = "Nr", created_at = "Reçu", source = "Origine", owner = "Qui"}'
    rows = [["a", "b", "c", "d", "e"], ["Nr", "Reçu", "Origine", "Qui"], [7, WHEN, "Salon", "Ann"], ["Fin"]]
    book(write(tmp_path, toml) / "leads.xlsx", ("1", rows))
    reading, tables = read(tmp_path)
    assert column(tables["leads"], "lead_id") == ["7"]
    assert reasons(reading) == {"footer": 1}


def test_canonical_names_need_no_mapping_and_queries_read_workbooks(tmp_path):
    rows = [line.split(",") for line in LEADS.splitlines()]
    book(write(tmp_path, "") / "leads.xlsx", ("x", rows))
    assert len(read(tmp_path)[1]["leads"]) == 2
    write(tmp_path, '[tables.leads]\nfiles = ["leads.xlsx"]\nquery = "select * from files[0] where source = \'web\'"')
    assert column(read(tmp_path)[1]["leads"], "lead_id") == ["L1"]


def test_formulas_are_never_calculated(tmp_path):
    evil = '=HYPERLINK("http://example.com","x")'
    rows = [DEALS, ["1", "Open", '=cmd|" /C calc"!A0', evil, "=1+1", WHEN, None]]
    folder = write(tmp_path, '[tables.opportunities]\npath = "deals.xlsx"\nformat = "pipedrive"')
    book(folder / "deals.xlsx", ("x", rows))
    reading, _ = read(folder)
    assert reasons(reading) == {"unreadable amount": 1}  # a formula that was never calculated is a text, not 2
    rows[1][4] = 5
    book(folder / "deals.xlsx", ("x", rows))
    deal = read(folder)[1]["opportunities"][0]
    assert (deal["owner"], deal["stage"]) == (evil, '=cmd|" /C calc"!A0')


def test_texts_with_a_comma_beside_numbers_ask_for_the_sign(tmp_path):
    rows = [DEALS, [1, "Open", "Demo", "Ann", "1 250,5", WHEN, None], [2, "Open", "Demo", "Ann", 2.5, WHEN, None]]
    folder = write(tmp_path, '[tables.opportunities]\npath = "deals.xlsx"\nformat = "pipedrive"')
    book(folder / "deals.xlsx", ("x", rows))
    with pytest.raises(DataError, match=r"amount mixes '1 250,5' and '2.5000' .*; write decimal"):
        read(folder)
    write(tmp_path, '[tables.opportunities]\npath = "deals.xlsx"\nformat = "pipedrive"\ndecimal = ","')
    assert column(read(folder)[1]["opportunities"], "amount") == [1250.5, 2.5]


def test_dates_of_all_kinds_in_one_column(tmp_path):
    created = [WHEN, 46083.3958333333, "2026-03-02 09:30", 46083, datetime.date(2026, 3, 2)]
    rows = [DEALS, *([number, "Open", "Demo", "Ann", 1, when, None] for number, when in enumerate(created))]
    folder = write(tmp_path, '[company]\ntimezone = "UTC"\n[tables.opportunities]\npath = "deals.xlsx"\nformat = "pipedrive"')
    book(folder / "deals.xlsx", ("x", rows))
    midnight = datetime.datetime(2026, 3, 2)
    assert column(read(folder)[1]["opportunities"], "created_at") == [WHEN, WHEN, WHEN, midnight, midnight]


def test_booleans_blank_rows_and_wide_blank_space(tmp_path):
    rows = [["Activity - ID", "Activity - Type", "Activity - Done", "Activity - Due date", "Activity - Assigned to user"], [], [None]]
    rows += [[1, "Call", True, WHEN, "Ann"], [], [2, "Call", False, WHEN, "Ann", "beside the table"]]
    folder = write(tmp_path, '[tables.activities]\npath = "a.xlsx"\nformat = "pipedrive"')
    book(folder / "a.xlsx", ("x", rows))
    reading, tables = read(folder)
    assert column(tables["activities"], "done") == [True, False]
    assert reading.ledger["found"].sum() == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"PK\x03\x04 broken", "leads.xlsx cannot be read as a workbook"), (b"", "leads.xlsx cannot be read as a workbook"), (None, "is empty")],
)
def test_what_is_no_workbook_is_refused(tmp_path, content, message):
    folder = write(tmp_path, '[tables.leads]\npath = "leads.xlsx"')
    if content is None:
        book(folder / "leads.xlsx", ("x", []))
    else:
        (folder / "leads.xlsx").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read(folder)


def test_an_old_binary_workbook_is_refused_with_what_to_do(tmp_path):
    (write(tmp_path, '[tables.leads]\npath = "leads.xls"') / "leads.xls").write_bytes(b"\xd0\xcf\x11\xe0rest")
    with pytest.raises(DataError, match="is a workbook or an archive, not text; save the sheet as CSV"):
        read(tmp_path)
