"""What the owner of a workload may ask for beside a deadline, as options of the command line."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from carbon_ray.cli import parsing
from carbon_ray.core.errors import ConfigError
from carbon_ray.core.units import G_PER_KG
from carbon_ray.core.workload import ScalingProfile

HoursHigh = Annotated[float | None, typer.Option("--hours-high", help="Running hours that the work will hardly exceed.")]
WorkerCounts = Annotated[str | None, typer.Option(help="Worker counts that it may run with, 1 among them: 1,2,4.")]
Throughput = Annotated[str | None, typer.Option(help="Speed of 1, 2, ... workers relative to one: 1,1.9,2.7; n times by default.")]
MaxMoves = Annotated[int | None, typer.Option(help="Most changes of zone after the first start.")]
MinSegment = Annotated[str | None, typer.Option(help="Once begun, it runs at least so long: 30m.")]
CarbonBudget = Annotated[float | None, typer.Option("--carbon-budget-kg", help="Most emissions of the work, kg CO2e.")]
CostBudget = Annotated[float | None, typer.Option("--cost-budget-usd", help="Most money for its nodes, USD.")]


def wishes(
    *,
    hours: float,
    hours_high: float | None,
    worker_counts: str | None,
    throughput: str | None,
    max_moves: int | None,
    min_segment: str | None,
    carbon_budget_kg: float | None,
    cost_budget_usd: float | None,
) -> dict[str, Any]:
    """The fields of a `Workload` of one worker that the options stand for.

    Raises:
        ConfigError: An option is wrong; says which.
    """
    counts = () if worker_counts is None else _counts(worker_counts)
    if throughput is not None and not counts:
        raise ConfigError("--throughput tells the speed of worker counts; give --worker-counts as well")
    if hours_high is not None and not hours_high >= hours:
        raise ConfigError(f"--hours-high must not be below --hours {hours:g}, got {hours_high:g}")
    found: dict[str, Any] = {
        "work_h_high": hours_high,
        "worker_counts": counts,
        "max_moves": _not_negative(max_moves, "--max-moves"),
        "min_segment_s": 0.0 if min_segment is None else parsing.span(min_segment, "--min-segment").total_seconds(),
        "carbon_budget_gco2": None if carbon_budget_kg is None else _not_negative(carbon_budget_kg, "--carbon-budget-kg") * G_PER_KG,
        "cost_budget_usd": _not_negative(cost_budget_usd, "--cost-budget-usd"),
    }
    if counts:
        found["profile"] = ScalingProfile.linear(counts[-1]) if throughput is None else _profile(throughput, counts[-1])
    return found


def _counts(text: str) -> tuple[int, ...]:
    given = parsing.numbers(text, "--worker-counts")
    if any(one < 1 or one != int(one) for one in given):
        raise ConfigError(f"--worker-counts {text!r} must be whole numbers of at least 1; write for example --worker-counts 1,2,4")
    counts = tuple(sorted(map(int, given)))
    if counts[0] != 1:
        raise ConfigError("--worker-counts must hold 1: --hours and --power-w are those of one worker")
    return counts


def _profile(text: str, most: int) -> ScalingProfile:
    try:
        rates = tuple(float(part) for part in text.split(","))
        profile = ScalingProfile(throughput=rates)
    except ValueError:
        raise ConfigError(f"--throughput {text!r} must be numbers above 0 that begin with 1; write for example 1,1.9,2.7") from None
    if len(rates) < most:
        raise ConfigError(f"--throughput tells {len(rates)} speeds, and --worker-counts go up to {most}; give {most} numbers")
    return profile


def _not_negative(value: Any, option: str) -> Any:
    if value is not None and not value >= 0:
        raise ConfigError(f"{option} must not be negative, got {value:g}")
    return value
