"""Elastic jobs in the simulator: a changed worker count is a stop and a start with their costs, and the books show it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from types import SimpleNamespace

import numpy as np
import pytest

from carbon_ray.core.decision import Decision, Placement
from carbon_ray.core.plan import Plan, PlanStep
from carbon_ray.core.workload import Overheads, Progress, ScalingProfile, Workload
from carbon_ray.policies.base import Surroundings, placement_of
from carbon_ray.sim.engine import simulate
from carbon_ray.sim.world import Control

VALUES = [300, 100, 400, 120, 500, 110, *[1000] * 30]
ELASTIC = {"worker_counts": (1, 2, 4), "profile": ScalingProfile(throughput=(1.0, 1.9, 2.6, 3.2))}


@dataclass(frozen=True)
class Counted:
    """In each hour since submission as many workers as the script says."""

    script: tuple[int, ...]

    def decide(self, workload: Workload, progress: Progress, around: Surroundings, *, now: datetime) -> tuple[Plan, Decision]:
        hour = int((now - workload.submitted_at).total_seconds() // 3600)
        workers = self.script[hour] if hour < len(self.script) else self.script[-1]
        region = workload.home_region if workers else None
        step = PlanStep(start_at=now, end_at=workload.deadline_at, region=region, workers=workers)
        plan = Plan(workload_id="", created_at=now, steps=(step,), expected=None, reason="", forecast_version=0)  # type: ignore[arg-type]
        target = None if region is None else Placement(region=region, workers=workers)
        current = placement_of(workload, progress)
        return plan, Decision(workload_id=workload.workload_id, at=now, current=current, target=target, reason="script")


@pytest.mark.parametrize(
    ("script", "work_h", "overheads", "grams", "rescales", "hours"),
    [
        ((1, 1), 2.0, Overheads(), 300 + 100, 0, 2.0),
        ((1, 2), 2.9, Overheads(), 300 + 200, 1, 2.0),
        # Checkpoint, restore and rescale are of the default count's power: one node's.
        ((2, 4), 3.5, Overheads(checkpoint_h=0.1, restore_h=0.2, rescale_h=0.3), 600 + 0.1 * 300 + 0.5 * 100 + 400 / 2, 1, 1.5),
        ((2, 0, 4), 3.5, Overheads(checkpoint_h=0.1, restore_h=0.2, rescale_h=0.3), 600 + 30 + 0.2 * 400 + 1600 / 2, 0, 2.5),
        # Half an hour of start-up each time, at a quarter of the new nodes' power.
        ((1, 4), 0.5 + 1.6, Overheads(startup_s=1800.0), 300 * (0.5 / 4 + 0.5) + 4 * 100 * (0.5 / 4 + 0.5), 1, 2.0),
    ],
)
def test_hand_walked_counts(
    tools: SimpleNamespace, script: tuple[int, ...], work_h: float, overheads: Overheads, grams: float, rescales: int, hours: float
) -> None:
    where = tools.world({"home": VALUES}, idle_fraction=0.25)
    some = tools.jobs([(0, work_h, 1)], ["home"], slack_h=9, overheads=overheads, **ELASTIC)
    run = simulate(where, some, Counted(script), tools.clairvoyant(where))
    (result,) = run.jobs
    assert result.gco2 == pytest.approx(grams, abs=1e-9)
    assert result.rescales == rescales
    assert result.moves == 0
    assert (result.finished_at - result.submitted_at).total_seconds() == pytest.approx(hours * 3600)


@pytest.mark.parametrize("seed", range(4))
def test_the_simulation_does_what_the_plan_expected(tools: SimpleNamespace, seed: int) -> None:
    where = tools.world(tools.weather(seed, ["A", "B"], 24 * 6), idle_fraction=0.3)
    overheads = Overheads(checkpoint_h=0.05, restore_h=0.1, migrate_h=0.3, rescale_h=0.05, startup_s=3600.0)
    some = tools.jobs([(0, 20.0, 1)], ["A", "B"], slack_h=30, homes=["A"], overheads=overheads, **ELASTIC)
    source, job = tools.clairvoyant(where), some.jobs[0].workload
    around = Surroundings(regions=where.regions, snapshot=source.snapshot(tools.T0, job.deadline_at))
    plan, _ = tools.exact.decide(job, Progress(remaining_h=20.0, region="A"), around, now=tools.T0)
    (result,) = simulate(where, some, tools.exact, source, Control(tick_s=None)).jobs
    assert len({step.workers for step in plan.steps}) > 1
    assert result.gco2 == pytest.approx(plan.expected.gco2, rel=1e-6)
    assert result.usd == pytest.approx(plan.expected.usd, rel=1e-6)
    assert (result.suspends, result.moves, result.rescales) == (
        plan.expected.suspends,
        plan.expected.moves,
        plan.expected.rescales,
    )
    rigid = replace(some, jobs=(replace(some.jobs[0], workload=job.rigid),))
    (as_it_was,) = simulate(where, rigid, tools.exact, source, Control(tick_s=None)).jobs
    assert result.gco2 <= as_it_was.gco2 * (1 + 1e-9)


def test_elastic_jobs_share_nodes_and_meet_their_deadlines(tools: SimpleNamespace) -> None:
    where = tools.world(tools.weather(5, ["A", "B"], 24 * 8), idle_fraction=0.3, max_nodes=12)
    rows = [(float(hour), 10.0, 1) for hour in np.arange(0, 30, 5)]
    some = tools.jobs(rows, ["A", "B"], slack_h=20, overheads=Overheads(checkpoint_h=0.02, restore_h=0.02, startup_s=300.0), **ELASTIC)
    run = simulate(where, some, replace(tools.exact, slot_s=1800.0), tools.clairvoyant(where), Control(tick_s=1800.0))
    assert not any(result.is_missed for result in run.jobs)
    assert {stretch.workers for stretch in run.stretches} > {1}
    for stretch in run.stretches:
        held = sum(one.nodes for one in run.stretches if one.region == stretch.region and one.start_s <= stretch.start_s < one.end_s)
        assert held <= 12
