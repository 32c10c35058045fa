"""The nodes of all regions: what a worker count takes, and who holds how many. Nothing is ever given out twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from carbon_ray.core.decision import Placement
from carbon_ray.core.errors import NoCapacityError, UnknownRegionError
from carbon_ray.core.region import Region
from carbon_ray.core.workload import Workload
from carbon_ray.policies.sites import Hold, nominal
from carbon_ray.sim.jobs import JobSet
from carbon_ray.sim.truth import ZoneTruth


@dataclass(frozen=True, slots=True)
class Holding:
    """The nodes that a worker count takes in a region, and what they draw and cost; `overhead_kw` is what overheads are counted by."""

    region: str
    workers: int
    node_type: str
    nodes: int
    running_kw: float
    idle_kw: float
    usd_per_h: float
    overhead_kw: float
    truth: ZoneTruth

    @classmethod
    def of(cls, workload: Workload, region: Region, workers: int, truth: ZoneTruth) -> Holding | None:
        """The cheapest nodes that hold the workers, priced as plans are; None where none do."""
        hold = Hold.of(workload, region, workers)
        if hold is None:
            return None
        return cls(
            region=region.name,
            workers=workers,
            node_type=hold.node_type.name,
            nodes=hold.nodes,
            running_kw=hold.running_kw,
            idle_kw=hold.idle_kw,
            usd_per_h=hold.usd_per_h,
            overhead_kw=(nominal(workload, region) or hold).running_kw,
            truth=truth,
        )


_Key = tuple[str, int, int, tuple[int, ...], tuple[tuple[str, float], ...], float]


class Nodes:
    """Free nodes by region and node type.

    Args:
        regions: By name.
        truth: What comes true in each, by region name.
        jobs: All that will ever ask: where even all of them together do not fill a node type, nobody is in anybody's way.
        is_shared: False = each job has all nodes to itself.
    """

    def __init__(self, regions: Mapping[str, Region], truth: Mapping[str, ZoneTruth], jobs: JobSet, *, is_shared: bool) -> None:
        self._regions, self._truth = regions, truth
        self._holdings: dict[_Key, Holding | None] = {}
        self._free = {(name, one.name): one.max_nodes for name, region in regions.items() for one in region.node_types}
        self._is_shared = is_shared
        most = sum(max(job.workload.counts) for job in jobs.jobs)  # a worker never takes more than a node
        self._scarce = {key for key, free in self._free.items() if is_shared and free < most}

    @property
    def is_scarce(self) -> bool:
        """True if jobs can stand in each other's way."""
        return bool(self._scarce)

    def holding(self, workload: Workload, region: str, workers: int) -> Holding | None:
        """The nodes that so many workers take there; None where they never fit.

        Raises:
            UnknownRegionError: There is no such region.
        """
        wanted = tuple(workload.resources_per_worker.items())
        key = (region, workers, workload.workers, workload.worker_counts, wanted, workload.utilisation_fraction)
        if key not in self._holdings:
            if region not in self._regions:
                raise UnknownRegionError(region, tuple(self._regions))
            self._holdings[key] = Holding.of(workload, self._regions[region], workers, self._truth[region])
        return self._holdings[key]

    def _most(self, workload: Workload, region: str) -> Holding | None:
        """The nodes of the largest worker count that ever fits there."""
        found = (self.holding(workload, region, workers) for workers in reversed(workload.counts))
        return next((holding for holding in found if holding is not None), None)

    def at_home(self, workload: Workload) -> Holding:
        """The nodes of the run-now counterfactual.

        Raises:
            NoCapacityError: The home region never holds the workers.
        """
        holding = self.holding(workload, workload.home_region, workload.workers)
        if holding is None:
            raise NoCapacityError(
                f"{workload.workload_id}: its home region {workload.home_region} cannot hold {workload.workers} workers, so there is no "
                "run-now to compare with; give the region a larger node type or more nodes, or choose another home"
            )
        return holding

    def require(self, workload: Workload) -> None:
        """Check that a workload names known regions, and fits one of them.

        Raises:
            UnknownRegionError: A region is not there.
            NoCapacityError: None of its regions ever holds its workers.
        """
        fitting = [name for name in workload.regions if self._most(workload, name) is not None]
        if not fitting:
            raise NoCapacityError(
                f"{workload.workload_id}: none of {', '.join(workload.regions)} can hold {workload.counts[0]} workers; ask for less, or "
                "give a region more nodes"
            )

    def full_for(self, workload: Workload) -> set[str]:
        """Regions whose nodes for this workload, of an elastic one for as many workers as ever fit, are held by others."""
        full = set()
        for name in workload.regions:
            holding = self._most(workload, name)
            if holding is not None and (name, holding.node_type) in self._scarce and self._free[name, holding.node_type] < holding.nodes:
                full.add(name)
        return full

    def take(self, workload: Workload, target: Placement, held: Holding | None = None) -> Holding:
        """Take the nodes of a placement.

        Args:
            workload: Whose.
            target: Where, and how many workers.
            held: What it holds until then and gives back first: it may go on with the same nodes.

        Raises:
            NoCapacityError: They are not free, or never there.
        """
        holding = self.holding(workload, target.region, target.workers)
        own = 0
        if holding is not None and held is not None and (held.region, held.node_type) == (holding.region, holding.node_type):
            own = held.nodes
        if holding is None or (self._is_shared and self._free[holding.region, holding.node_type] + own < holding.nodes):
            raise NoCapacityError(f"region {target.region} has no free nodes for {target.workers} workers")
        self._free[holding.region, holding.node_type] -= holding.nodes
        return holding

    def take_back(self, holding: Holding | None) -> Holding | None:
        """Take again what was just given."""
        if holding is not None:
            self._free[holding.region, holding.node_type] -= holding.nodes
        return holding

    def give(self, holding: Holding | None) -> None:
        """Give nodes back."""
        if holding is not None:
            self._free[holding.region, holding.node_type] += holding.nodes
