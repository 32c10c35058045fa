"""One workload's programme, compiled for a fleet: cost rows from shared arrays, least costs to go, and the path that they mean.

States and choices are those of `carbon_ray.policies.programme` for a rigid workload (one worker count, any number of moves, a
move that costs the same between any two regions). That makes the best start elsewhere one minimum for all regions that it may
come from: a slot costs O(regions), not O(regions squared). Arrays end in the axis of regions, which is long where the work is
short, and only the work that can be left in a slot, and can still be done, is looked at.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from carbon_ray.core.intensity import FloatArray

IntArray = NDArray[np.int64]

_FAST = {"nnan", "nsz", "contract"}
"""Costs may be infinite but are never NaN: with that promise minima become vector instructions."""

_TIE = 1e-9
"""Relative difference below which two plans cost the same, as in `programme`."""

_FITS = 1e-9
"""Nodes by which a request may exceed what is left, for rounding."""

IDLE = -1
"""Site index of a slot in which nothing is held."""
NOBODY_LOOKED = -1.0
"""`Columns.last_gco2_per_kwh` where the intensity of the slot that has just run is not known."""


class Columns(NamedTuple):
    """Numbers of all members, one array a field, and the sites that they share.

    A site is one region as a workload of certain workers sees it; member i may use `site_count[i]` of them from `first_site[i]`
    on. Sites are counted from 0 within a member; `site_count[i]` itself stands for an origin that is none of its sites.
    """

    first_site: IntArray
    site_count: IntArray
    slots: IntArray
    quanta: IntArray
    region: IntArray
    origin: IntArray
    is_running: IntArray
    is_started: IntArray
    starting_h: FloatArray
    startup_h: FloatArray
    starting_slots: IntArray
    startup_slots: IntArray
    usd_per_kgco2: FloatArray
    usd_weight: FloatArray
    waiting: FloatArray
    last_gco2_per_kwh: FloatArray
    checkpoint_h: FloatArray
    restore_h: FloatArray
    migrate_h: FloatArray
    fee: FloatArray
    weight: FloatArray
    site_region: IntArray
    site_pool: IntArray
    site_nodes: FloatArray
    site_running_kw: FloatArray
    site_idle_kw: FloatArray
    site_usd_per_h: FloatArray


class Scratch(NamedTuple):
    """Memory for the largest member, used again by each."""

    run: FloatArray
    opened: FloatArray
    unit: FloatArray
    work: FloatArray
    idle: FloatArray
    ran: FloatArray
    fresh: FloatArray
    starts: FloatArray
    first: FloatArray


def scratch_for(columns: Columns) -> Scratch:
    """Memory that is enough for every member."""
    wide = columns.site_count + 1
    rows = int((columns.slots * wide).max(initial=0))
    states = int(((columns.slots + 1) * (columns.quanta + 1) * wide).max(initial=0))
    last = int(((columns.quanta + 1) * wide).max(initial=0))
    longest, widest = int(columns.slots.max(initial=0)), int(wide.max(initial=0))
    return Scratch._make(np.empty(size) for size in (rows, rows, rows, states, states, 2 * last, longest + 1, widest, widest + 1))


@numba.njit(cache=True, fastmath=_FAST, nogil=True)
def _rows(columns, i, intensity, allowed, prices, room, slot_h, run, opened, unit):  # type: ignore[no-untyped-def]
    """Fill the cost rows of member i: running through a slot, the start-up that begins in it, an hour's energy; inf = not allowed."""
    first, sites, slots, startup = columns.first_site[i], columns.site_count[i], columns.slots[i], columns.startup_slots[i]
    carbon, money = columns.usd_per_kgco2[i] / 1000.0, columns.usd_weight[i]
    waiting, per_weight = columns.waiting[i], 1.0 / columns.weight[i]
    regions, pools = columns.site_region[first : first + sites], columns.site_pool[first : first + sites]
    nodes, usd_per_h = columns.site_nodes[first : first + sites], columns.site_usd_per_h[first : first + sites]
    running_kw, idle_kw = columns.site_running_kw[first : first + sites], columns.site_idle_kw[first : first + sites]
    for t in range(slots):
        here, power, begun = run[t], unit[t], opened[t]
        for r in range(sites):
            power[r] = carbon * intensity[t, regions[r]] * running_kw[r]
            cost = (power[r] + money * usd_per_h[r]) * slot_h + waiting + nodes[r] * prices[t, pools[r]] * per_weight
            is_open = allowed[t, regions[r]] and room[t, pools[r]] + _FITS >= nodes[r]
            here[r] = cost if is_open else np.inf
            begun[r] = 0.0
        for r in range(sites, len(here)):  # an origin in which nothing can run
            here[r] = np.inf
            begun[r] = np.inf
            power[r] = 0.0
    if startup == 0:
        return
    for t in range(slots):
        for r in range(sites):
            cost = 0.0 if t + startup < slots else np.inf
            for j in range(min(startup, slots - t)):
                held = min(max(columns.startup_h[i] - j * slot_h, 0.0), slot_h)
                power_usd = carbon * intensity[t + j, regions[r]] * idle_kw[r] + money * usd_per_h[r]
                cost += power_usd * held + waiting + nodes[r] * prices[t + j, pools[r]] * per_weight
                if run[t + j, r] == np.inf:
                    cost = np.inf
            opened[t, r] = cost


