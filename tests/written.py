"""Small data sets written to disk for the tests of `kpi.sources`, and read back as plain Python values."""

from __future__ import annotations

from pathlib import Path

import duckdb

from kpi import sources
from kpi.sources import Reading

LEADS = "lead_id,created_at,source,owner\nL1,2026-03-02 09:00:00,web,Ann\nL2,2026-03-03 10:30:00,fair,Bob\n"


def connection() -> duckdb.DuckDBPyConnection:
    opened = duckdb.connect()
    opened.execute("set TimeZone = 'UTC'")
    opened.execute("set preserve_insertion_order = false")  # as the kit's own connection
    return opened


def write(folder: Path, toml: str = "", **files: str | bytes) -> Path:
    """Write kpi.toml and one CSV file per keyword."""
    folder.mkdir(exist_ok=True)
    (folder / "kpi.toml").write_text(toml, encoding="utf-8")
    for name, content in files.items():
        (folder / f"{name}.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def read(folder: Path, opened: duckdb.DuckDBPyConnection | None = None) -> tuple[Reading, dict[str, list[dict]]]:
    """Read a data set; its tables as lists of rows, sorted."""
    opened = opened or connection()
    reading = sources.read(sources.read_config(folder), opened)
    return reading, {name: rows(opened, stored) for name, stored in reading.tables.items()}


def rows(opened: duckdb.DuckDBPyConnection, stored: str) -> list[dict]:
    answer = opened.execute(f"select * from {stored} order by all")
    names = [column[0] for column in answer.description]
    return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]


def column(found: list[dict], name: str) -> list:
    return [row[name] for row in found]


def reasons(reading: Reading) -> dict[str, int]:
    """Rows set aside, by reason."""
    aside = reading.ledger[reading.ledger["reason"] != ""]
    return dict(zip(aside["reason"], aside["set_aside"], strict=True))


def decided(reading: Reading) -> set[tuple[str, str]]:
    return set(zip(reading.decisions["decision"], reading.decisions["value"], strict=True))
