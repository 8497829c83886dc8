"""The model from counts: estimates, and draws that scatter as counts of the same size would."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from kpi.forecast.process import LAST, Model, logistic
from kpi.forecast.transitions import BANDS, Counts
from kpi.statistics.shrinkage import shrunk

FLOOR = 20  # records below which a group is not told apart
STEPS = 8  # of Newton's method, which settles in three or four


def fitted(counts: Counts, horizon: int, days: int, draws: int, seed: int) -> Model:
    """Estimate the model from the counts, and draw it anew as often as counts of the same size would scatter.

    Parametric bootstrap: binomial exits among the days at risk and binomial steps forward among the exits of each cell of stage and age, gamma
    inflow, normal for the means of amounts and for what `shrunk` says of the sources.
    """
    rng = np.random.default_rng(seed)
    sources = sorted({*counts.entries["source"], *counts.waiting["source"]})
    risk, ended, advanced = cells(counts, "exposure", "days"), cells(counts, "exits", "advanced", "lost"), cells(counts, "exits", "advanced")
    model = Model(
        sources,
        horizon,
        ends=_chances(np.concatenate([ended[None], rng.binomial(risk, _chances(ended, risk), (draws, *risk.shape))]), risk),
        odds=_odds(np.concatenate([advanced[None], rng.binomial(ended, _shares(advanced, ended), (draws, *ended.shape))]), ended),
        tilt=np.zeros((1, len(sources))),
        rate=np.concatenate([_entered(counts, sources)[None], rng.gamma(_entered(counts, sources) + 0.5, 1.0, (draws, len(sources)))]) / days,
        amount=_amounts(counts, sources, draws, rng),
        open=_open(counts, sources),
    )
    return replace(model, tilt=_drawn(*_tilts(counts, sources, model.odds[0]), draws, rng))


def cells(counts: Counts, name: str, *columns: str) -> np.ndarray:
    """Sum counts by stage and band of age."""
    table = getattr(counts, name)
    found = np.zeros((len(counts.stages), len(BANDS)), dtype="int64")
    np.add.at(found, (places(counts, table), table["band"].to_numpy()), table[list(columns)].sum(axis=1).to_numpy(dtype="int64"))
    return found


def places(counts: Counts, table: pd.DataFrame) -> np.ndarray:
    """Give the place of each row's stage."""
    return pd.Index(counts.stages["position"]).get_indexer(table["position"])


def surprise(table: pd.DataFrame, odds: np.ndarray, by: str) -> tuple[pd.Index, np.ndarray, np.ndarray, np.ndarray]:
    """Estimate what each group adds to the log odds that the cells lead one to expect."""
    frame = table.assign(group=table[by])
    sizes = frame.groupby("group")["n"].sum()
    large = sizes.index[sizes >= FLOOR]
    place = large.get_indexer(frame["group"])
    inside = place >= 0
    n, events, odds, place = frame["n"].to_numpy(float)[inside], frame["events"].to_numpy(float)[inside], odds[inside], place[inside]
    step, information = np.zeros(len(large)), np.ones(len(large))
    for _ in range(STEPS):  # half a record more and half a record less keep a group of only wins finite
        share = logistic(odds + step[place])
        information = np.bincount(place, n * share * (1 - share), len(large)) + 0.25
        more = np.bincount(place, events - n * share, len(large)) - 0.25 * step
        step = step + np.clip(more / information, -1, 1)
    return large, step, 1 / information, sizes[large].to_numpy()


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


def _odds(advanced: np.ndarray, ended: np.ndarray) -> np.ndarray:
    share = _shares(advanced, ended)
    return np.log(share / (1 - share))


def _tilts(counts: Counts, sources: list[str], odds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What each source adds to the log odds of going on, in all stages alike; nothing where it has too few ends to say."""
    table = counts.exits.assign(n=counts.exits["advanced"] + counts.exits["lost"], events=counts.exits["advanced"])
    expected = odds[places(counts, table), table["band"].to_numpy()]
    found, step, variance, _ = surprise(table, expected, "source")
    return _spread(found, step, variance, sources)


def _spread(found: pd.Index, step: np.ndarray, variance: np.ndarray, sources: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Estimates of all sources from those of the large ones, drawn towards each other where there are three or more."""
    mean, deviation = shrunk(step, variance) if len(found) >= 3 else (step, np.sqrt(variance))
    place = found.get_indexer(sources)
    return tuple(np.where(place >= 0, np.append(part, 0.0)[place], 0.0) for part in (mean, deviation))


def _drawn(mean: np.ndarray, deviation: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    return mean + deviation * np.concatenate([np.zeros((1, len(mean))), rng.standard_normal((draws, len(mean)))])


def _entered(counts: Counts, sources: list[str]) -> np.ndarray:
    return counts.entries.groupby("source")["count"].sum().reindex(sources, fill_value=0).to_numpy(dtype="float64")


def _amounts(counts: Counts, sources: list[str], draws: int, rng: np.random.Generator) -> np.ndarray:
    """Mean amount of a won deal of each source: the company's mean, and by how much the source is known to differ from it."""
    whole = counts.amounts[["n", "total", "squares"]].sum()
    if not whole["n"]:
        return np.full((draws + 1, len(sources)), np.nan)
    mean, error = mean_and_error(whole)
    table = counts.amounts.groupby("source")[["n", "total"]].sum()
    table = table[table["n"] >= FLOOR]
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
