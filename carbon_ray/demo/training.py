"""The demonstration's job: a LightGBM training that suspends and moves with the grid, and proves that it lost nothing.

Run by `carbon-ray demo` through Ray's Jobs API. `--pace-s` makes each boosting round last at least that long, so that a small
training stands for hours of work; examples/lightgbm_training.py is the same without pace and proof.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightgbm
import ray
import ray.train
from ray.train.lightgbm import LightGBMTrainer
from sklearn.datasets import make_friedman1

from carbon_ray import CarbonAwareTrainer, CarbonRayError
from carbon_ray.train.lightgbm import ReportCallback, load_model, resume

PARAMETERS = {
    "objective": "regression",
    "metric": "l2",
    "num_leaves": 31,
    "learning_rate": 0.05,
    "num_threads": 1,
    "deterministic": True,
    "seed": 7,
    "verbose": -1,
}


def data_sets() -> tuple[lightgbm.Dataset, lightgbm.Dataset]:
    """Training and validation set; the same in every process."""
    features, target = make_friedman1(n_samples=12_000, n_features=10, noise=1.0, random_state=7)
    train = lightgbm.Dataset(features[:10_000], label=target[:10_000], free_raw_data=False)
    return train, train.create_valid(features[10_000:], label=target[10_000:])


class Pace:
    """Makes every round last at least `pace_s` seconds."""

    order = 25

    def __init__(self, pace_s: float) -> None:
        self._pace_s, self._next_s = pace_s, 0.0

    def __call__(self, env: Any) -> None:
        """Wait until the round has lasted long enough."""
        time.sleep(max(0.0, self._next_s - time.monotonic()))
        self._next_s = time.monotonic() + self._pace_s


class LossLog:
    """Appends each round's validation loss to a file, so that the losses of all segments can be compared afterwards."""

    order = 26

    def __init__(self, path: str) -> None:
        self._path = path

    def __call__(self, env: Any) -> None:
        """Append the round that has just ended."""
        with Path(self._path).open("a") as file:
            file.write(json.dumps([env.iteration + 1, env.evaluation_result_list[0][2]]) + "\n")


def train_loop(config: dict[str, Any]) -> None:
    """What the worker runs, in every segment."""
    train, valid = data_sets()
    model, rounds = resume(config["rounds"])
    if rounds:
        lightgbm.train(
            PARAMETERS,
            train,
            num_boost_round=rounds,
            init_model=model,
            valid_sets=[valid],
            callbacks=[Pace(config["pace_s"]), LossLog(config["losses"]), ReportCallback()],
        )


def digest(model: lightgbm.Booster) -> str:
    """Hash of all trees; the header of a model file also names how the training was started."""
    return hashlib.sha256(json.dumps(model.dump_model()["tree_info"], sort_keys=True).encode()).hexdigest()


def main() -> None:
    """Train under carbon_ray, then once more without it, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", default=None, help="name of the run; the same name goes on with it")
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--pace-s", type=float, default=0.0, help="least seconds a round takes")
    parser.add_argument("--deadline-hours", type=float, default=30.0)
    parser.add_argument("--run-hours", type=float, default=8.0, help="expected hours of the uninterrupted training")
    parser.add_argument("--margin-hours", type=float, default=1.0)
    parser.add_argument("--regions", default=None, help="comma list; all regions of the cluster by default")
    parser.add_argument("--objective", default="carbon")
    parser.add_argument("--checkpoint-every-s", type=float, default=5.0)
    parser.add_argument("--storage", default=str(Path.home() / "carbon-ray-runs"))
    parser.add_argument("--out", default=None, help="write the proof as JSON to this file")
    options = parser.parse_args()

    name = options.name or f"lightgbm-{int(time.monotonic())}"
    storage = Path(options.storage)
    losses = storage / f"{name}.losses.jsonl"
    losses.parent.mkdir(parents=True, exist_ok=True)
    trainer = LightGBMTrainer(
        train_loop,
        train_loop_config={"rounds": options.rounds, "pace_s": options.pace_s, "losses": str(losses)},
        scaling_config=ray.train.ScalingConfig(num_workers=1, use_gpu=True, resources_per_worker={"CPU": 1, "GPU": 4}),
        run_config=ray.train.RunConfig(name=name, storage_path=str(storage)),
    )
    aware = CarbonAwareTrainer(
        trainer,
        deadline=timedelta(hours=options.deadline_hours),
        objective=options.objective,
        regions=options.regions.split(",") if options.regions else None,
        run_time=timedelta(hours=options.run_hours),
        total_steps=options.rounds,
        safety_margin=timedelta(hours=options.margin_hours),
        checkpoint_every=timedelta(seconds=options.checkpoint_every_s),
    )
    try:
        result = aware.fit()
    except CarbonRayError as error:
        raise SystemExit(f"error: {error}") from None

    # The proof: the same training without Ray and without interruptions, in this process.
    reference_losses: dict[str, Any] = {}
    train, valid = data_sets()
    reference = lightgbm.train(
        PARAMETERS, train, options.rounds, valid_sets=[valid], callbacks=[lightgbm.record_evaluation(reference_losses)]
    )
    by_step = dict(json.loads(line) for line in losses.read_text().splitlines())
    proof = {
        "workload_id": name,
        "rounds": options.rounds,
        "parameters_sha256": digest(load_model(result.checkpoint)),
        "reference_sha256": digest(reference),
        "losses_equal": [by_step.get(step + 1) for step in range(options.rounds)] == reference_losses["valid_0"]["l2"],
    }
    proof["bit_equal"] = proof["parameters_sha256"] == proof["reference_sha256"] and proof["losses_equal"]
    if options.out:
        Path(options.out).write_text(json.dumps(proof))
    print(json.dumps(proof), flush=True)


if __name__ == "__main__":
    main()
