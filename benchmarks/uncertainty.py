"""Three ways to decide under an uncertain forecast, beside each other: its median, a price of risk, scenarios.

    python -m benchmarks.uncertainty --traces FILE --zones DE,ES --year 2022 --run-hours 6 --slack-hours 24 --json OUT

The same jobs as `benchmarks.decisions`, with hysteresis and guard as the product has them; only what the programme is solved on
differs. Everything is simulated: hours of a trace, no machines.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.decisions import SETS, Cell
from benchmarks.hourly import Decider, Issues, Job, Overheads, Replanning, problem_of
from benchmarks.issued import Clairvoyant, EwmaMedians, Remembered, forecasts_named
from benchmarks.record import write
from benchmarks.traces import read_table
from carbon_ray.core.errors import CarbonRayError
from carbon_ray.core.intensity import FloatArray
from carbon_ray.policies.backfire import PERSISTENCE_PER_H
from carbon_ray.policies.programme import Alternatives, Initial, Programme
from carbon_ray.policies.replan import Replan
from carbon_ray.sim.statistics import backfire, saving_fraction

RISK_PRICES = (-0.25, 0.25, 0.5, 1.0)
"""Standard deviations that are added to the median."""
SHARES = (0.2, 0.4, 0.6)
"""Weights of the scenarios beside the median."""


@dataclass(frozen=True, slots=True)
class RiskAdjusted:
    """Medians with a price of risk: every hour counts as so many standard deviations dirtier."""

    forecasts: Issues
    deviations: float

    def at(self, issue: int, hours: int) -> tuple[FloatArray, FloatArray]:
        """See `Issues`."""
        median, spread = self.forecasts.at(issue, hours)
        return np.maximum(median + self.deviations * spread, 0.0), spread


@dataclass(kw_only=True)
class Scenarios(Replanning):
    """Re-planning on the median and on scenarios: each use of the next hour costs what it costs on average when, after it,
    everything is known.

    That hindsight flatters waiting, so it is given a share only.

    Attributes:
        share: Weight of the scenarios; the rest is the median's.
        count: Scenarios, half of them the mirror image of the others.
        horizon: Most hours ahead.
        seed: Of the errors, which are normal, correlated over time and independent between zones.
    """

    share: float
    count: int = 8
    horizon: int
    seed: int = 0
    _programmes: list[Programme] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        """Draw the errors, in standard deviations, shape (scenarios, hours, zones)."""
        fresh = np.random.default_rng(self.seed).standard_normal((self.count // 2, self.horizon, self.truth.shape[1]))
        errors = fresh.copy()
        for hour in range(1, self.horizon):
            errors[:, hour] = PERSISTENCE_PER_H * errors[:, hour - 1] + np.sqrt(1 - PERSISTENCE_PER_H**2) * fresh[:, hour]
        self._errors = np.concatenate([errors, -errors])

    def choose(self, hour: int, jobs: Sequence[Job]) -> list[int]:
        """See `Decider`."""
        median, spread = self.forecasts.at(hour, jobs[0].end - hour)
        courses = np.maximum(median + spread * self._errors[:, : len(median)], 0.0)
        self._programmes = [Programme(problem_of(course, jobs[0].run_hours, self.overheads)) for course in courses]
        return super().choose(hour, jobs)

    def alternatives(self, programme: Programme, state: Initial, left: int) -> Alternatives:
        """See `Replanning.alternatives`."""
        known = programme.alternatives(state, left)
        likely = [one.alternatives(state, left) for one in self._programmes]

        def blend(median: Any, others: list[Any]) -> Any:
            return (1 - self.share) * median + self.share * np.mean(others, axis=0)

        return replace(
            known,
            keep=float(blend(known.keep, [one.keep for one in likely])),
            suspend=float(blend(known.suspend, [one.suspend for one in likely])),
            starts=blend(known.starts, [one.starts for one in likely]),
        )


def ways(cell: Cell, forecasts: Issues, overheads: Overheads, seed: int) -> Iterator[tuple[str, float, Decider]]:
    """Name, parameter and decider of every way."""
    truth, own = cell.table.values_gco2_per_kwh, Replan()
    full: dict[str, Any] = {
        "truth": truth,
        "overheads": overheads,
        "hysteresis_fraction": own.hysteresis_fraction,
        "backfire_fraction": own.backfire_fraction,
    }
    yield "clairvoyant", 0.0, Replanning(truth=truth, overheads=overheads, forecasts=Clairvoyant(cell.table))
    yield "ewma", 0.0, Replanning(truth=truth, overheads=overheads, forecasts=EwmaMedians(cell.table))
    yield "median", 0.0, Replanning(forecasts=forecasts, **full)
    for price in RISK_PRICES:
        yield "risk_adjusted", price, Replanning(forecasts=RiskAdjusted(forecasts, price), **full)
    for share in SHARES:
        yield "scenarios", share, Scenarios(forecasts=forecasts, share=share, horizon=cell.run_hours + cell.slack_hours, seed=seed, **full)


def parsed(argv: list[str] | None) -> argparse.Namespace:
    """The command's arguments."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.uncertainty", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--traces", type=Path, required=True, help="CSV or Parquet with zone, time_utc, gco2_per_kwh, kind")
    parser.add_argument("--zones", default=SETS["six"], help="comma-separated")
    parser.add_argument("--year", type=int, required=True)
    parser.add_argument("--run-hours", type=int, default=6)
    parser.add_argument("--slack-hours", type=int, default=24)
    parser.add_argument("--step-hours", type=int, default=37)
    parser.add_argument("--forecaster", default="linear")
    parser.add_argument("--kind", default="average_lifecycle")
    parser.add_argument("--seed", type=int, default=0, help="of the scenarios")
    parser.add_argument("--json", type=Path)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; 0, or 2 with one line on bad input."""
    arguments, overheads, rows = parsed(argv), Overheads(), list[dict[str, Any]]()
    try:
        zones = tuple(arguments.zones.split(","))
        table = read_table(arguments.traces, zones, arguments.kind)
        name = next((name for name, named in SETS.items() if named == arguments.zones), arguments.zones)
        cell = Cell.of(name, table, arguments.year, arguments.run_hours, arguments.slack_hours, arguments.step_hours)
        horizon = cell.run_hours + cell.slack_hours
        forecasts = forecasts_named(arguments.forecaster, table, horizon=horizon, train_until=table.year(arguments.year)[0])
        for way, parameter, decider in ways(cell, Remembered(forecasts, horizon), overheads, arguments.seed):
            outcomes = cell.run(decider, overheads)
            gco2, now = outcomes.gco2.ravel(), outcomes.run_now_gco2.ravel()
            worse, excess = backfire(gco2, now)
            row: dict[str, Any] = {
                "way": way,
                "parameter": parameter,
                "jobs": len(gco2),
                "saving_fraction": saving_fraction(gco2, now),
                "backfire_fraction": worse,
                "backfire_mean_excess_fraction": excess,
                "delay_mean_h": float(outcomes.delay_h.mean()),
            }
            rows.append(row)
            print(" ".join(f"{key} {value:.4f}" if isinstance(value, float) else f"{value}" for key, value in row.items()), flush=True)
        best, plain = (row["saving_fraction"] for row in rows[:2])
        for row in rows:
            row["gap_closed_fraction"] = (row["saving_fraction"] - plain) / (best - plain) if best > plain else None
    except (CarbonRayError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if arguments.json:
        settings = {key: value for key, value in vars(arguments).items() if key not in {"json", "traces"}}
        settings |= {"traces": arguments.traces.name, "set": name}
        write(arguments.json, {"what": "simulated: three ways to decide under uncertainty", "settings": settings, "rows": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
