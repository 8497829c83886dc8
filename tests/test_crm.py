"""Exports of CRMs, in the shapes in which they really come: recognised, mapped, accounted for."""

from __future__ import annotations

import random
import textwrap
from datetime import date, datetime
from pathlib import Path

import pytest
from written import column, decided, read, reasons, write

import kpi
from kpi import engine, importing
from kpi.errors import DataError, SchemaError
from kpi.schema import STATUS, TABLES
from kpi.sources.cells import fold, folded
from kpi.sources.config import Company, Source
from kpi.sources.crm import aliases, expressions, mapping
from kpi.sources.readers.files import Located

EXPORTS = Path(__file__).parent / "exports"


def data_set(folder: Path, system: str, more: str = "", **tables: str) -> Path:
    """A data set whose tables are exports of one system; `more` goes under the last one."""
    sections = [f'[tables.{name}]\npath = "{(EXPORTS / file).as_posix()}"\nformat = "{system}"\n' for name, file in tables.items()]
    return write(folder, "".join(sections) + textwrap.dedent(more))


def located(path: Path) -> Located:
    return Located(path.name, path)


def by_key(rows: list[dict], name: str) -> dict:
    return {row[name]: row for row in rows}


# ---- recognising


@pytest.mark.parametrize(
    ("file", "system", "table", "also"),
    [
        ("hubspot_transactions.csv", "hubspot", "opportunities", ("opportunity_history",)),
        ("hubspot_contacts.csv", "hubspot", "leads", ()),
        ("hubspot_engagements.csv", "hubspot", "activities", ()),
        ("salesforce_report.csv", "salesforce", "opportunities", ()),
        ("salesforce_opportunity.csv", "salesforce", "opportunities", ()),
        ("salesforce_opportunity_history.csv", "salesforce", "opportunity_history", ()),
        ("salesforce_field_history.csv", "salesforce", "opportunity_history", ()),
        ("salesforce_lead.csv", "salesforce", "leads", ()),
        ("salesforce_task.csv", "salesforce", "activities", ()),
        ("pipedrive_affaires.csv", "pipedrive", "opportunities", ()),
        ("pipedrive_activites.csv", "pipedrive", "activities", ()),
        ("pipedrive_prospects.csv", "pipedrive", "leads", ()),
    ],
)
def test_a_file_is_recognised_by_its_headers(file, system, table, also):
    found = mapping.recognised(located(EXPORTS / file))
    assert [shape.system for shape in found] == [system] * len(found)
    assert [shape.table for shape in found] == [table, *also]


def test_what_was_understood_names_the_headers(tmp_path):
    reading, _ = read(data_set(tmp_path, "hubspot", opportunities="hubspot_transactions.csv"))
    noted = dict(decided(reading))
    understood = dict(line.split(" = ") for line in noted["columns"].split("; "))
    assert understood["owner"] == "Propriétaire de la transaction"
    assert understood["amount"] == "Montant + Montant dans la devise de l'entreprise + Devise + Taux de change"
    assert noted["unknown headers"] == "Budget du projet"
    assert ("not in the export", "stage history") in decided(reading)


def test_a_file_that_nobody_knows_is_refused_with_the_nearest_kind(tmp_path):
    (tmp_path / "strange.csv").write_text("Deal Name,Deal Stage,Amount,Colour\na,b,1,red\n")
    with pytest.raises(DataError, match=r"strange.csv is no export that is known: .* nearest kind is HubSpot deals, but it lacks .*Record ID"):
        mapping.recognised(located(tmp_path / "strange.csv"))
    (tmp_path / "other.csv").write_text("x,y\n1,2\n")
    with pytest.raises(DataError, match=r"no export that is known: its headers are .*; map its columns under"):
        mapping.recognised(located(tmp_path / "other.csv"))


def test_a_system_that_does_not_exist_is_refused():
    with pytest.raises(DataError, match="there is no alias set 'hubsbot'; did you mean 'hubspot'"):
        mapping.recognised(located(EXPORTS / "hubspot_contacts.csv"), "hubsbot")


def test_two_kinds_that_fit_equally_well_are_not_guessed(tmp_path, monkeypatch):
    folder = tmp_path / "aliases"
    folder.mkdir()
    for system in ("acme", "bcme"):
        (folder / f"{system}.toml").write_text(f'system = "{system}"\n[d]\ntable = "leads"\nneeds = ["lead_id"]\nfields.lead_id = ["Key"]\n')
    monkeypatch.setattr(aliases, "FOLDER", folder)
    (tmp_path / "a.csv").write_text("Key,Name\n1,2\n")
    with pytest.raises(DataError, match=r"a.csv may be acme d \(leads\), bcme d \(leads\); say which"):
        mapping.recognised(located(tmp_path / "a.csv"))


