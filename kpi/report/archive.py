"""The page of all months, made again from what each published month says about itself."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd

from kpi import compute
from kpi.catalog import CHAIN, Headline
from kpi.dataset import Dataset
from kpi.periods import Month
from kpi.presentation.blocks import Sparkline
from kpi.presentation.blocks.markup import link, paragraph, text
from kpi.presentation.language import Words
from kpi.report import manifest
from kpi.report.html import render_archive

SHOWN = ("pipeline.won_value", "response.answered_within", "pipeline.opportunities")  # a column each
MONTHS = 12  # that a column's drawing goes back, and the heading's count of signals
_FOLDER = re.compile(r"\d{4}-(0[1-9]|1[0-2])")
_HEADING, _BAND = re.compile(r"<h1>(.*?)</h1>", re.DOTALL), re.compile(r'<p class="band">(.*?)</p>', re.DOTALL)
Manifest = Mapping[str, Any]  # as read from JSON


def summary(data: Dataset, month: Month, pulse: nbformat.NotebookNode | None) -> dict[str, Any]:
    """Note down what the page of all months will say about a month."""
    found = {item.key: (item, compute.optional(compute.months, data, month=month, key=item.key)) for item in CHAIN.values()}
    series = {key: (item, table) for key, (item, table) in found.items() if table is not None}
    signals = sum(bool(table["signal"].iloc[-1]) for _, table in series.values() if len(table) and table["month"].iloc[-1] == str(month))
    tiles = [_tile(*series[key]) for key in SHOWN if key in series and len(series[key][1])]
    outputs = [output for cell in (pulse.cells if pulse is not None else []) for output in cell.get("outputs", [])]
    shown = "".join(output.get("data", {}).get("text/html", "") for output in outputs)
    return {"sentence": _first(_HEADING, shown), "band": _first(_BAND, shown), "signals": signals, "tiles": tiles}


def page(out: Path, words: Words) -> str:
    """Lay out the page of all months from the months' manifests."""
    folders = sorted((path for path in out.iterdir() if path.is_dir() and _FOLDER.fullmatch(path.name)), reverse=True)
    months = {path.name: content for path in folders if (content := manifest.read(path)).get("pages")}
    title, name = words.say("All months"), next(iter(months), "")
    if not months:
        body = paragraph(words.say("No month was made yet."), "none")
        answer = _count_of_signals(months, words)
        return render_archive(body, words=words, title=title, company="", nav=[], eyebrow=title, answer=answer, band="")
    newest = months[name]
    running = str(Month.parse(name).shift(1))
    band = next((content["summary"]["band"] for content in months.values() if content["summary"]["band"]), "")
    return render_archive(
        _table(months, running, words) + _states(words),
        words=words,
        title=f"{title} · {newest['company']}",
        company=newest["company"],
        nav=[(item["label"], f"{name}/{item['file']}", False) for item in newest["pages"]] + [(title, "index.html", True)],
        eyebrow=f"{title} · {_label(list(months)[-1], words)} – {_label(running, words)}",
        answer=_count_of_signals(months, words),
        band=band,
    )


def _tile(item: Headline, table: pd.DataFrame) -> dict[str, Any]:
    columns = {name: table[name].tail(MONTHS).tolist() for name in ("month", "value", "lower", "centre", "upper", "signal")}
    return {"kpi": item.key, "kind": item.kind, "name": item.name, "provisional": bool(table["provisional"].iloc[-1])} | columns


def _first(pattern: re.Pattern[str], markup: str) -> str:
    found = pattern.search(markup)
    return html.unescape(re.sub(r"<[^>]+>", "", found[1])).strip() if found else ""


def _label(month: str, words: Words) -> str:
    return words.sentence(words.month(month))


def _count_of_signals(months: Mapping[str, Manifest], words: Words) -> str:
    counts = {month: content["summary"]["signals"] for month, content in list(months.items())[:MONTHS]}
    latest = next((month for month, count in counts.items() if count), "")
    counted = words.say_n("{n} month", "{n} months", len(counts))
    if not latest:
        return words.say("No signal in {months}.", months=counted)
    return words.say_n(
        "{n} signal in {months}; the latest: {month}.",
        "{n} signals in {months}; the latest: {month}.",
        sum(counts.values()),
        months=counted,
        month=words.month(latest),
    )


