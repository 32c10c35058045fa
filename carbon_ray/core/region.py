"""Where nodes can run: regions, their node types, and the power a node draws by a stated model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

REGION_LABEL = "ray.io/availability-region"
"""Ray's own node label for the region (`ray/_private/resource_and_label_spec.py`, from RAY_NODE_REGION)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerModel:
    """Power of one node as a linear function of utilisation.

    Source: the linear model between idle and full load of Fan, Weber and Barroso, "Power provisioning for a
    warehouse-sized computer", ISCA 2007, doi:10.1145/1250662.1250665.

    Attributes:
        tdp_w: Power of the whole node at full utilisation, W.
        idle_fraction: Share of `tdp_w` drawn by an idle node, 0..1.
        source: Where the two numbers come from; stored with every energy figure.
    """

    tdp_w: float
    idle_fraction: float
    source: str

    def __post_init__(self) -> None:
        if not self.tdp_w > 0 or not 0 <= self.idle_fraction <= 1:
            raise ValueError(f"tdp_w must be above 0 and idle_fraction within 0..1, got {self.tdp_w} and {self.idle_fraction}")

    def power_w(self, utilisation_fraction: float) -> float:
        """Power at a utilisation, W.

        Raises:
            ValueError: The utilisation is outside 0..1.
        """
        if not 0 <= utilisation_fraction <= 1:
            raise ValueError(f"utilisation_fraction must be within 0..1, got {utilisation_fraction}")
        return self.tdp_w * (self.idle_fraction + (1 - self.idle_fraction) * utilisation_fraction)


class Market(StrEnum):
    """On what terms a node is had."""

    RESERVED = "reserved"
    """Paid for whether it runs or not: used first, free at the margin."""
    ON_DEMAND = "on_demand"
    """Paid while it runs, and left alone by its owner."""
    SPOT = "spot"
    """Cheaper, and taken back by its owner now and then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeType:
    """One kind of node of one region, as `available_node_types` of the cluster YAML names it.

    Attributes:
        name: Name in the cluster YAML.
        resources: Ray resources of one node (`{"CPU": 8, "GPU": 4}`).
        max_nodes: Most nodes of this type.
        usd_per_h: Price of one node per hour, as it is booked; of a reserved one what the reservation comes to.
        power: Power model of one node.
        market: On what terms its nodes are had.
        interruptions_per_h: Rate at which one node is taken back, per hour; only of spot nodes.
        startup_s: Time from asking for a node to its being ready for work, seconds of the cluster's clock.
    """

    name: str
    resources: Mapping[str, float]
    max_nodes: int
    usd_per_h: float
    power: PowerModel
    market: Market = Market.ON_DEMAND
    interruptions_per_h: float = 0.0
    startup_s: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.interruptions_per_h < math.inf or not 0 <= self.startup_s < math.inf:
            raise ValueError(f"node type {self.name}: interruptions_per_h and startup_s must be numbers of 0 or above")
        if self.interruptions_per_h > 0 and self.market is not Market.SPOT:
            raise ValueError(f"node type {self.name}: only spot nodes are taken back; set market to spot, or interruptions_per_h to 0")

    @property
    def marginal_usd_per_h(self) -> float:
        """What an hour of one more node adds to the bill: nothing where it is reserved."""
        return 0.0 if self.market is Market.RESERVED else self.usd_per_h

    def workers_per_node(self, resources_per_worker: Mapping[str, float]) -> int:
        """Number of workers that one node holds; 0 where one does not fit."""
        fits = [self.resources.get(name, 0.0) / amount for name, amount in resources_per_worker.items() if amount > 0]
        return int(min(fits) + 1e-9) if fits else 0

    def nodes_for(self, workers: int, resources_per_worker: Mapping[str, float]) -> int | None:
        """Number of nodes that `workers` workers need; None where they never fit."""
        per_node = self.workers_per_node(resources_per_worker)
        if per_node == 0 or (nodes := -(-workers // per_node)) > self.max_nodes:
            return None
        return nodes


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A place with its own grid.

    Attributes:
        name: As in the Ray label `ray.io/availability-region`.
        zone: Grid zone that feeds it.
        pue: Power usage effectiveness, at least 1: site energy per IT energy.
        node_types: Kinds of node it offers.
    """

    name: str
    zone: str
    pue: float
    node_types: tuple[NodeType, ...] = field(default=())

    def __post_init__(self) -> None:
        if not self.pue >= 1:
            raise ValueError(f"region {self.name}: pue must be at least 1, got {self.pue}")

    def node_type_for(self, workers: int, resources_per_worker: Mapping[str, float]) -> tuple[NodeType, int] | None:
        """The node type that plans reckon with, and how many nodes of it; None where none holds the workers.

        The cheapest at the margin of those that nobody takes back; a spot type only where there is no other, because whether a
        workload gets spot nodes depends on its slack (`carbon_ray.policies.capacity`).
        """
        offers = [
            (node_type.market is Market.SPOT, node_type.marginal_usd_per_h * nodes, node_type.name, node_type, nodes)
            for node_type in self.node_types
            if (nodes := node_type.nodes_for(workers, resources_per_worker)) is not None
        ]
        if not offers:
            return None
        *_, node_type, nodes = min(offers, key=lambda offer: offer[:3])
        return node_type, nodes
