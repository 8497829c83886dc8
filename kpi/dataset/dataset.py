"""The one object that goes through the kit: canonical tables on an engine, with the company's zone, hours and parameters."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import narwhals.stable.v2 as nw
import pandas as pd

from kpi import periods, schema, sources
from kpi.dataset.constant_currency import constant_rates
from kpi.dataset.extent import span
from kpi.dataset.hours import OFFICE_HOURS, Hours, calendars, hours_of_teams
from kpi.dataset.segments import parse_where, restricted
from kpi.dataset.settings import check_settings
from kpi.engine import Engine, collect, connect, is_spark
from kpi.errors import DataError, MissingTable
from kpi.periods import Instant, Month, Window, WindowLike


def load(path: str | Path = "data/sample", *, engine: str = "duckdb") -> Dataset:
    """Read a data set: a folder with a kpi.toml and its tables.

    Parameters
    ----------
    path : str or Path
        The folder or its kpi.toml; a relative one is also looked for upward from the working directory.
    engine : str
        ``duckdb``, ``polars`` or ``spark``: where the metrics are computed; the files are read and checked on this machine.

    Returns
    -------
    Dataset

    Raises
    ------
    DataError
        If the folder, its kpi.toml or a file cannot be read.
    SchemaError
        If a needed column is missing.
    """
    config = sources.read_config(path)
    connection = connect()
    reading = sources.read(config, connection)
    return Dataset._of(Engine(connection, engine), reading, config.company, config.hours, config.settings, config.folder)


class Dataset:
    """Canonical tables on an engine; every metric takes it first.

    Parameters
    ----------
    leads, lead_scores, activities, opportunities, opportunity_history : frame, optional
        pandas, Polars or Arrow frame, DuckDB relation, Spark frame, or path of a Parquet file, with the canonical columns of `kpi.schema`. Instants
        are naive UTC or zoned.
    customers, orders, contracts, stages, owners, targets, fx, calendars : frame, optional
        The same.
    name : str
        The company's name.
    language, currency, timezone, country : str
        As in ``[company]`` of kpi.toml.
    exported_at : str, optional
        End of the data; without it, the latest event.
    settings : mapping, optional
        Parameters of the metrics, per area: ``{"response": {...}}``.
    hours : mapping, optional
        Opening hours per weekday.
    engine : str, optional
        ``duckdb``, ``polars`` or ``spark``. Without it Spark where one of the frames is Spark's, else DuckDB. On Spark, its frames stay there and are
        checked there: types, empty cells, unknown values, repeated keys, unknown parents; with another engine they are brought here.

    Raises
    ------
    SchemaError
        If a frame lacks a required column.
    DataError
        If a frame cannot be read, or no row has a date; rows with cells of the wrong type are set aside.
    ParameterError
        If a setting or the engine is unknown.
    """

    def __init__(
        self,
        *,
        leads=None,
        lead_scores=None,
        activities=None,
        opportunities=None,
        opportunity_history=None,
        customers=None,
        orders=None,
        contracts=None,
        stages=None,
        owners=None,
        targets=None,
        fx=None,
        calendars=None,
        name: str = "",
        language: str = "en",
        currency: str = "EUR",
        timezone: str = "UTC",
        country: str = "",
        exported_at: str | None = None,
        settings: Mapping | None = None,
        hours: Mapping | None = None,
        engine: str | None = None,
    ) -> None:
        sales = (leads, lead_scores, activities, opportunities, opportunity_history, customers, orders, contracts)
        given = (*sales, stages, owners, targets, fx, calendars)
        frames = {table: frame for table, frame in zip(schema.TABLES, given, strict=True) if frame is not None}
        end = None if exported_at is None else periods.instant(exported_at, timezone)
        company = sources.Company(name=name, language=language, currency=currency, timezone=timezone, country=country, exported_at=end)
        on_spark = any(is_spark(frame) for frame in frames.values())
        place = Engine(connect(), engine or ("spark" if on_spark else "duckdb"))
        read, here = (sources.read_spark, place) if on_spark and place.name == "spark" else (sources.read_frames, place.connection)
        self._fill(place, read(frames, company, here), company, hours, settings or {}, None)

    @classmethod
    def _of(cls, engine, reading, company, hours, settings, folder) -> Dataset:
        data = cls.__new__(cls)
        data._fill(engine, reading, company, hours, settings, folder)
        return data

    def _fill(self, engine, reading, company, hours, settings, folder) -> None:
        check_settings(settings)
        self.engine, self.company, self.settings, self.folder = engine, company, settings, folder
        given = dict(hours or OFFICE_HOURS)
        self.hours = {day: windows for day, windows in given.items() if not isinstance(windows, Mapping)} or OFFICE_HOURS
        self._hours_by_team = {team: week for team, week in given.items() if isinstance(week, Mapping)}
        self.provided, self.precision = reading.provided, reading.precision
        self.ledger, self.set_aside, self.decisions, self.inputs = reading.ledger, reading.set_aside, reading.decisions, reading.inputs
        self.flags, self.limits, self._recorded = reading.flags, reading.limits, reading.recorded
        self.restricted_to: dict[str, str] = {}
        self._frames = {name: engine.table(stored) for name, stored in reading.tables.items()}
        self._missing: dict[str, str] = {}
        self._firsts, self._first, last = span(self._frames, self.provided)
        self.ends_at = company.exported_at if company.exported_at is not None else last
        rows = collect(self._frames["calendars"], ["weekday", "opens"]) if self.has("calendars") else None
        office = Hours(company.timezone, periods.open_windows(self.hours), company.country)
        company_rows, team_rows = calendars(office, hours_of_teams(office, self._hours_by_team, rows), self._first, self.ends_at, last)
        self.calendar, self.team_calendar = engine.put(company_rows), None if team_rows is None else engine.put(team_rows)
        self.facts: dict[tuple, object] = {}  # what was computed once: facts, helper tables, headline numbers

    def has(self, table: str, column: str = "") -> bool:
        """Tell whether a table, or one of its columns, was provided.

        Parameters
        ----------
        table : str
            Canonical table.
        column : str
            Canonical column; empty asks for the table.

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
        for column in columns:
            if column not in self.provided[name]:
                raise MissingTable(name, column)
        return self._frames[name]

    def as_of(self, month: Month) -> pd.Timestamp:
        """Tell when a month's report is dated: local midnight at the start of the next month.

        Parameters
        ----------
        month : Month
            The month reported.

        Returns
        -------
        Timestamp
            Naive UTC.
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
        if moment > self._covered_until():
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
        return Month.of(periods.month_number(periods.local_date(self._covered_until(), self.company.timezone))).previous

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
        first = self._firsts.get(table, self._first)
        return Month.of(periods.month_number(periods.local_date(first, self.company.timezone)))

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
        ParameterError
            If it is no month.
        DataError
            If it begins before the data or ends after them.
        """
        asked = Month.parse(str(month)) if month else self.last_month()
        first = self.first_month()
        if not first <= asked <= self.last_month():
            raise DataError(f"the data do not cover {asked}: complete months go from {first} to {self.last_month()}")
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
            Leads, opportunities and customers that carry the value, and what belongs to them. A table that cannot tell is missing there.

        Raises
        ------
        ParameterError
            If no table has the column, or no row has the value.
        """
        given = parse_where(conditions) if isinstance(conditions, str) else dict(conditions or {})
        wanted = given | {k: v for k, v in (("team", team), ("owner", owner), ("source", source), ("segment", segment)) if v}
        data = copy.copy(self)
        for column, value in wanted.items():
            data = data._restrict(column, value)
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
        data, rates = copy.copy(self), constant_rates(self.table("fx"), self.instant(as_of), self.company.timezone, self._first)
        data._frames, data.facts = self._frames | {"fx": self.engine.put(rates)}, {}
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
        path = None if self.folder is None else self.folder / "notes" / f"{month}.md"
        if path is None or not path.is_file():
            return ""
        try:
            return path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError:
            raise DataError(f"notes/{path.name} is not UTF-8; save it as UTF-8") from None

    @property
    def account(self) -> pd.DataFrame:
        """The ledger with each reason taken apart into its ``message`` (translatable, ``{column}`` where a column goes) and ``column``."""
        taken = [sources.parts(reason) for reason in self.ledger["reason"]]
        return self.ledger.assign(message=[message for message, _ in taken], column=[column for _, column in taken])

    def teams(self) -> list[str]:
        """List the teams, sorted.

        Returns
        -------
        list of str
            Empty when the data set has no table `owners`.
        """
        return collect(self.table("owners").select("team").unique(), ["team"])["team"].tolist() if self.has("owners") else []

    def _restrict(self, column: str, value: str) -> Dataset:
        data = copy.copy(self)
        data._frames, missing = restricted(self, self._frames, column, value)
        data._missing, data.facts = self._missing | missing, {}
        data.restricted_to = self.restricted_to | {column: value}
        return data

    def _covered_until(self) -> pd.Timestamp:
        """Without a known export date, the day of the latest event is taken as whole."""
        if self.company.exported_at is not None:
            return self.ends_at
        next_day = periods.local_date(self.ends_at, self.company.timezone) + pd.Timedelta(days=1)
        return periods.instant(pd.Timestamp(next_day).date(), self.company.timezone)
