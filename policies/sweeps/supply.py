"""The hours that a sweep may choose from, and the cheapest of them: the fleet view of a sweep is one elastic workload.

Trials come and go, so the work of a sweep can be split at will between hours and regions, up to the trials that may run at once.
The least emissions are then had by filling the cheapest cells of (time, region) until the work is done. This is exact: the limits
(trials of a region, trials in all) are nested, and on nested limits the greedy choice is the optimum.

Source: Edmonds, "Submodular functions, matroids, and certain polyhedra", 1970 (greedy on a laminar family).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from carbon_ray.core.errors import ForecastHorizonError
from carbon_ray.core.forecast import ForecastSnapshot
from carbon_ray.core.intensity import FloatArray
from carbon_ray.core.region import Region
from carbon_ray.core.units import S_PER_H
from carbon_ray.policies.expectation import expectation

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Supply:
    """What an hour of one trial emits, by time and region.

    Attributes:
        names: Regions, in the order of the columns.
        gco2_per_h: Expected emissions of one running trial, g per hour, shape (T, R); the first row is now.
        spread_gco2_per_h: Standard deviation of the error of these, shape (T, R).
        room: Trials that each region can hold, shape (R,).
        slot_h: Hours of a row.
    """

    names: tuple[str, ...]
    gco2_per_h: FloatArray
    spread_gco2_per_h: FloatArray
    room: FloatArray
    slot_h: float

    @property
    def slots(self) -> int:
        """Rows."""
        return len(self.gco2_per_h)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """The cheapest hours that hold the work.

    Attributes:
        now: Trials that the plan runs in the first slot, all regions together; a part of a trial where the work ends within it.
        marginal_gco2_per_h: Price of the dearest hour that the plan uses, g per trial and hour.
        gco2: What the plan emits.
        at_once_gco2: What the work emits when it is run from now on at full concurrency, in the cleanest region of each slot.
        fits: The work can be done within the slots.
    """

    now: float
    marginal_gco2_per_h: float
    gco2: float
    at_once_gco2: float
    fits: bool

    @property
    def saving_fraction(self) -> float:
        """What waiting is expected to save of what running at once emits."""
        return 1.0 - self.gco2 / self.at_once_gco2 if self.at_once_gco2 > 0 else 0.0


def supply_of(
    regions: Sequence[Region],
    snapshot: ForecastSnapshot,
    *,
    now: datetime,
    slots: int,
    slot_s: float,
    power_w: float,
    room: Mapping[str, int],
    most: int,
) -> Supply:
    """The hours from now on.

    Slots that the forecast does not reach count as its mean: they can be reckoned with, but nothing is gained by waiting for them.

    Args:
        regions: Where trials may run.
        snapshot: Forecasts of their zones.
        now: Within the first slot, aware UTC.
        slots: How many, at least 1.
        slot_s: Length of a slot, seconds.
        power_w: What a running trial draws, W, without the PUE.
        room: Trials that a region can hold, by name; `most` where it is not named.
        most: Trials at once in all regions.

    Raises:
        UnknownZoneError: The snapshot lacks the zone of a region.
        ForecastHorizonError: A forecast does not hold so much as the first slot.
    """
    zones = tuple(region.zone for region in regions)
    # Slots begin on a grid, so that what is asked several times within one is worked out once.
    start_at = snapshot[zones[0]].start_at
    start_at += ((now - start_at) // timedelta(seconds=slot_s)) * timedelta(seconds=slot_s)
    reach_s = min((snapshot[zone].end_at - start_at).total_seconds() for zone in zones)
    known = min(slots, int(reach_s // slot_s + _ROUNDING))
    if known < 1:
        raise ForecastHorizonError(f"the forecast of {', '.join(zones)} ends before a slot of {slot_s:.0f} s from {now:%Y-%m-%dT%H:%MZ}")
    median, spread = expectation(snapshot, zones, start_at, slot_s, known)
    if known < slots:
        median, spread = (np.concatenate([part, np.tile(part.mean(axis=0), (slots - known, 1))]) for part in (median, spread))
    per_intensity = np.array([region.pue for region in regions]) * power_w / 1000.0
    return Supply(
        names=tuple(region.name for region in regions),
        gco2_per_h=median * per_intensity,
        spread_gco2_per_h=spread * per_intensity,
        room=np.array([float(max(0, room.get(region.name, most))) for region in regions]),
        slot_h=slot_s / S_PER_H,
    )


def fill(supply: Supply, work_h: float, most: int, budget_gco2: float = math.inf) -> Fill:
    """Fill the cheapest hours; among equal ones the earliest.

    Args:
        supply: The hours.
        work_h: Hours of running that are left, all trials together.
        most: Trials that can run at once in all regions.
        budget_gco2: Emissions that may not be exceeded; work that they do not pay for is left out.
    """
    order = np.argsort(supply.gco2_per_h, axis=1, kind="stable")
    price = np.take_along_axis(supply.gco2_per_h, order, axis=1)
    room = supply.room[order]
    usable = np.clip(most - (np.cumsum(room, axis=1) - room), 0.0, room)
    hours = (usable * supply.slot_h).ravel()
    cells = price.ravel()
    # Rounded, so that a flat grid is flat whatever its last digits say, and the earliest of equal hours is taken.
    by_price = np.argsort(np.round(cells / max(float(cells.max()), _ROUNDING), 6), kind="stable")
    hours_by_price, cells_by_price = hours[by_price], cells[by_price]
    wanted = np.clip(work_h - (np.cumsum(hours_by_price) - hours_by_price), 0.0, hours_by_price)
    if math.isfinite(budget_gco2):
        paid = np.cumsum(wanted * cells_by_price) - wanted * cells_by_price
        wanted = np.minimum(wanted, np.clip(budget_gco2 - paid, 0.0, None) / np.maximum(cells_by_price, _ROUNDING))
    taken = np.zeros_like(hours)
    taken[by_price] = wanted
    used = taken > _ROUNDING * supply.slot_h
    in_turn = np.clip(work_h - (np.cumsum(hours) - hours), 0.0, hours)
    return Fill(
        now=float(taken[: supply.gco2_per_h.shape[1]].sum() / supply.slot_h),
        marginal_gco2_per_h=float(cells[used].max()) if used.any() else float(cells.min()),
        gco2=float((taken * cells).sum()),
        at_once_gco2=float((in_turn * cells).sum()),
        fits=bool(hours.sum() >= work_h * (1 - _ROUNDING)),
    )
