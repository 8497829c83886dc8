"""The page on the pipeline."""

from __future__ import annotations

import pandas as pd

from kpi.presentation import charts
from kpi.presentation.blocks import Answer, Figure, Opening, SideBySide, tables
from kpi.presentation.blocks.tables import DisplayColumn, DisplayTable
from kpi.presentation.pages import conversion_paths
from kpi.presentation.pages.about import About, differ, end_label, quarter_name
from kpi.schema import N_

HORIZON = 180
FLOOR = 20


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


def share_won(
    about: About, *, curve: pd.DataFrame, past_curve: pd.DataFrame, won: pd.DataFrame, past: pd.DataFrame, steps: list[pd.DataFrame]
) -> list:
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
    return [Answer(verdicts[differ(now, before)]), SideBySide(figure, conversion_paths.conversions(about, steps))]


def by_quarter(about: About, won: pd.DataFrame) -> DisplayTable:
    """List the quarters: how many of the opportunities created then were won."""
    say = about.words.say
    columns = [
        DisplayColumn("quarter", say("Created in")),
        DisplayColumn("n", say("Opportunities"), "number"),
        DisplayColumn("n_events", say("Won so far"), "number"),
        DisplayColumn("n_open", say("Not known\nyet"), "number"),
        *tables.estimate(about.words, say("Won within\n180 d"), drawn=True),
    ]
    note = say("Cohort reading: opportunities followed since their creation, lost competes, open is kept · – not observed for 180 days yet")
    newest = won.iloc[::-1].reset_index(drop=True)
    newest["quarter"] = [quarter_name(about.words, text) for text in newest["quarter"]]
    if len(newest) and about.month.number % 3 != 2:
        newest["quarter"] = [say("{quarter} so far", quarter=newest["quarter"].iloc[0]), *newest["quarter"].iloc[1:]]
    return tables.table(newest, columns, words=about.words, title=say("How did each quarter's opportunities fare?"), note=note, limit=12)


def _at(result: pd.DataFrame, horizon: float) -> pd.Series:
    return result[result["horizon"] == horizon].iloc[0]


def closed_win_rate(about: About, won: pd.DataFrame, closed: pd.DataFrame, by_amount: pd.DataFrame, lost: pd.DataFrame) -> list:
    """Put the usual win rate, by count and by amount, beside the share won, and say why they differ."""
    words, say = about.words, about.words.say
    frame = pd.concat([won[won["horizon"] == HORIZON], closed, by_amount], ignore_index=True)
    if not _carries_amounts(lost):
        frame.loc[2, ["value", "low", "high"]] = float("nan")
    frame["name"] = [
        say("Won within 180 days, of all opportunities"),
        say("Closed-deal win rate: won, of the deals closed"),
        say("Closed-deal win rate by amount"),
    ]
    columns = [
        DisplayColumn("name", say("Win rate")),
        DisplayColumn("n", say("Deals"), "number"),
        DisplayColumn("n_events", say("Won"), "number"),
        *tables.estimate(words, say("Share"), drawn=True),
    ]
    table = tables.table(frame, columns, words=words, title=say("What does the usual win rate say?"), note=say("Last 90 days; 95% interval"))
    if frame["n"].iloc[1] < FLOOR or frame["value"].iloc[:2].isna().any():
        return [table]
    return [Answer(f"{_closed_against(words, *(frame.iloc[place] for place in (0, 1)))} {_amount_against(words, frame, lost)}"), table]


def _closed_against(words, share: pd.Series, closed: pd.Series) -> str:
    parts = {"rate": words.percent(closed["value"]), "share": words.percent(share["value"]), "open": int(closed["n_open"])}
    if closed["value"] > share["high"]:
        text = N_(
            "Of the deals closed lately {rate} were won, more than the {share} of all: the rate counts deals by the day they closed, "
            "whatever their age, and leaves out the {open} still open."
        )
    elif closed["value"] < share["low"]:
        text = N_(
            "Of the deals closed lately {rate} were won, less than the {share} of all: the rate counts deals by the day they closed, "
            "whatever their age, and leaves out the {open} still open."
        )
    else:
        text = N_(
            "Of the deals closed lately {rate} were won, close to the {share} of all; the two part when deals stay open longer, "
            "since the rate leaves out the {open} still open."
        )
    return words.say(text, **parts)


def _carries_amounts(lost: pd.DataFrame) -> bool:
    return bool(lost.set_index("statistic").loc["mean", "value"] > 0)


def _amount_against(words, frame: pd.DataFrame, lost: pd.DataFrame) -> str:
    count, amount = frame.iloc[1], frame.iloc[2]
    if not _carries_amounts(lost):
        return words.say("Lost deals carry no amount here, so the rate by amount says nothing.")
    parts = {"amount": words.percent(amount["value"])}
    if amount["high"] < count["value"]:
        return words.say("By amount it is {amount}: large deals are won less often than small ones.", **parts)
    if amount["low"] > count["value"]:
        return words.say("By amount it is {amount}: large deals are won more often than small ones.", **parts)
    return words.say("By amount it is {amount}: no settled difference between large deals and small ones.", **parts)
