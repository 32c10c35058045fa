"""Prices of scarce nodes: non-negative prices by slot and pool at which members, each on its own, ask for about what there is.

The prices are multipliers of the capacity constraints, and their dual function is a bound that no plan of the fleet can beat. It is
climbed by incremental subgradient steps: members answer one after another and prices move after every few of them, by steps that
shrink geometrically. Means over a pass are better multipliers than any price on the way.

Source: A. Nedic and D. P. Bertsekas, "Incremental subgradient methods for nondifferentiable optimization", SIAM Journal on
Optimization 12 (2001), doi:10.1137/S1052623499362111.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from carbon_ray.core.intensity import FloatArray
from carbon_ray.policies.fleet import sweep
from carbon_ray.policies.fleet.batch import Batch

_OVER = 1e-6
"""Nodes asked for beyond the capacity that count as none."""

_BLOCKS = 500
"""Changes of the prices in a pass over a large fleet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ascent:
    """How prices are sought.

    Attributes:
        passes: Passes over all members from a cold start; a small fleet makes more, up to four times as many, until `answers`.
        warm_passes: ... from prices of before.
        answers: Plans made on the way in a small fleet: prices need about as many steps there as in a large one.
        first_step: First step of a cold start, in what a node costs in a slot on average for each capacity's worth of excess.
        warm_step: First step from prices of before.
        last_step: Last step.
        look_every: Passes between two evaluations of the bound.
        seed: Of the order in which members answer.
    """

    passes: int = 40
    warm_passes: int = 15
    answers: int = 12_000
    first_step: float = 3.0
    warm_step: float = 0.1
    last_step: float = 0.0005
    look_every: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.passes, self.warm_passes, self.look_every) < 1 or not 0 < self.last_step <= min(self.first_step, self.warm_step):
            raise ValueError("an ascent needs at least one pass, look_every of at least 1, and steps above zero that do not grow")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Priced:
    """Prices and the bound that they prove.

    Attributes:
        prices_usd: Price of a node for a slot by slot and pool, USD of the fleet's weighted sum, shape (T, P).
        bound_usd: No plan that keeps to the capacity has a lower weighted sum of costs; over the members that can meet their
            deadline alone.
        is_coupled: False where all members can have what each takes alone; then all prices are zero.
        hopeless: How many members cannot meet their deadline even alone.
    """

    prices_usd: FloatArray
    bound_usd: float
    is_coupled: bool
    hopeless: int


def bound_at(batch: Batch, prices_usd: FloatArray) -> tuple[float, int, FloatArray]:
    """Value of the dual function, members without any plan, and the nodes asked for, shape (T, P)."""
    used = np.zeros_like(batch.capacity)
    total, without = sweep.respond(
        batch.columns, batch.intensity_gco2_per_kwh, batch.allowed, prices_usd, batch.capacity, batch.slot_h, batch.scratch, used
    )
    return float(total - (prices_usd * batch.capacity).sum()), int(without), used


def find_prices(batch: Batch, ascent: Ascent, before_usd: FloatArray | None = None) -> Priced:
    """The best prices found.

    Args:
        batch: Members and capacity.
        ascent: How.
        before_usd: Prices to begin with, shape (T, P).
    """
    none = np.zeros_like(batch.capacity)
    bound_usd, hopeless, used = bound_at(batch, none)
    if (used <= batch.capacity + _OVER).all():
        return Priced(prices_usd=none, bound_usd=bound_usd, is_coupled=False, hopeless=hopeless)
    best_usd, prices_usd, mean_usd = none, none.copy(), none.copy()
    first, passes = ascent.first_step, ascent.passes
    if before_usd is not None and before_usd.any():
        prices_usd = before_usd.copy()
        first, passes = ascent.warm_step, ascent.warm_passes
        bound_usd, best_usd = max((bound_usd, best_usd), (bound_at(batch, prices_usd)[0], prices_usd.copy()), key=lambda one: one[0])
    random, count = np.random.default_rng(ascent.seed), len(batch.members)
    passes = max(passes, min(4 * passes, math.ceil(ascent.answers / count)))
    unit_usd, block = _node_slot_usd(batch), max(1, count // _BLOCKS)
    for number in range(passes):
        step = first * (ascent.last_step / first) ** (number / max(1, passes - 1))
        sweep.drift(
            batch.columns,
            random.permutation(count),
            batch.intensity_gco2_per_kwh,
            batch.allowed,
            prices_usd,
            batch.capacity,
            batch.slot_h,
            batch.scratch,
            step * unit_usd,
            block,
            mean_usd,
        )
        if number % ascent.look_every == ascent.look_every - 1 or number == passes - 1:
            value_usd, _, _ = bound_at(batch, mean_usd)
            if value_usd > bound_usd:
                bound_usd, best_usd = value_usd, mean_usd.copy()
    return Priced(prices_usd=best_usd, bound_usd=bound_usd, is_coupled=True, hopeless=hopeless)


def _node_slot_usd(batch: Batch) -> float:
    """What a node costs in a slot on average, in USD of the weighted sum; above zero."""
    columns, site = batch.columns, batch.columns.first_site
    carbon = columns.usd_per_kgco2 / 1000 * batch.intensity_gco2_per_kwh.mean() * columns.site_running_kw[site]
    running = (carbon + columns.usd_weight * columns.site_usd_per_h[site]) * batch.slot_h + columns.waiting
    return max(float((columns.weight * running / columns.site_nodes[site]).mean()), 1e-9)
