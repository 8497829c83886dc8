"""The page on retention: how many customers stay, what they spend, who buys again and how soon, which cohorts stay."""

from __future__ import annotations

import pandas as pd

from kpi.presentation import charts
from kpi.presentation.blocks import Answer, Figure, Note, Opening, SideBySide
from kpi.presentation.blocks.tables import FLOOR, DisplayColumn, DisplayTable
from kpi.presentation.language import NAMES, Words
from kpi.presentation.pages.about import About
from kpi.presentation.pages.wording import Pair, at, by_age, counted, few, incidence, length, newest_cohort, quarter_name, share
from kpi.schema import N_

READINGS = NAMES["purchases"]


def opening(about: About, year: pd.DataFrame, window: int | None, *, is_set: bool = False) -> Opening:
    """Open the page: how many customers are active, and how that changed over a year."""
    words, say, row = about.words, about.words.say, year.iloc[0]
    n, change = int(row["end"]), int(row["end"] - row["start"])
    if row["provisional"]:
        answer = say("{n} customers are active; the data are too short to compare with a year ago.", n=n)
    elif change == 0:
        answer = say("{n} customers are active, as many as a year ago.", n=n)
    else:
        parts = {"change": words.number(change, signed=True), "share": words.percent(row["value"], signed=True)}
        answer = say("{n} customers are active, {change} in a year ({share}).", n=n, **parts)
        if row["start"] < FLOOR:
            answer = say("{n} customers are active, {change} in a year.", n=n, change=parts["change"])
    if window is None:
        return about.opening("retention", answer, say("Active: under contract on that day."))
    text = N_("Active: bought within the last {days}, the time within which 95% of repeat purchases come.")
    if is_set:
        text = N_("Active: bought within the last {days}, the time set in kpi.toml.")
    return about.opening("retention", answer, say(text, days=words.days(window)))


def growth(about: About, year: pd.DataFrame, quarter: pd.DataFrame, months: pd.DataFrame) -> list:
    """Account for the change in customers over the year, the quarter, and month by month."""
    words, say, row = about.words, about.words.say, year.iloc[0]
    parts = {name: int(row[name]) for name in ("start", "new", "reactivated", "lost", "end")}
    answer = say("{start} + {new} new + {reactivated} who came back − {lost} lost = {end} active customers.", **parts)
    right = _periods(about, year, quarter, months)
    if row["provisional"]:
        answer = say(
            "The data do not reach back a whole activity window before the last year: an account of it would take old customers for new ones."
        )
        return [Answer(answer), right]
    first, last = (words.sentence(words.month(month)) for month in (about.month.shift(-12), about.month))
    labels = [first, say("New"), say("Came back"), say("Lost"), last]
    steps = [parts["new"], parts["reactivated"], -parts["lost"]]
    drawn = charts.plot_account(parts["start"], steps, labels, words, xlabel=say("active customers at the end of the month"))
    left = Figure(drawn, say("How the number of customers changed in a year"), say("An exact account, no interval · hatched: a fall"), answer)
    return [Answer(answer), SideBySide(left, right)]


def _periods(about: About, year: pd.DataFrame, quarter: pd.DataFrame, months: pd.DataFrame) -> DisplayTable:
    words, say = about.words, about.words.say
    spans = [(year, say("12 months")), (quarter, say("3 months"))]
    periods = [table.assign(period=period) for table, period in spans if not table["provisional"].any()]
    periods.append(months.iloc[::-1].assign(period=lambda table: [f"{words.month_short(month)} {month[:4]}" for month in table["month"]]))
    joined = pd.concat(periods, ignore_index=True)
    joined["kept"] = ((joined["start"] - joined["lost"]) / joined["start"]).where((joined["start"] > 0) & ~joined["provisional"])
    joined["growth"] = joined["value"].mask(joined["provisional"])
    unsure = say("–: provisional, within the first activity window of the data, when old customers look new")
    return about.named_table("growth", joined, more=unsure if joined["provisional"].any() else "")


def purchases(about: About, reading: str, refunds: pd.DataFrame) -> list:
    """Say what counts as a purchase, and what became of the refunds."""
    words, by_match = about.words, refunds.set_index("match")
    counts = {name: int(by_match.loc[name, "n_events"]) for name in ("named", "found", "none")}
    sentences, n = [words.translate(READINGS[reading])], sum(counts.values())
    if n and counts["named"] == n:
        sentences.append(words.say("All {n} refunds name the sale they take back and count on its day.", n=n))
    elif n:
        text = N_(
            "Of {n} refunds and cancelled documents, {named} name their sale and {found} were matched to the only one alike before them; "
            "{none} could not be matched ({amount}) and count on their own day."
        )
        sentences.append(words.say(text, n=n, amount=about.money(by_match.loc["none", "amount"]), **counts))
    return [Note(" ".join(sentences))]


