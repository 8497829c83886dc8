"""The monthly batch: notebooks run side by side, numbers, lists and pages made, the month put in place as a whole."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import nbformat
from tqdm import tqdm

import kpi
from kpi import compute
from kpi.dataset.segments import parse_where
from kpi.errors import KpiError, RunError
from kpi.periods import Month, local_date
from kpi.presentation.language import Words
from kpi.report import archive, manifest, publish, quality, request
from kpi.report.html import render
from kpi.report.lists import csv_text
from kpi.report.notebook import normalised, prepared
from kpi.report.request import CHECKOUT, NOTEBOOKS, Request
from kpi.report.runner import DEADLINE, Executed, Runner, failures

Progress = Literal["none", "lines", "bars"]


def report(
    dataset: str | Path = "data/sample",
    *,
    month: str = "",
    lang: str = "",
    out: str | Path = "reports",
    where: str = "",
    each: str = "",
    only: Sequence[str] = (),
    jobs: int = 0,
    force: bool = False,
    progress: Progress = "none",
    notebooks: str | Path = NOTEBOOKS,
    deadline: float = DEADLINE,
    max_set_aside: float = quality.MAX_SET_ASIDE,
) -> list[Path]:
    """Publish a month: pages, numbers, lists and executed notebooks."""
    # What can be refused without reading the data is refused before.
    found = request.notebooks(Path(notebooks))
    chosen, conditions = request.chosen(only, found), parse_where(where)
    asked, words = Month.parse(month) if month else None, Words(lang) if lang else None
    data = kpi.load(dataset)
    quality.refuse(data, max_set_aside)
    asked = data.month(asked or "")
    whole = Request(
        data=data,
        label=request.label(Path(dataset), data),
        month=asked,
        words=words or Words(data.company.language),
        conditions={},
        out=Path(out),
        notebooks=found,
        only=chosen,
        force=force,
        runner=Runner(jobs or min(2, os.cpu_count() or 1), deadline, progress == "bars"),
        tell={"none": lambda line: None, "lines": _tell, "bars": _tell_above_bars}[progress],
    )
    if not each:
        return [_publish(whole.restricted(conditions))]
    return _publish_each(whole, [conditions | {each: value} for value in request.values(data, each, conditions)])


def _publish_each(whole: Request, parts: Sequence[dict[str, str]]) -> list[Path]:
    """One team's failure does not keep the others from their report; it is raised at the end."""
    published, failed = [], []
    for conditions in parts:
        try:
            published.append(_publish(whole.restricted(conditions)))
        except KpiError as error:
            failed.append((conditions, error))
    if failed:
        told = "; ".join(f"{', '.join(conditions.values())}: {error}" for conditions, error in failed)
        raise type(failed[0][1])(f"{told} ({len(published)} of {len(parts)} reports published)")
    return published


def _publish(asked: Request) -> Path:
    began, month = time.perf_counter(), str(asked.month)
    source = manifest.origin(asked.data, asked.notebooks, asked.month)
    mark = manifest.fingerprint(asked.parameters, source)
    with publish.reserved(asked.out, month) as place:
        old = manifest.read(place.final)
        kept = _unchanged(place, old) if old.get("fingerprint") == mark else []
        if kept and set(asked.only) <= set(kept) and not asked.force:
            asked.tell(f"{month}: unchanged; --force makes it again")
            first = old["pages"][0]["file"]
        else:
            executed, numbers = _executed(asked, place)
            notebooks = {item.name: normalised(item.notebook, _names(asked)) for item in executed}
            notebooks |= {name: nbformat.read(_executed_file(place.final, name), as_version=4) for name in kept if name not in notebooks}
            pages = _write_pages(asked, place, notebooks)
            _write_numbers(asked, place, numbers)
            # A month made again from the same stays what it was; from other data or by another version it replaces.
            replaced = old.get("replaced", False) if old.get("fingerprint") == mark else bool(old)
            told = {"replaced": replaced, "pages": pages, "summary": archive.summary(asked.data, asked.month, notebooks.get("pulse"))}
            timings = {item.name: item.seconds for item in executed} | {"total": time.perf_counter() - began}
            _write_manifest(asked, place, {"fingerprint": mark, **source}, told, timings)
            with publish.writing(place.final):
                place.swap()
            asked.tell(f"{month}: published in {time.perf_counter() - began:.1f} s")
            first = pages[0]["file"]
    publish_archive(asked.out, asked.words)
    return place.final / first


def _unchanged(place: publish.Place, old: Mapping) -> list[str]:
    """Pages that are still there, of a month made from the same."""
    names = [item["name"] for item in old["pages"] if (place.final / item["file"]).is_file()]
    return [name for name in names if _executed_file(place.final, name).is_file()]


