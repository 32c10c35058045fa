"""Hourly decisions about equal jobs of every home, on a table of true intensities; costs as in section 3 of the protocol.

All homes of one start share each hour's programme, because its values hold for any amount of work left and any region. What
is chosen from them is chosen by the same functions that `Replan` uses under the controller.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from carbon_ray.core.intensity import FloatArray
from carbon_ray.policies.backfire import PERSISTENCE_PER_H, chance_of_backfire
from carbon_ray.policies.counterfactual import NEGLIGIBLE, stake_gco2
from carbon_ray.policies.drawing import walk
from carbon_ray.policies.outlook import Outlook, Rule
from carbon_ray.policies.programme import IDLE, Alternatives, Initial, Problem, Programme

_NOTHING = np.zeros(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Overheads:
    """In running hours: checkpoint write, restore, change of region."""

    write: float = 0.05
    restore: float = 0.10
    move: float = 0.5


@dataclass(slots=True, kw_only=True)
class Job:
    """One job under way, in positions of the table's hours and zones."""

    home: int
    start: int
    run_hours: int
    end: int
    left: int
    at: int
    is_running: bool = False
    is_started: bool = False
    emitted: float = 0.0
    finished: int = 0
    moves: int = 0
    suspends: int = 0
    waited: int = 0


class Decider(Protocol):
    """Chooses a region, or `IDLE`, for every job of one start at the beginning of an hour."""

    def choose(self, hour: int, jobs: Sequence[Job]) -> list[int]:
        """The choices, in the order of the jobs."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcomes:
    """What became of the jobs, each of shape (starts, homes).

    Attributes:
        gco2: Emissions in job-hours times g/kWh.
        run_now_gco2: The same of run-now.
        delay_h: Hours between run-now's end and its own.
        moves: Changes of region after the first start.
        suspends: Pauses.
        missed: Whether work was left at the deadline.
    """

    gco2: FloatArray
    run_now_gco2: FloatArray
    delay_h: FloatArray
    moves: FloatArray
    suspends: FloatArray
    missed: FloatArray


def simulate(
    truth: FloatArray, starts: Sequence[int], run_hours: int, slack_hours: int, overheads: Overheads, decider: Decider
) -> Outcomes:
    """Run the jobs of all starts and homes, hour by hour."""
    rows = []
    for start in starts:
        jobs = [
            Job(home=home, start=start, run_hours=run_hours, end=start + run_hours + slack_hours, left=run_hours, at=home)
            for home in range(truth.shape[1])
        ]
        for hour in range(start, start + run_hours + slack_hours):
            alive = [job for job in jobs if job.left]
            if not alive:
                break
            for job, region in zip(alive, decider.choose(hour, alive), strict=True):
                advance(job, region, hour, truth, overheads)
        rows.append([(job.emitted, job.finished - start - run_hours, job.moves, job.suspends, job.left > 0) for job in jobs])
    table = np.array(rows, dtype=np.float64)
    now = np.array([truth[start : start + run_hours].sum(axis=0) for start in starts])
    gco2, delay_h, moves, suspends, missed = np.moveaxis(table, 2, 0)
    return Outcomes(gco2=gco2, run_now_gco2=now, delay_h=delay_h, moves=moves, suspends=suspends, missed=missed)


def advance(job: Job, region: int, hour: int, truth: FloatArray, overheads: Overheads) -> None:
    """One hour of one job, priced at the truth."""
    if job.is_running and region != job.at:
        job.emitted += overheads.write * truth[hour - 1, job.at]
        job.suspends += region == IDLE
        job.is_running = False
    if region == IDLE:
        job.waited += 1
        return
    if not job.is_running:
        hours = (overheads.restore if job.is_started else 0.0) + (overheads.move if region != job.at else 0.0)
        job.emitted += hours * truth[hour, region]
        job.moves += job.is_started and region != job.at
    job.emitted += truth[hour, region]
    job.at, job.is_running, job.is_started, job.left = region, True, True, job.left - 1
    if not job.left:
        job.finished = hour + 1


def problem_of(intensity: FloatArray, quanta: int, overheads: Overheads) -> Problem:
    """The programme's costs for a job of one kilowatt at one dollar a gram."""
    slots, regions = intensity.shape
    return Problem(
        run=intensity[:, :, None],
        hold=np.zeros((slots, regions, 1)),
        pause=overheads.write * intensity,
        unit=intensity,
        move=overheads.move * (1 - np.eye(regions)),
        send=np.zeros((regions, regions)),
        fee=np.zeros((regions, regions)),
        restore=overheads.restore,
        speed=np.ones(1, dtype=np.int64),
        waiting=0.0,
        startup_slots=0,
        quanta=quanta,
        allowed=np.ones((slots, regions), dtype=np.bool_),
        is_separable=True,
    )


class Issues(Protocol):
    """Forecasts by hour of issue; see `benchmarks.issued`."""

    def at(self, issue: int, hours: int) -> tuple[FloatArray, FloatArray]:
        """Median and standard deviation of the error, both (hours, zones)."""
        ...