def test_office_lists_are_recognised_only_where_no_system_knows_them(tmp_path):
    (tmp_path / "affaires.csv").write_text(
        "N° affaire;Commercial;Date de création;Montant HT;Statut\n1;A;2026-01-02;1 200,00;Gagné\n", encoding="utf-8"
    )
    found = mapping.recognised(located(tmp_path / "affaires.csv"))
    assert [(shape.system, shape.table) for shape in found] == [("generic", "opportunities")]


# ---- folding


@pytest.mark.parametrize("header", ["Affaire - Heure de l'échec", "AFFAIRE – HEURE DE L’ECHEC", "affaire_heure_de_l_echec"])
def test_headers_are_folded(header):
    assert fold(header) == "affaireheuredelechec"


@pytest.mark.parametrize(
    "text",
    [
        "Gagné",
        "GAGNE\u0301 !",
        "Cœur",
        "à faire",
        "Closed / Won",
        "3ème",
        "Zürich",
        "ΑΒΓ",
        "Œuvre",
        "Straße",
        "STRAẞE",
        "Øst",
        "Łódź",
        "Æon",
        "ﬁnancé",
        "İzmir",
        "m²",
        "ΛΌΓΟΣ",
    ],
)
def test_cells_are_folded_as_headers_are(text):
    from written import connection

    assert connection().execute(f"select {folded('?')}", [text]).fetchall()[0][0] == fold(text)


@pytest.mark.parametrize(
    ("alias", "said"),
    [
        ("Œuvre", "oeuvre"),
        ("œuvre", "ŒUVRE"),
        ("Straße", "STRASSE"),
        ("Strasse", "Straße"),
        ("Øst", "ost"),
        ("øst", "ØST"),
        ("Æon", "aeon"),
        ("ﬁnancé", "Finance"),
        ("finance", "ﬁnancé"),
        ("Łódź", "LODZ"),
    ],
)
def test_an_alias_with_any_letter_is_found_as_header_and_as_value(tmp_path, monkeypatch, alias, said):
    folder = tmp_path / "aliases"
    folder.mkdir()
    (folder / "acme.toml").write_text(
        f"""
        system = "acme"
        [sales]
        table = "opportunities"
        needs = ["opportunity_id", "owner"]
        [sales.fields]
        opportunity_id = ["Key"]
        owner = ["{alias}"]
        stage = ["Step"]
        [sales.columns]
        status = "coalesce({{stage|status}}, 'open')"
        [sales.values.status]
        won = ["{alias}"]
        """,
        encoding="utf-8",
    )
    monkeypatch.setattr(aliases, "FOLDER", folder)
    _, tables = read(write(tmp_path / "set", '[tables.opportunities]\nformat = "acme"', opportunities=f"Key,Step,{said}\n1,{said},Ann\n"))
    assert [(row["owner"], row["status"]) for row in tables["opportunities"]] == [("Ann", "won")]
    assert fold(alias) == fold(said)


def test_every_letter_is_folded_alike_by_python_and_by_the_engine():
    from written import connection

    letters = [chr(number) for number in (*range(1, 0x2FFF), *range(0xFB00, 0xFB07))]
    found = connection().execute(f"select letter, {folded('letter')} from (select unnest(?) as letter)", [letters]).fetchall()
    assert [letter for letter, there in found if there != fold(letter)] == []


# ---- the alias sets themselves


def test_every_formula_of_every_alias_set_can_be_written():
    for shape in aliases.shapes():
        headers = [names[0] for names in shape.fields.values()]
        lookups = {lookup.get("shape") or lookup["table"]: "t" for lookup in shape.lookups.values()}
        bound = expressions.bind(shape, headers, Source(), Company(), lookups)
        assert not shape.missing(bound.places), shape.title
        for formula in [*shape.columns.values(), *shape.drop.values(), *shape.parts.values(), *shape.closing.values()]:
            assert bound.write(formula).is_known, (shape.title, formula)
        names = set(TABLES[shape.table].names) if shape.table else set()
        assert set(shape.columns) <= names, shape.title
        for column_ in TABLES[shape.table].columns if shape.table else ():
            if column_.required and not column_.default:
                assert bound.column(column_.name) is not None, (shape.title, column_.name)


def test_lists_of_values_lead_to_allowed_values_only():
    for shape in aliases.shapes():
        for column_ in TABLES[shape.table].columns if shape.table else ():
            if column_.allowed and column_.name in shape.values:
                assert set(shape.values[column_.name].values()) <= set(column_.allowed), (shape.title, column_.name)
    assert set(aliases.shapes()[0].values["status"].values()) == set(STATUS)


