"""The page on the pipeline."""

from __future__ import annotations

import pandas as pd

from kpi import plots, tables
from kpi.chapters.about import About, differ, end_label
from kpi.page import Answer, Figure, Opening, SideBySide
from kpi.schema import BLANK
from kpi.tables import Column, Table
from kpi.words import N_

HORIZON = 180
FLOOR = 20
WAYS = {
    "pipeline.lead_to_opportunity": N_("Lead to opportunity"),
    "pipeline.opportunity_to_customer": N_("Opportunity to customer"),
    "pipeline.lead_to_customer": N_("Lead to customer"),
}


def opening(about: About, won: pd.DataFrame, before: pd.DataFrame, closed: pd.DataFrame) -> Opening:
    """Open the page: how many opportunities are won, and whether that has changed.

    Parameters
    ----------
    about : About
        What the page is about.
    won, before : DataFrame
        `pipeline.opportunity_to_customer`, period reading of the last 90 days and of the 90 days a year earlier.
    closed : DataFrame
        `pipeline.closed_win_rate` of the last 90 days.

    Returns
    -------
    Opening
    """
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
    """Show the share won by age, now and a year ago, beside every conversion.

    Parameters
    ----------
    about : About
        What the page is about.
    curve, past_curve : DataFrame
        `pipeline.conversion_curve` of opportunity to customer, period reading, now and a year earlier.
    won, past : DataFrame
        `pipeline.opportunity_to_customer` of both.
    steps : list of DataFrame
        Period readings of the conversions, in order.

    Returns
    -------
    list of Block
    """
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
    drawn = plots.plot_incidence(
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
    """List every conversion with its interval.

    Parameters
    ----------
    about : About
        What the page is about.
    results : list of DataFrame
        Period readings of the conversions.

    Returns
    -------
    Table
    """
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
    """List the quarters: how many of the opportunities created then were won.

    Parameters
    ----------
    about : About
        What the page is about.
    won : DataFrame
        `pipeline.opportunity_to_customer` within 180 days, cohort reading by quarter.

    Returns
    -------
    Table
    """
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
    newest["quarter"] = [say("Q{quarter} {year}", quarter=text[-1], year=text[:4]) for text in newest["quarter"]]
    if len(newest) and about.month.number % 3 != 2:
        newest["quarter"] = [say("{quarter} so far", quarter=newest["quarter"].iloc[0]), *newest["quarter"].iloc[1:]]
    return tables.table(newest, columns, words=about.words, title=say("How did each quarter's opportunities fare?"), note=note, limit=12)


def stuck(about: About, conversion: pd.DataFrame, stay: pd.DataFrame) -> list:
    """Show where deals get stuck: what share goes on from each stage, and how long they stay.

    Parameters
    ----------
    about : About
        What the page is about.
    conversion : DataFrame
        `pipeline.stage_conversion`.
    stay : DataFrame
        `pipeline.time_in_stage`.

    Returns
    -------
    list of Block
    """
    words, say = about.words, about.words.say
    labels = [say("{stage} → {next}", stage=_name(words, row.stage), next=_name(words, row.next_stage)) for row in conversion.itertuples()]
    counts = [say("{done} of {n}", done=int(row.n_events), n=int(row.n)) for row in conversion.itertuples()]
    known = conversion[conversion["value"].notna()].sort_values("value")
    answer = say("Too few deals moved to compare the stages.")
    title = say("Share that goes on to the next stage or beyond")
    if len(known) > 1:
        least, second = known.iloc[0], known.iloc[1]
        parts = {"stage": str(least["stage"]), "next": str(least["next_stage"]), "share": words.percent(least["value"])}
        parts["range"] = words.percent_range(least["low"], least["high"])
        if differ(least, second) < 0:
            answer = say("The step from {stage} to {next} loses most: {share} go on ({range}).", **parts)
        else:
            answer = say("The step from {stage} to {next} has the lowest share going on, {share} ({range}), but the intervals overlap.", **parts)
    alt = words.listing(f"{label} {words.percent(value)}" for label, value in zip(labels, conversion["value"], strict=True))
    drawn = plots.plot_shares(conversion, labels, words, counts=counts, xlabel=say("reach the next stage or beyond within 180 days"))
    note = say("Deals in the stage during the last 90 days · line: 95% interval · lost competes, open is kept")
    columns = [
        Column("stage", say("Stage")),
        Column("n", say("Visits"), "number"),
        Column("n_open", say("Still\nthere"), "number"),
        Column("value", say("Half over\nwithin, days"), "number", n="n"),
        Column("value", say("95%\ninterval"), "range", unit="number", n="n"),
    ]
    scope = say("Visits to a stage during the last 90 days; those still going on are kept (Kaplan-Meier)")
    table = tables.table(stay, columns, words=words, title=say("How long do deals stay in a stage?"), note=scope)
    return [Answer(answer), SideBySide(Figure(drawn, title, note, say("Share going on: {shares}.", shares=alt)), table)]


def holding(about: About, by_stage: pd.DataFrame, by_owner: pd.DataFrame, amounts: pd.DataFrame) -> list:
    """Show what the pipeline holds at the date.

    Parameters
    ----------
    about : About
        What the page is about.
    by_stage, by_owner : DataFrame
        `pipeline.open_pipeline` by stage and by owner.
    amounts : DataFrame
        `pipeline.average_value` of won, lost and open deals.

    Returns
    -------
    list of Block
    """
    words, say = about.words, about.words.say
    deals, known = int(by_stage["n"].sum()), int(by_stage["n_events"].sum())
    total = words.money(by_stage["value"].sum() if known else None, about.currency)
    answer = words.say_n("{n} deal is open, worth {total}.", "{n} deals are open, worth {total}.", deals, total=total)
    if known < deals:
        answer += " " + say("The amount of {missing} of them is not known.", missing=deals - known)
    labels = [_name(words, stage) for stage in by_stage["stage"]]
    counts = [words.say_n("{n} deal", "{n} deals", int(n)) for n in by_stage["n"]]
    if known:
        drawn = plots.plot_amounts(by_stage, labels, words, about.currency, counts=counts, xlabel=say("open amount"))
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
    right = [_amounts(about, amounts), _owners(about, by_owner)]
    return [Answer(answer), SideBySide(left, right)]


def sources(about: About, won: pd.DataFrame, total: pd.DataFrame) -> list:
    """Compare where winners come from.

    Parameters
    ----------
    about : About
        What the page is about.
    won : DataFrame
        `pipeline.opportunity_to_customer` within 180 days by source, cohort of twelve months.
    total : DataFrame
        The same for all sources, one row.

    Returns
    -------
    list of Block
    """
    words, say = about.words, about.words.say
    few = won.assign(few=won["n"] < FLOOR)
    frame = few.sort_values(["few", "value", "source"], ascending=[True, False, True], ignore_index=True)
    known = frame[(frame["n"] >= FLOOR) & frame["value"].notna()]
    answer = say("Too few opportunities to compare sources.")
    if len(known) > 1:
        best, worst = known.iloc[0], known.iloc[-1]
        parts = {
            "best": _name(words, best["source"]),
            "high": words.percent(best["value"]),
            "worst": _name(words, worst["source"]),
            "low": words.percent(worst["value"]),
        }
        parts |= {"high_range": words.percent_range(best["low"], best["high"]), "low_range": words.percent_range(worst["low"], worst["high"])}
        if differ(best, worst):
            answer = say("{best} wins {high} ({high_range}), {worst} {low} ({low_range}).", **parts)
        else:
            answer = say(
                "From {best}, {high} ({high_range}), to {worst}, {low} ({low_range}): the intervals overlap, no difference is settled.", **parts
            )
    columns = [
        Column("source", say("Source")),
        Column("n", say("Created"), "number"),
        Column("n_events", say("Won so far"), "number"),
        Column("n_open", say("Not known\nyet"), "number"),
        Column("value", say("Won within\n180 d"), "percent", n="n"),
        Column("value", say("95%\ninterval"), "range", n="n"),
        Column("value", "", "drawn", n="n"),
    ]
    note = say(
        "Opportunities created in the twelve months up to {month}; lost competes; 95% interval; dashed: all sources", month=words.month(about.month)
    )
    shown = frame.assign(source=[_name(words, source) for source in frame["source"]])
    table = tables.table(
        shown, columns, words=words, title=say("Which sources bring deals that are won?"), note=note, total=total.assign(source=say("All")), limit=12
    )
    return [Answer(answer), table]


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
    frame = frame.assign(owner=[_name(about.words, owner) for owner in frame["owner"]])
    return tables.table(frame, columns, words=about.words, title=say("Who holds it?"), currency=about.currency, limit=10)


def _at(result: pd.DataFrame, horizon: float) -> pd.Series:
    return result[result["horizon"] == horizon].iloc[0]


def _name(words, value: str) -> str:
    return words.say("(blank)") if value == BLANK else str(value)
