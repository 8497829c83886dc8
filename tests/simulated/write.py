"""Writing a simulated company: CSV files as offices exchange them, kpi.toml, truth.json, README.md."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from kpi import schema
from kpi.errors import ParameterError, WriteError
from tests.simulated.company import Company
from tests.simulated.readme import readme


@dataclass(frozen=True)
class Dialect:
    """How a CSV file is written.

    Attributes
    ----------
    delimiter, decimal, encoding : str
        As in kpi.toml.
    stamps : str
        ``local``, ``offset`` (local with UTC offset) or ``month first``.
    yes, no : str
        Booleans.
    """

    delimiter: str
    decimal: str
    encoding: str
    stamps: str
    yes: str = "true"
    no: str = "false"


DIALECTS = {
    "french": Dialect(";", ",", "utf-8-sig", "local", "oui", "non"),
    "iso": Dialect(",", ".", "utf-8", "offset"),
    "us": Dialect(",", ".", "utf-8", "month first", "TRUE", "FALSE"),
}
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday")


def write(simulation, folder: Path, dialect: str) -> None:
    """Write a simulation into a folder that is absent or empty."""
    if dialect not in DIALECTS:
        raise ParameterError(f"dialect {dialect!r}: one of {', '.join(DIALECTS)}")
    refuse_full(folder)
    company, shape = simulation.company, DIALECTS[dialect]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, table in simulation.tables.items():
            cells(name, table, shape, company).to_csv(
                folder / f"{name}.csv", sep=shape.delimiter, index=False, encoding=shape.encoding, lineterminator="\n"
            )
        texts = {
            "kpi.toml": config(company, simulation.tables, shape),
            "truth.json": truth_text(simulation.truth),
            "README.md": readme(simulation, dialect),
        }
        texts |= {f"notes/{month}.md": text for month, text in company.notes}
        for name, text in texts.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(text.encode())
    except OSError as found:
        raise WriteError(f"cannot write the simulated company into {folder}: {found.strerror or found}") from found


def refuse_full(folder: Path) -> None:
    """Refuse a folder that holds something: nothing is overwritten."""
    try:
        full = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    except OSError as found:
        raise WriteError(f"cannot look into {folder}: {found.strerror or found}") from found
    if full:
        raise WriteError(f"{folder} is not an empty folder; a simulated company is only written into a new or empty one")


def cells(name: str, table: pd.DataFrame, dialect: Dialect, company: Company) -> pd.DataFrame:
    """A table as texts; columns that only repeat their default are left out."""
    out = {}
    for column in table.columns:
        known = schema.TABLES[name][column]
        default = company.currency if known.default == "company.currency" else known.default
        values = table[column]
        if known.default and column != "kind" and (values == default).all():
            continue
        out[column] = _texts(known.kind, values, dialect, company.timezone)
    return pd.DataFrame(out, index=table.index)


def _texts(kind: str, values: pd.Series, dialect: Dialect, zone: str) -> pd.Series:
    if kind in ("instant", "date") and pd.api.types.is_datetime64_any_dtype(values):
        known = values.notna()
        texts = pd.Series(_stamps(kind, values[known], dialect, zone), index=values.index[known], dtype="str")
        return texts.reindex(values.index)
    if kind == "boolean":
        return values.map({True: dialect.yes, False: dialect.no})
    if kind == "number":
        whole = (values.dropna() % 1 == 0).all()
        return values.map(lambda value: f"{value:.0f}" if whole else f"{value:.2f}".replace(".", dialect.decimal), na_action="ignore")
    return values


def _stamps(kind: str, values: pd.Series, dialect: Dialect, zone: str) -> np.ndarray:
    utc = values.to_numpy().astype("M8[s]")
    local = pd.DatetimeIndex(utc).tz_localize("UTC").tz_convert(zone).tz_localize(None).to_numpy() if kind == "instant" else utc
    offset = (local - utc).astype("int64")
    texts = pd.Series(np.datetime_as_string(local, unit="s" if kind == "instant" else "D"), dtype="str")
    if dialect.stamps == "month first":
        texts = texts.str.slice(5, 7) + "/" + texts.str.slice(8, 10) + "/" + texts.str.slice(0, 4) + texts.str.slice(10)
    if kind == "date":
        return texts.to_numpy()
    if dialect.stamps == "offset":
        names = {value: f"{'-' if value < 0 else '+'}{abs(value) // 3600:02d}:{abs(value) % 3600 // 60:02d}" for value in np.unique(offset).tolist()}
        return (texts + pd.Series(offset).map(names)).to_numpy()
    return texts.str.replace("T", " ", regex=False).to_numpy()


def config(company: Company, tables: dict, dialect: Dialect) -> str:
    """Text of kpi.toml."""
    windows = ", ".join(f'"{start}-{end}"' for start, end in company.hours)
    lines = ["# Simulated data: README.md says how they were made, truth.json what a right analysis finds.", "[company]"]
    for key in ("name", "language", "currency", "timezone", "country", "fiscal_year_starts"):
        lines.append(f"{key} = {json.dumps(getattr(company, key), ensure_ascii=False)}")
    lines += [f'exported_at = "{company.exported_on:%Y-%m-%d %H:%M:%S}"', "simulated = true", "", "[hours]"]
    lines += [f"{day} = [{windows}]" for day in WEEKDAYS]
    if company.contractual:
        lines += ["", "[retention]", "contractual = true"]
    for name, table in tables.items():
        lines += ["", f"[tables.{name}]", f'path = "{name}.csv"', f'delimiter = "{dialect.delimiter}"', f'decimal = "{dialect.decimal}"']
        lines += [f'encoding = "{dialect.encoding}"', f'timezone = "{company.timezone}"']
        if dialect.stamps == "month first":
            lines.append('dates = ["%m/%d/%Y %H:%M:%S", "%m/%d/%Y"]')
        booleans = [column for column in table if schema.TABLES[name][column].kind == "boolean"]
        lines += [f'values.{column} = {{"{dialect.yes}" = "true", "{dialect.no}" = "false"}}' for column in booleans if dialect.yes == "oui"]
    return "\n".join(lines) + "\n"


def truth_text(truth: dict) -> str:
    """Text of truth.json: one line per row of each table."""
    parts = []
    for name, value in truth.items():
        if isinstance(value, list):
            rows = ",\n".join("  " + json.dumps(row, ensure_ascii=False) for row in value)
            parts.append(f" {json.dumps(name)}: [\n{rows}\n ]")
        else:
            parts.append(f" {json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"
