"""Linear programmes of a fleet under capacity for HiGHS: the transport problem, and the relaxation with set-ups.

A variable x is the share of a slot that a workload runs in a region. Without set-ups the vertices are plans wherever all workloads
ask for one node, so that the optimum is exact; with larger ones it is a bound. With set-ups, y >= x_t - x_(t-1) pays for a start.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_array

from carbon_ray.policies.fleet.batch import Batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Solved:
    """What HiGHS found.

    Attributes:
        cost_usd: Optimum of the programme; None where the time was not enough.
        seconds: That HiGHS took; building the matrices not included.
        variables: Columns of the programme.
    """

    cost_usd: float | None
    seconds: float
    variables: int


def relaxation(batch: Batch, *, restore_h: float = 0.0, limit_s: float = 300.0, method: str = "highs") -> Solved:
    """Solve the programme of a batch whose members may all use all regions, one after the other in the same order.

    Args:
        batch: Members and capacity. Moves and first starts must cost nothing but `restore_h`.
        restore_h: Running hours of every start; 0 leaves the set-ups away.
        limit_s: Seconds that HiGHS gets.
        method: Of `scipy.optimize.linprog`.
    """
    columns, regions = batch.columns, batch.intensity_gco2_per_kwh.shape[1]
    windows, nodes = columns.slots, columns.site_nodes[columns.first_site]
    pair_member = np.repeat(np.arange(len(windows)), windows)
    pair_slot = np.concatenate([np.arange(window) for window in windows])
    pairs = len(pair_slot)
    pair, region = np.repeat(np.arange(pairs), regions), np.tile(np.arange(regions), pairs)
    member, slot = pair_member[pair], pair_slot[pair]
    x, ones = np.arange(len(pair)), np.ones(len(pair))
    hour_usd = (
        columns.usd_per_kgco2[member]
        / 1000
        * batch.intensity_gco2_per_kwh[slot, region]
        * columns.site_running_kw[columns.first_site[member] + region]
    )
    cost = columns.weight[member] * hour_usd * batch.slot_h
    rows = [pair, pairs + slot * regions + region]
    values, places = [ones, nodes[member]], [x, x]
    limits = [np.ones(pairs), batch.capacity.ravel()]
    if restore_h:
        first = pairs + batch.capacity.size
        rows.extend([first + x, first + x[slot > 0], first + x])
        values.extend([ones, -ones[slot > 0], -ones])
        places.extend([x, x[slot > 0] - regions, len(x) + x])
        limits.append(np.zeros(len(x)))
        cost = np.concatenate([cost, columns.weight[member] * hour_usd * restore_h])
    shape = (sum(len(one) for one in limits), len(cost))
    most = coo_array((np.concatenate(values), (np.concatenate(rows), np.concatenate(places))), shape=shape)
    done = coo_array((ones, (member, x)), shape=(len(windows), len(cost)))
    begun_s = time.perf_counter()
    solved = linprog(
        cost,
        A_ub=most.tocsr(),
        b_ub=np.concatenate(limits),
        A_eq=done.tocsr(),
        b_eq=columns.quanta.astype(np.float64),
        bounds=(0, None),
        method=method,
        options={"time_limit": limit_s},
    )
    return Solved(cost_usd=float(solved.fun) if solved.success else None, seconds=time.perf_counter() - begun_s, variables=len(cost))
