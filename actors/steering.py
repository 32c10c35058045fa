"""The workloads of a round, one by one: where each stands, what is decided of it, the second look on fresh state, the directive."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from carbon_ray.actors.counting import Counting
from carbon_ray.actors.deciding import Answer, Answers, Deciding, Standing, View
from carbon_ray.actors.full_regions import FullRegions
from carbon_ray.actors.ports import ForecastPort
from carbon_ray.actors.spending import spent_usd
from carbon_ray.actors.workload_state import WorkloadState
from carbon_ray.books.ledger import Ledger
from carbon_ray.books.records import WorkloadStatus
from carbon_ray.config.cluster_yaml import ClusterConfig
from carbon_ray.core.clock import Clock
from carbon_ray.core.decision import Change, Decision, Directive
from carbon_ray.core.errors import CarbonRayError, DecisionRefused, NoCapacityError
from carbon_ray.core.forecast import ForecastSnapshot
from carbon_ray.policies.base import PlacementPolicy, Surroundings
from carbon_ray.policies.guards import Guards

log = logging.getLogger(__name__)

_DISRUPTIVE = (Change.SUSPEND, Change.MOVE)
_MANY = 2


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
        self._forecasts, self._counting = forecasts, counting
        self._deciding = Deciding(config.regions, forecasts=forecasts, full_regions=full_regions, policy=policy)
        self._guards = Guards(min_stay_s=config.carbon.controller.min_stay_s)

    def snapshot(self, now: datetime) -> ForecastSnapshot | None:
        """The newest forecasts; None where there are none, or only stale ones."""
        try:
            return self._forecasts.snapshot().require_fresh(now, self._config.carbon.controller.max_forecast_age_s)
        except CarbonRayError as error:
            log.warning("no usable forecast: %s", error)
            return None

    def around(self, snapshot: ForecastSnapshot) -> Surroundings:
        """The world as a policy sees it for a workload that holds nothing."""
        return self._deciding.around(snapshot, View())

    def together(self, views: Mapping[str, tuple[WorkloadState, View]], snapshot: ForecastSnapshot | None, now: datetime) -> Answers:
        """What a policy that plans for many says of these workloads, by id; nothing where each is asked for by itself."""
        if snapshot is None or not self._deciding.is_for_many or len(views) < _MANY:
            return {}
        try:
            seen = {name: (self._standing(state, snapshot, now), view) for name, (state, view) in views.items()}
            return self._deciding.together(seen, snapshot, now=now)
        except CarbonRayError as error:
            log.warning("the workloads are planned one by one: %s", error)
            return {}

    def _standing(self, state: WorkloadState, snapshot: ForecastSnapshot | None, now: datetime) -> Standing:
        """The workload as its books tell it, with what it has emitted and spent."""
        segments = self._ledger.segments(state.workload_id)
        workload, progress = state.workload(segments, now=now), state.progress(segments, now=now)
        if snapshot is not None:
            progress = self._counting.counted(progress, workload, segments, snapshot, now=now)
        if workload.cost_budget_usd is not None:
            usd = spent_usd(workload, segments, self._ledger.segment_totals(state.workload_id), self._config.regions, now=now)
            progress = replace(progress, spent_usd=usd)
        return Standing(workload=workload, progress=progress)

    def steer(
        self,
        state: WorkloadState,
        snapshot: ForecastSnapshot | None,
        view: View,
        answer: Answer | None = None,
        *,
        may_disrupt: bool,
        is_quiet: bool = False,
        now: datetime,
    ) -> bool:
        """Decide, check again, act for one workload; True if that disturbed a running one. In quiet hours only its deadline may.

        Args:
            state: The workload.
            snapshot: Forecasts; None where there are none to go by.
            view: What it may see of the regions.
            answer: What was decided of it together with the others; None to decide it by itself.
            may_disrupt: Nobody was disturbed in this round.
            is_quiet: Within quiet hours.
            now: On the cluster's clock.
        """
        standing = self._standing(state, snapshot, now)
        state.plan, decision = self._deciding.decide(standing, snapshot, view, answer, now=now)
        is_held_back = not may_disrupt or (is_quiet and not decision.is_forced)
        if decision.change is Change.KEEP or (decision.change in _DISRUPTIVE and is_held_back):
            return False
        checked_at = self._clock.now()
        fresh = state.progress(self._ledger.segments(state.workload_id), now=checked_at)
        around = self._deciding.around(snapshot or ForecastSnapshot(version=0, issued_at=now, forecasts={}), view)
        try:
            admitted = self._guards.admit(decision, standing.workload, fresh, around, now=checked_at)
        except (DecisionRefused, NoCapacityError) as refusal:
            log.info("not admitted: %s", refusal)
            return False
        self.direct(state, admitted, now)
        return admitted.change in _DISRUPTIVE

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
