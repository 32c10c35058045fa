"""A fleet of real jobs under capacity: how close to the optimum, how fast, and whether every limit and deadline is kept.

    python -m benchmarks.fleet --traces FILE --year 2022 --json OUT
    python -m benchmarks.fleet --traces FILE --zones DE,ES --year 2022 --jobs JOBS.csv --capacity 0.3,0.5,1.0 --workloads 1000 --json OUT

All workloads are there at the start of a week, with deadlines within it. The demand is the CPU hours of all of them over the hours of
the week: the CPUs that would be busy on average. Each region offers the stated share of the demand, at least what the largest
workload asks for, in every hour. The forecast is what came true: this is about the planner, not about forecasts.

Three comparisons. `full`: all workloads with the usual costs of moving, against the Lagrangian bound. `transport`: the same without
costs of moving, against the transport programme too. `set_ups`: fewer workloads of one CPU each, which have run before and pay for
every start, against the linear relaxation with start variables as well; that is the weaker of the two bounds, and the distance
between them is its own. Gaps contain what no plan can avoid because a workload holds all of its CPUs or none.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import record
from benchmarks.fleet_programmes import relaxation
from benchmarks.instances import DATA, rows
from carbon_ray.core.errors import CarbonRayError, ConfigError
from carbon_ray.core.forecast import Forecast, ForecastSnapshot
from carbon_ray.core.intensity import IntensitySeries
from carbon_ray.core.objective import Objective
from carbon_ray.core.region import NodeType, PowerModel, Region
from carbon_ray.core.workload import Overheads, Progress, Workload
from carbon_ray.policies.base import Member, Surroundings
from carbon_ray.policies.fleet.allocation import Allocation, allocate
from carbon_ray.policies.fleet.batch import Batch
from carbon_ray.policies.fleet.policy import answers_of
from carbon_ray.policies.programme import IDLE
from carbon_ray.providers.embedded import EmbeddedProvider
from carbon_ray.providers.trace import TraceProvider

SLOT_S = 3600.0
JOBS = DATA / "jobs" / "pai_1k.csv"
HOURS = 168
REGIONS = 24
SLACK_H = (24, 168)
"""Least and most hours between now and a deadline, drawn evenly; later where the work is longer, never after the week."""
USUAL = Overheads(checkpoint_h=0.05, restore_h=0.1, migrate_h=0.5)
SET_UP = Overheads(restore_h=0.15)
GROWN = 4
"""The largest fleet of the growth in time, in the workloads of the others."""
CPU = PowerModel(tdp_w=10.0, idle_fraction=0.3, source="a round number; it cancels in every gap")


def series_of(traces: Path, zones: Sequence[str], start_at: datetime) -> tuple[dict[str, IntensitySeries], list[str]]:
    """A week of every zone, from the trace where it has the zone, else the embedded profile; and which are from the trace."""
    trace, profile = TraceProvider(traces), EmbeddedProvider()
    end_at = start_at + timedelta(hours=HOURS)
    found = [zone for zone in zones if zone in trace.zones()]
    return {zone: (trace if zone in found else profile).history(zone, start_at, end_at) for zone in zones}, found


def default_zones(traces: Path) -> tuple[str, ...]:
    """All zones of the trace, and profiles up to the full number."""
    real = TraceProvider(traces).zones()
    return (*real, *(zone for zone in EmbeddedProvider().zones() if zone not in real))[:REGIONS]


def members_of(jobs: Path, count: int, zones: Sequence[str], start_at: datetime, seed: int, overheads: Overheads) -> list[Member]:
    """Workloads with the lengths and CPUs of the file's rows, in turn."""
    random = np.random.default_rng(seed)
    table = [(float(row["length"]) / 3600, int(row["cpus"])) for row in rows(jobs)]
    members = []
    for index in range(count):
        work_h, cpus = table[index % len(table)]
        slots = math.ceil(work_h - 1e-9)
        deadline_h = min(HOURS, max(int(random.integers(SLACK_H[0], SLACK_H[1] + 1)), slots + 6))
        home = zones[int(random.integers(len(zones)))]
        workload = Workload(
            workload_id=f"job-{index}",
            work_h=work_h,
            workers=cpus,
            resources_per_worker={"CPU": 1.0},
            home_region=home,
            regions=tuple(zones),
            submitted_at=start_at,
            deadline_at=start_at + timedelta(hours=deadline_h),
            objective=Objective(usd_per_kgco2=1.0, usd_weight=0.0),
            overheads=overheads,
            utilisation_fraction=1.0,
        )
        members.append(Member(workload=workload, progress=Progress(remaining_h=work_h, region=home)))
    return members


