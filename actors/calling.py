"""Calling a named actor: find it, wait for its answer, and repeat the call while it is being restarted."""

from __future__ import annotations

import threading
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, GetTimeoutError, RayActorError, RayTaskError

from carbon_ray.core.clock import wall_now
from carbon_ray.core.errors import CarbonRayError, ControllerUnavailable

NAMESPACE = "carbon_ray"
FORECASTS, CONTROLLER = "forecasts", "controller"
RETRY_FOR_S = 90.0
"""How long a call is repeated while its actor is being restarted; a restart takes seconds."""
_RETRY_EVERY_S = 0.5


class ActorClient:
    """Calls a named actor; repeats the call while the actor is away.

    Args:
        name: Name of the actor in the namespace `carbon_ray`.
        retry_for_s: Wall seconds to repeat a call for.
        answer_s: Wall seconds that one call may take; None for as long as it takes. Ray itself holds calls back until an actor
            is restarted.
    """

    def __init__(self, name: str, retry_for_s: float = RETRY_FOR_S, answer_s: float | None = None) -> None:
        self._name, self._retry_for_s, self._answer_s = name, retry_for_s, answer_s
        self._handle: Any = None

    def call(self, method: str, *arguments: object) -> Any:
        """Call a method and wait for its answer.

        Raises:
            ControllerUnavailable: The actor is not there, or did not come back in time.
            CarbonRayError: What the method itself raised.
        """
        pause, begun_at = threading.Event(), wall_now()
        while True:
            try:
                return ray.get(getattr(self.handle(), method).remote(*arguments), timeout=self._answer_s)
            except RayTaskError as error:
                if isinstance(error.cause, CarbonRayError):
                    raise error.cause from None
                raise
            except (RayActorError, ActorUnavailableError, GetTimeoutError, ValueError) as error:
                self.forget()
                if (wall_now() - begun_at).total_seconds() > self._retry_for_s:
                    raise ControllerUnavailable(
                        f"the actor {self._name!r} does not answer on this cluster; is it a carbon_ray cluster? `carbon-ray doctor` "
                        f"tells what is missing ({type(error).__name__})"
                    ) from None
            pause.wait(_RETRY_EVERY_S)

    def handle(self) -> Any:
        """The actor's handle, looked up once.

        Raises:
            ValueError: There is no such actor.
        """
        handle = self._handle or ray.get_actor(self._name, namespace=NAMESPACE)
        self._handle = handle  # another thread's failed call may forget it meanwhile
        return handle

    def forget(self) -> None:
        """Look the actor up again next time."""
        self._handle = None
