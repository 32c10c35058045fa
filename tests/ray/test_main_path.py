"""The main job on a real cluster: training that moves with the grid is bit-equal, survives deaths, and is booked to the gram.

One local cluster for the module. Its replayed grid is made up: every day the first region is clean until four, the second one
from three on. Work that begins at midnight and cannot end by four moves, whatever the speed of the machine: staying is dirty, and
waiting has a price.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
import ray
from ray.job_submission import JobSubmissionClient

from carbon_ray.actors.handles import ControllerClient
from carbon_ray.actors.views import Books
from carbon_ray.actors.workload_state import ORPHANED
from carbon_ray.books.ledger import Ledger
from carbon_ray.books.records import NodeEventKind, WorkloadStatus
from carbon_ray.cluster.local_cluster import LocalCluster
from carbon_ray.cluster.local_config import DEFAULT_REGIONS
from carbon_ray.core.ledger import Outcome, Totals
from carbon_ray.core.region import REGION_LABEL
from tests.ray.noise import REAL_RAY

pytestmark = [*REAL_RAY]

EXAMPLE = Path(__file__).parents[2] / "examples" / "data_parallel_training.py"
START_AT = datetime(2024, 3, 1, tzinfo=UTC)
SPEEDUP = 360.0
REGIONS = DEFAULT_REGIONS[:2]
CLEAN_HOURS = (range(4), range(3, 24))
LONG_JOB = shlex.split("--steps 400 --pace-s 0.1 --deadline-hours 24 --delay-usd-per-h 0.5 --run-hours 4")


def write_trace(path: Path) -> None:
    """Three weeks of hours before the start and two after it."""
    lines = ["zone,time_utc,gco2_per_kwh,kind"]
    for hour in range(-21 * 24, 14 * 24):
        at = START_AT + timedelta(hours=hour)
        for index, region in enumerate(REGIONS):
            is_clean = hour % 24 in CLEAN_HOURS[index]
            lines.append(f"{region.zone},{at:%Y-%m-%dT%H:%M:%SZ},{50 if is_clean else 2000},average_lifecycle")
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    trace = tmp_path_factory.mktemp("trace") / "turns.csv"
    write_trace(trace)
    carbon = {
        "grid": {"provider": "trace", "path": str(trace)},
        "clock": {"mode": "replay", "start_at": START_AT.isoformat(), "speedup": SPEEDUP},
        "controller": {"tick_s": 0.5, "slot_s": 900.0, "min_stay_s": 1800.0},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_ADDRESS", raising=False)  # it would win over the arguments of Ray's clients
        cluster = LocalCluster(regions=REGIONS, carbon=carbon)
        cluster.up()
        root = str(cluster.paths.root)
        try:
            ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR", namespace="test")
            yield cluster
        finally:
            ray.shutdown()
            cluster.down()
    assert not Path(root).exists()
    left = [process for process in psutil.process_iter(["cmdline"]) if root in " ".join(process.info["cmdline"] or [])]
    assert left == []


def submit(cluster: LocalCluster, name: str, *arguments: str) -> tuple[JobSubmissionClient, str, Path]:
    out = cluster.paths.root / f"{name}.json"
    command = [sys.executable, str(EXAMPLE), "--name", name, "--out", str(out), "--storage", str(cluster.paths.root / "runs"), *arguments]
    client = JobSubmissionClient(cluster.dashboard_url)
    return client, client.submit_job(entrypoint=shlex.join(command)), out


def situation() -> str:
    """What the controller says of its workloads, for a failure's message."""
    told = [
        f"{view.workload.workload_id} {view.status}, step {view.step}, told {view.directive.target}, {view.plan_reason}, "
        f"segments {[(one.region, one.start_at, one.running_at, one.end_at, one.outcome) for one in view.segments]}"
        for view in ControllerClient(retry_for_s=5).views()
    ]
    return "; ".join(told)


def wait_until(what: str, condition: Callable[[], object], timeout_s: float = 60.0) -> None:
    end_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end_s, f"waited {timeout_s} s in vain until {what}; workloads: {situation()}"
        time.sleep(0.3)


def finish(client: JobSubmissionClient, job_id: str, timeout_s: float = 240.0) -> None:
    wait_until(f"{job_id} ends", lambda: client.get_job_status(job_id).is_terminal(), timeout_s)
    assert str(client.get_job_status(job_id)) == "SUCCEEDED", client.get_job_logs(job_id)[-4000:]


def settled_books(workload_id: str) -> Books:
    controller = ControllerClient()
    wait_until("the workload is priced", lambda: controller.is_settled(workload_id))
    return controller.books(workload_id)


