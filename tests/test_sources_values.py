"""Numbers, dates, instants and yes or no as offices write them: decided per column, refused where it cannot be told, never guessed per value."""

from __future__ import annotations

import datetime
import random
import unicodedata
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from babel.dates import format_datetime
from babel.numbers import get_currency_symbol
from hypothesis import given, settings
from hypothesis import strategies as st
from written import column, connection, decided, read, reasons, write

import kpi
from kpi.engine import collect
from kpi.errors import DataError
from kpi.sources import sql
from kpi.sources.cells import BLANKS, stripped
from kpi.sources.typing import zones


def amounts(folder, *cells: str, toml: str = "") -> tuple:
    """Read cells as the amounts of orders; the amounts in order of the rows, and the reading."""
    lines = [f"O{n:03};C1;2026-03-02 09:00;{cell}" for n, cell in enumerate(cells)]
    text = "\n".join(["order_id;customer_id;at;amount", *lines])
    reading, tables = read(write(folder, f'[company]\ntimezone = "UTC"\n[tables.orders]\n{toml}', orders=text))
    return column(tables["orders"], "amount"), reading


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["12.5", "-3", "+4", "1000"], [12.5, -3, 4, 1000]),
        (["12 500,50", "8\u202f000,00 €", "1\u00a0234,5", "7"], [12500.5, 8000, 1234.5, 7]),
        (["1'234.50", "1’234’567.00", "12"], [1234.5, 1234567, 12]),
        (["1,234.50", "1,234", "€2,000,000"], [1234.5, 1234, 2000000]),
        (["1.234,50", "1.234", "2.000.000"], [1234.5, 1234, 2000000]),
        (["1,234,567", "1,234"], [1234567, 1234]),
        (["0,125", "3,500"], [0.125, 3.5]),
        (["1234,567", "3,500"], [1234.567, 3.5]),
        (["€1,234.50", "-€5", "€ 12", "EUR 7", "12 eur", "\u22128"], [1234.5, -5, 12, 7, 12, -8]),
        (["1.5e3", "12"], [1500, 12]),
        (["12", "1234", "0"], [12, 1234, 0]),
        ([",5", "1,"], [0.5, 1]),
    ],
)
def test_numbers_as_offices_write_them(tmp_path, cells, expected):
    found, reading = amounts(tmp_path, *cells)
    assert found == expected
    assert reasons(reading) == {}


@pytest.mark.parametrize("cell", ["a lot", "12 34", "1.2.3", "1,23,4.5", "12%", "--3", "nan", "inf", "1e999", "0x10", "1_000"])
def test_what_is_no_number_sets_its_row_aside(tmp_path, cell):
    found, reading = amounts(tmp_path, cell, "1.5", "2.25")
    assert found == [1.5, 2.25]
    assert reading.set_aside[["row", "column", "value", "reason"]].to_numpy().tolist() == [[2, "amount", cell, "unreadable amount"]]


def test_numbers_that_could_be_either_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"orders amount: '1,234' can be read with a comma or a point as the decimal sign.*write decimal = "):
        amounts(tmp_path, "1,234", "5")
    assert amounts(tmp_path, "1,234", "5", toml='decimal = ","')[0] == [1.234, 5]
    assert amounts(tmp_path, "1,234", "5", toml='decimal = "."')[0] == [1234, 5]


def test_two_ways_in_one_column_are_refused_and_a_declared_one_sets_the_other_aside(tmp_path):
    with pytest.raises(DataError, match=r"orders amount mixes '1,5' and '2\.25' \(orders\.csv:2, orders\.csv:3\); write decimal"):
        amounts(tmp_path, "1,5", "2.25")
    found, reading = amounts(tmp_path, "1,5", "2.25", toml='decimal = ","')
    assert found == [1.5]
    assert reasons(reading) == {"unreadable amount": 1}


def test_a_column_that_cannot_be_told_follows_its_siblings(tmp_path):
    text = "order_id;customer_id;at;amount;margin\nO1;C1;2026-03-02;1,234;0,5\n"
    tables = read(write(tmp_path, "", orders=text))[1]
    assert (tables["orders"][0]["amount"], tables["orders"][0]["margin"]) == (1.234, 0.5)


def grouped(number: int, cents: int, group: str, decimal: str) -> str:
    return f"{number:,}".replace(",", group) + f"{decimal}{cents:02}"


@settings(max_examples=15)
@given(
    values=st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 99)), min_size=1, max_size=8),
    way=st.sampled_from([(" ", ","), ("\u202f", ","), (".", ","), (",", "."), ("'", "."), ("", ","), ("", ".")]),
)
def test_any_amount_survives_any_locale(tmp_path_factory, values, way):
    found, _ = amounts(tmp_path_factory.mktemp("any"), *(grouped(*value, *way) for value in values))
    assert found == [number + cents / 100 for number, cents in values]


