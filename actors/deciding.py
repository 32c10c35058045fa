"""What the policy says of the workloads of a round: of all together where it plans for many, else of each by itself.

With nothing to decide by, the work runs: waiting would risk the deadline for nothing known.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from carbon_ray.actors.full_regions import FullRegions
from carbon_ray.actors.ports import ForecastPort
from carbon_ray.core.decision import Decision, Placement
from carbon_ray.core.errors import CarbonRayError, ForecastHorizonError, UnknownZoneError
from carbon_ray.core.forecast import ForecastSnapshot
from carbon_ray.core.plan import Plan
from carbon_ray.core.region import Region
from carbon_ray.core.units import S_PER_H, hours
from carbon_ray.core.workload import Progress, Workload
from carbon_ray.policies.base import Member, PlacementPolicy, Surroundings, placement_of
from carbon_ray.policies.fleet.policy import FleetPolicy

log = logging.getLogger(__name__)

Answer = tuple[Plan, Decision]
Answers = Mapping[str, Answer]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A workload and where it stands, as of one round."""

    workload: Workload
    progress: Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What one workload may see of the regions.

    Attributes:
        holding: Regions in which it has its nodes: that they give no more does not concern it.
        regions: Regions with the node types that are left for it; None for all as configured.
    """

    holding: frozenset[str] = frozenset()
    regions: Mapping[str, Region] | None = None


class Deciding:
    """Asks the policy.

    Args:
        regions: As configured, by name.
        forecasts: The forecast service.
        full_regions: Regions that cannot give nodes now.
        policy: For single workloads, or for many.
    """

    def __init__(
        self, regions: Mapping[str, Region], *, forecasts: ForecastPort, full_regions: FullRegions, policy: PlacementPolicy
    ) -> None:
        self._regions, self._forecasts, self._full_regions, self._policy = regions, forecasts, full_regions, policy
        self._reached_from_version: int | None = None

    @property
    def is_for_many(self) -> bool:
        """The policy plans all workloads together."""
        return isinstance(self._policy, FleetPolicy)

    def around(self, snapshot: ForecastSnapshot, view: View) -> Surroundings:
        """The world as a policy sees it for one workload."""
        blocked = {name: until_at for name, until_at in self._full_regions.until_at.items() if name not in view.holding}
        return Surroundings(regions=view.regions or self._regions, snapshot=snapshot, blocked_until=blocked)

    def together(self, seen: Mapping[str, tuple[Standing, View]], snapshot: ForecastSnapshot, *, now: datetime) -> Answers:
        """What a policy for many says, by workload.

        Whoever holds nodes in a region that gives no more is left out, and asked for by itself: what is closed to the others
        is open to it.

        Raises:
            UnknownRegionError, NoCapacityError, ForecastHorizonError, UnknownZoneError: As `FleetPolicy.decide_all`.
        """
        if not isinstance(self._policy, FleetPolicy):
            return {}
        full = set(self._full_regions.until_at)
        chosen = {name: standing for name, (standing, view) in seen.items() if not full & view.holding}
        members = [Member(workload=standing.workload, progress=standing.progress) for standing in chosen.values()]
        answers = self._policy.decide_all(members, self.around(snapshot, View()), now=now) if members else ()
        return dict(zip(chosen, answers, strict=True))

    def decide(
        self, standing: Standing, snapshot: ForecastSnapshot | None, view: View, answer: Answer | None = None, *, now: datetime
    ) -> tuple[Plan | None, Decision]:
        """The plan and what it means at once; without a usable forecast no plan, and the work runs.

        Args:
            standing: The workload.
            snapshot: Forecasts; None where there are none to go by.
            view: What it may see of the regions.
            answer: What was decided of it together with the others.
            now: On the cluster's clock.
        """
        if answer is not None:
            return answer
        workload, progress = standing.workload, standing.progress
        if snapshot is not None:
            try:
                return self._policy.decide(workload, progress, self.around(snapshot, view), now=now)
            except (ForecastHorizonError, UnknownZoneError) as error:
                log.warning("%s: %s", workload.workload_id, error)
                self._reach(snapshot, workload)
        return None, self._without_forecast(workload, progress, view.holding, now)

    def _reach(self, snapshot: ForecastSnapshot, workload: Workload) -> None:
        """Ask for forecasts to the deadline, once per snapshot: the service may have forgotten the deadlines it was told."""
        if snapshot.version == self._reached_from_version:
            return
        self._reached_from_version = snapshot.version
        try:
            self._forecasts.reach(workload.deadline_at)
        except CarbonRayError as error:
            log.warning("no forecast to the deadline of %s: %s", workload.workload_id, error)

    def _without_forecast(self, workload: Workload, progress: Progress, holding: frozenset[str], now: datetime) -> Decision:
        """Without a usable forecast the work runs: waiting would risk the deadline for nothing known."""
        here = placement_of(workload, progress)
        allowed = [name for name in dict.fromkeys((progress.region, *workload.regions)) if name in workload.regions]
        able = [
            name for name in allowed if name in self._regions and any(self._fits(workload, name, workers) for workers in workload.counts)
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
        return self._regions[region].node_type_for(workers, workload.resources_per_worker) is not None

    def _enough(self, workload: Workload, progress: Progress, region: str, now: datetime) -> int:
        """The worker count it has, or else the default one, if that meets the deadline; the fastest where neither does."""
        fitting = [count for count in workload.counts if region in self._regions and self._fits(workload, region, count)]
        left_h = hours(workload.latest_finish_at - now) - workload.overheads.startup_s / S_PER_H
        for workers in (progress.workers if progress.is_running else None, workload.workers):
            if workers in fitting and progress.remaining_h <= left_h * workload.rate(workers):
                return workers
        return max(fitting, key=workload.rate, default=workload.workers)
