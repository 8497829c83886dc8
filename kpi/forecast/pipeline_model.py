"""The pipeline as a process: from stage to stage by daily chances that depend on the age in the stage, for deals open now and those to come.

Two numbers per stage and band of age: the chance per day that the stay ends, and the share of the ends that go on. Sources differ in that share (by
one step in log odds for all stages), in inflow and in the amount of a won deal. Each array has the estimate first, then draws of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from kpi.forecast.pipeline_counts import BANDS, Counts
from kpi.statistics.shrinkage import shrunk

FLOOR = 20  # records below which a group is not told apart
STEPS = 8  # of Newton's method, which settles in three or four
MOST = 0.95  # no chance per day is larger
LAST = BANDS[-1]
BAND_OF = np.searchsorted(BANDS, np.arange(LAST + 1), side="right") - 1


class StageFlow(NamedTuple):
    """When deals go on from a stage: by day since they enter it, and by day from now of those that are in it (draws x sources x days)."""

    entering: np.ndarray
    from_open: np.ndarray


@dataclass(frozen=True)
class PipelineModel:
    """Estimates and draws; the first index is the draw, 0 the estimate.

    exit_chance: chance per day that a stay ends, by stage and band of age. log_odds: of going on then. source_effect: what a source adds to these.
    inflow: deals a day, and amount: mean of a won deal, by source. open: deals open now by stage, source and age (no draws).
    """

    sources: list[str]
    horizon: int
    exit_chance: np.ndarray
    log_odds: np.ndarray
    source_effect: np.ndarray
    inflow: np.ndarray
    amount: np.ndarray
    open: np.ndarray

    @property
    def stages(self) -> list[StageFlow]:
        """What every stage does, as `PipelineModel.stage` gives it."""
        return [self.stage(place) for place in range(self.exit_chance.shape[1])]

    def stage(self, place: int, pace: np.ndarray | float = 0.0, push: np.ndarray | float = 0.0) -> StageFlow:
        """Tell when deals go on from a stage: those that enter it, and those that are in it now."""
        ends = np.minimum(self.exit_chance[:, place] * np.exp(np.reshape(pace, (-1, 1))), MOST)
        goes_on = expit((self.log_odds[:, place] + np.reshape(push, (-1, 1)))[:, None] + self.source_effect[:, :, None])
        days = np.arange(self.horizon)
        entering = self._leaving(ends, np.zeros(1, dtype="int64"))[:, 0][:, None] * goes_on[:, :, BAND_OF[np.minimum(days, LAST)]]
        ages = np.flatnonzero(self.open[place].sum(axis=0))
        leaving, bands = self._leaving(ends, ages), BAND_OF[np.minimum(ages[:, None] + days, LAST)]
        from_open = np.zeros((len(ends), len(self.sources), self.horizon))
        for source, there in enumerate(self.open[place][:, ages]):
            held = np.flatnonzero(there)
            from_open[:, source] = np.einsum("a,nad,nad->nd", there[held], leaving[:, held], goes_on[:, source][:, bands[held]])
        return StageFlow(entering, from_open)

    def stays_over(self, place: int, pace: float = 0.0) -> np.ndarray:
        """Share of the stays in a stage that are over by each day, going on or lost."""
        ends = np.minimum(self.exit_chance[:1, place] * np.exp(pace), MOST)
        return self._leaving(ends, np.zeros(1, dtype="int64"))[0, 0].cumsum()

    def _leaving(self, ends: np.ndarray, ages: np.ndarray) -> np.ndarray:
        """Draws x ages x days: chance that a stay of that age ends after so many days more."""
        chance = ends[:, BAND_OF[np.minimum(ages[:, None] + np.arange(self.horizon), LAST)]]
        staying = np.cumprod(1 - chance, axis=2)
        return chance * np.concatenate([np.ones_like(staying[:, :, :1]), staying[:, :, :-1]], axis=2)

    def won(self, stages: list[StageFlow]) -> np.ndarray:
        """Count the deals won within the horizon among those open now."""
        flow = np.zeros(1)
        for entering, from_open in stages:
            flow = from_open + (_after(flow, entering) if flow.ndim > 1 else 0.0)
        return flow.sum(axis=2)

    def won_per_day(self, stages: list[StageFlow], coming: np.ndarray) -> np.ndarray:
        """Count the deals won within the horizon among those to come."""
        flow = np.broadcast_to(coming, stages[0][0].shape)
        for entering, _ in stages:
            flow = _after(flow, entering)
        return flow.sum(axis=2)

    def value(self, stages: list[StageFlow]) -> np.ndarray:
        """Give the expected won value: deals open now and deals to come, each at the mean amount of its source."""
        coming = self.inflow * self.won_per_day(stages, np.ones(self.horizon))
        return (self.amount * (self.won(stages) + coming)).sum(axis=1)


def _after(flow: np.ndarray, delays: np.ndarray) -> np.ndarray:
    """Days on which what comes in on days of `flow` goes on, by `delays`; what lies beyond the horizon is cut off."""
    days = flow.shape[-1]
    return np.fft.irfft(np.fft.rfft(flow, 2 * days) * np.fft.rfft(delays, 2 * days), 2 * days)[..., :days]


def fitted(counts: Counts, horizon: int, draws: int, seed: int) -> PipelineModel:
    """Estimate the model from the counts, and draw it anew as often as counts of the same size would scatter.

    Parametric bootstrap: binomial exits among the days at risk and binomial steps forward among the exits of each cell of stage and age, gamma
    inflow, normal for the means of amounts and for what `shrunk` says of the sources.
    """
    rng = np.random.default_rng(seed)
    sources = sorted({*counts.entries["source"], *counts.waiting["source"], *counts.exits["source"], *counts.amounts["source"]})
    risk, ended, advanced = cells(counts, "exposure", "days"), cells(counts, "exits", "n"), cells(counts, "exits", "events")
    entered = counts.entries.groupby("source")["count"].sum().reindex(sources, fill_value=0).to_numpy("float64")
    model = PipelineModel(
        sources,
        horizon,
        exit_chance=_chances(np.concatenate([ended[None], rng.binomial(risk, _chances(ended, risk), (draws, *risk.shape))]), risk),
        log_odds=logit(_shares(np.concatenate([advanced[None], rng.binomial(ended, _shares(advanced, ended), (draws, *ended.shape))]), ended)),
        source_effect=np.zeros((1, len(sources))),
        inflow=np.concatenate([entered[None], rng.gamma(entered + 0.5, 1.0, (draws, len(sources)))]) / counts.days,
        amount=_amounts(counts, sources, draws, rng),
        open=_open(counts, sources),
    )
    return replace(model, source_effect=_drawn(*_source_effects(counts, sources, model.log_odds[0]), draws, rng))


def cells(counts: Counts, name: str, column: str) -> np.ndarray:
    """Sum counts by stage and band of age."""
    table = getattr(counts, name)
    found = np.zeros((len(counts.stages), len(BANDS)), dtype="int64")
    np.add.at(found, (places(counts, table), table["band"].to_numpy()), table[column].to_numpy(dtype="int64"))
    return found


def places(counts: Counts, table: pd.DataFrame) -> np.ndarray:
    """Give the place of each row's stage."""
    return pd.Index(counts.stages["position"]).get_indexer(table["position"])