@pytest.fixture(scope="module")
def reference(cluster: LocalCluster) -> dict[str, object]:
    """The same loop under the bare Ray Train trainer, on the same cluster, never interrupted."""
    client, job_id, out = submit(cluster, "bare", "--bare", "--steps", "400", "--pace-s", "0.0")
    finish(client, job_id)
    return json.loads(out.read_text())


def check_books(books: Books, cluster: LocalCluster) -> None:
    """Nothing doubled, nothing lost: segments in a row, each priced once from end to end, and all sums equal."""
    assert books.record.status is WorkloadStatus.COMPLETED
    assert books.record.status_at <= books.record.workload.deadline_at
    assert [segment.index for segment in books.segments] == list(range(len(books.segments)))
    for left, right in itertools.pairwise(books.segments):
        assert left.end_at is not None
        assert left.end_at <= right.start_at
    total = Totals()
    for segment in books.segments:
        stretches = books.emissions[segment.index]
        if segment.end_at != segment.start_at:
            assert stretches[0].start_at == segment.start_at
            assert stretches[-1].end_at == segment.end_at
        for left, right in itertools.pairwise(stretches):
            assert left.end_at == right.start_at
        assert sum(one.gco2 for one in stretches) == pytest.approx(books.segment_totals[segment.index].gco2, rel=1e-12)
        total += books.segment_totals[segment.index]
    assert total.gco2 == pytest.approx(books.totals.gco2, rel=1e-9)
    assert total.energy_kwh == pytest.approx(books.totals.energy_kwh, rel=1e-9)
    with Ledger(ControllerClient().ledger_path(), create=False) as ledger:
        assert ledger.totals(books.record.workload.workload_id).gco2 == pytest.approx(books.totals.gco2, rel=1e-12)


def check_node_events(books: Books) -> None:
    """The books' node events are Ray's own nodes, in the regions that the directives named."""
    known = {node["NodeID"]: node for node in ray.nodes()}
    added = [event for event in books.node_events if event.kind is NodeEventKind.ADDED]
    assert added
    for event in books.node_events:
        assert known[event.node_id]["Labels"][REGION_LABEL] == event.region
        assert event.reason
    removed = {event.node_id for event in books.node_events if event.kind is NodeEventKind.REMOVED}
    assert all(not known[node_id]["Alive"] for node_id in removed)
    assert {segment.region for segment in books.segments} <= {event.region for event in added}


def test_a_training_moves_with_the_grid_and_is_bit_equal(cluster: LocalCluster, reference: dict[str, object]) -> None:
    client, job_id, out = submit(cluster, "moving", *LONG_JOB, "--checkpoint-every-s", "600")
    finish(client, job_id)
    result = json.loads(out.read_text())
    assert len(result["losses"]) == 400
    assert result["losses"] == reference["losses"]
    assert result["sha256"] == reference["sha256"]
    books = settled_books("moving")
    check_books(books, cluster)
    check_node_events(books)
    ran = [segment for segment in books.segments if segment.running_at is not None]
    assert len({segment.region for segment in ran}) == 2, "it was to run in both regions"
    assert [segment.outcome for segment in ran] == [Outcome.SUSPENDED] * (len(ran) - 1) + [Outcome.COMPLETED]
    for left, right in itertools.pairwise(ran):  # not a step lost, though no checkpoint was taken but at the stops
        assert right.start_step == left.end_step == left.reached_step
    dirty_h = sum(
        (one.end_at - one.start_at).total_seconds()
        for index in books.emissions
        for one in books.emissions[index]
        if one.gco2_per_kwh > 1000
    )
    held_h = sum((one.end_at - one.start_at).total_seconds() for index in books.emissions for one in books.emissions[index])
    assert dirty_h < 0.5 * held_h


def descendant(cluster: LocalCluster, title: str) -> psutil.Process | None:
    """The process of the cluster whose title holds `title`; None where there is none now."""
    for process in psutil.process_iter(["cmdline"]):
        if any(title in part for part in process.info["cmdline"] or []):
            with contextlib.suppress(psutil.NoSuchProcess):
                raylets = [parent for parent in process.parents() if parent.name() == "raylet"]
                if any(str(cluster.paths.root) in " ".join(raylet.environ().values()) for raylet in raylets):
                    return process
    return None


def kill_and_await_restart(cluster: LocalCluster, title: str) -> None:
    """SIGKILL an actor's process, and wait until Ray has started another one for it."""
    before = descendant(cluster, title)
    assert before is not None
    before.kill()
    wait_until(f"{title} is back", lambda: (now := descendant(cluster, title)) is not None and now.pid != before.pid)


