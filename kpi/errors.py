"""What the kit refuses, by kind. Each message says what was found, where, and what to do."""

from __future__ import annotations

import difflib
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType


class KpiError(ValueError):
    """Anything the kit refuses to do; the parent of all its errors.

    Attributes
    ----------
    status : int
        Exit status of the command line when the error reaches it.
    account : object
        What had been read when a data set was refused.
    """

    status = 2
    account: object = None


class ParameterError(KpiError):
    """An argument is unknown, misspelt or outside its range."""

    status = 2


class SchemaError(KpiError):
    """A table or a column that is needed is missing or has the wrong type."""

    status = 3


class MissingTable(SchemaError):
    """A metric needs a table or column that the data set does not have; the rest of a report is still made."""

    def __init__(self, table: str, column: str = "") -> None:
        self.table, self.column = table, column
        what = f"{table} lacks the column {column}" if column else f"the data set has no table {table}"
        super().__init__(f"{what}; describe it under [tables.{table}] in kpi.toml")


class MissingTime(MissingTable):
    """A metric needs the time of day of an instant that was recorded as a date only."""

    def __init__(self, table: str, column: str) -> None:
        super().__init__(table, column)
        self.args = (f"{table}.{column} has dates without a time of day, so delays of minutes and hours are not known; export it with its time",)


class MissingLink(MissingTable):
    """A metric needs a link, or records, that the data hardly have."""

    def __init__(self, table: str, column: str, text: str, counts: Mapping[str, int] = MappingProxyType({})) -> None:
        super().__init__(table, column)
        self.text, self.counts = text, counts
        self.args = (text.format(table=table, column=column, **counts),)


class DataError(KpiError):
    """The data cannot be read, are not trustworthy, or do not cover what was asked."""

    status = 3


class RunError(KpiError):
    """A notebook failed, so nothing of that month was published."""

    status = 4


class BusyError(KpiError):
    """Another run is writing the same month."""

    status = 5


class WriteError(KpiError):
    """The output folder cannot be written."""

    status = 6


class FaultError(KpiError):
    """A month was published, but a fault of the kit took some of its numbers.

    Attributes
    ----------
    pages : sequence of Path
        First pages of what was published.
    """

    status = 1

    def __init__(self, message: str, pages: Sequence[Path] = ()) -> None:
        super().__init__(message)
        self.pages = pages


def why_missing(error: Exception) -> tuple[str, str]:
    """Say why something cannot be made, and give the trace where no data are to blame but the kit: it stops nothing else."""
    if isinstance(error, MemoryError) or is_interruption(error):
        raise error
    if isinstance(error, SchemaError | DataError):
        return str(error), ""
    frames = traceback.extract_tb(error.__traceback__)[1:]  # the first is who asks
    inside = [f" at {Path(frame.filename).name}:{frame.lineno}" for frame in frames if Path(frame.filename).is_relative_to(Path(__file__).parent)]
    return f"a fault of the kit ({type(error).__name__}{inside[-1] if inside else ''})", "".join(traceback.format_exception(error))


def is_interruption(error: Exception) -> bool:
    """Recognise what the engine makes of a signal that finds it in the middle of a query."""
    return isinstance(error, RuntimeError) and "interrupted" in str(error).casefold()


@contextmanager
def accounted(account: object) -> Iterator[None]:
    """Let what is refused carry the account of what had been read."""
    try:
        yield
    except KpiError as error:
        error.account = account
        raise


def nearest(name: str, options: Iterable[str]) -> str:
    """Say which of several names was probably meant."""
    folded = {option.casefold(): option for option in options}
    found = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.5)
    return f"; did you mean {folded[found[0]]!r}?" if found else "."
