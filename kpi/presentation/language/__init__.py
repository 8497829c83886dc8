"""Numbers, dates, money and sentences in English and in French: every text a reader sees is made here.

Everything comes back as plain text: making it safe for a page is the page's work.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

from kpi.presentation.language.dates import Dates
from kpi.presentation.language.numbers import missing
from kpi.presentation.language.translations import placeholders

__all__ = ["NAMES", "Words", "missing", "placeholders"]

NAMES: Mapping[str, Mapping[str, str]] = tomllib.loads(Path(__file__).with_name("names.toml").read_text("utf-8"))  # how pages call what has a code


class Words(Dates):
    """How one language says things; the same object goes through tables, plots and pages.

    Examples
    --------
    >>> words = Words("en")
    >>> words.money(1_486_000, "EUR"), words.percent_range(0.294, 0.382), words.number(-1234.5, 1)
    ('€1,486k', '29–38%', '−1,234.5')
    >>> Words("fr").say("{low} to {high}", low="1", high="2")
    '1 à 2'
    """
