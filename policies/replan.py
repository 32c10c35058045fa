"""carbon_ray's own policy: solve the exact programme on the newest forecast at every tick and do its first step.

A plan is advice for now. Three things stand between the optimum and the action: hysteresis (a running workload is left
alone for a gain below the threshold), the guard against backfire (the chance that the plan ends above run-now has a price)
and the deadline (when no plan meets it any more, the work runs).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from carbon_ray.core.decision import Decision
from carbon_ray.core.errors import DeadlinePassed, DeadlineTooShort
from carbon_ray.core.plan import Plan
from carbon_ray.core.units import S_PER_H
from carbon_ray.core.workload import Progress, Workload
from carbon_ray.policies import reasons, second_best
from carbon_ray.policies.base import Member, Surroundings, placement_of
from carbon_ray.policies.budgets import has_budget, in_words, overrun_of, require_budgets, settle
from carbon_ray.policies.costs import Costs
from carbon_ray.policies.counterfactual import least_with_risk
from carbon_ray.policies.plans import Straight, plan_of, run_through, runs_through, target_of
from carbon_ray.policies.programme import Solution, solve
from carbon_ray.policies.together import is_plain, plain_answers

_ROUNDING_S = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Replan:
    """Exact re-planning with hysteresis.

    Attributes:
        slot_s: Length of a planning slot, seconds.
        hysteresis_fraction: A running workload is stopped or moved only for a gain above this share of what running on for one
            slot costs.
        hysteresis_usd: ... and above this many USD.
        backfire_fraction: What ending above run-now is worth avoiding, as a share of run-now's emissions (of
            `counterfactual.stake_gco2`) at the objective's carbon price. 0 switches the guard off.
    """

    slot_s: float = 900.0
    hysteresis_fraction: float = 0.02
    hysteresis_usd: float = 0.0
    backfire_fraction: float = 0.5

    def decide(self, workload: Workload, progress: Progress, around: Surroundings, *, now: datetime) -> tuple[Plan, Decision]:
        """The optimum of the newest forecast, and its first step. See `PlacementPolicy.decide`."""
        costs = Costs.expected(
            workload, progress, around.regions, around.snapshot, now=now, slot_s=self.slot_s, blocked_until=around.blocked_until
        )
        settled = settle(costs)
        programme, initial, solution = settled.programme, costs.initial(), settled.solution
        is_forced = not solution.path
        can_keep = math.isfinite(solution.keep_cost)
        gain_usd = 0.0 if is_forced else solution.keep_cost - solution.cost
        # The gain is that of acting now and not a slot later, so it is held against what a slot costs, not the whole work.
        threshold_usd = max(self.hysteresis_usd, self.hysteresis_fraction * float(settled.costs.run_usd[0, costs.here]))
        if initial.is_running and can_keep and 0 < gain_usd <= threshold_usd:
            kept = programme.solution(initial, keep=True)
            if not settled.overrun.is_none or overrun_of(costs, kept).is_none:
                solution, gain_usd = kept, 0.0
        is_guarded = False
        if is_forced:
            solution = run_through(costs)
        else:
            chosen = self._guarded(costs, solution)
            is_guarded, solution = chosen is not solution, chosen
        settled = replace(settled, solution=solution, overrun=overrun_of(costs, solution))
        target = target_of(costs, solution)
        reason = reasons.of(costs, solution, target, is_forced=is_forced, is_guarded=is_guarded)
        plan = plan_of(costs, solution, reason, around.snapshot.version)
        runner_up = None
        if not is_forced and not is_guarded:
            runner_up = second_best.runner_up_of(costs, programme, solution, plan.expected.objective_usd)
        plan = replace(
            plan,
            reason=reason + second_best.in_words(runner_up) + in_words(settled),
            overrun_gco2=settled.overrun.gco2,
            overrun_usd=settled.overrun.usd,
            runner_up=runner_up,
        )
        decision = Decision(
            workload_id=workload.workload_id,
            at=now,
            current=placement_of(workload, progress),
            target=target,
            reason=plan.reason,
            gain_usd=gain_usd,
            is_forced=is_forced or not can_keep,
        )
        return plan, decision

    def decide_each(self, members: Sequence[Member], around: Surroundings, *, now: datetime) -> tuple[tuple[Plan, Decision], ...]:
        """What `decide` says of each of many workloads that see the same surroundings, in order; faster than to ask one by one."""
        plain = [index for index, member in enumerate(members) if is_plain(member.workload, member.progress)]
        answers: dict[int, tuple[Plan, Decision] | None] = {}
        if plain:
            found = plain_answers(
                [members[index] for index in plain],
                around,
                now=now,
                slot_s=self.slot_s,
                hysteresis_fraction=self.hysteresis_fraction,
                hysteresis_usd=self.hysteresis_usd,
                guarded=self._guarded,
            )
            answers = dict(zip(plain, found, strict=True))
        return tuple(
            answers.get(index) or self.decide(member.workload, member.progress, around, now=now) for index, member in enumerate(members)
        )

    def _guarded(self, costs: Costs, solution: Solution) -> Solution:
        """The plan, or running through from now on where that is worth more once the risk of a backfire has its price."""

        def within_budgets() -> list[Straight]:
            courses = runs_through(costs)
            return [one for one in courses if overrun_of(costs, one.solution()).is_none] if has_budget(costs) else courses

        return least_with_risk(costs, solution, within_budgets, self.backfire_fraction)

    def require_feasible(self, workload: Workload, around: Surroundings, *, now: datetime) -> None:
        """Check at submission that the work can end in time, by the same programme that will plan it.

        Raises:
            DeadlinePassed: The deadline is not after `now`.
            DeadlineTooShort: Even run at once the work ends too late; says when it would.
            BudgetTooSmall: No plan that meets the deadline is expected to keep a budget; says what the least is.
            UnknownRegionError, NoCapacityError, ForecastHorizonError: As `decide`.
        """
        if workload.deadline_at <= now:
            raise DeadlinePassed(workload.deadline_at, now)
        progress = Progress(remaining_h=workload.work_h, region=workload.home_region)
        costs = Costs.expected(workload, progress, around.regions, around.snapshot, now=now, slot_s=self.slot_s)
        fastest = max(range(len(costs.rates)), key=lambda level: costs.holding.fits[:, level].any() * costs.rates[level])
        least_s = workload.overheads.startup_s + workload.longest_h / costs.rates[fastest] * S_PER_H
        available_s = (workload.latest_finish_at - now).total_seconds()
        # The programme always has one slot, even where less than that is left.
        is_late = least_s > available_s + _ROUNDING_S
        if is_late or not (solve(costs.problem(), costs.initial()).path or (workload.is_elastic and runs_through(costs))):
            slots = costs.working_slots(fastest) + costs.slots_of(workload.overheads.startup_s)
            raise DeadlineTooShort(workload.deadline_at, now + timedelta(seconds=slots * self.slot_s + workload.safety_margin_s))
        require_budgets(costs)
