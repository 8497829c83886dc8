"""The batch: what can go wrong with a notebook or a disk, what is published, and that the same inputs give the same bytes."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pandas as pd
import pytest
from companies import first_quick
from hypothesis import given
from hypothesis import strategies as st

from kpi.errors import BusyError, DataError, FaultError, ParameterError, RunError, WriteError
from kpi.presentation.blocks import END
from kpi.presentation.language import Words
from kpi.report import archive, manifest, publish, quality, request
from kpi.report.batch import report
from kpi.report.lists import csv_text
from kpi.report.notebooks import Runner, normalised, prepared

PARAMETERS = 'dataset = "data/sample"\nmonth = ""\nlang = "en"\nwhere = ""\ntoday = ""'
OPENING = "from kpi.presentation import blocks\nblocks.Opening(month, f'{lang} {where}: the answer', 'Lede.')"
CLOSING = "blocks.Closing(['Rows read.'])"
LAST = f"from IPython.display import HTML\nHTML('{END}')"
EN, FR = Words("en"), Words("fr")


def notebook(*sources: str, title: str = "Leads") -> nbformat.NotebookNode:
    """A small notebook: title, parameters, then the given code cells."""
    v4 = nbformat.v4
    made = v4.new_notebook(metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}})
    made.cells = [v4.new_markdown_cell(f"# {title}"), v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})]
    made.cells += [v4.new_markdown_cell("## How many?\n\nText."), *map(v4.new_code_cell, sources)]
    for place, cell in enumerate(made.cells):
        cell["id"] = f"cell-{place}"
    return made


def folder_of(path: Path, **notebooks: nbformat.NotebookNode) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for name, made in notebooks.items():
        nbformat.write(made, path / f"{name}.ipynb")
    return path


@pytest.fixture(scope="module")
def company(tmp_path_factory) -> Path:
    """A data set of a few leads and two teams, one of them with a hostile name; complete months are September and October 2026."""
    folder = tmp_path_factory.mktemp("company")
    toml = '[company]\nname = "A & B <i>"\ncurrency = "EUR"\ntimezone = "Europe/Paris"\nexported_at = "2026-11-03"\n'
    (folder / "kpi.toml").write_text(toml, "utf-8")
    rows = [f"L{i},2026-{9 + i // 15:02d}-{1 + i % 15:02d}T10:00:00Z,Web,{'Ann' if i % 3 else '=cmd()'}" for i in range(45) if i < 30]
    (folder / "leads.csv").write_text("\n".join(["lead_id,created_at,source,owner", "L-0,2026-08-31T22:30:00Z,Web,Ann", *rows]) + "\n", "utf-8")
    (folder / "owners.csv").write_text("owner,team\nAnn,Nord\n=cmd(),../Süd: 1\n", "utf-8")
    return folder


@pytest.fixture(scope="module")
def notebooks(tmp_path_factory) -> Path:
    noisy = "import sys\nprint(dataset, object())\nprint('more', file=sys.stdout, flush=True)"
    pulse = notebook(OPENING, noisy, CLOSING, title="Pulse")
    return folder_of(tmp_path_factory.mktemp("notebooks"), pulse=pulse, extra=notebook(OPENING, CLOSING, title="Extra"))


@pytest.fixture(scope="module")
def published(company, notebooks, tmp_path_factory) -> Path:
    """October published once, for the tests that only look."""
    out = tmp_path_factory.mktemp("out")
    assert report(company, notebooks=notebooks, out=out, lang="en") == [out / "2026-10" / "index.html"]
    return out


# ---- running notebooks ----


def test_a_notebook_counts_only_when_it_ran_to_its_closing_mark():
    sick = {
        "sound": notebook(LAST),
        "raises": notebook("1 / 0", LAST),
        "leaves": notebook("import sys; sys.exit(0)", LAST),
        "dies": notebook("import os; os._exit(0)", LAST),
        "unmarked": notebook("1"),
        "marked_early": notebook(LAST, "1"),
    }
    with Runner(jobs=2).run(sick, {"month": "2026-10"}, Path.cwd()) as running:
        found = {item.name: item for item in running}
    failures = {name: item.failure for name, item in found.items()}
    early = "ended early: its last cell did not leave the closing mark"
    assert failures == {
        "sound": "",
        "raises": "ZeroDivisionError: division by zero",
        "leaves": early,
        "dies": "its kernel died (DeadKernelError)",
        "unmarked": early,
        "marked_early": early,
    }
    assert any(output.output_type == "error" for cell in found["raises"].notebook.cells for output in cell.get("outputs", []))


@pytest.mark.slow
def test_at_its_deadline_a_notebook_ends_with_all_it_started():
    mark = f"6{os.getpid()}"
    sleeping = notebook(f"import subprocess\nsubprocess.run(['sleep', '{mark}'])", LAST)
    with Runner(deadline=2.5).run({"slow": sleeping}, {}, Path.cwd()) as running:
        (item,) = running
    assert item.failure == "did not end within 2.5 s"
    assert item.seconds < 10
    assert not sleepers(mark)


def sleepers(mark: str) -> list[str]:
    import psutil

    return [process.name() for process in psutil.process_iter() if mark in _command(process)]


def _command(process) -> list[str]:
    import psutil

    try:
        return process.cmdline() if process.status() != psutil.STATUS_ZOMBIE else []
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return []


def test_the_kernel_does_not_see_what_the_user_set_up(monkeypatch, tmp_path):
    (tmp_path / "profile_default" / "startup").mkdir(parents=True)
    (tmp_path / "profile_default" / "startup" / "mine.py").write_text("month = 'mine'")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    monkeypatch.setenv("MPLBACKEND", "agg")
    source = "import os, sys\nassert os.environ['PYTHONHASHSEED'] == '0' and 'inline' in os.environ['MPLBACKEND']\nassert month == 'a', month"
    where = f"assert os.path.samefile(os.getcwd(), {str(tmp_path)!r}) and sys.executable == {sys.executable!r}"
    with Runner().run({"here": notebook(source, where, LAST)}, {"month": "a"}, tmp_path) as running:
        (item,) = running
    assert item.failure == ""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read as a notebook"),
        (nbformat.writes(nbformat.v4.new_notebook()), "0 cells tagged parameters, it needs one"),
        (nbformat.writes(notebook()).replace("month = ", "mnth = "), "does not set month in its cell tagged parameters"),
        (nbformat.writes(notebook()).replace("month = ", "month == = "), "is not Python"),
    ],
)
def test_a_malformed_notebook_is_refused_before_any_kernel_starts(tmp_path, content, message):
    path = tmp_path / "bad.ipynb"
    path.write_text(content)
    with pytest.raises(RunError, match=message):
        prepared(path, EN, ("dataset", "month"))


def test_text_of_a_notebook_is_translated_before_it_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(Words, "translate", lambda self, text: {"# Leads": "# Prospects"}.get(text, text))
    folder_of(tmp_path, leads=notebook(LAST))
    assert [cell.source for cell in prepared(tmp_path / "leads.ipynb", FR, ()).cells][:2] == ["# Prospects", PARAMETERS]


def test_what_differs_from_run_to_run_is_taken_out():
    made = notebook("x")
    made.metadata["papermill"] = {"start_time": "2026-11-01"}
    cell = made.cells[-1]
    cell.metadata.update({"papermill": {"duration": 1}, "execution": {"iopub.execute_input": "2026-11-01"}, "tags": ["kept"]})
    stream = nbformat.v4.new_output
    cell.outputs = [
        stream("stream", name="stdout", text="/home/me/data: <A at 0x7f12ab34cd56>"),
        stream("stream", name="stdout", text="\n/home/me/data/x /home/me/other /scratch/ipykernel_12/345.py:1: Warning"),
        stream("stream", name="stderr", text="e"),
        stream(
            "display_data",
            data={"text/plain": "<B at 0x7f12ab34cd56>", "text/html": "<b>/home/me/data</b> 0x7f12ab34cd56", "image/png": "/home/me/data"},
        ),
    ]
    before = nbformat.writes(made)
    clean = normalised(made, {"/home/me": "~", "/home/me/data": "data/mine"})
    assert nbformat.writes(made) == before, "its input is left alone"
    assert "papermill" not in clean.metadata
    assert clean.cells[-1].metadata == {"tags": ["kept"]}
    out, err, shown = clean.cells[-1].outputs
    assert out.text == "data/mine: <A at 0x0>\ndata/mine/x ~/other cell.py:1: Warning"
    assert err.text == "e"
    assert shown.data == {"text/plain": "<B at 0x0>", "text/html": "<b>data/mine</b> 0x7f12ab34cd56", "image/png": "/home/me/data"}


# ---- publication ----


def test_a_run_publishes_pages_numbers_lists_and_notebooks(published):
    month = published / "2026-10"
    names = {path.relative_to(published).as_posix() for path in published.rglob("*") if path.is_file() and not path.name.startswith(".")}
    pages = {"index.html", "2026-10/index.html", "2026-10/extra.html", "2026-10/notebooks/pulse.ipynb", "2026-10/notebooks/extra.ipynb"}
    assert names >= pages | {"2026-10/metrics.json", "2026-10/manifest.json", "2026-10/lists/set_aside.csv"}
    page = (month / "index.html").read_text("utf-8")
    assert "en : the answer" in page
    assert "A &amp; B &lt;i&gt;" in page
    assert 'href="extra.html"' in page
    assert 'href="../index.html"' in page
    assert "Rows read." in page
    assert "en : the answer" in (published / "index.html").read_text("utf-8")
    numbers = json.loads((month / "metrics.json").read_text("utf-8"))
    leads = next(row for row in numbers["rows"] if row["kpi"] == "pipeline.leads")
    assert leads["value"] == 15
    assert leads["window_start"] == "2026-10-01"
    assert numbers["kpis"]["pipeline.leads"]["definition"].startswith("Leads received in the month")
    assert {"kpi", "reason"} == set(numbers["missing"][0])
    told = json.loads((month / "manifest.json").read_text("utf-8"))
    assert told["quality"]["tables"]["leads"]["used"] == 31
    assert {item["path"] for item in told["inputs"]} == {"kpi.toml", "leads.csv", "owners.csv"}


def test_nothing_published_names_this_machine(published, company, notebooks):
    everything = b"".join(path.read_bytes() for path in published.rglob("*") if path.is_file())
    for path in (company, notebooks, published, Path.home(), Path(sys.prefix), request.CHECKOUT):
        assert str(path).encode() not in everything
    assert os.uname().nodename.encode() not in everything if hasattr(os, "uname") and len(os.uname().nodename) > 5 else True


def test_the_same_inputs_give_the_same_bytes(published, company, notebooks, tmp_path):
    report(company, notebooks=notebooks, out=tmp_path, lang="en", jobs=1)
    first, second = (tree(out) for out in (published, tmp_path))
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []


@pytest.mark.slow
def test_the_sample_gives_the_same_bytes_whatever_the_number_of_kernels(root, tmp_path):
    for jobs in (1, 2):
        command = [sys.executable, "-W", "error", "-m", "kpi", "report", "data/sample", "--jobs", str(jobs), "--out", str(tmp_path / str(jobs))]
        subprocess.run(command, cwd=root, check=True)
    first, second = tree(tmp_path / "1"), tree(tmp_path / "2")
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []
    assert not any(str(path).encode() in content for content in first.values() if isinstance(content, bytes) for path in (root, tmp_path))


def tree(out: Path) -> dict[str, bytes]:
    """All files; of the manifest all but the timings."""
    found = {path.relative_to(out).as_posix(): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file() and path.suffix != ".lock"}
    for name in found:
        if name.endswith("manifest.json"):
            found[name] = {key: value for key, value in json.loads(found[name]).items() if key != "timings"}
    return found


def test_an_unchanged_month_is_left_alone_and_force_makes_it_again(company, notebooks, tmp_path, capsys):
    make = {"notebooks": notebooks, "out": tmp_path, "lang": "fr", "only": ["extra"], "progress": "lines"}
    assert report(company, **make) == [tmp_path / "2026-10" / "extra.html"]
    page = tmp_path / "2026-10" / "extra.html"
    stamp = page.stat().st_mtime_ns
    report(company, **make)
    assert page.stat().st_mtime_ns == stamp
    assert "2026-10: unchanged; --force makes it again" in capsys.readouterr().err
    before = tree(tmp_path)
    report(company, **make, force=True)
    assert page.stat().st_mtime_ns > stamp
    assert tree(tmp_path) == before
    report(company, **make | {"only": ["pulse"]})  # joins what was made from the same
    told = manifest.read(tmp_path / "2026-10")
    assert [item["name"] for item in told["pages"]] == ["pulse", "extra"]
    assert told["replaced"] is False
    assert 'href="index.html"' in page.read_text("utf-8")
    report(company, **make | {"lang": "en"})  # other inputs: the month starts anew
    told = manifest.read(tmp_path / "2026-10")
    assert [item["name"] for item in told["pages"]] == ["extra"]
    assert told["replaced"] is True


def test_a_failed_notebook_leaves_the_published_month_alone_and_is_kept(company, tmp_path):
    out, folder = tmp_path / "out", tmp_path / "notebooks"
    folder_of(folder, pulse=notebook(OPENING, CLOSING))
    report(company, notebooks=folder, out=out)
    before = tree(out)
    folder_of(folder, pulse=notebook("raise ValueError('no <b>leads</b>\\nat all')", LAST))
    with pytest.raises(RunError, match=r"pulse.ipynb ValueError: no <b>leads</b> at all; kept in .*2026-10, nothing of 2026-10 was published"):
        report(company, notebooks=folder, out=out)
    kept = out / "failed" / "2026-10" / "pulse.ipynb"
    assert "no <b>leads</b>" in kept.read_text("utf-8")
    assert {name: content for name, content in tree(out).items() if not name.startswith("failed/")} == before
    folder_of(folder, pulse=notebook(OPENING, CLOSING, title="Mended"))
    report(company, notebooks=folder, out=out)
    assert not kept.exists()


def test_a_fault_of_the_kit_takes_its_number_and_its_section_but_not_the_month(company, tmp_path, monkeypatch):
    def broken(*_, **__):
        raise IndexError("<b>list index</b>")

    monkeypatch.setattr("kpi.pipeline.leads_created", broken)
    sections = (
        "import kpi\nfrom kpi import compute, pages\ndata = kpi.load(dataset)\nabout = pages.about(data, month, lang)",
        'with pages.section(about, "pulse"):\n    found = [][1]',
        "with pages.section(about):\n    print(found)",
        "with pages.section(about):\n    print('this part', 'stands')",
        'pages.closing(about, data.row_ledger, tables=["leads"], faults=compute.faults(data))',
    )
    out, folder = tmp_path / "out", folder_of(tmp_path / "notebooks", pulse=notebook(*sections))
    for _ in range(2):  # the second run makes the month again: nothing is "unchanged" about it
        with pytest.raises(FaultError, match=r"2026-10 was published without pipeline.leads, pulse\.ipynb .*faults\.txt") as raised:
            report(company, notebooks=folder, out=out, lang="en")
        assert raised.value.status == 1
        assert raised.value.pages == [out / "2026-10" / "index.html"]
    trace = (out / "failed" / "2026-10" / "faults.txt").read_text("utf-8")
    assert "<b>list index</b>" in trace
    assert "found = [][1]" in trace
    assert "NameError" not in trace, "what rests on a missing number is no fault of its own"
    page = (out / "2026-10" / "index.html").read_text("utf-8")
    assert "Pulse: not known." in page
    assert "a fault of the kit (IndexError)" in page
    assert "it rests on a number that is missing above" in page
    assert "this part stands" in page
    assert "list index" not in page
    told = json.loads((out / "2026-10" / "metrics.json").read_text("utf-8"))
    reasons = {item["kpi"]: item["reason"] for item in told["missing"]}
    assert reasons["pipeline.leads"].startswith("a fault of the kit (IndexError")
    assert len(manifest.read(out / "2026-10")["faults"]) == 2
    assert "vnd.kpi.faults" not in (out / "2026-10" / "notebooks" / "pulse.ipynb").read_text("utf-8")
    monkeypatch.undo()
    folder_of(folder, pulse=notebook(OPENING, CLOSING))
    report(company, notebooks=folder, out=out)
    assert not (out / "failed" / "2026-10").exists()


@pytest.mark.slow
def test_each_team_has_a_folder_and_one_failure_does_not_stop_the_others(company, tmp_path):
    refuses_nord = folder_of(tmp_path / "notebooks", pulse=notebook("assert 'Nord' not in where, where", OPENING, CLOSING))
    with pytest.raises(RunError, match=r"Nord: pulse.ipynb AssertionError: team=Nord; .* \(1 of 2 reports published\)"):
        report(company, notebooks=refuses_nord, out=tmp_path / "out", each="team")
    (folder,) = [path for path in (tmp_path / "out").iterdir() if (path / "2026-10").is_dir()]
    assert re.fullmatch(r"team=.._Süd_ 1-[0-9a-f]{6}", folder.name), "a team's name is no path"
    told = manifest.read(folder / "2026-10")
    assert told["where"] == "team=../Süd: 1"
    assert told["summary"]["sentence"] == "en team=../Süd: 1: the answer"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"only": ["pulze"]}, "there is no notebook 'pulze'; did you mean 'pulse'"),
        ({"lang": "de"}, "language 'de' is unknown"),
        ({"month": "2026-13"}, "'2026-13' is not a month"),
        ({"where": "teem=Nord"}, "'teem=Nord' is not understood"),
        ({"where": "team=Nrod"}, "team = 'Nrod'.*did you mean 'Nord'"),
        ({"each": "team", "where": "team=Nord"}, "not both"),
        ({"each": "owner"}, "each 'owner' is not understood"),
    ],
)
def test_a_wrong_argument_is_told_before_anything_is_made(company, notebooks, tmp_path, wrong, message):
    with pytest.raises(ParameterError, match=message):
        report(company, **{"notebooks": notebooks, "out": tmp_path / "out", **wrong})
    assert not (tmp_path / "out").exists()


def test_a_month_that_the_data_do_not_cover_is_refused(company, notebooks, tmp_path):
    with pytest.raises(DataError, match="the data do not cover 2026-11: complete months go from 2026-09 to 2026-10"):
        report(company, notebooks=notebooks, out=tmp_path / "out", month="2026-11")
    assert not (tmp_path / "out").exists()


def test_two_runs_do_not_make_the_same_month(tmp_path):
    with publish.reserved(tmp_path, "2026-10"):
        other = "from kpi.report import publish\nfrom pathlib import Path\nwith publish.reserved(Path('.'), '2026-10'): pass"
        ended = subprocess.run([sys.executable, "-c", other], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert "BusyError: another run is making 2026-10" in ended.stderr
        with publish.reserved(tmp_path, "2026-09"):
            pass
        with pytest.raises(BusyError, match="wait for it to end"), publish.reserved(tmp_path, "2026-10"):
            pass
    with publish.reserved(tmp_path, "2026-10"):
        pass


def test_a_folder_that_cannot_be_written_is_told_before_any_kernel_starts(company, notebooks, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match=r"file.* cannot be written: .*; check the folder given by --out"):
        report(company, notebooks=notebooks, out=tmp_path / "file" / "reports")
    (tmp_path / ".2026-10.new").write_text("in the way")
    with pytest.raises(WriteError, match="cannot be written"), publish.reserved(tmp_path, "2026-10"):
        pass


def test_a_full_disk_leaves_no_half_month(tmp_path, monkeypatch):
    def full(self: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device", str(self))

    with publish.reserved(tmp_path, "2026-10") as place:
        publish.write(place.staging / "a", "old")
        place.swap()
    with pytest.raises(WriteError, match="No space left on device"), publish.reserved(tmp_path, "2026-10") as place:
        monkeypatch.setattr(Path, "write_bytes", full)
        publish.write(place.staging / "a", "new")
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".lock"] == ["2026-10"]
    assert (tmp_path / "2026-10" / "a").read_text() == "old"


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_a_run_cut_off_between_the_renames_is_repaired_by_the_next(tmp_path, monkeypatch, renames):
    """As a power cut would: no handler of the dying run does anything."""
    with publish.reserved(tmp_path, "2026-10") as place:
        publish.write(place.staging / "a", "old")
        place.swap()
    publish.write(place.staging / "a", "new")
    for source, target in ((place.final, place.former), (place.staging, place.final))[:renames]:
        source.rename(target)
    with publish.reserved(tmp_path, "2026-10"):
        assert (place.final / "a").read_text() == ("new" if renames == 2 else "old")
        assert not place.former.exists()
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".lock"] == ["2026-10"]


def test_a_swap_that_fails_half_way_puts_the_old_month_back(tmp_path, monkeypatch):
    rename = Path.rename

    def stubborn(self: Path, target: Path) -> Path:
        if self.name.endswith(".new"):
            raise PermissionError(13, "in use", str(self))
        return rename(self, target)

    with publish.reserved(tmp_path, "2026-10") as place:
        publish.write(place.staging / "a", "old")
        place.swap()
    monkeypatch.setattr(Path, "rename", stubborn)
    with pytest.raises(PermissionError), publish.reserved(tmp_path, "2026-10") as place:
        publish.write(place.staging / "a", "new")
        place.swap()
    assert (tmp_path / "2026-10" / "a").read_text() == "old"


@pytest.mark.parametrize(("number", "status"), first_quick([(signal.SIGTERM, 143), (signal.SIGINT, 130)]))
@pytest.mark.skipif(os.name != "posix", reason="Windows has no such signals")
def test_an_interrupted_run_publishes_nothing_and_leaves_no_process(company, tmp_path, number, status):
    mark = f"7{os.getpid()}{status}"
    begun = tmp_path / "begun"
    source = f"from pathlib import Path\nimport subprocess\nPath({str(begun)!r}).touch()\nsubprocess.run(['sleep', '{mark}'])"
    folder = folder_of(tmp_path / "notebooks", pulse=notebook(source, CLOSING))
    code = (
        "import sys\nfrom kpi.report import batch\nfrom kpi.__main__ import main\n"
        f"batch.report.__kwdefaults__['notebooks'] = {str(folder)!r}\nmain(sys.argv[1:])"
    )
    command = [sys.executable, "-c", code, "report", str(company), "--out", str(tmp_path / "out")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while not begun.exists() and time.monotonic() < until and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(number)
    _, told = process.communicate(timeout=30)
    assert process.returncode == status, told
    assert told.splitlines()[-1].endswith("nothing half published")
    assert "Traceback" not in told
    assert [path.name for path in (tmp_path / "out").iterdir() if path.suffix != ".lock"] == []
    assert not sleepers(mark)


# ---- lists ----

HOSTILE = ["=1+1", "+33 1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1", '=cmd|"/c calc"!A0', 'a";=1', "a,=1", "é\x00"]


@pytest.mark.parametrize("words", [EN, FR])
def test_no_text_of_a_list_is_taken_for_a_formula(words):
    table = pd.DataFrame({"name": HOSTILE, "=header": 1})
    rows = list(csv.reader(io.StringIO(csv_text(table, words, "UTC").removeprefix("\ufeff"), newline=""), delimiter=";" if words is FR else ","))
    assert rows[0] == ["name", "'=header"]
    assert [row[0] for row in rows[1:]] == [f"'{text}" if text[0] in "=+-@\t\r\n\uff1d" else text for text in HOSTILE]


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=8), max_size=5))
def test_any_text_comes_back_from_a_list(texts):
    lines = csv_text(pd.DataFrame({"text": pd.Series(texts, dtype=object)}), EN, "UTC")
    (_, *cells) = [row[0] if row else "" for row in csv.reader(io.StringIO(lines.removeprefix("\ufeff"), newline=""))]
    assert [cell.removeprefix("'") for cell in cells] == [text.removeprefix("'") for text in texts]
    assert not any(cell.startswith(tuple("=+-@\t\r\n")) for cell in cells)


def test_numbers_and_dates_of_a_list_open_as_such():
    table = pd.DataFrame(
        {
            "n": pd.array([-1, None, 3], dtype="Int64"),
            "amount": [-1234.5, np.nan, math.inf],
            "share": [0.1 + 0.2, 2.0, 1e-9],
            "at": pd.to_datetime(["2026-10-31 23:30:00", None, "2026-07-01 00:00:00"]),
            "on": [date(2026, 10, 31), None, date(2026, 7, 1)],
            "ok": [True, False, None],
        }
    )
    english = csv_text(table, EN, "Europe/Paris").removeprefix("\ufeff").splitlines()
    assert english[0] == '"n","amount","share","at","on","ok"'
    assert english[1:] == [
        '-1,-1234.5,0.3,"2026-11-01 00:30:00","2026-10-31","true"',
        '"","",2,"","","false"',
        '3,"",0,"2026-07-01 02:00:00","2026-07-01",""',
    ]
    assert csv_text(table, FR, "Europe/Paris").splitlines()[1].startswith('-1;"-1234,5";"0,3"')
    assert csv_text(table, EN, "UTC").startswith("\ufeff")


# ---- what a month says about itself ----


def ledger(*rows: tuple) -> SimpleNamespace:
    accounted = pd.DataFrame(rows, columns=["table", "found", "used", "set_aside", "reason"])
    return SimpleNamespace(row_ledger=accounted, set_aside=pd.DataFrame(columns=["table", "reason", "value"]), limits={})


def test_data_of_which_too_much_was_set_aside_are_refused():
    rows = [("leads", 94, 94, 0, ""), ("leads", 4, 0, 4, "empty lead_id"), ("leads", 2, 0, 2, "duplicate key"), ("leads", 500, 0, 500, "filtered")]
    data = ledger(*rows, ("orders", 0, 0, 0, ""))
    summed = quality.tables(data).set_index("table")
    assert summed.loc["leads"].to_dict() == {"found": 600, "filtered": 500, "used": 94, "set_aside": 6, "share": 0.06}
    assert math.isnan(summed.loc["orders", "share"]), "no rows is no share"
    message = r"leads: 6 of 100 rows \(6.0%\) were set aside, more than the 5% allowed; most often: empty lead_id \(4\); see them with: kpi check"
    with pytest.raises(DataError, match=message):
        quality.refuse(data)
    quality.refuse(data, 0.06)
    data.limits["leads"] = 0.06
    quality.refuse(data, 0.01)


def test_json_has_no_missing_numbers_and_iso_dates():
    content = {
        "a": [math.nan, math.inf, pd.NA, None, pd.NaT, 0.1 + 0.2],
        "b": date(2026, 10, 1),
        "c": pd.Timestamp("2026-10-31 23:00"),
        "d": np.int64(3),
        "e": True,
    }
    assert json.loads(manifest.dumps(content)) == {"a": [None] * 5 + [0.3], "b": "2026-10-01", "c": "2026-10-31T23:00:00", "d": 3, "e": True}


def test_the_page_of_all_months_tells_states_and_skips_what_is_no_month(tmp_path):
    tile = {"kpi": "pipeline.won_value", "kind": "money", "name": "Won value", "provisional": False, "month": ["2026-08"], "value": [None]}
    tile |= {"lower": [None], "centre": [None], "upper": [None], "signal": [False]}
    summary = {"sentence": "Fine & <dandy>.", "band": "", "signals": 2, "tiles": [tile]}
    pages = [{"name": "pulse", "label": "Pulse", "file": "index.html"}]
    made = {"company": "Us", "currency": "EUR", "pages": pages, "summary": summary, "data_end": "2026-09-04"}
    publish.write(tmp_path / "2026-08" / "manifest.json", manifest.dumps(made | {"replaced": True}))
    publish.write(tmp_path / "2026-07" / "manifest.json", manifest.dumps(made | {"summary": summary | {"tiles": [tile | {"provisional": True}]}}))
    publish.write(tmp_path / "2026-06" / "manifest.json", "{")
    publish.write(tmp_path / "failed" / "2026-05" / "manifest.json", "{}")
    page = archive.page(tmp_path, EN)
    assert page.count("Fine &amp; &lt;dandy&gt;.") == 2
    assert "replaced, data of 4\u00a0September\u00a02026" in page or "replaced, data of 4 September 2026" in page.replace("\u00a0", " ")
    assert "provisional</span>" in page
    assert "September 2026" in page, "the running month"
    assert "2026-06" not in page
    assert "No month was made yet." in archive.page(tmp_path / "2026-06", EN)
