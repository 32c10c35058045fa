"""Properties of plans with every wish at once, and of lives planned anew at every slot on forecasts that never come true."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbon_ray.core.decision import Change
from carbon_ray.core.errors import WorkloadRejected
from carbon_ray.core.forecast import Forecast, ForecastSnapshot
from carbon_ray.core.intensity import IntensityKind, IntensitySeries, Provenance
from carbon_ray.core.objective import Objective
from carbon_ray.core.plan import Plan
from carbon_ray.core.region import NodeType, PowerModel, Region
from carbon_ray.core.transfers import Transfers
from carbon_ray.core.workload import Overheads, Progress, ScalingProfile, Workload
from carbon_ray.policies.base import Surroundings
from carbon_ray.policies.replan import Replan

T0 = datetime(2022, 1, 1, tzinfo=UTC)
SLOT_S = 1800.0
POLICY = Replan(slot_s=SLOT_S, hysteresis_fraction=0.0, backfire_fraction=0.0)
NODES = {"a": 4, "b": 2, "c": 3, "d": 4}
"""Most nodes, of one worker each."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A workload, and what the grid does."""

    workload: Workload
    intensity: Mapping[str, tuple[float, ...]]
    usd_per_h: Mapping[str, float]

    def around(self, start: int = 0, intensity: Mapping[str, tuple[float, ...]] | None = None) -> Surroundings:
        regions, forecasts, now = {}, {}, T0 + timedelta(seconds=start * SLOT_S)
        for name, row in (intensity or self.intensity).items():
            power = PowerModel(tdp_w=800.0, idle_fraction=0.3, source="test")
            kind = NodeType(name=f"{name}-node", resources={"GPU": 1.0}, max_nodes=NODES[name], usd_per_h=self.usd_per_h[name], power=power)
            regions[name] = Region(name=name, zone=name, pue=1.1, node_types=(kind,))
            series = IntensitySeries(
                zone=name,
                kind=IntensityKind.AVERAGE_LIFECYCLE,
                start_at=now,
                step_s=SLOT_S,
                values_gco2_per_kwh=np.array(row, dtype=float),
                provenance=Provenance(provider="test"),
            )
            forecasts[name] = Forecast.certain(series, now)
        return Surroundings(regions=regions, snapshot=ForecastSnapshot(version=1, issued_at=now, forecasts=forecasts))

    @property
    def slots(self) -> int:
        return len(next(iter(self.intensity.values())))

    def fresh(self) -> Progress:
        return Progress(remaining_h=self.workload.work_h, region=self.workload.home_region)

    def plan(self) -> Plan:
        return POLICY.decide(self.workload, self.fresh(), self.around(), now=T0)[0]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    slots = draw(st.integers(4, 14))
    names = ("a", "b", "c")[: draw(st.integers(1, 3))]
    counts = draw(st.sampled_from([(), (1, 2), (1, 2, 3), (2, 4)]))
    gains = draw(st.lists(st.sampled_from([0.3, 0.5, 0.8, 1.0]), min_size=3, max_size=3))
    work_h = draw(st.floats(0.3, slots * SLOT_S / 3600))
    row = st.lists(st.floats(1.0, 800.0), min_size=slots, max_size=slots).map(tuple)
    share = st.sampled_from([0.0, 0.05, 0.2])
    transfers = Transfers(
        checkpoint_bytes=1e10, bandwidth_bytes_per_s=draw(st.sampled_from([5e6, 1e8])), egress_usd_per_gb={"a": 0.01}, wh_per_gb=2.0
    )
    workload = Workload(
        workload_id="w",
        work_h=work_h,
        workers=counts[0] if counts else 1,
        resources_per_worker={"GPU": 1.0},
        home_region="a",
        regions=names,
        submitted_at=T0,
        deadline_at=T0 + timedelta(seconds=slots * SLOT_S),
        objective=Objective(
            usd_per_kgco2=draw(st.sampled_from([0.0, 0.2, 5.0])), usd_per_h_delay=draw(st.sampled_from([0.0, 0.02])), usd_weight=1.0
        ),
        overheads=Overheads(
            checkpoint_h=draw(share),
            restore_h=draw(share),
            migrate_h=draw(share),
            rescale_h=draw(share),
            startup_s=draw(st.sampled_from([0.0, 300.0, 1800.0])),
            transfers=draw(st.sampled_from([None, transfers])),
        ),
        worker_counts=counts,
        profile=ScalingProfile(throughput=tuple(np.cumsum([1.0, *gains]).tolist())),
        max_moves=draw(st.sampled_from([None, 0, 1])),
        min_segment_s=draw(st.sampled_from([0.0, 3600.0])),
        work_h_high=draw(st.sampled_from([None, 1.3 * work_h])),
    )
    return Case(
        workload=workload,
        intensity={name: draw(row) for name in names},
        usd_per_h={name: draw(st.sampled_from([0.0, 0.1, 0.5])) for name in (*names, "d")},
    )


def is_feasible(case: Case) -> bool:
    try:
        POLICY.require_feasible(case.workload, case.around(), now=T0)
    except WorkloadRejected:
        return False
    return True


