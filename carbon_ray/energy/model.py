"""Where a segment's energy comes from: the protocol of an energy source, and the source that needs no counter.

The stated model is what every cluster has; sources that read NVML or RAPL are further implementations of the same protocol.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

from carbon_ray.core.ledger import EnergyStretch, Segment, energy_stretches
from carbon_ray.core.region import NodeType


@runtime_checkable
class EnergySource(Protocol):
    """Tells the energy that a segment's nodes drew."""

    def energy(self, segment: Segment, now: datetime) -> tuple[EnergyStretch, ...]:
        """Energy at the nodes, PUE not in it, over the whole segment, or up to `now` while it is open."""
        ...


@dataclass(frozen=True, slots=True)
class ModelEnergySource:
    """Energy by the node type's stated power model: idle while starting and stopping, utilised while running.

    Attributes:
        node_type: What the segments held.
        utilisation_fraction: Utilisation of its nodes while steps are made, 0..1.
    """

    node_type: NodeType
    utilisation_fraction: float

    def energy(self, segment: Segment, now: datetime) -> tuple[EnergyStretch, ...]:
        """Energy at the nodes, PUE not in it, over the whole segment, or up to `now` while it is open.

        Raises:
            ValueError: The segment held another node type.
        """
        if segment.node_type != self.node_type.name:
            raise ValueError(f"the segment held {segment.node_type!r}, not {self.node_type.name!r}; use the source of its own node type")
        return energy_stretches(segment, self.node_type, self.utilisation_fraction, now)