def test_a_system_is_added_by_a_file(tmp_path, monkeypatch):
    folder = tmp_path / "aliases"
    folder.mkdir()
    (folder / "acme.toml").write_text(
        """
        system = "acme"
        [sales]
        table = "opportunities"
        needs = ["opportunity_id"]
        lacks = ["stage history"]
        [sales.fields]
        opportunity_id = ["Key"]
        stage = ["Step"]
        owner = ["Who"]
        [sales.columns]
        status = "coalesce({stage|status}, 'open')"
        [sales.values.status]
        won = ["Yippee"]
        """
    )
    # A language of its own, in a file of its own.
    (folder / "acme_fr.toml").write_text(
        'system = "acme"\n[sales.fields]\nowner = ["Qui"]\n[sales.values.status]\nlost = ["Zut !"]\n', encoding="utf-8"
    )
    monkeypatch.setattr(aliases, "FOLDER", folder)
    content = "KEY,step,Qui,Colour\n1,yippee,Ann,x\n2,ZUT,Bob,x\n3,other,Bob,x\n"
    reading, tables = read(write(tmp_path / "set", '[tables.opportunities]\nformat = "acme"', opportunities=content))
    assert [(row["status"], row["owner"]) for row in tables["opportunities"]] == [("won", "Ann"), ("lost", "Bob"), ("open", "Bob")]
    assert {("read as", "acme sales"), ("not in the export", "stage history"), ("unknown headers", "Colour")} <= decided(reading)


# ---- HubSpot


@pytest.fixture(scope="module")
def hubspot(tmp_path_factory):
    tables = {
        "leads": "hubspot_contacts.csv",
        "activities": "hubspot_engagements.csv",
        "opportunities": "hubspot_transactions.csv",
        "opportunity_history": "hubspot_transactions.csv",
    }
    return read(data_set(tmp_path_factory.mktemp("hubspot"), "hubspot", **tables))


def test_french_hubspot_becomes_a_data_set(hubspot):
    reading, tables = hubspot
    assert {name: len(rows) for name, rows in tables.items()} == {
        "leads": 60,
        "activities": 78,
        "opportunities": 40,
        "opportunity_history": 104,
    }
    assert reasons(reading) == {"filtered": 10}  # notes
    told = decided(reading)
    assert ("left out", "notes, which nobody receives") in told
    assert ("not in the export", "stages entered again: HubSpot keeps one date per stage") in told
    assert ("not in the export", "stage history") not in told  # the dates entered are one
    assert any(decision == "known, not used" and "Délai de réponse au lead" in value for decision, value in told)
    first = by_key(tables["leads"], "lead_id")["51001"]
    assert (first["created_at"], first["source"], first["status"]) == (datetime(2025, 9, 3, 8, 17), "Recherche organique", "Ouvert")


def test_hubspot_tells_machines_and_answers_from_people(hubspot):
    activities = by_key(hubspot[1]["activities"], "activity_id")
    assert activities["70001"]["automated"] is True  # a sequence
    assert (activities["70003"]["kind"], activities["70003"]["automated"], activities["70003"]["outcome"]) == ("call", False, "connected")
    assert activities["70005"]["direction"] == "inbound"  # INCOMING_EMAIL


def test_hubspot_stage_names_lose_their_pipeline(hubspot):
    assert set(column(hubspot[1]["opportunities"], "stage")) <= set(column(hubspot[1]["opportunity_history"], "stage"))
    assert set(column(hubspot[1]["opportunity_history"], "origin")) == {"entered_dates"}


def test_a_missing_exchange_rate_is_never_one_to_one(hubspot):
    deals = by_key(hubspot[1]["opportunities"], "opportunity_id")
    assert (deals["91025"]["currency"], deals["91005"]["currency"]) == ("USD", "EUR")
    converted = [deal for deal in deals.values() if deal["currency"] == "EUR"]
    assert len(converted) == len(deals) - 1


def test_a_closed_deal_without_the_date_of_its_stage_still_ends(tmp_path):
    content = (
        'Record ID,Deal Stage,Close Date,Create Date,Deal owner,Amount,"Date entered ""Demo (Sales)"""\n'
        "1,Closed won,2026-03-31 10:00,2026-03-01 09:00,Ann,10,2026-03-02 09:00\n"
        "2,Demo,2026-05-31 10:00,2026-03-01 09:00,Ann,10,2026-03-03 09:00\n"
    )
    toml = 'company.timezone = "UTC"\n[tables.opportunities]\npath = "d.csv"\nformat = "hubspot"\n'
    _, tables = read(write(tmp_path, toml + toml.split("\n", 1)[1].replace("opportunities", "opportunity_history"), d=content))
    assert [(row["opportunity_id"], row["stage"], row["status"], row["changed_at"].day) for row in tables["opportunity_history"]] == [
        ("1", "Demo", "open", 2),
        ("1", "Closed won", "won", 31),
        ("2", "Demo", "open", 3),
    ]


def test_hubspot_without_dates_entered_has_no_history(tmp_path):
    content = "Record ID,Deal Stage,Close Date,Deal owner\n1,Closed won,2026-03-31 10:00,Ann\n"
    reading, _ = read(write(tmp_path, '[tables.opportunities]\npath = "deals.csv"\nformat = "hubspot"', deals=content))
    assert ("not in the export", "stage history") in decided(reading)
    toml = '[tables.opportunity_history]\npath = "deals.csv"\nformat = "hubspot"'
    with pytest.raises(SchemaError, match=r"opportunity_history lacks changed_at: deals\.csv has no columns such as Date entered"):
        read(write(tmp_path, toml, deals=content))


