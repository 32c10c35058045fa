import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from carbon_ray.cluster import local_process
from carbon_ray.cluster.local_process import CLUSTER_MARKER, NODE_MARKER

Sleeper = Callable[..., subprocess.Popen[str]]

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Sleeper]:
    """Starts processes, and checks at the end that those which carry no marker were never touched."""
    started: list[subprocess.Popen[str]] = []

    def make(marks: dict[str, str], command: tuple[str, ...] = ("sleep", "60"), stdout: int | None = None) -> subprocess.Popen[str]:
        process = local_process.start(list(command), env=os.environ | marks, cwd=tmp_path, stdout=stdout)
        started.append(process)
        # Until exec the child has the parent's environment.
        while psutil.Process(process.pid).environ().get(NODE_MARKER) != marks.get(NODE_MARKER):
            time.sleep(0.01)
        return process

    bystander = make({})
    yield make
    assert bystander.poll() is None
    for process in started:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def test_only_processes_of_the_node_end(sleeper: Sleeper) -> None:
    node, other = uuid.uuid4().hex, uuid.uuid4().hex
    mine, neighbour = sleeper({NODE_MARKER: node}), sleeper({NODE_MARKER: other})
    assert [process.pid for process in local_process.find_marked(NODE_MARKER, node)] == [mine.pid]
    assert local_process.end_node(node)
    assert mine.wait(5) != 0
    assert neighbour.poll() is None


def test_a_cluster_ends_with_all_its_nodes(sleeper: Sleeper) -> None:
    root = f"/nowhere/{uuid.uuid4().hex}"
    nodes = [sleeper({NODE_MARKER: uuid.uuid4().hex, CLUSTER_MARKER: root}) for _ in range(2)]
    neighbour = sleeper({NODE_MARKER: uuid.uuid4().hex, CLUSTER_MARKER: root + "-2"})
    assert local_process.end_cluster(root)
    assert all(process.wait(5) != 0 for process in nodes)
    assert neighbour.poll() is None


def test_descendants_without_the_marker_end_too(sleeper: Sleeper) -> None:
    node = uuid.uuid4().hex
    parent = sleeper({NODE_MARKER: node}, ("bash", "-c", f"env -u {NODE_MARKER} sleep 60 & wait"))
    while not (children := psutil.Process(parent.pid).children()) or NODE_MARKER in children[0].environ():
        time.sleep(0.01)
    assert local_process.end_node(node)
    assert not children[0].is_running() or children[0].status() == psutil.STATUS_ZOMBIE


def test_a_process_that_ignores_term_is_killed(sleeper: Sleeper) -> None:
    node = uuid.uuid4().hex
    process = sleeper({NODE_MARKER: node}, (sys.executable, "-c", STUBBORN), subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    assert local_process.end_node(node, grace_s=0.2)
    assert process.wait(5) == -9


def test_nothing_to_end_is_done() -> None:
    assert local_process.end_node(uuid.uuid4().hex)


def test_a_tree_ends(sleeper: Sleeper) -> None:
    process = sleeper({}, ("bash", "-c", "sleep 60 & wait"))
    assert local_process.end_tree(process.pid)
    assert process.wait(5) != 0
    assert local_process.end_tree(process.pid)


def test_a_command_inside_the_node_ends_the_rest_of_it(sleeper: Sleeper, tmp_path: Path) -> None:
    node = uuid.uuid4().hex
    rest = sleeper({NODE_MARKER: node})
    stop = f"{sys.executable} -P -m carbon_ray.cluster.local_process stop {node} && echo stopped"
    inside = sleeper({NODE_MARKER: node}, ("bash", "-c", stop), subprocess.PIPE)
    output, _ = inside.communicate(timeout=30)
    assert (inside.returncode, output) == (0, "stopped\n")
    assert rest.wait(5) != 0


@pytest.mark.parametrize("arguments", [[], ["stop"], ["start", "x"], ["stop", "x", "y"]])
def test_wrong_arguments_end_nothing(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert local_process.main(arguments) == 2
    assert "usage" in capsys.readouterr().err
