"""How long a whole `kpi report` on the sample takes: wall clock, CPU of all its processes, and their memory, against limits written down here.

Run by hand or by ``make bench``; a limit exceeded ends with status 1. Times are those of two cores; give another factor with --slack.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Bench:
    """A command, and the seconds that it may take."""

    name: str
    arguments: tuple[str, ...]
    wall: float


BENCHES = (
    Bench("help", ("--help",), 0.3),
    Bench("check", ("check", "data/sample"), 5.0),
    Bench("metrics", ("metrics", "data/sample"), 8.0),
    Bench("report, two kernels", ("report", "data/sample", "--force", "--out", "{out}"), 60.0),
    Bench("report, one kernel", ("report", "data/sample", "--force", "--jobs", "1", "--out", "{out}"), 90.0),
    Bench("report, unchanged", ("report", "data/sample", "--jobs", "1", "--out", "{out}"), 5.0),
)


def measure(bench: Bench, out: str) -> tuple[float, float]:
    """Wall clock and CPU seconds of one run with all its kernels."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-m", "kpi", *(argument.format(out=out) for argument in bench.arguments)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if ended.returncode:
        sys.exit(f"{' '.join(command)} ended with {ended.returncode}: {ended.stderr.strip()}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> int:
    """Run each bench some times; the best run counts, since other work on the machine only ever adds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--slack", type=float, default=1.0, help="multiply the limits, on a slower machine")
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, best of {options.runs}")
    print(f"{'':24}{'wall s':>8}{'limit':>8}{'CPU s':>8}")
    late = False
    with tempfile.TemporaryDirectory() as out:
        for bench in BENCHES:
            wall, cpu = min(measure(bench, out) for _ in range(options.runs))
            limit = bench.wall * options.slack
            late |= wall > limit
            print(f"{bench.name:24}{wall:8.2f}{limit:8.1f}{cpu:8.2f}{'  over the limit' if wall > limit else ''}")
    return int(late)


if __name__ == "__main__":
    sys.exit(main())
