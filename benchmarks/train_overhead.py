"""Steps per second of a training under CarbonAwareTrainer against the bare trainer, on one real local cluster, in one run.

    python -m benchmarks.train_overhead --json benchmarks/results/train_overhead.json

The two run in turn, A B B A A B ..., so that a machine whose speed drifts favours neither. Each training makes the same
numpy steps; the wrapped one calls `carbon_ray.train.report` with a callable at every step, the bare one nothing. Only the
time between the first and the last step counts: start-up and the end are the same Ray Train in both.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import ray
import ray.train
from ray.train import RunConfig, ScalingConfig
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

from benchmarks import record
from carbon_ray import CarbonAwareTrainer
from carbon_ray.cluster.local_cluster import LocalCluster
from carbon_ray.cluster.local_config import DEFAULT_REGIONS
from carbon_ray.core.region import REGION_LABEL
from carbon_ray.train import report

SIZE = 480
"""Rows of the square matrix; a step is one product of it, some milliseconds on one core."""


def step(state: np.ndarray) -> np.ndarray:
    return np.tanh(state @ state.T / SIZE)


def loop(config: dict[str, Any]) -> float:
    """The training: returns steps per second."""
    state = np.random.default_rng(config["seed"]).normal(size=(SIZE, SIZE))
    state = step(state)
    if config["wrapped"]:
        report({"step": 1}, checkpoint=lambda directory: np.save(Path(directory, "state.npy"), state))
    begun = time.perf_counter()
    for done in range(1, config["steps"]):
        state = step(state)
        if config["wrapped"]:

            def save(directory: str, state: np.ndarray = state) -> None:
                np.save(Path(directory, "state.npy"), state)

            report({"step": done + 1}, checkpoint=save)
    return (config["steps"] - 1) / (time.perf_counter() - begun)


def one_run(name: str, wrapped: bool, steps: int, workers: int, seed: int, storage: str, region: str) -> float:
    trainer = DataParallelTrainer(
        loop,
        train_loop_config={"wrapped": wrapped, "steps": steps, "seed": seed},
        scaling_config=ScalingConfig(
            num_workers=workers,
            use_gpu=True,
            resources_per_worker={"CPU": 1, "GPU": 4 // workers},
            label_selector={REGION_LABEL: region},
        ),
        run_config=RunConfig(name=name, storage_path=storage),
    )
    if wrapped:
        hour = timedelta(hours=1)
        trainer = CarbonAwareTrainer(trainer, deadline=6 * hour, objective="deadline", regions=[region], run_time=hour, total_steps=steps)
    return float(trainer.fit().return_value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3_000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    region = DEFAULT_REGIONS[0].name
    pairs = []
    with LocalCluster(regions=DEFAULT_REGIONS[:1]) as cluster, tempfile.TemporaryDirectory() as storage, contextlib.ExitStack() as stack:
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        stack.callback(ray.shutdown)
        for pair in range(options.pairs):
            rates = {}
            for wrapped in (False, True) if pair % 2 == 0 else (True, False):
                name = f"{'wrapped' if wrapped else 'bare'}-{pair}"
                rates[wrapped] = one_run(name, wrapped, options.steps, options.workers, options.seed, storage, region)
            pairs.append({"bare_steps_per_s": rates[False], "wrapped_steps_per_s": rates[True], "ratio": rates[True] / rates[False]})
            print(f"pair {pair}: bare {rates[False]:.0f}, wrapped {rates[True]:.0f} steps/s, ratio {pairs[-1]['ratio']:.4f}", flush=True)
    ratios = [pair["ratio"] for pair in pairs]
    result = {
        "benchmark": "train_overhead",
        "pairs": pairs,
        "ratio_median": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
        "steps": options.steps,
        "workers": options.workers,
        "seed": options.seed,
        "real": "a real Ray cluster of local processes; declared GPUs",
    }
    print(f"median ratio {result['ratio_median']:.4f} ({result['ratio_min']:.4f} to {result['ratio_max']:.4f})")
    if options.json:
        record.write(options.json, result)


if __name__ == "__main__":
    main()
