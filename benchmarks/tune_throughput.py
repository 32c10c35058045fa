"""What the scheduler costs Tune: many tiny real trials under ASHA alone and wrapped, in turns, and the time spent in it per event.

    python -m benchmarks.tune_throughput --json benchmarks/results/tune_throughput.json
    python -m benchmarks.tune_throughput --trials 40 --rounds 1               # a short look

A class trainable without work, actors reused, on a local Ray with two CPUs. Both kinds of sweep see the same configurations; every round
runs one of each, the order alternating. The time per event is that of our methods (`on_trial_result`, `choose_trial_to_run`) in the
driver's thread, without what the base scheduler takes inside them; given as processor time, and as wall time for comparison.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ray import tune
from ray.tune import RunConfig, TuneConfig, Tuner

from benchmarks import record
from benchmarks.sweep_trials import local_ray
from benchmarks.watched_asha import WatchedAsha, clocks_s
from carbon_ray.testing.sweeps import ScriptedSweep
from carbon_ray.tune import CarbonAwareTuneScheduler

ITERATIONS = 9


class Tiny(tune.Trainable):
    """Does nothing, in iterations."""

    def setup(self, config: dict[str, Any]) -> None:
        self.height, self.done = config["height"], 0

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.height, self.done = new_config["height"], 0
        return True

    def step(self) -> dict[str, Any]:
        self.done += 1
        return {"score": self.height * (1 - 0.7**self.done), "done": self.done >= ITERATIONS}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        Path(checkpoint_dir, "done").write_text(str(self.done))

    def load_checkpoint(self, checkpoint_dir: str) -> None:
        self.done = int(Path(checkpoint_dir, "done").read_text())


class Timed(CarbonAwareTuneScheduler):
    """Notes what each event takes, without the base."""

    def __init__(self, base: WatchedAsha, **wishes: Any) -> None:
        super().__init__(base, **wishes)
        self.watched, self.events = base, []

    def on_trial_result(self, *of: Any) -> str:
        return self._note(super().on_trial_result, of)

    def choose_trial_to_run(self, *of: Any) -> Any:
        return self._note(super().choose_trial_to_run, of)

    def _note(self, call: Any, of: Any) -> Any:
        inner_s, before_s = self.watched.taken_s.copy(), clocks_s()
        answer = call(*of)
        self.events.append(clocks_s() - before_s - (self.watched.taken_s - inner_s))
        return answer


def sweep(scheduler: Any, options: argparse.Namespace, name: str, storage: str) -> float:
    begun_s = time.perf_counter()
    grid = Tuner(
        tune.with_resources(Tiny, {"cpu": 0.5}),
        param_space={"height": tune.uniform(0.5, 1.0)},
        tune_config=TuneConfig(metric="score", mode="max", num_samples=options.trials, scheduler=scheduler, reuse_actors=True),
        run_config=RunConfig(name=name, storage_path=storage, verbose=0),
    ).fit()
    if len(grid) != options.trials or grid.num_errors:
        raise RuntimeError(f"{name}: {len(grid)} trials, {grid.num_errors} errors")
    return time.perf_counter() - begun_s


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=5)
    options = parser.parse_args(arguments)
    walls: dict[str, list[float]] = {"bare": [], "wrapped": []}
    events: list[Any] = []
    with local_ray(2), tempfile.TemporaryDirectory() as storage:
        for index in range(options.rounds):
            for kind in ("bare", "wrapped") if index % 2 == 0 else ("wrapped", "bare"):
                np.random.seed(options.seed + index)
                base = WatchedAsha(ITERATIONS)
                scheduler = base if kind == "bare" else Timed(base, regions=["DE"], policy=ScriptedSweep(), power_w=300.0)
                walls[kind].append(sweep(scheduler, options, f"{kind}-{index}", storage))
                print(f"round {index}, {kind}: {walls[kind][-1]:.1f} s", flush=True)
                if isinstance(scheduler, Timed):
                    events.append(np.array(scheduler.events))
    all_ms = np.concatenate(events) * 1000
    last_ms = np.concatenate([one[-len(one) // 5 :] for one in events]) * 1000
    result = {
        "wall_s": walls,
        "ratio_of_throughput": statistics.median(bare / wrapped for bare, wrapped in zip(walls["bare"], walls["wrapped"], strict=True)),
        "events": len(all_ms),
        "cpu_ms": {"median": float(np.median(all_ms[:, 0])), "p99": float(np.percentile(all_ms[:, 0], 99))},
        "wall_ms": {"median": float(np.median(all_ms[:, 1])), "p99": float(np.percentile(all_ms[:, 1], 99))},
        "cpu_ms_of_last_fifth": {"median": float(np.median(last_ms[:, 0])), "p99": float(np.percentile(last_ms[:, 0], 99))},
    }
    print(result)
    if options.json:
        settings = {"trials": options.trials, "rounds": options.rounds, "seed": options.seed}
        record.write(
            options.json, {"benchmark": "tune_throughput", "results": result, "settings": settings, "real": "a local Ray, two CPUs"}
        )


if __name__ == "__main__":
    main()
