"""All gates in one go: published results and known optima, reproduced before anything new is compared with them.

    python -m benchmarks.gates --json benchmarks/results/gates.json
    python -m benchmarks.gates --traces FILE --zones DE,ES --year 2022 --json OUT

What is published was computed on certain data, so that no other trace can stand in for them: they are read from --data. A trace of one's
own adds a gate: the exact programme's optima on windows of it against those of the plain forward programme of this repository.

Each gate is a function from the data to a line: how many numbers were compared, the largest deviation among them, and what is
tolerated. The exit code is 1 where one fails. The tests in tests/gates call the gates of the exact programme here on a sample.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import record
from benchmarks.instances import DATA, FREE, Moving, one_workload, rows
from benchmarks.reference_programme import cost_of_plan, least_cost
from benchmarks.replicas import gaia, lwa
from benchmarks.traces import HourlyTable, read_table
from carbon_ray.core.clock import parse_utc
from carbon_ray.core.errors import ConfigError
from carbon_ray.core.intensity import FloatArray
from carbon_ray.policies.baselines.windows import cheapest_slots, window_sums
from carbon_ray.policies.programme import Initial, Problem, solve


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One comparison.

    Attributes:
        name: What is reproduced.
        compared: Numbers compared.
        deviation: Largest deviation among them.
        tolerance: Largest that passes.
        unit: Of both.
    """

    name: str
    compared: int
    deviation: float
    tolerance: float
    unit: str

    @property
    def passed(self) -> bool:
        """True if everything is within the tolerance, and there was something to compare."""
        return self.compared > 0 and self.deviation <= self.tolerance

    def __str__(self) -> str:
        verdict = "pass" if self.passed else "FAIL"
        return (
            f"{verdict}  {self.name}: {self.compared:,} numbers, largest deviation {self.deviation:.2g} of {self.tolerance:g} {self.unit}"
        )


class _Deviations:
    """Collects found and expected values."""

    def __init__(self) -> None:
        self.largest, self.count = 0.0, 0

    def add(self, found: float, expected: float, *, relative: bool = False) -> None:
        deviation = abs(found - expected) / (abs(expected) if relative else 1.0)
        self.largest = max(self.largest, deviation if np.isfinite(deviation) else np.inf)  # a NaN must not pass
        self.count += 1

    def gate(self, name: str, tolerance: float, unit: str) -> Gate:
        return Gate(name=name, compared=self.count, deviation=self.largest, tolerance=tolerance, unit=unit)


def golden(data: Path, name: str) -> Any:
    """A JSON file of the golden results."""
    path = data / "golden" / name
    if not path.is_file():
        raise ConfigError(f"{path} is not there; set CARBON_RAY_DATA to the directory of the reference data")
    return json.loads(path.read_text())


def _priced(problem: Problem, home: int) -> tuple[float, float]:
    """The optimum as the programme states it, and as a walk along its plan prices it."""
    solution = solve(problem, Initial(region=home, origin=home))
    return solution.cost, cost_of_plan(problem, home, solution.path, solution.levels)


def eurosys_cases(data: Path) -> Iterator[tuple[FloatArray, int, dict[str, float]]]:
    """Intensity of the window, hours of work, and the published sums."""
    trace = rows(data / "golden" / "eurosys_trace_2022.csv.gz")
    zones = {zone: np.array([float(row[zone]) for row in trace]) for zone in trace[0] if zone != "hour"}
    for row in rows(data / "golden" / "eurosys_expected.csv.gz"):
        start, length = int(row["start_hour"]), int(row["job_h"])
        window = zones[row["zone"]][start : start + length + int(row["slack_h"])]
        yield window, length, {name: float(row[name]) for name in ("run_now", "non_interruptible", "interruptible")}


def eurosys_rules(data: Path) -> Gate:
    """EuroSys 2024: run-now, the best block and the cheapest hours, by the functions that the rules decide with."""
    deviations = _Deviations()
    for ci, length, expected in eurosys_cases(data):
        sums = window_sums(ci, length)
        found = {"run_now": sums[0], "non_interruptible": sums.min(), "interruptible": ci[cheapest_slots(ci, length)].sum()}
        for name, value in found.items():
            deviations.add(float(value), expected[name])
    return deviations.gate("EuroSys 2024, rules", 1e-6, "g/kWh x h")


def eurosys_programme(data: Path, every: int = 1) -> Gate:
    """EuroSys 2024: the exact programme in one region where pauses are free, and where a segment must be as long as the job.

    Args:
        data: Directory of the reference data.
        every: Solve one case of so many.
    """
    deviations = _Deviations()
    for number, (ci, length, expected) in enumerate(eurosys_cases(data)):
        if number % every:
            continue
        for name, shortest in (("interruptible", 1), ("non_interruptible", length)):
            for found in _priced(one_workload(ci[:, None], length, FREE, shortest_slots=shortest), 0):
                deviations.add(found, expected[name])
    return deviations.gate("EuroSys 2024, exact programme", 1e-6, "g/kWh x h")


