"""The simulator: events in order of time, and at each round what the controller does: observe, decide, admit, apply, record."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from carbon_ray.core.decision import Change, Decision, Placement
from carbon_ray.core.errors import CooldownActive, DecisionRefused, NoCapacityError, OutsideDataError
from carbon_ray.core.ledger import Outcome
from carbon_ray.core.plan import Plan
from carbon_ray.core.workload import Workload
from carbon_ray.policies.base import placement_of
from carbon_ray.policies.fleet.policy import FleetPolicy
from carbon_ray.sim.agenda import Agenda, Event
from carbon_ray.sim.deciding import Answer, AnyPolicy, answers
from carbon_ray.sim.forecasts import ForecastSource
from carbon_ray.sim.jobs import JobSet
from carbon_ray.sim.live import LiveJob, State
from carbon_ray.sim.mishaps import StockOuts, life_s
from carbon_ray.sim.nodes import Nodes
from carbon_ray.sim.observing import Observer
from carbon_ray.sim.results import ChangeMade, Refusal, Run, Stretch
from carbon_ray.sim.run_now import RunNow
from carbon_ray.sim.truth import ZoneTruth
from carbon_ray.sim.world import Control, World

_ROUNDING_S = 1e-3
_DISRUPTIVE = (Change.SUSPEND, Change.MOVE)


def simulate(world: World, jobs: JobSet, policy: AnyPolicy, source: ForecastSource, control: Control | None = None) -> Run:
    """Run all jobs to their end.

    Args:
        world: Regions, what comes true, what goes wrong.
        jobs: What is submitted.
        policy: Who decides: a placement policy, or one for all workloads together. One with a memory must be new.
        source: What is known of the future.
        control: How often is decided.

    Returns:
        The books. Equal arguments give equal results, to the last bit.

    Raises:
        OutsideDataError: A deadline lies after the truth's end, or the work came to outlast it.
        NoCapacityError, UnknownRegionError: A job does not fit any region, or names one that is not there.
        ForecastError: There is no past to forecast from.
    """
    return _Simulation(world, jobs, policy, source, control or Control()).run()


class _Simulation:
    def __init__(self, world: World, jobs: JobSet, policy: AnyPolicy, source: ForecastSource, control: Control) -> None:
        self._world, self._source, self._control = world, source, control
        self._policy = policy
        self._origin = jobs.jobs[0].workload.submitted_at.replace(hour=0, minute=0, second=0, microsecond=0)
        self._truth = {zone: ZoneTruth(world.truth[zone], self._origin) for zone in world.zones}
        self._until_s = min(truth.end_s for truth in self._truth.values())
        self._stockouts = {name: StockOuts(world.mishaps, name, self._until_s) for name in world.regions}
        by_region = {name: self._truth[region.zone] for name, region in world.regions.items()}
        self._nodes = Nodes(
            world.regions,
            by_region,
            jobs,
            is_shared=world.is_shared,
            origin_at=self._origin,
            spot=control.spot,
            shortages={name: StockOuts(world.mishaps, name, self._until_s, is_spot=True) for name in world.regions},
        )
        self._jobs = jobs.jobs
        self._all = [self._admitted(number) for number in range(len(jobs.jobs))]
        self._live: dict[int, LiveJob] = {}
        self._agenda = Agenda()
        self._asked: set[int] = set()
        self._next_tick_s = -math.inf
        self._observer = Observer(world, self._nodes, source, self._origin)
        self._changes: list[ChangeMade] = []
        self._stretches: list[Stretch] = []
        self._decided, self._disrupted = 0, 0
        self._refused = dict.fromkeys(Refusal, 0)

    def _admitted(self, number: int) -> LiveJob:
        job = self._jobs[number]
        workload = job.workload
        if self._second(workload.deadline_at) > self._until_s:
            raise OutsideDataError(
                f"the deadline {workload.deadline_at:%Y-%m-%dT%H:%MZ} of {workload.workload_id} lies after the end of the intensity data, "
                f"{self._at(self._until_s):%Y-%m-%dT%H:%MZ}; give longer data, or fewer jobs"
            )
        self._nodes.require(workload)
        submitted_s = self._second(workload.submitted_at)
        return LiveJob(
            number=number,
            job=job,
            run_now=RunNow.of(
                replace(workload, work_h=job.length_h, work_h_high=None),
                self._nodes.at_home(workload),
                submitted_s,
                self._startup_s(workload),
            ),
            workload=workload,
            submitted_s=submitted_s,
            remaining_h=job.length_h,
            region=workload.home_region,
        )

    # Time

    def _second(self, at: datetime) -> float:
        return (at - self._origin).total_seconds()

    def _at(self, second: float) -> datetime:
        return self._origin + timedelta(seconds=second)

    # The loop

    def run(self) -> Run:
        agenda, live = self._agenda, self._live
        for job in self._all:
            agenda.add(job.submitted_s, Event.SUBMITTED, job.number)
        while agenda:
            now_s, event, number, epoch = agenda.pop()
            if event == Event.TICK:
                self._tick(now_s)
            elif event == Event.ASKED:
                self._answer(now_s)
            elif event == Event.SUBMITTED:
                live[number] = self._all[number]
                self._schedule_tick(now_s)
                self._ask(live[number], now_s)
            elif number in live and live[number].epoch == epoch:
                self._happen(live[number], event, now_s)
        return Run(
            origin_at=self._origin,
            forecaster=self._source.name,
            is_clairvoyant=self._source.is_clairvoyant,
            jobs=tuple(job.result(self._origin) for job in self._all),
            changes=tuple(self._changes),
            stretches=tuple(self._stretches),
            decided=self._decided,
            refused=self._refused,
        )

    def _happen(self, job: LiveJob, event: int, now_s: float) -> None:
        if event == Event.COMPLETED:
            job.stopped_s = now_s
            self._end_segment(job, now_s, Outcome.COMPLETED)
            job.remaining_h, job.state, job.finished_s, job.target = 0.0, State.DONE, now_s, None
            job.epoch += 1
            del self._live[job.number]
        elif event == Event.READY:
            self._run(job, now_s)
        elif event == Event.STOPPED:
            self._released(job, now_s)
        elif event == Event.ARRIVED or event == Event.NODES:
            self._launch(job, now_s)
        elif event == Event.LOST:
            self._lose(job, now_s)
        elif event == Event.TIMEOUT:
            assert job.target is not None
            self._observer.leave_out(job.target.region, now_s + self._world.physics.block_s)
            self._ask(job, now_s)
        else:
            self._follow(job, now_s)

    # Rounds

    def _schedule_tick(self, now_s: float) -> None:
        tick_s = self._control.tick_s
        if tick_s is not None and self._next_tick_s < now_s:
            self._next_tick_s = math.ceil(now_s / tick_s - 1e-9) * tick_s
            self._agenda.add(self._next_tick_s, Event.TICK)

    def _tick(self, now_s: float) -> None:
        if self._live:
            assert self._control.tick_s is not None
            self._next_tick_s = now_s + self._control.tick_s
            self._agenda.add(self._next_tick_s, Event.TICK)
            self._round(list(self._live.values()), now_s)

    def _ask(self, job: LiveJob, now_s: float) -> None:
        """Decide on it in a round of this instant."""
        if not self._asked:
            self._agenda.add(now_s, Event.ASKED)
        self._asked.add(job.number)

    def _answer(self, now_s: float) -> None:
        asked, self._asked = sorted(self._asked), set()
        if now_s != self._next_tick_s:  # else the tick is next
            members = self._live if isinstance(self._policy, FleetPolicy) else asked
            self._round([self._live[number] for number in members if number in self._live], now_s)

    def _round(self, jobs: Sequence[LiveJob], now_s: float) -> None:
        if not jobs:
            return
        if now_s >= self._until_s:
            raise OutsideDataError(
                f"the intensity data end at {self._at(self._until_s):%Y-%m-%dT%H:%MZ} and {len(self._live)} jobs are not done; give longer "
                "data, less work or more nodes"
            )
        now = self._at(now_s)
        self._observer.look(jobs, now, now_s)
        self._disrupted = 0
        self._decided += len(jobs)
        for one in answers(self._policy, self._observer, jobs, self._live.values(), now=now, now_s=now_s):
            assert one.plan is not None
            self._remember(one.job, one.plan)
            self._admit(one, now, now_s)

    # From a decision to what happens

    def _admit(self, one: Answer, now: datetime, now_s: float) -> None:
        """The controller's second look, then its hand. Who is refused is asked again."""
        job, decision = one.job, one.decision
        change, limit, guards = decision.change, self._control.disruptions_per_tick, self._control.guards
        if change is Change.KEEP:
            self._schedule_due(job, now_s)
            return
        if change in _DISRUPTIVE and limit is not None and self._disrupted >= limit:
            self._refuse(job, Refusal.DISRUPTIONS, now_s)
            return
        try:
            admitted = guards.admit(decision, job.workload, one.progress, one.around, now=now)
            self._reserve(job, admitted.target, now_s)
        except CooldownActive:
            assert job.told_s is not None  # it has changed before
            self._refuse(job, Refusal.GUARD, now_s, job.told_s + guards.min_stay_s)
        except DecisionRefused:
            self._refuse(job, Refusal.GUARD, now_s)
        except NoCapacityError:
            self._refuse(job, Refusal.CAPACITY, now_s)
        else:
            self._disrupted += change in _DISRUPTIVE
            self._direct(job, admitted, now_s)

    def _reserve(self, job: LiveJob, target: Placement | None, now_s: float) -> None:
        """Take the nodes that it shall run on, and give back those that it was to get.

        Raises:
            NoCapacityError: They are taken by others; what it was to get it still is.
        """
        before, job.reserved = job.reserved, None
        self._nodes.give(before)
        try:
            job.reserved = (
                None if target is None else self._nodes.take(job.workload, target, left_h=job.left_h(now_s), now_s=now_s, held=job.held)
            )
        except NoCapacityError:
            job.reserved = self._nodes.take_back(before)
            raise

    def _refuse(self, job: LiveJob, why: Refusal, now_s: float, again_s: float | None = None) -> None:
        self._refused[why] += 1
        job.steps, job.plan_end_s = (), again_s if again_s is not None else now_s + self._world.physics.block_s
        self._schedule_due(job, now_s)

    def _remember(self, job: LiveJob, plan: Plan) -> None:
        """Keep the plan, to be followed until the next tick."""
        job.steps, job.plan_end_s = plan.steps[1:], round(self._second(plan.steps[-1].end_at), 6)

    def _schedule_due(self, job: LiveJob, now_s: float) -> None:
        due_s = round(self._second(job.steps[0].start_at), 6) if job.steps else job.plan_end_s
        if self._control.tick_s is None or due_s < self._next_tick_s:
            self._agenda.add(max(due_s, now_s), Event.DUE, job.number, job.epoch)

    def _follow(self, job: LiveJob, now_s: float) -> None:
        """Take the plan's step that is due; a plan that has ended, and the work not, is made anew."""
        if now_s == self._next_tick_s:
            return
        due = [step for step in job.steps if self._second(step.start_at) <= now_s + _ROUNDING_S]
        if not due:
            if not job.steps and now_s >= job.plan_end_s - _ROUNDING_S:
                self._ask(job, now_s)
            return
        job.steps = job.steps[len(due) :]
        target = None if due[-1].region is None else Placement(region=due[-1].region, workers=due[-1].workers)
        now, progress = self._at(now_s), self._observer.progress(job, now_s)
        decision = Decision(
            workload_id=job.workload.workload_id,
            at=now,
            current=placement_of(job.workload, progress),
            target=target,
            reason="the step that the plan has for now",
        )
        around = self._observer.around(now_s, job)
        self._admit(Answer(job=job, progress=progress, around=around, decision=decision), now, now_s)

    def _direct(self, job: LiveJob, decision: Decision, now_s: float) -> None:
        """Tell the workload, as the controller's directive does."""
        target = decision.target
        self._changes.append(
            ChangeMade(
                at=decision.at,
                workload_id=decision.workload_id,
                change=decision.change,
                region=target.region if target else None,
                workers=target.workers if target else 0,
                is_forced=decision.is_forced,
            )
        )
        job.target, job.told_s = target, now_s
        job.epoch += 1
        if job.state is State.STARTING or job.state is State.RUNNING:
            has_run = job.stop(now_s)
            job.books.suspends += target is None and job.is_started
            checkpoint_s = self._world.physics.checkpoint_s
            if has_run and checkpoint_s > 0:
                self._agenda.add(now_s + checkpoint_s, Event.STOPPED, job.number, job.epoch)
            else:
                self._released(job, now_s)
        elif job.state is State.STOPPING:
            assert job.stopped_s is not None
            self._agenda.add(max(now_s, job.stopped_s + self._world.physics.checkpoint_s), Event.STOPPED, job.number, job.epoch)
        else:
            self._go_on(job, now_s)
        self._schedule_due(job, now_s)

    def _released(self, job: LiveJob, now_s: float) -> None:
        self._end_segment(job, now_s, Outcome.SUSPENDED)
        self._go_on(job, now_s)

    def _end_segment(self, job: LiveJob, now_s: float, outcome: Outcome) -> None:
        self._nodes.give(job.held)
        self._stretches.append(job.end_segment(now_s, outcome))

    def _go_on(self, job: LiveJob, now_s: float) -> None:
        """Without nodes: wait, let the checkpoint travel, or launch."""
        if job.target is None:
            job.state, job.is_rescaling = State.WAITING, False
            return
        travel_s = job.job.checkpoint_bytes / self._world.physics.bandwidth_bytes_per_s
        if job.is_started and job.target.region != job.region and travel_s > 0:
            job.state = State.TRAVELLING
            self._agenda.add(now_s + travel_s, Event.ARRIVED, job.number, job.epoch)
        else:
            self._launch(job, now_s)

    def _launch(self, job: LiveJob, now_s: float) -> None:
        assert job.reserved is not None
        until_s = self._stockouts[job.reserved.region].until(now_s)
        if until_s is not None:
            physics = self._world.physics
            if until_s > now_s + physics.launch_timeout_s:
                self._agenda.add(now_s + physics.launch_timeout_s, Event.TIMEOUT, job.number, job.epoch)
            self._agenda.add(until_s, Event.NODES, job.number, job.epoch)
            job.state = State.LAUNCHING
            return
        if self._nodes.is_short(job.reserved, now_s):  # since they were promised: other nodes then
            self._nodes.give(job.reserved)
            job.reserved = self._nodes.take_again(job.reserved, job.workload, left_h=job.remaining_h, now_s=now_s)
        job.begin(now_s, self._truth[self._world.regions[job.region].zone])
        assert job.held is not None
        lost_s = now_s + life_s(self._world.mishaps, job.workload.workload_id, job.segment, job.held.nodes, job.held.interruptions_per_h)
        if math.isfinite(lost_s):
            self._agenda.add(lost_s, Event.LOST, job.number, job.epoch)
        startup_s = self._startup_s(job.job.workload) + job.transfer_s(job.held.region)
        if startup_s > 0:
            self._agenda.add(round(now_s + startup_s, 6), Event.READY, job.number, job.epoch)
        else:
            self._run(job, now_s)

    def _startup_s(self, workload: Workload) -> float:
        measured_s = self._world.physics.startup_s
        return workload.overheads.startup_s if measured_s is None else measured_s

    def _run(self, job: LiveJob, now_s: float) -> None:
        self._agenda.add(job.run(now_s), Event.COMPLETED, job.number, job.epoch)

    def _lose(self, job: LiveJob, now_s: float) -> None:
        """Its driver starts the segment again where it was; nodes come new, and others where its slack is used up."""
        job.lose(now_s, self._world.physics.checkpoint_every_s)
        again = job.held
        assert again is not None
        self._end_segment(job, now_s, Outcome.LOST)
        job.reserved = self._nodes.take_again(again, job.workload, left_h=job.remaining_h, now_s=now_s)
        job.epoch += 1
        self._launch(job, now_s)
        self._ask(job, now_s)
