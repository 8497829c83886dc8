"""What can be wrong with data and what is done about it: one table of rules; those that pages name are marked for translation.

A fault of a cell names its column: ``empty lead_id``. `parts` takes it apart again for a translator.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from kpi.schema import N_, TABLES

MENDED, SET_ASIDE, FLAGGED, FATAL = "mended", "set aside", "flagged", "fatal"

# Rows that are set aside, or were never meant as records.
FILTERED = N_("filtered")  # where in kpi.toml leaves it out on purpose: counted, no fault
FOOTER = N_("footer")  # a line below the table of a report, such as its total: counted, no fault
MISFIT = N_("wrong number of cells")  # cells cannot be told apart; often a delimiter or a quote inside a text
EMPTY = N_("empty {column}")  # the row means nothing without it; values or constants in kpi.toml can fill it
UNREADABLE = N_("unreadable {column}")  # no number, date or yes and no as the rest of the column is written; values in kpi.toml can translate it
DIGITS_LOST = N_("{column} without its last digits")  # a spreadsheet wrote a long number as 1,23457E+17: records can no longer be told apart
UNKNOWN_VALUE = N_("unknown value of {column}")  # none of the values the column may have; values in kpi.toml can translate it
DUPLICATE = N_("duplicate key")  # the first row of a key is used, in the order of the files
ORPHAN = N_("{column} of no known record")  # the record it belongs to was not found, or set aside itself
CLOSED_FIRST = N_("closed before it was created")  # one of its two dates is wrong, and nobody can tell which
ENDED_FIRST = N_("ended before it started")  # one of its two dates is wrong, and nobody can tell which

# Rows that are kept and counted.
LOOSE = "{column} leads to no known record"  # the row counts, its link does not
LATE = "{column} after the export"  # no number looks past its own date, so none counts it yet
AHEAD = "closed on a date ahead of the export"  # closed at the export
EPOCH = "{column} on 1970-01-01"  # many systems write nothing so; values in kpi.toml can empty it
NEGATIVE = "negative {column}"  # summed as it is; a sale below zero lowers the purchases of its day
NO_AMOUNT = "no {column}"  # counted, but in no sum and no mean: missing is not zero
NO_RATE = "currency without a rate on that day"  # counted, but in no sum and no mean; the table fx can bring the rate
BULK = "one instant of {column} on many rows"  # an import, most likely: ages and delays of these rows are not to be trusted
NO_TIME = "{column} without time of day"  # delays in minutes and hours are not to be trusted
OVERDUE = "open past its expected close"  # still open: kept as such
UNDATED = "closed on an unknown date"  # counted as closed, but in no period and no duration
UNKNOWN_STAGE = "stage missing from the table stages"  # left out of stages, kept elsewhere; add it to the table stages
RENAMED = "stage left by all at once for a new one"  # [pipeline] renamed in kpi.toml says that it is the same one; else it is a move
SKIPPED = "stage passed over"  # counts as having passed the stages in between
WENT_BACK = "back to an earlier stage"  # kept as a visit of its own
OPEN_HISTORY = "history ends open, though the record is closed"  # closed on the date of the record, or with its last change
REOPENED = "open again after its close"  # open again from that day on
IN_WORDS = "{column} that says unknown in words"  # a group of its own beside the blank one; values in kpi.toml can join them
SPELLINGS = "spellings of {column} that differ in case, accents, spaces or signs only"  # never joined in silence; values in kpi.toml can
NEAR_KEYS = "{column} like a known one but for leading zeros, .0, case, signs or the last 3 of 18 characters"  # never joined in silence
GARBLED = "{column} decoded wrongly"  # Ã© for é, or a letter lost: a group of its own; values in kpi.toml can mend it
UNSIGNED = "refund without its minus sign"  # its amount and margin are taken off, not added

# Tables that are refused.
MISSING_COLUMN = "a required column is missing"  # map it in kpi.toml under columns
UNCLEAR = "decimal sign or order of dates that cannot be told"  # write decimal or dates in kpi.toml
TOO_MANY = "more rows set aside than max_set_aside"  # mend the export, or raise the limit of the table in kpi.toml

NO_RECORDS = (FILTERED, FOOTER)  # rows that were never meant as records of the table: no fault of the data


_ASIDE = (FILTERED, FOOTER, MISFIT, EMPTY, UNREADABLE, DIGITS_LOST, UNKNOWN_VALUE, DUPLICATE, ORPHAN, CLOSED_FIRST, ENDED_FIRST)
_OF_CELLS = (LOOSE, LATE, EPOCH, NEGATIVE, NO_AMOUNT, NO_RATE, BULK, NO_TIME, IN_WORDS, SPELLINGS, NEAR_KEYS, GARBLED)
_OF_DEALS = (OVERDUE, UNDATED, UNKNOWN_STAGE, RENAMED, SKIPPED, WENT_BACK, REOPENED)
RULES = {  # what is done about each fault
    **dict.fromkeys(_ASIDE, SET_ASIDE),
    UNSIGNED: MENDED,
    OPEN_HISTORY: MENDED,
    AHEAD: MENDED,
    **dict.fromkeys((*_OF_CELLS, *_OF_DEALS), FLAGGED),
    **dict.fromkeys((MISSING_COLUMN, UNCLEAR, TOO_MANY), FATAL),
}

# What mends the rows set aside, beside mending the export itself.
REMEDIES = {
    MISFIT: "a delimiter or a quote stands inside a text, or empty last cells were left out: save the file as .xlsx, or with all cells in quotes",
    EMPTY: 'fill it in kpi.toml: {table} constants = {{{column} = "…"}}, or values.{column} = {{"" = "…"}} for empty cells alone',
    UNREADABLE: '{table} in kpi.toml says how it is written: decimal = ",", dates = "%d/%m/%Y", or values.{column} = {{{value} = "…"}}',
    DIGITS_LOST: "{value} was a longer number before a spreadsheet opened it: export again and take the file as it is, or the column as text",
    UNKNOWN_VALUE: "it may be {allowed}; translate in kpi.toml, each as it is meant: {table} values.{column} = {{{pairs}}}",
    DUPLICATE: "the first row of each key is used: export each record once",
}

MOST = 8  # values that a refusal lists


def remedy(table: str, reason: str, values: Sequence[str], section: str = "tables") -> str:
    """Say what mends rows set aside for a reason, by the line of kpi.toml where there is one."""
    message, name = parts(reason)
    if message == EMPTY and TABLES[table][name].references:
        return f"; rows without it belong to nobody: if that is meant, as with guests, write in kpi.toml: [{section}.{table}] max_set_aside = 1"
    if message not in REMEDIES or (message == EMPTY and name in TABLES[table].key):
        return ""
    allowed = TABLES[table][name].allowed if name else ()
    quoted = [json.dumps(value[:60], ensure_ascii=False) for value in values] or ['""']
    told = {"table": f"[{section}.{table}]", "column": name, "value": quoted[0], "allowed": " or ".join(allowed)}
    return "; " + REMEDIES[message].format(pairs=", ".join(f'{one} = "{"".join(allowed[-1:])}"' for one in quoted[:MOST]), **told)


def parts(reason: str) -> tuple[str, str]:
    """Take a reason apart into the message to translate and the column it names."""
    for message in RULES:
        head, hole, tail = message.partition("{column}")
        if reason == message:
            return message, ""
        if hole and len(reason) > len(head) + len(tail) and reason.startswith(head) and reason.endswith(tail):
            return message, reason[len(head) : len(reason) - len(tail)]
    return reason, ""
