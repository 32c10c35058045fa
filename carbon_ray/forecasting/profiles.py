"""The usual day: means of the same hour over past days, as known at an issue."""

from __future__ import annotations

import numpy as np

from carbon_ray.core.intensity import FloatArray
from carbon_ray.forecasting.signals import DAY, SMOOTH_DAYS, SMOOTH_DECAY, Hours

EWMA_WEIGHTS = np.power(SMOOTH_DECAY, np.arange(SMOOTH_DAYS)) / np.power(SMOOTH_DECAY, np.arange(SMOOTH_DAYS)).sum()
"""Of the last days, the newest first: those of the `ewma` forecaster."""
WEEK_WEIGHTS, MONTH_WEIGHTS = np.full(7, 1 / 7), np.full(28, 1 / 28)


def usual_day(values: FloatArray, issue: Hours, weights: FloatArray) -> FloatArray:
    """Weighted mean of the 24 hours that follow each issue on the days before.

    Args:
        values: Hours, the oldest first; shape (hours, ...).
        issue: Positions in the values, each at least `len(weights)` days from their start and at most their number; shape (n,).
        weights: Of the days, the newest first.

    Returns:
        Shape (n, 24, ...).
    """
    hour = issue[:, np.newaxis] + np.arange(DAY)
    total = np.zeros((*hour.shape, *values.shape[1:]))
    for age, weight in enumerate(weights, start=1):
        total += weight * values[hour - DAY * age]
    return total


def last_day(values: FloatArray, issue: Hours) -> FloatArray:
    """The 24 hours before each issue, shape (n, 24, ...)."""
    return np.asarray(values[issue[:, np.newaxis] - DAY + np.arange(DAY)], dtype=np.float64)


def by_lead(day: FloatArray, leads: int) -> FloatArray:
    """Repeat days along the second axis until there are `leads` hours: shape (n, 24) becomes (n, leads)."""
    return np.asarray(day[:, np.arange(leads) % DAY], dtype=np.float64)
