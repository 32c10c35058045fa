"""What the exact programme is held against, written the plain way: a forward recursion, and a walk that prices a given plan.

Neither shares code with `carbon_ray.policies.programme`, nor its direction of time. Slow and simple on purpose.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.instances import Moving
from carbon_ray.core.intensity import FloatArray
from carbon_ray.policies.programme import IDLE, Problem


def least_cost(gco2_per_kwh: FloatArray, quanta: int, home: int, moving: Moving) -> float:
    """Least emissions of a rigid workload of 1 kW, g; inf if it cannot be done.

    Forward in time over (slots of work done, region of the checkpoint, running or not), one pair of regions after another.

    Args:
        gco2_per_kwh: Shape (T, R).
        quanta: Slots of work.
        home: Region of the first start that costs nothing.
        moving: Costs of pauses and moves.
    """
    slots, regions = gco2_per_kwh.shape
    move_h = np.broadcast_to(moving.move_h, (regions, regions))
    restore_h = np.where(np.arange(quanta + 1) > 0, moving.restore_h, 0.0)
    stopped = np.full((regions, quanta + 1), np.inf)
    running = np.full((regions, quanta + 1), np.inf)
    stopped[home, 0] = 0.0
    best = np.inf
    for slot in range(slots):
        now = gco2_per_kwh[slot]
        if slot:
            for region in range(regions):
                stopped[region] = np.minimum(stopped[region], running[region] + moving.write_h * gco2_per_kwh[slot - 1, region])
        begun = running.copy()
        for origin in range(regions):
            for region in range(regions):
                hours = restore_h + (move_h[origin, region] if origin != region else 0.0)
                begun[region] = np.minimum(begun[region], stopped[origin] + hours * now[region])
        running[:, 0] = np.inf
        running[:, 1:] = begun[:, :-1] + now[:, None]
        best = min(best, float(running[:, quanta].min()))
    return best


def cost_of_plan(problem: Problem, home: int, path: Sequence[int], levels: Sequence[int]) -> float:
    """What a plan costs, slot by slot; inf where it does something that is not allowed or leaves work undone.

    Neighbouring slots in one region at one worker count are one segment, whose first `startup_slots` make no progress; or
    `startup_slots_away` where the checkpoint comes from another region.

    Args:
        problem: Costs.
        home: Where the workload is before its first start.
        path: Region by slot, `IDLE` for none; slots after the end of the work must not be there.
        levels: Index of the worker count by slot, `IDLE` for none.
    """
    total, left, at, moves = 0.0, problem.quanta, home, 0
    current = (IDLE, IDLE)
    starting = worked = 0
    is_started = False
    for slot, wanted in enumerate(zip(path, levels, strict=True)):
        if left <= 0:
            return np.inf
        if wanted != current:
            if current[0] != IDLE:
                if worked < problem.shortest_slots:
                    return np.inf
                total += float(problem.pause[slot - 1, current[0]])
            if wanted[0] != IDLE:
                region, level = wanted
                hours = float(problem.move[at, region]) + (problem.restore if is_started else 0.0)
                hours += problem.rescale if current[0] == region and worked else 0.0
                hold, waits = (problem.hold, [problem.startup_slots] * len(problem.move)) if region == at else problem.away
                total += hours * float(problem.unit[slot, region]) + float(hold[slot, region, level])
                total += float(problem.send[at, region] * problem.unit[slot, at] + problem.fee[at, region])
                moves += is_started and region != at
                starting, worked = int(waits[region]), 0
            current = wanted
        share = 1.0
        if current[0] != IDLE and starting:
            starting -= 1
        elif current[0] != IDLE:
            region, level = current
            done = int(problem.speed[level])
            share = min(1.0, left / done)
            total += share * float(problem.run[slot, region, level])
            left, worked, at, is_started = left - done, worked + 1, region, True
        total += share * problem.waiting
    is_within = problem.max_moves is None or moves <= problem.max_moves
    return total if left <= 0 and is_within else np.inf
