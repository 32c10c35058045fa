"""Which idle nodes go: those that nothing needs soon, the dirtiest first, then the dearest, as many as the budget lets go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from carbon_ray.core.region import NodeType, Region
from carbon_ray.policies.capacity.budget import DisruptionBudget


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedNode:
    """A worker node as the cluster reports it.

    Attributes:
        node_id: Ray node id, hex.
        node_type: Node type name.
        is_idle: Nothing runs on it.
        is_draining: A drain was accepted already.
        since_at: When it came, cluster's clock; None where nobody knows.
    """

    node_id: str
    node_type: str
    is_idle: bool
    is_draining: bool = False
    since_at: datetime | None = None


def surplus_nodes(
    regions: Mapping[str, Region],
    nodes: Sequence[ObservedNode],
    keep: Mapping[str, int],
    intensity_gco2_per_kwh: Mapping[str, float],
    idle_since_at: Mapping[str, datetime],
    budget: DisruptionBudget,
    *,
    idle_grace_s: float,
    now: datetime,
    wall_at: datetime,
) -> tuple[ObservedNode, ...]:
    """The idle nodes that shall go now, first things first.

    Args:
        regions: By name; nodes of other types are nobody's.
        nodes: Worker nodes alive.
        keep: Nodes of each type that are to stay.
        intensity_gco2_per_kwh: Present intensity by region; where it is not known counts as dirtiest.
        idle_since_at: Node id -> wall instant since which it was seen idle without a break.
        budget: How many may go.
        idle_grace_s: Wall seconds for which a node must have been idle.
        now: Cluster's clock.
        wall_at: Now, in wall time.
    """
    home = {node_type.name: (region, node_type) for region in regions.values() for node_type in region.node_types}
    ours = [node for node in nodes if node.node_type in home]
    left = budget.left(sum(node.is_draining for node in ours), now)
    left_in = {name: budget.left_in_region(node.is_draining for node in ours if home[node.node_type][0].name == name) for name in regions}
    spare = Counter(node.node_type for node in ours if not node.is_draining)
    spare.subtract(keep)
    ripe = timedelta(seconds=idle_grace_s)

    def is_ripe(node: ObservedNode) -> bool:
        idle_at = idle_since_at.get(node.node_id)
        return node.is_idle and not node.is_draining and idle_at is not None and wall_at - idle_at >= ripe

    def rank(node: ObservedNode) -> tuple[float, float, datetime, str]:
        region, node_type = home[node.node_type]
        return (
            -_idle_gco2_per_h(region, node_type, intensity_gco2_per_kwh),
            -node_type.marginal_usd_per_h,
            idle_since_at[node.node_id],
            node.node_id,
        )

    out = list[ObservedNode]()
    for node in sorted(filter(is_ripe, ours), key=rank):
        region = home[node.node_type][0].name
        if len(out) < left and left_in[region] > 0 and spare[node.node_type] > 0:
            out.append(node)
            left_in[region] -= 1
            spare[node.node_type] -= 1
    return tuple(out)


def _idle_gco2_per_h(region: Region, node_type: NodeType, intensity_gco2_per_kwh: Mapping[str, float]) -> float:
    """What an idle node emits, but for a factor that all share."""
    return intensity_gco2_per_kwh.get(region.name, float("inf")) * max(node_type.power.power_w(0.0), 1e-9) * region.pue