def surroundings(series: dict[str, IntensitySeries], members: Sequence[Member], share: float) -> tuple[Surroundings, dict[str, float]]:
    """Regions that offer `share` of the demand each."""
    demand = sum(math.ceil(one.workload.work_h - 1e-9) * one.workload.workers for one in members) / HOURS
    cpus = max(math.ceil(share * demand), *(one.workload.workers for one in members))
    start_at = next(iter(series.values())).start_at
    regions = {
        zone: Region(
            name=zone,
            zone=zone,
            pue=1.0,
            node_types=(NodeType(name=f"cpu-{zone}", resources={"CPU": 1.0}, max_nodes=cpus, usd_per_h=0.0, power=CPU),),
        )
        for zone in series
    }
    forecasts = {zone: Forecast.certain(one, start_at) for zone, one in series.items()}
    snapshot = ForecastSnapshot(version=1, issued_at=start_at, forecasts=forecasts)
    return Surroundings(regions=regions, snapshot=snapshot), {"demand_cpus": demand, "cpus_per_region": cpus}


def checked(found: Allocation) -> dict[str, Any]:
    """Limits and deadlines, counted from the paths alone."""
    used, late, undone = np.zeros_like(found.batch.capacity), 0, 0
    for index, (member, solution) in enumerate(zip(found.batch.members, found.solutions, strict=True)):
        for slot, where in enumerate(solution.path):
            if where != IDLE:
                used[slot, found.batch.pools.index(found.batch.shapes[index].sites[where].node_type.name)] += member.workload.workers
        late += found.batch.now + timedelta(seconds=SLOT_S * len(solution.path)) > member.workload.deadline_at or not solution.path
        undone += sum(solution.working) != math.ceil(member.workload.work_h - 1e-9)
    return {
        "cells_over_capacity": int((used > found.batch.capacity).sum()),
        "deadlines_missed": late,
        "workloads_not_done_exactly_once": undone,
        "cells_full_fraction": float((used == found.batch.capacity).mean()),
    }


def planned(members: Sequence[Member], around: Surroundings) -> tuple[Allocation, dict[str, Any]]:
    """The allocation and what it is worth."""
    now = around.snapshot.issued_at
    begun_s = time.perf_counter()
    found = allocate(members, around, now=now, slot_s=SLOT_S)
    seconds = time.perf_counter() - begun_s
    result = {
        "workloads": len(members),
        "quanta": int(found.batch.columns.quanta.sum()),
        "cost_usd": found.total_usd,
        "lagrangian_bound_usd": found.bound_usd,
        "gap_to_lagrangian_bound_fraction": found.gap_fraction,
        "seconds": seconds,
        **checked(found),
    }
    return found, result


def against(found: Allocation, result: dict[str, Any], restore_h: float, limit_s: float) -> dict[str, Any]:
    """The result with HiGHS's optimum of the relaxation beside it."""
    solved = relaxation(found.batch, restore_h=restore_h, limit_s=limit_s)
    gap = None if solved.cost_usd is None else found.total_usd / solved.cost_usd - 1.0
    below = None if solved.cost_usd is None else 1.0 - found.bound_usd / solved.cost_usd
    return {
        **result,
        "lp": asdict(solved),
        "gap_to_lp_fraction": gap,
        "lagrangian_bound_below_lp_fraction": below,
        "times_faster_than_lp": solved.seconds / result["seconds"],
    }


def full(members: Sequence[Member], around: Surroundings) -> dict[str, Any]:
    """All workloads with the usual costs of moving: cold, again from its own prices and plans, and the Python around it."""
    found, result = planned(members, around)
    now = around.snapshot.issued_at
    begun_s = time.perf_counter()
    Batch.of(members, around.regions, around.snapshot, now=now, slot_s=SLOT_S)
    arrays_s = time.perf_counter() - begun_s
    begun_s = time.perf_counter()
    answers_of(found, 1)
    answers_s = time.perf_counter() - begun_s
    begun_s = time.perf_counter()
    again = allocate(members, around, now=now, slot_s=SLOT_S, before=found)
    return {
        **result,
        "arrays_seconds": arrays_s,
        "plans_and_decisions_seconds": answers_s,
        "again": {"seconds": time.perf_counter() - begun_s, "gap_to_lagrangian_bound_fraction": again.gap_fraction, **checked(again)},
    }


def transported(members: Sequence[Member]) -> list[Member]:
    """The same work without costs of moving."""
    return [replace(one, workload=replace(one.workload, overheads=Overheads())) for one in members]


def set_up(members: Sequence[Member]) -> list[Member]:
    """The same hours of work on a CPU each, begun already, at a price of every start."""
    return [
        replace(one, workload=replace(one.workload, overheads=SET_UP, workers=1), progress=replace(one.progress, is_started=True))
        for one in members
    ]


