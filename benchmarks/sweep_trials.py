"""What the benchmarks of Tune sweeps train: small trainables that leave a trace of every iteration, and a local Ray to run them on."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import ray
from ray import tune

from carbon_ray.core.clock import wall_now

PATIENT = {"RAY_worker_register_timeout_seconds": "600"}
"""A busy machine takes long to start a worker."""
QUIET = {"TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0", "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "0"}


def leave_trace(config: dict[str, Any], **what: Any) -> None:
    """One line, written at once: what a process did, whoever is killed afterwards."""
    line = json.dumps({"trial": config["number"], "pid": os.getpid(), "at_s": wall_now().timestamp(), **what}) + "\n"
    with open(config["trace"], "a") as file:
        file.write(line)


def read_trace(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def score(config: dict[str, Any], iteration: int) -> float:
    """A learning curve that depends on nothing but the configuration."""
    return float(config["height"] * (1 - (1 - config["speed"]) ** iteration))


def saving_function(config: dict[str, Any]) -> None:
    """A function trainable that reports a checkpoint with every iteration."""
    done, checkpoint = 0, tune.get_checkpoint()
    if checkpoint is not None:
        with checkpoint.as_directory() as directory:
            done = json.loads(Path(directory, "done.json").read_text())
    leave_trace(config, event="begin", iteration=done)
    for iteration in range(done + 1, config["iterations"] + 1):
        time.sleep(config["iteration_s"])
        leave_trace(config, event="iteration", iteration=iteration)
        with tempfile.TemporaryDirectory() as directory:
            Path(directory, "done.json").write_text(json.dumps(iteration))
            tune.report({"score": score(config, iteration)}, checkpoint=tune.Checkpoint.from_directory(directory))


class SavingClass(tune.Trainable):
    """A class trainable that saves itself when Tune asks it to."""

    def setup(self, config: dict[str, Any]) -> None:
        self.done = 0

    def step(self) -> dict[str, Any]:
        time.sleep(self.config["iteration_s"])
        self.done += 1
        leave_trace(self.config, event="iteration", iteration=self.done)
        return {"score": score(self.config, self.done), "done": self.done >= self.config["iterations"]}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        Path(checkpoint_dir, "done.json").write_text(json.dumps(self.done))

    def load_checkpoint(self, checkpoint_dir: str) -> None:
        self.done = json.loads(Path(checkpoint_dir, "done.json").read_text())


def known_space(count: int, iterations: int, iteration_s: float, trace: Path, seed: int) -> dict[str, Any]:
    """As `space`, with learning curves that are the same in every run."""
    draw = np.random.default_rng(seed)
    made = [{"height": float(draw.uniform(0.5, 1.0)), "speed": float(draw.uniform(0.1, 0.5))} for _ in range(count)]
    return {
        "number": tune.grid_search(list(range(count))),
        "height": tune.sample_from(lambda config: made[config["number"]]["height"]),
        "speed": tune.sample_from(lambda config: made[config["number"]]["speed"]),
        "iterations": iterations,
        "iteration_s": iteration_s,
        "trace": str(trace),
    }


def space(count: int, iterations: int, iteration_s: float, trace: Path) -> dict[str, Any]:
    """A grid of `count` configurations."""
    return {
        "number": tune.grid_search(list(range(count))),
        "height": tune.uniform(0.5, 1.0),
        "speed": tune.uniform(0.1, 0.5),
        "iterations": iterations,
        "iteration_s": iteration_s,
        "trace": str(trace),
    }


def forget_other_rays() -> None:
    """Let the environment name no other Ray, and have the patience that a busy machine needs."""
    for name in [name for name in os.environ if name.startswith("RAY_")]:
        del os.environ[name]
    os.environ.update(QUIET)
    os.environ.update(PATIENT)


@contextlib.contextmanager
def local_ray(num_cpus: int) -> Iterator[None]:
    """A Ray of its own on this machine, whatever the environment says of another."""
    forget_other_rays()
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    try:
        ray.init(address="local", num_cpus=num_cpus, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    except Exception:  # a busy machine takes longer than Ray waits; what it has started by then it leaves behind
        ray.shutdown()
        for child in psutil.Process().children(recursive=True):
            if child.pid not in before:
                child.kill()
        raise
    try:
        yield
    finally:
        ray.shutdown()
