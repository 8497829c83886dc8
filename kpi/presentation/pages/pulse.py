"""The page that shows the month at a glance."""

from __future__ import annotations

import pandas as pd

from kpi.catalog import CHAIN, kpi
from kpi.presentation.blocks import Answer, NoData, Opening, Prose, Sparkline, Tile, Tiles
from kpi.presentation.language import NAMES, Words
from kpi.presentation.pages.about import About
from kpi.presentation.pages.wording import HORIZON, few, length, share, unstable


def opening(about: About, chain: list[pd.DataFrame]) -> Opening:
    """Open the page: what the month brought, and what of it is a signal."""
    words, say = about.words, about.words.say
    if not chain:
        return about.opening("pulse", say("The data set has none of the headline numbers."))
    found = [months for months in chain if months["signal"].iloc[-1] and not _no_rate(months)]
    count = words.say_n("{n} of {all} key figures is a signal.", "{n} of {all} key figures are signals.", len(found), all=len(chain))
    month = words.sentence(words.month(about.month))
    won = next((months for months in chain if months["kpi"].iloc[-1] == "pipeline.won_value"), None)
    signals = words.listing(_signal(about, months) for months in found if months is not won)
    if all(months["provisional"].iloc[-1] for months in chain):
        young = say("{month}: there are too few months yet to say what is usual.", month=month)
        if won is not None:
            young = say("{month} won {value}; there are too few months yet to say what is usual.", month=month, value=value(about, won, won.iloc[-1]))
        return about.opening("pulse", young)
    if won is None:
        rest = say("signals: {signals}.", signals=signals) if signals else say("no number stands out.")
        return about.opening("pulse", say("{month}: ", month=month) + rest, count)
    answer = say("{month} won {value}", month=month, value=value(about, won, won.iloc[-1]))
    if won["provisional"].iloc[-1] or unstable(won):
        answer += say(", which cannot be called usual or not")
    else:
        answer += say(", a signal") if won["signal"].iloc[-1] else say(", a routine month")
    answer += say("; but {signals}.", signals=signals) if signals else say("; no other number stands out.")
    return about.opening("pulse", answer, count)


def glance(about: About, chain: list[pd.DataFrame], false_alarms: float, *, missing: pd.DataFrame, note: str = "") -> list:
    """Show the tiles, what is missing, and what the analyst wrote about the month."""
    blocks: list = [tiles(about, chain, false_alarms)] if chain else []
    if len(missing):
        names = about.words.listing(f"`{name}`" for name in missing["table"])
        blocks.append(NoData(about.words.say("Not shown for want of data: the data set has no {tables}.", tables=names)))
    if note.strip():
        blocks.append(Prose(note, about.words.say("The analyst's note")))
    return blocks


def tiles(about: About, chain: list[pd.DataFrame], false_alarms: float) -> Tiles:
    """Show the chain of headline numbers, each with its months and the range within which it varies by itself."""
    words, say = about.words, about.words.say
    note = say(
        "{first} to {last}, a dot a month. Grey band: how far months vary by themselves (natural process limits; binomial for rates). "
        "◆ outside it, or the eighth month running on one side of the mean: worth asking why.",
        first=words.sentence(words.month(min(months["month"].iloc[0] for months in chain))),
        last=words.month(about.month),
    )
    if false_alarms > 0:
        note += " " + say("Expect about one false alarm in {rate} months.", rate=words.number(1 / false_alarms))
    return Tiles([tile(about, months) for months in chain], say("Headline numbers"), note)


