"""From claims, nodes and prices to what each node type may do: minimum, maximum, priority, and which idle nodes to drain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from carbon_ray.core.capacity import CapacityPlan, TypePlan
from carbon_ray.core.region import Market, NodeType, Region
from carbon_ray.policies.capacity.budget import DisruptionBudget
from carbon_ray.policies.capacity.consolidation import ObservedNode, surplus_nodes
from carbon_ray.policies.capacity.demand import PendingRequest
from carbon_ray.policies.capacity.horizon import Claim, Horizon

__all__ = ["CapacityPolicy", "ObservedNode"]

_RANK = {Market.SPOT: 0, Market.ON_DEMAND: 1, Market.RESERVED: 2}
"""Ray's own demand gets reserved nodes first, and spot ones last: nobody asked whether it can bear a loss."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityPolicy:
    """Nodes come when plans need them, stay while that is cheaper than coming again, and go within a budget.

    Attributes:
        valid_s: Wall seconds after which a published plan lapses and Ray behaves as stock.
        idle_grace_s: Wall seconds that a node must have been seen idle before it is drained.
        drain_s: Seconds of the cluster's clock that a drain takes.
        cooldown_s: Seconds of the cluster's clock after a node's coming in which no node of its type goes.
        patience_s: Wall seconds for which an idle node is kept for requests of Ray that would fit on it. A gang waits until all its nodes
            are there; what still waits after that must go elsewhere (Ray's status does not tell where).
        budget: How many nodes go at a time, and when none does.
    """

    valid_s: float = 30.0
    idle_grace_s: float = 1.0
    drain_s: float = 0.0
    cooldown_s: float = 0.0
    patience_s: float = 900.0
    budget: DisruptionBudget = field(default_factory=DisruptionBudget)

    def decide(
        self,
        regions: Mapping[str, Region],
        claims: Sequence[Claim],
        intensity_gco2_per_kwh: Mapping[str, float],
        nodes: Sequence[ObservedNode],
        idle_since_at: Mapping[str, datetime],
        blocked: Mapping[str, str],
        *,
        version: int,
        now: datetime,
        wall_at: datetime,
        out_of_stock: Mapping[str, str] | None = None,
        pending: Sequence[PendingRequest] = (),
    ) -> CapacityPlan:
        """The plan for all node types.

        Args:
            regions: Every region, by name.
            claims: Nodes that workloads shall have, and when.
            intensity_gco2_per_kwh: Present intensity by region; cleaner regions get the higher priority.
            nodes: Worker nodes alive now.
            idle_since_at: Node id -> wall instant since which it was seen idle without a break.
            blocked: Region -> why it cannot give nodes for a while; its types do not grow beyond what is claimed now.
            version: Of the new plan.
            now: Cluster's clock, in which claims are.
            wall_at: Now, in wall time.
            out_of_stock: The same as `blocked` by node type.
            pending: What Ray itself waits to place. Ray launches for it; the plan keeps the idle nodes that it fits on.
        """
        shut = {
            node_type.name: why
            for region in regions.values()
            for node_type in region.node_types
            if (why := (out_of_stock or {}).get(node_type.name) or blocked.get(region.name))
        }
        by_type = {node_type.name: node_type for region in regions.values() for node_type in region.node_types}
        staying = Counter(node.node_type for node in nodes if not node.is_draining)
        ranking = priorities(regions, intensity_gco2_per_kwh)
        fresh = {node_id for node_id, at in idle_since_at.items() if wall_at - at < timedelta(seconds=self.patience_s)}
        asked = awaited(pending, regions, ranking, [node for node in nodes if node.node_id in fresh])
        horizon = Horizon(claims)
        looks = {name: self._look(node_type, horizon, staying[name], asked[name], nodes, now=now) for name, node_type in by_type.items()}
        going = surplus_nodes(
            regions,
            nodes,
            {name: max(look.need, look.keep) for name, look in looks.items()},
            intensity_gco2_per_kwh,
            idle_since_at,
            self.budget,
            idle_grace_s=self.idle_grace_s,
            now=now,
            wall_at=wall_at,
        )
        types = {}
        for name, node_type in by_type.items():
            look, count = looks[name], sum(node.node_type == name for node in nodes)
            drain = tuple(node.node_id for node in going if node.node_type == name)
            ceiling = min(max(count, look.told), node_type.max_nodes) if name in shut else node_type.max_nodes
            types[name] = TypePlan(
                min_nodes=min(max(look.need, look.keep), ceiling),
                max_nodes=max(ceiling, count),
                priority=ranking[name],
                drain=drain,
                reason=self._reason(node_type, look, claims, shut.get(name), drain, now=now),
            )
        return CapacityPlan(version=version, issued_at=wall_at, valid_until=wall_at + timedelta(seconds=self.valid_s), types=types)

    def _look(
        self, node_type: NodeType, horizon: Horizon, staying: int, asked: int, nodes: Iterable[ObservedNode], *, now: datetime
    ) -> _Look:
        """What one type is needed for, now and soon."""
        lead = timedelta(seconds=node_type.startup_s)
        told = horizon.at(node_type.name, now)
        need = horizon.most(node_type.name, now, now + lead + timedelta.resolution)
        # Until then, letting a node go and having it again costs at least what keeping it does: it is paid while it drains and starts.
        soon = horizon.most(node_type.name, now, now + lead + timedelta(seconds=self.drain_s) + timedelta.resolution)
        came = [node.since_at for node in nodes if node.node_type == node_type.name and node.since_at is not None]
        cools_until_at = max(came) + timedelta(seconds=self.cooldown_s) if came else None
        is_cooling = cools_until_at is not None and now < cools_until_at
        return _Look(
            told=told,
            need=need,
            keep=staying if is_cooling else min(staying, soon + asked),
            soon=soon,
            asked=asked,
            cools_until_at=cools_until_at if is_cooling else None,
        )

    def _reason(
        self, node_type: NodeType, look: _Look, claims: Sequence[Claim], shut: str | None, drain: Sequence[str], *, now: datetime
    ) -> str:
        mine = [claim for claim in claims if claim.node_type == node_type.name]
        why = [claim.reason for claim in mine if claim.is_told]
        coming = sorted((claim for claim in mine if claim.start_at > now), key=lambda claim: (claim.start_at, claim.workload_id))
        if look.need > look.told and coming:
            why.append(f"{coming[0].reason}; a node takes {node_type.startup_s:.0f} s to start")
        elif look.keep > look.need:
            why.append(self._why_kept(look))
        if drain and why:
            why.append("idle nodes beyond that go")
        if shut and (look.told == 0 or why == []):
            why.insert(0, shut)
        return "; ".join(why) or ("nothing is planned here; idle nodes go" if drain else "nothing is planned here")

    def _why_kept(self, look: _Look) -> str:
        if look.cools_until_at is not None:
            return f"a node has just come: none goes before {look.cools_until_at:%m-%d %H:%MZ}"
        if look.soon > look.need:
            return "planned again sooner than a node could go and come back"
        return "Ray waits to place work that fits here"

    def still_holds(
        self,
        plan: CapacityPlan,
        nodes: Sequence[ObservedNode],
        regions: Mapping[str, Region],
        *,
        now: datetime,
    ) -> CapacityPlan:
        """The plan less the drains that a second look forbids: the node is gone, busy, or leaves already, or the budget is used up.

        Args:
            plan: As decided.
            nodes: As they are now.
            regions: By name.
            now: Cluster's clock.
        """
        fresh = {node.node_id: node for node in nodes}
        left = self.budget.left(sum(node.is_draining for node in nodes), now)
        types = dict(plan.types)
        for region in regions.values():
            mine = {node_type.name for node_type in region.node_types}
            left_here = self.budget.left_in_region(node.is_draining for node in nodes if node.node_type in mine)
            for name in mine & set(types):
                able = [one for one in types[name].drain if one in fresh and fresh[one].is_idle and not fresh[one].is_draining]
                able = able[: min(left, left_here)]
                left, left_here = left - len(able), left_here - len(able)
                types[name] = replace(types[name], drain=tuple(able))
        return replace(plan, types=types)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """One type: nodes claimed now by the told, those that must be there or on their way, those not to be let go, and why."""

    told: int
    need: int
    keep: int
    soon: int
    asked: int
    cools_until_at: datetime | None


