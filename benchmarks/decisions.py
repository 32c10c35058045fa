"""What re-planning on a real forecast keeps of the clairvoyant saving, beside every published rule, on real hourly traces.

    python -m benchmarks.decisions --traces FILE --zones DE,ES,US-CAL-CISO --year 2022 --run-hours 24 --slack-hours 24 --json OUT

One cell is a set of zones, a run time and a slack: jobs start every `--step-hours` hours in every zone in turn. Forecasts
are issued every hour from what had passed by then; models learn from the years before the tested one. Everything is
simulated: hours of a trace, no machines.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import decisions_plots, noisy
from benchmarks.forecast_errors import forecast_error
from benchmarks.hourly import ByRule, Decider, Issues, Outcomes, Overheads, Replanning, simulate
from benchmarks.issued import Clairvoyant, EwmaMedians, LinearForecasts, Remembered, forecasts_named
from benchmarks.paired import add_pairs
from benchmarks.record import write
from benchmarks.traces import HourlyTable, read_table
from carbon_ray.core.errors import CarbonRayError, ConfigError
from carbon_ray.policies.baselines import (
    BestWindow,
    Cap,
    CarbonTime,
    Ecovisor,
    LowestSlot,
    LowestWindow,
    Pcaps,
    RunNowRule,
    StaticCleanest,
    Threshold,
    WaitAwhile,
)
from carbon_ray.policies.outlook import Rule
from carbon_ray.policies.replan import Replan
from carbon_ray.sim.statistics import backfire, bootstrap_savings, captured_fraction, interval_of, saving_fraction

DAY, WEEK = 24, 168
WARM_UP_HOURS = 15 * DAY
"""Hours before the first start that the naive forecasters need."""

SETS = {
    "six": "US-CAL-CISO,US-TEX-ERCO,US-MIDA-PJM,DE,ES,JP-TK",
    "es-de": "ES,DE",
    "south": "US-CAL-CISO,US-TEX-ERCO,DE,AU-NSW,ZA",
    "us": "US-CAL-CISO,US-TEX-ERCO,US-MIDA-PJM,US-FLA-FPL",
    "ontario": "US-CAL-CISO,US-TEX-ERCO,US-MIDA-PJM,DE,ES,CA-ON",
}
CELLS = ((6, 24), (24, 24), (24, 168), (96, 168))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What is compared: a set of zones, a run time, a slack."""

    name: str
    table: HourlyTable
    year: int
    run_hours: int
    slack_hours: int
    starts: tuple[int, ...]

    @classmethod
    def of(cls, name: str, table: HourlyTable, year: int, run_hours: int, slack_hours: int, step_hours: int) -> Cell:
        """The starts of a year whose windows lie inside it.

        Raises:
            ConfigError: There is none.
        """
        first, last = table.year(year)
        starts = tuple(range(max(first, WARM_UP_HOURS), last - run_hours - slack_hours, step_hours))
        if not starts:
            raise ConfigError(f"no job of {run_hours} h with {slack_hours} h of slack fits into {year} after {WARM_UP_HOURS} h of history")
        return cls(name=name, table=table, year=year, run_hours=run_hours, slack_hours=slack_hours, starts=starts)

    def run(self, decider: Decider, overheads: Overheads) -> Outcomes:
        """Simulate all jobs of the cell."""
        truth = self.table.values_gco2_per_kwh
        return simulate(truth, self.starts, self.run_hours, self.slack_hours, overheads, decider)


def rules(cell: Cell) -> Iterator[tuple[str, Rule]]:
    """The published rules that a rigid job on one worker can follow. Prices are not in a trace, so `cheapest` is not among them."""
    first, last = cell.table.year(cell.year)
    yield "run_now", RunNowRule()
    yield "static_cleanest", StaticCleanest(annual_mean=tuple(cell.table.values_gco2_per_kwh[first:last].mean(axis=0)))
    yield "wait_awhile_block", WaitAwhile(interruptible=False)
    yield "wait_awhile", WaitAwhile(interruptible=True)
    yield "best_window", BestWindow()
    yield "carbon_time", CarbonTime()
    yield "lowest_window", LowestWindow()
    yield "lowest_slot", LowestSlot()
    yield "ecovisor", Ecovisor()
    yield "cap", Cap(executors=1, base=0)
    yield "pcaps", Pcaps()
    yield "threshold", Threshold()


