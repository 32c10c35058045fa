"""One job as the simulation holds it: its state, and its books. Knows no events, no policy and no other job."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum, auto

from carbon_ray.core.decision import Placement
from carbon_ray.core.ledger import Outcome
from carbon_ray.core.plan import PlanStep
from carbon_ray.core.units import S_PER_H
from carbon_ray.core.workload import Workload
from carbon_ray.sim.jobs import Job
from carbon_ray.sim.nodes import Holding
from carbon_ray.sim.results import JobResult, Stretch
from carbon_ray.sim.run_now import RunNow
from carbon_ray.sim.truth import ZoneTruth

ROUNDING = timedelta(milliseconds=1)
"""Lateness that is rounding."""


class State(Enum):
    """What a live job is doing."""

    WAITING = auto()
    """It has no nodes and shall have none."""
    LAUNCHING = auto()
    """It was told to run; its region does not give the nodes."""
    TRAVELLING = auto()
    """Its checkpoint is on the way to another region."""
    STARTING = auto()
    """Its nodes are held and make no steps yet."""
    RUNNING = auto()
    """It makes steps."""
    STOPPING = auto()
    """It writes its checkpoint; its nodes are still held."""
    DONE = auto()
    """The work is done."""


@dataclass(slots=True)
class Books:
    """Sums over a job's life."""

    gco2: float = 0.0
    overhead_gco2: float = 0.0
    kwh: float = 0.0
    overhead_kwh: float = 0.0
    usd: float = 0.0
    held_h: float = 0.0
    suspends: int = 0
    moves: int = 0
    rescales: int = 0
    losses: int = 0
    lost_h: float = 0.0

    def spend(self, kwh: float, gco2: float, *, is_overhead: bool) -> None:
        """Add energy and its emissions."""
        self.kwh += kwh
        self.gco2 += gco2
        if is_overhead:
            self.overhead_kwh += kwh
            self.overhead_gco2 += gco2

    def hold(self, holding: Holding, start_s: float, end_s: float, *, is_running: bool) -> None:
        """Add a stretch of held nodes at constant power."""
        hours = (end_s - start_s) / S_PER_H
        kw = holding.running_kw if is_running else holding.idle_kw
        self.spend(kw * hours, kw * holding.truth.over(start_s, end_s), is_overhead=not is_running)
        self.usd += holding.usd_per_h * hours
        self.held_h += hours


