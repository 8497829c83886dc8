"""When two headers, values or names are the same for a reader: letters and digits count, not case, accents, spaces and signs."""

from __future__ import annotations

import unicodedata

# Letters that no accent makes, and what an office without them writes.
_LETTERS: dict[str, str] = {"œ": "oe", "æ": "ae", "ß": "ss", "ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl"}
_ONE_FOR_ONE = ("øłđıς", "oldiσ")
_TABLE = {ord(letter): written for letter, written in [*_LETTERS.items(), *zip(*_ONE_FOR_ONE, strict=True)]}


def fold(text: str) -> str:
    """Fold a text to what makes it the same as another one.

    Examples
    --------
    >>> fold("Activité - Attribué à l’utilisateur") == fold("ACTIVITE - Attribue a l'utilisateur")
    True
    """
    plain = text.lower().translate(_TABLE)
    return "".join(sign for sign in unicodedata.normalize("NFD", plain) if sign.isalnum())


def folded(cell: str) -> str:
    """Write the SQL that folds a cell as `fold` does a text."""
    plain = f"translate(lower(nfc_normalize({cell})), '{_ONE_FOR_ONE[0]}', '{_ONE_FOR_ONE[1]}')"
    for letter, written in _LETTERS.items():
        plain = f"replace({plain}, '{letter}', '{written}')"
    return rf"regexp_replace(strip_accents({plain}), '[^\p{{L}}\p{{N}}]+', '', 'g')"
