"""What changed between two exports, as rows of `opportunity_history`: for systems that only tell how things are now.

Rules, since an export tells that something changed but not when:

- A change seen between the exports of two days is dated at midnight of the day in the middle of those between them. Any day would do; the middle
  one is wrong by half the time between them at most, and early as often as late, so that times in a stage are right on average.
- A deal that was closed in between is dated by its own ``closed_at``, moved to the nearest day between the two exports if it lies outside: it was
  seen open in the first and closed in the second.
- A deal that first appears between two exports, still open, begins at its ``created_at`` in the stage it is seen in.
- A deal that is open in the first export of all was in its stage since nobody knows when: a row of origin ``inferred`` at its ``created_at``, which
  no time in a stage is taken from, and one of origin ``diff`` on the day of that export.
- A deal that is closed when it is first seen has no row of its own, as no stage that it was in is known, unless it changes later.

A deal of which the system itself logs the history is left alone. Where it only tells when each stage was entered, the stages are left alone, and
changes of amount, expected close and owner are added in the same way. One export alone makes no history.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from kpi.engine import Connection
from kpi.importing.merging import HISTORY, NUMBER, ExportedTable, midnight, united
from kpi.schema import TABLES
from kpi.sources import sql

STATE = ("stage", "status", "amount", "expected_close_on", "owner")


def with_differences(connection: Connection, exports: Sequence[ExportedTable], logged: str, zone: str) -> str:
    """Add what changed between exports to the history that the system logs."""
    days = sorted({export.exported_on for export in exports})
    if len(days) < 2:
        return logged
    name, listed = sql.free_name(connection, "history"), ", ".join(map(sql.ident, TABLES[HISTORY].names))
    parts = [_differences(exports, days, logged, zone)]
    if logged:
        parts += [f"select * from {logged}", _undated_changes(exports, days, logged, zone)]
    rows = " union all by name ".join(f"select * from ({part})" for part in parts)
    order = "row_number() over (partition by opportunity_id order by changed_at, seq, origin = 'diff') - 1"
    connection.execute(f"create table {name} as select * replace ({order} as seq) from (select {listed} from ({rows}))")
    return name


def _differences(exports: Sequence[ExportedTable], days: Sequence[date], logged: str, zone: str) -> str:
    """Write the SQL of the rows: each deal's first state, and each change from one export that has it to the next."""
    first = [midnight(day, zone) for day in days]
    after = [midnight(day + timedelta(days=1), zone) for day in days]
    state = ", ".join(STATE)
    own = f"opportunity_id not in (select opportunity_id from {logged})" if logged else "true"
    columns = f"opportunity_id, changed_at, step, day, {state}, origin"
    return f"""
    with states as ({_states(exports, days, own)}),
    dated as (
        select *, {_pick("day", first)} as seen_at, lag(({state})) over deal as before, lag(day) over deal as day_before,
            lag(status) over deal as status_before
        from states window deal as (partition by opportunity_id order by day)),
    changes as (
        select *, {_middle(days, zone)} as middle, {_pick("day_before", after)} as earliest from dated
        where day_before is not null and ({state}) is distinct from before),
    firsts as (
        select *, status = 'open' as is_open, status = 'open' and day > 0 and coalesce(created_at >= {_pick("day - 1", after)}, false) as is_born,
            case when created_at < {_pick("day", after)} then created_at else seen_at end as began_at
        from dated where day_before is null),
    changed as (
        select *, 2 as step, 'diff' as origin, case
            when status = 'open' or status = status_before or closed_at is null then middle
            when closed_at < earliest then earliest
            when closed_at >= {_pick("day", after)} then seen_at
            else closed_at end as changed_at
        from changes),
    began as (
        select * replace (case when is_open then stage end as stage, 'open' as status), began_at as changed_at, 0 as step,
            case when is_born then 'diff' else 'inferred' end as origin
        from firsts),
    found as (
        select *, 1 as step, case when is_open then greatest(seen_at, began_at)
            when closed_at < {_pick("day", after)} then closed_at else seen_at end as changed_at,
            case when is_open then 'diff' else 'inferred' end as origin
        from firsts where not is_born and (is_open or closed_at is not null)),
    every as (select {columns} from changed union all select {columns} from began union all select {columns} from found)
    select *, row_number() over (partition by opportunity_id order by day, step) - 1 as seq
    from every where opportunity_id in (select opportunity_id from every where origin = 'diff')
    """


def _undated_changes(exports: Sequence[ExportedTable], days: Sequence[date], logged: str, zone: str) -> str:
    """Write the SQL of changes that a system does not date, for deals of which it dates the stages: on top of the state logged last."""
    dated = f"opportunity_id in (select opportunity_id from {logged} group by opportunity_id having bool_and(origin = 'entered_dates'))"
    value = ", ".join(name for name in STATE if name not in ("stage", "status"))
    return f"""
    select changed.* exclude (changed_at), stage, status, changed.changed_at, 'diff' as origin, seq from (
        select opportunity_id, {value}, {_middle(days, zone)} as changed_at from (
            select *, lag(({value})) over deal as before, lag(day) over deal as day_before from ({_states(exports, days, dated)})
            window deal as (partition by opportunity_id order by day))
        where day_before is not null and ({value}) is distinct from before) changed
    asof join (select opportunity_id, changed_at, stage, status, seq from {logged}) logged
        on changed.opportunity_id = logged.opportunity_id and changed.changed_at >= logged.changed_at
    """


def _middle(days: Sequence[date], zone: str) -> str:
    """Write the SQL of the midnight that begins the middle day of those after one export up to another."""
    pairs = [(first, last) for first in range(len(days)) for last in range(first + 1, len(days))]
    between = [days[first] + timedelta(days=1 + ((days[last] - days[first]).days - 1) // 2) for first, last in pairs]
    cases = [f"when {first} * 1000 + {last} then {midnight(day, zone)}" for (first, last), day in zip(pairs, between, strict=True)]
    return f"case day_before * 1000 + day {' '.join(cases)} end"


def _states(exports: Sequence[ExportedTable], days: Sequence[date], which: str) -> str:
    """Write the SQL of each deal's state in each export that has it; a column that an export lacks is as it was before."""
    names = ("opportunity_id", "created_at", "closed_at", *STATE)
    day = " ".join(f"when {number} then {days.index(export.exported_on)}" for number, export in enumerate(exports))
    carried = [f"{_carried(name, exports)} as {sql.ident(name)}" for name in names[1:]]
    # Of the exports of one day the last one counts.
    return (
        f"select opportunity_id, case {sql.ident(NUMBER)} {day} end as day, {', '.join(carried)} from ({united(exports, names)}) where {which} "
        f"qualify row_number() over (partition by opportunity_id, day order by {sql.ident(NUMBER)} desc) = 1"
    )


def _carried(name: str, exports: Sequence[ExportedTable]) -> str:
    having = [str(number) for number, export in enumerate(exports) if name in export.provided]
    if len(having) == len(exports):
        return sql.ident(name)
    cell = f"case when {sql.ident(NUMBER)} in ({', '.join(having) or '-1'}) then {{'cell': {sql.ident(name)}}} end"
    return f"(last_value({cell} ignore nulls) over (partition by opportunity_id order by {sql.ident(NUMBER)} rows unbounded preceding)).cell"


def _pick(number: str, moments: Sequence[str]) -> str:
    return f"case {number} {' '.join(f'when {place} then {moment}' for place, moment in enumerate(moments))} end"
