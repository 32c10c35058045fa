"""Worker counts in the programme's terms: the quantum of work, and how many whole quanta each count does in a slot.

Rounding is always down, so that a plan never promises more work than is done. The quantum depends on nothing that changes
while the work runs: a plan that met the deadline at one tick is still a plan at the next.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from carbon_ray.core.units import S_PER_H
from carbon_ray.core.workload import Workload

TOLERANCE = 0.01
"""Share of a count's work that rounding may lose; the smallest number of quanta that keeps to it is taken."""
MOST_STATES = 3_000_000
"""States of the programme beyond which quanta are not made finer: they take about 24 bytes each."""
_MOST_QUANTA = 64
"""Quanta of the slowest count in a slot that are tried."""
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Grain:
    """What the work is counted in.

    Attributes:
        quantum_h: Running hours of one quantum, as `Workload.work_h` counts them.
        speed: Quanta that each worker count does at least in a slot, each >= 1.
        counted: Share of the work really done in a slot that these quanta are, by worker count, <= 1. The programme counts the same
            share of what the slot costs: the price of work is then exact, and no count is preferred for its rounding.
    """

    quantum_h: float
    speed: tuple[int, ...]
    counted: tuple[float, ...] = (1.0,)

    def quanta(self, work_h: float) -> int:
        """Quanta of so much work, the last one perhaps not filled; at least one."""
        return max(1, math.ceil(work_h / self.quantum_h - _ROUNDING))


def grain_of(workload: Workload, slot_s: float, sites: int) -> Grain:
    """The quantum of a workload: a slot for a rigid one, else as coarse as the tolerance allows.

    Args:
        workload: Whose.
        slot_s: Length of a slot, seconds.
        sites: Regions that it may use.
    """
    slot_h = slot_s / S_PER_H
    if not workload.is_elastic:
        return Grain(quantum_h=slot_h, speed=(1,))
    rates = tuple(workload.rate(workers) for workers in workload.counts)
    slots = max(1.0, (workload.latest_finish_at - workload.submitted_at).total_seconds() / slot_s)
    slowest_slots = workload.longest_h / slot_h / min(rates)
    most = MOST_STATES / (slots * sites * len(rates) * max(1.0, slowest_slots))
    return _grain(rates, slot_h, max(1, min(_MOST_QUANTA, int(most))))


@lru_cache(maxsize=256)
def _grain(rates: tuple[float, ...], slot_h: float, most: int) -> Grain:
    """Of up to `most` quanta of the slowest count a slot the fewest that lose little enough, else those that lose least."""
    best, least = None, math.inf
    for base in range(1, most + 1):
        speed = tuple(round(rate / min(rates) * base) for rate in rates)
        quantum_h = min(rate * slot_h / count for rate, count in zip(rates, speed, strict=True))
        counted = tuple(min(1.0, count * quantum_h / (rate * slot_h)) for rate, count in zip(rates, speed, strict=True))
        lost = 1 - min(counted)
        if lost < least - _ROUNDING:
            best, least = Grain(quantum_h=quantum_h, speed=speed, counted=counted), lost
        if least <= TOLERANCE:
            break
    assert best is not None  # one quantum a slot always loses less than all
    return best
