"""Job sets: what is submitted when, made from rows of a trace or drawn from a seed. No file is read here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import NamedTuple

import numpy as np

from carbon_ray.core.clock import require_utc
from carbon_ray.core.errors import ConfigError
from carbon_ray.core.objective import PRESETS, Objective
from carbon_ray.core.units import S_PER_H
from carbon_ray.core.workload import Overheads, ScalingProfile, Workload

SlackRule = Callable[[float], float]
"""From the running hours of a job to the hours that it may be late against run-now."""


def fixed_slack(slack_h: float) -> SlackRule:
    """The same hours for every job."""
    _require_slack(slack_h)
    return lambda _: slack_h


def slack_times_length(multiple: float) -> SlackRule:
    """So many times the job's own length."""
    _require_slack(multiple)
    return lambda length_h: multiple * length_h


def _require_slack(slack: float) -> None:
    if not 0 <= slack < float("inf"):
        raise ConfigError(f"slack must be a number of 0 or above, got {slack}")


class Row(NamedTuple):
    """One line of a job trace, times in hours from its start."""

    arrival_h: float
    length_h: float
    cpus: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A workload as a simulation submits it.

    Attributes:
        workload: What is to be run.
        priority: Weight against other workloads where capacity is scarce; only fleet policies look at it.
        team: Whose; likewise.
        checkpoint_bytes: What travels when it changes its region.
        true_work_h: Running hours that it really takes; None for what the workload says. Policies see only the hours done.
    """

    workload: Workload
    priority: float = 1.0
    team: str = ""
    checkpoint_bytes: float = 0.0
    true_work_h: float | None = None

    @property
    def length_h(self) -> float:
        """Running hours that it really takes."""
        return self.workload.work_h if self.true_work_h is None else self.true_work_h


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSet:
    """Jobs in order of submission.

    Attributes:
        name: As results show it.
        jobs: In order of submission; workload ids are unique.
        block_days: Days that are drawn together when the set's statistics are bootstrapped: a week where jobs may be moved
            over days, so that a draw does not cut them apart.
    """

    name: str
    jobs: tuple[Job, ...]
    block_days: int = 1

    def __post_init__(self) -> None:
        if not self.jobs:
            raise ConfigError(f"job set {self.name} is empty")
        if len({job.workload.workload_id for job in self.jobs}) != len(self.jobs):
            raise ConfigError(f"job set {self.name}: workload ids must be unique")
        times = [job.workload.submitted_at for job in self.jobs]
        if times != sorted(times):
            raise ConfigError(f"job set {self.name}: jobs must be in order of submission")


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """What all jobs of a set have in common.

    Attributes:
        start_at: Instant of hour 0 of the rows, aware UTC.
        regions: Where jobs may run.
        homes: Home regions, taken in turn, job by job; empty takes `regions`.
        slack: Slack rule. The deadline is submission + start-up + length + slack, so that a slack of 0 is just run-now.
        objective: Prices.
        overheads: What moving costs.
        resources_per_worker: Ray resources of one worker.
        workers_per_cpu: Workers for each CPU of a row, rounded up to at least one; 0 = one worker, whatever the row says.
        utilisation_fraction: Of the nodes while running.
        checkpoint_bytes: What travels when a job changes its region.
        worker_counts: As `Workload.worker_counts`; each job's own count is added.
        profile: Throughput by worker count.
    """

    start_at: datetime
    regions: tuple[str, ...]
    homes: tuple[str, ...] = ()
    slack: SlackRule
    objective: Objective = PRESETS["carbon"]
    overheads: Overheads = field(default_factory=Overheads)
    resources_per_worker: Mapping[str, float] = field(default_factory=lambda: {"CPU": 1.0})
    workers_per_cpu: float = 0.0
    utilisation_fraction: float = 1.0
    checkpoint_bytes: float = 0.0
    worker_counts: tuple[int, ...] = ()
    profile: ScalingProfile = field(default_factory=ScalingProfile)

    def __post_init__(self) -> None:
        require_utc(self.start_at, "start_at")
        if not self.regions:
            raise ConfigError("a job template must name at least one region")

    def job(self, row: Row, number: int, name: str) -> Job:
        """The job of one row.

        Raises:
            ConfigError: The row's length is not above zero, or its arrival before the start.
        """
        if not row.length_h > 0 or not row.arrival_h >= 0:
            raise ConfigError(f"row {number} of {name}: length must be above 0 and arrival not before 0, got {row}")
        homes = self.homes or self.regions
        submitted_at = self.start_at + timedelta(hours=row.arrival_h)
        span_h = self.overheads.startup_s / S_PER_H + row.length_h + self.slack(row.length_h)
        workers = max(1, int(np.ceil(row.cpus * self.workers_per_cpu)))
        workload = Workload(
            workload_id=f"{name}-{number:06d}",
            work_h=row.length_h,
            workers=workers,
            worker_counts=tuple(sorted({workers, *self.worker_counts})) if self.worker_counts else (),
            profile=self.profile,
            resources_per_worker=self.resources_per_worker,
            home_region=homes[number % len(homes)],
            regions=self.regions,
            submitted_at=submitted_at,
            deadline_at=submitted_at + timedelta(hours=span_h),
            objective=self.objective,
            overheads=self.overheads,
            utilisation_fraction=self.utilisation_fraction,
        )
        return Job(workload=workload, checkpoint_bytes=self.checkpoint_bytes)


def job_set(name: str, rows: Iterable[Row], template: Template, *, block_days: int = 1) -> JobSet:
    """The set of all rows, sorted by arrival; rows that arrive together keep their order.

    Raises:
        ConfigError: A row is wrong, or there is none.
    """
    ordered = sorted(rows, key=lambda row: row.arrival_h)
    return JobSet(name=name, jobs=tuple(template.job(row, number, name) for number, row in enumerate(ordered)), block_days=block_days)


def every(
    name: str, template: Template, *, length_h: float, step_h: float, count: int, first_h: float = 0.0, block_days: int = 1
) -> JobSet:
    """One job of `length_h` hours for every home, every `step_h` hours: the layout of a comparison table, in which no start is preferred.

    Raises:
        ConfigError: A number is out of range.
    """
    if count < 1 or not step_h > 0:
        raise ConfigError(f"a regular job set needs a count of at least 1 and step_h above 0, got {count} and {step_h}")
    homes = template.homes or template.regions
    rows = [Row(first_h + number * step_h, length_h, 1) for number in range(count) for _ in homes]
    return job_set(name, rows, template, block_days=block_days)


def rows_of(table: Sequence[Mapping[str, str]], *, hours_per_unit: float) -> list[Row]:
    """Rows of a job trace with the columns `arrival_time`, `length` and `cpus`.

    Args:
        table: Rows as text, as a CSV reader gives them.
        hours_per_unit: Hours that one unit of arrival and length stands for: 1 for hours, 1/3600 for seconds.

    Raises:
        ConfigError: A column is missing or no number; says in which row.
    """
    rows = []
    for number, line in enumerate(table):
        try:
            cpus = int(float(line.get("cpus") or 1))
            rows.append(Row(float(line["arrival_time"]) * hours_per_unit, float(line["length"]) * hours_per_unit, cpus))
        except (KeyError, TypeError, ValueError):
            raise ConfigError(
                f"row {number} of the job trace needs numbers in arrival_time and length (and cpus), got {dict(line)}"
            ) from None
    return rows


def random_rows(seed: int, *, count: int, days: float, lengths_h: Sequence[float]) -> list[Row]:
    """Jobs that arrive at any whole minute, each hour alike, with lengths drawn from a list.

    Raises:
        ConfigError: A number is out of range.
    """
    if count < 1 or not days > 0 or not lengths_h:
        raise ConfigError("random jobs need a count of at least 1, days above 0 and at least one length")
    random = np.random.default_rng(seed)
    minutes = np.sort(random.integers(0, max(1, int(days * 24 * 60)), count)) / 60.0
    lengths = random.choice(np.asarray(lengths_h, dtype=np.float64), count)
    return [Row(float(arrival), float(length), 1) for arrival, length in zip(minutes, lengths, strict=True)]


def machine_learning_rows(seed: int = 0, *, year: int = 2020, count: int = 3387) -> list[Row]:
    """Training jobs of a research group over one year: submitted on working days from 9:00 to 16:30, 4 to 90 hours long.

    The three draws, in this order: jobs of each working day (multinomial, all alike); for each day its times, multiples of half an
    hour, sorted; the lengths of all jobs, multiples of half an hour. Seed 0 and year 2020 give the published set.

    Source: the machine-learning scenario of Wiesner et al., "Let's Wait Awhile: How Temporal Workload Shifting Can Reduce Carbon
    Emissions in the Cloud", Middleware 2021, doi:10.1145/3464298.3493399.
    """
    first = date(year, 1, 1)
    length_of_year = (date(year + 1, 1, 1) - first).days
    working = [day for day in range(length_of_year) if (first + timedelta(days=day)).weekday() < 5]
    random = np.random.default_rng(seed)
    counts = random.multinomial(count, np.full(len(working), 1 / len(working)))
    submitted_min = [
        24 * 60 * day + minute
        for day, jobs in zip(working, counts.tolist(), strict=True)
        for minute in sorted(random.choice(range(540, 1020, 30), jobs).tolist())
    ]
    length_min = random.choice(range(240, 5400, 30), count).tolist()
    return [Row(arrival / 60.0, length / 60.0, 1) for arrival, length in zip(submitted_min, length_min, strict=True)]


def with_objective(jobs: JobSet, objective: Objective) -> JobSet:
    """The same jobs at other prices."""
    changed = tuple(replace(job, workload=replace(job.workload, objective=objective)) for job in jobs.jobs)
    return replace(jobs, jobs=changed)
