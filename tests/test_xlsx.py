"""Workbooks: the header found wherever it stands, serial dates, notes above and below, formulas that stay what they are."""

from __future__ import annotations

import datetime
import zipfile

import openpyxl
import pytest
from openpyxl.styles import Font
from openpyxl.utils.datetime import CALENDAR_MAC_1904
from written import LEADS, column, decided, read, reasons, write

from kpi.errors import DataError
from kpi.sources.crm import mapping
from kpi.sources.readers.files import Located

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
    assert mapping.recognised(Located("deals.xlsx", folder / "deals.xlsx"))[0].table == "opportunities"
    assert mapping.recognised(Located("deals.xlsx/Deals", folder / "deals.xlsx", "Deals"))[0].table == "opportunities"
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
    [
        (b"PK\x03\x04 broken", "cannot be read as a workbook"),
        (b"", "cannot be read as a workbook"),
        (None, "is empty"),
        (b"\xef\xbb\xbf\n<html><table>", "it is a web page or XML"),
    ],
)
def test_what_is_no_workbook_is_refused(tmp_path, content, message):
    folder = write(tmp_path, '[tables.leads]\npath = "leads.xlsx"')
    if content is None:
        book(folder / "leads.xlsx", ("x", []))
    else:
        (folder / "leads.xlsx").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read(folder)


def test_a_binary_file_is_refused_with_what_to_do(tmp_path):
    content = b"\xd0\xcf\x11\xe0rest"
    (write(tmp_path, '[tables.leads]\npath = "leads.xls"') / "leads.xls").write_bytes(content)
    with pytest.raises(DataError, match=r"leads.xls cannot be read as a workbook: .*; open it and save it again as .xlsx, or export it as CSV"):
        read(tmp_path)
    write(tmp_path, "[tables.leads]\npath = 'leads.csv'", leads=content)
    with pytest.raises(DataError, match="is a workbook or an archive, not text; save the sheet as CSV"):
        read(tmp_path)


PIPEDRIVE = '[company]\ntimezone = "UTC"\n[tables.opportunities]\npath = "deals.xlsx"\nformat = "pipedrive"'


def change(path, *pairs: tuple[str, str], part: str = "xl/worksheets/sheet1.xml"):
    """Write into the XML what openpyxl would not."""
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name).decode() for name in archive.namelist()}
    for old, new in pairs:
        assert old in contents[part], contents[part]
        contents[part] = contents[part].replace(old, new)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)


def test_a_formula_counts_as_the_value_saved_with_it_and_an_error_is_no_number(tmp_path):
    rows = [
        DEALS,
        [1, "Open", "Demo", "Ann", "=2+3", WHEN, None],
        [2, "Open", "Demo", "Bob", "=1/0", WHEN, None],
        [3, "Open", "Demo", "Bob", 1, WHEN],
    ]
    folder = write(tmp_path, PIPEDRIVE)
    path = book(folder / "deals.xlsx", ("x", rows))
    change(path, ("<f>2+3</f><v />", "<f>2+3</f><v>5</v>"), ('<c r="E3"><f>1/0</f><v />', '<c r="E3" t="e"><f>1/0</f><v>#DIV/0!</v>'))
    reading, tables = read(folder)
    assert column(tables["opportunities"], "amount") == [5, 1]
    assert reading.set_aside[["row", "value", "reason"]].to_numpy().tolist() == [[3, "#DIV/0!", "unreadable amount"]]


def test_whole_numbers_keep_every_digit_and_formats_change_none(tmp_path):
    rows = [DEALS, [1, "Open", "Demo", "Ann", 7, WHEN, None], [2, "Open", "Demo", "Bob", 12.5, WHEN, None], [3, "Open", "Demo", "Cy", 8, WHEN, None]]
    folder = write(tmp_path, PIPEDRIVE)
    made = openpyxl.Workbook()
    for row in rows:
        made.active.append(row)
    for cell, shape in {"A2": "00000", "E2": '0 "days"', "E3": '#,##0.00\\ "€/m"', "E4": "[Red]0"}.items():
        made.active[cell].number_format = shape
    made.save(folder / "deals.xlsx")
    change(folder / "deals.xlsx", ("<v>3</v>", "<v>12345678901234567</v>"))
    tables = read(folder)[1]
    assert sorted(column(tables["opportunities"], "opportunity_id")) == ["1", "12345678901234567", "2"]
    assert sorted(column(tables["opportunities"], "amount")) == [7, 8, 12.5]


def test_formulas_below_and_beside_all_values_stay_where_they_are(tmp_path):
    rows = [[], ["", *DEALS], ["", 1, "Open", "Demo", "Ann", 5, WHEN, None], [None, "=A1", "=A1", "=A1", "=A1", "=A1", "=A1"]]
    folder = write(tmp_path, PIPEDRIVE)
    book(folder / "deals.xlsx", ("x", rows))
    reading, tables = read(folder)
    assert column(tables["opportunities"], "opportunity_id") == ["1"]
    assert reading.set_aside[["row", "value"]].to_numpy().tolist() == [[4, "=A1"]]


