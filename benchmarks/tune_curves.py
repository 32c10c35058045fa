"""Learning curves for the simulator of sweeps, recorded by really training small configurations: three tasks, 27 iterations each.

    python -m benchmarks.tune_curves --configurations 400 --seed 0 --out benchmarks/data/learning_curves.json.gz

Two tasks train scikit-learn models on data sets that come with it, one a torch network (torch is needed for this command alone).
Each configuration is drawn at random from a space wide enough that most of it is poor, as in a real search; it is trained with a
seed of its own on one thread. Every iteration is scored on the same held-out third, greater is better. Nothing is smoothed.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import json
import math
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_diabetes, load_digits
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.metrics import log_loss, r2_score
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from benchmarks.record import environment

ITERATIONS = 27
"""Results of one configuration: three halvings by three from the first on."""
WORST_LOG_LOSS = 10.0
"""What a diverged model is given; a random guess at ten digits has 2.3."""
_SPLIT_SEED = 20220101

Configuration = dict[str, float | int | str]
Draw = Callable[[np.random.Generator], Configuration]
Train = Callable[[Configuration, int], Iterator[float]]
Split = tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]


def _log_uniform(random: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(random.uniform(math.log(low), math.log(high))))


def _one_of(random: np.random.Generator, *values: Any) -> Any:
    return values[int(random.integers(len(values)))]


@cache
def _digits() -> Split:
    pixels, digit = load_digits(return_X_y=True)
    parts = train_test_split(pixels / 16.0, digit, test_size=1 / 3, random_state=_SPLIT_SEED, stratify=digit)
    return parts[0], parts[1], parts[2], parts[3]


@cache
def _diabetes() -> Split:
    parts = train_test_split(*load_diabetes(return_X_y=True), test_size=1 / 3, random_state=_SPLIT_SEED)
    scale = StandardScaler().fit(parts[0])
    return scale.transform(parts[0]), scale.transform(parts[1]), parts[2], parts[3]


def draw_digits_mlp(random: np.random.Generator) -> Configuration:
    """A multi-layer perceptron for the digits; an iteration is a pass over the data."""
    return {
        "learning_rate": _log_uniform(random, 1e-5, 1e-1),
        "units": int(_one_of(random, 8, 16, 32, 64, 128)),
        "layers": int(_one_of(random, 1, 2)),
        "alpha": _log_uniform(random, 1e-6, 1.0),
        "batch": int(_one_of(random, 64, 128, 256)),
        "activation": str(_one_of(random, "relu", "tanh", "logistic")),
    }


def train_digits_mlp(configuration: Configuration, seed: int) -> Iterator[float]:
    """Negative log loss on the held-out digits after each pass."""
    train, held, train_digit, held_digit = _digits()
    model = MLPClassifier(
        hidden_layer_sizes=(int(configuration["units"]),) * int(configuration["layers"]),
        activation=configuration["activation"],
        learning_rate_init=configuration["learning_rate"],
        alpha=configuration["alpha"],
        batch_size=int(configuration["batch"]),
        random_state=seed,
    )
    classes = np.arange(10)
    for _ in range(ITERATIONS):
        model.partial_fit(train, train_digit, classes=classes)
        chances = model.predict_proba(held)
        yield -min(WORST_LOG_LOSS, float(log_loss(held_digit, chances, labels=classes))) if np.isfinite(chances).all() else -WORST_LOG_LOSS


def draw_diabetes_boosting(random: np.random.Generator) -> Configuration:
    """Boosted trees for the progression of diabetes; an iteration adds eight trees."""
    return {
        "learning_rate": _log_uniform(random, 1e-3, 0.5),
        "max_depth": int(_one_of(random, 1, 2, 3, 4, 6)),
        "subsample": float(random.uniform(0.3, 1.0)),
        "min_samples_leaf": int(_one_of(random, 1, 3, 9, 27)),
        "max_features": float(random.uniform(0.2, 1.0)),
    }


def train_diabetes_boosting(configuration: Configuration, seed: int) -> Iterator[float]:
    """R2 on the held-out patients after each eight trees, at least -1."""
    train, held, train_progression, held_progression = _diabetes()
    model = GradientBoostingRegressor(**configuration, n_estimators=8, warm_start=True, random_state=seed)
    for iteration in range(ITERATIONS):
        model.set_params(n_estimators=8 * (iteration + 1))
        model.fit(train, train_progression)
        yield max(-1.0, float(r2_score(held_progression, model.predict(held))))


def draw_digits_torch(random: np.random.Generator) -> Configuration:
    """A small convolutional network for the digits as images; an iteration is a pass over the data."""
    return {
        "learning_rate": _log_uniform(random, 1e-4, 1.0),
        "momentum": float(random.uniform(0.0, 0.97)),
        "channels": int(_one_of(random, 2, 4, 8)),
        "dropout": float(random.uniform(0.0, 0.6)),
        "weight_decay": _log_uniform(random, 1e-6, 1e-1),
        "batch": int(_one_of(random, 64, 128, 256)),
    }


def train_digits_torch(configuration: Configuration, seed: int) -> Iterator[float]:
    """Negative log loss on the held-out digits after each pass."""
    import torch
    from torch import nn

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    train, held, train_digit, held_digit = (torch.as_tensor(part) for part in _digits())
    train, held = train.float().reshape(-1, 1, 8, 8), held.float().reshape(-1, 1, 8, 8)
    channels = int(configuration["channels"])
    model = nn.Sequential(
        nn.Conv2d(1, channels, 3),
        nn.ReLU(),
        nn.Conv2d(channels, 2 * channels, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(float(configuration["dropout"])),
        nn.Linear(2 * channels * 16, 10),
    )
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=float(configuration["learning_rate"]),
        momentum=float(configuration["momentum"]),
        weight_decay=float(configuration["weight_decay"]),
    )
    loss = nn.CrossEntropyLoss()
    for _ in range(ITERATIONS):
        model.train()
        for batch in torch.randperm(len(train)).split(int(configuration["batch"])):
            optimizer.zero_grad()
            loss(model(train[batch]), train_digit[batch]).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            held_loss = float(loss(model(held), held_digit))
        yield -min(WORST_LOG_LOSS, held_loss) if math.isfinite(held_loss) else -WORST_LOG_LOSS


TASKS: dict[str, tuple[str, Draw, Train]] = {
    "digits_mlp": ("scikit-learn digits, MLPClassifier, negative log loss", draw_digits_mlp, train_digits_mlp),
    "diabetes_boosting": ("scikit-learn diabetes, GradientBoostingRegressor, R2", draw_diabetes_boosting, train_diabetes_boosting),
    "digits_torch": (
        "scikit-learn digits as images, torch convolutional network, negative log loss",
        draw_digits_torch,
        train_digits_torch,
    ),
}
"""By name: what it is, how a configuration is drawn, how one is trained."""


def record(task: str, configurations: int, seed: int) -> dict[str, Any]:
    """Train so many configurations of a task and keep their scores."""
    what, draw, train = TASKS[task]
    random = np.random.default_rng([seed, sorted(TASKS).index(task)])
    curves = []
    for index in range(configurations):
        configuration = draw(random)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of models that diverge: their scores say so
            scores = [round(score, 5) for score in train(configuration, seed + index)]
        rounded = {key: float(f"{value:.4g}") if isinstance(value, float) else value for key, value in configuration.items()}
        curves.append({"configuration": rounded, "seed": seed + index, "scores": scores})
    return {"what": what, "curves": curves}


def main(argv: list[str] | None = None) -> int:
    """Record all tasks; 0, or 2 with one line where torch is not there."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.tune_curves", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--configurations", type=int, default=400, help="of each task")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args(argv)
    if importlib.util.find_spec("torch") is None:
        print("error: torch is needed to record the third task: pip install torch", file=sys.stderr)
        return 2
    import torch

    began_s, tasks = time.perf_counter(), {}
    for task in TASKS:
        tasks[task] = record(task, arguments.configurations, arguments.seed)
        print(f"{task}: {len(tasks[task]['curves'])} configurations, {time.perf_counter() - began_s:.0f} s", flush=True)
    recorded_with = environment()
    recorded_with["versions"]["torch"] = torch.__version__
    result = {
        "what": __doc__.splitlines()[0],
        "seed": arguments.seed,
        "iterations": ITERATIONS,
        "tasks": tasks,
        "environment": recorded_with,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    with arguments.out.open("wb") as file, gzip.GzipFile(fileobj=file, mode="wb", mtime=0, filename="") as packed:
        packed.write((json.dumps(result, sort_keys=True) + "\n").encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
