"""Decisions: frozen values with a reason. What kind a decision is follows from its fields, and is not stored."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where a workload runs, and with how many workers."""

    region: str
    workers: int


class Change(StrEnum):
    """What a decision changes."""

    KEEP = "keep"
    START = "start"
    SUSPEND = "suspend"
    MOVE = "move"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One workload, one instant: where it is, where it shall be, and why.

    Attributes:
        workload_id: Whose.
        at: When it was decided, aware UTC.
        current: Where it is running; None while suspended.
        target: Where it shall run; None to suspend.
        reason: One line for a person.
        gain_usd: Objective saved against keeping things as they are; positive is better, inf where keeping misses the deadline.
        is_forced: True where the deadline leaves no choice; guards do not hold it back.
    """

    workload_id: str
    at: datetime
    current: Placement | None
    target: Placement | None
    reason: str
    gain_usd: float = 0.0
    is_forced: bool = False

    @property
    def change(self) -> Change:
        """What it changes, derived from where the workload is and shall be."""
        if self.current == self.target:
            return Change.KEEP
        if self.target is None:
            return Change.SUSPEND
        return Change.START if self.current is None else Change.MOVE


@dataclass(frozen=True, slots=True, kw_only=True)
class Directive:
    """What a workload's own driver and workers are told; the newest epoch holds.

    Attributes:
        workload_id: Whose.
        epoch: Grows with every change; a worker of an older epoch stops at its next step boundary.
        target: Where to run; None = stay suspended.
        reason: One line for a person.
    """

    workload_id: str
    epoch: int
    target: Placement | None
    reason: str
