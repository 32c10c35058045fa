"""Hyperparameter sweeps under `CarbonAwareTuneScheduler` against the same sweeps run at once, on recorded curves and real hourly traces.

    python -m benchmarks.tune_sweep --traces FILE --zones US-CAL-CISO,DE --year 2022 --json OUT

A sweep is a random search of 200 configurations under ASHA, 12 hours on all its 8 slots, with 48 hours of slack; its trials are
recorded learning curves (`benchmarks.tune_curves`). The scheduler is the product's own object, driven through Tune's loop in virtual
time, and sees forecasts as they would have been issued. One row a zone, and one where trials may run in any of them. Everything is
simulated: hours of a trace, no machines.

What is stated: *carbon to the same score* is what a sweep has emitted, starts, pauses and all, when its best score first is that of the
base sweep's end (or within a tolerance of it); the base's own carbon is counted until then as well. A sweep that ends below that score is
charged with all that it emitted and with a base sweep run after it. *All carbon* counts both sweeps to their ends. `score_delta` is the
best score at the carbon that the whole base sweep emits, less the base's best, as a share of the span from the median to the best of the
task.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.issued import forecasts_named
from benchmarks.record import write
from benchmarks.sweep_courses import Course, Meter, Shape
from benchmarks.sweep_curves import CURVES, Task, read_tasks
from benchmarks.sweep_grid import IssuedForecasts, Issues
from benchmarks.sweep_world import EPOCH, Sweep, asha, run
from benchmarks.traces import HourlyTable, read_table
from carbon_ray.core.clock import ManualClock
from carbon_ray.core.errors import CarbonRayError, ConfigError
from carbon_ray.core.intensity import FloatArray
from carbon_ray.core.region import Region
from carbon_ray.policies.sweeps.policy import ReplannedSweep
from carbon_ray.sim.statistics import DRAWS, bootstrap_savings, interval_of, saving_fraction
from carbon_ray.tune.scheduler import CarbonAwareTuneScheduler

DAY = 24
WARM_UP_HOURS = 60 * DAY
"""Hours before the first start: what a forecaster of history alone needs."""
ANYWHERE = "any"
WHAT = "simulated: sweeps of recorded learning curves on real hourly traces; the definitions of the columns are in benchmarks/README.md"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Case:
    """One sweep at one start.

    Attributes:
        hour: Its start, in hours of the table.
        sweep: What is searched.
        base: How the base scheduler alone goes about it; the same at every start.
    """

    hour: int
    sweep: Sweep
    base: Course


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a case in one zone, or in any.

    Attributes:
        case: Task, start and the like, in words and numbers.
        base_gco2, gco2: All carbon of the base and of the wrapped sweep.
        base_to_score_gco2, to_score_gco2: Carbon to the same score.
        is_reached: The wrapped sweep reached the base's best score.
        score_delta: At equal carbon, as a share of the task's span.
        met: It ended before its deadline.
        bound_gco2: Of the clairvoyant choice of hours, for what the base takes at full concurrency, as a multiple of a slot's power.
        now_gco2: The same of running at once.
        course: How the wrapped sweep went.
    """

    case: dict[str, Any]
    base_gco2: float
    gco2: float
    base_to_score_gco2: float
    to_score_gco2: float
    is_reached: bool
    score_delta: float
    met: bool
    bound_gco2: float
    now_gco2: float
    course: Course


