"""The page that shows the month at a glance."""

from __future__ import annotations

import pandas as pd

from kpi.catalog import CHAIN
from kpi.presentation.blocks import Answer, NoData, Opening, Prose, Sparkline, Tile, Tiles, tables
from kpi.presentation.blocks.tables import DisplayColumn
from kpi.presentation.language import Words
from kpi.presentation.pages import conversion_paths
from kpi.presentation.pages.about import About, unstable
from kpi.schema import N_

_PHRASES = {
    "pipeline.leads": (N_("few leads came in ({value})"), N_("many leads came in ({value})")),
    "response.answered_within": (
        N_("only {value} of leads were answered within the hour"),
        N_("as many as {value} of leads were answered within the hour"),
    ),
    "pipeline.opportunities": (N_("few opportunities were created ({value})"), N_("many opportunities were created ({value})")),
    "pipeline.stage_entries": (N_("few deals moved on ({value})"), N_("many deals moved on ({value})")),
    "pipeline.won": (N_("few deals were won ({value})"), N_("many deals were won ({value})")),
    "pipeline.average_won_value": (N_("the average won deal was small ({value})"), N_("the average won deal was large ({value})")),
    "pipeline.won_value": (N_("little value was won ({value})"), N_("much value was won ({value})")),
    "retention.kept": (N_("only {value} of customers were kept"), N_("as many as {value} of customers were kept")),
}


def opening(about: About, chain: list[pd.DataFrame]) -> Opening:
    """Open the page: what the month brought, and what of it is a signal."""
    words, say = about.words, about.words.say
    if not chain:
        return about.opening("pulse", say("The data set has none of the headline numbers."))
    found = [months for months in chain if months["signal"].iloc[-1]]
    month = words.sentence(words.month(about.month))
    won = next((months for months in chain if months["kpi"].iloc[-1] == "pipeline.won_value"), None)
    lead = say("{month}: ", month=month) if won is None else say("{month} won {value}", month=month, value=value(about, won, won.iloc[-1]))
    if won is not None:
        lead += say(", a routine month") if not won["signal"].iloc[-1] else say(", a signal")
    rest = [months for months in found if won is None or months is not won]
    if rest:
        signals = words.listing(_said(about, months) for months in rest)
        answer = lead + (say("; but {signals}.", signals=signals) if won is not None else say("signals: {signals}.", signals=signals))
    else:
        answer = lead + (say("; no other number stands out.") if won is not None else say("no number stands out."))
    count = words.say_n("{n} of {all} key figures is a signal.", "{n} of {all} key figures are signals.", len(found), all=len(chain))
    return about.opening("pulse", answer, count)


def tiles(about: About, chain: list[pd.DataFrame], false_alarms: float) -> Tiles:
    """Show the chain of headline numbers, each with its months and the range within which it varies by itself."""
    words, say = about.words, about.words.say
    first = min(months["month"].iloc[0] for months in chain) if chain else str(about.month)
    rate = words.number(1 / false_alarms) if false_alarms > 0 else "–"
    note = say(
        "{first} to {last}, a dot a month. Grey band: how far months vary by themselves (natural process limits; binomial for rates). "
        "◆ outside it, or the eighth month running on one side of the mean: worth asking why. Expect about one false alarm in {rate} months.",
        first=words.sentence(words.month(first)),
        last=words.month(about.month),
        rate=rate,
    )
    return Tiles([tile(about, months) for months in chain], say("Headline numbers"), note)


def glance(about: About, chain: list[pd.DataFrame], false_alarms: float, *, missing: pd.DataFrame, note: str = "") -> list:
    """Show the tiles, what is missing, and what the analyst wrote about the month."""
    blocks: list = [tiles(about, chain, false_alarms)] if chain else []
    if len(missing):
        names = about.words.listing(f"`{name}`" for name in missing["table"])
        blocks.append(NoData(about.words.say("Not shown for want of data: the data set has no {tables}.", tables=names)))
    if note.strip():
        blocks.append(Prose(note, about.words.say("The analyst's note")))
    return blocks


