"""One workload at the start of a slot, in plain arrays: all that a rule of thumb may look at.

The published baselines are rules over such arrays. The same rule runs under the controller, where the arrays come from
forecasts and node types, and in the benchmarks, where they come from traces.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from carbon_ray.core.intensity import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outlook:
    """What lies ahead of one workload, from now to the end of its window.

    Attributes:
        gco2: Forecast emissions of running through a slot with one worker, shape (T, R); T ends at the latest finish. Infinite
            where a region cannot be started in.
        usd: Price of running through a slot with one worker, shape (T, R).
        left: Slots of work still to do with one worker, > 0; the last one may be a part.
        total: Slots of the whole work with one worker.
        elapsed: Slots since submission.
        waited: Of those, the slots in which it did not run.
        home: Index of the home region.
        at: Index of the region of its newest checkpoint or running segment; `home` before the first start.
        is_running: It ran in the slot before this one.
        is_started: It has run before.
        startup_slots: Slots without progress at every start.
        starting_slots: Of those, what the running segment still has before it; 0 once it makes progress.
        staging: Slots' worth of emissions that a first start away from home adds.
        slot_h: Length of a slot, hours.
        throughput: Rate of 1, 2, ... workers, relative to one.
        power: Power of 1, 2, ... workers, relative to one.
        past_gco2: As `gco2`, of the slots since submission, shape (elapsed, R); None where it is not known. Some rules fix a
            reference or a threshold at submission and would lose it otherwise.
    """

    gco2: FloatArray
    usd: FloatArray
    left: float
    total: float
    elapsed: int
    waited: int
    home: int
    at: int
    is_running: bool = False
    is_started: bool = False
    startup_slots: int = 0
    starting_slots: int = 0
    staging: float = 0.0
    slot_h: float = 1.0
    throughput: tuple[float, ...] = (1.0,)
    power: tuple[float, ...] = (1.0,)
    past_gco2: FloatArray | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A rule's answer: run through this slot there, with so many workers. No answer (None) is to hold nothing."""

    region: int
    workers: int = 1


@runtime_checkable
class Rule(Protocol):
    """A deciding rule over one outlook. Pure; asked again at the start of every slot with the newest forecast."""

    def act(self, outlook: Outlook) -> Run | None:
        """What to do in the first slot of the outlook."""
        ...
