"""How far a lever might plausibly move: to where the best owner is, as far as that is more than luck, else to the end of its interval; the stages."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from kpi.forecast.fitting import FLOOR, cells, places, surprise
from kpi.forecast.process import Model, logistic
from kpi.forecast.transitions import Counts
from kpi.schema import BLANK
from kpi.statistics.intervals import quantile_of
from kpi.statistics.shrinkage import shrunk

REACH = 0.8  # coverage of the interval whose end is the target where nobody stands out
GOING_ON = 180  # days within which a step forward counts, as for `pipeline.stage_conversion`
LONGEST = 730  # days within which half of the stays must be over to tell how long they take


@dataclass(frozen=True)
class Lever:
    """One factor and where it might go."""

    kind: str
    group: str
    unit: str
    place: int = 0
    basis: str = ""
    best: str = ""
    shift: float = np.nan
    error: float = np.nan
    now: float = np.nan
    then: float = np.nan
    n: int = 0
    n_events: int = 0
    n_open: int | None = None

    @property
    def is_known(self) -> bool:
        """Whether there are records enough to move it."""
        return self.n >= FLOOR and not np.isnan(self.shift)

    def drawn(self, draws: int, rng: np.random.Generator) -> np.ndarray:
        """Draw how far it might move."""
        return self.shift + self.error * np.concatenate([[0.0], rng.standard_normal(draws)])

    def row(self) -> dict:
        """Give the columns of the result that do not depend on the model."""
        told = {"kind": self.kind, "group": self.group, "unit": self.unit, "n": self.n, "n_events": self.n_events, "n_open": self.n_open}
        known = self.is_known
        told |= {"from": self.now, "to": self.then if known else np.nan, "shift": self.shift if known else np.nan}
        return told | {"basis": self.basis, "best": self.best}


def target(names, steps: np.ndarray, variances: np.ndarray, whole: float, basis: str) -> dict:
    """Choose where a factor might go: to the best of its groups, or to the end of its own interval."""
    if len(steps) >= 3:
        mean, deviation = shrunk(np.asarray(steps), np.asarray(variances))
        ranked = np.where([name != BLANK for name in names], mean, -np.inf)
        best = int(ranked.argmax())
        if ranked[best] > 0:
            return {"shift": float(mean[best]), "error": float(deviation[best]), "basis": basis, "best": str(names[best])}
    error = float(np.sqrt(whole))
    return {"shift": quantile_of(REACH) * error, "error": error, "basis": "interval"}


def conversions(counts: Counts, model: Model) -> list[Lever]:
    """For each stage, the share of the deals that goes on."""
    found, point = [], _point(model, GOING_ON)
    table = counts.exits.assign(
        n=counts.exits["advanced"] + counts.exits["lost"], events=counts.exits["advanced"], place=places(counts, counts.exits)
    )
    expected = model.odds[0][table["place"], table["band"]] + model.tilt[0][pd.Index(model.sources).get_indexer(table["source"])]
    for place, label in enumerate(_labels(counts)):
        here = (table["place"] == place).to_numpy()
        rows, odds = table[here], expected[here]
        names, steps, variances, _ = surprise(rows, odds, "owner")
        information = float((rows["n"] * logistic(odds) * (1 - logistic(odds))).sum())
        lever = Lever("conversion", label, "rate", place, n=int(rows["n"].sum()), n_events=int(rows["events"].sum()), n_open=_open(model, place))
        if lever.n >= FLOOR:
            lever = replace(lever, **target(names, steps, variances, 1 / (information + 0.25), "owner"))
        mix = rows.groupby("source")["n"].sum().reindex(model.sources, fill_value=0).to_numpy(dtype="float64")
        now, then = (_going_on(point, place, push, mix) for push in (0.0, lever.shift))
        found.append(replace(lever, now=now, then=then))
    return found


def paces(counts: Counts, model: Model) -> list[Lever]:
    """For each stage, how long deals stay in it."""
    found, point = [], _point(model, LONGEST)
    ends, risk = cells(counts, "exits", "advanced", "lost"), counts.exposure
    usual = risk["days"] * model.ends[0][places(counts, risk), risk["band"]]
    for place, stage in enumerate(counts.stages["stage"]):
        exits = counts.exits[places(counts, counts.exits) == place]
        done = (exits["advanced"] + exits["lost"]).groupby(exits["owner"]).sum()
        due = usual[places(counts, risk) == place].groupby(risk["owner"]).sum().reindex(done.index, fill_value=0.0)
        large = done[done >= FLOOR].index
        steps = np.log((done[large] + 0.5) / (due[large] + 0.5)).to_numpy(dtype="float64")
        n, there = int(ends[place].sum()), _open(model, place)
        lever = Lever("pace", str(stage), "days", place, n=n + there, n_events=n, n_open=there)
        if n >= FLOOR:
            lever = replace(lever, **target(large, steps, 1 / done[large].to_numpy(dtype="float64"), 1 / n, "owner"))
        found.append(replace(lever, now=_half_over(point, place, 0.0), then=_half_over(point, place, lever.shift)))
    return found


def _labels(counts: Counts) -> list[str]:
    return [f"{row.stage} → {row.next_stage}" if row.stage else "" for row in counts.stages.itertuples()]


def _point(model: Model, horizon: int) -> Model:
    """The estimate alone, looked at further ahead."""
    first = {name: getattr(model, name)[:1] for name in ("ends", "odds", "tilt", "rate", "amount")}
    return replace(model, horizon=horizon, **first)


def _open(model: Model, place: int) -> int:
    return int(model.open[place].sum())


def _going_on(point: Model, place: int, push: float, mix: np.ndarray) -> float:
    shares = point.stage(place, push=push)[0][0].sum(axis=1)
    return float((shares * mix).sum() / mix.sum()) if mix.sum() else np.nan


def _half_over(point: Model, place: int, pace: float) -> float:
    """Days by which half of the stays are over, read between days."""
    over = point.stays_over(place, pace)
    if not len(over) or np.isnan(over[-1]) or over[-1] < 0.5:
        return np.nan
    day = int((over >= 0.5).argmax())
    before = over[day - 1] if day else 0.0
    return float(day - 1 + (0.5 - before) / (over[day] - before)) if day else 0.0
