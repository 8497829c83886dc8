"""The monthly batch: notebooks run side by side, numbers, lists and pages made, the month put in place as a whole."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Literal

import nbformat
from tqdm import tqdm

import kpi
from kpi import compute
from kpi.dataset.segments import parse_where
from kpi.errors import FaultError, KpiError, RunError
from kpi.periods import Month, local_date
from kpi.presentation.language import Words
from kpi.report import archive, manifest, publish, quality
from kpi.report.html import render
from kpi.report.lists import csv_text
from kpi.report.notebooks import Executed, Runner, failures, faults_of, normalised, prepared
from kpi.report.request import CHECKOUT, NOTEBOOKS, Request, label_of, notebooks_of, selected, values_of

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
    today: str | date = "",
    progress: Progress = "none",
    notebooks: str | Path = NOTEBOOKS,
    max_set_aside: float = quality.MAX_SET_ASIDE,
) -> list[Path]:
    """Publish a month: pages, numbers, lists and executed notebooks."""
    # What can be refused without reading the data is refused before.
    found = notebooks_of(Path(notebooks))
    pages, conditions = selected(only, found), parse_where(where)
    chosen, words = month and Month.parse(month), Words(lang) if lang else None
    data = kpi.load(dataset, today=today)
    quality.refuse(data, max_set_aside)
    whole = Request(
        data=data,
        label=label_of(Path(dataset), data),
        month=data.month(chosen),
        words=words or Words(data.company.language),
        conditions={},
        out=Path(out),
        notebooks=found,
        only=pages,
        force=force,
        runner=Runner(jobs or min(2, os.cpu_count() or 1), bars=progress == "bars"),
        is_quiet=progress == "none",
    )
    if not each:
        return [_publish(whole.restricted(conditions))]
    return _publish_each(whole, [conditions | {each: value} for value in values_of(data, each, conditions)])


def _publish_each(whole: Request, parts: Sequence[dict[str, str]]) -> list[Path]:
    """One team's failure does not keep the others from their report; it is raised at the end."""
    published: list[Path] = []
    failed: list[tuple[str, KpiError]] = []
    for conditions in parts:
        try:
            published.append(_publish(whole.restricted(conditions)))
        except KpiError as error:
            published += getattr(error, "pages", ())
            failed.append((", ".join(conditions.values()), error))
    if failed:
        reasons = "; ".join(f"{name}: {error}" for name, error in failed)
        first, said = failed[0][1], f"{reasons} ({len(published)} of {len(parts)} reports published)"
        raise FaultError(said, published) if isinstance(first, FaultError) else type(first)(said)
    return published


def _publish(request: Request) -> Path:
    began, month, faults = time.perf_counter(), str(request.month), dict[str, str]()
    source = manifest.origin(request.data, request.notebooks, request.month)
    fingerprint = manifest.fingerprint(request.parameters, source)
    with publish.reserved(request.out, month) as folder:
        old = manifest.read(folder.final)
        is_same = old.get("fingerprint") == fingerprint and not old.get("faults")
        kept = _unchanged(folder, old) if is_same else []
        if kept and set(request.only) <= set(kept) and not request.force:
            _say(request, f"{month}: unchanged; --force makes it again")
            first = old["pages"][0]["file"]
        else:
            executed = _executed(request, folder)
            faults = compute.faults(request.data) | faults_of(executed)
            notebooks = {item.name: normalised(item.notebook, _names(request)) for item in executed}
            notebooks |= {name: nbformat.read(_executed_file(folder.final, name), as_version=4) for name in kept if name not in notebooks}
            pages = _write_pages(request, folder, notebooks)
            # A month made again from the same stays what it was; from other data or by another version it replaces.
            about = {"replaced": old.get("replaced", False) if is_same else bool(old), "pages": pages}
            about["summary"] = archive.summary(request.data, request.month, notebooks.get("pulse"))
            timings = {item.name: item.seconds for item in executed} | {"total": time.perf_counter() - began}
            about["faults"] = [trace.partition("\n")[0] for trace in faults.values()]
            _write_manifest(request, folder, about | {"fingerprint": fingerprint, **source}, timings)
            with publish.writing(folder.final):
                folder.swap()
            _say(request, f"{month}: published in {time.perf_counter() - began:.1f} s")
            first = pages[0]["file"]
    with publish.reserved_archive(request.out):
        publish.replace(request.out / "index.html", archive.page(request.out, request.words))
    if faults:
        publish.write(folder.failed / "faults.txt", "\n\n".join(f"{what}: {trace}" for what, trace in faults.items()))
        raise FaultError(f"{month} was published without {', '.join(faults)}; the trace is in {folder.failed / 'faults.txt'}", [folder.final / first])
    return folder.final / first


