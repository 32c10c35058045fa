"""What carbon, money and delay are traded for as the price of carbon rises, by the product's own planner on real hourly traces.

    python -m benchmarks.prices --traces FILE --zones DE,ES --year 2022 --run-hours 24 --slack-hours 24 --json OUT
    python -m benchmarks.prices ... --usd-per-h DE=15.95,ES=15.25 --power-w 2000 --egress-usd 0.5 --usd-per-h-delay 0.05

A job starts every `--step-hours` hours in every zone in turn. Each is run at each price of carbon by `Replan` under the simulator, twice:
with perfect foresight, without hysteresis and guard, so that the optimum of the objective is found; and planned anew every hour on
forecasts issued from the past, as on a cluster. Money is that of nodes and moves. Everything is simulated: a trace, no machines.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.hourly import Issues
from benchmarks.issued import Remembered, forecasts_named
from benchmarks.pictures import GRID, MUTED, OURS, beside, figure_at
from benchmarks.record import write
from benchmarks.traces import HourlyTable, read_table
from carbon_ray.core.errors import CarbonRayError, ConfigError
from carbon_ray.core.forecast import Forecast, ForecastSnapshot
from carbon_ray.core.intensity import Provenance
from carbon_ray.core.objective import Objective
from carbon_ray.core.region import NodeType, PowerModel, Region
from carbon_ray.core.workload import Overheads
from carbon_ray.policies.backfire import LEVELS_APART
from carbon_ray.policies.expectation import HIGH, LOW
from carbon_ray.policies.replan import Replan
from carbon_ray.reports.palette import CLAIRVOYANT as CLAIRVOYANT_COLOUR
from carbon_ray.sim.engine import simulate
from carbon_ray.sim.forecasts import Clairvoyant, ForecastSource
from carbon_ray.sim.jobs import JobSet, Template, every, fixed_slack, with_objective
from carbon_ray.sim.results import Run
from carbon_ray.sim.summary import summarise
from carbon_ray.sim.world import Control, World

SLOT_S = 3600.0
WARM_UP_HOURS = 15 * 24
"""Hours before the first start that the naive forecasters need."""
USD_PER_KGCO2 = "0,0.02,0.05,0.1,0.2,0.5,1,2,5,10"
NODES = 1_000_000
WEEK_H = 168


class AsIssued:
    """Forecasts of a table in bulk as the simulator's source of forecasts.

    Args:
        name: Of the forecaster.
        issues: Forecasts by hour of issue.
        table: What they are of.
        hours: How far each reaches.
    """

    is_clairvoyant = False

    def __init__(self, name: str, issues: Issues, table: HourlyTable, hours: int) -> None:
        self.name, self._issues, self._table, self._hours = name, issues, table, hours
        self._newest: ForecastSnapshot | None = None

    def snapshot(self, now: datetime, until_at: datetime) -> ForecastSnapshot:
        """The newest issue; see `carbon_ray.sim.forecasts.ForecastSource`."""
        issue = self._table.position(now)
        if self._newest is None or self._newest.version != issue:
            issued_at = self._table.start_at + timedelta(hours=issue)
            median, spread = self._issues.at(issue, self._hours)
            apart = spread * LEVELS_APART / 2
            forecasts = {
                zone: Forecast(
                    zone=zone,
                    kind=self._table.kind,
                    issued_at=issued_at,
                    start_at=issued_at,
                    step_s=3600.0,
                    quantiles_gco2_per_kwh={
                        LOW: np.maximum(median[:, index] - apart[:, index], 0.0),
                        0.5: median[:, index],
                        HIGH: median[:, index] + apart[:, index],
                    },
                    forecaster=self.name,
                    provenance=Provenance(provider="trace"),
                )
                for index, zone in enumerate(self._table.zones)
            }
            self._newest = ForecastSnapshot(version=issue, issued_at=issued_at, forecasts=forecasts)
        return self._newest


def world_of(table: HourlyTable, usd_per_h: Mapping[str, float], power_w: float) -> World:
    """A region for each zone, with a node of the same power and a price of its own, and room for everybody."""
    power = PowerModel(tdp_w=power_w, idle_fraction=0.0, source="declared")
    regions = {}
    for zone in table.zones:
        node = NodeType(name=zone, resources={"CPU": 1.0}, max_nodes=NODES, usd_per_h=usd_per_h[zone], power=power)
        regions[zone] = Region(name=zone, zone=zone, pue=1.0, node_types=(node,))
    return World(regions=regions, truth={one.zone: one for one in table.series()}, is_shared=False)


def jobs_of(table: HourlyTable, year: int, run_hours: int, slack_hours: int, step_hours: int, overheads: Overheads) -> JobSet:
    """All starts of a year whose windows lie inside it, in every zone in turn.

    Raises:
        ConfigError: There is none.
    """
    first, last = table.year(year)
    first = max(first, WARM_UP_HOURS)
    count = -(-(last - run_hours - slack_hours - first) // step_hours)
    if count < 1:
        raise ConfigError(f"no job of {run_hours} h with {slack_hours} h of slack fits into {year} after {WARM_UP_HOURS} h of history")
    template = Template(
        start_at=table.start_at + timedelta(hours=first), regions=table.zones, slack=fixed_slack(slack_hours), overheads=overheads
    )
    block_days = 7 if slack_hours >= WEEK_H else 1
    return every("jobs", template, length_h=run_hours, step_h=step_hours, count=count, block_days=block_days)


def row_of(price_usd_per_kgco2: float, run: Run, block_days: int, seed: int) -> dict[str, Any]:
    """One point of a curve. Money and carbon are means of a job, against run-now."""
    one = summarise([run], block_days=block_days, seed=seed)
    saved_kg, extra_usd = one.run_now_kgco2 - one.kgco2, one.usd - one.run_now_usd
    return {
        "usd_per_kgco2": price_usd_per_kgco2,
        "forecaster": run.forecaster,
        "is_clairvoyant": run.is_clairvoyant,
        "jobs": one.jobs,
        "saving_fraction": one.saving_fraction,
        "ci95_low": one.saving_interval.low,
        "ci95_high": one.saving_interval.high,
        "saved_kgco2_mean": saved_kg / one.jobs,
        "extra_usd_mean": extra_usd / one.jobs,
        "extra_usd_fraction": extra_usd / one.run_now_usd if one.run_now_usd > 0 else None,
        "extra_usd_per_saved_kgco2": extra_usd / saved_kg if saved_kg > 0 else None,
        "delay_mean_h": one.delay_mean_h,
        "delay_p95_h": one.delay_p95_h,
        "deadline_misses": one.missed,
        "backfire_fraction": one.backfire_fraction,
        "moves_mean": one.moves,
        "suspends_mean": one.suspends,
    }


def sweep(world: World, jobs: JobSet, forecasts: ForecastSource, objectives: Sequence[Objective], seed: int) -> list[dict[str, Any]]:
    """Both curves: perfect foresight and re-planning, at every objective."""
    rows = []
    for objective in objectives:
        priced = with_objective(jobs, objective)
        optimal = Replan(slot_s=SLOT_S, hysteresis_fraction=0.0, backfire_fraction=0.0)
        best = simulate(world, priced, optimal, Clairvoyant(world.truth), Control(tick_s=None))
        ours = simulate(world, priced, Replan(slot_s=SLOT_S), forecasts, Control(tick_s=SLOT_S))
        for run in (best, ours):
            rows.append(row_of(objective.usd_per_kgco2, run, jobs.block_days, seed))
            print(line_of(rows[-1]), flush=True)
    return rows


def line_of(row: dict[str, Any]) -> str:
    """A row for a person."""
    return (
        f"{row['usd_per_kgco2']:8.3f} USD/kg {row['forecaster']:12s} saving {row['saving_fraction']:7.4f} "
        f"[{row['ci95_low']:.3f}, {row['ci95_high']:.3f}] extra {row['extra_usd_mean']:+8.3f} USD a job "
        f"delay {row['delay_mean_h']:6.2f} h moves {row['moves_mean']:.2f} missed {row['deadline_misses']}"
    )


def draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Saving, extra money and delay against the price of carbon, as SVG."""
    panels = (
        ("emissions saved against run-now, %", lambda row: 100 * row["saving_fraction"]),
        ("extra money, USD a job", lambda row: row["extra_usd_mean"]),
        ("mean delay, h", lambda row: row["delay_mean_h"]),
    )
    least = min((row["usd_per_kgco2"] for row in rows if row["usd_per_kgco2"] > 0), default=1.0)
    with figure_at(path, 9.6, 3.4) as figure:
        for panel, (title, value) in zip(figure.subplots(1, len(panels)), panels, strict=True):
            for is_clairvoyant, colour in ((True, CLAIRVOYANT_COLOUR), (False, OURS)):
                some = [row for row in rows if row["is_clairvoyant"] == is_clairvoyant]
                label = "perfect foresight" if is_clairvoyant else f"re-planned on {some[0]['forecaster']}"
                prices, values = [row["usd_per_kgco2"] for row in some], [value(row) for row in some]
                panel.plot(prices, values, "o-", color=colour, markersize=4, label=label)
            panel.set_xscale("symlog", linthresh=least)
            panel.axhline(0.0, color=MUTED, linewidth=0.8)
            panel.set_xlabel("price of carbon, USD per kg CO2e")
            panel.set_title(title, fontsize=9)
            panel.grid(visible=True, color=GRID)
        figure.axes[0].legend(fontsize=8, frameon=False)


