"""What runs work beside the forecast actor: one thing at a time for each who asks, ended or given up when the call comes back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from carbon_ray.providers.breaker import BreakerRule

T = TypeVar("T")

BACK_OFF = BreakerRule(failures=1, open_s=10.0, growth=2.0, most_open_s=1800.0, probe_s=7 * 86_400.0)
"""After every failed task the next one waits: ten seconds at first, twice as long each time, half an hour at most. A task that is under
way is never overtaken by another one."""


class Tasks(Protocol):
    """Runs functions somewhere else and waits for them."""

    def run(self, work: Callable[..., T], *arguments: object, limit_s: float) -> T:
        """What `work(*arguments)` returns.

        Args:
            work: A function of a module, not of a class or another function.
            arguments: Values that pickle.
            limit_s: Wall seconds; what has not ended by then is stopped.

        Raises:
            ForecastError: It did not end: it was killed, took too long, or found no place to run.
            CarbonRayError: What `work` itself raised.
        """
        ...
