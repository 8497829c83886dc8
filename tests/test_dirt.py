"""A company with counted faults, written as three offices write and read back: each fault is found, and the rest is as if it had never been there."""

from __future__ import annotations

import dataclasses
from functools import cache
from itertools import pairwise

import pandas as pd
import pytest

import kpi
from kpi import compute
from kpi.sources.checks import rules
from tests import simulated
from tests.simulated.write import DIALECTS, WEEKDAYS

BAD = {"duplicates": 12, "blanks": 12, "future_dates": 9, "closed_before_created": 5}  # rows that cannot be used
ODD = {"stage_jumps": 6, "stage_returns": 5, "reopened": 4, "refunds": 7, "mixed_zones": 8, "hostile": 33}  # rows that are used as they are
KEYS = {"leads": "lead_id", "activities": "activity_id", "opportunities": "opportunity_id", "orders": "order_id"}
LINKED = {"lead_scores": ("lead_id", "leads"), "opportunity_history": ("opportunity_id", "opportunities")}


@cache
def clean() -> simulated.Simulation:
    return simulated.simulate(simulated.Company(leads=400, existing=80, start="2026-01", end="2026-08", history_months=8))


@cache
def soiled(bad: bool) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    return simulated.soil(clean(), BAD if bad else ODD, seed=7)


# Quickly in one dialect, slowly in the others.
DIALECT = pytest.mark.parametrize("dialect", [pytest.param(name, marks=() if name == "french" else pytest.mark.slow) for name in DIALECTS])


@pytest.fixture(scope="module")
def read_back(tmp_path_factory):
    """The soiled company through CSV files, read once per dialect."""

    @cache
    def reading(bad: bool, dialect: str) -> kpi.Dataset:
        folder = tmp_path_factory.mktemp("dirt") / dialect
        dataclasses.replace(clean(), tables=soiled(bad)[0]).write(folder, dialect)
        return kpi.load(folder)

    return reading


def frames(tables: dict[str, pd.DataFrame]) -> kpi.Dataset:
    company = clean().company
    hours = {day: [f"{start}-{end}" for start, end in company.hours] for day in WEEKDAYS}
    about = {"currency": company.currency, "timezone": company.timezone, "country": company.country, "exported_at": str(company.exported_on)}
    return kpi.Dataset(**tables, **about, hours=hours)


@cache
def flags_of_clean() -> dict:
    return flagged(frames(clean().tables))


def flagged(data: kpi.Dataset) -> dict[tuple[str, str], int]:
    return {(row.table, row.flag): row.rows for row in data.flags.itertuples()}


def faults(ledger: pd.DataFrame, fault: str) -> dict[str, int]:
    return ledger[ledger["fault"] == fault].groupby("table").size().to_dict()


def unusable(ledger: pd.DataFrame) -> dict[str, set]:
    """Keys of the rows to set aside; a duplicate leaves its first row, a deal without amount stays."""
    blank = (ledger["fault"] == "blanks") & (ledger["table"] != "opportunities")
    gone = ledger[blank | (ledger["fault"] == "closed_before_created")]
    return {table: set(rows["key"]) for table, rows in gone.groupby("table")}


@DIALECT
def test_every_row_that_cannot_be_used_is_set_aside_and_counted(read_back, dialect):
    tables, ledger = soiled(True)
    gone = unusable(ledger)
    expected = {(table, rules.DUPLICATE): n for table, n in faults(ledger, "duplicates").items()}
    empty = {"leads": "created_at", "activities": "at", "orders": "amount"}
    expected |= {(table, f"empty {empty[table]}"): n for table, n in faults(ledger, "blanks").items() if table in empty}
    expected["opportunities", rules.CLOSED_FIRST] = BAD["closed_before_created"]
    for table, (column, parent) in LINKED.items():
        lost = int(tables[table][column].isin(gone[parent]).sum())
        expected |= {(table, f"{column} of no known record"): lost} if lost else {}
    data = read_back(True, dialect)
    aside = data.row_ledger[data.row_ledger["set_aside"] > 0]
    assert {(row.table, row.reason): row.set_aside for row in aside.itertuples()} == expected
    found = data.row_ledger.groupby("table")[["found", "used", "set_aside"]].sum()
    assert found["found"].to_dict() == {table: len(frame) for table, frame in tables.items()}
    assert (found["found"] == found["used"] + found["set_aside"]).all()
    # Each of them is listed where it stands in its file: the header is the first line.
    for row in data.set_aside[data.set_aside["reason"] == rules.CLOSED_FIRST].itertuples():
        assert tables["opportunities"].iloc[row.row - 2]["opportunity_id"] in gone["opportunities"]


