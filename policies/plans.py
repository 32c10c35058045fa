"""From a solution of the programme to a plan that people and actuators read; and the plan that needs no programme."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from carbon_ray.core.decision import Placement
from carbon_ray.core.plan import Plan, PlanStep, RunnerUp
from carbon_ray.core.units import S_PER_H
from carbon_ray.policies.costs import Costs
from carbon_ray.policies.programme import IDLE, Solution


@dataclass(frozen=True, slots=True, kw_only=True)
class Straight:
    """From now on in one region with one worker count.

    Attributes:
        where: Index of the region.
        level: Index of the worker count.
        waits: Slots without progress before the first step.
        length: Slots in all.
    """

    where: int
    level: int
    waits: int
    length: int

    def solution(self) -> Solution:
        """The same as a solution of the programme, of which no costs are known."""
        return Solution(
            cost=math.inf,
            keep_cost=math.inf,
            start_costs=(),
            path=(self.where,) * self.length,
            working=tuple(slot >= self.waits for slot in range(self.length)),
            levels=(self.level,) * self.length,
        )


def _waits(costs: Costs, where: int, level: int) -> int:
    """Slots without progress before the first step there."""
    initial = costs.initial()
    if initial.is_running and (where, level) == (initial.region, initial.level):
        return initial.starting_slots
    return costs.slots_of(costs.startup_s(where))


def run_through_in(costs: Costs, where: int, level: int = 0, *, even_shut: bool = False) -> Straight | None:
    """Run without a pause from now on in one region with one worker count; None where that cannot be done in time.

    Args:
        costs: Of the workload.
        where: Index of the region.
        level: Index of the worker count.
        even_shut: Also where the region gives no nodes now: to compare with, not to be done.
    """
    waits = _waits(costs, where, level)
    length = waits + costs.working_slots(level)
    is_open = even_shut or (costs.is_reachable(where) and length <= costs.open_slots[where])
    if length > len(costs.allowed) or not is_open or costs.sites[where].holds[level] is None:
        return None
    return Straight(where=where, level=level, waits=waits, length=length)


def runs_through(costs: Costs) -> list[Straight]:
    """Every way to run without a pause from now on: all regions and worker counts with which that can be done in time."""
    every = (run_through_in(costs, where, level) for where in range(len(costs.sites)) for level in range(len(costs.rates)))
    return [course for course in every if course is not None]


def run_through(costs: Costs) -> Solution:
    """Run without a pause: on where it runs and can, else started at once where that is cheapest now. Never misses a slot.

    An elastic workload runs so only when its deadline is at stake: with the worker count that ends soonest.
    """
    if costs.workload.is_elastic:
        where, level = _soonest(costs)
    else:
        initial, level = costs.initial(), 0
        may_be = [costs.is_reachable(index) for index in range(len(costs.sites))]
        usable, where = costs.allowed[0] & may_be, costs.here
        if not initial.is_running or (not usable[where] and usable.any()):
            where = min(range(len(usable)), key=lambda index: (not may_be[index], not usable[index], costs.run_usd[0, index], index))
    waits = _waits(costs, where, level)
    length = min(waits + costs.working_slots(level), len(costs.allowed))
    return Straight(where=where, level=level, waits=waits, length=length).solution()


def _soonest(costs: Costs) -> tuple[int, int]:
    """Region and worker count that end soonest, a new start included; ties go to where it runs, then to the cheapest."""
    initial = costs.initial()

    def rank(site_and_level: tuple[int, int]) -> tuple[bool, bool, float, bool, float, int]:
        where, level = site_and_level
        goes_on = initial.is_running and site_and_level == (initial.region, initial.level)
        waits_h = (costs.progress.starting_s if goes_on else costs.startup_s(where)) / S_PER_H
        left_h = waits_h + costs.longest_h / costs.rates[level]
        return (
            not costs.is_reachable(where),
            not costs.allowed[0, where],
            round(left_h, 6),
            where != costs.here,
            float(costs.run_usd[0, where]),
            level,
        )

    fits = costs.holding.fits
    return min(((where, level) for where, level in np.ndindex(*fits.shape) if fits[where, level]), key=rank)


def target_of(costs: Costs, solution: Solution) -> Placement | None:
    """What a solution means at once."""
    first = solution.path[0]
    if first == IDLE:
        return None
    return Placement(region=costs.sites[first].region.name, workers=costs.workload.counts[solution.levels[0]])


def plan_of(costs: Costs, solution: Solution, reason: str, forecast_version: int, runner_up: RunnerUp | None = None) -> Plan:
    """The plan that a solution stands for."""
    expected = costs.expected_of(solution.path, solution.working, solution.levels)
    steps = _steps(costs, solution)
    if costs.workload.is_elastic and costs.longest_h == costs.progress.remaining_h:
        # Quanta are rounded down, so what is really done may come to the end in an earlier slot than the programme's last.
        steps = tuple(step for step in steps if step.start_at < expected.finish_at)
    return Plan(
        workload_id=costs.workload.workload_id,
        created_at=costs.now,
        steps=steps,
        expected=expected,
        reason=reason,
        forecast_version=forecast_version,
        runner_up=runner_up,
    )


def _steps(costs: Costs, solution: Solution) -> tuple[PlanStep, ...]:
    path, levels, steps, begin = solution.path, solution.levels, [], 0
    for slot in range(1, len(path) + 1):
        if slot < len(path) and path[slot] == path[begin] and levels[slot] == levels[begin]:
            continue
        where = path[begin]
        steps.append(
            PlanStep(
                start_at=costs.now + timedelta(seconds=begin * costs.slot_s),
                end_at=costs.now + timedelta(seconds=slot * costs.slot_s),
                region=None if where == IDLE else costs.sites[where].region.name,
                workers=0 if where == IDLE else costs.workload.counts[levels[begin]],
            )
        )
        begin = slot
    return tuple(steps)
