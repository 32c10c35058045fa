"""A Ray node provider whose nodes are processes of this machine, in several regions by label: no ssh, no docker, no cloud."""

from __future__ import annotations

import logging
import os
import shutil
import uuid
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import BoundedSemaphore
from types import ModuleType
from typing import Any

from ray.autoscaler.command_runner import CommandRunnerInterface
from ray.autoscaler.node_launch_exception import NodeLaunchException
from ray.autoscaler.node_provider import NodeProvider
from ray.autoscaler.tags import NODE_KIND_HEAD, TAG_RAY_NODE_KIND, TAG_RAY_USER_NODE_TYPE

from carbon_ray.cluster import local_process, scheduler_hook
from carbon_ray.cluster.local_command_runner import LocalCommandRunner, node_environment, write_shim
from carbon_ray.cluster.local_paths import LOOPBACK, LocalPaths, LocalPorts, user_dir
from carbon_ray.cluster.local_state import LocalNode, LocalState
from carbon_ray.core.errors import ConfigError
from carbon_ray.core.region import REGION_LABEL

MAX_STARTS_AT_ONCE = 2
"""More node starts at once on few cores made Ray's own start-up time limits expire."""

logger = logging.getLogger(__name__)


class LocalProvider(NodeProvider):  # type: ignore[misc]  # Ray ships no types
    """Nodes as local processes; `provider.module: carbon_ray.cluster.LocalProvider`.

    Settings in the YAML's `provider` section: `base_port`, the first of six free ports; `state_dir`, by default a directory in the
    system's temporary one; `stockout`, a list of regions without capacity.
    """

    def __init__(self, provider_config: dict[str, Any], cluster_name: str) -> None:
        super().__init__(provider_config, cluster_name)
        base_port = provider_config.get("base_port")
        if not isinstance(base_port, int):
            raise ConfigError("provider.base_port is missing; set it to the first of six free ports, such as 26400")
        self.ports = LocalPorts(base_port)
        self.paths = paths_of(provider_config, cluster_name)
        self.state = LocalState(self.paths)
        self._starts = BoundedSemaphore(MAX_STARTS_AT_ONCE)
        scheduler_hook.install()

    def prepare_for_head_node(self, cluster_config: dict[str, Any]) -> dict[str, Any]:
        """Tell the head where the state is: its temporary directory need not be the launcher's."""
        return {**cluster_config, "provider": {**cluster_config["provider"], "state_dir": str(self.paths.state_dir)}}

    def non_terminated_nodes(self, tag_filters: dict[str, str]) -> list[str]:
        """Ids of the nodes that carry all of the tags."""
        return [node_id for node_id, node in self.state.read().items() if tag_filters.items() <= node.tags.items()]

    def is_running(self, node_id: str) -> bool:
        """True while the node exists; a local node is there at once."""
        return node_id in self.state.read()

    def is_terminated(self, node_id: str) -> bool:
        """True once the node is gone."""
        return node_id not in self.state.read()

    def node_tags(self, node_id: str) -> dict[str, str]:
        """Tags of a node; none once it is gone."""
        node = self.state.read().get(node_id)
        return dict(node.tags) if node else {}

    def set_node_tags(self, node_id: str, tags: dict[str, str]) -> None:
        """Add tags to a node; nothing once it is gone."""

        def apply(nodes: dict[str, LocalNode]) -> None:
            if node_id in nodes:
                nodes[node_id] = replace(nodes[node_id], tags=nodes[node_id].tags | tags)

        if node_id in self.state.read():
            self.state.change(apply)

    def external_ip(self, node_id: str) -> str:
        """Loopback, for every node."""
        return LOOPBACK

    def internal_ip(self, node_id: str) -> str:
        """Loopback, for every node."""
        return LOOPBACK

    def create_node(self, node_config: dict[str, Any], tags: dict[str, str], count: int) -> dict[str, Any]:
        """Create nodes without labels; Ray's launcher makes the head by this."""
        return self.create_node_with_resources_and_labels(node_config, tags, count, {}, {})

    def create_node_with_resources_and_labels(
        self, node_config: dict[str, Any], tags: dict[str, str], count: int, resources: dict[str, float], labels: dict[str, str]
    ) -> dict[str, Any]:
        """Create nodes: a home directory and an entry in the list; the launcher starts Ray in them afterwards.

        Raises:
            NodeLaunchException: The region is out of capacity.
        """
        region = labels.get(REGION_LABEL, "")
        if region and (region in self.provider_config.get("stockout", ()) or self.paths.stockout(region).exists()):
            raise NodeLaunchException("InsufficientCapacity", f"region {region} has no capacity at present", None)
        made = {}
        for _ in range(count):
            node_id = f"{tags.get(TAG_RAY_USER_NODE_TYPE, 'node')}-{uuid.uuid4().hex[:8]}"
            self.paths.create()
            self.paths.home(node_id).mkdir(mode=0o700, parents=True)
            write_shim(self.paths.home(node_id), node_id)
            made[node_id] = LocalNode(tags=dict(tags), region=region)
        self.state.change(lambda nodes: nodes.update(made))
        return {node_id: {"region": region} for node_id in made}

    def terminate_node(self, node_id: str) -> dict[str, Any]:
        """End a node's processes and remove its directory."""
        return self.terminate_nodes([node_id])

    def terminate_nodes(self, node_ids: Iterable[str]) -> dict[str, Any]:
        """End several nodes at once."""
        ids = list(node_ids)
        if not ids:
            return {}
        with ThreadPoolExecutor(max_workers=len(ids)) as pool:
            ended = dict(zip(ids, pool.map(local_process.end_node, ids), strict=True))
        if stuck := [node_id for node_id, is_ended in ended.items() if not is_ended]:
            logger.warning("processes of %s did not end", ", ".join(stuck))
        for node_id in ids:
            shutil.rmtree(self.paths.home(node_id), ignore_errors=True)
        if self.paths.state.exists():
            self.state.change(lambda nodes: [nodes.pop(node_id, None) for node_id in ids])
        return {node_id: {} for node_id in ids}

    def cleanup_cluster_resources(self) -> None:
        """Called at the end of `ray down`: nothing of the cluster stays, be it processes, locks or files."""
        local_process.end_cluster(str(self.paths.root))
        self.paths.remove()

    def get_command_runner(
        self,
        log_prefix: str,
        node_id: str,
        auth_config: dict[str, Any],
        cluster_name: str,
        process_runner: ModuleType,
        use_internal_ip: bool,
        docker_config: dict[str, Any] | None = None,
    ) -> CommandRunnerInterface:
        """The runner of commands in one node."""
        is_head = self.node_tags(node_id).get(TAG_RAY_NODE_KIND) == NODE_KIND_HEAD
        env = node_environment(os.environ, node_id=node_id, is_head=is_head, paths=self.paths, ports=self.ports)
        return LocalCommandRunner(self.paths.home(node_id), env, self._starts)


def paths_of(provider_config: dict[str, Any], cluster_name: str) -> LocalPaths:
    """Places of a local cluster's files, from its YAML."""
    given = provider_config.get("state_dir")
    return LocalPaths(Path(given).expanduser().absolute() if given else user_dir(), cluster_name)
