"""The exact dynamic programme of one rigid workload: when to run where, at the least cost. Arrays in, arrays out.

State at the start of a slot: quanta of work still to do, region of the newest checkpoint, running or not. In each slot the
workload runs one quantum in one region, starts (which may take whole slots without progress), or does nothing. Backward
in time, so that the values of every alternative of the first slot are known and can be compared.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from carbon_ray.core.intensity import FloatArray

IDLE = -1
"""Region index of a slot in which nothing is held."""

_TIE = 1e-9
"""Relative difference below which two plans cost the same; sums in another order differ by less."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Problem:
    """Costs of one workload over T slots and R regions, all in one unit (USD of the objective).

    Attributes:
        run: Cost of running one quantum, shape (T, R).
        pause: Cost of the checkpoint written when a workload that ran in slot t stops after it, shape (T, R).
        start: Cost of resuming in r from a checkpoint in q at slot t, all its start-up slots included, shape (T, R from, R to).
        first_start: Cost of the very first start in r at slot t, shape (T, R).
        waiting: Cost of every slot until the work is done, >= 0.
        startup_slots: Slots that a start takes before its first quantum.
        quanta: Slots of work to do, >= 1.
        allowed: Whether region r may be used in slot t, shape (T, R).
    """

    run: FloatArray
    pause: FloatArray
    start: FloatArray
    first_start: FloatArray
    waiting: float
    startup_slots: int
    quanta: int
    allowed: np.ndarray[tuple[int, int], np.dtype[np.bool_]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Initial:
    """Where the workload stands at the start of slot 0.

    Attributes:
        region: Index of the region of its newest checkpoint or running segment; its home before the first start.
        is_running: It ran, or was starting, until now.
        is_started: It has run before: the next start is a resume.
        starting_slots: Slots without progress that the running segment still needs.
        starting: Cost of holding its nodes through those slots.
        pause: Cost of the checkpoint if it stops at once.
    """

    region: int
    is_running: bool = False
    is_started: bool = False
    starting_slots: int = 0
    starting: float = 0.0
    pause: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """The optimum, and what the alternatives of the first slot cost.

    Attributes:
        cost: Least total cost; inf if the work cannot be done in the slots.
        keep_cost: Least cost if the first slot goes on as things are (run on, or stay suspended); inf if impossible.
        start_costs: Least cost if it is (re)started in each region at slot 0, shape (R,).
        path: Region per slot, `IDLE` where nothing is held, up to the slot that finishes the work; empty if impossible.
        working: Whether the slot makes progress (start-up slots do not), same length.
    """

    cost: float
    keep_cost: float
    start_costs: tuple[float, ...]
    path: tuple[int, ...]
    working: tuple[bool, ...]


class _Values:
    """Least costs to go, indexed [slot, quanta left, region]; slot T holds the end."""

    def __init__(self, problem: Problem) -> None:
        slots, regions = problem.run.shape
        shape = (slots + 1, problem.quanta + 1, regions)
        self.problem = problem
        self._same_region = np.where(np.eye(regions, dtype=np.bool_), np.inf, 0.0)
        self.run = np.full(shape, np.inf)  # run one quantum in this slot
        self.ran = np.full(shape, np.inf)  # free to choose, having run in the slot before
        self.idle = np.full(shape, np.inf)  # free to choose, suspended, checkpoint in the region
        self.fresh = np.full((slots + 1, problem.quanta + 1), np.inf)  # never started
        self.run[:, 0], self.ran[:, 0], self.idle[:, 0] = np.inf, 0.0, 0.0
        for slot in range(slots - 1, -1, -1):
            self._fill(slot)

    def _fill(self, slot: int) -> None:
        problem, left = self.problem, slice(1, None)
        run = problem.run[slot] + problem.waiting + self.ran[slot + 1, :-1]
        self.run[slot, left] = np.where(problem.allowed[slot], run, np.inf)
        resumed = self._after_start(slot)[left]
        wait = problem.waiting + self.idle[slot + 1, left]
        restarts = resumed[:, None, :] + problem.start[slot][None]  # (quanta left, from, to)
        self.idle[slot, left] = np.minimum(wait, restarts.min(axis=2))
        first = (resumed + problem.first_start[slot]).min(axis=1)
        self.fresh[slot, left] = np.minimum(problem.waiting + self.fresh[slot + 1, left], first)
        # Who stops and starts again in the same region at once was never told to stop: that is no plan that can be followed.
        elsewhere = (restarts + self._same_region).min(axis=2)
        stopped = np.minimum(wait, elsewhere) + (problem.pause[slot - 1] if slot else 0.0)
        self.ran[slot, left] = np.minimum(self.run[slot, left], stopped)

    def _after_start(self, slot: int) -> FloatArray:
        """Cost to go of a start at `slot`, its own start cost not included, shape (quanta + 1, R)."""
        problem = self.problem
        first_work = slot + problem.startup_slots
        if first_work >= len(problem.run):
            return np.full(self.run.shape[1:], np.inf)
        usable = problem.allowed[slot : first_work + 1].all(axis=0)
        to_go: FloatArray = self.run[first_work] + problem.startup_slots * problem.waiting
        return np.where(usable, to_go, np.inf)


def solve(problem: Problem, initial: Initial, *, keep: bool = False) -> Solution:
    """The exact optimum from `initial`; ties go to running on, then to the earliest start, then the lowest region.

    Args:
        problem: Costs.
        initial: Where the workload stands.
        keep: Take the best plan among those that keep the first slot as it is, if there is one.
    """
    values, quanta, region = _Values(problem), problem.quanta, initial.region
    slots = len(problem.run)
    opening = problem.start[0, region] if initial.is_started else problem.first_start[0]
    starts = values._after_start(0)[quanta] + opening
    idle = problem.waiting + (values.idle[1, quanta, region] if initial.is_started else values.fresh[1, quanta])
    if initial.is_running:
        first_work = initial.starting_slots
        usable = first_work < slots and problem.allowed[: first_work + 1, region].all()
        keep_cost = values.run[first_work, quanta, region] + initial.starting + first_work * problem.waiting if usable else np.inf
        starts = starts + initial.pause
        starts[region] = np.inf  # it runs there already
        cost = min(keep_cost, initial.pause + idle, starts.min())
    else:
        keep_cost = idle
        cost = min(keep_cost, starts.min())
    if keep and np.isfinite(keep_cost):
        cost, starts = keep_cost, np.full_like(starts, np.inf)
    path, working = _walk(values, initial, cost, keep_cost, starts) if np.isfinite(cost) else ((), ())
    return Solution(cost=float(cost), keep_cost=float(keep_cost), start_costs=tuple(map(float, starts)), path=path, working=working)


def _walk(values: _Values, initial: Initial, cost: float, keep: float, starts: FloatArray) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    """Follow the least costs forward from slot 0, given the value chosen there."""
    problem, path, working = values.problem, list[int](), list[bool]()
    region, is_started, is_running, left = initial.region, initial.is_started, initial.is_running, problem.quanta
    must_work = False  # a start, or a choice to keep running, is followed by at least one quantum

    def hold(where: int, slots: int, makes_progress: bool) -> None:
        path.extend([where] * slots)
        working.extend([makes_progress] * slots)

    def start(where: int) -> None:
        nonlocal region, is_started, is_running, must_work
        hold(where, problem.startup_slots, makes_progress=False)
        region, is_started, is_running, must_work = where, True, True, True

    if is_running and keep <= cost:
        hold(region, initial.starting_slots, makes_progress=False)
        must_work = True
    elif starts.min() <= cost + _TIE * abs(cost):
        start(int(np.argmin(starts)))
    else:
        is_running = False
        hold(IDLE, 1, makes_progress=False)
    while left:
        slot = len(path)
        if is_running and (must_work or values.run[slot, left, region] <= values.ran[slot, left, region]):
            hold(region, 1, makes_progress=True)
            left, must_work = left - 1, False
            continue
        stops, is_running = is_running, False
        opening = problem.start[slot, region] if is_started else problem.first_start[slot]
        opened = values._after_start(slot)[left] + opening
        if stops:
            opened[region] = np.inf
        wait = problem.waiting + (values.idle[slot + 1, left, region] if is_started else values.fresh[slot + 1, left])
        if opened.min() <= wait + _TIE * abs(wait):
            start(int(np.argmin(opened)))
        else:
            hold(IDLE, 1, makes_progress=False)
    return tuple(path), tuple(working)