def tile(about: About, months: pd.DataFrame) -> Tile:
    """Make the tile of one headline number."""
    words, say = about.words, about.words.say
    now, name = months.iloc[-1], _name(about, months)
    usual = _usual(about, months)
    past = months.iloc[-2] if len(months) > 1 else None
    before = say("{month} {value}", month=words.month_short(past["month"]), value=value(about, months, past)) if past is not None else ""
    of = say("of {n}", n=int(now["n"])) if months["kind"].iloc[-1] == "rate" and not pd.isna(now["n"]) else ""
    provisional = bool(now["provisional"])
    below = say("provisional: fewer than 12 months before it") if provisional else say("Usual {range} · routine", range=usual)
    if unstable(months):
        below = say("no stable range: {n} of the {all} months before were signals", n=int(months["signal"].iloc[:-1].sum()), all=len(months) - 1)
    signal = _signal(words, now, usual)
    said = signal or below
    alt = say(
        "{name}, {first} to {last}: now {value}. {said}",
        name=name,
        first=words.month(months["month"].iloc[0]),
        last=words.month(now["month"]),
        value=value(about, months, now),
        said=said,
    )
    spark = Sparkline(
        months["value"].tolist(),
        months["lower"].tolist(),
        months["centre"].tolist(),
        months["upper"].tolist(),
        months["signal"].tolist(),
        alt,
        is_provisional=provisional,
    )
    return Tile(
        name,
        value(about, months, now),
        " · ".join(part for part in (of, before) if part),
        below,
        spark if months["value"].notna().any() else None,
        signal=signal,
    )


def conversions(about: About, results: list[pd.DataFrame], closed: pd.DataFrame) -> list:
    """List the conversions as things go now, each with its interval, n and open records, and the usual win rate beside them."""
    words, say = about.words, about.words.say
    frame = pd.concat([result[result["horizon"] == conversion_paths.HORIZON] for result in results], ignore_index=True)
    frame["step"] = [words.translate(conversion_paths.PATHS[key]) for key in frame["kpi"]]
    parts = [
        say(
            "{name} {share} ({range})",
            name=row.step[:1].lower() + row.step[1:],
            share=words.percent(row.value),
            range=words.percent_range(row.low, row.high),
        )
        for row in frame.itertuples()
    ]
    answer = say("Within 180 days, as things go now: {list}.", list=words.listing(parts))
    frame = pd.concat([frame, closed.assign(step=say("Closed-deal win rate, for comparison"))], ignore_index=True)
    columns = [
        DisplayColumn("step", say("Step")),
        DisplayColumn("n", say("Under\nway"), "number"),
        DisplayColumn("n_events", say("Done"), "number"),
        DisplayColumn("n_open", say("Open"), "number"),
        *tables.estimate(words, say("Share"), drawn=True),
    ]
    note = say("Period reading of the last 90 days: open records are kept; the closed-deal win rate leaves them out")
    return [Answer(answer), tables.table(frame, columns, words=words, title=say("From lead to customer, as things go now"), note=note)]


def value(about: About, months: pd.DataFrame, row: pd.Series, *, column: str = "value") -> str:
    """Write a value in the KPI's unit."""
    kind = months["kind"].iloc[-1]
    if kind == "money":
        return about.words.money(row[column], about.currency)
    if kind == "rate":
        return about.words.percent(row[column], 1 if months["value"].min() > 0.9 else 0)
    return about.words.number(row[column])


def _name(about: About, months: pd.DataFrame) -> str:
    """Name a KPI of the chain; the stage reached is told by its months."""
    places = {"stage": months["stage"].iloc[-1]} if "stage" in months else {}
    return about.words.say(CHAIN[months["kpi"].iloc[-1]].name, **places)


def _usual(about: About, months: pd.DataFrame) -> str:
    row, words = months.iloc[-1], about.words
    if pd.isna(row["lower"]):
        return "–"
    kind = months["kind"].iloc[-1]
    if kind == "money":
        return words.money_range(row["lower"], row["upper"], about.currency)
    if kind == "rate":
        return words.percent_range(row["lower"], row["upper"], 1 if months["value"].min() > 0.9 else 0)
    return words.number_range(row["lower"], row["upper"])


def _signal(words: Words, row: pd.Series, usual: str) -> str:
    if not row["signal"]:
        return ""
    ways = {
        "above": words.say("Signal: above the usual {range}", range=usual),
        "below": words.say("Signal: below the usual {range}", range=usual),
        "run_above": words.say("Signal: eight months running above the mean"),
        "run_below": words.say("Signal: eight months running below the mean"),
    }
    return ways[row["reason"]]


def _said(about: About, months: pd.DataFrame) -> str:
    row, words = months.iloc[-1], about.words
    low, high = _PHRASES[row["kpi"]]
    said = words.say(low if row["reason"].endswith("below") else high, value=value(about, months, row))
    if row["reason"].startswith("run"):
        said = words.say("{what}, the eighth month running on that side of the mean", what=said)
    return said
