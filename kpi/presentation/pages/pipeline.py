"""The page on the pipeline."""

from __future__ import annotations

import pandas as pd

from kpi.presentation import charts
from kpi.presentation.blocks import Answer, Figure, Opening, SideBySide, tables
from kpi.presentation.blocks.tables import Column, Table
from kpi.presentation.pages.about import About, differ, end_label, named, quarter_name
from kpi.schema import N_

HORIZON = 180
FLOOR = 20
WAYS = {
    "pipeline.lead_to_opportunity": N_("Lead to opportunity"),
    "pipeline.opportunity_to_customer": N_("Opportunity to customer"),
    "pipeline.lead_to_customer": N_("Lead to customer"),
}


def opening(about: About, won: pd.DataFrame, before: pd.DataFrame, closed: pd.DataFrame) -> Opening:
    """Open the page: how many opportunities are won, and whether that has changed."""
    words, say = about.words, about.words.say
    now, past, rate = _at(won, HORIZON), _at(before, HORIZON), closed.iloc[0]
    if pd.isna(now["value"]):
        return about.opening("pipeline", say("Too few opportunities were under way to say how many are won."))
    share, span = words.percent(now["value"]), words.percent_range(now["low"], now["high"])
    judged = {
        1: say("As things go now, {share} of opportunities are won within 180 days: clearly more than a year ago.", share=share),
        -1: say("As things go now, {share} of opportunities are won within 180 days: clearly fewer than a year ago.", share=share),
        0: say("As things go now, {share} of opportunities are won within 180 days; no settled change from a year ago.", share=share),
    }
    if pd.isna(past["value"]):
        judged[0] = say("As things go now, {share} of opportunities are won within 180 days.", share=share)
    lede = say("95% interval {span}, from the last 90 days.", span=span)
    if rate["n"]:
        lede += " " + say(
            "The closed-deal win rate of the same days says {rate}: it leaves the {open} open deals out.",
            rate=words.percent(rate["value"]),
            open=int(rate["n_open"]),
        )
    return about.opening("pipeline", judged[differ(now, past)], lede)


def winning(about: About, *, curve: pd.DataFrame, past_curve: pd.DataFrame, won: pd.DataFrame, past: pd.DataFrame, steps: list[pd.DataFrame]) -> list:
    """Show the share won by age, now and a year ago, beside every conversion."""
    words, say = about.words, about.words.say
    now, before = _at(won, HORIZON), _at(past, HORIZON)
    labels = [end_label(words, name, row) for name, row in ((say("last 90 days"), now), (say("a year earlier"), before))]
    judged = {
        1: say("{now} won within 180 days, {before} a year ago: more", now=words.percent(now["value"]), before=words.percent(before["value"])),
        -1: say("{now} won within 180 days, {before} a year ago: fewer", now=words.percent(now["value"]), before=words.percent(before["value"])),
        0: say(
            "{now} won within 180 days, {before} a year ago: the bands overlap",
            now=words.percent(now["value"]),
            before=words.percent(before["value"]),
        ),
    }
    if pd.isna(before["value"]):
        judged[0] = say("{now} won within 180 days", now=words.percent(now["value"]))
    drawn = charts.plot_incidence(
        curve,
        words,
        cause="won",
        horizon=HORIZON,
        label=labels[0],
        past=past_curve if not pd.isna(before["value"]) else None,
        past_label=labels[1],
        ylabel=say("won by then, share of all opportunities"),
        xlabel=say("days since the opportunity was created"),
    )
    note = say(
        "n = {n} and {before} opportunities under way · band: 95% interval · lost competes, open is kept · "
        "below: number under observation at that age",
        n=int(now["n"]),
        before=int(before["n"]),
    )
    points = words.listing(
        say("{days} days {share} ({range})", days=int(row.horizon), share=words.percent(row.value), range=words.percent_range(row.low, row.high))
        for row in won.itertuples()
    )
    figure = Figure(drawn, judged[differ(now, before)], note, say("Share of opportunities won within: {points}.", points=points))
    shares = {"now": words.percent(now["value"]), "range": words.percent_range(now["low"], now["high"])}
    shares |= {"before": words.percent(before["value"]), "past_range": words.percent_range(before["low"], before["high"])}
    verdicts = {
        1: say("{now} of opportunities are won within 180 days ({range}), against {before} a year ago ({past_range}): clearly more.", **shares),
        -1: say("{now} of opportunities are won within 180 days ({range}), against {before} a year ago ({past_range}): clearly fewer.", **shares),
        0: say("{now} of opportunities are won within 180 days ({range}), against {before} a year ago ({past_range}): not settled.", **shares),
    }
    if pd.isna(before["value"]):
        verdicts[0] = say(
            "{now} of opportunities are won within 180 days ({range}); the data do not reach back to compare with a year ago.",
            now=shares["now"],
            range=shares["range"],
        )
    return [Answer(verdicts[differ(now, before)]), SideBySide(figure, conversions(about, steps))]


