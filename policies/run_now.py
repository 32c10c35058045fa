"""The baseline everybody starts from: run at once, at home, without a pause."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from carbon_ray.core.decision import Decision
from carbon_ray.core.plan import Plan
from carbon_ray.core.workload import Progress, Workload
from carbon_ray.policies.base import Surroundings, placement_of
from carbon_ray.policies.costs import Costs
from carbon_ray.policies.plans import plan_of, run_through, target_of


@dataclass(frozen=True, slots=True, kw_only=True)
class RunNow:
    """Start at submission in the home region and run on.

    Attributes:
        slot_s: Length of a slot of the plan that is shown, seconds.
    """

    slot_s: float = 900.0

    def decide(self, workload: Workload, progress: Progress, around: Surroundings, *, now: datetime) -> tuple[Plan, Decision]:
        """See `PlacementPolicy.decide`."""
        home = replace(workload.rigid, regions=(workload.home_region,))
        costs = Costs.expected(home, progress, around.regions, around.snapshot, now=now, slot_s=self.slot_s)
        solution, reason = run_through(costs), f"run at once in {workload.home_region}"
        plan = plan_of(costs, solution, reason, around.snapshot.version)
        decision = Decision(
            workload_id=workload.workload_id,
            at=now,
            current=placement_of(workload, progress),
            target=target_of(costs, solution),
            reason=reason,
        )
        return plan, decision