HUBSPOT_TABLES = {
    "deal": "deal_id,is_deleted,deal_pipeline_stage_id,owner_id,portal_id,property_dealname,property_amount,property_closedate,property_createdate\n"
    "1,false,s3,o1,9,A,100,2026-02-10 10:00:00,2026-01-02 08:00:00\n2,false,s1,o1,9,B,200,2026-04-30 10:00:00,2026-01-03 08:00:00\n"
    "3,true,s1,o1,9,C,300,,2026-01-04 08:00:00\n",
    "deal_pipeline_stage": "_fivetran_deleted,closed_won,is_closed,display_order,stage_id,label,pipeline_id\n"
    "FALSE,FALSE,FALSE,0,s1,Demo,p\nFALSE,FALSE,FALSE,1,s2,Offer,p\nFALSE,TRUE,TRUE,2,s3,Signed,p\nFALSE,FALSE,TRUE,3,s4,Gone,p\n",
    "deal_contact": "contact_id,deal_id,_fivetran_synced\n71,1,x\n72,2,x\n",
    "deal_stage": "_fivetran_start,deal_id,_fivetran_active,date_entered,value\nx,1,t,2026-01-02 08:00:00,s1\nx,1,t,2026-02-10 10:00:00,s3\n",
    "deal_property_history": "deal_id,timestamp,name,value,source\n1,2026-01-02 08:00:00,dealstage,s1,CRM\n1,2026-01-02 08:00:00,amount,80,CRM\n"
    "1,2026-02-10 10:00:00,dealstage,s3,CRM\n1,2026-01-20 08:00:00,amount,100,CRM\n1,2026-01-21 08:00:00,dealname,A,CRM\n",
}


def connected(folder: Path, history: str) -> Path:
    toml = f"""
    [tables.opportunities]
    files = ["deal.csv", "deal_pipeline_stage.csv", "deal_contact.csv"]
    format = "hubspot"
    [tables.opportunity_history]
    files = ["{history}.csv", "deal_pipeline_stage.csv"]
    format = "hubspot"
    [tables.stages]
    path = "deal_pipeline_stage.csv"
    format = "hubspot"
    """
    return write(folder, textwrap.dedent(toml), **HUBSPOT_TABLES)


def test_connector_tables_are_joined(tmp_path):
    reading, tables = read(connected(tmp_path, "deal_stage"))
    assert reasons(reading) == {"filtered": 1}
    assert [(row["stage"], row["status"], row["lead_id"]) for row in tables["opportunities"]] == [("Signed", "won", "71"), ("Demo", "open", "72")]
    assert tables["opportunities"][0]["created_at"] == datetime(2026, 1, 2, 8)  # UTC, whatever the company's zone
    assert [(row["stage"], row["status"]) for row in tables["opportunity_history"]] == [("Demo", "open"), ("Signed", "won")]
    assert by_key(tables["stages"], "stage")["Gone"]["status"] == "lost"


def test_connector_property_history_is_folded(tmp_path):
    _, tables = read(connected(tmp_path, "deal_property_history"))
    history = [(row["changed_at"].day, row["stage"], row["status"], row["amount"]) for row in tables["opportunity_history"]]
    assert history == [(2, "Demo", "open", 80), (20, "Demo", "open", 100), (10, "Signed", "won", 100)]


def test_files_without_rows_of_the_table_are_refused(tmp_path):
    toml = '[tables.opportunities]\nfiles = ["deal_contact.csv"]\nformat = "hubspot"'
    with pytest.raises(DataError, match="files holds HubSpot deal_contact"):
        read(write(tmp_path, toml, **HUBSPOT_TABLES))


# ---- Salesforce


def test_a_salesforce_report_loses_its_footer(tmp_path):
    reading, tables = read(data_set(tmp_path, "salesforce", opportunities="salesforce_report.csv"))
    assert len(tables["opportunities"]) == 48
    assert reasons(reading) == {"footer": 7}
    told = decided(reading)
    assert {("dates", "closed_at: month first"), ("precision", "closed_at: day"), ("not in the export", "stage history")} <= told
    assert set(column(tables["opportunities"], "status")) == {"open", "won", "lost"}


@pytest.fixture(scope="module")
def salesforce(tmp_path_factory):
    names = {"leads": "lead", "activities": "task", "opportunities": "opportunity", "opportunity_history": "field_history"}
    tables = {name: f"salesforce_{file}.csv" for name, file in names.items()}
    return read(data_set(tmp_path_factory.mktemp("salesforce"), "salesforce", **tables))


def test_salesforce_tables(salesforce):
    reading, tables = salesforce
    assert reasons(reading) == {"filtered": 1}  # a call among colleagues
    deals = by_key(tables["opportunities"], "opportunity_id")
    assert [deals[key]["status"] for key in sorted(deals)] == ["won", "open", "lost", "open"]
    assert deals["006A04"]["deleted_at"] == datetime(2026, 2, 11, 7)
    assert reading.precision["opportunities", "closed_at"] == "day"
    leads = by_key(tables["leads"], "lead_id")
    assert (leads["00QA01"]["opportunity_id"], leads["00QA03"]["merged_into"]) == ("006A01", "00QA02")