def prices_by_zone(text: str, zones: Sequence[str]) -> dict[str, float]:
    """Of `--usd-per-h`: one number for all zones, or `A=1.5,B=2` for each of them.

    Raises:
        ConfigError: It is neither, or leaves a zone out.
    """
    words = [word.partition("=") for word in text.split(",")]
    try:
        if len(words) == 1 and not words[0][1]:
            found = dict.fromkeys(zones, float(text))
        else:
            found = {zone.strip(): float(price) for zone, _, price in words}
    except ValueError:
        found = {}
    if set(found) != set(zones) or not all(0 <= price < np.inf for price in found.values()):
        raise ConfigError(
            f"--usd-per-h takes one price for all zones, or one for each such as {','.join(f'{zone}=1.0' for zone in zones)}; got {text!r}"
        )
    return found


def carbon_prices(text: str) -> list[float]:
    """Of `--usd-per-kgco2`, ascending.

    Raises:
        ConfigError: One is no number of at least 0.
    """
    try:
        found = sorted({float(word) for word in text.split(",")})
    except ValueError:
        found = [-1.0]
    if not all(0 <= price < np.inf for price in found):
        raise ConfigError(f"--usd-per-kgco2 takes numbers of at least 0 with commas between them, such as {USD_PER_KGCO2}; got {text!r}")
    return found


