"""Not worse than run-now, for a fleet: who risks to end above run-now runs through, where nodes are left for that.

The rule for each member is that of `carbon_ray.policies.replan.Replan`; only the courses that it may choose from are fewer.
"""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np

from carbon_ray.core.intensity import FloatArray
from carbon_ray.policies.costs import Costs
from carbon_ray.policies.counterfactual import least_with_risk
from carbon_ray.policies.fleet.allocation import Allocation
from carbon_ray.policies.fleet.batch import Batch
from carbon_ray.policies.fleet.kernel import IDLE
from carbon_ray.policies.plans import Straight, run_through_in
from carbon_ray.policies.programme import Solution


def guard(allocation: Allocation, backfire_fraction: float) -> Allocation:
    """The allocation with runs through from now on instead of plans that are too likely to end above run-now.

    Members choose in order of priority. The sum and the bound stay those of the plans before.

    Args:
        allocation: Plans by expected costs.
        backfire_fraction: As `Replan`; 0 switches the guard off.
    """
    if not backfire_fraction:
        return allocation
    batch, solutions = allocation.batch, list(allocation.solutions)
    room, guarded = batch.capacity - allocation.used(), []
    for index in sorted(range(len(solutions)), key=lambda index: -batch.members[index].priority):
        before = solutions[index]
        if not before.path:
            continue
        costs = batch.costs(index)
        courses = functools.partial(_courses, batch, index, costs, before, room)
        chosen = least_with_risk(costs, before, courses, backfire_fraction)
        if chosen is not before:
            _hold(batch, index, before, room, 1.0)
            _hold(batch, index, chosen, room, -1.0)
            solutions[index] = replace(chosen, cost=before.cost, keep_cost=before.keep_cost)
            guarded.append(index)
    return replace(allocation, solutions=tuple(solutions), guarded=frozenset(guarded))


def _courses(batch: Batch, index: int, costs: Costs, before: Solution, room: FloatArray) -> list[Straight]:
    """Runs through from now on that the nodes left and the member's own allow."""
    _hold(batch, index, before, room, 1.0)
    found = list[Straight]()
    for where in range(len(costs.sites)):
        site = batch.columns.first_site[index] + where
        course = run_through_in(costs, where)
        if course is not None:
            left = room[: course.length, batch.columns.site_pool[site]].min()
            found.extend([course] if left + 1e-9 >= batch.columns.site_nodes[site] else [])
    _hold(batch, index, before, room, -1.0)
    return found


def _hold(batch: Batch, index: int, solution: Solution, room: FloatArray, sign: float) -> None:
    path = np.array(solution.path, dtype=np.int64)
    held = np.flatnonzero(path != IDLE)
    sites = batch.columns.first_site[index] + path[held]
    room[held, batch.columns.site_pool[sites]] += sign * batch.columns.site_nodes[sites]