def instants(folder, *cells: str, toml: str = "", zone: str = "UTC") -> tuple:
    """Read cells as the times of leads; the instants in order of the rows, and the reading."""
    text = "\n".join(["lead_id;created_at;source;owner", *(f"L{n:03};{cell};web;Ann" for n, cell in enumerate(cells))])
    reading, tables = read(write(folder, f'[company]\ntimezone = "{zone}"\n[tables.leads]\n{toml}', leads=text))
    return [moment.isoformat(sep=" ") for moment in column(tables["leads"], "created_at")], reading


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["2026-03-04", "2026-3-5"], ["2026-03-04 00:00:00", "2026-03-05 00:00:00"]),
        (["2026-03-04 08:30", "2026/03/04T8:30:15", "2026-03-04 08:30:15.25", "2026-03-04 08:30:15,25"],
         ["2026-03-04 08:30:00", "2026-03-04 08:30:15", "2026-03-04 08:30:15.250000", "2026-03-04 08:30:15.250000"]),
        (["03/04/2026 08:30", "25/04/2026 08:30"], ["2026-04-03 08:30:00", "2026-04-25 08:30:00"]),
        (["03/04/2026 08:30", "04/25/2026 08:30"], ["2026-03-04 08:30:00", "2026-04-25 08:30:00"]),
        (["3.4.2026", "25.4.26"], ["2026-04-03 00:00:00", "2026-04-25 00:00:00"]),
        (["03-04-2026 8:30", "25-04-2026 08:30:01"], ["2026-04-03 08:30:00", "2026-04-25 08:30:01"]),
        (["4/25/2026 12:05 AM", "4/3/2026 8:30:09 pm"], ["2026-04-25 00:05:00", "2026-04-03 20:30:09"]),
        (["2026-03-04T08:30:00Z", "2026-03-04 08:30:00 UTC", "2026-03-04T08:30+01:00", "2026-03-04 08:30:00.5 -0530", "2026-03-04 08:30:00+02"],
         ["2026-03-04 08:30:00", "2026-03-04 08:30:00", "2026-03-04 07:30:00", "2026-03-04 14:00:00.500000", "2026-03-04 06:30:00"]),
        (["25/04/2026 08:30 +02:00", "03/04/2026 08:30"], ["2026-04-25 06:30:00", "2026-04-03 08:30:00"]),
    ],
)  # fmt: skip
def test_dates_as_offices_write_them(tmp_path, cells, expected):
    found, reading = instants(tmp_path, *cells)
    assert found == expected
    assert reasons(reading) == {}


@pytest.mark.parametrize(
    "cell", ["2026-02-30", "soon", "infinity", "epoch", "2026-13-01", "0202-01-01", "9999-12-31", "45678", "2026-03-04 25:00", "now()"]
)
def test_what_is_no_date_sets_its_row_aside(tmp_path, cell):
    found, reading = instants(tmp_path, "2026-03-04 08:30", cell)
    assert found == ["2026-03-04 08:30:00"]
    assert reading.set_aside[["row", "column", "value", "reason"]].to_numpy().tolist() == [[3, "created_at", cell, "unreadable created_at"]]


def test_dates_that_could_be_either_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"leads created_at: '03/04/2026' can be read day or month first.*write dates = \"%d/%m/%Y\""):
        instants(tmp_path, "03/04/2026", "05/06/2026")
    assert instants(tmp_path, "03/04/2026", toml='dates = "%d/%m/%Y"')[0] == ["2026-04-03 00:00:00"]
    assert instants(tmp_path, "03/04/2026 09:15", toml='dates = "%m/%d/%Y"')[0] == ["2026-03-04 09:15:00"]


def test_day_first_and_month_first_in_one_column_are_refused(tmp_path):
    with pytest.raises(
        DataError, match=r"leads created_at has dates that are day first and others that are month first \(leads\.csv:\d, leads\.csv:\d\)"
    ):
        instants(tmp_path, "25/04/2026", "04/25/2026")
    found, reading = instants(tmp_path, "25/04/2026", "04/25/2026", toml='dates = "%d/%m/%Y"')
    assert found == ["2026-04-25 00:00:00"]
    assert reasons(reading) == {"unreadable created_at": 1}


def test_declared_formats(tmp_path):
    assert instants(tmp_path, "4 March 2026 8h30", "2026-03-05", toml='dates = ["%d %B %Y %Hh%M", "%d/%m/%Y"]')[0] == [
        "2026-03-04 08:30:00",
        "2026-03-05 00:00:00",
    ]
    with pytest.raises(DataError, match="dates = '%Q' is no format of a date"):
        instants(tmp_path, "x", toml='dates = "%Q"')
    with pytest.raises(DataError, match="leave the offset out"):
        instants(tmp_path, "x", toml='dates = "%Y-%m-%d %H:%M %z"')


def test_undecided_dates_follow_their_siblings(tmp_path):
    text = "lead_id;created_at;assigned_at;source;owner\nL1;25/04/2026 08:00;03/05/2026 09:00;web;Ann\n"
    reading, tables = read(write(tmp_path, '[company]\ntimezone = "UTC"', leads=text))
    assert tables["leads"][0]["assigned_at"] == datetime.datetime(2026, 5, 3, 9)
    assert ("dates", "assigned_at: day first") in decided(reading)


def test_hours_that_do_not_exist_or_occur_twice(tmp_path):
    found, reading = instants(tmp_path, "2026-03-29 02:30", "2026-10-25 02:30", "2026-10-25 03:00", "2026-03-29 03:00", zone="Europe/Paris")
    assert found == ["2026-03-29 01:30:00", "2026-10-25 00:30:00", "2026-10-25 02:00:00", "2026-03-29 01:00:00"]
    assert {("local hours that do not exist", "created_at: 1"), ("local hours that occur twice", "created_at: 1")} <= decided(reading)
    assert ("time zone", "created_at: Europe/Paris") in decided(reading)


def test_a_table_may_have_its_own_zone_but_a_date_is_the_company_s(tmp_path):
    assert instants(tmp_path, "2026-07-01 09:00", zone="Europe/Paris", toml='timezone = "America/Sao_Paulo"')[0] == ["2026-07-01 12:00:00"]
    found, reading = instants(tmp_path, "2026-07-01", zone="Europe/Paris", toml='timezone = "America/Sao_Paulo"')
    assert found == ["2026-06-30 22:00:00"]
    assert reading.precision == {("leads", "created_at"): "day"}


