"""What a plan of one workload is priced with: its sites, the forecast on slots, and what follows from both."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

import numpy as np

from carbon_ray.core.forecast import ForecastSnapshot
from carbon_ray.core.intensity import FloatArray
from carbon_ray.core.plan import Expected
from carbon_ray.core.region import Region
from carbon_ray.core.units import S_PER_H
from carbon_ray.core.workload import Progress, Workload
from carbon_ray.policies.drawing import Draw, draw_of, walking_of
from carbon_ray.policies.expectation import expectation
from carbon_ray.policies.programme import Initial, Problem
from carbon_ray.policies.scaling import Grain, grain_of
from carbon_ray.policies.site_table import Holding, SiteTable, shared_sites, table_of
from carbon_ray.policies.sites import Site
from carbon_ray.policies.stating import initial_of, problem_of
from carbon_ray.policies.transfers import Moving, moving_of

_ROUNDING = 1e-9
Course = tuple[tuple[int, ...], tuple[bool, ...], tuple[int, ...]]
"""Region, whether there is progress, and worker count's index by slot."""


@dataclass(frozen=True, kw_only=True, eq=False)  # no slots: what follows from the fields is kept beside them
class Costs:
    """Everything a plan of one workload from `now` on is priced with. Arrays are not to be written to.

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
        sites = shared_sites(workload, regions)
        slots = max(1, math.floor((workload.latest_finish_at - now).total_seconds() / slot_s + _ROUNDING))
        median, spread = expectation(snapshot, table_of(sites).zones, now, slot_s, slots)
        allowed = np.ones((slots, len(sites)), dtype=np.bool_)
        for name, until in (blocked_until or {}).items():
            index = table_of(sites).index.get(name)
            if index is not None:
                allowed[: max(0, math.ceil((until - now).total_seconds() / slot_s)), index] = False
        return cls(
            workload=workload,
            progress=progress,
            sites=sites,
            now=now,
            slot_s=slot_s,
            intensity_gco2_per_kwh=median,
            spread_gco2_per_kwh=spread,
            allowed=allowed,
        )

    @property
    def slot_h(self) -> float:
        """Length of a slot in hours."""
        return self.slot_s / S_PER_H

    @cached_property
    def grain(self) -> Grain:
        """What work is counted in."""
        return grain_of(self.workload, self.slot_s, len(self.sites))

    @cached_property
    def rates(self) -> tuple[float, ...]:
        """Running hours done in an hour, by worker count."""
        return tuple(self.workload.rate(workers) for workers in self.workload.counts)

    @cached_property
    def quanta(self) -> int:
        """Quanta of work to make room for, the last one perhaps not filled; of a rigid workload slots."""
        return self.grain.quanta(self.longest_h)

    @cached_property
    def longest_h(self) -> float:
        """Running hours still to do that plans make room for; what they are expected to cost is counted by the estimate."""
        return self.progress.longest_h(self.workload)

    def working_slots(self, level: int) -> int:
        """Slots that the rest of the work takes with one worker count, the last one perhaps not filled."""
        return max(1, math.ceil(self.longest_h / (self.rates[level] * self.slot_h) - _ROUNDING))

    def slots_of(self, span_s: float) -> int:
        """Whole slots that a span fills at least in part."""
        return math.ceil(span_s / self.slot_s - _ROUNDING)

    @property
    def shortest_slots(self) -> int:
        """Slots that a segment works at least."""
        return max(1, self.slots_of(self.workload.min_segment_s))

    @cached_property
    def moves_left(self) -> int | None:
        """Changes of region that the workload may still make; None = any number."""
        return None if self.workload.max_moves is None else max(0, self.workload.max_moves - self.progress.moves)

    @cached_property
    def open_slots(self) -> list[int]:
        """Slots from now on in which each region may run, up to the first in which it may not."""
        ever_shut = ~self.allowed.all(axis=0)
        return [int(slots) for slots in np.where(ever_shut, self.allowed.argmin(axis=0), len(self.allowed))]

    def is_reachable(self, where: int) -> bool:
        """False where the limit of moves forbids to start there."""
        return self.moves_left != 0 or not self.progress.is_started or where == self.origin

    @cached_property
    def table(self) -> SiteTable:
        """The sites as arrays."""
        return table_of(self.sites)

    def index_of(self, region: str) -> int | None:
        """Position of a region; None where it is not among the sites."""
        return self.table.index.get(region)

    def usd(self, *, gco2: FloatArray, usd: FloatArray | float) -> FloatArray:
        """The objective, element by element."""
        objective = self.workload.objective
        total: FloatArray = objective.usd_per_kgco2 * gco2 / 1000 + objective.usd_weight * usd
        return total

    @property
    def running_kw(self) -> FloatArray:
        """Power while steps are made, PUE included, shape (R,)."""
        return self.table.running_kw

    @property
    def idle_kw(self) -> FloatArray:
        """Power while nodes are held without steps, PUE included, shape (R,)."""
        return self.table.idle_kw

    @property
    def usd_per_h(self) -> FloatArray:
        """Price of the nodes held, shape (R,)."""
        return self.table.usd_per_h

    @property
    def holding(self) -> Holding:
        """The nodes by region and worker count."""
        return self.table.holding

    def starting_weights_h(self, span_s: float) -> FloatArray:
        """Hours of a start-up of `span_s` seconds that fall in each of its slots."""
        count = self.slots_of(span_s)
        return np.clip(span_s / S_PER_H - np.arange(count) * self.slot_h, 0.0, self.slot_h)

    @cached_property
    def run_usd(self) -> FloatArray:
        """Objective of running through each slot, allowed or not, shape (T, R)."""
        return self.usd(gco2=self.intensity_gco2_per_kwh * self.running_kw * self.slot_h, usd=self.usd_per_h * self.slot_h)

    @cached_property
    def origin(self) -> int:
        """Index of the region that the next start comes from; one past the sites where it is none of them."""
        index = self.index_of(self.progress.region if self.progress.is_started else self.workload.home_region)
        return len(self.sites) if index is None else index

    @cached_property
    def here(self) -> int:
        """Index of the region that plans are compared with: where it runs, else where it would go on, else the first site."""
        index = self.index_of(self.progress.region)
        return index or 0

    @cached_property
    def moving(self) -> Moving:
        """What changes of region take."""
        return moving_of(self)

    def startup_s(self, where: int) -> float:
        """Time from the start of a segment there to its first step, at worst; longer where its checkpoint comes from elsewhere."""
        overheads = self.workload.overheads
        return overheads.startup_s if where == self.origin or overheads.transfers is None else float(self.moving.arrival_s[where])

    def written_now(self, region: int, span_h: float) -> tuple[float, float]:
        """Energy in kWh and emissions in g of a checkpoint of `span_h` running hours by what ran in a region until now."""
        last_gco2_per_kwh, energy_kwh = self.progress.last_gco2_per_kwh, span_h * self.sites[region].running_kw
        if last_gco2_per_kwh is None:
            last_gco2_per_kwh = float(self.intensity_gco2_per_kwh[0, region])
        return energy_kwh, energy_kwh * last_gco2_per_kwh

    def problem(self) -> Problem:
        """The programme's arrays."""
        return problem_of(self)

    def initial(self) -> Initial:
        """Where the programme begins."""
        return self._initial

    @cached_property
    def _initial(self) -> Initial:
        return initial_of(self)

    def draw(self, path: Sequence[int], working: Sequence[bool], levels: Sequence[int] | None = None) -> Draw:
        """What a path draws and pays, by slot and region; see `draw_of`."""
        return draw_of(self, path, working, levels)

    @cached_property
    def walking(self) -> tuple[Any, ...]:
        """What every path is drawn with."""
        return walking_of(self)

    def expected_of(self, path: Sequence[int], working: Sequence[bool], levels: Sequence[int] | None = None) -> Expected:
        """What a path of `solve` costs, by the same model; worked out once."""
        key = (tuple(path), tuple(working), (0,) * len(path) if levels is None else tuple(levels))
        if key not in self.worked_out:
            drawn = self.draw(path, working, levels)
            gco2 = float((drawn.energy_kwh * self.intensity_gco2_per_kwh).sum()) + drawn.pending_gco2
            self.worked_out[key] = self.as_expected(
                gco2=gco2,
                energy_kwh=float(drawn.energy_kwh.sum()) + drawn.pending_kwh,
                usd=drawn.usd,
                finish_h=drawn.finish_h,
                suspends=drawn.suspends,
                moves=drawn.moves,
                rescales=drawn.rescales,
            )
        return self.worked_out[key]

    @cached_property
    def worked_out(self) -> dict[Course, Expected]:
        """What courses cost, by path, working slots and worker counts, as far as somebody has asked."""
        return {}

    def as_expected(
        self, *, gco2: float, energy_kwh: float, usd: float, finish_h: float, suspends: int, moves: int, rescales: int
    ) -> Expected:
        """What a course comes to, with the objective's value and the instant that it ends at."""
        return Expected(
            objective_usd=self.workload.objective.cost_usd(gco2=gco2, usd=usd, delay_h=finish_h),
            gco2=gco2,
            energy_kwh=energy_kwh,
            usd=usd,
            finish_at=self.now + timedelta(hours=finish_h),
            suspends=suspends,
            moves=moves,
            rescales=rescales,
        )
