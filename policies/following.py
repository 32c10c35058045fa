"""From values to a path, and from a path to what it draws: the two walks forward in time, compiled."""

from __future__ import annotations

import numba
import numpy as np

_IDLE = -1
_TIE = 1e-9


@numba.njit(cache=True, nogil=True)
def follow(  # type: ignore[no-untyped-def]
    work, begun, ran, idle, fresh, hold, unit, move, send, fee, restore, speed, waiting, startup, shortest, quanta, is_limited,
    region, level, origin, is_running, is_started, starting, choice_region, choice_level,
):  # fmt: skip
    """The least-cost path from a state, given its choice for slot 0.

    Args:
        work, begun, ran, idle, fresh: Values of `recursion.backward`, with a first axis for the number of moves left.
        hold, unit, move, send, fee, restore, speed, waiting, startup, shortest, quanta: As there; `quanta` are those still to do.
        is_limited: Whether moves are counted.
        region, level, origin, is_running, is_started, starting: The state; see `programme.Initial`.
        choice_region, choice_level: What slot 0 is used for, -1 for holding nothing.

    Returns:
        Region, worker count's index and whether there is progress, by slot, up to the slot that ends the work.
    """
    moves = len(work) - 1
    slots, regions, levels = hold.shape
    path = np.full(slots, _IDLE, np.int64)
    counts = np.full(slots, _IDLE, np.int64)
    working = np.zeros(slots, np.bool_)
    left, slot, bound, is_first = quanta, 0, 0, True
    while left > 0:
        here, there = choice_region, choice_level
        keeps = False
        if is_first:
            keeps = is_running and here == region and there == level
            if keeps:
                path[:starting], counts[:starting] = region, level
                slot, bound = starting, 1
        elif is_running:
            keeps = bound > 0 or work[moves, slot, region, level, left] <= ran[moves, slot, region, level, left]
        if not is_first and not keeps:
            here, there, least = _IDLE, _IDLE, np.inf
            first_work = slot + startup
            if first_work < slots:
                for r in range(regions):
                    away = is_started and is_limited and r != origin
                    if away and moves == 0:
                        continue
                    getting = (move[origin, r] + (restore if is_started else 0.0)) * unit[slot, r]
                    getting += send[origin, r] * unit[slot, origin] + fee[origin, r]
                    for n in range(levels):
                        if is_running and r == region and n == level:
                            continue  # to stop and start again as it was is no plan that can be followed
                        cost = getting + hold[slot, r, n] + startup * waiting
                        cost += begun[moves - 1 if away else moves, first_work, r, n, left]
                        if cost < least:
                            here, there, least = r, n, cost
            wait = waiting + (idle[moves, slot + 1, origin, left] if is_started else fresh[moves, slot + 1, origin])
            if not least <= wait + _TIE * abs(wait):
                here, there = _IDLE, _IDLE
        is_first = False
        if keeps:
            path[slot], counts[slot], working[slot] = region, level, True
            left, bound, slot = left - speed[level], max(0, bound - 1), slot + 1
            origin, is_started = region, True
        elif here == _IDLE:
            is_running, slot = False, slot + 1
        else:
            if is_limited and is_started and here != origin:
                moves -= 1
            path[slot : slot + startup], counts[slot : slot + startup] = here, there
            region, level, is_running, bound, slot = here, there, True, shortest, slot + startup
    return path[:slot], counts[:slot], working[:slot]


@numba.njit(cache=True, nogil=True)
def draw(  # type: ignore[no-untyped-def]
    path, working, slots, regions, region, origin, is_running, is_started,
    checkpoint, restore, move, send, slot_h, unused_h, begun_h, new_h,
):  # fmt: skip
    """Hours that a path draws power for.

    Args:
        path, working: Region per slot, and whether there is progress.
        slots, regions: Size of what is returned.
        region, origin, is_running, is_started: The state at the start; see `programme.Initial`.
        checkpoint, restore: Running hours of a checkpoint and of a resume.
        move, send: Running hours of a change of region at its end and at the region it leaves, shape (R, R).
        slot_h: Length of a slot.
        unused_h: Part of the last slot that the work does not need.
        begun_h: Hours without progress in each slot of the start-up that is under way.
        new_h: ... and of any other one.

    Returns:
        Running hours and idle hours, each (slots, regions), by where and when they are drawn; running hours of a checkpoint that is
        written in `region` at once, which the slot before the first one is to be charged with; number of suspends; starts as
        (from, to, whether a resume), shape (starts, 3).
    """
    running, idling = np.zeros((slots, regions)), np.zeros((slots, regions))
    starts = np.zeros((len(path), 3), np.int64)
    suspends, count, since, at, is_begun, pending = 0, 0, 0, region, is_running, 0.0
    for slot in range(len(path)):
        where = path[slot]
        if is_running and where != at:
            if slot:
                running[slot - 1, at] += checkpoint
            else:
                pending = checkpoint
            suspends += where == _IDLE
            is_running = False
        if where == _IDLE:
            continue
        if not is_running:
            running[slot, where] += (restore if is_started else 0.0) + move[origin, where]
            running[slot, origin] += send[origin, where]
            starts[count, 0], starts[count, 1], starts[count, 2] = origin, where, is_started
            count, at, since, is_running, is_begun = count + 1, where, slot, True, False
        if working[slot]:
            running[slot, where] += slot_h - (unused_h if slot == len(path) - 1 else 0.0)
            origin, is_started = at, True
        else:
            span = begun_h if is_begun else new_h
            idling[slot, where] += span[slot - since]
    return running, idling, pending, suspends, starts[:count]