@dataclass(slots=True)
class LiveJob:
    """A job between submission and its end.

    Attributes:
        number: Position in the job set.
        job: As submitted.
        run_now: Its counterfactual.
        workload: As its policy knows it: with the start-up time that was measured.
        submitted_s: Seconds from the origin.
        remaining_h: Running hours still to do; while it runs, those at `running_s`.
        region: Where its newest checkpoint is; home before the first.
        state: What it does.
        target: Where it was told to run; None to wait.
        told_s: When it was told last; None before.
        epoch: Grows with every change of state; an event of an older epoch is stale.
        reserved: Nodes that it will get.
        held: Nodes that it has.
        start_s: Since when it has them.
        running_s: Since when it makes steps; None before.
        stopped_s: When it made its last one; None before.
        is_started: It has made steps.
        is_rescaling: It stops to go on where it is with another worker count.
        segment: Number of segments begun.
        startup_sum_s: Start-up times measured, summed up.
        startups: Number of them.
        steps: What is left of the plan that it follows.
        plan_end_s: When that plan ends.
    """

    number: int
    job: Job
    run_now: RunNow
    workload: Workload
    submitted_s: float
    remaining_h: float
    region: str
    state: State = State.WAITING
    target: Placement | None = None
    told_s: float | None = None
    epoch: int = 0
    reserved: Holding | None = None
    held: Holding | None = None
    start_s: float = 0.0
    running_s: float | None = None
    stopped_s: float | None = None
    is_started: bool = False
    is_rescaling: bool = False
    segment: int = 0
    startup_sum_s: float = 0.0
    startups: int = 0
    steps: tuple[PlanStep, ...] = ()
    plan_end_s: float = math.inf
    books: Books = field(default_factory=Books)
    finished_s: float = math.nan

    @property
    def rate(self) -> float:
        """Running hours done in an hour by the workers it has; as many as asked for do one."""
        assert self.held is not None
        return self.workload.rate(self.held.workers)

    def left_h(self, now_s: float) -> float:
        """Running hours still to do."""
        if self.state is not State.RUNNING or self.running_s is None:
            return self.remaining_h
        return max(0.0, self.remaining_h - (now_s - self.running_s) / S_PER_H * self.rate)

    def seen_h(self, now_s: float) -> tuple[float, float | None]:
        """Running hours still to do as policies may know them: an estimate, and what it will hardly exceed."""
        left_h = self.left_h(now_s)
        if self.job.true_work_h is None and self.workload.work_h_high is None:
            return left_h, None
        return self.workload.remaining_after(self.job.length_h - left_h)

    def starting_s(self, now_s: float) -> float:
        """Seconds that the policy must expect until its first step, from the start-up time it knows."""
        if self.target is None or self.state is State.RUNNING:
            return 0.0
        since_s = self.start_s if self.state is State.STARTING else now_s
        return max(0.0, self.workload.overheads.startup_s + self.transfer_s(self.target.region) - (now_s - since_s))

    def transfer_s(self, target: str) -> float:
        """Seconds that its checkpoint takes to another region while the nodes there wait; 0 where nothing is said about it."""
        transfers = self.workload.overheads.transfers
        return transfers.seconds(self.region, target) if transfers is not None else 0.0

    def emitted_gco2(self, now_s: float) -> float:
        """Emissions until now, g."""
        holding = self.held
        if holding is None:
            return self.books.gco2
        running_s = now_s if self.running_s is None else self.running_s
        stopped_s = now_s if self.stopped_s is None else max(self.stopped_s, running_s)
        idle = holding.truth.over(self.start_s, running_s) + holding.truth.over(stopped_s, now_s)
        return self.books.gco2 + holding.idle_kw * idle + holding.running_kw * holding.truth.over(running_s, stopped_s)

    def spent_usd(self, now_s: float) -> float:
        """Money spent until now."""
        return self.books.usd + (self.held.usd_per_h * (now_s - self.start_s) / S_PER_H if self.held is not None else 0.0)

    def learn_startup(self, startup_s: float) -> None:
        """Let the policy plan with the mean of the start-up times measured so far, as a controller does."""
        self.startup_sum_s += startup_s
        self.startups += 1
        mean_s = self.startup_sum_s / self.startups
        if mean_s != self.workload.overheads.startup_s:
            self.workload = replace(self.workload, overheads=replace(self.workload.overheads, startup_s=mean_s))

    def last_gco2_per_kwh(self, now_s: float) -> float | None:
        """Intensity of the interval that has just run where it makes steps, at which `stop` prices a checkpoint; else None."""
        return self.held.truth.before(now_s) if self.held is not None and self.state is State.RUNNING else None

    def begin(self, now_s: float, left: ZoneTruth) -> None:
        """The nodes are there: from now on they are held, and what starting costs is paid.

        Args:
            now_s: Seconds from the origin.
            left: What comes true where the checkpoint is.
        """
        assert self.reserved is not None
        self.held, self.reserved = self.reserved, None
        self.start_s, self.running_s, self.stopped_s = now_s, None, None
        self.segment += 1
        self.state = State.STARTING
        overheads, is_away = self.workload.overheads, self.held.region != self.region
        hours = (overheads.restore_h if self.is_started else 0.0) + (overheads.migrate_h if is_away else 0.0)
        if self.is_rescaling and self.is_started and not is_away:
            hours += overheads.rescale_h
            self.books.rescales += 1
        self.is_rescaling = False
        if hours:
            kwh = hours * self.held.overhead_kw
            self.books.spend(kwh, kwh * self.held.truth.at(now_s), is_overhead=True)
        if is_away:
            self.books.usd += overheads.egress_usd
            self.books.moves += self.is_started
            if overheads.transfers is not None:
                kwh = overheads.transfers.kwh
                self.books.usd += overheads.transfers.usd(self.region)
                self.books.spend(kwh, kwh * self.held.truth.at(now_s), is_overhead=True)
                self.books.spend(kwh, kwh * left.at(now_s), is_overhead=True)

    def run(self, now_s: float) -> float:
        """The first step; returns when the work will be done."""
        assert self.held is not None
        self.learn_startup(round(now_s - self.start_s - self.transfer_s(self.held.region), 6))
        self.running_s, self.state = now_s, State.RUNNING
        self.is_started, self.region = True, self.held.region
        return round(now_s + self.remaining_h * S_PER_H / self.rate, 6)

    def stop(self, now_s: float) -> bool:
        """The last step, as planned: a checkpoint is written of what was done; True if anything was."""
        assert self.held is not None
        has_run = self.running_s is not None and now_s > self.running_s
        if has_run:
            self.remaining_h = self.left_h(now_s)
            kwh = self.workload.overheads.checkpoint_h * self.held.overhead_kw
            if kwh:
                self.books.spend(kwh, kwh * self.held.truth.before(now_s), is_overhead=True)
        target = self.target
        self.is_rescaling = target is not None and target.region == self.held.region and target.workers != self.held.workers
        self.stopped_s, self.state = now_s, State.STOPPING
        return has_run

    def lose(self, now_s: float, checkpoint_every_s: float) -> None:
        """The nodes are gone, and all work since the last checkpoint with them."""
        assert self.held is not None
        if self.running_s is not None and self.state is State.RUNNING:
            ran_s = now_s - self.running_s
            saved_s = math.floor(ran_s / checkpoint_every_s) * checkpoint_every_s if math.isfinite(checkpoint_every_s) else 0.0
            self.remaining_h -= saved_s / S_PER_H * self.rate
            self.books.lost_h += (ran_s - saved_s) / S_PER_H * self.rate
        self.books.losses += 1

    def end_segment(self, now_s: float, outcome: Outcome) -> Stretch:
        """Release the nodes and pay for them."""
        holding = self.held
        assert holding is not None
        running_s = now_s if self.running_s is None else self.running_s
        stopped_s = now_s if self.stopped_s is None else max(self.stopped_s, running_s)
        for start_s, end_s, is_running in ((self.start_s, running_s, False), (running_s, stopped_s, True), (stopped_s, now_s, False)):
            if end_s > start_s:
                self.books.hold(holding, start_s, end_s, is_running=is_running)
        self.held = None
        return Stretch(
            self.number,
            self.segment - 1,
            holding.region,
            holding.workers,
            holding.node_type,
            holding.nodes,
            self.start_s,
            self.running_s,
            stopped_s if self.running_s is not None else None,
            now_s,
            outcome,
            holding.market,
            holding.usd_per_h * (now_s - self.start_s) / S_PER_H,
        )

    def result(self, origin_at: datetime) -> JobResult:
        """Its closed books beside what run-now would have come to."""
        workload, books, run_now = self.job.workload, self.books, self.run_now
        finished_at = origin_at + timedelta(seconds=self.finished_s)
        return JobResult(
            workload_id=workload.workload_id,
            home=workload.home_region,
            submitted_at=workload.submitted_at,
            deadline_at=workload.deadline_at,
            finished_at=finished_at,
            gco2=books.gco2,
            overhead_gco2=books.overhead_gco2,
            energy_kwh=books.kwh,
            overhead_kwh=books.overhead_kwh,
            usd=books.usd,
            held_h=books.held_h,
            run_now_gco2=run_now.gco2_until(run_now.finished_s),
            run_now_kwh=run_now.kwh,
            run_now_usd=run_now.usd,
            delay_h=(self.finished_s - run_now.finished_s) / S_PER_H,
            suspends=books.suspends,
            moves=books.moves,
            rescales=books.rescales,
            losses=books.losses,
            lost_h=books.lost_h,
            is_missed=finished_at > workload.deadline_at + ROUNDING,
        )