def test_a_salesforce_call_happened_when_it_was_logged_not_when_it_was_due(salesforce):
    tasks = by_key(salesforce[1]["activities"], "activity_id")
    assert tasks["00TA01"]["at"] == datetime(2026, 1, 4, 8, 20)
    assert (tasks["00TA03"]["automated"], tasks["00TA02"]["automated"]) == (True, False)
    assert (tasks["00TA04"]["done"], tasks["00TA04"]["lead_id"], tasks["00TA04"]["opportunity_id"]) == (False, None, "006A02")


def test_changes_of_fields_become_whole_states(salesforce):
    history = [row for row in salesforce[1]["opportunity_history"] if row["opportunity_id"] == "006A01"]
    assert [(row["changed_at"], row["stage"], row["status"], row["amount"], row["owner"]) for row in history] == [
        (datetime(2026, 1, 5, 8), "Prospecting", "open", 800, "005A01"),
        (datetime(2026, 1, 20, 10), "Negotiation", "open", 800, "005A01"),
        (datetime(2026, 2, 10, 11), "Negotiation", "open", 1000, "005A01"),
        (datetime(2026, 2, 20, 10), "Closed Won", "won", 1000, "005A01"),
    ]


def test_without_a_creation_in_the_log_the_first_state_is_that_of_the_creation(salesforce):
    history = [row for row in salesforce[1]["opportunity_history"] if row["opportunity_id"] == "006A02"]
    assert [(row["changed_at"], row["stage"], row["owner"]) for row in history] == [
        (datetime(2026, 1, 12, 9, 30), "Prospecting", "005A01"),
        (datetime(2026, 3, 1, 10), "Prospecting", "005A02"),
        (datetime(2026, 3, 20, 10), "Negotiation", "005A02"),
    ]
    empty = next(row for row in salesforce[1]["opportunity_history"] if row["opportunity_id"] == "006A03")
    assert empty["amount"] is None  # it was given one later


def test_a_log_in_a_report_is_sorted_as_its_dates_are_written(tmp_path):
    content = (
        "Opportunity ID,Edit Date,Field / Event,Old Value,New Value\n"
        "1,02/04/2026 09:00,Stage,Demo,Closed Won\n1,13/03/2026 09:00,Stage,New,Demo\n1,01/03/2026 08:00,Created.,,\n"
    )
    toml = 'company.timezone = "UTC"\n[tables.opportunity_history]\nformat = "salesforce"'
    _, tables = read(write(tmp_path, toml, opportunity_history=content))
    assert [(row["changed_at"].month, row["stage"]) for row in tables["opportunity_history"]] == [(3, "New"), (3, "Demo"), (4, "Closed Won")]


def test_opportunity_history_is_a_row_per_state(tmp_path):
    tables = {"opportunities": "salesforce_opportunity.csv", "opportunity_history": "salesforce_opportunity_history.csv"}
    _, found = read(data_set(tmp_path, "salesforce", **tables))
    states = [(row["stage"], row["status"], row["amount"], row["expected_close_on"]) for row in found["opportunity_history"]]
    assert states[-1] == ("Closed Won", "won", 1000, date(2026, 2, 20))
    assert [state[1] for state in states] == ["open", "open", "won"]


# ---- Pipedrive


def test_pipedrive_with_curly_apostrophes_and_both_spellings(tmp_path):
    tables = {"leads": "pipedrive_prospects.csv", "activities": "pipedrive_activites.csv", "opportunities": "pipedrive_affaires.csv"}
    reading, found = read(data_set(tmp_path, "pipedrive", **tables))
    assert reasons(reading) == {}
    deals = found["opportunities"]
    assert set(column(deals, "status")) == {"open", "won", "lost"}
    assert all((deal["closed_at"] is None) == (deal["status"] == "open") for deal in deals)
    assert by_key(deals, "opportunity_id")["101"]["amount"] == 22276.0
    assert {("decimal", "amount: ,"), ("not in the export", "stage history"), ("unknown headers", "Affaire - Couleur préférée")} <= decided(reading)
    assert set(column(found["activities"], "lead_id")) - {None} == set(column(found["leads"], "lead_id"))  # linked by title


