"""What the controller shows of a workload: its present state, and all that the ledger holds of it. Reads only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from carbon_ray.actors.workload_state import WorkloadState
from carbon_ray.books.ledger import Ledger
from carbon_ray.books.records import NodeEvent, WorkloadRecord, WorkloadStatus
from carbon_ray.core.decision import Decision, Directive
from carbon_ray.core.errors import WorkloadRejected
from carbon_ray.core.ledger import Emission, Segment, Totals
from carbon_ray.core.workload import Progress, Workload


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


def view_of(ledger: Ledger, record: WorkloadRecord, state: WorkloadState, *, now: datetime) -> WorkloadView:
    """One workload as it stands at `now`.

    Args:
        ledger: Where its segments are.
        record: The ledger's word on it.
        state: The controller's.
        now: Cluster's clock.
    """
    segments = ledger.segments(record.workload.workload_id)
    return WorkloadView(
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


def books_of(ledger: Ledger, workload_id: str) -> Books:
    """Everything that the ledger holds of one workload.

    Raises:
        WorkloadRejected: The ledger does not know it.
    """
    record = ledger.workload(workload_id)
    if record is None:
        raise WorkloadRejected(f"the ledger has no workload {workload_id!r}; `carbon-ray status` lists those it has")
    return Books(
        record=record,
        segments=ledger.segments(workload_id),
        emissions=ledger.emissions(workload_id),
        segment_totals=ledger.segment_totals(workload_id),
        totals=ledger.totals(workload_id),
        decisions=ledger.decisions(workload_id),
        node_events=ledger.node_events(),
    )
