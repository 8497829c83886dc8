"""The part of the page on retention about revenue: how much of it stays, and who brings it."""

from __future__ import annotations

import pandas as pd

from kpi.presentation import charts
from kpi.presentation.blocks import Answer, Figure, SideBySide, tables
from kpi.presentation.blocks.tables import Column
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


def revenue(about: About, net: pd.DataFrame, gross: pd.DataFrame) -> list:
    """Account for the revenue of the customers of a year ago."""
    words, say, row, kept = about.words, about.words.say, net.iloc[0], gross.iloc[0]
    if pd.isna(row["value"]):
        return [Answer(say("The data do not reach back far enough to follow the revenue of the customers of a year ago."))]
    parts = {
        "net": words.percent(row["value"]),
        "net_range": words.percent_range(row["low"], row["high"]),
        "gross": words.percent(kept["value"]),
        "gross_range": words.percent_range(kept["low"], kept["high"]),
    }
    parts["n"] = int(row["n"])
    if about.is_contractual:
        answer = say(
            "The monthly amounts of the {n} customers of a year ago are at {net} of what they were ({net_range}); "
            "without what some of them added, at {gross} ({gross_range}).",
            **parts,
        )
        note = say("Monthly amounts on the last day before the year and on its last day, at the rates of the first · new customers are left out")
    else:
        answer = say(
            "The {n} customers of the twelve months before brought {net} of that revenue again in the last twelve ({net_range}); "
            "without what some of them added, {gross} ({gross_range}).",
            **parts,
        )
        note = say("Net of refunds, in the last twelve months and in the twelve before, customers of the latter only · new ones are left out")
    right = _parts(about, row)
    labels = [say("Start"), say("More"), say("Less"), say("Gone"), say("End")]
    steps = [row["expansion"], -row["contraction"], -row["churn"]]
    counts = [words.number(row[name]) for name in ("n", "n_expanded", "n_contracted", "n_churned", "n_events")]
    xlabel = say("revenue of the customers of the start (right: how many)")
    drawn = charts.plot_account(row["start"], steps, labels, words, currency=about.currency, counts=counts, xlabel=xlabel)
    title = say("What became of the revenue of the customers of a year ago")
    return [Answer(answer), SideBySide(Figure(drawn, title, f"{note} · {say('hatched: a fall')}", answer), right)]


def _parts(about: About, row: pd.Series):
    words, say = about.words, about.words.say
    names = {"start": say("At the start"), "expansion": say("More than before"), "contraction": say("Less than before"), "churn": say("Gone")}
    sizes = ("n", "n_expanded", "n_contracted", "n_churned")
    signs = (1, 1, -1, -1)
    lines = [
        {"part": said, "n": int(row[size]), "amount": sign * row[name], "share": sign * row[name] / row["start"]}
        for (name, said), size, sign in zip(names.items(), sizes, signs, strict=True)
    ]
    total = pd.DataFrame([{"part": say("A year later"), "n": int(row["n_events"]), "amount": row["end"], "share": row["value"]}])
    columns = [
        Column("part", say("Revenue")),
        Column("n", say("Customers"), "number"),
        Column("amount", say("Amount"), "money"),
        Column("share", say("Of the start"), "percent"),
    ]
    note = say("An exact account · customers who brought as much as before are in the first and last row only")
    return tables.table(pd.DataFrame(lines), columns, words=words, title=say("The same in figures"), note=note, total=total, currency=about.currency)


def value(about: About, deciles: pd.DataFrame, best: pd.DataFrame, mean: pd.DataFrame) -> list:
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
        Column("decile", say("Tenth"), "number"),
        Column("n", say("Customers"), "number"),
        Column("amount", say("Value"), "money"),
        Column("value", say("Share"), "percent"),
        Column("cumulative", say("Together"), "percent"),
        Column("least", say("From"), "money"),
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
        Column("customer_id", say("Customer")),
        Column("value", say("Value"), "money"),
        Column("purchases", say("Purchases"), "number"),
        Column("last_on", say("Last"), "date"),
    ]
    right = tables.table(best, listed, words=words, title=say("Best customers to date"), whole="lists/best_customers.csv", currency=about.currency)
    return [Answer(answer), SideBySide(left, right)]


def groups(about: About, groups: pd.DataFrame, profitable: pd.DataFrame | None) -> list:
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
        Column("group", say("Group")),
        Column("n", say("Customers"), "number"),
        Column("amount", say("Value"), "money"),
        Column("value", say("Share"), "percent"),
        Column("mean", say("Mean"), "money"),
    ]
    left = tables.table(shown, columns, words=words, title=say("Who are they? Recency, frequency, value"), note=note, currency=about.currency)
    return [left] if profitable is None else [SideBySide(left, _profitable(about, profitable))]


def _profitable(about: About, profitable: pd.DataFrame):
    words, say = about.words, about.words.say
    columns = [
        Column("customer_id", say("Customer")),
        Column("profit", say("Profit"), "money"),
        Column("margin", say("Margin"), "money"),
        Column("cost", say("Cost of\nwinning"), "money"),
        Column("last_on", say("Last"), "date"),
    ]
    note = say("Profit: margin to date less the cost of winning the customer, where it is known")
    title, whole = say("Most profitable customers"), "lists/most_profitable.csv"
    return tables.table(profitable, columns, words=words, title=title, note=note, whole=whole, currency=about.currency)