@pytest.mark.parametrize(
    ("cells", "precision", "first"),
    [
        (["2026-07-01", "2026-07-02"], "day", "2026-06-30 22:00:00"),
        (["2026-07-01 00:00:00", "2026-07-02"], "day", "2026-06-30 22:00:00"),
        (["2026-07-01T00:00:00Z", "2026-07-02T00:00:00.000Z"], "day", "2026-06-30 22:00:00"),
        (["2026-07-01T00:00:00Z", "2026-07-02T00:30:00Z"], "second", "2026-07-01 00:00:00"),
        (["2026-07-01 00:00", "2026-07-02 09:00"], "second", "2026-06-30 22:00:00"),
    ],
)
def test_an_instant_column_with_only_midnights_has_the_precision_of_a_day(tmp_path, cells, precision, first):
    found, reading = instants(tmp_path, *cells, zone="Europe/Paris")
    assert (reading.precision["leads", "created_at"], found[0]) == (precision, first)


@pytest.mark.slow
@settings(max_examples=20)
@given(
    moments=st.lists(
        st.datetimes(datetime.datetime(1990, 1, 1), datetime.datetime(2030, 1, 1)).map(lambda m: m.replace(microsecond=0)), min_size=1, max_size=8
    ),
    zone=st.sampled_from(["Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "America/Sao_Paulo", "UTC", "Pacific/Apia"]),
)
def test_local_time_becomes_utc_as_python_says(tmp_path_factory, moments, zone):
    found, reading = instants(tmp_path_factory.mktemp("any"), *map(str, moments), zone=zone)
    if reading.precision["leads", "created_at"] == "second":
        utc = [moment.replace(tzinfo=ZoneInfo(zone)).astimezone(datetime.UTC).replace(tzinfo=None) for moment in moments]
        assert found == [moment.isoformat(sep=" ") for moment in utc]


@pytest.mark.parametrize(
    "zone", ["Europe/Paris", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Pacific/Apia", "Africa/Casablanca", "UTC"]
)
def test_each_change_of_a_zone_is_found_to_the_second(zone):
    """Against the slow definition, around every change of offset."""
    years = (2009, 2026)
    _, changes = zones.changes(zone, *years)
    moments = [edge + datetime.timedelta(seconds=shift) for change in changes for edge in (change.first, change.last) for shift in (-1, 0, 1)]
    moments += [datetime.datetime(year, month, 15, 12) for year in range(2009, 2027) for month in (1, 7)]
    with connection() as opened:
        values = ", ".join(f"(timestamp '{moment}')" for moment in moments)
        found = opened.execute(f"select t, {zones.utc('t', zone, years)} from (values {values}) v(t)").fetchall()
    for local, utc in found:
        assert utc == local.replace(tzinfo=ZoneInfo(zone)).astimezone(datetime.UTC).replace(tzinfo=None), local
    assert zone == "UTC" or len(changes) > 3


def test_dates_keep_the_day_the_company_saw(tmp_path):
    text = "opportunity_id;owner;stage;status;expected_close_on\nD1;A;N;open;{}\n"
    for cell, day in {"2026-07-01": 1, "2026-07-01 23:30": 1, "2026-07-01T23:30:00Z": 2, "2026-07-02 00:30:00+02:00": 2}.items():
        tables = read(write(tmp_path, '[company]\ntimezone = "Europe/Paris"', opportunities=text.format(cell)))[1]
        assert tables["opportunities"][0]["expected_close_on"] == datetime.date(2026, 7, day), cell


def test_a_date_far_away_is_a_date(tmp_path):
    text = "contract_id;customer_id;start_on;end_on;monthly_amount\nK1;C1;2026-01-01;9999-12-31;10\nK2;C1;2026-01-01;2025-12-31;10\n"
    reading, tables = read(write(tmp_path, "", contracts=text))
    assert column(tables["contracts"], "end_on") == [datetime.date(9999, 12, 31)]
    assert reasons(reading) == {"ended before it started": 1}


@pytest.mark.parametrize("yes, no", [("true", "false"), ("1", "0"), ("Yes", "No"), ("oui", "non"), ("VRAI", "FAUX"), ("1.0", "0.0")])
def test_yes_and_no(tmp_path, yes, no):
    text = "activity_id;at;kind;direction;automated;done;owner\n"
    text += f"A1;2026-03-02;Call;OUTBOUND;{yes};{no};Ann\nA2;2026-03-02;call;outbound;maybe;{no};Ann\n"
    reading, tables = read(write(tmp_path, "", activities=text))
    assert [(row["automated"], row["done"], row["kind"]) for row in tables["activities"]] == [(True, False, "call")]
    assert reasons(reading) == {"unreadable automated": 1}


def test_blank_cells_of_any_kind_are_missing(tmp_path):
    text = "lead_id;created_at;source;owner;country\nL1;2026-03-02; \u00a0;\ufeff\t;FR\n"
    tables = read(write(tmp_path, "", leads=text))[1]
    assert (tables["leads"][0]["source"], tables["leads"][0]["owner"], tables["leads"][0]["country"]) == (None, None, "FR")


blank = st.text(st.sampled_from(BLANKS), max_size=2)


@given(st.lists(st.builds("{}{}{}".format, blank, st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=4), blank), min_size=1))
def test_blanks_are_taken_off_both_ends_as_in_python(cells):
    values = ", ".join(f"({sql.text(cell)})" for cell in cells)
    found = connection().execute(f"select {stripped('cell')} from (values {values}) as t(cell)").fetchall()
    assert [cell for (cell,) in found] == [cell.strip(BLANKS) for cell in cells]


def test_every_space_is_a_blank():
    spaces = {chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) in ("Zs", "Zl", "Zp")}
    assert spaces | set("\t\n\v\f\r\ufeff\u200b") == set(BLANKS)


@pytest.mark.parametrize("way", ["%d/%m/%Y %H:%M:%S", "%Y-%m-%d %H:%M:%S", "%m-%d-%Y %H:%M", "%Y/%m/%d"])
def test_every_day_is_read_and_what_is_none_set_aside(tmp_path, way):
    days = [datetime.datetime(2023, 1, 1) + datetime.timedelta(days=place, minutes=7 * place) for place in range(800)]
    written = [day.strftime(way) for day in days]
    impossible = [datetime.datetime(2024, 4, 17).strftime(way).replace("17", day) for day in ("31", "00", "32")]
    lines = [f"O{place:03};C;{cell};1;sale;x" for place, cell in enumerate([*written, *impossible])]
    text = "order_id;customer_id;at;amount;kind;product\n" + "\n".join(lines)
    reading, tables = read(write(tmp_path, '[company]\ntimezone = "UTC"', orders=text))
    assert column(tables["orders"], "at") == [datetime.datetime.strptime(cell, way) for cell in written]
    assert reasons(reading) == {"unreadable at": len(impossible)}


# --- evidence belongs to one file

FILES = '[company]\ntimezone = "UTC"\n[tables.orders]\npath = "orders*.csv"\n'


def order_file(*rows: str) -> str:
    return "order_id;customer_id;at;amount;margin\n" + "".join(f"{row}\n" for row in rows)


def test_each_file_is_decided_by_itself(tmp_path):
    french = order_file("F1;C;14/02/2026;1.234,5;", "F2;C;03/02/2026;1,250;1.000")
    american = order_file("A1;C;02/14/2026;1,234.5;", "A2;C;03/02/2026;1,250;1,000")
    reading, tables = read(write(tmp_path, FILES, orders=french, orders2=american))
    found = {row["order_id"]: (row["at"].month, row["at"].day, row["amount"], row["margin"]) for row in tables["orders"]}
    assert found == {"F1": (2, 14, 1234.5, None), "F2": (2, 3, 1.25, 1000), "A1": (2, 14, 1234.5, None), "A2": (3, 2, 1250, 1000)}
    told = set(reading.decisions[reading.decisions["decision"].isin(["dates", "decimal"])][["file", "value"]].itertuples(index=False, name=None))
    assert {("orders.csv", "at: day first"), ("orders2.csv", "at: month first"), ("orders.csv", "amount: ,")} <= told


@pytest.mark.parametrize(
    ("row", "refused"),
    [
        (
            "O2;C;03/02/2026;1.234,5;",
            r"orders at: '03/02/2026' can be read day or month first, and no other value of the file tells \(orders2.csv:2\)",
        ),
        ("O2;C;2026-02-03;1,234;", r"orders amount: '1,234' can be read with a comma or a point .* \(orders2.csv:2\); write decimal"),
    ],
)
def test_a_file_that_cannot_tell_borrows_from_no_other(tmp_path, row, refused):
    folder = write(tmp_path, FILES, orders=order_file("O1;C;14/02/2026;1,5;", "O3;C;15/02/2026;2,5;"), orders2=order_file(row))
    with pytest.raises(DataError, match=refused):
        read(folder)
    told = FILES + 'dates = "%d/%m/%Y"\ndecimal = ","\n'
    found = {row["order_id"]: (row["at"].day, row["amount"]) for row in read(write(folder, told))[1]["orders"]}
    assert found["O2"] == (3, 1234.5) if "/" in row else (3, 1.234)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 12))])
