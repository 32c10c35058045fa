"""How fast a fleet is planned under capacity, against the linear programme of the same instance solved by HiGHS.

The instance has no costs of moving: then the optimum is a minimum-cost flow, whose linear programme is exact, so that the gap is
that to the true optimum, and HiGHS has the smallest programme to solve that there is for such a fleet. With costs of moving ours
has the same states to look at and HiGHS many more rows, so the ratio stated here is the less favourable one for us.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult, linprog
from scipy.sparse import coo_array

from benchmarks import planner_speed_world as world
from benchmarks.planner_speed_plan import timed
from benchmarks.planner_speed_world import Weather
from carbon_ray.core.forecast import Forecast, ForecastSnapshot
from carbon_ray.core.intensity import FloatArray
from carbon_ray.core.objective import Objective
from carbon_ray.core.workload import Overheads, Progress, Workload
from carbon_ray.policies.base import Member, Surroundings
from carbon_ray.policies.fleet.allocation import Allocation
from carbon_ray.policies.fleet.policy import FleetReplan

MONTH, DAY = 5, 2
"""When all of it is planned."""
HOURS = 168
CAPACITY_FRACTION = 0.5
"""Nodes of all regions together, alike in each, as a share of the workloads: what would run if all ran at once."""
USUAL = Overheads(checkpoint_h=0.05, restore_h=0.10, migrate_h=0.5)
LADDER = (25, 50, 100, 200, 400, 700, 1000)
METHODS = ("highs-ds", "highs-ipm")
"""Both of HiGHS's algorithms; the faster one counts."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fleet:
    """One instance.

    Attributes:
        members: Waiting workloads of one node each; all lengths and windows are whole hours.
        around: Regions with their capacity, and the forecast.
        gco2_per_kwh: The forecast as a matrix, shape (T, R).
        lengths: Hours of work, shape (N,).
        windows: Hours until each deadline, shape (N,).
        nodes: Nodes of each region.
    """

    members: tuple[Member, ...]
    around: Surroundings
    gco2_per_kwh: FloatArray
    lengths: NDArray[np.int64]
    windows: NDArray[np.int64]
    nodes: int


def fleet(count: int, seed: int, weather: Weather, overheads: Overheads | None = None) -> Fleet:
    """Workloads of 4 to 48 hours, due 24 to 120 hours after they could end, homes in turn.

    Args:
        count: Workloads.
        seed: Of lengths and windows, and of embedded weather.
        weather: Regions and intensities.
        overheads: Costs of moving; none by default.
    """
    rng, names, now = np.random.default_rng(seed), weather.zones, weather.at(MONTH, DAY)
    lengths = rng.integers(4, 49, count)
    windows = np.minimum(HOURS, lengths + rng.integers(24, 121, count))
    nodes = max(1, round(CAPACITY_FRACTION * count / len(names)))
    series = weather.intensities(now, timedelta(hours=HOURS), seed)
    members = tuple(
        Member(
            workload=Workload(
                workload_id=f"w{index}",
                work_h=float(length),
                workers=1,
                resources_per_worker={"CPU": 1.0},
                home_region=names[index % len(names)],
                regions=names,
                submitted_at=now,
                deadline_at=now + timedelta(hours=int(window)),
                objective=Objective(usd_per_kgco2=1.0, usd_weight=0.0),
                overheads=overheads or Overheads(),
                utilisation_fraction=1.0,
            ),
            progress=Progress(remaining_h=float(length), region=names[index % len(names)]),
        )
        for index, (length, window) in enumerate(zip(lengths, windows, strict=True))
    )
    snapshot = ForecastSnapshot(version=1, issued_at=now, forecasts={zone: Forecast.certain(one, now) for zone, one in series.items()})
    return Fleet(
        members=members,
        around=Surroundings(regions={zone: world.region(zone, nodes) for zone in names}, snapshot=snapshot),
        gco2_per_kwh=np.stack([series[zone].values_gco2_per_kwh for zone in names], axis=1),
        lengths=lengths,
        windows=windows,
        nodes=nodes,
    )


