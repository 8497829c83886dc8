"""The table of KPIs in README.md, made from their records; ``python -m tests.kpi_table`` brings it up to date."""

from __future__ import annotations

from pathlib import Path

from kpi.catalog import CATALOG, CHAIN, Kpi

README = Path(__file__).parent.parent / "README.md"
BEGIN, END = "<!-- KPIs: python -m tests.kpi_table -->", "<!-- end of KPIs -->"
ROWS = {  # question and what is particular, by the first word of a key; those of the forecast answer a question of their own
    "response": (
        "How fast are leads answered?",
        "leads still waiting stay in the denominator; wall clock and business hours side by side; by source, owner, team, hour of the week",
    ),
    "pipeline": (
        "How do opportunities move?",
        "estimated with open deals kept (Aalen-Johansen), as a period and as a cohort reading; the closed-deal win rate stands beside it under its "
        "own name; by source, owner, product, size; as of any date",
    ),
    "retention": (
        "Which customers stay, and what are they worth?",
        "new + back − lost = end − start, exactly, and so for revenue; cells not observed yet are empty, not 0; refunds matched to the sale they "
        "take back; the model's check on the past beside what it expects",
    ),
    "forecast": (
        "Where are we going?",
        f"besides, {len(CHAIN)} headline numbers from leads to customers kept, 24 months each; a change is called a signal only when it leaves the "
        "range in which months vary by themselves",
    ),
}


def table() -> str:
    """Write the table, a row per question."""
    lines = ["| question | KPI | needs | what is particular |", "|---|---|---|---|"]
    for row, (question, particular) in ROWS.items():
        records = [record for record in CATALOG.values() if _row(record) == row]
        names = " · ".join(record.name for record in records)
        tables = dict.fromkeys(part.partition(".")[0] for record in records for need in record.needs for part in need.split(" or "))
        lines.append(f"| {question} | {names} | {', '.join(f'`{name}`' for name in tables)} | {particular} |")
    return "\n".join(lines)


def written(readme: str) -> str:
    """Put the table in its place."""
    before, _, rest = readme.partition(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}"


def _row(record: Kpi) -> str:
    return "forecast" if record.function.startswith("forecast.") else record.key.partition(".")[0]


if __name__ == "__main__":
    README.write_text(written(README.read_text("utf-8")), "utf-8")