def _executed_file(month: Path, name: str) -> Path:
    return month / "notebooks" / f"{name}.ipynb"


def publish_archive(out: Path, words: Words) -> None:
    """Make the page of all months again."""
    with publish.reserved_archive(out):
        publish.replace(out / "index.html", archive.page(out, words))


def _executed(asked: Request, place: publish.Place) -> tuple[list[Executed], dict]:
    """Run the notebooks; meanwhile this process computes the numbers and lists."""
    ready = {name: prepared(asked.notebooks[name], asked.words, tuple(asked.parameters)) for name in asked.only}
    executed = []
    with asked.runner.run(ready, asked.parameters | {"dataset": str(asked.dataset)}, asked.folder) as running:
        numbers = _numbers(asked)
        for item in running.results():
            executed.append(item)
            asked.tell(f"{asked.month} {item.name}: {'failed' if item.failure else 'done'} in {item.seconds:.1f} s")
    failed = [item for item in executed if item.failure]
    for item in failed:
        publish.write(place.failed / f"{item.name}.ipynb", nbformat.writes(item.notebook))
    if failed:
        raise RunError(f"{failures(failed)}; kept in {place.failed}, nothing of {asked.month} was published")
    return executed, numbers


def _numbers(asked: Request) -> dict:
    data, company = asked.data, asked.data.company
    table, gone = compute.metrics(data, asked.month), compute.missing(data, asked.month)
    return {
        "metrics": manifest.metrics(table, gone, asked.words, company.currency),
        "lists": {name: csv_text(rows, asked.words, company.timezone) for name, rows in compute.lists(data, asked.month).items()},
    }


def _write_pages(asked: Request, place: publish.Place, notebooks: Mapping[str, nbformat.NotebookNode]) -> list[dict]:
    """Lay the notebooks out as pages that link to each other; say which there are."""
    labels = {name: _title(notebooks[name] if name in notebooks else prepared(path, asked.words, ()), name) for name, path in asked.notebooks.items()}
    pages = [{"name": name, "label": labels[name], "file": _file(name)} for name in asked.notebooks if name in notebooks]
    company, month = asked.data.company.name, asked.words.sentence(asked.words.month(asked.month))
    for page in pages:
        nav = [(label, _file(name) if name in notebooks else "", name == page["name"]) for name, label in labels.items()]
        nav.append((asked.words.say("All months"), "../index.html", False))
        title = " · ".join(part for part in (month, page["label"], company) if part)
        notebook = notebooks[page["name"]]
        publish.write(_executed_file(place.staging, page["name"]), nbformat.writes(notebook) + "\n")
        html = render(notebook, words=asked.words, page=page["label"], title=title, company=company, nav=nav)
        publish.write(place.staging / page["file"], html)
    return pages


def _write_numbers(asked: Request, place: publish.Place, numbers: dict) -> None:
    publish.write(place.staging / manifest.METRICS, manifest.dumps(asked.parameters | numbers["metrics"]))
    for name, text in numbers["lists"].items():
        publish.write(place.staging / "lists" / f"{name}.csv", text)


def _write_manifest(asked: Request, place: publish.Place, source: dict, told: dict, timings: dict[str, float]) -> None:
    company = asked.data.company
    facts = {
        "company": company.name,
        "currency": company.currency,
        "simulated": company.simulated,
        "as_of": asked.data.as_of(asked.month),
        "data_end": local_date(asked.data.ends_at, company.timezone),
    }
    rounded = {name: round(seconds, 2) for name, seconds in timings.items()}
    content = asked.parameters | facts | told | source | {"quality": manifest.accounts(asked.data), "timings": rounded}
    publish.write(place.staging / manifest.FILE, manifest.dumps(content))


def _names(asked: Request) -> dict[str, str]:
    """Paths of this machine and what stands for them in what is published."""
    paths = {asked.dataset: asked.label, asked.data.folder: asked.label, asked.folder: "notebooks", CHECKOUT: "."}
    paths |= {Path(sys.prefix): "python", Path.home(): "~"}
    return {str(path): name for path, name in paths.items() if len(path.parts) > 1}


def _title(notebook: nbformat.NotebookNode, name: str) -> str:
    headings = [cell.source.partition("\n")[0] for cell in notebook.cells if cell.cell_type == "markdown"]
    return next((line[2:].strip() for line in headings if line.startswith("# ")), name.replace("_", " ").capitalize())


def _file(name: str) -> str:
    return "index.html" if name == "pulse" else f"{name}.html"


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _tell_above_bars(line: str) -> None:
    tqdm.write(line, file=sys.stderr)
