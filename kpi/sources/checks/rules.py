"""What can be wrong with data and what is done about it: one table of rules, its texts marked for translation.

A fault of a cell names its column: ``empty lead_id``. `parts` takes it apart again for a translator.
"""

from __future__ import annotations

from dataclasses import dataclass

from kpi.schema import N_

MENDED, SET_ASIDE, FLAGGED, FATAL = "mended", "set aside", "flagged", "fatal"

# Rows that are set aside, or were never meant as records.
FILTERED = N_("filtered")
FOOTER = N_("footer")
MISFIT = N_("wrong number of cells")
EMPTY = N_("empty {column}")
UNREADABLE = N_("unreadable {column}")
UNKNOWN_VALUE = N_("unknown value of {column}")
DUPLICATE = N_("duplicate key")
ORPHAN = N_("{column} of no known record")
CLOSED_FIRST = N_("closed before it was created")
ENDED_FIRST = N_("ended before it started")

# Rows that are kept and counted.
LOOSE = N_("{column} leads to no known record")
LATE = N_("{column} after the export")
NEGATIVE = N_("negative {column}")
NO_AMOUNT = N_("no {column}")
NO_RATE = N_("currency without a rate on that day")
BULK = N_("one instant of {column} on many rows")
NO_TIME = N_("{column} without time of day")
OVERDUE = N_("open past its expected close")
UNDATED = N_("closed on an unknown date")
UNKNOWN_STAGE = N_("stage missing from the table stages")
SKIPPED = N_("stage passed over")
WENT_BACK = N_("back to an earlier stage")
REOPENED = N_("open again after its close")
IN_WORDS = N_("{column} that says unknown in words")
SPELLINGS = N_("spellings of {column} that differ in case, accents, spaces or signs only")
UNSIGNED = N_("refund without its minus sign")

# Tables that are refused.
MISSING_COLUMN = N_("a required column is missing")
UNCLEAR = N_("decimal sign or order of dates that cannot be told")
TOO_MANY = N_("more rows set aside than max_set_aside")

NO_RECORDS = (FILTERED, FOOTER)  # rows that were never meant as records of the table: no fault of the data


@dataclass(frozen=True)
class Rule:
    """What is done about a fault."""

    fault: str
    rule: str
    how: str


RULES = (
    Rule(FILTERED, SET_ASIDE, N_("where in kpi.toml leaves it out on purpose: counted, no fault")),
    Rule(FOOTER, SET_ASIDE, N_("a line below the table of a report, such as its total: counted, no fault")),
    Rule(MISFIT, SET_ASIDE, N_("cells cannot be told apart; often a delimiter or a quote inside a text")),
    Rule(EMPTY, SET_ASIDE, N_("the row means nothing without it; values or constants in kpi.toml can fill it")),
    Rule(UNREADABLE, SET_ASIDE, N_("no number, date or yes and no as the rest of the column is written; values in kpi.toml can translate it")),
    Rule(UNKNOWN_VALUE, SET_ASIDE, N_("none of the values the column may have; values in kpi.toml can translate it")),
    Rule(DUPLICATE, SET_ASIDE, N_("the first row of a key is used, in the order of the files")),
    Rule(ORPHAN, SET_ASIDE, N_("the record it belongs to was not found, or set aside itself")),
    Rule(CLOSED_FIRST, SET_ASIDE, N_("one of its two dates is wrong, and nobody can tell which")),
    Rule(ENDED_FIRST, SET_ASIDE, N_("one of its two dates is wrong, and nobody can tell which")),
    Rule(UNSIGNED, MENDED, N_("its amount and margin are taken off, not added")),
    Rule(LOOSE, FLAGGED, N_("the row counts, its link does not")),
    Rule(LATE, FLAGGED, N_("no number looks past its own date, so none counts it yet")),
    Rule(NEGATIVE, FLAGGED, N_("summed as it is; a sale below zero lowers the purchases of its day")),
    Rule(NO_AMOUNT, FLAGGED, N_("counted, but in no sum and no mean: missing is not zero")),
    Rule(NO_RATE, FLAGGED, N_("counted, but in no sum and no mean; the table fx can bring the rate")),
    Rule(BULK, FLAGGED, N_("an import, most likely: ages and delays of these rows are not to be trusted")),
    Rule(NO_TIME, FLAGGED, N_("delays in minutes and hours are not to be trusted")),
    Rule(OVERDUE, FLAGGED, N_("still open: kept as such")),
    Rule(UNDATED, FLAGGED, N_("counted as closed, but in no period and no duration")),
    Rule(UNKNOWN_STAGE, FLAGGED, N_("left out of stages, kept elsewhere; add it to the table stages")),
    Rule(SKIPPED, FLAGGED, N_("counts as having passed the stages in between")),
    Rule(WENT_BACK, FLAGGED, N_("kept as a visit of its own")),
    Rule(REOPENED, FLAGGED, N_("open again from that day on")),
    Rule(IN_WORDS, FLAGGED, N_("a group of its own beside the blank one; values in kpi.toml can join them")),
    Rule(SPELLINGS, FLAGGED, N_("groups of their own, never joined in silence; values in kpi.toml can join them")),
    Rule(MISSING_COLUMN, FATAL, N_("map it in kpi.toml under columns")),
    Rule(UNCLEAR, FATAL, N_("write decimal or dates in kpi.toml")),
    Rule(TOO_MANY, FATAL, N_("mend the export, or raise the limit of the table in kpi.toml")),
)
BY_FAULT = {rule.fault: rule for rule in RULES}


def parts(reason: str) -> tuple[str, str]:
    """Take a reason apart into the message to translate and the column it names."""
    for message in BY_FAULT:
        head, hole, tail = message.partition("{column}")
        if reason == message:
            return message, ""
        if hole and len(reason) > len(head) + len(tail) and reason.startswith(head) and reason.endswith(tail):
            return message, reason[len(head) : len(reason) - len(tail)]
    return reason, ""
