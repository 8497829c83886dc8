from __future__ import annotations

import importlib
import inspect

import pytest

from kpi import catalog
from kpi.catalog import CATALOG
from kpi.errors import ParameterError
from kpi.presentation.language import Words

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
def test_source_is_a_documented_function_of_the_data(key):
    module, _, name = CATALOG[key].source.rpartition(".")
    function = getattr(importlib.import_module(f"kpi.{module}"), name)
    assert inspect.isfunction(function)
    assert next(iter(inspect.signature(function).parameters)) == "data"
    assert "as_of" in inspect.signature(function).parameters
    assert function.__doc__


@pytest.mark.parametrize("key", CATALOG)
def test_each_entry_is_said_in_french_too(key):
    definition = CATALOG[key].definition
    assert Words("fr").translate(definition) != definition, "the French text is missing"


def test_names_are_told_apart():
    names = [entry.name for entry in CATALOG.values()]
    assert len(set(names)) == len(names)


def test_find_by_key():
    assert catalog.kpi("pipeline.closed_win_rate").source == "pipeline.closed_win_rate"
    with pytest.raises(ParameterError, match=r"pipeline\.win_rate"):
        catalog.kpi("pipeline.win_rate")
