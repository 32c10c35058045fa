"""The backward recursion of the dynamic programme, compiled: costs in, least costs to go out. No objects, no choices.

`programme` states the problem and reads the answer; this file only has to be fast. Arrays end in the axis of work still to
do, over which the inner loops run, so that the compiler can use vector instructions.
"""

from __future__ import annotations

import numba
import numpy as np

_FAST = {"nnan", "nsz", "contract"}
"""Costs may be infinite but are never NaN: with that promise minima become vector instructions."""


@numba.njit(cache=True, fastmath=_FAST, nogil=True)
def backward(  # type: ignore[no-untyped-def]
    run, hold, pause, unit, move, send, fee, restore, rescale, speed, waiting, startup, shortest, quanta, landing, is_limited,
    hold_away, startup_away, is_slower, is_separable,
):  # fmt: skip
    """Least costs to go from the start of every slot.

    Args:
        run: Cost of running through a slot, shape (T, R, N); inf where it is not allowed.
        hold: Cost of the start-up that begins in a slot, shape (T, R, N); inf where it does not fit or is not allowed.
        pause: Cost of the checkpoint of who ran in a slot and stops after it, shape (T, R).
        unit: Cost of one running hour's energy in a slot, shape (T, R).
        move: Running hours that a start in another region takes at its end, shape (R, R), zero on the diagonal.
        send: ... and at the region it leaves.
        fee: ... and in money.
        restore: Running hours of a resume.
        rescale: Running hours that a change of worker count takes beside stop and resume.
        speed: Quanta done in a slot, shape (N,), ascending.
        waiting: Cost of every slot until the work is done.
        startup: Slots of a start-up.
        shortest: Least number of slots that a started segment works, >= 1.
        quanta: Work to do.
        landing: Values of a start after a change of region with one move less, shape (T, R, quanta + 1); read if `is_limited`.
        is_limited: Whether moves are counted.
        hold_away: As `hold`, for a start that waits for its checkpoint from another region; read if `is_slower`.
        startup_away: Slots of such a start-up, shape (R,).
        is_slower: Whether such starts differ from others.
        is_separable: Whether `move` depends only on where it goes to, `send` and `fee` only on where it comes from: the best start
            elsewhere is then found once for all regions that it may come from, and a slot costs O(regions), not O(regions squared).

    Returns:
        work (T + 1, R, N, K): run through this slot; begun (T + 1, R, N, K): the same, bound to the shortest segment;
        ran (T + 1, R, N, K): free to choose, having run in the slot before; idle (T + 1, R, K): free to choose, suspended;
        fresh (T + 1, R): never started, that region being home; land (T, R, K): start now there, coming from another region, at the
        best worker count.
    """
    slots, regions, levels = run.shape
    size = quanta + 1
    work = np.full((slots + 1, regions, levels, size), np.inf)
    begun = np.full((slots + 1, regions, levels, size), np.inf) if shortest > 1 else work
    ran = np.full((slots + 1, regions, levels, size), np.inf)
    idle = np.full((slots + 1, regions, size), np.inf)
    fresh = np.full((slots + 1, regions), np.inf)
    land = np.full((slots, regions, size), np.inf)
    away = np.full((slots, regions, size), np.inf) if is_slower else land
    bound = np.full((2, shortest, regions, levels, size), np.inf)  # bound[slot % 2, j]: j more slots are to follow
    ran[:, :, :, 0] = 0.0
    idle[:, :, 0] = 0.0
    elsewhere = np.empty(size)
    other = np.empty(size)
    nearest, second, whence = np.empty(size), np.empty(size), np.empty(size, np.int64)
    arriving, leaving, fare = np.zeros(regions), np.zeros(regions), np.zeros(regions)
    for r in range(regions):
        other_region = (r + 1) % regions
        arriving[r], leaving[r], fare[r] = move[other_region, r], send[r, other_region], fee[r, other_region]
    opened = np.empty((regions, levels, size))
    for t in range(slots - 1, -1, -1):
        for r in range(regions):
            for n in range(levels):
                done, cost = speed[n], run[t, r, n]
                last = min(done, quanta)
                for j in range(shortest):
                    out = bound[t % 2, j, r, n]
                    for k in range(1, last + 1):
                        out[k] = (cost + waiting) * k / done
                    after = ran[t + 1, r, n] if j == 0 else bound[(t + 1) % 2, j - 1, r, n]
                    for k in range(last + 1, size):
                        out[k] = cost + waiting + after[k - done]
                work[t, r, n] = bound[t % 2, 0, r, n]
                if shortest > 1:
                    begun[t, r, n] = bound[t % 2, shortest - 1, r, n]
        for r in range(regions):
            for k in range(size):
                land[t, r, k] = np.inf
            for n in range(levels):
                opening = hold[t, r, n] + startup * waiting
                if t + startup < slots and opening < np.inf:
                    source = begun[t + startup, r, n]
                    for k in range(size):
                        opened[r, n, k] = opening + source[k]
                        land[t, r, k] = min(land[t, r, k], opened[r, n, k])
                else:
                    for k in range(size):
                        opened[r, n, k] = np.inf
                if is_slower:
                    first_work = t + startup_away[r]
                    opening = hold_away[t, r, n] + startup_away[r] * waiting
                    if first_work < slots and opening < np.inf:
                        for k in range(size):
                            away[t, r, k] = min(away[t, r, k], opening + begun[first_work, r, n, k])
        if is_separable:
            for k in range(size):
                nearest[k] = np.inf
                second[k] = np.inf
                whence[k] = -1
            for r in range(regions):
                start = (restore + arriving[r]) * unit[t, r]
                target = landing[t, r] if is_limited else away[t, r]
                for k in range(1, size):
                    cost = start + target[k]
                    if cost < nearest[k]:
                        second[k] = nearest[k]
                        nearest[k] = cost
                        whence[k] = r
                    elif cost < second[k]:
                        second[k] = cost
        for q in range(regions):
            for k in range(size):
                elsewhere[k] = waiting + idle[t + 1, q, k]
            if is_separable:
                away_from = leaving[q] * unit[t, q] + fare[q]
                for k in range(1, size):
                    cost = away_from + (second[k] if whence[k] == q else nearest[k])
                    elsewhere[k] = cost if cost < elsewhere[k] else elsewhere[k]
            else:
                for r in range(regions):
                    if r != q:
                        start = (restore + move[q, r]) * unit[t, r] + send[q, r] * unit[t, q] + fee[q, r]
                        target = landing[t, r] if is_limited else away[t, r]
                        for k in range(1, size):
                            cost = start + target[k]
                            elsewhere[k] = cost if cost < elsewhere[k] else elsewhere[k]
            again = restore * unit[t, q]
            for k in range(1, size):
                idle[t, q, k] = min(elsewhere[k], again + land[t, q, k])
            stop = pause[t - 1, q] if t > 0 else 0.0
            for n in range(levels):
                for k in range(size):
                    other[k] = elsewhere[k]
                afresh = again + rescale * unit[t, q]
                for m in range(levels):
                    if m != n:  # another worker count is another segment
                        for k in range(1, size):
                            other[k] = min(other[k], afresh + opened[q, m, k])
                for k in range(1, size):
                    ran[t, q, n, k] = min(work[t, q, n, k], stop + other[k])
            first = waiting + fresh[t + 1, q]
            for r in range(regions):
                if r == q:
                    first = min(first, land[t, r, quanta])
                else:
                    start = move[q, r] * unit[t, r] + send[q, r] * unit[t, q] + fee[q, r]
                    first = min(first, start + away[t, r, quanta])
            fresh[t, q] = first
    return work, begun, ran, idle, fresh, away
