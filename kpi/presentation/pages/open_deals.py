"""What the pipeline holds and brings: open deals by stage, their likely value, the target covered, what a deal is worth, value per day."""

from __future__ import annotations

import pandas as pd

from kpi.catalog import kpi
from kpi.presentation import charts
from kpi.presentation.blocks import Answer, Block, Figure, SideBySide
from kpi.presentation.blocks.tables import DisplayTable
from kpi.presentation.language import NAMES
from kpi.presentation.pages.about import About
from kpi.presentation.pages.wording import length
from kpi.schema import N_

FACTORS = NAMES["velocity"]
UNITS = {"velocity": "money", "average_won_value": "money", "win_incidence": "rate", "open_deals": "count", "days_to_win": "days"}


def open_deals(
    about: About,
    by_stage: pd.DataFrame,
    by_owner: pd.DataFrame,
    amounts: pd.DataFrame,
    weighted: pd.DataFrame | None = None,
    coverage: pd.DataFrame | None = None,
) -> list:
    """Show what the pipeline holds at the date."""
    words, say = about.words, about.words.say
    deals, known = int(by_stage["n"].sum()), int(by_stage["n_events"].sum())
    total = about.money(by_stage["value"].sum() if known else None)
    answer = words.say_n("{n} deal is open, worth {total}.", "{n} deals are open, worth {total}.", deals, total=total)
    if known < deals:
        answer += " " + say("The amount of {missing} of them is not known.", missing=deals - known)
    answer += _likely(about, weighted) + _covered(about, coverage)
    days = kpi("pipeline.won_from_stage").days
    chances = [] if weighted is None else [about.named_table("weighted_pipeline", weighted, days=days)]
    owners = about.named_table("open_by_owner", by_owner.sort_values(["value", "owner"], ascending=[False, True], ignore_index=True))
    return [Answer(answer), SideBySide([_by_stage(about, by_stage, deals, known), *chances], [_amounts(about, amounts), owners])]


def _by_stage(about: About, by_stage: pd.DataFrame, deals: int, known: int) -> Block:
    """The open amount of each stage, or the number of deals where no amount is known."""
    words, say = about.words, about.words.say
    labels = words.names(by_stage["stage"])
    if not known:
        return about.named_table("open_by_stage", by_stage)
    counts = [words.say_n("{n} deal", "{n} deals", int(n)) for n in by_stage["n"]]
    drawn = charts.plot_amounts(by_stage, labels, words, about.currency, counts=counts, xlabel=say("open amount"))
    stages = words.listing(
        say("{stage} {amount}, {deals}", stage=label, amount=about.money(amount), deals=count)
        for label, amount, count in zip(labels, by_stage["value"], counts, strict=True)
    )
    note = say("n = {n} deals, {known} of them with an amount · as known on {day}", n=deals, known=known, day=words.date(about.month.end))
    return Figure(drawn, say("Open amount by stage"), note, say("Open amount by stage: {stages}.", stages=stages))


def _likely(about: About, weighted: pd.DataFrame | None) -> str:
    if weighted is None or weighted["value"].isna().all():
        return ""
    total = about.money(weighted["value"].sum())
    return " " + about.words.say("Weighted by the chance to win from their stage, they are worth {total}.", total=total)


def _covered(about: About, coverage: pd.DataFrame | None) -> str:
    if coverage is None or pd.isna(coverage["target"].iloc[0]):
        return ""
    words, row = about.words, coverage.iloc[0]
    parts = {"target": about.money(row["target"]), "won": about.money(row["won"])}
    if pd.isna(row["value"]):
        return " " + words.say("The quarter's target of {target} is reached: {won} won so far.", **parts)
    parts |= {"open": about.money(row["open_amount"]), "times": words.number(row["value"], 1)}
    text = N_("Deals of {open} are expected to close this quarter, {times} times what is missing to its target ({won} of {target} won so far).")
    return " " + words.say(text, **parts)


def _amounts(about: About, amounts: pd.DataFrame) -> DisplayTable:
    say = about.words.say
    mean, median, top = (amounts[amounts["statistic"] == name].reset_index(drop=True) for name in ("mean", "median", "top5_share"))
    days = length(mean.iloc[0])
    kinds = {
        "pipeline.won_amount": say("Won, last {days} days", days=days),
        "pipeline.lost_amount": say("Lost, last {days} days", days=days),
        "pipeline.open_amount": say("Open"),
    }
    return about.named_table("deal_amounts", mean.assign(kind=mean["kpi"].map(kinds), median=median["value"], top=top["value"]))


def sales_velocity(about: About, velocity: pd.DataFrame) -> list:
    """Say what the pipeline brings per day, and which factor moved it."""
    rows = [(UNITS[row["factor"]], row) for _, row in velocity.iterrows()]
    shown = velocity.assign(
        factor=[about.words.translate(FACTORS[name]) for name in velocity["factor"]],
        current=[about.written(row["value"], unit) for unit, row in rows],
        interval=["–" if row["factor"] == "open_deals" else about.interval(row["low"], row["high"], unit) for unit, row in rows],
        before=[about.written(row["past"], unit) for unit, row in rows],
    )
    return [Answer(_moved(about, velocity)), about.named_table("velocity", shown)]


def _moved(about: About, velocity: pd.DataFrame) -> str:
    words, say, row, factors = about.words, about.words.say, velocity.iloc[0], velocity.iloc[1:]
    if pd.isna(row["value"]):
        return say("Too few deals were won lately to say what the pipeline brings per day.")
    now = about.money(row["value"])
    if pd.isna(row["past"]):
        return say("As things go now, the open pipeline brings {now} a day.", now=now)
    parts = {"now": now, "past": about.money(row["past"])}
    settled = factors[factors["settled"].eq(True)]
    if settled.empty:
        return say("As things go now, the open pipeline brings {now} a day, against {past} a year ago; no factor moved by more than chance.", **parts)
    most = settled.loc[settled["effect"].abs().idxmax()]
    parts |= {"factor": words.translate(FACTORS[most["factor"]])}
    parts["effect"] = words.money(most["effect"], about.currency, signed=True)
    return say("As things go now, the open pipeline brings {now} a day, against {past} a year ago; what moved it most: {factor} ({effect}).", **parts)
