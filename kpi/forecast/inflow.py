"""How far what comes in, and what it is worth, might plausibly move: deals of each source, leads, answers, amounts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from kpi import response_time
from kpi.dataset import Dataset
from kpi.forecast.fitting import FLOOR, mean_and_error, surprise
from kpi.forecast.process import Model, logistic
from kpi.forecast.ranges import Lever, target
from kpi.forecast.transitions import QUARTER, Counts
from kpi.statistics.intervals import quantile_of


def inflows(counts: Counts, model: Model, days: int) -> list[Lever]:
    """For each source, how many deals come in."""
    found, quarters = [], range(days // QUARTER)
    for place, source in enumerate(model.sources):
        by_quarter = counts.entries[counts.entries["source"] == source].groupby("quarter")["count"].sum()
        n, whole = int(by_quarter.sum()), by_quarter.reindex(quarters, fill_value=0)
        large = whole[whole >= FLOOR]
        lever = Lever("inflow", source, "count", place, n=n, n_events=n, now=float(model.rate[0, place] * model.horizon))
        if n >= FLOOR:
            steps = np.log(large / (n * QUARTER / days)).to_numpy(dtype="float64")
            lever = replace(lever, **target([str(name) for name in large.index], steps, 1 / large.to_numpy(dtype="float64"), 1 / n, "quarter"))
            lever = replace(lever, best="", then=lever.now * float(np.exp(lever.shift)))
        found.append(lever)
    return found


def lead_conversion(counts: Counts) -> list[Lever]:
    """Share of the leads that become an opportunity."""
    if counts.leads.empty:
        return []
    made = counts.leads["lag"] >= 0
    table = counts.leads.assign(n=counts.leads["count"], events=counts.leads["count"].where(made, 0))
    table = table.groupby(["source", "owner"], as_index=False)[["n", "events"]].sum()
    share = (table.groupby("source")["events"].transform("sum") + 0.5) / (table.groupby("source")["n"].transform("sum") + 1)
    odds = np.log(share / (1 - share)).to_numpy(dtype="float64")
    names, steps, variances, _ = surprise(table, odds, "owner")
    n, events = int(table["n"].sum()), int(table["events"].sum())
    lever = Lever("lead_conversion", "", "rate", n=n, n_events=events, n_open=0, now=events / n)
    if n >= FLOOR:
        whole = 1 / (float((table["n"] * share * (1 - share)).sum()) + 0.25)
        lever = replace(lever, **target(names, steps, variances, whole, "owner"))
        lever = replace(lever, then=lever.now * (1 + float(more_from_leads(counts, np.array([lever.shift]))[0])))
    return [lever]


def response(data: Dataset, counts: Counts, now: pd.Timestamp, window) -> list[Lever]:
    """Share of the leads answered within the hour, and the opportunities that go with it: an association."""
    by = "team" if data.has("owners") else "source"
    row = response_time.what_if(data, as_of=now, window=window, past=window, by=by).iloc[0]
    made = counts.leads.loc[counts.leads["lag"] >= 0, "count"].sum() / max(counts.leads["count"].sum(), 1)
    lever = Lever("response", "", "rate", n=int(row["n"]), n_events=int(row["n_events"]), n_open=0, now=float(row["now"]))
    if pd.isna(row["value"]) or not made > 0:
        return [lever]
    each = 1 / (row["n"] * made)
    error = float((row["high"] - row["value"]) / quantile_of(0.95) * each)
    then = max(float(row["target"]), lever.now)
    return [replace(lever, shift=float(row["value"] * each), error=error, then=then, basis=by, best=str(row["best"]))]


def amounts(counts: Counts, model: Model) -> list[Lever]:
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
    table = counts.leads.assign(events=counts.leads["count"].where(counts.leads["lag"] >= 0, 0)).groupby("source")[["count", "events"]].sum()
    n = table["count"].to_numpy(dtype="float64")
    share = (table["events"].to_numpy(dtype="float64") + 0.5) / (n + 1)
    odds = np.log(share / (1 - share))
    return (n * logistic(odds + np.reshape(shift, (-1, 1)))).sum(axis=1) / (n * share).sum() - 1


def lags(counts: Counts, horizon: int) -> np.ndarray:
    """Share of the opportunities of each coming day that stem from leads yet to come: the others' leads are there already."""
    made = counts.leads[counts.leads["lag"] >= 0]
    found = np.bincount(np.minimum(made["lag"], horizon), made["count"], horizon + 1)[:horizon]
    return found.cumsum() / max(made["count"].sum(), 1)


def shares_from_leads(counts: Counts, sources: list[str]) -> np.ndarray:
    """Share of the deals of each source that came from a lead."""
    return counts.from_leads.reindex(sources, fill_value=0.0).to_numpy(dtype="float64")
