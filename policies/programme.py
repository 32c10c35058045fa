"""The exact dynamic programme of one workload: when to run where, on how many workers, at the least cost. Arrays in, arrays out.

State at the start of a slot: quanta of work still to do, region of the newest checkpoint, worker count it runs with or none.
In each slot the workload runs on, starts (which may take whole slots without progress), or does nothing; another worker
count is another start. Backward in time, so that the values of every alternative of the first slot are known and compared.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from carbon_ray.core.intensity import FloatArray
from carbon_ray.policies.following import follow
from carbon_ray.policies.recursion import backward

IDLE = -1
"""Region index of a slot in which nothing is held."""

Indices = NDArray[np.int64]
Flags = NDArray[np.bool_]

_TIE = 1e-9
"""Relative difference below which two plans cost the same; sums in another order differ by less."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Problem:
    """Costs of one workload over T slots, R regions and N worker counts, all in one unit (USD of the objective).

    A start in r from a checkpoint in q at slot t costs `hold[t, r, n]` for the nodes that wait, `restore * unit[t, r]` where it
    is a resume, and between two regions `move[q, r] * unit[t, r] + send[q, r] * unit[t, q] + fee[q, r]`.

    Attributes:
        run: Cost of running through a slot, shape (T, R, N); inf where that is not allowed.
        hold: Cost of nodes held through the start-up that begins in a slot, shape (T, R, N); inf where it cannot be.
        pause: Cost of the checkpoint written when a workload that ran in slot t stops after it, shape (T, R).
        unit: Cost of one running hour's energy, shape (T, R).
        move: Running hours of a change of region, paid where it goes to, shape (R, R), diagonal zero.
        send: Running hours of a change of region, paid where it comes from, shape (R, R), diagonal zero.
        fee: Price of a change of region, shape (R, R), diagonal zero.
        restore: Running hours of a resume.
        rescale: Running hours of a change of worker count, on top of the stop and the resume that it is.
        speed: Quanta that each worker count does in a slot, shape (N,), each >= 1.
        waiting: Cost of every slot until the work is done, >= 0.
        startup_slots: Slots that a start takes before its first quantum.
        quanta: Work to do, >= 1.
        allowed: Whether region r may be used in slot t, shape (T, R).
        shortest_slots: Least slots that a started segment works, unless the work ends, >= 1.
        max_moves: Most changes of region after the first start; None = any number.
        hold_away: As `hold`, for a start whose checkpoint, or first code and data, comes from another region; None = the same.
        startup_slots_away: Slots of such a start-up by region, shape (R,); None = the same.
        is_separable: Promises that `move` depends only on where it goes to, `send` and `fee` only on where it comes from: the time to
            solve it then grows with the regions, and not with their square.
    """

    run: FloatArray
    hold: FloatArray
    pause: FloatArray
    unit: FloatArray
    move: FloatArray
    send: FloatArray
    fee: FloatArray
    restore: float
    speed: NDArray[np.int64]
    waiting: float
    startup_slots: int
    quanta: int
    allowed: np.ndarray[tuple[int, int], np.dtype[np.bool_]]
    shortest_slots: int = 1
    max_moves: int | None = None
    rescale: float = 0.0
    hold_away: FloatArray | None = None
    startup_slots_away: NDArray[np.int64] | None = None
    is_separable: bool = False

    @property
    def away(self) -> tuple[FloatArray, NDArray[np.int64]]:
        """Cost and slots of start-ups whose checkpoint comes from another region."""
        if self.hold_away is None or self.startup_slots_away is None:
            return self.hold, np.full(self.hold.shape[1], self.startup_slots, dtype=np.int64)
        return self.hold_away, self.startup_slots_away


@dataclass(frozen=True, slots=True, kw_only=True)
class Initial:
    """Where the workload stands at the start of slot 0.

    Attributes:
        region: Index of the region that it runs in; `origin` while it does not.
        origin: Index of the region that its next start comes from: that of its newest checkpoint, its home before the first.
        level: Index of the worker count it runs with.
        is_running: It ran, or was starting, until now.
        is_started: It has run before: the next start is a resume.
        starting_slots: Slots without progress that the running segment still needs.
        starting: Cost of holding its nodes through those slots.
        pause: Cost of the checkpoint if it stops at once.
        bound_slots: Slots that the running segment has to work before it may stop, >= 1 while it runs on at all.
    """

    region: int
    origin: int
    level: int = 0
    is_running: bool = False
    is_started: bool = False
    starting_slots: int = 0
    starting: float = 0.0
    pause: float = 0.0
    bound_slots: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """The optimum, and what the alternatives of the first slot cost.

    Attributes:
        cost: Least total cost; inf if the work cannot be done in the slots.
        keep_cost: Least cost if the first slot goes on as things are (run on, or stay suspended); inf if impossible.
        start_costs: Least cost if it is (re)started in each region at slot 0, shape (R,).
        path: Region per slot, `IDLE` where nothing is held, up to the slot that finishes the work; empty if impossible.
        working: Whether the slot makes progress (start-up slots do not), same length.
        levels: Index of the worker count per slot, `IDLE` where nothing is held, same length.
    """

    cost: float
    keep_cost: float
    start_costs: tuple[float, ...]
    path: tuple[int, ...]
    working: tuple[bool, ...]
    levels: tuple[int, ...]

    @property
    def length(self) -> int:
        """Slots of the path."""
        return len(self.path)


