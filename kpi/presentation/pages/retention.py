"""The page on retention."""

from __future__ import annotations

import pandas as pd

from kpi.presentation import charts
from kpi.presentation.blocks import Answer, Figure, Note, Opening, SideBySide, tables
from kpi.presentation.blocks.tables import Column
from kpi.presentation.pages.about import About, end_label, quarter_name
from kpi.schema import N_

YEAR = 365


def opening(about: About, year: pd.DataFrame, window: int | None, *, is_set: bool = False) -> Opening:
    """Open the page: how many customers are active, and how that changed over a year."""
    words, say, row = about.words, about.words.say, year.iloc[0]
    change = int(row["end"] - row["start"])
    parts = {"n": int(row["end"]), "change": words.number(change, signed=True), "share": words.percent(row["value"], signed=True)}
    if row["provisional"]:
        answer = say("{n} customers are active; the data are too short to compare with a year ago.", n=parts["n"])
    elif change == 0:
        answer = say("{n} customers are active, as many as a year ago.", n=parts["n"])
    else:
        answer = say("{n} customers are active, {change} in a year ({share}).", **parts)
    if window is None:
        lede = say("Active: under contract on that day.")
    elif is_set:
        lede = say("Active: bought within the last {days}, the time set in kpi.toml.", days=words.days(window))
    else:
        lede = say("Active: bought within the last {days}, the time within which 95% of repeat purchases come.", days=words.days(window))
    return about.opening("retention", answer, lede)


def growth(about: About, year: pd.DataFrame, quarter: pd.DataFrame, months: pd.DataFrame) -> list:
    """Account for the change in customers over the year, the quarter, and month by month."""
    words, say, row = about.words, about.words.say, year.iloc[0]
    steps = [int(row["new"]), int(row["reactivated"]), -int(row["lost"])]
    sum_of = {name: int(row[name]) for name in ("start", "new", "reactivated", "lost", "end")}
    answer = say("{start} + {new} new + {reactivated} who came back − {lost} lost = {end} active customers.", **sum_of)
    if row["provisional"]:
        answer = say(
            "The data do not reach back a whole activity window before the last year: an account of it would take old customers for new ones."
        )
    labels = [
        words.sentence(words.month(about.month.shift(-12))),
        say("New"),
        say("Came back"),
        say("Lost"),
        words.sentence(words.month(about.month)),
    ]
    drawn = charts.plot_account(int(row["start"]), steps, labels, words, xlabel=say("active customers at the end of the month"))
    left = Figure(drawn, say("How the number of customers changed in a year"), say("An exact account, no interval · hatched: a fall"), answer)
    right = _periods(about, year, quarter, months)
    return [Answer(answer), right if row["provisional"] else SideBySide(left, right)]


def _periods(about: About, year: pd.DataFrame, quarter: pd.DataFrame, months: pd.DataFrame):
    words, say = about.words, about.words.say
    spans = [(year, say("12 months")), (quarter, say("3 months"))]
    named = [table.assign(period=period) for table, period in spans if not table["provisional"].any()]
    named.append(months.iloc[::-1].assign(period=lambda table: [f"{words.month_short(month)} {month[:4]}" for month in table["month"]]))
    joined = pd.concat(named, ignore_index=True)
    joined["kept"] = ((joined["start"] - joined["lost"]) / joined["start"]).where((joined["start"] > 0) & ~joined["provisional"])
    joined["growth"] = joined["value"].mask(joined["provisional"])
    columns = [
        Column("period", say("Period")),
        Column("start", say("Start"), "number"),
        Column("new", say("New"), "number"),
        Column("reactivated", say("Came back"), "number"),
        Column("lost", say("Lost"), "number"),
        Column("end", say("End"), "number"),
        Column("growth", say("Net"), "percent", 1, n="start"),
        Column("kept", say("Kept"), "percent", 1, n="start"),
    ]
    note = say("Kept: share of those at the start still active at the end; who came back does not count")
    if joined["provisional"].any():
        note += " · " + say("–: provisional, within the first activity window of the data, when old customers look new")
    return tables.table(joined, columns, words=words, title=say("By year, quarter and month"), note=note, limit=14)


READINGS = {
    "net": N_("A purchase is a day whose sales less refunds are above 0: a sale taken back as a whole is none."),
    "sales": N_("A purchase is a day with a sale, taken back later or not; amounts are net of refunds."),
    "documents": N_("A day with any order counts as a purchase, cancellations too; amounts are net of refunds."),
}


def purchases(about: About, reading: str, refunds: pd.DataFrame) -> list:
    """Say what counts as a purchase, and what became of the refunds."""
    words, say = about.words, about.words.say
    told = refunds.set_index("match")
    counts = {name: int(told.loc[name, "n_events"]) for name in ("named", "found", "none")}
    sentences = [words.translate(READINGS[reading])]
    n = sum(counts.values())
    if n and counts["named"] == n:
        sentences.append(say("All {n} refunds name the sale they take back and count on its day.", n=n))
    elif n:
        parts = counts | {"n": n, "amount": words.money(told.loc["none", "amount"], about.currency)}
        sentences.append(
            say(
                "Of {n} refunds and cancelled documents, {named} name their sale and {found} were matched to the only one alike before them; "
                "{none} could not be matched ({amount}) and count on their own day.",
                **parts,
            )
        )
    return [Note(" ".join(sentences))]


def coming_back(
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
        Column("quarter", say("Quarter")),
        Column("n", say("Customers"), "number"),
        *[Column(f"within_{day}", words.days(day), "percent", n="n") for day in days],
    ]
    note = say("Share who bought again within so many days of the first purchase · –: not observed so long yet")
    return tables.table(shown.iloc[::-1], columns, words=words, title=say("By quarter of the first purchase"), note=note)


def matrix(about: About, cells: pd.DataFrame, compared: pd.DataFrame) -> list:
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
