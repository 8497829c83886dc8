"""What an import found and did, and how it is told to whoever ran it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import pandas as pd

from kpi.sources import Company
from kpi.sources.cells import printable
from kpi.sources.checks.rows import examples

_EXAMPLES = 3
_WIDTH = 400


@dataclass(frozen=True)
class RowSummary:
    """What became of the rows of an export."""

    ledger: pd.DataFrame
    set_aside: pd.DataFrame
    decisions: pd.DataFrame

    def counts(self) -> dict[str, dict[str, int]]:
        """Sum up per table."""
        total = self.ledger.groupby("table", sort=False)[["found", "used", "set_aside"]].sum()
        return {str(name): {key: int(value) for key, value in row.items()} for name, row in total.to_dict("index").items()}

    def lines(self) -> list[str]:
        """Tell each table's rows, and why some were set aside."""
        lines = []
        for name, rows in self.counts().items():
            lines.append(f"  {name}: {rows['found']} rows found, {rows['used']} used, {rows['set_aside']} set aside")
            for cause in self.ledger[(self.ledger["table"] == name) & (self.ledger["reason"] != "")].itertuples():
                shown = ", ".join(examples(self.set_aside, name, cause.reason, _EXAMPLES))
                lines.append(f"    {cause.set_aside} {cause.reason}" + (f": {shown}" if shown else ""))
        return lines


def joined(summaries: Sequence[RowSummary]) -> RowSummary:
    """Put the summaries of several tables together."""
    frames = zip(*[(summary.ledger, summary.set_aside, summary.decisions) for summary in summaries], strict=True)
    return RowSummary(*[pd.concat([part for part in parts if len(part)] or [parts[0]], ignore_index=True) for parts in frames])


@dataclass(frozen=True)
class Outcome:
    """What an import found and did."""

    folder: Path
    files: dict[str, str]
    known: tuple[str, ...]
    exported_on: date | None
    dated_by: str
    company: Company
    rows: RowSummary | None
    tables: dict[str, dict[str, int]] = field(default_factory=dict)
    has_differences: bool = False
    renamed: Sequence[tuple[str, str, int]] = ()  # stages that seem to have another name now
    is_changed: bool = False


def as_text(outcome: Outcome) -> str:
    """Tell what was understood and done."""
    files = [f"{name}: {title}" + (", imported already" if name in outcome.known else "") for name, title in outcome.files.items()]
    parts = ["\n".join(map(printable, files))]
    if outcome.exported_on:
        parts.append(f"Exported on {outcome.exported_on} ({outcome.dated_by or 'as given'}), taken as whole to the end of that day.")
    if outcome.rows is not None:
        parts.append("\n".join(["Rows", *map(printable, outcome.rows.lines())]))
        decided = [f"  {row.table}: {row.decision}: {_shortened(row.value)}" for row in outcome.rows.decisions.itertuples()]
        company = f"  company: time zone {outcome.company.timezone}, currency {outcome.company.currency} ([company] in kpi.toml)"
        parts.append("\n".join(["Understood", company, *map(printable, decided)]))
    parts.append("\n".join(["Data set", *[_table(name, counts) for name, counts in outcome.tables.items()]]))
    if outcome.has_differences:
        parts.append(
            "opportunity_history holds what changed between exports; each change is dated between the two, a close by the system's own date."
        )
    elif outcome.exported_on and "opportunities" in outcome.tables and "opportunity_history" not in outcome.tables:
        parts.append("No history yet: the next export will show what changed.")
    asked = (
        "All {} open deals of {!r} are in {!r} now, and none is left: was the stage renamed? Then add [pipeline] renamed = {{{} = {}}} to kpi.toml"
    )
    parts += [printable(asked.format(n, old, new, json.dumps(old), json.dumps(new))) for old, new, n in outcome.renamed]
    if "opportunities" in outcome.tables and "stages" not in outcome.tables:
        parts.append("The order of the stages is not known; import a file with the columns stage, position, status (open, won or lost).")
    parts.append(f"{outcome.folder} is ready: kpi check {outcome.folder}" if outcome.is_changed else f"Nothing new: {outcome.folder} is as it was.")
    return "\n\n".join(parts)


def _table(name: str, counts: dict[str, int]) -> str:
    more = [f"{counts[key]} {key}" for key in ("new", "changed", "deleted") if counts[key]]
    return f"  {name}: {counts['rows']} rows" + (f" ({', '.join(more)})" if more else "")


def _shortened(text: str) -> str:
    """A file may have hundreds of columns that nobody asks about."""
    if len(text) <= _WIDTH:
        return text
    shown, _, rest = text[:_WIDTH].rpartition(", ")
    return f"{shown or rest}, and {text.count(', ') - shown.count(', ')} more"
