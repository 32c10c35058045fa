"""Whether a trial can be held: whether it would go on from a checkpoint, at this result or at a later one."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from ray.tune import Trainable
from ray.tune.experiment import Trial
from ray.tune.result import SHOULD_CHECKPOINT
from ray.tune.trainable.function_trainable import FunctionTrainable

from carbon_ray.cluster.once import OncePerCause
from carbon_ray.tune.saving import checkpointed_iteration

log = logging.getLogger(__name__)


class Holdable:
    """Knows of each trainable whether its trials save themselves.

    Args:
        allow_restart_from_zero: Hold trials without a checkpoint as well.
    """

    def __init__(self, allow_restart_from_zero: bool) -> None:
        self._is_allowed = allow_restart_from_zero
        self._saves_when_asked: dict[str, bool | None] = {}
        self._once = OncePerCause(log)

    def now(self, trial: Trial, result: Mapping[str, Any]) -> bool:
        """Whether the trial can be held at this result without losing an iteration."""
        if self._is_allowed or self._saves(trial):
            return True
        if has_checkpoint_at(trial, result):
            return True
        if not self.ever(trial, result):
            self._once.warn(
                trial.trainable_name,
                f"trials of {trial.trainable_name} report no checkpoint, so they are not held: a held one would begin again from zero. New "
                f"ones still wait for clean hours. Report checkpoints, or give allow_restart_from_zero=True",
            )
        return False

    def ever(self, trial: Trial, result: Mapping[str, Any]) -> bool:
        """Whether the trial can be held at this result or, as far as is known, at a later one."""
        return bool(self._is_allowed or self._saves(trial) or has_checkpoint_at(trial, result) or trial.has_checkpoint())

    def _saves(self, trial: Trial) -> bool:
        """Whether it is a class with a `save_checkpoint` of its own, which Tune calls when it pauses a trial."""
        name = trial.trainable_name
        if name not in self._saves_when_asked:
            trainable = trial.get_trainable_cls()
            self._saves_when_asked[name] = (
                isinstance(trainable, type)
                and not issubclass(trainable, FunctionTrainable)
                and getattr(trainable, "save_checkpoint", None) is not Trainable.save_checkpoint
            )
        return bool(self._saves_when_asked[name])


def has_checkpoint_at(trial: Trial, result: Mapping[str, Any]) -> bool:
    """Whether the result came with a checkpoint; a function is then saved exactly there."""
    if result.get(SHOULD_CHECKPOINT):
        return True
    return trial.has_checkpoint() and checkpointed_iteration(trial) == result.get("training_iteration")
