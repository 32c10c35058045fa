"""What elastic work gains from also moving in space: joint optimum against elastic at home and rigid in all regions, clairvoyant.

    python -m benchmarks.elastic --traces ci_hourly.parquet --year 2022 --json benchmarks/results/elastic.json

One to four workers by the throughput and power of the two profiles that CarbonScaler was published with. Every zone of a set is
home in turn, starts are 97 hours apart. All three plans pay the same overheads; changing the worker count is a pause and a resume.
The intensity is known, so these are optima and not policies. Two bounds without overheads stand beside them: CarbonScaler's greedy
plan at home, and the same greedy plan on the lowest intensity of all zones.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import record
from benchmarks.instances import Moving, one_workload
from benchmarks.traces import read_table
from carbon_ray.core.intensity import FloatArray
from carbon_ray.policies.baselines.carbon_scaler import greedy_scaling
from carbon_ray.policies.programme import IDLE, Initial, Problem, solve
from carbon_ray.sim.statistics import bootstrap_savings, interval_of, saving_fraction

SETS: dict[str, tuple[str, ...]] = {
    "A": ("US-CAL-CISO", "US-TEX-ERCO", "US-MIDA-PJM", "DE", "ES", "JP-TK"),
    "B": ("ES", "DE"),
    "C": ("US-CAL-CISO", "US-TEX-ERCO", "DE", "AU-NSW", "ZA"),
    "D": ("US-CAL-CISO", "US-TEX-ERCO", "US-MIDA-PJM", "US-FLA-FPL"),
    "E": ("US-CAL-CISO", "US-TEX-ERCO", "US-MIDA-PJM", "DE", "ES", "CA-ON"),
}
JOBS = ((24, 24), (24, 168))
"""Hours of work with one worker, and hours of slack."""
MOST_WORKERS = 4
STARTS_EVERY_H = 97
MARGIN_H = 24
BLOCK_DAYS = {24: 1, 168: 2}
"""Start days drawn together by the bootstrap, by slack: a week has two of them."""
PROFILE_TOLERANCE = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Throughput and power by worker count, from one worker on.

    Source: CarbonScaler (SIGMETRICS 2024), the artifact's measured profiles, github.com/umassos/CarbonScaler.
    """

    throughput: tuple[float, ...]
    power_w: tuple[float, ...]

    @property
    def relative_power(self) -> tuple[float, ...]:
        """Power relative to one worker."""
        return tuple(one / self.power_w[0] for one in self.power_w)


PROFILES = {
    "nbody100k": Profile(throughput=(1757.89, 3496.40, 5104.39, 6661.95), power_w=(54.78, 109.80, 161.22, 217.61)),
    "nbody10k": Profile(throughput=(16130.26, 26084.90, 34977.82, 41228.85), power_w=(51.99, 104.87, 154.73, 207.53)),
}


