"""How far a lever might plausibly move: to where the best owner is, as far as that is more than luck, else to the end of its interval; the stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from kpi import response_time
from kpi.catalog import CATALOG
from kpi.dataset import Dataset
from kpi.forecast.pipeline_counts import QUARTER, Counts
from kpi.forecast.pipeline_model import FLOOR, PipelineModel, cells, effects, mean_and_error, places
from kpi.periods import Window
from kpi.schema import BLANK
from kpi.statistics.intervals import quantile_of
from kpi.statistics.shrinkage import shrunk

REACH = 0.8  # coverage of the interval whose end is the target where nobody stands out
GOING_ON = int(CATALOG["pipeline.stage_conversion"].horizons[0])  # days within which a step forward counts
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

    @property
    def moves(self) -> bool:
        """Whether it has anywhere to go, as far as is known."""
        return not self.is_known or (self.shift > 0 and self.now != self.then)

    def drawn(self, draws: int, rng: np.random.Generator) -> np.ndarray:
        """Draw how far it might move."""
        return self.shift + self.error * np.concatenate([[0.0], rng.standard_normal(draws)])

    def row(self) -> dict:
        """Give the columns of the result that do not depend on the model."""
        row = {name: getattr(self, name) for name in ("kind", "group", "unit", "n", "n_events", "n_open", "basis", "best")}
        then, shift = (self.then, self.shift) if self.is_known else (np.nan, np.nan)
        return row | {"from": self.now, "to": then, "shift": shift}


def target(names: Sequence[str] | pd.Index, steps: np.ndarray, variances: np.ndarray, whole: float, basis: str) -> dict:
    """Choose where a factor might go: to the best of its groups, or to the end of its own interval."""
    if len(steps) >= 3:
        mean, deviation = shrunk(np.asarray(steps), np.asarray(variances))
        ranked = np.where([name != BLANK for name in names], mean, -np.inf)
        best = int(ranked.argmax())
        if ranked[best] > 0:
            return {"shift": float(mean[best]), "error": float(deviation[best]), "basis": basis, "best": str(names[best])}
    error = float(np.sqrt(whole))
    return {"shift": quantile_of(REACH) * error, "error": error, "basis": "interval"}


def conversions(counts: Counts, model: PipelineModel) -> list[Lever]:
    """For each stage, the share of the deals that goes on."""
    found, point = [], _point(model, GOING_ON)
    table = counts.exits.assign(place=places(counts, counts.exits))
    expected = model.log_odds[0][table["place"], table["band"]] + model.source_effect[0][pd.Index(model.sources).get_indexer(table["source"])]
    for place, (_, stage, following) in enumerate(counts.stages.itertuples(index=False)):
        here = (table["place"] == place).to_numpy()
        rows, odds = table[here], expected[here]
        names, steps, variances = effects(rows, odds, "owner")
        information = float((rows["n"] * expit(odds) * (1 - expit(odds))).sum())
        label = f"{stage} → {following}" if stage else ""
        lever = Lever("conversion", label, "rate", place, n=int(rows["n"].sum()), n_events=int(rows["events"].sum()), n_open=_open(model, place))
        if lever.n >= FLOOR:
            lever = replace(lever, **target(names, steps, variances, 1 / (information + 0.25), "owner"))
        mix = rows.groupby("source")["n"].sum().reindex(model.sources, fill_value=0).to_numpy(dtype="float64")
        now, then = (_going_on(point, place, push, mix) for push in (0.0, lever.shift))
        found.append(replace(lever, now=now, then=then))
    return found


def paces(counts: Counts, model: PipelineModel) -> list[Lever]:
    """For each stage, how long deals stay in it."""
    found, point = [], _point(model, LONGEST)
    ends, risk = cells(counts, "exits", "n"), counts.exposure
    usual = risk["days"] * model.exit_chance[0][places(counts, risk), risk["band"]]
    for place, stage in enumerate(counts.stages["stage"]):
        exits = counts.exits[places(counts, counts.exits) == place]
        done = exits.groupby("owner")["n"].sum()
        due = usual[places(counts, risk) == place].groupby(risk["owner"]).sum().reindex(done.index, fill_value=0.0)
        large = done[done >= FLOOR].index
        steps = np.log((done[large] + 0.5) / (due[large] + 0.5)).to_numpy(dtype="float64")
        n, there = int(ends[place].sum()), _open(model, place)
        lever = Lever("pace", str(stage), "days", place, n=n + there, n_events=n, n_open=there)
        if n >= FLOOR:
            lever = replace(lever, **target(large, steps, 1 / done[large].to_numpy(dtype="float64"), 1 / n, "owner"))
        found.append(replace(lever, now=_half_over(point, place, 0.0), then=_half_over(point, place, lever.shift)))
    return found


def _point(model: PipelineModel, horizon: int) -> PipelineModel:
    """The estimate alone, looked at further ahead."""
    first = {name: getattr(model, name)[:1] for name in ("exit_chance", "log_odds", "source_effect", "inflow", "amount")}
    return replace(model, horizon=horizon, **first)


def _open(model: PipelineModel, place: int) -> int:
    return int(model.open[place].sum())


def _going_on(point: PipelineModel, place: int, push: float, mix: np.ndarray) -> float:
    shares = point.stage(place, push=push)[0][0].sum(axis=1)
    return float((shares * mix).sum() / mix.sum()) if mix.sum() else np.nan


def _half_over(point: PipelineModel, place: int, pace: float) -> float:
    """Days by which half of the stays are over, read between days."""
    over = point.stays_over(place, pace)
    if not len(over) or np.isnan(over[-1]) or over[-1] < 0.5:
        return np.nan
    day = int((over >= 0.5).argmax())
    before = over[day - 1] if day else 0.0
    return float(day - 1 + (0.5 - before) / (over[day] - before)) if day else 0.0


def inflows(counts: Counts, model: PipelineModel) -> list[Lever]:
    """For each source, how many deals come in."""
    found, quarters = [], range(counts.days // QUARTER)
    for place, source in enumerate(model.sources):
        by_quarter = counts.entries[counts.entries["source"] == source].groupby("quarter")["count"].sum()
        n, whole = int(by_quarter.sum()), by_quarter.reindex(quarters, fill_value=0)
        large = whole[whole >= FLOOR]
        lever = Lever("inflow", source, "count", place, n=n, n_events=n, now=float(model.inflow[0, place] * model.horizon))
        if n >= FLOOR:
            steps = np.log(large / (n * QUARTER / counts.days)).to_numpy(dtype="float64")
            lever = replace(lever, **target([str(name) for name in large.index], steps, 1 / large.to_numpy(dtype="float64"), 1 / n, "quarter"))
            lever = replace(lever, best="", then=lever.now * float(np.exp(lever.shift)))
        found.append(lever)
    return found


def lead_conversion(counts: Counts) -> list[Lever]:
    """Share of the leads that become an opportunity."""
    if counts.leads.empty:
        return []
    table = counts.leads.groupby(["source", "owner"], as_index=False)[["n", "events"]].sum()
    share = (table.groupby("source")["events"].transform("sum") + 0.5) / (table.groupby("source")["n"].transform("sum") + 1)
    names, steps, variances = effects(table, logit(share.to_numpy("float64")), "owner")
    n, events = int(table["n"].sum()), int(table["events"].sum())
    lever = Lever("lead_conversion", "", "rate", n=n, n_events=events, n_open=0, now=events / n)
    if n >= FLOOR:
        whole = 1 / (float((table["n"] * share * (1 - share)).sum()) + 0.25)
        lever = replace(lever, **target(names, steps, variances, whole, "owner"))
        lever = replace(lever, then=lever.now * (1 + float(more_from_leads(counts, np.array([lever.shift]))[0])))
    return [lever]


def response(data: Dataset, counts: Counts, now: pd.Timestamp, window: Window) -> list[Lever]:
    """Share of the leads answered within the hour, and the opportunities that go with it: an association."""
    by = "team" if data.has("owners") else "source"
    row = response_time.what_if(data, as_of=now, window=window, past=window, by=by).iloc[0]
    made = counts.leads["events"].sum() / max(counts.leads["n"].sum(), 1)
    lever = Lever("response", "", "rate", n=int(row["n"]), n_events=int(row["n_events"]), n_open=0, now=float(row["now"]))
    if pd.isna(row["value"]) or not made > 0:
        return [lever]
    each = 1 / (row["n"] * made)
    error = float((row["high"] - row["value"]) / quantile_of(0.95) * each)
    then = max(float(row["target"]), lever.now)
    return [replace(lever, shift=float(row["value"] * each), error=error, then=then, basis=by, best=str(row["best"]))]


def amounts(counts: Counts, model: PipelineModel) -> list[Lever]:
    """Mean amount of a won deal."""
    whole = counts.amounts[["n", "total", "squares"]].sum()
    n = int(whole["n"])
    lever = Lever("amount", "", "money", n=n, n_events=n)
    if n < FLOOR or not whole["total"] > 0:
        return [lever]
    mean, error = mean_and_error(whole)
    usual = counts.amounts["n"] * model.amount[0][pd.Index(model.sources).get_indexer(counts.amounts["source"])]
    table = counts.amounts.assign(usual=usual).groupby("owner")[["n", "total", "usual"]].sum()
    table = table[(table["n"] >= FLOOR) & (table["total"] > 0)]
    relative = (error / mean) ** 2
    steps = np.log((table["total"] / table["usual"]).to_numpy(dtype="float64"))
    lever = replace(lever, now=mean, **target(table.index, steps, relative * n / table["n"].to_numpy(dtype="float64"), relative, "owner"))
    return [replace(lever, then=mean * float(np.exp(lever.shift)))]


def more_from_leads(counts: Counts, shift: np.ndarray) -> np.ndarray:
    """By how much opportunities from leads grow, relative to now, when the log odds of every source move."""
    table = counts.leads.groupby("source")[["n", "events"]].sum()
    n, events = (table[name].to_numpy(dtype="float64") for name in ("n", "events"))
    share = (events + 0.5) / (n + 1)
    return (n * expit(logit(share) + np.reshape(shift, (-1, 1)))).sum(axis=1) / (n * share).sum() - 1


def lags(counts: Counts, horizon: int) -> np.ndarray:
    """Share of the opportunities of each coming day that stem from leads yet to come: the others' leads are there already."""
    made = counts.leads[counts.leads["lag"] >= 0]
    found = np.bincount(np.minimum(made["lag"], horizon), made["n"], horizon + 1)[:horizon]
    return found.cumsum() / max(made["n"].sum(), 1)
