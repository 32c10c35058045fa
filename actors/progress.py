"""Where a workload stands, from its segments and its workers' reports: pure arithmetic, no state of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise

from carbon_ray.core.decision import Directive
from carbon_ray.core.ledger import Segment
from carbon_ray.core.units import hours
from carbon_ray.core.workload import Progress, Workload

_TRUSTED_STEPS = 10
"""Steps after which the measured rate is believed instead of the owner's estimate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """What rank 0 of a running segment reports.

    Attributes:
        workload_id: Whose.
        segment_index: Of which segment.
        epoch: Directive that the segment follows.
        first_step: Step that its restored checkpoint held.
        step: Steps finished in all.
        checkpoint_step: Steps that its newest durable checkpoint holds.
        first_at: When its first step was finished, cluster's clock; None before.
        step_at: When its last step was finished; None before.
    """

    workload_id: str
    segment_index: int
    epoch: int
    first_step: int = 0
    step: int = 0
    checkpoint_step: int = 0
    first_at: datetime | None = None
    step_at: datetime | None = None

    def onto(self, segment: Segment) -> Segment:
        """The open segment with what the beat adds to it."""
        return replace(
            segment,
            start_step=segment.start_step if self.first_at is None else self.first_step,
            running_at=segment.running_at or self.first_at,
            end_step=max(segment.end_step, self.checkpoint_step),
            reached_step=max(segment.reached_step, self.step),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Measured speed.

    Attributes:
        steps: Steps that were timed.
        hours: What they took.
    """

    steps: int = 0
    hours: float = 0.0

    def __add__(self, other: Rate) -> Rate:
        return Rate(steps=self.steps + other.steps, hours=self.hours + other.hours)


def rate_of(first_step: int, last_step: int, first_at: datetime | None, last_at: datetime | None) -> Rate:
    """Speed between the first and the last finished step; the first step itself is not timed, start-up would blur it."""
    if first_at is None or last_at is None or last_step - first_step < 2:
        return Rate()
    return Rate(steps=last_step - first_step - 1, hours=hours(last_at - first_at))


def rate_of_segments(segments: Sequence[Segment], workload: Workload | None = None) -> Rate:
    """Speed over closed segments; of an elastic workload in running hours of its default worker count."""
    return sum((_rate_of_segment(segment, workload) for segment in segments), Rate())


def _rate_of_segment(segment: Segment, workload: Workload | None) -> Rate:
    measured = rate_of(segment.start_step or 0, segment.reached_step, segment.running_at, segment.stopped_at)
    return measured if workload is None else replace(measured, hours=measured.hours * workload.pace(segment.workers))


def remaining_h(workload: Workload, done_steps: int, rate: Rate, running_h: float) -> float:
    """Running hours still to do.

    Where the number of steps is known, by the measured speed as soon as there is one; else the owner's estimate less the
    hours that were run, never below a hundredth of it, because only the workload itself knows that it is done.
    """
    if workload.total_steps is None:
        return workload.remaining_after(running_h)[0]
    left = max(0, workload.total_steps - done_steps)
    if rate.steps >= _TRUSTED_STEPS and rate.hours > 0:
        return left * rate.hours / rate.steps
    return workload.work_h * left / workload.total_steps


def remaining_high_h(workload: Workload, rate: Rate, running_h: float, remaining_h: float) -> float | None:
    """Running hours that the rest will hardly exceed: by the owner's prior until the speed is measured; None where it has none."""
    if workload.work_h_high is None:
        return None
    if workload.total_steps is None:
        return workload.remaining_after(running_h)[1]
    return remaining_h if rate.steps >= _TRUSTED_STEPS and rate.hours > 0 else None


def startups_s(segments: Sequence[Segment]) -> list[float]:
    """Seconds from the start of each segment to its first step, of those that came to one."""
    return [(segment.running_at - segment.start_at).total_seconds() for segment in segments if segment.running_at is not None]


def measured_startup_s(segments: Sequence[Segment]) -> float | None:
    """Mean seconds from the start of a segment to its first step; None before the first."""
    spans_s = startups_s(segments)
    return sum(spans_s) / len(spans_s) if spans_s else None


def run_now_startup_s(segments: Sequence[Segment], unmeasured_s: float) -> float:
    """Seconds that run-now would have started up: the first start-up alone, because it starts once and restores nothing."""
    return next(iter(startups_s(segments)), unmeasured_s)


def _rate(workload: Workload, segments: Sequence[Segment], beat: Beat | None) -> Rate:
    """Speed over all segments, the open one by its newest report."""
    rate = rate_of_segments(segments, workload)
    if beat is not None and _is_of(beat, segments):
        measured = rate_of(beat.first_step, beat.step, beat.first_at, beat.step_at)
        rate = rate + replace(measured, hours=measured.hours * workload.pace(segments[-1].workers))
    return rate


def _is_of(beat: Beat, segments: Sequence[Segment]) -> bool:
    """True for a report of the open segment."""
    return bool(segments) and segments[-1].end_at is None and beat.segment_index == segments[-1].index


def _running_h(workload: Workload, segments: Sequence[Segment], now: datetime) -> float:
    return sum(
        hours((segment.stopped_at or segment.end_at or now) - segment.running_at) * workload.pace(segment.workers)
        for segment in segments
        if segment.running_at is not None
    )


def whole_h(workload: Workload, segments: Sequence[Segment], beat: Beat | None, *, now: datetime) -> float:
    """Running hours of the whole work, as far as they can be told by now; the owner's estimate before anything was measured."""
    if workload.total_steps is not None:
        return remaining_h(workload, 0, _rate(workload, segments, beat), 0.0)
    running_h = _running_h(workload, segments, now)
    return running_h + remaining_h(workload, 0, Rate(), running_h)


def progress_of(
    workload: Workload,
    segments: Sequence[Segment],
    directive: Directive,
    directive_at: datetime | None,
    beat: Beat | None,
    *,
    now: datetime,
) -> Progress:
    """The commanded state of a workload: it counts as running from the directive on, even while its nodes still start.

    Args:
        workload: Whose.
        segments: Its segments in order.
        directive: What it was told last.
        directive_at: When; None if never.
        beat: The newest report of the open segment, if any.
        now: Cluster's clock.
    """
    done = max([segment.end_step for segment in segments], default=0)
    current = segments[-1] if segments else None
    is_open = current is not None and current.end_at is None
    target, starting_s = directive.target, 0.0
    if beat is not None and _is_of(beat, segments):
        done = max(done, beat.step)
    if target is not None:
        # While a move is under way, the open segment is still that of the region, or of the worker count, that it leaves.
        is_there = is_open and current is not None and (current.region, current.workers) == (target.region, target.workers)
        serving = current if is_there else None
        if serving is None or serving.running_at is None:
            begun_at = serving.start_at if serving is not None else now
            starting_s = max(0.0, workload.overheads.startup_s - (now - begun_at).total_seconds())
    ran = [segment.region for segment in segments if segment.running_at is not None]  # only these can have left a checkpoint
    region = target.region if target else (ran[-1] if ran else workload.home_region)
    rate, running_h = _rate(workload, segments, beat), _running_h(workload, segments, now)
    left_h = remaining_h(workload, done, rate, running_h)
    return Progress(
        remaining_h=left_h,
        remaining_high_h=remaining_high_h(workload, rate, running_h, left_h),
        region=region,
        is_running=target is not None,
        is_started=bool(ran),
        since_at=directive_at,
        starting_s=starting_s,
        moves=sum(left != right for left, right in pairwise(ran)),
        workers=target.workers if target and workload.is_elastic else None,
    )
