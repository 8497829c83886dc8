"""What a month was made from: parameters, inputs, versions, quality. Two runs with equal fingerprints give equal bytes."""

from __future__ import annotations

import hashlib
import json
import math
import numbers
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

import kpi
from kpi import catalog
from kpi.dataset import Dataset
from kpi.periods import Month
from kpi.presentation.language import Words, missing
from kpi.report import quality

FILE, METRICS = "manifest.json", "metrics.json"
PACKAGES = ("babel", "duckdb", "matplotlib", "narwhals", "numpy", "pandas", "papermill", "pillow", "scipy", "seaborn", "statsmodels")
CODE = (".py", ".css", ".j2", ".html", ".json", ".po", ".toml", ".csv")


def dumps(content: object) -> str:
    """Write JSON as every file of a month has it: missing values as null, dates in ISO format, no noise in the last digits."""
    return json.dumps(_plain(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def read(folder: Path) -> dict[str, Any]:
    """Read the manifest of a published month."""
    try:
        content = json.loads((folder / FILE).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def origin(data: Dataset, notebooks: Mapping[str, Path], month: Month) -> dict[str, Any]:
    """Say what a month is made from, but for its parameters."""
    inputs = [asdict(item) for item in data.inputs]
    note = data.folder / "notes" / f"{month}.md" if data.folder else None
    if note and note.is_file():
        content = note.read_bytes()
        inputs.append({"path": f"notes/{month}.md", "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)})
    code = Path(kpi.__file__).parent
    files = [*notebooks.values(), *sorted(path for path in code.rglob("*") if path.suffix in CODE)]
    versions = {"kpi": kpi.__version__, "code": _digest(files), "python": platform.python_version()}
    return {"inputs": inputs, "versions": versions | {name: version(name) for name in PACKAGES}}


def fingerprint(*parts: object) -> str:
    """Sum up what decides the bytes of a month."""
    return hashlib.sha256(dumps(parts).encode()).hexdigest()


def metrics(table: pd.DataFrame, gone: pd.DataFrame, words: Words, currency: str) -> dict[str, Any]:
    """Put every number beside its contract."""
    keys = dict.fromkeys([*table["kpi"], *gone["kpi"]])
    return {
        "currency": currency,
        "kpis": {key: _contract(key, words) for key in keys if key in catalog.CATALOG},
        "rows": table.astype(object).to_dict("records"),
        "missing": gone.to_dict("records"),
    }


def accounts(data: Dataset) -> dict[str, Any]:
    """Account for the rows of a data set and for what was decided about them."""
    by_reason = data.row_ledger[data.row_ledger["reason"] != ""]
    causes = {name: dict(zip(rows["reason"], rows["set_aside"], strict=True)) for name, rows in by_reason.groupby("table", sort=False)}
    tables = quality.tables(data).astype(object).set_index("table").to_dict("index")
    return {
        "tables": {table: counts | {"reasons": causes.get(table, {})} for table, counts in tables.items()},
        "links": data.links.astype(object).to_dict("records"),
        "decisions": data.decisions.astype(object).to_dict("records"),
    }


def _contract(key: str, words: Words) -> dict[str, str]:
    record = catalog.kpi(key)
    said = {"name": words.translate(record.name), "definition": words.translate(record.definition)}
    return said | {"unit": record.unit, "better": record.better, "source": record.function}


def _digest(files: Iterable[Path]) -> str:
    total = hashlib.sha256()
    for path in files:
        # A checkout on Windows may differ in its line ends only.
        total.update(path.name.encode() + b"\0" + path.read_bytes().replace(b"\r\n", b"\n") + b"\0")
    return total.hexdigest()


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, str | bool) or missing(value):
        return None if missing(value) else value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(f"{value:.12g}") if math.isfinite(value) else None
    return value.isoformat() if isinstance(value, date) else str(value)
