"""From what the workloads were told and plan to the nodes: who is given which, which plan the autoscaler gets, which idle node goes."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from carbon_ray.actors.full_regions import FullRegions
from carbon_ray.actors.ports import ClusterPort
from carbon_ray.actors.roster import Roster
from carbon_ray.actors.workload_state import WorkloadState
from carbon_ray.books.ledger import Ledger
from carbon_ray.config.cluster_yaml import ClusterConfig
from carbon_ray.core.capacity import CapacityPlan
from carbon_ray.core.errors import CarbonRayError
from carbon_ray.core.forecast import ForecastSnapshot
from carbon_ray.core.ledger import Segment
from carbon_ray.core.region import NodeType, Region
from carbon_ray.policies.capacity import Claim, Need, PendingRequest, anticipated, assign, needs_of, with_room

log = logging.getLogger(__name__)

FULL_TYPES_NOTE = "full_node_types"
"""Key of the ledger's note of node types that gave no nodes while others of their region still may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Given:
    """Nodes that a workload was given for a directive."""

    epoch: int
    node_type: NodeType
    nodes: int


class CapacitySteering:
    """Steers the nodes of one cluster.

    Args:
        config: The cluster.
        ledger: Where plans are recorded, each once.
        cluster: Autoscaler and nodes.
        roster: The nodes as last observed.
    """

    def __init__(self, config: ClusterConfig, *, ledger: Ledger, cluster: ClusterPort, roster: Roster) -> None:
        settings = config.carbon.controller
        self._regions, self._ledger, self._cluster, self._roster = config.regions, ledger, cluster, roster
        self._policy = settings.capacity.policy(valid_s=settings.plan_valid_s)
        self._rule = settings.capacity.spot.rule()
        self._full_types = FullRegions(ledger, settings.block_s, note=FULL_TYPES_NOTE)
        self._newest = ledger.newest_plan()
        self._given: dict[str, _Given] = {}
        self._slot_s = settings.slot_s
        self._planned: dict[str, Need] = {}

    def may_disturb(self, now: datetime) -> bool:
        """False in quiet hours: then only a deadline suspends or moves a running workload."""
        return self._policy.budget.may_disturb_workloads(now)

    # Who is given what

    def _given_to(self, state: WorkloadState) -> _Given | None:
        """The nodes that a workload was given for its directive, or that its open segment is booked on; None where it has none yet."""
        target, epoch = state.directive.target, state.directive.epoch
        if target is None or target.region not in self._regions:
            return None
        given = self._given.get(state.workload_id)
        if given is not None and given.epoch == epoch:
            return given
        booked = next((one for one in self._ledger.segments(state.workload_id) if one.end_at is None), None)
        if booked is None or booked.region != target.region:
            return None
        is_vain = booked.running_at is None and booked.node_type in self._full_types
        types = {node_type.name: node_type for node_type in self._regions[target.region].node_types}
        if is_vain or booked.node_type not in types:
            return None
        return _Given(epoch=epoch, node_type=types[booked.node_type], nodes=booked.nodes)

    def _held(self, state: WorkloadState) -> _Given | None:
        """What it was given, or else what plans reckon with; None while suspended, or where the configuration has no such nodes."""
        given, target = self._given_to(state), state.directive.target
        region = self._regions.get(target.region) if target else None
        if given is not None or target is None or region is None:
            return given
        offer = region.node_type_for(target.workers, state.submitted.resources_per_worker)
        return None if offer is None else _Given(epoch=state.directive.epoch, node_type=offer[0], nodes=offer[1])

    def as_given(self, segment: Segment, state: WorkloadState) -> Segment:
        """A new segment as it is booked: on the nodes that the workload was given; its driver knows only what plans reckon with."""
        held, target = self._held(state), state.directive.target
        is_known = any(one.index == segment.index for one in self._ledger.segments(segment.workload_id))
        if held is None or target is None or is_known or (segment.region, segment.workers) != (target.region, target.workers):
            return segment
        return replace(segment, node_type=held.node_type.name, nodes=held.nodes)

    def has_nodes(self, state: WorkloadState, live: Iterable[WorkloadState]) -> bool:
        """True if the nodes that the workload was told to run on are there. Whoever was told first is served first."""
        held = self._held(state)
        if held is None:
            return False
        needed = 0
        for other in live:
            theirs = self._held(other)
            if theirs is not None and theirs.node_type.name == held.node_type.name and _turn(other) <= _turn(state):
                needed += theirs.nodes
        ready = sum(node.node_type == held.node_type.name and not node.is_draining for node in self._roster.workers)
        return ready >= needed

    def regions_for(self, state: WorkloadState) -> Mapping[str, Region]:
        """The regions as a workload's plan should see them: without node types that others were given to the last node."""
        taken = Counter[str]()
        for workload_id, given in self._given.items():
            if workload_id != state.workload_id:
                taken[given.node_type.name] += given.nodes
        return with_room(self._regions, taken, state.submitted.workers, state.submitted.resources_per_worker)

    def turn_to_others(self, state: WorkloadState, reason: str, now: datetime) -> bool:
        """Leave the node type that gives a workload no nodes out for a while; False if its region has no other one for it."""
        held, target = self._held(state), state.directive.target
        if held is None or target is None:
            return False
        others = [
            node_type
            for node_type in self._regions[target.region].node_types
            if node_type.name != held.node_type.name
            and node_type.name not in self._full_types
            and node_type.nodes_for(target.workers, state.submitted.resources_per_worker) is not None
        ]
        if not others:
            return False
        self._full_types.leave_out(held.node_type.name, reason, now)
        self._given.pop(state.workload_id, None)
        return True

    def _needs(self, live: Iterable[WorkloadState], now: datetime) -> list[Need]:
        out: list[Need] = []
        for state in live:
            segments = self._ledger.segments(state.workload_id)
            given = self._given_to(state)
            out += needs_of(
                state.workload(segments, now=now),
                state.progress(segments, now=now),
                state.directive.target,
                None if state.is_orphan else state.plan,
                now=now,
                reason=state.directive.reason,
                held=given.node_type.name if given is not None else None,
            )
        return out

    def _give(self, live: Iterable[WorkloadState], claims: Iterable[Claim]) -> None:
        """Remember what each workload was given for its directive."""
        types = {node_type.name: node_type for region in self._regions.values() for node_type in region.node_types}
        epochs = {state.workload_id: state.directive.epoch for state in live}
        self._given = {
            claim.workload_id: _Given(epoch=epochs[claim.workload_id], node_type=types[claim.node_type], nodes=claim.nodes)
            for claim in claims
            if claim.is_told
        }

    # What is done

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
        """Publish what the node types may do, and drain idle nodes within the budget.

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
        self._full_types.reopen(now)
        live, intensity = tuple(live), self._intensity(snapshot, now)
        needs = anticipated(self._needs(live, now), self._planned, slot_s=self._slot_s, now=now)
        self._planned = {one.workload.workload_id: one for one in reversed(needs) if not one.is_told}
        claims = assign(
            needs, self._regions, intensity_gco2_per_kwh=intensity, out_of_stock=self._full_types.reasons.keys(), rule=self._rule
        )
        self._give(live, claims)
        plan = self._policy.decide(
            self._regions,
            claims,
            intensity,
            self._roster.workers,
            self._roster.idle_since_at if may_drain else {},
            full_regions.reasons,
            version=self._newest.version if self._newest else 0,
            now=now,
            wall_at=wall_at,
            out_of_stock=self._full_types.reasons,
            pending=self._pending(),
        )
        plan = self._checked(plan, now)
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

    def _pending(self) -> tuple[PendingRequest, ...]:
        """What Ray waits to place; nothing where it cannot be asked: it only keeps idle nodes, and Ray drains none that is busy."""
        if not self._roster.idle_since_at:
            return ()
        try:
            return self._cluster.pending()
        except CarbonRayError as error:
            log.warning("Ray's pending requests cannot be read: %s", error)
            return ()

    def _checked(self, plan: CapacityPlan, now: datetime) -> CapacityPlan:
        """The plan after a second look at the nodes that it would drain."""
        if not any(one.drain for one in plan.types.values()):
            return plan
        return self._policy.still_holds(plan, self._roster.look_again(), self._regions, now=now)

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
