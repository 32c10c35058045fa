"""The list of a local cluster's nodes: a JSON file, locked among threads and processes, replaced as a whole."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from filelock import FileLock

from carbon_ray.cluster.local_paths import LocalPaths
from carbon_ray.core.codec import from_jsonable, to_jsonable

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalNode:
    """One local node.

    Attributes:
        tags: Tags that Ray's launcher and autoscaler put on it.
        region: From the label of its node type.
    """

    tags: dict[str, str]
    region: str


class LocalState:
    """The nodes by node id.

    Attributes:
        paths: Places of the cluster's files.
    """

    def __init__(self, paths: LocalPaths) -> None:
        self.paths = paths
        self._lock = threading.RLock()

    def read(self) -> dict[str, LocalNode]:
        """All nodes; none where there is no cluster. Needs no lock, because the file is replaced atomically."""
        try:
            data = json.loads(self.paths.state.read_text())
        except FileNotFoundError:
            return {}
        return {node_id: from_jsonable(LocalNode, node) for node_id, node in data.items()}

    def change(self, apply: Callable[[dict[str, LocalNode]], T]) -> T:
        """Let `apply` change the nodes while nobody else can, store them and return its result.

        Raises:
            ConfigError: The cluster's directory cannot be used.
        """
        self.paths.create()
        with self._lock, FileLock(self.paths.lock):
            nodes = self.read()
            result = apply(nodes)
            fresh = self.paths.state.with_suffix(".new")
            fresh.write_text(json.dumps({node_id: to_jsonable(node) for node_id, node in nodes.items()}, indent=1))
            os.replace(fresh, self.paths.state)
            return result
