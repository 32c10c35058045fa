"""Starting, finding and ending the processes of local nodes, and nothing else on the machine.

A node's processes carry two markers in their environment, inherited from the command that started them: the node's and the
cluster's. Some processes of Ray overwrite their environment to set their title; they are found as descendants of marked ones.

As a module (`python -m carbon_ray.cluster.local_process stop <node>`) it ends one node's processes; a node's `ray stop` runs that.
Only psutil and the standard library are imported, because this runs on every start of a node.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import psutil

NODE_MARKER = "CARBON_RAY_NODE"
"""Environment variable with the node's id."""
CLUSTER_MARKER = "CARBON_RAY_CLUSTER"
"""Environment variable with the cluster's directory, which is unique on the machine."""

STOP_GRACE_S = 1.5
"""From TERM to KILL. Local nodes hold nothing that a longer stop would save; Ray's own grace is for shared machines."""
POLL_S = 0.05


def start(command: list[str], *, env: Mapping[str, str], cwd: Path, stdout: int | None = None) -> subprocess.Popen[str]:
    """Start a process in its own session: Ctrl-C in the terminal does not reach it, and it does not read the terminal."""
    return subprocess.Popen(command, env=dict(env), cwd=cwd, stdin=subprocess.DEVNULL, stdout=stdout, start_new_session=True, text=True)


def find_marked(marker: str, value: str) -> list[psutil.Process]:
    """Living processes of this user with `marker=value` in their environment, and all their descendants.

    This process and its ancestors are left out, so that a command inside a node can end that node.
    """
    me = psutil.Process()
    spared = {me.pid, *(parent.pid for parent in me.parents())}
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        if process.pid not in spared and _has(process, marker, value):
            found[process.pid] = process
    for process in list(found.values()):
        for child in _children(process):
            if child.pid not in spared:
                found.setdefault(child.pid, child)
    return list(found.values())


def _has(process: psutil.Process, marker: str, value: str) -> bool:
    try:
        # Other users' processes are never ours, whatever they carry; asking for their environment would be refused.
        return process.uids().real == os.getuid() and process.environ().get(marker) == value and _is_alive(process)
    except (psutil.Error, OSError):
        return False


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []


def _is_alive(process: psutil.Process) -> bool:
    try:
        # A zombie is over: in a container without an init process nobody may ever collect it.
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def end(find: Callable[[], Iterable[psutil.Process]], grace_s: float = STOP_GRACE_S) -> bool:
    """End the processes that `find` gives: TERM, after `grace_s` KILL, and again for any that appeared meanwhile.

    Returns:
        True if none is left.
    """
    known: dict[tuple[int, float], psutil.Process] = {}

    def living() -> list[psutil.Process]:
        for process in find():
            try:
                known.setdefault((process.pid, process.create_time()), process)
            except psutil.Error:
                continue
        return [process for process in known.values() if _is_alive(process)]

    for is_last, wait_s in ((False, grace_s), (True, 1.0), (True, 1.0), (True, 1.0)):
        if not (left := living()):
            return True
        for process in left:
            try:
                if is_last:
                    process.kill()
                else:
                    process.terminate()
            except psutil.Error:
                continue
        stop_at = time.monotonic() + wait_s
        while time.monotonic() < stop_at and any(_is_alive(process) for process in left):
            time.sleep(POLL_S)
    return not living()


def end_node(node_id: str, grace_s: float = STOP_GRACE_S) -> bool:
    """End the processes of one local node; True if none is left."""
    return end(lambda: find_marked(NODE_MARKER, node_id), grace_s)


def end_cluster(root: str, grace_s: float = STOP_GRACE_S) -> bool:
    """End the processes of all nodes of the cluster with that directory; True if none is left."""
    return end(lambda: find_marked(CLUSTER_MARKER, root), grace_s)


def end_tree(pid: int, grace_s: float = STOP_GRACE_S) -> bool:
    """End one process that the caller started, and its descendants; True if none is left."""
    try:
        top = psutil.Process(pid)
    except psutil.Error:
        return True
    return end(lambda: [top, *_children(top)], grace_s)


def main(arguments: list[str]) -> int:
    """Entry point of `python -m carbon_ray.cluster.local_process`."""
    if len(arguments) != 2 or arguments[0] != "stop":
        print("usage: python -m carbon_ray.cluster.local_process stop <node id>", file=sys.stderr)
        return 2
    return 0 if end_node(arguments[1]) else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
