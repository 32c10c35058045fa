"""The regions that a workload may use, as it sees them: the nodes it would hold there, their power and their price."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from carbon_ray.core.errors import NoCapacityError, UnknownRegionError
from carbon_ray.core.region import NodeType, Region
from carbon_ray.core.units import W_PER_KW
from carbon_ray.core.workload import Workload


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
