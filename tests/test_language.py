"""Words: numbers, money and dates as each language writes them; sentences; the French catalogue is complete."""

import datetime as dt
import json
import math

import numpy as np
import pandas as pd
import pytest
from babel.messages.pofile import read_po
from hypothesis import given
from hypothesis import strategies as st

from kpi.errors import ParameterError
from kpi.presentation.language import Words, missing, placeholders
from kpi.presentation.language.translations import LOCALE, typeset
from kpi.schema import N_
from tests import translations

EN, FR = Words("en"), Words("fr")
NOTHING = [None, math.nan, np.nan, pd.NA, pd.NaT]
finite = st.floats(-1e9, 1e9, allow_nan=False)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (EN.number(1234.5), "1,235"),  # half up, not half to even
        (FR.number(1234.5), "1\u202f235"),
        (EN.number(-1234.56, 1), "\u22121,234.6"),
        (FR.number(-1234.56, 1), "\u22121\u202f234,6"),
        (EN.number(-0.3), "0"),
        (EN.number(12, signed=True), "+12"),
        (EN.number(0.2, signed=True), "0"),
        (EN.number_range(340, 476), "340–476"),
        (FR.number_range(-14, 12), "\u221214 à +12"),
        (EN.percent(0.341), "34%"),
        (FR.percent(0.341), "34\u202f%"),
        (EN.percent(0.285), "29%"),  # 28.499999999999996 in floats
        (FR.percent(0.9822, 1), "98,2\u202f%"),
        (EN.percent_range(0.29, 0.38), "29–38%"),
        (FR.percent_range(0.29, 0.38), "29–38\u202f%"),
        (EN.percent_range(0.291, 0.293), "29%"),
        (EN.percent_range(-0.02, 0.03), "\u22122 to +3%"),
    ],
)
def test_numbers_and_shares(said, expected):
    assert said == expected


@pytest.mark.parametrize(
    ("amount", "english", "french"),
    [
        (0, "€0", "0\u00a0€"),
        (2361, "€2,361", "2\u202f361\u00a0€"),
        (9999.4, "€9,999", "9\u202f999\u00a0€"),
        (9999.6, "€10.0k", "10,0\u00a0k€"),  # by the rounded amount, so that €10,000 never stands beside €10.0k
        (13_600, "€13.6k", "13,6\u00a0k€"),
        (99_960, "€100k", "100\u00a0k€"),
        (1_486_000, "€1,486k", "1\u202f486\u00a0k€"),
        (14_860_000, "€14.9M", "14,9\u00a0M€"),
        (-109_000, "\u2212€109k", "\u2212109\u00a0k€"),
    ],
)
def test_money(amount, english, french):
    assert EN.money(amount, "EUR") == english
    assert FR.money(amount, "EUR") == french


def test_money_of_other_countries_changes_and_ranges():
    assert EN.money(1_486_000, "USD") == "$1,486k"
    assert EN.money(1_486_000, "CHF") == "CHF\u00a01,486k"
    assert FR.money(1_486_000, "USD") == "1\u202f486\u00a0k$US"
    assert EN.money(31_000, "EUR", signed=True) == "+€31.0k"
    assert FR.money(-109_000, "EUR", signed=True) == "\u2212109\u00a0k€"
    assert EN.money_range(271_000, 458_000, "EUR") == "€271–458k"
    assert FR.money_range(271_000, 458_000, "EUR") == "271–458\u00a0k€"
    assert EN.money_range(-6000, 41_000, "EUR") == "\u2212€6k to +€41k"
    assert FR.money_range(-6000, 41_000, "EUR") == "\u22126 à +41\u00a0k€"


def test_times():
    assert [EN.duration(s) for s in (45, 59.7, 3299, 3599, 14_040, 86_399, 138_240, 1.72e6)] == [
        *("45\u00a0s", "1\u00a0min", "55\u00a0min", "1\u00a0h", "3\u00a0h\u00a054", "1\u00a0day", "1.6\u00a0days", "20\u00a0days")
    ]
    assert FR.days(1.6) == "1,6\u00a0jour"
    assert FR.days(29) == "29\u00a0jours"
    first = dt.date(2026, 11, 1)
    assert EN.date(first) == "1\u00a0November 2026"
    assert FR.date(first) == "1er\u00a0novembre 2026"
    assert FR.sentence(FR.month("2026-10")) == "Octobre 2026"
    assert (EN.month_short("2026-10"), FR.month_short(first)) == ("Oct", "nov.")
    assert (EN.weekday(0), FR.weekday(6)) == ("Mon", "dim.")


def test_instants_are_told_in_local_time():
    at = pd.Timestamp("2026-10-12 07:03")  # naive UTC; Paris is two hours ahead until 25 October
    assert EN.when(at, "Europe/Paris") == "Mon\u00a012\u00a0Oct, 09:03"
    assert FR.when(at, "Europe/Paris") == "lun.\u00a012\u00a0oct., 9\u00a0h\u00a003"
    midnight = dt.datetime(2026, 10, 31, 23, 0)
    assert EN.moment(midnight, "Europe/Paris") == "1\u00a0November 2026, 00:00 Paris"
    assert FR.moment(midnight, "Europe/Paris") == "1er\u00a0novembre 2026, 0\u00a0h, heure de Paris"