def priorities(regions: Mapping[str, Region], intensity_gco2_per_kwh: Mapping[str, float]) -> dict[str, int]:
    """Ray's tie-breaker by node type, each its own: cleaner regions above dirtier ones, in a region reserved above spot."""

    def rank(one: tuple[Region, NodeType]) -> tuple[float, str, int, float, str]:
        region, node_type = one
        dirt = intensity_gco2_per_kwh.get(region.name, float("inf"))
        return (-dirt, region.name, _RANK[node_type.market], -node_type.marginal_usd_per_h, node_type.name)

    pairs = [(region, node_type) for region in regions.values() for node_type in region.node_types]
    return {node_type.name: place for place, (_, node_type) in enumerate(sorted(pairs, key=rank))}


def awaited(
    pending: Sequence[PendingRequest],
    regions: Mapping[str, Region],
    ranking: Mapping[str, int],
    nodes: Sequence[ObservedNode],
) -> Counter[str]:
    """Idle nodes of each type that Ray's pending requests fit on, in the order in which Ray prefers the types.

    Args:
        pending: What Ray waits to place.
        regions: By name.
        ranking: Priority by node type.
        nodes: Worker nodes that may be kept for it.
    """
    home = {node_type.name: (region.name, node_type) for region in regions.values() for node_type in region.node_types}
    free = Counter(node.node_type for node in nodes if node.is_idle and not node.is_draining and node.node_type in home)
    out = Counter[str]()
    for request in pending:
        left = request.count
        for name in sorted(free, key=lambda name: -ranking[name]):
            region, node_type = home[name]
            fits = node_type.workers_per_node(request.resources)
            if left <= 0 or fits == 0 or request.region not in (None, region):
                continue
            taken = min(free[name], -(-left // fits))
            free[name] -= taken
            out[name] += taken
            left -= taken * fits
    return out
