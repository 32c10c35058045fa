"""From a workload, regions and a forecast to the programme's cost arrays, and from a path back to what it costs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from carbon_ray.core.errors import NoCapacityError, UnknownRegionError
from carbon_ray.core.forecast import ForecastSnapshot
from carbon_ray.core.intensity import FloatArray
from carbon_ray.core.plan import Expected
from carbon_ray.core.region import NodeType, Region
from carbon_ray.core.units import S_PER_H, W_PER_KW
from carbon_ray.core.workload import Progress, Workload
from carbon_ray.policies.programme import IDLE, Initial, Problem

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One region as the workload sees it: the nodes it would hold there."""

    region: Region
    node_type: NodeType
    nodes: int
    running_kw: float
    idle_kw: float
    usd_per_h: float


def sites_for(workload: Workload, regions: Mapping[str, Region]) -> tuple[Site, ...]:
    """The allowed regions that can ever hold the workload's workers, in the workload's order.

    Raises:
        UnknownRegionError: An allowed region, or the home region, is not in `regions`.
        NoCapacityError: None of them can hold the workers.
    """
    for name in (*workload.regions, workload.home_region):
        if name not in regions:
            raise UnknownRegionError(name, tuple(regions))
    sites = []
    for name in dict.fromkeys(workload.regions):
        offer = regions[name].node_type_for(workload.workers, workload.resources_per_worker)
        if offer is None:
            continue
        node_type, nodes = offer
        sites.append(
            Site(
                region=regions[name],
                node_type=node_type,
                nodes=nodes,
                running_kw=nodes * node_type.power.power_w(workload.utilisation_fraction) / W_PER_KW * regions[name].pue,
                idle_kw=nodes * node_type.power.power_w(0.0) / W_PER_KW * regions[name].pue,
                usd_per_h=nodes * node_type.usd_per_h,
            )
        )
    if not sites:
        wanted = ", ".join(f"{amount:g} {name}" for name, amount in workload.resources_per_worker.items())
        raise NoCapacityError(
            f"none of the regions {', '.join(workload.regions)} can hold {workload.workers} workers of {wanted} each; ask for fewer or "
            f"smaller workers, allow more regions, or raise max_workers of a node type"
        )
    return tuple(sites)


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
    """

    workload: Workload
    progress: Progress
    sites: tuple[Site, ...]
    now: datetime
    slot_s: float
    intensity_gco2_per_kwh: FloatArray
    allowed: np.ndarray[tuple[int, int], np.dtype[np.bool_]]

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
            shifted = np.full_like(total, np.inf)
            count = len(total) - offset
            if count > 0:
                shifted[:count] = self.usd(gco2=self.intensity_gco2_per_kwh[offset:] * self.idle_kw * weight, usd=self.usd_per_h * weight)
            total = total + shifted
        return total

    def problem(self) -> Problem:
        """The programme's arrays."""
        overheads, intensity, regions = self.workload.overheads, self.intensity_gco2_per_kwh, len(self.sites)
        run = self.usd(gco2=intensity * self.running_kw * self.slot_h, usd=self.usd_per_h * self.slot_h)
        per_running_h = self.usd(gco2=intensity * self.running_kw, usd=0.0)
        starting = self._starting()
        elsewhere = 1.0 - np.eye(regions)
        egress = self.workload.objective.usd_weight * overheads.egress_usd * elsewhere
        start = (
            (starting + overheads.restore_h * per_running_h)[:, None, :]
            + overheads.migrate_h * per_running_h[:, None, :] * elsewhere[None]
            + egress[None]
        )
        home = self.index_of(self.workload.home_region)
        away = np.ones(regions) if home is None else elsewhere[home]
        first = starting + overheads.migrate_h * per_running_h * away + self.workload.objective.usd_weight * overheads.egress_usd * away
        return Problem(
            run=run,
            pause=overheads.checkpoint_h * per_running_h,
            start=start,
            first_start=first,
            waiting=self.workload.objective.usd_per_h_delay * self.slot_h,
            startup_slots=self.slots_of(overheads.startup_s),
            quanta=self.quanta,
            allowed=self.allowed,
        )

    def initial(self) -> Initial:
        """Where the programme begins. A checkpoint in a region that is no longer allowed counts as being in the first one."""
        region = self.index_of(self.progress.region)
        is_running = self.progress.is_running and region is not None
        index = region or 0
        pause = self.workload.overheads.checkpoint_h * self.usd(gco2=self.intensity_gco2_per_kwh[0] * self.running_kw, usd=0.0)[index]
        weights = self.starting_weights_h(self.progress.starting_s if is_running else 0.0)
        held = self.intensity_gco2_per_kwh[: len(weights), index]  # a start-up that outlasts the slots is never kept
        starting = self.usd(gco2=held * self.sites[index].idle_kw, usd=self.sites[index].usd_per_h) * weights[: len(held)]
        return Initial(
            region=index,
            is_running=is_running,
            is_started=self.progress.is_started,
            starting_slots=len(weights),
            starting=float(starting.sum()),
            pause=float(pause),
        )

    def expected_of(self, path: tuple[int, ...], working: tuple[bool, ...]) -> Expected:
        """What a path of `solve` costs, by the same model."""
        overheads, intensity = self.workload.overheads, self.intensity_gco2_per_kwh
        gco2 = energy_kwh = usd = 0.0
        suspends = moves = 0
        initial = self.initial()
        at, is_running, is_started = initial.region, initial.is_running, initial.is_started
        home = self.index_of(self.workload.home_region)
        starting = self.starting_weights_h(self.progress.starting_s if is_running else 0.0)
        since = 0
        egress_usd = 0.0

        def spend(hours: float, kw: float, slot: int, where: int, usd_per_h: float = 0.0) -> None:
            nonlocal gco2, energy_kwh, usd
            energy_kwh += kw * hours
            gco2 += kw * hours * float(intensity[slot, where])
            usd += usd_per_h * hours

        last = len(path) - 1
        unused_h = self.quanta * self.slot_h - self.progress.remaining_h
        for slot, where in enumerate(path):
            if is_running and where != at:
                spend(overheads.checkpoint_h, self.sites[at].running_kw, max(slot - 1, 0), at)
                suspends += where == IDLE
                is_running = False
            if where == IDLE:
                continue
            site = self.sites[where]
            if not is_running:
                away = where != (at if is_started else home)
                moves += away and is_started
                spend(overheads.restore_h * is_started + overheads.migrate_h * away, site.running_kw, slot, where)
                egress_usd += overheads.egress_usd * away
                starting, since = self.starting_weights_h(overheads.startup_s), slot
                at, is_running, is_started = where, True, True
            if working[slot]:
                is_started = True
                spend(self.slot_h - (unused_h if slot == last else 0.0), site.running_kw, slot, where, site.usd_per_h)
            else:
                spend(float(starting[slot - since]), site.idle_kw, slot, where, site.usd_per_h)
        usd += egress_usd
        finish_at = self.now + timedelta(seconds=len(path) * self.slot_s) - timedelta(hours=max(0.0, unused_h))
        delay_h = (finish_at - self.now).total_seconds() / S_PER_H
        return Expected(
            objective_usd=self.workload.objective.cost_usd(gco2=gco2, usd=usd, delay_h=delay_h),
            gco2=gco2,
            energy_kwh=energy_kwh,
            usd=usd,
            finish_at=finish_at,
            suspends=suspends,
            moves=moves,
        )
