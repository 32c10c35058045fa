"""Advice for one workload: where it should run in each future interval, what that is expected to cost, and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanStep:
    """One stretch of a plan.

    Attributes:
        start_at: Aware UTC.
        end_at: Aware UTC; the stretch is half-open.
        region: Where it runs; None while suspended.
        workers: Worker count; 0 while suspended.
    """

    start_at: datetime
    end_at: datetime
    region: str | None
    workers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a plan is expected to cost from now on.

    Attributes:
        objective_usd: Value of the objective, USD; the plan minimises it.
        gco2: Emissions, g.
        energy_kwh: Energy at the site, PUE included.
        usd: Money for nodes and transfer.
        finish_at: End of the work, aware UTC.
        suspends: Number of pauses.
        moves: Changes of region after the first start; that one counts as none, wherever it is.
        rescales: Changes of the worker count without a pause.
    """

    objective_usd: float
    gco2: float
    energy_kwh: float
    usd: float
    finish_at: datetime
    suspends: int
    moves: int
    rescales: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerUp:
    """The best plan that begins in another way.

    Attributes:
        region: Where it begins; None where it holds nothing at first.
        workers: Worker count that it begins with; 0 while it holds nothing.
        objective_usd: Expected value of the objective, USD.
        extra_usd: What it costs above the plan chosen, USD; where a budget has raised prices, at these.
        description: What it does at once, as a person says it ("waiting").
    """

    region: str | None
    workers: int
    objective_usd: float
    extra_usd: float
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A workload's plan; advice for now, replaced at the next tick.

    Attributes:
        workload_id: Whose.
        created_at: When it was made, aware UTC.
        steps: Stretches in order of time, without gaps, from `created_at` to the end of the work.
        expected: Totals.
        reason: One line for a person.
        forecast_version: Snapshot it rests on.
        overrun_gco2: Expected emissions of the whole work above its carbon budget, g; 0 where the budget is kept, or there is none.
        overrun_usd: Expected money of the whole work above its cost budget, likewise.
        runner_up: The best plan that begins in another way; None where there is none, or nobody looked.
    """

    workload_id: str
    created_at: datetime
    steps: tuple[PlanStep, ...]
    expected: Expected
    reason: str
    forecast_version: int
    overrun_gco2: float = 0.0
    overrun_usd: float = 0.0
    runner_up: RunnerUp | None = None

    @property
    def now(self) -> PlanStep:
        """What to do at once."""
        return self.steps[0]