def _unchanged(folder: publish.MonthFolder, old: Mapping[str, Any]) -> list[str]:
    """Pages that are still there, of a month made from the same."""
    names = [item["name"] for item in old["pages"] if (folder.final / item["file"]).is_file()]
    return [name for name in names if _executed_file(folder.final, name).is_file()]


def _executed_file(month: Path, name: str) -> Path:
    return month / "notebooks" / f"{name}.ipynb"


def _executed(request: Request, folder: publish.MonthFolder) -> list[Executed]:
    """Run the notebooks; meanwhile this process computes the numbers and lists."""
    ready = {name: prepared(request.notebooks[name], request.words, tuple(request.parameters)) for name in request.only}
    executed = []
    with request.runner.run(ready, request.parameters | {"dataset": str(request.dataset)}, request.folder) as running:
        _write_numbers(request, folder)
        for item in running:
            executed.append(item)
            _say(request, f"{request.month} {item.name}: {'failed' if item.failure else 'done'} in {item.seconds:.1f} s")
    failed = [item for item in executed if item.failure]
    for item in failed:
        publish.write(folder.failed / f"{item.name}.ipynb", nbformat.writes(item.notebook))
    if failed:
        raise RunError(f"{failures(failed)}; kept in {folder.failed}, nothing of {request.month} was published")
    return executed


def _write_numbers(request: Request, folder: publish.MonthFolder) -> None:
    data, month, words = request.data, request.month, request.words
    numbers = manifest.metrics(compute.metrics(data, month), compute.missing(data, month), words, data.company.currency)
    publish.write(folder.staging / manifest.METRICS, manifest.dumps(request.parameters | numbers))
    for name, rows in compute.lists(data, month).items():
        publish.write(folder.staging / "lists" / f"{name}.csv", csv_text(rows, words, data.company.timezone))


def _write_pages(request: Request, folder: publish.MonthFolder, notebooks: Mapping[str, nbformat.NotebookNode]) -> list[dict[str, str]]:
    """Lay the notebooks out as pages that link to each other; say which there are."""
    words, company = request.words, request.data.company.name
    labels = {name: _title(notebooks[name] if name in notebooks else prepared(path, words, ()), name) for name, path in request.notebooks.items()}
    pages = [{"name": name, "label": labels[name], "file": _file(name)} for name in request.notebooks if name in notebooks]
    month = words.sentence(words.month(request.month))
    for page in pages:
        nav = [(label, _file(name) if name in notebooks else "", name == page["name"]) for name, label in labels.items()]
        nav.append((words.say("All months"), "../index.html", False))
        title = " · ".join(part for part in (month, page["label"], company) if part)
        notebook = notebooks[page["name"]]
        publish.write(_executed_file(folder.staging, page["name"]), nbformat.writes(notebook) + "\n")
        publish.write(folder.staging / page["file"], render(notebook, words=words, page=page["label"], title=title, company=company, nav=nav))
    return pages


def _write_manifest(request: Request, folder: publish.MonthFolder, about: dict[str, Any], timings: dict[str, float]) -> None:
    data, company = request.data, request.data.company
    facts = {
        "company": company.name,
        "currency": company.currency,
        "simulated": company.simulated,
        "as_of": data.as_of(request.month),
        "data_end": local_date(data.ends_at, company.timezone),
    }
    rounded = {name: round(seconds, 2) for name, seconds in timings.items()}
    content = request.parameters | facts | about | {"quality": manifest.accounts(data), "timings": rounded}
    publish.write(folder.staging / manifest.FILE, manifest.dumps(content))


def _names(request: Request) -> dict[str, str]:
    """Paths of this machine and what stands for them in what is published."""
    paths = {request.dataset: request.label, request.data.folder or Path(): request.label, request.folder: "notebooks", CHECKOUT: "."}
    paths |= {Path(sys.prefix): "python", Path.home(): "~"}
    return {str(path): name for path, name in paths.items() if len(path.parts) > 1}


def _title(notebook: nbformat.NotebookNode, name: str) -> str:
    headings = [cell.source.partition("\n")[0] for cell in notebook.cells if cell.cell_type == "markdown"]
    return next((line[2:].strip() for line in headings if line.startswith("# ")), name.replace("_", " ").capitalize())


def _file(name: str) -> str:
    return "index.html" if name == "pulse" else f"{name}.html"


def _say(request: Request, line: str) -> None:
    if not request.is_quiet:
        tqdm.write(line, file=sys.stderr)  # above the bars, where there are any
