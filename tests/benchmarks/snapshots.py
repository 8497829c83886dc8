"""36 month-end snapshots and an account of the pipeline on many deals, against SQL written by hand for DuckDB, in the same run.

``python tests/benchmarks/snapshots.py [deals]``: prints both times and their ratio, which must not exceed 1.5, and the most memory used.
"""

from __future__ import annotations

import resource
import sys
import time

import duckdb

import kpi
from kpi import pipeline
from kpi.periods import Month

LIMIT = 1.5


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


def by_hand(connection: duckdb.DuckDBPyConnection, moments: list[str]) -> None:
    connection.execute(f"create or replace temp table cuts as select unnest({moments!r})::timestamp as cut")
    connection.execute("""create or replace temp table spans as select h.*, lead(changed_at) over w as until_at,
        lag(status) over w as status_before, lag(amount) over w as amount_before
        from opportunity_history h window w as (partition by opportunity_id order by changed_at, seq)""")
    connection.execute("""select cut, stage, count(*), sum(amount) from spans join cuts on changed_at < cut and (until_at >= cut or until_at is null)
        where status = 'open' group by all""").fetchall()
    start, end = moments[-2], moments[-1]
    inside = f"changed_at >= '{start}' and changed_at < '{end}'"
    open_at = "status = 'open' and changed_at < '{0}' and (until_at >= '{0}' or until_at is null)".format
    connection.execute(f"""select sum(case when {open_at(start)} then amount end), sum(case when {open_at(end)} then amount end),
        sum(case when {inside} and status_before is null then amount end),
        sum(case when {inside} and status_before = 'open' and status = 'won' then amount end),
        sum(case when {inside} and status_before = 'open' and status = 'lost' then amount end),
        sum(case when {inside} and status_before = 'open' and amount <> amount_before then amount - amount_before end) from spans""").fetchall()


def main(deals: int) -> int:
    """Run both and compare."""
    connection = duckdb.connect()
    connection.execute("set preserve_insertion_order = false")
    tables(connection, deals)
    moments = [f"{Month.parse('2022-10').shift(place).start} 00:00:00" for place in range(36)]
    frames = {name: connection.table(name) for name in ("opportunities", "opportunity_history")}
    data = kpi.Dataset(**frames, exported_at="2026-07-01")
    rounds = []
    for _ in range(2):
        started = time.perf_counter()
        by_hand(connection, moments)
        between = time.perf_counter()
        pipeline.snapshots(data, dates=moments)
        pipeline.waterfall(data, start=moments[-2], as_of=moments[-1])
        rounds.append((between - started, time.perf_counter() - between))
    hand, kit = (min(times) for times in zip(*rounds, strict=True))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    print(f"{deals} deals, {5 * deals} changes: by hand {hand:.1f} s, kit {kit:.1f} s, ratio {kit / hand:.2f} (at most {LIMIT}); {memory:.1f} GB")
    return int(kit / hand > LIMIT)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000))
