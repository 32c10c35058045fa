"""Where the trials that may run are to run: in the cleanest region, unless a change costs more than it brings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from carbon_ray.core.intensity import FloatArray
from carbon_ray.policies.sweeps.supply import Supply

AHEAD_H = 6.0
"""Hours over which the price of two regions is compared; beyond it a trial has ended or is asked about again."""


@dataclass(frozen=True, slots=True)
class Guest:
    """What wants a place.

    Attributes:
        trial_id: Its name; None: whatever the searcher hands out next.
        region: Where it is, or its checkpoint; empty: nowhere yet.
        remaining_h: Hours that it will run.
    """

    trial_id: str | None
    region: str
    remaining_h: float


def place(supply: Supply, guests: Sequence[Guest], move_h: float) -> tuple[dict[str, int], dict[str, str]]:
    """Give every guest a place, those named first in the first choice.

    A trial changes its region where the hours that it has still to run cost so much less there that the change is paid for.

    Args:
        supply: The hours from now on; regions without room take none.
        guests: No more than there is room.
        move_h: Energy of a change, in hours of running.

    Returns:
        Trials by region, those with none included, and by trial the region that it is to change to.
    """
    if len(supply.names) == 1:
        name = supply.names[0]
        return {name: min(len(guests), int(supply.room[0]))}, {
            one.trial_id: name for one in guests if one.trial_id and one.region not in ("", name)
        }
    room = supply.room.copy()
    ahead = max(1, round(AHEAD_H / supply.slot_h))
    sums: FloatArray = np.cumsum(supply.gco2_per_h[:ahead], axis=0) * supply.slot_h
    slots, changes = dict.fromkeys(supply.names, 0), dict[str, str]()
    for guest in guests:
        row = sums[min(len(sums), max(1, round(guest.remaining_h / supply.slot_h))) - 1]
        prices = np.where(room >= 1, row, np.inf)
        chosen = int(prices.argmin())
        if guest.region in slots:
            here = supply.names.index(guest.region)
            if prices[here] <= prices[chosen] + move_h * supply.gco2_per_h[0, chosen]:
                chosen = here
        if not np.isfinite(prices[chosen]):
            break
        name = supply.names[chosen]
        room[chosen] -= 1
        slots[name] += 1
        if guest.trial_id is not None and guest.region and guest.region != name:
            changes[guest.trial_id] = name
    return slots, changes
