"""When do all ranks stop or save? A pure state machine: counts step boundaries, says when to ask rank 0, keeps its answer.

Ranks must act at the same boundary. Asking at each one would cost a message a step, so rank 0 answers with the distance to
the next question as well, such that questions come about every `every_s` seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_STRIDE = 100_000
"""Boundaries between two questions, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Rank 0's answer, the same for all ranks.

    Attributes:
        stop: Save and end the segment at this boundary.
        save: Save at this boundary.
        stride: Boundaries until the next question, at least 1.
    """

    stop: bool = False
    save: bool = False
    stride: int = 1


NOTHING = Order()
"""Go on."""


class Agreement:
    """Counts the boundaries of one rank.

    Args:
        world_size: Number of ranks.
        every_s: Seconds between two questions, roughly.
    """

    def __init__(self, world_size: int, every_s: float) -> None:
        self._alone, self._every_s = world_size == 1, every_s
        self._boundaries = 0
        self._next = 1
        self._asked_at_s: float | None = None
        self._asked_boundary = 0

    def is_due(self) -> bool:
        """Count one boundary; True if rank 0 is to be asked at it. Equal on all ranks."""
        self._boundaries += 1
        return self._alone or self._boundaries >= self._next

    def order(self, *, wants_stop: bool, wants_save: bool, can_save: bool, elapsed_s: float) -> Order:
        """Rank 0's answer at this boundary.

        Args:
            wants_stop: The controller wants the segment to end.
            wants_save: A checkpoint is due.
            can_save: The training code offers a checkpoint at this boundary.
            elapsed_s: Seconds since any fixed instant.
        """
        stop = wants_stop and can_save
        # Where a stop waits for a boundary with a checkpoint, every boundary is asked about.
        return Order(stop=stop, save=(wants_save and can_save) or stop, stride=1 if wants_stop else self._stride(elapsed_s))

    def _stride(self, elapsed_s: float) -> int:
        before, boundary = self._asked_at_s, self._asked_boundary
        self._asked_at_s, self._asked_boundary = elapsed_s, self._boundaries
        if before is None or elapsed_s <= before:
            return 1
        per_boundary_s = (elapsed_s - before) / (self._boundaries - boundary)
        return max(1, min(MAX_STRIDE, int(self._every_s / per_boundary_s)))

    def take(self, order: Order) -> None:
        """Keep the answer: when the next question comes."""
        self._next = self._boundaries + order.stride
