"""What counts as blank around a cell, and as an empty one: white space, Unicode spaces, byte order marks."""

from __future__ import annotations

import unicodedata

BLANKS = "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u200b\u2028\u2029\u202f\u205f\u3000\ufeff"
SPACES = "".join(blank for blank in BLANKS if unicodedata.category(blank) == "Zs")  # those that may group the digits of a number
PATTERN = f"[{BLANKS}]"  # six times faster in the engine than trim with a list


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
