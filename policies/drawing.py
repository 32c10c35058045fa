"""From a path to what it draws, pays and takes: the exact model, slot by slot, of what the programme has in quanta."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numba
import numpy as np

from carbon_ray.core.intensity import FloatArray

if TYPE_CHECKING:
    from carbon_ray.policies.costs import Costs

_IDLE = -1
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Draw:
    """What a path draws and pays.

    Attributes:
        energy_kwh: By when and where, PUE included, shape (T, R).
        pending_kwh: Of a checkpoint that is written at once, PUE included: drawn in the slot that has just run, not in `energy_kwh`.
        pending_gco2: What that emits, g.
        usd: Money for nodes and transfer.
        finish_h: Hours until the work is done; to the end of the path where the path does not do all of it.
        suspends: Number of pauses.
        moves: Changes of region after the first start.
        rescales: Changes of the worker count without a pause.
    """

    energy_kwh: FloatArray
    pending_kwh: float
    pending_gco2: float
    usd: float
    finish_h: float
    suspends: int
    moves: int
    rescales: int


def draw_of(costs: Costs, path: Sequence[int], working: Sequence[bool], levels: Sequence[int] | None = None) -> Draw:
    """What a path draws and pays, by slot and region.

    Args:
        costs: What it is priced with.
        path: Region by slot, -1 where nothing is held.
        working: Whether the slot makes progress.
        levels: Index of the worker count by slot; the first one by default.
    """
    energy_kwh, pending_h, held_usd, finish_h, suspends, rescales, starts = walk(
        np.array(path, dtype=np.int64),
        np.zeros(len(path), np.int64) if levels is None else np.array(levels, dtype=np.int64),
        np.array(working, dtype=np.bool_),
        *costs.walking,
    )
    initial, moving = costs.initial(), costs.moving
    pending_kwh, pending_gco2 = costs.written_now(initial.region, float(pending_h)) if pending_h else (0.0, 0.0)
    is_away, is_resume = starts[:, 0] != starts[:, 1], starts[:, 2] > 0
    return Draw(
        energy_kwh=energy_kwh,
        pending_kwh=pending_kwh,
        pending_gco2=pending_gco2,
        usd=float(held_usd) + float(moving.usd[starts[:, 0], starts[:, 1]].sum()),
        finish_h=float(finish_h),
        suspends=int(suspends),
        moves=int((is_away & is_resume).sum()),
        rescales=int(rescales),
    )


def walking_of(costs: Costs) -> tuple[Any, ...]:
    """What `walk` takes beside a path."""
    initial, overheads, holding, moving = costs.initial(), costs.workload.overheads, costs.holding, costs.moving
    starting_h = costs.starting_weights_h(overheads.startup_s)
    return (
        len(costs.intensity_gco2_per_kwh),
        (initial.region, initial.level, initial.origin),
        initial.is_running,
        initial.is_started,
        (float(overheads.checkpoint_h), float(overheads.restore_h), float(overheads.rescale_h)),
        moving.move_h,
        moving.send_h,
        costs.slot_h,
        costs.progress.remaining_h,
        np.array(costs.rates),
        costs.running_kw,
        holding.running_kw,
        holding.idle_kw,
        holding.usd_per_h,
        costs.starting_weights_h(costs.progress.starting_s if initial.is_running else 0.0),
        starting_h,
        np.repeat(starting_h[None], len(costs.sites), axis=0) if overheads.transfers is None else _stacked(costs, moving.arrival_s),
    )


def _stacked(costs: Costs, spans_s: FloatArray) -> FloatArray:
    """Hours of start-ups in each of their slots, one row for each, zeros after its end."""
    rows = [costs.starting_weights_h(span_s) for span_s in spans_s.tolist()]
    table = np.zeros((len(rows), max(map(len, rows))))
    for number, row in enumerate(rows):
        table[number, : len(row)] = row
    return table


@numba.njit(cache=True, nogil=True)
def walk(  # type: ignore[no-untyped-def]
    path, levels, working, slots, state, is_running, is_started, overheads_h, move, send, slot_h, left_h,
    rates, nominal_kw, running_kw, idle_kw, usd_per_h, begun_h, new_h, away_h,
):  # fmt: skip
    """Energy, money and time of a path.

    Args:
        path, levels, working: Region and worker count's index per slot, and whether there is progress.
        slots: Rows of what is returned.
        state: Region, worker count's index and origin at the start; see `programme.Initial`.
        is_running, is_started: Likewise.
        overheads_h: Running hours of a checkpoint, of a resume and of a change of the worker count.
        move, send: Running hours of a change of region at its end and at the region it leaves, shape (Q, Q); Q >= R.
        slot_h: Length of a slot.
        left_h: Running hours still to do.
        rates: Running hours done in an hour by worker count, shape (N,).
        nominal_kw: Power by which overheads are counted, shape (R,).
        running_kw, idle_kw, usd_per_h: Of the nodes held, shape (R, N).
        begun_h: Hours without progress in each slot of the start-up that is under way.
        new_h: ... and of any other one where the checkpoint is.
        away_h: ... and where it comes from elsewhere, by region.

    Returns:
        Energy (slots, R); running hours of a checkpoint that is written at once, of the slot before the first one; money for nodes; hours
        until the work is done; number of suspends and of changes of the worker count; starts
        as (from, to, whether a resume), shape (starts, 3).
    """
    at, level, origin = state
    checkpoint, restore, rescale = overheads_h
    regions = len(nominal_kw)
    energy = np.zeros((slots, regions))
    starts = np.zeros((len(path), 3), np.int64)
    usd, pending_h, suspends, rescales, count, since = 0.0, 0.0, 0, 0, 0, 0
    span = begun_h
    for slot in range(len(path)):
        where, many = path[slot], levels[slot]
        changes = False
        if is_running and (where != at or many != level):
            if slot:
                energy[slot - 1, at] += checkpoint * nominal_kw[at]
            else:
                pending_h = checkpoint
            suspends += where == _IDLE
            changes = where == at
            rescales += changes
            is_running = False
        if where == _IDLE:
            continue
        if not is_running:
            hours = (restore if is_started else 0.0) + (rescale if is_started and changes else 0.0)
            energy[slot, where] += (hours + move[origin, where]) * nominal_kw[where]
            if origin < regions:
                energy[slot, origin] += send[origin, where] * nominal_kw[origin]
            starts[count, 0], starts[count, 1], starts[count, 2] = origin, where, is_started
            span = new_h if origin == where else away_h[where]
            count, at, level, since, is_running = count + 1, where, many, slot, True
        if working[slot]:
            done_h = rates[many] * slot_h
            share = min(1.0, left_h / done_h)
            energy[slot, where] += share * slot_h * running_kw[where, many]
            usd += share * slot_h * usd_per_h[where, many]
            left_h -= done_h
            origin, is_started = at, True
            if left_h <= _ROUNDING * slot_h:
                return energy, pending_h, usd, (slot + share) * slot_h, suspends, rescales, starts[:count]
        else:
            energy[slot, where] += span[slot - since] * idle_kw[where, many]
            usd += span[slot - since] * usd_per_h[where, many]
    return energy, pending_h, usd, len(path) * slot_h, suspends, rescales, starts[:count]
