"""Who may decide in a simulation, and what is decided in a round: by a policy for each workload by itself, or one for all together."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from carbon_ray.core.decision import Change, Decision
from carbon_ray.core.plan import Plan
from carbon_ray.core.workload import Progress
from carbon_ray.policies.base import EachPolicy, Member, PlacementPolicy, Surroundings
from carbon_ray.policies.fleet.policy import FleetPolicy
from carbon_ray.sim.live import LiveJob
from carbon_ray.sim.observing import Observer

AnyPolicy = PlacementPolicy | FleetPolicy
"""What `simulate` takes. One that decides for all together is asked for all whenever it is asked for any."""

_ORDER = {Change.SUSPEND: 0, Change.MOVE: 1, Change.KEEP: 2, Change.START: 3}
"""Of a fleet's decisions those that free nodes are applied first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was decided of a job, and what it was decided on.

    Attributes:
        job: Which.
        progress, around: As the policy saw them.
        decision: What it said.
        plan: What it said is to come; None for a step of the plan of before.
    """

    job: LiveJob
    progress: Progress
    around: Surroundings
    decision: Decision
    plan: Plan | None = None


def answers(
    policy: AnyPolicy, observer: Observer, jobs: Sequence[LiveJob], live: Collection[LiveJob], *, now: datetime, now_s: float
) -> Iterator[Answer]:
    """Decide on jobs, one at a time where one can stand in another's way: what was made of an answer is seen by the next.

    Args:
        policy: Who decides.
        observer: Shows the world.
        jobs: Whom to decide on.
        live: All that are there.
        now: Aware UTC.
        now_s: The same in seconds from the origin.
    """
    if isinstance(policy, FleetPolicy):
        yield from _together(policy, observer, jobs, now, now_s)
    elif isinstance(policy, EachPolicy) and observer.is_open_to(live):
        around = observer.around(now_s)
        members = [Member(workload=job.workload, progress=observer.progress(job, now_s)) for job in jobs]
        for job, member, (plan, decision) in zip(jobs, members, policy.decide_each(members, around, now=now), strict=True):
            yield Answer(job=job, progress=member.progress, around=around, plan=plan, decision=decision)
    else:
        for job in jobs:
            progress, around = observer.progress(job, now_s), observer.around(now_s, job)
            plan, decision = policy.decide(job.workload, progress, around, now=now)
            yield Answer(job=job, progress=progress, around=around, plan=plan, decision=decision)


def _together(policy: FleetPolicy, observer: Observer, jobs: Sequence[LiveJob], now: datetime, now_s: float) -> Iterator[Answer]:
    members = [
        Member(workload=job.workload, progress=observer.progress(job, now_s), priority=job.job.priority, team=job.job.team) for job in jobs
    ]
    decided = policy.decide_all(members, observer.around(now_s), now=now)
    for job, member, (plan, decision) in sorted(zip(jobs, members, decided, strict=True), key=lambda one: _ORDER[one[2][1].change]):
        yield Answer(job=job, progress=member.progress, around=observer.around(now_s, job), plan=plan, decision=decision)
