"""What a running trial draws: a number given by the user, or the power model of the nodes that it runs on, by its share of one.

There is no counter here: a figure by the model says so, and `source` goes with it into the results.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from carbon_ray.core.region import Region

DEFAULT_W = 300.0
"""Where nothing is known of the nodes. Source: the board power of one data-centre GPU (NVIDIA A100 SXM4 400 W, PCIe 250 to 300 W,
data sheet of 2021), which dwarfs the rest of a trial's share of its node."""
UTILISATION_FRACTION = 0.9


@dataclass(frozen=True, slots=True)
class Power:
    """What a trial draws while it runs.

    Attributes:
        power_w: At the node, W; PUE is not in it.
        source: Where the figure comes from.
    """

    power_w: float
    source: str


def trial_power(region: Region | None, resources: Mapping[str, float], given_w: float | None) -> Power:
    """What a trial of these resources draws in a region.

    A trial is charged its share of a node, which is the largest of its shares of the node's resources: what it leaves unused of the
    others nobody else can use.
    """
    if given_w is not None:
        return Power(given_w, f"given: {given_w:g} W a trial")
    for node_type in region.node_types if region is not None else ():
        shares = [amount / node_type.resources[name] for name, amount in resources.items() if amount and node_type.resources.get(name)]
        if shares and max(shares) <= 1:
            whole_w = node_type.power.power_w(UTILISATION_FRACTION)
            return Power(whole_w * max(shares), f"model: {max(shares):.3g} of {node_type.name} at {whole_w:g} W; {node_type.power.source}")
    return Power(DEFAULT_W, f"assumed: {DEFAULT_W:g} W a trial; give power_w, or regions with node types")


def places(region: Region, resources: Mapping[str, float]) -> int | None:
    """Trials of these resources that a region's nodes hold at once; None where its node types are not known."""
    if not region.node_types:
        return None
    return sum(node_type.workers_per_node(resources) * node_type.max_nodes for node_type in region.node_types)
