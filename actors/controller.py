"""The controller, without Ray: observe, decide, admit, apply, record. `step` is one round; the actor is a loop around it.

What drivers and workers call, and the order of a round, are here; how a workload is steered is in `steering`, how the
nodes are in `capacity_steering`. All that must survive is in the ledger. What is only in memory (beats, plans, idle times)
comes back with the next round.
"""

from __future__ import annotations

import itertools
import logging
from dataclasses import replace
from datetime import datetime, timedelta

from carbon_ray.actors.capacity_steering import CapacitySteering
from carbon_ray.actors.counting import Counting
from carbon_ray.actors.deciding import View
from carbon_ray.actors.full_regions import FullRegions
from carbon_ray.actors.liveness import Liveness
from carbon_ray.actors.ports import ClusterPort, ForecastPort
from carbon_ray.actors.pricing import Pricing
from carbon_ray.actors.progress import Beat
from carbon_ray.actors.roster import Roster
from carbon_ray.actors.seen_intensity import SeenIntensity
from carbon_ray.actors.steering import Steering
from carbon_ray.actors.timekeeping import SharedReplayClock
from carbon_ray.actors.views import Books, WorkloadView, books_of, view_of
from carbon_ray.actors.workload_state import ORPHANED, WorkloadState
from carbon_ray.books.ledger import Ledger
from carbon_ray.books.records import WorkloadRecord, WorkloadStatus
from carbon_ray.config.cluster_yaml import ClusterConfig
from carbon_ray.core.clock import Clock, SystemClock
from carbon_ray.core.decision import Decision, Directive
from carbon_ray.core.errors import CarbonRayError, WorkloadRejected
from carbon_ray.core.forecast import ForecastSnapshot
from carbon_ray.core.ledger import Segment
from carbon_ray.core.workload import Workload
from carbon_ray.policies.base import PlacementPolicy
from carbon_ray.policies.replan import Replan

__all__ = ["Books", "Controller", "WorkloadView"]

