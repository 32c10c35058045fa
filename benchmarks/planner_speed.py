"""How fast carbon_ray plans: one workload, a fleet under capacity, and a simulated year.

    python -m benchmarks.planner_speed --json benchmarks/results/planner_speed.json
    python -m benchmarks.planner_speed --traces FILE --zones DE,ES,US-CAL-CISO --year 2022 --json OUT

Without a trace one workload is planned on random numbers, and fleet and year on the profiles shipped in the package; with one, all three
on its zones. Speed does not depend on the numbers, only on how many zones there are; growth is always measured on random numbers, since no
trace has as many zones as that takes.

Every speed is a ratio to something else that solves the same instances in the same run, and the answers are compared first. The
picture of how one plan's time grows stands beside the JSON, under the same name. A part whose module cannot be imported has null
in place of its numbers, and the reason.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from typing import Any

from benchmarks import planner_speed_growth, planner_speed_plan, record
from benchmarks.planner_speed_world import YEAR, Weather
from carbon_ray.core.errors import CarbonRayError

QUICK_SIM_JOBS = 500
PARTS = {
    "fleet": ("benchmarks.planner_speed_fleet", {"fleet_speedup": None, "fleet_gap_fraction": None}),
    "sim": ("benchmarks.planner_speed_sim", {"sim_jobs_per_s": None}),
}
"""Parts that need a module of their own, and their fields without it."""


def part(name: str, **options: Any) -> dict[str, Any]:
    """Measure a part, or say why that cannot be done."""
    module_name, empty = PARTS[name]
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        return {**empty, f"{name}_reason": f"cannot be measured: {error}"}
    found: dict[str, Any] = module.measure(**options)
    return found


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; 0, or 2 with one line on bad input."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--traces", type=Path, default=None, help="CSV or Parquet with zone, time_utc, gco2_per_kwh, kind")
    parser.add_argument("--zones", default="", help="comma-separated; all of the trace by default; nothing without a trace")
    parser.add_argument("--year", type=int, default=YEAR, help="of the trace; nothing without one")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="fewer and smaller instances: some minutes")
    parser.add_argument("--rounds", type=int, default=None, help="instances of one workload")
    parser.add_argument("--sim-jobs", type=int, default=None, help="jobs that are simulated")
    parser.add_argument(
        "--reference",
        type=Path,
        default=planner_speed_plan.default_reference(),
        help="Python file of another forward programme; plan_speedup is then against that, and not against the one of this repository",
    )
    options = parser.parse_args(arguments)
    seed, rounds = options.seed, options.rounds or (2 if options.quick else 7)
    sim_jobs = options.sim_jobs or (QUICK_SIM_JOBS if options.quick else 10_000)
    try:
        weather = Weather.of_trace(options.traces, options.zones, options.year) if options.traces else Weather.embedded()
        result = planner_speed_plan.measure(rounds, seed, options.reference, weather)
    except CarbonRayError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    say(result, "plan_speedup", "plan_speedup_against", "plan_s", "first_compile_s")
    result["plan_growth"] = planner_speed_growth.measure(seed, quick=options.quick)
    planner_speed_growth.draw(result["plan_growth"], options.json.with_suffix(".svg"))
    print({axis: round(one["exponent"], 2) for axis, one in result["plan_growth"].items()}, flush=True)
    result |= part("fleet", seed=seed, weather=weather, quick=options.quick)
    say(result, "fleet_speedup", "fleet_gap_fraction", "fleet_compared_at")
    result |= part("sim", seed=seed, weather=weather, jobs=sim_jobs)
    say(result, "sim_jobs_per_s", "sim_run")
    record.write(options.json, {"benchmark": "planner_speed", "seed": seed, "quick": options.quick, "intensity": str(weather), **result})
    return 0


def say(result: dict[str, Any], *names: str) -> None:
    """Print some fields."""
    print({name: result.get(name) for name in names}, flush=True)


if __name__ == "__main__":
    sys.exit(main())
