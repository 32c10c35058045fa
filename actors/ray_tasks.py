"""Work beside an actor as Ray tasks: on the node of the actor, each in a process of its own that ends with it.

A task that is killed is not repeated by Ray: who asked for it decides when to try again.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import ray
from ray.exceptions import GetTimeoutError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from carbon_ray.core.errors import CarbonRayError, ForecastError

T = TypeVar("T")

NICENESS = 10
"""Of a task's process: whoever reads forecasts, and the cluster's own processes, come first."""


def politely(work: Callable[..., T], *arguments: object) -> T:
    """Run work at a low priority; for a process that does nothing afterwards."""
    os.nice(NICENESS)
    return work(*arguments)


class RayTasks:
    """Implements `carbon_ray.actors.beside.Tasks`.

    Args:
        num_cpus: CPUs that each task reserves.
        node_id: Where tasks run; None for the node of the caller.
    """

    def __init__(self, *, num_cpus: float, node_id: str | None = None) -> None:
        self._num_cpus = num_cpus
        self._node_id = node_id or ray.get_runtime_context().get_node_id()
        self._remote: Any = None

    def run(self, work: Callable[..., T], *arguments: object, limit_s: float) -> T:
        """See `Tasks.run`."""
        task = work.__name__
        ref = self._task().options(name=task).remote(work, *arguments)
        try:
            answer: T = ray.get(ref, timeout=limit_s)
        except GetTimeoutError:
            ray.cancel(ref, force=True)
            raise ForecastError(f"the task {task} has not ended within {limit_s:g} s and was stopped") from None
        except RayTaskError as error:
            if isinstance(error.cause, CarbonRayError):
                raise error.cause from None
            raise ForecastError(f"the task {task} failed unexpectedly with {type(error.cause).__name__}: {error.cause}") from None
        except RayError as error:
            raise ForecastError(f"the task {task} was lost ({type(error).__name__})") from None
        return answer

    def _task(self) -> Any:
        if self._remote is None:
            here = NodeAffinitySchedulingStrategy(self._node_id, soft=False)  # the state directory is a folder of that node
            self._remote = ray.remote(num_cpus=self._num_cpus, max_retries=0, max_calls=1, scheduling_strategy=here)(politely)
        return self._remote
