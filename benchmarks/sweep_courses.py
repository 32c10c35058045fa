"""How large a simulated sweep is, how it went, and what it emitted, priced on true intensities."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from benchmarks.traces import HourlyTable
from carbon_ray.core.intensity import FloatArray
from carbon_ray.core.units import S_PER_H


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
        move_s: Extra energy of a trial's resume in another region than it was in, at the intensity there: seconds of full power.
        stage_s: Extra energy of the first start in a region that the sweep is not at home in (its data come along): the same.
    """

    trials: int = 200
    slots: int = 8
    run_hours: float = 12.0
    slack_hours: float = 48.0
    power_w: float = 300.0
    startup_s: float = 30.0
    stop_s: float = 15.0
    move_s: float = 300.0
    stage_s: float = 1800.0

    @property
    def span_h(self) -> float:
        """Hours from the start to the deadline."""
        return self.run_hours + self.slack_hours


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Course:
    """How a sweep went.

    Attributes:
        start_at: Its start, aware UTC.
        end_at: Its end.
        stretches: Region (index), start and end of each stretch that a trial held a slot for, hours from the start, shape (S, 3).
        results_h: When results came, hours from the start, ascending.
        best: Best score until each of them.
        moves: Region (index), hour and extra seconds of full power of each move and staging, shape (M, 3).
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
        zones: Of the regions that the courses number; those of the table without it.
    """

    def __init__(self, table: HourlyTable, shape: Shape, zones: Sequence[str] = ()) -> None:
        self._start_at, self._shape = table.start_at, shape
        self._columns = np.array([table.zones.index(zone) for zone in zones or table.zones])
        values = table.values_gco2_per_kwh
        self._sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])

    def _until(self, hours: FloatArray, zones: NDArray[np.int64]) -> FloatArray:
        """Integral of the intensity from the table's start to each hour, g/kWh h."""
        whole = np.minimum(hours.astype(np.int64), len(self._sums) - 2)
        low = self._sums[whole, zones]
        done: FloatArray = low + (hours - whole) * (self._sums[whole + 1, zones] - low)
        return done

    def gco2(self, course: Course, until_h: float = np.inf, *, home: int | None = None) -> float:
        """Emissions until an hour of the course.

        Args:
            course: What ran, and where.
            until_h: Hours from its start.
            home: Column of the table that all of it ran in, whatever the course says.
        """
        offset_h = (course.start_at - self._start_at).total_seconds() / S_PER_H
        regions, begin, end = course.stretches.T
        zones = self._columns[regions.astype(np.int64)] if home is None else np.full(len(regions), home)
        begin, end = np.minimum(begin, until_h) + offset_h, np.minimum(end, until_h) + offset_h
        kilowatts = self._shape.power_w / 1000.0
        total = float((self._until(end, zones) - self._until(begin, zones)).sum())
        moved = course.moves[course.moves[:, 1] <= until_h]
        if len(moved):
            at, there = moved[:, 1] + offset_h, self._columns[moved[:, 0].astype(np.int64)]
            intensity = self._until(at + 1e-3, there) - self._until(at, there)
            total += float((intensity / 1e-3 * moved[:, 2]).sum()) / S_PER_H
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
