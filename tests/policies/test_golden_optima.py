"""The programme against enumerated and real-trace optima; tolerances as stated beside the data."""

from __future__ import annotations

import csv
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from carbon_ray.core.clock import parse_utc
from carbon_ray.core.forecast import Forecast, ForecastSnapshot
from carbon_ray.core.intensity import IntensityKind, IntensitySeries, Provenance
from carbon_ray.core.objective import Objective
from carbon_ray.core.region import NodeType, PowerModel, Region
from carbon_ray.core.workload import Overheads, Progress, Workload
from carbon_ray.policies.base import Surroundings
from carbon_ray.policies.programme import IDLE, Initial, Problem, solve
from carbon_ray.policies.replan import Replan

DATA = Path(os.environ.get("CARBON_RAY_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
needs_data = pytest.mark.skipif(not (DATA / "golden").is_dir(), reason=f"the golden instances are not at {DATA}; set CARBON_RAY_DATA")
T0 = datetime(2022, 1, 1, tzinfo=UTC)


def problem_of(ci: np.ndarray, quanta: int, ow: float, orr: float, om: float) -> Problem:
    slots, regions = ci.shape
    none = np.zeros((regions, regions))
    return Problem(
        run=ci[:, :, None],
        hold=np.zeros((slots, regions, 1)),
        pause=ow * ci,
        unit=ci,
        move=om * (1 - np.eye(regions)),
        send=none,
        fee=none,
        restore=orr,
        speed=np.ones(1, dtype=np.int64),
        waiting=0.0,
        startup_slots=0,
        quanta=quanta,
        allowed=np.ones((slots, regions), dtype=bool),
    )


def cost_of(path: tuple[int, ...], ci: np.ndarray, home: int, ow: float, orr: float, om: float) -> float:
    """The cost model in words of the data's README, walked forward; shares no code with the programme."""
    total, at, running, started = 0.0, home, False, False
    for slot, where in enumerate(path):
        if running and where != at:
            total += ow * ci[slot - 1][at]
            running = False
        if where == IDLE:
            continue
        if not running:
            total += ((orr if started else 0.0) + (om if where != at else 0.0)) * ci[slot][where]
        total += ci[slot][where]
        at, running, started = where, True, True
    return total


def small_instances() -> list[dict[str, Any]]:
    path = DATA / "golden" / "dp_small.json"
    return json.loads(path.read_text())["instances"] if path.exists() else []


@needs_data
def test_every_small_instance_is_solved_exactly() -> None:
    instances = small_instances()
    assert len(instances) == 200
    for case in instances:
        ci, overheads = np.array(case["ci"], dtype=float), (case["ow"], case["or"], case["om"])
        solution = solve(problem_of(ci, case["J"], *overheads), Initial(region=case["home"], origin=case["home"]))
        assert solution.cost == pytest.approx(case["optimal_cost"], abs=1e-6), case["id"]
        assert cost_of(solution.path, ci, case["home"], *overheads) == pytest.approx(case["optimal_cost"], abs=1e-6), case["id"]
        assert sum(where != IDLE for where in solution.path) == case["J"]


def region(name: str) -> Region:
    power = PowerModel(tdp_w=1000.0, idle_fraction=0.0, source="test")
    node_type = NodeType(name=name, resources={"GPU": 1.0}, max_nodes=1, usd_per_h=0.0, power=power)
    return Region(name=name, zone=name, pue=1.0, node_types=(node_type,))


def through_policy(ci: np.ndarray, zones: list[str], quanta: int, home: str, overheads: Overheads) -> float:
    """The same instance as a workload of 1 kW at a price of 1 USD per gram, through the policy that the controller runs."""
    slots = len(ci)
    series = {
        zone: IntensitySeries(
            zone=zone,
            kind=IntensityKind.AVERAGE_LIFECYCLE,
            start_at=T0,
            step_s=3600.0,
            values_gco2_per_kwh=ci[:, index],
            provenance=Provenance(provider="golden"),
        )
        for index, zone in enumerate(zones)
    }
    snapshot = ForecastSnapshot(version=1, issued_at=T0, forecasts={zone: Forecast.certain(one, T0) for zone, one in series.items()})
    workload = Workload(
        workload_id="golden",
        work_h=quanta,
        workers=1,
        resources_per_worker={"GPU": 1.0},
        home_region=home,
        regions=tuple(zones),
        submitted_at=T0,
        deadline_at=T0 + timedelta(hours=slots),
        objective=Objective(usd_per_kgco2=1000.0),
        overheads=overheads,
        utilisation_fraction=1.0,
    )
    around = Surroundings(regions={zone: region(zone) for zone in zones}, snapshot=snapshot)
    plan, _ = Replan(slot_s=3600.0).decide(workload, Progress(remaining_h=quanta, region=home), around, now=T0)
    assert plan.expected.objective_usd == pytest.approx(plan.expected.gco2)
    return plan.expected.gco2


@needs_data
def test_the_policy_gives_the_same_optimum_as_the_bare_programme() -> None:
    for case in small_instances()[::7]:
        ci = np.array(case["ci"], dtype=float)
        zones = [f"Z{index}" for index in range(case["R"])]
        overheads = Overheads(checkpoint_h=case["ow"], restore_h=case["or"], migrate_h=case["om"])
        assert through_policy(ci, zones, case["J"], zones[case["home"]], overheads) == pytest.approx(case["optimal_cost"], abs=1e-6)


@needs_data
def test_every_real_trace_optimum() -> None:
    import pyarrow.parquet as pq

    meta = json.loads((DATA / "golden" / "dp_real.json").read_text())
    zones, overheads = meta["zones_in_order"], meta["overheads"]
    frame = pq.read_table(DATA / "ci_hourly_dev.parquet").to_pandas()
    frame = frame[(frame.kind == "average_lifecycle") & frame.zone.isin(zones)]
    wide = frame.pivot_table(index="time_utc", columns="zone", values="gco2_per_kwh")[zones].astype(float)
    first = parse_utc(str(wide.index[0]) if "+" in str(wide.index[0]) else f"{wide.index[0]}+00:00")
    values = wide.to_numpy()
    with (DATA / "golden" / "dp_real.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 60
    for row in rows:
        start = int((parse_utc(row["start_utc"]) - first).total_seconds() // 3600)
        job_h = int(row["job_h"])
        ci = values[start : start + job_h + int(row["slack_h"])]
        home, costs = zones.index(row["home"]), (overheads["ow"], overheads["or"], overheads["om"])
        everywhere = solve(problem_of(ci, job_h, *costs), Initial(region=home, origin=home))
        assert everywhere.cost == pytest.approx(float(row["optimal"]), rel=1e-6), row["id"]
        assert cost_of(everywhere.path, ci, home, *costs) == pytest.approx(float(row["optimal"]), rel=1e-6)
        at_home = solve(problem_of(ci[:, [home]], job_h, *costs), Initial(region=0, origin=0))
        assert at_home.cost == pytest.approx(float(row["optimal_home_only"]), rel=1e-6), row["id"]
        moved = Overheads(checkpoint_h=overheads["ow"], restore_h=overheads["or"], migrate_h=overheads["om"])
        assert through_policy(ci, zones, job_h, row["home"], moved) == pytest.approx(float(row["optimal"]), rel=1e-6)