def dp_small(data: Path) -> Gate:
    """200 small random cases of which all plans were enumerated: optimum, and what its plan costs."""
    deviations = _Deviations()
    for case in golden(data, "dp_small.json")["instances"]:
        moving = Moving(write_h=case["ow"], restore_h=case["or"], move_h=case["om"])
        ci = np.array(case["ci"], dtype=np.float64)
        for found in _priced(one_workload(ci, case["J"], moving), case["home"]):
            deviations.add(found, case["optimal_cost"])
        alone, _ = _priced(one_workload(ci[:, [case["home"]]], case["J"], moving), 0)
        deviations.add(alone, case["optimal_cost_home_only"])
    return deviations.gate("enumerated optima (dp_small)", 1e-6, "g/kWh x h")


def dp_real(data: Path) -> Gate:
    """60 cases on real intensities: optimum over all zones, at home only, and without moving costs."""
    meta = golden(data, "dp_real.json")
    zones, costs = meta["zones_in_order"], meta["overheads"]
    moving = Moving(write_h=costs["ow"], restore_h=costs["or"], move_h=costs["om"])
    cases = rows(data / "golden" / "dp_real.csv")
    table = read_table(data / "ci_hourly_dev.parquet", tuple(zones))
    deviations = _Deviations()
    for row in cases:
        start, length = table.position(parse_utc(row["start_utc"])), int(row["job_h"])
        ci, home = table.values_gco2_per_kwh[start : start + length + int(row["slack_h"])], zones.index(row["home"])
        for found in _priced(one_workload(ci, length, moving), home):
            deviations.add(found, float(row["optimal"]), relative=True)
        for found in _priced(one_workload(ci[:, [home]], length, moving), 0):
            deviations.add(found, float(row["optimal_home_only"]), relative=True)
        free, _ = _priced(one_workload(ci, length, FREE), home)
        deviations.add(free, float(row["lower_bound_free_moves"]), relative=True)
    return deviations.gate("optima on real intensities (dp_real)", 1e-6, "relative")


EXAMPLE = np.array([[300, 100, 400, 120, 500, 110], [250, 260, 90, 270, 280, 95]], dtype=np.float64).T
"""Two regions, six hours, of which three are worked; home is the first. Optima by hand: `example`."""


def example(_: Path | None = None) -> Gate:
    """The example of the benchmark protocol: five costs of moving, five optima; needs no data."""
    home, usual = EXAMPLE[:, :1], Moving()
    expected = (
        (358.0, one_workload(EXAMPLE, 3, usual)),
        (364.0, one_workload(home, 3, usual)),
        (285.0, one_workload(EXAMPLE, 3, FREE)),
        (330.0, one_workload(home, 3, FREE)),
        (364.0, one_workload(EXAMPLE, 3, replace(usual, move_h=2.0))),
    )
    deviations = _Deviations()
    for cost, problem in expected:
        for found in _priced(problem, 0):
            deviations.add(found, cost)
    return deviations.gate("worked example", 1e-9, "g/kWh x h")


def _gaia(data: Path) -> tuple[Any, list[gaia.Job], gaia.Trace]:
    hourly = np.array([float(row["gco2_per_kwh"]) for row in rows(data / "golden" / "gaia_au_sa.csv")])
    table = rows(data / "jobs" / "pai_1k.csv")
    jobs = gaia.jobs_of(*([float(row[name]) for row in table] for name in ("arrival_time", "length", "cpus")))
    return golden(data, "gaia.json"), jobs, gaia.Trace.hourly(hourly)


def gaia_totals(data: Path) -> Gate:
    """GAIA (ASPLOS 2024): emissions of the six policies."""
    published, jobs, trace = _gaia(data)
    deviations = _Deviations()
    for name, policy in gaia.POLICIES.items():
        deviations.add(gaia.run(policy, jobs, trace).gco2, published["raw_total_carbon"][name], relative=True)
    return deviations.gate("GAIA (ASPLOS 2024)", 1e-9, "relative")


def gaia_known_lengths(data: Path) -> Gate:
    """GAIA's two policies that look at windows, told the true lengths; expected values have six digits."""
    published, jobs, trace = _gaia(data)
    known, deviations = [replace(job, expected=job.length) for job in jobs], _Deviations()
    for name in ("Lowest-Window", "Carbon-Time"):
        expected = published["own_extra_checks"][f"{name} with true length"]["total"]
        deviations.add(gaia.run(gaia.POLICIES[name], known, trace).gco2, expected)
    return deviations.gate("GAIA, known lengths", 0.0005, "g")


