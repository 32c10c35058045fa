"""A sweep in virtual time for the tests of this folder: recorded curves, a grid of one or two zones, any base scheduler."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from ray import tune
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

from carbon_ray.core.clock import ManualClock
from carbon_ray.core.intensity import IntensityKind, IntensitySeries, Provenance
from carbon_ray.core.region import Region
from carbon_ray.testing import FakeForecasts
from carbon_ray.testing.sweeps import ScriptedSweep
from carbon_ray.testing.tune_loop import ListedTrials, LoopTiming, RecordedCurves, TuneLoop
from carbon_ray.tune import CarbonAwareTuneScheduler

START = datetime(2022, 5, 1, tzinfo=UTC)
ITERATIONS = 9
HERE, THERE = Region(name="here", zone="DE", pue=1.25), Region(name="there", zone="ES", pue=1.1)


def _population(kind: type[PopulationBasedTraining], synch: bool = False, **wishes: Any) -> TrialScheduler:
    return kind(time_attr="training_iteration", perturbation_interval=3, log_config=False, synch=synch, **wishes)


BASES: Mapping[str, Callable[[], TrialScheduler]] = {
    "fifo": FIFOScheduler,
    "asha": lambda: ASHAScheduler(max_t=ITERATIONS, grace_period=1, reduction_factor=3),
    "hyperband": lambda: HyperBandScheduler(max_t=ITERATIONS, reduction_factor=3),
    "bohb": lambda: HyperBandForBOHB(max_t=ITERATIONS, reduction_factor=3),
    "pbt": lambda: _population(PopulationBasedTraining, hyperparam_mutations={"x": tune.uniform(0, 1)}),
    "pbt in step": lambda: _population(PopulationBasedTraining, True, hyperparam_mutations={"x": tune.uniform(0, 1)}),
    "pb2": lambda: _population(PB2, hyperparam_bounds={"x": [0, 1]}),
    "median": lambda: MedianStoppingRule(time_attr="training_iteration", grace_period=3),
    "resources": lambda: ResourceChangingScheduler(
        ASHAScheduler(max_t=ITERATIONS, grace_period=1, reduction_factor=3), resources_allocation_function=lambda *of: None
    ),
}
"""A maker of every base scheduler that is to work."""


def curves(count: int, iterations: int = ITERATIONS, seed: int = 1) -> dict[int, list[float]]:
    """Learning curves that rise at different speeds to different heights."""
    draw = np.random.default_rng(seed)
    steps = np.arange(1, iterations + 1)
    return {one: list(draw.uniform(0.2, 1) * (1 - np.exp(-steps / draw.uniform(2, 10)))) for one in range(count)}


def grid(zone: str = "DE", values: Sequence[float] = (200.0,), days: int = 20) -> IntensitySeries:
    """Hourly intensity around the start, the values again and again from the start on."""
    hours = 24 * days
    first = 24 * 5
    return IntensitySeries(
        zone=zone,
        kind=IntensityKind.AVERAGE_LIFECYCLE,
        start_at=START - timedelta(hours=first),
        step_s=3600.0,
        values_gco2_per_kwh=np.array([values[(hour - first) % len(values)] for hour in range(hours)]),
        provenance=Provenance(provider="test"),
    )


def carbon_aware(base: TrialScheduler, clock: ManualClock, policy: Any = None, **wishes: Any) -> CarbonAwareTuneScheduler:
    """The scheduler under test, in one region with a flat grid unless said otherwise."""
    wishes.setdefault("regions", [HERE])
    if "forecasts" not in wishes:
        zones = {region.zone for region in wishes["regions"]}
        wishes["forecasts"] = FakeForecasts({zone: grid(zone) for zone in zones}, clock)
    return CarbonAwareTuneScheduler(base, policy=policy or ScriptedSweep(), clock=clock, **wishes)


def sweep(
    make: Callable[[ManualClock], TrialScheduler],
    *,
    count: int = 12,
    slots: int | Mapping[str, int] = 4,
    seed: int = 0,
    iteration_s: float = 60.0,
    timing: LoopTiming | None = None,
    searcher: ListedTrials | None = None,
    **options: Any,
) -> tuple[TuneLoop, TrialScheduler]:
    """Make a sweep with its scheduler; not run yet."""
    random.seed(seed)
    np.random.seed(seed)
    clock = ManualClock(START)
    scheduler = make(clock)
    trainable = RecordedCurves(curves=curves(count, seed=seed + 1), default_s=iteration_s)
    searcher = searcher or ListedTrials([{"curve": one, "x": 0.5} for one in range(count)])
    options.setdefault("end_at", START + timedelta(days=10))
    return TuneLoop(scheduler, trainable, searcher, clock=clock, slots=slots, timing=timing, **options), scheduler


def happened(loop: TuneLoop) -> list[tuple[str, str, int, datetime]]:
    """Everything that happened, in order and with its time."""
    return [(event.trial_id, event.kind, event.iteration, event.at) for event in loop.events]


def ends(loop: TuneLoop) -> dict[str, int]:
    """Iterations with which each trial ended."""
    return {event.trial_id: event.iteration for event in loop.events if event.kind in ("ended", "stopped")}
