"""Work whose length is an estimate: planned for the most that it will hardly exceed, and re-planned as it is seen to go on."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import pytest

from carbon_ray.core.errors import DeadlineTooShort
from carbon_ray.core.workload import Overheads, Progress, ScalingProfile
from carbon_ray.policies.base import Surroundings
from carbon_ray.sim.engine import simulate
from carbon_ray.sim.world import Control

ESTIMATE_H, HIGH_H = 10.0, 14.0


@pytest.mark.parametrize("true_share", [0.7, 1.0, 1.3, 1.4])
@pytest.mark.parametrize("elastic", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_what_is_within_the_prior_ends_in_time(tools: SimpleNamespace, true_share: float, elastic: bool, seed: int) -> None:
    where = tools.world(tools.weather(seed, ["A", "B"], 24 * 6), idle_fraction=0.3)
    counts = {"worker_counts": (1, 2), "profile": ScalingProfile(throughput=(1.0, 1.8))} if elastic else {}
    overheads = Overheads(checkpoint_h=0.02, restore_h=0.02, startup_s=600.0)
    some = tools.jobs([(0, ESTIMATE_H, 1)], ["A", "B"], slack_h=10.0, overheads=overheads, **counts)
    (job,) = some.jobs
    job = replace(job, workload=replace(job.workload, work_h_high=HIGH_H), true_work_h=true_share * ESTIMATE_H)
    policy = replace(tools.exact, slot_s=900.0)
    run = simulate(where, replace(some, jobs=(job,)), policy, tools.clairvoyant(where), Control(tick_s=900.0))
    (result,) = run.jobs
    assert not result.is_missed
    rates = {count: job.workload.rate(count) for count in job.workload.counts}
    worked_h = sum((one.stopped_s - one.running_s) / 3600 * rates[one.workers] for one in run.stretches if one.running_s is not None)
    assert worked_h == pytest.approx(true_share * ESTIMATE_H, abs=1e-5)


def test_an_estimate_alone_would_have_missed(tools: SimpleNamespace) -> None:
    """With the last hours the cleanest, a plan for the estimate waits for them; one that knows the prior begins before."""
    values = {"A": [*[500.0] * 10, *[50.0] * 10, *[500.0] * 60]}
    where = tools.world(values)
    some = tools.jobs([(0, ESTIMATE_H, 1)], ["A"], slack_h=10.0)
    (job,) = some.jobs
    longer = replace(job, true_work_h=1.3 * ESTIMATE_H)
    known = replace(longer, workload=replace(job.workload, work_h_high=HIGH_H))
    results = [simulate(where, replace(some, jobs=(one,)), tools.exact, tools.clairvoyant(where)).jobs[0] for one in (longer, known)]
    assert [result.is_missed for result in results] == [True, False]


def test_what_is_promised_is_the_high_quantile_and_what_is_expected_the_estimate(tools: SimpleNamespace) -> None:
    where = tools.world({"A": [100.0] * 60})
    (job,) = tools.jobs([(0, ESTIMATE_H, 1)], ["A"], slack_h=10.0).jobs
    workload = replace(job.workload, work_h_high=HIGH_H)
    source = tools.clairvoyant(where)
    around = Surroundings(regions=where.regions, snapshot=source.snapshot(tools.T0, workload.deadline_at))
    plan, _ = tools.exact.decide(workload, Progress(remaining_h=ESTIMATE_H, region="A"), around, now=tools.T0)
    assert plan.expected.gco2 == pytest.approx(100 * ESTIMATE_H)
    assert plan.expected.finish_at == tools.T0 + timedelta(hours=ESTIMATE_H)
    assert plan.steps[-1].end_at == tools.T0 + timedelta(hours=HIGH_H)
    tools.exact.require_feasible(workload, around, now=tools.T0)
    with pytest.raises(DeadlineTooShort):
        tools.exact.require_feasible(replace(workload, work_h_high=21.0), around, now=tools.T0)


@pytest.mark.parametrize(
    ("done_h", "expected"), [(0.0, (10.0, 14.0)), (9.0, (1.0, 5.0)), (12.0, (0.1, 2.0)), (14.0, (0.1, 0.1)), (20.0, (0.1, 0.1))]
)
def test_what_is_left_when_only_the_hours_done_are_known(tools: SimpleNamespace, done_h: float, expected: tuple[float, float]) -> None:
    (job,) = tools.jobs([(0, ESTIMATE_H, 1)], ["A"], slack_h=10.0).jobs
    assert replace(job.workload, work_h_high=HIGH_H).remaining_after(done_h) == pytest.approx(expected)


def test_the_high_quantile_is_not_below_the_estimate(tools: SimpleNamespace) -> None:
    (job,) = tools.jobs([(0, ESTIMATE_H, 1)], ["A"], slack_h=10.0).jobs
    with pytest.raises(ValueError, match="work_h_high must not be below work_h = 10"):
        replace(job.workload, work_h_high=9.0)
    assert Progress(remaining_h=5.0, region="A").longest_h(replace(job.workload, work_h_high=HIGH_H)) == pytest.approx(7.0)
