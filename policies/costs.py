"""From a workload, regions and a forecast to the programme's cost arrays, and from a path back to what it costs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from carbon_ray.core.forecast import Forecast, ForecastSnapshot
from carbon_ray.core.intensity import FloatArray
from carbon_ray.core.plan import Expected
from carbon_ray.core.region import Region
from carbon_ray.core.units import S_PER_H
from carbon_ray.core.workload import Progress, Workload
from carbon_ray.policies.backfire import LEVELS_APART
from carbon_ray.policies.following import draw
from carbon_ray.policies.programme import Initial, Problem
from carbon_ray.policies.sites import Site, sites_for

_ROUNDING = 1e-9
LOW, HIGH = 0.1, 0.9
"""Quantiles that the spread of a forecast is read from."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Draw:
    """What a path draws and pays.

    Attributes:
        energy_kwh: By when and where, PUE included, shape (T, R).
        pending_kwh: Of a checkpoint that is written at once, PUE included: drawn in the slot that has just run, not in `energy_kwh`.
        pending_gco2: What that emits, g.
        usd: Money for nodes and transfer.
        suspends: Number of pauses.
        moves: Changes of region after the first start.
    """

    energy_kwh: FloatArray
    pending_kwh: float
    pending_gco2: float
    usd: float
    suspends: int
    moves: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Costs:
    """Everything a plan of one workload from `now` on is priced with.

    Attributes:
        workload: Whose.
        progress: Where it stands.
        sites: Regions in the order of the arrays' last axis.
        now: Start of slot 0, aware UTC.
        slot_s: Length of a slot, seconds.
        intensity_gco2_per_kwh: Expected intensity, shape (T, R).
        allowed: Whether a region may be used in a slot, shape (T, R).
        spread_gco2_per_kwh: Standard deviation of the intensity's error, shape (T, R); None where it counts as certain.
    """

    workload: Workload
    progress: Progress
    sites: tuple[Site, ...]
    now: datetime
    slot_s: float
    intensity_gco2_per_kwh: FloatArray
    allowed: np.ndarray[tuple[int, int], np.dtype[np.bool_]]
    spread_gco2_per_kwh: FloatArray | None = None

    @classmethod
    def expected(
        cls,
        workload: Workload,
        progress: Progress,
        regions: Mapping[str, Region],
        snapshot: ForecastSnapshot,
        *,
        now: datetime,
        slot_s: float,
        blocked_until: Mapping[str, datetime] | None = None,
    ) -> Costs:
        """Costs by the forecast's median over all whole slots before the workload's latest finish (at least one).

        Raises:
            UnknownRegionError, NoCapacityError: As `sites_for`.
            UnknownZoneError: The snapshot lacks a region's zone.
            ForecastHorizonError: The forecast does not reach the deadline.
        """
        sites = sites_for(workload, regions)
        slots = max(1, math.floor((workload.latest_finish_at - now).total_seconds() / slot_s + _ROUNDING))
        columns = [snapshot[site.region.zone].resample(now, slot_s, slots) for site in sites]
        allowed = np.ones((slots, len(sites)), dtype=np.bool_)
        for index, site in enumerate(sites):
            until = (blocked_until or {}).get(site.region.name)
            if until is not None:
                allowed[: max(0, math.ceil((until - now).total_seconds() / slot_s)), index] = False
        return cls(
            workload=workload,
            progress=progress,
            sites=sites,
            now=now,
            slot_s=slot_s,
            intensity_gco2_per_kwh=np.stack(columns, axis=1),
            spread_gco2_per_kwh=np.stack([spread_of(snapshot[site.region.zone], now, slot_s, slots) for site in sites], axis=1),
            allowed=allowed,
        )

    @property
    def slot_h(self) -> float:
        """Length of a slot in hours."""
        return self.slot_s / S_PER_H

    @property
    def quanta(self) -> int:
        """Slots of work to do, the last one perhaps not filled."""
        return max(1, math.ceil(self.progress.remaining_h / self.slot_h - _ROUNDING))

    def slots_of(self, span_s: float) -> int:
        """Whole slots that a span fills at least in part."""
        return math.ceil(span_s / self.slot_s - _ROUNDING)

    def index_of(self, region: str) -> int | None:
        """Position of a region; None where it is not among the sites."""
        names = [site.region.name for site in self.sites]
        return names.index(region) if region in names else None

    def usd(self, *, gco2: FloatArray, usd: FloatArray | float) -> FloatArray:
        """The objective, element by element."""
        objective = self.workload.objective
        total: FloatArray = objective.usd_per_kgco2 * gco2 / 1000 + objective.usd_weight * usd
        return total

    def _row(self, values: list[float]) -> FloatArray:
        return np.array(values, dtype=np.float64)

    @property
    def running_kw(self) -> FloatArray:
        """Power while steps are made, PUE included, shape (R,)."""
        return self._row([site.running_kw for site in self.sites])

    @property
    def idle_kw(self) -> FloatArray:
        """Power while nodes are held without steps, PUE included, shape (R,)."""
        return self._row([site.idle_kw for site in self.sites])

    @property
    def usd_per_h(self) -> FloatArray:
        """Price of the nodes held, shape (R,)."""
        return self._row([site.usd_per_h for site in self.sites])

    def starting_weights_h(self, span_s: float) -> FloatArray:
        """Hours of a start-up of `span_s` seconds that fall in each of its slots."""
        count = self.slots_of(span_s)
        return np.clip(span_s / S_PER_H - np.arange(count) * self.slot_h, 0.0, self.slot_h)

    def _starting(self) -> FloatArray:
        """Objective of holding nodes through a start-up that begins in each slot, shape (T, R)."""
        weights = self.starting_weights_h(self.workload.overheads.startup_s)
        total = np.zeros_like(self.intensity_gco2_per_kwh)
        for offset, weight in enumerate(weights):
            held = self.usd(gco2=self.intensity_gco2_per_kwh * self.idle_kw * weight, usd=self.usd_per_h * weight)
            total = total + _shifted(held, offset, fill=np.inf)
        return total

    @property
    def run_usd(self) -> FloatArray:
        """Objective of running through each slot, allowed or not, shape (T, R)."""
        return self.usd(gco2=self.intensity_gco2_per_kwh * self.running_kw * self.slot_h, usd=self.usd_per_h * self.slot_h)

    @property
    def origin(self) -> int:
        """Index of the region that the next start comes from; one past the sites where it is none of them."""
        index = self.index_of(self.progress.region if self.progress.is_started else self.workload.home_region)
        return len(self.sites) if index is None else index

    @property
    def here(self) -> int:
        """Index of the region that plans are compared with: where it runs, else where it would go on, else the first site."""
        index = self.index_of(self.progress.region)
        return index or 0

    def problem(self) -> Problem:
        """The programme's arrays. An origin that is no site is one more region, in which nothing can run."""
        overheads, allowed = self.workload.overheads, self.allowed[:, :, None]
        run = self.run_usd[:, :, None]
        unit = self.usd(gco2=self.intensity_gco2_per_kwh * self.running_kw, usd=0.0)
        startup_slots = self.slots_of(overheads.startup_s)
        usable = np.stack([_shifted(self.allowed, offset, fill=False) for offset in range(startup_slots + 1)]).all(axis=0)
        run, hold = np.where(allowed, run, np.inf), np.where(usable, self._starting(), np.inf)[:, :, None]
        regions = max(len(self.sites), self.origin + 1)
        if regions > len(self.sites):
            outside = np.full((len(run), 1, 1), np.inf)
            run, hold = np.concatenate([run, outside], axis=1), np.concatenate([hold, outside], axis=1)
            unit = np.concatenate([unit, np.zeros((len(unit), 1))], axis=1)
        move, send, fee = self._moving(regions)
        return Problem(
            run=run,
            hold=hold,
            pause=overheads.checkpoint_h * unit,
            unit=unit,
            move=move,
            send=send,
            fee=fee,
            restore=overheads.restore_h,
            speed=np.ones(1, dtype=np.int64),
            waiting=self.workload.objective.usd_per_h_delay * self.slot_h,
            startup_slots=startup_slots,
            quanta=self.quanta,
            allowed=self.allowed,
        )

    def _moving(self, regions: int) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Running hours of a change of region at its end and at the region it leaves, and its price; each (R, R)."""
        elsewhere, overheads = 1.0 - np.eye(regions), self.workload.overheads
        fee = self.workload.objective.usd_weight * overheads.egress_usd * elsewhere
        return overheads.migrate_h * elsewhere, np.zeros((regions, regions)), fee

    def initial(self) -> Initial:
        """Where the programme begins."""
        region = self.index_of(self.progress.region)
        if not self.progress.is_running or region is None:
            return Initial(region=self.origin, origin=self.origin, is_started=self.progress.is_started)
        _, pending_gco2 = self._written_now(region, self.workload.overheads.checkpoint_h)
        weights = self.starting_weights_h(self.progress.starting_s)
        held = self.intensity_gco2_per_kwh[: len(weights), region]  # a start-up that outlasts the slots is never kept
        starting = self.usd(gco2=held * self.sites[region].idle_kw, usd=self.sites[region].usd_per_h) * weights[: len(held)]
        return Initial(
            region=region,
            origin=self.origin,
            is_running=True,
            is_started=self.progress.is_started,
            starting_slots=len(weights),
            starting=float(starting.sum()),
            pause=self.workload.objective.cost_usd(gco2=pending_gco2, usd=0.0),
        )

    def _written_now(self, region: int, span_h: float) -> tuple[float, float]:
        """Energy in kWh and emissions in g of a checkpoint of `span_h` running hours by what ran in a region until now."""
        last_gco2_per_kwh, energy_kwh = self.progress.last_gco2_per_kwh, span_h * self.sites[region].running_kw
        if last_gco2_per_kwh is None:
            last_gco2_per_kwh = float(self.intensity_gco2_per_kwh[0, region])
        return energy_kwh, energy_kwh * last_gco2_per_kwh

    def draw(self, path: Sequence[int], working: Sequence[bool]) -> Draw:
        """What a path draws and pays, by slot and region."""
        initial, overheads = self.initial(), self.workload.overheads
        slots, regions = len(self.intensity_gco2_per_kwh), len(self.sites)
        move, send, _ = self._moving(max(regions, self.origin + 1))
        running_h, idle_h, pending_h, suspends, starts = draw(
            np.array(path, dtype=np.int64),
            np.array(working, dtype=np.bool_),
            slots,
            len(move),
            initial.region,
            initial.origin,
            initial.is_running,
            initial.is_started,
            float(overheads.checkpoint_h),
            float(overheads.restore_h),
            move,
            send,
            self.slot_h,
            self.unused_h,
            self.starting_weights_h(self.progress.starting_s if initial.is_running else 0.0),
            self.starting_weights_h(overheads.startup_s),
        )
        held_h = np.zeros((slots, regions))
        for slot, (where, is_working) in enumerate(zip(path, working, strict=True)):
            if is_working:
                held_h[slot, where] = self.slot_h
        held_h[len(path) - 1, path[-1]] -= self.unused_h
        is_away, is_resume = starts[:, 0] != starts[:, 1], starts[:, 2] > 0
        pending_kwh, pending_gco2 = self._written_now(initial.region, pending_h) if pending_h else (0.0, 0.0)
        return Draw(
            energy_kwh=running_h[:, :regions] * self.running_kw + idle_h[:, :regions] * self.idle_kw,
            pending_kwh=pending_kwh,
            pending_gco2=pending_gco2,
            usd=float(((held_h + idle_h[:, :regions]) * self.usd_per_h).sum()) + overheads.egress_usd * int(is_away.sum()),
            suspends=int(suspends),
            moves=int((is_away & is_resume).sum()),
        )

    @property
    def unused_h(self) -> float:
        """Part of the last slot of work that is not needed."""
        return max(0.0, self.quanta * self.slot_h - self.progress.remaining_h)

    def expected_of(self, path: Sequence[int], working: Sequence[bool]) -> Expected:
        """What a path of `solve` costs, by the same model."""
        drawn = self.draw(path, working)
        gco2 = float((drawn.energy_kwh * self.intensity_gco2_per_kwh).sum()) + drawn.pending_gco2
        finish_at = self.now + timedelta(seconds=len(path) * self.slot_s) - timedelta(hours=self.unused_h)
        delay_h = (finish_at - self.now).total_seconds() / S_PER_H
        return Expected(
            objective_usd=self.workload.objective.cost_usd(gco2=gco2, usd=drawn.usd, delay_h=delay_h),
            gco2=gco2,
            energy_kwh=float(drawn.energy_kwh.sum()) + drawn.pending_kwh,
            usd=drawn.usd,
            finish_at=finish_at,
            suspends=drawn.suspends,
            moves=drawn.moves,
        )


def spread_of(forecast: Forecast, start_at: datetime, slot_s: float, slots: int) -> FloatArray:
    """Standard deviation of a forecast's error by slot, gCO2e per kWh, as if it were normal between the outer quantiles."""
    if not {LOW, HIGH} <= set(forecast.quantiles_gco2_per_kwh):
        return np.zeros(slots)
    apart = forecast.resample(start_at, slot_s, slots, HIGH) - forecast.resample(start_at, slot_s, slots, LOW)
    spread: FloatArray = apart / LEVELS_APART
    return spread


def _shifted(
    values: FloatArray | np.ndarray[tuple[int, int], np.dtype[np.bool_]], offset: int, *, fill: float | bool
) -> np.ndarray[tuple[int, int], Any]:
    """The rows from `offset` on, and `fill` where there are none."""
    moved = np.full_like(values, fill)
    moved[: max(0, len(values) - offset)] = values[offset:]
    return moved
