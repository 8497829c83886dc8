"""Where the time goes: from the inquiry to its assignment, from the assignment to the touch, to the first two-way contact."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from kpi.dataset import Dataset
from kpi.periods import Instant, WindowLike
from kpi.response_time.inquiries import TYPICAL, within
from kpi.schema import By, renamed

HOUR = 3600
# Part of the way: catalogue key, event that starts the clock, event that stops it.
PARTS = {
    "routing": ("response.routing", "created", "assigned"),
    "owner": ("response.owner_delay", "assigned", "touched"),
    "attempt": ("response.answered_within", "created", "touched"),
    "contact": ("response.contacted_within", "created", "contacted"),
}


@renamed(thresholds="horizons")
def routing_delay(
    data: Dataset,
    *,
    as_of: Instant,
    window: WindowLike | None = None,
    by: By = (),
    clock: str = "wall",
    horizons: Sequence[float] = (HOUR,),
    level: float = 0.95,
) -> pd.DataFrame:
    """Share of leads assigned to an owner within an hour of their inquiry.

    Uses `leads` with ``assigned_at``, and `activities`.

    Parameters
    ----------
    window : Window, str or pair of dates, optional
        Local dates on which the leads came in.
    by : str or sequence of str
        As for `response_curve`.
    clock : str
        ``wall`` or ``business``.
    horizons : sequence of float
        Delays in seconds.

    Returns
    -------
    DataFrame
        One row per group and horizon with the columns of `schema.RESULT`; ``n`` leads, ``n_events`` assigned by then; ``median`` and ``slow``
        (P90) delay in seconds, missing where not reached.

    Raises
    ------
    MissingTable
        If leads have no ``assigned_at``.
    ParameterError
        If `by` or `clock` is unknown.
    """
    data.table("leads", "assigned_at")
    return within(data, *PARTS["routing"], as_of, window, by, clock, horizons, level, TYPICAL)


@renamed(thresholds="horizons")
def owner_delay(
    data: Dataset,
    *,
    as_of: Instant,
    window: WindowLike | None = None,
    by: By = (),
    clock: str = "wall",
    horizons: Sequence[float] = (HOUR,),
    level: float = 0.95,
) -> pd.DataFrame:
    """Share of assigned leads that were answered within an hour of their assignment.

    Uses `leads` with ``assigned_at``, and `activities`.

    Parameters
    ----------
    window : Window, str or pair of dates, optional
        Local dates of the assignment.
    by : str or sequence of str
        As for `response_curve`.
    clock : str
        ``wall`` or ``business``.
    horizons : sequence of float
        Delays in seconds.

    Returns
    -------
    DataFrame
        As for `routing_delay`. Leads answered before their assignment are left out.

    Raises
    ------
    MissingTable
        If leads have no ``assigned_at``.
    ParameterError
        If `by` or `clock` is unknown.
    """
    return within(data, *PARTS["owner"], as_of, window, by, clock, horizons, level, TYPICAL)


def delay_parts(data: Dataset, *, as_of: Instant, window: WindowLike | None = None, clock: str = "wall", level: float = 0.95) -> pd.DataFrame:
    """Parts of the way to an answer side by side: routing, owner, first attempt, first contact.

    Uses `leads` and `activities`.

    Parameters
    ----------
    window : Window, str or pair of dates, optional
        Local dates of the event that starts each clock.
    clock : str
        ``wall`` or ``business``.

    Returns
    -------
    DataFrame
        One row per ``part`` in order, as `routing_delay` gives it for one hour; routing and owner are left out where leads have no
        ``assigned_at``, contact where activities have no ``outcome``.

    Raises
    ------
    MissingTable
        If leads or activities are missing.
    """
    unknown = {"routing", "owner"} if not data.has("leads", "assigned_at") else set()
    unknown |= {"contact"} if not data.has("activities", "outcome") else set()
    known = {name: part for name, part in PARTS.items() if name not in unknown}
    parts = {name: within(data, *part, as_of, window, (), clock, (HOUR,), level, TYPICAL) for name, part in known.items()}
    return pd.concat(parts, names=["part"]).reset_index("part").reset_index(drop=True)
