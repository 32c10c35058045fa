"""Recorded learning curves as the sweeps of the simulator draw them."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from carbon_ray.core.errors import ConfigError
from carbon_ray.core.intensity import FloatArray

CURVES = Path(__file__).parent / "data" / "learning_curves.json.gz"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Task:
    """What was trained.

    Attributes:
        name: Of the task.
        what: Data, model and metric in words.
        scores: By configuration and iteration, greater is better, shape (configurations, iterations).
    """

    name: str
    what: str
    scores: FloatArray

    @property
    def iterations(self) -> int:
        """Of each configuration."""
        return self.scores.shape[1]

    def drawn(self, trials: int, seed: int) -> tuple[int, ...]:
        """Configurations of a random search, each at most once.

        Raises:
            ConfigError: More were asked for than were recorded.
        """
        if trials > len(self.scores):
            raise ConfigError(f"{self.name} has {len(self.scores)} recorded configurations; {trials} trials were asked for")
        return tuple(int(index) for index in np.random.default_rng(seed).permutation(len(self.scores))[:trials])


def read_tasks(path: Path = CURVES) -> tuple[Task, ...]:
    """All recorded tasks, by name.

    Raises:
        ConfigError: The file is not there or not of the form that `benchmarks.tune_curves` writes.
    """
    try:
        with gzip.open(path, "rt") as file:
            found = json.load(file)
        return tuple(
            Task(
                name=name,
                what=task["what"],
                scores=np.array([curve["scores"] for curve in task["curves"]], dtype=np.float64),
            )
            for name, task in sorted(found["tasks"].items())
        )
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise ConfigError(f"{path}: no learning curves: {error}") from None
