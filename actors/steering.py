"""One workload, one round: decide, check again on fresh state, direct, record. With nothing to decide by, the work runs."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime

from carbon_ray.actors.counting import Counting
from carbon_ray.actors.full_regions import FullRegions
from carbon_ray.actors.ports import ForecastPort
from carbon_ray.actors.spending import spent_usd
from carbon_ray.actors.workload_state import WorkloadState
from carbon_ray.books.ledger import Ledger
from carbon_ray.books.records import WorkloadStatus
from carbon_ray.config.cluster_yaml import ClusterConfig
from carbon_ray.core.clock import Clock
from carbon_ray.core.decision import Change, Decision, Directive, Placement
from carbon_ray.core.errors import CarbonRayError, DecisionRefused, ForecastHorizonError, NoCapacityError, UnknownZoneError
from carbon_ray.core.forecast import ForecastSnapshot
from carbon_ray.core.region import Region
from carbon_ray.core.units import S_PER_H, hours
from carbon_ray.core.workload import Progress, Workload
from carbon_ray.policies.base import PlacementPolicy, Surroundings, placement_of
from carbon_ray.policies.guards import Guards

log = logging.getLogger(__name__)

_DISRUPTIVE = (Change.SUSPEND, Change.MOVE)


class Steering:
    """Steers single workloads.

    Args:
        config: The cluster.
        ledger: Where decisions and directives go.
        clock: The cluster's clock.
        wall: Wall time.
        forecasts: The forecast service.
        full_regions: Regions that cannot give nodes now.
        policy: Placement policy.
        counting: What was emitted so far.
    """

    def __init__(
        self,
        config: ClusterConfig,
        *,
        ledger: Ledger,
        clock: Clock,
        wall: Clock,
        forecasts: ForecastPort,
        full_regions: FullRegions,
        policy: PlacementPolicy,
        counting: Counting,
    ) -> None:
        self._config, self._ledger, self._clock, self._wall = config, ledger, clock, wall
        self._forecasts, self._full_regions, self._policy, self._counting = forecasts, full_regions, policy, counting
        self._guards = Guards(min_stay_s=config.carbon.controller.min_stay_s)
        self._reached_from_version: int | None = None

    def snapshot(self, now: datetime) -> ForecastSnapshot | None:
        """The newest forecasts; None where there are none, or only stale ones."""
        try:
            return self._forecasts.snapshot().require_fresh(now, self._config.carbon.controller.max_forecast_age_s)
        except CarbonRayError as error:
            log.warning("no usable forecast: %s", error)
            return None

    def around(
        self, snapshot: ForecastSnapshot, holding: Collection[str] = (), regions: Mapping[str, Region] | None = None
    ) -> Surroundings:
        """The world as a policy sees it.

        Args:
            snapshot: Forecasts.
            holding: Regions in which the workload has its nodes: that they give no more does not concern it.
            regions: As the workload should see them; as configured by default.
        """
        blocked = {name: until_at for name, until_at in self._full_regions.until_at.items() if name not in holding}
        return Surroundings(regions=regions or self._config.regions, snapshot=snapshot, blocked_until=blocked)

    def steer(
        self,
        state: WorkloadState,
        snapshot: ForecastSnapshot | None,
        holding: Collection[str],
        *,
        may_disrupt: bool,
        is_quiet: bool = False,
        regions: Mapping[str, Region] | None = None,
        now: datetime,
    ) -> bool:
        """Decide, check again, act for one workload; True if that disturbed a running one. In quiet hours only its deadline may."""
        segments = self._ledger.segments(state.workload_id)
        workload, progress = state.workload(segments, now=now), state.progress(segments, now=now)
        if snapshot is not None:
            progress = self._counting.counted(progress, workload, segments, snapshot, now=now)
        if workload.cost_budget_usd is not None:
            usd = spent_usd(workload, segments, self._ledger.segment_totals(state.workload_id), self._config.regions, now=now)
            progress = replace(progress, spent_usd=usd)
        decision = self._decide(state, workload, progress, snapshot, holding, regions, now)
        is_held_back = not may_disrupt or (is_quiet and not decision.is_forced)
        if decision.change is Change.KEEP or (decision.change in _DISRUPTIVE and is_held_back):
            return False
        checked_at = self._clock.now()
        fresh = state.progress(self._ledger.segments(state.workload_id), now=checked_at)
        around = self.around(snapshot or ForecastSnapshot(version=0, issued_at=now, forecasts={}), holding, regions)
        try:
            admitted = self._guards.admit(decision, workload, fresh, around, now=checked_at)
        except (DecisionRefused, NoCapacityError) as refusal:
            log.info("not admitted: %s", refusal)
            return False
        self.direct(state, admitted, now)
        return admitted.change in _DISRUPTIVE

    def _decide(
        self,
        state: WorkloadState,
        workload: Workload,
        progress: Progress,
        snapshot: ForecastSnapshot | None,
        holding: Collection[str],
        regions: Mapping[str, Region] | None,
        now: datetime,
    ) -> Decision:
        if snapshot is not None:
            try:
                state.plan, decision = self._policy.decide(workload, progress, self.around(snapshot, holding, regions), now=now)
                return decision
            except (ForecastHorizonError, UnknownZoneError) as error:
                log.warning("%s: %s", workload.workload_id, error)
                self._reach(snapshot, workload)
        state.plan = None
        return self._without_forecast(workload, progress, holding, now)

    def _reach(self, snapshot: ForecastSnapshot, workload: Workload) -> None:
        """Ask for forecasts to the deadline, once per snapshot: the service may have forgotten the deadlines it was told."""
        if snapshot.version == self._reached_from_version:
            return
        self._reached_from_version = snapshot.version
        try:
            self._forecasts.reach(workload.deadline_at)
        except CarbonRayError as error:
            log.warning("no forecast to the deadline of %s: %s", workload.workload_id, error)

    def _without_forecast(self, workload: Workload, progress: Progress, holding: Collection[str], now: datetime) -> Decision:
        """Without a usable forecast the work runs: waiting would risk the deadline for nothing known."""
        here = placement_of(workload, progress)
        allowed = [name for name in dict.fromkeys((progress.region, *workload.regions)) if name in workload.regions]
        able = [
            name
            for name in allowed
            if name in self._config.regions and any(self._fits(workload, name, workers) for workers in workload.counts)
        ]
        open_now = [name for name in able if name in holding or name not in self._full_regions]
        where = next(iter((*open_now, *able, *allowed)))
        workers = self._enough(workload, progress, where, now)
        return Decision(
            workload_id=workload.workload_id,
            at=now,
            current=here,
            target=Placement(region=where, workers=workers),
            reason=f"run in {where}: there is no usable forecast to wait for",
            is_forced=True,
        )

    def _fits(self, workload: Workload, region: str, workers: int) -> bool:
        return self._config.regions[region].node_type_for(workers, workload.resources_per_worker) is not None

    def _enough(self, workload: Workload, progress: Progress, region: str, now: datetime) -> int:
        """The worker count it has, or else the default one, if that meets the deadline; the fastest where neither does."""
        fitting = [count for count in workload.counts if region in self._config.regions and self._fits(workload, region, count)]
        left_h = hours(workload.latest_finish_at - now) - workload.overheads.startup_s / S_PER_H
        for workers in (progress.workers if progress.is_running else None, workload.workers):
            if workers in fitting and progress.remaining_h <= left_h * workload.rate(workers):
                return workers
        return max(fitting, key=workload.rate, default=workload.workers)

    def tell_again(self, state: WorkloadState, reason: str, now: datetime) -> None:
        """Tell a workload the same under a new epoch, so that its driver begins a new segment: other nodes come than it waited for."""
        directive = replace(state.directive, epoch=state.directive.epoch + 1, reason=reason)
        self._ledger.put_directive(directive, now)
        state.directive, state.told_at = directive, self._wall.now()
        log.info("%s: %s", state.workload_id, reason)

    def direct(self, state: WorkloadState, decision: Decision, now: datetime) -> None:
        """Tell the workload what was decided, and record it."""
        directive = Directive(
            workload_id=state.workload_id, epoch=state.directive.epoch + 1, target=decision.target, reason=decision.reason
        )
        self._ledger.put_decision(decision)
        self._ledger.put_directive(directive, now)
        status = WorkloadStatus.RUNNING if decision.target else WorkloadStatus.SUSPENDED
        self._ledger.set_status(state.workload_id, status, now, decision.reason)
        state.directive, state.directive_at, state.told_at = directive, now, self._wall.now()
        log.info("%s: %s", state.workload_id, decision.reason)
