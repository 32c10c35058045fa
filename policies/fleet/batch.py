"""From members and surroundings to the arrays that the kernels read: one forecast matrix for all, few lines of Python a member."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carbon_ray.core.errors import UnknownRegionError
from carbon_ray.core.forecast import ForecastSnapshot
from carbon_ray.core.intensity import FloatArray
from carbon_ray.core.region import Region
from carbon_ray.core.units import S_PER_H
from carbon_ray.core.workload import Workload
from carbon_ray.policies.base import Member
from carbon_ray.policies.costs import Costs
from carbon_ray.policies.expectation import expectation
from carbon_ray.policies.fleet.kernel import NOBODY_LOOKED, Columns, IntArray, Scratch, scratch_for
from carbon_ray.policies.fleet.member import FairShares, Offer, pools_of
from carbon_ray.policies.recent import Recent
from carbon_ray.policies.site_table import shared_sites
from carbon_ray.policies.sites import Site

_ROUNDING = 1e-9

_SITE_FIELDS = 6
"""Fields of `Columns` that have one number a site; the others have one a member."""

_REAL = frozenset(
    [
        "starting_h",
        "startup_h",
        "usd_per_kgco2",
        "usd_weight",
        "waiting",
        "last_gco2_per_kwh",
        "checkpoint_h",
        "restore_h",
        "migrate_h",
        "fee",
        "weight",
    ]
)
"""Fields of `Columns` with one number a member that need not be whole."""


class Shape:
    """The sites of all workloads that ask for the same workers in the same regions, and where they stand in the arrays."""

    def __init__(self, workload: Workload, regions: Mapping[str, Region], first: int) -> None:
        self.sites: tuple[Site, ...] = shared_sites(workload, regions)
        self.index = {site.region.name: index for index, site in enumerate(self.sites)}
        self.first = first
        order = list(regions)
        self.regions: IntArray = np.array([order.index(site.region.name) for site in self.sites], dtype=np.int64)


def _key(workload: Workload) -> tuple[object, ...]:
    wanted = tuple(sorted(workload.resources_per_worker.items()))
    return workload.regions, workload.workers, wanted, workload.utilisation_fraction


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """Members of one instant as the kernels see them.

    Attributes:
        members: In the order of all arrays.
        now: Start of slot 0, aware UTC.
        slot_s: Length of a slot, seconds.
        columns: Numbers of the members and their sites.
        shapes: Sites of each member.
        intensity_gco2_per_kwh: Expected intensity by slot and region, shape (T, R).
        spread_gco2_per_kwh: Standard deviation of its error, same shape.
        allowed: Whether a region may be used in a slot, shape (T, R).
        capacity: Nodes by slot and pool, shape (T, P).
        pools: Names of the node types.
        scratch: Memory of the kernels.
    """

    members: tuple[Member, ...]
    now: datetime
    slot_s: float
    columns: Columns
    shapes: tuple[Shape, ...]
    intensity_gco2_per_kwh: FloatArray
    spread_gco2_per_kwh: FloatArray
    allowed: NDArray[np.bool_]
    capacity: FloatArray
    pools: tuple[str, ...]
    scratch: Scratch

    @classmethod
    def of(
        cls,
        members: Sequence[Member],
        regions: Mapping[str, Region],
        snapshot: ForecastSnapshot,
        *,
        now: datetime,
        slot_s: float,
        blocked_until: Mapping[str, datetime] | None = None,
        offer: Offer | None = None,
        shares: FairShares | None = None,
        until_at: datetime | None = None,
    ) -> Batch:
        """The arrays.

        Args:
            members: Who; elastic ones are planned with their default worker count.
            regions: Every region of the cluster, by name.
            snapshot: Forecasts.
            now: Start of slot 0, aware UTC.
            slot_s: Length of a slot, seconds.
            blocked_until: Regions that cannot give nodes before an instant.
            offer: Nodes on offer; node types that it does not name, or all without it, are there with `max_nodes`.
            shares: Weights of teams.
            until_at: Plan every member up to this instant and not to its own latest finish.

        Raises:
            UnknownRegionError: A workload names a region that the cluster lacks.
            NoCapacityError: No allowed region can hold a workload's workers.
            UnknownZoneError: The snapshot lacks a region's zone.
            ForecastHorizonError: A forecast does not reach the deadline of a workload that may use the region.
            OutsideDataError: The offer does not.
        """
        slot_h, fair = slot_s / S_PER_H, shares or FairShares()
        members = [replace(member, workload=member.workload.rigid) if member.workload.worker_counts else member for member in members]
        known: dict[tuple[object, ...], Shape] = {}
        shapes, rows, count_of_sites = [], list[tuple[float, ...]](), 0
        for member in members:
            workload, progress = member.workload, member.progress
            if workload.home_region not in regions:
                raise UnknownRegionError(workload.home_region, tuple(regions))
            key = _key(workload)
            shape = known.get(key)
            if shape is None:
                shape = known[key] = Shape(workload, regions, count_of_sites)
                count_of_sites += len(shape.sites)
            shapes.append(shape)
            objective, overheads = workload.objective, workload.overheads
            end_at = until_at or workload.latest_finish_at
            slots = max(1, math.floor((end_at - now).total_seconds() / slot_s + _ROUNDING))
            count = len(shape.sites)
            origin = shape.index.get(progress.region if progress.is_started else workload.home_region, count)
            region = shape.index.get(progress.region)
            is_running = progress.is_running and region is not None
            rows.append(
                (
                    shape.first,
                    count,
                    slots,
                    max(1, math.ceil(progress.remaining_h / slot_h - _ROUNDING)),
                    origin if region is None or not is_running else region,
                    origin,
                    is_running,
                    progress.is_started,
                    progress.starting_s / S_PER_H,
                    overheads.startup_s / S_PER_H,
                    math.ceil(progress.starting_s / slot_s - _ROUNDING) if is_running else 0,
                    math.ceil(overheads.startup_s / slot_s - _ROUNDING),
                    objective.usd_per_kgco2,
                    objective.usd_weight,
                    objective.usd_per_h_delay * slot_h,
                    NOBODY_LOOKED if progress.last_gco2_per_kwh is None else progress.last_gco2_per_kwh,
                    overheads.checkpoint_h,
                    overheads.restore_h,
                    overheads.migrate_h,
                    objective.usd_weight * overheads.egress_usd,
                    fair.weight_of(member),
                )
            )
        named, pools = _pools(regions)
        columns = _columns(rows, tuple(known.values()), regions, named)
        longest = int(columns.slots.max(initial=1))
        room = np.tile(np.array(list(pools.values())), (longest, 1)) if offer is None else offer.room(pools, now, slot_s, longest)
        allowed = np.ones((longest, len(regions)), dtype=np.bool_)
        for index, name in enumerate(regions):
            if (until := (blocked_until or {}).get(name)) is not None:
                allowed[: max(0, math.ceil((until - now).total_seconds() / slot_s)), index] = False
        reach = dict[int, int]()
        for shape in known.values():
            furthest = int(columns.slots[columns.first_site == shape.first].max())
            for where in shape.regions.tolist():
                reach[where] = max(reach.get(where, 0), furthest)
        intensity, spread = _expected(regions, snapshot, reach, now, slot_s, longest)
        return cls(
            members=tuple(members),
            now=now,
            slot_s=slot_s,
            columns=columns,
            shapes=tuple(shapes),
            intensity_gco2_per_kwh=intensity,
            spread_gco2_per_kwh=spread,
            allowed=allowed,
            capacity=room,
            pools=tuple(pools),
            scratch=scratch_for(columns),
        )

    @property
    def slot_h(self) -> float:
        """Length of a slot in hours."""
        return self.slot_s / S_PER_H

    def costs(self, index: int) -> Costs:
        """What `Costs.expected` would give for one member, without asking the forecast again."""
        shape, slots = self.shapes[index], int(self.columns.slots[index])
        member = self.members[index]
        return Costs(
            workload=member.workload,
            progress=member.progress,
            sites=shape.sites,
            now=self.now,
            slot_s=self.slot_s,
            intensity_gco2_per_kwh=self.intensity_gco2_per_kwh[:slots, shape.regions],
            spread_gco2_per_kwh=self.spread_gco2_per_kwh[:slots, shape.regions],
            allowed=self.allowed[:slots, shape.regions],
        )


Pools = tuple[dict[tuple[str, str], str], dict[str, float]]
"""Name by region and node type, and most nodes by name."""

_recent_pools: Recent[Pools] = Recent(16)
_recent_sites: Recent[list[NDArray[Any]]] = Recent(64)


def _identity(regions: Mapping[str, Region]) -> tuple[object, ...]:
    return (tuple(regions), *map(id, regions.values()))


def _pools(regions: Mapping[str, Region]) -> Pools:
    """Of equal regions made once."""

    def made() -> Pools:
        named = pools_of(regions)
        return named, {named[place, one.name]: float(one.max_nodes) for place in regions for one in regions[place].node_types}

    return _recent_pools.get(_identity(regions), tuple(regions.values()), made)


def _columns(
    rows: Sequence[tuple[float, ...]], shapes: tuple[Shape, ...], regions: Mapping[str, Region], pools: Mapping[tuple[str, str], str]
) -> Columns:
    table = np.array(rows, dtype=np.float64).reshape(len(rows), len(Columns._fields) - _SITE_FIELDS).T
    named = zip(Columns._fields, table, strict=False)  # the fields of members come first
    per_member = [values.copy() if name in _REAL else values.astype(np.int64) for name, values in named]
    sites = tuple(shape.sites for shape in shapes)
    key = (_identity(regions), *map(id, sites))
    per_site = _recent_sites.get(
        key, (tuple(regions.values()), sites), lambda: _of_sites([one for row in sites for one in row], regions, pools)
    )
    return Columns._make([*per_member, *per_site])


def _of_sites(sites: Sequence[Site], regions: Mapping[str, Region], pools: Mapping[tuple[str, str], str]) -> list[NDArray[Any]]:
    """The fields of `Columns` that have one number a site."""
    region_of, pool_of = {name: i for i, name in enumerate(regions)}, {pair: i for i, pair in enumerate(pools)}
    return [
        np.array([region_of[site.region.name] for site in sites], dtype=np.int64),
        np.array([pool_of[site.region.name, site.node_type.name] for site in sites], dtype=np.int64),
        np.array([site.nodes for site in sites], dtype=np.float64),
        np.array([site.running_kw for site in sites], dtype=np.float64),
        np.array([site.idle_kw for site in sites], dtype=np.float64),
        np.array([site.usd_per_h for site in sites], dtype=np.float64),
    ]


def _expected(
    regions: Mapping[str, Region], snapshot: ForecastSnapshot, reach: Mapping[int, int], now: datetime, slot_s: float, longest: int
) -> tuple[FloatArray, FloatArray]:
    """Median and standard deviation of each region's intensity as far as they are asked for; the rest is never read."""
    if all(reach.get(index, 0) == longest for index in range(len(regions))):
        return expectation(snapshot, tuple(region.zone for region in regions.values()), now, slot_s, longest)
    median, spread = np.zeros((longest, len(regions))), np.zeros((longest, len(regions)))
    for index, region in enumerate(regions.values()):
        if count := reach.get(index, 0):
            median[:count, index : index + 1], spread[:count, index : index + 1] = expectation(snapshot, (region.zone,), now, slot_s, count)
    return median, spread