@DIALECT
def test_faults_of_rows_that_are_used_are_flagged_and_counted(read_back, dialect):
    _, ledger = soiled(True)
    clocks = {"leads": "created_at", "activities": "at", "orders": "at"}
    expected = {(table, f"{clocks[table]} after the export"): n for table, n in faults(ledger, "future_dates").items()}
    expected["opportunities", "no amount"] = faults(ledger, "blanks")["opportunities"]
    found = flagged(read_back(True, dialect))
    assert {key: n for key, n in found.items() if key[1].endswith(("after the export", "no amount"))} == expected
    assert not [key for key in flags_of_clean() if key in expected]


@DIALECT
@pytest.mark.slow
def test_odd_moves_of_deals_are_flagged_and_counted(read_back, dialect):
    tables, ledger = soiled(False)
    found = flagged(read_back(False, dialect))
    moves = {rules.SKIPPED: 0, rules.WENT_BACK: 0, rules.REOPENED: 0}
    place = {stage: number for number, stage in enumerate(tables["stages"].query("status != 'lost'").sort_values("position")["stage"])}
    for _, deal in tables["opportunity_history"].sort_values(["changed_at", "seq"]).groupby("opportunity_id"):
        states = list(zip(deal["stage"], deal["status"], strict=True))
        for (before, was), (now, status) in pairwise(states):
            moves[rules.REOPENED] += was != "open" and status == "open"
            moves[rules.WENT_BACK] += was == status == "open" and place[now] < place[before]
            moves[rules.SKIPPED] += was == "open" and status != "lost" and place[now] > place[before] + 1
    assert {flag: found.get(("opportunity_history", flag), 0) for flag in moves} == moves
    assert moves[rules.REOPENED] == ODD["reopened"]
    assert moves[rules.WENT_BACK] == ODD["stage_returns"]
    assert moves[rules.SKIPPED] > flags_of_clean()["opportunity_history", rules.SKIPPED]
    assert len(faults(ledger, "stage_jumps"))


@DIALECT
def test_every_other_oddity_is_read_as_it_was_written(read_back, dialect):
    tables, ledger = soiled(False)
    data = read_back(False, dialect)
    assert data.row_ledger["set_aside"].sum() == 0
    for table, frame in tables.items():
        stored = kpi.engine.collect(data.table(table))
        for column in frame.columns:
            order = list(stored.columns[:3]) if table not in KEYS else [KEYS[table]]
            have = stored.sort_values(order, ignore_index=True)[column]
            want = frame.sort_values(order, ignore_index=True)[column]
            if have.dtype == object or str(have.dtype) == "str":
                assert have.isna().tolist() == want.isna().tolist(), (table, column)
                assert have.dropna().astype("str").tolist() == [text.strip() for text in want.dropna().astype("str")], (table, column)
            elif str(have.dtype).startswith("float"):
                pd.testing.assert_series_equal(have, want.astype("float64").round(2), check_names=False, rtol=1e-12)
            else:
                assert (have.isna() == want.isna()).all()
                assert (have.dropna().astype("str").to_numpy() == want.dropna().astype("str").to_numpy()).all(), (table, column)
    texts = ledger[ledger["fault"] == "hostile"]
    assert len(texts) == ODD["hostile"]
    assert (kpi.engine.collect(data.table("orders"))["kind"] == "refund").sum() == (clean().tables["orders"]["kind"] == "refund").sum() + ODD[
        "refunds"
    ]


@cache
def expected_metrics(bad: bool) -> pd.DataFrame:
    tables, ledger = soiled(bad)
    if bad:  # the clean company without the faulty rows
        gone = unusable(ledger)
        future = ledger[ledger["fault"] == "future_dates"].groupby("table")["key"].agg(set).to_dict()
        tables = dict(clean().tables)
        for table, key in KEYS.items():
            tables[table] = tables[table][~tables[table][key].isin(gone.get(table, set()) | future.get(table, set()))]
        for table, (column, parent) in LINKED.items():
            tables[table] = tables[table][~tables[table][column].isin(gone[parent])]
        unknown = ledger[(ledger["fault"] == "blanks") & (ledger["table"] == "opportunities")]["key"]
        deals = tables["opportunities"]
        tables["opportunities"] = deals.assign(amount=deals["amount"].mask(deals["opportunity_id"].isin(unknown)))
    data = frames(tables)
    return compute.metrics(data, data.last_month())


@pytest.mark.slow
@pytest.mark.parametrize("bad", [True, False])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_all_metrics_are_those_of_the_company_without_the_faulty_rows(read_back, dialect, bad):
    data = read_back(bad, dialect)
    found = compute.metrics(data, data.last_month())
    assert len(found) > 100
    pd.testing.assert_frame_equal(found, expected_metrics(bad), rtol=1e-9)
