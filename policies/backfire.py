"""Not worse than run-now: the chance that a plan ends above run-now, from the forecast's quantiles, compiled.

What counts is the difference of two courses: where both draw the same power at the same time, an error of the forecast
hits both and cancels. The errors of one region are taken as normal and as correlated over time, those of two regions as
independent.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from carbon_ray.policies.drawing import walk

_ROUNDING = 1e-9
"""Share of run-now's emissions below which a difference is none."""
PERSISTENCE_PER_H = 0.95
"""Correlation of the errors of neighbouring hours. Of hourly grids of 2021, direct forecasts' errors had 0.93 to 0.97."""
LEVELS_APART = 2.0 * 1.2815515655446004
"""Standard deviations between the 0.1 and the 0.9 quantile of a normal distribution."""


@numba.njit(cache=True, nogil=True)
def chance_of_backfire(energy, run_now_energy, intensity, spread, ahead, total, persistence):  # type: ignore[no-untyped-def]
    """Chance that a plan's emissions exceed run-now's.

    Args:
        energy: What the plan draws from now on, kWh by slot and region, shape (T, R).
        run_now_energy: What run-now would draw, kWh, same shape.
        intensity: Expected intensity, gCO2e per kWh, same shape.
        spread: Standard deviation of its error, gCO2e per kWh, same shape.
        ahead: Emissions of run-now until now less those of the workload, g.
        total: Expected emissions of run-now as a whole, g.
        persistence: Correlation of the errors of neighbouring slots.
    """
    mean, variance = -ahead, 0.0
    slots, regions = energy.shape
    for region in range(regions):
        carried = 0.0  # sum of the errors before, each weakened by its age
        for slot in range(slots):
            difference = energy[slot, region] - run_now_energy[slot, region]
            mean += difference * intensity[slot, region]
            error = difference * spread[slot, region]
            variance += error * error + 2 * persistence * carried * error
            carried = persistence * carried + error
    deviation = np.sqrt(max(variance, 0.0))
    if deviation <= _ROUNDING * total:
        return 1.0 if mean > _ROUNDING * total else 0.0
    return 0.5 * (1 + math.erf(mean / deviation / math.sqrt(2.0)))


@numba.njit(cache=True, nogil=True)
def run_now_hours(elapsed_h, slot, slot_h, startup_h, work_h):  # type: ignore[no-untyped-def]
    """Hours that run-now's nodes start up, and work, in a slot.

    Args:
        elapsed_h: Hours from submission to the first slot.
        slot, slot_h: Number of the slot, and its length.
        startup_h, work_h: How long they start up, and then work.
    """
    begin, end = elapsed_h + slot * slot_h, elapsed_h + (slot + 1) * slot_h
    starting_h = min(end, startup_h) - min(begin, startup_h)
    working_h = min(max(end, startup_h), startup_h + work_h) - min(max(begin, startup_h), startup_h + work_h)
    return starting_h, working_h


@numba.njit(cache=True, nogil=True)
def weigh(paths, levels, working, lengths, walking, moving_usd, pending_gco2, worth, intensity, spread, run_now, persistence):  # type: ignore[no-untyped-def]
    """What courses emit, pay and take, and the chance that each ends above run-now.

    Args:
        paths, levels, working: Of each course by slot, shape (C, T); see `drawing.walk`.
        lengths: Slots of each course, shape (C,).
        walking: What `drawing.walk` takes beside a path.
        moving_usd: Money of a change of region, shape (Q, Q).
        pending_gco2: Emissions of a checkpoint that is written at once, g; only of courses that begin with one.
        worth: What a dollar and an hour until the end are worth, g.
        intensity, spread: As `chance_of_backfire`.
        run_now: Energy that it would still draw, and numbers: how far it is ahead, its total, and what its money and time are worth, g.
        persistence: As `chance_of_backfire`.

    Returns:
        Emissions in g, money in USD, hours until the end, and chances, in rows of shape (4, C).
    """
    count = len(lengths)
    out = np.empty((4, count))
    run_now_energy, ahead, total, run_now_worth = run_now
    for c in range(count):
        length = lengths[c]
        energy, pending_h, usd, finish_h, _, _, starts = walk(paths[c, :length], levels[c, :length], working[c, :length], *walking)
        for s in range(len(starts)):
            usd += moving_usd[starts[s, 0], starts[s, 1]]
        written = pending_gco2 if pending_h > 0 else 0.0
        emitted = written
        for t in range(energy.shape[0]):
            for r in range(energy.shape[1]):
                emitted += energy[t, r] * intensity[t, r]
        other = worth[0] * usd + worth[1] * finish_h - run_now_worth
        out[0, c], out[1, c], out[2, c] = emitted, usd, finish_h
        out[3, c] = chance_of_backfire(energy, run_now_energy, intensity, spread, ahead - written - other, total, persistence)
    return out
