"""What a client needs of the world: time, pauses, chance and the network. Tests hand in their own, so that none sleeps."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from carbon_ray.core.clock import Clock, SystemClock


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The world of one client.

    Attributes:
        clock: Says when something was fetched, and paces requests. The world's time, also on a cluster that replays a day.
        sleep: Pauses for so many seconds.
        chance: A number in [0, 1), for the jitter of pauses.
        transport: Carries requests; None for the real network, with certificates checked.
    """

    clock: Clock = field(default_factory=SystemClock)
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.random
    transport: httpx.BaseTransport | None = None
