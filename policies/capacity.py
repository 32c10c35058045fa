"""From where workloads shall run to what each node type may do: minimum, maximum, priority, and which idle node to drain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from carbon_ray.core.capacity import CapacityPlan, TypePlan
from carbon_ray.core.region import Region


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedNode:
    """A worker node as the cluster reports it.

    Attributes:
        node_id: Ray node id, hex.
        node_type: Node type name.
        is_idle: Nothing runs on it.
        is_draining: A drain was accepted already.
    """

    node_id: str
    node_type: str
    is_idle: bool
    is_draining: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityPolicy:
    """Nodes follow the workloads; idle nodes that nobody planned for go, one a round.

    Attributes:
        valid_s: Wall seconds after which a published plan lapses and Ray behaves as stock.
        idle_grace_s: Wall seconds that a node must have been seen idle before it is drained.
    """

    valid_s: float = 30.0
    idle_grace_s: float = 1.0

    def decide(
        self,
        regions: Mapping[str, Region],
        wanted: Mapping[str, tuple[int, str]],
        intensity_gco2_per_kwh: Mapping[str, float],
        nodes: Sequence[ObservedNode],
        idle_since_at: Mapping[str, datetime],
        blocked: Mapping[str, str],
        *,
        version: int,
        wall_at: datetime,
    ) -> CapacityPlan:
        """The plan for all node types.

        Args:
            regions: Every region, by name.
            wanted: Node type -> (nodes that workloads shall hold, reason).
            intensity_gco2_per_kwh: Present intensity by region; cleaner regions get the higher priority.
            nodes: Worker nodes alive now.
            idle_since_at: Node id -> wall instant since which it was seen idle without a break.
            blocked: Region -> why it cannot give nodes for a while; its types do not grow beyond what is wanted.
            version: Of the new plan.
            wall_at: Now, in wall time.
        """
        by_type = {node_type.name: (region, node_type) for region in regions.values() for node_type in region.node_types}
        ranking = sorted(regions, key=lambda name: (-intensity_gco2_per_kwh.get(name, float("inf")), name))
        ours = [node for node in nodes if node.node_type in by_type]
        drained = next(iter(self._drains(wanted, ours, idle_since_at, wall_at)), None)
        types = {}
        for name, (region, node_type) in by_type.items():
            count = sum(node.node_type == name for node in nodes)
            need, why = wanted.get(name, (0, ""))
            ceiling = min(max(count, need), node_type.max_nodes) if region.name in blocked else node_type.max_nodes
            drain = (drained.node_id,) if drained is not None and drained.node_type == name else ()
            types[name] = TypePlan(
                min_nodes=min(need, ceiling),
                max_nodes=max(ceiling, count),
                priority=ranking.index(region.name),
                drain=drain,
                reason=why
                or blocked.get(region.name)
                or ("nothing is planned here; idle nodes go" if drain else "nothing is planned here"),
            )
        return CapacityPlan(version=version, issued_at=wall_at, valid_until=wall_at + timedelta(seconds=self.valid_s), types=types)

    def _drains(
        self,
        wanted: Mapping[str, tuple[int, str]],
        nodes: Sequence[ObservedNode],
        idle_since_at: Mapping[str, datetime],
        wall_at: datetime,
    ) -> list[ObservedNode]:
        """Idle nodes above what is wanted, the longest idle first; none while another drain is under way."""
        if any(node.is_draining for node in nodes):
            return []
        ripe = timedelta(seconds=self.idle_grace_s)
        out = []
        for node in nodes:
            surplus = sum(other.node_type == node.node_type for other in nodes) - wanted.get(node.node_type, (0, ""))[0]
            idle_at = idle_since_at.get(node.node_id)
            if surplus > 0 and node.is_idle and idle_at is not None and wall_at - idle_at >= ripe:
                out.append(node)
        return sorted(out, key=lambda node: (idle_since_at[node.node_id], node.node_id))
