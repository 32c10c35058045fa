"""The real cluster behind the controller's port: Ray's nodes, its autoscaler's plan and its reasons."""

from __future__ import annotations

import ray

from carbon_ray.cluster.drain import drain_idle
from carbon_ray.cluster.nodes import NodeState, observe_nodes, observe_pending
from carbon_ray.cluster.plan_store import publish_plan
from carbon_ray.cluster.scheduler_log import ActionKind, read_scheduler_log
from carbon_ray.core.capacity import CapacityPlan
from carbon_ray.policies.capacity import PendingRequest


class LiveCluster:
    """The cluster that this process is connected to."""

    def nodes(self) -> tuple[NodeState, ...]:
        """All nodes, the head and those that died lately among them."""
        return observe_nodes()

    def pending(self) -> tuple[PendingRequest, ...]:
        """What Ray waits to place and has no room for."""
        return observe_pending()

    def publish(self, plan: CapacityPlan) -> None:
        """Hand a capacity plan to the autoscaler."""
        publish_plan(plan)

    def drain_idle(self, node_id: str, reason: str) -> bool:
        """Ask an idle node to leave; False if it is busy again."""
        return drain_idle(node_id, reason)

    def why_added(self, node_type: str) -> str:
        """The autoscaler's own reason for its newest launch of a node type; empty where it has none."""
        for action in reversed(read_scheduler_log()):
            if action.kind is ActionKind.LAUNCH and action.node_type == node_type:
                return f"autoscaler launch, {action.cause}: {action.reason}"
        return ""

    def why_removed(self, node_id: str) -> str:
        """Why a node is gone: the autoscaler's reason, or else Ray's; empty where neither knows."""
        for action in reversed(read_scheduler_log()):
            if action.kind is ActionKind.TERMINATE and action.ray_node_id == node_id:
                return f"autoscaler termination, {action.cause}: {action.reason}"
        for node in ray.nodes():
            if node["NodeID"] == node_id:
                return f"left Ray: {node.get('DeathReasonMessage') or node.get('DeathReason') or 'no reason given'}"
        return ""
