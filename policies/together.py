"""Re-planning of many workloads that share nothing but the forecast, in a few compiled calls for all of them.

Each is decided upon as `Replan.decide` does it for one: the programme of the fleet's kernel is the same for a rigid workload without
limits of its own. Who has such limits, or cannot meet its deadline, is left to `decide` itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numba
import numpy as np

from carbon_ray.core.decision import Decision
from carbon_ray.core.intensity import FloatArray
from carbon_ray.core.plan import Plan, RunnerUp
from carbon_ray.core.units import S_PER_H
from carbon_ray.core.workload import Progress, Workload
from carbon_ray.policies import reasons, second_best
from carbon_ray.policies.backfire import PERSISTENCE_PER_H, chance_of_backfire, run_now_hours
from carbon_ray.policies.base import Member, Surroundings, placement_of
from carbon_ray.policies.costs import Costs
from carbon_ray.policies.counterfactual import NEGLIGIBLE, counted_gco2, elapsed_s
from carbon_ray.policies.drawing import walk
from carbon_ray.policies.fleet.batch import Batch
from carbon_ray.policies.fleet.kernel import IDLE, NOBODY_LOOKED, IntArray, solve_member
from carbon_ray.policies.plans import plan_of, target_of
from carbon_ray.policies.programme import Solution

_OWN = 7
"""Numbers of a member beside the batch's columns: see `_own`."""
_JUDGED = 6
"""Numbers of a course: emissions, energy, money, hours until the end, suspends, moves."""


