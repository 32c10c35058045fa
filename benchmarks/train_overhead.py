"""Steps per second of a training under CarbonAwareTrainer against the bare trainer, on one real local cluster, in one run.

    python -m benchmarks.train_overhead --json benchmarks/results/train_overhead.json

In every round two trainings run side by side, a core each, and only the stretch of time in which both make steps counts:
whatever the machine does meanwhile, it does to both. The wrapped one calls `carbon_ray.train.report` with a callable at every
step, the bare one nothing. Two kinds of step: `device` waits 10 ms, as a training loop waits for its GPU; `cpu` multiplies
matrices on the core itself, and so also feels what else the small machine does. `control` rounds run bare against bare and show
how far apart two equal trainings come out.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import ray
import ray.train
from ray.train import RunConfig, ScalingConfig
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer
from threadpoolctl import threadpool_limits

from benchmarks import record
from carbon_ray import CarbonAwareTrainer
from carbon_ray.cluster.local_cluster import LocalCluster
from carbon_ray.cluster.local_config import DEFAULT_REGIONS
from carbon_ray.core.region import REGION_LABEL
from carbon_ray.train import report

SIZE = 480
"""Rows of the square matrix; a step is one product of it, some milliseconds on one core."""
DEVICE_STEP_S = 0.01
"""What a `device` step waits."""
MARK_EVERY = 20
"""Steps between two time stamps."""

Marks = list[tuple[float, float]]
"""Monotonic seconds and CPU seconds of the process, every `MARK_EVERY` steps."""


def loop(config: dict[str, Any]) -> Marks:
    with threadpool_limits(1):
        return timed(config)


def timed(config: dict[str, Any]) -> Marks:
    state, marks = np.random.default_rng(config["seed"]).normal(size=(SIZE, SIZE)), []
    for done in range(config["steps"]):
        if done % MARK_EVERY == 0:
            marks.append((time.monotonic(), time.process_time()))
        if config["step"] == "device":
            time.sleep(DEVICE_STEP_S)
        else:
            state = np.tanh(state @ state.T / SIZE)
        if config["wrapped"]:

            def save(directory: str, state: np.ndarray = state) -> None:
                np.save(Path(directory, "state.npy"), state)

            report({"step": done + 1}, checkpoint=save)
    return marks


def one_run(name: str, step: str, wrapped: bool, options: argparse.Namespace, storage: str, region: str) -> Marks:
    steps = options.steps[step]
    trainer = DataParallelTrainer(
        loop,
        train_loop_config={"wrapped": wrapped, "steps": steps, "seed": options.seed, "step": step},
        scaling_config=ScalingConfig(
            num_workers=1, use_gpu=True, resources_per_worker={"CPU": 1, "GPU": 2}, label_selector={REGION_LABEL: region}
        ),
        run_config=RunConfig(name=name, storage_path=storage),
    )
    if wrapped:
        hour = timedelta(hours=1)
        trainer = CarbonAwareTrainer(trainer, deadline=6 * hour, objective="deadline", regions=[region], run_time=hour, total_steps=steps)
    marks: Marks = trainer.fit().return_value
    return marks


def steps_between(marks: Marks, begin: float, end: float) -> float:
    """Steps made between two instants, interpolated between the marks."""
    steps = np.arange(len(marks)) * MARK_EVERY
    first, last = np.interp([begin, end], [at for at, _ in marks], steps)
    return float(last - first)


def compare(bare: Marks, other: Marks) -> dict[str, float]:
    """Rates while both ran, and CPU seconds a step."""
    begin, end = max(bare[0][0], other[0][0]), min(bare[-1][0], other[-1][0])
    assert end - begin > 3, "the two hardly ran at the same time; give more steps"
    bare_rate, other_rate = steps_between(bare, begin, end) / (end - begin), steps_between(other, begin, end) / (end - begin)
    cpu = [(marks[-1][1] - marks[0][1]) / ((len(marks) - 1) * MARK_EVERY) for marks in (bare, other)]
    return {
        "together_s": end - begin,
        "bare_steps_per_s": bare_rate,
        "other_steps_per_s": other_rate,
        "ratio": other_rate / bare_rate,
        "bare_cpu_s_per_step": cpu[0],
        "other_cpu_s_per_step": cpu[1],
    }


ROUNDS = {"device": ("wrapped", 4), "device control": ("bare", 2), "cpu": ("wrapped", 4), "cpu control": ("bare", 4)}
"""What runs beside the bare training, and how often."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    options.steps = {"device": 1_600, "cpu": 4_000}
    region, result = DEFAULT_REGIONS[0].name, dict[str, Any]()
    with LocalCluster(regions=DEFAULT_REGIONS[:1]) as cluster, tempfile.TemporaryDirectory() as storage, contextlib.ExitStack() as stack:
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        stack.callback(ray.shutdown)
        pool = stack.enter_context(ThreadPoolExecutor(2))
        for title, (beside, count) in ROUNDS.items():
            step, rounds = title.split()[0], []
            for index in range(count):
                name = f"{title.replace(' ', '-')}-{index}"
                bare = pool.submit(one_run, f"{name}-bare", step, False, options, storage, region)
                other = pool.submit(one_run, f"{name}-other", step, beside == "wrapped", options, storage, region)
                rounds.append(compare(bare.result(), other.result()))
                print(f"{title} {index}: ratio {rounds[-1]['ratio']:.4f}", flush=True)
            ratios = [one["ratio"] for one in rounds]
            result[title] = {
                "against": f"{beside} / bare",
                "ratio_median": statistics.median(ratios),
                "ratio_min": min(ratios),
                "ratio_max": max(ratios),
                "rounds": rounds,
            }
    for title, one in result.items():
        print(f"{title}: {one['against']} {one['ratio_median']:.4f} ({one['ratio_min']:.4f} to {one['ratio_max']:.4f})")
    if options.json:
        notes = "a real Ray cluster of local processes with declared GPUs; both trainings at the same time on one node"
        record.write(options.json, {"benchmark": "train_overhead", "results": result, "seed": options.seed, "real": notes})


if __name__ == "__main__":
    main()
