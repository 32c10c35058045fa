import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import BoundedSemaphore

import pytest
from ray.autoscaler.node_launch_exception import NodeLaunchException
from ray.autoscaler.tags import TAG_RAY_NODE_KIND, TAG_RAY_USER_NODE_TYPE

from carbon_ray.cluster.local_command_runner import LocalCommandRunner, node_environment, on_ray_start, write_shim
from carbon_ray.cluster.local_paths import MAX_RAY_TEMP_BYTES, LocalPaths, LocalPorts, user_dir
from carbon_ray.cluster.local_process import CLUSTER_MARKER, NODE_MARKER
from carbon_ray.cluster.local_provider import LocalProvider
from carbon_ray.core.errors import ConfigError
from carbon_ray.core.region import REGION_LABEL

WORKER = {TAG_RAY_NODE_KIND: "worker", TAG_RAY_USER_NODE_TYPE: "gpu"}
WEST = {REGION_LABEL: "west"}


@pytest.fixture
def state_dir() -> Iterator[Path]:
    # Not tmp_path: sockets need a short one.
    path = Path(tempfile.mkdtemp(prefix="cr-", dir="/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def provider(state_dir: Path) -> LocalProvider:
    return LocalProvider({"base_port": 26400, "state_dir": str(state_dir)}, "test")


def test_nodes_are_listed_by_tags_and_seen_by_another_process(provider: LocalProvider) -> None:
    (head,) = provider.create_node({}, {TAG_RAY_NODE_KIND: "head"}, 1)
    workers = provider.create_node_with_resources_and_labels({}, WORKER, 2, {"GPU": 4}, WEST)
    twin = LocalProvider(provider.provider_config, "test")
    assert set(twin.non_terminated_nodes({})) == {head, *workers}
    assert set(twin.non_terminated_nodes({TAG_RAY_NODE_KIND: "worker"})) == set(workers)
    twin.set_node_tags(head, {"colour": "green"})
    assert provider.node_tags(head) == {TAG_RAY_NODE_KIND: "head", "colour": "green"}
    assert provider.is_running(head)
    assert not provider.is_terminated(head)


def test_terminated_nodes_leave_nothing(provider: LocalProvider) -> None:
    first, second = provider.create_node_with_resources_and_labels({}, WORKER, 2, {}, WEST)
    provider.terminate_node(first)
    assert provider.is_terminated(first)
    assert not provider.paths.home(first).exists()
    assert provider.non_terminated_nodes({}) == [second]
    assert provider.node_tags(first) == {}
    provider.set_node_tags(first, {"late": "tag"})
    assert provider.non_terminated_nodes({}) == [second]


def test_cleanup_removes_the_cluster_and_spares_its_neighbour(provider: LocalProvider, state_dir: Path) -> None:
    neighbour = LocalProvider(provider.provider_config, "neighbour")
    provider.create_node({}, WORKER, 1)
    neighbour.create_node({}, WORKER, 1)
    provider.cleanup_cluster_resources()
    assert not provider.paths.root.exists()
    assert len(neighbour.non_terminated_nodes({})) == 1
    neighbour.cleanup_cluster_resources()
    assert not state_dir.exists()
    provider.cleanup_cluster_resources()


def test_looking_at_a_cluster_that_is_not_there_makes_nothing(provider: LocalProvider, state_dir: Path) -> None:
    assert provider.non_terminated_nodes({}) == []
    assert provider.terminate_nodes(["gone"]) == {"gone": {}}
    assert list(state_dir.iterdir()) == []


def test_concurrent_changes_are_all_kept(provider: LocalProvider) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: provider.create_node({}, WORKER, 1), range(16)))
    assert len(provider.non_terminated_nodes({})) == 16


@pytest.mark.parametrize("by", ["file", "setting"])
def test_a_stockout_refuses_one_region(provider: LocalProvider, by: str) -> None:
    if by == "file":
        mark = provider.paths.stockout("west")
        mark.parent.mkdir(parents=True)
        mark.touch()
    else:
        provider.provider_config["stockout"] = ["west"]
    with pytest.raises(NodeLaunchException, match="west has no capacity"):
        provider.create_node_with_resources_and_labels({}, WORKER, 1, {}, WEST)
    assert len(provider.create_node_with_resources_and_labels({}, WORKER, 1, {}, {REGION_LABEL: "south"})) == 1


def test_the_head_is_told_where_the_state_is() -> None:
    provider = LocalProvider({"base_port": 26400}, "test")
    assert provider.prepare_for_head_node({"provider": {"type": "external"}})["provider"]["state_dir"] == str(user_dir())


@pytest.mark.parametrize("settings", [{}, {"base_port": "26400"}])
def test_a_missing_port_is_one_clear_error(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"provider\.base_port"):
        LocalProvider(settings, "test")


def test_a_long_state_dir_is_one_clear_error(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * MAX_RAY_TEMP_BYTES)
    with pytest.raises(ConfigError, match=r"provider\.state_dir"):
        LocalProvider({"base_port": 26400, "state_dir": str(deep)}, "test").create_node({}, WORKER, 1)


def test_a_place_that_others_can_write_to_is_refused(state_dir: Path) -> None:
    state_dir.chmod(0o777)
    with pytest.raises(ConfigError, match="others can write"):
        LocalPaths(state_dir, "test").create()


@pytest.mark.parametrize("temp", ["/tmp", "/var/folders/zz/zyxvpxvq6csfxvn_n0000000000000/T", "/" + "deep/" * 20])
def test_sockets_fit_whatever_the_temporary_directory(temp: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: temp)
    monkeypatch.setattr(os, "getuid", lambda: 2_000_000)
    assert len(str(LocalPaths(user_dir(), "a-cluster-with-a-rather-long-name").ray_temp)) <= MAX_RAY_TEMP_BYTES


