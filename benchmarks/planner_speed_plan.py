"""How fast one workload is planned: against plain forward programmes on the same instances, and with growing instances."""

from __future__ import annotations

import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.instances import DATA, Moving, one_workload, random_instance
from benchmarks.planner_speed_world import Weather
from benchmarks.reference_programme import least_cost
from carbon_ray.core.errors import ConfigError
from carbon_ray.core.intensity import FloatArray
from carbon_ray.policies.programme import Initial, Problem, Solution, solve

REGIONS, HOURS, QUANTA = 24, 168, 96
"""Size at which the speed is stated; every pair of regions has a migration cost of its own."""
RELATIVE_TOLERANCE = 1e-9
HOME = 0

Reference = Callable[[FloatArray, Moving, int], float]
"""Intensity, costs of moving and quanta to the least cost."""


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that a call takes, and what it returns."""
    begin = time.perf_counter()
    result = call()
    return time.perf_counter() - begin, result


def default_reference() -> Path | None:
    """A forward programme beside the reference data, where there is one."""
    return next(iter(sorted(DATA.parent.glob("*/decide/reference_dp.py"))), None)


def reference_in(path: Path) -> Reference:
    """The forward programme of a file: `optimum(ci, quanta, home, write_h, restore_h, move_h)` with `ci` of shape (1, T, R).

    Raises:
        ConfigError: The file is not there or has no such function.
    """
    spec = importlib.util.spec_from_file_location("benchmarks_external_reference", path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise ConfigError(f"{path} is no Python file; give one with --reference")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    optimum = getattr(module, "optimum", None)
    if optimum is None:
        raise ConfigError(f"{path} has no function optimum(ci, quanta, home, write_h, restore_h, move_h)")

    def cost(intensity: FloatArray, moving: Moving, quanta: int) -> float:
        return float(optimum(intensity[None], quanta, HOME, moving.write_h, moving.restore_h, moving.move_h)[0])

    return cost


def plain(intensity: FloatArray, moving: Moving, quanta: int) -> float:
    """The forward programme of this repository."""
    return least_cost(intensity, quanta, HOME, moving)


def planned(problem: Problem) -> Solution:
    """What is timed: costs in, optimum and plan out."""
    return solve(problem, Initial(region=HOME, origin=HOME))


def first_call_s() -> float:
    """Seconds of the first plan of this process, compilation or loading of compiled code included."""
    intensity, moving = random_instance(np.random.default_rng(0), 4, 2)
    problem = one_workload(intensity, 2, moving)
    return timed(lambda: planned(problem))[0]


def first_calls() -> dict[str, float]:
    """Seconds of the first plan of two new processes: with nothing compiled before, and with the code compiled by the other one."""
    code = "from benchmarks.planner_speed_plan import first_call_s; print(first_call_s())"
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
        found = [
            float(subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True).stdout)
            for _ in range(2)
        ]
    return {"first_compile_s": found[0], "first_call_from_cache_s": found[1]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One instance solved by everybody.

    Attributes:
        plan_s: Seconds of `solve`, plan included: mean of the calls around each reference.
        reference_s: Seconds by name of the reference.
        relative_difference: Largest difference of a reference's optimum from ours.
    """

    plan_s: float
    reference_s: dict[str, float]
    relative_difference: float


def instance(rng: np.random.Generator, weather: Weather) -> tuple[FloatArray, Moving]:
    """Costs of moving, drawn, and intensities: independent numbers, or a week of the trace where there is one."""
    if weather.table is None:
        return random_instance(rng, HOURS, REGIONS)
    _, moving = random_instance(rng, 1, len(weather.zones))
    first, last = weather.table.year(weather.year)
    start = int(rng.integers(first, last - HOURS + 1))
    return weather.table.values_gco2_per_kwh[start : start + HOURS], moving


def one_round(rng: np.random.Generator, references: dict[str, Reference], weather: Weather) -> Round:
    """Draw an instance; ours, a reference, ours, the next one, ours.

    Raises:
        AssertionError: Optima differ by more than `RELATIVE_TOLERANCE`.
    """
    intensity, moving = instance(rng, weather)
    problem = one_workload(intensity, QUANTA, moving)
    ours, theirs, difference = list[float](), dict[str, float](), 0.0
    seconds, solution = timed(lambda: planned(problem))
    ours.append(seconds)
    for name, reference in references.items():
        theirs[name], cost = timed(lambda reference=reference: reference(intensity, moving, QUANTA))  # type: ignore[misc]
        ours.append(timed(lambda: planned(problem))[0])
        difference = max(difference, abs(cost - solution.cost) / cost)
    assert difference <= RELATIVE_TOLERANCE, f"optima differ by {difference:.2g}; a speed means nothing then"
    return Round(plan_s=statistics.fmean(ours), reference_s=theirs, relative_difference=difference)


def measure(rounds: int, seed: int, reference: Path | None, weather: Weather) -> dict[str, Any]:
    """Ratios of seconds on the same instances in the same run.

    Args:
        rounds: Instances.
        seed: Of their draw.
        reference: File of another forward programme, which then is what `plan_speedup` is measured against.
        weather: Intensities where they are those of a trace.
    """
    references: dict[str, Reference] = {"reference_programme": plain}
    if reference is not None:
        references[reference.stem] = reference_in(reference)
    against = reference.stem if reference is not None else "reference_programme"
    rng, first = np.random.default_rng(seed), first_calls()
    first_call_s()
    done = [one_round(rng, references, weather) for _ in range(rounds)]
    ratios = {name: [one.reference_s[name] / one.plan_s for one in done] for name in references}
    return {
        "plan_speedup": statistics.median(ratios[against]),
        "plan_speedup_against": against,
        "plan_speedup_by_reference": {
            name: {"median": statistics.median(values), "min": min(values), "max": max(values)} for name, values in ratios.items()
        },
        "plan_s": statistics.median(one.plan_s for one in done),
        "reference_s": {name: statistics.median(one.reference_s[name] for one in done) for name in references},
        "plan_rounds": [
            {"plan_s": one.plan_s, "reference_s": one.reference_s, "relative_difference": one.relative_difference} for one in done
        ],
        "plan_size": {
            "regions": len(weather.zones) if weather.table else REGIONS,
            "hours": HOURS,
            "quanta": QUANTA,
            "migration_costs": "a full matrix, pairwise different",
        },
        "plan_largest_relative_difference": max(one.relative_difference for one in done),
        **first,
    }


if __name__ == "__main__":
    print(json.dumps(measure(1, 0, default_reference(), Weather.embedded()), indent=1))
