"""What is asked for: from one workload's directive and plan to the workers it needs, where and from when to when."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from carbon_ray.core.decision import Placement
from carbon_ray.core.plan import Plan, PlanStep
from carbon_ray.core.units import S_PER_H, hours
from carbon_ray.core.workload import Progress, Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Workers of one workload in one region over one stretch.

    Attributes:
        workload: Whose.
        region: Where.
        workers: How many.
        start_at: From when on, aware UTC.
        end_at: Until when, as far as is known; aware UTC, half-open.
        remaining_h: Running hours that are still to do at `start_at`.
        is_told: The workload was told to run there now; False for what its plan has for later.
        held: Node type that it was given already; it is not taken from it for a better offer.
        reason: One line for a person.
    """

    workload: Workload
    region: str
    workers: int
    start_at: datetime
    end_at: datetime
    remaining_h: float
    is_told: bool = True
    held: str | None = None
    reason: str = ""

    @property
    def slack_h(self) -> float:
        """Hours that are left at the latest finish if it runs from `start_at` to the end without a break."""
        left = hours(self.workload.latest_finish_at - self.start_at)
        return left - self.remaining_h - self.workload.overheads.startup_s / S_PER_H


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingRequest:
    """What Ray itself waits to place, whoever asked for it.

    Attributes:
        resources: Of one request.
        count: Number of requests alike.
        region: Where it must be; None for anywhere.
    """

    resources: Mapping[str, float]
    count: int = 1
    region: str | None = None


def needs_of(
    workload: Workload,
    progress: Progress,
    target: Placement | None,
    plan: Plan | None,
    *,
    now: datetime,
    reason: str = "",
    held: str | None = None,
) -> tuple[Need, ...]:
    """What one workload needs now and later, in order of time.

    Now it needs what it was told, whatever its plan says; a present step that it was not told (a guard refused it) is nobody's
    need yet. Without a plan what it was told lasts as long as its work.

    Args:
        workload: Whose.
        progress: Where it stands.
        target: What it was told; None while suspended.
        plan: Its newest plan, if it has one.
        now: Present instant.
        reason: Why it was told so.
        held: Node type that it was given for `target`.
    """
    startup_h = workload.overheads.startup_s / S_PER_H
    steps = _merged(plan, now) if plan is not None else []
    out, left_h = list[Need](), progress.remaining_h
    present = steps[0] if steps and steps[0].start_at <= now else None
    if target is not None:
        agrees = present is not None and (present.region, present.workers) == (target.region, target.workers)
        end_at = present.end_at if present is not None else now + timedelta(hours=left_h + startup_h)
        out.append(
            Need(
                workload=workload,
                region=target.region,
                workers=target.workers,
                start_at=now,
                end_at=max(end_at, now + timedelta.resolution),
                remaining_h=left_h,
                held=held,
                reason=reason,
            )
        )
        if agrees and present is not None:
            left_h = max(0.0, left_h - hours(present.end_at - now) + progress.starting_s / S_PER_H)
    for step in steps[1:] if present is not None else steps:
        if step.region is None:
            continue
        why = f"{step.workers} workers planned from {step.start_at:%m-%d %H:%MZ}"
        out.append(
            Need(
                workload=workload,
                region=step.region,
                workers=step.workers,
                start_at=step.start_at,
                end_at=step.end_at,
                remaining_h=left_h,
                is_told=False,
                reason=why,
            )
        )
        left_h = max(0.0, left_h - max(0.0, hours(step.end_at - step.start_at) - startup_h))
    return tuple(out)


def anticipated(needs: Iterable[Need], seen: Mapping[str, Need], *, slot_s: float, now: datetime) -> tuple[Need, ...]:
    """The needs, with the next planned one of each workload at the earliest instant at which a former plan had it begin.

    A plan is made on slots that are counted from its own now, so until it begins a step drifts ahead, by up to a slot, and then
    is there at once. The earliest instant announced is when it will be. One that was announced and has passed, or that is more than a
    slot away from what is planned now, is forgotten: the plan has changed.

    Args:
        needs: As planned now.
        seen: The next planned need of each workload, as this function gave it in the round before.
        slot_s: Length of a planning slot, seconds.
        now: Present instant.
    """
    out, met = list[Need](), set[str]()
    for need in needs:
        workload_id = need.workload.workload_id
        if not need.is_told and workload_id not in met:
            met.add(workload_id)
            before = seen.get(workload_id)
            is_same = before is not None and (before.region, before.workers) == (need.region, need.workers)
            if is_same and before is not None and now < before.start_at < need.start_at <= before.start_at + timedelta(seconds=slot_s):
                need = replace(need, start_at=before.start_at, reason=before.reason)
        out.append(need)
    return tuple(out)


def _merged(plan: Plan, now: datetime) -> list[PlanStep]:
    """What is left of a plan; neighbouring steps with the same workers in the same place are one."""
    out: list[PlanStep] = []
    for step in plan.steps:
        if step.end_at <= now:
            continue
        if out and (out[-1].region, out[-1].workers, out[-1].end_at) == (step.region, step.workers, step.start_at):
            out[-1] = replace(out[-1], end_at=step.end_at)
        else:
            out.append(step)
    return out
