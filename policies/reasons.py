"""One line for a person: what a plan does now, what it saves against running at once, and what that costs in time."""

from __future__ import annotations

from datetime import timedelta

from carbon_ray.core.decision import Placement
from carbon_ray.core.units import hours, kg
from carbon_ray.policies.costs import Costs
from carbon_ray.policies.programme import IDLE, Solution


def of(costs: Costs, solution: Solution, target: Placement | None, *, is_forced: bool, is_guarded: bool = False) -> str:
    """The reason of a plan's first step."""
    here = costs.here
    here_name, here_now = costs.sites[here].region.name, costs.intensity_gco2_per_kwh[0, here]
    running = costs.progress.is_running
    if is_forced:
        where = target.region if target else here_name
        return f"run in {where} without a pause: the deadline {costs.workload.deadline_at:%m-%d %H:%MZ} leaves no room for waiting"
    if is_guarded and target is not None:
        return f"run through in {target.region}: waiting would gain too little for the risk of ending above running at once"
    if target is None:
        doing = f"suspend: {here_now:.0f} g/kWh in {here_name} now" if running else f"wait: {_cheapest_now(costs)} now"
        return f"{doing}; {_next_start(costs, solution)}; {_against_running(costs, solution)}"
    there = costs.index_of(target.region)
    assert there is not None  # a target is always one of the sites
    there_now = costs.intensity_gco2_per_kwh[0, there]
    if running and target.region == costs.progress.region:
        return f"run on in {target.region} at {there_now:.0f} g/kWh; {_next_pause(costs, solution)}"
    if running:
        return (
            f"move to {target.region}: {there_now:.0f} g/kWh there, {here_now:.0f} in {here_name} now; {_against_running(costs, solution)}"
        )
    verb = "resume" if costs.progress.is_started else "start"
    versus = "" if there == here else f", {here_now:.0f} in {here_name}"
    return (
        f"{verb} in {target.region} at {there_now:.0f} g/kWh{versus}; {_next_pause(costs, solution)}; {_against_running(costs, solution)}"
    )


def _at(costs: Costs, slot: int) -> str:
    return f"{costs.now + timedelta(seconds=slot * costs.slot_s):%m-%d %H:%MZ}"


def _cheapest_now(costs: Costs) -> str:
    best = int(costs.intensity_gco2_per_kwh[0].argmin())
    return f"{costs.intensity_gco2_per_kwh[0, best]:.0f} g/kWh in {costs.sites[best].region.name}, the cleanest,"


def _next_start(costs: Costs, solution: Solution) -> str:
    slot = next(slot for slot, where in enumerate(solution.path) if where != IDLE)
    where = solution.path[slot]
    return f"run from {_at(costs, slot)} in {costs.sites[where].region.name} at about {costs.intensity_gco2_per_kwh[slot, where]:.0f}"


def _next_pause(costs: Costs, solution: Solution) -> str:
    first = solution.path[0]
    for slot, where in enumerate(solution.path):
        if where == IDLE:
            return f"planned pause from {_at(costs, slot)}"
        if where != first:
            return f"planned move to {costs.sites[where].region.name} at {_at(costs, slot)}"
    return f"to the end at about {_at(costs, len(solution.path))}"


def _against_running(costs: Costs, solution: Solution) -> str:
    """Compare with running through from now in the region it is in."""
    overheads = costs.workload.overheads
    waits = costs.slots_of(costs.progress.starting_s if costs.progress.is_running else overheads.startup_s)
    length = waits + costs.quanta
    if length > len(costs.intensity_gco2_per_kwh):
        return "the work could not end in time otherwise"
    here = costs.here
    if solution.path == (here,) * length:
        return "which is to run through"
    through = costs.expected_of((here,) * length, tuple(slot >= waits for slot in range(length)))
    planned = costs.expected_of(solution.path, solution.working)
    saved_g = through.gco2 - planned.gco2
    delay_h = hours(planned.finish_at - through.finish_at)
    worth = costs.workload.objective.usd_per_kgco2 * kg(saved_g)
    money = planned.usd - through.usd
    return (
        f"saves {kg(saved_g):.2f} kg = {worth:.2f} USD against running through in {costs.sites[here].region.name}, "
        f"costs {max(0.0, delay_h):.1f} h and {money:+.2f} USD of nodes"
    )
