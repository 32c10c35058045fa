"""Statistics of a comparison: savings of sets, their intervals by start day, and tests of paired differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wilcoxon

from carbon_ray.core.intensity import FloatArray

DRAWS = 10_000
LEVEL = 0.95
_ROUNDING = 1e-9
_CHUNK = 500
"""Draws made at once: as many as fit the cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A confidence interval.

    Attributes:
        low: Lower end.
        high: Upper end.
        level: Share of such intervals that hold the true value, 0..1.
    """

    low: float
    high: float
    level: float = LEVEL


def saving_fraction(gco2: FloatArray, run_now_gco2: FloatArray) -> float:
    """Saving of a set: 1 - sum of emissions / sum of run-now's; not the mean of the jobs' own savings.

    Raises:
        ValueError: Run-now emits nothing.
    """
    before = float(run_now_gco2.sum())
    if not before > 0:
        raise ValueError("run-now emits nothing, so no saving can be stated")
    return 1.0 - float(gco2.sum()) / before


def captured_fraction(saving: float, bound: float) -> float | None:
    """Share of the clairvoyant saving; None where there is nothing to save."""
    return saving / bound if bound > _ROUNDING else None


def bootstrap_savings(
    gco2: FloatArray, run_now_gco2: FloatArray, days: NDArray[np.int64], *, block_days: int = 1, draws: int = DRAWS, seed: int = 0
) -> FloatArray:
    """Savings of resampled sets: whole start days are drawn, because jobs that start together fare alike.

    Days in which nothing started are no days here. With `block_days` above 1, runs of so many consecutive days are drawn (circular
    block bootstrap), because then jobs of neighbouring days fare alike as well.

    Source: Politis and Romano, "A circular block-resampling procedure for stationary data", 1992.

    Args:
        gco2: Emissions by job, shape (J,) or, for several policies on the same jobs, (P, J).
        run_now_gco2: Those of run-now, shape (J,).
        days: Start day of each job, any whole numbers, shape (J,).
        block_days: Length of a block, days.
        draws: Number of resampled sets.
        seed: Of the draws.

    Returns:
        Shape (draws,) or (P, draws); the same days are drawn for all policies, so that differences are paired.
    """
    _, index = np.unique(days, return_inverse=True)
    count = int(index.max()) + 1
    rows = np.atleast_2d(gco2)
    sums = np.stack([np.bincount(index, weights=row, minlength=count) for row in (*rows, run_now_gco2)])
    block = min(block_days, count)
    blocks = -(-count // block)
    # Sum over `length` days from each day on, by differences of running sums on a circle.
    circle = np.concatenate([np.zeros((len(sums), 1)), np.cumsum(np.concatenate([sums, sums], axis=1), axis=1)], axis=1)
    first = np.arange(count)
    last_length = count - (blocks - 1) * block
    whole = circle[:, first + block] - circle[:, first]
    part = circle[:, first + last_length] - circle[:, first]
    random = np.random.default_rng(seed)
    drawn = np.empty((len(sums), draws))
    for start in range(0, draws, _CHUNK):
        starts = random.integers(0, count, (min(_CHUNK, draws - start), blocks))
        total = whole[:, starts[:, :-1]].sum(axis=2) + part[:, starts[:, -1]]
        drawn[:, start : start + len(starts)] = total
    savings: FloatArray = 1.0 - drawn[:-1] / drawn[-1]
    return savings[0] if gco2.ndim == 1 else savings


def interval_of(draws: FloatArray, level: float = LEVEL) -> Interval:
    """Percentile interval of bootstrap draws."""
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(low=float(low), high=float(high), level=level)


def paired_by_day(
    gco2: FloatArray, other_gco2: FloatArray, run_now_gco2: FloatArray, days: NDArray[np.int64], *, block_days: int = 1
) -> FloatArray:
    """Saving of one policy less that of another on the same jobs, by start day: positive where the first emits less.

    Jobs that start together fare alike, so that a test of single jobs would take one event for many. Days are the units instead, or
    blocks of them where jobs of neighbouring days fare alike as well. Those in which run-now emits nothing are left out.

    Args:
        gco2: Emissions by job, shape (J,).
        other_gco2: Those of the other policy.
        run_now_gco2: Those of run-now.
        days: Start day of each job, any whole numbers.
        block_days: Days that count as one.

    Returns:
        Shape (D,), in order of time.
    """
    _, index = np.unique(days // block_days, return_inverse=True)
    gain, before = np.bincount(index, weights=other_gco2 - gco2), np.bincount(index, weights=run_now_gco2)
    daily: FloatArray = gain[before > 0] / before[before > 0]
    return daily


def wilcoxon_p(differences: FloatArray) -> float:
    """Two-sided p of Wilcoxon's signed-rank test that paired differences are centred on zero; differences of zero are left out.

    Source: Wilcoxon, "Individual comparisons by ranking methods", Biometrics Bulletin 1945, doi:10.2307/3001968.
    """
    scale = float(np.abs(differences).max(initial=0.0))
    different = differences[np.abs(differences) > _ROUNDING * scale]
    if not len(different):
        return 1.0
    return float(wilcoxon(different, method="approx" if len(different) > 25 else "auto").pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p values of a table of tests, which keep the chance of any false finding at its level.

    Source: Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 1979.
    """
    adjusted, least = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        least = max(least, min(1.0, p_values[index] * (len(p_values) - rank)))
        adjusted[index] = least
    return adjusted


def backfire(gco2: FloatArray, run_now_gco2: FloatArray) -> tuple[float, float]:
    """Share of jobs that emit more than run-now, and by what share of run-now they do so in the mean (0 where none does)."""
    excess = (gco2 - run_now_gco2) / np.where(run_now_gco2 > 0, run_now_gco2, np.inf)
    worse = excess > _ROUNDING
    return float(worse.mean()), float(excess[worse].mean()) if worse.any() else 0.0
