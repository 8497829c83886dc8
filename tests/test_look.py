"""What is told at a glance is what a survey of all cells tells, and what is read by it is what is read cell by cell."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from written import read, write

from kpi.errors import KpiError
from kpi.sources import stage
from kpi.sources.typing import look
from kpi.sources.typing.look import BLANKS, Dates, Numbers

HEADER = "order_id;customer_id;at;amount;kind;product\n"
texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=4)


@given(st.lists(st.builds("{}{}{}".format, *[st.text(st.sampled_from(BLANKS), max_size=2), texts, st.text(st.sampled_from(BLANKS), max_size=2)])))
def test_blanks_are_taken_off_both_ends(cells):
    assert look.stripped(pa.array(cells, pa.string())).to_pylist() == [cell.strip(BLANKS) for cell in cells]
    assert look.stripped(pa.array(["x", *cells], pa.string()).slice(1)).to_pylist() == [cell.strip(BLANKS) for cell in cells]


@pytest.mark.parametrize("blank", BLANKS)
def test_every_blank_is_one_at_either_end(blank):
    for cell in (f"{blank}é", f"é{blank}", f"a{blank}", blank):
        assert look.stripped(pa.array(["é", "", cell])).to_pylist() == ["é", "", cell.strip(blank)]


def test_cells_without_blanks_are_left_where_they_are():
    cells = pa.array(["Étagère", "", "a b", "prix à 5 €", "déjà"])
    assert look.stripped(cells) is cells


def seen(kind, *batches):
    taken = kind()
    for cells in batches:
        taken.see(pa.array(cells, pa.string()))
    return taken


def test_dates_by_hand():
    taken = seen(Dates, ["03/02/2026 00:00", "", "14/02/2025 00:00"], ["01/12/2027 00:00"])
    assert (taken.mask, taken.years, taken.is_day_first, taken.is_month_first, taken.is_timed) == (
        "99/99/9999 99:99",
        (2025, 2027),
        True,
        False,
        False,
    )
    assert taken.layout(month_first=False) == "%d/%m/%Y %H:%M"
    assert taken.layout(month_first=True) == "%m/%d/%Y %H:%M"
    assert seen(Dates, ["2026-02-03T10:00:00"]).layout(month_first=False) == "%Y-%m-%dT%H:%M:%S"
    assert seen(Dates, ["2026-02-03T10:00:00"]).is_timed
    assert seen(Dates, ["02/30/2026", "30/02/2026"]).is_month_first  # both ways: nothing is evident


def test_edges_of_dates():
    assert not seen(Dates, ["03/02/2026 24:00"]).is_even
    assert seen(Dates, ["03/02/2026 23:59"]).is_even
    for day, is_first in {"12": False, "13": True, "31": True, "32": False}.items():
        assert seen(Dates, [f"{day}/12/2026"]).is_day_first == is_first
        assert seen(Dates, [f"12/{day}/2026"]).is_month_first == is_first
    assert not seen(Dates, ["14/00/2026"]).is_day_first
    assert not seen(Dates, ["14/13/2026"]).is_day_first
    assert [seen(Dates, [f"03/02/2026 {time}"]).is_timed for time in ("00:00", "00:05", "05:00", "00:00:01")] == [False, True, True, True]


@pytest.mark.parametrize(
    "odd", ["3/02/2026", "03/02/26", "2026-02-03", "03/02/2026 10:00", "03.02.2026", "??/02/2026", "le 03/02/2026", "03/02/2026 24:00"]
)
def test_dates_that_differ_are_left_to_the_survey(odd):
    for cells in (["03/02/2026", odd], [odd, "03/02/2026"]):
        assert not seen(Dates, cells).is_even
        assert not seen(Dates, cells[:1], cells[1:]).is_even
        assert not seen(Dates, cells[:1]).joined(seen(Dates, cells[1:])).is_even
    assert seen(Dates, ["03/02/2026"]).joined(Dates()).is_even


def test_numbers_by_hand():
    assert seen(Numbers, ["12", "-3,5", ""]) == Numbers({","})
    assert seen(Numbers, ["1,234,567"]) == Numbers({","}, is_grouped=True)
    assert seen(Numbers, ["1,5", "", "12", "1,2,3"]).is_grouped
    assert not seen(Numbers, ["1,5", "", "12", "1,2"]).is_grouped
    assert "?" in seen(Numbers, ["12 500,00"]).signs
    assert seen(Numbers, ["1,5"]).joined(seen(Numbers, ["1.5"])).signs == {",", "."}


def outcome(folder, rows: list[tuple[str, str]], toml: str = ""):
    """All that reading makes of rows, or the message it is refused with."""
    body = "".join(f"O{place};C;{at};{amount};sale;x\n" for place, (at, amount) in enumerate(rows))
    try:
        reading, tables = read(write(folder, f'[company]\ntimezone = "Europe/Paris"\n[tables.orders]\n{toml}', orders=HEADER + body))
    except KpiError as error:
        return str(error)
    return tables["orders"], reading.precision, *(table.to_dict("records") for table in (reading.ledger, reading.set_aside, reading.decisions))


def one_by_one(folder, rows, toml=""):
    """The same without the glance: each cell is surveyed and read by the patterns of values.py."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "_looked", lambda *_: {})
        return outcome(folder, rows, toml)


