"""What happens when: a queue of events whose order is the same in every run."""

from __future__ import annotations

from enum import IntEnum
from heapq import heappop, heappush


class Event(IntEnum):
    """Kinds of events; those of one instant happen in this order: first the world's, then the decisions on it."""

    COMPLETED = 0
    """A job's work is done."""
    READY = 1
    """A segment makes its first step."""
    STOPPED = 2
    """A checkpoint is written."""
    ARRIVED = 3
    """A checkpoint has reached its new region."""
    LOST = 4
    """A node of a segment is gone."""
    NODES = 5
    """A stock-out is over: the nodes that a job waits for are there."""
    TIMEOUT = 6
    """A region gave no nodes for too long."""
    SUBMITTED = 7
    """A job comes in."""
    DUE = 8
    """A job's plan has its next step, or has ended."""
    ASKED = 9
    """Jobs of which something was heard are decided anew."""
    TICK = 10
    """Every live job is decided anew."""


class Agenda:
    """The events to come."""

    __slots__ = ("_count", "_heap")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, int, int, int]] = []
        self._count = 0

    def __bool__(self) -> bool:
        return bool(self._heap)

    def add(self, at_s: float, event: Event, job: int = -1, epoch: int = -1) -> None:
        """Put down an event; of equal ones the first put down happens first."""
        self._count += 1
        heappush(self._heap, (at_s, int(event), self._count, job, epoch))

    def pop(self) -> tuple[float, int, int, int]:
        """Take out the next event: instant, kind, job, epoch."""
        at_s, event, _, job, epoch = heappop(self._heap)
        return at_s, event, job, epoch
