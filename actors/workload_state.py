"""One workload as the controller holds it in memory: all of it can be rebuilt from the ledger and the next beat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from carbon_ray.actors.progress import Beat, measured_startup_s, progress_of
from carbon_ray.core.decision import Decision, Directive
from carbon_ray.core.ledger import Segment
from carbon_ray.core.plan import Plan
from carbon_ray.core.workload import Progress, Workload


@dataclass(slots=True)
class WorkloadState:
    """A live workload.

    Attributes:
        submitted: As its owner submitted it.
        directive: What it was told last.
        directive_at: When; None before the first.
        beat: Newest report of its workers.
        plan: Newest plan.
        decision: Newest decision.
        told_at: Wall instant of the directive, or since which its nodes were last seen.
    """

    submitted: Workload
    directive: Directive
    directive_at: datetime | None = None
    beat: Beat | None = None
    plan: Plan | None = None
    decision: Decision | None = None
    told_at: datetime | None = None

    def workload(self, segments: Sequence[Segment]) -> Workload:
        """The workload with its start-up time as measured so far."""
        startup_s = measured_startup_s(segments)
        if startup_s is None:
            return self.submitted
        return replace(self.submitted, overheads=replace(self.submitted.overheads, startup_s=startup_s))

    def progress(self, segments: Sequence[Segment], *, now: datetime) -> Progress:
        """Where it stands."""
        return progress_of(self.workload(segments), segments, self.directive, self.directive_at, self.beat, now=now)
