"""What the pipeline brings per day, and which factor moved it."""

from __future__ import annotations

from functools import partial

import pandas as pd

from kpi.presentation.blocks import Answer, tables
from kpi.presentation.blocks.tables import DisplayColumn
from kpi.presentation.pages.about import About
from kpi.schema import N_

FACTORS = {
    "velocity": N_("Pipeline per day"),
    "open_deals": N_("Open deals"),
    "win_incidence": N_("Won within a year"),
    "average_won_value": N_("Average won deal"),
    "days_to_win": N_("Days to win"),
}


def sales_velocity(about: About, velocity: pd.DataFrame) -> list:
    """Say what the pipeline brings per day, and which factor moved it."""
    words, say = about.words, about.words.say
    money = partial(words.money, currency=about.currency)
    row, factors = velocity.iloc[0], velocity.iloc[1:]
    if pd.isna(row["value"]):
        answer = say("Too few deals were won lately to say what the pipeline brings per day.")
    elif pd.isna(row["past"]):
        answer = say("As things go now, the open pipeline brings {now} a day.", now=money(row["value"]))
    else:
        moved = factors.loc[factors["effect"].abs().idxmax()]
        parts = {"now": money(row["value"]), "past": money(row["past"]), "factor": words.translate(FACTORS[moved["factor"]])}
        parts["effect"] = words.money(moved["effect"], about.currency, signed=True)
        answer = say(
            "As things go now, the open pipeline brings {now} a day, against {past} a year ago; what moved it most: {factor} ({effect}).", **parts
        )
    write = {"velocity": money, "average_won_value": money, "win_incidence": words.percent, "open_deals": words.number, "days_to_win": words.number}
    shown = pd.DataFrame(
        {
            "factor": [words.translate(FACTORS[name]) for name in velocity["factor"]],
            "current": [write[line.factor](line.value) for line in velocity.itertuples()],
            "interval": [_span(words, line, about.currency) for line in velocity.itertuples()],
            "before": [write[line.factor](line.past) for line in velocity.itertuples()],
            "effect": velocity["effect"],
        }
    )
    columns = [
        DisplayColumn("factor", say("Factor")),
        DisplayColumn("current", say("Now")),
        DisplayColumn("interval", say("95%\ninterval")),
        DisplayColumn("before", say("A year ago")),
        DisplayColumn("effect", say("Effect per\nday"), "change"),
    ]
    note = say("Open deals × won within a year × average won deal ÷ median days to win; the effects of the four add up to the change")
    return [
        Answer(answer),
        tables.table(shown, columns, words=words, title=say("What does the pipeline bring per day?"), note=note, currency=about.currency),
    ]


def _span(words, line, currency: str) -> str:
    if line.factor == "open_deals" or pd.isna(line.low):
        return words.number(None)
    if line.factor == "win_incidence":
        return words.percent_range(line.low, line.high)
    return words.number_range(line.low, line.high) if line.factor == "days_to_win" else words.money_range(line.low, line.high, currency)
