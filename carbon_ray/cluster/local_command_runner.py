"""Runs the launcher's commands for one local node: a shell with the node's own home and environment instead of ssh."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import site
import subprocess
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any

from ray.autoscaler.command_runner import CommandRunnerInterface

from carbon_ray.cluster import local_process
from carbon_ray.cluster.local_paths import LOOPBACK, LocalPaths, LocalPorts
from carbon_ray.cluster.local_process import CLUSTER_MARKER, NODE_MARKER

PORT_VARIABLES = {
    "CARBON_RAY_GCS_PORT": "gcs",
    "CARBON_RAY_DASHBOARD_PORT": "dashboard",
    "CARBON_RAY_DASHBOARD_AGENT_PORT": "dashboard_agent",
    "CARBON_RAY_METRICS_PORT": "metrics",
    "AUTOSCALER_METRIC_PORT": "autoscaler_metrics",
    "DASHBOARD_METRIC_PORT": "dashboard_metrics",
}
"""Environment variables for the start commands; the last two are Ray's own."""
TEMP_VARIABLE = "CARBON_RAY_NODE_TEMP"

_AUTH_VARIABLES = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
# CUDA_VISIBLE_DEVICES goes because the GPUs of local nodes are declared: Ray refuses to declare more than it lists.
_OWN_VARIABLES = {NODE_MARKER, CLUSTER_MARKER, TEMP_VARIABLE, *PORT_VARIABLES, "CUDA_VISIBLE_DEVICES"}


def node_environment(caller: Mapping[str, str], *, node_id: str, is_head: bool, paths: LocalPaths, ports: LocalPorts) -> dict[str, str]:
    """Environment of every process of a node.

    Args:
        caller: Environment of the launcher or of the head's monitor. Its RAY_* variables belong to another node, or to another
            cluster, and are left out; authentication alone is passed on, and is off where the caller says nothing.
        node_id: The node.
        is_head: True for the head.
        paths: Places of the cluster's files.
        ports: Ports of the cluster.
    """
    home = paths.home(node_id)
    env = {key: value for key, value in caller.items() if not key.startswith("RAY_") and key not in _OWN_VARIABLES}
    if "RAY_AUTH_MODE" in caller:
        env.update({key: caller[key] for key in _AUTH_VARIABLES if key in caller})
        env.setdefault("RAY_AUTH_TOKEN_PATH", str(Path(caller.get("HOME", "~")).expanduser() / ".ray" / "auth_token"))
    else:
        env["RAY_AUTH_MODE"] = "disabled"  # the cluster listens on loopback alone, in a directory closed to others
    env.update({variable: str(getattr(ports, field)) for variable, field in PORT_VARIABLES.items()})
    env |= {
        NODE_MARKER: node_id,
        CLUSTER_MARKER: str(paths.root),
        TEMP_VARIABLE: str(paths.ray_temp),
        "HOME": str(home),
        "PATH": os.pathsep.join([str(home / ".bin"), str(Path(sys.executable).parent), caller.get("PATH", os.defpath)]),
        "PYTHONUSERBASE": caller.get("PYTHONUSERBASE") or site.getuserbase(),  # a `pip install --user` lives in the caller's home
        "RAY_ADDRESS": ports.address,
        "RAY_API_SERVER_ADDRESS": ports.dashboard_url,
        # Ray binds to 127.0.0.1 only where it thinks that the machine is a single node. The head may think so; `ray start` of
        # a worker would then refuse, so there the address is set by the hook alone.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0" if is_head else "1",
        "RAY_START_HOOK": "carbon_ray.cluster.local_command_runner.on_ray_start",
    }
    return env


def on_ray_start(ray_params: Any, head: bool) -> None:
    """Called by `ray start` (RAY_START_HOOK) with its parameters: what its options cannot say.

    The node's address is loopback and nothing else. The Ray Client server is left out: its port would be one more to collide
    with other clusters of the machine, its start costs a second, and local drivers connect directly.
    """
    ray_params.node_ip_address = LOOPBACK
    if head:
        ray_params.ray_client_server_port = None


