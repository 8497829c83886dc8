"""36 month-end snapshots and an account of the pipeline on many deals, against SQL written by hand for DuckDB: the same answers, side by side.

``python tests/benchmarks/snapshots.py [deals]``: prints the times of several rounds and their ratio, which must not exceed 1.5, and the most memory
that the kit used in a process of its own, which must stay under 2 GB.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb
import pandas as pd

import kpi
from kpi import pipeline
from kpi.periods import Month

LIMIT, GIGABYTES = 1.5, 2.0
ROUNDS = 5
MOMENTS = [f"{Month.parse('2022-10').shift(place).start} 00:00:00" for place in range(36)]
TABLES = ("opportunities", "opportunity_history")


def tables(connection: duckdb.DuckDBPyConnection, deals: int) -> None:
    """Deals created over 40 months with five states each: creation, two moves, a changed amount, the end of four in five."""
    connection.execute("select setseed(0.5)")
    connection.execute(f"""create table made as select i, 'D' || lpad(i::varchar, 8, '0') as opportunity_id,
        timestamp '2022-07-01' + to_seconds((random() * 40 * 30 * 86400)::bigint) as created_at, round(random() * 20000, 2) as amount,
        'O' || (i % 40) as owner, random() < 0.25 as wins, random() < 0.8 as ends from range({deals}) t(i)""")
    connection.execute("""create table opportunity_history as select opportunity_id, created_at + to_days((seq * 12)::integer) as changed_at,
        seq::bigint as seq, case when seq = 4 and ends then (case when wins then 'Won' else 'Lost' end)
        else ['Qualified', 'Proposal', 'Proposal', 'Negotiation', 'Negotiation'][seq + 1] end as stage,
        case when seq = 4 and ends then (case when wins then 'won' else 'lost' end) else 'open' end as status,
        amount + case when seq >= 2 then 100 else 0 end as amount, owner, 'history' as origin from made, range(5) s(seq)""")
    connection.execute("""create table opportunities as select m.opportunity_id, owner, created_at, h.amount, 'EUR' as currency, h.stage, h.status,
        case when h.status <> 'open' then h.changed_at end as closed_at, 'web' as source
        from made m join (select * exclude (owner) from opportunity_history where seq = 4) h using (opportunity_id)""")
    connection.execute("drop table made")


def by_hand(connection: duckdb.DuckDBPyConnection) -> tuple[pd.DataFrame, dict[str, tuple[float, int]]]:
    """What somebody who knows these tables would write: one window over the columns needed, stored, then an aggregate for each answer."""
    connection.execute(f"create or replace temp table cuts as select unnest({MOMENTS!r})::timestamp as cut")
    connection.execute("""create or replace temp table spans as select stage, status, amount, changed_at, lead(changed_at) over w as until_at,
        lag(status) over w as status_before, lag(amount) over w as amount_before
        from opportunity_history window w as (partition by opportunity_id order by changed_at, seq)""")
    standing = connection.execute("""select cut as date, stage, count(*) as n, sum(amount) as value from spans
        join cuts on changed_at < cut and (until_at >= cut or until_at is null) where status = 'open' group by all order by all""").df()
    start, end = MOMENTS[-2:]
    inside = f"changed_at >= '{start}' and changed_at < '{end}'"
    was, now = "coalesce(status_before = 'open', false)", "status = 'open'"
    open_at = "status = 'open' and changed_at < '{0}' and (until_at >= '{0}' or until_at is null)".format
    grown = f"{inside} and {was} and amount {{}} amount_before".format
    steps = {
        "start": ("amount", open_at(start), 1),
        "end": ("amount", open_at(end), 1),
        "new": ("amount", f"{inside} and status_before is null", 1),
        "reopened": ("amount", f"{inside} and {now} and status_before <> 'open'", 1),
        "won": ("-amount", f"{inside} and {was} and status = 'won'", -1),
        "lost": ("-amount", f"{inside} and {was} and status = 'lost'", -1),
        "increased": ("amount - amount_before", grown(">"), 0),
        "decreased": ("amount - amount_before", grown("<"), 0),
    }
    asked = ", ".join(f"sum({value}) filter ({test}), count(*) filter ({test})" for value, test, _ in steps.values())
    row = connection.execute(f"select {asked} from spans").fetchall()[0]
    return standing, {step: (row[2 * place] or 0.0, row[2 * place + 1] * sign) for place, (step, (_, _, sign)) in enumerate(steps.items())}


def by_kit(data: kpi.Dataset) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The same from the kit, with nothing computed before."""
    data.facts.clear()
    return pipeline.snapshots(data, dates=MOMENTS), pipeline.waterfall(data, as_of=MOMENTS[-1], window=tuple(moment[:10] for moment in MOMENTS[-2:]))


