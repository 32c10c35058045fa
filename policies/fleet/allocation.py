"""The fleet's plan as one value: who holds which node when, what a node is worth, and how far from the optimum that can be."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from carbon_ray.core.intensity import FloatArray
from carbon_ray.policies.base import Member, Surroundings
from carbon_ray.policies.fleet.batch import Batch
from carbon_ray.policies.fleet.kernel import IDLE
from carbon_ray.policies.fleet.member import FairShares, Offer
from carbon_ray.policies.fleet.prices import Ascent, Priced, find_prices
from carbon_ray.policies.fleet.repair import Draft, Incumbents, Repair, repair
from carbon_ray.policies.programme import Solution

_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Allocation:
    """Plans of a whole fleet that keep to the capacity.

    Attributes:
        batch: Members and capacity.
        solutions: One a member; its path is empty where no plan meets the deadline on the nodes that are left.
        prices_usd: Price of a node for a slot, shape (T, P) as `batch.capacity`, in USD of the weighted sum.
        is_coupled: False where everyone has what it takes alone.
        total_usd: Weighted sum of the planned members' expected costs, as if none were guarded.
        bound_usd: No allocation that plans all members that have a chance has a lower weighted sum.
        hopeless: How many members cannot meet their deadline even alone.
        guarded: Members that run through because their plan was too likely to end above run-now.
    """

    batch: Batch
    solutions: tuple[Solution, ...]
    prices_usd: FloatArray = field(repr=False)
    is_coupled: bool
    total_usd: float
    bound_usd: float
    hopeless: int
    guarded: frozenset[int] = frozenset()

    @property
    def missed(self) -> tuple[int, ...]:
        """Members without a plan that meets their deadline."""
        return tuple(index for index, solution in enumerate(self.solutions) if not solution.path)

    @property
    def gap_fraction(self) -> float:
        """By what share of the bound the sum may exceed the optimum; inf where a member with a chance was missed."""
        if len(self.missed) > self.hopeless:
            return math.inf
        return max(0.0, self.total_usd - self.bound_usd) / abs(self.bound_usd) if self.bound_usd else 0.0

    def used(self) -> FloatArray:
        """Nodes held by slot and pool, shape (T, P)."""
        return used_by(self.batch, self.solutions)

    def price_usd_per_h(self, slot: int, node_type: str) -> float:
        """What a node of that type is worth to the others in a slot, USD per hour."""
        return float(self.prices_usd[slot, self.batch.pools.index(node_type)]) / self.batch.slot_h


def used_by(batch: Batch, solutions: Sequence[Solution]) -> FloatArray:
    """Nodes that solutions hold by slot and pool, shape (T, P)."""
    used = np.zeros_like(batch.capacity)
    for index, solution in enumerate(solutions):
        path = np.array(solution.path, dtype=np.int64)
        held = np.flatnonzero(path != IDLE)
        sites = batch.columns.first_site[index] + path[held]
        np.add.at(used, (held, batch.columns.site_pool[sites]), batch.columns.site_nodes[sites])
    return used


def allocate(
    members: Sequence[Member],
    around: Surroundings,
    *,
    now: datetime,
    slot_s: float,
    offer: Offer | None = None,
    shares: FairShares | None = None,
    ascent: Ascent | None = None,
    how: Repair | None = None,
    before: Allocation | None = None,
) -> Allocation:
    """Plan a fleet: prices on capacity, then plans that keep to it.

    Args:
        members: Who; ids are unique.
        around: Regions and forecasts.
        now: Aware UTC.
        slot_s: Length of a slot, seconds.
        offer: Nodes on offer; without it each node type's `max_nodes`.
        shares: Weights of teams.
        ascent: How prices are sought.
        how: How plans are made of prices.
        before: An earlier allocation: its prices are where the search begins, and its plans stand where nothing better is found.

    Raises:
        As `Batch.of`.
    """
    batch = Batch.of(
        members, around.regions, around.snapshot, now=now, slot_s=slot_s, blocked_until=around.blocked_until, offer=offer, shares=shares
    )
    shift = _slots_since(batch, before)
    warm = None if before is None or shift is None else _prices_after(batch, before, shift)
    priced = find_prices(batch, ascent or Ascent(), warm)
    incumbents = None if before is None or shift is None or not priced.is_coupled else incumbents_of(batch, before, shift)
    return finished(batch, priced, repair(batch, priced, how or Repair(), incumbents))


def finished(batch: Batch, priced: Priced, draft: Draft) -> Allocation:
    """The allocation that a draft stands for."""
    return Allocation(
        batch=batch,
        solutions=tuple(draft.solution(index) for index in range(len(batch.members))),
        prices_usd=priced.prices_usd,
        is_coupled=priced.is_coupled,
        total_usd=draft.total_usd,
        bound_usd=priced.bound_usd,
        hopeless=priced.hopeless,
    )


def _slots_since(batch: Batch, before: Allocation | None) -> int | None:
    """Whole slots from an earlier allocation to this batch; None where the two grids do not match."""
    if before is None or before.batch.slot_s != batch.slot_s:
        return None
    slots = (batch.now - before.batch.now).total_seconds() / batch.slot_s
    return round(slots) if slots > -_ROUNDING and abs(slots - round(slots)) < _ROUNDING else None


def _prices_after(batch: Batch, before: Allocation, shift: int) -> FloatArray | None:
    if before.batch.pools != batch.pools:
        return None
    prices = np.zeros_like(batch.capacity)
    rest = before.prices_usd[shift : shift + len(prices)]
    prices[: len(rest)] = rest
    return prices


def incumbents_of(batch: Batch, before: Allocation, shift: int) -> Incumbents:
    """What is left of earlier plans, of members that are where these plans expected them to be."""
    earlier: Mapping[str, int] = {member.workload.workload_id: index for index, member in enumerate(before.batch.members)}
    found: Incumbents = {}
    columns = batch.columns
    for index, member in enumerate(batch.members):
        old = earlier.get(member.workload.workload_id)
        if old is None:
            continue
        solution, names = before.solutions[old], batch.shapes[index].index
        sites = before.batch.shapes[old].sites
        path = [IDLE if where == IDLE else names.get(sites[where].region.name, len(names)) for where in solution.path[shift:]]
        working = solution.working[shift:]
        if sum(working) != columns.quanta[index] or len(path) > columns.slots[index] or len(names) in path:
            continue
        waits = next(slot for slot, works in enumerate(working) if works) if path[0] != IDLE else 0
        goes_on = bool(columns.is_running[index]) and path[0] == columns.region[index]
        if path[0] != IDLE and waits != (columns.starting_slots if goes_on else columns.startup_slots)[index]:
            continue
        found[index] = np.array(path, dtype=np.int64), np.array(working, dtype=np.int64)
    return found