CALLER = {
    "PATH": "/usr/bin",
    "HOME": "/nobody/me",
    "LANG": "C",
    "RAY_ADDRESS": "elsewhere:1",
    "RAY_CLOUD_INSTANCE_ID": "head-1",
    NODE_MARKER: "head-1",
    CLUSTER_MARKER: "/other",
    "CUDA_VISIBLE_DEVICES": "0",
}


def environment(caller: dict[str, str], *, is_head: bool = False) -> dict[str, str]:
    return node_environment(caller, node_id="gpu-1", is_head=is_head, paths=LocalPaths(Path("/s"), "test"), ports=LocalPorts(26400))


def test_a_node_has_its_own_environment() -> None:
    env = environment(CALLER)
    assert (env[NODE_MARKER], env[CLUSTER_MARKER], env["HOME"], env["LANG"]) == ("gpu-1", "/s/test", "/s/test/nodes/gpu-1", "C")
    assert env["RAY_ADDRESS"] == "[::ffff:127.0.0.1]:26400"
    assert env["CARBON_RAY_GCS_PORT"] == "26400"
    assert env["PATH"].split(":") == ["/s/test/nodes/gpu-1/.bin", str(Path(sys.executable).parent), "/usr/bin"]
    assert not {"RAY_CLOUD_INSTANCE_ID", "CUDA_VISIBLE_DEVICES"} & env.keys()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"RAY_AUTH_MODE": "disabled"}),
        ({"RAY_AUTH_TOKEN": "t"}, {"RAY_AUTH_MODE": "disabled"}),
        ({"RAY_AUTH_MODE": "token"}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": "/nobody/me/.ray/auth_token"}),
        (
            {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "t", "RAY_AUTH_TOKEN_PATH": "/p"},
            {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "t", "RAY_AUTH_TOKEN_PATH": "/p"},
        ),
    ],
)
def test_authentication_is_off_unless_the_caller_says_otherwise(given: dict[str, str], expected: dict[str, str]) -> None:
    env = environment(CALLER | given)
    assert {key: value for key, value in env.items() if key.startswith("RAY_AUTH")} == expected


@pytest.mark.parametrize(("is_head", "client_port"), [(True, None), (False, 10001)])
def test_ray_start_is_told_what_its_options_cannot_say(is_head: bool, client_port: int | None) -> None:
    from ray._private.parameter import RayParams

    params = RayParams(node_ip_address="192.0.2.2", ray_client_server_port=10001)
    on_ray_start(params, is_head)
    assert (params.node_ip_address, params.ray_client_server_port) == ("127.0.0.1", client_port)
    assert environment(CALLER, is_head=is_head)["RAY_START_HOOK"] == f"{on_ray_start.__module__}.{on_ray_start.__name__}"


@pytest.fixture
def runner(tmp_path: Path) -> LocalCommandRunner:
    home = tmp_path / "home"
    home.mkdir()
    return LocalCommandRunner(home, os.environ | {"HOME": str(home), NODE_MARKER: "x"}, BoundedSemaphore(2))


def test_commands_run_at_home_without_a_terminal_in_their_own_session(runner: LocalCommandRunner) -> None:
    assert runner.run("pwd; echo ~; cat", with_output=True).splitlines() == [str(runner.home)] * 2
    assert runner.run(f'{sys.executable} -c "import os; print(os.getsid(0) == os.getpgid(0))"', with_output=True) == "True\n"
    assert int(runner.run("ps -o sid= -p $$ || echo 0", with_output=True)) != os.getsid(0)
    assert runner.run("echo $LABELS", with_output=True, environment_variables={"LABELS": {"a": 1}}) == '{"a":1}\n'
    assert runner.run(None, port_forward=[(1, 1)]) == ""


def test_a_failing_command_raises_or_exits(runner: LocalCommandRunner) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        runner.run("exit 3")
    with pytest.raises(SystemExit) as stopped:
        runner.run("exit 3", exit_on_fail=True)
    assert stopped.value.code == 3


def test_files_are_copied_as_rsync_would(runner: LocalCommandRunner, tmp_path: Path) -> None:
    source = tmp_path / "code"
    (source / ".git").mkdir(parents=True)
    (source / "a.py").write_text("1")
    runner.run_rsync_up(str(source / "a.py"), "~/a.py")
    runner.run_rsync_up(f"{source}/", "~/content/", {"rsync_exclude": [".git"]})
    runner.run_rsync_up(str(source), "~/whole")
    found = {str(path.relative_to(runner.home)) for path in runner.home.rglob("*") if path.is_file()}
    assert found == {"a.py", "content/a.py", "whole/code/a.py"}
    assert not (runner.home / "content" / ".git").exists()
    runner.run_rsync_down("~/a.py", str(tmp_path / "back.py"))
    assert (tmp_path / "back.py").read_text() == "1"


def test_the_shim_stops_the_node_and_passes_everything_else_to_ray(tmp_path: Path) -> None:
    write_shim(tmp_path, "gpu-1")
    lines = (tmp_path / ".bin" / "ray").read_text().splitlines()
    assert lines[0] == "#!/bin/sh"
    assert lines[1].endswith("carbon_ray.cluster.local_process stop gpu-1; fi")
    assert lines[2].endswith('ray.scripts.scripts "$@"')
    assert os.access(tmp_path / ".bin" / "ray", os.X_OK)
    version = subprocess.run([tmp_path / ".bin" / "ray", "--version"], capture_output=True, text=True, check=True, timeout=60)
    assert "2.60" in version.stdout
