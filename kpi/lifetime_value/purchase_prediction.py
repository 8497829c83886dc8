"""What customers will do under a BG/NBD or MBG/NBD: whether they still buy, how much they will, and how sure that is."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import expit

from kpi.lifetime_value.purchase_model import COLUMNS, Variant
from kpi.lifetime_value.special_functions import Integrand, mean_over_dropout, purchases, purchases_squared


def probability_active(table: pd.DataFrame, parameters: np.ndarray, model: Variant) -> np.ndarray:
    """Probability that a customer has not dropped out by the end of observation.

    Parameters
    ----------
    table : DataFrame
        ``repeats``, ``recency``, ``age``.
    parameters : ndarray
        r, alpha, a, b; or one row of them per draw.
    model : str
        ``mbg`` or ``bg``.

    Returns
    -------
    ndarray
        One value in [0, 1] per customer, on the last axis; draws come before.
    """
    r, alpha, a, b = np.moveaxis(np.asarray(parameters, "float64"), -1, 0)[..., None]  # customers on an axis behind that of the draws
    x, recency, age = (table[name].to_numpy("float64") for name in COLUMNS)
    m = x + (model == "mbg")
    odds = np.log(a / (b + np.maximum(m, 1) - 1)) + (r + x) * np.log1p((age - recency) / (alpha + recency))
    return np.where(m > 0, expit(-odds), 1.0)


def expected_purchases(table: pd.DataFrame, parameters: np.ndarray, model: Variant, ahead: float | np.ndarray) -> np.ndarray:
    """Purchases that each customer is expected to make in the time ahead.

    Parameters
    ----------
    table : DataFrame
        ``repeats``, ``recency``, ``age``.
    parameters : ndarray
        r, alpha, a, b; or one row of them per draw.
    model : str
        ``mbg`` or ``bg``.
    ahead : float or ndarray
        Length of the time ahead, in the unit of the table; or several.

    Returns
    -------
    ndarray
        One number per customer, on the last axis; draws, then lengths, where there are several, come before.
    """
    active = probability_active(table, parameters, model)
    each = _if_active(purchases, table, parameters, model, ahead)
    return each * (active[..., None, :] if np.ndim(ahead) else active)


def variance_of_purchases(table: pd.DataFrame, parameters: np.ndarray, model: Variant, ahead: float) -> np.ndarray:
    """Variance of the purchases that each customer makes in the time ahead, the parameters taken as known.

    Parameters
    ----------
    table : DataFrame
        ``repeats``, ``recency``, ``age``.
    parameters : ndarray
        r, alpha, a, b; or one row of them per draw.
    model : str
        ``mbg`` or ``bg``.
    ahead : float
        Length of the time ahead.

    Returns
    -------
    ndarray
        One number per customer, on the last axis; draws come before.
    """
    squares = _if_active(purchases_squared, table, parameters, model, ahead) * probability_active(table, parameters, model)
    return np.maximum(squares - expected_purchases(table, parameters, model, ahead) ** 2, 0.0)


def _if_active(integrand: Integrand, table: pd.DataFrame, parameters: np.ndarray, model: Variant, ahead: float | np.ndarray) -> np.ndarray:
    """What active customers will do does not depend on when they last bought: it is worked out once for those of equal repeats and age."""
    pairs = table[["repeats", "age"]].drop_duplicates().astype("float64")
    place = table.groupby(["repeats", "age"], sort=False).ngroup().to_numpy()
    x, age, lengths = pairs["repeats"].to_numpy(), pairs["age"].to_numpy(), np.atleast_1d(ahead)
    means = [
        mean_over_dropout(integrand, r + x, lengths[:, None] / (alpha + age), a, b, x + (model == "mbg"))
        for r, alpha, a, b in np.atleast_2d(parameters)
    ]
    return np.reshape(means, (*np.shape(parameters)[:-1], *np.shape(ahead), len(pairs)))[..., place]