def lwa_savings(data: Path, error: float) -> Gate:
    """Let's Wait Awhile (Middleware 2021): savings in three grids by both deadline rules and strategies, in points.

    Args:
        data: Directory of the reference data.
        error: Noise of the forecasts relative to the mean; the published savings with noise rest on few seeds.
    """
    published = golden(data, "lwa.json")["expected_saving_pct"]
    table, series = rows(data / "golden" / "lwa_jobs.csv.gz"), rows(data / "golden" / "lwa_ci_halfhourly.csv.gz")
    columns = {name: [int(row[name]) for row in table] for name in table[0]}
    deadlines: dict[str, Sequence[int]] = {rule: columns[f"deadline_{rule}_min"] for rule in ("next_workday", "semi_weekly")}
    jobs = lwa.Jobs.of_minutes(columns["submit_min"], columns["duration_min"], deadlines)
    deviations = _Deviations()
    for zone in ("DE", "GB", "FR"):
        ci = np.array([float(row[zone]) for row in series if row[zone]])
        for (deadline, strategy, level), found in lwa.savings_percent(ci, jobs, [error], range(10)).items():
            deviations.add(found, published[zone][f"{deadline}_{strategy}"][f"{level:g}"])
    return deviations.gate(f"Let's Wait Awhile (Middleware 2021), noise {error:.0%}", 0.05 if error else 0.02, "points")


GATES: tuple[Callable[[Path], Gate], ...] = (
    example,
    dp_small,
    dp_real,
    eurosys_rules,
    eurosys_programme,
    gaia_totals,
    gaia_known_lengths,
    lambda data: lwa_savings(data, 0.0),
    lambda data: lwa_savings(data, 0.05),
    lambda data: lwa_savings(data, 0.1),
)
"""In the order in which they are run."""


WINDOWS, RUN_H, SLACK_H = 20, 24, 24
"""Windows of a trace that are solved twice, and the work and slack in each."""


def own_trace(table: HourlyTable, year: int, seed: int = 0) -> Gate:
    """Windows of a trace, drawn: the optimum of the exact programme, and what its plan costs, against the plain forward programme's.

    Args:
        table: Of the zones, each of which is home.
        year: Of the windows.
        seed: Of their draw.

    Raises:
        ConfigError: The trace has too little of the year.
    """
    first, last = table.year(year)
    if last - first < RUN_H + SLACK_H:
        raise ConfigError(f"the trace holds {last - first} hours of {year}; a window takes {RUN_H + SLACK_H}")
    deviations, moving, random = _Deviations(), Moving(), np.random.default_rng(seed)
    for start in random.integers(first, last - RUN_H - SLACK_H + 1, WINDOWS):
        window = table.values_gco2_per_kwh[start : start + RUN_H + SLACK_H]
        for home in range(len(table.zones)):
            expected = least_cost(window, RUN_H, home, moving)
            for found in _priced(one_workload(window, RUN_H, moving), home):
                deviations.add(found, expected, relative=True)
    return deviations.gate(f"optima on the given trace, {year}", 1e-9, "relative")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--traces", type=Path, default=None, help="CSV or Parquet with zone, time_utc, gco2_per_kwh, kind: adds a gate")
    parser.add_argument("--zones", default="", help="comma-separated zones of --traces")
    parser.add_argument("--year", type=int, default=None, help="year of --traces")
    parser.add_argument("--data", type=Path, default=DATA, help="directory of the reference data; CARBON_RAY_DATA by default")
    options = parser.parse_args(arguments)
    gates = list[Gate]()
    if (options.traces is None) != (not options.zones) or (options.traces is None) != (options.year is None):
        parser.error("give --traces, --zones and --year together, or none of them")
    try:
        if options.traces is not None:
            gates.append(own_trace(read_table(options.traces, tuple(options.zones.split(","))), options.year))
            print(gates[-1], flush=True)
        for run in GATES:
            gates.append(run(options.data))
            print(gates[-1], flush=True)
    except ConfigError as error:
        parser.error(str(error))
    if options.json:
        results = [{**asdict(gate), "passed": gate.passed} for gate in gates]
        trace = {"traces": options.traces.name, "zones": options.zones.split(","), "year": options.year} if options.traces else None
        record.write(
            options.json, {"benchmark": "gates", "own_trace": trace, "passed": all(gate.passed for gate in gates), "results": results}
        )
    return 0 if all(gate.passed for gate in gates) else 1


if __name__ == "__main__":
    sys.exit(main())
