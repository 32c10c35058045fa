"""A simulated sweep: any trial scheduler in Tune's virtual loop, recorded learning curves as its trials, priced on true intensities."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from ray.tune.schedulers import ASHAScheduler, TrialScheduler

from benchmarks.issued import Issued
from benchmarks.sweep_curves import Task
from benchmarks.traces import HourlyTable
from carbon_ray.core.clock import ManualClock
from carbon_ray.core.forecast import MEDIAN, Forecast, ForecastSnapshot
from carbon_ray.core.intensity import FloatArray, Provenance
from carbon_ray.core.units import S_PER_H
from carbon_ray.policies.backfire import LEVELS_APART
from carbon_ray.policies.expectation import HIGH, LOW
from carbon_ray.testing.tune_loop import ListedTrials, LoopTiming, RecordedCurves, TuneLoop

METRIC = "score"
REDUCTION = 3


def asha(iterations: int) -> ASHAScheduler:
    """The scheduler that sweeps are compared with, and that is wrapped: halving by three from the first iteration on."""
    return ASHAScheduler(max_t=iterations, grace_period=1, reduction_factor=REDUCTION)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How large a sweep is.

    Attributes:
        trials: Configurations.
        slots: Trials at once, at most.
        run_hours: Of the base sweep at full concurrency: all its trials together take `run_hours * slots` hours.
        slack_hours: Until the deadline, on top.
        power_w: Of a running trial, W at the wall.
        startup_s: Of every start and resume, at full power, seconds.
        stop_s: Of every pause and end, at full power, seconds.
        move_s: Extra energy of a start in another region than where the trial, or at first the sweep, was: seconds of full power.
    """

    trials: int = 200
    slots: int = 8
    run_hours: float = 12.0
    slack_hours: float = 48.0
    power_w: float = 300.0
    startup_s: float = 30.0
    stop_s: float = 15.0
    move_s: float = 300.0

    @property
    def span_h(self) -> float:
        """Hours from the start to the deadline."""
        return self.run_hours + self.slack_hours


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sweep:
    """What is searched: the same for every scheduler and every start.

    Attributes:
        task: Whose curves.
        drawn: Configurations in the order of the searcher.
        iteration_s: Seconds of an iteration by configuration.
        shape: How large.
    """

    task: Task
    drawn: tuple[int, ...]
    iteration_s: Mapping[int, float]
    shape: Shape

    @classmethod
    def of(cls, task: Task, shape: Shape, seed: int) -> Sweep:
        """Draw a sweep, and set the length of its iterations so that the base scheduler alone takes `run_hours` of all slots."""
        drawn = task.drawn(shape.trials, seed)
        scale = 1.0
        for _ in range(4):  # what the length changes in the order of events changes the length again, a little
            sweep = cls(task=task, drawn=drawn, iteration_s={one: scale * float(task.iteration_s[one]) for one in drawn}, shape=shape)
            trial_h = run(sweep, asha(task.iterations), ManualClock(datetime.fromisoformat("2000-01-01T00:00:00+00:00"))).trial_h
            scale *= shape.run_hours * shape.slots / trial_h
        return sweep


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Course:
    """How a sweep went.

    Attributes:
        start_at: Its start, aware UTC.
        end_at: Its end.
        stretches: Region (index), start and end of each stretch that a trial held a slot for, hours from the start, shape (S, 3).
        results_h: When results came, hours from the start, ascending.
        best: Best score until each of them.
        moves: Region (index) and hour of each start away from where the trial, or the sweep, was, shape (M, 2).
        trials: Trials that reported.
        iterations: Results.
        pauses: How often a trial was paused.
    """

    start_at: datetime
    end_at: datetime
    stretches: FloatArray
    results_h: tuple[float, ...]
    best: tuple[float, ...]
    moves: FloatArray
    trials: int
    iterations: int
    pauses: int

    @property
    def trial_h(self) -> float:
        """Hours that trials held slots, all together."""
        return float((self.stretches[:, 2] - self.stretches[:, 1]).sum())

    @property
    def makespan_h(self) -> float:
        """From start to end."""
        return (self.end_at - self.start_at).total_seconds() / S_PER_H

    def reached_h(self, score: float) -> float | None:
        """When the best score was at least so much; None if never."""
        index = bisect_left(self.best, score)
        return self.results_h[index] if index < len(self.best) else None

    def best_at(self, hour: float) -> float:
        """Best score of the results until then."""
        index = bisect_left(self.results_h, hour + 1e-9)
        return self.best[index - 1] if index else -np.inf


