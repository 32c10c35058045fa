"""From prices to plans that keep to the capacity: members in turn by the exact programme on the nodes that are left.

The order of the first round is: higher priority first, then who is running, then more nodes, then less time to spare, with a little
chance in it. Who finds no plan goes to the front of its priority, later of all, and the round is begun again; of what comes out the
one counts that misses the fewest deadlines of the highest priority, then of the next. In the rounds after that each member in turn
gives its nodes back and plans anew, at prices that fall from round to round to nothing: at first it leaves alone what others need
more, in the end it takes what nobody uses. No round can lose a member that has a plan.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from carbon_ray.core.intensity import FloatArray
from carbon_ray.policies.fleet import sweep
from carbon_ray.policies.fleet.batch import Batch
from carbon_ray.policies.fleet.kernel import IDLE, IntArray
from carbon_ray.policies.fleet.prices import Priced
from carbon_ray.policies.programme import Solution

Incumbents = dict[int, tuple[IntArray, IntArray]]
"""Path and working slots by member."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """How plans are made of prices.

    Attributes:
        attempts: Times that all is done from the beginning, in another order; the best counts. Where there are plans of before, these
            are one attempt, and one more is made without them.
        restarts: Times that those without a plan are moved to the front.
        easing: Factor on the prices in each round; ends with 0.
        hysteresis_fraction: A running workload is stopped or moved only for a gain above this share of a slot's cost.
        hysteresis_usd: ... and above this many USD.
        seed: Of the orders.
    """

    attempts: int = 4
    restarts: int = 16
    easing: tuple[float, ...] = (0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.4, 0.2, 0.0)
    hysteresis_fraction: float = 0.0
    hysteresis_usd: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.restarts < 0 or not self.easing or self.easing[-1] != 0 or min(self.easing) < 0:
            raise ValueError("a repair needs at least one attempt, and an easing that ends with 0 and has nothing below it")


class Draft:
    """Plans under work: paths of all members, and what room they leave.

    Args:
        batch: Members and capacity.
        hysteresis_fraction: As `Repair`.
        hysteresis_usd: As `Repair`.
    """

    def __init__(self, batch: Batch, hysteresis_fraction: float = 0.0, hysteresis_usd: float = 0.0) -> None:
        count, slots = len(batch.members), len(batch.capacity)
        self._batch = batch
        self._hysteresis = np.array([hysteresis_fraction, hysteresis_usd])
        self.room: FloatArray = batch.capacity.copy()
        self.paths: IntArray = np.full((count, slots), IDLE, dtype=np.int64)
        self.working: IntArray = np.zeros((count, slots), dtype=np.int64)
        self.lengths: IntArray = np.zeros(count, dtype=np.int64)
        self.costs: FloatArray = np.full(count, np.inf)
        self.keeps: FloatArray = np.full(count, np.inf)
        self.gains: FloatArray = np.zeros(count)

    def insert(self, order: IntArray, prices_usd: FloatArray) -> int:
        """Plan the members of `order` in turn, anew where they have a plan; how many found none."""
        batch = self._batch
        return int(
            sweep.insert(
                *(batch.columns, order, batch.intensity_gco2_per_kwh, batch.allowed, prices_usd, self.room, batch.slot_h),
                *(self._hysteresis, batch.scratch, self.paths, self.working, self.lengths, self.costs, self.keeps, self.gains),
            )
        )

    def put(self, index: int, path: IntArray, working: IntArray, *, where_blocked: bool = False) -> bool:
        """Give a member without a plan this one, if there is room, and no blocked region in it; whether it was given.

        Args:
            index: Which member.
            path: Site by slot.
            working: Whether the slot makes progress.
            where_blocked: Give it though a region is blocked: who can do nothing else tries.
        """
        batch, held = self._batch, np.flatnonzero(path != IDLE)
        sites = batch.columns.first_site[index] + path[held]
        pools, nodes = batch.columns.site_pool[sites], batch.columns.site_nodes[sites]
        is_open = (self.room[held, pools] + 1e-9 >= nodes) & (where_blocked | batch.allowed[held, batch.columns.site_region[sites]])
        if not is_open.all():
            return False
        self.room[held, pools] -= nodes
        self.paths[index, : len(path)], self.working[index, : len(path)], self.lengths[index] = path, working, len(path)
        return True

    def solution(self, index: int) -> Solution:
        """What the draft holds for a member; an empty path where it has no plan."""
        path = tuple(self.paths[index, : self.lengths[index]].tolist())
        return Solution(
            cost=float(self.costs[index]),
            keep_cost=float(self.keeps[index]),
            start_costs=(),
            path=path,
            working=tuple(self.working[index, : self.lengths[index]].astype(bool).tolist()),
            levels=tuple(IDLE if where == IDLE else 0 for where in path),
        )

    @property
    def missed(self) -> IntArray:
        """Members without a plan."""
        return np.flatnonzero(self.lengths == 0)

    def rank(self) -> tuple[tuple[float, ...], float]:
        """The lower the better: first the priorities of those that were missed, the highest first, then the weighted sum of costs.

        To that sum is added what a gain must exceed for each running workload that does not stay where it is.
        """
        missed = sorted((self._batch.members[index].priority for index in self.missed), reverse=True)
        return tuple(missed), self.total_usd + self._disturbance_usd()

    def _disturbance_usd(self) -> float:
        columns, batch = self._batch.columns, self._batch
        left = np.flatnonzero((columns.is_running == 1) & (self.lengths > 0) & (self.paths[:, 0] != columns.region))
        site = columns.first_site[left] + columns.region[left]
        carbon = columns.usd_per_kgco2[left] / 1000 * batch.intensity_gco2_per_kwh[0, columns.site_region[site]]
        money = columns.usd_weight[left] * columns.site_usd_per_h[site]
        slot_usd = (carbon * columns.site_running_kw[site] + money) * batch.slot_h
        return float((columns.weight[left] * np.maximum(self._hysteresis[0] * slot_usd, self._hysteresis[1])).sum())

    @property
    def total_usd(self) -> float:
        """Weighted sum of the costs of those that have a plan."""
        planned = self.lengths > 0
        return float((self._batch.columns.weight[planned] * self.costs[planned]).sum())


def repair(batch: Batch, priced: Priced, how: Repair, incumbents: Incumbents | None = None) -> Draft:
    """The best plans found that keep to the capacity.

    Args:
        batch: Members and capacity.
        priced: Prices of the capacity.
        how: Effort and hysteresis.
        incumbents: Plans of before; each stands until the member finds a better one, so that no deadline that could be met by
            them is missed.
    """
    random = np.random.default_rng(how.seed)
    if not priced.is_coupled:
        return _first_round(batch, priced, how, random, {})
    drafts, easing = [], how.easing if priced.prices_usd.any() else how.easing[-1:]
    for kept in [incumbents, {}] if incumbents else [{}] * how.attempts:
        draft = _first_round(batch, priced, how, random, kept)
        for factor in easing:
            draft.insert(random.permutation(np.flatnonzero(draft.lengths > 0)), priced.prices_usd * factor)
        drafts.append(draft)
    return min(drafts, key=Draft.rank)


def _first_round(batch: Batch, priced: Priced, how: Repair, random: np.random.Generator, kept: Incumbents) -> Draft:
    columns = batch.columns
    priority = np.array([member.priority for member in batch.members])
    nodes = columns.site_nodes[columns.first_site]
    spare = (columns.slots - columns.quanta) * random.uniform(0.5, 1.5, len(priority))
    urgent, drafts = np.zeros(len(priority)), []
    for restart in range(how.restarts + 1):
        draft = Draft(batch, how.hysteresis_fraction, how.hysteresis_usd)
        for index, (path, working) in kept.items():
            draft.put(index, path, working)
        # At first nobody goes before a higher priority. If that is not enough: who would lose by it is not let down by `rank`.
        keys = (-urgent, -priority) if 2 * restart <= how.restarts else (-priority, -urgent)
        order = np.lexsort((spare, -nodes, -columns.is_running, *keys))
        draft.insert(order[draft.lengths[order] == 0], priced.prices_usd)
        drafts.append(draft)
        if len(draft.missed) <= priced.hopeless:
            break
        urgent[draft.missed] += 1.0
    return min(drafts, key=Draft.rank)
