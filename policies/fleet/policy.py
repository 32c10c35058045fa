"""Fleet policies: from many workloads at once to a plan and a decision for each.

`FleetReplan` is carbon_ray's own: allocate the nodes by the newest forecast at every tick and do each plan's first step.
`Continued` lets it begin where it ended at the tick before. `Independent` asks a policy for single workloads, which knows of no
other and of no capacity.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, runtime_checkable

from carbon_ray.core.decision import Decision
from carbon_ray.core.intensity import FloatArray
from carbon_ray.core.plan import Plan
from carbon_ray.core.workload import Progress, Workload
from carbon_ray.policies import reasons
from carbon_ray.policies.base import Member, PlacementPolicy, Surroundings, placement_of
from carbon_ray.policies.costs import Costs
from carbon_ray.policies.fleet.allocation import Allocation, allocate
from carbon_ray.policies.fleet.backfire_guard import guard
from carbon_ray.policies.fleet.batch import Batch
from carbon_ray.policies.fleet.late import plan_late
from carbon_ray.policies.fleet.member import FairShares, Offer
from carbon_ray.policies.fleet.prices import Ascent
from carbon_ray.policies.fleet.repair import Repair
from carbon_ray.policies.plans import plan_of, target_of
from carbon_ray.policies.programme import IDLE, Solution

_WORTH_SAYING = 0.01
"""Share of what a node costs above which its price is told."""

Answers = tuple[tuple[Plan, Decision], ...]


@runtime_checkable
class FleetPolicy(Protocol):
    """Decides where many workloads run. Pure, unless it says otherwise: equal arguments give equal answers."""

    def decide_all(self, members: Sequence[Member], around: Surroundings, *, now: datetime) -> Answers:
        """For each member, in order, the plan from `now` on and what it means at once.

        Raises:
            UnknownRegionError: A workload names a region that the cluster lacks.
            NoCapacityError: No allowed region can ever hold a workload's workers.
            ForecastHorizonError: A forecast does not reach a deadline.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Independent:
    """A policy for single workloads, asked for each by itself.

    Attributes:
        policy: Which.
    """

    policy: PlacementPolicy

    def decide_all(self, members: Sequence[Member], around: Surroundings, *, now: datetime) -> Answers:
        """See `FleetPolicy.decide_all`."""
        return tuple(self.policy.decide(member.workload, member.progress, around, now=now) for member in members)


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetReplan:
    """Re-planning of all workloads under the capacity of every region and slot.

    A workload that competes with none is decided upon as by `Replan` with the same slot and hysteresis.

    Attributes:
        slot_s: Length of a planning slot, seconds.
        hysteresis_fraction: A running workload is stopped or moved only for a gain above this share of what running on for one
            slot costs.
        hysteresis_usd: ... and above this many USD.
        backfire_fraction: As `Replan`.
        offer: Nodes on offer; without it each node type's `max_nodes`.
        shares: Weights of teams.
        ascent: How prices of capacity are sought.
        attempts: As `Repair`.
    """

    slot_s: float = 900.0
    hysteresis_fraction: float = 0.02
    hysteresis_usd: float = 0.0
    backfire_fraction: float = 0.5
    offer: Offer | None = None
    shares: FairShares = field(default_factory=FairShares)
    ascent: Ascent = field(default_factory=Ascent)
    attempts: int = 4

    def allocate(self, members: Sequence[Member], around: Surroundings, *, now: datetime, before: Allocation | None = None) -> Allocation:
        """Who holds which nodes when. See `carbon_ray.policies.fleet.allocation.allocate`."""
        how = Repair(attempts=self.attempts, hysteresis_fraction=self.hysteresis_fraction, hysteresis_usd=self.hysteresis_usd)
        found = allocate(
            members,
            around,
            now=now,
            slot_s=self.slot_s,
            offer=self.offer,
            shares=self.shares,
            ascent=self.ascent,
            how=how,
            before=before,
        )
        return guard(found, self.backfire_fraction)

    def decide(self, workload: Workload, progress: Progress, around: Surroundings, *, now: datetime) -> tuple[Plan, Decision]:
        """One workload as a fleet of its own, for whoever knows no other. See `PlacementPolicy.decide`."""
        return self.decide_all((Member(workload=workload, progress=progress),), around, now=now)[0]

    def decide_all(self, members: Sequence[Member], around: Surroundings, *, now: datetime) -> Answers:
        """See `FleetPolicy.decide_all`. One that cannot meet its deadline runs as much as the nodes left by the others allow."""
        return answers_of(self.allocate(members, around, now=now), around.snapshot.version)


class Continued:
    """`FleetReplan` that begins at each call where it ended at the call before: the one fleet policy here with a memory.

    Prices are found in fewer passes, and a plan that met a deadline stands until there is a better one: as long as the nodes
    are there and work goes as planned, no tick loses a deadline that the tick before could meet.

    Attributes:
        policy: What decides.
        last: What was decided last; None before the first call.

    Args:
        policy: What decides.
    """

    def __init__(self, policy: FleetReplan) -> None:
        self.policy = policy
        self.last: Allocation | None = None

    def decide_all(self, members: Sequence[Member], around: Surroundings, *, now: datetime) -> Answers:
        """See `FleetPolicy.decide_all`."""
        self.last = self.policy.allocate(members, around, now=now, before=self.last)
        return answers_of(self.last, around.snapshot.version)


def answers_of(allocation: Allocation, forecast_version: int) -> Answers:
    """What an allocation means for each member."""
    batch = allocation.batch
    late = plan_late(batch, allocation.solutions) if allocation.missed else {}
    return tuple(
        _answer(allocation, index, late.get(index, solution), index in late, forecast_version)
        for index, solution in enumerate(allocation.solutions)
    )


def _answer(allocation: Allocation, index: int, solution: Solution, is_late: bool, forecast_version: int) -> tuple[Plan, Decision]:
    batch = allocation.batch
    costs, member = batch.costs(index), batch.members[index]
    target = target_of(costs, solution)
    if is_late and target is None:
        reason = f"wait: others hold the nodes now, too many of them to meet the deadline {member.workload.deadline_at:%m-%d %H:%MZ}"
    else:
        reason = reasons.of(costs, solution, target, is_forced=is_late, is_guarded=index in allocation.guarded)
        reason += _scarcity(batch, index, costs, solution, allocation.prices_usd)
    plan = plan_of(costs, solution, reason, forecast_version)
    can_keep = math.isfinite(solution.keep_cost)
    decision = Decision(
        workload_id=member.workload.workload_id,
        at=batch.now,
        current=placement_of(member.workload, member.progress),
        target=target,
        reason=reason,
        gain_usd=0.0 if is_late else solution.keep_cost - solution.cost,
        is_forced=is_late or not can_keep,
    )
    return plan, decision


def _scarcity(batch: Batch, index: int, costs: Costs, solution: Solution, prices_usd: FloatArray) -> str:
    """Words about what the nodes of the first slot are worth to others; nothing where they are not scarce."""
    where = solution.path[0] if solution.path[0] != IDLE else costs.here
    price_usd = float(prices_usd[0, batch.columns.site_pool[batch.columns.first_site[index] + where]])
    if price_usd <= _WORTH_SAYING * costs.run_usd[0, where] / costs.sites[where].nodes:
        return ""
    return f"; nodes in {costs.sites[where].region.name} are scarce: one is worth {price_usd / batch.slot_h:.2g} USD/h to the fleet"
