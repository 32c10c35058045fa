"""The terms on which a need can be met in its region, what each is expected to cost, and whether spot is safe enough.

Spot nodes are taken back at a rate r each. A segment on n of them is interrupted at the rate n r while it holds them; each time
it loses, in the mean, half of what lies between two checkpoints, and a restart (Young 1974, doi:10.1145/361147.361115). So
R hours of work take R / (1 - n r (c/2 + s)) hours, c being the hours between checkpoints and s those of a restart.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

from carbon_ray.core.region import Market, NodeType, Region
from carbon_ray.core.units import S_PER_H, W_PER_KW, kg
from carbon_ray.policies.capacity.demand import Need

_MOST_COUNTED = 1000
"""Interruptions beyond which none is counted: what can absorb so many is safe by fewer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpotRule:
    """When a workload may have spot nodes.

    Its slack must absorb at least one interruption at its worst (all work since the last checkpoint, and a restart): if it comes,
    what is left still fits on nodes that nobody takes back. And the chance that it absorbs all that come must be high enough.

    Attributes:
        confidence_fraction: That chance, at least; 0..1.
    """

    confidence_fraction: float = 0.95

    def __post_init__(self) -> None:
        if not 0 < self.confidence_fraction < 1:
            raise ValueError(f"confidence_fraction must be between 0 and 1, got {self.confidence_fraction}")

    def allows(self, need: Need, node_type: NodeType, nodes: int) -> bool:
        """Whether the need's slack absorbs the interruptions of so many nodes; always true of nodes that nobody takes back.

        With k = floor(slack / worst loss): k >= 1, and P(Poisson(n r (R + s + k worst loss)) <= k) >= confidence. No more than k
        interruptions leave the work done in time, and until then it holds its nodes for no longer than that.
        """
        rate_per_h = nodes * node_type.interruptions_per_h
        if rate_per_h == 0:
            return True
        restart_h = _restart_h(need, node_type)
        worst_h, slack_h = _checkpoint_h(need) + restart_h, need.slack_h
        if slack_h < worst_h or slack_h < 0:
            return False
        absorbed = _MOST_COUNTED if worst_h == 0 else min(_MOST_COUNTED, math.floor(slack_h / worst_h + 1e-9))
        expected = rate_per_h * (need.remaining_h + restart_h + absorbed * worst_h)
        return poisson_at_most(absorbed, expected) >= self.confidence_fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """Nodes that would meet a need.

    Attributes:
        node_type: Of which type.
        nodes: How many.
        expected_usd_per_h: Expected cost of an hour of progress: nodes, carbon and delay at the workload's prices, with the work that
            interruptions undo. Money counts in full, whatever its weight to the workload: the cluster's owner pays.
        is_safe: The workload's slack absorbs the interruptions; one that is not is a last resort.
    """

    node_type: NodeType
    nodes: int
    expected_usd_per_h: float
    is_safe: bool = True


def offers_for(
    need: Need,
    region: Region,
    *,
    intensity_gco2_per_kwh: float = 0.0,
    out_of_stock: Collection[str] = (),
    rule: SpotRule | None = None,
) -> tuple[Offer, ...]:
    """What can meet a need in its region: the safe ones first, of those the least expected cost; reserved wins ties, then on demand.

    Args:
        need: What is needed.
        region: Where.
        intensity_gco2_per_kwh: Present intensity there.
        out_of_stock: Node types that are not to be had; they are left out, except the one that it holds.
        rule: When spot nodes are safe.
    """
    rule, out = rule or SpotRule(), list[Offer]()
    for node_type in region.node_types:
        nodes = node_type.nodes_for(need.workers, need.workload.resources_per_worker)
        if nodes is None or (node_type.name in out_of_stock and node_type.name != need.held):
            continue
        cost = expected_usd_per_h(need, region, node_type, nodes, intensity_gco2_per_kwh)
        is_safe = node_type.market is not Market.SPOT or rule.allows(need, node_type, nodes)
        out.append(Offer(node_type=node_type, nodes=nodes, expected_usd_per_h=cost, is_safe=is_safe))
    return tuple(sorted(out, key=_preference))


def _preference(offer: Offer) -> tuple[bool, float, int, str]:
    return (not offer.is_safe, offer.expected_usd_per_h, _ORDER[offer.node_type.market], offer.node_type.name)


_ORDER = {Market.RESERVED: 0, Market.ON_DEMAND: 1, Market.SPOT: 2}


def expected_usd_per_h(need: Need, region: Region, node_type: NodeType, nodes: int, intensity_gco2_per_kwh: float) -> float:
    """Expected cost of an hour of progress, USD; infinite where interruptions undo work faster than it is done."""
    objective, workload = need.workload.objective, need.workload
    kw = nodes * node_type.power.power_w(workload.utilisation_fraction) / W_PER_KW * region.pue
    hour_usd = nodes * node_type.marginal_usd_per_h + objective.usd_per_kgco2 * kg(kw * intensity_gco2_per_kwh) + objective.usd_per_h_delay
    undone = nodes * node_type.interruptions_per_h * (_checkpoint_h(need) / 2 + _restart_h(need, node_type))
    return hour_usd / (1 - undone) if undone < 1 else math.inf


def poisson_at_most(count: int, expected: float) -> float:
    """Probability that a Poisson variable of that mean is at most `count`."""
    if expected == 0:
        return 1.0
    log_mean = math.log(expected)
    return min(1.0, math.fsum(math.exp(number * log_mean - expected - math.lgamma(number + 1)) for number in range(count + 1)))


def _checkpoint_h(need: Need) -> float:
    """Most running hours between two checkpoints; all that is to be done where nobody said."""
    every_s = need.workload.overheads.checkpoint_every_s
    return need.remaining_h if every_s is None else min(every_s / S_PER_H, need.remaining_h)


def _restart_h(need: Need, node_type: NodeType) -> float:
    """Hours from a loss to the first step after it."""
    return max(need.workload.overheads.startup_s, node_type.startup_s) / S_PER_H
