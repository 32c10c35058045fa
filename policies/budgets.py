"""Budgets of carbon and of money: the cheapest plan found whose expected emissions and money stay within them.

A budget is kept by a higher price of what it limits (Lagrange): the price is raised until the best plan fits, then only in the
later slots, as few as do; of all plans met on the way the cheapest that fits is taken. With one budget a plan is found whenever
the programme has one that fits, because at the end of the search stands the plan that draws least. With two, a plan that fits
both may be missed where it is the best one at no pair of prices.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

from carbon_ray.core.errors import BudgetTooSmall
from carbon_ray.core.objective import Objective
from carbon_ray.core.plan import Expected
from carbon_ray.core.units import G_PER_KG
from carbon_ray.policies.costs import Costs
from carbon_ray.policies.programme import Problem, Programme, Solution

_ROUNDING = 1e-9
_MOST_STEPS = 40
"""Steps of each search; most end after a handful."""
_ASIDE = 1e-3
"""Share by which prices are moved to tell plans apart that cost the same."""

Prices = tuple[float, float]
"""What is added to the objective: USD per gram, and to the weight of money."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrun:
    """How much the whole work is expected to come to above its budgets; 0 where one is kept, or there is none."""

    gco2: float = 0.0
    usd: float = 0.0

    @property
    def is_none(self) -> bool:
        """True if every budget is kept."""
        return self.gco2 == 0.0 and self.usd == 0.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Settled:
    """The plan that budgets allow, and the prices at which it is the best one.

    Attributes:
        costs: As given, at these prices.
        programme: At these prices.
        solution: The plan; without a path where the deadline cannot be met.
        overrun: Of that plan.
        without: Overrun of the plan that would be best without budgets.
        dearer_usd: What the budgets add to the objective at the workload's own prices.
    """

    costs: Costs
    programme: Programme
    solution: Solution
    overrun: Overrun
    without: Overrun = field(default_factory=Overrun)
    dearer_usd: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Found:
    costs: Costs
    programme: Programme
    solution: Solution
    expected: Expected
    own_usd: float
    overrun: Overrun


def has_budget(costs: Costs) -> bool:
    """True if anything is limited."""
    return costs.workload.carbon_budget_gco2 is not None or costs.workload.cost_budget_usd is not None


def overrun_of(costs: Costs, solution: Solution) -> Overrun:
    """What the whole work comes to above its budgets, if the rest goes by that plan. What nobody counted counts as nothing."""
    return _overrun(costs, costs.expected_of(solution.path, solution.working, solution.levels)) if has_budget(costs) else Overrun()


def _overrun(costs: Costs, expected: Expected) -> Overrun:
    workload, progress = costs.workload, costs.progress

    def above(budget: float | None, until_now: float | None, to_go: float) -> float:
        total = (until_now or 0.0) + to_go
        return total - budget if budget is not None and total > budget * (1 + _ROUNDING) + _ROUNDING else 0.0

    return Overrun(
        gco2=above(workload.carbon_budget_gco2, progress.emitted_gco2, expected.gco2),
        usd=above(workload.cost_budget_usd, progress.spent_usd, expected.usd),
    )


def settle(costs: Costs) -> Settled:
    """The cheapest plan found that keeps the budgets; without one the plan with the least overrun. Every plan meets the deadline."""
    programme = Programme(costs.problem())
    solution = programme.solution(costs.initial())
    overrun = overrun_of(costs, solution) if solution.path else Overrun()
    if overrun.is_none:
        return Settled(costs=costs, programme=programme, solution=solution, overrun=overrun)
    base = _found(costs, costs, programme, solution)
    best = _search(costs, base)
    return Settled(
        costs=best.costs,
        programme=best.programme,
        solution=best.solution,
        overrun=best.overrun,
        without=base.overrun,
        dearer_usd=best.own_usd - base.own_usd,
    )


def _solved(costs: Costs, priced: Costs, problem: Problem | None = None) -> _Found | None:
    programme = Programme(problem or priced.problem())
    solution = programme.solution(priced.initial())
    return _found(costs, priced, programme, solution) if solution.path else None