def test_dates_are_counted_as_the_workbook_says_and_hidden_sheets_left(tmp_path):
    folder = write(tmp_path, PIPEDRIVE)
    made = openpyxl.Workbook()
    made.epoch = CALENDAR_MAC_1904
    hidden, sheet = made.active, made.create_sheet("Deals")
    hidden.sheet_state, hidden.title = "hidden", "Old"
    for row in [DEALS, [1, "Open", "Demo", "Ann", 5, WHEN, None], [2, "Open", "Demo", "Ann", 5, 44621.5, None]]:
        sheet.append(row)
        hidden.append(row)
    made.save(folder / "deals.xlsx")
    reading, tables = read(folder)
    assert ("sheet", "Deals") in decided(reading)
    assert column(tables["opportunities"], "created_at") == [WHEN, datetime.datetime(2026, 3, 2, 12)]
    write(tmp_path, PIPEDRIVE.replace("deals.xlsx", "deals.xlsx/Old"))
    with pytest.raises(DataError, match=r"has no sheet 'Old'"):
        read(folder)


def ods(path, rows: list[list[str]]) -> None:
    """A spreadsheet of LibreOffice with the given cells: their attributes and what is shown."""
    names = {name: f"urn:oasis:names:tc:opendocument:xmlns:{name}:1.0" for name in ("office", "table", "text")}
    spaces = " ".join(f'xmlns:{name}="{address}"' for name, address in names.items())
    lines = "".join(f"<table:table-row>{''.join(row)}</table:table-row>" for row in rows)
    body = f'<office:body><office:spreadsheet><table:table table:name="Deals">{lines}</table:table></office:spreadsheet></office:body>'
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("META-INF/manifest.xml", '<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"/>')
        archive.writestr("content.xml", f'<office:document-content {spaces} office:version="1.2">{body}</office:document-content>')


def ods_cell(kind: str, value: str = "", shown: str = "") -> str:
    stated = {"float": f'office:value="{value}"', "date": f'office:date-value="{value}"', "string": ""}[kind]
    return f'<table:table-cell office:value-type="{kind}" {stated}><text:p>{shown}</text:p></table:table-cell>'


def test_an_open_document_sheet(tmp_path):
    header = [ods_cell("string", shown=name) for name in DEALS]
    first = [ods_cell("float", "1", "1"), *(ods_cell("string", shown=text) for text in ("Open", "Demo", "Ann"))]
    row = [*first, ods_cell("float", "1250.5", "1 250,50 €"), ods_cell("date", "2026-03-02T09:30:00", "02/03/26")]
    folder = write(tmp_path, PIPEDRIVE.replace("xlsx", "ods"))
    ods(folder / "deals.ods", [["<table:table-cell/>"], header, row])
    reading, tables = read(folder)
    assert {("sheet", "Deals"), ("header in row", "2")} <= decided(reading)
    deal = tables["opportunities"][0]
    assert (deal["opportunity_id"], deal["amount"], deal["created_at"]) == ("1", 1250.5, WHEN)
    assert mapping.recognised(Located("deals.ods/Deals", folder / "deals.ods", "Deals"))[0].table == "opportunities"


def test_all_sheets_of_one_header_are_read_and_the_others_told(tmp_path):
    """A sheet per year: 2 + 1 leads; in another order and without a note above; a third sheet is something else."""
    header = ["lead_id", "created_at", "source", "owner"]
    folder = write(tmp_path, '[company]\ntimezone = "UTC"\n[tables.leads]\npath = "leads.xlsx"')
    old = [["Leads of 2025"], header, ["L1", "2025-03-02", "web", "Ann"], ["L2", "2025-03-03", "web", "Ann"]]
    new = [header[::-1], ["Bob", "fair", "2026-03-02", "L3"]]
    book(folder / "leads.xlsx", ("2025", old), ("2026", new), ("owners", [["owner", "phone"], ["Ann", "1"]]))
    reading, tables = read(folder)
    assert [(row["lead_id"], row["owner"]) for row in tables["leads"]] == [("L1", "Ann"), ("L2", "Ann"), ("L3", "Bob")]
    assert set(reading.decisions["file"]) >= {"leads.xlsx/2025", "leads.xlsx/2026"}
    write(folder, '[company]\ntimezone = "UTC"\n[tables.leads]\nfiles = ["leads.xlsx"]\nquery = "select * from files[0]"')
    assert len(read(folder)[1]["leads"]) == 3
    write(folder, '[company]\ntimezone = "UTC"\n[tables.leads]\npath = "leads.xlsx/2025"')
    assert len(read(folder)[1]["leads"]) == 2, "a sheet that is named is the one meant"
    book(folder / "leads.xlsx", ("2025", old), ("owners", [["owner", "phone"], ["Ann", "1"]]))
    write(folder, '[company]\ntimezone = "UTC"\n[tables.leads]\npath = "leads.xlsx"')
    assert ("sheets not read", "owners") in set(zip(*[read(folder)[0].decisions[name] for name in ("decision", "value")], strict=True))