def effects(table: pd.DataFrame, log_odds: np.ndarray, by: str) -> tuple[pd.Index, np.ndarray, np.ndarray]:
    """Estimate what each large group adds to the log odds expected of its rows, and the variance of that."""
    sizes = table.groupby(by)["n"].sum()
    large = sizes.index[sizes >= FLOOR]
    place = large.get_indexer(table[by])
    inside = place >= 0
    place, expected = place[inside], log_odds[inside]
    n, events = (table[name].to_numpy("float64")[inside] for name in ("n", "events"))
    step: np.ndarray = np.zeros(len(large))
    information: np.ndarray = np.ones(len(large))
    for _ in range(STEPS):  # half a record more and half a record less keep a group of only wins finite
        share = expit(expected + step[place])
        information = np.bincount(place, n * share * (1 - share), len(large)) + 0.25
        gradient = np.bincount(place, events - n * share, len(large)) - 0.25 * step
        step = step + np.clip(gradient / information, -1, 1)
    return large, step, 1 / information


def _chances(ended: np.ndarray, risk: np.ndarray) -> np.ndarray:
    """Chance per day by band; where nobody was at risk, that of the band before, or of the first band known."""
    known = risk > 0
    latest = np.maximum.accumulate(np.where(known, np.arange(risk.shape[1]), -1), axis=1)
    latest = np.where(latest < 0, known.argmax(axis=1)[:, None], latest)
    share = np.divide(ended, risk, out=np.zeros(ended.shape), where=np.broadcast_to(known, ended.shape))
    return np.take_along_axis(share, np.broadcast_to(latest, share.shape), axis=-1)


