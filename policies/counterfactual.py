"""Run-now as it is seen while a workload is under way, and the chance that a plan ends above it.

Above is meant in the workload's own objective: who saves money, or time, by emitting more has what was asked for. What
money and time are worth is counted in grams here, at the objective's price of carbon. Run-now has the default worker count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from carbon_ray.core.intensity import FloatArray
from carbon_ray.core.units import S_PER_H
from carbon_ray.core.workload import Progress, Workload
from carbon_ray.policies.backfire import PERSISTENCE_PER_H, run_now_hours, weigh
from carbon_ray.policies.costs import Costs
from carbon_ray.policies.plans import Straight
from carbon_ray.policies.programme import IDLE, Solution

Course = Solution | Straight
"""What is weighed: a plan, or running through."""
NEGLIGIBLE = 0.01
"""Chance of a backfire below which nothing else is looked at."""
LEAST_STAKE_FRACTION = 0.3
"""Share of the usual emissions below which run-now's do not lower the price of a backfire.

At a home that is nearly always the cleanest a share of run-now's own grams deters nobody, though waiting has least to win there.
Chosen on 2021, with forecasts of that year: it changes what is done at such homes (Ontario's 16 backfires in 1,362 jobs became 10)
and nothing elsewhere.
"""


def stake_gco2(total_gco2: float, usual_gco2: float) -> float:
    """What the price of a backfire is a share of, g.

    Args:
        total_gco2: Emissions of run-now as a whole.
        usual_gco2: Those of the same work at the mean of all sites and hours until the deadline.
    """
    return max(total_gco2, LEAST_STAKE_FRACTION * usual_gco2)


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


def elapsed_s(workload: Workload, now: datetime) -> float:
    """Seconds since the submission."""
    return max(0.0, (now - workload.submitted_at).total_seconds())


def counted_gco2(workload: Workload, progress: Progress, now: datetime) -> tuple[float, float] | None:
    """What a workload and its run-now have emitted until now, g; None where carbon has no price or nobody counted."""
    emitted_gco2, run_now_gco2 = progress.emitted_gco2, progress.run_now_gco2
    if elapsed_s(workload, now) == 0 and not progress.is_started:
        emitted_gco2 = run_now_gco2 = 0.0
    if not workload.objective.usd_per_kgco2 or emitted_gco2 is None or run_now_gco2 is None:
        return None
    return emitted_gco2, run_now_gco2


def run_now_of(costs: Costs) -> RunNow | None:
    """What run-now would still draw; None where carbon has no price, its home is no site, or what was emitted is not known."""
    workload, home = costs.workload, costs.index_of(costs.workload.home_region)
    counted = counted_gco2(workload, costs.progress, costs.now)
    if home is None or counted is None:
        return None
    emitted_gco2, run_now_gco2 = counted
    if costs.sites[home].nominal.workers != workload.workers:
        return None  # run-now's workers do not fit there
    elapsed_h, startup_h = elapsed_s(workload, costs.now) / S_PER_H, workload.overheads.startup_s / S_PER_H
    slots = range(len(costs.intensity_gco2_per_kwh))
    hours = [run_now_hours(elapsed_h, slot, costs.slot_h, startup_h, workload.work_h) for slot in slots]
    idle_h, running_h = np.array(hours).T
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


def weighed(costs: Costs, courses: Sequence[Course], run_now: RunNow) -> FloatArray:
    """Emissions in g, money in USD, hours until the end and chance of a backfire of courses, in rows of shape (4, courses)."""
    longest = max(course.length for course in courses)
    paths, levels = np.full((2, len(courses), longest), IDLE, dtype=np.int64)
    working = np.zeros((len(courses), longest), dtype=np.bool_)
    for row, course in enumerate(courses):
        length = course.length
        if isinstance(course, Straight):
            paths[row, :length], levels[row, :length], working[row, course.waits : length] = course.where, course.level, True
        else:
            paths[row, :length], levels[row, :length], working[row, :length] = course.path, course.levels, course.working
    spread = np.zeros_like(costs.intensity_gco2_per_kwh) if costs.spread_gco2_per_kwh is None else costs.spread_gco2_per_kwh
    initial, objective = costs.initial(), costs.workload.objective
    _, pending_gco2 = costs.written_now(initial.region, costs.workload.overheads.checkpoint_h) if initial.is_running else (0.0, 0.0)
    g_per_usd = 1000 / objective.usd_per_kgco2
    rows: FloatArray = weigh(
        paths,
        levels,
        working,
        np.array([course.length for course in courses]),
        costs.walking,
        costs.moving.usd,
        pending_gco2,
        (objective.usd_weight * g_per_usd, objective.usd_per_h_delay * g_per_usd),
        costs.intensity_gco2_per_kwh,
        spread,
        (run_now.energy_kwh, run_now.ahead_gco2, run_now.total_gco2, run_now.other_gco2),
        PERSISTENCE_PER_H**costs.slot_h,
    )
    return rows


def least_with_risk(costs: Costs, plan: Solution, others: Callable[[], Iterable[Straight]], backfire_fraction: float) -> Solution:
    """The plan, or another course that costs less once the chance of a backfire has its price.

    Args:
        costs: Of the workload.
        plan: The best by expected cost.
        others: Makes the courses to compare with; asked only where the plan's own chance is not negligible.
        backfire_fraction: Price of a backfire, as a share of the stake (`stake_gco2`) at the objective's carbon price; 0 = none.
    """
    run_now = run_now_of(costs) if backfire_fraction else None
    if run_now is None or weighed(costs, [plan], run_now)[3, 0] <= NEGLIGIBLE:
        return plan
    objective = costs.workload.objective
    courses: list[Course] = [plan, *others()]
    usual_gco2 = costs.workload.work_h * float((costs.intensity_gco2_per_kwh @ costs.running_kw).mean()) / len(costs.sites)
    price_usd = backfire_fraction * objective.cost_usd(gco2=stake_gco2(run_now.total_gco2, usual_gco2), usd=0.0)
    gco2, usd, finish_h, chance = weighed(costs, courses, run_now)
    total_usd = objective.usd_per_kgco2 * gco2 / 1000 + objective.usd_weight * usd + objective.usd_per_h_delay * finish_h
    best = courses[int(np.argmin(total_usd + price_usd * chance))]
    return best.solution() if isinstance(best, Straight) else best
