"""What `CarbonAwareTuneScheduler` takes per event of Tune's loop, and whether that grows with the trials that have ended.

    python -m benchmarks.tune_scale --trials 10000 --json results/tune_scale.json

A sweep of as many trials as asked for runs in Tune's loop in virtual time, on a synthetic grid that swings by day. Every call that Tune
makes to the scheduler is timed; `own` is without what the base scheduler took within it. The base alone runs the same sweep beside it.
Flatness compares the calls in the first and the last tenth of the trials.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from ray.tune.schedulers import TrialScheduler

from benchmarks.issued import Clairvoyant
from benchmarks.record import write
from benchmarks.sweep_grid import IssuedForecasts, Issues
from benchmarks.sweep_world import EPOCH, METRIC
from benchmarks.traces import HourlyTable
from benchmarks.watched_asha import EVENTS, WatchedAsha
from carbon_ray.core.clock import ManualClock
from carbon_ray.core.intensity import IntensityKind
from carbon_ray.core.region import Region
from carbon_ray.testing.tune_loop import ListedTrials, RecordedCurves, TuneLoop
from carbon_ray.tune.scheduler import CarbonAwareTuneScheduler

ITERATIONS = 9
ITERATION_S = 60.0
ZONE = "synthetic"


class Timed:
    """Hands every call on to a scheduler and notes how long it took.

    Args:
        scheduler: Any.
        inner: What it wraps, to be taken off.

    Attributes:
        events: Name of the call, trials that had ended by then, processor seconds with and without the wrapped scheduler's.
    """

    def __init__(self, scheduler: TrialScheduler, inner: WatchedAsha | None = None) -> None:
        self._scheduler, self._inner, self._ended = scheduler, inner, 0
        self.events: list[tuple[str, int, float, float]] = []

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._scheduler, name)
        return self._timed(name, value) if name in EVENTS else value

    def _timed(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any) -> Any:
            before_s = 0.0 if self._inner is None else float(self._inner.taken_s[0])
            began_s = time.thread_time()  # what other processes do meanwhile is not counted
            answer = call(*arguments)
            span_s = time.thread_time() - began_s
            inner_s = 0.0 if self._inner is None else float(self._inner.taken_s[0]) - before_s
            self.events.append((name, self._ended, span_s, span_s - inner_s))
            self._ended += name in ("on_trial_complete", "on_trial_remove")
            return answer

        return timed


def grid(hours: int) -> HourlyTable:
    """Dirty at midnight, clean at noon."""
    values = 300.0 + 150.0 * np.cos(2 * np.pi * np.arange(hours) / 24)
    return HourlyTable(zones=(ZONE,), start_at=EPOCH, values_gco2_per_kwh=values[:, None], kind=IntensityKind.AVERAGE_LIFECYCLE)


def wrapped(inner: WatchedAsha, table: HourlyTable, clock: ManualClock, slots: int, span: timedelta) -> CarbonAwareTuneScheduler:
    """The scheduler that is measured."""
    issues = Issues(table, Clairvoyant(table), 96, "truth")
    return CarbonAwareTuneScheduler(
        inner,
        regions=[Region(name=ZONE, zone=ZONE, pue=1.0)],
        forecasts=IssuedForecasts(issues, table, clock),
        clock=clock,
        power_w=300.0,
        deadline=span,
        max_concurrency=slots,
    )


def timed_sweep(
    make: Callable[[WatchedAsha, ManualClock], TrialScheduler], trials: int, slots: int, seed: int
) -> list[tuple[str, int, float, float]]:
    """Run a sweep and time its scheduler; its events."""
    random, clock = np.random.default_rng(seed), ManualClock(EPOCH)
    tops, falls = random.normal(size=trials), np.abs(random.normal(size=trials))
    curves = tops[:, None] - falls[:, None] / np.sqrt(np.arange(1, ITERATIONS + 1))
    inner = WatchedAsha(ITERATIONS)
    made = make(inner, clock)
    scheduler = Timed(made, None if made is inner else inner)
    TuneLoop(
        scheduler,
        RecordedCurves(curves=dict(enumerate(curves)), metric=METRIC, default_s=ITERATION_S),
        ListedTrials([{"curve": index} for index in range(trials)]),
        clock=clock,
        slots=slots,
        metric=METRIC,
        max_pending=2 * slots,
    ).run()
    return scheduler.events


def row_of(name: str, events: Sequence[tuple[str, int, float]]) -> dict[str, Any]:
    """Quantiles of the calls of a kind, and how they grow."""
    spans_ms = 1e3 * np.array([span_s for _, _, span_s in events])
    ended = np.array([count for _, count, _ in events])
    first, last = spans_ms[ended <= ended.max() / 10], spans_ms[ended >= 0.9 * ended.max()]
    return {
        "event": name,
        "calls": len(events),
        "p50_ms": float(np.quantile(spans_ms, 0.5)),
        "p99_ms": float(np.quantile(spans_ms, 0.99)),
        "max_ms": float(spans_ms.max()),
        "mean_ms": float(spans_ms.mean()),
        "last_over_first_tenth": float(np.mean(last) / np.mean(first)),
        "last_over_first_tenth_p50": float(np.median(last) / np.median(first)),
    }


def rows_of(events: Sequence[tuple[str, int, float]]) -> list[dict[str, Any]]:
    """All events together and each kind."""
    kinds = {name: [event for event in events if event[0] == name] for name in EVENTS}
    return [row_of("all", events), *(row_of(name, found) for name, found in kinds.items() if found)]


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.tune_scale", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--slots", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args(argv)
    at_once_h = arguments.trials * 3.0 * ITERATION_S / 3600 / arguments.slots
    span = timedelta(hours=2 * at_once_h + 24)
    table = grid(int(span.total_seconds() // 3600) + 120)
    sweeps = {
        "carbon_ray": lambda inner, clock: wrapped(inner, table, clock, arguments.slots, span),
        "base": lambda inner, clock: inner,
    }
    rows = []
    found = {name: timed_sweep(make, arguments.trials, arguments.slots, arguments.seed) for name, make in sweeps.items()}
    events = {
        "own": [(event, ended, own_s) for event, ended, _, own_s in found["carbon_ray"]],
        **{name: [(event, ended, span_s) for event, ended, span_s, _ in spans] for name, spans in found.items()},
    }
    for name, timed in events.items():
        for row in rows_of(timed):
            rows.append({"scheduler": name} | row)
            spans = f"p50 {row['p50_ms']:.3f} p99 {row['p99_ms']:.3f} max {row['max_ms']:.1f} ms"
            growth = f"last tenth / first {row['last_over_first_tenth']:.2f} (medians {row['last_over_first_tenth_p50']:.2f})"
            print(
                f"{name:10s} {row['event']:20s} {row['calls']:7d} calls {spans}, {growth}",
                flush=True,
            )
    if arguments.json:
        settings = {"trials": arguments.trials, "slots": arguments.slots, "seed": arguments.seed}
        write(
            arguments.json,
            {"what": "measured: processor time of a scheduler's calls in Tune's virtual loop", "settings": settings, "rows": rows},
        )
    return 0


if __name__ == "__main__":
    logging.getLogger("carbon_ray").setLevel(logging.ERROR)  # here, because it is the process's and not the function's
    sys.exit(main())