@pytest.mark.parametrize("nothing", NOTHING, ids=repr)
def test_what_is_missing_is_a_dash_and_never_zero(nothing):
    assert missing(nothing)
    for words in (EN, FR):
        said = [words.number(nothing), words.percent(nothing), words.money(nothing, "EUR"), words.duration(nothing), words.days(nothing)]
        said += [words.date(nothing), words.when(nothing, "Europe/Paris"), words.moment(nothing, "UTC")]
        said += [words.percent_range(nothing, 0.4), words.money_range(1.0, nothing, "EUR"), words.number_range(nothing, nothing)]
        assert said == ["–"] * len(said)


@given(finite, st.integers(0, 3))
def test_a_number_read_back_is_the_number_rounded(value, digits):
    read = EN.number(value, digits).replace(",", "").replace("\u2212", "-")
    assert abs(float(read) - value) <= 0.5 * 10**-digits + 1e-6
    assert float(FR.number(value, digits).replace("\u202f", "").replace(",", ".").replace("\u2212", "-")) == float(read)


@given(finite, finite)
def test_a_range_names_its_unit_once(one, other):
    low, high = sorted((one, other))
    for words in (EN, FR):
        assert words.percent_range(low / 1e9, high / 1e9).count("%") == 1
        assert FR.money_range(low, high, "EUR").count("€") == 1


def test_sentences():
    assert EN.say("Answered within {delay}", delay="1 h") == "Answered within 1 h"
    assert EN.say("{n} rows", n=np.int64(14_580)) == "14,580 rows"
    assert FR.say("a text without translation") == "a text without translation"
    assert [EN.say_n("{n} lead", "{n} leads", n) for n in (0, 1, 2)] == ["0 leads", "1 lead", "2 leads"]
    assert [FR.say_n("day", "days", n) for n in (0, 1, 2)] == ["jour", "jour", "jours"]  # 0 is singular in French
    assert EN.listing(["a", "b", "c"]) == "a, b and c"
    assert FR.listing(["a", "b"]) == "a et b"
    assert N_("x") == "x"


def test_sentences_refuse_what_does_not_fit():
    with pytest.raises(KeyError, match="places"):
        EN.say("within {delay}")
    with pytest.raises(KeyError, match="places"):
        EN.say("within", delay="1 h")
    with pytest.raises(KeyError, match="places"):
        EN.say_n("{n} of {all}", "{n} of {all}", 2)
    for value in (1.5, True, None, dt.date(2026, 1, 1)):
        with pytest.raises(ParameterError, match="say it first"):
            EN.say("{value}", value=value)
    with pytest.raises(ParameterError, match="'de' is unknown"):
        Words("de")


def test_a_value_is_not_read_as_a_sentence():
    assert EN.say("Source {name}", name="{__class__} {0}") == "Source {__class__} {0}"


def test_words_are_values():
    assert Words("fr") == FR
    assert len({Words("fr"), FR, EN}) == 2


def test_french_spaces_are_set_when_the_catalogue_is_read():
    assert typeset("Pourquoi ? Voici : « oui », l'an d'avant ; 95 % !") == (
        "Pourquoi\u202f? Voici\u00a0: «\u202foui\u202f», l’an d’avant\u202f; 95\u202f%\u202f!"
    )
    assert typeset("| a | b |\n| :-- | --: |") == "| a | b |\n| :-- | --: |"


# ---- the French catalogue ----


@pytest.fixture(scope="module")
def french():
    with (LOCALE / "fr" / "LC_MESSAGES" / "kpi.po").open("rb") as file:
        return {message.id: message for message in read_po(file, locale="fr") if message.id}


def test_every_text_has_its_french(french, root):
    lacking = [
        message.id for message in translations.template(root) if message.id and not translations.is_translated(french.get(message.id, message))
    ]
    assert not lacking, f"{len(lacking)} texts without French; run python -m tests.translations: {lacking[:5]}"


def test_no_french_is_left_over(french, root):
    wanted = {message.id for message in translations.template(root)}
    left = [id_ for id_ in french if id_ not in wanted]
    assert not left, f"texts that no longer exist; run python -m tests.translations: {left[:5]}"


def test_french_has_the_places_of_the_english(french):
    for id_, message in french.items():
        texts = [id_] if isinstance(id_, str) else list(id_)
        forms = [message.string] if isinstance(message.string, str) else list(message.string)
        if not all(forms) or "\n" in texts[0]:  # Markdown cells are not filled in
            continue
        free = {"n"} if len(texts) == 2 else set()  # "1 lead" may be said without its number
        for form in forms:
            assert placeholders(form) | free == placeholders(texts[-1]) | free, (id_, form)


def test_texts_are_found_in_code_and_notebooks(tmp_path):
    (tmp_path / "kpi").mkdir()
    (tmp_path / "notebooks").mkdir()
    code = 'say("one" if x else "two")\nwords.say_n("{n} a", "{n} b", n)\nN_("three" " more")\nsay(variable)\nunrelated("no")\n'
    (tmp_path / "kpi" / "m.py").write_text(code)
    cells = [{"cell_type": "markdown", "source": ["## Why?\n", "Because."]}, {"cell_type": "code", "source": ["x"]}]
    (tmp_path / "notebooks" / "n.ipynb").write_text(json.dumps({"cells": cells}))
    found = {message.id for message in translations.template(tmp_path) if message.id}
    assert found == {"one", "two", ("{n} a", "{n} b"), "three more", "## Why?\nBecause."}


@pytest.mark.parametrize("code", ['say(f"{n} leads")', "say_n(one, many, 2)"])
def test_a_text_put_together_where_it_is_said_is_refused(tmp_path, code):
    (tmp_path / "kpi").mkdir()
    (tmp_path / "kpi" / "m.py").write_text(code)
    with pytest.raises(ParameterError, match=r"kpi/m\.py:1"):
        translations.template(tmp_path)
