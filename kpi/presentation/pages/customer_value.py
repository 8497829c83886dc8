"""Who brings the value: how concentrated it is, and customers by how lately, how often and how much they bought."""

from __future__ import annotations

import pandas as pd

from kpi.presentation.blocks import Answer, SideBySide
from kpi.presentation.blocks.tables import DisplayColumn, DisplayTable, columns_of
from kpi.presentation.pages.about import About
from kpi.schema import N_

GROUPS = {
    "recent often much": N_("Best: lately, often, much"),
    "recent often little": N_("Faithful and small: lately, often, little"),
    "recent seldom much": N_("Large: lately, seldom, much"),
    "recent seldom little": N_("New or small: lately, seldom, little"),
    "past often much": N_("Best, gone quiet: long ago, often, much"),
    "past often little": N_("Faithful, gone quiet: long ago, often, little"),
    "past seldom much": N_("Large once: long ago, seldom, much"),
    "past seldom little": N_("Passing: long ago, seldom, little"),
}


def value_to_date(about: About, deciles: pd.DataFrame, best: pd.DataFrame, mean: pd.DataFrame) -> list:
    """Show who brings the value."""
    words, say, row = about.words, about.words.say, mean.iloc[0]
    measure = say("margin to date" if row["measure"] == "margin" else "revenue to date (no margin is recorded)")
    parts = {"mean": about.money(row["value"]), "measure": measure, "n": int(row["n"])}
    answer = say("A customer has brought {mean} on average, {measure} (n = {n}).", **parts)
    if len(deciles):
        first = {"share": words.percent(deciles["value"].iloc[0]), "n": int(deciles["n"].iloc[0])}
        answer += " " + say("The best tenth, {n} customers, brought {share} of it.", **first)
    columns = [
        *columns_of("number", {"decile": say("Tenth"), "n": say("Customers")}),
        DisplayColumn("amount", say("Value"), "money"),
        *columns_of("percent", {"value": say("Share"), "cumulative": say("Together")}),
        DisplayColumn("least", say("From"), "money"),
    ]
    note = say("Customers who ever bought, best tenth first; {measure}", measure=measure)
    left = about.table(deciles, columns, title=say("How concentrated is the value?"), note=note)
    listed = [
        DisplayColumn("customer_id", say("Customer")),
        DisplayColumn("value", say("Value"), "money"),
        DisplayColumn("purchases", say("Purchases"), "number"),
        DisplayColumn("last_on", say("Last"), "date"),
    ]
    right = about.table(best, listed, title=say("Best customers to date"), whole="lists/best_customers.csv")
    return [Answer(answer), SideBySide(left, right)]


def value_groups(about: About, groups: pd.DataFrame, profitable: pd.DataFrame | None) -> list:
    """Show the customers by recency, frequency and value, and the most profitable ones."""
    words, say = about.words, about.words.say
    if not groups["n"].sum():
        return []
    shown = groups.sort_values(["amount", "group"], ascending=[False, True], ignore_index=True)
    shown["mean"] = (shown["amount"] / shown["n"]).where(shown["n"] > 0)
    shown["group"] = [words.translate(GROUPS[group]) for group in shown["group"]]
    columns = [
        DisplayColumn("group", say("Group")),
        DisplayColumn("n", say("Customers"), "number"),
        DisplayColumn("amount", say("Value"), "money"),
        DisplayColumn("value", say("Share"), "percent"),
        DisplayColumn("mean", say("Mean"), "money"),
    ]
    row = groups.iloc[0]
    cuts = {"days": words.days(row["recency_cut"]), "purchases": words.number(row["frequency_cut"]), "value": about.money(row["value_cut"])}
    note = say("Cut at the medians: lately = last bought within {days} · often = on more than {purchases} days · much = more than {value}", **cuts)
    left = about.table(shown, columns, title=say("Who are they? Recency, frequency, value"), note=note)
    return [left] if profitable is None else [SideBySide(left, _most_profitable(about, profitable))]


def _most_profitable(about: About, profitable: pd.DataFrame) -> DisplayTable:
    say = about.words.say
    columns = [
        DisplayColumn("customer_id", say("Customer")),
        *columns_of("money", {"profit": say("Profit"), "margin": say("Margin"), "cost": say("Cost of\nwinning")}),
        DisplayColumn("last_on", say("Last"), "date"),
    ]
    note = say("Profit: margin to date less the cost of winning the customer, where it is known")
    return about.table(profitable, columns, title=say("Most profitable customers"), note=note, whole="lists/most_profitable.csv")
