"""The fleet planner between two linear programmes: its bound and its plans against what HiGHS proves for the same instance."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.sparse import lil_matrix

from carbon_ray.core.forecast import Forecast, ForecastSnapshot
from carbon_ray.core.intensity import IntensityKind, IntensitySeries, Provenance
from carbon_ray.core.objective import Objective
from carbon_ray.core.region import NodeType, PowerModel, Region
from carbon_ray.core.workload import Overheads, Progress, Workload
from carbon_ray.policies.base import Member, Surroundings
from carbon_ray.policies.fleet.allocation import Allocation, allocate
from carbon_ray.policies.fleet.member import FairShares
from carbon_ray.policies.fleet.prices import Ascent
from carbon_ray.policies.fleet.repair import Repair

T0 = datetime(2022, 3, 1, tzinfo=UTC)
HOUR_S = 3600.0
THOROUGH = Ascent(passes=400, last_step=0.0002)
SEEDS = range(8)


def world(seed: int, slots: int, regions: int, nodes: int) -> Surroundings:
    random = np.random.default_rng(seed)
    daily = 300 + 200 * np.sin(np.arange(slots)[:, None] / 24 * 2 * np.pi + random.uniform(0, 6, regions))
    intensity = np.maximum(daily + random.normal(0, 40, (slots, regions)), 5.0)
    forecasts, places = {}, {}
    for index in range(regions):
        name = f"r{index}"
        series = IntensitySeries(
            zone=name,
            kind=IntensityKind.AVERAGE_LIFECYCLE,
            start_at=T0,
            step_s=HOUR_S,
            values_gco2_per_kwh=intensity[:, index],
            provenance=Provenance(provider="test"),
        )
        forecasts[name] = Forecast.certain(series, T0)
        power = PowerModel(tdp_w=1000.0, idle_fraction=0.5, source="test")
        node_type = NodeType(name=f"n{index}", resources={"GPU": 1.0}, max_nodes=nodes, usd_per_h=0.0, power=power)
        places[name] = Region(name=name, zone=name, pue=1.0, node_types=(node_type,))
    return Surroundings(regions=places, snapshot=ForecastSnapshot(version=1, issued_at=T0, forecasts=forecasts))


def fleet(seed: int, count: int, slots: int, around: Surroundings, overheads: Overheads, most_workers: int = 1) -> list[Member]:
    random, names = np.random.default_rng(seed + 1000), tuple(around.regions)
    members = []
    for index in range(count):
        work_h = int(random.integers(1, 6))
        deadline = int(random.integers(max(work_h, slots // 3), slots + 1))
        home = names[random.integers(len(names))]
        workload = Workload(
            workload_id=f"w{index}",
            work_h=float(work_h),
            workers=int(random.integers(1, most_workers + 1)),
            resources_per_worker={"GPU": 1.0},
            home_region=home,
            regions=names,
            submitted_at=T0,
            deadline_at=T0 + timedelta(hours=deadline),
            objective=Objective(usd_per_kgco2=1.0, usd_weight=0.0),
            overheads=overheads,
            utilisation_fraction=1.0,
        )
        progress = Progress(remaining_h=float(work_h), region=home, is_started=True)
        members.append(Member(workload=workload, progress=progress, priority=float(random.integers(1, 3))))
    return members


def linear_bound_usd(found: Allocation, overheads: Overheads) -> float:
    """Least weighted cost of the relaxation with set-ups: x runs, y >= x_t - x_(t-1) pays restore; all members have run before."""
    batch, (slots, regions) = found.batch, found.batch.intensity_gco2_per_kwh.shape
    count = len(batch.members)
    cells = count * slots * regions
    cost = np.zeros(2 * cells)
    at = np.arange(cells).reshape(count, slots, regions)
    capacity, starts, once, work = [], [], [], []
    for i, member in enumerate(batch.members):
        usd = batch.intensity_gco2_per_kwh / 1000 * member.workload.workers * member.priority
        cost[at[i]] = usd
        cost[cells + at[i]] = overheads.restore_h * usd
        for t in range(slots):
            once.append(at[i, t])
            for r in range(regions):
                starts.append((at[i, t, r], at[i, t - 1, r] if t else None))
        work.append(at[i].ravel())
    for t in range(slots):
        for r in range(regions):
            capacity.append((at[:, t, r], batch.capacity[t, r]))
    upper, limits = lil_matrix((len(capacity) + len(starts) + len(once), 2 * cells)), []
    row = 0
    for columns, limit in capacity:
        upper[row, columns] = [member.workload.workers for member in batch.members]
        limits.append(limit)
        row += 1
    for now, before in starts:
        upper[row, now], upper[row, cells + now] = 1.0, -1.0
        if before is not None:
            upper[row, before] = -1.0
        limits.append(0.0)
        row += 1
    for columns in once:
        upper[row, columns] = 1.0
        limits.append(1.0)
        row += 1
    equal = lil_matrix((count, 2 * cells))
    for i, columns in enumerate(work):
        equal[i, columns] = 1.0
    bounds = np.zeros((2 * cells, 2))
    bounds[:, 1] = 1.0
    for i in range(count):
        late = at[i, int(batch.columns.slots[i]) :].ravel()
        bounds[late, 1] = 0.0
    solved = linprog(cost, upper.tocsr(), limits, equal.tocsr(), batch.columns.quanta, bounds=bounds, method="highs")
    assert solved.status == 0, solved.message
    return float(solved.fun)


@pytest.mark.parametrize("seed", SEEDS)
def test_without_set_ups_bound_and_plans_meet_the_transport_optimum(seed: int) -> None:
    around = world(seed, slots=24, regions=3, nodes=2)
    members = fleet(seed, 22, 24, around, Overheads())
    found = allocate(members, around, now=T0, slot_s=HOUR_S, ascent=THOROUGH, how=Repair(attempts=8))
    optimum_usd = linear_bound_usd(found, Overheads())  # a transport problem: its vertices are plans
    assert found.is_coupled
    assert not found.missed
    assert found.bound_usd <= optimum_usd * (1 + 1e-9)
    assert found.total_usd >= optimum_usd * (1 - 1e-9)
    assert found.bound_usd == pytest.approx(optimum_usd, rel=2e-3)
    assert found.total_usd == pytest.approx(optimum_usd, rel=2e-2)
    assert (found.used() <= found.batch.capacity).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_with_set_ups_the_bound_lies_between_the_relaxation_and_the_plans(seed: int) -> None:
    overheads = Overheads(restore_h=0.3)
    around = world(seed, slots=24, regions=2, nodes=4)
    members = fleet(seed, 20, 24, around, overheads, most_workers=3)
    found = allocate(members, around, now=T0, slot_s=HOUR_S, ascent=THOROUGH)
    relaxed_usd = linear_bound_usd(found, overheads)
    assert found.is_coupled
    assert not found.missed
    assert relaxed_usd * (1 - 2e-3) <= found.bound_usd <= found.total_usd
    assert found.gap_fraction < 0.1  # three nodes of one in a region of four: much of it is packing


def test_without_scarcity_nothing_has_a_price() -> None:
    around = world(1, slots=24, regions=3, nodes=1000)
    found = allocate(fleet(1, 40, 24, around, Overheads()), around, now=T0, slot_s=HOUR_S)
    assert not found.is_coupled
    assert not found.prices_usd.any()
    assert found.gap_fraction == 0.0
    assert found.total_usd == pytest.approx(linear_bound_usd(found, Overheads()), rel=1e-9)


def one_node(seed: int = 3, slots: int = 12) -> Surroundings:
    return world(seed, slots=slots, regions=1, nodes=1)


def twins(around: Surroundings, **fields: object) -> list[Member]:
    """Two alike but for what is given for the second."""
    first = fleet(5, 1, 12, around, Overheads())[0]
    workload = first.workload
    hour = Workload(
        workload_id="first",
        work_h=1.0,
        workers=1,
        resources_per_worker={"GPU": 1.0},
        home_region="r0",
        regions=("r0",),
        submitted_at=T0,
        deadline_at=T0 + timedelta(hours=12),
        objective=workload.objective,
        utilisation_fraction=1.0,
    )
    progress = Progress(remaining_h=1.0, region="r0")
    other = Workload(**{**{name: getattr(hour, name) for name in hour.__slots__}, "workload_id": "second"})
    return [Member(workload=hour, progress=progress, team="a"), Member(workload=other, progress=progress, team="b", **fields)]  # type: ignore[arg-type]


def cleanest(around: Surroundings) -> int:
    return int(np.argmin(around.snapshot["r0"].quantiles_gco2_per_kwh[0.5]))


@pytest.mark.parametrize(("shares", "priority"), [(FairShares(), 4.0), (FairShares(weights={"a": 1.0, "b": 4.0}), 1.0)])
def test_of_equal_savings_the_higher_priority_or_share_gets_the_node(shares: FairShares, priority: float) -> None:
    around = one_node()
    found = allocate(twins(around, priority=priority), around, now=T0, slot_s=HOUR_S, shares=shares, ascent=THOROUGH)
    best = cleanest(around)
    assert len(found.solutions[1].path) == best + 1
    assert len(found.solutions[0].path) != best + 1


def test_where_not_all_deadlines_can_be_met_the_higher_priority_meets_its_own() -> None:
    around = world(3, slots=1, regions=1, nodes=1)
    members = [
        Member(workload=one.workload, progress=one.progress, priority=priority)
        for one, priority in zip(twins(world(3, slots=12, regions=1, nodes=1)) * 2, (1.0, 2.0, 5.0, 3.0), strict=True)
    ]
    soon = [
        Member(
            workload=Workload(
                **{
                    **{name: getattr(one.workload, name) for name in one.workload.__slots__},
                    "workload_id": f"w{index}",
                    "deadline_at": T0 + timedelta(hours=1),
                }
            ),
            progress=one.progress,
            priority=one.priority,
        )
        for index, one in enumerate(members)
    ]
    found = allocate(soon, around, now=T0, slot_s=HOUR_S)
    assert found.missed == (0, 1, 3)
    assert found.hopeless == 0
    assert found.gap_fraction == float("inf")
