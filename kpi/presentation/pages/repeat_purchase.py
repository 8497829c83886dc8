"""Who buys again, how soon, and which cohorts stay."""

from __future__ import annotations

import pandas as pd

from kpi.presentation import charts
from kpi.presentation.blocks import Answer, Figure, SideBySide, tables
from kpi.presentation.blocks.tables import DisplayColumn
from kpi.presentation.pages.about import About, end_label, quarter_name

YEAR = 365


def repeat_purchase(
    about: About,
    *,
    repeat: pd.DataFrame,
    curve: pd.DataFrame,
    past_curve: pd.DataFrame,
    past: pd.DataFrame,
    by_month: pd.DataFrame,
    by_quarter: pd.DataFrame,
) -> list:
    """Show how many customers buy again, and how soon."""
    words, say = about.words, about.words.say
    now, before = _at(repeat, YEAR), _at(past, YEAR)
    share = words.percent(now["value"])
    answer = say(
        "Of new customers, {share} buy a second time within a year ({range}), as things went in the last 180 days.",
        share=share,
        range=words.percent_range(now["low"], now["high"]),
    )
    if pd.isna(now["value"]):
        answer = say("The last 180 days do not show yet how many new customers buy again within a year.")
    labels = [end_label(words, name, row) for name, row in ((say("last 180 days"), now), (say("a year earlier"), before))]
    drawn = charts.plot_incidence(
        curve,
        words,
        cause="again",
        horizon=YEAR,
        label=labels[0],
        past=past_curve if not pd.isna(before["value"]) else None,
        past_label=labels[1],
        ylabel=say("bought again by then, share of customers"),
        xlabel=say("days since the first purchase"),
    )
    note = say("n = {n} customers with one purchase under observation · band: 95% interval · who may still buy is kept", n=int(now["n"]))
    points = words.listing(
        say("{days} days {share} ({range})", days=int(row.horizon), share=words.percent(row.value), range=words.percent_range(row.low, row.high))
        for row in repeat.itertuples()
    )
    left = Figure(
        drawn, say("How soon do new customers buy again?"), note, say("Share of customers with a second purchase within: {points}.", points=points)
    )
    ages = charts.plot_retention(
        by_month, words, ylabel=say("bought in that month, share of customers"), xlabel=say("months since the first purchase")
    )
    pooled = by_month[by_month["age"] > 0]
    sizes = {"most": int(pooled["n"].max()) if len(pooled) else 0, "least": int(pooled["n"].min()) if len(pooled) else 0}
    scope = say("n = {most} customers at month 1, {least} at the last · line: 95% interval", **sizes)
    said = words.listing(say("month {age} {share}", age=int(row.age), share=words.percent(row.value)) for row in pooled.head(12).itertuples())
    right = Figure(
        ages, say("Which share buys in each month after the first?"), scope, say("Share of customers who bought in: {months}.", months=said or "–")
    )
    return [Answer(answer), SideBySide(left, right), _by_quarter(about, by_quarter)]


def _by_quarter(about: About, by_quarter: pd.DataFrame):
    """The cohorts themselves, beside the reading of how things go now."""
    words, say = about.words, about.words.say
    wide = by_quarter.pivot(index="quarter", columns="horizon", values=["value", "n"])
    shown = pd.DataFrame({"quarter": [quarter_name(words, text) for text in wide.index], "n": wide["n"].max(axis=1).to_numpy("int64")})
    days = [int(day) for day in wide["value"].columns]
    for day in days:
        shown[f"within_{day}"] = wide["value"][day].to_numpy("float64")
    columns = [
        DisplayColumn("quarter", say("Quarter")),
        DisplayColumn("n", say("Customers"), "number"),
        *[DisplayColumn(f"within_{day}", words.days(day), "percent", n="n") for day in days],
    ]
    note = say("Share who bought again within so many days of the first purchase · –: not observed so long yet")
    return tables.table(shown.iloc[::-1], columns, words=words, title=say("By quarter of the first purchase"), note=note)


def cohorts(about: About, cells: pd.DataFrame, compared: pd.DataFrame) -> list:
    """Show the cohort matrix, and whether any cohort stands out."""
    words, say = about.words, about.words.say
    drawn = charts.plot_cohorts(cells, words, xlabel=say("months since the first purchase"))
    outside = compared[compared["signal"] & compared["reason"].isin(["above", "below"])] if len(compared) else compared
    if compared.empty or compared["provisional"].all():
        answer = say("There are too few cohorts to say what is usual.")
    else:
        parts = {"age": int(compared["age"].iloc[0]), "share": words.percent(compared["centre"].iloc[-1])}
        if outside.empty:
            answer = say(
                "In month {age} after their first purchase {share} of customers buy again; no cohort stands out from the others by more than chance.",
                **parts,
            )
        else:
            names = words.listing(f"{words.month(row.month)} ({words.percent(row.value)})" for row in outside.itertuples())
            answer = say(
                "In month {age} after their first purchase {share} of customers buy again; outside the usual range: {cohorts}.",
                **parts,
                cohorts=names,
            )
    note = say("% of the cohort that bought in that month · empty: not observed yet · the first cohort of the data holds old customers too")
    blocks = [Answer(answer), Figure(drawn, say("Customers by month of their first purchase"), note, answer)]
    return [*blocks, _amounts(about, cells)] if cells["amount_kept"].notna().any() else blocks


def _amounts(about: About, cells: pd.DataFrame) -> Figure:
    words, say = about.words, about.words.say
    drawn = charts.plot_cohorts(cells.assign(value=cells["amount_kept"]), words, xlabel=say("months since the first purchase"))
    later = cells[cells["age"] > 0].groupby("age")["amount"].sum()
    begun = cells[cells["age"] > 0].merge(cells.loc[cells["age"] == 0, ["cohort", "amount"]], on="cohort", suffixes=("", "_begun"))
    share = (later / begun.groupby("age")["amount_begun"].sum()).dropna()
    alt = words.listing(say("month {age} {share}", age=int(age), share=words.percent(value)) for age, value in share.head(12).items())
    note = say("Amount of the cohort in that month, net of refunds, as % of its first month · empty: not observed yet")
    told = say("Amount as a share of the first month, all cohorts together: {months}.", months=alt or "–")
    return Figure(drawn, say("The same by amount"), note, told)


def _at(result: pd.DataFrame, horizon: float) -> pd.Series:
    return result[result["horizon"] == horizon].iloc[0]
