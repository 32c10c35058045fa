"""Twenty-four regions with the intensity of the profiles shipped in the package: what fleets are planned on and jobs are simulated in."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from carbon_ray.core.intensity import IntensitySeries
from carbon_ray.core.region import NodeType, PowerModel, Region
from carbon_ray.providers.embedded import EmbeddedProvider

REGIONS = 24


def zones(count: int = REGIONS) -> tuple[str, ...]:
    """Zones spread evenly over the sorted names of all embedded profiles."""
    names = sorted(EmbeddedProvider().zones())
    return tuple(names[index * len(names) // count] for index in range(count))


def region(zone: str, max_nodes: int) -> Region:
    """A region of nodes of 1 kW that cost nothing, one worker each: grams are the only cost."""
    power = PowerModel(tdp_w=1000.0, idle_fraction=0.0, source="benchmark")
    node_type = NodeType(name=f"{zone}-node", resources={"CPU": 1.0}, max_nodes=max_nodes, usd_per_h=0.0, power=power)
    return Region(name=zone, zone=zone, pue=1.0, node_types=(node_type,))


def intensities(names: Sequence[str], start_at: datetime, span: timedelta, seed: int) -> dict[str, IntensitySeries]:
    """Synthetic but typical hourly intensities by zone."""
    provider = EmbeddedProvider(seed=seed)
    return {name: provider.history(name, start_at, start_at + span) for name in names}