def growth(members: Sequence[Member], series: dict[str, IntensitySeries], share: float) -> dict[str, Any]:
    """Seconds at a quarter to all of the workloads, and the power of the size that they grow with."""
    sizes = [len(members) // part for part in (4, 2, 1)]
    runs = []
    for size in sizes:
        around, _ = surroundings(series, members[:size], share)
        runs.append(min((planned(members[:size], around)[1] for _ in range(2)), key=lambda one: float(one["seconds"])))
    seconds = [run["seconds"] for run in runs]
    return {
        "capacity_share": share,
        "workloads": sizes,
        "seconds": seconds,
        "gap_to_lagrangian_bound_fraction": [run["gap_to_lagrangian_bound_fraction"] for run in runs],
        "exponent": float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0]),
    }


def parsed(argv: list[str] | None) -> argparse.Namespace:
    """The command's arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--traces", type=Path, required=True, help="CSV or Parquet with zone, time_utc, gco2_per_kwh, kind")
    parser.add_argument("--zones", default="", help="comma-separated; by default all of the trace and profiles up to 24")
    parser.add_argument("--year", type=int, default=2022)
    parser.add_argument("--start", default="05-02", help="month and day that the week begins")
    parser.add_argument("--jobs", type=Path, default=JOBS, help="CSV with length in seconds and cpus; of the reference data by default")
    parser.add_argument("--capacity", default="0.3,0.5,1.0")
    parser.add_argument("--workloads", type=int, default=1000)
    parser.add_argument("--transport-workloads", type=int, default=1000)
    parser.add_argument("--set-up-workloads", type=int, default=100)
    parser.add_argument("--lp-limit-s", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", type=Path, default=None)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; 0, or 2 with one line on bad input."""
    options = parsed(argv)
    try:
        measured(options)
    except (CarbonRayError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def measured(options: argparse.Namespace) -> None:
    """Measure, print, and write the result.

    Raises:
        ConfigError: The arguments name something that is not there.
        ValueError: One is no number or day.
    """
    if not options.traces.is_file():
        raise ConfigError(f"{options.traces} is not there; give a CSV or Parquet trace with --traces")
    month, day = map(int, options.start.split("-"))
    start_at = datetime(options.year, month, day, tzinfo=UTC)
    zones = tuple(options.zones.split(",")) if options.zones else default_zones(options.traces)
    series, real = series_of(options.traces, zones, start_at)
    members = members_of(options.jobs, options.workloads, zones, start_at, options.seed, USUAL)
    shares = [float(share) for share in options.capacity.split(",")]
    planned(members[:3], surroundings(series, members[:3], 1.0)[0])  # compiled
    results = []
    for share in shares:
        one: dict[str, Any] = {"capacity_share": share}
        around, limits = surroundings(series, members, share)
        one["full"] = {**limits, **full(members, around)}
        print(f"{share:.0%}, full: {summary(one['full'])}", flush=True)
        for title, some, restore_h in (
            ("transport", transported(members[: options.transport_workloads]), 0.0),
            ("set_ups", set_up(members[: options.set_up_workloads]), SET_UP.restore_h),
        ):
            around, limits = surroundings(series, some, share)
            found, result = planned(some, around)
            one[title] = {**limits, **against(found, result, restore_h, options.lp_limit_s)}
            print(f"{share:.0%}, {title}: {summary(one[title])}", flush=True)
        results.append(one)
    result = {
        "benchmark": "fleet",
        "results": results,
        "growth": growth(members_of(options.jobs, GROWN * options.workloads, zones, start_at, options.seed, USUAL), series, shares[0]),
        "zones_from_trace": real,
        "zones_from_embedded_profile": [zone for zone in zones if zone not in real],
        "kind": "average_lifecycle",
        "forecast": "what came true",
        "week_begins_at": start_at.isoformat(),
        "hours": HOURS,
        "jobs": options.jobs.name,
        "slack_h": SLACK_H,
        "seed": options.seed,
        "overheads_full": asdict(USUAL),
        "overheads_set_ups": asdict(SET_UP),
        "threads": 1,
        "definitions": __doc__,
    }
    if options.json:
        record.write(options.json, result)


def summary(one: dict[str, Any]) -> str:
    """A line for a person."""
    text = (
        f"{one['workloads']} workloads in {one['seconds']:.1f} s, "
        f"{one['gap_to_lagrangian_bound_fraction']:.2%} above the Lagrangian bound, "
        f"{one['cells_over_capacity']} cells over capacity, {one['deadlines_missed']} deadlines missed"
    )
    if "lp" not in one:
        return text
    gap = "not solved" if one["gap_to_lp_fraction"] is None else f"{one['gap_to_lp_fraction']:.2%} above it"
    return f"{text}; linear programme in {one['lp']['seconds']:.1f} s, {gap}"


if __name__ == "__main__":
    sys.exit(main())
