"""From values to a path: the walk forward in time, compiled."""

from __future__ import annotations

import numba
import numpy as np

_IDLE = -1
_TIE = 1e-9


@numba.njit(cache=True, nogil=True)
def follow(  # type: ignore[no-untyped-def]
    work, begun, ran, idle, fresh, hold, unit, move, send, fee, restore, rescale, speed, waiting, startup, shortest, quanta, is_limited,
    region, level, origin, is_running, is_started, starting, bound_slots, choice_region, choice_level, hold_away, startup_away,
):  # fmt: skip
    """The least-cost path from a state, given its choice for slot 0.

    Args:
        work, begun, ran, idle, fresh: Values of `recursion.backward`, with a first axis for the number of moves left.
        hold, unit, move, send, fee, restore, rescale, speed, waiting, startup, shortest, quanta: As there; `quanta` are those still to do.
        is_limited: Whether moves are counted.
        region, level, origin, is_running, is_started, starting, bound_slots: The state; see `programme.Initial`.
        choice_region, choice_level: What slot 0 is used for, -1 for holding nothing.
        hold_away, startup_away: As `hold` and `startup` for starts that wait for their checkpoint from another region; see there.

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
                slot, bound = starting, bound_slots
        elif is_running:
            keeps = bound > 0 or work[moves, slot, region, level, left] <= ran[moves, slot, region, level, left]
        if not is_first and not keeps:
            here, there, least = _IDLE, _IDLE, np.inf
            if slot < slots:
                for r in range(regions):
                    waits = startup if r == origin else startup_away[r]
                    first_work = slot + waits
                    if first_work >= slots:
                        continue
                    away = is_started and is_limited and r != origin
                    if away and moves == 0:
                        continue
                    getting = (move[origin, r] + (restore if is_started else 0.0)) * unit[slot, r]
                    getting += send[origin, r] * unit[slot, origin] + fee[origin, r]
                    for n in range(levels):
                        if is_running and r == region and n == level:
                            continue  # to stop and start again as it was is no plan that can be followed
                        cost = getting + (hold[slot, r, n] if r == origin else hold_away[slot, r, n]) + waits * waiting
                        if is_running and r == region:
                            cost += rescale * unit[slot, r]
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
            waits = startup if here == origin else startup_away[here]
            path[slot : slot + waits], counts[slot : slot + waits] = here, there
            region, level, is_running, bound, slot = here, there, True, shortest, slot + waits
    return path[:slot], counts[:slot], working[:slot]
