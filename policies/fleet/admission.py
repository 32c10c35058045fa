"""At submission: whether a deadline can be met beside all that was admitted, and if not, when the work could be done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np

from carbon_ray.core.errors import DeadlineCrowded, NoCapacityError
from carbon_ray.core.objective import Objective
from carbon_ray.policies.base import Member, Surroundings
from carbon_ray.policies.fleet.allocation import Allocation, allocate, finished, incumbents_of
from carbon_ray.policies.fleet.batch import Batch
from carbon_ray.policies.fleet.member import FairShares, Offer
from carbon_ray.policies.fleet.prices import Priced, bound_at
from carbon_ray.policies.fleet.repair import Draft, Repair
from carbon_ray.policies.replan import Replan


def admit(
    candidate: Member,
    admitted: Sequence[Member],
    around: Surroundings,
    *,
    now: datetime,
    slot_s: float,
    offer: Offer | None = None,
    shares: FairShares | None = None,
    before: Allocation | None = None,
) -> Allocation:
    """An allocation in which the candidate meets its deadline, and so does everyone who was admitted and did without it.

    First the candidate is planned on the nodes that the others leave; only if that fails the whole fleet is planned anew. No
    priority takes an admitted member's deadline away.

    Args:
        candidate: Who asks; its id is new.
        admitted: Who is there already.
        around: Regions and forecasts.
        now: Aware UTC.
        slot_s: Length of a slot, seconds.
        offer: Nodes on offer; without it each node type's `max_nodes`.
        shares: Weights of teams.
        before: The allocation of `admitted` for this very `now`, where there is one; else it is made.

    Returns:
        The allocation of `admitted` and, last, the candidate, at the prices that were found before it came where that was enough.

    Raises:
        DeadlinePassed, DeadlineTooShort: The deadline cannot be met on an empty cluster either.
        DeadlineCrowded: It cannot be met beside the others; says when the work could be done.
        NoCapacityError: ... and not before the end of forecasts and offer either; or no region can ever hold it.
        UnknownRegionError, UnknownZoneError, ForecastHorizonError, OutsideDataError: As `Batch.of`.
    """
    Replan(slot_s=slot_s).require_feasible(candidate.workload, around, now=now)
    if before is None or before.batch.now != now or before.batch.slot_s != slot_s or before.batch.members != tuple(admitted):
        before = allocate(admitted, around, now=now, slot_s=slot_s, offer=offer, shares=shares, before=before)
    everyone = (*admitted, candidate)
    batch = Batch.of(
        everyone, around.regions, around.snapshot, now=now, slot_s=slot_s, blocked_until=around.blocked_until, offer=offer, shares=shares
    )
    draft = Draft(batch)
    for index, (path, working) in incumbents_of(batch, before, 0).items():
        if draft.put(index, path, working):
            draft.costs[index] = before.solutions[index].cost
            draft.keeps[index] = before.solutions[index].keep_cost
    last = np.array([len(admitted)], dtype=np.int64)
    if draft.insert(last, np.zeros_like(batch.capacity)) == 0:
        return _settled(batch, draft, before)
    # Deadlines come first here: whoever is hard to place goes to the front, whatever its priority.
    equals = [replace(member, priority=1.0) for member in everyone]
    joint = allocate(equals, around, now=now, slot_s=slot_s, offer=offer, shares=shares, how=Repair(restarts=32))
    if set(joint.missed) <= set(before.missed):
        draft = Draft(batch)
        for index, (path, working) in incumbents_of(batch, joint, 0).items():
            draft.put(index, path, working)
        draft.insert(np.flatnonzero(draft.lengths > 0), np.zeros_like(batch.capacity))
        return _settled(batch, draft, joint)
    raise _too_crowded(candidate, before, around, now=now, slot_s=slot_s, offer=offer)


def _settled(batch: Batch, draft: Draft, like: Allocation) -> Allocation:
    """The draft as an allocation at another one's prices, with the bound that these prove for it."""
    prices_usd = np.zeros_like(batch.capacity)
    rows = min(len(prices_usd), len(like.prices_usd))
    prices_usd[:rows] = like.prices_usd[:rows]
    bound_usd, hopeless, _ = bound_at(batch, prices_usd)
    return finished(batch, Priced(prices_usd=prices_usd, bound_usd=bound_usd, is_coupled=True, hopeless=hopeless), draft)


def _too_crowded(
    candidate: Member, before: Allocation, around: Surroundings, *, now: datetime, slot_s: float, offer: Offer | None
) -> DeadlineCrowded | NoCapacityError:
    """The error that says when the work could be done on the nodes that are left."""
    workload = candidate.workload
    end_at = min(around.snapshot[around.regions[name].zone].end_at for name in workload.regions)
    if offer is not None and offer.nodes:
        steps = len(next(iter(offer.nodes.values())))
        end_at = min(end_at, offer.start_at + timedelta(seconds=offer.step_s * steps))
    hurried = replace(workload, objective=Objective(usd_per_kgco2=0.0, usd_per_h_delay=1.0, usd_weight=0.0))
    batch = Batch.of(
        [replace(candidate, workload=hurried)],
        around.regions,
        around.snapshot,
        now=now,
        slot_s=slot_s,
        blocked_until=around.blocked_until,
        offer=offer,
        until_at=end_at,
    )
    draft, used = Draft(batch), before.used()
    common = min(len(used), len(draft.room))
    draft.room[:common] -= used[:common]
    draft.insert(np.zeros(1, dtype=np.int64), np.zeros_like(draft.room))
    if not draft.lengths[0]:
        return NoCapacityError(
            f"{workload.workload_id}: what was admitted before leaves no room for it until {end_at:%Y-%m-%dT%H:%MZ}, where forecasts and "
            f"offer end; allow more regions, ask for fewer workers, or submit it later"
        )
    slots = int(draft.lengths[0])
    return DeadlineCrowded(workload.deadline_at, now + timedelta(seconds=slots * slot_s + workload.safety_margin_s))
