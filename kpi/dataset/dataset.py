"""The one object that goes through the kit: canonical tables on an engine, with the company's zone, hours and parameters."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import narwhals.stable.v2 as nw
import pandas as pd

from kpi import periods, schema, sources
from kpi.dataset.extent import closed_by, constant_rates, covered_until, decided, extent
from kpi.dataset.hours import calendars, company_hours
from kpi.dataset.segments import narrowed, parse_where, restricted, whole
from kpi.dataset.settings import checked
from kpi.engine import Engine, collect, connect, is_spark
from kpi.errors import DataError, MissingTable, accounted
from kpi.periods import Instant, Month, Window, WindowLike
from kpi.sources.checks.recording import FLOOR, unlinked


def load(path: str | Path = "data/sample", *, engine: str = "duckdb", today: str | date = "") -> Dataset:
    """Read a data set: a folder with a kpi.toml and its tables.

    Parameters
    ----------
    path : str or Path
        The folder or its kpi.toml; a relative one is also looked for upward from the working directory.
    engine : str
        ``duckdb``, ``polars`` or ``spark``: where the metrics are computed; the files are read and checked on this machine.
    today : str or date
        Where kpi.toml does not say when the data were exported: the last day that can have happened in them.

    Returns
    -------
    Dataset

    Raises
    ------
    DataError, SchemaError
        If the folder, its kpi.toml or a file cannot be read, or a needed column is missing.
    """
    config, connection = sources.read_config(path, today), connect()
    data = Dataset.__new__(Dataset)
    with accounted(reading := sources.read(config, connection)):
        data._fill(Engine(connection, engine), reading, config.company, config.hours, config.settings, config.folder)
    return data


class Dataset:
    """Canonical tables on an engine; every metric takes it first.

    Parameters
    ----------
    leads, lead_scores, activities, opportunities, opportunity_history, customers, orders, contracts, stages, owners, targets, fx, calendars : frame
        pandas, Polars or Arrow frame, DuckDB relation, Spark frame, or path of a Parquet file, with the canonical columns of `kpi.schema`. Instants
        are naive UTC or zoned.
    name, language, currency, timezone, country : str
        The company's, as in ``[company]`` of kpi.toml.
    exported_at : str, optional
        End of the data; without it, the latest event that a year without any does not keep apart from the others.
    settings : mapping, optional
        Parameters of the metrics, per area: ``{"response": {...}}``.
    hours : mapping, optional
        Opening hours per weekday.
    engine : str, optional
        ``duckdb``, ``polars`` or ``spark``. Without it Spark where one of the frames is Spark's, else DuckDB. On Spark, its frames stay there and are
        checked there: types, empty cells, unknown values, repeated keys, unknown parents; with another engine they are brought here.

    Raises
    ------
    SchemaError, DataError, ParameterError
        If a frame lacks a required column or cannot be read, no row has a date, or a setting or the engine is unknown. Rows with cells of the wrong
        type are set aside.
    """

    company: sources.Company
    engine: Engine
    folder: Path | None
    settings: Mapping[str, Mapping[str, Any]]
    hours: Mapping[str, Sequence[str]]
    ends_at: pd.Timestamp  # naive UTC: nothing later is known
    latest: datetime  # the last instant known
    provided: dict[str, frozenset[str]]  # columns that each table has of its own
    precision: dict[tuple[str, str], str]  # of each instant: second or day
    row_ledger: pd.DataFrame  # what became of the rows: table, found, used, set_aside, reason, amount; message and column, the reason's parts
    set_aside: pd.DataFrame  # the rows set aside, with the cell that was to blame
    flags: pd.DataFrame  # faults of rows that are used all the same
    decisions: pd.DataFrame  # what was decided from the data
    limits: dict[str, float]  # share of rows that may be set aside, where kpi.toml says so
    inputs: list[sources.Input]
    links: pd.DataFrame  # of each optional link: rows, those that fill it, those that find their record
    restricted_to: dict[str, str]  # what `where` kept
    part_of: Dataset | None  # of which it kept that
    calendar: nw.LazyFrame  # local and business time of each quarter of an hour
    team_calendar: nw.LazyFrame | None
    facts: dict[tuple, Any]

    def __init__(
        self,
        *,
        leads: object = None,
        lead_scores: object = None,
        activities: object = None,
        opportunities: object = None,
        opportunity_history: object = None,
        customers: object = None,
        orders: object = None,
        contracts: object = None,
        stages: object = None,
        owners: object = None,
        targets: object = None,
        fx: object = None,
        calendars: object = None,
        name: str = "",
        language: str = "en",
        currency: str = "EUR",
        timezone: str = "UTC",
        country: str = "",
        exported_at: str | None = None,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        hours: Mapping[str, Any] | None = None,
        engine: str | None = None,
    ) -> None:
        sales = (leads, lead_scores, activities, opportunities, opportunity_history, customers, orders, contracts)
        given = (*sales, stages, owners, targets, fx, calendars)
        frames = {table: frame for table, frame in zip(schema.TABLES, given, strict=True) if frame is not None}
        end = None if exported_at is None else periods.instant(exported_at, timezone)
        company = sources.Company(name=name, language=language, currency=currency, timezone=timezone, country=country, exported_at=end)
        on_spark = any(is_spark(frame) for frame in frames.values())
        here = Engine(connect(), engine or ("spark" if on_spark else "duckdb"))
        stays = on_spark and here.name == "spark"
        reading = sources.read_spark(frames, company, here) if stays else sources.read_frames(frames, company, here.connection, settings or {})
        self._fill(here, reading, company, hours or {}, settings or {}, None)

    def _fill(
        self, engine: Engine, reading: sources.Reading, company: sources.Company, hours: Mapping, settings: Mapping, folder: Path | None
    ) -> None:
        self.engine, self.company, self.settings, self.folder = engine, company, checked(settings), folder
        self.precision, self._recorded, self.links = reading.precision, reading.recorded, reading.links
        self._unlinked = unlinked(reading.links, settings.get("links", {}).get("floor", FLOOR), reading.recorded)
        self.provided = {name: columns - {link for table, link in self._unlinked if table == name} for name, columns in reading.provided.items()}
        self.row_ledger, self.set_aside, self.flags, self.decisions = reading.row_ledger, reading.set_aside, reading.flags, reading.decisions
        self.limits, self.inputs, self._missing = reading.limits, reading.inputs, dict[str, str]()  # missing: what a restriction took away
        self._frames = {name: engine.table(stored) for name, stored in reading.tables.items()}
        if self.has("contracts", "end_on"):
            self._frames["contracts"], self.decisions = covered_until(self._frames["contracts"], self.decisions, settings)
        found = extent(self._frames, self.provided, company)
        self._firsts, self._first, self.ends_at, self._covered = found.firsts, found.earliest, found.ends_at, found.covered
        self.latest = (found.covered - pd.Timedelta(microseconds=1)).to_pydatetime()
        self.decisions = decided(self.decisions, "", "end of the data", found.decision) if found.decision else self.decisions
        self._frames |= {name: closed_by(self._frames[name], self.latest) for name in ("opportunities",) if self.has(name, "closed_at")}
        self.hours, own = company_hours(hours), collect(self._frames["calendars"], ["weekday", "opens"]) if self.has("calendars") else None
        every, by_team = calendars(company.timezone, company.country, hours, own, (self._first, self.ends_at, found.latest))
        self.calendar, self.team_calendar = engine.put(every), None if by_team is None else engine.put(by_team)
        self.restricted_to, self.part_of, self.facts = {}, None, {}  # facts: what was computed once, helper tables and headline numbers too

    def has(self, table: str, column: str = "") -> bool:
        """Tell whether a table, or one of its columns, was provided.

        Parameters
        ----------
        table, column : str
            Canonical names; an empty column asks for the table.

        Returns
        -------
        bool
        """
        return table in self._frames and (not column or column in self.provided[table])

    def recorded_from(self, table: str) -> date | None:
        """Tell since when a table records what becomes of leads, where it begins long after they do.

        Parameters
        ----------
        table : str
            Canonical table: ``opportunities`` or ``activities``.

        Returns
        -------
        date or None
            First local day; leads that came before are under observation from it on. None where nothing is missing.
        """
        return self._recorded.get(table)

    def table(self, name: str, *columns: str) -> nw.LazyFrame:
        """Hand out a canonical table; columns that were not provided are there, empty.

        Parameters
        ----------
        name : str
            Canonical table.
        *columns : str
            Columns that the caller cannot do without.

        Returns
        -------
        LazyFrame

        Raises
        ------
        MissingTable
            If the table or one of `columns` was not provided.
        """
        if name not in self._frames:
            raise MissingTable(name, self._missing.get(name, ""))
        for column in [column for column in columns if column not in self.provided[name]]:
            raise self._unlinked.get((name, column), MissingTable(name, column)).with_traceback(None)
        return self._frames[name]

    def as_of(self, month: Month) -> pd.Timestamp:
        """Tell when a month's report is dated.

        Parameters
        ----------
        month : Month
            The month reported.

        Returns
        -------
        Timestamp
            Local midnight at the start of the next month, in naive UTC.
        """
        return periods.instant(month.end, self.company.timezone)

    def instant(self, value: Instant) -> pd.Timestamp:
        """Read an instant in the company's zone and hold it against the end of the data.

        Parameters
        ----------
        value : str, date, datetime or Timestamp
            A bare date means local midnight at its start; a Timestamp without zone is naive UTC.

        Returns
        -------
        Timestamp
            Naive UTC.

        Raises
        ------
        DataError
            If it lies after the end of the data: what happened in between is not known.
        """
        naive = isinstance(value, pd.Timestamp) and value.tzinfo is None
        moment = value if naive else periods.instant(value, self.company.timezone)
        if moment > self._covered:
            raise DataError(f"as_of {moment} UTC lies after the end of the data, {self.ends_at} UTC; ask for an earlier date, or export again")
        return moment

    def window(self, window: WindowLike | None, as_of: pd.Timestamp, days: int = 90) -> Window:
        """Read the window of a metric, or take the local days before an instant.

        Parameters
        ----------
        days : int
            How many days before `as_of` where no window is given.

        Returns
        -------
        Window

        Raises
        ------
        ParameterError
            If it is no window, or holds no day.
        """
        return periods.last_days(as_of, self.company.timezone, days) if window is None else Window.parse(window)

    def last_month(self) -> Month:
        """Find the last month that is complete before the end of the data.

        Returns
        -------
        Month
        """
        return Month.of(periods.month_number(periods.local_date(self._covered, self.company.timezone))).previous

    def first_month(self, table: str = "") -> Month:
        """Find the month in which the data begin, or one of the tables: before it nothing is known, which is not zero.

        Parameters
        ----------
        table : str
            Canonical table; empty asks for the earliest of all.

        Returns
        -------
        Month
        """
        return Month.of(periods.month_number(periods.local_date(self._firsts.get(table, self._firsts[""]), self.company.timezone)))

    def month(self, month: Month | str = "") -> Month:
        """Read the month to report and refuse one that the data do not cover whole.

        Parameters
        ----------
        month : Month or str
            Such as ``2026-10``; empty means the last complete month.

        Returns
        -------
        Month

        Raises
        ------
        ParameterError, DataError
            If it is no month, begins before the data or ends after them.
        """
        asked, first, last = Month.parse(str(month or self.last_month())), self.first_month(), self.last_month()
        if not first <= asked <= last:
            raise DataError(f"the data do not cover {asked}: complete months go from {first} to {last}")
        return asked

    def where(
        self, conditions: Mapping[str, str] | str | None = None, *, team: str = "", owner: str = "", source: str = "", segment: str = ""
    ) -> Dataset:
        """Restrict all tables consistently to a team, an owner, a source or a segment.

        Parameters
        ----------
        conditions : mapping of str to str, or str, optional
            The same as the keywords, also as one text such as ``team=Nord`` (see `parse_where`).
        team, owner, source, segment : str
            Value to keep; empty keeps all.

        Returns
        -------
        Dataset
            Leads, opportunities and customers that carry the value, and what belongs to them; a table that cannot tell is missing there. As with
            ``by``, owner and team are those of the time: of the entry for rates, of the event for counts and amounts, of `as_of` for snapshots.

        Raises
        ------
        ParameterError
            If no table has the column, no row has the value, or another one is asked of a part.
        """
        given = parse_where(conditions) if isinstance(conditions, str) else dict(conditions or {})
        wanted = given | {k: v for k, v in (("team", team), ("owner", owner), ("source", source), ("segment", segment)) if v}
        data = copy.copy(self)
        for column, value in wanted.items():
            data.part_of, data.facts, data.restricted_to = whole(self), {}, narrowed(data.restricted_to, column, value)
            data._frames, missing = restricted(data, data._frames, column, value)
            data._missing = data._missing | missing
        return data

    def at_constant_rates(self, as_of: Instant) -> Dataset:
        """Convert every amount, whenever it was made, at one rate per currency: what differs then is business, not exchange.

        Returns
        -------
        Dataset
            The rates of the day before `as_of` hold throughout; a currency without a rate by then has none.

        Raises
        ------
        MissingTable
            If the data set has no rates.
        """
        data, fx = copy.copy(self), constant_rates(self.table("fx"), self.instant(as_of), self.company.timezone, self._first)
        data.part_of = self.part_of and self.part_of.at_constant_rates(as_of)
        data._frames, data.facts = self._frames | {"fx": self.engine.put(fx)}, {}
        return data

    def note(self, month: Month) -> str:
        """Read what the analyst wrote about a month.

        Parameters
        ----------
        month : Month
            The month.

        Returns
        -------
        str
            Markdown of ``notes/<month>.md`` in the data set; empty when there is none.

        Raises
        ------
        DataError
            If the file is not UTF-8.
        """
        path = (self.folder or Path()) / "notes" / f"{month}.md"
        try:
            return path.read_text(encoding="utf-8-sig") if self.folder and path.is_file() else ""
        except UnicodeDecodeError:
            raise DataError(f"notes/{path.name} is not UTF-8; save it as UTF-8") from None

    def teams(self) -> list[str]:
        """List the teams, sorted.

        Returns
        -------
        list of str
            Empty when the data set has no table `owners`.
        """
        return collect(self.table("owners").select("team").unique(), ["team"])["team"].tolist() if self.has("owners") else []