def raylet_under_the_job(cluster: LocalCluster) -> psutil.Process:
    """The raylet that a training worker is a child of."""
    worker = descendant(cluster, "RayTrainWorker")
    assert worker is not None, "no training worker runs"
    return next(parent for parent in worker.parents() if parent.name() == "raylet")


def crash(process: psutil.Process) -> None:
    """SIGKILL a process and all its children at once, as a machine that loses its power."""
    for one in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()


def step_of(workload_id: str) -> int:
    return next((view.step for view in ControllerClient().views() if view.workload.workload_id == workload_id), 0)


def test_forecasts_controller_and_node_may_be_killed(cluster: LocalCluster, reference: dict[str, object]) -> None:
    client, job_id, out = submit(cluster, "killed", *LONG_JOB, "--checkpoint-every-s", "2")
    wait_until("the training makes steps", lambda: step_of("killed") > 10, 120)
    kill_and_await_restart(cluster, "ray::ForecastActor")
    kill_and_await_restart(cluster, "ray::ControllerActor")
    wait_until("the training makes steps again", lambda: step_of("killed") > 40, 120)
    crash(raylet_under_the_job(cluster))
    finish(client, job_id)
    result = json.loads(out.read_text())
    assert result["losses"] == reference["losses"]
    assert result["sha256"] == reference["sha256"]
    books = settled_books("killed")
    check_books(books, cluster)
    lost = [segment for segment in books.segments if segment.outcome is Outcome.LOST]
    assert len(lost) == 1
    after = next(segment for segment in books.segments if segment.index > lost[0].index and segment.start_step is not None)
    # It went on from the newest checkpoint; the books knew at least the one before it to be safe.
    assert lost[0].end_step <= after.start_step <= lost[0].reached_step


def test_a_stopped_job_lets_its_nodes_go_at_once_and_goes_on_when_submitted_again(cluster: LocalCluster) -> None:
    client, job_id, _ = submit(cluster, "stopped", *LONG_JOB, "--checkpoint-every-s", "2")
    controller = ControllerClient()

    def saved() -> bool:
        newest = controller.segments("stopped")[-1:]
        return any(segment.end_at is None and segment.end_step > 0 for segment in newest)

    wait_until("a checkpoint is safe", lambda: step_of("stopped") > 0 and saved(), 120)
    client.stop_job(job_id)
    wait_until("the job is gone", lambda: client.get_job_status(job_id).is_terminal(), 20)
    time.sleep(5)  # workers that outlive the driver for a moment do not call it back
    (view,) = [one for one in controller.views() if one.workload.workload_id == "stopped"]
    assert (view.status, view.detail, view.directive.target) == (WorkloadStatus.SUSPENDED, ORPHANED, None)
    stopped = view.segments[-1]
    assert stopped.outcome is Outcome.LOST
    client, job_id, _ = submit(cluster, "stopped", *LONG_JOB, "--checkpoint-every-s", "2")

    def resumed_at_step() -> int | None:
        newest = controller.segments("stopped")[-1]
        return newest.start_step if newest.index > stopped.index else None

    wait_until("it goes on", resumed_at_step, 180)
    assert (resumed_at_step() or 0) >= stopped.end_step > 0
    client.stop_job(job_id)


def test_a_job_that_cannot_be_met_says_so_and_leaves_nothing(cluster: LocalCluster) -> None:
    client, job_id, _ = submit(cluster, "impossible", "--deadline-hours", "2", "--run-hours", "8")
    wait_until("the job ends", lambda: client.get_job_status(job_id).is_terminal(), 60)
    assert str(client.get_job_status(job_id)) == "FAILED"
    log = client.get_job_logs(job_id)
    assert "error: the deadline" in log
    assert "choose a deadline at or after" in log
    assert "Traceback" not in log
    assert all(view.workload.workload_id != "impossible" for view in ControllerClient().views())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--regions", "us-wets"), "did you mean us-west"),
        (("--regions", ""), "at least one region"),
        (("--deadline-hours", "-1"), "choose a later deadline"),
        (("--workers", "5"), "ask for fewer or smaller workers, allow more regions, or raise max_workers"),
    ],
    ids=["unknown region", "no region", "deadline in the past", "no region with capacity"],
)
def test_a_malformed_request_is_one_clear_line(cluster: LocalCluster, arguments: tuple[str, ...], words: str) -> None:
    client, job_id, _ = submit(cluster, "malformed", *arguments)
    wait_until("the job ends", lambda: client.get_job_status(job_id).is_terminal(), 60)
    assert str(client.get_job_status(job_id)) == "FAILED"
    assert words in client.get_job_logs(job_id)
    assert "Traceback" not in client.get_job_logs(job_id)
