"""A real sweep held for half an hour: resources free, no busy loop, no trial lost, no iteration done twice.

    python -m benchmarks.tune_hold --json benchmarks/results/tune_hold.json
    python -m benchmarks.tune_hold --hold-s 60                                # a short look

A sweep over real trials on a local Ray with two CPUs, ASHA as base. A policy lets it run until two trials have done five
iterations, then allows nothing for `--hold-s` real seconds (the clock is the system's), then everything. A thread in the driver's
process looks every five seconds at Ray's free CPUs and at what the process itself used. Rounds are calls of the scheduler by Tune's
loop.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import ray
from ray.tune import CheckpointConfig, RunConfig, TuneConfig, Tuner
from ray.tune.schedulers import ASHAScheduler

from benchmarks import record
from benchmarks.sweep_trials import SavingClass, local_ray, read_trace, saving_function, space
from carbon_ray.core.forecast import ForecastSnapshot
from carbon_ray.core.region import Region
from carbon_ray.policies.sweeps.state import SweepDecision, SweepView
from carbon_ray.tune import CarbonAwareTuneScheduler

CPUS = 2
SETTLE_S = 15.0
"""Seconds from the start of a hold within which running trials may still be on their way to their next checkpoint."""


@dataclass(slots=True)
class HoldOnce:
    """Lets everything run, then nothing for a while, then everything.

    Attributes:
        hold_s: How long nothing runs.
        begin_at_iteration: The hold begins when so many trials as `begin_with_trials` have come so far.
        begin_with_trials: See there; as many as there are CPUs.
        begun_at: When the hold began.
    """

    hold_s: float
    begin_at_iteration: int = 5
    begin_with_trials: int = CPUS
    begun_at: datetime | None = None

    def decide(self, sweep: SweepView, regions: Sequence[Region], snapshot: ForecastSnapshot, *, now: datetime) -> SweepDecision:
        """All or nothing."""
        under_way = sum(one.iterations >= self.begin_at_iteration for one in sweep.trials)
        if self.begun_at is None and under_way >= self.begin_with_trials:
            self.begun_at = now
        ends_at = now if self.begun_at is None else self.begun_at + timedelta(seconds=self.hold_s)
        is_held = now < ends_at
        return SweepDecision(
            slots={regions[0].name: 0 if is_held else sweep.max_concurrency},
            check_at=min(ends_at, now + timedelta(seconds=30.0)) if is_held else now + timedelta(seconds=1.0),
            reason="the hold" if is_held else "before or after the hold",
        )


class Counting(CarbonAwareTuneScheduler):
    """Counts how often Tune's loop asks it."""

    rounds = 0

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        self.rounds += 1
        return super().choose_trial_to_run(tune_controller)


class Watch(threading.Thread):
    """Looks at the cluster and the process every few seconds."""

    def __init__(self, scheduler: Counting) -> None:
        super().__init__(daemon=True)
        self._scheduler, self._over, self._process = scheduler, threading.Event(), psutil.Process()
        self.looks: list[dict[str, float]] = []

    def run(self) -> None:
        while not self._over.wait(5.0):
            run = self._scheduler.run
            decision = run.decision if run is not None else None
            if decision is None:
                continue
            used = self._process.cpu_times()
            self.looks.append(
                {
                    "at_s": time.monotonic(),
                    "is_held": float(decision.concurrency == 0),
                    "free_cpus": ray.available_resources().get("CPU", 0.0),
                    "cpu_s": used.user + used.system,
                    "rss_bytes": float(self._process.memory_info().rss),
                    "rounds": float(self._scheduler.rounds),
                }
            )

    def stop(self) -> None:
        self._over.set()
        self.join()


def held_part(looks: list[dict[str, float]]) -> dict[str, float]:
    """What was seen while everything was held, without the first seconds."""
    held = [look for look in looks if look["is_held"]]
    settled = [look for look in held if look["at_s"] - held[0]["at_s"] >= SETTLE_S]
    span_s = settled[-1]["at_s"] - settled[0]["at_s"]
    return {
        "held_s": held[-1]["at_s"] - held[0]["at_s"],
        "looks": len(settled),
        "rounds": settled[-1]["rounds"] - settled[0]["rounds"],
        "rounds_per_s": (settled[-1]["rounds"] - settled[0]["rounds"]) / span_s,
        "driver_cpu_fraction": (settled[-1]["cpu_s"] - settled[0]["cpu_s"]) / span_s,
        "free_cpus_min": min(look["free_cpus"] for look in settled),
        "rss_growth_bytes": settled[-1]["rss_bytes"] - settled[0]["rss_bytes"],
    }


def one(kind: str, options: argparse.Namespace, storage: Path) -> dict[str, Any]:
    policy = HoldOnce(options.hold_s)
    base = ASHAScheduler(max_t=options.iterations, grace_period=10, reduction_factor=3)
    scheduler = Counting(base, regions=["DE"], policy=policy, power_w=300.0)
    trace = storage / f"{kind}.trace"
    watch = Watch(scheduler)
    watch.start()
    begun_s = time.monotonic()
    grid = Tuner(
        {"function": saving_function, "class": SavingClass}[kind],
        param_space=space(options.trials, options.iterations, 1.0, trace),
        tune_config=TuneConfig(metric="score", mode="max", scheduler=scheduler),
        run_config=RunConfig(name=kind, storage_path=str(storage), verbose=0, checkpoint_config=CheckpointConfig(num_to_keep=2)),
    ).fit()
    watch.stop()
    done = Counter((row["trial"], row["iteration"]) for row in read_trace(trace) if row["event"] == "iteration")
    frame = grid.get_dataframe()
    reached = dict(zip(frame["config/number"], frame["training_iteration"], strict=True))
    return {
        "wall_s": time.monotonic() - begun_s,
        **held_part(watch.looks),
        "trials": len(grid),
        "errors": grid.num_errors,
        "iterations": sum(done.values()),
        "iterations_done_twice": sum(count - 1 for count in done.values()),
        "iterations_missing": sum(1 for trial, last in reached.items() for at in range(1, int(last) + 1) if (trial, at) not in done),
        "trials_held": int((frame["held_s"] > 0).sum()),
        "held_s_max": float(frame["held_s"].max()),
        "decisions_asked": scheduler.run.decider.asked if scheduler.run is not None else 0,
        "carbon_gco2": float(frame["carbon_gco2"].sum()),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--hold-s", type=float, default=1830.0)
    parser.add_argument("--trials", type=int, default=6)
    parser.add_argument("--iterations", type=int, default=40)
    parser.add_argument("--kinds", default="function")
    options = parser.parse_args(arguments)
    results = {}
    with local_ray(CPUS), tempfile.TemporaryDirectory() as storage:
        for kind in options.kinds.split(","):
            results[kind] = one(kind, options, Path(storage))
            print(kind, {name: round(value, 4) for name, value in results[kind].items()}, flush=True)
    if options.json:
        settings = {name: value for name, value in vars(options).items() if name != "json"}
        record.write(options.json, {"benchmark": "tune_hold", "results": results, "settings": settings, "real": "a local Ray, two CPUs"})


if __name__ == "__main__":
    main()
