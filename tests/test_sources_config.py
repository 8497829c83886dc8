"""kpi.toml: what is accepted, where it is looked for, and each refusal's message."""

from __future__ import annotations

import pandas as pd
import pytest
from written import LEADS, write

from kpi import sources
from kpi.errors import DataError
from kpi.sources import Company


def refused(folder, toml: str) -> str:
    with pytest.raises(DataError) as error:
        sources.read_config(write(folder, toml))
    return str(error.value)


def test_a_folder_without_table_sections_takes_the_files_named_as_the_tables(tmp_path):
    config = sources.read_config(write(tmp_path / "shop", "", leads=LEADS, orders="order_id\n", other="x\n"))
    assert list(config.tables) == ["leads", "orders"]
    assert config.tables["leads"].path == "leads.csv"
    assert config.company == Company(name="shop")
    assert config.settings == {"response": {}, "pipeline": {}, "retention": {}, "pulse": {}, "links": {}}


def test_all_of_company_is_read(tmp_path):
    toml = """
    [company]
    name = "Vauclair"
    language = "fr"
    currency = "CHF"
    timezone = "Europe/Zurich"
    country = "CH"
    fiscal_year_starts = 4
    exported_at = 2026-11-01T00:00:00
    simulated = true
    [hours]
    monday = ["09:00-12:00"]
    [response]
    thresholds = [5, 60]
    """
    config = sources.read_config(write(tmp_path, toml))
    assert config.company.exported_at == pd.Timestamp("2026-10-31 23:00:00")
    assert (config.company.name, config.company.currency, config.company.simulated) == ("Vauclair", "CHF", True)
    assert config.hours == {"monday": ["09:00-12:00"]}
    assert config.settings["response"] == {"thresholds": [5, 60]}


@pytest.mark.parametrize(
    ("written", "expected"),
    [('"2026-11-01"', "2026-10-31 23:00"), ('"2026-11-01T06:00+02:00"', "2026-11-01 04:00"), ("2026-07-01", "2026-06-30 22:00")],
)
def test_exported_at_is_local_unless_it_has_an_offset(tmp_path, written, expected):
    config = sources.read_config(write(tmp_path, f"[company]\nexported_at = {written}"))
    assert config.company.exported_at == pd.Timestamp(expected)


def test_a_relative_folder_is_looked_for_upward(tmp_path, monkeypatch):
    write(tmp_path / "data", "")
    (tmp_path / "notebooks" / "deep").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "notebooks" / "deep")
    assert sources.read_config("data").path == tmp_path / "data" / "kpi.toml"
    assert sources.read_config("data/kpi.toml").folder == tmp_path / "data"


def test_no_data_set_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="there is no data set 'nowhere', neither here nor in a folder above"):
        sources.read_config("nowhere")
    with pytest.raises(DataError, match=r"has no kpi\.toml"):
        sources.read_config(tmp_path)


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("[company", "cannot be read as TOML"),
        ("[compny]", "kpi.toml has the unknown section 'compny'; did you mean 'company'?"),
        ("company = 3", "[company] = 3 is not a section"),
        ("[company]\ncurency = 'EUR'", "[company] has the unknown key 'curency'; did you mean 'currency'?"),
        ("[company]\ntimezone = 'Europe/Pari'", "[company] timezone = 'Europe/Pari' is no time zone; did you mean 'Europe/Paris'?"),
        ("[company]\ntimezone = '../etc'", "[company] timezone = '../etc' is no time zone"),
        ("[company]\ncurrency = 'Euro'", "[company] currency = 'Euro' is not an ISO 4217 code"),
        ("[company]\ncountry = 'France'", "[company] country = 'France' is not an ISO 3166 code"),
        ("[company]\nlanguage = 'de'", "[company] language = 'de' is not one of en, fr"),
        ("[company]\nfiscal_year_starts = 13", "[company] fiscal_year_starts = 13 is not a month from 1 to 12"),
        ("[company]\nsimulated = 'no'", "[company] simulated = 'no' is not true or false"),
        ("[company]\nname = 3", "[company] name = 3 is not a text"),
        ("[company]\nexported_at = 'soon'", "[company] exported_at: 'soon' is no instant"),
        ("[tables.deals]\npath = 'a.csv'", "[tables] has the unknown table 'deals'"),
        ("[tables.leads]\npaht = 'a.csv'", "[tables.leads] has the unknown key 'paht'; did you mean 'path'?"),
        ("[tables.leads]\nformat = 'hubspto'\npath = 'a.csv'", "[tables.leads] format is the unknown 'hubspto'; did you mean 'hubspot'?"),
        ("[tables.leads]\ndecimal = ','", "[tables.leads] needs a path, or files and a query; there is no leads.csv beside kpi.toml"),
        ("[tables.leads]\nquery = 'select 1'", "[tables.leads] needs either a path, or files together with a query"),
        ("[tables.leads]\nfiles = ['a.csv']\npath = 'a.csv'", "[tables.leads] needs either a path, or files together with a query"),
        ("[tables.leads]\npath = 3", "[tables.leads] path = 3 is not a text"),
        ("[tables.leads]\npath = 'a.csv'\ndecimal = ';'", '[tables.leads] decimal = \';\' is not either "." or ","'),
        ("[tables.leads]\npath = 'a.csv'\ndelimiter = ';;'", "[tables.leads] delimiter = ';;' is not one character"),
        ("[tables.leads]\npath = 'a.csv'\ntimezone = 'Mars'", "[tables.leads] timezone = 'Mars' is no time zone"),
        ("[tables.leads]\npath = 'a.csv'\ncolumns = {lead = 'Id'}", "columns has the unknown column 'lead'; did you mean 'lead_id'?"),
        ("[tables.leads]\npath = 'a.csv'\nvalues.sorce = {a = 'b'}", "values has the unknown column 'sorce'; did you mean 'source'?"),
        ("[tables.leads]\npath = 'a.csv'\nvalues.source = 'b'", "[tables.leads] values.source = 'b' is not a table"),
        ("[tables.leads]\npath = 'a.csv'\ncolumns = {owner = 'x'}\nconstants = {owner = 'y'}", "gives owner both a column and a constant"),
        ("[tables.leads]\npath = 'a.csv'\nwhere = 'x'", "[tables.leads] where = 'x' is not a table of columns"),
        ("[tables.leads]\npath = 'a.csv'\nconstants = {owner = [1]}", "[tables.leads] constants owner = [1] is not a text, number, date"),
    ],
)
def test_each_refusal_names_its_key(tmp_path, toml, message):
    assert message in refused(tmp_path, toml)


def test_two_files_for_one_table_are_refused(tmp_path):
    folder = write(tmp_path, "", leads=LEADS)
    (folder / "leads.parquet").write_bytes(b"")
    with pytest.raises(DataError, match=r"has leads\.csv and leads\.parquet; name the right one"):
        sources.read_config(folder)