def check(hand: tuple[pd.DataFrame, dict], kit: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """Both must say the same: every snapshot, every step of the account."""
    (standing, account), (found, told) = hand, kit
    found = found[["date", "stage", "n", "value"]].sort_values(["date", "stage"], ignore_index=True)
    pd.testing.assert_frame_equal(found, standing, check_dtype=False, rtol=1e-9)
    lines = {row.step: (row.value, row.deals) for row in told.itertuples() if row.value or row.deals}
    for step, (value, deals) in account.items():
        have = lines.pop(step, (0.0, 0))
        assert abs(have[0] - value) < 1 and have[1] == deals, (step, have, value, deals)
    assert not lines, f"steps that nobody wrote by hand: {lines}"


def compare(deals: int) -> float:
    """Run both in turn and give the middle of the ratios."""
    connection = duckdb.connect()
    connection.execute("set preserve_insertion_order = false")
    tables(connection, deals)
    data = kpi.Dataset(**{name: connection.table(name) for name in TABLES}, exported_at="2026-07-01")
    rounds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        hand = by_hand(connection)
        between = time.perf_counter()
        kit = by_kit(data)
        rounds.append((between - started, time.perf_counter() - between))
        check(hand, kit)
    times = "; ".join(f"{hand:.1f} and {kit:.1f}" for hand, kit in rounds)
    ratio = statistics.median(kit / hand for hand, kit in rounds)
    print(f"{deals} deals, {5 * deals} changes: by hand and kit {times} s; ratio {ratio:.2f} (at most {LIMIT})")
    return ratio


def write(folder: str, deals: int) -> None:
    """Put the tables into Parquet files."""
    with duckdb.connect() as connection:
        tables(connection, deals)
        for name in TABLES:
            connection.execute(f"copy {name} to '{Path(folder) / name}.parquet'")


def alone(folder: str) -> None:
    """Read the tables and run the kit; tell the most memory this process used."""
    data = kpi.Dataset(**{name: f"{folder}/{name}.parquet" for name in TABLES}, exported_at="2026-07-01")
    read = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    by_kit(data)
    print(read, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def memory(deals: int) -> float:
    """Gigabytes that the kit uses where it is alone. A child starts with its parent's peak, so this comes before anything large."""
    with tempfile.TemporaryDirectory(prefix="kpi-bench-") as folder:
        subprocess.run([sys.executable, __file__, "--write", folder, str(deals)], check=True)
        told = subprocess.run([sys.executable, __file__, "--alone", folder], check=True, capture_output=True, text=True).stdout
    read, most = (int(number) / 1024**2 for number in told.split())
    print(f"most memory: {read:.2f} GB after reading, {most:.2f} GB after all (under {GIGABYTES:.0f})")
    return most


def main(deals: int) -> int:
    """Measure the memory, then compare the times."""
    large, slow = memory(deals) >= GIGABYTES, compare(deals) > LIMIT
    return int(slow or large)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--alone"]:
        alone(sys.argv[2])
    elif sys.argv[1:2] == ["--write"]:
        write(sys.argv[2], int(sys.argv[3]))
    else:
        sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000))