def parsed(argv: list[str] | None) -> argparse.Namespace:
    """The command's arguments."""
    parser = argparse.ArgumentParser(prog="benchmarks.prices", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--traces", type=Path, required=True, help="CSV or Parquet with zone, time_utc, gco2_per_kwh, kind")
    parser.add_argument("--zones", required=True, help="comma-separated")
    parser.add_argument("--year", type=int, required=True)
    parser.add_argument("--run-hours", type=int, default=24)
    parser.add_argument("--slack-hours", type=int, default=24)
    parser.add_argument("--step-hours", type=int, default=37)
    parser.add_argument("--forecaster", default="linear")
    parser.add_argument("--kind", default="average_lifecycle")
    parser.add_argument("--usd-per-kgco2", default=USD_PER_KGCO2, help=f"prices of carbon; {USD_PER_KGCO2} by default")
    parser.add_argument("--usd-per-h", default="1", help="price of a node and hour, one for all zones or ZONE=PRICE,...; 1 by default")
    parser.add_argument("--power-w", type=float, default=1000.0, help="power of a node at the site")
    parser.add_argument("--egress-usd", type=float, default=0.2, help="price of a move")
    parser.add_argument("--usd-per-h-delay", type=float, default=0.01, help="price of an hour until the work is done")
    parser.add_argument("--overheads", default="0.05,0.10,0.5", help="running hours of a checkpoint, a restore, a change of region")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap")
    parser.add_argument("--json", type=Path, help="result; a picture (SVG) is written beside it")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; 0, or 2 with one line on bad input."""
    arguments = parsed(argv)
    began_s = time.monotonic()
    try:
        if min(arguments.run_hours, arguments.step_hours, arguments.slack_hours + 1) < 1:
            raise ConfigError("--run-hours and --step-hours must be at least 1, --slack-hours at least 0")
        zones = tuple(arguments.zones.split(","))
        usd_per_h, carbon = prices_by_zone(arguments.usd_per_h, zones), carbon_prices(arguments.usd_per_kgco2)
        names = ("checkpoint_h", "restore_h", "migrate_h")
        overheads = Overheads(**dict(zip(names, map(float, arguments.overheads.split(",")), strict=True)), egress_usd=arguments.egress_usd)
        objectives = [Objective(usd_per_kgco2=price, usd_per_h_delay=arguments.usd_per_h_delay) for price in carbon]
        table = read_table(arguments.traces, zones, arguments.kind)
        horizon = arguments.run_hours + arguments.slack_hours
        jobs = jobs_of(table, arguments.year, arguments.run_hours, arguments.slack_hours, arguments.step_hours, overheads)
        issues = forecasts_named(arguments.forecaster, table, horizon=horizon, train_until=table.year(arguments.year)[0])
        forecasts = AsIssued(arguments.forecaster, Remembered(issues, horizon), table, horizon)
        rows = sweep(world_of(table, usd_per_h, arguments.power_w), jobs, forecasts, objectives, arguments.seed)
    except (CarbonRayError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if arguments.json:
        settings = {key: value for key, value in vars(arguments).items() if key not in {"json", "traces"}}
        settings |= {"traces": arguments.traces.name, "usd_per_h": usd_per_h, "overheads": asdict(overheads)}
        settings["seconds"] = round(time.monotonic() - began_s, 1)
        write(arguments.json, {"benchmark": "prices", "what": "simulated on a real trace", "settings": settings, "rows": rows})
        draw(rows, beside(arguments.json, "curve"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