PIPEDRIVE = {
    "leads.csv": "Lead - ID,Lead - Title,Lead - Owner,Lead - Source channel,Lead - Lead created\n"
    "L1,Pump,Ann,Web,2026-01-05 10:00:00\nL2,Valve,Ann,Web,2026-01-06 10:00:00\nL3,Valve,Ann,Web,2026-01-07 10:00:00\n"
    "L4,Tap,Ann,Web,2026-01-07 10:00:00\n",
    "deals.csv": "Deal - ID,Deal - Title,Deal - Value,Deal - Currency of Value,Deal - Stage,Deal - Status,Deal - Deal created,Deal - Owner\n"
    "7,Pump,5,EUR,A,Open,2026-02-01 10:00:00,Ann\n8,Valve,5,EUR,A,Open,2026-02-01 10:00:00,Ann\n"
    "9,Tap,5,EUR,A,Open,2026-02-01 10:00:00,Ann\n10,Tap,5,EUR,A,Open,2026-02-01 10:00:00,Ann\n",
    "calls.csv": "Activity - Subject,Activity - Type,Activity - Done,Activity - Due date,Activity - Assigned to user,Lead,Deal\n"
    "a,Call,Done,2026-02-02,Ann,Pump,\nb,Call,Done,2026-02-03,Ann,Valve,\nc,Call,Done,2026-02-04,Ann,,Pump\nd,Call,Done,2026-02-05,Ann,,Tap\n",
}


def test_titles_join_where_they_are_unique(tmp_path):
    """One pump; two leads of the name Valve, two deals of the name Tap: those are left unlinked, or named as they were."""
    paths = {"leads": ["leads.csv"], "opportunities": ["deals.csv"], "activities": ["calls.csv", "deals.csv"]}
    for name, content in PIPEDRIVE.items():
        (tmp_path / name).write_text(content, "utf-8")
    sections = [f"[tables.{name}]\nfiles = {files}\nformat = 'pipedrive'\n" for name, files in paths.items()]
    _, found = read(write(tmp_path, "".join(sections)))
    assert {row["opportunity_id"]: row["lead_id"] for row in found["opportunities"]} == {"7": "L1", "8": None, "9": None, "10": None}
    calls = [(row["lead_id"], row["opportunity_id"]) for row in sorted(found["activities"], key=lambda row: row["at"])]
    assert calls == [("L1", None), ("Valve", None), (None, "7"), (None, "Tap")]


def test_titles_join_on_import_too(tmp_path):
    for name, content in PIPEDRIVE.items():
        (tmp_path / name).write_text(content, "utf-8")
    importing.bring_in([tmp_path / name for name in PIPEDRIVE], tmp_path / "acme", exported_on=date(2026, 2, 28))
    data = kpi.load(tmp_path / "acme")
    deals, calls = (engine.collect(data.table(name), ["opportunity_id"]) for name in ("opportunities", "activities"))
    assert deals.set_index("opportunity_id")["lead_id"].dropna().to_dict() == {"7": "L1"}
    assert set(calls["opportunity_id"].dropna()) == {"7", "Tap"}


def test_the_fixtures_of_pipedrive_join_by_title(tmp_path):
    files = {"leads": ["pipedrive_prospects.csv"], "opportunities": ["pipedrive_affaires.csv"]}
    files["activities"] = ["pipedrive_activites.csv", "pipedrive_affaires.csv"]
    places = {name: [(EXPORTS / file).as_posix() for file in names] for name, names in files.items()}
    _, found = read(write(tmp_path, "".join(f"[tables.{name}]\nfiles = {names}\nformat = 'pipedrive'\n" for name, names in places.items())))
    leads = {row["lead_id"]: row["person_id"] for row in found["leads"]}
    linked = {row["opportunity_id"]: leads[row["lead_id"]] for row in found["opportunities"] if row["lead_id"]}
    assert linked == {str(101 + i): f"Demande {i}" for i in range(8)}
    assert {row["opportunity_id"] for row in found["activities"] if row["opportunity_id"]} == {"121", "122"}


def test_several_contacts_of_a_deal_are_counted(tmp_path):
    header = "Record ID,Deal Name,Deal Stage,Pipeline,Amount,Create Date,Close Date,Deal owner,Associated Contact IDs\n"
    rows = [f"{i},D{i},Closed Won,Sales,10,2025-09-01 10:00,2025-11-01 10:00,Anne,{'5;6' if i < 3 else 7}" for i in range(5)]
    reading, found = read(write(tmp_path, '[tables.opportunities]\nformat = "hubspot"', opportunities=header + "\n".join(rows)))
    assert ("counted", "3 of 5 deals name several contacts; the first one stands for the deal, though their order means nothing") in decided(reading)
    assert column(found["opportunities"], "lead_id") == ["5", "5", "5", "7", "7"]


def test_the_other_spellings_of_pipedrive(tmp_path):
    content = (
        "Deal - Pipedrive System ID,Deal - Currency,Deal - Value,Deal - Stage (pipeline),Deal - Status,"
        "Deal - Add time,Deal - Closed on,Deal - Owner\n"
        "1,EUR,10,Demo,WON,2026-01-02 10:00:00,2026-02-02,Ann\n2,EUR,10,Demo,deleted,2026-01-02 10:00:00,,Ann\n"
    )
    reading, tables = read(write(tmp_path, '[tables.opportunities]\nformat = "pipedrive"', opportunities=content))
    assert reasons(reading) == {"filtered": 1}
    assert [(row["status"], row["closed_at"].day) for row in tables["opportunities"]] == [("won", 1)]  # Paris midnight


