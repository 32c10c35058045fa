"""Values that only the books know: a workload's status, a node's coming and going."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from carbon_ray.core.clock import require_utc
from carbon_ray.core.workload import Workload


class WorkloadStatus(StrEnum):
    """Where a workload is in its life."""

    WAITING = "waiting"
    RUNNING = "running"
    SUSPENDED = "suspended"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        """True for a status that never changes again."""
        return self in _TERMINAL


_TERMINAL = frozenset({WorkloadStatus.COMPLETED, WorkloadStatus.FAILED, WorkloadStatus.CANCELLED})


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadRecord:
    """A workload and how it stands.

    Attributes:
        workload: As it was submitted.
        status: The newest known.
        status_at: Since when, aware UTC.
        detail: One line for a person, such as the error of a failed workload.
    """

    workload: Workload
    status: WorkloadStatus
    status_at: datetime
    detail: str = ""


class NodeEventKind(StrEnum):
    """What happened to a node."""

    ADDED = "added"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeEvent:
    """A node that came or went. Its node id and kind are the key: a node comes once and goes once.

    Attributes:
        region: Where.
        node_type: Name of its node type.
        node_id: Ray's node id, hex.
        kind: Whether it came or went.
        at: When, aware UTC.
        reason: One line for a person.
    """

    region: str
    node_type: str
    node_id: str
    kind: NodeEventKind
    at: datetime
    reason: str = ""

    def __post_init__(self) -> None:
        require_utc(self.at, "at")
        object.__setattr__(self, "kind", NodeEventKind(self.kind))  # plain "added" and "removed" are taken too
