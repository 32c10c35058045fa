"""What a decision about a sweep is made from, and what it says: frozen values, no Ray."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Protocol

from carbon_ray.core.clock import require_utc
from carbon_ray.core.forecast import ForecastSnapshot
from carbon_ray.core.objective import Objective
from carbon_ray.core.region import Region


class TrialState(Enum):
    """Where a live trial stands. Ended trials are not shown to a policy."""

    PENDING = "pending"
    RUNNING = "running"
    HELD = "held"
    """Paused by carbon_ray; only carbon_ray resumes it."""
    PAUSED = "paused"
    """Paused by the base scheduler; only the base scheduler resumes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialView:
    """A live trial as the policy sees it.

    Attributes:
        trial_id: Its name in Tune.
        state: Where it stands.
        region: Name of the region that it runs in, or whose store its checkpoint is in; empty before its first start.
        iterations: Results reported so far.
        scores: The last scores by iteration, ascending in iteration, greater is better (the sign of a metric to be minimised is
            turned); at most the latest `SCORES_KEPT`.
        seconds_per_iteration: Running mean of its iterations, seconds; None before the first.
        energy_kwh: What it has drawn.
        emitted_gco2: What it has emitted.
        can_hold: It would go on from a checkpoint if it were paused now.
        state_bytes: Size of its checkpoint when it was last held or paused, bytes; 0 before, and where that cannot be told.
    """

    trial_id: str
    state: TrialState
    region: str = ""
    iterations: int = 0
    scores: tuple[tuple[int, float], ...] = ()
    seconds_per_iteration: float | None = None
    energy_kwh: float = 0.0
    emitted_gco2: float = 0.0
    can_hold: bool = True
    state_bytes: int = 0


SCORES_KEPT = 32
"""Points of a learning curve that a policy sees; more would only cost time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepView:
    """A sweep as the policy sees it.

    Attributes:
        started_at: When its first trial was added, aware UTC.
        deadline_at: When the whole sweep has to be done, aware UTC; None: no deadline.
        budget_gco2: Most that the sweep may emit, gCO2e; None: no budget.
        emitted_gco2: What it has emitted, gCO2e, ended trials and those now running included.
        objective: Prices of carbon, money and delay.
        min_concurrency: Trials that run whatever the grid says.
        max_concurrency: Trials that the cluster (or the user) lets run at once.
        power_w: What one running trial draws, W at the wall, without the PUE; a mean of what was measured, or the model's.
        trials: The live ones.
        ended: Trials that have ended.
        unstarted: Trials that the searcher has still to suggest; None: it does not say.
        remaining_trial_s: Expected seconds of running that the sweep still needs, all trials together (those of one slot at a
            time); from the iterations left, the survival through the rungs, and the mean seconds of an iteration.
        iteration_s: Mean seconds of an iteration, ended trials included; None before the first.
        max_iterations: Iterations of a trial that nobody stops; None: not known.
        best_score: Best score of any trial, ended ones included, greater is better; None before the first.
        rung_scores: By milestone of iterations, the scores that trials had there, ended ones included, ascending; greater is better.
        room: Trials that each region can hold at once; a region that is not named can hold `max_concurrency`.
    """

    started_at: datetime
    deadline_at: datetime | None = None
    budget_gco2: float | None = None
    emitted_gco2: float = 0.0
    objective: Objective = field(default_factory=Objective)
    min_concurrency: int = 0
    max_concurrency: int = 1
    power_w: float = 300.0
    trials: tuple[TrialView, ...] = ()
    ended: int = 0
    unstarted: int | None = None
    remaining_trial_s: float = 0.0
    iteration_s: float | None = None
    max_iterations: int | None = None
    best_score: float | None = None
    rung_scores: Mapping[int, Sequence[float]] = field(default_factory=dict)
    room: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_utc(self.started_at, "started_at")
        if self.deadline_at is not None:
            require_utc(self.deadline_at, "deadline_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepDecision:
    """What a sweep may do until it is asked again.

    Attributes:
        slots: Trials that may run now, by region; their sum is the concurrency.
        order: Live trials from the one that most deserves to run to the one that least does; those beyond the slots are held.
            New trials (from the searcher) come after the held ones that are named before `None`, and before those named after it.
        stop: Trials to end for good, with the reason of each.
        region_of: Where a held trial is to resume, by its id, where that differs from where its checkpoint is.
        check_at: Ask again no later than this, aware UTC.
        reason: One line that a person understands.
        forecaster: Name of the forecast that was used.
        is_over: Deadline or budget is used up: all live trials are in `stop`, and no new one may start.
    """

    slots: Mapping[str, int]
    order: tuple[str | None, ...] = (None,)
    stop: Mapping[str, str] = field(default_factory=dict)
    region_of: Mapping[str, str] = field(default_factory=dict)
    check_at: datetime
    reason: str
    forecaster: str = ""
    is_over: bool = False

    @property
    def concurrency(self) -> int:
        """Trials that may run now in all regions."""
        return sum(self.slots.values())


class SweepPolicy(Protocol):
    """Decides how many trials of a sweep may run now, and which. Pure: no clock, no I/O, no memory between calls."""

    def decide(self, sweep: SweepView, regions: Sequence[Region], snapshot: ForecastSnapshot, *, now: datetime) -> SweepDecision:
        """What the sweep may do now."""
        ...
