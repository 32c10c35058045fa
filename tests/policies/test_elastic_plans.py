"""Elastic workloads: quanta, costs by worker count, plans, reasons; and that a rigid one is planned as it always was."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from benchmarks.reference_programme import cost_of_plan
from carbon_ray.core.decision import Change, Placement
from carbon_ray.core.errors import DeadlineTooShort
from carbon_ray.core.forecast import Forecast, ForecastSnapshot
from carbon_ray.core.intensity import IntensityKind, IntensitySeries, Provenance
from carbon_ray.core.objective import Objective
from carbon_ray.core.region import NodeType, PowerModel, Region
from carbon_ray.core.workload import Overheads, Progress, ScalingProfile, Workload
from carbon_ray.policies.base import Surroundings
from carbon_ray.policies.costs import Costs
from carbon_ray.policies.programme import IDLE, solve
from carbon_ray.policies.replan import Replan
from carbon_ray.policies.scaling import TOLERANCE, grain_of

T0 = datetime(2022, 1, 1, tzinfo=UTC)
CARBON = Objective(usd_per_kgco2=1000.0, usd_weight=0.0)
NBODY = ScalingProfile(throughput=(1.0, 1.989, 2.904, 3.790))


def region(name: str, *, max_nodes: int = 8, per_node: int = 1, idle_fraction: float = 0.0, usd_per_h: float = 0.0) -> Region:
    power = PowerModel(tdp_w=1000.0, idle_fraction=idle_fraction, source="test")
    kind = NodeType(name=f"{name}-node", resources={"GPU": float(per_node)}, max_nodes=max_nodes, usd_per_h=usd_per_h, power=power)
    return Region(name=name, zone=name, pue=1.0, node_types=(kind,))


def around(values: dict[str, list[float]], slot_s: float = 3600.0, start_at: datetime = T0, **of_region: Any) -> Surroundings:
    forecasts = {
        name: Forecast.certain(
            IntensitySeries(
                zone=name,
                kind=IntensityKind.AVERAGE_LIFECYCLE,
                start_at=start_at,
                step_s=slot_s,
                values_gco2_per_kwh=np.array(row, dtype=float),
                provenance=Provenance(provider="test"),
            ),
            start_at,
        )
        for name, row in values.items()
    }
    regions = {name: region(name, **of_region) for name in values}
    return Surroundings(regions=regions, snapshot=ForecastSnapshot(version=1, issued_at=start_at, forecasts=forecasts))


def workload(regions: tuple[str, ...] = ("a",), **changes: Any) -> Workload:
    given_: dict[str, Any] = {
        "workload_id": "w",
        "work_h": 8.0,
        "workers": 1,
        "resources_per_worker": {"GPU": 1.0},
        "home_region": regions[0],
        "regions": regions,
        "submitted_at": T0,
        "deadline_at": T0 + timedelta(hours=8),
        "objective": CARBON,
        "utilisation_fraction": 1.0,
        "worker_counts": (1, 2, 4),
        "profile": ScalingProfile.linear(4),
    }
    return Workload(**{**given_, **changes})


def costs_of(job: Workload, world: Surroundings, progress: Progress | None = None, slot_s: float = 3600.0, now: datetime = T0) -> Costs:
    progress = progress or Progress(remaining_h=job.work_h, region=job.home_region)
    return Costs.expected(job, progress, world.regions, world.snapshot, now=now, slot_s=slot_s)


EXACT = Replan(slot_s=3600.0, hysteresis_fraction=0.0, backfire_fraction=0.0)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"worker_counts": (2, 1)}, "ascending"),
        ({"worker_counts": (1, 1, 2)}, "each once"),
        ({"worker_counts": (0, 1)}, "at least 1"),
        ({"worker_counts": (2, 4)}, "default count, 1 workers"),
        ({"worker_counts": (1, 8)}, "throughput of 4 only"),
    ],
)
def test_wrong_counts_are_refused(changes: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        workload(**changes)


def test_work_is_counted_by_the_default_count() -> None:
    job = workload(workers=2, profile=ScalingProfile(throughput=(1.0, 1.6, 2.0, 2.4)))
    assert [job.rate(count) for count in job.counts] == pytest.approx([1 / 1.6, 1.0, 1.5])
    assert workload(worker_counts=()).counts == (1,)
    assert job.rigid.counts == (2,)


@pytest.mark.parametrize("slot_s", [300.0, 900.0, 1800.0, 3600.0])
@pytest.mark.parametrize("profile", [ScalingProfile.linear(4), NBODY, ScalingProfile(throughput=(1.0, 1.617, 2.169, 2.556))])
def test_quanta_never_promise_more_than_is_done(slot_s: float, profile: ScalingProfile) -> None:
    job = workload(worker_counts=(1, 2, 3, 4), profile=profile, deadline_at=T0 + timedelta(hours=48))
    grain = grain_of(job, slot_s, 3)
    for workers, quanta in zip(job.counts, grain.speed, strict=True):
        done_h = job.rate(workers) * slot_s / 3600
        assert quanta * grain.quantum_h <= done_h * (1 + 1e-12)
        # In 5-minute slots memory bounds how fine the quanta are.
        assert quanta * grain.quantum_h >= done_h * (1 - (TOLERANCE if slot_s >= 900.0 else 8 * TOLERANCE))


@given(st.lists(st.floats(0.5, 1.5), min_size=2, max_size=6), st.floats(0.5, 500.0), st.sampled_from([300.0, 3600.0]))
def test_any_profile_has_a_safe_grain(gains: list[float], work_h: float, slot_s: float) -> None:
    throughput = tuple(np.cumsum([1.0, *gains]).tolist())
    counts = tuple(range(1, len(throughput) + 1))
    job = workload(
        worker_counts=counts, profile=ScalingProfile(throughput=throughput), work_h=work_h, deadline_at=T0 + timedelta(hours=2 * work_h)
    )
    grain = grain_of(job, slot_s, 6)
    assert min(grain.speed) >= 1
    for workers, quanta in zip(counts, grain.speed, strict=True):
        assert quanta * grain.quantum_h <= job.rate(workers) * slot_s / 3600 * (1 + 1e-12)


def test_a_count_among_one_is_rigid() -> None:
    values = {"a": [300, 100, 400, 120, 500, 110, 90, 200], "b": [250, 260, 90, 270, 280, 95, 300, 300]}
    rigid = workload(("a", "b"), work_h=3.0, worker_counts=(), overheads=Overheads(checkpoint_h=0.05, restore_h=0.1, migrate_h=0.5))
    named = replace(rigid, worker_counts=(1,))
    for progress in (Progress(remaining_h=3.0, region="a"), Progress(remaining_h=1.7, region="b", is_running=True, is_started=True)):
        assert EXACT.decide(rigid, progress, around(values), now=T0) == EXACT.decide(named, progress, around(values), now=T0)


def test_more_workers_run_in_the_clean_hours() -> None:
    plan, decision = EXACT.decide(
        workload(), Progress(remaining_h=8.0, region="a"), around({"a": [500, 500, 10, 20, 500, 500, 500, 500]}), now=T0
    )
    assert decision.target is None
    assert [(step.region, step.workers, (step.end_at - step.start_at).total_seconds()) for step in plan.steps] == [
        (None, 0, 7200.0),
        ("a", 4, 7200.0),
    ]
    assert plan.expected.gco2 == pytest.approx(4 * (10 + 20))
    assert plan.expected.finish_at == T0 + timedelta(hours=4)


def test_a_change_of_count_is_told_in_words() -> None:
    progress = Progress(remaining_h=4.0, region="a", is_running=True, is_started=True, workers=1)
    world = around({"a": [100, 500, 900, 900, 900, 900, 900, 900]})
    plan, decision = EXACT.decide(workload(objective=Objective(usd_per_kgco2=1.0)), progress, world, now=T0)
    assert decision.current == Placement(region="a", workers=1)
    assert decision.target == Placement(region="a", workers=4)
    assert decision.change is Change.MOVE
    assert plan.reason.startswith("1 -> 4 workers in a at 100 g/kWh; to the end at about 01-01 01:00Z; saves ")
    later, kept = EXACT.decide(workload(), replace(progress, remaining_h=2.0), around({"a": [100.0] * 8}), now=T0)
    assert kept.change is Change.KEEP
    assert later.reason.startswith("run on in a on 1 worker at 100 g/kWh")


def test_what_a_change_of_count_costs() -> None:
    """Checkpoint, restore and rescale at the default count's power, and a start-up at idle power of the new nodes."""
    overheads = Overheads(checkpoint_h=0.05, restore_h=0.1, rescale_h=0.2, startup_s=3600.0)
    job, world = workload(overheads=overheads), around({"a": [100, 200, 300, 400, 500, 600, 700, 800]}, idle_fraction=0.5)
    costs = costs_of(job, world, Progress(remaining_h=8.0, region="a", is_running=True, is_started=True, workers=1))
    drawn = costs.draw((0, 0, 0, 0), (True, False, True, True), (0, 2, 2, 2))
    grams = drawn.energy_kwh[:, 0] * costs.intensity_gco2_per_kwh[:, 0]
    assert grams.tolist() == pytest.approx([100 + 5, 200 * (0.3 + 4 * 0.5), 4 * 300, 400 * 4 * 0.75, 0, 0, 0, 0])
    assert drawn.finish_h == pytest.approx(3.75)
    assert (drawn.rescales, drawn.suspends, drawn.moves) == (1, 0, 0)
    assert cost_of_plan(costs.problem(), 0, (0, 0, 0, 0), (0, 2, 2, 2)) == np.inf  # the first start pays a start-up, too


