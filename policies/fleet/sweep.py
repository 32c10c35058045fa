"""All members in one compiled call: what they ask for at given prices, and their plans one after another on what is left."""

from __future__ import annotations

import numba
import numpy as np

from carbon_ray.policies.fleet.kernel import IDLE, solve_member


@numba.njit(cache=True, nogil=True)
def _hold(columns, i, path, length, sign, field):  # type: ignore[no-untyped-def]
    """Add `sign` times the nodes of a path to a field over slots and pools."""
    first = columns.first_site[i]
    for t in range(length):
        if path[t] != IDLE:
            site = first + path[t]
            field[t, columns.site_pool[site]] += sign * columns.site_nodes[site]


@numba.njit(cache=True, nogil=True)
def priced(columns, i, path, length, prices):  # type: ignore[no-untyped-def]
    """What the nodes of a path cost at the prices, USD of the fleet."""
    total, first = 0.0, columns.first_site[i]
    for t in range(length):
        if path[t] != IDLE:
            site = first + path[t]
            total += columns.site_nodes[site] * prices[t, columns.site_pool[site]]
    return total


@numba.njit(cache=True, nogil=True)
def drift(columns, order, intensity, allowed, prices, capacity, slot_h, scratch, step, block, mean):  # type: ignore[no-untyped-def]
    """Let members answer one after another, and move the prices after every few of them.

    A price rises by `step` times the share of the capacity that was just asked for, and falls by `step` times the share of the members
    that have just been asked: over all members that is the step times what is asked for beyond the capacity, over the capacity.

    Args:
        columns, intensity, allowed, capacity, slot_h, scratch: As `respond`.
        order: Members, in turn.
        prices: Changed in place, shape (T, P); never negative.
        step: USD.
        block: Members between two changes.
        mean: Filled with the mean of the prices on the way, shape (T, P).
    """
    slots, pools = prices.shape
    path, working = np.empty(slots, np.int64), np.empty(slots, np.int64)
    load, hysteresis = np.zeros((slots, pools)), np.zeros(2)
    mean[:] = 0.0
    count, asked = len(order), 0
    for position in range(count):
        i = order[position]
        _, _, length = solve_member(columns, i, intensity, allowed, prices, capacity, slot_h, hysteresis, scratch, path, working)
        _hold(columns, i, path, length, 1.0, load)
        asked += 1
        if asked < block and position + 1 < count:
            continue
        share = asked / count
        for t in range(slots):
            for p in range(pools):
                if capacity[t, p] > 0:
                    prices[t, p] = max(0.0, prices[t, p] + step * (load[t, p] / capacity[t, p] - share))
                mean[t, p] += prices[t, p] * share
                load[t, p] = 0.0
        asked = 0


@numba.njit(cache=True, nogil=True)
def respond(columns, intensity, allowed, prices, capacity, slot_h, scratch, used):  # type: ignore[no-untyped-def]
    """Each member's best plan at the prices as if it were alone.

    Args:
        columns, intensity, allowed, prices, slot_h, scratch: As `kernel.solve_member`.
        capacity: Nodes by slot and pool, shape (T, P): what a member alone may use.
        used: Filled with the nodes that all ask for, shape (T, P).

    Returns:
        The weighted sum of least costs with prices, over the members that have a plan, and how many have none.
    """
    longest = 0
    for i in range(len(columns.slots)):
        longest = max(longest, columns.slots[i])
    path, working = np.empty(longest, np.int64), np.empty(longest, np.int64)
    hysteresis = np.zeros(2)
    used[:] = 0.0
    total, without = 0.0, 0
    for i in range(len(columns.slots)):
        cost, _, length = solve_member(columns, i, intensity, allowed, prices, capacity, slot_h, hysteresis, scratch, path, working)
        if length == 0:
            without += 1
            continue
        total += columns.weight[i] * cost
        _hold(columns, i, path, length, 1.0, used)
    return total, without


@numba.njit(cache=True, nogil=True)
def insert(columns, order, intensity, allowed, prices, room, slot_h, hysteresis, scratch, paths, working, lengths, costs, keeps, gains):  # type: ignore[no-untyped-def]
    """Plan members one after another on the capacity that the others leave; one that has a plan gives its nodes back first.

    Args:
        columns, intensity, allowed, prices, slot_h, hysteresis, scratch: As `kernel.solve_member`.
        order: Members to plan, in turn.
        room: Nodes left, shape (T, P); changed in place.
        paths: Site by slot of every member, shape (members, T); changed in place.
        working: Whether the slot makes progress, same shape; changed in place.
        lengths: Slots of each path, 0 = none; changed in place.
        costs: What each path costs without prices, inf = no path; changed in place.
        keeps: With prices, what keeping the first slot as it is costs; changed in place.
        gains: `keeps` less what the path costs with prices; changed in place.

    Returns:
        How many of `order` found no plan.
    """
    missed = 0
    for i in order:
        if lengths[i] > 0:
            _hold(columns, i, paths[i], lengths[i], 1.0, room)
        cost, keep, length = solve_member(columns, i, intensity, allowed, prices, room, slot_h, hysteresis, scratch, paths[i], working[i])
        lengths[i], keeps[i] = length, keep
        if length == 0:
            costs[i], gains[i] = np.inf, 0.0
            missed += 1
            continue
        costs[i] = cost - priced(columns, i, paths[i], length, prices) / columns.weight[i]
        gains[i] = keep - cost
        _hold(columns, i, paths[i], length, -1.0, room)
    return missed
