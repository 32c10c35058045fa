"""From a solution of the programme to a plan that people and actuators read; and the plan that needs no programme."""

from __future__ import annotations

from datetime import timedelta
from itertools import groupby

from carbon_ray.core.decision import Placement
from carbon_ray.core.plan import Plan, PlanStep
from carbon_ray.policies.costs import Costs
from carbon_ray.policies.programme import IDLE, Solution


def run_through_in(costs: Costs, where: int) -> Solution | None:
    """Run without a pause from now on in one region; None where that cannot be done in time."""
    problem, initial = costs.problem(), costs.initial()
    is_there = initial.is_running and where == initial.region
    waits = initial.starting_slots if is_there else problem.startup_slots
    length = waits + problem.quanta
    if length > len(problem.run) or not problem.allowed[:length, where].all():
        return None
    working = tuple(slot >= waits for slot in range(length))
    return Solution(
        cost=float("inf"), keep_cost=float("inf"), start_costs=(), path=(where,) * length, working=working, levels=(0,) * length
    )


def run_through(costs: Costs) -> Solution:
    """Run without a pause: on where it runs and can, else started at once where that is cheapest now. Never misses a slot."""
    initial, problem = costs.initial(), costs.problem()
    usable, where, waits = problem.allowed[0], costs.here, initial.starting_slots
    if not initial.is_running or (not usable[where] and usable.any()):
        where = min(range(len(usable)), key=lambda index: (not usable[index], costs.run_usd[0, index], index))
        waits = problem.startup_slots
    length = min(waits + problem.quanta, len(problem.run))
    working = tuple(slot >= waits for slot in range(length))
    return Solution(
        cost=float("inf"), keep_cost=float("inf"), start_costs=(), path=(where,) * length, working=working, levels=(0,) * length
    )


def target_of(costs: Costs, solution: Solution) -> Placement | None:
    """What a solution means at once."""
    first = solution.path[0]
    return None if first == IDLE else Placement(region=costs.sites[first].region.name, workers=costs.workload.workers)


def plan_of(costs: Costs, solution: Solution, reason: str, forecast_version: int) -> Plan:
    """The plan that a solution stands for."""
    return Plan(
        workload_id=costs.workload.workload_id,
        created_at=costs.now,
        steps=_steps(costs, solution),
        expected=costs.expected_of(solution.path, solution.working),
        reason=reason,
        forecast_version=forecast_version,
    )


def _steps(costs: Costs, solution: Solution) -> tuple[PlanStep, ...]:
    steps, slot = [], 0
    for where, stretch in groupby(solution.path):
        count = len(list(stretch))
        steps.append(
            PlanStep(
                start_at=costs.now + timedelta(seconds=slot * costs.slot_s),
                end_at=costs.now + timedelta(seconds=(slot + count) * costs.slot_s),
                region=None if where == IDLE else costs.sites[where].region.name,
                workers=0 if where == IDLE else costs.workload.workers,
            )
        )
        slot += count
    return tuple(steps)
