"""The controller, without Ray: observe, decide, admit, apply, record. `step` is one round; the actor is a loop around it.

All that must survive is in the ledger. What is only in memory (beats, plans, idle times) comes back with the next round.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from carbon_ray.actors.ports import ClusterPort, ForecastPort
from carbon_ray.actors.pricing import Pricing
from carbon_ray.actors.progress import Beat
from carbon_ray.actors.roster import Roster
from carbon_ray.actors.timekeeping import SharedReplayClock
from carbon_ray.actors.workload_state import WorkloadState
from carbon_ray.books.ledger import Ledger
from carbon_ray.books.records import NodeEvent, WorkloadRecord, WorkloadStatus
from carbon_ray.config.cluster_yaml import ClusterConfig
from carbon_ray.core.clock import Clock, SystemClock
from carbon_ray.core.decision import Change, Decision, Directive
from carbon_ray.core.errors import CarbonRayError, DecisionRefused, NoCapacityError, WorkloadRejected
from carbon_ray.core.forecast import ForecastSnapshot
from carbon_ray.core.ledger import Emission, Segment, Totals
from carbon_ray.core.workload import Progress, Workload
from carbon_ray.policies.base import PlacementPolicy, Surroundings, placement_of
from carbon_ray.policies.capacity import CapacityPolicy
from carbon_ray.policies.guards import Guards
from carbon_ray.policies.replan import Replan

log = logging.getLogger(__name__)

_DISRUPTIVE = (Change.SUSPEND, Change.MOVE)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadView:
    """One workload as it is shown.

    Attributes:
        workload: As submitted.
        status: Where it is in its life.
        detail: One line for a person.
        directive: What it was told last.
        progress: Where it stands.
        plan_reason: Why the newest plan does what it does now.
        plan_finish_at: When the newest plan ends.
        step: Steps finished.
        segments: So far.
    """

    workload: Workload
    status: WorkloadStatus
    detail: str
    directive: Directive
    progress: Progress
    plan_reason: str
    plan_finish_at: datetime | None
    step: int
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """What the ledger holds of one workload; the material of its report."""

    record: WorkloadRecord
    segments: tuple[Segment, ...]
    emissions: Mapping[int, tuple[Emission, ...]]
    segment_totals: Mapping[int, Totals]
    totals: Totals
    decisions: tuple[Decision, ...]
    node_events: tuple[NodeEvent, ...]


class Controller:
    """Steers the workloads and the nodes of one cluster.

    Args:
        config: The cluster.
        ledger: Its books, and the controller's memory.
        clock: The cluster's clock.
        cluster: Nodes and autoscaler.
        forecasts: The forecast service.
        policy: Placement policy; by default exact re-planning with the configuration's parameters.
        wall: Wall time, in which plans lapse and nodes start.
    """

    def __init__(
        self,
        config: ClusterConfig,
        *,
        ledger: Ledger,
        clock: Clock,
        cluster: ClusterPort,
        forecasts: ForecastPort,
        policy: PlacementPolicy | None = None,
        wall: Clock | None = None,
    ) -> None:
        settings = config.carbon.controller
        self._config, self._ledger, self._clock, self._wall = config, ledger, clock, wall or SystemClock()
        self._cluster, self._forecasts, self._settings = cluster, forecasts, settings
        self._planner = Replan(slot_s=settings.slot_s, hysteresis_fraction=settings.hysteresis_fraction)
        self._policy: PlacementPolicy = policy or self._planner
        self._guards = Guards(min_stay_s=settings.min_stay_s)
        self._capacity = CapacityPolicy(valid_s=settings.plan_valid_s)
        self._roster = Roster(ledger, cluster)
        self._pricing = Pricing(config.regions, ledger, forecasts)
        self._blocked: dict[str, tuple[datetime, str]] = {}
        newest = ledger.newest_plan()
        self._version = newest.version if newest else 0
        self._live = {
            record.workload.workload_id: self._recall(record.workload) for record in ledger.workloads() if not record.status.is_terminal
        }

    def _recall(self, workload: Workload) -> WorkloadState:
        directive = self._ledger.directive(workload.workload_id)
        nothing = Directive(workload_id=workload.workload_id, epoch=0, target=None, reason="submitted")
        return WorkloadState(submitted=workload, directive=directive or nothing)

    # What drivers and workers call

    def begin(self) -> datetime:
        """Start a replay that waits for the first submission, and return the cluster's present instant."""
        if isinstance(self._clock, SharedReplayClock):
            self._clock.start()
        return self._clock.now()

    def submit(self, workload: Workload) -> Workload:
        """Accept a workload, or say why not. A workload that is already live goes on as it was first submitted.

        Raises:
            DeadlinePassed, DeadlineTooShort: Its deadline cannot be met.
            NoCapacityError, UnknownRegionError: No allowed region can hold it.
            ForecastError: There is no forecast to its deadline.
            WorkloadRejected: A workload of that id has ended already.
        """
        known = self._ledger.workload(workload.workload_id)
        if known is not None and known.status.is_terminal:
            raise WorkloadRejected(f"workload {workload.workload_id!r} has already {known.status}; submit it under another name")
        if known is not None:
            self._live.setdefault(workload.workload_id, self._recall(known.workload))
            return known.workload
        now = self._clock.now()
        # The deadline's own error first: a forecast to an instant in the past cannot be had.
        horizon_at = max(workload.deadline_at, now + timedelta(seconds=self._settings.slot_s))
        snapshot = self._forecasts.reach(horizon_at)
        self._planner.require_feasible(workload, self._around(snapshot), now=now)
        self._ledger.put_workload(workload, WorkloadStatus.WAITING)
        self._live[workload.workload_id] = self._recall(workload)
        return workload

    def directive(self, workload_id: str) -> Directive:
        """What the workload shall do.

        Raises:
            WorkloadRejected: There is no such live workload.
        """
        return self._state(workload_id).directive

    def _state(self, workload_id: str) -> WorkloadState:
        try:
            return self._live[workload_id]
        except KeyError:
            raise WorkloadRejected(f"workload {workload_id!r} is not live on this cluster; submit it first") from None

    def has_nodes(self, workload_id: str) -> bool:
        """True if the nodes that the workload was told to run on are there."""
        directive = self._state(workload_id).directive
        if directive.target is None:
            return False
        workload = self._state(workload_id).submitted
        offer = self._config.regions[directive.target.region].node_type_for(workload.workers, workload.resources_per_worker)
        if offer is None:
            return False
        node_type, nodes = offer
        ready = [node for node in self._cluster.nodes() if node.node_type == node_type.name and node.is_alive and not node.draining]
        return len(ready) >= nodes

    def put_segment(self, segment: Segment) -> None:
        """Record what a driver knows of a segment; the same record twice changes nothing."""
        self._ledger.put_segment(segment)
        state = self._live.get(segment.workload_id)
        if state is not None and segment.end_at is not None and state.beat is not None and state.beat.segment_index == segment.index:
            state.beat = None

    def segments(self, workload_id: str) -> tuple[Segment, ...]:
        """A workload's segments in order."""
        return self._ledger.segments(workload_id)

    def beat(self, beat: Beat) -> Directive:
        """Take a worker's report and return what the workload shall do."""
        state = self._state(beat.workload_id)
        open_segment = next((one for one in self._ledger.segments(beat.workload_id) if one.index == beat.segment_index), None)
        if open_segment is not None and open_segment.end_at is None:
            state.beat = beat
            started = open_segment.running_at is None and beat.first_at is not None
            if started or beat.checkpoint_step > open_segment.end_step:
                self._ledger.put_segment(beat.onto(open_segment))
        return state.directive

    def finish(self, workload_id: str, status: WorkloadStatus, detail: str = "") -> None:
        """Record that a workload has ended; its nodes are free from now on."""
        self._ledger.set_status(workload_id, status, self._clock.now(), detail)
        self._live.pop(workload_id, None)

    def views(self) -> tuple[WorkloadView, ...]:
        """All workloads, ended ones included, in order of submission."""
        now, out = self._clock.now(), []
        for record in self._ledger.workloads():
            workload_id = record.workload.workload_id
            state = self._live.get(workload_id) or self._recall(record.workload)
            segments = self._ledger.segments(workload_id)
            out.append(
                WorkloadView(
                    workload=record.workload,
                    status=record.status,
                    detail=record.detail,
                    directive=state.directive,
                    progress=state.progress(segments, now=now),
                    plan_reason=state.plan.reason if state.plan else state.directive.reason,
                    plan_finish_at=state.plan.expected.finish_at if state.plan else None,
                    step=max([one.reached_step for one in segments] + [state.beat.step if state.beat else 0]),
                    segments=segments,
                )
            )
        return tuple(out)

    def is_settled(self, workload_id: str) -> bool:
        """True once every segment is closed and priced at the intensity that came true."""
        return self._pricing.is_settled(workload_id)

    def books(self, workload_id: str) -> Books:
        """Everything that the ledger holds of one workload.

        Raises:
            WorkloadRejected: The ledger does not know it.
        """
        record = self._ledger.workload(workload_id)
        if record is None:
            raise WorkloadRejected(f"the ledger has no workload {workload_id!r}; `carbon-ray status` lists those it has")
        return Books(
            record=record,
            segments=self._ledger.segments(workload_id),
            emissions=self._ledger.emissions(workload_id),
            segment_totals=self._ledger.segment_totals(workload_id),
            totals=self._ledger.totals(workload_id),
            decisions=self._ledger.decisions(workload_id),
            node_events=self._ledger.node_events(),
        )

    # The loop

    def step(self) -> None:
        """One round. A failure of one part is logged and leaves the others working."""
        now = self._clock.now()
        self._roster.observe(now=now, wall_at=self._wall.now())
        snapshot = self._snapshot(now)
        self._block_full_regions(now)
        disrupted = False
        for state in list(self._live.values()):
            try:
                disrupted |= self._steer(state, snapshot, may_disrupt=not disrupted, now=now)
            except CarbonRayError as error:
                log.warning("%s: %s", state.submitted.workload_id, error)
        self._apply_capacity(snapshot, may_drain=not disrupted, now=now)
        for workload_id in self._pricing.unsettled():
            try:
                self._pricing.price(workload_id, now=now)
            except CarbonRayError as error:
                log.info("%s is not priced yet: %s", workload_id, error)

    def _snapshot(self, now: datetime) -> ForecastSnapshot | None:
        try:
            return self._forecasts.snapshot().require_fresh(now, self._settings.max_forecast_age_s)
        except CarbonRayError as error:
            log.warning("no usable forecast: %s", error)
            return None

    def _around(self, snapshot: ForecastSnapshot) -> Surroundings:
        return Surroundings(
            regions=self._config.regions, snapshot=snapshot, blocked_until={name: until for name, (until, _) in self._blocked.items()}
        )

    def _steer(self, state: WorkloadState, snapshot: ForecastSnapshot | None, *, may_disrupt: bool, now: datetime) -> bool:
        """Decide, check again, act for one workload; True if that disturbed a running one."""
        segments = self._ledger.segments(state.submitted.workload_id)
        workload, progress = state.workload(segments), state.progress(segments, now=now)
        if snapshot is None:
            decision = self._without_forecast(workload, progress, now)
        else:
            state.plan, decision = self._policy.decide(workload, progress, self._around(snapshot), now=now)
        if decision.change is Change.KEEP or (decision.change in _DISRUPTIVE and not may_disrupt):
            return False
        fresh = state.progress(self._ledger.segments(workload.workload_id), now=self._clock.now())
        around = self._around(snapshot or ForecastSnapshot(version=0, issued_at=now, forecasts={}))
        try:
            admitted = self._guards.admit(decision, workload, fresh, around, now=self._clock.now())
        except (DecisionRefused, NoCapacityError) as refusal:
            log.info("not admitted: %s", refusal)
            return False
        self._direct(state, admitted, now)
        return admitted.change in _DISRUPTIVE

    def _without_forecast(self, workload: Workload, progress: Progress, now: datetime) -> Decision:
        """Without a usable forecast the work runs: waiting would risk the deadline for nothing known."""
        here = placement_of(workload, progress)
        away = progress.region if progress.region in workload.regions else workload.regions[0]
        target = here or placement_of(workload, Progress(remaining_h=progress.remaining_h, region=away, is_running=True))
        reason = f"run in {away}: there is no usable forecast to wait for"
        return Decision(workload_id=workload.workload_id, at=now, current=here, target=target, reason=reason, is_forced=True)

    def _direct(self, state: WorkloadState, decision: Decision, now: datetime) -> None:
        workload_id = decision.workload_id
        directive = Directive(workload_id=workload_id, epoch=state.directive.epoch + 1, target=decision.target, reason=decision.reason)
        self._ledger.put_decision(decision)
        self._ledger.put_directive(directive, now)
        status = WorkloadStatus.RUNNING if decision.target else WorkloadStatus.SUSPENDED
        self._ledger.set_status(workload_id, status, now, decision.reason)
        state.directive, state.directive_at, state.told_at = directive, now, self._wall.now()
        log.info("%s: %s", workload_id, decision.reason)

    def _block_full_regions(self, now: datetime) -> None:
        """A region whose nodes do not come is left out for a while."""
        self._blocked = {name: block for name, block in self._blocked.items() if now < block[0]}
        for workload_id, state in self._live.items():
            target = state.directive.target
            if target is None or state.told_at is None or target.region in self._blocked:
                continue
            if self.has_nodes(workload_id):
                state.told_at = self._wall.now()
            elif (self._wall.now() - state.told_at).total_seconds() > self._settings.launch_timeout_s:
                why = f"{target.region} gave no node within {self._settings.launch_timeout_s:.0f} s"
                self._blocked[target.region] = (now + timedelta(seconds=self._settings.block_s), why)
                log.warning("%s; left out until %s", why, self._blocked[target.region][0])

    def _apply_capacity(self, snapshot: ForecastSnapshot | None, *, may_drain: bool, now: datetime) -> None:
        """Publish what the node types may do, and drain at most one idle node."""
        self._version += 1
        plan = self._capacity.decide(
            self._config.regions,
            self._wanted(),
            self._intensity(snapshot, now),
            self._roster.workers,
            self._roster.idle_since_at,
            {name: why for name, (_, why) in self._blocked.items()},
            version=self._version,
            wall_at=self._wall.now(),
        )
        self._cluster.publish(plan)
        self._roster.note(plan)
        for type_plan in plan.types.values():
            for node_id in type_plan.drain if may_drain else ():
                if not self._cluster.drain_idle(node_id, type_plan.reason):
                    log.info("node %s is busy again and stays", node_id)

    def _wanted(self) -> dict[str, tuple[int, str]]:
        """Nodes of each type that live workloads were told to run on, and why."""
        out: dict[str, tuple[int, str]] = {}
        for workload_id, state in self._live.items():
            target = state.directive.target
            if target is None:
                continue
            offer = self._config.regions[target.region].node_type_for(target.workers, state.submitted.resources_per_worker)
            if offer is not None:
                node_type, nodes = offer
                before, why = out.get(node_type.name, (0, ""))
                reason = f"{workload_id}: {state.directive.reason}"
                out[node_type.name] = (before + nodes, f"{why}; {reason}" if why else reason)
        return out

    def _intensity(self, snapshot: ForecastSnapshot | None, now: datetime) -> Mapping[str, float]:
        if snapshot is None:
            return {}
        return {
            name: snapshot[region.zone].median.at(now)
            for name, region in self._config.regions.items()
            if region.zone in snapshot.forecasts and snapshot[region.zone].start_at <= now < snapshot[region.zone].end_at
        }