def test_nodes_are_held_whole() -> None:
    costs = costs_of(workload(worker_counts=(1, 2, 3, 4)), around({"a": [1.0] * 8}, per_node=2, usd_per_h=3.0))
    assert costs.holding.running_kw.tolist() == [[1.0, 1.0, 2.0, 2.0]]
    assert costs.holding.usd_per_h.tolist() == [[3.0, 3.0, 6.0, 6.0]]


def test_a_region_may_hold_some_counts_only() -> None:
    world = around({"a": [500.0] * 8, "b": [10.0] * 8})
    regions = {"a": world.regions["a"], "b": region("b", max_nodes=2)}
    world = Surroundings(regions=regions, snapshot=world.snapshot)
    plan, _ = EXACT.decide(workload(("a", "b"), workers=4), Progress(remaining_h=2.0, region="a"), world, now=T0)
    assert {(step.region, step.workers) for step in plan.steps} <= {("b", 1), ("b", 2)}
    assert plan.expected.gco2 == pytest.approx(4 * 2.0 * 10)


def test_a_deadline_is_feasible_if_the_fastest_count_meets_it() -> None:
    world = around({"a": [100.0] * 8})
    job = workload(work_h=30.0)
    EXACT.require_feasible(job, world, now=T0)
    with pytest.raises(DeadlineTooShort, match="run at once, the work ends at 2022-01-01T09:00Z"):
        EXACT.require_feasible(replace(job, work_h=33.0), world, now=T0)
    tight = workload(work_h=8 * 3.790, worker_counts=(1, 2, 3, 4), profile=NBODY)
    EXACT.require_feasible(tight, world, now=T0)
    plan, decision = EXACT.decide(tight, Progress(remaining_h=tight.work_h, region="a"), world, now=T0)
    assert decision.target == Placement(region="a", workers=4)
    assert plan.expected.finish_at <= tight.deadline_at


