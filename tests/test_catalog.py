from __future__ import annotations

import importlib
import inspect

import pytest

from kpi import catalog
from kpi.catalog import CATALOG, CHAIN
from kpi.errors import ParameterError
from kpi.presentation.language import Words
from tests import kpi_table

UNITS = {"rate", "ratio", "difference", "seconds", "days", "months", "count", "money"}


@pytest.mark.parametrize("key", CATALOG)
def test_each_entry_says_what_it_is(key):
    entry = CATALOG[key]
    assert entry.key == key
    area, _, name = key.partition(".")
    assert area in {"response", "pipeline", "retention"}
    assert name.isidentifier()
    assert entry.name
    assert entry.name[0].isupper()
    assert entry.definition.endswith(".")
    assert entry.unit in UNITS
    assert entry.better in {"up", "down", ""}


@pytest.mark.parametrize("key", CATALOG)
def test_function_is_a_documented_one_of_the_data_and_takes_what_the_record_says(key):
    entry = CATALOG[key]
    module, _, name = entry.function.rpartition(".")
    function = getattr(importlib.import_module(f"kpi.{module}"), name)
    assert inspect.isfunction(function)
    taken = inspect.signature(function).parameters
    assert next(iter(taken)) == "data"
    assert "as_of" in taken
    assert function.__doc__
    headline = entry.headline.arguments if entry.headline else {}
    assert {*entry.arguments, *headline} <= set(taken)
    assert "past" in taken or not (entry.past_months or entry.months_before)
    assert not (entry.months and entry.days), "one window"


@pytest.mark.parametrize("key", CATALOG)
def test_two_records_never_compute_the_same(key):
    def computed(entry):
        return entry.function, entry.months, entry.days, dict(entry.arguments)

    assert [other.key for other in CATALOG.values() if computed(other) == computed(CATALOG[key])] == [key]


def test_the_chain_stands_in_its_order():
    assert [item.place for item in CHAIN.values()] == [*range(1, len(CHAIN) + 1)]
    assert all(CATALOG[key].unit in {"count", "rate", "money"} for key in CHAIN), "a kind of process behaviour chart"


@pytest.mark.parametrize("key", CATALOG)
def test_each_entry_is_said_in_french_too(key):
    definition = CATALOG[key].definition
    assert Words("fr").translate(definition) != definition, "the French text is missing"


def test_names_are_told_apart():
    names = [entry.name for entry in CATALOG.values()]
    assert len(set(names)) == len(names)


def test_find_by_key():
    assert catalog.kpi("pipeline.closed_win_rate").function == "pipeline.closed_win_rate"
    with pytest.raises(ParameterError, match=r"pipeline\.win_rate"):
        catalog.kpi("pipeline.win_rate")


def test_the_readme_has_the_table_of_kpis():
    readme = kpi_table.README.read_text("utf-8")
    assert kpi_table.written(readme) == readme, "bring it up to date with: python -m tests.kpi_table"
    assert all(record.name in readme for record in CATALOG.values())
