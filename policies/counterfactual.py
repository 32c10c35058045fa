"""Run-now as it is seen while a workload is under way, and the chance that a plan ends above it.

Above is meant in the workload's own objective: who saves money, or time, by emitting more has what was asked for. What
money and time are worth is counted in grams here, at the objective's price of carbon. Run-now has the default worker count.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from carbon_ray.core.intensity import FloatArray
from carbon_ray.core.units import S_PER_H
from carbon_ray.policies.backfire import PERSISTENCE_PER_H, chance_of_backfire
from carbon_ray.policies.costs import Costs
from carbon_ray.policies.programme import Solution

NEGLIGIBLE = 0.01
"""Chance of a backfire below which nothing else is looked at."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunNow:
    """The counterfactual as it is seen now.

    Attributes:
        energy_kwh: What it would still draw, by when and where, PUE included, shape (T, R).
        ahead_gco2: Its emissions until now less the workload's, g; positive where the workload is ahead.
        total_gco2: Its emissions as a whole, those to come by the forecast, g.
        other_gco2: What its money and its time from now on are worth, g.
    """

    energy_kwh: FloatArray
    ahead_gco2: float
    total_gco2: float
    other_gco2: float


def run_now_of(costs: Costs) -> RunNow | None:
    """What run-now would still draw; None where carbon has no price, its home is no site, or what was emitted is not known."""
    home, workload, progress = costs.index_of(costs.workload.home_region), costs.workload, costs.progress
    elapsed_s = max(0.0, (costs.now - workload.submitted_at).total_seconds())
    emitted_gco2, run_now_gco2 = progress.emitted_gco2, progress.run_now_gco2
    if elapsed_s == 0 and not progress.is_started:
        emitted_gco2 = run_now_gco2 = 0.0
    if not workload.objective.usd_per_kgco2 or home is None or emitted_gco2 is None or run_now_gco2 is None:
        return None
    if costs.sites[home].nominal.workers != workload.workers:
        return None  # run-now's workers do not fit there
    edges_s = elapsed_s + np.arange(len(costs.intensity_gco2_per_kwh) + 1) * costs.slot_s
    startup_s = workload.overheads.startup_s
    idle_h = np.diff(np.clip(edges_s, 0.0, startup_s)) / S_PER_H
    running_h = np.diff(np.clip(edges_s, startup_s, startup_s + workload.work_h * S_PER_H)) / S_PER_H
    energy_kwh = np.zeros_like(costs.intensity_gco2_per_kwh)
    energy_kwh[:, home] = running_h * costs.sites[home].running_kw + idle_h * costs.sites[home].idle_kw
    to_go_gco2 = float((energy_kwh * costs.intensity_gco2_per_kwh).sum())
    held_h = float((idle_h + running_h).sum())
    return RunNow(
        energy_kwh=energy_kwh,
        ahead_gco2=run_now_gco2 - emitted_gco2,
        total_gco2=run_now_gco2 + to_go_gco2,
        other_gco2=_worth_gco2(costs, usd=held_h * costs.sites[home].usd_per_h, delay_h=held_h),
    )


def _worth_gco2(costs: Costs, *, usd: float, delay_h: float) -> float:
    objective = costs.workload.objective
    return objective.cost_usd(gco2=0.0, usd=usd, delay_h=delay_h) / objective.usd_per_kgco2 * 1000


def chance_of(costs: Costs, course: Solution, run_now: RunNow) -> float:
    """Chance that a course ends above run-now."""
    spread = np.zeros_like(costs.intensity_gco2_per_kwh) if costs.spread_gco2_per_kwh is None else costs.spread_gco2_per_kwh
    drawn = costs.draw(course.path, course.working, course.levels)
    other_gco2 = _worth_gco2(costs, usd=drawn.usd, delay_h=drawn.finish_h) - run_now.other_gco2
    return float(
        chance_of_backfire(
            drawn.energy_kwh,
            run_now.energy_kwh,
            costs.intensity_gco2_per_kwh,
            spread,
            run_now.ahead_gco2 - drawn.pending_gco2 - other_gco2,
            run_now.total_gco2,
            PERSISTENCE_PER_H**costs.slot_h,
        )
    )


def least_with_risk(costs: Costs, plan: Solution, others: Callable[[], Iterable[Solution]], backfire_fraction: float) -> Solution:
    """The plan, or another course that costs less once the chance of a backfire has its price.

    Args:
        costs: Of the workload.
        plan: The best by expected cost.
        others: Makes the courses to compare with; asked only where the plan's own chance is not negligible.
        backfire_fraction: Price of a backfire, as a share of run-now's emissions at the objective's carbon price; 0 = none.
    """
    run_now = run_now_of(costs)
    if run_now is None or not backfire_fraction or chance_of(costs, plan, run_now) <= NEGLIGIBLE:
        return plan
    price_usd = backfire_fraction * costs.workload.objective.cost_usd(gco2=run_now.total_gco2, usd=0.0)
    least_usd, best = math.inf, plan
    for course in (plan, *others()):
        chance = chance_of(costs, course, run_now)
        total_usd = costs.expected_of(course.path, course.working, course.levels).objective_usd + price_usd * chance
        if total_usd < least_usd:
            least_usd, best = total_usd, course
    return best