@numba.njit(cache=True, fastmath=_FAST, nogil=True)
def _backward(columns, i, run, opened, unit, work, idle, ran, fresh):  # type: ignore[no-untyped-def]
    """Least costs to go of member i: work (run through this slot), idle (suspended), fresh (never started), from every slot."""
    sites, slots, quanta, startup = run.shape[1], columns.slots[i], columns.quanta[i], columns.startup_slots[i]
    waiting, restore, home, fee = columns.waiting[i], columns.restore_h[i], columns.origin[i], columns.fee[i]
    away_h, stop_h, first_h = restore + columns.migrate_h[i], columns.checkpoint_h[i], columns.migrate_h[i]
    never_started = columns.is_started[i] == 0
    fresh[slots] = np.inf
    for k in range(quanta + 1):
        for r in range(sites):
            idle[slots, k, r] = np.inf
    for r in range(sites):
        ran[0, 0, r] = 0.0
        ran[1, 0, r] = 0.0
    for t in range(slots - 1, -1, -1):
        here, after = ran[t % 2], ran[(t + 1) % 2]
        most = min(quanta, slots - t)
        if most < quanta:  # the slot before asks for it
            for r in range(sites):
                idle[t, most + 1, r] = np.inf
        power, stopped = unit[t], unit[max(t - 1, 0)]  # what has run before slot 0 is priced by `solve_member`
        for k in range(max(1, quanta - t), most + 1):
            runs, once, paused, ahead, free = work[t, k], after[k - 1], idle[t, k], idle[t + 1, k], here[k]
            costs = run[t]
            if startup == 0:
                least = np.inf
                for r in range(sites):
                    cost = costs[r] + once[r]
                    runs[r] = cost
                    least = min(least, away_h * power[r] + cost)
                least += fee
                for r in range(sites):
                    rest = min(ahead[r] + waiting, least)
                    paused[r] = min(rest, restore * power[r] + runs[r])
                    free[r] = min(runs[r], stop_h * stopped[r] + rest)
            else:
                for r in range(sites):
                    runs[r] = costs[r] + once[r]
                begun, started = opened[t], work[min(t + startup, slots), k]
                fits = k <= slots - t - startup
                least = second = np.inf
                best = -1
                if fits:
                    for r in range(sites):
                        cost = away_h * power[r] + begun[r] + started[r]
                        if cost < least:
                            least, second, best = cost, least, r
                        elif cost < second:
                            second = cost
                least += fee
                second += fee
                for r in range(sites):
                    wait = ahead[r] + waiting
                    again = restore * power[r] + begun[r] + started[r] if fits else np.inf
                    paused[r] = min(min(wait, least), again)
                    # To stop and start again where it ran is no plan that can be followed: another region has to be the best.
                    free[r] = min(runs[r], stop_h * stopped[r] + min(wait, second if r == best else least))
        if never_started:
            value = fresh[t + 1] + waiting
            if quanta <= slots - t - startup:
                for r in range(sites):
                    moved = 0.0 if r == home else first_h * unit[t, r] + fee
                    value = min(value, moved + opened[t, r] + work[t + startup, quanta, r])
            fresh[t] = value


