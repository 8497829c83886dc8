"""A notebook's kernel: this very Python, none of the user's settings, a socket file instead of network ports, and an end that leaves no process."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec

SOCKET_PATH = 90  # longer paths do not fit a Unix socket's address


def manager(name: str, folder: Path, scratch: Path, launched: Callable[[AsyncKernelManager], None]) -> type[AsyncKernelManager]:
    """Make the class that starts the kernel of one notebook."""
    socket = scratch / f"{name}-ipc"
    ipc = os.name == "posix" and len(os.fsencode(socket)) < SOCKET_PATH
    spec = KernelSpec(argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"], language="python", display_name="Python 3")

    class Kernel(AsyncKernelManager):
        @property
        def kernel_spec(self) -> KernelSpec:
            return spec

        async def _async_launch_kernel(self, kernel_cmd, **options) -> None:
            await super()._async_launch_kernel(kernel_cmd, **options)
            launched(self)

        async def _async_pre_start_kernel(self, **options):
            if ipc:
                self.transport, self.ip = "ipc", str(socket)
            self.connection_file = str(scratch / f"{name}.json")
            return await super()._async_pre_start_kernel(**options, cwd=str(folder), env=_environment(scratch))

    return Kernel


def end(running: AsyncKernelManager) -> None:
    """End a kernel and whatever it started, at once."""
    provisioner = running.provisioner
    process = getattr(provisioner, "process", None)
    if process is None:
        return
    group = getattr(provisioner, "pgid", None)
    with contextlib.suppress(ProcessLookupError):  # it ended by itself meanwhile
        if group and hasattr(os, "killpg"):
            os.killpg(group, signal.SIGKILL)
        else:
            _end_tree(process.pid)


def _environment(scratch: Path) -> dict[str, str]:
    """The same surroundings on every machine: what a user set up for matplotlib or IPython must not show on the pages."""
    matplotlib = Path(importlib.util.find_spec("matplotlib").origin).parent
    fixed = {
        "PYTHONHASHSEED": "0",
        "PYTHONUTF8": "1",
        "IPYTHONDIR": str(scratch / "ipython"),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "MATPLOTLIBRC": str(matplotlib / "mpl-data" / "matplotlibrc"),
    }
    return {**os.environ, **fixed}


def _end_tree(pid: int) -> None:
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        top = psutil.Process(pid)
        for process in [*top.children(recursive=True), top]:
            process.kill()