def plain(values: FloatArray) -> FloatArray:
    """The values in the one memory layout that the recursion is compiled for; every other one would be compiled anew."""
    if values.dtype == np.float64 and values.flags.carray:  # in C order, aligned and writeable
        return values
    return np.require(values, dtype=np.float64, requirements=["C", "W"])


class Values:
    """Least costs to go of every state, for one number of moves that are left.

    Args:
        problem: Costs.
        below: The values with one move less; None where moves are not counted, or none is left.
    """

    def __init__(self, problem: Problem, below: Values | None = None) -> None:
        slots, regions, _ = problem.run.shape
        none_left = np.full((slots, regions, problem.quanta + 1), np.inf)
        is_limited = problem.max_moves is not None
        landing = below.land if below is not None else (none_left if is_limited else none_left[:0])
        self.problem = problem
        self.work: FloatArray
        self.begun: FloatArray
        self.ran: FloatArray
        self.idle: FloatArray
        self.fresh: FloatArray
        self.land: FloatArray
        self.work, self.begun, self.ran, self.idle, self.fresh, self.land = backward(
            *(plain(one) for one in (problem.run, problem.hold, problem.pause, problem.unit)),
            *(plain(one) for one in (problem.move, problem.send, problem.fee)),
            float(problem.restore),
            float(problem.rescale),
            problem.speed,
            float(problem.waiting),
            problem.startup_slots,
            problem.shortest_slots,
            problem.quanta,
            landing,
            is_limited,
            plain(problem.away[0]),
            problem.away[1],
            problem.hold_away is not None,
            problem.is_separable,
        )

    def arrived(self, slot: int, left: int) -> FloatArray:
        """As `opened`, where the checkpoint comes from another region."""
        if self.problem.hold_away is None:
            return self.opened(slot, left)
        hold, waits = self.problem.away
        costs = np.full(self.problem.run.shape[1:], np.inf)
        for region, first_work in enumerate((slot + waits).tolist()):
            if first_work < len(self.problem.run):
                costs[region] = hold[slot, region] + waits[region] * self.problem.waiting + self.begun[first_work, region, :, left]
        return costs

    def opened(self, slot: int, left: int) -> FloatArray:
        """Cost to go of a start at `slot` by region and worker count, what it costs to get there not included, shape (R, N)."""
        first_work = slot + self.problem.startup_slots
        if first_work >= len(self.problem.run):
            return np.full(self.problem.run.shape[1:], np.inf)
        held = self.problem.hold[slot] + self.problem.startup_slots * self.problem.waiting
        to_go: FloatArray = held + self.begun[first_work, :, :, left]
        return to_go


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Alternatives:
    """What the first slot can be used for, and what each use costs to the end.

    Attributes:
        keep: Going on as things are: running on, or staying suspended; inf if impossible.
        suspend: Holding nothing; equal to `keep` for a workload that does not run.
        starts: Starting, or moving, by region and worker count, shape (R, N); inf where it runs so already.
        running: Region and worker count that it runs with; None while it does not.
    """

    keep: float
    suspend: float
    starts: FloatArray
    running: tuple[int, int] | None

    @property
    def best(self) -> float:
        """The least of all."""
        return min(self.keep, self.suspend, float(self.starts.min()))

    @property
    def choice(self) -> tuple[int, int]:
        """Region and worker count of the best use, `IDLE` for holding nothing; ties go to running on, then to starting."""
        if self.running is not None and self.keep <= self.best:
            return self.running
        if self.starts.min() <= self.best + _TIE * abs(self.best):
            region, level = np.unravel_index(np.argmin(self.starts), self.starts.shape)
            return int(region), int(level)
        return IDLE, IDLE


