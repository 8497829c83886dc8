"""Who buys again, how soon, and which cohorts stay."""

from __future__ import annotations

import pandas as pd

from kpi.presentation import charts
from kpi.presentation.blocks import Answer, Figure, SideBySide
from kpi.presentation.blocks.tables import DisplayColumn, DisplayTable
from kpi.presentation.pages.about import About
from kpi.presentation.pages.wording import Pair, at, by_age, incidence, length, quarter_name, share
from kpi.schema import N_

YEAR = 365


def repeat_purchase(about: About, *, repeat: Pair, curve: Pair, by_month: pd.DataFrame, by_quarter: pd.DataFrame) -> list:
    """Show how many customers buy again, and how soon."""
    words, say = about.words, about.words.say
    now, before = at(repeat[0], YEAR), at(repeat[1], YEAR)
    answer = say("The last {days} days do not show yet how many new customers buy again within a year.", days=length(now))
    if not pd.isna(now["value"]):
        text = N_("Of new customers, {share} buy a second time within a year ({range}), as things went in the last {days} days.")
        answer = say(text, days=length(now), **share(words, now))
    left = incidence(
        words,
        curve,
        (now, before),
        cause="again",
        ylabel=say("bought again by then, share of customers"),
        xlabel=say("days since the first purchase"),
        title=say("How soon do new customers buy again?"),
        note=say("n = {n} customers with one purchase under observation · band: 95% interval · who may still buy is kept", n=int(now["n"])),
        alt=say("Share of customers with a second purchase within: {points}.", points=by_age(words, repeat[0])),
    )
    return [Answer(answer), SideBySide(left, _by_month(about, by_month)), _by_quarter(about, by_quarter)]


def _by_month(about: About, by_month: pd.DataFrame) -> Figure:
    words, say = about.words, about.words.say
    ylabel, xlabel = say("bought in that month, share of customers"), say("months since the first purchase")
    drawn = charts.plot_retention(by_month, words, ylabel=ylabel, xlabel=xlabel)
    pooled = by_month[by_month["age"] > 0]
    sizes = {"most": int(pooled["n"].max()) if len(pooled) else 0, "least": int(pooled["n"].min()) if len(pooled) else 0}
    note = say("n = {most} customers at month 1, {least} at the last · line: 95% interval", **sizes)
    alt = say("Share of customers who bought in: {months}.", months=_months(about, pooled["age"], pooled["value"]))
    return Figure(drawn, say("Which share buys in each month after the first?"), note, alt)


def _months(about: About, ages: pd.Series, shares: pd.Series) -> str:
    """The shares of the first twelve months."""
    words, pairs = about.words, list(zip(ages, shares, strict=True))[:12]
    return words.listing(words.say("month {age} {share}", age=int(age), share=words.percent(value)) for age, value in pairs) or "–"


def _by_quarter(about: About, by_quarter: pd.DataFrame) -> DisplayTable:
    """The cohorts themselves, beside the reading of how things go now."""
    words, say = about.words, about.words.say
    wide = by_quarter.pivot(index="quarter", columns="horizon", values=["value", "n"])
    shown = pd.DataFrame({"quarter": [quarter_name(words, text) for text in wide.index], "n": wide["n"].max(axis=1).to_numpy("int64")})
    columns = [DisplayColumn("quarter", say("Quarter")), DisplayColumn("n", say("Customers"), "number")]
    for days in wide["value"].columns:
        shown[f"within_{days}"] = wide["value"][days].to_numpy("float64")
        columns.append(DisplayColumn(f"within_{days}", words.days(days), "percent", n="n"))
    note = say("Share who bought again within so many days of the first purchase · –: not observed so long yet")
    return about.table(shown.iloc[::-1], columns, title=say("By quarter of the first purchase"), note=note)


def cohorts(about: About, cells: pd.DataFrame, compared: pd.DataFrame) -> list:
    """Show the cohort matrix, and whether any cohort stands out."""
    words, say = about.words, about.words.say
    if compared.empty or compared["provisional"].all():
        answer = say("There are too few cohorts to say what is usual.")
    else:
        parts = {"age": int(compared["age"].iloc[0]), "share": words.percent(compared["centre"].iloc[-1])}
        outside = compared[compared["signal"] & compared["reason"].isin(["above", "below"])]
        text = N_(
            "In month {age} after their first purchase {share} of customers buy again; no cohort stands out from the others by more than chance."
        )
        if len(outside):
            parts["cohorts"] = words.listing(f"{words.month(row.month)} ({words.percent(row.value)})" for row in outside.itertuples())
            text = N_("In month {age} after their first purchase {share} of customers buy again; outside the usual range: {cohorts}.")
        answer = say(text, **parts)
    drawn = charts.plot_cohorts(cells, words, xlabel=say("months since the first purchase"))
    note = say("% of the cohort that bought in that month · empty: not observed yet · the first cohort of the data holds old customers too")
    blocks = [Answer(answer), Figure(drawn, say("Customers by month of their first purchase"), note, answer)]
    return [*blocks, _amounts(about, cells)] if cells["amount_kept"].notna().any() else blocks


def _amounts(about: About, cells: pd.DataFrame) -> Figure:
    words, say = about.words, about.words.say
    drawn = charts.plot_cohorts(cells.assign(value=cells["amount_kept"]), words, xlabel=say("months since the first purchase"))
    later = cells[cells["age"] > 0]
    begun = later.merge(cells.loc[cells["age"] == 0, ["cohort", "amount"]], on="cohort", suffixes=("", "_begun"))
    kept = (later.groupby("age")["amount"].sum() / begun.groupby("age")["amount_begun"].sum()).dropna()
    alt = say("Amount as a share of the first month, all cohorts together: {months}.", months=_months(about, kept.index, kept))
    note = say("Amount of the cohort in that month, net of refunds, as % of its first month · empty: not observed yet")
    return Figure(drawn, say("The same by amount"), note, alt)
