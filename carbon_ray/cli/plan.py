"""`carbon-ray plan`: where and when one workload would run, without a cluster."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from carbon_ray.cli import parsing
from carbon_ray.cli.output import console, print_json
from carbon_ray.cli.wishes import CarbonBudget, CostBudget, HoursHigh, MaxMoves, MinSegment, Throughput, WorkerCounts, wishes
from carbon_ray.core.codec import to_jsonable
from carbon_ray.core.errors import ConfigError, DeadlinePassed
from carbon_ray.core.objective import objective_named
from carbon_ray.core.plan import Expected, Plan
from carbon_ray.core.region import NodeType, PowerModel, Region
from carbon_ray.core.workload import Overheads, Progress, Workload

if TYPE_CHECKING:
    from rich.table import Table

    from carbon_ray.core.forecast import ForecastSnapshot

MAX_SPAN = timedelta(days=60)
_FINE_SPAN = timedelta(days=7)
_FINE_SLOT_S, _COARSE_SLOT_S = 900.0, 3600.0
"""Planning slots up to a week ahead and beyond; the programme's time grows with the square of their number."""
_IDLE_FRACTION = 0.2
"""Share of the power that is drawn while starting; the default of `provider.carbon.node_types` too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One plan, and what it is compared with.

    Attributes:
        workload: What was planned; its regions are named after their zones.
        plan: The optimum on the forecast.
        run_now: The same work started at once at home.
        snapshot: The forecasts.
        power_w: Power at the site while running, W.
    """

    workload: Workload
    plan: Plan
    run_now: Plan
    snapshot: ForecastSnapshot
    power_w: float

    @property
    def saving_fraction(self) -> float | None:
        """Emissions saved against run-now, share of 1; None where run-now emits nothing."""
        before = self.run_now.expected.gco2
        return 1 - self.plan.expected.gco2 / before if before > 0 else None


