"""How many jobs a second the simulator gets done with carbon_ray's own policies, re-planned every hour.

Jobs come as densely as 10,000 a year do; fewer jobs are a shorter time and not an emptier one, so that the rates can be compared.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from benchmarks import planner_speed_world as places
from benchmarks.planner_speed_plan import timed
from benchmarks.planner_speed_world import Weather
from carbon_ray.core.workload import Overheads
from carbon_ray.forecasting.naive import Persistence
from carbon_ray.policies.fleet.policy import FleetReplan
from carbon_ray.policies.replan import Replan
from carbon_ray.sim.engine import simulate
from carbon_ray.sim.forecasts import Clairvoyant, IssuedForecasts
from carbon_ray.sim.jobs import JobSet, Template, fixed_slack, job_set, random_rows
from carbon_ray.sim.results import Run
from carbon_ray.sim.world import Control, World

MONTH, DAY = 1, 10
"""When the first job may come."""
HISTORY = timedelta(days=9)
JOBS, DAYS = 10_000, 350
"""Jobs of the full run, and the days over which they arrive."""
SAMPLE = 500
"""Jobs with which the variants are compared."""
LENGTHS_H = (1.0, 6.0, 12.0, 24.0)
SLACK_H = 24.0
NODES = 1000
"""Of each region: more than the jobs of any hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What is simulated."""

    world: World
    jobs: JobSet


def scenario(count: int, seed: int, weather: Weather) -> Scenario:
    """Jobs in all regions, every region home in turn, as dense as 10,000 in 350 days."""
    names, days, start_at = weather.zones, DAYS * count / JOBS, weather.at(MONTH, DAY)
    truth = weather.intensities(start_at - HISTORY, HISTORY + timedelta(days=int(days) + 5), seed)
    template = Template(
        start_at=start_at,
        regions=names,
        slack=fixed_slack(SLACK_H),
        overheads=Overheads(checkpoint_h=0.05, restore_h=0.10, migrate_h=0.5),
    )
    rows = random_rows(seed, count=count, days=days, lengths_h=LENGTHS_H)
    regions = {name: places.region(name, NODES) for name in names}
    return Scenario(world=World(regions=regions, truth=truth), jobs=job_set("year", rows, template))


def run(one: Scenario, *, is_fleet: bool = False, is_clairvoyant: bool = False) -> Run:
    """Simulate all of it.

    Args:
        one: What.
        is_fleet: All jobs of a tick are decided in one call, and not each by itself.
        is_clairvoyant: The truth in place of forecasts issued every hour from the past: the simulator without a model's work.
    """
    source = Clairvoyant(one.world.truth) if is_clairvoyant else IssuedForecasts(one.world.truth, Persistence())
    policy = FleetReplan(slot_s=3600.0) if is_fleet else Replan(slot_s=3600.0)
    return simulate(one.world, one.jobs, policy, source, Control(tick_s=3600.0))


def _rate(count: int, seed: int, weather: Weather, *, is_fleet: bool, is_clairvoyant: bool) -> dict[str, Any]:
    one = scenario(count, seed, weather)
    before_s = time.process_time()
    seconds, done = timed(lambda: run(one, is_fleet=is_fleet, is_clairvoyant=is_clairvoyant))
    return {
        "policy": "fleet" if is_fleet else "carbon_ray",
        "forecaster": done.forecaster,
        "jobs": len(done.jobs),
        "jobs_per_s": len(done.jobs) / seconds,
        "seconds": seconds,
        "cpu_seconds": time.process_time() - before_s,
        "decisions": done.decided,
        "deadline_misses": sum(job.is_missed for job in done.jobs),
    }


def measure(seed: int, *, weather: Weather, jobs: int = JOBS) -> dict[str, Any]:
    """Jobs a second.

    Args:
        seed: Of the jobs and of embedded weather.
        weather: Regions and intensities.
        jobs: Of the run that counts; the variants have 500 at most.
    """
    for is_fleet in (False, True):
        run(scenario(3, seed, weather), is_fleet=is_fleet)  # compiled
    sample = min(SAMPLE, jobs)
    variants = [
        _rate(sample, seed, weather, is_fleet=is_fleet, is_clairvoyant=is_clairvoyant)
        for is_fleet, is_clairvoyant in ((False, False), (False, True), (True, False), (True, True))
    ]
    counts = variants[0] if jobs == sample else _rate(jobs, seed, weather, is_fleet=False, is_clairvoyant=False)
    return {
        "sim_jobs_per_s": counts["jobs_per_s"],
        "sim_run": counts,
        "sim_variants": variants,
        "sim_scenario": {
            "regions": len(weather.zones),
            "days": DAYS * counts["jobs"] / JOBS,
            "lengths_h": LENGTHS_H,
            "slack_h": SLACK_H,
            "slots_and_ticks_s": 3600.0,
            "intensity": str(weather),
        },
    }