@st.composite
def elastic(draw: st.DrawFn) -> tuple[Workload, Surroundings]:
    slots, regions = draw(st.integers(2, 4)), draw(st.integers(1, 2))
    names = ("a", "b")[:regions]
    counts = draw(st.sampled_from([(1, 2), (1, 3), (2, 4)]))
    price = draw(st.sampled_from([0.0, 0.3]))
    job = workload(
        names,
        work_h=draw(st.sampled_from([1.0, 2.0, 3.0])),
        workers=counts[0],
        worker_counts=counts,
        deadline_at=T0 + timedelta(hours=slots),
        objective=Objective(usd_per_kgco2=draw(st.sampled_from([0.5, 2.0])), usd_per_h_delay=draw(st.sampled_from([0.0, 0.05]))),
        overheads=Overheads(
            checkpoint_h=draw(st.sampled_from([0.0, 0.1])),
            restore_h=draw(st.sampled_from([0.0, 0.2])),
            migrate_h=draw(st.sampled_from([0.0, 0.3])),
            rescale_h=draw(st.sampled_from([0.0, 0.15])),
            startup_s=draw(st.sampled_from([0.0, 3600.0])),
        ),
    )
    row = st.lists(st.floats(1.0, 800.0), min_size=slots, max_size=slots)
    return job, around({name: draw(row) for name in names}, idle_fraction=0.3, usd_per_h=price)


