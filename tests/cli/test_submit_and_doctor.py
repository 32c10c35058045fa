"""Submitting through a hand-made Jobs API, and the doctor without a cluster and with parts of one."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.job_submission import JobStatus

from carbon_ray.cli import checks, cluster_checks
from carbon_ray.cli.checks import Check, Verdict
from carbon_ray.cli.connection import within
from carbon_ray.cluster.scheduler_log import ActionKind, SchedulerAction
from carbon_ray.core.capacity import CapacityPlan
from carbon_ray.core.clock import wall_now
from carbon_ray.core.errors import ControllerUnavailable, ForecastError

Run = Callable[..., Any]


@dataclass
class FakeJobs:
    """A Jobs API with one job."""

    status: JobStatus = JobStatus.SUCCEEDED
    message: str = ""
    output: tuple[str | BaseException, ...] = ("one\n", "two\n")
    refuses: Exception | None = None
    asked: list[dict[str, Any]] = field(default_factory=list)

    def submit_job(self, **arguments: Any) -> str:
        if self.refuses:
            raise self.refuses
        self.asked.append(arguments)
        return arguments["submission_id"] or "raysubmit_1"

    async def tail_job_logs(self, job_id: str) -> AsyncIterator[str]:
        for lines in self.output:
            if isinstance(lines, BaseException):
                raise lines
            yield lines

    def get_job_info(self, job_id: str) -> Any:
        return SimpleNamespace(status=self.status, message=self.message)


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> FakeJobs:
    fake = FakeJobs()
    monkeypatch.setattr("carbon_ray.cli.submit.jobs_url", lambda address: "http://head:8265")
    monkeypatch.setattr("carbon_ray.cli.submit.open_client", lambda url: fake)
    return fake


def test_output_is_shown_and_nothing_else(carbon_ray: Run, jobs: FakeJobs, tmp_path: Path) -> None:
    ran = carbon_ray("submit", "--working-dir", tmp_path, "--name", "nightly", "--", "python", "train.py", "--lr", "0.1", "a b")
    assert (ran.code, ran.out) == (0, "one\ntwo\n")
    (asked,) = jobs.asked
    assert asked["entrypoint"] == "python train.py --lr 0.1 'a b'"
    assert asked["runtime_env"] == {"working_dir": str(tmp_path)}
    assert asked["submission_id"].startswith("nightly-")
    assert asked["metadata"] == {"name": "nightly"}
    assert f"job {asked['submission_id']} submitted to http://head:8265" in ran.err


def test_options_after_the_command_are_its_own(carbon_ray: Run, jobs: FakeJobs) -> None:
    assert carbon_ray("submit", "python", "train.py", "--name", "x", "--json").code == 0
    assert jobs.asked[0]["entrypoint"] == "python train.py --name x --json"
    assert jobs.asked[0]["submission_id"] is None


@pytest.mark.parametrize(("wait", "status"), [("--wait", "SUCCEEDED"), ("--no-wait", "SUBMITTED")])
def test_submit_json(carbon_ray: Run, jobs: FakeJobs, wait: str, status: str) -> None:
    ran = carbon_ray("submit", wait, "--json", "--", "true")
    assert ran.json == {
        "submission_id": "raysubmit_1",
        "status": status,
        "message": "",
        "address": "http://head:8265",
        "entrypoint": "true",
    }
    assert ("one" in ran.err) is (wait == "--wait")
    assert ("ray job stop" in ran.err) is (wait == "--no-wait")


@pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.STOPPED])
def test_exit_code_by_the_end_state(carbon_ray: Run, jobs: FakeJobs, status: JobStatus) -> None:
    jobs.status, jobs.message = status, "exit code 3, last available logs (truncated):\nlong log"
    ran = carbon_ray("submit", "--", "false")
    assert ran.code == 1
    assert ran.err.splitlines()[-1] == f"error: job raysubmit_1 ended as {status.value}: exit code 3"


def test_ctrl_c_leaves_the_job_and_says_how_to_go_on(carbon_ray: Run, jobs: FakeJobs) -> None:
    jobs.output = ("one\n", KeyboardInterrupt())
    ran = carbon_ray("submit", "--", "true")
    assert (ran.code, ran.out) == (130, "one\n")
    for words in ("the job goes on", "ray job logs --address http://head:8265 --follow raysubmit_1", "ray job stop", "interrupted"):
        assert words in ran.err


def test_broken_stream_is_waited_out(carbon_ray: Run, jobs: FakeJobs) -> None:
    jobs.output = ("one\n", RuntimeError("WebSocket closed\nsomewhere"))
    ran = carbon_ray("submit", "--", "true")
    assert ran.code == 0
    assert "cannot be followed any more (WebSocket closed)" in ran.err


def test_refused_job(carbon_ray: Run, jobs: FakeJobs) -> None:
    jobs.refuses = RuntimeError("Package too large\n(600 MB)")
    ran = carbon_ray("submit", "--", "true")
    assert (ran.code, ran.error) == (1, "the job was not accepted: Package too large")


def test_doctor_without_a_cluster(carbon_ray: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("carbon_ray.cli.cluster_checks.head_address", lambda given: (given or "127.0.0.1:1", given is not None))
    monkeypatch.setattr("carbon_ray.cli.connection.head_address", lambda given: (given or "127.0.0.1:1", given is not None))
    document = carbon_ray("doctor", "--json").json
    assert document["is_healthy"] is True
    verdicts = {check["name"]: check["verdict"] for check in document["checks"]}
    assert [name for name, verdict in verdicts.items() if verdict == "ok"] == [
        "Python",
        "Ray version",
        "Scheduler hook contract",
        "Embedded profile",
    ]
    assert {verdicts[name] for name in (cluster_checks.HEAD, *cluster_checks.ON_CLUSTER)} == {"skipped"}
    assert all(list(check) == ["name", "verdict", "found", "advice"] for check in document["checks"])
    ran = carbon_ray("doctor")
    assert ran.code == 0
    assert "no cluster at 127.0.0.1:1" in ran.out


def test_doctor_fails_where_a_named_cluster_is_not_there(carbon_ray: Run) -> None:
    ran = carbon_ray("doctor", "--address", "127.0.0.1:1", "--json")
    assert (ran.code, ran.json["is_healthy"]) == (1, False)
    (head,) = [check for check in ran.json["checks"] if check["name"] == "Head"]
    assert head["verdict"] == "fail"
    assert "nothing listens there" in head["found"]


@pytest.mark.parametrize(("found", "verdict"), [("2.60.3", Verdict.OK), ("2.61.0", Verdict.FAIL), ("2.59.9", Verdict.FAIL)])
def test_ray_version_against_the_package(monkeypatch: pytest.MonkeyPatch, found: str, verdict: Verdict) -> None:
    monkeypatch.setattr(checks, "version", lambda name: found)
    check = checks.local_checks()[1]
    assert (check.name, check.verdict) == ("Ray version", verdict)
    assert (">=2.60" in check.advice) is (verdict is Verdict.FAIL)


def test_another_ray_is_told_by_its_missing_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(checks._FIELDS, "NodeTypeConfig", {"priority", "no_such_field"})
    check = checks.local_checks()[2]
    assert (check.verdict, check.found) == (Verdict.FAIL, "Ray lacks NodeTypeConfig.no_such_field")


@pytest.mark.parametrize(
    ("error", "told"), [(ForecastError("no data\nyet"), "no data yet"), (ZeroDivisionError("by zero"), "ZeroDivisionError: by zero")]
)
def test_a_check_that_breaks_is_a_finding(error: Exception, told: str) -> None:
    def look() -> str:
        raise error

    assert checks.run("X", "do this", look) == Check(name="X", verdict=Verdict.FAIL, found=told, advice="do this")


def action(plan_version: int | None) -> SchedulerAction:
    return SchedulerAction(
        at=datetime(2024, 5, 7, tzinfo=UTC),
        kind=ActionKind.LAUNCH,
        node_type="gpu",
        count=1,
        ray_node_id="",
        cause="DEMAND",
        reason="",
        plan_version=plan_version,
    )


@pytest.mark.parametrize(
    ("actions", "verdict"), [((), Verdict.WARN), ((action(None),), Verdict.WARN), ((action(None), action(7)), Verdict.OK)]
)
def test_hook_is_seen_by_what_it_did(monkeypatch: pytest.MonkeyPatch, actions: tuple[SchedulerAction, ...], verdict: Verdict) -> None:
    monkeypatch.setattr("carbon_ray.cluster.scheduler_log.read_scheduler_log", lambda: actions)
    assert checks.run("Autoscaler hook", "", cluster_checks._hook).verdict is verdict


@pytest.mark.parametrize(("valid_s", "verdict"), [(None, Verdict.FAIL), (-1, Verdict.FAIL), (600, Verdict.OK)])
def test_capacity_plan(monkeypatch: pytest.MonkeyPatch, valid_s: float | None, verdict: Verdict) -> None:
    now = wall_now()
    plan = None if valid_s is None else CapacityPlan(version=7, issued_at=now, valid_until=now + timedelta(seconds=valid_s))
    monkeypatch.setattr("carbon_ray.cluster.plan_store.read_plan", lambda: plan)
    assert checks.run("Capacity plan", "", cluster_checks._plan).verdict is verdict


@pytest.mark.parametrize("address", ["", "127.0.0.1:1"])
def test_missing_dashboard_is_a_warning(address: str) -> None:
    assert checks.run("Dashboard", "", lambda: cluster_checks._dashboard(address)).verdict is Verdict.WARN


def test_every_check_of_a_cluster_is_made_and_none_ends_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def connected(given: str | None) -> Iterator[str]:
        yield ""

    class Absent:
        def __init__(self, *_: object) -> None:
            raise ControllerUnavailable("nobody there")

    monkeypatch.setattr(cluster_checks, "connected", connected)
    monkeypatch.setattr("carbon_ray.actors.handles.ControllerClient", Absent)
    monkeypatch.setattr("carbon_ray.actors.handles.ForecastClient", Absent)
    found = cluster_checks.cluster_checks("127.0.0.1:1")
    assert [check.name for check in found] == ["Head", *cluster_checks.ON_CLUSTER]
    assert found[0].verdict is Verdict.OK
    assert {check.found for check in found if check.name in ("Controller", "Forecast actor", "Ledger", "Clock")} == {"nobody there"}


def test_within() -> None:
    assert within(5, "it", lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        within(5, "it", lambda: 1 // 0)
    begun_s = time.monotonic()
    with pytest.raises(ControllerUnavailable, match="it did not answer within 0 s"):
        within(0.1, "it", lambda: threading.Event().wait(2))
    assert time.monotonic() - begun_s < 1.5
