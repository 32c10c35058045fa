"""LightGBM with Ray Train, run where and when the grid is clean.

    carbon-ray submit -- python examples/lightgbm_training.py
    ray submit cluster_configs/local.yaml examples/lightgbm_training.py

Against a plain Ray Train script two things change: the callback comes from carbon_ray, and the trainer is wrapped.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import lightgbm
from ray.train import RunConfig, ScalingConfig
from ray.train.lightgbm import LightGBMTrainer
from sklearn.datasets import make_friedman1

from carbon_ray import CarbonAwareTrainer, CarbonRayError
from carbon_ray.train.lightgbm import ReportCallback, resume

ROUNDS = 500


def train_loop() -> None:
    features, target = make_friedman1(n_samples=12_000, n_features=10, random_state=7)
    train = lightgbm.Dataset(features[:10_000], label=target[:10_000])
    valid = train.create_valid(features[10_000:], label=target[10_000:])
    model, rounds = resume(ROUNDS)
    lightgbm.train(
        {"objective": "regression", "metric": "l2", "num_threads": 1, "verbose": -1},
        train,
        num_boost_round=rounds,
        init_model=model,
        valid_sets=[valid],
        callbacks=[ReportCallback()],
    )


def main() -> None:
    trainer = LightGBMTrainer(
        train_loop,
        scaling_config=ScalingConfig(num_workers=1, use_gpu=True, resources_per_worker={"CPU": 1, "GPU": 4}),
        run_config=RunConfig(storage_path=str(Path.home() / "carbon-ray-runs")),
    )
    aware = CarbonAwareTrainer(
        trainer,
        deadline=timedelta(hours=24),
        objective="deadline",  # "carbon" and "balanced" wait for clean hours
        run_time=timedelta(minutes=10),
        total_steps=ROUNDS,
    )
    try:
        result = aware.fit()
    except CarbonRayError as error:
        raise SystemExit(f"error: {error}") from None
    print("checkpoint:", result.checkpoint.path, "metrics:", result.metrics)


if __name__ == "__main__":
    main()
