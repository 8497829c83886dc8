"""How a month gets into the output folder: made beside it, then put in its place as a whole, by one run at a time."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from kpi.errors import BusyError, WriteError

ARCHIVE_WAIT = 60.0  # seconds; the page of all months is made in far less


@dataclass(frozen=True)
class MonthFolder:
    """Where one month is published, and what stands beside it meanwhile."""

    final: Path  # as readers see it
    staging: Path  # while it is made
    former: Path  # the old month, while the new one takes its place
    failed: Path  # where the notebooks of a failed run are kept

    def swap(self) -> None:
        """Put the month that was made in the place of the old one."""
        try:
            if self.final.exists():
                self.final.rename(self.former)
            self.staging.rename(self.final)
        except BaseException:
            self.repair()
            raise
        shutil.rmtree(self.former, ignore_errors=True)
        shutil.rmtree(self.failed, ignore_errors=True)

    def repair(self) -> None:
        """Undo what a run left behind that ended in the middle."""
        if self.former.exists() and not self.final.exists():
            self.former.rename(self.final)
        shutil.rmtree(self.former, ignore_errors=True)
        shutil.rmtree(self.staging, ignore_errors=True)


@contextmanager
def reserved(out: Path, month: str) -> Iterator[MonthFolder]:
    """Hold a month for this run, with an empty folder to make it in."""
    folder = MonthFolder(out / month, out / f".{month}.new", out / f".{month}.old", out / "failed" / month)
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    with _held(out / f".{month}.lock", 0, f"another run is making {month} in {out}; wait for it to end"):
        with writing(out):
            folder.repair()
            folder.staging.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder.staging, ignore_errors=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say in a sentence that the disk is full or a folder protected."""
    try:
        yield
    except OSError as error:
        raise WriteError(f"{error.filename or path} cannot be written: {error.strerror or error}; check the folder given by --out") from None


def write(path: Path, content: str | bytes) -> None:
    """Write a file of a month, its line ends alike on every system."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def replace(path: Path, content: str) -> None:
    """Write a file so that readers see the old or the new one, never half of it."""
    fresh = path.with_name(f".{path.name}.new")
    write(fresh, content)
    with writing(path):
        fresh.replace(path)


@contextmanager
def reserved_archive(out: Path) -> Iterator[None]:
    """Hold the page of all months, for as long as it takes to make it."""
    with _held(out / ".index.lock", ARCHIVE_WAIT, f"another run is making the page of all months in {out}; wait for it to end"):
        yield


@contextmanager
def _held(path: Path, wait: float, busy: str) -> Iterator[None]:
    lock = FileLock(path, timeout=wait)
    with writing(path):
        try:
            lock.acquire()
        except Timeout:  # an OSError too, but no fault of the disk
            raise BusyError(busy) from None
    try:
        yield
    finally:
        lock.release()
