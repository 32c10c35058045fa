"""Which worker nodes there are: their comings and goings into the ledger, and since when each is idle."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from carbon_ray.actors.ports import ClusterPort
from carbon_ray.books.ledger import Ledger
from carbon_ray.books.records import NodeEvent, NodeEventKind
from carbon_ray.cluster.nodes import NodeState
from carbon_ray.policies.capacity import ObservedNode

HEAD_REGION = "control"
"""Region label of the head, which is never steered."""


class Roster:
    """Compares what the cluster reports with what it reported before.

    Args:
        ledger: Where the events go; nodes that it knows as present are not added again after a restart.
        cluster: Where the nodes are observed.
    """

    def __init__(self, ledger: Ledger, cluster: ClusterPort) -> None:
        self._ledger, self._cluster = ledger, cluster
        self._present: dict[str, NodeEvent] = {}
        for event in ledger.node_events():
            if event.kind is NodeEventKind.ADDED:
                self._present[event.node_id] = event
            else:
                self._present.pop(event.node_id, None)
        self._idle_since_at: dict[str, datetime] = {}
        self.workers: tuple[ObservedNode, ...] = ()

    @property
    def idle_since_at(self) -> Mapping[str, datetime]:
        """Wall instant since which each idle node was seen idle."""
        return self._idle_since_at

    def observe(self, *, now: datetime, wall_at: datetime) -> tuple[NodeState, ...]:
        """Read the nodes, and record who came and went since the last time."""
        nodes = tuple(node for node in self._cluster.nodes() if node.region not in ("", HEAD_REGION))
        alive = {node.node_id: node for node in nodes if node.is_alive}
        for node_id in [node_id for node_id in self._present if node_id not in alive]:
            self._record(self._present.pop(node_id), NodeEventKind.REMOVED, now, self._cluster.why_removed(node_id))
        for node in alive.values():
            if node.node_id not in self._present:
                event = NodeEvent(
                    region=node.region, node_type=node.node_type, node_id=node.node_id, kind=NodeEventKind.ADDED, at=now, reason=""
                )
                self._present[node.node_id] = self._record(event, NodeEventKind.ADDED, now, self._cluster.why_added(node.node_type))
        idle = {node.node_id for node in alive.values() if node.is_idle}
        self._idle_since_at = {node_id: self._idle_since_at.get(node_id, wall_at) for node_id in idle}
        self.workers = tuple(_observed(node, self._present[node.node_id].at) for node in alive.values())
        return tuple(alive.values())

    def look_again(self) -> tuple[ObservedNode, ...]:
        """The worker nodes as they are now; nothing is recorded.

        Raises:
            ClusterError: The cluster cannot be reached.
        """
        return tuple(_observed(node) for node in self._cluster.nodes() if node.is_alive and node.region not in ("", HEAD_REGION))

    def _record(self, event: NodeEvent, kind: NodeEventKind, at: datetime, reason: str) -> NodeEvent:
        recorded = NodeEvent(
            region=event.region, node_type=event.node_type, node_id=event.node_id, kind=kind, at=at, reason=reason or "reason not known"
        )
        self._ledger.put_node_event(recorded)
        return recorded


def _observed(node: NodeState, since_at: datetime | None = None) -> ObservedNode:
    return ObservedNode(node_id=node.node_id, node_type=node.node_type, is_idle=node.is_idle, is_draining=node.draining, since_at=since_at)
