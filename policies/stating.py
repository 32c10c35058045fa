"""From what a plan is priced with to the programme's own terms: the problem's arrays, and the state it begins in."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numba
import numpy as np

from carbon_ray.core.intensity import FloatArray
from carbon_ray.policies.programme import Initial, Problem

if TYPE_CHECKING:
    from carbon_ray.policies.costs import Costs


def problem_of(costs: Costs) -> Problem:
    """The programme's arrays. An origin that is no site is one more region, in which nothing can run."""
    overheads, holding, grain, moving = costs.workload.overheads, costs.holding, costs.grain, costs.moving
    objective, regions = costs.workload.objective, max(len(costs.sites), costs.origin + 1)
    shared = (
        costs.intensity_gco2_per_kwh,
        costs.allowed,
        costs.running_kw,
        holding.running_kw,
        holding.idle_kw,
        holding.usd_per_h,
        holding.fits,
        np.array(grain.counted),
        (objective.usd_per_kgco2 / 1000, float(objective.usd_weight), costs.slot_h, float(overheads.checkpoint_h)),
        regions,
    )
    run, hold, pause, unit = _arrays(*shared, costs.starting_weights_h(overheads.startup_s))
    away = None if overheads.transfers is None else _arriving(shared, costs, moving.arrival_s, regions)
    return Problem(
        run=run,
        hold=hold,
        pause=pause,
        unit=unit,
        move=moving.move_h,
        send=moving.send_h,
        fee=objective.usd_weight * moving.usd,
        restore=overheads.restore_h,
        rescale=overheads.rescale_h,
        speed=np.array(grain.speed, dtype=np.int64),
        waiting=objective.usd_per_h_delay * costs.slot_h,
        startup_slots=costs.slots_of(overheads.startup_s),
        quanta=costs.quanta,
        allowed=costs.allowed,
        shortest_slots=costs.shortest_slots,
        max_moves=None if costs.moves_left is None or costs.moves_left >= len(run) else costs.moves_left,
        hold_away=away,
        startup_slots_away=None
        if away is None
        else np.array([*map(costs.slots_of, moving.arrival_s), *[0] * (regions - len(costs.sites))]),
        is_separable=True,
    )


def _arriving(shared: tuple[Any, ...], costs: Costs, arrival_s: FloatArray, regions: int) -> FloatArray:
    """Objective of start-ups that last another time in each region, shape (T, R, N)."""
    by_span = {span_s: _arrays(*shared, costs.starting_weights_h(span_s))[1] for span_s in set(arrival_s.tolist())}
    columns = [by_span[span_s][:, where] for where, span_s in enumerate(arrival_s.tolist())]
    nowhere = np.full_like(columns[0], np.inf)
    return np.stack(columns + [nowhere] * (regions - len(columns)), axis=1)


@numba.njit(cache=True, nogil=True)
def _arrays(intensity, allowed, nominal_kw, running_kw, idle_kw, usd_per_h, fits, counted, factors, regions, starting_h):  # type: ignore[no-untyped-def]
    """Objective of running, of the start-up that begins in a slot, of the checkpoint after it, and of an hour's energy; see `Problem`.

    Args:
        intensity: gCO2e per kWh, shape (T, R).
        allowed: Whether a region may be used in a slot, shape (T, R).
        nominal_kw: Power by which overheads are counted, shape (R,).
        running_kw, idle_kw, usd_per_h, fits: Of the nodes held, shape (R, N).
        counted: Share of the work done in a slot that the quanta are, shape (N,).
        factors: USD per gram, weight of a dollar, hours of a slot, running hours of a checkpoint.
        regions: Of the answer; in those beyond the sites nothing can run.
        starting_h: Hours without progress in each slot of a start-up.
    """
    slots, sites = intensity.shape
    levels, waits = running_kw.shape[1], len(starting_h)
    per_gram, weight, slot_h, checkpoint_h = factors
    run, hold = np.full((slots, regions, levels), np.inf), np.full((slots, regions, levels), np.inf)
    pause, unit = np.zeros((slots, regions)), np.zeros((slots, regions))
    for t in range(slots):
        for r in range(sites):
            unit[t, r] = per_gram * intensity[t, r] * nominal_kw[r]
            pause[t, r] = checkpoint_h * unit[t, r]
            is_usable = t + waits < slots
            for offset in range(waits + 1):
                if is_usable and not allowed[t + offset, r]:
                    is_usable = False
            for n in range(levels):
                if allowed[t, r] and fits[r, n]:
                    run[t, r, n] = (per_gram * intensity[t, r] * running_kw[r, n] + weight * usd_per_h[r, n]) * slot_h * counted[n]
                if is_usable and fits[r, n]:
                    total = 0.0
                    for offset in range(waits):
                        held = per_gram * intensity[t + offset, r] * idle_kw[r, n] + weight * usd_per_h[r, n]
                        total += held * starting_h[offset]
                    hold[t, r, n] = total
    return run, hold, pause, unit


def initial_of(costs: Costs) -> Initial:
    """Where the programme begins. What runs with a count that is none of the workload's is taken for stopped."""
    progress, workload, origin = costs.progress, costs.workload, costs.origin
    region, workers = costs.index_of(progress.region), progress.workers or workload.workers
    if not progress.is_running or region is None or workers not in workload.counts:
        return Initial(region=origin, origin=origin, is_started=progress.is_started)
    level = workload.counts.index(workers)
    _, pending_gco2 = costs.written_now(region, workload.overheads.checkpoint_h)
    weights = costs.starting_weights_h(progress.starting_s)
    held = costs.intensity_gco2_per_kwh[: len(weights), region]  # a start-up that outlasts the slots is never kept
    nodes = costs.sites[region].holds[level] or costs.sites[region].nominal
    starting = costs.usd(gco2=held * nodes.idle_kw, usd=nodes.usd_per_h) * weights[: len(held)]
    return Initial(
        region=region,
        origin=origin,
        level=level,
        is_running=True,
        is_started=progress.is_started,
        starting_slots=len(weights),
        starting=float(starting.sum()),
        pause=workload.objective.cost_usd(gco2=pending_gco2, usd=0.0),
        bound_slots=_bound_slots(costs),
    )


def _bound_slots(costs: Costs) -> int:
    """Slots that the running segment still has to work, by when it was told to start."""
    workload, progress = costs.workload, costs.progress
    if progress.since_at is None or not workload.min_segment_s:
        return 1
    working_at = progress.since_at + timedelta(seconds=workload.overheads.startup_s)
    worked_s = 0.0 if progress.starting_s > 0 else max(0.0, (costs.now - working_at).total_seconds())
    return max(1, costs.slots_of(workload.min_segment_s - worked_s))
