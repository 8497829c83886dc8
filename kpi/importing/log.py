"""What was imported: ``imports/log.json`` of a data set, its originals with their hashes."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path

from kpi.errors import DataError

FOLDER, FILE = "imports", "log.json"


@dataclass(frozen=True)
class Original:
    """A file as it was given."""

    path: str
    sha256: str
    bytes: int
    system: str
    tables: tuple[str, ...]


@dataclass(frozen=True)
class Export:
    """What one command imported: files that were exported together."""

    exported_on: date
    full: bool
    files: tuple[Original, ...]
    rows: dict[str, dict[str, int]]


@dataclass(frozen=True)
class Log:
    """All imports of a data set, in the order in which they came."""

    version: int = 0
    exports: tuple[Export, ...] = ()

    @property
    def newest(self) -> date:
        """Last day that any import tells about."""
        return max((export.exported_on for export in self.exports), default=date.min)

    def holding(self, sha256: str, exported_on: date | None) -> list[int]:
        """Find the imports that a file belongs to."""
        days = [exported_on] if exported_on else [export.exported_on for export in self.exports]
        held = [export.exported_on in days and any(file.sha256 == sha256 for file in export.files) for export in self.exports]
        return [number for number, holds in enumerate(held) if holds]

    def marked_full(self, numbers: Collection[int]) -> Log:
        """Write down of some imports that they held every record."""
        exports = [replace(export, full=export.full or number in numbers) for number, export in enumerate(self.exports)]
        return replace(self, exports=tuple(exports))

    def counted(self, rows: list[dict[str, dict[str, int]]]) -> Log:
        """Write down anew how many rows each import had."""
        return replace(self, exports=tuple(replace(export, rows=found) for export, found in zip(self.exports, rows, strict=True)))


def read(folder: Path) -> Log:
    """Read what was imported into a data set."""
    path = folder / FOLDER / FILE
    if not path.is_file():
        return Log()
    try:
        content = json.loads(path.read_text("utf-8"))
        exports = [
            Export(
                date.fromisoformat(item["exported_on"]),
                bool(item["full"]),
                tuple(Original(**{**file, "tables": tuple(file["tables"])}) for file in item["files"]),
                item["rows"],
            )
            for item in content["imports"]
        ]
        return Log(int(content["version"]), tuple(exports))
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise DataError(f"{path} cannot be read ({type(error).__name__}): put back what kpi import wrote, or import into an empty folder") from None


def dumps(log: Log) -> str:
    """Write the log."""
    exports = [{**asdict(export), "exported_on": export.exported_on.isoformat()} for export in log.exports]
    return json.dumps({"version": log.version, "imports": exports}, indent=1, ensure_ascii=False) + "\n"
