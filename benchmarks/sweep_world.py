"""A simulated sweep: any trial scheduler in Tune's virtual loop, with recorded learning curves as its trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from ray.tune.schedulers import ASHAScheduler, TrialScheduler

from benchmarks.sweep_courses import Course, Shape
from benchmarks.sweep_curves import Task
from carbon_ray.core.clock import ManualClock
from carbon_ray.core.units import S_PER_H
from carbon_ray.testing.tune_loop import ListedTrials, LoopTiming, RecordedCurves, TuneLoop

METRIC = "score"
REDUCTION = 3
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
"""Start of sweeps for which no grid matters."""


def asha(iterations: int) -> ASHAScheduler:
    """The scheduler that sweeps are compared with, and that is wrapped: halving by three from the first iteration on."""
    return ASHAScheduler(max_t=iterations, grace_period=1, reduction_factor=REDUCTION)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sweep:
    """What is searched: the same for every scheduler and every start.

    Attributes:
        task: Whose curves.
        drawn: Configurations in the order of the searcher.
        iteration_s: Seconds of an iteration.
        shape: How large.
    """

    task: Task
    drawn: tuple[int, ...]
    iteration_s: float
    shape: Shape

    @classmethod
    def of(cls, task: Task, shape: Shape, seed: int) -> Sweep:
        """Draw a sweep, and set the length of its iterations so that the base scheduler alone takes `run_hours` of all slots."""
        drawn, guess_s = task.drawn(shape.trials, seed), 600.0
        sweep = cls(task=task, drawn=drawn, iteration_s=guess_s, shape=shape)
        course = run(sweep, asha(task.iterations), ManualClock(EPOCH))
        # Starts and ends take the same whatever an iteration takes, and the order of events stays as it is, or nearly.
        beside_h = course.trial_h - course.iterations * guess_s / S_PER_H
        return cls(
            task=task, drawn=drawn, iteration_s=(shape.run_hours * shape.slots - beside_h) / course.iterations * S_PER_H, shape=shape
        )


def run(
    sweep: Sweep,
    scheduler: TrialScheduler,
    clock: ManualClock,
    *,
    regions: Sequence[str] = (),
    home: int = 0,
    callbacks: Sequence[object] = (),
    end_at: datetime | None = None,
) -> Course:
    """Run a sweep under a scheduler, from the clock's present instant on.

    Args:
        sweep: What is searched.
        scheduler: Any of Tune's, wrapped or not.
        clock: Is moved to the end of the sweep.
        regions: Names of the regions that trials may run in; each can hold all slots. Empty: one region without a name.
        home: Position of the region that the sweep is at home in.
        callbacks: Of the run.
        end_at: Nothing may take longer.

    Raises:
        LoopStalled: The sweep does not come to an end before `end_at`.
    """
    start_at, shape = clock.now(), sweep.shape
    loop = TuneLoop(
        scheduler,
        RecordedCurves(curves={one: sweep.task.scores[one] for one in sweep.drawn}, metric=METRIC, default_s=sweep.iteration_s),
        ListedTrials([{"curve": one} for one in sweep.drawn]),
        clock=clock,
        slots={region: shape.slots for region in regions} if regions else shape.slots,
        metric=METRIC,
        callbacks=list(callbacks),
        max_pending=2 * shape.slots,
        timing=LoopTiming(startup_s=shape.startup_s, stop_s=shape.stop_s),
        end_at=end_at,
    ).run()
    return course_of(loop, sweep, start_at, tuple(regions), home)


def course_of(loop: TuneLoop, sweep: Sweep, start_at: datetime, regions: tuple[str, ...], home: int) -> Course:
    """Read a course off a loop that has run."""

    def hour(at: datetime) -> float:
        return (at - start_at).total_seconds() / S_PER_H

    index = {name: position for position, name in enumerate(regions)} or {"": home}
    stretches = [(index[one.region], hour(one.start_at), hour(one.end_at)) for one in loop.stretches]
    results_h, best, last_at = list[float](), list[float](), dict[str, int]()
    moves, staged, reported, pauses, top = list[tuple[int, float, float]](), {home}, set[str](), 0, -np.inf
    for event in loop.events:
        if event.kind == "started":
            where = index[event.region]
            if where not in staged:
                moves.append((where, hour(event.at), sweep.shape.stage_s))
                staged.add(where)
            if where != last_at.get(event.trial_id, where):
                moves.append((where, hour(event.at), sweep.shape.move_s))
            last_at[event.trial_id] = where
        elif event.kind == "result":
            reported.add(event.trial_id)
            top = max(top, float(sweep.task.scores[sweep.drawn[int(event.trial_id)], event.iteration - 1]))
            results_h.append(hour(event.at))
            best.append(top)
        pauses += event.kind == "paused"
    return Course(
        start_at=start_at,
        end_at=max(one.end_at for one in loop.stretches),
        stretches=np.array(stretches, dtype=np.float64),
        results_h=tuple(results_h),
        best=tuple(best),
        moves=np.array(moves, dtype=np.float64).reshape(-1, 3),
        trials=len(reported),
        iterations=len(results_h),
        pauses=pauses,
    )
