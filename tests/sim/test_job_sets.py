"""Job sets: the published generator to the last job, traces, slack rules, and what is refused."""

from __future__ import annotations

import csv
import gzip
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_ray.core.errors import ConfigError
from carbon_ray.core.workload import Overheads
from carbon_ray.sim.jobs import (
    JobSet,
    Row,
    Template,
    every,
    fixed_slack,
    job_set,
    machine_learning_rows,
    random_rows,
    rows_of,
    slack_times_length,
)

DATA = Path(os.environ.get("CARBON_RAY_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
needs_data = pytest.mark.skipif(not (DATA / "jobs").is_dir(), reason=f"the job traces are not at {DATA}; set CARBON_RAY_DATA")
T0 = datetime(2020, 1, 1, tzinfo=UTC)


def template(**changes: Any) -> Template:
    return Template(**{"start_at": T0, "regions": ("A", "B"), "slack": fixed_slack(24.0), **changes})


@needs_data
def test_machine_learning_jobs_are_the_published_ones() -> None:
    with gzip.open(DATA / "golden" / "lwa_jobs.csv.gz", "rt") as file:
        published = [(float(row["submit_min"]), float(row["duration_min"])) for row in csv.DictReader(file)]
    rows = machine_learning_rows()
    assert len(rows) == len(published) == 3387
    np.testing.assert_allclose([(row.arrival_h * 60, row.length_h * 60) for row in rows], published, rtol=1e-12)


def test_machine_learning_jobs_come_on_working_days_in_working_hours() -> None:
    rows = machine_learning_rows(7, year=2023, count=500)
    start = datetime(2023, 1, 1, tzinfo=UTC)
    arrivals = [start + timedelta(hours=row.arrival_h) for row in rows]
    assert arrivals == sorted(arrivals)
    assert all(at.weekday() < 5 and 9 <= at.hour < 17 and at.year == 2023 for at in arrivals)
    assert all(4 <= row.length_h < 90 for row in rows)
    assert rows == machine_learning_rows(7, year=2023, count=500) != machine_learning_rows(8, year=2023, count=500)


@needs_data
def test_traces_in_seconds_and_in_hours() -> None:
    with (DATA / "jobs" / "pai_1k.csv").open() as file:
        week = rows_of(list(csv.DictReader(file)), hours_per_unit=1 / 3600)
    with gzip.open(DATA / "jobs" / "pai_100k_sample_5000.csv.gz", "rt") as file:
        year = rows_of(list(csv.DictReader(file)), hours_per_unit=1.0)
    assert (len(week), len(year)) == (1000, 5000)
    assert week[0] == Row(0.0, pytest.approx(6302 / 3600), 1)
    assert max(row.arrival_h for row in week) < 7 * 24 + 1
    assert 300 * 24 < max(row.arrival_h for row in year) < 366 * 24
    assert len(job_set("year", year, template()).jobs) == 5000


@pytest.mark.parametrize(
    ("rule", "length_h", "slack_h"),
    [(fixed_slack(24), 6.0, 24.0), (fixed_slack(0), 6.0, 0.0), (slack_times_length(0.5), 6.0, 3.0), (slack_times_length(2), 1.5, 3.0)],
)
def test_slack_counts_from_run_now(rule: Callable[[float], float], length_h: float, slack_h: float) -> None:
    made = template(slack=rule, overheads=Overheads(startup_s=1800.0))
    (job,) = job_set("set", [Row(10.0, length_h, 1)], made).jobs
    assert job.workload.submitted_at == T0 + timedelta(hours=10)
    assert job.workload.deadline_at == T0 + timedelta(hours=10 + 0.5 + length_h + slack_h)


def test_homes_in_turn_and_workers_by_cpu() -> None:
    rows = [Row(2.0, 1.0, 3), Row(1.0, 1.0, 1), Row(1.0, 2.0, 8)]
    jobs = job_set("set", rows, template(workers_per_cpu=0.5)).jobs
    assert [(job.workload.work_h, job.workload.workers, job.workload.home_region) for job in jobs] == [
        (1.0, 1, "A"),
        (2.0, 4, "B"),
        (1.0, 2, "A"),
    ]
    assert [job.workload.workload_id for job in jobs] == ["set-000000", "set-000001", "set-000002"]
    one_each = job_set("set", rows, template(homes=("B",))).jobs
    assert {(job.workload.workers, job.workload.home_region) for job in one_each} == {(1, "B")}


def test_regular_jobs_visit_every_home_at_every_start() -> None:
    jobs = every("table", template(), length_h=6.0, step_h=37.0, count=24).jobs
    starts = {(job.workload.submitted_at, job.workload.home_region) for job in jobs}
    assert len(jobs) == len(starts) == 48
    assert {job.workload.submitted_at.hour for job in jobs} == set(range(24))


@given(st.integers(0, 10**6), st.integers(1, 50))
def test_random_jobs_depend_on_their_seed_alone(seed: int, count: int) -> None:
    rows = random_rows(seed, count=count, days=3.0, lengths_h=[1.0, 5.0])
    assert rows == random_rows(seed, count=count, days=3.0, lengths_h=[1.0, 5.0])
    assert len(rows) == count
    assert all(0 <= row.arrival_h < 72 and row.length_h in (1.0, 5.0) for row in rows)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: job_set("set", [], template()), "is empty"),
        (lambda: job_set("set", [Row(0.0, 0.0, 1)], template()), "length must be above 0"),
        (lambda: job_set("set", [Row(-1.0, 1.0, 1)], template()), "arrival not before 0"),
        (lambda: template(regions=()), "at least one region"),
        (lambda: fixed_slack(-1), "slack must be"),
        (lambda: slack_times_length(float("inf")), "slack must be"),
        (lambda: every("set", template(), length_h=1.0, step_h=0.0, count=3), "step_h above 0"),
        (lambda: random_rows(0, count=0, days=1.0, lengths_h=[1.0]), "count of at least 1"),
        (lambda: rows_of([{"arrival_time": "1", "length": "x"}], hours_per_unit=1.0), "row 0 of the job trace"),
        (lambda: rows_of([{"arrival": "1"}], hours_per_unit=1.0), "row 0 of the job trace"),
    ],
)
def test_what_is_no_job_set_is_refused(make: Callable[[], object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        make()


def test_ids_are_unique_and_order_is_that_of_submission() -> None:
    first, second = job_set("set", [Row(0.0, 1.0, 1), Row(1.0, 1.0, 1)], template()).jobs
    with pytest.raises(ConfigError, match="unique"):
        JobSet(name="set", jobs=(first, first))
    with pytest.raises(ConfigError, match="in order"):
        JobSet(name="set", jobs=(second, first))


def test_tools_agree_with_the_template(tools: SimpleNamespace) -> None:
    (job,) = tools.jobs([(1, 2, 1)], ["A"], slack_h=3).jobs
    assert job.workload.deadline_at - job.workload.submitted_at == timedelta(hours=5)
