"""How an import gets into a data set: made beside it, and put in force by one renaming, that of kpi.toml.

Tables are never written over: each import that changes something puts them into a folder of its own, which kpi.toml names. Whoever reads the data set
meanwhile has the old state or the new one. What an import leaves behind that was killed is taken away by the next.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from kpi.errors import BusyError, WriteError
from kpi.importing import kpi_toml, log
from kpi.sources.config import FILE

_PLAN, _LOCK = "plan.json", ".import.lock"


@dataclass(frozen=True)
class Transaction:
    """An import into a data set, in force as a whole or not at all."""

    folder: Path

    @property
    def staging(self) -> Path:
        """Where an import is made."""
        return self.folder / log.FOLDER / ".new"

    def tables(self, version: int) -> Path:
        """Say where the tables of a version are."""
        return self.folder / kpi_toml.TABLES / str(version)

    def prepare(self) -> Path:
        """Make an empty folder for the tables."""
        shutil.rmtree(self.staging, ignore_errors=True)
        (self.staging / "tables").mkdir(parents=True)
        return self.staging / "tables"

    def commit(self, version: int, originals: dict[str, Path], toml: str, logged: str) -> None:
        """Put an import in force."""
        added = [name for name in originals if not (self.folder / name).exists()]
        for number, name in enumerate(added):
            shutil.copyfile(originals[name], self.staging / str(number))
        (self.staging / FILE).write_bytes(toml.encode())
        (self.staging / log.FILE).write_bytes(logged.encode())
        (self.staging / "plan").write_text(json.dumps({"version": version, "originals": added}), "utf-8")
        (self.staging / "plan").rename(self.staging / _PLAN)  # so that there is a whole one or none
        try:
            for number, name in enumerate(added):
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                (self.staging / str(number)).rename(self.folder / name)
            self.tables(version).parent.mkdir(exist_ok=True)
            (self.staging / "tables").rename(self.tables(version))
            (self.staging / FILE).replace(self.folder / FILE)
        finally:
            self.repair()

    def repair(self) -> None:
        """Finish the import that ended after it was in force, take away what is left of one that ended before."""
        plan = self.staging / _PLAN
        if plan.is_file():  # else nothing outside the staging folder was touched yet
            planned = json.loads(plan.read_text("utf-8"))
            if (self.staging / FILE).exists():  # kpi.toml was not replaced
                self._undo(int(planned["version"]), planned["originals"])
            else:
                self._finish(int(planned["version"]))
            plan.unlink()
        shutil.rmtree(self.staging, ignore_errors=True)
        imports = self.folder / log.FOLDER
        for folder in [*(entry for entry in imports.glob("*") if entry.is_dir()), imports]:
            with suppress(OSError):  # it is not empty
                folder.rmdir()

    def _undo(self, version: int, originals: list[str]) -> None:
        shutil.rmtree(self.tables(version), ignore_errors=True)
        for name in originals:
            (self.folder / name).unlink(missing_ok=True)

    def _finish(self, version: int) -> None:
        with suppress(FileNotFoundError):
            (self.staging / log.FILE).replace(self.folder / log.FOLDER / log.FILE)
        for entry in self.tables(version).parent.iterdir():
            if entry.name.isdigit() and int(entry.name) != version:
                shutil.rmtree(entry, ignore_errors=True)


@contextmanager
def reserved(folder: Path) -> Iterator[Transaction]:
    """Hold a data set for this import."""
    is_new, is_first, is_done = not folder.exists(), not (folder / _LOCK).exists(), False
    transaction, lock = Transaction(folder), FileLock(folder / _LOCK, timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:  # an OSError too, but no fault of the disk
        raise BusyError(f"another import into {folder} is running; wait for it to end") from None
    except OSError as error:
        raise WriteError(f"{error.filename or folder} cannot be written: {error.strerror or error}") from None
    try:
        transaction.repair()
        yield transaction
        is_done = True
    except OSError as error:
        raise WriteError(f"{error.filename or folder} cannot be written: {error.strerror or error}; nothing was imported") from None
    finally:
        if not (transaction.staging / _PLAN).exists():
            shutil.rmtree(transaction.staging, ignore_errors=True)
        lock.release()
        if is_first and not is_done:
            (folder / _LOCK).unlink(missing_ok=True)
        if is_new and not (folder / FILE).exists():
            for path in (transaction.staging.parent, folder):
                with suppress(OSError):
                    path.rmdir()