def test_no_file_is_read_by_the_evidence_of_another(tmp_path, seed):
    """Files of any locale side by side: each gives its own days and amounts, or is refused where it cannot tell them."""
    chance = random.Random(seed)
    for number in range(6):
        files, expected, clear = {}, {}, True
        for file in range(chance.randint(2, 4)):
            is_french, rows, tells = chance.random() < 0.5, [], [False, False]
            for line in range(chance.randint(1, 4)):
                day, amount = (
                    datetime.date(2026, chance.randint(1, 12), chance.choice([chance.randint(1, 12), chance.randint(13, 28)])),
                    chance.randint(1, 9),
                )
                cents = chance.choice([0.0, 0.25])
                tells = [tells[0] or day.day > 12, tells[1] or cents > 0]
                written = f"{amount * 1000 + 234 + cents:,.2f}".removesuffix(".00")
                written = written.translate(str.maketrans(",.", ".,")) if is_french else written
                rows.append(f"{file}-{line};C;{day:{'%d/%m/%Y' if is_french else '%m/%d/%Y'}};{written};")
                expected[f"{file}-{line}"] = (day, amount * 1000 + 234 + cents)
            files[f"orders{file}"] = order_file(*rows)
            clear = clear and all(tells)
        folder = write(tmp_path / str(number), FILES, **files)
        if clear:
            assert {row["order_id"]: (row["at"].date(), row["amount"]) for row in read(folder)[1]["orders"]} == expected
        else:
            with pytest.raises(DataError, match="no other value of the file tells"):
                read(folder)


def test_a_cell_written_otherwise_than_all_others_is_set_aside(tmp_path):
    """One typing error in a hundred rows or more is no second way of writing."""
    rows = [f"O{n};C;{13 + n % 15}/02/2026;{n},5;" for n in range(998)]
    for number, (odd, reason) in enumerate(
        [("X;C;32/13/2026;1,5;", "at"), ("X;C;02/14/2026;1,5;", "at"), ("X;C;14/02/2026;1.5;", "amount"), ("X;C;14/02/2026;1,5 apples;", "amount")]
    ):
        reading, tables = read(write(tmp_path / str(number), FILES, orders=order_file(*rows, odd, "Y;C;03/02/2026;1.000;")))
        assert reasons(reading) == {f"unreadable {reason}": 1}
        assert (len(tables["orders"]), tables["orders"][-1]["at"].day, tables["orders"][-1]["amount"]) == (999, 3, 1000)
    years_first = [f"O{n};C;2026-02-{1 + n % 28:02};1.5;" for n in range(999)]
    reading, _ = read(write(tmp_path / "iso", FILES, orders=order_file(*years_first, "X;C;05/06/2026;1.5;")))
    assert reasons(reading) == {"unreadable at": 1}


# --- no part of a cell is dropped


