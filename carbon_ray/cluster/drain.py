"""Asking a node to leave: the one private call of Ray that carbon_ray drains with, pinned by a contract test."""

from __future__ import annotations

from ray.core.generated.autoscaler_pb2 import DrainNodeReason
from ray.exceptions import RayError

from carbon_ray.cluster import kv
from carbon_ray.core.errors import ClusterError


def drain_idle(node_id: str, reason: str) -> bool:
    """Ask an idle node to leave. Ray itself refuses when the node has work again, so that no work is ever lost by this.

    Args:
        node_id: Ray node id, hex.
        reason: One line for a person; Ray shows it with the node's death.

    Returns:
        True if the node leaves; False if it is busy.

    Raises:
        ClusterError: The process is not connected to a cluster, or its head does not answer.
    """
    client = kv.gcs_client()
    try:
        # A deadline of 0 means none; Ray does not act on deadlines by itself anyway.
        accepted, _ = client.drain_node(node_id, DrainNodeReason.DRAIN_NODE_REASON_IDLE_TERMINATION, reason, 0)
    except RayError as error:
        raise ClusterError(f"cannot drain node {node_id}; is the cluster's head alive? ({error})") from error
    return bool(accepted)
