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
    """Estimates and draws; the first index is the draw, 0 the estimate.

    Attributes
    ----------
    sources : list of str
        In order.
    horizon : int
        Days.
    ends : ndarray
        Draws x stages x bands: chance per day that a stay ends.
    odds : ndarray
        Draws x stages x bands: log odds that an end goes on, all sources together.
    tilt : ndarray
        Draws x sources: what a source adds to the log odds.
    rate : ndarray
        Draws x sources: deals that come in per day.
    amount : ndarray
        Draws x sources: mean amount of a won deal.
    open : ndarray
        Stages x sources x ages: deals open now.
    """

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
        """Tell when deals go on from a stage: those that enter it, and those that are in it now.

        Parameters
        ----------
        place : int
            Which stage, from 0.
        pace : ndarray or float
            Added to the log of the chance that a stay ends, per draw.
        push : ndarray or float
            Added to the log odds that an end goes on, per draw.

        Returns
        -------
        tuple of ndarray
            Draws x sources x days: chance to go on after so many days in the stage; deals that go on so many days from now.
        """
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
        """Share of the stays in a stage that are over by each day, going on or lost.

        Parameters
        ----------
        place : int
            Which stage, from 0.
        pace : float
            Added to the log of the chance that a stay ends.

        Returns
        -------
        ndarray
            One per day of the horizon, of the estimate.
        """
        ends = np.minimum(self.ends[:1, place] * np.exp(pace), MOST)
        return self._leaving(ends, np.zeros(1, dtype="int64"))[0, 0].cumsum()

    def _leaving(self, ends: np.ndarray, ages: np.ndarray) -> np.ndarray:
        """Draws x ages x days: chance that a stay of that age ends after so many days more."""
        chance = ends[:, BAND_OF[np.minimum(ages[:, None] + np.arange(self.horizon), LAST)]]
        staying = np.cumprod(1 - chance, axis=2)
        return chance * np.concatenate([np.ones_like(staying[:, :, :1]), staying[:, :, :-1]], axis=2)

    def won(self, stages: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        """Count the deals won within the horizon among those open now.

        Parameters
        ----------
        stages : list of tuple of ndarray
            From `Model.stage`.

        Returns
        -------
        ndarray
            Draws x sources.
        """
        flow = np.zeros(1)
        for entering, flux in stages:
            flow = flux + (_after(flow, entering) if flow.ndim > 1 else 0.0)
        return flow.sum(axis=2)

    def won_per_day(self, stages: list[tuple[np.ndarray, np.ndarray]], coming: np.ndarray) -> np.ndarray:
        """Count the deals won within the horizon among those to come.

        Parameters
        ----------
        stages : list of tuple of ndarray
            From `Model.stage`.
        coming : ndarray
            Deals that come in on each day of the horizon.

        Returns
        -------
        ndarray
            Draws x sources.
        """
        flow = np.broadcast_to(coming, stages[0][0].shape)
        for entering, _ in stages:
            flow = _after(flow, entering)
        return flow.sum(axis=2)

    def value(self, stages: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        """Give the expected won value: deals open now and deals to come, each at the mean amount of its source.

        Parameters
        ----------
        stages : list of tuple of ndarray
            From `Model.stage`.

        Returns
        -------
        ndarray
            One per draw.
        """
        coming = self.rate * self.won_per_day(stages, np.ones(self.horizon))
        return (self.amount * (self.won(stages) + coming)).sum(axis=1)


def logistic(odds: np.ndarray) -> np.ndarray:
    """Give the share that log odds stand for.

    Parameters
    ----------
    odds : ndarray
        Log odds.

    Returns
    -------
    ndarray
        In (0, 1).
    """
    return 1 / (1 + np.exp(-odds))


def _after(flow: np.ndarray, delays: np.ndarray) -> np.ndarray:
    """Days on which what comes in on days of `flow` goes on, by `delays`; what lies beyond the horizon is cut off."""
    days = flow.shape[-1]
    return np.fft.irfft(np.fft.rfft(flow, 2 * days) * np.fft.rfft(delays, 2 * days), 2 * days)[..., :days]
