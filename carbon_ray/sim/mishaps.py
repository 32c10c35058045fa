"""Mishaps drawn from their seeds: stock-outs by region, of all nodes or of spot ones, and the life of a segment's nodes."""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_right

import numpy as np

from carbon_ray.core.units import S_PER_H
from carbon_ray.sim.world import Mishaps

_DAY_S = 86400.0
_STOCKOUT, _LOSS, _SHORTAGE = 1, 2, 3


def _stream(purpose: int, seed: int, name: str, number: int = 0) -> np.random.Generator:
    digest = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([purpose, seed, digest, number])))


class StockOuts:
    """When one region gives no nodes.

    Args:
        mishaps: How often, how long.
        region: Its name; every region has a stream of its own.
        until_s: Days are drawn up to here, from second 0.
        is_spot: When it gives no spot nodes, while it may give others.
    """

    def __init__(self, mishaps: Mishaps, region: str, until_s: float, *, is_spot: bool = False) -> None:
        self._starts_s, self._ends_s = list[float](), list[float]()
        per_day = mishaps.spot_stockouts_per_day if is_spot else mishaps.stockouts_per_day
        days = math.ceil(until_s / _DAY_S) if per_day > 0 else 0
        random = _stream(_SHORTAGE if is_spot else _STOCKOUT, mishaps.seed, region)
        # All days are drawn alike, so that a longer simulation begins with the same mishaps.
        for day, (chance, place, length) in enumerate(random.random((days, 3)).tolist()):
            if chance < per_day:
                start_s = (day + place) * _DAY_S
                end_s = start_s - math.log1p(-length) * mishaps.stockout_mean_h * S_PER_H
                if self._ends_s and start_s <= self._ends_s[-1]:
                    self._ends_s[-1] = max(self._ends_s[-1], end_s)
                else:
                    self._starts_s.append(start_s)
                    self._ends_s.append(end_s)

    def until(self, t_s: float) -> float | None:
        """End of the stock-out that holds the instant; None if there is none."""
        position = bisect_right(self._starts_s, t_s) - 1
        return self._ends_s[position] if position >= 0 and t_s < self._ends_s[position] else None


def life_s(mishaps: Mishaps, workload_id: str, segment: int, nodes: int, interruptions_per_h: float = 0.0) -> float:
    """Seconds until the first of a segment's nodes is lost or taken back; infinite where none ever is.

    Args:
        mishaps: How often nodes are lost.
        workload_id: Whose segment; every one has a stream of its own.
        segment: Its number.
        nodes: Nodes that it holds.
        interruptions_per_h: Rate at which these nodes, all together, are taken back.
    """
    rate = mishaps.losses_per_node_h * nodes + interruptions_per_h
    if not rate:
        return math.inf
    return float(_stream(_LOSS, mishaps.seed, workload_id, segment).exponential(S_PER_H / rate))
