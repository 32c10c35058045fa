"""Changes of region in the programme's terms: running hours, money and start-up times for every pair of regions.

What a change takes at its end depends on that end alone, and what it takes where it begins on that: the programme makes use of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from carbon_ray.core.intensity import FloatArray

if TYPE_CHECKING:
    from carbon_ray.policies.costs import Costs


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moving:
    """What changes of region take, from row to column; the diagonal is zero.

    Attributes:
        move_h: Running hours at the region it goes to, shape (Q, Q); the last row and column may be an origin that is no site.
        send_h: Running hours at the region it leaves, likewise.
        usd: Money, likewise.
        arrival_s: Time from the start of a segment to its first step where the checkpoint comes from elsewhere, at worst, shape (R,).
    """

    move_h: FloatArray
    send_h: FloatArray
    usd: FloatArray
    arrival_s: FloatArray


def moving_of(costs: Costs) -> Moving:
    """What changes of region take, by the plain overheads and, where there are any, by the transfers beside them."""
    overheads, transfers = costs.workload.overheads, costs.workload.overheads.transfers
    sites, size = len(costs.sites), max(len(costs.sites), costs.origin + 1)
    plainly = _plain(overheads.migrate_h, overheads.egress_usd, overheads.startup_s, sites, size)
    if transfers is None:
        return plainly
    elsewhere, move_h, send_h, usd, arrival_s = 1.0 - np.eye(size), plainly.move_h, plainly.send_h, plainly.usd, plainly.arrival_s
    names = [site.region.name for site in costs.sites]
    if size > sites:
        names.append(costs.progress.region if costs.progress.is_started else costs.workload.home_region)
    with np.errstate(divide="ignore"):
        hours = np.where(costs.running_kw > 0, transfers.kwh / costs.running_kw, 0.0)
    hours = np.append(hours, np.zeros(size - sites))
    move_h, send_h = move_h + hours[None, :] * elsewhere, send_h + hours[:, None] * elsewhere
    usd = usd + np.array([transfers.usd(name) for name in names])[:, None] * elsewhere
    arrival_s = arrival_s + [max(transfers.seconds(origin, target) for origin in names) for target in names[:sites]]
    return Moving(move_h=move_h, send_h=send_h, usd=usd, arrival_s=arrival_s)


@lru_cache(maxsize=64)
def _plain(migrate_h: float, egress_usd: float, startup_s: float, sites: int, size: int) -> Moving:
    """What changes of region take by the plain overheads alone."""
    elsewhere = 1.0 - np.eye(size)
    return Moving(
        move_h=migrate_h * elsewhere,
        send_h=np.zeros((size, size)),
        usd=egress_usd * elsewhere,
        arrival_s=np.full(sites, startup_s, dtype=np.float64),
    )
