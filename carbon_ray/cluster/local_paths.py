"""Where a local cluster keeps its files, and which ports it uses: everything follows from its name, user and base port.

The launcher, the head's monitor and every node compute the same places from the same two settings.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from carbon_ray.core.errors import ConfigError

MAX_RAY_TEMP_BYTES = 35
"""Longest directory in which Ray's sockets fit. A Unix socket's path has 103 bytes at most (macOS; Linux: 107; `sun_path` in
<sys/un.h> less the final zero), Ray appends `/session_<date>_<time>_<micros>_<pid>/sockets/plasma_store.<n>`, 68 bytes."""

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class LocalPorts:
    """Ports of a local cluster's head; workers take free ones.

    Attributes:
        base: First of `COUNT` consecutive ports.
    """

    base: int

    @property
    def gcs(self) -> int:
        """Ray's GCS: what drivers and nodes connect to."""
        return self.base

    @property
    def dashboard(self) -> int:
        """Dashboard and Jobs API."""
        return self.base + 1

    @property
    def dashboard_agent(self) -> int:
        """Dashboard agent of the head."""
        return self.base + 2

    @property
    def metrics(self) -> int:
        """Prometheus metrics of the head node."""
        return self.base + 3

    @property
    def autoscaler_metrics(self) -> int:
        """Prometheus metrics of the autoscaler."""
        return self.base + 4

    @property
    def dashboard_metrics(self) -> int:
        """Prometheus metrics of the dashboard."""
        return self.base + 5

    @property
    def address(self) -> str:
        """GCS address for `ray.init`.

        The IPv4 loopback address in its IPv6-mapped form (RFC 4291, 2.5.5.2): Ray replaces a plain 127.0.0.1 by the machine's
        outer address, on which a cluster that listens on loopback alone does not answer.
        """
        return f"[::ffff:{LOOPBACK}]:{self.gcs}"

    @property
    def dashboard_url(self) -> str:
        """URL of dashboard and Jobs API."""
        return f"http://{LOOPBACK}:{self.dashboard}"


PORT_COUNT = 6
"""Ports that `LocalPorts` hands out."""


def user_dir() -> Path:
    """Directory of this user's local clusters: in the system's temporary directory, or /tmp where that is too long for sockets."""
    name = f"carbon-ray-{os.getuid()}"
    preferred = Path(tempfile.gettempdir()) / name
    return preferred if len(os.fsencode(preferred)) <= MAX_RAY_TEMP_BYTES - 9 else Path("/tmp") / name


@dataclass(frozen=True, slots=True)
class LocalPaths:
    """Files of one local cluster.

    Attributes:
        state_dir: Directory of all local clusters of the user.
        cluster_name: Name in the cluster YAML.
    """

    state_dir: Path
    cluster_name: str

    @property
    def root(self) -> Path:
        """The cluster's directory; its text marks the cluster's processes."""
        return self.state_dir / self.cluster_name

    @property
    def ray_temp(self) -> Path:
        """Ray's sessions, logs and sockets, shared by all nodes; a sibling of `root`, because it has to be short."""
        return self.state_dir / f"r-{sha256(self.cluster_name.encode()).hexdigest()[:6]}"

    @property
    def state(self) -> Path:
        """List of nodes."""
        return self.root / "nodes.json"

    @property
    def lock(self) -> Path:
        """Guards `state` among processes."""
        return self.root / "nodes.lock"

    def home(self, node_id: str) -> Path:
        """Home directory of a node."""
        return self.root / "nodes" / node_id

    def stockout(self, region: str) -> Path:
        """While this file exists, the region has no capacity for new nodes."""
        return self.root / "stockout" / region

    def create(self) -> None:
        """Make the directories, closed to other users.

        Raises:
            ConfigError: The place is too long for sockets, or belongs to somebody else.
        """
        length = len(os.fsencode(self.ray_temp))
        if length > MAX_RAY_TEMP_BYTES:
            raise ConfigError(
                f"{self.ray_temp} has {length} bytes, and sockets in it would be too long; set provider.state_dir to a path of at most "
                f"{MAX_RAY_TEMP_BYTES - 9} bytes"
            )
        for path in (self.state_dir, self.root, self.ray_temp):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Ray opens its own directories to everybody, so it is the one above them that keeps others out.
        found = self.state_dir.lstat()
        if stat.S_ISLNK(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o022:
            raise ConfigError(f"others can write to {self.state_dir}, so nodes must not run there; remove it or set provider.state_dir")

    def remove(self) -> None:
        """Remove everything of this cluster, and the user's directory when it was the last."""
        for path in (self.root, self.ray_temp):
            shutil.rmtree(path, ignore_errors=True)
        try:
            self.state_dir.rmdir()
        except OSError:
            return  # other clusters are there, or the user put something in