def deciders(cell: Cell, forecasts: Issues, forecaster: str, overheads: Overheads) -> Iterator[tuple[str, str, str, Decider]]:
    """Policy, forecaster, remark and the decider itself, for every row of a cell."""
    truth, own = cell.table.values_gco2_per_kwh, Replan()

    def replanning(issues: Issues, **parameters: float) -> Replanning:
        return Replanning(truth=truth, forecasts=issues, overheads=overheads, **parameters)

    yield "clairvoyant", "truth", "the optimum: exact planning on what came true", replanning(Clairvoyant(cell.table))
    yield "carbon_ray", "ewma", "exact re-planning on the medians alone: the reference of gap_closed", replanning(EwmaMedians(cell.table))
    full = {"hysteresis_fraction": own.hysteresis_fraction, "backfire_fraction": own.backfire_fraction}
    yield "carbon_ray", forecaster, "exact re-planning, hysteresis, guard", replanning(forecasts, **full)
    for name, rule in rules(cell):
        yield name, forecaster, "asked again every hour", ByRule(truth=truth, forecasts=forecasts, rule=rule, overheads=overheads)


def splits(cell: Cell, forecasts: Issues, overheads: Overheads) -> Iterator[tuple[str, Decider]]:
    """carbon_ray with one part replaced by its oracle, or taken away: what each part costs."""
    truth, own = cell.table.values_gco2_per_kwh, Replan()
    full = {"hysteresis_fraction": own.hysteresis_fraction, "backfire_fraction": own.backfire_fraction}
    for lead in (6, 24, 72):
        known = KnownUntil(forecasts, Clairvoyant(cell.table), lead)
        yield f"first {lead} h known", Replanning(truth=truth, forecasts=known, overheads=overheads, **full)
    for part in full:
        rest = {**full, part: 0.0}
        yield f"without {part.removesuffix('_fraction')}", Replanning(truth=truth, forecasts=forecasts, overheads=overheads, **rest)


def blurred(cell: Cell, sigmas: Sequence[float], overheads: Overheads, seed: int) -> Iterator[tuple[str, Decider]]:
    """carbon_ray on the truth with noise of several sizes: points of the curve of regret against error."""
    truth, own = cell.table.values_gco2_per_kwh, Replan()
    full = {"hysteresis_fraction": own.hysteresis_fraction, "backfire_fraction": own.backfire_fraction}
    for sigma in sigmas:
        forecasts = noisy.NoisyTruth(cell.table, sigma, seed)
        yield noisy.name_of(sigma), Replanning(truth=truth, forecasts=forecasts, overheads=overheads, **full)


@dataclass(frozen=True, slots=True)
class KnownUntil:
    """A forecast whose first hours are the truth."""

    forecasts: Issues
    truth: Issues
    lead: int

    def at(self, issue: int, hours: int) -> tuple[Any, Any]:
        """See `Issued`."""
        (median, spread), (true, none) = self.forecasts.at(issue, hours), self.truth.at(issue, hours)
        known = (np.arange(hours) < self.lead)[:, None]
        return np.where(known, true, median), np.where(known, none, spread)