def conversions(about: About, results: list[pd.DataFrame]) -> Table:
    """List every conversion with its interval."""
    words, say = about.words, about.words.say
    frame = pd.concat(results, ignore_index=True)
    frame["step"] = [say("{way}, {days} d", way=words.translate(WAYS[row.kpi]), days=int(row.horizon)) for row in frame.itertuples()]
    columns = [
        Column("step", say("Within so many days")),
        Column("n", say("Under\nway"), "number"),
        Column("n_events", say("Done"), "number"),
        Column("value", say("Share"), "percent", n="n"),
        Column("value", say("95%\ninterval"), "range", n="n"),
    ]
    note = say("Period reading: as records of every age fared in the last 90 days · – not observed that long")
    return tables.table(frame, columns, words=words, title=say("From lead to customer, as things go now"), note=note, limit=len(frame))


def cohorts(about: About, won: pd.DataFrame) -> Table:
    """List the quarters: how many of the opportunities created then were won."""
    say = about.words.say
    columns = [
        Column("quarter", say("Created in")),
        Column("n", say("Opportunities"), "number"),
        Column("n_events", say("Won so far"), "number"),
        Column("n_open", say("Not known\nyet"), "number"),
        Column("value", say("Won within\n180 d"), "percent", n="n"),
        Column("value", say("95%\ninterval"), "range", n="n"),
        Column("value", "", "drawn", n="n"),
    ]
    note = say("Cohort reading: opportunities followed since their creation, lost competes, open is kept · – not observed for 180 days yet")
    newest = won.iloc[::-1].reset_index(drop=True)
    newest["quarter"] = [quarter_name(about.words, text) for text in newest["quarter"]]
    if len(newest) and about.month.number % 3 != 2:
        newest["quarter"] = [say("{quarter} so far", quarter=newest["quarter"].iloc[0]), *newest["quarter"].iloc[1:]]
    return tables.table(newest, columns, words=about.words, title=say("How did each quarter's opportunities fare?"), note=note, limit=12)


def holding(
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
            [Column("stage", say("Stage")), Column("n", say("Deals"), "number")],
            words=words,
            title=say("Open deals by stage"),
        )
    chances = [] if weighted is None else [_weighted(about, weighted)]
    return [Answer(answer), SideBySide([left, *chances], [_amounts(about, amounts), _owners(about, by_owner)])]


def _weighted(about: About, weighted: pd.DataFrame) -> Table:
    words, say = about.words, about.words.say
    columns = [
        Column("stage", say("Stage")),
        Column("amount", say("Amount"), "money"),
        Column("chance", say("Won from\nthere"), "percent"),
        Column("value", say("Weighted"), "money"),
        Column("value", say("95%\ninterval"), "range", unit="money"),
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


def _amounts(about: About, amounts: pd.DataFrame) -> Table:
    say = about.words.say
    kinds = {"pipeline.won_amount": say("Won, last 90 days"), "pipeline.lost_amount": say("Lost, last 90 days"), "pipeline.open_amount": say("Open")}
    wide = amounts[amounts["statistic"] == "mean"].assign(kind=[kinds[key] for key in amounts.loc[amounts["statistic"] == "mean", "kpi"]])
    wide["median"] = amounts.loc[amounts["statistic"] == "median", "value"].to_numpy()
    wide["top"] = amounts.loc[amounts["statistic"] == "top5_share", "value"].to_numpy()
    columns = [
        Column("kind", say("Deals")),
        Column("n", say("n"), "number"),
        Column("value", say("Mean"), "money", n="n_events"),
        Column("value", say("95%\ninterval"), "range", unit="money", n="n_events"),
        Column("median", say("Median"), "money", n="n_events"),
        Column("top", say("Five largest,\nshare"), "percent", n="n_events"),
    ]
    note = say("A missing amount is not 0: it is left out of the mean · bootstrap interval")
    return tables.table(wide, columns, words=about.words, title=say("What is an opportunity worth?"), note=note, currency=about.currency)


def _owners(about: About, by_owner: pd.DataFrame) -> Table:
    say = about.words.say
    columns = [Column("owner", say("Owner")), Column("n", say("Open deals"), "number"), Column("value", say("Amount"), "money")]
    frame = by_owner.sort_values(["value", "owner"], ascending=[False, True], ignore_index=True)
    frame = frame.assign(owner=[named(about.words, owner) for owner in frame["owner"]])
    return tables.table(frame, columns, words=about.words, title=say("Who holds it?"), currency=about.currency, limit=10)


def _at(result: pd.DataFrame, horizon: float) -> pd.Series:
    return result[result["horizon"] == horizon].iloc[0]
