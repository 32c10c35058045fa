"""What the sweeps over all base schedulers train: tiny trials of every kind, which leave a trace of what they did and whence they went on.

Scores depend on the configuration and the iteration alone, or on seeded data, so that a sweep can be compared with another.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray import train, tune

from benchmarks.sweep_trials import score

STATE, MODEL = "state.json", "model"


def note(config: Mapping[str, Any], trial_id: str, **what: Any) -> None:
    """One line of what a trial did, written at once."""
    with open(config["trace"], "a") as file:
        file.write(json.dumps({"trial": trial_id, "node": ray.get_runtime_context().get_node_id(), **what}) + "\n")


@dataclass(slots=True)
class Saved:
    """What a checkpoint says: how far the trial was, and which one it was."""

    done: int = 0
    writer: str = ""
    model: bytes = b""

    @classmethod
    def read(cls, checkpoint: Any) -> Saved:
        """From a checkpoint of Tune or Train; a fresh one where there is none."""
        if checkpoint is None:
            return cls()
        with checkpoint.as_directory() as directory:
            return cls.read_from(Path(directory))

    @classmethod
    def read_from(cls, directory: Path) -> Saved:
        model = directory / MODEL
        return cls(**json.loads((directory / STATE).read_text()), model=model.read_bytes() if model.exists() else b"")

    def write_to(self, directory: Path) -> None:
        (directory / STATE).write_text(json.dumps({"done": self.done, "writer": self.writer}))
        if self.model:
            (directory / MODEL).write_bytes(self.model)


Step = Callable[[Mapping[str, Any], int, bytes], tuple[float, bytes]]
"""Does one iteration from a model: its score, and the model after it."""


def iterate(config: Mapping[str, Any], step: Step) -> None:
    """A function trainable that reports a checkpoint with every iteration."""
    trial_id = tune.get_context().get_trial_id()
    saved = Saved.read(tune.get_checkpoint())
    note(config, trial_id, event="begin", iteration=saved.done, of=saved.writer)
    for iteration in range(saved.done + 1, config["iterations"] + 1):
        time.sleep(config["iteration_s"])
        reached, saved.model = step(config, iteration, saved.model)
        saved.done, saved.writer = iteration, trial_id
        note(config, trial_id, event="iteration", iteration=iteration)
        with tempfile.TemporaryDirectory() as directory:
            saved.write_to(Path(directory))
            tune.report({"score": reached}, checkpoint=tune.Checkpoint.from_directory(directory))


def curve_function(config: dict[str, Any]) -> None:
    """The learning curve of the configuration."""
    iterate(config, lambda config, iteration, model: (score(dict(config), iteration), b""))


class CurveClass(tune.Trainable):
    """The same as a class, which saves itself when Tune asks it to."""

    def setup(self, config: dict[str, Any]) -> None:
        self.saved = Saved()
        note(config, self.trial_id, event="begin", iteration=0, of="")

    def step(self) -> dict[str, Any]:
        time.sleep(self.config["iteration_s"])
        self.saved = Saved(self.saved.done + 1, self.trial_id)
        note(self.config, self.trial_id, event="iteration", iteration=self.saved.done)
        return {"score": score(self.config, self.saved.done), "done": self.saved.done >= self.config["iterations"]}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        self.saved.write_to(Path(checkpoint_dir))

    def load_checkpoint(self, checkpoint_dir: str) -> None:
        self.saved = Saved.read_from(Path(checkpoint_dir))
        note(self.config, self.trial_id, event="begin", iteration=self.saved.done, of=self.saved.writer)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.config, self.saved = new_config, Saved()
        return True


def _points(seed: int = 5) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    draw = np.random.default_rng(seed)
    features = draw.normal(size=(200, 4))
    return features, np.tanh(features[:, 0]) + 0.5 * features[:, 1] ** 2


def lightgbm_function(config: dict[str, Any]) -> None:
    """One more tree an iteration, on the trees of the checkpoint."""
    import lightgbm

    def step(config: Mapping[str, Any], iteration: int, model: bytes) -> tuple[float, bytes]:
        features, target = _points()
        wishes = {"learning_rate": config["speed"], "num_leaves": 7, "verbosity": -1, "num_threads": 1, "deterministic": True, "seed": 1}
        before = lightgbm.Booster(model_str=model.decode()) if model else None
        booster = lightgbm.train(wishes, lightgbm.Dataset(features, target), num_boost_round=1, init_model=before)
        assert booster.num_trees() == iteration
        return -float(np.mean((booster.predict(features) - target) ** 2)), booster.model_to_string().encode()

    iterate(config, step)


def torch_function(config: dict[str, Any]) -> None:
    """One step of Adam an iteration; the optimiser's state travels in the checkpoint."""
    import io

    import torch

    torch.set_num_threads(1)

    def step(config: Mapping[str, Any], iteration: int, model: bytes) -> tuple[float, bytes]:
        features, target = (torch.tensor(part, dtype=torch.float64) for part in _points())
        torch.manual_seed(1)
        network = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)).double()
        optimiser = torch.optim.Adam(network.parameters(), lr=config["speed"])
        if model:
            saved = torch.load(io.BytesIO(model))
            network.load_state_dict(saved["network"])
            optimiser.load_state_dict(saved["optimiser"])
        loss = ((network(features)[:, 0] - target) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        out = io.BytesIO()
        torch.save({"network": network.state_dict(), "optimiser": optimiser.state_dict()}, out)
        return -float(loss), out.getvalue()

    iterate(config, step)


def _train_loop(config: dict[str, Any]) -> None:
    """What the worker of a Ray Train run inside a trial does."""
    saved = Saved.read(train.get_checkpoint())
    note(config, config["trial_id"], event="begin", iteration=saved.done, of=saved.writer)
    for iteration in range(saved.done + 1, config["iterations"] + 1):
        time.sleep(config["iteration_s"])
        note(config, config["trial_id"], event="iteration", iteration=iteration)
        with tempfile.TemporaryDirectory() as directory:
            Saved(iteration, config["trial_id"]).write_to(Path(directory))
            metrics = {"score": score(config, iteration), "step": iteration}
            train.report(metrics, checkpoint=train.Checkpoint.from_directory(directory))


def train_function(config: dict[str, Any]) -> None:
    """A trial that runs a Ray Train trainer of its own, which goes on from its own checkpoint when the trial begins anew."""
    from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer
    from ray.tune.integration.ray_train import TuneReportCallback

    trial_id = tune.get_context().get_trial_id()
    os.environ["RAY_TRAIN_HEALTH_CHECK_INTERVAL_S"] = "0.3"
    DataParallelTrainer(
        _train_loop,
        train_loop_config={**config, "trial_id": trial_id},
        scaling_config=train.ScalingConfig(num_workers=1, resources_per_worker={"CPU": 1}),
        run_config=train.RunConfig(
            name=f"train-{trial_id}",
            storage_path=str(Path(config["trace"]).parent / "train"),
            callbacks=[TuneReportCallback()],
            checkpoint_config=train.CheckpointConfig(num_to_keep=2),
        ),
    ).fit()


TRAINABLES: Mapping[str, Any] = {
    "function": curve_function,
    "class": CurveClass,
    "lightgbm": lightgbm_function,
    "torch": torch_function,
    "train": train_function,
}
"""Trainables by name."""


@dataclass(slots=True)
class Lineage:
    """What one trial did by the trace: a trial that goes on from another's checkpoint may do that one's iterations again.

    Attributes:
        repeated: Iterations done again though the trial went on from its own checkpoint, or from none.
        missing: Iterations that were skipped.
        given: Checkpoints of other trials that it went on from.
        nodes: Where it ran, in order.
    """

    repeated: int = 0
    missing: int = 0
    given: int = 0
    nodes: list[str] = field(default_factory=list)
    _done: set[int] = field(default_factory=set)
    _begun_from: tuple[str, int] = ("", 0)

    @classmethod
    def of(cls, trial_id: str, rows: list[dict[str, Any]]) -> Lineage:
        """From the rows of one trial, in order."""
        made = cls()
        for row in rows:
            if row["node"] not in made.nodes[-1:]:
                made.nodes.append(row["node"])
            if row["event"] == "begin":
                made._begin(trial_id, row["of"], row["iteration"])
            else:
                made._iterate(row["iteration"])
        return made

    @property
    def reached(self) -> int:
        """The last iteration that it did."""
        return max(self._done, default=0)

    def _begin(self, trial_id: str, writer: str, done: int) -> None:
        origin = (writer, done)
        if writer not in ("", trial_id) and origin != self._begun_from:
            self._done = set(range(1, done + 1))
            self.given += 1
        self._begun_from = origin if writer else self._begun_from  # a class begins empty, and is then given its checkpoint

    def _iterate(self, iteration: int) -> None:
        self.repeated += iteration in self._done
        self.missing += iteration > 1 and iteration - 1 not in self._done
        self._done.add(iteration)
