"""What is to be run: the work, what moving it costs, and what its owner asks for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from carbon_ray.core.clock import require_utc
from carbon_ray.core.objective import Objective
from carbon_ray.core.transfers import Transfers


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingProfile:
    """Throughput by worker count, relative to one worker.

    Attributes:
        throughput: `throughput[n - 1]` is the rate of n workers; the first is 1.
    """

    throughput: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        if not self.throughput or self.throughput[0] != 1.0 or min(self.throughput) <= 0:
            raise ValueError("throughput must start with 1.0 and stay above 0")

    def rate(self, workers: int, reference: int) -> float:
        """Rate of so many workers relative to `reference` workers; 1 where the two are the same, also beyond the profile."""
        return 1.0 if workers == reference else self.throughput[workers - 1] / self.throughput[reference - 1]

    @classmethod
    def linear(cls, workers: int) -> ScalingProfile:
        """n workers are n times as fast."""
        return cls(throughput=tuple(float(n + 1) for n in range(workers)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Overheads:
    """What suspending, resuming and moving cost. Spans in hours of the running workload's power, or in seconds of time.

    For an elastic workload the power is that of its default worker count: what is written and read does not grow with the count.

    Attributes:
        checkpoint_h: Energy of writing a checkpoint at a suspend or move, in running hours, at the intensity of the slot
            that has just run.
        restore_h: Energy of a resume, in running hours, at the intensity of the slot it happens in.
        migrate_h: Extra energy of a start in another region than the checkpoint's, in running hours.
        rescale_h: Extra energy of a change of worker count without a pause, in running hours; it also is a stop and a resume,
            and pays for both.
        startup_s: Time from the start of a segment to its first step: nodes are held at idle power, no work is done.
        egress_usd: Price of moving the checkpoint to another region, USD.
        transfers: What moving the checkpoint takes between any two regions, on top of `migrate_h` and `egress_usd`; None = nothing.
        checkpoint_every_s: Time between durable checkpoints while it runs, seconds: what a lost node costs at most. None where nobody
            said: then all work since the start counts as lost.
    """

    checkpoint_h: float = 0.0
    restore_h: float = 0.0
    migrate_h: float = 0.0
    startup_s: float = 0.0
    egress_usd: float = 0.0
    checkpoint_every_s: float | None = None
    rescale_h: float = 0.0
    transfers: Transfers | None = None

    def __post_init__(self) -> None:
        if min(self.checkpoint_h, self.restore_h, self.migrate_h, self.startup_s, self.egress_usd, self.rescale_h) < 0:
            raise ValueError("overheads must not be negative")
        if self.checkpoint_every_s is not None and not self.checkpoint_every_s > 0:
            raise ValueError("checkpoint_every_s must be above 0, or None where it is not known")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One training run and its owner's wishes.

    Attributes:
        workload_id: Unique in the ledger; a resubmission under the same id goes on with the same run.
        work_h: Running hours of the whole work with `workers` workers.
        workers: Worker count of a segment; of an elastic workload the default one, by which `work_h` is defined.
        resources_per_worker: Ray resources of one worker.
        home_region: Where it would run without carbon_ray; the run-now counterfactual is priced there.
        regions: Allowed regions, home included if it is allowed.
        submitted_at: Aware UTC.
        deadline_at: Hard; aware UTC.
        objective: Prices of carbon and delay.
        overheads: What moving costs.
        utilisation_fraction: Utilisation of the held nodes while steps are made, 0..1, for the power model.
        total_steps: Steps of the whole work, where known: progress is then measured, not assumed.
        safety_margin_s: The work is planned to end this long before the deadline.
        profile: Throughput by worker count.
        worker_counts: Counts that a segment may run with, ascending, `workers` among them; empty where the work is rigid.
        max_moves: Most changes of region after the first start; None = any number.
        min_segment_s: A segment that has begun works at least so long, unless the work ends; plans keep to it in whole slots.
        carbon_budget_gco2: Most emissions of the whole work, g; plans keep the expected ones within it. None = no limit.
        cost_budget_usd: Most money for nodes and transfers of the whole work, likewise.
        work_h_high: Running hours that the work will hardly exceed, where `work_h` is an estimate: a high quantile. The deadline is
            met even then; None where `work_h` is certain.
    """

    workload_id: str
    work_h: float
    workers: int
    resources_per_worker: Mapping[str, float]
    home_region: str
    regions: tuple[str, ...]
    submitted_at: datetime
    deadline_at: datetime
    objective: Objective = field(default_factory=Objective)
    overheads: Overheads = field(default_factory=Overheads)
    utilisation_fraction: float = 0.9
    total_steps: int | None = None
    safety_margin_s: float = 0.0
    profile: ScalingProfile = field(default_factory=ScalingProfile)
    worker_counts: tuple[int, ...] = ()
    max_moves: int | None = None
    min_segment_s: float = 0.0
    carbon_budget_gco2: float | None = None
    cost_budget_usd: float | None = None
    work_h_high: float | None = None

    def __post_init__(self) -> None:
        require_utc(self.submitted_at, "submitted_at")
        require_utc(self.deadline_at, "deadline_at")
        if not self.work_h > 0:
            raise ValueError(f"work_h must be above 0, got {self.work_h}")
        if self.workers < 1:
            raise ValueError(f"workers must be at least 1, got {self.workers}")
        if not self.regions:
            raise ValueError("regions must name at least one region")
        if not 0 <= self.utilisation_fraction <= 1:
            raise ValueError(f"utilisation_fraction must be within 0..1, got {self.utilisation_fraction}")
        if self.total_steps is not None and self.total_steps < 1:
            raise ValueError(f"total_steps must be at least 1, got {self.total_steps}")
        if self.work_h_high is not None and not self.work_h <= self.work_h_high < math.inf:
            raise ValueError(f"work_h_high must not be below work_h = {self.work_h:g}, got {self.work_h_high}")
        if self.worker_counts:
            self._check_counts()
        for name in ("max_moves", "min_segment_s", "carbon_budget_gco2", "cost_budget_usd"):
            wanted = getattr(self, name)
            if wanted is not None and not 0 <= wanted < math.inf:
                raise ValueError(f"{name} must not be negative, got {wanted}")

    def _check_counts(self) -> None:
        counts, known = self.worker_counts, len(self.profile.throughput)
        if list(counts) != sorted(set(counts)) or counts[0] < 1:
            raise ValueError(f"worker_counts must be ascending numbers of at least 1, each once, got {counts}")
        if self.workers not in counts:
            raise ValueError(f"worker_counts must hold the default count, {self.workers} workers, got {counts}")
        if counts[-1] > known and len(counts) > 1:
            raise ValueError(
                f"worker_counts go up to {counts[-1]}, but the profile tells the throughput of {known} only; give "
                f"profile=ScalingProfile(throughput=...) with {counts[-1]} numbers, or ScalingProfile.linear({counts[-1]})"
            )

    @property
    def counts(self) -> tuple[int, ...]:
        """Worker counts that it may run with, ascending."""
        return self.worker_counts or (self.workers,)

    @property
    def is_elastic(self) -> bool:
        """True if there is a choice of worker counts."""
        return len(self.worker_counts) > 1

    @property
    def rigid(self) -> Workload:
        """The same work with its default worker count alone."""
        return replace(self, worker_counts=()) if self.worker_counts else self

    def rate(self, workers: int) -> float:
        """Running hours, as `work_h` counts them, that so many workers do in an hour."""
        return self.profile.rate(workers, self.workers)

    def pace(self, workers: int) -> float:
        """`rate`, or 1 for a worker count that the workload does not name: for books that may hold any count."""
        return self.rate(workers) if workers in self.counts else 1.0

    @property
    def longest_h(self) -> float:
        """Running hours of the whole work that plans make room for."""
        return self.work_h if self.work_h_high is None else self.work_h_high

    def remaining_after(self, done_h: float) -> tuple[float, float]:
        """Estimate of the running hours still to do, and the most that plans make room for, when nothing but the hours done is known.

        Neither falls below a hundredth of the work, because only the workload itself knows that it is done.
        """
        left_h = max(self.work_h - done_h, 0.01 * self.work_h)
        return left_h, max(self.longest_h - done_h, left_h)

    @property
    def latest_finish_at(self) -> datetime:
        """The deadline less the safety margin; plans end here."""
        return self.deadline_at - timedelta(seconds=self.safety_margin_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a workload stands.

    Attributes:
        remaining_h: Running hours still to do.
        region: Where its newest checkpoint, or the running segment, is.
        is_running: True while a segment runs.
        is_started: True once any work was done: the next start pays a restore.
        since_at: When it last started, moved or suspended; None before the first start.
        starting_s: Seconds a running segment still needs before its first step; 0 once it steps.
        emitted_gco2: Its emissions until now, g; None where nobody counted.
        run_now_gco2: What run-now would have emitted until now, g; None where nobody counted.
        last_gco2_per_kwh: Intensity of the slot that has just run, where it runs: what a checkpoint written now is priced at. None
            where it does not run, or nobody looked: the forecast of the slot that begins stands in for it.
        workers: Worker count that it runs with; None for the workload's default.
        moves: Changes of region until now, the first start not counted.
        spent_usd: Money spent until now; None where nobody counted.
        remaining_high_h: Running hours still to do that it will hardly exceed; None for `remaining_h` in the proportion of the
            workload's `work_h_high` to its `work_h`.
    """

    remaining_h: float
    region: str
    is_running: bool = False
    is_started: bool = False
    since_at: datetime | None = None
    starting_s: float = 0.0
    emitted_gco2: float | None = None
    run_now_gco2: float | None = None
    last_gco2_per_kwh: float | None = None
    workers: int | None = None
    moves: int = 0
    spent_usd: float | None = None
    remaining_high_h: float | None = None

    def longest_h(self, workload: Workload) -> float:
        """Running hours still to do that plans make room for."""
        if self.remaining_high_h is not None:
            return max(self.remaining_h, self.remaining_high_h)
        return self.remaining_h if workload.work_h_high is None else self.remaining_h * workload.work_h_high / workload.work_h