def _table(months: Mapping[str, Manifest], running: str, words: Words) -> str:
    drawn = {month: [_drawn(tile, content["currency"], words) for tile in content["summary"]["tiles"]] for month, content in months.items()}
    names = [name for name, _, _ in next((tiles for tiles in drawn.values() if tiles), [])]
    columns = "".join(f'<th scope="colgroup" colspan="2">{text(name)}</th>' for name in names)
    head = (
        f'<th scope="col">{text(words.say("Month"))}</th><th scope="col">{text(words.say("In a sentence"))}</th>{columns}'
        f'<th scope="col">{text(words.say("State"))}</th>'
    )
    how = words.say("Line: the months up to that one. Grey band: usual range. ◆signal. A month can be made again; it is then replaced as a whole.")
    caption = f"<caption><b>{text(words.say('Newest first'))}</b><span>{text(how)}</span></caption>"
    later = _row(
        text(_label(running, words)), "", words.say("Made when the month is complete."), [], len(names), ("running", words.say("running")), words
    )
    rows = [_month_row(month, content, drawn[month], len(names), words) for month, content in months.items()]
    region = f'<div class="tw" role="region" tabindex="0" aria-label="{text(words.say("Table of months"))}">'
    return f'{region}<table class="arch">{caption}<thead><tr>{head}</tr></thead><tbody>{"".join([later, *rows])}</tbody></table></div>'


def _month_row(month: str, content: Manifest, tiles: Sequence[tuple[str, str, str]], width: int, words: Words) -> str:
    signals, is_provisional = content["summary"]["signals"], any(tile["provisional"] for tile in content["summary"]["tiles"])
    flag = f'<span class="flag">{text("◆" + words.say_n("{n} signal.", "{n} signals.", signals))}</span> ' if signals else ""
    end = content.get("data_end")
    if content.get("replaced"):
        state = "replaced", words.say("replaced, data of {date}", date=words.date(date.fromisoformat(end))) if end else words.say("replaced")
    else:
        state = ("provisional", words.say("provisional")) if is_provisional else ("complete", words.say("complete"))
    label = link(_label(month, words), f"{month}/{content['pages'][0]['file']}")
    return _row(label, flag, content["summary"]["sentence"], tiles, width, state, words)


def _row(label: str, flag: str, sentence: str, tiles: Sequence[tuple[str, str, str]], width: int, state: tuple[str, str], words: Words) -> str:
    filled = [*tiles, *[("", words.number(None), "")] * (width - len(tiles))]
    cells = "".join(f'<td class="r">{text(value)}</td><td class="sp">{drawing}</td>' for _, value, drawing in filled)
    hollow = ' class="hol"' if state[0] in ("running", "provisional") else ""
    return (
        f'<tr><th scope="row" class="nw">{label}</th><td class="sen{"" if flag else " few"}">{flag}{text(sentence)}</td>{cells}'
        f'<td class="state"><span{hollow}>{text(state[1])}</span></td></tr>'
    )


def _drawn(tile: Manifest, currency: str, words: Words) -> tuple[str, str, str]:
    def said(value: float | None) -> str:
        if tile["kind"] == "money":
            return words.money(value, currency)
        return words.percent(value) if tile["kind"] == "rate" else words.number(value)

    name, value = words.translate(tile["name"]), said(tile["value"][-1])
    usual = {"low": said(tile["lower"][-1]), "high": said(tile["upper"][-1])}
    alt = words.say("{name}: {value}; usual {low} to {high}.", name=name, value=value, **usual)
    limits = {"low": tile["lower"], "mid": tile["centre"], "high": tile["upper"]}
    spark = Sparkline(tile["value"], **limits, signals=tile["signal"], alt=alt, is_provisional=tile["provisional"])
    return name, value, spark.svg(width=96, height=22, dots=False)


def _states(words: Words) -> str:
    states = [
        (words.say("complete"), words.say("Made after the month ended, from data that passed the checks.")),
        (words.say("provisional"), words.say("Too few months of history for its limits, or late records still expected; drawn hollow.")),
        (words.say("replaced"), words.say("Made again from later data; the date tells when.")),
        (words.say("running"), words.say("Not over; nothing is published.")),
    ]
    terms = "".join(f"<dt>{text(name)}</dt><dd>{text(meaning)}</dd>" for name, meaning in states)
    return f"<details><summary>{text(words.say('States of a month'))}</summary><dl>{terms}</dl></details>"