def _found(costs: Costs, priced: Costs, programme: Programme, solution: Solution) -> _Found:
    expected = costs.expected_of(solution.path, solution.working, solution.levels)
    return _Found(
        costs=priced,
        programme=programme,
        solution=solution,
        expected=expected,
        own_usd=expected.objective_usd,
        overrun=_overrun(costs, expected),
    )


def _priced(costs: Costs, prices: Prices, *, alone: bool = False) -> Costs:
    """The costs with prices on top of the workload's own, or with these alone."""
    own = Objective(usd_per_kgco2=0.0, usd_per_h_delay=0.0, usd_weight=0.0) if alone else costs.workload.objective
    objective = replace(own, usd_per_kgco2=own.usd_per_kgco2 + prices[0] * G_PER_KG, usd_weight=own.usd_weight + prices[1])
    return replace(costs, workload=replace(costs.workload, objective=objective))


def _at(costs: Costs, prices: Prices, *, alone: bool = False) -> _Found:
    """The best plan at such prices."""
    found = _solved(costs, _priced(costs, prices, alone=alone))
    assert found is not None  # prices do not change what can be done
    return found


def _search(costs: Costs, base: _Found) -> _Found:
    """The cheapest plan that fits, else the one with the least overrun; `base` does not fit."""
    workload = costs.workload
    scales = [1 / max(one, _ROUNDING) if one is not None else 0.0 for one in (workload.carbon_budget_gco2, workload.cost_budget_usd)]
    ends = [_at(costs, (scales[0], 0.0), alone=True)] if scales[0] else []
    ends += [_at(costs, (0.0, scales[1]), alone=True)] if scales[1] else []
    fitting = [(prices, one) for prices, one in zip(_axes(scales), ends, strict=True) if one.overrun.is_none]
    seen = [base, *ends]
    if len(ends) == 2 and not fitting:
        low, high = 0.0, 1.0  # share of carbon in what is minimised
        for _ in range(_MOST_STEPS):
            share = (low + high) / 2
            prices = (share * scales[0], (1 - share) * scales[1])
            found = _at(costs, prices, alone=True)
            seen.append(found)
            if found.overrun.is_none:
                fitting.append((prices, found))
                break
            if found.overrun.gco2 and found.overrun.usd:
                break  # above both: no share of these two gives less of both
            low, high = (share, high) if found.overrun.gco2 else (low, share)
    for direction, end in fitting:
        seen.extend(_between(costs, base, end, direction))
    return min(seen, key=lambda found: _rank(costs, found))


def _axes(scales: list[float]) -> list[Prices]:
    return [prices for prices in ((scales[0], 0.0), (0.0, scales[1])) if any(prices)]


def _rank(costs: Costs, found: _Found) -> tuple[float, float]:
    """The relative overrun of all budgets together, then the cost at the workload's own prices."""
    workload = costs.workload
    over = found.overrun.gco2 / max(workload.carbon_budget_gco2 or 0.0, _ROUNDING)
    return over + found.overrun.usd / max(workload.cost_budget_usd or 0.0, _ROUNDING), found.own_usd


def _between(costs: Costs, dear: _Found, fits: _Found, direction: Prices) -> list[_Found]:
    """Plans between one that is cheap and does not fit and one that fits, by the price at which the two cost the same.

    Source: the search for the multiplier by Juttner et al., "Lagrange relaxation based method for the QoS routing problem",
    INFOCOM 2001, doi:10.1109/INFCOM.2001.916277.
    """
    seen: list[_Found] = []
    price = 0.0
    for _ in range(_MOST_STEPS):
        drawn = [direction[0] * one.expected.gco2 + direction[1] * one.expected.usd for one in (dear, fits)]
        if drawn[0] <= drawn[1] * (1 + _ROUNDING) or fits.own_usd <= dear.own_usd:
            return seen
        price = (fits.own_usd - dear.own_usd) / (drawn[0] - drawn[1])
        found = _at(costs, (price * direction[0], price * direction[1]))
        if any((found.solution.path, found.solution.levels) == (one.solution.path, one.solution.levels) for one in (dear, fits, *seen)):
            break
        seen.append(found)
        if found.overrun.is_none:
            fits = found
        else:
            dear = found
    return seen + _spliced(costs, direction, price)


