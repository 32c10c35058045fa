"""CarbonScaler: how many workers in each slot, by the work that another unit of carbon buys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from carbon_ray.core.intensity import FloatArray
from carbon_ray.policies.baselines.deadline import Punctual
from carbon_ray.policies.baselines.windows import TIE
from carbon_ray.policies.outlook import Outlook, Run


def greedy_scaling(values: FloatArray, work: float, throughput: Sequence[float], power: Sequence[float]) -> FloatArray:
    """Which share of each worker is used in each slot, workers added one by one where they buy most work per carbon.

    Optimal where every further worker is worth no more than the one before it, as in the fractional knapsack problem.

    Args:
        values: Emissions of a slot with one worker, shape (T,); a slot that is infinite is not used.
        work: Slots of work with one worker.
        throughput: Rate of 1, 2, ... workers, relative to one.
        power: Power of 1, 2, ... workers, relative to one, growing.

    Returns:
        Shape (T, len(throughput)), 0 to 1; only the last worker added is used in part. All that is open where the work does not fit.
    """
    rates, powers = np.diff([0.0, *throughput]), np.diff([0.0, *power])
    shares = np.zeros((len(values), len(rates)))
    carbon_per_work = np.where(rates > 0, powers / np.where(rates > 0, rates, 1.0), np.inf)
    is_open = np.isfinite(values)[:, None] & np.isfinite(carbon_per_work)
    prices = np.where(is_open, np.where(is_open, values[:, None], 0.0) * np.where(is_open, carbon_per_work, 0.0), np.inf)
    # A worker can only be added to those before it: one that is worth more than its predecessor comes right after it, not earlier.
    prices = np.maximum.accumulate(prices, axis=1).ravel()
    order = np.argsort(prices, kind="stable")[: np.count_nonzero(np.isfinite(prices))]
    gains = np.tile(rates, len(values))[order]
    begun = np.cumsum(gains) - gains  # work done by those added before
    shares.ravel()[order] = np.where(work - begun > TIE, np.clip((work - begun) / gains, 0.0, 1.0), 0.0)
    return shares


@dataclass(frozen=True, slots=True, kw_only=True)
class CarbonScaler(Punctual):
    """Elastic work at home: the next worker goes to the slot where it does most work per gram.

    Formula: candidates (t, j) are worth (thr_j - thr_{j-1}) / ((pw_j - pw_{j-1}) p[t]); the best one whose j is one more than the
    workers of its slot is taken until the work is done, the last one in part. Ties: earliest slot, then fewest workers.

    Source: Hanafy, Liang, Bashir, Irwin and Shenoy, "CarbonScaler: Leveraging Cloud Workload Elasticity for Optimizing
    Carbon-Efficiency", Proceedings of the ACM on Measurement and Analysis of Computing Systems 7(3) (SIGMETRICS 2024),
    doi:10.1145/3626788.

    Attributes:
        max_workers: Workers at most; the outlook's profile may have fewer.
    """

    name: ClassVar[str] = "carbon_scaler"
    max_workers: int = 4

    def __post_init__(self) -> None:
        if self.max_workers < 1:
            raise ValueError(f"max_workers must be at least 1, got {self.max_workers}")

    @property
    def interrupts(self) -> bool:
        """True."""
        return True

    @property
    def most_workers(self) -> int:
        """As the parameter says."""
        return self.max_workers

    def wish(self, outlook: Outlook) -> Run | None:
        """Run with the workers that the greedy plan gives to the slot that a start now would work in."""
        first_work = 0 if outlook.is_running else outlook.startup_slots
        throughput, power = outlook.throughput[: self.max_workers], outlook.power[: self.max_workers]
        shares = greedy_scaling(outlook.gco2[first_work:, outlook.at], outlook.left, throughput, power)
        workers = int(np.count_nonzero(shares[0]))
        if not workers and outlook.is_running and shares[1 : outlook.startup_slots + 1].any():
            workers = 1  # a pause could not end before the next slot of the plan
        return Run(region=outlook.at, workers=workers) if workers else None
