"""Data-parallel training in plain numpy, suspended and moved by carbon_ray, exact to the last bit.

    carbon-ray submit -- python examples/data_parallel_training.py --steps 400 --deadline-hours 24 --run-hours 6

The model is a small network with dropout, so that the random state of every worker matters: each rank saves its own, and the
losses of all steps travel in the checkpoint. `--bare` runs the same loop without carbon_ray, for comparison.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import pickle
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import ray
import ray.train
from ray.train import RunConfig, ScalingConfig
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

from carbon_ray import CarbonAwareTrainer, CarbonRayError, Objective
from carbon_ray.train import report

BATCH, INPUTS, HIDDEN = 64, 16, 32


@ray.remote(num_cpus=0)
class MeanOfRanks:
    """Averages one array per rank and round, in rank order, so that the sum does not depend on who comes first."""

    def __init__(self, world_size: int) -> None:
        import asyncio

        self._world_size, self._round, self._parts = world_size, {}, {}
        self._asyncio = asyncio

    async def mean(self, step: int, rank: int, part: np.ndarray) -> np.ndarray:
        parts = self._parts.setdefault(step, {})
        done = self._round.setdefault(step, self._asyncio.Event())
        parts[rank] = part
        if len(parts) == self._world_size:
            done.set()
        await done.wait()
        self._parts.pop(step - 2, None), self._round.pop(step - 2, None)
        return sum(parts[rank] for rank in range(self._world_size)) / self._world_size


def gradient(weights: np.ndarray, step: int, rank: int, world_size: int, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Gradient and loss of this rank's share of the step's batch; the batch depends on the step alone."""
    data = np.random.default_rng(1000 + step)
    features = data.normal(size=(BATCH, INPUTS))
    target = np.tanh(features[:, :4].sum(axis=1))
    share = slice(rank * BATCH // world_size, (rank + 1) * BATCH // world_size)
    x, y = features[share], target[share]
    first, second = weights[: INPUTS * HIDDEN].reshape(INPUTS, HIDDEN), weights[INPUTS * HIDDEN :]
    hidden = np.tanh(x @ first)
    kept = hidden * (rng.random(hidden.shape) < 0.9)
    error = kept @ second - y
    to_second = kept.T @ error / len(y)
    to_first = x.T @ ((error[:, None] * second[None]) * (1 - hidden**2)) / len(y)
    return np.concatenate([to_first.ravel(), to_second]), float((error**2).mean())


def train_loop(config: dict[str, Any]) -> dict[str, Any] | None:
    context = ray.train.get_context()
    rank, world_size = context.get_world_rank(), context.get_world_size()
    weights, losses, start = np.random.default_rng(0).normal(size=INPUTS * HIDDEN + HIDDEN) * 0.1, [], 0
    rng = np.random.default_rng(100 + rank)
    checkpoint = ray.train.get_checkpoint()
    if checkpoint is not None:
        with checkpoint.as_directory() as directory:
            start, weights, losses = pickle.loads(Path(directory, "model.pkl").read_bytes())
            rng.bit_generator.state = pickle.loads(Path(directory, f"random-{rank}.pkl").read_bytes())
    name = f"{context.get_experiment_name()}-{start}-mean"
    reducer = MeanOfRanks.options(name=name, get_if_exists=True).remote(world_size)

    for step in range(start, config["steps"]):
        begun = time.monotonic()
        mine, loss = gradient(weights, step, rank, world_size, rng)
        both = ray.get(reducer.mean.remote(step, rank, np.append(mine, loss)))
        weights = weights - 0.05 * both[:-1]
        losses.append(float(both[-1]))
        time.sleep(max(0.0, config["pace_s"] - (time.monotonic() - begun)))

        def save(directory: str, done: int = step + 1, weights: np.ndarray = weights) -> None:
            Path(directory, f"random-{rank}.pkl").write_bytes(pickle.dumps(rng.bit_generator.state))
            if rank == 0:
                Path(directory, "model.pkl").write_bytes(pickle.dumps((done, weights, losses)))

        if not config["bare"]:
            report({"step": step + 1, "loss": losses[-1]}, checkpoint=save)
    return {"sha256": hashlib.sha256(weights.tobytes()).hexdigest(), "losses": losses} if rank == 0 else None


def aware(trainer: DataParallelTrainer, options: argparse.Namespace) -> CarbonAwareTrainer:
    return CarbonAwareTrainer(
        trainer,
        deadline=timedelta(hours=options.deadline_hours),
        objective=Objective(usd_per_kgco2=1.0, usd_per_h_delay=options.delay_usd_per_h, usd_weight=0.0),
        regions=[name for name in options.regions.split(",") if name] if options.regions is not None else None,
        run_time=timedelta(hours=options.run_hours),
        total_steps=options.steps,
        checkpoint_every=timedelta(seconds=options.checkpoint_every_s),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", default=None)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--pace-s", type=float, default=0.05)
    parser.add_argument("--deadline-hours", type=float, default=24.0)
    parser.add_argument("--run-hours", type=float, default=6.0)
    parser.add_argument("--delay-usd-per-h", type=float, default=0.001, help="price of an hour's wait, against 1 USD per kg CO2e")
    parser.add_argument("--regions", default=None)
    parser.add_argument("--checkpoint-every-s", type=float, default=5.0)
    parser.add_argument("--storage", default=str(Path.home() / "carbon-ray-runs"))
    parser.add_argument("--bare", action="store_true", help="run the same loop without carbon_ray")
    parser.add_argument("--out", default=None, help="write the result as JSON to this file")
    options = parser.parse_args()

    name = options.name or f"numpy-{time.time_ns()}"
    trainer = DataParallelTrainer(
        train_loop,
        train_loop_config={"steps": options.steps, "pace_s": options.pace_s, "bare": options.bare},
        scaling_config=ScalingConfig(
            num_workers=options.workers, use_gpu=True, resources_per_worker={"CPU": 1, "GPU": max(1, 4 // options.workers)}
        ),
        run_config=RunConfig(name=name, storage_path=options.storage),
    )
    try:
        result = (trainer if options.bare else aware(trainer, options)).fit()
    except CarbonRayError as error:
        raise SystemExit(f"error: {error}") from None
    if options.out:
        Path(options.out).write_text(json.dumps(result.return_value))
    print(json.dumps({"workload_id": name, "sha256": result.return_value["sha256"], "steps": len(result.return_value["losses"])}))


if __name__ == "__main__":
    main()
