"""From what a plan is priced with to the programme's own terms: the problem's arrays, and the state it begins in."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from carbon_ray.core.intensity import FloatArray
from carbon_ray.policies.programme import Initial, Problem

if TYPE_CHECKING:
    from carbon_ray.policies.costs import Costs


def problem_of(costs: Costs) -> Problem:
    """The programme's arrays. An origin that is no site is one more region, in which nothing can run."""
    overheads, holding, grain = costs.workload.overheads, costs.holding, costs.grain
    intensity = costs.intensity_gco2_per_kwh[:, :, None]
    run = costs.usd(gco2=intensity * holding.running_kw * costs.slot_h, usd=holding.usd_per_h * costs.slot_h)
    unit = costs.usd(gco2=costs.intensity_gco2_per_kwh * costs.running_kw, usd=0.0)
    if costs.workload.is_elastic:
        run = run * np.array(grain.counted)
    run = np.where(costs.allowed[:, :, None] & holding.fits, run, np.inf)
    hold, moving = _holding(costs, overheads.startup_s), costs.moving
    away = None if overheads.transfers is None else _arriving(costs, moving.arrival_s)
    regions = max(len(costs.sites), costs.origin + 1)
    if regions > len(costs.sites):
        outside = np.full((len(run), 1, run.shape[2]), np.inf)
        run, hold = np.concatenate([run, outside], axis=1), np.concatenate([hold, outside], axis=1)
        unit = np.concatenate([unit, np.zeros((len(unit), 1))], axis=1)
        away = None if away is None else np.concatenate([away, outside], axis=1)
    return Problem(
        run=run,
        hold=hold,
        pause=overheads.checkpoint_h * unit,
        unit=unit,
        move=moving.move_h,
        send=moving.send_h,
        fee=costs.workload.objective.usd_weight * moving.usd,
        restore=overheads.restore_h,
        rescale=overheads.rescale_h,
        speed=np.array(grain.speed, dtype=np.int64),
        waiting=costs.workload.objective.usd_per_h_delay * costs.slot_h,
        startup_slots=costs.slots_of(overheads.startup_s),
        quanta=costs.quanta,
        allowed=costs.allowed,
        shortest_slots=costs.shortest_slots,
        max_moves=None if costs.moves_left is None or costs.moves_left >= len(run) else costs.moves_left,
        hold_away=away,
        startup_slots_away=None
        if away is None
        else np.array([*map(costs.slots_of, moving.arrival_s), *[0] * (regions - len(costs.sites))]),
    )


def _arriving(costs: Costs, arrival_s: FloatArray) -> FloatArray:
    """Objective of start-ups that last another time in each region, shape (T, R, N)."""
    by_span = {span_s: _holding(costs, span_s) for span_s in set(arrival_s.tolist())}
    return np.stack([by_span[span_s][:, where] for where, span_s in enumerate(arrival_s.tolist())], axis=1)


def _holding(costs: Costs, startup_s: float) -> FloatArray:
    """Objective of holding nodes through a start-up that begins in each slot, shape (T, R, N); inf where it cannot be."""
    slots, fits = range(costs.slots_of(startup_s) + 1), costs.holding.fits
    usable: NDArray[np.bool_] = np.logical_and.reduce([_shifted(costs.allowed, offset, fill=False) for offset in slots])
    hold: FloatArray = np.where(usable[:, :, None] & fits, _starting(costs, startup_s), np.inf)
    return hold


def _starting(costs: Costs, startup_s: float) -> FloatArray:
    holding, intensity = costs.holding, costs.intensity_gco2_per_kwh[:, :, None]
    total = np.zeros((*costs.intensity_gco2_per_kwh.shape, len(costs.workload.counts)))
    for offset, weight in enumerate(costs.starting_weights_h(startup_s)):
        held = costs.usd(gco2=intensity * holding.idle_kw * weight, usd=holding.usd_per_h * weight)
        total = total + _shifted(held, offset, fill=np.inf)
    return total


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


def _shifted(values: np.ndarray[Any, Any], offset: int, *, fill: float | bool) -> np.ndarray[Any, Any]:
    """The rows from `offset` on, and `fill` where there are none."""
    moved = np.full_like(values, fill)
    moved[: max(0, len(values) - offset)] = values[offset:]
    return moved