def is_plain(workload: Workload, progress: Progress) -> bool:
    """True if nothing is asked for that the kernel does not know."""
    return (
        not workload.is_elastic
        and workload.overheads.transfers is None
        and workload.max_moves is None
        and not workload.min_segment_s
        and workload.carbon_budget_gco2 is None
        and workload.cost_budget_usd is None
        and progress.longest_h(workload) == progress.remaining_h
        and progress.workers in (None, workload.workers)
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Solved:
    """Optima of all members, one row each.

    Attributes:
        paths, working, lengths: Site and whether there is progress by slot; slots of the path, 0 where there is none.
        costs, keeps: Least cost, and that of keeping the first slot as it is, USD.
        firsts: What the uses of the first slot cost: holding nothing, then each site.
        judged: What the path comes to; see `_JUDGED`.
        chances: Of ending above run-now.
        through: As `judged`, of running through from now on where it is; slots of that course, 0 where it cannot be.
        through_slots: Slots of that course, 0 where it cannot be done in time.
    """

    paths: IntArray
    working: IntArray
    lengths: IntArray
    costs: FloatArray
    keeps: FloatArray
    firsts: FloatArray
    judged: FloatArray
    chances: FloatArray
    through: FloatArray
    through_slots: IntArray


def plain_answers(
    members: Sequence[Member],
    around: Surroundings,
    *,
    now: datetime,
    slot_s: float,
    hysteresis_fraction: float,
    hysteresis_usd: float,
    guarded: Callable[[Costs, Solution], Solution],
) -> list[tuple[Plan, Decision] | None]:
    """Plans and decisions of plain members, each as if it were alone; None for who cannot meet its deadline.

    Args:
        members: Plain ones.
        around: The world as all of them see it.
        now: Aware UTC.
        slot_s: Length of a slot, seconds.
        hysteresis_fraction, hysteresis_usd: As `Replan`.
        guarded: The plan, or another course where the plan is too likely to end above run-now; asked for those where that may be.

    Raises:
        As `PlacementPolicy.decide`.
    """
    batch = Batch.of(members, around.regions, around.snapshot, now=now, slot_s=slot_s, blocked_until=around.blocked_until)
    solved = _solve(batch, np.array([hysteresis_fraction, hysteresis_usd]))
    version = around.snapshot.version
    return [_answer(batch, index, solved, version, guarded) if solved.lengths[index] else None for index in range(len(members))]


def _own(batch: Batch) -> FloatArray:
    """Of each member: running hours left, hours since submission, of the whole work, g emitted and by run-now, its home, egress.

    Emissions are NaN where the guard has nothing to go by.
    """
    rows = []
    for member, shape in zip(batch.members, batch.shapes, strict=True):
        workload, progress = member.workload, member.progress
        home, counted = shape.index.get(workload.home_region), counted_gco2(workload, progress, batch.now)
        if home is None or counted is None:
            home, counted = 0, (math.nan, math.nan)
        emitted_gco2, run_now_gco2 = counted
        elapsed_h = elapsed_s(workload, batch.now) / S_PER_H
        egress_usd = workload.overheads.egress_usd
        rows.append((progress.remaining_h, elapsed_h, workload.work_h, emitted_gco2, run_now_gco2, home, egress_usd))
    return np.array(rows, dtype=np.float64).reshape(len(rows), _OWN)


def _solve(batch: Batch, hysteresis: FloatArray) -> _Solved:
    count, slots = len(batch.members), len(batch.capacity)
    here = [shape.index.get(member.progress.region, 0) for member, shape in zip(batch.members, batch.shapes, strict=True)]
    solved = _Solved(
        paths=np.full((count, slots), IDLE, dtype=np.int64),
        working=np.zeros((count, slots), dtype=np.int64),
        lengths=np.zeros(count, dtype=np.int64),
        costs=np.empty(count),
        keeps=np.empty(count),
        firsts=np.full((count, len(batch.scratch.first)), np.inf),
        judged=np.zeros((count, _JUDGED)),
        chances=np.zeros(count),
        through=np.zeros((count, _JUDGED)),
        through_slots=np.zeros(count, dtype=np.int64),
    )
    _solve_all(
        *(batch.columns, batch.intensity_gco2_per_kwh, batch.spread_gco2_per_kwh, batch.allowed, batch.capacity, batch.slot_h),
        *(hysteresis, batch.scratch, _own(batch), np.array(here, dtype=np.int64), PERSISTENCE_PER_H**batch.slot_h),
        *(solved.paths, solved.working, solved.lengths, solved.costs, solved.keeps, solved.firsts),
        *(solved.judged, solved.chances, solved.through, solved.through_slots),
    )
    return solved


@numba.njit(cache=True, nogil=True)
def _solve_all(  # type: ignore[no-untyped-def]
    columns, intensity, spread, allowed, capacity, slot_h, hysteresis, scratch, own, here, persistence,
    paths, working, lengths, costs, keeps, firsts, judged, chances, through, through_slots,
):  # fmt: skip
    """Fill the rows of `_Solved`; the first arguments are as `kernel.solve_member` has them, `own` and `here` a row a member."""
    prices = np.zeros_like(capacity)
    for i in range(len(columns.slots)):
        path, works = paths[i], working[i]
        costs[i], keeps[i], length = solve_member(
            columns, i, intensity, allowed, prices, capacity, slot_h, hysteresis, scratch, path, works
        )
        lengths[i] = length
        if length == 0:
            continue
        wide = columns.site_count[i] + 1
        firsts[i, :wide] = scratch.first[:wide]
        chances[i] = _judge(columns, i, path[:length], works[:length] == 1, intensity, spread, slot_h, own[i], persistence, judged[i])
        goes_on = columns.is_running[i] == 1 and columns.region[i] == here[i]
        waits = columns.starting_slots[i] if goes_on else columns.startup_slots[i]
        straight = waits + columns.quanta[i]
        if straight <= columns.slots[i]:
            through_slots[i] = straight
            course = np.full(straight, here[i])
            _judge(columns, i, course, np.arange(straight) >= waits, intensity, spread, slot_h, own[i], persistence, through[i])


@numba.njit(cache=True, nogil=True)
def _weights_h(span_h, slots, slot_h):  # type: ignore[no-untyped-def]
    """Hours of a start-up that fall in each of its slots."""
    weights = np.empty(slots)
    for j in range(slots):
        weights[j] = min(max(span_h - j * slot_h, 0.0), slot_h)
    return weights


@numba.njit(cache=True, nogil=True)
def _judge(columns, i, path, works, intensity, spread, slot_h, own, persistence, out):  # type: ignore[no-untyped-def]
    """Fill what a course comes to, and return the chance that it ends above run-now; 0 where that is not known."""
    first, sites, slots = columns.first_site[i], columns.site_count[i], columns.slots[i]
    here, error = np.empty((slots, sites)), np.empty((slots, sites))
    for t in range(slots):
        for r in range(sites):
            here[t, r], error[t, r] = intensity[t, columns.site_region[first + r]], spread[t, columns.site_region[first + r]]
    region, origin, is_running = columns.region[i], columns.origin[i], columns.is_running[i] == 1
    size = max(sites, origin + 1)
    move = np.full((size, size), columns.migrate_h[i])
    for q in range(size):
        move[q, q] = 0.0
    running_kw, idle_kw = columns.site_running_kw[first : first + sites], columns.site_idle_kw[first : first + sites]
    usd_per_h = columns.site_usd_per_h[first : first + sites]
    starting_h = _weights_h(columns.startup_h[i], columns.startup_slots[i], slot_h)
    away_h = np.empty((sites, len(starting_h)))
    away_h[:] = starting_h
    energy, pending_h, usd, finish_h, suspends, _, starts = walk(
        path, np.zeros(len(path), np.int64), works, slots, (region, 0, origin), is_running, columns.is_started[i] == 1,
        (columns.checkpoint_h[i], columns.restore_h[i], 0.0), move, np.zeros((size, size)), slot_h, own[0], np.ones(1), running_kw,
        running_kw.reshape((sites, 1)), idle_kw.reshape((sites, 1)), usd_per_h.reshape((sites, 1)),
        _weights_h(columns.starting_h[i], columns.starting_slots[i], slot_h), starting_h, away_h,
    )  # fmt: skip
    pending_kwh = pending_gco2 = 0.0
    if pending_h > 0:
        last = columns.last_gco2_per_kwh[i]
        pending_kwh = pending_h * running_kw[region]
        pending_gco2 = pending_kwh * (here[0, region] if last == NOBODY_LOOKED else last)
    moves = 0
    for s in range(len(starts)):
        if starts[s, 0] != starts[s, 1]:
            usd += own[6]
            moves += starts[s, 2]
    out[0], out[1] = pending_gco2, pending_kwh
    for t in range(slots):
        for r in range(sites):
            out[0] += energy[t, r] * here[t, r]
            out[1] += energy[t, r]
    out[2], out[3], out[4], out[5] = usd, finish_h, suspends, moves
    if np.isnan(own[3]):
        return 0.0
    run_now, home, startup_h = np.zeros((slots, sites)), int(own[5]), columns.startup_h[i]
    to_go = held_h = 0.0
    for t in range(slots):
        idle_h, done_h = run_now_hours(own[1], t, slot_h, startup_h, own[2])
        run_now[t, home] = done_h * running_kw[home] + idle_h * idle_kw[home]
        to_go += run_now[t, home] * here[t, home]
        held_h += idle_h + done_h
    g_per_usd, delay = 1000.0 / columns.usd_per_kgco2[i], columns.waiting[i] / slot_h
    other = g_per_usd * (columns.usd_weight[i] * (usd - held_h * usd_per_h[home]) + delay * (finish_h - held_h))
    ahead = own[4] - own[3] - pending_gco2 - other
    return chance_of_backfire(energy, run_now, here, error, ahead, own[4] + to_go, persistence)


def _answer(
    batch: Batch, index: int, solved: _Solved, version: int, guarded: Callable[[Costs, Solution], Solution]
) -> tuple[Plan, Decision]:
    """Words and values of one member's optimum."""
    costs, member, length = batch.costs(index), batch.members[index], int(solved.lengths[index])
    path = tuple(solved.paths[index, :length].tolist())
    best = Solution(
        cost=float(solved.costs[index]),
        keep_cost=float(solved.keeps[index]),
        start_costs=(),
        path=path,
        working=tuple(map(bool, solved.working[index, :length].tolist())),
        levels=tuple(IDLE if where == IDLE else 0 for where in path),
    )
    _know(costs, best, solved.judged[index])
    if (straight := _through(costs.here, solved, index)) is not None:
        _know(costs, straight, solved.through[index])
    solution = guarded(costs, best) if solved.chances[index] > NEGLIGIBLE else best
    target, runner_up = target_of(costs, solution), None
    if solution is best:
        runner_up = _runner_up(costs, best, solved.firsts[index])
    reason = reasons.of(costs, solution, target, is_forced=False, is_guarded=solution is not best) + second_best.in_words(runner_up)
    decision = Decision(
        workload_id=member.workload.workload_id,
        at=batch.now,
        current=placement_of(member.workload, member.progress),
        target=target,
        reason=reason,
        gain_usd=best.keep_cost - best.cost,
        is_forced=not math.isfinite(best.keep_cost),
    )
    return plan_of(costs, solution, reason, version, runner_up), decision


def _know(costs: Costs, course: Solution, judged: FloatArray) -> None:
    """Tell the costs what a course comes to."""
    gco2, energy_kwh, usd, finish_h, suspends, moves = judged.tolist()
    costs.worked_out[course.path, course.working, course.levels] = costs.as_expected(
        gco2=gco2, energy_kwh=energy_kwh, usd=usd, finish_h=finish_h, suspends=int(suspends), moves=int(moves), rescales=0
    )


def _runner_up(costs: Costs, best: Solution, firsts: FloatArray) -> RunnerUp | None:
    """The best plan that uses the first slot otherwise."""
    own = best.path[0] + 1
    others = firsts.copy()
    others[own] = math.inf
    other = int(np.argmin(others))
    if not math.isfinite(others[other]):
        return None
    action = (IDLE, IDLE) if other == 0 else (other - 1, 0)
    objective_usd = costs.expected_of(best.path, best.working, best.levels).objective_usd
    return second_best.runner_up(costs, action, float(others[other] - firsts[own]), objective_usd)


def _through(here: int, solved: _Solved, index: int) -> Solution | None:
    """Running through from now on where it is, as `plans.run_through_in` has it."""
    slots = int(solved.through_slots[index])
    if not slots:
        return None
    waits = slots - int(solved.working[index].sum())
    return Solution(
        cost=math.inf,
        keep_cost=math.inf,
        start_costs=(),
        path=(here,) * slots,
        working=(False,) * waits + (True,) * (slots - waits),
        levels=(0,) * slots,
    )