def row_of(
    cell: Cell, policy: str, forecaster: str, remark: str, outcomes: Outcomes, seed: int, prices: tuple[float, float]
) -> dict[str, Any]:
    """One line of the table; what compares rows is filled in later."""
    gco2, now = outcomes.gco2.ravel(), outcomes.run_now_gco2.ravel()
    days = np.repeat(np.array(cell.starts) // DAY, outcomes.gco2.shape[1])
    block_days = 7 if cell.slack_hours >= WEEK else 1
    interval = interval_of(bootstrap_savings(gco2, now, days, block_days=block_days, seed=seed))
    share, excess = backfire(gco2, now)
    usd_per_h, usd_per_move = prices
    return {
        "set": cell.name,
        "zones": list(cell.table.zones),
        "run_hours": cell.run_hours,
        "slack_hours": cell.slack_hours,
        "policy": policy,
        "forecaster": forecaster,
        "remark": remark,
        "jobs": len(gco2),
        "saving_fraction": saving_fraction(gco2, now),
        "ci95_low": interval.low,
        "ci95_high": interval.high,
        "delay_mean_h": float(outcomes.delay_h.mean()),
        "delay_p95_h": float(np.quantile(outcomes.delay_h, 0.95)),
        "deadline_misses": int(outcomes.missed.sum()),
        "backfire_fraction": share,
        "backfire_mean_excess_fraction": excess,
        "moves_mean": float(outcomes.moves.mean()),
        "suspends_mean": float(outcomes.suspends.mean()),
        "cost_usd_mean": usd_per_h * cell.run_hours + usd_per_move * float(outcomes.moves.mean()),
    }


def compare(rows: list[dict[str, Any]]) -> None:
    """Fill in what is relative to the clairvoyant and to re-planning with EWMA."""
    bound = next(row["saving_fraction"] for row in rows if row["policy"] == "clairvoyant")
    for row in rows:
        row["captured_fraction"] = captured_fraction(row["saving_fraction"], bound)
    plain = next(row["captured_fraction"] for row in rows if (row["policy"], row["forecaster"]) == ("carbon_ray", "ewma"))
    for row in rows:
        kept = row["captured_fraction"]
        row["gap_closed_fraction"] = None if kept is None or plain is None or plain >= 1 else (kept - plain) / (1 - plain)


def run_cell(cell: Cell, forecasts: Issues, arguments: argparse.Namespace, overheads: Overheads) -> list[dict[str, Any]]:
    """All rows of one cell."""
    rows, outcomes, prices = list[dict[str, Any]](), list[Outcomes](), (arguments.usd_per_h, arguments.egress_usd)

    def run(policy: str, forecaster: str, remark: str, decider: Decider) -> None:
        outcomes.append(cell.run(decider, overheads))
        rows.append(row_of(cell, policy, forecaster, remark, outcomes[-1], arguments.seed, prices))
        if policy == "carbon_ray" and isinstance(decider, Replanning):
            horizon = cell.run_hours + cell.slack_hours
            rows[-1] |= forecast_error(decider.forecasts, cell.table, cell.year, horizon, step_hours=arguments.step_hours).fields()

    for policy, forecaster, remark, decider in deciders(cell, forecasts, arguments.forecaster, overheads):
        if arguments.only and policy not in arguments.only.split(","):
            continue
        run(policy, forecaster, remark, decider)
    own = max(index for index, row in enumerate(rows) if row["policy"] == "carbon_ray")
    if arguments.splits:
        for remark, decider in splits(cell, forecasts, overheads):
            run(f"carbon_ray, {remark}", arguments.forecaster, remark, decider)
    for forecaster, decider in blurred(cell, noisy.sigmas(arguments.noise), overheads, arguments.seed):
        run("carbon_ray", forecaster, "exact re-planning, hysteresis, guard, on the truth with noise", decider)
    compare(rows)
    add_pairs(rows, outcomes, np.array(cell.starts) // DAY, ours=own, block_days=7 if cell.slack_hours >= WEEK else 1)
    return rows


def show(row: dict[str, Any]) -> None:
    """Print a row."""
    closed = "" if row["gap_closed_fraction"] is None else f"{row['gap_closed_fraction']:+7.3f}"
    where = f"{row['set']:8s} {row['run_hours']:3d}/{row['slack_hours']:<3d} {row['policy'][:34]:34s} {row['forecaster']:8s}"
    kept = row["captured_fraction"] or 0.0
    saved = f"saving {row['saving_fraction']:7.4f} [{row['ci95_low']:.3f}, {row['ci95_high']:.3f}] captured {kept:6.3f}"
    worse = f"backfire {row['backfire_fraction']:.4f} (+{row['backfire_mean_excess_fraction']:.3f})"
    print(
        f"{where} {saved} closed {closed:7s} delay {row['delay_mean_h']:6.1f} h {worse} moves {row['moves_mean']:.2f} "
        f"missed {row['deadline_misses']}",
        flush=True,
    )


def parsed(argv: list[str] | None) -> argparse.Namespace:
    """The command's arguments."""
    parser = argparse.ArgumentParser(prog="benchmarks.decisions", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--traces", type=Path, required=True, help="CSV or Parquet with zone, time_utc, gco2_per_kwh, kind")
    parser.add_argument("--zones", help="comma-separated; all five sets of the protocol without it")
    parser.add_argument("--year", type=int, required=True)
    parser.add_argument("--run-hours", type=int, help="with --slack-hours; all four cells of the protocol without them")
    parser.add_argument("--slack-hours", type=int)
    parser.add_argument("--step-hours", type=int, default=37)
    parser.add_argument("--forecaster", default="linear")
    parser.add_argument("--kind", default="average_lifecycle")
    parser.add_argument("--overheads", default="0.05,0.10,0.5", help="running hours of a checkpoint, a restore, a change of region")
    parser.add_argument("--only", default="", help="comma-separated policies; the clairvoyant and carbon_ray are always needed")
    parser.add_argument("--splits", action="store_true", help="add rows with parts replaced by their oracle")
    parser.add_argument("--noise", default="", help="sigmas such as 0,0.1,0.2: adds carbon_ray on the truth with noise of these sizes")
    parser.add_argument("--usd-per-h", type=float, default=1.0, help="price of a running hour, for cost_usd_mean")
    parser.add_argument("--egress-usd", type=float, default=0.0, help="price of a move, for cost_usd_mean")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="result; pictures (SVG) are written beside it")
    return parser.parse_args(argv)


def cells_of(arguments: argparse.Namespace) -> Iterator[tuple[HourlyTable, list[Cell]]]:
    """The cells to run, by table.

    Raises:
        ConfigError: The arguments name something that the traces do not have.
    """
    if (arguments.run_hours is None) != (arguments.slack_hours is None):
        raise ConfigError("give --run-hours and --slack-hours together, or neither for all cells")
    if min(arguments.step_hours, 1 if arguments.run_hours is None else arguments.run_hours, (arguments.slack_hours or 0) + 1) < 1:
        raise ConfigError("--run-hours and --step-hours must be at least 1, --slack-hours at least 0")
    shapes = CELLS if arguments.run_hours is None else ((arguments.run_hours, arguments.slack_hours),)
    sets = (
        SETS
        if not arguments.zones
        else {next((name for name, zones in SETS.items() if zones == arguments.zones), arguments.zones): arguments.zones}
    )
    for name, zones in sets.items():
        table = read_table(arguments.traces, tuple(zones.split(",")), arguments.kind)
        yield table, [Cell.of(name, table, arguments.year, run, slack, arguments.step_hours) for run, slack in shapes]


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; 0, or 2 with one line on bad input."""
    arguments = parsed(argv)
    try:
        noisy.sigmas(arguments.noise)  # before anything long is begun
        if arguments.only and not {"clairvoyant", "carbon_ray"} <= set(arguments.only.split(",")):
            raise ConfigError("--only must name clairvoyant and carbon_ray, which all others are compared with")
        overheads = Overheads(**dict(zip(("write", "restore", "move"), map(float, arguments.overheads.split(",")), strict=True)))
        rows: list[dict[str, Any]] = []
        training = ""
        began_s = time.monotonic()
        for table, cells in cells_of(arguments):
            first, _ = table.year(arguments.year)
            horizon = max(cell.run_hours + cell.slack_hours for cell in cells)
            forecasts = forecasts_named(arguments.forecaster, table, horizon=horizon, train_until=first)
            training = forecasts.training if isinstance(forecasts, LinearForecasts) else ""
            remembered = Remembered(forecasts, horizon)
            for cell in cells:
                made = run_cell(cell, remembered, arguments, overheads)
                for row in made:
                    show(row)
                rows += made
    except (CarbonRayError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if arguments.json:
        settings = {
            key: str(value) if isinstance(value, Path) else value for key, value in vars(arguments).items() if key not in {"json", "traces"}
        }
        settings |= {"traces": arguments.traces.name, "training": training, "seconds": round(time.monotonic() - began_s, 1)}
        write(arguments.json, {"what": "simulated: hourly decisions on real traces", "settings": settings, "rows": rows})
        decisions_plots.draw(rows, arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
