"""What the fleet planner is told beside its members: shares of teams, and the nodes that are on offer to all of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np

from carbon_ray.core.clock import require_utc
from carbon_ray.core.errors import ConfigError, OutsideDataError
from carbon_ray.core.intensity import FloatArray, frozen_array
from carbon_ray.core.region import Region
from carbon_ray.policies.base import Member

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class FairShares:
    """Weights of teams.

    The rule: a dollar of a member's objective counts `priority * weight of its team` times in the sum that the fleet minimises. A
    member of a team with twice the weight therefore sees half the price of a scarce node, and gets the node unless another saves
    more than twice as much by it. Deadlines are not subject to it: no share lets one miss.

    Attributes:
        weights: By team, above 0; a team that is not named has `default`.
        default: Of every other team.
    """

    weights: Mapping[str, float] = field(default_factory=dict)
    default: float = 1.0

    def __post_init__(self) -> None:
        if not all(0 < weight < math.inf for weight in (self.default, *self.weights.values())):
            raise ValueError(f"team weights must be above 0 and finite, got {dict(self.weights)} and default {self.default}")

    def weight_of(self, member: Member) -> float:
        """How often a dollar of the member's objective counts."""
        return member.priority * self.weights.get(member.team, self.default)


def pools_of(regions: Mapping[str, Region]) -> dict[tuple[str, str], str]:
    """Name of the pool of each region and node type: that of the type, after region and slash where several regions have it."""
    pairs = [(name, node_type.name) for name, region in regions.items() for node_type in region.node_types]
    count = Counter(node_type for _, node_type in pairs)
    return {(region, node_type): node_type if count[node_type] == 1 else f"{region}/{node_type}" for region, node_type in pairs}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Offer:
    """Nodes that the fleet may hold, by node type, on a regular grid of half-open intervals.

    The node types of each region are the pools that workloads compete for. A pool has the name of its type, as in the cluster YAML;
    where several regions use that name, `region/type`.

    Attributes:
        start_at: Start of the first interval, aware UTC.
        step_s: Length of every interval, seconds.
        nodes: For each pool the nodes of every interval, >= 0; all of one length.
    """

    start_at: datetime
    step_s: float
    nodes: Mapping[str, FloatArray]

    def __post_init__(self) -> None:
        require_utc(self.start_at, "start_at")
        if not self.step_s > 0:
            raise ValueError(f"step_s must be above 0, got {self.step_s}")
        nodes = {name: frozen_array(values) for name, values in self.nodes.items()}
        if len({values.shape for values in nodes.values()}) > 1 or any(values.ndim != 1 for values in nodes.values()):
            raise ValueError("every node type of an offer needs one number for each interval, and all the same count of them")
        for name, values in nodes.items():
            if not (values >= 0).all():
                raise ValueError(f"node type {name}: an offer must not be negative or NaN")
        object.__setattr__(self, "nodes", nodes)

    @classmethod
    def by_region(cls, regions: Mapping[str, Region], nodes: Mapping[str, FloatArray], *, start_at: datetime, step_s: float) -> Offer:
        """An offer told by region; each of them has one node type.

        Raises:
            ConfigError: A region that is named is not in `regions`, or has several node types or none.
        """
        by_pool, named = {}, pools_of(regions)
        for name, values in nodes.items():
            types = regions[name].node_types if name in regions else ()
            if len(types) != 1:
                raise ConfigError(
                    f"an offer by region needs one node type there, and {name!r} has {len(types)}; give the offer by node type"
                )
            by_pool[named[name, types[0].name]] = values
        return cls(start_at=start_at, step_s=step_s, nodes=by_pool)

    def room(self, pools: Mapping[str, float], start_at: datetime, slot_s: float, slots: int) -> FloatArray:
        """Nodes that are there all through each slot, shape (slots, pools).

        Args:
            pools: In the order of the answer, and what holds for one that the offer does not name.
            start_at: Start of the first slot, aware UTC.
            slot_s: Length of a slot, seconds.
            slots: How many.

        Raises:
            OutsideDataError: A slot lies outside the offer.
            ConfigError: The offer names a pool that is not among them.
        """
        if unknown := sorted(set(self.nodes) - set(pools)):
            raise ConfigError(f"the offer names {', '.join(unknown)}, which no region has; name node types among {', '.join(pools)}")
        begin = (start_at - self.start_at).total_seconds() / self.step_s
        edges = begin + np.arange(slots + 1) * (slot_s / self.step_s)
        first = np.floor(edges[:-1] + _ROUNDING).astype(np.int64)
        last = np.ceil(edges[1:] - _ROUNDING).astype(np.int64)
        out = np.empty((slots, len(pools)))
        for index, (name, default) in enumerate(pools.items()):
            values = self.nodes.get(name)
            if values is None:
                out[:, index] = default
                continue
            if first[0] < 0 or last[-1] > len(values):
                end_at = self.start_at + timedelta(seconds=self.step_s * len(values))
                raise OutsideDataError(
                    f"node type {name}: the offer covers [{self.start_at:%Y-%m-%dT%H:%MZ}, {end_at:%Y-%m-%dT%H:%MZ}), not "
                    f"{slots} slots of {slot_s:g} s from {start_at:%Y-%m-%dT%H:%MZ}; extend it to the last deadline"
                )
            out[:, index] = [values[low:high].min() for low, high in zip(first, last, strict=True)]
        return out
