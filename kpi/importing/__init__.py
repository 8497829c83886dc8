"""Exports of a CRM into a data set, month after month: the originals are kept, the canonical tables are made anew from all of them.

So the tables are the same whatever the order in which the exports came, an export that was read already changes nothing, and a better reading of
headers also betters what was imported before.
"""

from kpi.importing.outcome import Outcome, as_text
from kpi.importing.run import bring_in

__all__ = ["Outcome", "as_text", "bring_in"]