@pytest.fixture(scope="module")
def money(tmp_path_factory):
    """Amounts as people and exports write them, each read by the kit beside what it is."""

    def read(cells: list[str], header: str = "amount") -> list[float | None]:
        folder = tmp_path_factory.mktemp("money")
        rows = "\n".join(f"O{i};C{i};2026-01-05 10:00:00;{cell}" for i, cell in enumerate(cells))
        (folder / "orders.csv").write_text(f"order_id;customer_id;at;{header}\n{rows}\n", "utf-8")
        toml = '[company]\ncurrency = "EUR"\nexported_at = "2026-03-31"\n[tables.orders]\npath = "orders.csv"\n'
        (folder / "kpi.toml").write_text(toml, "utf-8")
        found = collect(kpi.load(folder).table("orders"), ["order_id"]).set_index("order_id")["amount"]
        return [found.get(f"O{i}") for i in range(len(cells))]

    return read


def test_multipliers_multiply_and_other_words_are_refused(money):
    cells = ["12 k€", "1,5 M€", "850 €", "7 500,00 €", "3 Mio", "2 Mrd", "4 KEU", "-5 K", "€ 6k", "7 eur", "+8"]
    assert money(cells) == [12e3, 1.5e6, 850, 7500, 3e6, 2e9, 4e3, -5e3, 6e3, 7, 8]
    assert money(["12", "3 pcs", "4 ans", "5 max", "6 kg", "7 k k"]) == [12, None, None, None, None, None]


def test_a_currency_in_the_cell_is_the_row_s(tmp_path):
    """Where no column tells it the amount does; a column and a cell that disagree, or two cells, are no amount."""

    def read_in(toml: str, header: str, *cells: str) -> tuple[list, dict]:
        lines = "".join(f"O{n};C;2026-03-02 09:00;{cell}\n" for n, cell in enumerate(cells))
        reading, tables = read(write(tmp_path, f"[company]\n{toml}", orders=f"order_id;customer_id;at;{header}\n{lines}"))
        return [(row["amount"], row["currency"]) for row in tables["orders"]], reasons(reading)

    cells = ["$1,200.00", "€300.00", "£50.00", "USD 10.00", "400.00 EUR", "CA$90.00", "1,200.00 $US", "12 kCHF", "¥5", "70"]
    codes = ["USD", "EUR", "GBP", "USD", "EUR", "CAD", "USD", "CHF", "JPY", "EUR"]
    assert read_in("", "amount", *cells) == (list(zip([1200, 300, 50, 10, 400, 90, 1200, 12e3, 5, 70], codes, strict=True)), {})
    assert read_in('currency = "CAD"', "amount", "$1,200.00", "US$5.00", "9 €")[0] == [(1200, "CAD"), (5, "USD"), (9, "EUR")]
    assert read_in("", "amount;currency", "$5.00;USD", "5 €;USD", "7;chf") == ([(5, "USD"), (7, "CHF")], {"unreadable amount": 1})
    assert read_in("", "amount;margin", "$5.00;2", "5 €;$2.00", "$7;$1") == ([(5, "USD"), (7, "USD")], {"unreadable margin": 1})
    (tmp_path / "orders.csv").unlink()
    deals = "opportunity_id;owner;stage;status;amount\nD1;A;N;open;$1,200.00\nD2;A;N;open;€5.00\n"
    history = "opportunity_id;changed_at;seq;stage;status;owner;amount\n"
    changes = ("D1;2026-01-01", "$1,000.00"), ("D2;2026-01-01", "€5"), ("D2;2026-01-02", "$5")
    history += "".join(f"{change} 10:00;{n};N;open;A;{cell}\n" for n, (change, cell) in enumerate(changes))
    reading, tables = read(write(tmp_path, "", opportunities=deals, opportunity_history=history))
    assert column(tables["opportunity_history"], "amount") == [1000, 5]
    assert reasons(reading) == {"unreadable amount": 1}
    for name in ("opportunities", "opportunity_history"):
        (tmp_path / f"{name}.csv").unlink()
    deals = "Opportunity ID,Opportunity Name,Stage,Owner,Amount,Created Date,Close Date,Closed,Won\n"
    deals += '006,A,Won,Ann,"USD 5,000.00",2026-01-05,2026-02-01,1,1\n007,B,Won,Ann,"EUR 4,000.00",2026-01-05,2026-02-01,1,1\n'
    _, tables = read(write(tmp_path, '[tables.opportunities]\npath = "deals.csv"\nformat = "salesforce"', deals=deals))
    assert [(row["amount"], row["currency"]) for row in tables["opportunities"]] == [(5000, "USD"), (4000, "EUR")]
    (tmp_path / "deals.csv").unlink()
    costs = "customer_id;acquisition_cost\nC1;$5.00\nC2;5.00 €\n"  # the table has no currency, so it is the company's
    assert column(read(write(tmp_path, "", customers=costs))[1]["customers"], "acquisition_cost") == [5]


def test_numbers_that_a_spreadsheet_wrote_with_an_exponent(money):
    assert money(["1,234E+05", "2,345E+06", "120", "350"]) == [123400, 2345000, 120, 350]
    assert money(["1.234E+05", "120.5"]) == [123400, 120.5]


@pytest.mark.slow
@pytest.mark.parametrize("decimal", [",", "."])
def test_every_amount_is_read_as_it_was_written(money, decimal):
    rng = random.Random(7)
    words = {"": 1, " k": 1e3, "k€": 1e3, " M€": 1e6, " Mio €": 1e6, " Mrd": 1e9, " mds EUR": 1e9, " €": 1, " EUR": 1}
    cells, expected = [], []
    for _ in range(300):
        cents, (word, factor) = rng.randrange(1, 10**7), rng.choice(sorted(words.items()))
        group = rng.choice(["", " ", "\u202f", "." if decimal == "," else ","])
        whole = f"{cents // 100:,}".replace(",", group)
        cells.append(f"{rng.choice(['', '-'])}{whole}{decimal}{cents % 100:02d}{word}")
        expected.append((-1 if cells[-1].startswith("-") else 1) * cents / 100 * factor)
    assert money(cells) == pytest.approx(expected)


