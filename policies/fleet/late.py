"""Plans of those that cannot meet their deadline any more: as much work as the nodes that are left allow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from carbon_ray.policies.fleet.allocation import used_by
from carbon_ray.policies.fleet.batch import Batch
from carbon_ray.policies.fleet.repair import Draft
from carbon_ray.policies.plans import run_through
from carbon_ray.policies.programme import IDLE, Solution


def plan_late(batch: Batch, solutions: Sequence[Solution]) -> dict[int, Solution]:
    """A plan for each member whose solution is empty, the highest priority first.

    It runs through, as `Replan` makes it, where the nodes for that are left; else it does as much as it can before its deadline.

    Args:
        batch: Members and capacity.
        solutions: One a member.
    """
    room = batch.capacity - used_by(batch, solutions)
    late = sorted((index for index, one in enumerate(solutions) if not one.path), key=lambda index: -batch.members[index].priority)
    plans = {}
    for index in late:
        draft = Draft(batch)
        draft.room = room
        through = run_through(batch.costs(index))
        path, working = np.array(through.path, dtype=np.int64), np.array(through.working, dtype=np.int64)
        plans[index] = through if draft.put(index, path, working, where_blocked=True) else _most(batch, index, draft)
        room = draft.room
    return plans


def _most(batch: Batch, index: int, draft: Draft) -> Solution:
    """The plan that does the most work; without a node for any, a slot of waiting."""
    order, none = np.array([index], dtype=np.int64), np.zeros_like(batch.capacity)
    low, high = 0, int(min(batch.columns.quanta[index], batch.columns.slots[index]))
    best: Solution | None = None
    while low < high:
        middle = (low + high + 1) // 2
        quanta = batch.columns.quanta.copy()
        quanta[index] = middle
        trial = Draft(replace(batch, columns=batch.columns._replace(quanta=quanta)))
        trial.room = draft.room.copy()
        if trial.insert(order, none):
            high = middle - 1
            continue
        low, best = middle, trial.solution(index)
        found = trial
    if best is None:
        return Solution(cost=math.inf, keep_cost=math.inf, start_costs=(), path=(IDLE,), working=(False,), levels=(IDLE,))
    draft.room = found.room
    return best
