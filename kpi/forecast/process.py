"""The pipeline as a process: from stage to stage by daily chances that depend on the age in the stage, for deals open now and those to come.

Two numbers per stage and band of age: the chance per day that the stay ends, and the share of the ends that go on. Sources differ in that share (by
one step in log odds for all stages), in inflow and in the amount of a won deal. Each array has the estimate first, then draws of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kpi.forecast.transitions import BANDS

MOST = 0.95  # no chance per day is larger
LAST = BANDS[-1]
BAND_OF = np.searchsorted(BANDS, np.arange(LAST + 1), side="right") - 1


@dataclass(frozen=True)
class Model:
    """Estimates and draws; the first index is the draw, 0 the estimate."""

    sources: list[str]
    horizon: int
    ends: np.ndarray
    odds: np.ndarray
    tilt: np.ndarray
    rate: np.ndarray
    amount: np.ndarray
    open: np.ndarray

    @property
    def stages(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """What every stage does, as `Model.stage` gives it."""
        return [self.stage(place) for place in range(self.ends.shape[1])]

    def stage(self, place: int, pace: np.ndarray | float = 0.0, push: np.ndarray | float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        """Tell when deals go on from a stage: those that enter it, and those that are in it now."""
        ends = np.minimum(self.ends[:, place] * np.exp(np.reshape(pace, (-1, 1))), MOST)
        goes_on = logistic((self.odds[:, place] + np.reshape(push, (-1, 1)))[:, None] + self.tilt[:, :, None])
        days = np.arange(self.horizon)
        entering = self._leaving(ends, np.zeros(1, dtype="int64"))[:, 0][:, None] * goes_on[:, :, BAND_OF[np.minimum(days, LAST)]]
        ages = np.flatnonzero(self.open[place].sum(axis=0))
        leaving, bands = self._leaving(ends, ages), BAND_OF[np.minimum(ages[:, None] + days, LAST)]
        flux = np.zeros((len(ends), len(self.sources), self.horizon))
        for source, there in enumerate(self.open[place][:, ages]):
            held = np.flatnonzero(there)
            flux[:, source] = np.einsum("a,nad,nad->nd", there[held], leaving[:, held], goes_on[:, source][:, bands[held]])
        return entering, flux

    def stays_over(self, place: int, pace: float = 0.0) -> np.ndarray:
        """Share of the stays in a stage that are over by each day, going on or lost."""
        ends = np.minimum(self.ends[:1, place] * np.exp(pace), MOST)
        return self._leaving(ends, np.zeros(1, dtype="int64"))[0, 0].cumsum()

    def _leaving(self, ends: np.ndarray, ages: np.ndarray) -> np.ndarray:
        """Draws x ages x days: chance that a stay of that age ends after so many days more."""
        chance = ends[:, BAND_OF[np.minimum(ages[:, None] + np.arange(self.horizon), LAST)]]
        staying = np.cumprod(1 - chance, axis=2)
        return chance * np.concatenate([np.ones_like(staying[:, :, :1]), staying[:, :, :-1]], axis=2)

    def won(self, stages: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        """Count the deals won within the horizon among those open now."""
        flow = np.zeros(1)
        for entering, flux in stages:
            flow = flux + (_after(flow, entering) if flow.ndim > 1 else 0.0)
        return flow.sum(axis=2)

    def won_per_day(self, stages: list[tuple[np.ndarray, np.ndarray]], coming: np.ndarray) -> np.ndarray:
        """Count the deals won within the horizon among those to come."""
        flow = np.broadcast_to(coming, stages[0][0].shape)
        for entering, _ in stages:
            flow = _after(flow, entering)
        return flow.sum(axis=2)

    def value(self, stages: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        """Give the expected won value: deals open now and deals to come, each at the mean amount of its source."""
        coming = self.rate * self.won_per_day(stages, np.ones(self.horizon))
        return (self.amount * (self.won(stages) + coming)).sum(axis=1)


def logistic(odds: np.ndarray) -> np.ndarray:
    """Give the share that log odds stand for."""
    return 1 / (1 + np.exp(-odds))


def _after(flow: np.ndarray, delays: np.ndarray) -> np.ndarray:
    """Days on which what comes in on days of `flow` goes on, by `delays`; what lies beyond the horizon is cut off."""
    days = flow.shape[-1]
    return np.fft.irfft(np.fft.rfft(flow, 2 * days) * np.fft.rfft(delays, 2 * days), 2 * days)[..., :days]