class Programme:
    """The least costs to go of every state of one problem: solved once, then asked about any state.

    Args:
        problem: Costs.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem, self.by_moves = problem, list[Values]()
        self._asked: tuple[Initial, int, Alternatives] | None = None
        for _ in range((problem.max_moves or 0) + 1):
            self.by_moves.append(Values(problem, self.by_moves[-1] if self.by_moves else None))

    def alternatives(self, initial: Initial, left: int | None = None) -> Alternatives:
        """The first slot's alternatives.

        Args:
            initial: Where the workload stands.
            left: Quanta still to do; all of the problem's by default, and in any case before the first start.
        """
        left = self.problem.quanta if left is None else left
        if self._asked is None or self._asked[0] is not initial or self._asked[1] != left:
            self._asked = initial, left, self._alternatives(initial, left)
        return self._asked[2]

    def _alternatives(self, initial: Initial, left: int) -> Alternatives:
        problem, values = self.problem, self.by_moves[-1]
        starts = self.starts(0, left, len(self.by_moves) - 1, initial.origin, initial.is_started)
        idle = problem.waiting + float(values.idle[1, initial.origin, left] if initial.is_started else values.fresh[1, initial.origin])
        if not initial.is_running:
            return Alternatives(keep=idle, suspend=idle, starts=starts, running=None)
        first_work, region = initial.starting_slots, initial.region
        usable = first_work < len(problem.run) and problem.allowed[: first_work + 1, region].all()
        running = self._bound(first_work, initial, left) if usable else np.inf
        if initial.bound_slots > 1 and np.isfinite(running):  # else nothing is left but to break off
            starts, idle = np.full_like(starts, np.inf), np.inf
        starts = starts + initial.pause
        if initial.is_started:
            starts[region] += problem.rescale * problem.unit[0, region]
        starts[region, initial.level] = np.inf
        return Alternatives(
            keep=running + initial.starting + first_work * problem.waiting,
            suspend=initial.pause + idle,
            starts=starts,
            running=(region, initial.level),
        )

    def _bound(self, slot: int, initial: Initial, left: int) -> float:
        """Cost to go of running on from `slot`, bound to as many slots as the segment still has to work."""
        problem, region, level = self.problem, initial.region, initial.level
        total, done = 0.0, int(problem.speed[level])
        for _ in range(initial.bound_slots - 1):
            if left <= done or slot + 1 >= len(problem.run):
                break
            total += float(problem.run[slot, region, level]) + problem.waiting
            slot, left = slot + 1, left - done
        return total + float(self.by_moves[-1].work[slot, region, level, left])

    def solution(self, initial: Initial, *, keep: bool = False) -> Solution:
        """The optimum from `initial`; see `solve`."""
        first = self.alternatives(initial)
        if keep and np.isfinite(first.keep):
            first = replace(first, suspend=np.inf, starts=np.full_like(first.starts, np.inf))
        return self.solution_with(initial, first, first.choice)

    def solution_with(self, initial: Initial, first: Alternatives, choice: tuple[int, int]) -> Solution:
        """The best plan that begins with `choice`; without a path where the alternatives are all impossible."""
        none = np.zeros(0, dtype=np.int64)
        path, levels, working = self.follow(initial, choice) if np.isfinite(first.best) else (none, none, none)
        return Solution(
            cost=first.best,
            keep_cost=first.keep,
            start_costs=tuple(map(float, first.starts.min(axis=1))),
            path=tuple(path.tolist()),
            working=tuple(map(bool, working.tolist())),
            levels=tuple(levels.tolist()),
        )

    def follow(self, initial: Initial, choice: tuple[int, int], left: int | None = None) -> tuple[Indices, Indices, Flags]:
        """The least-cost path that begins with `choice`, one of the alternatives with a finite cost.

        Returns:
            Region, worker count's index (`IDLE` where nothing is held) and whether there is progress, by slot.
        """
        problem, one = self.problem, len(self.by_moves) == 1
        stacked = [
            getattr(self.by_moves[0], name)[None] if one else np.stack([getattr(values, name) for values in self.by_moves])
            for name in ("work", "begun", "ran", "idle", "fresh")
        ]
        path, levels, working = follow(
            *stacked,
            *(plain(array) for array in (problem.hold, problem.unit, problem.move, problem.send, problem.fee)),
            float(problem.restore),
            float(problem.rescale),
            problem.speed,
            float(problem.waiting),
            problem.startup_slots,
            problem.shortest_slots,
            problem.quanta if left is None else left,
            problem.max_moves is not None,
            initial.region,
            initial.level,
            initial.origin,
            initial.is_running,
            initial.is_started,
            initial.starting_slots,
            initial.bound_slots,
            *choice,
            plain(problem.away[0]),
            problem.away[1],
        )
        return path, levels, working

    def getting_there(self, slot: int, origin: int, is_started: bool) -> FloatArray:
        """Cost of a start at `slot` from a checkpoint, or a home, in `origin` by region, without the nodes' own, shape (R,)."""
        problem = self.problem
        hours = problem.move[origin] + (problem.restore if is_started else 0.0)
        cost: FloatArray = hours * problem.unit[slot] + problem.send[origin] * problem.unit[slot, origin] + problem.fee[origin]
        return cost

    def starts(self, slot: int, left: int, moves: int, origin: int, is_started: bool) -> FloatArray:
        """Cost to go of each start at `slot`, shape (R, N)."""
        costs = self.getting_there(slot, origin, is_started)[:, None]
        here = self.by_moves[moves].opened(slot, left)
        if self.problem.max_moves is None or not is_started:  # the first start is no move
            away = self.by_moves[moves].arrived(slot, left)
        else:
            away = self.by_moves[moves - 1].arrived(slot, left) if moves else np.full_like(here, np.inf)
        away[origin] = here[origin]
        return costs + away


def solve(problem: Problem, initial: Initial, *, keep: bool = False) -> Solution:
    """The exact optimum from `initial`; ties go to running on, then to the earliest start, then the lowest region.

    Args:
        problem: Costs.
        initial: Where the workload stands.
        keep: Take the best plan among those that keep the first slot as it is, if there is one.
    """
    return Programme(problem).solution(initial, keep=keep)
