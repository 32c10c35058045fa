"""The sites of a workload as arrays, one row a region: made once for all workloads that see the same regions alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from carbon_ray.core.errors import UnknownRegionError
from carbon_ray.core.intensity import FloatArray
from carbon_ray.core.region import Region
from carbon_ray.core.workload import Workload
from carbon_ray.policies.recent import Recent
from carbon_ray.policies.sites import Site, sites_for


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Holding:
    """The nodes of every worker count in every region.

    Attributes:
        running_kw: Power while steps are made, PUE included, shape (R, N); 0 where a count does not fit.
        idle_kw: Power while no steps are made, likewise.
        usd_per_h: Price, likewise.
        fits: Whether the region holds the count, shape (R, N).
    """

    running_kw: FloatArray
    idle_kw: FloatArray
    usd_per_h: FloatArray
    fits: np.ndarray[tuple[int, int], np.dtype[np.bool_]]


class SiteTable:
    """Sites as arrays; not to be written to.

    Attributes:
        index: Position by region's name.
        zones: Grid zone of each.
        running_kw: Power of the nominal nodes while steps are made, PUE included, shape (R,).
        idle_kw: ... while no steps are made, likewise.
        usd_per_h: Their price, likewise.
        holding: The nodes by region and worker count.

    Args:
        sites: In the order of the arrays.
    """

    def __init__(self, sites: tuple[Site, ...]) -> None:
        self.index = {site.region.name: index for index, site in enumerate(sites)}
        self.zones = tuple(site.region.zone for site in sites)
        self.running_kw: FloatArray = np.array([site.running_kw for site in sites], dtype=np.float64)
        self.idle_kw: FloatArray = np.array([site.idle_kw for site in sites], dtype=np.float64)
        self.usd_per_h: FloatArray = np.array([site.usd_per_h for site in sites], dtype=np.float64)
        rows = [
            [(0.0, 0.0, 0.0, 0.0) if hold is None else (hold.running_kw, hold.idle_kw, hold.usd_per_h, 1.0) for hold in site.holds]
            for site in sites
        ]
        table = np.array(rows, dtype=np.float64).transpose(2, 0, 1).copy()
        self.holding = Holding(running_kw=table[0], idle_kw=table[1], usd_per_h=table[2], fits=table[3] > 0)


_sites: Recent[tuple[Site, ...]] = Recent(256)
_tables: Recent[SiteTable] = Recent(256)


def shared_sites(workload: Workload, regions: Mapping[str, Region]) -> tuple[Site, ...]:
    """`sites_for`, the same object for all workloads that ask for the same in the same regions.

    Raises:
        UnknownRegionError, NoCapacityError: As there.
    """
    if workload.home_region not in regions:
        raise UnknownRegionError(workload.home_region, tuple(regions))
    held = tuple(map(regions.get, workload.regions))
    wanted = tuple(workload.resources_per_worker.items())
    key = (workload.regions, tuple(map(id, held)), workload.workers, workload.worker_counts, wanted, workload.utilisation_fraction)
    return _sites.get(key, held, lambda: sites_for(workload, regions))


def table_of(sites: tuple[Site, ...]) -> SiteTable:
    """The sites as arrays."""
    return _tables.get(id(sites), sites, lambda: SiteTable(sites))
