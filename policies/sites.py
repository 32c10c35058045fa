"""The regions that a workload may use, as it sees them: the nodes it would hold there, their power and their price."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from carbon_ray.core.errors import NoCapacityError, UnknownRegionError
from carbon_ray.core.region import NodeType, Region
from carbon_ray.core.units import W_PER_KW
from carbon_ray.core.workload import Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """The nodes that one worker count takes in one region.

    Attributes:
        workers: The count.
        node_type: Of which kind they are.
        nodes: How many.
        running_kw: Their power while steps are made, PUE included.
        idle_kw: Their power while no steps are made, PUE included.
        usd_per_h: Their price.
    """

    workers: int
    node_type: NodeType
    nodes: int
    running_kw: float
    idle_kw: float
    usd_per_h: float

    @classmethod
    def of(cls, workload: Workload, region: Region, workers: int) -> Hold | None:
        """The cheapest nodes that hold the workers; None where none do."""
        offer = region.node_type_for(workers, workload.resources_per_worker)
        if offer is None:
            return None
        node_type, nodes = offer
        return cls(
            workers=workers,
            node_type=node_type,
            nodes=nodes,
            running_kw=nodes * node_type.power.power_w(workload.utilisation_fraction) / W_PER_KW * region.pue,
            idle_kw=nodes * node_type.power.power_w(0.0) / W_PER_KW * region.pue,
            usd_per_h=nodes * node_type.usd_per_h,
        )


def nominal(workload: Workload, region: Region) -> Hold | None:
    """The nodes by whose power overheads are counted: those of the default count, or where it does not fit of the most that does."""
    by_default = Hold.of(workload, region, workload.workers)
    if by_default is not None or not workload.is_elastic:
        return by_default
    fitting = (Hold.of(workload, region, workers) for workers in reversed(workload.counts))
    return next((hold for hold in fitting if hold is not None), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One region as the workload sees it.

    Attributes:
        region: Which.
        nominal: The nodes that stand for the region where no worker count is named; see `nominal`.
        holds: The nodes by worker count, in the order of `Workload.counts`; None where a count does not fit.
    """

    region: Region
    nominal: Hold
    holds: tuple[Hold | None, ...]

    @property
    def node_type(self) -> NodeType:
        """Of the nominal nodes."""
        return self.nominal.node_type

    @property
    def nodes(self) -> int:
        """Number of the nominal nodes."""
        return self.nominal.nodes

    @property
    def running_kw(self) -> float:
        """Power of the nominal nodes while steps are made, PUE included."""
        return self.nominal.running_kw

    @property
    def idle_kw(self) -> float:
        """Power of the nominal nodes while no steps are made, PUE included."""
        return self.nominal.idle_kw

    @property
    def usd_per_h(self) -> float:
        """Price of the nominal nodes."""
        return self.nominal.usd_per_h


def sites_for(workload: Workload, regions: Mapping[str, Region]) -> tuple[Site, ...]:
    """The allowed regions that can ever hold the workload's workers, or some of its counts, in the workload's order.

    Raises:
        UnknownRegionError: An allowed region, or the home region, is not in `regions`.
        NoCapacityError: None of them can hold the workers.
    """
    for name in (*workload.regions, workload.home_region):
        if name not in regions:
            raise UnknownRegionError(name, tuple(regions))
    sites = []
    for name in dict.fromkeys(workload.regions):
        standing = nominal(workload, regions[name])
        if standing is not None:
            holds = tuple(Hold.of(workload, regions[name], workers) for workers in workload.counts) if workload.is_elastic else (standing,)
            sites.append(Site(region=regions[name], nominal=standing, holds=holds))
    if not sites:
        wanted = ", ".join(f"{amount:g} {name}" for name, amount in workload.resources_per_worker.items())
        raise NoCapacityError(
            f"none of the regions {', '.join(workload.regions)} can hold {workload.counts[0]} workers of {wanted} each; ask for fewer or "
            f"smaller workers, allow more regions, or raise max_workers of a node type"
        )
    return tuple(sites)
