"""Notebooks side by side in kernels of their own, each held to a deadline and to the mark that its last cell must leave.

What an executed notebook says about itself is not believed: after a dead kernel or an early exit its cells read "completed". Only the absence of an
exception together with the closing mark counts.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import papermill
from jupyter_client import AsyncKernelManager
from jupyter_core.utils import ensure_event_loop
from papermill.exceptions import PapermillExecutionError

from kpi.presentation.blocks import END
from kpi.report import kernel

DEADLINE = 3600.0  # seconds for one notebook: far beyond any sound run, so that a hanging one ends some day

logging.getLogger("papermill").addHandler(logging.NullHandler())  # its news are told in the run's own words


@dataclass(frozen=True)
class Executed:
    """How a notebook ended."""

    name: str
    notebook: nbformat.NotebookNode
    seconds: float
    failure: str = ""


@dataclass
class Runner:
    """Executes notebooks side by side."""

    jobs: int = 1
    deadline: float = DEADLINE
    bars: bool = False
    _kernels: dict[str, AsyncKernelManager] = field(default_factory=dict, init=False)
    _stopped: threading.Event = field(default_factory=threading.Event, init=False)

    def run(self, notebooks: Mapping[str, nbformat.NotebookNode], parameters: Mapping[str, str], folder: Path) -> Running:
        """Start the notebooks; the caller goes on meanwhile."""
        scratch = tempfile.TemporaryDirectory(prefix="kpi-")
        pool = ThreadPoolExecutor(self.jobs)
        futures = {
            pool.submit(self._execute, name, notebook, dict(parameters), folder, Path(scratch.name), place): name
            for place, (name, notebook) in enumerate(notebooks.items())
        }
        return Running(self, pool, futures, scratch)

    def stop(self) -> None:
        """End every kernel, also those about to start."""
        self._stopped.set()
        for manager in list(self._kernels.values()):
            kernel.end(manager)

    def _execute(self, name: str, notebook: nbformat.NotebookNode, parameters: dict, folder: Path, scratch: Path, place: int) -> Executed:
        began, overdue, output = time.perf_counter(), threading.Event(), scratch / f"{name}.ipynb"
        watchdog = threading.Timer(self.deadline, self._overdue, (name, overdue))
        watchdog.daemon = True
        watchdog.start()
        failure = ""
        try:
            papermill.execute_notebook(
                notebook,
                output,
                parameters,
                kernel_name="python3",
                language="python",
                progress_bar={"desc": name, "position": place, "file": sys.stderr} if self.bars else False,
                kernel_manager_class=kernel.manager(name, folder, scratch, lambda started: self._launched(name, started)),
                shutdown_kernel="immediate",
                record_timing=False,
                autosave_cell_every=0,
            )
        except PapermillExecutionError as error:
            failure = f"{error.ename}: {error.evalue.strip()}" if error.evalue.strip() else error.ename
        except OSError as error:
            failure = f"could not be kept while it ran: {error.strerror or error}"
        except Exception as error:  # whatever a dying kernel makes nbclient raise; only the edge of this process knows why
            failure = f"its kernel died ({type(error).__name__})"
        finally:
            watchdog.cancel()
            self._kernels.pop(name, None)
            ensure_event_loop().close()  # the one that papermill opened for this thread
        executed = nbformat.read(output, as_version=4) if _readable(output) else notebook
        if overdue.is_set():
            failure = f"did not end within {self.deadline:g} s"
        elif not failure and not _ran_through(executed):
            failure = "ended early: its last cell did not leave the closing mark"
        return Executed(name, executed, time.perf_counter() - began, failure)

    def _launched(self, name: str, manager: AsyncKernelManager) -> None:
        self._kernels[name] = manager
        if self._stopped.is_set():
            kernel.end(manager)

    def _overdue(self, name: str, overdue: threading.Event) -> None:
        overdue.set()
        if name in self._kernels:
            kernel.end(self._kernels[name])


class Running:
    """Notebooks under way; leaving the ``with`` block early ends their kernels."""

    def __init__(self, runner: Runner, pool: ThreadPoolExecutor, futures: dict[Future, str], scratch: tempfile.TemporaryDirectory) -> None:
        self._runner, self._pool, self._futures, self._scratch = runner, pool, futures, scratch

    def __enter__(self) -> Running:
        return self

    def __exit__(self, kind, error, trace) -> None:
        if kind is not None:
            self._runner.stop()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._scratch.cleanup()

    def results(self) -> Iterator[Executed]:
        """Hand out the notebooks as they end."""
        pending = set(self._futures)
        while pending:
            # A wait without limit cannot be interrupted from the keyboard on Windows.
            done, pending = wait(pending, timeout=1, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in sorted(done, key=self._futures.get))


def _readable(path: Path) -> bool:
    try:
        nbformat.read(path, as_version=4)
    except (OSError, ValueError):
        return False
    return True


def _ran_through(notebook: nbformat.NotebookNode) -> bool:
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return bool(code) and any(END in output.get("data", {}).get("text/html", "") for output in code[-1].outputs)


def failures(executed: Sequence[Executed]) -> str:
    """Say in one line which notebooks failed and why."""
    return "; ".join(f"{item.name}.ipynb {_short(item.failure)}" for item in sorted(executed, key=lambda item: item.name) if item.failure)


def _short(message: str, length: int = 300) -> str:
    line = " ".join(message.split())
    return line if len(line) <= length else line[: length - 1] + "…"