@settings(max_examples=80, deadline=None)
@given(cases())
def test_a_plan_is_in_time_within_capacity_and_does_the_work(case: Case) -> None:
    if not is_feasible(case):
        return
    workload, plan = case.workload, case.plan()
    assert plan.expected.finish_at <= workload.deadline_at
    assert plan.steps[-1].end_at <= workload.deadline_at
    assert plan.steps[0].start_at == T0
    assert all(left.end_at == right.start_at for left, right in zip(plan.steps, plan.steps[1:], strict=False))
    done_h, at, moves, running = 0.0, workload.home_region, 0, False
    for step in plan.steps:
        if step.region is None:
            running = False
            continue
        assert step.region in workload.regions
        assert step.workers in workload.counts
        assert step.workers <= NODES[step.region]
        startup_s = workload.overheads.startup_s
        if step.region != at and workload.overheads.transfers is not None:
            startup_s += workload.overheads.transfers.seconds(at, step.region)
        span_s = (step.end_at - step.start_at).total_seconds()
        if step is not plan.steps[-1]:
            assert span_s >= startup_s + workload.min_segment_s - 1e-6
        moves += done_h > 0 and step.region != at
        done_h += max(0.0, span_s - startup_s) / 3600 * workload.rate(step.workers)
        at, running = step.region, True
    assert running
    assert done_h >= (workload.longest_h if workload.work_h_high else workload.work_h) - 1e-6
    assert workload.max_moves is None or moves <= workload.max_moves
    assert plan.runner_up is None or plan.runner_up.extra_usd >= -1e-9


@settings(max_examples=60, deadline=None)
@given(cases(), st.data())
def test_permuting_the_regions_changes_no_cost(case: Case, data: st.DataObject) -> None:
    order = data.draw(st.permutations(case.workload.regions))
    other = replace(case, workload=replace(case.workload, regions=tuple(order)))
    if is_feasible(case):
        assert best_usd(other) == pytest.approx(best_usd(case), rel=1e-9, abs=1e-12)


def best_usd(case: Case) -> float:
    from carbon_ray.policies.costs import Costs
    from carbon_ray.policies.programme import solve

    around = case.around()
    costs = Costs.expected(case.workload, case.fresh(), around.regions, around.snapshot, now=T0, slot_s=SLOT_S)
    return solve(costs.problem(), costs.initial()).cost


@settings(max_examples=60, deadline=None)
@given(cases(), st.sampled_from([0.25, 7.0]))
def test_scaling_all_prices_scales_the_cost(case: Case, factor: float) -> None:
    prices = case.workload.objective
    dearer = Objective(
        usd_per_kgco2=prices.usd_per_kgco2 * factor,
        usd_per_h_delay=prices.usd_per_h_delay * factor,
        usd_weight=prices.usd_weight * factor,
    )
    other = replace(case, workload=replace(case.workload, objective=dearer))
    if is_feasible(case):
        assert best_usd(other) == pytest.approx(factor * best_usd(case), rel=1e-9, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(cases(), st.floats(1.0, 100.0))
def test_a_worse_region_attracts_no_work(case: Case, worse: float) -> None:
    """A copy of home that is dirtier and dearer, in a world where going there saves neither a start-up nor a rescale in place."""
    workload = replace(
        case.workload,
        regions=(*case.workload.regions, "d"),
        objective=replace(case.workload.objective, usd_per_kgco2=0.3),
        overheads=replace(case.workload.overheads, startup_s=0.0, rescale_h=0.0, transfers=None),
        work_h_high=None,
    )
    grown = replace(
        case,
        workload=workload,
        intensity={**case.intensity, "d": tuple(value + worse for value in case.intensity["a"])},
        usd_per_h={**case.usd_per_h, "d": case.usd_per_h["a"] + 0.01},
    )
    if is_feasible(grown):
        assert "d" not in {step.region for step in grown.plan().steps}


@settings(max_examples=60, deadline=None)
@given(cases(), st.integers(0, 2**32 - 1), st.floats(1.0, 1.3))
def test_no_life_misses_a_feasible_deadline(case: Case, seed: int, length: float) -> None:
    """Planned anew at every slot on forecasts of noise; the work may be as long as its prior says."""
    workload = case.workload
    if not is_feasible(case):
        return
    random = np.random.default_rng(seed)
    true_h = workload.work_h * (length if workload.work_h_high else 1.0)
    progress, done_h, at = case.fresh(), 0.0, workload.home_region
    for slot in range(case.slots):
        now = T0 + timedelta(seconds=slot * SLOT_S)
        noise = {name: tuple(random.uniform(0, 800, case.slots - slot)) for name in case.intensity}
        left_h, high_h = workload.remaining_after(done_h)
        seen: dict[str, Any] = {"remaining_h": true_h - done_h} if workload.work_h_high is None else {}
        progress = replace(progress, **({"remaining_h": left_h, "remaining_high_h": high_h} | seen))
        if workload.work_h_high is None:
            progress = replace(progress, remaining_high_h=None)
        _, decision = POLICY.decide(workload, progress, case.around(slot, noise), now=now)
        if decision.target is None:
            progress = replace(progress, region=at, is_running=False, workers=None, starting_s=0.0)
            continue
        if decision.change is not Change.KEEP:
            away_s = 0.0
            if workload.overheads.transfers is not None:
                away_s = workload.overheads.transfers.seconds(at, decision.target.region)
            progress = replace(
                progress,
                is_running=True,
                region=decision.target.region,
                workers=decision.target.workers,
                starting_s=workload.overheads.startup_s + away_s,
                since_at=now,
            )
        worked_s = SLOT_S - min(progress.starting_s, SLOT_S)
        progress = replace(progress, starting_s=max(0.0, progress.starting_s - SLOT_S))
        if worked_s > 0:
            moved = progress.is_started and at != progress.region
            at = progress.region
            progress = replace(progress, is_started=True, moves=progress.moves + moved)
        done_h += worked_s / 3600 * workload.rate(decision.target.workers)
        if done_h >= true_h - 1e-9:
            assert workload.max_moves is None or progress.moves <= workload.max_moves
            return
    raise AssertionError(f"{true_h - done_h} h were left at the deadline")
