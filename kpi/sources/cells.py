"""Cells as texts: what counts as blank around and in them (white space, Unicode spaces, byte order marks), and when two are the same for a reader.

Of headers, values and names that are compared letters and digits count, not case, accents, spaces and signs.
"""

from __future__ import annotations

import unicodedata

BLANKS = "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u200b\u2028\u2029\u202f\u205f\u3000\ufeff"
SPACES = "".join(blank for blank in BLANKS if unicodedata.category(blank) == "Zs")  # those that may group the digits of a number
_SIGNS = "\u0080-\u00bf€‚ƒ„†‡ˆ‰Š‹ŒŽ‘“•˜™š›žŸ"
# Letters of UTF-8, or of an older encoding, read as Windows-1252, and what stands where a letter was lost.
GARBLED = f"[ÂÃÄÅÎÏÐÑ][{_SIGNS}]|Å[“’]|â€|\ufffd|[a-z][‚ƒ„†‡ˆ‰‹Œ˜][a-z]"
PATTERN = f"[{BLANKS}]"  # six times faster in the engine than trim with a list

# Letters that no accent makes, and what an office without them writes.
_LETTERS: dict[str, str] = {"œ": "oe", "æ": "ae", "ß": "ss", "ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl"}
_ONE_FOR_ONE = ("øłđıς", "oldiσ")
_TABLE = {ord(letter): written for letter, written in [*_LETTERS.items(), *zip(*_ONE_FOR_ONE, strict=True)]}


def stripped(cell: str) -> str:
    """Write the SQL that takes blanks off both ends of a text."""
    return f"regexp_replace({cell}, '^{PATTERN}+|{PATTERN}+$', '', 'g')"


def are_blank(cells: list[str]) -> str:
    """Write the SQL condition that all cells of a line are blank: it is then no record."""
    # The first cell nearly always settles it.
    together = stripped(f"concat({', '.join(cells)})")
    return f"case when {cells[0]} > ' ' then false else {together} = '' end"


def only_first(cells: list[str]) -> str:
    """Write the SQL condition that only the first cell of a line is filled, as in notes above and below a table."""
    return f"case when {cells[-1]} > ' ' then false else {are_blank(cells[1:])} end" if len(cells) > 2 else "false"


def printable(text: str) -> str:
    """Keep control characters of a file from the terminal."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


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