def test_codes_symbols_and_names_of_a_currency_are_one(tmp_path):
    cells = ["EUR", "eur", "€", "Euro", "usd", "$", "CHF"]
    rows = "\n".join(f"O{i},C{i},2026-01-05 10:00:00,100,{cell}" for i, cell in enumerate(cells))
    (tmp_path / "orders.csv").write_text(f"order_id,customer_id,at,amount,currency\n{rows}\n", "utf-8")
    (tmp_path / "kpi.toml").write_text('[company]\ncurrency = "EUR"\nexported_at = "2026-03-31"\n[tables.orders]\npath = "orders.csv"\n', "utf-8")
    found = collect(kpi.load(tmp_path).table("orders"), ["order_id"])["currency"]
    assert found.tolist() == ["EUR", "EUR", "EUR", "EUR", "USD", "USD", "CHF"]


@pytest.mark.parametrize("offset", ["Z", "+00:00", "+0000", "+00", " UTC"])
def test_midnight_in_utc_is_a_day_in_every_spelling(tmp_path, offset):
    rows = "\n".join(f"D{i},A,2026-01-05T00:00:00{offset},100,Won,won,2026-02-01T00:00:00{offset}" for i in range(4))
    (tmp_path / "o.csv").write_text(f"opportunity_id,owner,created_at,amount,stage,status,closed_at\n{rows}\n", "utf-8")
    toml = '[company]\ntimezone = "America/New_York"\nexported_at = "2026-03-31"\n[tables.opportunities]\npath = "o.csv"\n'
    (tmp_path / "kpi.toml").write_text(toml, "utf-8")
    data = kpi.load(tmp_path)
    assert data.precision["opportunities", "closed_at"] == "day"
    assert collect(data.table("opportunities"))["closed_at"].dt.strftime("%Y-%m-%d %H:%M").unique().tolist() == ["2026-02-01 05:00"]


def test_two_digits_of_a_year_turn_at_seventy(tmp_path):
    rows = "\n".join(f"C{i};15/03/{year}" for i, year in enumerate(("99", "70", "69", "25")))
    (tmp_path / "c.csv").write_text(f"customer_id;acquired_at\n{rows}\n", "utf-8")
    (tmp_path / "kpi.toml").write_text('[company]\nexported_at = "2026-03-31"\n[tables.customers]\npath = "c.csv"\n', "utf-8")
    (tmp_path / "o.csv").write_text("order_id,customer_id,at,amount\nO,C0,2026-01-05 10:00:00,1\n", "utf-8")
    with (tmp_path / "kpi.toml").open("a", encoding="utf-8") as toml:
        toml.write('[tables.orders]\npath = "o.csv"\n')
    found = collect(kpi.load(tmp_path).table("customers"), ["customer_id"])["acquired_at"]
    assert (found + pd.Timedelta(hours=2)).dt.year.tolist() == [1999, 1970, 2069, 2025]


# --- identifiers have a grammar


def orders_of(folder, *ids: str, parents: tuple[str, ...] = ()) -> tuple[list, object]:
    """Read ids as the customers of orders; those that are used, in order of the rows, and the reading."""
    lines = "".join(f"{n:03};{cell};2026-03-02 09:00;1\n" for n, cell in enumerate(ids))
    known = {"customers": "customer_id;segment\n" + "".join(f"{one};A\n" for one in parents)} if parents else {}
    (folder / "customers.csv").unlink(missing_ok=True)
    reading, tables = read(write(folder, '[company]\ntimezone = "UTC"', orders=f"order_id;customer_id;at;amount\n{lines}", **known))
    return column(tables["orders"], "customer_id"), reading


def test_what_names_no_record_is_empty_and_lost_digits_are_told(tmp_path):
    nobody = ["NULL", "None", "N/A", "#N/A", "#NV", "#REF!", "#NOM?", "nan", "\\N", "####"]
    codes = ["7E12", "C1", "#1001", "1E5", "A.0", "NATHAN", "Nantes"]
    lost = ["1,23457E+11", "9.87654E+17", "1E+17", "1.23456789012345E17"]
    found, reading = orders_of(tmp_path, *nobody, *codes, *lost)
    assert found == codes
    assert reasons(reading) == {"empty customer_id": len(nobody), "customer_id without its last digits": len(lost)}


def test_tails_of_floats_and_formulas_that_keep_zeros(tmp_path):
    assert orders_of(tmp_path, "1000.0", "1001,0", "1002", "A7")[0] == ["1000", "1001", "1002", "A7"]
    assert orders_of(tmp_path, "12.0", "12.1", "12.50")[0] == ["12.0", "12.1", "12.50"]  # codes: others have a part behind the point
    assert orders_of(tmp_path, '"=""000001"""', '="000002"', "000003")[0] == ["000001", "000002", "000003"]


def test_nought_is_a_record_only_among_its_like(tmp_path):
    """12 orders of guests; a customer 0 that is known; the numbers 0 to 3; and more of 0 than of any other."""
    assert orders_of(tmp_path, *["0"] * 12, "7", "9")[0] == ["7", "9"]
    assert orders_of(tmp_path, "0", "7", "9", parents=("0", "7", "9"))[0] == ["0", "7", "9"]
    found, reading = orders_of(tmp_path, "0", "7", "9", parents=("7", "9"))
    assert (found, reasons(reading)) == (["7", "9"], {"empty customer_id": 1})
    assert orders_of(tmp_path, "0", "1", "2", "3", "3")[0] == ["0", "1", "2", "3", "3"]
    deals = "opportunity_id,lead_id,owner,stage,status\n1,0,A,N,open\n2,L1,A,N,open\n"
    reading, tables = read(write(tmp_path, "", opportunities=deals, leads="lead_id,created_at,source,owner\nL1,2026-03-02,web,A\n"))
    assert column(tables["opportunities"], "lead_id") == [None, "L1"]
    assert not len(reading.flags[reading.flags["column"] == "lead_id"])


