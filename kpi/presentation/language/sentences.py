"""Sentences in the reader's language."""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Mapping

from babel.lists import format_list

from kpi.errors import ParameterError
from kpi.presentation.language.numbers import Numbers
from kpi.presentation.language.translations import placeholders, translations
from kpi.schema import BLANK


class Sentences(Numbers):
    """How one language says sentences."""

    def translate(self, text: str) -> str:
        """Say a fixed text in this language: a Markdown cell, the name of a KPI."""
        return translations(self.lang).get(text, (text,))[0]

    def say(self, text: str, /, **values: object) -> str:
        """Say a sentence in this language, with its values filled in."""
        return self._fill(self.translate(text), values)

    def say_some(self, text: str, values: Mapping[str, object], /) -> str:
        """Say a sentence in this language, with those of the values that it has places for."""
        return self.say(text, **{name: values[name] for name in placeholders(text)})

    def say_n(self, one: str, many: str, n: float, /, **values: object) -> str:
        """Say a sentence about a count, in the singular or the plural."""
        plural = abs(n) >= 2 if self.lang == "fr" else n != 1
        text = translations(self.lang).get(one, (one, many))[-1 if plural else 0]
        return self._fill(text, {**values, "n": self.number(n)} if "n" in placeholders(text) else values)

    def sentence(self, text: str) -> str:
        """Begin a sentence: the first letter becomes a capital."""
        return text[:1].upper() + text[1:]

    def named(self, group: object) -> str:
        """Write the name of a group, which may be that of the empty cells."""
        return self.say("(blank)") if group == BLANK else str(group)

    def names(self, groups: Iterable[str]) -> list[str]:
        """Write the names of groups."""
        return [self.named(group) for group in groups]

    def listing(self, items: Iterable[str]) -> str:
        """Enumerate: "a, b and c"."""
        return format_list([str(item) for item in items], locale="en_GB" if self.lang == "en" else self.lang)

    def _fill(self, text: str, values: Mapping[str, object]) -> str:
        if placeholders(text) != values.keys():
            raise KeyError(f"{text!r} has places {sorted(placeholders(text))}, got values {sorted(values)}")
        return text.format(**{name: self._plain(name, value) for name, value in values.items()})

    def _plain(self, name: str, value: object) -> str:
        if isinstance(value, str):
            return value
        if isinstance(value, numbers.Integral) and not isinstance(value, bool):
            return self.number(int(value))
        raise ParameterError(f"{name} is {value!r}; say it first with number, percent, money, date, … of Words")
