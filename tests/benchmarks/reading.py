"""How long a million rows of a French CSV file take to read, against DuckDB's own typed read of the same file, told all types.

Run by hand or by ``make bench``; a ratio above the limit ends with status 1. Both are timed in one process, the best of a few runs each.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from kpi import sources
from kpi.engine import connect

LIMIT = 10.0


def write(folder: Path, rows: int) -> Path:
    """Orders as a French office exports them: semicolons, decimal commas, day first, a byte order mark."""
    rng = np.random.default_rng(1)
    at = pd.to_datetime("2023-01-01") + pd.to_timedelta(rng.integers(0, 3 * 365 * 86_400, rows), unit="s")
    table = pd.DataFrame(
        {
            "order_id": [f"O{number:07d}" for number in range(rows)],
            "customer_id": [f"C{number:05d}" for number in rng.integers(0, 50_000, rows)],
            "at": at.strftime("%d/%m/%Y %H:%M:%S"),
            "amount": [f"{amount:.2f}".replace(".", ",") for amount in rng.lognormal(5, 1, rows)],
            "product": rng.choice(["Agencement", "Mobilier", "Rayonnage", "Étagère"], rows),
        }
    )
    table.to_csv(folder / "orders.csv", sep=";", index=False, encoding="utf-8-sig")
    (folder / "kpi.toml").write_text('[company]\ntimezone = "Europe/Paris"\nexported_at = "2026-06-01"\n', "utf-8")
    return folder / "orders.csv"


def typed(file: Path) -> int:
    """DuckDB's own read: no guessing, no check, no zone."""
    with duckdb.connect() as connection:
        columns = "{'order_id': 'varchar', 'customer_id': 'varchar', 'at': 'timestamp', 'amount': 'double', 'product': 'varchar'}"
        options = f"delim = ';', header = true, decimal_separator = ',', timestampformat = '%d/%m/%Y %H:%M:%S', columns = {columns}"
        connection.execute(f"create table orders as select * from read_csv('{file}', {options})")
        return connection.execute("select count(*) from orders").fetchall()[0][0]


def whole(file: Path) -> int:
    """The kit's read: dialect found, local times to UTC, checks, ledger."""
    with connect() as connection:
        reading = sources.read(sources.read_config(file.parent), connection)
        return int(reading.ledger["used"].sum())


def best(reads: tuple[Callable[[Path], int], ...], file: Path, rows: int, runs: int) -> list[float]:
    """Seconds of the best run of each, in turns: other work on the machine only ever adds."""
    seconds: list[list[float]] = [[] for _ in reads]
    for _ in range(runs):
        for read, taken in zip(reads, seconds, strict=True):
            began = time.perf_counter()
            if read(file) != rows:
                sys.exit(f"{read.__name__} lost rows")
            taken.append(time.perf_counter() - began)
    return list(map(min, seconds))


def main() -> int:
    """Print both times and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = write(Path(folder), options.rows)
        own, kit = best((typed, whole), file, options.rows, options.runs)
    ratio = kit / own
    print(f"{options.rows} rows: DuckDB typed {own:.2f} s, kit {kit:.2f} s, ratio {ratio:.1f} (limit {LIMIT})")
    return int(ratio > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
