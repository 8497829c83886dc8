"""Why a row was set aside: short messages, in one place so that they can be translated.

A reason about a cell names its column: ``empty lead_id``. `parts` takes it apart again for a translator.
"""

from __future__ import annotations

FILTERED = "filtered"
MISFIT = "wrong number of cells"
EMPTY = "empty {column}"
UNREADABLE = "unreadable {column}"
UNKNOWN_VALUE = "unknown value of {column}"
DUPLICATE = "duplicate key"
ORPHAN = "{column} of no known record"
CLOSED_FIRST = "closed before it was created"
ENDED_FIRST = "ended before it started"

ALL = (FILTERED, MISFIT, EMPTY, UNREADABLE, UNKNOWN_VALUE, DUPLICATE, ORPHAN, CLOSED_FIRST, ENDED_FIRST)


def parts(reason: str) -> tuple[str, str]:
    """Take a reason apart into the message to translate and the column it names.

    Parameters
    ----------
    reason : str
        As found in a ledger, e.g. ``"empty lead_id"``.

    Returns
    -------
    tuple of str
        Message, with ``{column}`` where the column goes, and the column; ``("", "")`` for the rows used.
    """
    for message in ALL:
        head, hole, tail = message.partition("{column}")
        if reason == message:
            return message, ""
        if hole and len(reason) > len(head) + len(tail) and reason.startswith(head) and reason.endswith(tail):
            return message, reason[len(head) : len(reason) - len(tail)]
    return reason, ""
