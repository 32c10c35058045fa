"""Pairwise migration: matrices from bytes, bandwidths, prices and energy; plans and simulations that pay for them."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.reference_programme import cost_of_plan
from carbon_ray.core.forecast import Forecast, ForecastSnapshot
from carbon_ray.core.intensity import IntensityKind, IntensitySeries, Provenance
from carbon_ray.core.objective import Objective
from carbon_ray.core.region import NodeType, PowerModel, Region
from carbon_ray.core.transfers import Transfers
from carbon_ray.core.workload import Overheads, Progress, Workload
from carbon_ray.policies.base import Surroundings
from carbon_ray.policies.costs import Costs
from carbon_ray.policies.programme import IDLE, solve
from carbon_ray.policies.replan import Replan
from carbon_ray.sim.engine import simulate
from carbon_ray.sim.forecasts import Clairvoyant
from carbon_ray.sim.jobs import Job, JobSet
from carbon_ray.sim.world import Control, World

T0 = datetime(2022, 1, 1, tzinfo=UTC)
GB = 1e9


def series(name: str, row: list[float]) -> IntensitySeries:
    return IntensitySeries(
        zone=name,
        kind=IntensityKind.AVERAGE_LIFECYCLE,
        start_at=T0,
        step_s=3600.0,
        values_gco2_per_kwh=np.array(row, dtype=float),
        provenance=Provenance(provider="test"),
    )


def world_of(values: dict[str, list[float]], idle_fraction: float = 0.5) -> Surroundings:
    regions = {}
    for number, name in enumerate(values):
        power = PowerModel(tdp_w=1000.0 * (number + 1), idle_fraction=idle_fraction, source="test")
        kind = NodeType(name=f"{name}-node", resources={"GPU": 1.0}, max_nodes=1, usd_per_h=0.1, power=power)
        regions[name] = Region(name=name, zone=name, pue=1.0, node_types=(kind,))
    forecasts = {name: Forecast.certain(series(name, row), T0) for name, row in values.items()}
    return Surroundings(regions=regions, snapshot=ForecastSnapshot(version=1, issued_at=T0, forecasts=forecasts))


def workload(names: tuple[str, ...], hours: float, slots: int, overheads: Overheads, **changes: Any) -> Workload:
    given_: dict[str, Any] = {
        "workload_id": "w",
        "work_h": hours,
        "workers": 1,
        "resources_per_worker": {"GPU": 1.0},
        "home_region": names[0],
        "regions": names,
        "submitted_at": T0,
        "deadline_at": T0 + timedelta(hours=slots),
        "objective": Objective(usd_per_kgco2=10.0),
        "overheads": overheads,
        "utilisation_fraction": 1.0,
    }
    return Workload(**{**given_, **changes})


def costs_of(job: Workload, around: Surroundings) -> Costs:
    progress = Progress(remaining_h=job.work_h, region=job.home_region)
    return Costs.expected(job, progress, around.regions, around.snapshot, now=T0, slot_s=3600.0)


TRANSFERS = Transfers(
    checkpoint_bytes=90 * GB,
    bandwidth_bytes_per_s=0.1 * GB,
    pair_bandwidth_bytes_per_s={"a": {"b": 0.01 * GB}},
    egress_usd_per_gb={"a": 0.1, "b": 0.02},
    wh_per_gb=10.0,
)


@pytest.mark.parametrize(
    "changes", [{"checkpoint_bytes": -1.0}, {"wh_per_gb": -1.0}, {"egress_usd_per_gb": {"a": -0.1}}, {"checkpoint_bytes": math.inf}]
)
def test_wrong_transfers_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must not be negative nor infinite"):
        replace(TRANSFERS, **changes)
    with pytest.raises(ValueError, match="bandwidths must be above 0"):
        replace(TRANSFERS, pair_bandwidth_bytes_per_s={"a": {"c": 0.0}})


def test_matrices() -> None:
    overheads = Overheads(migrate_h=0.5, egress_usd=1.0, startup_s=600.0, transfers=TRANSFERS)
    moving = costs_of(workload(("a", "b", "c"), 3.0, 6, overheads), world_of({"a": [1.0] * 6, "b": [1.0] * 6, "c": [1.0] * 6})).moving
    hours = np.array([0.9, 0.45, 0.3])  # 0.9 kWh at nodes of 1, 2 and 3 kW
    off = 1 - np.eye(3)
    assert moving.move_h == pytest.approx((0.5 + hours[None, :]) * off)
    assert moving.send_h == pytest.approx(hours[:, None] * off)
    assert moving.usd == pytest.approx((1.0 + np.array([9.0, 1.8, 0.0]))[:, None] * off)
    assert moving.arrival_s.tolist() == [600 + 900, 600 + 9000, 600 + 900]


def test_without_transfers_nothing_changes() -> None:
    around = world_of({"a": [900, 900, 10, 900, 10, 10], "b": [10, 10, 900, 10, 900, 900]})
    plain = Overheads(checkpoint_h=0.05, restore_h=0.1, migrate_h=0.2, startup_s=600.0, egress_usd=0.01)
    nothing = replace(plain, transfers=Transfers(checkpoint_bytes=0.0))
    for fields in ({}, {"max_moves": 1}):
        jobs = [workload(("a", "b"), 3.0, 6, overheads, **fields) for overheads in (plain, nothing)]
        solutions = [solve(one.problem(), one.initial()) for one in (costs_of(job, around) for job in jobs)]
        assert solutions[0] == solutions[1]


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_no_plan_that_pays_for_transfers_is_cheaper_than_the_programmes(data: st.DataObject) -> None:
    slots, regions = data.draw(st.integers(2, 5)), data.draw(st.integers(2, 3))
    names = ("a", "b", "c")[:regions]
    speeds = st.sampled_from([0.01 * GB, 0.02 * GB, 1.0 * GB])
    transfers = Transfers(
        checkpoint_bytes=data.draw(st.sampled_from([0.0, 5 * GB, 50 * GB])),
        bandwidth_bytes_per_s=data.draw(speeds),
        pair_bandwidth_bytes_per_s={"a": {"b": data.draw(speeds)}, "b": {"a": data.draw(speeds)}},
        egress_usd_per_gb={"a": data.draw(st.sampled_from([0.0, 0.01]))},
        wh_per_gb=data.draw(st.sampled_from([0.0, 5.0])),
    )
    overheads = Overheads(checkpoint_h=0.05, restore_h=0.1, startup_s=data.draw(st.sampled_from([0.0, 1800.0])), transfers=transfers)
    job = workload(
        names,
        float(data.draw(st.integers(1, slots))),
        slots,
        overheads,
        max_moves=data.draw(st.sampled_from([None, 0, 1])),
        min_segment_s=data.draw(st.sampled_from([0.0, 7200.0])),
    )
    row = st.lists(st.floats(1.0, 800.0), min_size=slots, max_size=slots)
    costs = costs_of(job, world_of({name: data.draw(row) for name in names}))
    problem = costs.problem()
    solution, least = solve(problem, costs.initial()), math.inf
    for length in range(1, slots + 1):
        for path in itertools.product((IDLE, *range(regions)), repeat=length):
            least = min(least, cost_of_plan(problem, 0, path, tuple(IDLE if at == IDLE else 0 for at in path)))
    assert solution.cost == pytest.approx(least, rel=1e-9, abs=1e-12)
    if solution.path:
        assert costs.expected_of(solution.path, solution.working).objective_usd == pytest.approx(solution.cost, rel=1e-7, abs=1e-12)


@pytest.mark.parametrize("egress_usd_per_gb", [0.0, 0.001])
def test_the_simulation_pays_what_the_plan_expected(egress_usd_per_gb: float) -> None:
    """Transfers of an hour, so that slots hold them whole."""
    values = {"a": [200, 250, 900, 900, 900, 900, 900, 900, 900], "b": [900, 900, 100, 20, 30, 40, 900, 900, 900]}
    around = world_of(values)
    transfers = Transfers(
        checkpoint_bytes=36 * GB, bandwidth_bytes_per_s=0.01 * GB, egress_usd_per_gb={"a": egress_usd_per_gb}, wh_per_gb=2.0
    )
    job = workload(("a", "b"), 5.0, 9, Overheads(checkpoint_h=0.05, restore_h=0.1, transfers=transfers))
    policy = Replan(slot_s=3600.0, hysteresis_fraction=0.0, backfire_fraction=0.0)
    plan, _ = policy.decide(job, Progress(remaining_h=5.0, region="a"), around, now=T0)
    assert plan.expected.moves == 1
    truth = {name: series(name, [*row, *[500.0] * 40]) for name, row in values.items()}
    where = World(regions=around.regions, truth=truth)
    (result,) = simulate(where, JobSet(name="one", jobs=(Job(workload=job),)), policy, Clairvoyant(truth), Control(tick_s=None)).jobs
    assert result.gco2 == pytest.approx(plan.expected.gco2, rel=1e-9)
    assert result.usd == pytest.approx(plan.expected.usd, rel=1e-9)
    assert result.finished_at == plan.expected.finish_at
    hourly = simulate(where, JobSet(name="one", jobs=(Job(workload=job),)), policy, Clairvoyant(truth)).jobs[0]
    assert hourly.gco2 == pytest.approx(plan.expected.gco2, rel=1e-9)
