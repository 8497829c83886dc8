"""Customers who buy as a BG/NBD or MBG/NBD says, to test what the models find in them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from kpi.lifetime_value.purchase_model import Variant


def simulate_purchases(parameters: np.ndarray, model: Variant, age: np.ndarray, ahead: float, seed: int) -> pd.DataFrame:
    """Make customers who behave as the model says, to test what it says."""
    rng = np.random.default_rng(seed)
    r, alpha, a, b = parameters
    rate, drop = rng.gamma(r, 1 / alpha, len(age)), rng.beta(a, b, len(age))
    lives = rng.random(len(age)) >= drop if model == "mbg" else np.ones(len(age), bool)
    at, repeats, last, later = np.zeros(len(age)), np.zeros(len(age)), np.zeros(len(age)), np.zeros(len(age))
    while lives.any():
        at[lives] += rng.exponential(1, lives.sum()) / np.maximum(rate[lives], 1e-12)
        inside, after = lives & (at <= age), lives & (at > age) & (at <= age + ahead)
        repeats[inside] += 1
        last[inside] = at[inside]
        later[after] += 1
        lives = (inside | after) & (rng.random(len(age)) >= drop)
    return pd.DataFrame({"repeats": repeats, "recency": last, "age": age, "count": 1, "later": later})