def write_shim(home: Path, node_id: str) -> None:
    """Make the node's own `ray` command: `ray stop` ends this node, where the stock one ends every Ray on the machine."""
    shim = home / ".bin" / "ray"
    shim.parent.mkdir(parents=True, exist_ok=True)
    python = f"{shlex.quote(sys.executable)} -P -m"
    shim.write_text(
        "#!/bin/sh\n"
        f'if [ "$1" = stop ]; then exec {python} carbon_ray.cluster.local_process stop {shlex.quote(node_id)}; fi\n'
        f'exec {python} ray.scripts.scripts "$@"\n'
    )
    shim.chmod(0o755)


class LocalCommandRunner(CommandRunnerInterface):  # type: ignore[misc]  # Ray ships no types
    """Commands and file copies of one local node.

    Attributes:
        home: The node's home directory.
        env: Environment of its processes.
        starts: Bounds how many nodes start at once.
    """

    def __init__(self, home: Path, env: Mapping[str, str], starts: BoundedSemaphore) -> None:
        self.home, self.env, self.starts = home, dict(env), starts

    def run(
        self,
        cmd: str | None = None,
        timeout: int = 120,
        exit_on_fail: bool = False,
        port_forward: list[tuple[int, int]] | None = None,
        with_output: bool = False,
        environment_variables: dict[str, object] | None = None,
        run_env: str = "auto",
        ssh_options_override_ssh_key: str = "",
        shutdown_after_run: bool = False,
    ) -> str:
        """Run a shell command in the node and wait for it; see Ray's interface for the arguments.

        `timeout`, as with ssh, is for reaching the node, which is here at once. Ports need no forwarding: a call without a
        command does nothing.

        Raises:
            subprocess.CalledProcessError: The command failed, and `exit_on_fail` is not set.
        """
        if cmd is None:
            return ""
        given = {
            key: value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
            for key, value in (environment_variables or {}).items()
        }
        with self.starts if "ray start" in cmd else nullcontext():
            process = local_process.start(
                ["bash", "-c", cmd], env=self.env | given, cwd=self.home, stdout=subprocess.PIPE if with_output else None
            )
            try:
                output, _ = process.communicate()
            except BaseException:  # Ctrl-C in the terminal: the command's own session did not get it
                local_process.end_tree(process.pid)
                raise
        if process.returncode:
            if exit_on_fail:
                raise SystemExit(process.returncode)
            raise subprocess.CalledProcessError(process.returncode, cmd)
        return output or ""

    def _inside(self, path: str) -> Path:
        return self.home / path[2:] if path.startswith("~/") else self.home / path

    @staticmethod
    def _copy(source: str, source_path: Path, target: Path, options: Mapping[str, Any] | None) -> None:
        if not source_path.is_dir():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source_path, target)
            return
        # As rsync: with a slash at the end the content, without it the directory itself.
        into = target if source.endswith("/") else target / source_path.name
        excluded = (options or {}).get("rsync_exclude") or []
        shutil.copytree(source_path, into, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*excluded))

    def run_rsync_up(self, source: str, target: str, options: dict[str, Any] | None = None) -> None:
        """Copy a file or directory into the node."""
        self._copy(source, Path(source), self._inside(target), options)

    def run_rsync_down(self, source: str, target: str, options: dict[str, Any] | None = None) -> None:
        """Copy a file or directory out of the node."""
        self._copy(source, self._inside(source), Path(target), options)

    def remote_shell_command_str(self) -> str:
        """Shell command that opens a shell in the node."""
        names = (NODE_MARKER, CLUSTER_MARKER, "HOME", "PATH", "RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER")
        return shlex.join(["env", *(f"{name}={self.env[name]}" for name in names if name in self.env), "bash"])

    def run_init(self, *, as_head: bool, file_mounts: dict[str, str], sync_run_yet: bool) -> bool | None:
        """Nothing to initialise."""
        return None
