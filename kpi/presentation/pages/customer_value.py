"""The part of the page on retention about revenue: how much of it stays, and who brings it."""

from __future__ import annotations

import pandas as pd

from kpi.presentation.blocks import Answer, SideBySide, tables
from kpi.presentation.blocks.tables import DisplayColumn
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
    measures = {"margin": say("margin to date"), "amount": say("revenue to date (no margin is recorded)")}
    measure = measures[row["measure"]]
    parts = {"mean": words.money(row["value"], about.currency), "measure": measure, "n": int(row["n"])}
    answer = say("A customer has brought {mean} on average, {measure} (n = {n}).", **parts)
    if len(deciles):
        first = {"share": words.percent(deciles["value"].iloc[0]), "n": int(deciles["n"].iloc[0])}
        answer = say("The best tenth, {n} customers, brought {share} of it.", **first).join([answer + " ", ""])
    columns = [
        DisplayColumn("decile", say("Tenth"), "number"),
        DisplayColumn("n", say("Customers"), "number"),
        DisplayColumn("amount", say("Value"), "money"),
        DisplayColumn("value", say("Share"), "percent"),
        DisplayColumn("cumulative", say("Together"), "percent"),
        DisplayColumn("least", say("From"), "money"),
    ]
    left = tables.table(
        deciles,
        columns,
        words=words,
        title=say("How concentrated is the value?"),
        note=say("Customers who ever bought, best tenth first; {measure}", measure=measure),
        currency=about.currency,
    )
    listed = [
        DisplayColumn("customer_id", say("Customer")),
        DisplayColumn("value", say("Value"), "money"),
        DisplayColumn("purchases", say("Purchases"), "number"),
        DisplayColumn("last_on", say("Last"), "date"),
    ]
    right = tables.table(best, listed, words=words, title=say("Best customers to date"), whole="lists/best_customers.csv", currency=about.currency)
    return [Answer(answer), SideBySide(left, right)]


def value_groups(about: About, groups: pd.DataFrame, profitable: pd.DataFrame | None) -> list:
    """Show the customers by recency, frequency and value, and the most profitable ones."""
    words, say = about.words, about.words.say
    if not groups["n"].sum():
        return []
    row = groups.iloc[0]
    shown = groups.sort_values(["amount", "group"], ascending=[False, True], ignore_index=True)
    shown["mean"] = (shown["amount"] / shown["n"]).where(shown["n"] > 0)
    cuts = {
        "days": words.days(row["recency_cut"]),
        "purchases": words.number(row["frequency_cut"]),
        "value": words.money(row["value_cut"], about.currency),
    }
    note = say("Cut at the medians: lately = last bought within {days} · often = on more than {purchases} days · much = more than {value}", **cuts)
    shown["group"] = [words.translate(GROUPS[group]) for group in shown["group"]]
    columns = [
        DisplayColumn("group", say("Group")),
        DisplayColumn("n", say("Customers"), "number"),
        DisplayColumn("amount", say("Value"), "money"),
        DisplayColumn("value", say("Share"), "percent"),
        DisplayColumn("mean", say("Mean"), "money"),
    ]
    left = tables.table(shown, columns, words=words, title=say("Who are they? Recency, frequency, value"), note=note, currency=about.currency)
    return [left] if profitable is None else [SideBySide(left, _profitable(about, profitable))]


def _profitable(about: About, profitable: pd.DataFrame):
    words, say = about.words, about.words.say
    columns = [
        DisplayColumn("customer_id", say("Customer")),
        DisplayColumn("profit", say("Profit"), "money"),
        DisplayColumn("margin", say("Margin"), "money"),
        DisplayColumn("cost", say("Cost of\nwinning"), "money"),
        DisplayColumn("last_on", say("Last"), "date"),
    ]
    note = say("Profit: margin to date less the cost of winning the customer, where it is known")
    title, whole = say("Most profitable customers"), "lists/most_profitable.csv"
    return tables.table(profitable, columns, words=words, title=title, note=note, whole=whole, currency=about.currency)
