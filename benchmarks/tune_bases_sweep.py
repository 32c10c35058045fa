"""One real sweep under one base scheduler, alone or wrapped, and how it ended: what two sweeps are compared by."""

from __future__ import annotations

import contextlib
import os
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from ray import tune
from ray.tune import CheckpointConfig, ResultGrid, RunConfig, TuneConfig, Tuner
from ray.tune.schedulers import (
    ASHAScheduler,
    FIFOScheduler,
    HyperBandForBOHB,
    HyperBandScheduler,
    MedianStoppingRule,
    PopulationBasedTraining,
    ResourceChangingScheduler,
    TrialScheduler,
)
from ray.tune.schedulers.pb2 import PB2
from ray.tune.search import ConcurrencyLimiter, Searcher

from benchmarks.sweep_trials import known_space, read_trace
from benchmarks.tune_bases_trials import TRAINABLES, Lineage
from carbon_ray.core.clock import SystemClock
from carbon_ray.core.intensity import IntensityKind, IntensitySeries, Provenance
from carbon_ray.testing import FakeForecasts
from carbon_ray.tune.columns import COLUMNS

ITERATIONS = 9
ONE_AT_A_TIME, BESIDE_EACH_OTHER = 2, 1
"""CPUs of a trial on a Ray with `CPUS` of them: with results in an order that nothing but the scheduler decides, or as they come."""
CPUS = 3
PENDING = "TUNE_MAX_PENDING_TRIALS_PG"


def _population(kind: type[PopulationBasedTraining], synch: bool = False, **wishes: Any) -> TrialScheduler:
    return kind(time_attr="training_iteration", perturbation_interval=4, quantile_fraction=0.5, log_config=False, synch=synch, **wishes)


def _grow(tune_controller: Any, trial: Any, result: dict[str, Any], scheduler: Any) -> tune.PlacementGroupFactory | None:
    """From the third iteration on a trial has one CPU more than it began with."""
    now = trial.placement_group_factory.required_resources["CPU"]
    began = scheduler.base_trial_resources.required_resources["CPU"]
    return tune.PlacementGroupFactory([{"CPU": began + 1}]) if result["training_iteration"] >= 3 and now == began else None


BASES: Mapping[str, Callable[[], TrialScheduler]] = {
    "fifo": FIFOScheduler,
    "asha": lambda: ASHAScheduler(max_t=ITERATIONS, grace_period=1, reduction_factor=3),
    "hyperband": lambda: HyperBandScheduler(max_t=ITERATIONS, reduction_factor=3),
    "bohb": lambda: HyperBandForBOHB(max_t=ITERATIONS, reduction_factor=3),
    "pbt": lambda: _population(PopulationBasedTraining, hyperparam_mutations={"speed": tune.uniform(0.1, 0.5)}),
    "pbt in step": lambda: _population(PopulationBasedTraining, True, hyperparam_mutations={"speed": tune.uniform(0.1, 0.5)}),
    "pb2": lambda: _population(PB2, hyperparam_bounds={"speed": [0.1, 0.5]}),
    "median": lambda: MedianStoppingRule(time_attr="training_iteration", grace_period=2, min_samples_required=2),
    "resources": lambda: ResourceChangingScheduler(
        ASHAScheduler(max_t=ITERATIONS, grace_period=1, reduction_factor=3), resources_allocation_function=_grow
    ),
}
"""A maker of every base scheduler."""


def _optuna(seed: int) -> Searcher:
    from ray.tune.search.optuna import OptunaSearch

    return OptunaSearch(seed=seed)


def _bohb(seed: int) -> Searcher:
    from ray.tune.search.bohb import TuneBOHB

    return TuneBOHB(seed=seed)


