"""From what the workloads were told to the nodes: who has its nodes, which plan the autoscaler gets, which idle node goes."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from carbon_ray.actors.full_regions import FullRegions
from carbon_ray.actors.ports import ClusterPort
from carbon_ray.actors.roster import Roster
from carbon_ray.actors.workload_state import WorkloadState
from carbon_ray.books.ledger import Ledger
from carbon_ray.config.cluster_yaml import ClusterConfig
from carbon_ray.core.forecast import ForecastSnapshot
from carbon_ray.core.region import NodeType
from carbon_ray.policies.capacity import CapacityPolicy

log = logging.getLogger(__name__)


class CapacitySteering:
    """Steers the nodes of one cluster.

    Args:
        config: The cluster.
        ledger: Where plans are recorded, each once.
        cluster: Autoscaler and nodes.
        roster: The nodes as last observed.
    """

    def __init__(self, config: ClusterConfig, *, ledger: Ledger, cluster: ClusterPort, roster: Roster) -> None:
        self._regions, self._ledger, self._cluster, self._roster = config.regions, ledger, cluster, roster
        self._policy = CapacityPolicy(valid_s=config.carbon.controller.plan_valid_s)
        self._newest = ledger.newest_plan()

    def _held(self, state: WorkloadState) -> tuple[NodeType, int] | None:
        """The nodes that a workload was told to hold; None while suspended, or where the configuration no longer offers them."""
        target = state.directive.target
        region = self._regions.get(target.region) if target else None
        return region.node_type_for(target.workers, state.submitted.resources_per_worker) if target and region else None

    def has_nodes(self, state: WorkloadState, live: Iterable[WorkloadState]) -> bool:
        """True if the nodes that the workload was told to run on are there. Whoever was told first is served first."""
        held = self._held(state)
        if held is None:
            return False
        node_type, _ = held
        needed = 0
        for other in live:
            theirs = self._held(other)
            if theirs is not None and theirs[0].name == node_type.name and _turn(other) <= _turn(state):
                needed += theirs[1]
        ready = sum(node.node_type == node_type.name and not node.is_draining for node in self._roster.workers)
        return ready >= needed

    def wanted(self, live: Iterable[WorkloadState]) -> dict[str, tuple[int, str]]:
        """Nodes of each type that live workloads were told to run on, and why."""
        out: dict[str, tuple[int, str]] = {}
        for state in live:
            held = self._held(state)
            if held is not None:
                node_type, nodes = held
                before, why = out.get(node_type.name, (0, ""))
                reason = f"{state.workload_id}: {state.directive.reason}"
                out[node_type.name] = (before + nodes, f"{why}; {reason}" if why else reason)
        return out

    def apply(
        self,
        live: Iterable[WorkloadState],
        snapshot: ForecastSnapshot | None,
        full_regions: FullRegions,
        *,
        may_drain: bool,
        now: datetime,
        wall_at: datetime,
    ) -> None:
        """Publish what the node types may do, and drain at most one idle node.

        Args:
            live: The live workloads.
            snapshot: Newest forecasts, if they are usable.
            full_regions: Regions that cannot give nodes now.
            may_drain: False where this round has disturbed a workload already.
            now: Cluster's clock.
            wall_at: Now, in wall time.

        Raises:
            ClusterError: The cluster cannot be reached.
        """
        plan = self._policy.decide(
            self._regions,
            self.wanted(live),
            self._intensity(snapshot, now),
            self._roster.workers,
            self._roster.idle_since_at if may_drain else {},
            full_regions.reasons,
            version=self._newest.version if self._newest else 0,
            wall_at=wall_at,
        )
        if self._newest is None or plan.types != self._newest.types:
            # A version stands for one content: what is only prolonged keeps its version, also over a restart.
            plan = replace(plan, version=plan.version + 1)
            self._ledger.put_plan(plan)
            self._newest = plan
        self._cluster.publish(plan)
        for type_plan in plan.types.values():
            for node_id in type_plan.drain:
                if not self._cluster.drain_idle(node_id, type_plan.reason):
                    log.info("node %s is busy again and stays", node_id)

    def _intensity(self, snapshot: ForecastSnapshot | None, now: datetime) -> Mapping[str, float]:
        """Present intensity by region, gCO2e per kWh, as far as the forecasts tell."""
        if snapshot is None:
            return {}
        return {
            name: snapshot[region.zone].median.at(now)
            for name, region in self._regions.items()
            if region.zone in snapshot.forecasts and snapshot[region.zone].start_at <= now < snapshot[region.zone].end_at
        }


def _turn(state: WorkloadState) -> tuple[float, str]:
    """Order in which workloads are served with nodes: by when they were told."""
    return (state.directive_at.timestamp() if state.directive_at else 0.0, state.workload_id)