def starts(table: HourlyTable, year: int, span_h: float, count: int) -> tuple[int, ...]:
    """Start hours, spread over the year and over the hours of the day.

    Raises:
        ConfigError: The year does not hold so many.
    """
    first, last = table.year(year)
    first, last = max(first, WARM_UP_HOURS), last - int(span_h) - 2 * DAY
    days = (last - first) // DAY
    if days < count:
        raise ConfigError(
            f"{count} starts of {span_h:.0f} h with {WARM_UP_HOURS} h of history before them do not fit into {year}; give fewer --starts"
        )
    return tuple(first + DAY * (index * days // count) + 7 * index % DAY for index in range(count))


def cases(shape: Shape, hours: Sequence[int], seed: int, curves: Path) -> Iterator[Case]:
    """A sweep a start, the tasks in turn and every configuration's place drawn anew.

    Raises:
        ConfigError: There are no recorded curves, or too few.
    """
    tasks = read_tasks(curves)
    for index, hour in enumerate(hours):
        sweep = Sweep.of(tasks[index % len(tasks)], shape, seed + index)
        yield Case(hour=hour, sweep=sweep, base=run(sweep, asha(sweep.task.iterations), ManualClock(EPOCH)))


def simulate(case: Case, table: HourlyTable, issues: Issues, zones: Sequence[str], home: str, tolerance: float) -> Outcome:
    """Run a case with trials in some zones, and price it beside the base sweep in its home."""
    shape, clock = case.sweep.shape, ManualClock(table.start_at + timedelta(hours=case.hour))
    scheduler = CarbonAwareTuneScheduler(
        asha(case.sweep.task.iterations),
        policy=ReplannedSweep(move_h=shape.move_s / 3600.0),
        regions=[Region(name=zone, zone=zone, pue=1.0) for zone in zones],
        forecasts=IssuedForecasts(issues, table, clock),
        clock=clock,
        power_w=shape.power_w,
        deadline=timedelta(hours=shape.span_h),
        max_concurrency=shape.slots,
    )
    course = run(case.sweep, scheduler, clock, regions=zones, home=zones.index(home))
    meter = Meter(table, shape, zones)
    base = replace(case.base, start_at=course.start_at, end_at=course.start_at + timedelta(hours=case.base.makespan_h))
    at_home = table.zones.index(home)
    span = _span(case.sweep.task)
    final, base_gco2, gco2 = base.best[-1], meter.gco2(base, home=at_home), meter.gco2(course)
    target = final - tolerance * span
    base_to_score = meter.gco2(base, base.reached_h(target) or base.makespan_h, home=at_home)
    reached_h = course.reached_h(target)
    truth = table.values_gco2_per_kwh[case.hour : case.hour + int(shape.span_h)]
    hours, columns = int(shape.run_hours), [table.zones.index(zone) for zone in zones]
    return Outcome(
        case={
            "start_at": course.start_at.isoformat(),
            "task": case.sweep.task.name,
            "home": home,
            "base_best": final,
            "best": course.best[-1],
            "iterations": course.iterations,
            "base_iterations": base.iterations,
            "base_trial_h": base.trial_h,
            "base_makespan_h": base.makespan_h,
            "trial_h": course.trial_h,
            "makespan_h": course.makespan_h,
            "pauses": course.pauses,
            "moves": int((course.moves[:, 2] == shape.move_s).sum()),
        },
        base_gco2=base_gco2,
        gco2=gco2,
        base_to_score_gco2=base_to_score,
        to_score_gco2=gco2 + base_to_score if reached_h is None else meter.gco2(course, reached_h),
        is_reached=reached_h is not None,
        score_delta=(course.best_at(meter.hour_of(course, base_gco2)) - final) / span,
        met=course.makespan_h <= shape.span_h,
        bound_gco2=float(np.sort(truth[:, columns].min(axis=1))[:hours].sum()),
        now_gco2=float(truth[:hours, at_home].sum()),
        course=course,
    )


def _span(task: Task) -> float:
    best = task.scores.max(axis=1)
    return float(best.max() - np.median(best))


def row_of(zone: str, outcomes: Sequence[Outcome], table: HourlyTable, seed: int) -> dict[str, Any]:
    """One line of the result."""

    def column(name: str) -> FloatArray:
        return np.array([getattr(outcome, name) for outcome in outcomes], dtype=np.float64)

    days = np.array([(outcome.course.start_at - table.start_at) // timedelta(days=1) for outcome in outcomes])
    to_score = bootstrap_savings(column("to_score_gco2"), column("base_to_score_gco2"), days, seed=seed)
    in_all = bootstrap_savings(column("gco2"), column("base_gco2"), days, seed=seed)
    deltas = column("score_delta")
    drawn = np.random.default_rng(seed).integers(0, len(deltas), (DRAWS, len(deltas)))
    total, reach, delta = interval_of(in_all), interval_of(to_score), interval_of(deltas[drawn].mean(axis=1))
    bound = 1.0 - float(column("bound_gco2").sum() / column("now_gco2").sum())
    return {
        "zone": zone,
        "starts": len(outcomes),
        "saving_fraction": saving_fraction(column("to_score_gco2"), column("base_to_score_gco2")),
        "ci95_low": reach.low,
        "ci95_high": reach.high,
        "all_saving_fraction": saving_fraction(column("gco2"), column("base_gco2")),
        "all_ci95_low": total.low,
        "all_ci95_high": total.high,
        "clairvoyant_shift_fraction": bound,
        "score_delta": float(deltas.mean()),
        "score_delta_ci95_low": delta.low,
        "score_delta_ci95_high": delta.high,
        "reached_fraction": float(column("is_reached").mean()),
        "worse_fraction": float((column("gco2") > column("base_gco2")).mean()),
        "deadline_met": all(outcome.met for outcome in outcomes),
        "makespan_mean_h": float(np.mean([outcome.course.makespan_h for outcome in outcomes])),
        "makespan_max_h": float(max(outcome.course.makespan_h for outcome in outcomes)),
        "base_makespan_mean_h": float(np.mean([outcome.case["base_makespan_h"] for outcome in outcomes])),
        "running_fraction": float(
            np.sum([one.course.trial_h for one in outcomes]) / np.sum([one.case["base_trial_h"] for one in outcomes])
        ),
        "pauses_mean": float(np.mean([outcome.course.pauses for outcome in outcomes])),
        "cases": [
            outcome.case
            | {
                "saving_fraction": 1.0 - outcome.to_score_gco2 / outcome.base_to_score_gco2,
                "all_saving_fraction": 1.0 - outcome.gco2 / outcome.base_gco2,
                "clairvoyant_shift_fraction": 1.0 - outcome.bound_gco2 / outcome.now_gco2,
                "score_delta": outcome.score_delta,
                "is_reached": outcome.is_reached,
            }
            for outcome in outcomes
        ],
    }


def show(row: dict[str, Any]) -> None:
    """Print a row."""
    print(
        f"{row['zone']:12s} to the same score {row['saving_fraction']:7.4f} [{row['ci95_low']:.3f}, {row['ci95_high']:.3f}] "
        f"all {row['all_saving_fraction']:7.4f} [{row['all_ci95_low']:.3f}, {row['all_ci95_high']:.3f}] "
        f"clairvoyant shift {row['clairvoyant_shift_fraction']:.4f} score {row['score_delta']:+.4f} reached {row['reached_fraction']:.2f} "
        f"worse {row['worse_fraction']:.2f} running {row['running_fraction']:.2f} makespan {row['makespan_mean_h']:.1f} h "
        f"deadline met {row['deadline_met']}",
        flush=True,
    )


def parsed(argv: list[str] | None) -> argparse.Namespace:
    """The command's arguments."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.tune_sweep", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--traces", type=Path, required=True, help="CSV or Parquet with zone, time_utc, gco2_per_kwh, kind")
    parser.add_argument("--zones", required=True, help="comma-separated; each gets a row")
    parser.add_argument("--anywhere", help="zones of the row in which trials may run in any; all of --zones without it, none where empty")
    parser.add_argument("--year", type=int, required=True)
    parser.add_argument("--starts", type=int, default=96)
    parser.add_argument("--trials", type=int, default=Shape().trials)
    parser.add_argument(
        "--tolerance", type=float, default=0.001, help="share of the task's span by which a score may be lower and still be the same"
    )
    parser.add_argument("--forecaster", default="linear")
    parser.add_argument("--kind", default="average_lifecycle")
    parser.add_argument("--curves", type=Path, default=CURVES)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    return parser.parse_args(argv)


def rows_of(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Every row, as soon as it is there.

    Raises:
        ConfigError: The arguments name something that is not there.
    """
    shape, zones = Shape(trials=arguments.trials), tuple(arguments.zones.split(","))
    anywhere = zones if arguments.anywhere is None else tuple(one for one in arguments.anywhere.split(",") if one)
    table = read_table(arguments.traces, tuple(dict.fromkeys((*zones, *anywhere))), arguments.kind)
    first, _ = table.year(arguments.year)
    horizon = int(shape.span_h) + 2
    issues = Issues(table, forecasts_named(arguments.forecaster, table, horizon=horizon, train_until=first), horizon, arguments.forecaster)
    made = list(cases(shape, starts(table, arguments.year, shape.span_h, arguments.starts), arguments.seed, arguments.curves))
    for zone in zones:
        yield row_of(zone, [simulate(case, table, issues, (zone,), zone, arguments.tolerance) for case in made], table, arguments.seed)
    if len(anywhere) > 1:
        outcomes = [
            simulate(case, table, issues, anywhere, anywhere[index % len(anywhere)], arguments.tolerance) for index, case in enumerate(made)
        ]
        yield row_of(ANYWHERE, outcomes, table, arguments.seed) | {"zones": list(anywhere)}


def save(arguments: argparse.Namespace, rows: list[dict[str, Any]], seconds: float) -> None:
    """Write the rows that there are, if a file was asked for."""
    if arguments.json is None:
        return
    given = {
        key: str(value) if isinstance(value, Path) else value for key, value in vars(arguments).items() if key not in {"json", "curves"}
    }
    settings = given | {
        "traces": arguments.traces.name,
        "shape": asdict(Shape(trials=arguments.trials)),
        "policy": asdict(ReplannedSweep()),
        "seconds": round(seconds, 1),
    }
    write(arguments.json, {"what": WHAT, "settings": settings, "rows": rows})


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; 0, or 2 with one line on bad input."""
    arguments, rows, began_s = parsed(argv), list[dict[str, Any]](), time.monotonic()
    try:
        for row in rows_of(arguments):
            rows.append(row)
            show(row)
            save(arguments, rows, time.monotonic() - began_s)  # after each: a long run that is stopped keeps what it has
    except (CarbonRayError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    logging.getLogger("carbon_ray").setLevel(logging.ERROR)  # here, because it is the process's and not the function's
    sys.exit(main())