log = logging.getLogger(__name__)


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
        self._ledger, self._clock, self._wall, self._forecasts = ledger, clock, wall or SystemClock(), forecasts
        self._settings = settings
        self._planner = Replan(slot_s=settings.slot_s, hysteresis_fraction=settings.hysteresis_fraction)
        self._full_regions = FullRegions(ledger, settings.block_s)
        self._pricing = Pricing(config.regions, ledger, forecasts)
        self._steering = Steering(
            config,
            ledger=ledger,
            clock=clock,
            wall=self._wall,
            forecasts=forecasts,
            full_regions=self._full_regions,
            policy=policy or self._planner,
            counting=Counting(config.regions, self._pricing, SeenIntensity(forecasts), settings.slot_s),
        )
        self._roster = Roster(ledger, cluster)
        self._capacity = CapacitySteering(config, ledger=ledger, cluster=cluster, roster=self._roster)
        self._liveness = Liveness(ledger, clock, self._wall, settings.orphan_after_s)
        self._live = {record.workload.workload_id: self._recall(record) for record in ledger.workloads() if not record.status.is_terminal}

    def _recall(self, record: WorkloadRecord) -> WorkloadState:
        return WorkloadState.recall(record, self._ledger, now=self._clock.now(), wall_at=self._wall.now())

    # What drivers and workers call

    def begin(self) -> datetime:
        """Start a replay that waits for the first submission, and return the cluster's present instant."""
        if isinstance(self._clock, SharedReplayClock):
            self._clock.start()
        return self._clock.now()

    def submit(self, workload: Workload) -> Workload:
        """Accept a workload, or say why not. One that is already live, or was left by its driver, goes on as first submitted.

        After a run that failed or was cancelled the same id begins a new one from its start, under the id `<id>-attempt-2` and so on.

        Raises:
            DeadlinePassed, DeadlineTooShort: Its deadline cannot be met.
            NoCapacityError, UnknownRegionError: No allowed region can hold it.
            ForecastError: There is no forecast to its deadline.
            WorkloadRejected: The workload of that id is done already.
        """
        attempt = self._newest_attempt(workload)
        known = self._ledger.workload(attempt.workload_id) or self._accept(attempt)
        if known.status.is_terminal:
            raise WorkloadRejected(f"workload {attempt.workload_id!r} has already {known.status}; submit it under another name")
        state = self._live.get(attempt.workload_id) or self._recall(known)
        self._live[attempt.workload_id] = state
        self._liveness.hear(state)
        return known.workload

    def _newest_attempt(self, workload: Workload) -> Workload:
        """The workload under the first id that did not fail and was not cancelled."""
        attempt = workload
        for number in itertools.count(2):
            known = self._ledger.workload(attempt.workload_id)
            if known is None or known.status not in (WorkloadStatus.FAILED, WorkloadStatus.CANCELLED):
                break
            attempt = replace(workload, workload_id=f"{workload.workload_id}-attempt-{number}")
        return attempt

    def _accept(self, workload: Workload) -> WorkloadRecord:
        now = self._clock.now()
        # The deadline's own error first: a forecast to an instant in the past cannot be had.
        horizon_at = max(workload.deadline_at, now + timedelta(seconds=self._settings.slot_s))
        snapshot = self._forecasts.reach(horizon_at)
        self._planner.require_feasible(workload, self._steering.around(snapshot), now=now)
        self._ledger.put_workload(workload, WorkloadStatus.WAITING)
        return WorkloadRecord(workload=workload, status=WorkloadStatus.WAITING, status_at=workload.submitted_at)

    def directive(self, workload_id: str) -> Directive:
        """What the workload shall do.

        Raises:
            WorkloadRejected: There is no such live workload.
        """
        return self._heard(workload_id).directive

    def _state(self, workload_id: str) -> WorkloadState:
        state = self._live.get(workload_id)
        if state is None:
            raise WorkloadRejected(f"workload {workload_id!r} is not live on this cluster; submit it first")
        return state

    def _heard(self, workload_id: str) -> WorkloadState:
        """The live workload of whose driver this is a word."""
        state = self._state(workload_id)
        self._liveness.hear(state)
        return state

    def has_nodes(self, workload_id: str) -> bool:
        """True if the nodes that the workload was told to run on are there, as last observed.

        Raises:
            WorkloadRejected: There is no such live workload.
        """
        return self._capacity.has_nodes(self._heard(workload_id), self._live.values())

    def put_segment(self, segment: Segment) -> None:
        """Record what a driver knows of a segment, and what its workers last reported; the same record twice changes nothing."""
        state = self._live.get(segment.workload_id)
        if state is not None:
            self._liveness.hear(state)
            if state.beat is not None and state.beat.segment_index == segment.index:
                segment = state.beat.onto(segment)  # a lost segment's driver knows no more than the ledger, which is behind
                state.beat = None if segment.end_at is not None else state.beat
            segment = self._capacity.as_given(segment, state)
        self._ledger.put_segment(segment)

    def segments(self, workload_id: str) -> tuple[Segment, ...]:
        """A workload's segments in order."""
        if workload_id in self._live:
            self._liveness.hear(self._live[workload_id])
        return self._ledger.segments(workload_id)

    def beat(self, beat: Beat) -> Directive:
        """Take a worker's report and return what the workload shall do.

        Raises:
            WorkloadRejected: There is no such live workload.
        """
        state = self._state(beat.workload_id)
        segment = next((one for one in self._ledger.segments(beat.workload_id) if one.index == beat.segment_index), None)
        if segment is not None and segment.end_at is None:
            self._liveness.hear(state)  # who outlives the segment is no sign that somebody still runs the workload
            state.beat = beat
            started = segment.running_at is None and beat.first_at is not None
            if started or beat.checkpoint_step > segment.end_step:
                self._ledger.put_segment(beat.onto(segment))
        return state.directive

    def finish(self, workload_id: str, status: WorkloadStatus, detail: str = "") -> None:
        """Record that a workload has ended; its nodes are free from now on. Twice is once.

        Raises:
            WorkloadRejected: The ledger does not know it.
        """
        if self._ledger.workload(workload_id) is None:
            raise WorkloadRejected(f"the ledger has no workload {workload_id!r}; submit it first")
        self._ledger.set_status(workload_id, status, self._clock.now(), detail)
        self._live.pop(workload_id, None)

    def leave(self, workload_id: str) -> None:
        """Take the driver's word that it goes before the work is done: as if it had fallen silent, but at once."""
        state = self._live.get(workload_id)
        if state is not None and not state.is_orphan:
            self._let_go(state, self._clock.now())

    # What is shown

    def views(self) -> tuple[WorkloadView, ...]:
        """All workloads, ended ones included, in order of submission."""
        now = self._clock.now()
        return tuple(
            view_of(self._ledger, record, self._live.get(record.workload.workload_id) or self._recall(record), now=now)
            for record in self._ledger.workloads()
        )

    def is_settled(self, workload_id: str) -> bool:
        """True once every segment is closed and priced at the intensity that came true."""
        return self._pricing.is_settled(workload_id)

    def books(self, workload_id: str) -> Books:
        """Everything that the ledger holds of one workload.

        Raises:
            WorkloadRejected: The ledger does not know it.
        """
        return books_of(self._ledger, workload_id)

    # The loop

    def step(self) -> None:
        """One round. A failure of one part is logged and leaves the others working."""
        now = self._clock.now()
        snapshot = self._steering.snapshot(now)
        self._let_silent_ones_go(now)
        is_observed = self._observe(now)
        disrupted = self._steer_all(snapshot, now)
        if is_observed:  # limits by an old view of the nodes could end busy ones: without a view the plan lapses
            try:
                self._capacity.apply(
                    tuple(self._live.values()),
                    snapshot,
                    self._full_regions,
                    may_drain=not disrupted,
                    now=now,
                    wall_at=self._wall.now(),
                )
            except CarbonRayError as error:
                log.warning("the nodes are not steered: %s", error)
        for workload_id in self._pricing.unsettled():
            try:
                self._pricing.price(workload_id, now=now)
            except CarbonRayError as error:
                log.info("%s is not priced yet: %s", workload_id, error)

    def _let_silent_ones_go(self, now: datetime) -> None:
        for state in self._live.values():
            if self._liveness.has_fallen_silent(state):
                self._let_go(state, now)

    def _let_go(self, state: WorkloadState, now: datetime) -> None:
        self._liveness.let_go(state)
        current = state.directive.target
        if current is None:
            self._ledger.set_status(state.workload_id, WorkloadStatus.SUSPENDED, now, ORPHANED)
        else:
            decision = Decision(workload_id=state.workload_id, at=now, current=current, target=None, reason=ORPHANED, is_forced=True)
            self._steering.direct(state, decision, now)

    def _observe(self, now: datetime) -> bool:
        """Look at the nodes, and at who waits for theirs; False if the cluster cannot be seen."""
        self._full_regions.reopen(now)
        try:
            self._roster.observe(now=now, wall_at=self._wall.now())
        except CarbonRayError as error:
            log.warning("the nodes cannot be observed: %s", error)
            return False
        for state in self._live.values():
            target, timeout_s = state.directive.target, self._settings.launch_timeout_s
            if target is None:
                continue
            if target.region in self._full_regions or self._capacity.has_nodes(state, self._live.values()):
                state.told_at = self._wall.now()
            elif (self._wall.now() - state.told_at).total_seconds() <= timeout_s:
                continue
            elif self._capacity.turn_to_others(state, why := f"its nodes did not come within {timeout_s:.0f} s", now):
                self._steering.tell_again(state, f"{state.directive.reason}; on other nodes: {why}", now)
            else:
                self._full_regions.leave_out(target.region, f"{target.region} gave no node within {timeout_s:.0f} s", now)
        return True

    def _steer_all(self, snapshot: ForecastSnapshot | None, now: datetime) -> bool:
        """Steer every workload that somebody runs; at most one running workload is disturbed. True if one was."""
        disrupted, is_quiet = False, not self._capacity.may_disturb(now)
        served = {name: state for name, state in self._live.items() if not state.is_orphan}
        answers = self._steering.together({name: (state, self._view(state)) for name, state in served.items()}, snapshot, now)
        for name, state in served.items():
            try:
                disrupted |= self._steering.steer(
                    state, snapshot, self._view(state), answers.get(name), may_disrupt=not disrupted, is_quiet=is_quiet, now=now
                )
            except CarbonRayError as error:
                log.warning("%s: %s", name, error)
        return disrupted

    def _view(self, state: WorkloadState) -> View:
        """What the workload may see of the regions, as others have been told by now."""
        target = state.directive.target
        holding = {target.region} if target and self._capacity.has_nodes(state, self._live.values()) else set[str]()
        return View(holding=frozenset(holding), regions=self._capacity.regions_for(state))
