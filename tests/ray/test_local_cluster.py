"""A real `ray up` cluster of local processes, beside another Ray of the same machine. The tests share it and run in order."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
import ray
from ray.job_submission import JobStatus, JobSubmissionClient

from carbon_ray.cluster import kv, local_process
from carbon_ray.cluster.local_cluster import LocalCluster, free_base_port
from carbon_ray.cluster.local_paths import LocalPorts
from carbon_ray.cluster.local_process import CLUSTER_MARKER
from carbon_ray.cluster.nodes import NodeState, drain_idle, observe_nodes
from carbon_ray.cluster.plan_store import publish_plan, read_plan
from carbon_ray.cluster.scheduler_log import ActionKind, SchedulerAction, read_scheduler_log
from carbon_ray.core.capacity import CapacityPlan, TypePlan
from carbon_ray.core.clock import wall_now
from carbon_ray.core.region import REGION_LABEL

pytestmark = [
    pytest.mark.ray,
    # Ray leaves the log files and sockets of a driver's connection to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    # Ray says in ray.init that a later version will change what a task without GPUs sees.
    pytest.mark.filterwarnings("ignore:Tip. In future versions of Ray:FutureWarning"),
]

RAY = str(Path(sys.executable).parent / "ray")
OTHER_MARKER = "OTHER_RAY_OF_THIS_TEST"
OFF = TypePlan(min_nodes=0, max_nodes=0, reason="dirty grid")


def wait_for(what: Callable[[], bool], limit_s: float = 60) -> bool:
    stop_at = time.monotonic() + limit_s
    while not what():
        if time.monotonic() > stop_at:
            return False
        time.sleep(0.1)
    return True


@pytest.fixture(scope="module")
def other_ray() -> Iterator[list[psutil.Process]]:
    """An unrelated Ray head of this machine; gives its processes."""
    mark, ports, temp = uuid.uuid4().hex, LocalPorts(free_base_port()), tempfile.mkdtemp(prefix="or-", dir="/tmp")
    command = [RAY, "start", "--head", f"--port={ports.gcs}", f"--temp-dir={temp}", "--include-dashboard=false", "--num-cpus=1"]
    command += [f"--ray-client-server-port={ports.dashboard}", f"--dashboard-agent-listen-port={ports.dashboard_agent}"]
    command += ["--object-store-memory=80000000", "--disable-usage-stats"]
    env = os.environ | {OTHER_MARKER: mark, "RAY_AUTH_MODE": "disabled"}
    try:
        subprocess.run(command, env=env, check=True, capture_output=True, timeout=90)
        yield local_process.find_marked(OTHER_MARKER, mark)
    finally:
        local_process.end(lambda: local_process.find_marked(OTHER_MARKER, mark))
        shutil.rmtree(temp, ignore_errors=True)


@pytest.fixture(scope="module")
def shell_env() -> Iterator[dict[str, str]]:
    """Environment of the commands: an empty home, and the address of a cluster that is not meant."""
    with tempfile.TemporaryDirectory() as home:
        yield os.environ | {"HOME": home, "RAY_ADDRESS": "127.0.0.1:1"}


@pytest.fixture(scope="module")
def cluster(other_ray: list[psutil.Process], shell_env: dict[str, str]) -> Iterator[LocalCluster]:
    cluster = LocalCluster(idle_timeout_s=60, head_commands=())  # no controller: these tests publish the plans
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HOME", "RAY_ADDRESS"):
            patch.setenv(name, shell_env[name])
        cluster.up()
    yield cluster
    cluster.down()


@pytest.fixture(scope="module")
def driver(cluster: LocalCluster) -> Iterator[None]:
    ray.init(address=cluster.address, log_to_driver=False)
    yield
    ray.shutdown()


def live() -> list[NodeState]:
    return [node for node in observe_nodes() if node.is_alive]


def worker_regions() -> list[str]:
    return sorted(node["Labels"][REGION_LABEL] for node in ray.nodes() if node["Alive"] and node["Labels"][REGION_LABEL] != "control")


def publish(version: int, *, valid_s: float = 120, **types: TypePlan) -> None:
    now = wall_now()
    names = {name.replace("_", "-"): limits for name, limits in types.items()}
    publish_plan(CapacityPlan(version=version, issued_at=now, valid_until=now + timedelta(seconds=valid_s), types=names))


def actions(version: int, kind: ActionKind) -> list[SchedulerAction]:
    return [action for action in read_scheduler_log() if action.plan_version == version and action.kind is kind]


@pytest.mark.usefixtures("driver")
def test_the_head_is_alone_and_on_loopback() -> None:
    (head,) = live()
    assert (head.node_type, head.region, head.gpus_total, head.draining) == ("head", "control", 0.0, False)
    assert [node["NodeManagerAddress"] for node in ray.nodes()] == ["127.0.0.1"]


@pytest.mark.usefixtures("driver")
def test_the_store_keeps_texts() -> None:
    assert kv.get("test") is None
    assert kv.put_if_absent("test", "1")
    assert not kv.put_if_absent("test", "2")
    assert kv.get("test") == "1"
    kv.put("test", "ä")
    assert kv.get("test") == "ä"
    kv.delete("test")
    kv.delete("test")
    assert kv.get("test") is None
    assert read_plan() is None
    assert read_scheduler_log() == ()


@pytest.mark.usefixtures("driver")
def test_a_plan_brings_a_node_where_it_says() -> None:
    publish(1, gpu_us_west=OFF, gpu_eu_central=OFF, gpu_eu_south=TypePlan(min_nodes=1, max_nodes=2, reason="sun in Spain"))
    assert wait_for(lambda: worker_regions() == ["eu-south"])
    (launch,) = actions(1, ActionKind.LAUNCH)
    assert (launch.node_type, launch.count, launch.cause, launch.reason) == ("gpu-eu-south", 1, "PLAN_MINIMUM", "sun in Spain")
    (node,) = [node for node in live() if node.region == "eu-south"]
    assert (node.node_type, node.gpus_total, node.gpus_used, node.is_idle) == ("gpu-eu-south", 4.0, 0.0, True)


@pytest.mark.usefixtures("driver")
def test_a_busy_node_is_seen_and_refuses_to_leave() -> None:
    @ray.remote(num_gpus=3, num_cpus=0)
    class Busy:
        def node_id(self) -> str:
            return ray.get_runtime_context().get_node_id()

    actor = Busy.remote()
    node_id = ray.get(actor.node_id.remote(), timeout=60)

    def state() -> NodeState:
        return next(node for node in observe_nodes() if node.node_id == node_id)

    assert wait_for(lambda: state().gpus_used == 3.0)
    assert not state().is_idle
    assert not drain_idle(node_id, "test")
    ray.kill(actor)
    assert wait_for(lambda: state().is_idle)


@pytest.mark.usefixtures("driver")
def test_another_plan_moves_the_node() -> None:
    (former,) = [node for node in live() if node.region == "eu-south"]
    publish(2, gpu_eu_south=OFF, gpu_eu_central=OFF, gpu_us_west=TypePlan(min_nodes=1, max_nodes=1, reason="sun in California"))
    drain_idle(former.node_id, "eu-south got dirty")
    assert wait_for(lambda: worker_regions() == ["us-west"])
    assert not next(node for node in observe_nodes() if node.node_id == former.node_id).is_alive
    assert actions(2, ActionKind.LAUNCH)[-1].reason == "sun in California"


@pytest.mark.usefixtures("driver")
def test_a_lowered_maximum_ends_a_node_and_the_log_says_why() -> None:
    (former,) = [node for node in live() if node.region == "us-west"]
    publish(3, gpu_us_west=OFF, gpu_eu_central=OFF, gpu_eu_south=OFF)
    assert wait_for(lambda: worker_regions() == [])
    (end,) = actions(3, ActionKind.TERMINATE)
    assert (end.ray_node_id, end.cause, end.reason) == (former.node_id, "MAX_NUM_NODE_PER_TYPE", "dirty grid")


@pytest.mark.usefixtures("driver")
def test_with_an_expired_plan_ray_is_stock() -> None:
    publish(4, valid_s=-1, gpu_us_west=OFF, gpu_eu_central=OFF, gpu_eu_south=OFF)

    @ray.remote(num_gpus=1, num_cpus=0, label_selector={REGION_LABEL: "eu-central"})
    def where() -> str:
        return ray.get_runtime_context().get_node_labels()[REGION_LABEL]

    assert ray.get(where.remote(), timeout=60) == "eu-central"
    newest = read_scheduler_log()[-1]
    assert (newest.node_type, newest.cause, newest.plan_version) == ("gpu-eu-central", "DEMAND", None)


def test_exec_submit_and_jobs_reach_this_cluster(cluster: LocalCluster, shell_env: dict[str, str], tmp_path: Path) -> None:
    def shell(*command: str) -> str:
        return subprocess.run([RAY, *command], env=shell_env, capture_output=True, text=True, timeout=90, check=True).stdout

    script = tmp_path / "who.py"
    script.write_text("import ray, sys\nray.init()\nprint('at', ray.get_runtime_context().gcs_address, sys.argv[1:])\n")
    expected = f"at {cluster.address}"
    config = str(cluster.config_path)
    assert "gpu-eu-central" in shell("exec", config, "ray status")
    assert f"{expected} ['one']" in shell("submit", config, str(script), "--", "one")
    jobs = JobSubmissionClient(cluster.dashboard_url)
    job = jobs.submit_job(entrypoint=f"python {script}")
    assert wait_for(lambda: jobs.get_job_status(job).is_terminal(), 90)
    assert jobs.get_job_status(job) is JobStatus.SUCCEEDED, jobs.get_job_logs(job)
    assert f":{cluster.ports.gcs} []" in jobs.get_job_logs(job)


def test_ray_down_leaves_nothing_and_spares_the_other_ray(cluster: LocalCluster, other_ray: list[psutil.Process]) -> None:
    ray.shutdown()
    root = str(cluster.paths.root)
    assert len(local_process.find_marked(CLUSTER_MARKER, root)) > 5
    subprocess.run([RAY, "down", "-y", str(cluster.config_path)], capture_output=True, timeout=90, check=True)
    assert local_process.find_marked(CLUSTER_MARKER, root) == []
    assert not cluster.paths.root.exists()
    assert not cluster.paths.ray_temp.exists()
    names = {process.name() for process in other_ray if process.is_running()}
    assert {"gcs_server", "raylet"} <= names


UP = """
import sys
from carbon_ray.cluster.local_cluster import LocalCluster
with LocalCluster(name=sys.argv[1]):
    print("up", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("moment", ["while the head starts", "before there is a head"])
def test_ctrl_c_during_ray_up_leaves_nothing(moment: str) -> None:
    cluster = LocalCluster(name=f"int-{uuid.uuid4().hex[:6]}")
    root = str(cluster.paths.root)
    process = subprocess.Popen(
        [sys.executable, "-c", UP, cluster.paths.cluster_name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    if moment == "while the head starts":
        assert wait_for(lambda: any(found.name() == "gcs_server" for found in local_process.find_marked(CLUSTER_MARKER, root)))
    else:
        assert wait_for(lambda: any("up" in child.cmdline() for child in psutil.Process(process.pid).children()))
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert output == ""
    assert "KeyboardInterrupt" in errors
    assert local_process.find_marked(CLUSTER_MARKER, root) == []
    assert not cluster.paths.root.exists()
    assert not cluster.paths.ray_temp.exists()
