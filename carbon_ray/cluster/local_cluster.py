"""A local cluster as a context manager: `ray up` on entry, and nothing left behind on exit, whatever happens between."""

from __future__ import annotations

import atexit
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml

from carbon_ray.cluster import local_process
from carbon_ray.cluster.local_config import DEFAULT_HEAD_COMMANDS, DEFAULT_IDLE_TIMEOUT_S, DEFAULT_REGIONS, local_cluster_config
from carbon_ray.cluster.local_paths import LOOPBACK, PORT_COUNT, LocalPaths, LocalPorts, user_dir
from carbon_ray.core.errors import ClusterStartError
from carbon_ray.core.region import Region

__all__ = ["LocalCluster", "free_base_port", "local_cluster_config"]

UP_TIMEOUT_S = 180.0
"""`ray up` takes about 10 s; a loaded two-core machine was seen to take 40 s."""
_LOG_TAIL_LINES = 60


def free_base_port() -> int:
    """First of `PORT_COUNT` consecutive ports that are free at this moment, below all systems' ephemeral ports.

    Raises:
        ClusterStartError: No such block was found.
    """
    bases = list(range(20_000, 32_000, 2 * PORT_COUNT))
    random.SystemRandom().shuffle(bases)  # two callers at once shall not meet in the same block
    for base in bases:
        if all(_is_free(base + offset) for offset in range(PORT_COUNT)):
            return base
    raise ClusterStartError(f"no {PORT_COUNT} consecutive free ports between 20000 and 32000; end some servers on this machine")


def _is_free(port: int) -> bool:
    for host in (LOOPBACK, "0.0.0.0"):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is free for a server
            try:
                probe.bind((host, port))
            except OSError:
                return False
    return True


class LocalCluster:
    """A Ray cluster of local processes, for demos and tests.

    Attributes:
        config: The cluster YAML as data.
        ports: Its ports.
        paths: Places of its files.
    """

    def __init__(
        self,
        *,
        name: str | None = None,
        base_port: int | None = None,
        state_dir: Path | None = None,
        regions: Sequence[Region] = DEFAULT_REGIONS,
        idle_timeout_s: float = DEFAULT_IDLE_TIMEOUT_S,
        head_commands: Sequence[str] = DEFAULT_HEAD_COMMANDS,
        carbon: Mapping[str, Any] | None = None,
    ) -> None:
        """Arguments as of `local_cluster_config`; name and ports are chosen free where they are None."""
        self.ports = LocalPorts(base_port if base_port is not None else free_base_port())
        self.paths = LocalPaths(state_dir or user_dir(), name or f"local-{os.getpid()}-{self.ports.base}")
        self.config = local_cluster_config(
            name=self.paths.cluster_name,
            base_port=self.ports.base,
            state_dir=self.paths.state_dir,  # stated, so that another TMPDIR in a child process does not matter
            regions=regions,
            idle_timeout_s=idle_timeout_s,
            head_commands=head_commands,
            carbon=carbon,
        )
        self._directory: Path | None = None
        self._launcher: subprocess.Popen[str] | None = None

    @property
    def address(self) -> str:
        """GCS address for `ray.init(address=...)`."""
        return self.ports.address

    @property
    def dashboard_url(self) -> str:
        """URL of dashboard and Jobs API."""
        return self.ports.dashboard_url

    @property
    def config_path(self) -> Path:
        """The cluster YAML, for `ray exec`, `ray submit` and the like.

        Raises:
            ClusterStartError: The cluster is not up.
        """
        if self._directory is None:
            raise ClusterStartError("the local cluster is not up; call up() or enter it with `with`")
        return self._directory / "cluster.yaml"

    def up(self) -> None:
        """Write the YAML and run `ray up`; returns when the head is up. After an error or Ctrl-C nothing is left running.

        Raises:
            ClusterStartError: `ray up` failed or took too long; the message has the end of its output.
        """
        atexit.register(self.down)
        try:
            self._directory = Path(tempfile.mkdtemp(prefix="carbon-ray-"))
            self.config_path.write_text(yaml.safe_dump(self.config, sort_keys=False))
            self._ray_up(self._directory / "ray-up.log")
        except BaseException:
            self.down()
            raise

    def down(self) -> None:
        """End every process of this cluster and remove its files. Can be called at any time, also twice.

        This is what `ray down` does for a local cluster, without the five seconds that it sleeps. Ctrl-C is held off meanwhile.
        """
        with _uninterrupted():
            if self._launcher is not None:  # first, because a living launcher would go on starting
                local_process.end_tree(self._launcher.pid)
                self._launcher = None
            local_process.end_cluster(str(self.paths.root))
            self.paths.remove()
            if self._directory is not None:
                shutil.rmtree(self._directory, ignore_errors=True)
                self._directory = None
            atexit.unregister(self.down)

    def set_stockout(self, region: str, is_out: bool) -> None:
        """Let a region run out of capacity for new nodes, or have it again."""
        mark = self.paths.stockout(region)
        if is_out:
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()
        else:
            mark.unlink(missing_ok=True)

    def _ray_up(self, log_path: Path) -> None:
        env = os.environ | {"RAY_UP_enable_autoscaler_v2": "1", "RAY_USAGE_STATS_ENABLED": "0"}
        with log_path.open("w") as log:
            self._launcher = subprocess.Popen(
                [sys.executable, "-P", "-m", "ray.scripts.scripts", "up", "-y", "--no-config-cache", str(self.config_path)],
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C shall reach this process alone, which then ends the launcher in order
                text=True,
            )
            try:
                code = self._launcher.wait(UP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                code = None
        if code != 0:
            tail = "\n".join(log_path.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:])
            problem = f"took longer than {UP_TIMEOUT_S:.0f} s" if code is None else f"failed with exit code {code}"
            raise ClusterStartError(f"`ray up` of the local cluster {problem}; the end of its output:\n{tail}")
        self._launcher = None

    def __enter__(self) -> LocalCluster:
        self.up()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.down()


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold off Ctrl-C; only the main thread can, and only it gets one."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)
