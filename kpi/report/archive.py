"""The page of all months, made again from what each published month says about itself."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import nbformat
import pandas as pd

from kpi import compute
from kpi.errors import MissingTable
from kpi.periods import Month
from kpi.presentation.blocks import Spark
from kpi.presentation.language import Words
from kpi.report import manifest
from kpi.report.html import render_archive

SHOWN = ("pipeline.won_value", "response.answered_within", "pipeline.opportunities")  # a column each
MONTHS = 12  # that a column's drawing goes back
_FOLDER = re.compile(r"\d{4}-(0[1-9]|1[0-2])")
_HEADING, _BAND = re.compile(r"<h1>(.*?)</h1>", re.DOTALL), re.compile(r'<p class="band">(.*?)</p>', re.DOTALL)


def summary(data, month: Month, pulse: nbformat.NotebookNode | None) -> dict:
    """Note down what the page of all months will say about a month."""
    series = {item.key: (item, table) for item in compute.CHAIN if (table := _months(data, month, item.key)) is not None}
    signals = sum(bool(table["signal"].iloc[-1]) for _, table in series.values() if len(table) and table["month"].iloc[-1] == str(month))
    tiles = [_tile(*series[key]) for key in SHOWN if key in series and len(series[key][1])]
    shown = "".join(_html(pulse)) if pulse is not None else ""
    return {"sentence": _first(_HEADING, shown), "band": _first(_BAND, shown), "signals": signals, "tiles": tiles}


def page(out: Path, words: Words) -> str:
    """Lay out the page of all months from the months' manifests."""
    folders = sorted((path for path in out.iterdir() if path.is_dir() and _FOLDER.fullmatch(path.name)), reverse=True)
    months = [(path.name, made) for path in folders if (made := manifest.read(path)).get("pages")]
    rows = [_row(name, made, words) for name, made in months]
    if not months:
        return render_archive([], words=words, title=words.say("All months"), company="", nav=[])
    name, newest = months[0]
    company = newest["company"]
    nav = [(item["label"], f"{name}/{item['file']}", False) for item in newest["pages"]] + [(words.say("All months"), "index.html", True)]
    band = next((made["summary"]["band"] for _, made in months if made["summary"]["band"]), "")
    title = f"{words.say('All months')} · {company}"
    return render_archive([_running(name, words), *rows], words=words, title=title, company=company, nav=nav, band=band)


def _months(data, month: Month, key: str) -> pd.DataFrame | None:
    try:
        return compute.months(data, month, key)
    except MissingTable:
        return None


def _tile(item: compute.Headline, table: pd.DataFrame) -> dict:
    columns = {name: table[name].tail(MONTHS).tolist() for name in ("month", "value", "lower", "centre", "upper", "signal")}
    return {"kpi": item.key, "kind": item.kind, "name": item.name, "provisional": bool(table["provisional"].iloc[-1])} | columns


def _html(notebook: nbformat.NotebookNode) -> list[str]:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [output["data"]["text/html"] for output in outputs if "text/html" in output.get("data", {})]


def _first(pattern: re.Pattern, markup: str) -> str:
    found = pattern.search(markup)
    return html.unescape(re.sub(r"<[^>]+>", "", found[1])).strip() if found else ""


def _row(name: str, made: Mapping, words: Words) -> dict:
    told, provisional = made["summary"], any(tile["provisional"] for tile in made["summary"]["tiles"])
    state = "replaced" if made.get("replaced") else "provisional" if provisional else "complete"
    labels = {"complete": words.say("complete"), "provisional": words.say("provisional"), "replaced": _replaced(made, words)}
    return {
        "month": name,
        "label": words.sentence(words.month(name)),
        "href": f"{name}/{made['pages'][0]['file']}",
        "sentence": told["sentence"],
        "signals": told["signals"],
        "tiles": [_drawn(tile, made["currency"], words) for tile in told["tiles"]],
        "state": state,
        "state_label": labels[state],
    }


def _running(newest: str, words: Words) -> dict:
    month = str(Month.parse(newest).shift(1))
    return {
        "month": month,
        "label": words.sentence(words.month(month)),
        "href": "",
        "sentence": words.say("Made when the month is complete."),
        "signals": 0,
        "tiles": [],
        "state": "running",
        "state_label": words.say("running"),
    }


def _replaced(made: Mapping, words: Words) -> str:
    end = made.get("data_end")
    return words.say("replaced, data of {date}", date=words.date(date.fromisoformat(end))) if end else words.say("replaced")


def _drawn(tile: Mapping, currency: str, words: Words) -> tuple[str, str, Spark]:
    def said(value: float | None) -> str:
        if tile["kind"] == "money":
            return words.money(value, currency)
        return words.percent(value) if tile["kind"] == "rate" else words.number(value)

    name, value = words.translate(tile["name"]), said(tile["value"][-1])
    usual = {"low": said(tile["lower"][-1]), "high": said(tile["upper"][-1])}
    alt = words.say("{name}: {value}; usual {low} to {high}.", name=name, value=value, **usual)
    limits = {"low": tile["lower"], "mid": tile["centre"], "high": tile["upper"]}
    return name, value, Spark(values=_known(tile["value"]), signals=tile["signal"], alt=alt, is_provisional=tile["provisional"], **limits)


def _known(values: list) -> list[float]:
    return [float("nan") if value is None else value for value in values]
