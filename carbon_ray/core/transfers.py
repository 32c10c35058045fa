"""Moving a checkpoint between two regions: the bytes, the time, the money and the energy at both ends."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from carbon_ray.core.units import W_PER_KW

BYTES_PER_GB = 1e9
"""Decimal gigabytes, as networks and bills count them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfers:
    """What a start in another region than the checkpoint's takes, pair by pair; the first start away from home is one, too.

    Attributes:
        checkpoint_bytes: What travels.
        bandwidth_bytes_per_s: Between regions that `pair_bandwidth_bytes_per_s` does not name.
        pair_bandwidth_bytes_per_s: By the region that it leaves, then by the one it goes to.
        egress_usd_per_gb: Price by the region that it leaves; 0 where it is not named.
        wh_per_gb: Energy at each of the two ends, Wh at the site per GB.
    """

    checkpoint_bytes: float
    bandwidth_bytes_per_s: float = 125e6
    pair_bandwidth_bytes_per_s: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    egress_usd_per_gb: Mapping[str, float] = field(default_factory=dict)
    wh_per_gb: float = 0.0

    def __post_init__(self) -> None:
        speeds = [self.bandwidth_bytes_per_s, *(speed for row in self.pair_bandwidth_bytes_per_s.values() for speed in row.values())]
        if not min(speeds) > 0:
            raise ValueError(f"bandwidths must be above 0, got {min(speeds)}")
        amounts = (self.checkpoint_bytes, self.wh_per_gb, *self.egress_usd_per_gb.values())
        if not all(0 <= amount < math.inf for amount in amounts):
            raise ValueError("checkpoint_bytes, egress_usd_per_gb and wh_per_gb must not be negative nor infinite")

    def seconds(self, origin: str, target: str) -> float:
        """Time from one region to another; 0 to itself."""
        if origin == target:
            return 0.0
        return self.checkpoint_bytes / self.pair_bandwidth_bytes_per_s.get(origin, {}).get(target, self.bandwidth_bytes_per_s)

    def usd(self, origin: str) -> float:
        """Price of leaving a region."""
        return self.egress_usd_per_gb.get(origin, 0.0) * self.checkpoint_bytes / BYTES_PER_GB

    @property
    def kwh(self) -> float:
        """Energy at each end of a change of region."""
        return self.wh_per_gb * self.checkpoint_bytes / BYTES_PER_GB / W_PER_KW