# ---- what kpi.toml states wins, and refusals


def test_explicit_columns_values_and_constants_win(tmp_path):
    content = "Record ID,Deal Stage,Ma phase,Deal owner,Canal,Amount\n1,x,Signature,Ann,Web,5\n2,x,Gagné,Ann,,6\n"
    toml = """
    [tables.opportunities]
    format = "hubspot"
    columns = {stage = "Ma phase", source = "Canal"}
    constants = {currency = "CHF"}
    values.status = {"Signature" = "won", "Gagné" = "lost"}
    values.source = {"" = "unknown", "Web" = "site"}
    where = {Canal = ["Web", ""]}
    """
    _, tables = read(write(tmp_path, textwrap.dedent(toml), opportunities=content))
    found = [(row["stage"], row["status"], row["source"], row["currency"]) for row in tables["opportunities"]]
    assert found == [("Signature", "won", "site", "CHF"), ("Gagné", "lost", "unknown", "CHF")]


def test_a_header_that_matches_nothing_is_listed_with_the_nearest_alias(tmp_path):
    content = "Record ID,Deal Stage,Deal owner,Ammount,Days to close,Zzz\n1,Demo,Ann,5,3,1\n"
    reading, _ = read(write(tmp_path, '[tables.opportunities]\nformat = "hubspot"', opportunities=content))
    told = decided(reading)
    assert ("unknown header", "Ammount (the nearest alias is Amount)") in told
    assert {("unknown headers", "Zzz"), ("known, not used", "Days to close")} <= told


def test_a_required_column_without_header_names_the_nearest_one(tmp_path):
    content = "Record ID,Deal Stage,Deal ownr\n1,Demo,Ann\n"
    with pytest.raises(SchemaError, match=r"opportunities lacks owner: .* has it under 'Deal owner'.*; did you mean 'Deal ownr'"):
        read(write(tmp_path, '[tables.opportunities]\nformat = "hubspot"', opportunities=content))


def test_a_table_that_the_system_does_not_have(tmp_path):
    with pytest.raises(DataError, match=r'\[tables.targets\] format = "hubspot" has no aliases for targets; it has opportunities'):
        read(write(tmp_path, '[tables.targets]\nformat = "hubspot"', targets="a,b\n1,2\n"))


def test_an_unknown_status_is_set_aside_not_guessed(tmp_path):
    content = "Deal - ID,Deal - Status,Deal - Stage,Deal - Owner\n1,Won,a,Ann\n2,Frozen,a,Ann\n"
    reading, tables = read(write(tmp_path, '[tables.opportunities]\nformat = "pipedrive"', opportunities=content))
    assert reasons(reading) == {"unknown value of status": 1}
    assert column(tables["opportunities"], "opportunity_id") == ["1"]


def test_only_a_header_and_nothing_left_after_filtering(tmp_path):
    toml, header = '[tables.opportunities]\nformat = "pipedrive"', "Deal - ID,Deal - Status,Deal - Stage,Deal - Owner\n"
    assert read(write(tmp_path, toml, opportunities=header))[1]["opportunities"] == []
    reading, tables = read(write(tmp_path, toml, opportunities=f"{header}1,deleted,a,b\n"))
    assert (tables["opportunities"], reasons(reading)) == ([], {"filtered": 1})


def test_two_columns_of_one_name_are_refused_where_one_is_needed(tmp_path):
    header = "Record ID,Deal Name,Deal Stage,Pipeline,Amount,amount ,Create Date,Close Date,Deal owner\n"
    (tmp_path / "deals.csv").write_text(header + "1,D,Proposal,Sales,1000,900,2025-09-01 10:00,2026-04-30 10:00,Ann\n")
    with pytest.raises(SchemaError, match=r"deals.csv has 'Amount' in columns 5 and 6, and which counts cannot be told"):
        importing.bring_in([tmp_path / "deals.csv"], tmp_path / "to")
    (tmp_path / "deals.csv").write_text(header.replace("amount ", "Deal Name") + "1,D,Proposal,Sales,1000,E,2025-09-01 10:00,2026-04-30 10:00,Ann\n")
    importing.bring_in([tmp_path / "deals.csv"], tmp_path / "to")


# ---- a status is told

HUBSPOT = "Record ID,Deal Name,Deal Stage,Pipeline,Amount,Create Date,Close Date,Deal owner\n"


def statuses(folder: Path) -> dict[str, tuple[str, bool]]:
    """Status of each deal, and whether it has a day of closing."""
    return {row["opportunity_id"]: (row["status"], row["closed_at"] is not None) for row in read(folder)[1]["opportunities"]}