class Meter:
    """Prices courses on true intensities.

    Args:
        table: Truth.
        shape: Power and overheads.
    """

    def __init__(self, table: HourlyTable, shape: Shape) -> None:
        self._start_at, self._shape = table.start_at, shape
        values = table.values_gco2_per_kwh
        self._sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])

    def _until(self, hours: FloatArray, zones: FloatArray) -> FloatArray:
        """Integral of the intensity from the table's start to each hour, g/kWh h."""
        whole = np.minimum(hours.astype(np.int64), len(self._sums) - 2)
        zone = zones.astype(np.int64)
        low = self._sums[whole, zone]
        done: FloatArray = low + (hours - whole) * (self._sums[whole + 1, zone] - low)
        return done

    def gco2(self, course: Course, until_h: float = np.inf, *, home: int | None = None) -> float:
        """Emissions until an hour of the course.

        Args:
            course: What ran, and where.
            until_h: Hours from its start.
            home: Zone that all of it ran in, whatever the course says; for a sweep of one region.
        """
        offset_h = (course.start_at - self._start_at).total_seconds() / S_PER_H
        zones, begin, end = course.stretches.T
        if home is not None:
            zones = np.full_like(zones, home)
        begin, end = np.minimum(begin, until_h) + offset_h, np.minimum(end, until_h) + offset_h
        kilowatts = self._shape.power_w / 1000.0
        total = float((self._until(end, zones) - self._until(begin, zones)).sum())
        moved = course.moves[course.moves[:, 1] <= until_h]
        if len(moved):
            at = moved[:, 1] + offset_h
            total += float((self._until(at + 1.0, moved[:, 0]) - self._until(at, moved[:, 0])).sum()) * self._shape.move_s / S_PER_H
        return kilowatts * total

    def hour_of(self, course: Course, gco2: float) -> float:
        """When the course's emissions come to so much, in hours from its start; its end if never."""
        low, high = 0.0, course.makespan_h
        if self.gco2(course) <= gco2:
            return high
        for _ in range(30):
            middle = (low + high) / 2
            low, high = (middle, high) if self.gco2(course, middle) <= gco2 else (low, middle)
        return low


class Issues:
    """Snapshots of forecasts as issued at every hour; nothing later than the hour of issue goes into one.

    Args:
        table: Gives zones and start.
        issued: Medians and spreads.
        hours: How far each reaches.
        name: Of the forecaster.
    """

    def __init__(self, table: HourlyTable, issued: Issued, hours: int, name: str) -> None:
        self._table, self._issued, self._hours, self._name = table, issued, hours, name
        self._made: dict[int, ForecastSnapshot] = {}

    def at(self, now: datetime) -> ForecastSnapshot:
        """The newest snapshot."""
        hour = self._table.position(now)
        if hour not in self._made:
            self._made[hour] = self._snapshot(hour)
        return self._made[hour]

    def _snapshot(self, hour: int) -> ForecastSnapshot:
        median, spread = self._issued.at(hour, self._hours)
        issued_at = self._table.start_at + timedelta(hours=hour)
        away = spread * LEVELS_APART / 2
        levels = {LOW: np.maximum(median - away, 0.0), MEDIAN: np.maximum(median, 0.0), HIGH: np.maximum(median + away, 0.0)}
        return ForecastSnapshot(
            version=hour,
            issued_at=issued_at,
            forecasts={
                zone: Forecast(
                    zone=zone,
                    kind=self._table.kind,
                    issued_at=issued_at,
                    start_at=issued_at,
                    step_s=S_PER_H,
                    quantiles_gco2_per_kwh={level: values[:, index] for level, values in levels.items()},
                    forecaster=self._name,
                    provenance=Provenance(provider="trace"),
                )
                for index, zone in enumerate(self._table.zones)
            },
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
        RecordedCurves(curves={one: sweep.task.scores[one] for one in sweep.drawn}, seconds=sweep.iteration_s, metric=METRIC),
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
    moves, reported, pauses, top = list[tuple[int, float]](), set[str](), 0, -np.inf
    for event in loop.events:
        if event.kind == "started":
            if index[event.region] != last_at.get(event.trial_id, home):
                moves.append((index[event.region], hour(event.at)))
            last_at[event.trial_id] = index[event.region]
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
        moves=np.array(moves, dtype=np.float64).reshape(-1, 2),
        trials=len(reported),
        iterations=len(results_h),
        pauses=pauses,
    )
