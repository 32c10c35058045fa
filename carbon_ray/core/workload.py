"""What is to be run: the work, what moving it costs, and what its owner asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from carbon_ray.core.clock import require_utc
from carbon_ray.core.objective import Objective


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

    @classmethod
    def linear(cls, workers: int) -> ScalingProfile:
        """n workers are n times as fast."""
        return cls(throughput=tuple(float(n + 1) for n in range(workers)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Overheads:
    """What suspending, resuming and moving cost. Spans in hours of the running workload's power, or in seconds of time.

    Attributes:
        checkpoint_h: Energy of writing a checkpoint at a suspend or move, in running hours, at the intensity of the slot
            that has just run.
        restore_h: Energy of a resume, in running hours, at the intensity of the slot it happens in.
        migrate_h: Extra energy of a start in another region than the checkpoint's, in running hours.
        startup_s: Time from the start of a segment to its first step: nodes are held at idle power, no work is done.
        egress_usd: Price of moving the checkpoint to another region, USD.
        checkpoint_every_s: Time between durable checkpoints while it runs, seconds: what a lost node costs at most. None where nobody
            said: then all work since the start counts as lost.
    """

    checkpoint_h: float = 0.0
    restore_h: float = 0.0
    migrate_h: float = 0.0
    startup_s: float = 0.0
    egress_usd: float = 0.0
    checkpoint_every_s: float | None = None

    def __post_init__(self) -> None:
        if min(self.checkpoint_h, self.restore_h, self.migrate_h, self.startup_s, self.egress_usd) < 0:
            raise ValueError("overheads must not be negative")
        if self.checkpoint_every_s is not None and not self.checkpoint_every_s > 0:
            raise ValueError("checkpoint_every_s must be above 0, or None where it is not known")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One training run and its owner's wishes.

    Attributes:
        workload_id: Unique in the ledger; a resubmission under the same id goes on with the same run.
        work_h: Running hours of the whole work with `workers` workers.
        workers: Worker count of a segment (the work is rigid).
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