def _shares(advanced: np.ndarray, ended: np.ndarray) -> np.ndarray:
    """Share of the ends that go on by band, one end more at the share of the whole stage, so that none is 0 or 1."""
    whole = (advanced.sum(axis=-1, keepdims=True) + 0.5) / (ended.sum(axis=-1, keepdims=True) + 1)
    return (advanced + whole) / (ended + 1)


def _source_effects(counts: Counts, sources: list[str], log_odds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What each source adds to the log odds of going on, in all stages alike; nothing where it has too few ends to say."""
    expected = log_odds[places(counts, counts.exits), counts.exits["band"].to_numpy()]
    return _spread(*effects(counts.exits, expected, "source"), sources)


def _spread(found: pd.Index, step: np.ndarray, variance: np.ndarray, sources: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Estimates of all sources from those of the large ones, drawn towards each other where there are three or more."""
    mean, deviation = shrunk(step, variance) if len(found) >= 3 else (step, np.sqrt(variance))
    place = found.get_indexer(sources)
    return np.where(place >= 0, np.append(mean, 0.0)[place], 0.0), np.where(place >= 0, np.append(deviation, 0.0)[place], 0.0)


def _drawn(mean: np.ndarray, deviation: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    return mean + deviation * np.concatenate([np.zeros((1, len(mean))), rng.standard_normal((draws, len(mean)))])


def _amounts(counts: Counts, sources: list[str], draws: int, rng: np.random.Generator) -> np.ndarray:
    """Mean amount of a won deal of each source: the company's mean, and by how much the source is known to differ from it."""
    whole = counts.amounts[["n", "total", "squares"]].sum()
    if not whole["total"] > 0:
        return np.full((draws + 1, len(sources)), np.nan)
    mean, error = mean_and_error(whole)
    table = counts.amounts.groupby("source")[["n", "total"]].sum()
    table = table[(table["n"] >= FLOOR) & (table["total"] > 0)]
    step = np.log((table["total"] / table["n"] / mean).to_numpy(dtype="float64"))
    relative = (error / mean) ** 2 * whole["n"]
    ratio = np.exp(_drawn(*_spread(table.index, step, relative / table["n"].to_numpy(dtype="float64"), sources), draws, rng))
    weight = counts.amounts.groupby("source")["n"].sum().reindex(sources, fill_value=0).to_numpy(dtype="float64")
    ratio = ratio * weight.sum() / (ratio * weight).sum(axis=1, keepdims=True)  # together they give the company's mean
    return np.maximum(_drawn(np.array([mean]), np.array([error]), draws, rng), 0.0) * ratio


def mean_and_error(sums: pd.Series) -> tuple[float, float]:
    """Give a mean and its standard error from sums."""
    mean = float(sums["total"] / sums["n"])
    variance = max(float(sums["squares"] / sums["n"]) - mean**2, 0.0)
    return mean, float(np.sqrt(variance / max(sums["n"] - 1, 1)))


def _open(counts: Counts, sources: list[str]) -> np.ndarray:
    table = counts.waiting
    found = np.zeros((len(counts.stages), len(sources), LAST + 1))
    np.add.at(found, (places(counts, table), pd.Index(sources).get_indexer(table["source"]), table["age"].to_numpy()), table["count"].to_numpy())
    return found