def test_keys_that_systems_write_in_two_ways_are_told(tmp_path):
    written = ["1", "000002", "12.0", "00QDn00000L00aB", "00QDn00000L00aCIAJ"]
    known = ("000001", "2", "12", "00QDn00000L00aBIAJ", "00QDn00000L00aC", "12.5", "3")
    found, reading = orders_of(tmp_path, *written, "12.5", "4", parents=known)
    assert found == ["12.5"]
    [told] = reading.flags[reading.flags["flag"].str.startswith("customer_id like a known one but for leading zeros")].itertuples()
    assert (told.rows, told.example) == (len(written), "'000002' for '2'")


ID = st.one_of(
    st.sampled_from(["NULL", "none", "#N/A", "#VALUE!", "NaN", "n/a", "undefined", "0", "00", "A-1", "7E12", "2E5", "#1001", "none1", "x.0", "1-0"]),
    st.integers(1, 10**17).map(str),
    st.integers(1, 10**6).map(lambda n: f"{n}.0"),
    st.integers(1, 10**6).map(lambda n: f'="{n:08}"'),
    st.builds("{}{}{}E+{}".format, st.integers(1, 9), st.sampled_from(",."), st.integers(10, 99999), st.integers(10, 20)),
)


@pytest.mark.slow
@settings(max_examples=40)
@given(st.lists(ID, min_size=1, max_size=12))
def test_any_ids_are_read_as_the_slow_definition_says(tmp_path_factory, cells):
    """A record, nobody, or a number without its last digits, cell by cell in Python; 0 is a record here, since a customer is called so."""
    expected, aside = [], {"empty customer_id": 0, "customer_id without its last digits": 0}
    for cell in cells:
        text = cell[2:-1] if cell.startswith('="') else cell
        if text.lower() in ("null", "none", "nan", "n/a", "undefined") or text in ("#N/A", "#VALUE!"):
            aside["empty customer_id"] += 1
        elif "E+" in text:
            aside["customer_id without its last digits"] += 1
        else:
            expected.append(text[:-2] if text.endswith(".0") and text[:-2].isdigit() else text)
    found, reading = orders_of(tmp_path_factory.mktemp("ids"), *cells, "0", parents=tuple(dict.fromkeys(["0", *expected])))
    assert found == [*expected, "0"]
    assert reasons(reading) == {reason: n for reason, n in aside.items() if n}