def whole_quanta(throughput: Sequence[float], tolerance: float = PROFILE_TOLERANCE) -> tuple[int, ...]:
    """Quanta a slot for every worker count, as few as meet the profile to within a relative tolerance."""
    relative = np.array(throughput) / throughput[0]
    for first in range(1, 1000):
        quanta = np.round(relative * first)
        if (np.abs(quanta / (relative * first) - 1) <= tolerance).all():
            return tuple(int(one) for one in quanta)
    raise ValueError(f"no quanta up to 1000 fit the profile {tuple(throughput)} within {tolerance:g}; allow more")


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One optimal plan.

    Attributes:
        gco2: Emissions, g.
        finish_h: Hours from submission to the end.
        segments: Stretches in one region with one worker count.
        moves: Of those, starts in another region than the one before, the first one not counted.
        mean_workers: Mean over the hours that are worked.
    """

    gco2: float
    finish_h: float
    segments: int
    moves: int
    mean_workers: float


def plan(problem: Problem, home: int) -> Planned:
    """Solve, and read the plan."""
    solution = solve(problem, Initial(region=home, origin=home))
    path, levels = np.array(solution.path), np.array(solution.levels)
    runs = path != IDLE
    pairs = np.stack([path, levels])
    begins = runs & np.append(True, (pairs[:, 1:] != pairs[:, :-1]).any(axis=0))
    done = problem.speed[levels[runs]]
    last = (problem.quanta - int(done[:-1].sum())) / int(done[-1])  # the last slot is used in part
    return Planned(
        gco2=solution.cost,
        finish_h=len(path) - 1 + last,
        segments=int(begins.sum()),
        moves=int(np.count_nonzero(np.diff(path[begins]))),
        mean_workers=float((levels[runs] + 1).mean()),
    )


def starts(hours: int, window_h: int) -> range:
    """Hours of submission."""
    return range(MARGIN_H, hours - window_h - MARGIN_H, STARTS_EVERY_H)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cases:
    """All homes and starts of one set, one job and one profile.

    Attributes:
        run_now: Emissions of one worker at home from the start, g, shape (cases,).
        bounds: Emissions without overheads, g, by name, shape (cases,).
        plans: By name, one a case.
        days: Start day of each case.
    """

    run_now: FloatArray
    bounds: dict[str, FloatArray]
    plans: dict[str, list[Planned]]
    days: NDArray[np.int64]

    def gco2(self, name: str) -> FloatArray:
        """Emissions of a kind of plan, g, shape (cases,)."""
        return np.array([one.gco2 for one in self.plans[name]])


ELASTIC, RIGID, JOINT = "elastic at home", "rigid in all regions", "elastic in all regions"


def solve_cases(trace: FloatArray, job_h: int, slack_h: int, profile: Profile, moving: Moving) -> Cases:
    """Every home and start.

    Args:
        trace: Intensity of a year, shape (hours, zones).
        job_h: Hours of work with one worker.
        slack_h: Hours of slack.
        profile: What more workers do.
        moving: Overheads, in hours of one worker.

    Raises:
        AssertionError: The joint optimum of a case is worse than one of those that it contains, or better than a bound.
    """
    speed, power = whole_quanta(profile.throughput), profile.relative_power
    throughput = [one / speed[0] for one in speed]  # what is planned with, for the bounds as well
    run_now, days = list[float](), list[int]()
    bounds: dict[str, list[float]] = {ELASTIC: [], JOINT: []}
    plans: dict[str, list[Planned]] = {ELASTIC: [], RIGID: [], JOINT: []}
    for start in starts(len(trace), job_h + slack_h):
        window = trace[start : start + job_h + slack_h]
        joint = one_workload(window, job_h * speed[0], moving, speed=speed, power=power)
        rigid = one_workload(window, job_h, moving)
        everywhere = _greedy(window.min(axis=1), job_h, throughput, power)
        for home in range(trace.shape[1]):
            alone = one_workload(window[:, [home]], job_h * speed[0], moving, speed=speed, power=power)
            found = {ELASTIC: plan(alone, 0), RIGID: plan(rigid, home), JOINT: plan(joint, home)}
            at_home = _greedy(window[:, home], job_h, throughput, power)
            best = min(found[ELASTIC].gco2, found[RIGID].gco2)
            assert found[JOINT].gco2 <= best * (1 + 1e-9), f"start {start}, home {home}: the joint optimum {found[JOINT].gco2} above {best}"
            assert everywhere <= found[JOINT].gco2 * (1 + 1e-9), f"start {start}, home {home}: below the bound without overheads"
            assert at_home <= found[ELASTIC].gco2 * (1 + 1e-9), f"start {start}, home {home}: below the bound without overheads"
            for name, one in found.items():
                plans[name].append(one)
            bounds[ELASTIC].append(at_home)
            bounds[JOINT].append(everywhere)
            run_now.append(float(window[:job_h, home].sum()))
            days.append(start // 24)
    return Cases(
        run_now=np.array(run_now),
        bounds={name: np.array(values) for name, values in bounds.items()},
        plans=plans,
        days=np.array(days, dtype=np.int64),
    )


def _greedy(values: FloatArray, job_h: int, throughput: Sequence[float], power: Sequence[float]) -> float:
    shares = greedy_scaling(values, float(job_h), throughput, power)
    return float((values @ shares) @ np.diff([0.0, *power]))


def table(cases: Cases, job_h: int, slack_h: int, seed: int) -> dict[str, Any]:
    """Savings in percent against run-now, with delays, and what the joint optimum gains over the better of the two others."""
    rows, names = dict[str, Any](), (ELASTIC, RIGID, JOINT)
    savings = {name: 100 * saving_fraction(cases.gco2(name), cases.run_now) for name in names}
    drawn = bootstrap_savings(
        np.stack([cases.gco2(name) for name in names]), cases.run_now, cases.days, block_days=BLOCK_DAYS[slack_h], seed=seed
    )
    for index, name in enumerate(names):
        interval, plans = interval_of(100 * drawn[index]), cases.plans[name]
        rows[name] = {
            "saving_percent": savings[name],
            "interval95_percent": [interval.low, interval.high],
            "mean_finish_delay_h": float(np.mean([one.finish_h - job_h for one in plans])),
            "mean_segments": float(np.mean([one.segments for one in plans])),
            "mean_moves": float(np.mean([one.moves for one in plans])),
            "mean_workers": float(np.mean([one.mean_workers for one in plans])),
        }
    better = max((ELASTIC, RIGID), key=lambda name: savings[name])
    assert savings[JOINT] >= savings[better] - 1e-9, f"the joint optimum saves {savings[JOINT]} %, less than {better}"
    gain = interval_of(100 * (drawn[names.index(JOINT)] - drawn[names.index(better)]))
    return {
        "cases": len(cases.run_now),
        "run_now_g_per_kw": float(cases.run_now.mean()),
        "plans": rows,
        "better_of_two": better,
        "gain_points": savings[JOINT] - savings[better],
        "gain_interval95_points": [gain.low, gain.high],
        "saving_percent_without_overheads": {
            "greedy at home (CarbonScaler)": 100 * saving_fraction(cases.bounds[ELASTIC], cases.run_now),
            "greedy on the lowest of all regions": 100 * saving_fraction(cases.bounds[JOINT], cases.run_now),
        },
    }


def results(traces: Path, year: int, sets: Sequence[str], seed: int) -> Iterator[dict[str, Any]]:
    """Table of each set, job and profile."""
    for name in sets:
        hourly = read_table(traces, SETS[name])
        trace = hourly.values_gco2_per_kwh[slice(*hourly.year(year))]
        for job_h, slack_h in JOBS:
            for title, profile in PROFILES.items():
                cases = solve_cases(trace, job_h, slack_h, profile, Moving())
                found = {"set": name, "zones": SETS[name], "job_h": job_h, "slack_h": slack_h, "profile": title}
                yield {**found, "trace_hours": len(trace), **table(cases, job_h, slack_h, seed)}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--traces", type=Path, required=True, help="parquet: zone, time_utc, gco2_per_kwh, kind, source")
    parser.add_argument("--year", type=int, required=True)
    parser.add_argument("--sets", default=",".join(SETS), help="names of sets, with commas between them")
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--seed", type=int, default=7, help="of the bootstrap")
    options = parser.parse_args(arguments)
    if unknown := set(options.sets.split(",")) - set(SETS):
        parser.error(f"unknown sets {', '.join(sorted(unknown))}; use {', '.join(SETS)}")
    rows = list[dict[str, Any]]()
    for row in results(options.traces, options.year, options.sets.split(","), options.seed):
        rows.append(row)
        savings = ", ".join(
            f"{name} {one['saving_percent']:.1f} % (+{one['mean_finish_delay_h']:.0f} h)" for name, one in row["plans"].items()
        )
        print(f"{row['set']} {row['job_h']}/{row['slack_h']} {row['profile']}: {savings}; gain {row['gain_points']:.1f} points", flush=True)
    if options.json:
        setting = {
            "intensity": {"kind": "average_lifecycle", "year": options.year, "file": options.traces.name},
            "forecast": "clairvoyant",
            "overheads_h": {"checkpoint": Moving().write_h, "restore": Moving().restore_h, "migrate": Moving().move_h},
            "overheads_are": "hours of one worker, whatever the worker count",
            "most_workers": MOST_WORKERS,
            "quanta_per_slot": {name: whole_quanta(profile.throughput) for name, profile in PROFILES.items()},
            "starts": f"every {STARTS_EVERY_H} h from hour {MARGIN_H}; every zone of the set is home",
            "delay": "hours after the end of run-now with one worker; negative where more workers end sooner",
        }
        record.write(options.json, {"benchmark": "elastic", "seed": options.seed, "setting": setting, "results": rows})


if __name__ == "__main__":
    main()
