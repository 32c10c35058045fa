"""The second look: a decision is admitted on fresh state, or refused with the reason. Refusals are news, not failures."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from carbon_ray.core.decision import Change, Decision
from carbon_ray.core.errors import CooldownActive, NoCapacityError, SnapshotOutdated
from carbon_ray.core.workload import Progress, Workload
from carbon_ray.policies.base import Surroundings, placement_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Guards:
    """Limits on how often and on what a decision may act.

    Attributes:
        min_stay_s: Seconds between a workload's changes, unless the deadline forces one.
        max_decision_age_s: A decision older than that is decided again.
    """

    min_stay_s: float = 900.0
    max_decision_age_s: float = 3600.0

    def admit(self, decision: Decision, workload: Workload, progress: Progress, around: Surroundings, *, now: datetime) -> Decision:
        """Return the decision if it still holds on the fresh `progress` and surroundings.

        Raises:
            SnapshotOutdated: The workload is no longer where the decision thought, or the decision is too old.
            CooldownActive: It changed less than `min_stay_s` ago and is not forced.
            NoCapacityError: The target region cannot give nodes now.
        """
        if decision.change is Change.KEEP:
            return decision
        if placement_of(workload, progress) != decision.current:
            raise SnapshotOutdated(f"{workload.workload_id} is no longer where the decision of {decision.at:%H:%M:%SZ} saw it")
        if now - decision.at > timedelta(seconds=self.max_decision_age_s):
            raise SnapshotOutdated(f"the decision for {workload.workload_id} is older than {self.max_decision_age_s:.0f} s")
        stays_until = (progress.since_at or decision.at) + timedelta(seconds=self.min_stay_s)
        if progress.since_at is not None and now < stays_until and not decision.is_forced:
            raise CooldownActive(
                f"{workload.workload_id} changed at {progress.since_at:%H:%MZ}; the next change is allowed at {stays_until:%H:%MZ}"
            )
        if decision.target is not None:
            region = decision.target.region
            workers = decision.target.workers if workload.is_elastic else workload.workers
            until = around.blocked_until.get(region)
            if until is not None and now < until:
                raise NoCapacityError(f"region {region} gives no nodes before {until:%m-%d %H:%MZ}")
            fits = region in around.regions and around.regions[region].node_type_for(workers, workload.resources_per_worker)
            if not fits:
                raise NoCapacityError(f"region {region} cannot hold {workers} workers")
        return decision