def tile(about: About, months: pd.DataFrame) -> Tile:
    """Make the tile of one headline number."""
    words, say = about.words, about.words.say
    now, name, kind = months.iloc[-1], _name(about, months), months["kind"].iloc[-1]
    usual = about.interval(now["lower"], now["upper"], kind, _digits(months))
    of = [say("of {n}", n=int(now["n"]))] if kind == "rate" and not few(now) else []
    if len(months) > 1:
        past = months.iloc[-2]
        of.append(say("{month} {value}", month=words.month_short(past["month"]), value=value(about, months, past)))
    below = say("provisional: fewer than 12 months before it") if now["provisional"] else say("Usual {range} · routine", range=usual)
    if kind == "rate" and now["lower"] <= 0 and now["upper"] >= 1:
        below = say("usual range too wide to judge")
    if _no_rate(months):
        below = say("too few for a rate")
    if unstable(months):
        below = say("no stable range: {n} of the {all} months before were signals", n=int(months["signal"].iloc[:-1].sum()), all=len(months) - 1)
    signal = _flag(words, now["reason"], usual) if now["signal"] and not _no_rate(months) else ""
    first, last = (words.month(months["month"].iloc[place]) for place in (0, -1))
    parts = {"name": name, "first": first, "last": last, "value": value(about, months, now), "said": signal or below}
    alt = say("{name}, {first} to {last}: now {value}. {said}", **parts)
    values, low, mid, high, signals = (months[column].tolist() for column in ("value", "lower", "centre", "upper", "signal"))
    drawn = (
        Sparkline(values, low, mid, high, signals, alt, bool(now["provisional"])) if months["value"].notna().any() and not _no_rate(months) else None
    )
    return Tile(name, parts["value"], " · ".join(of), below, drawn, signal=signal)


def conversions(about: About, results: list[pd.DataFrame], closed: pd.DataFrame) -> list:
    """List the conversions as things go now, each with its interval, n and open records, and the usual win rate beside them."""
    words, say = about.words, about.words.say
    frame = pd.concat([result[result["horizon"] == HORIZON] for result in results], ignore_index=True)
    steps = [words.translate(kpi(key).name) for key in frame["kpi"]]
    rows = [(step, row) for step, (_, row) in zip(steps, frame.iterrows(), strict=True) if not few(row) and not pd.isna(row["value"])]
    parts = [say("{name} {share} ({range})", name=step[:1].lower() + step[1:], **share(words, row)) for step, row in rows]
    answer = (
        say("Within {days} days, as things go now: {list}.", days=HORIZON, list=words.listing(parts))
        if parts
        else say("How many become customers within {days} days cannot be told yet.", days=HORIZON)
    )
    compared = closed.assign(step=say("Closed-deal win rate, for comparison"))
    shown = pd.concat([frame.assign(step=steps), compared], ignore_index=True)
    return [Answer(answer), about.named_table("monthly_conversions", shown, days=length(closed.iloc[0]))]


def value(about: About, months: pd.DataFrame, row: pd.Series) -> str:
    """Write a value in the KPI's unit; of a rate of few records how many of how many."""
    if months["kind"].iloc[-1] == "rate" and few(row) and not pd.isna(row["value"]):
        return about.words.say("{done} of {n}", done=round(row["value"] * row["n"]), n=int(row["n"]))
    return about.written(row["value"], months["kind"].iloc[-1], _digits(months))


def _no_rate(months: pd.DataFrame) -> bool:
    return bool(months["kind"].iloc[-1] == "rate" and few(months.iloc[-1]))


def _name(about: About, months: pd.DataFrame) -> str:
    """Name a KPI of the chain; the stage reached is told by its months."""
    places = {"stage": months["stage"].iloc[-1]} if "stage" in months else {}
    return about.words.say(CHAIN[months["kpi"].iloc[-1]].name, **places)


def _digits(months: pd.DataFrame) -> int:
    return 1 if months["kind"].iloc[-1] == "rate" and months["value"].min() > 0.9 else 0


def _flag(words: Words, reason: str, usual: str) -> str:
    if reason.startswith("run"):
        return words.say("Signal: eight months running above the mean" if reason == "run_above" else "Signal: eight months running below the mean")
    return words.say("Signal: above the usual {range}" if reason == "above" else "Signal: below the usual {range}", range=usual)


def _signal(about: About, months: pd.DataFrame) -> str:
    row, words = months.iloc[-1], about.words
    side = "signals_low" if row["reason"].endswith("below") else "signals_high"
    signal = words.say(NAMES[side][row["kpi"]], value=value(about, months, row))
    if row["reason"].startswith("run"):
        return words.say("{what}, the eighth month running on that side of the mean", what=signal)
    return signal
