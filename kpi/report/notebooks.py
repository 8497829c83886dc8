"""A month's notebooks: put into the reader's language, executed side by side, freed of all that differs from run to run.

Each runs in a kernel of its own, held to a deadline and to the mark that its last cell must leave.
What an executed notebook says about itself is not believed: after a dead kernel or an early exit its cells read "completed". Only the absence of an
exception together with the closing mark counts. A kernel is this very Python with none of the user's settings, talks over a socket file instead of
network ports, and leaves no process when it ends.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import logging
import os
import re
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import nbformat
import papermill
import psutil
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec
from jupyter_core.utils import ensure_event_loop
from papermill.exceptions import PapermillExecutionError

from kpi.errors import RunError
from kpi.presentation.blocks import END
from kpi.presentation.language import Words
from kpi.presentation.pages.about import FAULTS

DEADLINE = 3600.0  # seconds for one notebook: far beyond any sound run, so that a hanging one ends some day
SOCKET_PATH = 90  # longer paths do not fit a Unix socket's address
# Memory addresses, and the names that a kernel gives to its cells in warnings.
NOISE = ((re.compile(r"\b0x[0-9a-f]{6,}\b"), "0x0"), (re.compile(r"\S*ipykernel_\d+\W+\d+\.py"), "cell.py"))
INJECTED = "injected-parameters"  # tag that papermill gives to the cell with the values of a run

logging.getLogger("papermill").addHandler(logging.NullHandler())  # its news are told in the run's own words


def prepared(path: Path, words: Words, parameters: Sequence[str]) -> nbformat.NotebookNode:
    """Read a notebook and put its text into the reader's language."""
    try:
        notebook = nbformat.read(path, as_version=4)
    except (OSError, ValueError, nbformat.ValidationError) as error:
        raise RunError(f"{path.name} cannot be read as a notebook: {error}") from None
    tagged = [cell.source for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    if len(tagged) != 1:
        raise RunError(f"{path.name} has {len(tagged)} cells tagged parameters, it needs one")
    lacking = [name for name in parameters if name not in _assigned(tagged[0], path)]
    if lacking:
        raise RunError(f"{path.name} does not set {', '.join(lacking)} in its cell tagged parameters")
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = words.translate(cell.source)
    return notebook


def _assigned(source: str, path: Path) -> set[str]:
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise RunError(f"{path.name}: its cell tagged parameters is not Python: {error.msg}") from None
    return {target.id for node in tree.body if isinstance(node, ast.Assign) for target in node.targets if isinstance(target, ast.Name)}


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

    @contextlib.contextmanager
    def run(self, notebooks: Mapping[str, nbformat.NotebookNode], parameters: Mapping[str, str], folder: Path) -> Iterator[Iterator[Executed]]:
        """Start the notebooks, and hand them out as they end; leaving the ``with`` block early ends their kernels."""
        with tempfile.TemporaryDirectory(prefix="kpi-") as scratch, ThreadPoolExecutor(self.jobs) as pool:
            try:
                futures = {
                    pool.submit(self._execute, name, notebook, dict(parameters), folder, Path(scratch), line): name
                    for line, (name, notebook) in enumerate(notebooks.items())
                }
                yield _as_they_end(futures)
            except BaseException:
                self._stop()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _stop(self) -> None:
        """End every kernel, also those about to start."""
        self._stopped.set()
        for manager in list(self._kernels.values()):
            _end(manager)

    def _execute(self, name: str, notebook: nbformat.NotebookNode, parameters: dict[str, str], folder: Path, scratch: Path, line: int) -> Executed:
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
                progress_bar={"desc": name, "position": line, "file": sys.stderr} if self.bars else False,
                kernel_manager_class=_kernel_manager(name, folder, scratch, lambda started: self._launched(name, started)),
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
        executed = _read(output) or notebook
        if overdue.is_set():
            failure = f"did not end within {self.deadline:g} s"
        elif not failure and not _ran_through(executed):
            failure = "ended early: its last cell did not leave the closing mark"
        return Executed(name, executed, time.perf_counter() - began, failure)

    def _launched(self, name: str, manager: AsyncKernelManager) -> None:
        self._kernels[name] = manager
        if self._stopped.is_set():
            _end(manager)

    def _overdue(self, name: str, overdue: threading.Event) -> None:
        overdue.set()
        if name in self._kernels:
            _end(self._kernels[name])


def failures(executed: Sequence[Executed]) -> str:
    """Say in one line which notebooks failed and why."""
    return "; ".join(f"{item.name}.ipynb {_short(item.failure)}" for item in sorted(executed, key=lambda item: item.name) if item.failure)


def _as_they_end(futures: Mapping[Future[Executed], str]) -> Iterator[Executed]:
    pending = set(futures)
    while pending:
        # A wait without limit cannot be interrupted from the keyboard on Windows.
        done, pending = wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)
        yield from (future.result() for future in sorted(done, key=lambda future: futures[future]))


