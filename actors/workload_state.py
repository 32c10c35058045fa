"""One workload as the controller holds it in memory: all of it can be rebuilt from the ledger and the next beat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from carbon_ray.actors.progress import Beat, measured_startup_s, progress_of, whole_h
from carbon_ray.books.ledger import Ledger
from carbon_ray.books.records import WorkloadRecord
from carbon_ray.core.decision import Directive
from carbon_ray.core.ledger import Segment
from carbon_ray.core.plan import Plan
from carbon_ray.core.workload import Progress, Workload

ORPHANED = "its driver is gone; submit it again under the same name to go on"
"""Detail of a suspended workload that nobody runs; by it the ledger remembers the fact over a restart of the controller."""


@dataclass(slots=True, kw_only=True)
class WorkloadState:
    """A live workload.

    Attributes:
        submitted: As its owner submitted it.
        directive: What it was told last.
        heard_at: When its driver or a worker was last heard, cluster's clock.
        heard_wall_at: The same in wall time.
        told_at: Wall instant of the directive, or since which its nodes were last seen.
        directive_at: When it was told, cluster's clock; None before the first directive.
        is_orphan: Nobody runs it: it is left alone until somebody is heard.
        beat: Newest report of its workers.
        plan: Newest plan.
    """

    submitted: Workload
    directive: Directive
    heard_at: datetime
    heard_wall_at: datetime
    told_at: datetime
    directive_at: datetime | None = None
    is_orphan: bool = False
    beat: Beat | None = None
    plan: Plan | None = None

    @classmethod
    def recall(cls, record: WorkloadRecord, ledger: Ledger, *, now: datetime, wall_at: datetime) -> WorkloadState:
        """The state as the ledger knows it; whoever runs it counts as just heard, and its nodes as just asked for."""
        workload_id = record.workload.workload_id
        directive = ledger.directive(workload_id)
        decisions = ledger.decisions(workload_id) if directive is not None and not record.status.is_terminal else ()
        return cls(
            submitted=record.workload,
            directive=directive or Directive(workload_id=workload_id, epoch=0, target=None, reason="submitted"),
            heard_at=now,
            heard_wall_at=wall_at,
            told_at=wall_at,
            # Every directive comes of a decision at the same instant. Being let go is no change to be waited out.
            directive_at=decisions[-1].at if decisions and decisions[-1].reason != ORPHANED else None,
            is_orphan=record.detail == ORPHANED and not record.status.is_terminal,
        )

    @property
    def workload_id(self) -> str:
        """Whose."""
        return self.submitted.workload_id

    def workload(self, segments: Sequence[Segment], *, now: datetime) -> Workload:
        """The workload with its start-up time and its length as measured so far."""
        work_h, high_h = whole_h(self.submitted, segments, self.beat, now=now), self.submitted.work_h_high
        return replace(self._started(segments), work_h=work_h, work_h_high=None if high_h is None else max(work_h, high_h))

    def _started(self, segments: Sequence[Segment]) -> Workload:
        startup_s = measured_startup_s(segments)
        if startup_s is None:
            return self.submitted
        return replace(self.submitted, overheads=replace(self.submitted.overheads, startup_s=startup_s))

    def progress(self, segments: Sequence[Segment], *, now: datetime) -> Progress:
        """Where it stands."""
        return progress_of(self._started(segments), segments, self.directive, self.directive_at, self.beat, now=now)