formats = st.sampled_from(
    ["%d/%m/%Y %H:%M:%S", "%d/%m/%Y %H:%M", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%Y-%m-%d", "%Y/%m/%d", "%Y-%m-%dT%H:%M:%S"]
)
moments = st.datetimes(datetime(1890, 1, 1), datetime(2210, 12, 31)) | st.dates().map(lambda day: datetime(day.year, day.month, day.day))
odd_dates = st.sampled_from(
    ["", "31/02/2026", "32/01/2026", "00/00/0000", "29/02/2023 10:00", "01/02/2026 24:00:00", "01/02/2026 23:60:00", "2026-13-01", "99/99/9999"]
)
numbers = st.tuples(st.sampled_from(["{:.2f}", "{:.3f}", "{:,.2f}", "{:.0f}", "{:,.0f}"]), st.floats(-(10**7), 10**7)).map(
    lambda pair: pair[0].format(pair[1])
)
odd_numbers = st.sampled_from(["", "-", "--5", "5-", "1-2", ",5", "5,", ",", "1,2,3", "+5", "1e5", "inf", "nan", "1_0", "0x1F", "12 500"])


@settings(max_examples=25, deadline=None)
@given(
    way=formats,
    ats=st.lists(moments, min_size=1, max_size=6),
    amounts=st.lists(numbers, min_size=1, max_size=6),
    odd=st.none() | st.tuples(odd_dates, odd_numbers),
    comma=st.booleans(),
    declared=st.sampled_from(["", "decimal = ','", "decimal = '.'", 'dates = "%d/%m/%Y"', "where = {product = 'x'}"]),
)
def test_a_glance_reads_what_a_survey_reads(tmp_path_factory, way, ats, amounts, odd, comma, declared):
    turned = [amount.translate(str.maketrans(",.", ".,")) if comma else amount for amount in amounts]
    rows = [(at.strftime(way), amount) for at, amount in itertools.zip_longest(ats, turned, fillvalue=None) if at and amount]
    rows += [odd] if odd else []
    folder = tmp_path_factory.mktemp("glance")
    assert outcome(folder, rows, declared) == one_by_one(folder, rows, declared)


@pytest.mark.parametrize("way", ["%d/%m/%Y %H:%M:%S", "%Y-%m-%d %H:%M:%S", "%m-%d-%Y %H:%M", "%Y/%m/%d"])
def test_every_day_and_minute_is_read_alike(tmp_path, way):
    days = [datetime(2023, 1, 1) + timedelta(days=place, minutes=7 * place) for place in range(800)]
    impossible = ["30/02/2024", "31/04/2024", "29/02/2023", "00/01/2024", "01/00/2024", "32/01/2024", "01/13/2024"]
    rows = [(day.strftime(way), "1") for day in days]
    rows += [(f"{day}/{month}/{year}", "1") for day, month, year in (text.split("/") for text in impossible)] if way == "%d/%m/%Y" else []
    rows += (
        [(f"15/0{hour % 9 + 1}/2024 {hour:02d}:{minute:02d}:00", "1") for hour in range(24) for minute in (0, 30, 59, 60, 99)] if "S" in way else []
    )
    assert outcome(tmp_path, rows) == one_by_one(tmp_path, rows)


def test_two_files_are_taken_together(tmp_path):
    toml = '[company]\ntimezone = "UTC"\n[tables.orders]\npath = "orders*.csv"\n'
    first, second = HEADER + "O1;C;14/02/2026;1,5;sale;x\n", HEADER + "O2;C;03/02/2026;1.234,5;sale;x\n"
    _, tables = read(write(tmp_path, toml, orders=first, orders2=second))
    assert [(row["at"].day, row["amount"]) for row in tables["orders"]] == [(14, 1.5), (3, 1234.5)]


def test_a_large_file_goes_through_the_engine(tmp_path, monkeypatch):
    rows = [("14/02/2026 10:00", "1,5"), ("15/02/2026 10:00", "oops"), ("16/02/2026 10:00", "2,5")]
    light = outcome(tmp_path, rows)
    monkeypatch.setattr(stage, "_LIGHT", 10)
    assert outcome(tmp_path, rows) == light
