"""One line for a person: what a plan does now, what it saves against running at once, and what that costs in time."""

from __future__ import annotations

from datetime import timedelta

from carbon_ray.core.decision import Placement
from carbon_ray.core.units import hours, kg
from carbon_ray.policies.costs import Costs
from carbon_ray.policies.plans import run_through_in
from carbon_ray.policies.programme import IDLE, Solution


def of(costs: Costs, solution: Solution, target: Placement | None, *, is_forced: bool, is_guarded: bool = False) -> str:
    """The reason of a plan's first step."""
    here = costs.here
    here_name, here_now = costs.sites[here].region.name, costs.intensity_gco2_per_kwh[0, here]
    running = costs.progress.is_running
    if is_forced:
        where = in_words(costs, target) if target else here_name
        return f"run in {where} without a pause: the deadline {costs.workload.deadline_at:%m-%d %H:%MZ} leaves no room for waiting"
    if is_guarded and target is not None:
        return f"run through in {in_words(costs, target)}: waiting would gain too little for the risk of ending above running at once"
    if target is None:
        doing = f"suspend: {here_now:.0f} g/kWh in {here_name} now" if running else f"wait: {_cheapest_now(costs)} now"
        return f"{doing}; {_next_start(costs, solution)}; {_against_running(costs, solution)}"
    there = costs.index_of(target.region)
    assert there is not None  # a target is always one of the sites
    there_now = costs.intensity_gco2_per_kwh[0, there]
    place, workers = in_words(costs, target), costs.progress.workers or costs.workload.workers
    if running and target.region == costs.progress.region and target.workers == workers:
        return f"run on in {place} at {there_now:.0f} g/kWh; {_next_change(costs, solution)}"
    if running and target.region == costs.progress.region:
        return (
            f"{workers} -> {target.workers} workers in {target.region} at {there_now:.0f} g/kWh; {_next_change(costs, solution)}; "
            f"{_against_running(costs, solution)}"
        )
    if running:
        return f"move to {place}: {there_now:.0f} g/kWh there, {here_now:.0f} in {here_name} now; {_against_running(costs, solution)}"
    verb = "resume" if costs.progress.is_started else "start"
    versus = "" if there == here else f", {here_now:.0f} in {here_name}"
    return f"{verb} in {place} at {there_now:.0f} g/kWh{versus}; {_next_change(costs, solution)}; {_against_running(costs, solution)}"


def _at(costs: Costs, slot: int) -> str:
    at = costs.now + timedelta(seconds=slot * costs.slot_s)
    return f"{at.month:02}-{at.day:02} {at.hour:02}:{at.minute:02}Z"  # strftime is several times slower


def _cheapest_now(costs: Costs) -> str:
    best = int(costs.intensity_gco2_per_kwh[0].argmin())
    return f"{costs.intensity_gco2_per_kwh[0, best]:.0f} g/kWh in {costs.sites[best].region.name}, the cleanest,"


def _next_start(costs: Costs, solution: Solution) -> str:
    slot = next(slot for slot, where in enumerate(solution.path) if where != IDLE)
    where = solution.path[slot]
    return f"run from {_at(costs, slot)} in {costs.sites[where].region.name} at about {costs.intensity_gco2_per_kwh[slot, where]:.0f}"


def in_words(costs: Costs, target: Placement) -> str:
    """Where, and of an elastic workload with how many workers."""
    return f"{target.region} on {_workers(target.workers)}" if costs.workload.is_elastic else target.region


def _workers(count: int) -> str:
    return f"{count} worker{'' if count == 1 else 's'}"


def _next_change(costs: Costs, solution: Solution) -> str:
    first, level = solution.path[0], solution.levels[0]
    for slot, (where, many) in enumerate(zip(solution.path, solution.levels, strict=True)):
        if where == IDLE:
            return f"planned pause from {_at(costs, slot)}"
        if where != first:
            return f"planned move to {costs.sites[where].region.name} at {_at(costs, slot)}"
        if many != level:
            counts = costs.workload.counts
            return f"planned change from {counts[level]} to {_workers(counts[many])} at {_at(costs, slot)}"
    return f"to the end at about {_at(costs, len(solution.path))}"


def _against_running(costs: Costs, solution: Solution) -> str:
    """Compare with running through from now in the region it is in."""
    here, initial = costs.here, costs.initial()
    level = initial.level if initial.is_running else costs.workload.counts.index(costs.sites[here].nominal.workers)
    course = run_through_in(costs, here, level, even_shut=True)
    if course is None:
        return "the work could not end in time otherwise"
    straight = course.solution()
    if (solution.path, solution.levels) == (straight.path, straight.levels):
        return "which is to run through"
    through = costs.expected_of(straight.path, straight.working, straight.levels)
    planned = costs.expected_of(solution.path, solution.working, solution.levels)
    saved_g = through.gco2 - planned.gco2
    delay_h = hours(planned.finish_at - through.finish_at)
    worth = costs.workload.objective.usd_per_kgco2 * kg(saved_g)
    money = planned.usd - through.usd
    carbon = f"saves {kg(saved_g):.2f} kg = {worth:.2f} USD" if saved_g >= 0 else f"emits {kg(-saved_g):.2f} kg = {-worth:.2f} USD more"
    return (
        f"{carbon} against running through in {costs.sites[here].region.name}, "
        f"costs {max(0.0, delay_h):.1f} h and {money:+.2f} USD of nodes"
    )