def _spliced(costs: Costs, direction: Prices, price: float) -> list[_Found]:
    """Plans that are priced a little below in the first slots and a little above in the others, as few of these as still fit.

    At the price itself a plan that fits and one that does not cost the same, and those in between cannot be told apart.
    """
    low, high = (_priced(costs, (price * share * direction[0], price * share * direction[1])) for share in (1 - _ASIDE, 1 + _ASIDE))
    below, above = low.problem(), high.problem()
    seen, first, last = list[_Found](), 0, len(below.run)
    while last - first > 1:
        slot = (first + last) // 2
        problem = replace(
            above,
            run=np.concatenate([below.run[:slot], above.run[slot:]]),
            hold=np.concatenate([below.hold[:slot], above.hold[slot:]]),
            hold_away=None if above.hold_away is None else np.concatenate([below.away[0][:slot], above.hold_away[slot:]]),
            pause=np.concatenate([below.pause[:slot], above.pause[slot:]]),
            unit=np.concatenate([below.unit[:slot], above.unit[slot:]]),
        )
        found = _solved(costs, high, problem)
        assert found is not None  # prices do not change what can be done
        seen.append(found)
        first, last = (slot, last) if found.overrun.is_none else (first, slot)
    return seen


def require_budgets(costs: Costs) -> None:
    """Check that a plan keeps the budgets.

    Raises:
        BudgetTooSmall: None does; says what the least is.
    """
    workload, progress = costs.workload, costs.progress
    settled = settle(costs) if has_budget(costs) else None
    if settled is None or settled.overrun.is_none or not settled.solution.path:
        return
    least = (math.inf, math.inf)
    if workload.carbon_budget_gco2 is not None:
        least = (_at(costs, (1.0, 0.0), alone=True).expected.gco2 + (progress.emitted_gco2 or 0.0), least[1])
    if workload.cost_budget_usd is not None:
        least = (least[0], _at(costs, (0.0, 1.0), alone=True).expected.usd + (progress.spent_usd or 0.0))
    if settled.overrun.usd and workload.cost_budget_usd is not None:
        beside = settled.costs.expected_of(settled.solution.path, settled.solution.working, settled.solution.levels).usd
        alone_fits = least[1] <= workload.cost_budget_usd * (1 + _ROUNDING)
        raise BudgetTooSmall("cost_budget_usd", workload.cost_budget_usd, beside if alone_fits else least[1], "USD")
    assert workload.carbon_budget_gco2 is not None  # else nothing is above
    beside = settled.costs.expected_of(settled.solution.path, settled.solution.working, settled.solution.levels).gco2
    alone_fits = least[0] <= workload.carbon_budget_gco2 * (1 + _ROUNDING)
    raise BudgetTooSmall("carbon_budget_gco2", workload.carbon_budget_gco2, beside if alone_fits else least[0], "g")


def in_words(settled: Settled) -> str:
    """What budgets do to the plan; nothing where they do not bind."""
    workload, words = settled.costs.workload, []
    if settled.overrun.gco2 and workload.carbon_budget_gco2 is not None:
        words.append(_above("carbon", workload.carbon_budget_gco2 / G_PER_KG, settled.overrun.gco2 / G_PER_KG, "kg"))
    if settled.overrun.usd and workload.cost_budget_usd is not None:
        words.append(_above("cost", workload.cost_budget_usd, settled.overrun.usd, "USD"))
    if settled.overrun.is_none:
        names = [name for name, above in (("carbon", settled.without.gco2), ("cost", settled.without.usd)) if above]
        words += [f"the {' and the '.join(names)} budget makes it {settled.dearer_usd:.2f} USD dearer"] if names else []
    return "".join(f"; {one}" for one in words)


def _above(what: str, budget: float, overrun: float, unit: str) -> str:
    return f"no plan keeps the {what} budget of {budget:.4g} {unit}: this one comes closest, {overrun:.3g} {unit} above"
