"""Who buys again without a contract: BG/NBD and MBG/NBD, from counts of customers alike in purchases, last purchase and time observed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from kpi.errors import ParameterError
from kpi.lifetime_value.histories import Histories, Model, checked, natural_parameters, slopes_of_logs
from kpi.statistics import optimise

SAMPLE = 2000  # rows of the first steps
# log of the mean rate, log alpha, logit of the mean drop-out, log (a + b); time in mean times observed
LOWER = np.array([-12.0, -7.0, -14.0, -7.0])
UPPER = np.array([10.0, 9.0, 14.0, np.log(10_000.0)])
NAMES = ("r", "alpha", "a", "b")


@dataclass(frozen=True)
class PurchaseModel:
    """A BG/NBD or MBG/NBD with its parameters and how well they are known.

    Attributes
    ----------
    model : str
        ``bg``: customers may drop out after each repeat purchase; ``mbg``: also after the first one.
    r, alpha, a, b : float
        Rates differ as gamma(r, alpha), drop-outs after a purchase as beta(a, b).
    log_likelihood : float
        At the maximum.
    errors : dict of str to float
        Standard errors; missing where nothing about it is known.
    held : tuple of str
        What the data do not identify, at the edge of its box: ``rates`` (customers buy alike), ``drop-out`` (they drop out alike; a / (a + b)
        stands), ``mean rate`` or ``mean drop-out`` (nobody does).
    unit : float
        Mean time observed, the unit of time of the working parameters.
    maximum : Maximum
        In working parameters.
    """

    model: Model
    r: float
    alpha: float
    a: float
    b: float
    log_likelihood: float
    errors: dict[str, float]
    held: tuple[str, ...]
    unit: float
    maximum: optimise.Maximum

    @property
    def parameters(self) -> np.ndarray:
        """R, alpha, a, b."""
        return np.array([self.r, self.alpha, self.a, self.b])

    def draws(self, number: int, seed: int) -> np.ndarray:
        """Draw parameters as uncertain as the data leave them.

        Parameters
        ----------
        number : int
            How many draws.
        seed : int
            Start of the random numbers.

        Returns
        -------
        ndarray
            One row per draw: r, alpha, a, b.
        """
        places = optimise.draws(self.maximum, number, seed, LOWER, UPPER)
        return np.array([natural_parameters(place, self.unit) for place in places])


def fit_purchases(table: pd.DataFrame, model: Model = "mbg") -> PurchaseModel:
    """Find how often customers buy and drop out.

    Parameters
    ----------
    table : DataFrame
        Counted customers: ``repeats`` (purchases after the first), ``recency`` (time from the first to the last), ``age`` (time from the first to
        the end of observation), ``count``; any unit of time.
    model : str
        ``mbg`` or ``bg``.

    Returns
    -------
    PurchaseModel

    Raises
    ------
    ParameterError
        If the model is unknown.
    DataError
        If there is no customer, or the counts cannot be.

    Notes
    -----
    BG/NBD: Fader, Hardie and Lee (2005), Marketing Science 24:275-284. MBG/NBD: Batislam, Denizel and Filiztekin (2007), International
    Journal of Research in Marketing 24:201-209.
    """
    if model not in ("bg", "mbg"):
        raise ParameterError(f"model {model!r} is unknown; use mbg or bg")
    x, recency, age, count = checked(table)
    unit = float(np.average(age, weights=count)) or 1.0
    rows = Histories(x, recency / unit, age / unit, count, model)
    mean = np.log(max(float(np.average(x, weights=count)), 1e-3))
    starts = [
        np.array([mean, 0.0, -1.0, 0.5]),  # most stay
        np.array([mean + 1, 2.0, 2.0, -0.5]),  # most leave soon, and buy often till then
        np.array([mean, -2.0, 0.0, 4.0]),  # some buy much more often than others; they leave alike
    ]
    best = optimise.maximise(rows.likelihood, rows.thinned(SAMPLE).likelihood, starts, LOWER, UPPER)
    r, alpha, a, b = natural_parameters(best.place, unit)
    slopes = slopes_of_logs(best.place)
    errors = np.sqrt(np.clip(np.diag(slopes @ best.covariance @ slopes.T), 0, None)) * np.array([r, alpha, a, b])
    called = ("mean rate", "rates", "mean drop-out", "drop-out")
    held = tuple(name for name, flag in zip(called, best.held, strict=True) if flag)
    value = best.value - float(count @ x) * np.log(unit)  # a density per unit of time
    return PurchaseModel(model, r, alpha, a, b, value, dict(zip(NAMES, errors.tolist(), strict=True)), held, unit, best)


def log_likelihood(table: pd.DataFrame, parameters: np.ndarray, model: Model) -> float:
    """Logarithm of how likely the purchases are.

    Parameters
    ----------
    table : DataFrame
        As for `fit_purchases`.
    parameters : ndarray
        r, alpha, a, b.
    model : str
        ``mbg`` or ``bg``.

    Returns
    -------
    float

    Raises
    ------
    DataError
        If there is no customer, or the counts cannot be.
    """
    return Histories(*checked(table), model).natural(*parameters)[0]