SEARCHERS: Mapping[str, Callable[[int], Searcher | None]] = {
    "": lambda seed: None,
    "optuna": _optuna,
    "limiter": lambda seed: ConcurrencyLimiter(_optuna(seed), max_concurrent=2),
    "bohb": _bohb,
}
"""A maker of every searcher, by the seed; none means the grid of configurations."""
NEEDS = {"optuna": ("optuna",), "limiter": ("optuna",), "bohb": ("ConfigSpace", "hpbandster"), "torch": ("torch",)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is swept.

    Attributes:
        base: Name of the base scheduler.
        trainable: Name of the trainable.
        searcher: Name of the searcher; empty for a grid.
        trials: How many.
        most_live: As `TuneConfig(max_concurrent_trials=...)`.
        reuses_actors: As `TuneConfig(reuse_actors=...)`.
    """

    base: str
    trainable: str = "function"
    searcher: str = ""
    trials: int = 6
    most_live: int | None = None
    reuses_actors: bool = False

    def not_installed(self) -> list[str]:
        """Packages that it needs and that are not there."""
        return [name for key in (self.searcher, self.trainable) for name in NEEDS.get(key, ()) if find_spec(name) is None]

    @property
    def has_seeds(self) -> bool:
        """Whether it is swept with every seed: not where a sweep takes a minute, or the same base has had them already."""
        return self.trainable == "function" and not (self.searcher or self.most_live) and self.base in ("fifo", "asha", "hyperband")

    @property
    def title(self) -> str:
        """Short, for tables and folders."""
        extras = [self.searcher, f"most{self.most_live}" if self.most_live else "", "reuse" if self.reuses_actors else ""]
        return "-".join([self.base.replace(" ", "_"), self.trainable, *(one for one in extras if one)])


@dataclass(slots=True)
class Noting:
    """Stands before a scheduler's decision and notes it; pickles with the scheduler."""

    decide: Callable[..., str]
    noted: list[tuple[str, int, float, str]] = field(default_factory=list)

    def __call__(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        decision = self.decide(tune_controller, trial, result)
        self.noted.append((trial.trial_id, int(result["training_iteration"]), round(float(result["score"]), 9), decision))
        return decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a sweep ended; trials are numbered in the order in which they came.

    Attributes:
        ends: By trial its last speed of learning, and the iterations and scores that the base scheduler saw of it.
        decisions: Of the base scheduler: trial, iteration and decision, in order.
        lost: Trials that have failed or done nothing; under FIFO also those that have not done all iterations.
        lineages: What each trial really did.
        rows_lost: Results that the base scheduler saw and that are not in the result grid.
        columns_missing: Trials whose last result lacks a column of carbon_ray; all of them under the base alone.
        held_s: By trial.
        errors: Of trials.
    """

    ends: list[list[Any]]
    decisions: list[tuple[int, int, str]]
    lost: int
    lineages: list[Lineage]
    rows_lost: int
    columns_missing: int
    held_s: list[float]
    errors: list[str]


def sweep(
    case: Case,
    folder: Path,
    *,
    seed: int,
    cpus: float,
    iteration_s: float,
    wrap: Callable[[TrialScheduler], TrialScheduler] = lambda base: base,
) -> Ended:
    """Run a sweep on the Ray that is there.

    Args:
        case: What is swept.
        folder: Of this sweep alone.
        seed: Of configurations, searcher and scheduler.
        cpus: CPUs of a trial.
        iteration_s: Seconds of an iteration.
        wrap: Makes the scheduler of the base.
    """
    folder.mkdir(parents=True)
    trace = folder / "trace"
    base = BASES[case.base]()
    base.on_trial_result = noting = Noting(base.on_trial_result)
    space = known_space(case.trials, ITERATIONS, iteration_s, trace, seed)
    if case.searcher:
        space |= {"number": 0, "height": tune.uniform(0.5, 1.0), "speed": tune.uniform(0.1, 0.5)}
    random.seed(seed)
    np.random.seed(seed)
    trainable = TRAINABLES[case.trainable]
    keeps = {} if case.base.startswith("pb") else {"num_to_keep": 2}
    tuner = Tuner(
        tune.with_resources(trainable, {"CPU": cpus}),
        param_space=space,
        tune_config=TuneConfig(
            metric="score",
            mode="max",
            scheduler=wrap(base),
            search_alg=SEARCHERS[case.searcher](seed),
            num_samples=case.trials if case.searcher else 1,
            max_concurrent_trials=case.most_live,
            reuse_actors=case.reuses_actors,
        ),
        run_config=RunConfig(name="sweep", storage_path=str(folder), verbose=0, checkpoint_config=CheckpointConfig(**keeps)),
    )
    with asking_for_places(1 if cpus == ONE_AT_A_TIME else CPUS):
        grid = tuner.fit()
    return ended(grid, case, noting.noted, trace)


@contextlib.contextmanager
def asking_for_places(trials: int) -> Iterator[None]:
    """Let so many trials ask for their places at once: Ray does not give places in the order in which they were asked for."""
    os.environ[PENDING] = str(trials)
    try:
        yield
    finally:
        del os.environ[PENDING]


def ended(grid: ResultGrid, case: Case, noted: list[tuple[str, int, float, str]], trace: Path) -> Ended:
    """What there is to compare."""
    trials = grid._experiment_analysis.trials  # a result's own id is its donor's where a population-based scheduler gave it a checkpoint
    number = {trial.trial_id: index for index, trial in enumerate(trials)}
    rows = defaultdict(list)
    for row in read_trace(trace):
        rows[row["trial"]].append(row)
    ends: list[list[Any]] = [[round(float(trial.config["speed"]), 9)] for trial in trials]
    for trial_id, iteration, reached, _ in noted:
        ends[number[trial_id]].append((iteration, reached))
    lineages = [Lineage.of(trial_id, rows[trial_id]) for trial_id in number]
    least = ITERATIONS if case.base == "fifo" else 1  # who is ended by nobody comes to its end
    kept = sum(trial.status == "TERMINATED" and one.reached >= least for trial, one in zip(trials, lineages, strict=True))
    there = [Counter(() if one.metrics_dataframe is None else one.metrics_dataframe["training_iteration"].tolist()) for one in grid]
    seen = [Counter(iteration for iteration, _ in end[1:]) for end in ends]
    return Ended(
        ends=ends,
        decisions=[(number[trial_id], iteration, decision) for trial_id, iteration, _, decision in noted],
        lost=case.trials - kept,
        lineages=lineages,
        rows_lost=sum((one - other).total() for one, other in zip(seen, there, strict=True)),
        columns_missing=sum(not set(COLUMNS) <= set(result.metrics or {}) for result in grid),
        held_s=[float((result.metrics or {}).get("held_s", 0.0)) for result in grid],
        errors=[str(error).strip().splitlines()[-1] for error in grid.errors],
    )


def flat_forecasts(*zones: str, gco2_per_kwh: float = 300.0) -> FakeForecasts:
    """A grid that is the same at all hours, for weeks around now."""
    clock = SystemClock()
    start_at = clock.now().replace(minute=0, second=0, microsecond=0) - timedelta(days=5)
    truth = {
        zone: IntensitySeries(
            zone=zone,
            kind=IntensityKind.AVERAGE_LIFECYCLE,
            start_at=start_at,
            step_s=3600.0,
            values_gco2_per_kwh=np.full(24 * 20, gco2_per_kwh),
            provenance=Provenance(provider="flat"),
        )
        for zone in zones
    }
    return FakeForecasts(truth, clock)