def planned(one: Fleet) -> Allocation:
    """Ours, from members to plans, with no prices from before."""
    return FleetReplan(slot_s=3600.0).allocate(one.members, one.around, now=one.around.snapshot.issued_at)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Flow:
    """The linear programme: a share of each hour for each workload, hour and region.

    Attributes:
        cost: Of every variable, USD.
        equal: Rows: all work is done.
        works: Right-hand side.
        most: Rows: at most one place at a time for each workload and hour, at most `nodes` in each region and hour.
        limits: Right-hand side.
    """

    cost: FloatArray
    equal: coo_array
    works: FloatArray
    most: coo_array
    limits: FloatArray

    @classmethod
    def of(cls, one: Fleet) -> Flow:
        """Build the sparse matrices."""
        hours, regions = one.gco2_per_kwh.shape
        member = np.repeat(np.arange(len(one.members)), one.windows)
        hour = np.concatenate([np.arange(window) for window in one.windows])
        pair = np.repeat(np.arange(len(hour)), regions)  # a workload and an hour
        place = np.tile(np.arange(regions), len(hour))
        variable, ones = np.arange(len(pair)), np.ones(len(pair))
        cell = len(hour) + hour[pair] * regions + place
        return cls(
            cost=one.gco2_per_kwh[hour[pair], place] / 1000,
            equal=coo_array((ones, (member[pair], variable)), shape=(len(one.members), len(pair))),
            works=one.lengths.astype(np.float64),
            most=coo_array(
                (np.concatenate([ones, ones]), (np.concatenate([pair, cell]), np.concatenate([variable, variable]))),
                shape=(len(hour) + hours * regions, len(pair)),
            ),
            limits=np.concatenate([np.ones(len(hour)), np.full(hours * regions, float(one.nodes))]),
        )

    def solve(self, method: str, limit_s: float) -> OptimizeResult:
        """HiGHS; `success` is False where the time was not enough."""
        return linprog(
            self.cost,
            A_ub=self.most.tocsr(),
            b_ub=self.limits,
            A_eq=self.equal.tocsr(),
            b_eq=self.works,
            bounds=(0, None),
            method=method,
            options={"time_limit": limit_s},
        )


def one_rung(count: int, seed: int, weather: Weather, methods: tuple[str, ...], limit_s: float) -> dict[str, Any]:
    """Both on one instance, HiGHS after ours; building its matrices does not count."""
    one = fleet(count, seed, weather)
    ours_s, allocation = timed(lambda: planned(one))
    flow = Flow.of(one)
    seconds, optimum = dict[str, float | None](), None
    for method in methods:
        spent, solved = timed(lambda method=method: flow.solve(method, limit_s))  # type: ignore[misc]
        seconds[method] = spent if solved.success else None
        optimum = float(solved.fun) if solved.success else optimum
    done = [spent for spent in seconds.values() if spent is not None]
    gap = None if optimum is None or allocation.missed else allocation.total_usd / optimum - 1.0
    return {
        "workloads": count,
        "nodes_per_region": one.nodes,
        "variables": len(flow.cost),
        "fleet_s": ours_s,
        "highs_s": min(done) if done else None,
        "highs_s_by_method": seconds,
        "fleet_cost_usd": allocation.total_usd,
        "lp_cost_usd": optimum,
        "gap_fraction": gap,
        "dual_gap_fraction": allocation.total_usd / allocation.bound_usd - 1.0,
        "without_plan": len(allocation.missed),
    }


def measure(seed: int, *, weather: Weather, quick: bool = False, limit_s: float = 150.0) -> dict[str, Any]:
    """Climb the ladder of sizes as long as HiGHS ends within a time limit, then ours alone at the full size.

    Args:
        seed: Of the instances.
        weather: Regions and intensities.
        quick: Two small rungs, and nothing at the full size.
        limit_s: Seconds that HiGHS gets for one programme.
    """
    planned(fleet(2, seed, weather))  # compiled
    rungs, methods = list[dict[str, Any]](), METHODS
    for count in LADDER[:2] if quick else LADDER:
        rung = one_rung(count, seed, weather, methods, limit_s)
        rungs.append(rung)
        methods = tuple(method for method, spent in rung["highs_s_by_method"].items() if spent is not None)
        if not methods:
            break
    compared = [rung for rung in rungs if rung["highs_s"] is not None]
    if not compared:
        reason = f"HiGHS did not end within {limit_s:g} s even on {LADDER[0]} workloads"
        return {"fleet_speedup": None, "fleet_gap_fraction": None, "fleet_reason": reason, "fleet_rungs": rungs}
    largest = compared[-1]
    result = {
        "fleet_speedup": largest["highs_s"] / largest["fleet_s"],
        "fleet_gap_fraction": largest["gap_fraction"],
        "fleet_compared_at": {"workloads": largest["workloads"], "regions": len(weather.zones), "hours": HOURS},
        "fleet_rungs": rungs,
        "fleet_highs_limit_s": limit_s,
        "fleet_instance": f"no costs of moving (the linear programme is exact); nodes = {CAPACITY_FRACTION:g} of the workloads",
    }
    if not quick:
        result["fleet_at_full_size"] = [
            full_size(LADDER[-1], seed, weather, overheads, title)
            for overheads, title in ((None, "free moves"), (USUAL, "usual overheads"))
        ]
    return result


def full_size(count: int, seed: int, weather: Weather, overheads: Overheads | None, title: str) -> dict[str, Any]:
    """Ours alone, with its own bound."""
    one = fleet(count, seed, weather, overheads)
    seconds, allocation = timed(lambda: planned(one))
    return {
        "workloads": count,
        "moving": title,
        "fleet_s": seconds,
        "dual_gap_fraction": allocation.total_usd / allocation.bound_usd - 1.0,
        "without_plan": len(allocation.missed),
    }
