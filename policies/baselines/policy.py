"""A published rule as a placement policy: from costs to the rule's outlook, and from the rule's course to a plan and a decision."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from carbon_ray.core.decision import Decision
from carbon_ray.core.errors import ForecastHorizonError
from carbon_ray.core.forecast import ForecastSnapshot
from carbon_ray.core.intensity import FloatArray
from carbon_ray.core.plan import Plan
from carbon_ray.core.units import S_PER_H
from carbon_ray.core.workload import Progress, Workload
from carbon_ray.policies import reasons
from carbon_ray.policies.base import Surroundings, placement_of
from carbon_ray.policies.baselines.deadline import must_run
from carbon_ray.policies.baselines.rolling import roll
from carbon_ray.policies.costs import Costs
from carbon_ray.policies.outlook import Outlook, Rule
from carbon_ray.policies.plans import plan_of, run_through, target_of
from carbon_ray.policies.programme import IDLE, Solution

_ROUNDING = 1e-9


def _gco2(costs: Costs, intensity_gco2_per_kwh: FloatArray) -> FloatArray:
    gco2: FloatArray = intensity_gco2_per_kwh * costs.running_kw * costs.slot_h
    return gco2


def _past(costs: Costs, elapsed: int, snapshot: ForecastSnapshot) -> FloatArray | None:
    """What the forecasts say of the slots since submission; None where one does not reach back so far."""
    if not elapsed:
        return np.zeros((0, len(costs.sites)))
    start_at = costs.now - timedelta(seconds=elapsed * costs.slot_s)
    try:
        columns = [snapshot[site.region.zone].resample(start_at, costs.slot_s, elapsed) for site in costs.sites]
    except ForecastHorizonError:
        return None
    return _gco2(costs, np.stack(columns, axis=1))


def outlook_of(costs: Costs, snapshot: ForecastSnapshot) -> Outlook:
    """What a rule may see of a rigid workload. Its workers are one level: "one worker" is all of them.

    A region that gives no nodes for a while is infinite until then, except where the workload runs there already. A home, or a
    checkpoint, in a region that it may not use counts as being in the first one. How long it waited is told from its progress:
    every slot since submission that left no progress behind counts, start-ups too.
    """
    workload, progress, initial = costs.workload, costs.progress, costs.initial()
    elapsed = max(0, math.floor((costs.now - workload.submitted_at).total_seconds() / costs.slot_s + _ROUNDING))
    done = (workload.work_h - progress.remaining_h) / costs.slot_h
    usable = costs.allowed.copy()
    if initial.is_running:
        usable[:, initial.region] = True
    at = costs.index_of(progress.region if initial.is_started or initial.is_running else workload.home_region) or 0
    gco2 = np.where(usable, _gco2(costs, costs.intensity_gco2_per_kwh), np.inf)
    return Outlook(
        gco2=gco2,
        usd=np.broadcast_to(costs.usd_per_h * costs.slot_h, gco2.shape),
        left=progress.remaining_h / costs.slot_h,
        total=workload.work_h / costs.slot_h,
        elapsed=elapsed,
        waited=max(0, elapsed - math.ceil(done - _ROUNDING)),
        home=costs.index_of(workload.home_region) or 0,
        at=at,
        is_running=initial.is_running,
        is_started=initial.is_started,
        startup_slots=costs.slots_of(workload.overheads.startup_s),
        starting_slots=initial.starting_slots,
        staging=workload.overheads.migrate_h / costs.slot_h,
        slot_h=costs.slot_h,
        past_gco2=_past(costs, elapsed, snapshot),
    )


def decide_by(
    rule: Rule, name: str, workload: Workload, progress: Progress, around: Surroundings, *, now: datetime, slot_s: float
) -> tuple[Plan, Decision]:
    """What the rule does now, and the plan that it follows if the forecast comes true. See `PlacementPolicy.decide`.

    Args:
        rule: Which.
        name: Of the rule, for the reason.
        workload: What is to be run.
        progress: Where it stands.
        around: Regions and forecasts.
        now: Aware UTC.
        slot_s: Length of a slot, seconds.
    """
    workload = workload.rigid  # the rules are run with the default count
    costs = Costs.expected(workload, progress, around.regions, around.snapshot, now=now, slot_s=slot_s, blocked_until=around.blocked_until)
    solution, is_forced = _course(rule, costs, around.snapshot)
    target = target_of(costs, solution)
    reason = f"{name}: {reasons.of(costs, solution, target, is_forced=is_forced and target is not None)}"
    plan = plan_of(costs, solution, reason, around.snapshot.version)
    decision = Decision(
        workload_id=workload.workload_id,
        at=now,
        current=placement_of(workload, progress),
        target=target,
        reason=reason,
        is_forced=is_forced,
    )
    return plan, decision


def _course(rule: Rule, costs: Costs, snapshot: ForecastSnapshot) -> tuple[Solution, bool]:
    """The rule's path over all slots, and whether the deadline leaves no choice now."""
    if costs.progress.remaining_h <= _ROUNDING / S_PER_H:
        return run_through(costs), False  # nothing but the end is left
    outlook = outlook_of(costs, snapshot)
    rolled = roll(rule, outlook)
    path = tuple(IDLE if run is None else run.region for run in rolled.runs)
    levels = tuple(IDLE if run is None else 0 for run in rolled.runs)
    course = Solution(cost=math.inf, keep_cost=math.inf, start_costs=(), path=path, working=rolled.working, levels=levels)
    return course, must_run(outlook)


@dataclass(frozen=True, slots=True, kw_only=True)
class RulePolicy:
    """Any rule under the controller.

    Attributes:
        rule: Which.
        slot_s: Length of a slot, seconds.
    """

    rule: Rule
    slot_s: float = 900.0

    def decide(self, workload: Workload, progress: Progress, around: Surroundings, *, now: datetime) -> tuple[Plan, Decision]:
        """See `PlacementPolicy.decide`."""
        name = getattr(self.rule, "name", type(self.rule).__name__)
        return decide_by(self.rule, name, workload, progress, around, now=now, slot_s=self.slot_s)