def _read(path: Path) -> nbformat.NotebookNode | None:
    try:
        return nbformat.read(path, as_version=4)
    except (OSError, ValueError):
        return None


def _ran_through(notebook: nbformat.NotebookNode) -> bool:
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return bool(code) and any(END in output.get("data", {}).get("text/html", "") for output in code[-1].outputs)


def _short(message: str, length: int = 300) -> str:
    line = " ".join(message.split())
    return line if len(line) <= length else line[: length - 1] + "…"


def faults_of(executed: Sequence[Executed]) -> dict[str, str]:
    """Collect what notebooks say is missing by a fault of the kit."""
    outputs = [(item.name, output) for item in executed for cell in item.notebook.cells for output in cell.get("outputs", [])]
    return {f"{name}.ipynb {what}": trace for name, output in outputs for what, trace in output.get("data", {}).get(FAULTS, {}).items()}


def normalised(notebook: nbformat.NotebookNode, names: Mapping[str, str]) -> nbformat.NotebookNode:
    """Free an executed notebook of run times, paths, random ids and memory addresses: the same inputs give the same bytes."""
    clean = copy.deepcopy(notebook)
    clean.metadata.pop("papermill", None)
    for cell in clean.cells:
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
        if INJECTED in cell.metadata.get("tags", []):
            cell["id"] = INJECTED
            cell.source = _renamed(cell.source, names)
        if cell.cell_type == "code":
            cell.outputs = _joined([_stable(output, names) for output in cell.outputs if FAULTS not in output.get("data", {})])
    return clean


def _stable(output: nbformat.NotebookNode, names: Mapping[str, str]) -> nbformat.NotebookNode:
    if output.output_type == "stream":
        output.text = _quiet(_renamed(output.text, names))
    elif output.output_type == "error":
        output.traceback = [_renamed(line, names) for line in output.traceback]
    for kind, content in output.get("data", {}).items():
        if kind.startswith("text/") and isinstance(content, str):
            content = _renamed(content, names)
            output.data[kind] = _quiet(content) if kind == "text/plain" else content
    return output


def _renamed(text: str, names: Mapping[str, str]) -> str:
    for path in sorted(names, key=len, reverse=True):
        # A path inside Python or JSON text has its backslashes doubled.
        for written in {path, path.replace("\\", "\\\\")}:
            text = text.replace(written, names[path])
    return text


def _quiet(text: str) -> str:
    for pattern, put in NOISE:
        text = pattern.sub(put, text)
    return text


def _joined(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """Streams arrive in pieces, cut where the kernel happened to flush."""
    whole: list[nbformat.NotebookNode] = []
    for output in outputs:
        last = whole[-1] if whole else None
        if last is not None and output.output_type == "stream" and last.output_type == "stream" and last.name == output.name:
            last.text += output.text
        else:
            whole.append(output)
    return whole


def _kernel_manager(name: str, folder: Path, scratch: Path, launched: Callable[[AsyncKernelManager], None]) -> type[AsyncKernelManager]:
    """Make the class that starts the kernel of one notebook."""
    socket = scratch / f"{name}-ipc"
    ipc = os.name == "posix" and len(os.fsencode(socket)) < SOCKET_PATH
    spec = KernelSpec(argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"], language="python", display_name="Python 3")

    class Kernel(AsyncKernelManager):
        @property
        def kernel_spec(self) -> KernelSpec:
            return spec

        async def _async_launch_kernel(self, kernel_cmd: list[str], **options: Any) -> None:
            await super()._async_launch_kernel(kernel_cmd, **options)
            launched(self)

        async def _async_pre_start_kernel(self, **options: Any) -> tuple[list[str], dict[str, Any]]:
            if ipc:
                self.transport, self.ip = "ipc", str(socket)
            self.connection_file = str(scratch / f"{name}.json")
            return await super()._async_pre_start_kernel(**options, cwd=str(folder), env=_environment(scratch))

    return Kernel


def _environment(scratch: Path) -> dict[str, str]:
    """The same surroundings on every machine: what a user set up for matplotlib or IPython must not show on the pages."""
    fixed = {
        "PYTHONHASHSEED": "0",
        "PYTHONUTF8": "1",
        "IPYTHONDIR": str(scratch / "ipython"),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "MATPLOTLIBRC": str(distribution("matplotlib").locate_file("matplotlib/mpl-data/matplotlibrc")),
    }
    return {**os.environ, **fixed}


def _end(running: AsyncKernelManager) -> None:
    """End a kernel and whatever it started, at once."""
    process, group = getattr(running.provisioner, "process", None), getattr(running.provisioner, "pgid", None)
    with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):  # it ended by itself meanwhile
        if process is not None and group and hasattr(os, "killpg"):
            os.killpg(group, signal.SIGKILL)
        elif process is not None:
            top = psutil.Process(process.pid)
            for one in [*top.children(recursive=True), top]:
                one.kill()
