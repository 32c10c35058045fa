"""The nodes of all regions: what a worker count takes, on which terms, and who holds how many. Nothing is ever given out twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from carbon_ray.core.decision import Placement
from carbon_ray.core.errors import NoCapacityError, UnknownRegionError
from carbon_ray.core.region import Market, NodeType, Region
from carbon_ray.core.units import W_PER_KW
from carbon_ray.core.workload import Workload
from carbon_ray.policies.capacity import Need, SpotRule, offers_for, with_room
from carbon_ray.policies.sites import nominal
from carbon_ray.sim.jobs import JobSet
from carbon_ray.sim.mishaps import StockOuts
from carbon_ray.sim.truth import ZoneTruth


@dataclass(frozen=True, slots=True)
class Holding:
    """The nodes that a worker count takes in a region, and what they draw and cost."""

    region: str
    workers: int
    node_type: str
    nodes: int
    running_kw: float
    idle_kw: float
    usd_per_h: float
    overhead_kw: float
    truth: ZoneTruth
    market: Market = Market.ON_DEMAND
    interruptions_per_h: float = 0.0

    @classmethod
    def of(cls, workload: Workload, region: Region, workers: int, truth: ZoneTruth) -> tuple[Holding, ...]:
        """The nodes of each type that hold the workers; first those that plans reckon with, none where none do."""
        first = region.node_type_for(workers, workload.resources_per_worker)
        if first is None:
            return ()
        others = [
            (one, nodes)
            for one in region.node_types
            if one is not first[0] and (nodes := one.nodes_for(workers, workload.resources_per_worker)) is not None
        ]
        return tuple(cls._of(workload, region, workers, truth, node_type, nodes) for node_type, nodes in (first, *others))

    @classmethod
    def _of(cls, workload: Workload, region: Region, workers: int, truth: ZoneTruth, node_type: NodeType, nodes: int) -> Holding:
        return cls(
            region=region.name,
            workers=workers,
            node_type=node_type.name,
            nodes=nodes,
            running_kw=nodes * node_type.power.power_w(workload.utilisation_fraction) / W_PER_KW * region.pue,
            idle_kw=nodes * node_type.power.power_w(0.0) / W_PER_KW * region.pue,
            usd_per_h=nodes * node_type.usd_per_h,
            overhead_kw=_overhead_kw(workload, region, node_type, nodes, workers),
            truth=truth,
            market=node_type.market,
            interruptions_per_h=nodes * node_type.interruptions_per_h,
        )


_Key = tuple[str, int, int, tuple[int, ...], tuple[tuple[str, float], ...], float]


def _overhead_kw(workload: Workload, region: Region, node_type: NodeType, nodes: int, workers: int) -> float:
    """Power that overheads are counted in: of a rigid workload that of the nodes held, else that of its nominal ones."""
    standing = nominal(workload, region) if workload.is_elastic and workers != workload.workers else None
    if standing is not None:
        return standing.running_kw
    return nodes * node_type.power.power_w(workload.utilisation_fraction) / W_PER_KW * region.pue


class Nodes:
    """Free nodes by region and node type.

    Args:
        regions: By name.
        truth: What comes true in each, by region name.
        jobs: All that will ever ask: where even all of them together do not fill a node type, nobody is in anybody's way.
        is_shared: False = each job has all nodes to itself.
        origin_at: Second 0, aware UTC.
        spot: When a job may have spot nodes.
        shortages: When a region's spot nodes are out of stock.
    """

    def __init__(
        self,
        regions: Mapping[str, Region],
        truth: Mapping[str, ZoneTruth],
        jobs: JobSet,
        *,
        is_shared: bool,
        origin_at: datetime,
        spot: SpotRule,
        shortages: Mapping[str, StockOuts],
    ) -> None:
        self._regions, self._truth = regions, truth
        self._origin, self._spot, self._shortages = origin_at, spot, shortages
        self._holdings: dict[_Key, tuple[Holding, ...]] = {}
        self._free = {(name, one.name): one.max_nodes for name, region in regions.items() for one in region.node_types}
        self._most = dict(self._free)
        self._is_shared = is_shared
        self._is_mixed = is_shared and any(len(region.node_types) > 1 for region in regions.values())
        most = sum(max(job.workload.counts) for job in jobs.jobs)  # a worker never takes more than a node
        self._scarce = {key for key, free in self._free.items() if is_shared and free < most}

    @property
    def is_scarce(self) -> bool:
        """True if jobs can stand in each other's way."""
        return bool(self._scarce)

    def has_room_for(self, workers: int) -> bool:
        """True if so many workers, a node each, fill no node type even if all of them are in the same region."""
        return not self._scarce or workers <= min(self._most[key] for key in self._scarce)

    def holding(self, workload: Workload, region: str, workers: int) -> Holding | None:
        """The nodes that plans reckon with for so many workers there; None where they never fit.

        Raises:
            UnknownRegionError: There is no such region.
        """
        return next(iter(self.holdings(workload, region, workers)), None)

    def holdings(self, workload: Workload, region: str, workers: int) -> tuple[Holding, ...]:
        """The nodes of each type that so many workers would take there.

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

    def _largest(self, workload: Workload, region: str) -> tuple[Holding, ...]:
        """The nodes of the largest worker count that ever fits there."""
        found = (self.holdings(workload, region, workers) for workers in reversed(workload.counts))
        return next((holdings for holdings in found if holdings), ())

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
        fitting = [name for name in workload.regions if self._largest(workload, name)]
        if not fitting:
            raise NoCapacityError(
                f"{workload.workload_id}: none of {', '.join(workload.regions)} can hold {workload.counts[0]} workers; ask for less, or "
                "give a region more nodes"
            )

    def full_for(self, workload: Workload) -> set[str]:
        """Regions whose nodes for this workload, of an elastic one for as many workers as ever fit, are held by others."""
        full = set()
        for name in workload.regions:
            holdings = self._largest(workload, name)
            if holdings and all((name, one.node_type) in self._scarce and not self._has_room(one) for one in holdings):
                full.add(name)
        return full

    def take(self, workload: Workload, target: Placement, *, left_h: float, now_s: float, held: Holding | None = None) -> Holding:
        """Take the nodes of a placement: of the types that have room the one that the capacity policy would give.

        Args:
            workload: For whom.
            target: Where, and how many workers.
            left_h: Running hours that are still to do.
            now_s: Seconds from the origin.
            held: What it holds until then and gives back first: it may go on with the same nodes.

        Raises:
            NoCapacityError: They are not free, or never there.
        """
        holdings = self.holdings(workload, target.region, target.workers)
        free = [one for one in holdings if not self._is_shared or self._has_room(one, held)]
        if not free:
            raise NoCapacityError(f"region {target.region} has no free nodes for {target.workers} workers")
        holding = free[0] if len(holdings) == 1 else self._choice(workload, target, free, left_h, now_s)
        self._free[holding.region, holding.node_type] -= holding.nodes
        return holding

    def _choice(self, workload: Workload, target: Placement, free: Sequence[Holding], left_h: float, now_s: float) -> Holding:
        now, truth = self._origin + timedelta(seconds=now_s), self._truth[target.region]
        need = Need(
            workload=workload,
            region=target.region,
            workers=target.workers,
            start_at=now,
            end_at=now + timedelta(hours=left_h),
            remaining_h=left_h,
        )
        offers = offers_for(
            need,
            self._regions[target.region],
            # What is known by now is the interval that has ended.
            intensity_gco2_per_kwh=truth.before(now_s) if now_s > truth.start_s else truth.at(now_s),
            out_of_stock={one.node_type for one in free if self.is_short(one, now_s)},
            rule=self._spot,
        )
        by_type = {one.node_type: one for one in free}
        return next((by_type[offer.node_type.name] for offer in offers if offer.node_type.name in by_type), free[0])

    def is_short(self, holding: Holding, now_s: float) -> bool:
        """True while these are spot nodes and those of their region are out of stock."""
        return holding.market is Market.SPOT and self._shortages[holding.region].until(now_s) is not None

    def take_again(self, holding: Holding, workload: Workload, *, left_h: float, now_s: float) -> Holding:
        """Take nodes for the workers that have just given those back: others, where others are better now."""
        try:
            return self.take(workload, Placement(region=holding.region, workers=holding.workers), left_h=left_h, now_s=now_s)
        except NoCapacityError:  # another job has reserved more than there is, as it may where it takes back
            self._free[holding.region, holding.node_type] -= holding.nodes
            return holding

    def regions_for(self, workload: Workload, own: Holding | None) -> Mapping[str, Region]:
        """The regions as a workload's plan should see them: without node types that others hold to the last node."""
        if not self._is_mixed:
            return self._regions
        full = {name: most for (region, name), most in self._most.items() if self._free[region, name] <= 0}
        if own is not None:
            full.pop(own.node_type, None)
        return with_room(self._regions, full, workload.workers, workload.resources_per_worker) if full else self._regions

    def _has_room(self, holding: Holding, held: Holding | None = None) -> bool:
        is_same = held is not None and (held.region, held.node_type) == (holding.region, holding.node_type)
        return self._free[holding.region, holding.node_type] + (held.nodes if held is not None and is_same else 0) >= holding.nodes

    def take_back(self, holding: Holding | None) -> Holding | None:
        """Take again what was just given."""
        if holding is not None:
            self._free[holding.region, holding.node_type] -= holding.nodes
        return holding

    def give(self, holding: Holding | None) -> None:
        """Give nodes back."""
        if holding is not None:
            self._free[holding.region, holding.node_type] += holding.nodes
