"""Whether anybody still runs a workload, and what becomes of one whose driver and workers have fallen silent: an orphan.

An orphan keeps its progress and costs nothing: no nodes are wanted for it, its open segment is booked as lost. A new
submission under its name, or a word of its driver, makes it an ordinary workload again.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime, timedelta

from carbon_ray.actors.progress import Beat
from carbon_ray.actors.workload_state import WorkloadState
from carbon_ray.books.ledger import Ledger
from carbon_ray.books.records import WorkloadStatus
from carbon_ray.core.clock import Clock
from carbon_ray.core.ledger import Outcome, Segment

log = logging.getLogger(__name__)


class Liveness:
    """Hears the drivers and workers.

    Args:
        ledger: Where lost segments are closed.
        clock: The cluster's clock.
        wall: Wall time, in which silence is measured.
        orphan_after_s: Wall seconds of silence after which nobody is taken to be there.
    """

    def __init__(self, ledger: Ledger, clock: Clock, wall: Clock, orphan_after_s: float) -> None:
        self._ledger, self._clock, self._wall = ledger, clock, wall
        self._orphan_after = timedelta(seconds=orphan_after_s)

    def hear(self, state: WorkloadState) -> None:
        """Note a sign of life; an orphan comes back with it."""
        state.heard_at, state.heard_wall_at = self._clock.now(), self._wall.now()
        if state.is_orphan:
            state.is_orphan, state.directive_at = False, None
            self._ledger.set_status(state.workload_id, WorkloadStatus.SUSPENDED, state.heard_at, "somebody runs it again")
            log.info("%s: somebody runs it again", state.workload_id)

    def has_fallen_silent(self, state: WorkloadState) -> bool:
        """True for a workload that is no orphan yet, and of which nothing was heard for too long."""
        return not state.is_orphan and self._wall.now() - state.heard_wall_at > self._orphan_after

    def let_go(self, state: WorkloadState) -> None:
        """Make it an orphan, and close its open segment at the instant when it was last heard."""
        for segment in self._ledger.segments(state.workload_id):
            if segment.end_at is None:
                self._ledger.put_segment(lost(segment, state.beat, state.heard_at))
        state.beat, state.plan, state.is_orphan = None, None, True


def lost(segment: Segment, beat: Beat | None, heard_at: datetime) -> Segment:
    """The open segment as lost at `heard_at`, with what its workers had reported; never before its own last step."""
    stopped_at = None
    if beat is not None and beat.segment_index == segment.index:
        segment, stopped_at = beat.onto(segment), beat.step_at
    end_at = max(heard_at, segment.start_at, *(mark for mark in (segment.running_at, stopped_at) if mark is not None))
    return replace(segment, stopped_at=stopped_at, end_at=end_at, outcome=Outcome.LOST)