def plan(
    hours: Annotated[float, typer.Option(help="Running hours of the work.")],
    deadline: Annotated[str, typer.Option(help="Span from the start (90m, 24h, 2d) or instant (2022-05-03T16:00Z).")],
    zones: Annotated[str, typer.Option(help="Grid zones where it may run: DE,ES.")],
    home: Annotated[str | None, typer.Option(help="Zone where it would run otherwise; the first of --zones by default.")] = None,
    traces: Annotated[Path | None, typer.Option(help="CSV or Parquet trace instead of the embedded profile; needs --start.")] = None,
    start: Annotated[str | None, typer.Option(help="Instant of submission, such as 2022-05-02T16:00Z.")] = None,
    objective: Annotated[str, typer.Option(help="What is minimised: carbon, balanced, cost or deadline.")] = "balanced",
    power_w: Annotated[
        float, typer.Option("--power-w", help="Power of all nodes while running (of one worker's), PUE included, W.")
    ] = 1000.0,
    usd_per_h: Annotated[float, typer.Option("--usd-per-h", min=0.0, help="Price of all nodes per hour, USD.")] = 0.0,
    startup: Annotated[str, typer.Option(help="Time from a start to its first step.")] = "5m",
    forecaster: Annotated[str, typer.Option(help="Model: linear, lightgbm, ewma or persistence.")] = "linear",
    kind: Annotated[str, typer.Option(help="What is counted: average_lifecycle, average_direct or marginal.")] = "average_lifecycle",
    hours_high: HoursHigh = None,
    worker_counts: WorkerCounts = None,
    throughput: Throughput = None,
    max_moves: MaxMoves = None,
    min_segment: MinSegment = None,
    carbon_budget_kg: CarbonBudget = None,
    cost_budget_usd: CostBudget = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Plan one workload on the forecast: where and when it would run, what it would emit, and why. Needs no cluster."""
    wanted = parsing.names(zones, "--zones")
    home_zone = home or wanted[0]
    every = tuple(dict.fromkeys((*wanted, home_zone)))
    prices, startup_s = objective_named(objective), parsing.span(startup, "--startup").total_seconds()
    if startup_s > MAX_SPAN.total_seconds():
        raise ConfigError(f"--startup {startup!r} is more than {MAX_SPAN.days} days; choose a shorter one")
    if parsing.above_zero(hours, "--hours") > MAX_SPAN / timedelta(hours=1):
        raise ConfigError(f"--hours {hours:g} is more than {MAX_SPAN.days} days of work; plan a part of it")
    parsing.above_zero(power_w, "--power-w")
    limits = wishes(
        hours=hours,
        hours_high=hours_high,
        worker_counts=worker_counts,
        throughput=throughput,
        max_moves=max_moves,
        min_segment=min_segment,
        carbon_budget_kg=carbon_budget_kg,
        cost_budget_usd=cost_budget_usd,
    )

    from carbon_ray.cli.grid_source import forecast_of, open_source, start_of

    provider = open_source(traces, kind, every)
    start_at = start_of(start, provider, every)
    deadline_at = parsing.span_or_instant(deadline, "--deadline", start_at)
    _require_span(deadline_at, start_at)
    workload = Workload(
        workload_id="plan",
        work_h=hours,
        workers=1,
        resources_per_worker={"CPU": 1.0},
        home_region=home_zone,
        regions=wanted,
        submitted_at=start_at,
        deadline_at=deadline_at,
        objective=prices,
        overheads=Overheads(startup_s=startup_s),
        utilisation_fraction=1.0,
        **limits,
    )
    slot_s = _FINE_SLOT_S if deadline_at - start_at <= _FINE_SPAN else _COARSE_SLOT_S
    horizon = max(deadline_at - start_at, timedelta(seconds=slot_s))
    snapshot = forecast_of(provider, every, start_at=start_at, horizon=horizon, forecaster=forecaster)
    planned = plan_on(snapshot, workload, slot_s=slot_s, power_w=power_w, usd_per_h=usd_per_h)
    if json:
        print_json(_document(planned, objective, forecaster))
    else:
        _show(planned)


def _require_span(deadline_at: datetime, start_at: datetime) -> None:
    if deadline_at <= start_at:
        raise DeadlinePassed(deadline_at, start_at)
    if deadline_at - start_at > MAX_SPAN:
        raise ConfigError(f"the deadline {deadline_at:%Y-%m-%dT%H:%MZ} is more than {MAX_SPAN.days} days ahead; choose a nearer one")


def plan_on(snapshot: ForecastSnapshot, workload: Workload, *, slot_s: float, power_w: float, usd_per_h: float) -> Planned:
    """Plan a workload on forecasts, one region for each zone.

    Raises:
        DeadlinePassed, DeadlineTooShort: The deadline cannot be met.
    """
    from carbon_ray.policies.base import Surroundings
    from carbon_ray.policies.replan import Replan
    from carbon_ray.policies.run_now import RunNow

    power = PowerModel(tdp_w=power_w, idle_fraction=_IDLE_FRACTION, source="declared")
    nodes = NodeType(
        name="nodes", resources=workload.resources_per_worker, max_nodes=max(workload.counts), usd_per_h=usd_per_h, power=power
    )
    regions = {zone: Region(name=zone, zone=zone, pue=1.0, node_types=(nodes,)) for zone in snapshot.forecasts}
    around = Surroundings(regions=regions, snapshot=snapshot)
    policy, now = Replan(slot_s=slot_s), workload.submitted_at
    policy.require_feasible(workload, around, now=now)
    progress = Progress(remaining_h=workload.work_h, region=workload.home_region)
    best, _ = policy.decide(workload, progress, around, now=now)
    run_now, _ = RunNow(slot_s=slot_s).decide(workload, progress, around, now=now)
    return Planned(workload=workload, plan=best, run_now=run_now, snapshot=snapshot, power_w=power_w)


def _expected(expected: Expected) -> dict[str, Any]:
    document: dict[str, Any] = to_jsonable(expected)
    return document


def _document(planned: Planned, objective: str, forecaster: str) -> dict[str, Any]:
    workload, forecasts = planned.workload, planned.snapshot.forecasts
    return {
        "start_at": to_jsonable(workload.submitted_at),
        "deadline_at": to_jsonable(workload.deadline_at),
        "hours": workload.work_h,
        "zones": list(workload.regions),
        "home": workload.home_region,
        "objective": {"name": objective, **to_jsonable(workload.objective)},
        "power_w": planned.power_w,
        "startup_s": workload.overheads.startup_s,
        "forecaster": forecaster,
        "forecasters": {zone: one.forecaster for zone, one in forecasts.items()},
        "provenance": {zone: str(one.provenance) for zone, one in forecasts.items()},
        "is_embedded": any(one.provenance.is_embedded for one in forecasts.values()),
        "steps": [
            {
                "start_at": to_jsonable(step.start_at),
                "end_at": to_jsonable(step.end_at),
                "zone": step.region,
                **({"workers": step.workers} if workload.is_elastic else {}),
            }
            for step in planned.plan.steps
        ],
        "expected": _expected(planned.plan.expected),
        "run_now": _expected(planned.run_now.expected),
        "saving_fraction": planned.saving_fraction,
        "overrun": {"gco2": planned.plan.overrun_gco2, "usd": planned.plan.overrun_usd},
        "runner_up": to_jsonable(planned.plan.runner_up),
        "reason": planned.plan.reason,
    }


def _show(planned: Planned) -> None:
    from rich.text import Text

    from carbon_ray.cli.drawing import plan_drawing

    out, workload = console(), planned.workload
    out.print(
        plan_drawing(planned.plan, {zone: zone for zone in planned.snapshot.forecasts}, planned.snapshot, workload.deadline_at, out.width)
    )
    out.print()
    out.print(_steps_table(planned))
    out.print(_comparison_table(planned))
    out.print(Text(planned.plan.reason), soft_wrap=True)
    for words in dict.fromkeys(f"{one.kind.value}; {one.forecaster}; {one.provenance}" for one in planned.snapshot.forecasts.values()):
        out.print(Text(words, style="dim"), soft_wrap=True)
    if any(one.provenance.is_embedded for one in planned.snapshot.forecasts.values()):
        out.print("embedded intensity: typical, not observed", style="dim")


def _steps_table(planned: Planned) -> Table:
    from rich.table import Table

    table = Table(title="Plan", title_justify="left")
    for name in ("From (UTC)", "To", "What", "Where"):
        table.add_column(name)
    table.add_column("gCO2e/kWh", justify="right")
    before: str | None = None
    is_running = False
    for step in planned.plan.steps:
        finish_at = planned.plan.expected.finish_at
        end_at = finish_at if step is planned.plan.steps[-1] and step.start_at < finish_at < step.end_at else step.end_at
        mean = "" if step.region is None else f"{planned.snapshot[step.region].median.mean(step.start_at, step.end_at):.0f}"
        where = f"{step.region or ''}{f' x{step.workers}' if step.region and planned.workload.is_elastic else ''}"
        table.add_row(f"{step.start_at:%b %d %H:%M}", f"{end_at:%b %d %H:%M}", _doing(step.region, before, is_running), where, mean)
        before, is_running = step.region or before, step.region is not None
    return table


def _doing(region: str | None, before: str | None, is_running: bool) -> str:
    """What a step is after work in `before`, right after it where that `is_running`; None: before anything was done."""
    if region is None:
        return "[dim]waits[/dim]" if before is None else "[dim]suspended[/dim]"
    if before is None:
        return "starts"
    if region != before:
        return "[bold]moves[/bold]"
    return "rescales" if is_running else "resumes"


def _comparison_table(planned: Planned) -> Table:
    from rich.table import Table

    from carbon_ray.reports.wording import mass, number, percent, short_instant, significant

    ours, before = planned.plan.expected, planned.run_now.expected
    table = Table(title="Expected", title_justify="left")
    table.add_column("")
    table.add_column(f"run now in {planned.workload.home_region}", justify="right")
    table.add_column("plan", justify="right", style="bold green")
    table.add_row("Emissions (CO2e)", mass(before.gco2), mass(ours.gco2))
    table.add_row("Saved", "", percent(planned.saving_fraction))
    table.add_row("Energy (kWh)", significant(before.energy_kwh), significant(ours.energy_kwh))
    if before.usd or ours.usd:
        table.add_row("Cost (USD)", number(before.usd), number(ours.usd))
    table.add_row("Finished (UTC)", short_instant(before.finish_at), short_instant(ours.finish_at))
    table.add_row("Suspends / moves", "0 / 0", f"{ours.suspends} / {ours.moves}")
    if (other := planned.plan.runner_up) is not None:
        table.add_row(f"Next best: {other.description}", "", f"{number(other.extra_usd)} USD dearer")
    return table
