"""From the books of runs to the figures of a comparison: one row for each policy, one for each pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carbon_ray.core.errors import ConfigError
from carbon_ray.core.intensity import FloatArray
from carbon_ray.core.region import Market
from carbon_ray.core.units import kg
from carbon_ray.sim import statistics
from carbon_ray.sim.results import MarketTotals, Run
from carbon_ray.sim.statistics import Interval

_APART = 10_000_000
"""Days between the runs of two seeds, so that they never count as neighbours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Figures of one policy over a job set; several seeds are pooled.

    Attributes:
        jobs: Number of jobs, over all seeds.
        saving_fraction: Emissions saved against run-now.
        saving_interval: 95 % interval of that, by start day.
        captured_fraction: Share of the clairvoyant bound's saving; None where there is nothing to save.
        kgco2: Emissions, kg.
        run_now_kgco2: Those of run-now, kg.
        overhead_fraction: Share of the energy that went into checkpoints, restores, migrations and nodes held without steps.
        delay_mean_h: Mean hours by which jobs were done later than run-now.
        delay_p95_h: 95th percentile of that.
        missed: Jobs done after their deadline.
        backfire_fraction: Share of jobs that emitted more than run-now.
        backfire_excess_fraction: By how much they did in the mean, share of run-now.
        suspends: Pauses a job.
        moves: Changes of region a job, the first start not counted.
        lost_h: Running hours a job that had to be done again.
        usd: Money for nodes and transfers.
        run_now_usd: That of run-now.
        by_market: The nodes' part of the money, node-hours and losses by market, over all seeds.
        decided: Decisions made.
    """

    jobs: int
    saving_fraction: float
    saving_interval: Interval
    captured_fraction: float | None
    kgco2: float
    run_now_kgco2: float
    overhead_fraction: float
    delay_mean_h: float
    delay_p95_h: float
    missed: int
    backfire_fraction: float
    backfire_excess_fraction: float
    suspends: float
    moves: float
    lost_h: float
    usd: float
    run_now_usd: float
    by_market: Mapping[Market, MarketTotals]
    decided: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One policy against another on the same jobs.

    Attributes:
        saving_fraction: Saving of the first less that of the second.
        interval: 95 % interval of that, by the same draws for both.
        median_fraction: Median over start days of the difference of the two savings of a day.
        p: Two-sided, of the signed-rank test on those differences.
    """

    saving_fraction: float
    interval: Interval
    median_fraction: float
    p: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Columns:
    gco2: FloatArray
    run_now_gco2: FloatArray
    days: NDArray[np.int64]

    @classmethod
    def of(cls, runs: Sequence[Run]) -> _Columns:
        results = [(number, one) for number, run in enumerate(runs) for one in run.jobs]
        return cls(
            gco2=np.array([one.gco2 for _, one in results]),
            run_now_gco2=np.array([one.run_now_gco2 for _, one in results]),
            days=np.array([number * _APART + one.submitted_at.toordinal() for number, one in results], dtype=np.int64),
        )


def summarise(runs: Sequence[Run], bounds: Sequence[Run] | None = None, *, block_days: int = 1, seed: int = 0) -> Summary:
    """Figures of one policy.

    Args:
        runs: One run for each seed.
        bounds: The clairvoyant bounds of the same worlds and jobs; None where none was computed.
        block_days: Days that are drawn together for the interval.
        seed: Of the draws.

    Raises:
        ValueError: Run-now emits nothing.
    """
    columns, results = _Columns.of(runs), [one for run in runs for one in run.jobs]
    saving = statistics.saving_fraction(columns.gco2, columns.run_now_gco2)
    draws = statistics.bootstrap_savings(columns.gco2, columns.run_now_gco2, columns.days, block_days=block_days, seed=seed)
    captured = None
    if bounds is not None:
        best = _Columns.of(bounds)
        captured = statistics.captured_fraction(saving, statistics.saving_fraction(best.gco2, best.run_now_gco2))
    worse, excess = statistics.backfire(columns.gco2, columns.run_now_gco2)
    delays_h, count = np.array([one.delay_h for one in results]), len(results)
    return Summary(
        jobs=count,
        saving_fraction=saving,
        saving_interval=statistics.interval_of(draws),
        captured_fraction=captured,
        kgco2=kg(float(columns.gco2.sum())),
        run_now_kgco2=kg(float(columns.run_now_gco2.sum())),
        overhead_fraction=sum(one.overhead_kwh for one in results) / sum(one.energy_kwh for one in results),
        delay_mean_h=float(delays_h.mean()),
        delay_p95_h=float(np.quantile(delays_h, 0.95)),
        missed=sum(one.is_missed for one in results),
        backfire_fraction=worse,
        backfire_excess_fraction=excess,
        suspends=sum(one.suspends for one in results) / count,
        moves=sum(one.moves for one in results) / count,
        lost_h=sum(one.lost_h for one in results) / count,
        usd=sum(one.usd for one in results),
        run_now_usd=sum(one.run_now_usd for one in results),
        by_market=_by_market(runs),
        decided=sum(run.decided for run in runs),
    )


def _by_market(runs: Sequence[Run]) -> dict[Market, MarketTotals]:
    found = [run.by_market() for run in runs]
    return {
        market: sum((one[market] for one in found if market in one), MarketTotals())
        for market in Market
        if any(market in one for one in found)
    }


def compare(runs: Sequence[Run], others: Sequence[Run], *, block_days: int = 1, seed: int = 0) -> Difference:
    """One policy against another on the same jobs, by start day.

    Raises:
        ConfigError: They did not run the same jobs.
    """
    ids = [[one.workload_id for run in side for one in run.jobs] for side in (runs, others)]
    if ids[0] != ids[1]:
        raise ConfigError("two policies can be compared only on the same jobs in the same order")
    ours, theirs = _Columns.of(runs), _Columns.of(others)
    both = np.stack([ours.gco2, theirs.gco2])
    draws = statistics.bootstrap_savings(both, ours.run_now_gco2, ours.days, block_days=block_days, seed=seed)
    daily = statistics.paired_by_day(ours.gco2, theirs.gco2, ours.run_now_gco2, ours.days, block_days=block_days)
    saving = [statistics.saving_fraction(one.gco2, one.run_now_gco2) for one in (ours, theirs)]
    return Difference(
        saving_fraction=saving[0] - saving[1],
        interval=statistics.interval_of(draws[0] - draws[1]),
        median_fraction=float(np.median(daily)),
        p=statistics.wilcoxon_p(daily),
    )
