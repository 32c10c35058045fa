"""Values to rows and back: one pair of functions for each kind of record, nothing else."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row

from carbon_ray.books.records import NodeEvent, NodeEventKind, WorkloadRecord, WorkloadStatus
from carbon_ray.core import codec
from carbon_ray.core.decision import Decision, Directive, Placement
from carbon_ray.core.intensity import IntensityKind
from carbon_ray.core.ledger import Emission, Outcome, Phase, Segment
from carbon_ray.core.workload import Workload

Values = dict[str, Any]


def workload_record(row: Row[Any]) -> WorkloadRecord:
    """The workload of a row, with its status."""
    return WorkloadRecord(
        workload=codec.loads(Workload, row.workload_json),
        status=WorkloadStatus(row.status),
        status_at=row.status_at,
        detail=row.detail,
    )


def segment_values(segment: Segment) -> Values:
    """A segment's row."""
    return {
        "workload_id": segment.workload_id,
        "segment_index": segment.index,
        "region": segment.region,
        "workers": segment.workers,
        "node_type": segment.node_type,
        "nodes": segment.nodes,
        "start_at": segment.start_at,
        "running_at": segment.running_at,
        "stopped_at": segment.stopped_at,
        "end_at": segment.end_at,
        "start_step": segment.start_step,
        "end_step": segment.end_step,
        "reached_step": segment.reached_step,
        "outcome": None if segment.outcome is None else segment.outcome.value,
        "reason": segment.reason,
    }


def segment(row: Row[Any]) -> Segment:
    """The segment of a row.

    A mark that two witnesses put after the end, such as a late step of a node that was already given up, counts as the end.
    """
    stopped_at = row.stopped_at if row.end_at is None or row.stopped_at is None else min(row.stopped_at, row.end_at)
    last_at = stopped_at or row.end_at
    running_at = row.running_at if last_at is None or row.running_at is None else min(row.running_at, last_at)
    return Segment(
        workload_id=row.workload_id,
        index=row.segment_index,
        region=row.region,
        workers=row.workers,
        node_type=row.node_type,
        nodes=row.nodes,
        start_at=row.start_at,
        running_at=running_at,
        stopped_at=stopped_at,
        end_at=row.end_at,
        start_step=row.start_step,
        end_step=row.end_step,
        reached_step=row.reached_step,
        outcome=None if row.outcome is None else Outcome(row.outcome),
        reason=row.reason,
    )


def emission_values(emission: Emission) -> Values:
    """An emission's row, but for its key."""
    return {
        "start_at": emission.start_at,
        "end_at": emission.end_at,
        "phase": emission.phase.value,
        "energy_kwh": emission.energy_kwh,
        "gco2_per_kwh": emission.gco2_per_kwh,
        "gco2": emission.gco2,
        "kind": emission.kind.value,
        "energy_source": emission.energy_source,
        "intensity_source": emission.intensity_source,
    }


def emission(row: Row[Any]) -> Emission:
    """The emission of a row."""
    return Emission(
        start_at=row.start_at,
        end_at=row.end_at,
        phase=Phase(row.phase),
        energy_kwh=row.energy_kwh,
        gco2_per_kwh=row.gco2_per_kwh,
        gco2=row.gco2,
        kind=IntensityKind(row.kind),
        energy_source=row.energy_source,
        intensity_source=row.intensity_source,
    )


def _placement_values(prefix: str, placement: Placement | None) -> Values:
    return {
        f"{prefix}_region": None if placement is None else placement.region,
        f"{prefix}_workers": None if placement is None else placement.workers,
    }


def _placement(region: str | None, workers: int | None) -> Placement | None:
    return None if region is None or workers is None else Placement(region=region, workers=workers)


def decision_values(decision: Decision) -> Values:
    """A decision's row."""
    return {
        "workload_id": decision.workload_id,
        "at": decision.at,
        "change": decision.change.value,
        **_placement_values("current", decision.current),
        **_placement_values("target", decision.target),
        "reason": decision.reason,
        "gain_usd": decision.gain_usd,
        "is_forced": decision.is_forced,
    }


def decision(row: Row[Any]) -> Decision:
    """The decision of a row."""
    return Decision(
        workload_id=row.workload_id,
        at=row.at,
        current=_placement(row.current_region, row.current_workers),
        target=_placement(row.target_region, row.target_workers),
        reason=row.reason,
        gain_usd=row.gain_usd,
        is_forced=row.is_forced,
    )


def directive_values(directive: Directive) -> Values:
    """A directive's row, but for the instant it was given."""
    return {
        "workload_id": directive.workload_id,
        "epoch": directive.epoch,
        **_placement_values("target", directive.target),
        "reason": directive.reason,
    }


def directive(row: Row[Any]) -> Directive:
    """The directive of a row."""
    return Directive(
        workload_id=row.workload_id,
        epoch=row.epoch,
        target=_placement(row.target_region, row.target_workers),
        reason=row.reason,
    )


def node_event_values(node_event: NodeEvent) -> Values:
    """A node event's row."""
    return {
        "node_id": node_event.node_id,
        "kind": node_event.kind.value,
        "region": node_event.region,
        "node_type": node_event.node_type,
        "at": node_event.at,
        "reason": node_event.reason,
    }


def node_event(row: Row[Any]) -> NodeEvent:
    """The node event of a row."""
    return NodeEvent(
        region=row.region,
        node_type=row.node_type,
        node_id=row.node_id,
        kind=NodeEventKind(row.kind),
        at=row.at,
        reason=row.reason,
    )
