"""Any table in any office's dialect comes back equal, or is refused where it stands: no value is ever silently another."""

from __future__ import annotations

import csv
import io
from datetime import datetime

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from written import read, write

from kpi.errors import KpiError

COLUMNS = ("order_id", "customer_id", "at", "amount", "margin", "kind", "product")

BLANKS = "".join(chr(code) for code in range(0x110000) if chr(code).isspace() or chr(code) in "\ufeff\u200b")
texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=8)
names = texts.map(lambda text: text.strip(BLANKS))
amounts = st.one_of(
    st.integers(-99_999, 99_999).map(float),
    st.integers(-(10**7), 10**7).map(lambda cents: cents / 100),
    st.integers(0, 999_999).map(lambda n: n / 1000),
)
moments = st.datetimes(datetime(1990, 1, 1), datetime(2040, 12, 31)).map(lambda at: at.replace(microsecond=0))
damage = st.sampled_from(["", "?", "1.2.3", "31/02/2026", "12:30", "1e999", "2026-13-45", "--", "NaN", "1 2", "=1+1", "99/99/9999", "0,0,0"])


@st.composite
def dialects(draw) -> dict:
    decimal = draw(st.sampled_from(",."))
    day = draw(st.sampled_from(["%Y-%m-%d", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%Y/%m/%d"]))
    # Who writes am and pm does not write dates with points.
    clocks = [" %H:%M:%S", "T%H:%M:%S", *([" %I:%M:%S %p"] if day in ("%d/%m/%Y", "%m/%d/%Y", "%Y-%m-%d") else [])]
    return {
        "delimiter": draw(st.sampled_from([",", ";", "\t", "|"])),
        "decimal": decimal,
        "group": draw(st.sampled_from(["", " ", "\u202f", "\u00a0", "'", "." if decimal == "," else ","])),
        "money": draw(st.sampled_from(["{}", "{} €", "€{}", "EUR {}", "{} euros"])),
        "day": day,
        "clock": draw(st.sampled_from(clocks)),
        "encoding": draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"])),
        "newline": draw(st.sampled_from(["\n", "\r\n"])),
        "quoting": draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])),
        "declared": draw(st.booleans()),
    }


def number(value: float, way: dict) -> str:
    whole, _, part = f"{abs(value):,.3f}".rstrip("0").rstrip(".").partition(".")
    text = ("-" if value < 0 else "") + whole.replace(",", way["group"]) + (way["decimal"] + part if part else "")
    return way["money"].format(text)


def declared(way: dict) -> str:
    """What kpi.toml says: everything, or nothing."""
    if not way["declared"]:
        return ""
    toml = f"decimal = '{way['decimal']}'\nencoding = '{way['encoding']}'\n"
    return toml + ("" if way["day"].startswith("%Y") else f"dates = ['{way['day']}{way['clock'].replace('T', ' ')}', '{way['day']}']\n")


def lines(header: tuple, rows: list[list[str]], way: dict) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=way["delimiter"], quoting=way["quoting"], lineterminator=way["newline"])
    writer.writerows([header, *rows])
    return out.getvalue().encode(way["encoding"])


def checked(folder, table: str, header: tuple, rows: list[list[str]], truth: list[dict], way: dict) -> None:
    """Each row is back with its own values, or set aside with its place; or the whole is refused by name."""
    toml = f'[company]\ntimezone = "UTC"\n[tables.{table}]\n{declared(way)}'
    try:
        reading, tables = read(write(folder, toml, **{table: lines(header, rows, way)}))
    except KpiError as error:
        event(f"refused, declared {way['declared']}")
        message = str(error)
        assert f"{table}.csv" in message, message
        cell_is_named = any(f"{table} {column}" in message and f"{table}.csv:" in message for column in header)
        assert cell_is_named or any(word in message for word in ("delimiter", "encoding", "header", "column", "quote")), message
        return
    event("read")
    aside = {row.row - 2: row.column for row in reading.set_aside.itertuples()}
    assert all(column in header for column in aside.values())
    back = {row[header[0]]: row for row in tables[table]}
    assert len(back) + len(aside) == len(rows)
    damaged = {place: wanted.pop("damaged") for place, wanted in enumerate(truth) if "damaged" in wanted}
    assert {place: column for place, column in aside.items() if column} == damaged
    for place, wanted in enumerate(truth):
        if place not in aside:
            got = back[wanted[header[0]]]
            assert {column: got[column] for column in wanted} == wanted


rows_of_orders = st.lists(
    st.tuples(names, moments, amounts, st.none() | amounts, st.sampled_from(["sale", "refund"]), st.none() | names, damage | st.none()),
    min_size=1,
    max_size=7,
)


@pytest.mark.slow
@settings(max_examples=40)
@given(rows=rows_of_orders, way=dialects())
def test_orders_in_any_dialect(tmp_path_factory, rows, way):
    cells, truth = [], []
    for place, (customer, at, amount, margin, kind, product, broken) in enumerate(rows):
        if not customer or product == "":
            customer, product = customer or "C", product or None
        if customer[0].isdecimal():  # ids that are numbers have a grammar of their own: 0 is nobody, 1.0 is 1
            customer = f"C{customer}"
        key = f"O{place}"
        said = "" if margin is None else number(margin, way)
        row = [key, customer, at.strftime(way["day"] + way["clock"]), number(amount, way), said, kind, product or ""]
        wanted = {"order_id": key, "customer_id": customer, "at": at, "amount": amount, "margin": margin, "kind": kind, "product": product}
        if broken is not None and place % 2:
            column = 2 + place % 3
            row[column] = broken
            if broken or column < 4:  # an empty margin is a missing one
                wanted["damaged"] = COLUMNS[column]
            else:
                wanted["margin"] = None
        cells.append(row)
        truth.append(wanted)
    checked(tmp_path_factory.mktemp("trip"), "orders", COLUMNS, cells, truth, way)
