"""What the pipeline holds: open deals by stage, what they will likely bring, how far they cover the target, what a deal is worth."""

from __future__ import annotations

import pandas as pd

from kpi.presentation import charts
from kpi.presentation.blocks import Answer, Figure, SideBySide, tables
from kpi.presentation.blocks.tables import DisplayColumn, DisplayTable
from kpi.presentation.pages.about import About, named
from kpi.schema import N_


def open_pipeline(
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
    total = words.money(by_stage["value"].sum() if known else None, about.currency)
    answer = words.say_n("{n} deal is open, worth {total}.", "{n} deals are open, worth {total}.", deals, total=total)
    if known < deals:
        answer += " " + say("The amount of {missing} of them is not known.", missing=deals - known)
    answer += _likely(about, weighted) + _covered(about, coverage)
    labels = [named(words, stage) for stage in by_stage["stage"]]
    counts = [words.say_n("{n} deal", "{n} deals", int(n)) for n in by_stage["n"]]
    if known:
        drawn = charts.plot_amounts(by_stage, labels, words, about.currency, counts=counts, xlabel=say("open amount"))
        alt = words.listing(
            say("{stage} {amount}, {deals}", stage=label, amount=words.money(row.value, about.currency), deals=count)
            for label, row, count in zip(labels, by_stage.itertuples(), counts, strict=True)
        )
        note = say("n = {n} deals, {known} of them with an amount · as known on {day}", n=deals, known=known, day=words.date(about.month.end))
        left = Figure(drawn, say("Open amount by stage"), note, say("Open amount by stage: {stages}.", stages=alt))
    else:
        left = tables.table(
            by_stage.assign(stage=labels),
            [DisplayColumn("stage", say("Stage")), DisplayColumn("n", say("Deals"), "number")],
            words=words,
            title=say("Open deals by stage"),
        )
    chances = [] if weighted is None else [_weighted(about, weighted)]
    return [Answer(answer), SideBySide([left, *chances], [_amounts(about, amounts), _owners(about, by_owner)])]


def _weighted(about: About, weighted: pd.DataFrame) -> DisplayTable:
    words, say = about.words, about.words.say
    columns = [
        DisplayColumn("stage", say("Stage")),
        DisplayColumn("amount", say("Amount"), "money"),
        DisplayColumn("chance", say("Won from\nthere"), "percent"),
        *tables.estimate(words, say("Weighted"), "money", n=""),
    ]
    shown = weighted.assign(stage=[named(words, stage) for stage in weighted["stage"]])
    note = say("Open amount times the share of deals won within a year of reaching the stage, from the last 365 days")
    return tables.table(shown, columns, words=words, title=say("What will it bring?"), note=note, currency=about.currency)


def _likely(about: About, weighted: pd.DataFrame | None) -> str:
    if weighted is None or weighted["value"].isna().all():
        return ""
    total = about.words.money(weighted["value"].sum(), about.currency)
    return " " + about.words.say("Weighted by the chance to win from their stage, they are worth {total}.", total=total)


def _covered(about: About, coverage: pd.DataFrame | None) -> str:
    if coverage is None or pd.isna(coverage["target"].iloc[0]):
        return ""
    words, row = about.words, coverage.iloc[0]
    parts = {"target": words.money(row["target"], about.currency), "won": words.money(row["won"], about.currency)}
    if pd.isna(row["value"]):
        return " " + words.say("The quarter's target of {target} is reached: {won} won so far.", **parts)
    parts |= {"open": words.money(row["open_amount"], about.currency), "times": words.number(row["value"], 1)}
    text = N_("Deals of {open} are expected to close this quarter, {times} times what is missing to its target ({won} of {target} won so far).")
    return " " + words.say(text, **parts)


def _amounts(about: About, amounts: pd.DataFrame) -> DisplayTable:
    say = about.words.say
    kinds = {"pipeline.won_amount": say("Won, last 90 days"), "pipeline.lost_amount": say("Lost, last 90 days"), "pipeline.open_amount": say("Open")}
    wide = amounts[amounts["statistic"] == "mean"].assign(kind=[kinds[key] for key in amounts.loc[amounts["statistic"] == "mean", "kpi"]])
    wide["median"] = amounts.loc[amounts["statistic"] == "median", "value"].to_numpy()
    wide["top"] = amounts.loc[amounts["statistic"] == "top5_share", "value"].to_numpy()
    columns = [
        DisplayColumn("kind", say("Deals")),
        DisplayColumn("n", say("n"), "number"),
        *tables.estimate(about.words, say("Mean"), "money", n="n_events"),
        DisplayColumn("median", say("Median"), "money", n="n_events"),
        DisplayColumn("top", say("Five largest,\nshare"), "percent", n="n_events"),
    ]
    note = say("A missing amount is not 0: it is left out of the mean · bootstrap interval")
    return tables.table(wide, columns, words=about.words, title=say("What is an opportunity worth?"), note=note, currency=about.currency)


def _owners(about: About, by_owner: pd.DataFrame) -> DisplayTable:
    say = about.words.say
    columns = [DisplayColumn("owner", say("Owner")), DisplayColumn("n", say("Open deals"), "number"), DisplayColumn("value", say("Amount"), "money")]
    frame = by_owner.sort_values(["value", "owner"], ascending=[False, True], ignore_index=True)
    frame = frame.assign(owner=[named(about.words, owner) for owner in frame["owner"]])
    return tables.table(frame, columns, words=about.words, title=say("Who holds it?"), currency=about.currency, limit=10)