def revenue(about: About, net: pd.DataFrame, gross: pd.DataFrame) -> list:
    """Account for the revenue of the customers of a year ago."""
    words, say, row = about.words, about.words.say, net.iloc[0]
    if pd.isna(row["value"]):
        return [Answer(say("The data do not reach back far enough to follow the revenue of the customers of a year ago."))]
    if few(row):
        return [Answer(counted(words, row))]
    if about.is_contractual:
        text = N_(
            "The monthly amounts of the {n} customers of a year ago are at {net} of what they were ({net_range}); "
            "without what some of them added, at {gross} ({gross_range})."
        )
        note = say("Monthly amounts on the last day before the year and on its last day, at the rates of the first · new customers are left out")
    else:
        text = N_(
            "The {n} customers of the twelve months before brought {net} of that revenue again in the last twelve ({net_range}); "
            "without what some of them added, {gross} ({gross_range})."
        )
        note = say("Net of refunds, in the last twelve months and in the twelve before, customers of the latter only · new ones are left out")
    answer = say(text, n=int(row["n"]), **share(words, row, "net"), **share(words, gross.iloc[0], "gross"))
    labels = [say("Start"), say("More"), say("Less"), say("Gone"), say("End")]
    steps = [row["expansion"], -row["contraction"], -row["churn"]]
    counts = [words.number(row[name]) for name in ("n", "n_expanded", "n_contracted", "n_churned", "n_events")]
    xlabel = say("revenue of the customers of the start (right: how many)")
    drawn = charts.plot_account(row["start"], steps, labels, words, currency=about.currency, counts=counts, xlabel=xlabel)
    title = say("What became of the revenue of the customers of a year ago")
    figure = Figure(drawn, title, f"{note} · {say('hatched: a fall')}", answer)
    return [Answer(answer), figure]


def contract_survival(about: About, *, survival: pd.DataFrame, curve: pd.DataFrame, median: pd.DataFrame, renewals: pd.DataFrame) -> list:
    """Show how long customers stay under contract."""
    words, say, half = about.words, about.words.say, median.iloc[0]
    if curve.empty:
        return [Answer(say("No contract had begun by that date."))]
    if few(half):
        text = N_("Of {n} times under contract {open} are still running; too few for a curve.")
        return [Answer(say(text, n=int(half["n"]), open=int(half["n_open"])))]
    last = curve[curve["survival"].notna()].iloc[-1]
    low, high = words.number(half["low"]), words.number(half["high"])
    if pd.isna(half["value"]):
        there = {"share": words.percent(last["survival"], 1), "range": words.percent_range(last["low"], last["high"], 1)}
        text = N_("The median is not reached: after {months} months {share} of customers are still under contract ({range}).")
        answer = say(text, months=int(last["time"]), **there)
    elif pd.isna(half["high"]):
        answer = say("Half of the customers have left after {months} months (95% interval from {low} on).", months=int(half["value"]), low=low)
    else:
        ends = {"months": int(half["value"]), "low": low, "high": high}
        answer = say("Half of the customers have left after {months} months (95% interval {low} to {high}).", **ends)
    label = f"{words.percent(last['survival'])}\n({words.percent_range(last['low'], last['high'])})"
    ylabel, xlabel = say("still under contract, share of customers"), say("months since the start")
    drawn = charts.plot_survival(curve, words, label=label, ylabel=ylabel, xlabel=xlabel)
    counts = {"n": int(half["n"]), "open": int(half["n_open"])}
    note = say("n = {n} times under contract, {open} of them still running · band: 95% interval · dashed: one half", **counts)
    figure = Figure(drawn, say("How long do customers stay under contract?"), note, answer)
    return [Answer(f"{answer} {_renewed(words, renewals.iloc[0])}"), SideBySide(figure, about.named_table("contract_survival", survival))]


def _renewed(words: Words, row: pd.Series) -> str:
    if not row["n"]:
        return words.say("No contract ended in the last twelve months.")
    if not row["n_events"]:
        return words.say("None of the {n} contracts that ended in the last twelve months was followed by another.", n=int(row["n"]))
    if few(row):
        text = N_("Of the {n} contracts that ended in the last twelve months {done} were renewed.")
        return words.say(text, n=int(row["n"]), done=int(row["n_events"]))
    parts = {"n": int(row["n"]), **share(words, row)}
    return words.say("Of the {n} contracts that ended in the last twelve months {share} were renewed ({range}).", **parts)


YEAR = 365


def repeat_purchase(about: About, *, repeat: Pair, curve: Pair, by_month: pd.DataFrame, by_quarter: pd.DataFrame) -> list:
    """Show how many customers buy again, and how soon."""
    words, say = about.words, about.words.say
    now, before = at(repeat[0], YEAR), at(repeat[1], YEAR)
    answer = say("The last {days} days do not show yet how many new customers buy again within a year.", days=length(now))
    if few(now) and not len(by_quarter[by_quarter["n"] >= FLOOR]):
        return [Answer(counted(words, now)), _by_quarter(about, by_quarter)]
    if not pd.isna(now["value"]) and not few(now):
        text = N_("Of new customers, {share} buy a second time within a year ({range}), as things went in the last {days} days.")
        answer = say(text, days=length(now), **share(words, now))
    else:
        answer += newest_cohort(words, N_("Of the {n} who first bought in {quarter}, {share} did ({range})."), by_quarter, YEAR)
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
    if compared.empty or compared["provisional"].all() or compared["n"].sum() < FLOOR:
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
