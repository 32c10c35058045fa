"""Where a workload stands: remaining work, measured speed and start-up, and what the directive makes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from carbon_ray.actors.liveness import lost
from carbon_ray.actors.progress import Beat, Rate, measured_startup_s, progress_of, rate_of, rate_of_segments, remaining_h
from carbon_ray.core.decision import Directive, Placement
from carbon_ray.core.ledger import Outcome, Segment
from carbon_ray.core.workload import Overheads, Progress, ScalingProfile

T0 = datetime(2022, 5, 2, tzinfo=UTC)


def at(hour: float) -> datetime:
    return T0 + timedelta(hours=hour)


def segment(index: int = 0, start: float = 0.0, running: float | None = None, end: float | None = None, **changes: Any) -> Segment:
    """Hours after T0; it stops when it ends."""
    given: dict[str, Any] = {
        "workload_id": "run",
        "index": index,
        "region": "west",
        "workers": 2,
        "node_type": "gpu-west",
        "nodes": 1,
        "start_at": at(start),
        "running_at": None if running is None else at(running),
        "stopped_at": None if end is None or running is None else at(end),
        "end_at": None if end is None else at(end),
        "outcome": None if end is None else Outcome.SUSPENDED,
    }
    return Segment(**{**given, **changes})


def told(region: str | None) -> Directive:
    return Directive(workload_id="run", epoch=1, target=Placement(region=region, workers=2) if region else None, reason="test")


def beat(step: int, first: float, last: float, index: int = 0, first_step: int = 0) -> Beat:
    return Beat(
        workload_id="run",
        segment_index=index,
        epoch=1,
        first_step=first_step,
        step=step,
        checkpoint_step=step // 10 * 10,
        first_at=at(first),
        step_at=at(last),
    )


@pytest.mark.parametrize(
    ("first_step", "last_step", "first_at", "last_at", "expected"),
    [
        (0, 101, at(0), at(1), Rate(steps=100, hours=1.0)),
        (50, 101, at(0), at(1), Rate(steps=50, hours=1.0)),
        (0, 1, at(0), at(0), Rate()),
        (0, 0, None, None, Rate()),
        (0, 5, at(0), None, Rate()),
    ],
)
def test_the_first_step_is_not_timed(first_step: int, last_step: int, first_at: datetime, last_at: datetime, expected: Rate) -> None:
    assert rate_of(first_step, last_step, first_at, last_at) == expected


def test_rates_add_over_segments_and_open_or_silent_ones_tell_nothing() -> None:
    segments = [
        segment(0, 0.0, 0.5, 1.5, start_step=0, reached_step=11),
        segment(1, 2.0, None, 2.5),
        segment(2, 3.0, 3.5, 5.5, start_step=11, reached_step=32),
        segment(3, 6.0, 6.5, None, start_step=32, reached_step=99),
    ]
    assert rate_of_segments(segments) == Rate(steps=30, hours=3.0)
    assert rate_of_segments([]) == Rate()


@pytest.mark.parametrize(
    ("total_steps", "done", "rate", "running_h", "expected"),
    [
        (700, 0, Rate(), 0.0, 7.0),
        (700, 100, Rate(), 0.0, 6.0),
        (700, 100, Rate(steps=9, hours=0.9), 0.0, 6.0),  # too few steps to be believed
        (700, 100, Rate(steps=10, hours=1.0), 0.0, 60.0),
        (700, 700, Rate(steps=10, hours=1.0), 7.0, 0.0),
        (700, 800, Rate(), 0.0, 0.0),
        (None, 0, Rate(), 2.0, 5.0),
        (None, 0, Rate(), 99.0, 0.07),  # only the workload itself knows that it is done
    ],
)
def test_remaining_work(
    make_workload: Callable[..., Any], total_steps: int | None, done: int, rate: Rate, running_h: float, expected: float
) -> None:
    assert remaining_h(make_workload(total_steps=total_steps), done, rate, running_h) == pytest.approx(expected)


def test_start_up_is_the_mean_of_the_segments_that_came_to_a_step() -> None:
    assert measured_startup_s([]) is None
    assert measured_startup_s([segment(0, 0.0, None, 1.0)]) is None
    assert measured_startup_s([segment(0, 0.0, 0.1, 1.0), segment(1, 2.0, None, 3.0), segment(2, 4.0, 4.3)]) == pytest.approx(720.0)


STARTED = segment(0, 0.0, 0.1)
DONE_100 = segment(0, 0.0, 0.1, 1.1, start_step=0, end_step=100, reached_step=101)


@pytest.mark.parametrize(
    ("segments", "directive", "expected"),
    [
        ([], told(None), Progress(remaining_h=7.0, region="west")),
        ([], told("east"), Progress(remaining_h=7.0, region="east", is_running=True, starting_s=1800.0)),
        # Its nodes are on their way since 12 minutes.
        ([segment(0, 1.8)], told("west"), Progress(remaining_h=7.0, region="west", is_running=True, starting_s=1080.0)),
        ([segment(0, 0.0)], told("west"), Progress(remaining_h=7.0, region="west", is_running=True, starting_s=0.0)),
        ([STARTED], told("west"), Progress(remaining_h=7.0, region="west", is_running=True, is_started=True)),
        # While it moves, the segment of the old region is still open: the new one has all of its start-up before it.
        ([STARTED], told("east"), Progress(remaining_h=7.0, region="east", is_running=True, is_started=True, starting_s=1800.0)),
        ([DONE_100], told(None), Progress(remaining_h=6.0, region="west", is_started=True)),
        # A segment that never came to a step has left no checkpoint where it was.
        ([segment(0, 0.0, None, 1.0, region="east")], told(None), Progress(remaining_h=7.0, region="west")),
        ([DONE_100, segment(1, 1.5, None, 1.8, region="east")], told(None), Progress(remaining_h=6.0, region="west", is_started=True)),
    ],
)
def test_the_directive_and_the_segments_make_the_progress(
    make_workload: Callable[..., Any], segments: list[Segment], directive: Directive, expected: Progress
) -> None:
    workload = make_workload(overheads=Overheads(startup_s=1800.0))
    found = progress_of(workload, segments, directive, None, None, now=at(2))
    assert replace(found, remaining_h=round(found.remaining_h, 1)) == expected


def test_a_beat_of_the_open_segment_counts_and_one_of_another_does_not(make_workload: Callable[..., Any]) -> None:
    workload = make_workload()
    open_now = segment(0, 0.0, 0.1)
    found = progress_of(workload, [open_now], told("west"), T0, beat(101, 0.1, 2.1), now=at(2.1))
    assert found.remaining_h == pytest.approx(599 * 0.02)
    assert found.since_at == T0
    other = progress_of(workload, [open_now], told("west"), T0, beat(101, 0.1, 2.1, index=5), now=at(2.1))
    assert other.remaining_h == pytest.approx(7.0)


def test_lost_steps_are_to_be_done_again(make_workload: Callable[..., Any]) -> None:
    crashed = segment(0, 0.0, 0.1, 1.1, start_step=0, end_step=60, reached_step=101, outcome=Outcome.LOST)
    found = progress_of(make_workload(), [crashed], told(None), T0, None, now=at(2))
    assert found.remaining_h == pytest.approx(640 * 0.01), "640 steps at the 100 steps an hour that were measured"


def test_a_beat_only_adds_to_a_segment() -> None:
    known = segment(0, 0.0, 0.1, start_step=5, end_step=40, reached_step=44)
    added = beat(30, 0.2, 0.3, first_step=5).onto(known)
    assert (added.running_at, added.end_step, added.reached_step, added.start_step) == (at(0.1), 40, 44, 5)
    silent = Beat(workload_id="run", segment_index=0, epoch=1).onto(segment(0, 0.0))
    assert (silent.running_at, silent.start_step) == (None, None), "before the first step nothing is known of where it began"
    assert beat(30, 0.2, 0.3, first_step=5).onto(segment(0, 0.0)).running_at == at(0.2)


@pytest.mark.parametrize(
    ("known", "word", "heard", "stopped", "ended"),
    [
        (segment(0, 1.0), None, 2.0, None, 2.0),
        (segment(0, 1.0), None, 0.5, None, 1.0),  # heard before it was opened
        (segment(0, 1.0, 1.5), None, 1.2, None, 1.5),
        (segment(0, 1.0, 1.5), beat(30, 1.5, 1.9), 2.0, 1.9, 2.0),
        (segment(0, 1.0), beat(30, 1.5, 2.1), 2.0, 2.1, 2.1),
        (segment(0, 1.0), beat(30, 1.5, 2.1, index=7), 2.0, None, 2.0),
    ],
)
def test_a_lost_segment_ends_when_it_was_last_heard_of(
    known: Segment, word: Beat | None, heard: float, stopped: float | None, ended: float
) -> None:
    closed = lost(known, word, at(heard))
    assert (closed.end_at, closed.outcome) == (at(ended), Outcome.LOST)
    assert closed.stopped_at == (None if stopped is None else at(stopped))
    if stopped is not None:
        assert (closed.end_step, closed.reached_step) == (30, 30)


def test_an_elastic_workload_is_measured_in_hours_of_its_default_count(make_workload: Callable[..., Any]) -> None:
    """100 steps an hour on 2 workers; an hour on 4 does as much as 1.5 hours on 2."""
    workload = make_workload(worker_counts=(2, 4), profile=ScalingProfile(throughput=(1.0, 2.0, 2.5, 3.0)), total_steps=700)
    on_two = segment(0, 0.0, 0.0, 1.0, start_step=0, end_step=101, reached_step=101)
    on_four = segment(1, 1.0, 1.0, 2.0, workers=4, start_step=101, end_step=252, reached_step=252)
    directive = Directive(workload_id="run", epoch=2, target=Placement(region="west", workers=4), reason="test")
    found = progress_of(workload, [on_two, on_four], directive, None, None, now=at(2))
    assert found.remaining_h == pytest.approx(4.48)
    assert found.workers == 4
    unmeasured = make_workload(worker_counts=(2, 4), profile=workload.profile, total_steps=None)
    unknown = progress_of(unmeasured, [on_four], directive, None, None, now=at(2))
    assert unknown.remaining_h == pytest.approx(7.0 - 1.5)


def test_while_the_count_changes_the_start_up_is_still_ahead(make_workload: Callable[..., Any]) -> None:
    workload = make_workload(worker_counts=(2, 4), profile=ScalingProfile.linear(4), overheads=Overheads(startup_s=1800.0))
    directive = Directive(workload_id="run", epoch=2, target=Placement(region="west", workers=4), reason="test")
    assert progress_of(workload, [segment(0, 0.0, 0.1)], directive, None, None, now=at(2)).starting_s == 1800.0
    assert progress_of(workload, [segment(0, 1.0, 1.1, workers=4)], directive, None, None, now=at(2)).starting_s == 0.0
