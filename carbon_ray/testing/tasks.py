"""Tasks beside the forecast actor without Ray: run at once in this process, or lost when told so."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import TypeVar

from carbon_ray.core.errors import ForecastError

T = TypeVar("T")


class FakeTasks:
    """Implements `carbon_ray.actors.beside.Tasks`.

    Attributes:
        ran: Names of the functions that were run, in order; also of those that were lost.
        lose: Names of functions whose tasks are lost; may be changed at any time.
    """

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.lose: set[str] = set()

    def run(self, work: Callable[..., T], *arguments: object, limit_s: float) -> T:
        """Run it, with arguments and answer as they arrive in another process.

        Raises:
            ForecastError: It was told to be lost.
            CarbonRayError: What `work` raises.
        """
        name = work.__name__
        self.ran.append(name)
        if name in self.lose:
            raise ForecastError(f"the task {name} was lost (told to be)")
        arrived: tuple[object, ...] = pickle.loads(pickle.dumps(arguments))
        answer: T = pickle.loads(pickle.dumps(work(*arrived)))
        return answer