@pytest.mark.slow
@settings(max_examples=30)
@given(
    amounts=st.lists(st.tuples(st.integers(1, 10**8), st.sampled_from(["EUR", "USD", "GBP", "CHF", "CAD", "JPY"])), min_size=1, max_size=12),
    way=st.sampled_from(["{sign}{number}", "{number} {sign}", "{code} {number}", "{number}{code}", "{number}\u00a0{code}"]),
    language=st.sampled_from(["en", "fr"]),
)
def test_any_currency_beside_an_amount_is_the_row_s(tmp_path_factory, amounts, way, language):
    cells = []
    for cents, code in amounts:
        number = grouped(cents // 100, cents % 100, *((",", ".") if language == "en" else ("\u202f", ",")))
        cells.append(way.format(sign=get_currency_symbol(code, language), code=code, number=number))
    lines = "".join(f"O{n:02};C;2026-03-02;{cell}\n" for n, cell in enumerate(cells))
    _, tables = read(write(tmp_path_factory.mktemp("money"), "", orders=f"order_id;customer_id;at;amount\n{lines}"))
    assert [(row["amount"], row["currency"]) for row in tables["orders"]] == [(cents / 100, code) for cents, code in amounts]


# --- day and month swapped by a spreadsheet


def test_days_swapped_by_a_spreadsheet_are_refused(tmp_path):
    """A file of days first opened where months come first: what could be turned is a date now, the rest stayed as it was."""
    days = [datetime.date(2026, 1, 5) + datetime.timedelta(days=9 * n) for n in range(12)]
    cells = [f"{day.year}-{day.day:02}-{day.month:02} 00:00:00" if day.day <= 12 else f"{day:%d/%m/%Y}" for day in days]
    with pytest.raises(DataError, match=r"leads created_at: in real dates the day is never over 12 \(leads\.csv:\d\), in dates kept as text always"):
        instants(tmp_path, *cells)
    with pytest.raises(DataError, match="in real dates the day is never over 12"):
        instants(tmp_path, *cells, toml='dates = "%d/%m/%Y"')
    assert len(instants(tmp_path, *cells, toml='dates = ["%Y-%m-%d", "%d/%m/%Y"]')[0]) == 12
    sound = [f"{day} 00:00:00" if n % 2 else f"{day:%d/%m/%Y}" for n, day in enumerate(days)]
    assert instants(tmp_path, *sound)[0] == [f"{day} 00:00:00" for day in days]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("order", ["%d/%m/%Y", "%m/%d/%Y"])
def test_any_swapped_dates_are_refused_and_mixed_ones_are_not(tmp_path, seed, order):
    rng = random.Random(seed)
    days = [datetime.date(2025, 1, 1) + datetime.timedelta(days=rng.randrange(420)) for _ in range(40)]
    swapped = [f"{day.year}-{day.day:02}-{day.month:02}" if day.day <= 12 else day.strftime(order) for day in days]
    with pytest.raises(DataError, match="never over 12"):
        instants(tmp_path, *swapped)
    mixed = [str(day) if rng.random() < 0.5 else day.strftime(order) for day in days]
    assert instants(tmp_path, *mixed)[0] == [f"{day} 00:00:00" for day in days]


# --- months by name, seconds since 1970, years that come first, dates that are none


def test_months_by_name_in_french_and_in_english(tmp_path):
    cells = [
        "15 janvier 2026",
        "3 févr. 2026",
        "Jan 5, 2026",
        "1er août 2025 10:30",
        "lundi 5 janvier 2026 à 9h05",
        "Monday, March 2nd, 2026 3:04 PM",
    ]
    cells += ["05-janv.-26", "5-Dec-99 08:30:15", "4 déc. 2025, 10:00", "5 mai 2026 10:00:00 +0200", "June 3, 2026 at 12:05 AM", "9 juil. 2026"]
    expected = [
        "2026-01-15 00:00:00",
        "2026-02-03 00:00:00",
        "2026-01-05 00:00:00",
        "2025-08-01 10:30:00",
        "2026-01-05 09:05:00",
        "2026-03-02 15:04:00",
    ]
    expected += [
        "2026-01-05 00:00:00",
        "1999-12-05 08:30:15",
        "2025-12-04 10:00:00",
        "2026-05-05 08:00:00",
        "2026-06-03 00:05:00",
        "2026-07-09 00:00:00",
    ]
    found, reading = instants(tmp_path, *cells, "31 février 2026", "5 jui 2026", "5 brumaire 2026", "mars 2026", "5 mars 2026 soir")
    assert found == expected
    assert reasons(reading) == {"unreadable created_at": 5}


@pytest.mark.slow
@settings(max_examples=20)
@given(
    moments=st.lists(
        st.datetimes(datetime.datetime(1970, 1, 2), datetime.datetime(2069, 1, 1)).map(lambda m: m.replace(second=0, microsecond=0)), min_size=1
    ),
    language=st.sampled_from(["fr", "en"]),
    way=st.sampled_from(
        ["d MMMM y HH:mm", "d MMM y HH:mm", "EEEE d MMMM y HH:mm", "dd-MMM-yy HH:mm", "d-MMM-y HH:mm", "MMMM d, y HH:mm", "MMM d, y h:mm a"]
    ),
)
def test_any_day_by_the_name_of_its_month(tmp_path_factory, moments, language, way):
    """As Unicode's locale data write it."""
    locale = "en_US" if way.endswith("a") else language
    cells = [format_datetime(moment, way, locale=locale) for moment in moments]
    assert instants(tmp_path_factory.mktemp("names"), *cells)[0] == [f"{moment}" for moment in moments]


def test_seconds_since_1970_and_dates_that_are_none(tmp_path):
    cells = ["1767600000000", "1767600000", "1767600061500.0", "1767600000000000"]
    found, _ = instants(tmp_path, *cells, zone="Europe/Paris")
    assert found == ["2026-01-05 08:00:00", "2026-01-05 08:00:00", "2026-01-05 08:01:01.500000", "2026-01-05 08:00:00"]
    deals = "opportunity_id,owner,stage,status,created_at,closed_at,expected_close_on\n"
    rows_ = [
        "2026-01-05,0000-00-00,2026-10-10",
        "2026-01-05,00/00/0000,",
        "2026-01-05,0000-00-00 00:00:00,0202-10-10",
        "1970-01-01,,",
        "2026-01-05,,1900-01-01",
    ]
    deals += "".join(f"D{n},A,N,open,{row}\n" for n, row in enumerate(rows_))
    contracts = "contract_id,customer_id,start_on,end_on,monthly_amount\n"
    dates = ["0026-01-05,", "2025-02-01,9999-12-31", "2052-02-01,", "20250-02-01,", "2025-02-01,0000-00-00", "2025-02-01,0026-01-05"]
    contracts += "".join(f"K{n},C,{row},1\n" for n, row in enumerate(dates))
    toml = '[company]\ntimezone = "Europe/Paris"\nexported_at = "2026-03-31"'
    (tmp_path / "leads.csv").unlink()
    reading, tables = read(write(tmp_path, toml, opportunities=deals, contracts=contracts))
    assert reasons(reading) == {"unreadable expected_close_on": 1, "unreadable start_on": 2, "unreadable end_on": 1}
    assert column(tables["contracts"], "contract_id") == ["K1", "K2", "K4"]
    told = {(row.column, row.flag): row.rows for row in reading.flags.itertuples()}
    assert told == {("expected_close_on", "open past its expected close"): 1, ("created_at", "created_at on 1970-01-01"): 1}


def test_short_years_that_may_come_first_are_refused(tmp_path):
    for cells in (["26/01/05", "26/01/17"], ["99.01.05", "98-12-31"], ["14/02/26"]):
        with pytest.raises(DataError, match=r"leads created_at: '.*' may begin with its year .*write dates = \"%y/%m/%d\", or dates = \"%d/%m/%y\""):
            instants(tmp_path, *cells)
    assert instants(tmp_path, "26-01-05 10:00", "99-12-31", toml='dates = "%y/%m/%d"')[0] == ["2026-01-05 10:00:00", "1999-12-31 00:00:00"]
    usual = ["14/02/26", "15-02-26", "28/12/25", "27/12/25"]  # more days than years
    assert instants(tmp_path, *usual)[0][0] == "2026-02-14 00:00:00"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("way", ["%y/%m/%d", "%y-%m-%d", "%d/%m/%y", "%m-%d-%y"])
def test_short_years_are_read_rightly_or_refused(tmp_path, seed, way):
    rng = random.Random(seed)
    days = [datetime.date(2024, 1, 1) + datetime.timedelta(days=rng.randrange(800)) for _ in range(40)]
    expected = [f"{day} 00:00:00" for day in days]
    if way.startswith("%y"):
        with pytest.raises(DataError, match="may begin with its year"):
            instants(tmp_path, *(day.strftime(way) for day in days))
        assert instants(tmp_path, *(day.strftime(way) for day in days), toml='dates = "%y/%m/%d"')[0] == expected
    else:
        assert instants(tmp_path, *(day.strftime(way) for day in days))[0] == expected
