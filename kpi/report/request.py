"""What one run is asked for, checked before any kernel starts."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import kpi
from kpi.dataset import Dataset
from kpi.dataset.segments import parse_where
from kpi.errors import ParameterError, nearest
from kpi.periods import Month, local_date
from kpi.presentation.language import Words
from kpi.report.notebooks import Runner

CHECKOUT = Path(kpi.__file__).parent.parent
NOTEBOOKS = CHECKOUT / "notebooks"
ORDER = ("pulse", "response_time", "pipeline", "retention")  # as in the pages' navigation; others follow by name


@dataclass(frozen=True)
class Request:
    """One month to publish, everything about it decided and checked."""

    data: Dataset
    label: str
    month: Month
    words: Words
    conditions: dict[str, str]
    out: Path
    notebooks: dict[str, Path]
    only: tuple[str, ...]
    force: bool
    runner: Runner
    is_quiet: bool

    @property
    def parameters(self) -> dict[str, str]:
        """What the notebooks are told, the data set under its published name."""
        # The day on which the data end, not that of the run: what is made again from the same is the same.
        today = "" if self.data.company.exported_at is not None else str(local_date(self.data.ends_at, self.data.company.timezone))
        return {"dataset": self.label, "month": str(self.month), "lang": self.words.lang, "where": _written(self.conditions), "today": today}

    @property
    def dataset(self) -> Path:
        """The data set on this machine."""
        return (self.data.folder or Path()) / self.data.inputs[0].path

    @property
    def folder(self) -> Path:
        """Where the notebooks lie, and their kernels start."""
        return next(iter(self.notebooks.values())).parent

    def restricted(self, conditions: dict[str, str]) -> Request:
        """Ask for the same of a part of the company, published in a folder of its own."""
        if not conditions:
            return self
        if parse_where(_written(conditions)) != conditions:
            raise ParameterError(f"{_written(conditions)!r} cannot be reported on: a comma in a value cannot be told from the next condition")
        return replace(self, data=part(self.data, conditions), conditions=conditions, out=self.out / _folder(conditions))


def notebooks_of(folder: Path) -> dict[str, Path]:
    """Find the notebooks that make a month's pages."""
    found = {path.stem: path for path in sorted(folder.glob("*.ipynb"))}
    if not found:
        raise ParameterError(f"there is no notebook in {folder}; install the kit editable from its checkout")
    return {name: found[name] for name in [*(name for name in ORDER if name in found), *(name for name in found if name not in ORDER)]}


def selected(only: Sequence[str], found: Mapping[str, Path]) -> tuple[str, ...]:
    """Keep the notebooks asked for."""
    for name in only:
        if name not in found:
            raise ParameterError(f"there is no notebook {name!r}{nearest(name, found)} There are {', '.join(found)}")
    return tuple(name for name in found if name in only or not only)


def label_of(given: Path, data: Dataset) -> str:
    """Name a data set without naming this machine."""
    if not given.is_absolute():
        return given.as_posix()
    folder = data.folder or given
    return folder.relative_to(CHECKOUT).as_posix() if folder.is_relative_to(CHECKOUT) else folder.name


def values_of(data: Dataset, each: str, conditions: Mapping[str, str]) -> list[str]:
    """List what there is to report on one by one."""
    if each != "team":
        raise ParameterError(f"each {each!r} is not understood; write team")
    if each in conditions:
        raise ParameterError("give either one team or each team, not both")
    teams = data.teams()
    if not teams:
        raise ParameterError("the data set has no table owners, so it has no teams to report on one by one")
    return teams


def part(data: Dataset, conditions: Mapping[str, str]) -> Dataset:
    """Restrict a data set, with a hint where a team is misspelt."""
    try:
        return data.where(conditions)
    except ParameterError as error:
        teams, team = data.teams(), conditions.get("team", "")
        hint = nearest(team, teams) if team and team not in teams else "."
        raise ParameterError(str(error) if hint == "." else f"{error}{hint}") from None


def _written(conditions: Mapping[str, str]) -> str:
    return ",".join(f"{name}={value}" for name, value in conditions.items())


def _folder(conditions: Mapping[str, str]) -> str:
    """A folder name for a restriction, safe on every system and different for different restrictions."""
    name = _written(conditions)
    safe = re.sub(r"[^\w =,.-]", "_", name).strip(" .")
    return safe if safe == name else f"{safe}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"