@numba.njit(cache=True, nogil=True)
def _starts(columns, i, t, left, origin, is_started, opened, unit, work, starts):  # type: ignore[no-untyped-def]
    """Fill the costs to go of a start at slot t in each site; return the best one, the lowest index among equals."""
    sites, slots, startup = len(starts), columns.slots[i], columns.startup_slots[i]
    restore = columns.restore_h[i] if is_started else 0.0
    best = 0
    for r in range(sites):
        if left > slots - t - startup:
            starts[r] = np.inf
        else:
            moved = 0.0 if r == origin else columns.migrate_h[i] * unit[t, r] + columns.fee[i]
            starts[r] = restore * unit[t, r] + moved + opened[t, r] + work[t + startup, left, r]
        if starts[r] < starts[best]:
            best = r
    return best


@numba.njit(cache=True, nogil=True)
def _least(starts):  # type: ignore[no-untyped-def]
    best = 0
    for r in range(1, len(starts)):
        if starts[r] < starts[best]:
            best = r
    return best


@numba.njit(cache=True, nogil=True)
def solve_member(columns, i, intensity, allowed, prices, room, slot_h, hysteresis, scratch, path, working):  # type: ignore[no-untyped-def]
    """The optimum of member i at the given prices, where room is left: (least cost, cost of keeping, length of the path).

    Args:
        columns: All members.
        i: Which.
        intensity: gCO2e per kWh by slot and region, shape (T, R).
        allowed: Whether a region may be used in a slot, shape (T, R).
        prices: USD per node and slot by slot and pool, shape (T, P).
        room: Nodes left by slot and pool, shape (T, P); a pool with less than the member needs is not used.
        slot_h: Length of a slot, hours.
        hysteresis: Share of a running slot's cost, and USD, below which a gain does not stop or move what runs, shape (2,).
        scratch: From `scratch_for`; its `first` is filled with what the uses of slot 0 cost: holding nothing, then each site.
        path: Filled with the site of each slot, `IDLE` where nothing is held; shape (>= slots of the member,).
        working: Filled with 1 where the slot makes progress, same shape.

    Returns:
        The cost of the path taken, with prices; the least cost that keeps the first slot as it is; slots of the path, 0 where
        the work cannot be done.
    """
    sites, slots, quanta, startup = columns.site_count[i], columns.slots[i], columns.quanta[i], columns.startup_slots[i]
    wide = sites + 1 if columns.origin[i] == sites else sites
    run, opened = scratch.run[: slots * wide].reshape((slots, wide)), scratch.opened[: slots * wide].reshape((slots, wide))
    unit = scratch.unit[: slots * wide].reshape((slots, wide))
    states = (slots + 1) * (quanta + 1) * wide
    work = scratch.work[:states].reshape((slots + 1, quanta + 1, wide))
    idle = scratch.idle[:states].reshape((slots + 1, quanta + 1, wide))
    ran = scratch.ran[: 2 * (quanta + 1) * wide].reshape((2, quanta + 1, wide))
    fresh, starts, first = scratch.fresh, scratch.starts[:wide], scratch.first
    if quanta > slots:
        return np.inf, np.inf, 0
    _rows(columns, i, intensity, allowed, prices, room, slot_h, run, opened, unit)
    _backward(columns, i, run, opened, unit, work, idle, ran, fresh)

    waiting, stop_h = columns.waiting[i], columns.checkpoint_h[i]
    region, origin, is_started = columns.region[i], columns.origin[i], columns.is_started[i] == 1
    is_running, bound, length, left = columns.is_running[i] == 1, 0, 0, quanta
    best = _starts(columns, i, 0, quanta, origin, is_started, opened, unit, work, starts)
    rest = waiting + (idle[1, quanta, origin] if is_started else fresh[1])
    if is_running:
        begin = columns.starting_slots[i]
        keep = np.inf
        if begin < slots and quanta <= slots - begin:
            site = columns.first_site[i] + region
            where, pool, nodes = columns.site_region[site], columns.site_pool[site], columns.site_nodes[site]
            keep = work[begin, quanta, region]
            carbon, money = columns.usd_per_kgco2[i] / 1000.0, columns.usd_weight[i]
            for j in range(begin):
                held = min(max(columns.starting_h[i] - j * slot_h, 0.0), slot_h)
                power = carbon * intensity[j, where] * columns.site_idle_kw[site] + money * columns.site_usd_per_h[site]
                keep += power * held + waiting + nodes * prices[j, pool] / columns.weight[i]
                if run[j, region] == np.inf:
                    keep = np.inf
        paused, last = stop_h * unit[0, region], columns.last_gco2_per_kwh[i]
        if last != NOBODY_LOOKED:  # the checkpoint belongs to the slot that has just run
            power_kw = columns.site_running_kw[columns.first_site[i] + region]
            paused = stop_h * columns.usd_per_kgco2[i] / 1000.0 * last * power_kw
        for r in range(wide):
            starts[r] += paused
        starts[region] = np.inf
        best = _least(starts)
        first[0], first[1 : wide + 1] = paused + rest, starts
        first[1 + region] = keep
        cost = min(keep, min(paused + rest, starts[best]))
        if cost < np.inf and keep < np.inf:
            slot_usd = run[0, region] - waiting if run[0, region] < np.inf else 0.0
            if cost < keep <= cost + max(hysteresis[1], hysteresis[0] * slot_usd):
                cost = keep
    else:
        keep = rest
        first[0], first[1 : wide + 1] = rest, starts
        cost = min(keep, starts[best])
    if cost == np.inf:
        return cost, keep, 0
    if is_running and keep <= cost:
        for _ in range(columns.starting_slots[i]):
            path[length] = region
            working[length] = 0
            length += 1
        bound = 1
    elif starts[best] <= cost + _TIE * abs(cost):
        for _ in range(startup):
            path[length] = best
            working[length] = 0
            length += 1
        region, is_running, bound = best, True, 1
    else:
        is_running = False
        path[length] = IDLE
        working[length] = 0
        length += 1
    while left > 0:
        t = length
        if is_running and bound == 0:
            _starts(columns, i, t, left, region, True, opened, unit, work, starts)
            starts[region] = np.inf
            best = _least(starts)
            rest = min(waiting + idle[t + 1, left, region], starts[best])
            if work[t, left, region] <= stop_h * unit[t - 1, region] + rest:
                bound = 1
        if is_running and bound > 0:
            path[length] = region
            working[length] = 1
            length += 1
            left -= 1
            origin, is_started, bound = region, True, 0
            continue
        if not is_running:
            best = _starts(columns, i, t, left, origin, is_started, opened, unit, work, starts)
        is_running = False
        wait = waiting + (idle[t + 1, left, origin] if is_started else fresh[t + 1])
        if starts[best] <= wait + _TIE * abs(wait):
            for _ in range(startup):
                path[length] = best
                working[length] = 0
                length += 1
            region, is_running, bound = best, True, 1
        else:
            path[length] = IDLE
            working[length] = 0
            length += 1
    return cost, keep, length
