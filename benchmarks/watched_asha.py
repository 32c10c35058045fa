"""ASHA that adds up what its own calls take, so that what wraps it can be timed without it."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from ray.tune.schedulers import ASHAScheduler

from carbon_ray.core.intensity import FloatArray

EVENTS = ("on_trial_add", "on_trial_result", "on_trial_complete", "on_trial_remove", "choose_trial_to_run")
"""Calls of Tune's loop to its scheduler that are timed."""


def clocks_s() -> FloatArray:
    """Processor time of this thread and time of the wall, seconds, shape (2,); only differences mean anything."""
    return np.array([time.thread_time(), time.perf_counter()])


class WatchedAsha(ASHAScheduler):  # type: ignore[misc]  # ray is untyped
    """Halves by three from the first iteration on.

    Attributes:
        taken_s: What its calls have taken so far, as `clocks_s` has it.
    """

    def __init__(self, iterations: int) -> None:
        super().__init__(max_t=iterations, grace_period=1, reduction_factor=3)
        self.taken_s = np.zeros(2)

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        return partial(self._added, value) if name in EVENTS else value

    def _added(self, call: Callable[..., Any], *arguments: Any) -> Any:
        before_s = clocks_s()
        answer = call(*arguments)
        self.taken_s += clocks_s() - before_s
        return answer
