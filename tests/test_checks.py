"""Faults of the data: each has a rule, is counted to the row with an example, and nothing is mended in silence."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pandas as pd
import pytest
from written import read, reasons, write

import kpi
from kpi import compute
from kpi.__main__ import run
from kpi.errors import DataError
from kpi.presentation import pages
from kpi.report import quality
from kpi.sources.checks import rules as rules
from kpi.sources.checks.flags import WORDS
from tests import simulated

COMPANY = '[company]\ntimezone = "UTC"\nexported_at = "2026-07-01"\n'
DEALS = "opportunity_id,owner,stage,status,created_at,closed_at,expected_close_on,amount,currency,product"
STAGES = "stage,position,status\nNew,1,open\nOffer,2,open\nDeal,3,open\nWon,4,won\nLost,5,lost\n"


def flags(folder: Path, toml: str = COMPANY, **files: str) -> dict[tuple[str, str], tuple[int, str]]:
    """Rows and first example of each flag, by table and flag."""
    reading, _ = read(write(folder, toml, **files))
    total = reading.ledger.groupby("table")[["found", "used", "set_aside"]].sum()
    assert (total["found"] == total["used"] + total["set_aside"]).all()
    return {(row.table, row.flag): (row.rows, row.example) for row in reading.flags.itertuples()}


def deals(*rows: str) -> str:
    return "\n".join([DEALS, *rows, ""])


def test_every_rule_has_a_kind_and_is_found_by_its_text():
    assert set(rules.RULES.values()) == {rules.MENDED, rules.SET_ASIDE, rules.FLAGGED, rules.FATAL}
    texts = [value for name, value in vars(rules).items() if name.isupper() and isinstance(value, str) and value not in rules.RULES.values()]
    assert sorted(texts) == sorted(rules.RULES)
    for fault in rules.RULES:
        said = fault.format(column="amount")
        assert rules.parts(said)[0] == fault, said
    assert rules.parts("")[0] not in rules.RULES


def test_faults_of_deals(tmp_path):
    found = flags(
        tmp_path,
        stages=STAGES,
        fx="currency,from_on,rate\nUSD,2026-03-01,0.9\n",
        opportunities=deals(
            "A,Ann,New,open,2026-03-02 10:00,,2026-06-30,100,EUR,P",  # open past its close
            "B,Ann,New,open,2026-03-02 10:01,,2026-07-01,100,EUR,P",
            "C,Ann,Won,won,2026-03-02 10:02,2026-08-01 10:00,,-5,EUR,P",  # closed after the export, negative
            "D,Ann,Won,won,2026-03-02 10:03,,,100,EUR,P",  # closed, nobody knows when
            "E,Ann,Offre,open,2026-03-02 10:04,,,,EUR,P",  # no such stage, no amount
            "F,Ann,Won,won,2026-01-02 10:05,2026-02-28 10:00,,100,USD,P",  # before the first rate
            "G,Ann,Won,won,2026-03-02 10:06,2026-03-03 10:00,,100,USD,P",
            "H,Ann,New,open,2026-03-02 10:07,,,100,CHF,P",  # no rate at all
            "I,Ann,Lost,lost,2026-03-05 10:08,2026-03-01 10:00,,-9,EUR,P",  # set aside, so no flag of it
        ),
    )
    at = "opportunities.csv:"
    assert found == {
        ("opportunities", "open past its expected close"): (1, at + "2"),
        ("opportunities", "closed on a date ahead of the export"): (1, at + "4"),
        ("opportunities", "negative amount"): (1, at + "4"),
        ("opportunities", "closed on an unknown date"): (1, at + "5"),
        ("opportunities", "stage missing from the table stages"): (1, at + "6"),
        ("opportunities", "no amount"): (1, at + "6"),
        ("opportunities", "currency without a rate on that day"): (2, at + "7"),
    }


def test_faults_of_orders(tmp_path):
    orders = "order_id,customer_id,at,amount,currency,kind\n"
    orders += (
        "1,C,2026-03-02 10:00,-5,EUR,sale\n2,C,2026-03-02 10:01,5,EUR,refund\n3,C,2026-03-02 10:02,-5,EUR,refund\n4,C,2026-03-02 10:03,5,USD,sale\n"
    )
    reading, _ = read(write(tmp_path, COMPANY, orders=orders))
    assert reading.flags[["flag", "rule", "rows", "example"]].to_numpy().tolist() == [
        ["negative amount", "flagged", 1, "orders.csv:2"],
        ["refund without its minus sign", "mended", 1, "orders.csv:3"],
        ["currency without a rate on that day", "flagged", 1, "orders.csv:5"],
    ]


def test_changes_of_stage(tmp_path):
    history = "opportunity_id,changed_at,seq,stage,status,owner\n"
    moves = ["New open", "Deal open", "Offer open", "Lost lost", "Offer open", "Won won"]  # over one, back, reopened, over one
    history += "".join(f"A,2026-03-0{n + 1} 10:00,{n},{move.replace(' ', ',')},Ann\n" for n, move in enumerate(moves))
    history += "B,2026-03-01 10:00,0,New,open,Ann\nB,2026-03-02 10:00,1,Lost,lost,Ann\n"
    found = flags(tmp_path, stages=STAGES, opportunity_history=history)
    at = "opportunity_history.csv:"
    assert found == {
        ("opportunity_history", "stage passed over"): (2, at + "3"),
        ("opportunity_history", "back to an earlier stage"): (1, at + "4"),
        ("opportunity_history", "open again after its close"): (1, at + "6"),
    }


@pytest.mark.parametrize(("alike", "rows", "flagged"), [(51, 900, True), (50, 900, False), (60, 1200, False), (61, 1200, True)])
def test_an_instant_on_many_rows_is_an_import(tmp_path, alike, rows, flagged):
    times = ["2026-03-02 08:15:30"] * alike + [f"{pd.Timestamp('2026-01-05 09:00') + pd.Timedelta(minutes=7 * n)}" for n in range(rows - alike)]
    text = "lead_id,created_at,source,owner\n" + "".join(f"L{n},{at},web,Ann\n" for n, at in enumerate(times))
    found = flags(tmp_path, leads=text)
    expected = {("leads", "one instant of created_at on many rows"): (alike, "leads.csv:2 (2026-03-02 08:15:30 UTC)")}
    assert found == (expected if flagged else {})


def test_dates_without_time_of_day_are_no_import(tmp_path):
    activities = "activity_id,lead_id,at,kind,direction,automated,done,owner\nA,L1,2026-03-02 10:00,call,outbound,no,yes,Ann\n"
    leads = "lead_id,created_at,source,owner\n" + "".join(f"L{n},2026-03-02,web,Ann\n" for n in range(80))
    assert flags(tmp_path, leads=leads, activities=activities) == {("leads", "created_at without time of day"): (80, "leads.csv:2")}
    lacking = quality.lacking(kpi.load(tmp_path))
    assert ("response_time", "delays under a day", "leads created_at has no time of day") in set(lacking.itertuples(index=False, name=None))


def test_blank_is_one_thing_and_unknown_in_words_another(tmp_path):
    said = ["", "Unknown", "(Inconnue)", "n/a", "N.A.", "Non renseigné", "-", "Nantes", "nc", "web"]
    leads = "lead_id,created_at,source,owner\n" + "".join(f"L{n},2026-03-02 10:0{n},{word},Ann\n" for n, word in enumerate(said))
    found = flags(tmp_path, leads=leads)
    assert found.pop(("leads", "source that says unknown in words")) == (6, "leads.csv:3")
    assert list(found.values()) == [(1, "'n/a' beside 'N.A.'")]
    assert len(set(WORDS)) == len(WORDS)


def test_names_that_are_nearly_equal_are_told_with_both_spellings_and_left_alone(tmp_path):
    products = ["GTX Pro"] * 3 + ["GTXPro"] * 2 + ["gtx-pro", "GTX Plus", "Été", "ETE", "ete", "--", "?"]
    rows = [f"{n},Ann,New,open,2026-03-02 10:{n:02},,,100,EUR,{product}" for n, product in enumerate(products)]
    owners = "owner,team\nann,Nord\n"
    reading, tables = read(write(tmp_path, COMPANY, opportunities=deals(*rows), owners=owners))
    found = reading.flags
    assert set(found["flag"]) == {f"spellings of {name} that differ in case, accents, spaces or signs only" for name in ("product", "owner")}
    pairs = {(row.table, row.example): row.rows for row in found.itertuples()}
    assert pairs == {
        ("opportunities", "'GTXPro' beside 'GTX Pro'"): 2,
        ("opportunities", "'gtx-pro' beside 'GTX Pro'"): 1,
        ("opportunities", "'ete' beside 'ETE'"): 1,
        ("opportunities", "'Été' beside 'ETE'"): 1,
        ("owners", "'ann' beside 'Ann'"): 1,
    }
    assert sorted({row["product"] for row in tables["opportunities"]}) == sorted(set(products))


def test_a_key_that_only_its_spelling_keeps_from_its_record(tmp_path):
    customers = "customer_id,segment\nAcme Corp.,A\nBolt,B\n"
    orders = "order_id,customer_id,at,amount\n1,ACME CORP,2026-03-02 10:00,5\n2,Bolt,2026-03-02 10:00,5\n3,Zeta,2026-03-02 10:00,5\n"
    found = flags(tmp_path, customers=customers, orders=orders)
    assert found == {("orders", "spellings of customer_id that differ in case, accents, spaces or signs only"): (1, "'ACME CORP' for 'Acme Corp.'")}
    reading, _ = read(tmp_path)
    assert reasons(reading) == {"customer_id of no known record": 2}


# --- refusals


def test_the_account_comes_before_the_refusal_and_all_refusals_at_once(tmp_path, capsys):
    mixed = "opportunity_id,owner,stage,status,amount,created_at\nO1,Ann,New,open,1.5,05/06/2026\n"
    orders = 'order_id,customer_id,at,amount\nA1,C1,2026-03-01,"1,200"\n'
    write(tmp_path, COMPANY, customers="customer_id,segment\nC1,S\nC2,S\n", opportunities=mixed, orders=orders)
    assert run(["check", str(tmp_path)]) == 3
    told = capsys.readouterr()
    assert "customers      2         0     2          0" in told.out, "what could be read is told"
    assert "opportunities created_at: '05/06/2026' can be read day or month first" in told.err
    assert "orders amount: '1,200' can be read with a comma or a point" in told.err
    assert "kpi check" not in told.err, "no advice that leads back to itself"
    assert run(["check", str(tmp_path), "--format", "json"]) == 3
    assert json.loads(capsys.readouterr().out)["tables"][0]["found"] == 2
    (tmp_path / "orders.csv").unlink()
    (tmp_path / "opportunities.csv").unlink()
    assert run(["check", str(tmp_path)]) == 3
    told = capsys.readouterr()
    assert "customers" in told.out and "the data set has no dated row in customers; one of leads," in told.err
    (tmp_path / "customers.csv").rename(tmp_path / "clients.csv")
    assert run(["check", str(tmp_path)]) == 3
    assert "beside kpi.toml are clients.csv: name those that hold data, as [tables.opportunities] path = " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("row", "remedy"),
    [
        (
            "O2,Ann,New,Gagnée,1,2026-03-02",
            'may be open or won or lost; translate in kpi.toml, each as it is meant: [tables.opportunities] values.status = {"Gagnée" = "lost"}',
        ),
        ("O2,Ann,New,,1,2026-03-02", '[tables.opportunities] constants = {status = "…"}, or values.status = {"" = "…"} for empty cells alone'),
        (
            "O2,Ann,New,open,2?,2026-03-02",
            '[tables.opportunities] in kpi.toml says how it is written: decimal = ",", dates = "%d/%m/%Y", or values.amount = {"2?" = "…"}',
        ),
        ("O2,Ann,New,open,2,2026-13-02", "most often: unreadable created_at (1); [tables.opportunities] in kpi.toml says how it is written: decimal"),
        ("O1,Ann,New,open,1,2026-03-02", "most often: duplicate key (1); the first row of each key is used: export each record once"),
        ("O2,Ann,New,open,1,2026-03-02,more", "empty last cells were left out: save the file as .xlsx"),
    ],
)
def test_a_refusal_names_what_mends_it(tmp_path, capsys, row, remedy):
    write(tmp_path, COMPANY, opportunities=f"opportunity_id,owner,stage,status,amount,created_at\nO1,Ann,New,open,1,2026-03-01\n{row}\n")
    assert run(["check", str(tmp_path)]) == 3
    told = capsys.readouterr().err
    assert remedy in told
    assert all(tomllib.loads(line) for line in re.findall(r"values\.\w+ = {.*?}|dates = [^,]+|decimal = \"[^\"]*\"", told)), "the lines can be pasted"


def test_all_unknown_values_are_asked_for(tmp_path, capsys):
    rows = [f"O{n},Ann,New,{said},1,2026-03-02" for n, said in enumerate(["Perdue", "Gagnée", "Gagnée", "open"])]
    write(tmp_path, COMPANY, opportunities="\n".join(["opportunity_id,owner,stage,status,amount,created_at", *rows, ""]))
    assert run(["check", str(tmp_path)]) == 3
    assert '[tables.opportunities] values.status = {"Gagnée" = "lost", "Perdue" = "lost"}' in capsys.readouterr().err


def test_a_file_of_days_beside_one_of_times_is_told(tmp_path):
    header = "lead_id,created_at,source,owner\n"
    toml = COMPANY.replace("UTC", "Europe/Paris") + '[tables.leads]\npath = "leads*.csv"\n'
    days, times = header + "A1,2026-03-02,web,Ann\nA2,2026-04-02,web,Ann\n", header + "B1,2026-03-02 10:30,web,Ann\nB2,2026-03-02 00:00,web,Ann\n"
    found = flags(tmp_path, toml, leads=days, leads2=times)
    assert found["leads", "created_at without time of day"] == (2, "leads.csv:2")


# --- what is set aside, in money


def test_what_the_rows_set_aside_hold_is_said(tmp_path, capsys):
    """Two of a hundred rows, within the limit of rows, hold 10,000 beside 9,800: 51 % of the amounts; what `where` leaves out is not counted."""
    orders = [f"O{n},C1,2026-03-02,{100 if n < 98 else 5000}.0,{'' if n >= 98 else 'sale'},x" for n in range(100)]
    text = "order_id,customer_id,at,amount,kind,product\n" + "\n".join([*orders, "T,C1,2026-03-02,7777.0,sale,test", ""])
    folder = write(tmp_path, COMPANY + '[tables.orders]\nwhere.product = ["x"]\n', orders=text)
    assert run(["check", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert "10,000 beside 9,800 used" in shown and "7,777" not in shown
    data = kpi.load(folder)
    for lang, said in (("en", "Those set aside hold 51% of the amounts."), ("fr", "Les lignes écartées portent 51 % des montants.")):
        about = pages.about(data, str(data.last_month()), lang)
        sentence = " ".join(pages.closing(about, data.row_ledger, tables=["orders"]).sentences).replace("\u202f", " ").replace("\u00a0", " ")
        assert said in sentence
        assert re.findall(r"\d+", sentence)[:4] == ["101", "98", "3", "1"], "found = used + set aside, the one left out among these"


# --- the limit


def test_a_table_may_have_its_own_limit(tmp_path, capsys):
    leads = "lead_id,created_at,source,owner\n" + "".join(f"L{n},2026-03-02 10:{n:02},web,Ann\n" for n in range(18)) + ",2026-03-02,web,Ann\n" * 2
    write(tmp_path, COMPANY, leads=leads)
    assert run(["check", str(tmp_path)]) == 3
    told = capsys.readouterr().err
    assert "kpi: leads: 2 of 20 rows (10.0%) were set aside, more than the 5% allowed; most often: empty lead_id (2)" in told
    write(tmp_path, COMPANY + "[tables.leads]\nmax_set_aside = 0.1\n", leads=leads)
    assert run(["check", str(tmp_path)]) == 0
    assert run(["check", str(tmp_path), "--max-set-aside", "1"]) == 0, "kpi.toml wins"
    with pytest.raises(DataError, match=r"\[tables.leads\] max_set_aside = 5 is not a share from 0 to 1 such as 0.05"):
        read(write(tmp_path, COMPANY + "[tables.leads]\nmax_set_aside = 5\n", leads=leads))


@pytest.mark.slow
@pytest.mark.parametrize("gone", ["stages", *(pytest.param(table, marks=pytest.mark.slow) for table in ("activities", "opportunities"))])
def test_what_a_report_will_lack_is_what_it_lacks(root, gone):
    tables = simulated.simulate(simulated.Company(leads=150, existing=40, start="2026-05", end="2026-07", history_months=6)).tables
    data = kpi.Dataset(**{name: frame for name, frame in tables.items() if name != gone}, timezone="Europe/Paris")
    told, missing = quality.lacking(data), compute.missing(data, data.last_month())
    assert f"no table {gone}" in set(told["because"])
    assert all(len(rows) == 1 for _, rows in told.groupby("report") if quality.ALL in set(rows["lacks"]))
    # Neither what companies under contract have nor what merely has no record is lacking.
    missing = missing[~missing["reason"].str.contains("contracts") & (missing["reason"] != compute.EMPTY)]
    missing = missing[~missing["kpi"].isin(compute.metrics(data, data.last_month())["kpi"])]  # counted, and without a value yet
    assert len(missing), gone
    areas = {"response": "response_time", "pipeline": "pipeline", "retention": "retention"}
    assert {areas[key.partition(".")[0]] for key in missing["kpi"]} <= set(told["report"])
    assert quality.lacking(kpi.load(root / "data" / "sample")).empty
