"""The catalogue of messages: English is written in the code, French looked up in ``kpi/presentation/language/locale/fr/LC_MESSAGES/kpi.po``."""

from __future__ import annotations

import functools
import re
import string
from pathlib import Path

from babel.messages.pofile import read_po

LANGUAGES = ("en", "fr")
NBSP, NARROW = "\u00a0", "\u202f"
LOCALE = Path(__file__).parent / "locale"


def placeholders(text: str) -> set[str]:
    """List the named places of a sentence."""
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


@functools.cache
def translations(lang: str) -> dict[str, tuple[str, ...]]:
    """Read what the catalogue says in one language: of each English text its form, of one about a count singular and plural."""
    if lang == "en":
        return {}
    with (LOCALE / lang / "LC_MESSAGES" / "kpi.po").open("rb") as file:
        messages = [message for message in read_po(file, locale=lang) if message.id and not message.fuzzy]
    found = {}
    for message in messages:
        english, french = ([text] if isinstance(text, str) else list(text or ()) for text in (message.id, message.string))
        if french and all(french):
            found[english[0]] = tuple(typeset(form) for form in french)
    return found


def typeset(french: str) -> str:
    """Set the fine spaces of French, so that the catalogue can be typed with plain ones."""
    text = re.sub(r" ([?!;%»])", rf"{NARROW}\1", french)
    text = re.sub(r" :(?![-|])", f"{NBSP}:", text)  # but not the rule under a Markdown table's head
    return re.sub(r"(?<=\w)'(?=\w)", "’", text.replace("« ", "«" + NARROW))
