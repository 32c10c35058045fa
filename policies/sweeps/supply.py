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
from numpy.typing import NDArray

from carbon_ray.core.errors import ForecastHorizonError
from carbon_ray.core.forecast import ForecastSnapshot
from carbon_ray.core.intensity import FloatArray
from carbon_ray.core.region import Region
from carbon_ray.core.units import S_PER_H
from carbon_ray.policies.expectation import expectation
from carbon_ray.policies.recent import Recent

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Supply:
    """What an hour of one trial emits, by time and region.

    Attributes:
        names: Regions, in the order of the columns.
        gco2_per_h: Expected emissions of one running trial, g per hour, shape (T, R); the first row is now.
        room: Trials that each region can hold, shape (R,).
        slot_h: Hours of a row.
    """

    names: tuple[str, ...]
    gco2_per_h: FloatArray
    room: FloatArray
    slot_h: float

    @property
    def least_now_gco2_per_h(self) -> float:
        """Price of the first slot in the cleanest region that holds trials (of all, where none does), g per trial and hour."""
        now_gco2_per_h = self.gco2_per_h[0]
        return float((now_gco2_per_h[self.room > 0] if (self.room > 0).any() else now_gco2_per_h).min())


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """The cheapest hours that hold the work.

    Attributes:
        trials_now: Trials that the plan runs in the first slot, all regions together; a part of a trial where the work ends within it.
        marginal_gco2_per_h: Price of the dearest hour that the plan uses, g per trial and hour.
        gco2: What the plan emits.
        at_once_gco2: What the work emits when it is run from now on at full concurrency, in the cleanest region of each slot.
        fits: The work can be done within the slots.
    """

    trials_now: float
    marginal_gco2_per_h: float
    gco2: float
    at_once_gco2: float
    fits: bool

    @property
    def saving_fraction(self) -> float:
        """What waiting is expected to save of what running at once emits."""
        return 1.0 - self.gco2 / self.at_once_gco2 if self.at_once_gco2 > 0 else 0.0


_supplies: Recent[Supply] = Recent(16)
_ladders: Recent[Ladder] = Recent(16)


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
    holds = tuple(float(max(0, room.get(region.name, most))) for region in regions)
    key = (id(snapshot), tuple(regions), start_at, slots, slot_s, power_w, holds)
    return _supplies.get(key, snapshot, lambda: _made(regions, snapshot, zones, start_at, slots, slot_s, power_w, holds))


def ladder_of(supply: Supply, most: int) -> Ladder:
    """The ladder of a supply, made once."""
    return _ladders.get((id(supply), most), supply, lambda: Ladder.of(supply, most))


def _made(
    regions: Sequence[Region],
    snapshot: ForecastSnapshot,
    zones: tuple[str, ...],
    start_at: datetime,
    slots: int,
    slot_s: float,
    power_w: float,
    holds: tuple[float, ...],
) -> Supply:
    reach_s = min((snapshot[zone].end_at - start_at).total_seconds() for zone in zones)
    known = min(slots, int(reach_s // slot_s + _ROUNDING))
    if known < 1:
        raise ForecastHorizonError(
            f"the forecast of {', '.join(zones)} ends before a slot of {slot_s:.0f} s from {start_at:%Y-%m-%dT%H:%MZ}"
        )
    median, _ = expectation(snapshot, zones, start_at, slot_s, known)
    if known < slots:
        median = np.concatenate([median, np.tile(median.mean(axis=0), (slots - known, 1))])
    per_intensity = np.array([region.pue for region in regions]) * power_w / 1000.0
    return Supply(
        names=tuple(region.name for region in regions),
        gco2_per_h=median * per_intensity,
        room=np.array(holds),
        slot_h=slot_s / S_PER_H,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ladder:
    """The hours of a supply from the cheapest to the dearest, whatever work is to be put into them.

    Attributes:
        price: Of each cell, g per trial and hour, ascending, shape (C,).
        hours: Running hours up to and with each cell, shape (C + 1,), the first 0.
        gco2: What these emit, shape (C + 1,).
        first: Where the cells of the first slot stand, shape (R,).
        turn_hours, turn_gco2: The same in order of time, the cleanest region of each slot first, shape (C + 1,).
        slot_h: Hours of a slot.
    """

    price: FloatArray
    hours: FloatArray
    gco2: FloatArray
    first: NDArray[np.int64]
    turn_hours: FloatArray
    turn_gco2: FloatArray
    slot_h: float

    @classmethod
    def of(cls, supply: Supply, most: int) -> Ladder:
        """Sort the hours; of equal ones the earliest comes first.

        Args:
            supply: The hours.
            most: Trials that can run at once in all regions.
        """
        order = np.argsort(supply.gco2_per_h, axis=1, kind="stable")
        price = np.take_along_axis(supply.gco2_per_h, order, axis=1)
        room = supply.room[order]
        hours = (np.clip(most - (np.cumsum(room, axis=1) - room), 0.0, room) * supply.slot_h).ravel()
        cells = price.ravel()
        # Rounded, so that a flat grid is flat whatever its last digits say.
        by_price = np.argsort(np.round(cells / max(float(cells.max()), _ROUNDING), 6), kind="stable")
        return cls(
            price=cells[by_price],
            hours=_running(hours[by_price]),
            gco2=_running(hours[by_price] * cells[by_price]),
            first=np.flatnonzero(by_price < price.shape[1]),
            turn_hours=_running(hours),
            turn_gco2=_running(hours * cells),
            slot_h=supply.slot_h,
        )

    def fill(self, work_h: float, budget_gco2: float = math.inf) -> Fill:
        """Fill the cheapest hours.

        Args:
            work_h: Hours of running that are left, all trials together.
            budget_gco2: Emissions that may not be exceeded; work that they do not pay for is left out.
        """
        fits = bool(self.hours[-1] >= work_h * (1 - _ROUNDING))
        done_h = min(work_h, float(self.hours[-1]))
        if math.isfinite(budget_gco2):
            done_h = min(done_h, float(np.interp(max(0.0, budget_gco2), self.gco2, self.hours)))
        first_h = np.clip(done_h - self.hours[self.first], 0.0, self.hours[self.first + 1] - self.hours[self.first])
        dearest = min(int(np.searchsorted(self.hours[1:], done_h - _ROUNDING * self.slot_h)), len(self.price) - 1)
        return Fill(
            trials_now=float(first_h.sum()) / self.slot_h,
            marginal_gco2_per_h=float(self.price[dearest]),
            gco2=float(np.interp(done_h, self.hours, self.gco2)),
            at_once_gco2=float(np.interp(work_h, self.turn_hours, self.turn_gco2)),
            fits=fits,
        )


def _running(values: FloatArray) -> FloatArray:
    sums: FloatArray = np.concatenate([[0.0], np.cumsum(values)])
    return sums
