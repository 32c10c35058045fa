"""The cluster's nodes as the controller sees them, read from Ray's own cluster status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ray.autoscaler.v2.sdk import get_cluster_status
from ray.exceptions import RayError

from carbon_ray.cluster import kv
from carbon_ray.cluster.drain import drain_idle
from carbon_ray.core.errors import ClusterError
from carbon_ray.core.region import REGION_LABEL
from carbon_ray.policies.capacity import PendingRequest

__all__ = ["NodeState", "drain_idle", "observe_nodes", "observe_pending"]

_NOT_WORK = ("object_store_memory", "memory")
"""Resources whose use is data at rest, not work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeState:
    """One node of the cluster.

    Attributes:
        node_id: Ray node id, hex.
        region: From the label `ray.io/availability-region`; empty where the node has none.
        node_type: Name in the cluster YAML.
        is_alive: False once the node is gone; Ray remembers dead nodes for a while.
        is_idle: No resource is in use but memory and the object store; a dead node is idle.
        gpus_total: Declared GPUs.
        gpus_used: GPUs held by tasks, actors and placement groups.
        draining: It takes no new work and will leave.
    """

    node_id: str
    region: str
    node_type: str
    is_alive: bool
    is_idle: bool
    gpus_total: float
    gpus_used: float
    draining: bool


def observe_nodes() -> tuple[NodeState, ...]:
    """All nodes, the head and dead ones included, in order of node id.

    Raises:
        ClusterError: The process is not connected to a cluster, or its head does not answer.
    """
    status = _status()
    nodes = [node_state(info) for info in (*status.active_nodes, *status.idle_nodes, *status.failed_nodes) if info.node_id]
    return tuple(sorted(nodes, key=lambda node: node.node_id))


def observe_pending() -> tuple[PendingRequest, ...]:
    """What Ray waits to place: tasks, actors and placement groups. Ray's status does not tell in which region they must be.

    Raises:
        ClusterError: The process is not connected to a cluster, or its head does not answer.
    """
    return pending_requests(_status().resource_demands)


def _status() -> Any:
    client = kv.gcs_client()
    try:
        return get_cluster_status(client.address)
    except RayError as error:
        raise ClusterError(f"the cluster's status cannot be read; is its head alive? ({error})") from error


def pending_requests(demands: Any) -> tuple[PendingRequest, ...]:
    """The requests of Ray's `ResourceDemandSummary`."""
    found = [*demands.placement_group_demand, *demands.ray_task_actor_demand]
    return tuple(
        PendingRequest(resources={name: float(amount) for name, amount in one.bundle.items()}, count=int(one.count))
        for demand in found
        for one in demand.bundles_by_count
    )


def node_state(info: Any) -> NodeState:
    """A `NodeState` of Ray's `NodeInfo`."""
    is_alive = info.node_status != "DEAD"
    used, total = info.used_resources() if is_alive else {}, info.total_resources() if is_alive else {}
    return NodeState(
        node_id=info.node_id,
        region=(info.labels or {}).get(REGION_LABEL, ""),
        node_type=info.ray_node_type_name,
        is_alive=is_alive,
        is_idle=not _is_working(used),
        gpus_total=float(total.get("GPU", 0.0)),
        gpus_used=float(used.get("GPU", 0.0)),
        draining=info.node_status == "DRAINING",
    )


def _is_working(used: Mapping[str, float]) -> bool:
    return any(amount > 0 for name, amount in used.items() if name not in _NOT_WORK and not name.startswith("node:"))
