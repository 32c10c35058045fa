"""The best plan that begins in another way than the one chosen: how close the choice was, in a line for a person."""

from __future__ import annotations

import math

import numpy as np

from carbon_ray.core.decision import Placement
from carbon_ray.core.plan import RunnerUp
from carbon_ray.policies import reasons
from carbon_ray.policies.costs import Costs
from carbon_ray.policies.programme import IDLE, Programme, Solution

Action = tuple[int, int]

_WORTH_SAYING_PERCENT = 0.05


def runner_up_of(costs: Costs, programme: Programme, chosen: Solution, objective_usd: float) -> RunnerUp | None:
    """The best plan that holds nothing, or other nodes, in the first slot; None where there is no other that meets the deadline.

    Args:
        costs: At the workload's own prices.
        programme: That made the choice.
        chosen: One of its plans.
        objective_usd: What that is expected to cost.
    """
    initial = costs.initial()
    first = programme.alternatives(initial)
    own = (chosen.path[0], chosen.levels[0])
    values: dict[Action, float] = {(IDLE, IDLE): first.suspend}
    if first.running is not None:
        values[first.running] = first.keep
    starts = first.starts.copy()
    if own[0] != IDLE and own not in values:
        values[own] = float(starts[own])
        starts[own] = math.inf
    best = divmod(int(np.argmin(starts)), starts.shape[1])
    values[best] = min(float(starts[best]), values.get(best, math.inf))
    others = {action: value for action, value in values.items() if action != own and math.isfinite(value)}
    if not others:
        return None
    action = min(others, key=lambda one: (others[one], one))
    extra_usd = others[action] - values.get(own, math.nan)
    return runner_up(costs, action, extra_usd, objective_usd)


def runner_up(costs: Costs, action: Action, extra_usd: float, objective_usd: float) -> RunnerUp:
    """The best plan that begins with `action`.

    Args:
        costs: At the workload's own prices.
        action: Region and worker count of the first slot.
        extra_usd: What it costs above the plan chosen.
        objective_usd: What that is expected to cost.
    """
    target = None if action[0] == IDLE else Placement(region=costs.sites[action[0]].region.name, workers=costs.workload.counts[action[1]])
    return RunnerUp(
        region=target.region if target else None,
        workers=target.workers if target else 0,
        objective_usd=objective_usd + extra_usd,
        extra_usd=extra_usd,
        description=_doing(costs, target),
    )


def _doing(costs: Costs, target: Placement | None) -> str:
    progress, is_running = costs.progress, costs.progress.is_running
    if target is None:
        return "suspending" if is_running else "waiting"
    place = reasons.in_words(costs, target)
    if not is_running:
        return f"{'resuming' if progress.is_started else 'starting'} in {place}"
    if target.region != progress.region:
        return f"moving to {place}"
    workers = progress.workers or costs.workload.workers
    return f"running on in {place}" if target.workers == workers else f"changing from {workers} to {target.workers} workers"


def in_words(runner_up: RunnerUp | None) -> str:
    """How much better the choice is; nothing where there is none, or no difference worth saying."""
    if runner_up is None or not math.isfinite(runner_up.extra_usd):
        return ""
    total_usd = runner_up.objective_usd - runner_up.extra_usd
    percent = 100 * runner_up.extra_usd / total_usd if total_usd > 0 else math.inf
    if percent < _WORTH_SAYING_PERCENT:
        return ""
    how_much = f"{percent:.2g} %" if percent < 100 else (f"{percent:.0f} %" if percent < 1000 else "far")
    return f"; {how_much} better than {runner_up.description}"
