"""What the pipeline brings per day, and which factor moved it."""

from __future__ import annotations

import pandas as pd

from kpi.presentation.blocks import Answer
from kpi.presentation.blocks.tables import DisplayColumn, columns_of
from kpi.presentation.pages.about import About
from kpi.schema import N_

FACTORS = {
    "velocity": N_("Pipeline per day"),
    "open_deals": N_("Open deals"),
    "win_incidence": N_("Won within a year"),
    "average_won_value": N_("Average won deal"),
    "days_to_win": N_("Days to win"),
}
UNITS = {"velocity": "money", "average_won_value": "money", "win_incidence": "rate", "open_deals": "count", "days_to_win": "days"}


def sales_velocity(about: About, velocity: pd.DataFrame) -> list:
    """Say what the pipeline brings per day, and which factor moved it."""
    say, rows = about.words.say, [(UNITS[row["factor"]], row) for _, row in velocity.iterrows()]
    shown = velocity.assign(
        factor=[about.words.translate(FACTORS[name]) for name in velocity["factor"]],
        current=[about.written(row["value"], unit) for unit, row in rows],
        interval=["–" if row["factor"] == "open_deals" else about.interval(row["low"], row["high"], unit) for unit, row in rows],
        before=[about.written(row["past"], unit) for unit, row in rows],
    )
    columns = [
        *columns_of("text", {"factor": say("Factor"), "current": say("Now"), "interval": say("95%\ninterval"), "before": say("A year ago")}),
        DisplayColumn("effect", say("Effect per\nday"), "change"),
    ]
    note = say("Open deals × won within a year × average won deal ÷ median days to win; the effects of the four add up to the change")
    return [Answer(_moved(about, velocity)), about.table(shown, columns, title=say("What does the pipeline bring per day?"), note=note)]


def _moved(about: About, velocity: pd.DataFrame) -> str:
    words, say, row, factors = about.words, about.words.say, velocity.iloc[0], velocity.iloc[1:]
    if pd.isna(row["value"]):
        return say("Too few deals were won lately to say what the pipeline brings per day.")
    now = about.money(row["value"])
    if pd.isna(row["past"]):
        return say("As things go now, the open pipeline brings {now} a day.", now=now)
    most = factors.loc[factors["effect"].abs().idxmax()]
    parts = {"now": now, "past": about.money(row["past"]), "factor": words.translate(FACTORS[most["factor"]])}
    return say(
        "As things go now, the open pipeline brings {now} a day, against {past} a year ago; what moved it most: {factor} ({effect}).",
        effect=words.money(most["effect"], about.currency, signed=True),
        **parts,
    )