def test_stages_of_which_nothing_says_won_or_lost_are_listed_and_the_stages_table_wins(tmp_path):
    """Two stages of the company's own close deals; the first import can but take them as open and name them, a table of stages settles it."""
    stages = ["Contract signed at the client", "Contract signed at the client", "Budget gone", "Closed won", "Closed lost", "1049659", "Proposal"]
    rows = [f"{n},D,{stage},Sales,1000,2025-09-0{n} 10:00,2025-10-0{n} 10:00,Ann" for n, stage in enumerate(stages, 1)]
    (tmp_path / "deals.csv").write_text(HUBSPOT + "\n".join(rows) + "\n")
    outcome = importing.bring_in([tmp_path / "deals.csv"], tmp_path / "to", exported_on=date(2025, 12, 31))
    listed = "'Contract signed at the client' (2), '1049659' (1), 'Budget gone' (1), 'Proposal' (1)"
    assert f"stages of which nothing says won or lost, taken as open (a table stages tells): {listed}" in importing.as_text(outcome)
    assert [status for status, _ in statuses(tmp_path / "to").values()].count("open") == 5
    again = dict(decided(read(tmp_path / "to")[0]))
    assert again["stages of which nothing says won or lost, taken as open (a table stages tells)"] == listed, "told at each check until it is settled"
    told = "stage,position,status\nProposal,1,open\nContract signed at the client,2,won\nBudget gone,3,lost\nClosed won,4,won\nClosed lost,5,lost\n"
    (tmp_path / "stages.csv").write_text(told)
    importing.bring_in([tmp_path / "stages.csv"], tmp_path / "to", exported_on=date(2025, 12, 31))
    won, lost = ("won", True), ("lost", True)
    assert statuses(tmp_path / "to") == {"1": won, "2": won, "3": lost, "4": won, "5": lost, "6": ("open", False), "7": ("open", False)}


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        (
            "ID;Nom;Étape;Statut;Montant;Date de clôture;Propriétaire;Date de création",
            [
                "1;A;Négociation;Gagné;1000,00;20/02/2026;Anne;13/01/2026",
                "2;B;Proposition;Perdu;2000,00;21/02/2026;Anne;14/01/2026",
                "3;C;Proposition;En cours;3000,00;22/04/2026;Anne;15/01/2026",
            ],
        ),
        (
            "Id,Name,Stage,Status,Amount,Close Date,Owner,Created Date",
            [
                "1,A,Negotiation,Won,1000.00,02/20/2026,Ann,01/13/2026",
                "2,B,Proposal,Lost,2000.00,02/21/2026,Ann,01/14/2026",
                "3,C,Closed Won,Open,3000.00,04/22/2026,Ann,01/15/2026",
            ],
        ),
        (
            "Identifiant;Étape;Gagnée;Montant;Date de clôture;Utilisateur;Créé le",
            [
                "1;Négociation;Oui;1000;20-02-2026;Anne;13-01-2026",
                "2;Perdu;;2000;21-02-2026;Anne;14-01-2026",
                "3;Négociation;;3000;22-04-2026;Anne;15-01-2026",
            ],
        ),
    ],
)
def test_a_list_with_a_status_is_no_export_of_a_system_that_has_none(tmp_path, header, rows):
    """Won, lost, open as the status says, however far each got; an open deal has no day of closing, whatever the file has there."""
    (tmp_path / "list.csv").write_text("\n".join([header, *rows, ""]), "utf-8")
    importing.bring_in([tmp_path / "list.csv"], tmp_path / "to", exported_on=date(2026, 3, 31))
    assert statuses(tmp_path / "to") == {"1": ("won", True), "2": ("lost", True), "3": ("open", False)}


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 12))])
def test_no_deal_is_open_but_told_so_or_named(tmp_path, seed):
    """Deals in stages of any name, statuses told by stage, by a table of stages or not at all: each is as told, and those untold are named."""
    chance = random.Random(seed)
    told = {"Closed won": "won", "Closed lost": "lost", "Signé": "won", "Perdu": "lost"}
    own = {f"{word} {n}": chance.choice(["open", "won", "lost", ""]) for n, word in enumerate(["Étude", "Offre", "Accord", "Abandon", "Attente"])}
    deals = {str(n): chance.choice([*told, *own]) for n in range(1, 40)}
    rows = [f"{n},D,{stage},Sales,1000,2025-09-01 10:00,2025-10-01 10:00,Ann" for n, stage in deals.items()]
    (tmp_path / "deals.csv").write_text(HUBSPOT + "\n".join(rows) + "\n", "utf-8")
    listed = [f"{stage},{n},{status}" for n, (stage, status) in enumerate(own.items()) if status]
    (tmp_path / "stages.csv").write_text("\n".join(["stage,position,status", *listed, "Z,99,open", ""]), "utf-8")
    outcome = importing.bring_in([tmp_path / name for name in ("deals.csv", "stages.csv")], tmp_path / "to", exported_on=date(2025, 12, 31))
    expected = {n: told.get(stage) or own[stage] or "open" for n, stage in deals.items()}
    assert {n: status for n, (status, _) in statuses(tmp_path / "to").items()} == expected
    text = importing.as_text(outcome)
    untold = {stage for stage in deals.values() if stage in own and not own[stage]}
    assert {stage for stage in own if f"{stage!r} (" in text} == untold
