"""Files of a data set: found by path, glob or archive member, hashed, and opened as bytes; never altered."""

from __future__ import annotations

import gzip
import hashlib
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from kpi.errors import DataError, nearest

BLOCK = 1 << 20
WORKBOOKS = (".xlsx", ".xlsm", ".xls", ".ods")


@dataclass(frozen=True)
class Input:
    """A file that was read."""

    path: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Located:
    """A table's file, a member of an archive, or a sheet of a workbook."""

    label: str
    path: Path
    member: str = ""

    @property
    def is_parquet(self) -> bool:
        """Whether it is a Parquet file, which needs no guessing."""
        return not self.member and self.path.suffix.lower() in (".parquet", ".pq")

    @property
    def is_workbook(self) -> bool:
        """Whether it is a workbook or one of its sheets."""
        return self.path.suffix.lower() in WORKBOOKS

    def open(self) -> IO[bytes]:
        """Open its bytes, decompressed."""
        try:
            if self.member and not self.is_workbook:
                with zipfile.ZipFile(self.path) as archive:
                    return archive.open(self.member)
            if self.path.suffix.lower() == ".gz":
                return cast(IO[bytes], gzip.open(self.path))  # it reads like one, but says so to no type checker
            return self.path.open("rb")
        except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError) as error:
            raise DataError(f"{self.label} cannot be opened: {error}") from None


def locate(pattern: str, folder: Path, table: str) -> list[Located]:
    """Find the files that a path of kpi.toml means."""
    archive, member = _archive(pattern, folder)
    if member:
        members = [member] if archive.suffix.lower() in WORKBOOKS else _members(archive)
        if member not in members:
            raise DataError(f"[tables.{table}]: {archive.name} has no member {member!r}{nearest(member, members)} It has {members}")
        return [Located(f"{_label(archive, folder)}/{member}", archive, member)]
    plain = folder / pattern
    found = [plain] if plain.is_file() else _matching(plain)
    if not found:
        near = nearest(Path(pattern).name, [entry.name for entry in plain.parent.iterdir()]) if plain.parent.is_dir() else "."
        raise DataError(f"[tables.{table}] names {pattern!r}, but no such file is in the data set{near}")
    zips = [file for file in found if file.suffix.lower() == ".zip"]
    if zips:
        raise DataError(f"[tables.{table}] names the archive {pattern!r}; add the member: {pattern}/{_members(zips[0])[0]}")
    return [Located(_label(file, folder), file) for file in found]


def _matching(pattern: Path) -> list[Path]:
    """List the files that a glob means, but not the hidden ones that office programs leave beside open files."""
    parts = pattern.parts
    fixed = next((number for number, part in enumerate(parts) if set(part) & set("*?[")), len(parts))
    if fixed == len(parts):
        return []
    found = Path(*parts[:fixed]).glob("/".join(parts[fixed:]))
    return sorted(file for file in found if file.is_file() and not file.name.startswith((".", "~$")))


def _archive(pattern: str, folder: Path) -> tuple[Path, str]:
    parts = Path(pattern).parts
    for number, part in enumerate(parts[:-1]):
        file = folder.joinpath(*parts[: number + 1])
        if part.lower().endswith((".zip", *WORKBOOKS)) and file.is_file():
            return file, "/".join(parts[number + 1 :])
    return folder, ""


def _members(archive: Path) -> list[str]:
    try:
        with zipfile.ZipFile(archive) as opened:
            return [entry.filename for entry in opened.infolist() if not entry.is_dir()] or ["member.csv"]
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError(f"{archive.name} cannot be opened: {error}") from None


def _label(file: Path, folder: Path) -> str:
    return Path(os.path.relpath(file, folder)).as_posix()


def fingerprint(file: Path, folder: Path) -> Input:
    """Hash a file, so that a report can say what it was made from."""
    label = _label(file, folder)
    return Input(label, sha256(file, label), file.stat().st_size)


def sha256(file: Path, label: str) -> str:
    """Hash what a file holds."""
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{label} cannot be read: {error.strerror}") from None