@settings(max_examples=60, deadline=None)
@given(elastic())
def test_no_elastic_plan_is_cheaper_than_the_programmes(case: tuple[Workload, Surroundings]) -> None:
    job, world = case
    costs = costs_of(job, world)
    problem = costs.problem()
    solution = solve(problem, costs.initial())
    choices = [(IDLE, IDLE), *itertools.product(range(len(costs.sites)), range(len(job.counts)))]
    least = math.inf
    for length in range(1, len(problem.run) + 1):
        for plan in itertools.product(choices, repeat=length):
            least = min(least, cost_of_plan(problem, 0, [where for where, _ in plan], [level for _, level in plan]))
    assert solution.cost == pytest.approx(least, rel=1e-9, abs=1e-12)
    if solution.path:
        expected = costs.expected_of(solution.path, solution.working, solution.levels)
        assert expected.finish_at <= job.deadline_at
        assert expected.objective_usd == pytest.approx(solution.cost, rel=1e-7, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(elastic())
def test_more_counts_to_choose_from_are_never_worse(case: tuple[Workload, Surroundings]) -> None:
    job, world = case
    wider = replace(job, worker_counts=(1, 2, 3, 4))
    costs = {one.worker_counts: costs_of(one, world) for one in (job.rigid, job, wider)}
    found = [solve(one.problem(), one.initial()).cost for one in costs.values()]
    assert found[1] <= found[0] * (1 + 1e-9) + 1e-12
    assert found[2] <= found[1] * (1 + 1e-9) + 1e-12


@settings(max_examples=60, deadline=None)
@given(
    profile=st.lists(st.floats(0.2, 1.2), min_size=3, max_size=3).map(
        lambda gains: ScalingProfile(throughput=tuple(np.cumsum([1.0, *gains]).tolist()))
    ),
    work_h=st.floats(2.0, 20.0),
    seed=st.integers(0, 2**32 - 1),
    slot_s=st.sampled_from([900.0, 3600.0]),
)
def test_re_planning_an_elastic_workload_never_misses_a_feasible_deadline(
    profile: ScalingProfile, work_h: float, seed: int, slot_s: float
) -> None:
    slots = int(8 * 3600 / slot_s)
    job = workload(("a", "b"), work_h=work_h, worker_counts=(1, 2, 3, 4), profile=profile, overheads=Overheads(startup_s=600.0))
    random = np.random.default_rng(seed)
    policy = Replan(slot_s=slot_s)
    progress, done_h = Progress(remaining_h=work_h, region="a"), 0.0

    def seen(slot: int) -> Surroundings:
        rows = {name: random.uniform(0, 800, slots - slot).tolist() for name in ("a", "b")}
        return around(rows, slot_s, T0 + timedelta(seconds=slot * slot_s), idle_fraction=0.3)

    try:
        policy.require_feasible(job, seen(0), now=T0)
    except DeadlineTooShort:
        assume(False)
    for slot in range(slots):
        now = T0 + timedelta(seconds=slot * slot_s)
        _, decision = policy.decide(job, progress, seen(slot), now=now)
        if decision.target is None:
            progress = replace(progress, is_running=False, workers=None, starting_s=0.0)
            continue
        if decision.change is not Change.KEEP:
            progress = replace(
                progress, is_running=True, region=decision.target.region, workers=decision.target.workers, starting_s=600.0, since_at=now
            )
        worked_s = slot_s - min(progress.starting_s, slot_s)
        done_h += worked_s / 3600 * job.rate(decision.target.workers)
        progress = replace(
            progress, starting_s=max(0.0, progress.starting_s - slot_s), is_started=worked_s > 0, remaining_h=max(0.0, work_h - done_h)
        )
        if done_h >= work_h - 1e-9:
            return
    raise AssertionError(f"{work_h - done_h} h were left at the deadline")


@pytest.mark.parametrize("slot_s", [300.0, 900.0])
def test_rounding_prefers_no_count(slot_s: float) -> None:
    """Where nodes cost money, more workers waste some: coarse quanta must not make the plan take them for nothing."""
    job = workload(("a", "b"), work_h=24.0, worker_counts=(1, 2, 3, 4), profile=NBODY, deadline_at=T0 + timedelta(hours=48))
    job = replace(job, objective=Objective(usd_per_kgco2=0.2))
    random = np.random.default_rng(0)
    world = around({name: random.uniform(50, 600, 48).tolist() for name in ("a", "b")}, usd_per_h=1.0)
    policy = replace(EXACT, slot_s=slot_s)
    rigid, elastic = (policy.decide(one, Progress(remaining_h=24.0, region="a"), world, now=T0)[0] for one in (job.rigid, job))
    assert elastic.expected.objective_usd <= rigid.expected.objective_usd * 1.005
