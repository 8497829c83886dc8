"""What an import says to whoever ran it."""

from __future__ import annotations

from kpi.importing.run import Outcome

_EXAMPLES = 3
_WIDTH = 400


def as_text(outcome: Outcome) -> str:
    """Tell what was understood and done."""
    parts = ["\n".join(_file(outcome, name, title) for name, title in outcome.files.items())]
    if outcome.exported_on:
        why = "the newest date in the files; say otherwise with --exported-on" if outcome.is_dated else "as given"
        parts.append(f"Exported on {outcome.exported_on} ({why}), taken as whole to the end of that day.")
    if outcome.account is not None:
        parts.append(_rows(outcome))
        decided = [f"  {row.table}: {row.decision}: {_short(row.value)}" for row in outcome.account.decisions.itertuples()]
        company = f"  company: time zone {outcome.company.timezone}, currency {outcome.company.currency} ([company] in kpi.toml)"
        parts.append("\n".join(["Understood", company, *map(_plain, decided)]))
    made = [_table(name, counts) for name, counts in outcome.tables.items()]
    parts.append("\n".join(["Data set", *made]))
    if outcome.has_differences:
        parts.append(
            "opportunity_history holds what changed between exports; each change is dated between the two, a close by the system's own date."
        )
    elif outcome.exported_on and "opportunities" in outcome.tables and "opportunity_history" not in outcome.tables:
        parts.append("No history yet: the next export will show what changed.")
    if "opportunities" in outcome.tables and "stages" not in outcome.tables:
        parts.append("The order of the stages is not known; import a file with the columns stage, position, status (open, won or lost).")
    parts.append(f"{outcome.folder} is ready: kpi check {outcome.folder}" if outcome.is_changed else f"Nothing new: {outcome.folder} is as it was.")
    return "\n\n".join(parts)


def _file(outcome: Outcome, name: str, title: str) -> str:
    return _plain(f"{name}: {title}" + (", imported already" if name in outcome.known else ""))


def _rows(outcome: Outcome) -> str:
    lines = []
    for name, rows in outcome.account.rows().items():
        lines.append(f"  {name}: {rows['found']} rows found, {rows['used']} used, {rows['set_aside']} set aside")
        ledger = outcome.account.ledger
        for cause in ledger[(ledger["table"] == name) & (ledger["reason"] != "")].itertuples():
            examples = outcome.account.examples(name, cause.reason, _EXAMPLES)
            lines.append(f"    {cause.set_aside} {cause.reason}" + (f": {examples}" if examples else ""))
    return "\n".join(["Rows", *map(_plain, lines)])


def _table(name: str, counts: dict[str, int]) -> str:
    more = [f"{counts[key]} {key}" for key in ("new", "changed", "deleted") if counts[key]]
    return f"  {name}: {counts['rows']} rows" + (f" ({', '.join(more)})" if more else "")


def _plain(text: str) -> str:
    """Control characters from a file must not reach the terminal."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def _short(text: str) -> str:
    """A file may have hundreds of columns that nobody asks about."""
    if len(text) <= _WIDTH:
        return text
    shown, _, rest = text[:_WIDTH].rpartition(", ")
    return f"{shown or rest}, and {text.count(', ') - shown.count(', ')} more"
