"""A cluster without Ray for the controller's port: nodes follow the published plan, and fail, fill up or stay busy as told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from carbon_ray.cluster.nodes import NodeState
from carbon_ray.core.capacity import CapacityPlan
from carbon_ray.core.errors import ClusterError
from carbon_ray.core.region import NodeType, Region
from carbon_ray.policies.capacity import PendingRequest


@dataclass(slots=True, kw_only=True)
class _Node:
    node_id: str
    region: str
    node_type: NodeType
    comes_in: int
    is_alive: bool = False
    goes_in: int | None = None
    why_removed: str = ""


class FakeCluster:
    """Nodes of the given regions and a head; implements `carbon_ray.actors.ports.ClusterPort`.

    `advance` is one round of the autoscaler: launches up to the newest plan's minimum, arrivals, and departures of drained
    nodes. A type above its maximum loses nodes at once and undrained, as Ray does it.

    Attributes:
        full: Regions, or node types, that give no nodes now; those on their way do not arrive either.
        waiting: What Ray waits to place; set by the test.
        busy: Ids of nodes with work on them; set by the test.
        is_away: While True, every call fails as a cluster without a head does.
        plans: Every published plan, in order.
        drained: Id and reason of every accepted drain, in order.
        refused: Ids of the nodes whose drain was refused because they were busy, in order.
        killed: Ids of nodes that went with work on them.

    Args:
        regions: By name.
        launch_rounds: Rounds from a launch to the node's arrival, at least 1.
        leave_rounds: Rounds from a drain to the node's departure, at least 1.
    """

    def __init__(self, regions: Mapping[str, Region], *, launch_rounds: int = 1, leave_rounds: int = 1) -> None:
        self._types = {one.name: (region.name, one) for region in regions.values() for one in region.node_types}
        self._launch_rounds, self._leave_rounds = launch_rounds, leave_rounds
        self._nodes: dict[str, _Node] = {}
        self.full: set[str] = set()
        self.waiting: tuple[PendingRequest, ...] = ()
        self.busy: set[str] = set()
        self.is_away = False
        self.plans: list[CapacityPlan] = []
        self.drained: list[tuple[str, str]] = []
        self.refused: list[str] = []
        self.killed: list[str] = []

    # What the test does

    def advance(self) -> None:
        """One round of the autoscaler."""
        for node in self._nodes.values():
            if node.comes_in > 0 and not {node.region, node.node_type.name} & self.full:
                node.comes_in -= 1
                node.is_alive = node.comes_in == 0
            elif node.goes_in is not None and node.is_alive:
                node.goes_in -= 1
                if node.goes_in == 0:
                    self._remove(node, node.why_removed)
        if not self.plans:
            return
        for name, limits in self.plans[-1].types.items():
            mine = [node for node in self._nodes.values() if node.node_type.name == name and (node.is_alive or node.comes_in > 0)]
            for _ in range(limits.min_nodes - len(mine)):
                self._launch(name)
            surplus = sorted(mine, key=lambda node: (node.is_alive, node.node_id in self.busy))[: max(0, len(mine) - limits.max_nodes)]
            for node in surplus:
                self._remove(node, "above the maximum of its type")

    def add(self, node_type: str) -> str:
        """Let a node of that type be there at once, as if it had been launched earlier; returns its id."""
        node = self._launch(node_type)
        node.comes_in, node.is_alive = 0, True
        return node.node_id

    def lose(self, node_id: str, why: str = "lost") -> None:
        """Let a node die."""
        self._remove(self._nodes[node_id], why)

    def alive(self, node_type: str) -> tuple[str, ...]:
        """Ids of the nodes of that type that are there, in order of their launch."""
        return tuple(node.node_id for node in self._nodes.values() if node.node_type.name == node_type and node.is_alive)

    def _launch(self, node_type: str) -> _Node:
        region, kind = self._types[node_type]
        node_id = f"{node_type}-{sum(node.node_type.name == node_type for node in self._nodes.values())}"
        self._nodes[node_id] = _Node(node_id=node_id, region=region, node_type=kind, comes_in=self._launch_rounds)
        return self._nodes[node_id]

    def _remove(self, node: _Node, why: str) -> None:
        if node.is_alive and node.node_id in self.busy:
            self.killed.append(node.node_id)
            self.busy.discard(node.node_id)
        node.is_alive, node.comes_in, node.why_removed = False, 0, why

    # The port

    def nodes(self) -> tuple[NodeState, ...]:
        """All nodes that ever came, and the head."""
        self._require_head()
        head = NodeState(
            node_id="head",
            region="control",
            node_type="head",
            is_alive=True,
            is_idle=True,
            gpus_total=0.0,
            gpus_used=0.0,
            draining=False,
        )
        return (head, *(self._state(node) for node in self._nodes.values() if node.comes_in == 0))

    def _state(self, node: _Node) -> NodeState:
        gpus = float(node.node_type.resources.get("GPU", 0.0)) if node.is_alive else 0.0
        is_busy = node.is_alive and node.node_id in self.busy
        return NodeState(
            node_id=node.node_id,
            region=node.region,
            node_type=node.node_type.name,
            is_alive=node.is_alive,
            is_idle=not is_busy,
            gpus_total=gpus,
            gpus_used=gpus if is_busy else 0.0,
            draining=node.is_alive and node.goes_in is not None,
        )

    def pending(self) -> tuple[PendingRequest, ...]:
        """What the test let wait."""
        self._require_head()
        return self.waiting

    def publish(self, plan: CapacityPlan) -> None:
        """Take a plan; it is obeyed from the next round on."""
        self._require_head()
        self.plans.append(plan)

    def drain_idle(self, node_id: str, reason: str) -> bool:
        """Let an idle node leave; False if it is busy."""
        self._require_head()
        node = self._nodes[node_id]
        if node_id in self.busy:
            self.refused.append(node_id)
            return False
        node.goes_in, node.why_removed = self._leave_rounds, f"drained: {reason}"
        self.drained.append((node_id, reason))
        return True

    def why_added(self, node_type: str) -> str:
        """The newest plan's reason for the type."""
        limits = self.plans[-1].types.get(node_type) if self.plans else None
        return f"launched: {limits.reason}" if limits else ""

    def why_removed(self, node_id: str) -> str:
        """Why a node is gone."""
        return self._nodes[node_id].why_removed

    def _require_head(self) -> None:
        if self.is_away:
            raise ClusterError("the fake cluster was told to be away; set is_away=False to go on")