@dataclass(kw_only=True)
class Replanning:
    """carbon_ray's policy: exact re-planning, hysteresis, and the guard against backfire.

    Attributes:
        truth: Used for hours that have passed only: the guard knows what was emitted.
        forecasts: By hour of issue.
        overheads: Costs of moving.
        hysteresis_fraction, backfire_fraction: As in `carbon_ray.policies.replan.Replan`; 0 switches either off.
    """

    truth: FloatArray
    forecasts: Issues
    overheads: Overheads = field(default_factory=Overheads)
    hysteresis_fraction: float = 0.0
    backfire_fraction: float = 0.0

    def choose(self, hour: int, jobs: Sequence[Job]) -> list[int]:
        """See `Decider`."""
        intensity, spread = self.forecasts.at(hour, jobs[0].end - hour)
        intensity, spread = np.ascontiguousarray(intensity), np.ascontiguousarray(spread)
        programme = Programme(problem_of(intensity, jobs[0].run_hours, self.overheads))
        return [self._choose(hour, job, programme, intensity, spread) for job in jobs]

    def alternatives(self, programme: Programme, state: Initial, left: int) -> Alternatives:
        """What the uses of the next hour cost to the end."""
        return programme.alternatives(state, left)

    def _choose(self, hour: int, job: Job, programme: Programme, intensity: FloatArray, spread: FloatArray) -> int:
        state = Initial(
            region=job.at,
            origin=job.at,
            is_running=job.is_running,
            is_started=job.is_started,
            pause=self.overheads.write * float(self.truth[hour - 1, job.at]),  # the hour that has just run
        )
        first = self.alternatives(programme, state, job.left)
        choice = first.choice
        threshold = self.hysteresis_fraction * float(intensity[0, job.at])
        if first.running is not None and choice != first.running and first.keep - first.best <= threshold:
            choice = first.running
        if not self.backfire_fraction:
            return choice[0]
        return self._guarded(hour, job, programme, intensity, spread, state, choice)

    def _guarded(
        self,
        hour: int,
        job: Job,
        programme: Programme,
        intensity: FloatArray,
        spread: FloatArray,
        state: Initial,
        choice: tuple[int, int],
    ) -> int:
        run_now = np.zeros_like(intensity)
        run_now[: max(0, job.start + job.run_hours - hour), job.home] = 1.0
        so_far = float(self.truth[job.start : min(hour, job.start + job.run_hours), job.home].sum())
        total = so_far + float((run_now * intensity).sum())
        price = self.backfire_fraction * stake_gco2(total, job.run_hours * float(intensity.mean()))

        hours, regions = intensity.shape

        def weigh(path: np.ndarray[tuple[int], np.dtype[np.int64]]) -> tuple[float, float]:
            drawn, pending, _, _, _, _, _ = walk(
                path,
                np.zeros(len(path), np.int64),
                path != IDLE,
                hours,
                (state.region, state.level, state.origin),
                state.is_running,
                state.is_started,
                (self.overheads.write, self.overheads.restore, 0.0),
                programme.problem.move,
                programme.problem.send,
                1.0,
                float(job.left),
                np.ones(1),
                np.ones(regions),
                *(np.ones((regions, 1)) for _ in range(3)),
                _NOTHING,
                _NOTHING,
                np.zeros((regions, 0)),
            )
            written = state.pause if pending else 0.0
            chance = chance_of_backfire(drawn, run_now, intensity, spread, so_far - job.emitted - written, total, PERSISTENCE_PER_H)
            return written + float((drawn * intensity).sum()) + price * chance, chance

        path, _, _ = programme.follow(state, choice, job.left)
        least, chance = weigh(path)
        best = int(path[0])
        if chance > NEGLIGIBLE and job.left <= len(intensity):
            for region in range(intensity.shape[1]):
                cost, _ = weigh(np.full(job.left, region))
                if cost < least:
                    least, best = cost, region
        return best


@dataclass(kw_only=True)
class ByRule:
    """A published rule, asked again every hour with the newest forecast."""

    truth: FloatArray
    forecasts: Issues
    rule: Rule
    overheads: Overheads = field(default_factory=Overheads)

    def choose(self, hour: int, jobs: Sequence[Job]) -> list[int]:
        """See `Decider`."""
        ahead, _ = self.forecasts.at(hour, jobs[0].end - hour)
        past, free = self.truth[jobs[0].start : hour], np.zeros_like(ahead)
        chosen = []
        for job in jobs:
            run = self.rule.act(
                Outlook(
                    gco2=ahead,
                    usd=free,
                    left=float(job.left),
                    total=float(job.run_hours),
                    elapsed=hour - job.start,
                    waited=job.waited,
                    home=job.home,
                    at=job.at,
                    is_running=job.is_running,
                    is_started=job.is_started,
                    staging=self.overheads.move,
                    past_gco2=past,
                )
            )
            chosen.append(IDLE if run is None else run.region)
        return chosen
